//! System calls as functions: those that return at once, and [`Blocking`], which is
//! awaited. The typed forms are methods of [`crate::Cap`].

use crate::backend::{Answer, may_block};
use crate::capability::{Any, Cap, Outgoing};
use crate::context;
use abi::message::{MAX_TRANSFERS, WORDS, Words};
use abi::{Delivery, Error, Handle, ReplyToken, Request, Returned};
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// No words.
pub(crate) const NO_WORDS: Words = [0; WORDS];

/// What arrived with an answer, a message or a notification. Its Debug output does not show
/// words and bytes: they may be secret.
pub struct Arrived {
    /// What it is, from whom.
    pub delivery: Delivery,
    /// Its words.
    pub words: Words,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its capabilities; those that nobody takes are dropped.
    pub capabilities: heapless::Vec<Cap<Any>, MAX_TRANSFERS>,
}

impl core::fmt::Debug for Arrived {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arrived")
            .field("delivery", &self.delivery)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

/// Makes a call that returns at once.
pub(crate) fn plain(request: &Request<'_>, bytes: &[u8]) -> Result<Returned, Error> {
    sending(request, &NO_WORDS, bytes)
}

/// Makes a call that returns at once and sends words.
pub(crate) fn sending(request: &Request<'_>, words: &Words, bytes: &[u8]) -> Result<Returned, Error> {
    debug_assert!(!may_block(request));
    context::with(|context| {
        assert!(
            context.blocked.call.get().is_none(),
            "a system call ({}) while the process is blocked in another: calls that block must not be joined in one task",
            request.number().name(),
        );
        match context.calls().begin(request, words, bytes) {
            Poll::Ready(answer) => answer.result,
            // The backend broke its word; nothing can be said of the call.
            Poll::Pending => Err(Error::Interrupted),
        }
    })
    .unwrap_or(Err(Error::Unsupported))
}

/// Makes a call that returns a handle.
pub(crate) fn handle(request: &Request<'_>) -> Result<Handle, Error> {
    match plain(request, &[])? {
        Returned::Handle(handle) => Ok(handle),
        _ => Err(Error::Unsupported),
    }
}

/// Makes a call that returns a value.
pub(crate) fn value(request: &Request<'_>, bytes: &[u8]) -> Result<u64, Error> {
    match plain(request, bytes)? {
        Returned::Value(value) => Ok(value),
        _ => Err(Error::Unsupported),
    }
}

/// Makes a call that returns bytes.
pub(crate) fn bytes(request: &Request<'_>) -> Result<Vec<u8>, Error> {
    match plain(request, &[])? {
        Returned::Bytes(0) => Ok(Vec::new()),
        Returned::Bytes(_) => Ok(take_bytes()),
        _ => Err(Error::Unsupported),
    }
}

/// Answers a call.
pub fn reply(reply: ReplyToken, message: &Outgoing<'_>) -> Result<(), Error> {
    sending(&Request::Reply { reply, message: message.message() }, &message.words, message.bytes).map(|_| ())
}

/// The bytes that the last answer brought.
pub(crate) fn take_bytes() -> Vec<u8> {
    context::with(|context| context.calls().take_bytes()).unwrap_or_default()
}

/// Ends the process. Returns only where no host ends it.
pub fn exit(code: u64) {
    let _ = plain(&Request::Exit { code }, &[]);
}

/// Writes a line to the host's debug output; it is recorded and rate-limited. The one
/// call that needs no capability. Longer than 1 KiB is cut.
pub fn debug(text: &str) {
    let mut end = text.len().min(1024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let _ = plain(&Request::Debug { length: end as u32 }, &text.as_bytes()[..end]);
}

/// The capability in the first used slot at or after `slot` of the calling process,
/// `ancestor` steps up its derivation.
pub fn inspect(slot: u32, ancestor: u32) -> Result<abi::CapabilityInfo, Error> {
    inspect_in(Handle::NONE, slot, ancestor)
}

pub(crate) fn inspect_in(process: Handle, slot: u32, ancestor: u32) -> Result<abi::CapabilityInfo, Error> {
    match plain(&Request::Inspect { process, slot, ancestor }, &[])? {
        Returned::Capability(info) => Ok(info),
        _ => Err(Error::Unsupported),
    }
}

/// What the calling process is doing and has used.
pub fn info() -> Result<abi::ProcessInfo, Error> {
    match plain(&Request::ProcessInspect { process: Handle::NONE }, &[])? {
        Returned::Process(info) => Ok(info),
        _ => Err(Error::Unsupported),
    }
}

/// A system call that may block the process. On WebAssembly it is over at the first poll.
///
/// Dropping it before it is over does not end the call: the process stays blocked
/// until the answer comes, which is then thrown away. A time-out in the call itself
/// is what ends it.
#[must_use = "it is made when it is awaited"]
pub struct Blocking<'a> {
    request: &'a Request<'a>,
    words: &'a Words,
    bytes: &'a [u8],
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Blocked,
    Over,
}

impl<'a> Blocking<'a> {
    /// The call `request`, which sends `words` and `bytes`.
    pub(crate) fn new(request: &'a Request<'a>, words: &'a Words, bytes: &'a [u8]) -> Blocking<'a> {
        Blocking { request, words, bytes, stage: Stage::New }
    }
}

