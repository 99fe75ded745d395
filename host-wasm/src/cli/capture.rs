//! `orbital capture`: reads what was captured of an endpoint's messages, with the machine's key.

use super::{Global, Output};
use crate::capture::files::{files, read};
use crate::capture::{Content, Entry, Party, kind_in_words, secret};
use crate::problem::{Problem, status};
use axiom::words::tag_in_words;
use clap::Subcommand;
use sealed::{End, Wrong, open};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  orbital run -c 'capture storage on; put a b; capture storage off'   write down what storage is told
  orbital capture show                                                and read it
  orbital --output json capture show --boot 7                         of boot 7, one record a line
docs/capture.md says who may capture what, and how it is sealed.";

/// Name of the folder of captures in the state directory.
pub const CAPTURES: &str = "captures";

/// Of `orbital capture`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The messages that were captured in a boot: from whom to whom, words and bytes
    Show {
        /// Which boot [default: the last in which something was captured]
        #[arg(long, value_name = "NUMBER")]
        boot: Option<u32>,
    },
}

/// Carries the command out.
pub fn run(global: &Global, arguments: Arguments) -> Result<u8, Problem> {
    let Verb::Show { boot } = arguments.verb;
    let state = global.folder()?;
    let path = find(&state, boot)?;
    let key_path = state.join(log_store::commands::KEY);
    let key = log_store::key::load(&key_path)?.ok_or_else(|| {
        Problem::new(
            status::NO_INPUT,
            format!("{}: there is no key", key_path.display()),
            "put the machine's key back: without it nobody can read what was captured",
        )
    })?;
    let opened = open(&read(&path)?, &secret(&key), &key.public()).map_err(|wrong| problem(&path, wrong))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (index, record) in opened.records.iter().enumerate() {
        let entry: Entry = postcard::from_bytes(record).map_err(|error| {
            Problem::new(
                status::LOG,
                format!("{}: record {index} is sealed, and is none: {error}", path.display()),
                "it was written by another version of Orbital; read it with that one",
            )
        })?;
        let line =
            if global.output == Output::Json { in_json(opened.boot, &entry).to_string() } else { in_words(&entry) };
        super::written(writeln!(out, "{line}"))?;
    }
    super::written(out.flush())?;
    match opened.end {
        End::Whole => {}
        End::Open => global.progress().note(&format!(
            "{} goes no further, and was not ended: the machine runs, or did not end in order",
            path.display()
        )),
        End::Torn(bytes) => global.progress().note(&format!(
            "{}: {bytes} bytes behind record {} are the beginning of one, and are left out: the machine did not end in order, or the file was cut off",
            path.display(),
            opened.records.len() as i64 - 1
        )),
    }
    Ok(0)
}

/// The capture of a boot, or the last.
fn find(state: &Path, boot: Option<u32>) -> Result<PathBuf, Problem> {
    let folder = state.join(CAPTURES);
    let files = files(&folder)?;
    let found = match boot {
        Some(boot) => files.iter().find(|(number, _)| *number == boot),
        None => files.last(),
    };
    if let Some((_, path)) = found {
        return Ok(path.clone());
    }
    let boots: Vec<String> = files.iter().map(|(number, _)| number.to_string()).collect();
    Err(match boot.filter(|_| !boots.is_empty()) {
        Some(boot) => Problem::new(
            status::NO_INPUT,
            format!("{}: nothing is there of boot {boot}", folder.display()),
            format!("there is something of boot {}", boots.join(", ")),
        ),
        None => Problem::new(
            status::NO_INPUT,
            format!("{}: nothing was captured", folder.display()),
            "in the shell, `capture SERVICE on` begins it; `orbital capture --help` has an example",
        ),
    })
}

