//! derive, delete, revoke, destroy, inspect.

use super::machine::{Machine, deriving, message, moving};
use crate::Effect;
use crate::capability::MAX_DERIVATION;
use abi::{Error, FOREVER, Handle, Kind, Message, Request, Returned, Rights};
use alloc::vec;

fn info(machine: &mut Machine, slot: u32, ancestor: u32) -> abi::CapabilityInfo {
    match machine.ok(machine.init, Request::Inspect { process: Handle::NONE, slot, ancestor }) {
        Returned::Capability(info) => info,
        other => panic!("{other:?}"),
    }
}

#[test]
fn derive_gives_fewer_rights_a_badge_and_a_sooner_end() {
    let mut m = Machine::new();
    let init = m.init;
    let endpoint = m.endpoint(init, m.quota, 4);
    let derived = m.handle(init, Request::Derive { source: endpoint, rights: Rights::SEND, badge: 7, expiry: 1000 });
    let seen = info(&mut m, derived.slot(), 0);
    assert_eq!((seen.rights, seen.badge, seen.expiry, seen.kind), (Rights::SEND, 7, 1000, Kind::Endpoint));
    let parent = info(&mut m, derived.slot(), 1);
    assert_eq!(Some(parent.capability), seen.parent);
    assert_eq!(parent.handle, endpoint);
}

#[test]
fn derive_refuses() {
    let mut m = Machine::new();
    let init = m.init;
    let endpoint = m.endpoint(init, m.quota, 4);
    let sender = m.handle(init, Request::Derive { source: endpoint, rights: Rights::SEND, badge: 7, expiry: 1000 });
    let derive = |source, rights, badge, expiry| Request::Derive { source, rights, badge, expiry };
    m.refused(init, derive(Handle::new(999, 1), Rights::SEND, 0, FOREVER), Error::BadHandle);
    m.refused(init, derive(Handle::NONE, Rights::SEND, 0, FOREVER), Error::BadHandle);
    m.refused(init, derive(sender, Rights::RECEIVE, 0, FOREVER), Error::MissingRight);
    m.refused(init, derive(sender, Rights::SEND, 8, FOREVER), Error::InvalidArgument);
    m.refused(init, derive(sender, Rights::SEND, 0, 1001), Error::InvalidArgument);
    m.refused(init, derive(sender, Rights::SEND, 0, 0), Error::InvalidArgument);
    m.now = 1000;
    m.refused(init, derive(sender, Rights::SEND, 0, FOREVER), Error::Expired);
    m.ok(init, Request::Delete { handle: sender });
    m.refused(init, derive(sender, Rights::SEND, 0, FOREVER), Error::StaleHandle);
}

#[test]
fn derive_stops_at_the_limit_of_the_table() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let supervisor = m.endpoint(init, quota, 4);
    let (_, child, handles) = m.child(supervisor, &[(supervisor, Rights::SEND)]);
    for _ in 1..32 {
        m.derive(child, handles[0], Rights::SEND, 0);
    }
    let again = Request::Derive { source: handles[0], rights: Rights::SEND, badge: 0, expiry: FOREVER };
    m.refused(child, again, Error::QuotaExceeded);
}

#[test]
fn what_is_derived_from_what_was_derived_has_an_end() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let endpoint = m.endpoint(init, quota, 1);
    let all = Rights::ALL;
    let mut chain = vec![endpoint];
    for _ in 0..MAX_DERIVATION {
        chain.push(m.derive(init, chain[chain.len() - 1], all, 0));
    }
    let deepest = chain[chain.len() - 1];
    let derive = Request::Derive { source: deepest, rights: all, badge: 0, expiry: FOREVER };
    m.refused(init, derive, Error::QuotaExceeded);
    let process = m.create(endpoint);
    let grant = Request::ProcessGrant { process, source: deepest, rights: all, badge: 0, expiry: FOREVER };
    m.refused(init, grant, Error::QuotaExceeded);
    let offers = [deriving(deepest, all)];
    let offer = Message { tag: 0, length: 0, transfers: &offers };
    m.refused(init, Request::Send { endpoint, message: offer, timeout: 0 }, Error::QuotaExceeded);
    // One less above it, and it may.
    m.ok(init, Request::Delete { handle: chain[7] });
    let last = m.derive(init, deepest, all, 0);
    assert_eq!(m.ok(init, Request::Revoke { handle: endpoint }), Returned::Value(u64::from(MAX_DERIVATION) + 1));
    m.refused(init, Request::Delete { handle: last }, Error::StaleHandle);
}

