//! The log in an image, written: blocks are sealed, appended to the stream and flushed together; checkpoints follow.

use crate::device::{BLOCK, BlockDevice};
use crate::error::Error;
use crate::frontier::Frontier;
use crate::layout::{STREAM, Slot, UNFLUSHED, UNPUBLISHED, blocks_of};
use crate::recover::{flush, frame_head, read, read_frame, recover, write};
use alloc::string::String;
use alloc::vec::Vec;
use axiom::block::{Block, Head};
use axiom::event::PreviousEnd;
use axiom::note::MachineKey;
use axiom::reader::{Blocks, Reader};
use axiom::seal::seal;
use axiom::tree::leaf_hash;
use axiom::{RawBlock, Wrong};
use core::cell::{Cell, RefCell};

/// Frames are written when so many bytes wait, at the latest.
const WRITE_AT: usize = 64 << 10;
/// The most bytes that are kept free for an orderly end, and the part of the stream that they are at most.
const RESERVE: u64 = 4 << 20;
const RESERVE_PART: u64 = 8;

/// How a log was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Where it ends.
    pub head: Head,
    /// How the last boot ended.
    pub previous: PreviousEnd,
    /// What a crash left behind and was cut off, in words; `None` if nothing was.
    pub cut: Option<String>,
}

/// A place in the stream: the number of a block of the log, and the device's block where its frame begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    number: u64,
    at: u64,
}

/// The log in an image, opened to be written.
#[derive(Debug)]
pub struct ImageLog<D> {
    device: D,
    key: MachineKey,
    /// Blocks of the device.
    blocks: u64,
    /// Where the log ends, what waits in the buffer included.
    head: Head,
    /// The tree over it, and without its last block.
    frontier: Frontier,
    before: Frontier,
    /// Where the last block's frame begins, or will; 0 if there is none.
    last: u64,
    /// Frames that are sealed and not written, each filled up to a whole block.
    buffer: Vec<u8>,
    /// Where they will lie.
    end: u64,
    /// Where the log ended when it was flushed last, and where in the stream that is.
    durable: Head,
    durable_end: u64,
    /// Blocks that the newest checkpoint covers, where in the stream that ends, and its sequence number.
    published: u64,
    published_end: u64,
    sequence: u64,
    /// Where the log ended when it was opened: where this boot begins; the place of that, and where reading left off.
    opened: Head,
    boot: Place,
    read: Place,
    /// Set when a write failed: what is on the device is not known any more.
    lost: bool,
}

impl<D: BlockDevice> ImageLog<D> {
    /// Opens the log on `device`, or begins one if the device has nothing but zeros
    /// (of a large one the first 64 MiB and the last are looked at): checks it from the last
    /// checkpoint on, cuts what a crash left behind, refuses anything else that is wrong. A device with no more
    /// room than the reserve is refused too.
    pub fn open(mut device: D, key: MachineKey) -> Result<(ImageLog<D>, Opened), Error> {
        let recovered = recover(&mut device, &key)?;
        let opened = Opened {
            head: recovered.head,
            previous: match (recovered.head.blocks, recovered.head.ended, recovered.cut.unwrap_or(0)) {
                (0, ..) => PreviousEnd::First,
                (_, true, cut) => PreviousEnd::Orderly { cut },
                (_, false, cut) => PreviousEnd::Crash { cut },
            },
            cut: recovered.cut_words(),
        };
        let (published, published_end, sequence) = recovered.published;
        let place = Place { number: recovered.head.blocks, at: recovered.end };
        let mut log = ImageLog {
            blocks: device.blocks(),
            device,
            key,
            head: recovered.head,
            frontier: recovered.frontier,
            before: recovered.before,
            last: recovered.last,
            buffer: Vec::new(),
            end: recovered.end,
            durable: recovered.head,
            durable_end: recovered.end,
            published,
            published_end,
            sequence,
            opened: recovered.head,
            boot: place,
            read: place,
            lost: false,
        };
        if log.published < log.durable.blocks || recovered.torn {
            log.write_checkpoint()?;
        }
        if log.is_full() {
            return Err(log.full());
        }
        Ok((log, opened))
    }

