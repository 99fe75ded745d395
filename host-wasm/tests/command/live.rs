//! Someone changes the log's files while the system runs: it stops at the next group commit, says which file, acknowledges
//! nothing more, and the next start says what there is.

use super::*;
use std::fs;

/// A session under a load of puts, each of which says when it is durable.
struct Loaded {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
    stop: std::sync::mpsc::Sender<()>,
    feeding: std::thread::JoinHandle<()>,
}

impl Loaded {
    fn start(system: &System) -> Loaded {
        let mut child = system
            .command::<&str>([])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut input = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || {
            let put = |number: u32| format!("put /n{} {number} && echo done-{number}\n", number % 8);
            let fed = (0..).map(put).take_while(|_| stopped.try_recv().is_err());
            for line in fed {
                if input.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
            // A line that is begun when all has been done: nothing may come of it.
            let _ = input.write_all(b"put /after after && echo acknowledged-after\n");
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "done-20"), "it does not begin");
        Loaded { child, lines: Box::new(lines), stop, feeding }
    }

    /// What it says when it ends, and the puts that were acknowledged until then.
    fn end(mut self) -> (Output, Vec<u32>) {
        drop(self.stop);
        let lines: Vec<String> = self.lines.collect();
        self.feeding.join().unwrap();
        let mut stderr = Vec::new();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        assert!(!lines.iter().any(|line| line.contains("acknowledged-after")), "something was acknowledged");
        let done = lines.iter().filter_map(|line| line.strip_prefix("done-")?.parse().ok()).collect();
        (Output { status, stdout: Vec::new(), stderr }, done)
    }
}

/// Does it to the log of a system under load; gives the system, when it has stopped with a word of `says`.
fn stopped(deed: impl FnOnce(&System), says: &str) -> System {
    let system = System::new();
    good(&system.run(["run", "-c", "put /kept kept"]));
    let loaded = Loaded::start(&system);
    deed(&system);
    let (output, _) = loaded.end();
    bad(&output, 74, "the log cannot be written, so the system stopped serving");
    assert!(err(&output).contains(says), "{says}: {}", err(&output));
    system
}

const OPEN: &str = "segments/00000000000000000000.seg";

fn open(system: &System) -> PathBuf {
    system.path("log").join(OPEN)
}

#[test]
fn a_live_segment_that_is_removed_stops_the_system() {
    let system = stopped(|system| fs::remove_file(open(system)).unwrap(), OPEN);
    bad(&system.run(["run", "-c", "cat /kept"]), 65, "segments: block");
    bad(&system.run(["log", "verify"]), 1, "segments: block 0");
}

#[test]
fn a_live_segment_that_is_cut_stops_the_system() {
    let cut = |system: &System| fs::File::options().write(true).open(open(system)).unwrap().set_len(1_000).unwrap();
    let system = stopped(cut, OPEN);
    bad(&system.run(["run", "-c", "cat /kept"]), 65, OPEN);
    bad(&system.run(["log", "verify"]), 1, OPEN);
}

#[test]
fn a_live_segment_that_is_renamed_stops_the_system_and_can_be_put_back() {
    let system = stopped(|system| fs::rename(open(system), system.path("aside")).unwrap(), OPEN);
    bad(&system.run(["run", "-c", "cat /kept"]), 65, "segments: block");
    fs::rename(system.path("aside"), open(&system)).unwrap();
    assert_eq!(good(&system.run(["run", "-c", "cat /kept"])).trim(), "kept");
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}

/// The same bytes in another file: what came behind them went into the old one, and was acknowledged to nobody.
#[test]
fn a_live_segment_that_is_replaced_by_a_copy_stops_the_system() {
    let system = System::new();
    good(&system.run(["run", "-c", "put /kept kept"]));
    let loaded = Loaded::start(&system);
    let segment = open(&system);
    fs::copy(&segment, system.path("copy")).unwrap();
    fs::rename(system.path("copy"), &segment).unwrap();
    let (output, _) = loaded.end();
    bad(&output, 74, "another file lies in its place");
    assert!(err(&output).contains(OPEN), "{}", err(&output));
    // What the copy has not is missing where the last checkpoint covers it; otherwise the system goes on from the copy.
    let verified = system.run(["log", "verify"]);
    assert!([Some(0), Some(1)].contains(&verified.status.code()), "{}", err(&verified));
    let next = system.run(["run", "-c", "cat /kept"]);
    assert!(out(&next).trim() == "kept" || err(&next).contains("segments"), "{}", err(&next));
}

#[test]
fn a_live_segment_behind_a_link_stops_the_system() {
    let link = |system: &System| {
        fs::rename(open(system), system.path("aside")).unwrap();
        std::os::unix::fs::symlink(system.path("aside"), open(system)).unwrap();
    };
    let system = stopped(link, OPEN);
    bad(&system.run(["run", "-c", "cat /kept"]), 74, "symbolic link");
    fs::rename(system.path("aside"), open(&system)).unwrap();
    assert_eq!(good(&system.run(["run", "-c", "cat /kept"])).trim(), "kept");
}

