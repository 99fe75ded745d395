//! A mounted disk: snapshots to read from, transactions to write with, and the
//! group commit that makes them durable.
//!
//! Transactions change one tree in memory, one at a time. [`Store::run`] takes what
//! they have changed, writes it as one commit while the next ones go on, and wakes
//! them when the flush behind it has completed: however many came meanwhile share
//! the next flush. Readers look at the last durable tree, so nobody sees what could
//! still be lost.

use crate::device::{BLOCK, BlockDevice, DeviceError, MAX_BLOCKS};
use crate::layout::{BLOCKS_PER_PAGE, Extent, MAX_CHUNK, PAGE, Pointer, Run, Superblock, hash};
use crate::node::{Body, Entry, Node, Value, child_of};
use crate::space::Space;
use crate::transaction::{Staged, Transaction};
use crate::tree::{Frozen, Stretch, Tree};
use crate::turn::{Signal, Turn};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Why something could not be read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// What lies there is not what was written.
    Corrupt,
    /// Not enough free pages.
    NoSpace,
    /// A key or value is longer than the engine takes.
    TooLarge,
    /// The disk refused. Of a write: it may or may not have happened.
    Device(DeviceError),
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::Corrupt => f.write_str("the bytes on the disk are not those that were written"),
            Error::NoSpace => f.write_str("the disk is full"),
            Error::TooLarge => f.write_str("longer than the engine takes"),
            Error::Device(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Error {
        match error {
            DeviceError::Full => Error::NoSpace,
            error => Error::Device(error),
        }
    }
}

/// How full the disk is, in pages of 4,096 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// All pages.
    pub pages: u64,
    /// Pages that could be taken now.
    pub free: u64,
    /// Of these, kept back so that deleting always works.
    pub reserve: u64,
    /// Commits since the disk was formatted.
    pub generation: u64,
}

/// How a transaction ended, once that is known.
pub(crate) type Ending = Rc<Cell<Option<Result<(), Error>>>>;

/// What transactions have done since the last commit was frozen.
#[derive(Default)]
pub(crate) struct Working {
    pub(crate) endings: Vec<Ending>,
    /// Extents that the tree refers to since then; their bytes are not flushed yet.
    pub(crate) fresh: Vec<Extent>,
}

/// The nodes read last, by page.
pub(crate) struct Cache {
    nodes: BTreeMap<u64, Rc<Node>>,
    order: VecDeque<u64>,
    limit: usize,
}

impl Cache {
    fn get(&self, pointer: &Pointer) -> Option<Rc<Node>> {
        self.nodes.get(&pointer.page).filter(|node| node.generation == pointer.generation).cloned()
    }

    fn put(&mut self, page: u64, node: Rc<Node>) {
        if self.nodes.insert(page, node).is_none() {
            self.order.push_back(page);
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.nodes.remove(&oldest);
            }
        }
    }
}

pub(crate) struct State {
    pub(crate) space: Space,
    pub(crate) durable: Superblock,
    pub(crate) tree: Tree,
    pub(crate) sequence: u64,
    pub(crate) working: Working,
    /// Whether a commit is being written.
    pub(crate) committing: bool,
    /// Nodes of the commit under way: not on the disk yet for certain.
    in_flight: BTreeMap<u64, Rc<Node>>,
    cache: Cache,
}

pub(crate) struct Shared<D> {
    pub(crate) device: D,
    pub(crate) state: RefCell<State>,
    pub(crate) turn: Turn,
    pub(crate) dirty: Signal,
    pub(crate) settled: Signal,
}

impl<D: BlockDevice> Shared<D> {
    /// Whether the disk is only read: it refuses writes, or who refers to what on it cannot be told.
    pub(crate) fn read_only(&self) -> bool {
        self.device.read_only() || self.state.borrow().space.is_disputed()
    }
}

/// A mounted disk; clones are the same store.
pub struct Store<D>(pub(crate) Rc<Shared<D>>);

impl<D> Clone for Store<D> {
    fn clone(&self) -> Self {
        Store(self.0.clone())
    }
}

