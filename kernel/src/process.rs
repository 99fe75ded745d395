//! Processes: created from an image under a quota with a supervisor endpoint, given
//! their first capabilities, started; suspended, resumed, killed. A process that has
//! ended keeps its record while someone holds it or its exit message is unread.

use crate::activity::Activity;
use crate::arena::set;
use crate::authority::{Authority, Doom, Header, Witness};
use crate::commit::{Activity as Doing, Authority as Change, Decision, Outcome, Place};
use crate::effect::Effect;
use crate::encoding::{Decode, Encode, Sink, fields};
use crate::ids::*;
use crate::queue::{Entry, Link, Queue, QueueId};
use crate::quota::{CAPABILITY_PRICE, PROCESS_PRICE, THREAD_PRICE};
use crate::schedule::End;
use crate::table::Table;
use crate::thread::State;
use crate::{Caller, Kernel};
use abi::info::Limits;
use abi::message::MAX_BYTES;
use abi::{Error, ExitReason, Handle, Kind, Name, ProcessInfo, ProcessState, Returned, Rights};

/// Where a process is in its life, as far as authority goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProcessLife {
    /// Made, not yet started.
    Created,
    /// Started.
    Started,
    /// Ended.
    Exited {
        /// Why.
        reason: ExitReason,
        /// With what code.
        code: u64,
    },
}

impl Encode for ProcessLife {
    fn put<S: Sink>(&self, out: &mut S) {
        match self {
            ProcessLife::Created => 0u8.put(out),
            ProcessLife::Started => 1u8.put(out),
            ProcessLife::Exited { reason, code } => {
                2u8.put(out);
                reason.put(out);
                code.put(out);
            }
        }
    }
}

impl Decode for ProcessLife {
    fn get(input: &mut &[u8]) -> Option<ProcessLife> {
        Some(match u8::get(input)? {
            0 => ProcessLife::Created,
            1 => ProcessLife::Started,
            2 => ProcessLife::Exited { reason: Decode::get(input)?, code: Decode::get(input)? },
            _ => return None,
        })
    }
}

/// One process: what authority knows of it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Process {
    pub(crate) header: Header,
    /// Never given twice.
    pub serial: u64,
    /// For people.
    pub name: Name,
    /// What it may use at most.
    pub limits: Limits,
    /// Where it is in its life.
    pub life: ProcessLife,
    /// The capability to its supervisor's endpoint. Of a process that has ended it
    /// stays until the exit message is read.
    pub supervisor: CapabilityId,
    /// First of its threads.
    pub first_thread: ThreadId,
    /// How many it has.
    pub threads: u32,
}
fields!(Process: header serial name limits life supervisor first_thread threads);

/// One process: what it is doing.
#[derive(Clone, Debug)]
pub struct ProcessActivity {
    /// Neighbours, while its exit message is queued.
    pub link: Link,
    /// First of its threads.
    pub first_thread: ThreadId,
    /// Whose reply it holds without serving them.
    pub held: Queue,
    /// Serial of the process, to know it from the next with its number.
    pub serial: u64,
    /// Processor time in ns of its threads that are gone.
    pub time: u64,
    /// Messages that it sent and nobody has received.
    pub queued_messages: u32,
    /// Whether its threads are stopped.
    pub suspended: bool,
    /// Where its exit message stands.
    pub exit: ExitMessage,
    /// When the next line of debug output would be on time, in ns.
    pub debug_next: u64,
}
fields!(ProcessActivity: link first_thread held serial time queued_messages suspended exit debug_next);

impl ProcessActivity {
    pub(crate) const NONE: ProcessActivity = ProcessActivity {
        link: Link::NONE,
        first_thread: ThreadId::NONE,
        held: Queue::EMPTY,
        serial: 0,
        time: 0,
        queued_messages: 0,
        suspended: false,
        exit: ExitMessage::None,
        debug_next: 0,
    };
}

/// Where the exit message of a process stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitMessage {
    /// Nowhere: the process runs, or the message was read.
    None,
    /// Not yet queued.
    Announced,
    /// In the queue of its supervisor's endpoint.
    Queued {
        /// Which.
        endpoint: EndpointId,
    },
}

impl Encode for ExitMessage {
    fn put<S: Sink>(&self, out: &mut S) {
        match self {
            ExitMessage::None => 0u8.put(out),
            ExitMessage::Announced => 1u8.put(out),
            ExitMessage::Queued { endpoint } => {
                2u8.put(out);
                endpoint.put(out);
            }
        }
    }
}

impl Decode for ExitMessage {
    fn get(input: &mut &[u8]) -> Option<ExitMessage> {
        Some(match u8::get(input)? {
            0 => ExitMessage::None,
            1 => ExitMessage::Announced,
            2 => ExitMessage::Queued { endpoint: Decode::get(input)? },
            _ => return None,
        })
    }
}

