//! A virtio block device (Virtual I/O Device 1.2, 5.2).
//!
//! What is read and written is copied through memory that was shared with the device when it was opened: nothing
//! of the process's own memory has an address for it, and an operation that nobody waits for any more harms
//! nobody. Operations on the same blocks are given to the device one after the other, in the order in which they
//! were begun; a device may do others in any order.
//!
//! When a flush is done, the host's log is made durable before anybody is told (output commit): what a caller does
//! because its data is safe never comes before its cause is on record.

use crate::function::Bus;
use crate::memory::PAGE;
use crate::virtio::{Queue, Registers, Shared, VERSION_1};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::ops::Range;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};
use heapless::Vec as Few;
use libprocess::Error;
use libprocess::abi::device::LOG_DURABLE;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

/// Bytes in a block.
pub const BLOCK: usize = 512;
/// The most blocks of one operation.
pub const MOST_BLOCKS: usize = 128;

/// Operations that the device has at one time.
const SLOTS: usize = 7;
/// Bytes that one of them can carry.
const SLOT: usize = MOST_BLOCKS * BLOCK;
/// Entries of the queue: every operation finds room, if no two of its pages follow each other on the bus.
const ENTRIES: usize = 128;
const _: () = assert!(SLOTS * (SLOT / PAGE + 2) <= ENTRIES);
/// Parts of one operation: header, pages, status.
const PARTS: usize = SLOT / PAGE + 2;

/// Where headers and status lie: in a page behind the slots.
const HEADERS: usize = SLOTS * SLOT;
const HEADER: usize = 16;
const HEADER_STRIDE: usize = 64;

const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_FLUSH: u64 = 1 << 9;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;

const STATUS_DONE: u8 = 0;
/// What stands where the device writes the status, before it does.
const STATUS_NONE: u8 = 0xff;

/// How often a device is read whose configuration changes meanwhile.
const TRIES: usize = 16;

/// The disk's queue of requests.
const QUEUE: u16 = 0;

/// How an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskError {
    /// The device reports an error, or does not keep to the standard; or a system call failed.
    Failed,
    /// The device refuses writes.
    ReadOnly,
    /// Outside the device, or not whole blocks, or more than [`MOST_BLOCKS`].
    OutOfRange,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskError::Failed => "the disk reports an error",
            DiskError::ReadOnly => "the disk is read-only",
            DiskError::OutOfRange => "outside the disk",
        })
    }
}

impl core::error::Error for DiskError {}

/// A disk. Clones are the same disk.
pub struct Disk<B: Bus> {
    shared: Rc<Inner<B>>,
}

impl<B: Bus> Clone for Disk<B> {
    fn clone(&self) -> Disk<B> {
        Disk { shared: self.shared.clone() }
    }
}

impl<B: Bus> fmt::Debug for Disk<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({} blocks)", self.shared.blocks)
    }
}

struct Inner<B: Bus> {
    bus: Rc<B>,
    blocks: u64,
    read_only: bool,
    flushes: bool,
    /// The first error of a register's system call; then nothing goes any more.
    error: Rc<Cell<Option<Error>>>,
    state: RefCell<State<B>>,
}

struct State<B: Bus> {
    // In the order in which they go: the queue before the buffers that it names.
    queue: Queue<ENTRIES>,
    buffers: Shared,
    registers: Registers<B>,
    /// Those that are not over, in the order in which they were begun.
    requests: Vec<Request>,
    begun: u64,
    used: [bool; SLOTS],
    wakers: Vec<Waker>,
    /// The device does not keep to the standard.
    broken: bool,
}

struct Request {
    number: u64,
    kind: u32,
    blocks: Range<u64>,
    stage: Stage,
    /// Nobody waits for it any more.
    forgotten: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For its turn.
    Waits,
    /// The device has it.
    Begun { slot: usize, token: u16 },
    /// The device has done it.
    Done { slot: usize, status: u8 },
}

