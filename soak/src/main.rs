//! Everything at once, for long. Each round boots the system, loads it, ends it in some way (in order, by Ctrl-C, by
//! SIGKILL at a random instant), and then looks: the log verifies and replays, the disk agrees with itself, every put
//! that was acknowledged is there, of each transaction there is everything or nothing, nobody is left who should have
//! ended. Some rounds run a hostile program in place of the load, some cut the power of the same system in QEMU. The
//! seed chooses; what is random in the timing is not repeated by it.
//!
//! `soak ORBITAL [QEMU]` is given the programs; SECONDS, SEED and STATE (a folder, in which an earlier run is taken
//! up again) come from the environment.
#![forbid(unsafe_code)]

mod host;
mod load;
mod progress;
mod transactions;

use host::{Ending, Host};
use load::Load;
use progress::Progress;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error>;

/// How long a hostile program runs before it is interrupted.
const HOSTILE: Duration = Duration::from_secs(2);
/// By how much the host may be larger at the end of a round than after its first second, in KiB.
const GROWTH: u64 = 192 << 10;

/// Programs that mean harm, as text of WebAssembly.
const HOSTILE_PROGRAMS: [(&str, &str); 4] = [
    ("an endless loop", "(loop br 0)"),
    ("a memory bomb", "(loop (drop (memory.grow (i32.const 64))) br 0)"),
    ("endless recursion", "(call 0)"),
    ("an access behind its memory", "(drop (i32.load (i32.const -8)))"),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orbital: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(name: &str) -> Result<Option<u64>, Failure> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            Ok(Some(text.parse().map_err(|_| format!("{name}={text} is no number; leave it out, or give one"))?))
        }
        _ => Ok(None),
    }
}

fn run() -> Result<(), Failure> {
    let mut programs = std::env::args_os().skip(1).map(PathBuf::from);
    let orbital = programs.next().ok_or("usage: soak ORBITAL [QEMU]")?;
    let qemu = programs.next();
    let lasts = Duration::from_secs(number("SECONDS")?.unwrap_or(1800));
    let state = match std::env::var_os("STATE").filter(|state| !state.is_empty()) {
        Some(state) => PathBuf::from(state),
        None => std::env::temp_dir().join(format!("orbital-soak-{}", std::process::id())),
    };
    std::fs::create_dir_all(&state)?;
    let mut progress = Progress::load(&state, number("SEED")?)?;
    println!("soak: {} s, SEED={}, STATE={}", lasts.as_secs(), progress.seed, state.display());
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let began = Instant::now();
    let outcome = loop {
        if began.elapsed() >= lasts || stop.load(Ordering::Relaxed) {
            break Ok(());
        }
        let host = Host::new(&orbital, state.join("system"));
        match round(&host, qemu.as_ref(), &mut progress, &state) {
            Ok(line) => println!("{:>6} s  round {:>4}: {line}", began.elapsed().as_secs(), progress.rounds),
            Err(error) => break Err(error),
        }
        progress.rounds += 1;
        progress.save(&state)?;
    };
    progress.seconds += began.elapsed().as_secs();
    progress.save(&state)?;
    println!("\n{progress}");
    outcome.map_err(|error| {
        let again = format!("go on with SEED={} STATE={}", progress.seed, state.display());
        format!("round {}: {error}\nWhat it left is kept; {again}", progress.rounds).into()
    })
}

/// One round; in words, what came of it.
fn round(
    host: &Host,
    qemu: Option<&PathBuf>,
    progress: &mut Progress,
    state: &std::path::Path,
) -> Result<String, Failure> {
    match (progress.random() % 8, qemu) {
        (0, Some(qemu)) => return power_cut(qemu, progress, state),
        (1, _) => return hostile(host, progress, state),
        _ => {}
    }
    let mut load = Load::start(host, progress)?;
    let lasts = Duration::from_millis(2000 + progress.random() % 8000);
    let early = load.run(Duration::from_secs(1), progress)?;
    let late = load.run(lasts, progress)?;
    progress.memory(early, late);
    let ending = match progress.random() % 4 {
        0 => Ending::Exit,
        1 => Ending::Interrupt,
        _ => Ending::Kill,
    };
    let seen = load.end(ending, progress)?;
    if late > early + GROWTH {
        return Err(format!("the host had {early} KiB after a second and {late} KiB at the end").into());
    }
    look(host, progress)?;
    Ok(format!("{seen}; {} MiB, then {} MiB; all there", early >> 10, late >> 10))
}

/// What must hold after every round.
fn look(host: &Host, progress: &mut Progress) -> Result<(), Failure> {
    if progress.acknowledged.is_empty() {
        // A host that was killed in its first moments has no disk to be checked yet.
        host.command(&["run", "-c", "echo"])?;
    }
    host.command(&["disk", "check"])?;
    let script: Vec<String> =
        progress.acknowledged.keys().map(|file| format!("echo -n \"{file} \"; cat /load/{file}")).collect();
    let output = host.command(&["run", "-c", &format!("{}; echo", script.join("; "))])?;
    let mut lines = output.lines();
    for (&file, &acknowledged) in &progress.acknowledged {
        let line = lines.next().unwrap_or_default();
        let text = line.strip_prefix(&format!("{file} ")).unwrap_or_default();
        let number = text.split('.').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        if number < acknowledged || number > progress.sent || text != load::text_of(number) {
            return Err(format!("/load/{file}: put {acknowledged} was acknowledged; what is there is: {line}").into());
        }
    }
    let script: Vec<String> = (0..transactions::GROUPS).map(transactions::show).collect();
    // The last key may have no value: that is no failure of the script.
    let output = host.command(&["run", "-c", &format!("{}; exit 0", script.join("; "))])?;
    let mut lines = output.lines();
    for group in 0..transactions::GROUPS {
        let acknowledged = progress.transactions_acknowledged.get(&group).copied();
        let may_be = acknowledged.unwrap_or(0)..=progress.transactions_begun;
        transactions::check(group, may_be, acknowledged.is_some(), &mut lines)?;
    }
    // Now that a start has mended what a kill in the middle of a write may leave.
    host.command(&["log", "verify"])?;
    host.command(&["log", "replay"])?;
    progress.records = host.records()?;
    Ok(())
}

/// A program that means harm has the machine for a while; then all is as before.
fn hostile(host: &Host, progress: &mut Progress, state: &std::path::Path) -> Result<String, Failure> {
    let (name, body) = HOSTILE_PROGRAMS[(progress.random() % HOSTILE_PROGRAMS.len() as u64) as usize];
    let file = state.join("hostile.wasm");
    std::fs::write(
        &file,
        wat::parse_str(format!(r#"(module (memory (export "memory") 1) (func (export "run") {body}))"#))?,
    )?;
    let ended = host.session(&file, HOSTILE)?;
    look(host, progress)?;
    progress.hostile += 1;
    Ok(format!("{name}: {ended}; all there"))
}

/// The power of a machine in QEMU is cut under a load of its own, which checks what is there afterwards.
fn power_cut(qemu: &PathBuf, progress: &mut Progress, state: &std::path::Path) -> Result<String, Failure> {
    let output = Command::new(qemu)
        .arg("--state")
        .arg(state.join("qemu"))
        .args(["crash", "1", "--seed", &progress.random().to_string()])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(format!("QEMU: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    progress.power_cuts += 1;
    Ok("QEMU, its power cut under load; all there".into())
}
