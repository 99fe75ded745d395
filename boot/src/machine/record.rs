//! The log as this host keeps it: full blocks are sealed and written to a disk that no process can reach;
//! nothing is long in memory alone. If it cannot be written, the machine says so and ends.

use super::Machine;
use crate::fw_cfg;
use crate::log_disk::LogDisk;
use crate::say;
use abi::message::MAX_BYTES;
use abi::{Error, Returned};
use alloc::vec::Vec;
use axiom::reader::Reader;
use kernel::ThreadId;
use log_image::ImageLog;

/// How long records wait for their block to fill before it is cut, in ns.
const PATIENCE: u64 = 50_000_000;
/// How long what is written waits for its checkpoint, in ns.
const PUBLISH_EVERY: u64 = 1_000_000_000;
/// The status of a machine whose log cannot be written (`EX_IOERR`).
pub const LOG_LOST: u64 = 74;

/// With this file in the firmware configuration the machine says at its end what memory is in use: for who looks for
/// memory that does not come back.
const MEMORY: &str = "opt/orbital/memory";

/// The machine's side of the log.
pub struct Record {
    /// `None`: a machine that is measured and keeps no log.
    log: Option<ImageLog<LogDisk>>,
    reader: Reader,
    /// When a checkpoint was written.
    published: u64,
    /// What sealing takes, in a kernel that is measured.
    #[cfg(feature = "measure")]
    pub sealing: Option<Sealing>,
    /// Whether init was asked to end because the log is full.
    full: bool,
    /// The call that the host carries out ends when all that is on record is durable.
    pub durable_wanted: bool,
}

impl Record {
    /// With the log that is written.
    pub fn new(log: Option<ImageLog<LogDisk>>) -> Record {
        Record {
            log,
            reader: Reader::new(kernel::Platform::NATIVE),
            published: 0,
            #[cfg(feature = "measure")]
            sealing: None,
            full: false,
            durable_wanted: false,
        }
    }
}

/// What sealing takes: blocks are sealed and written nowhere.
#[cfg(feature = "measure")]
#[derive(Default)]
pub struct Sealing {
    head: Option<axiom::Head>,
    steps: u64,
    bytes: u64,
}

#[cfg(feature = "measure")]
impl Sealing {
    fn seal(&mut self, block: &axiom::RawBlock) {
        use crate::arch::clock::counter;
        let head = self.head.unwrap_or(axiom::Head::EMPTY);
        let mut frame = Vec::new();
        let before = counter();
        let (header, bytes) = axiom::seal::seal(&head, block, 0, &mut frame);
        self.steps += counter() - before;
        self.bytes += frame.len() as u64;
        self.head = Some(axiom::Head::after(&header, &bytes));
    }

    fn report(&self) {
        say!("[kernel] row sealing, per KiB: {}", self.steps * 1024 / self.bytes.max(1));
    }
}

impl Machine {
    /// Cuts the block being written when it has waited long enough, and seals what is full. At most once a
    /// second a checkpoint is written.
    pub(super) fn keep_record(&mut self, now: u64) {
        if self.axiom.pending_since().is_some_and(|since| now.saturating_sub(since) >= PATIENCE) {
            self.axiom.cut(now);
        }
        self.seal_blocks();
        if now.saturating_sub(self.record.published) >= PUBLISH_EVERY {
            self.record.published = now;
            self.written(|log| if log.published() < log.head().blocks { log.publish() } else { Ok(()) });
        }
    }

    /// When something is to be done for the log though nothing happens.
    pub(super) fn record_due(&self) -> Option<u64> {
        let records = self.axiom.pending_since().map(|since| since.saturating_add(PATIENCE));
        let unpublished = self.record.log.as_ref().is_some_and(|log| log.published() < log.head().blocks);
        let publish = unpublished.then(|| self.record.published.saturating_add(PUBLISH_EVERY));
        records.into_iter().chain(publish).min()
    }

    /// Does something to the log. If it fails, nothing goes on.
    fn written(&mut self, work: impl FnOnce(&mut ImageLog<LogDisk>) -> Result<(), log_image::Error>) -> bool {
        let Some(log) = &mut self.record.log else { return true };
        let Err(error) = work(log) else { return true };
        say!("orbital: the log cannot be written, so the machine ends: {error}");
        self.axiom.log_lost();
        self.off = Some(LOG_LOST);
        false
    }

    pub(super) fn seal_blocks(&mut self) {
        while let Some(block) = self.axiom.take_block() {
            #[cfg(feature = "measure")]
            if let Some(sealing) = &mut self.record.sealing {
                sealing.seal(&block);
            }
            let written = self.written(|log| log.append(&block));
            self.axiom.recycle(block);
            if !written {
                return;
            }
        }
        if !self.record.full && self.record.log.as_ref().is_some_and(ImageLog::is_full) {
            self.record.full = true;
            if let Some(log) = &self.record.log {
                say!("orbital: {}; the machine is shut down", log.full());
            }
            self.devices.request_end(LOG_LOST);
        }
    }

    /// Everything that is on record is durable when this returns true.
    fn make_durable(&mut self) -> bool {
        let now = self.clock.now();
        self.axiom.cut(now);
        self.seal_blocks();
        self.off != Some(LOG_LOST) && self.written(ImageLog::sync)
    }

    /// After a call that the host carried out is on record: what its result waits for.
    pub(super) fn after_host_call(
        &mut self,
        thread: ThreadId,
        result: Result<Returned, Error>,
    ) -> Result<Returned, Error> {
        if let Some((from, length)) = self.reading.take() {
            return self.read_log(thread, from, length).map(Returned::Bytes);
        }
        if core::mem::take(&mut self.record.durable_wanted) && !self.make_durable() {
            return Err(Error::Interrupted);
        }
        result
    }

    /// Records as a holder of the log reads them, the latest included.
    fn read_log(&mut self, thread: ThreadId, from: u64, length: u32) -> Result<u32, Error> {
        let now = self.clock.now();
        self.axiom.cut(now);
        self.seal_blocks();
        let next = self.axiom.next_record();
        let bytes: Vec<u8> = match &mut self.record.log {
            None => return Err(Error::Unsupported),
            Some(log) => log
                .read_records(&mut self.record.reader, next, from, (length as usize).min(MAX_BYTES))
                .map_err(|_| Error::Unsupported)?,
        };
        Ok(self.put_bytes(thread, &bytes))
    }

    /// The last record, everything written, and the end.
    pub(super) fn close(&mut self, status: u64) -> ! {
        let now = self.clock.now();
        if self.off != Some(LOG_LOST) {
            self.axiom.end(status, now);
            self.seal_blocks();
            self.written(ImageLog::publish);
        }
        #[cfg(feature = "measure")]
        if let Some(sealing) = &self.record.sealing {
            sealing.report();
        }
        if fw_cfg::is_there(&mut fw_cfg::Real, MEMORY) {
            let (frames, bytes) = (self.frames.count(), crate::start::heap_taken());
            let log = self.record.log.as_ref().map_or(0, ImageLog::memory) + self.axiom.memory_of_records();
            say!(
                "orbital: at the end {frames} frames are free and {bytes} bytes of the kernel's heap are taken, {log} of them for the log"
            );
        }
        self.devices.stop();
        super::power::off(if self.off == Some(LOG_LOST) { LOG_LOST } else { status })
    }
}