impl<B: Bus> Disk<B> {
    /// Resets the device and makes it ready. `Unsupported` if it is no virtio disk as the standard says; other errors
    /// are those of the system calls. [`Disk::serve`] must run for operations to end.
    pub fn open(bus: B) -> Result<Disk<B>, Error> {
        let bus = Rc::new(bus);
        let mut registers = Registers::find(bus.clone(), VERSION_1 | FEATURE_READ_ONLY | FEATURE_FLUSH)?;
        if registers.device_type() != DeviceType::Block {
            return Err(Error::Unsupported);
        }
        registers.set_status(DeviceStatus::empty());
        registers.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
        let features = registers.read_device_features();
        if features & VERSION_1 == 0 {
            return Err(registers.error().unwrap_or(Error::Unsupported));
        }
        registers.write_driver_features(features);
        let accepted = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK;
        registers.set_status(accepted);
        if !registers.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(registers.error().unwrap_or(Error::Unsupported));
        }
        let blocks = capacity(&registers).ok_or(Error::Unsupported)?;
        let buffers = Shared::new(bus.memory((HEADERS + SLOTS * HEADER_STRIDE).div_ceil(PAGE))?);
        let queue = Queue::new(&mut registers, QUEUE)?;
        registers.set_status(accepted | DeviceStatus::DRIVER_OK);
        if let Some(error) = registers.error() {
            return Err(error);
        }
        let error = registers.error_cell();
        let state = State {
            queue,
            buffers,
            registers,
            requests: Vec::new(),
            begun: 0,
            used: [false; SLOTS],
            wakers: Vec::new(),
            broken: false,
        };
        let read_only = features & FEATURE_READ_ONLY != 0;
        let flushes = features & FEATURE_FLUSH != 0;
        Ok(Disk { shared: Rc::new(Inner { bus, blocks, read_only, flushes, error, state: RefCell::new(state) }) })
    }

    /// Number of blocks.
    pub fn block_count(&self) -> u64 {
        self.shared.blocks
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.shared.read_only
    }

    /// Takes what the device has done, whenever it says so; to be run as a task of its own. Ends when the device cannot be
    /// used any more.
    pub async fn serve(self) -> Error {
        loop {
            let waited = self.shared.bus.interrupt().await;
            let mut state = self.shared.state.borrow_mut();
            if let Err(error) = waited {
                self.shared.error.set(Some(error));
            }
            state.drain();
            let broken = state.broken.then_some(Error::PeerGone);
            drop(state);
            if let Some(error) = self.shared.error.get().or(broken) {
                return error;
            }
        }
    }

    /// Reads whole blocks from `first` on.
    pub async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        let blocks = self.range(first, bytes.len())?;
        let (guard, slot) = self.operate(READ, blocks, &[], bytes.len()).await?;
        let state = self.shared.state.borrow();
        state.copy_out(slot, bytes);
        drop(state);
        drop(guard);
        Ok(())
    }

    /// Writes whole blocks from `first` on. Until the next flush, a power cut may leave any of them old, new or torn.
    pub async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let blocks = self.range(first, bytes.len())?;
        if self.shared.read_only {
            return Err(DiskError::ReadOnly);
        }
        self.operate(WRITE, blocks, bytes, bytes.len()).await.map(|_| ())
    }

    /// Done when all that was completed before is durable, and the host's log with it.
    pub async fn flush(&self) -> Result<(), DiskError> {
        // A device that cannot be told to flush keeps nothing back (5.2.6.2).
        if self.shared.flushes {
            self.operate(FLUSH, 0..0, &[], 0).await?;
        }
        self.shared.bus.write(LOG_DURABLE, 0).map_err(|_| DiskError::Failed)
    }

    fn range(&self, first: u64, bytes: usize) -> Result<Range<u64>, DiskError> {
        let count = bytes / BLOCK;
        let end = first.checked_add(count as u64).filter(|end| *end <= self.shared.blocks);
        match end {
            Some(end) if bytes.is_multiple_of(BLOCK) && (1..=MOST_BLOCKS).contains(&count) => Ok(first..end),
            _ => Err(DiskError::OutOfRange),
        }
    }

    /// Carries one out; the slot that has what it read, until the guard goes.
    async fn operate(
        &self,
        kind: u32,
        blocks: Range<u64>,
        bytes: &[u8],
        length: usize,
    ) -> Result<(Begun<'_, B>, usize), DiskError> {
        let number = self.shared.state.borrow_mut().begin(kind, blocks);
        let guard = Begun { disk: self, number };
        poll_fn(|context| self.shared.poll_begin(number, bytes, length, context)).await?;
        let (slot, status) = poll_fn(|context| self.shared.poll_done(number, context)).await?;
        match status {
            STATUS_DONE => Ok((guard, slot)),
            _ => Err(DiskError::Failed),
        }
    }
}

/// How many blocks the device says that it has, when it says the same while it is read; not for ever.
fn capacity(registers: &impl Transport) -> Option<u64> {
    (0..TRIES).find_map(|_| {
        let before = registers.read_config_generation();
        let (low, high): (u32, u32) = (registers.read_config_space(0).ok()?, registers.read_config_space(4).ok()?);
        (registers.read_config_generation() == before).then_some(u64::from(high) << 32 | u64::from(low))
    })
}

