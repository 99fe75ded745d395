//! The Merkle tree over the headers: RFC 6962 hashes (SHA-256), stored as the C2SP
//! tlog-tiles specification says: tiles of 256 hashes, a tile at level L having the
//! roots of full tiles at level L-1, and bundles of 256 entries.
//!
//! The tree in memory is only its right edge: at most 256 hashes a level.

use crate::header::{HEADER, Hash};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE: usize = 256;
/// Levels of tiles that 2^64 leaves need.
const LEVELS: u8 = 8;

/// The hash of a leaf: SHA-256 of a zero byte and the entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of a node: SHA-256 of a one byte and the children's hashes.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over `hashes`, each of which may itself stand for a subtree, all of one
/// full size but the last, which may be smaller. Of none: SHA-256 of nothing.
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// One file of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TileId {
    /// Level of the hashes in it; `None` for a bundle of entries.
    pub level: Option<u8>,
    /// Its number on that level.
    pub index: u64,
    /// How many hashes or entries it has: 1 to 256.
    pub width: u16,
}

impl TileId {
    /// Where it lies, relative to the folder of the log: `tile/0/x001/234.p/5`.
    pub fn path(&self) -> String {
        let mut index = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1000);
            rest /= 1000;
        }
        let partial = if usize::from(self.width) < TILE { format!(".p/{}", self.width) } else { String::new() };
        match self.level {
            Some(level) => format!("tile/{level}/{index}{partial}"),
            None => format!("tile/entries/{index}{partial}"),
        }
    }
}

/// The files of a tree of `size` entries: of every level, the full ones and the partial one.
pub fn tiles(size: u64) -> impl Iterator<Item = TileId> {
    (0..=LEVELS).flat_map(move |row| {
        // Row 0 is the bundles; then the levels.
        let (level, count) = match row.checked_sub(1) {
            None => (None, size),
            Some(level) => (Some(level), size.checked_shr(8 * u32::from(level)).unwrap_or(0)),
        };
        let full = (0..count / TILE as u64).map(move |index| TileId { level, index, width: TILE as u16 });
        let width = (count % TILE as u64) as u16;
        let partial = (width > 0).then_some(TileId { level, index: count / TILE as u64, width });
        full.chain(partial)
    })
}

/// One file of the tree, to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// Which.
    pub id: TileId,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A tree that is appended to: its right edge, and the files that became full.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    levels: Vec<Vec<Hash>>,
    entries: Vec<u8>,
    full: Vec<Tile>,
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// The tree of which `size` entries are published; `read` gives the bytes of a
    /// file of it. An error names the file that is missing or has a wrong length.
    /// Whether the content is right shows when [`Tree::root`] is held against the checkpoint.
    pub fn load(size: u64, mut read: impl FnMut(&TileId) -> Option<Vec<u8>>) -> Result<Tree, String> {
        let mut tree = Tree { size, ..Tree::new() };
        let edge = |level: Option<u8>| {
            let count = size.checked_shr(8 * u32::from(level.unwrap_or(0))).unwrap_or(0);
            let width = (count % TILE as u64) as u16;
            (width > 0).then_some(TileId { level, index: count / TILE as u64, width })
        };
        if let Some(id) = edge(None) {
            tree.entries = read(&id).ok_or_else(|| id.path())?;
            if tree.entries.len() != usize::from(id.width) * (HEADER + 2) {
                return Err(id.path());
            }
        }
        for level in 0..LEVELS {
            if size.checked_shr(8 * u32::from(level)).unwrap_or(0) == 0 {
                break;
            }
            let mut hashes = Vec::new();
            if let Some(id) = edge(Some(level)) {
                let bytes = read(&id).ok_or_else(|| id.path())?;
                if bytes.len() != usize::from(id.width) * 32 {
                    return Err(id.path());
                }
                hashes.extend(bytes.as_chunks::<32>().0.iter().copied());
            }
            tree.levels.push(hashes);
        }
        let bundled: Vec<Hash> = tree.entries.chunks(HEADER + 2).map(|entry| leaf_hash(&entry[2..])).collect();
        let prefixed = tree.entries.chunks(HEADER + 2).all(|entry| entry[..2] == (HEADER as u16).to_be_bytes());
        if !prefixed || tree.levels.first().is_some_and(|leaves| *leaves != bundled) {
            return Err(edge(None).map(|id| id.path()).unwrap_or_default());
        }
        Ok(tree)
    }

    /// Entries in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a header.
    pub fn push(&mut self, header: &[u8; HEADER]) {
        self.entries.extend_from_slice(&(HEADER as u16).to_be_bytes());
        self.entries.extend_from_slice(header);
        self.size += 1;
        if self.size.is_multiple_of(TILE as u64) {
            let id = TileId { level: None, index: self.size / TILE as u64 - 1, width: TILE as u16 };
            self.full.push(Tile { id, bytes: core::mem::take(&mut self.entries) });
        }
        let mut hash = leaf_hash(header);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(TILE));
            }
            self.levels[level].push(hash);
            if self.levels[level].len() < TILE {
                break;
            }
            let hashes = core::mem::take(&mut self.levels[level]);
            hash = root_of(&hashes);
            let index = (self.size >> (8 * (level + 1))) - 1;
            let id = TileId { level: Some(level as u8), index, width: TILE as u16 };
            self.full.push(Tile { id, bytes: hashes.concat() });
        }
    }

    /// The root over all entries.
    pub fn root(&self) -> Hash {
        let mut below: Option<Hash> = None;
        for level in &self.levels {
            let mut hashes = level.clone();
            hashes.extend(below);
            below = (!hashes.is_empty()).then(|| root_of(&hashes));
        }
        below.unwrap_or_else(|| root_of(&[]))
    }

    /// The files that became full since this was last asked.
    pub fn take_full(&mut self) -> Vec<Tile> {
        core::mem::take(&mut self.full)
    }

    /// How many files became full since [`Tree::take_full`]; they are kept in memory until then.
    pub fn full_count(&self) -> usize {
        self.full.len()
    }

    /// The partial files at the right edge.
    pub fn partial(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let width = (self.size % TILE as u64) as u16;
        if width > 0 {
            let id = TileId { level: None, index: self.size / TILE as u64, width };
            tiles.push(Tile { id, bytes: self.entries.clone() });
        }
        for (level, hashes) in self.levels.iter().enumerate() {
            if !hashes.is_empty() {
                let index = self.size >> (8 * (level + 1));
                let id = TileId { level: Some(level as u8), index, width: hashes.len() as u16 };
                tiles.push(Tile { id, bytes: hashes.concat() });
            }
        }
        tiles
    }
}

