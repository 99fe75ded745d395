//! The core path: the kernel calls linked straight to a component's one application
//! module, with the canonical ABI by hand.
//!
//! Names and signatures are checked by the linker when the module is linked. Every
//! pointer and length comes from the guest and is hostile: nothing is read or written
//! but through a slice of its memory, and what does not fit traps, as the canonical ABI says.

use crate::image::INTERFACE;
use crate::machine::door::{self, Answer};
use crate::machine::process::{Me, Process};
use abi::device::Operation;
use abi::info::Limits;
use abi::message::{MAX_BYTES, MAX_TRANSFERS, Message, Words};
use abi::{Delivery, Error, Handle, Name, ReplyToken, Request, Returned, Rights, Transfer, TransferMode};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::{AsContextMut, Caller, Engine, Extern, ExternType, Linker, Memory, Module, Result, ValType, bail};

/// Where the canonical ABI puts the payload of a `result`: after the discriminant, at
/// the alignment of its largest case.
#[derive(Clone, Copy)]
struct Payload(usize);

const NOTHING: Payload = Payload(1);
const LIST: Payload = Payload(4);
const WIDE: Payload = Payload(8);
/// There is no result.
const NO_RESULT: Payload = Payload(0);

/// Where the guest wants a result.
#[derive(Clone, Copy)]
struct Ret(i32, Payload);

/// Whether the module exports what the path calls: `run`, `memory` and, if it takes
/// lists, `cabi_realloc`; and wants nothing done before `run`.
pub fn exports_fit(module: &Module) -> bool {
    let function = |name: &str, parameters: &[ValType], results: &[ValType]| match module.get_export(name) {
        Some(ExternType::Func(function)) => {
            let same = |mut found: Box<dyn Iterator<Item = ValType>>, wanted: &[ValType]| {
                wanted.iter().all(|wanted| found.next().is_some_and(|found| ValType::eq(&found, wanted)))
                    && found.next().is_none()
            };
            Some(same(Box::new(function.params()), parameters) && same(Box::new(function.results()), results))
        }
        Some(_) => Some(false),
        None => None,
    };
    let i32x4 = [ValType::I32, ValType::I32, ValType::I32, ValType::I32];
    let memory = matches!(module.get_export("memory"), Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared());
    memory
        && function("run", &[], &[]) == Some(true)
        && function("cabi_realloc", &i32x4, &[ValType::I32]) != Some(false)
        && module.get_export("_initialize").is_none()
}

/// What wasmtime polls for an import.
type Import<'a> = Box<dyn Future<Output = Result<()>> + Send + 'a>;

/// An import that has come to its end. Without a size: no memory is taken for it.
struct Done;

impl Future for Done {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An import whose thread waits.
struct Waiting<'a> {
    caller: Caller<'a, Process>,
    me: Me,
    ret: Ret,
}

impl Future for Waiting<'_> {
    type Output = Result<()>;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        let Waiting { caller, me, ret } = self.get_mut();
        door::answered(*me, |answer| put(caller, *ret, answer)).map_or(Poll::Pending, Poll::Ready)
    }
}

fn ended<'a>(result: Result<()>) -> Import<'a> {
    match result {
        Ok(()) => Box::new(Done),
        Err(error) => Box::new(std::future::ready(Err(error))),
    }
}

/// A system call, made before there is a future of it: most are answered at once, those that hand over
/// too, and then nothing is allocated for them.
#[inline]
fn system_call<'a>(
    mut caller: Caller<'a, Process>,
    request: &Request<'_>,
    words: &Words,
    bytes: Bytes,
    ret: Ret,
) -> Import<'a> {
    let me = caller.data().me;
    let next = door::enter(me, request, words, bytes.of(&caller));
    match door::go_on(me, next, |answer| put(&mut caller, ret, answer)) {
        Some(result) => ended(result),
        None => Box::new(Waiting { caller, me, ret }),
    }
}

