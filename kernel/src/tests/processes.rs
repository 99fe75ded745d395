//! Processes: their calls, faults, exit messages, quotas and end.

use super::machine::{Machine, message};
use crate::{Effect, Input, PayloadSource, ProcessId, State, ThreadId};
use abi::info::Limits;
use abi::message::{FaultKind, MAX_BYTES, TAG_EXIT, TAG_FAULT, VERDICT_KILL, VERDICT_RESUME};
use abi::{
    DeliveryKind, Error, ExitReason, FOREVER, Handle, Name, ProcessInfo, ProcessState, Request, Returned, Rights,
};

/// A supervisor's endpoint of init's, a child with that endpoint (to send), its thread.
fn supervised() -> (Machine, Handle, Handle, ThreadId) {
    let mut m = Machine::new();
    let supervisor = m.endpoint(m.init, m.quota, 4);
    let badged = m.derive(m.init, supervisor, Rights::SEND, 77);
    let (process, thread, _) = m.child(badged, &[(supervisor, Rights::SEND)]);
    (m, supervisor, process, thread)
}

fn inspect(m: &mut Machine, process: Handle) -> ProcessInfo {
    match m.ok(m.init, Request::ProcessInspect { process }) {
        Returned::Process(info) => info,
        other => panic!("{other:?}"),
    }
}

/// Words of a message of the kernel's own.
fn words(from: PayloadSource) -> [u64; 8] {
    match from {
        PayloadSource::Kernel(words) => words,
        other => panic!("{other:?}"),
    }
}

fn receive(endpoint: Handle) -> Request<'static> {
    Request::Receive { endpoint, timeout: FOREVER }
}

#[test]
fn a_process_is_made_granted_to_and_started() {
    let mut m = Machine::new();
    let (init, supervisor) = (m.init, m.endpoint(m.init, m.quota, 4));
    let process = m.create(supervisor);
    assert!(m.has_effect(Effect::ProcessCreated { process: ProcessId(1), image: crate::ImageId(1) }));
    let seen = inspect(&mut m, process);
    assert_eq!((seen.serial, seen.state, seen.name, seen.threads), (2, ProcessState::Created, Name::new("child"), 0));
    let handle = m.grant(process, supervisor, Rights::SEND);
    assert_eq!(handle.slot(), 0, "the handle is valid there, not here");
    let thread = m.start(process);
    assert!(m.has_effect(Effect::ThreadStarted { thread, process: ProcessId(1), startup: Some(init), entry: None }));
    assert_eq!(m.kernel.thread_state(thread), State::Ready);
    assert_eq!(inspect(&mut m, process).state, ProcessState::Running);
    m.blocks(init, receive(supervisor));
    m.blocks(thread, Request::Call { endpoint: handle, message: message(1), timeout: FOREVER });
    assert_eq!(m.delivery(init).kind, DeliveryKind::Called);
}

#[test]
fn process_create_refuses() {
    let mut m = Machine::new();
    let (init, image, quota, supervisor) = (m.init, m.image, m.quota, m.endpoint(m.init, m.quota, 4));
    let with = |image, quota, supervisor, limits| Request::ProcessCreate {
        image,
        quota,
        supervisor,
        name: Name::default(),
        limits,
    };
    let limits = Limits::DEFAULT;
    m.refused(init, with(Handle::NONE, quota, supervisor, limits), Error::BadHandle);
    m.refused(init, with(quota, quota, supervisor, limits), Error::WrongKind);
    m.refused(init, with(image, image, supervisor, limits), Error::WrongKind);
    m.refused(init, with(image, quota, image, limits), Error::WrongKind);
    let receiver = m.derive(init, supervisor, Rights::RECEIVE, 0);
    m.refused(init, with(image, quota, receiver, limits), Error::MissingRight);
    let inspector = m.derive(init, quota, Rights::INSPECT, 0);
    m.refused(init, with(image, inspector, supervisor, limits), Error::MissingRight);
    m.refused(init, with(image, quota, supervisor, Limits { capabilities: 1 << 21, ..limits }), Error::InvalidArgument);
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 1000, pages: 0 });
    m.refused(init, with(image, poor, supervisor, limits), Error::QuotaExceeded);
    let brief = m.handle(init, Request::Derive { source: image, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief, quota, supervisor, limits), Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    m.refused(init, with(brief, quota, supervisor, limits), Error::StaleHandle);
}

