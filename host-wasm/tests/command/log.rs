//! `orbital log`: every verb, what is wrong with a log, and with what is asked of it.

use super::*;

#[test]
fn the_log_of_a_run_is_shown_verified_replayed_proved_and_exported() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note hello; cat note"]));
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
    assert!(good(&system.run(["log", "replay"])).contains("equal"));
    assert!(good(&system.run(["log", "show", "--process", "shell", "--limit", "5"])).contains("shell"));
    for line in good(&system.run(["--output", "json", "log", "show", "--limit", "5"])).lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
    let key = good(&system.run(["log", "key"]));
    assert!(good(&system.run(["log", "verify", "--key", key.trim()])).contains("whole"));
    let proof = system.folder.path().join("proof");
    good(
        &system
            .command([OsStr::new("log"), "prove".as_ref(), "10".as_ref(), "--to".as_ref(), proof.as_ref()])
            .output()
            .unwrap(),
    );
    assert!(std::fs::read_dir(proof).unwrap().count() > 0);
    assert!(!system.run(["log", "export", "calls", "0"]).stdout.is_empty());
}

#[test]
fn what_is_wrong_with_a_log_is_said() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let segment = system.segment();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[400] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for (command, status) in [(["log", "verify"], 1), (["log", "replay"], 65), (["log", "show"], 65)] {
        bad(&system.run(command), status, "segments/");
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The calls of the last block but one: where its body begins, and its bytes.
fn calls_of_a_block(segment: &[u8]) -> (u64, u64, std::ops::Range<usize>) {
    let (mut blocks, mut at) = (Vec::new(), 0);
    while let axiom::scan::Next::Block(block, length) = axiom::scan::next(segment, at) {
        at += length;
        let header = block.header;
        blocks.push((header.number, header.first_record, at - header.lengths[2] as usize..at));
    }
    blocks.swap_remove(blocks.len() - 2)
}

/// Of every file: a bit, its end, all of it; and of the calls one that is removed, repeated or moved. The file is named, of calls
/// the block and its records, and the status is 1.
#[test]
fn whatever_is_changed_in_the_log_is_named_with_status_1() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note one; ls; echo"]));
    good(&system.run(["run", "-c", "cat note"]));
    let log = system.path("log");
    let all = files(&log);
    assert!(all.len() >= 4, "{all:?}");
    let refused = |what: &str, parts: &[&str]| {
        let output = system.run(["log", "verify"]);
        bad(&output, 1, "");
        let said = err(&output);
        assert!(parts.iter().all(|part| said.contains(part)), "{what}: {parts:?}: {said}");
        let json = system.run(["--output", "json", "log", "verify"]);
        let said: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap();
        assert_eq!((json.status.code(), &said["error"]["status"]), (Some(1), &1.into()), "{what}");
        assert!(json.stdout.is_empty(), "{what}");
    };
    for file in &all {
        let name = file.strip_prefix(&log).unwrap().to_str().unwrap();
        let whole = std::fs::read(file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 50] ^= 4;
        let used = whole.iter().rposition(|&byte| byte != 0).unwrap();
        for (what, version) in [("flipped", &flipped[..]), ("cut", &whole[..used - 40]), ("empty", &[])] {
            std::fs::write(file, version).unwrap();
            // A segment without its first block is said to lack that.
            let segments = name.starts_with("segments/") && what == "empty";
            refused(what, &[if segments { "segments: block 0" } else { name }]);
        }
        std::fs::remove_file(file).unwrap();
        if name.starts_with("snapshots/") {
            // Nothing rests on it: the log is no less whole.
            good(&system.run(["log", "verify"]));
            std::fs::write(file, &whole).unwrap();
            continue;
        }
        refused("removed", &[if name.starts_with("segments/") { "segments: block 0" } else { name }]);
        std::fs::write(file, &whole).unwrap();
    }
    let segment = system.segment();
    let whole = std::fs::read(&segment).unwrap();
    let (block, first, calls) = calls_of_a_block(&whole);
    let (start, end) = (calls.start, calls.end);
    for what in ["removed", "repeated", "moved"] {
        let mut changed = whole.clone();
        match what {
            "removed" => changed[start..end].copy_within(16.., 0),
            "repeated" => changed[start..end].copy_within(..16, 16),
            _ => changed[start..end].rotate_left(16),
        }
        std::fs::write(&segment, changed).unwrap();
        let (block, records) = (format!("block {block},"), format!("records {first} to"));
        refused(what, &[segment.file_name().unwrap().to_str().unwrap(), &block, &records, "calls body"]);
    }
    std::fs::write(&segment, &whole).unwrap();
    std::fs::write(log.join("segments/more"), "").unwrap();
    refused("one more", &["segments/more"]);
    std::fs::remove_file(log.join("segments/more")).unwrap();
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}

