//! Opening a disk: find the newest superblock whose tree is whole, walk the tree to
//! see which pages are taken, mend single damaged copies. An empty disk is
//! formatted; anything that is not ours is refused.

use crate::check::Damage;
use crate::device::{BLOCK, BlockDevice, DeviceError, MAX_BLOCKS};
use crate::layout::{BLOCKS_PER_PAGE, MAGIC, MIN_PAGES, NotSuperblock, PAGE, Pointer, Superblock};
use crate::node::{Body, Node};
use crate::space::Space;
use crate::store::Store;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

/// Why a disk cannot be mounted. Nothing has been written to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountError {
    /// The disk reports an error.
    Device(DeviceError),
    /// There is something on the disk that is not this store: first in this block.
    Foreign(u64),
    /// It was this store, but no superblock is left that leads to a whole tree.
    Damaged,
    /// A newer format.
    Version(u32),
    /// The disk has fewer pages than the smallest store.
    TooSmall,
    /// The disk has fewer pages than the store on it, which has this many.
    Truncated(u64),
    /// The disk is empty and read-only.
    EmptyReadOnly,
}

impl core::fmt::Display for MountError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MountError::Device(error) => error.fmt(f),
            MountError::Foreign(block) => {
                write!(
                    f,
                    "the disk has something else on it (block {block} is not empty); give an empty disk, or fill this one with zeros"
                )
            }
            MountError::Damaged => {
                f.write_str("the disk was a store, but none of its superblocks leads to a whole tree")
            }
            MountError::Version(version) => {
                write!(f, "the disk has format version {version}, newer than this system knows")
            }
            MountError::TooSmall => write!(f, "the disk is smaller than {} KiB", MIN_PAGES as usize * PAGE / 1024),
            MountError::Truncated(pages) => {
                write!(f, "the disk is smaller than the store on it, which has {} KiB", pages * 4)
            }
            MountError::EmptyReadOnly => f.write_str("the disk is empty and read-only, so it cannot be formatted"),
        }
    }
}

impl core::error::Error for MountError {}

impl From<DeviceError> for MountError {
    fn from(error: DeviceError) -> MountError {
        MountError::Device(error)
    }
}

/// What mounting found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MountReport {
    /// The disk was empty and has been formatted.
    pub formatted: bool,
    /// The newest commit was not whole, as after a crash while it was written: the
    /// one before it is mounted. After a crash nothing in it had been acknowledged; if it
    /// decayed later, what was in it is lost.
    pub rolled_back: bool,
    /// Copies of nodes and superblocks that were damaged and have been written again
    /// from the other copy.
    pub mended: u64,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// Nothing is written until the next mount, for it is not known which pages are free: a part of the tree
    /// cannot be read now and perhaps can later, or two refer to one page.
    pub only_read: bool,
    /// Pages of the tree, each of which is there twice.
    pub nodes: u64,
    /// Entries.
    pub entries: u64,
}

/// A pointer with the keys that lie below it.
pub(crate) struct Below {
    pub(crate) pointer: Pointer,
    pub(crate) level: Option<u8>,
    pub(crate) from: Rc<[u8]>,
    pub(crate) to: Option<Rc<[u8]>>,
}

impl Below {
    pub(crate) fn root(pointer: Pointer) -> Below {
        Below { pointer, level: None, from: Rc::from([].as_slice()), to: None }
    }

    pub(crate) fn damage(&self) -> Damage {
        Damage::Keys { from: self.from.clone(), to: self.to.clone() }
    }
}

/// What a superblock's tree takes.
struct Walked {
    space: Space,
    report: MountReport,
    /// Pages of damaged copies with what belongs there.
    mend: Vec<(u64, Vec<u8>)>,
}

impl<D: BlockDevice> Store<D> {
    /// Mounts the disk; formats it, with `disk` as its name, if it is empty.
    pub async fn mount(device: D, disk: [u8; 16]) -> Result<(Store<D>, MountReport), MountError> {
        let pages = device.block_count() / BLOCKS_PER_PAGE;
        if pages < MIN_PAGES {
            return Err(MountError::TooSmall);
        }
        // What an instance before this one had written must not be lost after this
        // one has read it.
        if !device.read_only() {
            device.flush().await?;
        }
        let unmounted = Superblock { pages, disk, generation: 0, sequence: 0, sealed: false, root: None };
        let store = Store::new(device, Space::new(pages), unmounted);
        let copies = store.superblocks().await?;
        let mut candidates: Vec<Superblock> = copies.iter().flatten().cloned().collect();
        candidates.sort_by_key(|superblock| core::cmp::Reverse((superblock.generation, superblock.sealed)));
        candidates.dedup();
        if candidates.is_empty() {
            if let Some(version) = copies.iter().find_map(|copy| match copy {
                Err(NotSuperblock::Version(version)) => Some(*version),
                _ => None,
            }) {
                return Err(MountError::Version(version));
            }
            return store.format(pages, disk).await;
        }
        if let Some(larger) = candidates.iter().find(|superblock| superblock.pages > pages) {
            return Err(MountError::Truncated(larger.pages));
        }
        let newest = candidates[0].generation;
        for superblock in candidates {
            if let Some(walked) = store.walk(&superblock, pages).await? {
                return Ok(store.settle_in(superblock, &copies, walked, newest, pages).await);
            }
        }
        Err(MountError::Damaged)
    }

