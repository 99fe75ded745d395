//! The console: what a person types, as a script, and what the system shows.

use std::collections::VecDeque;

/// What is typed, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Typed {
    /// As soon as somebody reads.
    Text(Vec<u8>),
    /// Once the output that came after the last thing typed contains this.
    Await(String),
    /// Not before so many ns since boot.
    At(u64),
}

/// The model.
#[derive(Debug)]
pub(crate) struct Console {
    script: VecDeque<Typed>,
    /// Whether input ends where the script ends; else reads wait.
    pub ends: bool,
    pub output: Vec<u8>,
    /// Where in the output an `Await` begins to look.
    seen: usize,
    pub raw: bool,
    pub terminal: bool,
    pub columns: u64,
}

/// What a read finds.
pub(crate) enum Input {
    Bytes(Vec<u8>),
    /// Nothing yet; perhaps at this time.
    NotYet(Option<u64>),
    End,
}

impl Console {
    pub fn new() -> Console {
        Console {
            script: VecDeque::new(),
            ends: true,
            output: Vec::new(),
            seen: 0,
            raw: false,
            terminal: false,
            columns: 0,
        }
    }

    pub fn push(&mut self, typed: Typed) {
        self.script.push_back(typed);
    }

    /// Takes at most `most` bytes: a line at a time, or of a raw terminal key by key.
    pub fn read(&mut self, most: usize, now: u64) -> Input {
        loop {
            match self.script.front_mut() {
                None if self.ends => return Input::End,
                None => return Input::NotYet(None),
                Some(Typed::At(time)) if *time > now => return Input::NotYet(Some(*time)),
                Some(Typed::At(_)) => {
                    self.script.pop_front();
                }
                Some(Typed::Await(text)) => {
                    let fresh = &self.output[self.seen..];
                    match fresh.windows(text.len().max(1)).position(|part| part == text.as_bytes()) {
                        Some(at) => {
                            self.seen += at + text.len();
                            self.script.pop_front();
                        }
                        None => return Input::NotYet(None),
                    }
                }
                Some(Typed::Text(text)) if text.is_empty() => {
                    self.script.pop_front();
                }
                Some(Typed::Text(text)) => {
                    let line = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
                    let count = if self.raw { 1 } else { line }.min(most);
                    return Input::Bytes(text.drain(..count).collect());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Console, Input, Typed};

    fn read(console: &mut Console, now: u64) -> Option<String> {
        match console.read(80, now) {
            Input::Bytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
            Input::NotYet(_) => None,
            Input::End => Some(String::new()),
        }
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_end() {
        let mut console = Console::new();
        console.push(Typed::Text(b"one\ntwo".to_vec()));
        assert_eq!(read(&mut console, 0).as_deref(), Some("one\n"));
        assert_eq!(read(&mut console, 0).as_deref(), Some("two"));
        assert_eq!(read(&mut console, 0).as_deref(), Some(""));
    }

    #[test]
    fn keys_come_one_by_one_from_a_raw_terminal() {
        let mut console = Console::new();
        console.raw = true;
        console.push(Typed::Text(b"ab".to_vec()));
        assert_eq!(read(&mut console, 0).as_deref(), Some("a"));
        assert_eq!(read(&mut console, 0).as_deref(), Some("b"));
    }

    #[test]
    fn input_waits_for_its_prompt_and_for_its_time() {
        let mut console = Console::new();
        console.push(Typed::Await("> ".into()));
        console.push(Typed::Text(b"first\n".to_vec()));
        console.push(Typed::Await("> ".into()));
        console.push(Typed::At(50));
        console.push(Typed::Text(b"second\n".to_vec()));
        assert_eq!(read(&mut console, 0), None);
        console.output.extend(b"hello\n> ");
        assert_eq!(read(&mut console, 0).as_deref(), Some("first\n"));
        assert_eq!(read(&mut console, 0), None, "the same prompt does not count twice");
        console.output.extend(b"> ");
        assert!(matches!(console.read(80, 10), Input::NotYet(Some(50))));
        assert_eq!(read(&mut console, 50).as_deref(), Some("second\n"));
    }
}
