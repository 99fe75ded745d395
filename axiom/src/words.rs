//! Records in words, for someone who never saw the code: who did what to what, how it
//! ended, and what changed by it.

use crate::block::{Block, Entry, Step, Wrong};
use crate::commit::{Class, CommitRef, Told};
use crate::event::{Event, PreviousEnd};
use crate::header::Header;
use crate::record::{Ending, NONE, Op, Record};
use crate::replay::Replay;
use abi::pci::{Register, Space};
use abi::{Kind, Name, Number, Rights, device};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use kernel::commit::{Activity, Authority, Change, Place};
use kernel::{CapabilityId, Kernel, Object, ProcessId, ThreadId};

/// Follows a log and tells it. Names come from the log itself, so it must see a boot from its beginning.
#[derive(Debug)]
pub struct Narrator {
    replay: Replay,
    /// Who receives at which endpoint, by the name of the process.
    receivers: BTreeMap<u32, Name>,
    /// The record in which a thread began to wait.
    waits: BTreeMap<u32, u64>,
    /// Whose thread it is, as authority says: what there is where activity was trimmed.
    threads: BTreeMap<u32, ProcessId>,
}

/// One record, ready to be told. [`fmt::Display`] gives its text.
#[derive(Clone, Debug)]
pub struct Line {
    /// Number and time of the record.
    pub entry: Entry,
    /// Number of the boot.
    pub boot: u32,
    /// Serial of the process whose call it is; 0 for the host.
    pub process: u64,
    /// Its name; `host` for the host.
    pub name: Name,
    /// What the call was on, in words; empty if nothing.
    pub object: String,
    /// What changed by it, in words: its commits, in order.
    pub changes: Vec<String>,
    /// The same commits with all that they say.
    pub commits: Vec<Told>,
    /// Names of the processes whose threads its commits concern, beside its own.
    pub concerned: Vec<Name>,
}

impl Narrator {
    /// Before the first block of a boot.
    pub fn new(platform: kernel::Platform) -> Narrator {
        Narrator {
            replay: Replay::new(platform),
            receivers: BTreeMap::new(),
            waits: BTreeMap::new(),
            threads: BTreeMap::new(),
        }
    }

    /// After a block with this header, of which `kernel` is the state. What the records before would have said it does
    /// not know: since when who waits waits, and who received where no thread does now.
    pub fn resume(platform: kernel::Platform, header: &Header, kernel: Kernel) -> Narrator {
        let mut narrator = Narrator::new(platform);
        for view in kernel.endpoints() {
            let receiver = view.receivers.first().and_then(|&thread| kernel.process_name(kernel.process_of(thread)?));
            narrator.receivers.extend(receiver.map(|name| (view.endpoint.0, name)));
        }
        narrator.replay = Replay::resume(platform, header, kernel);
        narrator
    }

    /// The state as far as it was told.
    pub fn kernel(&self) -> &Kernel {
        self.replay.kernel()
    }

    /// Whether activity is known too: nothing of the boot was trimmed.
    pub fn is_whole(&self) -> bool {
        self.replay.is_whole()
    }

    /// The record in which a thread began the wait in which it is.
    pub fn waits_since(&self, thread: ThreadId) -> Option<u64> {
        self.waits.get(&thread.0).copied()
    }

    /// An object in words: its kind, and its name or number; of an endpoint, who receives there.
    pub fn object_in_words(&self, object: Object) -> String {
        self.named(object.kind, object.index, &self.kernel().object_name(object))
    }

    /// A process in words: its name and serial.
    pub fn process_in_words(&self, process: ProcessId) -> String {
        self.process(process)
    }

    /// Tells the next block: calls `each` with every record for which `wanted` says so (by its number,
    /// time and the process's serial and name).
    pub fn block(
        &mut self,
        block: &Block<'_>,
        wanted: impl FnMut(&Entry, u64, &Name) -> bool,
        each: impl FnMut(Line),
    ) -> Result<(), Wrong> {
        self.block_up_to(block, u64::MAX, wanted, each)
    }

    /// The same, but nothing of the records behind number `last`: the state is then that after this record.
    pub fn block_up_to(
        &mut self,
        block: &Block<'_>,
        last: u64,
        wanted: impl FnMut(&Entry, u64, &Name) -> bool,
        each: impl FnMut(Line),
    ) -> Result<(), Wrong> {
        self.block_between(block, 0, |entry| entry.number <= last, wanted, each)
    }

