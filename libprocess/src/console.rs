//! Text out and in. [`print!`](crate::print!) and [`println!`](crate::println!) do not wait: text is handed to the console
//! device as long as it takes some, and the rest goes when the process next waits. A [`Console`]
//! waits, reads lines or keys, and knows the terminal.
//!
//! A process without a console writes its lines to the host's debug output.

use crate::device::HostDevice;
use crate::{context, executor, system};
use abi::Error;
use abi::device::{CONSOLE_COLUMNS, CONSOLE_IS_TERMINAL, CONSOLE_RAW, CompletionStatus, Operation};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};

/// Most bytes that one write to the device carries.
const CHUNK: usize = 4096;
/// Most bytes that wait to be taken by the device; what is printed beyond is lost.
const WAITING: usize = 1 << 20;
/// The longest line that [`Console::read_line_bytes`] brings, in bytes.
pub const LONGEST_LINE: usize = 1 << 20;

/// What was printed and the device has not yet taken.
pub(crate) struct Output {
    device: Option<HostDevice>,
    text: VecDeque<u8>,
    /// Something was printed at all.
    used: bool,
    /// A task carries the text out.
    carrying: bool,
}

impl Output {
    pub(crate) const fn new() -> Output {
        Output { device: None, text: VecDeque::new(), used: false, carrying: false }
    }
}

struct Printed(Vec<u8>);

impl Write for Printed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Prints; what [`print!`](crate::print!) calls.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut printed = Printed(Vec::new());
    // Only a broken Display fails; then what came before it is shown.
    let _ = printed.write_fmt(arguments);
    write_soon(&printed.0);
}

/// Text goes to the console of the process, as soon as that takes it.
fn write_soon(text: &[u8]) {
    let device = context::with(|context| {
        let mut output = context.output.borrow_mut();
        output.used = true;
        if output.text.len() + text.len() <= WAITING {
            output.text.extend(text);
        }
        output.device.clone()
    })
    .flatten();
    match device {
        Some(device) => push(&device),
        None => debug_lines(),
    }
}

/// Hands the device as much as it takes; a task does the rest.
fn push(device: &HostDevice) {
    loop {
        let Some(chunk) = context::with(|context| context.output.borrow_mut().next_chunk()).flatten() else { return };
        match device.submit_and_forget(Operation::Write, 0, 0, &chunk) {
            Ok(()) => {}
            Err(Error::WouldBlock) => {
                let start = context::with(|context| {
                    let mut output = context.output.borrow_mut();
                    output.put_back(&chunk);
                    !core::mem::replace(&mut output.carrying, true)
                });
                if start == Some(true) {
                    executor::spawn(carry());
                }
                return;
            }
            // The console is gone; there is nobody to tell.
            Err(_) => return,
        }
    }
}

/// Carries out what the device did not take at once, waiting for it.
async fn carry() {
    loop {
        let next = context::with(|context| {
            let mut output = context.output.borrow_mut();
            let chunk = output.next_chunk();
            output.carrying = chunk.is_some();
            output.device.clone().zip(chunk)
        });
        let Some((device, chunk)) = next.flatten() else { return };
        let _ = device.operate(Operation::Write, 0, 0, &chunk).await;
    }
}

impl Output {
    fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let length = self.text.len().min(CHUNK);
        (length > 0).then(|| self.text.drain(..length).collect())
    }

    fn put_back(&mut self, chunk: &[u8]) {
        for byte in chunk.iter().rev() {
            self.text.push_front(*byte);
        }
    }
}

/// Whole lines go to the debug output.
fn debug_lines() {
    loop {
        let line: Option<Vec<u8>> = context::with(|context| {
            let mut output = context.output.borrow_mut();
            let end = output.text.iter().position(|byte| *byte == b'\n')?;
            let mut line: Vec<u8> = output.text.drain(..=end).collect();
            line.pop();
            Some(line)
        })
        .flatten();
        let Some(line) = line else { return };
        system::debug(&String::from_utf8_lossy(&line));
    }
}

/// Shows all that was printed, at the end of the process.
pub(crate) async fn finish() {
    let state = context::with(|context| {
        let output = context.output.borrow();
        output.used.then(|| output.device.clone())
    });
    match state.flatten() {
        Some(Some(device)) => {
            carry().await;
            let _ = device.operate(Operation::Flush, 0, 0, &[]).await;
        }
        Some(None) => {
            write_soon(b"\n");
        }
        None => {}
    }
}

/// How a terminal gives what is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InputMode {
    /// Whole lines; the host echoes and lets them be edited.
    Lines,
    /// Keys as they come, without echo.
    Keys,
}