/// An operation that is not over.
struct Begun<'a, B: Bus> {
    disk: &'a Disk<B>,
    number: u64,
}

impl<B: Bus> Drop for Begun<'_, B> {
    fn drop(&mut self) {
        self.disk.shared.state.borrow_mut().forget(self.number);
    }
}

impl<B: Bus> Inner<B> {
    fn usable(&self, state: &State<B>) -> Result<(), DiskError> {
        if state.broken || self.error.get().is_some() { Err(DiskError::Failed) } else { Ok(()) }
    }

    fn poll_begin(
        &self,
        number: u64,
        bytes: &[u8],
        length: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), DiskError>> {
        let mut state = self.state.borrow_mut();
        if let Err(error) = self.usable(&state) {
            return Poll::Ready(Err(error));
        }
        if state.try_begin(number, bytes, length) {
            return Poll::Ready(self.usable(&state));
        }
        state.wait(context);
        Poll::Pending
    }

    fn poll_done(&self, number: u64, context: &mut Context<'_>) -> Poll<Result<(usize, u8), DiskError>> {
        let mut state = self.state.borrow_mut();
        let stage = state.requests.iter().find(|request| request.number == number).map(|request| request.stage);
        if let Some(Stage::Done { slot, status }) = stage {
            return Poll::Ready(Ok((slot, status)));
        }
        if let Err(error) = self.usable(&state) {
            return Poll::Ready(Err(error));
        }
        state.wait(context);
        Poll::Pending
    }
}