/// What a process costs with a table of this size.
fn price(limits: &Limits) -> u64 {
    PROCESS_PRICE + u64::from(limits.capabilities) * CAPABILITY_PRICE
}

impl Authority {
    /// What a process with these limits costs, in bytes of kernel memory.
    pub(crate) fn process_price(limits: &Limits) -> u64 {
        price(limits)
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn process_created(
        &mut self,
        process: ProcessId,
        quota: QuotaId,
        _image: ImageId,
        (source, supervisor): (CapabilityId, CapabilityId),
        name: Name,
        limits: Limits,
        place: Option<Place>,
    ) {
        self.serial += 1;
        let header = Header::new(quota, price(&limits), 0);
        let life = ProcessLife::Created;
        self.processes.insert(
            process.0,
            Process {
                header,
                serial: self.serial,
                name,
                limits,
                life,
                supervisor,
                first_thread: ThreadId::NONE,
                threads: 0,
            },
        );
        set(&mut self.tables, process.index(), Table::new());
        self.enrol(process.into());
        if !supervisor.is_none() {
            self.supervisor_capability(source, supervisor, process);
        }
        if let Some(place) = place {
            self.first_capability(process.into(), place, Kind::Process.rights());
        }
    }

    pub(crate) fn process_started(&mut self, process: ProcessId, thread: ThreadId) {
        let Some(record) = self.processes.get_mut(process.0) else { return };
        record.life = ProcessLife::Started;
        let quota = record.header.quota;
        self.thread_created(thread, process, quota, None);
    }

    /// A doomed process: it ends, and its record goes unless its exit message is unread.
    pub(crate) fn finish_process<W: Witness>(&mut self, process: ProcessId, witness: &mut W) {
        let Some(record) = self.processes.get(process.0) else { return };
        let reason = if record.header.doom == Doom::Reclaimed { ExitReason::Reclaimed } else { ExitReason::Killed };
        if record.life == ProcessLife::Created {
            // It never ran: there is nothing to tell.
            self.remove_capability(record.supervisor, witness);
        }
        self.exit(process, reason, 0, witness);
        match self.processes.get(process.0) {
            Some(record) if !record.supervisor.is_none() => self.spare(process.into()),
            _ => self.free(process.into(), witness),
        }
    }

    pub(crate) fn exit_read<W: Witness>(&mut self, process: ProcessId, witness: &mut W) {
        if let Some(record) = self.processes.get(process.0) {
            self.remove_capability(record.supervisor, witness);
        }
    }

    pub(crate) fn limited(&mut self, process: ProcessId, limits: Limits) {
        let Some(record) = self.processes.get_mut(process.0) else { return };
        record.limits = limits;
        let pages = record.header.pages;
        self.reprice(process.into(), price(&limits), pages);
    }

    pub(crate) fn grown(&mut self, process: ProcessId, pages: u64) {
        let Some(record) = self.processes.get(process.0) else { return };
        let (memory, pages) = (record.header.memory, record.header.pages + pages);
        self.reprice(process.into(), memory, pages);
    }

    /// The endpoint and badge under which a process tells its supervisor.
    pub(crate) fn supervisor(&self, process: ProcessId) -> Option<(EndpointId, u64)> {
        let capability = self.capabilities.get(self.processes.get(process.0)?.supervisor)?;
        Some((EndpointId(capability.index), capability.badge))
    }
}

impl Activity {
    pub(crate) fn process_created(&mut self, process: ProcessId, image: ImageId, serial: u64) {
        set(&mut self.processes, process.index(), ProcessActivity { serial, ..ProcessActivity::NONE });
        self.effects.push_back(Effect::ProcessCreated { process, image });
    }

    /// The process has ended; its threads are gone. Whoever waits for an answer of it
    /// is told; its supervisor will be.
    pub(crate) fn process_exited(&mut self, process: ProcessId, tell: bool) {
        while let Some(thread) = self.first_thread(QueueId::Held(process)) {
            if self.thread(thread).state == State::AwaitingVerdict {
                self.orphan(thread);
            } else {
                self.fail(thread, Error::PeerGone);
            }
        }
        self.effects.push_back(Effect::ProcessGone(process));
        if tell {
            self.process(process).exit = ExitMessage::Announced;
            self.push(QueueId::Announced, Entry::exit(process));
        }
    }

