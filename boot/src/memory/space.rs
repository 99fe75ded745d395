//! The address space of a process: its half of the page tables. The kernel reads and writes it by walking
//! them, through the physical map, and never through the process's own addresses.

use super::elf::Executable;
use super::frames::Frames;
use super::kernel_space::{self, table};
use super::{PAGE, mapped};
use abi::Rights;
use core::ops::Range;
use x86_64::PhysAddr;
use x86_64::structures::paging::PageTableFlags as Flags;

/// A frame that the space does not own: a region's.
const FOREIGN: Flags = Flags::BIT_9;
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER_ACCESSIBLE);
/// One more than the last entry of the top table that is a process's.
const HALF: usize = 256;

/// There is no frame left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

/// The page tables of one process. To be given back with [`Space::free`].
#[derive(Debug)]
pub struct Space {
    root: u64,
    /// A table of pages that was found or made for a region: the next is mostly mapped beside it. Tables go only with
    /// their space.
    recent: Recent,
}

/// A table of pages.
#[derive(Clone, Copy, Debug)]
struct Recent {
    /// The addresses that it is of, in 2 MiB.
    part: u64,
    /// Where it lies.
    table: u64,
}

impl Recent {
    /// No address is in so high a part.
    const NONE: Recent = Recent { part: u64::MAX, table: 0 };
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level) & 511) as usize
}

/// A frame of zeros.
pub fn zeroed(frames: &mut Frames<'_>) -> Result<u64, NoMemory> {
    let frame = frames.take().ok_or(NoMemory)?;
    zero(frame);
    Ok(frame)
}

/// Fills a frame that is nobody's with zeros.
pub fn zero(frame: u64) {
    // SAFETY: the frame was free, so it is nobody's; all memory is mapped there.
    unsafe { (mapped(frame) as *mut [u64; 512]).write([0; 512]) };
}

impl Space {
    /// With nothing in it.
    pub fn new(frames: &mut Frames<'_>) -> Result<Space, NoMemory> {
        let root = zeroed(frames)?;
        // SAFETY: the frame was just taken; the kernel's table is only read.
        let (new, kernel) = unsafe { (table(root), table(kernel_space::root())) };
        for index in HALF..512 {
            new[index] = kernel[index].clone();
        }
        Ok(Space { root, recent: Recent::NONE })
    }

    /// Physical address of the top table.
    #[inline]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Tables that mapping these addresses would add.
    pub fn tables_for(&self, addresses: Range<u64>) -> u64 {
        let mut missing = 0;
        for level in 1..4 {
            let size = 1u64 << (12 + 9 * level);
            let mut at = addresses.start / size * size;
            while at < addresses.end {
                missing += u64::from(self.table_at(at, level - 1).is_none());
                at += size;
            }
        }
        missing
    }

    /// Whether these addresses, some at least, are all in one table of pages that there is.
    #[inline(always)]
    pub fn has_table_for(&mut self, addresses: Range<u64>) -> bool {
        addresses.start >> 21 == (addresses.end - 1) >> 21 && self.find_table(addresses.start).is_some()
    }

    /// The table of pages that an address is in.
    #[inline(always)]
    fn find_table(&mut self, address: u64) -> Option<u64> {
        if self.recent.part != address >> 21 {
            self.recent = Recent { part: address >> 21, table: self.table_at(address, 0)? };
        }
        Some(self.recent.table)
    }

    /// The table of this level (0: of pages) that an address is in.
    fn table_at(&self, address: u64, level: u32) -> Option<u64> {
        let mut at = self.root;
        for above in (level + 1..4).rev() {
            // SAFETY: tables of this space; they change only through it, and the kernel has one thread.
            let entry = unsafe { &table(at)[index(address, above)] };
            if entry.is_unused() {
                return None;
            }
            at = entry.addr().as_u64();
        }
        Some(at)
    }

    /// Makes the tables for these addresses.
    pub fn prepare(&mut self, addresses: Range<u64>, frames: &mut Frames<'_>) -> Result<(), NoMemory> {
        let size = 2 << 20;
        let mut at = addresses.start / size * size;
        while at < addresses.end {
            self.leaf_table(at, frames)?;
            at += size;
        }
        Ok(())
    }

