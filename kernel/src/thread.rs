//! Threads: one per process on a host where components share no memory, several
//! natively. Here are their records, their making and end, and their faults.

use crate::activity::Activity;
use crate::arena::set;
use crate::authority::{Authority, Header, Witness};
use crate::commit::{Activity as Doing, Authority as Change, Decision, Outcome, Place};
use crate::effect::{Effect, PayloadSource, Sole};
use crate::encoding::{Decode, Encode, Sink, fields, get_array, variants};
use crate::ids::*;
use crate::queue::{Entry, Link, Queue, QueueId};
use crate::quota::THREAD_PRICE;
use crate::schedule::{End, PRIORITIES};
use crate::timer::{Timer, TimerKind};
use crate::{Caller, Kernel};
use abi::message::{FaultKind, MAX_TRANSFERS, TAG_FAULT, Words, fault_words};
use abi::{
    Delivery, DeliveryKind, Error, ExitReason, FOREVER, Handle, Kind, Name, ReplyToken, Returned, Rights, Transfer,
};

/// One thread: what authority knows of it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Thread {
    pub(crate) header: Header,
    /// Whose it is.
    pub process: ProcessId,
    /// Neighbours among the threads of its process.
    pub previous: ThreadId,
    /// See `previous`.
    pub next: ThreadId,
}
fields!(Thread: header process previous next);

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// There is no such thread.
    Absent = 0,
    /// It waits for the processor.
    Ready,
    /// It has the processor.
    Running,
    /// Its process is suspended; it would be ready.
    Suspended,
    /// Its budget is used up; it would be ready.
    Depleted,
    /// Its message waits in a queue, and it with it.
    Sending,
    /// Its call waits in a queue.
    Calling,
    /// Its call was received.
    AwaitingReply,
    /// It waits for a message.
    Receiving,
    /// It has replied and is about to receive; never outlives a step.
    AboutToReceive,
    /// It waits for a notification.
    Waiting,
    /// The host works for it.
    AtHost,
    /// Its fault waits in a queue.
    Faulted,
    /// Its fault was received.
    AwaitingVerdict,
    /// Its fault has nobody to go to at the moment; never outlives a step.
    Orphaned,
}

impl State {
    /// Whether it waits in a call that an error can end.
    pub const fn is_wait(self) -> bool {
        matches!(
            self,
            State::Sending
                | State::Calling
                | State::AwaitingReply
                | State::Receiving
                | State::AboutToReceive
                | State::Waiting
        )
    }
}

/// A time-out is armed.
pub(crate) const TIMED: u8 = 1;
/// Capabilities came with its last delivery.
pub(crate) const ARRIVED: u8 = 2;
/// What it lent is used up: its server works at its own cost.
pub(crate) const SPENT: u8 = 4;
/// The call whose answer it waits for was captured, at the endpoint that it is `on`: so is the answer.
pub(crate) const CAPTURED: u8 = 8;

/// One thread: what it is doing. What IPC touches, kept together.
#[derive(Clone, Debug)]
pub struct ThreadActivity {
    /// What it is doing.
    pub state: State,
    /// With what was lent.
    pub priority: u8,
    /// Its own priority.
    pub base: u8,
    /// [`TIMED`], [`ARRIVED`], [`SPENT`], [`CAPTURED`]: with any of them it is not on the fast path.
    pub flags: u8,
    /// Whose it is.
    pub process: ProcessId,
    /// Number of its last call.
    pub call: u32,
    /// Whose time it uses: its own, or what was lent to it.
    pub payer: ThreadId,
    /// The caller that it serves, who lends to it.
    pub serving: ThreadId,
    /// The thread that serves it, to whom it lends.
    pub server: ThreadId,
    /// The process that may answer it, while nobody serves it.
    pub holder: ProcessId,
    /// The capability through which it waits.
    pub via: CapabilityId,
    /// The endpoint or notification that it waits on.
    pub on: u32,
    /// Neighbours in its queue.
    pub link: Link,
}
fields!(ThreadActivity: state priority base flags process call payer serving server holder via on link);

