//! The `orbital` command: arguments, help, and what each command does.

mod completions;
mod doctor;
mod log;
mod run;

use crate::problem::{Problem, status};
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
  orbital --state /tmp/other           a second system, apart from the first
  orbital doctor                       is this machine fit, and what to do if not

Exit status:
  of the session (shell, script or app), when the system shut down in order; else
    2 wrong command line       65 the log is not what it should be
   66 nothing that can be run  69 something is missing on this machine
   70 the system stopped       74 disk or log cannot be read or written
   75 another orbital has the state folder
  130 Ctrl-C   143 SIGTERM   141 nobody reads the output

Orbital is a capability operating system: a microkernel whose every step is in a signed
log, services around it, and processes as WebAssembly components under wasmtime.";

/// The Orbital operating system on this machine.
#[derive(Parser)]
#[command(name = "orbital", version, about = "Orbital OS: boot it, work in it, read its log", after_help = AFTER_HELP)]
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
    /// How results are written
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
    /// The folder that is meant.
    pub fn folder(&self) -> Result<PathBuf, Problem> {
        self.state.clone().or_else(|| state::default_folder("default")).ok_or_else(|| {
            Problem::new(status::UNAVAILABLE, "this platform names no data folder", "say where with --state DIR")
        })
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Boot, and run the shell, a script or an app (the default command)
    Run(run::Arguments),
    /// Read, check and prove the log of the system
    Log(log::Arguments),
    /// Whether this machine is fit to run Orbital, and what to do where it is not
    Doctor,
    /// Completions for a command-line shell, on standard output
    Completions(completions::Arguments),
}

/// The status when nobody reads the output, as for the session's console.
const OUTPUT_CLOSED: u8 = 141;

/// What became of a result that was written to standard output: lost, it is a problem.
fn written(result: std::io::Result<()>) -> Result<(), Problem> {
    result.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => {
            Problem::new(OUTPUT_CLOSED, "nobody reads the output any more", "nothing was changed")
        }
        _ => Problem::new(
            status::IO,
            format!("standard output: {error}"),
            "make room where the output goes, then repeat",
        ),
    })
}

/// Runs the command with these arguments, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Command::try_parse_from(arguments) {
        Ok(command) => command,
        Err(error) => {
            // Help and version are not errors, and go to standard output.
            let code = if error.use_stderr() { status::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match command.verb {
        None => run::run(&command.global, run::Arguments::default()),
        Some(Verb::Run(arguments)) => run::run(&command.global, arguments),
        Some(Verb::Log(arguments)) => log::run(&command.global, arguments),
        Some(Verb::Doctor) => doctor::run(&command.global),
        Some(Verb::Completions(arguments)) => completions::run::<Command>(&arguments),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            if command.global.output == Output::Json {
                let error = serde_json::json!({ "error": { "cause": problem.cause, "next": problem.next, "status": problem.status } });
                eprintln!("{error}");
            } else {
                eprintln!("orbital: {problem}");
            }
            ExitCode::from(problem.status)
        }
    }
}
