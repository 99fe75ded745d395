//! `orbital bench`: a quick look at what this machine gives, each figure beside what the host alone
//! takes for the like, in the same run. `make bench` measures thoroughly.

use super::{Global, Output};
use crate::devices::console::Ends;
use crate::image::Path;
use crate::limits;
use crate::machine::End;
use crate::machine::boot::{self, Boot, Image};
use crate::problem::{Problem, status};
use crate::progress::Progress;
use crate::state::State;
use axiom::door::Config;
use axiom::{Axiom, Head};
use kernel::InterruptId;
use log_store::folder::DiskFolder;
use log_store::{Log, Settings, key};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const AFTER_HELP: &str = "\
Examples:
  orbital bench                        a table; takes some seconds
  orbital --output json bench          the same for programs, in nanoseconds
It works in a folder of its own within the state folder, which it removes; the system there
stays as it is and need not be off.";

/// Of `orbital bench`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {}

/// One figure, and its peer's.
#[derive(Serialize)]
struct Row {
    what: &'static str,
    ns: u64,
    beside: &'static str,
    beside_ns: u64,
    /// How many times as long as the peer.
    ratio: f64,
}

impl Row {
    fn new(what: &'static str, taken: Duration, beside: &'static str, peer: Duration) -> Row {
        let [ns, beside_ns] = [taken, peer].map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
        Row { what, ns, beside, beside_ns, ratio: (100.0 * ns as f64 / beside_ns as f64).round() / 100.0 }
    }
}

/// What measures one row.
type Measure = fn(&Scratch) -> Result<Row, Problem>;

/// Measures, and writes the table.
pub fn run(global: &Global) -> Result<u8, Problem> {
    limits::check()?;
    let scratch = Scratch::new(global)?;
    let progress = Progress::to_terminal();
    let measures: [Measure; 4] = [calls, append, put, spawn];
    let mut rows = Vec::new();
    for (index, measure) in measures.iter().enumerate() {
        progress.show(&format!("measuring, {} of {}", index + 1, measures.len()));
        let row = measure(&scratch);
        progress.clear();
        rows.push(row?);
    }
    super::written(write(&rows, global.output))?;
    Ok(0)
}

fn write(rows: &[Row], output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if output == Output::Json {
        return writeln!(out, "{}", serde_json::json!({ "rows": rows, "optimized": !cfg!(debug_assertions) }));
    }
    writeln!(out, "{:<44} {:>9}   {:<44} {:>9}  {:>7}", "ORBITAL", "", "THE HOST ALONE", "", "RATIO")?;
    for row in rows {
        let [here, there] = [row.ns, row.beside_ns].map(in_words);
        writeln!(out, "{:<44} {here:>9}   {:<44} {there:>9}  {:>7.2}", row.what, row.beside, row.ratio)?;
    }
    if cfg!(debug_assertions) {
        writeln!(out, "This build is not optimized: cargo run --release -p host-wasm -- bench")?;
    }
    Ok(())
}

