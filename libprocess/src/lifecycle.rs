//! What init and a service say to each other beside the service's own interfaces: the capability
//! `ready` through which the service speaks, and what init asks on the service's endpoint.

use crate::capability::{Cap, Endpoint};
use crate::client::Connection;
use crate::interfaces::init::{lifecycle_events, readiness, service_events};
use crate::service::Request;
use crate::{context, system};
use alloc::vec::Vec;
use core::time::Duration;

/// What init asks of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// To end, within so long.
    Stop(Duration),
    /// To say that it is well.
    Health(u32),
    /// To let go of everything, within so long: another process takes over.
    HandOver(Duration),
    /// What it asked of the process that received here before.
    Stale,
}

/// Tells this module what the process was given under `ready`.
pub(crate) fn equip(ready: Option<Cap<Endpoint>>) {
    context::with(|context| *context.init.borrow_mut() = ready.map(Connection::new));
}

/// The way to init, if the process is a service. init may hold an answer for as long as an upgrade
/// takes, and has time-outs of its own for that.
pub(crate) fn client() -> Option<readiness::Client> {
    let connection = context::with(|context| context.init.borrow().clone()).flatten()?;
    Some(readiness::Client::over(&connection).within(Duration::MAX))
}

/// Answers init's question whether the service is well.
pub(crate) async fn healthy(round: u32, detail: &str) {
    let connection = context::with(|context| context.init.borrow().clone()).flatten();
    if let Some(connection) = connection {
        // One that finds no room counts as missed, and the next is asked for.
        let _ = service_events::Client::over(&connection).healthy(round, detail).await;
    }
}

/// Tells init that everything is let go. Returns if nothing comes of the upgrade.
pub(crate) async fn released(state: Vec<u8>) {
    if let Some(init) = client() {
        // An error is as good as an answer: whoever still runs, serves.
        let _ = init.released(&state).await;
    }
}

/// Tells init that nothing is let go, and why.
pub(crate) async fn keeps(reason: &str) {
    if let Some(init) = client() {
        let _ = init.keeps(reason).await;
    }
}

/// What init asks, if this is it asking. Only init has the service's endpoint without a badge.
pub(crate) fn order(request: &Request) -> Option<Order> {
    use lifecycle_events::tags;
    if request.is_call() || request.caller().badge != 0 {
        return None;
    }
    match request.number() {
        tags::STOP => Some(addressed(request).map_or(Order::Stale, Order::Stop)),
        tags::HAND_OVER => Some(addressed(request).map_or(Order::Stale, Order::HandOver)),
        tags::HEALTH => request.decode().ok().map(|(round,)| Order::Health(round)),
        _ => None,
    }
}

/// The time that an order gives, if it is for this process.
fn addressed(request: &Request) -> Option<Duration> {
    let (milliseconds, process): (u32, u64) = request.decode().ok()?;
    let own = system::info().is_ok_and(|own| own.serial == process);
    own.then(|| Duration::from_millis(u64::from(milliseconds)))
}
