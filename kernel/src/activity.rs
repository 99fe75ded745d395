//! Activity: which threads wait where, which messages are queued, who runs. It hears
//! from authority what is gone, and makes the effects for the host.

use crate::arena::{Arena, set};
use crate::authority::{Authority, Consequence, Witness};
use crate::commit::{Activity as Change, Authority as Granted, MAX_COMMITS};
use crate::effect::{Effect, PayloadSource, Sole};
use crate::encoding::{Decode, Encode, Sink, get_array};
use crate::endpoint::{EndpointActivity, Message};
use crate::ids::*;
use crate::interrupt::InterruptActivity;
use crate::notification::NotificationActivity;
use crate::process::ProcessActivity;
use crate::queue::{Entry, Link, Queue, QueueId, Queued};
use crate::region::Mapping;
use crate::schedule::{End, PRIORITIES};
use crate::thread::{ARRIVED, CAPTURED, Fault, SPENT, State, TIMED, ThreadActivity, ThreadDetail};
use crate::timer::TimerKind;
use abi::{Delivery, Error, FOREVER, Handle, Kind, Returned};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The activity half of the state.
#[cfg_attr(test, derive(Clone))]
pub struct Activity {
    pub(crate) threads: Vec<ThreadActivity>,
    pub(crate) details: Vec<ThreadDetail>,
    pub(crate) processes: Vec<ProcessActivity>,
    pub(crate) endpoints: Vec<EndpointActivity>,
    pub(crate) notifications: Vec<NotificationActivity>,
    pub(crate) interrupts: Vec<InterruptActivity>,
    pub(crate) messages: Arena<Message>,
    /// Bytes that queued messages cost, by the quota that pays.
    pub(crate) queued: Vec<u64>,
    /// Queued messages, by the quota that pays. Not part of the state's bytes, which have them one by one.
    pub(crate) paid: Vec<u32>,
    pub(crate) ready: [Queue; PRIORITIES as usize],
    /// Bit n: a thread of priority n is ready.
    pub(crate) ready_priorities: u32,
    pub(crate) announced: Queue,
    pub(crate) orphans: Queue,
    /// The heap of armed timers.
    pub(crate) timers: Vec<u32>,
    /// Who runs.
    pub(crate) current: ThreadId,
    /// A thread that has replied and whose receive is the next thing due.
    pub(crate) about_to_receive: ThreadId,
    /// ns since boot up to which time is charged.
    pub(crate) clock: u64,
    /// For the host, before all other effects; not part of the state.
    pub(crate) sole: Option<Sole>,
    /// For the host, in order; not part of the state.
    pub(crate) effects: VecDeque<Effect>,
    /// What a number beyond the records reads and writes: `apply` judges nothing and
    /// must not fail, whatever log it is fed.
    nobody: Nobody,
}

#[cfg_attr(test, derive(Clone))]
struct Nobody {
    thread: ThreadActivity,
    detail: ThreadDetail,
    process: ProcessActivity,
    endpoint: EndpointActivity,
    notification: NotificationActivity,
    interrupt: InterruptActivity,
    link: Link,
    queue: Queue,
}

impl Nobody {
    const NEW: Nobody = Nobody {
        thread: ThreadActivity::ABSENT,
        detail: ThreadDetail::ABSENT,
        process: ProcessActivity::NONE,
        endpoint: EndpointActivity::NONE,
        notification: NotificationActivity::NONE,
        interrupt: InterruptActivity::NONE,
        link: Link::NONE,
        queue: Queue::EMPTY,
    };
}

static ABSENT: Nobody = Nobody::NEW;

impl Activity {
    pub(crate) const fn new() -> Activity {
        Activity {
            threads: Vec::new(),
            details: Vec::new(),
            processes: Vec::new(),
            endpoints: Vec::new(),
            notifications: Vec::new(),
            interrupts: Vec::new(),
            messages: Arena::new(),
            queued: Vec::new(),
            paid: Vec::new(),
            ready: [Queue::EMPTY; PRIORITIES as usize],
            ready_priorities: 0,
            announced: Queue::EMPTY,
            orphans: Queue::EMPTY,
            timers: Vec::new(),
            current: ThreadId::NONE,
            about_to_receive: ThreadId::NONE,
            clock: 0,
            sole: None,
            effects: VecDeque::new(),
            nobody: Nobody::NEW,
        }
    }

