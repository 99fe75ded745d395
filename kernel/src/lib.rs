//! Orbital's microkernel: a pure state machine. It knows no host, reads no clock and
//! has no unsafe code. `decide` judges an input and changes nothing; `apply` changes
//! the state by a commit and judges nothing. Replay is `apply` over the log.
//!
//! The state has two halves. **Authority** is who may do what: objects, capabilities,
//! quotas; its changes are kept for ever and can be replayed alone. **Activity** is who
//! waits, runs and has sent what. Each object's file has its records in both halves,
//! how they change, and the calls on it.
//!
//! | module | what is there |
//! |---|---|
//! | this | [`Kernel`]: inputs in, one `match` over the calls, commits applied |
//! | [`ids`], [`input`], [`effect`], [`commit`], `encoding` | the language spoken with the door |
//! | `authority`, `activity` | the two halves: what is in them, and how they change |
//! | `capability`, `quota`, `process`, `thread`, `endpoint`, `notification`, `region`, `image`, `interrupt`, `device`, `log` | the objects, one file each |
//! | `hand_over`, `brief` | the fast path of IPC; calls of one change |
//! | `capture` | messages of an endpoint, shown to the host for debugging |
//! | `transfer` | capabilities that ride on messages |
//! | `schedule`, `timer`, [`queue`], `arena`, `table` | who runs, what is due, where records lie |
//! | `setup` | what the host gives to init |
//! | [`view`] | the state, for tools that look at it |
//! | [`snapshot`] | the state out of bytes |
//! | `plausible` | whether a commit from outside can follow the state |
//! | [`invariants`] | K1 to K16, checked over a whole state |
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod activity;
mod arena;
mod authority;
mod brief;
mod capability;
mod capture;
pub mod commit;
mod device;
pub mod effect;
mod encoding;
mod endpoint;
mod hand_over;
pub mod ids;
mod image;
pub mod input;
mod interrupt;
pub mod invariants;
mod log;
mod notification;
mod plausible;
mod process;
pub mod queue;
mod quota;
mod region;
mod schedule;
mod setup;
pub mod snapshot;
mod table;
mod thread;
mod timer;
mod transfer;
pub mod view;

#[cfg(test)]
mod tests;

pub use brief::{Brief, BriefEnd};
pub use commit::{Change, Class, Commit, Decision, MAX_COMMITS, MAX_ENCODED, Outcome};
pub use effect::{Effect, PayloadSource, Sole};
pub use hand_over::HandOver;
pub use ids::*;
pub use input::{Input, SetUp, Setup};
pub use region::Mapping;
pub use thread::State;

use abi::{CapabilityInfo, Error, FOREVER, Name, Request, Returned};
use activity::Activity;
use authority::{Authority, Nobody};
use commit::Adds;
use encoding::Feed;
use smallvec::SmallVec;

/// What the host can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Platform {
    /// Threads that a process may have: 1 where they cannot share memory.
    pub threads_per_process: u32,
    /// Whether regions can be mapped.
    pub mapping: bool,
    /// Whether the host can write messages down ([`Effect::Captured`]).
    pub capture: bool,
}

impl Platform {
    /// Processes are WebAssembly components.
    pub const WASM: Platform = Platform { threads_per_process: 1, mapping: false, capture: true };
    /// Processes are address spaces.
    pub const NATIVE: Platform = Platform { threads_per_process: 1024, mapping: true, capture: false };
}

/// The kernel: all of its state.
#[cfg_attr(test, derive(Clone))]
pub struct Kernel {
    pub(crate) platform: Platform,
    pub(crate) authority: Authority,
    pub(crate) activity: Activity,
}

/// Who makes a call, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) thread: ThreadId,
    pub(crate) process: ProcessId,
    pub(crate) now: u64,
}

impl Caller {
    /// The instant at which a time-out that begins now ends.
    fn deadline(self, timeout: u64) -> u64 {
        if timeout == FOREVER { FOREVER } else { self.now.saturating_add(timeout).min(FOREVER - 1) }
    }
}

impl Kernel {
    /// With nothing in it: [`Setup`] comes first, or a log to replay.
    pub const fn new(platform: Platform) -> Kernel {
        Kernel { platform, authority: Authority::new(), activity: Activity::new() }
    }

