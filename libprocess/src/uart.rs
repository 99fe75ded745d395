//! A serial line as a console: what the host's console does elsewhere is done here, in the process that
//! holds the line. [`Discipline`] makes lines or keys of what is typed; [`Serial`] takes the operations
//! of [`HostDevice`](crate::HostDevice) and carries them out with the line's registers.
//!
//! Several processes may hold one line, and only one reads at a time, as a rule: so nothing is taken from the
//! line but while somebody waits for it, and nothing behind the end of a line that was asked for.

use abi::Error;
use abi::device::{Completion, CompletionStatus, Operation, UART_MOST_SENT};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The longest line that a person can type, in bytes: more keys ring the bell. Of a longer line that comes by itself so much
/// is given at a time.
const LONGEST_LINE: usize = 4096;
/// Operations that ended and were not fetched; with as many, none begins.
const MOST_DONE: usize = 64;
/// Bytes that wait to be sent; with more, no further write begins.
const MOST_WAITING: usize = 64 << 10;

const END_OF_INPUT: u8 = 0x04;
const INTERRUPT: u8 = 0x03;
const KILL: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const BELL: u8 = 0x07;

/// The registers of a serial line.
pub(crate) trait Port {
    /// What [`UART_RECEIVE`](abi::device::UART_RECEIVE) brings.
    fn receive(&self) -> Result<u64, Error>;
    /// Sends the first of these bytes, and says how many; `WouldBlock` if there is no room for any.
    fn transmit(&self, bytes: &[u8]) -> Result<usize, Error>;
    /// Whether all that was sent has left.
    fn is_idle(&self) -> Result<bool, Error>;
    /// Whether a person may be at the other end.
    fn is_terminal(&self) -> bool;
}

/// Where a sequence of keys that begins with escape is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sequence {
    None,
    Begun,
    Parameters,
}

/// Makes lines or keys of what is typed. At a terminal, lines are echoed and can be edited until they end:
/// backspace, Ctrl-U (all of it), Ctrl-C (all of it, on a new line). Ctrl-D ends the line where it is; on an empty
/// one it is the end of the input. Without a terminal, lines are as they come, however long they are.
#[derive(Debug)]
pub(crate) struct Discipline {
    terminal: bool,
    raw: bool,
    /// What was typed of the line that has not ended.
    line: Vec<u8>,
    sequence: Sequence,
    /// What can be read; of lines, each by itself. An empty one is the end of the input.
    ready: VecDeque<Vec<u8>>,
}

impl Discipline {
    pub(crate) const fn new(terminal: bool) -> Discipline {
        Discipline { terminal, raw: false, line: Vec::new(), sequence: Sequence::None, ready: VecDeque::new() }
    }

    /// Whether keys are given as they come.
    pub(crate) const fn is_raw(&self) -> bool {
        self.raw
    }

    /// Keys from now on, or lines. What was typed of a line is given as keys.
    pub(crate) fn set_raw(&mut self, raw: bool) {
        self.raw = raw;
        if raw && !self.line.is_empty() {
            self.ready.push_back(core::mem::take(&mut self.line));
        }
    }

    /// A byte was typed; what is to be shown of it goes into `echo`.
    pub(crate) fn typed(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.raw {
            match self.ready.back_mut().filter(|keys| !keys.is_empty()) {
                Some(keys) => keys.push(byte),
                None => self.ready.push_back(alloc::vec![byte]),
            }
            return;
        }
        if byte == END_OF_INPUT {
            let line = core::mem::take(&mut self.line);
            self.ready.push_back(line);
        } else if !self.terminal {
            self.line.push(byte);
            if byte == b'\n' || self.line.len() >= LONGEST_LINE {
                self.end_line();
            }
        } else {
            self.edit(byte, echo);
        }
    }

    fn end_line(&mut self) {
        let line = core::mem::take(&mut self.line);
        self.ready.push_back(line);
    }

