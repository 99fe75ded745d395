//! A PCI function as a device: its driver reads and writes its registers and nothing else.
//!
//! There is no IOMMU, so a driver that lets its device use memory is trusted with all of it. What the
//! kernel sees to is that no device goes on using memory that belongs to somebody else by now: a device
//! can use the bus only while it was told of regions that live, and is stopped before one of them goes.

use super::bus::{Bus, Width};
use super::pci::{self, Address, Bar, Found, Msix, Window};
use abi::Error;
use abi::pci::{MSIX_ENTRY, Register, Space};
use alloc::collections::BTreeSet;
use kernel::RegionId;

/// Bytes of the configuration space that the old mechanism reaches.
const CONFIGURATION: u32 = 256;
/// The local APIC of the processor with number 0, as messages reach it.
const MESSAGE_ADDRESS: u64 = 0xfee0_0000;
/// Bytes of an entry of the MSI-X table: address, data, control.
const ENTRY: u64 = 16;
const MSIX_ENABLE: u32 = 1 << 15;
const MSIX_MASK_ALL: u32 = 1 << 14;
/// Offset of the status in a virtio device's common configuration.
const VIRTIO_STATUS: u32 = 20;
/// Looks at a device before it is given up that it stops.
const PATIENCE: u32 = 1_000_000;

/// What a base address register shows, mapped.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Nothing,
    Ports {
        port: u16,
        length: u32,
    },
    /// As far as registers can be numbered.
    Memory {
        base: u64,
        length: u64,
    },
}

/// One function.
#[derive(Debug)]
pub struct Function {
    address: Address,
    bars: [Reach; 6],
    msix: Option<Msix>,
    /// The status of a virtio device; 0 stops it.
    status: Option<(u8, u32)>,
    /// It was told of these regions.
    regions: BTreeSet<u32>,
}

impl Function {
    /// Makes its registers reachable. It can use no memory and raise no interrupt.
    pub fn open(bus: &mut impl Bus, found: Found, map: &mut dyn FnMut(u64, u64) -> u64) -> Function {
        let address = found.address;
        let bars = pci::bars(bus, address).map(|bar| match bar {
            None => Reach::Nothing,
            Some(Bar::Ports { port, length }) => Reach::Ports { port, length },
            Some(Bar::Memory { address, length }) => {
                let length = length.min(abi::pci::MOST_OFFSET.into());
                Reach::Memory { base: map(address, length), length }
            }
        });
        address.set_command(bus, pci::COMMAND_PORTS | pci::COMMAND_MEMORY | pci::COMMAND_NO_PIN);
        let capabilities = pci::capabilities(bus, address);
        let mut function = Function { address, bars, msix: None, status: None, regions: BTreeSet::new() };
        // A table that is not where it can be reached is no table.
        let reaches = |window: &Window| {
            window.length > 0
                && matches!(function.place(window.bar, window.offset, window.length), Ok(Place::Memory(_)))
        };
        let msix = capabilities.msix.filter(|msix| reaches(&msix.table));
        let common = capabilities.virtio.filter(|window| window.length > VIRTIO_STATUS && reaches(window));
        (function.msix, function.status) = (msix, common.map(|window| (window.bar, window.offset + VIRTIO_STATUS)));
        // The firmware may have used it.
        function.stop(bus);
        function
    }

    /// Lets its MSI-X entry come to this processor with this vector, masked; false if it has none.
    pub fn interrupts(&mut self, bus: &mut impl Bus, vector: u8, processor: u8) -> bool {
        let Some(Msix { control, .. }) = self.msix else { return false };
        let Some(entry) = self.entry() else { return false };
        let state = self.address.read(bus, control, Width::Two);
        self.address.write(bus, control, Width::Two, state & !MSIX_MASK_ALL | MSIX_ENABLE);
        self.mask(bus, true);
        bus.store(entry, Width::Four, MESSAGE_ADDRESS | u64::from(processor) << 12);
        bus.store(entry + 4, Width::Four, 0);
        bus.store(entry + 8, Width::Four, vector.into());
        true
    }

