//! The component path: the kernel calls for any component, lifted and lowered by
//! wasmtime from `wit/kernel.wit`.

use crate::machine::door;
use crate::machine::process::{Me, Process};
use abi::device::Operation;
use abi::info::Limits;
use abi::message::{MAX_BYTES, MAX_TRANSFERS, Message, Words};
use abi::{Error, Handle, Name, ReplyToken, Request, Returned, Rights, Transfer, TransferMode};
use bindings::orbital::kernel::calls;
use std::future::poll_fn;
use std::task::Poll;
use wasmtime::component::{HasData, InstancePre, Linker};
use wasmtime::{Engine, Result};

/// What wasmtime makes of the WIT file.
#[allow(missing_docs, clippy::all)]
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/kernel.wit",
        world: "process",
        imports: { default: async },
        exports: { default: async },
    });
}

/// All calls, for components of this engine.
pub fn linker(engine: &Engine) -> Result<Linker<Process>> {
    let mut linker = Linker::new(engine);
    calls::add_to_linker::<Process, Calls>(&mut linker, |process| Calls { me: process.me })?;
    Ok(linker)
}

/// Whether the component exports what a process must.
pub fn exports_fit(pre: &InstancePre<Process>) -> Result<()> {
    bindings::ProcessPre::new(pre.clone()).map(|_| ())
}

/// The calls of one process.
pub struct Calls {
    me: Me,
}

impl HasData for Calls {
    type Data<'a> = Calls;
}

const NO_WORDS: Words = [0; 8];

/// An answer, taken from the machine.
struct Answer {
    result: std::result::Result<Returned, Error>,
    words: Words,
}

impl Answer {
    fn take(answer: door::Answer<'_>) -> Answer {
        Answer { result: *answer.result, words: *answer.words }
    }
}

