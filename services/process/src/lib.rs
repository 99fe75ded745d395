//! The process service: starts processes for whoever holds a capability to it, watches
//! over them, ends them, and tells how they fared. What a process may do is what its
//! starter passed on; this service adds nothing to it.
//!
//! | module | what is there | knows the kernel |
//! |---|---|---|
//! | [`requester`] | who asks: what the badge says | no |
//! | [`table`] | who started whom, who may manage whom, how they ended | no |
//! | [`limits`] | what a process may use, and when it is warned | no |
//! | [`live`] | what the kernel holds for a live process | yes |
//! | [`spawn`] | from a request to a running process | yes |
//! | [`files`] | executables from the storage service | yes |
//! | [`events`] | subscribers, and how they are told | yes |
//! | [`serve`] | the interface, exits and faults | yes |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod events;
pub mod files;
pub mod limits;
pub mod live;
pub mod requester;
pub mod serve;
pub mod spawn;
pub mod table;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use libprocess::{Any, Cap, Endpoint, Error, Process, Rights};
use serve::{Server, Service, Supervision};
use spawn::Spawner;

/// The service's main function. Its startup has `endpoint`, `quota`, `clock`, and may have
/// `ready`, `storage` and `image:<name>` of the boot set.
///
/// # Errors
/// What it was not given, or why it cannot receive; for people.
pub async fn main(process: Process) -> Result<(), String> {
    let spawner = equip(&process)?;
    let inbox = spawner.0;
    let service = Service::new(spawner.1);
    process.ready().await.map_err(|error| format!("init does not hear: {error}"))?;
    let server = Server(service.clone());
    let interface = libprocess::interfaces::process::lifecycle::Serve(&server);
    libprocess::serve_with(inbox, interface, Supervision(service))
        .await
        .map_err(|error| format!("the process service cannot receive: {error}"))
}

/// Takes what the service was given.
fn equip(process: &Process) -> Result<(Cap<Endpoint>, Spawner), String> {
    let failed = |error: Error| format!("the process service cannot begin: {error}");
    let inbox = process.capability::<Endpoint>("endpoint").map_err(|missing| missing.to_string())?;
    let endpoint = inbox.derive(Rights::SEND.or(Rights::GRANT)).map_err(failed)?;
    // Held, so that its number stays its own.
    let storage = process.capability::<Any>("storage").ok();
    let storage = storage.and_then(|storage| Some((storage.inspect().ok()?.object, storage)));
    let mut images = BTreeMap::new();
    for name in process.capability_names() {
        if let Some(image) = name.strip_prefix("image:")
            && let Ok(capability) = process.capability(&name)
        {
            images.insert(image.to_string(), capability);
        }
    }
    let spawner = Spawner {
        quota: process.quota().derive(Rights::ALL).map_err(failed)?,
        endpoint_object: endpoint.inspect().map_err(failed)?.object,
        endpoint,
        storage,
        images,
    };
    Ok((inbox, spawner))
}
