//! Host devices: what `device_read`, `device_write`, `device_submit` and
//! `device_complete` mean for each. A submitted operation completes later: the
//! device's interrupt comes, and `device_complete` hands over one completion a call.

use crate::Rights;

/// What a device is; first byte of what its holder must know of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum DeviceClass {
    /// Text out, lines or keys in.
    Console = 1,
    /// Blocks of 512 bytes.
    Disk = 2,
    /// Time. Registers only.
    Clock = 3,
    /// Randomness. Registers only.
    Entropy = 4,
    /// Turns the machine off. Registers only.
    Power = 5,
}

/// Clock, read: ns since boot.
pub const CLOCK_MONOTONIC: u64 = 0;
/// Clock, read: ns since 1970-01-01T00:00:00Z.
pub const CLOCK_WALL: u64 = 1;
/// Entropy, read: 64 random bits.
pub const ENTROPY_RANDOM: u64 = 0;
/// Disk, read: number of 512-byte blocks.
pub const DISK_BLOCKS: u64 = 0;
/// Disk, read: 1 if writes are refused.
pub const DISK_READ_ONLY: u64 = 1;
/// Console, read: 1 if a person may be at the other end (a terminal).
pub const CONSOLE_IS_TERMINAL: u64 = 0;
/// Console, read: columns of the terminal; 0 if unknown.
pub const CONSOLE_COLUMNS: u64 = 1;
/// Console, write: 1 gives keys as they come, 0 whole lines with echo by the host.
pub const CONSOLE_RAW: u64 = 2;
/// Power, write: shuts down in order; the value is the host's exit status.
pub const POWER_OFF: u64 = 0;

/// Size of a disk block in bytes.
pub const DISK_BLOCK_SIZE: usize = 512;

/// Operations for `device_submit`. `a` and `b` are its arguments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Operation {
    /// Disk: `a` first block, `b` number of blocks (at most 128). Console: `b` most
    /// bytes. The completion brings the bytes; of a console at its end, none.
    Read = 1,
    /// Disk: `a` first block; bytes are a multiple of 512. Console: bytes are text.
    Write = 2,
    /// Disk: completes when all that was completed before is durable, and the log
    /// with it. Console: when all was shown.
    Flush = 3,
}

impl Operation {
    /// The operation with this number.
    pub fn from_number(number: u8) -> Option<Operation> {
        Some(match number {
            1 => Operation::Read,
            2 => Operation::Write,
            3 => Operation::Flush,
            _ => return None,
        })
    }
    /// The right on the device that it needs.
    pub const fn right(self) -> Rights {
        match self {
            Operation::Read => Rights::READ,
            Operation::Write | Operation::Flush => Rights::WRITE,
        }
    }
}

/// How a submitted operation ended. Bytes read are beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The number that `device_submit` returned.
    pub request: u64,
    /// How it went.
    pub status: CompletionStatus,
    /// Bytes read or written.
    pub length: u32,
}

/// How a submitted operation ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum CompletionStatus {
    /// As asked.
    Done = 0,
    /// The device reports an error; the data is not to be trusted.
    Failed = 1,
    /// The device is full.
    Full = 2,
    /// The device is read-only.
    ReadOnly = 3,
    /// Outside the device, or not whole blocks.
    OutOfRange = 4,
}

impl CompletionStatus {
    /// The status with this number.
    pub fn from_number(number: u8) -> Option<CompletionStatus> {
        Some(match number {
            0 => CompletionStatus::Done,
            1 => CompletionStatus::Failed,
            2 => CompletionStatus::Full,
            3 => CompletionStatus::ReadOnly,
            4 => CompletionStatus::OutOfRange,
            _ => return None,
        })
    }
}
