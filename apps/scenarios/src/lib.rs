//! Scenarios: what a person types at the shell and what must come back, in plain text
//! files that any host of the system can run. README.md has the format.
//!
//! | module | what is there |
//! |---|---|
//! | [`document`] | the text of a scenario as [`Step`]s |
//! | [`pattern`] | lines that output must match, with placeholders |
//! | [`play`] | running a scenario against a [`Host`] |
//! | [`program`] | a [`Host`] that is a program of this machine |
#![forbid(unsafe_code)]

pub mod document;
pub mod pattern;
pub mod play;
pub mod program;

pub use document::{Action, Scenario, Step};
pub use pattern::{Pattern, Values};
pub use play::{Ended, Host, Mismatch, play};
pub use program::Program;