    /// Nobody is told of the faults and the end of this process any longer.
    pub(crate) fn supervisor_lost(&mut self, process: ProcessId) {
        match core::mem::replace(&mut self.process(process).exit, ExitMessage::None) {
            ExitMessage::None => {}
            ExitMessage::Announced => self.remove(QueueId::Announced, Entry::exit(process)),
            ExitMessage::Queued { endpoint } => self.remove(QueueId::Senders(endpoint), Entry::exit(process)),
        }
        let mut next = self.process(process).first_thread;
        while let Some(thread) = self.advance(&mut next) {
            if matches!(self.thread(thread).state, State::Faulted | State::AwaitingVerdict) {
                self.orphan(thread);
            }
        }
    }

    /// The exit message waits at the supervisor's endpoint.
    pub(crate) fn exit_queued(&mut self, process: ProcessId, endpoint: EndpointId) {
        self.remove(QueueId::Announced, Entry::exit(process));
        self.process(process).exit = ExitMessage::Queued { endpoint };
        self.push(QueueId::Senders(endpoint), Entry::exit(process));
    }

    /// Stops the threads; waits are ended. What waits for a verdict or the host goes on
    /// waiting and stops then.
    pub(crate) fn process_suspended(&mut self, process: ProcessId) {
        self.process(process).suspended = true;
        let mut next = self.process(process).first_thread;
        while let Some(thread) = self.advance(&mut next) {
            match self.thread(thread).state {
                State::Ready | State::Running | State::Depleted => {
                    self.leave(thread);
                    self.make_ready(thread, End::Back);
                }
                state if state.is_wait() => self.fail(thread, Error::Interrupted),
                _ => {}
            }
        }
    }

    pub(crate) fn process_resumed(&mut self, process: ProcessId) {
        self.process(process).suspended = false;
        let mut next = self.process(process).first_thread;
        while let Some(thread) = self.advance(&mut next) {
            if self.thread(thread).state == State::Suspended {
                self.make_ready(thread, End::Back);
            }
        }
    }
}

impl Kernel {
    /// The process that a handle of the caller names; `NONE` is the caller's own.
    pub(crate) fn process_or_self(&self, caller: Caller, handle: Handle, rights: Rights) -> Result<ProcessId, Error> {
        if handle.is_none() {
            return Ok(caller.process);
        }
        let (_, capability) = self.authority.lookup(caller.process, handle, Kind::Process, rights, caller.now)?;
        Ok(ProcessId(capability.index))
    }

