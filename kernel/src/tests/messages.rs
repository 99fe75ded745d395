//! send, call, receive, reply, reply_receive.

use super::machine::{Machine, deriving, message, moving};
use crate::{Effect, HandOver, PayloadSource, State, ThreadId};
use abi::message::MAX_BYTES;
use abi::{
    DeliveryKind, Error, FOREVER, Handle, Message, ReplyToken, Request, Returned, Rights, Transfer, TransferMode,
};

/// Init serves `endpoint`; two children may send to it, under badges 1 and 2.
struct Pair {
    m: Machine,
    init: ThreadId,
    endpoint: Handle,
    one: ThreadId,
    one_sends: Handle,
    two: ThreadId,
    two_sends: Handle,
    /// Init's handle to the process of `one`.
    process: Handle,
}

fn pair(depth: u32) -> Pair {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let supervisor = m.endpoint(init, quota, 4);
    let endpoint = m.endpoint(init, quota, depth);
    let right = Rights::SEND.or(Rights::GRANT);
    let (first, second) = (m.derive(init, endpoint, right, 1), m.derive(init, endpoint, right, 2));
    let (process, one, one_has) = m.child(supervisor, &[(first, right)]);
    let (_, two, two_has) = m.child(supervisor, &[(second, right)]);
    Pair { m, init, endpoint, one, one_sends: one_has[0], two, two_sends: two_has[0], process }
}

fn call(endpoint: Handle, tag: u64) -> Request<'static> {
    Request::Call { endpoint, message: message(tag), timeout: FOREVER }
}

fn receive(endpoint: Handle) -> Request<'static> {
    Request::Receive { endpoint, timeout: FOREVER }
}

#[test]
fn a_call_is_handed_over_answered_and_goes_on() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    assert!(m.kernel.hand_over(one, &call(one_sends, 7), m.now).is_some(), "the fast path");
    m.blocks(one, call(one_sends, 7));
    let (delivery, from) = m.delivered(init);
    assert_eq!((delivery.kind, delivery.badge, delivery.tag), (DeliveryKind::Called, 1, 7));
    assert_eq!(from, PayloadSource::Thread(one));
    assert_eq!(m.kernel.current(), Some(init), "the server runs at once");

    let answer = Request::ReplyReceive { endpoint, reply: delivery.reply, message: message(8), timeout: FOREVER };
    assert!(
        matches!(m.kernel.hand_over(init, &answer, m.now), Some(HandOver { reply: ReplyToken::NONE, .. })),
        "the fast path"
    );
    m.blocks(init, answer);
    let (answer, from) = m.delivered(one);
    assert_eq!((answer.kind, answer.tag, from), (DeliveryKind::Answer, 8, PayloadSource::Thread(init)));
    assert_eq!(m.kernel.current(), Some(one));
    assert_eq!(m.kernel.thread_state(init), State::Receiving);
}

