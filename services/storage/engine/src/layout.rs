//! The bytes on the disk, apart from tree pages ([`crate::node`]). All integers are
//! little-endian. docs/storage.md says the same for people.
//!
//! Pages 0 to 3 hold superblocks: generation `g` lies in the first block of pages
//! `2 * (g % 2)` and `2 * (g % 2) + 1`, twice the same. Everything else is found
//! from the newest superblock whose tree is whole.

use crate::device::BLOCK;
use alloc::vec::Vec;

/// Bytes in a page, the unit of allocation.
pub const PAGE: usize = 4096;
/// Blocks in a page.
pub const BLOCKS_PER_PAGE: u64 = (PAGE / BLOCK) as u64;
/// Pages at the start of the disk that hold superblocks.
pub const FIRST_PAGE: u64 = 4;
/// The smallest disk that can be formatted, in pages (256 KiB).
pub const MIN_PAGES: u64 = 64;
/// Pages of the largest chunk.
pub const CHUNK_PAGES: usize = 15;
/// The most bytes that one extent holds: what fits a message and a device operation.
pub const MAX_CHUNK: usize = CHUNK_PAGES * PAGE;
/// The longest key of the engine, in bytes.
pub const MAX_KEY: usize = 288;
/// The most bytes that an entry carries inside the tree.
pub const MAX_META: usize = 1200;
/// The version of the format that this code writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;
/// First bytes of a superblock.
pub const MAGIC: [u8; 8] = *b"orbstore";

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// BLAKE3 of `bytes`.
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// `N` bytes of `bytes` at `at`, if they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Where a page of the tree lies (twice), when it was written, and what it hashes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// The page.
    pub page: u64,
    /// Its second copy.
    pub copy: u64,
    /// Generation of the commit that wrote it.
    pub generation: u64,
    /// BLAKE3 of the page.
    pub hash: Hash,
}

impl Pointer {
    /// Encoded size in bytes.
    pub const SIZE: usize = 56;

    /// Appends the encoded pointer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.page.to_le_bytes());
        out.extend_from_slice(&self.copy.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.hash);
    }

    /// The pointer at `at`, if that many bytes are there.
    pub fn decode(bytes: &[u8], at: usize) -> Option<Pointer> {
        Some(Pointer {
            page: u64::from_le_bytes(array(bytes, at)?),
            copy: u64::from_le_bytes(array(bytes, at + 8)?),
            generation: u64::from_le_bytes(array(bytes, at + 16)?),
            hash: array(bytes, at + 24)?,
        })
    }
}

/// Consecutive pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first.
    pub page: u64,
    /// How many; at most [`CHUNK_PAGES`] in an extent.
    pub count: u64,
}

/// Up to [`MAX_CHUNK`] bytes outside the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Number of bytes; the rest of the last page is zero.
    pub length: u32,
    /// BLAKE3 of the bytes.
    pub hash: Hash,
    /// The pages, in order.
    pub runs: Vec<Run>,
}

impl Extent {
    /// Pages that `length` bytes take.
    pub fn pages(length: usize) -> usize {
        length.div_ceil(PAGE)
    }

    /// Encoded size in bytes.
    pub fn size(&self) -> usize {
        4 + 32 + 1 + 8 * self.runs.len()
    }

    /// Appends the encoded extent. A run is the page in 56 bits, its count in 8.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.hash);
        out.push(self.runs.len() as u8);
        for run in &self.runs {
            out.extend_from_slice(&(run.page << 8 | run.count).to_le_bytes());
        }
    }

    /// The extent at `at` and where it ends, if it makes sense.
    pub fn decode(bytes: &[u8], at: usize) -> Option<(Extent, usize)> {
        let length = u32::from_le_bytes(array(bytes, at)?);
        let hash = array(bytes, at + 4)?;
        let count = *bytes.get(at + 36)? as usize;
        if length as usize > MAX_CHUNK || count > CHUNK_PAGES {
            return None;
        }
        let mut runs = Vec::with_capacity(count);
        let mut pages = 0;
        for index in 0..count {
            let word = u64::from_le_bytes(array(bytes, at + 37 + 8 * index)?);
            let run = Run { page: word >> 8, count: word & 0xFF };
            pages += run.count;
            runs.push(run);
        }
        (pages == Extent::pages(length as usize) as u64).then_some((Extent { length, hash, runs }, at + 37 + 8 * count))
    }
}

