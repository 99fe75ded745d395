//! What hostile processes do to the system, each a kind that `hostile`'s second argument names. Each goes on
//! until it is stopped, or ends as its kind says; how often the kernel said something that it must not say is its exit code.

use core::hint::black_box;
use guests::calls::{self, Error};
use guests::{ALL, Child, FOREVER, NOTHING, Start, words};

/// Slots above all that it was given.
const STRANGE: core::ops::Range<u64> = 64..1064;

/// Plays the kind.
pub fn play(start: &Start) {
    let wrong = match start.arguments[1].as_str() {
        "loop" => loop {
            black_box(0);
        },
        "memory" => memory_bomb(start),
        "stack" => deeper(black_box(1)),
        "guess" => guess(),
        "stale" => stale(start),
        "oversize" => oversize(start),
        "flood" => flood(start),
        "fork" => fork(start),
        "quota" => quota_games(start),
        "image" => bad_images(start),
        "revoke" => revoke(start),
        "timeouts" => time_outs(start),
        kind => panic!("there is no kind {kind}"),
    };
    calls::exit(wrong);
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    deeper(black_box(depth + 1)) + black_box(depth)
}

/// Counts outcomes that are not the one that must be.
fn unless<T>(right: bool, outcome: Result<T, Error>) -> u64 {
    let _ = outcome;
    u64::from(!right)
}

/// All memory, all regions, and then some.
fn memory_bomb(start: &Start) -> u64 {
    while core::arch::wasm32::memory_grow(0, 1) != usize::MAX {}
    let quota = start.capability("quota");
    let mut pages = 1 << 20;
    while pages > 0 {
        match calls::region_create(quota, pages) {
            Ok(_) => {}
            Err(Error::QuotaExceeded) => pages /= 2,
            Err(_) => return 1,
        }
    }
    u64::from(core::arch::wasm32::memory_grow(0, 1) != usize::MAX)
}

/// Every call on handles that it never had.
fn guess() -> u64 {
    let mut wrong = 0;
    for slot in STRANGE {
        for generation in [0, 1, 2, u64::from(u32::MAX)] {
            let handle = generation << 32 | slot;
            for outcome in [
                calls::destroy(handle),
                calls::delete(handle),
                calls::send(handle, 0, 1, NOTHING),
                calls::signal(handle, 1),
                calls::process_kill(handle, 1),
                calls::device_write(handle, 0, 0),
                calls::capture_begin(handle),
            ] {
                wrong += unless(matches!(outcome, Err(Error::BadHandle | Error::StaleHandle)), outcome);
            }
        }
    }
    for call in 0..1000 {
        let reply = call << 32 | call % 7;
        let outcome = calls::reply(reply, 0, NOTHING);
        wrong += unless(matches!(outcome, Err(Error::BadHandle | Error::StaleHandle)), outcome);
    }
    wrong
}

/// A handle that it had, while others take its slot.
fn stale(start: &Start) -> u64 {
    let quota = start.capability("quota");
    let first = calls::notification_create(quota).unwrap();
    calls::delete(first).unwrap();
    let mut wrong = 0;
    for _ in 0..1000 {
        let next = calls::notification_create(quota).unwrap();
        let outcome = calls::signal(first, 1);
        wrong += unless(outcome == Err(Error::StaleHandle), outcome);
        wrong += u64::from(calls::poll(next) != Ok(0));
        calls::delete(next).unwrap();
    }
    wrong
}

/// More than a message may have.
fn oversize(start: &Start) -> u64 {
    let endpoint = start.capability("endpoint");
    let bytes = alloc::vec![7; abi::message::MAX_BYTES + 1];
    let transfer = calls::Transfer { handle: endpoint, mode: calls::TransferMode::Derive, rights: ALL, badge: 0 };
    let nine = alloc::vec![transfer; 9];
    let mut wrong = 0;
    for _ in 0..100 {
        let outcome = calls::call_with(endpoint, FOREVER, 7, NOTHING, &bytes, &[]);
        wrong += unless(matches!(outcome, Err(Error::TooLarge)), outcome);
        let outcome = calls::send_with(endpoint, FOREVER, 7, NOTHING, &[], &nine);
        wrong += unless(matches!(outcome, Err(Error::TooLarge | Error::MissingRight)), outcome);
    }
    wrong
}

