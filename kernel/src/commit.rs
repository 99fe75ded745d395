//! The commits: every change of the state there is, with ids resolved and values
//! decided. `decide` makes them, `apply` carries them out, the log keeps them, replay
//! reads them back.

use crate::effect::Effect;
pub use crate::encoding::Form;
use crate::encoding::{COMPACT, Decode, Encode, Short, Sink, Tiny, fields};
use crate::ids::*;
use crate::input::{Hash, SetUp};
use crate::queue::Entry;
use abi::info::Limits;
use abi::message::FaultKind;
use abi::{Error, ExitReason, FOREVER, Handle, Kind, Name, Returned, Rights, TransferMode};
use smallvec::SmallVec;

/// The most commits that one decision has: a reply with eight capabilities, then the
/// wait for the next message, dispatch before and room beside.
pub const MAX_COMMITS: usize = 12;
/// The most bytes of one commit's encoding, kind not included. A test holds it.
pub const MAX_ENCODED: usize = 160;

/// What `decide` found: how the call ends, and the changes that it makes. The commits
/// are carried out together, in their order, or not at all.
#[derive(Clone, Debug)]
pub struct Decision {
    /// How the call ends.
    pub outcome: Outcome,
    /// The changes; none for a call that only looks.
    /// Most have one or two; more than that lie in the heap, so that a decision is cheap to hand on.
    pub commits: SmallVec<[Commit; 2]>,
}

/// How a call ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// At once.
    Done(Returned),
    /// At once, of [`crate::Input::Setup`].
    SetUp(SetUp),
    /// At once: an [`Effect::Deliver`] to the caller is queued.
    Delivered,
    /// The thread waits (or is gone).
    Blocked,
    /// When the host has carried out this effect, which it does at once. It is not queued.
    Host(Effect),
}

/// What kind of change a commit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Who may do what: kept for ever, replayed by itself.
    Authority,
    /// Who waits, runs and has sent what: kept until the next snapshot.
    Activity,
}

impl Class {
    /// The class of the commits of this kind.
    pub const fn of(kind: u8) -> Option<Class> {
        match kind {
            0x01..=0x7F => Some(Class::Authority),
            0x80..=0xDF => Some(Class::Activity),
            _ => None,
        }
    }
}

/// One change of the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Processor time in ns since the last charge, charged to who pays for the running thread.
    pub elapsed: u64,
    /// The change.
    pub change: Change,
}

/// What a commit takes room for, when it is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Adds {
    /// A few effects.
    Effects,
    /// A capability in a slot, or its mapping.
    Capability,
    /// What the end of anything brings about: effects without number.
    Consequences,
    /// All that, and the record of an object or of a message.
    Record,
}

/// A change of one half of the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Of authority.
    Authority(Authority),
    /// Of activity.
    Activity(Activity),
}

impl From<Authority> for Change {
    fn from(change: Authority) -> Change {
        Change::Authority(change)
    }
}

impl From<Activity> for Change {
    fn from(change: Activity) -> Change {
        Change::Activity(change)
    }
}

/// Where a new capability goes: the table of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The number of the capability.
    pub capability: CapabilityId,
    /// Whose table.
    pub process: ProcessId,
    /// Which slot.
    pub slot: u32,
}

/// Which thread a capability came to with a message, and as which of the message's capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The receiver.
    pub thread: ThreadId,
    /// From 0.
    pub position: u8,
}

fields!(Place: capability process slot);
fields!(Arrival: thread position);

macro_rules! commits {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $kind:literal { $($field:ident: $type:ty),* $(,)? })* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum $name { $($(#[$doc])* $variant { $($field: $type),* },)* }

        impl $name {
            /// Every kind of it with its name.
            pub const KINDS: &'static [(u8, &'static str)] = &[$(($kind, stringify!($variant))),*];

            /// The number of its kind.
            #[inline(always)]
            pub const fn kind(&self) -> u8 {
                match self { $($name::$variant { .. } => $kind,)* }
            }
            #[inline(always)]
            fn put<S: crate::encoding::Sink>(&self, out: &mut S) {
                match self { $($name::$variant { $($field),* } => { $($field.put(out);)* let _ = out; })* }
            }
            fn get(kind: u8, input: &mut &[u8]) -> Option<$name> {
                Some(match kind {
                    $($kind => $name::$variant { $($field: <$type>::get(input)?),* },)*
                    _ => return None,
                })
            }
        }
    };
}

