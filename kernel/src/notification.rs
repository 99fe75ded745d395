//! Notifications: a word of bits that is set by signals and taken by a waiter. One can
//! be bound to an endpoint, whose receivers then wake for it too: it stands in the
//! endpoint's queue while it has bits.

use crate::activity::Activity;
use crate::authority::{Authority, Header};
use crate::brief::{Brief, BriefEnd};
use crate::commit::{Activity as Doing, Authority as Change, Decision, Place};
use crate::effect::{PayloadSource, Sole};
use crate::encoding::fields;
use crate::ids::*;
use crate::queue::{Entry, Link, Queue, QueueId};
use crate::quota::OBJECT_PRICE;
use crate::schedule::End;
use crate::thread::{State, ThreadActivity};
use crate::{Caller, Kernel};
use abi::{Delivery, DeliveryKind, Error, Handle, Kind, ReplyToken, Returned, Rights};

/// One notification: what authority knows of it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Notification {
    pub(crate) header: Header,
}
fields!(Notification: header);

/// One notification: its bits and who waits.
#[derive(Clone, Debug)]
pub struct NotificationActivity {
    /// Signalled and not yet taken.
    pub bits: u64,
    /// Threads that wait for it.
    pub waiters: Queue,
    /// Whose receivers wake for it.
    pub endpoint: EndpointId,
    /// Neighbours in that endpoint's queue.
    pub link: Link,
    /// Whether it stands there.
    pub queued: bool,
}
fields!(NotificationActivity: bits waiters endpoint link queued);

impl NotificationActivity {
    pub(crate) const NONE: NotificationActivity = NotificationActivity {
        bits: 0,
        waiters: Queue::EMPTY,
        endpoint: EndpointId::NONE,
        link: Link::NONE,
        queued: false,
    };
}

impl Authority {
    pub(crate) fn notification_created(&mut self, notification: NotificationId, quota: QuotaId, place: Place) {
        self.notifications.insert(notification.0, Notification { header: Header::new(quota, OBJECT_PRICE, 0) });
        self.enrol(notification.into());
        self.first_capability(notification.into(), place, Kind::Notification.rights());
    }
}

impl Activity {
    /// Sets bits, and gives them to whoever waits: a waiter first, else a receiver of
    /// the endpoint.
    #[inline(always)]
    pub(crate) fn signal(&mut self, id: NotificationId, bits: u64) {
        let record = self.notification(id);
        record.bits |= bits;
        let nobody = record.waiters.is_empty() && (record.endpoint.is_none() || record.queued);
        if record.bits != 0 && !nobody {
            self.give_bits(id);
        }
    }

    /// Somebody waits for the bits, or an endpoint does.
    #[inline(always)]
    fn give_bits(&mut self, id: NotificationId) {
        if !self.wake_first(id) {
            self.give_bits_anywhere(id);
        }
    }

    /// Gives the bits to the first who waits for them, if there is nothing else to be done for it: no time-out.
    #[inline(always)]
    fn wake_first(&mut self, id: NotificationId) -> bool {
        let silent = self.is_silent();
        let Some(record) = self.notifications.get_mut(id.index()) else { return false };
        let waiter = self.threads.get(record.waiters.head.as_thread().index());
        if record.queued || !waiter.is_some_and(ThreadActivity::is_plain) || !silent {
            return false;
        }
        let Some(thread) = record.waiters.take_first(&mut self.threads) else { return false };
        let bits = core::mem::take(&mut record.bits);
        self.sole = Some(Sole::Woken { thread, bits });
        self.make_ready(thread, End::Back);
        true
    }

    fn give_bits_anywhere(&mut self, id: NotificationId) {
        if let Some(thread) = self.first_thread(QueueId::Waiters(id)) {
            let bits = self.take_bits(id);
            return self.finish_wait(thread, Ok(Returned::Value(bits)));
        }
        let endpoint = self.notification(id).endpoint;
        match self.first_thread(QueueId::Receivers(endpoint)) {
            Some(thread) => self.receive_bits(thread, id),
            None => {
                self.notification(id).queued = true;
                self.push(QueueId::Senders(endpoint), Entry::notification(id));
            }
        }
    }

    /// Clears the bits; what had none to give stands in no queue.
    fn take_bits(&mut self, id: NotificationId) -> u64 {
        self.leave_endpoint(id);
        core::mem::take(&mut self.notification(id).bits)
    }

    fn leave_endpoint(&mut self, id: NotificationId) {
        if core::mem::take(&mut self.notification(id).queued) {
            let endpoint = self.notification(id).endpoint;
            self.remove(QueueId::Senders(endpoint), Entry::notification(id));
        }
    }

    /// The bits go to a receiver.
    pub(crate) fn receive_bits(&mut self, thread: ThreadId, id: NotificationId) {
        let tag = self.take_bits(id);
        let kind = DeliveryKind::Notified;
        let delivery = Delivery { kind, capabilities: 0, length: 0, badge: 0, tag, reply: ReplyToken::NONE };
        self.deliver(thread, PayloadSource::Kernel([0; 8]), delivery);
    }

    /// The bits were taken by a thread that runs; it has them as the result of its call.
    pub(crate) fn taken(&mut self, _thread: ThreadId, id: NotificationId) {
        self.take_bits(id);
    }

