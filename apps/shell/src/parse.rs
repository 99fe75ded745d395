//! From text to commands: words, quotes, comments and the operators between commands.
//!
//! ```text
//! script   = [command] { separator [command] }
//! separator= ";" | newline | "&&" | "||" | "&"
//! command  = word { word }
//! word     = one or more of: plain characters, 'literal', "text with \n \" \\ and $?", \c, $?
//! comment  = "#" at the start of a word, to the end of the line
//! ```
//!
//! `|`, `<`, `>`, `(`, `)` and `` ` `` are kept for later: unquoted they are errors, never text.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A place in the text; both count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u32,
}

/// Why text is no script, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Where it is wrong.
    pub position: Position,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// A quote that is never closed.
    OpenQuote(char),
    /// A backslash with nothing after it.
    OpenEscape,
    /// `&&` or `||` with nothing after it.
    MissingRight(&'static str),
    /// An operator with no command before it.
    MissingLeft(&'static str),
    /// A character that means nothing yet.
    Reserved(char),
    /// A control character outside quotes.
    Control(char),
    /// `\x` in double quotes, for an `x` that has no meaning there.
    UnknownEscape(char),
}

impl ParseError {
    /// Whether more lines could make it right: what a terminal or a pipe should then read.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.problem, Problem::OpenQuote(_) | Problem::OpenEscape | Problem::MissingRight(_))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        if line > 1 {
            write!(f, "line {line}, ")?;
        }
        write!(f, "column {column}: ")?;
        match self.problem {
            Problem::OpenQuote(quote) => write!(f, "the quote {quote} that opens here is never closed"),
            Problem::OpenEscape => write!(f, "nothing follows the backslash; write \\\\ for a backslash"),
            Problem::MissingRight(operator) => write!(f, "a command is missing after {operator}"),
            Problem::MissingLeft(operator) => write!(f, "a command is missing before {operator}"),
            Problem::Reserved(c) => {
                write!(f, "{c} has no meaning here yet; put it in quotes to use it as text")?;
                match c {
                    '>' => write!(f, ", and write files with put and append"),
                    '<' => write!(f, ", and read files with cat"),
                    _ => Ok(()),
                }
            }
            Problem::Control(c) => {
                write!(f, "the control character U+{:04X} is not allowed outside quotes", u32::from(c))
            }
            Problem::UnknownEscape(c) => {
                write!(
                    f,
                    "\\{} means nothing in double quotes; there is \\n, \\t, \\\\, \\\" and \\$",
                    c.escape_debug()
                )
            }
        }
    }
}

impl core::error::Error for ParseError {}

/// When a command runs, by how the one before it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// In any case.
    Always,
    /// If it succeeded (`&&`).
    Succeeded,
    /// If it failed (`||`).
    Failed,
}

/// Whether the shell waits for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It waits.
    Foreground,
    /// It goes on (`&`).
    Background,
}

/// Part of a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// `$?`: the exit status of the command before.
    Status,
}

/// One word of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word(pub Vec<Piece>);

impl Word {
    /// The word as text, where the command before ended with `status`.
    pub fn expand(&self, status: u64) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Status => {
                    let _ = fmt::write(&mut text, format_args!("{status}"));
                }
            }
        }
        text
    }
}

/// One command of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// Where it begins.
    pub position: Position,
    /// Its words; at least one.
    pub words: Vec<Word>,
    /// When it runs.
    pub condition: Condition,
    /// Whether the shell waits for it.
    pub mode: Mode,
}

