//! Every call, made by a guest, with success and with each error that a guest can bring about. How each ended is
//! printed, a line each; the test holds the lines against docs/system-calls.md.

use super::parts::report;
use super::scenes::{LONG, Scene, Stage, check};
use abi::device::{CLOCK_MONOTONIC, DISK_BLOCKS, Operation};
use abi::message::MAX_BYTES;
use abi::{Number, Rights};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use guests::calls::{self, DeliveryKind, Error, Transfer, TransferMode};
use guests::{ALL, FOREVER, LIMITS, NOTHING, Start, print, words};

/// A slot in which there never was anything: beyond what any table here has.
const NOWHERE: u64 = 1 << 32 | 1_000_000;
/// A reply to nobody.
const NOBODY: u64 = 1 << 32 | 500;
/// 1 ms.
const SHORT: u64 = 1_000_000;

/// How calls ended: the number of the error, or 0.
struct Seen<'a> {
    stage: Stage<'a>,
    start: &'a Start,
    quota: u64,
    /// From which nothing can be paid.
    poor: u64,
    ends: BTreeSet<(Number, u64)>,
}

/// The scene. Its second argument is an executable, in hexadecimal digits.
pub fn direct(start: &Start) -> Scene {
    let quota = start.capability("quota");
    let poor = calls::quota_split(quota, 100, 1).map_err(|error| format!("{error:?}"))?;
    let mut seen = Seen { stage: Stage::new(start), start, quota, poor, ends: BTreeSet::new() };
    seen.messages()?;
    seen.notifications()?;
    seen.capabilities()?;
    seen.processes()?;
    seen.memory()?;
    seen.devices()?;
    seen.others();
    let lines: Vec<String> = seen.ends.iter().map(|(call, end)| format!("{} {end}", call.name())).collect();
    print(start, &lines.join("\n"));
    Ok(())
}

/// The parts of its children.
pub fn play(start: &Start) {
    match start.arguments[1].as_str() {
        "waiter" => waiter(start),
        "full-server" => {
            fill(start);
            report(start, 0);
            let _ = calls::receive(start.capability("object"), FOREVER);
        }
        "full-caller" => {
            fill(start);
            loop {
                let _ = calls::call(start.capability("object"), FOREVER, 1, NOTHING);
            }
        }
        "image-maker" => {
            let (part, region) = (start.capability("part"), start.capability("object"));
            report(start, 0);
            report(start, number(&calls::image_create(part, region, start.number(2), "made")));
        }
        "thread-exit" => calls::thread_exit(),
        part => panic!("there is no part {part}"),
    }
}

/// Fills its table.
fn fill(start: &Start) {
    while calls::derive(start.capability("quota"), 0, 0, FOREVER).is_ok() {}
}

/// Waits in a call until its time-out comes, until it is suspended and until its capability is revoked; says before
/// each wait that it is about to, and after it how it ended.
fn waiter(start: &Start) {
    let object = start.capability("object");
    let wait = |timeout| match start.arguments[2].as_str() {
        "send" => number(&calls::send(object, timeout, 1, NOTHING)),
        "call" => number(&calls::call(object, timeout, 1, NOTHING)),
        "receive" => number(&calls::receive(object, timeout)),
        "reply-receive" => match calls::receive(object, FOREVER) {
            Ok(call) => number(&calls::reply_receive(object, call.reply, timeout, 1, NOTHING)),
            Err(_) => 0,
        },
        _ => number(&calls::wait(object, timeout)),
    };
    for timeout in [SHORT, FOREVER, FOREVER] {
        report(start, 0);
        report(start, wait(timeout));
    }
}

fn number<T>(result: &Result<T, Error>) -> u64 {
    result.as_ref().err().map_or(0, |error| *error as u64 + 1)
}

fn transfer(handle: u64, mode: TransferMode, rights: Rights) -> Transfer {
    Transfer { handle, mode, rights: rights.0, badge: 0 }
}

fn unwrapped<T>(call: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{call}: {error:?}"))
}

