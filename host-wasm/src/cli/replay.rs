//! `orbital replay`: the kernel's state again, from its log; `orbital log replay` is the same.

use super::Global;
use super::log::{form, source};
use crate::problem::Problem;
use log_store::commands::{self, Format};
use log_store::state;
use log_store::verify::Start;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  orbital replay                                 the whole log, held against the state hashes in it
  orbital replay --from snapshot                 from the newest snapshot on: sooner, and it comes to the same
  orbital replay --to 812                        what the kernel's state was after record 812
  orbital replay --to 812 --process storage      the same of one process: threads, capabilities, what it reaches
  orbital replay --to 812 --authority            who could do what; of every record, also where the rest was trimmed
  orbital replay --to 812 --image log.img        from the log of a bare machine
`orbital log show` has the numbers of records.";

/// Of `orbital replay`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Show the state after this record, instead of comparing
    #[arg(long, value_name = "RECORD")]
    to: Option<u64>,
    /// Only processes of this name, and what they hold
    #[arg(long, value_name = "NAME", requires = "to")]
    process: Option<String>,
    /// Who may do what alone, which is never trimmed: no threads, no queues
    #[arg(long, requires = "to")]
    authority: bool,
    /// Where to begin: `genesis` compares every state hash that there is; `snapshot`, the newest good one, those after it
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Begin::Genesis, conflicts_with = "to")]
    from: Begin,
}

/// Where a replay begins.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Begin {
    Genesis,
    Snapshot,
}

impl Arguments {
    /// Writes what was asked for.
    pub fn write(self, log: &Path, format: Format, out: &mut dyn Write) -> Result<(), log_store::Error> {
        match self {
            Arguments { to: Some(to), process, authority, .. } => {
                state::show(log, &state::Options { to, process, authority_alone: authority }, format, out)
            }
            Arguments { to: None, from: Begin::Genesis, .. } => commands::replay(log, format, out),
            Arguments { to: None, from: Begin::Snapshot, .. } => {
                commands::replay_from(log, &Start::Snapshot, format, out)
            }
        }
    }
}

/// Carries the command out.
pub fn run(global: &Global, image: Option<PathBuf>, arguments: Arguments) -> Result<u8, Problem> {
    let log = source(global, image)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = arguments.write(&log, form(global), &mut out);
    // What was written stays, whatever the result.
    super::written(out.flush())?;
    result?;
    Ok(0)
}
