//! `orbital caps why PROCESS HANDLE`: where a capability comes from, from grant to grant back to genesis, and what
//! became of it. Authority is never trimmed, so this can be told of every capability that ever was.

use crate::boots::{Boot, PLATFORM, boots, not_told};
use crate::commands::{Format, open, put};
use crate::error::Error;
use crate::folder::Folder;
use crate::segments::{Go, walk_covered};
use crate::state::capability_json;
use abi::{CapabilityInfo, FOREVER, Kind};
use axiom::Wrong;
use axiom::block::{Entry, Step};
use axiom::commit::{Class, CommitRef};
use axiom::record::{NONE, Op};
use axiom::replay::Replay;
use axiom::words::rights_in_words;
use kernel::commit::{Authority, Change, Place};
use kernel::{CapabilityId, Kernel, Object, ProcessId, ThreadId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

/// Which capability.
#[derive(Clone, Debug)]
pub struct Asked {
    /// A process by its name or its number (that of `ps`).
    pub process: String,
    /// Its slot.
    pub slot: u32,
    /// Its generation; `None`: the last that was in the slot.
    pub generation: Option<u32>,
    /// In which boot; `None`: in the last.
    pub boot: Option<u32>,
}

/// A process: its serial, which no other has in a boot, and its name. 0 is the host.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Who {
    serial: u64,
    name: String,
}

impl Who {
    fn of(kernel: &Kernel, process: Option<ProcessId>) -> Who {
        match process.and_then(|process| kernel.process_info(process)) {
            Some(info) => Who { serial: info.serial, name: info.name.to_string() },
            None => Who { serial: 0, name: "the host".into() },
        }
    }

    fn in_words(&self) -> String {
        if self.serial == 0 { self.name.clone() } else { format!("{} (process {})", self.name, self.serial) }
    }
}

/// How someone came to a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// With the object, which its holder made.
    Made,
    /// From the host, before init ran.
    SetUp,
    /// By its holder, from another of its own.
    Derived,
    /// Put into its table before it ran.
    Granted,
    /// With a message.
    Message,
    /// To tell its supervisor.
    Supervisor,
}

impl Way {
    const fn in_words(self) -> &'static str {
        match self {
            Way::Made => "made with its object by",
            Way::SetUp => "given, when the machine was set up, by",
            Way::Derived => "derived by",
            Way::Granted => "granted by",
            Way::Message => "given with a message by",
            Way::Supervisor => "kept to tell the supervisor, by",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Way::Made => "made",
            Way::SetUp => "set-up",
            Way::Derived => "derived",
            Way::Granted => "granted",
            Way::Message => "message",
            Way::Supervisor => "supervisor",
        }
    }
}

/// A capability in a table.
#[derive(Clone, Debug)]
struct Held {
    record: u64,
    holder: Who,
    slot: u32,
    generation: u32,
}

/// The life of one capability.
#[derive(Clone, Debug)]
struct Life {
    info: CapabilityInfo,
    way: Way,
    /// Who gave it, or made it.
    by: Who,
    /// Where it was, the first from its birth on.
    held: Vec<Held>,
    /// Record and call that ended it.
    ended: Option<(u64, String)>,
    /// What it was derived from; of an object's first, the capability to the quota that paid.
    from: Option<usize>,
}

/// Follows the authority of a boot.
struct Lives {
    replay: Replay,
    all: Vec<Life>,
    /// By number, those that live.
    living: BTreeMap<u32, usize>,
    processes: BTreeSet<String>,
}

/// What is known of the record whose commits are followed.
struct Cause {
    record: u64,
    call: &'static str,
    caller: Option<ProcessId>,
    /// The capability in the slot that the call named first.
    named: Option<usize>,
}

impl Lives {
    fn cause(&self, entry: &Entry) -> Cause {
        let kernel = self.replay.kernel();
        let of_call = matches!(entry.record.op, Op::Call(_) | Op::HostDone);
        let caller = of_call.then(|| kernel.owner_of(ThreadId(entry.record.thread))).flatten();
        let slot = Some(entry.record.slot).filter(|&slot| slot != NONE);
        let named = caller.zip(slot).and_then(|(caller, slot)| kernel.capability_at(caller, slot));
        let named = named.and_then(|info| self.living.get(&info.capability).copied());
        Cause { record: entry.number, call: entry.record.op.name(), caller, named }
    }

