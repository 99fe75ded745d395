//! init at work: what the kernel and the services tell goes into the [`System`], and what
//! that says is done.

use crate::holdings::{Holdings, is_own_variable};
use crate::launch::{Launcher, Running, Start};
use crate::manifest::badge::{Incarnation, Role};
use crate::manifest::{self, Manifest, ManifestError, Program, Source};
use crate::registry::Registry;
use crate::service::{End, Time, View};
use crate::stand_in;
use crate::system::{Effect, Input, STATUS_NOT_UP, Stage, System, Who};
use crate::version::Version;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use libprocess::abi::Kind;
use libprocess::abi::device::POWER_OFF;
use libprocess::capability::Process as ProcessObject;
use libprocess::client::Refusal;
use libprocess::interfaces::init::{control, lifecycle_events, readiness, registry, service_events};
use libprocess::interfaces::storage::namespaces::{self, Access};
use libprocess::{
    Cap, ClientError, Device, Endpoint, Error, Exit, Exited, Hooks, Interrupt, Process, Quota, Rights, Signal,
};

/// The manifest that is built in.
pub const SYSTEM: &str = include_str!("../system.toml");
/// The variable in which the host may give the text of another.
pub const MANIFEST_VARIABLE: &str = "ORBITAL_MANIFEST";
/// Messages that may wait for init.
const QUEUE: u32 = 1024;
/// The register of the power device that tells the exit status of a shutdown that the
/// host asks for; 0 if it asks for none.
const POWER_REQUEST: u64 = 0;
/// The status of a shutdown by the host that does not say which.
const STATUS_INTERRUPTED: u8 = 130;
/// How long the storage service may take to make a namespace for the session.
const SUBSPACE_TIMEOUT: Duration = Duration::from_secs(5);
const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// The main function of init, and of what stands in for a service that is down.
pub async fn main(process: Process) -> Exit {
    if let Ok(endpoint) = process.capability::<Endpoint>(stand_in::ENDPOINT) {
        // It lasts as long as the endpoint.
        let _ = stand_in::main(&process, endpoint).await;
        return Exit(0);
    }
    let power = process.capability::<Device>("device:power").ok();
    let interrupt = process.capability::<Interrupt>("interrupt:power").ok();
    let status = match Init::new(&process) {
        Ok(init) => init.run(power.as_ref(), interrupt).await,
        Err(line) => {
            report(&line);
            STATUS_NOT_UP
        }
    };
    if let Some(power) = power
        && let Err(error) = power.write(POWER_OFF, u64::from(status))
    {
        report(&format!("the machine does not turn off: {error}"));
    }
    Exit(u64::from(status))
}

/// The capability to init itself: of all processes only this one is there before init makes others.
fn itself() -> Option<Cap<ProcessObject>> {
    let mut slot = 0;
    while let Ok(info) = libprocess::system::inspect(slot, 0) {
        if info.kind == Kind::Process {
            return Some(Cap::from_handle(info.handle));
        }
        slot = info.handle.slot().checked_add(1)?;
    }
    None
}

fn milliseconds(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / NANOSECONDS_PER_MILLISECOND).unwrap_or(u32::MAX)
}

/// Says what is wrong.
fn report(line: &str) {
    libprocess::system::debug(line);
}

/// Calls the session what the host calls its image, unless a service has that name.
fn name_session(manifest: &mut Manifest, session: usize, holdings: &Holdings) {
    let services = &manifest.services;
    let program = &mut manifest.sessions[session].program;
    if let Some(name) = holdings.called(&program.image)
        && name != "init"
        && !services.iter().any(|service| service.program.name == name)
    {
        program.name = name.to_string();
    }
}

/// A process that is to take the place of a service's.
struct Successor {
    running: Running,
    /// What its predecessor hands over, once that has let go.
    given: Option<Vec<u8>>,
}

