//! The one place where a process waits. A thread can wait in one system call at a
//! time, so everything that tasks wait for comes through this: messages of the one
//! endpoint that the process serves, bits of its one notification (bound to that
//! endpoint: device completions, stop requests), and time, as the time-out of the wait.
//!
//! When every task waits, the executor calls [`park`], which makes the one blocking
//! call that fits: `receive` (or `reply-receive`, if an answer was held back for it)
//! when a task wants messages, else `wait`.

use crate::capability::{Cap, Endpoint, Notification, Quota};
use crate::system::{self, Arrived, Blocking, NO_WORDS};
use crate::wire::{Passing, Payload};
use crate::{Outgoing, context};
use abi::message::Message;
use abi::{DeliveryKind, Error, FOREVER, Handle, ReplyToken, Request, Returned, device};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::{Poll, Waker};

/// Bit of the process's notification that asks it to end.
pub(crate) const STOP_BIT: u32 = 0;

pub(crate) struct Reactor {
    /// What pays for the notification.
    quota: Handle,
    /// Tells the time; without one, time is what was waited at least.
    clock: Handle,
    elapsed: u64,
    notification: Option<Cap<Notification>>,
    /// The endpoint that the process serves, and whether the notification is bound to it.
    endpoint: Handle,
    bound: bool,
    messages: VecDeque<Result<Arrived, Error>>,
    message_waiter: Option<Waker>,
    held_back: Option<HeldBack>,
    /// Bits of the notification that are given out; bits that came and nobody waited for.
    used_bits: u64,
    seen_bits: u64,
    bit_waiters: Vec<(u64, Waker)>,
    /// By deadline (ns since boot) and number.
    timers: BTreeMap<(u64, u64), Waker>,
    timer_count: u64,
    yielded: Vec<Waker>,
    /// How often the process has looked at its events.
    looks: u64,
}

/// An answer that goes with the next `receive`, in one system call.
struct HeldBack {
    token: ReplyToken,
    tag: u64,
    payload: Payload,
    passing: Passing,
}

/// Nothing can ever wake the process again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NothingToWaitFor;

impl Reactor {
    pub(crate) const fn new() -> Reactor {
        Reactor {
            quota: Handle::NONE,
            clock: Handle::NONE,
            elapsed: 0,
            notification: None,
            endpoint: Handle::NONE,
            bound: false,
            messages: VecDeque::new(),
            message_waiter: None,
            held_back: None,
            used_bits: 1 << STOP_BIT,
            seen_bits: 0,
            bit_waiters: Vec::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            yielded: Vec::new(),
            looks: 0,
        }
    }

    fn fire_timers(&mut self, now: u64) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            entry.remove().wake();
        }
    }

    fn bits_came(&mut self, bits: u64) {
        self.seen_bits |= bits;
        self.bit_waiters.retain(|(mask, waker)| {
            let hit = mask & bits != 0;
            if hit {
                waker.wake_by_ref();
            }
            !hit
        });
    }

    fn message_came(&mut self, message: Result<Arrived, Error>) {
        self.messages.push_back(message);
        if let Some(waker) = self.message_waiter.take() {
            waker.wake();
        }
    }
}

fn with<R>(body: impl FnOnce(&mut Reactor) -> R) -> Option<R> {
    context::with(|context| body(&mut context.reactor.borrow_mut()))
}

/// Tells the reactor what the process was given.
pub(crate) fn equip(quota: Handle, clock: Handle, stop: Option<Cap<Notification>>) {
    with(|reactor| {
        reactor.quota = quota;
        reactor.clock = clock;
        reactor.notification = stop;
    });
}

/// What this thread pays with, and its clock.
#[cfg(target_os = "none")]
pub(crate) fn equipment() -> (Handle, Handle) {
    with(|reactor| (reactor.quota, reactor.clock)).unwrap_or_default()
}

