//! The scenes that the director can direct, one a test.

use super::parts::HERE;
use abi::Error;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use guests::calls::{self, DeliveryKind};
use guests::{ALL, Child, FOREVER, NOTHING, Start, power_off, print, words};

/// 5 s: nothing here takes as long.
pub const LONG: u64 = 5_000_000_000;

/// Directs the scene and turns the machine off.
pub fn direct(start: &Start) {
    let result = match start.arguments[0].as_str() {
        "calls" => calls_are_answered(start),
        "point" => a_server_goes(start),
        "client-goes" => a_client_goes(start),
        "chain" => a_chain(start),
        "chain-breaks" => a_chain_breaks(start),
        "cycle" => a_cycle(start),
        "kills-its-caller" => kills_its_caller(start),
        "share" => a_loop_costs_its_share(start),
        "grow" => memory_has_a_limit(start),
        "bulk" => bulk_and_capabilities(start),
        "loan" => loan(start),
        "idle" => idle(start),
        "spawn-storm" => spawn_storm(start),
        "rounds" => rounds(start),
        "shutdown" => shutdown(start),
        "stranger" => stranger(start),
        "ends" => Ok(()),
        "busy" => loop {
            let _ = calls::poll(0);
        },
        "print" => {
            print(start, &start.arguments[1]);
            Ok(())
        }
        "fill" => fill_the_disk(start),
        "every-call" => super::every_call::direct(start),
        scene => Err(format!("there is no scene {scene}")),
    };
    match result {
        Ok(()) => power_off(start, 0),
        Err(what) => {
            print(start, &what);
            power_off(start, 1);
        }
    }
}

pub type Scene = Result<(), String>;

pub fn check(right: bool, what: impl ToString) -> Scene {
    if right { Ok(()) } else { Err(what.to_string()) }
}

/// Endpoints of a scene: where reports come, where exits come.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    pub start: &'a Start,
    pub report: u64,
    pub exits: u64,
}

