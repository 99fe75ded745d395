//! The log as the machine keeps it: full blocks go to the writer's thread; what is
//! recorded is never long in memory alone; and a flush of the disk waits for the log.

use super::{End, Machine};
use crate::events::{Event, Events};
use kernel::ThreadId;
use log_store::folder::DiskFolder;
use log_store::{LogReader, Writer};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long records wait for their block to fill before it is cut, in ns.
const PATIENCE: u64 = Duration::from_millis(50).as_nanos() as u64;

#[derive(Default)]
struct Known {
    /// All records below are durable.
    below: u64,
    lost: bool,
}

/// How far the log is durable: what the disk's thread waits on.
#[derive(Clone, Default)]
pub struct Durability(Arc<(Mutex<Known>, Condvar)>);

impl Durability {
    /// Waits until all records below this one are durable; false if they never will be.
    pub fn wait_for(&self, record: u64) -> bool {
        let (known, changed) = &*self.0;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = changed.wait_while(known, |known| known.below < record && !known.lost);
        known.unwrap_or_else(PoisonError::into_inner).below >= record
    }

    fn learn(&self, below: u64, lost: bool) {
        let (known, changed) = &*self.0;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.lost |= lost;
        if !lost {
            known.below = known.below.max(below);
        }
        drop(known);
        changed.notify_all();
    }
}

/// The machine's side of the log.
pub struct Record {
    writer: Option<Writer<DiskFolder>>,
    durability: Durability,
    /// A flush was submitted in the call that the host carries out: it promises all below this record.
    pub flush_before: Option<u64>,
    /// A thread reads the log in the call that the host carries out.
    pub reading: Option<Reading>,
    reader: LogReader,
    /// What went wrong with the log without ending anything.
    pub trouble: Option<String>,
}

/// What a holder of the log wants to read.
pub struct Reading {
    /// Who.
    pub thread: ThreadId,
    /// From which record on.
    pub from: u64,
    /// At most so many bytes.
    pub length: u32,
}

impl Record {
    /// With the thread that writes and what reads.
    pub fn new(writer: Writer<DiskFolder>, durability: Durability, reader: LogReader) -> Record {
        Record { writer: Some(writer), durability, flush_before: None, reading: None, reader, trouble: None }
    }
}

impl Machine {
    /// After a call that the host carried out is finished.
    pub(super) fn after_host_call(&mut self) {
        if let Some(reading) = self.record.reading.take() {
            self.log_read(&reading);
        }
        let Some(below) = self.record.flush_before.take() else { return };
        let now = self.clock.now();
        self.axiom.cut(now);
        self.hand_blocks_over();
        let (durability, events) = (self.record.durability.clone(), self.events.clone());
        match &self.record.writer {
            Some(writer) => writer.flush(move |result| durable(&durability, &events, below, result.is_ok())),
            None => durable(&durability, &events, below, false),
        }
    }

    /// The first records of a new log, durable and signed. Why not, if that failed.
    pub(super) fn log_begins(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        self.axiom.cut(now);
        self.hand_blocks_over();
        let Some(writer) = &self.record.writer else { return Err("its writer has ended".into()) };
        writer.flush_and_wait().map_err(|lost| writer.failure().unwrap_or_else(|| lost.to_string()))
    }

    /// Gives the blocks that are full to the writer. Waits where too many wait for it.
    #[cold]
    pub(super) fn hand_blocks_over(&mut self) {
        let Some(writer) = &self.record.writer else { return };
        while let Some(block) = self.axiom.take_block() {
            if writer.append(block).is_err() {
                self.log_failed();
                return;
            }
            if let Some(spare) = writer.spare() {
                self.axiom.recycle(spare);
            }
        }
    }

    /// Cuts the block that is written when it has waited long enough, and sees whether the
    /// writer still can.
    pub(super) fn keep_record(&mut self, now: u64) {
        if self.axiom.pending_since().is_some_and(|since| now.saturating_sub(since) >= PATIENCE) {
            self.axiom.cut(now);
        }
        self.hand_blocks_over();
        if self.record.writer.as_ref().is_some_and(|writer| writer.failure().is_some()) {
            self.log_failed();
        }
    }

    /// When something is to be done though nothing happens: the kernel's time-outs, and
    /// records that wait.
    pub(super) fn due(&self, _now: u64) -> Option<u64> {
        let record = self.axiom.pending_since().map(|since| since.saturating_add(PATIENCE));
        self.axiom.deadline().into_iter().chain(record).min()
    }

    pub(super) fn log_failed(&mut self) {
        let why = self.record.writer.as_ref().and_then(Writer::failure);
        self.axiom.log_lost();
        self.record.durability.learn(0, true);
        self.end.get_or_insert(End::LogFailed(why.unwrap_or_else(|| "its writer has ended".into())));
    }

    /// The last record, and everything written. Says how it ended after all.
    pub(super) fn close(&mut self, end: End) -> End {
        let now = self.clock.now();
        if matches!(end, End::Off(_) | End::Stopped) {
            self.axiom.end(end.status(), now);
        } else {
            self.axiom.cut(now);
        }
        self.hand_blocks_over();
        self.capture.end(now, self.axiom.next_record().saturating_sub(1));
        let Some(writer) = self.record.writer.take() else { return end };
        match (writer.stop(), end) {
            (Ok(log), end) => {
                self.record.trouble = log.snapshot_trouble().map(ToString::to_string);
                self.record.durability.learn(u64::MAX, false);
                end
            }
            (Err(_), End::LogFailed(why)) => End::LogFailed(why),
            (Err(error), _) => {
                self.record.durability.learn(0, true);
                End::LogFailed(error.cause)
            }
        }
    }

    /// Records as a holder of the log reads them, the latest included: they are written first.
    fn log_read(&mut self, reading: &Reading) {
        let now = self.clock.now();
        self.axiom.cut(now);
        self.hand_blocks_over();
        let written = self.record.writer.as_ref().is_some_and(|writer| writer.flush_and_wait().is_ok());
        let next = self.axiom.next_record();
        let bytes = self.record.reader.read(next, reading.from, reading.length.min(MOST_READ));
        let result = match bytes {
            Ok(bytes) if written => Ok(self.put_bytes(reading.thread, bytes)),
            _ => Err(abi::Error::Unsupported),
        };
        self.complete(reading.thread, result);
    }
}

/// The most that one read of the log brings.
const MOST_READ: u32 = 1 << 20;

fn durable(durability: &Durability, events: &Events, below: u64, written: bool) {
    durability.learn(below, !written);
    if !written {
        events.post(Event::LogFailed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_the_log_goes_on_when_it_is_durable_or_lost() {
        let durability = Durability::default();
        let other = durability.clone();
        let waiter = std::thread::spawn(move || (other.wait_for(10), other.wait_for(20)));
        durability.learn(5, false);
        durability.learn(10, false);
        durability.learn(0, true);
        assert_eq!(waiter.join().unwrap(), (true, false));
    }
}