    /// Makes room for the records that a decision's commits add.
    pub(crate) fn reserve_records(&mut self) -> Result<(), Error> {
        fn room<T>(records: &mut Vec<T>, count: usize) -> Result<(), Error> {
            records.try_reserve(count).map_err(|_| Error::QuotaExceeded)
        }
        room(&mut self.threads, 1)?;
        room(&mut self.details, 1)?;
        room(&mut self.processes, 1)?;
        room(&mut self.endpoints, 1)?;
        room(&mut self.notifications, 1)?;
        room(&mut self.queued, 1)?;
        room(&mut self.paid, 1)?;
        self.messages.reserve(1)?;
        let timers = 2 * (self.threads.len() + 1) - self.timers.len();
        room(&mut self.timers, timers)
    }

    /// The effects of the worst of changes: the end of everything. `objects` are those that authority knows.
    pub(crate) fn effects_of_an_end(&self, objects: u32) -> usize {
        (objects + self.messages.len()) as usize + 4 * self.threads.len()
    }

    /// Makes room for so many effects, beside those of a dozen commits that end nothing.
    #[inline(always)]
    pub(crate) fn reserve_effects(&mut self, count: usize) -> Result<(), Error> {
        let count = count + 2 * MAX_COMMITS;
        if self.effects.capacity() - self.effects.len() >= count {
            return Ok(());
        }
        self.effects.try_reserve(count).map_err(|_| Error::QuotaExceeded)
    }

    /// Carries out a change.
    #[inline(always)]
    pub(crate) fn apply(&mut self, change: &Change, authority: &Authority) {
        match *change {
            Change::Dispatched { thread } => return self.dispatched(thread),
            Change::Yielded { thread } | Change::Preempted { thread } => self.gave_way(thread),
            Change::HandedOver { caller, server } => return self.handed_over(caller, server),
            Change::Answered { server, caller, via } => {
                let endpoint = authority.capabilities.get(via).map_or(EndpointId::NONE, |via| EndpointId(via.index));
                return self.answered(server, caller, via, endpoint);
            }

            Change::Called { caller, server, badge, tag, length, capabilities, deadline } => {
                self.called(caller, server, (badge, tag, length, capabilities), deadline);
            }
            Change::Blocked { thread, via, calling, badge, tag, length, capabilities, deadline } => {
                let state = if calling { State::Calling } else { State::Sending };
                self.queue_sender(thread, state, via, (badge, tag, length, capabilities), deadline, authority);
            }
            Change::Offered { thread, position, handle, mode, rights, badge } => {
                self.offered(thread, position, abi::Transfer { handle, mode, rights, badge });
            }
            Change::Sent { sender, receiver, badge, tag, length, capabilities } => {
                self.sent(sender, receiver, (badge, tag, length, capabilities));
            }
            Change::MessageQueued { sender, endpoint, message, quota, badge, tag, length } => {
                self.message_queued(sender, endpoint, message, quota, (badge, tag, length));
            }
            Change::Received { thread, endpoint, entry } => self.received(thread, endpoint, entry, authority),
            Change::Receiving { thread, via, deadline } => self.receiving(thread, via, deadline, authority),
            Change::ReceiveNext { thread, via, deadline } => self.receive_next(thread, via, deadline),
            Change::Replied { server, caller, tag, length, capabilities } => {
                self.replied(server, caller, tag, length, capabilities)
            }
            Change::ReplyMoved { caller, process, arrival } => self.reply_moved(caller, process, arrival),
            Change::ExitQueued { process } => {
                let endpoint = authority.supervisor(process).map_or(EndpointId::NONE, |(endpoint, _)| endpoint);
                self.exit_queued(process, endpoint);
            }

            Change::Signalled { notification, bits } => self.signal(notification, bits),
            Change::Taken { thread, notification } => self.taken(thread, notification),
            Change::Waiting { thread, via, deadline } => self.waiting(thread, via, deadline, authority),
            Change::Bound { notification, endpoint } => self.bound(notification, endpoint),
            Change::Unbound { notification } => self.unbound(notification),

            Change::InterruptBound { interrupt, notification, bits } => {
                self.interrupt_bound(interrupt, notification, bits)
            }
            Change::InterruptUnbound { interrupt } => self.interrupt_unbound(interrupt),
            Change::InterruptCame { interrupt } => self.interrupt_came(interrupt),
            Change::InterruptAcknowledged { interrupt } => self.interrupt_acknowledged(interrupt),

            Change::Failed { thread, error } => self.fail(thread, error),
            Change::TimedOut { thread } => self.fail(thread, Error::TimedOut),
            Change::Depleted { thread } => self.depleted(thread),
            Change::Replenished { thread } => self.replenished(thread),
            Change::LoanEnded { thread } => self.loan_ended(thread),
            Change::Configured { thread, priority, budget, period } => {
                self.configured(thread, priority, budget, period)
            }

            Change::Faulted { thread, kind, detail, resumable } => {
                let supervisor = authority.supervisor(self.thread(thread).process);
                self.faulted(thread, Fault { kind, detail, resumable }, supervisor, authority);
            }
            Change::FaultResumed { thread } => self.fault_resumed(thread),
            Change::Judged { server, thread, via } => self.judged(server, thread, via, authority),
            Change::Suspended { process } => self.process_suspended(process),
            Change::Resumed { process } => self.process_resumed(process),

            Change::ImageChecking { thread, quota, region, length, name } => {
                self.image_checking(thread, quota, region, length, name)
            }
            Change::DebugWritten { process, next } => self.process(process).debug_next = next,
        }
        self.schedule();
    }