/// A process that has let go of everything, and what it hands over.
pub(crate) struct Released {
    incarnation: Incarnation,
    state: Vec<u8>,
}

/// init, shared by its tasks.
pub(crate) struct Init {
    pub(crate) manifest: Manifest,
    /// The place of the session in the manifest.
    session: usize,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    pub(crate) holdings: Holdings,
    pub(crate) quota: Cap<Quota>,
    /// init itself, to inspect, if the host gave it that.
    pub(crate) itself: Option<Cap<ProcessObject>>,
    /// init's own endpoint, from which every capability to init is derived.
    pub(crate) own: Cap<Endpoint>,
    /// Of the services, in the order of the manifest. They outlive the services' processes.
    pub(crate) endpoints: Vec<Cap<Endpoint>>,
    /// init's own voice at each of them, without a badge.
    voices: Vec<lifecycle_events::Client>,
    pub(crate) system: RefCell<System>,
    pub(crate) running: RefCell<BTreeMap<Who, Running>>,
    /// The processes that are to take the places of services.
    successors: RefCell<BTreeMap<usize, Successor>>,
    /// Services whose process has let go, and waits to hear that the upgrade came to nothing.
    pub(crate) released: RefCell<BTreeMap<usize, Released>>,
    /// What services are run from that were upgraded.
    versions: RefCell<BTreeMap<usize, Version>>,
    /// What services are to be upgraded to.
    pub(crate) next_versions: RefCell<BTreeMap<usize, Version>>,
    incarnation: Cell<Incarnation>,
    /// Who answers in place of the services that are down.
    pub(crate) stand_ins: RefCell<BTreeMap<usize, Running>>,
    pub(crate) registry: RefCell<Registry<Cap<Endpoint>>>,
    /// When the next tick will come.
    armed: Cell<Option<Time>>,
    status: Cell<Option<u8>>,
    /// Who waits for the system to change.
    waiting: RefCell<Vec<Waker>>,
}

impl Init {
    /// Reads the manifest and makes what lasts: the endpoints.
    fn new(process: &Process) -> Result<Init, String> {
        let text = process.variable(MANIFEST_VARIABLE).unwrap_or(SYSTEM);
        let refused = |error: ManifestError| format!("{error}; docs/init.md says what may stand there");
        let mut manifest = manifest::parse(text).map_err(refused)?;
        let holdings = Holdings::of(process);
        let session = holdings.session(&manifest).ok_or_else(|| {
            let images: Vec<&str> = manifest.sessions.iter().map(|s| s.program.image.as_str()).collect();
            format!("there is nothing to run: no image {}", images.join(" or "))
        })?;
        holdings.check(&manifest, session).map_err(refused)?;
        name_session(&mut manifest, session, &holdings);
        let failed = |error: Error| format!("cannot begin: {error}");
        let quota = process.quota().derive(Rights::ALL).map_err(failed)?;
        let own = Cap::<Endpoint>::create(&quota, QUEUE).map_err(failed)?;
        let endpoints = manifest
            .services
            .iter()
            .map(|service| Cap::<Endpoint>::create(&quota, service.queue))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let voices = endpoints
            .iter()
            .map(|endpoint| endpoint.derive(Rights::SEND).map(lifecycle_events::Client::new))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let own_variable = |name: &str| name == MANIFEST_VARIABLE || is_own_variable(name);
        Ok(Init {
            system: RefCell::new(System::new(&manifest, session)),
            manifest,
            session,
            arguments: process.arguments().to_vec(),
            environment: process.environment().iter().filter(|(name, _)| !own_variable(name)).cloned().collect(),
            holdings,
            quota,
            itself: itself(),
            own,
            endpoints,
            voices,
            running: RefCell::default(),
            successors: RefCell::default(),
            released: RefCell::default(),
            versions: RefCell::default(),
            next_versions: RefCell::default(),
            incarnation: Cell::default(),
            stand_ins: RefCell::default(),
            registry: RefCell::default(),
            armed: Cell::new(None),
            status: Cell::new(None),
            waiting: RefCell::default(),
        })
    }

