//! How a thread of a process sleeps: on a notification of its own.

use super::{host, thread};
use crate::lock::{RawLock, Sleep};
use abi::{FOREVER, Handle};
use talc::lock_api;

/// On the notification that every thread has once there are two.
pub(crate) struct OnBell;

impl Sleep for OnBell {
    type Bell = Handle;

    fn own() -> Handle {
        thread::bell()
    }

    fn sleep(own: &Handle) {
        // Whatever wakes it, the lock looks again.
        if host::wait(*own, FOREVER).is_err() {
            host::give_way();
        }
    }

    fn ring(bell: &Handle) {
        // An error means that the thread has gone.
        let _ = host::signal(*bell, 1);
    }
}

/// The lock of the heap, in the form that the allocator asks for.
pub(super) struct HeapLock(RawLock<OnBell>);

// SAFETY: `RawLock` lets one thread in at a time.
unsafe impl lock_api::RawMutex for HeapLock {
    // As the trait wants it: every use of the constant is a lock of its own.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: HeapLock = HeapLock(RawLock::new());
    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        self.0.lock();
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller's.
        unsafe { self.0.unlock() };
    }
}
