//! Hostile processes (tests/guests/src/hostile.rs): each rages beside a server and its client, who go on; the log tells
//! who it was; and the kernel's memory is afterwards what it was before.

use super::stage::{Played, folder, images, play_with, run};
use abi::ExitReason;
use abi::message::FaultKind;
use host_wasm::image::Path;
use host_wasm::machine::End;
use log_store::commands::{Bound, Format, Show, show};
use std::process::Command;
use std::time::{Duration, Instant};

/// Plays a kind to its end, which must be this; the log says of the process `hostile` these words.
#[track_caller]
fn rages(kind: &str, end: &str, words: &str) {
    let folder = folder();
    let played = run(folder.path(), &["hostile", kind], images(&[]), Path::Fastest, |_, _| {});
    assert_eq!(played.end, End::Off(0), "{kind}: {}", played.output);
    assert_eq!(played.output.trim(), end, "{kind}: how it ended");
    let mut log = Vec::new();
    let all = Show { process: Some("hostile".into()), from: Some(Bound::Record(0)), ..Show::default() };
    show(folder.path(), &all, Format::Text, &mut log).unwrap();
    let log = String::from_utf8(log).unwrap();
    let last: Vec<&str> = log.lines().rev().take(20).collect();
    assert!(log.lines().any(|line| line.contains("hostile") && line.contains(words)), "{kind}: {words}: {last:#?}");
}

/// It came to its end by itself, and nothing was answered otherwise than it must be.
fn in_order() -> String {
    format!("{} 0", ExitReason::Exited as u64)
}

fn fault(kind: FaultKind) -> String {
    format!("{} {}", ExitReason::Faulted as u64, kind as u64)
}

#[test]
fn a_loop_goes_on_beside_the_others_until_it_is_killed() {
    rages("loop", "none", "ended: Killed");
}

#[test]
fn a_memory_bomb_gets_what_its_quota_has() {
    rages("memory", &in_order(), "the quota that pays for it has too little left");
}

#[test]
fn an_endless_recursion_ends_itself() {
    rages("stack", &fault(FaultKind::StackOverflow), "StackOverflow");
}

#[test]
fn guessed_handles_and_replies_are_nobodys() {
    rages("guess", &in_order(), "there is no capability in that slot");
}

#[test]
fn a_stale_handle_is_no_other_object() {
    rages("stale", &in_order(), "the capability in that slot is gone");
}

#[test]
fn oversize_messages_are_refused() {
    rages("oversize", &in_order(), "it is larger than the call allows");
}

#[test]
fn a_flooded_endpoint_serves_its_other_clients() {
    rages("flood", "none", "the message is queued");
}

#[test]
fn a_fork_bomb_ends_at_its_quota_and_goes_with_it() {
    rages("fork", "none", "the quota that pays for it has too little left");
}

#[test]
fn games_with_quotas_gain_nothing() {
    rages("quota", &format!("{} 0", ExitReason::Reclaimed as u64), "destroyed");
}

#[test]
fn what_lies_about_being_an_executable_never_runs() {
    rages("image", &in_order(), "an argument is outside what the call allows");
}

#[test]
fn ten_thousand_capabilities_go_at_once() {
    rages("revoke", &in_order(), "revoked");
}

#[test]
fn a_storm_of_time_outs_passes() {
    rages("timeouts", &in_order(), "timed out");
}

/// Rounds of spawn and kill that the test makes: ORBITAL_CASES, or a few.
fn cases() -> String {
    std::env::var("ORBITAL_CASES").unwrap_or_else(|_| "4000".into())
}

/// Bytes of this process that lie in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// In a process of its own: what other tests take would be counted too.
#[test]
fn rounds_of_spawn_and_kill_end_in_the_memory_of_the_start() {
    let this = std::env::current_exe().unwrap();
    let mut alone = Command::new(this);
    alone.args(["attacks::rounds_alone", "--exact", "--ignored", "--nocapture"]).env("ORBITAL_CASES", cases());
    let output = alone.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by rounds_of_spawn_and_kill_end_in_the_memory_of_the_start"]
fn rounds_alone() {
    let folder = folder();
    let (send, measured) = std::sync::mpsc::channel();
    let played = run(folder.path(), &["rounds", &cases()], images(&[]), Path::Fastest, move |_, screen| {
        let begin = Instant::now();
        for word in ["warm", "done"] {
            while !screen.text().contains(word) {
                if begin.elapsed() > Duration::from_secs(110) || screen.text().contains("before") {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            let _ = send.send(resident());
        }
    });
    let Played { end, output, .. } = played;
    assert_eq!(end, End::Off(0), "{output}");
    let measured: Vec<u64> = measured.iter().collect();
    println!(
        "resident when warm and after {} rounds, in KiB: {:?}",
        cases(),
        measured.iter().map(|b| b >> 10).collect::<Vec<_>>()
    );
    // It goes up and down with what waits to be written and dropped, by up to 26 MiB; a store that stayed would take
    // 40 KiB a round.
    assert!(measured[1] <= measured[0] + (32 << 20), "{measured:?}");
}

#[test]
fn both_paths_hold() {
    for kind in ["guess", "oversize"] {
        let Played { end, output, .. } = play_with(&["hostile", kind], &[], Path::Component);
        assert_eq!(end, End::Off(0), "{output}");
        assert_eq!(output.trim(), in_order());
    }
}