    /// Runs the system to its end; its exit status.
    async fn run(self, power: Option<&Cap<Device>>, interrupt: Option<Cap<Interrupt>>) -> u8 {
        let init = Rc::new(self);
        // What is received from is a capability of its own: the one that others are derived
        // from stays.
        let inbox = match init.own.derive(Rights::RECEIVE) {
            Ok(inbox) => inbox,
            Err(error) => {
                report(&format!("cannot begin: {error}"));
                return STATUS_NOT_UP;
            }
        };
        let server = Server(init.clone());
        libprocess::spawn(async move {
            let interfaces = (
                readiness::Serve(&server),
                service_events::Serve(&server),
                control::Serve(&server),
                registry::Serve(&server),
            );
            if let Err(error) = libprocess::serve_with(inbox, interfaces, Supervision(server.0.clone())).await {
                report(&format!("cannot receive: {error}"));
                server.0.finish(STATUS_NOT_UP);
            }
        });
        if let Some(interrupt) = interrupt {
            let power = power.and_then(|power| power.derive(Rights::READ).ok());
            libprocess::spawn(init.clone().hear_host(power, interrupt));
        }
        init.step(Input::Begin);
        poll_fn(|context| match init.status.get() {
            Some(status) => Poll::Ready(status),
            None => {
                init.wait(context.waker());
                Poll::Pending
            }
        })
        .await
    }

    /// Shuts down when the host asks for it.
    async fn hear_host(self: Rc<Self>, power: Option<Cap<Device>>, interrupt: Cap<Interrupt>) {
        let bound = Signal::new().and_then(|signal| {
            interrupt.bind(&signal.capability()?, signal.mask())?;
            Ok(signal)
        });
        let signal = match bound {
            Ok(signal) => signal,
            Err(error) => return report(&format!("cannot hear the host's wish to shut down: {error}")),
        };
        loop {
            signal.wait().await;
            let status = power.as_ref().and_then(|power| power.read(POWER_REQUEST).ok());
            let status = match status {
                Some(0) | None => STATUS_INTERRUPTED,
                Some(status) => u8::try_from(status).unwrap_or(STATUS_INTERRUPTED),
            };
            self.step(Input::Shutdown(status));
            let _ = interrupt.acknowledge();
        }
    }

    /// Takes in what happened, and does what is then to be done.
    pub(crate) fn step(self: &Rc<Self>, input: Input) {
        let mut inputs = alloc::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let effects = self.system.borrow_mut().step(input, libprocess::now());
            for effect in effects {
                if let Some(consequence) = self.perform(effect) {
                    inputs.push_back(consequence);
                }
            }
        }
        self.arm();
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Sees to it that a tick comes when the system has something to do.
    fn arm(self: &Rc<Self>) {
        let Some(deadline) = self.system.borrow().deadline() else { return };
        if self.armed.get().is_some_and(|armed| armed <= deadline) {
            return;
        }
        self.armed.set(Some(deadline));
        let init = self.clone();
        libprocess::spawn(async move {
            libprocess::sleep_until(deadline).await;
            if init.armed.get() == Some(deadline) {
                init.armed.set(None);
                init.step(Input::Tick);
            }
        });
    }

