//! Checking a log: every byte of every file in its folder, in one pass, in memory that does not grow with
//! the log; or what came after a snapshot or after a checkpoint that someone kept, and that the log goes on from it.

use crate::error::Error;
use crate::folder::{Folder, Item, UNFINISHED, parent};
use crate::log::trimmed;
use crate::prove::proved_header;
use crate::segments::{
    CHECKPOINT, READABLE, RESTORE, SEGMENTS, Segment, bad_block, check_order, checkpoint, no_checkpoint, read,
    read_segment, segments,
};
use crate::snapshots::{self, SNAPSHOTS};
use axiom::block::{Head, Step};
use axiom::commit::Class;
use axiom::event::Event;
use axiom::header::{BOOT, END, HEADER, Header};
use axiom::note::{Checkpoint, VerifierKey};
use axiom::scan::{self, Next};
use axiom::tree::{TILE, Tile, TileId, Tree, tiles};
use axiom::{Block, Wrong};
use std::collections::VecDeque;

/// From where on a log is checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// All of it.
    #[default]
    Genesis,
    /// From its newest good snapshot on.
    Snapshot,
    /// From this checkpoint on, which someone kept: a signed note, with the lines of witnesses or without.
    Checkpoint(Vec<u8>),
}

/// What a log was found to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The first block that was checked. Of those before it, their number and that the tree begins with them.
    pub from: u64,
    /// The snapshot that it went on from, by its block.
    pub resumed: Option<u64>,
    /// Snapshots that are what the headers say, by their blocks. Of those before `from`, that one alone.
    pub snapshots: Vec<u64>,
    /// What is wrong with the others, in words that name the file. Nothing rests on them.
    pub bad_snapshots: Vec<String>,
    /// Where it ends.
    pub head: Head,
    /// What its checkpoint covers.
    pub checkpoint: Checkpoint,
    /// Blocks of which only authority is left, of those that were checked.
    pub trimmed: u64,
    /// Boots that did not end in order, the last one not counted: it may be running. Of those that ended in what was checked.
    pub crashes: u32,
    /// What lies behind the last whole block, in words: the trace of a crash, which the next start cuts off.
    pub torn: Option<String>,
}

/// How long a block that is being written may take.
const BETWEEN: std::time::Duration = std::time::Duration::from_millis(20);

/// Checks everything in `folder` against `key`. An error names the file and what in it is wrong.
pub fn verify(folder: &impl Folder, key: &VerifierKey) -> Result<Verified, Error> {
    verify_from(folder, key, &Start::Genesis)
}

/// The same of what comes after `from`.
pub fn verify_from(folder: &impl Folder, key: &VerifierKey, from: &Start) -> Result<Verified, Error> {
    let mut attempts = 3;
    loop {
        let before = folder.read(CHECKPOINT).ok();
        let result = attempt(folder, key, from);
        attempts -= 1;
        // A machine that is running may have published in between, or be writing a block just now.
        match &result {
            Ok(verified) if verified.torn.is_none() || attempts == 0 => return result,
            Ok(_) => std::thread::sleep(BETWEEN),
            Err(_) if attempts == 0 || folder.read(CHECKPOINT).ok() == before => return result,
            Err(_) => {}
        }
    }
}

