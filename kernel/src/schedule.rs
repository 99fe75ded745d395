//! Who runs: the highest ready priority, round-robin within; what callers lend to
//! their servers; time budgets. Which thread is next is a function of the state and
//! has no commit.

use crate::activity::Activity;
use crate::brief::{Brief, BriefEnd};
use crate::commit::{Activity as Doing, Authority as Change, Decision};
use crate::ids::*;
use crate::queue::{Entry, QueueId, Queued};
use crate::thread::{SPENT, State, ThreadActivity};
use crate::timer::TimerKind;
use crate::{Caller, Kernel};
use abi::message::FaultKind;
use abi::{ExitReason, FOREVER, Returned};

/// Priorities run from 0 to one less; the highest runs.
pub const PRIORITIES: u8 = 32;
/// Of init's first thread; others have their creator's.
pub const FIRST_PRIORITY: u8 = 16;

/// At which end of its queue a thread becomes ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It goes on with its slice.
    Front,
    /// It waits for its turn.
    Back,
}

impl Activity {
    /// Charges processor time to who pays for the running thread.
    #[inline(always)]
    pub(crate) fn charge(&mut self, elapsed: u64) {
        self.clock = self.clock.saturating_add(elapsed);
        if self.current.is_none() || elapsed == 0 {
            return;
        }
        let payer = self.view(self.current).payer;
        let detail = self.detail(payer);
        detail.time = detail.time.saturating_add(elapsed);
        if detail.budget != FOREVER {
            self.charge_budget(payer, elapsed);
        }
    }

    fn charge_budget(&mut self, payer: ThreadId, elapsed: u64) {
        let now = self.clock;
        let detail = self.detail(payer);
        let whole = detail.left == detail.budget;
        detail.left = detail.left.saturating_sub(elapsed);
        if whole {
            // The period begins with the first use.
            let end = now.saturating_sub(elapsed).saturating_add(detail.period);
            self.arm(payer, TimerKind::Replenishment, end);
        }
    }

    /// Lets a thread that is in no queue run when its turn comes, if it may.
    pub(crate) fn make_ready(&mut self, thread: ThreadId, end: End) {
        let &ThreadActivity { process, payer, priority, .. } = self.view(thread);
        let depleted = payer == thread && self.detail_view(thread).left == 0;
        let state = match (self.is_suspended(process), depleted) {
            (true, _) => State::Suspended,
            (_, true) => State::Depleted,
            _ => State::Ready,
        };
        self.thread(thread).state = state;
        match end {
            _ if state != State::Ready => {}
            End::Front => self.push_front(QueueId::Ready(priority), Entry::thread(thread)),
            End::Back => {
                if let Some(queue) = self.ready.get_mut(usize::from(priority)) {
                    queue.append(thread, &mut self.threads);
                    self.ready_priorities |= 1u32.wrapping_shl(u32::from(priority));
                }
            }
        }
    }

    /// The highest priority of a ready thread, if there is one.
    pub(crate) fn highest_ready(&self) -> Option<u8> {
        (self.ready_priorities != 0).then(|| 31 - self.ready_priorities.leading_zeros() as u8)
    }

    /// Sees to it that the highest ready priority runs. What runs goes on unless a
    /// higher one is ready.
    #[inline(always)]
    pub(crate) fn schedule(&mut self) {
        if let Some(highest) = self.highest_ready()
            && (self.current.is_none() || self.view(self.current).priority < highest)
        {
            self.run_highest(highest);
        }
    }

    fn run_highest(&mut self, highest: u8) {
        let current = core::mem::replace(&mut self.current, ThreadId::NONE);
        if !current.is_none() {
            self.make_ready(current, End::Front);
        }
        let Some(queue) = self.ready.get_mut(usize::from(highest)) else { return };
        let Some(next) = queue.take_first(&mut self.threads) else { return };
        if queue.is_empty() {
            self.ready_priorities &= !1u32.wrapping_shl(u32::from(highest));
        }
        // It stands nowhere else, and has no time-out.
        self.thread(next).state = State::Running;
        self.current = next;
    }

    /// Gives the processor to a ready thread; nobody else has it.
    pub(crate) fn run(&mut self, thread: ThreadId) {
        let record = self.view(thread);
        if record.state == State::Ready {
            // It stands nowhere else, and has no time-out.
            self.remove(QueueId::Ready(record.priority), Entry::thread(thread));
        } else {
            self.detach(thread);
        }
        self.thread(thread).state = State::Running;
        self.current = thread;
    }

    /// The host runs this ready thread; what ran goes on afterwards.
    pub(crate) fn dispatched(&mut self, thread: ThreadId) {
        let current = core::mem::replace(&mut self.current, ThreadId::NONE);
        if !current.is_none() {
            self.make_ready(current, End::Front);
        }
        self.run(thread);
    }

    /// The running thread gives way to others of its priority.
    pub(crate) fn gave_way(&mut self, thread: ThreadId) {
        if self.current == thread {
            self.current = ThreadId::NONE;
            self.make_ready(thread, End::Back);
        }
    }

