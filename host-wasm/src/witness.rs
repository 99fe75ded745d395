//! Witnesses of the log: others who keep its last checkpoint and sign each newer one that goes on from it (C2SP
//! tlog-witness, `add-checkpoint`). What they have signed nobody can take back, not even with the machine's key and
//! all of its files; and they tell when the whole state folder is an old copy.
//!
//! `witness.toml` in the state folder names them; `witnessed` beside it is the last checkpoint that each signed, with
//! their signatures. A witness that cannot be reached stops nothing: that is said, and the system goes on.

use crate::problem::{Problem, status};
use crate::progress::Progress;
use axiom::note::{Checkpoint, Cosigned, VerifierKey, WitnessKey};
use axiom::tree::root_of;
use log_store::folder::{DiskFolder, read_file};
use log_store::prove::Prover;
pub use log_store::witness::Answer;
use log_store::witness::{Submission, notes, only_of};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Name of the file that names the witnesses.
pub const CONFIG: &str = "witness.toml";
/// Name of the file with the last checkpoint that each witness signed: notes one after the other, the newest first.
pub const WITNESSED: &str = "witnessed";
/// A witness has so long to answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const MOST: u64 = 64 << 10;
/// Seconds between two submissions while a system runs, where the file does not say.
const EVERY: u64 = 60;

/// One witness.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The submission prefix: `add-checkpoint` is below it.
    pub url: String,
    /// Its key.
    pub key: WitnessKey,
}

/// The witnesses of the log in a state folder.
#[derive(Clone, Debug)]
pub struct Witnesses {
    folder: PathBuf,
    /// None: everything here does nothing.
    pub all: Vec<Witness>,
    every: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    every: Option<u64>,
    #[serde(default)]
    witness: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    url: String,
    key: String,
}

/// What came of a submission.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The blocks of the checkpoint.
    pub size: u64,
    /// Each witness and its answer.
    pub answers: Vec<(Witness, Answer)>,
}

impl Submitted {
    /// That a witness has seen more than there is, or something else.
    pub fn contradiction(&self) -> Option<Problem> {
        self.answers.iter().find_map(|answer| self.contradicts(answer))
    }

    fn contradicts(&self, (witness, answer): &(Witness, Answer)) -> Option<Problem> {
        let size = self.size;
        let cause = match answer {
            Answer::Older(theirs) => format!(
                "the log is older than what was witnessed: it has {size} blocks, and witness {} has signed {theirs}; the state folder is an old copy, or its end was removed",
                witness.key.name()
            ),
            Answer::Forked(theirs) => format!(
                "the log is not the one that was witnessed: its first blocks are not the {theirs} that witness {} has signed",
                witness.key.name()
            ),
            _ => return None,
        };
        Some(Problem::new(status::LOG, cause, PUT_BACK))
    }

    /// Of the witnesses that did not sign, who and why.
    pub fn missing(&self) -> Vec<String> {
        self.answers.iter().filter_map(|answer| self.misses(answer)).collect()
    }

    fn misses(&self, (witness, answer): &(Witness, Answer)) -> Option<String> {
        match answer {
            Answer::Refused(why) => {
                Some(format!("witness {} at {} does not sign: {why}", witness.key.name(), witness.url))
            }
            Answer::Unreachable(why) => {
                Some(format!("witness {} at {} cannot be reached: {why}", witness.key.name(), witness.url))
            }
            _ => None,
        }
    }
}

const PUT_BACK: &str = "put the newest copy of the whole state folder back. Or begin another log: move machine.key away, start with --new-log, and tell the witness the new key";