    fn perform(self: &Rc<Self>, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Launch(who) if self.program(who).grants.iter().any(|grant| grant.subspace.is_some()) => {
                libprocess::spawn(self.clone().launch_with_subspaces(who));
            }
            Effect::Launch(who) => {
                return self.launch(who, &BTreeMap::new()).err().map(|reason| Input::NotLaunched(who, reason));
            }
            Effect::Ask(who, time) => self.ask(who, time),
            Effect::Kill(who) => {
                if let Some(running) = self.running.borrow().get(&who) {
                    self.kill(who, running);
                }
            }
            Effect::AskHealth(place, round) => self.ask_health(place, round),
            Effect::LaunchSuccessor(place) => {
                return self.launch_successor(place).err().map(|reason| Input::SuccessorNotLaunched(place, reason));
            }
            Effect::AskHandOver(place, time) => {
                if let Some(process) = self.running.borrow().get(&Who::Service(place)).map(|running| running.pid) {
                    let grace = milliseconds(time);
                    self.event(place, move |client| async move { client.hand_over(grace, process).await.is_ok() });
                }
            }
            Effect::GiveOver(place) => {
                let state =
                    self.released.borrow_mut().get_mut(&place).map(|released| core::mem::take(&mut released.state));
                if let Some(successor) = self.successors.borrow_mut().get_mut(&place) {
                    successor.given = state;
                }
            }
            Effect::KillSuccessor(place) => {
                if let Some(successor) = self.successors.borrow().get(&place) {
                    self.kill(Who::Service(place), &successor.running);
                }
            }
            Effect::Resume(place) => drop(self.released.borrow_mut().remove(&place)),
            Effect::Switch(place) => self.switch(place),
            Effect::Tell { to, about, view } => self.tell(to, about, view),
            Effect::StandIn(place, answer) => self.stand_in(place, answer),
            Effect::Report(line) => report(&line),
            Effect::PowerOff(status) => self.finish(status),
        }
        None
    }

    fn kill(&self, who: Who, running: &Running) {
        if let Err(error) = running.process.kill(0) {
            // Its end is on the way already, or it could not be told at all.
            let gone = matches!(error, Error::StaleHandle | Error::InvalidArgument | Error::Revoked);
            if !gone {
                report(&format!("{} cannot be killed: {error}", self.program(who).name));
            }
        }
    }

    /// Asks a service whether it is well.
    fn ask_health(self: &Rc<Self>, place: usize, round: u32) {
        let init = self.clone();
        self.event(place, move |client| async move {
            let asked = client.health(round).await;
            // Others have filled its queue: then it is well if it does anything at all.
            if asked == Err(ClientError::System(Error::WouldBlock)) && init.has_moved(place) {
                init.step(Input::Healthy(place, String::new()));
            }
            asked.is_ok()
        });
    }

    /// Whether the process of a service has made a system call since this was last asked.
    fn has_moved(&self, place: usize) -> bool {
        let running = self.running.borrow();
        let Some(running) = running.get(&Who::Service(place)) else { return false };
        let calls = running.process.info().map_or(0, |info| info.calls);
        running.calls.replace(calls) != calls
    }

    /// The successor is the service's process from now on.
    fn switch(&self, place: usize) {
        let who = Who::Service(place);
        let Some(successor) = self.successors.borrow_mut().remove(&place) else { return };
        self.versions.borrow_mut().insert(place, successor.running.version.clone());
        let before = self.running.borrow_mut().insert(who, successor.running);
        // Nobody is told of its end, which is no news. Whoever it had not answered hears that it has gone.
        if let Some(before) = before {
            self.kill(who, &before);
            before.release();
        }
        self.released.borrow_mut().remove(&place);
    }

    fn finish(&self, status: u8) {
        self.status.set(Some(status));
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    pub(crate) fn program(&self, who: Who) -> &Program {
        match who {
            Who::Service(place) => &self.manifest.services[place].program,
            Who::Session => &self.manifest.sessions[self.session].program,
        }
    }

    /// Asks for the namespaces that the program is to have, then starts it.
    async fn launch_with_subspaces(self: Rc<Self>, who: Who) {
        let launched = match self.subspaces(who).await {
            // Meanwhile everything may have been told to end.
            Ok(_) if self.system.borrow().stage() != Stage::Running => Err("the system is shutting down".to_string()),
            Ok(subspaces) => self.launch(who, &subspaces),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = launched {
            self.step(Input::NotLaunched(who, reason));
        }
    }

    /// The namespaces that a program is to have, by the number of the grant.
    async fn subspaces(&self, who: Who) -> Result<BTreeMap<usize, Cap<Endpoint>>, String> {
        let program = self.program(who);
        let mut subspaces = BTreeMap::new();
        for (number, grant) in program.grants.iter().enumerate() {
            let (Some(subspace), Source::Service(place)) = (grant.subspace, &grant.source) else { continue };
            let words = |what: String| format!("capability `{}` (line {}): {what}", grant.name, grant.line);
            let endpoint = self.endpoints[*place]
                .derive_badged(Rights::SEND.or(Rights::GRANT), grant.badge)
                .map_err(|error| words(error.to_string()))?;
            let mut access = Access::NONE;
            if subspace.read {
                access = access.union(Access::READ);
            }
            if subspace.write {
                access = access.union(Access::WRITE);
            }
            // init hears nothing while it waits for the answer, so it does not wait long.
            let storage = namespaces::Client::new(endpoint).within(SUBSPACE_TIMEOUT);
            let space = storage.subspace(&program.name, access).await.map_err(|error| words(error.to_string()))?;
            subspaces.insert(number, space);
        }
        Ok(subspaces)
    }

    fn launcher(&self) -> Launcher<'_> {
        Launcher { holdings: &self.holdings, quota: &self.quota, own: &self.own, endpoints: &self.endpoints }
    }

    fn launch(&self, who: Who, subspaces: &BTreeMap<usize, Cap<Endpoint>>) -> Result<(), String> {
        let program = self.program(who);
        let mut environment = program.environment.clone();
        let (place, arguments) = match who {
            Who::Service(place) => (Some(place), &program.arguments),
            Who::Session => {
                environment.extend(self.environment.iter().cloned());
                (None, if self.arguments.is_empty() { &program.arguments } else { &self.arguments })
            }
        };
        let version = place.and_then(|place| self.versions.borrow().get(&place).cloned());
        let version = version.unwrap_or_else(|| Version::boot(&program.image, &self.holdings));
        let start = Start {
            place,
            version: &version,
            incarnation: self.next_incarnation(),
            arguments,
            environment: &environment,
            subspaces,
            beside: None,
        };
        let running = self.launcher().launch(program, &start)?;
        if let Some(before) = self.running.borrow_mut().insert(who, running) {
            before.release();
        }
        Ok(())
    }

    fn next_incarnation(&self) -> Incarnation {
        let next = self.incarnation.get().next();
        self.incarnation.set(next);
        next
    }

    /// Starts the process that is to take a service's place.
    fn launch_successor(&self, place: usize) -> Result<(), String> {
        let version = self.next_versions.borrow_mut().remove(&place).ok_or("there is no image for it")?;
        let program = self.program(Who::Service(place));
        let running = self.running.borrow();
        let start = Start {
            place: Some(place),
            version: &version,
            incarnation: self.next_incarnation(),
            arguments: &program.arguments,
            environment: &program.environment,
            subspaces: &BTreeMap::new(),
            beside: Some(running.get(&Who::Service(place)).ok_or("there is no process to take over from")?),
        };
        let running = self.launcher().launch(program, &start)?;
        self.successors.borrow_mut().insert(place, Successor { running, given: None });
        Ok(())
    }

    /// Sees to it that callers of a service hear this in its place.
    fn stand_in(&self, place: usize, answer: Option<Refusal>) {
        // Whoever received from the endpoint before must be gone first.
        if let Some(before) = self.stand_ins.borrow_mut().remove(&place) {
            before.release();
        }
        let Some(answer) = answer else { return };
        let name = &self.manifest.services[place].program.name;
        match self.launcher().stand_in(place, name, answer) {
            Ok(running) => drop(self.stand_ins.borrow_mut().insert(place, running)),
            Err(reason) => report(&format!("nobody answers in place of {name}: {reason}")),
        }
    }

    /// Asks a program to end: by its notification, and a service by message too.
    fn ask(&self, who: Who, time: u64) {
        if let Some(running) = self.running.borrow().get(&who)
            && let Some(stop) = &running.stop
        {
            let _ = stop.signal(1);
        }
        let process = self.running.borrow().get(&who).map(|running| running.pid);
        if let (Who::Service(place), Some(process)) = (who, process) {
            let grace = milliseconds(time);
            self.event(place, move |client| async move { client.stop(grace, process).await.is_ok() });
        }
    }

    fn tell(&self, to: usize, about: usize, view: View) {
        let state = match view {
            View::Up => lifecycle_events::DependencyState::Up,
            View::Restarting => lifecycle_events::DependencyState::Restarting,
            View::Down => lifecycle_events::DependencyState::Down,
        };
        let name = self.manifest.services[about].program.name.clone();
        self.event(to, move |client| async move { client.dependency(&name, state).await.is_ok() });
    }

    /// Sends a service an event without a badge: init's own voice. One whose queue is full
    /// misses it.
    fn event<F: Future<Output = bool> + 'static>(
        &self,
        place: usize,
        send: impl FnOnce(lifecycle_events::Client) -> F + 'static,
    ) {
        let client = self.voices[place].clone();
        libprocess::spawn(async move {
            send(client).await;
        });
    }

    /// The program that a badge was made for.
    pub(crate) fn holder(&self, badge: u32) -> Option<Who> {
        if self.program(Who::Session).badge == badge {
            return Some(Who::Session);
        }
        self.manifest.services.iter().position(|service| service.program.badge == badge).map(Who::Service)
    }

    /// The successor of a service, if it is this incarnation.
    fn successor<T>(
        &self,
        place: usize,
        incarnation: Incarnation,
        look: impl FnOnce(&mut Successor) -> T,
    ) -> Option<T> {
        let mut successors = self.successors.borrow_mut();
        let successor = successors.get_mut(&place).filter(|next| next.running.incarnation == incarnation);
        successor.map(look)
    }

    /// Waits until something comes out of `settled`, which is asked after every step.
    pub(crate) async fn until<T>(&self, settled: impl Fn() -> Option<T>) -> T {
        poll_fn(|context| match settled() {
            Some(result) => Poll::Ready(result),
            None => {
                self.wait(context.waker());
                Poll::Pending
            }
        })
        .await
    }

    /// Wakes `waker` after the next step.
    fn wait(&self, waker: &Waker) {
        self.waiting.borrow_mut().push(waker.clone());
    }

    /// Whether orders are taken: not while the system comes up or goes down.
    pub(crate) fn takes_orders(&self) -> bool {
        self.system.borrow().stage() == Stage::Running
    }
}

