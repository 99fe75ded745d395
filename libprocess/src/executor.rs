//! Runs a process: its main task, the tasks that it spawns, and, when all of them wait,
//! the one wait of the reactor.
//!
//! Tasks lie in `FuturesUnordered` (futures-util) and run in the order in which they were
//! woken. The future that [`start`] returns is pending only while the thread of the process is
//! blocked in a system call: on WebAssembly, where a call blocks inside the import, never.

use crate::context;
use crate::process::{Process, Report};
use crate::reactor::{self, NothingToWaitFor};
use crate::startup::Startup;
use crate::system;
use abi::Request;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use futures_util::future::{AbortHandle, LocalBoxFuture, abortable};
use futures_util::stream::{FuturesUnordered, Stream};
use futures_util::task::AtomicWaker;

/// Exit code of a process that could not be started, or that waits for nothing.
pub const EXIT_BROKEN: u64 = 70;

/// Runs a process from its startup block to its exit code: decodes the block, makes the
/// [`Process`], runs `main` and whatever it spawns, shows what was printed.
/// The caller then ends the process with the code.
pub async fn start<M, F>(main: M) -> u64
where
    M: FnOnce(Process) -> F + 'static,
    F: Future + 'static,
    F::Output: Report,
{
    let startup = system::bytes(&Request::Startup).and_then(|bytes| Startup::from_bytes(&bytes));
    let process = match startup {
        Ok(startup) => Process::new(startup),
        Err(error) => {
            system::debug(&alloc::format!("cannot start: {error}"));
            return EXIT_BROKEN;
        }
    };
    let whole = async move {
        // The reactor uses its quota and clock, even if the program does not keep it.
        let kept = process.clone();
        let code = main(process).await.report();
        crate::console::finish().await;
        crate::lifecycle::equip(None);
        drop(kept);
        code
    };
    match run(Box::pin(whole)).await {
        Ok(code) => code,
        Err(NothingToWaitFor) => {
            system::debug("every task waits, and nothing can wake one");
            EXIT_BROKEN
        }
    }
}

/// Lets a task run beside the others. It ends with the main task at the latest.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    context::with(|context| context.spawned.borrow_mut().push(Box::pin(task)));
}

/// A task that ends when this is dropped, at the latest: when the others run next.
#[derive(Debug)]
#[must_use = "the task ends when this is dropped"]
pub struct Task(AbortHandle);

impl Task {
    /// Lets a task run beside the others.
    pub fn spawn(task: impl Future<Output = ()> + 'static) -> Task {
        let (task, handle) = abortable(task);
        spawn(async move {
            let _ = task.await;
        });
        Task(handle)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets the other tasks run, and looks at what has happened meanwhile, before this goes on.
pub async fn yield_now() {
    // A task may be polled more often than it was woken.
    let before = reactor::looks();
    poll_fn(|context| {
        if reactor::looks() != before {
            return Poll::Ready(());
        }
        reactor::wake_after_events(context.waker());
        Poll::Pending
    })
    .await;
}

/// Runs `main` and whatever it spawns, in a thread in which no tasks run yet.
pub(crate) async fn run<T: 'static>(main: LocalBoxFuture<'static, T>) -> Result<T, NothingToWaitFor> {
    let _running = crate::thread::tasks_run();
    let result = Rc::new(Cell::new(None));
    let is_done = Rc::new(Cell::new(false));
    let mut tasks = FuturesUnordered::new();
    tasks.push(Gate::new(Box::pin({
        let (result, is_done) = (result.clone(), is_done.clone());
        async move {
            result.set(Some(main.await));
            is_done.set(true);
        }
    })));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    loop {
        let ended = poll_fn(|outer| {
            loop {
                if system::settle_abandoned(outer).is_pending() {
                    return Poll::Pending;
                }
                woken.parent.register(outer.waker());
                woken.flag.store(false, Ordering::Relaxed);
                tasks.extend(take_spawned().into_iter().map(Gate::new));
                while let Poll::Ready(Some(())) = Pin::new(&mut tasks).poll_next(&mut Context::from_waker(&waker)) {
                    if is_blocked() || is_done.get() {
                        break;
                    }
                }
                if is_done.get() {
                    return Poll::Ready(result.take());
                }
                if is_blocked() {
                    return Poll::Pending;
                }
                if !woken.flag.load(Ordering::Relaxed) && !has_spawned() {
                    return Poll::Ready(None);
                }
            }
        })
        .await;
        if let Some(result) = ended {
            reactor::send_held_back();
            return Ok(result);
        }
        reactor::park().await?;
    }
}

fn take_spawned() -> alloc::vec::Vec<LocalBoxFuture<'static, ()>> {
    context::with(|context| core::mem::take(&mut *context.spawned.borrow_mut())).unwrap_or_default()
}

fn has_spawned() -> bool {
    context::with(|context| !context.spawned.borrow().is_empty()).unwrap_or_default()
}

fn blocked_call() -> Option<u64> {
    context::with(|context| context.blocked.call.get()).flatten()
}

fn is_blocked() -> bool {
    blocked_call().is_some()
}

/// Notes that a task was woken.
#[derive(Default)]
struct Woken {
    flag: AtomicBool,
    parent: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Relaxed);
        self.parent.wake();
    }
}

/// A task that does not run while another task of the process is blocked in a system
/// call: the process is, then. (Where calls block inside, that never happens.)
pub(crate) struct Gate<'a, T> {
    task: LocalBoxFuture<'a, T>,
    /// The call in which this task is blocked.
    call: Option<u64>,
}

impl<'a, T> Gate<'a, T> {
    pub(crate) fn new(task: LocalBoxFuture<'a, T>) -> Gate<'a, T> {
        Gate { task, call: None }
    }
}

impl<T> Future for Gate<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let blocked = blocked_call();
        if blocked.is_some() && blocked != self.call {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let result = self.task.as_mut().poll(context);
        self.call = blocked_call();
        result
    }
}
