//! The system calls as ring 3 makes them on x86_64: instruction `syscall`.
//!
//! # Registers
//! | register | to the kernel | back |
//! |---|---|---|
//! | `rax` | [`Entry`]: number, count of words, flags, address of the [`Block`] | [`Exit`]: error, kind, counts |
//! | `rdi` | first argument (endpoint, handle) | value, handle; reply token of a delivery |
//! | `rsi` | second argument (tag) | tag of a delivery |
//! | `rdx` | third argument (reply token) | badge of a delivery |
//! | `r8` | fourth argument (time-out) | 0 |
//! | `r9 r10 r12 r13 r14 r15 rbx rbp` | words 0 to 7 of a message | words 0 to 7 of a delivery |
//! | `rcx r11` | | destroyed by the processor |
//!
//! As many words travel as [`Entry`] says; the registers of the others keep what the
//! receiver had in them. `rsp` is kept, and so is everything above where no words come.
//! Arguments that find no register, and bytes and capabilities, go by the [`Block`], which
//! lies in the caller's memory. A block that is not readable and writable memory of the caller
//! is `InvalidArgument`, and what would have been written into it is lost.
//!
//! # Where the arguments of each call are
//! `rdi`, `rsi`, `rdx`, `r8` have the arguments in the order of [`crate::Request`], except:
//! - `send`, `call`: endpoint, tag, -, time-out. `reply`: -, tag, reply. `receive`: endpoint, -, -,
//!   time-out. `reply-receive`: endpoint, tag, reply, time-out.
//! - `inspect`: process, slot, ancestor; the answer is in [`Block::out`].
//! - `process-create`: image, quota, supervisor; [`Block::more`] has capabilities, queued messages,
//!   processor time, then the 24 bytes of the name in three words.
//! - `process-grant`: process, source, rights, badge; `more[0]` is the expiry.
//! - `process-limit`: process; `more[0..3]` as above.
//! - `thread-configure`: thread, priority, budget, period.
//! - `image-create`: quota, region, length; `more[0..3]` is the name.
//! - `device-submit`: device, operation, a, b; bytes in the block.
//! - `region-read`, `log-read`: handle, offset, length; the bytes come into [`Block::buffer`].
//! - `region-write`: region, offset; bytes in the block. `process-start`, `debug`: bytes in the block.
//!
//! # What the host itself answers
//! [`GROW`], [`SET_TLS`]: see there. Numbers that nobody has are `Unsupported`.
//!
//! # The address space
//! [`IMAGE_FROM`] to [`IMAGE_END`] has the image, [`HEAP`] what [`GROW`] adds, [`STACK_TOP`] is the
//! end of the first thread's stack of [`STACK_BYTES`], [`REGIONS_FROM`] to [`REGIONS_END`] is for
//! `region-map`. The first thread begins at the image's entry with all registers zero.

use crate::message::{MAX_TRANSFERS, WORDS};
use crate::{Delivery, DeliveryKind, Error, ReplyToken};

/// Host call: so many more pages (`rdi`) of zeroed memory behind the heap; `rdi` is the address of
/// the first. 0 pages: where the heap ends. `QuotaExceeded` where the process's quota has no more.
pub const GROW: u8 = 240;
/// Host call: the calling thread's FS base (`rdi`), which is 0 before. `InvalidArgument` for an
/// address outside the lower half.
pub const SET_TLS: u8 = 241;

/// Where images are linked to.
pub const IMAGE_FROM: u64 = 0x40_0000;
/// One more than the last address that an image may use.
pub const IMAGE_END: u64 = 0x4000_0000;
/// Where the heap begins.
pub const HEAP: u64 = 0x10_0000_0000;
/// One more than the last address of the heap.
pub const HEAP_END: u64 = 0x18_0000_0000;
/// The end of the first thread's stack.
pub const STACK_TOP: u64 = 0x20_0000_0000;
/// Bytes of the first thread's stack; below it nothing is mapped.
pub const STACK_BYTES: u64 = 256 * 1024;
/// The first address at which a region can be mapped.
pub const REGIONS_FROM: u64 = 0x40_0000_0000;
/// One more than the last address at which a region can be mapped; so the last page of the lower
/// half, from which `syscall` would return to a non-canonical address, is never mapped.
pub const REGIONS_END: u64 = 0x7f00_0000_0000;

