//! The heap: talc over what the host call [`GROW`](abi::native::GROW) adds.

use super::host::grow;
use abi::PAGE_SIZE;
use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::source::Source;

/// Pages that the heap grows by at least.
const GROWTH: usize = 16;

#[derive(Debug)]
pub(super) struct Growing {
    /// The end of what the allocator has.
    end: Option<NonNull<u8>>,
}

// SAFETY: the end of the heap belongs to the allocator, wherever that is used from.
unsafe impl Send for Growing {}

/// Pages that are enough for an allocation and what the allocator adds to it.
fn pages_for<B: Binning>(layout: Layout, is_first: bool) -> usize {
    // The chunk's own tag and rounding, twice; the bins lie in the first of the heap.
    let mut bytes = layout.size().saturating_add(layout.align()).saturating_add(4 * CHUNK_UNIT);
    if is_first {
        bytes = bytes.saturating_add(talc::min_first_heap_size::<B>());
    }
    bytes.div_ceil(PAGE_SIZE).max(GROWTH)
}

// SAFETY: allocates nothing itself.
unsafe impl Source for Growing {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let pages = pages_for::<B>(layout, !talc.is_metadata_established());
        let base = grow(pages as u64).map_err(|_| ())?;
        let base = with_exposed_provenance_mut::<u8>(base as usize);
        let length = pages * PAGE_SIZE;
        // SAFETY: the pages are new and nobody else's; the heap never shrinks, and it is in one
        // piece unless the kernel says another address.
        talc.source.end = unsafe {
            match talc.source.end {
                Some(end) if end.as_ptr() == base => Some(talc.extend(end, base.add(length))),
                _ => talc.claim(base, length),
            }
        };
        talc.source.end.map(|_| ()).ok_or(())
    }
}

#[global_allocator]
static HEAP: talc::TalcLock<super::lock::HeapLock, Growing> = talc::TalcLock::new(Growing { end: None });