/// Links a call without bytes: arguments to request, result into memory.
macro_rules! plain {
    ($linker:ident, $name:literal, $payload:ident, ($($argument:ident: $type:ty),*) => $request:expr) => {
        $linker.func_wrap_async(INTERFACE, $name, |caller: Caller<'_, Process>, ($($argument,)* ret,): ($($type,)* i32,)| {
            system_call(caller, &$request, &NO_WORDS, Bytes::NONE, Ret(ret, $payload))
        })?;
    };
}

/// Links a call with a message, in both its forms: eight words, and with bytes and transfers.
macro_rules! message {
    ($linker:ident, $name:literal, $with:literal, $payload:ident, ($($argument:ident),*), $message:ident => $request:expr) => {
        $linker.func_wrap_async(
            INTERFACE,
            $name,
            |caller: Caller<'_, Process>,
             ($($argument,)* tag, a, b, c, d, e, f, g, h, ret): ($(long!($argument),)* i64, i64, i64, i64, i64, i64, i64, i64, i64, i32)| {
                let $message = Message { tag: tag as u64, length: 0, transfers: &[] };
                let words = [a, b, c, d, e, f, g, h].map(|word| word as u64);
                system_call(caller, &$request, &words, Bytes::NONE, Ret(ret, $payload))
            },
        )?;
        $linker.func_wrap_async(
            INTERFACE,
            $with,
            |caller: Caller<'_, Process>,
             ($($argument,)* tag, a, b, c, d, e, f, g, h, bytes, length, transfers, count, ret): ($(long!($argument),)* i64, i64, i64, i64, i64, i64, i64, i64, i64, i32, i32, i32, i32, i32)| {
                let (bytes, list) = match payload(&caller, bytes, length, transfers, count) {
                    Ok(payload) => payload,
                    Err(error) => return ended(Err(error)),
                };
                let $message = Message { tag: tag as u64, length: length as u32, transfers: &list };
                let words = [a, b, c, d, e, f, g, h].map(|word| word as u64);
                system_call(caller, &$request, &words, bytes, Ret(ret, $payload))
            },
        )?;
    };
}

/// The type of an argument that is only named.
macro_rules! long {
    ($argument:ident) => {
        i64
    };
}

/// Links a call with bytes that are no message's, of which `$most` are passed on: of more the kernel
/// needs no more than their length to refuse them.
macro_rules! bytes_out {
    ($linker:ident, $name:literal, $payload:ident, $most:expr, ($($argument:ident: $type:ty),*), $length:ident => $request:expr) => {
        $linker.func_wrap_async(
            INTERFACE,
            $name,
            |caller: Caller<'_, Process>, ($($argument,)* bytes, length, ret): ($($type,)* i32, i32, i32)| {
                let bytes = match Bytes::get(&caller, bytes, length) {
                    Ok(bytes) => bytes.at_most($most),
                    Err(error) => return ended(Err(error)),
                };
                let $length = length as u32;
                system_call(caller, &$request, &NO_WORDS, bytes, Ret(ret, $payload))
            },
        )?;
    };
}

/// Links a call whose answer is bytes: they go into memory that the guest allocates.
macro_rules! bytes_in {
    ($linker:ident, $name:literal, ($($argument:ident: $type:ty),*) => $request:expr) => {
        $linker.func_wrap_async(INTERFACE, $name, |mut caller: Caller<'_, Process>, ($($argument,)* ret,): ($($type,)* i32,)| {
            Box::new(async move {
                let me = caller.data().me;
                let next = door::enter(me, &$request, &NO_WORDS, &[]);
                // Of a refusal the result is written at once.
                let put = |caller: &mut Caller<'_, Process>, answer: Answer<'_>| match answer.result {
                    Ok(_) => Ok(true),
                    Err(_) => put(caller, Ret(ret, LIST), answer).map(|()| false),
                };
                let granted = match door::go_on(me, next, |answer| put(&mut caller, answer)) {
                    Some(granted) => granted,
                    None => poll_fn(|_| door::answered(me, |answer| put(&mut caller, answer)).map_or(Poll::Pending, Poll::Ready)).await,
                };
                if !granted? {
                    return Ok(());
                }
                let (pointer, length) = put_bytes(&mut caller).await?;
                let area = area(&mut caller, ret, 4, 12)?;
                area[0] = 0;
                area[4..8].copy_from_slice(&pointer.to_le_bytes());
                area[8..12].copy_from_slice(&length.to_le_bytes());
                Ok(())
            })
        })?;
    };
}

