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

use super::Machine;
use super::process::{Fiber, Me};
use abi::message::Words;
use abi::{Error, Handle, Request, Returned};
use kernel::ThreadId;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// How many fibers are polled inside each other at most.
pub const MOST_NESTED: u32 = 8;

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// What a call came to.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// As the kernel says.
    pub result: Result<Returned, Error>,
    /// Of a delivery.
    pub words: Words,
}

impl Answer {
    /// A refusal.
    pub fn error(error: Error) -> Answer {
        Answer { result: Err(error), words: [0; 8] }
    }
}

/// What an import does next.
pub(super) enum Next {
    /// Return to the guest.
    Answer(Answer),
    /// Poll this thread's fiber, which was taken from its slot, in place.
    HandOver(Me, Fiber),
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

/// A system call under way: ready at once where nothing had to wait.
pub enum Called {
    /// The answer; taken by the first poll.
    Ready(Option<Answer>),
    /// The thread waits.
    Waiting(Me),
}

/// Makes a system call for the thread that an import belongs to.
#[inline]
pub fn call(me: Me, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Called {
    match with(|machine| machine.enter(me, request, words, bytes)) {
        Some(Next::Answer(answer)) => Called::Ready(Some(answer)),
        Some(Next::HandOver(to, fiber)) => match poll_fiber(to, fiber, |machine| machine.answer(me)).flatten() {
            Some(answer) => Called::Ready(Some(answer)),
            None => Called::Waiting(me),
        },
        Some(Next::Wait) | None => Called::Waiting(me),
    }
}

impl Future for Called {
    type Output = Answer;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        let answer = match self.get_mut() {
            Called::Ready(answer) => answer.take(),
            Called::Waiting(me) => with(|machine| machine.answer(*me)).flatten(),
        };
        answer.map_or(Poll::Pending, Poll::Ready)
    }
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

/// The bytes of the last delivery; once.
pub fn take_bytes(me: Me) -> Vec<u8> {
    with(|machine| machine.take_bytes(me)).unwrap_or_default()
}

/// The handles of the last delivery; once.
pub fn take_handles(me: Me) -> Vec<Handle> {
    with(|machine| machine.take_handles(me)).unwrap_or_default()
}
