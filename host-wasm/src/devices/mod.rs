//! The host's devices as the kernel's device capabilities show them: registers, and
//! operations that are submitted and complete later with an interrupt.
//!
//! Several processes may hold one device (all of them print): a completion goes to the
//! process that submitted, and one that ended gets none.

pub mod console;
pub mod disk;
pub mod registers;

use crate::events::{Event, Events};
use abi::Error;
use abi::device::{Completion, CompletionStatus, Operation};
use kernel::InterruptId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Operations that a process may have under way at one device.
pub const MOST_UNDER_WAY: usize = 64;

/// Who submitted: the serial of a process.
pub type Owner = u64;

/// An operation as a process submitted it.
pub struct Submission {
    /// Who.
    pub owner: Owner,
    /// The number that `device_submit` returned.
    pub request: u64,
    /// What.
    pub operation: Operation,
    /// First argument.
    pub a: u64,
    /// Second argument.
    pub b: u64,
    /// Bytes to write.
    pub bytes: Vec<u8>,
    /// The log's next record when it was submitted: of a flush, what must be durable first.
    pub log: u64,
}

/// What a device of the host can do. All of it returns at once.
pub trait Device {
    /// Reads a register.
    fn read(&mut self, register: u64) -> Result<u64, Error>;

    /// Writes a register.
    fn write(&mut self, register: u64, value: u64) -> Result<(), Error> {
        let _ = (register, value);
        Err(Error::Unsupported)
    }

    /// Begins an operation; its completion goes to the device's [`Completions`].
    fn submit(&mut self, submission: Submission) -> Result<(), Error> {
        let _ = submission;
        Err(Error::Unsupported)
    }

    /// The process has ended: drop what it asked for and nobody waits for now.
    fn forget(&mut self, owner: Owner) {
        let _ = owner;
    }
}

/// One operation that ended.
pub struct Done {
    /// Who submitted it.
    pub owner: Owner,
    /// How it ended.
    pub completion: Completion,
    /// What was read.
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    done: VecDeque<Done>,
    /// Operations under way or completed and not taken, of those that live.
    under_way: HashMap<Owner, usize>,
}

/// Where a device's threads put what is done; raises the device's line.
#[derive(Clone)]
pub struct Completions {
    queue: Arc<Mutex<Queue>>,
    line: InterruptId,
    events: Events,
}

impl Completions {
    /// With nothing in it.
    pub fn new(line: InterruptId, events: Events) -> Completions {
        Completions { queue: Arc::default(), line, events }
    }

    /// Counts an operation that begins; refused when the owner has too many.
    pub fn begin(&self, owner: Owner) -> Result<(), Error> {
        let mut queue = self.lock();
        let under_way = queue.under_way.entry(owner).or_default();
        if *under_way >= MOST_UNDER_WAY {
            return Err(Error::WouldBlock);
        }
        *under_way += 1;
        Ok(())
    }

    /// Takes back `begin` of an operation that the device refused.
    pub fn refused(&self, owner: Owner) {
        if let Some(under_way) = self.lock().under_way.get_mut(&owner) {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// An operation ended.
    pub fn complete(&self, owner: Owner, request: u64, status: CompletionStatus, bytes: Vec<u8>, length: usize) {
        let mut queue = self.lock();
        if !queue.under_way.contains_key(&owner) {
            return;
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        queue.done.push_back(Done { owner, completion: Completion { request, status, length }, bytes });
        drop(queue);
        self.events.post(Event::Line(self.line));
    }

    /// The oldest that is done for this owner.
    pub fn take(&self, owner: Owner) -> Option<Done> {
        let mut queue = self.lock();
        let position = queue.done.iter().position(|done| done.owner == owner)?;
        let done = queue.done.remove(position);
        if let Some(under_way) = queue.under_way.get_mut(&owner) {
            *under_way = under_way.saturating_sub(1);
        }
        done
    }

    /// The owner has ended; nothing more is kept for it.
    pub fn forget(&self, owner: Owner) {
        let mut queue = self.lock();
        queue.under_way.remove(&owner);
        queue.done.retain(|done| done.owner != owner);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
