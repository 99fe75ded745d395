//! Proofs for outsiders, each one file: that a record is in the log (C2SP tlog-proof, with the block in
//! its extra line), and that an older tree is the beginning of a newer one.
//!
//! | file | lines |
//! |---|---|
//! | inclusion | `c2sp.org/tlog-proof@v1`; `extra` and the block's frame in base64; `index` and the block's number; hashes; an empty line; the checkpoint |
//! | consistency | `old` and a size; hashes; an empty line; the checkpoint: what a witness is sent (C2SP tlog-witness) |

use crate::error::Error;
use crate::folder::Folder;
use crate::segments::{CHECKPOINT, Go, RESTORE, checkpoint, no_checkpoint, read, walk};
use axiom::Block;
use axiom::block::Wrong;
use axiom::header::{HEADER, Header};
use axiom::note::{Checkpoint, Cosigned, VerifierKey, WitnessKey};
use axiom::tree::{self, Hashes, leaf_hash};
use base64ct::{Base64, Encoding};

/// First line of an inclusion proof.
const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 leaves has no longer proof; a witness takes 63.
const MOST_HASHES: usize = 64;

/// Proof that a block is in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inclusion {
    /// The block's number: the index of its leaf.
    pub index: u64,
    /// The block as a segment has it: header and the bodies that are still there.
    pub frame: Vec<u8>,
    /// The hashes from the leaf to the root.
    pub path: Vec<[u8; 32]>,
    /// The checkpoint that they lead to, with the cosignatures that there are.
    pub checkpoint: Vec<u8>,
}

/// Proof that a tree is the beginning of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consistency {
    /// The size of the older tree.
    pub old: u64,
    /// The hashes of the proof.
    pub path: Vec<[u8; 32]>,
    /// The checkpoint of the newer one.
    pub checkpoint: Vec<u8>,
}

/// A proof out of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Of a record's block.
    Inclusion(Inclusion),
    /// Of two trees.
    Consistency(Consistency),
}

/// A log that proofs are made from: its tree, as far as its checkpoint goes, and the checkpoints that there are.
#[derive(Debug)]
pub struct Prover<'a, F> {
    folder: &'a F,
    /// What the log's own checkpoint says.
    published: Checkpoint,
    /// Checkpoints as they were signed, with what they say; the log's own is the last.
    signed: Vec<(Vec<u8>, Checkpoint)>,
}

impl<'a, F: Folder> Prover<'a, F> {
    /// Of the log in `folder`. `cosigned` is a checkpoint with cosignatures, where there is one; it is looked at as
    /// `key` and `witnesses` say.
    pub fn new(
        folder: &'a F,
        key: &VerifierKey,
        cosigned: Option<Vec<u8>>,
        witnesses: &[WitnessKey],
    ) -> Result<Prover<'a, F>, Error> {
        let (bytes, published) = checkpoint(folder, key)?.ok_or_else(no_checkpoint)?;
        let mut signed = Vec::new();
        if let Some(note) = cosigned {
            let said = key.check_cosigned(&note, witnesses).map_err(|error| {
                Error::new(format!("the cosigned checkpoint: {error}"), "`orbital log witness submit` gets a new one.")
            })?;
            signed.extend((said.checkpoint.size <= published.size).then_some((note, said.checkpoint)));
        }
        signed.push((bytes, published));
        Ok(Prover { folder, published, signed })
    }

    /// Takes a checkpoint that someone kept, to prove the way to: it must be of this log, and of blocks that are still
    /// its first.
    pub fn keep(&mut self, note: Vec<u8>, key: &VerifierKey, witnesses: &[WitnessKey]) -> Result<(), Error> {
        let next = "Give a signed checkpoint of this log, as its file `checkpoint` was then.";
        let said = key.check_cosigned(&note, witnesses);
        let kept = said.map_err(|error| Error::new(format!("the checkpoint that was kept: {error}"), next))?.checkpoint;
        if kept.size > self.published.size || self.root(kept.size)? != kept.root {
            let cause = format!(
                "the checkpoint that was kept covers {} blocks, which are not the first {} of this log",
                kept.size, kept.size
            );
            return Err(Error::new(cause, RESTORE));
        }
        self.signed.insert(0, (note, kept));
        Ok(())
    }

    /// What the log's checkpoint says.
    pub fn published(&self) -> Checkpoint {
        self.published
    }

    fn hashes<T>(&self, work: impl FnOnce(&mut Hashes<'_>) -> Result<T, String>) -> Result<T, Error> {
        let mut read = |id: &tree::TileId| self.folder.read(&id.path()).ok();
        work(&mut Hashes { stored: self.published.size, read: &mut read })
            .map_err(|tile| Error::new(format!("{tile}: missing or too short"), RESTORE))
    }

    /// The root of the tree of the first `size` blocks, which the checkpoint covers.
    pub fn root(&self, size: u64) -> Result<[u8; 32], Error> {
        self.hashes(|hashes| hashes.root(size))
    }

    /// Proves that `record` is in the log: against the cosigned checkpoint, if that covers it.
    pub fn inclusion(&self, record: u64) -> Result<Inclusion, Error> {
        let number = find_block(self.folder, self.published.size, record)?;
        let mut frame = None;
        walk(self.folder, number, |block| {
            let lengths = block.header.lengths;
            let mut bytes = Block::frame_head(block.header_bytes, lengths, block.synced, block.is_trimmed()).to_vec();
            block.bodies.iter().flatten().for_each(|body| bytes.extend_from_slice(body));
            frame = Some(bytes);
            Ok(Go::Stop)
        })?;
        let frame = frame.ok_or_else(|| Error::new(format!("segments: block {number} is missing"), RESTORE))?;
        let covering = self.signed.iter().find(|(_, checkpoint)| number < checkpoint.size);
        let (note, checkpoint) = covering.ok_or_else(no_checkpoint)?;
        let path = self.hashes(|hashes| hashes.inclusion(number, checkpoint.size))?;
        Ok(Inclusion { index: number, frame, path, checkpoint: note.clone() })
    }

    /// Proves that the tree of the first `old` blocks is the beginning of that of the first `new`, for which there
    /// must be a signed checkpoint; `None` is the log's own.
    pub fn consistency(&self, old: u64, new: Option<u64>) -> Result<Consistency, Error> {
        let wanted = |(_, checkpoint): &&(Vec<u8>, Checkpoint)| checkpoint.size == new.unwrap_or(self.published.size);
        let Some((note, checkpoint)) = self.signed.iter().find(wanted) else {
            let sizes: Vec<String> = self.signed.iter().map(|(_, there)| there.size.to_string()).collect();
            return Err(Error::absent(
                format!("there is no signed checkpoint of {} blocks", new.unwrap_or_default()),
                format!(
                    "There is one of {}; leave the second size away for the newest, or give one of that size with --checkpoint: only what the machine signed then can be held against it.",
                    sizes.join(", one of ")
                ),
            ));
        };
        if old > checkpoint.size {
            return Err(Error::absent(
                format!("{old} blocks are more than the checkpoint covers ({})", checkpoint.size),
                "Give the smaller size first; a running machine publishes once a second.",
            ));
        }
        let path = self.hashes(|hashes| hashes.consistency(old, checkpoint.size))?;
        Ok(Consistency { old, path, checkpoint: note.clone() })
    }
}