#[test]
fn the_fast_path_and_the_other_reach_the_same_state() {
    let run = |fast: bool| {
        let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
        m.blocks(init, receive(endpoint));
        let ask = call(one_sends, 7);
        let answer = |reply| Request::ReplyReceive { endpoint, reply, message: message(8), timeout: FOREVER };
        let reply = ReplyToken::new(one.0, 1);
        for (thread, request) in [(one, ask), (init, answer(reply))] {
            if fast {
                m.blocks(thread, request);
            } else {
                m.input(&crate::Input::Call { thread, request: &request }).unwrap();
            }
        }
        let threads = [init, one].map(|thread| m.kernel.activity.view(thread).clone());
        (threads.map(|t| (t.state, t.priority, t.call, t.payer, t.serving, t.server, t.link)), m.kernel.current())
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn what_is_out_of_the_ordinary_is_not_on_the_fast_path() {
    let Pair { mut m, init, endpoint, one, one_sends, two, two_sends, .. } = pair(2);
    let fast = |m: &Machine, thread, request: Request<'_>| m.kernel.hand_over(thread, &request, m.now).is_some();
    assert!(!fast(&m, one, call(one_sends, 1)), "nobody waits");
    m.blocks(init, Request::Receive { endpoint, timeout: 50 });
    assert!(!fast(&m, one, call(one_sends, 1)), "the receiver has a time-out to cancel");
    m.tick(50);
    m.blocks(init, receive(endpoint));
    assert!(!fast(&m, two, call(two_sends, 1)), "it does not run");
    assert!(
        !fast(&m, one, Request::Call { endpoint: one_sends, message: message(1), timeout: 9 }),
        "it has a time-out"
    );
    let transfers = [deriving(one_sends, Rights::ALL)];
    let laden = Message { tag: 1, length: 0, transfers: &transfers };
    assert!(
        !fast(&m, one, Request::Call { endpoint: one_sends, message: laden, timeout: FOREVER }),
        "capabilities ride on it"
    );
    m.blocks(one, call(one_sends, 1));
    let reply = m.delivery(init).reply;
    m.blocks(two, call(two_sends, 2));
    let answer = Request::ReplyReceive { endpoint, reply, message: message(0), timeout: FOREVER };
    assert!(!fast(&m, init, answer), "another call is queued");
    m.blocks(init, answer);
    assert_eq!(m.delivery(init).badge, 2, "and is received");
}

#[test]
fn what_is_refused_is_not_on_the_fast_path_either() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    let stale = m.derive(one, one_sends, Rights::SEND, 0);
    m.ok(one, Request::Delete { handle: stale });
    let successor = m.derive(one, one_sends, Rights::SEND, 0);
    assert_eq!(successor.slot(), stale.slot());
    let brief = m.handle(one, Request::Derive { source: one_sends, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.refused(one, call(stale, 1), Error::StaleHandle);
    m.now = 10;
    m.refused(one, call(brief, 1), Error::Expired);
    m.blocks(one, call(successor, 1));
    assert_eq!(m.delivery(init).tag, 1);
}

#[test]
fn who_has_sent_is_not_told_later_that_the_time_is_out() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(0);
    m.blocks(one, Request::Send { endpoint: one_sends, message: message(5), timeout: 50 });
    m.blocks(init, receive(endpoint));
    assert_eq!(m.delivery(init).tag, 5);
    assert_eq!(m.completion(one), Ok(Returned::Nothing));
    assert_eq!(m.kernel.thread_state(one), State::Ready, "it has not run since");
    let log = m.log.len();
    m.tick(60);
    assert_eq!(m.log[log..], [], "nothing is due any more");
}

#[test]
fn calls_queue_first_in_first_out_under_their_badges() {
    let Pair { mut m, init, endpoint, one, one_sends, two, two_sends, .. } = pair(0);
    m.blocks(one, call(one_sends, 10));
    m.blocks(two, call(two_sends, 20));
    assert!(matches!(m.kernel.thread_state(one), State::Calling), "a call takes no place in the queue's depth");
    m.blocks(init, receive(endpoint));
    let first = m.delivery(init);
    m.blocks(init, receive(endpoint));
    let second = m.delivery(init);
    assert_eq!([(first.badge, first.tag), (second.badge, second.tag)], [(1, 10), (2, 20)]);
    // Replies in another order than the calls came.
    assert_eq!(m.ok(init, Request::Reply { reply: second.reply, message: message(21) }), Returned::Nothing);
    assert_eq!(m.delivery(two).tag, 21);
    m.ok(init, Request::Reply { reply: first.reply, message: message(11) });
    assert_eq!(m.delivery(one).tag, 11);
}

#[test]
fn call_refuses() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    let with = |endpoint, message, timeout| Request::Call { endpoint, message, timeout };
    let long = Message { tag: 0, length: MAX_BYTES as u32 + 1, transfers: &[] };
    let nine = [deriving(one_sends, Rights::ALL); 9];
    let many = Message { tag: 0, length: 0, transfers: &nine };
    m.refused(one, with(Handle::NONE, message(0), FOREVER), Error::BadHandle);
    m.refused(one, with(one_sends, long, FOREVER), Error::TooLarge);
    m.refused(one, with(one_sends, many, FOREVER), Error::TooLarge);
    m.refused(one, with(one_sends, message(0), 0), Error::WouldBlock);
    let receiver = m.derive(init, endpoint, Rights::RECEIVE, 0);
    m.refused(init, with(receiver, message(0), FOREVER), Error::MissingRight);
    m.refused(init, with(m.quota, message(0), FOREVER), Error::WrongKind);
    let sender = m.derive(init, endpoint, Rights::SEND, 0);
    let transfers = [deriving(sender, Rights::ALL)];
    let laden = Message { tag: 0, length: 0, transfers: &transfers };
    m.refused(init, with(sender, laden, FOREVER), Error::MissingRight);
    let brief = m.handle(init, Request::Derive { source: endpoint, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief, message(0), FOREVER), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, with(brief, message(0), FOREVER), Error::StaleHandle);
}

#[test]
fn a_call_times_out_queued_and_received_and_its_reply_is_stale() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    let ask = Request::Call { endpoint: one_sends, message: message(1), timeout: 100 };
    m.blocks(one, ask);
    assert_eq!(m.kernel.deadline(), Some(100));
    m.tick(99);
    assert_eq!(m.kernel.thread_state(one), State::Calling);
    m.tick(100);
    assert_eq!(m.completion(one), Err(Error::TimedOut));
    m.refused(init, Request::Receive { endpoint, timeout: 0 }, Error::WouldBlock);

    m.blocks(init, receive(endpoint));
    m.blocks(one, ask);
    let reply = m.delivery(init).reply;
    m.tick(200);
    assert_eq!(m.completion(one), Err(Error::TimedOut));
    m.refused(init, Request::Reply { reply, message: message(2) }, Error::StaleHandle);
}

