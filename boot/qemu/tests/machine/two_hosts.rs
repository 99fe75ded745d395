//! The same system on the other host, `orbital`: one disk that goes from host to host, and what both logs must say
//! alike.

use super::{orbital, run, system};
use log_store::commands::{Format, Show, show};
use log_store::folder::DiskFolder;
use log_store::image::Image;
use qemu::machine::{End, drive};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use storage_engine::layout::SUPERBLOCKS;

/// Runs a script under `orbital`, which must end well. Gives its output.
fn under_orbital(state: &Path, script: &str) -> String {
    let output = Command::new(orbital())
        .arg("--state")
        .arg(state)
        .args(["run", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_disk_goes_from_host_to_host_and_back() {
    let system = system();
    let other = tempfile::tempdir().unwrap();
    under_orbital(other.path(), "mkdir -p /x/y; put /x/y/z 'from the one'; notes add first");
    let mut machine = system.machine();
    machine.disk = Some(drive(&other.path().join("disk.img")));
    let came =
        run(&machine.script("cat /x/y/z; notes list; append /x/y/z 'and the other'; notes add second; put /w W"));
    assert_eq!(came.end, Some(End::Off(0)), "{}\n{}", came.output, came.messages);
    assert_eq!(came.output, "from the one\n1  first\nkept as note 2\n");
    let output = under_orbital(other.path(), "ls /; cat /x/y/z; notes list; cat /w");
    assert_eq!(output, "w\nx/\nfrom the one\nand the other\n1  first\n2  second\nW\n");
}

/// Given one folder for both hosts, when each has run, then each log has a key and an origin of its own, and every boot
/// says where the other log stood, and which disk it had; a damaged checkpoint of the other is told and not believed.
#[test]
fn every_boot_says_where_the_log_of_the_other_host_stood() {
    let (system, folder) = (system(), tempfile::tempdir().unwrap());
    let state = folder.path();
    let (image, checkpoint) = (state.join("log.img"), state.join("log/checkpoint"));
    let machine = || {
        let mut machine = system.machine();
        machine.disk = Some(drive(&state.join("disk.img")));
        machine.disk_file = Some(state.join("disk.img"));
        machine.log = Some(drive(&image));
        machine.key = Some(state.join("machine.key"));
        machine.other_log = Some(checkpoint.clone());
        machine
    };
    let boots = |place: &Path| {
        let booted = of_each(place, |line| {
            let commits = line["commits"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
            commits.map(text).filter(|commit| commit.starts_with("boot ")).map(String::from).collect()
        });
        booted.into_values().flatten().filter(|boot| !boot.contains("ends in order")).collect::<Vec<_>>()
    };
    under_orbital(state, "put /a one");
    let key = log_store::key::load_or_create(&state.join("machine.key")).unwrap();
    let bare = key.of_bare_machine();
    assert_ne!((key.public(), key.name()), (bare.public(), bare.name()));
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let stood = log_store::verify::verify(&DiskFolder::new(state.join("log")), &key.verifier()).unwrap().checkpoint;
    let came = run(&machine().script("cat /a"));
    assert_eq!((came.end, came.output.as_str()), (Some(End::Off(0)), "one\n"), "{}", came.messages);
    let said = boots(&image);
    assert_eq!(disk_of(&said[0]), disk_name(&state.join("disk.img")));
    assert!(
        said[0].ends_with(&format!("; the other log, {}, was known to have {} blocks", key.name(), stood.size)),
        "{said:?}"
    );
    let stood = log_store::verify::verify(&Image::open(&image).unwrap(), &bare.verifier()).unwrap().checkpoint;
    under_orbital(state, "cat /a");
    let said = boots(state);
    assert!(!said[0].contains("the other log") && said[0].contains(", no formatted disk"), "{said:?}");
    assert_eq!(disk_of(&said[1]), disk_name(&state.join("disk.img")));
    assert!(
        said[1].ends_with(&format!("; the other log, {}, was known to have {} blocks", bare.name(), stood.size)),
        "{said:?}"
    );
    let text = std::fs::read_to_string(&checkpoint).unwrap();
    std::fs::write(&checkpoint, text.replacen('\n', "\n1", 1)).unwrap();
    let came = run(&machine().script("cat /a"));
    assert_eq!(came.output, "one\n", "{}", came.messages);
    assert!(came.messages.contains("the checkpoint of the other log"), "{}", came.messages);
    assert!(!boots(&image)[1].contains("the other log"));
}

/// The name of the disk in what is said of a boot.
fn disk_of(boot: &str) -> Option<u128> {
    let name = boot.split_once(", disk ")?.1.split(';').next()?;
    u128::from_str_radix(name, 16).ok()
}

/// The name that the storage service gave the disk.
fn disk_name(file: &Path) -> Option<u128> {
    storage_engine::layout::disk_name(&std::fs::read(file).unwrap()[..SUPERBLOCKS]).map(u128::from_be_bytes)
}

/// What a script does that touches every service, starts programs, and loses one service on the way.
const SCRIPT: &str = "put /a one; cat /a; mkdir /d; mv /a /d/a; ls /d; hello you; notes add x; notes list; \
                      cat /nothing; kill storage; cat /d/a; spawn hello; caps nobody; stop process; start process; hello";

/// Of each process by its name: what it asked of whom, and how that ended.
type Calls = BTreeMap<String, Vec<String>>;

/// How often these are said is a matter of time: a service tells init that it is well; somebody who waits for a service to
/// start or to stop asks how it is, if it has not done so at once.
const OFTEN: [u64; 2] = [0x1200, 0x2004];

/// What each process sent to whom, and how that ended. What is asked again and again until the answer is another counts
/// once.
fn messages(log: &Path) -> Calls {
    let mut all = of_each(log, |line| {
        let (call, object) = (text(&line["call"]), text(&line["object"]));
        let often = line["tag"].as_u64().is_some_and(|tag| OFTEN.contains(&(tag & 0xFFFF_FFFF)));
        let asked = matches!(call, "call" | "send" | "reply") && !often;
        let (tag, result, error) = (&line["tag"], &line["result"], &line["error"]);
        let said = || format!("{call} {} {tag} of {} bytes {result} {error}", alike(object), length(line));
        asked.then(said).into_iter().collect()
    });
    all.values_mut().for_each(Vec::dedup);
    all
}

/// What each process changed in who may do what. What goes along with a message counts for who sends it, and once:
/// whether it moves at once or when the other receives depends on who comes first.
fn authority(log: &Path) -> Calls {
    const WORDS: &[&str] = &["capabilit", "made", "started", "ended", "destroyed", "revoked", "limit"];
    of_each(log, |line| {
        let (call, to_itself) = (text(&line["call"]), format!(" of {} (", text(&line["name"])));
        let commits = line["commits"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(text);
        let of_authority = commits.filter(|commit| WORDS.iter().any(|word| commit.contains(word)));
        let said = of_authority.filter_map(|commit| {
            let moved = commit.contains("with the message");
            if moved || commit.starts_with("with capability") {
                return (!moved || !commit.contains(&to_itself)).then(|| format!("{call}: a capability goes along"));
            }
            Some(format!("{call}: {}", alike(commit)))
        });
        said.collect()
    })
}

/// How many bytes go with a message, beside its words. What is handed over on the fast path has none, and does not say so.
fn length(line: &serde_json::Value) -> u32 {
    let commits = line["exact"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(text);
    let said = commits.filter_map(|commit| commit.split_once("length: ")?.1.split(',').next()?.parse().ok());
    said.max().unwrap_or(0)
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn of_each(log: &Path, mut what: impl FnMut(&serde_json::Value) -> Vec<String>) -> Calls {
    let mut out = Vec::new();
    let all = Show { limit: Some(usize::MAX), ..Show::default() };
    show(log, &all, Format::Json, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let owners = owners(&out);
    let mut calls = Calls::new();
    for line in out.lines() {
        let line: serde_json::Value = serde_json::from_str(&with_owners(line, &owners)).unwrap();
        calls.entry(text(&line["name"]).to_owned()).or_default().extend(what(&line));
    }
    calls
}

/// Who receives at an endpoint, by its number. The log says it of an endpoint from the first time on that somebody waits
/// there, which may be after the first call.
fn owners(log: &str) -> BTreeMap<&str, &str> {
    let mut owners = BTreeMap::new();
    for (before, after) in log.match_indices("'s endpoint ").map(|(at, owned)| (&log[..at], &log[at + owned.len()..])) {
        let name = before.rsplit(|c: char| c != '-' && !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let number = after.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        owners.entry(number).or_insert(name);
    }
    owners
}

/// The line with the owner wherever an endpoint is named.
fn with_owners(line: &str, owners: &BTreeMap<&str, &str>) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.split(' ').peekable();
    while let Some(word) = rest.next() {
        let number = rest.peek().and_then(|next| next.split(|c: char| !c.is_ascii_digit()).next());
        let named = words.last().is_some_and(|before| before.ends_with("'s"));
        match number.and_then(|number| owners.get(number)).filter(|_| word.ends_with("endpoint") && !named) {
            Some(owner) => words.push(format!("{}{owner}'s endpoint", word.trim_end_matches("endpoint"))),
            None => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// Without what hosts may count or time differently: decimal numbers are of places and objects (a badge is
/// hexadecimal); a service that is down has another name for as long as it is.
fn alike(text: &str) -> String {
    let mut alike = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            alike.push('#');
            alike.push_str(&word[digits.len()..]);
        } else {
            alike.push_str(word);
        }
    }
    alike.replace("no-", "")
}

/// Without what belongs to a driver of this host: its memory, what pays for it, and what its interrupts come by.
fn without_driver(changes: &[String]) -> Vec<&String> {
    let of_driver = ["region", "Mapped", "quota", "notification-create"];
    changes.iter().filter(|change| !of_driver.iter().any(|word| change.contains(word))).collect()
}

#[test]
fn both_logs_say_alike_what_each_process_sent_and_what_it_may_do() {
    let system = system();
    let other = tempfile::tempdir().unwrap();
    let output = under_orbital(other.path(), SCRIPT);
    assert_eq!(system.script(SCRIPT, 0), output);
    let (here, there) = (messages(&system.state.log()), messages(other.path()));
    for name in ["shell", "hello", "notes", "process"] {
        assert_eq!(here[name], there[name], "messages of {name}");
    }
    assert!(here["shell"].len() > 20 && !here["notes"].is_empty());

    let (here, there) = (authority(&system.state.log()), authority(other.path()));
    for name in ["shell", "hello", "notes", "process"] {
        assert!(!here[name].is_empty());
        assert_eq!(here[name], there[name], "authority by {name}");
    }
    assert_eq!(without_driver(&here["storage"]), without_driver(&there["storage"]), "authority by storage");
    // Here the machine is off when init says so; there init lives to see its end.
    let (here, there) = (&here["init"], &there["init"]);
    assert!(here.len() > 50 && there.len() >= here.len());
    assert_eq!(here[..], there[..here.len()], "authority by init");
}
