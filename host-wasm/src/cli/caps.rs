//! `orbital caps`: where capabilities come from, out of the log.

use super::Global;
use super::log::{form, source};
use crate::problem::Problem;
use clap::Subcommand;
use log_store::lives::{self, Asked};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  orbital caps why storage 3               who gave storage what is in its slot 3, and where they had it from
  orbital caps why storage 3.1             the first that was in that slot, though it is gone
  orbital caps why 6 3 --boot 2            of process 6 of an earlier boot
  orbital caps why shell 0 --image log.img from the log of a bare machine
In the shell `caps PROCESS` lists the slots of one that runs; `orbital replay --to RECORD` those of any time.
It tells what stands in the log; whether that is what was signed, `orbital log verify` says: where in doubt, run it first.";

/// Of `orbital caps`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The log in this image of a bare machine, instead of the one in --state
    #[arg(long, value_name = "FILE", global = true)]
    image: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The grants by which a process came to a capability, back to genesis, and what became of it
    Why {
        /// The process: its name, or its number as `ps` shows it
        #[arg(value_name = "PROCESS")]
        process: String,
        /// The capability: its slot, and behind a point the generation if it is not the last that was there
        #[arg(value_name = "HANDLE", value_parser = handle)]
        handle: (u32, Option<u32>),
        /// In this boot [default: the last]
        #[arg(long, value_name = "NUMBER")]
        boot: Option<u32>,
    },
}

fn handle(text: &str) -> Result<(u32, Option<u32>), String> {
    let (slot, generation) = text.split_once('.').map_or((text, None), |(slot, generation)| (slot, Some(generation)));
    let number = |text: &str| text.parse().ok();
    match (number(slot), generation.map(number)) {
        (Some(slot), None) => Ok((slot, None)),
        (Some(slot), Some(Some(generation))) => Ok((slot, Some(generation))),
        _ => Err("it must be a slot, as 3, or slot and generation, as 3.1".to_owned()),
    }
}

/// Carries the command out.
pub fn run(global: &Global, arguments: Arguments) -> Result<u8, Problem> {
    let log = source(global, arguments.image)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let Verb::Why { process, handle: (slot, generation), boot } = arguments.verb;
    let result = lives::why(&log, &Asked { process, slot, generation, boot }, form(global), &mut out);
    // What was written stays, whatever the result.
    super::written(out.flush())?;
    result?;
    Ok(0)
}
