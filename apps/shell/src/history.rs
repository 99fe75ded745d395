//! The lines entered before: bounded, without repetition, kept as lines of text.

use alloc::string::String;
use alloc::vec::Vec;

/// The most lines that are kept.
pub const CAPACITY: usize = 500;

/// Lines entered before, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    lines: Vec<String>,
}

impl History {
    /// The history that [`History::to_text`] wrote; the newest [`CAPACITY`] lines.
    pub fn from_text(text: &str) -> History {
        let mut history = History::default();
        for line in text.lines() {
            history.add(line);
        }
        history
    }

    /// All lines, each ended by a newline.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Adds a line; returns whether it is new. A blank line, one that repeats the
    /// newest, and one that begins with a blank (so that a secret can be kept out) are not.
    pub fn add(&mut self, line: &str) -> bool {
        let repeats = self.lines.last().is_some_and(|newest| newest == line);
        if line.is_empty() || line.starts_with(char::is_whitespace) || line.contains(['\n', '\r']) || repeats {
            return false;
        }
        if self.lines.len() >= CAPACITY {
            self.lines.remove(0);
        }
        self.lines.push(String::from(line));
        true
    }

    /// The line entered `back` lines before; 1 is the newest.
    pub fn back(&self, back: usize) -> Option<&str> {
        let index = self.lines.len().checked_sub(back)?;
        self.lines.get(index).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn the_newest_line_is_one_back() {
        let history = History::from_text("one\ntwo\n");
        assert_eq!(history.back(1), Some("two"));
        assert_eq!(history.back(2), Some("one"));
        assert_eq!((history.back(0), history.back(3)), (None, None));
    }

    #[test]
    fn repetitions_blanks_and_secrets_are_not_kept() {
        let mut history = History::default();
        assert!(history.add("ls"));
        for line in ["ls", "", "  ", " echo secret", "a\nb"] {
            assert!(!history.add(line), "{line:?}");
        }
        assert_eq!(history.to_text(), "ls\n");
    }

    #[test]
    fn it_is_bounded_and_comes_back_from_text() {
        let mut history = History::default();
        for number in 0..CAPACITY + 3 {
            history.add(&format!("echo {number}"));
        }
        assert_eq!(history.back(CAPACITY), Some("echo 3"));
        assert_eq!(history.back(CAPACITY + 1), None);
        assert_eq!(History::from_text(&history.to_text()), history);
    }
}
