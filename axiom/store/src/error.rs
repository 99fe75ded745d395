//! What can go wrong with a log, in words: where, what, and what to do next.

use std::fmt;
use std::io;
use std::path::Path;

/// What a failure is about, for those who act on it: the `orbital` command ends with another
/// status for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Log or key are not what they should be.
    Damaged,
    /// There is no log, or nothing of that number in it.
    Absent,
    /// A file or the output could not be read or written.
    Io,
    /// Nobody reads the output any more.
    OutputClosed,
}

/// A failure: cause and next step.
#[derive(Debug)]
pub struct Error {
    /// What is wrong, and where: file, and block or record where there is one.
    pub cause: String,
    /// What to do about it.
    pub next: String,
    /// What it is about.
    pub kind: Kind,
}

impl Error {
    /// Something that is not what it should be.
    pub fn new(cause: impl Into<String>, next: impl Into<String>) -> Error {
        Error { cause: cause.into(), next: next.into(), kind: Kind::Damaged }
    }

    /// Something that is not there.
    pub fn absent(cause: impl Into<String>, next: impl Into<String>) -> Error {
        Error { kind: Kind::Absent, ..Error::new(cause, next) }
    }

    /// An error of the host about a file. A file of the log that is not there, or is none, is damage.
    pub fn file(path: impl AsRef<Path>, what: &str, error: io::Error, next: &str) -> Error {
        use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound};
        // `InvalidData`: a pipe or a device lies there (`folder::read_file`).
        let damaged = matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | NotFound);
        let kind = if damaged { Kind::Damaged } else { Kind::Io };
        let next = next_step(&error).unwrap_or(next);
        Error { kind, ..Error::new(format!("{}: {what}: {error}", path.as_ref().display()), next) }
    }

    /// The output could not be written.
    pub fn output(error: io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::OutputClosed } else { Kind::Io };
        let next = next_step(&error).unwrap_or("Repeat it; nothing in the log was changed.");
        Error { kind, ..Error::new(format!("standard output: {error}"), next) }
    }
}

/// What helps where the host refuses for a reason that has nothing to do with the file: its
/// limits, and the state of the disk. `None` for other errors.
pub fn next_step(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    // ENFILE and EMFILE have no kind of their own.
    if matches!(error.raw_os_error(), Some(23 | 24)) {
        return Some("Raise the limit of open files (ulimit -n), then start again.");
    }
    match error.kind() {
        FileTooLarge => Some("Raise the limit of the size of files (ulimit -f), then start again."),
        StorageFull => Some("Make room on that disk, then start again."),
        QuotaExceeded => Some("Make room within the disk quota, then start again."),
        OutOfMemory => Some("Allow the program more memory (ulimit -v), then start again."),
        ReadOnlyFilesystem => Some("Mount the disk so that it can be written, or choose another folder."),
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.cause, self.next)
    }
}

impl std::error::Error for Error {}
