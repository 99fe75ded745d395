//! `orbital doctor`: what this machine has and lacks, what each finding means, and what
//! to do about it.

use super::{Global, Output};
use crate::limits::Limit;
use crate::machine::boot;
use crate::problem::{Problem, status};
use crate::state::{self, Anew, State};
use crate::terminal;
use crate::witness::{Answer, Witnesses};
use log_store::commands::{self, Format};
use rustix::fs::Access;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

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
    let mut findings = vec![processor(), engine(), maps()];
    findings.extend(limits());
    findings.push(folder(global));
    findings.extend(disk(global));
    findings.extend(system(global));
    findings.extend(witnesses(global));
    findings.extend([entropy(), terminal_found(), targets()]);
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

fn folder(global: &Global) -> Finding {
    let means = "the system's disk, log, key and compiled components lie there";
    let good = |found| Finding { what: "state folder", verdict: Verdict::Good, found, means, next: None };
    let folder = global.folder();
    if let Ok(folder) = &folder
        && can_be_made(folder)
    {
        return good(format!("{} is not there yet; the first start makes it", folder.display()));
    }
    match folder.and_then(|folder| State::open(&folder)) {
        Ok(state) => good(format!("{} can be written and nobody uses it", state.folder().display())),
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

/// Whether nothing is there, and the nearest folder above it lets it be made.
fn can_be_made(folder: &Path) -> bool {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.into());
    let is_there = |path: &&Path| path.symlink_metadata().is_ok();
    let above = folder.ancestors().find(is_there).filter(|above| *above != folder && above.is_dir());
    above.is_some_and(|above| rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

/// A disk that cannot be written; others are found by who has lost one.
fn disk(global: &Global) -> Option<Finding> {
    let path = state::read_only_disk(&global.folder().ok()?)?;
    Some(Finding {
        what: "disk",
        verdict: Verdict::Note,
        found: format!("{} cannot be written", path.display()),
        means: "a system starts with it: what is on it is read, and nothing that is put is kept",
        next: Some("make the file writable (its mode, its owner, how its disk is mounted)".into()),
    })
}

/// What there is of the system in the state folder: nothing that it had is gone, and its log is whole.
fn system(global: &Global) -> Vec<Finding> {
    let means =
        "key, disk and log belong together: the disk has the data, the log every step of the kernel, signed by the key";
    let bad = |problem: Problem| Finding {
        what: "system",
        verdict: Verdict::Bad,
        found: problem.cause,
        means,
        next: Some(problem.next),
    };
    let lost = match global.folder().and_then(|folder| state::lost(&folder, Anew::default())) {
        Ok(lost) => lost,
        Err(problem) => return vec![bad(problem)],
    };
    let log = log(global, !lost.is_empty());
    lost.into_iter().map(bad).chain([log]).collect()
}

/// The log, all of it. Where something is `lost`, that is said elsewhere.
fn log(global: &Global, lost: bool) -> Finding {
    let finding = |verdict, found: String, next| Finding {
        what: "log",
        verdict,
        found,
        means: "every step of the kernel is in it, signed; `orbital log verify` checks it as this does",
        next,
    };
    let mut out = Vec::new();
    let verified = global.folder().and_then(|folder| Ok(commands::verify(&folder, None, Format::Text, &mut out)?));
    match verified {
        Ok(()) => finding(Verdict::Good, String::from_utf8_lossy(&out).lines().next().unwrap_or_default().into(), None),
        Err(problem) if problem.status == status::NO_INPUT && !lost => {
            finding(Verdict::Good, "there is none yet; the first boot makes it".into(), None)
        }
        Err(problem) => finding(Verdict::Bad, problem.cause, Some(problem.next)),
    }
}

/// Each witness, asked whether it goes on signing this log.
fn witnesses(global: &Global) -> Vec<Finding> {
    let means = "it keeps what it has seen of the log: what it signed cannot be taken back, and an old copy is told";
    let finding =
        |verdict, found: String, next: Option<String>| Finding { what: "witness", verdict, found, means, next };
    let bad = |problem: Problem| vec![finding(Verdict::Bad, problem.cause, Some(problem.next))];
    let witnesses = match global.folder().and_then(|folder| Witnesses::load(&folder)) {
        Ok(witnesses) => witnesses,
        Err(problem) => return bad(problem),
    };
    if witnesses.all.is_empty() {
        let next = "orbital log witness add URL VKEY".to_owned();
        return vec![finding(
            Verdict::Note,
            "there is none: an old copy of the whole state folder would pass for the newest".into(),
            Some(next),
        )];
    }
    let submitted = match witnesses.submit() {
        Ok(submitted) => submitted,
        Err(problem) => return bad(problem),
    };
    if let Some(problem) = submitted.contradiction() {
        return bad(problem);
    }
    let missing = submitted.missing().into_iter().map(|missing| {
        let next = "see that it runs and knows this log; the system goes on without it".to_owned();
        finding(Verdict::Note, missing, Some(next))
    });
    let signed =
        submitted.answers.iter().filter(|(_, answer)| matches!(answer, Answer::Cosigned(..))).map(|(witness, _)| {
            finding(Verdict::Good, format!("{} has signed {} blocks", witness.key.name(), submitted.size), None)
        });
    signed.chain(missing).collect()
}

fn limits() -> Vec<Finding> {
    let finding = |limit: Limit| Finding {
        what: limit.name,
        verdict: if limit.is_enough() { Verdict::Good } else { Verdict::Bad },
        found: limit
            .current
            .map_or_else(|| "there is no limit".into(), |current| format!("at most {current} {}", limit.unit)),
        means: "what the host allows this program; with less than it needs a system does not start",
        next: (!limit.is_enough()).then(|| limit.next()),
    };
    crate::limits::limits().into_iter().map(finding).collect()
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
