//! The simulated processor: lets the thread that the kernel says is current run, by
//! polling its future, and takes the system calls that come out of it.
//!
//! **Who runs.** The kernel decides. The seed adds pre-emptions after system calls, so
//! that threads of one priority interleave at every call. A call that may block gives
//! way by answering `Pending`. A call that returns at once cannot: there, other threads
//! are polled from within it, on top of the caller's stack (nested, at most
//! [`DEEPEST`]), and the caller goes on afterwards.
//!
//! **How a thread ends.** Kill is drop: the future goes, with no process installed, so
//! that destructors make no system calls. A thread that ends while its code is on the
//! stack (it exits, or a nested thread kills it) is unwound at its next system call.
//! A panic is a trap.

use crate::spin::Running;
use crate::thread::{Thread, Unwound, panic_text};
use crate::world::{Said, World};
use abi::message::{FaultKind, MAX_TRANSFERS, Words};
use abi::{Error, Handle, Request};
use axiom::Outcome;
use kernel::ThreadId;
use libprocess::backend::{Answer, SystemCalls, may_block};
use libprocess::context::{self, Context as Installed};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// The most threads on one stack.
const DEEPEST: usize = 4;

/// Processor time of a thread that runs without a system call until it is pre-empted, ns.
const SLICE: u64 = 1_000_000;

pub(crate) struct Machine {
    pub world: RefCell<World>,
    depth: Cell<usize>,
    /// One in so many system calls is followed by a pre-emption; 0: none.
    pub preempt_once_in: Cell<u64>,
}

impl Machine {
    pub fn new(world: World) -> Rc<Machine> {
        Rc::new(Machine { world: RefCell::new(world), depth: Cell::new(0), preempt_once_in: Cell::new(8) })
    }

    /// One turn: what is due happens, then the current thread runs until it gives way.
    /// `false` if nothing can happen any more.
    pub fn turn(self: &Rc<Self>) -> bool {
        let current = {
            let mut world = self.world.borrow_mut();
            let now = world.now;
            world.advance(now);
            world.axiom.current()
        };
        self.bury();
        match current {
            Some(thread) => {
                self.poll(thread);
                true
            }
            None => {
                let mut world = self.world.borrow_mut();
                match world.next_event() {
                    Some(time) => {
                        world.advance(time);
                        true
                    }
                    None => false,
                }
            }
        }
    }