/// init as the server of its interfaces.
pub(crate) struct Server(pub(crate) Rc<Init>);

/// What the kernel tells init of the processes that it started.
struct Supervision(Rc<Init>);

impl Hooks for Supervision {
    async fn exited(&self, exited: Exited) {
        let Some((Role::Supervisor, badge)) = Role::read(exited.badge) else { return };
        let Some(who) = self.0.holder(badge) else { return };
        let end = End { reason: exited.reason, code: exited.code };
        if let Who::Service(place) = who {
            let successor = {
                let mut successors = self.0.successors.borrow_mut();
                let ended = successors.get(&place).is_some_and(|next| next.running.pid == exited.process);
                if ended { successors.remove(&place) } else { None }
            };
            if let Some(successor) = successor {
                successor.running.release();
                return self.0.step(Input::SuccessorEnded(place, end));
            }
        }
        // The end of a process that was given up before is no news.
        let current = self.0.running.borrow().get(&who).is_some_and(|running| running.pid == exited.process);
        if !current {
            return;
        }
        if let Some(running) = self.0.running.borrow_mut().remove(&who) {
            running.release();
        }
        if let Who::Service(place) = who {
            self.0.released.borrow_mut().remove(&place);
        }
        self.0.step(Input::Ended(who, end));
    }
}

