//! What can happen to the kernel: the system calls of threads, and what the host reports.

use crate::{DeviceId, InterruptId, ProcessId, ThreadId};
use abi::message::FaultKind;
use abi::{Error, Handle, Name, Request, Rights};

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// One input. Every input comes with the time, in ns since boot.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The host sets the machine up, before init runs.
    Setup(Setup),
    /// A system call of the thread that is running.
    Call {
        /// Who calls: what the host says is running.
        thread: ThreadId,
        /// What it asks.
        request: &'a Request<'a>,
    },
    /// A line came. It is masked until it is acknowledged.
    Interrupt(InterruptId),
    /// Time passed: time-outs, budgets and expiry are due up to now.
    Tick,
    /// The running thread's slice is over.
    Preempt,
    /// The running thread did what it could not.
    Fault {
        /// Who.
        thread: ThreadId,
        /// What.
        kind: FaultKind,
        /// Address or number, as [`FaultKind`] says.
        detail: u64,
        /// Whether a verdict may resume it.
        resumable: bool,
    },
    /// A process grew its memory (WebAssembly `memory.grow`) by so many pages.
    Grow {
        /// Which.
        process: ProcessId,
        /// 4 KiB pages.
        pages: u64,
    },
    /// What a thread waited for at the host is done ([`crate::Effect::CheckImage`]).
    HostDone {
        /// Who waited.
        thread: ThreadId,
        /// The hash of the image that was checked, or why it was refused.
        result: Result<Hash, Error>,
    },
}

/// What the host sets up, in the order in which it calls. The result is the handle in
/// the table of the first process, or the thread that was started.
#[derive(Clone, Copy, Debug)]
pub enum Setup {
    /// First: the root quota: kernel memory in bytes, pages.
    Quota {
        /// Bytes of kernel memory.
        memory: u64,
        /// Pages.
        pages: u64,
    },
    /// Second: the first process (init), made from this image. The capabilities of the
    /// following calls go to it. It holds the root quota at its handle (slot 0), and itself to inspect
    /// (slot 1).
    Init {
        /// The image's hash.
        image: Hash,
        /// The image's length in bytes.
        length: u64,
        /// The process's name.
        name: Name,
    },
    /// A device, all rights to init.
    Device {
        /// Its number at the host.
        device: DeviceId,
        /// Its name.
        name: Name,
        /// The line of its interrupt, if it has one; a capability to that follows the device's.
        interrupt: Option<InterruptId>,
    },
    /// An image of the boot set, all rights to init.
    Image {
        /// BLAKE3 of the executable.
        hash: Hash,
        /// Bytes.
        length: u64,
        /// Its name.
        name: Name,
    },
    /// The log, read and manage to init.
    Log,
    /// Last: start init. `length` bytes are its startup bytes.
    Start {
        /// Bytes.
        length: u32,
    },
}

/// What [`Setup`] made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetUp {
    /// Handle in init's table; `NONE` where there is none.
    pub handle: Handle,
    /// Handle of the device's interrupt; `NONE` if it has none.
    pub interrupt: Handle,
    /// Rights that init has.
    pub rights: Rights,
}
