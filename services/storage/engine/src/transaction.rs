//! Reads and writes that happen together or not at all. Writes are kept aside until
//! `commit`; then every node that they touch is loaded, which may fail, and only
//! then is the tree changed, which cannot.

use crate::device::{BlockDevice, DeviceError};
use crate::layout::{Extent, MAX_KEY, MAX_META};
use crate::node::{Entry, Value};
use crate::store::{Error, LeafRead, Scan, Shared, Store, first_page, reserve};
use crate::tree::{Found, Leaf};
use crate::turn::TurnGuard;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Bound;

/// Bytes that have been written to free pages and that nothing refers to yet.
/// Dropped, the pages are free again.
pub struct Staged<D> {
    shared: Rc<Shared<D>>,
    extent: Option<Extent>,
}

impl<D> Staged<D> {
    pub(crate) fn new(shared: Rc<Shared<D>>, extent: Extent) -> Staged<D> {
        Staged { shared, extent: Some(extent) }
    }

    /// How many bytes.
    pub fn length(&self) -> u32 {
        self.extent.as_ref().map_or(0, |extent| extent.length)
    }
}

impl<D> Drop for Staged<D> {
    fn drop(&mut self) {
        if let Some(extent) = self.extent.take() {
            self.shared.state.borrow_mut().space.release(&extent.runs);
        }
    }
}

/// Bytes outside the tree that an entry refers to.
pub enum Content<D> {
    /// None.
    None,
    /// What another or the same entry referred to before this transaction; one entry at a time.
    Kept(Extent),
    /// New ones.
    New(Staged<D>),
}

/// Reads and writes that happen together or not at all. Nobody else writes while it
/// is open; dropped without `commit`, nothing has happened.
pub struct Transaction<D: BlockDevice> {
    store: Store<D>,
    _turn: TurnGuard,
    writes: BTreeMap<Rc<[u8]>, Option<Rc<Value>>>,
    staged: Vec<Staged<D>>,
    /// Whether it may take pages that are kept back for deleting.
    frees: bool,
}

impl<D: BlockDevice> Transaction<D> {
    pub(crate) fn new(store: Store<D>, turn: TurnGuard) -> Transaction<D> {
        Transaction { store, _turn: turn, writes: BTreeMap::new(), staged: Vec::new(), frees: false }
    }

    /// The number that this transaction will have: higher than every one before.
    pub fn sequence(&self) -> u64 {
        self.store.0.state.borrow().sequence + 1
    }

