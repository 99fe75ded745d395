//! Every call with its success and each of its errors, one scene a call. How each call of a scene ended is seen by the
//! machine; the end holds what was seen against the table of docs/system-calls.md. So a call or an error that is added
//! there fails here until a scene provokes it, and one that comes and is not there fails wherever it comes.

use super::machine::{EVERYTHING, Machine, deriving, message, moving};
use super::table::{self, Errors};
use crate::log::{DEBUG_INTERVAL, MAX_DEBUG};
use crate::quota::{CAPABILITY_PRICE, PROCESS_PRICE};
use crate::table::Table;
use crate::{Input, Platform, ThreadId};
use abi::device::Operation;
use abi::info::Limits;
use abi::message::MAX_BYTES;
use abi::{Error, FOREVER, Handle, Message, Name, Number, ReplyToken, Request, Returned, Rights, Transfer};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

type Scene = fn(&mut Machine);

const SCENES: &[(Number, Scene)] = &[
    (Number::Send, send),
    (Number::Call, call),
    (Number::Receive, receive),
    (Number::Reply, reply),
    (Number::ReplyReceive, reply_receive),
    (Number::Signal, signal),
    (Number::Wait, wait),
    (Number::Poll, poll),
    (Number::Yield, yield_),
    (Number::Derive, derive),
    (Number::Delete, delete),
    (Number::Revoke, revoke),
    (Number::Destroy, destroy),
    (Number::Inspect, inspect),
    (Number::EndpointCreate, endpoint_create),
    (Number::NotificationCreate, notification_create),
    (Number::NotificationBind, notification_bind),
    (Number::NotificationUnbind, notification_unbind),
    (Number::CaptureBegin, capture_begin),
    (Number::CaptureEnd, capture_end),
    (Number::ProcessCreate, process_create),
    (Number::ProcessGrant, process_grant),
    (Number::ProcessStart, process_start),
    (Number::ProcessSuspend, process_suspend),
    (Number::ProcessResume, process_resume),
    (Number::ProcessKill, process_kill),
    (Number::ProcessInspect, process_inspect),
    (Number::ProcessLimit, process_limit),
    (Number::Exit, exit),
    (Number::Startup, startup),
    (Number::ThreadCreate, thread_create),
    (Number::ThreadConfigure, thread_configure),
    (Number::ThreadExit, thread_exit),
    (Number::RegionCreate, region_create),
    (Number::RegionRead, region_read),
    (Number::RegionWrite, region_write),
    (Number::RegionMap, region_map),
    (Number::RegionUnmap, region_unmap),
    (Number::ImageCreate, image_create),
    (Number::InterruptBind, interrupt_bind),
    (Number::InterruptUnbind, interrupt_unbind),
    (Number::InterruptAcknowledge, interrupt_acknowledge),
    (Number::DeviceRead, device_read),
    (Number::DeviceWrite, device_write),
    (Number::DeviceSubmit, device_submit),
    (Number::DeviceComplete, device_complete),
    (Number::DeviceAddress, device_address),
    (Number::QuotaSplit, quota_split),
    (Number::QuotaInspect, quota_inspect),
    (Number::LogRead, log_read),
    (Number::Debug, debug),
];

#[test]
fn every_call_is_seen_to_succeed_and_to_fail_with_each_of_its_errors() {
    let numbers: Vec<Number> = SCENES.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, Number::ALL, "one scene a call, in the order of the numbers");
    for (number, scene) in SCENES {
        let Errors { kernel: documented, .. } = &table::errors()[number];
        let mut machine = Machine::on(EVERYTHING);
        scene(&mut machine);
        let seen = |error: &Error| machine.seen.contains(&(*number, Err(*error)));
        let missing: BTreeSet<&Error> = documented.iter().filter(|error| !seen(error)).collect();
        assert!(missing.is_empty(), "{}: {missing:?} in docs/system-calls.md, not in its scene", number.name());
        assert!(machine.seen.contains(&(*number, Ok(()))), "{} is not seen to succeed", number.name());
    }
}

// ---- what many calls share

/// What every call on a handle refuses: none, another kind, too few rights, expired, stale.
pub fn refuses_bad_handles(m: &mut Machine, good: Handle, weak: Rights, call: impl Fn(Handle) -> Request<'static>) {
    refuses_another_kind(m, good, &call);
    refuses_weak_handles(m, good, weak, &call);
    refuses_expired_handles(m, good, &call);
    refuses_no_handles(m, good, &call);
}

/// There never was such a capability, or there is none any more.
fn refuses_no_handles(m: &mut Machine, good: Handle, call: impl Fn(Handle) -> Request<'static>) {
    let init = m.init;
    m.refused(init, call(Handle::NONE), Error::BadHandle);
    m.refused(init, call(Handle::new(5000, 1)), Error::BadHandle);
    let gone = m.derive(init, good, Rights::ALL, 0);
    m.ok(init, Request::Delete { handle: gone });
    m.refused(init, call(gone), Error::StaleHandle);
}

fn refuses_another_kind(m: &mut Machine, good: Handle, call: impl Fn(Handle) -> Request<'static>) {
    let other = if good == m.quota { m.image } else { m.quota };
    m.refused(m.init, call(other), Error::WrongKind);
}