#[test]
fn process_grant_refuses() {
    let (mut m, supervisor, process, _) = supervised();
    let init = m.init;
    let made = m.create(supervisor);
    let with =
        |process, source, rights, badge| Request::ProcessGrant { process, source, rights, badge, expiry: FOREVER };
    m.refused(init, with(Handle::NONE, supervisor, Rights::SEND, 0), Error::BadHandle);
    m.refused(init, with(supervisor, supervisor, Rights::SEND, 0), Error::WrongKind);
    m.refused(init, with(made, Handle::NONE, Rights::SEND, 0), Error::BadHandle);
    m.refused(init, with(made, supervisor, Rights::READ, 0), Error::MissingRight);
    m.refused(init, with(process, supervisor, Rights::SEND, 0), Error::InvalidArgument);
    let badged = m.derive(init, supervisor, Rights::SEND, 5);
    m.refused(init, with(made, badged, Rights::SEND, 6), Error::InvalidArgument);
    let inspector = m.derive(init, made, Rights::INSPECT, 0);
    m.refused(init, with(inspector, supervisor, Rights::SEND, 0), Error::MissingRight);
    for _ in 0..32 {
        m.grant(made, supervisor, Rights::SEND);
    }
    m.refused(init, with(made, supervisor, Rights::SEND, 0), Error::QuotaExceeded);
    m.ok(init, Request::Delete { handle: badged });
    m.refused(init, with(made, badged, Rights::SEND, 0), Error::StaleHandle);
    let brief = m.handle(init, Request::Derive { source: made, rights: Rights::ALL, badge: 0, expiry: 10 });
    m.now = 10;
    m.refused(init, with(brief, supervisor, Rights::SEND, 0), Error::Expired);
}

#[test]
fn start_suspend_resume_kill_inspect_and_limit_refuse() {
    let (mut m, supervisor, process, _) = supervised();
    let init = m.init;
    let made = m.create(supervisor);
    let inspector = m.derive(init, process, Rights::INSPECT, 0);
    let manager = m.derive(init, process, Rights::MANAGE, 0);
    let brief = m.handle(init, Request::Derive { source: process, rights: Rights::ALL, badge: 0, expiry: 10 });
    let limits = Limits { capabilities: 40, ..Limits::DEFAULT };
    let calls: [fn(Handle, Limits) -> Request<'static>; 5] = [
        |process, _| Request::ProcessStart { process, length: 0 },
        |process, _| Request::ProcessSuspend { process },
        |process, _| Request::ProcessResume { process },
        |process, _| Request::ProcessKill { process, code: 0 },
        |process, limits| Request::ProcessLimit { process, limits },
    ];
    for call in calls {
        m.refused(init, call(Handle::new(900, 1), limits), Error::BadHandle);
        m.refused(init, call(supervisor, limits), Error::WrongKind);
        m.refused(init, call(inspector, limits), Error::MissingRight);
    }
    m.refused(init, Request::ProcessInspect { process: manager }, Error::MissingRight);
    m.refused(init, Request::ProcessInspect { process: supervisor }, Error::WrongKind);
    m.refused(init, Request::ProcessInspect { process: Handle::new(900, 1) }, Error::BadHandle);
    m.refused(init, Request::ProcessStart { process, length: 0 }, Error::InvalidArgument);
    m.refused(init, Request::ProcessStart { process: made, length: MAX_BYTES as u32 + 1 }, Error::TooLarge);
    m.refused(init, Request::ProcessSuspend { process: made }, Error::InvalidArgument);
    m.refused(init, Request::ProcessResume { process: made }, Error::InvalidArgument);
    m.refused(
        init,
        Request::ProcessLimit { process, limits: Limits { capabilities: 0, ..limits } },
        Error::InvalidArgument,
    );
    m.refused(
        init,
        Request::ProcessLimit { process, limits: Limits { capabilities: 1 << 20, ..limits } },
        Error::QuotaExceeded,
    );
    m.now = 10;
    for call in calls {
        m.refused(init, call(brief, limits), Error::Expired);
    }
    m.refused(init, Request::ProcessInspect { process: brief }, Error::Expired);
    m.ok(init, Request::Delete { handle: brief });
    for call in calls {
        m.refused(init, call(brief, limits), Error::StaleHandle);
    }
    m.refused(init, Request::ProcessInspect { process: brief }, Error::StaleHandle);
    m.ok(init, Request::ProcessKill { process, code: 3 });
    m.refused(init, Request::ProcessSuspend { process }, Error::InvalidArgument);
    m.refused(init, Request::ProcessResume { process }, Error::InvalidArgument);
    m.refused(init, Request::ProcessLimit { process, limits }, Error::InvalidArgument);
    assert_eq!(
        m.ok(init, Request::ProcessKill { process, code: 4 }),
        Returned::Nothing,
        "a second kill is too late to matter"
    );
    assert_eq!(inspect(&mut m, process).code, 3);
}

