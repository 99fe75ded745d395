//! Threads, priorities, budgets and what callers lend.

use super::machine::{Machine, message};
use crate::{Effect, Input, Platform, State, ThreadId};
use abi::{Error, FOREVER, Handle, Request, Returned, Rights};

fn create(m: &mut Machine, thread: ThreadId, quota: Handle) -> (Handle, ThreadId) {
    let handle = m.handle(thread, Request::ThreadCreate { quota, entry: 1, stack: 2, argument: 3 });
    let made = m.effects.iter().rev().find_map(|effect| match effect {
        Effect::ThreadStarted { thread, entry: Some([1, 2, 3]), .. } => Some(*thread),
        _ => None,
    });
    (handle, made.expect("a thread was made"))
}

fn configure(thread: Handle, priority: u8, budget: u64, period: u64) -> Request<'static> {
    Request::ThreadConfigure { thread, priority, budget, period }
}

#[test]
fn a_second_thread_runs_in_its_turn() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (_, second) = create(&mut m, init, quota);
    assert_eq!(m.kernel.current(), Some(init));
    m.input(&Input::Preempt).unwrap();
    assert_eq!(m.kernel.current(), Some(second));
    m.ok(second, Request::Yield);
    assert_eq!(m.kernel.current(), Some(init));
    m.blocks(init, Request::ThreadExit);
    assert_eq!(m.kernel.current(), Some(second));
    m.blocks(second, Request::ThreadExit);
    assert!(
        m.effects.iter().any(|effect| matches!(effect, Effect::ProcessGone(_))),
        "with its last thread a process ends"
    );
}

#[test]
fn thread_create_refuses() {
    let mut m = Machine::on(Platform::WASM);
    let with = |quota| Request::ThreadCreate { quota, entry: 1, stack: 2, argument: 3 };
    m.refused(m.init, with(m.quota), Error::Unsupported);
    let mut m = Machine::on(Platform { threads_per_process: 2, mapping: true, capture: false });
    let (init, quota, image) = (m.init, m.quota, m.image);
    m.refused(init, with(Handle::NONE), Error::BadHandle);
    m.refused(init, with(image), Error::WrongKind);
    let inspector = m.derive(init, quota, Rights::INSPECT, 0);
    m.refused(init, with(inspector), Error::MissingRight);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 1000, pages: 0 });
    m.refused(init, with(poor), Error::QuotaExceeded);
    create(&mut m, init, quota);
    m.refused(init, with(quota), Error::QuotaExceeded);
    let brief = m.handle(init, Request::Derive { source: quota, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, with(brief), Error::StaleHandle);
}

#[test]
fn thread_configure_refuses() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (second, _) = create(&mut m, init, quota);
    let none = Handle::NONE;
    m.refused(init, configure(Handle::new(900, 1), 1, FOREVER, FOREVER), Error::BadHandle);
    m.refused(init, configure(quota, 1, FOREVER, FOREVER), Error::WrongKind);
    m.refused(init, configure(none, 32, FOREVER, FOREVER), Error::InvalidArgument);
    m.refused(init, configure(none, 17, FOREVER, FOREVER), Error::InvalidArgument);
    m.refused(init, configure(none, 1, 0, 10), Error::InvalidArgument);
    m.refused(init, configure(none, 1, 11, 10), Error::InvalidArgument);
    m.refused(init, configure(none, 1, 10, FOREVER), Error::InvalidArgument);
    let bare = m.derive(init, second, Rights::NONE, 0);
    m.refused(init, configure(bare, 1, FOREVER, FOREVER), Error::MissingRight);
    let brief = m.handle(init, Request::Derive { source: second, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, configure(brief, 1, FOREVER, FOREVER), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, configure(brief, 1, FOREVER, FOREVER), Error::StaleHandle);
    // Nobody gives itself or others more than it has.
    m.ok(init, configure(none, 16, 10, 100));
    m.refused(init, configure(none, 16, 20, 100), Error::InvalidArgument);
    m.refused(init, configure(second, 16, FOREVER, FOREVER), Error::InvalidArgument);
    m.ok(init, configure(second, 16, 1, 10));
}

