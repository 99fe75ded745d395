//! Notifications, regions, images, interrupts, devices, quotas, the log, the set-up.

use super::errors::refuses_bad_handles;
use super::machine::{DEVICE, LINE, Machine, message, moving};
use crate::{Effect, Input, InterruptId, Kernel, Platform, Setup, ThreadId};
use abi::device::{ABOUT, CLASS, Operation};
use abi::message::MAX_BYTES;
use abi::{DeliveryKind, Error, FOREVER, Handle, Message, Name, QuotaInfo, Request, Returned, Rights};
use alloc::vec;

#[test]
fn notifications_gather_bits_and_wake_who_waits() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let bits = m.notification(init, quota);
    let supervisor = m.endpoint(init, quota, 1);
    let (_, child, handles) = m.child(supervisor, &[(bits, Rights::WAIT)]);
    m.blocks(child, Request::Wait { notification: handles[0], timeout: FOREVER });
    m.ok(init, Request::Signal { notification: bits, bits: 5 });
    assert_eq!(m.completion(child), Ok(Returned::Value(5)));
    m.ok(init, Request::Signal { notification: bits, bits: 1 });
    m.ok(init, Request::Signal { notification: bits, bits: 8 });
    assert_eq!(m.ok(child, Request::Poll { notification: handles[0] }), Returned::Value(9));
    assert_eq!(m.ok(child, Request::Poll { notification: handles[0] }), Returned::Value(0));
    m.ok(init, Request::Signal { notification: bits, bits: 2 });
    assert_eq!(m.ok(child, Request::Wait { notification: handles[0], timeout: 0 }), Returned::Value(2));
    m.refused(child, Request::Wait { notification: handles[0], timeout: 0 }, Error::WouldBlock);
    m.blocks(child, Request::Wait { notification: handles[0], timeout: 10 });
    m.tick(20);
    assert_eq!(m.completion(child), Err(Error::TimedOut));
}

#[test]
fn signal_wait_and_poll_refuse() {
    let mut m = Machine::new();
    let bits = m.notification(m.init, m.quota);
    m.refused(m.init, Request::Signal { notification: bits, bits: 0 }, Error::InvalidArgument);
    refuses_bad_handles(&mut m, bits, Rights::WAIT, |notification| Request::Signal { notification, bits: 1 });
    refuses_bad_handles(&mut m, bits, Rights::SIGNAL, |notification| Request::Wait { notification, timeout: 0 });
    refuses_bad_handles(&mut m, bits, Rights::SIGNAL, |notification| Request::Poll { notification });
}

#[test]
fn receivers_wake_for_the_bound_notification() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (bits, endpoint) = (m.notification(init, quota), m.endpoint(init, quota, 2));
    let supervisor = m.endpoint(init, quota, 1);
    let (_, child, handles) = m.child(supervisor, &[(endpoint, Rights::ALL), (bits, Rights::SIGNAL)]);
    m.ok(init, Request::Signal { notification: bits, bits: 1 });
    m.ok(init, Request::NotificationBind { notification: bits, endpoint });
    m.blocks(init, Request::Receive { endpoint, timeout: FOREVER });
    let delivery = m.delivery(init);
    assert_eq!((delivery.kind, delivery.tag), (DeliveryKind::Notified, 1), "bits from before the binding count");
    m.blocks(init, Request::Receive { endpoint, timeout: FOREVER });
    m.ok(child, Request::Signal { notification: handles[1], bits: 6 });
    assert_eq!(m.delivery(init).tag, 6);
    // In turn with messages, and once for however many signals.
    m.ok(child, Request::Send { endpoint: handles[0], message: message(9), timeout: 0 });
    m.ok(child, Request::Signal { notification: handles[1], bits: 1 });
    m.ok(child, Request::Signal { notification: handles[1], bits: 2 });
    let mut kinds = alloc::vec::Vec::new();
    for _ in 0..2 {
        m.blocks(init, Request::Receive { endpoint, timeout: FOREVER });
        let delivery = m.delivery(init);
        kinds.push((delivery.kind, delivery.tag));
    }
    assert_eq!(kinds, [(DeliveryKind::Sent, 9), (DeliveryKind::Notified, 3)]);
    m.ok(init, Request::NotificationUnbind { notification: bits });
    m.ok(child, Request::Signal { notification: handles[1], bits: 1 });
    m.refused(init, Request::Receive { endpoint, timeout: 0 }, Error::WouldBlock);
}