fn attempt(folder: &impl Folder, key: &VerifierKey, from: &Start) -> Result<Verified, Error> {
    let around = folder.check(key)?;
    let (_, checkpoint) = checkpoint(folder, key)?.ok_or_else(no_checkpoint)?;
    check_names(folder, "", |name, is_folder| match name {
        CHECKPOINT => !is_folder,
        SEGMENTS | SNAPSHOTS | "tile" => is_folder,
        _ => false,
    })?;
    check_names(folder, SNAPSHOTS, |name, is_folder| !is_folder && snapshots::named(name).is_some())?;
    let mut begin = begin(folder, key, &checkpoint, from)?;
    let (head, tree) = (begin.head, begin.tree);
    if tree.size() == checkpoint.size && tree.root() != checkpoint.root {
        return Err(Error::new("tile: the tiles do not lead to the root in the checkpoint", RESTORE));
    }
    let (from, mut good) = (head.blocks, Vec::from_iter(begin.resumed));
    // Those that are newer than the one gone on from were looked at when it was chosen.
    let judged = |block: u64| begin.resumed.is_some() && block < checkpoint.size;
    let waiting = snapshots::list(folder)?.into_iter().filter(|&block| block >= from && !judged(block)).collect();
    let mut pass = Pass {
        begun: from,
        folder,
        key,
        checkpoint,
        head,
        tree,
        trimmed: 0,
        crashes: 0,
        torn: None,
        waiting,
        good: Vec::new(),
        bad: Vec::new(),
    };
    let all = segments(folder)?;
    check_order(folder, &all)?;
    let mut start = all.iter().rposition(|segment| segment.first <= from).unwrap_or(0);
    while start > 0 && all[start - 1].first == all[start].first {
        start -= 1;
    }
    for (index, segment) in all.iter().enumerate().skip(start) {
        if index > start && all[index - 1].first == segment.first {
            // There is one: the newest is never trimmed.
            let next = all.get(index + 1).map_or(segment.first, |next| next.first);
            pass.check_pair(&all[index - 1], segment, next)?;
        } else {
            pass.segment(segment, all[index + 1..].iter().all(|next| next.first == segment.first))?;
        }
    }
    if pass.head.blocks < checkpoint.size {
        let cause = format!("{SEGMENTS}: block {}, which the checkpoint covers, is missing", pass.head.blocks);
        return Err(Error::new(cause, RESTORE));
    }
    for tile in pass.tree.partial() {
        pass.check_partials(&tile)?;
    }
    pass.check_edge()?;
    pass.check_tile_names("tile")?;
    pass.bad.extend(pass.waiting.iter().map(|&block| format!("{}: there is no such block", snapshots::path(block))));
    let Pass { head, trimmed, crashes, torn, .. } = pass;
    good.append(&mut pass.good);
    begin.bad.append(&mut pass.bad);
    Ok(Verified {
        from,
        resumed: begin.resumed,
        snapshots: good,
        bad_snapshots: begin.bad,
        head,
        checkpoint,
        trimmed,
        crashes,
        torn: around.or(torn),
    })
}

/// Where checking begins.
struct Begin {
    head: Head,
    tree: Tree,
    resumed: Option<u64>,
    bad: Vec<String>,
}

fn begin(folder: &impl Folder, key: &VerifierKey, checkpoint: &Checkpoint, from: &Start) -> Result<Begin, Error> {
    match from {
        Start::Genesis => Ok(Begin { head: Head::EMPTY, tree: Tree::new(), resumed: None, bad: Vec::new() }),
        Start::Checkpoint(note) => {
            let kept = key.check_cosigned(note, &[]).map_err(|error| {
                Error::new(
                    format!("the checkpoint that was kept: {error}"),
                    "Give one of this log, as its file `checkpoint` was then; --key names another key than this machine's.",
                )
            })?;
            let kept = kept.checkpoint;
            if kept.size > checkpoint.size {
                let cause = format!(
                    "{CHECKPOINT}: it covers {} blocks, and the one that was kept {}: this is an older copy of the log, or what came after was taken away",
                    checkpoint.size, kept.size
                );
                return Err(Error::new(cause, RESTORE));
            }
            let begin = after(folder, checkpoint, kept.size)?;
            if begin.tree.root() != kept.root {
                let cause = format!(
                    "tile: the first {} blocks are not those of the checkpoint that was kept: this log is another, or its past was changed",
                    kept.size
                );
                return Err(Error::new(cause, RESTORE));
            }
            Ok(begin)
        }
        Start::Snapshot => match snapshots::newest(folder, checkpoint, u64::MAX)? {
            (Some(found), bad) => {
                let number = found.header.number;
                let tree = tree_of(folder, checkpoint, number + 1)?;
                Ok(Begin { head: Head::after(&found.header, &found.bytes), tree, resumed: Some(number), bad })
            }
            (None, bad) => {
                let cause = if bad.is_empty() { "there is no snapshot".to_owned() } else { bad.join("; ") };
                Err(Error::absent(cause, "Without a good one, check from genesis: nothing is lost."))
            }
        },
    }
}

