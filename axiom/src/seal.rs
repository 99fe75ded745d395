//! Sealing: a raw block becomes three bodies, each hashed once, and a header, which
//! becomes a leaf of the tree. Runs wherever the host wants it, away from the call path.

use crate::block::{Block, FRAME, Head};
use crate::commit::{Class, Content, class_of};
use crate::header::{HEADER, Header};
use crate::journal::{RawBlock, WIDE, sections};
use crate::note::MachineKey;
use crate::record::HALF;
use crate::tree::{Tile, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// Turns raw blocks into frames, and the frames' headers into tree and checkpoint.
#[derive(Debug)]
pub struct Sealer {
    head: Head,
    tree: Tree,
    key: MachineKey,
}

/// What is published at one time: write the tiles first, the checkpoint when they are durable.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The files of the tree that are new, full ones first.
    pub tiles: Vec<Tile>,
    /// The checkpoint.
    pub checkpoint: String,
    /// Blocks that it covers.
    pub size: u64,
}

impl Sealer {
    /// A sealer for the log that ends at `head`, whose tree is `tree`.
    pub fn new(head: Head, tree: Tree, key: MachineKey) -> Sealer {
        Sealer { head, tree, key }
    }

    /// Where the log ends.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Files of the tree that became full and wait for [`Sealer::publish`].
    pub fn unpublished(&self) -> usize {
        self.tree.full_count()
    }

    /// Seals the next block: appends its frame to `out`. `synced` is the number of blocks that
    /// are durable.
    pub fn seal(&mut self, raw: &RawBlock, synced: u64, out: &mut Vec<u8>) -> Header {
        let (header, bytes) = seal(&self.head, raw, synced, out);
        self.append(&header, &bytes);
        header
    }

    /// Appends a block that is sealed already: at recovery.
    pub fn append(&mut self, header: &Header, bytes: &[u8; HEADER]) {
        self.head = Head::after(header, bytes);
        self.tree.push(bytes);
    }

    /// The files of the tree that are new, and a checkpoint over all blocks sealed so far.
    /// They must be durable before it is written.
    pub fn publish(&mut self) -> Publication {
        let mut tiles = self.tree.take_full();
        tiles.extend(self.tree.partial());
        let size = self.tree.size();
        Publication { tiles, checkpoint: self.key.sign(size, &self.tree.root()), size }
    }

    /// The public half of the key that it signs with.
    pub fn key(&self) -> &MachineKey {
        &self.key
    }
}

/// Seals the block that comes where the log ends at `head`: appends its frame to `out`; gives its header, also as
/// it is hashed. `synced` is the number of blocks that are durable.
pub fn seal(head: &Head, raw: &RawBlock, synced: u64, out: &mut Vec<u8>) -> (Header, [u8; HEADER]) {
    let start = out.len();
    out.resize(start + FRAME, 0);
    let (mut authority, mut activity) = (Vec::new(), Vec::with_capacity(raw.used * HALF));
    let mut calls = Vec::with_capacity(raw.used * HALF);
    let mut commits = [0; 2];
    for (index, entry) in raw.entries().enumerate() {
        let cause = (index as u64) << 32;
        put(&mut calls, entry.record);
        if let Some(escape) = entry.escape {
            put(&mut calls, escape);
        }
        let mut add = |kind: u8, words: [u64; 2], content: &[u8]| {
            let authority_class = class_of(kind) == Some(Class::Authority);
            commits[usize::from(!authority_class)] += 1;
            let body = if authority_class {
                put(&mut authority, entry.record);
                if let Some(escape) = entry.escape {
                    put(&mut authority, escape);
                }
                &mut authority
            } else {
                &mut activity
            };
            put(body, words);
            if !content.is_empty() {
                body.extend_from_slice(content);
                body.resize(body.len().next_multiple_of(HALF), 0);
            }
        };
        match entry.commit[0] as u8 {
            0 => {}
            WIDE => {
                let mut position = 0;
                sections(entry.sections, |kind, content| {
                    let origin = cause | position << 56;
                    match content {
                        Content::Words([first, second]) => add(kind, [first, second | origin], &[]),
                        Content::Wide(content) => {
                            let length = content.len() as u64;
                            let head = u64::from(WIDE) | u64::from(kind) << 8 | length << 16;
                            add(kind, [head, origin], content);
                        }
                    }
                    position += 1;
                });
            }
            kind => add(kind, [entry.commit[0], entry.commit[1] | cause], &[]),
        }
    }
    let bodies = [&authority, &activity, &calls];
    let header = Header {
        flags: raw.flags,
        boot: raw.boot,
        records: raw.records(),
        number: head.blocks,
        first_record: head.records,
        first_commit: head.commits,
        base_time: raw.base_time,
        commits,
        lengths: bodies.map(|body| body.len() as u32),
        previous: head.previous,
        bodies: bodies.map(|body| *blake3::hash(body).as_bytes()),
        state: raw.state,
    };
    let bytes = header.encode();
    for body in bodies {
        out.extend_from_slice(body);
    }
    out[start..start + FRAME].copy_from_slice(&Block::frame_head(&bytes, header.lengths, synced, false));
    (header, bytes)
}

#[inline]
fn put(body: &mut Vec<u8>, [first, second]: [u64; 2]) {
    let mut bytes = [0; HALF];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    body.extend_from_slice(&bytes);
}