#[test]
fn a_call_answered_in_time_does_not_time_out() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    m.blocks(one, Request::Call { endpoint: one_sends, message: message(1), timeout: 100 });
    let reply = m.delivery(init).reply;
    m.ok(init, Request::Reply { reply, message: message(2) });
    assert_eq!(m.delivery(one).tag, 2);
    assert_eq!(m.kernel.deadline(), None);
    m.tick(1000);
    assert!(!m.effects.iter().any(|effect| matches!(effect, Effect::Complete { .. })));
}

#[test]
fn send_goes_to_who_waits_and_its_sender_goes_on() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(1);
    m.blocks(init, receive(endpoint));
    assert_eq!(m.ok(one, Request::Send { endpoint: one_sends, message: message(5), timeout: 0 }), Returned::Nothing);
    let (delivery, from) = m.delivered(init);
    assert_eq!(
        (delivery.kind, delivery.badge, delivery.tag, delivery.reply),
        (DeliveryKind::Sent, 1, 5, ReplyToken::NONE)
    );
    assert_eq!(from, PayloadSource::Thread(one));
    assert_eq!(m.kernel.current(), Some(one));
}

#[test]
fn send_queues_up_to_the_depth_then_would_block_or_waits() {
    let Pair { mut m, init, endpoint, one, one_sends, two, two_sends, .. } = pair(2);
    let send = |tag, timeout| Request::Send {
        endpoint: one_sends,
        message: Message { tag, length: 100, transfers: &[] },
        timeout,
    };
    m.ok(one, send(1, 0));
    m.ok(one, send(2, 0));
    m.refused(one, send(3, 0), Error::WouldBlock);
    m.blocks(one, send(3, FOREVER));
    m.blocks(two, Request::Send { endpoint: two_sends, message: message(4), timeout: 50 });
    for tag in [1, 2, 3] {
        m.blocks(init, receive(endpoint));
        assert_eq!(m.delivery(init).tag, tag);
    }
    assert_eq!(m.completion(one), Ok(Returned::Nothing), "who waited goes on once its message is received");
    m.tick(50);
    assert_eq!(m.completion(two), Err(Error::TimedOut));
    m.refused(init, Request::Receive { endpoint, timeout: 0 }, Error::WouldBlock);
}

