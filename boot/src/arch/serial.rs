//! The kernel's own words, on the first serial port: the first line, what went wrong, and what processes
//! say by `debug`. Polled.

use core::fmt::{self, Write};
use x86_64::instructions::port::Port;

const PORT: u16 = 0x3f8;
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
    let (mut data, mut status): (Port<u8>, Port<u8>) = (Port::new(PORT), Port::new(PORT + 5));
    for _ in 0..PATIENCE {
        // SAFETY: reading the line status of a serial port changes nothing.
        if unsafe { status.read() } & 0x20 != 0 {
            break;
        }
    }
    // SAFETY: a byte to the serial port is shown, or goes nowhere.
    unsafe { data.write(byte) };
}

/// Sets the port to 115,200 baud, eight bits, with its buffers.
pub fn start() {
    for (offset, value) in [(1, 0x00), (3, 0x80), (0, 0x01), (1, 0x00), (3, 0x03), (2, 0xc7), (4, 0x0b)] {
        // SAFETY: the registers of a 16550, as its data sheet has them.
        unsafe { Port::<u8>::new(PORT + offset).write(value) };
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