#[test]
fn process_start_needs_a_quota_that_can_pay_for_the_thread() {
    let mut m = Machine::new();
    let (init, image, quota, supervisor) = (m.init, m.image, m.quota, m.endpoint(m.init, m.quota, 4));
    let poor = m.handle(init, Request::QuotaSplit { quota, memory: 10_000, pages: 0 });
    let limits = Limits { capabilities: 8, ..Limits::DEFAULT };
    let request = Request::ProcessCreate { image, quota: poor, supervisor, name: Name::default(), limits };
    let process = m.handle(init, request);
    m.refused(init, Request::ProcessStart { process, length: 0 }, Error::QuotaExceeded);
}

#[test]
fn exit_tells_the_supervisor_who_waits() {
    let (mut m, supervisor, process, thread) = supervised();
    m.blocks(m.init, receive(supervisor));
    m.now = 500;
    m.blocks(thread, Request::Exit { code: 42 });
    let (delivery, from) = m.delivered(m.init);
    assert_eq!((delivery.kind, delivery.badge, delivery.tag), (DeliveryKind::Exit, 77, TAG_EXIT));
    assert_eq!(words(from)[..3], [ExitReason::Exited as u64, 42, 2]);
    assert!(m.has_effect(Effect::ProcessGone(ProcessId(1))) && m.has_effect(Effect::ThreadGone(thread)));
    let seen = inspect(&mut m, process);
    assert_eq!((seen.state, seen.reason, seen.code), (ProcessState::Exited, ExitReason::Exited, 42));
    m.ok(m.init, Request::Delete { handle: process });
    assert!(m.kernel.process_info(ProcessId(1)).is_none(), "the record goes with its last capability");
}

#[test]
fn an_exit_message_is_kept_until_it_is_read() {
    let (mut m, supervisor, process, thread) = supervised();
    m.blocks(thread, Request::Exit { code: 42 });
    m.ok(m.init, Request::Delete { handle: process });
    assert!(m.kernel.process_info(ProcessId(1)).is_some(), "nobody holds it, but its message is unread");
    m.blocks(m.init, receive(supervisor));
    assert_eq!(m.delivery(m.init).kind, DeliveryKind::Exit);
    assert!(m.kernel.process_info(ProcessId(1)).is_none());
    m.refused(m.init, Request::Receive { endpoint: supervisor, timeout: 0 }, Error::WouldBlock);
}

#[test]
fn kill_ends_a_process_wherever_it_is() {
    let (mut m, supervisor, process, thread) = supervised();
    let other = m.endpoint(m.init, m.quota, 4);
    let _ = other;
    m.blocks(thread, Request::Call { endpoint: Handle::new(0, 1), message: message(1), timeout: 1000 });
    m.ok(m.init, Request::ProcessKill { process, code: 9 });
    m.blocks(m.init, receive(supervisor));
    let (delivery, from) = m.delivered(m.init);
    assert_eq!(delivery.kind, DeliveryKind::Exit, "its call is gone from the queue");
    assert_eq!(words(from)[..2], [ExitReason::Killed as u64, 9]);
    assert_eq!(m.kernel.deadline(), None, "its time-out too");
}

#[test]
fn a_fault_waits_for_its_verdict() {
    let (mut m, supervisor, process, thread) = supervised();
    let init = m.init;
    m.blocks(init, receive(supervisor));
    m.fault(thread, FaultKind::BadAccess, true);
    let (delivery, from) = m.delivered(init);
    assert_eq!((delivery.kind, delivery.badge, delivery.tag), (DeliveryKind::Fault, 77, TAG_FAULT));
    assert_eq!(words(from)[..4], [FaultKind::BadAccess as u64, 0xBAD, 2, u64::from(thread.0)]);
    m.refused(init, Request::Reply { reply: delivery.reply, message: message(1) }, Error::InvalidArgument);
    m.ok(init, Request::Reply { reply: delivery.reply, message: message(VERDICT_RESUME) });
    assert_eq!(m.kernel.thread_state(thread), State::Ready);
    m.blocks(init, receive(supervisor));
    m.fault(thread, FaultKind::BadInstruction, true);
    let reply = m.delivery(init).reply;
    // The verdict can come with the wait for the next message.
    m.blocks(
        init,
        Request::ReplyReceive { endpoint: supervisor, reply, message: message(VERDICT_KILL), timeout: FOREVER },
    );
    let (delivery, from) = m.delivered(init);
    assert_eq!(delivery.kind, DeliveryKind::Exit);
    assert_eq!(words(from)[..2], [ExitReason::Faulted as u64, FaultKind::BadInstruction as u64]);
    assert_eq!(inspect(&mut m, process).reason, ExitReason::Faulted);
}

