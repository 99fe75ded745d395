//! The first process: it starts the services that the system manifest names, gives each
//! exactly what the manifest says, watches over them, and ends the machine in order.
//!
//! | module | what is there | knows the kernel |
//! |---|---|---|
//! | [`manifest`] | a crate of its own: the manifest, reading and checking it; the badges that it gives | no |
//! | [`service`] | one service as a state machine | no |
//! | [`upgrade`] | the upgrade of a service as a state machine | no |
//! | `version` | the image of a service, and its hash | yes |
//! | [`system`] | all services, the session and shutdown as one state machine | no |
//! | [`registry`] | names, and whose they are | no |
//! | `holdings` | what init was given, and whether the manifest asks for more | yes |
//! | `launch` | starts one program with exactly its capabilities | yes |
//! | `stand_in` | answers in place of a service that is down | yes |
//! | [`run`] | puts what happens into the system, and does what that says | yes |
//! | `serve` | the interfaces: readiness, control, registry | yes |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod holdings;
mod launch;
pub mod registry;
pub mod run;
mod serve;
pub mod service;
mod stand_in;
pub mod system;
pub mod upgrade;
mod version;

pub use manifest;
pub use run::main;