commits! {
    /// Changes of who may do what. Carried out on authority alone.
    Authority {
        /// A quota; of the root, `parent` is `NONE` and nobody holds it yet.
        QuotaCreated = 0x01 { quota: QuotaId, parent: QuotaId, memory: u64, pages: u64, place: Option<Place> }
        EndpointCreated = 0x02 { endpoint: EndpointId, quota: QuotaId, depth: u32, place: Place }
        NotificationCreated = 0x03 { notification: NotificationId, quota: QuotaId, place: Place }
        /// `supervisor` is derived from `source`, a capability to an endpoint; both
        /// `NONE` for init. Nobody holds init.
        ProcessCreated = 0x04 {
            process: ProcessId, quota: QuotaId, image: ImageId, source: CapabilityId, supervisor: CapabilityId,
            name: Name, limits: Limits, place: Option<Place>,
        }
        /// The process runs: its first thread, at the priority of `starter`.
        ProcessStarted = 0x05 { process: ProcessId, thread: ThreadId, starter: ThreadId, priority: u8 }
        ThreadCreated = 0x06 { thread: ThreadId, process: ProcessId, quota: QuotaId, creator: ThreadId, entry: [u64; 3], place: Place }
        RegionCreated = 0x07 { region: RegionId, quota: QuotaId, pages: u64, place: Place }
        /// `creator` waited for it; `NONE` for an image of the boot set.
        ImageCreated = 0x08 { image: ImageId, quota: QuotaId, creator: ThreadId, hash: Hash, length: u64, name: Name, place: Option<Place> }
        DeviceAdded = 0x09 { device: DeviceId, name: Name, place: Place }
        InterruptAdded = 0x0A { interrupt: InterruptId, name: Name, place: Place }
        LogAdded = 0x0B { log: LogId, place: Place }

        /// A capability from another.
        Derived = 0x10 { source: CapabilityId, place: Place, rights: Rights, badge: u64, expiry: u64, arrival: Option<Arrival> }
        /// A first capability to an object that nobody held.
        Granted = 0x11 { object: Kind, index: u32, place: Place, rights: Rights }
        /// A capability from one table to another.
        Moved = 0x12 { place: Place, arrival: Arrival }
        /// A capability is dropped; its children go to its parent.
        Deleted = 0x13 { capability: CapabilityId }
        /// All descendants of a capability are dropped.
        Revoked = 0x14 { capability: CapabilityId }
        /// An object is destroyed, with all capabilities to it.
        Destroyed = 0x15 { object: Kind, index: u32 }

        /// A process has ended.
        Exited = 0x20 { process: ProcessId, reason: ExitReason, code: u64 }
        ThreadExited = 0x21 { thread: ThreadId }
        /// The exit message of a process was received.
        ExitRead = 0x22 { process: ProcessId }
        Limited = 0x23 { process: ProcessId, limits: Limits }
        /// A process has more memory.
        Grown = 0x24 { process: ProcessId, pages: u64 }

        /// `page` is the address in pages.
        Mapped = 0x30 { mapping: MappingId, capability: CapabilityId, page: u64, rights: Rights }
        Unmapped = 0x31 { mapping: MappingId }

        /// From now on the host writes down what goes through an endpoint, by order of `process`.
        CaptureBegan = 0x38 { endpoint: EndpointId, process: ProcessId }
        CaptureEnded = 0x39 { endpoint: EndpointId, process: ProcessId }
    }
}

