//! The parts that child actors play.

use core::hint::black_box;
use guests::calls::{self, DeliveryKind};
use guests::{FOREVER, NOTHING, Start, words};

/// How an actor goes, when it is its turn to.
pub fn go(manner: &str) {
    match manner {
        "traps" => core::arch::wasm32::unreachable(),
        "loops" => loop {
            black_box(0);
        },
        "exits" => calls::exit(7),
        // To be killed, it says that it is there and waits.
        "waits" => forever(),
        _ => {}
    }
}

/// What an actor reports that waits to be killed.
pub const HERE: u64 = 999;

/// Waits for a message that nobody sends.
pub fn forever() {
    let start = Start::get();
    report(&start, HERE);
    let endpoint = calls::endpoint_create(start.capability("quota"), 1).unwrap();
    let _ = calls::receive(endpoint, FOREVER);
}

/// Plays the part that the first argument names.
pub fn play(start: &Start) {
    match start.arguments[0].as_str() {
        "client" => client(start),
        "echo" => echo(start),
        "bulk" => bulk(start),
        "borrower" => borrower(start),
        "bad-server" => bad_server(start),
        "link" => link(start),
        "caller-of-back" => caller_of_back(start),
        "loop" => loop {
            black_box(0);
        },
        "call-loop" => loop {
            let _ = calls::poll(0);
        },
        "grow" => grow(start),
        "go" => go(&start.arguments[1]),
        "every-call" => super::every_call::play(start),
        part => panic!("there is no part {part}"),
    }
}

/// Calls `endpoint` so often, then tells `report` how the last call ended: 0, or the error's number.
fn client(start: &Start) {
    let endpoint = start.capability("endpoint");
    let mut outcome = 0;
    for round in 0..start.number(1) {
        let timeout = start.arguments.get(2).map_or(FOREVER, |text| text.parse().unwrap());
        outcome = match calls::call(endpoint, timeout, 7, words(round)) {
            Ok(answer) if answer.kind == DeliveryKind::Answer && answer.words.0 == round + 1 => 0,
            Ok(_) => 100,
            Err(error) => error as u64 + 1,
        };
    }
    report(start, outcome);
}

/// Tells the director a number.
pub fn report(start: &Start, number: u64) {
    calls::send(start.capability("report"), FOREVER, 1, words(number)).unwrap();
}

/// Answers every call with its first word plus one.
fn echo(start: &Start) {
    let endpoint = start.capability("endpoint");
    let mut message = calls::receive(endpoint, FOREVER).unwrap();
    loop {
        let mut answer = message.words;
        answer.0 += 1;
        message = match message.kind {
            DeliveryKind::Called => calls::reply_receive(endpoint, message.reply, FOREVER, 0, answer).unwrap(),
            // What was sent to the server before it wants no answer.
            _ => calls::receive(endpoint, FOREVER).unwrap(),
        };
    }
}

/// Takes bytes and a capability, uses the capability, and answers with the bytes.
fn bulk(start: &Start) {
    let endpoint = start.capability("endpoint");
    let message = calls::receive(endpoint, FOREVER).unwrap();
    let (bytes, handles) = (calls::take_bytes(), calls::take_handles());
    let once = calls::take_bytes().is_empty() && calls::take_handles().is_empty();
    calls::send(handles[0], 0, 9, NOTHING).unwrap();
    calls::reply_with(message.reply, u64::from(once), words(handles.len() as u64), &bytes, &[]).unwrap();
}

/// Answers each call with its bytes, which it takes in a manner: at once, after it let others run, or after
/// a call of its own with other bytes.
fn borrower(start: &Start) {
    let (endpoint, manner) = (start.capability("endpoint"), start.arguments[1].as_str());
    let mut message = calls::receive(endpoint, FOREVER).unwrap();
    loop {
        match manner {
            "late" => calls::yield_(),
            "after-a-call" => {
                let next = start.capability("next");
                calls::call_with(next, FOREVER, 7, NOTHING, &[9; 300], &[]).unwrap();
                // A delivery replaces what the one before it brought: the answer, what the call brought.
            }
            _ => {}
        }
        let bytes = calls::take_bytes();
        let once = calls::take_bytes().is_empty();
        message = calls::reply_receive_with(
            endpoint,
            message.reply,
            FOREVER,
            u64::from(once),
            words(u64::from(message.length)),
            &bytes,
            &[],
        )
        .unwrap();
    }
}

/// A server that goes, in a manner, at a point of the call.
fn bad_server(start: &Start) {
    let endpoint = start.capability("endpoint");
    let (point, manner) = (start.arguments[1].as_str(), start.arguments[2].as_str());
    match point {
        // Before it receives: calls are queued, or come later.
        "before" => go(manner),
        "served" => {
            calls::receive(endpoint, FOREVER).unwrap();
            go(manner);
        }
        "replied" => {
            let message = calls::receive(endpoint, FOREVER).unwrap();
            let mut answer = message.words;
            answer.0 += 1;
            calls::reply(message.reply, 0, answer).unwrap();
            go(manner);
        }
        // Holds the answer of the first call and waits for a second message.
        "held" => {
            calls::receive(endpoint, FOREVER).unwrap();
            let _ = calls::receive(endpoint, FOREVER);
            go(manner);
        }
        "yields" | "blocks" => {
            let quiet = calls::endpoint_create(start.capability("quota"), 1).unwrap();
            let mut message = calls::receive(endpoint, FOREVER).unwrap();
            loop {
                if point == "yields" {
                    calls::yield_();
                } else {
                    let _ = calls::receive(quiet, 2_000_000);
                }
                let mut answer = message.words;
                answer.0 += 1;
                message = calls::reply_receive(endpoint, message.reply, FOREVER, 0, answer).unwrap();
            }
        }
        "replies-then-receives" => loop {
            let message = calls::receive(endpoint, FOREVER).unwrap();
            let mut answer = message.words;
            answer.0 += 1;
            calls::reply(message.reply, 0, answer).unwrap();
        },
        point => panic!("there is no point {point}"),
    }
}

/// Answers each call with what the next link answers; with its own error if that fails.
fn link(start: &Start) {
    let (endpoint, next) = (start.capability("endpoint"), start.capability("next"));
    let mut message = calls::receive(endpoint, FOREVER).unwrap();
    loop {
        let (tag, answer) = match calls::call(next, FOREVER, message.tag, message.words) {
            Ok(answer) => (0, answer.words),
            Err(error) => (error as u64 + 1, NOTHING),
        };
        message = calls::reply_receive(endpoint, message.reply, FOREVER, tag, answer).unwrap();
    }
}

/// While it serves a call, it calls back, with a time-out; its answer is how that ended.
fn caller_of_back(start: &Start) {
    let (endpoint, next) = (start.capability("endpoint"), start.capability("next"));
    let message = calls::receive(endpoint, FOREVER).unwrap();
    let outcome = match calls::call(next, 20_000_000, 7, NOTHING) {
        Ok(_) => 0,
        Err(error) => error as u64 + 1,
    };
    calls::reply(message.reply, 0, words(outcome)).unwrap();
}

/// Grows its memory until that is refused and tells how many pages of 64 KiB it got.
fn grow(start: &Start) {
    let mut pages = 0;
    while core::arch::wasm32::memory_grow(0, 1) != usize::MAX {
        pages += 1;
    }
    report(start, pages);
}
