//! The record of one input: 16 bytes that say who asked what, when and how it ended.
//! Never what a message said.
//!
//! | word | bits | what |
//! |---|---|---|
//! | 0 | 0-7 | [`Op`]: a system call's number, or what else came |
//! | 0 | 8-15 | [`Ending`] |
//! | 0 | 16-39 | thread; `0xFFFFFF` none, `0xFFFFFE` see the escape |
//! | 0 | 40-63 | slot of the first handle; `0xFFFFFF` none |
//! | 1 | 0-31 | ns since the block's base time |
//! | 1 | 32-63 | tag, or what [`subject`] says for the call |
//!
//! Escape: 16 further bytes, thread in the first word, slot in the second, where
//! either does not fit into 24 bits.

use abi::{Error, Handle, Number, Request};

/// One half of a journal slot, and the unit of the bodies, in bytes.
pub const HALF: usize = 16;
/// Thread or slot: there is none.
pub const NONE: u32 = 0xFF_FFFF;
/// Thread: the next 16 bytes have thread and slot.
pub const ESCAPED: u32 = 0xFF_FFFE;

/// What a record is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// A system call.
    Call(Number),
    /// The host set the machine up.
    Setup,
    /// A line came; its number is where the tag is.
    Interrupt,
    /// A time-out, a budget or an expiry was due.
    Due,
    /// The running thread's slice was over.
    Preempt,
    /// The thread did what it could not; the fault's kind is where the tag is.
    Fault,
    /// A process grew its memory; its number is where the slot is, the pages where the tag is.
    Grow,
    /// The host finished what the thread waited for.
    HostDone,
    /// The late ending of a call that the host carried out.
    Finished,
    /// A thread made a call that is none: its number is where the tag is.
    Malformed,
    /// The log begins.
    Genesis,
    /// The machine was started.
    Booted,
    /// The machine was shut down in order.
    End,
}

impl Op {
    /// Its number in a record.
    #[inline]
    pub const fn number(self) -> u8 {
        match self {
            Op::Call(number) => number as u8,
            Op::Setup => 0x80,
            Op::Interrupt => 0x81,
            Op::Due => 0x82,
            Op::Preempt => 0x83,
            Op::Fault => 0x84,
            Op::Grow => 0x85,
            Op::HostDone => 0x86,
            Op::Finished => 0x87,
            Op::Malformed => 0x88,
            Op::Genesis => 0xF0,
            Op::Booted => 0xF1,
            Op::End => 0xF2,
        }
    }

    /// What a record with this number is of.
    pub fn from_number(number: u8) -> Option<Op> {
        Some(match number {
            0x80 => Op::Setup,
            0x81 => Op::Interrupt,
            0x82 => Op::Due,
            0x83 => Op::Preempt,
            0x84 => Op::Fault,
            0x85 => Op::Grow,
            0x86 => Op::HostDone,
            0x87 => Op::Finished,
            0x88 => Op::Malformed,
            0xF0 => Op::Genesis,
            0xF1 => Op::Booted,
            0xF2 => Op::End,
            call => Op::Call(Number::from_number(call)?),
        })
    }

    /// A word for it, as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Call(number) => number.name(),
            Op::Setup => "set-up",
            Op::Interrupt => "interrupt",
            Op::Due => "time",
            Op::Preempt => "preempt",
            Op::Fault => "fault",
            Op::Grow => "memory-grow",
            Op::HostDone => "host-done",
            Op::Finished => "finished",
            Op::Malformed => "malformed-call",
            Op::Genesis => "genesis",
            Op::Booted => "booted",
            Op::End => "end",
        }
    }
}

/// How the input ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As asked.
    Done,
    /// Refused, or failed: nothing changed.
    Refused(Error),
    /// The thread waits; a later commit wakes it.
    Waits,
    /// The host had not yet said how it ended when the block was cut.
    Open,
}

