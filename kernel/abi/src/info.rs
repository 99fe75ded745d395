//! What the inspecting calls return.

use crate::{Handle, Kind, Name, Rights};
use serde::{Deserialize, Serialize};

/// One capability, as its holder or an inspector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapabilityInfo {
    /// The capability's number in this boot's log.
    pub capability: u32,
    /// Serial of the process that holds it.
    pub holder: u64,
    /// The holder's handle to it; `NONE` of the one with which it tells its supervisor.
    pub handle: Handle,
    /// What it names.
    pub kind: Kind,
    /// The object's number among its kind.
    pub object: u32,
    /// What it allows.
    pub rights: Rights,
    /// Its badge; 0 if none was set.
    pub badge: u64,
    /// When it ends, in ns since boot; [`crate::FOREVER`] if it does not.
    pub expiry: u64,
    /// The capability that it was derived from; `None` for the object's first.
    pub parent: Option<u32>,
    /// Name of the object: of a process, device, image; else empty.
    pub name: Name,
}

/// The states of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum ProcessState {
    /// Made, not yet started.
    Created = 0,
    /// Started.
    Running = 1,
    /// Stopped by one who manages it.
    Suspended = 2,
    /// Ended; the record stays until its last capability goes.
    Exited = 3,
}

/// Why a process ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitReason {
    /// It called exit; the code is its own.
    Exited = 0,
    /// Someone who manages it killed it; the code is the killer's.
    Killed = 1,
    /// A fault, and the verdict was to kill; the code is the fault's number.
    Faulted = 2,
    /// What paid for it went: its quota was destroyed.
    Reclaimed = 3,
}

impl ExitReason {
    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<ExitReason> {
        Some(match number {
            0 => ExitReason::Exited,
            1 => ExitReason::Killed,
            2 => ExitReason::Faulted,
            3 => ExitReason::Reclaimed,
            _ => return None,
        })
    }
}

/// One process, as an inspector sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessInfo {
    /// Serial: 1 is init; never given twice in a boot.
    pub serial: u64,
    /// The name that its creator gave.
    pub name: Name,
    /// Where it is in its life.
    pub state: ProcessState,
    /// Why it ended; of an exited one.
    pub reason: ExitReason,
    /// With what code; of an exited one.
    pub code: u64,
    /// Processor time used, in ns.
    pub processor_time: u64,
    /// System calls made, refused ones too.
    pub calls: u64,
    /// Pages of memory it has.
    pub pages: u64,
    /// Capabilities it holds.
    pub capabilities: u32,
    /// Threads it has.
    pub threads: u32,
}

/// What a process may use at most, beside what its quota pays for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Capabilities in its table.
    pub capabilities: u32,
    /// Messages that it sent and nobody has received yet.
    pub queued_messages: u32,
    /// Processor time in ns, then a `TimeLimit` fault; [`crate::FOREVER`] for none.
    pub processor_time: u64,
}

impl Limits {
    /// What a process gets whose creator says nothing: 1,024 capabilities, 256
    /// queued messages, no limit of time.
    pub const DEFAULT: Limits = Limits { capabilities: 1024, queued_messages: 256, processor_time: crate::FOREVER };
}

/// One quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaInfo {
    /// Bytes of kernel memory given.
    pub memory: u64,
    /// Of these, in use (what was split off included).
    pub memory_used: u64,
    /// Pages given.
    pub pages: u64,
    /// Of these, in use (what was split off included).
    pub pages_used: u64,
}
