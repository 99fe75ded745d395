//! The backend on bare x86_64: instruction `syscall`, as [`abi::native`] says. A call blocks in
//! the kernel, so [`SystemCalls::begin`] is never pending here.
//!
//! A message of a few words, without bytes and capabilities, goes in registers alone: nothing
//! is written to memory on the way out. What else goes and comes lies in a [`Block`] of which every
//! thread has its own, with 64 KiB for the bytes that come.
//!
//! All unsafe code that a process needs on this host is in this file and those below it.
#![allow(unsafe_code)]

mod heap;
mod lock;
pub(crate) mod thread;

pub(crate) use lock::OnBell;

use crate::backend::{Answer, SystemCalls};
use abi::message::{MAX_BYTES, MAX_TRANSFERS, Message, WORDS, Words};
use abi::native::{Block, Entry, Exit, out};
use abi::{Error, Handle, Request, Returned, Transfer};
use alloc::vec::Vec;
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::task::{Context, Poll};

/// Where the bytes that come to a thread are put: as many as a message can have.
#[repr(C, align(4096))]
pub(crate) struct Buffer(UnsafeCell<[u8; MAX_BYTES]>);

// SAFETY: the one static of this type is used by the first thread alone, through its `Door`.
unsafe impl Sync for Buffer {}

static FIRST_BUFFER: Buffer = Buffer(UnsafeCell::new([0; MAX_BYTES]));

/// A thread's system calls.
pub struct Door {
    /// What goes with a call in memory. Between two calls nobody but this thread looks at it.
    block: UnsafeCell<Block>,
    buffer: &'static Buffer,
    /// Bytes in the buffer that nobody has taken.
    bytes: Cell<usize>,
    /// Handles in the block that nobody has taken.
    handles: Cell<usize>,
}

/// What the registers brought back.
struct Back {
    exit: Exit,
    rdi: u64,
    rsi: u64,
    rdx: u64,
}

/// What a call returns, if it succeeds.
enum Shape {
    Nothing,
    Handle,
    Value,
    Bytes,
    Capability,
    Process,
    Quota,
    Completion,
}

impl Door {
    /// Of the first thread.
    pub(crate) const fn first() -> Door {
        Door::of(&FIRST_BUFFER)
    }

    /// Of a thread whose bytes come into `buffer`, which nobody else may use.
    const fn of(buffer: &'static Buffer) -> Door {
        Door { block: UnsafeCell::new(Block::EMPTY), buffer, bytes: Cell::new(0), handles: Cell::new(0) }
    }

    /// Tells the kernel where bytes go. Once, before the first call.
    pub(crate) fn open(&self) {
        // SAFETY: nothing else refers to the block: `Door` is not `Sync`, and no reference into the
        // block leaves a method.
        let block = unsafe { &mut *self.block.get() };
        block.buffer = self.buffer.0.get().expose_provenance() as u64;
        block.capacity = MAX_BYTES as u64;
    }

    fn block_address(&self) -> u64 {
        self.block.get().expose_provenance() as u64
    }

    /// Puts into the block what goes out in memory; whether there is any.
    fn load(&self, bytes: &[u8], transfers: &[Transfer]) -> bool {
        if bytes.is_empty() && transfers.is_empty() {
            return false;
        }
        // SAFETY: as in `open`.
        let block = unsafe { &mut *self.block.get() };
        block.bytes = bytes.as_ptr().expose_provenance() as u64;
        block.length = bytes.len() as u64;
        block.transfers = transfers.len() as u64;
        for (to, from) in block.transfer.iter_mut().zip(transfers) {
            *to = [from.handle.0, from.mode as u64, from.rights.0.into(), from.badge];
        }
        true
    }

    fn more<const N: usize>(&self, more: [u64; N]) {
        // SAFETY: as in `open`.
        unsafe { (&mut (*self.block.get()).more)[..N].copy_from_slice(&more) };
    }

    /// A call that sends or receives a message.
    #[inline]
    fn exchange(
        &self,
        request: &Request<'_>,
        [endpoint, reply, timeout]: [u64; 3],
        message: &Message<'_>,
        words: &Words,
        bytes: &[u8],
    ) -> Answer {
        if message.transfers.len() > MAX_TRANSFERS {
            return Answer::without_words(Err(Error::TooLarge));
        }
        let payload = self.load(bytes, message.transfers);
        let count = WORDS - words.iter().rev().take_while(|&&word| word == 0).count();
        let entry = Entry::new(request.number() as u8, count, payload, self.block_address());
        let mut came = *words;
        // SAFETY: the block lies where the entry says, is this thread's alone, and so are the
        // buffer that it names and the bytes, which are borrowed until the call is over.
        let back = unsafe { message_call(entry, [endpoint, message.tag, reply, timeout], &mut came) };
        if let Some(error) = back.exit.error() {
            return Answer::without_words(Err(error));
        }
        let Some(delivery) = back.exit.delivery(back.rdi, back.rsi, back.rdx) else {
            return Answer::without_words(Ok(Returned::Nothing));
        };
        self.bytes.set((delivery.length as usize).min(MAX_BYTES));
        self.handles.set(usize::from(delivery.capabilities).min(MAX_TRANSFERS));
        // The registers of words that did not come still have what was sent.
        came[back.exit.words().min(WORDS)..].fill(0);
        Answer { result: Ok(Returned::Delivery(delivery)), words: came }
    }

