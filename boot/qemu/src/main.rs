//! `make qemu` and its like: builds Orbital for bare x86_64 and runs it in QEMU.

use clap::{Args, Parser, Subcommand};
use images::Progress;
use qemu::build::{self, Firmware};
use qemu::machine::{self, Machine};
use qemu::problem::{Problem, status};
use qemu::{State, console, crash, state};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
At a terminal, Ctrl-C goes to the session, Ctrl-\\ asks the machine to end, and Ctrl-] switches it off at once.
The session's output goes to the standard output, the kernel's messages to the standard error.

Exit status:
  of the session, when the machine turned itself off in order; else
    2 wrong command line       65 log or key is not what it should be
   69 something is missing here: QEMU, its firmware, a part of the toolchain
   70 the machine stopped: what the kernel said last says why
   74 a file or the output cannot be read or written
   75 another machine has the state folder
  130 Ctrl-\\ or Ctrl-]   141 nobody reads the output";

/// Orbital on bare x86_64, in QEMU.
#[derive(Parser)]
#[command(name = "qemu", version, after_help = AFTER_HELP)]
struct Command {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Args)]
struct Global {
    /// Folder of the system: log.img, disk.img, machine.key [default: the platform's data folder, orbital/qemu]
    #[arg(long, value_name = "DIR", global = true, env = "ORBITAL_QEMU_STATE")]
    state: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Boot; without SCRIPT, the shell
    Run(Run),
    /// Build a disk image that a machine starts from, and print its path
    Image {
        /// What starts it
        #[arg(long, value_enum, default_value = "uefi")]
        boot: Firmware,
    },
    /// Cut the power at random instants of a write load; see what must be there
    Crash {
        /// How often
        #[arg(value_name = "N", default_value_t = 100)]
        rounds: u32,
        /// Of the instants [default: another each time]
        #[arg(long)]
        seed: Option<u64>,
    },
}

#[derive(Args)]
struct Run {
    /// Shell commands to run in place of a session
    #[arg(short = 'c', long = "command", value_name = "SCRIPT")]
    script: Option<String>,
    /// How the kernel is loaded
    #[arg(long, value_enum, default_value = "pvh")]
    boot: Firmware,
    /// Wait for gdb before the first instruction
    #[arg(long)]
    gdb: bool,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = machine::MEMORY)]
    memory: u32,
    /// Disk of storage [default: disk.img of the state folder]
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Set a variable of the session's environment
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Further words for QEMU
    #[arg(last = true, value_name = "WORDS")]
    more: Vec<std::ffi::OsString>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must be NAME=VALUE".into()),
    }
}

/// Variables of the terminal that the session gets.
const PASSED_ON: &[&str] = &["TERM", "NO_COLOR", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];

fn main() -> ExitCode {
    let command = Command::parse();
    match carry_out(command) {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            eprintln!("qemu: {problem}");
            ExitCode::from(problem.status)
        }
    }
}

fn carry_out(command: Command) -> Result<u8, Problem> {
    let state = command.global.state;
    match command.verb {
        None => run(state.as_deref(), Command::parse_from(["qemu", "run"]).verb),
        verb @ Some(Verb::Run(_)) => run(state.as_deref(), verb),
        Some(Verb::Image { boot }) => image(boot),
        Some(Verb::Crash { rounds, seed }) => power_cuts(state.as_deref(), rounds, seed),
    }
}

fn folder(state: Option<&Path>) -> Result<PathBuf, Problem> {
    state.map(Path::to_path_buf).or_else(state::default_folder).ok_or_else(|| {
        Problem::new(status::UNAVAILABLE, "this account has no home folder", "name a folder with --state DIR")
    })
}

fn run(state: Option<&Path>, verb: Option<Verb>) -> Result<u8, Problem> {
    let Some(Verb::Run(wanted)) = verb else { return Ok(0) };
    machine::check(wanted.boot)?;
    let product = build::build(wanted.gdb, Progress::Shown)?;
    let image = build::disk_image(&product, wanted.boot, Progress::Shown)?;
    let state = State::open(&folder(state)?)?;
    state.prepare()?;
    let mut machine = Machine::new(&product, &state)?;
    machine.environment =
        PASSED_ON.iter().filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    machine.environment.extend(wanted.environment);
    (machine.firmware, machine.image, machine.memory) = (wanted.boot, image, wanted.memory);
    (machine.gdb, machine.more) = (wanted.gdb, wanted.more);
    if let Some(disk) = &wanted.disk {
        // QEMU says which file is missing, too, but not what to do.
        let disk = disk.canonicalize().map_err(|error| Problem::file(disk, &error))?;
        machine.disk = Some(machine::drive(&disk));
        machine.disk_file = Some(disk);
    }
    match wanted.script {
        Some(script) => machine = machine.script(&script),
        None => machine.terminal = console::is_terminal().then(console::columns),
    }
    if machine.terminal.is_some() {
        eprintln!("qemu: Ctrl-C goes to the session, Ctrl-\\ asks the machine to end, Ctrl-] switches it off");
    }
    if machine.gdb {
        eprintln!("qemu: the machine waits for a debugger, in another terminal:");
        eprintln!("  {}", gdb_command(&machine.product.kernel));
    }
    console::connect(&machine)
}

/// How a debugger is started on the kernel. Its addresses are those of the linker script, so a breakpoint of the
/// hardware is good even before there are page tables.
fn gdb_command(kernel: &Path) -> String {
    format!(
        "gdb {} -ex 'target remote localhost:{}' -ex 'hbreak boot::start::start' -ex continue",
        kernel.display(),
        machine::GDB_PORT
    )
}

fn image(firmware: Firmware) -> Result<u8, Problem> {
    if firmware == Firmware::Pvh {
        return Err(Problem::new(status::USAGE, "PVH loads no disk image", "make image BOOT=uefi, or BOOT=bios"));
    }
    let product = build::build(false, Progress::Shown)?;
    if let Some(path) = build::disk_image(&product, firmware, Progress::Shown)? {
        println!("{}", path.display());
    }
    Ok(0)
}

fn power_cuts(state: Option<&Path>, rounds: u32, seed: Option<u64>) -> Result<u8, Problem> {
    machine::check(Firmware::Pvh)?;
    let product = build::build(false, Progress::Shown)?;
    // A system of its own: what is in it is checked to the last byte.
    let folder = state
        .map_or_else(|| std::env::temp_dir().join(format!("orbital-crash-{}", std::process::id())), Path::to_path_buf);
    let seed = seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as u64)
    });
    println!("seed {seed}, in {}", folder.display());
    let state_folder = State::open(&folder)?;
    let mut load = crash::Load::new(&product, &state_folder, seed)?;
    for round in 1..=rounds {
        let seen = load.round()?;
        println!("{round:4}  {seen}");
    }
    println!("{}", load.finish()?);
    if state.is_none() {
        drop(state_folder);
        // What cannot be removed is left to the system's own clearing up.
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(0)
}