/// The hashes of a tree in its files, of which older and smaller trees are a part.
pub struct Hashes<'a> {
    /// Leaves whose hashes lie in the files.
    pub stored: u64,
    /// Gives the bytes of a file.
    pub read: &'a mut dyn FnMut(&TileId) -> Option<Vec<u8>>,
}

impl core::fmt::Debug for Hashes<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Hashes({} leaves)", self.stored)
    }
}

/// Errors name the file that is missing or too short. Sizes are at most what is stored.
impl Hashes<'_> {
    /// The inclusion proof of leaf `index` in the tree of the first `size` leaves (RFC 6962, 2.1.1).
    pub fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, String> {
        let mut path = Vec::new();
        let (mut low, mut high) = (0, size);
        while high - low > 1 {
            let middle = low + (high - low).next_power_of_two() / 2;
            if index < middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree of the first `old` leaves is the beginning of that of the first `new` ones (RFC 6962,
    /// 2.1.2). Of the empty tree nothing is to be proved: it has no hashes.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, String> {
        let mut path = Vec::new();
        let (mut low, mut high) = (0, new);
        while old != high && old > 0 {
            let middle = low + (high - low).next_power_of_two() / 2;
            if old <= middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        // The tree of the old size itself is known to who checks it.
        if low > 0 {
            path.push(self.range(low, high)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The root of the tree of the first `size` leaves.
    pub fn root(&mut self, size: u64) -> Result<Hash, String> {
        if size == 0 { Ok(root_of(&[])) } else { self.range(0, size) }
    }

    /// The root over the leaves `low..high`, `low` being a multiple of the greatest power of two below or at
    /// the length.
    fn range(&mut self, low: u64, high: u64) -> Result<Hash, String> {
        let length = high - low;
        if !length.is_power_of_two() {
            let middle = low + length.next_power_of_two() / 2;
            return Ok(node_hash(&self.range(low, middle)?, &self.range(middle, high)?));
        }
        // A full subtree: its root, or the hashes that make it, lie in one tile.
        let level = length.trailing_zeros() / 8;
        let count = self.stored >> (8 * level);
        let (first, number) = (low >> (8 * level), (length >> (8 * level)) as usize);
        let tile = first / TILE as u64;
        let width = count.saturating_sub(tile * TILE as u64).min(TILE as u64) as u16;
        let id = TileId { level: Some(level as u8), index: tile, width };
        let bytes = (self.read)(&id).ok_or_else(|| id.path())?;
        let start = (first % TILE as u64) as usize;
        let hashes = bytes.as_chunks::<32>().0.get(start..start + number).ok_or_else(|| id.path())?;
        Ok(root_of(hashes))
    }
}

/// The root that leaf hash, index, size and inclusion proof lead to (RFC 9162,
/// 2.1.3.2); `None` if the proof has not the right length.
pub fn root_from_proof(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether the tree of `old` leaves with the root `old_root` is the beginning of that of `new` leaves with the root
/// `new_root`, by a consistency proof (RFC 9162, 2.1.4.2).
pub fn is_consistent(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == 0 {
        return proof.is_empty() && *old_root == root_of(&[]);
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old > new {
        return false;
    }
    // A full tree of the old size is a node of the new one: it is not repeated in the proof.
    let (start, rest) = match proof.split_first() {
        Some(_) if old.is_power_of_two() => (*old_root, proof),
        Some((first, rest)) => (*first, rest),
        None => return false,
    };
    let (mut node, mut last) = (old - 1, new - 1);
    let shift = node.trailing_ones();
    (node, last) = (node >> shift, last >> shift);
    let (mut of_old, mut of_new) = (start, start);
    for step in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(step, &of_old);
            of_new = node_hash(step, &of_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}
