//! init's interfaces for others: control of the services, and the registry of names.

use crate::manifest::badge::Role;
use crate::registry::Refusal;
use crate::run::Server;
use crate::service::{Down, State};
use crate::system::{Input, Order, Who};
use crate::version::{MAX_IMAGE, Version};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::capability::Process as ProcessObject;
use libprocess::interfaces::init::{control, registry};
use libprocess::{Caller, Cap, Endpoint, Error, Region, Rights};

impl control::Server for Server {
    async fn start(&self, caller: Caller, service: String) -> Result<(), control::Error> {
        let place = self.ordered(caller, &service)?;
        let state = self.0.system.borrow().service(place).state().clone();
        match state {
            State::Down(_) | State::BackingOff { .. } => {}
            State::Waiting | State::Starting { .. } | State::Up | State::Ending { .. } => {
                return Err(control::Error::AlreadyRunning);
            }
        }
        self.needs_are_up(place)?;
        self.0.step(Input::Order(place, Order::Start));
        self.come_up(place).await
    }

    async fn stop(&self, caller: Caller, service: String) -> Result<(), control::Error> {
        let place = self.ordered(caller, &service)?;
        if let State::Down(_) = self.0.system.borrow().service(place).state() {
            return Err(control::Error::NotRunning);
        }
        self.0.step(Input::Order(place, Order::Stop));
        self.until(place, |state| match state {
            State::Ending { .. } => None,
            _ => Some(Ok(())),
        })
        .await
    }

    async fn restart(&self, caller: Caller, service: String) -> Result<(), control::Error> {
        let place = self.ordered(caller, &service)?;
        self.needs_are_up(place)?;
        self.0.step(Input::Order(place, Order::Restart));
        self.come_up(place).await
    }

    async fn kill(&self, caller: Caller, service: String) -> Result<(), control::Error> {
        let place = self.found(caller, &service)?;
        if !self.0.system.borrow().service(place).has_process() {
            return Err(control::Error::NotRunning);
        }
        self.0.step(Input::Order(place, Order::Kill));
        Ok(())
    }

    async fn status(&self, caller: Caller, service: String) -> Result<control::ServiceStatus, control::Error> {
        self.controls(caller)?;
        let place = self.place(&service)?;
        Ok(self.status_of(place))
    }

    async fn list(&self, caller: Caller) -> Result<Vec<control::ServiceStatus>, control::Error> {
        self.controls(caller)?;
        Ok((0..self.0.manifest.services.len()).map(|place| self.status_of(place)).collect())
    }

    async fn processes(&self, caller: Caller) -> Result<Vec<control::ProcessUsage>, control::Error> {
        self.controls(caller)?;
        let own = libprocess::system::info();
        let parent = own.as_ref().map_or(1, |info| info.serial);
        let mut result = Vec::new();
        if let Ok(info) = own {
            result.push(usage(&info, 0, false));
        }
        for (who, running) in self.0.running.borrow().iter() {
            if let Ok(info) = running.process.info() {
                result.push(usage(&info, parent, *who == Who::Session));
            }
        }
        for running in self.0.stand_ins.borrow().values() {
            if let Ok(info) = running.process.info() {
                result.push(usage(&info, parent, false));
            }
        }
        result.sort_by_key(|usage| usage.pid);
        Ok(result)
    }

    async fn inspect(&self, caller: Caller, service: String) -> Result<Cap<ProcessObject>, control::Error> {
        self.controls(caller)?;
        let inspecting = |process: &Cap<ProcessObject>| {
            process.derive(Rights::INSPECT).map_err(|error| control::Error::Failed(error.to_string()))
        };
        if service == "init" {
            let itself = self.0.itself.as_ref();
            return inspecting(
                itself.ok_or_else(|| control::Error::Failed("init may not look at itself".to_string()))?,
            );
        }
        let session = self.0.program(Who::Session).name == service;
        let who = if session { Who::Session } else { Who::Service(self.place(&service)?) };
        let running = self.0.running.borrow();
        inspecting(&running.get(&who).ok_or(control::Error::NotRunning)?.process)
    }

    async fn upgrade(
        &self,
        caller: Caller,
        service: String,
        source: control::ImageSource,
        from: Option<Cap<Region>>,
    ) -> Result<(), control::Error> {
        let place = self.ordered(caller, &service)?;
        self.is_up(place)?;
        let version = self.version(place, source, from).await?;
        // init heard nothing while the host checked the image.
        self.ordered(caller, &service)?;
        self.is_up(place)?;
        self.0.next_versions.borrow_mut().insert(place, version);
        self.0.step(Input::Order(place, Order::Upgrade));
        match &self.0.system.borrow().service(place).upgrade().result {
            Some(Err(reason)) => Err(control::Error::Failed(reason.clone())),
            _ => Ok(()),
        }
    }

