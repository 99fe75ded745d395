//! The devices of the simulated machine. An operation is submitted, takes its time,
//! and is carried out when it completes: so operations in flight complete in any order
//! the seed likes, and a power cut finds some of them undone.

mod console;

pub(crate) use console::{Console, Typed};

use abi::device::{self, Completion, CompletionStatus, Operation};
use abi::{Error, device::DISK_BLOCK_SIZE};
use kernel::{DeviceId, InterruptId, ProcessId};
use simulated_disk::{Disk, DiskError, Random};

pub(crate) const CONSOLE: DeviceId = DeviceId(1);
pub(crate) const DISK: DeviceId = DeviceId(2);
pub(crate) const CLOCK: DeviceId = DeviceId(3);
pub(crate) const ENTROPY: DeviceId = DeviceId(4);
pub(crate) const POWER: DeviceId = DeviceId(5);

/// Lines have the numbers of their devices.
pub(crate) const fn line_of(device: DeviceId) -> InterruptId {
    InterruptId(device.0)
}

/// 2026-01-01T00:00:00Z in ns: when every simulated machine boots.
pub(crate) const BOOTED_AT: u64 = 1_767_225_600_000_000_000;

/// Operations of one process in flight or not fetched, a device; one more is `WouldBlock`.
const MOST_OUTSTANDING: usize = 64;

/// Power, read: the exit status of the end that somebody outside asks for; 0: nobody does.
const POWER_REQUEST: u64 = 0;

/// Blocks that one disk operation may touch.
const MOST_BLOCKS: u64 = 128;

struct Submitted {
    request: u64,
    /// Who gets the completion; `None`: it is gone.
    owner: Option<ProcessId>,
    operation: Operation,
    a: u64,
    b: u64,
    bytes: Vec<u8>,
    /// When it completes; of a console read, when to look again.
    due: u64,
}

/// Operations of one device.
#[derive(Default)]
struct Queue {
    submitted: Vec<Submitted>,
    completed: Vec<(ProcessId, Completion, Vec<u8>)>,
    next: u64,
    /// Something completed since the line was last raised.
    latched: bool,
}

impl Queue {
    fn outstanding(&self, owner: ProcessId) -> usize {
        let submitted = self.submitted.iter().filter(|submitted| submitted.owner == Some(owner)).count();
        submitted + self.completed.iter().filter(|(of, ..)| *of == owner).count()
    }

    fn completed(&mut self, submitted: &Submitted, status: CompletionStatus, length: usize, bytes: Vec<u8>) {
        if let Some(owner) = submitted.owner {
            let completion = Completion { request: submitted.request, status, length: length as u32 };
            self.completed.push((owner, completion, bytes));
            self.latched = true;
        }
    }

    fn forget(&mut self, process: ProcessId) {
        self.completed.retain(|(of, ..)| *of != process);
        for submitted in &mut self.submitted {
            if submitted.owner == Some(process) {
                submitted.owner = None;
            }
        }
    }
}

/// All of them.
pub(crate) struct Devices {
    pub console: Console,
    pub disk: Disk,
    console_queue: Queue,
    disk_queue: Queue,
    chance: Random,
    entropy: Random,
    /// The value written to `POWER_OFF`.
    pub power_off: Option<u64>,
    /// The exit status of an end that somebody outside asks for; 0: nobody does.
    requested_status: u64,
    /// It is not yet shown on the power line.
    end_requested: bool,
    /// Lines that may come, by number.
    open: [bool; 8],
}

impl Devices {
    pub fn new(disk: Disk, random: &mut Random) -> Devices {
        Devices {
            console: Console::new(),
            disk,
            console_queue: Queue::default(),
            disk_queue: Queue::default(),
            chance: random.split(),
            entropy: random.split(),
            power_off: None,
            requested_status: 0,
            end_requested: false,
            open: [false; 8],
        }
    }

