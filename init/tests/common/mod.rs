//! A system on the simulation: the real init, and services that are closures here.
#![allow(dead_code)]

use libprocess::interfaces::init::{control, lifecycle_events, registry};
use libprocess::service::Request;
use libprocess::wire::Passing;
use libprocess::{Any, Caller, Cap, ClientError, Connection, Dispatch, Endpoint, Hooks, Process};
use simulated::{End, Simulation};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// What the services of a test did, in order.
#[derive(Clone, Default)]
pub struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    pub fn note(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }
    pub fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
    pub fn count(&self, text: &str) -> usize {
        self.0.borrow().iter().filter(|note| *note == text).count()
    }
}

/// One service in a manifest.
pub struct Entry {
    pub name: &'static str,
    pub phase: u32,
    pub needs: &'static [&'static str],
    pub more: &'static str,
    pub capabilities: &'static str,
}

/// A service of phase 1 that needs nothing.
pub fn entry(name: &'static str) -> Entry {
    Entry { name, phase: 1, needs: &[], more: "", capabilities: "" }
}

impl Entry {
    pub fn phase(mut self, phase: u32) -> Entry {
        self.phase = phase;
        self
    }
    pub fn needs(mut self, needs: &'static [&'static str]) -> Entry {
        self.needs = needs;
        self
    }
    /// More keys.
    pub fn with(mut self, more: &'static str) -> Entry {
        self.more = more;
        self
    }
    /// More lines of `capabilities`.
    pub fn gets(mut self, capabilities: &'static str) -> Entry {
        self.capabilities = capabilities;
        self
    }
}

/// A manifest of services with the usual capabilities and a session with these.
pub fn manifest(services: &[Entry], session: &str) -> String {
    let mut text = String::new();
    for (place, entry) in services.iter().enumerate() {
        text += &format!(
            r#"[[service]]
name = "{}"
image = "{}"
badge = {}
phase = {}
needs = {:?}
quota = {{ memory = "1 MiB", pages = "1 MiB" }}
{}
capabilities = [
    {{ name = "quota", of = "quota", rights = ["split", "inspect"] }},
    {{ name = "clock", of = "device:clock", rights = ["read"] }},
    {{ name = "endpoint", of = "endpoint", rights = ["receive", "send", "grant"] }},
    {{ name = "ready", of = "init:readiness", rights = ["send"] }},
    {}
]
"#,
            entry.name,
            entry.name,
            100 + place,
            entry.phase,
            entry.needs,
            entry.more,
            entry.capabilities,
        );
    }
    text += &format!(
        r#"[[session]]
name = "session"
image = "session"
badge = 7
quota = {{ memory = "1 MiB", pages = "1 MiB" }}
capabilities = [
    {{ name = "quota", of = "quota", rights = ["split", "inspect"] }},
    {{ name = "clock", of = "device:clock", rights = ["read"] }},
    {{ name = "stop", of = "stop", rights = ["wait", "signal"] }},
    {{ name = "init", of = "init:control", rights = ["send", "grant"] }},
    {{ name = "registry", of = "init:registry", rights = ["send", "grant"] }},
    {session}
]
"#
    );
    text
}

/// Asks the echo service for the caller's badge.
pub const WHO: u32 = 0xF000;
/// Is received and never answered.
pub const HANG: u32 = 0xF001;

/// A service that says who asks.
pub struct Echo(pub Notes, pub String);

impl Dispatch for Echo {
    fn accepts(&self, number: u32) -> bool {
        number == WHO || number == HANG
    }
    async fn dispatch(&self, request: Request) {
        if request.number() == HANG {
            self.0.note(format!("{} hangs", self.1));
            std::future::pending::<()>().await;
        }
        let badge = request.caller().badge;
        request.answer(&badge, Passing::new());
    }
}

impl lifecycle_events::Server for Echo {
    async fn stop(&self, _: Caller, _: u32, _: u64) {}
    async fn health(&self, _: Caller, _: u32) {}
    async fn hand_over(&self, _: Caller, _: u32, _: u64) {}
    async fn dependency(&self, caller: Caller, service: String, state: lifecycle_events::DependencyState) {
        self.0.note(format!("{} hears that {service} is {state:?} from {}", self.1, caller.badge));
    }
}

pub struct Noting(pub Notes, pub String);

impl Hooks for Noting {
    async fn stopping(&self, _: Duration) {
        self.0.note(format!("{} stops", self.1));
    }
}

