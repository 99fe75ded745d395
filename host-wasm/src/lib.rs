//! Orbital OS on an ordinary machine: processes are WebAssembly components under
//! wasmtime, devices are the machine's own.
//!
//! | module | what is there |
//! |---|---|
//! | [`machine`] | the executor: kernel, fibers, nested hand-off, effects carried out |
//! | [`link`] | the kernel calls as WebAssembly imports, by the core path and the component linker |
//! | [`image`] | executables, checked and compiled |
//! | [`devices`] | console, disk, clock, entropy, power |
//! | [`events`], [`clock`], [`terminal`] | what other threads tell the machine; time; the terminal |
//! | [`state`] | the folder that a system lives in |
//! | [`witness`] | others who sign what the log had, and tell an old copy of it |
//! | [`limits`] | limits of the host that a system must keep to |
//! | [`capture`] | messages written down for debugging, sealed |
//! | [`cli`] | the `orbital` command |

pub mod capture;
pub mod cli;
pub mod clock;
pub mod devices;
pub mod events;
pub mod image;
pub mod limits;
pub mod link;
pub mod machine;
pub mod problem;
pub mod progress;
pub mod signals;
pub mod state;
pub mod terminal;
pub mod witness;
