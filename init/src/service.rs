//! One service as a state machine: what its process does and what it is ordered to do go
//! in, what is to be done about it comes out. It knows no clock and no kernel.

use crate::manifest::{Health, Policy, Restart, Service as Description};
use crate::upgrade::Upgrade;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use libprocess::abi::ExitReason;

/// A moment, in ns since boot.
pub type Time = u64;

/// Where a service is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It is to run, but its phase or a service that it needs is not there yet.
    Waiting,
    /// Its process runs and has until `deadline` to say that it is ready.
    Starting {
        /// When that counts as a failure.
        deadline: Time,
    },
    /// It answers.
    Up,
    /// Its process is to end.
    Ending {
        /// Why.
        cause: Cause,
        /// Until when it may do so by itself; `None` when it has been killed.
        deadline: Option<Time>,
    },
    /// It ended and waits to be started again.
    BackingOff {
        /// When.
        until: Time,
    },
    /// It has no process and gets none by itself.
    Down(Down),
}

/// Why a process is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Someone ordered it to stop.
    Stop,
    /// Someone ordered it to start afresh.
    Restart,
    /// It failed, as told here.
    Failure(String),
    /// It failed, as told here, and starting it again would be of no use.
    Unable(String),
}

/// Why a service has no process and gets none by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Down {
    /// It was stopped by order.
    Stopped,
    /// It ended by itself, as its policy allows.
    Finished,
    /// It failed, and is not started again: its policy is so, or it would be of no use.
    Failed,
    /// It ended too often in a short time.
    Disabled,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Why.
    pub reason: ExitReason,
    /// With which code.
    pub code: u64,
}

impl End {
    /// Whether it came to a good end by itself.
    pub fn is_success(self) -> bool {
        self.reason == ExitReason::Exited && self.code == 0
    }
}

/// `exited with code 3`, `was killed`, `was ended by a fault (WebAssembly trap)`.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use libprocess::abi::message::FaultKind;
        match self.reason {
            ExitReason::Exited => write!(f, "exited with code {}", self.code),
            ExitReason::Killed => f.write_str("was killed"),
            ExitReason::Reclaimed => f.write_str("lost the quota that it lived on"),
            ExitReason::Faulted => {
                let fault = u8::try_from(self.code).ok().and_then(FaultKind::from_number);
                let words = match fault {
                    Some(FaultKind::BadAccess) => "access to memory that it must not touch",
                    Some(FaultKind::BadInstruction) => "an instruction that it must not execute",
                    Some(FaultKind::TimeLimit) => "its processor time was used up",
                    Some(FaultKind::Trap) => "WebAssembly trap",
                    Some(FaultKind::StackOverflow) => "its stack ran out",
                    None => return write!(f, "was ended by fault {}", self.code),
                };
                write!(f, "was ended by a fault ({words})")
            }
        }
    }
}

/// What is to be done about a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask its process to end, with so many ns until it is killed.
    Ask(u64),
    /// Kill its process.
    Kill,
    /// Ask it whether it is well, in this round.
    AskHealth(u32),
    /// Start the process that is to take its place.
    LaunchSuccessor,
    /// Ask its process to let go of what only one can have, within so many ns.
    AskHandOver(u64),
    /// Tell its successor that all is let go.
    GiveOver,
    /// Kill its successor.
    KillSuccessor,
    /// Tell its process, if it has let go, to take hold again.
    Resume,
    /// The successor is its process from now on; kill the one before.
    Switch,
    /// Its clients' view of it has changed: tell those that need it.
    Changed(View),
    /// Something is wrong: a clause about the service, for people.
    Report(String),
}

/// What those that need a service see of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum View {
    /// It answers.
    Up,
    /// It will be started again.
    Restarting,
    /// It is not there and will not be by itself.
    Down,
}

