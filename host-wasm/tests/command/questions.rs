//! `orbital replay --to`, `log why`, `log diff` and `caps why`: what they answer agrees with what the session said, and
//! what is not there is an error with its status.

use super::*;

#[test]
fn a_log_answers_what_why_whence_and_what_is_different() {
    let system = System::new();
    // What the shell says of a capability while it runs.
    let live = good(&system.run(["run", "-c", "put note hello; caps storage 0"]));
    let is_link = |line: &&str| line.starts_with("capability ") || line.starts_with("derived from ");
    let chain: Vec<&str> = live.lines().filter(is_link).collect();
    let told = good(&system.run(["caps", "why", "storage", "0"]));
    assert!(!chain.is_empty() && told.contains("genesis"), "{live}{told}");
    for link in chain {
        let number = link.split("capability ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(told.contains(&format!("capability {number}:")), "{link}\n{told}");
    }

    let shown = good(&system.run(["--output", "json", "log", "show", "--process", "shell", "--limit", "1"]));
    let line: serde_json::Value = serde_json::from_str(shown.trim()).unwrap();
    let record = line["record"].to_string();
    let why = good(&system.run(["log", "why", &record]));
    assert!(why.contains("shell") && why.contains("which came from outside"), "{why}");

    let state = good(&system.run(["replay", "--to", "200"]));
    assert_eq!(state, good(&system.run(["log", "replay", "--to", "200"])));
    assert!(state.contains("process 1 init, running"), "{state}");
    let json = good(&system.run(["--output", "json", "replay", "--to", "200", "--process", "init"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["record"], json["processes"].as_array().unwrap().len()), (&200.into(), 1));

    let folder = system.folder.path().to_str().unwrap();
    assert!(good(&system.run(["log", "diff", folder, folder])).contains("did the same"));
    let output = system.run(["log", "diff", "0..200", "0..201"]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", err(&output));
    let other = System::new();
    good(&other.run(["run", "-c", "hello"]));
    let output = system.run(["log", "diff", folder, other.folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("shell: messages differ"), "{}", out(&output));
}

#[test]
fn what_no_log_can_answer_is_status_66() {
    let system = System::new();
    bad(&system.run(["replay", "--to", "1"]), 66, "there is no log");
    bad(&system.run(["caps", "why", "shell", "0"]), 66, "there is no log");
    good(&system.run(["run", "-c", "echo"]));
    bad(&system.run(["replay", "--to", "99999999"]), 66, "record 99999999 is not in the log");
    bad(&system.run(["replay", "--to", "9", "--process", "nobody"]), 66, "no process nobody");
    bad(&system.run(["log", "why", "99999999"]), 66, "record 99999999 is not in the log");
    bad(&system.run(["caps", "why", "nobody", "0"]), 66, "no process nobody");
    bad(&system.run(["caps", "why", "shell", "9999"]), 66, "slot 9999");
    bad(&system.run(["log", "diff", "/no/such", "/no/such"]), 66, "/no/such");
    bad(&system.run(["log", "diff", "9..1", "0..1"]), 66, "no record lies between");
    bad(&system.run(["replay", "--to", "1", "--image", "/no/such"]), 66, "/no/such");
}
