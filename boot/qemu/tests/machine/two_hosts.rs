//! The same system on the other host, `orbital`: one disk that goes from host to host, and what both logs must say
//! alike.

use super::{orbital, run, system};
use log_store::commands::{Format, Show, show};
use qemu::machine::{End, drive};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// What a script does that touches every service, starts programs, and loses one service on the way.
const SCRIPT: &str = "put /a one; cat /a; mkdir /d; mv /a /d/a; ls /d; hello you; notes add x; notes list; \
                      cat /nothing; kill storage; cat /d/a; spawn hello; caps nobody; stop process; start process; hello";

/// Of each process by its name: what it asked of whom, and how that ended.
type Calls = BTreeMap<String, Vec<String>>;

/// Calls, messages and signals of each process, without what differs by host: when they came, and numbers of things.
fn messages(log: &Path) -> Calls {
    of_each(log, |line| {
        let (call, object) = (line["call"].as_str()?, line["object"].as_str()?);
        let asked = matches!(call, "call" | "send" | "reply" | "reply-receive");
        asked
            .then(|| format!("{call} {} {} {} {}", without_numbers(object), line["tag"], line["result"], line["error"]))
    })
}

fn of_each(log: &Path, mut what: impl FnMut(&serde_json::Value) -> Option<String>) -> Calls {
    let mut out = Vec::new();
    let all = Show { limit: Some(usize::MAX), ..Show::default() };
    show(log, &all, Format::Json, &mut out).unwrap();
    let mut calls = Calls::new();
    for line in String::from_utf8(out).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(said) = what(&line) else { continue };
        calls.entry(line["name"].as_str().unwrap().to_owned()).or_default().push(said);
    }
    calls
}

/// Decimal numbers are of places and objects, which hosts may count differently; a badge is hexadecimal.
fn without_numbers(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches([',', ';', ')', '.']);
        if !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()) { "#" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn both_logs_have_the_same_messages() {
    let system = system();
    let other = tempfile::tempdir().unwrap();
    let output = under_orbital(other.path(), SCRIPT);
    assert_eq!(system.script(SCRIPT, 0), output);
    let (here, there) = (messages(&system.state.log()), messages(other.path()));
    for name in ["shell", "hello", "notes"] {
        assert!(!here[name].is_empty());
        assert_eq!(here[name], there[name], "{name}");
    }
}