/// The root of everything. One commit is one new superblock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Pages that the store uses; the disk may be larger.
    pub pages: u64,
    /// Chosen when the disk was formatted; it names the disk.
    pub disk: [u8; 16],
    /// Number of the commit; the format itself is 1.
    pub generation: u64,
    /// Number of the last transaction in it.
    pub sequence: u64,
    /// Whether it is known to be whole: written once more after its own flush. The
    /// tree of a sealed superblock is never taken for one that was torn.
    pub sealed: bool,
    /// The tree; none if it is empty.
    pub root: Option<Pointer>,
}

/// Bytes at the start of a disk in which its superblocks lie.
pub const SUPERBLOCKS: usize = FIRST_PAGE as usize * PAGE;

/// The name of the disk that begins with these [`SUPERBLOCKS`] bytes, for those who do not mount it: as its newest superblock has
/// it. `None` if it is not formatted, or no superblock is whole.
pub fn disk_name(start: &[u8]) -> Option<[u8; 16]> {
    let blocks = start.chunks(PAGE).filter_map(|page| page.get(..BLOCK));
    let superblocks = blocks.filter_map(|block| Superblock::decode(block).ok());
    superblocks.max_by_key(|superblock| superblock.generation).map(|superblock| superblock.disk)
}

/// Why a block is not a superblock that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSuperblock {
    /// Only zeros.
    Empty,
    /// No magic number.
    Foreign,
    /// The magic number is there, the hash does not match.
    Damaged,
    /// A format that this code does not know.
    Version(u32),
}

impl Superblock {
    /// The first block of the first copy for this generation; the second copy lies
    /// one page further.
    pub fn block(generation: u64) -> u64 {
        generation % 2 * 2 * BLOCKS_PER_PAGE
    }

    /// The block as it is on the disk.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut out = Vec::with_capacity(BLOCK);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&(PAGE as u32).to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        out.extend_from_slice(&self.disk);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&u32::from(self.sealed).to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        if let Some(root) = self.root {
            root.encode(&mut out);
        }
        out.resize(BLOCK - 32, 0);
        let sum = hash(&out);
        out.extend_from_slice(&sum);
        let mut block = [0; BLOCK];
        block.copy_from_slice(&out);
        block
    }

    /// The superblock in `block`.
    pub fn decode(block: &[u8]) -> Result<Superblock, NotSuperblock> {
        if block.iter().all(|&byte| byte == 0) {
            return Err(NotSuperblock::Empty);
        }
        if array(block, 0) != Some(MAGIC) {
            return Err(NotSuperblock::Foreign);
        }
        Self::fields(block).ok_or(NotSuperblock::Damaged)?
    }

    fn fields(block: &[u8]) -> Option<Result<Superblock, NotSuperblock>> {
        let sum: Hash = array(block, BLOCK - 32)?;
        if sum != hash(block.get(..BLOCK - 32)?) {
            return None;
        }
        let version = u32::from_le_bytes(array(block, 8)?);
        if version != FORMAT_VERSION {
            return Some(Err(NotSuperblock::Version(version)));
        }
        if u32::from_le_bytes(array(block, 12)?) != PAGE as u32 {
            return None;
        }
        let root = Pointer::decode(block, 64)?;
        let (generation, sequence) = (u64::from_le_bytes(array(block, 40)?), u64::from_le_bytes(array(block, 48)?));
        // Nobody wrote so often: who says so would have the next number overflow.
        if generation.max(sequence) > u64::MAX / 2 {
            return None;
        }
        Some(Ok(Superblock {
            pages: u64::from_le_bytes(array(block, 16)?),
            disk: array(block, 24)?,
            generation,
            sequence,
            sealed: u32::from_le_bytes(array(block, 56)?) & 1 == 1,
            root: (root.page != 0).then_some(root),
        }))
    }
}
