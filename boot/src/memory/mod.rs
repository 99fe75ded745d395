//! Memory: frames, page tables, the kernel's heap, copying to and from processes.

pub mod elf;
pub mod frames;
#[cfg(target_os = "none")]
pub mod kernel_space;
#[cfg(target_os = "none")]
pub mod space;

/// Where all physical memory is mapped, for the kernel alone.
pub const PHYSICAL_MAP: u64 = 0xffff_8000_0000_0000;
/// Where device registers are mapped, uncached.
pub const DEVICE_MAP: u64 = 0xffff_a000_0000_0000;
/// What the kernel's addresses are above its physical ones.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Bytes in a page.
pub const PAGE: u64 = abi::PAGE_SIZE as u64;

/// The physical address behind the kernel's last byte, as PVH loads it.
#[cfg(target_os = "none")]
pub fn kernel_end_physical() -> u64 {
    kernel_space::end() - KERNEL_BASE
}

/// The address at which the kernel finds physical memory.
#[inline(always)]
pub const fn mapped(physical: u64) -> u64 {
    PHYSICAL_MAP + physical
}
