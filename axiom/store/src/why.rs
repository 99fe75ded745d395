//! `orbital log why RECORD`: the chain of causes of a record, back to an input from outside.
//!
//! What a thread does, it does because of the last thing that it was given: a message or a call, bits, the exit or the
//! fault of another, the end of a wait by time; or because it was started. That it asked others in between, and had their
//! answers, changes nothing about why. So each record has one cause, with a lower number, and the chain ends at an
//! interrupt, at the time, or where the machine was started.

use crate::boots::{PLATFORM, boots, not_told, tell, whole_boot_of};
use crate::commands::{Format, open, put};
use crate::error::Error;
use crate::folder::Folder;
use crate::segments::{Go, walk_covered};
use abi::message::FaultKind;
use abi::{DeliveryKind, Returned};
use axiom::Wrong;
use axiom::block::{Entry, Step};
use axiom::record::Op;
use axiom::replay::Replay;
use axiom::words::Line;
use kernel::commit::{Activity, Authority, Change};
use kernel::queue::Queued;
use kernel::{Effect, PayloadSource, ProcessId, ThreadId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// How a record came from its cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It had the message or call.
    Message,
    /// It had the bits of a notification.
    Bits,
    /// It was told of the end of a process.
    Exit,
    /// It was told of a fault.
    Fault,
    /// Its wait ended.
    Woken,
    /// It was started.
    Started,
    /// It had asked the host for this.
    Asked,
    /// It was left to do by this.
    Rest,
    /// The set-up of the machine.
    Boot,
}

impl How {
    const fn in_words(self) -> &'static str {
        match self {
            How::Message => "because it had this message",
            How::Bits => "because it had these bits",
            How::Exit => "because it was told of this end",
            How::Fault => "because it was told of this fault",
            How::Woken => "because this ended its wait",
            How::Started => "because this started it",
            How::Asked => "because it had asked the host for it",
            How::Rest => "because this left it to be done",
            How::Boot => "because the machine was started",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            How::Message => "message",
            How::Bits => "bits",
            How::Exit => "exit",
            How::Fault => "fault",
            How::Woken => "woken",
            How::Started => "started",
            How::Asked => "asked",
            How::Rest => "rest",
            How::Boot => "boot",
        }
    }
}

/// A cause: a record, and its own cause among the causes; [`OUTSIDE`] if it came from outside.
#[derive(Clone, Copy, Debug)]
struct Cause {
    record: u64,
    before: u32,
    /// How it came from the one before.
    how: How,
}

const OUTSIDE: u32 = u32::MAX;

/// Follows a boot and keeps why each thread does what it does.
struct Causes {
    replay: Replay,
    /// All that anyone has been given; a record that gave nothing to anyone is not among them.
    given: Vec<Cause>,
    /// Why a thread runs: index of what it was given last, and how.
    threads: BTreeMap<u32, (u32, How)>,
    /// What stands in queues: the cause that put it there.
    queued: HashMap<u64, u32>,
    /// The last call of a thread, for what the host does for it.
    calls: BTreeMap<u32, u32>,
    /// The record being followed, its own cause, and its index among the causes once it has one.
    now: (u64, (u32, How)),
    index: Option<u32>,
    /// The record that began the boot.
    boot: u32,
}

/// What stands in a queue, as one number.
fn key(queued: Queued) -> u64 {
    match queued {
        Queued::Thread(thread) => u64::from(thread.0),
        Queued::Message(message) => 1 << 32 | u64::from(message.0),
        Queued::Exit(process) => 2 << 32 | u64::from(process.0),
        Queued::Notification(notification) => 3 << 32 | u64::from(notification.0),
    }
}

impl Causes {
    fn new() -> Causes {
        Causes {
            replay: Replay::new(PLATFORM),
            given: Vec::new(),
            threads: BTreeMap::new(),
            queued: HashMap::new(),
            calls: BTreeMap::new(),
            now: (0, (OUTSIDE, How::Boot)),
            index: None,
            boot: OUTSIDE,
        }
    }

    /// The record being followed, as a cause of others.
    fn this(&mut self) -> u32 {
        if let Some(index) = self.index {
            return index;
        }
        let (record, (before, how)) = self.now;
        let index = self.given.len() as u32;
        self.given.push(Cause { record, before, how });
        self.index = Some(index);
        index
    }

