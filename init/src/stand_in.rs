//! Stands in for a service that is down: whoever calls the service is told at once how
//! things are, rather than left to wait in the queue of an endpoint that nobody receives
//! from.
//!
//! A process receives from one endpoint, so init cannot do this itself. It starts a process
//! of its own image for each service that is down, which holds the right to receive from that
//! service's endpoint and nothing else, and ends it before the service is started.

use alloc::format;
use alloc::string::{String, ToString};
use libprocess::abi::info::Limits;
use libprocess::client::Refusal;
use libprocess::{Cap, Endpoint, Error, Inbox, Incoming, Process};

/// The name under which a stand-in finds the endpoint. A process that was given it is one.
pub const ENDPOINT: &str = "stand-in";
/// Kernel memory of a stand-in, in bytes.
pub const MEMORY: u64 = 512 << 10;
/// Memory of a stand-in, in pages: room for init's image.
pub const PAGES: u64 = 2048;
/// What else it may have.
pub const LIMITS: Limits = Limits { capabilities: 8, queued_messages: 1, ..Limits::DEFAULT };

/// What a stand-in is called.
pub fn name(service: &str) -> String {
    format!("no-{service}")
}

/// What it is told to answer.
pub fn argument(refusal: Refusal) -> String {
    (refusal as u32).to_string()
}

/// Refuses whatever comes until it is ended. It hears no order to stop: what is still in the
/// queue was meant for the service.
pub async fn main(process: &Process, endpoint: Cap<Endpoint>) -> Result<(), Error> {
    let number = process.arguments().first().and_then(|number| number.parse().ok());
    let refusal = number.and_then(Refusal::from_number).unwrap_or(Refusal::Stopped);
    let mut inbox = Inbox::open(endpoint)?;
    loop {
        // The end of a process that the service supervised is news for nobody any more; one that
        // faulted is killed, as it is when nobody says otherwise.
        if let Incoming::Request(request) = inbox.next().await? {
            request.refuse(refusal);
        }
    }
}
