//! A line being edited: keys in, bytes for the terminal out. Pure: no input or output,
//! and nothing is asked of the terminal but to move its cursor up, down, left and to
//! clear to the end of the screen (so it works on a serial line that never answers).
//!
//! After every key the whole line is drawn again, from its first row; a plain character
//! at the end is just sent. The tests hold the drawing against a terminal emulator.

use crate::history::History;
use crate::keys::Key;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use unicode_width::UnicodeWidthChar;

/// The longest line, in characters; more keys ring the bell.
pub const CAPACITY: usize = 4096;

/// What a key led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Show these bytes and go on.
    Draw(String),
    /// The line is complete. Show the bytes, then carry it out.
    Line {
        /// What was entered.
        line: String,
        /// Bytes to show before.
        draw: String,
    },
    /// Ctrl-C: the line is given up.
    Cancelled(String),
    /// Ctrl-D on an empty line.
    EndOfInput(String),
    /// Tab: the text before the cursor is to be completed; see [`Editor::complete`].
    Complete(String),
}

/// A line being edited.
#[derive(Debug)]
pub struct Editor {
    prompt: String,
    line: Vec<char>,
    /// Characters before the cursor.
    cursor: usize,
    /// Columns of the terminal; `usize::MAX` if they are not known.
    columns: usize,
    /// Row of the cursor, counted from the row of the prompt, as last drawn.
    row: usize,
    /// How many lines back in the history; 0 is the line being written.
    back: usize,
    /// The line being written, while the history is shown.
    written: Vec<char>,
    /// What was cut last, for ctrl-Y.
    cut: Vec<char>,
}