impl Calls {
    async fn ask(&self, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Answer {
        let next = door::enter(self.me, request, words, bytes);
        match door::go_on(self.me, next, Answer::take) {
            Some(answer) => answer,
            None => poll_fn(|_| door::answered(self.me, Answer::take).map_or(Poll::Pending, Poll::Ready)).await,
        }
    }

    async fn plain(&self, request: Request<'_>) -> Answer {
        self.ask(&request, &NO_WORDS, &[]).await
    }

    async fn nothing(&self, request: Request<'_>) -> Outcome<()> {
        self.plain(request).await.result.map(|_| ()).map_err(error)
    }

    async fn value(&self, request: Request<'_>) -> Outcome<u64> {
        match self.plain(request).await.result.map_err(error)? {
            Returned::Value(value) | Returned::Handle(Handle(value)) => Ok(value),
            _ => Err(calls::Error::Unsupported),
        }
    }

    async fn bytes(&self, request: Request<'_>) -> Outcome<Vec<u8>> {
        self.plain(request).await.result.map_err(error)?;
        Ok(taken(self.me))
    }

    async fn delivery(&self, request: Request<'_>, words: calls::Words, bytes: &[u8]) -> Outcome<calls::Delivery> {
        let answer = self.ask(&request, &flat(words), within_message(bytes)).await;
        match answer.result.map_err(error)? {
            Returned::Delivery(delivery) => {
                let [a, b, c, d, e, f, g, h] = answer.words;
                Ok(calls::Delivery {
                    kind: kind(delivery.kind),
                    capabilities: delivery.capabilities,
                    length: delivery.length,
                    badge: delivery.badge,
                    tag: delivery.tag,
                    reply: delivery.reply.0,
                    words: (a, b, c, d, e, f, g, h),
                })
            }
            _ => Err(calls::Error::Unsupported),
        }
    }

    async fn sent(&self, request: Request<'_>, words: calls::Words, bytes: &[u8]) -> Outcome<()> {
        self.ask(&request, &flat(words), within_message(bytes)).await.result.map(|_| ()).map_err(error)
    }
}

/// The bytes of the last delivery; once.
fn taken(me: Me) -> Vec<u8> {
    door::take_bytes(me, <[u8]>::to_vec).unwrap_or_default()
}

/// Bytes that no message can have are not carried: the kernel refuses by their length.
fn within_message(bytes: &[u8]) -> &[u8] {
    if bytes.len() > MAX_BYTES { &[] } else { bytes }
}

type Outcome<T> = std::result::Result<T, calls::Error>;

impl calls::Host for Calls {
    async fn send(&mut self, endpoint: u64, timeout: u64, tag: u64, words: calls::Words) -> Outcome<()> {
        self.sent(Request::Send { endpoint: Handle(endpoint), message: message(tag, &[], &[]), timeout }, words, &[])
            .await
    }
    async fn send_with(
        &mut self,
        endpoint: u64,
        timeout: u64,
        tag: u64,
        words: calls::Words,
        bytes: Vec<u8>,
        list: Vec<calls::Transfer>,
    ) -> Outcome<()> {
        let list = transfers(&list);
        self.sent(
            Request::Send { endpoint: Handle(endpoint), message: message(tag, &bytes, &list), timeout },
            words,
            &bytes,
        )
        .await
    }
    async fn call(&mut self, endpoint: u64, timeout: u64, tag: u64, words: calls::Words) -> Outcome<calls::Delivery> {
        self.delivery(
            Request::Call { endpoint: Handle(endpoint), message: message(tag, &[], &[]), timeout },
            words,
            &[],
        )
        .await
    }
    async fn call_with(
        &mut self,
        endpoint: u64,
        timeout: u64,
        tag: u64,
        words: calls::Words,
        bytes: Vec<u8>,
        list: Vec<calls::Transfer>,
    ) -> Outcome<calls::Delivery> {
        let list = transfers(&list);
        self.delivery(
            Request::Call { endpoint: Handle(endpoint), message: message(tag, &bytes, &list), timeout },
            words,
            &bytes,
        )
        .await
    }
    async fn receive(&mut self, endpoint: u64, timeout: u64) -> Outcome<calls::Delivery> {
        self.delivery(Request::Receive { endpoint: Handle(endpoint), timeout }, (0, 0, 0, 0, 0, 0, 0, 0), &[]).await
    }
    async fn reply(&mut self, reply: u64, tag: u64, words: calls::Words) -> Outcome<()> {
        self.sent(Request::Reply { reply: ReplyToken(reply), message: message(tag, &[], &[]) }, words, &[]).await
    }
    async fn reply_with(
        &mut self,
        reply: u64,
        tag: u64,
        words: calls::Words,
        bytes: Vec<u8>,
        list: Vec<calls::Transfer>,
    ) -> Outcome<()> {
        let list = transfers(&list);
        self.sent(Request::Reply { reply: ReplyToken(reply), message: message(tag, &bytes, &list) }, words, &bytes)
            .await
    }
    async fn reply_receive(
        &mut self,
        endpoint: u64,
        reply: u64,
        timeout: u64,
        tag: u64,
        words: calls::Words,
    ) -> Outcome<calls::Delivery> {
        let request = Request::ReplyReceive {
            endpoint: Handle(endpoint),
            reply: ReplyToken(reply),
            message: message(tag, &[], &[]),
            timeout,
        };
        self.delivery(request, words, &[]).await
    }
    async fn reply_receive_with(
        &mut self,
        endpoint: u64,
        reply: u64,
        timeout: u64,
        tag: u64,
        words: calls::Words,
        bytes: Vec<u8>,
        list: Vec<calls::Transfer>,
    ) -> Outcome<calls::Delivery> {
        let list = transfers(&list);
        let request = Request::ReplyReceive {
            endpoint: Handle(endpoint),
            reply: ReplyToken(reply),
            message: message(tag, &bytes, &list),
            timeout,
        };
        self.delivery(request, words, &bytes).await
    }
    async fn take_bytes(&mut self) -> Vec<u8> {
        taken(self.me)
    }
    async fn take_handles(&mut self) -> Vec<u64> {
        door::take_handles(self.me).iter().map(|handle| handle.0).collect()
    }
    async fn signal(&mut self, notification: u64, bits: u64) -> Outcome<()> {
        self.nothing(Request::Signal { notification: Handle(notification), bits }).await
    }
    async fn wait(&mut self, notification: u64, timeout: u64) -> Outcome<u64> {
        self.value(Request::Wait { notification: Handle(notification), timeout }).await
    }
    async fn poll(&mut self, notification: u64) -> Outcome<u64> {
        self.value(Request::Poll { notification: Handle(notification) }).await
    }
    async fn yield_(&mut self) {
        self.plain(Request::Yield).await;
    }

