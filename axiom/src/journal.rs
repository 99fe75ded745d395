//! The journal: where records are written as they happen, 32 bytes a call, the commit
//! beside the call that caused it. A full block is handed over raw; hashing it is done
//! elsewhere ([`crate::seal`]).
//!
//! A slot is four words: the record ([`crate::record`]) and the commit. Where a commit
//! does not fit into two words, or thread and slot do not fit into the record, further
//! slots follow: first the escape of the record, then the commit's sections.
//!
//! | commit's first word, low byte | what |
//! |---|---|
//! | 0 | no commit |
//! | 1-0xDF | the one commit, in the kernel's compact form |
//! | 0xFF | wide: bits 16-31 slots that follow with sections |
//!
//! A section is one commit: kind, 1 if its form is compact, length in two bytes; the compact
//! form, or the content. This form lives in memory only.

use crate::commit::Content;
use crate::header::Hash;
use crate::record::{ESCAPED, Ending, NONE, Op, Record};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use kernel::commit::{Commit, Form};

/// Whether there is a journal at all: without, only to measure what it costs.
const RECORDING: bool = cfg!(feature = "recording");
/// One slot.
pub(crate) type Slot = [u64; 4];
/// First word of a wide commit, low byte.
pub(crate) const WIDE: u8 = 0xFF;
/// A wide commit with one slot of sections.
pub(crate) const ONE_SECTION: [u64; 2] = [WIDE as u64 | 1 << 16, 0];

/// A block as it was recorded: what the sealer turns into bodies and a header.
#[derive(Clone, Debug, Default)]
pub struct RawBlock {
    /// As many as the block has room for; none while nothing may be recorded.
    pub(crate) slots: Vec<Slot>,
    pub(crate) used: usize,
    /// Of these, slots that belong to the record before them.
    pub(crate) extra: usize,
    /// Slots whose calls are counted ([`Journal::uncounted`]).
    counted: usize,
    pub(crate) number: u64,
    pub(crate) first_record: u64,
    pub(crate) base_time: u64,
    pub(crate) flags: u8,
    pub(crate) boot: u32,
    pub(crate) state: [Hash; 2],
    /// The state itself, where the host keeps snapshots.
    pub(crate) snapshot: Option<Vec<u8>>,
}

impl RawBlock {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The snapshot of the state after it, if one was taken.
    pub fn snapshot(&self) -> Option<&[u8]> {
        self.snapshot.as_deref()
    }

    /// One more than the number of its last record.
    pub fn end(&self) -> u64 {
        self.first_record + u64::from(self.records())
    }

    /// Records in it.
    #[inline]
    pub(crate) fn records(&self) -> u32 {
        (self.used - self.extra) as u32
    }
}

/// The block being written, and those that wait to be taken.
#[derive(Debug)]
pub(crate) struct Journal {
    block: RawBlock,
    /// Slots of a block; one whose last record is long may have more.
    capacity: usize,
    full: VecDeque<RawBlock>,
    bound: usize,
    spare: Vec<Vec<Slot>>,
}

impl Journal {
    /// An empty journal whose blocks have `slots` slots, at most `bound` of them waiting.
    pub(crate) fn new(slots: usize, bound: usize, number: u64, first_record: u64, boot: u32) -> Journal {
        Journal {
            block: RawBlock { number, first_record, boot, ..RawBlock::default() },
            capacity: slots.max(1),
            full: VecDeque::new(),
            bound,
            spare: Vec::new(),
        }
    }

    /// Whether a record at `now` needs a new block first.
    #[inline(always)]
    pub(crate) fn is_full(&self, now: u64) -> bool {
        RECORDING && self.has_no_room(now)
    }

    #[inline(always)]
    fn has_no_room(&self, now: u64) -> bool {
        self.block.used >= self.block.slots.len() || now.wrapping_sub(self.block.base_time) >> 32 != 0
    }

    /// The number that the next record gets.
    #[inline]
    pub(crate) fn next_record(&self) -> u64 {
        self.block.end()
    }