#[test]
fn the_highest_priority_runs_and_equals_take_turns() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (low, low_thread) = create(&mut m, init, quota);
    let (_, equal) = create(&mut m, init, quota);
    m.ok(init, configure(low, 3, FOREVER, FOREVER));
    m.input(&Input::Preempt).unwrap();
    assert_eq!(m.kernel.current(), Some(equal), "not the one below");
    m.input(&Input::Preempt).unwrap();
    assert_eq!(m.kernel.current(), Some(init));
    m.ok(init, configure(Handle::NONE, 2, FOREVER, FOREVER));
    assert_eq!(m.kernel.current(), Some(equal));
    let endpoint = m.endpoint(equal, quota, 1);
    m.blocks(equal, Request::Receive { endpoint, timeout: FOREVER });
    assert_eq!(m.kernel.current(), Some(low_thread));
    m.ok(low_thread, Request::Send { endpoint, message: message(1), timeout: 0 });
    assert_eq!(m.kernel.current(), Some(equal), "who wakes with a higher priority runs at once");
}

#[test]
fn a_ready_thread_that_the_host_runs_out_of_turn_may_call() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (_, second) = create(&mut m, init, quota);
    let bits = m.notification(second, quota);
    m.ok(second, Request::Signal { notification: bits, bits: 1 });
    assert_eq!(m.ok(second, Request::Wait { notification: bits, timeout: 0 }), Returned::Value(1));
    assert_eq!(m.kernel.current(), Some(second), "it runs on until it blocks or is preempted");
    assert_eq!(m.kernel.thread_state(init), State::Ready);
}

#[test]
fn a_blocked_thread_makes_no_calls() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let endpoint = m.endpoint(init, quota, 1);
    m.blocks(init, Request::Receive { endpoint, timeout: FOREVER });
    m.refused(init, Request::Yield, Error::InvalidArgument);
    m.refused(ThreadId(99), Request::Yield, Error::InvalidArgument);
    m.refused(ThreadId::NONE, Request::Yield, Error::InvalidArgument);
}

#[test]
fn a_budget_is_used_up_and_comes_back_with_the_period() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (second, thread) = create(&mut m, init, quota);
    m.ok(init, configure(second, 16, 30, 100));
    m.ok(init, Request::Yield);
    assert_eq!((m.kernel.current(), m.kernel.deadline()), (Some(thread), Some(30)));
    m.tick(30);
    assert_eq!((m.kernel.current(), m.kernel.thread_state(thread)), (Some(init), State::Depleted));
    assert_eq!(m.kernel.deadline(), Some(100), "the period began with the first use");
    m.tick(99);
    assert_eq!(m.kernel.thread_state(thread), State::Depleted);
    m.tick(100);
    assert_eq!(m.kernel.thread_state(thread), State::Ready);
}

#[test]
fn nobody_gets_its_time_back_by_configuring_itself() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (second, thread) = create(&mut m, init, quota);
    m.ok(init, configure(second, 16, 30, 100));
    m.ok(init, Request::Yield);
    m.now = 20;
    m.ok(thread, configure(Handle::NONE, 16, 30, 100));
    assert_eq!(m.kernel.deadline(), Some(30), "20 of 30 are used");
    for (budget, period) in [(300, 1000), (31, 200), (30, 99)] {
        m.refused(thread, configure(Handle::NONE, 16, budget, period), Error::InvalidArgument);
    }
    m.ok(thread, configure(Handle::NONE, 16, 25, 100));
    m.tick(25);
    assert_eq!((m.kernel.current(), m.kernel.thread_state(thread)), (Some(init), State::Depleted));
    // Who may gives it more; what it has used, it has used.
    m.ok(init, configure(second, 16, 40, 100));
    m.ok(init, Request::Yield);
    assert_eq!((m.kernel.current(), m.kernel.deadline()), (Some(thread), Some(40)));
    m.ok(thread, configure(Handle::NONE, 16, 10, 100));
    m.tick(26);
    assert_eq!(m.kernel.thread_state(thread), State::Depleted, "it has used more than that");
    m.tick(100);
    assert_eq!(m.kernel.thread_state(thread), State::Ready, "the period ends when it would have");
    assert_eq!(m.kernel.activity.detail_view(thread).left, 10);
}