#[test]
fn bind_and_unbind_refuse() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (bits, endpoint) = (m.notification(init, quota), m.endpoint(init, quota, 2));
    let bind = |notification, endpoint| Request::NotificationBind { notification, endpoint };
    m.refused(init, Request::NotificationUnbind { notification: bits }, Error::NotBound);
    refuses_bad_handles(&mut m, bits, Rights::SIGNAL, |notification| bind(notification, endpoint));
    refuses_bad_handles(&mut m, endpoint, Rights::SEND, |endpoint| bind(bits, endpoint));
    refuses_bad_handles(&mut m, bits, Rights::SIGNAL, |notification| Request::NotificationUnbind { notification });
    m.ok(init, bind(bits, endpoint));
    m.refused(init, bind(bits, endpoint), Error::AlreadyBound);
    let other = m.notification(init, quota);
    m.refused(init, bind(other, endpoint), Error::AlreadyBound);
    m.ok(init, Request::Destroy { handle: endpoint });
    let endpoint = m.endpoint(init, quota, 2);
    m.ok(init, bind(bits, endpoint));
}

#[test]
fn making_objects_refuses() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 100, pages: 1 });
    let calls: [fn(Handle) -> Request<'static>; 4] = [
        |quota| Request::EndpointCreate { quota, depth: 1 },
        |quota| Request::NotificationCreate { quota },
        |quota| Request::RegionCreate { quota, pages: 1 },
        |quota| Request::QuotaSplit { quota, memory: 1000, pages: 0 },
    ];
    for call in calls {
        refuses_bad_handles(&mut m, quota, Rights::INSPECT, call);
        m.refused(init, call(poor), Error::QuotaExceeded);
    }
    m.refused(init, Request::EndpointCreate { quota, depth: (1 << 16) + 1 }, Error::InvalidArgument);
    m.refused(init, Request::RegionCreate { quota, pages: 0 }, Error::InvalidArgument);
    m.refused(init, Request::RegionCreate { quota, pages: 1 << 60 }, Error::InvalidArgument);
    m.refused(init, Request::RegionCreate { quota, pages: 1 << 20 }, Error::QuotaExceeded);
    m.refused(init, Request::QuotaSplit { quota, memory: u64::MAX, pages: 0 }, Error::QuotaExceeded);
    // A table with no slot left.
    let supervisor = m.endpoint(init, quota, 1);
    let (_, child, handles) = m.child(supervisor, &[(quota, Rights::ALL)]);
    for _ in 1..32 {
        m.notification(child, handles[0]);
    }
    for call in calls {
        m.refused(child, call(handles[0]), Error::QuotaExceeded);
    }
}

#[test]
fn quotas_split_and_return() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let info = |m: &mut Machine, quota| match m.ok(m.init, Request::QuotaInspect { quota }) {
        Returned::Quota(info) => info,
        other => panic!("{other:?}"),
    };
    let before = info(&mut m, quota);
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 10_000, pages: 7 });
    assert_eq!(info(&mut m, part), QuotaInfo { memory: 10_000, memory_used: 0, pages: 7, pages_used: 0 });
    let after = info(&mut m, quota);
    assert_eq!(after.memory_used - before.memory_used, 10_000 + crate::quota::OBJECT_PRICE);
    assert_eq!(after.pages_used - before.pages_used, 7);
    let region = m.handle(init, Request::RegionCreate { quota: part, pages: 5 });
    let nested = m.handle(init, Request::QuotaSplit { quota: part, memory: 1000, pages: 1 });
    let deep = m.notification(init, nested);
    assert_eq!(info(&mut m, part).pages_used, 6);
    m.ok(init, Request::Destroy { handle: part });
    for handle in [region, nested, deep] {
        m.refused(init, Request::Delete { handle }, Error::StaleHandle);
    }
    assert_eq!(info(&mut m, quota), before);
    refuses_bad_handles(&mut m, quota, Rights::SPLIT, |quota| Request::QuotaInspect { quota });
}