    /// Any other call.
    fn plain(&self, request: &Request<'_>, shape: Shape, arguments: [u64; 4], bytes: &[u8]) -> Poll<Answer> {
        let payload = self.load(bytes, &[]);
        let entry = Entry::new(request.number() as u8, 0, payload, self.block_address());
        // SAFETY: as in `exchange`.
        let back = unsafe { plain_call(entry, arguments) };
        Poll::Ready(Answer::without_words(match back.exit.error() {
            Some(error) => Err(error),
            None => self.returned(shape, &back),
        }))
    }

    // A kernel that answers with a number outside its table is broken; the call failed.
    fn returned(&self, shape: Shape, back: &Back) -> Result<Returned, Error> {
        // SAFETY: as in `open`; the call that wrote it is over.
        let answer = unsafe { &(*self.block.get()).out };
        Ok(match shape {
            Shape::Nothing => Returned::Nothing,
            Shape::Handle => Returned::Handle(Handle(back.rdi)),
            Shape::Value => Returned::Value(back.rdi),
            Shape::Bytes => {
                self.bytes.set((back.exit.length() as usize).min(MAX_BYTES));
                Returned::Bytes(back.exit.length())
            }
            Shape::Capability => Returned::Capability(out::capability(answer).ok_or(Error::Unsupported)?),
            Shape::Process => Returned::Process(out::process(answer).ok_or(Error::Unsupported)?),
            Shape::Quota => Returned::Quota(out::quota(answer)),
            Shape::Completion => {
                let completion = out::completion(answer).ok_or(Error::Unsupported)?;
                self.bytes.set((completion.length as usize).min(MAX_BYTES));
                Returned::Completion(completion)
            }
        })
    }
}