#[test]
fn a_live_log_folder_that_is_renamed_stops_the_system_and_can_be_put_back() {
    let system = stopped(|system| fs::rename(system.path("log"), system.path("aside")).unwrap(), "segments/");
    bad(&system.run(["run", "-c", "cat /kept"]), 65, "log: the log is gone");
    // Whatever was begun in its place has nothing in it.
    fs::remove_dir_all(system.path("log")).unwrap_or_default();
    fs::rename(system.path("aside"), system.path("log")).unwrap();
    assert_eq!(good(&system.run(["run", "-c", "cat /kept"])).trim(), "kept");
}

#[test]
fn a_live_checkpoint_that_is_removed_or_old_stops_the_system() {
    let system = stopped(|system| fs::remove_file(system.path("log/checkpoint")).unwrap(), "checkpoint: ");
    bad(&system.run(["run", "-c", "cat /kept"]), 65, "log/checkpoint: the log's checkpoint is gone");
    bad(&system.run(["log", "verify"]), 1, "checkpoint: it is gone");

    let system = stopped(|system| fs::write(system.path("log/checkpoint"), "something").unwrap(), "checkpoint: ");
    bad(&system.run(["run", "-c", "cat /kept"]), 65, "checkpoint: ");
    bad(&system.run(["log", "verify"]), 1, "checkpoint: ");
}

#[test]
fn live_tiles_that_are_removed_stop_the_system() {
    let system = stopped(|system| fs::remove_dir_all(system.path("log/tile")).unwrap(), "tile/");
    bad(&system.run(["run", "-c", "cat /kept"]), 65, "tile/");
    bad(&system.run(["log", "verify"]), 1, "tile/");
}

/// A disk of its own for the log, a MiB large, in a name space of its own. What was acknowledged is there when there is room.
#[test]
fn a_live_log_without_room_stops_the_system() {
    let mounts = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !mounts.is_ok_and(|output| output.status.success()) {
        println!("not run: `unshare -rm mount` is not allowed here; `limits` has a log that may not grow");
        return;
    }
    let system = System::new();
    good(&system.run(["run", "-c", "put /kept kept"]));
    fs::rename(system.path("log"), system.path("before")).unwrap();
    fs::create_dir(system.path("log")).unwrap();
    let script: String = (0..4_000).map(|n| format!("put /n{} {n} && echo done-{n};", n % 8)).collect();
    fs::write(system.path("script"), script).unwrap();
    let inner = "mount -t tmpfs -o size=1m tmpfs \"$2/log\" && cp -r \"$2/before/.\" \"$2/log\" && \"$1\" --state \"$2\" < \"$2/script\"; status=$?; cp -r \"$2/log\" \"$2/after\"; exit $status";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", inner, "sh", env!("CARGO_BIN_EXE_orbital")]).arg(system.folder.path());
    let output = command.env_remove("ORBITAL_STATE").output().unwrap();
    bad(&output, 74, "the log cannot be written, so the system stopped serving");
    assert!(err(&output).contains("No space left") && err(&output).contains("Make room"), "{}", err(&output));
    let done: Vec<u32> = out(&output).lines().filter_map(|line| line.strip_prefix("done-")?.parse().ok()).collect();
    assert!(!done.is_empty() && done.len() < 4_000, "{}", done.len());
    fs::remove_dir(system.path("log")).unwrap();
    fs::rename(system.path("after"), system.path("log")).unwrap();
    for n in done.len().saturating_sub(8)..done.len() {
        let value: u32 = good(&system.run(["run", "-c", &format!("cat /n{}", n % 8)])).trim().parse().unwrap();
        assert!(value as usize >= n, "/n{} has {value}, and {n} was acknowledged", n % 8);
    }
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}

/// Nothing rests on a snapshot: that it cannot be written is said at the end, and the log is whole.
#[test]
fn a_live_snapshot_that_cannot_be_written_is_told_and_ends_nothing() {
    let system = System::new();
    good(&system.run(["run", "-c", "put /kept kept"]));
    let mut child =
        system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"cat /kept\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "kept");
    fs::remove_dir_all(system.path("log/snapshots")).unwrap();
    fs::write(system.path("log/snapshots"), "").unwrap();
    input.write_all(b"put /kept more\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    good(&output);
    assert!(err(&output).contains("the snapshot cannot be written"), "{}", err(&output));
    fs::remove_file(system.path("log/snapshots")).unwrap();
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
    assert_eq!(good(&system.run(["run", "-c", "cat /kept"])).trim(), "more");
}
