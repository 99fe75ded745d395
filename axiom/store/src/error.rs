//! What can go wrong with a log, in words: where, what, and what to do next.

use std::fmt;
use std::path::Path;

/// A failure: cause and next step.
#[derive(Debug)]
pub struct Error {
    /// What is wrong, and where: file, and block or record where there is one.
    pub cause: String,
    /// What to do about it.
    pub next: String,
}

impl Error {
    /// An error of this cause.
    pub fn new(cause: impl Into<String>, next: impl Into<String>) -> Error {
        Error { cause: cause.into(), next: next.into() }
    }

    /// An error of the host about a file.
    pub fn file(path: impl AsRef<Path>, what: &str, error: impl fmt::Display, next: &str) -> Error {
        Error::new(format!("{}: {what}: {error}", path.as_ref().display()), next)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.cause, self.next)
    }
}

impl std::error::Error for Error {}