/// Nodes kept in memory: about 8 MiB at most.
const CACHED_NODES: usize = 1024;

/// One leaf's worth of a scan; `damaged` if the leaf could not be read.
pub(crate) struct LeafRead {
    pub(crate) stretch: Stretch,
    pub(crate) damaged: bool,
}

/// Entries in the order of their keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// What was found.
    pub entries: Vec<Entry>,
    /// Where to go on, if the limit was reached.
    pub next: Option<Rc<[u8]>>,
    /// Whether keys may be missing because a part could not be read.
    pub damaged: bool,
}

impl<D: BlockDevice> Store<D> {
    pub(crate) fn new(device: D, space: Space, durable: Superblock) -> Store<D> {
        let state = State {
            space,
            tree: Tree::new(durable.root),
            sequence: durable.sequence,
            durable,
            working: Working::default(),
            committing: false,
            in_flight: BTreeMap::new(),
            cache: Cache { nodes: BTreeMap::new(), order: VecDeque::new(), limit: CACHED_NODES },
        };
        Store(Rc::new(Shared {
            device,
            state: RefCell::new(state),
            turn: Turn::default(),
            dirty: Signal::default(),
            settled: Signal::default(),
        }))
    }

    /// The disk underneath.
    pub fn device(&self) -> &D {
        &self.0.device
    }

    /// The name that the disk got when it was formatted.
    pub fn disk(&self) -> [u8; 16] {
        self.0.state.borrow().durable.disk
    }

    /// Number of the last transaction.
    pub fn sequence(&self) -> u64 {
        self.0.state.borrow().sequence
    }

    /// Transactions have numbers above this from now on: for records that come from another disk with
    /// theirs.
    pub fn raise_sequence(&self, to: u64) {
        let mut state = self.0.state.borrow_mut();
        state.sequence = state.sequence.max(to);
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let state = self.0.state.borrow();
        Usage {
            pages: state.durable.pages,
            free: state.space.free(),
            reserve: reserve(state.durable.pages),
            generation: state.durable.generation,
        }
    }

    /// The last durable state, for as long as the snapshot is kept.
    pub fn snapshot(&self) -> Snapshot<D> {
        let mut state = self.0.state.borrow_mut();
        let generation = state.durable.generation;
        state.space.pin(generation);
        Snapshot { store: self.clone(), generation, root: state.durable.root }
    }

    /// Waits for the turn to write.
    pub async fn begin(&self) -> Transaction<D> {
        let guard = self.0.turn.take().await;
        Transaction::new(self.clone(), guard)
    }

    /// Writes bytes to free pages, for a transaction to refer to. At most
    /// [`MAX_CHUNK`]. They are flushed with the commit of that transaction; dropped
    /// without one, the pages are free again.
    pub async fn stage(&self, bytes: &[u8]) -> Result<Staged<D>, Error> {
        if bytes.len() > MAX_CHUNK {
            return Err(Error::TooLarge);
        }
        if self.0.read_only() {
            return Err(Error::Device(DeviceError::ReadOnly));
        }
        let pages = Extent::pages(bytes.len()) as u64;
        let runs = loop {
            {
                let mut state = self.0.state.borrow_mut();
                let allowed = state.space.free() >= pages + reserve(state.durable.pages);
                match allowed.then(|| state.space.allocate(pages)).flatten() {
                    Some(runs) => break runs,
                    None if !state.committing => return Err(Error::NoSpace),
                    None => {}
                }
            }
            self.commit_under_way().await;
        };
        let mut padded = bytes.to_vec();
        padded.resize(pages as usize * PAGE, 0);
        let mut at = 0;
        for run in &runs {
            let length = run.count as usize * PAGE;
            if let Err(error) = self.write_pages(run.page, &padded[at..at + length]).await {
                self.0.state.borrow_mut().space.release(&runs);
                return Err(error.into());
            }
            at += length;
        }
        Ok(Staged::new(self.0.clone(), Extent { length: bytes.len() as u32, hash: hash(bytes), runs }))
    }