    fn leaf_table(&mut self, address: u64, frames: &mut Frames<'_>) -> Result<u64, NoMemory> {
        let mut at = self.root;
        for level in (1..4).rev() {
            // SAFETY: as in `table_at`.
            let entry = unsafe { &mut table(at)[index(address, level)] };
            if entry.is_unused() {
                entry.set_addr(PhysAddr::new(zeroed(frames)?), TABLE);
            }
            at = entry.addr().as_u64();
        }
        Ok(at)
    }

    fn set(&mut self, address: u64, frame: u64, flags: Flags, frames: &mut Frames<'_>) -> Result<(), NoMemory> {
        let leaf = self.leaf_table(address, frames)?;
        // SAFETY: as in `table_at`.
        let entry = unsafe { &mut table(leaf)[index(address, 0)] };
        entry.set_addr(PhysAddr::new(frame), flags | Flags::PRESENT | Flags::USER_ACCESSIBLE);
        Ok(())
    }

    /// Zeroed pages of its own at these addresses, which nothing has yet.
    pub fn add(
        &mut self,
        addresses: Range<u64>,
        write: bool,
        execute: bool,
        frames: &mut Frames<'_>,
    ) -> Result<(), NoMemory> {
        for address in addresses.step_by(PAGE as usize) {
            let frame = zeroed(frames)?;
            if self.set(address, frame, flags(write, execute), frames).is_err() {
                frames.free(frame);
                return Err(NoMemory);
            }
        }
        Ok(())
    }

    /// Frames of a region at an address. Where tables are missing, so are its pages: they are made before.
    #[inline(always)]
    pub fn map(&mut self, address: u64, region: &[u64], rights: Rights) {
        let flags = flags(rights.contains(Rights::WRITE), rights.contains(Rights::EXECUTE)) | FOREIGN;
        for (number, frame) in region.iter().enumerate() {
            let address = address + number as u64 * PAGE;
            let Some(leaf) = self.find_table(address) else { continue };
            // SAFETY: as in `table_at`.
            let entry = unsafe { &mut table(leaf)[index(address, 0)] };
            entry.set_addr(PhysAddr::new(*frame), flags | Flags::PRESENT | Flags::USER_ACCESSIBLE);
        }
    }

    /// So many pages of a region are at this address no longer.
    #[inline(always)]
    pub fn unmap(&mut self, address: u64, pages: u64) {
        for number in 0..pages {
            let address = address + number * PAGE;
            let Some(leaf) = self.find_table(address) else { continue };
            // SAFETY: as in `table_at`.
            let entry = unsafe { &mut table(leaf)[index(address, 0)] };
            if entry.flags().contains(FOREIGN) {
                entry.set_unused();
            }
        }
    }

    /// Pages and tables that loading an executable into an empty space takes.
    pub fn pages_to_load(&self, executable: &Executable, others: &[Range<u64>]) -> u64 {
        let image = executable.segments.first().map_or(0, |first| first.first_page())
            ..executable.segments.last().map_or(0, |last| last.end_page());
        let pages: u64 = others.iter().map(|range| (range.end - range.start) / PAGE).sum();
        // Ranges far apart share only the upper tables, which are counted once for each: a few too many.
        let tables: u64 = others.iter().chain([&image]).map(|range| self.tables_for(range.clone())).sum();
        executable.pages() + pages + tables
    }

    /// Loads the segments of an executable that lies in `file`.
    pub fn load(&mut self, executable: &Executable, file: &[u8], frames: &mut Frames<'_>) -> Result<(), NoMemory> {
        for segment in &executable.segments {
            self.add(segment.first_page()..segment.end_page(), segment.write, segment.execute, frames)?;
            let from = segment.offset as usize;
            let bytes = file.get(from..from + segment.file_length as usize).unwrap_or_default();
            self.write_at(segment.address, bytes, Access::Loader);
        }
        Ok(())
    }