    async fn derive(&mut self, source: u64, rights: u16, badge: u64, expiry: u64) -> Outcome<u64> {
        self.value(Request::Derive { source: Handle(source), rights: Rights(rights), badge, expiry }).await
    }
    async fn delete(&mut self, handle: u64) -> Outcome<()> {
        self.nothing(Request::Delete { handle: Handle(handle) }).await
    }
    async fn revoke(&mut self, handle: u64) -> Outcome<u64> {
        self.value(Request::Revoke { handle: Handle(handle) }).await
    }
    async fn destroy(&mut self, handle: u64) -> Outcome<()> {
        self.nothing(Request::Destroy { handle: Handle(handle) }).await
    }
    async fn inspect(&mut self, process: u64, slot: u32, ancestor: u32) -> Outcome<calls::CapabilityInfo> {
        match self.plain(Request::Inspect { process: Handle(process), slot, ancestor }).await.result.map_err(error)? {
            Returned::Capability(info) => Ok(calls::CapabilityInfo {
                capability: info.capability,
                holder: info.holder,
                handle: info.handle.0,
                kind: info.kind as u8,
                object: info.object,
                rights: info.rights.0,
                badge: info.badge,
                expiry: info.expiry,
                parent: info.parent,
                name: name_out(info.name),
            }),
            _ => Err(calls::Error::Unsupported),
        }
    }

    async fn endpoint_create(&mut self, quota: u64, depth: u32) -> Outcome<u64> {
        self.value(Request::EndpointCreate { quota: Handle(quota), depth }).await
    }
    async fn notification_create(&mut self, quota: u64) -> Outcome<u64> {
        self.value(Request::NotificationCreate { quota: Handle(quota) }).await
    }
    async fn notification_bind(&mut self, notification: u64, endpoint: u64) -> Outcome<()> {
        self.nothing(Request::NotificationBind { notification: Handle(notification), endpoint: Handle(endpoint) }).await
    }
    async fn capture_begin(&mut self, endpoint: u64) -> Outcome<()> {
        self.nothing(Request::CaptureBegin { endpoint: Handle(endpoint) }).await
    }
    async fn capture_end(&mut self, endpoint: u64) -> Outcome<()> {
        self.nothing(Request::CaptureEnd { endpoint: Handle(endpoint) }).await
    }
    async fn notification_unbind(&mut self, notification: u64) -> Outcome<()> {
        self.nothing(Request::NotificationUnbind { notification: Handle(notification) }).await
    }

    async fn process_create(
        &mut self,
        image: u64,
        quota: u64,
        supervisor: u64,
        name: String,
        limits: calls::Limits,
    ) -> Outcome<u64> {
        let request = Request::ProcessCreate {
            image: Handle(image),
            quota: Handle(quota),
            supervisor: Handle(supervisor),
            name: Name::new(&name),
            limits: limits_in(limits),
        };
        self.value(request).await
    }
    async fn process_grant(&mut self, process: u64, source: u64, rights: u16, badge: u64, expiry: u64) -> Outcome<u64> {
        self.value(Request::ProcessGrant {
            process: Handle(process),
            source: Handle(source),
            rights: Rights(rights),
            badge,
            expiry,
        })
        .await
    }
    async fn process_start(&mut self, process: u64, bytes: Vec<u8>) -> Outcome<()> {
        let request = Request::ProcessStart { process: Handle(process), length: length(&bytes) };
        self.sent(request, (0, 0, 0, 0, 0, 0, 0, 0), &bytes).await
    }
    async fn process_suspend(&mut self, process: u64) -> Outcome<()> {
        self.nothing(Request::ProcessSuspend { process: Handle(process) }).await
    }
    async fn process_resume(&mut self, process: u64) -> Outcome<()> {
        self.nothing(Request::ProcessResume { process: Handle(process) }).await
    }
    async fn process_kill(&mut self, process: u64, code: u64) -> Outcome<()> {
        self.nothing(Request::ProcessKill { process: Handle(process), code }).await
    }
    async fn process_inspect(&mut self, process: u64) -> Outcome<calls::ProcessInfo> {
        match self.plain(Request::ProcessInspect { process: Handle(process) }).await.result.map_err(error)? {
            Returned::Process(info) => Ok(calls::ProcessInfo {
                serial: info.serial,
                name: name_out(info.name),
                state: info.state as u8,
                reason: info.reason as u8,
                code: info.code,
                processor_time: info.processor_time,
                calls: info.calls,
                pages: info.pages,
                capabilities: info.capabilities,
                threads: info.threads,
            }),
            _ => Err(calls::Error::Unsupported),
        }
    }
    async fn process_limit(&mut self, process: u64, limits: calls::Limits) -> Outcome<()> {
        self.nothing(Request::ProcessLimit { process: Handle(process), limits: limits_in(limits) }).await
    }
    async fn exit(&mut self, code: u64) {
        self.plain(Request::Exit { code }).await;
    }
    async fn startup(&mut self) -> Outcome<Vec<u8>> {
        self.bytes(Request::Startup).await
    }
    async fn thread_create(&mut self, quota: u64, entry: u64, stack: u64, argument: u64) -> Outcome<u64> {
        self.value(Request::ThreadCreate { quota: Handle(quota), entry, stack, argument }).await
    }
    async fn thread_configure(&mut self, thread: u64, priority: u8, budget: u64, period: u64) -> Outcome<()> {
        self.nothing(Request::ThreadConfigure { thread: Handle(thread), priority, budget, period }).await
    }
    async fn thread_exit(&mut self) {
        self.plain(Request::ThreadExit).await;
    }

