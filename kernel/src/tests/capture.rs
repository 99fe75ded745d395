//! capture-begin, capture-end, and what the host is shown in between.

use super::machine::{Machine, message};
use crate::{Effect, EndpointId, PayloadSource, Platform, ThreadId};
use abi::{Delivery, DeliveryKind, Error, FOREVER, Handle, Message, Request, Returned, Rights};
use std::vec::Vec;

/// Init serves an endpoint, a child may call there. Serials: init 1, the child 2.
struct Pair {
    m: Machine,
    init: ThreadId,
    endpoint: Handle,
    child: ThreadId,
    sends: Handle,
}

fn pair() -> Pair {
    let mut m = Machine::on(Platform::WASM);
    let (init, quota) = (m.init, m.quota);
    let supervisor = m.endpoint(init, quota, 4);
    let endpoint = m.endpoint(init, quota, 2);
    let badged = m.derive(init, endpoint, Rights::SEND, 7);
    let (_, child, handles) = m.child(supervisor, &[(badged, Rights::SEND)]);
    Pair { m, init, endpoint, child, sends: handles[0] }
}

fn call(endpoint: Handle, tag: u64) -> Request<'static> {
    Request::Call { endpoint, message: message(tag), timeout: FOREVER }
}

fn receive(endpoint: Handle) -> Request<'static> {
    Request::Receive { endpoint, timeout: FOREVER }
}

/// What was shown: kind, sender, receiver, badge, tag; taken out of the effects.
fn shown(m: &mut Machine) -> Vec<(DeliveryKind, u64, u64, u64, u64)> {
    let line = |effect: &Effect| match *effect {
        Effect::Captured { sender, receiver, delivery: Delivery { kind, badge, tag, .. }, .. } => {
            Some((kind, sender, receiver, badge, tag))
        }
        _ => None,
    };
    let shown = m.effects.iter().filter_map(line).collect();
    m.effects.retain(|effect| line(effect).is_none());
    shown
}

#[test]
fn calls_and_answers_are_shown_between_begin_and_end() {
    let Pair { mut m, init, endpoint, child, sends } = pair();
    m.blocks(init, receive(endpoint));
    m.blocks(child, call(sends, 1));
    let first = m.delivery(init);
    m.ok(init, Request::CaptureBegin { endpoint });
    assert!(m.has_effect(Effect::CaptureBegan { endpoint: EndpointId(1), process: 1 }));
    // The call came before: its answer is shown no more than it was.
    m.blocks(init, Request::ReplyReceive { endpoint, reply: first.reply, message: message(2), timeout: FOREVER });
    assert_eq!(shown(&mut m), []);

    // To a server that waits, and back; the fast path is no way round.
    m.blocks(child, call(sends, 3));
    let second = m.delivery(init);
    m.blocks(init, Request::ReplyReceive { endpoint, reply: second.reply, message: message(4), timeout: FOREVER });
    m.blocks(child, call(sends, 5));
    let third = m.delivery(init);
    m.ok(init, Request::Reply { reply: third.reply, message: message(6) });
    // From the queue.
    m.blocks(child, call(sends, 7));
    m.blocks(init, receive(endpoint));
    let fourth = m.delivery(init);
    let (called, answer) = (DeliveryKind::Called, DeliveryKind::Answer);
    let expected =
        [(called, 2, 1, 7, 3), (answer, 1, 2, 0, 4), (called, 2, 1, 7, 5), (answer, 1, 2, 0, 6), (called, 2, 1, 7, 7)];
    assert_eq!(shown(&mut m), expected);

    // After the end nothing more, also not the answer to what was shown; the fast path is back.
    m.ok(init, Request::CaptureEnd { endpoint });
    assert!(m.has_effect(Effect::CaptureEnded { endpoint: EndpointId(1) }));
    let answer = Request::ReplyReceive { endpoint, reply: fourth.reply, message: message(8), timeout: FOREVER };
    assert!(m.kernel.hand_over(init, &answer, m.now).is_some());
    m.blocks(init, answer);
    assert!(m.kernel.hand_over(child, &call(sends, 9), m.now).is_some());
    m.blocks(child, call(sends, 9));
    assert_eq!(shown(&mut m), []);
}

