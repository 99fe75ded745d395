//! Whether a commit can follow the state that there is. `apply` judges nothing: what `decide` makes of a state can
//! follow it, and is not asked here. What comes from outside is: a log says what whoever has its key wrote. A commit
//! that passes leaves a state sound in which every invariant held ([`crate::invariants`]), so whatever the log,
//! replaying it ends, and does not fail but by saying which commit is impossible.
//!
//! What only `decide` cares for is not asked again: whether the time had come, whether there was somebody better
//! to run.

use crate::Kernel;
use crate::activity::Activity;
use crate::authority::Authority;
use crate::capability::Holding;
use crate::commit::{Activity as Doing, Arrival, Authority as Granted, Change, Commit, Place};
use crate::endpoint::{MAX_DEPTH, endpoint_price};
use crate::ids::*;
use crate::image::image_pages;
use crate::invariants::{Check, hold};
use crate::process::{ExitMessage, ProcessLife};
use crate::queue::{Entry, QueueId, Queued};
use crate::quota::{OBJECT_PRICE, THREAD_PRICE};
use crate::region::MAX_PAGES;
use crate::schedule::PRIORITIES;
use crate::setup::MAX_HOST_NUMBERS;
use crate::table::Table;
use crate::thread::{State, TIMED, ThreadActivity};
use crate::timer::{Timer, TimerKind};
use abi::message::{MAX_BYTES, MAX_TRANSFERS};
use abi::{FOREVER, Kind, Rights};

impl Kernel {
    /// Whether this commit can follow; else in words why not.
    pub fn plausible(&self, commit: &Commit) -> Check {
        let before = Before { authority: &self.authority, activity: Some(&self.activity) };
        hold(self.activity.clock.checked_add(commit.elapsed).is_some(), "more time passes than there is")?;
        match &commit.change {
            Change::Authority(change) => before.authority_change(change),
            Change::Activity(change) => before.activity_change(change, &self.activity),
        }
    }

    /// The same of the authority half alone: for [`Kernel::apply_authority`].
    pub fn plausible_authority(&self, commit: &Commit) -> Check {
        match &commit.change {
            Change::Authority(change) => Before { authority: &self.authority, activity: None }.authority_change(change),
            Change::Activity(_) => Ok(()),
        }
    }
}

/// The state that a commit is to follow. Where only authority is replayed, there is no activity.
struct Before<'a> {
    authority: &'a Authority,
    activity: Option<&'a Activity>,
}