/// More messages than the endpoint of a server has room for, for ever.
fn flood(start: &Start) -> u64 {
    let endpoint = start.capability("endpoint");
    loop {
        match calls::send_with(endpoint, 0, 7, words(1), &[1; 4096], &[]) {
            Ok(()) | Err(Error::WouldBlock | Error::QuotaExceeded) => {}
            Err(_) => return 1,
        }
    }
}

/// Copies of itself, each of which does the same, until what it was given is used up.
fn fork(start: &Start) -> u64 {
    let quota = start.capability("quota");
    loop {
        let Ok(supervisor) = calls::endpoint_create(quota, 1) else { break };
        let Ok(mut child) = Child::new(start, "image:actor", supervisor, "hostile") else { break };
        child.argument("hostile").argument("fork").grant("image:actor", start.capability("image:actor"), ALL);
        if child.start().is_err() {
            break;
        }
    }
    loop {
        calls::yield_();
    }
}

/// More than it has, sums that overflow, and at last the quota that it lives on.
fn quota_games(start: &Start) -> u64 {
    let quota = start.capability("quota");
    let mut wrong = 0;
    for (memory, pages) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (1 << 63, 1 << 63), (u64::MAX - 100, 1)]
    {
        let outcome = calls::quota_split(quota, memory, pages);
        wrong += unless(outcome == Err(Error::QuotaExceeded), outcome);
    }
    let before = calls::quota_inspect(quota).unwrap();
    for _ in 0..1000 {
        let part = calls::quota_split(quota, 4096, 1).unwrap();
        calls::destroy(part).unwrap();
    }
    let after = calls::quota_inspect(quota).unwrap();
    wrong += u64::from(before.memory_used != after.memory_used || before.pages_used != after.pages_used);
    if wrong == 0 {
        let _ = calls::destroy(quota);
    }
    wrong
}

/// What is no executable, again and again.
fn bad_images(start: &Start) -> u64 {
    let quota = start.capability("quota");
    let region = calls::region_create(quota, 1).unwrap();
    let mut wrong = 0;
    for bytes in [&b"\0asm\x01\0\0\0\x07"[..], b"\0asm\x0d\0\x01\0lies", b"MZ", &[0xFF; 512]] {
        calls::region_write(region, 0, bytes).unwrap();
        for length in [bytes.len() as u64, 4096, 4097, 0, u64::MAX] {
            let outcome = calls::image_create(quota, region, length, "lie");
            wrong += unless(outcome == Err(Error::InvalidArgument), outcome);
        }
    }
    wrong
}

/// Ten thousand capabilities from one, and all of them gone at once, twice.
fn revoke(start: &Start) -> u64 {
    let endpoint = calls::endpoint_create(start.capability("quota"), 1).unwrap();
    let mut wrong = 0;
    for _ in 0..2 {
        let mut from = endpoint;
        for number in 0..10_000 {
            let next = calls::derive(from, abi::Rights::SEND.0, 0, FOREVER).unwrap();
            // A deep tree and a broad one.
            from = if number % 100 == 99 { endpoint } else { next };
        }
        let outcome = calls::revoke(endpoint);
        wrong += unless(outcome == Ok(10_000), outcome);
    }
    wrong
}

/// Waits that end at once, or nearly.
fn time_outs(start: &Start) -> u64 {
    let endpoint = calls::endpoint_create(start.capability("quota"), 1).unwrap();
    let mut wrong = 0;
    for round in 0..3000 {
        let outcome = calls::receive(endpoint, 1 + round % 5);
        wrong += unless(matches!(outcome, Err(Error::TimedOut | Error::WouldBlock)), outcome);
    }
    wrong
}