fn refuses_weak_handles(m: &mut Machine, good: Handle, weak: Rights, call: impl Fn(Handle) -> Request<'static>) {
    let init = m.init;
    let feeble = m.derive(init, good, weak, 0);
    m.refused(init, call(feeble), Error::MissingRight);
    m.ok(init, Request::Delete { handle: feeble });
}

fn refuses_expired_handles(m: &mut Machine, good: Handle, call: impl Fn(Handle) -> Request<'static>) {
    let expired = expired(m, good);
    m.refused(m.init, call(expired), Error::Expired);
    m.ok(m.init, Request::Delete { handle: expired });
}

/// A capability of init to what `good` names, whose time is over.
fn expired(m: &mut Machine, good: Handle) -> Handle {
    let expired = Request::Derive { source: good, rights: Rights::ALL, badge: 0, expiry: m.now + 1 };
    let expired = m.handle(m.init, expired);
    m.now += 1;
    expired
}

/// A quota from which nothing can be paid, and a child with a quota and no room in its table.
fn refuses_what_cannot_be_paid_or_held(m: &mut Machine, call: impl Fn(Handle) -> Request<'static>) {
    let (init, quota) = (m.init, m.quota);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 100, pages: 1 });
    m.refused(init, call(poor), Error::QuotaExceeded);
    let (child, handles) = full(m, &[(quota, Rights::ALL)]);
    m.refused(child, call(handles[0]), Error::QuotaExceeded);
}

/// A child with these capabilities and no room for one more.
fn full(m: &mut Machine, grants: &[(Handle, Rights)]) -> (ThreadId, Vec<Handle>) {
    let supervisor = m.endpoint(m.init, m.quota, 1);
    let (_, child, handles) = m.child(supervisor, grants);
    for _ in grants.len()..32 {
        m.derive(child, handles[0], Rights::NONE, 0);
    }
    (child, handles)
}

/// How a wait can end without what it waited for: the time-out comes, its process is suspended, the capability is
/// revoked. `call` waits with the handle and the time-out given.
fn waits(m: &mut Machine, source: Handle, rights: Rights, call: impl Fn(Handle, u64) -> Request<'static>) {
    let (init, supervisor) = (m.init, m.endpoint(m.init, m.quota, 1));
    let (process, child, handles) = m.child(supervisor, &[(source, rights)]);
    ends_without(m, process, child, |timeout| call(handles[0], timeout), |_| {});
    m.blocks(child, call(handles[0], FOREVER));
    m.ok(init, Request::Revoke { handle: source });
    assert_eq!(m.completion(child), Err(Error::Revoked));
}

/// The time-out comes; its process is suspended. `before` each, something must be made ready.
fn ends_without(
    m: &mut Machine,
    process: Handle,
    thread: ThreadId,
    call: impl Fn(u64) -> Request<'static>,
    before: impl Fn(&mut Machine),
) {
    before(m);
    m.blocks(thread, call(10));
    m.tick(m.now + 10);
    assert_eq!(m.completion(thread), Err(Error::TimedOut));
    before(m);
    m.blocks(thread, call(FOREVER));
    m.ok(m.init, Request::ProcessSuspend { process });
    assert_eq!(m.completion(thread), Err(Error::Interrupted));
    m.ok(m.init, Request::ProcessResume { process });
}

/// Another host has no such call, whatever the handles.
fn unsupported(m: &mut Machine, platform: Platform, call: impl Fn(Handle) -> Request<'static>) {
    let mut other = Machine::on(platform);
    let (init, quota) = (other.init, other.quota);
    for handle in [Handle::NONE, quota] {
        other.refused(init, call(handle), Error::Unsupported);
    }
    m.seen.append(&mut other.seen);
}

/// What no message may be: too long, or with a capability twice.
fn refuses_bad_messages(m: &mut Machine, thread: ThreadId, call: impl Fn(Message<'static>) -> Request<'static>) {
    m.refused(thread, call(Message { tag: 1, length: MAX_BYTES as u32 + 1, transfers: &[] }), Error::TooLarge);
    let one = Transfer { handle: Handle::new(0, 1), ..moving(Handle::NONE) };
    m.refused(thread, call(with(&[one, one])), Error::InvalidArgument);
    m.refused(thread, call(with(&[one; 9])), Error::TooLarge);
}

/// A message on which these ride.
fn with(transfers: &[Transfer]) -> Message<'static> {
    // A request lives as long as what it is made of; a test has memory to lose.
    Message { tag: 1, length: 0, transfers: transfers.to_vec().leak() }
}

// ---- messages

fn send(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let send = |endpoint, message, timeout| Request::Send { endpoint, message, timeout };
    let endpoint = m.endpoint(init, quota, 8);
    refuses_bad_handles(m, endpoint, Rights::RECEIVE, |endpoint| send(endpoint, message(1), 0));
    refuses_bad_messages(m, init, |message| send(endpoint, message, 0));
    m.ok(init, send(endpoint, message(1), 0));

    let full = m.endpoint(init, quota, 0);
    m.refused(init, send(full, message(1), 0), Error::WouldBlock);
    waits(m, full, Rights::SEND, |endpoint, timeout| send(endpoint, message(1), timeout));

    let (process, child, handles) = m.child(full, &[(endpoint, Rights::SEND)]);
    let limits = Limits { queued_messages: 0, capabilities: 32, ..Limits::DEFAULT };
    m.ok(init, Request::ProcessLimit { process, limits });
    m.refused(child, send(handles[0], message(1), 0), Error::QuotaExceeded);
}