    /// The same of the records from number `first` on, those of this block that come before having been told, as long as
    /// `goes_on` says so: asked of each record when all before it was told.
    pub(crate) fn block_between(
        &mut self,
        block: &Block<'_>,
        first: u64,
        mut goes_on: impl FnMut(&Entry) -> bool,
        mut wanted: impl FnMut(&Entry, u64, &Name) -> bool,
        mut each: impl FnMut(Line),
    ) -> Result<(), Wrong> {
        if first <= block.header.first_record {
            self.replay.begin(block);
            if block.header.has(crate::header::BOOT) {
                self.receivers.clear();
                self.waits.clear();
                self.threads.clear();
            }
        }
        let mut line: Option<Line> = None;
        // Who waits from this record on; until its commits are told, the thread may be woken from an earlier one.
        let mut waiting: Option<(u32, u64)> = None;
        let mut number = block.header.first_record;
        // Of a record that was told, its commits were.
        let mut told = false;
        for step in block.steps() {
            match step? {
                Step::Input(entry) if entry.number < first => told = true,
                Step::Commit(..) if told => {}
                Step::Input(entry) => {
                    told = false;
                    line.take().into_iter().for_each(&mut each);
                    self.waits.extend(waiting.take());
                    if !goes_on(&entry) {
                        break;
                    }
                    number = entry.number;
                    self.note_receiver(&entry.record);
                    let waits = entry.record.ending == Ending::Waits && matches!(entry.record.op, Op::Call(_));
                    let (process, name) = self.whose(&entry.record);
                    if wanted(&entry, process, &name) {
                        let object = self.object(&entry.record);
                        line = Some(Line {
                            entry,
                            boot: block.header.boot,
                            process,
                            name,
                            object,
                            changes: Vec::new(),
                            commits: Vec::new(),
                            concerned: Vec::new(),
                        });
                    }
                    if waits {
                        waiting = Some((entry.record.thread, entry.number));
                    }
                }
                Step::Commit(class, commit) => {
                    // What goes is named before it goes, what comes after it has come.
                    let before = line.is_some().then(|| self.change(&commit));
                    self.replay.commit(class, &commit, number)?;
                    if class == Class::Authority {
                        self.note_thread(&commit);
                    }
                    if let (Some(line), Some(before)) = (&mut line, before) {
                        let text = if creates(class, &commit) { self.change(&commit) } else { before };
                        line.changes.push(text);
                        line.commits.extend(commit.told());
                        if let Some(name) = self.concerned(&commit).filter(|name| *name != line.name) {
                            line.concerned.push(name);
                        }
                    }
                }
            }
        }
        line.into_iter().for_each(each);
        self.waits.extend(waiting);
        Ok(())
    }

    /// Serial and name of the process whose record it is.
    fn whose(&self, record: &Record) -> (u64, Name) {
        let process = match record.op {
            Op::Call(_) | Op::Fault | Op::HostDone | Op::Finished | Op::Malformed | Op::Preempt => {
                self.process_of(record.thread)
            }
            Op::Grow => Some(ProcessId(record.slot)),
            _ => None,
        };
        match process.and_then(|process| self.kernel().process_info(process)) {
            Some(info) => (info.serial, info.name),
            None => (0, Name::new("host")),
        }
    }

    fn process_of(&self, thread: u32) -> Option<ProcessId> {
        self.kernel().process_of(ThreadId(thread)).or_else(|| self.threads.get(&thread).copied())
    }

    fn note_thread(&mut self, commit: &CommitRef<'_>) {
        if let Some(Change::Authority(
            Authority::ProcessStarted { process, thread, .. } | Authority::ThreadCreated { process, thread, .. },
        )) = commit.to_kernel().map(|commit| commit.change)
        {
            self.threads.insert(thread.0, process);
        }
    }

    fn note_receiver(&mut self, record: &Record) {
        let receives = matches!(record.op, Op::Call(Number::Receive | Number::ReplyReceive));
        if let (true, Some(process)) = (receives && record.slot != NONE, self.process_of(record.thread))
            && let Some(info) = self.kernel().capability_at(process, record.slot)
            && let Some(process) = self.kernel().process_info(process)
            && info.kind == Kind::Endpoint
        {
            self.receivers.insert(info.object, process.name);
        }
    }

