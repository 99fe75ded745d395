//! `services`, `start`, `stop`, `restart`, `upgrade`: init's control of the services.

use crate::arguments::Arguments;
use crate::commands::files::{PART, absolute};
use crate::failure::{Explain, Failure, KILLED, failed};
use crate::shell::Shell;
use crate::text::{Side, Table, duration, shown};
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use libprocess::abi::PAGE_SIZE;
use libprocess::interfaces::init::control::{Error, ImageSource, ServiceStatus, State, UpgradeState};
use libprocess::{Cap, ClientError, Quota, Region, Rights, sleep};

/// How long init is waited for without hearing Ctrl-C. What it has begun by then goes on.
const AT_ONCE: Duration = Duration::from_millis(50);
/// How often init is then asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long init is waited for while it checks a new image.
const COMPILING: Duration = Duration::from_secs(60);
/// Digits of a hash that tell images apart for people.
const SHORT_HASH: usize = 8;

/// The word for a state.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Starting => "starting",
        State::Up => "up",
        State::Stopping => "stopping",
        State::BackingOff => "backing off",
        State::Stopped => "stopped",
        State::Finished => "finished",
        State::Failed => "failed",
        State::Disabled => "disabled",
        State::Unhealthy => "unhealthy",
        State::Upgrading => "upgrading",
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { String::from("-") } else { text.to_string() }
}

/// The first digits of the hash of its image.
fn version(status: &ServiceStatus) -> String {
    or_dash(status.version.get(..SHORT_HASH).unwrap_or(&status.version))
}

fn uptime(status: &ServiceStatus) -> String {
    if status.uptime == 0 { String::from("-") } else { duration(status.uptime) }
}

fn upgraded(state: &UpgradeState) -> String {
    match state {
        UpgradeState::None => String::from("-"),
        UpgradeState::UnderWay => String::from("goes on"),
        UpgradeState::Done => String::from("done"),
        UpgradeState::Failed(reason) => format!("failed: {reason}"),
    }
}

fn pid(status: &ServiceStatus) -> String {
    if status.pid == 0 { String::from("-") } else { status.pid.to_string() }
}

impl Shell {
    /// `services`.
    pub(crate) async fn services(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let control = self.control()?;
        match arguments.rest.as_slice() {
            [] => {
                let services = control.list().await.map_err(|error| failed("init", "services", error))?;
                let mut table = Table::new(&[
                    ("SERVICE", Side::Left),
                    ("STATE", Side::Left),
                    ("VERSION", Side::Left),
                    ("UPTIME", Side::Right),
                    ("PID", Side::Right),
                    ("RESTARTS", Side::Right),
                    ("NEEDS", Side::Left),
                ]);
                for service in &services {
                    table.row([
                        service.name.clone(),
                        state(service.state).to_string(),
                        version(service),
                        uptime(service),
                        pid(service),
                        service.restarts.to_string(),
                        or_dash(&service.needs.join(" ")),
                    ]);
                }
                let mut text = table.to_text();
                for service in services.iter().filter(|service| has_failed(service)) {
                    text.push_str(&format!("{} {}", service.name, service.last_end));
                    if service.state != State::BackingOff {
                        text.push_str(&format!("; `start {}` tries again", service.name));
                    }
                    text.push('\n');
                }
                self.show(&text).await;
            }
            [name] => {
                let service = control.status(name).await.map_err(|error| failed("init", name, error))?;
                self.show(&format!(
                    "service    {}\nimage      {}\nstate      {}\npid        {}\nphase      {}\nneeds      {}\n\
                     restarts   {}\nlast end   {}\nversion    {}\nuptime     {}\nhealth     {}\nupgrade    {}\n",
                    service.name,
                    service.image,
                    state(service.state),
                    pid(&service),
                    service.phase,
                    or_dash(&service.needs.join(" ")),
                    service.restarts,
                    or_dash(&service.last_end),
                    or_dash(&service.version),
                    uptime(&service),
                    or_dash(&service.health),
                    upgraded(&service.upgrade),
                ))
                .await;
            }
            _ => return Err(Failure::misuse("services", "it takes one service, or none")),
        }
        Ok(())
    }

    /// `start`.
    pub(crate) async fn start(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [name] = one("start", arguments)?;
        let order = self.control()?.within(AT_ONCE).start(name).await;
        self.settle(name, order, State::Up).await
    }

    /// `stop`.
    pub(crate) async fn stop(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [name] = one("stop", arguments)?;
        let order = self.control()?.within(AT_ONCE).stop(name).await;
        self.settle(name, order, State::Stopped).await
    }

    /// `restart`.
    pub(crate) async fn restart(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [name] = one("restart", arguments)?;
        let order = self.control()?.within(AT_ONCE).restart(name).await;
        self.settle(name, order, State::Up).await
    }