/// One thread: what only its less frequent paths touch.
#[derive(Clone, Debug)]
pub struct ThreadDetail {
    /// Neighbours among the threads of its process.
    pub previous: ThreadId,
    /// See `previous`.
    pub next: ThreadId,
    /// Processor time in ns that it has paid for.
    pub time: u64,
    /// Processor time in ns that it may use in a period; [`FOREVER`] for no limit.
    pub budget: u64,
    /// The period in ns.
    pub period: u64,
    /// What is left of the budget in this period, in ns.
    pub left: u64,
    /// Its two timers.
    pub timers: [Timer; 2],
    /// The message that it queued: badge, tag, bytes, capabilities.
    pub badge: u64,
    /// See `badge`.
    pub tag: u64,
    /// See `badge`.
    pub length: u32,
    /// See `badge`.
    pub capabilities: u8,
    /// The capabilities that it offers with that message; resolved when it is received.
    pub offers: [Option<Transfer>; MAX_TRANSFERS],
    /// Handles of its last delivery.
    pub arrived: [Handle; MAX_TRANSFERS],
    /// How many.
    pub arrived_count: u8,
    /// What it did that it could not.
    pub fault: Option<Fault>,
    /// What the host checks for it.
    pub checking: Option<Checking>,
}

/// A fault that waits for its verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What it did.
    pub kind: FaultKind,
    /// Where.
    pub detail: u64,
    /// Whether it can go on.
    pub resumable: bool,
}

/// An image that is being checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checking {
    /// The handle of the quota that will pay for it.
    pub quota: Handle,
    /// Bytes.
    pub length: u64,
    /// Its name.
    pub name: Name,
}

fields!(Fault: kind detail resumable);
fields!(Checking: quota length name);
impl Encode for ThreadDetail {
    fn put<S: Sink>(&self, out: &mut S) {
        (self.previous, self.next).put(out);
        (self.time, self.budget).put(out);
        (self.period, self.left).put(out);
        self.timers.iter().for_each(|timer| timer.put(out));
        (self.badge, self.tag).put(out);
        (self.length, self.capabilities).put(out);
        self.offers.iter().for_each(|offer| offer.put(out));
        self.arrived.iter().for_each(|handle| handle.put(out));
        self.arrived_count.put(out);
        (self.fault, self.checking).put(out);
    }
}
impl Decode for ThreadDetail {
    fn get(input: &mut &[u8]) -> Option<ThreadDetail> {
        let (previous, next) = Decode::get(input)?;
        let (time, budget) = Decode::get(input)?;
        let (period, left) = Decode::get(input)?;
        let timers = get_array(input, Timer::NONE)?;
        let (badge, tag) = Decode::get(input)?;
        let (length, capabilities) = Decode::get(input)?;
        let offers = get_array(input, None)?;
        let arrived = get_array(input, Handle::NONE)?;
        let arrived_count = u8::get(input).filter(|&count| usize::from(count) <= MAX_TRANSFERS)?;
        let (fault, checking) = Decode::get(input)?;
        Some(ThreadDetail {
            previous,
            next,
            time,
            budget,
            period,
            left,
            timers,
            badge,
            tag,
            length,
            capabilities,
            offers,
            arrived,
            arrived_count,
            fault,
            checking,
        })
    }
}
fields!(Transfer: handle mode rights badge);

variants!(State: Absent Ready Running Suspended Depleted Sending Calling AwaitingReply Receiving AboutToReceive Waiting
          AtHost Faulted AwaitingVerdict Orphaned);

impl ThreadActivity {
    /// Whether nothing hangs on its wait: no time-out, nothing lent, nothing captured.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags & !ARRIVED == 0 && self.server.is_none() && self.serving.is_none()
    }

    pub(crate) const ABSENT: ThreadActivity = ThreadActivity {
        state: State::Absent,
        priority: 0,
        base: 0,
        flags: 0,
        process: ProcessId::NONE,
        call: 0,
        payer: ThreadId::NONE,
        serving: ThreadId::NONE,
        server: ThreadId::NONE,
        holder: ProcessId::NONE,
        via: CapabilityId::NONE,
        on: u32::MAX,
        link: Link::NONE,
    };
}