    pub fn read(&mut self, device: DeviceId, register: u64, now: u64) -> Result<u64, Error> {
        match (device, register) {
            (CONSOLE, device::CLASS) => Ok(device::DeviceClass::Console as u64),
            (DISK, device::CLASS) => Ok(device::DeviceClass::Disk as u64),
            (CLOCK, device::CLASS) => Ok(device::DeviceClass::Clock as u64),
            (ENTROPY, device::CLASS) => Ok(device::DeviceClass::Entropy as u64),
            (POWER, device::CLASS) => Ok(device::DeviceClass::Power as u64),
            (CONSOLE, device::CONSOLE_IS_TERMINAL) => Ok(u64::from(self.console.terminal)),
            (CONSOLE, device::CONSOLE_COLUMNS) => Ok(self.console.columns),
            (DISK, device::DISK_BLOCKS) => Ok(self.disk.sectors()),
            (DISK, device::DISK_READ_ONLY) => Ok(u64::from(self.disk.read_only())),
            (CLOCK, device::CLOCK_MONOTONIC) => Ok(now),
            (CLOCK, device::CLOCK_WALL) => Ok(BOOTED_AT.saturating_add(now)),
            (POWER, POWER_REQUEST) => Ok(self.requested_status),
            (ENTROPY, device::ENTROPY_RANDOM) => Ok(self.entropy.bits()),
            _ => Err(Error::InvalidArgument),
        }
    }