commits! {
    /// Changes of who waits, runs and has sent what.
    Activity {
        /// The host runs a ready thread that is not the one of the kernel's choice.
        Dispatched = 0x81 { thread: ThreadId }
        Yielded = 0x82 { thread: ThreadId }
        Preempted = 0x83 { thread: ThreadId }

        /// A call given to a server that waited, which runs now. Fast path; fixed form.
        HandedOver = 0x84 { caller: ThreadId, server: ThreadId }
        /// The server's reply given to the caller that it served, which runs now, and
        /// the server waits again. Fast path; fixed form. `via` is the receiving capability.
        Answered = 0x85 { server: ThreadId, caller: ThreadId, via: CapabilityId }

        /// A call given to a server that waited.
        Called = 0x88 { caller: ThreadId, server: ThreadId, badge: u64, tag: u64, length: u32, capabilities: u8, deadline: u64 }
        /// A call, or a message that waits for its receiver, queued as its sender.
        Blocked = 0x89 {
            thread: ThreadId, via: CapabilityId, calling: bool,
            badge: u64, tag: u64, length: u32, capabilities: u8, deadline: u64,
        }
        /// One capability of the message that `thread` queued.
        Offered = 0x8A { thread: ThreadId, position: u8, handle: Handle, mode: TransferMode, rights: Rights, badge: u64 }
        /// A message given to a thread that waited.
        Sent = 0x8B { sender: ThreadId, receiver: ThreadId, badge: u64, tag: u64, length: u32, capabilities: u8 }
        /// A message queued; its sender goes on.
        MessageQueued = 0x8C {
            sender: ThreadId, endpoint: EndpointId, message: BufferId, quota: QuotaId,
            badge: u64, tag: u64, length: u32,
        }
        /// What stood first in the queue of an endpoint, given to `thread`.
        Received = 0x8D { thread: ThreadId, endpoint: EndpointId, entry: Entry }
        /// A thread waits for a message.
        Receiving = 0x8E { thread: ThreadId, via: CapabilityId, deadline: u64 }
        /// A thread that has replied, or passed over a message, goes on to receive; `due` says how.
        ReceiveNext = 0x8F { thread: ThreadId, via: CapabilityId, deadline: u64 }
        Replied = 0x90 { server: ThreadId, caller: ThreadId, tag: u64, length: u32, capabilities: u8 }
        /// The right to answer `caller` went to another process with a message.
        ReplyMoved = 0x91 { caller: ThreadId, process: ProcessId, arrival: Arrival }
        /// The exit message of a process is queued at its supervisor's endpoint.
        ExitQueued = 0x92 { process: ProcessId }

        Signalled = 0x98 { notification: NotificationId, bits: u64 }
        /// The bits of a notification are taken.
        Taken = 0x99 { thread: ThreadId, notification: NotificationId }
        Waiting = 0x9A { thread: ThreadId, via: CapabilityId, deadline: u64 }
        Bound = 0x9B { notification: NotificationId, endpoint: EndpointId }
        Unbound = 0x9C { notification: NotificationId }

        InterruptBound = 0xA0 { interrupt: InterruptId, notification: NotificationId, bits: u64 }
        InterruptUnbound = 0xA1 { interrupt: InterruptId }
        InterruptCame = 0xA2 { interrupt: InterruptId }
        InterruptAcknowledged = 0xA3 { interrupt: InterruptId }

        /// The wait of a thread ended with an error.
        Failed = 0xA8 { thread: ThreadId, error: Error }
        /// The time-out of a thread's wait came.
        TimedOut = 0xA9 { thread: ThreadId }
        /// The time budget of a thread is used up until its period ends.
        Depleted = 0xAA { thread: ThreadId }
        Replenished = 0xAB { thread: ThreadId }
        /// What was lent to a thread is used up; it goes on with its own.
        LoanEnded = 0xAC { thread: ThreadId }
        Configured = 0xAD { thread: ThreadId, priority: u8, budget: u64, period: u64 }

        Faulted = 0xB0 { thread: ThreadId, kind: FaultKind, detail: u64, resumable: bool }
        /// The verdict on a fault: the thread goes on.
        FaultResumed = 0xB1 { thread: ThreadId }
        Suspended = 0xB2 { process: ProcessId }
        Resumed = 0xB3 { process: ProcessId }
        /// The verdict on the fault of `thread`, which goes on, by who waits for the next message with it, for ever.
        /// `via` is the receiving capability.
        Judged = 0xB4 { server: ThreadId, thread: ThreadId, via: CapabilityId }

        /// A thread waits for the host to check what is to become an image.
        ImageChecking = 0xB8 { thread: ThreadId, quota: Handle, region: RegionId, length: u64, name: Name }
        /// A line of debug output; the next may come at `next` less the burst.
        DebugWritten = 0xB9 { process: ProcessId, next: u64 }
    }
}

impl Authority {
    /// Where the capability goes that it makes or moves.
    pub const fn place(&self) -> Option<Place> {
        match *self {
            Authority::QuotaCreated { place, .. }
            | Authority::ProcessCreated { place, .. }
            | Authority::ImageCreated { place, .. } => place,
            Authority::EndpointCreated { place, .. }
            | Authority::NotificationCreated { place, .. }
            | Authority::ThreadCreated { place, .. }
            | Authority::RegionCreated { place, .. }
            | Authority::DeviceAdded { place, .. }
            | Authority::InterruptAdded { place, .. }
            | Authority::LogAdded { place, .. }
            | Authority::Derived { place, .. }
            | Authority::Granted { place, .. }
            | Authority::Moved { place, .. } => Some(place),
            _ => None,
        }
    }
}

/// Kind of [`Activity::HandedOver`].
pub(crate) const HANDED_OVER: u8 = 0x84;
/// Kind of [`Activity::Answered`].
pub(crate) const ANSWERED: u8 = 0x85;

/// Kind of [`Authority::Derived`].
const DERIVED: u8 = 0x10;
/// Kind of [`Authority::Mapped`].
const MAPPED: u8 = 0x30;