/// Given a supervisor whose endpoint is paid for by a quota that only its child holds, when it kills the child and goes
/// on to receive there, then the wait ends: with the child went the quota, and with that the endpoint.
#[test]
fn a_verdict_may_end_the_endpoint_that_its_judge_goes_on_to_receive_at() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 1 << 16, pages: 0 });
    let endpoint = m.endpoint(init, part, 1);
    let (_, thread, _) = m.child(endpoint, &[(part, Rights::ALL)]);
    m.ok(init, Request::Delete { handle: part });
    m.blocks(init, receive(endpoint));
    m.fault(thread, FaultKind::BadAccess, true);
    let reply = m.delivery(init).reply;
    m.blocks(init, Request::ReplyReceive { endpoint, reply, message: message(VERDICT_KILL), timeout: FOREVER });
    assert_eq!(m.completion(init), Err(Error::Revoked));
    m.refused(init, receive(endpoint), Error::StaleHandle);
}

#[test]
fn a_trap_cannot_be_resumed() {
    let (mut m, supervisor, process, thread) = supervised();
    m.blocks(m.init, receive(supervisor));
    m.fault(thread, FaultKind::Trap, false);
    let reply = m.delivery(m.init).reply;
    m.ok(m.init, Request::Reply { reply, message: message(VERDICT_RESUME) });
    assert_eq!(inspect(&mut m, process).state, ProcessState::Exited);
}

#[test]
fn a_fault_is_queued_until_the_supervisor_receives_and_is_not_lost_with_it() {
    let (mut m, supervisor, _, thread) = supervised();
    let init = m.init;
    let own = m.endpoint(init, m.quota, 1);
    let (deputy, deputy_thread, handles) = m.child(own, &[(supervisor, Rights::RECEIVE)]);
    m.ok(init, Request::Yield);
    m.fault(thread, FaultKind::BadAccess, true);
    assert_eq!(m.kernel.thread_state(thread), State::Faulted);
    m.blocks(deputy_thread, receive(handles[0]));
    m.delivery(deputy_thread);
    assert_eq!(m.kernel.thread_state(thread), State::AwaitingVerdict);
    // Who was to judge dies; the endpoint lives, and the fault is there again.
    m.ok(init, Request::ProcessKill { process: deputy, code: 0 });
    m.blocks(init, receive(supervisor));
    let delivery = m.delivery(init);
    assert_eq!(delivery.kind, DeliveryKind::Fault);
    m.ok(init, Request::Reply { reply: delivery.reply, message: message(VERDICT_RESUME) });
    assert_eq!(m.kernel.thread_state(thread), State::Ready);
}

#[test]
fn a_process_with_a_fault_and_no_supervisor_ends() {
    let (mut m, supervisor, process, thread) = supervised();
    m.ok(m.init, Request::Yield);
    m.fault(thread, FaultKind::BadAccess, true);
    m.ok(m.init, Request::Destroy { handle: supervisor });
    assert_eq!(inspect(&mut m, process).reason, ExitReason::Faulted);
    let seconds = m.input(&Input::Fault { thread: m.init, kind: FaultKind::Trap, detail: 0, resumable: false });
    assert!(seconds.is_ok(), "init has none from the start");
    assert_eq!(m.kernel.current(), None);
}

