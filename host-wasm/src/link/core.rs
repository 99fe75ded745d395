//! The core path: the kernel calls linked straight to a component's one application
//! module, with the canonical ABI by hand.
//!
//! Names and signatures are checked by the linker when the module is linked. Every
//! pointer and length comes from the guest and is hostile: nothing is read or written
//! but through a slice of its memory, and what does not fit traps, as the canonical ABI says.

use crate::image::INTERFACE;
use crate::machine::door::{self, Answer};
use crate::machine::process::Process;
use abi::device::Operation;
use abi::info::Limits;
use abi::message::{MAX_BYTES, MAX_TRANSFERS, Message, Words};
use abi::{Delivery, Error, Handle, Name, ReplyToken, Request, Returned, Rights, Transfer, TransferMode};
use wasmtime::{AsContextMut, Caller, Engine, Extern, ExternType, Linker, Memory, Module, Result, ValType, bail};

/// Where the canonical ABI puts the payload of a `result`: after the discriminant, at
/// the alignment of its largest case.
#[derive(Clone, Copy)]
struct Payload(usize);

const NOTHING: Payload = Payload(1);
const LIST: Payload = Payload(4);
const WIDE: Payload = Payload(8);

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

/// A call without payload out: arguments to request, result into memory at `ret`.
macro_rules! plain {
    ($linker:ident, $name:literal, $payload:ident, ($($argument:ident: $type:ty),*) => $request:expr) => {
        $linker.func_wrap_async(INTERFACE, $name, |mut caller: Caller<'_, Process>, ($($argument,)* ret,): ($($type,)* i32,)| {
            Box::new(async move {
                let answer = door::call(caller.data().me, &$request, &NO_WORDS, &[]).await;
                put(&mut caller, ret, $payload, &answer)
            })
        })?;
    };
}

