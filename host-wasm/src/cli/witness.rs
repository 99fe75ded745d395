//! `orbital log witness`: who signs what the log had, and sending it to them now.

use super::{Global, Output};
use crate::problem::{Problem, status};
use crate::witness::{Answer, Witnesses};
use axiom::note::{VerifierKey, WitnessKey};
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Of `orbital log witness`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[expect(clippy::large_enum_variant, reason = "there is one, made once")]
#[derive(Subcommand)]
enum Verb {
    /// Name a witness (C2SP tlog-witness) of this system's log
    Add {
        /// Its address, without add-checkpoint: http://... or https://...
        #[arg(value_name = "URL")]
        url: String,
        /// Its key, as its operator gives it: a vkey for cosignature/v1
        #[arg(value_name = "VKEY", value_parser = vkey)]
        key: WitnessKey,
    },
    /// Send the newest checkpoint to every witness now; a running system does it every minute and at its end
    Submit,
}

/// A witness's key.
pub fn vkey(text: &str) -> Result<WitnessKey, String> {
    WitnessKey::from_text(text.trim())
        .ok_or_else(|| "it must be a witness's verifier key for cosignature/v1: name+id+key, of type 4".to_owned())
}

/// Carries the command out.
pub fn run(global: &Global, state: &Path, arguments: Arguments) -> Result<u8, Problem> {
    if !state.is_dir() {
        let cause = format!("{}: there is no system", state.display());
        return Err(Problem::new(status::NO_INPUT, cause, "start it once, or name its folder with --state DIR"));
    }
    match arguments.verb {
        Verb::Add { url, key } => Witnesses::add(state, &url, &key).map(|()| 0),
        Verb::Submit => submit(global, state),
    }
}

fn submit(global: &Global, state: &Path) -> Result<u8, Problem> {
    let witnesses = Witnesses::load(state)?;
    if witnesses.all.is_empty() {
        let cause = format!("{}: no witness is named", state.join(crate::witness::CONFIG).display());
        return Err(Problem::new(status::NO_INPUT, cause, "name one: orbital log witness add URL VKEY"));
    }
    let submitted = witnesses.submit()?;
    let mut out = std::io::stdout().lock();
    for (witness, answer) in &submitted.answers {
        let Answer::Cosigned(_, time) = answer else { continue };
        let (name, size) = (witness.key.name(), submitted.size);
        super::written(match global.output {
            Output::Text => writeln!(out, "{name} has signed {size} blocks."),
            Output::Json => writeln!(out, "{}", json!({ "witness": name, "size": size, "time": time })),
        })?;
    }
    if let Some(problem) = submitted.contradiction() {
        return Err(problem);
    }
    match submitted.missing().into_iter().next() {
        None => Ok(0),
        Some(missing) => {
            Err(Problem::new(status::UNAVAILABLE, missing, "see that it runs and knows this log, then repeat it"))
        }
    }
}

/// After the log itself was verified: what was witnessed is the beginning of it, and no witness has seen more.
/// Who cannot be asked is named.
pub fn check(global: &Global, state: &Path, key: Option<&VerifierKey>) -> Result<(), Problem> {
    let witnesses = Witnesses::load(state)?;
    let key = match key {
        Some(key) => key.clone(),
        None => match log_store::key::load(&state.join("machine.key"))? {
            Some(key) => key.verifier(),
            None => return Ok(()),
        },
    };
    if let Some(said) = witnesses.check(&key)? {
        global.progress().note(&format!("witnessed: {said}"));
    }
    if witnesses.all.is_empty() {
        return Ok(());
    }
    let submitted = witnesses.submit()?;
    for missing in submitted.missing() {
        global.progress().note(&format!("{missing}; whether the state folder is an old copy is not known"));
    }
    submitted.contradiction().map_or(Ok(()), Err)
}
