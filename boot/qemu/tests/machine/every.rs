//! Every command of the program that `make qemu` runs ends with every status that docs/bare-metal.md gives it.

use super::product;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn qemu() -> Command {
    let mut qemu = Command::new(env!("CARGO_BIN_EXE_qemu"));
    qemu.env_remove("ORBITAL_QEMU_STATE").stdin(Stdio::null());
    qemu
}

/// By command, the statuses that the book gives it.
fn book() -> BTreeMap<String, BTreeSet<i32>> {
    let text = include_str!("../../../../docs/bare-metal.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| command | ends with |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let (command, statuses) = (cells.next().unwrap(), cells.next().unwrap());
            let statuses = statuses.split(' ').map(|status| status.parse().unwrap()).collect();
            (command.trim_matches('`').to_owned(), statuses)
        })
        .collect()
}

#[test]
fn every_command_ends_with_every_status_that_the_book_gives_it() {
    product();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut seen: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    let mut ends = |qemu: &mut Command, words: &[&str], status: i32, says: &str| {
        let output: Output = qemu.args(words).output().unwrap();
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
        let command = words.iter().find(|word| matches!(**word, "run" | "image" | "crash")).unwrap();
        seen.entry((*command).to_owned()).or_default().insert(status);
    };
    let (ran, other) = (at("ran"), at("other"));

    // The system makes what it needs, and keeps it.
    ends(&mut qemu(), &["--state", &ran, "run", "-c", "put /a kept; cat /a; exit 0"], 0, "kept");
    ends(&mut qemu(), &["--state", &other, "run", "-c", "echo other"], 0, "other");
    for (words, says) in [
        (&["run", "--boot", "tape"][..], "possible values: pvh, bios, uefi"),
        (&["run", "-e", "x"], "it must be NAME=VALUE"),
        (&["run", "--memory", "much"], "--memory"),
        (&["image", "--boot", "pvh"], "PVH loads no disk image"),
        (&["image", "x"], "unexpected argument"),
        (&["crash", "many"], "many"),
    ] {
        ends(&mut qemu(), words, 2, says);
    }
    fs::create_dir(at("keyless")).unwrap();
    fs::copy(Path::new(&ran).join("log.img"), Path::new(&at("keyless")).join("log.img")).unwrap();
    ends(&mut qemu(), &["--state", &at("keyless"), "run", "-c", "ls"], 65, "the machine's key is gone");
    ends(qemu().env("PATH", "/nonexistent"), &["run", "-c", "ls"], 69, "qemu-system-x86_64");
    ends(qemu().env("PATH", "/nonexistent"), &["crash", "1"], 69, "qemu-system-x86_64");
    ends(qemu().env("CARGO", "/nonexistent").env_remove("ORBITAL_BUILT"), &["image"], 69, "cargo does not start");
    // The key of another machine: the kernel refuses it.
    fs::copy(Path::new(&other).join("machine.key"), Path::new(&ran).join("machine.key")).unwrap();
    ends(&mut qemu(), &["--state", &ran, "run", "-c", "ls"], 70, "key");
    ends(&mut qemu(), &["--state", &ran, "crash", "1"], 70, "");
    for command in ["run", "crash"] {
        ends(&mut qemu(), &["--state", "/dev/null/x", command], 74, "/dev/null/x");
    }
    ends(&mut qemu(), &["--state", &other, "run", "--disk", "/no/such"], 74, "/no/such");
    let full = File::options().write(true).open("/dev/full").unwrap();
    ends(qemu().stdout(full), &["--state", &other, "run", "-c", "echo lost"], 74, "standard output");
    {
        let _held = qemu::State::open(Path::new(&other)).unwrap();
        for command in ["run", "crash"] {
            ends(&mut qemu(), &["--state", &other, command], 75, "another machine is running");
        }
    }
    // A program that another test is just starting has this one's files, the lock too, until it is begun.
    while qemu::State::open(Path::new(&other)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    ends(qemu().stdout(writer), &["--state", &other, "run", "-c", "echo unheard"], 141, "");
    ends(&mut qemu(), &["--state", &at("load"), "crash", "--seed", "7", "1"], 0, "acknowledged");
    ends(&mut qemu(), &["image", "--boot", "bios"], 0, "orbital-bios.img");

    // tests/machine/terminal.rs: a person switches it off.
    seen.get_mut("run").unwrap().insert(130);
    assert_eq!(seen, book());
    let help = String::from_utf8(qemu().arg("--help").output().unwrap().stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: BTreeSet<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let in_book = seen.keys().map(String::as_str).chain(["help"]).collect();
    assert_eq!(listed, in_book, "the commands of the program, and those of the book");
}

/// The messages are not written down: what the session says to this host is in no capture.
#[test]
fn what_this_host_does_not_do_is_told() {
    let system = super::system();
    let said = system.script("capture storage on", 1);
    assert!(
        said.contains("this host captures nothing; `orbital`, where processes are WebAssembly components, does"),
        "{said}"
    );
}