/// What `rax` tells the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    /// Flag: the block has bytes or transfers that go out.
    pub const PAYLOAD: u64 = 1 << 12;

    /// Of a call with so many words (at most 8) and a block at this address (0: none).
    #[inline]
    pub const fn new(number: u8, words: usize, payload: bool, block: u64) -> Entry {
        let flags = if payload { Entry::PAYLOAD } else { 0 };
        Entry(number as u64 | (words as u64) << 8 | flags | block << 16)
    }

    /// The call's number.
    #[inline]
    pub const fn number(self) -> u8 {
        self.0 as u8
    }

    /// How many words go out, at most 15: more than 8 is to be refused.
    #[inline]
    pub const fn words(self) -> usize {
        (self.0 >> 8 & 15) as usize
    }

    /// Whether bytes or transfers go out.
    #[inline]
    pub const fn has_payload(self) -> bool {
        self.0 & Entry::PAYLOAD != 0
    }

    /// Address of the block; 0: none.
    #[inline]
    pub const fn block(self) -> u64 {
        self.0 >> 16
    }
}

/// What `rax` brings back: error in bits 0 to 7 (0: none), words in 8 to 11, kind of delivery in
/// 12 to 15, capabilities in 16 to 19, flag [`Exit::DELIVERY`], bytes in 32 to 63.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Exit(pub u64);

impl Exit {
    /// Flag: the registers have a delivery.
    pub const DELIVERY: u64 = 1 << 20;
    /// Done, with nothing but what is in `rdi`.
    pub const DONE: Exit = Exit(0);

    /// Of a call that failed.
    #[inline]
    pub const fn failed(error: Error) -> Exit {
        Exit(error as u64)
    }

    /// Of a call that brought bytes.
    #[inline]
    pub const fn bytes(length: u32) -> Exit {
        Exit((length as u64) << 32)
    }

    /// Of a call that a delivery with so many words ends.
    #[inline]
    pub const fn delivered(delivery: &Delivery, words: usize) -> Exit {
        Exit(
            (words as u64) << 8
                | (delivery.kind as u64) << 12
                | (delivery.capabilities as u64) << 16
                | Exit::DELIVERY
                | (delivery.length as u64) << 32,
        )
    }

    /// The error, if the call failed.
    #[inline]
    pub fn error(self) -> Option<Error> {
        Error::from_number(self.0 as u8)
    }

    /// Words that came.
    #[inline]
    pub const fn words(self) -> usize {
        (self.0 >> 8 & 15) as usize
    }

    /// Bytes that came.
    #[inline]
    pub const fn length(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The delivery, of which the registers hold these; `None` if it is none.
    #[inline]
    pub fn delivery(self, reply: u64, tag: u64, badge: u64) -> Option<Delivery> {
        if self.0 & Exit::DELIVERY == 0 {
            return None;
        }
        let kind = match self.0 >> 12 & 15 {
            0 => DeliveryKind::Sent,
            1 => DeliveryKind::Called,
            2 => DeliveryKind::Answer,
            3 => DeliveryKind::Notified,
            4 => DeliveryKind::Fault,
            5 => DeliveryKind::Exit,
            _ => return None,
        };
        let capabilities = (self.0 >> 16 & 15) as u8;
        Some(Delivery { kind, capabilities, length: self.length(), badge, tag, reply: ReplyToken(reply) })
    }
}

/// What goes with a call in the caller's memory. Aligned to 8 bytes. The kernel reads it when the
/// call is made, except `buffer` and `capacity`, which it reads when bytes come; it writes `handles`
/// and `out` when the call ends.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Block {
    /// Address of the bytes that go out; with [`Entry::PAYLOAD`]. They stay where they are until the
    /// call ends.
    pub bytes: u64,
    /// How many; at most [`crate::message::MAX_BYTES`].
    pub length: u64,
    /// How many transfers go out, at most 8; with [`Entry::PAYLOAD`].
    pub transfers: u64,
    /// Where bytes that come are put.
    pub buffer: u64,
    /// How many fit there; of more, the rest is lost.
    pub capacity: u64,
    /// Arguments that find no register.
    pub more: [u64; 8],
    /// Handle, mode, rights, badge of each transfer.
    pub transfer: [[u64; 4]; MAX_TRANSFERS],
    /// The handles that came with a delivery.
    pub handles: [u64; MAX_TRANSFERS],
    /// What the inspecting calls answer; see [`out`].
    pub out: [u64; OUT],
}

/// Words in [`Block::out`].
pub const OUT: usize = 16;

impl Block {
    /// An empty one.
    pub const EMPTY: Block = Block {
        bytes: 0,
        length: 0,
        transfers: 0,
        buffer: 0,
        capacity: 0,
        more: [0; 8],
        transfer: [[0; 4]; MAX_TRANSFERS],
        handles: [0; MAX_TRANSFERS],
        out: [0; OUT],
    };
}