/// Links a call that has no result.
macro_rules! without_result {
    ($linker:ident, $name:literal, ($($argument:ident: $type:ty),*) => $request:expr) => {
        $linker.func_wrap_async(INTERFACE, $name, |caller: Caller<'_, Process>, ($($argument,)*): ($($type,)*)| {
            system_call(caller, &$request, &NO_WORDS, Bytes::NONE, Ret(0, NO_RESULT))
        })?;
    };
}

const NO_WORDS: Words = [0; 8];

/// All calls, for modules of this engine.
pub fn linker(engine: &Engine) -> Result<Linker<Process>> {
    let mut linker = Linker::new(engine);
    messages(&mut linker)?;
    objects(&mut linker)?;
    processes(&mut linker)?;
    memory_and_devices(&mut linker)?;
    Ok(linker)
}

fn messages(linker: &mut Linker<Process>) -> Result<()> {
    message!(linker, "call", "call-with", WIDE, (endpoint, timeout), message => Request::Call {
        endpoint: handle(endpoint), message, timeout: timeout as u64
    });
    message!(linker, "reply-receive", "reply-receive-with", WIDE, (endpoint, reply, timeout), message => Request::ReplyReceive {
        endpoint: handle(endpoint), reply: token(reply), message, timeout: timeout as u64
    });
    message!(linker, "send", "send-with", NOTHING, (endpoint, timeout), message => Request::Send {
        endpoint: handle(endpoint), message, timeout: timeout as u64
    });
    message!(linker, "reply", "reply-with", NOTHING, (reply), message => Request::Reply { reply: token(reply), message });
    plain!(linker, "receive", WIDE, (endpoint: i64, timeout: i64) => Request::Receive { endpoint: handle(endpoint), timeout: timeout as u64 });
    plain!(linker, "signal", NOTHING, (notification: i64, bits: i64) => Request::Signal { notification: handle(notification), bits: bits as u64 });
    plain!(linker, "wait", WIDE, (notification: i64, timeout: i64) => Request::Wait { notification: handle(notification), timeout: timeout as u64 });
    plain!(linker, "poll", WIDE, (notification: i64) => Request::Poll { notification: handle(notification) });
    without_result!(linker, "yield", () => Request::Yield);
    linker.func_wrap_async(INTERFACE, "take-bytes", |mut caller: Caller<'_, Process>, (ret,): (i32,)| {
        Box::new(async move {
            let list = put_bytes(&mut caller).await?;
            put_pointer(&mut caller, ret, list)
        })
    })?;
    linker.func_wrap_async(INTERFACE, "take-handles", |mut caller: Caller<'_, Process>, (ret,): (i32,)| {
        Box::new(async move {
            let handles = door::take_handles(caller.data().me);
            let bytes: Vec<u8> = handles.iter().flat_map(|handle| handle.0.to_le_bytes()).collect();
            let (pointer, _) = put_list(&mut caller, &bytes, 8).await?;
            put_pointer(&mut caller, ret, (pointer, handles.len() as u32))
        })
    })?;
    Ok(())
}

