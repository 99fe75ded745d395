//! A stage for one service, or a few: their processes with exactly the capabilities that
//! a test says, and clients that are closures in the test. The first process is written
//! here: it makes the endpoints, starts everybody, restarts services, and turns the
//! machine off when the last client has ended.

use crate::simulation::{End, Simulation};
use abi::info::Limits;
use abi::{ExitReason, Rights};
use libprocess::capability as kinds;
use libprocess::startup::Startup;
use libprocess::wire::Passing;
use libprocess::{Cap, Inbox, Incoming, Process, Report};
use simulated_disk::Disk;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

/// Kernel memory in bytes and pages that each process on stage gets as its quota.
const MEMORY: u64 = 4 << 20;
const PAGES: u64 = 4_096;

/// A capability that a process on stage gets, and under which name.
#[derive(Clone, Debug)]
pub struct Grant {
    name: String,
    source: Source,
    rights: Rights,
    badge: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Device(String),
    Image(String),
    Endpoint(String),
    Notification(String),
    Process(String),
    Log,
}

impl Grant {
    fn of(name: &str, source: Source, rights: Rights) -> Grant {
        Grant { name: name.to_string(), source, rights, badge: 0 }
    }

    /// The device called `name` (`console`, `disk`, `clock`, `entropy`, `power`) with all
    /// rights, and under `interrupt:NAME` its interrupt, if it has one.
    pub fn device(name: &str) -> Grant {
        Grant::of(name, Source::Device(name.to_string()), Rights::ALL)
    }

    /// Send and grant on the endpoint of the service called `service`, under that name.
    pub fn service(service: &str) -> Grant {
        Grant::of(service, Source::Endpoint(service.to_string()), Rights::SEND.or(Rights::GRANT))
    }

    /// All rights on an endpoint called `name` that belongs to no service.
    pub fn endpoint(name: &str) -> Grant {
        Grant::of(name, Source::Endpoint(name.to_string()), Rights::ALL)
    }

    /// All rights on a notification called `name`, the same for all who have a grant of it.
    pub fn notification(name: &str) -> Grant {
        Grant::of(name, Source::Notification(name.to_string()), Rights::ALL)
    }

    /// All rights on the process called `name`, which must have been added before.
    pub fn process(name: &str) -> Grant {
        Grant::of(&format!("process:{name}"), Source::Process(name.to_string()), Rights::ALL)
    }

    /// Spawn on the image called `name`, under `image:NAME`.
    pub fn image(name: &str) -> Grant {
        Grant::of(&format!("image:{name}"), Source::Image(name.to_string()), Rights::SPAWN)
    }

    /// Read on the log, under `log`.
    pub fn log() -> Grant {
        Grant::of("log", Source::Log, Rights::READ)
    }

    /// Another name for it.
    pub fn named(mut self, name: &str) -> Grant {
        self.name = name.to_string();
        self
    }

    /// Only these of its rights.
    pub fn rights(mut self, rights: Rights) -> Grant {
        self.rights = rights;
        self
    }

    /// With this badge.
    pub fn badge(mut self, badge: u64) -> Grant {
        self.badge = badge;
        self
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Role {
    /// Runs until the clients have ended; restarted so many times.
    Service { restarts: u32 },
    /// Ends by itself, and has then passed if its exit code is 0.
    Client,
}

#[derive(Clone, Debug)]
struct Actor {
    name: String,
    role: Role,
    arguments: Vec<String>,
    grants: Vec<Grant>,
    limits: Limits,
}

/// How one process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// Why.
    pub reason: ExitReason,
    /// With what code.
    pub code: u64,
}

/// What happened on a stage.
pub struct Played {
    /// How the run ended: `PowerOff(0)` if all clients ended.
    pub end: End,
    /// How the processes ended that ended by themselves, by name, in order.
    pub exits: BTreeMap<String, Vec<Exit>>,
    /// The machine, to look at.
    pub simulation: Simulation,
}

/// A stage. `with` and the methods after it concern the process added last.
pub struct Stage {
    simulation: Simulation,
    actors: Vec<Actor>,
}

impl Stage {
    /// An empty stage; all chance comes from `seed`.
    pub fn new(seed: u64) -> Stage {
        Stage { simulation: Simulation::new(seed), actors: Vec::new() }
    }

    /// Adds a service. It gets `quota`, `clock`, and its `endpoint` with all rights.
    pub fn service<F, R>(mut self, name: &str, main: F) -> Stage
    where
        F: Fn(Process) -> R + 'static,
        R: Future + 'static,
        R::Output: Report,
    {
        self.simulation = self.simulation.image(name, main);
        self.add(name, Role::Service { restarts: 0 }).with(Grant::endpoint(name).named("endpoint"))
    }