    async fn region_create(&mut self, quota: u64, pages: u64) -> Outcome<u64> {
        self.value(Request::RegionCreate { quota: Handle(quota), pages }).await
    }
    async fn region_read(&mut self, region: u64, offset: u64, length: u32) -> Outcome<Vec<u8>> {
        self.bytes(Request::RegionRead { region: Handle(region), offset, length }).await
    }
    async fn region_write(&mut self, region: u64, offset: u64, bytes: Vec<u8>) -> Outcome<()> {
        let request = Request::RegionWrite { region: Handle(region), offset, length: length(&bytes) };
        self.ask(&request, &NO_WORDS, &bytes).await.result.map(|_| ()).map_err(error)
    }
    async fn region_map(&mut self, region: u64, address: u64, rights: u16) -> Outcome<()> {
        self.nothing(Request::RegionMap { region: Handle(region), address, rights: Rights(rights) }).await
    }
    async fn region_unmap(&mut self, region: u64, address: u64) -> Outcome<()> {
        self.nothing(Request::RegionUnmap { region: Handle(region), address }).await
    }
    async fn image_create(&mut self, quota: u64, region: u64, length: u64, name: String) -> Outcome<u64> {
        self.value(Request::ImageCreate {
            quota: Handle(quota),
            region: Handle(region),
            length,
            name: Name::new(&name),
        })
        .await
    }

    async fn interrupt_bind(&mut self, interrupt: u64, notification: u64, bits: u64) -> Outcome<()> {
        self.nothing(Request::InterruptBind { interrupt: Handle(interrupt), notification: Handle(notification), bits })
            .await
    }
    async fn interrupt_unbind(&mut self, interrupt: u64) -> Outcome<()> {
        self.nothing(Request::InterruptUnbind { interrupt: Handle(interrupt) }).await
    }
    async fn interrupt_acknowledge(&mut self, interrupt: u64) -> Outcome<()> {
        self.nothing(Request::InterruptAcknowledge { interrupt: Handle(interrupt) }).await
    }
    async fn device_read(&mut self, device: u64, register: u64) -> Outcome<u64> {
        self.value(Request::DeviceRead { device: Handle(device), register }).await
    }
    async fn device_write(&mut self, device: u64, register: u64, value: u64) -> Outcome<()> {
        self.nothing(Request::DeviceWrite { device: Handle(device), register, value }).await
    }
    async fn device_submit(&mut self, device: u64, operation: u8, a: u64, b: u64, bytes: Vec<u8>) -> Outcome<u64> {
        let operation = Operation::from_number(operation).ok_or(calls::Error::InvalidArgument)?;
        let request = Request::DeviceSubmit { device: Handle(device), operation, a, b, length: length(&bytes) };
        match self.ask(&request, &NO_WORDS, within_message(&bytes)).await.result.map_err(error)? {
            Returned::Value(number) => Ok(number),
            _ => Err(calls::Error::Unsupported),
        }
    }
    async fn device_complete(&mut self, device: u64) -> Outcome<calls::Completion> {
        match self.plain(Request::DeviceComplete { device: Handle(device) }).await.result.map_err(error)? {
            Returned::Completion(completion) => Ok(calls::Completion {
                request: completion.request,
                status: completion.status as u8,
                length: completion.length,
            }),
            _ => Err(calls::Error::Unsupported),
        }
    }

