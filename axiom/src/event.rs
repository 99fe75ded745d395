//! What the log says of itself: how it began, each start of the machine, each orderly
//! end. They are authority commits, but not the kernel's: it starts empty at each boot.
//!
//! Content: the fields in their order; numbers little-endian; a text is its length in one byte and UTF-8; a list is
//! its length in two bytes and its items.

use crate::header::Hash;
use crate::note::{Checkpoint, CheckpointError, VerifierKey};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Kind of the commit [`Event::Genesis`].
pub const GENESIS: u8 = 0xF0;
/// Kind of the commit [`Event::Booted`].
pub const BOOTED: u8 = 0xF1;
/// Kind of the commit [`Event::End`].
pub const END: u8 = 0xF2;

/// The machine as it is started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Platform {
    /// Host and version: `host-wasm 0.1.0 linux x86_64`.
    pub name: String,
    /// BLAKE3 of the system manifest.
    pub manifest: Hash,
    /// Name and BLAKE3 of every boot image.
    pub images: Vec<(String, Hash)>,
    /// ns since 1970 at which the kernel's time is 0.
    pub wall_time: u64,
}

/// How the boot before this one ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PreviousEnd {
    /// There was none.
    First,
    /// It was shut down in order. Bytes behind its end that were no block were cut off the log: of a
    /// start that was interrupted, or of something else that wrote there.
    Orderly {
        /// Bytes.
        cut: u64,
    },
    /// It was not; so many bytes of unfinished blocks were cut off the log.
    Crash {
        /// Bytes.
        cut: u64,
    },
}

/// The head of the other host's log, as this host last saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherLog {
    /// Its origin.
    pub origin: String,
    /// Blocks in it.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl OtherLog {
    /// What a checkpoint of it says, if `key` signed it.
    pub fn from_checkpoint(checkpoint: &[u8], key: &VerifierKey) -> Result<OtherLog, CheckpointError> {
        let Checkpoint { size, root } = key.check(checkpoint)?;
        Ok(OtherLog { origin: key.name().to_string(), size, root })
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The first record of a log.
    Genesis {
        /// The machine that made it.
        platform: Platform,
        /// The public half of its key.
        key: Hash,
    },
    /// The first record of a boot (of the first, after genesis).
    Booted {
        /// 1 for the first boot.
        number: u64,
        /// The machine.
        platform: Platform,
        /// The name that the data disk got when it was formatted; zero if it is not formatted, or there is none.
        disk: [u8; 16],
        /// How the boot before it ended.
        previous: PreviousEnd,
        /// The last known head of the other log.
        other: Option<OtherLog>,
    },
    /// The last record of a boot that ended in order.
    End {
        /// Of which boot.
        number: u64,
        /// The status that the machine was turned off with.
        status: u64,
    },
}

impl Event {
    /// The kind of its commit.
    pub const fn kind(&self) -> u8 {
        match self {
            Event::Genesis { .. } => GENESIS,
            Event::Booted { .. } => BOOTED,
            Event::End { .. } => END,
        }
    }

    /// Its content, as it lies behind the head of its commit.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Event::Genesis { platform, key } => {
                encode_platform(platform, &mut out);
                out.extend_from_slice(key);
            }
            Event::Booted { number, platform, disk, previous, other } => {
                out.extend_from_slice(&number.to_le_bytes());
                encode_platform(platform, &mut out);
                out.extend_from_slice(disk);
                let (end, cut) = match previous {
                    PreviousEnd::First => (0, 0),
                    PreviousEnd::Orderly { cut } => (1, *cut),
                    PreviousEnd::Crash { cut } => (2, *cut),
                };
                out.push(end);
                out.extend_from_slice(&cut.to_le_bytes());
                out.push(u8::from(other.is_some()));
                if let Some(other) = other {
                    encode_text(&other.origin, &mut out);
                    out.extend_from_slice(&other.size.to_le_bytes());
                    out.extend_from_slice(&other.root);
                }
            }
            Event::End { number, status } => {
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&status.to_le_bytes());
            }
        }
        out
    }

    /// From kind and content; `None` where they are no event, or more than one.
    pub fn decode(kind: u8, content: &[u8]) -> Option<Event> {
        let mut input = Input(content);
        let event = match kind {
            GENESIS => Event::Genesis { platform: input.platform()?, key: input.array()? },
            BOOTED => Event::Booted {
                number: input.number()?,
                platform: input.platform()?,
                disk: input.array()?,
                previous: match (input.byte()?, input.number()?) {
                    (0, 0) => PreviousEnd::First,
                    (1, cut) => PreviousEnd::Orderly { cut },
                    (2, cut) => PreviousEnd::Crash { cut },
                    _ => return None,
                },
                other: match input.byte()? {
                    0 => None,
                    1 => Some(OtherLog { origin: input.text()?, size: input.number()?, root: input.array()? }),
                    _ => return None,
                },
            },
            END => Event::End { number: input.number()?, status: input.number()? },
            _ => return None,
        };
        input.0.is_empty().then_some(event)
    }
}

/// At most 255 bytes, cut at a character boundary.
fn encode_text(text: &str, out: &mut Vec<u8>) {
    let mut length = text.len().min(usize::from(u8::MAX));
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    out.push(length as u8);
    out.extend_from_slice(&text.as_bytes()[..length]);
}

fn encode_platform(platform: &Platform, out: &mut Vec<u8>) {
    encode_text(&platform.name, out);
    out.extend_from_slice(&platform.manifest);
    // The payload of a commit is less than 64 KiB: 200 images of 288 bytes are.
    let images = &platform.images[..platform.images.len().min(200)];
    out.extend_from_slice(&(images.len() as u16).to_le_bytes());
    for (name, hash) in images {
        encode_text(name, out);
        out.extend_from_slice(hash);
    }
    out.extend_from_slice(&platform.wall_time.to_le_bytes());
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }
    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        core::str::from_utf8(text).ok().map(ToString::to_string)
    }
    fn platform(&mut self) -> Option<Platform> {
        let (name, manifest) = (self.text()?, self.array()?);
        let count = u16::from_le_bytes(self.array()?);
        let images = (0..count).map(|_| Some((self.text()?, self.array()?))).collect::<Option<_>>()?;
        Some(Platform { name, manifest, images, wall_time: self.number()? })
    }
}