/// How the answers of the inspecting calls lie in [`Block::out`].
pub mod out {
    use super::OUT;
    use crate::device::{Completion, CompletionStatus};
    use crate::{CapabilityInfo, ExitReason, Handle, Kind, Name, ProcessInfo, ProcessState, QuotaInfo, Rights};

    fn name_words(name: Name) -> [u64; 3] {
        let mut words = [0; 3];
        for (word, bytes) in words.iter_mut().zip(name.0.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        words
    }

    /// A name from three words, first byte lowest.
    pub fn name(words: [u64; 3]) -> Name {
        let mut name = Name::default();
        for (word, bytes) in words.iter().zip(name.0.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        name
    }

    /// A name as three words.
    pub fn of_name(name: Name) -> [u64; 3] {
        name_words(name)
    }

    /// A capability.
    pub fn of_capability(info: &CapabilityInfo) -> [u64; OUT] {
        let mut out = [0; OUT];
        let parent = info.parent.map_or(u64::MAX, u64::from);
        let head = [
            info.capability.into(),
            info.holder,
            info.handle.0,
            info.kind as u64,
            info.object.into(),
            info.rights.0.into(),
            info.badge,
            info.expiry,
            parent,
        ];
        out[..9].copy_from_slice(&head);
        out[9..12].copy_from_slice(&name_words(info.name));
        out
    }

    /// A capability; `None` for what is none.
    pub fn capability(out: &[u64; OUT]) -> Option<CapabilityInfo> {
        Some(CapabilityInfo {
            capability: u32::try_from(out[0]).ok()?,
            holder: out[1],
            handle: Handle(out[2]),
            kind: Kind::from_number(u8::try_from(out[3]).ok()?)?,
            object: u32::try_from(out[4]).ok()?,
            rights: Rights(u16::try_from(out[5]).ok()?),
            badge: out[6],
            expiry: out[7],
            parent: u32::try_from(out[8]).ok(),
            name: name([out[9], out[10], out[11]]),
        })
    }

    /// A process.
    pub fn of_process(info: &ProcessInfo) -> [u64; OUT] {
        let mut out = [0; OUT];
        let head = [
            info.serial,
            info.state as u64,
            info.reason as u64,
            info.code,
            info.processor_time,
            info.calls,
            info.pages,
            info.capabilities.into(),
            info.threads.into(),
        ];
        out[..9].copy_from_slice(&head);
        out[9..12].copy_from_slice(&name_words(info.name));
        out
    }

    /// A process; `None` for what is none.
    pub fn process(out: &[u64; OUT]) -> Option<ProcessInfo> {
        let state = match out[1] {
            0 => ProcessState::Created,
            1 => ProcessState::Running,
            2 => ProcessState::Suspended,
            3 => ProcessState::Exited,
            _ => return None,
        };
        Some(ProcessInfo {
            serial: out[0],
            name: name([out[9], out[10], out[11]]),
            state,
            reason: ExitReason::from_number(u8::try_from(out[2]).ok()?)?,
            code: out[3],
            processor_time: out[4],
            calls: out[5],
            pages: out[6],
            capabilities: u32::try_from(out[7]).ok()?,
            threads: u32::try_from(out[8]).ok()?,
        })
    }

    /// A quota.
    pub fn of_quota(info: &QuotaInfo) -> [u64; OUT] {
        let mut out = [0; OUT];
        out[..4].copy_from_slice(&[info.memory, info.memory_used, info.pages, info.pages_used]);
        out
    }

    /// A quota.
    pub fn quota(out: &[u64; OUT]) -> QuotaInfo {
        QuotaInfo { memory: out[0], memory_used: out[1], pages: out[2], pages_used: out[3] }
    }

    /// A completion.
    pub fn of_completion(completion: &Completion) -> [u64; OUT] {
        let mut out = [0; OUT];
        out[..3].copy_from_slice(&[completion.request, completion.status as u64, completion.length.into()]);
        out
    }

    /// A completion; `None` for what is none.
    pub fn completion(out: &[u64; OUT]) -> Option<Completion> {
        Some(Completion {
            request: out[0],
            status: CompletionStatus::from_number(u8::try_from(out[1]).ok()?)?,
            length: u32::try_from(out[2]).ok()?,
        })
    }
}

/// Words in registers, in the order in which they are numbered.
pub const WORD_REGISTERS: [&str; WORDS] = ["r9", "r10", "r12", "r13", "r14", "r15", "rbx", "rbp"];
