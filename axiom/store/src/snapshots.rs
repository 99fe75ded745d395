//! Snapshots of the state, a file each in the folder `snapshots`, named by the block after which the state was so.
//! They are what replay may begin with, and never authority: one is believed only if the header of its block,
//! in the signed tree, has its hashes. One that is gone or damaged is a longer way, and nothing more.

use crate::boots::PLATFORM;
use crate::error::Error;
use crate::folder::Folder;
use crate::prove::proved_header;
use crate::segments::READABLE;
use axiom::header::{HEADER, Header};
use axiom::note::Checkpoint;
use axiom::snapshot::{MAX, Snapshot};
use kernel::Kernel;
use std::io::ErrorKind;

/// Where they lie.
pub const SNAPSHOTS: &str = "snapshots";
/// How many are kept: if one is damaged, there is another.
pub const KEPT: usize = 2;

/// The file of the snapshot after this block.
pub fn path(block: u64) -> String {
    format!("{SNAPSHOTS}/{block:020}")
}

/// The block whose snapshot has this name; `None` if none is called so.
pub(crate) fn named(name: &str) -> Option<u64> {
    let block = name.parse().ok()?;
    (path(block).strip_prefix(SNAPSHOTS)?.strip_prefix('/')? == name).then_some(block)
}

/// The blocks of which there are snapshots, the oldest first.
pub fn list(folder: &impl Folder) -> Result<Vec<u64>, Error> {
    let items = folder.list(SNAPSHOTS).map_err(|error| Error::file(SNAPSHOTS, "cannot be listed", error, READABLE))?;
    Ok(items.iter().filter_map(|item| named(&item.name)).collect())
}

/// The state in the snapshot of the block with this header, which is in the tree; `None` if there is none, any more.
/// An error says what is wrong with it, in words.
pub fn load(folder: &impl Folder, header: &Header) -> Result<Option<Kernel>, String> {
    let path = path(header.number);
    let length = folder.list(SNAPSHOTS).ok().and_then(|items| {
        let item = items.into_iter().find(|item| named(&item.name) == Some(header.number))?;
        item.length
    });
    if length.is_some_and(|length| length > MAX as u64) {
        return Err(format!("{path}: it is longer than a snapshot can be"));
    }
    let bytes = match folder.read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| format!("{path}: cannot be read: {error}"))?,
    };
    let kernel = Snapshot::parse(&bytes).and_then(|snapshot| snapshot.kernel(header, PLATFORM));
    kernel.map(Some).map_err(|unbelieved| format!("{path}: {unbelieved}"))
}

/// A snapshot that is good, and where.
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) bytes: [u8; HEADER],
    pub(crate) kernel: Kernel,
}

/// The newest good snapshot of a block below `end` that the checkpoint covers, and what is wrong with those that
/// are newer.
pub(crate) fn newest(
    folder: &impl Folder,
    checkpoint: &Checkpoint,
    end: u64,
) -> Result<(Option<Found>, Vec<String>), Error> {
    let mut bad = Vec::new();
    for block in list(folder)?.into_iter().rev().filter(|&block| block < end.min(checkpoint.size)) {
        let (header, bytes) = proved_header(folder, checkpoint, block)?;
        match load(folder, &header) {
            Ok(Some(kernel)) => return Ok((Some(Found { header, bytes, kernel }), bad)),
            Ok(None) => {}
            Err(wrong) => bad.push(wrong),
        }
    }
    Ok((None, bad))
}

/// The writer's side: which there are, and which is to be written.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    /// Blocks of which there are snapshots, the oldest first.
    there: Vec<u64>,
    waiting: Option<(u64, Vec<u8>)>,
    /// Why the last one could not be written.
    trouble: Option<Error>,
}

impl Keeper {
    pub(crate) fn new(folder: &impl Folder) -> Result<Keeper, Error> {
        Ok(Keeper { there: list(folder)?, ..Keeper::default() })
    }

    /// Takes a snapshot, in place of one that still waits.
    pub(crate) fn take(&mut self, block: u64, bytes: &[u8]) {
        self.waiting = Some((block, bytes.to_vec()));
    }

    /// From this block on, a replay can begin with a snapshot even if the newest one is lost.
    pub(crate) fn begin(&self) -> u64 {
        self.there.first().map_or(0, |oldest| oldest + 1)
    }

    /// Why the last snapshot is not there, if one is missing.
    pub(crate) fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    /// Writes the snapshot that waits, if a checkpoint covers its block: blocks below `covered`. Those that are too many
    /// go. That it fails is no reason to stop: nothing rests on it.
    pub(crate) fn write(&mut self, folder: &mut impl Folder, covered: u64) {
        let Some((block, bytes)) = self.waiting.take_if(|(block, _)| *block < covered) else { return };
        let mut name = path(block);
        let mut work = || {
            folder.replace(&name, &bytes)?;
            self.there.retain(|&there| there != block);
            self.there.push(block);
            self.there.sort_unstable();
            while self.there.len() > KEPT {
                name = path(self.there[0]);
                folder.remove(&name)?;
                self.there.remove(0);
            }
            folder.sync_folder(SNAPSHOTS)
        };
        let next = "Check that the log's folder is writable and the disk has room; the log goes on without it.";
        self.trouble = work().err().map(|error| Error::file(&name, "the snapshot cannot be written", error, next));
    }
}
