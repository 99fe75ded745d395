//! The thread that writes the log: takes raw blocks over a bounded queue, seals and syncs
//! them in groups, and says what is durable. The call path never waits for it, unless
//! the queue is full.

use crate::error::Error;
use crate::folder::Folder;
use crate::log::Log;
use axiom::RawBlock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Blocks that may wait to be written.
const QUEUE: usize = 64;
/// A group commit is due when so many bytes wait,
const GROUP: usize = 1 << 20;
/// or when the oldest of them waits so long.
const PATIENCE: Duration = Duration::from_millis(50);
/// Tiles and checkpoint follow at most so often.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// Called when what was asked for is durable, or cannot be.
type Done = Box<dyn FnOnce(Result<(), LogLost>) + Send>;

enum Message {
    Block(RawBlock),
    Flush(Done),
    Publish(Done),
    Stop,
}

/// The log cannot be written any more. [`Writer::failure`] says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLost;

impl std::fmt::Display for LogLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the log cannot be written")
    }
}

impl std::error::Error for LogLost {}

#[derive(Debug, Default)]
struct Shared {
    durable: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// The host's end of the writer thread.
#[derive(Debug)]
pub struct Writer<F> {
    sender: SyncSender<Message>,
    spare: Receiver<RawBlock>,
    shared: Arc<Shared>,
    thread: JoinHandle<Log<F>>,
}

impl<F: Folder + 'static> Writer<F> {
    /// Starts the thread.
    pub fn start(log: Log<F>) -> std::io::Result<Writer<F>> {
        let (sender, messages) = mpsc::sync_channel(QUEUE);
        let (give_back, spare) = mpsc::sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        shared.durable.store(log.durable().records, Ordering::Release);
        let work = Work {
            log,
            shared: shared.clone(),
            give_back,
            waiting: Vec::new(),
            oldest: None,
            last_publication: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || work.run(messages))?;
        Ok(Writer { sender, spare, shared, thread })
    }

    /// Hands a block over. Waits while [`QUEUE`] blocks wait: that is the bound by which the system
    /// may run ahead of its log.
    pub fn append(&self, block: RawBlock) -> Result<(), LogLost> {
        if self.shared.failed() {
            return Err(LogLost);
        }
        self.sender.send(Message::Block(block)).map_err(|_| LogLost)
    }

    /// Calls `done`, on the writer's thread, when every block handed over before is durable.
    pub fn flush(&self, done: impl FnOnce(Result<(), LogLost>) + Send + 'static) {
        self.ask(Message::Flush, done);
    }

    /// Calls `done`, on the writer's thread, when a checkpoint covers every block handed over before.
    pub fn publish(&self, done: impl FnOnce(Result<(), LogLost>) + Send + 'static) {
        self.ask(Message::Publish, done);
    }

    fn ask(&self, message: fn(Done) -> Message, done: impl FnOnce(Result<(), LogLost>) + Send + 'static) {
        if let Err(mpsc::SendError(Message::Flush(done) | Message::Publish(done))) =
            self.sender.send(message(Box::new(done)))
        {
            done(Err(LogLost));
        }
    }

    /// Waits until every block handed over before is durable.
    pub fn flush_and_wait(&self) -> Result<(), LogLost> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.flush(move |result| {
            // The receiver is this function.
            let _ = sender.send(result);
        });
        receiver.recv().unwrap_or(Err(LogLost))
    }

    /// All records below this number are durable.
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// The memory of a block that was written, to be given to [`axiom::Axiom::recycle`].
    pub fn spare(&self) -> Option<RawBlock> {
        self.spare.try_recv().ok()
    }

    /// Why the log cannot be written any more; `None` while it can.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes and publishes what was handed over, and ends the thread.
    pub fn stop(self) -> Result<Log<F>, Error> {
        // The thread ends at the message, or has ended already.
        let _ = self.sender.send(Message::Stop);
        let log = self.thread.join().map_err(|_| Error::new("the log's writer panicked", "Report it."))?;
        match self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(cause) => Err(Error::new(cause, "Start the machine again; it recovers the log.")),
            None => Ok(log),
        }
    }
}

/// The writer's side.
struct Work<F> {
    log: Log<F>,
    shared: Arc<Shared>,
    give_back: SyncSender<RawBlock>,
    /// Who waits for the next group commit.
    waiting: Vec<Done>,
    /// Since when something waits to be synced.
    oldest: Option<Instant>,
    last_publication: Instant,
}

impl<F: Folder> Work<F> {
    fn run(mut self, messages: Receiver<Message>) -> Log<F> {
        loop {
            let message = match self.next_due() {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let mut stop = false;
            match message {
                Ok(message) => {
                    stop |= self.take(message);
                    // The rest of the group.
                    while !stop && self.log.waiting() < GROUP {
                        match messages.try_recv() {
                            Ok(message) => stop |= self.take(message),
                            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stop = true,
            }
            self.work_due(stop);
            if stop {
                return self.log;
            }
        }
    }

    /// When something is to be done though no message comes.
    fn next_due(&self) -> Option<Instant> {
        if self.shared.failed() {
            return None;
        }
        let sync = self.oldest.map(|oldest| oldest + PATIENCE);
        let unpublished = self.log.published() < self.log.head().blocks;
        let publish = unpublished.then(|| self.last_publication + PUBLISH_EVERY);
        sync.into_iter().chain(publish).min()
    }

    /// Takes one message; whether it is the last.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Block(block) => {
                self.oldest.get_or_insert_with(Instant::now);
                let appended = self.log.append(&block);
                self.note(appended);
                // The host has enough spare blocks if it takes no more.
                let _ = self.give_back.try_send(block);
            }
            Message::Flush(done) => self.waiting.push(done),
            Message::Publish(done) => {
                self.sync();
                let result = self.publish();
                done(result);
            }
            Message::Stop => return true,
        }
        false
    }

    fn work_due(&mut self, stop: bool) {
        let patience_over = self.oldest.is_some_and(|oldest| oldest.elapsed() >= PATIENCE);
        if stop || patience_over || !self.waiting.is_empty() || self.log.waiting() >= GROUP {
            self.sync();
        }
        let unpublished = self.log.published() < self.log.durable().blocks;
        if unpublished && (stop || self.log.must_publish() || self.last_publication.elapsed() >= PUBLISH_EVERY) {
            // A failure is noted; nobody asked for this one.
            let _ = self.publish();
        }
    }

    fn sync(&mut self) {
        let synced = if self.oldest.take().is_some() { self.log.sync() } else { Ok(()) };
        self.note(synced);
        let result = if self.shared.failed() { Err(LogLost) } else { Ok(()) };
        self.shared.durable.store(self.log.durable().records, Ordering::Release);
        for done in self.waiting.drain(..) {
            done(result);
        }
    }

    fn publish(&mut self) -> Result<(), LogLost> {
        self.last_publication = Instant::now();
        let published = self.log.publish();
        self.note(published);
        if self.shared.failed() { Err(LogLost) } else { Ok(()) }
    }

    fn note(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }
    }
}
