//! The header of a block: what is hashed into the tree, and what a proof of one record
//! goes through. Fixed length, little-endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 1 | version: 1 |
//! | 1 | 1 | flags: [`BOOT`], [`STATE`], [`END`] |
//! | 2 | 4 | number of the boot, from 1 |
//! | 6 | 4 | records in the block |
//! | 10 | 8 | block number |
//! | 18 | 8 | number of the first record |
//! | 26 | 8 | number of the first commit |
//! | 34 | 8 | base time, ns since boot |
//! | 42 | 4, 4 | authority and activity commits in the block |
//! | 50 | 4, 4, 4 | bytes of the bodies: authority, activity, calls |
//! | 62 | 32 | BLAKE3 of the previous header; zero in block 0 |
//! | 94 | 32, 32, 32 | BLAKE3 of the bodies: authority, activity, calls |
//! | 190 | 32, 32 | state hash after the block, where taken: authority, activity; else zero |

/// A BLAKE3 or SHA-256 hash.
pub type Hash = [u8; 32];

/// Bytes in a header.
pub const HEADER: usize = 254;
/// The version that this code reads and writes.
pub const VERSION: u8 = 1;
/// Flag: a boot begins with this block.
pub const BOOT: u8 = 1;
/// Flag: the state hashes are taken.
pub const STATE: u8 = 2;
/// Flag: the last record is an orderly end.
pub const END: u8 = 4;

/// The bodies of a block, in the order in which header and frame have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// Authority commits, each with the record of its cause. Kept for ever.
    Authority = 0,
    /// Activity commits. Trimmed.
    Activity = 1,
    /// Records of calls and of the host's inputs. Trimmed.
    Calls = 2,
}

impl Body {
    /// Every body, in order.
    pub const ALL: [Body; 3] = [Body::Authority, Body::Activity, Body::Calls];

    /// The word for it, as commands and file names have it.
    pub const fn name(self) -> &'static str {
        match self {
            Body::Authority => "authority",
            Body::Activity => "activity",
            Body::Calls => "calls",
        }
    }
}

/// A header, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// [`BOOT`], [`STATE`], [`END`].
    pub flags: u8,
    /// Number of the boot, from 1.
    pub boot: u32,
    /// Records in the block; at least 1.
    pub records: u32,
    /// Number of the block, from 0.
    pub number: u64,
    /// Number of its first record.
    pub first_record: u64,
    /// Number of its first commit, over both classes.
    pub first_commit: u64,
    /// What the records' times count from, ns since boot.
    pub base_time: u64,
    /// Authority and activity commits.
    pub commits: [u32; 2],
    /// Bytes of the bodies, in the order of [`Body`].
    pub lengths: [u32; 3],
    /// BLAKE3 of the previous header.
    pub previous: Hash,
    /// BLAKE3 of the bodies, in the order of [`Body`].
    pub bodies: [Hash; 3],
    /// The state hash, authority and activity; zero if not taken.
    pub state: [Hash; 2],
}

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&[VERSION, self.flags]);
        put(&self.boot.to_le_bytes());
        put(&self.records.to_le_bytes());
        for number in [self.number, self.first_record, self.first_commit, self.base_time] {
            put(&number.to_le_bytes());
        }
        for number in self.commits.iter().chain(&self.lengths) {
            put(&number.to_le_bytes());
        }
        put(&self.previous);
        for hash in self.bodies.iter().chain(&self.state) {
            put(hash);
        }
        bytes
    }

    /// From bytes; `None` if version or flags are not known, or a state hash is
    /// there that the flags deny.
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Header> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let hash = |at: usize| {
            let mut hash = [0; 32];
            hash.copy_from_slice(&bytes[at..at + 32]);
            hash
        };
        let header = Header {
            flags: bytes[1],
            boot: word(2),
            records: word(6),
            number: long(10),
            first_record: long(18),
            first_commit: long(26),
            base_time: long(34),
            commits: [word(42), word(46)],
            lengths: [word(50), word(54), word(58)],
            previous: hash(62),
            bodies: [hash(94), hash(126), hash(158)],
            state: [hash(190), hash(222)],
        };
        let known = bytes[0] == VERSION && header.flags & !(BOOT | STATE | END) == 0;
        let state = header.flags & STATE != 0 || header.state == [[0; 32]; 2];
        (known && state).then_some(header)
    }

    /// Bytes of all bodies together.
    pub fn length(&self) -> u64 {
        self.lengths.iter().map(|&length| u64::from(length)).sum()
    }

    /// Commits of both classes.
    pub fn commit_count(&self) -> u64 {
        u64::from(self.commits[0]) + u64::from(self.commits[1])
    }

    /// Whether it has this flag.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
