//! What stands behind `orbital log prove` and `check-proof`: what an outsider is given, and how it is checked.

use crate::commands::{Format, hex, open, put, verifier};
use crate::error::{Error, Kind};
use crate::folder::read_small;
use crate::prove::{Inclusion, Proof, Prover, Refused};
use axiom::block::{Block, MAX_FRAME, Step};
use axiom::header::Body;
use axiom::note::{Cosigned, VerifierKey, WitnessKey};
use axiom::record::{Ending, NONE};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Whose signatures count, and what witnesses have signed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The log's key; `None`: the machine's own.
    pub key: Option<VerifierKey>,
    /// Keys of witnesses.
    pub witnesses: Vec<WitnessKey>,
    /// A checkpoint with their cosignatures.
    pub cosigned: Option<Vec<u8>>,
    /// A checkpoint of this log that someone kept, to prove the way to.
    pub kept: Option<Vec<u8>>,
}

/// `orbital log prove RECORD [--to DIR]`: writes the proof of one record into a folder: the `.tlog-proof`, which is
/// all that is needed, and its parts for those who want to look with b3sum.
pub fn prove_record(
    state: &Path,
    trust: &Trust,
    record: u64,
    to: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let folder = open(state)?;
    let key = verifier(state, trust.key.as_ref())?;
    let proof = Prover::new(&folder, &key, trust.cosigned.clone(), &trust.witnesses)?.inclusion(record)?;
    let cosigned = proof.check(&key, &trust.witnesses).map_err(|refused| {
        Error::new(format!("the proof of record {record}: {refused}"), "`orbital log verify` says what is wrong.")
    })?;
    let block = proof.block().map_err(|refused| Error::new(refused.to_string(), "`orbital log verify` says more."))?;
    let header = block.header;
    let files = write_proof(record, &proof, &block, &key, to)?;
    match format {
        Format::Text => {
            put(
                out,
                format_args!("Record {record} is number {} in block {}.", record - header.first_record, header.number),
            )?;
            files.iter().try_for_each(|file| put(out, format_args!("  {}", file.display())))?;
            put(
                out,
                format_args!("The first of these files is the proof; who has the key and `orbital` checks it with"),
            )?;
            put(
                out,
                format_args!(
                    "  orbital log check-proof {} --record {record} --key {}",
                    files[0].display(),
                    key.to_text()
                ),
            )?;
            put(
                out,
                format_args!("and anyone with a tlog verifier and b3sum: b3sum of each body is what the header has,"),
            )?;
            for (body, _) in bodies(&block) {
                let (name, at, hash) = (body.name(), 94 + 32 * body as usize, hex(&header.bodies[body as usize]));
                put(out, format_args!("  {name} at byte {at} of the header: {hash}"))?;
            }
            put(out, format_args!("and the header is the leaf that the proof proves."))?;
            say_cosigned(&cosigned, out)
        }
        Format::Json => put(
            out,
            format_args!(
                "{}",
                json!({
                    "record": record, "block": header.number, "index": record - header.first_record,
                    "files": files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(), "key": key.to_text(),
                    "bodies": bodies(&block).map(|(body, _)| (body.name().to_owned(), Value::from(hex(&header.bodies[body as usize])))).collect::<serde_json::Map<_, _>>(),
                    "cosignatures": cosignatures(&cosigned),
                })
            ),
        ),
    }
}

/// `orbital log prove --consistency OLD [NEW]`: writes the proof that the first blocks are the beginning of the log.
pub fn prove_consistency(
    state: &Path,
    trust: &Trust,
    (old, new): (u64, Option<u64>),
    to: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let folder = open(state)?;
    let key = verifier(state, trust.key.as_ref())?;
    let mut prover = Prover::new(&folder, &key, trust.cosigned.clone(), &trust.witnesses)?;
    if let Some(kept) = &trust.kept {
        prover.keep(kept.clone(), &key, &trust.witnesses)?;
    }
    let proof = prover.consistency(old, new)?;
    let checkpoint = key.check_cosigned(&proof.checkpoint, &trust.witnesses);
    let new = checkpoint.map(|cosigned| cosigned.checkpoint.size).unwrap_or_default();
    let root = hex(&prover.root(old)?);
    make_folder(to)?;
    let path = to.join(format!("consistency-{old}-{new}.proof"));
    std::fs::write(&path, Proof::Consistency(proof).to_text()).map_err(|error| failed(&path, error))?;
    let file = path.display();
    match format {
        Format::Text => {
            put(out, format_args!("  {file}"))?;
            put(
                out,
                format_args!(
                    "The first {old} blocks, root {root}, are the beginning of the {new} that the checkpoint covers."
                ),
            )?;
            put(out, format_args!("Who kept a checkpoint of {old} blocks checks it with"))?;
            put(out, format_args!("  orbital log check-proof {file} --old CHECKPOINT --key {}", key.to_text()))
        }
        Format::Json => put(
            out,
            format_args!(
                "{}",
                json!({ "old": old, "new": new, "root": root, "files": [file.to_string()], "key": key.to_text() })
            ),
        ),
    }
}

