//! A process that loops for ever without a system call, as far as a future can.

use crate::thread::Thread;
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    /// The thread whose future is being polled.
    static RUNNING: RefCell<Option<Rc<Thread>>> = const { RefCell::new(None) };
}

/// Until it is dropped, this is the thread that runs.
pub(crate) struct Running {
    before: Option<Rc<Thread>>,
}

impl Running {
    pub fn enter(thread: &Rc<Thread>) -> Running {
        Running { before: RUNNING.replace(Some(thread.clone())) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(self.before.take());
    }
}

/// Loops for ever: the whole process uses up its slices and makes no system call, until
/// it is killed. Call it in a simulated process only; elsewhere it returns.
pub async fn spin() {
    let running = RUNNING.with_borrow(Clone::clone);
    if let Some(thread) = running {
        thread.spins.set(true);
        // The next call that may block is where the process is left.
        libprocess::yield_now().await;
    }
}