#[test]
fn revoke_drops_the_youngest_first() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let root = m.endpoint(init, quota, 1);
    let [a, b] = [0; 2].map(|_| m.derive(init, root, Rights::ALL, 0));
    let tree = [a, b].map(|parent| [0; 2].map(|_| m.derive(init, parent, Rights::ALL, 0)));
    let deep = m.derive(init, tree[0][1], Rights::ALL, 0);
    // The slots are free in the order in which their capabilities went: who was derived last stands first.
    let order = [tree[1][1], tree[1][0], b, deep, tree[0][1], tree[0][0], a];
    assert_eq!(m.ok(init, Request::Revoke { handle: root }), Returned::Value(7));
    let freed = order.map(|_| m.derive(init, root, Rights::ALL, 0).slot());
    assert_eq!(freed, order.map(|handle| handle.slot()));
}

#[test]
fn delete_hands_children_to_the_parent() {
    let mut m = Machine::new();
    let init = m.init;
    let endpoint = m.endpoint(init, m.quota, 4);
    let middle = m.derive(init, endpoint, Rights::ALL, 0);
    let leaf = m.derive(init, middle, Rights::SEND, 0);
    m.ok(init, Request::Delete { handle: middle });
    let seen = info(&mut m, leaf.slot(), 1);
    assert_eq!(seen.handle, endpoint);
    m.refused(init, Request::Delete { handle: middle }, Error::StaleHandle);
    m.refused(init, Request::Delete { handle: Handle::new(4000, 1) }, Error::BadHandle);
}

#[test]
fn an_object_goes_with_its_last_capability() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let region = m.handle(init, Request::RegionCreate { quota, pages: 3 });
    let other = m.derive(init, region, Rights::READ, 0);
    m.ok(init, Request::Delete { handle: region });
    assert!(!m.effects.iter().any(|effect| matches!(effect, Effect::RegionGone(_))));
    m.ok(init, Request::Delete { handle: other });
    assert!(m.effects.iter().any(|effect| matches!(effect, Effect::RegionGone(_))));
}

#[test]
fn revoke_drops_all_descendants_in_whatever_process() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let endpoint = m.endpoint(init, quota, 4);
    let shared = m.derive(init, endpoint, Rights::ALL, 0);
    let (_, child, handles) = m.child(endpoint, &[(shared, Rights::SEND), (shared, Rights::RECEIVE)]);
    m.derive(child, handles[0], Rights::SEND, 5);
    m.blocks(child, Request::Receive { endpoint: handles[1], timeout: FOREVER });
    assert_eq!(m.ok(init, Request::Revoke { handle: shared }), Returned::Value(3));
    assert_eq!(m.completion(child), Err(Error::Revoked), "who waits through what is revoked wakes");
    m.refused(child, Request::Receive { endpoint: handles[1], timeout: FOREVER }, Error::StaleHandle);
    assert_eq!(m.ok(init, Request::Revoke { handle: shared }), Returned::Value(0));
    m.refused(init, Request::Revoke { handle: Handle::NONE }, Error::BadHandle);
    m.ok(init, Request::Delete { handle: shared });
    m.refused(init, Request::Revoke { handle: shared }, Error::StaleHandle);
}

