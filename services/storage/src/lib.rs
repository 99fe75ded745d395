//! Data that survives: objects and files in namespaces, on a block device.
//!
//! | module | what is there |
//! |---|---|
//! | [`access`] | badges: which namespace a caller is in, and what it may do |
//! | [`record`] | keys and records as they lie in the engine: crate `storage-format` |
//! | [`data`] | [`Data`]: the mounted disk with what all interfaces need; quotas |
//! | [`content`] | bytes of values and files: inside the tree, one extent, or chunks |
//! | [`upload`] | values that come in parts |
//! | [`reclaim`] | space of large contents comes back in steps |
//! | [`lifetime`], [`time`] | values that expire, and by which clock |
//! | [`watch`] | who is told of changes, and what |
//! | [`objects`], [`files`], [`namespaces`] | the three interfaces, as methods of `Data` |
//! | [`path`] | paths of files |
//! | [`server`] | the generated traits on top of those |
//! | [`upkeep`] | what the service does by itself: tells watchers, lets go of what expired or was given up |
//! | [`disk`] | the block device of the host |
//!
//! The engine below is the crate `storage-engine`; docs/storage.md has the format and
//! the guarantees.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod access;
pub mod content;
pub mod data;
pub mod disk;
pub mod files;
pub mod lifetime;
pub mod namespaces;
pub mod objects;
pub mod path;
pub mod reclaim;
pub mod server;
pub mod time;
pub mod upkeep;
pub mod upload;
pub mod watch;

pub use data::Data;
pub use server::main;
pub use storage_format::record;