    #[inline(always)]
    pub(crate) fn waiting(&mut self, thread: ThreadId, via: CapabilityId, deadline: u64, authority: &Authority) {
        let notification =
            authority.capabilities.get(via).map_or(NotificationId::NONE, |via| NotificationId(via.index));
        let record = self.block(thread, State::Waiting, deadline);
        (record.via, record.on) = (via, notification.0);
        if let Some(notification) = self.notifications.get_mut(notification.index()) {
            notification.waiters.append(thread, &mut self.threads);
        }
    }

    pub(crate) fn bound(&mut self, notification: NotificationId, endpoint: EndpointId) {
        self.notification(notification).endpoint = endpoint;
        self.endpoint(endpoint).bound = notification;
        self.signal(notification, 0);
    }

    pub(crate) fn unbound(&mut self, notification: NotificationId) {
        self.leave_endpoint(notification);
        let endpoint = core::mem::replace(&mut self.notification(notification).endpoint, EndpointId::NONE);
        self.endpoint(endpoint).bound = NotificationId::NONE;
    }

    /// The notification is gone: waiters are told, bindings end.
    pub(crate) fn notification_gone(&mut self, notification: NotificationId) {
        while let Some(thread) = self.first_thread(QueueId::Waiters(notification)) {
            self.fail(thread, Error::Revoked);
        }
        self.unbound(notification);
        for line in 0..self.interrupts.len() as u32 {
            if self.interrupt(InterruptId(line)).notification == notification {
                self.interrupt_unbound(InterruptId(line));
            }
        }
        *self.notification(notification) = NotificationActivity::NONE;
    }

    fn bits(&self, id: NotificationId) -> u64 {
        self.notifications.get(id.index()).map_or(0, |notification| notification.bits)
    }
}

impl Kernel {
    /// The notification that a handle of the caller names.
    pub(crate) fn notification(
        &self,
        caller: Caller,
        handle: Handle,
        rights: Rights,
    ) -> Result<(CapabilityId, NotificationId), Error> {
        let (via, capability) =
            self.authority.lookup(caller.process, handle, Kind::Notification, rights, caller.now)?;
        Ok((via, NotificationId(capability.index)))
    }

    pub(crate) fn decide_notification_create(&self, caller: Caller, quota: Handle) -> Result<Decision, Error> {
        let quota = self.paying(caller, quota)?;
        self.afford(quota, OBJECT_PRICE, 0)?;
        let place = self.place(caller.process, 0)?;
        let notification = NotificationId(self.authority.notifications.vacant()?);
        Ok(Decision::done(
            Returned::Handle(self.handle_at(place)),
            Change::NotificationCreated { notification, quota, place },
        ))
    }

    #[inline(always)]
    pub(crate) fn decide_signal(&self, caller: Caller, notification: Handle, bits: u64) -> Result<Brief, Error> {
        let (_, notification) = self.notification(caller, notification, Rights::SIGNAL)?;
        if bits == 0 {
            return Err(Error::InvalidArgument);
        }
        Ok(Brief::new(BriefEnd::Done, Doing::Signalled { notification, bits }))
    }

    #[inline(always)]
    pub(crate) fn decide_wait(&self, caller: Caller, notification: Handle, timeout: u64) -> Result<Brief, Error> {
        let (via, notification) = self.notification(caller, notification, Rights::WAIT)?;
        let (thread, bits) = (caller.thread, self.activity.bits(notification));
        if bits != 0 {
            return Ok(Brief::new(BriefEnd::Value(bits), Doing::Taken { thread, notification }));
        }
        if timeout == 0 {
            return Err(Error::WouldBlock);
        }
        Ok(Brief::new(BriefEnd::Waits, Doing::Waiting { thread, via, deadline: caller.deadline(timeout) }))
    }

    #[inline(always)]
    pub(crate) fn decide_poll(&self, caller: Caller, notification: Handle) -> Result<Brief, Error> {
        let (_, notification) = self.notification(caller, notification, Rights::WAIT)?;
        let bits = self.activity.bits(notification);
        if bits == 0 {
            return Ok(Brief::nothing(BriefEnd::Value(0)));
        }
        Ok(Brief::new(BriefEnd::Value(bits), Doing::Taken { thread: caller.thread, notification }))
    }

    pub(crate) fn decide_notification_bind(
        &self,
        caller: Caller,
        notification: Handle,
        endpoint: Handle,
    ) -> Result<Decision, Error> {
        let (_, notification) = self.notification(caller, notification, Rights::WAIT)?;
        let (_, endpoint) =
            self.authority.lookup(caller.process, endpoint, Kind::Endpoint, Rights::RECEIVE, caller.now)?;
        let endpoint = EndpointId(endpoint.index);
        let taken = self.activity.endpoints.get(endpoint.index()).is_some_and(|endpoint| !endpoint.bound.is_none());
        if taken || !self.activity.endpoint_of(notification).is_none() {
            return Err(Error::AlreadyBound);
        }
        Ok(Decision::done(Returned::Nothing, Doing::Bound { notification, endpoint }))
    }

    pub(crate) fn decide_notification_unbind(&self, caller: Caller, notification: Handle) -> Result<Decision, Error> {
        let (_, notification) = self.notification(caller, notification, Rights::WAIT)?;
        if self.activity.endpoint_of(notification).is_none() {
            return Err(Error::NotBound);
        }
        Ok(Decision::done(Returned::Nothing, Doing::Unbound { notification }))
    }
}

impl Activity {
    fn endpoint_of(&self, id: NotificationId) -> EndpointId {
        self.notifications.get(id.index()).map_or(EndpointId::NONE, |notification| notification.endpoint)
    }
}
