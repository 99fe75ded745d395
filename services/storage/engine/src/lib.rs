//! The on-disk engine of storage: an ordered map from keys to values on a plain
//! block device, with transactions. It knows nothing of processes, badges or paths.
//!
//! | module | what is there |
//! |---|---|
//! | [`device`] | [`BlockDevice`], what the engine needs of a disk |
//! | [`layout`] | the bytes on the disk: superblock, pointers, extents |
//! | [`node`] | pages of the tree |
//! | [`tree`] | the part of the tree that is being changed, in memory |
//! | [`space`] | which pages are free, and when a freed one may be used again |
//! | [`store`] | [`Store`]: mount, snapshots, transactions, group commit |
//! | [`transaction`] | [`Transaction`]: reads and writes that happen together or not at all |
//! | [`mount`] | opening a disk, formatting an empty one |
//! | [`check`] | reading everything to find what is damaged |
//! | [`turn`] | one at a time, in order of arrival |
//! | [`simulation`] | a disk that loses, tears and reorders what was not flushed |
//!
//! The principles that decide what is left open:
//! 1. A page that anything durable refers to is never overwritten.
//! 2. Whatever refers to bytes carries their hash; what does not match is not read.
//! 3. A commit is one new superblock. It is acknowledged after the flush behind it.
//! 4. Metadata is written twice; one bad sector of it costs nothing.
//! 5. No unbounded work between two commits: there is no compaction, only pages
//!    that become free when the commit that dropped them is durable.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod check;
pub mod device;
pub mod layout;
pub mod mount;
pub mod node;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod space;
pub mod store;
pub mod transaction;
pub mod tree;
pub mod turn;

pub use check::Damage;
pub use device::{BlockDevice, DeviceError};
pub use layout::{Extent, MAX_CHUNK, MAX_KEY, MAX_META};
pub use mount::{MountError, MountReport};
pub use node::{Entry, Value};
pub use store::{Error, Snapshot, Store, Usage};
pub use transaction::{Staged, Transaction};
