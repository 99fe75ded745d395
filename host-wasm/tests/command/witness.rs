//! Witnesses, as others wrote one (PyPI aics-witness): what they signed is kept and proved, an old copy of the whole
//! state folder and a log that was forked are refused, and a witness that cannot be reached stops nothing.

use super::*;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// A witness of its own, that knows one log.
struct Witness {
    folder: tempfile::TempDir,
    program: PathBuf,
    key: String,
    url: String,
    serving: Option<Child>,
}

impl Witness {
    fn of(system: &System, name: &str) -> Witness {
        let install = concat!(env!("CARGO_MANIFEST_DIR"), "/../axiom/store/tests/outsiders/install");
        let installed = good(&Command::new(install).output().unwrap());
        let program = Path::new(installed.trim()).join("venv/bin/aics-witness");
        let folder = tempfile::tempdir().unwrap();
        let mut witness = Witness { folder, program, key: String::new(), url: String::new(), serving: None };
        witness.key = good(&witness.call(&["init", "--name", name])).trim().to_owned();
        let key = good(&system.run(["log", "key"]));
        let origin = key.split('+').next().unwrap();
        good(&witness.call(&["add-log", "--origin", origin, "--vkey", key.trim()]));
        witness.serve("127.0.0.1:0");
        witness
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(self.folder.path().join("witness.json")).stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn serve(&mut self, address: &str) {
        let mut child = self.command(&["serve", "--listen", address]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.by_ref().map(Result::unwrap).find(|line| line.contains("listening on")).unwrap();
        self.url = listening.split_once("listening on ").unwrap().1.split(' ').next().unwrap().to_owned();
        // What it goes on to say is read, so that it never waits for that.
        std::thread::spawn(move || lines.count());
        self.serving = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.serving.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a session says on its standard error, as it comes.
struct Notes(Receiver<String>);

impl Notes {
    fn of(child: &mut Child) -> Notes {
        let stderr = child.stderr.take().unwrap();
        let (say, said) = channel();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| say.send(line))
        });
        Notes(said)
    }

    /// The next that is said of a witness, which must come in time; none where the session has ended.
    #[track_caller]
    fn of_a_witness(&self) -> Option<String> {
        let begin = Instant::now();
        loop {
            let left = Duration::from_secs(30).saturating_sub(begin.elapsed());
            match self.0.recv_timeout(left) {
                Ok(line) if line.contains("witness") => return Some(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("nothing is said of a witness"),
            }
        }
    }
}

/// Copies a file; where it has holes, or zeros, the copy has holes: most of a disk is one.
fn copy_sparse(from: &Path, to: &Path) {
    use std::os::unix::fs::FileExt;
    let bytes = std::fs::read(from).unwrap();
    let file = std::fs::File::create(to).unwrap();
    file.set_permissions(std::fs::metadata(from).unwrap().permissions()).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (index, part) in bytes.chunks(64 << 10).enumerate().filter(|(_, part)| part.iter().any(|&byte| byte != 0)) {
        file.write_all_at(part, (index * (64 << 10)) as u64).unwrap();
    }
}

/// Copies a folder, but for what is compiled.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_name() == "cache" {
            continue;
        }
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            copy_sparse(&entry.path(), &to);
        }
    }
}

impl System {
    /// Puts this copy in the place of what is there.
    fn restore(&self, from: &Path) {
        for name in ["log", "disk.img", "witnessed"] {
            let path = self.path(name);
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { drop(std::fs::remove_file(path)) }
        }
        copy(from, self.folder.path());
    }
}

#[test]
fn what_was_witnessed_cannot_be_taken_back() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note one"]));
    let mut witness = Witness::of(&system, "witness.test/w1");
    bad(&system.run(["log", "witness", "submit"]), 66, "no witness is named");
    bad(&system.run(["log", "witness", "add", "nowhere", &witness.key]), 2, "no address");
    good(&system.run(["log", "witness", "add", &witness.url, &witness.key]));
    bad(&system.run(["log", "witness", "add", &witness.url, &witness.key]), 2, "there already");
    assert!(good(&system.run(["log", "witness", "submit"])).contains("witness.test/w1 has signed"));
    let (nobody_reads, writer) = std::io::pipe().unwrap();
    drop(nobody_reads);
    let unheard = system.command(["log", "witness", "submit"]).stdout(writer).output().unwrap();
    assert_eq!(unheard.status.code(), Some(141), "{}", err(&unheard));

    // What it signed is checked, and goes into proofs.
    let verified = system.run(["log", "verify"]);
    assert!(good(&verified).contains("whole") && err(&verified).contains("witnessed: witness.test/w1"), "{verified:?}");
    let to = system.path("proof");
    good(&system.run(["log", "prove", "3", "--to", to.to_str().unwrap()]));
    let (file, key) = (to.join("record-3.tlog-proof"), good(&system.run(["log", "key"])));
    let check = |more: &[&str]| {
        let file = file.to_str().unwrap();
        orbital().args(["log", "check-proof", file, "--key", key.trim(), "--record", "3"]).args(more).output().unwrap()
    };
    assert!(good(&check(&["--witness", &witness.key])).contains("Witness witness.test/w1 saw this checkpoint"));
    assert!(good(&check(&[])).contains("was not checked: give its key"));
    let note = std::fs::read(system.path("witnessed")).unwrap();
    for at in [5, note.len() / 2, note.len() - 20] {
        let mut changed = note.clone();
        changed[at] ^= 1;
        std::fs::write(system.path("witnessed"), changed).unwrap();
        bad(&system.run(["log", "verify"]), 1, "witnessed");
    }
    std::fs::write(system.path("witnessed"), note).unwrap();

    // The end of a run is witnessed by itself; then the copy from before is older.
    let (kept, newest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(system.folder.path(), kept.path());
    good(&system.run(["run", "-c", "put note two"]));
    copy(system.folder.path(), newest.path());
    system.restore(kept.path());
    let before = system.listing();
    for (command, status) in
        [(&["run", "-c", "cat note"][..], 65), (&["log", "verify"], 1), (&["log", "witness", "submit"], 65)]
    {
        bad(&system.command(command).output().unwrap(), status, "older than what was witnessed");
    }
    assert!(out(&system.run(["doctor"])).contains("older than what was witnessed"));
    assert_eq!(system.listing(), before, "nothing was changed");

    // While the witness is away it goes on and says so; what came then is another log than the witness has seen.
    let address = witness.url.trim_start_matches("http://").to_owned();
    witness.stop();
    for _ in 0..3 {
        let ran = system.run(["run", "-c", "put note other; put note more; ls"]);
        good(&ran);
        assert!(err(&ran).contains("witness.test/w1") && err(&ran).contains("cannot be reached"), "{ran:?}");
    }
    assert!(out(&system.run(["doctor"])).contains("cannot be reached"));
    good(&system.run(["log", "verify"]));
    bad(&system.run(["log", "witness", "submit"]), 69, "cannot be reached");
    witness.serve(&address);
    bad(&system.run(["run", "-c", "cat note"]), 65, "not the one that was witnessed");

    system.restore(newest.path());
    assert!(good(&system.run(["run", "-c", "cat note"])).contains("two"));
    assert!(out(&system.run(["doctor"])).contains("witness.test/w1 has signed"));

    // All that ran is gone but the key: a new log under it is one without blocks.
    std::fs::remove_dir_all(system.path("log")).unwrap();
    bad(&system.run(["run", "--new-log", "-c", "ls"]), 65, "older than what was witnessed");
}

