//! What the storage service keeps in its engine, for the service and for tools that work on a disk while no
//! system runs.
//!
//! | module | what is there |
//! |---|---|
//! | [`record`] | keys and records, as bytes |
//! | [`survey`] | everything on a disk, in order, and whether it agrees |
//! | [`words`] | what a key of the engine stands for, for people |
//!
//! docs/storage.md says the same for people.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod record;
pub mod survey;
pub mod words;