    /// The bytes of an extent that the caller's snapshot or transaction refers to.
    pub(crate) async fn read_extent(&self, extent: &Extent) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; Extent::pages(extent.length as usize) * PAGE];
        let mut at = 0;
        for run in &extent.runs {
            let length = run.count as usize * PAGE;
            let part = bytes.get_mut(at..at + length).ok_or(Error::Corrupt)?;
            self.read_pages(run.page, part).await?;
            at += length;
        }
        bytes.truncate(extent.length as usize);
        if hash(&bytes) != extent.hash {
            return Err(Error::Corrupt);
        }
        Ok(bytes)
    }

    pub(crate) async fn read_pages(&self, page: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        // The number may be one that a hostile disk names.
        let mut block = page.checked_mul(BLOCKS_PER_PAGE).ok_or(DeviceError::OutOfRange)?;
        for part in bytes.chunks_mut(MAX_BLOCKS * BLOCK) {
            self.0.device.read(block, part).await?;
            block += (part.len() / BLOCK) as u64;
        }
        Ok(())
    }

    pub(crate) async fn write_pages(&self, page: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let mut block = page * BLOCKS_PER_PAGE;
        for part in bytes.chunks(MAX_BLOCKS * BLOCK) {
            self.0.device.write(block, part).await?;
            block += (part.len() / BLOCK) as u64;
        }
        Ok(())
    }

    /// One copy of a node, straight from the disk; `None` if it is not what the pointer says, which an error
    /// of the disk does not tell.
    pub(crate) async fn read_copy(&self, page: u64, pointer: &Pointer) -> Result<Option<Node>, DeviceError> {
        let mut bytes = vec![0; PAGE];
        self.read_pages(page, &mut bytes).await?;
        Ok((hash(&bytes) == pointer.hash).then(|| Node::decode(&bytes)).flatten())
    }

    /// The node that a pointer leads to; the second copy if the first is damaged.
    pub(crate) async fn read_node(&self, pointer: &Pointer) -> Result<Rc<Node>, Error> {
        {
            let state = self.0.state.borrow();
            let known = state.in_flight.get(&pointer.page).cloned().or_else(|| state.cache.get(pointer));
            if let Some(node) = known {
                return Ok(node);
            }
        }
        let mut found = self.read_copy(pointer.page, pointer).await.ok().flatten();
        if found.is_none() {
            found = self.read_copy(pointer.copy, pointer).await.ok().flatten();
        }
        let node = Rc::new(found.ok_or(Error::Corrupt)?);
        self.remember(pointer, &node);
        Ok(node)
    }

    pub(crate) fn remember(&self, pointer: &Pointer, node: &Rc<Node>) {
        self.0.state.borrow_mut().cache.put(pointer.page, node.clone());
    }

    /// What is under `key` in the tree of `root`.
    pub(crate) async fn get_below(&self, root: Option<Pointer>, key: &[u8]) -> Result<Option<Rc<Value>>, Error> {
        let Some(mut pointer) = root else { return Ok(None) };
        loop {
            let node = self.read_node(&pointer).await?;
            match &node.body {
                Body::Leaf(entries) => {
                    let at = entries.binary_search_by(|entry| (*entry.key).cmp(key));
                    return Ok(at.ok().map(|at| entries[at].value.clone()));
                }
                Body::Branch(children) => pointer = children[child_of(children, key)].child,
            }
        }
    }

    /// The entries from `key` on in the leaf where it lies, below `root`, behind
    /// which `bound` comes.
    pub(crate) async fn leaf_below(&self, root: Pointer, mut bound: Option<Rc<[u8]>>, key: &[u8]) -> LeafRead {
        let mut pointer = root;
        loop {
            let Ok(node) = self.read_node(&pointer).await else {
                return LeafRead { stretch: (Vec::new(), bound), damaged: true };
            };
            match &node.body {
                Body::Leaf(entries) => {
                    let from = entries.partition_point(|entry| *entry.key < *key);
                    return LeafRead { stretch: (entries[from..].to_vec(), bound), damaged: false };
                }
                Body::Branch(children) => {
                    let at = child_of(children, key);
                    if let Some(next) = children.get(at + 1) {
                        bound = Some(next.key.clone());
                    }
                    pointer = children[at].child;
                }
            }
        }
    }

    /// Waits until no commit is being written: pages may have become free with it.
    pub(crate) async fn commit_under_way(&self) {
        self.0.settled.until(|| (!self.0.state.borrow().committing).then_some(())).await;
    }

    /// Commits what transactions bring, for ever. Without it nothing is written: it
    /// has to be polled beside whatever uses the store, and not dropped while that
    /// goes on.
    pub async fn run(&self) {
        loop {
            self.0.dirty.until(|| (!self.0.state.borrow().working.endings.is_empty()).then_some(())).await;
            self.commit().await;
        }
    }

    /// One commit of what transactions have brought so far.
    async fn commit(&self) {
        let turn = self.0.turn.take().await;
        let (frozen, superblock, working) = {
            let mut state = self.0.state.borrow_mut();
            let state = &mut *state;
            let generation = state.durable.generation + 1;
            let working = core::mem::take(&mut state.working);
            let Some(frozen) = state.tree.freeze(generation, &mut state.space) else {
                state.tree = Tree::new(state.durable.root);
                for extent in working.fresh {
                    state.space.release(&extent.runs);
                }
                drop(turn);
                self.end(working.endings, Err(Error::NoSpace));
                return;
            };
            state.committing = true;
            for (pointer, node) in &frozen.nodes {
                state.in_flight.insert(pointer.page, node.clone());
            }
            let superblock = Superblock {
                generation,
                sequence: state.sequence,
                sealed: false,
                root: frozen.root,
                ..state.durable.clone()
            };
            (frozen, superblock, working)
        };
        // From here on the next transactions change what comes after this commit.
        drop(turn);
        match self.write_commit(&frozen, &superblock, !working.fresh.is_empty()).await {
            Ok(()) => {
                let mut state = self.0.state.borrow_mut();
                let generation = superblock.generation;
                state.durable = superblock;
                state.committing = false;
                for (pointer, node) in frozen.nodes {
                    state.in_flight.remove(&pointer.page);
                    state.cache.put(pointer.page, node);
                }
                state.space.leave(generation, frozen.dropped);
                state.space.settle(generation);
                drop(state);
                self.end(working.endings, Ok(()));
            }
            Err(error) => self.abandon(frozen, superblock.generation, working, error).await,
        }
    }

    /// Nothing on the disk refers to new pages before the superblock does; what the
    /// superblock says of chunks is true because they were flushed before, what it
    /// says of the tree is checked by hash when mounting. From its write on the commit may be on the disk,
    /// whatever the error: it is one that does not say that nothing has changed.
    async fn write_commit(
        &self,
        frozen: &Frozen,
        superblock: &Superblock,
        has_chunks: bool,
    ) -> Result<(), DeviceError> {
        if has_chunks {
            self.0.device.flush().await?;
        }
        for (page, bytes) in &frozen.writes {
            self.write_pages(*page, bytes).await?;
        }
        self.write_superblock(superblock).await.map_err(|_| DeviceError::Failed)?;
        self.0.device.flush().await.map_err(|_| DeviceError::Failed)
    }

    /// Both copies in one operation: the other generation's are the ones that count
    /// until this is flushed.
    pub(crate) async fn write_superblock(&self, superblock: &Superblock) -> Result<(), DeviceError> {
        let block = superblock.encode();
        let mut bytes = vec![0; PAGE + BLOCK];
        bytes[..BLOCK].copy_from_slice(&block);
        bytes[PAGE..].copy_from_slice(&block);
        self.0.device.write(Superblock::block(superblock.generation), &bytes).await
    }

    /// A commit failed. Perhaps it is on the disk, perhaps not: its pages stay taken
    /// until a commit of the same generation, which takes the same place, is durable.
    /// What transactions did on top of it goes with it.
    async fn abandon(&self, frozen: Frozen, generation: u64, working: Working, error: DeviceError) {
        self.0.state.borrow_mut().committing = false;
        self.0.settled.notify();
        let _turn = self.0.turn.take().await;
        let mut state = self.0.state.borrow_mut();
        let later = core::mem::take(&mut state.working);
        state.tree = Tree::new(state.durable.root);
        state.in_flight.clear();
        state.space.leave(generation, frozen.taken);
        for extent in working.fresh.into_iter().chain(later.fresh) {
            state.space.leave(generation, extent.runs);
        }
        drop(state);
        let endings = working.endings.into_iter().chain(later.endings).collect();
        self.end(endings, Err(error.into()));
    }

    fn end(&self, endings: Vec<Ending>, result: Result<(), Error>) {
        for ending in endings {
            ending.set(Some(result));
        }
        self.0.settled.notify();
    }

    /// Waits until all that was brought is committed, or has failed.
    pub async fn drain(&self) {
        let is_idle = || {
            let state = self.0.state.borrow();
            (!state.committing && state.working.endings.is_empty()).then_some(())
        };
        self.0.settled.until(is_idle).await;
    }

    /// Marks the last commit as whole, so that damage to it can never be taken for a
    /// crash. For an orderly end; later commits are possible all the same.
    pub async fn seal(&self) -> Result<(), Error> {
        let _turn = self.0.turn.take().await;
        let superblock = {
            let state = self.0.state.borrow();
            // A commit under way makes this one the older anyway.
            if state.durable.sealed || state.committing || !state.working.endings.is_empty() {
                return Ok(());
            }
            if state.space.is_disputed() {
                return Err(Error::Device(DeviceError::ReadOnly));
            }
            Superblock { sealed: true, ..state.durable.clone() }
        };
        // One copy after the other: the newest superblock must not be torn twice.
        let block = superblock.encode();
        let first = Superblock::block(superblock.generation);
        for place in [first + BLOCKS_PER_PAGE, first] {
            self.0.device.write(place, &block).await?;
            self.0.device.flush().await?;
        }
        self.0.state.borrow_mut().durable.sealed = true;
        Ok(())
    }
}

