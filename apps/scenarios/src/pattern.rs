//! One line of expected output: text, `*`, and placeholders such as `{number}`, some of
//! which keep what they matched under a name, for later lines and commands.

use std::collections::BTreeMap;
use std::fmt;

/// What placeholders have kept, by name.
pub type Values = BTreeMap<String, String>;

/// What a placeholder takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Decimal digits, with `,` between thousands or not.
    Number,
    /// Characters that are not blank.
    Word,
    /// A length of time: a number and `ns`, `us`, `ms`, `s`, `min` or `h`.
    Time,
    /// At least eight hexadecimal digits.
    Hash,
    /// A number of bytes: a number and `B`, `KiB`, `MiB` or `GiB`.
    Size,
}

impl Class {
    const ALL: [(&'static str, Class); 5] = [
        ("number", Class::Number),
        ("word", Class::Word),
        ("time", Class::Time),
        ("hash", Class::Hash),
        ("size", Class::Size),
    ];

    fn named(name: &str) -> Option<Class> {
        Class::ALL.iter().find(|(known, _)| *known == name).map(|&(_, class)| class)
    }

    /// Whether `text` as a whole is one of the class.
    fn takes(self, text: &str) -> bool {
        let decimal = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_digit())
                && text.ends_with(|c: char| c.is_ascii_digit())
                && text.matches('.').count() <= 1
                && text.chars().all(|c| c.is_ascii_digit() || c == '.')
        };
        let with_unit = |units: &[&str]| {
            text.split_once(' ').is_some_and(|(number, unit)| decimal(number) && units.contains(&unit))
        };
        match self {
            Class::Number => {
                text.starts_with(|c: char| c.is_ascii_digit())
                    && text.ends_with(|c: char| c.is_ascii_digit())
                    && text.chars().all(|c| c.is_ascii_digit() || c == ',')
            }
            Class::Word => !text.is_empty() && !text.contains(char::is_whitespace),
            Class::Time => with_unit(&["ns", "us", "ms", "s", "min", "h"]),
            Class::Hash => text.len() >= 8 && text.chars().all(|c| c.is_ascii_hexdigit()),
            Class::Size => with_unit(&["B", "KiB", "MiB", "GiB"]),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Any,
    Class(Class, Option<String>),
    Kept(String),
}

/// One expected line, or `...` for any number of lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// Any number of lines, none included.
    AnyLines,
    /// One line.
    Line(LinePattern),
}

/// What one line must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinePattern {
    source: String,
    parts: Vec<Part>,
}

