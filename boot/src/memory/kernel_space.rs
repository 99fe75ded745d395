//! The kernel's half of every address space: the physical map, the kernel itself page by page with no
//! more rights than each part needs, device registers, and nothing at the stacks' guards.

use super::frames::Frames;
use super::{DEVICE_MAP, KERNEL_BASE, PAGE, PHYSICAL_MAP, mapped};
use crate::arch::stack;
use crate::handoff::{Handoff, Piece};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTable, PageTableFlags as Flags, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

unsafe extern "C" {
    static __kernel_start: u8;
    static __rodata_start: u8;
    static __text_start: u8;
    static __data_start: u8;
    static __kernel_end: u8;
}

const LARGE: u64 = 2 << 20;

/// The address behind the kernel.
pub fn end() -> u64 {
    &raw const __kernel_end as u64
}

/// Physical address of the top table that every address space shares its upper half with.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// Where the next device registers are mapped.
static NEXT_DEVICE: AtomicU64 = AtomicU64::new(DEVICE_MAP);

/// The top table of the kernel alone.
pub fn root() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

/// The table at a physical address.
///
/// # Safety
/// A page table lies there, and the caller is the only one that has it.
pub unsafe fn table<'a>(physical: u64) -> &'a mut PageTable {
    // SAFETY: all memory is mapped there; the rest is the caller's promise.
    unsafe { &mut *(mapped(physical) as *mut PageTable) }
}

/// Where an address lies now, in whatever tables are loaded.
pub fn translate(address: u64) -> Option<u64> {
    let (top, _) = Cr3::read();
    let mut physical = top.start_address().as_u64();
    for level in (0..4u32).rev() {
        let shift = 12 + 9 * level;
        // SAFETY: the loaded tables are tables; nobody else runs.
        let entry = unsafe { &table(physical)[(address >> shift & 511) as usize] };
        if !entry.flags().contains(Flags::PRESENT) {
            return None;
        }
        physical = entry.addr().as_u64();
        if level == 0 || entry.flags().contains(Flags::HUGE_PAGE) {
            let mask = (1 << shift) - 1;
            return Some((physical & !mask) + (address & mask));
        }
    }
    None
}

/// A zeroed frame for a table.
fn new_table(frames: &mut Frames<'_>) -> u64 {
    let Some(frame) = frames.take() else { crate::stop("there is no memory for the page tables") };
    // SAFETY: the frame was free, so it is nobody's.
    unsafe { (mapped(frame) as *mut u8).write_bytes(0, PAGE as usize) };
    frame
}

/// Maps one page (`level` 0) or one of 2 MiB (`level` 1).
fn map(root: u64, address: u64, physical: u64, flags: Flags, level: u32, frames: &mut Frames<'_>) {
    let mut at = root;
    for above in (level + 1..4).rev() {
        // SAFETY: the tables under construction are this function's alone.
        let entry = unsafe { &mut table(at)[(address >> (12 + 9 * above) & 511) as usize] };
        if entry.is_unused() {
            entry.set_addr(PhysAddr::new(new_table(frames)), Flags::PRESENT | Flags::WRITABLE);
        }
        at = entry.addr().as_u64();
    }
    let huge = if level > 0 { Flags::HUGE_PAGE } else { Flags::empty() };
    // SAFETY: as above.
    let entry = unsafe { &mut table(at)[(address >> (12 + 9 * level) & 511) as usize] };
    entry.set_addr(PhysAddr::new(physical), flags | huge | Flags::PRESENT);
}

/// Makes the kernel's tables and loads them. The stack in use lies in the kernel.
pub fn build(handoff: &Handoff, frames: &mut Frames<'_>) {
    let root = new_table(frames);
    let data = Flags::WRITABLE | Flags::NO_EXECUTE | Flags::GLOBAL;
    for physical in (0..handoff.end.max(4 << 30)).step_by(LARGE as usize) {
        map(root, PHYSICAL_MAP + physical, physical, data, 1, frames);
    }
    let (text, rodata, writable) =
        (&raw const __text_start as u64, &raw const __rodata_start as u64, &raw const __data_start as u64);
    for page in (&raw const __kernel_start as u64..end()).step_by(PAGE as usize) {
        if stack::is_guard(page) {
            continue;
        }
        let Some(physical) = translate(page) else { continue };
        let flags = if page >= writable {
            data
        } else if page >= text || page < rodata {
            // Before the constants lies the code of the entry.
            Flags::GLOBAL
        } else {
            Flags::NO_EXECUTE | Flags::GLOBAL
        };
        map(root, page, physical, flags, 0, frames);
    }
    // Every address space has these entries: what is mapped below them later is in all.
    for index in [DEVICE_MAP, PHYSICAL_MAP, KERNEL_BASE].map(|address| (address >> 39 & 511) as usize) {
        // SAFETY: the tables under construction are this function's alone.
        let entry = unsafe { &mut table(root)[index] };
        if entry.is_unused() {
            entry.set_addr(PhysAddr::new(new_table(frames)), Flags::PRESENT | Flags::WRITABLE);
        }
    }
    ROOT.store(root, Ordering::Relaxed);
    // SAFETY: the code that runs, its data and its stack are mapped as they were, with the rights that
    // they need.
    unsafe { Cr3::write(PhysFrame::containing_address(PhysAddr::new(root)), Cr3Flags::empty()) };
}

/// Maps device registers, uncached. They stay mapped.
pub fn map_device(piece: Piece, frames: &mut Frames<'_>) -> u64 {
    let first = piece.start / PAGE * PAGE;
    let bytes = piece.end.next_multiple_of(PAGE) - first;
    let flags = Flags::WRITABLE | Flags::NO_EXECUTE | Flags::NO_CACHE | Flags::WRITE_THROUGH | Flags::GLOBAL;
    let address = NEXT_DEVICE.fetch_add(bytes, Ordering::Relaxed);
    for offset in (0..bytes).step_by(PAGE as usize) {
        map(root(), address + offset, first + offset, flags, 0, frames);
        x86_64::instructions::tlb::flush(VirtAddr::new(address + offset));
    }
    address + piece.start - first
}
