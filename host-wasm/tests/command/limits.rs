//! Limits of the host and of what a session can be given: named, with what to do.

use super::*;

/// A command of this system under a limit, as `ulimit` sets it.
fn limited(system: &System, limit: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit {limit}; exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_orbital")).arg("--state").arg(system.folder.path()).args(arguments);
    command.env_remove("ORBITAL_STATE").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn more_arguments_than_a_session_can_have_are_status_2() {
    let system = System::new();
    let long = format!("echo {}", "x".repeat(100_000));
    bad(&system.run(["run", "-c", &long]), 2, "the limit is 61440");
    bad(&system.command(["run", "hello", &long]).output().unwrap(), 2, "the limit is 61440");
    assert!(system.listing().is_empty());
    // What is just within it reaches the session.
    let within = "y".repeat(60_000);
    assert_eq!(good(&system.run(["run", "-c", &format!("echo {within}")])).trim_end(), within);
}

#[test]
fn too_few_open_files_are_named_before_anything_is_made() {
    let system = System::new();
    for limit in [8, 16, 47] {
        bad(&limited(&system, &format!("-n {limit}"), &["run", "-c", "echo ran"]), 69, "limit of open files");
        assert!(system.listing().is_empty());
    }
    let found = limited(&system, "-n 20", &["doctor"]);
    assert_eq!(found.status.code(), Some(69));
    assert!(out(&found).contains("next: raise the limit: ulimit -n 48"), "{}{}", out(&found), err(&found));
    assert_eq!(good(&limited(&system, "-n 48", &["run", "-c", "echo ran"])), "ran\n");
}

#[test]
fn too_little_address_space_is_named_before_anything_is_made() {
    let system = System::new();
    for mebibytes in [100, 500, 1023] {
        let output = limited(&system, &format!("-v {}", mebibytes << 10), &["run", "-c", "echo ran"]);
        bad(&output, 69, "limit of address space");
        assert!(err(&output).contains("ulimit -v 1048576"), "{}", err(&output));
        assert!(system.listing().is_empty());
    }
    assert_eq!(good(&limited(&system, "-v 1048576", &["run", "-c", "echo ran"])), "ran\n");
}

/// The system runs into the limit while it works: `sh` counts in blocks of 512 or 1024 bytes, and
/// either is less than this log grows by.
#[test]
fn a_limit_of_file_sizes_is_named_and_loses_nothing_that_was_acknowledged() {
    use std::fmt::Write;
    let system = System::new();
    // The disk has its size from the first start.
    good(&system.run(["run", "-c", "put note-0 kept-0"]));
    let script = (1..=1500).fold(String::new(), |mut script, number| {
        let _ = write!(script, "put note-{number} kept-{number} && echo done-{number};");
        script
    });
    let output = limited(&system, "-f 560", &["run", "-c", &script]);
    bad(&output, 74, "the log cannot be written");
    assert!(err(&output).contains("ulimit -f"), "{}", err(&output));
    let done: Vec<u32> = out(&output).lines().filter_map(|line| line.strip_prefix("done-")?.parse().ok()).collect();
    assert!(!done.is_empty() && done.len() < 1500, "{}", done.len());
    let cat: String = std::iter::once(&0).chain(&done).map(|number| format!("cat note-{number};")).collect();
    let text = good(&system.run(["run", "-c", &cat]));
    let kept: String = std::iter::once(&0).chain(&done).map(|number| format!("kept-{number}\n")).collect();
    assert_eq!(text, kept);
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}

#[test]
fn a_disk_that_cannot_be_made_within_the_limit_of_file_sizes_is_named() {
    let system = System::new();
    let output = limited(&system, "-f 400", &["run", "-c", "echo ran"]);
    bad(&output, 74, "disk.img");
    assert!(err(&output).contains("ulimit -f"), "{}", err(&output));
    assert_eq!(good(&system.run(["run", "-c", "echo ran"])), "ran\n");
}
