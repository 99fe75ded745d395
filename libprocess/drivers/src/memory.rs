//! Pages that a device and its driver share. There is no IOMMU: a device reads and writes whatever
//! address it is given, so a driver gives it addresses of these pages alone.

use alloc::vec::Vec;
use core::ptr::NonNull;
use libprocess::{Cap, Device, Error, Mapped, Place, Quota, Region, Rights};

/// Bytes in a page.
pub const PAGE: usize = libprocess::abi::PAGE_SIZE;

/// Zeroed pages that a device and its driver share. They stay mapped until this is dropped.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    /// The bus address of each page.
    pages: Vec<u64>,
    /// What is behind it, the mapping first; `None` of memory that is not the kernel's.
    _region: Option<(Mapped, Cap<Region>)>,
}

impl Memory {
    /// New memory that `device` can use.
    pub fn new(device: &Cap<Device>, quota: &Cap<Quota>, pages: usize) -> Result<Memory, Error> {
        let region = Cap::<Region>::create(quota, pages as u64)?;
        let mapped = region.map(Place::Anywhere, Rights::READ.or(Rights::WRITE))?;
        let addresses = (0..pages as u64).map(|page| device.address(&region, page)).collect::<Result<_, _>>()?;
        let start = NonNull::new(mapped.pointer()).ok_or(Error::InvalidArgument)?;
        Ok(Memory { start, pages: addresses, _region: Some((mapped, region)) })
    }

    /// Memory that is there already: for tests of drivers against a model of their device.
    ///
    /// # Safety
    /// As many zeroed pages as there are addresses lie at `start`, which is a multiple of the page size, as long as this
    /// lives; nobody but the device that the addresses are given to uses them.
    pub unsafe fn of(start: NonNull<u8>, pages: Vec<u64>) -> Memory {
        Memory { start, pages, _region: None }
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