    /// What authority has made: records here, and effects.
    #[inline(always)]
    pub(crate) fn made(&mut self, change: &Granted, authority: &Authority) {
        match *change {
            Granted::QuotaCreated { quota, .. } => {
                set(&mut self.queued, quota.index(), 0);
                set(&mut self.paid, quota.index(), 0);
            }
            Granted::EndpointCreated { endpoint, .. } => {
                set(&mut self.endpoints, endpoint.index(), EndpointActivity::NONE)
            }
            Granted::NotificationCreated { notification, .. } => {
                set(&mut self.notifications, notification.index(), NotificationActivity::NONE);
            }
            Granted::ProcessCreated { process, image, .. } => {
                let serial = authority.processes.get(process.0).map_or(0, |record| record.serial);
                self.process_created(process, image, serial);
            }
            Granted::ProcessStarted { process, thread, starter, priority } => {
                self.thread_started(thread, process, starter, priority, None);
            }
            Granted::ThreadCreated { thread, process, creator, entry, .. } => {
                let priority = self.thread(creator).base;
                self.thread_started(thread, process, creator, priority, Some(entry));
            }
            Granted::RegionCreated { region, pages, .. } => {
                self.effects.push_back(Effect::RegionCreated { region, pages })
            }
            Granted::ImageCreated { image, creator, hash, place, .. } => {
                self.effects.push_back(Effect::ImageCreated { image, hash });
                if let Some(place) = place
                    && !creator.is_none()
                {
                    let handle = authority
                        .tables
                        .get(place.process.index())
                        .map_or(Handle::NONE, |table| table.handle(place.slot));
                    self.image_checked(creator, handle);
                }
            }
            Granted::InterruptAdded { .. } => {
                self.interrupts.resize(authority.interrupts.len(), InterruptActivity::NONE)
            }
            Granted::CaptureBegan { endpoint, process } => self.capture_began(endpoint, process),
            Granted::CaptureEnded { endpoint, .. } => self.capture_ended(endpoint),
            _ => {}
        }
        self.schedule();
    }

