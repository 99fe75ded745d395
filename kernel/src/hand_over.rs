//! The fast path: a call to a server that waits, and the reply to the caller that is
//! being served with nothing else to receive. No queue, no scheduler, no effect
//! queue: the server runs in the caller's stead, with its time and at least its
//! priority, and the other way round. Nothing is charged, since the same thread pays
//! before and after.
//!
//! `hand_over` judges and changes nothing; whatever is out of the ordinary gives
//! `None`, and `decide` says what becomes of it.

use crate::Kernel;
use crate::activity::Activity;
use crate::commit::{ANSWERED, HANDED_OVER, fixed};
use crate::ids::*;
use crate::queue::{Entry, Link};
use crate::thread::State;
use abi::message::MAX_BYTES;
use abi::{FOREVER, Handle, Kind, ReplyToken, Request, Rights};

/// A message that goes straight from one thread to another, which runs next.
#[derive(Clone, Copy, Debug)]
pub struct HandOver {
    /// The commit in its compact form.
    pub commit: [u64; 2],
    /// Who sends, and waits afterwards.
    pub from: ThreadId,
    /// Who gets it, and runs.
    pub to: ThreadId,
    /// The badge of the caller's capability; 0 of an answer.
    pub badge: u64,
    /// The right to answer; [`ReplyToken::NONE`]: this is an answer.
    pub reply: ReplyToken,
    /// Where a server that answered waits: endpoint and capability.
    at: (EndpointId, CapabilityId),
}

impl Kernel {
    /// The fast path, if this is one.
    #[inline(always)]
    pub fn hand_over(&self, thread: ThreadId, request: &Request<'_>, now: u64) -> Option<HandOver> {
        match request {
            Request::Call { endpoint, message, timeout: FOREVER }
                if message.transfers.is_empty() && message.length as usize <= MAX_BYTES =>
            {
                self.hand_over_call(thread, *endpoint, now)
            }
            Request::ReplyReceive { endpoint, reply, message, timeout: FOREVER }
                if message.transfers.is_empty() && message.length as usize <= MAX_BYTES =>
            {
                self.hand_over_answer(thread, *endpoint, *reply, now)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn hand_over_call(&self, thread: ThreadId, endpoint: Handle, now: u64) -> Option<HandOver> {
        if thread != self.activity.current {
            return None;
        }
        let caller = self.activity.threads.get(thread.index())?;
        let (_, endpoint, badge) = self.usable_endpoint(caller.process, endpoint, Rights::SEND, now)?;
        let to = self.activity.endpoints.get(endpoint.index())?.open.receivers.head.as_thread();
        let server = self.activity.threads.get(to.index())?;
        let call = caller.call.checked_add(1)?;
        if server.flags != 0 {
            return None;
        }
        Some(HandOver {
            commit: fixed(HANDED_OVER, thread.0, to.0, 0),
            from: thread,
            to,
            badge,
            reply: ReplyToken::new(thread.0, call),
            at: (EndpointId::NONE, CapabilityId::NONE),
        })
    }

    #[inline(always)]
    fn hand_over_answer(&self, thread: ThreadId, endpoint: Handle, reply: ReplyToken, now: u64) -> Option<HandOver> {
        if thread != self.activity.current {
            return None;
        }
        let server = self.activity.threads.get(thread.index())?;
        let to = ThreadId(reply.thread());
        let caller = self.activity.threads.get(to.index())?;
        if server.serving != to || caller.call != reply.call() || caller.flags != 0 {
            return None;
        }
        // Another thread may be readier than the caller.
        if self.activity.ready_priorities >> caller.priority > 1 {
            return None;
        }
        let (via, endpoint, _) = self.usable_endpoint(server.process, endpoint, Rights::RECEIVE, now)?;
        if !self.activity.endpoints.get(endpoint.index())?.open.senders.is_empty() {
            return None;
        }
        Some(HandOver {
            commit: fixed(ANSWERED, thread.0, to.0, via.0),
            from: thread,
            to,
            badge: 0,
            reply: ReplyToken::NONE,
            at: (endpoint, via),
        })
    }

    /// The endpoint that a handle names, and the badge, if nothing speaks against its use.
    #[inline(always)]
    fn usable_endpoint(
        &self,
        process: ProcessId,
        handle: Handle,
        rights: Rights,
        now: u64,
    ) -> Option<(CapabilityId, EndpointId, u64)> {
        let slot = self.authority.tables.get(process.index())?.slots.get(handle.slot() as usize)?;
        // Of a free slot the capability is none that exists.
        let capability = self.authority.capabilities.get(slot.capability)?;
        if slot.generation != handle.generation()
            || capability.kind != Kind::Endpoint
            || !capability.rights.contains(rights)
            || capability.expiry <= now
        {
            return None;
        }
        Some((slot.capability, EndpointId(capability.index), capability.badge))
    }

    /// Carries out what [`Kernel::hand_over`] found. The delivery is the door's to make;
    /// no effect is queued.
    #[inline(always)]
    pub fn apply_hand_over(&mut self, hand_over: &HandOver) {
        if hand_over.reply.is_none() {
            let (endpoint, via) = hand_over.at;
            self.activity.answered(hand_over.from, hand_over.to, via, endpoint);
        } else {
            self.activity.handed_over(hand_over.from, hand_over.to);
        }
    }
}

impl Activity {
    /// The server runs for the caller.
    #[inline(always)]
    pub(crate) fn handed_over(&mut self, caller: ThreadId, server: ThreadId) {
        let Some(record) = self.threads.get_mut(caller.index()) else { return };
        record.state = State::AwaitingReply;
        record.call = record.call.wrapping_add(1);
        record.server = server;
        let (payer, priority) = (record.payer, record.priority);

        let Some(record) = self.threads.get_mut(server.index()) else { return };
        record.state = State::Running;
        record.serving = caller;
        record.payer = payer;
        record.priority = record.base.max(priority);
        let next = core::mem::replace(&mut record.link.next, Entry::NONE);
        let endpoint = EndpointId(record.on);

        let Some(endpoint) = self.endpoints.get_mut(endpoint.index()) else { return };
        endpoint.open.receivers.head = next;
        if next.is_none() {
            endpoint.open.receivers.tail = Entry::NONE;
        } else if let Some(next) = self.threads.get_mut(next.as_thread().index()) {
            next.link.previous = Entry::NONE;
        }
        self.current = server;
    }

    /// The caller goes on, the server waits for the next.
    #[inline(always)]
    pub(crate) fn answered(&mut self, server: ThreadId, caller: ThreadId, via: CapabilityId, endpoint: EndpointId) {
        let Some(record) = self.threads.get_mut(caller.index()) else { return };
        record.state = State::Running;
        record.server = ThreadId::NONE;

        let Some(queue) = self.endpoints.get_mut(endpoint.index()).map(|endpoint| &mut endpoint.open.receivers) else {
            return;
        };
        let previous = core::mem::replace(&mut queue.tail, Entry::thread(server));
        if previous.is_none() {
            queue.head = Entry::thread(server);
        } else if let Some(previous) = self.threads.get_mut(previous.as_thread().index()) {
            previous.link.next = Entry::thread(server);
        }

        let Some(record) = self.threads.get_mut(server.index()) else { return };
        record.state = State::Receiving;
        record.serving = ThreadId::NONE;
        record.payer = server;
        record.priority = record.base;
        record.via = via;
        record.on = endpoint.0;
        record.link = Link { previous, next: Entry::NONE };
        self.current = caller;
    }
}
