//! System calls that are not handed over at once: from registers and block to a request, and back.

use super::Machine;
use super::thread::{Outbox, Thread};
use crate::arch::entry::Back;
use crate::memory::PAGE;
use crate::memory::space::Space;
use abi::device::Operation;
use abi::info::Limits;
use abi::message::{MAX_BYTES, MAX_TRANSFERS, Message, Transfer, TransferMode, WORDS};
use abi::native::{Block, Entry, Exit, GROW, REGIONS_END, REGIONS_FROM, SET_TLS, out};
use abi::{Delivery, Error, Handle, Number, ReplyToken, Request, Returned, Rights};
use axiom::Outcome;
use core::mem::offset_of;
use kernel::ThreadId;

const BLOCK_BYTES: usize = size_of::<Block>();
const _: () = assert!(BLOCK_BYTES == 8 * (5 + 8 + 4 * MAX_TRANSFERS + MAX_TRANSFERS + abi::native::OUT));

/// The part of a block that the kernel reads.
const READ_BYTES: usize = offset_of!(Block, handles);

/// Reads a block; `None` if it does not lie in the caller's memory.
fn read_block(space: &Space, address: u64) -> Option<Block> {
    if !address.is_multiple_of(8) {
        return None;
    }
    let mut block = Block::EMPTY;
    // SAFETY: a block is words alone, so any bytes are one; these are the first of it.
    let bytes = unsafe { core::slice::from_raw_parts_mut((&raw mut block).cast::<u8>(), READ_BYTES) };
    space.read(address, bytes).then_some(block)
}

fn as_bytes(words: &[u64]) -> &[u8] {
    // SAFETY: words can be read as bytes.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

fn small(value: u64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::InvalidArgument)
}

fn rights(value: u64) -> Result<Rights, Error> {
    u16::try_from(value).map(Rights).map_err(|_| Error::InvalidArgument)
}

fn name(words: &[u64]) -> abi::Name {
    out::name([words[0], words[1], words[2]])
}

fn limits(more: &[u64; 8]) -> Result<Limits, Error> {
    Ok(Limits { capabilities: small(more[0])?, queued_messages: small(more[1])?, processor_time: more[2] })
}