#[test]
fn queued_messages_and_what_the_kernel_says_are_shown_when_they_are_received() {
    let Pair { mut m, init, endpoint, child, sends } = pair();
    m.ok(init, Request::CaptureBegin { endpoint });
    let bits = m.notification(init, m.quota);
    m.ok(init, Request::NotificationBind { notification: bits, endpoint });
    m.ok(init, Request::Yield);
    m.ok(child, Request::Send { endpoint: sends, message: Message { tag: 1, length: 9, transfers: &[] }, timeout: 0 });
    m.ok(child, Request::Send { endpoint: sends, message: message(2), timeout: 0 });
    // No more room: the sender waits with its message.
    m.blocks(child, Request::Send { endpoint: sends, message: message(3), timeout: FOREVER });
    m.ok(init, Request::Signal { notification: bits, bits: 4 });
    assert_eq!(shown(&mut m), [], "nothing is received yet");
    for _ in 0..4 {
        m.blocks(init, receive(endpoint));
    }
    // Each is shown before the delivery that takes the payload.
    for (at, effect) in m.effects.iter().enumerate() {
        let Effect::Captured { payload, delivery, .. } = *effect else { continue };
        assert_eq!(m.effects[at + 1], Effect::Deliver { to: init, from: payload, delivery });
    }
    let sent = DeliveryKind::Sent;
    let expected = [(sent, 2, 1, 7, 1), (sent, 2, 1, 7, 2), (sent, 2, 1, 7, 3), (DeliveryKind::Notified, 0, 1, 0, 4)];
    assert_eq!(shown(&mut m), expected);
}

#[test]
fn a_server_that_comes_from_another_endpoint_is_captured_too() {
    let Pair { mut m, init, endpoint, child, sends } = pair();
    let quota = m.quota;
    let other = m.endpoint(init, quota, 2);
    let supervisor = m.endpoint(init, quota, 1);
    let badged = m.derive(init, other, Rights::SEND, 0);
    let (_, second, handles) = m.child(supervisor, &[(badged, Rights::SEND)]);
    m.blocks(init, receive(other));
    m.ok(child, Request::Yield);
    m.blocks(second, call(handles[0], 1));
    let reply = m.delivery(init).reply;
    let answer = Request::ReplyReceive { endpoint, reply, message: message(2), timeout: FOREVER };
    assert!(m.kernel.hand_over(init, &answer, m.now).is_some(), "it would take the fast path");
    m.ok(init, Request::CaptureBegin { endpoint });
    assert!(m.kernel.hand_over(init, &answer, m.now).is_none());
    m.blocks(init, answer);
    assert_eq!(shown(&mut m), [], "what goes through the other endpoint is nobody's business");
    m.blocks(second, Request::Call { endpoint: handles[0], message: message(4), timeout: FOREVER });
    m.blocks(child, call(sends, 3));
    assert_eq!(shown(&mut m), [(DeliveryKind::Called, 2, 1, 7, 3)]);
}

#[test]
fn the_right_is_the_makers_and_comes_with_no_other_capability_by_itself() {
    let Pair { mut m, init, endpoint, .. } = pair();
    let rights = |m: &mut Machine, handle: Handle| match m
        .ok(init, Request::Inspect { process: Handle::NONE, slot: handle.slot(), ancestor: 0 })
    {
        Returned::Capability(info) => info.rights,
        other => panic!("{other:?}"),
    };
    assert!(rights(&mut m, endpoint).contains(Rights::CAPTURE));
    let all = m.derive(init, endpoint, Rights::ALL, 0);
    assert_eq!(rights(&mut m, all), abi::Kind::Endpoint.rights().without(Rights::CAPTURE));
    m.refused(init, Request::CaptureBegin { endpoint: all }, Error::MissingRight);
    let asked = Rights::CAPTURE;
    m.refused(init, Request::Derive { source: all, rights: asked, badge: 0, expiry: FOREVER }, Error::MissingRight);

    // Neither granted nor passed on by itself; by name it is.
    let supervisor = m.endpoint(init, m.quota, 1);
    let (_, child, handles) = m.child(supervisor, &[(endpoint, Rights::ALL), (endpoint, Rights::CAPTURE)]);
    m.ok(init, Request::Yield);
    m.refused(child, Request::CaptureBegin { endpoint: handles[0] }, Error::MissingRight);
    m.ok(child, Request::CaptureBegin { endpoint: handles[1] });
    // And it is no right to anything else.
    m.refused(child, Request::Receive { endpoint: handles[1], timeout: 0 }, Error::MissingRight);
    m.refused(child, Request::Send { endpoint: handles[1], message: message(1), timeout: 0 }, Error::MissingRight);
}

