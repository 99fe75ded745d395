//! The only door to the kernel. A host has an [`Axiom`] and no way around it: every input is
//! put on record before the kernel judges it, every change before it is made.
//!
//! | module | what is there |
//! |---|---|
//! | [`door`] | [`Axiom`]: inputs in, effects out, records kept |
//! | [`record`], [`commit`], [`event`] | what is recorded, and how it is written |
//! | [`journal`] | 32 bytes a call, while it happens |
//! | [`seal`] | a block of the journal becomes bodies, header, leaf |
//! | [`header`], [`block`], [`scan`] | what is kept, and reading it back |
//! | [`tree`], [`note`] | the tree over the headers, the signed checkpoint |
//! | [`replay`], [`snapshot`] | the state again, from the commits alone; written whole, to begin there |
//! | [`words`], [`reader`] | records for people, and for processes that hold the log |
//!
//! Sealing and reading need no host: they turn bytes into bytes. The folder that they lie in is
//! the business of log-store; docs/log-format.md describes it for those who write a verifier.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod block;
pub mod commit;
mod counts;
pub mod door;
pub mod event;
pub mod header;
pub mod journal;
pub mod note;
pub mod reader;
pub mod record;
pub mod replay;
pub mod scan;
pub mod seal;
pub mod snapshot;
pub mod tree;
pub mod words;

pub use block::{Block, Head, Wrong};
pub use door::{Axiom, Config, Outcome, state_hash};
pub use journal::RawBlock;
pub use seal::Sealer;