#[test]
fn queued_messages_are_paid_for_by_their_sender_and_limited() {
    let Pair { mut m, one, one_sends, process, init, endpoint, .. } = pair(100);
    let used = |m: &mut Machine| match m.ok(m.init, Request::QuotaInspect { quota: m.quota }) {
        Returned::Quota(info) => info.memory_used,
        other => panic!("{other:?}"),
    };
    let before = used(&mut m);
    let send =
        Request::Send { endpoint: one_sends, message: Message { tag: 0, length: 1000, transfers: &[] }, timeout: 0 };
    m.ok(one, send);
    assert_eq!(used(&mut m), before + 1000);
    let limits = abi::info::Limits { capabilities: 32, queued_messages: 1, ..abi::info::Limits::DEFAULT };
    m.ok(init, Request::ProcessLimit { process, limits });
    m.refused(one, send, Error::QuotaExceeded);
    m.blocks(init, receive(endpoint));
    assert_eq!(used(&mut m), before);
    m.ok(one, send);
}

#[test]
fn messages_go_with_the_quota_that_paid_for_them() {
    let mut m = Machine::new();
    let (init, image, quota) = (m.init, m.image, m.quota);
    let endpoint = m.endpoint(init, quota, 8);
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 1 << 20, pages: 10 });
    let name = abi::Name::new("payer");
    let limits = abi::info::Limits { capabilities: 8, ..abi::info::Limits::DEFAULT };
    let payer = m.handle(init, Request::ProcessCreate { image, quota: part, supervisor: endpoint, name, limits });
    let sends = m.grant(payer, endpoint, Rights::SEND);
    let thread = m.start(payer);
    for (tag, length) in [(1, 0), (2, 10), (3, 0)] {
        let message = Message { tag, length, transfers: &[] };
        m.ok(thread, Request::Send { endpoint: sends, message, timeout: 0 });
        m.ok(init, Request::Send { endpoint, message: crate::tests::machine::message(10 + tag), timeout: 0 });
    }
    let read = crate::Kernel::from_state(m.platform, &m.authority(), &m.activity()).expect("a state is read back");
    assert_eq!(read.activity.paid, m.kernel.activity.paid, "what is counted is found again");
    m.ok(init, Request::Destroy { handle: part });
    for tag in [11, 12, 13] {
        m.blocks(init, receive(endpoint));
        assert_eq!(m.delivery(init).tag, tag);
    }
}

#[test]
fn send_refuses() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(0);
    let with = |endpoint, message, timeout| Request::Send { endpoint, message, timeout };
    let long = Message { tag: 0, length: MAX_BYTES as u32 + 1, transfers: &[] };
    m.refused(one, with(Handle::NONE, message(0), 0), Error::BadHandle);
    m.refused(one, with(one_sends, long, 0), Error::TooLarge);
    m.refused(one, with(one_sends, message(0), 0), Error::WouldBlock);
    m.refused(init, with(m.quota, message(0), 0), Error::WrongKind);
    let receiver = m.derive(init, endpoint, Rights::RECEIVE, 0);
    m.refused(init, with(receiver, message(0), 0), Error::MissingRight);
    m.ok(init, Request::Delete { handle: receiver });
    m.refused(init, with(receiver, message(0), 0), Error::StaleHandle);
    let brief = m.handle(init, Request::Derive { source: endpoint, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief, message(0), 0), Error::Expired);
}

#[test]
fn receive_refuses() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    let with = |endpoint, timeout| Request::Receive { endpoint, timeout };
    m.refused(init, with(Handle::NONE, 0), Error::BadHandle);
    m.refused(init, with(m.quota, 0), Error::WrongKind);
    m.refused(init, with(endpoint, 0), Error::WouldBlock);
    m.refused(one, with(one_sends, 0), Error::MissingRight);
    let brief = m.handle(init, Request::Derive { source: endpoint, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief, 0), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, with(brief, 0), Error::StaleHandle);
    m.blocks(init, with(endpoint, 30));
    m.tick(40);
    assert_eq!(m.completion(init), Err(Error::TimedOut));
}

