//! The only door to the kernel: sender, SysLog, CommitLog, checkpoints, proofs, replay
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod block;
pub mod commit;
pub mod event;
pub mod header;
mod journal;
pub mod note;
pub mod record;
pub mod scan;
pub mod seal;
pub mod tree;

pub use block::{Block, Head, Wrong};
pub use journal::RawBlock;
pub use seal::Sealer;