/// After the first `size` blocks, which the checkpoint covers.
fn after(folder: &impl Folder, checkpoint: &Checkpoint, size: u64) -> Result<Begin, Error> {
    let head = match size.checked_sub(1) {
        None => Head::EMPTY,
        Some(last) => {
            let (header, bytes): (Header, [u8; HEADER]) = proved_header(folder, checkpoint, last)?;
            Head::after(&header, &bytes)
        }
    };
    Ok(Begin { head, tree: tree_of(folder, checkpoint, size)?, resumed: None, bad: Vec::new() })
}

/// The tree of the first `size` blocks, out of the files of that which the checkpoint covers. If they were changed, it
/// does not grow to the root in the checkpoint.
fn tree_of(folder: &impl Folder, checkpoint: &Checkpoint, size: u64) -> Result<Tree, Error> {
    Tree::load(size, |id| {
        let count = checkpoint.size.checked_shr(8 * u32::from(id.level.unwrap_or(0))).unwrap_or(0);
        let width = count.saturating_sub(id.index * TILE as u64).min(TILE as u64) as u16;
        let mut bytes = folder.read(&TileId { width, ..*id }.path()).ok()?;
        bytes.truncate(usize::from(id.width) * if id.level.is_some() { 32 } else { HEADER + 2 });
        Some(bytes)
    })
    .map_err(|tile| Error::new(format!("{tile}: missing or too short"), RESTORE))
}

struct Pass<'a, F> {
    /// Blocks before the first that is checked.
    begun: u64,
    folder: &'a F,
    key: &'a VerifierKey,
    checkpoint: Checkpoint,
    head: Head,
    tree: Tree,
    trimmed: u64,
    crashes: u32,
    torn: Option<String>,
    /// Blocks that have a snapshot and were not come to, the first of them first.
    waiting: VecDeque<u64>,
    good: Vec<u64>,
    bad: Vec<String>,
}

