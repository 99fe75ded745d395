//! What went wrong, in words for the person at the terminal: the cause, what to do
//! next, and the exit status.

use log_store::error::Kind;
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// Exit statuses of the `orbital` command, beside those of the session itself. They are
/// those of sysexits.h where it has one.
pub mod status {
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// What was named is not there, or cannot be run: no file, no executable, no log, no such record.
    pub const NO_INPUT: u8 = 66;
    /// The system stopped by itself: nobody in it runs any more.
    pub const STOPPED: u8 = 70;
    /// Disk or log cannot be read or written.
    pub const IO: u8 = 74;
    /// Another instance has the state folder.
    pub const IN_USE: u8 = 75;
    /// The log, the key or the disk is not what it should be.
    pub const LOG: u8 = 65;
    /// Nobody reads the output any more; as a shell reports SIGPIPE.
    pub const OUTPUT_CLOSED: u8 = 141;
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
            _ => log_store::error::next_step(error)
                .unwrap_or("check the disk, or choose another folder with --state DIR"),
        };
        Problem::new(status::IO, format!("{}: {error}", path.display()), next)
    }

    /// Of a thread that could not be started, or what it needs.
    pub fn thread(what: &str, error: &std::io::Error) -> Problem {
        let next = log_store::error::next_step(error)
            .unwrap_or("check the limits of threads and of address space (ulimit -u, ulimit -v)");
        Problem::new(status::UNAVAILABLE, format!("{what}: {error}"), next)
    }

    /// Of a file to be read that was named on the command line.
    pub fn input(path: &Path, error: &std::io::Error) -> Problem {
        let next = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "check its permissions",
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "check the path",
            std::io::ErrorKind::IsADirectory => "name a file, not a folder",
            _ => log_store::error::next_step(error).unwrap_or("check the file, and the disk that it is on"),
        };
        Problem::new(status::NO_INPUT, format!("{}: {error}", path.display()), next)
    }
}

impl From<log_store::Error> for Problem {
    fn from(error: log_store::Error) -> Problem {
        let status = match error.kind {
            Kind::Damaged => status::LOG,
            Kind::Absent => status::NO_INPUT,
            Kind::Io => status::IO,
            Kind::OutputClosed => status::OUTPUT_CLOSED,
        };
        Problem::new(status, error.cause, error.next)
    }
}

/// What someone typed, short enough to be repeated to them.
pub fn shortened(text: &str) -> Cow<'_, str> {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  next: {}", self.cause, self.next)
    }
}

impl std::error::Error for Problem {}