#[test]
fn reply_refuses_and_is_used_once() {
    let Pair { mut m, init, endpoint, one, one_sends, two, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    m.blocks(one, call(one_sends, 1));
    let reply = m.delivery(init).reply;
    let with = |reply, message| Request::Reply { reply, message };
    let long = Message { tag: 0, length: MAX_BYTES as u32 + 1, transfers: &[] };
    m.refused(init, with(ReplyToken::NONE, message(0)), Error::BadHandle);
    m.refused(init, with(ReplyToken::new(reply.thread(), reply.call() + 1), message(0)), Error::StaleHandle);
    m.refused(init, with(ReplyToken::new(77, 1), message(0)), Error::StaleHandle);
    m.refused(init, with(reply, long), Error::TooLarge);
    let own = [Transfer { handle: Handle(reply.0), mode: TransferMode::Reply, rights: Rights::ALL, badge: 0 }];
    m.refused(init, with(reply, Message { tag: 0, length: 0, transfers: &own }), Error::InvalidArgument);
    let gone = [moving(Handle::new(500, 1))];
    m.refused(init, with(reply, Message { tag: 0, length: 0, transfers: &gone }), Error::BadHandle);
    m.refused(two, with(reply, message(0)), Error::StaleHandle);
    m.ok(init, with(reply, message(0)));
    m.refused(init, with(reply, message(0)), Error::StaleHandle);
}

#[test]
fn reply_receive_refuses_before_it_replies() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    m.blocks(one, call(one_sends, 1));
    let reply = m.delivery(init).reply;
    let with = |endpoint, reply, timeout| Request::ReplyReceive { endpoint, reply, message: message(0), timeout };
    m.refused(init, with(Handle::NONE, reply, FOREVER), Error::BadHandle);
    m.refused(init, with(m.quota, reply, FOREVER), Error::WrongKind);
    m.refused(init, with(endpoint, ReplyToken::NONE, FOREVER), Error::BadHandle);
    m.refused(init, with(endpoint, ReplyToken::new(reply.thread(), 99), FOREVER), Error::StaleHandle);
    let sender = m.derive(init, endpoint, Rights::SEND, 0);
    m.refused(init, with(sender, reply, FOREVER), Error::MissingRight);
    let it = [moving(endpoint)];
    let request =
        Request::ReplyReceive { endpoint, reply, message: Message { tag: 0, length: 0, transfers: &it }, timeout: 0 };
    m.refused(init, request, Error::InvalidArgument);
    let brief = m.handle(init, Request::Derive { source: endpoint, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief, reply, FOREVER), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, with(brief, reply, FOREVER), Error::StaleHandle);
    // Once it has replied, that nothing is there ends the wait, not the call.
    m.blocks(init, with(endpoint, reply, 0));
    assert_eq!(m.delivery(one).kind, DeliveryKind::Answer);
    assert_eq!(m.completion(init), Err(Error::WouldBlock));
}

#[test]
fn a_dying_server_leaves_its_callers_told_and_the_queue_as_it_is() {
    let Pair { mut m, init, endpoint, one, one_sends, two, two_sends, .. } = pair(2);
    let (quota, supervisor) = (m.quota, m.endpoint(init, m.quota, 4));
    let _ = quota;
    let (server, thread, handles) = m.child(supervisor, &[(endpoint, Rights::RECEIVE)]);
    m.blocks(thread, receive(handles[0]));
    m.blocks(one, call(one_sends, 1));
    m.delivery(thread);
    m.blocks(two, call(two_sends, 2));
    m.ok(init, Request::ProcessKill { process: server, code: 1 });
    assert_eq!(m.completion(one), Err(Error::PeerGone));
    assert_eq!(m.kernel.thread_state(two), State::Calling, "a call not yet received stays queued");
    m.blocks(init, receive(endpoint));
    assert_eq!(m.delivery(init).badge, 2);
}

