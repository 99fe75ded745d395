//! One line on a terminal that says what takes long.

use rustix::stdio::stderr;
use rustix::termios::isatty;
use std::io::Write;

/// Where progress is shown, if anywhere.
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub fn to_terminal() -> Progress {
        Progress { shown: isatty(stderr()) }
    }

    /// Nowhere.
    pub fn silent() -> Progress {
        Progress { shown: false }
    }

    /// Shows a line in place of the last one.
    pub fn show(&self, text: &str) {
        if self.shown {
            let mut out = std::io::stderr().lock();
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
        }
    }

    /// Says something that stays, on standard error whether that is a terminal or not.
    pub fn note(&self, text: &str) {
        self.clear();
        eprintln!("orbital: {text}");
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.show("");
    }
}
