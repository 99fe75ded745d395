//! The log folder, written: blocks are sealed, appended to the open segment and synced;
//! tiles and checkpoint follow. One thread owns it ([`crate::writer`]).
//!
//! ```text
//! checkpoint                       signed; covers all blocks below its size
//! segments/<first block>.seg       frames, then zeros
//! segments/<first block>.kept      a trimmed segment: headers and authority
//! tile/<level>/..., tile/entries/  the tree over the headers (C2SP tlog-tiles)
//! snapshots/<block>                the state after that block
//! ```

use crate::error::Error;
use crate::folder::{Folder, Mark, UNFINISHED, parent};
use crate::recover::{self, Opened};
use crate::segments::{CHECKPOINT, Segment, bad_block, read};
use crate::snapshots::Keeper;
use axiom::block::{Block, Head};
use axiom::header::{HEADER, Hash};
use axiom::note::MachineKey;
use axiom::scan::{self, Next};
use axiom::tree::{TILE, TileId};
use axiom::{RawBlock, Sealer, Wrong};

/// How much is kept, and in which pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// A segment is closed when it has so many bytes.
    pub segment: u64,
    /// Closed segments keep activity and calls while they have no more bytes than this together; those in which replay
    /// of what comes later must begin, for want of a boot or a snapshot, while they have no more than twice this.
    pub keep: u64,
}

impl Default for Settings {
    /// Segments of 16 MiB; 512 MiB of activity and calls.
    fn default() -> Settings {
        Settings { segment: 16 << 20, keep: 512 << 20 }
    }
}

/// Bytes by which the open segment grows, filled with zeros, so that a small group commit
/// does not change the file's length.
pub(crate) const GROWTH: u64 = 256 << 10;
/// Frames are written when so many bytes wait, at the latest.
const WRITE_AT: u64 = 1 << 20;

/// The segment being written.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) segment: Segment,
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// A segment that is not written any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    segment: Segment,
    /// As it was when it was closed or trimmed.
    mark: Mark,
}

impl Closed {
    pub(crate) fn new(folder: &impl Folder, segment: Segment) -> Result<Closed, Error> {
        let path = segment.path();
        let mark = folder.mark(&path).map_err(|error| Error::file(&path, "cannot be read", error, MOVED))?;
        Ok(Closed { segment, mark })
    }
}

/// Of the files that are not written any more, so many of each kind are looked at with each publication, in turn.
const LOOKS: u64 = 64;

/// A log folder, opened to be written.
#[derive(Debug)]
pub struct Log<F> {
    folder: F,
    sealer: Sealer,
    settings: Settings,
    open: Option<OpenSegment>,
    /// Frames that are sealed and not written.
    buffer: Vec<u8>,
    /// Where the log ended when it was synced last.
    synced: Head,
    /// Blocks that the checkpoint on disk covers.
    published: u64,
    /// That checkpoint, as it was written.
    signed: Vec<u8>,
    /// Closed segments, oldest first; the trimmed ones come first.
    closed: Vec<Closed>,
    /// How many closed segments and full tiles were looked at.
    looked: u64,
    /// The first block of the boot that writes.
    begun: u64,
    snapshots: Keeper,
    /// Set when a write failed: what is on disk is not known any more.
    lost: bool,
}

impl<F: Folder> Log<F> {
    /// Opens the log in `folder`, or begins one: checks it from the last checkpoint on, cuts a
    /// torn tail, refuses anything else that is wrong.
    pub fn open(mut folder: F, key: MachineKey, settings: Settings) -> Result<(Log<F>, Opened), Error> {
        let recovered = recover::recover(&mut folder, key)?;
        let synced = *recovered.sealer.head();
        let snapshots = Keeper::new(&folder)?;
        let mut log = Log {
            folder,
            sealer: recovered.sealer,
            settings,
            open: recovered.open,
            buffer: Vec::new(),
            synced,
            published: recovered.published,
            signed: recovered.signed,
            closed: recovered.closed,
            looked: 0,
            begun: synced.blocks,
            snapshots,
            lost: false,
        };
        if log.published < synced.blocks {
            log.publish()?;
        }
        Ok((log, recovered.opened))
    }

    /// Where the log ends, blocks that are not written yet included.
    pub fn head(&self) -> &Head {
        self.sealer.head()
    }