fn objects(linker: &mut Linker<Process>) -> Result<()> {
    plain!(linker, "derive", WIDE, (source: i64, rights: i32, badge: i64, expiry: i64) => Request::Derive {
        source: handle(source), rights: Rights(rights as u16), badge: badge as u64, expiry: expiry as u64
    });
    plain!(linker, "delete", NOTHING, (of: i64) => Request::Delete { handle: handle(of) });
    plain!(linker, "revoke", WIDE, (of: i64) => Request::Revoke { handle: handle(of) });
    plain!(linker, "destroy", NOTHING, (of: i64) => Request::Destroy { handle: handle(of) });
    plain!(linker, "inspect", WIDE, (process: i64, slot: i32, ancestor: i32) => Request::Inspect {
        process: handle(process), slot: slot as u32, ancestor: ancestor as u32
    });
    plain!(linker, "endpoint-create", WIDE, (quota: i64, depth: i32) => Request::EndpointCreate { quota: handle(quota), depth: depth as u32 });
    plain!(linker, "notification-create", WIDE, (quota: i64) => Request::NotificationCreate { quota: handle(quota) });
    plain!(linker, "notification-bind", NOTHING, (notification: i64, endpoint: i64) => Request::NotificationBind {
        notification: handle(notification), endpoint: handle(endpoint)
    });
    plain!(linker, "capture-begin", NOTHING, (endpoint: i64) => Request::CaptureBegin { endpoint: handle(endpoint) });
    plain!(linker, "capture-end", NOTHING, (endpoint: i64) => Request::CaptureEnd { endpoint: handle(endpoint) });
    plain!(linker, "notification-unbind", NOTHING, (notification: i64) => Request::NotificationUnbind { notification: handle(notification) });
    plain!(linker, "quota-split", WIDE, (quota: i64, memory: i64, pages: i64) => Request::QuotaSplit {
        quota: handle(quota), memory: memory as u64, pages: pages as u64
    });
    plain!(linker, "quota-inspect", WIDE, (quota: i64) => Request::QuotaInspect { quota: handle(quota) });
    Ok(())
}

fn processes(linker: &mut Linker<Process>) -> Result<()> {
    linker.func_wrap_async(
        INTERFACE,
        "process-create",
        |caller: Caller<'_, Process>,
         (image, quota, supervisor, text, length, capabilities, queued, time, ret): (
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i64,
            i32,
        )| {
            let name = match name(&caller, text, length) {
                Ok(name) => name,
                Err(error) => return ended(Err(error)),
            };
            let request = Request::ProcessCreate {
                image: handle(image),
                quota: handle(quota),
                supervisor: handle(supervisor),
                name,
                limits: limits(capabilities, queued, time),
            };
            system_call(caller, &request, &NO_WORDS, Bytes::NONE, Ret(ret, WIDE))
        },
    )?;
    plain!(linker, "process-grant", WIDE, (process: i64, source: i64, rights: i32, badge: i64, expiry: i64) => Request::ProcessGrant {
        process: handle(process), source: handle(source), rights: Rights(rights as u16), badge: badge as u64, expiry: expiry as u64
    });
    bytes_out!(linker, "process-start", NOTHING, MAX_BYTES, (process: i64), length => Request::ProcessStart {
        process: handle(process), length
    });
    plain!(linker, "process-suspend", NOTHING, (process: i64) => Request::ProcessSuspend { process: handle(process) });
    plain!(linker, "process-resume", NOTHING, (process: i64) => Request::ProcessResume { process: handle(process) });
    plain!(linker, "process-kill", NOTHING, (process: i64, code: i64) => Request::ProcessKill { process: handle(process), code: code as u64 });
    plain!(linker, "process-inspect", WIDE, (process: i64) => Request::ProcessInspect { process: handle(process) });
    plain!(linker, "process-limit", NOTHING, (process: i64, capabilities: i32, queued: i32, time: i64) => Request::ProcessLimit {
        process: handle(process), limits: limits(capabilities, queued, time)
    });
    without_result!(linker, "exit", (code: i64) => Request::Exit { code: code as u64 });
    bytes_in!(linker, "startup", () => Request::Startup);
    plain!(linker, "thread-create", WIDE, (quota: i64, entry: i64, stack: i64, argument: i64) => Request::ThreadCreate {
        quota: handle(quota), entry: entry as u64, stack: stack as u64, argument: argument as u64
    });
    plain!(linker, "thread-configure", NOTHING, (thread: i64, priority: i32, budget: i64, period: i64) => Request::ThreadConfigure {
        thread: handle(thread), priority: priority as u8, budget: budget as u64, period: period as u64
    });
    without_result!(linker, "thread-exit", () => Request::ThreadExit);
    Ok(())
}

