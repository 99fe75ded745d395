//! What was acknowledged as durable is there after a SIGKILL of the host: on the disk
//! and in the log.

use super::stage::{folder, images, run};
use host_wasm::image::Path;
use host_wasm::machine::End;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

const FOLDER: &str = "ORBITAL_TEST_FOLDER";

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