impl Before<'_> {
    fn authority_change(&self, change: &Granted) -> Check {
        let authority = self.authority;
        match *change {
            Granted::QuotaCreated { quota, parent: QuotaId::NONE, place, .. } => {
                next(quota.0, authority.quotas.vacant())?;
                hold(quota == QuotaId::ROOT && place.is_none(), "only the first quota is split from no other")
            }
            Granted::QuotaCreated { quota, parent, memory, pages, place } => {
                next(quota.0, authority.quotas.vacant())?;
                let memory = memory.checked_add(OBJECT_PRICE).ok_or("a quota is given more than there is")?;
                self.pays(parent, memory, pages)?;
                self.new_capability(place.ok_or("nobody gets the quota")?)
            }
            Granted::EndpointCreated { endpoint, quota, depth, place } => {
                next(endpoint.0, authority.endpoints.vacant())?;
                hold(depth <= MAX_DEPTH, "an endpoint is too deep")?;
                self.pays(quota, endpoint_price(depth), 0)?;
                self.new_capability(place)
            }
            Granted::NotificationCreated { notification, quota, place } => {
                next(notification.0, authority.notifications.vacant())?;
                self.pays(quota, OBJECT_PRICE, 0)?;
                self.new_capability(place)
            }
            Granted::ProcessCreated { process, quota, image, source, supervisor, limits, place, .. } => {
                next(process.0, authority.processes.vacant())?;
                hold(authority.serial < u64::MAX, "there were more processes than can be counted")?;
                hold(authority.images.get(image.0).is_some(), "there is no such image")?;
                hold(limits.capabilities <= Table::MAX, "a table is too large")?;
                self.pays(quota, Authority::process_price(&limits), 0)?;
                let Some(place) = place else {
                    return hold(source.is_none() && supervisor.is_none(), "nobody gets the process");
                };
                let source = authority.capabilities.get(source).ok_or("there is no such capability")?;
                let tells = source.kind == Kind::Endpoint && source.rights.contains(Rights::SEND);
                hold(tells, "the supervisor cannot be told through this capability")?;
                next(supervisor.0, authority.capabilities.vacant())?;
                next(place.capability.0, authority.capabilities.vacant_after(1))?;
                self.vacant_slot(place)
            }
            Granted::ProcessStarted { process, thread, starter, priority } => {
                next(thread.0, authority.threads.vacant())?;
                hold(self.life(process)? == ProcessLife::Created, "the process runs already, or has ended")?;
                let quota = authority.processes.get(process.0).map_or(QuotaId::NONE, |record| record.header.quota);
                self.pays(quota, THREAD_PRICE, 0)?;
                hold(starter.is_none() || self.is_thread(starter), NO_THREAD)?;
                hold(priority < PRIORITIES, "there is no such priority")
            }
            Granted::ThreadCreated { thread, process, quota, creator, place, .. } => {
                next(thread.0, authority.threads.vacant())?;
                hold(self.life(process)? == ProcessLife::Started, "the process does not run")?;
                self.pays(quota, THREAD_PRICE, 0)?;
                hold(self.is_thread(creator), NO_THREAD)?;
                self.new_capability(place)
            }
            Granted::RegionCreated { region, quota, pages, place } => {
                next(region.0, authority.regions.vacant())?;
                hold(0 < pages && pages <= MAX_PAGES, "a region has no size that one can have")?;
                self.pays(quota, OBJECT_PRICE, pages)?;
                self.new_capability(place)
            }
            Granted::ImageCreated { image, quota, creator, length, place, .. } => {
                next(image.0, authority.images.vacant())?;
                if !quota.is_none() {
                    self.pays(quota, OBJECT_PRICE, image_pages(length))?;
                }
                if !creator.is_none() {
                    hold(self.is_thread(creator), NO_THREAD)?;
                    let waits = self.activity.is_none_or(|activity| activity.view(creator).state == State::AtHost);
                    hold(waits && place.is_some(), "no thread waits for the image")?;
                }
                place.map_or(Ok(()), |place| self.new_capability(place))
            }
            Granted::DeviceAdded { device, place, .. } => self.host_number(device.into(), place),
            Granted::InterruptAdded { interrupt, place, .. } => self.host_number(interrupt.into(), place),
            Granted::LogAdded { log, place } => {
                next(log.0, authority.logs.vacant())?;
                self.new_capability(place)
            }

            Granted::Derived { source, place, rights, badge, expiry, arrival } => {
                let source = authority.capabilities.get(source).ok_or("there is no such capability")?;
                hold(source.rights.contains(rights), "it has rights that what it was derived from has not")?;
                hold(source.badge == 0 || source.badge == badge, "it has another badge than what it was derived from")?;
                hold(expiry <= source.expiry, "it outlives what it was derived from")?;
                self.new_capability(place)?;
                arrival.map_or(Ok(()), |arrival| self.arrival(arrival, place.process))
            }
            Granted::Granted { object, index, place, rights } => {
                let header = authority.header(Object { kind: object, index }).ok_or(NO_OBJECT)?;
                hold(header.capabilities == 0, "somebody holds the object already")?;
                hold(object.rights().contains(rights), "it has rights that its kind has not")?;
                self.new_capability(place)
            }
            Granted::Moved { place, arrival } => {
                self.in_a_slot(place.capability)?;
                self.vacant_slot(place)?;
                self.arrival(arrival, place.process)
            }
            Granted::Deleted { capability } | Granted::Revoked { capability } => self.in_a_slot(capability),
            Granted::Destroyed { object, index } => {
                let object = Object { kind: object, index };
                hold(object != QuotaId::ROOT.into(), "the root quota stays")?;
                hold(authority.header(object).is_some(), NO_OBJECT)
            }

            Granted::Exited { process, .. } => self.is_not_over(process),
            Granted::ThreadExited { thread } => hold(authority.threads.get(thread.0).is_some(), NO_THREAD),
            Granted::ExitRead { process } => {
                let over = matches!(self.life(process)?, ProcessLife::Exited { .. });
                hold(over && authority.supervisor(process).is_some(), "the process has no end to tell of")
            }
            Granted::Limited { process, limits } => {
                self.is_not_over(process)?;
                let record = authority.processes.get(process.0).ok_or(NO_PROCESS)?;
                let used = authority.tables.get(process.index()).map_or(0, |table| table.used);
                hold((used..=Table::MAX).contains(&limits.capabilities), "a table has no size that it can have")?;
                let more = Authority::process_price(&limits).saturating_sub(record.header.memory);
                self.pays(record.header.quota, more, 0)
            }
            Granted::Grown { process, pages } => {
                self.is_not_over(process)?;
                let quota = authority.processes.get(process.0).map_or(QuotaId::NONE, |record| record.header.quota);
                self.pays(quota, 0, pages)
            }

            Granted::Mapped { mapping, capability, page, rights } => {
                next(mapping.0, authority.mappings.vacant())?;
                self.in_a_slot(capability)?;
                let held = authority.capabilities.get(capability).filter(|held| held.kind == Kind::Region);
                let held = held.ok_or("what is mapped is no region")?;
                let region = authority.regions.get(held.index).ok_or(NO_OBJECT)?;
                let end = page.checked_add(region.pages);
                let inside = page > 0 && end.is_some_and(|end| end <= MAX_PAGES);
                hold(inside, "it is mapped outside the addresses of a process")?;
                hold(held.mapping.is_none(), "it is mapped already")?;
                hold(held.rights.contains(rights), "it is mapped with rights that the capability has not")?;
                let (writes, executes) = (rights.contains(Rights::WRITE), rights.contains(Rights::EXECUTE));
                let both = writes && (executes || region.executable > 0) || executes && region.writable > 0;
                hold(!both, "it could be written and executed")
            }
            Granted::Unmapped { mapping } => {
                hold(authority.mappings.get(mapping.0).is_some(), "there is no such mapping")
            }
            Granted::CaptureBegan { endpoint, process } => {
                self.life(process)?;
                self.captured(endpoint, false)
            }
            Granted::CaptureEnded { endpoint, .. } => self.captured(endpoint, true),
        }
    }

    fn activity_change(&self, change: &Doing, activity: &Activity) -> Check {
        let authority = self.authority;
        let view = |thread| activity.view(thread);
        match *change {
            Doing::Dispatched { thread } => hold(view(thread).state == State::Ready, "who is to run is not ready"),
            Doing::Yielded { thread } | Doing::Preempted { thread } => self.runs(thread),

            Doing::HandedOver { caller, server } => {
                self.runs(caller)?;
                hold(view(caller).call < u32::MAX, "the caller has no number for its call")?;
                hold(view(server).flags == 0, "the server is not one to hand over to")?;
                let endpoint = self.receives_first(server)?;
                hold(!activity.is_captured(endpoint), "what is captured is not handed over")
            }
            Doing::Answered { server, caller, via } => {
                self.runs(server)?;
                let endpoint = self.via(server, via, Kind::Endpoint, Rights::RECEIVE)?;
                let answered = view(caller);
                let served = answered.state == State::AwaitingReply && answered.server == server;
                hold(served && answered.flags == 0, "who is answered is not served by who answers")?;
                let free = activity.endpoints.get(endpoint as usize).is_some_and(|at| at.open.senders.is_empty());
                hold(free, "who answers has something to receive")?;
                hold(activity.ready_priorities >> answered.priority <= 1, "another is readier than who is answered")
            }

            Doing::Called { caller, server, length, capabilities, .. } => {
                self.may_call(caller)?;
                self.receives_first(server)?;
                message(length, capabilities)
            }
            Doing::Blocked { thread, via, length, capabilities, .. } => {
                self.may_call(thread)?;
                self.via(thread, via, Kind::Endpoint, Rights::SEND)?;
                message(length, capabilities)
            }
            Doing::Offered { thread, position, .. } => {
                hold(matches!(view(thread).state, State::Sending | State::Calling), "who offers sends nothing")?;
                hold(position < activity.detail_view(thread).capabilities, "the message has not so many capabilities")
            }
            Doing::Sent { sender, receiver, length, capabilities, .. } => {
                self.may_call(sender)?;
                self.receives_first(receiver)?;
                message(length, capabilities)
            }
            Doing::MessageQueued { sender, endpoint, message: buffer, quota, length, .. } => {
                self.may_call(sender)?;
                message(length, 0)?;
                next(buffer.0, activity.messages.vacant())?;
                let depth = authority.endpoints.get(endpoint.0).ok_or(NO_OBJECT)?.depth;
                let kept = activity.endpoints.get(endpoint.index()).map_or(depth, |endpoint| endpoint.messages);
                hold(kept < depth, "the endpoint keeps no more messages")?;
                let process = view(sender).process;
                let limit = authority.processes.get(process.0).map_or(0, |record| record.limits.queued_messages);
                let sent = activity.processes.get(process.index()).map_or(limit, |record| record.queued_messages);
                hold(sent < limit, "the sender has too many messages under way")?;
                self.pays(quota, length.into(), 0)
            }
            Doing::Received { thread, endpoint, entry } => {
                hold(authority.endpoints.get(endpoint.0).is_some(), NO_OBJECT)?;
                let here = view(thread).state == State::Receiving && view(thread).on == endpoint.0;
                if !here {
                    self.may_receive(thread)?;
                }
                let announced = match entry.queued() {
                    Some(Queued::Exit(process)) => {
                        let announced = activity.queue(QueueId::Announced).head == entry;
                        announced && authority.supervisor(process).is_some_and(|(to, _)| to == endpoint)
                    }
                    _ => false,
                };
                let first = activity.queue(QueueId::Senders(endpoint)).head == entry && !entry.is_none();
                hold(first || announced, "what is received does not stand first")
            }
            Doing::Receiving { thread, via, .. } => {
                self.may_receive(thread)?;
                self.via(thread, via, Kind::Endpoint, Rights::RECEIVE).map(drop)
            }
            // Who replied may have ended itself by it.
            Doing::ReceiveNext { thread, .. } if view(thread).state == State::Absent => Ok(()),
            Doing::ReceiveNext { thread, .. } => {
                hold(activity.about_to_receive.is_none(), "another is about to receive")?;
                self.may_call(thread)
            }
            Doing::Replied { server, caller, length, capabilities, .. } => {
                self.may_call(server)?;
                hold(view(caller).state == State::AwaitingReply, "who is answered awaits no answer")?;
                hold(self.holder(view(caller)) == view(server).process, "another may answer the caller")?;
                message(length, capabilities)
            }
            Doing::ReplyMoved { caller, process, arrival } => {
                let waits = matches!(view(caller).state, State::AwaitingReply | State::AwaitingVerdict);
                hold(waits, "whose answer moves awaits none")?;
                self.is_not_over(process)?;
                self.arrival(arrival, process)
            }
            Doing::ExitQueued { process } => {
                let record = activity.processes.get(process.index()).ok_or(NO_PROCESS)?;
                hold(record.exit == ExitMessage::Announced, "the end of the process was not announced")?;
                hold(authority.supervisor(process).is_some(), "the process has nobody to tell of its end")
            }

            Doing::Signalled { notification, .. } => self.notification(notification),
            Doing::Taken { thread, notification } => {
                self.may_call(thread)?;
                self.notification(notification)
            }
            Doing::Waiting { thread, via, .. } => {
                self.may_call(thread)?;
                self.via(thread, via, Kind::Notification, Rights::WAIT).map(drop)
            }
            Doing::Bound { notification, endpoint } => {
                self.notification(notification)?;
                hold(authority.endpoints.get(endpoint.0).is_some(), NO_OBJECT)?;
                let free = activity.notifications.get(notification.index()).is_some_and(|at| at.endpoint.is_none())
                    && activity.endpoints.get(endpoint.index()).is_some_and(|at| at.bound.is_none());
                hold(free, "one of the two is bound already")
            }
            Doing::Unbound { notification } => {
                let record = activity.notifications.get(notification.index());
                hold(record.is_some_and(|at| !at.endpoint.is_none()), "the notification is not bound")
            }

            Doing::InterruptBound { interrupt, notification, .. } => {
                self.notification(notification)?;
                hold(!self.is_bound(interrupt)?, "the line is bound already")
            }
            Doing::InterruptUnbound { interrupt }
            | Doing::InterruptCame { interrupt }
            | Doing::InterruptAcknowledged { interrupt } => hold(self.is_bound(interrupt)?, "the line is not bound"),

            Doing::Failed { thread, .. } => {
                let state = view(thread).state;
                hold(state.is_wait() || state == State::AtHost, "the thread does not wait")
            }
            Doing::TimedOut { thread } => hold(view(thread).flags & TIMED != 0, "the thread has no time-out"),
            Doing::Depleted { thread } => {
                self.runs(thread)?;
                hold(view(thread).payer == thread, "the thread uses the time of another")
            }
            Doing::Replenished { thread } => {
                self.thread(thread)?;
                let timer = activity.detail_view(thread).timers[TimerKind::Replenishment as usize];
                hold(timer.place != Timer::IDLE, "no period of the thread has begun")
            }
            Doing::LoanEnded { thread } => {
                self.runs(thread)?;
                hold(view(thread).payer != thread, "the thread was lent nothing")
            }
            Doing::Configured { thread, priority, budget, period } => {
                self.thread(thread)?;
                hold(priority < PRIORITIES, "there is no such priority")?;
                let sound = budget == FOREVER || (0 < budget && budget <= period && period < FOREVER);
                hold(sound, "there is no such budget")
            }

            Doing::Faulted { thread, .. } => {
                self.thread(thread)?;
                let judged = matches!(view(thread).state, State::Faulted | State::AwaitingVerdict);
                hold(!judged, "the thread has a fault already")
            }
            Doing::FaultResumed { thread } => self.awaits_verdict(thread),
            Doing::Judged { server, thread, via } => {
                self.runs(server)?;
                self.awaits_verdict(thread)?;
                hold(view(thread).holder == view(server).process, "another may judge the thread")?;
                self.via(server, via, Kind::Endpoint, Rights::RECEIVE).map(drop)
            }
            Doing::Suspended { process } => self.suspended(process, false),
            Doing::Resumed { process } => self.suspended(process, true),

            Doing::ImageChecking { thread, region, .. } => {
                hold(authority.regions.get(region.0).is_some(), NO_OBJECT)?;
                self.may_call(thread)
            }
            Doing::DebugWritten { process, .. } => self.is_not_over(process),
        }
    }
}