/// A boot says which disk it had: another disk, or the same made anew, has another name.
#[test]
fn each_boot_says_which_disk_it_had() {
    let system = System::new();
    for new in [&[][..], &[], &["--new-disk"], &[]] {
        good(&system.command([&["run", "-c", "put a b"], new].concat()).output().unwrap());
    }
    let shown = good(&system.run(["log", "show", "--process", "host", "--from", "0"]));
    let boots = shown.lines().filter_map(|line| line.split_once(" images, "));
    let disks: Vec<&str> = boots.filter_map(|(_, said)| said.split([';', '.']).next()).collect();
    let start = std::fs::read(system.path("disk.img")).unwrap();
    let name = storage_engine::layout::disk_name(&start[..storage_engine::layout::SUPERBLOCKS]).unwrap();
    let disk = format!("disk {:032x}", u128::from_be_bytes(name));
    assert_eq!(disks.len(), 4, "{shown}");
    // Formatted by storage, which runs after it was told.
    assert_eq!([disks[0], disks[2], disks[3]], ["no formatted disk", "no formatted disk", &disk]);
    assert!(disks[1].starts_with("disk ") && disks[1] != disk, "{disks:?}");
}

#[test]
fn what_is_not_there_is_status_66() {
    let system = System::new();
    for verb in [&["verify"][..], &["show"], &["replay"], &["key"], &["prove", "1"], &["export", "calls", "0"]] {
        bad(&system.command([&["log"], verb].concat()).output().unwrap(), 66, "there is no log");
    }
    let elsewhere = orbital().args(["--state", "/no/such/folder", "log", "verify"]).output().unwrap();
    bad(&elsewhere, 66, "/no/such/folder");
    good(&system.run(["run", "-c", "echo"]));
    bad(&system.run(["log", "prove", "999999999"]), 66, "record 999999999");
    bad(&system.run(["log", "export", "calls", "999999"]), 66, "block 999999");
    assert!(!system.path("proof").exists());
}

#[test]
fn a_proof_that_cannot_be_written_names_the_file() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let file = system.path("taken");
    std::fs::write(&file, "mine").unwrap();
    let output = system.command(["log", "prove", "1", "--to", file.to_str().unwrap()]).output().unwrap();
    bad(&output, 74, file.to_str().unwrap());
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn an_empty_selection_is_said_and_an_inverted_one_refused() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let output = system.run(["log", "show", "--process", "nobody"]);
    assert_eq!(good(&output), "");
    assert!(err(&output).contains("no record of a process nobody"), "{}", err(&output));
    let output = system.run(["--output", "json", "log", "show", "--from", "2030-01-01T00:00:00Z"]);
    assert_eq!(good(&output), "");
    let note: serde_json::Value = serde_json::from_str(&err(&output)).unwrap();
    assert!(note["note"].is_string());
    assert_eq!(err(&system.run(["log", "show", "--limit", "1"])), "");
    bad(&system.run(["log", "show", "--from", "20", "--to", "10"]), 2, "--from lies behind --to");
    let (later, earlier) = ("2030-01-01T00:00:00Z", "2020-01-01T00:00:00Z");
    bad(&system.run(["log", "show", "--from", later, "--to", earlier]), 2, "--from lies behind --to");
}

