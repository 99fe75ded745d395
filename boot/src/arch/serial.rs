//! The kernel's own words: the first line, what went wrong, and what processes say by `debug`. Polled.
//!
//! They go to the first serial port, where the console is too; to the second, if the machine was
//! started with a file `opt/orbital/messages` in its firmware configuration. So whoever starts a virtual machine
//! gets the session's output by itself.

use crate::fw_cfg;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU16, Ordering};
use x86_64::instructions::port::Port;

const FIRST: u16 = 0x3f8;
const SECOND: u16 = 0x2f8;
/// The file that sends them to the second port; what is in it does not matter.
const APART: &str = "opt/orbital/messages";
/// The port that is written to.
static PORT: AtomicU16 = AtomicU16::new(FIRST);
/// Looks at the line before a byte is given up: there may be no such port.
const PATIENCE: u32 = 100_000;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

fn put(byte: u8) {
    let port = PORT.load(Ordering::Relaxed);
    let (mut data, mut status): (Port<u8>, Port<u8>) = (Port::new(port), Port::new(port + 5));
    for _ in 0..PATIENCE {
        // SAFETY: reading the line status of a serial port changes nothing.
        if unsafe { status.read() } & 0x20 != 0 {
            break;
        }
    }
    // SAFETY: a byte to the serial port is shown, or goes nowhere.
    unsafe { data.write(byte) };
}

/// Chooses the port and sets it to 115,200 baud, eight bits. Its buffers stay as they are: at the first port somebody
/// may have typed already.
pub fn start() {
    let port = if fw_cfg::is_there(&mut fw_cfg::Real, APART) { SECOND } else { FIRST };
    PORT.store(port, Ordering::Relaxed);
    for (offset, value) in [(1, 0x00), (3, 0x80), (0, 0x01), (1, 0x00), (3, 0x03), (4, 0x0b)] {
        // SAFETY: the registers of a 16550, as its data sheet has them.
        unsafe { Port::<u8>::new(port + offset).write(value) };
    }
}

/// Shows text.
pub fn print(arguments: fmt::Arguments<'_>) {
    // It cannot fail.
    let _ = Serial.write_fmt(arguments);
}

/// Shows a line.
#[macro_export]
macro_rules! say {
    ($($arguments:tt)*) => { $crate::arch::serial::print(format_args!("{}\n", format_args!($($arguments)*))) };
}