impl SystemCalls for Door {
    #[inline]
    fn begin(&self, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Poll<Answer> {
        const NOTHING: Message<'static> = Message { tag: 0, length: 0, transfers: &[] };
        let exchange = |registers, message: &Message<'_>, words: &Words| {
            Poll::Ready(self.exchange(request, registers, message, words, bytes))
        };
        let plain = |shape, arguments| self.plain(request, shape, arguments, bytes);
        match *request {
            Request::Send { endpoint, message, timeout } | Request::Call { endpoint, message, timeout } => {
                exchange([endpoint.0, 0, timeout], &message, words)
            }
            Request::Receive { endpoint, timeout } => exchange([endpoint.0, 0, timeout], &NOTHING, &[0; WORDS]),
            Request::Reply { reply, message } => exchange([0, reply.0, 0], &message, words),
            Request::ReplyReceive { endpoint, reply, message, timeout } => {
                exchange([endpoint.0, reply.0, timeout], &message, words)
            }
            Request::Signal { notification, bits } => plain(Shape::Nothing, [notification.0, bits, 0, 0]),
            Request::Wait { notification, timeout } => plain(Shape::Value, [notification.0, timeout, 0, 0]),
            Request::Poll { notification } => plain(Shape::Value, [notification.0, 0, 0, 0]),
            Request::Yield => plain(Shape::Nothing, [0; 4]),

            Request::Derive { source, rights, badge, expiry } => {
                plain(Shape::Handle, [source.0, rights.0.into(), badge, expiry])
            }
            Request::Delete { handle } => plain(Shape::Nothing, [handle.0, 0, 0, 0]),
            Request::Revoke { handle } => plain(Shape::Value, [handle.0, 0, 0, 0]),
            Request::Destroy { handle } => plain(Shape::Nothing, [handle.0, 0, 0, 0]),
            Request::Inspect { process, slot, ancestor } => {
                plain(Shape::Capability, [process.0, slot.into(), ancestor.into(), 0])
            }

            Request::EndpointCreate { quota, depth } => plain(Shape::Handle, [quota.0, depth.into(), 0, 0]),
            Request::NotificationCreate { quota } => plain(Shape::Handle, [quota.0, 0, 0, 0]),
            Request::NotificationBind { notification, endpoint } => {
                plain(Shape::Nothing, [notification.0, endpoint.0, 0, 0])
            }
            Request::NotificationUnbind { notification } => plain(Shape::Nothing, [notification.0, 0, 0, 0]),
            Request::CaptureBegin { endpoint } | Request::CaptureEnd { endpoint } => {
                plain(Shape::Nothing, [endpoint.0, 0, 0, 0])
            }

            Request::ProcessCreate { image, quota, supervisor, name, limits } => {
                let [a, b, c] = out::of_name(name);
                self.more([limits.capabilities.into(), limits.queued_messages.into(), limits.processor_time, a, b, c]);
                plain(Shape::Handle, [image.0, quota.0, supervisor.0, 0])
            }
            Request::ProcessGrant { process, source, rights, badge, expiry } => {
                self.more([expiry]);
                plain(Shape::Handle, [process.0, source.0, rights.0.into(), badge])
            }
            Request::ProcessStart { process, .. } => plain(Shape::Nothing, [process.0, 0, 0, 0]),
            Request::ProcessSuspend { process } => plain(Shape::Nothing, [process.0, 0, 0, 0]),
            Request::ProcessResume { process } => plain(Shape::Nothing, [process.0, 0, 0, 0]),
            Request::ProcessKill { process, code } => plain(Shape::Nothing, [process.0, code, 0, 0]),
            Request::ProcessInspect { process } => plain(Shape::Process, [process.0, 0, 0, 0]),
            Request::ProcessLimit { process, limits } => {
                self.more([limits.capabilities.into(), limits.queued_messages.into(), limits.processor_time]);
                plain(Shape::Nothing, [process.0, 0, 0, 0])
            }
            Request::Exit { code } => plain(Shape::Nothing, [code, 0, 0, 0]),
            Request::Startup => plain(Shape::Bytes, [0; 4]),

            Request::ThreadCreate { quota, entry, stack, argument } => {
                plain(Shape::Handle, [quota.0, entry, stack, argument])
            }
            Request::ThreadConfigure { thread, priority, budget, period } => {
                plain(Shape::Nothing, [thread.0, priority.into(), budget, period])
            }
            Request::ThreadExit => plain(Shape::Nothing, [0; 4]),

            Request::RegionCreate { quota, pages } => plain(Shape::Handle, [quota.0, pages, 0, 0]),
            Request::RegionRead { region, offset, length } => plain(Shape::Bytes, [region.0, offset, length.into(), 0]),
            Request::RegionWrite { region, offset, .. } => plain(Shape::Nothing, [region.0, offset, 0, 0]),
            Request::RegionMap { region, address, rights } => {
                plain(Shape::Nothing, [region.0, address, rights.0.into(), 0])
            }
            Request::RegionUnmap { region, address } => plain(Shape::Nothing, [region.0, address, 0, 0]),
            Request::ImageCreate { quota, region, length, name } => {
                self.more(out::of_name(name));
                plain(Shape::Handle, [quota.0, region.0, length, 0])
            }

            Request::InterruptBind { interrupt, notification, bits } => {
                plain(Shape::Nothing, [interrupt.0, notification.0, bits, 0])
            }
            Request::InterruptUnbind { interrupt } => plain(Shape::Nothing, [interrupt.0, 0, 0, 0]),
            Request::InterruptAcknowledge { interrupt } => plain(Shape::Nothing, [interrupt.0, 0, 0, 0]),
            Request::DeviceRead { device, register } => plain(Shape::Value, [device.0, register, 0, 0]),
            Request::DeviceWrite { device, register, value } => plain(Shape::Nothing, [device.0, register, value, 0]),
            Request::DeviceSubmit { device, operation, a, b, .. } => {
                plain(Shape::Value, [device.0, operation as u64, a, b])
            }
            Request::DeviceComplete { device } => plain(Shape::Completion, [device.0, 0, 0, 0]),
            Request::DeviceAddress { device, region, page } => plain(Shape::Value, [device.0, region.0, page, 0]),

            Request::QuotaSplit { quota, memory, pages } => plain(Shape::Handle, [quota.0, memory, pages, 0]),
            Request::QuotaInspect { quota } => plain(Shape::Quota, [quota.0, 0, 0, 0]),
            Request::LogRead { log, from, length } => plain(Shape::Bytes, [log.0, from, length.into(), 0]),
            Request::Debug { .. } => plain(Shape::Nothing, [0; 4]),
        }
    }

    fn resume(&self, _: &mut Context<'_>) -> Poll<Answer> {
        // Nothing is ever pending here.
        Poll::Ready(Answer::without_words(Err(Error::Interrupted)))
    }