    async fn shutdown(&self, caller: Caller, status: u8) -> Result<(), control::Error> {
        self.controls(caller)?;
        self.0.step(Input::Shutdown(status));
        Ok(())
    }
}

impl Server {
    fn controls(&self, caller: Caller) -> Result<(), control::Error> {
        match Role::read(caller.badge) {
            Some((Role::Control, _)) => Ok(()),
            _ => Err(control::Error::PermissionDenied),
        }
    }

    fn place(&self, service: &str) -> Result<usize, control::Error> {
        let mut services = self.0.manifest.services.iter();
        services.position(|s| s.program.name == service).ok_or(control::Error::NoSuchService)
    }

    /// The service that is ordered about, if the caller may and orders are taken now.
    fn ordered(&self, caller: Caller, service: &str) -> Result<usize, control::Error> {
        let place = self.found(caller, service)?;
        // It is over soon: each of its phases has a time-out.
        if self.0.system.borrow().service(place).upgrade().phase.is_some() {
            return Err(control::Error::Upgrading);
        }
        Ok(place)
    }

    /// The same, if need be while it is upgraded.
    fn found(&self, caller: Caller, service: &str) -> Result<usize, control::Error> {
        self.controls(caller)?;
        let place = self.place(service)?;
        if self.0.takes_orders() { Ok(place) } else { Err(control::Error::ShuttingDown) }
    }

    /// Whether a service can be upgraded now.
    fn is_up(&self, place: usize) -> Result<(), control::Error> {
        match self.0.system.borrow().service(place).state() {
            State::Up => Ok(()),
            _ => Err(control::Error::NotRunning),
        }
    }

    /// What a service is to be upgraded to.
    async fn version(
        &self,
        place: usize,
        source: control::ImageSource,
        from: Option<Cap<Region>>,
    ) -> Result<Version, control::Error> {
        match (source, from) {
            (control::ImageSource::Boot(name), None) => {
                let name = if name.is_empty() { &self.0.manifest.services[place].program.image } else { &name };
                if !self.0.holdings.has_image(name) {
                    return Err(control::Error::ImageNotFound(name.clone()));
                }
                Ok(Version::boot(name, &self.0.holdings))
            }
            (control::ImageSource::Region(length), Some(region)) => {
                let name = self.name(place);
                Version::of_region(&region, length, &name, &self.0.quota).await.map_err(|error| {
                    control::Error::InvalidImage(match error {
                        Error::InvalidArgument => "it is no executable that this system runs".to_string(),
                        Error::TooLarge => format!("{length} bytes: it may be 1 to {MAX_IMAGE}"),
                        error => error.to_string(),
                    })
                })
            }
            (control::ImageSource::Boot(_), Some(_)) => {
                Err(control::Error::InvalidImage("a boot image needs no `from`".to_string()))
            }
            (control::ImageSource::Region(_), None) => {
                Err(control::Error::InvalidImage("`from` is missing".to_string()))
            }
        }
    }

    fn needs_are_up(&self, place: usize) -> Result<(), control::Error> {
        match self.0.system.borrow().missing(place) {
            Some(need) => Err(control::Error::DependencyDown(self.name(need))),
            None => Ok(()),
        }
    }

    fn name(&self, place: usize) -> String {
        self.0.manifest.services[place].program.name.clone()
    }

    /// Waits until the service is up, or has failed to come up.
    async fn come_up(&self, place: usize) -> Result<(), control::Error> {
        self.until(place, |state| match state {
            State::Up => Some(Ok(())),
            State::Down(_) | State::BackingOff { .. } => {
                let end = self.0.system.borrow().service(place).last_end().to_string();
                Some(Err(control::Error::Failed(end)))
            }
            State::Waiting => {
                let hopeless = self.0.system.borrow().hopeless(place);
                hopeless.map(|need| Err(control::Error::DependencyDown(self.name(need))))
            }
            State::Starting { .. } | State::Ending { .. } => None,
        })
        .await
    }

    /// Waits until `settled` says how it went.
    async fn until<T>(
        &self,
        place: usize,
        settled: impl Fn(&State) -> Option<Result<T, control::Error>>,
    ) -> Result<T, control::Error> {
        self.0.until(|| settled(self.0.system.borrow().service(place).state())).await
    }

