//! What Tab adds: the rest of a command's name, of a service's or of a path. Pure; what there
//! is to choose from comes from [`crate::shell::Shell::candidates`].

use crate::parse::quote;
use alloc::string::String;
use alloc::vec::Vec;

/// What kind of word the cursor stands behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The first word of a command.
    Command,
    /// A service.
    Service,
    /// A key of a value.
    Key,
    /// A path in this folder (it ends in `/`).
    Path(String),
}

/// What completion leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Completed {
    /// Text to insert; empty if there is nothing.
    Insert(String),
    /// Several go on differently: all of them, in one line.
    Choices(String),
}

/// The word before the cursor and what it should be.
pub fn wanted(before: &str) -> (Wanted, &str) {
    // The last command of the line: a separator inside quotes misleads this, harmlessly.
    let command = before.rsplit([';', '&', '|']).next().unwrap_or(before).trim_start();
    let mut words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
    let word = if command.ends_with(' ') || command.is_empty() { "" } else { words.pop().unwrap_or("") };
    let wanted = match words.first().copied() {
        None => Wanted::Command,
        Some("time") if words.len() == 1 => Wanted::Command,
        Some("help") => Wanted::Command,
        Some("services" | "start" | "stop" | "restart" | "kill" | "caps" | "capture") => Wanted::Service,
        Some("upgrade") if words.len() == 1 => Wanted::Service,
        Some("set" | "get" | "unset" | "keys" | "watch" | "transact") => Wanted::Key,
        Some(_) => Wanted::Path(String::from(&word[..word.rfind('/').map_or(0, |at| at + 1)])),
    };
    match wanted {
        Wanted::Path(folder) => {
            let name = &word[folder.len()..];
            (Wanted::Path(folder), name)
        }
        wanted => (wanted, word),
    }
}

/// Completes the text before the cursor by `names`.
pub fn complete(before: &str, names: &[String]) -> Completed {
    let (_, word) = wanted(before);
    let matching: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.starts_with(word)).collect();
    let Some(first) = matching.first() else { return Completed::Insert(String::new()) };
    if matching.len() == 1 {
        let mut rest = String::from(&first[word.len()..]);
        if !first.ends_with('/') {
            rest.push(' ');
        }
        // A name that needs quotes is left to be typed.
        return Completed::Insert(if quote(first) == *first { rest } else { String::new() });
    }
    let mut common = first.len();
    for name in &matching {
        let same = first.char_indices().zip(name.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        common = common.min(same.unwrap_or_else(|| first.len().min(name.len())));
    }
    if common > word.len() {
        return Completed::Insert(String::from(&first[word.len()..common]));
    }
    Completed::Choices(matching.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_word_before_the_cursor_says_what_is_wanted() {
        assert_eq!(wanted("he"), (Wanted::Command, "he"));
        assert_eq!(wanted("ls; ca"), (Wanted::Command, "ca"));
        assert_eq!(wanted("ls && "), (Wanted::Command, ""));
        assert_eq!(wanted("kill st"), (Wanted::Service, "st"));
        assert_eq!(wanted("get no/te"), (Wanted::Key, "no/te"));
        assert_eq!(wanted("cat /no"), (Wanted::Path("/".into()), "no"));
        assert_eq!(wanted("mv /a/b /c/"), (Wanted::Path("/c/".into()), ""));
    }

    #[test]
    fn one_match_is_inserted_whole_and_several_as_far_as_they_agree() {
        let insert = |text: &str| Completed::Insert(text.into());
        assert_eq!(complete("sp", &names(&["spawn", "stat"])), insert("awn "));
        assert_eq!(complete("st", &names(&["stat", "start", "ls"])), insert("a"));
        assert_eq!(complete("sta", &names(&["stat", "start"])), Completed::Choices("stat  start".into()));
        assert_eq!(complete("x", &names(&["stat"])), insert(""));
        assert_eq!(complete("cat /a/no", &names(&["notes/"])), insert("tes/"));
        assert_eq!(complete("cat /a", &names(&["a b"])), insert(""));
    }

    proptest! {
        #[test]
        fn any_text_is_completed_by_its_own_rest(before in "(?s).{0,20}", name in "[a-zß日]{1,6}") {
            let (_, word) = wanted(&before);
            let whole = alloc::format!("{word}{name}");
            if let Completed::Insert(text) = complete(&before, core::slice::from_ref(&whole)) {
                let inserted = alloc::format!("{word}{}", text.trim_end());
                prop_assert!(text.is_empty() || inserted == whole.trim_end());
            }
        }
    }
}
