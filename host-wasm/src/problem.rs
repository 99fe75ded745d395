//! What went wrong, in words for the person at the terminal: the cause, what to do
//! next, and the exit status.

use std::fmt;
use std::path::Path;

/// Exit statuses of the `orbital` command, beside those of the session itself. They are
/// those of sysexits.h where it has one.
pub mod status {
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// What was given cannot be run: no file, no executable.
    pub const NO_INPUT: u8 = 66;
    /// The system stopped by itself: nobody in it runs any more.
    pub const STOPPED: u8 = 70;
    /// Disk or log cannot be read or written.
    pub const IO: u8 = 74;
    /// Another instance has the state folder.
    pub const IN_USE: u8 = 75;
    /// The log is not what it should be.
    pub const LOG: u8 = 65;
    /// The machine does not have what is needed.
    pub const UNAVAILABLE: u8 = 69;
}

/// A problem, its cause, and the next step.
#[derive(Debug)]
pub struct Problem {
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
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
            std::io::ErrorKind::PermissionDenied => "check its permissions, or choose another folder with --state DIR",
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::StorageFull => "make room on that disk",
            std::io::ErrorKind::ReadOnlyFilesystem => "choose a folder that can be written with --state DIR",
            _ => "check the disk, or choose another folder with --state DIR",
        };
        Problem::new(status::IO, format!("{}: {error}", path.display()), next)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  next: {}", self.cause, self.next)
    }
}

impl std::error::Error for Problem {}
