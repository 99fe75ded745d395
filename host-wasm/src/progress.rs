//! One line on a terminal that says what takes long, and notes that stay.

use rustix::stdio::stderr;
use rustix::termios::isatty;
use std::io::Write;

/// How notes are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notes {
    None,
    Text,
    Json,
}

/// Where progress is shown, if anywhere.
pub struct Progress {
    shown: bool,
    notes: Notes,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub fn to_terminal() -> Progress {
        Progress { shown: isatty(stderr()), notes: Notes::Text }
    }

    /// Notes on standard error, as JSON objects, one a line.
    pub fn to_program() -> Progress {
        Progress { shown: false, notes: Notes::Json }
    }

    /// Nowhere.
    pub fn silent() -> Progress {
        Progress { shown: false, notes: Notes::None }
    }

    /// Shows a line in place of the last one.
    pub fn show(&self, text: &str) {
        if self.shown {
            let mut out = std::io::stderr().lock();
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
        }
    }

    /// Says that something begins that takes long; where it is no terminal, as a note.
    pub fn begin(&self, text: &str) {
        if self.shown {
            self.show(text);
        } else {
            self.note(text);
        }
    }

    /// Says something that stays, on standard error whether that is a terminal or not.
    pub fn note(&self, text: &str) {
        self.clear();
        match self.notes {
            Notes::None => {}
            Notes::Text => say(format_args!("orbital: {text}")),
            Notes::Json => say(serde_json::json!({ "note": text })),
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.show("");
    }
}

/// A line on standard error. Where nobody can be told, nothing else goes wrong.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