    fn take_bytes(&self) -> Vec<u8> {
        // SAFETY: the kernel writes into the buffer during a call only, and the reference ends here.
        let buffer = unsafe { &*self.buffer.0.get() };
        buffer[..self.bytes.take()].to_vec()
    }

    fn take_handles(&self) -> heapless::Vec<Handle, MAX_TRANSFERS> {
        // SAFETY: as in `open`.
        let handles = unsafe { &(*self.block.get()).handles };
        handles[..self.handles.take()].iter().copied().map(Handle).collect()
    }
}

/// A call with up to eight words either way.
///
/// # Safety
/// What the entry's block says is memory that this thread alone uses until the call is over.
#[inline]
unsafe fn message_call(entry: Entry, arguments: [u64; 4], words: &mut Words) -> Back {
    let [mut rdi, mut rsi, mut rdx, r8] = arguments;
    let mut rax = entry.0;
    // SAFETY: the kernel changes those registers that are named here, and what the caller vouches
    // for. `rbx` and `rbp`, which the compiler keeps to itself, are saved; `rcx` and `r11`,
    // which the instruction destroys, carry their words from and to the compiler.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov rbx, rcx",
            "mov rbp, r11",
            "syscall",
            "mov rcx, rbx",
            "mov r11, rbp",
            "pop rbp",
            "pop rbx",
            inlateout("rax") rax,
            inlateout("rdi") rdi,
            inlateout("rsi") rsi,
            inlateout("rdx") rdx,
            inlateout("r8") r8 => _,
            inlateout("r9") words[0],
            inlateout("r10") words[1],
            inlateout("r12") words[2],
            inlateout("r13") words[3],
            inlateout("r14") words[4],
            inlateout("r15") words[5],
            inlateout("rcx") words[6],
            inlateout("r11") words[7],
        );
    }
    Back { exit: Exit(rax), rdi, rsi, rdx }
}

/// A call without words.
///
/// # Safety
/// As of [`message_call`].
#[inline]
unsafe fn plain_call(entry: Entry, arguments: [u64; 4]) -> Back {
    let [mut rdi, mut rsi, mut rdx, r8] = arguments;
    let mut rax = entry.0;
    // SAFETY: the kernel changes those registers that are named here, and what the caller vouches for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") rax,
            inlateout("rdi") rdi,
            inlateout("rsi") rsi,
            inlateout("rdx") rdx,
            inlateout("r8") r8 => _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    Back { exit: Exit(rax), rdi, rsi, rdx }
}

/// Calls that need no context: the heap and its lock stand on them.
mod host {
    use super::{Entry, plain_call};
    use abi::native::{GROW, SET_TLS};
    use abi::{Error, Handle, Number};

    /// A call without a block: a number and its arguments.
    fn bare_call(number: u8, arguments: [u64; 2]) -> Result<u64, Error> {
        let [a, b] = arguments;
        // SAFETY: without a block the kernel touches no memory of this thread that Rust knows of.
        let back = unsafe { plain_call(Entry::new(number, 0, false, 0), [a, b, 0, 0]) };
        back.exit.error().map_or(Ok(back.rdi), Err)
    }

    /// The address of so many more pages of zeroed memory at the end of the heap.
    pub(super) fn grow(pages: u64) -> Result<u64, Error> {
        bare_call(GROW, [pages, 0])
    }

    /// Where `fs` points to, in this thread.
    pub(super) fn set_tls(address: u64) -> Result<(), Error> {
        bare_call(SET_TLS, [address, 0]).map(|_| ())
    }

    pub(super) fn wait(notification: Handle, timeout: u64) -> Result<u64, Error> {
        bare_call(Number::Wait as u8, [notification.0, timeout])
    }

    pub(super) fn signal(notification: Handle, bits: u64) -> Result<(), Error> {
        bare_call(Number::Signal as u8, [notification.0, bits]).map(|_| ())
    }

    /// Gives up the rest of the slice.
    pub(crate) fn give_way() {
        let _ = bare_call(Number::Yield as u8, [0; 2]);
    }
}

pub(crate) use host::give_way;

/// Does what no process may, so that its supervisor is told.
pub(crate) fn fault() -> ! {
    // SAFETY: the processor raises an exception; the thread does not go on behind it.
    unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
}

/// Makes the image's entry, `_start`: the kernel enters there with an empty stack and all registers
/// zero. It calls the function that is named.
#[doc(hidden)]
#[macro_export]
macro_rules! native_entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        extern "C" fn _start() -> ! {
            // The frame pointer is 0 already: whoever walks the stack ends here.
            ::core::arch::naked_asm!("and rsp, -16", "call {run}", "ud2", run = sym $run)
        }
    };
}