impl<'a> Stage<'a> {
    pub fn new(start: &'a Start) -> Stage<'a> {
        let quota = start.capability("quota");
        let endpoint = || calls::endpoint_create(quota, 64).unwrap();
        Stage { start, report: endpoint(), exits: endpoint() }
    }

    pub fn endpoint(&self) -> u64 {
        calls::endpoint_create(self.start.capability("quota"), 64).unwrap()
    }

    pub fn actor(&self, part: &str) -> Child {
        let mut child = Child::new(self.start, "image:actor", self.exits, part).unwrap();
        child.argument(part).grant("report", self.report, ALL);
        child.grant("device:clock", self.start.capability("device:clock"), ALL);
        child
    }

    pub fn client(&self, endpoint: u64, rounds: u64) -> Child {
        let mut client = self.actor("client");
        client.argument(&rounds.to_string()).grant("endpoint", endpoint, ALL);
        client
    }

    /// The next number that someone reports.
    pub fn reported(&self) -> Result<u64, String> {
        match calls::receive(self.report, LONG) {
            Ok(message) => Ok(message.words.0),
            Err(error) => Err(format!("nobody reports: {error:?}")),
        }
    }

    fn expect(&self, outcome: u64, what: &str) -> Scene {
        let reported = self.reported().map_err(|error| format!("{what}: {error}"))?;
        check(reported == outcome, format!("{what}: the client's call ended with {reported}, not {outcome}"))
    }

    /// Waits for a fault or an exit; kills whoever faults, until nothing comes for a while.
    fn judge(&self) {
        let mut patience = LONG;
        while let Ok(message) = calls::receive(self.exits, patience) {
            patience = 5_000_000;
            if message.kind == DeliveryKind::Fault {
                let _ = calls::reply(message.reply, abi::message::VERDICT_KILL, NOTHING);
            }
        }
    }

    fn pause(&self) {
        self.wait(5);
    }

    /// For so many milliseconds.
    pub fn wait(&self, milliseconds: u64) {
        let quiet = self.endpoint();
        let _ = calls::receive(quiet, milliseconds * 1_000_000);
        let _ = calls::destroy(quiet);
    }
}

const PEER_GONE: u64 = Error::PeerGone as u64;
const TIMED_OUT: u64 = Error::TimedOut as u64;

fn calls_are_answered(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let endpoint = stage.endpoint();
    stage.actor("echo").grant("endpoint", endpoint, ALL).start().unwrap();
    for _ in 0..3 {
        stage.client(endpoint, 10_000).start().unwrap();
    }
    (0..3).try_for_each(|_| stage.expect(0, "three clients of one server"))
}

/// A server goes in a manner, at a point. Its client is never left waiting.
fn a_server_goes(start: &Start) -> Scene {
    let (point, manner) = (start.arguments[1].as_str(), start.arguments[2].as_str());
    let stage = Stage::new(start);
    let endpoint = stage.endpoint();
    let mut server = stage.actor("bad-server");
    server.argument(point).argument(manner).grant("endpoint", endpoint, ALL);
    server.start().unwrap();
    let patient = manner != "loops" && point != "before";
    let mut client = stage.client(endpoint, 1);
    if !patient {
        // Nobody says that it is over: a time-out does.
        client.argument("30000000");
    }
    client.start().unwrap();
    if point == "held" {
        // A second message lets it go on.
        let _ = calls::send(endpoint, 0, 1, NOTHING);
    }
    let mut early = None;
    if manner == "waits" {
        // Its client may have its answer before the server says that it waits.
        loop {
            match stage.reported()? {
                HERE => break,
                outcome => early = Some(outcome),
            }
        }
        calls::process_kill(server.process, 9).unwrap();
    }
    if manner == "traps" {
        stage.judge();
    }
    let expected = match (point, manner) {
        ("replied" | "yields" | "blocks" | "replies-then-receives", _) => 0,
        ("before", _) | (_, "loops") => TIMED_OUT,
        _ => PEER_GONE,
    };
    let outcome = early.map_or_else(|| stage.reported(), Ok)?;
    check(
        outcome == expected,
        format!("a server that {manner} ({point}): the client's call ended with {outcome}, not {expected}"),
    )?;
    // The endpoint outlives its server: another one takes over.
    let _ = calls::process_kill(server.process, 9);
    stage.actor("echo").grant("endpoint", endpoint, ALL).start().unwrap();
    stage.client(endpoint, 1).start().unwrap();
    stage.expect(0, "the next server")
}

/// A client goes while its call is queued or served; the server serves on.
fn a_client_goes(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let endpoint = stage.endpoint();
    let client = {
        let mut client = stage.client(endpoint, 1);
        client.start().unwrap();
        client
    };
    stage.pause();
    if start.arguments[1] == "served" {
        let message = calls::receive(endpoint, LONG).map_err(|error| format!("no call comes: {error:?}"))?;
        calls::process_kill(client.process, 9).unwrap();
        let late = calls::reply(message.reply, 0, NOTHING);
        check(late.is_err(), "one who is gone got an answer")?;
    } else {
        calls::process_kill(client.process, 9).unwrap();
        let left = calls::receive(endpoint, 0);
        check(left.is_err(), "the call of one who is gone is still queued")?;
    }
    stage.actor("echo").grant("endpoint", endpoint, ALL).start().unwrap();
    stage.client(endpoint, 1).start().unwrap();
    stage.expect(0, "the next client")
}

fn links(stage: &Stage<'_>, first: u64, last: u64, count: u64) -> Vec<Child> {
    let mut endpoint = first;
    (0..count)
        .map(|number| {
            let next = if number + 1 == count { last } else { stage.endpoint() };
            let mut link = stage.actor("link");
            link.grant("endpoint", endpoint, ALL).grant("next", next, ALL).start().unwrap();
            endpoint = next;
            link
        })
        .collect()
}

/// A chain of so many links before the server: deeper than calls are nested, it goes on all the same.
fn a_chain(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let (first, last) = (stage.endpoint(), stage.endpoint());
    links(&stage, first, last, start.number(1));
    stage.actor("echo").grant("endpoint", last, ALL).start().unwrap();
    stage.client(first, 200).start().unwrap();
    stage.expect(0, "a chain")
}

/// In a chain of three one goes while the call is at the end.
fn a_chain_breaks(start: &Start) -> Scene {
    let (which, manner) = (start.number(1) as usize, start.arguments[2].as_str());
    let stage = Stage::new(start);
    let (first, last) = (stage.endpoint(), stage.endpoint());
    let mut links = links(&stage, first, last, 2);
    let mut server = stage.actor("bad-server");
    server.argument("served").argument(if which == 2 { manner } else { "waits" }).grant("endpoint", last, ALL);
    server.start().unwrap();
    links.push(server);
    let mut client = stage.client(first, 1);
    if manner == "loops" {
        client.argument("50000000");
    }
    client.start().unwrap();
    if manner == "waits" || which != 2 {
        check(stage.reported()? == HERE, "the call is not at the end of the chain")?;
        calls::process_kill(links[which].process, 9).unwrap();
    }
    if manner != "loops" {
        stage.judge();
    }
    match (which, manner) {
        (_, "loops") => stage.expect(TIMED_OUT, "the end of the chain loops"),
        // The first link went: its client is told. One further on: the link before tells in its own words.
        (0, _) => stage.expect(PEER_GONE, "the first link goes"),
        _ => stage.expect(100, "a later link goes"),
    }
}

/// A server calls back to its client, which cannot answer: the time-out ends it, and both go on.
fn a_cycle(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let (forth, back) = (stage.endpoint(), stage.endpoint());
    stage.actor("caller-of-back").grant("endpoint", forth, ALL).grant("next", back, ALL).start().unwrap();
    let answer = calls::call(forth, LONG, 7, NOTHING).map_err(|error| format!("{error:?}"))?;
    check(answer.words.0 == TIMED_OUT, format!("the call back ended with {}", answer.words.0))
}

/// The director itself serves: its caller, on the poll stack below it, is killed, and a new
/// process takes its place, and its number.
fn kills_its_caller(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let endpoint = stage.endpoint();
    for round in 0..20 {
        let mut first = stage.client(endpoint, 1);
        first.start().unwrap();
        let message = calls::receive(endpoint, LONG).map_err(|error| format!("round {round}: {error:?}"))?;
        calls::process_kill(first.process, 9).unwrap();
        calls::delete(first.process).unwrap();
        check(calls::reply(message.reply, 0, NOTHING).is_err(), "an answer to one who is gone")?;
        let mut second = stage.client(endpoint, 1);
        second.start().unwrap();
        let message = calls::receive(endpoint, LONG).map_err(|error| format!("round {round}, second: {error:?}"))?;
        let mut answer = message.words;
        answer.0 += 1;
        calls::reply(message.reply, 0, answer).map_err(|error| format!("round {round}: {error:?}"))?;
        stage.expect(0, "the one that took its place")?;
        calls::delete(second.process).unwrap();
    }
    Ok(())
}

/// One that never stops beside one that goes on as steadily: what the first got of the
/// processor time of both, in parts of a thousand.
fn a_loop_costs_its_share(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let (mut greedy, mut steady) = (stage.actor(&start.arguments[1]), stage.actor("loop"));
    greedy.start().unwrap();
    steady.start().unwrap();
    let quiet = stage.endpoint();
    let _ = calls::receive(quiet, 200_000_000);
    let time = |child: &Child| calls::process_inspect(child.process).map(|info| info.processor_time).unwrap_or(0);
    let (greedy, steady) = (time(&greedy), time(&steady));
    print(start, &format!("{}\n", greedy * 1000 / (greedy + steady).max(1)));
    Ok(())
}

fn memory_has_a_limit(start: &Start) -> Scene {
    let stage = Stage::new(start);
    stage.actor("grow").start().unwrap();
    let pages = stage.reported()?;
    // Its quota has 1,024 pages of 4 KiB, and it had some to begin with.
    check((1..=64).contains(&pages), format!("it grew by {pages} pages of 64 KiB"))
}

/// Bytes of calls that go from hand to hand come back as they were, however the server takes them.
fn loan(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let (endpoint, next) = (stage.endpoint(), stage.endpoint());
    let manner = start.arguments[1].as_str();
    stage.actor("borrower").argument("at-once").grant("endpoint", next, ALL).start().unwrap();
    let mut server = stage.actor("borrower");
    server.argument(manner).grant("endpoint", endpoint, ALL).grant("next", next, ALL).start().unwrap();
    for (round, length) in [(1, 1000), (2, abi::message::MAX_BYTES), (3, 1), (4, 4097)] {
        let bytes: Vec<u8> = (0..length).map(|i| (i * round) as u8).collect();
        let answer =
            calls::call_with(endpoint, FOREVER, 5, words(1), &bytes, &[]).map_err(|error| format!("{error:?}"))?;
        check(answer.words.0 == length as u64, "the server was told another length")?;
        check(answer.tag == 1, "what was taken could be taken twice")?;
        let expected = if manner == "after-a-call" { vec![9; 300] } else { bytes };
        check(calls::take_bytes() == expected, format!("the bytes of round {round} are others"))?;
    }
    Ok(())
}

/// 64 KiB and a capability go there, and the bytes come back; what is too much is refused.
fn bulk_and_capabilities(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let (endpoint, gift) = (stage.endpoint(), stage.endpoint());
    stage.actor("bulk").grant("endpoint", endpoint, ALL).start().unwrap();
    let bytes: Vec<u8> = (0..abi::message::MAX_BYTES).map(|i| (i * 7) as u8).collect();
    let transfer =
        calls::Transfer { handle: gift, mode: calls::TransferMode::Derive, rights: abi::Rights::SEND.0, badge: 42 };
    let answer =
        calls::call_with(endpoint, LONG, 5, words(1), &bytes, &[transfer]).map_err(|error| format!("{error:?}"))?;
    check(answer.tag == 1, "what was taken could be taken twice")?;
    check(answer.words.0 == 1, "the capability did not arrive")?;
    check(answer.length as usize == bytes.len() && calls::take_bytes() == bytes, "the bytes are others")?;
    check(calls::receive(gift, 0).map(|message| message.badge).ok() == Some(42), "the gift is another")?;

    // The same bytes through the queue, to oneself.
    calls::send_with(endpoint, 0, 5, words(1), &bytes, &[]).map_err(|error| format!("{error:?}"))?;
    let message = calls::receive(endpoint, 0).map_err(|error| format!("{error:?}"))?;
    check(message.tag == 5 && calls::take_bytes() == bytes, "the bytes are others after the queue")?;

    let too_much = [&bytes[..], &[0]].concat();
    let refused = calls::send_with(endpoint, 0, 5, NOTHING, &too_much, &[]);
    check(refused == Err(calls::Error::TooLarge), "more than a message may have")?;
    let nine: Vec<calls::Transfer> = (0..9).map(|_| transfer).collect();
    let refused = calls::send_with(endpoint, 0, 5, NOTHING, &[], &nine);
    check(refused == Err(calls::Error::TooLarge), "more capabilities than a message may have")?;
    check(calls::receive(endpoint, 0).is_err(), "what was refused came all the same")
}

/// Waits, and nothing else happens.
fn idle(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let quiet = stage.endpoint();
    let outcome = calls::receive(quiet, 300_000_000);
    check(outcome.is_err(), "a message from nobody")
}

/// Makes and ends so many processes.
fn spawn_storm(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let before = calls::quota_inspect(start.capability("quota")).unwrap();
    for _ in 0..start.number(1) {
        let mut child = stage.actor("go");
        child.argument("exits").start().map_err(|error| format!("{error:?}"))?;
        let exit = calls::receive(stage.exits, LONG).map_err(|error| format!("{error:?}"))?;
        check(exit.kind == DeliveryKind::Exit && exit.words.1 == 7, "it ended otherwise")?;
        calls::destroy(child.process).map_err(|error| format!("destroy: {error:?}"))?;
    }
    let after = calls::quota_inspect(start.capability("quota")).unwrap();
    let (before, after) = (before.pages_used, after.pages_used);
    check(after <= before + 1024 * start.number(1), format!("{before} pages were in use before, {after} after"))
}

/// Ends when it is asked to, with the status that goes with it.
fn shutdown(start: &Start) -> Scene {
    let (quota, power) = (start.capability("quota"), start.capability("device:power"));
    let interrupt = start.capability("interrupt:power");
    let notification = calls::notification_create(quota).unwrap();
    calls::interrupt_bind(interrupt, notification, 1).map_err(|error| format!("{error:?}"))?;
    print(start, "ready\n");
    calls::wait(notification, LONG).map_err(|error| format!("no request came: {error:?}"))?;
    let status = calls::device_read(power, 0).map_err(|error| format!("{error:?}"))?;
    power_off(start, status);
    Ok(())
}

/// Starts the image `stranger`, and tells how it ended: a fault's kind and detail, or its exit's reason and code.
fn stranger(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let mut child =
        Child::new(start, "image:stranger", stage.exits, "stranger").map_err(|error| format!("{error:?}"))?;
    child.start().map_err(|error| format!("{error:?}"))?;
    let message = calls::receive(stage.exits, LONG).map_err(|error| format!("nothing comes: {error:?}"))?;
    let what = if message.kind == DeliveryKind::Fault { "fault" } else { "exit" };
    print(start, &format!("{what} {} {}\n", message.words.0, message.words.1));
    if message.kind == DeliveryKind::Fault {
        calls::reply(message.reply, abi::message::VERDICT_KILL, NOTHING).map_err(|error| format!("{error:?}"))?;
        let exit = calls::receive(stage.exits, LONG).map_err(|error| format!("no exit comes: {error:?}"))?;
        check(exit.kind == DeliveryKind::Exit, "another fault")?;
    }
    Ok(())
}

/// Writes numbered blocks, flushes each, and says so after each flush.
fn fill_the_disk(start: &Start) -> Scene {
    let (disk, interrupt) = (start.capability("device:disk"), start.capability("interrupt:disk"));
    let notification = calls::notification_create(start.capability("quota")).unwrap();
    calls::interrupt_bind(interrupt, notification, 1).map_err(|error| format!("{error:?}"))?;
    let operate = |operation: abi::device::Operation, a: u64, bytes: &[u8]| -> Result<(), String> {
        calls::device_submit(disk, operation as u8, a, 0, bytes).map_err(|error| format!("{error:?}"))?;
        loop {
            match calls::device_complete(disk) {
                Ok(completion) if completion.status == 0 => return Ok(()),
                Ok(completion) => return Err(format!("status {}", completion.status)),
                Err(_) => {
                    calls::wait(notification, LONG).map_err(|error| format!("no interrupt: {error:?}"))?;
                    calls::interrupt_acknowledge(interrupt).map_err(|error| format!("{error:?}"))?;
                }
            }
        }
    };
    for block in 0..start.number(1) {
        let number = block + 1;
        let bytes: Vec<u8> = number.to_le_bytes().iter().copied().cycle().take(512).collect();
        operate(abi::device::Operation::Write, block, &bytes)?;
        operate(abi::device::Operation::Flush, 0, &[])?;
        print(start, &format!("{number}\n"));
    }
    Ok(())
}

/// Makes and ends so many processes, every other one by force, and says when it is warm and when it is done;
/// the kernel's memory is that of the start.
fn rounds(start: &Start) -> Scene {
    let stage = Stage::new(start);
    let quota = start.capability("quota");
    let round = |number: u64| -> Scene {
        let own = calls::quota_split(quota, 1 << 20, 1024).map_err(|error| format!("{error:?}"))?;
        let process =
            calls::process_create(start.capability("image:actor"), own, stage.exits, "passer-by", guests::LIMITS);
        let mut child = Child::made(process.map_err(|error| format!("{error:?}"))?);
        child
            .argument("go")
            .argument("exits")
            .grant("quota", own, ALL)
            .start()
            .map_err(|error| format!("{error:?}"))?;
        if number % 2 == 1 {
            calls::process_kill(child.process, 9).map_err(|error| format!("{error:?}"))?;
        }
        let exit = calls::receive(stage.exits, LONG).map_err(|error| format!("round {number}: {error:?}"))?;
        check(exit.kind == DeliveryKind::Exit, "it ended otherwise")?;
        calls::destroy(child.process).map_err(|error| format!("{error:?}"))?;
        calls::destroy(own).map_err(|error| format!("{error:?}"))
    };
    (0..200).try_for_each(round)?;
    let before = calls::quota_inspect(quota).unwrap();
    print(start, "warm\n");
    stage.wait(300);
    (0..start.number(1)).try_for_each(round)?;
    let after = calls::quota_inspect(quota).unwrap();
    let (before, after) = ((before.memory_used, before.pages_used), (after.memory_used, after.pages_used));
    check(before == after, format!("memory and pages before {before:?}, after {after:?}"))?;
    print(start, "done\n");
    stage.wait(300);
    Ok(())
}
