//! Names of segments, and walking over the blocks in them.

use crate::error::Error;
use crate::folder::Folder;
use axiom::block::{Block, Head};
use axiom::note::{Checkpoint, VerifierKey};
use axiom::scan::{self, Next};

/// Where segments lie.
pub const SEGMENTS: &str = "segments";
/// The checkpoint's file.
pub const CHECKPOINT: &str = "checkpoint";

/// One segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Segment {
    /// Number of its first block.
    pub first: u64,
    /// Whether only authority is left in it.
    pub trimmed: bool,
}

impl Segment {
    /// Its file.
    pub fn path(&self) -> String {
        format!("{SEGMENTS}/{:020}.{}", self.first, if self.trimmed { "kept" } else { "seg" })
    }

    /// The segment with this file name; `None` if no segment is called so.
    pub fn named(name: &str) -> Option<Segment> {
        let (digits, end) = name.split_once('.')?;
        let segment = Segment { first: digits.parse().ok()?, trimmed: end == "kept" };
        (segment.path().strip_prefix(SEGMENTS)?.strip_prefix('/')? == name).then_some(segment)
    }
}

/// The segments of a log, in order. Of one that is there whole and trimmed, both.
pub fn segments(folder: &impl Folder) -> Result<Vec<Segment>, Error> {
    let items = folder.list(SEGMENTS).map_err(|error| Error::file(SEGMENTS, "cannot be listed", error, READABLE))?;
    let mut segments = Vec::new();
    for item in items {
        segments.push(Segment::named(&item.name).ok_or_else(|| {
            Error::new(format!("{SEGMENTS}/{}: not a file of the log", item.name), "Move it out of the log's folder.")
        })?);
    }
    segments.sort();
    Ok(segments)
}

/// That trimmed segments come first, and that the newest, which is never trimmed, is whole: a machine trims from the oldest on.
pub(crate) fn check_order(folder: &impl Folder, all: &[Segment]) -> Result<(), Error> {
    let refuse = |kept: &Segment, why: String| {
        Error::new(format!("{}: activity and calls of it are gone, and {why}", kept.path()), RESTORE)
    };
    if let Some(last) = all.last().filter(|last| last.trimmed) {
        return Err(refuse(last, "the newest segment is never trimmed".into()));
    }
    let Some(whole) = all.iter().find(|segment| !segment.trimmed) else { return Ok(()) };
    let Some(kept) = all.iter().find(|kept| kept.trimmed && kept.first > whole.first) else { return Ok(()) };
    // A machine that runs may have trimmed it between the names of the two.
    match folder.read(&whole.path()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(refuse(kept, format!("{}, which is older, is whole", whole.path()))),
    }
}

pub(crate) const READABLE: &str = "Check that the log's folder is readable.";
pub(crate) const RESTORE: &str = "The log was damaged or changed: put a copy of its folder back, or begin a new log with `orbital run --new-log`, which sets this one aside.";

/// Reads a file of the log.
pub(crate) fn read(folder: &impl Folder, path: &str) -> Result<Vec<u8>, Error> {
    folder.read(path).map_err(|error| Error::file(path, "cannot be read", error, READABLE))
}

/// Reads a segment that was listed. A machine that runs may have trimmed it meanwhile: then what is left of it, and
/// `segment` says so.
pub(crate) fn read_segment(folder: &impl Folder, segment: &mut Segment) -> Result<Vec<u8>, Error> {
    let path = segment.path();
    match folder.read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !segment.trimmed => {
            let kept = Segment { trimmed: true, ..*segment };
            let bytes = folder.read(&kept.path());
            *segment = if bytes.is_ok() { kept } else { *segment };
            bytes.map_err(|_| Error::file(&path, "cannot be read", error, READABLE))
        }
        bytes => bytes.map_err(|error| Error::file(&path, "cannot be read", error, READABLE)),
    }
}

/// The checkpoint as it lies in the folder, and what it says under `key`; `None` if there is none.
pub(crate) fn checkpoint(folder: &impl Folder, key: &VerifierKey) -> Result<Option<(Vec<u8>, Checkpoint)>, Error> {
    let bytes = match folder.read(CHECKPOINT) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| Error::file(CHECKPOINT, "cannot be read", error, READABLE))?,
    };
    match key.check(&bytes) {
        Ok(checkpoint) => Ok(Some((bytes, checkpoint))),
        Err(error) => Err(match signer(&bytes).filter(|signer| *signer != key.name()) {
            Some(signer) => Error::new(
                format!("{CHECKPOINT}: the log is signed by {signer}, and the key is another's: {}", key.name()),
                "Use the key that belongs to this log: its machine.key, or with --key what `orbital log key` prints there.",
            ),
            None => Error::new(format!("{CHECKPOINT}: {error}"), RESTORE),
        }),
    }
}

/// Who says to have signed a checkpoint, where its first line and its signature name the same.
fn signer(checkpoint: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(checkpoint).ok()?;
    let (origin, rest) = text.split_once('\n')?;
    let (_, signature) = rest.split_once("\n\n\u{2014} ")?;
    signature.strip_prefix(origin)?.starts_with(' ').then_some(origin)
}

/// That there is no checkpoint where there must be one.
pub(crate) fn no_checkpoint() -> Error {
    Error::new(
        format!("{CHECKPOINT}: it is gone, and there are blocks that it covered"),
        "Put the file back: without it nothing shows how far the log must reach. Or begin a new log with `orbital run --new-log`, which sets this one aside.",
    )
}

