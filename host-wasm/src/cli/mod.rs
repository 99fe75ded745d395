//! The `orbital` command: arguments, help, and what each command does.

mod bench;
mod caps;
pub mod capture;
mod completions;
mod disk;
mod doctor;
mod log;
mod replay;
mod run;
mod witness;

use crate::problem::{Problem, shortened, status};
use crate::progress::Progress;
use crate::signals;
use crate::state;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  orbital                              boot, and work in the shell; `help` there shows more
  orbital run -c 'put note hello'      boot, run a script of shell commands, shut down
  orbital run -c 'cat note'            what was stored is there at the next boot
  orbital run ./my-app.wasm ARG        run a component of your own as a process
  orbital log verify                   check the whole log of the system
  orbital disk check                   check the disk of the system
  orbital replay --to 812              what the kernel's state was after record 812
  orbital --state /tmp/other           a second system, apart from the first
  orbital doctor                       is this machine fit, and what to do if not

Exit status:
  of the session (shell, script or app), when the system shut down in order; else
    1 `log verify`: the log is not good; `log diff`: the logs differ
    2 wrong command line       65 log, key or disk is not what it should be
   66 what was named is not there, or cannot be run: a file, a log, a record
   69 something is missing on this machine; `doctor` found something bad
   70 the system stopped       74 disk, log or output cannot be read or written
   75 another orbital has the state folder
  130 Ctrl-C   143 SIGTERM   141 nobody reads the output
docs/command-line.md says more.

Orbital is a capability operating system: a microkernel whose every step is in a signed
log, services around it, and processes as WebAssembly components under wasmtime.";

/// The Orbital operating system on this machine.
#[derive(Parser)]
#[command(name = "orbital", bin_name = "orbital", version, about = "Orbital OS: boot it, work in it, read its log", after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = false, propagate_version = true)]
struct Command {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What holds for every command.
#[derive(Args, Clone)]
pub struct Global {
    /// Folder of the system: disk.img, log/, machine.key, cache/ [default: the platform's
    /// data folder, orbital/default]
    #[arg(long, value_name = "DIR", global = true, env = "ORBITAL_STATE")]
    pub state: Option<PathBuf>,
    /// How results, notes and errors are written; of `run`, whose output is the session's, how it ended
    #[arg(long, value_enum, value_name = "FORM", global = true, default_value_t = Output::Text)]
    pub output: Output,
}

/// Forms of results.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: JSON, one value or one a line.
    Json,
}

impl Global {
    /// Where notes are written, and what takes long.
    pub fn progress(&self) -> Progress {
        match self.output {
            Output::Text => Progress::to_terminal(),
            Output::Json => Progress::to_program(),
        }
    }

    /// The folder that is meant.
    pub fn folder(&self) -> Result<PathBuf, Problem> {
        self.state.clone().or_else(|| state::default_folder("default")).ok_or_else(|| {
            Problem::new(status::UNAVAILABLE, "this platform names no data folder", "say where with --state DIR")
        })
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one, made once")]
#[derive(Subcommand)]
enum Verb {
    /// Boot, and run the shell, a script or an app (the default command)
    Run(run::Arguments),
    /// Read, check and prove the log of the system
    Log(log::Arguments),
    /// Look at the disk of the system, check it, export and import what is on it
    Disk(disk::Arguments),
    /// Make the kernel's state again from the log: compare it, or show it after a record
    Replay(Replay),
    /// Where the capabilities of processes come from
    Caps(caps::Arguments),
    /// Read the messages that were captured for debugging
    Capture(capture::Arguments),
    /// Whether this machine is fit to run Orbital, and what to do where it is not
    Doctor,
    /// How quick this machine is, beside what the host alone takes
    Bench(bench::Arguments),
    /// Completions for a command-line shell, on standard output
    Completions(completions::Arguments),
}

/// `orbital replay`, which names a log as `orbital log` does.
#[derive(Args)]
struct Replay {
    /// The log in this image of a bare machine, instead of the one in --state; its machine.key lies beside it
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    #[command(flatten)]
    arguments: replay::Arguments,
}

/// What became of a result that was written to standard output: lost, it is a problem.
fn written(result: std::io::Result<()>) -> Result<(), Problem> {
    result.map_err(|error| log_store::Error::output(error).into())
}

/// Runs the command with these arguments, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = match Command::try_parse_from(&arguments) {
        Ok(command) => command,
        Err(error) => {
            // Help and version are not errors, and go to standard output.
            let code = if error.use_stderr() { status::USAGE } else { 0 };
            if code != 0 && asks_for_json(&arguments) {
                let error = with_short_arguments(&arguments).unwrap_or(error).to_string();
                let cause = error.split("\n\n").next().unwrap_or(&error).trim_start_matches("error: ");
                return fail(
                    Output::Json,
                    &Problem::new(code, cause.replace('\n', " "), "`orbital help` shows what there is"),
                );
            }
            let shown = written(with_short_arguments(&arguments).unwrap_or(error).print());
            return match shown {
                Err(problem) if code == 0 => fail(Output::Text, &problem),
                _ => ExitCode::from(code),
            };
        }
    };
    signals::outlive_the_limit_of_files();
    let global = &command.global;
    let result = match command.verb {
        None => run::run(global, run::Arguments::default()),
        Some(Verb::Run(arguments)) => run::run(global, arguments),
        Some(Verb::Log(arguments)) => log::run(global, arguments),
        Some(Verb::Disk(arguments)) => disk::run(global, arguments),
        Some(Verb::Replay(Replay { image, arguments })) => replay::run(global, image, arguments),
        Some(Verb::Caps(arguments)) => caps::run(global, arguments),
        Some(Verb::Capture(arguments)) => capture::run(global, arguments),
        Some(Verb::Doctor) => doctor::run(global),
        Some(Verb::Bench(bench::Arguments {})) => bench::run(global),
        Some(Verb::Completions(arguments)) => completions::run::<Command>(&arguments),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(problem) => fail(global.output, &problem),
    }
}

/// Says the problem, and gives its status.
fn fail(output: Output, problem: &Problem) -> ExitCode {
    // Who closed the output knows.
    if problem.status != status::OUTPUT_CLOSED {
        match output {
            Output::Text => crate::progress::say(format_args!("orbital: {problem}")),
            Output::Json => {
                let error = serde_json::json!({ "error": { "cause": problem.cause, "next": problem.next, "status": problem.status } });
                crate::progress::say(error);
            }
        }
    }
    ExitCode::from(problem.status)
}

/// Of a command line that cannot be read as a whole.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let of = |at: usize| arguments.get(at).and_then(|argument| argument.to_str());
    (0..arguments.len())
        .any(|at| of(at) == Some("--output=json") || (of(at), of(at + 1)) == (Some("--output"), Some("json")))
}

/// The same error, with what was typed cut to a length that one can read.
fn with_short_arguments(arguments: &[OsString]) -> Option<clap::Error> {
    let short = arguments.iter().map(|argument| shortened(&argument.to_string_lossy()).into_owned());
    Command::try_parse_from(short).err()
}