fn memory_and_devices(linker: &mut Linker<Process>) -> Result<()> {
    plain!(linker, "region-create", WIDE, (quota: i64, pages: i64) => Request::RegionCreate { quota: handle(quota), pages: pages as u64 });
    bytes_in!(linker, "region-read", (region: i64, offset: i64, length: i32) => Request::RegionRead {
        region: handle(region), offset: offset as u64, length: length as u32
    });
    bytes_out!(linker, "region-write", NOTHING, usize::MAX, (region: i64, offset: i64), length => Request::RegionWrite {
        region: handle(region), offset: offset as u64, length
    });
    plain!(linker, "region-map", NOTHING, (region: i64, address: i64, rights: i32) => Request::RegionMap {
        region: handle(region), address: address as u64, rights: Rights(rights as u16)
    });
    plain!(linker, "region-unmap", NOTHING, (region: i64, address: i64) => Request::RegionUnmap { region: handle(region), address: address as u64 });
    linker.func_wrap_async(
        INTERFACE,
        "image-create",
        |caller: Caller<'_, Process>,
         (quota, region, length, text, text_length, ret): (i64, i64, i64, i32, i32, i32)| {
            let name = match name(&caller, text, text_length) {
                Ok(name) => name,
                Err(error) => return ended(Err(error)),
            };
            let request =
                Request::ImageCreate { quota: handle(quota), region: handle(region), length: length as u64, name };
            system_call(caller, &request, &NO_WORDS, Bytes::NONE, Ret(ret, WIDE))
        },
    )?;
    plain!(linker, "interrupt-bind", NOTHING, (interrupt: i64, notification: i64, bits: i64) => Request::InterruptBind {
        interrupt: handle(interrupt), notification: handle(notification), bits: bits as u64
    });
    plain!(linker, "interrupt-unbind", NOTHING, (interrupt: i64) => Request::InterruptUnbind { interrupt: handle(interrupt) });
    plain!(linker, "interrupt-acknowledge", NOTHING, (interrupt: i64) => Request::InterruptAcknowledge { interrupt: handle(interrupt) });
    plain!(linker, "device-read", WIDE, (device: i64, register: i64) => Request::DeviceRead { device: handle(device), register: register as u64 });
    plain!(linker, "device-write", NOTHING, (device: i64, register: i64, value: i64) => Request::DeviceWrite {
        device: handle(device), register: register as u64, value: value as u64
    });
    linker.func_wrap_async(
        INTERFACE,
        "device-submit",
        |mut caller: Caller<'_, Process>,
         (device, operation, a, b, bytes, length, ret): (i64, i32, i64, i64, i32, i32, i32)| {
            let Some(operation) = u8::try_from(operation).ok().and_then(Operation::from_number) else {
                return ended(put(&mut caller, Ret(ret, WIDE), Answer::error(&Err(Error::InvalidArgument))));
            };
            let bytes = match Bytes::get(&caller, bytes, length) {
                Ok(bytes) => bytes.at_most(MAX_BYTES),
                Err(error) => return ended(Err(error)),
            };
            let request = Request::DeviceSubmit {
                device: handle(device),
                operation,
                a: a as u64,
                b: b as u64,
                length: length as u32,
            };
            system_call(caller, &request, &NO_WORDS, bytes, Ret(ret, WIDE))
        },
    )?;
    plain!(linker, "device-complete", WIDE, (device: i64) => Request::DeviceComplete { device: handle(device) });
    plain!(linker, "device-address", WIDE, (device: i64, region: i64, page: i64) => Request::DeviceAddress {
        device: handle(device), region: handle(region), page: page as u64
    });
    bytes_in!(linker, "log-read", (log: i64, from: i64, length: i32) => Request::LogRead {
        log: handle(log), from: from as u64, length: length as u32
    });
    bytes_out!(linker, "debug", NOTHING, MAX_BYTES, (), length => Request::Debug { length });
    Ok(())
}

fn handle(value: i64) -> Handle {
    Handle(value as u64)
}

fn token(value: i64) -> ReplyToken {
    ReplyToken(value as u64)
}