/// Pages that only deleting may take.
pub(crate) fn reserve(pages: u64) -> u64 {
    (pages / 32).clamp(16, 1024)
}

/// The durable state at one moment.
pub struct Snapshot<D: BlockDevice> {
    store: Store<D>,
    generation: u64,
    root: Option<Pointer>,
}

impl<D: BlockDevice> Snapshot<D> {
    /// The commit that it shows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn root(&self) -> Option<Pointer> {
        self.root
    }

    /// What is under `key`.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Rc<Value>>, Error> {
        self.store.get_below(self.root, key).await
    }

    /// Up to `limit` entries from `from` on, before `end`. What cannot be read is
    /// left out, and the scan says so.
    pub async fn scan(&self, from: &[u8], end: &[u8], limit: usize) -> Scan {
        let mut scan = Scan::default();
        let Some(root) = self.root else { return scan };
        let mut from: Rc<[u8]> = from.into();
        loop {
            let LeafRead { stretch: (entries, bound), damaged } = self.store.leaf_below(root, None, &from).await;
            scan.damaged |= damaged;
            for entry in entries {
                if *entry.key >= *end {
                    return scan;
                }
                if scan.entries.len() == limit {
                    scan.next = Some(entry.key);
                    return scan;
                }
                scan.entries.push(entry);
            }
            match bound {
                Some(bound) if *bound < *end => from = bound,
                _ => return scan,
            }
        }
    }

    /// The bytes of an extent that this snapshot refers to.
    pub async fn read(&self, extent: &Extent) -> Result<Vec<u8>, Error> {
        self.store.read_extent(extent).await
    }
}

impl<D: BlockDevice> Drop for Snapshot<D> {
    fn drop(&mut self) {
        let mut state = self.store.0.state.borrow_mut();
        state.space.unpin(self.generation);
        let durable = state.durable.generation;
        state.space.settle(durable);
    }
}

/// The runs of an extent, as what identifies it: no two extents share a page.
pub(crate) fn first_page(extent: &Extent) -> Option<u64> {
    extent.runs.first().map(|run: &Run| run.page)
}
