//! What `log_read` gives a process that holds the log: records in words, as many whole ones as
//! fit.

use crate::block::{Block, Entry, Wrong};
use crate::words::{Line, Narrator};
use abi::log::Record;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::Cell;

/// Where blocks come from, in order.
pub trait Blocks {
    /// Calls `each` with every block from number `first` on, until it says false or there is none.
    fn from(&self, first: u64, each: &mut dyn FnMut(&Block<'_>) -> bool);
    /// Numbers of the block and of the record that the current boot begins with.
    fn boot_start(&self) -> (u64, u64);
    /// The number that the next record will have.
    fn next_record(&self) -> u64;
}

/// Reads a log for those who hold it. Keeps its place, so that reading on costs only what is new.
#[derive(Debug)]
pub struct Reader {
    platform: kernel::Platform,
    narrator: Narrator,
    /// The block in which the narrator is, and the first record that it has not told yet; `None` before the first.
    at: Option<(u64, u64)>,
    /// The record that was told and did not fit any more, and its number.
    left: Option<(u64, Vec<u8>)>,
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(platform: kernel::Platform) -> Reader {
        Reader { platform, narrator: Narrator::new(platform), at: None, left: None }
    }

    /// The records from number `from` on, oldest first, as postcard [`Record`]s one after the other: as many
    /// whole ones as fit into `length` bytes, at least as far as they are in blocks. A `from` beyond the newest
    /// record counts from the end: `u64::MAX` is the last one, `u64::MAX - n` the last but n.
    pub fn read(&mut self, blocks: &impl Blocks, from: u64, length: usize) -> Result<Vec<u8>, Wrong> {
        let next = blocks.next_record();
        let mut from = if from >= next && from > u64::MAX / 2 {
            next.saturating_sub((u64::MAX - from).saturating_add(1))
        } else {
            from
        };
        let mut bytes = Vec::new();
        if from >= next {
            return Ok(bytes);
        }
        if let Some((number, line)) = self.left.take_if(|(number, _)| *number == from) {
            if line.len() > length {
                self.left = Some((number, line));
                return Ok(bytes);
            }
            (bytes, from) = (line, number + 1);
        }
        let (boot_block, boot_record) = blocks.boot_start();
        let start = match self.at {
            // From an older boot on to one of the running boot's, all between would be replayed: that boot begins anew.
            Some((block, record)) if record <= from && (from < boot_record || block >= boot_block) => block,
            _ => {
                (self.narrator, self.at) = (Narrator::new(self.platform), None);
                if from >= boot_record { boot_block } else { 0 }
            }
        };
        self.left = None;
        let mut result = Ok(());
        let (narrator, at, left) = (&mut self.narrator, &mut self.at, &mut self.left);
        blocks.from(start, &mut |block| {
            let first = at.map_or(0, |(_, record)| record);
            let (full, untold) = (Cell::new(false), Cell::new(first));
            let goes_on = |entry: &Entry| {
                if !full.get() {
                    untold.set(entry.number + 1);
                }
                !full.get()
            };
            result = narrator.block_between(
                block,
                first,
                goes_on,
                |entry, _, _| entry.number >= from,
                |line| {
                    let more = encode(&line);
                    if bytes.len() + more.len() > length {
                        full.set(true);
                        *left = Some((line.entry.number, more));
                    } else {
                        bytes.extend_from_slice(&more);
                    }
                },
            );
            let end = block.header.first_record + u64::from(block.header.records);
            *at = Some(if full.get() { (block.header.number, untold.get()) } else { (block.header.number + 1, end) });
            result.is_ok() && !full.get()
        });
        if result.is_err() {
            (self.at, self.left) = (None, None);
        }
        result.map(|()| bytes)
    }
}

/// A record as postcard [`Record`].
pub fn encode(line: &Line) -> Vec<u8> {
    let text = line.to_string();
    let record = Record {
        number: line.entry.number,
        time: line.entry.time,
        process: line.process,
        name: line.name.as_str(),
        thread: line.entry.record.thread,
        text: &text,
    };
    // Into a Vec nothing fails.
    postcard::to_allocvec(&record).unwrap_or_default()
}
