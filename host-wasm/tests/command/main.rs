//! The `orbital` command as a person or a script uses it: every command, its success and
//! its errors, each with a cause, a next step and its status.

mod c_app;
mod capture;
mod disk;
mod every;
mod kill;
mod limits;
mod live;
mod log;
mod questions;
mod shell;
mod state;
mod upgrade;
mod witness;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A system of its own; what is compiled is shared by all tests.
struct System {
    folder: tempfile::TempDir,
}

impl System {
    fn new() -> System {
        let folder = tempfile::tempdir().unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::os::unix::fs::symlink(cache, folder.path().join("cache")).unwrap();
        System { folder }
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = orbital();
        command.arg("--state").arg(self.folder.path()).args(arguments);
        command
    }

    fn run<const N: usize>(&self, arguments: [&str; N]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn orbital() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orbital"));
    command.env_remove("ORBITAL_STATE").stdin(Stdio::null());
    command
}

impl System {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The first segment of its log.
    fn segment(&self) -> PathBuf {
        std::fs::read_dir(self.path("log/segments")).unwrap().next().unwrap().unwrap().path()
    }

    /// Names of what lies in its folder, and their lengths.
    fn listing(&self) -> Vec<(std::ffi::OsString, u64)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap);
        // The lock has the number of the last process that looked.
        let files = entries.filter(|entry| entry.file_name() != "lock" && entry.file_name() != "cache");
        let mut files: Vec<_> = files.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        files.sort();
        files
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}{}", output.status, out(output), err(output));
    out(output)
}

/// It failed with this status, and said a cause with these words and a next step.
#[track_caller]
fn bad(output: &Output, status: i32, cause: &str) {
    let text = err(output);
    assert_eq!(output.status.code(), Some(status), "{}{text}", out(output));
    assert!(text.contains(cause), "{text}");
    assert!(text.contains("next: "), "{text}");
}