#[test]
fn quotas_that_go_at_once_leave_nothing_in_whatever_order() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let mut m = Machine::new();
        let (init, quota) = (m.init, m.quota);
        let supervisor = m.endpoint(init, quota, 4);
        let before = m.ok(init, Request::QuotaInspect { quota });
        let part = m.handle(init, Request::QuotaSplit { quota, memory: 1 << 20, pages: 10 });
        let (process, child, handles) = m.child(supervisor, &[(part, Rights::ALL)]);
        // A chain of four, whose capabilities stand in this order in the table of who holds them alone.
        let mut chain = vec![handles[0]];
        for level in 0..4 {
            let split = Request::QuotaSplit { quota: chain[level], memory: 10_000 >> level, pages: 0 };
            chain.push(m.handle(child, split));
        }
        for at in order {
            let moved = m.derive(child, chain[at + 1], Rights::ALL, 0);
            m.ok(child, Request::Delete { handle: chain[at + 1] });
            chain[at + 1] = moved;
        }
        m.ok(init, Request::Delete { handle: part });
        m.ok(init, Request::ProcessKill { process, code: 0 });
        m.ok(init, Request::Delete { handle: process });
        m.blocks(init, Request::Receive { endpoint: supervisor, timeout: FOREVER });
        assert_eq!(m.ok(init, Request::QuotaInspect { quota }), before, "{order:?}");
    }
}

/// A quota and one that was split from it go in one change, that below first: what an end that nobody has read yet takes is
/// charged to the first above that stays.
#[test]
fn what_is_spared_of_quotas_that_go_finds_who_is_above_them() {
    let mut m = Machine::new();
    let (init, quota, image) = (m.init, m.quota, m.image);
    let supervisor = m.endpoint(init, quota, 4);
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 2 << 20, pages: 100 });
    let grants = [(part, Rights::ALL), (image, Rights::ALL), (supervisor, Rights::SEND.or(Rights::GRANT))];
    let (process, child, handles) = m.child(supervisor, &grants);
    let &[part_of_child, image, tells] = handles.as_slice() else { unreachable!() };
    let above = m.handle(child, Request::QuotaSplit { quota: part_of_child, memory: 1 << 20, pages: 20 });
    let below = m.handle(child, Request::QuotaSplit { quota: above, memory: 1 << 19, pages: 10 });
    let (name, limits) = (Name::new("last"), abi::info::Limits { capabilities: 8, ..abi::info::Limits::DEFAULT });
    let create = Request::ProcessCreate { image, quota: below, supervisor: tells, name, limits };
    let last = m.handle(child, create);
    m.ok(child, Request::ProcessStart { process: last, length: 0 });
    // Somebody else holds the process, so that it ends because of its quota.
    m.blocks(init, Request::Receive { endpoint: supervisor, timeout: FOREVER });
    let transfers = [moving(last)];
    let message = Message { tag: 1, length: 0, transfers: &transfers };
    m.ok(child, Request::Send { endpoint: tells, message, timeout: FOREVER });
    // Who ends drops its capabilities in the order of their slots.
    let above_again = m.derive(child, above, Rights::ALL, 0);
    m.ok(child, Request::Delete { handle: above });
    let below_again = m.derive(child, below, Rights::ALL, 0);
    m.ok(child, Request::Delete { handle: below });
    assert!(below_again.slot() < above_again.slot());
    m.ok(init, Request::ProcessKill { process, code: 0 });
    for _ in 0..2 {
        m.blocks(init, Request::Receive { endpoint: supervisor, timeout: FOREVER });
        assert_eq!(m.delivery(init).tag, abi::message::TAG_EXIT);
    }
}

#[test]
fn regions_are_read_and_written_by_copy_within_their_bounds() {
    let mut m = Machine::on(Platform::WASM);
    let (init, quota) = (m.init, m.quota);
    let region = m.handle(init, Request::RegionCreate { quota, pages: 32 });
    let id = crate::RegionId(0);
    assert!(m.has_effect(Effect::RegionCreated { region: id, pages: 32 }));
    let read = |region, offset, length| Request::RegionRead { region, offset, length };
    let write = |region, offset, length| Request::RegionWrite { region, offset, length };
    assert_eq!(
        m.hosted(init, read(region, 4, 100)),
        Effect::RegionRead { thread: init, region: id, offset: 4, length: 100 }
    );
    assert_eq!(
        m.hosted(init, write(region, 0, 5)),
        Effect::RegionWrite { thread: init, region: id, offset: 0, length: 5 }
    );
    for call in [read, write] {
        m.refused(init, call(region, 32 * 4096 - 3, 4), Error::InvalidArgument);
        m.refused(init, call(region, u64::MAX, 4), Error::InvalidArgument);
        m.refused(init, call(region, 0, MAX_BYTES as u32 + 1), Error::TooLarge);
    }
    refuses_bad_handles(&mut m, region, Rights::WRITE, |region| read(region, 0, 1));
    refuses_bad_handles(&mut m, region, Rights::READ, |region| write(region, 0, 1));
    let map = Request::RegionMap { region, address: 0x10_0000, rights: Rights::READ };
    m.refused(init, map, Error::Unsupported);
    m.refused(init, Request::RegionUnmap { region, address: 0x10_0000 }, Error::Unsupported);
}