fn limits(capabilities: i32, queued: i32, time: i64) -> Limits {
    Limits { capabilities: capabilities as u32, queued_messages: queued as u32, processor_time: time as u64 }
}

/// Bytes that go out with a call: where they lie in the guest's memory.
#[derive(Clone, Copy)]
struct Bytes {
    start: usize,
    length: usize,
}

impl Bytes {
    const NONE: Bytes = Bytes { start: 0, length: 0 };

    /// Checks the range.
    fn get(caller: &Caller<'_, Process>, pointer: i32, length: i32) -> Result<Bytes> {
        let bytes = Bytes { start: pointer as u32 as usize, length: length as u32 as usize };
        if memory(caller)?.data(caller).get(bytes.start..).and_then(|rest| rest.get(..bytes.length)).is_none() {
            bail!("a list is outside the memory");
        }
        Ok(bytes)
    }

    /// None, if they are more.
    fn at_most(self, most: usize) -> Bytes {
        if self.length > most { Bytes::NONE } else { self }
    }

    #[inline]
    fn of<'a>(self, caller: &'a Caller<'_, Process>) -> &'a [u8] {
        if self.length == 0 {
            return &[];
        }
        let memory = memory(caller).map(|memory| memory.data(caller));
        memory.ok().and_then(|data| data.get(self.start..)?.get(..self.length)).unwrap_or(&[])
    }
}

/// Bytes and transfers that go out with a message. Of more than a message may have only as many are
/// looked at as the kernel needs to refuse it.
fn payload(
    caller: &Caller<'_, Process>,
    pointer: i32,
    length: i32,
    transfers: i32,
    count: i32,
) -> Result<(Bytes, Transfers)> {
    let bytes = Bytes::get(caller, pointer, length)?.at_most(MAX_BYTES);
    let mut list = Transfers::default();
    let count = count as u32 as usize;
    let transfers = transfers as u32 as usize;
    if count > 0 && !transfers.is_multiple_of(8) {
        bail!("the list of transfers is not aligned");
    }
    let memory = memory(caller)?.data(caller);
    let records = count.checked_mul(TRANSFER_SIZE).and_then(|size| memory.get(transfers..)?.get(..size));
    let Some(records) = records else { bail!("the list of transfers is outside the memory") };
    for record in records.chunks_exact(TRANSFER_SIZE).take(MAX_TRANSFERS + 1) {
        list.push(decode_transfer(record)?);
    }
    Ok((bytes, list))
}

/// The transfers of a message, and one more than it may have.
struct Transfers {
    list: [Transfer; MAX_TRANSFERS + 1],
    count: usize,
}

impl Default for Transfers {
    fn default() -> Transfers {
        let none = Transfer { handle: Handle::NONE, mode: TransferMode::Move, rights: Rights::NONE, badge: 0 };
        Transfers { list: [none; MAX_TRANSFERS + 1], count: 0 }
    }
}

impl Transfers {
    fn push(&mut self, transfer: Transfer) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = transfer;
            self.count += 1;
        }
    }
}

impl std::ops::Deref for Transfers {
    type Target = [Transfer];

    fn deref(&self) -> &[Transfer] {
        &self.list[..self.count]
    }
}

/// handle u64, mode u8, rights u16 at 10, badge u64 at 16.
const TRANSFER_SIZE: usize = 24;

fn decode_transfer(record: &[u8]) -> Result<Transfer> {
    let word = |at: usize| record.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    let mode = match record.get(8) {
        Some(0) => TransferMode::Move,
        Some(1) => TransferMode::Derive,
        Some(2) => TransferMode::Reply,
        _ => bail!("there is no such mode of transfer"),
    };
    let rights = record.get(10..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes);
    Ok(Transfer { handle: Handle(word(0)), mode, rights: Rights(rights), badge: word(16) })
}

#[inline]
fn memory(caller: &Caller<'_, Process>) -> Result<Memory> {
    match caller.data().memory {
        Some(memory) => Ok(memory),
        None => bail!("a kernel call before the module has a memory"),
    }
}

