//! Endpoints: where messages meet receivers. Calls and messages that find no receiver
//! wait in one queue, first in first out, with faults, exit messages and the bits of
//! the bound notification. A caller waits there as itself and takes no room; a
//! message whose sender goes on takes one of the endpoint's places.
//!
//! The way of a call that finds its server waiting is in `hand_over.rs`.

use crate::activity::Activity;
use crate::authority::{Authority, Header};
use crate::brief::{Brief, BriefEnd};
use crate::capability::Capability;
use crate::capture::Queues;
use crate::commit::{Activity as Doing, Authority as Change, Change as Half, Commit, Decision, Outcome, Place};
use crate::effect::{Effect, PayloadSource};
use crate::encoding::fields;
use crate::ids::*;
use crate::process::{ExitMessage, ProcessLife};
use crate::queue::{Entry, Link, QueueId, Queued};
use crate::quota::{MESSAGE_PRICE, OBJECT_PRICE};
use crate::schedule::End;
use crate::thread::{State, TIMED};
use crate::timer::TimerKind;
use crate::{Caller, Kernel};
use abi::message::{MAX_BYTES, MAX_TRANSFERS, TAG_EXIT, VERDICT_KILL, VERDICT_RESUME, exit_words};
use abi::{
    Delivery, DeliveryKind, Error, ExitReason, FOREVER, Handle, Kind, Message as Sent, ReplyToken, Returned, Rights,
};

/// One endpoint: what authority knows of it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Endpoint {
    pub(crate) header: Header,
    /// Messages that it keeps for senders that go on.
    pub depth: u32,
    /// Whether the host writes down what goes through it.
    pub captured: bool,
}
fields!(Endpoint: header depth captured);

/// The most messages that an endpoint can keep.
pub const MAX_DEPTH: u32 = 1 << 16;

/// One endpoint: who waits there.
#[derive(Clone, Debug)]
pub struct EndpointActivity {
    /// Who waits there; a bar for the fast path, which looks here alone, while it is under capture.
    pub open: Queues,
    /// Who waits there while it is under capture.
    pub captured: Queues,
    /// The notification that its receivers wake for too.
    pub bound: NotificationId,
    /// Messages that it keeps.
    pub messages: u32,
}
fields!(EndpointActivity: open captured bound messages);

impl EndpointActivity {
    pub(crate) const NONE: EndpointActivity =
        EndpointActivity { open: Queues::EMPTY, captured: Queues::EMPTY, bound: NotificationId::NONE, messages: 0 };
}

/// A message whose sender has gone on.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Message {
    /// Neighbours in the endpoint's queue.
    pub link: Link,
    /// Where it waits.
    pub endpoint: EndpointId,
    /// What pays for its bytes.
    pub quota: QuotaId,
    /// Whose limit of queued messages it counts against.
    pub sender: ProcessId,
    /// The sender's serial, to know it from the next with its number.
    pub serial: u64,
    /// As delivered.
    pub badge: u64,
    /// As delivered.
    pub tag: u64,
    /// Bytes.
    pub length: u32,
}
fields!(Message: link endpoint quota sender serial badge tag length);

/// What the kernel keeps of a message: badge, tag, bytes, capabilities.
type Envelope = (u64, u64, u32, u8);

impl Authority {
    pub(crate) fn endpoint_created(&mut self, endpoint: EndpointId, quota: QuotaId, depth: u32, place: Place) {
        let header = Header::new(quota, endpoint_price(depth), 0);
        self.endpoints.insert(endpoint.0, Endpoint { header, depth, captured: false });
        self.enrol(endpoint.into());
        self.first_capability(endpoint.into(), place, Kind::Endpoint.rights());
    }
}

pub(crate) fn endpoint_price(depth: u32) -> u64 {
    OBJECT_PRICE + u64::from(depth) * MESSAGE_PRICE
}

impl Activity {
    /// A call to a server that waits.
    pub(crate) fn called(&mut self, caller: ThreadId, server: ThreadId, envelope: Envelope, deadline: u64) {
        let record = self.block(caller, State::AwaitingReply, deadline);
        record.call = record.call.wrapping_add(1).max(1);
        self.serve(caller, server, envelope);
    }

    /// The call of a thread, which is in no queue, is given to a server.
    fn serve(&mut self, caller: ThreadId, server: ThreadId, (badge, tag, length, capabilities): Envelope) {
        let reply = ReplyToken::new(caller.0, self.thread(caller).call);
        let endpoint = EndpointId(self.view(server).on);
        self.expect_answer(caller, endpoint);
        self.lend(caller, server);
        let delivery = Delivery { kind: DeliveryKind::Called, capabilities, length, badge, tag, reply };
        self.deliver(server, PayloadSource::Thread(caller), delivery);
    }