    fn status_of(&self, place: usize) -> control::ServiceStatus {
        let system = self.0.system.borrow();
        let (service, manifest) = (system.service(place), &self.0.manifest.services[place]);
        let running = self.0.running.borrow();
        let running = running.get(&Who::Service(place));
        control::ServiceStatus {
            name: manifest.program.name.clone(),
            image: running.map_or(&manifest.program.image, |running| &running.version.name).clone(),
            phase: manifest.phase,
            state: match service.state() {
                State::Waiting => control::State::Waiting,
                State::Starting { .. } => control::State::Starting,
                State::Up if service.upgrade().phase.is_some() => control::State::Upgrading,
                State::Up if service.is_unhealthy() => control::State::Unhealthy,
                State::Up => control::State::Up,
                State::Ending { .. } => control::State::Stopping,
                State::BackingOff { .. } => control::State::BackingOff,
                State::Down(Down::Stopped) => control::State::Stopped,
                State::Down(Down::Finished) => control::State::Finished,
                State::Down(Down::Failed) => control::State::Failed,
                State::Down(Down::Disabled) => control::State::Disabled,
            },
            pid: running.map_or(0, |running| running.pid),
            restarts: service.restarts(),
            last_end: service.last_end().to_string(),
            needs: manifest.needs.iter().map(|&need| self.name(need)).collect(),
            health: service.health().to_string(),
            version: running.map_or_else(String::new, |running| running.version.hash.clone()),
            uptime: running.map_or(0, |running| libprocess::now().saturating_sub(running.since)),
            upgrade: match (service.upgrade().phase, &service.upgrade().result) {
                (Some(_), _) => control::UpgradeState::UnderWay,
                (None, None) => control::UpgradeState::None,
                (None, Some(Ok(()))) => control::UpgradeState::Done,
                (None, Some(Err(reason))) => control::UpgradeState::Failed(reason.clone()),
            },
        }
    }
}

fn usage(info: &libprocess::abi::ProcessInfo, parent: u64, session: bool) -> control::ProcessUsage {
    control::ProcessUsage {
        pid: info.serial,
        name: info.name.to_string(),
        parent,
        session,
        processor_time: info.processor_time,
        pages: info.pages,
        calls: info.calls,
        capabilities: info.capabilities,
    }
}

impl registry::Server for Server {
    async fn register(
        &self,
        caller: Caller,
        name: String,
        version: u32,
        endpoint: Cap<Endpoint>,
    ) -> Result<(), registry::Error> {
        let owner = registrant(caller)?;
        let info = endpoint.inspect().map_err(|_| registry::Error::InvalidEndpoint)?;
        let is_endpoint = info.kind == libprocess::abi::Kind::Endpoint;
        if !is_endpoint || info.badge != 0 || !info.rights.contains(Rights::SEND) {
            return Err(registry::Error::InvalidEndpoint);
        }
        if self.place(&name).is_ok() {
            return Err(registry::Error::NameTaken);
        }
        self.forget_if_gone(&name);
        self.0.registry.borrow_mut().register(&name, version, u64::from(owner), endpoint).map_err(refused)?;
        Ok(())
    }

    async fn lookup(&self, caller: Caller, name: String, version: u32) -> Result<Cap<Endpoint>, registry::Error> {
        let badge = u64::from(registrant(caller)?);
        let public = self.place(&name).ok().filter(|&place| self.0.manifest.services[place].public);
        let found = if let Some(place) = public {
            self.0.endpoints[place].derive_badged(Rights::SEND, badge)
        } else {
            let registry = self.0.registry.borrow();
            let entry = registry.lookup(&name, version).map_err(refused)?;
            entry.endpoint.derive_badged(Rights::SEND, badge)
        };
        found.map_err(|error| match error {
            Error::QuotaExceeded => registry::Error::LimitExceeded,
            _ => {
                // What was registered has gone.
                self.0.registry.borrow_mut().forget(&name);
                registry::Error::NotFound
            }
        })
    }

    async fn unregister(&self, caller: Caller, name: String) -> Result<(), registry::Error> {
        let owner = registrant(caller)?;
        self.0.registry.borrow_mut().unregister(&name, u64::from(owner)).map_err(refused)?;
        Ok(())
    }

    async fn list(&self, caller: Caller) -> Result<Vec<registry::Entry>, registry::Error> {
        registrant(caller)?;
        let registry = self.0.registry.borrow();
        let entries = registry.entries().map(|(name, entry)| registry::Entry {
            name: name.to_string(),
            version: entry.version,
            owner: entry.owner,
        });
        Ok(entries.collect())
    }
}

impl Server {
    /// Frees a name whose endpoint has gone with its owner.
    fn forget_if_gone(&self, name: &str) {
        let mut registry = self.0.registry.borrow_mut();
        let gone = registry.lookup(name, 0).is_ok_and(|entry| entry.endpoint.inspect().is_err());
        if gone {
            registry.forget(name);
        }
    }
}

/// Whose badge it is, if the capability is one of the registry.
fn registrant(caller: Caller) -> Result<u32, registry::Error> {
    match Role::read(caller.badge) {
        Some((Role::Registry, holder)) => Ok(holder),
        _ => Err(registry::Error::PermissionDenied),
    }
}

fn refused(refusal: Refusal) -> registry::Error {
    match refusal {
        Refusal::NotFound => registry::Error::NotFound,
        Refusal::NameTaken => registry::Error::NameTaken,
        Refusal::InvalidName => registry::Error::InvalidName,
        Refusal::LimitExceeded => registry::Error::LimitExceeded,
        Refusal::VersionMismatch(version) => registry::Error::VersionMismatch(version),
    }
}