/// Where a service that is up is in being asked whether it is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Watch {
    /// The number of the question.
    round: u32,
    /// Whether it was asked and has not yet answered.
    asked: bool,
    /// When it is asked next, or when its answer counts as missed.
    until: Time,
    /// How many answers it has missed, one after the other.
    missed: u32,
}

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    state: State,
    restart: Restart,
    health: Health,
    pub(crate) ready_timeout: u64,
    pub(crate) stop_timeout: u64,
    watch: Watch,
    /// What it said of its health last.
    detail: String,
    pub(crate) upgrade: Upgrade,
    /// When it was started again by policy, within the window; oldest first.
    recent: VecDeque<Time>,
    restarts: u32,
    last_end: String,
}

impl Service {
    /// A service that is to run, as the manifest describes it.
    pub fn new(description: &Description) -> Service {
        Service {
            state: State::Waiting,
            restart: description.restart,
            health: description.health,
            ready_timeout: description.ready_timeout,
            stop_timeout: description.program.stop_timeout,
            watch: Watch { round: 0, asked: false, until: 0, missed: 0 },
            detail: String::new(),
            upgrade: Upgrade::default(),
            recent: VecDeque::new(),
            restarts: 0,
            last_end: String::new(),
        }
    }

    /// Where it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How often it was started again, by policy or by order.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// How it ended last, in words; empty if it never has.
    pub fn last_end(&self) -> &str {
        &self.last_end
    }

    /// Whether it runs and did not answer when it was last asked whether it is well.
    pub fn is_unhealthy(&self) -> bool {
        self.state == State::Up && self.watch.missed > 0
    }

    /// What it said of its health last; empty if nothing.
    pub fn health(&self) -> &str {
        if self.state == State::Up { &self.detail } else { "" }
    }

    /// Its upgrade: the one under way, or how the last one went.
    pub fn upgrade(&self) -> &Upgrade {
        &self.upgrade
    }

    /// Whether its process can be started: it is to run, and none that was to take its place is left.
    pub fn can_launch(&self) -> bool {
        self.state == State::Waiting && self.upgrade.phase.is_none()
    }

