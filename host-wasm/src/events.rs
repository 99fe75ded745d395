//! What the host's other threads tell the machine, and the tick.
//!
//! The machine runs on one thread. Devices, signals and the writer of the log run on
//! others and post events; the machine takes them at the next system call, when a
//! slice ends, or when it is idle. While it is idle nothing ticks.

use crate::image::Checked;
use kernel::{InterruptId, ThreadId};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use wasmtime::Engine;

/// How long a process runs while others of its priority wait.
pub const SLICE: Duration = Duration::from_millis(1);

/// One thing that happened outside.
pub enum Event {
    /// A device has something: its line comes.
    Line(InterruptId),
    /// An image was checked, for a thread with this serial.
    Checked {
        /// Who waits.
        thread: ThreadId,
        /// Which of those that had its number.
        serial: u64,
        /// What came of it.
        result: Box<Result<Checked, abi::Error>>,
    },
    /// Someone outside wants the system to end, with this status.
    Shutdown(u64),
    /// The log cannot be written: nothing may go on.
    LogFailed,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<VecDeque<Event>>,
    arrived: Condvar,
    /// Something is in the queue or a slice is over.
    attention: AtomicBool,
    idle: AtomicBool,
    ticks: AtomicU64,
    engine: std::sync::OnceLock<Engine>,
}

/// The queue of events; the machine holds one, every other thread a clone.
#[derive(Clone, Default)]
pub struct Events(Arc<Shared>);

impl Events {
    /// Tells the machine, and takes the processor from the guest that runs.
    pub fn post(&self, event: Event) {
        self.lock().push_back(event);
        self.raise();
        self.0.arrived.notify_one();
    }

    /// The engine whose guests a new event interrupts.
    pub fn interrupt_guests_of(&self, engine: &Engine) {
        // A second engine of the same queue does not happen; the first stays.
        let _ = self.0.engine.set(engine.clone());
    }

    /// Whether something waits for the machine. Cheap.
    #[inline]
    pub fn attention(&self) -> bool {
        self.0.attention.load(Ordering::Acquire)
    }

    /// Takes all events, and says how many ticks there have been.
    pub fn take(&self) -> (VecDeque<Event>, u64) {
        self.0.attention.store(false, Ordering::Release);
        (std::mem::take(&mut *self.lock()), self.ticks())
    }

    /// How many slices have ended since the beginning.
    pub fn ticks(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }

    /// Waits for an event, at most so long. Nothing ticks meanwhile.
    pub fn wait(&self, most: Option<Duration>, ticker: &Ticker) {
        self.0.idle.store(true, Ordering::SeqCst);
        let queue = self.lock();
        let waited = match most {
            Some(most) => self.0.arrived.wait_timeout_while(queue, most, |q| q.is_empty()).map(|_| ()).map_err(|_| ()),
            None => self.0.arrived.wait_while(queue, |q| q.is_empty()).map(|_| ()).map_err(|_| ()),
        };
        // A poisoned queue has no half-made events: pushing is one step.
        let _ = waited;
        self.0.idle.store(false, Ordering::SeqCst);
        ticker.thread.unpark();
    }

    fn raise(&self) {
        self.0.attention.store(true, Ordering::Release);
        if let Some(engine) = self.0.engine.get() {
            engine.increment_epoch();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that ends slices. It stops when dropped.
pub struct Ticker {
    thread: Thread,
    handle: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Ticker {
    /// Ticks every [`SLICE`] while the machine is not idle.
    pub fn start(events: &Events) -> std::io::Result<Ticker> {
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::downgrade(&events.0), stop.clone());
        let handle = std::thread::Builder::new().name("tick".into()).spawn(move || tick(&shared, &stopped))?;
        Ok(Ticker { thread: handle.thread().clone(), handle: Some(handle), stop })
    }
}

fn tick(shared: &Weak<Shared>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let Some(shared) = shared.upgrade() else { return };
        if shared.idle.load(Ordering::SeqCst) {
            drop(shared);
            std::thread::park();
            continue;
        }
        let events = Events(shared);
        std::thread::sleep(SLICE);
        events.0.ticks.fetch_add(1, Ordering::Relaxed);
        events.raise();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It holds nothing that its panic could have left half done.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ticks_while_idle() {
        let events = Events::default();
        let ticker = Ticker::start(&events).unwrap();
        std::thread::sleep(SLICE * 20);
        assert!(events.ticks() > 0, "it ticks while the machine is busy");
        let before = events.ticks();
        events.wait(Some(SLICE * 100), &ticker);
        // One tick may have been under way when the machine went idle, one may have begun after.
        assert!(events.ticks() <= before + 2, "{} ticks while idle", events.ticks() - before);
    }

    #[test]
    fn an_event_ends_the_wait() {
        let events = Events::default();
        let ticker = Ticker::start(&events).unwrap();
        let other = events.clone();
        let poster = std::thread::spawn(move || {
            std::thread::sleep(SLICE * 5);
            other.post(Event::Shutdown(7));
        });
        events.wait(None, &ticker);
        assert!(events.attention());
        let (taken, _) = events.take();
        assert!(matches!(taken.front(), Some(Event::Shutdown(7))));
        poster.join().unwrap();
    }
}
