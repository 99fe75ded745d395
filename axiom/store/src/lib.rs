//! The log folder of a machine.
#![forbid(unsafe_code)]

mod error;
pub mod folder;
pub mod key;
mod log;
mod recover;
pub mod segments;

pub use error::Error;
pub use log::{Log, Settings};
pub use recover::Opened;