    /// The message of a thread waits for a receiver, and the thread with it.
    pub(crate) fn queue_sender(
        &mut self,
        thread: ThreadId,
        state: State,
        via: CapabilityId,
        (badge, tag, length, capabilities): Envelope,
        deadline: u64,
        authority: &Authority,
    ) {
        let endpoint = authority.capabilities.get(via).map_or(EndpointId::NONE, |via| EndpointId(via.index));
        let record = self.block(thread, state, deadline);
        (record.via, record.on) = (via, endpoint.0);
        if state == State::Calling {
            record.call = record.call.wrapping_add(1).max(1);
        }
        let detail = self.detail(thread);
        (detail.badge, detail.tag, detail.length, detail.capabilities) = (badge, tag, length, capabilities);
        detail.offers = [None; MAX_TRANSFERS];
        self.push(QueueId::Senders(endpoint), Entry::thread(thread));
    }

    /// A message to a receiver that waits; its sender goes on.
    pub(crate) fn sent(&mut self, sender: ThreadId, receiver: ThreadId, (badge, tag, length, capabilities): Envelope) {
        let delivery = Delivery { kind: DeliveryKind::Sent, capabilities, length, badge, tag, reply: ReplyToken::NONE };
        self.deliver(receiver, PayloadSource::Thread(sender), delivery);
    }

    pub(crate) fn message_queued(
        &mut self,
        sender: ThreadId,
        endpoint: EndpointId,
        message: BufferId,
        quota: QuotaId,
        (badge, tag, length): (u64, u64, u32),
    ) {
        let process = self.thread(sender).process;
        let record = self.process(process);
        record.queued_messages += 1;
        let serial = record.serial;
        if let Some(queued) = self.queued.get_mut(quota.index()) {
            *queued += u64::from(length);
        }
        if let Some(messages) = self.paid.get_mut(quota.index()) {
            *messages += 1;
        }
        let link = Link::NONE;
        self.messages.insert(message.0, Message { link, endpoint, quota, sender: process, serial, badge, tag, length });
        self.endpoint(endpoint).messages += 1;
        self.push(QueueId::Senders(endpoint), Entry::message(message));
        self.effects.push_back(Effect::Store { from: sender, buffer: message });
    }

    /// Takes a queued message out, and off the accounts of who sent it.
    fn take_message(&mut self, id: BufferId) -> Option<Message> {
        let endpoint = self.messages.get(id.0)?.endpoint;
        self.remove(QueueId::Senders(endpoint), Entry::message(id));
        let message = self.messages.remove(id.0)?;
        self.endpoint(endpoint).messages -= 1;
        if let Some(queued) = self.queued.get_mut(message.quota.index()) {
            *queued -= u64::from(message.length);
        }
        if let Some(messages) = self.paid.get_mut(message.quota.index()) {
            *messages -= 1;
        }
        let sender = self.process(message.sender);
        if sender.serial == message.serial {
            sender.queued_messages -= 1;
        }
        Some(message)
    }

    fn discard_message(&mut self, id: BufferId) {
        if self.take_message(id).is_some() {
            self.effects.push_back(Effect::Discard(id));
        }
    }

    /// A thread gets what stood first at an endpoint.
    pub(crate) fn received(&mut self, thread: ThreadId, endpoint: EndpointId, entry: Entry, authority: &Authority) {
        self.stop_serving(thread);
        self.thread(thread).on = endpoint.0;
        match entry.queued() {
            Some(Queued::Thread(sender)) => {
                self.remove(QueueId::Senders(endpoint), entry);
                self.receive_thread(thread, sender, authority);
            }
            Some(Queued::Message(id)) => {
                let Some(Message { badge, tag, length, serial, .. }) = self.take_message(id) else { return };
                let delivery =
                    Delivery { kind: DeliveryKind::Sent, capabilities: 0, length, badge, tag, reply: ReplyToken::NONE };
                self.capture_from(serial, thread, PayloadSource::Buffer(id), &delivery);
                self.deliver(thread, PayloadSource::Buffer(id), delivery);
            }
            Some(Queued::Exit(process)) => self.receive_exit(thread, process, authority),
            Some(Queued::Notification(notification)) => self.receive_bits(thread, notification),
            None => {}
        }
    }

