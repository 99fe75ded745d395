//! What imports of a guest do: go through the door, and hand the processor over.
//!
//! The machine belongs to one thread and is reached through it; an import borrows it,
//! never across a poll. When a call makes another thread current whose fiber is
//! parked, that fiber is polled in place, inside the import (**nested hand-off**): the
//! answer is mostly there when the poll returns. The rules:
//!
//! - (a) after a poll the kernel's state is read again; Ready or Pending say nothing.
//! - (b) a fiber that is polled is taken from its slot, and what is taken is not nested.
//! - (c) a thread that is killed on the poll stack is dead at once and dropped when the
//!   stack is back at the executor.
//! - (d) if the answer is not there after the poll, the import is Pending, and so are
//!   all below it; the executor goes on.
//! - (e) the epoch deadline is armed anew whenever a guest goes on.
//! - (f) at most [`MOST_NESTED`] deep; beyond, the executor polls.
//! - (g) a nested guest's trap is a fault input like any other.
//! - (h) nothing ticks while the machine is idle ([`crate::events`]).
//! - (i) one thread executes; the operating system is asked for the time once a tick, and a system call
//!   counts the processor's cycles since ([`crate::clock`]).
//!
//! Bytes of a call that hands over are not copied into the kernel's keeping: the caller waits in its import
//! for as long as the server is polled there, so the server copies them straight from the caller's memory.

use super::Machine;
use super::process::{Fiber, Me};
use abi::message::Words;
use abi::{Error, Handle, Request, Returned};
use kernel::ThreadId;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::task::{Context, Waker};

/// How many fibers are polled inside each other at most.
pub const MOST_NESTED: u32 = 8;

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
    static LENT: Cell<Option<(Me, NonNull<[u8]>)>> = const { Cell::new(None) };
}

/// What a call came to, as the machine keeps it until the import takes it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// As the kernel says.
    pub result: &'a Result<Returned, Error>,
    /// Of a delivery.
    pub words: &'a Words,
}

impl<'a> Answer<'a> {
    /// A refusal.
    pub fn error(result: &'a Result<Returned, Error>) -> Answer<'a> {
        Answer { result, words: &[0; 8] }
    }
}

/// What an import does next.
pub enum Next {
    /// Take the answer: it is there.
    Answer,
    /// Poll this thread's fiber, which was taken from its slot, in place.
    HandOver(Me, Fiber),
    /// The same, and lend it the bytes of the call meanwhile.
    Lend(Me, Fiber),
    /// Give way to the executor.
    Wait,
}

/// Makes this thread the machine's. Gives back one that was there.
pub(super) fn install(machine: Machine) -> Option<Machine> {
    MACHINE.with(|cell| cell.borrow_mut().replace(machine))
}

/// Takes the machine from this thread.
pub(super) fn remove() -> Option<Machine> {
    MACHINE.with(|cell| cell.borrow_mut().take())
}

/// The machine of this thread. `None` while there is none: a fiber outlived it.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> Option<R> {
    MACHINE.with(|cell| cell.borrow_mut().as_mut().map(f))
}

/// Makes a system call for the thread that an import belongs to; [`go_on`] does what comes of it.
#[inline]
pub fn enter(me: Me, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Next {
    match with(|machine| machine.enter(me, request, words, bytes)) {
        Some(Next::Lend(to, fiber)) => {
            lend(to, bytes, || poll_fiber(to, fiber, |machine| machine.threads.end_loan(to, bytes)));
            Next::Answer
        }
        Some(next) => next,
        None => Next::Wait,
    }
}

/// Lends bytes to a thread for as long as `poll` takes: it copies them from where they lie, if it takes
/// them before it waits or ends. Later they are in its inbox.
fn lend<R>(to: Me, bytes: &[u8], poll: impl FnOnce() -> R) -> R {
    struct Loan(Option<(Me, NonNull<[u8]>)>);
    impl Drop for Loan {
        fn drop(&mut self) {
            LENT.set(self.0);
        }
    }
    let _outer = Loan(LENT.replace(Some((to, NonNull::from(bytes)))));
    poll()
}

/// What is lent to this thread now.
fn borrowed<R>(me: Me, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let (to, bytes) = LENT.get()?;
    // SAFETY: `lend` holds a borrow of the bytes for as long as they are in `LENT`: it puts back what was
    // there before it returns or unwinds. It cannot do so while `f` runs, which is above it on this thread's
    // stack of polls, and `f` cannot keep the reference.
    (to == me).then(|| f(unsafe { bytes.as_ref() }))
}

/// Polls whom the call handed the processor to. What the call came to goes to `take`, which may not come
/// back here; `None`: the thread waits, and is asked again by [`answered`].
#[inline]
pub fn go_on<R>(me: Me, next: Next, take: impl FnOnce(Answer<'_>) -> R) -> Option<R> {
    match next {
        Next::Answer => answered(me, take),
        Next::HandOver(to, fiber) | Next::Lend(to, fiber) => {
            poll_fiber(to, fiber, |machine| machine.answer(me, take)).flatten()
        }
        Next::Wait => None,
    }
}

/// The answer for a thread that waited, if it is there and it is its turn.
#[inline]
pub fn answered<R>(me: Me, take: impl FnOnce(Answer<'_>) -> R) -> Option<R> {
    with(|machine| machine.answer(me, take)).flatten()
}

/// Polls a thread's fiber, if it is parked, until it waits, yields or ends.
pub(super) fn poll_thread(thread: ThreadId) {
    if let Some(Some((me, fiber))) = with(|machine| machine.take_fiber(thread)) {
        poll_fiber(me, fiber, |_| ());
    }
}

/// Polls a fiber that was taken from its slot; afterwards asks the machine.
#[inline]
fn poll_fiber<R>(me: Me, mut fiber: Fiber, ask: impl FnOnce(&mut Machine) -> R) -> Option<R> {
    // Nobody is woken through the waker: the kernel says who runs.
    let polled = fiber.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let (ended, asked) = with(|machine| (machine.polled(me, polled, fiber), ask(machine)))?;
    // A fiber that ended is dropped when the machine is no longer borrowed.
    drop(ended);
    Some(asked)
}

/// At the end of a slice, or when something happened: whether the guest goes on.
pub(super) fn goes_on(me: Me) -> bool {
    with(|machine| machine.goes_on(me)).unwrap_or(false)
}

/// A guest wants so many more pages: whether its quota pays for them.
pub(super) fn grow(me: Me, pages: u64) -> bool {
    with(|machine| machine.grow(me, pages)).unwrap_or(false)
}

/// How many bytes came with the last delivery and have not been taken.
pub fn bytes_left(me: Me) -> usize {
    with(|machine| machine.threads.me(me).map_or(0, |thread| thread.inbox_length())).unwrap_or(0)
}

/// Takes the bytes of the last delivery, once; later there are none. `f` may not come back here.
pub fn take_bytes<R>(me: Me, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
    with(|machine| match machine.threads.me(me)?.take_loan() {
        Some(_) => borrowed(me, f),
        None => Some(machine.threads.me(me)?.take_bytes(f)),
    })
    .flatten()
}

/// The handles of the last delivery; once.
pub fn take_handles(me: Me) -> Vec<Handle> {
    with(|machine| machine.take_handles(me)).unwrap_or_default()
}