    /// Where the log ends, blocks that are not written yet included.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where the log ends that is durable.
    pub fn durable(&self) -> &Head {
        &self.durable
    }

    /// Blocks that the newest checkpoint covers.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// The key that signs it.
    pub fn key(&self) -> &MachineKey {
        &self.key
    }

    /// Bytes that are sealed and not written.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes of memory that it takes: mostly the buffer, which has what it once needed.
    pub fn memory(&self) -> usize {
        self.buffer.capacity() + self.frontier.memory() + self.before.memory()
    }

    /// Whether only the reserve is left: an eighth of the image, at most 4 MiB. The machine must be shut down now; blocks
    /// are still taken while they fit.
    pub fn is_full(&self) -> bool {
        let end = self.end + blocks_of(self.buffer.len());
        let reserve = ((self.blocks - STREAM) / RESERVE_PART).min(RESERVE / BLOCK as u64);
        self.blocks.saturating_sub(end) <= reserve
    }

    /// Why a full log takes no more.
    pub fn full(&self) -> Error {
        Error::Full { blocks: self.blocks }
    }

    /// Gives the device back.
    pub fn into_device(self) -> D {
        self.device
    }

    /// Seals a block. It is durable after [`ImageLog::sync`]. One that does not fit is refused, and nothing has
    /// happened then: what was appended before can still be made durable.
    pub fn append(&mut self, block: &RawBlock) -> Result<(), Error> {
        self.usable()?;
        let start = self.buffer.len();
        let (header, bytes) = seal(&self.head, block, self.durable.blocks, &mut self.buffer);
        let length = self.buffer.len() - start;
        self.buffer.resize((start + length).next_multiple_of(BLOCK), 0);
        let at = self.end + blocks_of(start);
        let end = at + blocks_of(length);
        if length > UNFLUSHED || end > self.blocks {
            self.buffer.truncate(start);
            return Err(if length > UNFLUSHED { Error::TooLong(length) } else { self.full() });
        }
        if end - self.durable_end > blocks_of(UNFLUSHED) {
            self.guard(|log| log.flush_up_to(start))?;
        }
        self.before = self.frontier.clone();
        self.frontier.push(leaf_hash(&bytes));
        self.head = Head::after(&header, &bytes);
        self.last = at;
        if self.buffer.len() >= WRITE_AT {
            self.guard(|log| log.write_buffer(log.buffer.len()))?;
        }
        Ok(())
    }