    fn managed(&self, caller: Caller, handle: Handle) -> Result<(ProcessId, &Process), Error> {
        let (_, capability) =
            self.authority.lookup(caller.process, handle, Kind::Process, Rights::MANAGE, caller.now)?;
        let process = ProcessId(capability.index);
        Ok((process, self.authority.processes.get(process.0).ok_or(Error::BadHandle)?))
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn decide_process_create(
        &self,
        caller: Caller,
        image: Handle,
        quota: Handle,
        supervisor: Handle,
        name: Name,
        limits: Limits,
    ) -> Result<Decision, Error> {
        let (_, image) = self.authority.lookup(caller.process, image, Kind::Image, Rights::SPAWN, caller.now)?;
        let quota = self.paying(caller, quota)?;
        let (source, _) =
            self.authority.lookup(caller.process, supervisor, Kind::Endpoint, Rights::SEND, caller.now)?;
        if limits.capabilities > Table::MAX {
            return Err(Error::InvalidArgument);
        }
        self.afford(quota, price(&limits), 0)?;
        // The supervisor's capability has a number, and no slot.
        let capability = CapabilityId(self.authority.capabilities.vacant_after(1)?);
        let place = Place { capability, ..self.place(caller.process, 0)? };
        let change = Change::ProcessCreated {
            process: ProcessId(self.authority.processes.vacant()?),
            quota,
            image: ImageId(image.index),
            source,
            supervisor: CapabilityId(self.authority.capabilities.vacant()?),
            name,
            limits,
            place: Some(place),
        };
        Ok(Decision::done(Returned::Handle(self.handle_at(place)), change))
    }

    pub(crate) fn decide_process_grant(
        &self,
        caller: Caller,
        process: Handle,
        source: Handle,
        rights: Rights,
        badge: u64,
        expiry: u64,
    ) -> Result<Decision, Error> {
        let (process, record) = self.managed(caller, process)?;
        let (source, capability) = self.authority.resolve(caller.process, source)?;
        let (rights, badge, expiry) = capability.attenuate(rights, badge, expiry, caller.now)?;
        if record.life != ProcessLife::Created {
            return Err(Error::InvalidArgument);
        }
        self.authority.may_derive(source)?;
        let place = self.place(process, 0)?;
        let change = Change::Derived { source, place, rights, badge, expiry, arrival: None };
        Ok(Decision::done(Returned::Handle(self.handle_at(place)), change))
    }

    pub(crate) fn decide_process_start(&self, caller: Caller, process: Handle, length: u32) -> Result<Decision, Error> {
        let (process, record) = self.managed(caller, process)?;
        if record.life != ProcessLife::Created {
            return Err(Error::InvalidArgument);
        }
        if length as usize > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        self.afford(record.header.quota, THREAD_PRICE, 0)?;
        let thread = ThreadId(self.authority.threads.vacant()?);
        let priority = self.activity.view(caller.thread).base;
        Ok(Decision::done(
            Returned::Nothing,
            Change::ProcessStarted { process, thread, starter: caller.thread, priority },
        ))
    }

    pub(crate) fn decide_process_suspend(&self, caller: Caller, process: Handle) -> Result<Decision, Error> {
        let (process, record) = self.managed(caller, process)?;
        if record.life != ProcessLife::Started {
            return Err(Error::InvalidArgument);
        }
        if self.activity.is_suspended(process) {
            return Ok(Decision::nothing(Returned::Nothing));
        }
        Ok(Decision::done(Returned::Nothing, Doing::Suspended { process }))
    }

    pub(crate) fn decide_process_resume(&self, caller: Caller, process: Handle) -> Result<Decision, Error> {
        let (process, record) = self.managed(caller, process)?;
        if record.life != ProcessLife::Started {
            return Err(Error::InvalidArgument);
        }
        if !self.activity.is_suspended(process) {
            return Ok(Decision::nothing(Returned::Nothing));
        }
        Ok(Decision::done(Returned::Nothing, Doing::Resumed { process }))
    }

    pub(crate) fn decide_process_kill(&self, caller: Caller, process: Handle, code: u64) -> Result<Decision, Error> {
        let (process, record) = self.managed(caller, process)?;
        if let ProcessLife::Exited { .. } = record.life {
            return Ok(Decision::nothing(Returned::Nothing));
        }
        Ok(Decision::done(Returned::Nothing, Change::Exited { process, reason: ExitReason::Killed, code }))
    }

    pub(crate) fn decide_process_inspect(&self, caller: Caller, process: Handle) -> Result<Decision, Error> {
        let process = self.process_or_self(caller, process, Rights::INSPECT)?;
        let info = self.process_info(process).ok_or(Error::BadHandle)?;
        Ok(Decision::nothing(Returned::Process(info)))
    }

    /// What is known of a process. The number of its calls is counted at the door, not
    /// here, because a refused call changes no state.
    pub fn process_info(&self, process: ProcessId) -> Option<ProcessInfo> {
        let record = self.authority.processes.get(process.0)?;
        let (state, reason, code) = match record.life {
            ProcessLife::Created => (ProcessState::Created, ExitReason::Exited, 0),
            ProcessLife::Started if self.activity.is_suspended(process) => {
                (ProcessState::Suspended, ExitReason::Exited, 0)
            }
            ProcessLife::Started => (ProcessState::Running, ExitReason::Exited, 0),
            ProcessLife::Exited { reason, code } => (ProcessState::Exited, reason, code),
        };
        Some(ProcessInfo {
            serial: record.serial,
            name: record.name,
            state,
            reason,
            code,
            processor_time: self.activity.processor_time(process),
            calls: 0,
            pages: record.header.pages,
            capabilities: self.authority.tables.get(process.index())?.used,
            threads: record.threads,
        })
    }

    pub(crate) fn decide_process_limit(
        &self,
        caller: Caller,
        process: Handle,
        limits: Limits,
    ) -> Result<Decision, Error> {
        let (process, record) = self.managed(caller, process)?;
        let used = self.authority.tables.get(process.index()).map_or(0, |table| table.used);
        if let ProcessLife::Exited { .. } = record.life {
            return Err(Error::InvalidArgument);
        }
        if limits.capabilities > Table::MAX || limits.capabilities < used {
            return Err(Error::InvalidArgument);
        }
        self.afford(record.header.quota, price(&limits).saturating_sub(price(&record.limits)), 0)?;
        Ok(Decision::done(Returned::Nothing, Change::Limited { process, limits }))
    }

    pub(crate) fn decide_exit(&self, caller: Caller, code: u64) -> Result<Decision, Error> {
        let change = Change::Exited { process: caller.process, reason: ExitReason::Exited, code };
        Ok(Decision::new(Outcome::Blocked, change))
    }

    pub(crate) fn decide_grow(&self, process: ProcessId, pages: u64) -> Result<Decision, Error> {
        let record = self.authority.processes.get(process.0).ok_or(Error::InvalidArgument)?;
        if let ProcessLife::Exited { .. } = record.life {
            return Err(Error::InvalidArgument);
        }
        self.afford(record.header.quota, 0, pages)?;
        Ok(Decision::done(Returned::Nothing, Change::Grown { process, pages }))
    }
}