    /// The four blocks where superblocks lie. One that cannot be read is damaged; but where neither copy of a
    /// generation tells what was written there last, it may be the newest commit, and that is an error.
    async fn superblocks(&self) -> Result<Vec<Result<Superblock, NotSuperblock>>, DeviceError> {
        let mut copies = Vec::new();
        let mut failed = None;
        for first in [0, 2] {
            let mut failed_here = None;
            for page in [first, first + 1] {
                let mut block = vec![0; BLOCK];
                let mut read = self.0.device.read(page * BLOCKS_PER_PAGE, &mut block).await;
                if read.is_err() {
                    read = self.0.device.read(page * BLOCKS_PER_PAGE, &mut block).await;
                }
                failed_here = failed_here.or(read.err());
                copies.push(if read.is_ok() { Superblock::decode(&block) } else { Err(NotSuperblock::Damaged) });
            }
            let tells = |copy: &Result<Superblock, NotSuperblock>| matches!(copy, Ok(_) | Err(NotSuperblock::Empty));
            if let Some(error) = failed_here
                && !copies[first as usize..].iter().any(tells)
            {
                return Err(error);
            }
            failed = failed.or(failed_here);
        }
        match failed {
            Some(error) if copies.iter().all(Result::is_err) => Err(error),
            _ => Ok(copies),
        }
    }

    /// Both copies of a node; once more if none is good, but one could not be read.
    async fn read_copies(&self, pointer: &Pointer) -> [Result<Option<Node>, DeviceError>; 2] {
        let read = async || [self.read_copy(pointer.page, pointer).await, self.read_copy(pointer.copy, pointer).await];
        let copies = read().await;
        let is_good = copies.iter().any(|copy| matches!(copy, Ok(Some(_))));
        if !is_good && copies.iter().any(Result::is_err) { read().await } else { copies }
    }

    /// Reads the whole tree of a superblock. `None` if its newest part is not whole:
    /// it was being written when the power went. What cannot be read says nothing of that: in the newest
    /// part, and at the root, it is an error; elsewhere the rest of the disk is only read.
    async fn walk(&self, superblock: &Superblock, pages: u64) -> Result<Option<Walked>, DeviceError> {
        let mut walked = Walked { space: Space::new(pages), report: MountReport::default(), mend: Vec::new() };
        let Walked { space, report, mend } = &mut walked;
        let mut is_unread = false;
        let mut stack: Vec<Below> = superblock.root.map(Below::root).into_iter().collect();
        while let Some(below) = stack.pop() {
            let pointer = below.pointer;
            let may_be_torn = pointer.generation >= superblock.generation && !superblock.sealed;
            if space.claim_pointer(&pointer).is_err() {
                if may_be_torn {
                    return Ok(None);
                }
                report.damage.push(below.damage());
                continue;
            }
            let copies = self.read_copies(&pointer).await;
            let [first, second] = copies.each_ref().map(|copy| copy.as_ref().ok().and_then(Option::as_ref));
            let fits = |level| below.level.is_none_or(|above| above.checked_sub(1) == Some(level));
            let found = first.or(second).filter(|node| fits(node.level));
            let Some(node) = found else {
                let is_whole = first.or(second).is_some();
                let error = copies.iter().find_map(|copy| copy.as_ref().err()).filter(|_| !is_whole);
                match error {
                    Some(&error) if may_be_torn || below.level.is_none() => return Err(error),
                    None if may_be_torn => return Ok(None),
                    _ => {}
                }
                // It is whole, and stands where it cannot, or it may be read later: what lies below it is not
                // known to be in use.
                if is_whole || error.is_some() {
                    space.dispute();
                }
                is_unread |= error.is_some();
                report.damage.push(below.damage());
                continue;
            };
            for (copy, page) in [(first, pointer.page), (second, pointer.copy)] {
                if copy.is_none() {
                    mend.push((page, node.encode()));
                }
            }
            report.nodes += 1;
            match &node.body {
                Body::Leaf(entries) => {
                    report.entries += entries.len() as u64;
                    for entry in entries {
                        if let Some(extent) = &entry.value.extent
                            && space.claim_extent(extent).is_err()
                        {
                            report.damage.push(Damage::Value { key: entry.key.clone() });
                        }
                    }
                }
                Body::Branch(children) => {
                    for (at, branch) in children.iter().enumerate().rev() {
                        stack.push(Below {
                            pointer: branch.child,
                            level: Some(node.level),
                            from: if at == 0 { below.from.clone() } else { branch.key.clone() },
                            to: children.get(at + 1).map(|next| next.key.clone()).or_else(|| below.to.clone()),
                        });
                    }
                }
            }
        }
        // Superblocks that cannot be read any more either: that is the disk, not a part of it.
        if is_unread {
            self.superblocks().await?;
        }
        Ok(Some(walked))
    }