    /// Takes the running thread off the processor, or a thread out of whatever it is
    /// in, so that its state may be set anew.
    pub(crate) fn leave(&mut self, thread: ThreadId) {
        self.detach(thread);
        if self.current == thread {
            self.current = ThreadId::NONE;
        }
    }

    /// `caller` is being served by `server`, and lends it priority and budget.
    pub(crate) fn lend(&mut self, caller: ThreadId, server: ThreadId) {
        self.thread(caller).server = server;
        self.thread(server).serving = caller;
        self.relend(server);
    }

    /// `server` no longer serves whom it served: what it borrowed goes back. The
    /// caller, if it still waits, is among those whose reply the process holds.
    pub(crate) fn stop_serving(&mut self, server: ThreadId) {
        let caller = core::mem::replace(&mut self.thread(server).serving, ThreadId::NONE);
        if caller.is_none() {
            return;
        }
        let holder = self.thread(server).process;
        let record = self.thread(caller);
        (record.server, record.holder) = (ThreadId::NONE, holder);
        self.push(QueueId::Held(holder), Entry::thread(caller));
        self.relend(server);
    }

    /// Works out anew what `thread` borrows, and those to whom it lends in turn. Calls
    /// form chains, never rings: a thread that waits for a reply receives nothing.
    pub(crate) fn relend(&mut self, mut thread: ThreadId) {
        while !thread.is_none() {
            let caller = self.thread(thread).serving;
            let (mut payer, mut lent) = (thread, 0);
            if !caller.is_none() {
                let record = self.thread(caller);
                (payer, lent) = (record.payer, record.priority);
                if self.detail(payer).left == 0 {
                    payer = thread;
                }
            }
            let record = self.thread(thread);
            record.payer = payer;
            let (priority, next) = (record.base.max(lent), record.server);
            self.set_priority(thread, priority);
            thread = next;
        }
    }

    fn set_priority(&mut self, thread: ThreadId, priority: u8) {
        if self.thread(thread).priority == priority {
            return;
        }
        let ready = self.thread(thread).state == State::Ready;
        if ready {
            self.detach(thread);
        }
        self.thread(thread).priority = priority;
        if ready {
            self.push(QueueId::Ready(priority), Entry::thread(thread));
        }
    }

    /// What was lent to the running thread is used up: it goes on with its own.
    pub(crate) fn loan_ended(&mut self, thread: ThreadId) {
        let record = self.thread(thread);
        record.payer = thread;
        let (base, caller) = (record.base, record.serving);
        self.thread(caller).flags |= SPENT;
        self.set_priority(thread, base);
    }

    pub(crate) fn depleted(&mut self, thread: ThreadId) {
        self.detail(thread).left = 0;
        self.gave_way(thread);
    }

    pub(crate) fn replenished(&mut self, thread: ThreadId) {
        self.cancel(thread, TimerKind::Replenishment);
        let detail = self.detail(thread);
        detail.left = detail.budget;
        if self.thread(thread).state == State::Depleted {
            self.make_ready(thread, End::Back);
        }
    }

    /// What the thread has used of its period stays used: the period that runs ends when it would have.
    pub(crate) fn configured(&mut self, thread: ThreadId, priority: u8, budget: u64, period: u64) {
        self.thread(thread).base = priority;
        let detail = self.detail(thread);
        let used = if detail.budget == FOREVER { 0 } else { detail.budget.saturating_sub(detail.left) };
        (detail.budget, detail.period) = (budget, period);
        if budget == FOREVER || used == 0 {
            self.replenished(thread);
        } else {
            detail.left = budget.saturating_sub(used);
            if detail.left > 0 && self.view(thread).state == State::Depleted {
                self.make_ready(thread, End::Back);
            }
        }
        self.relend(thread);
    }
}

impl Kernel {
    #[inline(always)]
    pub(crate) fn decide_yield(&self, caller: Caller) -> Brief {
        let alone =
            self.activity.highest_ready().is_none_or(|highest| highest < self.activity.view(caller.thread).priority);
        if alone {
            return Brief::nothing(BriefEnd::Done);
        }
        Brief::new(BriefEnd::Done, Doing::Yielded { thread: caller.thread })
    }

    pub(crate) fn decide_preempt(&self) -> Decision {
        let thread = self.activity.current;
        let alone = self.activity.highest_ready().is_none_or(|highest| highest < self.activity.view(thread).priority);
        if thread.is_none() || alone {
            return Decision::nothing(Returned::Nothing);
        }
        Decision::done(Returned::Nothing, Doing::Preempted { thread })
    }

    /// The next thing that is due at `now`, one at a time: what a step has left to do,
    /// time-outs, budgets. Call it after every input until it gives `None`.
    pub fn due(&self, now: u64) -> Option<Decision> {
        let mut decision = self.next_due(now)?;
        self.complete(&mut decision, now, self.activity.current);
        Some(decision)
    }

    /// Whether [`Kernel::due`] has anything at `now`, or might: asked after every call.
    #[inline(always)]
    pub fn may_be_due(&self, now: u64) -> bool {
        let activity = &self.activity;
        self.has_left_to_do()
            || activity.first_timer().is_some_and(|(deadline, _, _)| deadline <= now)
            || self.is_limited()
    }