#[test]
fn mappings_hang_on_their_capability() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let region = m.handle(init, Request::RegionCreate { quota, pages: 2 });
    let id = crate::RegionId(0);
    let shared = m.derive(init, region, Rights::ALL, 0);
    let supervisor = m.endpoint(init, quota, 1);
    let (_, child, handles) = m.child(supervisor, &[(shared, Rights::READ.or(Rights::WRITE))]);
    let map = |region, address, rights| Request::RegionMap { region, address, rights };
    let both = Rights::READ.or(Rights::WRITE);
    m.ok(child, map(handles[0], 0x1000, both));
    assert!(m.has_effect(Effect::Map { process: crate::ProcessId(1), region: id, address: 0x1000, rights: both }));
    // Written there, it can be executed nowhere.
    m.refused(init, map(region, 0x8000, Rights::READ.or(Rights::EXECUTE)), Error::InvalidArgument);
    m.ok(init, map(region, 0x8000, Rights::READ));
    m.refused(init, map(region, 0x20_000, Rights::READ), Error::AlreadyBound);
    m.refused(init, map(shared, 0x9000, Rights::READ), Error::AlreadyBound);
    m.ok(init, map(shared, 0xA000, Rights::READ));
    m.refused(init, Request::RegionUnmap { region, address: 0x9000 }, Error::NotBound);
    m.ok(init, Request::RegionUnmap { region, address: 0x8000 });
    m.refused(init, Request::RegionUnmap { region, address: 0x8000 }, Error::NotBound);
    m.ok(init, Request::Revoke { handle: shared });
    assert!(m.has_effect(Effect::Unmap { process: crate::ProcessId(1), region: id, address: 0x1000 }));
    m.ok(init, Request::Delete { handle: shared });
    assert!(m.has_effect(Effect::Unmap { process: crate::ProcessId(0), region: id, address: 0xA000 }));
    m.ok(init, map(region, 0x8000, Rights::READ.or(Rights::EXECUTE)));
}

#[test]
fn region_map_refuses() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let region = m.handle(init, Request::RegionCreate { quota, pages: 2 });
    let map = |region, address, rights| Request::RegionMap { region, address, rights };
    for address in [0, 1, (1 << 47) - 4096, u64::MAX - 4095] {
        m.refused(init, map(region, address, Rights::READ), Error::InvalidArgument);
    }
    m.refused(init, map(region, 0x1000, Rights::NONE), Error::InvalidArgument);
    m.refused(init, map(region, 0x1000, Rights::MANAGE), Error::InvalidArgument);
    m.refused(init, map(region, 0x1000, Rights::WRITE.or(Rights::EXECUTE)), Error::InvalidArgument);
    let brief = m.handle(init, Request::Derive { source: region, rights: Rights::ALL, badge: 0, expiry: 1000 });
    m.refused(init, map(brief, 0x1000, Rights::READ), Error::InvalidArgument);
    refuses_bad_handles(&mut m, region, Rights::WRITE, |region| map(region, 0x1000, Rights::READ));
    m.refused(init, Request::RegionUnmap { region: Handle::NONE, address: 0 }, Error::BadHandle);
    m.refused(init, Request::RegionUnmap { region: quota, address: 0 }, Error::WrongKind);
}