/// That block `number`, at `offset` of a file, is wrong. Which records it has, its head says, or the block before: from `first` on.
pub(crate) fn bad_block(
    path: &str,
    (bytes, offset): (&[u8], usize),
    (number, first): (u64, Option<u64>),
    what: impl std::fmt::Display,
) -> Error {
    let records = match scan::next_head(bytes, offset) {
        Next::Block(block, _) => {
            let first = block.header.first_record;
            let last = first.saturating_add(u64::from(block.header.records)).saturating_sub(1);
            format!(", records {first} to {last}")
        }
        _ => first.map_or_else(String::new, |first| format!(", records from {first} on")),
    };
    Error::new(format!("{path}: block {number}, at byte {offset}{records}: {what}"), RESTORE)
}

/// Calls `each` with every block from number `from` on, in order, as far as the log goes: up to the
/// first thing that is not a whole block. Blocks are whole, and each follows the one before.
/// Stops when `each` says so.
pub fn walk(folder: &impl Folder, from: u64, each: impl FnMut(&Block<'_>) -> Result<Go, Error>) -> Result<(), Error> {
    walk_by(folder, from, from, each)
}

/// The same for those who need headers alone: bodies are not held against their hashes.
pub fn walk_heads(folder: &impl Folder, each: impl FnMut(&Block<'_>) -> Result<Go, Error>) -> Result<(), Error> {
    walk_by(folder, 0, u64::MAX, each)
}

/// As [`walk`], for those who must not take damage for the end of the log: that a block is not whole which the
/// checkpoint covers is an error.
pub fn walk_covered(
    folder: &impl Folder,
    from: u64,
    each: impl FnMut(&Block<'_>) -> Result<Go, Error>,
) -> Result<(), Error> {
    as_far_as_covered(folder, from, each, |each| walk(folder, from, each))
}

/// As [`walk_heads`], and [`walk_covered`].
pub fn walk_covered_heads(
    folder: &impl Folder,
    each: impl FnMut(&Block<'_>) -> Result<Go, Error>,
) -> Result<(), Error> {
    as_far_as_covered(folder, 0, each, |each| walk_heads(folder, each))
}

fn as_far_as_covered(
    folder: &impl Folder,
    from: u64,
    mut each: impl FnMut(&Block<'_>) -> Result<Go, Error>,
    walk: impl FnOnce(&mut dyn FnMut(&Block<'_>) -> Result<Go, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Looked at first: a machine that runs goes on writing.
    let covered = covered(folder);
    let (mut next, mut stopped) = (from, false);
    walk(&mut |block| {
        next = block.header.number + 1;
        let go = each(block)?;
        stopped = go == Go::Stop;
        Ok(go)
    })?;
    if stopped || next >= covered { Ok(()) } else { Err(not_whole(folder, next)?) }
}

/// How many blocks the checkpoint says there are; its signature is not looked at. 0 where there is none.
pub(crate) fn covered(folder: &impl Folder) -> u64 {
    let checkpoint = folder.read(CHECKPOINT).unwrap_or_default();
    let size = checkpoint.split(|&byte| byte == b'\n').nth(1).and_then(|line| std::str::from_utf8(line).ok());
    size.and_then(|size| size.parse().ok()).unwrap_or(0)
}

/// That block `number`, which the checkpoint covers, is damaged or gone.
pub(crate) fn not_whole(folder: &impl Folder, number: u64) -> Result<Error, Error> {
    let file = segments(folder)?.iter().rfind(|segment| segment.first <= number).map(Segment::path);
    let file = file.unwrap_or_else(|| SEGMENTS.to_owned());
    Ok(Error::new(
        format!("{file}: block {number} is not whole, and the checkpoint covers it; what is told ends before it"),
        "`orbital log verify` says what is wrong.",
    ))
}

/// Bodies are hashed from block number `hashed` on.
fn walk_by(
    folder: &impl Folder,
    from: u64,
    hashed: u64,
    mut each: impl FnMut(&Block<'_>) -> Result<Go, Error>,
) -> Result<(), Error> {
    let mut all = segments(folder)?;
    all.dedup_by_key(|segment| segment.first);
    let start = all.iter().rposition(|segment| segment.first <= from).unwrap_or(0);
    let mut head: Option<Head> = None;
    for (index, mut segment) in all.iter().copied().enumerate().skip(start) {
        let bytes = read_segment(folder, &mut segment)?;
        let path = segment.path();
        let mut at = 0;
        loop {
            let (number, first) = (head.map_or(segment.first, |head| head.blocks), head.map(|head| head.records));
            // Those that come before are stepped over: their bodies need no hashing.
            let next = if number < hashed { scan::next_head(&bytes, at) } else { scan::next(&bytes, at) };
            match next {
                Next::Block(block, length) => {
                    let mut next = head.unwrap_or_else(|| Head::before(&block.header));
                    next.follows(&block.header)
                        .map_err(|wrong| bad_block(&path, (&bytes, at), (number, first), wrong))?;
                    next = Head::after(&block.header, block.header_bytes);
                    head = Some(next);
                    if block.header.number >= from && each(&block)? == Go::Stop {
                        return Ok(());
                    }
                    at += length;
                }
                Next::End => break,
                // What lies behind is a block being written just now, or a torn tail.
                Next::Bad(_) if index + 1 == all.len() => return Ok(()),
                Next::Bad(wrong) => return Err(bad_block(&path, (&bytes, at), (number, first), wrong)),
            }
        }
    }
    Ok(())
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Go {
    /// To the next.
    On,
    /// No more.
    Stop,
}