    /// Judges an input that comes at `now`, in ns since boot. An error has changed
    /// nothing; neither has a decision, until its commits are applied.
    pub fn decide(&self, input: &Input<'_>, now: u64) -> Result<Decision, Error> {
        let mut thread = self.activity.current;
        // A decision is handed on where it was made.
        let mut decided = match *input {
            Input::Call { thread: caller, request } => {
                thread = caller;
                self.decide_call_of(caller, request, now)
            }
            Input::Setup(setup) => self.decide_setup(setup),
            Input::Interrupt(line) => self.decide_interrupt(line),
            Input::Tick => Ok(Decision::nothing(Returned::Nothing)),
            Input::Preempt => Ok(self.decide_preempt()),
            Input::Fault { thread, kind, detail, resumable } => self.decide_fault(thread, kind, detail, resumable),
            Input::Grow { process, pages } => self.decide_grow(process, pages),
            Input::HostDone { thread, result } => self.decide_host_done(thread, result, now),
        };
        if let Ok(decision) = &mut decided {
            self.complete(decision, now, thread);
        }
        decided
    }

    /// The system calls.
    fn decide_call_of(&self, thread: ThreadId, request: &Request<'_>, now: u64) -> Result<Decision, Error> {
        let record = self.activity.view(thread);
        if !matches!(record.state, State::Running | State::Ready) {
            // The host says that a thread runs which cannot.
            return Err(Error::InvalidArgument);
        }
        let caller = Caller { thread, process: record.process, now };
        match *request {
            Request::Send { endpoint, ref message, timeout } => self.decide_send(caller, endpoint, message, timeout),
            Request::Call { endpoint, ref message, timeout } => self.decide_call(caller, endpoint, message, timeout),
            Request::Receive { endpoint, timeout } => self.decide_receive(caller, endpoint, timeout),
            Request::Reply { reply, ref message } => self.decide_reply(caller, reply, message),
            Request::ReplyReceive { endpoint, reply, ref message, timeout } => match self.decide_brief(caller, request)
            {
                Some(judged) => judged.map(Decision::from),
                None => self.decide_reply_receive(caller, endpoint, reply, message, timeout),
            },
            Request::Signal { .. }
            | Request::Wait { .. }
            | Request::Poll { .. }
            | Request::Yield
            | Request::Derive { .. }
            | Request::Delete { .. }
            | Request::RegionMap { .. }
            | Request::RegionUnmap { .. } => {
                self.decide_brief(caller, request).unwrap_or(Err(Error::Unsupported)).map(Decision::from)
            }

            Request::Revoke { handle } => self.decide_revoke(caller, handle),
            Request::Destroy { handle } => self.decide_destroy(caller, handle),
            Request::Inspect { process, slot, ancestor } => self.decide_inspect(caller, process, slot, ancestor),

            Request::EndpointCreate { quota, depth } => self.decide_endpoint_create(caller, quota, depth),
            Request::NotificationCreate { quota } => self.decide_notification_create(caller, quota),
            Request::NotificationBind { notification, endpoint } => {
                self.decide_notification_bind(caller, notification, endpoint)
            }
            Request::NotificationUnbind { notification } => self.decide_notification_unbind(caller, notification),
            Request::CaptureBegin { endpoint } => self.decide_capture_begin(caller, endpoint),
            Request::CaptureEnd { endpoint } => self.decide_capture_end(caller, endpoint),

            Request::ProcessCreate { image, quota, supervisor, name, limits } => {
                self.decide_process_create(caller, image, quota, supervisor, name, limits)
            }
            Request::ProcessGrant { process, source, rights, badge, expiry } => {
                self.decide_process_grant(caller, process, source, rights, badge, expiry)
            }
            Request::ProcessStart { process, length } => self.decide_process_start(caller, process, length),
            Request::ProcessSuspend { process } => self.decide_process_suspend(caller, process),
            Request::ProcessResume { process } => self.decide_process_resume(caller, process),
            Request::ProcessKill { process, code } => self.decide_process_kill(caller, process, code),
            Request::ProcessInspect { process } => self.decide_process_inspect(caller, process),
            Request::ProcessLimit { process, limits } => self.decide_process_limit(caller, process, limits),
            Request::Exit { code } => self.decide_exit(caller, code),
            Request::Startup => Ok(Decision::host(Effect::Startup { thread })),

            Request::ThreadCreate { quota, entry, stack, argument } => {
                self.decide_thread_create(caller, quota, [entry, stack, argument])
            }
            Request::ThreadConfigure { thread, priority, budget, period } => {
                self.decide_thread_configure(caller, thread, priority, budget, period)
            }
            Request::ThreadExit => self.decide_thread_exit(caller),

            Request::RegionCreate { quota, pages } => self.decide_region_create(caller, quota, pages),
            Request::RegionRead { region, offset, length } => self.decide_region_read(caller, region, offset, length),
            Request::RegionWrite { region, offset, length } => self.decide_region_write(caller, region, offset, length),
            Request::ImageCreate { quota, region, length, name } => {
                self.decide_image_create(caller, quota, region, length, name)
            }

            Request::InterruptBind { interrupt, notification, bits } => {
                self.decide_interrupt_bind(caller, interrupt, notification, bits)
            }
            Request::InterruptUnbind { interrupt } => self.decide_interrupt_unbind(caller, interrupt),
            Request::InterruptAcknowledge { interrupt } => self.decide_interrupt_acknowledge(caller, interrupt),
            Request::DeviceRead { device, register } => self.decide_device_read(caller, device, register),
            Request::DeviceWrite { device, register, value } => {
                self.decide_device_write(caller, device, register, value)
            }
            Request::DeviceSubmit { device, operation, a, b, length } => {
                self.decide_device_submit(caller, device, operation, (a, b), length)
            }
            Request::DeviceComplete { device } => self.decide_device_complete(caller, device),
            Request::DeviceAddress { device, region, page } => self.decide_device_address(caller, device, region, page),

            Request::QuotaSplit { quota, memory, pages } => self.decide_quota_split(caller, quota, memory, pages),
            Request::QuotaInspect { quota } => self.decide_quota_inspect(caller, quota),
            Request::LogRead { log, from, length } => self.decide_log_read(caller, log, from, length),
            Request::Debug { length } => self.decide_debug(caller, length),
        }
    }