    /// Where an address lies, if the process may reach it so.
    #[inline]
    fn find(&self, address: u64, access: Access) -> Option<u64> {
        if address >= 1 << 47 {
            return None;
        }
        let mut at = self.root;
        for level in (1..4).rev() {
            // SAFETY: as in `table_at`.
            let entry = unsafe { &table(at)[index(address, level)] };
            if entry.is_unused() {
                return None;
            }
            at = entry.addr().as_u64();
        }
        // SAFETY: as in `table_at`.
        let entry = unsafe { &table(at)[index(address, 0)] };
        let flags = entry.flags();
        let allowed = match access {
            Access::Read => flags.contains(Flags::PRESENT),
            Access::Write => flags.contains(Flags::PRESENT | Flags::WRITABLE),
            Access::Loader => flags.contains(Flags::PRESENT),
        };
        allowed.then(|| entry.addr().as_u64() + address % PAGE)
    }

    /// The pieces of physical memory behind `length` bytes at `address`, up to the first that the process
    /// may not reach so; whether that was all.
    fn pieces(
        &self,
        address: u64,
        length: usize,
        access: Access,
        mut piece: impl FnMut(*mut u8, usize, usize),
    ) -> bool {
        let mut done = 0;
        while done < length {
            let Some(at) = address.checked_add(done as u64) else { return false };
            let Some(physical) = self.find(at, access) else { return false };
            let part = (length - done).min((PAGE - at % PAGE) as usize);
            piece(mapped(physical) as *mut u8, done, part);
            done += part;
        }
        true
    }

    /// Whether the process can read all of these bytes.
    pub fn can_read(&self, address: u64, length: usize) -> bool {
        self.pieces(address, length, Access::Read, |_, _, _| {})
    }

    /// Copies out of the process; false if it could not read all of it itself.
    pub fn read(&self, address: u64, into: &mut [u8]) -> bool {
        self.pieces(address, into.len(), Access::Read, |from, done, part| {
            // SAFETY: `from` is `part` bytes of a page of the process, which `into` is not.
            unsafe { core::ptr::copy_nonoverlapping(from, into[done..done + part].as_mut_ptr(), part) };
        })
    }

    /// Copies into the process; false if it could not write all of it itself.
    pub fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.write_at(address, bytes, Access::Write)
    }

    fn write_at(&self, address: u64, bytes: &[u8], access: Access) -> bool {
        self.pieces(address, bytes.len(), access, |to, done, part| {
            // SAFETY: as in `read`.
            unsafe { core::ptr::copy_nonoverlapping(bytes[done..done + part].as_ptr(), to, part) };
        })
    }

    /// Copies from this process into another, or elsewhere in this one.
    pub fn copy_to(&self, address: u64, to: &Space, target: u64, length: usize) -> bool {
        let mut whole = true;
        let read = self.pieces(address, length, Access::Read, |from, done, part| {
            whole &= to.pieces(target + done as u64, part, Access::Write, |to, offset, part| {
                // SAFETY: both are `part` bytes of a page each; they may be the same.
                unsafe { core::ptr::copy(from.add(offset), to, part) };
            });
        });
        read && whole
    }

    /// Gives back its tables and the pages that are its own.
    pub fn free(self, frames: &mut Frames<'_>) {
        free_table(self.root, 3, HALF, frames);
    }
}

fn free_table(at: u64, level: u32, entries: usize, frames: &mut Frames<'_>) {
    // SAFETY: a table of a space that nobody uses any more.
    for entry in unsafe { table(at) }.iter().take(entries) {
        if entry.is_unused() {
            continue;
        }
        if level > 0 {
            free_table(entry.addr().as_u64(), level - 1, 512, frames);
        } else if !entry.flags().contains(FOREIGN) {
            frames.free(entry.addr().as_u64());
        }
    }
    frames.free(at);
}

/// How the process could reach an address itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    /// The kernel fills pages that the process may only read.
    Loader,
}

fn flags(write: bool, execute: bool) -> Flags {
    let mut flags = Flags::empty();
    flags.set(Flags::WRITABLE, write);
    flags.set(Flags::NO_EXECUTE, !execute);
    flags
}