    fn receive_thread(&mut self, thread: ThreadId, sender: ThreadId, authority: &Authority) {
        let detail = self.detail(sender);
        let envelope = (detail.badge, detail.tag, detail.length, detail.capabilities);
        match self.thread(sender).state {
            State::Calling => {
                self.thread(sender).state = State::AwaitingReply;
                self.serve(sender, thread, envelope);
            }
            State::Sending => {
                self.sent(sender, thread, envelope);
                self.cancel(sender, TimerKind::Timeout);
                self.effects.push_back(Effect::Complete { thread: sender, result: Ok(Returned::Nothing) });
                self.make_ready(sender, End::Back);
            }
            State::Faulted => {
                let process = self.thread(sender).process;
                let badge = authority.supervisor(process).map_or(0, |(_, badge)| badge);
                self.deliver_fault(sender, thread, badge, authority);
            }
            _ => {}
        }
    }

    fn receive_exit(&mut self, thread: ThreadId, process: ProcessId, authority: &Authority) {
        let queue = match core::mem::replace(&mut self.process(process).exit, ExitMessage::None) {
            ExitMessage::None => return,
            ExitMessage::Announced => QueueId::Announced,
            ExitMessage::Queued { endpoint } => QueueId::Senders(endpoint),
        };
        self.remove(queue, Entry::exit(process));
        let Some(record) = authority.processes.get(process.0) else { return };
        let ProcessLife::Exited { reason, code } = record.life else { return };
        let words = exit_words(reason as u8, code, record.serial, self.processor_time(process));
        let badge = authority.supervisor(process).map_or(0, |(_, badge)| badge);
        let kind = DeliveryKind::Exit;
        let delivery = Delivery { kind, capabilities: 0, length: 0, badge, tag: TAG_EXIT, reply: ReplyToken::NONE };
        self.deliver(thread, PayloadSource::Kernel(words), delivery);
    }

    /// A thread waits for a message. What it was lent goes back.
    pub(crate) fn receiving(&mut self, thread: ThreadId, via: CapabilityId, deadline: u64, authority: &Authority) {
        let endpoint = authority.capabilities.get(via).map_or(EndpointId::NONE, |via| EndpointId(via.index));
        self.stop_serving(thread);
        let record = self.block(thread, State::Receiving, deadline);
        (record.via, record.on) = (via, endpoint.0);
        self.push(QueueId::Receivers(endpoint), Entry::thread(thread));
    }

    /// A thread has replied; what it receives is decided next. A verdict may have ended
    /// the thread itself.
    pub(crate) fn receive_next(&mut self, thread: ThreadId, via: CapabilityId, deadline: u64) {
        if self.view(thread).state == State::Absent {
            return;
        }
        self.block(thread, State::AboutToReceive, deadline).via = via;
        self.about_to_receive = thread;
    }

    /// The answer to a caller, who goes on.
    pub(crate) fn replied(&mut self, server: ThreadId, caller: ThreadId, tag: u64, length: u32, capabilities: u8) {
        let delivery =
            Delivery { kind: DeliveryKind::Answer, capabilities, length, badge: 0, tag, reply: ReplyToken::NONE };
        self.deliver(caller, PayloadSource::Thread(server), delivery);
    }

    /// The endpoint is gone: what waits there is told or dropped.
    pub(crate) fn endpoint_gone(&mut self, endpoint: EndpointId) {
        while let Some(entry) = self.queue(QueueId::Senders(endpoint)).head.queued() {
            match entry {
                Queued::Thread(thread) if self.thread(thread).state == State::Faulted => self.orphan(thread),
                Queued::Thread(thread) => self.fail(thread, Error::Revoked),
                Queued::Message(message) => self.discard_message(message),
                Queued::Exit(process) => self.supervisor_lost(process),
                Queued::Notification(notification) => {
                    self.remove(QueueId::Senders(endpoint), Entry::notification(notification))
                }
            }
        }
        while let Some(thread) = self.first_thread(QueueId::Receivers(endpoint)) {
            self.fail(thread, Error::Revoked);
        }
        let bound = self.endpoint(endpoint).bound;
        self.unbound(bound);
        self.capture_ended(endpoint);
        *self.endpoint(endpoint) = EndpointActivity::NONE;
    }

    /// What paid for queued messages is gone: they go with it.
    pub(crate) fn quota_gone(&mut self, quota: QuotaId) {
        let mut id = 0;
        while self.paid.get(quota.index()).is_some_and(|&messages| messages > 0) && id < self.messages.reach() as u32 {
            if self.messages.get(id).is_some_and(|message| message.quota == quota) {
                self.discard_message(BufferId(id));
            }
            id += 1;
        }
    }
}

