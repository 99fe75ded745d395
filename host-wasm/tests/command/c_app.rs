//! An app written in C, from the WIT files and docs/wire-format.md alone: apps/c-notes.

use super::*;

/// Builds it as docs/writing-an-app.md says.
fn build() -> PathBuf {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-notes.wasm");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/c-notes/build");
    let output = Command::new(script).arg(&to).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    to
}

#[test]
fn an_app_in_c_runs_and_talks_to_storage() {
    let app = build();
    let system = System::new();
    let run = |options: &[&str], arguments: &[&str]| {
        let command = [&["run"], options, &[app.to_str().unwrap()], arguments].concat();
        system.command(command).output().unwrap()
    };
    let refused = |arguments: &[&str], status: i32, words: &str| {
        let output = run(&[], arguments);
        assert_eq!(output.status.code(), Some(status), "{}{}", out(&output), err(&output));
        assert!(out(&output).contains(words), "{}", out(&output));
    };
    assert!(good(&run(&[], &["put", "greeting", "hello from C"])).starts_with("kept as version "));
    // At the next boot, by the component linker too.
    for options in [&[][..], &["--components-only"]] {
        assert_eq!(good(&run(options, &["get", "greeting"])), "hello from C\n");
    }
    // More than the eight words of a message hold: it travels beside them, there and back.
    let long = "long ".repeat(6000);
    good(&run(&[], &["put", "long", &long]));
    assert_eq!(good(&run(&[], &["get", "long"])), format!("{long}\n"));
    // What storage refuses.
    refused(&["get", "nothing"], 1, "error: there is no such note");
    refused(&["put", &"k".repeat(257), "x"], 1, "error: the key is too long");
    good(&run(&[], &["delete", "greeting"]));
    refused(&["delete", "greeting"], 1, "error: there is no such note");
    refused(&["fly"], 2, "usage: put KEY TEXT");
    assert!(good(&system.run(["log", "show", "--process", "c-notes", "--limit", "100"])).contains("storage.delete"));
}

#[test]
fn without_clang_one_line_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/c-notes/build");
    let output =
        Command::new("/bin/sh").arg(script).env("PATH", folder.path()).arg(folder.path().join("out")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    assert!(err(&output).contains("apt-get install clang lld"), "{}", err(&output));
}
