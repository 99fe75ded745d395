//! The system manifest: what the system consists of, who gets what, and what happens
//! when something ends. docs/init.md is its reference.
//!
//! `parse` turns text into a [`Manifest`] that holds no contradiction: names are unique,
//! dependencies exist and form no circle, rights mean something for what they are asked
//! of. Whether init *has* what it is to grant only the kernel knows: init looks at that when it starts. A host that is
//! given a manifest reads it before it starts anything.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod badge;
mod check;
mod raw;
mod units;

use abi::info::Limits;
use abi::{Kind, Rights};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use check::parse;
pub use units::Amount;

/// The most services that a manifest may have.
pub const MAX_SERVICES: usize = 64;
/// The most capabilities that one program may be granted.
pub const MAX_GRANTS: usize = 64;
/// The longest manifest, in bytes.
pub const MAX_LENGTH: usize = 256 * 1024;

/// What is wrong with a manifest, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, as a sentence without its end.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system manifest, line {}: {}", self.line, self.message)
    }
}

impl core::error::Error for ManifestError {}

/// A manifest that holds no contradiction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The services, in the order of the text.
    pub services: Vec<Service>,
    /// What may be the session: the first whose image the host brought is.
    pub sessions: Vec<Session>,
}

/// One service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// What every program has.
    pub program: Program,
    /// Phases begin in rising order, each when the one before has settled.
    pub phase: u32,
    /// The services, by place in [`Manifest::services`], that must be up before it starts.
    pub needs: Vec<usize>,
    /// How many messages its endpoint queues.
    pub queue: u32,
    /// How long it may take until it says that it is ready, in ns.
    pub ready_timeout: u64,
    /// Whether `lookup` hands out capabilities to its endpoint.
    pub public: bool,
    /// What happens when it ends.
    pub restart: Restart,
    /// How it is asked whether it is well.
    pub health: Health,
}

/// What may be the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// What every program has.
    pub program: Program,
    /// The services, by place in [`Manifest::services`], without which it is not started.
    pub needs: Vec<usize>,
}

/// What services and sessions have in common: an image, what pays for it, and what it gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its name: unique in the manifest.
    pub name: String,
    /// The line of its name.
    pub line: usize,
    /// The name of its image in the boot set.
    pub image: String,
    /// The BLAKE3 hash that the image must have, in 64 hexadecimal digits, and its line.
    pub hash: Option<(String, usize)>,
    /// Who it is to the services that it calls. 1 to 2^32 - 1, unique in the manifest.
    pub badge: u32,
    /// Kernel memory.
    pub memory: Amount,
    /// Memory.
    pub pages: Amount,
    /// What it may use beside its quota.
    pub limits: Limits,
    /// Its arguments. A session gets those of the command line instead, if there are any.
    pub arguments: Vec<String>,
    /// Its environment. A session gets the host's, too.
    pub environment: Vec<(String, String)>,
    /// What it gets, and nothing else.
    pub grants: Vec<Grant>,
    /// How long it may take to stop when asked, in ns; then it is killed.
    pub stop_timeout: u64,
}

/// One capability that a program gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Its name in the program's startup.
    pub name: String,
    /// The line that asks for it.
    pub line: usize,
    /// What it is derived from.
    pub source: Source,
    /// The rights it has.
    pub rights: Rights,
    /// The badge it gets; 0 for none.
    pub badge: u64,
    /// Of the storage service: not the namespace that the badge names, but the one below it
    /// that bears the program's name, and what is allowed in it.
    pub subspace: Option<Subspace>,
    /// Whether the program starts without it when init does not have it either.
    pub optional: bool,
}

/// What is allowed in a namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Subspace {
    /// To read what is in it.
    pub read: bool,
    /// To change it.
    pub write: bool,
}

/// What a granted capability is derived from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// `quota`: the program's own.
    Quota,
    /// `endpoint`: the service's own.
    Endpoint,
    /// `stop`: a notification of the program's own, of which bit 0 asks it to end.
    Stop,
    /// `init:readiness`, of a service.
    Readiness,
    /// `init:control`.
    Control,
    /// `init:registry`.
    Registry,
    /// `service:<name>`: the endpoint of the service at this place.
    Service(usize),
    /// Whatever init was started with under this name: `device:disk`, `image:shell`, `log`.
    Held(String),
}

impl Source {
    /// The kind of object, where the name says it.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Source::Quota => Kind::Quota,
            Source::Endpoint | Source::Readiness | Source::Control | Source::Registry | Source::Service(_) => {
                Kind::Endpoint
            }
            Source::Stop => Kind::Notification,
            Source::Held(name) => match name.split(':').next() {
                Some("device") => Kind::Device,
                Some("interrupt") => Kind::Interrupt,
                Some("image") => Kind::Image,
                Some("log") => Kind::Log,
                _ => return None,
            },
        })
    }
}

/// When a service is started again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Policy {
    /// Never.
    Never,
    /// After every end but exit with code 0.
    OnFailure,
    /// After every end.
    Always,
}

/// How a service is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    /// After which ends.
    pub policy: Policy,
    /// The first pause, in ns. Each further one within the window is twice as long.
    pub initial: u64,
    /// The longest pause, in ns.
    pub max: u64,
    /// After so many restarts within the window, the next end disables the service.
    pub limit: u32,
    /// The window, in ns.
    pub window: u64,
}

/// How a service is asked whether it is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    /// From one answer to the next question, in ns.
    pub interval: u64,
    /// How long it has to answer, in ns.
    pub timeout: u64,
    /// After so many answers missed, one after the other, it has failed; 0: it is never asked.
    pub misses: u32,
}

impl Restart {
    /// The pause before a restart when `before` restarts lie in the window:
    /// `min(initial * 2^before, max)`, in ns.
    pub fn pause(&self, before: u32) -> u64 {
        // 2^n as a factor: a shift would lose bits beyond 63.
        let factor = 1u64.checked_shl(before).unwrap_or(u64::MAX);
        self.initial.saturating_mul(factor).min(self.max)
    }
}
