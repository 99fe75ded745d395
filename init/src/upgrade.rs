//! The upgrade of one service as a state machine: a second process is started beside the
//! one that serves, takes over from it, and takes its place. Whatever goes wrong before that, the first
//! process goes on. docs/init.md draws it.

use crate::service::{Action, End, Service, State, Time, View};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Where an upgrade is that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The successor runs, and has until `deadline` to ask for what it takes over.
    Preparing {
        /// When that counts as a failure.
        deadline: Time,
    },
    /// The old process was asked to let go, and has until `deadline`.
    Draining {
        /// When that counts as a failure.
        deadline: Time,
        /// Whether the successor will be ready as soon as it is told that all is let go.
        ready: bool,
    },
    /// The old process has let go; the successor has until `deadline` to be ready.
    Switching {
        /// When that counts as a failure.
        deadline: Time,
    },
    /// It came to nothing: the successor is being ended, then the old process goes on.
    Failing,
}

/// The upgrade of a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upgrade {
    /// Where it is, if one goes on.
    pub phase: Option<Phase>,
    /// How the last one went, if there was one.
    pub result: Option<Result<(), String>>,
}

impl Upgrade {
    /// When it has something to do by itself, if it ever has.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase? {
            Phase::Preparing { deadline } | Phase::Draining { deadline, .. } | Phase::Switching { deadline } => {
                Some(deadline)
            }
            Phase::Failing => None,
        }
    }

    /// It has come to its end.
    pub(crate) fn end(&mut self, result: Result<(), String>) {
        self.phase = None;
        self.result = Some(result);
    }
}

impl Service {
    /// It is ordered to be upgraded. Does nothing but where it is up and not being upgraded.
    pub fn begin_upgrade(&mut self, now: Time, actions: &mut Vec<Action>) {
        if *self.state() == State::Up && self.upgrade.phase.is_none() {
            let deadline = now.saturating_add(self.ready_timeout);
            self.upgrade = Upgrade { phase: Some(Phase::Preparing { deadline }), result: None };
            actions.push(Action::LaunchSuccessor);
        }
    }

    /// The successor could not be started.
    pub fn successor_not_launched(&mut self, reason: String, actions: &mut Vec<Action>) {
        if self.upgrade.phase.is_some() {
            self.upgrade.end(Err(format!("it could not be started: {reason}")));
            self.report_failed_upgrade(actions);
        }
    }

    /// The successor asks for what it takes over; or says that it is ready, and takes nothing over.
    pub fn successor_asks(&mut self, is_ready: bool, now: Time, actions: &mut Vec<Action>) {
        match self.upgrade.phase {
            Some(Phase::Preparing { .. }) => {
                let deadline = now.saturating_add(self.stop_timeout);
                self.upgrade.phase = Some(Phase::Draining { deadline, ready: is_ready });
                // What is left of the time is for what comes after it has let go.
                actions.push(Action::AskHandOver(self.stop_timeout / 2));
            }
            Some(Phase::Draining { deadline, ready }) => {
                self.upgrade.phase = Some(Phase::Draining { deadline, ready: ready || is_ready });
            }
            Some(Phase::Switching { .. }) if is_ready => self.switch(now, actions),
            Some(Phase::Switching { .. } | Phase::Failing) | None => {}
        }
    }

    /// The old process has let go of everything.
    pub fn released(&mut self, now: Time, actions: &mut Vec<Action>) {
        match self.upgrade.phase {
            Some(Phase::Draining { ready, .. }) => {
                let deadline = now.saturating_add(self.ready_timeout);
                self.upgrade.phase = Some(Phase::Switching { deadline });
                actions.push(Action::GiveOver);
                if ready {
                    self.switch(now, actions);
                }
            }
            // It is told when the successor has ended.
            Some(Phase::Failing) => {}
            // It was asked in an upgrade that has come to nothing since.
            Some(Phase::Preparing { .. } | Phase::Switching { .. }) | None => self.resume(now, actions),
        }
    }

    /// The successor says that it cannot come up.
    pub fn successor_failed(&mut self, reason: String, actions: &mut Vec<Action>) {
        self.fail_upgrade(reason, actions);
    }

    /// The successor has ended.
    pub fn successor_ended(&mut self, end: End, now: Time, actions: &mut Vec<Action>) {
        match self.upgrade.phase {
            // How it came to that is known.
            Some(Phase::Failing) => self.upgrade.phase = None,
            Some(_) => {
                self.upgrade.end(Err(format!("the new process {end} before it was ready")));
                self.report_failed_upgrade(actions);
            }
            None => return,
        }
        self.resume(now, actions);
    }

    pub(crate) fn upgrade_due(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.upgrade.deadline().is_some_and(|deadline| deadline <= now) {
            let milliseconds = |time: u64| time / 1_000_000;
            let reason = match self.upgrade.phase {
                Some(Phase::Draining { .. }) => {
                    format!("the old process did not let go within {} ms", milliseconds(self.stop_timeout))
                }
                _ => format!("the new process was not ready after {} ms", milliseconds(self.ready_timeout)),
            };
            self.fail_upgrade(reason, actions);
        }
    }

    /// If an upgrade goes on, it has come to nothing: ends the successor, after which the old process, if it is
    /// still there, takes hold again.
    pub(crate) fn fail_upgrade(&mut self, reason: String, actions: &mut Vec<Action>) {
        if self.upgrade.phase.is_some_and(|phase| phase != Phase::Failing) {
            self.upgrade = Upgrade { phase: Some(Phase::Failing), result: Some(Err(reason)) };
            self.report_failed_upgrade(actions);
            actions.push(Action::KillSuccessor);
        }
    }

    fn report_failed_upgrade(&self, actions: &mut Vec<Action>) {
        if let Some(Err(reason)) = &self.upgrade.result {
            actions.push(Action::Report(format!("was not upgraded: {reason}")));
        }
    }

    fn switch(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.upgrade.end(Ok(()));
        self.rest(now);
        actions.push(Action::Switch);
        // What clients had open with the old process, such as subscriptions, is gone.
        actions.push(Action::Changed(View::Restarting));
        actions.push(Action::Changed(View::Up));
    }
}
