//! What one process can take from the others: its share of time, its quota, nothing else.

use super::stage::{folder, images, play, play_on_both_paths, run};
use host_wasm::events::Event;
use host_wasm::image::Path;
use host_wasm::machine::End;
use std::time::{Duration, Instant};

/// What one that never stops gets of the processor beside one that goes on steadily, in
/// parts of a thousand: half, give or take what a loaded machine does to slices.
fn share(of: &str) -> u64 {
    let played = play(&["share", of]).well();
    played.output.trim().parse().unwrap()
}

#[test]
fn rule_e_a_process_in_a_loop_costs_the_others_only_its_share() {
    let beside = share("loop");
    assert!((300..=700).contains(&beside), "{beside} of 1000");
}

#[test]
fn rule_e_one_that_calls_in_a_loop_costs_the_others_only_its_share() {
    // Its deadline is armed anew at each call: the slice must end all the same.
    let beside = share("call-loop");
    assert!((300..=700).contains(&beside), "{beside} of 1000");
}

#[test]
fn memory_ends_at_the_quota() {
    play_on_both_paths(&["grow"]);
}

#[test]
fn bytes_and_capabilities_arrive_as_they_were_sent() {
    play_on_both_paths(&["bulk"]);
}

#[test]
fn processes_come_and_go() {
    play_on_both_paths(&["spawn-storm", "300"]);
}

#[test]
fn the_machine_ends_with_the_status_that_was_asked_for_from_outside() {
    let folder = folder();
    let played = run(folder.path(), &["shutdown"], images(&[]), Path::Fastest, |events, screen| {
        let begin = Instant::now();
        while screen.text().is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it never was ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        events.post(Event::Shutdown(143));
    });
    assert_eq!(played.end, End::Off(143));
}

#[test]
fn one_who_insists_ends_it_at_once() {
    let folder = folder();
    let played = run(folder.path(), &["share", "loop"], images(&[]), Path::Fastest, |events, _| {
        events.post(Event::Shutdown(130));
        events.post(Event::Shutdown(130));
    });
    assert_eq!(played.end, End::Forced(130));
}

#[test]
fn without_a_log_nothing_goes_on() {
    let folder = folder();
    let log = folder.path().join("log");
    let played = run(folder.path(), &["share", "loop"], images(&[]), Path::Fastest, move |_, _| {
        // Whoever removes the segment under the writer is found out at the next group commit.
        let begin = Instant::now();
        while !log.join("segments").is_dir() && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::remove_dir_all(log).unwrap();
    });
    assert!(matches!(played.end, End::LogFailed(_)), "{:?}", played.end);
}