impl Ending {
    /// Its number in a record.
    #[inline]
    pub const fn number(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::Refused(error) => error as u8,
            Ending::Waits => 0x80,
            Ending::Open => 0x81,
        }
    }

    /// The ending with this number.
    pub fn from_number(number: u8) -> Option<Ending> {
        Some(match number {
            0 => Ending::Done,
            0x80 => Ending::Waits,
            0x81 => Ending::Open,
            error => Ending::Refused(Error::from_number(error)?),
        })
    }
}

/// One record, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Of what.
    pub op: Op,
    /// How it ended.
    pub ending: Ending,
    /// Whose; [`NONE`] for the host.
    pub thread: u32,
    /// Slot of the first handle; [`NONE`] for none.
    pub slot: u32,
    /// ns since the block's base time.
    pub offset: u32,
    /// Tag, or as [`subject`] says.
    pub tag: u32,
}

impl Record {
    /// The record at the start of `bytes`, and the bytes it takes (16 or 32). `None`
    /// where they are no record: an unknown number, or an escape without need.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let (second, rest) = rest.split_first_chunk::<8>()?;
        let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        let mut record = Record {
            op: Op::from_number(first as u8)?,
            ending: Ending::from_number((first >> 8) as u8)?,
            thread: (first >> 16) as u32 & NONE,
            slot: (first >> 40) as u32,
            offset: second as u32,
            tag: (second >> 32) as u32,
        };
        if record.thread != ESCAPED {
            return (record.slot != ESCAPED).then_some((record, HALF));
        }
        let (thread, rest) = rest.split_first_chunk::<8>()?;
        let (slot, _) = rest.split_first_chunk::<8>()?;
        let (thread, slot) = (u64::from_le_bytes(*thread), u64::from_le_bytes(*slot));
        if record.slot != ESCAPED || thread >> 32 != 0 || slot >> 32 != 0 {
            return None;
        }
        (record.thread, record.slot) = (thread as u32, slot as u32);
        record.needs_escape().then_some((record, 2 * HALF))
    }

    /// Whether thread or slot takes the 16 further bytes.
    #[inline]
    pub const fn needs_escape(&self) -> bool {
        self.thread >= ESCAPED && self.thread != NONE || self.slot >= ESCAPED && self.slot != NONE
    }

    /// The first 16 bytes as words.
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        let (thread, slot) = if self.needs_escape() { (ESCAPED, ESCAPED) } else { (self.thread, self.slot) };
        [
            self.op.number() as u64 | (self.ending.number() as u64) << 8 | (thread as u64) << 16 | (slot as u64) << 40,
            self.offset as u64 | (self.tag as u64) << 32,
        ]
    }
}