impl readiness::Server for Server {
    async fn ready(&self, caller: libprocess::Caller) {
        match self.speaker(caller) {
            Some(Speaker::Current(place, _)) => self.0.step(Input::Ready(place)),
            Some(Speaker::Successor(place, incarnation)) => {
                self.0.step(Input::SuccessorReady(place));
                // Until it has taken the place: before, the other one may still receive.
                self.0.until(|| self.0.successor(place, incarnation, |_| ()).is_none().then_some(())).await;
            }
            None => {}
        }
    }

    async fn failed(&self, caller: libprocess::Caller, reason: String) {
        match self.speaker(caller) {
            Some(Speaker::Current(place, _)) => self.0.step(Input::Failed(place, one_line(&reason))),
            Some(Speaker::Successor(place, _)) => self.0.step(Input::SuccessorFailed(place, one_line(&reason))),
            None => {}
        }
    }

    async fn unable(&self, caller: libprocess::Caller, reason: String) {
        match self.speaker(caller) {
            Some(Speaker::Current(place, _)) => self.0.step(Input::Unable(place, one_line(&reason))),
            Some(Speaker::Successor(place, _)) => self.0.step(Input::SuccessorFailed(place, one_line(&reason))),
            None => {}
        }
    }

    async fn take_over(&self, caller: libprocess::Caller) -> Option<Vec<u8>> {
        let Some(Speaker::Successor(place, incarnation)) = self.speaker(caller) else { return None };
        self.0.step(Input::TakesOver(place));
        let given = || match self.0.successor(place, incarnation, |successor| successor.given.take()) {
            Some(None) => None,
            Some(given) => Some(given),
            None => Some(None),
        };
        self.0.until(given).await
    }

