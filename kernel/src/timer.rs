//! Time-outs and ends of budget periods: a binary heap of timers by deadline, each
//! knowing its place in it, so that cancelling is as cheap as arming. Room for a
//! thread's timers is made when the thread is made; arming allocates nothing.
//! Why a heap and not a wheel: docs/decisions/kernel-timers.md.

use crate::activity::Activity;
use crate::encoding::fields;
use crate::ids::ThreadId;
use crate::thread::TIMED;

/// What a timer of a thread is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TimerKind {
    /// The wait in which it is.
    Timeout = 0,
    /// The period of its budget.
    Replenishment = 1,
}

/// One timer of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// ns since boot.
    pub deadline: u64,
    /// Place in the heap; [`Timer::IDLE`] when it is not armed.
    pub place: u32,
}
fields!(Timer: deadline place);

impl Timer {
    /// Not in the heap.
    pub const IDLE: u32 = u32::MAX;
    /// Not armed.
    pub const NONE: Timer = Timer { deadline: 0, place: Timer::IDLE };
}

/// A timer in the heap: thread in the high bits, kind in the lowest.
const fn number(thread: ThreadId, kind: TimerKind) -> u32 {
    thread.0 << 1 | kind as u32
}

impl Activity {
    /// The timer that is due first.
    #[inline]
    pub(crate) fn first_timer(&self) -> Option<(u64, ThreadId, TimerKind)> {
        let &timer = self.timers.first()?;
        let kind = if timer & 1 == 0 { TimerKind::Timeout } else { TimerKind::Replenishment };
        let thread = ThreadId(timer >> 1);
        Some((self.detail_view(thread).timers[kind as usize].deadline, thread, kind))
    }

    pub(crate) fn arm(&mut self, thread: ThreadId, kind: TimerKind, deadline: u64) {
        self.cancel(thread, kind);
        if kind == TimerKind::Timeout {
            self.thread(thread).flags |= TIMED;
        }
        let place = self.timers.len();
        self.detail(thread).timers[kind as usize] = Timer { deadline, place: place as u32 };
        self.timers.push(number(thread, kind));
        self.rise(place);
    }

    #[inline]
    pub(crate) fn cancel(&mut self, thread: ThreadId, kind: TimerKind) {
        if kind == TimerKind::Timeout {
            // Most waits have none.
            if self.view(thread).flags & TIMED == 0 {
                return;
            }
            self.thread(thread).flags &= !TIMED;
        }
        self.take_out(thread, kind);
    }

    fn take_out(&mut self, thread: ThreadId, kind: TimerKind) {
        let place = core::mem::replace(&mut self.detail(thread).timers[kind as usize].place, Timer::IDLE) as usize;
        if place >= self.timers.len() {
            return;
        }
        let last = self.timers.len() - 1;
        let moved = self.timers[last];
        self.timers.truncate(last);
        if place < last {
            self.put(place, moved);
            self.rise(place);
            self.sink(place);
        }
    }

    fn put(&mut self, place: usize, timer: u32) {
        self.timers[place] = timer;
        self.detail(ThreadId(timer >> 1)).timers[(timer & 1) as usize].place = place as u32;
    }

    /// Deadline of the timer at a place; timers of one deadline go by their number.
    fn key(&self, place: usize) -> (u64, u32) {
        let timer = self.timers[place];
        (self.detail_view(ThreadId(timer >> 1)).timers[(timer & 1) as usize].deadline, timer)
    }

    /// Whether those that are armed are in the heap, once, and no other.
    pub(crate) fn timers_are_sound(&self) -> bool {
        let armed = self.details.iter().flat_map(|detail| &detail.timers).filter(|timer| timer.place != Timer::IDLE);
        let there = |(place, timer): (usize, &u32)| {
            let detail = self.details.get((timer >> 1) as usize);
            detail.is_some_and(|detail| detail.timers[(timer & 1) as usize].place as usize == place)
        };
        armed.count() == self.timers.len()
            && self.timers.iter().enumerate().all(there)
            && (1..self.timers.len()).all(|place| self.key((place - 1) / 2) <= self.key(place))
    }

    fn exchange(&mut self, a: usize, b: usize) {
        let (first, second) = (self.timers[a], self.timers[b]);
        self.put(a, second);
        self.put(b, first);
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.key(parent) <= self.key(place) {
                return;
            }
            self.exchange(parent, place);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            if left >= self.timers.len() {
                return;
            }
            let right = left + 1;
            let child = if right < self.timers.len() && self.key(right) < self.key(left) { right } else { left };
            if self.key(place) <= self.key(child) {
                return;
            }
            self.exchange(place, child);
            place = child;
        }
    }
}
