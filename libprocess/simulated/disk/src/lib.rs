//! A disk in memory with the faults of real ones, for tests of what must survive a
//! power cut. It has a write-back cache: a write is readable at once, and durable only
//! after a flush. When the power goes, each 512-byte sector that was written since
//! keeps, independently of every other, its durable content or any of the contents
//! written since: so writes are lost, torn between sectors, and reordered. A sector
//! itself is never torn.
//!
//! Nothing here knows Orbital: no time, no completions, no interrupts. The simulated
//! backend puts those around it; tests of a storage engine use it as it is.
//!
//! ```
//! use simulated_disk::{Cut, Disk};
//! let mut disk = Disk::new(128);
//! disk.write(0, &[1; 1024]).unwrap();
//! disk.flush().unwrap();
//! disk.write(0, &[2; 1024]).unwrap();
//! let mut after = disk.power_cut(Cut::Random(7));
//! let sectors = after.read(0, 2).unwrap();
//! assert!(sectors.iter().all(|byte| *byte == 1 || *byte == 2));
//! ```
#![forbid(unsafe_code)]

mod random;

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

pub use random::Random;

/// Bytes in a sector: what a power cut never tears.
pub const SECTOR: usize = 512;

type Sector = Rc<[u8; SECTOR]>;

/// Why the disk refused an operation. It changed nothing then, except that a write
/// answered `Failed` may have written any of its sectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskError {
    /// The medium or the path to it failed.
    Failed,
    /// No room for a sector never written before, as with a sparse file on a full volume.
    Full,
    /// Writes are refused.
    ReadOnly,
    /// Outside the disk, or not whole sectors.
    OutOfRange,
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DiskError::Failed => "the disk reports an error",
            DiskError::Full => "the disk is full",
            DiskError::ReadOnly => "the disk is read-only",
            DiskError::OutOfRange => "outside the disk, or not whole sectors",
        })
    }
}

impl std::error::Error for DiskError {}

/// What becomes of the sectors that were written and not flushed when the power goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// All are lost.
    Lost,
    /// All are kept.
    Kept,
    /// The first so many sector writes are kept, in the order of writing: a disk that
    /// does not reorder, cut at an exact place.
    First(usize),
    /// The last so many sector writes are kept and those before are lost: reordered.
    Last(usize),
    /// Each sector ends as the seed has it, independently.
    Random(u64),
}

/// Which operations an injected error strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reads.
    Read,
    /// Writes. Half of the sectors (every second one) may be written all the same.
    Write,
    /// Flushes; the range of sectors does not matter. What was unflushed stays so.
    Flush,
}

#[derive(Clone, Debug)]
struct Fault {
    access: Access,
    sectors: Range<u64>,
    /// How often it still strikes; `None`: always.
    times: Option<u32>,
}

/// The disk. A clone is an image of it in this instant, cache and injected errors included.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    sectors: u64,
    /// What reads see.
    current: BTreeMap<u64, Sector>,
    /// What a power cut leaves for certain.
    durable: BTreeMap<u64, Sector>,
    /// Sector writes since the last flush, in order.
    unflushed: Vec<(u64, Sector)>,
    faults: Vec<Fault>,
    read_only: bool,
    /// Sectors that may still be written for the first time; `None`: all.
    room: Option<u64>,
    counts: Counts,
}

/// How much was asked of a disk since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Reads that succeeded.
    pub reads: u64,
    /// Sectors that they returned.
    pub sectors_read: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Sectors that they wrote.
    pub sectors_written: u64,
    /// Flushes that succeeded.
    pub flushes: u64,
}

impl Disk {
    /// A disk of so many sectors, all zero. Sectors never written take no memory.
    pub fn new(sectors: u64) -> Disk {
        Disk { sectors, ..Disk::default() }
    }

    /// A disk with this content, all of it durable; a last part of a sector is filled with zeros.
    pub fn from_bytes(bytes: &[u8]) -> Disk {
        let mut disk = Disk::new(bytes.len().div_ceil(SECTOR) as u64);
        for (number, chunk) in bytes.chunks(SECTOR).enumerate() {
            if chunk.iter().any(|byte| *byte != 0) {
                let mut sector = [0; SECTOR];
                sector[..chunk.len()].copy_from_slice(chunk);
                disk.durable.insert(number as u64, Rc::new(sector));
            }
        }
        disk.current = disk.durable.clone();
        disk
    }

    /// How many sectors it has.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Sector writes that a power cut may lose.
    pub fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// How much was asked of it.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads `count` sectors from `first` on, as they were last written.
    ///
    /// # Errors
    /// `OutOfRange`, or `Failed` where an error was injected.
    pub fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, DiskError> {
        let range = self.range(first, count)?;
        if self.strikes(Access::Read, &range) {
            return Err(DiskError::Failed);
        }
        self.counts.reads += 1;
        self.counts.sectors_read += count;
        self.peek(first, count)
    }