#[test]
fn a_dying_caller_leaves_its_server_free_and_its_reply_stale() {
    let Pair { mut m, init, endpoint, one, one_sends, process, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    m.blocks(one, call(one_sends, 1));
    let reply = m.delivery(init).reply;
    m.ok(init, Request::ProcessKill { process, code: 1 });
    m.refused(init, Request::Reply { reply, message: message(1) }, Error::StaleHandle);
    m.refused(init, Request::Receive { endpoint, timeout: 0 }, Error::WouldBlock);
}

#[test]
fn a_reply_kept_does_not_answer_a_later_thread_of_the_same_number() {
    let Pair { mut m, init, endpoint, one, one_sends, process, .. } = pair(2);
    m.blocks(init, receive(endpoint));
    m.blocks(one, call(one_sends, 1));
    let kept = m.delivery(init).reply;
    m.ok(init, Request::ProcessKill { process, code: 1 });
    let sender = m.derive(init, endpoint, Rights::SEND, 3);
    let supervisor = m.endpoint(init, m.quota, 1);
    let (_, next, handles) = m.child(supervisor, &[(sender, Rights::SEND)]);
    assert_eq!(next, one, "the number is used again");
    m.blocks(next, call(handles[0], 1));
    m.blocks(init, receive(endpoint));
    m.refused(init, Request::Reply { reply: kept, message: message(1) }, Error::StaleHandle);
}

#[test]
fn capabilities_move_and_derive_with_a_call_and_its_reply() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    let gift = m.notification(init, m.quota);
    m.blocks(init, receive(endpoint));
    let transfers = [moving(one_sends), deriving(one_sends, Rights::SEND)];
    m.refused(
        one,
        Request::Call {
            endpoint: one_sends,
            message: Message { tag: 0, length: 0, transfers: &transfers },
            timeout: FOREVER,
        },
        Error::InvalidArgument,
    );
    let transfers = [deriving(one_sends, Rights::SEND)];
    m.blocks(
        one,
        Request::Call {
            endpoint: one_sends,
            message: Message { tag: 0, length: 0, transfers: &transfers },
            timeout: FOREVER,
        },
    );
    let delivery = m.delivery(init);
    assert_eq!(delivery.capabilities, 1);
    let arrived = m.kernel.handles(init)[0];
    let Returned::Capability(seen) =
        m.ok(init, Request::Inspect { process: Handle::NONE, slot: arrived.slot(), ancestor: 0 })
    else {
        panic!()
    };
    assert_eq!((seen.rights, seen.badge), (Rights::SEND, 1));

    let transfers = [moving(gift)];
    m.ok(init, Request::Reply { reply: delivery.reply, message: Message { tag: 1, length: 0, transfers: &transfers } });
    let got = m.kernel.handles(one);
    assert_eq!((m.delivery(one).capabilities, got.len()), (1, 1));
    m.refused(init, Request::Poll { notification: gift }, Error::StaleHandle);
    assert_eq!(m.ok(one, Request::Poll { notification: got[0] }), Returned::Value(0));
}

#[test]
fn a_receiver_with_a_full_table_refuses_capabilities_and_nothing_is_lost() {
    let Pair { mut m, init, endpoint, one, one_sends, process, .. } = pair(2);
    let limits = abi::info::Limits { capabilities: 1, ..abi::info::Limits::DEFAULT };
    m.ok(init, Request::ProcessLimit { process, limits });
    m.blocks(init, receive(endpoint));
    m.blocks(one, call(one_sends, 1));
    let reply = m.delivery(init).reply;
    let gift = m.notification(init, m.quota);
    let transfers = [moving(gift)];
    let laden = Message { tag: 1, length: 0, transfers: &transfers };
    m.refused(init, Request::Reply { reply, message: laden }, Error::QuotaExceeded);
    m.ok(init, Request::Poll { notification: gift });
    m.ok(init, Request::Reply { reply, message: message(1) });
}

