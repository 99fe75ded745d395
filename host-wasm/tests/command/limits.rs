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

#[test]
fn a_limit_of_file_sizes_is_named_and_loses_nothing_that_was_acknowledged() {
    let system = System::new();
    good(&system.run(["run", "-c", "put before kept"]));
    // Blocks of 1024 bytes in some shells, of 512 in others: below the disk, which is 64 MiB.
    let output = limited(&system, "-f 400", &["run", "-c", "put during kept && echo acknowledged"]);
    let acknowledged = out(&output).contains("acknowledged");
    if !output.status.success() {
        let text = err(&output);
        assert_eq!(output.status.code(), Some(74), "{text}");
        assert!(text.contains("ulimit -f"), "{text}");
    }
    let text = good(&system.run(["run", "-c", "cat before"]));
    assert!(text.contains("kept"));
    if acknowledged {
        assert!(good(&system.run(["run", "-c", "cat during"])).contains("kept"));
    }
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}