fn call(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let call = |endpoint, message, timeout| Request::Call { endpoint, message, timeout };
    let endpoint = m.endpoint(init, quota, 8);
    refuses_bad_handles(m, endpoint, Rights::RECEIVE, |endpoint| call(endpoint, message(1), FOREVER));
    refuses_bad_messages(m, init, |message| call(endpoint, message, FOREVER));
    m.refused(init, call(endpoint, message(1), 0), Error::WouldBlock);
    waits(m, endpoint, Rights::SEND, |endpoint, timeout| call(endpoint, message(1), timeout));

    // Once with an answer, once without.
    let (server_process, server, handles) = m.child(endpoint, &[(endpoint, Rights::RECEIVE)]);
    let receive = Request::Receive { endpoint: handles[0], timeout: FOREVER };
    m.blocks(server, receive);
    m.blocks(init, call(endpoint, message(1), FOREVER));
    let reply = m.delivery(server).reply;
    m.ok(server, Request::Reply { reply, message: message(2) });
    assert_eq!(m.delivery(init).tag, 2);
    let (_, caller, sends) = m.child(endpoint, &[(endpoint, Rights::SEND)]);
    m.blocks(server, receive);
    m.blocks(caller, call(sends[0], message(1), FOREVER));
    m.ok(init, Request::ProcessKill { process: server_process, code: 0 });
    assert_eq!(m.completion(caller), Err(Error::PeerGone));

    let endpoint = m.endpoint(init, quota, 8);
    let (server, handles) = full(m, &[(endpoint, Rights::RECEIVE)]);
    m.blocks(server, Request::Receive { endpoint: handles[0], timeout: FOREVER });
    let laden = with(&[deriving(quota, Rights::INSPECT)]);
    m.refused(init, call(endpoint, laden, FOREVER), Error::QuotaExceeded);
}

fn receive(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let receive = |endpoint, timeout| Request::Receive { endpoint, timeout };
    let endpoint = m.endpoint(init, quota, 8);
    refuses_bad_handles(m, endpoint, Rights::SEND, |endpoint| receive(endpoint, 0));
    m.refused(init, receive(endpoint, 0), Error::WouldBlock);
    waits(m, endpoint, Rights::RECEIVE, receive);

    let (server, handles) = full(m, &[(endpoint, Rights::RECEIVE)]);
    let laden = Request::Send { endpoint, message: with(&[deriving(quota, Rights::INSPECT)]), timeout: FOREVER };
    m.blocks(init, laden);
    m.blocks(server, receive(handles[0], 0));
    assert_eq!(m.completion(init), Err(Error::QuotaExceeded));
    assert_eq!(m.completion(server), Err(Error::WouldBlock));
    m.ok(server, Request::Delete { handle: Handle::new(31, 1) });
    m.blocks(init, laden);
    m.blocks(server, receive(handles[0], 0));
}

/// A server with the endpoint and a client that calls it: they make a reply ready.
struct Served {
    server_process: Handle,
    server: ThreadId,
    endpoint: Handle,
    client: ThreadId,
    sends: Handle,
}

impl Served {
    /// The server is a child, and so is the client, whose table is full.
    fn new(m: &mut Machine, endpoint: Handle) -> Served {
        let (client, sends) = full(m, &[(endpoint, Rights::SEND)]);
        let supervisor = m.endpoint(m.init, m.quota, 1);
        let (server_process, server, handles) = m.child(supervisor, &[(endpoint, Rights::RECEIVE)]);
        Served { server_process, server, endpoint: handles[0], client, sends: sends[0] }
    }

    /// The client calls, `server` receives: the right to answer.
    fn reply(&self, m: &mut Machine, server: ThreadId, endpoint: Handle) -> ReplyToken {
        m.blocks(self.client, Request::Call { endpoint: self.sends, message: message(1), timeout: FOREVER });
        m.blocks(server, Request::Receive { endpoint, timeout: FOREVER });
        m.delivery(server).reply
    }
}

fn reply(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let endpoint = m.endpoint(init, quota, 8);
    let served = Served::new(m, endpoint);
    let reply = served.reply(m, init, endpoint);
    let answer = |message| Request::Reply { reply, message };
    refuses_bad_messages(m, init, answer);
    m.refused(init, Request::Reply { reply: ReplyToken::NONE, message: message(1) }, Error::BadHandle);
    m.refused(init, Request::Reply { reply: ReplyToken::new(500, 1), message: message(1) }, Error::StaleHandle);
    // The capabilities that ride on it may be of any kind.
    refuses_no_handles(m, quota, |handle| answer(with(&[moving(handle)])));
    refuses_weak_handles(m, quota, Rights::INSPECT, |handle| answer(with(&[deriving(handle, Rights::SPLIT)])));
    refuses_expired_handles(m, quota, |handle| answer(with(&[deriving(handle, Rights::SPLIT)])));
    m.refused(init, answer(with(&[deriving(quota, Rights::SPLIT)])), Error::QuotaExceeded);
    m.ok(init, answer(message(1)));
    m.refused(init, answer(message(1)), Error::StaleHandle);
}

