//! The log folder of a machine: what [`axiom`] seals, on disk and back.
//!
//! | module | what is there |
//! |---|---|
//! | [`Log`], [`writer`] | writing: segments, group commit, tiles and checkpoint; the thread that does it |
//! | `recover` | opening a log, after an orderly end and after a crash |
//! | [`folder`], [`segments`] | the operations on files; names and walking |
//! | [`image`] | a log image of the bare machine, read as a folder |
//! | [`verify`], [`prove`] | checking all of it; proofs of a record, and of two trees |
//! | [`commands`], [`outsider`] | what stands behind `orbital log`; of it, proofs |
//! | [`reader`] | `log_read` for the host |
//! | [`key`] | the machine's key |
//! | [`error`] | failures, what they are about, and the next step |
#![forbid(unsafe_code)]

pub mod commands;
pub mod error;
pub mod folder;
pub mod image;
pub mod key;
mod log;
pub mod outsider;
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