#[test]
fn begin_and_end_refuse() {
    let Pair { mut m, init, endpoint, .. } = pair();
    let calls: [fn(Handle) -> Request<'static>; 2] =
        [|endpoint| Request::CaptureBegin { endpoint }, |endpoint| Request::CaptureEnd { endpoint }];
    m.refused(init, calls[1](endpoint), Error::NotBound);
    for call in calls {
        m.refused(init, call(Handle::NONE), Error::BadHandle);
        m.refused(init, call(m.quota), Error::WrongKind);
        let feeble = m.derive(init, endpoint, Rights::SEND.or(Rights::RECEIVE).or(Rights::MANAGE), 0);
        m.refused(init, call(feeble), Error::MissingRight);
        m.ok(init, Request::Delete { handle: feeble });
        m.refused(init, call(feeble), Error::StaleHandle);
        let expiry = m.now + 1;
        let brief = m.handle(init, Request::Derive { source: endpoint, rights: Rights::CAPTURE, badge: 0, expiry });
        m.now += 1;
        m.refused(init, call(brief), Error::Expired);
    }
    m.ok(init, calls[0](endpoint));
    m.refused(init, calls[0](endpoint), Error::AlreadyBound);
    m.ok(init, calls[1](endpoint));
    m.refused(init, calls[1](endpoint), Error::NotBound);
}

#[test]
fn a_host_that_captures_nothing_says_so_before_anything_is_looked_at() {
    let mut m = Machine::on(Platform::NATIVE);
    let endpoint = m.endpoint(m.init, m.quota, 1);
    for handle in [endpoint, Handle::NONE] {
        m.refused(m.init, Request::CaptureBegin { endpoint: handle }, Error::Unsupported);
        m.refused(m.init, Request::CaptureEnd { endpoint: handle }, Error::Unsupported);
    }
}

#[test]
fn revoking_the_right_takes_it_and_leaves_what_was_begun() {
    let Pair { mut m, init, endpoint, child: client, sends } = pair();
    let supervisor = m.endpoint(init, m.quota, 1);
    let source = m.derive(init, endpoint, Rights::CAPTURE, 0);
    let (_, child, handles) = m.child(supervisor, &[(source, Rights::CAPTURE)]);
    m.ok(init, Request::Yield);
    m.ok(child, Request::CaptureBegin { endpoint: handles[0] });
    m.ok(init, Request::Revoke { handle: source });
    m.refused(child, Request::CaptureEnd { endpoint: handles[0] }, Error::StaleHandle);
    m.blocks(init, receive(endpoint));
    m.blocks(client, call(sends, 1));
    assert_eq!(shown(&mut m).len(), 1);
    m.ok(init, Request::CaptureEnd { endpoint });
}

#[test]
fn the_end_of_the_endpoint_ends_the_capture_and_no_other_inherits_it() {
    let Pair { mut m, init, endpoint, child, sends } = pair();
    m.ok(init, Request::CaptureBegin { endpoint });
    m.blocks(init, receive(endpoint));
    m.blocks(child, call(sends, 1));
    let reply = m.delivery(init).reply;
    m.ok(init, Request::Destroy { handle: endpoint });
    assert!(m.has_effect(Effect::CaptureEnded { endpoint: EndpointId(1) }));
    shown(&mut m);
    // The next endpoint has the same number. Captured or not, the old call's answer is not its business.
    let next = m.endpoint(init, m.quota, 2);
    m.ok(init, Request::CaptureBegin { endpoint: next });
    assert!(m.effects.contains(&Effect::CaptureBegan { endpoint: EndpointId(1), process: 1 }));
    m.ok(init, Request::Reply { reply, message: message(2) });
    assert_eq!(shown(&mut m), []);
}

#[test]
fn whoever_waits_when_it_begins_or_ends_goes_on_waiting() {
    let Pair { mut m, init, endpoint, child, sends } = pair();
    // A server waits.
    let quota = m.quota;
    let supervisor = m.endpoint(init, quota, 1);
    let (_, server, receives) = m.child(supervisor, &[(endpoint, Rights::RECEIVE)]);
    m.ok(init, Request::Yield);
    m.blocks(server, receive(receives[0]));
    m.ok(init, Request::CaptureBegin { endpoint });
    m.blocks(child, call(sends, 1));
    assert_eq!(m.delivered(server).1, PayloadSource::Thread(child));
    // A message waits.
    m.ok(init, Request::Send { endpoint, message: message(2), timeout: 0 });
    m.ok(init, Request::CaptureEnd { endpoint });
    m.blocks(server, receive(receives[0]));
    assert_eq!(m.delivery(server).tag, 2);
    assert_eq!(shown(&mut m).len(), 1);
}