impl Pattern {
    /// The pattern that `source` says, or what is wrong with it.
    pub fn parse(source: &str) -> Result<Pattern, String> {
        let source = source.trim_end();
        if source == "..." {
            return Ok(Pattern::AnyLines);
        }
        if source == "{blank}" {
            return Ok(Pattern::Line(LinePattern { source: source.into(), parts: Vec::new() }));
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = source.chars();
        while let Some(c) = rest.next() {
            let part = match c {
                '\\' => {
                    text.push(rest.next().ok_or("nothing follows the backslash at the end")?);
                    continue;
                }
                '*' => Part::Any,
                '{' => {
                    let inside: String = rest.by_ref().take_while(|&c| c != '}').collect();
                    if !rest.as_str().is_empty() || source.ends_with('}') {
                        placeholder(&inside)?
                    } else {
                        return Err(format!("{{{inside} is not closed; write \\{{ for a brace"));
                    }
                }
                c => {
                    text.push(c);
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Pattern::Line(LinePattern { source: source.into(), parts }))
    }
}

fn placeholder(inside: &str) -> Result<Part, String> {
    if let Some((name, class)) = inside.split_once('=') {
        let class = Class::named(class).ok_or_else(|| unknown(class))?;
        if !is_name(name) || Class::named(name).is_some() {
            return Err(format!("{name:?} is no name for a value: letters, digits and -, and no placeholder's"));
        }
        return Ok(Part::Class(class, Some(name.into())));
    }
    if let Some(class) = Class::named(inside) {
        return Ok(Part::Class(class, None));
    }
    if is_name(inside) { Ok(Part::Kept(inside.into())) } else { Err(unknown(inside)) }
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = Class::ALL.iter().map(|(name, _)| *name).collect();
    format!(
        "{name:?} is no placeholder; there is {}, {{name={}}} to keep a value, and \\{{ for a brace",
        known.join(", "),
        known[0]
    )
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

impl LinePattern {
    /// Whether `line` is as it must be; keeps named values if so.
    pub fn matches(&self, line: &str, values: &mut Values) -> bool {
        let line = line.trim_end();
        let mut failed = std::collections::BTreeSet::new();
        let mut kept = values.clone();
        let matched = match_parts(&self.parts, line, 0, 0, &mut kept, &mut failed);
        if matched {
            *values = kept;
        }
        matched
    }
}

/// Matches `parts[part..]` against `line[at..]`, remembering what has failed: quadratic at worst.
/// A value that is kept and used in one and the same line is compared with what was kept first.
fn match_parts(
    parts: &[Part],
    line: &str,
    part: usize,
    at: usize,
    values: &mut Values,
    failed: &mut std::collections::BTreeSet<(usize, usize)>,
) -> bool {
    let Some(current) = parts.get(part) else { return at == line.len() };
    if failed.contains(&(part, at)) {
        return false;
    }
    let rest = &line[at..];
    let mut ends = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
    let matched = match current {
        Part::Text(text) => {
            rest.starts_with(text.as_str()) && match_parts(parts, line, part + 1, at + text.len(), values, failed)
        }
        Part::Kept(name) => {
            let value = values.get(name).cloned();
            value.is_some_and(|value| {
                rest.starts_with(&value) && match_parts(parts, line, part + 1, at + value.len(), values, failed)
            })
        }
        Part::Any => ends.any(|end| match_parts(parts, line, part + 1, at + end, values, failed)),
        Part::Class(class, name) => {
            // The longest first: a number is all of its digits.
            let ends: Vec<usize> = ends.filter(|&end| class.takes(&rest[..end])).collect();
            ends.into_iter().rev().any(|end| {
                if let Some(name) = name {
                    values.insert(name.clone(), rest[..end].to_string());
                }
                match_parts(parts, line, part + 1, at + end, values, failed)
            })
        }
    };
    if !matched {
        failed.insert((part, at));
    }
    matched
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::AnyLines => f.write_str("..."),
            Pattern::Line(line) => f.write_str(&line.source),
        }
    }
}

/// `text` with kept values put in where `{name}` stands: how commands use them. What is
/// not the name of a kept value stays as it is.
pub fn fill(text: &str, values: &Values) -> String {
    let mut filled = text.to_string();
    for (name, value) in values {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    filled
}

/// Matches lines against patterns. `Err` is the number of patterns and of lines that
/// fitted before it went wrong, at the best try.
pub fn match_lines(patterns: &[Pattern], lines: &[&str], values: &mut Values) -> Result<(), (usize, usize)> {
    let mut best = (0, 0);
    if try_lines(patterns, lines, 0, 0, values, &mut best) { Ok(()) } else { Err(best) }
}

fn try_lines(
    patterns: &[Pattern],
    lines: &[&str],
    mut pattern: usize,
    mut line: usize,
    values: &mut Values,
    best: &mut (usize, usize),
) -> bool {
    loop {
        *best = (*best).max((pattern, line));
        match patterns.get(pattern) {
            None => return line == lines.len(),
            Some(Pattern::AnyLines) => {
                return (line..=lines.len()).any(|from| {
                    let mut kept = values.clone();
                    let matched = try_lines(patterns, lines, pattern + 1, from, &mut kept, best);
                    if matched {
                        *values = kept;
                    }
                    matched
                });
            }
            Some(Pattern::Line(expected)) => match lines.get(line) {
                Some(text) if expected.matches(text, values) => {
                    pattern += 1;
                    line += 1;
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, line: &str) -> bool {
        let Pattern::Line(pattern) = Pattern::parse(pattern).expect(pattern) else { panic!("{pattern} is many lines") };
        pattern.matches(line, &mut Values::new())
    }

    #[test]
    fn text_matches_itself_alone() {
        assert!(matches("exact", "exact") && matches("exact", "exact  "));
        for other in ["exac", "exactly", " exact", "Exact", ""] {
            assert!(!matches("exact", other), "{other}");
        }
    }

    #[test]
    fn a_star_takes_anything_in_the_line() {
        assert!(matches("a*c", "ac") && matches("a*c", "abbbc") && matches("*", "") && matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*c", "abcd") && !matches("a*b*c", "acb"));
        assert!(matches("2 \\* 3", "2 * 3") && !matches("2 \\* 3", "2 x 3"));
    }

    #[test]
    fn placeholders_take_their_class_alone() {
        assert!(matches("{number} records", "1,234 records") && matches("{number}", "0"));
        assert!(
            !matches("{number} records", "many records") && !matches("{number}", "1.5") && !matches("{number}", "")
        );
        assert!(matches("took {time}", "took 1.25 ms") && !matches("took {time}", "took 5"));
        assert!(matches("{hash}", "0123abcdef") && !matches("{hash}", "0123abc") && !matches("{hash}", "0123abcdxf"));
        assert!(matches("{word} x", "a-b x") && !matches("{word} x", "a b x"));
        assert!(matches("{size} free", "1.0 KiB free") && !matches("{size} free", "12 free"));
        assert!(matches("{number}{word}", "12ab"));
    }

    #[test]
    fn a_kept_value_must_come_again_and_can_be_put_into_commands() {
        let mut values = Values::new();
        let patterns = ["[{pid=number}] started", "{pid} hello"].map(|p| Pattern::parse(p).expect(p));
        assert_eq!(match_lines(&patterns, &["[17] started", "17 hello"], &mut values), Ok(()));
        assert_eq!(fill("kill {pid}; echo {other}", &values), "kill 17; echo {other}");
        assert_eq!(match_lines(&patterns, &["[17] started", "18 hello"], &mut Values::new()), Err((1, 1)));
    }

    #[test]
    fn three_dots_take_any_number_of_lines() {
        let patterns = ["first", "...", "last"].map(|p| Pattern::parse(p).expect(p));
        for lines in [&["first", "last"][..], &["first", "a", "last", "b", "last"]] {
            assert_eq!(match_lines(&patterns, lines, &mut Values::new()), Ok(()), "{lines:?}");
        }
        assert!(match_lines(&patterns, &["first", "last", "more"], &mut Values::new()).is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (source, reason) in [
            ("{Number}", "no placeholder"),
            ("{a", "not closed"),
            ("a\\", "backslash"),
            ("{number=word}", "no name"),
            ("{x=y}", "no placeholder"),
        ] {
            let error = Pattern::parse(source).expect_err(source);
            assert!(error.contains(reason), "{source}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_source_is_a_pattern_or_an_error(source in "[ab{}=*\\\\number. -]{0,30}", line in "[ab1 ]{0,20}") {
            if let Ok(Pattern::Line(pattern)) = Pattern::parse(&source) {
                pattern.matches(&line, &mut Values::new());
            }
        }

        #[test]
        fn escaped_text_matches_itself_and_nothing_else(text in "[^\n\r]{1,20}", other in "[^\n\r]{0,20}") {
            let source: String = text.chars().flat_map(|c| ['\\', c]).collect();
            prop_assume!(!text.ends_with(char::is_whitespace));
            prop_assert!(matches(&source, &text));
            prop_assert_eq!(matches(&source, &other), other.trim_end() == text);
        }
    }
}