    fn commit(&mut self, class: Class, commit: &CommitRef<'_>, cause: &Cause) -> Result<(), Wrong> {
        self.replay.commit(class, commit, cause.record)?;
        let Some(Change::Authority(change)) = commit.to_kernel().map(|commit| commit.change) else { return Ok(()) };
        let own = |place: &Place| cause.caller == Some(place.process);
        match change {
            Authority::ProcessCreated { source, supervisor, place, .. } => {
                if !supervisor.is_none() {
                    self.born(supervisor, Way::Supervisor, self.living.get(&source.0).copied(), cause);
                }
                if let Some(place) = place {
                    self.made(place, cause);
                }
            }
            Authority::Derived { source, place, arrival, .. } => {
                let way = match arrival {
                    Some(_) => Way::Message,
                    None if own(&place) => Way::Derived,
                    None => Way::Granted,
                };
                self.born(place.capability, way, self.living.get(&source.0).copied(), cause);
            }
            Authority::Moved { place, .. } => {
                let held = self.held(place.capability, cause.record);
                if let (Some(held), Some(life)) = (held, self.living.get(&place.capability.0)) {
                    self.all[*life].held.push(held);
                }
            }
            _ => match change.place() {
                Some(place) => self.made(place, cause),
                None => self.bury(cause),
            },
        }
        Ok(())
    }

    fn made(&mut self, place: Place, cause: &Cause) {
        let way = if cause.caller.is_some() { Way::Made } else { Way::SetUp };
        self.born(place.capability, way, self.paid_with(place.capability, cause), cause);
    }

    /// The capability to a quota with which the caller paid for what this one names: the one that its call named
    /// first, or of a call that names another thing first, the one that it holds.
    fn paid_with(&self, capability: CapabilityId, cause: &Cause) -> Option<usize> {
        let kernel = self.replay.kernel();
        let info = kernel.capability(capability)?;
        let quota = kernel.paid_by(Object { kind: info.kind, index: info.object })?;
        let names = |life: usize| (self.all[life].info.kind, self.all[life].info.object) == (Kind::Quota, quota.0);
        let caller = kernel.process_info(cause.caller?)?.serial;
        let holds = |life: usize| self.all[life].held.last().is_some_and(|held| held.holder.serial == caller);
        cause
            .named
            .filter(|&life| names(life))
            .or_else(|| self.living.values().copied().find(|&life| names(life) && holds(life)))
    }

    fn held(&self, capability: CapabilityId, record: u64) -> Option<Held> {
        let kernel = self.replay.kernel();
        let info = kernel.capability(capability)?;
        let holder = kernel.processes().find(|&id| kernel.process_info(id).is_some_and(|of| of.serial == info.holder));
        let holder = Who::of(kernel, holder);
        Some(Held { record, holder, slot: info.handle.slot(), generation: info.handle.generation() })
    }

    fn born(&mut self, capability: CapabilityId, way: Way, from: Option<usize>, cause: &Cause) {
        let kernel = self.replay.kernel();
        let (Some(info), Some(held)) = (kernel.capability(capability), self.held(capability, cause.record)) else {
            return;
        };
        // With a message it comes from whoever held what it was derived from; a call that receives is the other's.
        let by = match (way, from) {
            (Way::Message, Some(from)) => self.all[from].held.last().map(|held| held.holder.clone()),
            _ => None,
        };
        let by = by.unwrap_or_else(|| Who::of(kernel, cause.caller));
        self.processes.insert(held.holder.name.clone());
        self.living.insert(capability.0, self.all.len());
        self.all.push(Life { info, way, by, held: vec![held], ended: None, from });
    }

    /// Finds those that live no longer.
    fn bury(&mut self, cause: &Cause) {
        let kernel = self.replay.kernel();
        let how = match cause.caller {
            Some(_) => format!("{} by {}", cause.call, Who::of(kernel, cause.caller).in_words()),
            None => format!("{} at the host", cause.call),
        };
        let gone: Vec<u32> =
            self.living.keys().copied().filter(|&id| kernel.capability(CapabilityId(id)).is_none()).collect();
        for id in gone {
            if let Some(life) = self.living.remove(&id) {
                self.all[life].ended = Some((cause.record, how.clone()));
            }
        }
    }

    /// The last capability that was in that place.
    fn find(&self, asked: &Asked) -> Result<usize, Error> {
        let of = |held: &Held| held.holder.name == asked.process || held.holder.serial.to_string() == asked.process;
        let slots = |held: &&Held| of(held) && held.generation != 0;
        let there =
            |held: &Held| held.slot == asked.slot && asked.generation.is_none_or(|wanted| wanted == held.generation);
        let all = self.all.iter().enumerate().flat_map(|(index, life)| life.held.iter().map(move |held| (index, held)));
        let found =
            all.filter(|(_, held)| slots(held) && there(held)).max_by_key(|(_, held)| (held.record, held.generation));
        if let Some((index, _)) = found {
            return Ok(index);
        }
        let mut numbers: BTreeSet<u32> = BTreeSet::new();
        numbers.extend(self.all.iter().flat_map(|life| life.held.iter()).filter(slots).map(|held| held.slot));
        let listed = |numbers: &BTreeSet<u32>| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        Err(if numbers.is_empty() {
            let names: Vec<_> = self.processes.iter().map(String::as_str).collect();
            Error::absent(
                format!("no process {} held a capability in that boot", asked.process),
                format!("These did: {}. `--boot` names another boot.", names.join(", ")),
            )
        } else {
            let generation = asked.generation.map_or_else(String::new, |generation| format!(".{generation}"));
            Error::absent(
                format!("{} never held a capability in slot {}{generation}", asked.process, asked.slot),
                format!("Its slots were {}.", listed(&numbers)),
            )
        })
    }
}