/// The most bytes of a proof's file: a frame in base64, hashes and a checkpoint.
pub const MAX_PROOF: u64 = 86 << 20;
const _: () = assert!((MAX_FRAME.div_ceil(3) * 4) as u64 + 2 * MAX_CHECKPOINT <= MAX_PROOF);
/// The most bytes of a checkpoint that someone kept: a signed note with a few signatures.
pub const MAX_CHECKPOINT: u64 = 64 << 10;

/// What `check-proof` is given beside the proof.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The record that is to be told.
    pub record: Option<u64>,
    /// The checkpoint that was kept, of a proof of consistency.
    pub old: Option<PathBuf>,
}

/// `orbital log check-proof FILE`: checks a proof; nothing but the file and the keys is needed.
pub fn check_proof(
    state: Option<&Path>,
    file: &Path,
    trust: &Trust,
    claim: &Claim,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let key = match (&trust.key, state) {
        (Some(key), _) => key.clone(),
        (None, Some(state)) => verifier(state, None)?,
        (None, None) => {
            return Err(Error::absent("there is no key to check with", "Give the log's verifier key with --key."));
        }
    };
    let refuse = |refused: Refused| Error::new(format!("{}: {refused}", file.display()), REFUSED);
    let other = |what: &str, next: &str| Error::new(format!("{}: {what}", file.display()), next);
    let bytes = read_file(file, MAX_PROOF, "a proof can be, 86 MiB")?;
    let text = String::from_utf8(bytes).map_err(|_| refuse(Refused::Malformed("it is no text")))?;
    let (cosigned, what, told) = match Proof::from_text(&text).map_err(refuse)? {
        Proof::Inclusion(_) if claim.old.is_some() => {
            return Err(other(
                "it is the proof of a record, which does not say that an older log is the beginning of this one",
                "Ask for what `orbital log prove --consistency` writes; or leave out --old, and the record's proof is checked.",
            ));
        }
        Proof::Consistency(_) if claim.record.is_some() => {
            return Err(other(
                "it is a proof of consistency, which does not tell a record",
                "Ask for what `orbital log prove RECORD` writes; or leave out --record, and the proof of consistency is checked.",
            ));
        }
        Proof::Inclusion(proof) => {
            let cosigned = proof.check(&key, &trust.witnesses).map_err(refuse)?;
            let block = proof.block().map_err(refuse)?;
            let header = block.header;
            let last = header.first_record + u64::from(header.records) - 1;
            let what = format!("block {}, records {} to {last}, is in the log", header.number, header.first_record);
            let told = match claim.record {
                None => None,
                Some(record) => Some(tell(&block, record).ok_or_else(|| {
                    let cause = format!("{}: record {record} is not told in block {}", file.display(), header.number);
                    Error::absent(cause, format!("Name one of {first} to {last}; of a trimmed block only those that changed authority are left.", first = header.first_record))
                })?),
            };
            (cosigned, what, told)
        }
        Proof::Consistency(proof) => {
            let old = claim.old.as_ref().ok_or_else(|| {
                Error::absent(
                    format!("{}: it says that the log of {} blocks was only added to", file.display(), proof.old),
                    "Give the checkpoint of that size that you kept, with --old FILE.",
                )
            })?;
            let kept = read_file(old, MAX_CHECKPOINT, "a checkpoint can be, 64 KiB")?;
            let cosigned = proof.check(&kept, &key, &trust.witnesses).map_err(refuse)?;
            (cosigned, format!("the first {} blocks are the beginning of the log", proof.old), None)
        }
    };
    let size = cosigned.checkpoint.size;
    match format {
        Format::Text => {
            put(out, format_args!("The proof holds: {what} {} of {size} blocks.", key.name()))?;
            told.iter().try_for_each(|record| put(out, format_args!("{record}")))?;
            say_cosigned(&cosigned, out)
        }
        Format::Json => put(
            out,
            format_args!(
                "{}",
                json!({
                    "holds": true, "what": what, "origin": key.name(), "size": size, "root": hex(&cosigned.checkpoint.root),
                    "record": told, "cosignatures": cosignatures(&cosigned),
                })
            ),
        ),
    }
}

