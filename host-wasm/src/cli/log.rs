//! `orbital log`: reads, checks and proves the log of a system.

use super::{Global, Output};
use crate::problem::{Problem, shortened, status};
use crate::progress::Progress;
use crate::witness::Witnesses;
use axiom::header::Body;
use axiom::note::{VerifierKey, WitnessKey};
use clap::Subcommand;
use log_store::commands::{self, Bound, Format, Show};
use log_store::diff::{self, Side};
use log_store::outsider::{self, Claim, Trust};
use log_store::verify::Start;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  orbital log show --process notes --limit 20    what notes did last, in words
  orbital log show --from 2026-11-21T08:00:00Z   from a time on; a record's number does too
  orbital log verify                             checks every block, the tree and the signature
  orbital log verify --from checkpoint kept      that it goes on from a checkpoint you kept, and all after that
  orbital log verify --from snapshot             from the newest snapshot of the state on
  orbital log why 4711                           its causes, one after the other, back to what came from outside
  orbital log diff first second                  whether each process did the same in two systems; 0..500 501..900: in two runs
  orbital log prove 4711 --to proof              a folder that proves one record to an outsider
  orbital log check-proof proof/record-4711.tlog-proof --record 4711
  orbital log prove --consistency 57 --to proof  that the first 57 blocks are still the first
  orbital log witness add http://HOST:7380 VKEY  who signs what the log had
  orbital log export calls 12 | b3sum            a body of a block as its header's hash has it
  orbital log replay --to 812                    the kernel's state after a record (`orbital replay` is the same)
  orbital log key                                the key that others verify with (C2SP vkey)
  orbital log verify --image log.img             the log of a bare machine, its key beside it
show, why, diff and export tell what stands there; whether it is what was signed, verify says: where in doubt, run it first.
The format is in docs/log-format.md.";

/// Of `orbital log`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The log in this image of a bare machine, instead of the one in --state; its machine.key lies beside it
    #[arg(long, value_name = "FILE", global = true)]
    image: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Records in words: who asked what, what came of it, and what it changed
    Show {
        /// Only records of processes of this name (`host`: of the host itself)
        #[arg(long, value_name = "NAME")]
        process: Option<String>,
        /// From this record's number or time (RFC 3339, UTC) on
        #[arg(long, value_name = "PLACE", value_parser = bound)]
        from: Option<Bound>,
        /// Up to this record's number or time, included
        #[arg(long, value_name = "PLACE", value_parser = bound)]
        to: Option<Bound>,
        /// At most so many: the first after --from, else the last
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
        /// Go on with what comes, until interrupted
        #[arg(long)]
        follow: bool,
    },
    /// Check the whole log: hashes, tree, signature, order; status 1 if something is wrong, with the file and the record
    Verify {
        /// The key that must have signed it, as `orbital log key` shows it [default: this machine's]
        #[arg(long, value_name = "VKEY", value_parser = vkey)]
        key: Option<VerifierKey>,
        /// From where on: `genesis`, `snapshot` (the newest good one of the state) or `checkpoint FILE` (one that you
        /// kept: the log must go on from it). What lies before is not read
        #[arg(long, value_names = ["WHERE", "FILE"], num_args = 1..=2, default_value = "genesis")]
        from: Vec<String>,
    },
    /// Write the proof of one record into a folder; or that an older log is the beginning of this one
    Prove {
        /// The record's number
        #[arg(value_name = "RECORD", required_unless_present = "consistency")]
        record: Option<u64>,
        /// Instead: that the first OLD blocks are the beginning of the first NEW [default: of all that the
        /// checkpoint covers]
        #[arg(long, value_names = ["OLD", "NEW"], num_args = 1..=2, conflicts_with = "record")]
        consistency: Option<Vec<u64>>,
        /// A signed checkpoint of NEW blocks, where NEW is neither the log's own nor one that witnesses signed
        #[arg(long, value_name = "FILE", requires = "consistency")]
        checkpoint: Option<PathBuf>,
        /// The folder
        #[arg(long, value_name = "DIR", default_value = "proof")]
        to: PathBuf,
        /// The key that must have signed it [default: this machine's]
        #[arg(long, value_name = "VKEY", value_parser = vkey)]
        key: Option<VerifierKey>,
    },
    /// Check a proof that `prove` wrote: nothing but the file and the keys is needed
    CheckProof {
        /// The proof
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The log's key [default: this machine's]
        #[arg(long, value_name = "VKEY", value_parser = vkey)]
        key: Option<VerifierKey>,
        /// The key of a witness whose signature is to be checked; more than one may be given
        #[arg(long, value_name = "VKEY", value_parser = super::witness::vkey)]
        witness: Vec<WitnessKey>,
        /// Tell this record out of the proof, which must be of a record
        #[arg(long, value_name = "RECORD")]
        record: Option<u64>,
        /// The checkpoint that was kept; the proof must be of consistency
        #[arg(long, value_name = "FILE")]
        old: Option<PathBuf>,
    },
    /// Others who sign what the log had, so that nobody can take it back
    Witness(super::witness::Arguments),
    /// Why a record came: the chain of its causes, back to what came from outside
    Why {
        /// The record's number
        #[arg(value_name = "RECORD")]
        record: u64,
    },
    /// Whether two logs say the same of what each process did; status 1 if not
    Diff {
        /// A state folder or an image; or records of this log, as 0..500
        #[arg(value_name = "A")]
        a: String,
        /// What it is compared with
        #[arg(value_name = "B")]
        b: String,
    },
    /// Make the kernel's state again from the log: compare it, or show it after a record
    Replay(super::replay::Arguments),
    /// Write a body of a block, as it is hashed, to standard output
    Export {
        /// Which: authority, activity or calls
        #[arg(value_name = "BODY", value_parser = body)]
        body: Body,
        /// The block's number
        #[arg(value_name = "BLOCK")]
        block: u64,
    },
    /// Write the log in an image as a log folder
    Unpack {
        /// The folder, which must not be there yet
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The key that must have signed it [default: the one beside the image]
        #[arg(long, value_name = "VKEY", value_parser = vkey)]
        key: Option<VerifierKey>,
    },
    /// Show the key that verifies this machine's log
    Key,
}

