//! The first serial port (16550A, National Semiconductor PC16550D data sheet). The kernel moves bytes between
//! the port's buffers and its own, so that nothing typed is lost while nobody reads; what lines and keys
//! are is the business of the processes at the console.

use super::bus::{Bus, Width};
use abi::Error;
use abi::device::{
    CONSOLE_COLUMNS, CONSOLE_IS_TERMINAL, UART_IDLE, UART_MOST_RECEIVED, UART_MOST_SENT, UART_RECEIVE, UART_STATUS,
    UART_TERMINAL,
};
use alloc::collections::VecDeque;

const PORT: u16 = 0x3f8;
/// Its interrupt on the old bus.
pub const INTERRUPT: u8 = 4;

const DATA: u16 = 0;
const ENABLE: u16 = 1;
const IDENTIFICATION: u16 = 2;
/// The same, written: switches the buffers on.
const BUFFERS: u16 = 2;
const LINE_STATUS: u16 = 5;
const MODEM_STATUS: u16 = 6;
const SCRATCH: u16 = 7;

/// Bit of ENABLE: something came.
const RECEIVED: u32 = 1;
/// Bit of ENABLE: there is room to send.
const ROOM: u32 = 1 << 1;
/// Bit of IDENTIFICATION: no interrupt.
const NONE: u32 = 1;
/// Bit of LINE_STATUS: something came.
const DATA_READY: u32 = 1;
/// Bit of LINE_STATUS: the buffer of 16 bytes to send is empty.
const EMPTY: u32 = 1 << 5;

/// Bytes that the port takes when it is empty and its buffers are on.
const PORT_BUFFER: usize = 16;
/// Bytes that wait to be read; beyond them the port is not read, so that the other end waits.
pub const MOST_RECEIVED: usize = 4096;
/// Bytes that wait to be sent.
pub const MOST_SENDING: usize = 4096;
/// Rounds in which one interrupt is served; what then still comes brings the next.
const ROUNDS: usize = 1024;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_BACKSLASH: u8 = 0x1c;
/// The status with which the machine ends when a person at the terminal wants it.
pub const STATUS_INTERRUPTED: u64 = 130;

/// Whether the port's own buffers are switched on. Switching empties them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffers {
    /// They are: bytes come on a wire, whether anyone takes them or not.
    On,
    /// They stay as they are: this port is emulated. It holds back what has not been taken, so nothing is lost of what
    /// was typed before, or is being typed.
    AsTheyAre,
}

/// The serial port.
#[derive(Debug)]
pub struct Uart {
    /// Bytes that it takes at once.
    takes: usize,
    /// Columns of the terminal; `None`: nobody is there.
    terminal: Option<u32>,
    received: VecDeque<u8>,
    sending: VecDeque<u8>,
    /// Something came, or all was sent, that the line was not raised for.
    event: bool,
    /// Somebody wants the machine to end.
    end: bool,
}

impl Uart {
    /// The port, if the machine has it.
    pub fn find(bus: &mut impl Bus, terminal: Option<u32>) -> Option<Uart> {
        for value in [0x5a, 0xa5] {
            bus.output(PORT + SCRATCH, Width::One, value);
            if bus.input(PORT + SCRATCH, Width::One) != value {
                return None;
            }
        }
        Some(Uart {
            takes: 1,
            terminal,
            received: VecDeque::with_capacity(MOST_RECEIVED),
            sending: VecDeque::with_capacity(MOST_SENDING),
            event: false,
            end: false,
        })
    }

    /// Sets it to 115,200 baud, eight bits, and lets it interrupt.
    pub fn start(&mut self, bus: &mut impl Bus, buffers: Buffers) {
        for (offset, value) in [(ENABLE, 0), (3, 0x80), (DATA, 1), (ENABLE, 0), (3, 3), (4, 0x0b)] {
            bus.output(PORT + offset, Width::One, value);
        }
        if buffers == Buffers::On {
            self.serve(bus);
            bus.output(PORT + BUFFERS, Width::One, 0xc1);
            self.takes = PORT_BUFFER;
        }
        self.serve(bus);
    }