#[test]
fn revoke_reaches_what_is_offered_in_a_queued_message() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let endpoint = m.endpoint(init, quota, 4);
    let gift = m.notification(init, quota);
    let (_, child, handles) = m.child(endpoint, &[(endpoint, Rights::SEND.or(Rights::GRANT)), (gift, Rights::SIGNAL)]);
    let transfers = [moving(handles[1]), deriving(handles[0], Rights::SEND)];
    let message = abi::Message { tag: 1, length: 0, transfers: &transfers };
    m.blocks(child, Request::Call { endpoint: handles[0], message, timeout: FOREVER });
    m.ok(init, Request::Revoke { handle: gift });
    m.blocks(init, Request::Receive { endpoint, timeout: FOREVER });
    assert_eq!(m.delivery(init).capabilities, 2);
    let arrived = m.kernel.handles(init);
    assert_eq!(arrived[0], Handle::NONE, "what was revoked does not arrive");
    assert_ne!(arrived[1], Handle::NONE);
}

#[test]
fn destroy_takes_every_capability_and_wakes_who_waits() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let supervisor = m.endpoint(init, quota, 4);
    let endpoint = m.endpoint(init, quota, 4);
    let sender = m.derive(init, endpoint, Rights::SEND, 0);
    let (_, child, handles) = m.child(supervisor, &[(endpoint, Rights::SEND)]);
    m.blocks(child, Request::Call { endpoint: handles[0], message: message(1), timeout: FOREVER });
    m.refused(init, Request::Destroy { handle: sender }, Error::MissingRight);
    m.ok(init, Request::Destroy { handle: endpoint });
    assert_eq!(m.completion(child), Err(Error::Revoked));
    m.refused(init, Request::Destroy { handle: endpoint }, Error::StaleHandle);
    m.refused(init, Request::Destroy { handle: Handle::NONE }, Error::BadHandle);
    m.refused(init, Request::Delete { handle: sender }, Error::StaleHandle);
    m.refused(init, Request::Destroy { handle: quota }, Error::InvalidArgument);
    let brief = m.handle(init, Request::Derive { source: supervisor, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, Request::Destroy { handle: brief }, Error::Expired);
}

#[test]
fn inspect_walks_a_table() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let endpoint = m.endpoint(init, quota, 4);
    let (process, child, _) = m.child(endpoint, &[(endpoint, Rights::SEND)]);
    let inspect = |process, slot, ancestor| Request::Inspect { process, slot, ancestor };
    let Returned::Capability(seen) = m.ok(init, inspect(process, 0, 0)) else { panic!() };
    assert_eq!((seen.kind, seen.rights, seen.holder), (Kind::Endpoint, Rights::SEND, 2));
    m.refused(init, inspect(process, 1, 0), Error::BadHandle);
    m.refused(init, inspect(process, 0, 9), Error::BadHandle);
    m.refused(init, inspect(endpoint, 0, 0), Error::WrongKind);
    let managed = m.derive(init, process, Rights::MANAGE, 0);
    m.refused(init, inspect(managed, 0, 0), Error::MissingRight);
    let brief = m.handle(init, Request::Derive { source: process, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, inspect(brief, 0, 0), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, inspect(brief, 0, 0), Error::StaleHandle);
    assert!(m.kernel.process_of(child).is_some());
}

#[test]
fn a_handle_never_names_what_came_later_to_its_slot() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let first = m.notification(init, quota);
    m.ok(init, Request::Delete { handle: first });
    let second = m.notification(init, quota);
    assert_eq!(first.slot(), second.slot(), "the slot is used again");
    assert_ne!(first, second);
    m.refused(init, Request::Poll { notification: first }, Error::StaleHandle);
}

#[test]
fn a_slot_whose_generations_are_spent_is_retired() {
    use crate::table::{Slot, Table};
    use crate::{CapabilityId, Kernel, Platform};
    let mut table = Table::new();
    table.slots.push(Slot { generation: u32::MAX, capability: CapabilityId(0) });
    table.used = 1;
    let mut kernel = Kernel::new(Platform::NATIVE);
    kernel.authority.tables.push(table);
    let last = Handle::new(0, u32::MAX);
    assert_eq!(kernel.authority.tables[0].resolve(last), Ok(CapabilityId(0)));
    kernel.authority.tables[0].empty(0);
    assert_eq!(kernel.authority.tables[0].resolve(last), Err(Error::StaleHandle));
    assert_eq!(kernel.authority.tables[0].vacant(0), 1, "the slot is not used again");
}