/// Given two witnesses, when one falls silent and speaks again, then both are told while the system runs, once; and where the other
/// goes on alone, the last that each of them signed is kept, and checked.
#[test]
fn the_last_word_of_each_witness_is_kept_and_silence_is_told_at_once() {
    let system = System::new();
    good(&system.run(["run", "-c", "put note one"]));
    let (steady, mut silent) =
        (Witness::of(&system, "witness.test/steady"), Witness::of(&system, "witness.test/silent"));
    std::fs::write(system.path("witness.toml"), "every = 1\n").unwrap();
    for witness in [&steady, &silent] {
        good(&system.run(["log", "witness", "add", &witness.url, &witness.key]));
    }
    let address = silent.url.trim_start_matches("http://").to_owned();
    let (mut child, _out) = waiting_session(&system);
    let notes = Notes::of(&mut child);
    silent.stop();
    let said = notes.of_a_witness().unwrap();
    assert!(said.contains("witness.test/silent") && said.contains("cannot be reached"), "{said}");
    std::thread::sleep(Duration::from_millis(2_500));
    silent.serve(&address);
    // Once alone: the next that is said is this.
    let said = notes.of_a_witness().unwrap();
    assert!(said.contains("witness witness.test/silent signs again"), "{said}");
    drop(child.stdin.take());
    assert_eq!(ends_within(&mut child, Duration::from_secs(60)), Some(0));
    assert_eq!(notes.of_a_witness(), None);

    silent.stop();
    good(&system.run(["run", "-c", "put note two"]));
    let verified = system.run(["log", "verify"]);
    good(&verified);
    let text = err(&verified);
    let signed = |name: &str| -> u64 {
        let said = text.split_once(&format!("{name} signed ")).unwrap_or_else(|| panic!("{name}: {text}")).1;
        said.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(signed("witness.test/steady") > signed("witness.test/silent"), "{text}");
    // Of the two notes either is checked.
    let notes = std::fs::read(system.path("witnessed")).unwrap();
    for at in [60, notes.len() - 100, notes.len() - 20] {
        let mut changed = notes.clone();
        changed[at] ^= 1;
        std::fs::write(system.path("witnessed"), changed).unwrap();
        bad(&system.run(["log", "verify"]), 1, "witnessed");
    }
    std::fs::write(system.path("witnessed"), "").unwrap();
    bad(&system.run(["log", "verify"]), 1, "witnessed");
    std::fs::write(system.path("witnessed"), notes).unwrap();
    // When it speaks again, its last word and the other's are one note.
    silent.serve(&address);
    good(&system.run(["log", "witness", "submit"]));
    let verified = system.run(["log", "verify"]);
    assert!(err(&verified).contains("witness.test/steady, witness.test/silent signed"), "{}", err(&verified));
}

#[test]
fn a_file_of_witnesses_that_is_none_is_refused_and_named() {
    let system = System::new();
    good(&system.run(["run", "-c", "ls"]));
    let entry = |url: &str, key: &str| format!("[[witness]]\nurl = {url:?}\nkey = {key:?}\n");
    let key = "witness.test/w1+f6c7ee94+BHpmAKVx3LuCPUrKzqsJIEzyg7fvqr2kmuKhY4J9Hu6u";
    let weak = format!("{}a", &key[..key.len() - 1]);
    for (text, cause) in [
        ("garbage".to_owned(), "witness.toml"),
        ("unknown = 1\n".to_owned(), "unknown"),
        (entry("http://h", &weak), "no key of a witness"),
        (entry("http://h", "a+b+c"), "no key of a witness"),
        (entry("ftp://h", key), "no address"),
        (entry("http://h", key).repeat(2), "named twice"),
    ] {
        std::fs::write(system.path("witness.toml"), &text).unwrap();
        bad(&system.run(["run", "-c", "ls"]), 65, cause);
        bad(&system.run(["log", "witness", "submit"]), 65, cause);
    }
}
