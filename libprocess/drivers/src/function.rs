//! A PCI function through its capabilities.

use crate::memory::Memory;
use core::future::Future;
use core::time::Duration;
use libprocess::abi::pci::{Register, Space, Width};
use libprocess::{BoundInterrupt, Cap, Device, Error, Interrupt, Quota, sleep};

/// How often a device is looked at whose interrupt cannot be had.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a driver needs of its device: the function itself, or in tests a model of it.
pub trait Bus {
    /// Reads a register ([`libprocess::abi::pci`] and [`libprocess::abi::device`] have their numbers).
    fn read(&self, register: u64) -> Result<u64, Error>;

    /// Writes a register.
    fn write(&self, register: u64, value: u64) -> Result<(), Error>;

    /// Zeroed pages that the device can use.
    fn memory(&self, pages: usize) -> Result<Memory, Error>;

    /// Whether the device can interrupt.
    fn interrupts(&self) -> bool;

    /// Waits until the device has interrupted since the last wait, or where it cannot, a while.
    fn interrupt(&self) -> impl Future<Output = Result<(), Error>>;
}

/// A function as its driver holds it.
#[derive(Debug)]
pub struct Function {
    device: Cap<Device>,
    interrupt: Option<BoundInterrupt>,
    quota: Cap<Quota>,
}

impl Function {
    /// A function whose memory `quota` pays for. Without its interrupt it is looked at every 2 ms. Errors
    /// are those of binding the interrupt.
    pub fn new(device: Cap<Device>, interrupt: Option<Cap<Interrupt>>, quota: Cap<Quota>) -> Result<Function, Error> {
        let interrupt = interrupt.map(BoundInterrupt::bind).transpose()?;
        Ok(Function { device, interrupt, quota })
    }
}

impl Bus for Function {
    fn read(&self, register: u64) -> Result<u64, Error> {
        self.device.read(register)
    }

    fn write(&self, register: u64, value: u64) -> Result<(), Error> {
        self.device.write(register, value)
    }

    fn memory(&self, pages: usize) -> Result<Memory, Error> {
        Memory::new(&self.device, &self.quota, pages)
    }

    fn interrupts(&self) -> bool {
        self.interrupt.is_some()
    }

    async fn interrupt(&self) -> Result<(), Error> {
        match &self.interrupt {
            Some(interrupt) => interrupt.wait().await,
            None => {
                sleep(LOOK_EVERY).await;
                Ok(())
            }
        }
    }
}

/// Reads the configuration space of a function.
pub fn configuration(bus: &impl Bus, offset: u8, width: Width) -> Result<u32, Error> {
    let register = Register { space: Space::Configuration, width, offset: offset.into() };
    bus.read(register.number().ok_or(Error::InvalidArgument)?).map(|value| value as u32)
}

/// Registers that lie together in what one base address register shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Which base address register.
    pub bar: u8,
    /// Where they begin in it, in bytes.
    pub offset: u32,
    /// How many bytes.
    pub length: u32,
}

impl Window {
    fn number(&self, offset: u32, width: Width) -> Result<u64, Error> {
        let end = offset.checked_add(width.bytes()).filter(|end| *end <= self.length);
        let offset = end.and_then(|_| self.offset.checked_add(offset));
        let register = offset.map(|offset| Register { space: Space::Bar(self.bar), width, offset });
        register.and_then(Register::number).ok_or(Error::InvalidArgument)
    }

    /// Reads the register at `offset` of the window. `InvalidArgument` outside it.
    pub fn read(&self, bus: &impl Bus, offset: u32, width: Width) -> Result<u64, Error> {
        bus.read(self.number(offset, width)?)
    }

    /// Writes it.
    pub fn write(&self, bus: &impl Bus, offset: u32, width: Width, value: u64) -> Result<(), Error> {
        bus.write(self.number(offset, width)?, value)
    }
}

/// A list of capabilities that is longer than fits is a ring.
const MOST_CAPABILITIES: usize = 48;

/// Looks through the capabilities of a function (PCI Local Bus Specification 3.0, 6.7): `visit` gets the number
/// of each and the offset at which it begins, until it returns false.
pub fn capabilities(bus: &impl Bus, mut visit: impl FnMut(u8, u8) -> Result<bool, Error>) -> Result<(), Error> {
    if configuration(bus, 0x06, Width::Two)? & 0x10 == 0 {
        return Ok(());
    }
    let mut at = configuration(bus, 0x34, Width::One)? as u8 & 0xfc;
    for _ in 0..MOST_CAPABILITIES {
        if at < 0x40 {
            break;
        }
        let head = configuration(bus, at, Width::Two)?;
        if !visit(head as u8, at)? {
            break;
        }
        at = (head >> 8) as u8 & 0xfc;
    }
    Ok(())
}