#[test]
fn a_message_whose_capabilities_have_no_room_keeps_no_other_from_the_receiver() {
    let Pair { mut m, init, endpoint, one, one_sends, two, two_sends, .. } = pair(2);
    let supervisor = m.endpoint(init, m.quota, 1);
    let (process, server, receives) = m.child(supervisor, &[(endpoint, Rights::RECEIVE)]);
    let limits = abi::info::Limits { capabilities: 1, ..abi::info::Limits::DEFAULT };
    m.ok(init, Request::ProcessLimit { process, limits });
    let gift = m.notification(init, m.quota);
    let (copy, whole) = ([deriving(one_sends, Rights::SEND)], [moving(gift)]);
    let laden = |transfers| Message { tag: 1, length: 0, transfers };
    m.blocks(one, Request::Call { endpoint: one_sends, message: laden(&copy), timeout: FOREVER });
    m.blocks(init, Request::Send { endpoint, message: laden(&whole), timeout: FOREVER });
    m.blocks(two, call(two_sends, 3));

    m.blocks(server, receive(receives[0]));
    assert_eq!([m.completion(one), m.completion(init)], [Err(Error::QuotaExceeded); 2]);
    let delivery = m.delivery(server);
    assert_eq!(delivery.tag, 3);
    m.ok(init, Request::Poll { notification: gift });

    m.blocks(one, Request::Call { endpoint: one_sends, message: laden(&copy), timeout: FOREVER });
    let (endpoint, reply) = (receives[0], delivery.reply);
    m.blocks(server, Request::ReplyReceive { endpoint, reply, message: message(4), timeout: FOREVER });
    assert_eq!((m.delivery(two).tag, m.completion(one)), (4, Err(Error::QuotaExceeded)));
    m.blocks(one, call(one_sends, 5));
    assert_eq!(m.delivery(server).tag, 5);
}

#[test]
fn the_right_to_answer_is_handed_on() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    let worker_endpoint = m.endpoint(init, m.quota, 2);
    let supervisor = m.endpoint(init, m.quota, 1);
    let (_, worker, handles) = m.child(supervisor, &[(worker_endpoint, Rights::RECEIVE)]);
    m.blocks(worker, receive(handles[0]));
    m.blocks(init, receive(endpoint));
    m.blocks(one, call(one_sends, 1));
    let reply = m.delivery(init).reply;
    let transfers = [Transfer { handle: Handle(reply.0), mode: TransferMode::Reply, rights: Rights::ALL, badge: 0 }];
    m.ok(
        init,
        Request::Send {
            endpoint: worker_endpoint,
            message: Message { tag: 3, length: 0, transfers: &transfers },
            timeout: 0,
        },
    );
    m.delivery(worker);
    let token = ReplyToken(m.kernel.handles(worker)[0].0);
    m.refused(init, Request::Reply { reply, message: message(0) }, Error::StaleHandle);
    m.blocks(init, receive(endpoint));
    m.ok(worker, Request::Reply { reply: token, message: message(9) });
    assert_eq!(m.delivery(one).tag, 9);
}

#[test]
fn a_message_that_waits_with_capabilities_changes_nothing_if_it_times_out() {
    let Pair { mut m, init, endpoint, one, one_sends, .. } = pair(2);
    let transfers = [moving(one_sends)];
    let laden = Message { tag: 1, length: 0, transfers: &transfers };
    m.refused(one, Request::Send { endpoint: one_sends, message: laden, timeout: 0 }, Error::WouldBlock);
    m.blocks(one, Request::Send { endpoint: one_sends, message: laden, timeout: 20 });
    m.tick(20);
    assert_eq!(m.completion(one), Err(Error::TimedOut));
    m.blocks(one, Request::Send { endpoint: one_sends, message: laden, timeout: 20 });
    m.blocks(init, receive(endpoint));
    assert_eq!(m.delivery(init).capabilities, 1);
    assert_eq!(m.completion(one), Ok(Returned::Nothing));
    m.refused(one, call(one_sends, 1), Error::StaleHandle);
}
