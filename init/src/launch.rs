//! Starts one program of the manifest: its quota, its process, exactly its capabilities.

use crate::holdings::{Holdings, image_name};
use crate::manifest::badge::{Incarnation, Role};
use crate::manifest::{Program, Source};
use crate::service::Time;
use crate::stand_in;
use crate::version::Version;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use libprocess::abi::{PAGE_SIZE, Rights};
use libprocess::capability::Process as ProcessObject;
use libprocess::client::Refusal;
use libprocess::{Cap, Endpoint, Error, Handle, Image, Notification, Quota, Startup};

/// A program that runs, or whose end init has not yet taken note of.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub process: Cap<ProcessObject>,
    /// The kernel's serial of it.
    pub pid: u64,
    /// Which process of its service it is.
    pub incarnation: Incarnation,
    /// When it was started, in ns since boot.
    pub since: Time,
    /// What it runs.
    pub version: Version,
    /// System calls that it had made when it was last found with a full queue.
    pub calls: Cell<u64>,
    /// What asks it to end, if it was granted that.
    pub stop: Option<Cap<Notification>>,
    /// What pays for it. In an upgrade, for the other process too.
    quota: Rc<Cap<Quota>>,
}

impl Running {
    /// Returns all that it had to the quota that it came from.
    pub fn release(self) {
        drop(self.process);
        drop(self.stop);
        // It goes with the last capability otherwise; destroyed, it goes at once.
        if let Ok(quota) = Rc::try_unwrap(self.quota) {
            let _ = quota.destroy();
        }
    }
}

/// A process, its serial, and what asks it to end.
type Populated = (Cap<ProcessObject>, u64, Option<Cap<Notification>>);

/// What is special about one start of a program.
pub struct Start<'a> {
    /// The service that it is, by place; none of the session.
    pub place: Option<usize>,
    /// What is run.
    pub version: &'a Version,
    /// Which process of its service it is.
    pub incarnation: Incarnation,
    /// Its arguments.
    pub arguments: &'a [String],
    /// Its environment.
    pub environment: &'a [(String, String)],
    /// What it gets for the grants, by number, that ask for a namespace.
    pub subspaces: &'a BTreeMap<usize, Cap<Endpoint>>,
    /// The process whose place it is to take: both live on its quota until one has ended.
    pub beside: Option<&'a Running>,
}

/// What programs are started from.
pub struct Launcher<'a> {
    /// What init was given.
    pub holdings: &'a Holdings,
    /// What pays for all.
    pub quota: &'a Cap<Quota>,
    /// init's own endpoint.
    pub own: &'a Cap<Endpoint>,
    /// The services' endpoints, in the order of the manifest.
    pub endpoints: &'a [Cap<Endpoint>],
}