impl Seen<'_> {
    fn note<T>(&mut self, call: Number, result: Result<T, Error>) {
        self.ends.insert((call, number(&result)));
    }

    /// The same, where the scene cannot go on without.
    fn done<T>(&mut self, call: Number, result: Result<T, Error>) -> Result<T, String> {
        self.ends.insert((call, number(&result)));
        unwrapped(call.name(), result)
    }

    /// What a call on a handle refuses: none, another kind, too few rights, expired, stale.
    fn handles<T>(&mut self, number: Number, good: u64, weak: Rights, call: impl Fn(u64) -> Result<T, Error>) {
        self.note(number, call(if good == self.quota { self.start.capability("log") } else { self.quota }));
        self.any_kind(number, good, weak, Rights::ALL, call);
    }

    /// The same without the kind.
    fn any_kind<T>(
        &mut self,
        number: Number,
        good: u64,
        weak: Rights,
        strong: Rights,
        call: impl Fn(u64) -> Result<T, Error>,
    ) {
        self.no_handles(number, good, &call);
        let feeble = calls::derive(good, weak.0, 0, FOREVER).unwrap();
        self.note(number, call(feeble));
        self.note(number, call(self.expired(good, strong)));
    }

    fn no_handles<T>(&mut self, number: Number, good: u64, call: impl Fn(u64) -> Result<T, Error>) {
        self.note(number, call(NOWHERE));
        let gone = calls::derive(good, 0, 0, FOREVER).unwrap();
        calls::delete(gone).unwrap();
        self.note(number, call(gone));
    }

    fn expired(&self, good: u64, rights: Rights) -> u64 {
        loop {
            // On a busy machine the moment may be over before it is asked for.
            let now = calls::device_read(self.start.capability("device:clock"), CLOCK_MONOTONIC).unwrap();
            if let Ok(brief) = calls::derive(good, rights.0, 0, now + SHORT) {
                self.stage.wait(2);
                return brief;
            }
        }
    }

    /// How `play` of a waiter ends each of its waits. `ready` makes it wait, where that takes another.
    fn waits(&mut self, number: Number, object: u64, ready: impl Fn() -> Result<(), String>) -> Scene {
        let own = calls::derive(object, ALL, 0, FOREVER).unwrap();
        let mut child = self.stage.actor("every-call");
        child.argument("waiter").argument(number.name()).grant("object", own, ALL);
        unwrapped("start", child.start())?;
        for end in 0..3 {
            self.stage.reported()?;
            ready()?;
            self.stage.wait(5);
            match end {
                1 => {
                    unwrapped("suspend", calls::process_suspend(child.process))?;
                    unwrapped("resume", calls::process_resume(child.process))?;
                }
                2 => {
                    unwrapped("revoke", calls::revoke(own))?;
                }
                _ => {}
            }
            let ended = self.stage.reported()?;
            self.ends.insert((number, ended));
        }
        Ok(())
    }

    fn messages(&mut self) -> Scene {
        let (stage, quota) = (self.stage, self.quota);
        let endpoint = stage.endpoint();
        let long = vec![0; MAX_BYTES + 1];
        let one = transfer(quota, TransferMode::Move, Rights::NONE);
        let gift = transfer(quota, TransferMode::Derive, Rights::INSPECT);

        let send = |endpoint| calls::send(endpoint, 0, 1, NOTHING);
        self.handles(Number::Send, endpoint, Rights::RECEIVE, send);
        self.note(Number::Send, calls::send_with(endpoint, 0, 1, NOTHING, &long, &[]));
        self.note(Number::Send, calls::send_with(endpoint, 0, 1, NOTHING, &[], &[one, one]));
        self.done(Number::Send, send(endpoint))?;
        let narrow = calls::endpoint_create(quota, 0).unwrap();
        self.note(Number::Send, send(narrow));
        self.waits(Number::Send, narrow, || Ok(()))?;
        let wide = calls::endpoint_create(quota, 1000).unwrap();
        while calls::send(wide, 0, 1, NOTHING).is_ok() {}
        self.note(Number::Send, send(wide));
        calls::destroy(wide).unwrap();

        let call = |endpoint| calls::call(endpoint, LONG, 1, words(1));
        self.handles(Number::Call, endpoint, Rights::RECEIVE, call);
        self.note(Number::Call, calls::call_with(endpoint, LONG, 1, NOTHING, &long, &[]));
        self.note(Number::Call, calls::call_with(endpoint, LONG, 1, NOTHING, &[], &[one, one]));
        self.note(Number::Call, calls::call(endpoint, 0, 1, NOTHING));
        self.waits(Number::Call, endpoint, || Ok(()))?;
        let server = stage.endpoint();
        unwrapped("start", stage.actor("echo").grant("endpoint", server, ALL).start())?;
        self.done(Number::Call, call(server))?;
        let gone = stage.endpoint();
        let mut bad = stage.actor("bad-server");
        unwrapped("start", bad.argument("served").argument("exits").grant("endpoint", gone, ALL).start())?;
        self.note(Number::Call, call(gone));
        let object = stage.endpoint();
        self.child("full-server", object)?;
        stage.reported()?;
        stage.wait(5);
        self.note(Number::Call, calls::call_with(object, LONG, 1, NOTHING, &[], &[gift]));

        let receive = |endpoint| calls::receive(endpoint, 0);
        let endpoint = stage.endpoint();
        self.handles(Number::Receive, endpoint, Rights::SEND, receive);
        self.note(Number::Receive, receive(endpoint));
        self.waits(Number::Receive, endpoint, || Ok(()))?;
        calls::send(endpoint, 0, 1, NOTHING).unwrap();
        self.done(Number::Receive, receive(endpoint))?;
        // What it has no room for waits when it comes to receive, as it was given to one that waited above.
        self.child("full-server", endpoint)?;
        self.note(Number::Send, calls::send_with(endpoint, LONG, 1, NOTHING, &[], &[gift]));
        stage.reported()?;

        let endpoint = stage.endpoint();
        self.child("full-caller", endpoint)?;
        let reply = unwrapped("receive", calls::receive(endpoint, LONG))?.reply;
        let reply_with = |bytes: &[u8], transfers: &[Transfer]| calls::reply_with(reply, 1, NOTHING, bytes, transfers);
        self.note(Number::Reply, calls::reply(0, 1, NOTHING));
        self.note(Number::Reply, calls::reply(NOBODY, 1, NOTHING));
        self.note(Number::Reply, reply_with(&long, &[]));
        self.note(Number::Reply, reply_with(&[], &[one, one]));
        self.any_kind(Number::Reply, quota, Rights::INSPECT, Rights::ALL, |handle| {
            reply_with(&[], &[transfer(handle, TransferMode::Derive, Rights::SPLIT)])
        });
        self.note(Number::Reply, reply_with(&[], &[gift]));
        self.done(Number::Reply, calls::reply(reply, 1, NOTHING))?;

        let reply = unwrapped("receive", calls::receive(endpoint, LONG))?.reply;
        let answer = |endpoint, bytes: &[u8], transfers: &[Transfer], timeout| {
            calls::reply_receive_with(endpoint, reply, timeout, 1, NOTHING, bytes, transfers)
        };
        self.handles(Number::ReplyReceive, endpoint, Rights::SEND, |endpoint| answer(endpoint, &[], &[], LONG));
        self.note(Number::ReplyReceive, answer(endpoint, &long, &[], LONG));
        self.note(Number::ReplyReceive, answer(endpoint, &[], &[one, one], LONG));
        self.note(Number::ReplyReceive, answer(endpoint, &[], &[gift], LONG));
        self.done(Number::ReplyReceive, answer(endpoint, &[], &[], LONG))?;
        // The one whose call it is now is not at this endpoint, where nobody calls.
        let (quiet, other) = (stage.endpoint(), stage.endpoint());
        let mut client = stage.client(other, 1);
        unwrapped("start", client.start())?;
        let reply = unwrapped("receive", calls::receive(other, LONG))?.reply;
        self.note(Number::ReplyReceive, calls::reply_receive(quiet, reply, 0, 1, NOTHING));
        stage.reported()?;
        let served = stage.endpoint();
        self.waits(Number::ReplyReceive, served, || {
            unwrapped("call", calls::call(served, LONG, 1, NOTHING)).map(|_| ())
        })
    }

    /// A child of this file with `object`.
    fn child(&self, part: &str, object: u64) -> Scene {
        let mut child = self.stage.actor("every-call");
        child.argument(part).grant("object", object, ALL);
        unwrapped("start", child.start())
    }

    fn notifications(&mut self) -> Scene {
        let (quota, poor) = (self.quota, self.poor);
        let create = |depth| move |quota| calls::endpoint_create(quota, depth);
        self.handles(Number::EndpointCreate, quota, Rights::INSPECT, create(1));
        self.note(Number::EndpointCreate, create(1)(poor));
        self.note(Number::EndpointCreate, create(65_537)(quota));
        let endpoint = self.done(Number::EndpointCreate, create(1)(quota))?;
        self.handles(Number::NotificationCreate, quota, Rights::INSPECT, calls::notification_create);
        self.note(Number::NotificationCreate, calls::notification_create(poor));
        let bits = self.done(Number::NotificationCreate, calls::notification_create(quota))?;

        self.handles(Number::Signal, bits, Rights::WAIT, |bits| calls::signal(bits, 1));
        self.note(Number::Signal, calls::signal(bits, 0));
        self.handles(Number::Wait, bits, Rights::SIGNAL, |bits| calls::wait(bits, 0));
        self.note(Number::Wait, calls::wait(bits, 0));
        self.waits(Number::Wait, bits, || Ok(()))?;
        self.done(Number::Signal, calls::signal(bits, 1))?;
        self.done(Number::Wait, calls::wait(bits, 0))?;
        self.handles(Number::Poll, bits, Rights::SIGNAL, calls::poll);
        self.done(Number::Poll, calls::poll(bits))?;

        self.handles(Number::NotificationBind, bits, Rights::SIGNAL, |bits| calls::notification_bind(bits, endpoint));
        self.handles(Number::NotificationUnbind, bits, Rights::SIGNAL, calls::notification_unbind);
        self.note(Number::NotificationUnbind, calls::notification_unbind(bits));
        self.done(Number::NotificationBind, calls::notification_bind(bits, endpoint))?;
        self.note(Number::NotificationBind, calls::notification_bind(bits, endpoint));
        self.done(Number::NotificationUnbind, calls::notification_unbind(bits))?;

        for (number, call) in [
            (Number::CaptureBegin, calls::capture_begin as fn(u64) -> Result<(), Error>),
            (Number::CaptureEnd, calls::capture_end),
        ] {
            self.note(number, call(quota));
            self.any_kind(number, endpoint, Rights::ALL, Rights::CAPTURE, call);
        }
        self.note(Number::CaptureEnd, calls::capture_end(endpoint));
        self.done(Number::CaptureBegin, calls::capture_begin(endpoint))?;
        self.note(Number::CaptureBegin, calls::capture_begin(endpoint));
        self.done(Number::CaptureEnd, calls::capture_end(endpoint)).map(|_| ())
    }

    fn capabilities(&mut self) -> Scene {
        let (quota, both) = (self.quota, Rights::SPLIT.or(Rights::INSPECT).0);
        let derive = |source, badge| calls::derive(source, both, badge, FOREVER);
        self.any_kind(Number::Derive, quota, Rights::SPLIT, Rights::ALL, |source| derive(source, 0));
        let badged = self.done(Number::Derive, derive(quota, 7))?;
        self.note(Number::Derive, derive(badged, 8));
        let mut last = Ok(0);
        let mut made = Vec::new();
        while let Ok(handle) = last {
            made.push(handle);
            last = derive(quota, 0);
        }
        self.note(Number::Derive, last);
        for handle in made {
            let _ = calls::delete(handle);
        }
        self.no_handles(Number::Delete, quota, calls::delete);
        self.done(Number::Delete, calls::delete(badged))?;
        self.no_handles(Number::Revoke, quota, calls::revoke);
        let (endpoint, process) = (self.stage.endpoint(), self.process(8)?);
        self.done(Number::Revoke, calls::revoke(endpoint))?;
        self.any_kind(Number::Destroy, endpoint, Rights::SEND, Rights::ALL, calls::destroy);
        self.note(Number::Destroy, calls::destroy(quota));
        self.done(Number::Destroy, calls::destroy(endpoint))?;
        self.handles(Number::Inspect, process, Rights::MANAGE, |process| calls::inspect(process, 0, 0));
        self.note(Number::Inspect, calls::inspect(0, 1 << 20, 0));
        self.done(Number::Inspect, calls::inspect(0, 0, 0))?;
        self.handles(Number::QuotaSplit, quota, Rights::INSPECT, |quota| calls::quota_split(quota, 1, 0));
        self.note(Number::QuotaSplit, calls::quota_split(quota, u64::MAX, 0));
        self.done(Number::QuotaSplit, calls::quota_split(quota, 1, 0))?;
        self.handles(Number::QuotaInspect, quota, Rights::SPLIT, calls::quota_inspect);
        self.done(Number::QuotaInspect, calls::quota_inspect(quota)).map(|_| ())
    }

    /// A process that was not started, with room for so many capabilities.
    fn process(&self, capabilities: u32) -> Result<u64, String> {
        unwrapped("process-create", self.create(self.start.capability("image:actor"), self.quota, capabilities))
    }

    fn create(&self, image: u64, quota: u64, capabilities: u32) -> Result<u64, Error> {
        let limits = calls::Limits { capabilities, ..LIMITS };
        calls::process_create(image, quota, self.stage.exits, "child", limits)
    }

    fn processes(&mut self) -> Scene {
        let (quota, image, exits) = (self.quota, self.start.capability("image:actor"), self.stage.exits);
        let create = |image, quota, exits| calls::process_create(image, quota, exits, "child", LIMITS);
        self.handles(Number::ProcessCreate, image, Rights::MANAGE, |image| create(image, quota, exits));
        self.handles(Number::ProcessCreate, quota, Rights::INSPECT, |quota| create(image, quota, exits));
        self.handles(Number::ProcessCreate, exits, Rights::RECEIVE, |exits| create(image, quota, exits));
        self.note(Number::ProcessCreate, self.create(image, quota, (1 << 20) + 1));
        self.note(Number::ProcessCreate, create(image, self.poor, exits));
        let made = create(image, quota, exits);
        self.done(Number::ProcessCreate, made)?;

        let process = self.process(1)?;
        let grant = |process, source, badge| calls::process_grant(process, source, Rights::SPLIT.0, badge, FOREVER);
        self.handles(Number::ProcessGrant, process, Rights::INSPECT, |process| grant(process, quota, 0));
        self.any_kind(Number::ProcessGrant, quota, Rights::INSPECT, Rights::ALL, |source| grant(process, source, 0));
        self.done(Number::ProcessGrant, grant(process, quota, 0))?;
        self.note(Number::ProcessGrant, grant(process, quota, 0));
        for (number, call) in [
            (Number::ProcessSuspend, calls::process_suspend as fn(u64) -> Result<(), Error>),
            (Number::ProcessResume, calls::process_resume),
        ] {
            self.handles(number, process, Rights::INSPECT, call);
            self.note(number, call(process));
        }
        self.handles(Number::ProcessStart, process, Rights::INSPECT, |process| calls::process_start(process, &[]));
        self.note(Number::ProcessStart, calls::process_start(process, &vec![0; MAX_BYTES + 1]));
        let mut child = self.stage.actor("go");
        child.argument("waits");
        self.done(Number::ProcessStart, child.start())?;
        let process = child.process;
        self.stage.reported()?;
        self.note(Number::ProcessStart, calls::process_start(process, &[]));
        self.note(Number::ProcessGrant, grant(process, quota, 0));
        self.handles(Number::ProcessInspect, process, Rights::MANAGE, calls::process_inspect);
        self.done(Number::ProcessInspect, calls::process_inspect(process))?;
        let limit = |process, capabilities| calls::process_limit(process, calls::Limits { capabilities, ..LIMITS });
        self.handles(Number::ProcessLimit, process, Rights::INSPECT, |process| limit(process, 64));
        self.note(Number::ProcessLimit, limit(process, 0));
        self.done(Number::ProcessLimit, limit(process, 64))?;
        // It goes on after its wait, which ends with `Interrupted`, and comes to its end.
        self.done(Number::ProcessSuspend, calls::process_suspend(process))?;
        self.done(Number::ProcessResume, calls::process_resume(process))?;
        self.handles(Number::ProcessKill, process, Rights::INSPECT, |process| calls::process_kill(process, 1));
        self.done(Number::ProcessKill, calls::process_kill(process, 1))?;

        // A quota that pays for a process and for nothing more, whatever processes cost.
        let prices = (512..100_000).step_by(32);
        let dear = prices.filter_map(|memory| {
            let own = calls::quota_split(quota, memory, 0).ok()?;
            self.create(image, own, 1).or_else(|error| calls::delete(own).and(Err(error))).ok()
        });
        let dear = dear.take(1).next().ok_or("no process can be paid")?;
        self.note(Number::ProcessStart, calls::process_start(dear, &[]));
        self.note(Number::ProcessLimit, limit(dear, 64));

        // What does not return is seen by its exit message.
        self.exit_of(Number::Exit, "go", "exits", 7)?;
        self.exit_of(Number::ThreadExit, "every-call", "thread-exit", 0)?;
        self.done(Number::Startup, calls::startup())?;
        calls::yield_();
        self.note(Number::Yield, Ok(()));
        self.note(Number::ThreadCreate, calls::thread_create(quota, 1, 2, 3));
        let none = calls::derive(quota, 0, 0, FOREVER).unwrap();
        calls::delete(none).unwrap();
        for thread in [NOWHERE, none, quota] {
            self.note(Number::ThreadConfigure, calls::thread_configure(thread, 1, FOREVER, FOREVER));
        }
        self.note(Number::ThreadConfigure, calls::thread_configure(0, 32, FOREVER, FOREVER));
        self.done(Number::ThreadConfigure, calls::thread_configure(0, 1, FOREVER, FOREVER))
    }

    fn exit_of(&mut self, number: Number, part: &str, how: &str, code: u64) -> Scene {
        let exits = self.stage.endpoint();
        let mut child = Stage { exits, ..self.stage }.actor(part);
        unwrapped("start", child.argument(how).start())?;
        let exit = unwrapped("receive", calls::receive(exits, LONG))?;
        check(exit.kind == DeliveryKind::Exit && exit.words.1 == code, format!("{how}: {:?}", exit.words))?;
        self.note(number, Ok(()));
        Ok(())
    }

    fn memory(&mut self) -> Scene {
        let (quota, poor) = (self.quota, self.poor);
        let create = |pages| move |quota| calls::region_create(quota, pages);
        self.handles(Number::RegionCreate, quota, Rights::INSPECT, create(1));
        self.note(Number::RegionCreate, create(1)(poor));
        self.note(Number::RegionCreate, create(0)(quota));
        let region = self.done(Number::RegionCreate, create(32)(quota))?;
        let read = |region, offset, length| calls::region_read(region, offset, length);
        self.handles(Number::RegionRead, region, Rights::WRITE, |region| read(region, 0, 1));
        self.note(Number::RegionRead, read(region, 32 * 4096, 1));
        self.note(Number::RegionRead, read(region, 0, MAX_BYTES as u32 + 1));
        let bytes = executable(&self.start.arguments[1]);
        let write = |region, offset, bytes: &[u8]| calls::region_write(region, offset, bytes);
        self.handles(Number::RegionWrite, region, Rights::READ, |region| write(region, 0, &[1]));
        self.note(Number::RegionWrite, write(region, 32 * 4096, &[1]));
        self.note(Number::RegionWrite, write(region, 0, &vec![0; MAX_BYTES + 1]));
        self.done(Number::RegionWrite, write(region, 0, &bytes))?;
        let back = self.done(Number::RegionRead, read(region, 0, bytes.len() as u32))?;
        check(back == bytes, "the region has other bytes")?;
        self.note(Number::RegionMap, calls::region_map(region, 0x10_0000, Rights::READ.0));
        self.note(Number::RegionUnmap, calls::region_unmap(region, 0x10_0000));

        let image = |quota, region, length| calls::image_create(quota, region, length, "made");
        self.handles(Number::ImageCreate, quota, Rights::INSPECT, |quota| image(quota, region, 1));
        self.handles(Number::ImageCreate, region, Rights::WRITE, |region| image(quota, region, 1));
        self.note(Number::ImageCreate, image(quota, region, 0));
        self.note(Number::ImageCreate, image(quota, region, 3));
        self.note(Number::ImageCreate, image(poor, region, 1));
        self.done(Number::ImageCreate, image(quota, region, bytes.len() as u64))?;
        self.quota_goes(region, bytes.len())
    }

    /// The quota that is to pay for an image goes while the host checks the executable. The child may be interrupted between its
    /// report and its call: then it goes before, and another child tries.
    fn quota_goes(&mut self, region: u64, length: usize) -> Scene {
        let mut ended = 0;
        for _ in 0..20 {
            let part = unwrapped("quota-split", calls::quota_split(self.quota, 1 << 20, 16))?;
            let mut child = self.stage.actor("every-call");
            child.argument("image-maker").argument(&format!("{length}"));
            unwrapped("start", child.grant("part", part, ALL).grant("object", region, ALL).start())?;
            self.stage.reported()?;
            unwrapped("destroy", calls::destroy(part))?;
            ended = self.stage.reported()?;
            self.ends.insert((Number::ImageCreate, ended));
            if ended == Error::Revoked as u64 + 1 {
                break;
            }
        }
        check(ended == Error::Revoked as u64 + 1, format!("image-create: {ended}, however often it is tried"))
    }

    fn devices(&mut self) -> Scene {
        let start = self.start;
        let bits = unwrapped("notification-create", calls::notification_create(self.quota))?;
        let (interrupt, clock) = (start.capability("interrupt:power"), start.capability("device:clock"));
        let bind = |interrupt, bits, value| calls::interrupt_bind(interrupt, bits, value);
        self.handles(Number::InterruptBind, interrupt, Rights::ACKNOWLEDGE, |interrupt| bind(interrupt, bits, 1));
        self.note(Number::InterruptBind, bind(interrupt, bits, 0));
        for (number, weak, call) in [
            (Number::InterruptUnbind, Rights::ACKNOWLEDGE, calls::interrupt_unbind as fn(u64) -> Result<(), Error>),
            (Number::InterruptAcknowledge, Rights::BIND, calls::interrupt_acknowledge),
        ] {
            self.handles(number, interrupt, weak, call);
            self.note(number, call(interrupt));
        }
        self.done(Number::InterruptBind, bind(interrupt, bits, 1))?;
        self.note(Number::InterruptBind, bind(interrupt, bits, 1));
        self.done(Number::InterruptAcknowledge, calls::interrupt_acknowledge(interrupt))?;
        self.done(Number::InterruptUnbind, calls::interrupt_unbind(interrupt))?;

        let (disk, console) = (start.capability("device:disk"), start.capability("device:console"));
        self.handles(Number::DeviceRead, disk, Rights::WRITE, |device| calls::device_read(device, DISK_BLOCKS));
        self.note(Number::DeviceRead, calls::device_read(disk, 99));
        self.done(Number::DeviceRead, calls::device_read(disk, DISK_BLOCKS))?;
        let power = start.capability("device:power");
        // The one register that is written here without a terminal ends the machine: the end of the scene does that.
        self.handles(Number::DeviceWrite, power, Rights::READ, |device| calls::device_write(device, 99, 0));
        self.note(Number::DeviceWrite, calls::device_write(power, 99, 0));
        self.note(Number::DeviceWrite, calls::device_write(clock, 0, 0));
        let submit = |device, bytes: &[u8]| calls::device_submit(device, Operation::Write as u8, 0, 0, bytes);
        self.handles(Number::DeviceSubmit, console, Rights::READ, |device| submit(device, b""));
        self.note(Number::DeviceSubmit, submit(console, &vec![0; MAX_BYTES + 1]));
        self.note(Number::DeviceSubmit, submit(clock, b""));
        self.note(Number::DeviceSubmit, calls::device_submit(console, 9, 0, 0, b""));
        self.handles(Number::DeviceComplete, console, Rights::MANAGE, calls::device_complete);
        self.note(Number::DeviceComplete, calls::device_complete(console));
        self.note(Number::DeviceComplete, calls::device_complete(clock));
        self.done(Number::DeviceSubmit, submit(console, b""))?;
        while let Err(error) = calls::device_complete(console) {
            check(error == Error::WouldBlock, format!("device-complete: {error:?}"))?;
            self.stage.wait(1);
        }
        self.note(Number::DeviceComplete, Ok(()));
        self.note(Number::DeviceAddress, calls::device_address(disk, disk, 0));
        Ok(())
    }

    fn others(&mut self) {
        let log = self.start.capability("log");
        self.handles(Number::LogRead, log, Rights::MANAGE, |log| calls::log_read(log, 0, 100));
        self.note(Number::LogRead, calls::log_read(log, 0, MAX_BYTES as u32 + 1));
        self.note(Number::LogRead, calls::log_read(log, 0, 100));
        let long = String::from_utf8(vec![b'.'; 1025]).unwrap();
        self.note(Number::Debug, calls::debug(&long));
        self.note(Number::Debug, calls::debug("every call"));
        while calls::debug("every call").is_ok() {}
        self.note(Number::Debug, calls::debug("every call"));
    }
}

/// Of its hexadecimal digits.
fn executable(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}