impl Kernel {
    /// The endpoint that a handle of the caller names, to send this message there.
    fn destination(
        &self,
        caller: Caller,
        endpoint: Handle,
        message: &Sent<'_>,
    ) -> Result<(CapabilityId, &Capability), Error> {
        let rights = if message.transfers.is_empty() { Rights::SEND } else { Rights::SEND.or(Rights::GRANT) };
        let found = self.authority.lookup(caller.process, endpoint, Kind::Endpoint, rights, caller.now)?;
        self.check_message(caller, message)?;
        Ok(found)
    }

    pub(crate) fn check_message(&self, caller: Caller, message: &Sent<'_>) -> Result<(), Error> {
        if message.length as usize > MAX_BYTES || message.transfers.len() > MAX_TRANSFERS {
            return Err(Error::TooLarge);
        }
        self.check_transfers(caller, message.transfers)
    }

    pub(crate) fn decide_endpoint_create(&self, caller: Caller, quota: Handle, depth: u32) -> Result<Decision, Error> {
        let quota = self.paying(caller, quota)?;
        if depth > MAX_DEPTH {
            return Err(Error::InvalidArgument);
        }
        self.afford(quota, endpoint_price(depth), 0)?;
        let place = self.place(caller.process, 0)?;
        let endpoint = EndpointId(self.authority.endpoints.vacant()?);
        Ok(Decision::done(
            Returned::Handle(self.handle_at(place)),
            Change::EndpointCreated { endpoint, quota, depth, place },
        ))
    }

    pub(crate) fn decide_call(
        &self,
        caller: Caller,
        endpoint: Handle,
        message: &Sent<'_>,
        timeout: u64,
    ) -> Result<Decision, Error> {
        let (via, capability) = self.destination(caller, endpoint, message)?;
        if timeout == 0 {
            // An answer cannot be there already.
            return Err(Error::WouldBlock);
        }
        let deadline = caller.deadline(timeout);
        let Sent { tag, length, transfers } = *message;
        let (badge, capabilities) = (capability.badge, transfers.len() as u8);
        let Some(server) = self.activity.first_thread(QueueId::Receivers(EndpointId(capability.index))) else {
            return Ok(self.block_sender(caller, via, DeliveryKind::Called, badge, message, deadline));
        };
        let change = Doing::Called { caller: caller.thread, server, badge, tag, length, capabilities, deadline };
        let mut decision = Decision::new(Outcome::Blocked, change);
        self.transfer(&mut decision, caller.process, transfers.iter().copied(), server, caller.now)?;
        Ok(decision)
    }

    pub(crate) fn decide_send(
        &self,
        caller: Caller,
        endpoint: Handle,
        message: &Sent<'_>,
        timeout: u64,
    ) -> Result<Decision, Error> {
        let (via, capability) = self.destination(caller, endpoint, message)?;
        let endpoint = EndpointId(capability.index);
        let Sent { tag, length, transfers } = *message;
        let (badge, capabilities) = (capability.badge, transfers.len() as u8);
        if let Some(receiver) = self.activity.first_thread(QueueId::Receivers(endpoint)) {
            let change = Doing::Sent { sender: caller.thread, receiver, badge, tag, length, capabilities };
            let mut decision = Decision::done(Returned::Nothing, change);
            self.transfer(&mut decision, caller.process, transfers.iter().copied(), receiver, caller.now)?;
            return Ok(decision);
        }
        let depth = self.authority.endpoints.get(endpoint.0).map_or(0, |endpoint| endpoint.depth);
        let kept = self.activity.endpoints.get(endpoint.index()).map_or(0, |endpoint| endpoint.messages);
        // What is offered stays with the sender until it is received, so a message with
        // capabilities waits with its sender: docs/decisions/kernel-capabilities-in-messages.md.
        if kept < depth && transfers.is_empty() {
            let process = self.authority.processes.get(caller.process.0).ok_or(Error::InvalidArgument)?;
            let quota = process.header.quota;
            let sent = self.activity.processes.get(caller.process.index()).map_or(0, |sender| sender.queued_messages);
            if sent >= process.limits.queued_messages {
                return Err(Error::QuotaExceeded);
            }
            self.afford(quota, u64::from(length), 0)?;
            let message = BufferId(self.activity.messages.vacant()?);
            let change = Doing::MessageQueued { sender: caller.thread, endpoint, message, quota, badge, tag, length };
            return Ok(Decision::done(Returned::Nothing, change));
        }
        if timeout == 0 {
            return Err(Error::WouldBlock);
        }
        Ok(self.block_sender(caller, via, DeliveryKind::Sent, badge, message, caller.deadline(timeout)))
    }