impl Launcher<'_> {
    /// Starts a program.
    ///
    /// # Errors
    /// What could not be done, for people; nothing of the program is left then.
    pub fn launch(&self, program: &Program, start: &Start<'_>) -> Result<Running, String> {
        let quota = match start.beside {
            Some(running) => running.quota.clone(),
            None => {
                let whole = self.quota.info().map_err(|error| format!("what the machine has: {error}"))?;
                let (memory, pages) =
                    (program.memory.of(whole.memory, 1), program.pages.of(whole.pages, PAGE_SIZE as u64));
                let quota = self.quota.split(memory, pages);
                Rc::new(quota.map_err(|error| format!("its quota (line {}): {error}", program.line))?)
            }
        };
        match self.populate(program, start, &quota) {
            Ok((process, pid, stop)) => Ok(Running {
                process,
                pid,
                incarnation: start.incarnation,
                since: libprocess::now(),
                version: start.version.clone(),
                calls: Cell::new(0),
                stop,
                quota,
            }),
            Err(reason) => {
                if let Ok(quota) = Rc::try_unwrap(quota) {
                    let _ = quota.destroy();
                }
                Err(reason)
            }
        }
    }

    /// Starts what answers in place of the service at `place`, from init's own image.
    ///
    /// # Errors
    /// What could not be done, for people; nothing of it is left then.
    pub fn stand_in(&self, place: usize, service: &str, answer: Refusal) -> Result<Running, String> {
        let failed = |error: Error| error.to_string();
        let image = self.holdings.handle(&image_name("init")).ok_or("init was not given its own image")?;
        let quota = self.quota.split(stand_in::MEMORY, stand_in::PAGES).map_err(failed)?;
        let start = || {
            // Nobody's supervisor: what is told of it is for nobody.
            let supervisor = self.own.derive_badged(Rights::SEND, Role::Supervisor.of(0))?;
            let name = stand_in::name(service);
            let process = Cap::<ProcessObject>::create(&borrowed(image), &quota, &supervisor, &name, stand_in::LIMITS)?;
            let endpoint = process.grant(&self.endpoints[place], Rights::RECEIVE, 0)?;
            process.start(&Startup {
                arguments: vec![stand_in::argument(answer)],
                environment: Vec::new(),
                capabilities: vec![(stand_in::ENDPOINT.to_string(), endpoint)],
            })?;
            let pid = process.info()?.serial;
            Ok((process, pid))
        };
        match start() {
            Ok((process, pid)) => Ok(Running {
                process,
                pid,
                incarnation: Incarnation::default(),
                since: libprocess::now(),
                version: Version::boot("init", self.holdings),
                calls: Cell::new(0),
                stop: None,
                quota: Rc::new(quota),
            }),
            Err(error) => {
                let _ = quota.destroy();
                Err(failed(error))
            }
        }
    }

    fn populate(&self, program: &Program, start: &Start<'_>, quota: &Cap<Quota>) -> Result<Populated, String> {
        let words = |what: &str, error: Error| format!("{what} (line {}): {error}", program.line);
        let image =
            start.version.handle(self.holdings).ok_or_else(|| format!("there is no image `{}`", start.version.name))?;
        let supervisor = self
            .own
            .derive_badged(Rights::SEND, Role::Supervisor.of(program.badge))
            .map_err(|error| words("its supervisor", error))?;
        let image = borrowed::<Image>(image);
        let process = Cap::<ProcessObject>::create(&image, quota, &supervisor, &program.name, program.limits)
            .map_err(|error| words("its process", error))?;
        let mut stop = None;
        let mut capabilities = Vec::new();
        for (number, grant) in program.grants.iter().enumerate() {
            if let Some(subspace) = start.subspaces.get(&number) {
                let handle = process
                    .grant(subspace, grant.rights, 0)
                    .map_err(|error| format!("capability `{}` (line {}): {error}", grant.name, grant.line))?;
                capabilities.push((grant.name.clone(), handle));
                continue;
            }
            let source = match &grant.source {
                Source::Quota => Some(quota.handle()),
                Source::Endpoint => start.place.map(|place| self.endpoints[place].handle()),
                Source::Service(service) => Some(self.endpoints[*service].handle()),
                Source::Readiness | Source::Control | Source::Registry => Some(self.own.handle()),
                Source::Held(name) => self.holdings.handle(name),
                Source::Stop => {
                    let notification =
                        Cap::<Notification>::create(quota).map_err(|error| words("its notification", error))?;
                    let handle = notification.handle();
                    stop = Some(notification);
                    Some(handle)
                }
            };
            let refused = |error| format!("capability `{}` (line {}): {error}", grant.name, grant.line);
            let badge = match grant.source {
                Source::Readiness => start.incarnation.mark(grant.badge),
                _ => grant.badge,
            };
            match source {
                Some(source) => {
                    let handle = process.grant_handle(source, grant.rights, badge).map_err(refused)?;
                    capabilities.push((grant.name.clone(), handle));
                }
                None if grant.optional => {}
                None => return Err(refused(Error::BadHandle)),
            }
        }
        let startup =
            Startup { arguments: start.arguments.to_vec(), environment: start.environment.to_vec(), capabilities };
        process.start(&startup).map_err(|error| words("its start", error))?;
        let pid = process.info().map_err(|error| words("its process", error))?.serial;
        Ok((process, pid, stop))
    }
}

/// A capability by its handle, which stays its owner's.
fn borrowed<K: libprocess::Object>(handle: Handle) -> core::mem::ManuallyDrop<Cap<K>> {
    core::mem::ManuallyDrop::new(Cap::from_handle(handle))
}
