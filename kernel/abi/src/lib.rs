//! What both sides of Orbital's door share: numbers, handles, rights, errors and
//! the layout of a message. No allocation, no dependencies but serde.
//!
//! | module | what is there |
//! |---|---|
//! | [`handle`] | [`Handle`], [`ReplyToken`]: what a process holds in its hand |
//! | [`rights`] | [`Kind`] of object and [`Rights`] |
//! | [`error`] | the one [`Error`] enum |
//! | [`message`] | message layout, transfers, deliveries, tags of the kernel's own messages |
//! | [`call`] | the system calls: [`Number`] and [`Request`] |
//! | [`info`] | what the inspecting calls return |
//! | [`device`] | operations and registers of host devices |
//! | [`pci`] | the registers of a PCI function |
//! | [`log`] | records as `log_read` returns them |
//! | [`native`] | the calls as ring 3 makes them on x86_64 |
#![no_std]
#![forbid(unsafe_code)]

pub mod call;
pub mod device;
pub mod error;
pub mod handle;
pub mod info;
pub mod log;
pub mod message;
pub mod native;
pub mod pci;
pub mod rights;

pub use call::{Number, Request, Returned};
pub use error::Error;
pub use handle::{Handle, ReplyToken};
pub use info::{CapabilityInfo, ExitReason, ProcessInfo, ProcessState, QuotaInfo};
pub use message::{Delivery, DeliveryKind, Message, Transfer, TransferMode};
pub use rights::{Kind, Rights};

/// A time-out that never comes.
pub const FOREVER: u64 = u64::MAX;
/// Bytes in a page, on every host: what quotas count memory in.
pub const PAGE_SIZE: usize = 4096;

/// A name for people: shown in logs, never decided on. UTF-8, at most 24 bytes,
/// zero-padded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(pub [u8; Name::CAPACITY]);

impl Name {
    /// The longest name, in bytes.
    pub const CAPACITY: usize = 24;

    /// The first 24 bytes of `text`, cut at a character boundary.
    pub fn new(text: &str) -> Name {
        let mut end = text.len().min(Self::CAPACITY);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; Self::CAPACITY];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Name(bytes)
    }

    /// The name as text; what is not UTF-8 reads as `?`.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(Self::CAPACITY);
        core::str::from_utf8(&self.0[..end]).unwrap_or("?")
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
