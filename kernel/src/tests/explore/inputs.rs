//! What can happen in the small system: every call of every thread that could run, with the few arguments that make a
//! difference, and all that a host reports.

use super::super::machine::LINE;
use crate::ids::*;
use crate::thread::State;
use crate::{Input, Kernel};
use abi::device::Operation;
use abi::info::Limits;
use abi::message::{FaultKind, VERDICT_KILL, VERDICT_RESUME};
use abi::{Error, FOREVER, Handle, Kind, Message, Name, Number, ReplyToken, Request, Rights, Transfer, TransferMode};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// One thing that can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A call of a thread. `a` and `b` are slots of its process's table or numbers of threads, as the call needs;
    /// `way` chooses among the rest.
    Call { thread: u8, number: Number, a: u8, b: u8, way: Way },
    /// Time passes until something is due.
    Tick,
    /// The slice of who runs is over.
    Preempt,
    /// The line comes.
    Line,
    /// A thread that could run does what it cannot.
    Fault { thread: u8, resumable: bool },
    /// A process grows by a page.
    Grow { process: u8 },
    /// The host has checked an image.
    Checked { thread: u8, good: bool },
}

/// How a call is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// As it is; where it can wait, for ever.
    Plain,
    /// It waits not at all; or it asks for all rights by name.
    Once,
    /// It waits for 10 ns; or it gives until then.
    Timed,
    /// The capability in slot `b` is derived for the receiver.
    Derive,
    /// The capability in slot `b` goes to the receiver.
    Move,
    /// The right to answer thread `b` goes to the receiver.
    Reply,
    /// The other choice: fewer rights and a badge, the other verdict, less.
    Other,
    /// Its first handle is one that the slot had before.
    Stale,
}

/// How large the system may become.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records of processes.
    pub processes: u32,
    /// Threads.
    pub threads: u32,
    /// Capabilities of one process, as far as it makes them itself.
    pub capabilities: u32,
    /// Capabilities of all, as far as messages make them.
    pub all_capabilities: u32,
    /// Objects of any other kind, of each.
    pub objects: u32,
    /// Only messages, waits and who ends, so that more of these come one after the other.
    pub messages_only: bool,
}

/// So long, in ns, are waits and lives that end.
const SHORT: u64 = 10;
const NONE: u8 = u8::MAX;

/// Everything that can happen next.
pub fn all(kernel: &Kernel, bounds: &Bounds) -> Vec<Event> {
    let mut events = Vec::new();
    let activity = &kernel.activity;
    if kernel.deadline().is_some() {
        events.push(Event::Tick);
    }
    if kernel.current().is_some() {
        events.push(Event::Preempt);
    }
    if activity.interrupts.get(LINE.index()).is_some_and(|line| line.open) {
        events.push(Event::Line);
    }
    for (thread, record) in (0u8..).zip(&activity.threads) {
        match record.state {
            State::Ready | State::Running => {
                Calls { kernel, bounds, thread, process: record.process, events: &mut events }.all();
                if thread != 0 {
                    events.push(Event::Fault { thread, resumable: thread == 1 });
                }
            }
            State::AtHost => events.extend([true, false].map(|good| Event::Checked { thread, good })),
            _ => {}
        }
    }
    if !bounds.messages_only && kernel.authority.processes.get(1u32).is_some_and(|process| process.header.pages == 0) {
        events.push(Event::Grow { process: 1 });
    }
    events
}

/// The calls of one thread.
struct Calls<'a> {
    kernel: &'a Kernel,
    bounds: &'a Bounds,
    thread: u8,
    process: ProcessId,
    events: &'a mut Vec<Event>,
}

