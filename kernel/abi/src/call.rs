//! The system calls. `wit/kernel.wit` says the same for components, docs/system-calls.md
//! for people; a test holds the three together.

use crate::device::{Completion, Operation};
use crate::info::Limits;
use crate::{CapabilityInfo, Delivery, Handle, Message, Name, ProcessInfo, QuotaInfo, ReplyToken, Rights};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// The number of a system call. Positions are fixed; new calls go to the end.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Number { $($(#[$doc])* $name = $number,)* }

        impl Number {
            /// Every call, in the order of its number.
            pub const ALL: &'static [Number] = &[$(Number::$name,)*];
            /// The call with this number.
            pub fn from_number(number: u8) -> Option<Number> {
                match number { $($number => Some(Number::$name),)* _ => None }
            }
            /// Its name as in the WIT file.
            pub const fn name(self) -> &'static str {
                match self { $(Number::$name => $text,)* }
            }
        }
    };
}

numbers! {
    /// Queue a message; nobody waits for an answer.
    Send = 1, "send";
    /// Send a message and wait for the reply.
    Call = 2, "call";
    /// Wait for a message or the bound notification.
    Receive = 3, "receive";
    /// Answer a call.
    Reply = 4, "reply";
    /// Answer a call and wait for the next message.
    ReplyReceive = 5, "reply-receive";
    /// Set bits of a notification.
    Signal = 6, "signal";
    /// Wait for bits of a notification.
    Wait = 7, "wait";
    /// Take the bits of a notification, without waiting.
    Poll = 8, "poll";
    /// Give up the rest of the slice.
    Yield = 9, "yield";

    /// A capability from one that the caller holds.
    Derive = 16, "derive";
    /// Drop one capability.
    Delete = 17, "delete";
    /// Drop every descendant of a capability.
    Revoke = 18, "revoke";
    /// Destroy the object.
    Destroy = 19, "destroy";
    /// What a capability is, and what it came from.
    Inspect = 20, "inspect";

    /// A new endpoint.
    EndpointCreate = 32, "endpoint-create";
    /// A new notification.
    NotificationCreate = 33, "notification-create";
    /// Let the receivers of an endpoint wake for a notification too.
    NotificationBind = 34, "notification-bind";
    /// Undo `notification-bind`.
    NotificationUnbind = 35, "notification-unbind";
    /// Let the host write down the messages of an endpoint, sealed, for debugging.
    CaptureBegin = 36, "capture-begin";
    /// Undo `capture-begin`.
    CaptureEnd = 37, "capture-end";

    /// A new process from an image.
    ProcessCreate = 48, "process-create";
    /// Put a capability into the table of a process that has not started.
    ProcessGrant = 49, "process-grant";
    /// Let it run.
    ProcessStart = 50, "process-start";
    /// Stop its threads.
    ProcessSuspend = 51, "process-suspend";
    /// Let them go on.
    ProcessResume = 52, "process-resume";
    /// End it at once.
    ProcessKill = 53, "process-kill";
    /// What it is doing, and how it ended.
    ProcessInspect = 54, "process-inspect";
    /// Change its limits.
    ProcessLimit = 55, "process-limit";
    /// End the calling process.
    Exit = 56, "exit";
    /// The bytes that the calling process was started with.
    Startup = 57, "startup";

    /// A second thread in the calling process.
    ThreadCreate = 64, "thread-create";
    /// Priority and time budget of a thread.
    ThreadConfigure = 65, "thread-configure";
    /// End the calling thread.
    ThreadExit = 66, "thread-exit";

    /// A new region of memory.
    RegionCreate = 80, "region-create";
    /// Copy out of a region.
    RegionRead = 81, "region-read";
    /// Copy into a region.
    RegionWrite = 82, "region-write";
    /// Map a region.
    RegionMap = 83, "region-map";
    /// Unmap a region.
    RegionUnmap = 84, "region-unmap";
    /// Check what lies in a region as an executable and make an image of it.
    ImageCreate = 85, "image-create";

    /// Let an interrupt signal a notification.
    InterruptBind = 96, "interrupt-bind";
    /// Undo `interrupt-bind`.
    InterruptUnbind = 97, "interrupt-unbind";
    /// Let the line come again.
    InterruptAcknowledge = 98, "interrupt-acknowledge";
    /// Read a register.
    DeviceRead = 99, "device-read";
    /// Write a register.
    DeviceWrite = 100, "device-write";
    /// Begin an operation.
    DeviceSubmit = 101, "device-submit";
    /// Take a completion.
    DeviceComplete = 102, "device-complete";
    /// Where a page of a region lies for a device that reads and writes memory itself.
    DeviceAddress = 103, "device-address";

    /// Part of a quota as a quota of its own.
    QuotaSplit = 112, "quota-split";
    /// What a quota has left.
    QuotaInspect = 113, "quota-inspect";
    /// Read the log.
    LogRead = 120, "log-read";
    /// Write a line to the host's debug output. The one call without a capability
    /// that has an effect outside; rate-limited.
    Debug = 127, "debug";
}

