//! The whole system as a state machine: phases, dependencies, supervision, session,
//! shutdown. What happened goes in with its time, what is to be done comes out; it knows
//! no kernel. See [`System::step`].

use crate::manifest::Manifest;
use crate::service::{Action, Down, End, Service, State, Time, View};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use libprocess::abi::ExitReason;
use libprocess::client::Refusal;

/// The exit status when the system could not come up.
pub const STATUS_NOT_UP: u8 = 70;
/// The exit status of a session that was killed.
pub const STATUS_KILLED: u8 = 137;
/// The exit status of a session that was ended by a fault.
pub const STATUS_FAULTED: u8 = 139;

/// A program of the manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    /// The service at this place.
    Service(usize),
    /// The session.
    Session,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// init begins.
    Begin,
    /// A service says that it is ready.
    Ready(usize),
    /// A service says that it cannot go on.
    Failed(usize, String),
    /// A service says that it cannot go on, and that starting it again would be of no use.
    Unable(usize, String),
    /// A process has ended.
    Ended(Who, End),
    /// A process could not be started.
    NotLaunched(Who, String),
    /// A service says that it is well, and what else there is to say of that.
    Healthy(usize, String),
    /// The process that is to take a service's place asks for what it takes over.
    TakesOver(usize),
    /// It says that it is ready.
    SuccessorReady(usize),
    /// It says that it cannot come up.
    SuccessorFailed(usize, String),
    /// It has ended.
    SuccessorEnded(usize, End),
    /// It could not be started.
    SuccessorNotLaunched(usize, String),
    /// The process whose place it is to take has let go of everything.
    Released(usize),
    /// It does not let go, and why.
    Keeps(usize, String),
    /// Someone who holds control orders a service about.
    Order(usize, Order),
    /// Everything is to stop, with this exit status.
    Shutdown(u8),
    /// Time has passed.
    Tick,
}

/// An order to a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Order {
    /// Start.
    Start,
    /// Stop, and stay stopped.
    Stop,
    /// Stop, and start afresh.
    Restart,
    /// End at once, as by a crash.
    Kill,
    /// Let a process of another image take its place.
    Upgrade,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Start the process. If that fails, [`Input::NotLaunched`] is the next input.
    Launch(Who),
    /// Ask it to end; it has so many ns.
    Ask(Who, u64),
    /// Kill its process.
    Kill(Who),
    /// Ask a service whether it is well, in this round.
    AskHealth(usize, u32),
    /// Start the process that is to take a service's place. If that fails,
    /// [`Input::SuccessorNotLaunched`] is the next input.
    LaunchSuccessor(usize),
    /// Ask a service to let go of what only one process can have, within so many ns.
    AskHandOver(usize, u64),
    /// Tell its successor that all is let go.
    GiveOver(usize),
    /// Kill its successor.
    KillSuccessor(usize),
    /// Tell it, if it has let go, to take hold again.
    Resume(usize),
    /// The successor is the service's process from now on; kill the one before.
    Switch(usize),
    /// Tell the service `to` how things are with `about`, which it needs.
    Tell {
        /// Who is told.
        to: usize,
        /// About whom.
        about: usize,
        /// What.
        view: View,
    },
    /// From now on tell whoever calls a service this in its place; `None`: answer nobody,
    /// what comes is for the service itself.
    StandIn(usize, Option<Refusal>),
    /// Something is wrong: a line for people.
    Report(String),
    /// Turn the machine off with this exit status; nothing comes after it.
    PowerOff(u8),
}

/// Where the system is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The services of phases up to this one are being started.
    Starting {
        /// The phase.
        phase: u32,
    },
    /// All phases have settled; the session runs or waits for what it needs.
    Running,
    /// Everything is being stopped.
    Stopping {
        /// The exit status.
        status: u8,
    },
    /// The machine is off.
    Off,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Session {
    Waiting,
    Running,
    Ending { deadline: Option<Time> },
    Ended,
}

/// The system.
#[derive(Clone, Debug)]
pub struct System {
    names: Vec<String>,
    phases: Vec<u32>,
    needs: Vec<Vec<usize>>,
    services: Vec<Service>,
    /// What is answered in place of each.
    stand_ins: Vec<Option<Refusal>>,
    /// Whether it was reported that it can not start.
    reported: Vec<bool>,
    session: Session,
    session_name: String,
    session_needs: Vec<usize>,
    session_stop_timeout: u64,
    stage: Stage,
}

