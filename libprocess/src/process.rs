//! [`Process`]: what a program was started with, and how it ends.

use crate::capability::{Cap, Device, Endpoint, Interrupt, Notification, Object, Quota};
use crate::client::{Client, ClientError, ConnectError, Connection};
use crate::console::Console;
use crate::device::{Binding, HostDevice};
use crate::interfaces::init::registry;
use crate::startup::Startup;
use crate::{lifecycle, reactor, signal, timer};
use abi::{Error, Handle, device};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Display};

/// The running process. Clones are the same process.
#[derive(Clone, Debug)]
pub struct Process {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    capabilities: RefCell<BTreeMap<String, Handle>>,
    quota: Cap<Quota>,
    clock: Cap<Device>,
    console: Option<Console>,
    /// Connections made so far, by the name of the service.
    connections: RefCell<BTreeMap<String, Connection>>,
}

/// The process was not given a capability of this name, or it was taken already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing(pub String);

impl Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this process was given no capability `{}`", self.0)
    }
}

impl core::error::Error for Missing {}

impl Process {
    /// From its startup block. Takes the names `quota`, `clock`, `console`, `stop`
    /// and `ready`, and with `console` the `interrupt:console`, for the crate's own use.
    pub(crate) fn new(startup: Startup) -> Process {
        let mut capabilities: BTreeMap<String, Handle> = startup.capabilities.into_iter().collect();
        let mut take = |name: &str| capabilities.remove(name);
        let quota = take("quota").unwrap_or_default();
        let clock = take("clock").or_else(|| take("device:clock")).unwrap_or_default();
        let stop = take("stop").map(Cap::<Notification>::from_handle);
        let ready = take("ready").map(Cap::<Endpoint>::from_handle);
        let console = take("console");
        // Who has it under another name (init) has it to grant.
        let interrupt = console.and_then(|_| take("interrupt:console")).map(Cap::from_handle);
        reactor::equip(quota, clock, stop);
        lifecycle::equip(ready);
        let console = console
            .map(|console| Console::new(HostDevice::new(Cap::from_handle(console), interrupt, Binding::PerOperation)));
        Process {
            shared: Rc::new(Shared {
                arguments: startup.arguments,
                environment: startup.environment,
                capabilities: RefCell::new(capabilities),
                quota: Cap::from_handle(quota),
                clock: Cap::from_handle(clock),
                console,
                connections: RefCell::new(BTreeMap::new()),
            }),
        }
    }

