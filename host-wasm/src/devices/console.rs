//! The console: text out through a thread with a bounded buffer, lines or keys in
//! through a thread that reads only while someone asks.

use super::{Completions, Device, Owner, Submission};
use crate::events::{Event, Events};
use crate::problem::status;
use crate::terminal;
use abi::Error;
use abi::device::{CONSOLE_COLUMNS, CONSOLE_IS_TERMINAL, CONSOLE_RAW, CompletionStatus, Operation};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Text that may wait to be written; beyond it a write completes only when it was written.
pub const BUFFER: usize = 256 * 1024;
/// The most that one read brings.
pub const MOST_READ: u64 = 64 * 1024;
/// The status with which the system ends when nobody reads its output any more.
const STATUS_OUTPUT_CLOSED: u64 = status::OUTPUT_CLOSED as u64;
/// And when it cannot be written.
const STATUS_OUTPUT_FAILED: u64 = status::IO as u64;

/// The status with which the system ends on Ctrl-C.
const STATUS_INTERRUPTED: u64 = 130;
const CTRL_C: u8 = 3;
const CTRL_BACKSLASH: u8 = 0x1C;
/// Keys that are read though nobody asks yet.
const READ_AHEAD: usize = 4096;

/// Both ends of the console.
pub struct Ends {
    /// What is typed.
    pub input: Box<dyn Read + Send>,
    /// What is shown.
    pub output: Box<dyn Write + Send>,
    /// Whether a person is there: input and output are the process's own terminal.
    pub terminal: bool,
}

struct Writing {
    owner: Owner,
    request: u64,
    bytes: Vec<u8>,
    /// Its completion was given when it was queued.
    completed: bool,
    flush: bool,
}

#[derive(Default)]
struct Output {
    queue: VecDeque<Writing>,
    bytes: usize,
    failed: bool,
    closed: bool,
}

struct Reading {
    owner: Owner,
    request: u64,
    most: usize,
}

#[derive(Default)]
struct Input {
    /// Read and not yet handed over.
    bytes: VecDeque<u8>,
    /// Those who wait, in the order in which they asked.
    waiting: VecDeque<Reading>,
    ended: bool,
    raw: bool,
    closed: bool,
}

impl Input {
    /// Lines are read when someone asks. Keys are read ahead, so that one who is locked
    /// out is heard.
    fn is_wanted(&self) -> bool {
        let asked = !self.waiting.is_empty() && self.bytes.is_empty();
        asked || (self.raw && !self.ended && self.bytes.len() < READ_AHEAD)
    }

    /// Whether these keys ask for the end of the system: Ctrl-\, or a Ctrl-C while one
    /// before it was not read yet.
    fn asks_to_end(&self, keys: &[u8]) -> bool {
        let unread = self.waiting.is_empty() && self.bytes.contains(&CTRL_C);
        keys.contains(&CTRL_BACKSLASH) || (unread && keys.contains(&CTRL_C))
    }
}

struct Shared {
    output: Mutex<Output>,
    written: Condvar,
    input: Mutex<Input>,
    wanted: Condvar,
    completions: Completions,
    events: Events,
}

/// The console. Dropping it writes out what is buffered and restores the terminal.
pub struct Console {
    shared: Arc<Shared>,
    terminal: bool,
    writer: Option<JoinHandle<()>>,
}

impl Console {
    /// Starts its threads.
    pub fn open(ends: Ends, completions: Completions, events: Events) -> std::io::Result<Console> {
        let shared = Arc::new(Shared {
            output: Mutex::default(),
            written: Condvar::new(),
            input: Mutex::default(),
            wanted: Condvar::new(),
            completions,
            events,
        });
        let (mut output, its) = (ends.output, shared.clone());
        let writer = std::thread::Builder::new().name("console-out".into()).spawn(move || its.write(&mut *output))?;
        // Nobody can end a read of standard input: this thread is left behind at the end.
        let (mut input, its) = (ends.input, shared.clone());
        std::thread::Builder::new().name("console-in".into()).spawn(move || its.read(&mut *input))?;
        Ok(Console { shared, terminal: ends.terminal, writer: Some(writer) })
    }
}

impl Device for Console {
    fn read(&mut self, register: u64) -> Result<u64, Error> {
        match register {
            CONSOLE_IS_TERMINAL => Ok(self.terminal.into()),
            CONSOLE_COLUMNS if self.terminal => Ok(terminal::columns().into()),
            CONSOLE_COLUMNS => Ok(0),
            CONSOLE_RAW => Ok(self.shared.input().raw.into()),
            _ => Err(Error::InvalidArgument),
        }
    }

