//! Where what lies in an image. Numbers are little-endian; what is not named is zero.
//!
//! | block | what |
//! |---|---|
//! | 0 | superblock |
//! | 8-15 | checkpoint slot 0: checkpoints with an even sequence number |
//! | 16-23 | checkpoint slot 1: those with an odd one |
//! | 24- | the stream: frames, each at the beginning of a block and filled up to the end of one; then zeros |
//!
//! | at | bytes | superblock |
//! |---|---|---|
//! | 0 | 8 | `OLIMAGE1` |
//! | 8 | 8 | blocks that the device had when the log was begun; it may grow, but not shrink |
//! | 16 | 32 | public key of the machine |
//! | 48 | 2 | bytes of the origin |
//! | 50 | | origin: the name of the key |
//! | 480 | 32 | BLAKE3 of bytes 0 to 479 |
//!
//! | at | bytes | checkpoint slot |
//! |---|---|---|
//! | 0 | 4 | `OLP1` |
//! | 4 | 2 | roots |
//! | 6 | 2 | bytes of the text |
//! | 8 | 8 | sequence number, from 0 |
//! | 16 | 8 | block where the frame of the last block begins that it covers; 0 if it covers none |
//! | 24 | 32 each | roots of the full subtrees that the tree without that last block is made of, the largest first |
//! | | | the checkpoint: a signed note |
//! | 4064 | 32 | BLAKE3 of bytes 0 to 4063 |

use crate::device::BLOCK;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use axiom::header::Hash;
use axiom::note::{MachineKey, VerifierKey};
use axiom::scan::is_zero;

/// The blocks of the two checkpoint slots.
pub const SLOTS: [u64; 2] = [8, 16];
/// Bytes of a checkpoint slot.
pub const SLOT: usize = 4096;
/// The block where the stream begins.
pub const STREAM: u64 = 24;
/// The fewest blocks of an image: 2 MiB.
pub const MIN_BLOCKS: u64 = 4096;
/// Never are more bytes of the stream written that are not durable. No frame has more.
pub const UNFLUSHED: usize = 1 << 20;
/// A checkpoint is written when it leaves so many bytes of the stream uncovered, at the latest.
pub const UNPUBLISHED: u64 = 4 << 20;

const MAGIC: &[u8; 8] = b"OLIMAGE1";
const SLOT_MAGIC: &[u8; 4] = b"OLP1";
const ORIGIN: usize = 50;
const CHECK: usize = BLOCK - 32;
const SLOT_ROOTS: usize = 24;
const SLOT_CHECK: usize = SLOT - 32;
/// The most bytes that a checkpoint has.
pub const MAX_CHECKPOINT: usize = 1024;

/// The image's first block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Blocks that the device had when the log was begun.
    pub blocks: u64,
    /// The public key of the machine whose log it is.
    pub public: [u8; 32],
    /// Its name: the origin of the checkpoints.
    pub origin: String,
}

/// What lies where a superblock or a slot belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found<T> {
    /// Only zeros.
    Nothing,
    /// One that is whole.
    Whole(T),
    /// Something else.
    Bad,
}

impl Superblock {
    /// For a new log of this key on a device of so many blocks; `None` if the key's name is too long.
    pub fn new(key: &VerifierKey, blocks: u64) -> Option<Superblock> {
        let origin = key.name().to_string();
        (origin.len() <= CHECK - ORIGIN).then_some(Superblock { blocks, public: key.public(), origin })
    }

    /// As it lies on the device.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut bytes = [0; BLOCK];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.public);
        let origin = &self.origin.as_bytes()[..self.origin.len().min(CHECK - ORIGIN)];
        bytes[48..ORIGIN].copy_from_slice(&(origin.len() as u16).to_le_bytes());
        bytes[ORIGIN..ORIGIN + origin.len()].copy_from_slice(origin);
        let check = blake3::hash(&bytes[..CHECK]);
        bytes[CHECK..].copy_from_slice(check.as_bytes());
        bytes
    }

    /// What lies in the first block.
    pub fn decode(bytes: &[u8; BLOCK]) -> Found<Superblock> {
        if is_zero(bytes) {
            return Found::Nothing;
        }
        let parse = || {
            let length = usize::from(u16::from_le_bytes([bytes[48], bytes[49]]));
            let origin = core::str::from_utf8(bytes.get(ORIGIN..ORIGIN + length)?).ok()?.to_string();
            let block = Superblock {
                blocks: u64::from_le_bytes(*bytes[8..].first_chunk()?),
                public: *bytes[16..].first_chunk()?,
                origin,
            };
            // What it would not write itself is refused: unused bytes too.
            (origin_fits(&block) && block.encode() == *bytes).then_some(block)
        };
        parse().map_or(Found::Bad, Found::Whole)
    }
}

