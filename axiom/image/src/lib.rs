//! The log of a machine that has no folders: an image, which is a block device with nothing else on it.
//!
//! | module | what is there |
//! |---|---|
//! | [`device`] | what a block device must do |
//! | [`layout`] | where what lies: superblock, checkpoint slots, the stream of frames |
//! | [`frontier`] | the tree over the headers, as much of it as is needed to append |
//! | [`ImageLog`] | writing: group commit, checkpoints; and reading what was written |
//! | [`recover`] | opening an image, after an orderly end and after a crash |
//! | [`error`] | what can be wrong, where, and the next step |
//!
//! The blocks in an image are those of a log folder, frame for frame; log-store reads both. An image
//! keeps no tiles: whoever reads it computes them. docs/log-format.md describes it for those
//! who write a reader.
//!
//! Memory: a frame or 64 KiB of them, whichever is more, and less than 16 KiB besides. At most [`UNFLUSHED`]
//! bytes are written beyond what is durable, which is also as far as recovery has to look for what a crash left behind.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod device;
pub mod error;
pub mod frontier;
pub mod layout;
mod log;
pub mod recover;

pub use device::{BLOCK, BlockDevice, DeviceError};
pub use error::Error;
pub use layout::UNFLUSHED;
pub use log::{ImageLog, Opened};