/// What a call is, of its number, the four argument registers, the block and the transfers.
fn decode<'a>(
    number: Number,
    [a, b, c, d]: [u64; 4],
    block: &Block,
    length: u32,
    transfers: &'a [Transfer],
) -> Result<Request<'a>, Error> {
    let message = Message { tag: b, length, transfers };
    let (handle, second) = (Handle(a), Handle(b));
    Ok(match number {
        Number::Send => Request::Send { endpoint: handle, message, timeout: d },
        Number::Call => Request::Call { endpoint: handle, message, timeout: d },
        Number::Receive => Request::Receive { endpoint: handle, timeout: d },
        Number::Reply => Request::Reply { reply: ReplyToken(c), message },
        Number::ReplyReceive => Request::ReplyReceive { endpoint: handle, reply: ReplyToken(c), message, timeout: d },
        Number::Signal => Request::Signal { notification: handle, bits: b },
        Number::Wait => Request::Wait { notification: handle, timeout: b },
        Number::Poll => Request::Poll { notification: handle },
        Number::Yield => Request::Yield,
        Number::Derive => Request::Derive { source: handle, rights: rights(b)?, badge: c, expiry: d },
        Number::Delete => Request::Delete { handle },
        Number::Revoke => Request::Revoke { handle },
        Number::Destroy => Request::Destroy { handle },
        Number::Inspect => Request::Inspect { process: handle, slot: small(b)?, ancestor: small(c)? },
        Number::EndpointCreate => Request::EndpointCreate { quota: handle, depth: small(b)? },
        Number::NotificationCreate => Request::NotificationCreate { quota: handle },
        Number::NotificationBind => Request::NotificationBind { notification: handle, endpoint: second },
        Number::NotificationUnbind => Request::NotificationUnbind { notification: handle },
        Number::CaptureBegin => Request::CaptureBegin { endpoint: handle },
        Number::CaptureEnd => Request::CaptureEnd { endpoint: handle },
        Number::ProcessCreate => Request::ProcessCreate {
            image: handle,
            quota: second,
            supervisor: Handle(c),
            name: name(&block.more[3..6]),
            limits: limits(&block.more)?,
        },
        Number::ProcessGrant => Request::ProcessGrant {
            process: handle,
            source: second,
            rights: rights(c)?,
            badge: d,
            expiry: block.more[0],
        },
        Number::ProcessStart => Request::ProcessStart { process: handle, length },
        Number::ProcessSuspend => Request::ProcessSuspend { process: handle },
        Number::ProcessResume => Request::ProcessResume { process: handle },
        Number::ProcessKill => Request::ProcessKill { process: handle, code: b },
        Number::ProcessInspect => Request::ProcessInspect { process: handle },
        Number::ProcessLimit => Request::ProcessLimit { process: handle, limits: limits(&block.more)? },
        Number::Exit => Request::Exit { code: a },
        Number::Startup => Request::Startup,
        Number::ThreadCreate => Request::ThreadCreate { quota: handle, entry: b, stack: c, argument: d },
        Number::ThreadConfigure => Request::ThreadConfigure {
            thread: handle,
            priority: u8::try_from(b).map_err(|_| Error::InvalidArgument)?,
            budget: c,
            period: d,
        },
        Number::ThreadExit => Request::ThreadExit,
        Number::RegionCreate => Request::RegionCreate { quota: handle, pages: b },
        Number::RegionRead => Request::RegionRead { region: handle, offset: b, length: small(c)? },
        Number::RegionWrite => Request::RegionWrite { region: handle, offset: b, length },
        Number::RegionMap => Request::RegionMap { region: handle, address: b, rights: rights(c)? },
        Number::RegionUnmap => Request::RegionUnmap { region: handle, address: b },
        Number::ImageCreate => {
            Request::ImageCreate { quota: handle, region: second, length: c, name: name(&block.more) }
        }
        Number::InterruptBind => Request::InterruptBind { interrupt: handle, notification: second, bits: c },
        Number::InterruptUnbind => Request::InterruptUnbind { interrupt: handle },
        Number::InterruptAcknowledge => Request::InterruptAcknowledge { interrupt: handle },
        Number::DeviceRead => Request::DeviceRead { device: handle, register: b },
        Number::DeviceWrite => Request::DeviceWrite { device: handle, register: b, value: c },
        Number::DeviceSubmit => {
            let operation = u8::try_from(b).ok().and_then(Operation::from_number).ok_or(Error::InvalidArgument)?;
            Request::DeviceSubmit { device: handle, operation, a: c, b: d, length }
        }
        Number::DeviceComplete => Request::DeviceComplete { device: handle },
        Number::DeviceAddress => Request::DeviceAddress { device: handle, region: second, page: c },
        Number::QuotaSplit => Request::QuotaSplit { quota: handle, memory: b, pages: c },
        Number::QuotaInspect => Request::QuotaInspect { quota: handle },
        Number::LogRead => Request::LogRead { log: handle, from: b, length: small(c)? },
        Number::Debug => Request::Debug { length },
    })
}

/// The transfers of a block.
fn transfers(block: &Block) -> Result<heapless::Vec<Transfer, MAX_TRANSFERS>, Error> {
    let count = usize::try_from(block.transfers).unwrap_or(usize::MAX);
    let all = block.transfer.get(..count).ok_or(Error::TooLarge)?;
    let transfer = |&[handle, mode, wanted, badge]: &[u64; 4]| {
        let mode = match mode {
            0 => TransferMode::Move,
            1 => TransferMode::Derive,
            2 => TransferMode::Reply,
            _ => return Err(Error::InvalidArgument),
        };
        Ok(Transfer { handle: Handle(handle), mode, rights: rights(wanted)?, badge })
    };
    all.iter().map(transfer).collect()
}

