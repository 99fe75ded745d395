//! The layout of a message: tag, eight words, up to 64 KiB of bytes, up to eight
//! capabilities. The kernel decides on tag, length and capabilities alone; words
//! and bytes are payload, which the host moves.

use crate::{Handle, ReplyToken, Rights};
use serde::{Deserialize, Serialize};

/// Words that a message carries in registers.
pub const WORDS: usize = 8;
/// The most bytes that a message carries beside its words.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most capabilities that a message carries.
pub const MAX_TRANSFERS: usize = 8;

/// The eight words of a message.
pub type Words = [u64; WORDS];

/// What the kernel sees of a message that is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Interface number + method number; the kernel does not interpret it.
    pub tag: u64,
    /// Bytes beside the words; at most [`MAX_BYTES`].
    pub length: u32,
    /// The capabilities that ride on it; at most [`MAX_TRANSFERS`]. Needs
    /// [`Rights::GRANT`] on the endpoint, for a reply nothing.
    pub transfers: &'a [Transfer],
}

/// One capability that rides on a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The sender's capability, or the token of a reply (`TransferMode::Reply`).
    pub handle: Handle,
    /// What the receiver gets of it.
    pub mode: TransferMode,
    /// With `Derive`: the rights of the derived capability, each of which the
    /// source must have; [`Rights::ALL`] for all that it has.
    pub rights: Rights,
    /// With `Derive`: the badge to set (0: none); only on an unbadged capability.
    pub badge: u64,
}

/// What the receiver gets of a transferred capability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum TransferMode {
    /// The capability itself; the sender has it no longer.
    Move = 0,
    /// A capability derived from the sender's.
    Derive = 1,
    /// The right to answer a call that the sender has received.
    Reply = 2,
}

/// What a receiver, a waiter or a caller was woken with. Words and bytes are
/// beside it, where the host put them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// What came.
    pub kind: DeliveryKind,
    /// Handles that arrived, at most [`MAX_TRANSFERS`]; their values are fetched
    /// apart.
    pub capabilities: u8,
    /// Bytes that arrived beside the words.
    pub length: u32,
    /// The badge of the capability that the message came in through; 0 if it has none.
    pub badge: u64,
    /// The sender's tag; of a notification, its bits.
    pub tag: u64,
    /// The right to answer, of a call or a fault; else [`ReplyToken::NONE`].
    pub reply: ReplyToken,
}

/// What came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum DeliveryKind {
    /// A message that was sent: nobody waits.
    Sent = 0,
    /// A message whose sender waits for the reply.
    Called = 1,
    /// The answer to the caller's own call.
    Answer = 2,
    /// The bound notification: `tag` has its bits, which are cleared.
    Notified = 3,
    /// A fault of a thread of a supervised process; it waits for a verdict.
    /// Words: see [`fault_words`]. Answer with tag [`VERDICT_RESUME`] or [`VERDICT_KILL`].
    Fault = 4,
    /// A supervised process has ended. Words: see [`exit_words`].
    Exit = 5,
}

/// Tag of a fault message.
pub const TAG_FAULT: u64 = 0x0F01;
/// Tag of an exit message.
pub const TAG_EXIT: u64 = 0x0F02;
/// Verdict on a fault: the thread goes on where it was. Of a WASM trap, which
/// cannot be resumed, it kills all the same.
pub const VERDICT_RESUME: u64 = 0x0F10;
/// Verdict on a fault: the process is killed, with the fault as the reason.
pub const VERDICT_KILL: u64 = 0x0F11;

/// What a thread did that it could not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum FaultKind {
    /// Memory that it must not touch so; `detail` is the address.
    BadAccess = 1,
    /// An instruction that it must not execute; `detail` is the address.
    BadInstruction = 2,
    /// The processor time that its process may use is used up; `detail` is the
    /// limit in ns. Can be resumed, once the limit is raised.
    TimeLimit = 3,
    /// A WebAssembly trap; `detail` is the host's number for it. Cannot be resumed.
    Trap = 4,
    /// The stack ran out. `detail` is the address, where there is one.
    StackOverflow = 5,
}

impl FaultKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<FaultKind> {
        Some(match number {
            1 => FaultKind::BadAccess,
            2 => FaultKind::BadInstruction,
            3 => FaultKind::TimeLimit,
            4 => FaultKind::Trap,
            5 => FaultKind::StackOverflow,
            _ => return None,
        })
    }
}

/// The words of a fault message: kind, detail, process serial, thread number.
pub const fn fault_words(kind: FaultKind, detail: u64, process: u64, thread: u64) -> Words {
    [kind as u64, detail, process, thread, 0, 0, 0, 0]
}

/// The words of an exit message: reason (an [`crate::ExitReason`] number), code,
/// process serial, processor time used in ns.
pub const fn exit_words(reason: u8, code: u64, process: u64, time: u64) -> Words {
    [reason as u64, code, process, time, 0, 0, 0, 0]
}