    /// Whether it has a process.
    pub fn has_process(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Up | State::Ending { .. })
    }

    /// When [`Service::due`] has something to do, if it ever has.
    pub fn deadline(&self) -> Option<Time> {
        let own = match self.state {
            State::Starting { deadline } => Some(deadline),
            State::Ending { deadline, .. } => deadline,
            State::BackingOff { until } => Some(until),
            State::Up if self.is_watched() => Some(self.watch.until),
            State::Waiting | State::Up | State::Down(_) => None,
        };
        own.into_iter().chain(self.upgrade.deadline()).min()
    }

    /// Whether it is asked now and then whether it is well. Not while it is upgraded: then it does not
    /// receive for a while, and that has time-outs of its own.
    fn is_watched(&self) -> bool {
        self.health.misses > 0 && self.upgrade.phase.is_none()
    }

    /// Its process has been started.
    pub fn launched(&mut self, now: Time) {
        self.state = State::Starting { deadline: now.saturating_add(self.ready_timeout) };
    }

    /// Its process could not be started.
    pub fn not_launched(&mut self, reason: String, now: Time, actions: &mut Vec<Action>) {
        self.fail_upgrade(format!("the process that was to be replaced could not be started: {reason}"), actions);
        self.last_end = format!("could not be started: {reason}");
        self.again_or_not(false, now, actions);
    }

    /// It says that it is ready: after its start, or again after an upgrade that came to nothing.
    pub fn ready(&mut self, now: Time, actions: &mut Vec<Action>) {
        match self.state {
            State::Starting { .. } => {
                self.state = State::Up;
                self.rest(now);
                actions.push(Action::Changed(View::Up));
            }
            // Never later than it would be asked anyway.
            State::Up if !self.watch.asked => {
                self.watch.until = self.watch.until.min(now.saturating_add(self.health.interval));
            }
            _ => {}
        }
    }

    /// It is well, for all that is known: it is asked again after a while.
    pub(crate) fn rest(&mut self, now: Time) {
        self.detail.clear();
        self.watch.asked = false;
        self.watch.missed = 0;
        self.watch.until = now.saturating_add(self.health.interval);
    }

    /// It takes hold again, and has as long for that as at its start before it is asked whether it is well.
    pub(crate) fn resume(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.rest(now);
        self.watch.until = now.saturating_add(self.ready_timeout);
        actions.push(Action::Resume);
    }

    /// It says that it is well, and what else there is to say of that.
    pub fn healthy(&mut self, detail: String, now: Time) {
        if self.state == State::Up {
            if self.watch.asked {
                self.rest(now);
            }
            self.watch.missed = 0;
            self.detail = detail;
        }
    }

    /// It says that it cannot come up or go on.
    pub fn failed(&mut self, reason: String, actions: &mut Vec<Action>) {
        if let State::Starting { .. } | State::Up = self.state {
            self.state = State::Ending { cause: Cause::Failure(reason), deadline: None };
            actions.push(Action::Kill);
        }
    }

    /// It says that it cannot come up, and would not if it were started again.
    pub fn unable(&mut self, reason: String, actions: &mut Vec<Action>) {
        if let State::Starting { .. } | State::Up = self.state {
            self.state = State::Ending { cause: Cause::Unable(reason), deadline: None };
            actions.push(Action::Kill);
        }
    }

    /// Its process has ended.
    pub fn ended(&mut self, end: End, now: Time, actions: &mut Vec<Action>) {
        self.fail_upgrade(format!("the process that was to be replaced {end}"), actions);
        match core::mem::replace(&mut self.state, State::Waiting) {
            State::Starting { .. } => {
                self.last_end = format!("{end} before it was ready");
                self.again_or_not(false, now, actions);
            }
            State::Up => {
                self.last_end = end.to_string();
                self.again_or_not(end.is_success(), now, actions);
            }
            State::Ending { cause: Cause::Failure(reason), .. } => {
                self.last_end = format!("failed: {reason}");
                self.again_or_not(false, now, actions);
            }
            State::Ending { cause: Cause::Unable(reason), .. } => {
                self.last_end = format!("failed: {reason}");
                actions.push(Action::Report(format!("{}; it is not started again by itself", self.last_end)));
                self.down(Down::Failed, actions);
            }
            State::Ending { cause: Cause::Stop, .. } => {
                self.last_end = end.to_string();
                self.down(Down::Stopped, actions);
            }
            State::Ending { cause: Cause::Restart, .. } => {
                self.last_end = end.to_string();
                self.restarts += 1;
                actions.push(Action::Changed(View::Restarting));
            }
            // It has no process: nothing of its own can have ended.
            other @ (State::Waiting | State::BackingOff { .. } | State::Down(_)) => self.state = other,
        }
    }

    /// It is ordered to stop. Does nothing where it has stopped or is stopping.
    pub fn stop(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.end(Cause::Stop, now, actions);
        if let State::Waiting | State::BackingOff { .. } = self.state {
            self.down(Down::Stopped, actions);
        }
    }

    /// It is ordered to start afresh.
    pub fn restart(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.end(Cause::Restart, now, actions);
        self.start();
    }

    /// It is ordered to start: what has no process waits for its turn, with a clean count.
    pub fn start(&mut self) {
        if let State::BackingOff { .. } | State::Down(_) = self.state {
            self.recent.clear();
            self.restarts += 1;
            self.state = State::Waiting;
        }
    }

    /// Its process is ordered to end at once; what then happens is as if it had crashed.
    pub fn kill(&self, actions: &mut Vec<Action>) {
        if self.has_process() {
            actions.push(Action::Kill);
        }
    }

    /// Time has passed.
    pub fn due(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.upgrade_due(now, actions);
        if self.state == State::Up && self.is_watched() && self.watch.until <= now {
            return self.look_after(now, actions);
        }
        match &mut self.state {
            State::Starting { deadline } if *deadline <= now => {
                let reason = format!("it was not ready after {} ms", self.ready_timeout / 1_000_000);
                self.state = State::Ending { cause: Cause::Failure(reason), deadline: None };
                actions.push(Action::Kill);
            }
            State::Ending { deadline: deadline @ Some(_), .. } if *deadline <= Some(now) => {
                *deadline = None;
                actions.push(Action::Report(format!(
                    "did not stop within {} ms and is killed",
                    self.stop_timeout / 1_000_000
                )));
                actions.push(Action::Kill);
            }
            State::BackingOff { until } if *until <= now => self.state = State::Waiting,
            _ => {}
        }
    }

    /// Asks it whether it is well; if it has not answered that too often, it has failed.
    fn look_after(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.watch.asked {
            self.watch.missed += 1;
            if self.watch.missed >= self.health.misses {
                let reason = format!("it runs, but did not answer {} health checks", self.health.misses);
                self.state = State::Ending { cause: Cause::Failure(reason), deadline: None };
                return actions.push(Action::Kill);
            }
        }
        self.watch.asked = true;
        self.watch.round = self.watch.round.wrapping_add(1);
        self.watch.until = now.saturating_add(self.health.timeout);
        actions.push(Action::AskHealth(self.watch.round));
    }

    /// Begins the end of a process that runs. An order to stop stands over one to restart.
    fn end(&mut self, order: Cause, now: Time, actions: &mut Vec<Action>) {
        self.fail_upgrade("the service was told to end".to_string(), actions);
        match &mut self.state {
            State::Starting { .. } | State::Up => {
                let deadline = Some(now.saturating_add(self.stop_timeout));
                self.state = State::Ending { cause: order, deadline };
                actions.push(Action::Ask(self.stop_timeout));
            }
            State::Ending { cause, .. } if order == Cause::Stop => *cause = Cause::Stop,
            _ => {}
        }
    }

    /// Its process has ended without an order: does what the policy says.
    fn again_or_not(&mut self, success: bool, now: Time, actions: &mut Vec<Action>) {
        match (self.restart.policy, success) {
            (Policy::Never | Policy::OnFailure, true) => return self.down(Down::Finished, actions),
            (Policy::Never, false) => {
                actions.push(Action::Report(format!("{}; it is not started again", self.last_end)));
                return self.down(Down::Failed, actions);
            }
            (Policy::OnFailure, false) | (Policy::Always, _) => {}
        }
        while self.recent.front().is_some_and(|&then| now.saturating_sub(then) >= self.restart.window) {
            self.recent.pop_front();
        }
        let before = self.recent.len() as u32;
        if before >= self.restart.limit {
            actions.push(Action::Report(format!(
                "{}, after {before} restarts in {} s; it is disabled",
                self.last_end,
                self.restart.window / 1_000_000_000
            )));
            return self.down(Down::Disabled, actions);
        }
        let pause = self.restart.pause(before);
        self.recent.push_back(now);
        self.restarts += 1;
        self.state = State::BackingOff { until: now.saturating_add(pause) };
        actions.push(Action::Report(format!("{}; it is started again in {} ms", self.last_end, pause / 1_000_000)));
        actions.push(Action::Changed(View::Restarting));
    }

    fn down(&mut self, down: Down, actions: &mut Vec<Action>) {
        self.state = State::Down(down);
        actions.push(Action::Changed(View::Down));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;
    const CRASH: End = End { reason: ExitReason::Faulted, code: 4 };
    const GOOD: End = End { reason: ExitReason::Exited, code: 0 };

    fn service(policy: Policy) -> Service {
        let restart = Restart { policy, initial: 100 * MS, max: 500 * MS, limit: 5, window: 60 * S };
        let text = "[[service]]\nname = \"store\"\nimage = \"store\"\nbadge = 1\nphase = 1\n\
                    quota = { memory = \"1 MiB\", pages = \"1 MiB\" }\n\
                    [[session]]\nname = \"session\"\nimage = \"session\"\nbadge = 2\n\
                    quota = { memory = \"1 MiB\", pages = \"1 MiB\" }\n";
        let mut description = crate::manifest::parse(text).unwrap().services.remove(0);
        description.restart = restart;
        Service::new(&description)
    }

    fn up(policy: Policy) -> Service {
        let mut service = service(policy);
        service.launched(0);
        service.ready(0, &mut Vec::new());
        assert_eq!(*service.state(), State::Up);
        service
    }

    fn actions(act: impl FnOnce(&mut Vec<Action>)) -> Vec<Action> {
        let mut actions = Vec::new();
        act(&mut actions);
        actions
    }

    fn report(actions: &[Action]) -> &str {
        actions.iter().find_map(|a| if let Action::Report(text) = a { Some(text.as_str()) } else { None }).unwrap()
    }

    #[test]
    fn a_service_is_up_when_it_says_so_and_not_before() {
        let mut service = service(Policy::Never);
        service.launched(5);
        assert_eq!(*service.state(), State::Starting { deadline: 5 + 10 * S });
        assert_eq!(actions(|a| service.ready(5, a)), [Action::Changed(View::Up)]);
        assert_eq!(*service.state(), State::Up);
        assert!(actions(|a| service.ready(5, a)).is_empty(), "ready again is harmless");
    }

    #[test]
    fn one_that_is_not_ready_in_time_is_killed_and_has_failed() {
        let mut service = service(Policy::OnFailure);
        service.launched(0);
        assert!(actions(|a| service.due(10 * S - 1, a)).is_empty());
        assert_eq!(actions(|a| service.due(10 * S, a)), [Action::Kill]);
        let end = actions(|a| service.ended(End { reason: ExitReason::Killed, code: 0 }, 10 * S, a));
        assert!(report(&end).contains("not ready after 10000 ms"), "{end:?}");
        assert_eq!(*service.state(), State::BackingOff { until: 10 * S + 100 * MS });
    }

    #[test]
    fn one_that_says_it_failed_is_killed_and_its_words_are_reported() {
        let mut service = service(Policy::OnFailure);
        service.launched(0);
        assert_eq!(actions(|a| service.failed("the disk is corrupt".into(), a)), [Action::Kill]);
        let end = actions(|a| service.ended(End { reason: ExitReason::Killed, code: 0 }, 1, a));
        assert!(report(&end).contains("the disk is corrupt"));
    }

    #[test]
    fn an_end_before_it_is_ready_is_a_failure_even_with_code_0() {
        let mut service = service(Policy::OnFailure);
        service.launched(0);
        actions(|a| service.ended(GOOD, 1, a));
        assert!(matches!(service.state(), State::BackingOff { .. }));
    }

    #[test]
    fn the_policy_decides_who_is_started_again() {
        for (policy, end, expected) in [
            (Policy::Never, CRASH, Some(Down::Failed)),
            (Policy::Never, GOOD, Some(Down::Finished)),
            (Policy::OnFailure, CRASH, None),
            (Policy::OnFailure, End { reason: ExitReason::Exited, code: 3 }, None),
            (Policy::OnFailure, End { reason: ExitReason::Killed, code: 0 }, None),
            (Policy::OnFailure, GOOD, Some(Down::Finished)),
            (Policy::Always, CRASH, None),
            (Policy::Always, GOOD, None),
        ] {
            let mut service = up(policy);
            let acts = actions(|a| service.ended(end, S, a));
            match expected {
                Some(down) => {
                    assert_eq!(*service.state(), State::Down(down), "{policy:?} {end:?}");
                    assert!(acts.contains(&Action::Changed(View::Down)));
                }
                None => {
                    assert_eq!(*service.state(), State::BackingOff { until: S + 100 * MS }, "{policy:?} {end:?}");
                    assert!(acts.contains(&Action::Changed(View::Restarting)));
                }
            }
        }
    }

    #[test]
    fn pauses_grow_and_the_sixth_end_within_the_window_disables() {
        let mut service = up(Policy::Always);
        let mut now = S;
        let mut pauses = Vec::new();
        loop {
            let acts = actions(|a| service.ended(CRASH, now, a));
            let State::BackingOff { until } = *service.state() else {
                assert!(report(&acts).contains("disabled"), "{acts:?}");
                break;
            };
            pauses.push((until - now) / MS);
            service.due(until - 1, &mut Vec::new());
            assert!(matches!(service.state(), State::BackingOff { .. }), "not a moment early");
            service.due(until, &mut Vec::new());
            assert_eq!(*service.state(), State::Waiting);
            now = until;
            service.launched(now);
            service.ready(0, &mut Vec::new());
        }
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
        assert_eq!(*service.state(), State::Down(Down::Disabled));
        assert_eq!(service.restarts(), 5);
    }

    #[test]
    fn ends_far_apart_never_disable_and_begin_with_the_short_pause() {
        let mut service = up(Policy::Always);
        for n in 1..100 {
            let now = n * 60 * S;
            actions(|a| service.ended(CRASH, now, a));
            assert_eq!(*service.state(), State::BackingOff { until: now + 100 * MS });
            service.due(now + 100 * MS, &mut Vec::new());
            service.launched(now + 100 * MS);
            service.ready(0, &mut Vec::new());
        }
    }

    #[test]
    fn one_that_is_stopped_is_asked_and_after_its_time_killed_and_stays_down() {
        let mut service = up(Policy::Always);
        assert_eq!(actions(|a| service.stop(S, a)), [Action::Ask(2 * S)]);
        assert!(actions(|a| service.stop(S, a)).is_empty(), "it is being stopped already");
        assert!(actions(|a| service.due(3 * S - 1, a)).is_empty());
        let late = actions(|a| service.due(3 * S, a));
        assert!(late.contains(&Action::Kill) && report(&late).contains("did not stop"));
        assert_eq!(service.deadline(), None, "it is killed once");
        actions(|a| service.ended(End { reason: ExitReason::Killed, code: 0 }, 3 * S, a));
        assert_eq!(*service.state(), State::Down(Down::Stopped));
    }

    #[test]
    fn one_without_a_process_is_stopped_at_once() {
        let mut service = up(Policy::Always);
        actions(|a| service.ended(CRASH, 1, a));
        assert_eq!(actions(|a| service.stop(2, a)), [Action::Changed(View::Down)]);
        assert_eq!(*service.state(), State::Down(Down::Stopped));
        assert_eq!(service.deadline(), None, "it does not come back");
    }

    #[test]
    fn one_that_is_restarted_waits_for_its_turn_without_a_pause() {
        let mut service = up(Policy::Never);
        assert_eq!(actions(|a| service.restart(S, a)), [Action::Ask(2 * S)]);
        assert_eq!(actions(|a| service.ended(GOOD, S, a)), [Action::Changed(View::Restarting)]);
        assert_eq!(*service.state(), State::Waiting);
        assert_eq!(service.restarts(), 1);
    }

    #[test]
    fn an_order_to_stop_stands_over_one_to_restart() {
        let mut service = up(Policy::Always);
        actions(|a| service.restart(S, a));
        actions(|a| service.stop(S, a));
        actions(|a| service.ended(GOOD, S, a));
        assert_eq!(*service.state(), State::Down(Down::Stopped));
    }

    #[test]
    fn a_disabled_service_can_be_started_and_begins_with_a_clean_count() {
        let mut service = up(Policy::Always);
        for _ in 0..6 {
            actions(|a| service.ended(CRASH, S, a));
            actions(|a| service.due(2 * S, a));
            if *service.state() == State::Waiting {
                service.launched(S);
                service.ready(0, &mut Vec::new());
            }
        }
        assert_eq!(*service.state(), State::Down(Down::Disabled));
        service.start();
        assert_eq!(*service.state(), State::Waiting);
        service.launched(3 * S);
        actions(|a| service.ended(CRASH, 3 * S, a));
        assert_eq!(*service.state(), State::BackingOff { until: 3 * S + 100 * MS });
    }

    #[test]
    fn a_process_that_could_not_be_started_counts_as_one_that_failed() {
        let mut service = service(Policy::Never);
        let acts = actions(|a| service.not_launched("there is no image `web`".into(), 0, a));
        assert!(report(&acts).contains("no image `web`"));
        assert_eq!(*service.state(), State::Down(Down::Failed));
    }

    #[test]
    fn ends_are_told_in_words() {
        let words = |reason, code| End { reason, code }.to_string();
        assert_eq!(words(ExitReason::Exited, 3), "exited with code 3");
        assert_eq!(words(ExitReason::Killed, 0), "was killed");
        assert_eq!(words(ExitReason::Faulted, 4), "was ended by a fault (WebAssembly trap)");
        assert_eq!(words(ExitReason::Faulted, 99), "was ended by fault 99");
        assert_eq!(words(ExitReason::Reclaimed, 0), "lost the quota that it lived on");
    }
}