    #[inline]
    pub(crate) fn thread(&mut self, id: ThreadId) -> &mut ThreadActivity {
        self.threads.get_mut(id.index()).unwrap_or(&mut self.nobody.thread)
    }
    pub(crate) fn detail(&mut self, id: ThreadId) -> &mut ThreadDetail {
        self.details.get_mut(id.index()).unwrap_or(&mut self.nobody.detail)
    }
    pub(crate) fn process(&mut self, id: ProcessId) -> &mut ProcessActivity {
        self.processes.get_mut(id.index()).unwrap_or(&mut self.nobody.process)
    }
    pub(crate) fn endpoint(&mut self, id: EndpointId) -> &mut EndpointActivity {
        self.endpoints.get_mut(id.index()).unwrap_or(&mut self.nobody.endpoint)
    }
    pub(crate) fn notification(&mut self, id: NotificationId) -> &mut NotificationActivity {
        self.notifications.get_mut(id.index()).unwrap_or(&mut self.nobody.notification)
    }
    pub(crate) fn interrupt(&mut self, id: InterruptId) -> &mut InterruptActivity {
        self.interrupts.get_mut(id.index()).unwrap_or(&mut self.nobody.interrupt)
    }

    /// The thread, to look at.
    #[inline]
    pub(crate) fn view(&self, id: ThreadId) -> &ThreadActivity {
        self.threads.get(id.index()).unwrap_or(&ABSENT.thread)
    }
    pub(crate) fn detail_view(&self, id: ThreadId) -> &ThreadDetail {
        self.details.get(id.index()).unwrap_or(&ABSENT.detail)
    }
    pub(crate) fn is_suspended(&self, id: ProcessId) -> bool {
        self.processes.get(id.index()).is_some_and(|process| process.suspended)
    }
    pub(crate) fn queued_bytes(&self, id: QuotaId) -> u64 {
        self.queued.get(id.index()).copied().unwrap_or(0)
    }

    /// The thread at a cursor over the threads of a process; the cursor moves on.
    pub(crate) fn advance(&mut self, cursor: &mut ThreadId) -> Option<ThreadId> {
        let thread = *cursor;
        *cursor = self.details.get(thread.index())?.next;
        Some(thread)
    }

    #[inline]
    pub(crate) fn queue(&self, id: QueueId) -> Queue {
        match id {
            QueueId::Senders(endpoint) => {
                self.endpoints.get(endpoint.index()).map(|endpoint| endpoint.queues().senders)
            }
            QueueId::Receivers(endpoint) => {
                self.endpoints.get(endpoint.index()).map(|endpoint| endpoint.queues().receivers)
            }
            QueueId::Waiters(notification) => {
                self.notifications.get(notification.index()).map(|notification| notification.waiters)
            }
            QueueId::Held(process) => self.processes.get(process.index()).map(|process| process.held),
            QueueId::Ready(priority) => self.ready.get(usize::from(priority)).copied(),
            QueueId::Announced => Some(self.announced),
            QueueId::Orphans => Some(self.orphans),
        }
        .unwrap_or(Queue::EMPTY)
    }

    #[inline]
    fn queue_mut(&mut self, id: QueueId) -> &mut Queue {
        match id {
            QueueId::Senders(endpoint) => &mut self.endpoint(endpoint).queues_mut().senders,
            QueueId::Receivers(endpoint) => &mut self.endpoint(endpoint).queues_mut().receivers,
            QueueId::Waiters(notification) => &mut self.notification(notification).waiters,
            QueueId::Held(process) => &mut self.process(process).held,
            QueueId::Ready(priority) => self.ready.get_mut(usize::from(priority)).unwrap_or(&mut self.nobody.queue),
            QueueId::Announced => &mut self.announced,
            QueueId::Orphans => &mut self.orphans,
        }
    }

