//! Orbital's microkernel: a pure state machine. It knows no host, reads no clock and
//! has no unsafe code. `decide` judges an input and changes nothing; `apply` changes
//! the state by a commit and judges nothing.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod ids;
pub mod input;
pub mod effect;

pub use effect::{Effect, PayloadSource};
pub use ids::*;
pub use input::{Input, Setup};