    /// `upgrade`.
    pub(crate) async fn upgrade(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let (name, image) = match arguments.rest.as_slice() {
            [name] => (name.as_str(), ""),
            [name, image] => (name.as_str(), image.as_str()),
            _ => return Err(Failure::misuse("upgrade", "it takes a service and perhaps an image")),
        };
        let (source, from) = if image.contains('/') {
            let (region, length) = self.executable(image).await?;
            (ImageSource::Region(length), Some(region))
        } else {
            (ImageSource::Boot(image.to_string()), None)
        };
        // A component may have to be compiled first.
        let order = self.control()?.within(COMPILING).upgrade(name, &source, from).await;
        order.map_err(|error| failed("init", name, error))?;
        loop {
            let service = self.control()?.status(name).await.map_err(|error| failed("init", name, error))?;
            match service.upgrade {
                UpgradeState::UnderWay => self.pause(name, service.state).await?,
                UpgradeState::Failed(reason) => {
                    return Err(Failure::new(format!("{name} was not upgraded, the old one goes on: {reason}")));
                }
                UpgradeState::Done | UpgradeState::None => return Ok(()),
            }
        }
    }

    /// A file in storage as a region, to pass it on, and its length.
    async fn executable(&self, path: &str) -> Result<(Cap<Region>, u64), Failure> {
        let bytes = self.read_file(&absolute(path)).await?;
        let length = bytes.len() as u64;
        let quota = self.given("quota")?.derive(Rights::SPLIT).map(Cap::typed::<Quota>);
        let region = quota
            .and_then(|quota| Cap::<Region>::create(&quota, length.div_ceil(PAGE_SIZE as u64).max(1)))
            .and_then(|region| {
                for (part, bytes) in bytes.chunks(PART).enumerate() {
                    region.write((part * PART) as u64, bytes)?;
                }
                Ok(region)
            });
        let region = region.map_err(|error| Failure::new(format!("there is no room for {}: {error}", shown(path))))?;
        Ok((region, length))
    }

    /// Waits until an order to init that was not done at once has brought the service into the
    /// state `wanted`, or into another that lasts. init has time-outs of its own for that.
    async fn settle(
        &mut self,
        name: &str,
        order: Result<(), ClientError<Error>>,
        wanted: State,
    ) -> Result<(), Failure> {
        match order {
            Err(ClientError::TimedOut) => {}
            done => return done.map_err(|error| failed("init", name, error)),
        }
        loop {
            let service = self.control()?.status(name).await.map_err(|error| failed("init", name, error))?;
            match service.state {
                state if state == wanted => return Ok(()),
                // One that does not answer when it is asked is up, and perhaps not for long.
                State::Unhealthy if wanted == State::Up => return Ok(()),
                State::Waiting | State::Starting | State::Stopping | State::Unhealthy | State::Upgrading => {}
                _ => return Err(Failure::new(Error::Failed(service.last_end).explain(name))),
            }
            self.pause(name, service.state).await?;
        }
    }

    /// Waits while `service` is being started again or stopped, so that Ctrl-C is heard meanwhile: a call
    /// would hold the shell up until it is answered.
    pub(crate) async fn attend(&mut self, service: &str) -> Result<(), Failure> {
        loop {
            let Ok(control) = self.control() else { return Ok(()) };
            // Who cannot tell does not matter here: the call itself comes to an end, too.
            let Ok(status) = control.within(AT_ONCE).status(service).await else { return Ok(()) };
            match status.state {
                State::Starting | State::Stopping | State::BackingOff => {}
                _ => return Ok(()),
            }
            self.pause(service, status.state).await?;
        }
    }

    /// Whether a service answers, as far as init tells: what can be left out is not waited for.
    pub(crate) async fn is_up(&self, service: &str) -> bool {
        let Ok(control) = self.control() else { return true };
        control.within(AT_ONCE).status(service).await.is_ok_and(|status| status.state == State::Up)
    }

    /// Waits a moment for `service`, unless Ctrl-C is typed.
    async fn pause(&mut self, service: &str, now: State) -> Result<(), Failure> {
        let paused = Shell::interruptible(&mut self.keyboard, &self.stop, sleep(ASK_EVERY)).await;
        if paused.is_some() {
            return Ok(());
        }
        self.line("^C").await;
        Err(Failure {
            message: format!("{service} is {}; `services {service}` shows how it goes on", state(now)),
            status: KILLED,
        })
    }
}

/// Whether it is not there, and nobody wanted that.
fn has_failed(service: &ServiceStatus) -> bool {
    matches!(service.state, State::BackingOff | State::Failed | State::Disabled)
}

fn one<'a>(command: &str, arguments: &'a Arguments) -> Result<[&'a str; 1], Failure> {
    arguments.exactly().ok_or_else(|| Failure::misuse(command, "it takes one service"))
}