    pub(crate) fn link(&self, entry: Entry) -> Link {
        match entry.queued() {
            Some(Queued::Thread(thread)) => self.view(thread).link,
            Some(Queued::Message(message)) => self.messages.get(message.0).map_or(Link::NONE, |message| message.link),
            Some(Queued::Exit(process)) => {
                self.processes.get(process.index()).map_or(Link::NONE, |process| process.link)
            }
            Some(Queued::Notification(notification)) => {
                self.notifications.get(notification.index()).map_or(Link::NONE, |notification| notification.link)
            }
            None => Link::NONE,
        }
    }

    #[inline]
    fn link_mut(&mut self, entry: Entry) -> &mut Link {
        // Almost always it is a thread; the number of anything else is beyond those of all threads.
        if entry.as_thread().index() < self.threads.len() {
            return &mut self.thread(entry.as_thread()).link;
        }
        match entry.queued() {
            Some(Queued::Thread(thread)) => &mut self.thread(thread).link,
            Some(Queued::Message(message)) => match self.messages.get_mut(message.0) {
                Some(message) => &mut message.link,
                None => &mut self.nobody.link,
            },
            Some(Queued::Exit(process)) => &mut self.process(process).link,
            Some(Queued::Notification(notification)) => &mut self.notification(notification).link,
            None => &mut self.nobody.link,
        }
    }

    /// Puts an entry, which is in no queue, at the tail.
    #[inline]
    pub(crate) fn push(&mut self, id: QueueId, entry: Entry) {
        let queue = self.queue_mut(id);
        let previous = core::mem::replace(&mut queue.tail, entry);
        if previous.is_none() {
            queue.head = entry;
        }
        self.link_mut(previous).next = entry;
        *self.link_mut(entry) = Link { previous, next: Entry::NONE };
        self.note_ready(id);
    }

    /// Puts an entry, which is in no queue, at the head.
    pub(crate) fn push_front(&mut self, id: QueueId, entry: Entry) {
        let queue = self.queue_mut(id);
        let next = core::mem::replace(&mut queue.head, entry);
        if next.is_none() {
            queue.tail = entry;
        }
        self.link_mut(next).previous = entry;
        *self.link_mut(entry) = Link { previous: Entry::NONE, next };
        self.note_ready(id);
    }

    /// Takes an entry out of the queue in which it is.
    #[inline]
    pub(crate) fn remove(&mut self, id: QueueId, entry: Entry) {
        let Link { previous, next } = core::mem::replace(self.link_mut(entry), Link::NONE);
        if previous.is_none() {
            self.queue_mut(id).head = next;
        } else {
            self.link_mut(previous).next = next;
        }
        if next.is_none() {
            self.queue_mut(id).tail = previous;
        } else {
            self.link_mut(next).previous = previous;
        }
        self.note_ready(id);
    }

    #[inline]
    fn note_ready(&mut self, id: QueueId) {
        if let QueueId::Ready(priority) = id {
            let bit = 1u32.wrapping_shl(u32::from(priority));
            if self.queue(id).is_empty() {
                self.ready_priorities &= !bit;
            } else {
                self.ready_priorities |= bit;
            }
        }
    }

    /// The thread at the head of a queue of threads.
    pub(crate) fn first_thread(&self, id: QueueId) -> Option<ThreadId> {
        match self.queue(id).head.queued() {
            Some(Queued::Thread(thread)) => Some(thread),
            _ => None,
        }
    }

    /// The queue in which a thread stands, which its state tells.
    pub(crate) fn queue_of(&self, thread: &ThreadActivity) -> Option<QueueId> {
        match thread.state {
            State::Ready => Some(QueueId::Ready(thread.priority)),
            State::Sending | State::Calling | State::Faulted => Some(QueueId::Senders(EndpointId(thread.on))),
            State::Receiving => Some(QueueId::Receivers(EndpointId(thread.on))),
            State::Waiting => Some(QueueId::Waiters(NotificationId(thread.on))),
            State::AwaitingReply if thread.server.is_none() => Some(QueueId::Held(thread.holder)),
            State::AwaitingVerdict => Some(QueueId::Held(thread.holder)),
            State::Orphaned => Some(QueueId::Orphans),
            _ => None,
        }
    }