    /// The next record; `rest`: what the one before it left to be done.
    fn record(&mut self, entry: &Entry, rest: bool) {
        let left = if rest { self.this() } else { OUTSIDE };
        let thread = entry.record.thread;
        let of = |causes: &Causes, thread: u32| causes.threads.get(&thread).copied();
        let cause = match entry.record.op {
            Op::Call(_) | Op::Fault | Op::Malformed | Op::Finished => of(self, thread),
            Op::Grow => {
                let process = Some(ProcessId(entry.record.slot));
                let threads = self.threads.iter().rev();
                threads.map(|(&thread, &cause)| (thread, cause)).find_map(|(thread, cause)| {
                    (self.replay.kernel().owner_of(ThreadId(thread)) == process).then_some(cause)
                })
            }
            Op::HostDone => self.calls.get(&thread).map(|&call| (call, How::Asked)),
            Op::Due if rest => Some((left, How::Rest)),
            Op::Setup => Some((self.boot, How::Boot)),
            _ => None,
        };
        self.now = (entry.number, cause.unwrap_or((OUTSIDE, How::Boot)));
        self.index = None;
        if entry.record.op == Op::Booted {
            self.boot = self.this();
        }
    }

    /// One commit of the record, and what it gave to whom.
    fn commit(&mut self, class: axiom::commit::Class, commit: &axiom::commit::CommitRef<'_>) -> Result<(), Wrong> {
        let change = commit.to_kernel().map(|commit| commit.change);
        // Taken out of a queue by this commit: what put it there is the cause.
        let mut from_queue = None;
        let taken = |causes: &Causes, queued| causes.queued.get(&key(queued)).copied();
        match change {
            Some(Change::Activity(Activity::Received { entry, .. })) => {
                from_queue = entry.queued().and_then(|queued| taken(self, queued));
            }
            Some(Change::Activity(Activity::Taken { thread, notification })) => {
                let bits = taken(self, Queued::Notification(notification));
                let bits = bits.unwrap_or_else(|| self.this());
                self.threads.insert(thread.0, (bits, How::Bits));
            }
            Some(Change::Activity(Activity::Blocked { thread, .. } | Activity::Faulted { thread, .. })) => {
                let this = self.this();
                self.queued.insert(key(Queued::Thread(thread)), this);
            }
            Some(Change::Activity(Activity::MessageQueued { message, .. })) => {
                let this = self.this();
                self.queued.insert(key(Queued::Message(message)), this);
            }
            Some(Change::Activity(Activity::Signalled { notification, .. })) => {
                let this = self.this();
                self.queued.insert(key(Queued::Notification(notification)), this);
            }
            Some(Change::Activity(Activity::InterruptCame { interrupt })) => {
                let this = self.this();
                if let Some(notification) = self.replay.kernel().line_signals(interrupt) {
                    self.queued.insert(key(Queued::Notification(notification)), this);
                }
            }
            Some(Change::Activity(Activity::ImageChecking { thread, .. })) => {
                let this = self.this();
                self.calls.insert(thread.0, this);
            }
            Some(Change::Authority(Authority::Exited { process, .. })) => {
                let this = self.this();
                self.queued.insert(key(Queued::Exit(process)), this);
            }
            _ => {}
        }
        let mut effects = Vec::new();
        self.replay.commit_with(class, commit, self.now.0, |effect| effects.push(effect))?;
        effects.into_iter().for_each(|effect| self.effect(&effect, from_queue));
        Ok(())
    }

    fn effect(&mut self, effect: &Effect, from_queue: Option<u32>) {
        let (thread, cause) = match *effect {
            Effect::ThreadStarted { thread, .. } => (thread, (self.this(), How::Started)),
            Effect::ProcessGone(process) => {
                // Also of those that end with what paid for them.
                let this = self.this();
                self.queued.insert(key(Queued::Exit(process)), this);
                return;
            }
            Effect::Deliver { to, delivery, from } => {
                let how = match delivery.kind {
                    DeliveryKind::Answer => return,
                    DeliveryKind::Called | DeliveryKind::Sent => How::Message,
                    DeliveryKind::Notified => How::Bits,
                    DeliveryKind::Exit => How::Exit,
                    DeliveryKind::Fault => How::Fault,
                };
                let stored = match from {
                    PayloadSource::Buffer(buffer) => self.queued.get(&key(Queued::Message(buffer))).copied(),
                    _ => None,
                };
                let cause = from_queue.or(stored);
                (to, (cause.unwrap_or_else(|| self.this()), how))
            }
            Effect::Complete { thread, result: Err(_) } => (thread, (self.this(), How::Woken)),
            Effect::Complete { thread, result: Ok(Returned::Value(_)) } => (thread, (self.this(), How::Bits)),
            _ => return,
        };
        self.threads.insert(thread.0, cause);
    }
}

