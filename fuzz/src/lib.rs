//! What each fuzz target does with the bytes that libFuzzer makes up, and what must hold whatever
//! they are. docs/testing.md says how to run them.
//!
//! | module | targets | the boundary |
//! |---|---|---|
//! | [`calls`] | `calls` | system calls and host events, through Axiom's door |
//! | [`messages`] | `control`, `registry`, `process`, `storage` | messages to init and each service |
//! | [`manifest`] | `manifest` | the system manifest |
//! | [`disk`] | `disk` | the disk of storage |
//! | [`log`] | `log`, `records`, `image` | the folder of a log, the records in a block, a log image |
//! | [`snapshot`] | `snapshot` | a snapshot of the kernel's state |
//! | [`replay`] | `replay` | commits in a log that someone else wrote |
//! | [`notes`] | `proofs`, `witness` | proofs for outsiders; what witnesses sign and answer |
//! | [`capture`] | `capture` | sealed captures |
//! | [`executable`] | `executable` | ELF files |
#![forbid(unsafe_code)]

#[path = "../../axiom/tests/trace/mod.rs"]
#[allow(missing_docs)]
pub mod trace;

#[path = "../../axiom/store/tests/model/mod.rs"]
#[allow(missing_docs, clippy::unwrap_used)]
mod model;

pub mod calls;
pub mod capture;
pub mod disk;
pub mod edits;
pub mod executable;
pub mod log;
pub mod manifest;
pub mod messages;
pub mod notes;
pub mod replay;
pub mod snapshot;

pub use calls::calls;
pub use capture::capture;
pub use disk::disk;
pub use executable::executable;
pub use log::{image, log, records};
pub use manifest::manifest;
pub use messages::{control, process, registry, storage};
pub use notes::{proofs, witness};
pub use replay::replay;
pub use snapshot::snapshot;