#[test]
fn an_image_is_made_when_the_host_has_checked_it() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let region = m.handle(init, Request::RegionCreate { quota, pages: 4 });
    let name = Name::new("mine");
    let create = |quota, region, length| Request::ImageCreate { quota, region, length, name };
    m.blocks(init, create(quota, region, 10_000));
    assert!(m.has_effect(Effect::CheckImage { thread: init, region: crate::RegionId(0), length: 10_000 }));
    m.refused(init, Request::Yield, Error::InvalidArgument);
    m.input(&Input::HostDone { thread: init, result: Ok([9; 32]) }).unwrap();
    let Ok(Returned::Handle(image)) = m.completion(init) else { panic!() };
    assert!(m.has_effect(Effect::ImageCreated { image: crate::ImageId(2), hash: [9; 32] }));
    let Returned::Capability(seen) =
        m.ok(init, Request::Inspect { process: Handle::NONE, slot: image.slot(), ancestor: 0 })
    else {
        panic!()
    };
    assert_eq!(seen.name, name);

    m.blocks(init, create(quota, region, 10_000));
    m.input(&Input::HostDone { thread: init, result: Err(Error::InvalidArgument) }).unwrap();
    assert_eq!(m.completion(init), Err(Error::InvalidArgument));
    assert_eq!(
        m.input(&Input::HostDone { thread: init, result: Ok([9; 32]) }),
        Err(Error::InvalidArgument),
        "nobody waits"
    );
    assert_eq!(m.input(&Input::HostDone { thread: ThreadId(50), result: Ok([9; 32]) }), Err(Error::InvalidArgument));

    m.refused(init, create(quota, region, 0), Error::InvalidArgument);
    m.refused(init, create(quota, region, 4 * 4096 + 1), Error::InvalidArgument);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 10_000, pages: 1 });
    m.refused(init, create(poor, region, 10_000), Error::QuotaExceeded);
    refuses_bad_handles(&mut m, region, Rights::WRITE, |region| create(quota, region, 1));
    refuses_bad_handles(&mut m, quota, Rights::INSPECT, |quota| create(quota, region, 1));
}

#[test]
fn an_image_whose_quota_went_while_it_was_checked_is_not_made() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 100_000, pages: 10 });
    let region = m.handle(init, Request::RegionCreate { quota, pages: 4 });
    let supervisor = m.endpoint(init, quota, 1);
    let (_, child, handles) = m.child(supervisor, &[(part, Rights::ALL), (region, Rights::READ)]);
    m.blocks(child, Request::ImageCreate { quota: handles[0], region: handles[1], length: 100, name: Name::default() });
    m.ok(init, Request::Destroy { handle: part });
    m.input(&Input::HostDone { thread: child, result: Ok([9; 32]) }).unwrap();
    assert_eq!(m.completion(child), Err(Error::Revoked));
}

#[test]
fn interrupts_signal_and_are_acknowledged() {
    let mut m = Machine::new();
    let (init, quota, interrupt) = (m.init, m.quota, m.interrupt);
    let bits = m.notification(init, quota);
    let bind = |interrupt, notification, bits| Request::InterruptBind { interrupt, notification, bits };
    m.refused(init, Request::InterruptAcknowledge { interrupt }, Error::NotBound);
    m.refused(init, Request::InterruptUnbind { interrupt }, Error::NotBound);
    m.refused(init, bind(interrupt, bits, 0), Error::InvalidArgument);
    m.ok(init, bind(interrupt, bits, 4));
    assert!(m.has_effect(Effect::Line { line: LINE, open: true }));
    m.refused(init, bind(interrupt, bits, 4), Error::AlreadyBound);
    m.input(&Input::Interrupt(LINE)).unwrap();
    m.input(&Input::Interrupt(LINE)).unwrap();
    assert_eq!(m.ok(init, Request::Poll { notification: bits }), Returned::Value(4));
    m.input(&Input::Interrupt(LINE)).unwrap();
    assert_eq!(
        m.ok(init, Request::Poll { notification: bits }),
        Returned::Value(0),
        "it is held back until it is acknowledged"
    );
    m.ok(init, Request::InterruptAcknowledge { interrupt });
    m.ok(init, Request::InterruptAcknowledge { interrupt });
    m.input(&Input::Interrupt(LINE)).unwrap();
    assert_eq!(m.ok(init, Request::Poll { notification: bits }), Returned::Value(4));
    assert_eq!(m.input(&Input::Interrupt(InterruptId(70))), Err(Error::InvalidArgument));
    m.ok(init, Request::Destroy { handle: bits });
    m.refused(init, Request::InterruptUnbind { interrupt }, Error::NotBound);
    let bits = m.notification(init, quota);
    refuses_bad_handles(&mut m, interrupt, Rights::ACKNOWLEDGE, |interrupt| bind(interrupt, bits, 1));
    refuses_bad_handles(&mut m, bits, Rights::WAIT, |bits| bind(interrupt, bits, 1));
    refuses_bad_handles(&mut m, interrupt, Rights::ACKNOWLEDGE, |interrupt| Request::InterruptUnbind { interrupt });
    refuses_bad_handles(&mut m, interrupt, Rights::BIND, |interrupt| Request::InterruptAcknowledge { interrupt });
    m.ok(init, bind(interrupt, bits, 4));
    m.ok(init, Request::InterruptUnbind { interrupt });
    assert!(m.has_effect(Effect::Line { line: LINE, open: false }));
}