fn bound(text: &str) -> Result<Bound, String> {
    text.parse().map_err(|_| "it must be a record's number or a time such as 2026-11-21T08:30:00Z".to_owned())
}

fn vkey(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::from_text(text.trim())
        .ok_or_else(|| "it must be what `orbital log key` prints on the machine: name+id+key".to_owned())
}

fn body(text: &str) -> Result<Body, String> {
    Body::ALL
        .into_iter()
        .find(|body| body.name() == text)
        .ok_or_else(|| "it must be authority, activity or calls".to_owned())
}

/// With what `verify` ends where the log is not good.
const NOT_GOOD: u8 = 1;

/// Where verifying begins: `--from`.
fn start(from: &[String]) -> Result<Start, Problem> {
    let words: Vec<&str> = from.iter().map(String::as_str).collect();
    match words[..] {
        ["genesis"] => Ok(Start::Genesis),
        ["snapshot"] => Ok(Start::Snapshot),
        ["checkpoint", file] => kept(Path::new(file)).map(Start::Checkpoint),
        ["checkpoint"] => Err(Problem::new(
            status::USAGE,
            "--from checkpoint needs the file of the checkpoint that was kept",
            "name it: orbital log verify --from checkpoint FILE",
        )),
        _ => Err(Problem::new(
            status::USAGE,
            format!("--from {}: it must be genesis, snapshot or checkpoint FILE", shortened(&words.join(" "))),
            "`orbital log verify --help` says what each of them checks",
        )),
    }
}

/// A checkpoint that someone kept.
fn kept(file: &Path) -> Result<Vec<u8>, Problem> {
    // A signed note with a few signatures: what is longer is none, and need not be read whole to be refused.
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(1 << 16).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| {
        let cause = format!("{}: the checkpoint cannot be read: {error}", file.display());
        Problem::new(status::NO_INPUT, &cause, "name the file in which you kept it")
    })
}