#[test]
fn help_teaches_with_examples_and_statuses() {
    let text = good(&orbital().arg("--help").output().unwrap());
    for part in ["Examples:", "Exit status:", "run", "log", "doctor", "bench", "completions", "--state", "--output"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    for verb in ["run", "log", "disk", "replay", "caps", "capture", "bench", "completions"] {
        let text = good(&orbital().args([verb, "--help"]).output().unwrap());
        assert!(text.contains("Examples:"), "{verb}: {text}");
    }
    assert!(good(&orbital().arg("--version").output().unwrap()).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_names_the_command_orbital_whatever_the_file_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("something-else");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_orbital"), &other).unwrap();
    for (arguments, usage) in
        [(&["--help"][..], "Usage: orbital "), (&["log", "show", "--help"], "Usage: orbital log show ")]
    {
        let text = good(&Command::new(&other).args(arguments).output().unwrap());
        assert!(text.contains(usage) && !text.contains("something-else"), "{text}");
    }
}

#[test]
fn what_was_typed_is_repeated_in_a_length_that_can_be_read() {
    let huge = "x".repeat(100_000);
    let system = System::new();
    for (arguments, status) in [(&[huge.as_str()][..], 2), (&["--output", &huge], 2), (&["run", &huge], 66)] {
        let output = system.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(status));
        assert!(output.stderr.len() < 2_000, "{} bytes", output.stderr.len());
        assert!(err(&output).contains("xxx..."), "{}", err(&output));
    }
}

#[test]
fn a_wrong_command_line_is_status_2() {
    for arguments in [
        &["fly"][..],
        &["--output", "xml"],
        &["run", "-c"],
        &["log"],
        &["log", "prove", "x"],
        &["run", "-e", "novalue"],
        &["log", "verify", "--key", "garbage"],
        &["log", "prove", "1", "--key", "garbage"],
        &["log", "why", "x"],
        &["log", "diff", "only-one"],
        &["replay", "--to", "-1"],
        &["replay", "--process", "shell"],
        &["caps", "why", "shell", "garbage"],
        &["caps", "why", "shell", "3."],
    ] {
        let output = orbital().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains("--help"), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_script_runs_and_its_status_is_the_status() {
    let system = System::new();
    assert_eq!(good(&system.run(["run", "-c", "echo hello there"])), "hello there\n");
    assert_eq!(system.run(["run", "-c", "exit 7"]).status.code(), Some(7));
}

#[test]
fn without_a_command_a_pipe_is_the_session() {
    let system = System::new();
    let mut child =
        system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"put note 'from a pipe'\ncat note\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(good(&output).contains("from a pipe"));
    // What was stored is there at the next boot.
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("from a pipe"));
}

#[test]
fn an_app_of_the_boot_set_and_one_of_the_users_run_with_their_arguments() {
    let system = System::new();
    assert!(good(&system.run(["run", "hello", "Ada"])).contains("Ada"));
    let module = r#"(module
        (import "orbital:kernel/calls@0.1.0" "exit" (func $exit (param i64)))
        (memory (export "memory") 1)
        (func (export "run") (call $exit (i64.const 5)))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#;
    let file = system.folder.path().join("five.wasm");
    std::fs::write(&file, wat::parse_str(module).unwrap()).unwrap();
    let output = system.command([OsStr::new("run"), file.as_os_str()]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", err(&output));
}

#[test]
fn what_cannot_be_run_is_status_66_with_a_reason() {
    let system = System::new();
    bad(&system.run(["run", "no-such-app"]), 66, "no-such-app");
    // Services are no apps: they are neither offered nor run as a session.
    let text = err(&system.run(["run", "storage"]));
    assert!(text.contains("no app of that name") && text.contains("notes"), "{text}");
    for service in ["init", "process", "storage"] {
        assert!(!text.lines().any(|line| line.contains("next: ") && line.contains(service)), "{text}");
    }
    bad(&system.run(["run", "--manifest", "/no/such/file"]), 66, "/no/such/file");
    let manifest = system.path("bad.toml");
    let whole = include_bytes!("../../../init/system.toml");
    let lines = whole.iter().filter(|&&byte| byte == b'\n').count();
    for (text, line, why) in [
        (b"garbage".to_vec(), 1, "expected"),
        ([&whole[..], b"# \xFF\n"].concat(), lines + 1, "this is not UTF-8"),
        ([&whole[..], b"[[service]]\nname = \"storage\"\n"].concat(), lines + 1, "missing field"),
        (vec![b'#'; 300 << 10], 1, "it is longer than 262144 bytes"),
    ] {
        std::fs::write(&manifest, text).unwrap();
        let output = system.run(["run", "--manifest", manifest.to_str().unwrap(), "-c", "echo"]);
        bad(&output, 66, &format!("bad.toml, line {line}: "));
        assert!(err(&output).contains(why), "{}", err(&output));
    }
    bad(&system.run(["run", "--manifest", "/dev/zero"]), 66, "/dev/zero, line 1: ");
    bad(&system.run(["run", "--manifest", "/"]), 66, "name a file, not a folder");
    bad(&system.run(["run", "/dev/zero"]), 66, "/dev/zero: it has more than 256 MiB");
    let file = system.folder.path().join("text.wasm");
    std::fs::write(&file, "not a component").unwrap();
    let output = system.command([OsStr::new("run"), file.as_os_str()]).output().unwrap();
    bad(&output, 66, "text.wasm is not something that Orbital can run: it is neither");
    let output = system.command([OsStr::new("run"), system.folder.path().as_os_str()]).output().unwrap();
    bad(&output, 66, &system.folder.path().display().to_string());
}

#[test]
fn a_state_folder_that_cannot_be_is_status_74() {
    for path in ["/dev/null/x", "/dev/null"] {
        let output = orbital().args(["--state", path, "run", "-c", "echo"]).output().unwrap();
        bad(&output, 74, &format!("{path}: there is something that is no folder"));
    }
}

#[test]
fn errors_are_json_where_that_is_asked_for() {
    let system = System::new();
    let output = system.run(["--output", "json", "run", "no-such-app"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(value["error"]["status"], 66);
    assert!(value["error"]["next"].is_string());
}

#[test]
fn a_program_is_told_in_json_how_a_run_ended() {
    let system = System::new();
    let output = system.run(["--output", "json", "run", "-c", "echo hello; exit 7"]);
    assert_eq!((out(&output).as_str(), output.status.code()), ("hello\n", Some(7)));
    // Before it come notes, and what processes write to the debug output.
    let end: serde_json::Value = serde_json::from_str(err(&output).lines().last().unwrap()).unwrap();
    assert_eq!(end["end"], serde_json::json!({ "status": 7, "how": "off" }));
}

#[test]
fn output_that_is_lost_is_not_success() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    for command in [&["--help"][..], &["log", "show", "--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = system.command(command).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{command:?}: {}", err(&output));
        assert!(err(&output).contains("standard output"), "{command:?}: {}", err(&output));
    }
    // Of a session, the last line of standard error says it to a program.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = system.command(["--output", "json", "run", "-c", "echo lost"]).stdout(full).output().unwrap();
    let end: serde_json::Value = serde_json::from_str(err(&output).lines().last().unwrap()).unwrap();
    assert_eq!((output.status.code(), &end["error"]["status"]), (Some(74), &74.into()));
}

/// Where standard error takes nothing, what was to be done is done, and the status is what it is.
#[test]
fn nobody_hears_an_error_and_the_status_stays() {
    let system = System::new();
    good(&system.run(["run", "-c", "echo"]));
    let cases = [
        (&["run", "nosuch"][..], 66),
        (&["--output", "json", "run", "-c", "echo"], 0),
        (&["log", "verify", "--from", "checkpoint", "/nowhere"], 66),
        (&["nonsense"], 2),
    ];
    for (words, status) in cases {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let outputs = [
            system.command(words).stderr(full).output().unwrap(),
            system.command(words).stderr(closed).output().unwrap(),
        ];
        assert_eq!(outputs.map(|output| output.status.code()), [Some(status); 2], "{words:?}");
    }
}

#[test]
fn a_wrong_command_line_is_told_as_json_too() {
    let system = System::new();
    for words in [&["log", "show", "--limit", "-1"][..], &["disk", "export"], &["nonsense"], &["run", "-c"]] {
        let output = system.command([&["--output", "json"], words].concat()).output().unwrap();
        let error: serde_json::Value = serde_json::from_str(&err(&output)).unwrap();
        assert_eq!((output.status.code(), &error["error"]["status"]), (Some(2), &2.into()), "{error}");
        assert!(error["error"]["cause"].as_str().unwrap().len() > 20, "{error}");
    }
}

/// The cache takes no path that is not absolute, and without it every start compiles.
#[test]
fn a_state_folder_that_is_named_from_here_keeps_what_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let start =
        || orbital().args(["--state", "here", "run", "-c", "echo"]).current_dir(folder.path()).output().unwrap();
    good(&start());
    assert!(std::fs::read_dir(folder.path().join("here/cache")).unwrap().count() > 0);
    assert!(!err(&start()).contains("compiling"));
}

#[test]
fn the_doctor_says_what_each_finding_means() {
    let system = System::new();
    let text = good(&system.run(["doctor"]));
    for part in [
        "processor",
        "engine",
        "memory maps",
        "open files",
        "address space",
        "state folder",
        "log",
        "terminal",
        "compiler",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let value: serde_json::Value = serde_json::from_str(&good(&system.run(["--output", "json", "doctor"]))).unwrap();
    assert!(value["findings"].as_array().unwrap().iter().all(|finding| finding["means"].is_string()));
    let output = orbital().args(["--state", "/dev/null/x", "doctor"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", out(&output));
    // It looks, and makes nothing.
    let none = system.path("none/yet");
    let text = good(&orbital().arg("--state").arg(&none).arg("doctor").output().unwrap());
    assert!(text.contains("none/yet is not there yet; the first start makes it"), "{text}");
    assert!(!system.path("none").exists());
}

/// What the figures are is for people to judge; that they are there is not.
#[test]
fn bench_measures_and_leaves_the_system_as_it_was() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note kept"]));
    let before = system.listing();
    let output = system.run(["--output", "json", "bench"]);
    let value: serde_json::Value = serde_json::from_str(&good(&output)).unwrap();
    let rows = value["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row["ns"].as_u64() > Some(0) && row["beside_ns"].as_u64() > Some(0), "{row}");
        assert!(row["what"].is_string() && row["ratio"].is_number(), "{row}");
    }
    assert_eq!(system.listing(), before);
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("kept"));
}

#[test]
fn completions_come_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = good(&orbital().args(["completions", shell]).output().unwrap());
        assert!(text.contains("orbital") && text.contains("doctor"), "{shell}");
    }
}

/// A session that waits for input, once it answers.
fn waiting_session(system: &System) -> (Child, impl Read) {
    let mut child =
        system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"echo ready\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the session ended before it was ready");
    }
    (child, lines)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[track_caller]
fn ends_within(child: &mut Child, patience: Duration) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begin.elapsed() > patience {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_shuts_down_in_order() {
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let system = System::new();
        let (mut child, _lines) = waiting_session(&system);
        signal(&child, name);
        assert_eq!(ends_within(&mut child, Duration::from_secs(60)), Some(status), "SIG{name}");
        // In order: the log says so.
        let text = good(&system.run(["log", "show", "--limit", "1"]));
        assert!(text.contains("ends in order"), "{text}");
    }
}

#[test]
fn a_second_instance_is_told_that_the_folder_is_in_use() {
    let system = System::new();
    let (mut child, _lines) = waiting_session(&system);
    bad(&system.run(["run", "-c", "echo"]), 75, &child.id().to_string());
    // Reading the log of a running system is fine.
    good(&system.run(["log", "verify"]));
    drop(child.stdin.take());
    assert_eq!(ends_within(&mut child, Duration::from_secs(60)), Some(0));
}

#[test]
fn what_storage_acknowledged_survives_a_kill_of_the_host() {
    let system = System::new();
    for round in 0..3 {
        let mut child = system
            .command::<&str>([])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "put note-{round} 'kept {round}'\necho done-{round}").unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(&format!("done-{round}"))), "round {round}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let text = good(&system.run(["run", "-c", "cat note-0 note-1 note-2"]));
    for round in 0..3 {
        assert!(text.contains(&format!("kept {round}")), "{text}");
    }
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
    good(&system.run(["log", "replay"]));
}

#[test]
fn what_no_client_would_say_is_answered_by_every_service_and_harms_none() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note here"]));
    let guests = host_wasm::machine::boot::guests();
    let garbage = guests.into_iter().find(|image| image.name == "garbage").unwrap();
    let file = system.path("garbage.wasm");
    std::fs::write(&file, &garbage.bytes).unwrap();
    let output = system.command([OsStr::new("run"), file.as_os_str()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    // None of the services ended: each is the process that it was at the start of that boot.
    let log = good(&system.run(["log", "show", "--from", "0"]));
    assert!(log.contains("ended: Exited") && !log.contains("ended: Faulted"));
    // The log tells who said what.
    assert!(good(&system.run(["log", "show", "--process", "garbage", "--limit", "50"])).contains("registry."));
    assert_eq!(good(&system.run(["run", "-c", "cat note"])), "here\n");
}