#[test]
fn devices_are_the_hosts_to_work() {
    let mut m = Machine::new();
    let (init, device) = (m.init, m.device);
    let (thread, a, b) = (init, 1, 2);
    let submit = |device, operation, length| Request::DeviceSubmit { device, operation, a, b, length };
    let read = m.hosted(init, Request::DeviceRead { device, register: 3 });
    assert_eq!(read, Effect::DeviceRead { thread, device: DEVICE, register: 3 });
    let write = m.hosted(init, Request::DeviceWrite { device, register: 3, value: 4 });
    assert_eq!(write, Effect::DeviceWrite { thread, device: DEVICE, register: 3, value: 4 });
    let operation = Operation::Write;
    assert_eq!(
        m.hosted(init, submit(device, operation, 512)),
        Effect::DeviceSubmit { thread, device: DEVICE, operation, a, b, length: 512 }
    );
    assert_eq!(m.hosted(init, Request::DeviceComplete { device }), Effect::DeviceComplete { thread, device: DEVICE });
    m.refused(init, submit(device, operation, MAX_BYTES as u32 + 1), Error::TooLarge);
    refuses_bad_handles(&mut m, device, Rights::WRITE, |device| Request::DeviceRead { device, register: 0 });
    refuses_bad_handles(&mut m, device, Rights::READ, |device| Request::DeviceWrite { device, register: 0, value: 0 });
    refuses_bad_handles(&mut m, device, Rights::WRITE, |device| submit(device, Operation::Read, 0));
    refuses_bad_handles(&mut m, device, Rights::READ, |device| submit(device, Operation::Flush, 0));
    refuses_bad_handles(&mut m, device, Rights::MANAGE, |device| Request::DeviceComplete { device });
    let writer = m.derive(init, device, Rights::WRITE, 0);
    m.hosted(init, Request::DeviceComplete { device: writer });
    // What the device is, a writer may know; and nothing above the last of those registers.
    for register in [ABOUT, CLASS] {
        m.hosted(init, Request::DeviceRead { device: writer, register });
        refuses_bad_handles(&mut m, device, Rights::MANAGE, |device| Request::DeviceRead { device, register });
    }
    for register in [ABOUT - 1, CLASS + 1] {
        m.refused(init, Request::DeviceRead { device: writer, register }, Error::MissingRight);
    }
}

#[test]
fn a_device_is_told_of_pages_that_its_holder_may_read_and_write() {
    let mut m = Machine::new();
    let (thread, quota, device) = (m.init, m.quota, m.device);
    let region = m.handle(thread, Request::RegionCreate { quota, pages: 2 });
    let address = |device, region, page| Request::DeviceAddress { device, region, page };
    let Effect::RegionRead { region: id, .. } = m.hosted(thread, Request::RegionRead { region, offset: 0, length: 0 })
    else {
        panic!("a region is read by the host");
    };
    let told = m.hosted(thread, address(device, region, 1));
    assert_eq!(told, Effect::DeviceAddress { thread, device: DEVICE, region: id, page: 1 });
    for page in [2, u64::MAX, u64::MAX / 4096, 1 << 52] {
        m.refused(thread, address(device, region, page), Error::InvalidArgument);
    }
    refuses_bad_handles(&mut m, device, Rights::READ, |device| address(device, region, 0));
    refuses_bad_handles(&mut m, region, Rights::READ, |region| address(device, region, 0));
    refuses_bad_handles(&mut m, region, Rights::WRITE, |region| address(device, region, 0));
    // The device would go on using it when the capability is no longer good.
    let brief = Request::Derive { source: region, rights: Rights::ALL, badge: 0, expiry: m.now + 1000 };
    let brief = m.handle(thread, brief);
    m.refused(thread, address(device, brief, 0), Error::InvalidArgument);

    let mut m = Machine::on(Platform::WASM);
    let (thread, quota, device) = (m.init, m.quota, m.device);
    let region = m.handle(thread, Request::RegionCreate { quota, pages: 2 });
    m.refused(thread, address(device, region, 0), Error::Unsupported);
}

