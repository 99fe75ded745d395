//! A log of any length is verified, replayed and gone on from in the same memory. What is measured is a process of its
//! own: this test program, started again with the folder and what to do with it.

use log_store::commands::{self, Format};
use log_store::folder::DiskFolder;
use log_store::verify::Start;
use log_store::{Log, Settings, key};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What the started program is told.
const WORK: &str = "ORBITAL_TEST_WORK";
const FOLDER: &str = "ORBITAL_TEST_FOLDER";
/// What is done with the log.
const WORKS: [&str; 5] =
    ["verify", "verify --from snapshot", "verify --from checkpoint", "replay", "replay --from snapshot"];

/// The most memory that this process has had, in KiB.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What a started program does; nothing where it is run with the other tests.
#[test]
fn started() {
    let (Ok(work), Ok(folder)) = (std::env::var(WORK), std::env::var(FOLDER)) else { return };
    let state = PathBuf::from(folder);
    let mut out = Vec::new();
    let kept = || Start::Checkpoint(fs::read(state.join("kept")).expect("it was kept"));
    let (key, json) = (None, Format::Json);
    match work.as_str() {
        "verify" => commands::verify(&state, key, json, &mut out),
        "verify --from snapshot" => commands::verify_from(&state, key, &Start::Snapshot, json, &mut out),
        "verify --from checkpoint" => commands::verify_from(&state, key, &kept(), json, &mut out),
        "replay" => commands::replay(&state, json, &mut out),
        _ => commands::replay_from(&state, &Start::Snapshot, json, &mut out),
    }
    .expect("the log is whole");
    println!("\npeak {} {}", most_memory(), String::from_utf8(out).expect("text"));
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Place {
    /// KiB that the work took, in a process of its own.
    fn measure(&self, work: &str) -> u64 {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["started", "--exact", "--nocapture"]).env(WORK, work).env(FOLDER, &self.0);
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{work}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let peak = said.lines().find_map(|line| line.strip_prefix("peak ")?.split(' ').next()?.parse().ok());
        peak.unwrap_or_else(|| panic!("{work}: {said}"))
    }
}

/// Given a log of 16 MiB that grows to 64, or as many as ORBITAL_LARGE_MIB says, when it is verified and replayed from
/// wherever, then that takes as much memory as before, but for 2 MiB.
#[test]
fn a_long_log_takes_no_more_memory_than_a_short_one() {
    const SHORT: u64 = 16;
    let long: u64 = std::env::var("ORBITAL_LARGE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    let place = Place(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("log-memory-{}", std::process::id())));
    let key = key::load_or_create(&place.0.join("machine.key")).expect("a key");
    let folder = DiskFolder::new(place.0.join("log"));
    let settings = Settings { keep: u64::MAX, ..Settings::default() };
    let (mut log, _) = Log::open(folder, key.clone(), settings).expect("it opens");
    let mut config = axiom::Config::new(kernel::Platform::WASM);
    (config.key, config.snapshots, config.state_every) = (key.public(), true, 64);
    let mut pair = bench_core::Pair::with(config).expect("the kernel accepts the set-up");
    let mut bytes = 0;
    let mut measured = Vec::new();
    for until in [SHORT, long.max(SHORT)] {
        while bytes < until << 20 {
            assert!(pair.round_trip());
            pair.take_blocks(|block| {
                bytes += 64 << 10;
                log.append(&block).expect("appended");
                if log.must_publish() || block.number() == 40 {
                    log.publish().expect("published");
                }
            });
        }
        log.publish().expect("published");
        if measured.is_empty() {
            fs::copy(place.0.join("log/checkpoint"), place.0.join("kept")).expect("kept");
        }
        measured.push(WORKS.map(|work| place.measure(work)));
    }
    for (index, work) in WORKS.iter().enumerate() {
        let (short, long_took) = (measured[0][index], measured[1][index]);
        println!("{work}: {short} KiB for {SHORT} MiB, {long_took} KiB for {long} MiB");
    }
    // From the checkpoint of the short log on there was nothing to read in it: it is held against the others.
    let most = measured[0].iter().max().expect("some") + (2 << 10);
    for (work, took) in WORKS.iter().zip(measured[1]) {
        assert!(took < most, "{work}: {took} KiB for {long} MiB, {most} for {SHORT}");
    }
}