    /// Polls a thread once. `false` if it is on the stack already.
    fn poll(self: &Rc<Self>, id: ThreadId) -> bool {
        let thread = self.world.borrow().thread(id).cloned();
        let Some(thread) = thread else {
            panic!("the kernel runs {id:?}, which the host does not know");
        };
        let future = thread.future.borrow_mut().take();
        let Some(mut future) = future else {
            if self.depth.get() == 0 {
                // No such image: nothing to run.
                self.fault(&thread);
            }
            return false;
        };
        let installed = self.install(&thread);
        let before = self.world.borrow().system_calls;
        self.depth.set(self.depth.get() + 1);
        let polled = {
            let _entered = context::enter(&installed);
            let _running = Running::enter(&thread);
            let mut context = Context::from_waker(Waker::noop());
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)))
        };
        self.depth.set(self.depth.get() - 1);
        thread.unwinding.set(false);
        match polled {
            Ok(Poll::Pending) => {
                *thread.future.borrow_mut() = Some(future);
                if thread.gone.get() {
                    self.world.borrow_mut().buried.push(thread);
                } else if !thread.waiting.get() {
                    self.spun(&thread);
                } else if before == self.world.borrow().system_calls && thread.answer.get().is_none() {
                    let current = self.world.borrow().axiom.current();
                    assert!(current != Some(id), "the kernel runs {id:?}, whose call it has not answered");
                }
            }
            Ok(Poll::Ready(code)) => {
                drop_outside(future);
                if !thread.gone.get() {
                    self.make(&thread, &Request::Exit { code });
                }
            }
            Err(payload) => {
                drop_outside(future);
                if !payload.is::<Unwound>() {
                    let said = Said { process: thread.program.name.clone(), text: panic_text(&*payload) };
                    self.world.borrow_mut().panics.push(said);
                }
                if !thread.gone.get() {
                    self.fault(&thread);
                }
            }
        }
        self.bury();
        true
    }

    /// The thread ran without a system call: its slice is over.
    fn spun(&self, thread: &Thread) {
        let mut world = self.world.borrow_mut();
        let end = world.now + SLICE;
        world.advance(end);
        if world.axiom.current() == Some(thread.id) {
            world.preempt();
        }
    }

    fn fault(&self, thread: &Thread) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        world.axiom.fault(thread.id, FaultKind::Trap, 0, false, now);
        world.carry_out();
    }

    fn install(self: &Rc<Self>, thread: &Rc<Thread>) -> Rc<Installed> {
        let mut place = thread.context.borrow_mut();
        place
            .get_or_insert_with(|| {
                Installed::new(Rc::new(Door { machine: Rc::downgrade(self), thread: thread.clone() }))
            })
            .clone()
    }

    /// Drops the futures of threads that are gone.
    pub fn bury(&self) {
        loop {
            let Some(thread) = self.world.borrow_mut().buried.pop() else { break };
            let future = thread.future.borrow_mut().take();
            if let Some(future) = future {
                drop_outside(future);
                // The context knows the door, and the door the thread.
                drop_outside(thread.context.borrow_mut().take());
            }
        }
    }

    /// Makes a call of a thread; its answer, if it is there, is in `thread.answer`.
    fn make(&self, thread: &Thread, request: &Request<'_>) {
        let mut world = self.world.borrow_mut();
        world.system_calls += 1;
        thread.calls.set(thread.calls.get() + 1);
        thread.answer.set(None);
        thread.inbox.borrow_mut().clear();
        let takes = 200 + world.chance.below(1_800);
        world.now += takes;
        let world = &mut *world;
        let now = world.now;
        if let Request::LogRead { .. } = request {
            world.log.cut(&mut world.axiom, now);
        }
        let outcome = world.axiom.call(thread.id, request, now);
        let found = world.carry_out();
        let result = match outcome {
            Outcome::Done(result) => Some(result),
            Outcome::Blocked => None,
            Outcome::Host => {
                let result = found.unwrap_or(Err(Error::Unsupported));
                world.axiom.finish(thread.id, result.map(|_| ()));
                world.carry_out();
                Some(result)
            }
        };
        world.log.collect(&mut world.axiom);
        if let (Some(result), None) = (result, thread.answer.get()) {
            thread.answer.set(Some(Answer::without_words(result)));
        }
    }

    fn begin(self: &Rc<Self>, thread: &Rc<Thread>, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Poll<Answer> {
        // A real host runs no destructors after a panic: what they ask is not asked there.
        if thread.gone.get() || thread.unwinding.get() || std::thread::panicking() {
            return self.refuse(thread);
        }
        if thread.spins.get() && may_block(request) {
            // The answer to an earlier call is not one to this.
            thread.answer.set(None);
            return Poll::Pending;
        }
        let struck = {
            let world = &mut *self.world.borrow_mut();
            let program = &thread.program;
            let call = thread.calls.get() + 1;
            let name = request.number().name();
            let struck = world.traps.strike(&program.name, program.incarnation, call, name, &mut world.chance);
            world.trapped += u64::from(struck);
            struck
        };
        if struck {
            thread.unwinding.set(true);
            Unwound::Trapped.throw();
        }
        {
            let mut outbox = thread.outbox.borrow_mut();
            outbox.words = *words;
            outbox.bytes.clear();
            outbox.bytes.extend_from_slice(bytes);
        }
        self.make(thread, request);
        self.bury();
        if thread.gone.get() {
            return self.refuse(thread);
        }
        let preempt = {
            let world = &mut *self.world.borrow_mut();
            world.chance.once_in(self.preempt_once_in.get())
        };
        if preempt && self.is_current(thread) {
            self.world.borrow_mut().preempt();
        }
        if may_block(request) {
            match thread.answer.get() {
                Some(answer) if self.is_current(thread) => Poll::Ready(answer),
                _ => {
                    thread.waiting.set(true);
                    Poll::Pending
                }
            }
        } else {
            let answer = thread.answer.take().unwrap_or(Answer::without_words(Err(Error::Interrupted)));
            // What others do meanwhile must not touch what this call brought.
            self.give_way(thread);
            if thread.gone.get() {
                return self.refuse(thread);
            }
            Poll::Ready(answer)
        }
    }

    fn resume(&self, thread: &Thread) -> Poll<Answer> {
        if thread.gone.get() {
            return Poll::Pending;
        }
        match thread.answer.get() {
            Some(answer) if self.is_current(thread) => {
                thread.waiting.set(false);
                Poll::Ready(answer)
            }
            _ => Poll::Pending,
        }
    }

    fn is_current(&self, thread: &Thread) -> bool {
        self.world.borrow().axiom.current() == Some(thread.id)
    }

    /// The caller cannot be suspended here: those that the kernel prefers run on top of
    /// it, for a while.
    fn give_way(self: &Rc<Self>, thread: &Thread) {
        while self.depth.get() < DEEPEST && !thread.gone.get() {
            let current = self.world.borrow().axiom.current();
            let Some(other) = current.filter(|other| *other != thread.id) else { break };
            if self.world.borrow_mut().chance.once_in(8) || !self.poll(other) {
                break;
            }
        }
    }

    /// The thread has no business here any more.
    fn refuse(&self, thread: &Thread) -> Poll<Answer> {
        if thread.unwinding.get() || std::thread::panicking() {
            return Poll::Ready(Answer::without_words(Err(Error::Interrupted)));
        }
        thread.unwinding.set(true);
        Unwound::Gone.throw()
    }
}

/// Drops what a process owned, with no process installed. A destructor that panics
/// hurts nobody: its process is gone.
pub(crate) fn drop_outside<T>(owned: T) {
    let _left = context::leave();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
}

/// The way from one process to the kernel.
struct Door {
    machine: Weak<Machine>,
    thread: Rc<Thread>,
}

impl SystemCalls for Door {
    fn begin(&self, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Poll<Answer> {
        match self.machine.upgrade() {
            Some(machine) => machine.begin(&self.thread, request, words, bytes),
            None => Poll::Ready(Answer::without_words(Err(Error::Interrupted))),
        }
    }

    fn resume(&self, _: &mut Context<'_>) -> Poll<Answer> {
        self.machine.upgrade().map_or(Poll::Pending, |machine| machine.resume(&self.thread))
    }

    fn take_bytes(&self) -> Vec<u8> {
        std::mem::take(&mut self.thread.inbox.borrow_mut())
    }

    fn take_handles(&self) -> heapless::Vec<Handle, MAX_TRANSFERS> {
        match self.machine.upgrade() {
            Some(machine) => machine.world.borrow().axiom.handles(self.thread.id),
            None => heapless::Vec::new(),
        }
    }
}