/// Time in ns since boot, from the clock device; without one, the time that this
/// process has waited at least.
pub(crate) fn now() -> u64 {
    let (clock, elapsed) = with(|reactor| (reactor.clock, reactor.elapsed)).unwrap_or_default();
    if clock.is_none() {
        return elapsed;
    }
    system::value(&Request::DeviceRead { device: clock, register: device::CLOCK_MONOTONIC }, &[]).unwrap_or(elapsed)
}

/// Registers a timer; its number.
pub(crate) fn timer(deadline: u64, waker: &Waker) -> u64 {
    with(|reactor| {
        reactor.timer_count += 1;
        reactor.timers.insert((deadline, reactor.timer_count), waker.clone());
        reactor.timer_count
    })
    .unwrap_or_default()
}

/// Whether a registered timer has fired; else it will wake `waker`.
pub(crate) fn timer_fired(deadline: u64, number: u64, waker: &Waker) -> bool {
    with(|reactor| match reactor.timers.get_mut(&(deadline, number)) {
        Some(registered) => {
            registered.clone_from(waker);
            false
        }
        None => true,
    })
    .unwrap_or(true)
}

pub(crate) fn forget_timer(deadline: u64, number: u64) {
    with(|reactor| reactor.timers.remove(&(deadline, number)));
}

/// How often the process has looked at its events.
pub(crate) fn looks() -> u64 {
    with(|reactor| reactor.looks).unwrap_or_default()
}

/// Wakes `waker` once the process has looked at its events.
pub(crate) fn wake_after_events(waker: &Waker) {
    with(|reactor| reactor.yielded.push(waker.clone()));
}

/// The handle of the process's notification, which is made when it is first needed.
pub(crate) fn notification() -> Result<Handle, Error> {
    let made = with(|reactor| reactor.notification.as_ref().map(Cap::handle).ok_or(reactor.quota));
    match made.ok_or(Error::Unsupported)? {
        Ok(handle) => Ok(handle),
        Err(quota) => {
            let quota = core::mem::ManuallyDrop::new(Cap::<Quota>::from_handle(quota));
            let made = Cap::<Notification>::create(&quota)?;
            let handle = made.handle();
            with(|reactor| reactor.notification = Some(made));
            bind()?;
            Ok(handle)
        }
    }
}

/// Receives from no endpoint any more: another process can.
pub(crate) fn cease() {
    with(|reactor| {
        let bound = core::mem::take(&mut reactor.bound);
        reactor.endpoint = Handle::NONE;
        reactor.message_waiter = None;
        reactor.notification.as_ref().filter(|_| bound).map(Cap::handle)
    })
    .flatten()
    // It may have been revoked, and is unbound then.
    .map(|notification| system::plain(&Request::NotificationUnbind { notification }, &[]));
}

/// Serves `endpoint` from now on. Of an earlier one nothing is received any more.
pub(crate) fn serve(endpoint: &Cap<Endpoint>) -> Result<(), Error> {
    let (before, was_bound, notification) = with(|reactor| {
        let before = (reactor.endpoint, reactor.bound, reactor.notification.as_ref().map(Cap::handle));
        reactor.endpoint = endpoint.handle();
        reactor.bound = false;
        before
    })
    .ok_or(Error::Unsupported)?;
    if let (true, false, Some(notification)) = (was_bound, before.is_none(), notification) {
        system::plain(&Request::NotificationUnbind { notification }, &[])?;
    }
    bind()
}