    /// What is under `key`, with this transaction's own writes.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Rc<Value>>, Error> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        let found = self.store.0.state.borrow().tree.find(key);
        match found {
            Found::Value(value) => Ok(value),
            Found::Below(pointer) => self.store.get_below(Some(pointer), key).await,
        }
    }

    /// Up to `limit` entries from `from` on, before `end`, with this transaction's
    /// own writes.
    pub async fn scan(&self, from: &[u8], end: &[u8], limit: usize) -> Scan {
        let mut scan = Scan::default();
        let mut from: Rc<[u8]> = from.into();
        while *from < *end {
            let leaf = self.store.0.state.borrow().tree.leaf(&from);
            let (entries, bound) = match leaf {
                Leaf::Entries(stretch) => stretch,
                Leaf::Below(pointer, bound) => {
                    let LeafRead { stretch, damaged } = self.store.leaf_below(pointer, bound, &from).await;
                    scan.damaged |= damaged;
                    stretch
                }
            };
            let stop: Rc<[u8]> = bound.filter(|bound| **bound < *end).unwrap_or_else(|| end.into());
            let mut merged: BTreeMap<Rc<[u8]>, Rc<Value>> =
                entries.into_iter().filter(|entry| *entry.key < *stop).map(|entry| (entry.key, entry.value)).collect();
            for (key, written) in self.writes.range::<[u8], _>((Bound::Included(&*from), Bound::Excluded(&*stop))) {
                match written {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
            for (key, value) in merged {
                if scan.entries.len() == limit {
                    scan.next = Some(key);
                    return scan;
                }
                scan.entries.push(Entry { key, value });
            }
            from = stop;
        }
        scan
    }

    /// The bytes of an extent that an entry refers to.
    pub async fn read(&self, extent: &Extent) -> Result<Vec<u8>, Error> {
        self.store.read_extent(extent).await
    }

    /// Puts something under `key`.
    pub fn put(&mut self, key: &[u8], meta: Vec<u8>, content: Content<D>) -> Result<(), Error> {
        if key.len() > MAX_KEY || meta.len() > MAX_META {
            return Err(Error::TooLarge);
        }
        let extent = match content {
            Content::None => None,
            Content::Kept(extent) => Some(extent),
            Content::New(staged) => {
                let extent = staged.extent.clone();
                self.staged.push(staged);
                extent
            }
        };
        self.writes.insert(key.into(), Some(Rc::new(Value { meta, extent })));
        Ok(())
    }

    /// Takes away what is under `key`, if anything is.
    pub fn delete(&mut self, key: &[u8]) {
        self.writes.insert(key.into(), None);
    }

    /// Lets this transaction take the pages that are kept back: for one whose effect
    /// is that space becomes free.
    pub fn frees_space(&mut self) {
        self.frees = true;
    }

    /// Makes it so. Returns when it is durable, with its number. After an error from
    /// the disk it may or may not have happened; after any other it has not.
    pub async fn commit(self) -> Result<u64, Error> {
        let applied = self.apply().await?;
        match applied {
            Applied::Nothing(sequence) => Ok(sequence),
            Applied::Waiting { store, ending, sequence } => {
                store.0.settled.until(|| ending.get()).await?;
                Ok(sequence)
            }
        }
    }

    async fn apply(mut self) -> Result<Applied<D>, Error> {
        let shared = self.store.0.clone();
        if self.writes.is_empty() {
            return Ok(Applied::Nothing(self.sequence() - 1));
        }
        if shared.read_only() {
            return Err(Error::Device(DeviceError::ReadOnly));
        }
        let mut bytes = 0;
        for (key, value) in &self.writes {
            loop {
                let missing = shared.state.borrow().tree.missing(key, value.is_none());
                let Some(pointer) = missing else { break };
                let node = self.store.read_node(&pointer).await?;
                shared.state.borrow_mut().tree.fill(key, &pointer, &node);
            }
            if let Some(value) = value {
                bytes += Entry { key: key.clone(), value: value.clone() }.size();
            }
        }
        loop {
            {
                let state = shared.state.borrow();
                let kept_back = if self.frees { 0 } else { reserve(state.durable.pages) };
                if state.space.free() >= 2 * state.tree.node_bound(bytes) + kept_back {
                    break;
                }
                if !state.committing {
                    return Err(Error::NoSpace);
                }
            }
            self.store.commit_under_way().await;
        }
        let mut state = shared.state.borrow_mut();
        let state = &mut *state;
        // Nothing can fail from here on.
        let mut removed: BTreeMap<u64, Extent> = BTreeMap::new();
        let mut added: BTreeMap<u64, ()> = BTreeMap::new();
        for (key, value) in core::mem::take(&mut self.writes) {
            let old = match value {
                Some(value) => {
                    if let Some(page) = value.extent.as_ref().and_then(first_page) {
                        added.insert(page, ());
                    }
                    state.tree.insert(key, value)
                }
                None => state.tree.remove(&key),
            };
            if let Some(extent) = old.and_then(|old| old.extent.clone())
                && let Some(page) = first_page(&extent)
            {
                removed.insert(page, extent);
            }
        }
        for (page, extent) in removed {
            if !added.contains_key(&page) {
                state.tree.drop_runs(&extent.runs);
            }
        }
        for staged in &mut self.staged {
            let is_used = staged.extent.as_ref().and_then(first_page).is_some_and(|page| added.contains_key(&page));
            if is_used && let Some(extent) = staged.extent.take() {
                state.working.fresh.push(extent);
            }
        }
        state.sequence += 1;
        let sequence = state.sequence;
        let ending = Rc::new(Cell::new(None));
        state.working.endings.push(ending.clone());
        let store = self.store.clone();
        shared.dirty.notify();
        Ok(Applied::Waiting { store, ending, sequence })
    }
}

enum Applied<D: BlockDevice> {
    Nothing(u64),
    Waiting { store: Store<D>, ending: crate::store::Ending, sequence: u64 },
}