    /// Gives a decision that changes something the time to charge, and puts a thread
    /// on the processor that the host runs though the kernel would run another.
    pub(crate) fn complete(&self, decision: &mut Decision, now: u64, thread: ThreadId) {
        if decision.commits.is_empty() {
            return;
        }
        if thread != self.activity.current {
            decision.commits.insert(0, commit::Activity::Dispatched { thread }.into());
        }
        decision.commits[0].elapsed = now.saturating_sub(self.activity.clock);
    }

    /// Makes room for what the commits of one decision will need, so that applying them
    /// allocates nothing. Changes capacity, never state. `QuotaExceeded`: there is no
    /// more memory, whatever the quotas say.
    #[inline(always)]
    pub fn reserve(&mut self, commits: &[Commit]) -> Result<(), Error> {
        if commits.is_empty() {
            return Ok(());
        }
        match commits {
            [commit] if commit.adds() == Adds::Effects => {}
            [commit] if commit.adds() == Adds::Capability => self.authority.reserve_capability(commit)?,
            [commit] if commit.adds() == Adds::Consequences => {
                return self.activity.reserve_effects(self.activity.effects_of_an_end(self.authority.count()));
            }
            _ => return self.reserve_all(commits),
        }
        self.activity.reserve_effects(0)
    }

    #[inline(never)]
    fn reserve_all(&mut self, commits: &[Commit]) -> Result<(), Error> {
        let any = |adds| commits.iter().any(|commit| commit.adds() == adds);
        if any(Adds::Record) || any(Adds::Capability) {
            self.authority.reserve_capabilities(commits)?;
        }
        if any(Adds::Record) {
            self.authority.reserve_records(commits)?;
            self.activity.reserve_records()?;
        }
        let ends = any(Adds::Record) || any(Adds::Consequences);
        self.activity.reserve_effects(if ends { self.activity.effects_of_an_end(self.authority.count()) } else { 0 })
    }

    /// Carries out a commit: one of a decision just made, or one from a log that [`Kernel::plausible`] lets pass.
    /// Judges nothing; the only thing that changes the state. Effects are queued for [`Kernel::effect`].
    pub fn apply(&mut self, commit: &Commit) {
        self.apply_known(commit);
    }

    /// The same, where which commit it is is known when this is compiled.
    #[inline(always)]
    pub fn apply_known(&mut self, commit: &Commit) {
        self.activity.charge(commit.elapsed);
        match &commit.change {
            Change::Activity(change) => self.activity.apply(change, &self.authority),
            Change::Authority(change) => {
                self.authority.apply(change, &mut self.activity);
                self.activity.made(change, &self.authority);
            }
        }
    }

    /// Carries out an authority commit on the authority half alone; others do nothing.
    pub fn apply_authority(&mut self, commit: &Commit) {
        if let Change::Authority(change) = &commit.change {
            self.authority.apply(change, &mut Nobody);
        }
    }

