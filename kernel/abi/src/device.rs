//! Host devices: what `device_read`, `device_write`, `device_submit` and
//! `device_complete` mean for each. A submitted operation completes later: the
//! device's interrupt comes, and `device_complete` hands over one completion a call.

use crate::Rights;

/// What a device is: register [`CLASS`] of every device says it.
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
    /// A serial line: bytes out ([`Operation::Write`], which for this device is over when it returns) and in
    /// ([`UART_RECEIVE`]). It has [`UART_STATUS`] and the two registers of a console that are read.
    Uart = 6,
    /// A function on the PCI bus: registers as [`crate::pci`] says; its driver finds out the rest.
    PciFunction = 7,
}

impl DeviceClass {
    /// The class with this number.
    pub fn from_number(number: u64) -> Option<DeviceClass> {
        Some(match number {
            1 => DeviceClass::Console,
            2 => DeviceClass::Disk,
            3 => DeviceClass::Clock,
            4 => DeviceClass::Entropy,
            5 => DeviceClass::Power,
            6 => DeviceClass::Uart,
            7 => DeviceClass::PciFunction,
            _ => return None,
        })
    }
}

/// From here to [`CLASS`] registers tell of the device itself, nothing of what it brings: whoever may write to it may
/// read them too.
pub const ABOUT: u64 = 0xffff_ff00;
/// Every device, read: its [`DeviceClass`].
pub const CLASS: u64 = 0xffff_ffff;
/// Serial line and PCI function, write: done when all that is on record up to this call is durable;
/// the value means nothing. A driver does it before it acts on what its device says is done, where
/// that must not be seen before its cause (output commit): a disk's after a flush. Where the
/// host works the device itself, the host does the same.
pub const LOG_DURABLE: u64 = 0xffff_fffe;

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
/// Console and serial line, read: 1 if a person may be at the other end (a terminal).
pub const CONSOLE_IS_TERMINAL: u64 = 0;
/// Console and serial line, read: columns of the terminal; 0 if unknown.
pub const CONSOLE_COLUMNS: u64 = 1;
/// Console, write: 1 gives keys as they come, 0 whole lines with echo by the host.
pub const CONSOLE_RAW: u64 = 2;
/// Power, read: the exit status that goes with a request from outside to end (130 for Ctrl-C at a
/// host's terminal, 143 for SIGTERM); 0 while there is none.
pub const POWER_REQUESTED: u64 = 0;
/// Power, write: shuts down in order; the value is the host's exit status.
pub const POWER_OFF: u64 = 0;

/// Serial line, read: what came, at most 7 bytes and none behind the first end of a line (CR, LF, or Ctrl-D),
/// so that what is typed for the next reader stays there for it. How many they are is in the low
/// byte, the first of them in the byte above it.
pub const UART_RECEIVE: u64 = 8;
/// Serial line, read: [`UART_IDLE`], [`UART_TERMINAL`].
pub const UART_STATUS: u64 = 0xffff_fff0;
/// Bit of [`UART_STATUS`]: all that was sent has left.
pub const UART_IDLE: u64 = 1;
/// Bit of [`UART_STATUS`]: a person may be at the other end.
pub const UART_TERMINAL: u64 = 1 << 1;
/// Bytes that one [`UART_RECEIVE`] brings at most.
pub const UART_MOST_RECEIVED: usize = 7;
/// Bytes that one [`Operation::Write`] to a serial line takes at most.
pub const UART_MOST_SENT: usize = 512;

/// Size of a disk block in bytes.
pub const DISK_BLOCK_SIZE: usize = 512;

/// Operations for `device_submit`. `a` and `b` are its arguments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Operation {
    /// Disk: `a` first block, `b` number of blocks (at most 128). Console: `b` most
    /// bytes. The completion brings the bytes; of a console at its end, none.
    Read = 1,
    /// Disk: `a` first block; bytes are a multiple of 512. Console: bytes are text. Serial line: what is returned is how
    /// many of the bytes were taken, [`UART_MOST_SENT`] at most, and there is no completion; `WouldBlock` when there is no
    /// room for any. The line's interrupt comes when all that was taken has left, and when something was received.
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