impl ThreadDetail {
    pub(crate) const ABSENT: ThreadDetail = ThreadDetail {
        previous: ThreadId::NONE,
        next: ThreadId::NONE,
        time: 0,
        budget: FOREVER,
        period: FOREVER,
        left: FOREVER,
        timers: [Timer::NONE; 2],
        badge: 0,
        tag: 0,
        length: 0,
        capabilities: 0,
        offers: [None; MAX_TRANSFERS],
        arrived: [Handle::NONE; MAX_TRANSFERS],
        arrived_count: 0,
        fault: None,
        checking: None,
    };
}

impl Authority {
    pub(crate) fn thread_created(
        &mut self,
        thread: ThreadId,
        process: ProcessId,
        quota: QuotaId,
        place: Option<Place>,
    ) {
        let Some(record) = self.processes.get_mut(process.0) else { return };
        let next = core::mem::replace(&mut record.first_thread, thread);
        record.threads += 1;
        if let Some(next) = self.threads.get_mut(next.0) {
            next.previous = thread;
        }
        let header = Header::new(quota, THREAD_PRICE, 0);
        self.threads.insert(thread.0, Thread { header, process, previous: ThreadId::NONE, next });
        self.enrol(thread.into());
        if let Some(place) = place {
            self.first_capability(thread.into(), place, Kind::Thread.rights());
        }
    }

    /// A doomed thread; with the last, its process ends.
    pub(crate) fn finish_thread<W: Witness>(&mut self, thread: ThreadId, witness: &mut W) {
        self.end_and_maybe_exit(thread, ExitReason::Killed, witness);
    }

    pub(crate) fn thread_exited<W: Witness>(&mut self, thread: ThreadId, witness: &mut W) {
        self.end_and_maybe_exit(thread, ExitReason::Exited, witness);
    }

    fn end_and_maybe_exit<W: Witness>(&mut self, thread: ThreadId, reason: ExitReason, witness: &mut W) {
        let Some(process) = self.threads.get(thread.0).map(|record| record.process) else { return };
        self.end_thread(thread, witness);
        if self.processes.get(process.0).is_some_and(|record| record.threads == 0) {
            self.exit(process, reason, 0, witness);
        }
    }

    /// The thread goes, with every capability to it.
    pub(crate) fn end_thread<W: Witness>(&mut self, thread: ThreadId, witness: &mut W) {
        self.remove_capabilities_of(thread.into(), witness);
        let Some(&Thread { process, previous, next, .. }) = self.threads.get(thread.0) else { return };
        match self.threads.get_mut(previous.0) {
            Some(previous) => previous.next = next,
            None => {
                if let Some(process) = self.processes.get_mut(process.0) {
                    process.first_thread = next;
                }
            }
        }
        if let Some(next) = self.threads.get_mut(next.0) {
            next.previous = previous;
        }
        if let Some(process) = self.processes.get_mut(process.0) {
            process.threads -= 1;
        }
        self.free(thread.into(), witness);
    }
}

impl Activity {
    /// A new thread, ready. It has the priority and the budget of the thread that made it.
    pub(crate) fn thread_started(
        &mut self,
        thread: ThreadId,
        process: ProcessId,
        maker: ThreadId,
        priority: u8,
        entry: Option<[u64; 3]>,
    ) {
        let budget = self.details.get(maker.index()).map_or((FOREVER, FOREVER), |maker| (maker.budget, maker.period));
        let next = core::mem::replace(&mut self.process(process).first_thread, thread);
        self.detail(next).previous = thread;
        // Calls are numbered on from the last thread of this number, so that no reply
        // that someone kept answers a call that it was not given for.
        let call = self.view(thread).call;
        let record =
            ThreadActivity { call, priority, base: priority, process, payer: thread, ..ThreadActivity::ABSENT };
        let detail = ThreadDetail { next, budget: budget.0, period: budget.1, left: budget.0, ..ThreadDetail::ABSENT };
        set(&mut self.threads, thread.index(), record);
        set(&mut self.details, thread.index(), detail);
        let startup = (entry.is_none() && !maker.is_none()).then_some(maker);
        self.effects.push_back(Effect::ThreadStarted { thread, process, startup, entry });
        self.make_ready(thread, End::Back);
    }

