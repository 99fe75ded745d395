//! One enum over the whole interface, each error with one meaning.

use serde::{Deserialize, Serialize};

/// Why a system call was refused or ended without what it asked for. A call that
/// fails has changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Error {
    /// There never was a capability in this slot.
    BadHandle = 1,
    /// The slot once held a capability and no longer does, or a reply was used.
    StaleHandle = 2,
    /// The capability names another kind of object.
    WrongKind = 3,
    /// The capability lacks a right that the call needs.
    MissingRight = 4,
    /// The capability's time is over.
    Expired = 5,
    /// What the caller waited on was revoked or destroyed.
    Revoked = 6,
    /// An argument is outside what the call allows.
    InvalidArgument = 7,
    /// It would have to wait, and the caller said not to.
    WouldBlock = 8,
    /// The time-out came first.
    TimedOut = 9,
    /// The other side of a call went before it answered.
    PeerGone = 10,
    /// The quota that would pay for it has too little left.
    QuotaExceeded = 11,
    /// More bytes or capabilities than a message or object can have.
    TooLarge = 12,
    /// This host or version does not have it.
    Unsupported = 13,
    /// The wait was ended from outside, by suspend or kill.
    Interrupted = 14,
    /// It is bound already.
    AlreadyBound = 15,
    /// It is not bound.
    NotBound = 16,
}

impl Error {
    /// Every error, in the order of its number.
    pub const ALL: [Error; 16] = [
        Error::BadHandle,
        Error::StaleHandle,
        Error::WrongKind,
        Error::MissingRight,
        Error::Expired,
        Error::Revoked,
        Error::InvalidArgument,
        Error::WouldBlock,
        Error::TimedOut,
        Error::PeerGone,
        Error::QuotaExceeded,
        Error::TooLarge,
        Error::Unsupported,
        Error::Interrupted,
        Error::AlreadyBound,
        Error::NotBound,
    ];

    /// The error with this number.
    pub fn from_number(number: u8) -> Option<Error> {
        Error::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// What happened, as a clause: "the capability lacks a right that the call needs".
    pub const fn explanation(self) -> &'static str {
        match self {
            Error::BadHandle => "there is no capability in that slot",
            Error::StaleHandle => "the capability in that slot is gone",
            Error::WrongKind => "the capability names another kind of object",
            Error::MissingRight => "the capability lacks a right that the call needs",
            Error::Expired => "the capability has expired",
            Error::Revoked => "what it waited on was revoked or destroyed",
            Error::InvalidArgument => "an argument is outside what the call allows",
            Error::WouldBlock => "it would have to wait",
            Error::TimedOut => "the time-out came first",
            Error::PeerGone => "the other side went before it answered",
            Error::QuotaExceeded => "the quota that pays for it has too little left",
            Error::TooLarge => "it is larger than the call allows",
            Error::Unsupported => "this host does not support it",
            Error::Interrupted => "the wait was ended from outside",
            Error::AlreadyBound => "it is bound already",
            Error::NotBound => "it is not bound",
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.explanation())
    }
}

impl core::error::Error for Error {}