    /// The number of the block being written.
    pub(crate) fn block_number(&self) -> u64 {
        self.block.number
    }

    /// Records in the block being written.
    pub(crate) fn pending(&self) -> u32 {
        self.block.records()
    }

    /// When the block being written began, ns since boot.
    pub(crate) fn base_time(&self) -> u64 {
        self.block.base_time
    }

    /// Whether thread and slot certainly fit into a record. [`NONE`] may be the slot, too.
    #[inline(always)]
    pub(crate) const fn is_small(thread: u32, slot: u32) -> bool {
        (thread | slot) < 1 << 23 || thread < 1 << 23 && slot == NONE
    }

    /// Records a call (or what else came), how it ended and its commit, in one. `is_full` is false at `now`, and thread and slot are small.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "they are the record; inlined, with most of them known")]
    pub(crate) fn record(
        &mut self,
        op: u8,
        thread: u32,
        slot: u32,
        tag: u32,
        now: u64,
        ending: Ending,
        commit: [u64; 2],
    ) {
        if !RECORDING {
            return;
        }
        let block = &mut self.block;
        if let Some(entry) = block.slots.get_mut(block.used) {
            let operation = op as u64 | (ending.number() as u64) << 8;
            let offset = now.wrapping_sub(block.base_time) & 0xFFFF_FFFF;
            *entry = [
                operation | (thread as u64) << 16 | (slot as u64) << 40,
                offset | (tag as u64) << 32,
                commit[0],
                commit[1],
            ];
        }
        block.used += 1;
    }

    /// Reserves a slot. `is_full` is false at `now`.
    pub(crate) fn begin(&mut self, op: Op, thread: u32, slot: u32, tag: u32, now: u64) -> Place {
        let block = &mut self.block;
        let record =
            Record { op, ending: Ending::Open, thread, slot, offset: now.wrapping_sub(block.base_time) as u32, tag };
        let words = record.words();
        let place = Place { at: block.used, words };
        if !RECORDING {
            return place;
        }
        if let Some(entry) = block.slots.get_mut(block.used) {
            *entry = [words[0], words[1], 0, 0];
        }
        block.used += 1;
        if record.needs_escape() {
            self.escape(thread, slot);
        }
        place
    }

    /// Completes the record that was begun last, with the commit that fits into two words (zero: none).
    pub(crate) fn complete(&mut self, place: &Place, ending: Ending, commit: [u64; 2]) {
        if !RECORDING {
            return;
        }
        if let Some(entry) = self.block.slots.get_mut(place.at) {
            let first = place.words[0] & !0xFF00 | (ending.number() as u64) << 8;
            *entry = [first, place.words[1], commit[0], commit[1]];
        }
    }

    /// Writes one section, of a commit in [`Form::Short`], behind the record that was recorded last with
    /// [`ONE_SECTION`].
    #[inline]
    pub(crate) fn write_short(&mut self, kind: u8, mut bytes: [u8; 32], length: usize) {
        if !RECORDING {
            return;
        }
        [bytes[0], bytes[1], bytes[2], bytes[3]] = [kind, 0, length as u8, 0];
        let (words, _) = bytes.as_chunks::<8>();
        self.push([0, 1, 2, 3].map(|index| u64::from_le_bytes(words[index])));
    }

    /// Writes sections behind the record that was begun last; it is then completed with what this
    /// returns.
    pub(crate) fn write_wide(&mut self, wide: &mut Wide) -> [u64; 2] {
        if !RECORDING {
            return [0; 2];
        }
        let whole = wide.bytes.len().next_multiple_of(32);
        wide.bytes.resize(whole, 0);
        let (slots, _) = wide.bytes.as_chunks::<32>();
        for slot in slots {
            let (words, _) = slot.as_chunks::<8>();
            self.push([0, 1, 2, 3].map(|index| u64::from_le_bytes(words[index])));
        }
        [u64::from(WIDE) | (slots.len() as u64) << 16, 0]
    }