/// Arguments that only the block has.
const fn needs_block(number: Number) -> bool {
    matches!(number, Number::ProcessCreate | Number::ProcessGrant | Number::ProcessLimit | Number::ImageCreate)
}

impl Machine {
    /// A call of the thread that runs, with what was in its argument registers; the way back.
    #[inline(never)]
    pub(super) fn slow_call(&mut self, arguments: [u64; 4], entry: Entry) -> Back {
        let id = self.running;
        if let Err(error) = self.general_call(id, arguments, entry) {
            // What could not be decoded is on record too.
            let now = self.clock.now();
            self.axiom.malformed(id, entry.number(), error, now);
            self.answer(id, Exit::failed(error), 0);
        }
        self.run()
    }

    fn general_call(&mut self, id: ThreadId, arguments: [u64; 4], entry: Entry) -> Result<(), Error> {
        let thread = self.threads.get(id).ok_or(Error::PeerGone)?;
        thread.outbox = Outbox::default();
        let process = thread.process;
        match entry.number() {
            GROW => {
                let first = self.grow(process, arguments[0])?;
                self.answer(id, Exit::DONE, first);
                return Ok(());
            }
            SET_TLS if arguments[0] < 1 << 47 => {
                self.set_tls(id, arguments[0]);
                self.answer(id, Exit::DONE, 0);
                return Ok(());
            }
            SET_TLS => return Err(Error::InvalidArgument),
            _ => {}
        }
        let number = Number::from_number(entry.number()).ok_or(Error::Unsupported)?;
        if entry.words() > WORDS {
            return Err(Error::InvalidArgument);
        }
        // Most calls have none, and a block is long.
        static NO_BLOCK: Block = Block::EMPTY;
        let read;
        let mut block = &NO_BLOCK;
        let mut moved = heapless::Vec::new();
        let mut outbox = Outbox::default();
        if entry.has_payload() || needs_block(number) {
            let space = self.processes.space(process).ok_or(Error::PeerGone)?;
            read = read_block(space, entry.block()).ok_or(Error::InvalidArgument)?;
            block = &read;
            if entry.has_payload() {
                moved = transfers(block)?;
                let length = usize::try_from(block.length).ok().filter(|length| *length <= MAX_BYTES);
                let length = length.ok_or(Error::TooLarge)?;
                if !space.can_read(block.bytes, length) {
                    return Err(Error::InvalidArgument);
                }
                outbox = Outbox { address: block.bytes, length: length as u32 };
            }
        }
        let request = decode(number, arguments, block, outbox.length, &moved)?;
        if let Request::RegionMap { region, address, .. } = request {
            if !(REGIONS_FROM..REGIONS_END).contains(&address) {
                return Err(Error::InvalidArgument);
            }
            if let Some(pages) = self.axiom.kernel().region_pages(process, region) {
                let end = pages.checked_mul(PAGE).and_then(|bytes| address.checked_add(bytes));
                let end = end.filter(|end| *end <= REGIONS_END).ok_or(Error::InvalidArgument)?;
                self.prepare_map(process, address / PAGE * PAGE..end)?;
            }
        }
        if let Some(thread) = self.threads.get(id) {
            thread.outbox = outbox;
        }
        let now = self.clock.now();
        let outcome = self.axiom.call(id, &request, now);
        self.settle(id, outcome);
        Ok(())
    }

    /// Carries out what a call brought about, and how it ended.
    pub(super) fn settle(&mut self, id: ThreadId, outcome: Outcome) {
        self.host_result = None;
        self.carry_out();
        match outcome {
            Outcome::Done(result) => self.complete(id, result),
            Outcome::Blocked => {}
            Outcome::Host => {
                let result = self.host_result.take().unwrap_or(Err(Error::Unsupported));
                self.axiom.finish(id, result.map(|_| ()));
                let result = self.after_host_call(id, result);
                self.complete(id, result);
                self.carry_out();
            }
        }
    }