impl Calls<'_> {
    fn add(&mut self, number: Number, a: u8, b: u8, ways: &[Way]) {
        let thread = self.thread;
        self.events.extend(ways.iter().map(|&way| Event::Call { thread, number, a, b, way }));
    }

    /// The slots in which a capability to such an object is.
    fn slots(&self, kinds: &[Kind]) -> Vec<u8> {
        let Some(table) = self.kernel.authority.tables.get(self.process.index()) else { return Vec::new() };
        let named = |id| self.kernel.authority.capabilities.get(id).is_some_and(|record| kinds.contains(&record.kind));
        let used = (0u8..).zip(&table.slots).filter(|(_, cell)| !cell.is_free() && named(cell.capability));
        used.map(|(slot, _)| slot).collect()
    }

    fn each(&mut self, number: Number, kind: Kind, ways: &[Way]) {
        for slot in self.slots(&[kind]) {
            self.add(number, slot, NONE, ways);
        }
    }

    fn pairs(&mut self, number: Number, first: Kind, second: Kind, ways: &[Way]) {
        for a in self.slots(&[first]) {
            for b in self.slots(&[second]) {
                self.add(number, a, b, ways);
            }
        }
    }

    fn all(&mut self) {
        self.messages();
        self.lives();
        if !self.bounds.messages_only {
            self.capabilities();
            self.objects();
            self.devices();
        }
        self.stale();
    }

    fn messages(&mut self) {
        use Way::*;
        let endpoints = self.slots(&[Kind::Endpoint]);
        // The newest of each kind: what was there at first is held by others too.
        let newest = [Kind::Endpoint, Kind::Notification].map(|kind| self.slots(&[kind]).last().copied());
        let room = self.kernel.authority.capabilities.len() < self.bounds.all_capabilities;
        let transfers: &[Way] = if room { &[Derive, Move] } else { &[Move] };
        let replies = self.replies();
        for &endpoint in &endpoints {
            self.add(Number::Send, endpoint, NONE, &[Plain, Once, Timed]);
            self.add(Number::Call, endpoint, NONE, &[Plain, Timed]);
            self.add(Number::Receive, endpoint, NONE, &[Plain, Once, Timed]);
            for offered in newest.into_iter().flatten() {
                self.add(Number::Send, endpoint, offered, transfers);
                self.add(Number::Call, endpoint, offered, transfers);
            }
            for &reply in &replies {
                self.add(Number::Send, endpoint, reply, &[Reply]);
                self.add(Number::Call, endpoint, reply, &[Reply]);
                self.add(Number::ReplyReceive, endpoint, reply, &[Plain, Timed, Other]);
            }
        }
        for &reply in &replies {
            self.add(Number::Reply, reply, NONE, &[Plain, Other]);
            for offered in newest.into_iter().flatten() {
                self.add(Number::Reply, reply, offered, transfers);
            }
        }
        self.each(Number::Signal, Kind::Notification, &[Plain]);
        self.each(Number::Wait, Kind::Notification, &[Plain, Timed]);
        self.each(Number::Poll, Kind::Notification, &[Plain]);
        self.pairs(Number::NotificationBind, Kind::Notification, Kind::Endpoint, &[Plain]);
        self.each(Number::NotificationUnbind, Kind::Notification, &[Plain]);
        self.each(Number::CaptureBegin, Kind::Endpoint, &[Plain]);
        self.each(Number::CaptureEnd, Kind::Endpoint, &[Plain]);
        self.add(Number::Yield, NONE, NONE, &[Plain]);
    }

    /// Threads whose call the process may answer.
    fn replies(&self) -> Vec<u8> {
        let may = |thread: u8, call| self.kernel.answerable(self.process, ReplyToken::new(thread.into(), call)).is_ok();
        let threads = (0u8..).zip(&self.kernel.activity.threads);
        threads.filter(|(thread, record)| may(*thread, record.call)).map(|(thread, _)| thread).collect()
    }

    fn lives(&mut self) {
        use Way::*;
        for number in [Number::ProcessSuspend, Number::ProcessResume, Number::ProcessKill] {
            self.each(number, Kind::Process, &[Plain]);
        }
        if self.thread != 0 {
            self.add(Number::Exit, NONE, NONE, &[Plain]);
            self.add(Number::ThreadExit, NONE, NONE, &[Plain]);
        }
        if self.thread == 1 {
            self.add(Number::ThreadConfigure, NONE, NONE, &[Plain, Timed, Other]);
        }
    }

    fn capabilities(&mut self) {
        use Way::*;
        let kernel = self.kernel;
        let held = kernel.authority.tables.get(self.process.index()).map_or(0, |table| table.used);
        for slot in self.slots(&Kind::ALL) {
            self.add(Number::Inspect, NONE, slot, &[Plain]);
        }
        // Of what the host gave, the line alone stands in something else; to be without the others shows nothing.
        use Kind::*;
        for slot in self.slots(&[Endpoint, Notification, Region, Process, Thread, Quota, Interrupt]) {
            let given = self.thread == 0 && slot < 2;
            if !given {
                self.add(Number::Delete, slot, NONE, &[Plain]);
                self.add(Number::Destroy, slot, NONE, &[Plain]);
            }
            self.add(Number::Revoke, slot, NONE, &[Plain]);
        }
        if held < self.bounds.capabilities {
            for kind in [Kind::Quota, Kind::Region, Kind::Process, Kind::Thread] {
                self.each(Number::Derive, kind, &[Other]);
            }
            self.each(Number::Derive, Kind::Endpoint, &[Plain, Once, Timed, Other]);
            self.each(Number::Derive, Kind::Notification, &[Plain]);
        }
        self.each(Number::Inspect, Kind::Process, &[Plain]);
    }

    fn objects(&mut self) {
        use Way::*;
        let (kernel, bounds) = (self.kernel, *self.bounds);
        let authority = &kernel.authority;
        let held = authority.tables.get(self.process.index()).map_or(0, |table| table.used);
        let room = held < bounds.capabilities;
        let mut make = |number, there: u32, most: u32, ways: &[Way]| {
            if room && there < most {
                self.each(number, Kind::Quota, ways);
            }
        };
        make(Number::EndpointCreate, authority.endpoints.len(), bounds.objects, &[Plain, Other]);
        make(Number::NotificationCreate, authority.notifications.len(), bounds.objects, &[Plain]);
        make(Number::RegionCreate, authority.regions.len(), 1, &[Plain]);
        make(Number::QuotaSplit, authority.quotas.len(), bounds.objects + 1, &[Plain]);
        make(Number::ThreadCreate, authority.threads.len(), bounds.threads, &[Plain]);
        if room && authority.processes.len() < bounds.processes && !self.slots(&[Kind::Image]).is_empty() {
            self.pairs(Number::ProcessCreate, Kind::Quota, Kind::Endpoint, &[Plain]);
        }
        for process in self.slots(&[Kind::Process]) {
            for source in self.slots(&[Kind::Endpoint, Kind::Notification, Kind::Quota]) {
                self.add(Number::ProcessGrant, process, source, &[Plain, Other]);
            }
            self.add(Number::ProcessStart, process, NONE, &[Plain]);
            self.add(Number::ProcessInspect, process, NONE, &[Plain]);
            self.add(Number::ProcessLimit, process, NONE, &[Plain, Other]);
        }
        self.add(Number::ProcessInspect, NONE, NONE, &[Plain]);
        self.add(Number::Startup, NONE, NONE, &[Plain]);
        self.each(Number::ThreadConfigure, Kind::Thread, &[Plain]);
        self.each(Number::QuotaInspect, Kind::Quota, &[Plain]);
        for number in [Number::RegionRead, Number::RegionWrite, Number::RegionUnmap] {
            self.each(number, Kind::Region, &[Plain]);
        }
        self.each(Number::RegionMap, Kind::Region, &[Plain, Timed, Other]);
        if room && authority.images.len() < 3 {
            self.pairs(Number::ImageCreate, Kind::Quota, Kind::Region, &[Plain]);
        }
    }

    fn devices(&mut self) {
        use Way::*;
        self.pairs(Number::InterruptBind, Kind::Interrupt, Kind::Notification, &[Plain]);
        for number in [Number::InterruptUnbind, Number::InterruptAcknowledge] {
            self.each(number, Kind::Interrupt, &[Plain]);
        }
        for number in [Number::DeviceRead, Number::DeviceWrite, Number::DeviceSubmit, Number::DeviceComplete] {
            self.each(number, Kind::Device, &[Plain]);
        }
        self.pairs(Number::DeviceAddress, Kind::Device, Kind::Region, &[Plain]);
        self.each(Number::LogRead, Kind::Log, &[Plain]);
        self.add(Number::Debug, NONE, NONE, &[Plain]);
    }

    /// Every call that takes a handle, with one that the slot had before: each is refused.
    fn stale(&mut self) {
        let takes_none = [
            Number::Yield,
            Number::Exit,
            Number::Startup,
            Number::ThreadExit,
            Number::Debug,
            Number::Reply,
            Number::ThreadConfigure,
            Number::ProcessInspect,
            Number::Inspect,
        ];
        for &number in Number::ALL {
            if !takes_none.contains(&number) {
                self.add(number, 0, NONE, &[Way::Stale]);
            }
        }
    }
}

