//! One line on a terminal that says what takes long.

use rustix::stdio::stderr;
use rustix::termios::isatty;
use std::io::Write;

/// Where progress is shown, if anywhere.
pub struct Progress {
    shown: bool,
    said: bool,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub fn to_terminal() -> Progress {
        Progress { shown: isatty(stderr()), said: true }
    }

    /// Nowhere.
    pub fn silent() -> Progress {
        Progress { shown: false, said: false }
    }

    /// Shows a line in place of the last one.
    pub fn show(&self, text: &str) {
        if self.shown {
            let mut out = std::io::stderr().lock();
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
        }
    }

    /// Says that something begins that takes long; where it is no terminal, as a line that stays.
    pub fn begin(&self, text: &str) {
        if self.shown {
            self.show(text);
        } else if self.said {
            eprintln!("orbital: {text}");
        }
    }

    /// Says something that stays, on standard error whether that is a terminal or not.
    pub fn note(&self, text: &str) {
        if self.said {
            self.clear();
            eprintln!("orbital: {text}");
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.show("");
    }
}
