//! The log folder of a machine.
#![forbid(unsafe_code)]

mod error;
pub mod folder;
pub mod key;
mod log;
pub mod prove;
mod recover;
pub mod segments;
pub mod verify;
pub mod writer;

pub use error::Error;
pub use log::{Log, Settings};
pub use recover::Opened;
pub use writer::{LogLost, Writer};