/// Calls `then` with the input that an event is.
pub fn with<T>(kernel: &Kernel, event: Event, then: impl FnOnce(&Input<'_>, u64) -> T) -> T {
    let now = kernel.activity.clock;
    let thread = |number: u8| ThreadId(number.into());
    match event {
        Event::Tick => then(&Input::Tick, kernel.deadline().unwrap_or(now).max(now)),
        Event::Preempt => then(&Input::Preempt, now),
        Event::Line => then(&Input::Interrupt(LINE), now),
        Event::Fault { thread: who, resumable } => {
            then(&Input::Fault { thread: thread(who), kind: FaultKind::Trap, detail: 0, resumable }, now)
        }
        Event::Grow { process } => then(&Input::Grow { process: ProcessId(process.into()), pages: 1 }, now),
        Event::Checked { thread: who, good } => {
            let result = if good { Ok([9; 32]) } else { Err(Error::InvalidArgument) };
            then(&Input::HostDone { thread: thread(who), result }, now)
        }
        Event::Call { thread: who, number, a, b, way } => {
            let caller = thread(who);
            let process = kernel.activity.view(caller).process;
            let arguments = Arguments { kernel, process, way, now };
            arguments.request(number, a, b, |request| then(&Input::Call { thread: caller, request }, now))
        }
    }
}

struct Arguments<'a> {
    kernel: &'a Kernel,
    process: ProcessId,
    way: Way,
    now: u64,
}

