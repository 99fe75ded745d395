//! From the bytes of a terminal to keys: UTF-8, control characters, and the escape
//! sequences that xterm and its relatives send (ECMA-48 CSI, and SS3 for Home, End and arrows).
//!
//! Any bytes are taken; what is no key gives [`Key::Unknown`], so that the editor can
//! ring the bell. Bytes may come in pieces of any size.

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A character to insert.
    Char(char),
    /// Control and a letter, lower case.
    Control(char),
    /// Alt (or Escape, then) a character.
    Alt(char),
    /// Return.
    Enter,
    /// Tab.
    Tab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Cursor keys.
    Up,
    /// Cursor keys.
    Down,
    /// Cursor keys.
    Left,
    /// Cursor keys.
    Right,
    /// Left with control or alt.
    WordLeft,
    /// Right with control or alt.
    WordRight,
    /// Home.
    Home,
    /// End.
    End,
    /// A key that this does not know, or bytes that are no UTF-8.
    Unknown,
}

/// Parameters of a control sequence that are looked at; more are read and ignored.
const PARAMETERS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ground,
    /// In a character: what is known of it, bytes still to come, the least it may be.
    Utf8 {
        value: u32,
        left: u8,
        least: u32,
    },
    /// After Escape.
    Escape,
    /// After Escape O.
    Single,
    /// After Escape [.
    Sequence {
        parameters: [u16; PARAMETERS],
        index: usize,
    },
}

/// Keys from bytes, one byte at a time.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { state: State::Ground }
    }
}

impl Decoder {
    /// Takes one byte; gives a key when it completes one.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        let state = core::mem::replace(&mut self.state, State::Ground);
        match state {
            State::Ground => self.ground(byte),
            State::Utf8 { value, left, least } => {
                if byte & 0xC0 != 0x80 {
                    // The character was cut off: the byte begins something new.
                    return self.ground(byte).or(Some(Key::Unknown));
                }
                let value = value << 6 | u32::from(byte & 0x3F);
                if left > 1 {
                    self.state = State::Utf8 { value, left: left - 1, least };
                    return None;
                }
                let valid = char::from_u32(value).filter(|_| value >= least);
                // U+0080 to U+009F are control characters: a terminal would act on them.
                Some(valid.filter(|c| !c.is_control()).map_or(Key::Unknown, Key::Char))
            }
            State::Escape => match byte {
                b'[' => {
                    self.state = State::Sequence { parameters: [0; PARAMETERS], index: 0 };
                    None
                }
                b'O' => {
                    self.state = State::Single;
                    None
                }
                0x1B => {
                    self.state = State::Escape;
                    None
                }
                b'b' => Some(Key::WordLeft),
                b'f' => Some(Key::WordRight),
                0x20..=0x7E => Some(Key::Alt(char::from(byte))),
                _ => Some(Key::Unknown),
            },
            State::Single => Some(cursor_key(byte, 0)),
            State::Sequence { mut parameters, index } => match byte {
                b'0'..=b'9' => {
                    if let Some(parameter) = parameters.get_mut(index) {
                        *parameter = parameter.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                    }
                    self.state = State::Sequence { parameters, index };
                    None
                }
                b';' | b':' => {
                    self.state = State::Sequence { parameters, index: index.saturating_add(1) };
                    None
                }
                0x20..=0x3F => {
                    self.state = State::Sequence { parameters, index };
                    None
                }
                b'~' => Some(match parameters[0] {
                    1 | 7 => Key::Home,
                    3 => Key::Delete,
                    4 | 8 => Key::End,
                    _ => Key::Unknown,
                }),
                0x40..=0x7D => Some(cursor_key(byte, parameters[1])),
                0x1B => {
                    self.state = State::Escape;
                    Some(Key::Unknown)
                }
                _ => Some(Key::Unknown),
            },
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let (value, left, least) = match byte {
            b'\r' | b'\n' => return Some(Key::Enter),
            b'\t' => return Some(Key::Tab),
            0x08 | 0x7F => return Some(Key::Backspace),
            0x1B => {
                self.state = State::Escape;
                return None;
            }
            0x01..=0x1A => return Some(Key::Control(char::from(byte - 1 + b'a'))),
            0x20..=0x7E => return Some(Key::Char(char::from(byte))),
            0xC2..=0xDF => (byte & 0x1F, 1, 0x80),
            0xE0..=0xEF => (byte & 0x0F, 2, 0x800),
            0xF0..=0xF4 => (byte & 0x07, 3, 0x1_0000),
            _ => return Some(Key::Unknown),
        };
        self.state = State::Utf8 { value: u32::from(value), left, least };
        None
    }
}

/// The key of a sequence's last byte; `modifier` as xterm counts it: 3 alt, 5 control.
fn cursor_key(last: u8, modifier: u16) -> Key {
    match (last, modifier) {
        (b'C', 3 | 5) => Key::WordRight,
        (b'D', 3 | 5) => Key::WordLeft,
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) => Key::Home,
        (b'F', _) => Key::End,
        _ => Key::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|&byte| decoder.push(byte)).collect()
    }

    #[test]
    fn characters_of_any_length_arrive_whole() {
        assert_eq!(keys("aß€𝄞".as_bytes()), [Key::Char('a'), Key::Char('ß'), Key::Char('€'), Key::Char('𝄞')]);
    }

    #[test]
    fn the_keys_of_a_terminal_are_known() {
        assert_eq!(keys(b"\x1b[A\x1b[B\x1b[C\x1b[D"), [Key::Up, Key::Down, Key::Right, Key::Left]);
        assert_eq!(keys(b"\x1bOA\x1bOH\x1bOF"), [Key::Up, Key::Home, Key::End]);
        assert_eq!(keys(b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~\x1b[3~").len(), 7);
        assert_eq!(keys(b"\x1b[3~"), [Key::Delete]);
        assert_eq!(
            keys(b"\x1b[1;5C\x1b[1;3D\x1bb\x1bf"),
            [Key::WordRight, Key::WordLeft, Key::WordLeft, Key::WordRight]
        );
        assert_eq!(keys(b"\x01\x17\r\n\t\x7f\x08").len(), 7);
        assert_eq!(keys(b"\x01\x17"), [Key::Control('a'), Key::Control('w')]);
    }

    #[test]
    fn what_is_no_key_is_unknown_and_what_follows_is_not_lost() {
        assert_eq!(keys(b"\x1b[15~a"), [Key::Unknown, Key::Char('a')]);
        assert_eq!(keys(b"\xffa"), [Key::Unknown, Key::Char('a')]);
        // Too long a form of '/', a surrogate, beyond the last character, a C1 control.
        assert_eq!(keys(b"\xe0\x80\xaf"), [Key::Unknown]);
        assert_eq!(keys(b"\xed\xa0\x80"), [Key::Unknown]);
        assert_eq!(keys(b"\xf4\x90\x80\x80"), [Key::Unknown]);
        assert_eq!(keys(b"\xc2\x9b"), [Key::Unknown]);
        // A character that is cut off by another key.
        assert_eq!(keys(b"\xe2\x82\r"), [Key::Enter]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Up]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_give_no_control_character(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for key in keys(&bytes) {
                if let Key::Char(c) = key {
                    prop_assert!(!c.is_control());
                }
            }
        }

        #[test]
        fn text_comes_through(text in "\\PC{0,40}") {
            let expected: Vec<Key> = text.chars().map(Key::Char).collect();
            prop_assert_eq!(keys(text.as_bytes()), expected);
        }
    }
}