#[test]
fn a_caller_lends_its_priority_and_its_time_until_the_reply() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (server, server_thread) = create(&mut m, init, quota);
    let (client, client_thread) = create(&mut m, init, quota);
    let endpoint = m.endpoint(init, quota, 1);
    m.ok(init, configure(client, 10, 50, 1000));
    m.ok(init, configure(server, 4, FOREVER, FOREVER));
    m.blocks(init, Request::Receive { endpoint, timeout: 10_000 });
    m.tick(10_000);
    let own = m.endpoint(init, quota, 1);
    m.blocks(init, Request::Receive { endpoint: own, timeout: FOREVER });
    // The client waits, so that the server gets to run and waits for it.
    m.blocks(client_thread, Request::Receive { endpoint: own, timeout: 5 });
    m.blocks(server_thread, Request::Receive { endpoint, timeout: FOREVER });
    m.tick(10_005);
    m.completion(client_thread).unwrap_err();
    m.blocks(client_thread, Request::Call { endpoint, message: message(1), timeout: FOREVER });
    let reply = m.delivery(server_thread).reply;
    let seen = m.kernel.activity.view(server_thread).clone();
    assert_eq!((seen.priority, seen.base, seen.payer), (10, 4, client_thread));
    assert_eq!(m.kernel.deadline(), Some(10_055), "the caller pays");
    m.tick(10_055);
    assert_eq!(m.kernel.activity.detail_view(client_thread).left, 0);
    let seen = m.kernel.activity.view(server_thread).clone();
    assert_eq!(
        (seen.priority, seen.payer),
        (4, server_thread),
        "what is lent runs out, the server goes on with its own"
    );
    assert_eq!(m.kernel.current(), Some(server_thread));
    let answer = Request::ReplyReceive { endpoint, reply, message: message(2), timeout: FOREVER };
    assert!(m.kernel.hand_over(server_thread, &answer, m.now).is_none(), "another pays now: the time is to be charged");
    m.blocks(server_thread, answer);
    assert_eq!(m.kernel.thread_state(client_thread), State::Depleted);
}

#[test]
fn a_reply_that_is_held_lends_nothing() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (server, server_thread) = create(&mut m, init, quota);
    let (_, client_thread) = create(&mut m, init, quota);
    let endpoint = m.endpoint(init, quota, 1);
    let own = m.endpoint(init, quota, 1);
    m.ok(init, configure(server, 4, FOREVER, FOREVER));
    m.blocks(init, Request::Receive { endpoint: own, timeout: FOREVER });
    m.blocks(client_thread, Request::Call { endpoint, message: message(1), timeout: FOREVER });
    m.blocks(server_thread, Request::Receive { endpoint, timeout: FOREVER });
    assert_eq!(m.kernel.activity.view(server_thread).priority, 16);
    let reply = m.delivery(server_thread).reply;
    m.blocks(server_thread, Request::Receive { endpoint, timeout: 10 });
    assert_eq!(m.kernel.activity.view(server_thread).priority, 4);
    m.tick(10);
    m.ok(server_thread, Request::Reply { reply, message: message(2) });
    assert_eq!(m.kernel.current(), Some(client_thread));
}

#[test]
fn lending_goes_along_a_chain_of_calls_and_ends_with_its_first() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (middle, middle_thread) = create(&mut m, init, quota);
    let (last, last_thread) = create(&mut m, init, quota);
    let (to_middle, to_last, own) =
        (m.endpoint(init, quota, 1), m.endpoint(init, quota, 1), m.endpoint(init, quota, 1));
    m.ok(init, configure(middle, 5, FOREVER, FOREVER));
    m.ok(init, configure(last, 3, FOREVER, FOREVER));
    m.blocks(init, Request::Receive { endpoint: own, timeout: 10 });
    m.blocks(middle_thread, Request::Receive { endpoint: to_middle, timeout: FOREVER });
    m.blocks(last_thread, Request::Receive { endpoint: to_last, timeout: FOREVER });
    m.tick(10);
    m.blocks(init, Request::Call { endpoint: to_middle, message: message(1), timeout: 100 });
    m.blocks(middle_thread, Request::Call { endpoint: to_last, message: message(2), timeout: FOREVER });
    let seen = m.kernel.activity.view(last_thread).clone();
    assert_eq!((seen.priority, seen.payer), (16, init));
    m.tick(200);
    assert_eq!(m.completion(init), Err(Error::TimedOut));
    let seen = m.kernel.activity.view(last_thread).clone();
    assert_eq!((seen.priority, seen.payer), (5, middle_thread), "what is left is what the second lends");
}

#[test]
fn destroying_a_thread_wakes_whom_it_served_only_with_its_process() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let (server, server_thread) = create(&mut m, init, quota);
    let (_, client_thread) = create(&mut m, init, quota);
    let endpoint = m.endpoint(init, quota, 1);
    m.ok(init, Request::Yield);
    m.blocks(server_thread, Request::Receive { endpoint, timeout: FOREVER });
    m.blocks(client_thread, Request::Call { endpoint, message: message(1), timeout: FOREVER });
    let reply = m.delivery(server_thread).reply;
    assert_eq!(m.ok(init, Request::Destroy { handle: server }), Returned::Nothing);
    m.ok(init, Request::Reply { reply, message: message(2) });
    assert_eq!(m.delivery(client_thread).tag, 2, "another thread of the process answers");
}
