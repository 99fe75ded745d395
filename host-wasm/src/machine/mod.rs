//! The machine: one thread that runs all processes. It asks Axiom who is to run, polls
//! that thread's fiber, and carries out what the kernel wants done.

pub mod boot;
pub mod door;
mod effects;
pub mod process;
mod record;
mod regions;
mod threads;

use crate::capture::Capture;
use crate::clock::Clock;
use crate::devices::registers::Power;
use crate::events::{Event, Events, Ticker};
use crate::image::{Checked, Executable, Loader};
use abi::message::{FaultKind, Words};
use abi::{Handle, Request};
use axiom::{Axiom, Outcome};
use door::{Answer, MOST_NESTED, Next};
use effects::{Hardware, Line};
use kernel::input::Hash;
use kernel::{InterruptId, ThreadId};
use process::{Fiber, Me};
use record::Record;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use threads::{Payload, Run, Threads};
use wasmtime::{Engine, Trap};

/// What ended the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It was turned off from inside, with this status.
    Off(u64),
    /// Nobody in it runs, and nothing that is awaited from outside could change that.
    Stopped,
    /// Someone outside insisted.
    Forced(u64),
    /// The log cannot be written.
    LogFailed(String),
}

impl End {
    /// The status that goes on record.
    fn status(&self) -> u64 {
        match self {
            End::Off(status) | End::Forced(status) => *status,
            End::Stopped => crate::problem::status::STOPPED.into(),
            End::LogFailed(_) => crate::problem::status::IO.into(),
        }
    }
}

/// A process as the host keeps it.
struct ProcessRecord {
    executable: Arc<Executable>,
    /// What it is to devices; never used again.
    owner: u64,
    startup: Vec<u8>,
}

/// Everything on the machine's thread.
pub struct Machine {
    axiom: Axiom,
    engine: Engine,
    loader: Loader,
    clock: Clock,
    events: Events,
    ticks: u64,
    threads: Threads,
    processes: HashMap<u32, ProcessRecord>,
    owners: u64,
    images: HashMap<u32, Arc<Executable>>,
    /// What the kernel makes an image of just now. It is told of one at a time and makes it, or refuses, at once.
    checked: Option<(Hash, Arc<Executable>)>,
    buffers: HashMap<u32, Payload>,
    regions: regions::Regions,
    lines: Vec<Line>,
    /// Lines that were opened while their device had something.
    due_lines: VecDeque<InterruptId>,
    hardware: Hardware,
    power: Power,
    power_line: InterruptId,
    shutdown_requests: u32,
    /// How many fibers are being polled, inside each other.
    nested: u32,
    /// Fibers of threads that are gone, to be dropped by the executor.
    doomed: Vec<Fiber>,
    end: Option<End>,
    /// It is to end: no guest goes on, the executor gets the processor back.
    ending: bool,
    /// The first thread of all, while it lives: without init nobody could turn the machine off.
    init: Option<Me>,
    record: Record,
    capture: Capture,
    init_startup: Vec<u8>,
}