/// The commands of `text`, in order.
///
/// Takes any text; an error names its place.
pub fn parse(text: &str) -> Result<Vec<Command>, ParseError> {
    let mut reader = Reader { rest: text.chars(), position: Position { line: 1, column: 1 } };
    let mut commands: Vec<Command> = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut start = reader.position;
    let mut condition = Condition::Always;
    // The operator whose right side is awaited, with its place.
    let mut awaited: Option<(&'static str, Position)> = None;

    loop {
        let position = reader.position;
        let Some(c) = reader.peek() else { break };
        let separator = match c {
            ' ' | '\t' | '\r' => {
                reader.next();
                continue;
            }
            '\\' if reader.second() == Some('\n') => {
                reader.next();
                reader.next();
                continue;
            }
            '#' => {
                while reader.peek().is_some_and(|c| c != '\n') {
                    reader.next();
                }
                continue;
            }
            '\n' => {
                reader.next();
                "\n"
            }
            ';' => {
                reader.next();
                ";"
            }
            '&' => {
                reader.next();
                if reader.take('&') { "&&" } else { "&" }
            }
            '|' if reader.second() == Some('|') => {
                reader.next();
                reader.next();
                "||"
            }
            _ => {
                if words.is_empty() {
                    start = position;
                }
                words.push(reader.word()?);
                continue;
            }
        };
        if words.is_empty() {
            match separator {
                // Empty lines are nothing, also after `&&`.
                "\n" => continue,
                ";" if awaited.is_none() => continue,
                operator => return Err(ParseError { position, problem: Problem::MissingLeft(operator) }),
            }
        }
        let mode = if separator == "&" { Mode::Background } else { Mode::Foreground };
        commands.push(Command { position: start, words: core::mem::take(&mut words), condition, mode });
        (condition, awaited) = match separator {
            "&&" => (Condition::Succeeded, Some((separator, position))),
            "||" => (Condition::Failed, Some((separator, position))),
            _ => (Condition::Always, None),
        };
    }
    if !words.is_empty() {
        commands.push(Command { position: start, words, condition, mode: Mode::Foreground });
    } else if let Some((operator, position)) = awaited {
        return Err(ParseError { position, problem: Problem::MissingRight(operator) });
    }
    Ok(commands)
}

/// `text` as one word that [`parse`] gives back unchanged: for messages that show a command.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%*?!~^{}[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return String::from(text);
    }
    let mut quoted = String::from("'");
    for c in text.chars() {
        if c == '\'' {
            quoted.push_str("'\\''");
        } else {
            quoted.push(c);
        }
    }
    quoted.push('\'');
    quoted
}

struct Reader<'a> {
    rest: core::str::Chars<'a>,
    position: Position,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn second(&self) -> Option<char> {
        self.rest.clone().nth(1)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.position = Position { line: self.position.line.saturating_add(1), column: 1 };
        } else {
            self.position.column = self.position.column.saturating_add(1);
        }
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    /// A word, of which at least the first character is there.
    fn word(&mut self) -> Result<Word, ParseError> {
        let mut word = WordBuilder::default();
        while let Some(c) = self.peek() {
            let position = self.position;
            let problem = |problem| ParseError { position, problem };
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' => break,
                '|' if self.second() == Some('|') => break,
                '|' | '<' | '>' | '(' | ')' | '`' => return Err(problem(Problem::Reserved(c))),
                '\'' => {
                    self.next();
                    word.begin();
                    loop {
                        match self.next() {
                            Some('\'') => break,
                            Some(c) => word.push(c),
                            None => return Err(problem(Problem::OpenQuote('\''))),
                        }
                    }
                }
                '"' => {
                    self.next();
                    word.begin();
                    self.double_quoted(position, &mut word)?;
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c) => word.push(c),
                        None => return Err(problem(Problem::OpenEscape)),
                    }
                }
                '$' if self.second() == Some('?') => {
                    self.next();
                    self.next();
                    word.status();
                }
                c if c.is_control() => return Err(problem(Problem::Control(c))),
                c => {
                    self.next();
                    word.push(c);
                }
            }
        }
        Ok(word.finish())
    }

    /// The rest of a double-quoted part that opened at `opened`.
    fn double_quoted(&mut self, opened: Position, word: &mut WordBuilder) -> Result<(), ParseError> {
        loop {
            let position = self.position;
            let Some(c) = self.next() else {
                return Err(ParseError { position: opened, problem: Problem::OpenQuote('"') });
            };
            match c {
                '"' => return Ok(()),
                '$' if self.take('?') => word.status(),
                '\\' => match self.next() {
                    Some('n') => word.push('\n'),
                    Some('t') => word.push('\t'),
                    Some('\n') => {}
                    Some(c @ ('\\' | '"' | '$' | '\'')) => word.push(c),
                    Some(c) => return Err(ParseError { position, problem: Problem::UnknownEscape(c) }),
                    None => return Err(ParseError { position: opened, problem: Problem::OpenQuote('"') }),
                },
                c => word.push(c),
            }
        }
    }
}

#[derive(Default)]
struct WordBuilder {
    pieces: Vec<Piece>,
    text: String,
    quoted: bool,
}

impl WordBuilder {
    /// A quote opened: the word is there even if nothing is in it.
    fn begin(&mut self) {
        self.quoted = true;
    }

    fn push(&mut self, c: char) {
        self.text.push(c);
    }

    fn status(&mut self) {
        self.cut();
        self.pieces.push(Piece::Status);
    }

