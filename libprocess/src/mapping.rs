//! Regions in the address space of the process, where the host has such: on bare x86_64. Elsewhere
//! [`Cap<Region>::map`](crate::Cap::map) is `Unsupported`, and [`read`](crate::Cap::read) and [`write`](crate::Cap::write)
//! copy.
//!
//! Whoever else has the region may change it at any time, so [`Mapped`] gives no slices: only
//! copies and atomics.
#![allow(unsafe_code)]

use crate::capability::{Cap, Region};
use crate::placement::Placement;
use crate::system;
use crate::thread::Mutex;
use abi::native::{REGIONS_END, REGIONS_FROM};
use abi::{Error, FOREVER, PAGE_SIZE, Request, Rights};
use core::mem::ManuallyDrop;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// The addresses at which something of this process is mapped.
pub(crate) static PLACES: Mutex<Placement> = Mutex::new(Placement::new(REGIONS_FROM, REGIONS_END));

/// Where a region is to be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere, with a page before and behind it that is not mapped.
    Anywhere,
    /// At this address, a multiple of the page size within [`REGIONS_FROM`] to [`REGIONS_END`].
    At(u64),
}

/// A region that is mapped, until this is dropped. If its capability is revoked before that, or the
/// region destroyed, touching it is a fault.
#[derive(Debug)]
pub struct Mapped {
    /// Derived from that which was mapped: the mapping goes with it.
    region: ManuallyDrop<Cap<Region>>,
    address: u64,
    length: usize,
}

impl Cap<Region> {
    /// How many pages it has. Found by asking whether there are as many: twice as often as that number has
    /// binary digits. Needs read.
    pub fn pages(&self) -> Result<u64, Error> {
        const PAGE: u64 = PAGE_SIZE as u64;
        // No byte is read: an offset is refused if it lies behind the end.
        let has = |pages: u64| {
            let Some(offset) = pages.checked_mul(PAGE) else { return Ok(false) };
            match system::bytes(&Request::RegionRead { region: self.handle(), offset, length: 0 }) {
                Ok(_) => Ok(true),
                Err(Error::InvalidArgument) => Ok(false),
                Err(error) => Err(error),
            }
        };
        has(0)?;
        let mut above = 1u64;
        while has(above)? {
            above = above.checked_mul(2).ok_or(Error::TooLarge)?;
        }
        let mut below = above / 2;
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            *(if has(middle)? { &mut below } else { &mut above }) = middle;
        }
        Ok(below)
    }

    /// Maps all of it with these rights: read, and with it write or execute, never both. Derives a
    /// capability, through which it is mapped; one that expires cannot be. `InvalidArgument` for an address that
    /// cannot be, `AlreadyBound` for one that is taken.
    pub fn map(&self, place: Place, rights: Rights) -> Result<Mapped, Error> {
        if !cfg!(target_os = "none") {
            return Err(Error::Unsupported);
        }
        let pages = self.pages()?;
        let length =
            usize::try_from(pages).ok().and_then(|pages| pages.checked_mul(PAGE_SIZE)).ok_or(Error::TooLarge)?;
        let address = take(place, pages)?;
        let made = self.derive_with(rights.or(Rights::READ), 0, FOREVER).and_then(|region| {
            system::plain(&Request::RegionMap { region: region.handle(), address, rights }, &[])?;
            Ok(region)
        });
        match made {
            Ok(region) => Ok(Mapped { region: ManuallyDrop::new(region), address, length }),
            Err(error) => {
                PLACES.lock().release(address);
                Err(error)
            }
        }
    }
}