    /// Reads a register.
    pub fn read(&mut self, bus: &mut impl Bus, register: u64) -> Result<u64, Error> {
        match register {
            CONSOLE_IS_TERMINAL => Ok(self.terminal.is_some().into()),
            CONSOLE_COLUMNS => Ok(self.terminal.unwrap_or(0).into()),
            UART_RECEIVE => {
                self.serve(bus);
                let value = self.take();
                // The rest is for whoever reads next, and must be told of it.
                self.event |= !self.received.is_empty();
                self.serve(bus);
                Ok(value)
            }
            UART_STATUS => {
                self.serve(bus);
                let idle = if self.sending.is_empty() { UART_IDLE } else { 0 };
                Ok(idle | if self.terminal.is_some() { UART_TERMINAL } else { 0 })
            }
            _ => Err(Error::InvalidArgument),
        }
    }

    fn take(&mut self) -> u64 {
        let most = self.received.len().min(UART_MOST_RECEIVED);
        let line = self.received.iter().take(most).position(|byte| matches!(*byte, b'\r' | b'\n' | CTRL_D));
        let count = line.map_or(most, |end| end + 1);
        let bytes = self.received.drain(..count).enumerate();
        bytes.fold(count as u64, |value, (index, byte)| value | u64::from(byte) << (8 * (index + 1)))
    }

    /// Takes the first of these bytes, to be sent; how many.
    pub fn send(&mut self, bus: &mut impl Bus, bytes: &[u8]) -> Result<usize, Error> {
        self.serve(bus);
        let count = bytes.len().min(UART_MOST_SENT).min(MOST_SENDING - self.sending.len());
        if count == 0 && !bytes.is_empty() {
            return Err(Error::WouldBlock);
        }
        self.sending.extend(&bytes[..count]);
        self.serve(bus);
        Ok(count)
    }

    /// Its interrupt came.
    pub fn interrupt(&mut self, bus: &mut impl Bus) {
        let waited = !self.sending.is_empty();
        for _ in 0..ROUNDS {
            if bus.input(PORT + IDENTIFICATION, Width::One) & NONE != 0 {
                break;
            }
            // Nobody asks for these, but an interrupt that stays is the last one.
            bus.input(PORT + MODEM_STATUS, Width::One);
            self.serve(bus);
        }
        self.event |= waited && self.sending.is_empty();
    }

    /// Takes what came and sends what there is room for.
    fn serve(&mut self, bus: &mut impl Bus) {
        for _ in 0..ROUNDS {
            let status = bus.input(PORT + LINE_STATUS, Width::One);
            // Where there is no port any more, all bits are set.
            let receives = status & DATA_READY != 0 && status != 0xff && self.received.len() < MOST_RECEIVED;
            let sends = status & EMPTY != 0 && !self.sending.is_empty();
            if receives {
                let byte = bus.input(PORT + DATA, Width::One) as u8;
                self.came(byte);
            }
            if sends {
                for _ in 0..self.takes {
                    let Some(byte) = self.sending.pop_front() else { break };
                    bus.output(PORT + DATA, Width::One, byte.into());
                }
            }
            if !receives && !sends {
                break;
            }
        }
        let received = if self.received.len() < MOST_RECEIVED { RECEIVED } else { 0 };
        let room = if self.sending.is_empty() { 0 } else { ROOM };
        bus.output(PORT + ENABLE, Width::One, received | room);
    }

    /// A person at the terminal is heard though nobody reads: Ctrl-\, or a Ctrl-C while one before it was not
    /// read yet.
    fn came(&mut self, byte: u8) {
        let unread = byte == CTRL_C && self.received.contains(&CTRL_C);
        self.end |= self.terminal.is_some() && (unread || byte == CTRL_BACKSLASH);
        self.received.push_back(byte);
        self.event = true;
    }

    /// Whether its line is to be raised; once for what happened.
    pub fn take_event(&mut self) -> bool {
        core::mem::take(&mut self.event)
    }

    /// The status with which somebody wants the machine to end; once.
    pub fn take_end(&mut self) -> Option<u64> {
        core::mem::take(&mut self.end).then_some(STATUS_INTERRUPTED)
    }
}