/// The block that has this record: searched by halves in the published headers.
fn find_block(folder: &impl Folder, size: u64, record: u64) -> Result<u64, Error> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let (header, _) = published_header(folder, size, middle)?;
        if record < header.first_record {
            high = middle;
        } else if record >= header.first_record + u64::from(header.records) {
            low = middle + 1;
        } else {
            return Ok(middle);
        }
    }
    Err(Error::absent(
        format!("record {record} is in no block that the checkpoint covers ({size} blocks)"),
        "`orbital log show --limit 1` gives the number of the last record; a running machine publishes once a second.",
    ))
}

/// The header of a block that the checkpoint covers, proved by its tree.
pub(crate) fn proved_header(
    folder: &impl Folder,
    checkpoint: &Checkpoint,
    block: u64,
) -> Result<(Header, [u8; HEADER]), Error> {
    let Checkpoint { size, root } = *checkpoint;
    let (header, bytes) = published_header(folder, size, block)?;
    let path = Hashes { stored: size, read: &mut |id| folder.read(&id.path()).ok() }
        .inclusion(block, size)
        .map_err(|tile| Error::new(format!("{tile}: missing or too short"), RESTORE))?;
    if header.number != block || tree::root_from_proof(leaf_hash(&bytes), block, size, &path) != Some(root) {
        let cause = format!("tile: the header of block {block} there does not lead to the root in the checkpoint");
        return Err(Error::new(cause, RESTORE));
    }
    Ok((header, bytes))
}

/// The header of a block, from the bundles of entries.
fn published_header(folder: &impl Folder, size: u64, block: u64) -> Result<(Header, [u8; HEADER]), Error> {
    let index = block / tree::TILE as u64;
    let width = (size - index * tree::TILE as u64).min(tree::TILE as u64) as u16;
    let path = tree::TileId { level: None, index, width }.path();
    let bytes = read(folder, &path)?;
    let at = (block % tree::TILE as u64) as usize * (HEADER + 2) + 2;
    bytes
        .get(at..at + HEADER)
        .and_then(|bytes| bytes.first_chunk())
        .and_then(|bytes| Some((Header::decode(bytes)?, *bytes)))
        .ok_or_else(|| Error::new(format!("{path}: entry {block} is not a header"), RESTORE))
}