impl Machine {
    /// A system call of the thread that an import belongs to. The one place where the door's fast path
    /// is inlined.
    #[inline(never)]
    fn enter(&mut self, me: Me, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Next {
        if self.threads.me(me).is_none() {
            return Next::Wait;
        }
        let now = self.clock.now();
        let outcome = self.axiom.call(me.thread, request, now);
        let mut lent = ThreadId::NONE;
        match self.axiom.handed_over() {
            // From hand to hand: the kernel queued nothing.
            Some((to, _, delivery)) => {
                lent = if bytes.is_empty() { ThreadId::NONE } else { to };
                self.threads.hand_over(to, delivery, words);
            }
            None => self.settle(me, outcome, words, bytes),
        }
        if self.axiom.has_block() {
            self.hand_blocks_over();
        }
        if self.events.attention() {
            self.attend();
        }
        let next = self.next(me);
        if lent.is_none() {
            return next;
        }
        match next {
            Next::HandOver(to, fiber) if to.thread == lent => Next::Lend(to, fiber),
            // It does not run in place, or somebody else does first: it gets a copy.
            next => {
                self.threads.keep(lent, bytes);
                next
            }
        }
    }

    /// What comes of a call that was not handed over.
    #[inline(never)]
    fn settle(&mut self, me: Me, outcome: Outcome, words: &Words, bytes: &[u8]) {
        // Who made the call may be gone: by it or by what was due.
        if let Some(thread) = self.threads.me(me) {
            thread.outbox.words = *words;
            if !bytes.is_empty() || !thread.outbox.bytes.is_empty() {
                thread.outbox.bytes.clear();
                thread.outbox.bytes.extend_from_slice(bytes);
            }
        }
        self.carry_out();
        match outcome {
            Outcome::Done(result) => {
                if let Some(thread) = self.threads.me(me)
                    && thread.answer.is_none()
                {
                    thread.answer = Some(result);
                }
            }
            Outcome::Blocked => {}
            Outcome::Host => {
                let result = self.threads.me(me).and_then(|thread| thread.answer);
                self.axiom.finish(me.thread, result.unwrap_or(Err(abi::Error::Unsupported)).map(|_| ()));
                self.carry_out();
                self.after_host_call();
            }
        }
    }

    /// After any poll or input: what the kernel's state means for an import of this thread.
    #[inline]
    fn next(&mut self, me: Me) -> Next {
        if self.ending {
            return Next::Wait;
        }
        match self.axiom.current() {
            Some(current) if current == me.thread => Next::Answer,
            Some(other) if self.nested < MOST_NESTED => match self.take_fiber(other) {
                Some((other, fiber)) => Next::HandOver(other, fiber),
                None => Next::Wait,
            },
            _ => Next::Wait,
        }
    }

    /// Gives a thread its answer, if there is one and it is its turn.
    #[inline]
    fn answer<R>(&mut self, me: Me, take: impl FnOnce(Answer<'_>) -> R) -> Option<R> {
        if self.ending || self.axiom.current() != Some(me.thread) {
            return None;
        }
        self.threads.answer(me, take)
    }

    /// Takes a thread's fiber to poll it.
    #[inline]
    fn take_fiber(&mut self, thread: ThreadId) -> Option<(Me, Fiber)> {
        let slot = self.threads.get(thread)?;
        let me = slot.me;
        let fiber = match std::mem::replace(&mut slot.run, Run::Taken) {
            Run::Parked(fiber) => fiber,
            Run::New => match self.processes.get(&me.process.0) {
                Some(record) => process::fiber(&self.engine, record.executable.clone(), me),
                None => {
                    slot.run = Run::Over;
                    return None;
                }
            },
            other => {
                slot.run = other;
                return None;
            }
        };
        self.nested += 1;
        Some((me, fiber))
    }

    /// A poll came back. Gives back what is to be dropped.
    fn polled(&mut self, me: Me, polled: Poll<wasmtime::Result<()>>, fiber: Fiber) -> Option<Fiber> {
        self.nested -= 1;
        let Some(thread) = self.threads.me(me) else {
            // Killed while it was on the poll stack.
            self.doom(Some(fiber));
            return None;
        };
        let result = match polled {
            Poll::Pending => {
                thread.run = Run::Parked(fiber);
                return None;
            }
            Poll::Ready(result) => result,
        };
        thread.run = Run::Over;
        let now = self.clock.now();
        match result {
            Ok(()) => {
                // The outcome is that the thread is gone; there is nobody to tell.
                let _ = self.axiom.call(me.thread, &Request::Exit { code: 0 }, now);
            }
            Err(error) => {
                if self.init == Some(me) {
                    // Nobody supervises init: this is the end of all.
                    self.init = None;
                }
                let (kind, detail) = fault(&error);
                self.axiom.fault(me.thread, kind, detail, false, now);
            }
        }
        self.carry_out();
        Some(fiber)
    }

    /// A fiber is over. The executor drops it: the next epoch brings the guest that runs there, or, where many wait and
    /// the clock is late, this one.
    fn doom(&mut self, fiber: Option<Fiber>) {
        const MOST: usize = 64;
        self.doomed.extend(fiber);
        if self.doomed.len() > MOST {
            self.engine.increment_epoch();
        }
    }

    /// The epoch passed while this guest ran: whether it goes on.
    fn goes_on(&mut self, me: Me) -> bool {
        if self.events.attention() {
            self.attend();
        }
        // What was killed is dropped by the executor: one that never stops must let it.
        let to_drop = !self.doomed.is_empty();
        !self.ending && !to_drop && self.threads.me(me).is_some() && self.axiom.current() == Some(me.thread)
    }

    fn grow(&mut self, me: Me, pages: u64) -> bool {
        if self.threads.me(me).is_none() {
            return false;
        }
        let now = self.clock.now();
        let granted = self.axiom.grow(me.process, pages, now).is_ok();
        self.carry_out();
        granted
    }

    fn take_handles(&mut self, me: Me) -> Vec<Handle> {
        match self.threads.me(me) {
            Some(thread) if !thread.handles_taken => thread.handles_taken = true,
            _ => return Vec::new(),
        }
        self.axiom.handles(me.thread).to_vec()
    }

    /// Takes what happened outside, and ends the slice if it is over.
    fn attend(&mut self) {
        let (events, ticks) = self.events.take();
        let now = self.clock.synchronise();
        if ticks != self.ticks {
            self.ticks = ticks;
            self.axiom.tick(now);
            self.axiom.preempt(now);
            self.carry_out();
        } else if self.axiom.deadline().is_some_and(|deadline| deadline <= now) {
            self.axiom.tick(now);
            self.carry_out();
        }
        for event in events {
            self.happened(event);
        }
        self.keep_record(now);
        self.ending = self.ended().is_some();
    }

    fn happened(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Line(line) => self.raise(line),
            Event::Checked { thread, serial, result } => {
                if self.threads.get(thread).is_none_or(|waiting| waiting.me.serial != serial) {
                    return;
                }
                let result = result.map(|Checked { hash, executable, .. }| {
                    self.checked = Some((hash, executable));
                    hash
                });
                self.axiom.host_done(thread, result, now);
                self.carry_out();
                self.checked = None;
            }
            Event::Shutdown(status) => {
                self.shutdown_requests += 1;
                if self.shutdown_requests > 1 {
                    self.end = Some(End::Forced(status));
                } else {
                    self.power.request(status);
                    self.raise(self.power_line);
                }
            }
            Event::LogFailed => self.log_failed(),
        }
        self.carry_out();
    }

    /// A line came: at once if it is open, else when it is opened.
    fn raise(&mut self, line: InterruptId) {
        let Some(state) = self.lines.get_mut(line.index()) else { return };
        if state.open {
            state.open = false;
            let now = self.clock.now();
            self.axiom.interrupt(line, now);
            self.carry_out();
        } else {
            state.raised = true;
        }
    }

    /// Whether the machine is to end, and how.
    fn ended(&self) -> Option<End> {
        let stopped = || self.init.is_none().then_some(End::Stopped);
        self.power.off().map(End::Off).or_else(|| self.end.clone()).or_else(stopped)
    }
}

/// What the kernel is told of a guest that ended with an error.
fn fault(error: &wasmtime::Error) -> (FaultKind, u64) {
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => (FaultKind::StackOverflow, 0),
        Some(trap) => (FaultKind::Trap, *trap as u64 + 1),
        // The host refused what it passed: a pointer outside its memory, or too little memory to begin.
        None => (FaultKind::BadAccess, 0),
    }
}

