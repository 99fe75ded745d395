//! Hostile processes (apps/hostile): each rages beside a server and its client, who go on; the log tells who it was; and
//! the kernel's memory is afterwards what it was before. The tests on QEMU run the same programs.

use super::stage::{Played, folder, images, run};
use host_wasm::image::Path;
use host_wasm::machine::{End, boot};
use log_store::commands::{Bound, Format, Show, show};
use scenario::hostile;
use std::process::Command;
use std::time::{Duration, Instant};

/// Lets the director of apps/hostile direct in a machine what is `wanted`, or all: these deeds pass, and are on record.
fn pass(wanted: &[&str], deeds: &[&str], path: Path) {
    let folder = folder();
    let guest = boot::guests().into_iter().find(|image| image.name == "hostile").expect("it is built");
    let image = boot::Image { name: "init".into(), bytes: guest.bytes };
    let Played { end, output, .. } = run(folder.path(), wanted, vec![image], path, |_, _| {});
    assert_eq!(end, End::Off(0), "{output}");
    let mut log = Vec::new();
    let all = Show { from: Some(Bound::Record(0)), ..Show::default() };
    show(folder.path(), &all, Format::Text, &mut log).unwrap();
    hostile::check(&output, &String::from_utf8(log).unwrap(), deeds).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn whoever_means_harm_hurts_himself_alone_and_is_on_record() {
    pass(&[], &hostile::DEEDS, Path::Fastest);
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
    // It goes up and down with what waits to be written and dropped, on a machine with much else to do by up to 39 MiB; a
    // store that stayed would take 40 KiB a round.
    assert!(measured[1] <= measured[0] + (64 << 20), "{measured:?}");
}

#[test]
fn both_paths_hold() {
    let two = ["guesses-handles", "sends-too-much"];
    pass(&two, &two, Path::Component);
}
