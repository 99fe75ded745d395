//! Opening a log: what must be true of it, from its last checkpoint on, in a time that
//! does not depend on how long it is.

use crate::error::Error;
use crate::folder::Folder;
use crate::log::{Closed, GROWTH, OpenSegment, remove_unfinished, trimmed};
use crate::segments::{RESTORE, Segment, bad_block, check_order, checkpoint, no_checkpoint, read, segments};
use axiom::Sealer;
use axiom::block::Head;
use axiom::event::PreviousEnd;
use axiom::note::{Checkpoint, MachineKey};
use axiom::scan::{self, Next};
use axiom::tree::{self, Tree, leaf_hash};

/// How a log was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Where it ends.
    pub head: Head,
    /// How the last boot ended.
    pub previous: PreviousEnd,
    /// What was cut off behind the last whole block, in words; `None` if nothing was.
    pub cut: Option<String>,
}

/// A log as it was found, ready to go on.
pub(crate) struct Recovered {
    pub(crate) sealer: Sealer,
    pub(crate) open: Option<OpenSegment>,
    pub(crate) published: u64,
    /// The checkpoint, as it lies there.
    pub(crate) signed: Vec<u8>,
    pub(crate) closed: Vec<Closed>,
    pub(crate) opened: Opened,
}

/// Checks the log and brings it into a state to go on from.
pub(crate) fn recover(folder: &mut impl Folder, key: MachineKey) -> Result<Recovered, Error> {
    remove_unfinished(folder)?;
    let Some((signed, checkpoint)) = checkpoint(folder, &key.verifier())? else {
        return begin(folder, key);
    };
    let tree = load_tree(folder, &checkpoint)?;
    let mut all = segments(folder)?;
    check_order(folder, &all)?;
    finish_trimming(folder, &mut all)?;
    let last_covered = checkpoint.size.saturating_sub(1);
    let start = all.iter().rposition(|segment| segment.first <= last_covered).ok_or_else(|| missing(last_covered))?;

    let mut progress = Progress { head: None, checkpoint, tree: Some(tree), key, sealer: None };
    let mut end = (0, 0, String::new());
    let mut cut = None;
    for (index, segment) in all.iter().enumerate().skip(start) {
        let path = segment.path();
        let bytes = read(folder, &path)?;
        let is_last = index + 1 == all.len();
        if progress.next(segment).0 != segment.first {
            return Err(missing(progress.next(segment).0));
        }
        let at = progress.segment(folder, segment, &path, &bytes)?;
        if !is_last && !scan::is_zero(&bytes[at..]) {
            return Err(bad_block(&path, (&bytes, at), progress.next(segment), "it is not whole"));
        }
        if is_last {
            let tail = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
            if tail > at {
                cut = Some((tail - at) as u64);
            }
            end = (at, bytes.len(), path);
        }
    }
    let Some(sealer) = progress.sealer else {
        return Err(missing(progress.head.map_or(0, |head| head.blocks)));
    };
    let (at, length, path) = end;
    tidy(folder, &path, at, length, cut)?;
    let head = *sealer.head();
    let opened = Opened {
        head,
        previous: match (head.ended, cut.unwrap_or(0)) {
            (true, cut) => PreviousEnd::Orderly { cut },
            (false, cut) => PreviousEnd::Crash { cut },
        },
        cut: cut.map(|cut| format!("{path}: {cut} bytes that are no whole block, after block {}", head.blocks - 1)),
    };
    let closed = all[..all.len().saturating_sub(1)].iter().map(|&segment| Closed::new(folder, segment));
    let closed = closed.collect::<Result<_, _>>()?;
    let length = (length as u64).next_multiple_of(GROWTH);
    let open = all.last().map(|&segment| OpenSegment { segment, at: at as u64, length });
    Ok(Recovered { sealer, open, published: checkpoint.size, signed, closed, opened })
}

/// How far the blocks were checked.
struct Progress {
    head: Option<Head>,
    checkpoint: Checkpoint,
    tree: Option<Tree>,
    key: MachineKey,
    sealer: Option<Sealer>,
}

impl Progress {
    /// The number of the block that must come next, and of its first record, as far as it is known.
    fn next(&self, segment: &Segment) -> (u64, Option<u64>) {
        (self.head.map_or(segment.first, |head| head.blocks), self.head.map(|head| head.records))
    }

