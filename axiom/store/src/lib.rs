//! The log folder of a machine: what [`axiom`] seals, on disk and back.
//!
//! | module | what is there |
//! |---|---|
//! | [`Log`], [`writer`] | writing: segments, group commit, tiles and checkpoint; the thread that does it |
//! | `recover` | opening a log, after an orderly end and after a crash |
//! | [`folder`], [`segments`] | the operations on files; names and walking |
//! | [`image`] | a log image of the bare machine, read as a folder |
//! | [`snapshots`] | the state, written beside the log for replay to begin with |
//! | [`verify`], [`prove`] | checking all of it; proofs of a record, and of two trees |
//! | [`witness`] | what is said to a witness, and what its answers mean |
//! | [`commands`], [`outsider`] | what stands behind `orbital log`; of it, proofs |
//! | [`state`], [`why`], [`lives`] | the state after a record; why a record came; where a capability comes from |
//! | [`diff`] | whether two logs say the same of each process |
//! | `boots` | where boots begin and end |
//! | [`reader`] | `log_read` for the host |
//! | [`key`] | the machine's key |
//! | [`error`] | failures, what they are about, and the next step |
#![forbid(unsafe_code)]

mod boots;
pub mod commands;
pub mod diff;
pub mod error;
pub mod folder;
pub mod image;
pub mod key;
pub mod lives;
mod log;
pub mod outsider;
pub mod prove;
pub mod reader;
mod recover;
pub mod segments;
pub mod snapshots;
pub mod state;
mod time;
pub mod verify;
pub mod why;
pub mod witness;
pub mod writer;

pub use error::Error;
pub use log::{Log, Settings};
pub use reader::LogReader;
pub use recover::Opened;
pub use writer::{LogLost, Writer};
