//! `orbital log diff A B`: whether two logs say alike what each process did: what it changed in who may do what, and
//! what it sent to whom. That is what two hosts, or two runs of the same, have in common; when who ran, and which
//! numbers things have, they need not.
//!
//! So things are named by who made them: the second endpoint that init made is `init's endpoint 2` in every log.

use crate::boots::{PLATFORM, boot_of, boots, not_told};
use crate::commands::{Format, open, put};
use crate::error::Error;
use crate::folder::Folder;
use crate::segments::{Go, walk_covered};
use abi::{Kind, Number};
use axiom::Wrong;
use axiom::block::{Entry, Step};
use axiom::commit::{Class, CommitRef};
use axiom::record::{Ending, NONE, Op};
use axiom::replay::Replay;
use axiom::words::{rights_in_words, tag_in_words};
use kernel::commit::{Authority, Change};
use kernel::{CapabilityId, Kernel, Object, ProcessId, ThreadId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// One side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side {
    /// A state folder, or an image.
    pub log: PathBuf,
    /// Only these records.
    pub records: Option<RangeInclusive<u64>>,
}

/// Something that a process did, and in which record.
type Done = (u64, String);

/// What one process did.
#[derive(Default)]
struct Deeds {
    authority: Vec<Done>,
    messages: Vec<Done>,
}

/// Follows a log and names things by who made them.
struct Names {
    replay: Replay,
    /// Processes by number: name, and which of that name it is.
    processes: BTreeMap<u32, String>,
    objects: BTreeMap<Object, String>,
    /// How many of that name, or of that kind by that maker, there were.
    counts: BTreeMap<String, u32>,
}

impl Names {
    fn kernel(&self) -> &Kernel {
        self.replay.kernel()
    }

    fn process(&self, process: Option<ProcessId>) -> String {
        let named = process.and_then(|process| self.processes.get(&process.0));
        named.cloned().unwrap_or_else(|| "host".into())
    }

    fn count(&mut self, what: &str) -> u32 {
        let count = self.counts.entry(what.to_owned()).or_insert(0);
        *count += 1;
        *count
    }

    fn object(&self, object: Object) -> String {
        let name = self.kernel().object_name(object);
        match self.objects.get(&object) {
            Some(named) if object.kind == Kind::Process => named.clone(),
            _ if !name.as_str().is_empty() => format!("{} {name}", object.kind.name()),
            Some(named) => named.clone(),
            None => object.kind.name().to_owned(),
        }
    }

    fn capability(&self, capability: CapabilityId) -> String {
        match self.kernel().capability(capability) {
            Some(info) => {
                let badge = if info.badge == 0 { String::new() } else { format!(" by badge {:#x}", info.badge) };
                let object = self.object(Object { kind: info.kind, index: info.object });
                format!("{object}{badge} ({})", rights_in_words(info.rights))
            }
            None => "a capability".into(),
        }
    }

    /// Gives what a commit has made its name.
    fn note(&mut self, change: &Authority, maker: &str) {
        use Authority::*;
        let (object, name): (Object, _) = match *change {
            ProcessCreated { process, name, .. } => {
                let number = self.count(&format!("process {name}"));
                let named = if number == 1 { name.to_string() } else { format!("{name} ({number})") };
                self.processes.insert(process.0, named.clone());
                self.objects.insert(process.into(), format!("process {named}"));
                return;
            }
            QuotaCreated { quota, .. } => (quota.into(), "quota"),
            EndpointCreated { endpoint, .. } => (endpoint.into(), "endpoint"),
            NotificationCreated { notification, .. } => (notification.into(), "notification"),
            ThreadCreated { thread, .. } | ProcessStarted { thread, .. } => (thread.into(), "thread"),
            RegionCreated { region, .. } => (region.into(), "region"),
            _ => return,
        };
        let kind = format!("{maker}'s {name}");
        let number = self.count(&kind);
        self.objects.insert(object, format!("{kind} {number}"));
    }

