//! A disk with a write-back cache, for tests: what was not flushed can be lost, torn
//! or reordered at every write boundary; blocks can be flipped, operations fail. It
//! remembers every write and flush, so that the images that a power cut could leave
//! can be made afterwards, one by one.

use crate::device::{BLOCK, BlockDevice, DeviceError};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

/// Something that happened to the disk.
#[derive(Clone, Debug)]
pub enum Event {
    /// Blocks were written into the cache.
    Write {
        /// The first.
        first: u64,
        /// What was written.
        bytes: Vec<u8>,
    },
    /// All before this is durable.
    Flush,
    /// Something that the test wants to find again.
    Mark(u64),
}

/// Counts of operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Flushes.
    pub flushes: u64,
}

struct Inner {
    bytes: RefCell<Vec<u8>>,
    start: RefCell<Vec<u8>>,
    events: RefCell<Vec<Event>>,
    recording: Cell<bool>,
    counts: Cell<Counts>,
    read_only: Cell<bool>,
    /// The operations left before all fail with this error; reads only if the flag is set.
    failing: Cell<Option<(u64, DeviceError, bool)>>,
    /// Blocks whose reads fail, and how many more of them do.
    failing_reads: RefCell<BTreeMap<u64, u64>>,
}

/// The disk; clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk(Rc<Inner>);

impl SimulatedDisk {
    /// A disk of zeros.
    pub fn empty(blocks: u64) -> SimulatedDisk {
        SimulatedDisk::with(vec![0; blocks as usize * BLOCK])
    }

    /// A disk with these bytes on it, all durable.
    pub fn with(bytes: Vec<u8>) -> SimulatedDisk {
        SimulatedDisk(Rc::new(Inner {
            start: RefCell::new(Vec::new()),
            bytes: RefCell::new(bytes),
            events: RefCell::new(Vec::new()),
            recording: Cell::new(false),
            counts: Cell::new(Counts::default()),
            read_only: Cell::new(false),
            failing: Cell::new(None),
            failing_reads: RefCell::new(BTreeMap::new()),
        }))
    }

    /// Remembers everything from here on; what is there now counts as durable.
    pub fn record(&self) {
        *self.0.start.borrow_mut() = self.0.bytes.borrow().clone();
        self.0.events.borrow_mut().clear();
        self.0.recording.set(true);
    }

    /// What has happened since [`SimulatedDisk::record`].
    pub fn history(&self) -> History {
        History { start: self.0.start.borrow().clone(), events: self.0.events.borrow().clone() }
    }

    /// Puts a mark into the history.
    pub fn mark(&self, mark: u64) {
        if self.0.recording.get() {
            self.0.events.borrow_mut().push(Event::Mark(mark));
        }
    }

    /// The bytes as they read now.
    pub fn image(&self) -> Vec<u8> {
        self.0.bytes.borrow().clone()
    }

    /// What has been done so far.
    pub fn counts(&self) -> Counts {
        self.0.counts.get()
    }

    /// Changes one bit.
    pub fn flip(&self, byte: usize, bit: u8) {
        self.0.bytes.borrow_mut()[byte] ^= 1 << bit;
    }

    /// Writes are refused from now on, or no longer.
    pub fn set_read_only(&self, read_only: bool) {
        self.0.read_only.set(read_only);
    }

    /// After so many more writes and flushes (with `reads`: reads too) all fail;
    /// `None`: they no longer do.
    pub fn fail_after(&self, failure: Option<(u64, DeviceError)>, reads: bool) {
        self.0.failing.set(failure.map(|(after, error)| (after, error, reads)));
    }

    /// Reads of this block fail.
    pub fn fail_reads_of(&self, block: u64) {
        self.fail_next_reads_of(block, u64::MAX);
    }

    /// The next reads of this block fail, so many of them.
    pub fn fail_next_reads_of(&self, block: u64, times: u64) {
        self.0.failing_reads.borrow_mut().insert(block, times);
    }

    /// Every block can be read again.
    pub fn heal_reads(&self) {
        self.0.failing_reads.borrow_mut().clear();
    }