    /// Adds a client, which runs once. It gets `quota` and `clock`. It has passed if it
    /// ends with exit code 0; a failed assertion in it fails the test.
    pub fn client<F, R>(mut self, name: &str, main: F) -> Stage
    where
        F: FnOnce(Process) -> R + 'static,
        R: Future + 'static,
        R::Output: Report,
    {
        let once = RefCell::new(Some(main));
        self.simulation = self.simulation.image(name, move |process| {
            let main = once.borrow_mut().take().expect("a client runs once");
            main(process)
        });
        self.add(name, Role::Client)
    }

    fn add(mut self, name: &str, role: Role) -> Stage {
        let grants = vec![Grant::device("clock").rights(Rights::READ)];
        let (arguments, limits) = (Vec::new(), Limits::DEFAULT);
        self.actors.push(Actor { name: name.to_string(), role, arguments, grants, limits });
        self
    }

    fn last(&mut self) -> &mut Actor {
        self.actors.last_mut().expect("add a service or a client first")
    }

    /// Gives it a capability.
    pub fn with(mut self, grant: Grant) -> Stage {
        self.last().grants.push(grant);
        self
    }

    /// Gives it arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Stage {
        self.last().arguments = arguments.iter().map(ToString::to_string).collect();
        self
    }

    /// Limits it.
    pub fn limits(mut self, limits: Limits) -> Stage {
        self.last().limits = limits;
        self
    }

    /// Restarts it on the same endpoint when it ends, so many times.
    pub fn restarts(mut self, times: u32) -> Stage {
        if let Role::Service { restarts } = &mut self.last().role {
            *restarts = times;
        }
        self
    }

    /// The disk, in place of an empty one.
    pub fn disk(self, disk: Disk) -> Stage {
        self.simulation(|simulation| simulation.disk(disk))
    }

    /// Changes the machine under the stage: console input, traps, images that can be spawned.
    pub fn simulation(mut self, change: impl FnOnce(Simulation) -> Simulation) -> Stage {
        self.simulation = change(self.simulation);
        self
    }

    /// Sets the machine up without running it: for tests that run it in parts.
    pub fn open(self) -> (Simulation, Exits) {
        let exits = Exits::default();
        let (actors, noted) = (self.actors, exits.clone());
        let simulation = self.simulation.image(DIRECTOR, move |process| direct(process, actors.clone(), noted.clone()));
        (simulation.first(DIRECTOR, &[]).prefix(PREFIX), exits)
    }

    /// Plays until all clients have ended, or nothing can happen any more.
    pub fn play(self) -> Played {
        let (mut simulation, exits) = self.open();
        let end = simulation.run();
        Played { end, exits: exits.0.take(), simulation }
    }

    /// Plays, and requires that every client passed, that nobody panicked, and that log
    /// and invariants are right.
    ///
    /// # Panics
    /// When they are not.
    pub fn pass(self) -> Played {
        let clients: Vec<String> =
            self.actors.iter().filter(|actor| actor.role == Role::Client).map(|actor| actor.name.clone()).collect();
        let played = self.play();
        let simulation = &played.simulation;
        assert_eq!(simulation.panics(), [], "processes panicked");
        for client in clients {
            let exits = played.exits.get(&client).map_or(&[][..], Vec::as_slice);
            let passed = [Exit { reason: ExitReason::Exited, code: 0 }];
            assert_eq!(
                exits,
                passed,
                "how {client} ended; the run ended with {:?}\n{}",
                played.end,
                simulation.story()
            );
        }
        assert_eq!(played.end, End::PowerOff(0));
        simulation.check();
        played
    }
}

/// How processes on a stage ended, while it is played.
#[derive(Clone, Default)]
pub struct Exits(Rc<RefCell<BTreeMap<String, Vec<Exit>>>>);

impl Exits {
    /// How processes of this name ended so far.
    pub fn of(&self, name: &str) -> Vec<Exit> {
        self.0.borrow().get(name).cloned().unwrap_or_default()
    }
}

const DIRECTOR: &str = "stage";

/// Before the names of the director's capabilities.
const PREFIX: &str = "stage:";

/// What the first process holds.
struct Stock {
    process: Process,
    capabilities: BTreeMap<String, Cap<kinds::Any>>,
    endpoints: BTreeMap<String, Cap<kinds::Endpoint>>,
    notifications: BTreeMap<String, Cap<kinds::Notification>>,
    /// With the quotas that pay for them: a process whose quota nobody holds is gone.
    processes: BTreeMap<String, (Cap<kinds::Process>, Cap<kinds::Quota>)>,
}