    /// The thread is gone. Whom it served may still be answered by its process.
    pub(crate) fn thread_gone(&mut self, thread: ThreadId) {
        let process = self.thread(thread).process;
        self.stop_serving(thread);
        self.detach(thread);
        self.cancel(thread, TimerKind::Replenishment);
        if self.current == thread {
            self.current = ThreadId::NONE;
        }
        let ThreadDetail { previous, next, time, .. } = *self.detail(thread);
        if previous.is_none() {
            self.process(process).first_thread = next;
        } else {
            self.detail(previous).next = next;
        }
        self.detail(next).previous = previous;
        self.process(process).time += time;
        let call = self.thread(thread).call;
        *self.thread(thread) = ThreadActivity { call, ..ThreadActivity::ABSENT };
        *self.detail(thread) = ThreadDetail::ABSENT;
        self.effects.push_back(Effect::ThreadGone(thread));
    }

    /// The thread has a fault: its supervisor is told, it waits for the verdict.
    #[inline(always)]
    pub(crate) fn faulted(
        &mut self,
        thread: ThreadId,
        fault: Fault,
        supervisor: Option<(EndpointId, u64)>,
        authority: &Authority,
    ) {
        if !supervisor.is_some_and(|(endpoint, _)| self.hand_over_fault(thread, fault, endpoint)) {
            self.queue_fault(thread, fault, supervisor, authority);
        }
    }

    /// Whether this thread, plain and in no queue, would be the one that runs next if it were ready now and
    /// nobody ran.
    #[inline(always)]
    fn is_next(&self, thread: ThreadId) -> bool {
        let record = self.view(thread);
        self.ready_priorities >> record.priority == 0
            && record.is_plain()
            && !self.is_suspended(record.process)
            && self.detail_view(thread).left != 0
    }

    /// Gives the fault of the running thread to a supervisor that waits and runs next. False, and nothing is done:
    /// something is out of the ordinary.
    #[inline(always)]
    fn hand_over_fault(&mut self, thread: ThreadId, fault: Fault, endpoint: EndpointId) -> bool {
        let waiting = self.endpoints.get(endpoint.index()).map_or(Queue::EMPTY, |endpoint| endpoint.open.receivers);
        let to = waiting.head.as_thread();
        let judge = self.view(to);
        let plain = self.current == thread && self.view(thread).is_plain() && judge.flags == 0;
        if !plain || judge.state != State::Receiving || !self.is_next(to) || !self.is_silent() {
            return false;
        }
        let holder = judge.process;
        self.detail(thread).fault = Some(fault);
        let record = self.thread(thread);
        record.state = State::AwaitingVerdict;
        record.call = record.call.wrapping_add(1).max(1);
        (record.on, record.holder) = (endpoint.0, holder);
        if let Some(process) = self.processes.get_mut(holder.index()) {
            process.held.append(thread, &mut self.threads);
        }
        if let Some(endpoint) = self.endpoints.get_mut(endpoint.index()) {
            endpoint.open.receivers.take_first(&mut self.threads);
        }
        self.thread(to).state = State::Running;
        self.current = to;
        self.sole = Some(Sole::Fault { to, thread });
        true
    }

