//! What the host must do after a step. The kernel decides, the host carries out.

use crate::input::Hash;
use crate::region::Mapping;
use crate::{BufferId, DeviceId, EndpointId, ImageId, InterruptId, ProcessId, RegionId, ThreadId};
use abi::device::Operation;
use abi::message::Words;
use abi::{Delivery, Error, Returned, Rights};

/// Where the payload (words and bytes) of a delivery lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayloadSource {
    /// In the outbox of a thread: what it passed with the call that it made.
    Thread(ThreadId),
    /// In a buffer that [`Effect::Store`] filled; the buffer is free afterwards.
    Buffer(BufferId),
    /// The kernel itself sends these words: fault, exit, notification.
    Kernel(Words),
}

/// The effect of a step that has no other, and is frequent: in few words, so that it is told at no cost. The same as
/// the [`Effect`] that [`crate::Kernel::effect`] makes of it, for hosts that count instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sole {
    /// The wait of `thread` for a notification ended with these bits.
    Woken {
        /// Who waited.
        thread: ThreadId,
        /// Its result.
        bits: u64,
    },
    /// The fault of `thread` was delivered: [`crate::Kernel::fault_of`] says what that is.
    Fault {
        /// Its supervisor.
        to: ThreadId,
        /// Who waits for the verdict.
        thread: ThreadId,
    },
    /// [`Effect::Map`] through this capability's mapping.
    Map(Mapping),
    /// [`Effect::Unmap`] of what this was.
    Unmap(Mapping),
}

/// One thing that the host must do. In the order in which they come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Move payload from `from` to the inbox of `to` and complete the call in which it
    /// waits (or which it is making) with `delivery`. `handles` of them came with it.
    Deliver {
        /// The receiver, waiter or caller.
        to: ThreadId,
        /// Where words and bytes are.
        from: PayloadSource,
        /// What it is told.
        delivery: Delivery,
    },
    /// Complete the call in which `thread` waits.
    Complete {
        /// Who waits.
        thread: ThreadId,
        /// With what.
        result: Result<Returned, Error>,
    },
    /// Keep the payload in the outbox of `from` in `buffer`, until it is delivered or discarded.
    Store {
        /// The sender.
        from: ThreadId,
        /// Where.
        buffer: BufferId,
    },
    /// The buffer is free; its message went undelivered.
    Discard(BufferId),

    /// From now on what goes through the endpoint is to be written down, sealed, apart from the log.
    CaptureBegan {
        /// Which.
        endpoint: EndpointId,
        /// By whose order: the serial of the process.
        process: u64,
    },
    /// Not any longer: by order, or because the endpoint is gone.
    CaptureEnded {
        /// Which.
        endpoint: EndpointId,
    },
    /// Write this down: the [`Effect::Deliver`] of it follows, which takes the payload.
    Captured {
        /// Through which endpoint it came; of an answer, the call.
        endpoint: EndpointId,
        /// Who sent it: the serial of the process; 0 is the kernel.
        sender: u64,
        /// Who gets it.
        receiver: u64,
        /// Where words and bytes are.
        payload: PayloadSource,
        /// As the receiver is told.
        delivery: Delivery,
    },

    /// A process began to exist; nothing runs yet.
    ProcessCreated {
        /// Which.
        process: ProcessId,
        /// What it will run.
        image: ImageId,
    },
    /// A thread is ready for the first time. Of a process's first thread, the startup
    /// bytes are in the outbox of `startup` (none for init: the host has them).
    ThreadStarted {
        /// Which.
        thread: ThreadId,
        /// Of which process.
        process: ProcessId,
        /// Who holds its startup bytes.
        startup: Option<ThreadId>,
        /// Entry, stack and argument of a thread that is not the first.
        entry: Option<[u64; 3]>,
    },
    /// Drop the thread, and its payload.
    ThreadGone(ThreadId),
    /// Drop the process, its memory and its threads.
    ProcessGone(ProcessId),

    /// Make a region of so many zeroed pages.
    RegionCreated {
        /// Which.
        region: RegionId,
        /// 4 KiB pages.
        pages: u64,
    },
    /// Free its pages.
    RegionGone(RegionId),
    /// Map it.
    Map {
        /// Where.
        process: ProcessId,
        /// What.
        region: RegionId,
        /// At which address.
        address: u64,
        /// How.
        rights: Rights,
    },
    /// Unmap it.
    Unmap {
        /// Where.
        process: ProcessId,
        /// What.
        region: RegionId,
        /// From which address.
        address: u64,
    },
    /// Copy from the region to the thread's inbox; the call returns `Bytes`.
    RegionRead {
        /// For whom.
        thread: ThreadId,
        /// From which.
        region: RegionId,
        /// Where, in bytes.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Copy from the thread's outbox into the region.
    RegionWrite {
        /// Of whom.
        thread: ThreadId,
        /// Into which.
        region: RegionId,
        /// Where, in bytes.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Check what lies in the region as an executable and hash it; then give
    /// [`crate::Input::HostDone`]. The thread waits.
    CheckImage {
        /// Who waits.
        thread: ThreadId,
        /// Where it lies.
        region: RegionId,
        /// Bytes.
        length: u64,
    },
    /// An image exists: the host keeps the executable with this hash for it.
    ImageCreated {
        /// Which.
        image: ImageId,
        /// BLAKE3.
        hash: Hash,
    },
    /// The image is gone.
    ImageGone(ImageId),

    /// Let the line come (bound or acknowledged), or hold it back.
    Line {
        /// Which.
        line: InterruptId,
        /// Whether it may come.
        open: bool,
    },
    /// Read a register now: the result of the call is its value.
    DeviceRead {
        /// For whom.
        thread: ThreadId,
        /// Of which.
        device: DeviceId,
        /// Which.
        register: u64,
    },
    /// Write a register.
    DeviceWrite {
        /// For whom.
        thread: ThreadId,
        /// Of which.
        device: DeviceId,
        /// Which.
        register: u64,
        /// What.
        value: u64,
    },
    /// Begin an operation; bytes are in the outbox. The result is the request's number.
    DeviceSubmit {
        /// For whom.
        thread: ThreadId,
        /// At which.
        device: DeviceId,
        /// What.
        operation: Operation,
        /// First argument.
        a: u64,
        /// Second argument.
        b: u64,
        /// Bytes.
        length: u32,
    },
    /// Take a completion; the result is it, or `WouldBlock`.
    DeviceComplete {
        /// For whom.
        thread: ThreadId,
        /// Of which.
        device: DeviceId,
    },
    /// Let the device read and write the region, and complete the call with the bus address of
    /// that page. Until the region is gone the host keeps in mind that the device was told; when
    /// it goes, the device loses the bus before the pages are used again.
    DeviceAddress {
        /// For whom.
        thread: ThreadId,
        /// Which.
        device: DeviceId,
        /// Of which.
        region: RegionId,
        /// Which of its pages; it has it.
        page: u64,
    },
    /// Put records of the log into the thread's inbox; the call returns `Bytes`.
    LogRead {
        /// For whom.
        thread: ThreadId,
        /// From which record on.
        from: u64,
        /// At most so many bytes.
        length: u32,
    },
    /// Show the text in the thread's outbox.
    Debug {
        /// Of whom.
        thread: ThreadId,
        /// Bytes.
        length: u32,
    },
    /// Put the startup bytes of the thread's process into its inbox; the call returns `Bytes`.
    Startup {
        /// For whom.
        thread: ThreadId,
    },
}
