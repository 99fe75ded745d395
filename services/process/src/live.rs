//! What the kernel holds for one live process, and what this service knows of its limits.

use crate::limits::{Limits, Warned, warning};
use crate::table::{End, Reason};
use alloc::collections::BTreeMap;
use core::task::Waker;
use libprocess::abi::message::FaultKind;
use libprocess::abi::{ExitReason, PAGE_SIZE};
use libprocess::capability::Process as ProcessObject;
use libprocess::{Cap, Exited, Notification, Quota, Task};

/// The part of its memory that a process must be using, in percent, for a trap to count
/// as want of memory: a WebAssembly module that gets no more memory traps.
const OUT_OF_MEMORY_AT: u64 = 90;

/// One live process.
#[derive(Debug)]
pub struct Live {
    /// The process.
    pub process: Cap<ProcessObject>,
    /// What pays for it; all that it has goes with this.
    pub quota: Cap<Quota>,
    /// Asks it to end (bit 0).
    pub stop: Cap<Notification>,
    /// What it may use.
    pub limits: Limits,
    /// Whether it was warned of its processor time.
    pub processor_time_warned: Warned,
    /// Whether it was warned of its memory.
    pub memory_warned: Warned,
    /// Whether it was asked to end.
    pub asked: bool,
    /// Why this service ends it, if it does.
    pub cause: Option<Reason>,
    /// When it is ended by force, if it is to be.
    pub force: Option<Force>,
    /// Who waits for its end, by number of the wait.
    pub waiting: BTreeMap<u64, Waker>,
}

/// When a process is ended by force. There is one of a process: who asks it to end again and again costs no more.
#[derive(Debug)]
pub struct Force {
    /// In ns since boot.
    pub deadline: u64,
    /// Waits for that and does it; ends with this.
    pub task: Task,
}

impl Live {
    /// How it ended, from what the kernel says and what this service did.
    pub fn end(&self, exited: &Exited) -> End {
        let fault = u8::try_from(exited.code).ok().and_then(FaultKind::from_number);
        let (reason, code) = match (exited.reason, self.cause) {
            (ExitReason::Exited, _) => (Reason::Exited, exited.code),
            (ExitReason::Faulted, _) if fault == Some(FaultKind::TimeLimit) => {
                (Reason::ProcessorTimeLimit, self.limits.processor_time.unwrap_or_default())
            }
            (ExitReason::Faulted, Some(Reason::MemoryLimit)) => (Reason::MemoryLimit, self.limits.memory()),
            (ExitReason::Faulted, _) => (Reason::Faulted, exited.code),
            (ExitReason::Killed, Some(Reason::Terminated)) => (Reason::Terminated, exited.code),
            (ExitReason::Killed, _) => (Reason::Killed, exited.code),
            (ExitReason::Reclaimed, _) => (Reason::Reclaimed, exited.code),
        };
        End { reason, code, processor_time: exited.processor_time }
    }

    /// Pages that its quota has given out.
    pub fn pages_used(&self) -> u64 {
        self.quota.info().map_or(0, |info| info.pages_used)
    }

    /// Whether it has no memory at all: what its image begins with was more than its limit.
    pub fn has_no_memory(&self) -> bool {
        self.process.info().is_ok_and(|info| info.pages == 0)
    }

    /// Whether a trap of it is to be told as want of memory.
    pub fn is_out_of_memory(&self) -> bool {
        self.pages_used() >= self.limits.pages.saturating_mul(OUT_OF_MEMORY_AT) / 100
    }

    /// Bytes of memory that it uses, if that is the first time beyond the warning.
    pub fn memory_warning(&mut self) -> Option<u64> {
        let used = self.pages_used();
        if self.memory_warned == Warned::Yes || used < warning(self.limits.pages) {
            return None;
        }
        self.memory_warned = Warned::Yes;
        Some(used.saturating_mul(PAGE_SIZE as u64))
    }
}
