//! What can be wrong with an image: where, what, and what to do next.

use crate::device::{BLOCK, DeviceError};
use crate::layout::{MIN_BLOCKS, SLOTS, STREAM, UNFLUSHED};
use alloc::format;
use alloc::string::String;
use axiom::Wrong;
use axiom::note::CheckpointError;
use core::fmt;

/// A failure. Its text is the cause and the next step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// The device did not do what it was asked.
    Device {
        /// What that was.
        operation: &'static str,
        /// From which block on.
        block: u64,
        /// What it answered.
        error: DeviceError,
    },
    /// The device has not room for a log: its blocks.
    TooSmall(u64),
    /// The name of the key is too long for an image.
    KeyName,
    /// There is no log, and at this byte something else lies.
    NotEmpty(u64),
    /// The superblock is not as it was written.
    Superblock,
    /// The log is another machine's.
    OtherKey {
        /// Of which.
        origin: String,
    },
    /// The device was cut.
    Shrunk {
        /// Blocks that it has.
        blocks: u64,
        /// Blocks that it had when the log was begun.
        had: u64,
    },
    /// Neither slot has a checkpoint, or one is gone that was there.
    NoCheckpoint,
    /// The checkpoints in the slots cannot have been written one after the other.
    Slots,
    /// The newest checkpoint, in the slot at this block, is not what this machine signed.
    Checkpoint(u64, CheckpointError),
    /// A block of the log is not what it should be.
    Block {
        /// Its number.
        number: u64,
        /// Where its frame begins.
        byte: u64,
        /// What is wrong.
        wrong: Wrong,
    },
    /// At this byte something lies where only zeros can be.
    NotZero(u64),
    /// There is no room for more.
    Full {
        /// Blocks of the device.
        blocks: u64,
    },
    /// So many bytes are more than a frame may have.
    TooLong(usize),
    /// A write failed before: what is on the device is not known.
    Lost,
}

const RESTORE: &str = "The image was damaged or changed: put a copy back, or begin a new log with an image of zeros \
                       and keep this one for `orbital log verify --image`.";
const BEGIN: &str = "Give the machine an image of zeros: `truncate -s 64M log.img`.";

impl Error {
    /// What is wrong, and where.
    pub fn cause(&self) -> String {
        let byte = |block: u64| block.saturating_mul(BLOCK as u64);
        match self {
            Error::Device { operation, block, error } => {
                format!("the log's device cannot {operation} at byte {}: {error}", byte(*block))
            }
            Error::TooSmall(blocks) => {
                format!("the log's image has {} bytes, and needs at least {}", byte(*blocks), byte(MIN_BLOCKS))
            }
            Error::KeyName => "the name of the machine's key is too long for an image".into(),
            Error::NotEmpty(at) => format!("there is no log in the image, and byte {at} of it is not zero"),
            Error::Superblock => "the first block of the log's image is not as it was written".into(),
            Error::OtherKey { origin } => {
                format!("the log in the image is that of {origin}, and the key is another machine's")
            }
            Error::Shrunk { blocks, had } => {
                format!("the log's image has {} bytes, and had {} when the log was begun", byte(*blocks), byte(*had))
            }
            Error::NoCheckpoint => format!(
                "there is no checkpoint in the log's image, at bytes {} to {}",
                byte(SLOTS[0]),
                byte(STREAM) - 1
            ),
            Error::Slots => format!(
                "the checkpoints in the log's image, at bytes {} and {}, contradict each other or what they cover",
                byte(SLOTS[0]),
                byte(SLOTS[1])
            ),
            Error::Checkpoint(block, error) => {
                format!("the checkpoint at byte {} of the log's image: {error}", byte(*block))
            }
            Error::Block { number, byte, wrong } => {
                format!("block {number} of the log, at byte {byte} of its image: {wrong}")
            }
            Error::NotZero(at) => {
                format!("byte {at} of the log's image is not zero, and no block of the log is there")
            }
            Error::Full { blocks } => format!("the log's image is full: it has {} bytes", byte(*blocks)),
            Error::TooLong(bytes) => {
                format!("a block of {bytes} bytes is more than the {UNFLUSHED} that an image takes")
            }
            Error::Lost => "the log could not be written before".into(),
        }
    }

    /// What to do about it.
    pub fn next(&self) -> &'static str {
        match self {
            Error::Device { .. } => "Check the device; then start again.",
            Error::TooSmall(_) | Error::NotEmpty(_) => BEGIN,
            Error::KeyName => "Use a key as `orbital` makes it in its state directory.",
            Error::OtherKey { .. } => {
                "Use the key that belongs to it, the machine.key that it was begun with; or an image of zeros for a new log."
            }
            Error::Shrunk { .. } => "Put the whole file back.",
            Error::Full { .. } => {
                "Turn the machine off and make the file larger, `truncate -s +64M log.img`: the log goes on behind what is there."
            }
            Error::TooLong(_) => "Report it.",
            Error::Lost => "Restart the machine; it recovers the log.",
            _ => RESTORE,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.cause(), self.next())
    }
}

impl core::error::Error for Error {}