/// One link of the chain: a record, and how it came from the next.
struct Link {
    record: u64,
    how: Option<How>,
}

/// The records in the chain of a record, itself first.
fn chain(folder: &impl Folder, first_block: u64, record: u64) -> Result<Vec<Link>, Error> {
    let mut causes = Causes::new();
    let mut found = None;
    walk_covered(folder, first_block, |block| {
        causes.replay.begin(block);
        let mut steps = block.steps().peekable();
        while let Some(step) = steps.next() {
            match step.map_err(|wrong| not_told(block, wrong))? {
                Step::Input(entry) => {
                    let number = entry.number;
                    if number > record {
                        return Ok(Go::Stop);
                    }
                    let rest = entry.record.op == Op::Due
                        && matches!(steps.peek(), Some(Ok(Step::Commit(_, commit))) if !is_of_time(commit));
                    causes.record(&entry, rest);
                    if number == record {
                        found = Some(causes.now.1);
                    }
                }
                Step::Commit(class, commit) => {
                    causes.commit(class, &commit).map_err(|wrong| not_told(block, wrong))?;
                }
            }
        }
        Ok(Go::On)
    })?;
    let (mut before, mut how) = found.unwrap_or((OUTSIDE, How::Boot));
    let mut chain = vec![Link { record, how: (before != OUTSIDE).then_some(how) }];
    while let Some(cause) = causes.given.get(before as usize) {
        (before, how) = (cause.before, cause.how);
        chain.push(Link { record: cause.record, how: (before != OUTSIDE).then_some(how) });
    }
    Ok(chain)
}

/// Whether what was due was due by time, not left to do by what came before.
fn is_of_time(commit: &axiom::commit::CommitRef<'_>) -> bool {
    use Activity::{Depleted, LoanEnded, Replenished, TimedOut};
    matches!(
        commit.to_kernel().map(|commit| commit.change),
        Some(Change::Activity(
            TimedOut { .. }
                | Replenished { .. }
                | Depleted { .. }
                | LoanEnded { .. }
                | Activity::Faulted { kind: FaultKind::TimeLimit, .. }
        ))
    )
}

/// `orbital log why RECORD`.
pub fn why(state: &Path, record: u64, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    let folder = open(state)?;
    let boots = boots(&folder)?;
    let boot = whole_boot_of(&boots, record, "What changed authority is still told by `orbital log show`.")?;
    let chain = chain(&folder, boot.block, record)?;
    let mut told = BTreeMap::new();
    let wanted = |number| chain.iter().any(|link| link.record == number);
    tell(&folder, &boot, record, wanted, |_, line| drop(told.insert(line.entry.number, line)))?;
    for link in &chain {
        let Some(line) = told.get(&link.record) else { continue };
        let time = crate::time::format(boot.wall_time.saturating_add(line.entry.time));
        match format {
            Format::Text => {
                put(out, format_args!("{:>9}  {time}  {:<12}  {line}", link.record, line.name))?;
                match link.how {
                    Some(how) => put(out, format_args!("           {}:", how.in_words()))?,
                    None => put(out, format_args!("           which came from outside: {}.", outside(line)))?,
                }
            }
            Format::Json => {
                let how = link.how.map(How::name);
                let came: Value = if how.is_none() { outside(line).into() } else { Value::Null };
                let line = json!({
                    "record": link.record, "boot": boot.number, "time": time, "ns": line.entry.time,
                    "process": line.process, "name": line.name.as_str(), "call": line.entry.record.op.name(),
                    "text": line.to_string(), "because": how, "outside": came,
                });
                put(out, format_args!("{line}"))?;
            }
        }
    }
    Ok(())
}

/// Where an input came from.
fn outside(line: &Line) -> String {
    match line.entry.record.op {
        Op::Interrupt => format!("line {} of a device", line.entry.record.tag),
        Op::Due | Op::Preempt => "time passed".into(),
        Op::Genesis | Op::Booted | Op::Setup => "the machine was started".into(),
        Op::End => "the host turned the machine off".into(),
        _ => "the host".into(),
    }
}