    fn queue_fault(
        &mut self,
        thread: ThreadId,
        fault: Fault,
        supervisor: Option<(EndpointId, u64)>,
        authority: &Authority,
    ) {
        self.leave(thread);
        self.detail(thread).fault = Some(fault);
        let record = self.thread(thread);
        record.call = record.call.wrapping_add(1).max(1);
        match supervisor {
            None => {
                record.state = State::Orphaned;
                self.push(QueueId::Orphans, Entry::thread(thread));
            }
            Some((endpoint, badge)) => {
                record.state = State::Faulted;
                record.on = endpoint.0;
                match self.first_thread(QueueId::Receivers(endpoint)) {
                    Some(receiver) => self.deliver_fault(thread, receiver, badge, authority),
                    None => self.push(QueueId::Senders(endpoint), Entry::thread(thread)),
                }
            }
        }
    }

    /// A thread whose fault was queued or received has nobody to judge it any longer.
    pub(crate) fn orphan(&mut self, thread: ThreadId) {
        self.detach(thread);
        self.thread(thread).state = State::Orphaned;
        self.push(QueueId::Orphans, Entry::thread(thread));
    }

    /// Gives the fault of a thread, which is in no queue, to a receiver.
    pub(crate) fn deliver_fault(&mut self, thread: ThreadId, receiver: ThreadId, badge: u64, authority: &Authority) {
        let holder = self.thread(receiver).process;
        let record = self.thread(thread);
        record.state = State::AwaitingVerdict;
        record.holder = holder;
        self.push(QueueId::Held(holder), Entry::thread(thread));
        let (words, delivery) = self.fault_of(thread, badge, authority);
        self.deliver(receiver, PayloadSource::Kernel(words), delivery);
    }

    /// What the supervisor is told of a thread's fault.
    #[inline(always)]
    fn fault_of(&self, thread: ThreadId, badge: u64, authority: &Authority) -> (Words, Delivery) {
        let (record, fault) = (self.view(thread), self.detail_view(thread).fault);
        let (kind, detail) = fault.map_or((FaultKind::Trap, 0), |fault| (fault.kind, fault.detail));
        let serial = authority.processes.get(record.process.0).map_or(0, |process| process.serial);
        let reply = ReplyToken::new(thread.0, record.call);
        let delivery = Delivery { kind: DeliveryKind::Fault, capabilities: 0, length: 0, badge, tag: TAG_FAULT, reply };
        (fault_words(kind, detail, serial, thread.0.into()), delivery)
    }

    /// The verdict was to go on.
    pub(crate) fn fault_resumed(&mut self, thread: ThreadId) {
        self.detach(thread);
        self.detail(thread).fault = None;
        self.make_ready(thread, End::Back);
    }

    /// The verdict was to go on; who gave it waits for the next message.
    #[inline(always)]
    pub(crate) fn judged(&mut self, server: ThreadId, thread: ThreadId, via: CapabilityId, authority: &Authority) {
        let endpoint = authority.capabilities.get(via).map_or(EndpointId::NONE, |via| EndpointId(via.index));
        if !self.hand_back(server, thread, via, endpoint) {
            self.fault_resumed(thread);
            self.receiving(server, via, FOREVER, authority);
        }
    }

    /// The same, if the thread whose fault it was runs next. False, and nothing is done: it does not, or something is
    /// out of the ordinary.
    #[inline(always)]
    fn hand_back(&mut self, server: ThreadId, thread: ThreadId, via: CapabilityId, endpoint: EndpointId) -> bool {
        let plain = self.current == server && self.view(server).is_plain() && self.about_to_receive.is_none();
        let record = self.view(thread);
        if !plain || record.state != State::AwaitingVerdict || !self.is_next(thread) {
            return false;
        }
        let holder = record.holder;
        let Some(queue) = self.endpoints.get_mut(endpoint.index()).map(|endpoint| &mut endpoint.open) else {
            return false;
        };
        if !queue.senders.is_empty() {
            return false;
        }
        queue.receivers.append(server, &mut self.threads);
        let record = self.thread(server);
        record.state = State::Receiving;
        (record.via, record.on) = (via, endpoint.0);
        if let Some(process) = self.processes.get_mut(holder.index()) {
            process.held.take_out(thread, &mut self.threads);
        }
        self.detail(thread).fault = None;
        self.thread(thread).state = State::Running;
        self.current = thread;
        true
    }