/// `size` bytes of the guest's memory at a pointer that it gave.
#[inline]
fn area<'a>(caller: &'a mut Caller<'_, Process>, pointer: i32, alignment: usize, size: usize) -> Result<&'a mut [u8]> {
    let memory = memory(caller)?;
    let start = pointer as u32 as usize;
    if !start.is_multiple_of(alignment) {
        bail!("a pointer is not aligned");
    }
    match memory.data_mut(caller).get_mut(start..).and_then(|rest| rest.get_mut(..size)) {
        Some(area) => Ok(area),
        None => bail!("a pointer is outside the memory"),
    }
}

fn name(caller: &Caller<'_, Process>, text: i32, length: i32) -> Result<Name> {
    match std::str::from_utf8(Bytes::get(caller, text, length)?.of(caller)) {
        Ok(text) => Ok(Name::new(text)),
        Err(_) => bail!("a string is not UTF-8"),
    }
}

/// The epoch deadline is armed anew whenever the guest goes on.
fn arm(caller: &mut Caller<'_, Process>) {
    caller.as_context_mut().set_epoch_deadline(1);
}

/// The bytes of the last delivery, in memory that the guest allocates: pointer and length.
async fn put_bytes(caller: &mut Caller<'_, Process>) -> Result<(u32, u32)> {
    let me = caller.data().me;
    let length = door::bytes_left(me);
    let pointer = allocate(caller, length, 1).await?;
    if length > 0 {
        let area = area(caller, pointer as i32, 1, length)?;
        // They are others if the guest's allocator makes kernel calls.
        let taken = door::take_bytes(me, |bytes| (bytes.len() == length).then(|| area.copy_from_slice(bytes)));
        if taken.flatten().is_none() {
            bail!("cabi_realloc took the bytes that it made room for");
        }
    }
    Ok((pointer, u32::try_from(length)?))
}

/// Memory that the guest allocates, with these bytes in it: pointer and length.
async fn put_list(caller: &mut Caller<'_, Process>, bytes: &[u8], alignment: u32) -> Result<(u32, u32)> {
    let pointer = allocate(caller, bytes.len(), alignment).await?;
    if !bytes.is_empty() {
        area(caller, pointer as i32, alignment as usize, bytes.len())?.copy_from_slice(bytes);
    }
    Ok((pointer, u32::try_from(bytes.len())?))
}

/// Has the guest allocate.
async fn allocate(caller: &mut Caller<'_, Process>, length: usize, alignment: u32) -> Result<u32> {
    if length == 0 {
        // An empty list may lie anywhere that is aligned.
        return Ok(alignment);
    }
    let length = i32::try_from(length)?;
    let realloc = match caller.data().realloc.clone() {
        Some(realloc) => realloc,
        None => {
            let Some(exported) = caller.get_export("cabi_realloc").and_then(Extern::into_func) else {
                bail!("it takes a list and exports no cabi_realloc")
            };
            let realloc = exported.typed(&*caller)?;
            caller.data_mut().realloc = Some(realloc.clone());
            realloc
        }
    };
    let pointer = realloc.call_async(caller.as_context_mut(), (0, 0, alignment as i32, length)).await?;
    Ok(pointer as u32)
}

