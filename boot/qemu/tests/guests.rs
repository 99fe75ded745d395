//! Programs that check from the inside what ring 3 is promised, each booted in the place of init.

use images::ramdisk::Ramdisk;
use images::{HOSTILE, Host, NATIVE_GUESTS, Package, Progress};
use log_store::commands::{Bound, Format, Show, show};
use qemu::console::{Gathered, gather};
use qemu::machine::Machine;
use qemu::{State, build};
use scenario::hostile;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(180);

/// What came of a boot.
struct Said {
    /// What the console showed.
    output: String,
    /// What kernel and guests said.
    messages: String,
    state: State,
    _folder: tempfile::TempDir,
}

/// Boots a program of a package in the place of init, with these arguments and words for QEMU.
fn boot(package: Package, program: &str, arguments: &[&str], more: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    state.prepare().unwrap();
    let mut product = build::build(false, Progress::Shown).unwrap_or_else(|problem| panic!("{problem}"));
    let (root, target) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), build::target().unwrap().join("image"));
    let package = ["--package", package.name, "--bin", program];
    images::build(Host::Native, &root, &target, &package, Progress::Shown).unwrap();
    product.ramdisk = folder.path().join("ramdisk.tar");
    let program = images::program(Host::Native, &target, program);
    Ramdisk::new(&root, &target).file("init", &program).write(&product.ramdisk, Progress::Quiet).unwrap();

    let mut machine = Machine::new(&product, &state).unwrap();
    machine.arguments = arguments.iter().map(ToString::to_string).collect();
    machine.more = more.iter().map(Into::into).collect();
    let Gathered { output, messages, .. } =
        gather(&machine, "", PATIENCE).unwrap_or_else(|problem| panic!("{problem}"));
    Said { output, messages, state, _folder: folder }
}

impl Said {
    /// What the first process says has passed. Whatever else it says fails the test.
    fn passed(&self) -> Vec<&str> {
        let said = self.messages.lines().filter_map(|line| line.split_once("[init] ")).map(|(_, said)| said.trim_end());
        said.map(|said| said.strip_prefix("passed ").unwrap_or_else(|| panic!("{}", self.messages))).collect()
    }

    /// The log in words.
    fn log(&self) -> String {
        let (mut log, all) = (Vec::new(), Show { from: Some(Bound::Record(0)), ..Show::default() });
        show(&self.state.log(), &all, Format::Text, &mut log).unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(log).unwrap()
    }
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
    assert_eq!(boot(NATIVE_GUESTS, "threads", &[], &[]).passed(), expected);
}

/// Everything that a process could try from ring 3: it is stopped, its supervisor is told what it did, and
/// the others go on.
#[test]
fn who_tries_what_he_must_not_hurts_himself_alone() {
    let said = boot(NATIVE_GUESTS, "hostile", &[], &[]);
    let passed = said.passed();
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
        assert!(passed.contains(&name), "{name}: not among {passed:?}");
    }
    assert_eq!(passed.len(), 48);
}

#[path = "../../../kernel/src/tests/table.rs"]
#[allow(dead_code)] // Part of it is the kernel's tests' alone.
mod table;

/// Each call is seen to succeed, and to refuse each handle that is no good, with the error that its row in
/// docs/system-calls.md names; whatever else it answers is there too.
#[test]
fn every_call_from_ring_3_ends_as_the_table_says() {
    use abi::{Error, Number};
    // This host captures nothing: `Unsupported`, whatever the handle.
    const NOT_HERE: &[Number] = &[Number::CaptureBegin, Number::CaptureEnd];
    // No device of this host is asked that way; and an executable is in tests/machine/executables.rs.
    const DO_NOT_SUCCEED: &[Number] = &[Number::DeviceComplete, Number::ImageCreate];
    let said = boot(NATIVE_GUESTS, "calls", &[], &[]);
    let lines = said.messages.lines().filter_map(|line| line.split_once("[init] call "));
    let mut seen = BTreeSet::new();
    for (_, line) in lines {
        let (name, ends) = line.trim_end().split_once(' ').unwrap();
        let call = *Number::ALL.iter().find(|call| call.name() == name).unwrap();
        seen.extend(ends.split(' ').map(|end| (call, Error::from_number(end.parse().unwrap()))));
    }
    for &(call, end) in &seen {
        let named = end.is_none_or(|error| table::names(call, error));
        assert!(named, "docs/system-calls.md does not say {end:?} of {}", call.name());
    }
    let handle = [Error::BadHandle, Error::StaleHandle, Error::WrongKind, Error::MissingRight, Error::Expired];
    let expected = Number::ALL.iter().filter(|call| !NOT_HERE.contains(call)).flat_map(|&call| {
        let errors = &table::errors()[&call].kernel;
        let bad = handle.into_iter().filter(|error| errors.contains(error));
        let good = (!DO_NOT_SUCCEED.contains(&call)).then_some((call, None));
        bad.map(move |error| (call, Some(error))).chain(good)
    });
    let missing: Vec<_> = expected.filter(|end| !seen.contains(end)).collect();
    assert!(missing.is_empty(), "not seen: {missing:?}\n{}{}", said.output, said.messages);
    for call in NOT_HERE.iter().chain(&[Number::DeviceComplete]) {
        assert!(seen.contains(&(*call, Some(Error::Unsupported))), "{}", call.name());
    }
}

/// The same programs as on the WebAssembly host (host-wasm/tests/machine/attacks.rs): each rages beside a server and its
/// client.
#[test]
fn whoever_means_harm_hurts_himself_alone_and_is_on_record() {
    let said = boot(HOSTILE, "hostile", &[], &[]);
    hostile::check(&said.output, &said.log(), &hostile::DEEDS).unwrap_or_else(|why| panic!("{why}\n{}", said.messages));
}

/// What memory a machine had in use at its end.
#[derive(PartialEq, Eq, Debug)]
struct Memory {
    /// Frames that were free.
    free: u64,
    /// Bytes of the kernel's heap, without what was set aside for the log.
    heap: u64,
    /// Bytes that were: blocks and a buffer, as many as waited for the disk at one time.
    log: u64,
}

/// Of it, after so many processes.
fn memory_after(rounds: u64) -> Memory {
    let arguments = ["rounds", &rounds.to_string()];
    let said = boot(NATIVE_GUESTS, "hostile", &arguments, &["-fw_cfg", "name=opt/orbital/memory,string=1"]);
    let messages = &said.messages;
    assert!(messages.contains("[init] passed rounds"), "{messages}");
    let line = messages.lines().find_map(|line| line.strip_prefix("orbital: at the end ")).expect("it says so");
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [free, taken, log] = numbers[..] else { panic!("{line}") };
    Memory { free, heap: taken - log, log }
}

/// Processes come and go, by their own end, by a fault, by force; afterwards all memory is as it was, but for the log's
/// buffers, which are bounded. `ORBITAL_ROUNDS=10000` goes on for longer.
#[test]
fn many_processes_leave_no_memory_taken() {
    let rounds = std::env::var("ORBITAL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let (few, many) = (memory_after(30), memory_after(rounds));
    println!("after 30: {few:?}, after {rounds}: {many:?}");
    assert_eq!((many.free, many.heap), (few.free, few.heap), "frames and heap");
    // Seventeen blocks of 64 KiB, and a buffer that is written when it has as much and may then take one more.
    assert!(many.log <= 20 * (64 << 10), "{many:?}");
}