fn origin_fits(block: &Superblock) -> bool {
    block.origin.len() <= CHECK - ORIGIN
}

/// A checkpoint as it lies in a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// One more with each checkpoint, from 0.
    pub sequence: u64,
    /// The device's block where the frame of the last block begins that it covers; 0 if it covers none.
    pub last: u64,
    /// Roots of the full subtrees of the tree without that last block, the largest first.
    pub roots: Vec<Hash>,
    /// The signed checkpoint.
    pub text: String,
}

impl Slot {
    /// Where it belongs: the number of the first block.
    pub fn place(&self) -> u64 {
        SLOTS[(self.sequence & 1) as usize]
    }

    /// As it lies on the device. At most 64 roots and [`MAX_CHECKPOINT`] bytes of text.
    pub fn encode(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        let roots = &self.roots[..self.roots.len().min(64)];
        let text = &self.text.as_bytes()[..self.text.len().min(MAX_CHECKPOINT)];
        bytes[..4].copy_from_slice(SLOT_MAGIC);
        bytes[4..6].copy_from_slice(&(roots.len() as u16).to_le_bytes());
        bytes[6..8].copy_from_slice(&(text.len() as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.last.to_le_bytes());
        let mut at = SLOT_ROOTS;
        for part in roots.iter().map(<[u8; 32]>::as_slice).chain([text]) {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let check = blake3::hash(&bytes[..SLOT_CHECK]);
        bytes[SLOT_CHECK..].copy_from_slice(check.as_bytes());
        bytes
    }

    /// What lies in a slot.
    pub fn decode(bytes: &[u8; SLOT]) -> Found<Slot> {
        if is_zero(bytes) {
            return Found::Nothing;
        }
        let parse = || {
            let count = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
            let length = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
            if count > 64 || length > MAX_CHECKPOINT {
                return None;
            }
            let (roots, rest) = bytes[SLOT_ROOTS..].split_at(count * 32);
            let slot = Slot {
                sequence: u64::from_le_bytes(*bytes[8..].first_chunk()?),
                last: u64::from_le_bytes(*bytes[16..].first_chunk()?),
                roots: roots.as_chunks::<32>().0.to_vec(),
                text: core::str::from_utf8(&rest[..length]).ok()?.to_string(),
            };
            (slot.encode() == *bytes).then_some(slot)
        };
        parse().map_or(Found::Bad, Found::Whole)
    }
}

/// Whether a key's checkpoints fit into a slot and its name into a superblock.
pub fn fits(key: &MachineKey) -> bool {
    Superblock::new(&key.verifier(), 0).is_some() && key.sign(u64::MAX, &[0; 32]).len() <= MAX_CHECKPOINT
}

/// Blocks that so many bytes take.
pub fn blocks_of(bytes: usize) -> u64 {
    bytes.div_ceil(BLOCK) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Given a superblock and a slot, when they are written and read, then they are the same; with any bit changed they
    /// are none, and do not pass for nothing.
    #[test]
    fn what_is_written_is_read_and_any_change_is_seen() {
        let key = MachineKey::from_seed(&[3; 32]);
        let superblock = Superblock::new(&key.verifier(), 5000).expect("it fits");
        let slot = Slot { sequence: 7, last: 99, roots: vec![[1; 32]; 5], text: key.sign(32, &[9; 32]) };
        let mut bytes = superblock.encode();
        assert_eq!(Superblock::decode(&bytes), Found::Whole(superblock));
        for bit in 0..BLOCK * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Superblock::decode(&bytes), Found::Bad, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let mut bytes = slot.encode();
        assert_eq!(Slot::decode(&bytes), Found::Whole(slot));
        for bit in 0..SLOT * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&bytes), Found::Bad, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(Slot::decode(&[0; SLOT]), Found::Nothing);
    }

    /// Given a slot whose counts go beyond it, with a good hash, when it is read, then it is none.
    #[test]
    fn counts_beyond_the_slot_are_refused() {
        for (at, value) in [(4, 65u16), (4, u16::MAX), (6, 1025), (6, u16::MAX)] {
            let mut bytes = Slot { sequence: 0, last: 0, roots: vec![], text: String::new() }.encode();
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            let check = blake3::hash(&bytes[..SLOT_CHECK]);
            bytes[SLOT_CHECK..].copy_from_slice(check.as_bytes());
            assert_eq!(Slot::decode(&bytes), Found::Bad);
        }
        let mut bytes = Superblock { blocks: 0, public: [0; 32], origin: String::new() }.encode();
        bytes[48..50].copy_from_slice(&431u16.to_le_bytes());
        let check = blake3::hash(&bytes[..CHECK]);
        bytes[CHECK..].copy_from_slice(check.as_bytes());
        assert_eq!(Superblock::decode(&bytes), Found::Bad);
    }
}
