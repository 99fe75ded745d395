//! The bound of the hot path, held by a test.

use std::path::Path;
use std::process::Command;

/// Given the kernel and its door built for the bare target, when a client calls a server that
/// waits and is answered, then both logs included that takes at most 400 instructions.
#[test]
fn a_round_trip_takes_at_most_400_instructions() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("not counted: there is no valgrind here");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("count");
    let output = Command::new(script).output().expect("the script runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("instructions"), "{text}");
}

/// Given the same on this machine, when many round trips are made, then every one goes from hand to hand.
#[test]
fn a_waiting_server_is_given_the_call_directly() {
    let mut pair = bench_core::Pair::new().expect("the kernel accepts the set-up");
    for _ in 0..10_000 {
        assert!(pair.round_trip());
        pair.drop_blocks();
    }
}