    /// The key that signs it.
    pub fn key(&self) -> &MachineKey {
        self.sealer.key()
    }

    /// Where the log ends that is durable.
    pub fn durable(&self) -> &Head {
        &self.synced
    }

    /// Blocks that the checkpoint on disk covers.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Why the last snapshot could not be written; the log goes on without it.
    pub fn snapshot_trouble(&self) -> Option<&Error> {
        self.snapshots.trouble()
    }

    /// Bytes that are sealed and not yet durable.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The folder.
    pub fn folder(&self) -> &F {
        &self.folder
    }

    /// Gives the folder back.
    pub fn into_folder(self) -> F {
        self.folder
    }

    /// Seals a block. It is durable after [`Log::sync`].
    pub fn append(&mut self, block: &RawBlock) -> Result<(), Error> {
        self.usable()?;
        self.sealer.seal(block, self.synced.blocks, &mut self.buffer);
        if let Some(snapshot) = block.snapshot() {
            self.snapshots.take(block.number(), snapshot);
        }
        if self.buffer.len() as u64 >= self.room().min(WRITE_AT) {
            self.guard(Self::write)?;
        }
        Ok(())
    }

    /// Bytes until the segment that is written next is full: what waits is written then, so that a segment is
    /// larger than set by less than a block, however much comes between two syncs.
    fn room(&self) -> u64 {
        let open = self.open.as_ref().filter(|open| open.at < self.settings.segment);
        self.settings.segment - open.map_or(0, |open| open.at)
    }

