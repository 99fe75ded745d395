//! The kernel's threads as the host keeps them: fiber, outbox, inbox, and the answer to
//! the call that each is in.

use super::door::Answer;
use super::process::{Fiber, Me};
use abi::message::{MAX_BYTES, Words};
use abi::{Delivery, Error, Returned};
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
    /// So many bytes of that are not in the inbox: they lie in the memory of who called, which polls
    /// this thread.
    pub lent: u32,
    /// The outcome of the call that it is in, once there is one.
    pub answer: Option<Result<Returned, Error>>,
    /// Whether `take_handles` has been called since the last delivery.
    pub handles_taken: bool,
}

impl Thread {
    /// Bytes that can be taken.
    pub fn inbox_length(&self) -> usize {
        if self.lent > 0 { self.lent as usize } else { self.inbox.bytes.len() }
    }

    /// Takes what is lent, if something is: how many bytes.
    pub fn take_loan(&mut self) -> Option<u32> {
        let lent = std::mem::take(&mut self.lent);
        (lent > 0).then_some(lent)
    }

    /// Takes the bytes in the inbox. Its memory is used again, unless it is more than a message needs.
    pub fn take_bytes<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> R {
        let taken = f(&self.inbox.bytes);
        self.inbox.bytes.clear();
        if self.inbox.bytes.capacity() > MAX_BYTES {
            self.inbox.bytes = Vec::new();
        }
        taken
    }

    /// Bytes that are no message's, for the thread to take.
    pub fn put_bytes(&mut self, bytes: Vec<u8>) {
        self.inbox.bytes = bytes;
        self.lent = 0;
    }

    /// The message in the inbox is the outcome of the call.
    #[inline]
    pub fn delivered(&mut self, delivery: &Delivery) {
        if delivery.length == 0 {
            self.inbox.bytes.clear();
        }
        self.lent = 0;
        self.handles_taken = false;
        self.answer = Some(Ok(Returned::Delivery(*delivery)));
    }
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

    /// Gives a thread the outcome of its call, once.
    #[inline]
    pub fn answer<R>(&mut self, me: Me, take: impl FnOnce(Answer<'_>) -> R) -> Option<R> {
        let thread = self.me(me)?;
        let result = thread.answer.as_ref()?;
        let taken = take(Answer { result, words: &thread.inbox.words });
        thread.answer = None;
        Some(taken)
    }

    /// A message from one thread to another through the kernel: words are copied, bytes change places,
    /// so that none are copied and none allocated.
    pub fn deliver(&mut self, to: ThreadId, from: ThreadId, delivery: &Delivery) {
        let Ok([Some(to), Some(from)]) = self.slots.get_disjoint_mut([to.index(), from.index()]) else { return };
        to.inbox.words = from.outbox.words;
        if delivery.length > 0 {
            std::mem::swap(&mut to.inbox.bytes, &mut from.outbox.bytes);
        }
        to.delivered(delivery);
    }

    /// A message that went from hand to hand. Its bytes, if it has any, are lent: [`Threads::keep`] or
    /// [`Threads::end_loan`] follows.
    #[inline]
    pub fn hand_over(&mut self, to: ThreadId, delivery: &Delivery, words: &Words) {
        let Some(thread) = self.get(to) else { return };
        thread.inbox.words = *words;
        thread.inbox.bytes.clear();
        thread.delivered(delivery);
        thread.lent = delivery.length;
    }

    /// The loan ends: what was not taken is in the inbox from now on.
    pub fn end_loan(&mut self, to: Me, bytes: &[u8]) {
        if self.me(to).is_some_and(|thread| thread.lent > 0) {
            self.keep(to.thread, bytes);
        }
    }

    /// Nothing is lent: the bytes are in the inbox.
    pub fn keep(&mut self, to: ThreadId, bytes: &[u8]) {
        let Some(thread) = self.get(to) else { return };
        thread.lent = 0;
        thread.inbox.bytes.clear();
        thread.inbox.bytes.extend_from_slice(bytes);
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
            lent: 0,
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