impl Witnesses {
    /// Those that the state folder names; none where there is no file.
    pub fn load(folder: &Path) -> Result<Witnesses, Problem> {
        let path = folder.join(CONFIG);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| Problem::file(&path, &error))?,
        };
        let wrong = |what: String| {
            Problem::new(
                status::LOG,
                format!("{}: {what}", path.display()),
                "correct the file, or remove it and name the witnesses again: `orbital log witness add URL VKEY`",
            )
        };
        let config: Config = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        let mut all: Vec<Witness> = Vec::new();
        for Entry { url, key } in config.witness {
            let key = WitnessKey::from_text(&key)
                .ok_or_else(|| wrong(format!("{key} is no key of a witness (a vkey of type 4: name+id+key)")))?;
            if !is_url(&url) {
                return Err(wrong(format!("{url} is no address: it must begin with http:// or https://")));
            }
            if all.iter().any(|other| other.key == key) {
                return Err(wrong(format!("witness {} is named twice", key.name())));
            }
            all.push(Witness { url, key });
        }
        let every = Duration::from_secs(config.every.unwrap_or(EVERY).max(1));
        Ok(Witnesses { folder: folder.to_path_buf(), all, every })
    }

    /// Names one more, for good.
    pub fn add(folder: &Path, url: &str, key: &WitnessKey) -> Result<(), Problem> {
        let path = folder.join(CONFIG);
        if Witnesses::load(folder)?.all.iter().any(|there| there.key == *key) {
            let cause = format!("{}: witness {} is there already", path.display(), key.name());
            return Err(Problem::new(status::USAGE, cause, "change its address in the file"));
        }
        if !is_url(url) {
            let cause = format!("{url:?} is no address of a witness");
            return Err(Problem::new(status::USAGE, cause, "it must begin with http:// or https://"));
        }
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        // A writer to a string does not fail.
        let _ = writeln!(text, "[[witness]]\nurl = {url:?}\nkey = {:?}", key.to_text());
        replace(&path, text.as_bytes())
    }

    /// Their keys.
    pub fn keys(&self) -> Vec<WitnessKey> {
        self.all.iter().map(|witness| witness.key.clone()).collect()
    }

    /// The last checkpoints that witnesses signed, as they lie there, the newest first.
    pub fn witnessed(&self) -> Result<Vec<Vec<u8>>, Problem> {
        let path = self.folder.join(WITNESSED);
        match read_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            file => file.map(|file| notes(&file)).map_err(|error| Problem::file(&path, &error)),
        }
    }

    /// Checks what witnesses have signed against the log, of which the rest is checked: every line is a known
    /// witness's, and the tree had that root. Gives what it says, if there is something.
    pub fn check(&self, key: &VerifierKey) -> Result<Option<String>, Problem> {
        let path = self.folder.join(WITNESSED);
        let wrong = |what: String| {
            let cause = format!("{}: {what}", path.display());
            Problem::new(status::LOG, cause, "`orbital log witness submit` gets a new one; find out who changed it")
        };
        let folder = self.log();
        let mut signed = Vec::new();
        for note in self.witnessed()? {
            let said = key.check_cosigned(&note, &self.keys()).map_err(|error| wrong(error.to_string()))?;
            if let Some(line) = said.cosignatures.iter().find(|line| line.time.is_none()) {
                return Err(wrong(format!("the key of witness {} is not in {CONFIG}", line.witness)));
            }
            let prover = Prover::new(&folder, key, None, &[])?;
            let Checkpoint { size, root } = said.checkpoint;
            if size > prover.published().size {
                return Err(wrong(format!(
                    "{size} blocks were witnessed, and the log has {}",
                    prover.published().size
                )));
            }
            if prover.root(size)? != root {
                return Err(wrong(format!("the log had another root when it had {size} blocks")));
            }
            let names: Vec<&str> = said.cosignatures.iter().map(|line| line.witness.as_str()).collect();
            signed.push(format!("{} signed {size} blocks", names.join(", ")));
        }
        Ok((!signed.is_empty()).then(|| signed.join("; ")))
    }

    fn log(&self) -> DiskFolder {
        DiskFolder::new(self.folder.join("log"))
    }

    /// Sends the newest checkpoint to every witness, and keeps what they sign.
    pub fn submit(&self) -> Result<Submitted, Problem> {
        let mut attempts = 3;
        loop {
            let before = read_file(&self.folder.join("log/checkpoint")).ok();
            let result = self.attempt();
            attempts -= 1;
            let done = result.as_ref().is_ok_and(|submitted| submitted.contradiction().is_none());
            // A machine that runs goes on publishing, and submits itself.
            if done || attempts == 0 || read_file(&self.folder.join("log/checkpoint")).ok() == before {
                return result;
            }
        }
    }

    fn attempt(&self) -> Result<Submitted, Problem> {
        let key_path = self.folder.join("machine.key");
        let Some(machine) = log_store::key::load(&key_path)? else {
            return Ok(Submitted { size: 0, answers: Vec::new() });
        };
        let key = machine.verifier();
        let folder = self.log();
        let note = match read_file(&self.folder.join("log/checkpoint")) {
            // A log that is not there yet is one without blocks.
            Err(error) if error.kind() == ErrorKind::NotFound => machine.sign(0, &root_of(&[])).into_bytes(),
            note => note.map_err(|error| Problem::file(&self.folder.join("log/checkpoint"), &error))?,
        };
        let checkpoint = key.check(&note).map_err(|error| {
            let next = "`orbital log verify` says what is wrong with the log";
            Problem::new(status::LOG, format!("{}: {error}", self.folder.join("log/checkpoint").display()), next)
        })?;
        let prover = if checkpoint.size > 0 { Some(Prover::new(&folder, &key, None, &[])?) } else { None };
        let kept = self.witnessed()?;
        let seen: Vec<Cosigned> = kept.iter().filter_map(|note| key.check_cosigned(note, &self.keys()).ok()).collect();
        let agent = agent();
        let mut answers = Vec::new();
        for witness in &self.all {
            let signed = |note: &&Cosigned| note.cosignatures.iter().any(|line| line.witness == witness.key.name());
            let old = seen.iter().find(signed).map_or(0, |note| note.checkpoint.size);
            let submission = Submission { key: &witness.key, origin: key.name(), note: &note, checkpoint };
            let prove = |old| match &prover {
                Some(prover) => Ok(prover.consistency(old, None)?.path),
                None => Ok::<_, Problem>(Vec::new()),
            };
            let answer =
                submission.run(old, prove, |body| post(&agent, witness, body).map_err(|error| error.to_string()))?;
            answers.push((witness.clone(), answer));
        }
        let mut witnessed = String::from_utf8_lossy(&note).into_owned();
        let lines = answers.iter().filter_map(|(_, answer)| match answer {
            Answer::Cosigned(line, _) => Some(line.as_str()),
            _ => None,
        });
        let signed = witnessed.len();
        witnessed.extend(lines);
        if witnessed.len() > signed && checkpoint.size > 0 {
            for note in &kept {
                let silent = answers.iter().filter(|(_, answer)| !matches!(answer, Answer::Cosigned(..)));
                witnessed.push_str(&only_of(note, &silent.map(|(witness, _)| witness.key.name()).collect::<Vec<_>>()));
            }
            replace(&self.folder.join(WITNESSED), witnessed.as_bytes())?;
        }
        Ok(Submitted { size: checkpoint.size, answers })
    }

    /// Before a start: refuses where the log is not, or is no longer, what was witnessed. Who cannot be asked
    /// is named.
    pub fn check_at_start(&self, progress: &Progress) -> Result<(), Problem> {
        if self.all.is_empty() {
            return Ok(());
        }
        let submitted = self.submit()?;
        for missing in submitted.missing() {
            progress.note(&format!(
                "{missing}; the system starts, and whether the state folder is an old copy is not known"
            ));
        }
        submitted.contradiction().map_or(Ok(()), Err)
    }

    /// Submits while a system runs, until [`Watch::stop`]. That a witness signs no more is told when it happens, once, and when it
    /// signs again.
    pub fn watch(self, progress: Progress) -> std::io::Result<Watch> {
        let (stop, stopped) = mpsc::channel();
        let every = self.every;
        let thread = std::thread::Builder::new().name("witness".into()).spawn(move || {
            if self.all.is_empty() {
                return None;
            }
            let mut failing = Failing::default();
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                failing.news(&self.submit()).iter().for_each(|news| progress.note(news));
            }
            Some(self.submit())
        })?;
        Ok(Watch { stop, thread })
    }
}