    /// Ends the call of a thread with what fits into `rax` and `rdi`.
    #[inline]
    pub(super) fn answer(&mut self, id: ThreadId, exit: Exit, value: u64) {
        if let Some(thread) = self.threads.get(id) {
            thread.returns(exit, value);
        }
    }

    /// Ends the call of a thread.
    pub(super) fn complete(&mut self, id: ThreadId, result: Result<Returned, Error>) {
        let (exit, value, out) = match result {
            Err(error) => (Exit::failed(error), 0, None),
            Ok(Returned::Nothing) => (Exit::DONE, 0, None),
            Ok(Returned::Handle(handle)) => (Exit::DONE, handle.0, None),
            Ok(Returned::Value(value)) => (Exit::DONE, value, None),
            Ok(Returned::Bytes(length)) => (Exit::bytes(length), 0, None),
            Ok(Returned::Capability(info)) => (Exit::DONE, 0, Some(out::of_capability(&info))),
            Ok(Returned::Process(info)) => (Exit::DONE, 0, Some(out::of_process(&info))),
            Ok(Returned::Quota(info)) => (Exit::DONE, 0, Some(out::of_quota(&info))),
            Ok(Returned::Completion(completion)) => (Exit::DONE, 0, Some(out::of_completion(&completion))),
            Ok(Returned::Delivery(delivery)) => return self.delivered(id, &delivery, 0),
        };
        let Some(thread) = self.threads.get(id) else { return };
        let (process, block) = (thread.process, thread.entry.block());
        let mut exit = exit;
        if let Some(out) = out {
            let address = block.wrapping_add(offset_of!(Block, out) as u64);
            let space = self.processes.space(process);
            if !space.is_some_and(|space| space.write(address, as_bytes(&out))) {
                exit = Exit::failed(Error::InvalidArgument);
            }
        }
        self.answer(id, exit, value);
    }

    /// Ends the call of a thread with a delivery, whose words are in its frame.
    pub(super) fn delivered(&mut self, id: ThreadId, delivery: &Delivery, words: usize) {
        let handles = if delivery.capabilities > 0 { self.axiom.handles(id) } else { heapless::Vec::new() };
        let Some(thread) = self.threads.get(id) else { return };
        deliver_registers(thread, delivery, words);
        if !handles.is_empty() {
            let mut values = [0u64; MAX_TRANSFERS];
            for (value, handle) in values.iter_mut().zip(&handles) {
                *value = handle.0;
            }
            let address = thread.entry.block().wrapping_add(offset_of!(Block, handles) as u64);
            let process = thread.process;
            if let Some(space) = self.processes.space(process) {
                // A receiver without a block loses sight of what it was given; it can still look.
                space.write(address, as_bytes(&values[..handles.len()]));
            }
        }
    }

    /// Where the bytes that come to a thread are put: address and how many fit.
    pub(super) fn buffer(&mut self, id: ThreadId) -> Option<(&Space, u64, usize)> {
        let thread = self.threads.get(id)?;
        let (process, block) = (thread.process, thread.entry.block());
        let space = self.processes.space(process)?;
        let block = read_block(space, block)?;
        Some((space, block.buffer, usize::try_from(block.capacity).unwrap_or(usize::MAX)))
    }
}

/// Puts a delivery into the registers of the thread that waits for it.
#[inline(always)]
pub(super) fn deliver_registers(thread: &mut Thread, delivery: &Delivery, words: usize) {
    thread.frame.rax = Exit::delivered(delivery, words).0;
    thread.frame.rdi = delivery.reply.0;
    thread.frame.rsi = delivery.tag;
    thread.frame.rdx = delivery.badge;
}
