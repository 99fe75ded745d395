//! Time: how long since boot, sleeping, and time-outs of whole operations. Durations are
//! kept at least. Without the `clock` device a process knows only the time that it has
//! waited itself, so its timers come later than asked while messages keep arriving.

use crate::reactor;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

/// Time since boot, in ns.
pub fn now() -> u64 {
    reactor::now()
}

/// Nanoseconds of a duration; for ever above 584 years.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(abi::FOREVER)
}

/// Waits for at least `duration`. Other tasks go on.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now().saturating_add(nanoseconds(duration)))
}

/// Waits until `deadline`, in ns since boot. Other tasks go on.
pub fn sleep_until(deadline: u64) -> Sleep {
    Sleep { deadline, number: None }
}

/// A timer; see [`sleep`].
#[derive(Debug)]
#[must_use = "it runs when it is awaited"]
pub struct Sleep {
    deadline: u64,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.number {
            None => {
                self.number = Some(reactor::timer(self.deadline, context.waker()));
                Poll::Pending
            }
            Some(number) if reactor::timer_fired(self.deadline, number, context.waker()) => Poll::Ready(()),
            Some(_) => Poll::Pending,
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            reactor::forget_timer(self.deadline, number);
        }
    }
}

/// The time was over first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl core::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the time was over first")
    }
}

impl core::error::Error for Elapsed {}

/// Runs `operation` for at most `duration`, then drops it. A system call in which the
/// process is blocked is not ended by this: give that a time-out of its own.
pub async fn timeout<T>(duration: Duration, operation: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut operation = pin!(operation);
    let mut sleep = sleep(duration);
    poll_fn(|context| {
        if let Poll::Ready(value) = operation.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed))
    })
    .await
}