    /// Takes a thread out of whatever it stands in: queue, time-out, service.
    #[inline]
    pub(crate) fn detach(&mut self, thread: ThreadId) {
        let record = self.view(thread);
        // Most run, and stand in nothing.
        let nowhere = record.state == State::Running && record.server.is_none() && self.about_to_receive != thread;
        if !nowhere || record.flags & (TIMED | SPENT | CAPTURED) != 0 {
            self.detach_from(thread);
        }
    }

    fn detach_from(&mut self, thread: ThreadId) {
        let record = self.view(thread);
        if record.state != State::Running
            && let Some(queue) = self.queue_of(record)
        {
            self.remove(queue, Entry::thread(thread));
        }
        let record = self.thread(thread);
        let timed = record.flags & TIMED != 0;
        record.flags &= !(SPENT | CAPTURED);
        let server = core::mem::replace(&mut record.server, ThreadId::NONE);
        if !server.is_none() {
            self.thread(server).serving = ThreadId::NONE;
            self.relend(server);
        }
        if self.about_to_receive == thread {
            self.about_to_receive = ThreadId::NONE;
        }
        if timed {
            self.cancel(thread, TimerKind::Timeout);
        }
    }

    /// The running thread waits from now on, in a state that the caller sets.
    #[inline]
    pub(crate) fn block(&mut self, thread: ThreadId, state: State, deadline: u64) -> &mut ThreadActivity {
        self.leave(thread);
        if deadline != FOREVER {
            self.arm(thread, TimerKind::Timeout, deadline);
        }
        let record = self.thread(thread);
        record.state = state;
        record
    }

    /// The call in which a thread waits ends with this.
    pub(crate) fn finish_wait(&mut self, thread: ThreadId, result: Result<Returned, Error>) {
        self.detach(thread);
        self.effects.push_back(Effect::Complete { thread, result });
        self.make_ready(thread, End::Back);
    }

    /// Tells the host: in few words, if there is nothing else to tell.
    #[inline(always)]
    fn tell(&mut self, sole: Sole, effect: Effect) {
        if self.is_silent() {
            self.sole = Some(sole);
        } else {
            self.effects.push_back(effect);
        }
    }

    /// Whether the host has been told nothing yet: then a [`Sole`] may be.
    #[inline(always)]
    pub(crate) fn is_silent(&self) -> bool {
        self.sole.is_none() && self.effects.is_empty()
    }

    /// The call in which a thread waits ends with an error.
    pub(crate) fn fail(&mut self, thread: ThreadId, error: Error) {
        self.finish_wait(thread, Err(error));
    }

    /// A thread gets what it waits for, or what it asks for just now. The payload is
    /// where `from` says.
    pub(crate) fn deliver(&mut self, to: ThreadId, from: PayloadSource, delivery: Delivery) {
        self.capture(to, from, &delivery);
        let record = self.thread(to);
        if delivery.capabilities == 0 {
            record.flags &= !ARRIVED;
        } else {
            record.flags |= ARRIVED;
        }
        let waits = record.state != State::Running;
        let detail = self.detail(to);
        detail.arrived_count = delivery.capabilities;
        detail.arrived = Default::default();
        if waits {
            self.detach(to);
            let end = if delivery.kind == abi::DeliveryKind::Answer { End::Front } else { End::Back };
            self.make_ready(to, end);
        }
        self.effects.push_back(Effect::Deliver { to, from, delivery });
    }

    /// A capability has left a table: whoever of that process waits through it waits no longer.
    fn lost(&mut self, process: ProcessId, capability: CapabilityId) {
        let mut next = self.process(process).first_thread;
        while let Some(thread) = self.advance(&mut next) {
            let record = self.view(thread);
            if record.via == capability
                && matches!(
                    record.state,
                    State::Sending | State::Calling | State::Receiving | State::AboutToReceive | State::Waiting
                )
            {
                self.fail(thread, Error::Revoked);
            }
        }
    }