/// Three digits and a unit.
fn in_words(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// A folder on the disk of the system, which goes when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(global: &Global) -> Result<Scratch, Problem> {
        let folder = global.folder()?;
        let path = folder.join(format!("bench-{}", std::process::id()));
        let problem = |error: std::io::Error| Problem::file(&path, &error);
        std::fs::create_dir_all(&path).map_err(problem)?;
        let scratch = Scratch(path.clone());
        // What is compiled is compiled for all.
        let cache = folder.join("cache");
        std::fs::create_dir_all(&cache)
            .and_then(|()| cache.canonicalize())
            .and_then(|cache| std::os::unix::fs::symlink(cache, path.join("cache")))
            .map_err(problem)?;
        Ok(scratch)
    }

    fn file(&self, name: &str) -> Result<File, Problem> {
        let path = self.0.join(name);
        File::create(&path).map_err(|error| Problem::file(&path, &error))
    }

    /// Boots a system in it that runs to its end; what it printed.
    fn boot(&self, images: Vec<Image>, arguments: Vec<String>) -> Result<String, Problem> {
        let screen = Screen::default();
        let console = Ends { input: Box::new(std::io::empty()), output: Box::new(screen.clone()), terminal: false };
        let (path, environment, progress) = (Path::Fastest, Vec::new(), Progress::silent());
        let boot = Boot { session: None, images, arguments, environment, console, path, progress };
        let (mut system, _events) = boot::boot(&State::open(&self.0)?, boot)?;
        let end = system.run();
        drop(system);
        let text = String::from_utf8_lossy(&screen.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        if end == End::Off(0) { Ok(text) } else { Err(failed(&text)) }
    }

    /// What the shell's `time` says of this command, run so often.
    fn time(&self, command: &str, times: u32) -> Result<Duration, Problem> {
        let script = (0..times).fold(String::new(), |mut script, number| {
            let _ = writeln!(script, "time {}", command.replace('#', &number.to_string()));
            script
        });
        let text = self.boot(boot::images(), vec!["-c".into(), script])?;
        let taken: Vec<Duration> = text.lines().filter_map(|line| duration(line.strip_prefix("took ")?)).collect();
        if taken.len() != times as usize {
            return Err(failed(&text));
        }
        Ok(quick(taken))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies in the state folder under a name that says what it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Of times of the like, the one that a tenth of them is below: what else the machine does counts little.
fn quick(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 10).copied().unwrap_or_default()
}

fn failed(text: &str) -> Problem {
    let last = text.lines().last().unwrap_or("nothing");
    Problem::new(status::STOPPED, format!("the system that is measured failed: {last}"), "see `orbital doctor`")
}

/// As the shell writes it: `89.6 us`.
fn duration(text: &str) -> Option<Duration> {
    let (value, unit) = text.split_once(' ')?;
    let unit = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(value.parse::<f64>().ok()? * unit).ok()
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A message of 64 bytes to another process and its answer, on record.
fn calls(scratch: &Scratch) -> Result<Row, Problem> {
    const ROUNDS: u32 = 300_000;
    let guest = boot::guests().into_iter().find(|image| image.name == "bench").ok_or_else(|| failed("no guest"))?;
    let images = vec![Image { name: "init".into(), bytes: guest.bytes.clone() }, guest];
    let text = scratch.boot(images, vec!["call".into(), ROUNDS.to_string()])?;
    let taken = text.trim().parse().map(Duration::from_nanos).map_err(|_| failed(&text))?;
    let peer = socket_pair().map_err(|error| Problem::thread("a socket pair", &error))?;
    Ok(Row::new("call and reply, 64 bytes, two processes", taken / ROUNDS, "socket pair, 64 bytes, two threads", peer))
}

fn socket_pair() -> std::io::Result<Duration> {
    const ROUNDS: u32 = 20_000;
    let (mut here, mut there) = UnixStream::pair()?;
    let server = std::thread::Builder::new().spawn(move || {
        let mut message = [0; 64];
        while there.read_exact(&mut message).and_then(|()| there.write_all(&message)).is_ok() {}
    })?;
    let mut message = [7; 64];
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        here.write_all(&message)?;
        here.read_exact(&mut message)?;
    }
    let taken = begin.elapsed();
    drop(here);
    // It ends with the other end; it has nothing to say.
    let _ = server.join();
    Ok(taken / ROUNDS)
}

/// A thousand records of the log: sealed, hashed, and durable.
fn append(scratch: &Scratch) -> Result<Row, Problem> {
    const RECORDS: u64 = 1 << 20;
    let folder = scratch.0.join("append");
    let key = key::load_or_create(&folder.join("machine.key"))?;
    let platform = kernel::Platform::WASM;
    let mut axiom = Axiom::new(Config { key: key.public(), ..Config::new(platform) }, Head::EMPTY);
    let (mut log, _) = Log::open(DiskFolder::new(folder.join("log")), key, Settings::default())?;
    let mut taken = Duration::ZERO;
    for record in 0..RECORDS {
        axiom.interrupt(InterruptId(0), record);
        while let Some(block) = axiom.take_block() {
            let begin = Instant::now();
            log.append(&block)?;
            if log.waiting() == 0 {
                log.sync()?;
            }
            taken += begin.elapsed();
            axiom.recycle(block);
        }
    }
    let begin = Instant::now();
    log.sync()?;
    let taken = taken + begin.elapsed();
    let peer = written(scratch, 16 * RECORDS)?;
    let of_a_thousand = |time: Duration| time.mul_f64(1_000.0 / RECORDS as f64);
    Ok(Row::new(
        "1,000 records sealed, synced each MiB",
        of_a_thousand(taken),
        "their bytes written, synced each MiB",
        of_a_thousand(peer),
    ))
}

/// How long it takes to write so many bytes and sync each MiB.
fn written(scratch: &Scratch, bytes: u64) -> Result<Duration, Problem> {
    let mut file = scratch.file("bytes")?;
    let piece = vec![7; 1 << 20];
    let begin = Instant::now();
    for _ in 0..bytes.div_ceil(piece.len() as u64) {
        file.write_all(&piece).and_then(|()| file.sync_data()).map_err(|error| Problem::file(&scratch.0, &error))?;
    }
    Ok(begin.elapsed())
}

/// A file of the shell, durable in storage and in the log.
fn put(scratch: &Scratch) -> Result<Row, Problem> {
    let taken = scratch.time("put note-# kept", 200)?;
    const BLOCK: usize = 4096;
    let mut file = scratch.file("blocks")?;
    let problem = |error: std::io::Error| Problem::file(&scratch.0, &error);
    // Its blocks are there, as those of the disk and of the log are mostly.
    file.write_all(&vec![1; 200 * BLOCK]).and_then(|()| file.sync_all()).map_err(problem)?;
    let mut times = Vec::new();
    for number in 0..200 {
        let begin = Instant::now();
        file.write_all_at(&[7; BLOCK], number * BLOCK as u64).and_then(|()| file.sync_data()).map_err(problem)?;
        times.push(begin.elapsed());
    }
    Ok(Row::new("put a file, durable with its log", taken, "4 KiB written in place and synced", quick(times)))
}

/// A program of the shell, from its start to its end.
fn spawn(scratch: &Scratch) -> Result<Row, Problem> {
    let taken = scratch.time("hello", 50)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        let ended = std::process::Command::new("true").stdout(std::process::Stdio::null()).status();
        ended.map_err(|error| Problem::thread("the program `true` cannot be started", &error))?;
        times.push(begin.elapsed());
    }
    Ok(Row::new("start a program, wait for its end", taken, "the same of the host's `true`", quick(times)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_writes_is_read() {
        assert_eq!(duration("89.6 us"), Some(Duration::from_nanos(89_600)));
        assert_eq!(duration("1.5 s"), Some(Duration::from_millis(1500)));
        for garbage in ["", "us", "89.6", "-1 us", "x us", "1 year", "1e300 s"] {
            assert_eq!(duration(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (ns, words) in [
            (7, "7 ns"),
            (999, "999 ns"),
            (1_234, "1.23 us"),
            (56_789, "56.8 us"),
            (567_890_000, "568 ms"),
            (2_000_000_000, "2.00 s"),
        ] {
            assert_eq!(in_words(ns), words);
        }
    }
}
