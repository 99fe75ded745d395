//! What went wrong, in words for the person at the terminal: the cause, what to do next, and the exit status.

use std::fmt;
use std::path::Path;

/// Exit statuses beside those of the session itself. They are those of `orbital`.
pub mod status {
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The log or the key is not what it should be.
    pub const LOG: u8 = 65;
    /// Something is missing on this machine.
    pub const UNAVAILABLE: u8 = 69;
    /// The machine ended and did not say with what.
    pub const STOPPED: u8 = 70;
    /// A file cannot be read or written.
    pub const IO: u8 = 74;
    /// Another machine has the state folder.
    pub const IN_USE: u8 = 75;
    /// The machine was switched off by a key.
    pub const SWITCHED_OFF: u8 = 130;
    /// Nobody reads the output any more; as a shell reports SIGPIPE.
    pub const OUTPUT_CLOSED: u8 = 141;
}

/// A problem, its cause, and the next step.
#[derive(Debug)]
pub struct Problem {
    /// What is wrong.
    pub cause: String,
    /// What to do about it; empty where the cause says it.
    pub next: String,
    /// With what the command ends.
    pub status: u8,
}

impl Problem {
    /// Of these words.
    pub fn new(status: u8, cause: impl Into<String>, next: impl Into<String>) -> Problem {
        Problem { cause: cause.into(), next: next.into(), status }
    }

    /// Of a file that could not be read or written.
    pub fn file(path: &Path, error: &std::io::Error) -> Problem {
        let next = match error.kind() {
            std::io::ErrorKind::StorageFull => "make room on the disk",
            _ => "check its permissions, or choose another folder with --state DIR",
        };
        Problem::new(status::IO, format!("{}: {error}", path.display()), next)
    }
}

impl From<log_store::Error> for Problem {
    fn from(error: log_store::Error) -> Problem {
        let status = if error.kind == log_store::error::Kind::Io { status::IO } else { status::LOG };
        Problem::new(status, error.cause, error.next)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next.as_str() {
            "" => f.write_str(&self.cause),
            next => write!(f, "{}\n  next: {next}", self.cause),
        }
    }
}

impl std::error::Error for Problem {}
