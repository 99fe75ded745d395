//! From the loader to the machine: memory first, then the processor, then everything else.

use crate::arch::clock::Clock;
use crate::arch::lapic::Lapic;
use crate::arch::{cpu, serial, stack};
use crate::handoff::{Handoff, Piece};
use crate::machine::{self, Hardware};
use crate::memory::frames::Frames;
use crate::memory::{PAGE, PHYSICAL_MAP, kernel_space, mapped};
use crate::say;
use bootloader_api::config::Mapping;
use bootloader_api::info::MemoryRegionKind;
use bootloader_api::{BootInfo, BootloaderConfig};
use core::arch::naked_asm;
use linked_list_allocator::Heap;
use spin::Mutex;

static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::FixedAddress(PHYSICAL_MAP));
    config.mappings.dynamic_range_start = Some(0xffff_b000_0000_0000);
    config.mappings.aslr = false;
    config.kernel_stack_size = 64 * 1024;
    config
};
bootloader_api::entry_point!(from_bootloader, config = &CONFIG);

/// The other entry: by the bootloader, from a disk.
fn from_bootloader(info: &'static mut BootInfo) -> ! {
    let mut handoff = Handoff::new("bootloader");
    for region in info.memory_regions.iter() {
        if region.kind == MemoryRegionKind::Usable {
            // The first MiB stays the firmware's.
            handoff.add_memory(Piece { start: region.start.max(0x10_0000), end: region.end });
        } else {
            handoff.end = handoff.end.max(region.end.min(64 << 30));
        }
    }
    handoff.rsdp = info.rsdp_addr.into_option();
    handoff.ramdisk = info.ramdisk_addr.into_option().and_then(|address| {
        let start = kernel_space::translate(address)?;
        Some(Piece { start, end: start + info.ramdisk_len })
    });
    on_own_stack(&handoff)
}

/// The bootloader's stack is not mapped in the kernel's own tables.
#[unsafe(naked)]
extern "sysv64" fn on_own_stack(handoff: &Handoff) -> ! {
    naked_asm!(
        "lea rsp, [rip + {stack} + {bytes}]",
        "xor ebp, ebp",
        "call {go}",
        "ud2",
        stack = sym stack::KERNEL,
        bytes = const size_of::<stack::KernelStack>(),
        go = sym go,
    )
}

extern "sysv64" fn go(handoff: &Handoff) -> ! {
    start(handoff.clone())
}

/// The kernel's heap: bounded, and what its quotas promise together is less.
struct KernelHeap(Mutex<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(Mutex::new(Heap::empty()));

// SAFETY: the list allocator gives pieces of its own memory that do not overlap; one at a time uses it.
unsafe impl core::alloc::GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: core::alloc::Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(core::ptr::null_mut(), |memory| memory.as_ptr())
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: core::alloc::Layout) {
        if let Some(memory) = core::ptr::NonNull::new(memory) {
            // SAFETY: as the caller promises, it came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(memory, layout) };
        }
    }
}

/// Bytes of the heap that are taken.
pub fn heap_taken() -> usize {
    HEAP.0.lock().used()
}

/// Bytes of the heap: an eighth of the memory, at most so many.
const LARGEST_HEAP: u64 = 128 << 20;

/// Both entries come here, on the kernel's own stack, with interrupts off.
pub fn start(mut handoff: Handoff) -> ! {
    serial::start();
    say!("orbital {}: kernel, by {}", env!("CARGO_PKG_VERSION"), handoff.entry);
    let mut frames = frames(&mut handoff);
    kernel_space::build(&handoff, &mut frames);
    let heap = (frames.count() * PAGE / 8).min(LARGEST_HEAP) / PAGE * PAGE;
    let Some(at) = frames.take_run(heap / PAGE) else { stop("there is no memory for the kernel's heap") };
    // SAFETY: the frames were just taken and are given to nobody else; they stay mapped.
    unsafe { HEAP.0.lock().init(mapped(at) as *mut u8, heap as usize) };

    let features = cpu::start(cfg!(feature = "measure"));
    say!("orbital: {features}");
    let mut lapic = Lapic::start(&mut frames);
    let clock = Clock::measure(&mut lapic);
    machine::boot(&handoff, Hardware { frames, lapic, clock, heap })
}

/// The map of free frames, in the largest piece of memory.
fn frames(handoff: &mut Handoff) -> Frames<'static> {
    let words = Frames::words(handoff.end);
    let bytes = (words as u64 * 8).next_multiple_of(PAGE);
    let Some(largest) = handoff.memory.iter().copied().max_by_key(|piece| piece.end - piece.start) else {
        stop("the loader found no memory")
    };
    if largest.end - largest.start < bytes {
        stop("there is too little memory");
    }
    let own = Piece { start: largest.start, end: largest.start + bytes };
    handoff.reserve(own);
    // SAFETY: this memory is free, mapped, and from now on nobody else's.
    let bitmap = unsafe { core::slice::from_raw_parts_mut(mapped(own.start) as *mut u64, words) };
    let mut frames = Frames::new(bitmap);
    for piece in &handoff.memory {
        frames.add(*piece);
    }
    frames
}

/// Nothing can go on: says why and turns the machine off, or stands still.
pub fn stop(why: &str) -> ! {
    say!("orbital: the machine stops: {why}");
    crate::machine::power::off(70)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("orbital: the kernel found a defect in itself and stops: {info}");
    crate::machine::power::off(70)
}