/// Numbers in the fixed form of the fast path's commits are this wide.
const FIELD: u64 = (1 << 28) - 1;

/// Bits of the numbers in the fixed form of a [`Authority::Derived`] with badge 0, for ever, of no message: elapsed,
/// source, capability, process, slot, rights.
const DERIVED_BITS: [u32; 6] = [16, 15, 16, 10, 16, 15];
/// The same of a [`Authority::Mapped`]: elapsed, mapping, capability, page, rights.
const MAPPED_BITS: [u32; 5] = [16, 12, 15, 35, 10];

/// The fixed form: kind, then two numbers of 28 bits; a third of 32 in the second word.
#[inline(always)]
pub(crate) const fn fixed(kind: u8, first: u32, second: u32, third: u32) -> [u64; 2] {
    [kind as u64 | (first as u64) << 8 | (second as u64) << 36, third as u64]
}

/// A fixed form of numbers that have so many bits each; `None` if one has more.
#[inline(always)]
fn pack<const N: usize>(kind: u8, bits: [u32; N], numbers: [u64; N]) -> Option<[u64; 2]> {
    let (mut words, mut at, mut beyond) = (u128::from(kind), 8, 0);
    for (number, bits) in numbers.into_iter().zip(bits) {
        words |= u128::from(number) << at;
        beyond |= number >> bits;
        at += bits;
    }
    (beyond == 0).then_some([words as u64, (words >> 64) as u64])
}

/// The numbers of a fixed form.
fn unpack<const N: usize>(bits: [u32; N], words: [u64; 2]) -> [u64; N] {
    let mut rest = (u128::from(words[0]) | u128::from(words[1]) << 64) >> 8;
    bits.map(|bits| {
        let number = rest as u64 & ((1 << bits) - 1);
        rest >>= bits;
        number
    })
}

impl Commit {
    /// The number of its kind.
    #[inline(always)]
    pub const fn kind(&self) -> u8 {
        match &self.change {
            Change::Authority(change) => change.kind(),
            Change::Activity(change) => change.kind(),
        }
    }

    /// Its class.
    pub const fn class(&self) -> Class {
        match self.change {
            Change::Authority(_) => Class::Authority,
            Change::Activity(_) => Class::Activity,
        }
    }

    /// What carrying it out takes room for.
    #[inline(always)]
    pub(crate) const fn adds(&self) -> Adds {
        use self::Authority as A;
        match &self.change {
            Change::Activity(Activity::MessageQueued { .. }) => Adds::Record,
            Change::Activity(_) | Change::Authority(A::Unmapped { .. } | A::Grown { .. } | A::Limited { .. }) => {
                Adds::Effects
            }
            Change::Authority(A::Derived { .. } | A::Mapped { .. }) => Adds::Capability,
            Change::Authority(
                A::Deleted { .. }
                | A::Revoked { .. }
                | A::Destroyed { .. }
                | A::Exited { .. }
                | A::ThreadExited { .. }
                | A::ExitRead { .. },
            ) => Adds::Consequences,
            Change::Authority(_) => Adds::Record,
        }
    }

    /// The 16-byte form, if the commit is small enough: the kind in the lowest byte,
    /// the high 32 bits of the second word zero.
    pub fn encode_compact(&self) -> Option<[u64; 2]> {
        match self.encode_any() {
            Form::Compact(words) => Some(words),
            _ => None,
        }
    }

    /// [`Commit::encode`] of whatever commit, not inlined.
    #[inline(never)]
    pub fn encode_any(&self) -> Form {
        self.encode()
    }

    /// The form that it is small enough for. Inlined: where it is known which commit this is, nothing is left of
    /// the choice.
    #[inline(always)]
    pub fn encode(&self) -> Form {
        match self.change {
            Change::Activity(Activity::HandedOver { caller, server }) => {
                return Form::Compact(fixed(HANDED_OVER, caller.0, server.0, 0));
            }
            Change::Activity(Activity::Answered { server, caller, via }) => {
                return Form::Compact(fixed(ANSWERED, server.0, caller.0, via.0));
            }
            Change::Authority(Authority::Derived { .. } | Authority::Mapped { .. }) => {
                return match self.packed() {
                    Some(words) => Form::Compact(words),
                    None => self.short().not_compact(),
                };
            }
            _ => {}
        }
        let mut tiny = Tiny::EMPTY;
        self.put_fields(&mut tiny);
        match tiny.compact(self.kind(), self.elapsed) {
            Some(words) => Form::Compact(words),
            None => self.short().form(),
        }
    }