fn take(place: Place, pages: u64) -> Result<u64, Error> {
    let mut places = PLACES.lock();
    match place {
        Place::Anywhere => places.take(pages).ok_or(Error::TooLarge),
        Place::At(address) if places.take_at(address, pages) => Ok(address),
        Place::At(address) => {
            let end = pages.checked_mul(PAGE_SIZE as u64).and_then(|bytes| address.checked_add(bytes));
            let can_be = address >= REGIONS_FROM
                && address.is_multiple_of(PAGE_SIZE as u64)
                && end.is_some_and(|end| end <= REGIONS_END);
            Err(if can_be { Error::AlreadyBound } else { Error::InvalidArgument })
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        drop(unsafe { ManuallyDrop::take(&mut self.region) });
        PLACES.lock().release(self.address);
    }
}

mod sealed {
    pub trait Sealed {}
}

/// An integer that can be read and written while others do: [`AtomicU8`] to [`AtomicU64`].
pub trait Atomic: sealed::Sealed + 'static {}

macro_rules! atomics {
    ($($name:ty),*) => {$(
        impl sealed::Sealed for $name {}
        impl Atomic for $name {}
    )*};
}
atomics!(AtomicU8, AtomicU16, AtomicU32, AtomicU64);

impl Mapped {
    /// Where it is mapped.
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// The same as a pointer, for what a device or another language uses.
    pub fn pointer(&self) -> *mut u8 {
        with_exposed_provenance_mut(self.address as usize)
    }

    /// Bytes that are mapped; a multiple of the page size.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The integer at `offset` bytes. To store into what was mapped without [`Rights::WRITE`] is a fault.
    /// `InvalidArgument` if it is not aligned or not all within.
    pub fn atomic<A: Atomic>(&self, offset: usize) -> Result<&A, Error> {
        let size = size_of::<A>();
        if !offset.is_multiple_of(size) || offset.checked_add(size).is_none_or(|end| end > self.length) {
            return Err(Error::InvalidArgument);
        }
        // SAFETY: it lies within what is mapped as long as `self` lives, and is aligned, since a page is.
        // Zeroed pages that other processes and devices write into are a value of every atomic integer. Rust
        // knows of nothing else in that memory.
        Ok(unsafe { &*self.pointer().add(offset).cast::<A>() })
    }

    /// Copies out, from `offset` on. What is written meanwhile may come or not, byte by byte.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.within(offset, bytes.len())?;
        let (head, rest) = bytes.split_at_mut(to_word(offset).min(bytes.len()));
        let mut at = offset;
        for byte in head {
            *byte = self.atomic::<AtomicU8>(at)?.load(Ordering::Relaxed);
            at += 1;
        }
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.atomic::<AtomicU64>(at)?.load(Ordering::Relaxed).to_le_bytes());
            at += 8;
        }
        for byte in words.into_remainder() {
            *byte = self.atomic::<AtomicU8>(at)?.load(Ordering::Relaxed);
            at += 1;
        }
        Ok(())
    }

    /// Copies in, from `offset` on. A fault if it was mapped without [`Rights::WRITE`].
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.within(offset, bytes.len())?;
        let (head, rest) = bytes.split_at(to_word(offset).min(bytes.len()));
        let mut at = offset;
        for byte in head {
            self.atomic::<AtomicU8>(at)?.store(*byte, Ordering::Relaxed);
            at += 1;
        }
        let words = rest.chunks_exact(8);
        let tail = words.remainder();
        for word in words {
            let word = word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            self.atomic::<AtomicU64>(at)?.store(word, Ordering::Relaxed);
            at += 8;
        }
        for byte in tail {
            self.atomic::<AtomicU8>(at)?.store(*byte, Ordering::Relaxed);
            at += 1;
        }
        Ok(())
    }

    fn within(&self, offset: usize, length: usize) -> Result<(), Error> {
        let end = offset.checked_add(length).ok_or(Error::InvalidArgument)?;
        if end > self.length { Err(Error::InvalidArgument) } else { Ok(()) }
    }
}

/// Bytes from `offset` to the next multiple of eight.
const fn to_word(offset: usize) -> usize {
    offset.wrapping_neg() % 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::Handle;
    use std::vec::Vec;

    /// Memory of this program in the place of a region's.
    struct Memory(ManuallyDrop<Mapped>, #[allow(dead_code)] Vec<u64>);

    fn memory(pages: usize) -> Memory {
        let mut words = std::vec![0u64; pages * PAGE_SIZE / 8];
        let address = words.as_mut_ptr().expose_provenance() as u64;
        let region = ManuallyDrop::new(Cap::from_handle(Handle::NONE));
        Memory(ManuallyDrop::new(Mapped { region, address, length: pages * PAGE_SIZE }), words)
    }

    #[test]
    fn what_was_written_is_read_at_every_offset_and_length() {
        let Memory(mapped, _words) = memory(1);
        for offset in 0..20 {
            for length in 0..40 {
                let bytes: Vec<u8> = (0..length).map(|byte| (byte * 7 + offset + 1) as u8).collect();
                mapped.write(0, &[0; 64]).unwrap();
                mapped.write(offset, &bytes).unwrap();
                let mut all = [0xff; 64];
                mapped.read(0, &mut all).unwrap();
                let mut expected = [0; 64];
                expected[offset..offset + length].copy_from_slice(&bytes);
                assert_eq!(all, expected, "offset {offset}, length {length}");
                let mut some = std::vec![0xff; length];
                mapped.read(offset, &mut some).unwrap();
                assert_eq!(some, bytes);
            }
        }
    }

    #[test]
    fn nothing_outside_is_touched() {
        let Memory(mapped, _words) = memory(1);
        let end = mapped.length();
        for (offset, length) in
            [(end, 1), (end - 1, 2), (end + 1, 0), (usize::MAX, 1), (usize::MAX - 3, 8), (0, end + 1)]
        {
            let mut bytes = std::vec![1; length];
            assert_eq!(mapped.read(offset, &mut bytes), Err(Error::InvalidArgument));
            assert_eq!(mapped.write(offset, &bytes), Err(Error::InvalidArgument));
        }
        assert_eq!(mapped.write(end, &[]), Ok(()));
        for offset in [end - 4, end, usize::MAX - 7, 4, 1] {
            assert!(mapped.atomic::<AtomicU64>(offset).is_err(), "{offset}");
        }
        mapped.atomic::<AtomicU32>(end - 4).unwrap().store(0x0403_0201, Ordering::Relaxed);
        assert_eq!(mapped.atomic::<AtomicU8>(end - 1).unwrap().load(Ordering::Relaxed), 4);
    }
}