impl<B: Bus> State<B> {
    fn wait(&mut self, context: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            self.wakers.push(context.waker().clone());
        }
    }

    fn begin(&mut self, kind: u32, blocks: Range<u64>) -> u64 {
        self.begun += 1;
        let number = self.begun;
        self.requests.push(Request { number, kind, blocks, stage: Stage::Waits, forgotten: false });
        number
    }

    /// Gives an operation to the device if it is its turn; whether the device has it, or never will.
    fn try_begin(&mut self, number: u64, bytes: &[u8], length: usize) -> bool {
        let Some(at) = self.requests.iter().position(|request| request.number == number) else { return true };
        let (before, rest) = self.requests.split_at_mut(at);
        let request = &mut rest[0];
        let meets = |other: &Request| {
            let shares = other.blocks.start < request.blocks.end && request.blocks.start < other.blocks.end;
            shares && (other.kind == WRITE || request.kind == WRITE) && !matches!(other.stage, Stage::Done { .. })
        };
        if before.iter().any(meets) {
            return false;
        }
        let Some(slot) = self.used.iter().position(|used| !used) else { return false };
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&request.kind.to_le_bytes());
        header[8..].copy_from_slice(&request.blocks.start.to_le_bytes());
        let kind = request.kind;
        self.copy_in(header_of(slot), &header);
        self.copy_in(status_of(slot), &[STATUS_NONE]);
        self.copy_in(slot * SLOT, bytes);
        let parts = Parts::of(&self.buffers, slot, kind, length);
        // SAFETY: the slot is free, and lies in the buffers.
        let (inputs, mut outputs) = unsafe { parts.slices(self.buffers.memory().start()) };
        // SAFETY: the parts lie in a slot that nobody else has until the device has done with it, in memory that goes
        // after the queue.
        match unsafe { self.queue.queue.add(&inputs[..parts.reads.len()], &mut outputs[..parts.writes.len()]) } {
            Ok(token) => {
                self.used[slot] = true;
                self.requests[at].stage = Stage::Begun { slot, token };
                if self.queue.queue.should_notify() {
                    self.registers.notify(QUEUE);
                }
            }
            // There is room for as many as there are slots.
            Err(_) => self.broken = true,
        }
        true
    }

    /// Takes what the device has done.
    fn drain(&mut self) {
        while let Some(token) = self.queue.queue.peek_used() {
            let found = self
                .requests
                .iter()
                .position(|request| matches!(request.stage, Stage::Begun { token: its, .. } if its == token));
            let Some(at) = found else {
                // It says that it has done what it was never given.
                self.broken = true;
                break;
            };
            let Stage::Begun { slot, .. } = self.requests[at].stage else { break };
            let (kind, count) = (self.requests[at].kind, self.requests[at].blocks.end - self.requests[at].blocks.start);
            let parts = Parts::of(&self.buffers, slot, kind, count as usize * BLOCK);
            // SAFETY: the device says that it has done with the slot, which nobody else has yet.
            let (inputs, mut outputs) = unsafe { parts.slices(self.buffers.memory().start()) };
            // SAFETY: the same parts as those that it was added with: they follow from the slot, the kind and the length.
            if unsafe {
                self.queue.queue.pop_used(token, &inputs[..parts.reads.len()], &mut outputs[..parts.writes.len()])
            }
            .is_err()
            {
                self.broken = true;
                break;
            }
            let mut status = [STATUS_NONE];
            self.copy_out_from(status_of(slot), &mut status);
            self.requests[at].stage = Stage::Done { slot, status: status[0] };
            if self.requests[at].forgotten {
                self.end(at);
            }
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// It is over; its slot is free.
    fn end(&mut self, at: usize) {
        if let Stage::Done { slot, .. } = self.requests.remove(at).stage {
            self.used[slot] = false;
        }
    }

    /// Nobody waits for it any more. What the device has of it, it does.
    fn forget(&mut self, number: u64) {
        let Some(at) = self.requests.iter().position(|request| request.number == number) else { return };
        match self.requests[at].stage {
            Stage::Begun { .. } => self.requests[at].forgotten = true,
            Stage::Waits | Stage::Done { .. } => self.end(at),
        }
        // Others may have waited for its turn or its slot.
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Copies into the shared memory.
    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let memory = self.buffers.memory();
        assert!(offset + bytes.len() <= memory.bytes(), "an operation is never longer than its slot");
        // SAFETY: within the memory, as was just checked; the device has nothing of this slot now.
        unsafe { memory.start().as_ptr().add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    fn copy_out(&self, slot: usize, bytes: &mut [u8]) {
        self.copy_out_from(slot * SLOT, bytes);
    }

    /// Copies out of the shared memory.
    fn copy_out_from(&self, offset: usize, bytes: &mut [u8]) {
        let memory = self.buffers.memory();
        assert!(offset + bytes.len() <= memory.bytes(), "an operation is never longer than its slot");
        // SAFETY: within the memory, as was just checked; the device has done with this slot.
        unsafe { memory.start().as_ptr().add(offset).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    }
}

impl<B: Bus> Drop for State<B> {
    fn drop(&mut self) {
        // Before the memory goes, the device forgets it.
        self.registers.set_status(DeviceStatus::empty());
    }
}

const fn header_of(slot: usize) -> usize {
    HEADERS + slot * HEADER_STRIDE
}

const fn status_of(slot: usize) -> usize {
    header_of(slot) + HEADER
}

/// Where the parts of an operation lie: offsets and lengths in the shared memory, what the device reads and
/// what it writes.
struct Parts {
    reads: Few<(usize, usize), PARTS>,
    writes: Few<(usize, usize), PARTS>,
}

impl Parts {
    fn of(buffers: &Shared, slot: usize, kind: u32, length: usize) -> Parts {
        let mut pages: Few<(usize, usize), PARTS> = Few::new();
        let mut done = 0;
        while done < length.min(SLOT) {
            let at = slot * SLOT + done;
            let run = buffers.memory().run(at, length - done).max(1);
            // There is room for a slot of which no two pages follow each other.
            let _ = pages.push((at, run));
            done += run;
        }
        let (mut reads, mut writes): (Few<_, PARTS>, Few<_, PARTS>) = (Few::new(), Few::new());
        let _ = reads.push((header_of(slot), HEADER));
        let _ = if kind == READ { writes.extend_from_slice(&pages) } else { reads.extend_from_slice(&pages) };
        let _ = writes.push((status_of(slot), 1));
        Parts { reads, writes }
    }

    /// What the device reads and what it writes, in the first places.
    ///
    /// # Safety
    /// The operation lies in the memory that begins at `start`, which lives as long as what this gives; meanwhile nobody
    /// else uses its slot, the device not yet or not any more.
    unsafe fn slices<'a>(&self, start: NonNull<u8>) -> ([&'a [u8]; PARTS], [&'a mut [u8]; PARTS]) {
        let start = start.as_ptr();
        let reads = core::array::from_fn(|index| match self.reads.get(index) {
            // SAFETY: as the caller says; what is read shares no byte with what is written.
            Some(&(at, length)) => unsafe { core::slice::from_raw_parts(start.add(at), length) },
            None => &[] as &[u8],
        });
        let writes = core::array::from_fn(|index| match self.writes.get(index) {
            // SAFETY: as the caller says; no two parts share a byte.
            Some(&(at, length)) => unsafe { core::slice::from_raw_parts_mut(start.add(at), length) },
            None => &mut [] as &mut [u8],
        });
        (reads, writes)
    }
}