    /// Processor time in ns that a process has paid for so far.
    pub(crate) fn processor_time(&self, process: ProcessId) -> u64 {
        let Some(record) = self.processes.get(process.index()) else { return 0 };
        let mut time = record.time;
        let mut thread = record.first_thread;
        while let Some(detail) = self.details.get(thread.index()) {
            time += detail.time;
            thread = detail.next;
        }
        time
    }
}

impl Kernel {
    pub(crate) fn decide_thread_create(
        &self,
        caller: Caller,
        quota: Handle,
        entry: [u64; 3],
    ) -> Result<Decision, Error> {
        if self.platform.threads_per_process == 1 {
            return Err(Error::Unsupported);
        }
        let quota = self.paying(caller, quota)?;
        let process = self.authority.processes.get(caller.process.0).ok_or(Error::InvalidArgument)?;
        if process.threads >= self.platform.threads_per_process {
            return Err(Error::QuotaExceeded);
        }
        self.afford(quota, THREAD_PRICE, 0)?;
        let place = self.place(caller.process, 0)?;
        let thread = ThreadId(self.authority.threads.vacant()?);
        let change =
            Change::ThreadCreated { thread, process: caller.process, quota, creator: caller.thread, entry, place };
        Ok(Decision::done(Returned::Handle(self.handle_at(place)), change))
    }

    /// Nobody gives more than the caller itself has: of priority, or of time per period.
    pub(crate) fn decide_thread_configure(
        &self,
        caller: Caller,
        thread: Handle,
        priority: u8,
        budget: u64,
        period: u64,
    ) -> Result<Decision, Error> {
        let thread = if thread.is_none() {
            caller.thread
        } else {
            ThreadId(self.authority.lookup(caller.process, thread, Kind::Thread, Rights::MANAGE, caller.now)?.1.index)
        };
        let own = self.activity.detail_view(caller.thread);
        let within = match (own.budget, budget) {
            (FOREVER, _) => true,
            (_, FOREVER) => false,
            // Neither more at once nor a larger share.
            _ => {
                budget <= own.budget
                    && u128::from(budget) * u128::from(own.period) <= u128::from(own.budget) * u128::from(period)
            }
        };
        let sound = budget == FOREVER || (0 < budget && budget <= period && period < FOREVER);
        if priority >= PRIORITIES || priority > self.activity.view(caller.thread).base || !sound || !within {
            return Err(Error::InvalidArgument);
        }
        Ok(Decision::done(Returned::Nothing, Doing::Configured { thread, priority, budget, period }))
    }

    /// What the supervisor of a thread that waits for a verdict was told of its fault.
    #[inline(always)]
    pub fn fault_of(&self, thread: ThreadId) -> (Words, Delivery) {
        let supervisor = self.authority.supervisor(self.activity.view(thread).process);
        self.activity.fault_of(thread, supervisor.map_or(0, |(_, badge)| badge), &self.authority)
    }

    pub(crate) fn decide_thread_exit(&self, caller: Caller) -> Result<Decision, Error> {
        Ok(Decision::new(Outcome::Blocked, Change::ThreadExited { thread: caller.thread }))
    }

    /// A fault goes to the supervisor; where there is none, the process ends.
    pub(crate) fn decide_fault(
        &self,
        thread: ThreadId,
        kind: FaultKind,
        detail: u64,
        resumable: bool,
    ) -> Result<Decision, Error> {
        let record = self.activity.view(thread);
        if matches!(record.state, State::Absent | State::Faulted | State::AwaitingVerdict | State::Orphaned) {
            return Err(Error::InvalidArgument);
        }
        Ok(match self.authority.supervisor(record.process) {
            Some(_) => Decision::new(Outcome::Blocked, Doing::Faulted { thread, kind, detail, resumable }),
            None => Decision::new(
                Outcome::Blocked,
                Change::Exited { process: record.process, reason: ExitReason::Faulted, code: kind as u64 },
            ),
        })
    }
}