    /// The next thing that the host must do, if there is one.
    pub fn effect(&mut self) -> Option<Effect> {
        match self.sole() {
            Some(sole) => Some(self.effect_of(sole)),
            None => self.activity.effects.pop_front(),
        }
    }

    pub(crate) fn effect_of(&self, sole: Sole) -> Effect {
        match sole {
            Sole::Woken { thread, bits } => Effect::Complete { thread, result: Ok(Returned::Value(bits)) },
            Sole::Fault { to, thread } => {
                let (words, delivery) = self.fault_of(thread);
                Effect::Deliver { to, from: PayloadSource::Kernel(words), delivery }
            }
            Sole::Map(Mapping { process, region, address, rights, .. }) => {
                Effect::Map { process, region, address, rights }
            }
            Sole::Unmap(Mapping { process, region, address, .. }) => Effect::Unmap { process, region, address },
        }
    }

    /// The same, where it is one of the frequent ones.
    #[inline(always)]
    pub fn sole(&mut self) -> Option<Sole> {
        self.activity.sole.take()
    }

    /// Whether there is something that the host must do.
    #[inline]
    pub fn has_effects(&self) -> bool {
        self.activity.sole.is_some() || !self.activity.effects.is_empty()
    }

    /// Forgets the effects: after replay, when they have long been carried out.
    pub fn forget_effects(&mut self) {
        self.activity.sole = None;
        self.activity.effects.clear();
    }

    /// Who must run now; `None`: nobody.
    #[inline]
    pub fn current(&self) -> Option<ThreadId> {
        let current = self.activity.current;
        (!current.is_none()).then_some(current)
    }

    /// Feeds the authority half of the state, in its one form, to a hasher.
    pub fn hash_authority(&self, hash: &mut dyn FnMut(&[u8])) {
        self.authority.encode(&mut Feed(hash));
    }

    /// Feeds the activity half of the state, in its one form, to a hasher.
    pub fn hash_activity(&self, hash: &mut dyn FnMut(&[u8])) {
        self.activity.encode(&mut Feed(hash));
    }

    /// The process of a thread.
    #[inline]
    pub fn process_of(&self, thread: ThreadId) -> Option<ProcessId> {
        self.activity
            .threads
            .get(thread.index())
            .filter(|record| record.state != State::Absent)
            .map(|record| record.process)
    }

    /// What a thread is doing.
    pub fn thread_state(&self, thread: ThreadId) -> State {
        self.activity.view(thread).state
    }

    /// The name of a process.
    pub fn process_name(&self, process: ProcessId) -> Option<Name> {
        self.authority.processes.get(process.0).map(|record| record.name)
    }

    /// The name of the process with this serial, if it is there.
    pub fn name_of(&self, serial: u64) -> Option<Name> {
        let processes = self.authority.processes.iter().map(|(_, record)| record);
        processes.into_iter().find(|record| record.serial == serial).map(|record| record.name)
    }

    /// The capability in a slot of a process's table.
    pub fn capability_at(&self, process: ProcessId, slot: u32) -> Option<CapabilityInfo> {
        let cell = self.authority.tables.get(process.index())?.slots.get(slot as usize)?;
        self.authority.capability_info(cell.capability).filter(|_| !cell.is_free())
    }

    /// What is known of a capability, by its number.
    pub fn capability(&self, capability: CapabilityId) -> Option<CapabilityInfo> {
        self.authority.capability_info(capability)
    }
}

impl Decision {
    /// The call ends so; this is the change.
    pub(crate) fn new(outcome: Outcome, change: impl Into<Change>) -> Decision {
        let mut decision = Decision { outcome, commits: SmallVec::new() };
        decision.push(change);
        decision
    }

    /// The call returns this at once; this is the change.
    pub(crate) fn done(returned: Returned, change: impl Into<Change>) -> Decision {
        Decision::new(Outcome::Done(returned), change)
    }

    /// The call returns this at once and changes nothing.
    pub(crate) fn nothing(returned: Returned) -> Decision {
        Decision { outcome: Outcome::Done(returned), commits: SmallVec::new() }
    }

    /// The host carries this out at once; the state does not change.
    pub(crate) fn host(effect: Effect) -> Decision {
        Decision { outcome: Outcome::Host(effect), commits: SmallVec::new() }
    }

    /// One more change.
    pub(crate) fn push(&mut self, change: impl Into<Change>) {
        debug_assert!(self.commits.len() < MAX_COMMITS);
        self.commits.push(Commit { elapsed: 0, change: change.into() });
    }
}
