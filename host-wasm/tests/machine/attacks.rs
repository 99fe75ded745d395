//! Hostile processes (apps/hostile): each rages beside a server and its client, who go on; the log tells who it was; and
//! the kernel's memory is afterwards what it was before. The tests on QEMU run the same programs.

use super::stage::{Played, folder, images, run};
use host_wasm::image::Path;
use host_wasm::machine::{End, boot};
use log_store::commands::{Bound, Format, Show, show};
use std::path::Path as FilePath;
use std::process::Command;
use std::time::{Duration, Instant};

/// What passes, in this order; the names of what a hostile process does are those of the processes in the log.
const PASSED: [&str; 18] = [
    "loops",
    "takes-all-memory",
    "recurses",
    "guesses-handles",
    "uses-stale-handles",
    "sends-too-much",
    "floods",
    "forks",
    "plays-with-quotas",
    "brings-bad-images",
    "revokes-thousands",
    "waits-for-nothing",
    "traps-while-called",
    "exits-while-called",
    "loops-while-called",
    "is-killed-while-called",
    "call-cycle",
    "call-chain",
];

/// Lets the director of apps/hostile play these, or all, in a machine; the names of what has passed.
fn hostile(folder: &FilePath, wanted: &[&str], path: Path) -> Vec<(String, Option<String>)> {
    let hostile = boot::guests().into_iter().find(|image| image.name == "hostile").expect("it is built");
    let image = boot::Image { name: "init".into(), bytes: hostile.bytes };
    let Played { end, output, .. } = run(folder, wanted, vec![image], path, |_, _| {});
    assert_eq!(end, End::Off(0), "{output}");
    let passed = output.lines().map(|line| line.strip_prefix("passed ").unwrap_or_else(|| panic!("{output}")));
    passed
        .map(|line| match line.split_once("; on record: ") {
            Some((name, words)) => (name.to_owned(), Some(words.to_owned())),
            None => (line.to_owned(), None),
        })
        .collect()
}

#[test]
fn whoever_means_harm_hurts_himself_alone_and_is_on_record() {
    let folder = folder();
    let passed = hostile(folder.path(), &[], Path::Fastest);
    assert_eq!(passed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), PASSED);
    let mut log = Vec::new();
    let all = Show { from: Some(Bound::Record(0)), ..Show::default() };
    show(folder.path(), &all, Format::Text, &mut log).unwrap();
    let log = String::from_utf8(log).unwrap();
    for (name, words) in passed.iter().filter_map(|(name, words)| Some((name, words.as_ref()?))) {
        assert!(log.lines().any(|line| line.contains(name) && line.contains(words)), "{name}: {words}");
    }
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
    let wanted = ["guesses-handles", "sends-too-much"];
    let passed = hostile(folder().path(), &wanted, Path::Component);
    assert_eq!(passed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), wanted);
}