    /// What the record's slot names.
    fn object(&self, record: &Record) -> String {
        let Some(process) = self.process_of(record.thread).filter(|_| record.slot != NONE) else {
            return String::new();
        };
        match self.kernel().capability_at(process, record.slot) {
            None => format!("slot {}", record.slot),
            Some(info) => {
                let badge = if info.badge == 0 { String::new() } else { format!(" by badge {:#x}", info.badge) };
                format!("{}{badge}", self.named(info.kind, info.object, &info.name))
            }
        }
    }

    fn named(&self, kind: Kind, object: u32, name: &Name) -> String {
        let kind_name = kind.name();
        match (kind, self.receivers.get(&object)) {
            (Kind::Endpoint, Some(receiver)) => format!("{receiver}'s endpoint {object}"),
            _ if name.as_str().is_empty() => format!("{kind_name} {object}"),
            _ => format!("{kind_name} {name}"),
        }
    }

    fn thread(&self, thread: ThreadId) -> String {
        let process = self.process_of(thread.0).and_then(|process| self.kernel().process_info(process));
        process.map_or_else(|| format!("thread {}", thread.0), |info| info.name.to_string())
    }

    /// The thread, and the record in which it began to wait for what it has now.
    fn woken(&self, thread: ThreadId) -> String {
        match self.waits.get(&thread.0) {
            Some(record) => format!("{} (waiting since record {record})", self.thread(thread)),
            None => self.thread(thread),
        }
    }

    /// The process whose thread a commit wakes, or that it is about.
    fn concerned(&self, commit: &CommitRef<'_>) -> Option<Name> {
        use Activity::*;
        let process = match commit.to_kernel()?.change {
            Change::Activity(
                HandedOver { server: thread, .. }
                | Called { server: thread, .. }
                | Answered { caller: thread, .. }
                | Replied { caller: thread, .. }
                | Sent { receiver: thread, .. }
                | Received { thread, .. }
                | Taken { thread, .. }
                | Failed { thread, .. }
                | TimedOut { thread }
                | Faulted { thread, .. }
                | FaultResumed { thread }
                | Judged { thread, .. }
                | Preempted { thread }
                | Depleted { thread },
            ) => self.process_of(thread.0)?,
            Change::Activity(Suspended { process } | Resumed { process } | ExitQueued { process }) => process,
            Change::Authority(
                Authority::ProcessStarted { process, .. }
                | Authority::Exited { process, .. }
                | Authority::ExitRead { process }
                | Authority::Limited { process, .. }
                | Authority::Grown { process, .. },
            ) => process,
            Change::Authority(Authority::Derived { place, .. } | Authority::Moved { place, .. }) => place.process,
            _ => return None,
        };
        self.kernel().process_name(process)
    }

    fn process(&self, process: ProcessId) -> String {
        let info = self.kernel().process_info(process);
        info.map_or_else(|| format!("process {}", process.0), |info| format!("{} (process {})", info.name, info.serial))
    }

    fn capability(&self, capability: CapabilityId) -> String {
        match self.kernel().capability(capability) {
            Some(info) => format!("capability {} to {}", capability.0, self.named(info.kind, info.object, &info.name)),
            None => format!("capability {}", capability.0),
        }
    }

    fn endpoint(&self, endpoint: u32) -> String {
        self.named(Kind::Endpoint, endpoint, &Name::default())
    }

    fn place(&self, place: &Place) -> String {
        let Place { capability, process, slot } = place;
        format!("capability {} in slot {slot} of {}", capability.0, self.process(*process))
    }

    /// A commit in words.
    fn change(&self, commit: &CommitRef<'_>) -> String {
        if let Some(event) = commit.to_event() {
            return event_in_words(&event);
        }
        match commit.to_kernel().map(|commit| commit.change) {
            Some(Change::Authority(change)) => self.authority(&change),
            Some(Change::Activity(change)) => self.activity(&change),
            None => format!("a change of kind {:#x}", commit.kind),
        }
    }

