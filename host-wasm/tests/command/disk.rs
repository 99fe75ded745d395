//! `orbital disk`: what is on a disk is checked, shown, taken out and put back; what is wrong is named.

use super::*;
use std::os::unix::fs::FileExt;

/// A system with a few things on its disk.
fn used() -> System {
    let system = System::new();
    let long = "long ".repeat(4_000);
    let script = format!(
        "put note hello; mkdir /d; put /d/f inside; put /long '{long}'; put note again; notes add milk; mkdir /empty; put /nothing ''"
    );
    good(&system.run(["run", "-c", &script]));
    system
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", out(output), err(output)))
}

/// Where these bytes lie on the disk, the last time.
fn place_of(image: &Path, bytes: &[u8]) -> u64 {
    let disk = std::fs::read(image).unwrap();
    disk.windows(bytes.len()).rposition(|window| window == bytes).expect("it is there") as u64
}

fn flip(image: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(image).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_disk_is_checked_and_shown() {
    let system = used();
    assert!(good(&system.run(["disk", "check"])).contains("all good"));
    let before = std::fs::read(system.path("disk.img")).unwrap();
    let check = json(&system.run(["--output", "json", "disk", "check"]));
    assert_eq!((check["damage"].as_array().unwrap().len(), check["files"].as_u64().unwrap() >= 4), (0, true));
    let text = good(&system.run(["disk", "info"]));
    for part in ["root/user:", "root/apps", "format 1", "KiB are free"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let info = json(&system.run(["--output", "json", "disk", "info"]));
    assert!(
        info["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["path"] == "root/user" && one["bytes"].as_u64() > Some(20_000))
    );
    assert!(before == std::fs::read(system.path("disk.img")).unwrap(), "nothing was written");
}

#[test]
fn what_was_exported_is_imported_with_its_versions() {
    let system = used();
    let stat = good(&system.run(["run", "-c", "stat note /d/f /long /empty; cat note /long; notes list"]));
    let export = system.path("export");
    let export = export.to_str().unwrap();
    good(&system.run(["disk", "export", "--to", export]));
    bad(&system.run(["disk", "export", "--to", export]), 66, "there is something already");
    let other = System::new();
    good(&other.run(["disk", "import", "--from", export]));
    bad(&other.run(["disk", "import", "--from", export]), 66, "there is a disk already");
    assert!(good(&other.run(["disk", "check"])).contains("all good"));
    // The same is exported again, but for how often the disk was written, and so the hash of all lines.
    let again = other.path("again");
    good(&other.run(["disk", "export", "--to", again.to_str().unwrap()]));
    let lines = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
        text.lines().skip(1).filter(|line| !line.contains("\"end\"")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(Path::new(export)), lines(&again));
    assert_eq!(good(&other.run(["run", "-c", "stat note /d/f /long /empty; cat note /long; notes list"])), stat);
    // Versions go on above those that came along.
    let version =
        |text: &str| -> u64 { text.split("version ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap() };
    let before = version(&good(&other.run(["run", "-c", "stat note"])));
    assert!(version(&good(&other.run(["run", "-c", "put note new; stat note"]))) > before);
    assert!(good(&other.run(["disk", "check"])).contains("all good"));
}

#[test]
fn an_export_that_was_changed_is_refused_and_leaves_nothing() {
    let system = used();
    let export = system.path("export");
    good(&system.run(["disk", "export", "--to", export.to_str().unwrap()]));
    let index = export.join("index.jsonl");
    let good_index = std::fs::read_to_string(&index).unwrap();
    let refused = |status, cause: &str| {
        let other = System::new();
        bad(&other.run(["disk", "import", "--from", export.to_str().unwrap()]), status, cause);
        assert!(other.listing().is_empty(), "{:?}", other.listing());
    };
    std::fs::write(&index, good_index.replacen("\"kind\"", "\"kin\"", 2)).unwrap();
    refused(65, "index.jsonl, line 1");
    std::fs::write(&index, format!("{good_index}garbage\n")).unwrap();
    refused(65, &format!("index.jsonl, line {}", good_index.lines().count() + 1));
    let lines: Vec<&str> = good_index.lines().collect();
    for left in [2, 5, lines.len() - 1] {
        std::fs::write(&index, lines[..left].join("\n") + "\n").unwrap();
        refused(65, &format!("index.jsonl, line {}: the end is missing", left + 1));
    }
    let without_one: Vec<&str> = lines.iter().copied().filter(|line| !line.contains("\"f\"")).collect();
    std::fs::write(&index, without_one.join("\n") + "\n").unwrap();
    refused(65, "are not those that were written");
    std::fs::write(&index, format!("{good_index}{}\n", lines[2])).unwrap();
    refused(65, "behind the end");
    // Changed, and with an end that says so.
    let ended = |changed: String| {
        let text = changed.rsplit_once("{\"kind\":\"end\"").unwrap().0.to_owned();
        let hash = blake3::hash(text.as_bytes()).to_hex();
        std::fs::write(&index, format!("{text}{{\"kind\":\"end\",\"hash\":\"{hash}\"}}\n")).unwrap();
    };
    ended(good_index.replace("\"above\":0", "\"above\":77"));
    refused(65, "is in no folder");
    ended(good_index.replace("\"name\":\"d\"", "\"name\":\"../d\""));
    refused(65, "a name that cannot be");
    ended(good_index.replacen("\"parent\":1", "\"parent\":9", 1));
    refused(65, "index.jsonl");
    let number = serde_json::from_str::<serde_json::Value>(lines[0]).unwrap()["transaction"].to_string();
    let transaction =
        |to: &str| good_index.replace(&format!("\"transaction\":{number}"), &format!("\"transaction\":{to}"));
    ended(transaction("18446744073709551615"));
    refused(65, "more transactions than a disk can have");
    ended(transaction("0"));
    refused(65, "a version that the disk had not come to");
    std::fs::write(&index, &good_index).unwrap();
    let data = std::fs::read_dir(export.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let long = data.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    flip(&long, 7);
    refused(65, long.to_str().unwrap());
    std::fs::remove_file(&long).unwrap();
    refused(66, long.to_str().unwrap());
    std::fs::remove_file(&index).unwrap();
    refused(66, "index.jsonl");
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_exported() {
    let system = used();
    let image = system.path("disk.img");
    flip(&image, place_of(&image, b"long long long long") - 1_000);
    let output = system.run(["disk", "check"]);
    bad(&output, 65, "the bytes of file `/long` of root/user are not those that were written");
    let value = json(&system.run(["--output", "json", "disk", "check"]));
    assert_eq!(value["damage"].as_array().unwrap().len(), 1);
    // In the session, too, and nothing else is kept from its user.
    let text = good(&system.run(["run", "-c", "cat /long; cat note"]));
    assert!(text.contains("is damaged on the disk and cannot be read; everything else stays readable\n"), "{text}");
    assert!(text.ends_with("again\n"), "{text}");
    let export = system.path("export");
    bad(&system.run(["disk", "export", "--to", export.to_str().unwrap()]), 65, "file `/long`");
    let other = System::new();
    good(&other.run(["disk", "import", "--from", export.to_str().unwrap()]));
    assert!(good(&other.run(["run", "-c", "cat note /d/f"])).contains("again"));
}

#[test]
fn a_disk_that_is_none_or_in_use_is_refused() {
    let system = System::new();
    bad(&system.run(["disk", "check"]), 66, "there is no disk");
    assert!(system.listing().is_empty());
    let image = system.path("disk.img");
    for (bytes, status, cause) in [
        (vec![0; 1 << 20], 66, "the disk is empty"),
        (vec![7; 1 << 20], 65, "something else on it"),
        (vec![0; 1000], 65, "smaller than"),
    ] {
        std::fs::write(&image, bytes).unwrap();
        for verb in [&["disk", "check"][..], &["disk", "info"], &["disk", "export", "--to", "/no/such/place"]] {
            bad(&system.command(verb).output().unwrap(), status, cause);
        }
    }
    let running = used();
    let mut child = running.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "echo it-runs").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("it-runs")));
    bad(&running.run(["disk", "check"]), 75, &format!("process {}", child.id()));
    drop(input);
    child.wait().unwrap();
    // Of an image by itself too.
    let text = good(&orbital().args(["disk", "info", "--image"]).arg(running.path("disk.img")).output().unwrap());
    assert!(text.contains("root/user"), "{text}");
}

/// A limit of the size of files is, to the disk, a host without room.
#[test]
fn a_disk_without_room_on_the_host_is_told_and_recovers() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note kept"]));
    let fill = |number| format!("put /f{number} '{}' && echo done-{number};", "x".repeat(200));
    let script: String = (0..200).map(fill).chain(["cat note".to_owned()]).collect();
    // The log has room, and the beginning of the disk; sh counts in blocks of 512 or 1024 bytes.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 2048; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_orbital"), "--state"]);
    let command = command.arg(system.folder.path()).args(["run", "-c", &script]).env_remove("ORBITAL_STATE");
    let text = good(&command.output().unwrap());
    assert!(text.contains("the disk is full: there is no room for /f199"), "{text}");
    assert!(text.ends_with("kept\n"), "what is there stays readable: {text}");
    let done: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("done-")).collect();
    assert!(!done.is_empty() && done.len() < 200, "{}", done.len());
    let cat: String = done.iter().map(|number| format!("cat /f{number};")).collect();
    assert_eq!(good(&system.run(["run", "-c", &cat])), format!("{}\n", "x".repeat(200)).repeat(done.len()));
    let text = good(&system.run(["run", "-c", "cat note; put /more 'after'; cat /more"]));
    assert!(text.contains("kept") && text.contains("after"));
    assert!(good(&system.run(["disk", "check"])).contains("all good"));
}

/// Runs `orbital` on the system where this file or folder cannot be written; `None` where a host allows no namespace to
/// mount in.
fn with_read_only(path: &Path, system: &System, words: &[&str]) -> Option<Output> {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99; exec \"$@\"");
    command.arg(path).arg(env!("CARGO_BIN_EXE_orbital")).arg("--state").arg(system.folder.path()).args(words);
    let output = command.env_remove("ORBITAL_STATE").stdin(Stdio::null()).output().unwrap();
    if matches!(output.status.code(), Some(1 | 99)) && out(&output).is_empty() {
        eprintln!("no namespace to mount in: {}", err(&output));
        return None;
    }
    Some(output)
}

#[test]
fn a_disk_in_a_folder_that_cannot_be_written_is_checked_shown_and_exported() {
    let system = System::new();
    good(&system.run(["run", "-c", "put /a one"]));
    let state = system.folder.path().to_owned();
    let Some(output) = with_read_only(&state, &system, &["disk", "check"]) else { return };
    assert!(good(&output).contains("all good"));

    // A copy in a folder where no system ever ran.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.img");
    std::fs::copy(system.path("disk.img"), &copy).unwrap();
    let to = system.path("export");
    for verb in [&["check"][..], &["info"], &["export", "--to", to.to_str().unwrap()]] {
        let words = [&["disk", "--image", copy.to_str().unwrap()], verb].concat();
        good(&with_read_only(elsewhere.path(), &system, &words).unwrap());
    }
    assert!(to.join("index.jsonl").exists());
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing was made beside it");

    // Who runs there is seen all the same.
    let (mut child, _lines) = waiting_session(&system);
    let output = with_read_only(&state, &system, &["disk", "check"]).unwrap();
    bad(&output, 75, &format!("(process {})", child.id()));
    drop(child.stdin.take());
    assert_eq!(ends_within(&mut child, Duration::from_secs(60)), Some(0));
}

/// Permissions do not hold root back, so the disk is mounted read-only, in a namespace of the test's own. Where a host
/// allows none, the tests of `devices::disk` and `state` are what there is.
#[test]
fn a_disk_that_cannot_be_written_is_read_and_loses_nothing() {
    let system = System::new();
    good(&system.run(["run", "-c", "put /a one; mkdir /d; put /d/x y; hello"]));
    let image = system.path("disk.img");
    let before = std::fs::read(&image).unwrap();
    let mounted = |words: &[&str]| with_read_only(&image, &system, words);
    let script = "cat /a; put /a two; put /b three; rm /a; mkdir /e; append /a more; mv /a /c; cat /a; ls /d";
    let Some(output) = mounted(&["run", "-c", script]) else { return };
    let text = good(&output);
    assert!(err(&output).contains("disk.img cannot be written"), "{}", err(&output));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[7], lines[8]), (9, "one", "one", "x"), "{text}");
    assert!(lines[1..7].iter().all(|line| line.contains(" cannot be changed: the disk refuses writes")), "{text}");
    // A program that ran before, and so has a namespace, runs as well; services go on.
    assert_eq!(good(&mounted(&["run", "-c", "kill storage; cat /a; hello"]).unwrap()), "one\nHello, world!\n");
    let doctor = good(&mounted(&["doctor"]).unwrap());
    assert!(doctor.contains("note  disk: ") && doctor.contains("disk.img cannot be written"), "{doctor}");
    assert!(!good(&system.run(["doctor"])).contains("  disk: "));
    assert!(before == std::fs::read(&image).unwrap(), "nothing was written");
    assert_eq!(good(&system.run(["run", "-c", "put /b two; cat /a /b"])), "one\ntwo\n");
}