    fn edit(&mut self, byte: u8, echo: &mut Vec<u8>) {
        // Arrows and the like move nothing here: they are not taken for text.
        match (self.sequence, byte) {
            (Sequence::Begun, b'[' | b'O') => return self.sequence = Sequence::Parameters,
            (Sequence::Begun, _) => self.sequence = Sequence::None,
            (Sequence::Parameters, b'0'..=b'9' | b';') => return,
            (Sequence::Parameters, _) => return self.sequence = Sequence::None,
            (Sequence::None, ESCAPE) => return self.sequence = Sequence::Begun,
            (Sequence::None, _) => {}
        }
        match byte {
            b'\r' | b'\n' => {
                echo.extend_from_slice(b"\r\n");
                self.line.push(b'\n');
                self.end_line();
            }
            byte if BACKSPACE.contains(&byte) => self.erase(echo),
            KILL => {
                while !self.line.is_empty() {
                    self.erase(echo);
                }
            }
            INTERRUPT => {
                echo.extend_from_slice(b"^C\r\n");
                self.line.clear();
            }
            b'\t' | b' '..=0x7e | 0x80.. if self.line.len() < LONGEST_LINE => {
                echo.push(byte);
                self.line.push(byte);
            }
            b'\t' | b' '..=0x7e | 0x80.. => echo.push(BELL),
            _ => {}
        }
    }

    /// Takes back the last character, which is one column of the terminal.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        // Of UTF-8 the bytes that go on, then the one that begins.
        while self.line.last().is_some_and(|byte| byte & 0xc0 == 0x80) {
            self.line.pop();
        }
        if self.line.pop().is_some() {
            echo.extend_from_slice(b"\x08 \x08");
        }
    }

    /// Whether there is something to read.
    fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// At most `most` bytes of what can be read: none at the end of the input.
    fn take(&mut self, most: usize) -> Vec<u8> {
        let Some(mut bytes) = self.ready.pop_front() else { return Vec::new() };
        if bytes.len() > most {
            let rest = bytes.split_off(most);
            self.ready.push_front(rest);
        }
        bytes
    }
}

/// A serial line, as [`HostDevice`](crate::HostDevice) works a device.
#[derive(Debug)]
pub(crate) struct Serial<P> {
    port: P,
    discipline: Discipline,
    /// The last byte that a process wrote.
    last: u8,
    out: VecDeque<u8>,
    requests: u64,
    /// Those that wait to read, and how much.
    reads: VecDeque<(u64, usize)>,
    /// Those that wait until all is sent.
    flushes: VecDeque<u64>,
    done: VecDeque<(Completion, Vec<u8>)>,
}