    /// A change in words that have no number in them that another log could have otherwise.
    fn in_words(&self, change: &Authority) -> String {
        use Authority::*;
        let object = |object: Object| self.object(object);
        match *change {
            QuotaCreated { quota, memory, pages, .. } => {
                format!("made {} of {memory} bytes and {pages} pages", object(quota.into()))
            }
            EndpointCreated { endpoint, depth, .. } => format!("made {}, depth {depth}", object(endpoint.into())),
            NotificationCreated { notification, .. } => format!("made {}", object(notification.into())),
            ProcessCreated { process, image, .. } => {
                format!("made {} from {}", object(process.into()), object(image.into()))
            }
            ProcessStarted { process, .. } => format!("started {}", object(process.into())),
            ThreadCreated { thread, .. } => format!("made {}", object(thread.into())),
            RegionCreated { region, pages, .. } => format!("made {} of {pages} pages", object(region.into())),
            ImageCreated { image, .. } => format!("made {}", object(image.into())),
            DeviceAdded { name, .. } => format!("device {name}"),
            InterruptAdded { name, .. } => format!("interrupt {name}"),
            LogAdded { .. } => "the log".into(),
            Derived { source, place, rights, badge, arrival, .. } => format!(
                "{} {} {}{} from {}",
                if arrival.is_some() { "gave with a message to" } else { "derived for" },
                self.process(Some(place.process)),
                rights_in_words(rights),
                if badge == 0 { String::new() } else { format!(", badge {badge:#x},") },
                self.capability(source)
            ),
            Granted { object: kind, index, rights, .. } => {
                format!("first to {}: {}", object(Object { kind, index }), rights_in_words(rights))
            }
            Moved { place, .. } => {
                format!("moved to {}: {}", self.process(Some(place.process)), self.capability(place.capability))
            }
            Deleted { capability } => format!("dropped {}", self.capability(capability)),
            Revoked { capability } => format!("revoked what came from {}", self.capability(capability)),
            Destroyed { object: kind, index } => format!("destroyed {}", object(Object { kind, index })),
            Exited { process, reason, code } => format!("{} ended: {reason:?}, code {code}", object(process.into())),
            ThreadExited { thread } => format!("{} ended", object(thread.into())),
            ExitRead { process } => format!("read the end of {}", object(process.into())),
            Limited { process, limits } => format!("limits of {}: {limits:?}", object(process.into())),
            Grown { process, .. } => format!("more pages for {}", object(process.into())),
            Mapped { capability, rights, .. } => {
                format!("mapped {} ({})", self.capability(capability), rights_in_words(rights))
            }
            Unmapped { .. } => "unmapped a region".into(),
            CaptureBegan { endpoint, .. } => format!("captures what goes through {}", object(endpoint.into())),
            CaptureEnded { endpoint, .. } => {
                format!("captures no longer what goes through {}", object(endpoint.into()))
            }
        }
    }

    /// What was asked of whom.
    fn message(&self, entry: &Entry, caller: Option<ProcessId>) -> Option<String> {
        let Op::Call(number @ (Number::Call | Number::Send)) = entry.record.op else { return None };
        let slot = Some(entry.record.slot).filter(|&slot| slot != NONE);
        let info = caller.zip(slot).and_then(|(caller, slot)| self.kernel().capability_at(caller, slot));
        let to = info.map_or_else(|| "nothing".into(), |info| self.capability(CapabilityId(info.capability)));
        let refused = match entry.record.ending {
            Ending::Refused(error) => format!(": refused, {error}"),
            _ => String::new(),
        };
        Some(format!("{} {to}, {}{refused}", number.name(), tag_in_words(entry.record.tag)))
    }
}

/// What each process did.
fn deeds(side: &Side) -> Result<BTreeMap<String, Deeds>, Error> {
    let folder = open(&side.log)?;
    let boots = boots(&folder)?;
    let all = 0..=boots.last().map_or(0, |boot| boot.last);
    let records = side.records.clone().unwrap_or(all);
    let first = boot_of(&boots, *records.start())?;
    boot_of(&boots, *records.end())?;
    follow(&folder, first.block, &records)
}

fn follow(folder: &impl Folder, first: u64, records: &RangeInclusive<u64>) -> Result<BTreeMap<String, Deeds>, Error> {
    let (processes, objects, counts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut names = Names { replay: Replay::new(PLATFORM), processes, objects, counts };
    let mut deeds: BTreeMap<String, Deeds> = BTreeMap::new();
    walk_covered(folder, first, |block| {
        if block.header.first_record > *records.end() {
            return Ok(Go::Stop);
        }
        names.replay.begin(block);
        if block.header.has(axiom::header::BOOT) {
            // A boot names its own.
            names.processes.clear();
            names.objects.clear();
        }
        let (mut who, mut number) = ("host".to_owned(), block.header.first_record);
        for step in block.steps() {
            match step.map_err(|wrong| not_told(block, wrong))? {
                Step::Input(entry) => {
                    let caller = names.kernel().owner_of(ThreadId(entry.record.thread));
                    (who, number) = (names.process(caller), entry.number);
                    if let Some(message) = names.message(&entry, caller).filter(|_| records.contains(&number)) {
                        let messages = &mut deeds.entry(who.clone()).or_default().messages;
                        // Who asks until the answer is another asks once.
                        if messages.last().is_none_or(|(_, last)| *last != message) {
                            messages.push((number, message));
                        }
                    }
                }
                Step::Commit(class, commit) => {
                    let done =
                        apply(&mut names, class, &commit, number, &who).map_err(|wrong| not_told(block, wrong))?;
                    if let Some(done) = done.filter(|_| records.contains(&number)) {
                        deeds.entry(who.clone()).or_default().authority.push((number, done));
                    }
                }
            }
        }
        Ok(Go::On)
    })?;
    Ok(deeds)
}

/// Applies a commit; of authority, gives it in words.
fn apply(
    names: &mut Names,
    class: Class,
    commit: &CommitRef<'_>,
    number: u64,
    who: &str,
) -> Result<Option<String>, Wrong> {
    let Some(Change::Authority(change)) = commit.to_kernel().map(|commit| commit.change) else {
        names.replay.commit(class, commit, number)?;
        return Ok(None);
    };
    names.note(&change, who);
    // What goes is named before it goes, what comes after it has come.
    let before = names.in_words(&change);
    names.replay.commit(class, commit, number)?;
    Ok(Some(if commit.kind < 0x10 { names.in_words(&change) } else { before }))
}

/// A place, and what each has there.
type Difference<'a> = (usize, Option<&'a Done>, Option<&'a Done>);

/// The first place in which two lists differ.
fn first_difference<'a>(a: &'a [Done], b: &'a [Done]) -> Option<Difference<'a>> {
    (0..a.len().max(b.len()))
        .map(|place| (place, a.get(place), b.get(place)))
        .find(|(_, a, b)| a.map(|(_, text)| text) != b.map(|(_, text)| text))
}

/// Whether two logs say the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They do.
    Same,
    /// They do not.
    Different,
}