fn reply_receive(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let answer = |endpoint, reply, message, timeout| Request::ReplyReceive { endpoint, reply, message, timeout };
    let endpoint = m.endpoint(init, quota, 8);
    let served = Served::new(m, endpoint);
    let reply = served.reply(m, init, endpoint);
    refuses_bad_handles(m, endpoint, Rights::SEND, |endpoint| answer(endpoint, reply, message(1), FOREVER));
    refuses_bad_messages(m, init, |message| answer(endpoint, reply, message, FOREVER));
    m.refused(init, answer(endpoint, reply, with(&[deriving(quota, Rights::SPLIT)]), FOREVER), Error::QuotaExceeded);
    // It has replied, and there is nothing to be received.
    m.blocks(init, answer(endpoint, reply, message(1), 0));
    assert_eq!(m.completion(init), Err(Error::WouldBlock));
    m.refused(init, answer(endpoint, reply, message(1), 0), Error::StaleHandle);

    let Served { server_process, server, endpoint: receives, client, .. } = served;
    let token = |m: &mut Machine| served.reply(m, server, receives);
    let reply = token(m);
    m.blocks(server, answer(receives, reply, message(1), 10));
    m.tick(m.now + 10);
    assert_eq!(m.completion(server), Err(Error::TimedOut));
    let reply = token(m);
    m.blocks(server, answer(receives, reply, message(1), FOREVER));
    m.ok(init, Request::ProcessSuspend { process: server_process });
    assert_eq!(m.completion(server), Err(Error::Interrupted));
    m.ok(init, Request::ProcessResume { process: server_process });
    let reply = token(m);
    m.blocks(server, answer(receives, reply, message(1), FOREVER));
    m.ok(init, Request::Send { endpoint, message: message(3), timeout: 0 });
    assert_eq!(m.delivery(server).tag, 3);
    let reply = token(m);
    m.blocks(server, answer(receives, reply, message(1), FOREVER));
    assert_eq!(m.delivery(client).tag, 1);
    m.ok(init, Request::Revoke { handle: endpoint });
    assert_eq!(m.completion(server), Err(Error::Revoked));
}

fn signal(m: &mut Machine) {
    let bits = m.notification(m.init, m.quota);
    let signal = |notification, bits| Request::Signal { notification, bits };
    refuses_bad_handles(m, bits, Rights::WAIT, |notification| signal(notification, 1));
    m.refused(m.init, signal(bits, 0), Error::InvalidArgument);
    m.ok(m.init, signal(bits, 1));
}

fn wait(m: &mut Machine) {
    let bits = m.notification(m.init, m.quota);
    let wait = |notification, timeout| Request::Wait { notification, timeout };
    refuses_bad_handles(m, bits, Rights::SIGNAL, |notification| wait(notification, 0));
    m.refused(m.init, wait(bits, 0), Error::WouldBlock);
    waits(m, bits, Rights::WAIT, wait);
    m.ok(m.init, Request::Signal { notification: bits, bits: 1 });
    m.ok(m.init, wait(bits, 0));
}

fn poll(m: &mut Machine) {
    let bits = m.notification(m.init, m.quota);
    refuses_bad_handles(m, bits, Rights::SIGNAL, |notification| Request::Poll { notification });
    assert_eq!(m.ok(m.init, Request::Poll { notification: bits }), Returned::Value(0));
}

fn yield_(m: &mut Machine) {
    m.ok(m.init, Request::Yield);
}

// ---- capabilities

fn derive(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let bits = m.notification(init, quota);
    let derive =
        |source, badge| Request::Derive { source, rights: Rights::SIGNAL.or(Rights::WAIT), badge, expiry: FOREVER };
    refuses_no_handles(m, bits, |source| derive(source, 0));
    refuses_weak_handles(m, bits, Rights::WAIT, |source| derive(source, 0));
    refuses_expired_handles(m, bits, |source| derive(source, 0));
    let badged = m.handle(init, derive(bits, 7));
    m.refused(init, derive(badged, 8), Error::InvalidArgument);
    let (child, handles) = full(m, &[(bits, Rights::ALL)]);
    m.refused(child, derive(handles[0], 0), Error::QuotaExceeded);
}

fn delete(m: &mut Machine) {
    let bits = m.notification(m.init, m.quota);
    refuses_no_handles(m, bits, |handle| Request::Delete { handle });
    m.ok(m.init, Request::Delete { handle: bits });
}

fn revoke(m: &mut Machine) {
    let bits = m.notification(m.init, m.quota);
    refuses_no_handles(m, bits, |handle| Request::Revoke { handle });
    m.derive(m.init, bits, Rights::WAIT, 0);
    assert_eq!(m.ok(m.init, Request::Revoke { handle: bits }), Returned::Value(1));
}

fn destroy(m: &mut Machine) {
    let bits = m.notification(m.init, m.quota);
    refuses_no_handles(m, bits, |handle| Request::Destroy { handle });
    refuses_weak_handles(m, bits, Rights::WAIT, |handle| Request::Destroy { handle });
    refuses_expired_handles(m, bits, |handle| Request::Destroy { handle });
    m.refused(m.init, Request::Destroy { handle: m.quota }, Error::InvalidArgument);
    m.ok(m.init, Request::Destroy { handle: bits });
}

