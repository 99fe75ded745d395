//! The log as this host keeps it: full blocks are sealed and written; nothing is long in memory alone.

use super::Machine;
use abi::{Error, Returned};
use kernel::ThreadId;

/// How long records wait for their block to fill before it is cut, in ns.
const PATIENCE: u64 = 50_000_000;

/// The machine's side of the log.
#[derive(Debug, Default)]
pub struct Record {
    /// The call that the host carries out ends when all that is on record is durable.
    pub durable_wanted: bool,
}

impl Machine {
    /// Cuts the block being written when it has waited long enough, and seals what is full.
    pub(super) fn keep_record(&mut self, now: u64) {
        if self.axiom.pending_since().is_some_and(|since| now.saturating_sub(since) >= PATIENCE) {
            self.axiom.cut(now);
        }
        self.seal_blocks();
    }

    /// When records have waited long enough.
    pub(super) fn record_due(&self) -> Option<u64> {
        self.axiom.pending_since().map(|since| since.saturating_add(PATIENCE))
    }

    fn seal_blocks(&mut self) {
        while let Some(block) = self.axiom.take_block() {
            self.axiom.recycle(block);
        }
    }

    /// After a call that the host carried out is on record: what its result waits for.
    pub(super) fn after_host_call(
        &mut self,
        _thread: ThreadId,
        result: Result<Returned, Error>,
    ) -> Result<Returned, Error> {
        result
    }

    pub(super) fn log_read(&mut self, _thread: ThreadId, _from: u64, _length: u32) -> Result<u32, Error> {
        Err(Error::Unsupported)
    }

    /// The last record, everything written, and the end.
    pub(super) fn close(&mut self, status: u64) -> ! {
        let now = self.clock.now();
        self.axiom.end(status, now);
        self.seal_blocks();
        self.devices.stop();
        super::power::off(status)
    }
}