    /// Where the entry of the MSI-X table is that raises its interrupt.
    fn entry(&self) -> Option<u64> {
        let table = self.msix?.table;
        match self.place(table.bar, table.offset, table.length) {
            Ok(Place::Memory(address)) => Some(address + u64::from(MSIX_ENTRY) * ENTRY),
            _ => None,
        }
    }

    /// Holds its interrupt back, or lets it come; what came meanwhile comes then.
    pub fn mask(&self, bus: &mut impl Bus, masked: bool) {
        if let Some(entry) = self.entry() {
            bus.store(entry + 12, Width::Four, masked.into());
        }
    }

    /// Reads a register.
    pub fn read(&self, bus: &mut impl Bus, number: u64) -> Result<u64, Error> {
        let register = Register::from_number(number).ok_or(Error::InvalidArgument)?;
        Ok(match self.find(register)? {
            Place::Configuration(offset) => self.address.read(bus, offset, register.width).into(),
            Place::Port(port) => bus.input(port, register.width).into(),
            Place::Memory(address) => bus.load(address, register.width),
        })
    }

    /// Writes a register. The configuration space is not the driver's to write.
    pub fn write(&self, bus: &mut impl Bus, number: u64, value: u64) -> Result<(), Error> {
        let register = Register::from_number(number).ok_or(Error::InvalidArgument)?;
        match self.find(register)? {
            Place::Configuration(_) => return Err(Error::InvalidArgument),
            Place::Port(port) => bus.output(port, register.width, value as u32),
            Place::Memory(address) => bus.store(address, register.width, value),
        }
        Ok(())
    }

    /// Where a register is that its driver may use.
    fn find(&self, register: Register) -> Result<Place, Error> {
        let (offset, bytes) = (register.offset, register.width.bytes());
        match register.space {
            Space::Configuration if register.width < Width::Eight && offset + bytes <= CONFIGURATION => {
                Ok(Place::Configuration(offset as u8))
            }
            Space::Configuration => Err(Error::InvalidArgument),
            Space::Bar(bar) => {
                let kept = self.msix.iter().flat_map(|msix| [msix.table, msix.pending]);
                if kept.into_iter().any(|window| window.touches(bar, offset, bytes)) {
                    return Err(Error::InvalidArgument);
                }
                match self.place(bar, offset, bytes)? {
                    Place::Port(_) if register.width == Width::Eight => Err(Error::InvalidArgument),
                    place => Ok(place),
                }
            }
        }
    }

    fn place(&self, bar: u8, offset: u32, bytes: u32) -> Result<Place, Error> {
        let end = u64::from(offset) + u64::from(bytes);
        match self.bars.get(usize::from(bar)) {
            Some(&Reach::Ports { port, length }) if end <= u64::from(length) => Ok(Place::Port(port + offset as u16)),
            Some(&Reach::Memory { base, length }) if end <= length => Ok(Place::Memory(base + u64::from(offset))),
            _ => Err(Error::InvalidArgument),
        }
    }

    /// It was told where this region lies, and can use the bus.
    pub fn told_of(&mut self, bus: &mut impl Bus, region: RegionId) {
        if self.regions.is_empty() {
            let command = self.address.command(bus);
            self.address.set_command(bus, command | pci::COMMAND_MASTER);
        }
        self.regions.insert(region.0);
    }

    /// The region goes; if it was told of it, it is stopped.
    pub fn region_gone(&mut self, bus: &mut impl Bus, region: RegionId) {
        if self.regions.contains(&region.0) {
            self.stop(bus);
        }
    }

    /// It uses no memory any more, and forgets what it was told: a virtio device is reset, which ends what it has
    /// begun; whatever it is, it loses the bus.
    pub fn stop(&mut self, bus: &mut impl Bus) {
        if let Some((bar, offset)) = self.status
            && let Ok(Place::Memory(status)) = self.place(bar, offset, 1)
        {
            bus.store(status, Width::One, 0);
            for _ in 0..PATIENCE {
                if bus.load(status, Width::One) == 0 {
                    break;
                }
            }
        }
        let command = self.address.command(bus);
        self.address.set_command(bus, command & !pci::COMMAND_MASTER);
        self.regions.clear();
    }
}

/// Where a register is.
enum Place {
    Configuration(u8),
    Port(u16),
    Memory(u64),
}