impl System {
    /// The system of a manifest, with the session at this place in [`Manifest::sessions`].
    pub fn new(manifest: &Manifest, session: usize) -> System {
        let services: Vec<Service> = manifest.services.iter().map(Service::new).collect();
        let session = manifest.sessions.get(session);
        System {
            names: manifest.services.iter().map(|s| s.program.name.clone()).collect(),
            phases: manifest.services.iter().map(|s| s.phase).collect(),
            needs: manifest.services.iter().map(|s| s.needs.clone()).collect(),
            stand_ins: vec![None; services.len()],
            reported: vec![false; services.len()],
            services,
            session: Session::Waiting,
            session_name: session.map_or_else(String::new, |s| s.program.name.clone()),
            session_needs: session.map_or_else(Vec::new, |s| s.needs.clone()),
            session_stop_timeout: session.map_or(0, |s| s.program.stop_timeout),
            stage: Stage::Starting { phase: manifest.services.iter().map(|s| s.phase).min().unwrap_or(0) },
        }
    }

    /// Where the system is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The service at this place.
    pub fn service(&self, place: usize) -> &Service {
        &self.services[place]
    }

    /// A service that the one at `place` needs and that is not up; the first.
    pub fn missing(&self, place: usize) -> Option<usize> {
        self.needs[place].iter().copied().find(|&need| *self.services[need].state() != State::Up)
    }

    /// A service that the one at `place` needs and that will not come up by itself.
    pub fn hopeless(&self, place: usize) -> Option<usize> {
        // Needs form no circle, so this ends.
        self.needs[place].iter().copied().find(|&need| match self.services[need].state() {
            State::Down(_) => true,
            State::Waiting => self.hopeless(need).is_some(),
            _ => false,
        })
    }

    /// What its callers are to be told in its place, if it is down: it will not come up by itself.
    pub fn absence(&self, place: usize) -> Option<Refusal> {
        match self.services[place].state() {
            State::Down(Down::Stopped) => Some(Refusal::Stopped),
            State::Down(Down::Finished) => Some(Refusal::Finished),
            State::Down(Down::Failed) => Some(Refusal::Failed),
            State::Down(Down::Disabled) => Some(Refusal::Disabled),
            State::Waiting => self.hopeless(place).map(|_| Refusal::Waiting),
            _ => None,
        }
    }

    /// When [`Input::Tick`] is due, if it ever is.
    pub fn deadline(&self) -> Option<Time> {
        let session = match self.session {
            Session::Ending { deadline } => deadline,
            _ => None,
        };
        self.services.iter().filter_map(Service::deadline).chain(session).min()
    }

    /// Takes in what happened at `now`, and says what is to be done, in order.
    pub fn step(&mut self, input: Input, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.stage != Stage::Off {
            self.take(input, now, &mut effects);
            self.advance(now, &mut effects);
        }
        effects
    }

    fn take(&mut self, input: Input, now: Time, effects: &mut Vec<Effect>) {
        match input {
            Input::Begin => {}
            Input::Ready(place) => self.with(place, effects, |service, actions| service.ready(now, actions)),
            Input::Healthy(place, detail) => self.with(place, effects, |service, _| service.healthy(detail, now)),
            Input::TakesOver(place) => {
                self.with(place, effects, |service, actions| service.successor_asks(false, now, actions));
            }
            Input::SuccessorReady(place) => {
                self.with(place, effects, |service, actions| service.successor_asks(true, now, actions));
            }
            Input::SuccessorFailed(place, reason) => {
                self.with(place, effects, |service, actions| service.successor_failed(reason, actions));
            }
            Input::SuccessorEnded(place, end) => {
                self.with(place, effects, |service, actions| service.successor_ended(end, now, actions));
            }
            Input::SuccessorNotLaunched(place, reason) => {
                self.with(place, effects, |service, actions| service.successor_not_launched(reason, actions));
            }
            Input::Keeps(place, reason) => {
                self.with(place, effects, |service, actions| service.fail_upgrade(reason, actions));
            }
            Input::Released(place) => self.with(place, effects, |service, actions| service.released(now, actions)),
            Input::Failed(place, reason) => {
                self.with(place, effects, |service, actions| service.failed(reason, actions));
            }
            Input::Unable(place, reason) => {
                self.with(place, effects, |service, actions| service.unable(reason, actions));
            }
            Input::Ended(Who::Service(place), end) => {
                self.with(place, effects, |service, actions| service.ended(end, now, actions));
            }
            Input::NotLaunched(Who::Service(place), reason) => {
                self.with(place, effects, |service, actions| service.not_launched(reason, now, actions));
            }
            Input::Ended(Who::Session, end) => self.session_ended(end, effects),
            Input::NotLaunched(Who::Session, reason) => {
                self.session = Session::Ended;
                // Given up because of a shutdown, it is no news.
                if !matches!(self.stage, Stage::Stopping { .. }) {
                    effects.push(Effect::Report(format!("{} could not be started: {reason}", self.session_name)));
                }
                self.shut_down(STATUS_NOT_UP);
            }
            Input::Order(place, order) => self.with(place, effects, |service, actions| match order {
                Order::Start => service.start(),
                Order::Stop => service.stop(now, actions),
                Order::Restart => service.restart(now, actions),
                Order::Kill => service.kill(actions),
                Order::Upgrade => service.begin_upgrade(now, actions),
            }),
            Input::Shutdown(status) => self.shut_down(status),
            Input::Tick => {
                for place in 0..self.services.len() {
                    self.with(place, effects, |service, actions| service.due(now, actions));
                }
                if let Session::Ending { deadline: Some(deadline) } = self.session
                    && deadline <= now
                {
                    self.session = Session::Ending { deadline: None };
                    effects.push(Effect::Kill(Who::Session));
                }
            }
        }
    }

