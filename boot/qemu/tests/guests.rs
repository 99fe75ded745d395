//! Programs that check from the inside what ring 3 is promised, each booted in the place of init.

use images::ramdisk::Ramdisk;
use images::{Host, NATIVE_GUESTS, Progress};
use qemu::console::gather;
use qemu::machine::Machine;
use qemu::{State, build};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(180);

/// Boots the guest of this name, with these arguments and words for QEMU; what kernel and guest said.
fn said(guest: &str, arguments: &[&str], more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    state.prepare().unwrap();
    let mut product = build::build(false, Progress::Shown).unwrap_or_else(|problem| panic!("{problem}"));
    let (root, target) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), build::target().unwrap().join("image"));
    let package = ["--package", NATIVE_GUESTS.name, "--bin", guest];
    images::build(Host::Native, &root, &target, &package, Progress::Shown).unwrap();
    product.ramdisk = folder.path().join("ramdisk.tar");
    let program = images::program(Host::Native, &target, guest);
    Ramdisk::new(&root, &target).file("init", &program).write(&product.ramdisk, Progress::Quiet).unwrap();

    let mut machine = Machine::new(&product, &state).unwrap();
    machine.arguments = arguments.iter().map(ToString::to_string).collect();
    machine.more = more.iter().map(Into::into).collect();
    gather(&machine, "", PATIENCE).unwrap_or_else(|problem| panic!("{problem}")).messages
}

/// The names of what the guest says has passed. Whatever else it says fails the test.
fn passed(guest: &str) -> Vec<String> {
    let messages = said(guest, &[], &[]);
    let said = messages.lines().filter_map(|line| line.split_once("[init] ")).map(|(_, said)| said.trim_end());
    said.map(|said| said.strip_prefix("passed ").unwrap_or_else(|| panic!("{messages}")).to_owned()).collect()
}

#[test]
fn threads_locks_and_mappings() {
    let expected = [
        "each has a result",
        "one at a time has the lock",
        "each has its own values",
        "each has its own registers",
        "each calls for itself",
        "tasks run in threads too",
        "tasks go on while a thread computes",
        "what a thread cost comes back",
        "who waits for a destroyed thread is told",
        "regions are mapped",
        "below a stack is nothing",
    ];
    assert_eq!(passed("threads"), expected);
}

/// Everything that a process could try from ring 3: it is stopped, its supervisor is told what it did, and
/// the others go on.
#[test]
fn who_tries_what_he_must_not_hurts_himself_alone() {
    let passed = passed("hostile");
    for name in [
        "writes the kernel",
        "reads another's memory",
        "jumps into its stack",
        "overflows its stack",
        "writes to a port",
        "single-steps into a call",
        "odd flags, stacks and blocks harm nobody",
        "who takes all memory takes his own",
        "10,000 random calls",
        "what one process writes another reads",
        "shares, and writes what it may read",
        "shares, and runs what it may read",
        "shares, and reads behind its end",
        "what is revoked is unmapped where it was lent to, and only there",
        "a storm of faults",
        "who spins costs the others only a share",
        "what 200 processes had comes back",
        "memory for devices is asked for with both in hand",
    ] {
        assert!(passed.iter().any(|passed| passed == name), "{name}: not among {passed:?}");
    }
    assert_eq!(passed.len(), 48);
}

/// Free frames, and bytes taken of the kernel's heap, after so many processes.
fn memory_after(rounds: u64) -> (u64, u64) {
    let messages = said("hostile", &["rounds", &rounds.to_string()], &["-fw_cfg", "name=opt/orbital/memory,string=1"]);
    assert!(messages.contains("[init] passed rounds"), "{messages}");
    let line = messages.lines().find_map(|line| line.strip_prefix("orbital: at the end ")).expect("it says so");
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// `ORBITAL_ROUNDS=10000` goes on for longer.
#[test]
fn many_processes_leave_no_frame_taken() {
    let rounds = std::env::var("ORBITAL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let (few, many) = (memory_after(30), memory_after(rounds));
    println!("after 30: {few:?}, after {rounds}: {many:?}");
    // Of the heap, what is the processes' and what the log's buffers take this does not tell apart.
    assert_eq!(many.0, few.0, "frames");
}
