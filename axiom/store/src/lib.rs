//! The log folder of a machine: what [`axiom`] seals, on disk and back.
//!
//! | module | what is there |
//! |---|---|
//! | [`Log`], [`writer`] | writing: segments, group commit, tiles and checkpoint; the thread that does it |
//! | `recover` | opening a log, after an orderly end and after a crash |
//! | [`folder`], [`segments`] | the operations on files; names and walking |
//! | [`verify`], [`prove`] | checking all of it; proving one record |
//! | [`commands`] | what stands behind `orbital log` |
//! | [`reader`] | `log_read` for the host |
//! | [`key`] | the machine's key |
#![forbid(unsafe_code)]

pub mod commands;
mod error;
pub mod folder;
pub mod key;
mod log;
pub mod prove;
pub mod reader;
mod recover;
pub mod segments;
mod time;
pub mod verify;
pub mod writer;

pub use error::Error;
pub use log::{Log, Settings};
pub use reader::LogReader;
pub use recover::Opened;
pub use writer::{LogLost, Writer};
