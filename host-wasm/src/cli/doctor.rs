//! `orbital doctor`: what this machine has and lacks, what each finding means, and what
//! to do about it.

use super::{Global, Output};
use crate::machine::boot;
use crate::problem::{Problem, status};
use crate::state::State;
use crate::terminal;
use serde::Serialize;
use std::io::Write;

/// Memory maps that a live process takes, about.
const MAPS_A_PROCESS: u64 = 6;

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// Works, with a limit that one should know.
    Note,
    Bad,
}

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    means: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Looks, and says what was found. The status is bad if anything is.
pub fn run(global: &Global) -> Result<u8, Problem> {
    let findings = [processor(), engine(), maps(), state(global), log(global), entropy(), terminal_found(), targets()];
    super::written(write(&findings, global.output))?;
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    Ok(if bad { status::UNAVAILABLE } else { 0 })
}

fn write(findings: &[Finding], output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if output == Output::Json {
        return writeln!(out, "{}", serde_json::json!({ "findings": findings }));
    }
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        writeln!(out, "{mark}  {}: {}", finding.what, finding.found)?;
        writeln!(out, "      {}", finding.means)?;
        if let Some(next) = &finding.next {
            writeln!(out, "      next: {next}")?;
        }
    }
    Ok(())
}

fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Finding {
        what: "processor",
        verdict: if cores > 1 { Verdict::Good } else { Verdict::Note },
        found: format!("{} with {cores} cores", std::env::consts::ARCH),
        means: "processes run on one core; devices, log and compiler on the others",
        next: None,
    }
}

fn engine() -> Finding {
    let means = "wasmtime compiles and runs the processes; a pool of instances makes starting one quick";
    match boot::engine(None) {
        Ok(_) => Finding { what: "engine", verdict: Verdict::Good, found: "wasmtime starts".into(), means, next: None },
        Err(problem) => Finding {
            what: "engine",
            verdict: Verdict::Bad,
            found: problem.cause,
            means,
            next: Some("allow the program more address space (ulimit -v unlimited)".into()),
        },
    }
}

fn maps() -> Finding {
    let means = "each live process takes about six memory maps; the limit of maps is the limit of processes";
    let limit =
        std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(limit) = limit else {
        return Finding {
            what: "memory maps",
            verdict: Verdict::Note,
            found: "this platform does not say its limit".into(),
            means,
            next: None,
        };
    };
    let processes = (limit / MAPS_A_PROCESS).min(boot::MOST_PROCESSES.into());
    let enough = processes >= 1000;
    Finding {
        what: "memory maps",
        verdict: if enough { Verdict::Good } else { Verdict::Note },
        found: format!("{limit}: room for about {processes} processes at one time"),
        means,
        next: (!enough).then(|| "as root: sysctl vm.max_map_count=65530".into()),
    }
}

fn state(global: &Global) -> Finding {
    let means = "the system's disk, log, key and compiled components lie there";
    let opened = global.folder().and_then(|folder| State::open(&folder));
    match opened {
        Ok(state) => Finding {
            what: "state folder",
            verdict: Verdict::Good,
            found: format!("{} can be written and nobody uses it", state.folder().display()),
            means,
            next: None,
        },
        Err(problem) if problem.status == status::IN_USE => Finding {
            what: "state folder",
            verdict: Verdict::Note,
            found: problem.cause,
            means,
            next: Some(problem.next),
        },
        Err(problem) => Finding {
            what: "state folder",
            verdict: Verdict::Bad,
            found: problem.cause,
            means,
            next: Some(problem.next),
        },
    }
}

fn log(global: &Global) -> Finding {
    let means = "every step of the kernel is in it, signed; `orbital log verify` checks all of it";
    let folder = global.folder().map(|folder| folder.join("log"));
    let found = match folder {
        Ok(folder) if folder.is_dir() => format!("there is one in {}", folder.display()),
        _ => "there is none yet; the first boot makes it".into(),
    };
    Finding { what: "log", verdict: Verdict::Good, found, means, next: None }
}

fn entropy() -> Finding {
    let good = getrandom::u64().is_ok();
    Finding {
        what: "randomness",
        verdict: if good { Verdict::Good } else { Verdict::Bad },
        found: if good { "the system gives it" } else { "the system gives none" }.into(),
        means: "keys and tokens are made of it",
        next: (!good).then(|| "a container may need /dev/urandom or the getrandom system call".into()),
    }
}

fn terminal_found() -> Finding {
    let interactive = terminal::is_interactive();
    Finding {
        what: "terminal",
        verdict: if interactive { Verdict::Good } else { Verdict::Note },
        found: if interactive {
            format!("{} columns", terminal::columns())
        } else {
            "input or output is not one".into()
        },
        means: "on a terminal the shell edits lines and keeps history; otherwise it reads commands line by line",
        next: None,
    }
}

/// Needed to build Orbital and apps for it, not to run it.
fn targets() -> Finding {
    let means = "apps are built for it; running what is built already needs no compiler";
    let output = std::process::Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
        .output();
    let (verdict, found, next) = match output {
        Ok(output)
            if output.status.success()
                && std::path::Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() =>
        {
            (Verdict::Good, "wasm32-unknown-unknown is installed".to_owned(), None)
        }
        Ok(_) => (
            Verdict::Note,
            "wasm32-unknown-unknown is not installed".to_owned(),
            Some("rustup target add wasm32-unknown-unknown".to_owned()),
        ),
        Err(_) => {
            (Verdict::Note, "there is no Rust compiler".to_owned(), Some("https://rustup.rs, to write apps".to_owned()))
        }
    };
    Finding { what: "compiler", verdict, found, means, next }
}
