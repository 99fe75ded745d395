//! Intrusive queues: first in, first out, no allocation. What can stand in one is an
//! [`Entry`]; its [`Link`] lies in its own record, so it stands in one queue at most.

use crate::encoding::fields;
use crate::ids::{BufferId, EndpointId, NotificationId, ProcessId, ThreadId};
use crate::thread::ThreadActivity;

/// What stands in a queue, in 32 bits: kind in the high 4, number in the low 28.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Entry(pub u32);

/// An [`Entry`] taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// A thread that waits: to run, to send, to receive, or for a verdict.
    Thread(ThreadId),
    /// A message whose sender has gone on.
    Message(BufferId),
    /// The exit message of a process.
    Exit(ProcessId),
    /// The bits of the notification that is bound to the endpoint.
    Notification(NotificationId),
}

const NUMBER: u32 = (1 << 28) - 1;
const MESSAGE: u32 = 1 << 28;
const EXIT: u32 = 2 << 28;
const NOTIFICATION: u32 = 3 << 28;

impl Entry {
    /// Nothing: the end of a queue.
    pub const NONE: Entry = Entry(u32::MAX);

    /// What nobody put there: the fast path, which knows it not from an entry, goes no further.
    pub(crate) const BAR: Entry = Entry(NUMBER | 4 << 28);

    /// A thread's.
    #[inline]
    pub const fn thread(thread: ThreadId) -> Entry {
        Entry(thread.0)
    }
    /// A queued message's.
    pub const fn message(message: BufferId) -> Entry {
        Entry(MESSAGE | message.0)
    }
    /// An ended process's.
    pub const fn exit(process: ProcessId) -> Entry {
        Entry(EXIT | process.0)
    }
    /// A bound notification's.
    pub const fn notification(notification: NotificationId) -> Entry {
        Entry(NOTIFICATION | notification.0)
    }
    /// Whether it is nothing.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == u32::MAX
    }
    /// What it is; `None` for [`Entry::NONE`] and for [`Entry::BAR`].
    pub const fn queued(self) -> Option<Queued> {
        let number = self.0 & NUMBER;
        Some(match self.0 & !NUMBER {
            0 => Queued::Thread(ThreadId(number)),
            MESSAGE => Queued::Message(BufferId(number)),
            EXIT => Queued::Exit(ProcessId(number)),
            NOTIFICATION => Queued::Notification(NotificationId(number)),
            _ => return None,
        })
    }
    /// The thread that it is; a number that no thread has, if it is something else or nothing.
    #[inline]
    pub const fn as_thread(self) -> ThreadId {
        ThreadId(self.0)
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.queued() {
            Some(queued) => queued.fmt(f),
            None => f.write_str("None"),
        }
    }
}

/// Neighbours in the queue in which a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Nearer to the head.
    pub previous: Entry,
    /// Nearer to the tail.
    pub next: Entry,
}

impl Link {
    /// In no queue, or alone in one.
    pub const NONE: Link = Link { previous: Entry::NONE, next: Entry::NONE };
}

/// Head and tail of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queue {
    /// First out.
    pub head: Entry,
    /// Last in.
    pub tail: Entry,
}

impl Queue {
    /// With nobody in it.
    pub const EMPTY: Queue = Queue { head: Entry::NONE, tail: Entry::NONE };

    /// Whether nobody is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.head.is_none()
    }

    /// Puts a thread, which is in no queue, at the tail of a queue of threads.
    #[inline(always)]
    pub(crate) fn append(&mut self, thread: ThreadId, threads: &mut [ThreadActivity]) {
        let entry = Entry::thread(thread);
        let Some(record) = threads.get_mut(thread.index()) else { return };
        let previous = core::mem::replace(&mut self.tail, entry);
        record.link = Link { previous, next: Entry::NONE };
        match threads.get_mut(previous.as_thread().index()) {
            Some(previous) => previous.link.next = entry,
            None => self.head = entry,
        }
    }

    /// Takes a thread out of the queue of threads in which it is.
    #[inline(always)]
    pub(crate) fn take_out(&mut self, thread: ThreadId, threads: &mut [ThreadActivity]) {
        let Some(record) = threads.get_mut(thread.index()) else { return };
        let Link { previous, next } = core::mem::replace(&mut record.link, Link::NONE);
        match threads.get_mut(previous.as_thread().index()) {
            Some(previous) => previous.link.next = next,
            None => self.head = next,
        }
        match threads.get_mut(next.as_thread().index()) {
            Some(next) => next.link.previous = previous,
            None => self.tail = previous,
        }
    }

    /// Takes the first out of a queue of threads.
    #[inline(always)]
    pub(crate) fn take_first(&mut self, threads: &mut [ThreadActivity]) -> Option<ThreadId> {
        let first = self.head.as_thread();
        let next = core::mem::replace(&mut threads.get_mut(first.index())?.link, Link::NONE).next;
        self.head = next;
        match threads.get_mut(next.as_thread().index()) {
            Some(next) => next.link.previous = Entry::NONE,
            None => self.tail = Entry::NONE,
        }
        Some(first)
    }
}

/// The queues that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueId {
    /// What an endpoint has to give to its receivers.
    Senders(EndpointId),
    /// Threads that wait to receive from an endpoint.
    Receivers(EndpointId),
    /// Threads that wait for a notification.
    Waiters(NotificationId),
    /// Ready threads of a priority.
    Ready(u8),
    /// Callers whose reply a process holds without serving them just now.
    Held(ProcessId),
    /// Processes that have ended and whose exit message is not yet queued.
    Announced,
    /// Threads with a fault and no supervisor to judge it.
    Orphans,
}

fields!(Link: previous next);
fields!(Queue: head tail);