    fn may_fail(&self, is_read: bool) -> Result<(), DeviceError> {
        let Some((left, error, reads)) = self.0.failing.get() else { return Ok(()) };
        if is_read && !reads {
            return Ok(());
        }
        if left == 0 {
            return Err(error);
        }
        self.0.failing.set(Some((left - 1, error, reads)));
        Ok(())
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.counts.get();
        change(&mut counts);
        self.0.counts.set(counts);
    }

    fn range(&self, first: u64, length: usize) -> Result<core::ops::Range<usize>, DeviceError> {
        let from =
            usize::try_from(first).ok().and_then(|first| first.checked_mul(BLOCK)).ok_or(DeviceError::OutOfRange)?;
        let to = from.checked_add(length).ok_or(DeviceError::OutOfRange)?;
        if !length.is_multiple_of(BLOCK) || to > self.0.bytes.borrow().len() {
            return Err(DeviceError::OutOfRange);
        }
        Ok(from..to)
    }
}

/// Lets others run once.
pub async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl BlockDevice for SimulatedDisk {
    fn block_count(&self) -> u64 {
        (self.0.bytes.borrow().len() / BLOCK) as u64
    }

    fn read_only(&self) -> bool {
        self.0.read_only.get()
    }

    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        yield_once().await;
        self.may_fail(true)?;
        let range = self.range(first, bytes.len())?;
        let blocks = first..first + (bytes.len() / BLOCK) as u64;
        if let Some((_, left)) = self.0.failing_reads.borrow_mut().range_mut(blocks).find(|(_, left)| **left > 0) {
            *left -= 1;
            return Err(DeviceError::Failed);
        }
        bytes.copy_from_slice(&self.0.bytes.borrow()[range]);
        self.count(|counts| {
            counts.reads += 1;
            counts.bytes_read += bytes.len() as u64;
        });
        Ok(())
    }

    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        yield_once().await;
        if self.0.read_only.get() {
            return Err(DeviceError::ReadOnly);
        }
        self.may_fail(false)?;
        let range = self.range(first, bytes.len())?;
        self.0.bytes.borrow_mut()[range].copy_from_slice(bytes);
        if self.0.recording.get() {
            self.0.events.borrow_mut().push(Event::Write { first, bytes: bytes.to_vec() });
        }
        self.count(|counts| {
            counts.writes += 1;
            counts.bytes_written += bytes.len() as u64;
        });
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        yield_once().await;
        self.may_fail(false)?;
        if self.0.recording.get() {
            self.0.events.borrow_mut().push(Event::Flush);
        }
        self.count(|counts| counts.flushes += 1);
        Ok(())
    }
}

/// What happened to a disk, and the images that a power cut could have left.
#[derive(Clone)]
pub struct History {
    /// The durable bytes at the start.
    pub start: Vec<u8>,
    /// What happened then.
    pub events: Vec<Event>,
}

/// One way in which a power cut treats the blocks that were not flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// None is there.
    Lost,
    /// All are there.
    Kept,
    /// All but those of one write.
    AllBut(usize),
    /// Only those of one write.
    Only(usize),
    /// Each block by the toss of a coin, and one of them torn in the middle.
    Tossed(u64),
}

/// A small generator of numbers that look random (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }
}

/// Writes since the last flush of which each is lost, and kept, alone: the last ones.
const ONE_BY_ONE: usize = 12;

impl History {
    /// Calls `visit` with every image that a power cut after any event could leave,
    /// as far as `tosses` random ones a point go, and the marks that came before it.
    pub fn crashes(&self, tosses: u64, visit: impl FnMut(Vec<u8>, &[u64], usize, Fate)) {
        self.some_crashes(tosses, 1, visit);
    }

    /// How many images [`History::crashes`] gives.
    pub fn crash_count(&self, tosses: u64) -> u64 {
        let (mut images, mut cached) = (0, 0);
        for point in 0..=self.events.len() {
            images += fates(cached, tosses, point).len() as u64;
            match self.events.get(point) {
                Some(Event::Write { .. }) => cached += 1,
                Some(Event::Flush) => cached = 0,
                Some(Event::Mark(_)) | None => {}
            }
        }
        images
    }

