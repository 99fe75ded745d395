//! Who is at the machine's console: a person at a terminal, or a program by pipes and files. What the session shows
//! goes to the standard output, what the kernel says to the standard error.

use crate::machine::{End, Machine, Running};
use crate::problem::{Problem, status};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::{self, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Ends a line of the input where it is; and the input, where a line would begin.
const END_OF_INPUT: u8 = 0x04;
/// Ctrl-]: switches the machine off, at a terminal.
const SWITCH_OFF: u8 = 0x1d;
/// What the kernel says when the console is ready. What the console shows before is of the firmware, which may also take
/// what is typed before.
pub const READY: &[u8] = b"orbital: init starts";
/// How long the kernel's words may take from one pipe, when the console's came by the other.
const BETWEEN_PIPES: Duration = Duration::from_millis(20);

/// Whether a person is there: input and output are a terminal.
pub fn is_terminal() -> bool {
    isatty(stdin()) && isatty(stdout())
}

/// Columns of the terminal; 0 if it does not say.
pub fn columns() -> u16 {
    tcgetwinsize(stdout()).map_or(0, |size| size.ws_col)
}

/// The terminal with keys as they come, until this is dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn set(wanted: bool) -> Raw {
        let Some(original) = wanted.then(|| tcgetattr(stdin()).ok()).flatten() else { return Raw(None) };
        let mut raw = original.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG | LocalModes::IEXTEN);
        raw.input_modes.remove(InputModes::IXON | InputModes::ICRNL);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // A terminal that refuses stays as it is; lines still work.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &raw);
        Raw(Some(original))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(original) = &self.0 {
            // There is nobody to tell any more.
            let _ = tcsetattr(stdin(), OptionalActions::Now, original);
        }
    }
}

/// Why a machine was switched off from here.
#[derive(Default)]
struct Off {
    /// By a key.
    key: AtomicBool,
    /// Its output cannot be written.
    lost: OnceLock<io::Error>,
}

/// Runs a machine with this program's input and output at its console, up to its end. Gives the status.
pub fn connect(machine: &Machine) -> Result<u8, Problem> {
    let person = machine.terminal.is_some();
    let mut running = machine.start()?;
    let raw = Raw::set(person);
    let off = Arc::new(Off::default());
    let ready = Ready::default();
    let messages = running.messages.take().map(|from| {
        let ready = ready.clone();
        // Without a standard error nobody can be told.
        thread::spawn(move || follow(from, &ready, |bytes| drop(io::stderr().write_all(bytes))))
    });
    let output = running.output.take().map(|from| {
        let (ready, off, id) = (ready.clone(), off.clone(), running.id());
        thread::spawn(move || show_output(from, &ready, &off, id))
    });
    if let Some(to) = running.input.take() {
        let (ready, off, id) = (ready.clone(), off.clone(), running.id());
        // It waits for what is typed, and is left to itself at the end.
        thread::spawn(move || pass_input(to, &ready, person, &off, id));
    }
    let end = running.wait()?;
    for reader in [output, messages].into_iter().flatten() {
        // A reader that panicked has said so.
        let _ = reader.join();
    }
    drop(raw);
    if let Some(error) = off.lost.get() {
        return match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(status::OUTPUT_CLOSED),
            _ => Err(Problem::new(status::IO, format!("standard output: {error}"), "write it elsewhere")),
        };
    }
    match end {
        End::Off(status) => Ok(status),
        End::Cut(_) if off.key.load(Ordering::Relaxed) => Ok(status::SWITCHED_OFF),
        End::Cut(how) => Err(Problem::new(
            status::STOPPED,
            format!("QEMU ended ({how}), and the machine had not turned itself off"),
            "what the kernel or QEMU said last stands above",
        )),
    }
}

/// Ends the machine from a thread that does not have it.
fn switch_off(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Whether the console is ready.
#[derive(Clone, Default, Debug)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Waits until it is, or the machine has ended.
    pub fn wait(&self) {
        while !self.is_set() {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Gives the kernel's messages on, and watches in them for the console to be ready.
pub fn follow(mut from: impl Read, ready: &Ready, mut give: impl FnMut(&[u8])) {
    let (mut buffer, mut seen) = ([0; 4096], Vec::new());
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !ready.is_set() {
            seen.extend_from_slice(&buffer[..length]);
            if seen.windows(READY.len()).any(|words| words == READY) {
                ready.set();
            }
        }
        give(&buffer[..length]);
    }
    // It ended: nobody need wait any longer.
    ready.set();
}

fn show_output(mut from: ChildStdout, ready: &Ready, off: &Off, id: u32) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..length];
        if !ready.is_set() {
            thread::sleep(BETWEEN_PIPES);
        }
        if !ready.is_set() {
            // The firmware's words; without a standard error nobody can be told.
            let _ = io::stderr().write_all(bytes);
            continue;
        }
        let mut out = io::stdout();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            // It is set here alone.
            let _ = off.lost.set(error);
            switch_off(id);
            return;
        }
    }
}

/// What is typed, up to its end, which is a byte of its own on the serial line.
fn pass_input(mut to: ChildStdin, ready: &Ready, person: bool, off: &Off, id: u32) {
    ready.wait();
    let mut buffer = [0; 4096];
    loop {
        // Of a script that was started at a terminal nobody is asked.
        if !person && isatty(stdin()) {
            break;
        }
        let length = match io::stdin().read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let bytes = &buffer[..length];
        if person && bytes.contains(&SWITCH_OFF) {
            off.key.store(true, Ordering::Relaxed);
            switch_off(id);
            return;
        }
        if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
    end_input(&mut to);
}

/// Ends the input of everyone who reads it, one after the other, until the machine is off: on a serial line an end is
/// read like anything else, and does not stay.
fn end_input(to: &mut ChildStdin) {
    while to.write_all(&[END_OF_INPUT; 64]).and_then(|()| to.flush()).is_ok() {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Boots to the end and gives everything that came: the session's output, the messages, how it ended. `input` is
/// typed and ended. For tests and for what watches a machine by itself.
pub fn gather(machine: &Machine, input: &str, patience: Duration) -> Result<Gathered, Problem> {
    let mut running = machine.start()?;
    let ready = Ready::default();
    let messages = running.messages.take().map(|from| {
        let ready = ready.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            follow(from, &ready, |more| bytes.extend_from_slice(more));
            bytes
        })
    });
    let output = running.output.take().map(|mut from| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What came before an error is all there is.
            let _ = from.read_to_end(&mut bytes);
            bytes
        })
    });
    let typed = input.as_bytes().to_vec();
    if let Some(mut to) = running.input.take() {
        thread::spawn(move || {
            ready.wait();
            // The machine may be off already.
            if to.write_all(&typed).and_then(|()| to.flush()).is_ok() {
                end_input(&mut to);
            }
        });
    }
    let end = wait_at_most(&mut running, patience);
    if end.is_none() {
        running.kill();
    }
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Gathered { output: text(output), messages: text(messages), end })
}

/// Everything that came of a run.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// What the session showed.
    pub output: String,
    /// What kernel and QEMU said.
    pub messages: String,
    /// How it ended; `None`: it did not in the time that it had.
    pub end: Option<End>,
}

fn wait_at_most(running: &mut Running, patience: Duration) -> Option<End> {
    let deadline = std::time::Instant::now() + patience;
    loop {
        if let Some(end) = running.ended() {
            return Some(end);
        }
        if std::time::Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