    /// Lets a service act and turns its actions into effects.
    fn with(&mut self, place: usize, effects: &mut Vec<Effect>, act: impl FnOnce(&mut Service, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        act(&mut self.services[place], &mut actions);
        for action in actions {
            effects.push(match action {
                Action::Ask(time) => Effect::Ask(Who::Service(place), time),
                Action::Kill => Effect::Kill(Who::Service(place)),
                Action::AskHealth(round) => Effect::AskHealth(place, round),
                Action::LaunchSuccessor => Effect::LaunchSuccessor(place),
                Action::AskHandOver(time) => Effect::AskHandOver(place, time),
                Action::GiveOver => Effect::GiveOver(place),
                Action::KillSuccessor => Effect::KillSuccessor(place),
                Action::Resume => Effect::Resume(place),
                Action::Switch => Effect::Switch(place),
                Action::Report(clause) => Effect::Report(format!("{} {clause}", self.names[place])),
                Action::Changed(view) => {
                    self.tell(place, view, effects);
                    continue;
                }
            });
        }
    }

    /// Tells the services that need `about` and are there to hear it.
    fn tell(&self, about: usize, view: View, effects: &mut Vec<Effect>) {
        if let Stage::Stopping { .. } = self.stage {
            return;
        }
        for (to, service) in self.services.iter().enumerate() {
            let hears = matches!(service.state(), State::Starting { .. } | State::Up);
            if hears && self.needs[to].contains(&about) {
                effects.push(Effect::Tell { to, about, view });
            }
        }
    }

    /// Does whatever is possible now: start, go to the next phase, stop the next ones.
    fn advance(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.go_on(now, effects);
        // Once all is being stopped, who still calls is stopped too.
        if let Stage::Starting { .. } | Stage::Running = self.stage {
            for place in 0..self.services.len() {
                self.stand_in(place, self.absence(place), effects);
            }
        }
    }

    fn stand_in(&mut self, place: usize, answer: Option<Refusal>, effects: &mut Vec<Effect>) {
        if self.stand_ins[place] != answer {
            self.stand_ins[place] = answer;
            effects.push(Effect::StandIn(place, answer));
        }
    }

    fn go_on(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if let Stage::Stopping { status } = self.stage {
            self.stop_next(now, effects);
            let down = |s: &Service| matches!(s.state(), State::Down(_)) && s.upgrade().phase.is_none();
            if self.services.iter().all(down) && self.session == Session::Ended {
                self.stage = Stage::Off;
                effects.push(Effect::PowerOff(status));
            }
            return;
        }
        self.launch_next(now, effects);
        while let Stage::Starting { phase } = self.stage {
            if !self.settled(phase) {
                return;
            }
            self.report_hopeless(phase, effects);
            self.stage = match self.phases.iter().copied().filter(|&p| p > phase).min() {
                Some(next) => Stage::Starting { phase: next },
                None => Stage::Running,
            };
            self.launch_next(now, effects);
        }
        self.begin_session(now, effects);
    }

    fn launch_next(&mut self, now: Time, effects: &mut Vec<Effect>) {
        for place in 0..self.services.len() {
            let due = match self.stage {
                Stage::Starting { phase } => self.phases[place] <= phase,
                _ => true,
            };
            if due && self.services[place].can_launch() && self.missing(place).is_none() {
                self.services[place].launched(now);
                self.stand_in(place, None, effects);
                effects.push(Effect::Launch(Who::Service(place)));
            }
        }
    }

    /// Whether each service of a phase is up, or will not come up by itself.
    fn settled(&self, phase: u32) -> bool {
        (0..self.services.len()).filter(|&place| self.phases[place] == phase).all(|place| {
            match self.services[place].state() {
                State::Up | State::Down(_) => true,
                State::Waiting => self.hopeless(place).is_some(),
                _ => false,
            }
        })
    }

    fn report_hopeless(&mut self, phase: u32, effects: &mut Vec<Effect>) {
        for place in 0..self.services.len() {
            if self.phases[place] != phase || *self.services[place].state() != State::Waiting || self.reported[place] {
                continue;
            }
            if let Some(need) = self.hopeless(place) {
                self.reported[place] = true;
                let (name, need) = (&self.names[place], &self.names[need]);
                effects.push(Effect::Report(format!("{name} is not started: {need}, which it needs, is not there")));
            }
        }
    }

    fn begin_session(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.session != Session::Waiting {
            return;
        }
        let lost = self.session_needs.iter().copied().find(|&need| match self.services[need].state() {
            State::Down(_) => true,
            State::Waiting => self.hopeless(need).is_some(),
            _ => false,
        });
        if let Some(need) = lost {
            let (name, need) = (&self.session_name, &self.names[need]);
            effects.push(Effect::Report(format!("{name} is not started: {need}, which it needs, is not there")));
            self.shut_down(STATUS_NOT_UP);
            return self.go_on(now, effects);
        }
        if self.session_needs.iter().all(|&need| *self.services[need].state() == State::Up) {
            self.session = Session::Running;
            effects.push(Effect::Launch(Who::Session));
        }
    }

    fn session_ended(&mut self, end: End, effects: &mut Vec<Effect>) {
        if !matches!(self.session, Session::Running | Session::Ending { .. }) {
            return;
        }
        self.session = Session::Ended;
        let asked = matches!(self.stage, Stage::Stopping { .. });
        let status = match end.reason {
            // More than a status holds is still no success.
            ExitReason::Exited => u8::try_from(end.code).unwrap_or(u8::MAX),
            ExitReason::Killed | ExitReason::Reclaimed => STATUS_KILLED,
            ExitReason::Faulted => STATUS_FAULTED,
        };
        if end.reason != ExitReason::Exited && !asked {
            effects.push(Effect::Report(format!("{} {end}", self.session_name)));
        }
        self.shut_down(status);
    }

    /// Begins to stop everything; the status of who said so first stands.
    fn shut_down(&mut self, status: u8) {
        if !matches!(self.stage, Stage::Stopping { .. } | Stage::Off) {
            self.stage = Stage::Stopping { status };
        }
    }

    /// Stops the session; then every service on which none that has not stopped stands:
    /// none that needs it, and none of a later phase.
    fn stop_next(&mut self, now: Time, effects: &mut Vec<Effect>) {
        match self.session {
            Session::Waiting => self.session = Session::Ended,
            Session::Running => {
                let time = self.session_stop_timeout;
                self.session = Session::Ending { deadline: Some(now.saturating_add(time)) };
                effects.push(Effect::Ask(Who::Session, time));
            }
            Session::Ending { .. } | Session::Ended => {}
        }
        if self.session != Session::Ended {
            return;
        }
        let mut queue: VecDeque<usize> = (0..self.services.len()).rev().collect();
        while let Some(place) = queue.pop_front() {
            let down = |s: &Service| matches!(s.state(), State::Down(_));
            if down(&self.services[place]) {
                continue;
            }
            let free = (0..self.services.len()).all(|other| {
                let stands = self.needs[other].contains(&place) || self.phases[other] > self.phases[place];
                !stands || down(&self.services[other])
            });
            if free {
                self.with(place, effects, |service, actions| service.stop(now, actions));
                if down(&self.services[place]) {
                    // What stood below it may be free now.
                    queue = (0..self.services.len()).rev().collect();
                }
            }
        }
    }
}
