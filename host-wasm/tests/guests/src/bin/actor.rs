//! The guest that plays every part in the host's tests. As init it is the director of the
//! scene that its first argument names: it starts other actors, watches what comes to
//! them, and turns the machine off with status 0 if all was as it should be. As a child its
//! first argument is its part.
#![cfg_attr(target_arch = "wasm32", no_std, no_main)]

#[cfg(not(target_arch = "wasm32"))]
fn main() {}

#[cfg(target_arch = "wasm32")]
extern crate alloc;

#[cfg(target_arch = "wasm32")]
guests::main!(actor::main);

#[cfg(target_arch = "wasm32")]
#[path = "../scenes.rs"]
mod scenes;

#[cfg(target_arch = "wasm32")]
#[path = "../parts.rs"]
mod parts;

#[cfg(target_arch = "wasm32")]
#[path = "../every_call.rs"]
mod every_call;

#[cfg(target_arch = "wasm32")]
mod actor {
    use guests::Start;

    pub fn main(start: Start) {
        if start.capabilities.iter().any(|(name, _)| name == "device:power") {
            super::scenes::direct(&start);
        } else {
            super::parts::play(&start);
        }
    }
}