#[test]
fn the_log_is_read_by_who_may() {
    let mut m = Machine::new();
    let (init, log) = (m.init, m.log_handle);
    let read = |log, length| Request::LogRead { log, from: 7, length };
    assert_eq!(m.hosted(init, read(log, 100)), Effect::LogRead { thread: init, from: 7, length: 100 });
    m.refused(init, read(log, MAX_BYTES as u32 + 1), Error::TooLarge);
    refuses_bad_handles(&mut m, log, Rights::MANAGE, |log| read(log, 1));
}

#[test]
fn debug_output_is_limited_in_length_and_rate() {
    let mut m = Machine::new();
    let init = m.init;
    assert_eq!(m.hosted(init, Request::Debug { length: 10 }), Effect::Debug { thread: init, length: 10 });
    m.refused(init, Request::Debug { length: 1025 }, Error::TooLarge);
    for _ in 0..64 {
        m.hosted(init, Request::Debug { length: 10 });
    }
    m.refused(init, Request::Debug { length: 10 }, Error::WouldBlock);
    m.tick(crate::log::DEBUG_INTERVAL);
    m.hosted(init, Request::Debug { length: 10 });
}

#[test]
fn yield_with_nobody_else_changes_nothing() {
    let mut m = Machine::new();
    let log = m.log.len();
    assert_eq!(m.ok(m.init, Request::Yield), Returned::Nothing);
    assert_eq!(m.log.len(), log);
}

#[test]
fn init_is_given_itself_to_look_at_and_no_more() {
    let mut m = Machine::new();
    let itself = Handle::new(1, 1);
    let Returned::Process(info) = m.ok(m.init, Request::ProcessInspect { process: itself }) else { panic!() };
    assert_eq!(info.name, Name::new("init"));
    for request in [
        Request::ProcessKill { process: itself, code: 0 },
        Request::ProcessSuspend { process: itself },
        Request::ProcessGrant { process: itself, source: m.quota, rights: Rights::ALL, badge: 0, expiry: FOREVER },
    ] {
        m.refused(m.init, request, Error::MissingRight);
    }
}

#[test]
fn the_set_up_comes_in_its_order_and_once() {
    let mut kernel = Kernel::new(Platform::WASM);
    let decide = |kernel: &Kernel, setup| kernel.decide(&Input::Setup(setup), 0).map(|decision| decision.commits);
    let quota = Setup::Quota { memory: 1 << 24, pages: 10 };
    let init = Setup::Init { image: [0; 32], length: 1, name: Name::new("init") };
    let device = Setup::Device { device: DEVICE, name: Name::default(), interrupt: Some(LINE) };
    assert_eq!(decide(&kernel, init), Err(Error::QuotaExceeded));
    assert_eq!(decide(&kernel, device), Err(Error::InvalidArgument));
    assert_eq!(decide(&kernel, Setup::Start { length: 0 }), Err(Error::InvalidArgument));
    for setup in [quota, init, device] {
        for commit in decide(&kernel, setup).unwrap() {
            kernel.apply(&commit);
        }
        assert_eq!(decide(&kernel, setup), Err(Error::AlreadyBound));
    }
    let far = Setup::Device { device: crate::DeviceId(5000), name: Name::default(), interrupt: None };
    assert_eq!(decide(&kernel, far), Err(Error::InvalidArgument));
    assert_eq!(decide(&kernel, Setup::Start { length: MAX_BYTES as u32 + 1 }), Err(Error::TooLarge));
    for commit in decide(&kernel, Setup::Start { length: 0 }).unwrap() {
        kernel.apply(&commit);
    }
    assert_eq!(decide(&kernel, Setup::Log), Err(Error::InvalidArgument), "init runs");
    assert_eq!(kernel.check(), Ok(()));
}