    /// Everything appended is durable when this returns.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.usable()?;
        self.guard(Self::sync_all)
    }

    /// Writes the new tiles and a checkpoint over everything that is durable.
    pub fn publish(&mut self) -> Result<(), Error> {
        self.usable()?;
        self.guard(Self::publish_all)
    }

    /// Whether so many tiles wait in memory that it is time to publish.
    pub fn must_publish(&self) -> bool {
        self.sealer.unpublished() >= 64
    }

    fn usable(&self) -> Result<(), Error> {
        if self.lost {
            return Err(Error::new("the log could not be written before", "Restart the machine; it recovers the log."));
        }
        Ok(())
    }

    /// After a failed write nothing is known of what is on disk: nothing more is written.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let result = work(self);
        self.lost |= result.is_err();
        result
    }

    fn write(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.open.as_ref().is_none_or(|open| open.at >= self.settings.segment) {
            self.next_segment()?;
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let path = open.segment.path();
        let end = open.at + self.buffer.len() as u64;
        let used = self.buffer.len();
        if end > open.length {
            let length = end.next_multiple_of(GROWTH);
            self.buffer.resize(used + (length - end) as usize, 0);
            open.length = length;
        }
        let written = self.folder.write(&path, open.at, &self.buffer);
        written.map_err(|error| Error::file(&path, "cannot be written", error, SPACE))?;
        open.at = end;
        self.buffer.clear();
        Ok(())
    }

    /// Closes the open segment and begins the next. What is in the closed one is durable first, so
    /// that only the last segment can have a torn tail.
    fn next_segment(&mut self) -> Result<(), Error> {
        self.sync_open()?;
        if let Some(open) = &self.open {
            self.closed.push(Closed::new(&self.folder, open.segment)?);
        }
        // The first block that is in the buffer.
        let first = match scan::next(&self.buffer, 0) {
            Next::Block(block, _) => block.header.number,
            Next::End | Next::Bad(_) => self.sealer.head().blocks,
        };
        let segment = Segment { first, trimmed: false };
        let path = segment.path();
        let made = self.folder.create(&path).and_then(|()| self.folder.sync_folder(parent(&path)));
        made.map_err(|error| Error::file(&path, "cannot be made", error, SPACE))?;
        self.open = Some(OpenSegment { segment, at: 0, length: 0 });
        Ok(())
    }

    /// What was written is durable, under the name that it is looked for under.
    fn sync_open(&mut self) -> Result<(), Error> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let path = open.segment.path();
        self.folder.sync(&path).map_err(|error| Error::file(&path, "cannot be synced", error, SPACE))?;
        let length =
            self.folder.linked(&path).map_err(|error| Error::file(&path, "the open segment is gone", error, MOVED))?;
        if length != open.length {
            let cause = format!("{path}: the open segment has {length} bytes, not {}", open.length);
            return Err(Error::new(cause, MOVED));
        }
        Ok(())
    }

    fn sync_all(&mut self) -> Result<(), Error> {
        self.write()?;
        if self.open.is_none() {
            return Ok(());
        }
        self.sync_open()?;
        self.synced = *self.sealer.head();
        if self.published == 0 && self.synced.blocks > 0 {
            self.publish_all()?;
        }
        Ok(())
    }

    fn publish_all(&mut self) -> Result<(), Error> {
        if self.synced != *self.sealer.head() {
            self.write()?;
            // Also publishes, the first time.
            self.sync_all()?;
        }
        if self.published == self.synced.blocks {
            return Ok(());
        }
        self.look()?;
        let publication = self.sealer.publish();
        let mut folders = Vec::new();
        for tile in &publication.tiles {
            let path = tile.id.path();
            self.folder
                .replace(&path, &tile.bytes)
                .map_err(|error| Error::file(&path, "cannot be written", error, SPACE))?;
            folders.push(parent(&path).to_owned());
        }
        folders.sort();
        folders.dedup();
        for folder in folders {
            self.folder.sync_folder(&folder).map_err(|error| Error::file(&folder, "cannot be synced", error, SPACE))?;
        }
        self.folder
            .replace(CHECKPOINT, publication.checkpoint.as_bytes())
            .and_then(|()| self.folder.sync_folder(""))
            .map_err(|error| Error::file(CHECKPOINT, "cannot be written", error, SPACE))?;
        let before = self.published;
        self.published = publication.size;
        self.signed = publication.checkpoint.into_bytes();
        self.remove_stale(before)?;
        self.snapshots.write(&mut self.folder, self.published);
        self.trim()
    }

    /// Looks whether the files that are not written any more are as they were left: the checkpoint and the tree's edge each
    /// time, closed segments and full tiles in turn. Of tiles, which follow from the segments, only that they are there.
    fn look(&mut self) -> Result<(), Error> {
        if self.published == 0 {
            return Ok(());
        }
        let gone =
            |path: &str, error| Error::file(path, "it was changed or removed while the machine runs", error, MOVED);
        let changed = |path: &str| Error::new(format!("{path}: it was changed while the machine runs"), MOVED);
        let signed = self.folder.mark(CHECKPOINT).and_then(|_| self.folder.read(CHECKPOINT));
        if signed.map_err(|error| gone(CHECKPOINT, error))? != self.signed {
            return Err(changed(CHECKPOINT));
        }
        let turn = |count: u64, looked: u64| (0..LOOKS.min(count)).map(move |step| (looked + step) % count);
        for index in turn(self.closed.len() as u64, self.looked) {
            let Closed { segment, mark } = &self.closed[index as usize];
            let path = segment.path();
            if self.folder.mark(&path).map_err(|error| gone(&path, error))? != *mark {
                return Err(changed(&path));
            }
        }
        let full = turn(self.published / TILE as u64, self.looked).flat_map(|index| full_tiles(index, self.published));
        for id in edge(self.published).chain(full) {
            let path = id.path();
            let item = if id.level.is_none() { HEADER + 2 } else { size_of::<Hash>() };
            let mark = self.folder.mark(&path).map_err(|error| gone(&path, error))?;
            if mark.length != (usize::from(id.width) * item) as u64 {
                return Err(changed(&path));
            }
        }
        self.looked = self.looked.wrapping_add(LOOKS);
        Ok(())
    }

    /// Removes the partial tiles that the published ones replace.
    fn remove_stale(&mut self, before: u64) -> Result<(), Error> {
        let current: Vec<String> = edge(self.published).map(|id| id.path()).collect();
        for id in edge(before).chain(edge(self.published)) {
            let folder = parent(&id.path()).to_owned();
            let failed = |error| Error::file(&folder, "stale tiles cannot be removed", error, SPACE);
            for item in self.folder.list(&folder).map_err(failed)? {
                let path = format!("{folder}/{}", item.name);
                if !current.contains(&path) {
                    self.folder.remove(&path).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Takes activity and calls out of the oldest segments, while there is more than is to be kept, and a boot or a
    /// snapshot from which what is left can be replayed. Without one, when there is twice as much. Where one of them is not
    /// whole, nothing is removed, and the log goes no further: what is behind it would never be trimmed.
    fn trim(&mut self) -> Result<(), Error> {
        let begin = self.begun.max(self.snapshots.begin());
        let trimmed_already = self.closed.partition_point(|closed| closed.segment.trimmed);
        let mut whole: u64 = self.closed[trimmed_already..].iter().map(|closed| closed.mark.length).sum();
        for index in trimmed_already..self.closed.len() {
            let open = self.open.as_ref().map(|open| open.segment);
            let Some(next) = self.closed.get(index + 1).map(|closed| closed.segment).or(open) else { break };
            let unneeded = next.first <= begin;
            if whole <= self.settings.keep || !unneeded && whole <= self.settings.keep.saturating_mul(2) {
                break;
            }
            let Closed { segment, mark } = self.closed[index];
            let path = segment.path();
            let left = trimmed(&segment, &read(&self.folder, &path)?, next.first)?;
            let trimmed_segment = Segment { trimmed: true, ..segment };
            let kept = trimmed_segment.path();
            self.folder
                .replace(&kept, &left)
                .and_then(|()| self.folder.sync_folder(parent(&kept)))
                .and_then(|()| self.folder.remove(&path))
                .and_then(|()| self.folder.sync_folder(parent(&path)))
                .map_err(|error| Error::file(&path, "cannot be trimmed", error, SPACE))?;
            self.closed[index] = Closed::new(&self.folder, trimmed_segment)?;
            whole -= mark.length;
        }
        Ok(())
    }
}

/// A closed segment without activity and calls; the one behind it begins with block `next`. An error names the first block
/// that is not whole, does not follow or is missing: the segment must stay, for authority of all blocks from there on is in it.
pub(crate) fn trimmed(segment: &Segment, bytes: &[u8], next: u64) -> Result<Vec<u8>, Error> {
    let mut kept = Vec::new();
    let (mut at, mut head): (usize, Option<Head>) = (0, None);
    loop {
        let (number, first) = (head.map_or(segment.first, |head| head.blocks), head.map(|head| head.records));
        let bad = |wrong| bad_block(&segment.path(), (bytes, at), (number, first), wrong);
        match scan::next(bytes, at) {
            Next::Block(block, length) if number < next => {
                let before = head.unwrap_or(Head { blocks: number, ..Head::before(&block.header) });
                before.follows(&block.header).map_err(bad)?;
                kept.extend_from_slice(&Block::frame_head(
                    block.header_bytes,
                    block.header.lengths,
                    block.synced,
                    true,
                ));
                kept.extend_from_slice(block.bodies[0].unwrap_or_default());
                head = Some(Head::after(&block.header, block.header_bytes));
                at += length;
            }
            Next::End if number == next => return Ok(kept),
            Next::Block(..) => return Err(bad(Wrong::Number)),
            Next::End => return Err(bad(Wrong::NoFrame)),
            Next::Bad(wrong) => return Err(bad(wrong)),
        }
    }
}

/// The partial tiles of a tree of this size.
fn edge(size: u64) -> impl Iterator<Item = TileId> {
    (0..9u32).filter_map(move |row| {
        let level = row.checked_sub(1);
        let count = size.checked_shr(8 * level.unwrap_or(0)).unwrap_or(0);
        let width = (count % TILE as u64) as u16;
        let id = TileId { level: level.map(|level| level as u8), index: count / TILE as u64, width };
        (width > 0).then_some(id)
    })
}

/// The full bundle with this index, and the full tiles over it.
fn full_tiles(index: u64, size: u64) -> impl Iterator<Item = TileId> {
    let tile = move |level: Option<u8>, above: u32| {
        let index = index >> (8 * above);
        let leaves = (index + 1).saturating_mul((TILE as u64).saturating_pow(1 + above));
        (leaves <= size).then_some(TileId { level, index, width: TILE as u16 })
    };
    tile(None, 0).into_iter().chain((0..7u8).map_while(move |level| tile(Some(level), u32::from(level))))
}

/// Removes what an interrupted write left behind.
pub(crate) fn remove_unfinished(folder: &mut impl Folder) -> Result<(), Error> {
    match folder.remove(UNFINISHED) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file(UNFINISHED, "cannot be removed", error, SPACE))
        }
        _ => Ok(()),
    }
}

const SPACE: &str = "Check that the log's folder is writable and the disk has room; the machine stops until then.";
const MOVED: &str = "Something else changes the log's folder: find out what before you start the machine again.";
