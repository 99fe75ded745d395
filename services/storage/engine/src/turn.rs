//! One at a time, in order of arrival ([`Turn`]), and waiting for something to be
//! set ([`Signal`]). For one thread; `core` has neither.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// Lets one in at a time, in order of arrival.
#[derive(Default)]
pub struct Turn(Rc<Queue>);

#[derive(Default)]
struct Queue {
    /// Next ticket to hand out, and the ticket whose turn it is.
    next: Cell<u64>,
    serving: Cell<u64>,
    /// Tickets whose holders gave up before their turn.
    abandoned: RefCell<Vec<u64>>,
    waiting: RefCell<VecDeque<(u64, Waker)>>,
}

/// It is the holder's turn until this is dropped.
pub struct TurnGuard(Rc<Queue>, u64);

impl Turn {
    /// Waits for the caller's turn. Whoever stops waiting loses only his place.
    pub async fn take(&self) -> TurnGuard {
        let ticket = self.0.next.get();
        self.0.next.set(ticket + 1);
        let guard = TurnGuard(self.0.clone(), ticket);
        poll_fn(|context| {
            if self.0.serving.get() == ticket {
                return Poll::Ready(());
            }
            let mut waiting = self.0.waiting.borrow_mut();
            match waiting.iter_mut().find(|(other, _)| *other == ticket) {
                Some((_, waker)) => waker.clone_from(context.waker()),
                None => waiting.push_back((ticket, context.waker().clone())),
            }
            Poll::Pending
        })
        .await;
        guard
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let queue = &self.0;
        if queue.serving.get() != self.1 {
            queue.abandoned.borrow_mut().push(self.1);
            queue.waiting.borrow_mut().retain(|(ticket, _)| *ticket != self.1);
            return;
        }
        let mut serving = self.1 + 1;
        let mut abandoned = queue.abandoned.borrow_mut();
        while let Some(at) = abandoned.iter().position(|&ticket| ticket == serving) {
            abandoned.swap_remove(at);
            serving += 1;
        }
        queue.serving.set(serving);
        let waker = {
            let mut waiting = queue.waiting.borrow_mut();
            waiting.iter().position(|(ticket, _)| *ticket == serving).and_then(|at| waiting.remove(at))
        };
        if let Some((_, waker)) = waker {
            waker.wake();
        }
    }
}

/// Wakes all who wait for a condition to be looked at again.
#[derive(Default)]
pub struct Signal(RefCell<Vec<Waker>>);

impl Signal {
    /// Everyone waiting looks again.
    pub fn notify(&self) {
        for waker in self.0.take() {
            waker.wake();
        }
    }

    /// Waits until someone notifies.
    pub async fn woken(&self) {
        let mut begun = false;
        self.until(|| core::mem::replace(&mut begun, true).then_some(())).await;
    }

    /// Waits until `condition` gives something.
    pub async fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match condition() {
            Some(value) => Poll::Ready(value),
            None => {
                let mut waiting = self.0.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}