    fn cut(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(Piece::Text(core::mem::take(&mut self.text)));
        }
    }

    fn finish(mut self) -> Word {
        self.cut();
        if self.pieces.is_empty() && self.quoted {
            self.pieces.push(Piece::Text(String::new()));
        }
        Word(self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        parse(text)
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
            .iter()
            .map(|command| command.words.iter().map(|word| word.expand(7)).collect())
            .collect()
    }

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn words_are_divided_by_blanks_and_joined_by_quotes() {
        assert_eq!(words("put  /a\t'two words'"), [["put", "/a", "two words"]]);
        assert_eq!(words(r#"echo a"b c"'d e'\ f"#), [["echo", "ab cd e f"]]);
        assert_eq!(words("echo '' \"\""), [["echo", "", ""]]);
        assert_eq!(words(r#"echo "a\tb\n\"\\" 'a\tb'"#), [["echo", "a\tb\n\"\\", "a\\tb"]]);
    }

    #[test]
    fn commands_are_divided_by_semicolons_and_lines() {
        assert_eq!(words("a; b\n\n;c;"), [["a"], ["b"], ["c"]]);
        assert_eq!(words("a \\\n b"), [["a", "b"]]);
        assert_eq!(words(""), Vec::<Vec<String>>::new());
        assert_eq!(words(" \n;; # only a comment"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_comment_begins_only_at_the_start_of_a_word() {
        assert_eq!(words("echo a#b # c ; d"), [["echo", "a#b"]]);
        assert_eq!(words("echo '#' \\#"), [["echo", "#", "#"]]);
    }

    #[test]
    fn the_status_is_put_in_where_it_is_asked_for() {
        assert_eq!(words("echo $? \"$?\" '$?' \\$? $HOME \"\\$?\""), [["echo", "7", "7", "$?", "$?", "$HOME", "$?"]]);
    }

    #[test]
    fn conditions_and_background_stand_with_their_command() {
        let commands = parse("a && b || c; d & e").unwrap();
        let conditions: Vec<_> = commands.iter().map(|command| (command.condition, command.mode)).collect();
        use Condition::*;
        use Mode::*;
        assert_eq!(
            conditions,
            vec![
                (Always, Foreground),
                (Succeeded, Foreground),
                (Failed, Foreground),
                (Always, Background),
                (Always, Foreground)
            ]
        );
        assert_eq!(words("a &&\n\n b"), [["a"], ["b"]]);
    }

    #[test]
    fn an_error_names_its_place() {
        assert_eq!(error("echo 'abc"), "column 6: the quote ' that opens here is never closed");
        assert_eq!(error("a\necho \"x"), "line 2, column 6: the quote \" that opens here is never closed");
        assert_eq!(error("ls | cat"), "column 4: | has no meaning here yet; put it in quotes to use it as text");
        assert_eq!(
            error("echo a > /f"),
            "column 8: > has no meaning here yet; put it in quotes to use it as text, and write files with put and append"
        );
        assert_eq!(error("&& ls"), "column 1: a command is missing before &&");
        assert_eq!(error("ls &&"), "column 4: a command is missing after &&");
        assert_eq!(error("ls && ;"), "column 7: a command is missing before ;");
        assert_eq!(error("ls || && x"), "column 7: a command is missing before &&");
        assert_eq!(error("ls \\"), "column 4: nothing follows the backslash; write \\\\ for a backslash");
        assert_eq!(error("echo \u{1b}[A"), "column 6: the control character U+001B is not allowed outside quotes");
        assert_eq!(
            error("echo \"\\q\""),
            "column 7: \\q means nothing in double quotes; there is \\n, \\t, \\\\, \\\" and \\$"
        );
    }

    #[test]
    fn unfinished_text_is_told_from_wrong_text() {
        for text in ["echo 'a", "echo \"a", "echo \"a\\", "a &&", "a ||\n", "echo \\"] {
            assert!(parse(text).unwrap_err().is_unfinished(), "{text}");
        }
        for text in ["a | b", "&& a", "; ; || a", "echo \u{7}"] {
            assert!(!parse(text).unwrap_err().is_unfinished(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_script_or_an_error_inside_it(text in "(?s).{0,60}") {
            if let Err(error) = parse(&text) {
                let lines: Vec<&str> = text.split('\n').collect();
                let line = lines.get(error.position.line as usize - 1).expect("the line is there");
                prop_assert!(error.position.column as usize <= line.chars().count() + 1);
            }
        }

        #[test]
        fn syntax_salad_never_panics(text in r#"[ab'"\\$?#;&| \n>(`]{0,40}"#) {
            if let Ok(commands) = parse(&text) {
                prop_assert!(commands.iter().all(|command| !command.words.is_empty()));
            }
        }

        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("(?s).{0,12}", 1..5)) {
            let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
            let commands = parse(&line.join(" ")).expect("quoted words are a script");
            prop_assert_eq!(commands.len(), 1);
            let back: Vec<String> = commands[0].words.iter().map(|word| word.expand(0)).collect();
            prop_assert_eq!(back, words);
        }
    }
}