    /// Checks the blocks of one segment; gives the offset where they end.
    fn segment(&mut self, folder: &impl Folder, segment: &Segment, path: &str, bytes: &[u8]) -> Result<usize, Error> {
        let mut at = 0;
        loop {
            let (number, first) = self.next(segment);
            match scan::next(bytes, at) {
                Next::Block(block, length) => {
                    let mut head = self.head.unwrap_or_else(|| Head::before(&block.header));
                    head.accept(&block).map_err(|wrong| bad_block(path, (bytes, at), (number, first), wrong))?;
                    if head.blocks == self.checkpoint.size {
                        self.check_covered(folder, block.header_bytes, path, (bytes, at))?;
                        let tree = self.tree.take().unwrap_or_default();
                        self.sealer = Some(Sealer::new(head, tree, self.key.clone()));
                    } else if let Some(sealer) = &mut self.sealer {
                        sealer.append(&block.header, block.header_bytes);
                    }
                    self.head = Some(head);
                    at += length;
                }
                Next::End => return Ok(at),
                Next::Bad(wrong) => {
                    let covered = number < self.checkpoint.size;
                    if covered || scan::was_durable(&bytes[at..], number) {
                        return Err(bad_block(path, (bytes, at), (number, first), wrong));
                    }
                    return Ok(at);
                }
            }
        }
    }

    /// The last block that the checkpoint covers must be in its tree.
    fn check_covered(
        &self,
        folder: &impl Folder,
        header: &[u8],
        path: &str,
        place: (&[u8], usize),
    ) -> Result<(), Error> {
        let Checkpoint { size, root } = self.checkpoint;
        let mut hashes = tree::Hashes { stored: size, read: &mut |id| folder.read(&id.path()).ok() };
        let proof = hashes
            .inclusion(size - 1, size)
            .map_err(|tile| Error::new(format!("{tile}: missing or too short"), RESTORE))?;
        if tree::root_from_proof(leaf_hash(header), size - 1, size, &proof) != Some(root) {
            return Err(bad_block(path, place, (size - 1, None), axiom::Wrong::Tree));
        }
        Ok(())
    }
}

fn missing(block: u64) -> Error {
    Error::new(
        format!("segments: block {block}, which the checkpoint covers or a later segment follows, is missing"),
        RESTORE,
    )
}

/// The tree's right edge, checked against the checkpoint.
fn load_tree(folder: &impl Folder, checkpoint: &Checkpoint) -> Result<Tree, Error> {
    let tree = Tree::load(checkpoint.size, |id| folder.read(&id.path()).ok())
        .map_err(|tile| Error::new(format!("{tile}: missing, or not as it was written"), RESTORE))?;
    if tree.root() != checkpoint.root {
        return Err(Error::new("tile: the tiles do not lead to the root in the checkpoint", RESTORE));
    }
    Ok(tree)
}

/// A log that has no checkpoint is one whose making was interrupted, or none: nothing in it was
/// durable yet.
fn begin(folder: &mut impl Folder, key: MachineKey) -> Result<Recovered, Error> {
    for segment in segments(folder)? {
        let path = segment.path();
        let bytes = read(folder, &path)?;
        if segment.first > 0 || segment.trimmed || scan::was_durable(&bytes, 0) {
            return Err(no_checkpoint());
        }
        folder
            .remove(&path)
            .map_err(|error| Error::file(&path, "cannot be removed", error, crate::segments::READABLE))?;
    }
    let opened = Opened { head: Head::EMPTY, previous: PreviousEnd::First, cut: None };
    let sealer = Sealer::new(Head::EMPTY, Tree::new(), key);
    Ok(Recovered { sealer, open: None, published: 0, signed: Vec::new(), closed: Vec::new(), opened })
}

/// Trimming was interrupted where a segment is there both ways: the whole one goes, if all of it is in the other.
fn finish_trimming(folder: &mut impl Folder, all: &mut Vec<Segment>) -> Result<(), Error> {
    let mut index = 0;
    while index + 1 < all.len() {
        if all[index].first == all[index + 1].first {
            let whole = all.remove(index);
            let (path, kept) = (whole.path(), all[index].path());
            // There is one: the newest is never trimmed.
            let next = all.get(index + 1).map_or(whole.first, |next| next.first);
            if read(folder, &kept)? != trimmed(&whole, &read(folder, &path)?, next)? {
                return Err(Error::new(format!("{kept}: not what trimming {path} gives"), RESTORE));
            }
            folder
                .remove(&path)
                .map_err(|error| Error::file(&path, "cannot be removed", error, crate::segments::READABLE))?;
        }
        index += 1;
    }
    Ok(())
}

/// Fills the end of the open segment with zeros.
fn tidy(folder: &mut impl Folder, path: &str, at: usize, length: usize, cut: Option<u64>) -> Result<(), Error> {
    let failed = |error| Error::file(path, "cannot be written", error, "Check that the log's folder is writable.");
    if let Some(cut) = cut {
        folder.write(path, at as u64, &vec![0; cut as usize]).map_err(failed)?;
    }
    if !(length as u64).is_multiple_of(GROWTH) {
        folder.set_length(path, (length as u64).next_multiple_of(GROWTH)).map_err(failed)?;
    }
    // What was found may never have been synced: what is built on it must be able to rely on it.
    folder.sync(path).map_err(failed)
}
