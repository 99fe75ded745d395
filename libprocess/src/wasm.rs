//! The backend on WebAssembly: the imports of `wit/kernel.wit`. A call blocks inside
//! the import, so [`SystemCalls::begin`] is never pending here.
//!
//! A message without bytes and capabilities goes in flat parameters (no list, no
//! allocation); the `-with` forms carry the rest.

use crate::backend::{Answer, SystemCalls};
use abi::device::{Completion, CompletionStatus};
use abi::message::{MAX_TRANSFERS, Words};
use abi::{
    CapabilityInfo, Delivery, DeliveryKind, Error, ExitReason, Handle, Kind, Message, Name, ProcessInfo, ProcessState,
    QuotaInfo, ReplyToken, Request, Returned, Rights, Transfer, TransferMode,
};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll};

/// What wit-bindgen makes of `wit/kernel.wit`.
#[allow(missing_docs, unsafe_code, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit/kernel.wit",
        world: "process",
        pub_export_macro: true,
        default_bindings_module: "libprocess::wasm::bindings",
    });
}

use bindings::orbital::kernel::calls;

/// The imports, and the bytes of the last answer that came as a list.
pub struct Imports {
    bytes: RefCell<Vec<u8>>,
}

impl Imports {
    /// For the one context of the process.
    pub const fn new() -> Imports {
        Imports { bytes: RefCell::new(Vec::new()) }
    }

    fn keep(&self, bytes: Vec<u8>) -> Result<Returned, Error> {
        let length = bytes.len() as u32;
        *self.bytes.borrow_mut() = bytes;
        Ok(Returned::Bytes(length))
    }
}

impl Default for Imports {
    fn default() -> Imports {
        Imports::new()
    }
}

