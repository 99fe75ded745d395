//! `orbital disk`: looks at the disk of a system that does not run, checks it, takes all that is on it out into a
//! folder, and makes a disk from such a folder.

mod export;
mod image;
mod import;
mod index;

use super::{Global, Output, written};
use crate::problem::{Problem, status};
use clap::Subcommand;
use image::{Opened, finish};
use serde_json::json;
use std::path::PathBuf;
use storage_engine::Damage;
use storage_format::record::Content;
use storage_format::survey::{Place, Survey};

const AFTER_HELP: &str = "\
Examples:
  orbital disk check                  reads all of it; names what is damaged by key and path
  orbital disk info                   how full it is, and each namespace
  orbital disk export --to backup     all values and files, with versions, as a folder
  orbital --state new disk import --from backup
                                      a new system with what was exported
The system must not be running. The format is in docs/storage.md.";

/// Of `orbital disk`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// This disk image, instead of the one in --state
    #[arg(long, value_name = "FILE", global = true)]
    image: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Read everything on the disk, and say what is damaged or does not agree; changes nothing
    Check,
    /// How full the disk is, and what each namespace has of it
    Info,
    /// Write all that is on the disk into a folder: namespaces, values and files with their versions
    Export {
        /// The folder, which must not be there yet
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Make the disk of a new system from such a folder
    Import {
        /// The folder
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Size of the disk in MiB [default: that of the one that was exported]
        #[arg(long, value_name = "MIB")]
        size: Option<u64>,
    },
}

/// Carries the command out.
pub fn run(global: &Global, arguments: Arguments) -> Result<u8, Problem> {
    match arguments.verb {
        Verb::Check => check(global, &Opened::open(global, arguments.image)?),
        Verb::Info => info(global, &Opened::open(global, arguments.image)?),
        Verb::Export { to } => export::run(global, &Opened::open(global, arguments.image)?, &to),
        Verb::Import { from, size } => import::run(global, arguments.image, &from, size),
    }
}

/// Writes a result in the form that is wanted.
fn tell(global: &Global, value: &serde_json::Value, text: &str) -> Result<(), Problem> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    written(match global.output {
        Output::Json => writeln!(out, "{value}"),
        Output::Text => out.write_all(text.as_bytes()),
    })
}

fn check(global: &Global, opened: &Opened) -> Result<u8, Problem> {
    let progress = global.progress();
    let all = opened.report.nodes.max(1);
    let checked = finish(
        opened.store.check_each(|so_far| {
            if so_far.nodes % 16 == 0 {
                progress.show(&format!("checking: {} %", so_far.nodes * 100 / all));
            }
        }),
        opened.store.run(),
    );
    let survey = finish(Survey::of(&opened.store), opened.store.run());
    progress.clear();
    let mut mendable: Vec<String> = Vec::new();
    let mut damage: Vec<String> = Vec::new();
    // What the start found that no reading finds: pages that two have.
    let others = opened.report.damage.iter().filter(|found| !checked.damage.contains(found));
    for found in checked.damage.iter().chain(others) {
        let words = survey.damage(found);
        if matches!(found, Damage::Copy { .. }) { mendable.push(words) } else { damage.push(words) }
    }
    damage.extend(survey.findings.iter().cloned());
    let counts = |kind: fn(&Place) -> bool| survey.items.iter().filter(|item| kind(&item.place)).count();
    let (objects, files) =
        (counts(|place| matches!(place, Place::Object(_))), counts(|place| matches!(place, Place::File(..))));
    let value = json!({
        "image": opened.path,
        "damage": damage,
        "mendable": mendable,
        "rolled_back": opened.report.rolled_back,
        "nodes": checked.nodes,
        "bytes": checked.bytes,
        "namespaces": survey.namespaces.len(),
        "objects": objects,
        "folders": survey.folders.len(),
        "files": files,
    });
    let mut text = String::new();
    for line in damage.iter().chain(&mendable) {
        text.push_str(&format!("{line}\n"));
    }
    if opened.report.rolled_back {
        text.push_str("the last commit is not whole, as after a power cut: the one before it is used\n");
    }
    text.push_str(&format!(
        "{objects} objects, {files} files and {} folders in {} namespaces, {} bytes outside the tree and {} nodes of it read: {}\n",
        survey.folders.len(),
        survey.namespaces.len(),
        checked.bytes,
        checked.nodes,
        match (damage.len(), mendable.len()) {
            (0, 0) => "all good".to_owned(),
            (0, _) => "all good, and what has one bad copy is mended at the next start".to_owned(),
            (count, _) => format!("{count} findings"),
        }
    ));
    tell(global, &value, &text)?;
    if damage.is_empty() {
        return Ok(0);
    }
    Err(Problem::new(
        status::LOG,
        format!("{}: {}", opened.path.display(), damage[0]),
        "`orbital disk export --to DIR` takes out all that can be read; what is damaged comes from a backup",
    ))
}

fn info(global: &Global, opened: &Opened) -> Result<u8, Problem> {
    let survey = finish(Survey::of(&opened.store), opened.store.run());
    let usage = opened.store.usage();
    let name = index::hex(&opened.store.disk());
    let counted = survey.counts();
    let mut text = format!(
        "disk {name}, format {}: {} KiB, of which {} KiB are free; commit {}, transaction {}\n",
        storage_engine::layout::FORMAT_VERSION,
        usage.pages * 4,
        usage.free * 4,
        usage.generation,
        opened.store.sequence()
    );
    let mut namespaces = Vec::new();
    for (number, namespace) in &survey.namespaces {
        let path = survey.names.namespace(*number);
        let (bytes, objects) = counted.get(number).copied().unwrap_or_default();
        let quota = if namespace.quota == u64::MAX { "no limit".into() } else { format!("{} bytes", namespace.quota) };
        text.push_str(&format!("  {path}: {bytes} bytes in {objects} objects, files and folders; quota: {quota}\n"));
        namespaces.push(json!({
            "number": number, "path": path, "bytes": bytes, "objects": objects,
            "quota": (namespace.quota != u64::MAX).then_some(namespace.quota),
        }));
    }
    let expiring = survey.items.iter().filter(|item| item.expires.is_some()).count();
    let chunked = survey.items.iter().filter(|item| matches!(item.file.content, Content::Chunks(_))).count();
    text.push_str(&format!(
        "{expiring} objects expire, {chunked} values have more than 60 KiB, {} chunks wait to be let go of\n",
        survey.loose_chunks
    ));
    let value = json!({
        "image": opened.path, "disk": name, "format": storage_engine::layout::FORMAT_VERSION,
        "bytes": usage.pages * 4096, "free": usage.free * 4096, "commit": usage.generation,
        "transaction": opened.store.sequence(), "namespaces": namespaces,
        "expiring": expiring, "large": chunked, "loose_chunks": survey.loose_chunks,
    });
    tell(global, &value, &text)?;
    Ok(0)
}