fn inspect(m: &mut Machine) {
    let inspect = |process, slot, ancestor| Request::Inspect { process, slot, ancestor };
    let process = process(m);
    refuses_bad_handles_to_another(m, process, Rights::MANAGE, |process| inspect(process, 0, 0));
    m.refused(m.init, inspect(Handle::NONE, 5000, 0), Error::BadHandle);
    m.refused(m.init, inspect(Handle::NONE, 0, 5), Error::BadHandle);
    m.ok(m.init, inspect(Handle::NONE, 0, 0));
}

/// As [`refuses_bad_handles`], where no handle is the caller itself.
fn refuses_bad_handles_to_another(
    m: &mut Machine,
    good: Handle,
    weak: Rights,
    call: impl Fn(Handle) -> Request<'static>,
) {
    let nobody = Handle::new(5000, 1);
    refuses_bad_handles(m, good, weak, |handle| call(if handle.is_none() { nobody } else { handle }));
}

// ---- endpoints and notifications

fn endpoint_create(m: &mut Machine) {
    let create = |quota, depth| Request::EndpointCreate { quota, depth };
    refuses_bad_handles(m, m.quota, Rights::INSPECT, |quota| create(quota, 1));
    refuses_what_cannot_be_paid_or_held(m, |quota| create(quota, 1));
    m.refused(m.init, create(m.quota, (1 << 16) + 1), Error::InvalidArgument);
    m.ok(m.init, create(m.quota, 1));
}

fn notification_create(m: &mut Machine) {
    let create = |quota| Request::NotificationCreate { quota };
    refuses_bad_handles(m, m.quota, Rights::INSPECT, create);
    refuses_what_cannot_be_paid_or_held(m, create);
    m.ok(m.init, create(m.quota));
}

fn notification_bind(m: &mut Machine) {
    let (bits, endpoint) = (m.notification(m.init, m.quota), m.endpoint(m.init, m.quota, 1));
    let bind = |notification, endpoint| Request::NotificationBind { notification, endpoint };
    refuses_bad_handles(m, bits, Rights::SIGNAL, |bits| bind(bits, endpoint));
    refuses_bad_handles(m, endpoint, Rights::SEND, |endpoint| bind(bits, endpoint));
    m.ok(m.init, bind(bits, endpoint));
    m.refused(m.init, bind(bits, endpoint), Error::AlreadyBound);
}

fn notification_unbind(m: &mut Machine) {
    let (bits, endpoint) = (m.notification(m.init, m.quota), m.endpoint(m.init, m.quota, 1));
    let unbind = |notification| Request::NotificationUnbind { notification };
    refuses_bad_handles(m, bits, Rights::SIGNAL, unbind);
    m.refused(m.init, unbind(bits), Error::NotBound);
    m.ok(m.init, Request::NotificationBind { notification: bits, endpoint });
    m.ok(m.init, unbind(bits));
}

fn capture_begin(m: &mut Machine) {
    let begin = |endpoint| Request::CaptureBegin { endpoint };
    unsupported(m, Platform::NATIVE, begin);
    let endpoint = m.endpoint(m.init, m.quota, 1);
    refuses_bad_captures(m, endpoint, begin);
    m.ok(m.init, begin(endpoint));
    m.refused(m.init, begin(endpoint), Error::AlreadyBound);
}

fn capture_end(m: &mut Machine) {
    let end = |endpoint| Request::CaptureEnd { endpoint };
    unsupported(m, Platform::NATIVE, end);
    let endpoint = m.endpoint(m.init, m.quota, 1);
    refuses_bad_captures(m, endpoint, end);
    m.refused(m.init, end(endpoint), Error::NotBound);
    m.ok(m.init, Request::CaptureBegin { endpoint });
    m.ok(m.init, end(endpoint));
}

/// As [`refuses_bad_handles`]; "all rights" leave out that to capture, which has to be asked for.
fn refuses_bad_captures(m: &mut Machine, endpoint: Handle, call: impl Fn(Handle) -> Request<'static>) {
    refuses_no_handles(m, endpoint, &call);
    refuses_another_kind(m, endpoint, &call);
    refuses_weak_handles(m, endpoint, Rights::ALL, &call);
    let brief = Request::Derive { source: endpoint, rights: Rights::CAPTURE, badge: 0, expiry: m.now + 1 };
    let brief = m.handle(m.init, brief);
    m.now += 1;
    m.refused(m.init, call(brief), Error::Expired);
}

// ---- processes

/// A child that was not started.
fn process(m: &mut Machine) -> Handle {
    let supervisor = m.endpoint(m.init, m.quota, 1);
    m.create(supervisor)
}

/// A child that runs, and its thread.
fn running(m: &mut Machine) -> (Handle, ThreadId) {
    let process = process(m);
    let thread = m.start(process);
    (process, thread)
}

fn process_create(m: &mut Machine) {
    let (init, quota, image) = (m.init, m.quota, m.image);
    let supervisor = m.endpoint(init, quota, 1);
    let create = |image, quota, supervisor, capabilities| {
        let limits = Limits { capabilities, ..Limits::DEFAULT };
        Request::ProcessCreate { image, quota, supervisor, name: Name::default(), limits }
    };
    refuses_bad_handles(m, image, Rights::MANAGE, |image| create(image, quota, supervisor, 8));
    refuses_bad_handles(m, quota, Rights::INSPECT, |quota| create(image, quota, supervisor, 8));
    refuses_bad_handles(m, supervisor, Rights::RECEIVE, |supervisor| create(image, quota, supervisor, 8));
    m.refused(init, create(image, quota, supervisor, Table::MAX + 1), Error::InvalidArgument);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 100, pages: 1 });
    m.refused(init, create(image, poor, supervisor, 8), Error::QuotaExceeded);
    let (child, has) = full(m, &[(image, Rights::ALL), (quota, Rights::ALL), (supervisor, Rights::ALL)]);
    m.refused(child, create(has[0], has[1], has[2], 8), Error::QuotaExceeded);
    m.ok(init, create(image, quota, supervisor, 8));
}

