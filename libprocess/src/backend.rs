//! The door to the kernel, as a process sees it. Everything else in this crate
//! stands on [`SystemCalls`]; what is below it differs from host to host.
//!
//! On WebAssembly it is the imports of `wit/kernel.wit`, which block inside the call.
//! On an ordinary target (tests) it is what [`crate::hosted::enter`] installed.

use abi::message::{MAX_TRANSFERS, Words};
use abi::{Error, Handle, Request, Returned};
use alloc::vec::Vec;
use core::task::{Context, Poll};

/// What a system call answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its result.
    pub result: Result<Returned, Error>,
    /// The words of the delivery, if the result is one; else zero.
    pub words: Words,
}

impl Answer {
    /// An answer that brings no words.
    pub const fn without_words(result: Result<Returned, Error>) -> Answer {
        Answer { result, words: [0; abi::message::WORDS] }
    }
}

/// A host's door. One thread of one process makes its calls through it.
pub trait SystemCalls {
    /// Makes a system call. `words` and `bytes` are the payload of what it sends:
    /// message, startup bytes, region or device data, debug text, and the name of a
    /// created process or image is in the request itself.
    ///
    /// `Pending` means that the thread is blocked in the call: only
    /// [`SystemCalls::resume`] may follow, until that is ready. Of the calls that
    /// [`may_block`] does not name, none is ever pending.
    fn begin(&self, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Poll<Answer>;

    /// The answer of the call in which the thread is blocked.
    fn resume(&self, context: &mut Context<'_>) -> Poll<Answer>;

    /// The bytes that the last answer brought; once.
    fn take_bytes(&self) -> Vec<u8>;

    /// The handles that the last delivery brought; once.
    fn take_handles(&self) -> heapless::Vec<Handle, MAX_TRANSFERS>;
}

/// Whether a call may block its thread, and so must be awaited.
pub const fn may_block(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Send { .. }
            | Request::Call { .. }
            | Request::Receive { .. }
            | Request::ReplyReceive { .. }
            | Request::Wait { .. }
            | Request::Yield
            | Request::ImageCreate { .. }
    )
}
