//! `capture` in the shell and `orbital capture`: what is captured is read with the key and with nothing else,
//! and is in no other file.

use super::*;

/// Words that nothing else contains.
const SHORT: &str = "zq-short-canary-71c4";
const LONG: &str = "zq-long-canary-0b9e-that-does-not-fit-into-eight-words-and-so-travels-as-bytes-of-the-message";

/// A system in which storage was captured while two canaries were put, and not before or after.
fn captured() -> System {
    let system = System::new();
    let script = format!(
        "put a zq-before-canary; capture storage on; put b {SHORT}; put c {LONG}; cat c; capture storage off; put d zq-after-canary"
    );
    good(&system.run(["run", "-c", &script]));
    system
}

fn file(system: &System) -> PathBuf {
    system.path("captures/0000000001.sealed")
}

/// Every file below a folder but for links, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.extend(files(&entry.path()));
        } else if kind.is_file() {
            all.push((entry.path(), std::fs::read(entry.path()).unwrap()));
        }
    }
    all
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_a_service_is_told_is_shown_with_the_key_and_lies_nowhere_else() {
    let system = captured();
    let shown = good(&system.run(["--output", "json", "capture", "show"]));
    let records: Vec<serde_json::Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    assert_eq!((of_kind("began"), of_kind("ended"), of_kind("off")), (1, 1, 1), "{shown}");
    assert_eq!(of_kind("call"), of_kind("answer"), "{shown}");
    assert!(of_kind("call") >= 3, "{shown}");
    assert!(records.iter().all(|record| record["boot"] == 1));
    // Long ones are in the bytes, there and back; words are little-endian.
    let with_bytes = |text: &str| {
        records.iter().filter(|record| record["bytes"].as_str().is_some_and(|bytes| bytes.contains(&hex(text)))).count()
    };
    assert!(with_bytes(LONG) >= 2, "{shown}");
    let text = good(&system.run(["capture", "show"]));
    assert!(text.contains("begins, by order of shell (4)"), "{text}");
    assert!(
        text.contains("call shell (4) -> storage (2)") && text.contains("answer storage (2) -> shell (4)"),
        "{text}"
    );
    assert!(text.contains(&SHORT[..5]), "{text}");
    for outside in ["zq-before", "zq-after"] {
        assert!(!text.contains(outside) && !shown.contains(&hex(outside)), "{text}");
    }

    // Not in the log, not in the file as it lies, raw or in hex; the disk has what was put there.
    for (path, bytes) in files(system.folder.path()) {
        for canary in [SHORT, LONG] {
            let found = has(&bytes, canary) || has(&bytes, &hex(canary));
            assert_eq!(found, path == system.path("disk.img"), "{}", path.display());
        }
    }
    // The log says who.
    let log = good(&system.run(["log", "show", "--process", "shell", "--limit", "1000"]));
    assert!(log.contains("are captured from now on, by order of shell"), "{log}");
    assert!(log.contains("are captured no longer, by order of shell"), "{log}");
    assert!(good(&system.run(["log", "replay"])).contains("equal"));
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}

#[test]
fn what_cannot_be_captured_is_said_with_the_next_step() {
    let system = System::new();
    let says = |script: &str, words: &str| {
        let output = system.run(["run", "-c", script]);
        assert!(out(&output).contains(words), "{script}: {}{}", out(&output), err(&output));
        assert_ne!(output.status.code(), Some(0), "{script}");
    };
    says("capture storage off", "what storage is told is not captured; `capture storage on` begins it");
    says(
        "capture storage on; capture storage on",
        "what storage is told is captured already; `capture storage off` ends it",
    );
    says("capture nothing on", "no capability `capture:nothing`");
    says("capture storage", "it takes a service, and on or off");
    says("capture storage perhaps", "it takes a service, and on or off");
}

#[test]
fn one_that_was_not_given_the_right_captures_nothing() {
    let system = System::new();
    let manifest = include_str!("../../../init/system.toml");
    let without: String = manifest
        .lines()
        .filter(|line| !line.contains("[\"capture\"]"))
        .fold(String::new(), |text, line| text + line + "\n");
    let path = system.path("system.toml");
    std::fs::write(&path, without).unwrap();
    let output =
        system.command(["run", "--manifest", path.to_str().unwrap(), "-c", "capture storage on"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("the shell was given no capability `capture:storage`"), "{}", out(&output));
    assert!(!system.path("captures").exists());
}

#[test]
fn what_is_not_there_is_said_with_status_66() {
    let system = System::new();
    bad(&system.run(["capture", "show"]), 66, "nothing was captured");
    let system = captured();
    bad(&system.run(["capture", "show", "--boot", "9"]), 66, "nothing is there of boot 9");
    good(&system.run(["capture", "show", "--boot", "1"]));
    std::fs::remove_file(system.path("machine.key")).unwrap();
    bad(&system.run(["capture", "show"]), 66, "machine.key: there is no key");
}

#[test]
fn a_file_that_was_changed_cut_or_sealed_elsewhere_is_not_believed() {
    let system = captured();
    let path = file(&system);
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 4;
    std::fs::write(&path, &changed).unwrap();
    let output = system.run(["capture", "show"]);
    bad(&output, 65, "was changed");
    assert!(err(&output).contains("record ") && out(&output).is_empty(), "{}", err(&output));

    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let output = system.run(["capture", "show"]);
    assert!(good(&output).contains("capture of endpoint"));
    assert!(err(&output).contains("are the beginning of one"), "{}", err(&output));

    std::fs::write(&path, b"OrbitCp? no").unwrap();
    bad(&system.run(["capture", "show"]), 65, "this is no capture");

    let other = captured();
    std::fs::write(file(&other), &whole).unwrap();
    bad(&other.run(["capture", "show"]), 65, "sealed with the key of another machine");
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_the_machine_goes_on() {
    let system = System::new();
    std::fs::write(system.path("captures"), "in the way").unwrap();
    let output = system.run(["run", "-c", "capture storage on; put a b; cat a"]);
    assert_eq!(good(&output), "b\n");
    assert!(err(&output).contains("orbital: messages are captured no longer"), "{}", err(&output));
    assert!(err(&output).contains("next: "), "{}", err(&output));
}