fn process_grant(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let grant = |process, source, badge| Request::ProcessGrant {
        process,
        source,
        rights: Rights::SEND,
        badge,
        expiry: FOREVER,
    };
    let (process, endpoint) = (process(m), m.endpoint(init, quota, 1));
    refuses_bad_handles(m, process, Rights::INSPECT, |process| grant(process, endpoint, 0));
    refuses_no_handles(m, endpoint, |source| grant(process, source, 0));
    refuses_weak_handles(m, endpoint, Rights::RECEIVE, |source| grant(process, source, 0));
    refuses_expired_handles(m, endpoint, |source| grant(process, source, 0));
    let badged = m.derive(init, endpoint, Rights::ALL, 7);
    m.refused(init, grant(process, badged, 8), Error::InvalidArgument);
    for _ in 0..32 {
        m.ok(init, grant(process, endpoint, 0));
    }
    m.refused(init, grant(process, endpoint, 0), Error::QuotaExceeded);
    m.start(process);
    m.refused(init, grant(process, endpoint, 0), Error::InvalidArgument);
}

fn process_start(m: &mut Machine) {
    let (init, quota, image) = (m.init, m.quota, m.image);
    let start = |process, length| Request::ProcessStart { process, length };
    let supervisor = m.endpoint(init, quota, 1);
    let process = m.create(supervisor);
    refuses_bad_handles(m, process, Rights::INSPECT, |process| start(process, 0));
    m.refused(init, start(process, MAX_BYTES as u32 + 1), Error::TooLarge);
    m.ok(init, start(process, 0));
    m.refused(init, start(process, 0), Error::InvalidArgument);
    // Enough for a process, not for its thread.
    let limits = Limits { capabilities: 1, ..Limits::DEFAULT };
    let memory = PROCESS_PRICE + CAPABILITY_PRICE;
    let quota = m.handle(init, Request::QuotaSplit { quota, memory, pages: 0 });
    let create = Request::ProcessCreate { image, quota, supervisor, name: Name::default(), limits };
    let process = m.handle(init, create);
    m.refused(init, start(process, 0), Error::QuotaExceeded);
}

fn process_suspend(m: &mut Machine) {
    let suspend = |process| Request::ProcessSuspend { process };
    let process = process(m);
    refuses_bad_handles(m, process, Rights::INSPECT, suspend);
    m.refused(m.init, suspend(process), Error::InvalidArgument);
    m.start(process);
    m.ok(m.init, suspend(process));
}

fn process_resume(m: &mut Machine) {
    let resume = |process| Request::ProcessResume { process };
    let process = process(m);
    refuses_bad_handles(m, process, Rights::INSPECT, resume);
    m.refused(m.init, resume(process), Error::InvalidArgument);
    m.start(process);
    m.ok(m.init, Request::ProcessSuspend { process });
    m.ok(m.init, resume(process));
}

fn process_kill(m: &mut Machine) {
    let (process, _) = running(m);
    refuses_bad_handles(m, process, Rights::INSPECT, |process| Request::ProcessKill { process, code: 1 });
    m.ok(m.init, Request::ProcessKill { process, code: 1 });
}

fn process_inspect(m: &mut Machine) {
    let (process, _) = running(m);
    let inspect = |process| Request::ProcessInspect { process };
    refuses_bad_handles_to_another(m, process, Rights::MANAGE, inspect);
    m.ok(m.init, inspect(process));
}

fn process_limit(m: &mut Machine) {
    let (init, quota, image) = (m.init, m.quota, m.image);
    let limit =
        |process, capabilities| Request::ProcessLimit { process, limits: Limits { capabilities, ..Limits::DEFAULT } };
    let (ended, _) = running(m);
    refuses_bad_handles(m, ended, Rights::INSPECT, |process| limit(process, 16));
    m.ok(init, limit(ended, 16));
    m.refused(init, limit(ended, Table::MAX + 1), Error::InvalidArgument);
    m.ok(init, Request::ProcessKill { process: ended, code: 0 });
    m.refused(init, limit(ended, 16), Error::InvalidArgument);
    let quota = m.handle(init, Request::QuotaSplit { quota, memory: PROCESS_PRICE + CAPABILITY_PRICE, pages: 0 });
    let supervisor = m.endpoint(init, m.quota, 1);
    let limits = Limits { capabilities: 1, ..Limits::DEFAULT };
    let create = Request::ProcessCreate { image, quota, supervisor, name: Name::default(), limits };
    let poor = m.handle(init, create);
    m.refused(init, limit(poor, 2), Error::QuotaExceeded);
}

fn exit(m: &mut Machine) {
    let (_, child) = running(m);
    m.blocks(child, Request::Exit { code: 1 });
}