impl Future for Blocking<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Answer> {
        if self.stage == Stage::New {
            // An answer that is there does not wait for a call of this process.
            crate::reactor::send_held_back();
        }
        let answer = context::with(|context| {
            let blocked = &context.blocked;
            match self.stage {
                // Another call of this task blocks the process: this one comes after it.
                Stage::New if blocked.call.get().is_some() => None,
                Stage::New => match context.calls().begin(self.request, self.words, self.bytes) {
                    Poll::Ready(answer) => Some(answer),
                    Poll::Pending => {
                        self.stage = Stage::Blocked;
                        blocked.count.set(blocked.count.get() + 1);
                        blocked.call.set(Some(blocked.count.get()));
                        None
                    }
                },
                Stage::Blocked => match context.calls().resume(waker) {
                    Poll::Ready(answer) => {
                        blocked.call.set(None);
                        Some(answer)
                    }
                    Poll::Pending => None,
                },
                Stage::Over => Some(Answer::without_words(Err(Error::InvalidArgument))),
            }
        })
        .unwrap_or(Some(Answer::without_words(Err(Error::Unsupported))));
        match answer {
            Some(answer) => {
                self.stage = Stage::Over;
                Poll::Ready(answer)
            }
            None => {
                // Whatever the process is resumed for, this is to be polled again.
                waker.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::Blocked {
            context::with(|context| context.blocked.abandoned.set(true));
        }
    }
}

/// Makes a call that may block and that a delivery ends.
pub(crate) async fn arriving(request: &Request<'_>, words: &Words, bytes: &[u8]) -> Result<Arrived, Error> {
    let answer = Blocking::new(request, words, bytes).await;
    match answer.result? {
        Returned::Delivery(delivery) => Ok(arrived(delivery, answer.words)),
        _ => Err(Error::Unsupported),
    }
}

/// Fetches what came with a delivery.
fn arrived(delivery: Delivery, words: Words) -> Arrived {
    let mut arrived = Arrived { delivery, words, bytes: Vec::new(), capabilities: heapless::Vec::new() };
    if delivery.length > 0 {
        arrived.bytes = take_bytes();
    }
    if delivery.capabilities > 0 {
        let handles = context::with(|context| context.calls().take_handles()).unwrap_or_default();
        arrived.capabilities = handles.into_iter().map(Cap::from_handle).collect();
    }
    arrived
}

/// When the process is blocked in a call whose waiter was dropped: takes the answer and
/// throws it away. `Pending` while the process is still blocked in it.
pub(crate) fn settle_abandoned(waker: &mut Context<'_>) -> Poll<()> {
    let came = context::with(|context| {
        if context.blocked.call.get().is_none() || !context.blocked.abandoned.get() {
            return Poll::Ready(None);
        }
        let answer = context.calls().resume(waker);
        if answer.is_ready() {
            context.blocked.call.set(None);
            context.blocked.abandoned.set(false);
        }
        answer.map(Some)
    });
    match came {
        Some(Poll::Ready(Some(Answer { result: Ok(Returned::Delivery(delivery)), words }))) => {
            // What came with it goes with it.
            drop(arrived(delivery, words));
            Poll::Ready(())
        }
        Some(Poll::Ready(_)) | None => Poll::Ready(()),
        Some(Poll::Pending) => Poll::Pending,
    }
}
