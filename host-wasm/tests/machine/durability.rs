//! What was acknowledged as durable is there after a SIGKILL of the host: on the disk
//! and in the log.

use super::stage::{folder, images, run};
use host_wasm::image::Path;
use host_wasm::machine::End;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "ORBITAL_TEST_FOLDER";

/// Names of files in a folder of the log, in order.
fn names(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// What someone does to a file of the log, which this leads to.
type Deed = fn(&std::path::Path);
/// The file that it is done to, in the folder of a log.
type Find = fn(&std::path::Path) -> PathBuf;

/// The machine makes calls as quick as it can, until there are closed segments; then one file is not what it
/// was. It stops, and names that file; nothing is written any more.
#[test]
fn whatever_happens_to_the_log_of_a_running_machine_stops_it() {
    let removed: Deed = |path| std::fs::remove_file(path).unwrap();
    let cut: Deed = |path| std::fs::File::options().write(true).open(path).unwrap().set_len(300).unwrap();
    let copied: Deed = |path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let cases: [(&str, Find, Deed); 6] = [
        ("the open segment", |log| names(&log.join("segments")).pop().unwrap(), removed),
        ("a closed segment", |log| names(&log.join("segments")).swap_remove(0), removed),
        ("a closed segment, cut", |log| names(&log.join("segments")).swap_remove(0), cut),
        ("a closed segment, copied", |log| names(&log.join("segments")).swap_remove(0), copied),
        ("the tile at the edge", |log| names(&log.join("tile/0/000.p")).pop().unwrap(), removed),
        ("the checkpoint", |log| log.join("checkpoint"), cut),
    ];
    for (what, find, deed) in cases {
        let folder = folder();
        let log = folder.path().join("log");
        let (told, done) = std::sync::mpsc::channel();
        let played = run(folder.path(), &["busy"], images(&[]), Path::Fastest, move |_, _| {
            let begin = Instant::now();
            while names(&log.join("segments")).len() < 2 || names(&log.join("tile/0/000.p")).is_empty() {
                assert!(begin.elapsed() < Duration::from_secs(60), "the log does not grow");
                std::thread::sleep(Duration::from_millis(10));
            }
            let path = find(&log);
            deed(&path);
            told.send((path.strip_prefix(&log).unwrap().to_owned(), Instant::now())).unwrap();
        });
        let (name, since) = done.recv().unwrap();
        let End::LogFailed(why) = played.end else { panic!("{what}: {:?}", played.end) };
        assert!(why.contains(name.to_str().unwrap()), "{what}, {}: {why}", name.display());
        assert!(since.elapsed() < Duration::from_secs(20), "{what}: it went on for {:?}", since.elapsed());
        let verified =
            log_store::commands::verify(folder.path(), None, log_store::commands::Format::Text, &mut Vec::new());
        // A copy has all that there was; and of a segment that was just begun no checkpoint knows yet.
        if !what.ends_with("copied") && !what.starts_with("the open") {
            let cause = verified.expect_err(what).cause;
            assert!(cause.contains(name.to_str().unwrap()) || cause.contains("segments"), "{what}: {cause}");
        }
    }
}

/// The victim: run by [`what_was_flushed_is_there_after_a_kill`] in a process of its own.
#[test]
#[ignore = "the other tests start it"]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    run(folder.as_ref(), &["fill", "1000000"], images(&[]), Path::Fastest, |_, screen| {
        // Passes on what the machine shows, as it shows it.
        let mut shown = 0;
        loop {
            let text = screen.text();
            let complete = text.rfind('\n').map_or(0, |end| end + 1);
            for line in text[shown..complete].lines() {
                println!("flushed {line}");
            }
            shown = complete;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
}

#[test]
fn what_was_flushed_is_there_after_a_kill() {
    let folder = folder();
    let mut survived = 0u64;
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::victim", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let wanted = 20 + round * 30;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut flushed = lines.filter_map(|line| line.rsplit_once("flushed ")?.1.parse::<u64>().ok());
        let last = flushed.find(|&number| number >= wanted).expect("it flushes");
        child.kill().unwrap();
        child.wait().unwrap();
        survived = survived.max(last);

        let disk = std::fs::File::open(folder.path().join("disk.img")).unwrap();
        for number in 1..=survived {
            let mut block = [0; 512];
            disk.read_exact_at(&mut block, (number - 1) * 512).unwrap();
            assert_eq!(block[..8], number.to_le_bytes(), "block {number} of round {round}");
        }
        let mut report = Vec::new();
        log_store::commands::replay(folder.path(), log_store::commands::Format::Text, &mut report)
            .unwrap_or_else(|error| panic!("round {round}: {}", error.cause));
    }
    // And it starts again.
    let played = run(folder.path(), &["ends"], images(&[]), Path::Fastest, |_, _| {});
    assert_eq!(played.end, End::Off(0));
    let mut report = Vec::new();
    log_store::commands::verify(folder.path(), None, log_store::commands::Format::Text, &mut report).unwrap();
}
