//! `log_read` for the host: records in words out of the log folder.

use crate::error::Error;
use crate::folder::DiskFolder;
use crate::segments::{Go, walk};
use axiom::block::{Block, Head};
use axiom::reader::{Blocks, Reader};
use std::path::PathBuf;

/// Reads the log of a running machine. Only what the writer has written is seen: flush first.
#[derive(Debug)]
pub struct LogReader {
    folder: DiskFolder,
    boot: Head,
    reader: Reader,
}

impl LogReader {
    /// A reader of the log in `folder`, whose current boot began where the log ended at `boot`.
    pub fn new(folder: impl Into<PathBuf>, boot: Head, platform: kernel::Platform) -> LogReader {
        LogReader { folder: DiskFolder::new(folder), boot, reader: Reader::new(platform) }
    }

    /// As [`Reader::read`] says. `next_record` is the machine's [`axiom::Axiom::next_record`].
    pub fn read(&mut self, next_record: u64, from: u64, length: u32) -> Result<Vec<u8>, Error> {
        let source = Source { folder: &self.folder, boot: &self.boot, next_record, failure: None.into() };
        let bytes = self
            .reader
            .read(&source, from, length as usize)
            .map_err(|wrong| Error::new(format!("segments: {wrong}"), "`orbital log verify` says where."))?;
        match source.failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(bytes),
        }
    }
}

struct Source<'a> {
    folder: &'a DiskFolder,
    boot: &'a Head,
    next_record: u64,
    failure: std::cell::Cell<Option<Error>>,
}

impl Blocks for Source<'_> {
    fn from(&self, first: u64, each: &mut dyn FnMut(&Block<'_>) -> bool) {
        let walked = walk(self.folder, first, |block| Ok(if each(block) { Go::On } else { Go::Stop }));
        self.failure.set(walked.err());
    }
    fn boot_start(&self) -> (u64, u64) {
        (self.boot.blocks, self.boot.records)
    }
    fn next_record(&self) -> u64 {
        self.next_record
    }
}