/// Why a proof was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The file is not written as a proof is: what of it.
    Malformed(&'static str),
    /// The checkpoint.
    Checkpoint(axiom::note::CheckpointError),
    /// The block.
    Block(Wrong),
    /// The block is not the one of the leaf.
    Index,
    /// The hashes do not lead from the block to the checkpoint.
    Path,
    /// The checkpoint of the older tree is of another size than the proof.
    Size,
    /// The two trees are not one the beginning of the other, by this proof.
    Trees,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Malformed(what) => write!(f, "it is not written as a proof is: {what}"),
            Refused::Checkpoint(error) => write!(f, "{CHECKPOINT}: {error}"),
            Refused::Block(wrong) => write!(f, "the block: {wrong}"),
            Refused::Index => f.write_str("the block has another number than the leaf"),
            Refused::Path => f.write_str("the hashes do not lead from the block to the checkpoint"),
            Refused::Size => f.write_str("the checkpoint of the older tree has another size than the proof"),
            Refused::Trees => f.write_str("the older tree is not the beginning of the newer one"),
        }
    }
}

impl Inclusion {
    /// The block in it, its hashes checked.
    pub fn block(&self) -> Result<Block<'_>, Refused> {
        let (block, length) = Block::parse(&self.frame).map_err(Refused::Block)?;
        if length != self.frame.len() {
            return Err(Refused::Malformed("something follows the block"));
        }
        block.steps().try_for_each(|step| step.map(drop)).map_err(Refused::Block)?;
        Ok(block)
    }

    /// Checks all of it: the bodies against the header, the header against the checkpoint, that against the keys.
    pub fn check(&self, key: &VerifierKey, witnesses: &[WitnessKey]) -> Result<Cosigned, Refused> {
        let cosigned = key.check_cosigned(&self.checkpoint, witnesses).map_err(Refused::Checkpoint)?;
        let block = self.block()?;
        if block.header.number != self.index {
            return Err(Refused::Index);
        }
        let Checkpoint { size, root } = cosigned.checkpoint;
        let reached = tree::root_from_proof(leaf_hash(block.header_bytes), self.index, size, &self.path);
        if reached == Some(root) { Ok(cosigned) } else { Err(Refused::Path) }
    }
}

impl Consistency {
    /// Checks it against the checkpoint `old` of the older tree, which may have cosignatures too.
    pub fn check(&self, old: &[u8], key: &VerifierKey, witnesses: &[WitnessKey]) -> Result<Cosigned, Refused> {
        let old = key.check_cosigned(old, witnesses).map_err(Refused::Checkpoint)?.checkpoint;
        let cosigned = key.check_cosigned(&self.checkpoint, witnesses).map_err(Refused::Checkpoint)?;
        if old.size != self.old {
            return Err(Refused::Size);
        }
        let Checkpoint { size, root } = cosigned.checkpoint;
        let holds = tree::is_consistent(old.size, &old.root, size, &root, &self.path);
        if holds { Ok(cosigned) } else { Err(Refused::Trees) }
    }
}

impl Proof {
    /// As its file has it.
    pub fn to_text(&self) -> String {
        let (mut text, path, checkpoint) = match self {
            Proof::Inclusion(proof) => {
                let frame = Base64::encode_string(&proof.frame);
                (format!("{INCLUSION}\nextra {frame}\nindex {}\n", proof.index), &proof.path, &proof.checkpoint)
            }
            Proof::Consistency(proof) => (format!("old {}\n", proof.old), &proof.path, &proof.checkpoint),
        };
        for hash in path {
            text.push_str(&Base64::encode_string(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(checkpoint));
        text
    }

    /// From a file, exactly as [`Proof::to_text`] writes it.
    pub fn from_text(text: &str) -> Result<Proof, Refused> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Refused::Malformed("there is no empty line"))?;
        let mut lines = head.split('\n');
        let first = lines.next().unwrap_or_default();
        let number = |line: Option<&str>, word: &str| {
            line.and_then(|line| line.strip_prefix(word)?.strip_prefix(' ')?.parse::<u64>().ok())
        };
        let hashes = |lines: std::str::Split<'_, char>| {
            let decode = |line| Base64::decode_vec(line).ok()?.try_into().ok();
            let path: Option<Vec<[u8; 32]>> = lines.take(MOST_HASHES + 1).map(decode).collect();
            path.filter(|path| path.len() <= MOST_HASHES).ok_or(Refused::Malformed("a line is no hash"))
        };
        let checkpoint = checkpoint.as_bytes().to_vec();
        let proof = if first == INCLUSION {
            let frame = lines
                .next()
                .and_then(|line| Base64::decode_vec(line.strip_prefix("extra ")?).ok())
                .ok_or(Refused::Malformed("there is no block in an extra line"))?;
            let index = number(lines.next(), "index").ok_or(Refused::Malformed("there is no index"))?;
            Proof::Inclusion(Inclusion { index, frame, path: hashes(lines)?, checkpoint })
        } else {
            let old = number(Some(first), "old").ok_or(Refused::Malformed("its first line says no kind of proof"))?;
            Proof::Consistency(Consistency { old, path: hashes(lines)?, checkpoint })
        };
        if proof.to_text() == text { Ok(proof) } else { Err(Refused::Malformed("it is not in its one form")) }
    }
}
