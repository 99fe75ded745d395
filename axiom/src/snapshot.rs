//! A snapshot: all of the kernel's state after a block, so that replay can begin there. It is believed
//! only where the header of that block, which is in the signed tree, has its hashes.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `OLS1` |
//! | 4 | 8 | number of the block |
//! | 12 | 8, 8 | bytes of the authority and of the activity half |
//! | 28 | | authority half; activity half: what the state hashes are taken over |

use crate::header::{Body, Hash, Header, STATE};
use alloc::vec::Vec;
use core::fmt;
use kernel::Kernel;
use kernel::snapshot::NoState;

/// First bytes.
pub const MAGIC: [u8; 4] = *b"OLS1";
/// Bytes before the halves.
pub const HEAD: usize = 28;
/// The most bytes that a snapshot has. Of a larger state none is taken.
pub const MAX: usize = 256 << 20;

/// A snapshot, as far as its own bytes tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot<'a> {
    /// The block after which the state was so.
    pub block: u64,
    /// Authority and activity.
    pub halves: [&'a [u8]; 2],
}

/// Why a snapshot is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unbelieved {
    /// Its bytes are not written as a snapshot is.
    Malformed,
    /// It says another block than the one that it is held against.
    Block,
    /// The header of the block has no state hash.
    NoHash,
    /// This half of it has not the hash in the header.
    Hash(Body),
    /// It is no state that a kernel can have.
    State(NoState),
}

impl fmt::Display for Unbelieved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unbelieved::Malformed => f.write_str("it is not written as a snapshot is"),
            Unbelieved::Block => f.write_str("it says that it is of another block"),
            Unbelieved::NoHash => f.write_str("the header of its block has no state hash"),
            Unbelieved::Hash(half) => {
                write!(f, "its {} half does not match the hash in the header of its block", half.name())
            }
            Unbelieved::State(no) => no.fmt(f),
        }
    }
}

impl core::error::Error for Unbelieved {}

impl<'a> Snapshot<'a> {
    /// Of exactly these bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Snapshot<'a>, Unbelieved> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(Unbelieved::Malformed)?;
        let number = |at: usize| head[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let authority = usize::try_from(number(12)).ok().and_then(|length| rest.split_at_checked(length));
        let (authority, activity) = authority.ok_or(Unbelieved::Malformed)?;
        if head[..4] != MAGIC || number(20) != activity.len() as u64 || bytes.len() > MAX {
            return Err(Unbelieved::Malformed);
        }
        Ok(Snapshot { block: number(4), halves: [authority, activity] })
    }

    /// The kernel that was so after the block with this header, which is known to be in the tree.
    pub fn kernel(&self, header: &Header, platform: kernel::Platform) -> Result<Kernel, Unbelieved> {
        if self.block != header.number {
            return Err(Unbelieved::Block);
        }
        if !header.has(STATE) {
            return Err(Unbelieved::NoHash);
        }
        let [authority, activity] = self.halves;
        for (half, body) in [(authority, Body::Authority), (activity, Body::Activity)] {
            if *blake3::hash(half).as_bytes() != header.state[body as usize] {
                return Err(Unbelieved::Hash(body));
            }
        }
        Kernel::from_state(platform, authority, activity).map_err(Unbelieved::State)
    }
}

/// The state of a kernel after a block as a snapshot, with its hashes. `None`: it is too large, or there is no
/// memory for it.
pub(crate) fn take(kernel: &Kernel, block: u64) -> Option<(Vec<u8>, [Hash; 2])> {
    let mut bytes = Vec::new();
    let mut whole = true;
    let mut put = |part: &[u8], bytes: &mut Vec<u8>| {
        whole &= bytes.len() + part.len() <= MAX && bytes.try_reserve(part.len()).is_ok();
        if whole {
            bytes.extend_from_slice(part);
        }
    };
    put(&[0; HEAD], &mut bytes);
    kernel.hash_authority(&mut |part| put(part, &mut bytes));
    let middle = bytes.len();
    kernel.hash_activity(&mut |part| put(part, &mut bytes));
    if !whole {
        return None;
    }
    let (authority, activity) = bytes.get(HEAD..)?.split_at_checked(middle - HEAD)?;
    let hashes = [authority, activity].map(|half| *blake3::hash(half).as_bytes());
    let lengths = [block, authority.len() as u64, activity.len() as u64].map(u64::to_le_bytes);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..HEAD].copy_from_slice(lengths.as_flattened());
    Some((bytes, hashes))
}
