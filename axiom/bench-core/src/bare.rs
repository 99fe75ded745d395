//! The edges of the static library: memory and the end come from the program it is linked into.

use crate::Pair;
use alloc::boxed::Box;
use core::alloc::{GlobalAlloc, Layout};

unsafe extern "C" {
    fn aligned_alloc(alignment: usize, size: usize) -> *mut u8;
    fn free(memory: *mut u8);
    fn abort() -> !;
}

struct Host;

// SAFETY: aligned_alloc gives memory of the size and alignment asked for, or null; free takes what it gave.
unsafe impl GlobalAlloc for Host {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two; the size is a multiple of it.
        unsafe { aligned_alloc(layout.align().max(16), layout.size().next_multiple_of(layout.align().max(16))) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, _layout: Layout) {
        // SAFETY: the memory came from `alloc`.
        unsafe { free(memory) }
    }
}

#[global_allocator]
static HOST: Host = Host;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { abort() }
}

/// A pair, or null.
#[unsafe(no_mangle)]
pub extern "C" fn bench_new() -> *mut Pair {
    Pair::new().map_or(core::ptr::null_mut(), |pair| Box::into_raw(Box::new(pair)))
}

/// `count` round trips; how many went from hand to hand.
///
/// # Safety
/// `pair` is from [`bench_new`], and nobody else uses it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn bench_round_trips(pair: *mut Pair, count: u32) -> u32 {
    // SAFETY: as the caller promises.
    let pair = unsafe { &mut *pair };
    let mut good = 0;
    for _ in 0..count {
        good += u32::from(pair.round_trip());
    }
    good
}

/// Takes away full blocks.
///
/// # Safety
/// As [`bench_round_trips`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bench_drop_blocks(pair: *mut Pair) {
    // SAFETY: as the caller promises.
    unsafe { &mut *pair }.drop_blocks();
}