impl<F: Folder> Pass<'_, F> {
    fn segment(&mut self, segment: &Segment, is_last: bool) -> Result<(), Error> {
        let mut segment = *segment;
        // In the first one, what comes before is stepped over: its place in the tree is known.
        let begins = segment.first <= self.head.blocks && self.head.blocks == self.begun;
        if segment.first != self.head.blocks && !begins {
            let path = segment.path();
            let cause =
                format!("{path}: begins with block {}, but block {} comes next", segment.first, self.head.blocks);
            return Err(Error::new(cause, RESTORE));
        }
        let bytes = read_segment(self.folder, &mut segment)?;
        let path = segment.path();
        let mut at = 0;
        for number in segment.first..self.head.blocks {
            at += match scan::next_head(&bytes, at) {
                Next::Block(block, length) if block.header.number == number => length,
                Next::Bad(wrong) => return Err(bad_block(&path, (&bytes, at), (number, None), wrong)),
                Next::Block(..) | Next::End => {
                    return Err(bad_block(&path, (&bytes, at), (number, None), Wrong::Number));
                }
            };
        }
        loop {
            let (number, first) = (self.head.blocks, Some(self.head.records));
            match scan::next(&bytes, at) {
                Next::Block(block, length) => {
                    let checked =
                        if block.is_trimmed() == segment.trimmed { self.block(&block) } else { Err(Wrong::NoFrame) };
                    checked.map_err(|wrong| {
                        let changed = if wrong == Wrong::Tree { self.changed_block() } else { None };
                        changed.unwrap_or_else(|| bad_block(&path, (&bytes, at), (number, first), wrong))
                    })?;
                    self.tiles()?;
                    at += length;
                }
                Next::End => return Ok(()),
                Next::Bad(wrong) => {
                    let covered = number < self.checkpoint.size || !is_last || segment.trimmed;
                    if covered || scan::was_durable(&bytes[at..], number) {
                        return Err(bad_block(&path, (&bytes, at), (number, first), wrong));
                    }
                    self.torn = Some(format!("{path}: block {number}, at byte {at}: {wrong}; no checkpoint covers it"));
                    return Ok(());
                }
            }
        }
    }

    fn block(&mut self, block: &Block<'_>) -> Result<(), Wrong> {
        if block.header.has(BOOT) && self.head.blocks > 0 && !self.head.ended {
            self.crashes += 1;
        }
        if self.head.ended && !block.header.has(BOOT) || block.synced > block.header.number {
            return Err(Wrong::Count);
        }
        self.head.accept(block)?;
        self.trimmed += u64::from(block.is_trimmed());
        if block.header.number == 0 {
            self.check_genesis(block)?;
        }
        if block.header.has(END) != self.head.ended {
            return Err(Wrong::Version);
        }
        if self.waiting.pop_front_if(|waiting| *waiting == block.header.number).is_some() {
            match snapshots::load(self.folder, &block.header) {
                Ok(kernel) => self.good.extend(kernel.map(|_| block.header.number)),
                Err(wrong) => self.bad.push(wrong),
            }
        }
        self.tree.push(block.header_bytes);
        if self.tree.size() == self.checkpoint.size && self.tree.root() != self.checkpoint.root {
            return Err(Wrong::Tree);
        }
        Ok(())
    }

    /// The first commit of a log says whose it is.
    fn check_genesis(&self, block: &Block<'_>) -> Result<(), Wrong> {
        let first = block.steps().find_map(|step| match step {
            Ok(Step::Commit(Class::Authority, commit)) => Some(commit.to_event()),
            _ => None,
        });
        match first {
            Some(Some(Event::Genesis { key, .. })) if key == self.key.public() => Ok(()),
            _ => Err(Wrong::Commit(0)),
        }
    }

    /// Compares the tiles that became full with the files.
    fn tiles(&mut self) -> Result<(), Error> {
        for tile in self.tree.take_full() {
            let path = tile.id.path();
            let width = 256u64.pow(1 + u32::from(tile.id.level.unwrap_or(0)));
            let covered = (tile.id.index + 1).saturating_mul(width) <= self.checkpoint.size;
            match self.folder.read(&path) {
                Ok(bytes) if bytes == tile.bytes => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !covered => {}
                Err(error) => return Err(Error::file(&path, "cannot be read", error, RESTORE)),
                Ok(_) => return Err(self.changed_block().unwrap_or_else(|| differs(&path))),
            }
            self.check_partials(&tile)?;
        }
        Ok(())
    }

    /// The blocks do not give the tiles, or not the root that is signed: which is the first that is not as it was? The bundles
    /// tell, if they lead to that root.
    fn changed_block(&self) -> Option<Error> {
        let Checkpoint { size, root } = self.checkpoint;
        let headers = |id: TileId| -> Option<Vec<[u8; HEADER]>> {
            let bytes = self.folder.read(&id.path()).ok()?;
            let entries = bytes.chunks_exact(2 + HEADER);
            entries.map(|entry| entry.last_chunk().copied()).collect()
        };
        let bundles = || tiles(size).take_while(|id| id.level.is_none());
        let mut tree = Tree::new();
        for id in bundles() {
            headers(id)?.iter().for_each(|header| tree.push(header));
            tree.take_full();
        }
        if tree.size() != size || tree.root() != root {
            return None;
        }
        let mut signed = (0u64..).zip(bundles().flat_map(|id| headers(id).unwrap_or_default()));
        let mut all = segments(self.folder).ok()?;
        all.dedup_by_key(|segment| segment.first);
        for mut segment in all {
            let bytes = read_segment(self.folder, &mut segment).ok()?;
            let mut at = 0;
            while let Next::Block(block, length) = scan::next_head(&bytes, at) {
                let (number, header) = signed.next()?;
                if header != *block.header_bytes {
                    return Some(bad_block(&segment.path(), (&bytes, at), (number, None), Wrong::Tree));
                }
                at += length;
            }
        }
        None
    }

    /// Compares what partial tiles there are of this one.
    fn check_partials(&self, tile: &Tile) -> Result<(), Error> {
        let item = tile.bytes.len() / usize::from(tile.id.width);
        let folder = parent(&TileId { width: 1, ..tile.id }.path()).to_owned();
        let items =
            self.folder.list(&folder).map_err(|error| Error::file(&folder, "cannot be listed", error, READABLE))?;
        for Item { name, .. } in items {
            let path = format!("{folder}/{name}");
            let width: usize = name.parse().unwrap_or(0);
            if width == 0 || width >= TILE || width.to_string() != name || width * item > tile.bytes.len() {
                return Err(unknown(&path));
            }
            if read(self.folder, &path)? != tile.bytes[..width * item] {
                return Err(differs(&path));
            }
        }
        Ok(())
    }

    /// The partial tiles that the checkpoint needs are there.
    fn check_edge(&self) -> Result<(), Error> {
        for id in tiles(self.checkpoint.size).filter(|id| usize::from(id.width) < TILE) {
            let path = id.path();
            // Compared before, where it is.
            self.folder.read(&path).map_err(|error| {
                let needed =
                    format!("the checkpoint, of {} blocks, needs it, and it cannot be read", self.checkpoint.size);
                Error::file(&path, &needed, error, RESTORE)
            })?;
        }
        Ok(())
    }

    /// Every file below `folder` is one of the tree's.
    fn check_tile_names(&self, folder: &str) -> Result<(), Error> {
        let items =
            self.folder.list(folder).map_err(|error| Error::file(folder, "cannot be listed", error, READABLE))?;
        for item in items {
            let path = format!("{folder}/{}", item.name);
            if item.length.is_none() {
                self.check_tile_names(&path)?;
            } else if !tile_named(&path).is_some_and(|id| self.exists(&id)) {
                return Err(unknown(&path));
            }
        }
        Ok(())
    }

    /// Whether the tree has got so far that this file can be.
    fn exists(&self, id: &TileId) -> bool {
        let count = self.head.blocks.checked_shr(8 * u32::from(id.level.unwrap_or(0))).unwrap_or(0);
        id.index.saturating_mul(TILE as u64).saturating_add(u64::from(id.width)) <= count
    }

    /// Of a segment that is there whole and trimmed, trimming was interrupted. The one behind it begins with block `next`.
    fn check_pair(&self, whole: &Segment, kept: &Segment, next: u64) -> Result<(), Error> {
        let path = kept.path();
        let bytes = match self.folder.read(&whole.path()) {
            // A machine that runs has finished trimming it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            bytes => bytes.map_err(|error| Error::file(whole.path(), "cannot be read", error, READABLE))?,
        };
        if read(self.folder, &path)? == trimmed(whole, &bytes, next)? { Ok(()) } else { Err(differs(&path)) }
    }
}

