//! Records of the logs as `log_read` returns them: postcard, each preceded by
//! nothing, one after the other.

use serde::{Deserialize, Serialize};

/// One system call on record, with the commit that it caused, if it caused one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Its number; no gaps.
    pub number: u64,
    /// ns since boot.
    pub time: u64,
    /// Serial of the process; 0 for the host itself.
    pub process: u64,
    /// Name of the process.
    pub name: &'a str,
    /// Thread.
    pub thread: u32,
    /// In words: call, what it concerned, how it ended, and its commit.
    pub text: &'a str,
}