/// A machine on its thread, where it stays. Dropping it drops all processes.
///
/// ```compile_fail,E0277
/// fn elsewhere(mut system: host_wasm::machine::System) {
///     std::thread::spawn(move || system.run());
/// }
/// ```
pub struct System {
    ticker: Ticker,
    events: Events,
    /// The machine is in this thread's keeping.
    not_send: std::marker::PhantomData<*const ()>,
}

impl System {
    /// How often the operating system was asked for the time: once a tick and when the machine waits or
    /// something happens outside, never for a system call.
    pub fn clock_readings(&self) -> u64 {
        door::with(|machine| machine.clock.readings()).unwrap_or(0)
    }

    /// What went wrong with the log without ending the machine, once it has run.
    pub fn log_trouble(&self) -> Option<String> {
        door::with(|machine| machine.record.trouble.clone()).flatten()
    }

    /// Runs until the machine ends.
    pub fn run(&mut self) -> End {
        loop {
            let doomed = door::with(|machine| std::mem::take(&mut machine.doomed));
            drop(doomed);
            enum Do {
                Poll(ThreadId),
                Wait(Option<Duration>),
                End(End),
            }
            let next = door::with(|machine| {
                if machine.events.attention() {
                    machine.attend();
                }
                if let Some(end) = machine.ended() {
                    return Do::End(end);
                }
                match machine.axiom.current() {
                    Some(thread) => Do::Poll(thread),
                    None => {
                        let now = machine.clock.synchronise();
                        machine.keep_record(now);
                        match machine.due(now) {
                            Some(due) if due <= now => {
                                machine.axiom.tick(now);
                                machine.carry_out();
                                Do::Wait(Some(Duration::ZERO))
                            }
                            due => Do::Wait(due.map(|due| Duration::from_nanos(due - now))),
                        }
                    }
                }
            });
            match next {
                Some(Do::Poll(thread)) => {
                    door::poll_thread(thread);
                    door::with(|machine| machine.still_over(thread));
                }
                Some(Do::Wait(Some(Duration::ZERO))) => {}
                Some(Do::Wait(most)) => self.events.wait(most, &self.ticker),
                Some(Do::End(end)) => return door::with(|machine| machine.close(end)).unwrap_or(End::Stopped),
                None => return End::Stopped,
            }
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // The machine goes first: fibers that unwind find none and wait for nothing.
        drop(door::remove());
    }
}

impl Machine {
    /// A thread that is current and has no fiber would keep the executor busy for
    /// nothing: it has ended.
    fn still_over(&mut self, thread: ThreadId) {
        let over = self.threads.get(thread).is_none_or(|slot| matches!(slot.run, Run::Over));
        if over && self.axiom.current() == Some(thread) {
            let now = self.clock.now();
            // It is gone afterwards; there is nobody to tell.
            let _ = self.axiom.call(thread, &Request::Exit { code: u64::MAX }, now);
            self.carry_out();
        }
    }
}
