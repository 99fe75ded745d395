//! Limits that the host sets this program, and what a system needs of them. They are looked at
//! before anything is made: beyond them the engine or the standard library may only panic.

use crate::problem::{Problem, status};
use rustix::process::{Resource, getrlimit};

/// Open files: disk, log, key, cache, console, events, and what the engine opens while it compiles.
pub const FILES: u64 = 48;
/// Address space in bytes: this program, its threads' stacks, the compiler, and a few processes.
pub const ADDRESS_SPACE: u64 = 1 << 30;

/// One limit, as it is and as it must be.
pub struct Limit {
    /// Its name.
    pub name: &'static str,
    /// The option of `ulimit` that sets it.
    pub option: &'static str,
    /// What it is, in the unit of that option; `None`: there is none.
    pub current: Option<u64>,
    /// The least with which a system works.
    pub least: u64,
    /// The unit, in words.
    pub unit: &'static str,
}

impl Limit {
    /// Whether a system works with it.
    pub fn is_enough(&self) -> bool {
        self.current.is_none_or(|current| current >= self.least)
    }

    /// What helps where it is not enough.
    pub fn next(&self) -> String {
        format!("raise the limit: ulimit {} {} or more", self.option, self.least)
    }
}

/// The limits that matter.
pub fn limits() -> [Limit; 2] {
    [
        Limit {
            name: "open files",
            option: "-n",
            current: getrlimit(Resource::Nofile).current,
            least: FILES,
            unit: "files",
        },
        Limit {
            name: "address space",
            option: "-v",
            current: address_space().map(|bytes| bytes >> 10),
            least: ADDRESS_SPACE >> 10,
            unit: "KiB",
        },
    ]
}

/// The limit of the address space, in bytes.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// That a system can run within them.
pub fn check() -> Result<(), Problem> {
    match limits().into_iter().find(|limit| !limit.is_enough()) {
        None => Ok(()),
        Some(limit) => Err(Problem::new(
            status::UNAVAILABLE,
            format!(
                "the limit of {} is {} {}, and a system needs {}",
                limit.name,
                limit.current.unwrap_or_default(),
                limit.unit,
                limit.least
            ),
            limit.next(),
        )),
    }
}