    fn authority(&self, change: &Authority) -> String {
        use Authority::*;
        let held =
            |place: &Option<Place>| place.as_ref().map_or_else(String::new, |place| format!(", {}", self.place(place)));
        match change {
            QuotaCreated { quota, memory, pages, place, .. } => {
                format!("quota {} of {memory} bytes and {pages} pages made{}", quota.0, held(place))
            }
            EndpointCreated { endpoint, depth, place, .. } => {
                format!("endpoint {} with room for {depth} messages made, {}", endpoint.0, self.place(place))
            }
            NotificationCreated { notification, place, .. } => {
                format!("notification {} made, {}", notification.0, self.place(place))
            }
            ProcessCreated { process, image, name, place, .. } => {
                format!("process {name} (number {}) made from image {}{}", process.0, image.0, held(place))
            }
            ProcessStarted { process, thread, .. } => {
                format!("{} started, thread {}", self.process(*process), thread.0)
            }
            ThreadCreated { thread, process, place, .. } => {
                format!("thread {} of {} made, {}", thread.0, self.process(*process), self.place(place))
            }
            RegionCreated { region, pages, place, .. } => {
                format!("region {} of {pages} pages made, {}", region.0, self.place(place))
            }
            ImageCreated { image, hash, length, name, place, .. } => {
                let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
                format!("image {name} (number {}, {length} bytes, BLAKE3 {hash}...) made{}", image.0, held(place))
            }
            DeviceAdded { name, place, .. } => {
                format!("device {name} added, {}", self.place(place))
            }
            InterruptAdded { name, place, .. } => {
                format!("interrupt {name} added, {}", self.place(place))
            }
            LogAdded { place, .. } => format!("the log added, {}", self.place(place)),
            Derived { source, place, rights, badge, arrival, .. } => {
                let badge = if *badge == 0 { String::new() } else { format!(", badge {badge:#x}") };
                let way = if arrival.is_some() { "given with the message" } else { "derived" };
                format!(
                    "{way}: {} ({}{badge}) from {}",
                    self.place(place),
                    rights_in_words(*rights),
                    self.capability(*source)
                )
            }
            Granted { object, index, place, rights } => {
                let object = self.named(*object, *index, &Name::default());
                format!("{} ({}) to {object}", self.place(place), rights_in_words(*rights))
            }
            Moved { place, .. } => format!("moved with the message: {}", self.place(place)),
            Deleted { capability } => format!("{} dropped", self.capability(*capability)),
            Revoked { capability } => format!("all that was derived from {} revoked", self.capability(*capability)),
            Destroyed { object, index } => format!("{} destroyed", self.named(*object, *index, &Name::default())),
            Exited { process, reason, code } => format!("{} ended: {reason:?}, code {code}", self.process(*process)),
            ThreadExited { thread } => {
                format!("thread {} of {} ended", thread.0, self.thread(*thread))
            }
            ExitRead { process } => format!("the exit of {} was read", self.process(*process)),
            Limited { process, .. } => format!("limits of {} changed", self.process(*process)),
            Grown { process, pages } => {
                format!("{} has {pages} pages more", self.process(*process))
            }
            CaptureBegan { endpoint, process } => {
                format!(
                    "messages at {} are captured from now on, by order of {}",
                    self.endpoint(endpoint.0),
                    self.process(*process)
                )
            }
            CaptureEnded { endpoint, process } => {
                format!(
                    "messages at {} are captured no longer, by order of {}",
                    self.endpoint(endpoint.0),
                    self.process(*process)
                )
            }
            other => format!("{other:?}"),
        }
    }