    fn block_sender(
        &self,
        caller: Caller,
        via: CapabilityId,
        kind: DeliveryKind,
        badge: u64,
        message: &Sent<'_>,
        deadline: u64,
    ) -> Decision {
        let Sent { tag, length, transfers } = *message;
        let (thread, calling, capabilities) = (caller.thread, kind == DeliveryKind::Called, transfers.len() as u8);
        let change = Doing::Blocked { thread, via, calling, badge, tag, length, capabilities, deadline };
        let mut decision = Decision::new(Outcome::Blocked, change);
        for (offer, position) in transfers.iter().zip(0..) {
            let abi::Transfer { handle, mode, rights, badge } = *offer;
            decision.push(Doing::Offered { thread, position, handle, mode, rights, badge });
        }
        decision
    }

    pub(crate) fn decide_receive(&self, caller: Caller, endpoint: Handle, timeout: u64) -> Result<Decision, Error> {
        let (via, _) = self.authority.lookup(caller.process, endpoint, Kind::Endpoint, Rights::RECEIVE, caller.now)?;
        self.receive(caller.thread, via, caller.deadline(timeout), caller.now)
    }

    /// What a receive gives now: what stands first at the endpoint, or a wait.
    fn receive(&self, thread: ThreadId, via: CapabilityId, deadline: u64, now: u64) -> Result<Decision, Error> {
        // What the reply before it ended may have had it.
        let endpoint = EndpointId(self.authority.capabilities.get(via).ok_or(Error::Revoked)?.index);
        let entry = self.activity.queue(QueueId::Senders(endpoint)).head;
        let mut decision = Decision::new(Outcome::Delivered, Doing::Received { thread, endpoint, entry });
        match entry.queued() {
            Some(Queued::Thread(sender)) => {
                let (record, detail) = (self.activity.view(sender), self.activity.detail_view(sender));
                if record.state != State::Faulted
                    && let Err(error) = self.transfer_offers(&mut decision, record.process, &detail.offers, thread, now)
                {
                    return Ok(self.pass_over(sender, error, thread, via, deadline));
                }
            }
            Some(Queued::Exit(process)) => decision.push(Change::ExitRead { process }),
            Some(_) => {}
            None if deadline <= now => return Err(Error::WouldBlock),
            None => return Ok(Decision::new(Outcome::Blocked, Doing::Receiving { thread, via, deadline })),
        }
        Ok(decision)
    }

    /// The receiver has no room for what rides on the message that stands first: its sender is told, as it would
    /// be if the receiver had waited, and the receiver goes on to what stands behind it.
    fn pass_over(
        &self,
        sender: ThreadId,
        error: Error,
        thread: ThreadId,
        via: CapabilityId,
        deadline: u64,
    ) -> Decision {
        let mut decision = Decision::new(Outcome::Blocked, Doing::Failed { thread: sender, error });
        if self.activity.about_to_receive != thread {
            decision.push(Doing::ReceiveNext { thread, via, deadline });
        }
        decision
    }

    /// The second half of `reply_receive`, when it was not a plain hand-over, or of a receive that passed over a message.
    pub(crate) fn decide_receive_next(&self, thread: ThreadId, now: u64) -> Decision {
        let record = self.activity.view(thread);
        let timed = record.flags & TIMED != 0;
        let deadline = if timed {
            self.activity.detail_view(thread).timers[TimerKind::Timeout as usize].deadline
        } else {
            FOREVER
        };
        self.receive(thread, record.via, deadline, now)
            .unwrap_or_else(|error| Decision::done(Returned::Nothing, Doing::Failed { thread, error }))
    }

    /// The caller that a token names, if this process may answer it.
    pub(crate) fn answerable(&self, process: ProcessId, token: ReplyToken) -> Result<ThreadId, Error> {
        if token.is_none() {
            return Err(Error::BadHandle);
        }
        let caller = ThreadId(token.thread());
        let record = self.activity.view(caller);
        let holder = if record.server.is_none() { record.holder } else { self.activity.view(record.server).process };
        if !matches!(record.state, State::AwaitingReply | State::AwaitingVerdict)
            || record.call != token.call()
            || holder != process
        {
            return Err(Error::StaleHandle);
        }
        Ok(caller)
    }

