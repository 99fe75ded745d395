//! The shell's end of the console: output that is never lost, keys, and whole lines.

use crate::keys::{Decoder, Key};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
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
        let Some(console) = &self.console else {
            libprocess::print!("{text}");
            return;
        };
        // A console that is gone shows nothing, and there is nobody to tell.
        let _ = console.write(text).await;
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
}

impl Lines {
    /// The lines of `console`.
    pub fn new(console: Console) -> Lines {
        Lines { console }
    }

    /// The next line; `None` at the end of the input.
    pub async fn line(&mut self) -> Option<String> {
        self.console.read_line().await.ok().flatten()
    }
}
