//! Programs that mean harm: the same on every host, against libprocess alone, so what they are told has to be the same too.
//! What only one host has (pointers that are none, privileged instructions) its own tests try.
//!
//! | module | what is there |
//! |---|---|
//! | [`deeds`] | what a hostile process does, and how that must end |
//! | [`parts`] | who is there beside it: a server, its client; servers that go while they are called |
//! | [`director`] | in the place of init: plays every deed beside others, who must go on |
//! | [`garbage`] | a session that says to every service what none of its clients would |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod deeds;
pub mod director;
pub mod garbage;
pub mod parts;

use libprocess::{Exit, Process};

/// The entry of every process of the image `hostile`: the first, which has the machine in its hands, directs.
pub async fn main(process: Process) -> Exit {
    if process.capability_names().iter().any(|name| name == "device:power") {
        director::direct(&process).await
    } else {
        parts::play(&process).await
    }
}