/// A call whose answer is bytes: they go into memory that the guest allocates.
macro_rules! bytes_in {
    ($linker:ident, $name:literal, ($($argument:ident: $type:ty),*) => $request:expr) => {
        $linker.func_wrap_async(INTERFACE, $name, |mut caller: Caller<'_, Process>, ($($argument,)* ret,): ($($type,)* i32,)| {
            Box::new(async move {
                let me = caller.data().me;
                let answer = door::call(me, &$request, &NO_WORDS, &[]).await;
                if answer.result.is_err() {
                    return put(&mut caller, ret, LIST, &answer);
                }
                let bytes = door::take_bytes(me);
                let (pointer, length) = put_list(&mut caller, &bytes, 1).await?;
                let area = area(&mut caller, ret, 4, 12)?;
                area[0] = 0;
                area[4..8].copy_from_slice(&pointer.to_le_bytes());
                area[8..12].copy_from_slice(&length.to_le_bytes());
                Ok(())
            })
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

type Flat8 = (i64, i64, i64, i64, i64, i64, i64, i64);

fn flat(words: Flat8) -> Words {
    let (a, b, c, d, e, f, g, h) = words;
    [a, b, c, d, e, f, g, h].map(|word| word as u64)
}

fn words_alone(tag: i64) -> Message<'static> {
    Message { tag: tag as u64, length: 0, transfers: &[] }
}

#[allow(clippy::type_complexity)]
fn messages(linker: &mut Linker<Process>) -> Result<()> {
    linker.func_wrap_async(
        INTERFACE,
        "call",
        |mut caller: Caller<'_, Process>,
         (endpoint, timeout, tag, a, b, c, d, e, f, g, h, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
        )| {
            Box::new(async move {
                let request =
                    Request::Call { endpoint: handle(endpoint), message: words_alone(tag), timeout: timeout as u64 };
                let answer = door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), &[]).await;
                put(&mut caller, ret, WIDE, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "reply-receive",
        |mut caller: Caller<'_, Process>,
         (endpoint, reply, timeout, tag, a, b, c, d, e, f, g, h, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
        )| {
            Box::new(async move {
                let request = Request::ReplyReceive {
                    endpoint: handle(endpoint),
                    reply: token(reply),
                    message: words_alone(tag),
                    timeout: timeout as u64,
                };
                let answer = door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), &[]).await;
                put(&mut caller, ret, WIDE, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "send",
        |mut caller: Caller<'_, Process>,
         (endpoint, timeout, tag, a, b, c, d, e, f, g, h, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
        )| {
            Box::new(async move {
                let request =
                    Request::Send { endpoint: handle(endpoint), message: words_alone(tag), timeout: timeout as u64 };
                let answer = door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), &[]).await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "reply",
        |mut caller: Caller<'_, Process>,
         (reply, tag, a, b, c, d, e, f, g, h, ret): (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i32)| {
            Box::new(async move {
                let request = Request::Reply { reply: token(reply), message: words_alone(tag) };
                let answer = door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), &[]).await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "call-with",
        |mut caller: Caller<'_, Process>,
         (endpoint, timeout, tag, a, b, c, d, e, f, g, h, bytes, length, transfers, count, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i32,
        )| {
            Box::new(async move {
                let payload = Out::get(&mut caller, bytes, length, transfers, count)?;
                let request = Request::Call {
                    endpoint: handle(endpoint),
                    message: payload.message(tag),
                    timeout: timeout as u64,
                };
                let called =
                    door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, WIDE, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "reply-receive-with",
        |mut caller: Caller<'_, Process>,
         (endpoint, reply, timeout, tag, a, b, c, d, e, f, g, h, bytes, length, transfers, count, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i32,
        )| {
            Box::new(async move {
                let payload = Out::get(&mut caller, bytes, length, transfers, count)?;
                let request = Request::ReplyReceive {
                    endpoint: handle(endpoint),
                    reply: token(reply),
                    message: payload.message(tag),
                    timeout: timeout as u64,
                };
                let called =
                    door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, WIDE, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "send-with",
        |mut caller: Caller<'_, Process>,
         (endpoint, timeout, tag, a, b, c, d, e, f, g, h, bytes, length, transfers, count, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i32,
        )| {
            Box::new(async move {
                let payload = Out::get(&mut caller, bytes, length, transfers, count)?;
                let request = Request::Send {
                    endpoint: handle(endpoint),
                    message: payload.message(tag),
                    timeout: timeout as u64,
                };
                let called =
                    door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
    linker.func_wrap_async(
        INTERFACE,
        "reply-with",
        |mut caller: Caller<'_, Process>,
         (reply, tag, a, b, c, d, e, f, g, h, bytes, length, transfers, count, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i32,
        )| {
            Box::new(async move {
                let payload = Out::get(&mut caller, bytes, length, transfers, count)?;
                let request = Request::Reply { reply: token(reply), message: payload.message(tag) };
                let called =
                    door::call(caller.data().me, &request, &flat((a, b, c, d, e, f, g, h)), payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
    plain!(linker, "receive", WIDE, (endpoint: i64, timeout: i64) => Request::Receive { endpoint: handle(endpoint), timeout: timeout as u64 });
    plain!(linker, "signal", NOTHING, (notification: i64, bits: i64) => Request::Signal { notification: handle(notification), bits: bits as u64 });
    plain!(linker, "wait", WIDE, (notification: i64, timeout: i64) => Request::Wait { notification: handle(notification), timeout: timeout as u64 });
    plain!(linker, "poll", WIDE, (notification: i64) => Request::Poll { notification: handle(notification) });
    linker.func_wrap_async(INTERFACE, "yield", |mut caller: Caller<'_, Process>, (): ()| {
        Box::new(async move {
            door::call(caller.data().me, &Request::Yield, &NO_WORDS, &[]).await;
            arm(&mut caller);
        })
    })?;
    linker.func_wrap_async(INTERFACE, "take-bytes", |mut caller: Caller<'_, Process>, (ret,): (i32,)| {
        Box::new(async move {
            let bytes = door::take_bytes(caller.data().me);
            let list = put_list(&mut caller, &bytes, 1).await?;
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
    plain!(linker, "notification-unbind", NOTHING, (notification: i64) => Request::NotificationUnbind { notification: handle(notification) });
    plain!(linker, "quota-split", WIDE, (quota: i64, memory: i64, pages: i64) => Request::QuotaSplit {
        quota: handle(quota), memory: memory as u64, pages: pages as u64
    });
    plain!(linker, "quota-inspect", WIDE, (quota: i64) => Request::QuotaInspect { quota: handle(quota) });
    Ok(())
}

#[allow(clippy::type_complexity)]
fn processes(linker: &mut Linker<Process>) -> Result<()> {
    linker.func_wrap_async(
        INTERFACE,
        "process-create",
        |mut caller: Caller<'_, Process>,
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
            Box::new(async move {
                let name = name(&mut caller, text, length)?;
                let request = Request::ProcessCreate {
                    image: handle(image),
                    quota: handle(quota),
                    supervisor: handle(supervisor),
                    name,
                    limits: limits(capabilities, queued, time),
                };
                let answer = door::call(caller.data().me, &request, &NO_WORDS, &[]).await;
                put(&mut caller, ret, WIDE, &answer)
            })
        },
    )?;
    plain!(linker, "process-grant", WIDE, (process: i64, source: i64, rights: i32, badge: i64, expiry: i64) => Request::ProcessGrant {
        process: handle(process), source: handle(source), rights: Rights(rights as u16), badge: badge as u64, expiry: expiry as u64
    });
    linker.func_wrap_async(
        INTERFACE,
        "process-start",
        |mut caller: Caller<'_, Process>, (process, bytes, length, ret): (i64, i32, i32, i32)| {
            Box::new(async move {
                let payload = Out::get(&mut caller, bytes, length, 0, 0)?;
                let request = Request::ProcessStart { process: handle(process), length: length as u32 };
                let called = door::call(caller.data().me, &request, &NO_WORDS, payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
    plain!(linker, "process-suspend", NOTHING, (process: i64) => Request::ProcessSuspend { process: handle(process) });
    plain!(linker, "process-resume", NOTHING, (process: i64) => Request::ProcessResume { process: handle(process) });
    plain!(linker, "process-kill", NOTHING, (process: i64, code: i64) => Request::ProcessKill { process: handle(process), code: code as u64 });
    plain!(linker, "process-inspect", WIDE, (process: i64) => Request::ProcessInspect { process: handle(process) });
    plain!(linker, "process-limit", NOTHING, (process: i64, capabilities: i32, queued: i32, time: i64) => Request::ProcessLimit {
        process: handle(process), limits: limits(capabilities, queued, time)
    });
    linker.func_wrap_async(INTERFACE, "exit", |caller: Caller<'_, Process>, (code,): (i64,)| {
        Box::new(async move {
            door::call(caller.data().me, &Request::Exit { code: code as u64 }, &NO_WORDS, &[]).await;
        })
    })?;
    bytes_in!(linker, "startup", () => Request::Startup);
    plain!(linker, "thread-create", WIDE, (quota: i64, entry: i64, stack: i64, argument: i64) => Request::ThreadCreate {
        quota: handle(quota), entry: entry as u64, stack: stack as u64, argument: argument as u64
    });
    plain!(linker, "thread-configure", NOTHING, (thread: i64, priority: i32, budget: i64, period: i64) => Request::ThreadConfigure {
        thread: handle(thread), priority: priority as u8, budget: budget as u64, period: period as u64
    });
    linker.func_wrap_async(INTERFACE, "thread-exit", |caller: Caller<'_, Process>, (): ()| {
        Box::new(async move {
            door::call(caller.data().me, &Request::ThreadExit, &NO_WORDS, &[]).await;
        })
    })?;
    Ok(())
}

fn memory_and_devices(linker: &mut Linker<Process>) -> Result<()> {
    plain!(linker, "region-create", WIDE, (quota: i64, pages: i64) => Request::RegionCreate { quota: handle(quota), pages: pages as u64 });
    bytes_in!(linker, "region-read", (region: i64, offset: i64, length: i32) => Request::RegionRead {
        region: handle(region), offset: offset as u64, length: length as u32
    });
    linker.func_wrap_async(
        INTERFACE,
        "region-write",
        |mut caller: Caller<'_, Process>, (region, offset, bytes, length, ret): (i64, i64, i32, i32, i32)| {
            Box::new(async move {
                let payload = Out::any_length(&mut caller, bytes, length)?;
                let request =
                    Request::RegionWrite { region: handle(region), offset: offset as u64, length: length as u32 };
                let called = door::call(caller.data().me, &request, &NO_WORDS, payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
    plain!(linker, "region-map", NOTHING, (region: i64, address: i64, rights: i32) => Request::RegionMap {
        region: handle(region), address: address as u64, rights: Rights(rights as u16)
    });
    plain!(linker, "region-unmap", NOTHING, (region: i64, address: i64) => Request::RegionUnmap { region: handle(region), address: address as u64 });
    linker.func_wrap_async(
        INTERFACE,
        "image-create",
        |mut caller: Caller<'_, Process>,
         (quota, region, length, text, text_length, ret): (i64, i64, i64, i32, i32, i32)| {
            Box::new(async move {
                let name = name(&mut caller, text, text_length)?;
                let request =
                    Request::ImageCreate { quota: handle(quota), region: handle(region), length: length as u64, name };
                let answer = door::call(caller.data().me, &request, &NO_WORDS, &[]).await;
                put(&mut caller, ret, WIDE, &answer)
            })
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
            Box::new(async move {
                let Some(operation) = u8::try_from(operation).ok().and_then(Operation::from_number) else {
                    return put(&mut caller, ret, WIDE, &Answer::error(Error::InvalidArgument));
                };
                let payload = Out::get(&mut caller, bytes, length, 0, 0)?;
                let request = Request::DeviceSubmit {
                    device: handle(device),
                    operation,
                    a: a as u64,
                    b: b as u64,
                    length: length as u32,
                };
                let called = door::call(caller.data().me, &request, &NO_WORDS, payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, WIDE, &answer)
            })
        },
    )?;
    plain!(linker, "device-complete", WIDE, (device: i64) => Request::DeviceComplete { device: handle(device) });
    plain!(linker, "device-address", WIDE, (device: i64, region: i64, page: i64) => Request::DeviceAddress {
        device: handle(device), region: handle(region), page: page as u64
    });
    bytes_in!(linker, "log-read", (log: i64, from: i64, length: i32) => Request::LogRead {
        log: handle(log), from: from as u64, length: length as u32
    });
    linker.func_wrap_async(
        INTERFACE,
        "debug",
        |mut caller: Caller<'_, Process>, (text, length, ret): (i32, i32, i32)| {
            Box::new(async move {
                let payload = Out::get(&mut caller, text, length, 0, 0)?;
                let request = Request::Debug { length: length as u32 };
                let called = door::call(caller.data().me, &request, &NO_WORDS, payload.bytes(&mut caller));
                let answer = called.await;
                put(&mut caller, ret, NOTHING, &answer)
            })
        },
    )?;
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

/// Payload that goes out with a call, in the guest's memory.
struct Out {
    start: usize,
    length: usize,
    claimed: u32,
    transfers: [Transfer; MAX_TRANSFERS + 1],
    count: usize,
}

impl Out {
    /// Checks the ranges and reads the transfers. Of more bytes or transfers than a
    /// message may have only as many are looked at as the kernel needs to refuse it.
    fn get(caller: &mut Caller<'_, Process>, bytes: i32, length: i32, transfers: i32, count: i32) -> Result<Out> {
        let mut out = Out::any_length(caller, bytes, length)?;
        if out.length > MAX_BYTES {
            out.length = 0;
        }
        let count = count as u32 as usize;
        let transfers = transfers as u32 as usize;
        if count > 0 && !transfers.is_multiple_of(8) {
            bail!("the list of transfers is not aligned");
        }
        let memory = memory(caller)?.data(&*caller);
        let list = count.checked_mul(TRANSFER_SIZE).and_then(|size| memory.get(transfers..)?.get(..size));
        let Some(list) = list else { bail!("the list of transfers is outside the memory") };
        out.count = count.min(MAX_TRANSFERS + 1);
        for (transfer, record) in out.transfers.iter_mut().zip(list.chunks_exact(TRANSFER_SIZE)) {
            *transfer = decode_transfer(record)?;
        }
        Ok(out)
    }

    /// Of calls whose bytes are not a message's.
    fn any_length(caller: &mut Caller<'_, Process>, bytes: i32, length: i32) -> Result<Out> {
        let (start, claimed) = (bytes as u32 as usize, length as u32);
        let length = claimed as usize;
        let memory = memory(caller)?.data(&*caller);
        if memory.get(start..).and_then(|rest| rest.get(..length)).is_none() {
            bail!("a list is outside the memory");
        }
        let none = Transfer { handle: Handle::NONE, mode: TransferMode::Move, rights: Rights::NONE, badge: 0 };
        Ok(Out { start, length, claimed, transfers: [none; MAX_TRANSFERS + 1], count: 0 })
    }

    fn message(&self, tag: i64) -> Message<'_> {
        Message { tag: tag as u64, length: self.claimed, transfers: &self.transfers[..self.count] }
    }

    fn bytes<'a>(&self, caller: &'a mut Caller<'_, Process>) -> &'a [u8] {
        let memory = memory(caller).map(|memory| memory.data(&*caller));
        memory.ok().and_then(|data| data.get(self.start..)?.get(..self.length)).unwrap_or(&[])
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

fn memory(caller: &Caller<'_, Process>) -> Result<Memory> {
    match caller.data().memory {
        Some(memory) => Ok(memory),
        None => bail!("a kernel call before the module has a memory"),
    }
}

/// `size` bytes of the guest's memory at a pointer that it gave.
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

fn name(caller: &mut Caller<'_, Process>, text: i32, length: i32) -> Result<Name> {
    let out = Out::any_length(caller, text, length)?;
    match std::str::from_utf8(out.bytes(caller)) {
        Ok(text) => Ok(Name::new(text)),
        Err(_) => bail!("a string is not UTF-8"),
    }
}

/// The epoch deadline is armed anew whenever the guest goes on.
fn arm(caller: &mut Caller<'_, Process>) {
    caller.as_context_mut().set_epoch_deadline(1);
}

/// Memory that the guest allocates, with these bytes in it: pointer and length.
async fn put_list(caller: &mut Caller<'_, Process>, bytes: &[u8], alignment: u32) -> Result<(u32, u32)> {
    let length = u32::try_from(bytes.len())?;
    if length == 0 {
        // An empty list may lie anywhere that is aligned.
        return Ok((alignment, 0));
    }
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
    let pointer = realloc.call_async(caller.as_context_mut(), (0, 0, alignment as i32, length as i32)).await?;
    area(caller, pointer, alignment as usize, bytes.len())?.copy_from_slice(bytes);
    Ok((pointer as u32, length))
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
fn put(caller: &mut Caller<'_, Process>, ret: i32, Payload(offset): Payload, answer: &Answer) -> Result<()> {
    arm(caller);
    let returned = match &answer.result {
        Ok(returned) => returned,
        Err(error) => {
            let area = area(caller, ret, offset, offset + 1)?;
            area[0] = 1;
            area[offset] = *error as u8 - 1;
            return Ok(());
        }
    };
    let size = match returned {
        Returned::Delivery(_) => DELIVERY_SIZE,
        _ => size(returned),
    };
    let area = area(caller, ret, offset, offset + size)?;
    area[0] = 0;
    let mut record = Record(&mut area[offset..]);
    match returned {
        Returned::Delivery(delivery) => put_delivery(&mut record, delivery, &answer.words),
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
        Returned::Bytes(_) => bail!("bytes are not returned in place"),
    }
    Ok(())
}

#[inline]
fn put_delivery(record: &mut Record<'_>, delivery: &Delivery, words: &Words) {
    record.u8(0, delivery.kind as u8);
    record.u8(1, delivery.capabilities);
    record.u32(4, delivery.length);
    record.u64(8, delivery.badge);
    record.u64(16, delivery.tag);
    record.u64(24, delivery.reply.0);
    for (index, word) in words.iter().enumerate() {
        record.u64(32 + index * 8, *word);
    }
}

fn size(returned: &Returned) -> usize {
    match returned {
        Returned::Nothing => 0,
        Returned::Handle(_) | Returned::Value(_) => 8,
        Returned::Delivery(_) => DELIVERY_SIZE,
        Returned::Capability(_) => 88,
        Returned::Process(_) => 80,
        Returned::Quota(_) => 32,
        Returned::Completion(_) => 16,
        Returned::Bytes(_) => 0,
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