    /// [`History::crashes`], but only each `stride`th image.
    pub fn some_crashes(&self, tosses: u64, stride: u64, mut visit: impl FnMut(Vec<u8>, &[u64], usize, Fate)) {
        let mut index = 0;
        let mut durable = self.start.clone();
        let mut cached: Vec<(u64, &[u8])> = Vec::new();
        let mut marks = Vec::new();
        for point in 0..=self.events.len() {
            for fate in fates(cached.len(), tosses, point) {
                if index % stride.max(1) == 0 {
                    visit(image(&durable, &cached, fate), &marks, point, fate);
                }
                index += 1;
            }
            match self.events.get(point) {
                Some(Event::Write { first, bytes }) => cached.push((*first, bytes)),
                Some(Event::Flush) => {
                    durable = image(&durable, &cached, Fate::Kept);
                    cached.clear();
                }
                Some(Event::Mark(mark)) => marks.push(*mark),
                None => {}
            }
        }
    }
}

/// What a power cut may do with so many writes that were not flushed.
fn fates(cached: usize, tosses: u64, point: usize) -> Vec<Fate> {
    let mut fates = vec![Fate::Lost];
    if cached > 0 {
        fates.push(Fate::Kept);
    }
    if cached > 1 {
        let last = cached.saturating_sub(ONE_BY_ONE)..cached;
        fates.extend(last.flat_map(|at| [Fate::AllBut(at), Fate::Only(at)]));
    }
    if cached > 0 {
        fates.extend((0..tosses).map(|toss| Fate::Tossed(toss << 32 | point as u64)));
    }
    fates
}

fn image(durable: &[u8], cached: &[(u64, &[u8])], fate: Fate) -> Vec<u8> {
    let mut image = durable.to_vec();
    let blocks: usize = cached.iter().map(|(_, bytes)| bytes.len() / BLOCK).sum();
    let mut random = Random(match fate {
        Fate::Tossed(seed) => seed,
        _ => 0,
    });
    let torn = random.below(blocks as u64) as usize;
    let mut index = 0;
    for (write, (first, bytes)) in cached.iter().enumerate() {
        for (block, content) in bytes.chunks(BLOCK).enumerate() {
            let at = (*first as usize + block) * BLOCK;
            let length = match fate {
                Fate::Lost => 0,
                Fate::Kept => BLOCK,
                Fate::AllBut(lost) => BLOCK * usize::from(write != lost),
                Fate::Only(kept) => BLOCK * usize::from(write == kept),
                Fate::Tossed(_) if index == torn => random.below(BLOCK as u64) as usize,
                Fate::Tossed(_) => BLOCK * (random.number() & 1) as usize,
            };
            image[at..at + length].copy_from_slice(&content[..length]);
            index += 1;
        }
    }
    image
}

/// Runs `work` to its end, and `beside` for as long; panics if that takes for ever.
pub fn run<T>(work: impl Future<Output = T>, beside: impl Future<Output = ()>) -> T {
    run_for(work, beside, 20_000_000).expect("the work never ended")
}

/// Like [`run`], for so many rounds; `None` if that was not enough.
pub fn run_for<T>(work: impl Future<Output = T>, beside: impl Future<Output = ()>, rounds: u64) -> Option<T> {
    let mut work = pin!(work);
    let mut beside = pin!(beside);
    let mut context = Context::from_waker(Waker::noop());
    let mut is_beside_done = false;
    for _ in 0..rounds {
        if let Poll::Ready(value) = work.as_mut().poll(&mut context) {
            return Some(value);
        }
        is_beside_done = is_beside_done || beside.as_mut().poll(&mut context).is_ready();
    }
    None
}

/// Several futures at once, polled in an order that the seed decides; ends when all have.
pub async fn together<'a>(seed: u64, futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) {
    let mut random = Random(seed);
    let mut futures: Vec<Option<Pin<Box<dyn Future<Output = ()> + 'a>>>> = futures.into_iter().map(Some).collect();
    poll_fn(move |context| {
        for _ in 0..futures.len() {
            let at = random.below(futures.len() as u64) as usize;
            if let Some(future) = &mut futures[at]
                && future.as_mut().poll(context).is_ready()
            {
                futures[at] = None;
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
