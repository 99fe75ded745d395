//! Threads of one process, where the host has them: on bare x86_64. Elsewhere [`spawn`] is `Unsupported`, and
//! the rest works as for the one thread that there is.
//!
//! A thread is for computing while others go on. It is not what tasks are for: waiting for many things at once is
//! what [`crate::spawn`] and the other futures do, in one thread and on every host.
//!
//! ```ignore
//! async fn main(process: Process) -> Result<(), Error> {
//!     let total = Arc::new(Mutex::new(0));
//!     let mut threads = Vec::new();
//!     for part in 0..4 {
//!         let total = total.clone();
//!         threads.push(thread::spawn(process.quota(), 64 * 1024, move || {
//!             let sum = sum_of(part);      // others compute meanwhile
//!             *total.lock() += sum;
//!         })?);
//!     }
//!     for thread in threads {
//!         thread.join().await?;            // tasks of this thread go on meanwhile
//!     }
//!     println!("{}", total.lock());
//!     Ok(())
//! }
//! ```
//!
//! - Capabilities are the process's: every thread may use any, and pass them to others ([`Cap`] is `Send`).
//! - Clients, connections, devices and the [`Process`](crate::Process) belong to the thread that made them.
//!   A thread runs futures of its own with [`block_on`]; a system call holds it alone.
//! - What a thread prints goes to the debug output; only the first has the console.
//! - A waker works within its thread. To wake a task of another, set a bit: [`Signal`](crate::Signal).
//! - A panic or fault of any thread is one of the process: its supervisor is told the thread's number, and
//!   decides. So a thread either has a result or the process has ended.
//! - The process ends with its main function, whatever its threads do.

use crate::capability::{Cap, Quota, Thread};
use crate::executor;
use crate::lock::{self, RawLock};
use crate::reactor::NothingToWaitFor;
use crate::signal::Signal;
use crate::{context, timer};
use abi::Error;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::any::Any;
use core::cell::UnsafeCell;
use core::fmt::{self, Debug};
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

/// How often who waits for a thread looks whether it is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The thread went without a result: somebody destroyed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread was destroyed before it had a result")
    }
}

impl core::error::Error for Gone {}

/// What a thread and who waits for it share.
#[derive(Debug)]
enum Outcome<T> {
    Running,
    Result(T),
    /// Nobody waits any more.
    Unwanted,
}

/// A thread that was spawned. Dropping it lets the thread run on.
#[derive(Debug)]
pub struct JoinHandle<T> {
    outcome: Arc<Mutex<Outcome<T>>>,
    signal: Signal,
    /// Left behind when this is dropped: with the last capability to it a thread would go.
    thread: core::mem::ManuallyDrop<Cap<Thread>>,
}

/// Lets `body` run beside the calling thread, with a stack of at least so many bytes, below which nothing is
/// mapped. It begins with the priority of its creator.
///
/// `quota` pays for the thread, its stack and the 68 KiB that go with it; all of it comes back when the thread
/// ends. `QuotaExceeded` when that has too little left or the process has as many threads as it may have;
/// `Unsupported` on hosts without threads.
pub fn spawn<T: Send + 'static>(
    quota: &Cap<Quota>,
    stack: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    if !cfg!(target_os = "none") {
        return Err(Error::Unsupported);
    }
    let signal = Signal::new()?;
    let outcome = Arc::new(Mutex::new(Outcome::Running));
    let bell = crate::reactor::notification()?;
    let whole: Box<dyn FnOnce() + Send> = Box::new({
        let (outcome, bits) = (outcome.clone(), signal.mask());
        move || {
            let result = body();
            let mut outcome = outcome.lock();
            if matches!(*outcome, Outcome::Running) {
                *outcome = Outcome::Result(result);
                // An error means that who waited has gone.
                let _ = crate::system::plain(&abi::Request::Signal { notification: bell, bits }, &[]);
            }
        }
    });
    let thread = start(quota, stack, whole)?;
    Ok(JoinHandle { outcome, signal, thread: core::mem::ManuallyDrop::new(thread) })
}

#[cfg(target_os = "none")]
use crate::native::thread::start;

