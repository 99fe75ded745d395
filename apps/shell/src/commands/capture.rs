//! `capture`: has the messages of a service written down, for debugging.

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::shell::Shell;
use crate::text::shown;
use alloc::format;
use libprocess::{Cap, Endpoint, Error};

/// What the shell's capabilities to capture are called, before the name of the service.
const PREFIX: &str = "capture:";

impl Shell {
    /// `capture`.
    pub(crate) async fn capture(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let misuse = || Failure::misuse("capture", "it takes a service, and on or off");
        let [service, wanted] = arguments.exactly().ok_or_else(misuse)?;
        let held = self.given.iter().find(|(name, _)| name.strip_prefix(PREFIX) == Some(service));
        let Some((_, handle)) = held else {
            return Err(Failure::new(format!(
                "the shell was given no capability `{PREFIX}{}`: this session may not do that; `self` lists what it has",
                shown(service)
            )));
        };
        let endpoint = Cap::<Endpoint>::from_handle(*handle);
        let result = match wanted {
            "on" => endpoint.capture_begin(),
            "off" => endpoint.capture_end(),
            _ => {
                endpoint.into_handle();
                return Err(misuse());
            }
        };
        // It is the shell's for as long as the shell lives.
        endpoint.into_handle();
        result.map_err(|error| {
            Failure::new(match error {
                Error::AlreadyBound => {
                    format!("what {service} is told is captured already; `capture {service} off` ends it")
                }
                Error::NotBound => format!("what {service} is told is not captured; `capture {service} on` begins it"),
                Error::Unsupported => {
                    "this host captures nothing; `orbital`, where processes are WebAssembly components, does".into()
                }
                error => format!("{service} cannot be captured: {error}"),
            })
        })
    }
}
