//! The kernel's threads as the host keeps them: fiber, outbox, inbox, and the answer to
//! the call that each is in.

use super::door::Answer;
use super::process::{Fiber, Me};
use abi::message::Words;
use abi::{Error, Returned};
use kernel::{ProcessId, ThreadId};

/// Words and bytes of a message.
#[derive(Default)]
pub struct Payload {
    /// In registers.
    pub words: Words,
    /// Beside them.
    pub bytes: Vec<u8>,
}

/// Where a thread's fiber is.
pub enum Run {
    /// It has not run yet.
    New,
    /// It waits to be polled.
    Parked(Fiber),
    /// It is on the poll stack.
    Taken,
    /// It ended or trapped; the kernel has yet to say that the thread is gone.
    Over,
}

/// One thread.
pub struct Thread {
    /// Whose slot this is.
    pub me: Me,
    /// Its fiber.
    pub run: Run,
    /// What it passed with the call that it made last.
    pub outbox: Payload,
    /// What was delivered to it last.
    pub inbox: Payload,
    /// The outcome of the call that it is in, once there is one.
    pub answer: Option<Result<Returned, Error>>,
    /// Whether `take_handles` has been called since the last delivery.
    pub handles_taken: bool,
}

/// All threads, by the kernel's numbers.
#[derive(Default)]
pub struct Threads {
    slots: Vec<Option<Box<Thread>>>,
    serial: u64,
}

impl Threads {
    /// The thread that has this number now.
    #[inline]
    pub fn get(&mut self, thread: ThreadId) -> Option<&mut Thread> {
        self.slots.get_mut(thread.index())?.as_deref_mut()
    }

    /// This very thread, if it lives.
    #[inline]
    pub fn me(&mut self, me: Me) -> Option<&mut Thread> {
        self.get(me.thread).filter(|thread| thread.me.serial == me.serial)
    }

    /// Takes the outcome of a thread's call.
    #[inline]
    pub fn answer(&mut self, me: Me) -> Option<Answer> {
        let thread = self.me(me)?;
        let result = thread.answer.take()?;
        Some(Answer { result, words: thread.inbox.words })
    }

    /// Two different threads.
    #[inline]
    pub fn pair(&mut self, a: ThreadId, b: ThreadId) -> Option<(&mut Thread, &mut Thread)> {
        let [a, b] = self.slots.get_disjoint_mut([a.index(), b.index()]).ok()?;
        Some((a.as_deref_mut()?, b.as_deref_mut()?))
    }

    /// A thread began to exist.
    pub fn started(&mut self, thread: ThreadId, process: ProcessId) -> Me {
        self.serial += 1;
        let me = Me { thread, process, serial: self.serial };
        if self.slots.len() <= thread.index() {
            self.slots.resize_with(thread.index() + 1, || None);
        }
        self.slots[thread.index()] = Some(Box::new(Thread {
            me,
            run: Run::New,
            outbox: Payload::default(),
            inbox: Payload::default(),
            answer: None,
            handles_taken: true,
        }));
        me
    }

    /// It is gone; its fiber, if it is parked, is the caller's to drop.
    pub fn gone(&mut self, thread: ThreadId) -> Option<Fiber> {
        match self.slots.get_mut(thread.index())?.take()?.run {
            Run::Parked(fiber) => Some(fiber),
            Run::New | Run::Taken | Run::Over => None,
        }
    }
}