    /// Whether a step has left something to do, whatever the time.
    #[inline(always)]
    pub fn has_left_to_do(&self) -> bool {
        let activity = &self.activity;
        !activity.about_to_receive.is_none() || !activity.orphans.is_empty() || !activity.announced.is_empty()
    }

    /// Whether the time of who pays for the running thread may end.
    #[inline(always)]
    fn is_limited(&self) -> bool {
        let payer = self.activity.view(self.activity.current).payer;
        let process = self.authority.processes.get(self.activity.view(payer).process);
        self.activity.detail_view(payer).budget != FOREVER
            || process.is_some_and(|process| process.limits.processor_time != FOREVER)
    }

    fn next_due(&self, now: u64) -> Option<Decision> {
        let activity = &self.activity;
        if !activity.about_to_receive.is_none() {
            return Some(self.decide_receive_next(activity.about_to_receive, now));
        }
        if let Some(Queued::Thread(thread)) = activity.orphans.head.queued() {
            return Some(self.decide_orphan(thread));
        }
        if let Some(Queued::Exit(process)) = activity.announced.head.queued() {
            return Some(self.decide_announced(process));
        }
        if let Some((deadline, thread, kind)) = activity.first_timer()
            && deadline <= now
        {
            return Some(match kind {
                TimerKind::Timeout => Decision::done(Returned::Nothing, Doing::TimedOut { thread }),
                TimerKind::Replenishment => Decision::done(Returned::Nothing, Doing::Replenished { thread }),
            });
        }
        let (left, cause) = self.time_left()?;
        if left > now.saturating_sub(activity.clock) {
            return None;
        }
        let thread = activity.current;
        let payer = activity.view(thread).payer;
        Some(match cause {
            Limit::Budget if payer == thread => Decision::done(Returned::Nothing, Doing::Depleted { thread }),
            Limit::Process(limit) if activity.view(payer).process == activity.view(thread).process => {
                self.decide_fault(thread, FaultKind::TimeLimit, limit, true).ok()?
            }
            _ => Decision::done(Returned::Nothing, Doing::LoanEnded { thread }),
        })
    }

    /// A fault that has nobody to go to: to the supervisor again if there is one, else
    /// the process ends.
    fn decide_orphan(&self, thread: ThreadId) -> Decision {
        let process = self.activity.view(thread).process;
        let fault = self.activity.detail_view(thread).fault;
        match (self.authority.supervisor(process), fault) {
            (Some(_), Some(fault)) => {
                let crate::thread::Fault { kind, detail, resumable } = fault;
                Decision::done(Returned::Nothing, Doing::Faulted { thread, kind, detail, resumable })
            }
            (_, fault) => {
                let code = fault.map_or(0, |fault| fault.kind as u64);
                Decision::done(Returned::Nothing, Change::Exited { process, reason: ExitReason::Faulted, code })
            }
        }
    }

    /// An ended process: its supervisor is told at once if it waits, else the message is queued.
    fn decide_announced(&self, process: ProcessId) -> Decision {
        let endpoint = self.authority.supervisor(process).map_or(EndpointId::NONE, |(endpoint, _)| endpoint);
        match self.activity.first_thread(QueueId::Receivers(endpoint)) {
            Some(thread) => {
                let mut decision = Decision::done(
                    Returned::Nothing,
                    Doing::Received { thread, endpoint, entry: Entry::exit(process) },
                );
                decision.push(Change::ExitRead { process });
                decision
            }
            None => Decision::done(Returned::Nothing, Doing::ExitQueued { process }),
        }
    }

    /// How much processor time in ns is left, counted from the last charge, to who pays
    /// for the running thread, and what ends it. `None`: nobody runs, or without end.
    fn time_left(&self) -> Option<(u64, Limit)> {
        let current = self.activity.current;
        if current.is_none() {
            return None;
        }
        let payer = self.activity.view(current).payer;
        let detail = self.activity.detail_view(payer);
        let budget = (detail.budget != FOREVER).then_some((detail.left, Limit::Budget));
        let process = self.activity.view(payer).process;
        let limit = self.authority.processes.get(process.0)?.limits.processor_time;
        let limit = (limit != FOREVER)
            .then(|| (limit.saturating_sub(self.activity.processor_time(process)), Limit::Process(limit)));
        match (budget, limit) {
            (Some(budget), Some(limit)) => Some(if limit.0 <= budget.0 { limit } else { budget }),
            (budget, limit) => budget.or(limit),
        }
    }

    /// When [`Kernel::due`] has something next, in ns since boot; `None`: not by itself.
    pub fn deadline(&self) -> Option<u64> {
        let timer = self.activity.first_timer().map(|(deadline, _, _)| deadline);
        let spent = self.time_left().map(|(left, _)| self.activity.clock.saturating_add(left));
        match (timer, spent) {
            (Some(timer), Some(spent)) => Some(timer.min(spent)),
            (timer, spent) => timer.or(spent),
        }
    }
}

/// What ends the time of the running thread.
enum Limit {
    /// The budget of who pays.
    Budget,
    /// The processor time, in ns, that the payer's process may use.
    Process(u64),
}