/// The file of the tree with this path, exactly as [`TileId::path`] writes it.
pub(crate) fn tile_named(path: &str) -> Option<TileId> {
    let rest = path.strip_prefix("tile/")?;
    let (level, rest) = rest.split_once('/')?;
    let level = if level == "entries" { None } else { Some(level.parse().ok()?) };
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok()?),
        None => (rest, TILE as u16),
    };
    let index = number.split('/').try_fold(0u64, |index, part| {
        let digits: u64 = part.strip_prefix('x').unwrap_or(part).parse().ok()?;
        index.checked_mul(1000)?.checked_add(digits)
    })?;
    let id = TileId { level, index, width };
    (id.path() == path && width > 0).then_some(id)
}

fn check_names(folder: &impl Folder, path: &str, known: impl Fn(&str, bool) -> bool) -> Result<(), Error> {
    let items = folder.list(path).map_err(|error| Error::file(path, "cannot be listed", error, READABLE))?;
    match items.iter().find(|item| !known(&item.name, item.length.is_none())) {
        Some(item) if path.is_empty() => Err(unknown(&item.name)),
        Some(item) => Err(unknown(&format!("{path}/{}", item.name))),
        None => Ok(()),
    }
}

fn unknown(path: &str) -> Error {
    if path == UNFINISHED {
        return Error::new(
            format!("{path}: a file of the log was being replaced when the last run ended"),
            "A run that does not end in order may leave it; the next start removes it and goes on.",
        );
    }
    Error::new(format!("{path}: not a file of the log"), "Move it out of the log's folder.")
}

fn differs(path: &str) -> Error {
    Error::new(format!("{path}: not what the blocks in the segments give"), RESTORE)
}