    /// Everything appended is durable when this returns.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.usable()?;
        self.guard(|log| log.flush_up_to(log.buffer.len()))
    }

    /// Makes everything durable, and writes a checkpoint over it.
    pub fn publish(&mut self) -> Result<(), Error> {
        self.usable()?;
        self.guard(|log| {
            log.flush_up_to(log.buffer.len())?;
            if log.published == log.durable.blocks { Ok(()) } else { log.write_checkpoint() }
        })
    }

    fn usable(&self) -> Result<(), Error> {
        if self.lost { Err(Error::Lost) } else { Ok(()) }
    }

    /// After a failed write nothing is known of what is on the device: nothing more is written.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let result = work(self);
        self.lost |= result.is_err();
        result
    }

    /// Writes the first `length` bytes that wait: whole frames.
    fn write_buffer(&mut self, length: usize) -> Result<(), Error> {
        if length > 0 {
            write(&mut self.device, self.end, &self.buffer[..length])?;
            self.end += blocks_of(length);
            self.buffer.drain(..length);
        }
        Ok(())
    }

    /// Makes the blocks durable whose frames are written, or are the first `length` bytes that wait; the head is
    /// where these end. A checkpoint follows if much is uncovered.
    fn flush_up_to(&mut self, length: usize) -> Result<(), Error> {
        self.write_buffer(length)?;
        if self.durable_end != self.end {
            flush(&mut self.device)?;
            self.durable = self.head;
            self.durable_end = self.end;
        }
        if (self.durable_end - self.published_end) * BLOCK as u64 > UNPUBLISHED {
            self.write_checkpoint()?;
        }
        Ok(())
    }

    /// Writes a checkpoint over all blocks. They are durable.
    fn write_checkpoint(&mut self) -> Result<(), Error> {
        let slot = Slot {
            sequence: self.sequence + 1,
            last: self.last,
            roots: self.before.roots().to_vec(),
            text: self.key.sign(self.frontier.size(), &self.frontier.root()),
        };
        write(&mut self.device, slot.place(), &slot.encode())?;
        flush(&mut self.device)?;
        self.sequence += 1;
        self.published = self.durable.blocks;
        self.published_end = self.durable_end;
        Ok(())
    }

    /// Calls `each` with every block from number `first` on, in order, until it says false or there is none.
    pub fn walk(&mut self, first: u64, each: &mut dyn FnMut(&Block<'_>) -> bool) -> Result<(), Error> {
        self.usable()?;
        self.guard(|log| log.write_buffer(log.buffer.len()))?;
        let places = [self.read, self.boot];
        let mut place =
            places.into_iter().find(|place| place.number <= first).unwrap_or(Place { number: 0, at: STREAM });
        let mut buffer = Vec::new();
        while place.number < self.head.blocks {
            let Place { number, at } = place;
            let wrong = |wrong| Error::Block { number, byte: at * BLOCK as u64, wrong };
            let length = if number < first {
                let mut block = [0; BLOCK];
                read(&mut self.device, at, &mut block)?;
                let (header, .., length) = frame_head(&block).map_err(wrong)?;
                if header.number != number {
                    return Err(wrong(Wrong::Number));
                }
                length
            } else {
                let length = read_frame(&mut self.device, at, &mut buffer)?.map_err(wrong)?;
                let (block, _) = Block::parse_head(&buffer).map_err(wrong)?;
                if block.header.number != number {
                    return Err(wrong(Wrong::Number));
                }
                // The one that was not wanted any more may be the first the next time.
                self.read = place;
                if !each(&block) {
                    return Ok(());
                }
                length
            };
            place = Place { number: number + 1, at: at + blocks_of(length) };
        }
        self.read = place;
        Ok(())
    }

    /// `log_read` of a process that holds the log: as [`Reader::read`] says, out of what was appended.
    /// `next_record` is the machine's [`axiom::Axiom::next_record`].
    pub fn read_records(
        &mut self,
        reader: &mut Reader,
        next_record: u64,
        from: u64,
        length: usize,
    ) -> Result<Vec<u8>, Error> {
        let (number, boot) = (self.head.blocks, self.opened);
        let source = Source { log: RefCell::new(self), boot, next_record, failure: Cell::new(None) };
        let read = reader.read(&source, from, length);
        match source.failure.into_inner() {
            Some(error) => Err(error),
            None => read.map_err(|wrong| Error::Block { number, byte: 0, wrong }),
        }
    }
}

/// The log as [`Reader`] reads it.
struct Source<'a, D> {
    log: RefCell<&'a mut ImageLog<D>>,
    boot: Head,
    next_record: u64,
    failure: Cell<Option<Error>>,
}

impl<D: BlockDevice> Blocks for Source<'_, D> {
    fn from(&self, first: u64, each: &mut dyn FnMut(&Block<'_>) -> bool) {
        self.failure.set(self.log.borrow_mut().walk(first, each).err());
    }
    fn boot_start(&self) -> (u64, u64) {
        (self.boot.blocks, self.boot.records)
    }
    fn next_record(&self) -> u64 {
        self.next_record
    }
}
