//! The shell's end of the console: output that is never lost, keys, and whole lines.

use crate::keys::{Decoder, Key};
use crate::text::size;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use libprocess::console::LONGEST_LINE;
use libprocess::{Console, Error, Process};

/// Most bytes that are read at once.
const READ: u32 = 4096;

/// Output and input of the shell. Without a console, output goes to the host's debug
/// output and the input is at its end.
pub struct Screen {
    console: Option<Console>,
    terminal: bool,
}

impl Screen {
    /// Over the console that the process was given, if it was given one.
    pub fn new(console: Option<Console>) -> Screen {
        let terminal = console.as_ref().is_some_and(Console::is_terminal);
        Screen { console, terminal }
    }

    /// Whether a person may be at the other end.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns of the terminal; 0 if they are not known.
    pub fn columns(&self) -> usize {
        self.console.as_ref().and_then(Console::columns).map_or(0, |columns| columns as usize)
    }

    /// The console.
    pub fn console(&self) -> Option<&Console> {
        self.console.as_ref()
    }

    /// Shows text; returns when the console has taken it.
    pub async fn show(&self, text: &str) {
        self.show_bytes(text.as_bytes()).await;
    }

    /// Shows bytes as they are.
    pub async fn show_bytes(&self, bytes: &[u8]) {
        let Some(console) = &self.console else {
            libprocess::print!("{}", String::from_utf8_lossy(bytes));
            return;
        };
        // A console that is gone shows nothing, and there is nobody to tell.
        let _ = console.write(bytes).await;
    }
}

/// Whether the session is asked to end: by Ctrl-C at the host, or a machine that goes down.
pub struct Stop {
    process: Process,
    requested: Cell<bool>,
}

impl Stop {
    /// Of this process.
    pub fn new(process: Process) -> Stop {
        Stop { process, requested: Cell::new(false) }
    }

    /// Whether it was asked to end, as far as it has looked.
    pub fn is_requested(&self) -> bool {
        self.requested.get()
    }

    /// Waits until it is asked to end. Can be given up at any time.
    pub async fn requested(&self) {
        if !self.requested.get() {
            self.process.stop_requested().await;
            self.requested.set(true);
        }
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>>>>;

/// Keys as they are typed. What is typed while nobody waits is kept.
pub struct Keyboard {
    console: Console,
    decoder: Decoder,
    keys: VecDeque<Key>,
    /// A read that is under way: kept when a wait for a key is given up, so that no key is lost.
    reading: Option<Reading>,
    ended: bool,
}

impl Keyboard {
    /// The keyboard of `console`.
    pub fn new(console: Console) -> Keyboard {
        Keyboard { console, decoder: Decoder::default(), keys: VecDeque::new(), reading: None, ended: false }
    }

    /// The next key; `None` at the end of the input. A wait for it can be given up at any time.
    pub async fn key(&mut self) -> Option<Key> {
        loop {
            if let Some(key) = self.keys.pop_front() {
                return Some(key);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Waits until Ctrl-C is typed, and forgets what was typed before it. Waits for ever at the
    /// end of the input. Can be given up at any time.
    pub async fn interrupted(&mut self) {
        loop {
            if let Some(at) = self.keys.iter().position(|key| *key == Key::Control('c')) {
                self.keys.drain(..=at);
                return;
            }
            if !self.read().await {
                core::future::pending::<()>().await;
            }
        }
    }

    /// Reads more keys; false at the end of the input.
    async fn read(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let reading = self.reading.get_or_insert_with(|| {
            let console = self.console.clone();
            Box::pin(async move { console.read(READ).await })
        });
        let bytes = reading.await;
        self.reading = None;
        match bytes {
            Ok(bytes) if !bytes.is_empty() => {
                self.keys.extend(bytes.into_iter().filter_map(|byte| self.decoder.push(byte)));
            }
            _ => self.ended = true,
        }
        !self.ended
    }
}

/// Input that is not typed at a terminal, in lines.
pub struct Lines {
    console: Console,
    /// How many were read.
    count: u64,
}

/// A line that is not carried out. Lines count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadLine {
    /// It is no text.
    NotText {
        /// Which line of the input.
        line: u64,
        /// Which character of it is none, from 1.
        column: usize,
        /// The byte there.
        byte: u8,
    },
    /// It has more than [`LONGEST_LINE`] bytes.
    TooLong {
        /// Which line of the input.
        line: u64,
    },
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadLine::NotText { line, column, byte } => write!(
                f,
                "line {line} of the input, column {column}: the byte {byte:02X} is not UTF-8, so the line is not \
                 carried out; write it in UTF-8"
            ),
            BadLine::TooLong { line } => write!(
                f,
                "line {line} of the input is longer than {}, so it is not carried out; `put --input` and `set --input` \
                 take what is larger",
                size(LONGEST_LINE as u64)
            ),
        }
    }
}

impl Lines {
    /// The lines of `console`.
    pub fn new(console: Console) -> Lines {
        Lines { console, count: 0 }
    }

    /// How many lines were read.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next line; `None` at the end of the input.
    pub async fn line(&mut self) -> Option<Result<String, BadLine>> {
        let bytes = match self.console.read_line_bytes().await {
            Ok(bytes) => Ok(bytes?),
            Err(Error::TooLarge) => Err(BadLine::TooLong { line: self.count + 1 }),
            // A console that is gone has nothing more to say.
            Err(_) => return None,
        };
        self.count += 1;
        Some(bytes.and_then(|bytes| text(self.count, bytes)))
    }
}

/// The text of the line with this number.
fn text(line: u64, bytes: Vec<u8>) -> Result<String, BadLine> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        let byte = error.as_bytes().get(good).copied().unwrap_or_default();
        BadLine::NotText { line, column: 1 + String::from_utf8_lossy(before).chars().count(), byte }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        assert_eq!(text(1, b"put /a \xC3\xA4".to_vec()), Ok("put /a ä".to_string()));
        let error = text(3, b"\xC3\xA4 \xFF\xFE".to_vec()).unwrap_err();
        assert_eq!(error, BadLine::NotText { line: 3, column: 3, byte: 0xFF });
        assert!(error.to_string().starts_with("line 3 of the input, column 3: the byte FF is not UTF-8"));
        assert_eq!(text(1, b"cut \xC3".to_vec()), Err(BadLine::NotText { line: 1, column: 5, byte: 0xC3 }));
    }

    proptest! {
        #[test]
        fn any_line_is_itself_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            match text(1, bytes.clone()) {
                Ok(text) => prop_assert_eq!(text.into_bytes(), bytes),
                Err(BadLine::NotText { column, byte, .. }) => {
                    prop_assert!(bytes.contains(&byte) && column <= bytes.len());
                }
                Err(BadLine::TooLong { .. }) => prop_assert!(false, "it is short"),
            }
        }
    }
}