impl<P: Port> Serial<P> {
    pub(crate) fn new(port: P) -> Serial<P> {
        let discipline = Discipline::new(port.is_terminal());
        Serial {
            port,
            discipline,
            last: 0,
            out: VecDeque::new(),
            requests: 0,
            reads: VecDeque::new(),
            flushes: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    /// Whether keys are given as they come.
    pub(crate) fn is_raw(&self) -> bool {
        self.discipline.is_raw()
    }

    /// Keys from now on, or lines. `Unsupported` if nobody is there.
    pub(crate) fn set_raw(&mut self, raw: bool) -> Result<(), Error> {
        if !self.discipline.terminal {
            return Err(Error::Unsupported);
        }
        self.discipline.set_raw(raw);
        Ok(())
    }

    /// Begins an operation; its number. `WouldBlock` when too much waits to be sent, or to be fetched.
    pub(crate) fn submit(&mut self, operation: Operation, most: u64, bytes: &[u8]) -> Result<u64, Error> {
        if self.done.len() >= MOST_DONE {
            return Err(Error::WouldBlock);
        }
        match operation {
            Operation::Write => {
                self.pump()?;
                if self.out.len() >= MOST_WAITING {
                    return Err(Error::WouldBlock);
                }
                self.requests += 1;
                self.written(bytes);
                self.complete_one(self.requests, bytes.len(), Vec::new());
            }
            Operation::Flush => {
                self.requests += 1;
                self.flushes.push_back(self.requests);
            }
            Operation::Read => {
                let most = usize::try_from(most).ok().filter(|most| *most > 0).ok_or(Error::InvalidArgument)?;
                self.requests += 1;
                self.reads.push_back((self.requests, most));
            }
        }
        self.pump()?;
        Ok(self.requests)
    }

    /// An operation that ended; `WouldBlock` if there is none.
    pub(crate) fn complete(&mut self) -> Result<(Completion, Vec<u8>), Error> {
        if self.done.is_empty() {
            self.pump()?;
        }
        self.done.pop_front().ok_or(Error::WouldBlock)
    }

    /// Nobody waits for this operation any more. Of one that would read, nothing is taken from the line.
    pub(crate) fn forget(&mut self, request: u64) {
        self.reads.retain(|(read, _)| *read != request);
        self.flushes.retain(|flush| *flush != request);
    }

    fn complete_one(&mut self, request: u64, length: usize, bytes: Vec<u8>) {
        let completion = Completion { request, status: CompletionStatus::Done, length: length as u32 };
        self.done.push_back((completion, bytes));
    }

    /// A terminal goes to the next line at a line's end, and back to its beginning: while it gives keys too, since a
    /// shell that reads keys shows what programs print.
    fn written(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.discipline.terminal && byte == b'\n' && self.last != b'\r' {
                self.out.push_back(b'\r');
            }
            self.out.push_back(byte);
            self.last = byte;
        }
    }

    /// Does what can be done now.
    fn pump(&mut self) -> Result<(), Error> {
        while let Some(&(request, most)) = self.reads.front() {
            if !self.discipline.is_ready() && !self.receive()? {
                break;
            }
            if self.discipline.is_ready() {
                self.reads.pop_front();
                let bytes = self.discipline.take(most);
                self.complete_one(request, bytes.len(), bytes);
            }
        }
        self.send()?;
        if !self.flushes.is_empty() && self.out.is_empty() && self.port.is_idle()? {
            while let Some(request) = self.flushes.pop_front() {
                self.complete_one(request, 0, Vec::new());
            }
        }
        Ok(())
    }

    /// Takes some of what came; false if nothing did.
    fn receive(&mut self) -> Result<bool, Error> {
        let bytes = self.port.receive()?.to_le_bytes();
        let count = usize::from(bytes[0]).min(bytes.len() - 1);
        let mut echo = Vec::new();
        for &byte in &bytes[1..=count] {
            self.discipline.typed(byte, &mut echo);
        }
        self.out.extend(echo);
        Ok(count > 0)
    }

    fn send(&mut self) -> Result<(), Error> {
        while !self.out.is_empty() {
            let bytes = self.out.make_contiguous();
            match self.port.transmit(&bytes[..bytes.len().min(UART_MOST_SENT)]) {
                Ok(count) => drop(self.out.drain(..count.min(self.out.len()))),
                Err(Error::WouldBlock) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};
    use proptest::prelude::*;
    use std::rc::Rc;

    /// What is at the other end of the line.
    #[derive(Clone, Default)]
    struct Wire {
        typed: Rc<RefCell<VecDeque<u8>>>,
        shown: Rc<RefCell<Vec<u8>>>,
        room: Rc<Cell<usize>>,
        terminal: bool,
    }

    impl Port for Wire {
        fn receive(&self) -> Result<u64, Error> {
            let mut typed = self.typed.borrow_mut();
            let most = typed.len().min(7);
            let count = typed.iter().take(most).position(|byte| b"\r\n\x04".contains(byte)).map_or(most, |end| end + 1);
            Ok(typed
                .drain(..count)
                .enumerate()
                .fold(count as u64, |value, (at, byte)| value | u64::from(byte) << (8 * (at + 1))))
        }
        fn transmit(&self, bytes: &[u8]) -> Result<usize, Error> {
            let count = bytes.len().min(self.room.get());
            if count == 0 {
                return Err(Error::WouldBlock);
            }
            self.room.set(self.room.get() - count);
            self.shown.borrow_mut().extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn is_idle(&self) -> Result<bool, Error> {
            Ok(self.room.get() > 0)
        }
        fn is_terminal(&self) -> bool {
            self.terminal
        }
    }

    fn line(terminal: bool) -> (Serial<Wire>, Wire) {
        let wire = Wire { terminal, ..Wire::default() };
        wire.room.set(usize::MAX);
        (Serial::new(wire.clone()), wire)
    }

    fn shown(wire: &Wire) -> String {
        String::from_utf8(wire.shown.take()).unwrap()
    }

    use std::string::String;

    /// What reads bring until there is nothing more.
    fn read_all(serial: &mut Serial<Wire>) -> Vec<Vec<u8>> {
        let mut read = Vec::new();
        loop {
            let request = serial.submit(Operation::Read, 100, &[]).unwrap();
            match serial.complete() {
                Ok((completion, bytes)) => {
                    assert_eq!((completion.request, completion.length as usize), (request, bytes.len()));
                    read.push(bytes);
                }
                Err(error) => {
                    assert_eq!(error, Error::WouldBlock);
                    serial.forget(request);
                    return read;
                }
            }
        }
    }

    fn typed_at_a_terminal(text: &[u8]) -> (Vec<Vec<u8>>, String) {
        let (mut serial, wire) = line(true);
        wire.typed.borrow_mut().extend(text);
        (read_all(&mut serial), shown(&wire))
    }

    #[test]
    fn lines_are_echoed_and_edited_until_they_end() {
        let erased = "\x08 \x08";
        // What is typed, the lines that come of it, what is shown.
        type Case = (&'static [u8], &'static [&'static [u8]], String);
        let cases: [Case; 9] = [
            (b"ls\r", &[b"ls\n"], "ls\r\n".into()),
            (b"a\nb\n", &[b"a\n", b"b\n"], "a\r\nb\r\n".into()),
            (b"lz\x7fs\r", &[b"ls\n"], std::format!("lz{erased}s\r\n")),
            (b"\x08\x7f\r", &[b"\n"], "\r\n".into()),
            ("a\u{fc}\u{20ac}\x7f\x7fb\r".as_bytes(), &[b"ab\n"], std::format!("a\u{fc}\u{20ac}{erased}{erased}b\r\n")),
            (b"abc\x15d\r", &[b"d\n"], std::format!("abc{erased}{erased}{erased}d\r\n")),
            (b"rm x\x03ls\r", &[b"ls\n"], "rm x^C\r\nls\r\n".into()),
            (b"a\x1b[A\x1b[1;5Cb\x1bOPc\x00\x07\r", &[b"abc\n"], "abc\r\n".into()),
            (b"half", &[], "half".into()),
        ];
        for (text, lines, echo) in cases {
            assert_eq!(typed_at_a_terminal(text), (lines.iter().map(|line| line.to_vec()).collect(), echo), "{text:?}");
        }
    }

    #[test]
    fn the_end_of_the_input_is_an_empty_read_and_ends_a_line_where_it_is() {
        let (read, echo) = typed_at_a_terminal(b"half\x04\x04ls\r");
        assert_eq!(read, [&b"half"[..], b"", b"ls\n"]);
        assert_eq!(echo, "halfls\r\n");
        let (mut serial, wire) = line(false);
        wire.typed.borrow_mut().extend(b"one\nlast\x04\x04");
        assert_eq!(read_all(&mut serial), [&b"one\n"[..], b"last", b""]);
    }

    #[test]
    fn without_a_terminal_bytes_are_as_they_come_and_nothing_is_echoed() {
        let (mut serial, wire) = line(false);
        wire.typed.borrow_mut().extend(b"a\x7f\x1b[A\x03b\r\nc\n");
        assert_eq!(read_all(&mut serial), [&b"a\x7f\x1b[A\x03b\r\n"[..], b"c\n"]);
        assert_eq!(shown(&wire), "");
        assert_eq!(serial.set_raw(true), Err(Error::Unsupported));
        serial.submit(Operation::Write, 0, b"x\ny\r\n").unwrap();
        assert_eq!(shown(&wire), "x\ny\r\n");
    }

    #[test]
    fn a_long_line_comes_whole_and_one_that_is_typed_rings_the_bell_at_its_end() {
        let long = [&[b'x'; 2 * LONGEST_LINE + 9][..], b"\n", b"next\n"].concat();
        let (mut serial, wire) = line(false);
        wire.typed.borrow_mut().extend(&long);
        assert_eq!(read_all(&mut serial).concat(), long);
        assert_eq!(shown(&wire), "");

        let typed = [&[b'x'; LONGEST_LINE + 3][..], b"\x7fy\r"].concat();
        let (lines, shown) = typed_at_a_terminal(&typed);
        let kept = "x".repeat(LONGEST_LINE);
        assert_eq!(lines.concat(), std::format!("{}y\n", &kept[1..]).as_bytes());
        assert_eq!(shown, std::format!("{kept}\x07\x07\x07\x08 \x08y\r\n"));
    }

    #[test]
    fn keys_are_given_as_they_come() {
        let (mut serial, wire) = line(true);
        wire.typed.borrow_mut().extend(b"pa");
        assert!(read_all(&mut serial).is_empty(), "no line yet");
        serial.set_raw(true).unwrap();
        wire.typed.borrow_mut().extend(b"\x1b[A\x03\x04\r");
        assert_eq!(read_all(&mut serial).concat(), b"pa\x1b[A\x03\x04\r");
        assert_eq!(shown(&wire), "pa");
        serial.submit(Operation::Write, 0, b"a\nb\r\n").unwrap();
        assert_eq!(shown(&wire), "a\r\nb\r\n");
        serial.set_raw(false).unwrap();
        serial.submit(Operation::Write, 0, b"a\n\nb\r").unwrap();
        serial.submit(Operation::Write, 0, b"\nc").unwrap();
        assert_eq!(shown(&wire), "a\r\n\r\nb\r\nc");
    }

    #[test]
    fn nothing_is_taken_from_the_line_but_for_who_waits() {
        let (mut serial, wire) = line(true);
        wire.typed.borrow_mut().extend(b"for me\rfor the next one\r");
        serial.submit(Operation::Write, 0, b"> ").unwrap();
        assert_eq!(wire.typed.borrow().len(), 24);
        serial.complete().unwrap();
        serial.submit(Operation::Read, 4, &[]).unwrap();
        assert_eq!(serial.complete().unwrap().1, b"for ", "never more than was asked for");
        serial.submit(Operation::Read, 100, &[]).unwrap();
        assert_eq!(serial.complete().unwrap().1, b"me\n");
        assert_eq!(serial.complete().unwrap_err(), Error::WouldBlock);
        assert_eq!(wire.typed.borrow().len(), 17);
        let read = serial.submit(Operation::Read, 0, &[]);
        assert_eq!(read, Err(Error::InvalidArgument));
    }

    #[test]
    fn what_is_written_is_sent_in_order_and_flush_waits_for_it() {
        let (mut serial, wire) = line(false);
        wire.room.set(0);
        let mut expected = Vec::new();
        let mut refused = false;
        for round in 0..40u8 {
            let text = [b'a' + round % 26; 4096];
            match serial.submit(Operation::Write, 0, &text) {
                Ok(_) => expected.extend(text),
                Err(error) => {
                    assert_eq!(error, Error::WouldBlock);
                    refused = true;
                    break;
                }
            }
        }
        assert!(refused, "what waits is bounded");
        while serial.complete().is_ok() {}
        let flush = serial.submit(Operation::Flush, 0, &[]).unwrap();
        assert_eq!(serial.complete().unwrap_err(), Error::WouldBlock);
        wire.room.set(100);
        assert_eq!(serial.complete().unwrap_err(), Error::WouldBlock);
        wire.room.set(usize::MAX);
        assert_eq!(serial.complete().unwrap().0.request, flush);
        assert_eq!(wire.shown.take(), expected);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_lines_are_bounded_and_nothing_is_shown_that_moves_the_cursor(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            terminal: bool,
        ) {
            let mut discipline = Discipline::new(terminal);
            let mut echo = Vec::new();
            for byte in bytes {
                discipline.typed(byte, &mut echo);
            }
            while discipline.is_ready() {
                let line = discipline.take(usize::MAX);
                prop_assert!(line.len() <= LONGEST_LINE + 1);
                prop_assert!(!terminal || line.iter().all(|byte| *byte >= b' ' || b"\t\n".contains(byte)));
            }
            prop_assert!(!echo.contains(&ESCAPE));
        }
    }
}