fn problem(path: &Path, wrong: Wrong) -> Problem {
    let of = |cause: String, next: &str| Problem::new(status::LOG, format!("{}: {cause}", path.display()), next);
    const UNTRUE: &str = "nothing of it is shown: what is left of it may not be what was said";
    match wrong {
        Wrong::NoCapture => of("this is no capture".into(), "put the right file back, or remove it"),
        Wrong::Header => of("its header was changed".into(), UNTRUE),
        Wrong::OtherKey(public) => {
            let key = public[..8].iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            of(
                format!("it was sealed with the key of another machine, whose public half begins with {key}"),
                "put that machine's machine.key beside it in a state directory, and name that with --state",
            )
        }
        Wrong::Record(index, place) => of(format!("record {index} (at byte {place}) was changed"), UNTRUE),
        Wrong::Behind(bytes) => of(format!("{bytes} bytes were added behind its last record"), UNTRUE),
    }
}

fn party(party: &Party) -> String {
    match (party.process, party.name.as_str()) {
        (0, _) => "the kernel".into(),
        (process, "") => format!("process {process}"),
        (process, name) => format!("{name} ({process})"),
    }
}

/// A record as a line for people, with the payload below it.
fn in_words(entry: &Entry) -> String {
    let mut text = format!("{}.{:06} s  ", entry.time / 1_000_000_000, entry.time / 1000 % 1_000_000);
    match &entry.content {
        Content::Began { endpoint, by } => {
            let _ = write!(text, "capture of endpoint {endpoint} begins, by order of {}", party(by));
        }
        Content::Ended { endpoint } => {
            let _ = write!(text, "capture of endpoint {endpoint} ends");
        }
        Content::Full => text.push_str("the file is as large as it may be: what came later is not in it"),
        Content::Off => text.push_str("the machine was turned off"),
        Content::Message { endpoint, kind, from, to, badge, tag, capabilities, words, bytes } => {
            let (kind, from, to, tag_name) = (kind_in_words(*kind), party(from), party(to), tag_in_words(*tag as u32));
            let _ = write!(text, "{kind} {from} -> {to}, endpoint {endpoint}: {tag_name}");
            if *badge != 0 {
                let _ = write!(text, ", badge {badge:#x}");
            }
            if *capabilities != 0 {
                let _ = write!(text, ", {capabilities} capabilities");
            }
            let mut payload: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            // What lies beyond the length that the tag says (docs/wire-format.md) is zero.
            let said = (*tag >> 32 & 0x7F) as usize;
            let used = payload.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
            payload.truncate(used.max(said.min(64)));
            dump(&mut text, "words", &payload);
            dump(&mut text, "bytes", bytes);
        }
    }
    text
}

/// Sixteen bytes a line, in hex and as text.
fn dump(text: &mut String, what: &str, bytes: &[u8]) {
    for (index, line) in bytes.chunks(16).enumerate() {
        let mut hex = String::new();
        for byte in line {
            let _ = write!(hex, "{byte:02x} ");
        }
        let shown: String =
            line.iter().map(|&byte| if matches!(byte, 0x20..=0x7E) { char::from(byte) } else { '.' }).collect();
        let _ = write!(text, "\n    {what} {:04x}  {hex:<48} {shown}", index * 16);
    }
}

fn in_json(boot: u64, entry: &Entry) -> Value {
    let party = |party: &Party| json!({ "pid": party.process, "name": party.name });
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let mut value = match &entry.content {
        Content::Began { endpoint, by } => json!({ "kind": "began", "endpoint": endpoint, "by": party(by) }),
        Content::Ended { endpoint } => json!({ "kind": "ended", "endpoint": endpoint }),
        Content::Full => json!({ "kind": "full" }),
        Content::Off => json!({ "kind": "off" }),
        Content::Message { endpoint, kind, from, to, badge, tag, capabilities, words, bytes } => json!({
            "kind": kind_in_words(*kind),
            "endpoint": endpoint,
            "from": party(from),
            "to": party(to),
            "badge": format!("{badge:#x}"),
            "tag": format!("{tag:#x}"),
            "function": tag_in_words(*tag as u32),
            "capabilities": capabilities,
            "words": words.iter().map(|word| format!("{word:#x}")).collect::<Vec<_>>(),
            "bytes": hex(bytes),
        }),
    };
    value["boot"] = boot.into();
    value["time"] = entry.time.into();
    value["record"] = entry.record.into();
    value
}
