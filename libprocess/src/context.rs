//! What belongs to one process: its backend, and the state that this crate keeps for
//! it. On WebAssembly there is one, in a static: a process has one thread. On bare
//! x86_64 every thread of a process has one, the first in a static. On an
//! ordinary target many processes share a thread, so [`crate::hosted::enter`]
//! says which of them is running.

use crate::backend::SystemCalls;
use crate::client::Connection;
use crate::console::Output;
use crate::reactor::Reactor;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use futures_util::future::LocalBoxFuture;

#[cfg(target_arch = "wasm32")]
type Calls = crate::wasm::Imports;
#[cfg(target_os = "none")]
type Calls = crate::native::Door;
#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
type Calls = alloc::rc::Rc<dyn SystemCalls>;

/// One process.
pub struct Context {
    calls: Calls,
    /// The system call in which its thread is blocked.
    pub(crate) blocked: Blocked,
    /// Tasks that were spawned and that the executor has not yet taken up.
    pub(crate) spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    pub(crate) reactor: RefCell<Reactor>,
    pub(crate) output: RefCell<Output>,
    /// The way to init, of a service.
    pub(crate) init: RefCell<Option<Connection>>,
    /// Tasks run in this thread.
    pub(crate) running: Cell<bool>,
    /// Values of [`crate::thread::Local`], by the address of the static.
    pub(crate) locals: RefCell<BTreeMap<usize, Rc<dyn Any>>>,
}

/// Whether the thread of this process is blocked in a system call, which happens only
/// where such a call is pending (not on WebAssembly). Nothing else of the process may
/// run then.
#[derive(Default)]
pub(crate) struct Blocked {
    /// Number of the call; counts from 1.
    pub call: Cell<Option<u64>>,
    /// Calls that were pending so far.
    pub count: Cell<u64>,
    /// Whoever waited for the answer was dropped.
    pub abandoned: Cell<bool>,
}

impl Context {
    pub(crate) const fn of(calls: Calls) -> Context {
        Context {
            calls,
            blocked: Blocked { call: Cell::new(None), count: Cell::new(0), abandoned: Cell::new(false) },
            spawned: RefCell::new(Vec::new()),
            reactor: RefCell::new(Reactor::new()),
            output: RefCell::new(Output::new()),
            init: RefCell::new(None),
            running: Cell::new(false),
            locals: RefCell::new(BTreeMap::new()),
        }
    }

    pub(crate) fn calls(&self) -> &dyn SystemCalls {
        #[cfg(any(target_arch = "wasm32", target_os = "none"))]
        return &self.calls;
        #[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
        return &*self.calls;
    }
}

#[cfg(target_arch = "wasm32")]
mod place {
    use super::Context;

    struct OneThread(Context);
    // SAFETY: a WebAssembly process has one thread (components share no memory, and
    // this crate is not built with atomics), so nothing is ever shared between threads.
    #[allow(unsafe_code)]
    unsafe impl Sync for OneThread {}

    static CONTEXT: OneThread = OneThread(Context::of(crate::wasm::Imports::new()));

    /// Runs `body` on the running process; `None` if there is none.
    #[inline]
    pub(crate) fn with<R>(body: impl FnOnce(&Context) -> R) -> Option<R> {
        Some(body(&CONTEXT.0))
    }
}

#[cfg(target_os = "none")]
mod place {
    use super::Context;
    use crate::console::Output;
    use crate::reactor::Reactor;

    impl Context {
        /// Tells the kernel where the bytes go that come to this thread. Once, before its first call.
        pub(crate) fn open(&self) {
            self.calls.open();
        }

        /// Drops what a thread has at its end.
        pub(crate) fn retire(&self) {
            // What is dropped may make new values, of which there is an end.
            loop {
                let locals = self.locals.take();
                if locals.is_empty() {
                    break;
                }
                drop(locals);
            }
            drop(self.spawned.take());
            drop(self.init.take());
            drop(self.output.replace(Output::new()));
            drop(self.reactor.replace(Reactor::new()));
        }
    }

    /// Runs `body` on the running thread; it is never `None`.
    #[inline]
    pub(crate) fn with<R>(body: impl FnOnce(&Context) -> R) -> Option<R> {
        Some(crate::native::thread::with(body))
    }
}

#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
mod place {
    extern crate std;
    use super::Context;
    use crate::backend::SystemCalls;
    use alloc::rc::Rc;
    use std::cell::RefCell;
    use std::thread_local;

    thread_local! {
        static CURRENT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
    }

    impl Context {
        /// A process whose system calls go to `calls`.
        pub fn new(calls: Rc<dyn SystemCalls>) -> Rc<Context> {
            Rc::new(Context::of(calls))
        }
    }

    /// Runs `body` on the running process; `None` if there is none.
    pub(crate) fn with<R>(body: impl FnOnce(&Context) -> R) -> Option<R> {
        let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
        current.map(|context| body(&context))
    }

    /// Until it is dropped, another process is the running one.
    #[must_use = "it ends when this is dropped"]
    pub struct Entered {
        before: Option<Rc<Context>>,
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            let before = self.before.take();
            let _ = CURRENT.try_with(|current| current.replace(before));
        }
    }

    /// Makes this process the running one, until what is returned is dropped. Nests.
    pub fn enter(context: &Rc<Context>) -> Entered {
        Entered { before: CURRENT.with(|current| current.replace(Some(context.clone()))) }
    }

    /// No process is the running one, until what is returned is dropped. A process that
    /// was killed is dropped so: its capabilities then make no system calls.
    pub fn leave() -> Entered {
        Entered { before: CURRENT.with(|current| current.replace(None)) }
    }
}

pub(crate) use place::with;
#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
pub use place::{Entered, enter, leave};