    #[cold]
    fn escape(&mut self, thread: u32, slot: u32) {
        self.push([u64::from(thread), u64::from(slot), 0, 0]);
    }

    fn push(&mut self, slot: Slot) {
        if self.block.slots.is_empty() {
            return;
        }
        if self.block.used >= self.block.slots.len() {
            self.block.slots.resize(self.block.used + 1, [0; 4]);
        }
        self.block.slots[self.block.used] = slot;
        self.block.used += 1;
        self.block.extra += 1;
    }

    /// Sets how a record of this block ended, if it lies in the block still being written.
    pub(crate) fn amend(&mut self, place: &Place, first_record: u64, ending: Ending) -> bool {
        if first_record != self.block.first_record {
            return false;
        }
        if let Some(entry) = self.block.slots.get_mut(place.at) {
            entry[0] = entry[0] & !0xFF00 | u64::from(ending.number()) << 8;
        }
        true
    }

    /// The number of the first record of the block being written.
    pub(crate) fn first_record(&self) -> u64 {
        self.block.first_record
    }

    /// Marks the block being written.
    pub(crate) fn flag(&mut self, flags: u8) {
        self.block.flags |= flags;
    }

    /// Notes the state hash after the block being written, and the snapshot that it is of.
    pub(crate) fn state(&mut self, state: [Hash; 2], snapshot: Option<Vec<u8>>) {
        self.block.state = state;
        self.block.snapshot = snapshot;
    }

    /// Ends the block being written, if anything is in it, and begins one at `now`.
    /// False if no more blocks may wait, and nothing can be recorded.
    pub(crate) fn cut(&mut self, now: u64) -> bool {
        if self.block.used > 0 {
            if self.full.len() >= self.bound {
                return false;
            }
            let next = RawBlock {
                slots: self.spare.pop().unwrap_or_default(),
                number: self.block.number + 1,
                first_record: self.block.end(),
                boot: self.block.boot,
                ..RawBlock::default()
            };
            self.full.push_back(core::mem::replace(&mut self.block, next));
        }
        self.block.base_time = now;
        self.block.slots.resize(self.capacity, [0; 4]);
        true
    }

    /// From now on nothing is recorded: [`Journal::is_full`] is true, and what is recorded all the same
    /// goes nowhere.
    pub(crate) fn close(&mut self) {
        self.block.slots = Vec::new();
        (self.block.used, self.block.extra, self.block.counted) = (0, 0, 0);
    }

    /// Tells the threads of the calls recorded since this was last asked.
    pub(crate) fn uncounted(&mut self, mut each: impl FnMut(u32)) {
        for block in self.full.iter_mut().chain(core::iter::once(&mut self.block)) {
            let used = block.used.min(block.slots.len());
            let (slots, mut at) = (&block.slots[..used], block.counted);
            // Most records have no escape.
            while let Some(&[first, _, head, _]) = slots.get(at)
                && (first >> 16) as u32 & NONE != ESCAPED
            {
                if first & 0x80 == 0 {
                    each((first >> 16) as u32 & NONE);
                }
                at += 1 + if head as u8 == WIDE { usize::from((head >> 16) as u16) } else { 0 };
            }
            for entry in (RawEntries { slots: slots.get(at..).unwrap_or_default() }) {
                // Numbers of system calls have the highest bit clear.
                if entry.record[0] & 0x80 == 0 {
                    each(entry.escape.map_or((entry.record[0] >> 16) as u32 & NONE, |escape| escape[0] as u32));
                }
            }
            block.counted = used;
        }
    }

    /// The oldest block that was cut.
    pub(crate) fn take(&mut self) -> Option<RawBlock> {
        self.full.pop_front()
    }

    /// Bytes of memory that it has for blocks. As many as waited at one time, and no more than `bound` says.
    pub(crate) fn memory(&self) -> usize {
        let waiting = self.full.iter().map(|block| &block.slots);
        let slots = waiting.chain(&self.spare).chain([&self.block.slots]).map(Vec::capacity).sum::<usize>();
        slots * size_of::<Slot>()
            + self.full.capacity() * size_of::<RawBlock>()
            + self.spare.capacity() * size_of::<Vec<Slot>>()
    }

