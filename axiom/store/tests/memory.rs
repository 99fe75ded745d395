//! A log of any length is verified, replayed and gone on from in the same memory, in a folder or an image. What is measured is a process of its
//! own: this test program, started again with the folder and what to do with it.

use log_image::{BLOCK, BlockDevice, DeviceError, ImageLog};
use log_store::commands::{self, Format};
use log_store::folder::{DiskFolder, Folder};
use log_store::verify::Start;
use log_store::{Log, Settings, key};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

/// What the started program is told.
const WORK: &str = "ORBITAL_TEST_WORK";
const FOLDER: &str = "ORBITAL_TEST_FOLDER";
/// What is done with the log.
const WORKS: [&str; 5] =
    ["verify", "verify --from snapshot", "verify --from checkpoint", "replay", "replay --from snapshot"];
/// And with an image, which has no snapshots.
const IMAGE_WORKS: [&str; 3] = ["verify --image", "verify --from checkpoint --image", "replay --image"];
/// The image.
const IMAGE: &str = "log.img";

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
    let folder = PathBuf::from(folder);
    let mut out = Vec::new();
    let kept = || Start::Checkpoint(fs::read(folder.join("kept")).expect("it was kept"));
    let (key, json) = (None, Format::Json);
    let (work, state) = match work.strip_suffix(" --image") {
        Some(work) => (work, folder.join(IMAGE)),
        None => (work.as_str(), folder.clone()),
    };
    match work {
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
        // A segment that is freed goes back at once: what is measured is what is in use, and not what glibc keeps.
        command.env("MALLOC_MMAP_THRESHOLD_", (1 << 20).to_string());
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{work}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let peak = said.lines().find_map(|line| line.strip_prefix("peak ")?.split(' ').next()?.parse().ok());
        peak.unwrap_or_else(|| panic!("{work}: {said}"))
    }
}

/// The size of the short log, and of the long one, in MiB.
const SHORT: u64 = 16;

fn long() -> u64 {
    let long = std::env::var("ORBITAL_LARGE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    SHORT.max(long)
}

/// That each work took as much for the long log as the most for the short one, but for 2 MiB.
fn compare(works: &[&str], short: &[u64], long_took: &[u64]) {
    let long = long();
    // From the checkpoint of the short log on there was nothing to read in it: it is held against the others.
    let most = short.iter().max().expect("some") + (2 << 10);
    for ((work, short), took) in works.iter().zip(short).zip(long_took) {
        println!("{work}: {short} KiB for {SHORT} MiB, {took} KiB for {long} MiB");
    }
    for (work, took) in works.iter().zip(long_took) {
        assert!(*took < most, "{work}: {took} KiB for {long} MiB, {most} for {SHORT}");
    }
}

/// Given a log of 16 MiB that grows to 64, or as many as ORBITAL_LARGE_MIB says, when it is verified and replayed from
/// wherever, then that takes as much memory as before, but for 2 MiB.
#[test]
fn a_long_log_takes_no_more_memory_than_a_short_one() {
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
    for until in [SHORT, long()] {
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
    compare(&WORKS, &measured[0], &measured[1]);
}

/// A file as the device of a log; what is not written is zero.
struct Device(File, u64);

impl BlockDevice for Device {
    fn blocks(&self) -> u64 {
        self.1
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read_exact_at(bytes, first * BLOCK as u64).map_err(|_| DeviceError::Failed)
    }
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write_all_at(bytes, first * BLOCK as u64).map_err(|_| DeviceError::Failed)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Given an image with a log of 16 MiB that grows as the folder does, in blocks of 1.5 KiB, of which there are many, when
/// it is verified and replayed, then that takes as much memory as before, but for 2 MiB.
#[test]
fn a_long_image_takes_no_more_memory_than_a_short_one() {
    const SLOTS: usize = 32;
    let place = Place(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("image-memory-{}", std::process::id())));
    let key = key::load_or_create(&place.0.join("machine.key")).expect("a key").of_bare_machine();
    let file = File::options().read(true).write(true).create_new(true).open(place.0.join(IMAGE)).expect("a file");
    let bytes = (long() + 16) << 20;
    file.set_len(bytes).expect("a length");
    let device = Device(file, bytes / BLOCK as u64);
    let (mut log, _) = ImageLog::open(device, key.clone()).expect("it opens");
    let mut config = axiom::Config::new(kernel::Platform::NATIVE);
    (config.key, config.slots) = (key.public(), SLOTS);
    let mut pair = bench_core::Pair::with(config).expect("the kernel accepts the set-up");
    let mut blocks = 0;
    let mut measured = Vec::new();
    for until in [SHORT, long()] {
        while blocks * 3 * (BLOCK as u64) < until << 20 {
            assert!(pair.round_trip());
            pair.take_blocks(|block| {
                blocks += 1;
                log.append(&block).expect("appended");
            });
        }
        log.publish().expect("published");
        if measured.is_empty() {
            let text = log_store::image::Image::open(&place.0.join(IMAGE)).expect("an image");
            fs::write(place.0.join("kept"), text.read("checkpoint").expect("a checkpoint")).expect("kept");
        }
        measured.push(IMAGE_WORKS.map(|work| place.measure(work)));
    }
    compare(&IMAGE_WORKS, &measured[0], &measured[1]);
}
