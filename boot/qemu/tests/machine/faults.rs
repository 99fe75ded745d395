//! Disks that fail under a running system (QEMU's blkdebug), fill up, or cannot be written: whoever asked is told,
//! what was acknowledged is there, and when the disk is good again it goes on.

use super::{System, run, system};
use qemu::machine::{End, Machine, drive};
use std::fs::{self, OpenOptions};
use std::path::Path;

/// How often it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    Once,
    FromThenOn,
}

/// An image of which the `first`-th of these events of QEMU's fails with this error number of the host.
pub fn failing(system: &System, image: &Path, event: &str, first: u32, fails: Fails, errno: u8) -> String {
    let rules = system.state.folder().join(format!("{event}-rules"));
    let mut text = String::new();
    for number in 1..first {
        let next = number + 1;
        text.push_str(&format!("[set-state]\nevent = \"{event}\"\nstate = \"{number}\"\nnew_state = \"{next}\"\n"));
    }
    let once = if fails == Fails::Once { "on" } else { "off" };
    text.push_str(&format!(
        "[inject-error]\nevent = \"{event}\"\nstate = \"{first}\"\nerrno = \"{errno}\"\nonce = \"{once}\"\n"
    ));
    fs::write(&rules, text).unwrap();
    let (rules, image) = (rules.display(), image.display());
    format!("driver=raw,file.driver=blkdebug,file.config={rules},file.image.driver=file,file.image.filename={image}")
}

/// EIO and ENOSPC.
pub const INPUT_OUTPUT: u8 = 5;
pub const NO_SPACE: u8 = 28;

const PUTS: usize = 40;

/// Puts, each followed by a mark if it was acknowledged.
fn puts(machine: Machine) -> Machine {
    let script: String = (0..PUTS).map(|n| format!("put /f{n} text{n} && echo @{n}; ")).collect();
    machine.script(&(script + "cat /f0; echo goes on"))
}

/// What was acknowledged is there on a good disk; what was not is there whole or not at all, and can be put again.
fn look_at(system: &System, output: &str) {
    let cats: String = (0..PUTS).map(|n| format!("cat /f{n}; ")).collect();
    let seen = system.script(&(cats + "put /again 'and again'; cat /again"), 0);
    for n in 0..PUTS {
        let there = seen.lines().any(|line| line == format!("text{n}"));
        let absent = seen.lines().any(|line| line.starts_with(&format!("cat: there is no /f{n};")));
        assert!(there != absent, "/f{n}: {seen}");
        assert!(there || !output.lines().any(|line| line == format!("@{n}")), "/f{n} was acknowledged: {seen}");
    }
    assert!(seen.ends_with("and again\n"), "{seen}");
    system.verify_log();
}

fn marks(output: &str) -> usize {
    output.lines().filter(|line| line.starts_with('@')).count()
}

#[test]
fn a_put_whose_write_fails_is_told_and_the_next_is_there() {
    let system = system();
    system.script("put /first one", 0);
    let mut machine = system.machine();
    machine.disk = Some(failing(&system, &system.state.disk(), "write_aio", 30, Fails::Once, INPUT_OUTPUT));
    let came = run(&puts(machine));
    assert_eq!(came.end, Some(End::Off(0)), "{}\n{}", came.output, came.messages);
    assert!(came.output.ends_with("text0\ngoes on\n"), "{}", came.output);
    let told = came.output.lines().filter(|line| line.starts_with("put: /f") && line.contains("the disk")).count();
    assert_eq!((marks(&came.output), told), (PUTS - 1, 1), "{}", came.output);
    look_at(&system, &came.output);
}

#[test]
fn a_disk_that_takes_nothing_any_more_is_told_and_read() {
    for (event, errno) in [("flush_to_disk", INPUT_OUTPUT), ("write_aio", NO_SPACE)] {
        let system = system();
        system.script("put /first one", 0);
        let mut machine = system.machine();
        machine.disk = Some(failing(&system, &system.state.disk(), event, 24, Fails::FromThenOn, errno));
        let came = run(&puts(machine));
        assert_eq!(came.end, Some(End::Off(0)), "{}\n{}", came.output, came.messages);
        assert!(came.output.ends_with("text0\ngoes on\n"), "{event}: {}", came.output);
        let told = came.output.lines().filter(|line| line.starts_with("put: /f") && line.contains("the disk")).count();
        assert!((1..PUTS).contains(&marks(&came.output)), "{event}: {}", came.output);
        assert_eq!(marks(&came.output) + told, PUTS, "{event}: {}", came.output);
        look_at(&system, &came.output);
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_read_and_says_so() {
    let system = system();
    system.script("put /a one", 0);
    let before = fs::read(system.state.disk()).unwrap();
    let mut machine = system.machine();
    machine.disk = Some(format!("{},readonly=on", drive(&system.state.disk())));
    let came = run(&machine.script("cat /a; put /b two; rm /a; mkdir /d; cat /a; echo goes on"));
    assert_eq!(came.end, Some(End::Off(0)), "{}\n{}", came.output, came.messages);
    let lines: Vec<&str> = came.output.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[4], lines[5]), (6, "one", "one", "goes on"), "{}", came.output);
    assert!(lines[1..4].iter().all(|line| line.contains("the disk refuses writes")), "{}", came.output);
    assert!(fs::read(system.state.disk()).unwrap() == before, "nothing was written");
    assert_eq!(system.script("put /b two; cat /a; cat /b", 0), "one\ntwo\n");
}

#[test]
fn a_disk_that_is_full_says_so_loses_nothing_and_takes_more_when_there_is_room() {
    let system = system();
    let disk = OpenOptions::new().write(true).create(true).truncate(true).open(system.state.disk()).unwrap();
    disk.set_len(256 << 10).unwrap();
    let text = "x".repeat(1500);
    let script: String = (0..35).map(|n| format!("put /f{n} {n}{text} && echo @{n}; ")).collect();
    let first = run(&system.machine().script(&script));
    let second = run(&system.machine().script(&script.replace("/f", "/g")));
    let output = first.output + &second.output;
    assert!(output.lines().any(|line| line.contains("the disk is full")), "{output}");
    let acknowledged = marks(&output);
    assert!((5..70).contains(&acknowledged), "{output}");
    let said = system.script("ls /; rm /f0; rm /f1; rm /f2; rm /f3; put /new there; cat /new", 0);
    assert!(said.ends_with("there\n"), "{said}");
    let listed = said.lines().filter(|line| line.starts_with('f') || line.starts_with('g')).count();
    assert_eq!(listed, acknowledged, "{said}");
}

#[test]
fn a_host_without_room_for_the_log_ends_the_machine_and_is_told() {
    let system = system();
    let mut machine = system.machine();
    machine.log = Some(failing(&system, &system.state.log(), "write_aio", 40, Fails::FromThenOn, NO_SPACE));
    let came = run(&puts(machine));
    assert_eq!(came.end, Some(End::Off(74)), "{}", came.messages);
    assert!(came.messages.contains("the log cannot be written"), "{}", came.messages);
    assert!(marks(&came.output) < PUTS, "{}", came.output);
    look_at(&system, &came.output);
}