    fn activity(&self, change: &Activity) -> String {
        use Activity::*;
        match change {
            Dispatched { thread } => format!("{} runs", self.thread(*thread)),
            Yielded { thread } => format!("{} lets others run", self.thread(*thread)),
            Preempted { thread } => format!("{}'s slice is over", self.thread(*thread)),
            HandedOver { server, .. } | Called { server, .. } => {
                format!("{} has the call", self.woken(*server))
            }
            Answered { caller, .. } | Replied { caller, .. } => {
                format!("{} has its answer", self.woken(*caller))
            }
            Blocked { thread, calling: true, .. } => format!("the call of {} is queued", self.thread(*thread)),
            Blocked { thread, .. } => {
                format!("the message of {} waits for room", self.thread(*thread))
            }
            Offered { position, .. } => format!("with capability {}", position + 1),
            Sent { receiver, .. } => format!("{} has the message", self.woken(*receiver)),
            MessageQueued { endpoint, .. } => {
                format!("the message is queued at {}", self.endpoint(endpoint.0))
            }
            Received { thread, endpoint, .. } => {
                format!("{} has what was first at {}", self.woken(*thread), self.endpoint(endpoint.0))
            }
            Receiving { thread, .. } | ReceiveNext { thread, .. } => {
                format!("{} waits for the next", self.thread(*thread))
            }
            ReplyMoved { process, .. } => {
                format!("the right to answer goes to {}", self.process(*process))
            }
            ExitQueued { process } => format!("the supervisor is told that {} ended", self.process(*process)),
            Signalled { notification, bits } => {
                format!("notification {} has bits {bits:#x}", notification.0)
            }
            Taken { thread, notification } => {
                format!("{} has the bits of notification {}", self.woken(*thread), notification.0)
            }
            Waiting { thread, .. } => format!("{} waits for bits", self.thread(*thread)),
            Bound { notification, endpoint } => {
                format!("notification {} wakes receivers of {}", notification.0, self.endpoint(endpoint.0))
            }
            Unbound { notification } => format!("notification {} is bound no more", notification.0),
            InterruptBound { interrupt, notification, .. } => {
                format!("interrupt {} signals notification {}", interrupt.0, notification.0)
            }
            InterruptUnbound { interrupt } => format!("interrupt {} is bound no more", interrupt.0),
            InterruptCame { interrupt } => format!("interrupt {} came", interrupt.0),
            InterruptAcknowledged { interrupt } => {
                format!("interrupt {} may come again", interrupt.0)
            }
            Failed { thread, error } => {
                format!("the wait of {} ends: {error}", self.woken(*thread))
            }
            TimedOut { thread } => format!("the wait of {} timed out", self.woken(*thread)),
            Depleted { thread } => format!("{} has used its time", self.thread(*thread)),
            Replenished { thread } => format!("{} has time again", self.thread(*thread)),
            Configured { thread, priority, .. } => format!("{} has priority {priority}", self.thread(*thread)),
            Faulted { thread, kind, .. } => {
                format!("{} waits for the verdict on its fault {kind:?}", self.thread(*thread))
            }
            FaultResumed { thread } => format!("{} goes on after its fault", self.thread(*thread)),
            Judged { server, thread, .. } => {
                format!("{} goes on after its fault, {} waits for the next", self.thread(*thread), self.thread(*server))
            }
            Suspended { process } => format!("{} is suspended", self.process(*process)),
            Resumed { process } => format!("{} goes on", self.process(*process)),
            ImageChecking { thread, .. } => {
                format!("the host checks an image for {}", self.thread(*thread))
            }
            DebugWritten { .. } => "a debug line was written".into(),
            other => format!("{other:?}"),
        }
    }
}

/// Whether a commit makes something, so that it can be named only after.
fn creates(class: Class, commit: &CommitRef<'_>) -> bool {
    class == Class::Authority && commit.kind < 0x13
}

/// Rights, as they are told.
pub fn rights_in_words(rights: Rights) -> String {
    if rights == Rights::ALL { "all rights".into() } else { rights.to_string() }
}

fn event_in_words(event: &Event) -> String {
    match event {
        Event::Genesis { platform, .. } => format!("the log begins, on {}", platform.name),
        Event::Booted { number, platform, previous, other, disk } => {
            let before = match previous {
                PreviousEnd::First => String::new(),
                PreviousEnd::Orderly { cut: 0 } => "; the boot before ended in order".into(),
                PreviousEnd::Orderly { cut } => {
                    format!("; the boot before ended in order, {cut} bytes behind it that were no block were cut")
                }
                PreviousEnd::Crash { cut: 0 } => "; the boot before ended by a crash".into(),
                PreviousEnd::Crash { cut } => {
                    format!("; the boot before ended by a crash, {cut} unfinished bytes were cut")
                }
            };
            let disk = match u128::from_be_bytes(*disk) {
                0 => "no formatted disk".into(),
                name => format!("disk {name:032x}"),
            };
            let other = other.as_ref().map_or(String::new(), |other| {
                format!("; the other log, {}, was known to have {} blocks", other.origin, other.size)
            });
            format!("boot {number}, {}, {} images, {disk}{before}{other}", platform.name, platform.images.len())
        }
        Event::End { number, status } => format!("boot {number} ends in order, status {status}"),
    }
}