/// The first process of a stage.
async fn direct(process: Process, actors: Vec<Actor>, exits: Exits) -> Result<(), abi::Error> {
    let mut stock = Stock {
        capabilities: process
            .capability_names()
            .into_iter()
            .filter_map(|name| process.capability(&name).ok().map(|capability| (name, capability)))
            .collect(),
        endpoints: BTreeMap::new(),
        notifications: BTreeMap::new(),
        processes: BTreeMap::new(),
        process,
    };
    let mut inbox = Inbox::open(Cap::<kinds::Endpoint>::create(stock.process.quota(), 64)?)?;
    let mut restarts: Vec<u32> = Vec::new();
    let mut clients = 0;
    for (number, actor) in actors.iter().enumerate() {
        restarts.push(match actor.role {
            Role::Service { restarts } => restarts,
            Role::Client => {
                clients += 1;
                0
            }
        });
        stock.start(inbox.endpoint(), number, actor)?;
    }
    while clients > 0 {
        match inbox.next().await? {
            // Dropping it is the verdict to kill.
            Incoming::Faulted(_) => {}
            Incoming::Exited(exited) => {
                let number = (exited.badge as usize).wrapping_sub(1);
                let Some(actor) = actors.get(number) else { continue };
                let exit = Exit { reason: exited.reason, code: exited.code };
                exits.0.borrow_mut().entry(actor.name.clone()).or_default().push(exit);
                stock.processes.remove(&actor.name);
                if actor.role == Role::Client {
                    clients -= 1;
                } else if restarts[number] > 0 {
                    restarts[number] -= 1;
                    stock.start(inbox.endpoint(), number, actor)?;
                }
            }
            // A service says that it is ready.
            Incoming::Request(request) => request.answer(&(), Passing::new()),
        }
    }
    if let Some(power) = stock.capabilities.remove(&format!("{PREFIX}device:power")) {
        power.typed::<kinds::Device>().write(abi::device::POWER_OFF, 0)?;
    }
    Ok(())
}

impl Stock {
    fn start(&mut self, supervisor: &Cap<kinds::Endpoint>, number: usize, actor: &Actor) -> Result<(), abi::Error> {
        let image = Cap::<kinds::Image>::from_handle(self.handle(&format!("image:{}", actor.name))?);
        let image = std::mem::ManuallyDrop::new(image);
        let quota = self.process.quota().split(MEMORY, PAGES)?;
        let supervisor = supervisor.derive_badged(Rights::SEND, number as u64 + 1)?;
        let process = Cap::<kinds::Process>::create(&image, &quota, &supervisor, &actor.name, actor.limits)?;
        let mut capabilities = vec![("quota".to_string(), process.grant(&quota, Rights::ALL, 0)?)];
        for grant in &actor.grants {
            if let (Source::Device(name), true) = (&grant.source, grant.rights == Rights::ALL)
                && let Ok(interrupt) = self.handle(&format!("interrupt:{name}"))
            {
                let handle = process.grant_handle(interrupt, Rights::ALL, 0)?;
                capabilities.push((format!("interrupt:{name}"), handle));
            }
            let source = self.source(&grant.source)?;
            capabilities.push((grant.name.clone(), process.grant_handle(source, grant.rights, grant.badge)?));
        }
        process.start(&Startup { arguments: actor.arguments.clone(), environment: Vec::new(), capabilities })?;
        self.processes.insert(actor.name.clone(), (process, quota));
        Ok(())
    }

    fn handle(&self, name: &str) -> Result<abi::Handle, abi::Error> {
        self.capabilities.get(&format!("{PREFIX}{name}")).map(Cap::handle).ok_or(abi::Error::BadHandle)
    }

    fn source(&mut self, source: &Source) -> Result<abi::Handle, abi::Error> {
        match source {
            Source::Device(name) => self.handle(&format!("device:{name}")),
            Source::Image(name) => self.handle(&format!("image:{name}")),
            Source::Log => self.handle("log"),
            Source::Process(name) => {
                self.processes.get(name).map(|(process, _)| process.handle()).ok_or(abi::Error::BadHandle)
            }
            Source::Endpoint(name) => {
                if !self.endpoints.contains_key(name) {
                    self.endpoints.insert(name.clone(), Cap::<kinds::Endpoint>::create(self.process.quota(), 64)?);
                }
                Ok(self.endpoints[name].handle())
            }
            Source::Notification(name) => {
                if !self.notifications.contains_key(name) {
                    self.notifications.insert(name.clone(), Cap::<kinds::Notification>::create(self.process.quota())?);
                }
                Ok(self.notifications[name].handle())
            }
        }
    }
}