#[test]
fn suspend_ends_waits_and_stops_until_resume() {
    let (mut m, supervisor, process, thread) = supervised();
    let init = m.init;
    m.blocks(thread, Request::Call { endpoint: Handle::new(0, 1), message: message(1), timeout: FOREVER });
    m.ok(init, Request::ProcessSuspend { process });
    assert_eq!(m.completion(thread), Err(Error::Interrupted));
    assert_eq!(m.kernel.thread_state(thread), State::Suspended);
    assert_eq!(inspect(&mut m, process).state, ProcessState::Suspended);
    m.ok(init, Request::ProcessSuspend { process });
    m.refused(init, Request::Receive { endpoint: supervisor, timeout: 0 }, Error::WouldBlock);
    m.ok(init, Request::ProcessResume { process });
    m.ok(init, Request::ProcessResume { process });
    assert_eq!(m.kernel.thread_state(thread), State::Ready);
    // Of a thread that is ready, too.
    m.ok(init, Request::ProcessSuspend { process });
    assert_eq!(m.kernel.thread_state(thread), State::Suspended);
    m.ok(init, Request::ProcessKill { process, code: 0 });
    assert_eq!(inspect(&mut m, process).state, ProcessState::Exited);
}

#[test]
fn who_suspends_itself_runs_no_more_until_it_is_resumed() {
    let mut m = Machine::new();
    let (init, quota) = (m.init, m.quota);
    let supervisor = m.endpoint(init, quota, 1);
    let process = m.create(supervisor);
    let itself = m.grant(process, process, Rights::MANAGE);
    let thread = m.start(process);
    m.blocks(init, Request::Receive { endpoint: supervisor, timeout: 1000 });
    assert_eq!(m.kernel.current(), Some(thread));
    m.ok(thread, Request::ProcessSuspend { process: itself });
    assert_eq!(m.kernel.current(), None, "nobody can run");
    m.tick(1000);
    assert_eq!(m.kernel.current(), Some(init));
    assert_eq!(m.kernel.thread_state(thread), State::Suspended);
    m.ok(init, Request::ProcessResume { process });
    assert_eq!(m.kernel.thread_state(thread), State::Ready);
}

#[test]
fn the_time_limit_is_a_fault_that_can_be_lifted() {
    let (mut m, supervisor, process, thread) = supervised();
    let init = m.init;
    let limits = Limits { capabilities: 32, processor_time: 1000, ..Limits::DEFAULT };
    m.ok(init, Request::ProcessLimit { process, limits });
    m.blocks(init, receive(supervisor));
    assert_eq!(m.kernel.current(), Some(thread));
    assert_eq!(m.kernel.deadline(), Some(1000));
    m.tick(999);
    assert_eq!(m.kernel.current(), Some(thread));
    m.tick(1000);
    let (delivery, from) = m.delivered(init);
    assert_eq!(words(from)[..2], [FaultKind::TimeLimit as u64, 1000]);
    m.ok(init, Request::ProcessLimit { process, limits: Limits { processor_time: FOREVER, ..limits } });
    m.blocks(
        init,
        Request::ReplyReceive {
            endpoint: supervisor,
            reply: delivery.reply,
            message: message(VERDICT_RESUME),
            timeout: FOREVER,
        },
    );
    assert_eq!(m.kernel.current(), Some(thread));
    m.tick(1_000_000);
    assert_eq!(m.kernel.current(), Some(thread));
    assert_eq!(m.kernel.process_info(ProcessId(1)).unwrap().processor_time, 1000);
}

#[test]
fn growing_is_paid_for_in_pages() {
    let (mut m, _, process, _) = supervised();
    assert!(m.input(&Input::Grow { process: ProcessId(1), pages: 30 }).is_ok());
    assert_eq!(inspect(&mut m, process).pages, 30);
    assert_eq!(m.input(&Input::Grow { process: ProcessId(1), pages: 1 << 40 }), Err(Error::QuotaExceeded));
    assert_eq!(m.input(&Input::Grow { process: ProcessId(9), pages: 1 }), Err(Error::InvalidArgument));
    m.ok(m.init, Request::ProcessKill { process, code: 0 });
    assert_eq!(inspect(&mut m, process).pages, 0);
    assert_eq!(m.input(&Input::Grow { process: ProcessId(1), pages: 1 }), Err(Error::InvalidArgument));
}

#[test]
fn a_process_goes_with_its_quota_and_its_supervisor_hears_of_it() {
    let mut m = Machine::new();
    let (init, image, quota, supervisor) = (m.init, m.image, m.quota, m.endpoint(m.init, m.quota, 4));
    let part = m.handle(init, Request::QuotaSplit { quota, memory: 1 << 20, pages: 10 });
    let limits = Limits { capabilities: 8, ..Limits::DEFAULT };
    let process =
        m.handle(init, Request::ProcessCreate { image, quota: part, supervisor, name: Name::default(), limits });
    m.start(process);
    m.ok(init, Request::Destroy { handle: part });
    m.refused(init, Request::ProcessKill { process, code: 0 }, Error::StaleHandle);
    m.blocks(init, receive(supervisor));
    let (delivery, from) = m.delivered(init);
    assert_eq!((delivery.kind, words(from)[0]), (DeliveryKind::Exit, ExitReason::Reclaimed as u64));
}