/// Who does not sign while a system runs, by name; nobody's name stands for the submission itself.
#[derive(Default)]
struct Failing(BTreeSet<String>);

impl Failing {
    /// What is to be said of this submission that was not said of those before.
    fn news(&mut self, submission: &Result<Submitted, Problem>) -> Vec<String> {
        let all = match submission {
            Ok(submitted) => {
                let of = |answer: &(Witness, Answer)| {
                    let told = submitted.misses(answer).or(submitted.contradicts(answer).map(|told| told.to_string()));
                    (answer.0.key.name().to_owned(), told)
                };
                [(String::new(), None)].into_iter().chain(submitted.answers.iter().map(of)).collect()
            }
            Err(problem) => vec![(String::new(), Some(format!("the log is not witnessed just now: {problem}")))],
        };
        let mut news = Vec::new();
        for (name, told) in all {
            match told {
                Some(told) if self.0.insert(name.clone()) => news.push(told),
                None if self.0.remove(&name) && !name.is_empty() => news.push(format!("witness {name} signs again")),
                _ => {}
            }
        }
        news
    }
}

/// The thread that submits while a system runs.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Option<Result<Submitted, Problem>>>,
}

impl Watch {
    /// Submits the last checkpoint, and says where that was not signed.
    pub fn stop(self, progress: &Progress) {
        drop(self.stop);
        let Ok(Some(last)) = self.thread.join() else { return };
        match last {
            Ok(submitted) => {
                for missing in submitted.missing() {
                    progress.note(&format!("{missing}; the end of this run is not witnessed yet: `orbital log witness submit` does it later"));
                }
                if let Some(problem) = submitted.contradiction() {
                    progress.note(&problem.to_string());
                }
            }
            Err(problem) => progress.note(&format!("the end of this run is not witnessed: {problem}")),
        }
    }
}

/// Sends what is to be said to a witness; gives status and body of its answer.
fn post(agent: &ureq::Agent, witness: &Witness, body: &str) -> Result<(u16, String), ureq::Error> {
    let url = format!("{}/add-checkpoint", witness.url.trim_end_matches('/'));
    let mut response = agent.post(&url).content_type("text/plain; charset=utf-8").send(body)?;
    let text = response.body_mut().with_config().limit(MOST).read_to_string()?;
    Ok((response.status().as_u16(), text))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .build()
        .into()
}

fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()))
}

/// Puts a whole file in place, so that after a crash the old or the new is there.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|error| Problem::file(path, &error))
}