    /// The fixed form of a kind that has one with elapsed time, if its numbers fit.
    #[inline(always)]
    fn packed(&self) -> Option<[u64; 2]> {
        let Change::Authority(change) = &self.change else { return None };
        match *change {
            Authority::Derived { source, place, rights, badge: 0, expiry: FOREVER, arrival: None } => {
                let Place { capability, process, slot } = place;
                let ids = [source.0, capability.0, process.0, slot].map(u64::from);
                pack(DERIVED, DERIVED_BITS, [self.elapsed, ids[0], ids[1], ids[2], ids[3], rights.0.into()])
            }
            Authority::Mapped { mapping, capability, page, rights } => {
                let numbers = [self.elapsed, mapping.0.into(), capability.0.into(), page, rights.0.into()];
                pack(MAPPED, MAPPED_BITS, numbers)
            }
            _ => None,
        }
    }

    /// What is written byte by byte, if it is not long.
    #[inline(always)]
    fn short(&self) -> Short {
        let mut short = Short::new(self.kind());
        self.put(&mut short);
        short
    }

    /// Reads [`Commit::encode_compact`]'s form; the high 32 bits of the second word
    /// are not looked at.
    pub fn decode_compact(words: [u64; 2]) -> Option<Commit> {
        let kind = words[0] as u8;
        let (first, second) = ((words[0] >> 8 & FIELD) as u32, (words[0] >> 36) as u32);
        let third = words[1] as u32;
        match kind {
            HANDED_OVER if third == 0 => {
                return Some(Activity::HandedOver { caller: ThreadId(first), server: ThreadId(second) }.into());
            }
            ANSWERED => {
                let via = CapabilityId(third);
                return Some(Activity::Answered { server: ThreadId(first), caller: ThreadId(second), via }.into());
            }
            HANDED_OVER => return None,
            DERIVED => {
                let [elapsed, source, capability, process, slot, rights] = unpack(DERIVED_BITS, words);
                let place = Place {
                    capability: CapabilityId(capability as u32),
                    process: ProcessId(process as u32),
                    slot: slot as u32,
                };
                let (source, rights) = (CapabilityId(source as u32), Rights(rights as u16));
                let change = Authority::Derived { source, place, rights, badge: 0, expiry: FOREVER, arrival: None };
                return Some(Commit { elapsed, change: change.into() });
            }
            MAPPED => {
                let [elapsed, mapping, capability, page, rights] = unpack(MAPPED_BITS, words);
                let (mapping, capability) = (MappingId(mapping as u32), CapabilityId(capability as u32));
                let change = Authority::Mapped { mapping, capability, page, rights: Rights(rights as u16) };
                return Some(Commit { elapsed, change: change.into() });
            }
            _ => {}
        }
        let mut bytes = [0; COMPACT];
        bytes[..7].copy_from_slice(&words[0].to_le_bytes()[1..]);
        bytes[7..].copy_from_slice(&third.to_le_bytes());
        let mut rest = &bytes[..];
        let commit = Commit::get(kind, &mut rest)?;
        rest.iter().all(|&byte| byte == 0).then_some(commit)
    }

    /// Writes the content without the kind: elapsed time, then the fields in their order.
    pub fn encode_wide(&self, out: &mut heapless::Vec<u8, MAX_ENCODED>) {
        self.put(out);
    }

    #[inline(always)]
    fn put<S: Sink>(&self, out: &mut S) {
        self.elapsed.put(out);
        self.put_fields(out);
    }

    #[inline(always)]
    fn put_fields<S: Sink>(&self, out: &mut S) {
        match &self.change {
            Change::Authority(change) => change.put(out),
            Change::Activity(change) => change.put(out),
        }
    }

    /// Reads [`Commit::encode_wide`]'s form, all of it.
    pub fn decode_wide(kind: u8, mut bytes: &[u8]) -> Option<Commit> {
        if matches!(kind, HANDED_OVER | ANSWERED) {
            return None;
        }
        let commit = Commit::get(kind, &mut bytes)?;
        bytes.is_empty().then_some(commit)
    }

    fn get(kind: u8, input: &mut &[u8]) -> Option<Commit> {
        let elapsed = u64::get(input)?;
        let change = match Class::of(kind)? {
            Class::Authority => Change::Authority(Authority::get(kind, input)?),
            Class::Activity => Change::Activity(Activity::get(kind, input)?),
        };
        Some(Commit { elapsed, change })
    }
}

impl<C: Into<Change>> From<C> for Commit {
    fn from(change: C) -> Commit {
        Commit { elapsed: 0, change: change.into() }
    }
}