    /// What a read would return if nothing failed; counts nothing. For a test that
    /// looks at the disk from outside.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn peek(&self, first: u64, count: u64) -> Result<Vec<u8>, DiskError> {
        let range = self.range(first, count)?;
        let mut bytes = vec![0; count as usize * SECTOR];
        for (number, sector) in self.current.range(range) {
            let at = (number - first) as usize * SECTOR;
            bytes[at..at + SECTOR].copy_from_slice(&sector[..]);
        }
        Ok(bytes)
    }

    /// Writes whole sectors from `first` on. Readable at once, durable after a flush.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, `Full`, or `Failed` where an error was injected.
    pub fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let count = (bytes.len() / SECTOR) as u64;
        if !bytes.len().is_multiple_of(SECTOR) {
            return Err(DiskError::OutOfRange);
        }
        let range = self.range(first, count)?;
        if self.read_only {
            return Err(DiskError::ReadOnly);
        }
        if let Some(room) = self.room {
            let fresh = range.clone().filter(|number| !self.current.contains_key(number)).count() as u64;
            if fresh > room {
                return Err(DiskError::Full);
            }
            self.room = Some(room - fresh);
        }
        let failed = self.strikes(Access::Write, &range);
        for (number, chunk) in range.zip(bytes.chunks_exact(SECTOR)) {
            if failed && number % 2 == 1 {
                continue;
            }
            let mut sector = [0; SECTOR];
            sector.copy_from_slice(chunk);
            let sector = Rc::new(sector);
            self.current.insert(number, sector.clone());
            self.unflushed.push((number, sector));
        }
        if failed {
            return Err(DiskError::Failed);
        }
        self.counts.writes += 1;
        self.counts.sectors_written += count;
        Ok(())
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// `Failed` where an error was injected: nothing more is durable than before.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        if self.strikes(Access::Flush, &(0..self.sectors)) {
            return Err(DiskError::Failed);
        }
        for (number, sector) in self.unflushed.drain(..) {
            self.durable.insert(number, sector);
        }
        self.counts.flushes += 1;
        Ok(())
    }

    /// The disk as the next boot finds it when the power goes now. Injected errors, the
    /// read-only switch and the counts are gone.
    pub fn power_cut(&self, cut: Cut) -> Disk {
        let mut durable = self.durable.clone();
        match cut {
            Cut::Lost => {}
            Cut::Kept => durable.extend(self.unflushed.iter().cloned()),
            Cut::First(count) => durable.extend(self.unflushed.iter().take(count).cloned()),
            Cut::Last(count) => {
                let lost = self.unflushed.len().saturating_sub(count);
                durable.extend(self.unflushed[lost..].iter().cloned());
            }
            Cut::Random(seed) => {
                let mut random = Random::new(seed);
                let mut versions: BTreeMap<u64, Vec<&Sector>> = BTreeMap::new();
                for (number, sector) in &self.unflushed {
                    versions.entry(*number).or_default().push(sector);
                }
                for (number, written) in versions {
                    let choice = random.below(written.len() as u64 + 1) as usize;
                    if let Some(sector) = written.get(choice) {
                        durable.insert(number, (*sector).clone());
                    }
                }
            }
        }
        Disk { sectors: self.sectors, current: durable.clone(), durable, ..Disk::default() }
    }

    /// Every operation of this kind that touches these sectors fails from now on.
    pub fn fail(&mut self, access: Access, sectors: Range<u64>) {
        self.faults.push(Fault { access, sectors, times: None });
    }

    /// The next `times` operations of this kind that touch these sectors fail.
    pub fn fail_times(&mut self, access: Access, sectors: Range<u64>, times: u32) {
        self.faults.push(Fault { access, sectors, times: Some(times) });
    }

    /// Takes all injected errors back.
    pub fn heal(&mut self) {
        self.faults.clear();
        self.read_only = false;
        self.room = None;
    }

    /// Refuses writes from now on, or no longer.
    pub fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Lets only so many sectors more be written for the first time.
    pub fn set_room(&mut self, sectors: u64) {
        self.room = Some(sectors);
    }

    /// Flips bits of one byte, on the medium and in the cache: what decay does.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn corrupt(&mut self, byte: u64, flip: u8) -> Result<(), DiskError> {
        let number = byte / SECTOR as u64;
        self.range(number, 1)?;
        for content in [&mut self.current, &mut self.durable] {
            let sector = content.entry(number).or_insert_with(|| Rc::new([0; SECTOR]));
            Rc::make_mut(sector)[(byte % SECTOR as u64) as usize] ^= flip;
        }
        Ok(())
    }

    /// The sectors that were ever written, in order.
    pub fn written(&self) -> impl Iterator<Item = u64> + '_ {
        self.current.keys().copied()
    }

    fn range(&self, first: u64, count: u64) -> Result<Range<u64>, DiskError> {
        match first.checked_add(count) {
            Some(end) if end <= self.sectors => Ok(first..end),
            _ => Err(DiskError::OutOfRange),
        }
    }

    fn strikes(&mut self, access: Access, range: &Range<u64>) -> bool {
        for fault in &mut self.faults {
            if fault.access != access || (access != Access::Flush && !overlap(&fault.sectors, range)) {
                continue;
            }
            match &mut fault.times {
                None => return true,
                Some(0) => {}
                Some(times) => {
                    *times -= 1;
                    return true;
                }
            }
        }
        false
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