fn startup(m: &mut Machine) {
    m.hosted(m.init, Request::Startup);
}

// ---- threads

fn thread_create(m: &mut Machine) {
    let create = |quota| Request::ThreadCreate { quota, entry: 1, stack: 2, argument: 3 };
    unsupported(m, Platform::WASM, create);
    refuses_bad_handles(m, m.quota, Rights::INSPECT, create);
    refuses_what_cannot_be_paid_or_held(m, create);
    m.ok(m.init, create(m.quota));
}

fn thread_configure(m: &mut Machine) {
    let quota = m.quota;
    let thread = m.handle(m.init, Request::ThreadCreate { quota, entry: 1, stack: 2, argument: 3 });
    let configure = |thread, priority| Request::ThreadConfigure { thread, priority, budget: FOREVER, period: FOREVER };
    refuses_bad_handles_to_another(m, thread, Rights::NONE, |thread| configure(thread, 1));
    m.refused(m.init, configure(thread, 32), Error::InvalidArgument);
    m.ok(m.init, configure(thread, 1));
}

fn thread_exit(m: &mut Machine) {
    let (_, child) = running(m);
    m.blocks(child, Request::ThreadExit);
}

// ---- memory and images

fn region(m: &mut Machine, pages: u64) -> Handle {
    m.handle(m.init, Request::RegionCreate { quota: m.quota, pages })
}

fn region_create(m: &mut Machine) {
    let create = |quota, pages| Request::RegionCreate { quota, pages };
    refuses_bad_handles(m, m.quota, Rights::INSPECT, |quota| create(quota, 1));
    refuses_what_cannot_be_paid_or_held(m, |quota| create(quota, 2));
    m.refused(m.init, create(m.quota, 0), Error::InvalidArgument);
    m.ok(m.init, create(m.quota, 1));
}

fn region_read(m: &mut Machine) {
    let region = region(m, 32);
    let read = |region, offset, length| Request::RegionRead { region, offset, length };
    refuses_bad_handles(m, region, Rights::WRITE, |region| read(region, 0, 1));
    m.refused(m.init, read(region, 32 * 4096, 1), Error::InvalidArgument);
    m.refused(m.init, read(region, 0, MAX_BYTES as u32 + 1), Error::TooLarge);
    m.hosted(m.init, read(region, 0, 1));
}

fn region_write(m: &mut Machine) {
    let region = region(m, 32);
    let write = |region, offset, length| Request::RegionWrite { region, offset, length };
    refuses_bad_handles(m, region, Rights::READ, |region| write(region, 0, 1));
    m.refused(m.init, write(region, 32 * 4096, 1), Error::InvalidArgument);
    m.refused(m.init, write(region, 0, MAX_BYTES as u32 + 1), Error::TooLarge);
    m.hosted(m.init, write(region, 0, 1));
}

fn region_map(m: &mut Machine) {
    let map = |region, address| Request::RegionMap { region, address, rights: Rights::READ };
    unsupported(m, Platform::WASM, |region| map(region, 0x1000));
    let region = region(m, 1);
    refuses_bad_handles(m, region, Rights::WRITE, |region| map(region, 0x1000));
    m.refused(m.init, map(region, 1), Error::InvalidArgument);
    m.ok(m.init, map(region, 0x1000));
    m.refused(m.init, map(region, 0x1000), Error::AlreadyBound);
}

fn region_unmap(m: &mut Machine) {
    let unmap = |region| Request::RegionUnmap { region, address: 0x1000 };
    unsupported(m, Platform::WASM, unmap);
    let region = region(m, 1);
    refuses_no_handles(m, region, unmap);
    refuses_another_kind(m, region, unmap);
    refuses_expired_handles(m, region, unmap);
    m.refused(m.init, unmap(region), Error::NotBound);
    m.ok(m.init, Request::RegionMap { region, address: 0x1000, rights: Rights::READ });
    m.ok(m.init, unmap(region));
}

fn image_create(m: &mut Machine) {
    let (init, quota) = (m.init, m.quota);
    let create = |quota, region, length| Request::ImageCreate { quota, region, length, name: Name::default() };
    let region = region(m, 4);
    refuses_bad_handles(m, quota, Rights::INSPECT, |quota| create(quota, region, 1));
    refuses_bad_handles(m, region, Rights::WRITE, |region| create(quota, region, 1));
    m.refused(init, create(quota, region, 0), Error::InvalidArgument);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 100, pages: 1 });
    m.refused(init, create(poor, region, 1), Error::QuotaExceeded);
    let (child, has) = full(m, &[(quota, Rights::ALL), (region, Rights::ALL)]);
    m.refused(child, create(has[0], has[1], 1), Error::QuotaExceeded);

    // The host checks the bytes, and says of them what the table has behind the semicolon.
    let refusals = table::errors()[&Number::ImageCreate].host.iter().map(|&error| Err(error));
    for result in refusals.chain([Ok([9; 32])]) {
        m.blocks(init, create(quota, region, 1));
        m.input(&Input::HostDone { thread: init, result }).unwrap();
        assert_eq!(m.completion(init).err(), result.err());
    }
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 100_000, pages: 10 });
    let supervisor = m.endpoint(init, quota, 1);
    let (_, child, has) = m.child(supervisor, &[(part, Rights::ALL), (region, Rights::READ)]);
    m.blocks(child, create(has[0], has[1], 1));
    m.ok(init, Request::Destroy { handle: part });
    m.input(&Input::HostDone { thread: child, result: Ok([9; 32]) }).unwrap();
    assert_eq!(m.completion(child), Err(Error::Revoked));
}