#[test]
fn a_process_goes_with_its_last_capability() {
    let (mut m, supervisor, process, thread) = supervised();
    m.ok(m.init, Request::Delete { handle: process });
    assert!(m.has_effect(Effect::ThreadGone(thread)));
    m.blocks(m.init, receive(supervisor));
    let (_, from) = m.delivered(m.init);
    assert_eq!(words(from)[0], ExitReason::Killed as u64);
}

#[test]
fn a_process_that_never_ran_goes_in_silence() {
    let mut m = Machine::new();
    let supervisor = m.endpoint(m.init, m.quota, 4);
    let process = m.create(supervisor);
    m.ok(m.init, Request::Delete { handle: process });
    assert!(m.has_effect(Effect::ProcessGone(ProcessId(1))));
    m.refused(m.init, Request::Receive { endpoint: supervisor, timeout: 0 }, Error::WouldBlock);
}

#[test]
fn startup_is_the_hosts_to_give() {
    let (mut m, _, _, thread) = supervised();
    assert_eq!(m.hosted(thread, Request::Startup), Effect::Startup { thread });
}

#[test]
fn a_process_takes_one_slot_of_who_makes_it() {
    let mut m = Machine::new();
    let (init, image, quota) = (m.init, m.image, m.quota);
    let supervisor = m.endpoint(init, quota, 4);
    let limits = Limits { capabilities: 8, ..Limits::DEFAULT };
    let process = m.handle(init, Request::ProcessCreate { image, quota, supervisor, name: Name::new("maker"), limits });
    let [image, quota, supervisor] = [image, quota, supervisor].map(|handle| m.grant(process, handle, Rights::ALL));
    let maker = m.start(process);
    while m.call(maker, Request::Derive { source: quota, rights: Rights::ALL, badge: 0, expiry: FOREVER }).is_ok() {}
    let create = Request::ProcessCreate { image, quota, supervisor, name: Name::default(), limits };
    m.refused(maker, create, Error::QuotaExceeded);
    m.ok(maker, Request::Delete { handle: Handle::new(7, 1) });
    m.handle(maker, create);
    m.refused(maker, create, Error::QuotaExceeded);
}

#[test]
fn ten_thousand_processes_come_and_go_and_leave_nothing() {
    let mut m = Machine::new();
    m.checked = false;
    let (init, image, quota, supervisor) = (m.init, m.image, m.quota, m.endpoint(m.init, m.quota, 4));
    let info = |m: &mut Machine| m.ok(m.init, Request::QuotaInspect { quota });
    let limits = Limits { capabilities: 16, ..Limits::DEFAULT };
    let round = |m: &mut Machine| {
        let part = m.handle(init, Request::QuotaSplit { quota, memory: 1 << 20, pages: 10 });
        let process =
            m.handle(init, Request::ProcessCreate { image, quota: part, supervisor, name: Name::default(), limits });
        m.grant(process, supervisor, Rights::SEND);
        m.grant(process, part, Rights::ALL);
        let thread = m.start(process);
        m.handle(thread, Request::RegionCreate { quota: Handle::new(1, 1), pages: 2 });
        m.ok(init, Request::ProcessKill { process, code: 0 });
        m.ok(init, Request::Delete { handle: process });
        m.ok(init, Request::Delete { handle: part });
        m.blocks(init, receive(supervisor));
        m.effects.clear();
    };
    // The first rounds bring vectors to their size.
    (0..4).for_each(|_| round(&mut m));
    let size = |m: &Machine| (m.kernel.authority.capabilities.len(), m.kernel.authority.count(), m.activity().len());
    let (before, paid) = (size(&m), info(&mut m));
    (0..10_000).for_each(|_| round(&mut m));
    assert_eq!(info(&mut m), paid);
    let after = size(&m);
    assert_eq!((before.0, before.1), (after.0, after.1));
    assert!(after.2 <= before.2 + 64, "only counters have grown: {before:?} {after:?}");
    assert_eq!(m.kernel.check(), Ok(()));
}