    pub(crate) fn decide_reply(
        &self,
        caller: Caller,
        reply: ReplyToken,
        message: &Sent<'_>,
    ) -> Result<Decision, Error> {
        let answered = self.answerable(caller.process, reply)?;
        self.check_message(caller, message)?;
        if self.activity.view(answered).state == State::AwaitingVerdict {
            return self.decide_verdict(answered, message.tag);
        }
        if message
            .transfers
            .iter()
            .any(|transfer| transfer.mode == abi::TransferMode::Reply && transfer.handle.0 == reply.0)
        {
            return Err(Error::InvalidArgument);
        }
        let Sent { tag, length, transfers } = *message;
        let change = Doing::Replied {
            server: caller.thread,
            caller: answered,
            tag,
            length,
            capabilities: transfers.len() as u8,
        };
        let mut decision = Decision::done(Returned::Nothing, change);
        self.transfer(&mut decision, caller.process, transfers.iter().copied(), answered, caller.now)?;
        Ok(decision)
    }

    fn decide_verdict(&self, thread: ThreadId, verdict: u64) -> Result<Decision, Error> {
        let fault = self.activity.detail_view(thread).fault.ok_or(Error::InvalidArgument)?;
        let process = self.activity.view(thread).process;
        match verdict {
            VERDICT_RESUME if fault.resumable => Ok(Decision::done(Returned::Nothing, Doing::FaultResumed { thread })),
            VERDICT_RESUME | VERDICT_KILL => {
                let change = Change::Exited { process, reason: ExitReason::Faulted, code: fault.kind as u64 };
                Ok(Decision::done(Returned::Nothing, change))
            }
            _ => Err(Error::InvalidArgument),
        }
    }

    /// The verdict that a fault is over, where there is nothing to receive afterwards. `None`: it is something
    /// else, or refused.
    #[inline(always)]
    pub(crate) fn decide_judged(
        &self,
        caller: Caller,
        endpoint: Handle,
        reply: ReplyToken,
        message: &Sent<'_>,
    ) -> Option<Brief> {
        let (thread, server) = (ThreadId(reply.thread()), caller.thread);
        let record = self.activity.threads.get(thread.index())?;
        let fault = self.activity.details.get(thread.index())?.fault?;
        let judged = record.state == State::AwaitingVerdict
            && record.call == reply.call()
            && record.holder == caller.process
            && fault.resumable
            && message.tag == VERDICT_RESUME
            && message.transfers.is_empty()
            && message.length as usize <= MAX_BYTES;
        let found = self.authority.lookup(caller.process, endpoint, Kind::Endpoint, Rights::RECEIVE, caller.now);
        let (via, capability) = found.ok()?;
        let waiting = self.activity.endpoints.get(capability.index as usize)?.open.senders;
        if !judged || !waiting.is_empty() {
            return None;
        }
        Some(Brief::new(BriefEnd::Waits, Doing::Judged { server, thread, via }))
    }

    pub(crate) fn decide_reply_receive(
        &self,
        caller: Caller,
        endpoint: Handle,
        reply: ReplyToken,
        message: &Sent<'_>,
        timeout: u64,
    ) -> Result<Decision, Error> {
        let (via, capability) =
            self.authority.lookup(caller.process, endpoint, Kind::Endpoint, Rights::RECEIVE, caller.now)?;
        let moves_it =
            |transfer: &abi::Transfer| transfer.mode == abi::TransferMode::Move && transfer.handle == endpoint;
        if message.transfers.iter().any(moves_it) {
            return Err(Error::InvalidArgument);
        }
        let mut decision = self.decide_reply(caller, reply, message)?;
        decision.outcome = Outcome::Blocked;
        let (thread, deadline) = (caller.thread, caller.deadline(timeout));
        // An answer that moves nothing and ends nothing leaves the endpoint as it is: nothing to receive now is
        // nothing to receive then.
        let answers = matches!(
            decision.commits[..],
            [Commit {
                change: Half::Activity(Doing::Replied { capabilities: 0, .. } | Doing::FaultResumed { .. }),
                ..
            }]
        );
        let queue = self.activity.queue(QueueId::Senders(EndpointId(capability.index)));
        if answers && queue.is_empty() && deadline > caller.now {
            decision.push(Doing::Receiving { thread, via, deadline });
        } else {
            decision.push(Doing::ReceiveNext { thread, via, deadline });
        }
        Ok(decision)
    }
}
