//! Pages that a device and its driver share. There is no IOMMU: a device reads and writes whatever
//! address it is given, so a driver gives it addresses of these pages alone.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use libprocess::abi::native::{REGIONS_END, REGIONS_FROM};
use libprocess::{Cap, Device, Error, Quota, Region, Rights};

/// Bytes in a page.
pub const PAGE: usize = libprocess::abi::PAGE_SIZE;

/// Where shared memory is mapped next: not where the process's own mappings begin.
static NEXT: AtomicU64 = AtomicU64::new(REGIONS_FROM + (1 << 37));
/// Places that are tried before it is given up.
const TRIES: usize = 64;

/// Zeroed pages that a device and its driver share. They stay mapped until this is dropped.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    /// The bus address of each page.
    pages: Vec<u64>,
    /// The region behind it; `None` of memory that is not the kernel's.
    region: Option<Cap<Region>>,
}

impl Memory {
    /// New memory that `device` can use.
    pub fn new(device: &Cap<Device>, quota: &Cap<Quota>, pages: usize) -> Result<Memory, Error> {
        let region = Cap::<Region>::create(quota, pages as u64)?;
        let bytes = (pages * PAGE) as u64;
        let mut address = 0;
        for attempt in 0.. {
            address = NEXT.fetch_add(bytes, Ordering::Relaxed);
            if address >= REGIONS_END - bytes {
                return Err(Error::QuotaExceeded);
            }
            match region.map_at(address, Rights::READ.or(Rights::WRITE)) {
                Err(Error::AlreadyBound) if attempt < TRIES => {}
                result => {
                    result?;
                    break;
                }
            }
        }
        let addresses = (0..pages as u64).map(|page| device.address(&region, page)).collect::<Result<_, _>>()?;
        let start = NonNull::new(address as *mut u8).ok_or(Error::InvalidArgument)?;
        Ok(Memory { start, pages: addresses, region: Some(region) })
    }

    /// Memory that is there already: for tests of drivers against a model of their device.
    ///
    /// # Safety
    /// As many zeroed pages as there are addresses lie at `start`, which is a multiple of the page size, as long as this
    /// lives; nobody but the device that the addresses are given to uses them.
    pub unsafe fn of(start: NonNull<u8>, pages: Vec<u64>) -> Memory {
        Memory { start, pages, region: None }
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// The bus address of the byte at this offset; `None` outside.
    pub fn address(&self, offset: usize) -> Option<u64> {
        Some(self.pages.get(offset / PAGE)? + (offset % PAGE) as u64)
    }

    /// From this offset on, how many of at most `length` bytes follow each other on the bus too.
    pub fn run(&self, offset: usize, length: usize) -> usize {
        let Some(first) = self.address(offset) else { return 0 };
        let mut run = PAGE - offset % PAGE;
        while run < length && self.address(offset + run) == Some(first + run as u64) {
            run += PAGE;
        }
        run.min(length)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(region) = &self.region {
            // The region goes with its last capability, and the mapping with it. The device was stopped
            // first: the host sees to that.
            let _ = region.unmap_from(self.start.as_ptr() as u64);
        }
    }
}
