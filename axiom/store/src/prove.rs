//! The proof of one record: its bodies, its block's header, and the way from the header to a
//! signed checkpoint. Anyone can check it with a tlog verifier and b3sum.

use crate::error::Error;
use crate::folder::Folder;
use crate::segments::{Go, RESTORE, checkpoint, no_checkpoint, read, walk};
use axiom::header::{Body, HEADER, Header};
use axiom::note::VerifierKey;
use axiom::tree::{self, leaf_hash};
use base64ct::{Base64, Encoding};

/// The proof of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The record.
    pub record: u64,
    /// Its block's header.
    pub header: Header,
    /// The header as it is hashed into the tree.
    pub header_bytes: [u8; HEADER],
    /// The bodies that are still there.
    pub bodies: Vec<(Body, Vec<u8>)>,
    /// The hashes from the leaf to the root.
    pub path: Vec<[u8; 32]>,
    /// The checkpoint that they lead to.
    pub checkpoint: Vec<u8>,
}

/// Proves that `record` is in the log.
pub fn prove(folder: &impl Folder, key: &VerifierKey, record: u64) -> Result<Proof, Error> {
    let (checkpoint_bytes, checkpoint) = checkpoint(folder, key)?.ok_or_else(no_checkpoint)?;
    let number = find_block(folder, checkpoint.size, record)?;
    let mut proof = None;
    walk(folder, number, |block| {
        let bodies = Body::ALL.into_iter().filter_map(|body| Some((body, block.bodies[body as usize]?.to_vec())));
        proof = Some(Proof {
            record,
            header: block.header,
            header_bytes: *block.header_bytes,
            bodies: bodies.collect(),
            path: Vec::new(),
            checkpoint: checkpoint_bytes.clone(),
        });
        Ok(Go::Stop)
    })?;
    let mut proof = proof.ok_or_else(|| Error::new(format!("segments: block {number} is missing"), RESTORE))?;
    proof.path = tree::prove(number, checkpoint.size, &mut |id| folder.read(&id.path()).ok())
        .map_err(|tile| Error::new(format!("{tile}: missing or too short"), RESTORE))?;
    proof.check(key)?;
    Ok(proof)
}

/// The block that has this record: searched by halves in the published headers.
fn find_block(folder: &impl Folder, size: u64, record: u64) -> Result<u64, Error> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let header = published_header(folder, size, middle)?;
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

/// The header of a block, from the bundles of entries.
fn published_header(folder: &impl Folder, size: u64, block: u64) -> Result<Header, Error> {
    let index = block / tree::TILE as u64;
    let width = (size - index * tree::TILE as u64).min(tree::TILE as u64) as u16;
    let path = tree::TileId { level: None, index, width }.path();
    let bytes = read(folder, &path)?;
    let at = (block % tree::TILE as u64) as usize * (HEADER + 2) + 2;
    bytes
        .get(at..at + HEADER)
        .and_then(|bytes| Header::decode(bytes.first_chunk()?))
        .ok_or_else(|| Error::new(format!("{path}: entry {block} is not a header"), RESTORE))
}

impl Proof {
    /// Checks it: bodies against the header, the header against the checkpoint, that against the key.
    pub fn check(&self, key: &VerifierKey) -> Result<(), Error> {
        let failed = |what: &str| Error::new(format!("the proof of record {}: {what}", self.record), RESTORE);
        let checkpoint = key.check(&self.checkpoint).map_err(|error| failed(&error.to_string()))?;
        for (body, bytes) in &self.bodies {
            if *blake3::hash(bytes).as_bytes() != self.header.bodies[*body as usize] {
                return Err(failed("a body does not match the header"));
            }
        }
        let first = self.header.first_record;
        let inside = Header::decode(&self.header_bytes) == Some(self.header)
            && (first..first + u64::from(self.header.records)).contains(&self.record);
        if !inside {
            return Err(failed("the header is not of its block"));
        }
        let root =
            tree::root_from_proof(leaf_hash(&self.header_bytes), self.header.number, checkpoint.size, &self.path);
        if root != Some(checkpoint.root) {
            return Err(failed("the path does not lead to the checkpoint"));
        }
        Ok(())
    }

    /// As C2SP tlog-proof writes it: index, hashes, checkpoint.
    pub fn to_text(&self) -> String {
        let mut text = format!("c2sp.org/tlog-proof@v1\nindex {}\n", self.header.number);
        for hash in &self.path {
            text.push_str(&Base64::encode_string(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&self.checkpoint));
        text
    }
}