const NO_THREAD: &str = "there is no such thread";
const NO_PROCESS: &str = "there is no such process";
const NO_OBJECT: &str = "there is no such object";

/// A new record has the number that is next.
fn next(number: u32, vacant: Result<u32, abi::Error>) -> Check {
    hold(vacant == Ok(number), "a new record has another number than the next")
}

/// What a message may have.
fn message(length: u32, capabilities: u8) -> Check {
    let small = length as usize <= MAX_BYTES && usize::from(capabilities) <= MAX_TRANSFERS;
    hold(small, "a message has more than it may")
}

/// Of authority.
impl Before<'_> {
    fn life(&self, process: ProcessId) -> Result<ProcessLife, &'static str> {
        self.authority.processes.get(process.0).map(|record| record.life).ok_or(NO_PROCESS)
    }

    fn is_not_over(&self, process: ProcessId) -> Check {
        hold(!matches!(self.life(process)?, ProcessLife::Exited { .. }), "the process has ended")
    }

    fn is_thread(&self, thread: ThreadId) -> bool {
        self.authority.threads.get(thread.0).is_some()
    }

    /// Whether a quota can pay this beside all that it pays for.
    fn pays(&self, quota: QuotaId, memory: u64, pages: u64) -> Check {
        let record = self.authority.quotas.get(quota.0).ok_or("there is no such quota")?;
        let queued = self.activity.map_or(0, |activity| activity.queued_bytes(quota));
        let used = record.memory_used.checked_add(queued).and_then(|used| used.checked_add(memory));
        let enough = used.is_some_and(|used| used <= record.memory)
            && record.pages_used.checked_add(pages).is_some_and(|used| used <= record.pages);
        hold(enough, "the quota cannot pay for it")
    }

    /// Whether a capability can go to this slot: the next, or behind all.
    fn vacant_slot(&self, place: Place) -> Check {
        self.is_not_over(place.process)?;
        let limit = self.authority.processes.get(place.process.0).map_or(0, |record| record.limits.capabilities);
        let table = self.authority.tables.get(place.process.index()).ok_or(NO_PROCESS)?;
        hold(table.used < limit, "the table is full")?;
        // Behind all: the slot was chosen before the one ahead of it in the same message left the same table.
        let vacant = place.slot == table.vacant(0) || place.slot as usize == table.slots.len();
        hold(vacant && place.slot < Table::MAX, "a capability goes to a slot that is not next")
    }

    fn new_capability(&self, place: Place) -> Check {
        next(place.capability.0, self.authority.capabilities.vacant())?;
        self.vacant_slot(place)
    }

    fn in_a_slot(&self, capability: CapabilityId) -> Check {
        let record = self.authority.capabilities.get(capability).ok_or("there is no such capability")?;
        hold(record.holding == Holding::Slot, "the capability is in no slot")
    }

    fn host_number(&self, object: Object, place: Place) -> Check {
        hold(object.index < MAX_HOST_NUMBERS, "a host has no such number")?;
        hold(self.authority.header(object).is_none(), "the host's number is in use")?;
        self.new_capability(place)
    }

    fn captured(&self, endpoint: EndpointId, captured: bool) -> Check {
        let record = self.authority.endpoints.get(endpoint.0).ok_or(NO_OBJECT)?;
        hold(record.captured == captured, "the endpoint is captured already, or not")
    }

    fn arrival(&self, arrival: Arrival, process: ProcessId) -> Check {
        let thread = self.authority.threads.get(arrival.thread.0).ok_or(NO_THREAD)?;
        hold(thread.process == process, "it arrives at a thread of another process")?;
        hold(usize::from(arrival.position) < MAX_TRANSFERS, "a message has not so many capabilities")
    }

    fn notification(&self, notification: NotificationId) -> Check {
        hold(self.authority.notifications.get(notification.0).is_some(), NO_OBJECT)
    }
}