/// `orbital log diff A B`.
pub fn diff(a: &Side, b: &Side, format: Format, out: &mut dyn Write) -> Result<Verdict, Error> {
    let (of_a, of_b) = (deeds(a)?, deeds(b)?);
    let nothing = Deeds::default();
    let names: BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let mut different = 0;
    for &name in &names {
        let (a, b) = (of_a.get(name).unwrap_or(&nothing), of_b.get(name).unwrap_or(&nothing));
        let authority = first_difference(&a.authority, &b.authority).map(|found| ("authority", found));
        let messages = first_difference(&a.messages, &b.messages).map(|found| ("messages", found));
        different += u32::from(authority.or(messages).is_some());
        match format {
            Format::Text => {
                let counts = format!("{} changes of authority, {} messages", a.authority.len(), a.messages.len());
                if authority.or(messages).is_none() {
                    put(out, format_args!("{name}: the same, {counts}"))?;
                    continue;
                }
                for (what, (place, a, b)) in [authority, messages].into_iter().flatten() {
                    put(out, format_args!("{name}: {what} differ at number {}", place + 1))?;
                    for (side, done) in [("A", a), ("B", b)] {
                        match done {
                            Some((record, text)) => put(out, format_args!("  {side}, record {record}: {text}"))?,
                            None => put(out, format_args!("  {side}: no more"))?,
                        }
                    }
                }
            }
            Format::Json => {
                let side = |done: Option<&Done>| {
                    done.map_or(Value::Null, |(record, text)| json!({ "record": record, "text": text }))
                };
                let found = |found: Option<(&str, Difference<'_>)>| {
                    found.map_or(
                        Value::Null,
                        |(_, (place, a, b))| json!({ "number": place + 1, "a": side(a), "b": side(b) }),
                    )
                };
                let line = json!({
                    "process": name, "same": authority.or(messages).is_none(),
                    "authority": { "a": a.authority.len(), "b": b.authority.len(), "first": found(authority) },
                    "messages": { "a": a.messages.len(), "b": b.messages.len(), "first": found(messages) },
                });
                put(out, format_args!("{line}"))?;
            }
        }
    }
    let verdict = if different == 0 { Verdict::Same } else { Verdict::Different };
    match (format, verdict) {
        (Format::Text, Verdict::Same) => put(out, format_args!("All {} processes did the same.", names.len()))?,
        (Format::Text, Verdict::Different) => {
            put(out, format_args!("{different} of {} processes did something else.", names.len()))?;
        }
        (Format::Json, _) => {
            put(
                out,
                format_args!(
                    "{}",
                    json!({ "same": verdict == Verdict::Same, "processes": names.len(), "different": different })
                ),
            )?;
        }
    }
    Ok(verdict)
}

impl Side {
    /// A path, or the numbers of records of `own` as `10..20`.
    pub fn named(text: &str, own: &Path) -> Result<Side, Error> {
        let number = |text: &str| text.parse::<u64>().ok();
        let range = text.split_once("..").and_then(|(from, to)| Some((number(from)?, number(to)?)));
        match range {
            Some((from, to)) if from <= to => Ok(Side { log: own.to_owned(), records: Some(from..=to) }),
            Some((from, to)) => Err(Error::absent(
                format!("no record lies between {from} and {to}"),
                "Write the smaller number first, as 10..20.",
            )),
            None => Ok(Side { log: PathBuf::from(text), records: None }),
        }
    }
}