    async fn device_address(&mut self, device: u64, region: u64, page: u64) -> Outcome<u64> {
        self.value(Request::DeviceAddress { device: Handle(device), region: Handle(region), page }).await
    }

    async fn quota_split(&mut self, quota: u64, memory: u64, pages: u64) -> Outcome<u64> {
        self.value(Request::QuotaSplit { quota: Handle(quota), memory, pages }).await
    }
    async fn quota_inspect(&mut self, quota: u64) -> Outcome<calls::QuotaInfo> {
        match self.plain(Request::QuotaInspect { quota: Handle(quota) }).await.result.map_err(error)? {
            Returned::Quota(info) => Ok(calls::QuotaInfo {
                memory: info.memory,
                memory_used: info.memory_used,
                pages: info.pages,
                pages_used: info.pages_used,
            }),
            _ => Err(calls::Error::Unsupported),
        }
    }
    async fn log_read(&mut self, log: u64, from: u64, length: u32) -> Outcome<Vec<u8>> {
        self.bytes(Request::LogRead { log: Handle(log), from, length }).await
    }
    async fn debug(&mut self, text: String) -> Outcome<()> {
        let request = Request::Debug { length: length(text.as_bytes()) };
        self.sent(request, (0, 0, 0, 0, 0, 0, 0, 0), text.as_bytes()).await
    }
}

fn flat(words: calls::Words) -> Words {
    let (a, b, c, d, e, f, g, h) = words;
    [a, b, c, d, e, f, g, h]
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn message<'a>(tag: u64, bytes: &[u8], transfers: &'a [Transfer]) -> Message<'a> {
    Message { tag, length: length(bytes), transfers }
}

/// Of more transfers than a message may have, one too many: the kernel refuses.
fn transfers(list: &[calls::Transfer]) -> Vec<Transfer> {
    list.iter()
        .take(MAX_TRANSFERS + 1)
        .map(|transfer| Transfer {
            handle: Handle(transfer.handle),
            mode: match transfer.mode {
                calls::TransferMode::Move => TransferMode::Move,
                calls::TransferMode::Derive => TransferMode::Derive,
                calls::TransferMode::Reply => TransferMode::Reply,
            },
            rights: Rights(transfer.rights),
            badge: transfer.badge,
        })
        .collect()
}

fn limits_in(limits: calls::Limits) -> Limits {
    Limits {
        capabilities: limits.capabilities,
        queued_messages: limits.queued_messages,
        processor_time: limits.processor_time,
    }
}

fn name_out(name: Name) -> calls::Name {
    let word = |at: usize| name.0.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    calls::Name { a: word(0), b: word(8), c: word(16) }
}

fn kind(kind: abi::DeliveryKind) -> calls::DeliveryKind {
    match kind {
        abi::DeliveryKind::Sent => calls::DeliveryKind::Sent,
        abi::DeliveryKind::Called => calls::DeliveryKind::Called,
        abi::DeliveryKind::Answer => calls::DeliveryKind::Answer,
        abi::DeliveryKind::Notified => calls::DeliveryKind::Notified,
        abi::DeliveryKind::Fault => calls::DeliveryKind::Fault,
        abi::DeliveryKind::Exit => calls::DeliveryKind::Exit,
    }
}

fn error(error: Error) -> calls::Error {
    match error {
        Error::BadHandle => calls::Error::BadHandle,
        Error::StaleHandle => calls::Error::StaleHandle,
        Error::WrongKind => calls::Error::WrongKind,
        Error::MissingRight => calls::Error::MissingRight,
        Error::Expired => calls::Error::Expired,
        Error::Revoked => calls::Error::Revoked,
        Error::InvalidArgument => calls::Error::InvalidArgument,
        Error::WouldBlock => calls::Error::WouldBlock,
        Error::TimedOut => calls::Error::TimedOut,
        Error::PeerGone => calls::Error::PeerGone,
        Error::QuotaExceeded => calls::Error::QuotaExceeded,
        Error::TooLarge => calls::Error::TooLarge,
        Error::Unsupported => calls::Error::Unsupported,
        Error::Interrupted => calls::Error::Interrupted,
        Error::AlreadyBound => calls::Error::AlreadyBound,
        Error::NotBound => calls::Error::NotBound,
    }
}