#[test]
fn following_ends_when_nobody_reads_any_more() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let mut child =
        system.command(["log", "show", "--follow"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // As `head -n 1` does. No record comes any more that it could fail to write.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("the log begins") || !line.is_empty());
    assert_eq!(ends_within(&mut child, Duration::from_secs(60)), Some(141));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn what_lies_behind_the_log_has_one_verdict() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let segment = system.segment();
    let mut bytes = std::fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() = 7;
    std::fs::write(&segment, bytes).unwrap();
    let output = system.run(["log", "verify"]);
    bad(&output, 1, "whole in its first");
    assert_eq!(out(&output), "");
    assert!(err(&output).contains("ended in order"), "{}", err(&output));
    let output = system.run(["--output", "json", "log", "verify"]);
    assert_eq!(out(&output), "");
    let verdict: serde_json::Value = serde_json::from_str(&err(&output)).unwrap();
    assert_eq!(verdict["error"]["status"], 1);
    // The next start cuts it off; the last run did end in order, and that is what it says.
    let output = system.run(["run", "-c", "echo"]);
    good(&output);
    assert!(err(&output).contains("ended in order") && !err(&output).contains("did not end"), "{}", err(&output));
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
    let shown = good(&system.run(["log", "show", "--process", "host", "--limit", "200"]));
    assert!(shown.contains("the boot before ended in order") && !shown.contains("crash"), "{shown}");
}

#[test]
fn a_log_is_checked_from_a_snapshot_and_from_a_checkpoint_that_was_kept() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let kept = system.path("kept");
    std::fs::copy(system.path("log/checkpoint"), &kept).unwrap();
    let name = kept.to_str().unwrap();
    good(&system.run(["run", "-c", "put note hello"]));
    assert!(good(&system.run(["log", "verify"])).contains("The snapshots after block"));
    let from = good(&system.run(["log", "verify", "--from", "checkpoint", name]));
    assert!(
        from.contains("goes on from the checkpoint that was kept") && from.contains("no more was looked at"),
        "{from}"
    );
    let from = good(&system.run(["log", "verify", "--from", "snapshot"]));
    assert!(from.contains("The snapshot after block") && from.contains("Replayed from there"), "{from}");
    let state = |output: String| output.split_once("\nauthority ").unwrap().1.to_owned();
    let replayed = state(good(&system.run(["replay"])));
    assert_eq!(state(good(&system.run(["replay", "--from", "snapshot"]))), replayed);
    bad(&system.run(["log", "verify", "--from", "nowhere"]), 2, "--from nowhere");
    bad(&system.run(["log", "verify", "--from", "checkpoint"]), 2, "needs the file");
    bad(&system.run(["log", "verify", "--from", "checkpoint", "/no/such/file"]), 66, "/no/such/file");

    // The proof of the way to a size that was signed once; to one that never was, there is none.
    let size = std::fs::read_to_string(&kept).unwrap().lines().nth(1).unwrap().to_owned();
    let proof = system.path("proof");
    let prove = ["log", "prove", "--consistency", "1", &size, "--to", proof.to_str().unwrap()];
    bad(&system.run(prove), 66, "no signed checkpoint");
    good(&system.command([&prove[..], &["--checkpoint", name]].concat()).output().unwrap());
    assert!(proof.join(format!("consistency-1-{size}.proof")).exists());

    let mut snapshots: Vec<_> =
        std::fs::read_dir(system.path("log/snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    snapshots.sort();
    let newest = snapshots.pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let output = system.run(["log", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("The log is whole") && err(&output).contains("snapshots/"), "{}", err(&output));
    assert!(err(&output).contains("snapshots/") && err(&output).contains("nothing is lost"), "{}", err(&output));
    assert!(good(&system.run(["log", "verify", "--from", "snapshot"])).contains("gone on from an earlier one"));
    assert_eq!(state(good(&system.run(["replay", "--from", "snapshot"]))), replayed);
    // The machine starts as ever.
    good(&system.run(["run", "-c", "cat note"]));
}