    /// The arguments; the first is not the program's name.
    pub fn arguments(&self) -> &[String] {
        &self.shared.arguments
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.shared.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Variables and values.
    pub fn environment(&self) -> &[(String, String)] {
        &self.shared.environment
    }

    /// Takes the capability that was given under `name`. What it is, the kernel checks when it is used.
    pub fn capability<K: Object>(&self, name: &str) -> Result<Cap<K>, Missing> {
        let handle = self.shared.capabilities.borrow_mut().remove(name);
        handle.map(Cap::from_handle).ok_or_else(|| Missing(name.to_string()))
    }

    /// Names of the capabilities that were given and not yet taken.
    pub fn capability_names(&self) -> Vec<String> {
        self.shared.capabilities.borrow().keys().cloned().collect()
    }

    /// What pays for what this process makes. Without one, every making is `BadHandle`.
    pub fn quota(&self) -> &Cap<Quota> {
        &self.shared.quota
    }

    /// The clock, to pass it on; a null capability if there is none.
    pub fn clock(&self) -> &Cap<Device> {
        &self.shared.clock
    }

    /// The console.
    pub fn console(&self) -> Result<&Console, Missing> {
        self.shared.console.as_ref().ok_or_else(|| Missing("console".to_string()))
    }

    /// Takes the host device that was given under `name` or `device:name`, with its interrupt,
    /// which stays bound to this process.
    pub fn device(&self, name: &str) -> Result<HostDevice, Missing> {
        let (device, interrupt) = self.device_capabilities(name)?;
        Ok(HostDevice::new(device, interrupt, Binding::Kept))
    }

    /// Takes what a driver needs: the device that was given under `name` or `device:name`, and its interrupt if
    /// that was given too.
    pub fn device_capabilities(&self, name: &str) -> Result<(Cap<Device>, Option<Cap<Interrupt>>), Missing> {
        let device = self
            .capability(name)
            .or_else(|_| self.capability(&alloc::format!("device:{name}")))
            .map_err(|_| Missing(name.to_string()))?;
        Ok((device, self.capability(&alloc::format!("interrupt:{name}")).ok()))
    }

    /// Time since boot in ns.
    pub fn now(&self) -> u64 {
        timer::now()
    }

    /// Time since 1970-01-01T00:00:00Z in ns. Needs the clock.
    pub fn wall_clock(&self) -> Result<u64, Error> {
        self.shared.clock.read(device::CLOCK_WALL)
    }

    /// Connects to a service: through the capability given under the client's service
    /// name, else through the registry. Clients of one service share one connection.
    pub async fn connect<C: Client>(&self) -> Result<C, ConnectError> {
        self.connect_named(C::SERVICE).await
    }

    /// [`Process::connect`] under another name.
    pub async fn connect_named<C: Client>(&self, name: &str) -> Result<C, ConnectError> {
        if let Some(connection) = self.shared.connections.borrow().get(name) {
            return Ok(C::over(connection));
        }
        let endpoint = match self.capability::<Endpoint>(name) {
            Ok(endpoint) => endpoint,
            Err(missing) => {
                let registry = self.registry().ok_or(ConnectError::Missing(missing))?;
                registry.lookup(name, 0).await.map_err(ConnectError::Registry)?
            }
        };
        let connection = Connection::new(endpoint);
        self.shared.connections.borrow_mut().insert(name.to_string(), connection.clone());
        Ok(C::over(&connection))
    }

    /// The registry, if this process was given it.
    pub fn registry(&self) -> Option<registry::Client> {
        const NAME: &str = "registry";
        let mut connections = self.shared.connections.borrow_mut();
        if !connections.contains_key(NAME) {
            connections.insert(NAME.to_string(), Connection::new(self.capability(NAME).ok()?));
        }
        connections.get(NAME).map(registry::Client::over)
    }

    /// Tells init that this service answers from now on. Once `serve` is about to be called: what
    /// comes earlier is queued. In an upgrade it waits until the predecessor has let go, if
    /// [`Process::take_over`] has not. Nobody is told if the process was given no `ready`.
    pub async fn ready(&self) -> Result<(), ClientError> {
        match lifecycle::client() {
            Some(init) => init.ready().await,
            None => Ok(()),
        }
    }

    /// Before a service takes hold of what only one process can have: waits, in an upgrade, until its
    /// predecessor has let go, and returns what that hands over. Otherwise there is nothing to wait for.
    pub async fn take_over(&self) -> Result<Option<Vec<u8>>, ClientError> {
        match lifecycle::client() {
            Some(init) => init.take_over().await,
            None => Ok(None),
        }
    }

    /// Tells init that this service cannot come up or go on, and why. It is started again as its policy says.
    pub async fn failed(&self, reason: &str) {
        if let Some(init) = lifecycle::client() {
            // init learns from the exit too.
            let _ = init.failed(reason).await;
        }
    }

    /// Tells init that this service cannot come up, and would not if it were started again.
    pub async fn unable(&self, reason: &str) {
        if let Some(init) = lifecycle::client() {
            let _ = init.unable(reason).await;
        }
    }

    /// Waits until whoever started this process asks it to end.
    pub async fn stop_requested(&self) {
        signal::stop_requested().await;
    }
}

/// What a main function may return: what becomes of it as exit code.
pub trait Report {
    /// The exit code; says on the console what there is to say.
    fn report(self) -> u64;
}

impl Report for () {
    fn report(self) -> u64 {
        0
    }
}

/// An exit code of the program's choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit(pub u64);

impl Report for Exit {
    fn report(self) -> u64 {
        self.0
    }
}

impl<T: Report, E: Display> Report for Result<T, E> {
    /// 1 on an error, which is printed.
    fn report(self) -> u64 {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::println!("error: {error}");
                1
            }
        }
    }
}