/// How often `--follow` looks for more.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// Waits a little; an error when nobody reads the output any more, which would otherwise be
/// noticed only with the next record.
fn wait_for_more() -> std::io::Result<()> {
    let out = std::io::stdout();
    let mut closed = [PollFd::new(&out, PollFlags::empty())];
    poll(&mut closed, Some(&LOOK_EVERY))?;
    if closed[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        return Err(std::io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// Says between which records something was trimmed.
fn tell_trimmed(progress: &Progress, trimmed: Option<(u64, u64)>) {
    if let Some((first, last)) = trimmed {
        progress.note(&format!(
            "of records {first} to {last} the log has trimmed activity and calls; what changed authority is there"
        ));
    }
}

/// Whose signatures count for a proof: of the log's key, and of the witnesses that the state folder names.
fn trust(state: &std::path::Path, key: Option<VerifierKey>) -> Result<Trust, Problem> {
    if !state.is_dir() {
        return Ok(Trust { key, ..Trust::default() });
    }
    let witnesses = Witnesses::load(state)?;
    Ok(Trust { key, cosigned: witnesses.witnessed()?.into_iter().next(), witnesses: witnesses.keys(), kept: None })
}

/// The log that is meant: the image that was named, or the state folder.
pub fn source(global: &Global, image: Option<PathBuf>) -> Result<PathBuf, Problem> {
    match image {
        Some(image) if image.exists() && !image.is_dir() => Ok(image),
        Some(image) => {
            let cause = format!("{}: there is no such file", image.display());
            Err(Problem::new(status::NO_INPUT, &cause, "name the image of a bare machine's log"))
        }
        None => global.folder(),
    }
}

/// How results are written.
pub fn form(global: &Global) -> Format {
    if global.output == Output::Json { Format::Json } else { Format::Text }
}

/// Carries the command out.
pub fn run(global: &Global, arguments: Arguments) -> Result<u8, Problem> {
    let (state, format) = (source(global, arguments.image)?, form(global));
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut nothing, mut trimmed, mut ended) = (None, None, 0);
    let result = match arguments.verb {
        Verb::Show { process, from, to, limit, follow } => {
            let wait: fn(_) -> _ = match global.output {
                Output::Text => |trimmed| {
                    tell_trimmed(&Progress::to_terminal(), trimmed);
                    wait_for_more()
                },
                Output::Json => |trimmed| {
                    tell_trimmed(&Progress::to_program(), trimmed);
                    wait_for_more()
                },
            };
            let follow = follow.then_some(wait);
            let show = Show { process, from, to, limit, follow };
            if show.is_inverted() {
                return Err(Problem::new(
                    status::USAGE,
                    "--from lies behind --to, so nothing can be between them",
                    "exchange them; `orbital log show --help` says more",
                ));
            }
            commands::show(&state, &show, format, &mut out).map(|shown| {
                nothing = (shown.lines == 0).then_some(show);
                trimmed = shown.trimmed;
            })
        }
        Verb::Verify { key, from } => {
            let start = start(&from)?;
            let verified = commands::verify_from(&state, key.as_ref(), &start, format, &mut out).map_err(Problem::from);
            let witnessed = verified.and_then(|()| {
                super::written(out.flush())?;
                if state.is_dir() { super::witness::check(global, &state, key.as_ref()) } else { Ok(()) }
            });
            // As of `diff` and `cmp`: that it was looked at, and what was found is not good.
            return witnessed.map(|()| 0).map_err(|problem| match problem.status {
                status::LOG => Problem { status: NOT_GOOD, ..problem },
                _ => problem,
            });
        }
        Verb::Prove { record, consistency, checkpoint, to, key } => {
            let mut trust = trust(&state, key)?;
            trust.kept = checkpoint.as_deref().map(kept).transpose()?;
            match (record, consistency.as_deref()) {
                (Some(record), _) => outsider::prove_record(&state, &trust, record, &to, format, &mut out),
                (None, sizes) => {
                    let size = |index: usize| sizes.and_then(|sizes| sizes.get(index).copied());
                    let sizes = (size(0).unwrap_or_default(), size(1));
                    outsider::prove_consistency(&state, &trust, sizes, &to, format, &mut out)
                }
            }
        }
        Verb::CheckProof { file, key, witness, record, old } => {
            let trust = Trust { key, witnesses: witness, ..Trust::default() };
            outsider::check_proof(Some(&state), &file, &trust, &Claim { record, old }, format, &mut out)
        }
        Verb::Witness(arguments) => return super::witness::run(global, &state, arguments),
        Verb::Diff { a, b } => Side::named(&a, &state).and_then(|a| {
            let verdict = diff::diff(&a, &Side::named(&b, &state)?, format, &mut out)?;
            ended = u8::from(verdict == diff::Verdict::Different);
            Ok(())
        }),
        Verb::Why { record } => log_store::why::why(&state, record, format, &mut out),
        Verb::Replay(replay) => replay.write(&state, format, &mut out),
        Verb::Export { body, block } => commands::export(&state, body, block, &mut out),
        Verb::Unpack { to, key } => commands::unpack(&state, key.as_ref(), &to, format, &mut out),
        Verb::Key => commands::show_key(&state, format, &mut out),
    };
    // What was written stays, whatever the result.
    super::written(out.flush())?;
    result?;
    tell_trimmed(&global.progress(), trimmed);
    if let Some(show) = nothing {
        let of = show.process.map_or_else(String::new, |name| format!(" of a process {}", shortened(&name)));
        global
            .progress()
            .note(&format!("there is no record{of} where it was looked for; `orbital log show` shows the last"));
    }
    Ok(ended)
}
