//! The state as bytes, and out of them again: what its hash is taken over, so a snapshot
//! is what a log says by its hash. Reading is total: it takes at most a fixed multiple of
//! the memory that the bytes take, and gives a kernel in which every invariant holds, or
//! says what is wrong and where.

use crate::activity::Activity;
use crate::authority::Authority;
use crate::{Kernel, Platform};
use core::fmt;

/// Why bytes are no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoState {
    /// They are not what the state is written as.
    Malformed {
        /// Which half: authority or activity.
        half: &'static str,
        /// Which part of it.
        part: &'static str,
        /// At which byte of the half, from 0, it cannot be read on.
        at: usize,
    },
    /// They are, but of a state in which this invariant does not hold.
    Unsound(&'static str),
}

impl fmt::Display for NoState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoState::Malformed { half, part, at } => write!(f, "{half}, at byte {at}: its {part} cannot be read"),
            NoState::Unsound(what) => write!(f, "a state that cannot be: {what}"),
        }
    }
}

impl core::error::Error for NoState {}

/// All of one half, and nothing behind it.
fn whole<T>(
    half: &'static str,
    bytes: &[u8],
    read: impl FnOnce(&mut &[u8]) -> Result<T, &'static str>,
) -> Result<T, NoState> {
    let mut rest = bytes;
    let read = match read(&mut rest) {
        Ok(_) if !rest.is_empty() => Err("end"),
        read => read,
    };
    read.map_err(|part| NoState::Malformed { half, part, at: bytes.len() - rest.len() })
}

impl Kernel {
    /// The kernel whose halves [`Kernel::hash_authority`] and [`Kernel::hash_activity`] feed as these bytes.
    pub fn from_state(platform: Platform, authority: &[u8], activity: &[u8]) -> Result<Kernel, NoState> {
        let authority = whole("authority", authority, Authority::decode)?;
        let activity = whole("activity", activity, Activity::decode)?;
        let kernel = Kernel { platform, authority, activity };
        kernel.check().map_err(NoState::Unsound)?;
        Ok(kernel)
    }
}