fn follow(folder: &impl Folder, boot: &Boot) -> Result<Lives, Error> {
    let (all, living, processes) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    let mut lives = Lives { replay: Replay::new(PLATFORM), all, living, processes };
    walk_covered(folder, boot.block, |block| {
        if block.header.boot != boot.number {
            return Ok(Go::Stop);
        }
        lives.replay.begin(block);
        let mut cause = Cause { record: block.header.first_record, call: "", caller: None, named: None };
        for step in block.steps() {
            match step.map_err(|wrong| not_told(block, wrong))? {
                Step::Input(entry) => cause = lives.cause(&entry),
                Step::Commit(class, commit) => {
                    lives.commit(class, &commit, &cause).map_err(|wrong| not_told(block, wrong))?;
                }
            }
        }
        Ok(Go::On)
    })?;
    Ok(lives)
}

/// `orbital caps why PROCESS HANDLE`.
pub fn why(state: &Path, asked: &Asked, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    let folder = open(state)?;
    let boots = boots(&folder)?;
    let wanted = |boot: &&Boot| asked.boot.is_none_or(|number| number == boot.number);
    let boot = *boots.iter().rev().find(wanted).ok_or_else(|| {
        let last = boots.last().map_or(0, |boot| boot.number);
        Error::absent(
            format!("boot {} is not in the log", asked.boot.unwrap_or(0)),
            format!("Its boots are 1 to {last}."),
        )
    })?;
    let lives = follow(&folder, &boot)?;
    let mut next = Some(lives.find(asked)?);
    let mut link = "";
    while let Some(life) = next.map(|index| &lives.all[index]) {
        match format {
            Format::Text => told(life, link, out)?,
            Format::Json => put(out, format_args!("{}", json(life, link)))?,
        }
        link = if life.info.parent.is_some() { "derived from " } else { "its object was paid for with " };
        next = life.from;
    }
    match format {
        Format::Text => {
            put(out, format_args!("boot {} began in record {}", boot.number, boot.first))?;
            put(out, format_args!("the log begins with record 0, genesis"))
        }
        Format::Json => {
            put(out, format_args!("{}", json!({ "boot": boot.number, "record": boot.first, "genesis": 0 })))
        }
    }
}

fn object(info: &CapabilityInfo) -> String {
    match info.name.as_str() {
        "" => format!("{} {}", info.kind.name(), info.object),
        name => format!("{} {name}", info.kind.name()),
    }
}

fn told(life: &Life, link: &str, out: &mut dyn Write) -> Result<(), Error> {
    let info = &life.info;
    let badge = if info.badge == 0 { String::new() } else { format!(", badge {:#x}", info.badge) };
    let until = if info.expiry == FOREVER { String::new() } else { format!(", until {} ns after boot", info.expiry) };
    put(
        out,
        format_args!(
            "{link}capability {}: {}, {}{badge}{until}",
            info.capability,
            object(info),
            rights_in_words(info.rights)
        ),
    )?;
    for (index, held) in life.held.iter().enumerate() {
        let way = match index {
            0 => format!("{} {}", life.way.in_words(), life.by.in_words()),
            _ => format!("moved with a message by {}", life.held[index - 1].holder.in_words()),
        };
        let place = match held.generation {
            0 => format!("of {}", held.holder.in_words()),
            generation => format!("in slot {}.{generation} of {}", held.slot, held.holder.in_words()),
        };
        put(out, format_args!("  record {:>7}  {place}, {way}", held.record))?;
    }
    match &life.ended {
        Some((record, how)) => put(out, format_args!("  record {record:>7}  gone: {how}")),
        None => Ok(()),
    }
}

fn json(life: &Life, link: &str) -> Value {
    let held = |held: &Held| {
        json!({
            "record": held.record, "process": held.holder.serial, "name": held.holder.name,
            "slot": held.slot, "generation": held.generation,
        })
    };
    let mut value = capability_json(&life.info);
    value["link"] = match link {
        "" => "itself".into(),
        _ if link.starts_with("derived") => "derived from".into(),
        _ => "paid for with".into(),
    };
    value["way"] = life.way.name().into();
    value["by"] = json!({ "process": life.by.serial, "name": life.by.name });
    value["held"] = life.held.iter().map(held).collect();
    value["ended"] = life.ended.as_ref().map_or(Value::Null, |(record, how)| json!({ "record": record, "how": how }));
    value
}