// ---- interrupts and devices

fn interrupt_bind(m: &mut Machine) {
    let (interrupt, notification) = (m.interrupt, m.notification(m.init, m.quota));
    let bind = |interrupt, notification, bits| Request::InterruptBind { interrupt, notification, bits };
    refuses_bad_handles(m, interrupt, Rights::ACKNOWLEDGE, |interrupt| bind(interrupt, notification, 1));
    refuses_bad_handles(m, notification, Rights::WAIT, |notification| bind(interrupt, notification, 1));
    m.refused(m.init, bind(interrupt, notification, 0), Error::InvalidArgument);
    m.ok(m.init, bind(interrupt, notification, 1));
    m.refused(m.init, bind(interrupt, notification, 1), Error::AlreadyBound);
}

fn interrupt_unbind(m: &mut Machine) {
    let (interrupt, notification) = (m.interrupt, m.notification(m.init, m.quota));
    let unbind = |interrupt| Request::InterruptUnbind { interrupt };
    refuses_bad_handles(m, interrupt, Rights::ACKNOWLEDGE, unbind);
    m.refused(m.init, unbind(interrupt), Error::NotBound);
    m.ok(m.init, Request::InterruptBind { interrupt, notification, bits: 1 });
    m.ok(m.init, unbind(interrupt));
}

fn interrupt_acknowledge(m: &mut Machine) {
    let (interrupt, notification) = (m.interrupt, m.notification(m.init, m.quota));
    let acknowledge = |interrupt| Request::InterruptAcknowledge { interrupt };
    refuses_bad_handles(m, interrupt, Rights::BIND, acknowledge);
    m.refused(m.init, acknowledge(interrupt), Error::NotBound);
    m.ok(m.init, Request::InterruptBind { interrupt, notification, bits: 1 });
    m.ok(m.init, acknowledge(interrupt));
}

fn device_read(m: &mut Machine) {
    refuses_bad_handles(m, m.device, Rights::WRITE, |device| Request::DeviceRead { device, register: 0 });
    m.hosted(m.init, Request::DeviceRead { device: m.device, register: 0 });
}

fn device_write(m: &mut Machine) {
    let write = |device| Request::DeviceWrite { device, register: 0, value: 0 };
    refuses_bad_handles(m, m.device, Rights::READ, write);
    m.hosted(m.init, write(m.device));
}

fn device_submit(m: &mut Machine) {
    let submit = |device, length| Request::DeviceSubmit { device, operation: Operation::Write, a: 0, b: 0, length };
    refuses_bad_handles(m, m.device, Rights::READ, |device| submit(device, 1));
    m.refused(m.init, submit(m.device, MAX_BYTES as u32 + 1), Error::TooLarge);
    m.hosted(m.init, submit(m.device, 1));
}

fn device_complete(m: &mut Machine) {
    refuses_bad_handles(m, m.device, Rights::MANAGE, |device| Request::DeviceComplete { device });
    m.hosted(m.init, Request::DeviceComplete { device: m.device });
}

fn device_address(m: &mut Machine) {
    let device = m.device;
    let address = |device, region, page| Request::DeviceAddress { device, region, page };
    unsupported(m, Platform::WASM, |device| address(device, device, 0));
    let region = region(m, 1);
    refuses_bad_handles(m, device, Rights::READ, |device| address(device, region, 0));
    refuses_bad_handles(m, region, Rights::READ, |region| address(device, region, 0));
    m.refused(m.init, address(device, region, 1), Error::InvalidArgument);
    m.hosted(m.init, address(device, region, 0));
}

// ---- quotas, the log, debug output

fn quota_split(m: &mut Machine) {
    let split = |quota| Request::QuotaSplit { quota, memory: 10, pages: 0 };
    refuses_bad_handles(m, m.quota, Rights::INSPECT, split);
    refuses_what_cannot_be_paid_or_held(m, split);
    m.ok(m.init, split(m.quota));
}

fn quota_inspect(m: &mut Machine) {
    refuses_bad_handles(m, m.quota, Rights::SPLIT, |quota| Request::QuotaInspect { quota });
    m.ok(m.init, Request::QuotaInspect { quota: m.quota });
}

fn log_read(m: &mut Machine) {
    let read = |log, length| Request::LogRead { log, from: 0, length };
    refuses_bad_handles(m, m.log_handle, Rights::MANAGE, |log| read(log, 1));
    m.refused(m.init, read(m.log_handle, MAX_BYTES as u32 + 1), Error::TooLarge);
    m.hosted(m.init, read(m.log_handle, 1));
}

fn debug(m: &mut Machine) {
    m.refused(m.init, Request::Debug { length: MAX_DEBUG + 1 }, Error::TooLarge);
    m.hosted(m.init, Request::Debug { length: 1 });
    for _ in 0..64 {
        m.hosted(m.init, Request::Debug { length: 1 });
    }
    m.refused(m.init, Request::Debug { length: 1 }, Error::WouldBlock);
    m.tick(DEBUG_INTERVAL);
    m.hosted(m.init, Request::Debug { length: 1 });
}
