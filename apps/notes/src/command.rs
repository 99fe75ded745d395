//! What notes is asked to do.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Notes that are kept or removed by one transaction of storage, which takes 256 steps: a look and a change of each.
const AT_ONCE: usize = 128;

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Keep a note.
    Add(String),
    /// Keep several, all of them or none.
    AddAll(Vec<String>),
    /// List the notes.
    List,
    /// Show one.
    Show(u32),
    /// Remove these, all of them or none.
    Remove(Vec<u32>),
    /// List those with a word in them, in upper or lower case.
    Find(String),
}

/// The arguments are no request, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misuse(pub String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nusage: notes add TEXT | add-all TEXT... | list | show NUMBER | rm NUMBER... | find WORD", self.0)
    }
}

impl Command {
    /// The request that the arguments make; none of them lists.
    pub fn parse(arguments: &[String]) -> Result<Command, Misuse> {
        let misuse = |problem: &str| Err(Misuse(String::from(problem)));
        let Some((name, rest)) = arguments.split_first() else { return Ok(Command::List) };
        match (name.as_str(), rest) {
            ("add", []) => misuse("a note has a text"),
            ("add", words) => {
                let text = words.join(" ");
                if text.trim().is_empty() { misuse("a note has a text") } else { Ok(Command::Add(text)) }
            }
            ("add-all", texts) if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) => {
                misuse("each note has a text")
            }
            ("add-all" | "rm", notes) if notes.len() > AT_ONCE => misuse("at most 128 notes at once"),
            ("add-all", texts) => Ok(Command::AddAll(texts.to_vec())),
            ("list", []) => Ok(Command::List),
            ("show", [number]) => Ok(Command::Show(parse_number(number)?)),
            ("show", _) => misuse("the number of one note is needed, as list shows it"),
            ("rm", []) => misuse("the number of a note is needed, as list shows it"),
            ("rm", numbers) => {
                Ok(Command::Remove(numbers.iter().map(|number| parse_number(number)).collect::<Result<_, _>>()?))
            }
            ("find", [word]) if !word.is_empty() => Ok(Command::Find(word.clone())),
            ("find", _) => misuse("one word to find is needed"),
            ("list", _) => misuse("list takes nothing more"),
            _ => misuse("there is no such request"),
        }
    }
}

fn parse_number(text: &str) -> Result<u32, Misuse> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Misuse(alloc::format!("{text:?} is no number of a note"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn parse(words: &[&str]) -> Result<Command, Misuse> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Command::parse(&words)
    }

    #[test]
    fn every_request_has_its_form() {
        assert_eq!(parse(&["add", "buy", "milk"]), Ok(Command::Add("buy milk".into())));
        assert_eq!(parse(&[]), Ok(Command::List));
        assert_eq!(parse(&["list"]), Ok(Command::List));
        assert_eq!(parse(&["show", "3"]), Ok(Command::Show(3)));
        assert_eq!(
            parse(&["add-all", "buy milk", "tea"]),
            Ok(Command::AddAll(["buy milk".into(), "tea".into()].into()))
        );
        assert_eq!(parse(&["rm", "3"]), Ok(Command::Remove([3].into())));
        assert_eq!(parse(&["rm", "3", "1"]), Ok(Command::Remove([3, 1].into())));
        assert_eq!(parse(&["find", "milk"]), Ok(Command::Find("milk".into())));
    }

    #[test]
    fn one_transaction_has_room_for_so_many() {
        for name in ["add-all", "rm"] {
            let words = |count: usize| [&[name][..], &alloc::vec!["1"; count]].concat();
            assert!(parse(&words(AT_ONCE)).is_ok());
            assert!(parse(&words(AT_ONCE + 1)).is_err());
        }
    }

    #[test]
    fn all_else_is_told_with_the_usage() {
        for words in [
            &["add"][..],
            &["add", " "],
            &["add-all"],
            &["add-all", "tea", " "],
            &["show"],
            &["rm"],
            &["rm", "3", "x"],
            &["show", "x"],
            &["rm", "0"],
            &["rm", "-1"],
            &["rm", "99999999999"],
            &["find"],
            &["find", ""],
            &["list", "all"],
            &["sing"],
        ] {
            let misuse = parse(words).expect_err("it is no request");
            assert!(misuse.to_string().contains("usage: notes add"), "{words:?}");
        }
    }
}