impl Editor {
    /// An editor for a terminal of `columns` columns (0: not known).
    pub fn new(columns: usize) -> Editor {
        Editor {
            prompt: String::new(),
            line: Vec::new(),
            cursor: 0,
            columns: if columns < 2 { usize::MAX } else { columns },
            row: 0,
            back: 0,
            written: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// Begins an empty line after `prompt`, which has no control characters; returns what to show.
    pub fn begin(&mut self, prompt: &str, columns: usize) -> String {
        self.columns = if columns < 2 { usize::MAX } else { columns };
        self.prompt = String::from(prompt);
        self.line.clear();
        self.written.clear();
        (self.cursor, self.row, self.back) = (0, 0, 0);
        self.draw()
    }

    /// The line as it is.
    pub fn line(&self) -> String {
        self.line.iter().collect()
    }

    /// Takes one key.
    pub fn key(&mut self, key: Key, history: &History) -> Outcome {
        let length = self.line.len();
        match key {
            Key::Char(c) => return self.insert(&[c]),
            Key::Enter => {
                self.cursor = length;
                let mut draw = self.draw();
                draw.push_str("\r\n");
                return Outcome::Line { line: self.line(), draw };
            }
            Key::Control('c') => {
                self.cursor = length;
                let mut draw = self.draw();
                draw.push_str("^C\r\n");
                return Outcome::Cancelled(draw);
            }
            Key::Control('d') if length == 0 => return Outcome::EndOfInput(String::from("\r\n")),
            Key::Tab => return Outcome::Complete(self.line[..self.cursor].iter().collect()),
            Key::Control('l') => {
                self.row = 0;
                return Outcome::Draw(alloc::format!("\x1b[H\x1b[2J{}", self.draw()));
            }
            Key::Left | Key::Control('b') if self.cursor > 0 => self.cursor -= 1,
            Key::Right | Key::Control('f') if self.cursor < length => self.cursor += 1,
            Key::Home | Key::Control('a') => self.cursor = 0,
            Key::End | Key::Control('e') => self.cursor = length,
            Key::WordLeft => self.cursor = self.word_start(),
            Key::WordRight => self.cursor = self.word_end(),
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.line.remove(self.cursor);
            }
            Key::Delete | Key::Control('d') if self.cursor < length => {
                self.line.remove(self.cursor);
            }
            Key::Control('k') => self.cut = self.line.split_off(self.cursor),
            Key::Control('u') => self.cut_back_to(0),
            Key::Control('w') => {
                // As terminals have it: back over blanks, then to the blank before.
                let blank = |&c: &char| c == ' ';
                let end = self.line[..self.cursor].iter().rposition(|c| !blank(c)).map_or(0, |i| i + 1);
                self.cut_back_to(self.line[..end].iter().rposition(blank).map_or(0, |i| i + 1));
            }
            Key::Alt('d') => {
                let end = self.word_end();
                self.cut = self.line.drain(self.cursor..end).collect();
            }
            Key::Control('y') if !self.cut.is_empty() => {
                let cut = self.cut.clone();
                return self.insert(&cut);
            }
            Key::Control('t') if self.cursor > 0 && length > 1 => {
                let at = self.cursor.min(length - 1);
                self.line.swap(at - 1, at);
                self.cursor = at + 1;
            }
            Key::Up | Key::Control('p') => match history.back(self.back + 1) {
                Some(line) => {
                    let line = line.chars().take(CAPACITY).collect();
                    let shown = core::mem::replace(&mut self.line, line);
                    if self.back == 0 {
                        self.written = shown;
                    }
                    self.back += 1;
                    self.cursor = self.line.len();
                }
                None => return bell(),
            },
            Key::Down | Key::Control('n') if self.back > 0 => {
                self.back -= 1;
                self.line = match history.back(self.back) {
                    Some(line) => line.chars().take(CAPACITY).collect(),
                    None => core::mem::take(&mut self.written),
                };
                self.cursor = self.line.len();
            }
            _ => return bell(),
        }
        Outcome::Draw(self.draw())
    }

    /// Inserts `text` at the cursor: the answer to [`Outcome::Complete`].
    /// An empty text rings the bell.
    pub fn complete(&mut self, text: &str) -> String {
        let text: Vec<char> = text.chars().filter(|c| !c.is_control()).collect();
        match self.insert(&text) {
            Outcome::Draw(draw) if !text.is_empty() => draw,
            _ => String::from("\x07"),
        }
    }

    /// What to show to have the prompt and line again below `text`, a few whole lines.
    pub fn interject(&mut self, text: &str) -> String {
        let cursor = core::mem::replace(&mut self.cursor, self.line.len());
        let mut draw = self.draw();
        let _ = write!(draw, "\r\n{text}");
        (self.cursor, self.row) = (cursor, 0);
        draw.push_str(&self.draw());
        draw
    }

    fn insert(&mut self, text: &[char]) -> Outcome {
        if self.line.len() + text.len() > CAPACITY {
            return bell();
        }
        let at_end = self.cursor == self.line.len();
        let before = self.place(self.line.len());
        self.line.splice(self.cursor..self.cursor, text.iter().copied());
        self.cursor += text.len();
        // The quick way is for what stays in its row, short of the last column: there, terminals differ.
        let after = self.place(self.line.len());
        if at_end && before.0 == after.0 && after.1 < self.columns && after.1 > before.1 {
            return Outcome::Draw(text.iter().collect());
        }
        Outcome::Draw(self.draw())
    }

    fn cut_back_to(&mut self, start: usize) {
        self.cut = self.line.drain(start..self.cursor).collect();
        self.cursor = start;
    }

    /// Where the word before the cursor begins: a word is letters and digits.
    fn word_start(&self) -> usize {
        let before = &self.line[..self.cursor];
        let end = before.iter().rposition(|c| c.is_alphanumeric()).map_or(0, |i| i + 1);
        before[..end].iter().rposition(|c| !c.is_alphanumeric()).map_or(0, |i| i + 1)
    }

    /// Where the word after the cursor ends.
    fn word_end(&self) -> usize {
        let after = &self.line[self.cursor..];
        let start = after.iter().position(|c| c.is_alphanumeric()).unwrap_or(after.len());
        let length = after[start..].iter().position(|c| !c.is_alphanumeric()).unwrap_or(after.len() - start);
        self.cursor + start + length
    }

    /// Row and column behind the prompt and the first `count` characters. A column
    /// equal to the terminal's columns means: behind the last one, the row being full.
    fn place(&self, count: usize) -> (usize, usize) {
        let (mut row, mut column) = (0, 0);
        for c in self.prompt.chars().chain(self.line.iter().take(count).copied()) {
            let width = c.width().unwrap_or(0).min(self.columns);
            if column + width > self.columns {
                row += 1;
                column = 0;
            }
            column += width;
        }
        (row, column)
    }

    /// Draws prompt and line again, from the row of the prompt on.
    fn draw(&mut self) -> String {
        let mut text = String::new();
        if self.row > 0 {
            let _ = write!(text, "\x1b[{}A", self.row);
        }
        text.push_str("\r\x1b[J");
        text.push_str(&self.prompt);
        text.extend(self.line.iter());
        let wrapped = |(row, column)| if column == self.columns { (row + 1, 0) } else { (row, column) };
        let full = self.place(self.line.len());
        let end = wrapped(full);
        if end != full {
            // The cursor hangs behind the last column: a character and a return free it.
            text.push_str(" \r");
            text.push_str("\x1b[K");
        }
        // Where the next character goes, if one does not fit behind the cursor, is the next row.
        let mut cursor = wrapped(self.place(self.cursor));
        if let Some(next) = self.line.get(self.cursor) {
            let width = next.width().unwrap_or(0).min(self.columns);
            if cursor.1 + width > self.columns {
                cursor = (cursor.0 + 1, 0);
            }
        }
        if end.0 > cursor.0 {
            let _ = write!(text, "\x1b[{}A", end.0 - cursor.0);
        }
        if end != cursor {
            text.push('\r');
            if cursor.1 > 0 {
                let _ = write!(text, "\x1b[{}C", cursor.1);
            }
        }
        self.row = cursor.0;
        text
    }
}

fn bell() -> Outcome {
    Outcome::Draw(String::from("\x07"))
}

#[cfg(test)]
mod tests;