impl Arguments<'_> {
    fn handle(&self, slot: u8) -> Handle {
        let table = self.kernel.authority.tables.get(self.process.index());
        match table.and_then(|table| table.slots.get(usize::from(slot))) {
            Some(cell) => Handle::new(slot.into(), cell.generation),
            None => Handle::NONE,
        }
    }

    /// The first handle of the call: of the slot, or one that it had before.
    fn first(&self, slot: u8) -> Handle {
        let handle = self.handle(slot);
        if self.way == Way::Stale { Handle::new(handle.slot(), handle.generation().wrapping_sub(1)) } else { handle }
    }

    fn reply(&self, thread: u8) -> ReplyToken {
        ReplyToken::new(thread.into(), self.kernel.activity.view(ThreadId(thread.into())).call)
    }

    /// The first slot in which there is a capability to an object of this kind.
    fn any(&self, kind: Kind) -> Handle {
        let table = self.kernel.authority.tables.get(self.process.index());
        let slots = table.map_or(&[][..], |table| &table.slots[..]);
        let named = |id| self.kernel.authority.capabilities.get(id).is_some_and(|record| record.kind == kind);
        let slot = slots.iter().position(|cell| !cell.is_free() && named(cell.capability));
        slot.map_or(Handle::NONE, |slot| self.handle(slot as u8))
    }

    fn request<T>(&self, number: Number, a: u8, b: u8, then: impl FnOnce(&Request<'_>) -> T) -> T {
        let timeout = match self.way {
            Way::Once => 0,
            Way::Timed => SHORT,
            _ => FOREVER,
        };
        let offer = |handle, mode| [Transfer { handle, mode, rights: Rights::ALL, badge: 0 }];
        let offers = match self.way {
            Way::Derive => Some(offer(self.handle(b), TransferMode::Derive)),
            Way::Move => Some(offer(self.handle(b), TransferMode::Move)),
            Way::Reply => Some(offer(Handle(self.reply(b).0), TransferMode::Reply)),
            _ => None,
        };
        let transfers = offers.as_ref().map_or(&[][..], |offers| &offers[..]);
        let tag = if self.way == Way::Other { VERDICT_KILL } else { VERDICT_RESUME };
        let message = Message { tag, length: 16, transfers };
        let (first, second) = (self.first(a), self.handle(b));
        let other = self.way == Way::Other;
        let badge = if other { 7 } else { 0 };
        let expiry = if self.way == Way::Timed { self.now + SHORT } else { FOREVER };
        let limits = Limits { capabilities: if other { 2 } else { 6 }, queued_messages: 2, processor_time: FOREVER };
        let name = Name::new("small");
        let request = match number {
            Number::Send => Request::Send { endpoint: first, message, timeout },
            Number::Call => Request::Call { endpoint: first, message, timeout },
            Number::Receive => Request::Receive { endpoint: first, timeout },
            Number::Reply => Request::Reply { reply: self.reply(a), message },
            Number::ReplyReceive => Request::ReplyReceive { endpoint: first, reply: self.reply(b), message, timeout },
            Number::Signal => Request::Signal { notification: first, bits: 1 },
            Number::Wait => Request::Wait { notification: first, timeout },
            Number::Poll => Request::Poll { notification: first },
            Number::Yield => Request::Yield,
            Number::Derive => {
                let rights = match self.way {
                    Way::Other => self.fewer(first),
                    // By name, whether the capability has them or not.
                    Way::Once => Kind::Endpoint.rights(),
                    _ => Rights::ALL,
                };
                Request::Derive { source: first, rights, badge, expiry }
            }
            Number::Delete => Request::Delete { handle: first },
            Number::Revoke => Request::Revoke { handle: first },
            Number::Destroy => Request::Destroy { handle: first },
            Number::Inspect => Request::Inspect { process: first, slot: b.into(), ancestor: 1 },
            Number::EndpointCreate => Request::EndpointCreate { quota: first, depth: u32::from(!other) },
            Number::NotificationCreate => Request::NotificationCreate { quota: first },
            Number::NotificationBind => Request::NotificationBind { notification: first, endpoint: second },
            Number::NotificationUnbind => Request::NotificationUnbind { notification: first },
            Number::CaptureBegin => Request::CaptureBegin { endpoint: first },
            Number::CaptureEnd => Request::CaptureEnd { endpoint: first },
            Number::ProcessCreate => {
                let image = if self.way == Way::Stale { first } else { self.any(Kind::Image) };
                Request::ProcessCreate { image, quota: first, supervisor: second, name, limits }
            }
            Number::ProcessGrant => {
                let rights = if other { self.fewer(second) } else { Rights::ALL };
                Request::ProcessGrant { process: first, source: second, rights, badge: 0, expiry }
            }
            Number::ProcessStart => Request::ProcessStart { process: first, length: 0 },
            Number::ProcessSuspend => Request::ProcessSuspend { process: first },
            Number::ProcessResume => Request::ProcessResume { process: first },
            Number::ProcessKill => Request::ProcessKill { process: first, code: 1 },
            Number::ProcessInspect => Request::ProcessInspect { process: first },
            Number::ProcessLimit => Request::ProcessLimit { process: first, limits },
            Number::Exit => Request::Exit { code: 0 },
            Number::Startup => Request::Startup,
            Number::ThreadCreate => Request::ThreadCreate { quota: first, entry: 1, stack: 2, argument: 3 },
            Number::ThreadConfigure => match self.way {
                Way::Timed => {
                    Request::ThreadConfigure { thread: first, priority: 16, budget: SHORT, period: 3 * SHORT }
                }
                Way::Other => Request::ThreadConfigure { thread: first, priority: 15, budget: FOREVER, period: 0 },
                _ => Request::ThreadConfigure { thread: first, priority: 16, budget: FOREVER, period: 0 },
            },
            Number::ThreadExit => Request::ThreadExit,
            Number::RegionCreate => Request::RegionCreate { quota: first, pages: 1 },
            Number::RegionRead => Request::RegionRead { region: first, offset: 0, length: 16 },
            Number::RegionWrite => Request::RegionWrite { region: first, offset: 0, length: 16 },
            Number::RegionMap => {
                let rights = match self.way {
                    Way::Timed => Rights(Rights::READ.0 | Rights::EXECUTE.0),
                    Way::Other => Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::EXECUTE.0),
                    _ => Rights(Rights::READ.0 | Rights::WRITE.0),
                };
                Request::RegionMap { region: first, address: 0x4000, rights }
            }
            Number::RegionUnmap => Request::RegionUnmap { region: first, address: 0x4000 },
            Number::ImageCreate => Request::ImageCreate { quota: first, region: second, length: 16, name },
            Number::InterruptBind => Request::InterruptBind { interrupt: first, notification: second, bits: 2 },
            Number::InterruptUnbind => Request::InterruptUnbind { interrupt: first },
            Number::InterruptAcknowledge => Request::InterruptAcknowledge { interrupt: first },
            Number::DeviceRead => Request::DeviceRead { device: first, register: 0 },
            Number::DeviceWrite => Request::DeviceWrite { device: first, register: 0, value: 0 },
            Number::DeviceSubmit => {
                Request::DeviceSubmit { device: first, operation: Operation::Read, a: 0, b: 0, length: 0 }
            }
            Number::DeviceComplete => Request::DeviceComplete { device: first },
            Number::DeviceAddress => Request::DeviceAddress { device: first, region: second, page: 0 },
            Number::QuotaSplit => Request::QuotaSplit { quota: first, memory: 200_000, pages: 2 },
            Number::QuotaInspect => Request::QuotaInspect { quota: first },
            Number::LogRead => Request::LogRead { log: first, from: 0, length: 16 },
            Number::Debug => Request::Debug { length: 16 },
        };
        then(&request)
    }

    /// Fewer rights than a capability can have: of an endpoint to send, of another object all but to manage it.
    fn fewer(&self, handle: Handle) -> Rights {
        match self.kernel.authority.resolve(self.process, handle).map(|(_, record)| record.kind) {
            Ok(Kind::Endpoint) => Rights::SEND,
            Ok(kind) => Rights(kind.rights().0 & !Rights::MANAGE.0),
            Err(_) => Rights::ALL,
        }
    }
}

/// An event in words, before it happens.
pub fn in_words(kernel: &Kernel, event: Event) -> String {
    let Event::Call { thread, number, a, b, way } = event else { return format!("{event:?}") };
    let process = kernel.activity.view(ThreadId(thread.into())).process;
    let slot = |slot: u8| match kernel.capability_at(process, slot.into()) {
        _ if slot == NONE => String::new(),
        Some(info) => format!(" {} {} (slot {slot}, {})", info.kind.name(), info.object, info.rights),
        None => format!(" {slot}"),
    };
    format!("thread {thread} of process {}: {}{}{}, {way:?}", process.0, number.name(), slot(a), slot(b))
}
