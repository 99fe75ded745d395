//! How devices are reached: the processor's ports, and registers in memory. The one place here that is
//! about the real machine, so that all else runs in ordinary tests too.

pub use abi::pci::Width;

/// The machine as its devices are reached.
pub trait Bus {
    /// Reads a port; a width of 8 bytes reads 4.
    fn input(&mut self, port: u16, width: Width) -> u32;

    /// Writes a port; a width of 8 bytes writes 4.
    fn output(&mut self, port: u16, width: Width, value: u32);

    /// Reads a device register at an address that was mapped for it.
    fn load(&mut self, address: u64, width: Width) -> u64;

    /// Writes one.
    fn store(&mut self, address: u64, width: Width, value: u64);

    /// 64 random bits; `None` if the machine has none to give.
    fn random(&mut self) -> Option<u64>;
}

#[cfg(target_os = "none")]
pub use bare::Bare;

#[cfg(target_os = "none")]
mod bare {
    use super::{Bus, Width};
    use core::arch::asm;
    use core::arch::x86_64::__cpuid;
    use x86_64::instructions::port::Port;

    /// How often the processor is asked for a random number that it has not got yet: as its manual says.
    const PATIENCE: u32 = 10;

    /// The real one.
    #[derive(Debug)]
    pub struct Bare {
        random: bool,
    }

    impl Bare {
        /// The processor's ports, and whatever is mapped.
        ///
        /// # Safety
        /// Addresses given to [`Bus::load`] and [`Bus::store`] are of device registers that are mapped
        /// for whoever has this, and nobody else drives these devices.
        pub unsafe fn new() -> Bare {
            Bare { random: __cpuid(1).ecx >> 30 & 1 == 1 }
        }
    }

    impl Bus for Bare {
        fn input(&mut self, port: u16, width: Width) -> u32 {
            // SAFETY: the devices behind the ports are this one's alone, as `new` says; no port of theirs
            // changes memory that they were not told of.
            unsafe {
                match width {
                    Width::One => Port::<u8>::new(port).read().into(),
                    Width::Two => Port::<u16>::new(port).read().into(),
                    Width::Four | Width::Eight => Port::<u32>::new(port).read(),
                }
            }
        }

        fn output(&mut self, port: u16, width: Width, value: u32) {
            // SAFETY: as above.
            unsafe {
                match width {
                    Width::One => Port::<u8>::new(port).write(value as u8),
                    Width::Two => Port::<u16>::new(port).write(value as u16),
                    Width::Four | Width::Eight => Port::<u32>::new(port).write(value),
                }
            }
        }

        fn load(&mut self, address: u64, width: Width) -> u64 {
            // SAFETY: mapped device registers, as `new` says; the width's alignment is checked where the
            // register's number is read.
            unsafe {
                match width {
                    Width::One => (address as *const u8).read_volatile().into(),
                    Width::Two => (address as *const u16).read_volatile().into(),
                    Width::Four => (address as *const u32).read_volatile().into(),
                    Width::Eight => (address as *const u64).read_volatile(),
                }
            }
        }

        fn store(&mut self, address: u64, width: Width, value: u64) {
            // SAFETY: as above.
            unsafe {
                match width {
                    Width::One => (address as *mut u8).write_volatile(value as u8),
                    Width::Two => (address as *mut u16).write_volatile(value as u16),
                    Width::Four => (address as *mut u32).write_volatile(value as u32),
                    Width::Eight => (address as *mut u64).write_volatile(value),
                }
            }
        }

        fn random(&mut self) -> Option<u64> {
            if !self.random {
                return None;
            }
            for _ in 0..PATIENCE {
                let (number, good): (u64, u8);
                // SAFETY: the processor has the instruction; it touches nothing but its registers.
                unsafe { asm!("rdrand {}", "setc {}", out(reg) number, out(reg_byte) good, options(nomem, nostack)) };
                if good == 1 {
                    return Some(number);
                }
            }
            None
        }
    }
}