/// The numbers of all functions of all interfaces: `0x7000 storage/objects put`, a line each.
const NUMBERS: &str = include_str!("../../wit/numbers.lock");

/// The function that a message's tag names: `storage.put`; of init's interfaces, which are many, `registry.lookup`.
pub fn tag_in_words(tag: u32) -> String {
    let named = NUMBERS.lines().find_map(|line| {
        let mut words = line.strip_prefix("0x")?.split(' ');
        let number = u32::from_str_radix(words.next()?, 16).ok()?;
        let (interface, function) = (words.next()?, words.next()?);
        let (package, name) = interface.split_once('/')?;
        (number == tag).then(|| format!("{}.{function}", if package == "init" { name } else { package }))
    });
    named.unwrap_or_else(|| format!("tag {tag:#x}"))
}

/// A register of a device: of a PCI function, where it is; of all devices, what it is for.
fn register_in_words(tag: u32) -> String {
    match (u64::from(tag), Register::from_number(tag.into())) {
        (_, Some(Register { space: Space::Configuration, offset, .. })) => format!("configuration {offset:#x}"),
        (_, Some(Register { space: Space::Bar(bar), offset, .. })) => format!("register {offset:#x} of BAR {bar}"),
        (device::CLASS, None) => "its class".into(),
        (device::LOG_DURABLE, None) => "once the log is durable".into(),
        (number, None) => format!("register {number}"),
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.entry.record;
        f.write_str(record.op.name())?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        let detail = match record.op {
            Op::Call(Number::Call | Number::Send | Number::ReplyReceive | Number::Reply) if record.tag == 0 => {
                String::new()
            }
            Op::Call(Number::Call | Number::Send) => tag_in_words(record.tag),
            Op::Call(Number::Derive | Number::RegionMap) => rights_in_words(Rights(record.tag as u16)),
            Op::Call(Number::DeviceRead | Number::DeviceWrite) => register_in_words(record.tag),
            Op::Call(Number::Exit | Number::ProcessKill) => format!("code {}", record.tag),
            Op::Call(Number::Debug | Number::RegionRead | Number::RegionWrite | Number::LogRead) => {
                format!("{} bytes", record.tag)
            }
            Op::Call(Number::DeviceSubmit) => match abi::device::Operation::from_number(record.tag as u8) {
                Some(operation) => format!("{operation:?} {} bytes", record.tag >> 8).to_lowercase(),
                None => String::new(),
            },
            Op::Interrupt => format!("line {}", record.tag),
            Op::Grow => format!("{} pages", record.tag),
            Op::Malformed => format!("number {}", record.tag),
            Op::Fault => abi::message::FaultKind::from_number(record.tag as u8)
                .map_or_else(String::new, |kind| format!("{kind:?}")),
            _ => String::new(),
        };
        if !detail.is_empty() {
            write!(f, ", {detail}")?;
        }
        match record.ending {
            Ending::Done => {}
            Ending::Refused(error) => write!(f, ": refused, {error}")?,
            Ending::Waits => f.write_str(": waits")?,
            Ending::Open => f.write_str(": not finished in this block")?,
        }
        for (index, change) in self.changes.iter().enumerate() {
            f.write_str(if index == 0 { " => " } else { "; " })?;
            f.write_str(change)?;
        }
        f.write_char('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::pci::Width;

    #[test]
    fn a_register_is_told_as_its_driver_knows_it() {
        let number = |space, offset| Register { space, width: Width::Two, offset }.number().unwrap() as u32;
        assert_eq!(register_in_words(number(Space::Configuration, 0x34)), "configuration 0x34");
        assert_eq!(register_in_words(number(Space::Bar(4), 0x3000)), "register 0x3000 of BAR 4");
        assert_eq!(register_in_words(1), "register 1");
        assert_eq!(register_in_words(device::CLASS as u32), "its class");
        assert_eq!(register_in_words(device::LOG_DURABLE as u32), "once the log is durable");
    }
}