    async fn settle_in(
        self,
        superblock: Superblock,
        copies: &[Result<Superblock, NotSuperblock>],
        walked: Walked,
        newest: u64,
        pages: u64,
    ) -> (Store<D>, MountReport) {
        let Walked { space, mut report, mut mend } = walked;
        // Where the next one would be there is something, and no superblock: one that was torn, or has decayed.
        let next = (Superblock::block(superblock.generation + 1) / BLOCKS_PER_PAGE) as usize;
        let is_lost = |copy: &Result<Superblock, NotSuperblock>| {
            copy.as_ref().is_err_and(|reason| *reason != NotSuperblock::Empty)
        };
        let is_next_lost = copies.get(next..next + 2).is_some_and(|both| both.iter().all(is_lost));
        report.only_read = space.is_disputed();
        report.rolled_back = superblock.generation != newest || is_next_lost;
        let first = (Superblock::block(superblock.generation) / BLOCKS_PER_PAGE) as usize;
        for copy in [first, first + 1] {
            if copies.get(copy).is_some_and(Result::is_err) {
                mend.push((copy as u64, superblock.encode().to_vec()));
            }
        }
        if !self.0.device.read_only() && !space.is_disputed() && !mend.is_empty() {
            for (page, bytes) in &mend {
                if self.0.device.write(page * BLOCKS_PER_PAGE, bytes).await.is_ok() {
                    report.mended += 1;
                }
            }
            // What was mended is there once already: a flush that fails costs nothing.
            let _ = self.0.device.flush().await;
        }
        {
            let mut state = self.0.state.borrow_mut();
            state.space = space;
            state.sequence = superblock.sequence;
            state.tree = crate::tree::Tree::new(superblock.root);
            state.durable = Superblock { pages, ..superblock };
        }
        (self, report)
    }

    /// Formats a disk that has nothing but zeros where anyone's data begins or ends.
    async fn format(self, pages: u64, disk: [u8; 16]) -> Result<(Store<D>, MountReport), MountError> {
        let superblock = Superblock { pages, disk, generation: 1, sequence: 0, sealed: false, root: None };
        if let Some(block) = self.first_foreign_block(&superblock).await? {
            return Err(if self.is_ours_by_name().await? { MountError::Damaged } else { MountError::Foreign(block) });
        }
        if self.0.device.read_only() {
            return Err(MountError::EmptyReadOnly);
        }
        self.write_superblock(&superblock).await?;
        self.0.device.flush().await?;
        self.0.state.borrow_mut().durable = superblock;
        Ok((self, MountReport { formatted: true, ..MountReport::default() }))
    }

    async fn is_ours_by_name(&self) -> Result<bool, MountError> {
        let mut block = vec![0; BLOCK];
        for page in 0..4 {
            self.0.device.read(page * BLOCKS_PER_PAGE, &mut block).await?;
            if block[..8] == MAGIC {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first block in the first MiB or the last 64 KiB that is neither zero nor
    /// part of a format that was interrupted. In the latter every byte is zero or what
    /// the superblock has there (its name and hash may be anything).
    async fn first_foreign_block(&self, superblock: &Superblock) -> Result<Option<u64>, MountError> {
        let blocks = self.0.device.block_count();
        let start = 0..blocks.min(2048);
        let end = blocks.saturating_sub(128).max(start.end)..blocks;
        let expected = superblock.encode();
        let first = Superblock::block(superblock.generation);
        let half_formatted = |block: u64, bytes: &[u8]| {
            (block == first || block == first + BLOCKS_PER_PAGE)
                && bytes.iter().zip(expected).enumerate().all(|(at, (&byte, expected))| {
                    byte == 0 || byte == expected || (24..40).contains(&at) || at >= BLOCK - 32
                })
        };
        for part in [start, end] {
            let mut block = part.start;
            while block < part.end {
                let count = (part.end - block).min(MAX_BLOCKS as u64);
                let mut bytes = vec![0; count as usize * BLOCK];
                self.0.device.read(block, &mut bytes).await?;
                for bytes in bytes.chunks(BLOCK) {
                    if bytes.iter().any(|&byte| byte != 0) && !half_formatted(block, bytes) {
                        return Ok(Some(block));
                    }
                    block += 1;
                }
            }
        }
        Ok(None)
    }
}