/// What of a request is recorded beside its number: the slot of its first handle, and
/// 32 bits that say which operation it is. Never a message word, a payload, a value
/// written or read, nor anything else that may be a secret.
#[inline(always)]
pub fn subject(request: &Request<'_>) -> (Handle, u32) {
    match *request {
        // Interface and method; the tag's high half is the sender's own.
        Request::Send { endpoint, message, .. }
        | Request::Call { endpoint, message, .. }
        | Request::ReplyReceive { endpoint, message, .. } => (endpoint, message.tag as u32),
        // Whom it answers: the caller's thread.
        Request::Reply { reply, .. } => (Handle::NONE, reply.thread()),
        Request::Receive { endpoint, .. } => (endpoint, 0),
        Request::Signal { notification, .. } | Request::Wait { notification, .. } | Request::Poll { notification } => {
            (notification, 0)
        }
        Request::Yield | Request::Startup | Request::ThreadExit => (Handle::NONE, 0),
        // The rights asked for.
        Request::Derive { source, rights, .. } => (source, rights.0 as u32),
        Request::Delete { handle } | Request::Revoke { handle } | Request::Destroy { handle } => (handle, 0),
        Request::Inspect { process, slot, .. } => (process, slot),
        Request::EndpointCreate { quota, depth } => (quota, depth),
        Request::NotificationCreate { quota } | Request::ThreadCreate { quota, .. } => (quota, 0),
        Request::NotificationBind { notification, endpoint } => (notification, endpoint.slot()),
        Request::NotificationUnbind { notification } => (notification, 0),
        Request::CaptureBegin { endpoint } | Request::CaptureEnd { endpoint } => (endpoint, 0),
        // The second handle's slot.
        Request::ProcessCreate { image, quota, .. } => (image, quota.slot()),
        Request::ProcessGrant { process, source, .. } => (process, source.slot()),
        Request::ProcessStart { process, length } => (process, length),
        Request::ProcessSuspend { process }
        | Request::ProcessResume { process }
        | Request::ProcessInspect { process }
        | Request::ProcessLimit { process, .. } => (process, 0),
        // The low half of the exit code.
        Request::ProcessKill { process, code } => (process, code as u32),
        Request::Exit { code } => (Handle::NONE, code as u32),
        Request::ThreadConfigure { thread, priority, .. } => (thread, priority as u32),
        Request::RegionCreate { quota, pages } => (quota, pages as u32),
        // Bytes.
        Request::RegionRead { region, length, .. } | Request::RegionWrite { region, length, .. } => (region, length),
        Request::RegionMap { region, rights, .. } => (region, rights.0 as u32),
        Request::RegionUnmap { region, .. } => (region, 0),
        Request::ImageCreate { quota, region, .. } => (quota, region.slot()),
        Request::InterruptBind { interrupt, notification, .. } => (interrupt, notification.slot()),
        Request::InterruptUnbind { interrupt } | Request::InterruptAcknowledge { interrupt } => (interrupt, 0),
        // The register, never its value.
        Request::DeviceRead { device, register } | Request::DeviceWrite { device, register, .. } => {
            (device, register as u32)
        }
        // The operation in the low byte, the bytes above it.
        Request::DeviceSubmit { device, operation, length, .. } => (device, operation as u32 | length << 8),
        Request::DeviceComplete { device } => (device, 0),
        Request::DeviceAddress { device, region, .. } => (device, region.slot()),
        Request::QuotaSplit { quota, pages, .. } => (quota, pages as u32),
        Request::QuotaInspect { quota } => (quota, 0),
        Request::LogRead { log, length, .. } => (log, length),
        Request::Debug { length } => (Handle::NONE, length),
    }
}

/// The slot as a record has it.
#[inline]
pub(crate) const fn slot_of(handle: Handle) -> u32 {
    if handle.is_none() { NONE } else { handle.slot() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record has one form: an escape without need, or in one field alone, is none.
    #[test]
    fn a_record_has_one_form() {
        let bytes = |words: [u64; 4]| words.map(u64::to_le_bytes).concat();
        let record = |thread, slot| Record { op: Op::Setup, ending: Ending::Done, thread, slot, offset: 5, tag: 6 };
        for (thread, slot) in [(3, 4), (NONE, NONE), (3, NONE), (NONE, 7)] {
            let [first, second] = record(thread, slot).words();
            assert_eq!(Record::decode(&bytes([first, second, 0, 0])), Some((record(thread, slot), HALF)));
        }
        for (thread, slot) in [(ESCAPED, 4), (3, 1 << 24), (NONE, u32::MAX)] {
            let [first, second] = record(thread, slot).words();
            let long = bytes([first, second, thread.into(), slot.into()]);
            assert_eq!(Record::decode(&long), Some((record(thread, slot), 2 * HALF)));
            assert_eq!(Record::decode(&long[..HALF]), None, "cut off");
        }
        let escaped = |thread: u64, slot: u64| u64::from(Op::Setup.number()) | thread << 16 | slot << 40;
        let (none, escape) = (u64::from(NONE), u64::from(ESCAPED));
        for words in [
            [escaped(escape, escape), 0, 3, 4],
            [escaped(escape, none), 0, escape, 4],
            [escaped(3, escape), 0, 3, escape],
            [escaped(escape, escape), 0, 1 << 32, 4],
        ] {
            assert_eq!(Record::decode(&bytes(words)), None, "{words:x?}");
        }
    }
}