/// A system call with its arguments, as the host decoded it. Payload (words and
/// bytes) lies with the host; here is only its length.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
#[rustfmt::skip] // A table: one line a call.
pub enum Request<'a> {
    Send { endpoint: Handle, message: Message<'a>, timeout: u64 },
    Call { endpoint: Handle, message: Message<'a>, timeout: u64 },
    Receive { endpoint: Handle, timeout: u64 },
    Reply { reply: ReplyToken, message: Message<'a> },
    ReplyReceive { endpoint: Handle, reply: ReplyToken, message: Message<'a>, timeout: u64 },
    Signal { notification: Handle, bits: u64 },
    Wait { notification: Handle, timeout: u64 },
    Poll { notification: Handle },
    Yield,

    /// `badge` 0 keeps the source's; `expiry` [`crate::FOREVER`] keeps the source's,
    /// else ns since boot, not later than the source's.
    Derive { source: Handle, rights: Rights, badge: u64, expiry: u64 },
    Delete { handle: Handle },
    Revoke { handle: Handle },
    Destroy { handle: Handle },
    /// The capability in the first used slot at or after `slot` of `process`
    /// (`NONE`: the caller; else needs inspect), `ancestor` steps up its derivation.
    Inspect { process: Handle, slot: u32, ancestor: u32 },

    EndpointCreate { quota: Handle, depth: u32 },
    NotificationCreate { quota: Handle },
    NotificationBind { notification: Handle, endpoint: Handle },
    NotificationUnbind { notification: Handle },
    CaptureBegin { endpoint: Handle },
    CaptureEnd { endpoint: Handle },

    /// Needs spawn on `image`, split on `quota`, send on `supervisor` (an endpoint,
    /// which gets fault and exit messages under that capability's badge).
    ProcessCreate { image: Handle, quota: Handle, supervisor: Handle, name: Name, limits: Limits },
    /// Derives `source` into the table of `process`; returns the handle that is
    /// valid there. The process must not have started.
    ProcessGrant { process: Handle, source: Handle, rights: Rights, badge: u64, expiry: u64 },
    /// `length` bytes are what `startup` will return in it.
    ProcessStart { process: Handle, length: u32 },
    ProcessSuspend { process: Handle },
    ProcessResume { process: Handle },
    ProcessKill { process: Handle, code: u64 },
    ProcessInspect { process: Handle },
    ProcessLimit { process: Handle, limits: Limits },
    Exit { code: u64 },
    Startup,

    ThreadCreate { quota: Handle, entry: u64, stack: u64, argument: u64 },
    /// `thread` `NONE`: the calling one. `priority` 0 (lowest) to 31, at most the
    /// caller's own base priority; `budget` of `period`, both ns, `FOREVER` for no limit.
    ThreadConfigure { thread: Handle, priority: u8, budget: u64, period: u64 },
    ThreadExit,

    RegionCreate { quota: Handle, pages: u64 },
    RegionRead { region: Handle, offset: u64, length: u32 },
    RegionWrite { region: Handle, offset: u64, length: u32 },
    RegionMap { region: Handle, address: u64, rights: Rights },
    RegionUnmap { region: Handle, address: u64 },
    ImageCreate { quota: Handle, region: Handle, length: u64, name: Name },

    InterruptBind { interrupt: Handle, notification: Handle, bits: u64 },
    InterruptUnbind { interrupt: Handle },
    InterruptAcknowledge { interrupt: Handle },
    DeviceRead { device: Handle, register: u64 },
    DeviceWrite { device: Handle, register: u64, value: u64 },
    DeviceSubmit { device: Handle, operation: Operation, a: u64, b: u64, length: u32 },
    DeviceComplete { device: Handle },
    /// `page` counts from the start of the region.
    DeviceAddress { device: Handle, region: Handle, page: u64 },

    QuotaSplit { quota: Handle, memory: u64, pages: u64 },
    QuotaInspect { quota: Handle },
    LogRead { log: Handle, from: u64, length: u32 },
    Debug { length: u32 },
}

impl Request<'_> {
    /// Its number.
    #[inline]
    pub const fn number(&self) -> Number {
        match self {
            Request::Send { .. } => Number::Send,
            Request::Call { .. } => Number::Call,
            Request::Receive { .. } => Number::Receive,
            Request::Reply { .. } => Number::Reply,
            Request::ReplyReceive { .. } => Number::ReplyReceive,
            Request::Signal { .. } => Number::Signal,
            Request::Wait { .. } => Number::Wait,
            Request::Poll { .. } => Number::Poll,
            Request::Yield => Number::Yield,
            Request::Derive { .. } => Number::Derive,
            Request::Delete { .. } => Number::Delete,
            Request::Revoke { .. } => Number::Revoke,
            Request::Destroy { .. } => Number::Destroy,
            Request::Inspect { .. } => Number::Inspect,
            Request::EndpointCreate { .. } => Number::EndpointCreate,
            Request::NotificationCreate { .. } => Number::NotificationCreate,
            Request::NotificationBind { .. } => Number::NotificationBind,
            Request::NotificationUnbind { .. } => Number::NotificationUnbind,
            Request::CaptureBegin { .. } => Number::CaptureBegin,
            Request::CaptureEnd { .. } => Number::CaptureEnd,
            Request::ProcessCreate { .. } => Number::ProcessCreate,
            Request::ProcessGrant { .. } => Number::ProcessGrant,
            Request::ProcessStart { .. } => Number::ProcessStart,
            Request::ProcessSuspend { .. } => Number::ProcessSuspend,
            Request::ProcessResume { .. } => Number::ProcessResume,
            Request::ProcessKill { .. } => Number::ProcessKill,
            Request::ProcessInspect { .. } => Number::ProcessInspect,
            Request::ProcessLimit { .. } => Number::ProcessLimit,
            Request::Exit { .. } => Number::Exit,
            Request::Startup => Number::Startup,
            Request::ThreadCreate { .. } => Number::ThreadCreate,
            Request::ThreadConfigure { .. } => Number::ThreadConfigure,
            Request::ThreadExit => Number::ThreadExit,
            Request::RegionCreate { .. } => Number::RegionCreate,
            Request::RegionRead { .. } => Number::RegionRead,
            Request::RegionWrite { .. } => Number::RegionWrite,
            Request::RegionMap { .. } => Number::RegionMap,
            Request::RegionUnmap { .. } => Number::RegionUnmap,
            Request::ImageCreate { .. } => Number::ImageCreate,
            Request::InterruptBind { .. } => Number::InterruptBind,
            Request::InterruptUnbind { .. } => Number::InterruptUnbind,
            Request::InterruptAcknowledge { .. } => Number::InterruptAcknowledge,
            Request::DeviceRead { .. } => Number::DeviceRead,
            Request::DeviceWrite { .. } => Number::DeviceWrite,
            Request::DeviceSubmit { .. } => Number::DeviceSubmit,
            Request::DeviceComplete { .. } => Number::DeviceComplete,
            Request::DeviceAddress { .. } => Number::DeviceAddress,
            Request::QuotaSplit { .. } => Number::QuotaSplit,
            Request::QuotaInspect { .. } => Number::QuotaInspect,
            Request::LogRead { .. } => Number::LogRead,
            Request::Debug { .. } => Number::Debug,
        }
    }
}

/// What a call that succeeded returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Returned {
    Nothing,
    Handle(Handle),
    /// A count, a register's value, a request's number, a notification's bits, a bus address.
    Value(u64),
    Delivery(Delivery),
    Capability(CapabilityInfo),
    Process(ProcessInfo),
    Quota(QuotaInfo),
    Completion(Completion),
    /// So many bytes, which the host has put where the caller takes them.
    Bytes(u32),
}