/// Of activity; where there is none, nobody does anything.
impl Before<'_> {
    fn view(&self, thread: ThreadId) -> &ThreadActivity {
        self.activity.map_or(&ThreadActivity::ABSENT, |activity| activity.view(thread))
    }

    fn thread(&self, thread: ThreadId) -> Check {
        hold(self.view(thread).state != State::Absent, NO_THREAD)
    }

    fn runs(&self, thread: ThreadId) -> Check {
        let current = self.activity.map_or(ThreadId::NONE, |activity| activity.current);
        hold(thread == current && !thread.is_none(), "the thread does not run")
    }

    /// Whether a thread can be in a call: it runs, or would but for what the commits before have brought about.
    fn may_call(&self, thread: ThreadId) -> Check {
        let free =
            matches!(self.view(thread).state, State::Running | State::Ready | State::Depleted | State::Suspended);
        hold(free, "a thread makes a call that waits, or is not there")
    }

    /// The same of one that may have replied just now.
    fn may_receive(&self, thread: ThreadId) -> Check {
        let next = self.activity.is_some_and(|activity| activity.about_to_receive == thread);
        if next && self.view(thread).state == State::AboutToReceive { Ok(()) } else { self.may_call(thread) }
    }

    /// The endpoint at which a thread is the first to receive.
    fn receives_first(&self, thread: ThreadId) -> Result<EndpointId, &'static str> {
        let record = self.view(thread);
        let endpoint = EndpointId(record.on);
        let first = self
            .activity
            .is_some_and(|activity| activity.queue(QueueId::Receivers(endpoint)).head == Entry::thread(thread));
        let idle = record.state == State::Receiving && record.serving.is_none() && record.server.is_none();
        hold(first && idle, "who is given the message does not wait for it")?;
        Ok(endpoint)
    }

    /// The object of a capability through which a thread waits.
    fn via(&self, thread: ThreadId, via: CapabilityId, kind: Kind, rights: Rights) -> Result<u32, &'static str> {
        let record = self.authority.capabilities.get(via).ok_or("there is no such capability")?;
        let held = record.holding == Holding::Slot && record.process == self.view(thread).process;
        hold(held, "a thread waits through what its process does not hold")?;
        hold(record.kind == kind && record.rights.contains(rights), "a thread waits through what does not allow it")?;
        Ok(record.index)
    }

    /// The process that may answer a caller.
    fn holder(&self, caller: &ThreadActivity) -> ProcessId {
        if caller.server.is_none() { caller.holder } else { self.view(caller.server).process }
    }

    fn awaits_verdict(&self, thread: ThreadId) -> Check {
        hold(self.view(thread).state == State::AwaitingVerdict, "the thread awaits no verdict")
    }

    fn is_bound(&self, line: InterruptId) -> Result<bool, &'static str> {
        let record = self.activity.and_then(|activity| activity.interrupts.get(line.index()));
        hold(self.authority.header(line.into()).is_some(), NO_OBJECT)?;
        Ok(!record.ok_or(NO_OBJECT)?.notification.is_none())
    }

    fn suspended(&self, process: ProcessId, suspended: bool) -> Check {
        hold(self.life(process)? == ProcessLife::Started, "the process does not run")?;
        let is = self.activity.is_some_and(|activity| activity.is_suspended(process));
        hold(is == suspended, "the process is suspended already, or not")
    }
}