/// Binds notification and endpoint, when there are both.
fn bind() -> Result<(), Error> {
    let pair = with(|reactor| match &reactor.notification {
        Some(notification) if !reactor.endpoint.is_none() && !reactor.bound => {
            Some((notification.handle(), reactor.endpoint))
        }
        _ => None,
    });
    if let Some((notification, endpoint)) = pair.flatten() {
        match system::plain(&Request::NotificationBind { notification, endpoint }, &[]) {
            // A restarted service finds its endpoint; what was bound went with its predecessor.
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        with(|reactor| reactor.bound = true);
    }
    Ok(())
}

/// A bit of the notification that nobody else has; `QuotaExceeded` when all 64 are given.
pub(crate) fn take_bit() -> Result<u32, Error> {
    with(|reactor| {
        let bit = (!reactor.used_bits).trailing_zeros();
        if bit >= 64 {
            return Err(Error::QuotaExceeded);
        }
        reactor.used_bits |= 1 << bit;
        reactor.seen_bits &= !(1 << bit);
        Ok(bit)
    })
    .unwrap_or(Err(Error::Unsupported))
}

pub(crate) fn return_bit(bit: u32) {
    with(|reactor| reactor.used_bits &= !(1 << bit));
}

/// Ready when the bit has come since it was last asked for.
pub(crate) fn poll_bit(bit: u32, waker: &Waker) -> Poll<()> {
    with(|reactor| {
        if reactor.seen_bits & (1 << bit) != 0 {
            reactor.seen_bits &= !(1 << bit);
            return Poll::Ready(());
        }
        reactor.bit_waiters.retain(|(mask, other)| *mask != 1 << bit || !other.will_wake(waker));
        reactor.bit_waiters.push((1 << bit, waker.clone()));
        Poll::Pending
    })
    .unwrap_or(Poll::Ready(()))
}

/// The next message of the endpoint that is served.
pub(crate) fn poll_message(waker: &Waker) -> Poll<Result<Arrived, Error>> {
    with(|reactor| match reactor.messages.pop_front() {
        Some(message) => Poll::Ready(message),
        None => {
            reactor.message_waiter = Some(waker.clone());
            Poll::Pending
        }
    })
    .unwrap_or(Poll::Ready(Err(Error::Unsupported)))
}

/// Nobody wants messages any more.
pub(crate) fn stop_messages() {
    with(|reactor| reactor.message_waiter = None);
}

/// Answers a call: at once if tasks of the process still have something to do, else together
/// with the next wait.
pub(crate) fn answer(token: ReplyToken, tag: u64, payload: Payload, passing: Passing) {
    send_held_back();
    with(|reactor| reactor.held_back = Some(HeldBack { token, tag, payload, passing }));
}

/// Sends the answer that is held back, if there is one. Before anything that may take long.
pub(crate) fn send_held_back() {
    // While the process is blocked it makes no other call; what is held back comes after.
    if context::with(|context| context.blocked.call.get().is_some()) == Some(true) {
        return;
    }
    let Some(HeldBack { token, tag, payload, passing }) = with(|reactor| reactor.held_back.take()).flatten() else {
        return;
    };
    let Ok(transfers) = passing.transfers() else { return };
    let message = Message { tag, length: payload.bytes.len() as u32, transfers };
    // An error means that the caller has gone or no longer waits: nobody to tell.
    if system::sending(&Request::Reply { reply: token, message }, &payload.words, &payload.bytes).is_ok() {
        passing.went();
    }
}

enum Plan {
    Receive { endpoint: Handle, timeout: u64 },
    Wait { timeout: u64 },
    Fired,
    Nothing,
}

fn plan() -> Plan {
    let timers = with(|reactor| !reactor.timers.is_empty()).unwrap_or_default();
    let now = if timers { now() } else { 0 };
    with(|reactor| {
        let mut timeout = FOREVER;
        if let Some(((deadline, _), _)) = reactor.timers.first_key_value() {
            if *deadline <= now {
                reactor.fire_timers(now);
                return Plan::Fired;
            }
            timeout = (deadline - now).min(FOREVER - 1);
        }
        if !reactor.yielded.is_empty() {
            timeout = 0;
        }
        let wants_message = reactor.message_waiter.is_some() && reactor.messages.is_empty();
        if wants_message && !reactor.endpoint.is_none() {
            Plan::Receive { endpoint: reactor.endpoint, timeout }
        } else if timeout != FOREVER || !reactor.bit_waiters.is_empty() {
            Plan::Wait { timeout }
        } else {
            Plan::Nothing
        }
    })
    .unwrap_or(Plan::Nothing)
}

/// Blocks the process until something that a task waits for may have happened.
pub(crate) async fn park() -> Result<(), NothingToWaitFor> {
    match plan() {
        Plan::Fired => {}
        Plan::Nothing => {
            send_held_back();
            return Err(NothingToWaitFor);
        }
        Plan::Receive { endpoint, timeout } => {
            let came = receive(endpoint, timeout).await;
            came_by_receive(came, timeout);
        }
        Plan::Wait { timeout } => {
            send_held_back();
            let came = match (timeout, notification()) {
                (0, Err(_)) => Ok(0),
                (_, Err(error)) => Err(error),
                (timeout, Ok(notification)) => {
                    let request = Request::Wait { notification, timeout };
                    match Blocking::new(&request, &NO_WORDS, &[]).await.result {
                        Ok(Returned::Value(bits)) => Ok(bits),
                        Ok(Returned::Delivery(delivery)) => Ok(delivery.tag),
                        Ok(_) => Err(Error::Unsupported),
                        Err(error) => Err(error),
                    }
                }
            };
            return came_by_wait(came, timeout);
        }
    }
    Ok(())
}

async fn receive(endpoint: Handle, timeout: u64) -> Result<Arrived, Error> {
    let held_back = with(|reactor| reactor.held_back.take()).flatten();
    // With a time-out of 0, `WouldBlock` could not tell whether the answer went.
    if let Some(held_back) = held_back {
        if timeout == 0 {
            with(|reactor| reactor.held_back = Some(held_back));
            send_held_back();
        } else if let Ok(transfers) = held_back.passing.transfers() {
            let message = Outgoing {
                tag: held_back.tag,
                words: held_back.payload.words,
                bytes: &held_back.payload.bytes,
                transfers,
            };
            let request =
                Request::ReplyReceive { endpoint, reply: held_back.token, message: message.message(), timeout };
            match system::arriving(&request, &message.words, message.bytes).await {
                // The caller went, or the answer was refused: nothing was done, so receive alone.
                Err(error) if !waited(error) => {}
                result => {
                    held_back.passing.went();
                    return result;
                }
            }
        }
    }
    system::arriving(&Request::Receive { endpoint, timeout }, &NO_WORDS, &[]).await
}

/// Whether this error of `receive` says that it waited, rather than that it was refused.
fn waited(error: Error) -> bool {
    matches!(error, Error::TimedOut | Error::Interrupted | Error::Revoked)
}

fn came_by_receive(came: Result<Arrived, Error>, timeout: u64) {
    match came {
        Ok(arrived) if arrived.delivery.kind == DeliveryKind::Notified => {
            with(|reactor| {
                reactor.bits_came(arrived.delivery.tag);
                wake_yielded(reactor);
            });
        }
        Ok(arrived) => {
            with(|reactor| {
                reactor.message_came(Ok(arrived));
                wake_yielded(reactor);
            });
        }
        Err(Error::TimedOut | Error::WouldBlock) => time_passed(timeout),
        Err(Error::Interrupted) => {}
        Err(error) => {
            with(|reactor| {
                reactor.message_came(Err(error));
                wake_yielded(reactor);
            });
        }
    }
}

fn came_by_wait(came: Result<u64, Error>, timeout: u64) -> Result<(), NothingToWaitFor> {
    match came {
        Ok(bits) => {
            with(|reactor| {
                reactor.bits_came(bits);
                wake_yielded(reactor);
            });
        }
        Err(Error::TimedOut | Error::WouldBlock) => time_passed(timeout),
        Err(Error::Interrupted) => {}
        // No notification can be had, or it was taken away: no wait can end well.
        Err(_) => return Err(NothingToWaitFor),
    }
    Ok(())
}

fn time_passed(timeout: u64) {
    let now = {
        with(|reactor| {
            if reactor.clock.is_none() {
                reactor.elapsed = reactor.elapsed.saturating_add(timeout);
            }
        });
        now()
    };
    with(|reactor| {
        reactor.fire_timers(now);
        wake_yielded(reactor);
    });
}

fn wake_yielded(reactor: &mut Reactor) {
    reactor.looks += 1;
    for waker in reactor.yielded.drain(..) {
        waker.wake();
    }
}
