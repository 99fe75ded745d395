//! [`Signal`]: one bit of the process's notification, for whoever is to wake a task: an
//! interrupt, or another process that was given the capability.

use crate::capability::{Cap, Notification};
use crate::reactor;
use abi::{Error, Handle, Rights};
use core::future::poll_fn;
use core::mem::ManuallyDrop;

/// A bit that can be waited for while other tasks go on. A process has 63 of them.
#[derive(Debug)]
pub struct Signal {
    bit: u32,
}

impl Signal {
    /// A bit that nothing sets yet. `QuotaExceeded` when all are in use, or when the
    /// notification cannot be paid for.
    pub fn new() -> Result<Signal, Error> {
        reactor::notification()?;
        reactor::take_bit().map(|bit| Signal { bit })
    }

    /// The bit's mask: what must be signalled.
    pub const fn mask(&self) -> u64 {
        1 << self.bit
    }

    /// A capability by which another process can set bits; tell it [`Signal::mask`].
    pub fn capability(&self) -> Result<Cap<Notification>, Error> {
        with_notification(|notification| notification.derive(Rights::SIGNAL))?
    }

    /// Waits until the bit has been set since the last wait.
    pub async fn wait(&self) {
        poll_fn(|context| reactor::poll_bit(self.bit, context.waker())).await;
    }

    pub(crate) fn poll(&self, waker: &core::task::Waker) -> core::task::Poll<()> {
        reactor::poll_bit(self.bit, waker)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        reactor::return_bit(self.bit);
    }
}

/// Runs `body` on the process's notification, which stays the reactor's.
pub(crate) fn with_notification<R>(body: impl FnOnce(&Cap<Notification>) -> R) -> Result<R, Error> {
    let handle: Handle = reactor::notification()?;
    let notification = ManuallyDrop::new(Cap::from_handle(handle));
    Ok(body(&notification))
}

/// Waits until whoever started this process asks it to end.
pub(crate) async fn stop_requested() {
    poll_fn(|context| reactor::poll_bit(reactor::STOP_BIT, context.waker())).await;
}