    pub fn write(&mut self, device: DeviceId, register: u64, value: u64) -> Result<(), Error> {
        match (device, register) {
            (CONSOLE, device::CONSOLE_RAW) => self.console.raw = value != 0,
            (POWER, device::POWER_OFF) => self.power_off = Some(value),
            _ => return Err(Error::InvalidArgument),
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub fn submit(
        &mut self,
        owner: ProcessId,
        device: DeviceId,
        operation: Operation,
        a: u64,
        b: u64,
        bytes: Vec<u8>,
        now: u64,
    ) -> Result<u64, Error> {
        // A sector takes 1 to 5 us, a flush 20 to 100, a key or line 1.
        let takes = match (device, operation) {
            (DISK, Operation::Flush) => 20_000 + self.chance.below(80_000),
            (DISK, _) => 1_000 * (1 + self.chance.below(4)) * (1 + b.max(bytes.len() as u64 / 512).min(MOST_BLOCKS)),
            (CONSOLE, _) => 1_000,
            _ => return Err(Error::Unsupported),
        };
        let queue = if device == DISK { &mut self.disk_queue } else { &mut self.console_queue };
        if queue.outstanding(owner) >= MOST_OUTSTANDING {
            return Err(Error::WouldBlock);
        }
        queue.next += 1;
        let request = queue.next;
        // What was submitted first is shown first: a console does not reorder.
        let after =
            queue.submitted.last().map_or(0, |last| if device == CONSOLE { last.due.min(now + takes) } else { 0 });
        queue.submitted.push(Submitted {
            request,
            owner: Some(owner),
            operation,
            a,
            b,
            bytes,
            due: (now + takes).max(after),
        });
        Ok(request)
    }

    /// Takes one completion of an operation that `owner` submitted, the oldest first.
    pub fn complete(&mut self, owner: ProcessId, device: DeviceId) -> Result<(Completion, Vec<u8>), Error> {
        let queue = match device {
            DISK => &mut self.disk_queue,
            CONSOLE => &mut self.console_queue,
            _ => return Err(Error::Unsupported),
        };
        let at = queue.completed.iter().position(|(of, ..)| *of == owner).ok_or(Error::WouldBlock)?;
        let (_, completion, bytes) = queue.completed.remove(at);
        Ok((completion, bytes))
    }

    /// A process is gone. What it wrote to the console is still shown. What it had begun at
    /// the disk is carried out now or not at all, as when a driver resets the device
    /// before it uses it: nothing of it comes after what a later process submits.
    pub fn process_gone(&mut self, process: ProcessId) {
        self.console_queue.forget(process);
        self.disk_queue.forget(process);
        let begun = self.disk_queue.submitted.extract_if(.., |submitted| submitted.owner.is_none());
        for Submitted { operation, a, bytes, .. } in begun {
            if operation == Operation::Write && self.chance.once_in(2) {
                // There is nobody left to tell that it failed.
                let _ = self.disk.write(a, &bytes);
            }
        }
    }

    /// When something completes next; `None`: nothing will by itself.
    pub fn next_due(&self) -> Option<u64> {
        let queues = [&self.console_queue, &self.disk_queue];
        queues
            .into_iter()
            .flat_map(|queue| &queue.submitted)
            .map(|submitted| submitted.due)
            .filter(|due| *due != u64::MAX)
            .min()
    }

    /// Whether carrying out what is due up to now flushes the disk: the log comes first then.
    pub fn flush_due(&self, now: u64) -> bool {
        self.disk_queue.submitted.iter().any(|s| s.operation == Operation::Flush && s.due <= now)
    }

    /// Carries out what is due up to now.
    pub fn advance(&mut self, now: u64) {
        self.advance_disk(now);
        self.advance_console(now);
    }

    fn advance_disk(&mut self, now: u64) {
        let queue = &mut self.disk_queue;
        if queue.submitted.iter().all(|submitted| submitted.due > now) {
            return;
        }
        queue.submitted.sort_by_key(|submitted| (submitted.due, submitted.request));
        let due = queue.submitted.partition_point(|submitted| submitted.due <= now);
        let carried_out: Vec<Submitted> = queue.submitted.drain(..due).collect();
        for submitted in carried_out {
            let (result, bytes) = match submitted.operation {
                Operation::Read if submitted.b > MOST_BLOCKS => (Err(DiskError::OutOfRange), Vec::new()),
                Operation::Read => match self.disk.read(submitted.a, submitted.b) {
                    Ok(bytes) => (Ok(bytes.len()), bytes),
                    Err(error) => (Err(error), Vec::new()),
                },
                Operation::Write if submitted.bytes.len() > MOST_BLOCKS as usize * DISK_BLOCK_SIZE => {
                    (Err(DiskError::OutOfRange), Vec::new())
                }
                Operation::Write => {
                    (self.disk.write(submitted.a, &submitted.bytes).map(|()| submitted.bytes.len()), Vec::new())
                }
                Operation::Flush => (self.disk.flush().map(|()| 0), Vec::new()),
            };
            let (status, length) = match result {
                Ok(length) => (CompletionStatus::Done, length),
                Err(DiskError::Failed) => (CompletionStatus::Failed, 0),
                Err(DiskError::Full) => (CompletionStatus::Full, 0),
                Err(DiskError::ReadOnly) => (CompletionStatus::ReadOnly, 0),
                Err(DiskError::OutOfRange) => (CompletionStatus::OutOfRange, 0),
            };
            queue.completed(&submitted, status, length, bytes);
        }
    }

    fn advance_console(&mut self, now: u64) {
        let Devices { console, console_queue: queue, .. } = self;
        let mut reading = true;
        let mut kept = Vec::new();
        // Output first: what is typed may wait for it.
        queue.submitted.sort_by_key(|s| (s.operation == Operation::Read, s.request));
        for mut submitted in std::mem::take(&mut queue.submitted) {
            // A key that nobody will read stays where it is.
            if submitted.operation == Operation::Read && submitted.owner.is_none() {
                continue;
            }
            let waits = submitted.operation == Operation::Read && submitted.due == u64::MAX;
            if !waits && submitted.due > now {
                kept.push(submitted);
                continue;
            }
            let mut bytes = Vec::new();
            let length = match submitted.operation {
                Operation::Write => {
                    console.output.extend_from_slice(&submitted.bytes);
                    submitted.bytes.len()
                }
                Operation::Flush => 0,
                Operation::Read if !reading => {
                    kept.push(submitted);
                    continue;
                }
                Operation::Read => match console.read(submitted.b as usize, now) {
                    console::Input::Bytes(read) => {
                        bytes = read;
                        bytes.len()
                    }
                    console::Input::End => 0,
                    console::Input::NotYet(time) => {
                        reading = false;
                        submitted.due = time.unwrap_or(u64::MAX);
                        kept.push(submitted);
                        continue;
                    }
                },
            };
            queue.completed(&submitted, CompletionStatus::Done, length, bytes);
        }
        queue.submitted = kept;
    }

    /// Somebody outside asks for an orderly end.
    pub fn request_end(&mut self, status: u64) {
        self.requested_status = status;
        self.end_requested = true;
    }

    /// Opens a line or holds it back.
    pub fn set_line(&mut self, line: InterruptId, open: bool) {
        if let Some(state) = self.open.get_mut(line.index()) {
            *state = open;
        }
    }

    /// A line that comes now: something completed since it last came. It is held back
    /// until it is opened again.
    pub fn raise(&mut self) -> Option<InterruptId> {
        let latches = [
            (CONSOLE, &mut self.console_queue.latched),
            (DISK, &mut self.disk_queue.latched),
            (POWER, &mut self.end_requested),
        ];
        for (device, latched) in latches {
            let line = line_of(device);
            if *latched && self.open[line.index()] {
                *latched = false;
                self.open[line.index()] = false;
                return Some(line);
            }
        }
        None
    }

    /// The disk as a power cut finds it: each write in flight has perhaps reached its cache.
    pub fn disk_at_power_cut(&mut self) -> Disk {
        let mut disk = self.disk.clone();
        disk.heal();
        for submitted in &self.disk_queue.submitted {
            if submitted.operation == Operation::Write && self.chance.once_in(2) {
                // A write that would fail has no effect here either.
                let _ = disk.write(submitted.a, &submitted.bytes);
            }
        }
        disk
    }
}
