//! What a state folder had and has no longer: told for what it is, by `run` and by `doctor`,
//! and nothing made in its place that was not asked for.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A system that ran, with a note in it.
fn with_a_note() -> System {
    let system = System::new();
    good(&system.run(["run", "-c", "put note kept"]));
    system
}

/// `run` refuses with these words and makes nothing; `doctor` finds the same.
#[track_caller]
fn refused(system: &System, status: i32, cause: &str, next: &str) {
    let before = system.listing();
    let output = system.run(["run", "-c", "echo"]);
    bad(&output, status, cause);
    assert!(err(&output).contains(next), "{}", err(&output));
    assert_eq!(system.listing(), before);
    let found = system.run(["doctor"]);
    assert_eq!(found.status.code(), Some(69), "{}", out(&found));
    assert!(
        out(&found).contains("BAD") && out(&found).contains(cause) && out(&found).contains(next),
        "{}",
        out(&found)
    );
    assert_eq!(system.listing(), before);
}

fn write_key(system: &System, text: &[u8]) {
    fs::write(system.path("machine.key"), text).unwrap();
    fs::set_permissions(system.path("machine.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_key_that_is_gone_is_not_made_again() {
    let system = with_a_note();
    fs::rename(system.path("machine.key"), system.path("elsewhere")).unwrap();
    refused(&system, 65, "machine.key: the machine's key is gone", "--new-log");
    bad(&system.run(["log", "verify"]), 66, "machine.key: there is no key");
    fs::rename(system.path("elsewhere"), system.path("machine.key")).unwrap();
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("kept"));
}

/// A folder that was used on bare x86_64 first has a disk, a key, and its log in `log.img`.
#[test]
fn a_system_that_ran_on_bare_x86_64_alone_has_lost_nothing() {
    let system = with_a_note();
    fs::remove_dir_all(system.path("log")).unwrap();
    bad(&system.run(["run", "-c", "cat note"]), 65, "the log is gone");
    fs::write(system.path("log.img"), []).unwrap();
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("kept"));
}

#[test]
fn a_key_that_is_none_is_named() {
    let system = with_a_note();
    write_key(&system, b"garbage\xFF");
    refused(&system, 65, "machine.key: not a machine key", "Put the right file back");
}

#[test]
fn the_key_of_another_machine_is_told_as_that() {
    let (system, other) = (with_a_note(), with_a_note());
    write_key(&system, &fs::read(other.path("machine.key")).unwrap());
    refused(&system, 65, "the key is another's", "machine.key");
    bad(&system.run(["log", "verify"]), 1, "the key is another's");
    let key = good(&other.run(["log", "key"]));
    let third = with_a_note();
    bad(&third.run(["log", "verify", "--key", key.trim()]), 1, "the key is another's");
}

#[test]
fn a_log_that_is_gone_is_not_begun_again_unasked() {
    let system = with_a_note();
    fs::remove_dir_all(system.path("log")).unwrap();
    refused(&system, 65, "log: the log is gone", "--new-log");
    assert!(good(&system.run(["run", "--new-log", "-c", "cat note"])).contains("kept"));
    assert!(good(&system.run(["log", "verify"])).contains("1 boots"));
}

#[test]
fn a_checkpoint_that_is_gone_is_told_as_that() {
    let system = with_a_note();
    fs::rename(system.path("log/checkpoint"), system.path("elsewhere")).unwrap();
    refused(&system, 65, "log/checkpoint: the log's checkpoint is gone", "put it back");
    bad(&system.run(["log", "verify"]), 1, "checkpoint: it is gone");
    fs::rename(system.path("elsewhere"), system.path("log/checkpoint")).unwrap();
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("kept"));
}

#[test]
fn a_disk_that_is_gone_or_empty_is_not_made_again_unasked() {
    let system = with_a_note();
    fs::write(system.path("disk.img"), "").unwrap();
    refused(&system, 65, "disk.img: the disk is empty", "--new-disk");
    fs::remove_file(system.path("disk.img")).unwrap();
    refused(&system, 65, "disk.img: the disk is gone", "--new-disk");
    let output = system.run(["run", "--new-disk", "-c", "ls"]);
    assert!(!good(&output).contains("note"));
}

#[test]
fn what_is_begun_anew_is_kept_aside_and_said() {
    let system = with_a_note();
    let output = system.run(["run", "--new-log", "--new-disk", "-c", "ls"]);
    assert!(!good(&output).contains("note"));
    assert!(err(&output).contains("log.1") && err(&output).contains("disk.img.1"), "{}", err(&output));
    assert!(system.path("log.1/checkpoint").exists());
    // What was set aside is a system as before.
    for name in ["log", "disk.img"] {
        let aside = system.path(&format!("{name}.1"));
        fs::rename(system.path(name), system.path("second")).unwrap();
        fs::rename(&aside, system.path(name)).unwrap();
        fs::rename(system.path("second"), aside).unwrap();
    }
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("kept"));
}

#[test]
fn a_log_that_is_damaged_is_found_by_the_doctor() {
    let system = with_a_note();
    assert!(good(&system.run(["doctor"])).contains("The log is whole"));
    let segment = system.segment();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[400] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let found = system.run(["--output", "json", "doctor"]);
    assert_eq!(found.status.code(), Some(69));
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let log = found["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "log").unwrap();
    assert_eq!(log["verdict"], "bad");
    assert!(log["found"].as_str().unwrap().contains("segments/"), "{log}");
    assert!(log["next"].as_str().unwrap().contains("--new-log"), "{log}");
}

/// What is no disk of a system stays as it is and is told once; the way on is an empty one.
#[test]
fn a_disk_that_storage_cannot_use_is_told_and_set_aside_when_asked() {
    let system = with_a_note();
    for (disk, why) in [(vec![0; 100 << 10], "smaller than 256 KiB"), (vec![0x5A; 1 << 20], "something else on it")] {
        fs::write(system.path("disk.img"), &disk).unwrap();
        let output = system.run(["run", "-c", "services; services storage"]);
        let text = good(&output);
        assert!(text.contains("; `start storage` tries again\n"), "{text}");
        assert!(text.contains(why) && text.contains("restarts   0"), "{text}");
        assert_eq!(fs::read(system.path("disk.img")).unwrap(), disk);
        let output = system.run(["run", "--new-disk", "-c", "put note again; cat note"]);
        assert_eq!(good(&output), "again\n");
    }
    assert!(system.path("disk.img.2").exists());
}

/// Wherever a first start is killed, the next is a first start or goes on; it is never told that
/// something is lost.
#[test]
fn a_first_start_that_is_killed_loses_nothing() {
    for wait in [0, 2, 5, 10, 20, 40, 80, 160] {
        let system = System::new();
        let mut child = system.command(["run", "-c", "put note kept"]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        good(&system.run(["run", "-c", "echo"]));
    }
}