#[cfg(not(target_os = "none"))]
fn start(_: &Cap<Quota>, _: usize, _: Box<dyn FnOnce() + Send>) -> Result<Cap<Thread>, Error> {
    Err(Error::Unsupported)
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has its result. Other tasks go on.
    pub async fn join(self) -> Result<T, Gone> {
        loop {
            if let Some(result) = self.take() {
                return Ok(result);
            }
            // The thread is looked at before its result is, so that one that has just ended is not taken for gone.
            let is_there = self.thread.inspect().is_ok();
            if let Some(result) = self.take() {
                return Ok(result);
            }
            if !is_there {
                return Err(Gone);
            }
            let _ = timer::timeout(LOOK_EVERY, self.signal.wait()).await;
        }
    }

    /// Whether the thread has its result.
    pub fn is_finished(&self) -> bool {
        matches!(*self.outcome.lock(), Outcome::Result(_))
    }

    /// Its capability, to configure it.
    pub fn thread(&self) -> &Cap<Thread> {
        &self.thread
    }

    fn take(&self) -> Option<T> {
        let mut outcome = self.outcome.lock();
        match core::mem::replace(&mut *outcome, Outcome::Running) {
            Outcome::Result(result) => Some(result),
            other => {
                *outcome = other;
                None
            }
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // From here on the thread sets the bit no more, so that it can be another's.
        *self.outcome.lock() = Outcome::Unwanted;
    }
}

/// Gives up the rest of the thread's time slice, to threads of the same priority. Tasks use
/// [`crate::yield_now`].
pub fn yield_now() {
    #[cfg(target_os = "none")]
    crate::native::give_way();
}

/// Runs a future and the tasks that it spawns in a thread that [`spawn`] made: the thread waits. Its
/// clock and quota are those of the thread that made it.
///
/// # Panics
/// Where tasks run already, as in every process's first thread; and when nothing can wake the future any more.
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let running = context::with(|context| context.running.get()).unwrap_or(true);
    assert!(!running, "block_on where tasks run already: await the future instead");
    let mut whole = core::pin::pin!(executor::run(Box::pin(future)));
    // System calls block inside, so one poll runs it to its end.
    match whole.as_mut().poll(&mut core::task::Context::from_waker(core::task::Waker::noop())) {
        core::task::Poll::Ready(Ok(result)) => result,
        core::task::Poll::Ready(Err(NothingToWaitFor)) => {
            panic!("every task of this thread waits, and nothing can wake one")
        }
        core::task::Poll::Pending => unreachable!("a system call was pending"),
    }
}

/// A value of which every thread has its own, made when the thread first asks for it and dropped when
/// the thread ends. On hosts without threads, every process has one.
///
/// ```ignore
/// static STEPS: Local<Cell<u64>> = Local::new(|| Cell::new(0));
/// STEPS.with(|steps| steps.set(steps.get() + 1));
/// ```
#[derive(Debug)]
pub struct Local<T: 'static> {
    first: fn() -> T,
}

impl<T: 'static> Local<T> {
    /// One that begins as `first` makes it, in every thread.
    pub const fn new(first: fn() -> T) -> Local<T> {
        Local { first }
    }

    /// Runs `body` on the calling thread's value.
    ///
    /// # Panics
    /// Outside of a process.
    pub fn with<R>(&'static self, body: impl FnOnce(&T) -> R) -> R {
        let key = core::ptr::from_ref(self).addr();
        let found = context::with(|context| context.locals.borrow().get(&key).cloned());
        let value = found.expect("a thread's value where no process runs").unwrap_or_else(|| {
            // It may ask for others, or for this one again: whichever is made first stays.
            let made: Rc<dyn Any> = Rc::new((self.first)());
            context::with(|context| context.locals.borrow_mut().entry(key).or_insert(made).clone())
                .expect("the process was there above")
        });
        body(value.downcast_ref::<T>().expect("a static has one type"))
    }
}

/// A value that one thread at a time may use. Who waits for it sleeps, and gets it in turn; there is no
/// inheritance of priority. A thread that locks what it holds already waits for ever.
///
/// Within one thread tasks need none: what they share is in a `RefCell`.
pub struct Mutex<T: ?Sized> {
    raw: RawLock<lock::Host>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time.
#[allow(unsafe_code)]
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: who owns the lock owns the value.
#[allow(unsafe_code)]
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A lock around `value`, which is free.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawLock::new(), value: UnsafeCell::new(value) }
    }

    /// The value, without the lock.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the turn of the calling thread, which sleeps meanwhile with all its tasks.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.raw.lock();
        MutexGuard { mutex: self, of_this_thread: core::marker::PhantomData }
    }

    /// The value, if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard { mutex: self, of_this_thread: core::marker::PhantomData })
    }
}

impl<T: ?Sized + Debug> Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(value) => f.debug_tuple("Mutex").field(&&*value).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

/// The value of a [`Mutex`], until this is dropped.
#[must_use = "the value is free again when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Only the thread that locked it frees it.
    of_this_thread: core::marker::PhantomData<*const ()>,
}

// SAFETY: it gives what a `&T` gives.
#[allow(unsafe_code)]
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[allow(unsafe_code)]
    fn deref(&self) -> &T {
        // SAFETY: the thread that has the guard has the value, until it is dropped.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[allow(unsafe_code)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: a guard is made when the lock is taken, and this is the only place that frees it.
        unsafe { self.mutex.raw.unlock() };
    }
}

impl<T: ?Sized + Debug> Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&**self, f)
    }
}

/// Tasks run in this thread, until what is returned is dropped.
pub(crate) fn tasks_run() -> impl Drop {
    struct Until(bool);
    impl Drop for Until {
        fn drop(&mut self) {
            context::with(|context| context.running.set(self.0));
        }
    }
    Until(context::with(|context| context.running.replace(true)).unwrap_or(false))
}