impl SystemCalls for Imports {
    fn begin(&self, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Poll<Answer> {
        if let Request::Send { message, .. }
        | Request::Call { message, .. }
        | Request::Reply { message, .. }
        | Request::ReplyReceive { message, .. } = request
            && message.transfers.len() > MAX_TRANSFERS
        {
            return Poll::Ready(Answer::without_words(Err(Error::TooLarge)));
        }
        let delivery = |result: Result<calls::Delivery, calls::Error>| match result {
            Ok(came) => Answer { words: from_tuple(came.words), result: Ok(Returned::Delivery(delivery_of(&came))) },
            Err(error) => Answer::without_words(Err(error_of(error))),
        };
        let result = match *request {
            Request::Send { endpoint, message, timeout } => nothing(if is_flat(&message) {
                calls::send(endpoint.0, timeout, message.tag, to_tuple(words))
            } else {
                let transfers = transfers(&message);
                calls::send_with(endpoint.0, timeout, message.tag, to_tuple(words), bytes, &transfers)
            }),
            Request::Call { endpoint, message, timeout } => {
                return Poll::Ready(delivery(if is_flat(&message) {
                    calls::call(endpoint.0, timeout, message.tag, to_tuple(words))
                } else {
                    let transfers = transfers(&message);
                    calls::call_with(endpoint.0, timeout, message.tag, to_tuple(words), bytes, &transfers)
                }));
            }
            Request::Receive { endpoint, timeout } => {
                return Poll::Ready(delivery(calls::receive(endpoint.0, timeout)));
            }
            Request::Reply { reply, message } => nothing(if is_flat(&message) {
                calls::reply(reply.0, message.tag, to_tuple(words))
            } else {
                let transfers = transfers(&message);
                calls::reply_with(reply.0, message.tag, to_tuple(words), bytes, &transfers)
            }),
            Request::ReplyReceive { endpoint, reply, message, timeout } => {
                return Poll::Ready(delivery(if is_flat(&message) {
                    calls::reply_receive(endpoint.0, reply.0, timeout, message.tag, to_tuple(words))
                } else {
                    let transfers = transfers(&message);
                    calls::reply_receive_with(
                        endpoint.0,
                        reply.0,
                        timeout,
                        message.tag,
                        to_tuple(words),
                        bytes,
                        &transfers,
                    )
                }));
            }
            Request::Signal { notification, bits } => nothing(calls::signal(notification.0, bits)),
            Request::Wait { notification, timeout } => value(calls::wait(notification.0, timeout)),
            Request::Poll { notification } => value(calls::poll(notification.0)),
            Request::Yield => {
                calls::yield_();
                Ok(Returned::Nothing)
            }

            Request::Derive { source, rights, badge, expiry } => {
                handle(calls::derive(source.0, rights.0, badge, expiry))
            }
            Request::Delete { handle } => nothing(calls::delete(handle.0)),
            Request::Revoke { handle } => value(calls::revoke(handle.0)),
            Request::Destroy { handle } => nothing(calls::destroy(handle.0)),
            Request::Inspect { process, slot, ancestor } => calls::inspect(process.0, slot, ancestor)
                .map_err(error_of)
                .and_then(capability_of)
                .map(Returned::Capability),

            Request::EndpointCreate { quota, depth } => handle(calls::endpoint_create(quota.0, depth)),
            Request::NotificationCreate { quota } => handle(calls::notification_create(quota.0)),
            Request::NotificationBind { notification, endpoint } => {
                nothing(calls::notification_bind(notification.0, endpoint.0))
            }
            Request::NotificationUnbind { notification } => nothing(calls::notification_unbind(notification.0)),
            Request::CaptureBegin { endpoint } => nothing(calls::capture_begin(endpoint.0)),
            Request::CaptureEnd { endpoint } => nothing(calls::capture_end(endpoint.0)),

            Request::ProcessCreate { image, quota, supervisor, name, limits } => {
                handle(calls::process_create(image.0, quota.0, supervisor.0, name.as_str(), limits_of(limits)))
            }
            Request::ProcessGrant { process, source, rights, badge, expiry } => {
                handle(calls::process_grant(process.0, source.0, rights.0, badge, expiry))
            }
            Request::ProcessStart { process, .. } => nothing(calls::process_start(process.0, bytes)),
            Request::ProcessSuspend { process } => nothing(calls::process_suspend(process.0)),
            Request::ProcessResume { process } => nothing(calls::process_resume(process.0)),
            Request::ProcessKill { process, code } => nothing(calls::process_kill(process.0, code)),
            Request::ProcessInspect { process } => {
                calls::process_inspect(process.0).map_err(error_of).and_then(process_of).map(Returned::Process)
            }
            Request::ProcessLimit { process, limits } => nothing(calls::process_limit(process.0, limits_of(limits))),
            Request::Exit { code } => {
                calls::exit(code);
                Ok(Returned::Nothing)
            }
            Request::Startup => calls::startup().map_err(error_of).and_then(|bytes| self.keep(bytes)),
            Request::ThreadCreate { quota, entry, stack, argument } => {
                handle(calls::thread_create(quota.0, entry, stack, argument))
            }
            Request::ThreadConfigure { thread, priority, budget, period } => {
                nothing(calls::thread_configure(thread.0, priority, budget, period))
            }
            Request::ThreadExit => {
                calls::thread_exit();
                Ok(Returned::Nothing)
            }

            Request::RegionCreate { quota, pages } => handle(calls::region_create(quota.0, pages)),
            Request::RegionRead { region, offset, length } => {
                calls::region_read(region.0, offset, length).map_err(error_of).and_then(|bytes| self.keep(bytes))
            }
            Request::RegionWrite { region, offset, .. } => nothing(calls::region_write(region.0, offset, bytes)),
            Request::RegionMap { region, address, rights } => nothing(calls::region_map(region.0, address, rights.0)),
            Request::RegionUnmap { region, address } => nothing(calls::region_unmap(region.0, address)),
            Request::ImageCreate { quota, region, length, name } => {
                handle(calls::image_create(quota.0, region.0, length, name.as_str()))
            }

            Request::InterruptBind { interrupt, notification, bits } => {
                nothing(calls::interrupt_bind(interrupt.0, notification.0, bits))
            }
            Request::InterruptUnbind { interrupt } => nothing(calls::interrupt_unbind(interrupt.0)),
            Request::InterruptAcknowledge { interrupt } => nothing(calls::interrupt_acknowledge(interrupt.0)),
            Request::DeviceRead { device, register } => value(calls::device_read(device.0, register)),
            Request::DeviceWrite { device, register, value } => nothing(calls::device_write(device.0, register, value)),
            Request::DeviceSubmit { device, operation, a, b, .. } => {
                value(calls::device_submit(device.0, operation as u8, a, b, bytes))
            }
            Request::DeviceComplete { device } => {
                calls::device_complete(device.0).map_err(error_of).and_then(completion_of).map(Returned::Completion)
            }

            Request::DeviceAddress { device, region, page } => value(calls::device_address(device.0, region.0, page)),

            Request::QuotaSplit { quota, memory, pages } => handle(calls::quota_split(quota.0, memory, pages)),
            Request::QuotaInspect { quota } => calls::quota_inspect(quota.0).map_err(error_of).map(|info| {
                Returned::Quota(QuotaInfo {
                    memory: info.memory,
                    memory_used: info.memory_used,
                    pages: info.pages,
                    pages_used: info.pages_used,
                })
            }),
            Request::LogRead { log, from, length } => {
                calls::log_read(log.0, from, length).map_err(error_of).and_then(|bytes| self.keep(bytes))
            }
            Request::Debug { .. } => match core::str::from_utf8(bytes) {
                Ok(text) => nothing(calls::debug(text)),
                Err(_) => Err(Error::InvalidArgument),
            },
        };
        Poll::Ready(Answer::without_words(result))
    }

    fn resume(&self, _: &mut Context<'_>) -> Poll<Answer> {
        // Nothing is ever pending here.
        Poll::Ready(Answer::without_words(Err(Error::Interrupted)))
    }

    fn take_bytes(&self) -> Vec<u8> {
        let kept = core::mem::take(&mut *self.bytes.borrow_mut());
        if kept.is_empty() { calls::take_bytes() } else { kept }
    }

    fn take_handles(&self) -> heapless::Vec<Handle, MAX_TRANSFERS> {
        calls::take_handles().into_iter().take(MAX_TRANSFERS).map(Handle).collect()
    }
}

fn is_flat(message: &Message<'_>) -> bool {
    message.length == 0 && message.transfers.is_empty()
}

fn transfers(message: &Message<'_>) -> heapless::Vec<calls::Transfer, MAX_TRANSFERS> {
    message.transfers.iter().map(transfer).collect()
}

fn transfer(transfer: &Transfer) -> calls::Transfer {
    calls::Transfer {
        handle: transfer.handle.0,
        mode: match transfer.mode {
            TransferMode::Move => calls::TransferMode::Move,
            TransferMode::Derive => calls::TransferMode::Derive,
            TransferMode::Reply => calls::TransferMode::Reply,
        },
        rights: transfer.rights.0,
        badge: transfer.badge,
    }
}

fn to_tuple(words: &Words) -> calls::Words {
    let [a, b, c, d, e, f, g, h] = *words;
    (a, b, c, d, e, f, g, h)
}

fn from_tuple((a, b, c, d, e, f, g, h): calls::Words) -> Words {
    [a, b, c, d, e, f, g, h]
}

fn delivery_of(came: &calls::Delivery) -> Delivery {
    Delivery {
        kind: match came.kind {
            calls::DeliveryKind::Sent => DeliveryKind::Sent,
            calls::DeliveryKind::Called => DeliveryKind::Called,
            calls::DeliveryKind::Answer => DeliveryKind::Answer,
            calls::DeliveryKind::Notified => DeliveryKind::Notified,
            calls::DeliveryKind::Fault => DeliveryKind::Fault,
            calls::DeliveryKind::Exit => DeliveryKind::Exit,
        },
        capabilities: came.capabilities,
        length: came.length,
        badge: came.badge,
        tag: came.tag,
        reply: ReplyToken(came.reply),
    }
}

fn nothing(result: Result<(), calls::Error>) -> Result<Returned, Error> {
    result.map(|()| Returned::Nothing).map_err(error_of)
}

fn value(result: Result<u64, calls::Error>) -> Result<Returned, Error> {
    result.map(Returned::Value).map_err(error_of)
}

fn handle(result: Result<u64, calls::Error>) -> Result<Returned, Error> {
    result.map(|handle| Returned::Handle(Handle(handle))).map_err(error_of)
}

fn limits_of(limits: abi::info::Limits) -> calls::Limits {
    calls::Limits {
        capabilities: limits.capabilities,
        queued_messages: limits.queued_messages,
        processor_time: limits.processor_time,
    }
}

fn name_of(name: calls::Name) -> Name {
    let mut bytes = [0; Name::CAPACITY];
    for (to, from) in bytes.chunks_exact_mut(8).zip([name.a, name.b, name.c]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    Name(bytes)
}

// A host that answers with a number outside its table is broken; the call failed.

fn capability_of(info: calls::CapabilityInfo) -> Result<CapabilityInfo, Error> {
    Ok(CapabilityInfo {
        capability: info.capability,
        holder: info.holder,
        handle: Handle(info.handle),
        kind: Kind::from_number(info.kind).ok_or(Error::Unsupported)?,
        object: info.object,
        rights: Rights(info.rights),
        badge: info.badge,
        expiry: info.expiry,
        parent: info.parent,
        name: name_of(info.name),
    })
}

fn process_of(info: calls::ProcessInfo) -> Result<ProcessInfo, Error> {
    Ok(ProcessInfo {
        serial: info.serial,
        name: name_of(info.name),
        state: match info.state {
            0 => ProcessState::Created,
            1 => ProcessState::Running,
            2 => ProcessState::Suspended,
            3 => ProcessState::Exited,
            _ => return Err(Error::Unsupported),
        },
        reason: ExitReason::from_number(info.reason).ok_or(Error::Unsupported)?,
        code: info.code,
        processor_time: info.processor_time,
        calls: info.calls,
        pages: info.pages,
        capabilities: info.capabilities,
        threads: info.threads,
    })
}

fn completion_of(completion: calls::Completion) -> Result<Completion, Error> {
    Ok(Completion {
        request: completion.request,
        status: CompletionStatus::from_number(completion.status).ok_or(Error::Unsupported)?,
        length: completion.length,
    })
}

fn error_of(error: calls::Error) -> Error {
    match error {
        calls::Error::BadHandle => Error::BadHandle,
        calls::Error::StaleHandle => Error::StaleHandle,
        calls::Error::WrongKind => Error::WrongKind,
        calls::Error::MissingRight => Error::MissingRight,
        calls::Error::Expired => Error::Expired,
        calls::Error::Revoked => Error::Revoked,
        calls::Error::InvalidArgument => Error::InvalidArgument,
        calls::Error::WouldBlock => Error::WouldBlock,
        calls::Error::TimedOut => Error::TimedOut,
        calls::Error::PeerGone => Error::PeerGone,
        calls::Error::QuotaExceeded => Error::QuotaExceeded,
        calls::Error::TooLarge => Error::TooLarge,
        calls::Error::Unsupported => Error::Unsupported,
        calls::Error::Interrupted => Error::Interrupted,
        calls::Error::AlreadyBound => Error::AlreadyBound,
        calls::Error::NotBound => Error::NotBound,
    }
}