    /// Every record in a fixed order, for the hash.
    pub(crate) fn encode<S: Sink>(&self, out: &mut S) {
        self.threads.put(out);
        self.details.put(out);
        self.processes.put(out);
        self.endpoints.put(out);
        self.notifications.put(out);
        self.interrupts.put(out);
        self.messages.put(out);
        self.queued.put(out);
        self.ready.iter().for_each(|queue| queue.put(out));
        self.announced.put(out);
        self.orphans.put(out);
        self.timers.put(out);
        self.current.put(out);
        self.about_to_receive.put(out);
        self.clock.put(out);
    }

    /// Reads back what [`Activity::encode`] wrote. An error says which records are not what they should be.
    pub(crate) fn decode(input: &mut &[u8]) -> Result<Activity, &'static str> {
        let mut activity = Activity {
            threads: Decode::get(input).ok_or("threads")?,
            details: Decode::get(input).ok_or("details of threads")?,
            processes: Decode::get(input).ok_or("processes")?,
            endpoints: Decode::get(input).ok_or("endpoints")?,
            notifications: Decode::get(input).ok_or("notifications")?,
            interrupts: Decode::get(input).ok_or("interrupts")?,
            messages: Decode::get(input).ok_or("messages")?,
            queued: Decode::get(input).ok_or("bytes of queued messages")?,
            ready: get_array(input, Queue::EMPTY).ok_or("ready queues")?,
            announced: Decode::get(input).ok_or("queue of announced ends")?,
            orphans: Decode::get(input).ok_or("queue of faults")?,
            timers: Decode::get(input).ok_or("timers")?,
            current: Decode::get(input).ok_or("who runs")?,
            about_to_receive: Decode::get(input).ok_or("who is about to receive")?,
            clock: Decode::get(input).ok_or("clock")?,
            ..Activity::new()
        };
        for priority in 0..PRIORITIES {
            activity.note_ready(QueueId::Ready(priority));
        }
        activity.paid.resize(activity.queued.len(), 0);
        for (_, message) in activity.messages.iter() {
            // A quota that is not there is found out by the invariants.
            if let Some(messages) = activity.paid.get_mut(message.quota.index()) {
                *messages += 1;
            }
        }
        Ok(activity)
    }
}

impl Witness for Activity {
    /// Inlined: which it is is known where it happens.
    #[inline(always)]
    fn happened(&mut self, consequence: Consequence) {
        match consequence {
            Consequence::Lost { process, capability } => self.lost(process, capability),
            Consequence::Arrived { thread, position, handle } => {
                if let Some(place) = self.detail(thread).arrived.get_mut(usize::from(position)) {
                    *place = handle;
                }
            }
            Consequence::Mapped(mapping) => {
                let Mapping { process, region, address, rights, .. } = mapping;
                self.tell(Sole::Map(mapping), Effect::Map { process, region, address, rights });
            }
            Consequence::Unmapped(mapping) => {
                let Mapping { process, region, address, .. } = mapping;
                self.tell(Sole::Unmap(mapping), Effect::Unmap { process, region, address });
            }
            Consequence::SupervisorLost { process } => self.supervisor_lost(process),
            Consequence::Exited { process, tell } => self.process_exited(process, tell),
            Consequence::Gone { object } => self.gone(object),
        }
    }
}

impl Activity {
    /// An object's record in the other half is gone.
    fn gone(&mut self, object: Object) {
        match object.kind {
            Kind::Thread => self.thread_gone(ThreadId(object.index)),
            Kind::Endpoint => self.endpoint_gone(EndpointId(object.index)),
            Kind::Notification => self.notification_gone(NotificationId(object.index)),
            Kind::Interrupt => self.interrupt_gone(InterruptId(object.index)),
            Kind::Quota => self.quota_gone(QuotaId(object.index)),
            Kind::Process => *self.process(ProcessId(object.index)) = ProcessActivity::NONE,
            Kind::Region => self.effects.push_back(Effect::RegionGone(RegionId(object.index))),
            Kind::Image => self.effects.push_back(Effect::ImageGone(ImageId(object.index))),
            Kind::Device | Kind::Log => {}
        }
    }
}