    fn write(&mut self, register: u64, value: u64) -> Result<(), Error> {
        if register != CONSOLE_RAW || value > 1 {
            return Err(Error::InvalidArgument);
        }
        if !self.terminal {
            return Err(Error::Unsupported);
        }
        terminal::set_raw(value == 1);
        self.shared.input().raw = value == 1;
        self.shared.wanted.notify_one();
        Ok(())
    }

    fn submit(&mut self, submission: Submission) -> Result<(), Error> {
        let Submission { owner, request, operation, b, bytes, .. } = submission;
        match operation {
            Operation::Read => {
                let most = usize::try_from(b.min(MOST_READ)).unwrap_or(0);
                if most == 0 {
                    return Err(Error::InvalidArgument);
                }
                let mut input = self.shared.input();
                input.waiting.push_back(Reading { owner, request, most });
                self.shared.hand_over(&mut input);
                self.shared.wanted.notify_one();
            }
            Operation::Write | Operation::Flush => {
                let flush = operation == Operation::Flush;
                self.shared.queue(Writing { owner, request, bytes, completed: false, flush });
            }
        }
        Ok(())
    }

    fn forget(&mut self, owner: Owner) {
        self.shared.input().waiting.retain(|reading| reading.owner != owner);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.shared.output().closed = true;
        self.shared.written.notify_one();
        self.shared.input().closed = true;
        self.shared.wanted.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic of the thread has been printed; what it had to write is lost.
            let _ = writer.join();
        }
        if self.terminal {
            terminal::restore();
        }
    }
}

impl Shared {
    fn queue(&self, mut writing: Writing) {
        let mut output = self.output();
        if output.failed {
            drop(output);
            self.completions.complete(writing.owner, writing.request, CompletionStatus::Failed, Vec::new(), 0);
            return;
        }
        if !writing.flush && output.bytes + writing.bytes.len() <= BUFFER {
            writing.completed = true;
            let length = writing.bytes.len();
            self.completions.complete(writing.owner, writing.request, CompletionStatus::Done, Vec::new(), length);
        }
        output.bytes += writing.bytes.len();
        output.queue.push_back(writing);
        drop(output);
        self.written.notify_one();
    }

    /// The writer's thread.
    fn write(&self, end: &mut dyn Write) {
        loop {
            let mut output = self.output();
            while output.queue.is_empty() && !output.closed {
                output = self.written.wait(output).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(writing) = output.queue.pop_front() else { return };
            let last = output.queue.is_empty();
            output.bytes -= writing.bytes.len();
            let failed = output.failed;
            drop(output);

            let result = if failed { Err(ErrorKind::BrokenPipe.into()) } else { end.write_all(&writing.bytes) };
            let result = if writing.flush || last { result.and_then(|()| end.flush()) } else { result };
            let status = if result.is_ok() { CompletionStatus::Done } else { CompletionStatus::Failed };
            if !writing.completed {
                self.completions.complete(writing.owner, writing.request, status, Vec::new(), writing.bytes.len());
            }
            if let Err(error) = result
                && !failed
            {
                self.output().failed = true;
                let closed = error.kind() == ErrorKind::BrokenPipe;
                self.events.post(Event::Shutdown(if closed { STATUS_OUTPUT_CLOSED } else { STATUS_OUTPUT_FAILED }));
            }
        }
    }

    /// The reader's thread.
    fn read(&self, end: &mut dyn Read) {
        let mut buffer = [0; 4096];
        loop {
            let mut input = self.input();
            while !input.closed && !input.is_wanted() {
                input = self.wanted.wait(input).unwrap_or_else(PoisonError::into_inner);
            }
            if input.closed {
                return;
            }
            drop(input);
            let count = match end.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A terminal that went away has nothing more to say.
                Err(_) => 0,
            };
            let mut input = self.input();
            if input.raw && input.asks_to_end(&buffer[..count]) {
                self.events.post(Event::Shutdown(STATUS_INTERRUPTED));
            }
            input.bytes.extend(&buffer[..count]);
            input.ended = count == 0;
            self.hand_over(&mut input);
            if input.ended && !input.waiting.is_empty() {
                // Handed over to all but none left: cannot be; do not spin if it is.
                return;
            }
        }
    }

    /// Gives what there is to those who wait.
    fn hand_over(&self, input: &mut Input) {
        while !input.waiting.is_empty() && (!input.bytes.is_empty() || input.ended) {
            let Some(reading) = input.waiting.pop_front() else { return };
            let available = input.bytes.len().min(reading.most);
            let line = input.bytes.iter().take(available).position(|&byte| byte == b'\n').map(|at| at + 1);
            let count = if input.raw { available } else { line.unwrap_or(available) };
            let bytes: Vec<u8> = input.bytes.drain(..count).collect();
            self.completions.complete(reading.owner, reading.request, CompletionStatus::Done, bytes, count);
        }
    }

    fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Done;
    use super::*;
    use kernel::InterruptId;
    use std::time::{Duration, Instant};

    const OWNER: Owner = 3;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn console(input: &'static [u8], output: impl Write + Send + 'static) -> (Console, Completions, Events) {
        let events = Events::default();
        let completions = Completions::new(InterruptId(0), events.clone());
        let ends = Ends { input: Box::new(input), output: Box::new(output), terminal: false };
        (Console::open(ends, completions.clone(), events.clone()).unwrap(), completions, events)
    }

    fn operate(console: &mut Console, completions: &Completions, operation: Operation, b: u64, bytes: &[u8]) -> Done {
        completions.begin(OWNER).unwrap();
        console
            .submit(Submission { owner: OWNER, request: 1, operation, a: 0, b, bytes: bytes.to_vec(), log: 0 })
            .unwrap();
        wait(completions)
    }

    fn wait(completions: &Completions) -> Done {
        let begin = Instant::now();
        loop {
            if let Some(done) = completions.take(OWNER) {
                return done;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "the operation never completed");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_read_brings_one_line_and_nothing_at_the_end() {
        let (mut console, completions, _) = console(b"one\ntwo\nlast", Screen::default());
        let mut read = |most| operate(&mut console, &completions, Operation::Read, most, &[]).bytes;
        assert_eq!(read(100), b"one\n");
        assert_eq!(read(2), b"tw", "never more than was asked for");
        assert_eq!(read(100), b"o\n");
        assert_eq!(read(100), b"last");
        assert_eq!(read(100), b"");
        assert_eq!(read(100), b"", "the end stays");
    }

    #[test]
    fn what_is_written_is_shown_in_order_and_flush_waits_for_it() {
        let screen = Screen::default();
        let (mut console, completions, _) = console(b"", screen.clone());
        let mut expected = Vec::new();
        for round in 0..20u8 {
            let text = vec![b'a' + round; 30_000];
            let done = operate(&mut console, &completions, Operation::Write, 0, &text);
            assert_eq!(done.completion.status, CompletionStatus::Done);
            expected.extend(text);
        }
        operate(&mut console, &completions, Operation::Flush, 0, &[]);
        assert_eq!(*screen.0.lock().unwrap(), expected);
    }

    #[test]
    fn what_was_written_is_shown_before_the_console_closes() {
        let screen = Screen::default();
        let (mut console, completions, _) = console(b"", screen.clone());
        operate(&mut console, &completions, Operation::Write, 0, b"farewell");
        drop(console);
        assert_eq!(*screen.0.lock().unwrap(), b"farewell");
    }

    #[test]
    fn a_closed_output_ends_the_system() {
        let (mut console, completions, events) = console(b"", Closed);
        operate(&mut console, &completions, Operation::Write, 0, b"unheard");
        let done = operate(&mut console, &completions, Operation::Flush, 0, &[]);
        assert_eq!(done.completion.status, CompletionStatus::Failed);
        let (taken, _) = events.take();
        assert!(taken.iter().any(|event| matches!(event, Event::Shutdown(STATUS_OUTPUT_CLOSED))));
    }

    #[test]
    fn a_reader_that_ended_takes_no_line_from_the_next() {
        let events = Events::default();
        let completions = Completions::new(InterruptId(0), events.clone());
        let (reader, mut writer) = std::io::pipe().unwrap();
        let ends = Ends { input: Box::new(reader), output: Box::new(Screen::default()), terminal: false };
        let mut console = Console::open(ends, completions.clone(), events).unwrap();
        completions.begin(9).unwrap();
        console
            .submit(Submission {
                owner: 9,
                request: 1,
                operation: Operation::Read,
                a: 0,
                b: 10,
                bytes: Vec::new(),
                log: 0,
            })
            .unwrap();
        console.forget(9);
        completions.forget(9);
        completions.begin(OWNER).unwrap();
        console
            .submit(Submission {
                owner: OWNER,
                request: 1,
                operation: Operation::Read,
                a: 0,
                b: 10,
                bytes: Vec::new(),
                log: 0,
            })
            .unwrap();
        writer.write_all(b"mine\n").unwrap();
        assert_eq!(wait(&completions).bytes, b"mine\n");
    }

    #[test]
    fn registers_say_that_nobody_is_there() {
        let (mut console, _, _) = console(b"", Screen::default());
        assert_eq!(console.read(CONSOLE_IS_TERMINAL), Ok(0));
        assert_eq!(console.read(CONSOLE_COLUMNS), Ok(0));
        assert_eq!(console.read(99), Err(Error::InvalidArgument));
        assert_eq!(console.write(CONSOLE_RAW, 1), Err(Error::Unsupported));
        assert_eq!(console.write(CONSOLE_RAW, 2), Err(Error::InvalidArgument));
    }
}