/// The console. Clones are the same console.
#[derive(Clone, Debug)]
pub struct Console {
    device: HostDevice,
    /// What was read and not yet handed out.
    read: Rc<RefCell<VecDeque<u8>>>,
    /// The read that is under way: nothing typed is lost when a task stops waiting for it.
    reading: Rc<Cell<Option<u64>>>,
}

impl Console {
    /// A console over its device; what is printed goes to it from now on.
    pub fn new(device: HostDevice) -> Console {
        context::with(|context| context.output.borrow_mut().device = Some(device.clone()));
        Console { device, read: Rc::default(), reading: Rc::default() }
    }

    /// Writes text, or any bytes, and waits until the console has taken it.
    pub async fn write(&self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        carry().await;
        for chunk in text.as_ref().chunks(CHUNK) {
            let (completion, _) = self.device.operate(Operation::Write, 0, 0, chunk).await?;
            if completion.status != CompletionStatus::Done {
                return Err(Error::PeerGone);
            }
        }
        Ok(())
    }

    /// Waits until all that was written and printed is shown.
    pub async fn flush(&self) -> Result<(), Error> {
        carry().await;
        self.device.operate(Operation::Flush, 0, 0, &[]).await.map(|_| ())
    }

    /// At most `most` bytes of what was typed; none at the end of the input. If this is dropped
    /// while it waits, what is typed then comes with the next read. One task reads at a time.
    pub async fn read(&self, most: u32) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = self.take_read(most) {
            return Ok(bytes);
        }
        let request = match self.reading.get() {
            Some(request) => request,
            None => {
                let request = self.device.begin(Operation::Read, 0, u64::from(most), &[]).await?;
                self.reading.set(Some(request));
                request
            }
        };
        let ended = self.device.end(request).await;
        self.reading.set(None);
        let (completion, bytes) = ended?;
        if completion.status != CompletionStatus::Done {
            return Err(Error::PeerGone);
        }
        // An earlier read may have asked for more.
        self.read.borrow_mut().extend(bytes);
        Ok(self.take_read(most).unwrap_or_default())
    }

    fn take_read(&self, most: u32) -> Option<Vec<u8>> {
        let mut read = self.read.borrow_mut();
        let length = read.len().min(most as usize);
        (length > 0).then(|| read.drain(..length).collect())
    }

    /// One line without its end; `None` at the end of the input. `InvalidArgument` if it is not
    /// UTF-8, `TooLarge` if it has more than [`LONGEST_LINE`] bytes: it is skipped then. Other data is read by
    /// [`Console::read_line_bytes`] and [`Console::read`].
    pub async fn read_line(&self) -> Result<Option<String>, Error> {
        let line = self.read_line_bytes().await?;
        line.map(String::from_utf8).transpose().map_err(|_| Error::InvalidArgument)
    }

    /// One line without its end, byte for byte; `None` at the end of the input. `TooLarge` if it has more than
    /// [`LONGEST_LINE`] bytes: it is skipped then.
    pub async fn read_line_bytes(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut line = Vec::new();
        let mut fits = true;
        loop {
            let bytes = self.read(CHUNK as u32).await?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            fits &= line.len() + part.len() <= LONGEST_LINE;
            if fits {
                line.extend_from_slice(part);
            }
            if let Some(end) = end {
                let mut read = self.read.borrow_mut();
                for byte in bytes[end + 1..].iter().rev() {
                    read.push_front(*byte);
                }
            }
            if end.is_some() || bytes.is_empty() {
                return match fits {
                    true => Ok((end.is_some() || !line.is_empty()).then(|| without_return(line))),
                    false => Err(Error::TooLarge),
                };
            }
        }
    }

    /// How the terminal gives what is typed.
    pub fn set_mode(&self, mode: InputMode) -> Result<(), Error> {
        self.device.write(CONSOLE_RAW, u64::from(mode == InputMode::Keys))
    }

    /// Whether a person may be at the other end.
    pub fn is_terminal(&self) -> bool {
        self.device.read(CONSOLE_IS_TERMINAL) == Ok(1)
    }

    /// Columns of the terminal, if they are known.
    pub fn columns(&self) -> Option<u32> {
        let columns = self.device.read(CONSOLE_COLUMNS).ok()?;
        u32::try_from(columns).ok().filter(|columns| *columns > 0)
    }

    /// Its device.
    pub fn device(&self) -> &HostDevice {
        &self.device
    }
}

fn without_return(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line
}

/// Prints to the console of the process.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Prints a line to the console of the process.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($($arguments)*))) };
}

/// Prints a line to the console of the process, which has but one output.
#[macro_export]
macro_rules! eprintln {
    ($($arguments:tt)*) => { $crate::println!($($arguments)*) };
}
