//! `orbital replay --to RECORD`: the kernel's state after a record, made again from the log.

use crate::boots::{Boot, PLATFORM, boot_of, boots, tell, tell_on, whole_boot_of};
use crate::commands::{Format, open, put, verifier};
use crate::error::Error;
use crate::folder::Folder;
use crate::snapshots::{Found, newest};
use crate::verify;
use abi::{CapabilityInfo, ExitReason, FOREVER, ProcessState};
use axiom::header::Header;
use axiom::note::Checkpoint;
use axiom::words::{Line, Narrator, rights_in_words, tag_in_words};
use kernel::queue::Queued;
use kernel::view::{EndpointView, QueuedView, ThreadView, WaitsFor};
use kernel::{EndpointId, Object, ProcessId, State, ThreadId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// After this record.
    pub to: u64,
    /// Only processes of this name, and what they hold.
    pub process: Option<String>,
    /// Who may do what, alone: also where activity was trimmed.
    pub authority_alone: bool,
}

/// `orbital replay --to RECORD`.
pub fn show(state: &Path, options: &Options, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    let folder = open(state)?;
    // Replay decides nothing, so it comes after what does.
    let checkpoint = verify::verify(&folder, &verifier(state, None)?)?.checkpoint;
    let boots = boots(&folder)?;
    let boot = boot_of(&boots, options.to)?;
    let found =
        if boot.whole || options.authority_alone { None } else { snapshot(&folder, &checkpoint, &boot, options.to)? };
    let mut time = 0;
    // No other record is told: it is the state that is asked for. Where records are gone, the last that is there has the time.
    let every = !boot.whole && options.authority_alone;
    let wanted = |record| every || record == options.to;
    let each = |_: &Narrator, line: Line| time = line.entry.time;
    let narrator = if let Some(Found { header, kernel, .. }) = found {
        let narrator = Narrator::resume(PLATFORM, &header, kernel);
        tell_on(&folder, narrator, header.number + 1, options.to, wanted, each)?
    } else {
        if !options.authority_alone {
            whole_boot_of(&boots, options.to, "`--authority` shows who could do what then, which is never trimmed.")?;
        }
        tell(&folder, &boot, options.to, wanted, each)?
    };
    let view = View { narrator: &narrator, activity: !options.authority_alone };
    let shown = view.processes(options.process.as_deref())?;
    match format {
        Format::Text => view.text(options, &boot, time, &shown, out),
        Format::Json => put(out, format_args!("{}", view.json(options, &boot, time, &shown))),
    }
}

/// Where the beginning of the boot was trimmed: a snapshot behind that and before the record.
fn snapshot(folder: &impl Folder, checkpoint: &Checkpoint, boot: &Boot, record: u64) -> Result<Option<Found>, Error> {
    let mut end = u64::MAX;
    loop {
        let (found, _) = newest(folder, checkpoint, end)?;
        let Some(found) = found else { return Ok(None) };
        let Header { number, first_record, records, .. } = found.header;
        if number < boot.block || number + 1 < boot.trimmed {
            return Ok(None);
        }
        if first_record.saturating_add(records.into()) <= record {
            return Ok(Some(found));
        }
        end = number;
    }
}

struct View<'a> {
    narrator: &'a Narrator,
    /// Whether activity is shown.
    activity: bool,
}

/// Which processes are shown, and what they can reach; everything if `all`.
struct Shown {
    processes: Vec<ProcessId>,
    all: bool,
    objects: BTreeSet<Object>,
}

impl Shown {
    fn has(&self, object: impl Into<Object>) -> bool {
        self.all || self.objects.contains(&object.into())
    }
}

fn object_of(info: &CapabilityInfo) -> Object {
    Object { kind: info.kind, index: info.object }
}

/// What a thread is doing, in a word.
const fn doing(state: State) -> &'static str {
    match state {
        State::Absent => "unknown",
        State::Ready => "ready",
        State::Running => "running",
        State::Suspended => "suspended",
        State::Depleted => "out of time until its period ends",
        State::Sending => "sending",
        State::Calling => "calling",
        State::AwaitingReply => "awaiting an answer",
        State::Receiving | State::AboutToReceive => "receiving",
        State::Waiting => "waiting",
        State::AtHost => "waiting for the host",
        State::Faulted => "stopped by a fault",
        State::AwaitingVerdict => "awaiting the verdict on its fault",
        State::Orphaned => "stopped by a fault that nobody judges",
    }
}