const REFUSED: &str = "Do not believe it: ask for another, and check that the key is the log's.";

/// A file, or a pipe, that was named, which may come from a stranger: no more of it is read than `most` bytes.
fn read_file(path: &Path, most: u64, than: &str) -> Result<Vec<u8>, Error> {
    let bytes = read_small(path, most + 1).map_err(|error| Error {
        kind: if error.kind() == std::io::ErrorKind::NotFound { Kind::Absent } else { Kind::Io },
        ..Error::file(path, "cannot be read", error, "Check the path.")
    })?;
    if bytes.len() as u64 > most {
        return Err(Error::new(format!("{}: it is longer than {than}", path.display()), "Name another file."));
    }
    Ok(bytes)
}

/// One record of a block, as it is written there.
fn tell(block: &Block<'_>, record: u64) -> Option<Value> {
    let mut told: Option<Value> = None;
    let mut exact = Vec::new();
    for step in block.steps().filter_map(Result::ok) {
        match step {
            Step::Input(entry) if entry.number == record => {
                let field = |value: u32| (value != NONE).then_some(value);
                let (result, error) = match entry.record.ending {
                    Ending::Refused(error) => ("refused", Some(format!("{error:?}"))),
                    Ending::Done => ("done", None),
                    Ending::Waits => ("waits", None),
                    Ending::Open => ("open", None),
                };
                told = Some(json!({
                    "record": record, "boot": block.header.boot, "ns": entry.time, "call": entry.record.op.name(),
                    "thread": field(entry.record.thread), "slot": field(entry.record.slot), "tag": entry.record.tag,
                    "result": result, "error": error,
                }));
            }
            Step::Input(_) if told.is_some() => break,
            Step::Commit(_, commit) if told.is_some() => exact.extend(commit.told().map(|told| format!("{told:?}"))),
            _ => {}
        }
    }
    let mut told = told?;
    told["exact"] = exact.into();
    Some(told)
}

fn say_cosigned(cosigned: &Cosigned, out: &mut dyn Write) -> Result<(), Error> {
    cosigned.cosignatures.iter().try_for_each(|line| match line.time {
        Some(time) => {
            let time = crate::time::format(time.saturating_mul(1_000_000_000));
            put(out, format_args!("Witness {} saw this checkpoint at {time}, and no larger one before.", line.witness))
        }
        None => {
            put(out, format_args!("A line of witness {} was not checked: give its key with --witness.", line.witness))
        }
    })
}

fn cosignatures(cosigned: &Cosigned) -> Vec<Value> {
    cosigned.cosignatures.iter().map(|line| json!({ "witness": line.witness, "time": line.time })).collect()
}

/// The bodies that are still there.
fn bodies<'a>(block: &Block<'a>) -> impl Iterator<Item = (Body, &'a [u8])> {
    let bodies = block.bodies;
    Body::ALL.into_iter().filter_map(move |body| Some((body, bodies[body as usize]?)))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    // It is not the log that is not what it should be.
    Error { kind: Kind::Io, ..Error::file(path, "cannot be written", error, "Name another folder with --to.") }
}

fn make_folder(to: &Path) -> Result<(), Error> {
    if to.exists() && !to.is_dir() {
        let cause = format!("{}: it is a file, and a proof is written into a folder", to.display());
        return Err(Error { kind: Kind::Io, ..Error::new(cause, "Name a folder with --to.") });
    }
    std::fs::create_dir_all(to).map_err(|error| failed(to, error))
}

fn write_proof(
    record: u64,
    proof: &Inclusion,
    block: &Block<'_>,
    key: &VerifierKey,
    to: &Path,
) -> Result<Vec<PathBuf>, Error> {
    make_folder(to)?;
    let name = |end: &str| to.join(format!("record-{record}.{end}"));
    let mut files = vec![
        (name("tlog-proof"), Proof::Inclusion(proof.clone()).to_text().into_bytes()),
        (name("header"), block.header_bytes.to_vec()),
        (name("vkey"), format!("{}\n", key.to_text()).into_bytes()),
    ];
    files.extend(bodies(block).map(|(body, bytes)| (name(body.name()), bytes.to_vec())));
    for (path, bytes) in &files {
        std::fs::write(path, bytes).map_err(|error| failed(path, error))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}
