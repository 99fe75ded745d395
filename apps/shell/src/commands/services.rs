//! `services`, `start`, `stop`, `restart`: init's control of the services.

use crate::arguments::Arguments;
use crate::failure::{Failure, failed};
use crate::shell::Shell;
use crate::text::{Side, Table};
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use libprocess::interfaces::init::control::{ServiceStatus, State};

/// How long a service may take to come up or to end: init has shorter time-outs of its own,
/// which the manifest sets.
const PATIENCE: Duration = Duration::from_secs(60);

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
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { String::from("-") } else { text.to_string() }
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
                    ("PID", Side::Right),
                    ("RESTARTS", Side::Right),
                    ("NEEDS", Side::Left),
                ]);
                for service in &services {
                    table.row([
                        service.name.clone(),
                        state(service.state).to_string(),
                        pid(service),
                        service.restarts.to_string(),
                        or_dash(&service.needs.join(" ")),
                    ]);
                }
                self.show(&table.to_text()).await;
            }
            [name] => {
                let service = control.status(name).await.map_err(|error| failed("init", name, error))?;
                self.show(&format!(
                    "service    {}\nimage      {}\nstate      {}\npid        {}\nphase      {}\nneeds      {}\n\
                     restarts   {}\nlast end   {}\n",
                    service.name,
                    service.image,
                    state(service.state),
                    pid(&service),
                    service.phase,
                    or_dash(&service.needs.join(" ")),
                    service.restarts,
                    or_dash(&service.last_end),
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
        let control = self.control()?.within(PATIENCE);
        control.start(name).await.map_err(|error| failed("init", name, error))
    }

    /// `stop`.
    pub(crate) async fn stop(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [name] = one("stop", arguments)?;
        let control = self.control()?.within(PATIENCE);
        control.stop(name).await.map_err(|error| failed("init", name, error))
    }

    /// `restart`.
    pub(crate) async fn restart(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [name] = one("restart", arguments)?;
        let control = self.control()?.within(PATIENCE);
        control.restart(name).await.map_err(|error| failed("init", name, error))
    }
}

fn one<'a>(command: &str, arguments: &'a Arguments) -> Result<[&'a str; 1], Failure> {
    arguments.exactly().ok_or_else(|| Failure::misuse(command, "it takes one service"))
}
