//! How many calls each process has made, refused ones too. A refused call changes no state, so the
//! kernel cannot count; the journal can be counted, away from the call path: when a block is
//! taken, when a thread's number is used again, when someone asks. Bounded by the threads and processes that
//! ever were at one time.

use abi::ProcessInfo;
use alloc::vec::Vec;
use kernel::{Kernel, ProcessId, ThreadId};

/// Calls by thread, and of threads that are gone, by process.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By thread: calls since it began.
    calls: Vec<u64>,
    /// By thread: whose it is.
    owners: Vec<Owner>,
    /// By process: the calls of its threads that are gone.
    gone: Vec<(Owner, u64)>,
}

/// A process: its number, and its serial, which no other has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Owner {
    process: u32,
    serial: u64,
}

impl Counts {
    /// The thread made a call.
    pub(crate) fn count(&mut self, thread: u32) {
        if let Some(calls) = self.calls.get_mut(thread as usize) {
            *calls += 1;
        }
    }

    /// A thread begins; the calls of the one that had its number are counted.
    pub(crate) fn begin(&mut self, thread: ThreadId, process: ProcessId, kernel: &Kernel) {
        if self.calls.len() <= thread.index() {
            self.calls.resize(thread.index() + 1, 0);
            self.owners.resize(thread.index() + 1, Owner::default());
        }
        let before = self.owners[thread.index()];
        self.keep(before, self.calls[thread.index()]);
        let serial = kernel.process_info(process).map_or(0, |info| info.serial);
        self.owners[thread.index()] = Owner { process: process.0, serial };
        self.calls[thread.index()] = 0;
    }

    /// The thread that had these calls is gone.
    fn keep(&mut self, owner: Owner, calls: u64) {
        let index = ProcessId(owner.process).index();
        if self.gone.len() <= index {
            self.gone.resize(index + 1, (Owner::default(), 0));
        }
        let kept = &mut self.gone[index];
        *kept = if kept.0 == owner { (owner, kept.1 + calls) } else { (owner, calls) };
    }

    /// Fills in what the kernel does not know.
    pub(crate) fn fill(&self, info: &mut ProcessInfo) {
        let living = self.owners.iter().zip(&self.calls).filter(|(owner, _)| owner.serial == info.serial);
        let gone = self.gone.iter().filter(|(owner, _)| owner.serial == info.serial);
        info.calls = living.map(|(_, calls)| calls).sum::<u64>() + gone.map(|(_, calls)| calls).sum::<u64>();
    }
}
