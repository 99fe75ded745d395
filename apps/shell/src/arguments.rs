//! The words after a command's name: options, their values, and the rest.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// An option of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opt {
    /// `--name`, or `-n`: is there or not.
    Flag(&'static str),
    /// `--name VALUE` or `--name=VALUE`.
    Value(&'static str),
}

/// The words after a command's name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arguments {
    flags: Vec<&'static str>,
    values: Vec<(&'static str, String)>,
    /// What is no option, in order.
    pub rest: Vec<String>,
}

/// What becomes of words that begin with `-` after the first that does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// They are options too.
    Anywhere,
    /// They are the rest: the words are another program's, or text.
    OptionsFirst,
}

impl Arguments {
    /// Sorts `words`. After `--` all is rest; a negative number and `-` alone are no options.
    /// An error is a clause for people.
    pub fn parse(words: &[String], options: &[Opt], order: Order) -> Result<Arguments, String> {
        let mut arguments = Arguments::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let number = word.parse::<i64>().is_ok();
            if !word.starts_with('-') || word == "-" || number {
                arguments.rest.push(word.clone());
                if order == Order::OptionsFirst {
                    break;
                }
                continue;
            }
            if word == "--" {
                break;
            }
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (word.as_str(), None),
            };
            let known = options.iter().find(|option| match option {
                Opt::Flag(known) | Opt::Value(known) => *known == name,
            });
            match (known, attached) {
                (Some(Opt::Flag(name)), None) => arguments.flags.push(name),
                (Some(Opt::Flag(name)), Some(_)) => return Err(format!("{name} takes no value")),
                (Some(Opt::Value(name)), Some(value)) => arguments.values.push((name, value)),
                (Some(Opt::Value(name)), None) => match words.next() {
                    Some(value) => arguments.values.push((name, value.clone())),
                    None => return Err(format!("{name} needs a value")),
                },
                (None, _) => {
                    return Err(format!("it has no option {name}; write -- before text that begins with -"));
                }
            }
        }
        arguments.rest.extend(words.cloned());
        Ok(arguments)
    }

    /// Whether the flag is there.
    pub fn flag(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The value of the option; of several, the last.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of the option, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The rest, if it is exactly `N` words.
    pub fn exactly<const N: usize>(&self) -> Option<[&str; N]> {
        let words: Vec<&str> = self.rest.iter().map(String::as_str).collect();
        words.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPTIONS: &[Opt] = &[Opt::Flag("-n"), Opt::Value("--process")];

    fn parse(words: &[&str], order: Order) -> Result<Arguments, String> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        Arguments::parse(&words, OPTIONS, order)
    }

    #[test]
    fn options_are_told_from_the_rest() {
        let arguments = parse(&["a", "-n", "--process", "x", "b"], Order::Anywhere).unwrap();
        assert!(arguments.flag("-n"));
        assert_eq!(arguments.value("--process"), Some("x"));
        assert_eq!(arguments.exactly(), Some(["a", "b"]));
        assert_eq!(arguments.exactly::<1>(), None);
    }

    #[test]
    fn the_last_value_counts_and_may_be_attached() {
        let arguments = parse(&["--process=a", "--process", "b=c"], Order::Anywhere).unwrap();
        assert_eq!(arguments.value("--process"), Some("b=c"));
        assert!(arguments.values("--process").eq(["a", "b=c"]));
    }

    #[test]
    fn text_may_look_like_an_option_where_it_is_the_rest() {
        assert_eq!(parse(&["x", "-q"], Order::OptionsFirst).unwrap().rest, ["x", "-q"]);
        assert_eq!(parse(&["--", "-q", "--"], Order::Anywhere).unwrap().rest, ["-q", "--"]);
        assert_eq!(parse(&["-5", "-"], Order::Anywhere).unwrap().rest, ["-5", "-"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse(&["-q"], Order::Anywhere).unwrap_err().contains("no option -q"));
        assert_eq!(parse(&["--process"], Order::Anywhere).unwrap_err(), "--process needs a value");
        assert_eq!(parse(&["-n=1"], Order::Anywhere).unwrap_err(), "-n takes no value");
    }

    proptest! {
        #[test]
        fn any_words_are_arguments_or_an_error(words in proptest::collection::vec("[-=a n]{0,6}", 0..6)) {
            if let Ok(arguments) = Arguments::parse(&words, OPTIONS, Order::Anywhere) {
                prop_assert!(arguments.rest.len() <= words.len());
            }
        }
    }
}