    async fn released(&self, caller: libprocess::Caller, state: Vec<u8>) {
        let Some(Speaker::Current(place, incarnation)) = self.speaker(caller) else { return };
        self.0.released.borrow_mut().insert(place, Released { incarnation, state });
        self.0.step(Input::Released(place));
        let resumes = || {
            let released = self.0.released.borrow();
            released.get(&place).is_none_or(|released| released.incarnation != incarnation).then_some(())
        };
        self.0.until(resumes).await;
    }

    async fn keeps(&self, caller: libprocess::Caller, reason: String) {
        if let Some(Speaker::Current(place, _)) = self.speaker(caller) {
            self.0.step(Input::Keeps(place, one_line(&reason)));
        }
    }
}

impl service_events::Server for Server {
    async fn healthy(&self, caller: libprocess::Caller, _round: u32, detail: String) {
        if let Some(Speaker::Current(place, _)) = self.speaker(caller) {
            self.0.step(Input::Healthy(place, one_line(&detail)));
        }
    }
}

/// The process of a service that says something about itself.
enum Speaker {
    /// The one that serves, or is about to.
    Current(usize, Incarnation),
    /// The one that is to take its place.
    Successor(usize, Incarnation),
}

impl Server {
    /// Who speaks, if it is the process of a service, and the one that is there now.
    fn speaker(&self, caller: libprocess::Caller) -> Option<Speaker> {
        let (Role::Readiness, badge) = Role::read(caller.badge)? else { return None };
        let Who::Service(place) = self.0.holder(badge)? else { return None };
        let incarnation = Incarnation::read(caller.badge);
        let current = self.0.running.borrow().get(&Who::Service(place)).map(|running| running.incarnation);
        if current == Some(incarnation) {
            return Some(Speaker::Current(place, incarnation));
        }
        self.0.successor(place, incarnation, |_| Speaker::Successor(place, incarnation))
    }
}

/// What a service says, as one line that is not too long.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    line.trim().to_string()
}