fn put_pointer(caller: &mut Caller<'_, Process>, ret: i32, (pointer, length): (u32, u32)) -> Result<()> {
    arm(caller);
    let area = area(caller, ret, 4, 8)?;
    area[..4].copy_from_slice(&pointer.to_le_bytes());
    area[4..].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The size of the largest payload: a delivery.
const DELIVERY_SIZE: usize = 96;

/// Writes a result where the guest wants it.
#[inline]
fn put(caller: &mut Caller<'_, Process>, ret: Ret, answer: Answer<'_>) -> Result<()> {
    arm(caller);
    match answer.result {
        // What is handed over is this.
        Ok(Returned::Delivery(delivery)) => {
            let area = area(caller, ret.0, WIDE.0, WIDE.0 + DELIVERY_SIZE)?;
            if let Some(area) = area.first_chunk_mut() {
                put_delivery(area, delivery, answer.words);
            }
            Ok(())
        }
        result => put_other(caller, ret, result),
    }
}

fn put_other(
    caller: &mut Caller<'_, Process>,
    Ret(ret, Payload(offset)): Ret,
    result: &Result<Returned, Error>,
) -> Result<()> {
    if offset == NO_RESULT.0 {
        return Ok(());
    }
    let returned = match result {
        Ok(returned) => returned,
        Err(error) => {
            let area = area(caller, ret, offset, offset + 1)?;
            area[0] = 1;
            area[offset] = *error as u8 - 1;
            return Ok(());
        }
    };
    let size = size(returned);
    let area = area(caller, ret, offset, offset + size)?;
    area[0] = 0;
    let mut record = Record(&mut area[offset..]);
    match returned {
        Returned::Nothing => {}
        Returned::Handle(handle) => record.u64(0, handle.0),
        Returned::Value(value) => record.u64(0, *value),
        Returned::Capability(info) => {
            record.u32(0, info.capability);
            record.u64(8, info.holder);
            record.u64(16, info.handle.0);
            record.u8(24, info.kind as u8);
            record.u32(28, info.object);
            record.u16(32, info.rights.0);
            record.u64(40, info.badge);
            record.u64(48, info.expiry);
            record.u8(56, info.parent.is_some().into());
            record.u32(60, info.parent.unwrap_or(0));
            record.bytes(64, &info.name.0);
        }
        Returned::Process(info) => {
            record.u64(0, info.serial);
            record.bytes(8, &info.name.0);
            record.u8(32, info.state as u8);
            record.u8(33, info.reason as u8);
            record.u64(40, info.code);
            record.u64(48, info.processor_time);
            record.u64(56, info.calls);
            record.u64(64, info.pages);
            record.u32(72, info.capabilities);
            record.u32(76, info.threads);
        }
        Returned::Quota(info) => {
            record.u64(0, info.memory);
            record.u64(8, info.memory_used);
            record.u64(16, info.pages);
            record.u64(24, info.pages_used);
        }
        Returned::Completion(completion) => {
            record.u64(0, completion.request);
            record.u8(8, completion.status as u8);
            record.u32(12, completion.length);
        }
        Returned::Delivery(_) | Returned::Bytes(_) => bail!("neither is returned in this place"),
    }
    Ok(())
}

/// A delivery that came, as the `result` that it is: all places are known to the compiler.
#[inline]
fn put_delivery(area: &mut [u8; WIDE.0 + DELIVERY_SIZE], delivery: &Delivery, words: &Words) {
    area[0] = 0;
    area[8] = delivery.kind as u8;
    area[9] = delivery.capabilities;
    area[12..16].copy_from_slice(&delivery.length.to_le_bytes());
    area[16..24].copy_from_slice(&delivery.badge.to_le_bytes());
    area[24..32].copy_from_slice(&delivery.tag.to_le_bytes());
    area[32..40].copy_from_slice(&delivery.reply.0.to_le_bytes());
    for (place, word) in area[40..104].as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

fn size(returned: &Returned) -> usize {
    match returned {
        Returned::Nothing | Returned::Delivery(_) | Returned::Bytes(_) => 0,
        Returned::Handle(_) | Returned::Value(_) => 8,
        Returned::Capability(_) => 88,
        Returned::Process(_) => 80,
        Returned::Quota(_) => 32,
        Returned::Completion(_) => 16,
    }
}

/// A record in the guest's memory; the area is as long as its size.
struct Record<'a>(&'a mut [u8]);

impl Record<'_> {
    #[inline]
    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
    #[inline]
    fn u8(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }
    #[inline]
    fn u16(&mut self, at: usize, value: u16) {
        self.bytes(at, &value.to_le_bytes());
    }
    #[inline]
    fn u32(&mut self, at: usize, value: u32) {
        self.bytes(at, &value.to_le_bytes());
    }
    #[inline]
    fn u64(&mut self, at: usize, value: u64) {
        self.bytes(at, &value.to_le_bytes());
    }
}