/// The main function of an ordinary service.
pub async fn serve(process: Process, notes: Notes, name: &'static str) -> Result<(), String> {
    notes.note(format!("{name} starts"));
    let endpoint = process.capability::<Endpoint>("endpoint").map_err(|e| e.to_string())?;
    process.ready().await.map_err(|e| e.to_string())?;
    let echo = Echo(notes.clone(), name.to_string());
    let hooks = Noting(notes.clone(), name.to_string());
    let result = libprocess::serve_with(endpoint, (EchoAnd(&echo), lifecycle_events::Serve(&echo)), hooks).await;
    notes.note(format!("{name} has stopped"));
    result.map_err(|e| e.to_string())
}

struct EchoAnd<'a>(&'a Echo);
impl Dispatch for EchoAnd<'_> {
    fn accepts(&self, number: u32) -> bool {
        self.0.accepts(number)
    }
    async fn dispatch(&self, request: Request) {
        self.0.dispatch(request).await;
    }
}

/// A machine with init, a manifest and what is shared by all its processes.
pub struct System {
    pub simulation: Simulation,
    pub notes: Notes,
}

impl System {
    pub fn new(seed: u64, manifest: &str) -> System {
        let simulation = Simulation::new(seed).image("init", init::main).first("init", &[]).manifest(manifest);
        System { simulation, notes: Notes::default() }
    }

    /// Adds an image that is an ordinary service.
    pub fn service(mut self, name: &'static str) -> System {
        let notes = self.notes.clone();
        self.simulation = self.simulation.image(name, move |process| serve(process, notes.clone(), name));
        self
    }

    /// Adds an image.
    pub fn image<F, R>(mut self, name: &str, main: F) -> System
    where
        F: Fn(Process, Notes) -> R + 'static,
        R: Future + 'static,
        R::Output: libprocess::Report,
    {
        let notes = self.notes.clone();
        self.simulation = self.simulation.image(name, move |process| main(process, notes.clone()));
        self
    }

    /// Adds the session: what the test does.
    pub fn session<F, R>(self, main: F) -> System
    where
        F: Fn(Session) -> R + 'static,
        R: Future + 'static,
        R::Output: libprocess::Report,
    {
        self.image("session", move |process, notes| main(Session::new(process, notes)))
    }

    /// Changes the machine.
    pub fn machine(mut self, change: impl FnOnce(Simulation) -> Simulation) -> System {
        self.simulation = change(self.simulation);
        self
    }

    /// Runs to the end, which must be this exit status, with nothing broken.
    #[track_caller]
    pub fn ends_with(mut self, status: u64) -> System {
        let end = self.simulation.run();
        assert_eq!(self.simulation.panics(), [], "{}", self.told());
        assert_eq!(end, End::PowerOff(status), "{}\n{}", self.told(), self.simulation.story());
        self.simulation.check();
        self
    }

    /// What init said, a line each.
    pub fn told(&self) -> String {
        self.simulation.debug_output().iter().map(|said| format!("{said:?}\n")).collect()
    }
}

/// The session of a test.
#[derive(Clone)]
pub struct Session {
    pub process: Process,
    pub notes: Notes,
    pub control: Rc<control::Client>,
    pub registry: Rc<registry::Client>,
}

impl Session {
    fn new(process: Process, notes: Notes) -> Session {
        let control = control::Client::new(process.capability("init").unwrap());
        let registry = registry::Client::new(process.capability("registry").unwrap());
        Session { process, notes, control: Rc::new(control), registry: Rc::new(registry) }
    }

    /// A connection to what the session was given under this name.
    pub fn connect(&self, name: &str) -> Connection {
        Connection::new(self.process.capability(name).unwrap())
    }

    /// Every capability of this process: name of its kind, rights, badge.
    pub fn own_capabilities(&self) -> Vec<(String, String, u64)> {
        let mut found = Vec::new();
        let mut slot = 0;
        while let Ok(info) = libprocess::system::inspect(slot, 0) {
            found.push((info.kind.name().to_string(), info.rights.to_string(), info.badge));
            slot = info.handle.slot() + 1;
        }
        found
    }
}

/// Hears nothing, for a day.
pub async fn deaf() {
    libprocess::sleep(Duration::from_secs(86_400)).await;
}

/// Who the service says that asks.
pub async fn who(connection: &Connection) -> Result<u64, ClientError<Infallible>> {
    connection.call(WHO, &(), Passing::new()).await.map(|(badge, _)| badge)
}

/// Leaves a call unanswered.
pub async fn hang(connection: &Connection) -> Result<u64, ClientError<Infallible>> {
    connection.call(HANG, &(), Passing::new()).await.map(|(badge, _)| badge)
}

/// A capability that is of the wrong kind for everything.
pub fn anything(process: &Process, name: &str) -> Cap<Any> {
    process.capability(name).unwrap()
}
