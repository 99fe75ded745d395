//! Orbital on bare x86_64, in QEMU: builds what boots, keeps what a machine has, runs it.
//!
//! | module | what is there |
//! |---|---|
//! | [`build`] | kernel, ramdisk, disk images, as far as they are not built yet |
//! | [`state`] | the folder of a system: its log, its disk, its key |
//! | [`machine`] | QEMU with all of that |
//! | [`console`] | a person, a pipe or a file at the machine's serial line |
//! | [`crash`] | power cuts at random instants, and what must be there afterwards |
//! | [`problem`] | what went wrong, in words |
#![deny(unsafe_op_in_unsafe_fn)]

pub mod build;
pub mod console;
pub mod crash;
pub mod machine;
pub mod problem;
pub mod state;

pub use build::{Firmware, Product};
pub use machine::{Machine, Running};
pub use problem::Problem;
pub use state::State;