    /// Whether a block waits to be taken.
    #[inline]
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Gives a block's memory back to be used again.
    pub(crate) fn recycle(&mut self, block: RawBlock) {
        if self.spare.len() < self.bound && block.slots.len() == self.capacity {
            self.spare.push(block.slots);
        }
    }
}

/// Where a record lies that was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    at: usize,
    words: [u64; 2],
}

/// Commits that do not fit into their record's slot, being put together.
#[derive(Default)]
pub(crate) struct Wide {
    bytes: Vec<u8>,
}

impl Wide {
    /// Drops what was added; the memory is used again.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Bytes of memory that it has.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a commit, in its compact form if it has one.
    pub(crate) fn add(&mut self, commit: &Commit) {
        match commit.encode_any() {
            Form::Compact(words) => {
                self.begin(words[0] as u8, 1, 16);
                self.bytes.extend_from_slice(words.map(u64::to_le_bytes).as_flattened());
            }
            Form::Short(bytes, length) => self.add_content(commit.kind(), &bytes[4..4 + length]),
            Form::Long => {
                let mut content = heapless::Vec::new();
                commit.encode_wide(&mut content);
                self.add_content(commit.kind(), &content);
            }
        }
    }

    /// Adds a commit by its content, less than 64 KiB.
    pub(crate) fn add_content(&mut self, kind: u8, content: &[u8]) {
        let length = content.len().min(usize::from(u16::MAX));
        self.begin(kind, 0, length as u16);
        self.bytes.extend_from_slice(&content[..length]);
    }

    fn begin(&mut self, kind: u8, form: u8, length: u16) {
        let [low, high] = length.to_le_bytes();
        self.bytes.extend_from_slice(&[kind, form, low, high]);
    }
}

/// One input of a raw block: its record, the escape if it has one, and its commit.
pub(crate) struct RawEntry<'a> {
    pub(crate) record: [u64; 2],
    pub(crate) escape: Option<[u64; 2]>,
    pub(crate) commit: [u64; 2],
    pub(crate) sections: &'a [Slot],
}

impl RawBlock {
    /// Its inputs, in order.
    #[inline]
    pub(crate) fn entries(&self) -> RawEntries<'_> {
        RawEntries { slots: &self.slots[..self.used.min(self.slots.len())] }
    }
}

pub(crate) struct RawEntries<'a> {
    slots: &'a [Slot],
}

impl<'a> Iterator for RawEntries<'a> {
    type Item = RawEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawEntry<'a>> {
        let (&[first, second, head, tail], mut rest) = self.slots.split_first()?;
        let mut entry = RawEntry { record: [first, second], escape: None, commit: [head, tail], sections: &[] };
        if (first >> 16) as u32 & NONE == ESCAPED
            && let Some((escape, after)) = rest.split_first()
        {
            entry.escape = Some([escape[0], escape[1]]);
            rest = after;
        }
        if head as u8 == WIDE {
            let count = usize::from((head >> 16) as u16).min(rest.len());
            (entry.sections, rest) = rest.split_at(count);
        }
        self.slots = rest;
        Some(entry)
    }
}

/// The sections behind a record: kind of each commit, and its form.
pub(crate) fn sections(slots: &[Slot], mut each: impl FnMut(u8, Content<'_>)) {
    let bytes: Vec<u8> = slots.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
    let mut rest = &bytes[..];
    while let Some((&[kind, form, low, high], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([low, high]));
        let Some((content, after)) = after.split_at_checked(length) else {
            return;
        };
        match content.as_chunks::<8>().0 {
            _ if kind == 0 => return,
            [first, second] if form == 1 => {
                each(kind, Content::Words([u64::from_le_bytes(*first), u64::from_le_bytes(*second)]));
            }
            _ => each(kind, Content::Wide(content)),
        }
        rest = after;
    }
}
