//! What a process of Orbital is written against: system calls, typed capabilities,
//! clients, the service loop.
//!
//! | module | what is there |
//! |---|---|
//! | [`capability`] | [`Cap`]: typed capabilities and the system calls on them |
//! | [`process`] | [`Process`]: what the program was started with; [`Report`]: how it ends |
//! | [`startup`] | [`Startup`]: the block that a creator hands over |
//! | [`interfaces`] | what is generated from `wit/*.wit`: types, clients, servers, numbers |
//! | [`client`] | the caller's side: [`ClientError`], time-outs |
//! | [`service`] | the serving side: [`serve`], [`Caller`], held replies, supervision |
//! | `lifecycle` | what init asks of a service, and what it is told |
//! | [`executor`] | [`start`], [`spawn`], [`yield_now`] |
//! | [`timer`] | [`now`], [`sleep`], [`timeout`] |
//! | [`signal`] | [`Signal`]: a bit that an interrupt or another process sets |
//! | [`device`] | [`HostDevice`]: operations of host devices; [`BoundInterrupt`] |
//! | `uart` | a serial line worked as a console: lines, echo, keys |
//! | [`console`] | [`print!`], [`println!`], [`Console`] |
//! | [`wire`] | what travels in a message |
//! | [`system`] | the system calls that need no capability |
//! | [`backend`] | the door to the kernel; [`hosted`]: how tests install one |
//! | [`mapping`] | [`Mapped`]: regions in the address space, on bare x86_64 |
//! | [`thread`] | threads, on bare x86_64; [`thread::Mutex`], [`thread::Local`] |
//! | [`image`] | [`main!`]: the entry of an image |
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(not(any(target_os = "unknown", target_os = "none")))]
extern crate std;

pub mod backend;
pub mod capability;
pub mod client;
pub mod console;
pub mod context;
pub mod device;
pub mod executor;
pub mod image;
mod lifecycle;
mod lock;
pub mod mapping;
#[cfg(target_os = "none")]
pub mod native;
mod placement;
pub mod process;
mod reactor;
pub mod service;
pub mod signal;
pub mod startup;
pub mod system;
pub mod thread;
pub mod timer;
mod uart;
#[cfg(target_arch = "wasm32")]
pub mod wasm;
pub mod wire;

/// How a test or the simulation runs processes on an ordinary target.
#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
pub mod hosted {
    pub use crate::context::{Context, Entered, enter, leave};
}

/// What is generated from `wit/<service>.wit`; the rules are in the `wit` crate.
#[allow(missing_docs)]
pub mod interfaces {
    include!(concat!(env!("OUT_DIR"), "/interfaces.rs"));
}

pub use abi;
pub use abi::{Error, FOREVER, Handle, Rights};
pub use capability::{
    Any, Cap, Device, Endpoint, Image, Interrupt, Log, Notification, Object, Outgoing, Quota, Region, Thread,
};
pub use client::{Client, ClientError, Connection};
pub use console::{Console, InputMode};
pub use device::{Binding, BoundInterrupt, HostDevice};
pub use executor::{Task, spawn, start, yield_now};
pub use mapping::{Mapped, Place};
pub use process::{Exit, Missing, Process, Report};
pub use service::{
    Caller, Dispatch, Exited, Faulted, HandOver, Hooks, Inbox, Incoming, Reply, serve, serve_until_asked, serve_with,
};
pub use signal::Signal;
pub use startup::Startup;
pub use timer::{now, sleep, sleep_until, timeout};

/// What generated code stands on.
#[doc(hidden)]
pub mod generated {
    pub use alloc::string::String;
    pub use alloc::vec::Vec;
    pub use serde::{self, Deserialize, Serialize};
    pub use serde_bytes;
}
