//! A whole Orbital on one thread, deterministic by seed: the simulated backend of
//! libprocess. The kernel is the real one, behind the real Axiom with its log in memory;
//! processes are futures; devices are models that can fail; kill is drop, and time jumps.
//! docs/testing.md says how to write a test with it.
//!
//! | module | what is there |
//! |---|---|
//! | [`simulation`] | [`Simulation`]: describe a machine, run it, break it, boot what is left |
//! | [`stage`] | [`Stage`]: a service alone, with clients that are closures in the test |
//! | [`image`] | images as named entries: [`executable`], [`image_hash`] |
//! | [`Outcomes`] | which methods ended how, against what their interface file says |
//! | [`spin()`] | a process that loops |
//! | `machine` | the processor: polls futures, takes their system calls |
//! | `world` | what a host has beside the kernel; carries out its effects |
//! | `devices` | console, disk, clock, entropy, power |
//! | `log` | the log in memory: durable or not, replayed, in words |
//! | `fault` | which system calls trap |
//! | `boot` | how a machine is set up |
//!
//! The disk's model is a crate of its own, `simulated-disk`.
#![forbid(unsafe_code)]

mod boot;
mod devices;
mod fault;
pub mod image;
mod log;
mod machine;
mod outcomes;
mod seeds;
pub mod simulation;
mod spin;
pub mod stage;
mod thread;
mod world;

pub use image::{executable, image_hash};
pub use outcomes::Outcomes;
pub use seeds::for_seeds;
pub use simulated_disk::{Access, Cut, Disk, DiskError, Random};
pub use simulation::{End, Simulation, Wreck};
pub use spin::spin;
pub use stage::{Exit, Exits, Grant, Played, Stage};
pub use world::{Captured, Said};