impl View<'_> {
    fn kernel(&self) -> &kernel::Kernel {
        self.narrator.kernel()
    }

    fn processes(&self, named: Option<&str>) -> Result<Shown, Error> {
        let all = self.kernel().processes().collect::<Vec<_>>();
        let Some(named) = named else { return Ok(Shown { processes: all, all: true, objects: BTreeSet::new() }) };
        let name = |process: ProcessId| self.kernel().process_name(process).unwrap_or_default();
        let processes: Vec<_> = all.iter().copied().filter(|&process| name(process).as_str() == named).collect();
        if processes.is_empty() {
            let names: BTreeSet<String> = all.iter().map(|&process| name(process).to_string()).collect();
            return Err(Error::absent(
                format!("there is no process {named} after that record"),
                match names.len() {
                    0 => "No process was there yet; a later record has some.".to_owned(),
                    _ => format!("There are {}.", names.into_iter().collect::<Vec<_>>().join(", ")),
                },
            ));
        }
        let held = processes.iter().flat_map(|&process| self.kernel().capabilities_of(process));
        let paid = processes.iter().filter_map(|&process| self.kernel().paid_by(process.into()).map(Object::from));
        let objects = held.map(|info| object_of(&info)).chain(paid).collect();
        Ok(Shown { processes, all: false, objects })
    }

    fn thread_name(&self, thread: ThreadId) -> String {
        match self.kernel().process_of(thread) {
            Some(process) => format!("thread {} of {}", thread.0, self.narrator.process_in_words(process)),
            None => format!("thread {}", thread.0),
        }
    }

    fn endpoint(&self, endpoint: EndpointId) -> String {
        self.narrator.object_in_words(endpoint.into())
    }

    fn waits_for(&self, waits_for: WaitsFor) -> String {
        match waits_for {
            WaitsFor::Endpoint(endpoint) => format!("at {}", self.endpoint(endpoint)),
            WaitsFor::Notification(notification) => format!("for bits of notification {}", notification.0),
            WaitsFor::Server(thread) => format!("of {}", self.thread_name(thread)),
            WaitsFor::Holder(process) => format!("of {}", self.narrator.process_in_words(process)),
        }
    }

    fn threads_of(&self, process: ProcessId) -> impl Iterator<Item = ThreadView> {
        self.kernel().threads().filter(move |thread| thread.process == process)
    }

    fn since(&self, thread: &ThreadView) -> Option<u64> {
        thread.state.is_wait().then(|| self.narrator.waits_since(thread.thread)).flatten()
    }

    fn text(&self, options: &Options, boot: &Boot, time: u64, shown: &Shown, out: &mut dyn Write) -> Result<(), Error> {
        let wall = crate::time::format(boot.wall_time.saturating_add(time));
        let what = if self.activity { "The state" } else { "Who may do what" };
        put(out, format_args!("{what} after record {}, boot {}, {wall}", options.to, boot.number))?;
        for &process in &shown.processes {
            self.process_text(process, out)?;
        }
        let (endpoints, notifications): (Vec<_>, Vec<_>) = (
            self.kernel().endpoints().filter(|view| shown.has(view.endpoint)).collect(),
            self.kernel().notifications().filter(|view| shown.has(view.notification)).collect(),
        );
        if !endpoints.is_empty() {
            put(out, format_args!("\nendpoints"))?;
        }
        for view in &endpoints {
            self.endpoint_text(view, out)?;
        }
        if !notifications.is_empty() {
            put(out, format_args!("\nnotifications"))?;
        }
        for view in &notifications {
            let mut line = format!("  notification {}{}", view.notification.0, self.paid(view.notification));
            if self.activity {
                line += &format!(", bits {:#x}", view.bits);
            }
            if let Some(endpoint) = view.bound {
                line += &format!(", wakes receivers of {}", self.endpoint(endpoint));
            }
            for &thread in &view.waiters {
                line += &format!("; {} waits", self.thread_name(thread));
            }
            put(out, format_args!("{line}"))?;
        }
        let quotas: Vec<_> = self.kernel().quotas().filter(|view| shown.has(view.quota)).collect();
        if !quotas.is_empty() {
            put(out, format_args!("\nquotas"))?;
        }
        for view in quotas {
            let parent = view.parent.map_or_else(|| "the root".into(), |parent| format!("of quota {}", parent.0));
            let (info, quota) = (view.info, view.quota.0);
            put(
                out,
                format_args!(
                    "  quota {quota}, {parent}: {} of {} bytes and {} of {} pages in use",
                    info.memory_used, info.memory, info.pages_used, info.pages
                ),
            )?;
        }
        let others: Vec<_> = self.others(shown).collect();
        if !others.is_empty() {
            put(out, format_args!("\nother objects"))?;
        }
        for object in others {
            put(out, format_args!("  {}{}", self.narrator.object_in_words(object), self.paid(object)))?;
        }
        Ok(())
    }

    /// Objects that are nothing but there.
    fn others(&self, shown: &Shown) -> impl Iterator<Item = Object> {
        use abi::Kind::{Device, Image, Interrupt, Log, Region};
        self.kernel().objects().filter(move |object| {
            matches!(object.kind, Device | Image | Interrupt | Log | Region) && shown.has(*object)
        })
    }

    fn paid(&self, object: impl Into<Object>) -> String {
        self.kernel().paid_by(object.into()).map_or_else(String::new, |quota| format!(", paid by quota {}", quota.0))
    }

    fn process_text(&self, process: ProcessId, out: &mut dyn Write) -> Result<(), Error> {
        let Some(info) = self.kernel().process_info(process) else { return Ok(()) };
        let ended = match info.state {
            ProcessState::Exited => format!(" ({:?}, code {})", info.reason, info.code).to_lowercase(),
            _ => String::new(),
        };
        put(
            out,
            format_args!(
                "\nprocess {} {}, {}{ended}, {} pages{}",
                info.serial,
                info.name,
                life(info.state),
                info.pages,
                self.paid(process)
            ),
        )?;
        for thread in self.threads_of(process) {
            let number = thread.thread.0;
            if !self.activity {
                put(out, format_args!("  thread {number}"))?;
                continue;
            }
            let mut line = format!("  thread {number}: {}", doing(thread.state));
            if let Some(waits_for) = thread.waits_for {
                line += &format!(" {}", self.waits_for(waits_for));
            }
            if let Some(since) = self.since(&thread) {
                line += &format!(", since record {since}");
            }
            if let Some(until) = thread.until {
                line += &format!(", until {:.9} s", seconds(until));
            }
            if let Some(caller) = thread.serves {
                line += &format!(", serves {}", self.thread_name(caller));
            }
            put(out, format_args!("{line}, priority {}", thread.priority))?;
        }
        for info in self.kernel().capabilities_of(process) {
            let mut line = format!(
                "  slot {}.{}: {} ({})",
                info.handle.slot(),
                info.handle.generation(),
                self.narrator.object_in_words(object_of(&info)),
                rights_in_words(info.rights)
            );
            if info.badge != 0 {
                line += &format!(", badge {:#x}", info.badge);
            }
            if info.expiry != FOREVER {
                line += &format!(", until {:.9} s", seconds(info.expiry));
            }
            line += &format!(", capability {}", info.capability);
            if let Some(parent) = info.parent {
                line += &format!(" from {parent}{}", self.held_by(parent));
            }
            put(out, format_args!("{line}"))?;
        }
        Ok(())
    }

    fn held_by(&self, capability: u32) -> String {
        let Some(info) = self.kernel().capability(kernel::CapabilityId(capability)) else { return String::new() };
        let named =
            |process: &ProcessId| self.kernel().process_info(*process).is_some_and(|of| of.serial == info.holder);
        let holder = self.kernel().processes().find(named);
        holder.map_or_else(String::new, |holder| format!(" of {}", self.narrator.process_in_words(holder)))
    }

    fn endpoint_text(&self, view: &EndpointView, out: &mut dyn Write) -> Result<(), Error> {
        let mut line = format!("  {}, room for {} messages", self.endpoint(view.endpoint), view.depth);
        line += &self.paid(view.endpoint);
        if let Some(notification) = view.bound {
            line += &format!(", receivers wake for notification {} too", notification.0);
        }
        for &thread in &view.receivers {
            line += &format!("; {} receives", self.thread_name(thread));
        }
        put(out, format_args!("{line}"))?;
        for (place, queued) in (1..).zip(&view.queue) {
            put(out, format_args!("    {place}. {}", self.queued_text(queued)))?;
        }
        Ok(())
    }

    fn queued_text(&self, queued: &QueuedView) -> String {
        let sender = || self.narrator.process_in_words(queued.sender);
        let said =
            || format!("{}, {} bytes, badge {:#x}", tag_in_words(queued.tag as u32), queued.length, queued.badge);
        match queued.queued {
            Queued::Thread(thread) => match self.kernel().thread_state(thread) {
                State::Faulted => format!("fault of {}", self.thread_name(thread)),
                State::Calling => format!("call of {}: {}", sender(), said()),
                _ => format!("message of {}, who waits for room: {}", sender(), said()),
            },
            Queued::Message(_) => format!("message of {}: {}", sender(), said()),
            Queued::Exit(_) => format!("the end of {}", sender()),
            Queued::Notification(notification) => format!("bits {:#x} of notification {}", queued.tag, notification.0),
        }
    }

    fn json(&self, options: &Options, boot: &Boot, time: u64, shown: &Shown) -> Value {
        let processes: Vec<Value> = shown.processes.iter().filter_map(|&process| self.process_json(process)).collect();
        let endpoints = self.kernel().endpoints().filter(|view| shown.has(view.endpoint));
        let notifications = self.kernel().notifications().filter(|view| shown.has(view.notification));
        let quotas = self.kernel().quotas().filter(|view| shown.has(view.quota));
        let [authority, activity] = axiom::state_hash(self.kernel());
        json!({
            "record": options.to, "boot": boot.number, "ns": time,
            "time": crate::time::format(boot.wall_time.saturating_add(time)),
            "state": { "authority": crate::commands::hex(&authority), "activity": self.activity.then(|| crate::commands::hex(&activity)) },
            "processes": processes,
            "endpoints": endpoints.map(|view| self.endpoint_json(&view)).collect::<Vec<_>>(),
            "notifications": notifications.map(|view| json!({
                "notification": view.notification.0, "quota": self.quota_json(view.notification),
                "bits": self.activity.then_some(view.bits),
                "waiters": view.waiters.iter().map(|thread| thread.0).collect::<Vec<_>>(),
                "bound": view.bound.map(|endpoint| endpoint.0),
            })).collect::<Vec<_>>(),
            "quotas": quotas.map(|view| json!({
                "quota": view.quota.0, "parent": view.parent.map(|parent| parent.0),
                "memory": view.info.memory, "memory_used": view.info.memory_used,
                "pages": view.info.pages, "pages_used": view.info.pages_used,
            })).collect::<Vec<_>>(),
            "others": self.others(shown).map(|object| json!({
                "kind": object.kind.name(), "number": object.index,
                "name": self.kernel().object_name(object).as_str(), "quota": self.quota_json(object),
            })).collect::<Vec<_>>(),
        })
    }

    fn quota_json(&self, object: impl Into<Object>) -> Value {
        self.kernel().paid_by(object.into()).map_or(Value::Null, |quota| quota.0.into())
    }

    fn process_json(&self, process: ProcessId) -> Option<Value> {
        let info = self.kernel().process_info(process)?;
        let exited = info.state == ProcessState::Exited;
        let threads: Vec<Value> = self
            .threads_of(process)
            .map(|thread| {
                let known = self.activity;
                json!({
                    "thread": thread.thread.0, "state": known.then(|| doing(thread.state)),
                    "waits_for": thread.waits_for.map(|waits_for| self.waits_for(waits_for)),
                    "since": self.since(&thread), "until": thread.until,
                    "serves": thread.serves.map(|caller| caller.0),
                    "priority": known.then_some(thread.priority), "base": known.then_some(thread.base),
                })
            })
            .collect();
        let capabilities: Vec<Value> =
            self.kernel().capabilities_of(process).map(|info| capability_json(&info)).collect();
        Some(json!({
            "process": info.serial, "name": info.name.as_str(), "number": process.0, "state": life(info.state),
            "reason": exited.then(|| reason(info.reason)), "code": exited.then_some(info.code),
            "pages": info.pages, "quota": self.quota_json(process), "threads": threads, "capabilities": capabilities,
        }))
    }

    fn endpoint_json(&self, view: &EndpointView) -> Value {
        let queue: Vec<Value> = view
            .queue
            .iter()
            .map(|queued| {
                json!({
                    "text": self.queued_text(queued),
                    "process": self.kernel().process_info(queued.sender).map(|info| info.serial),
                    "badge": queued.badge, "tag": queued.tag, "bytes": queued.length,
                })
            })
            .collect();
        json!({
            "endpoint": view.endpoint.0, "name": self.endpoint(view.endpoint), "depth": view.depth,
            "quota": self.quota_json(view.endpoint), "queue": queue,
            "receivers": view.receivers.iter().map(|thread| thread.0).collect::<Vec<_>>(),
            "bound": view.bound.map(|notification| notification.0),
        })
    }
}

/// A capability as JSON.
pub(crate) fn capability_json(info: &CapabilityInfo) -> Value {
    json!({
        "capability": info.capability, "slot": info.handle.slot(), "generation": info.handle.generation(),
        "kind": info.kind.name(), "object": info.object, "name": info.name.as_str(),
        "rights": info.rights.to_string(), "badge": info.badge,
        "expiry": (info.expiry != FOREVER).then_some(info.expiry), "parent": info.parent,
    })
}

const fn life(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Created => "made",
        ProcessState::Running => "running",
        ProcessState::Suspended => "suspended",
        ProcessState::Exited => "ended",
    }
}

const fn reason(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Exited => "exited",
        ExitReason::Killed => "killed",
        ExitReason::Faulted => "faulted",
        ExitReason::Reclaimed => "reclaimed",
    }
}

fn seconds(time: u64) -> f64 {
    time as f64 / 1e9
}
