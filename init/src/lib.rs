//! The first process: it starts the services that the system manifest names, gives each
//! exactly what the manifest says, watches over them, and ends the machine in order.
//!
//! | module | what is there |
//! |---|---|
//! | [`manifest`] | the manifest: reading and checking it |
//! | [`badge`] | what a capability to init is for, and whose |
//! | [`registry`] | names, and whose they are |
//! | [`service`] | one service as a state machine |
//! | [`system`] | all services, the session and shutdown as one state machine |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod badge;
pub mod manifest;
pub mod registry;
pub mod service;
pub mod system;
