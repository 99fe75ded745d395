//! The PCI bus by its old mechanism, the ports 0xCF8 and 0xCFC: who is there, what its base address
//! registers show, and its capabilities (PCI Local Bus Specification 3.0, chapter 6; MSI-X: 6.8.2; virtio:
//! Virtual I/O Device 1.2, 4.1.4).

use super::bus::{Bus, Width};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// Offset of the command register.
pub const COMMAND: u8 = 0x04;
const STATUS: u8 = 0x06;
const CLASS: u8 = 0x08;
const HEADER_TYPE: u8 = 0x0e;
const BARS: u8 = 0x10;
const SECONDARY_BUS: u8 = 0x19;
const CAPABILITIES: u8 = 0x34;

/// Bit of the command register: it answers at its ports.
pub const COMMAND_PORTS: u16 = 1;
/// Bit of the command register: it answers at its addresses.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Bit of the command register: it reads and writes memory.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Bit of the command register: it does not use its interrupt pin.
pub const COMMAND_NO_PIN: u16 = 1 << 10;

const CAPABILITY_VENDOR: u8 = 0x09;
const CAPABILITY_MSIX: u8 = 0x11;
/// A list of capabilities that is longer than fits is a ring.
const MOST_CAPABILITIES: usize = 48;

const VIRTIO: u16 = 0x1af4;
const VIRTIO_DISK: [u16; 2] = [0x1042, 0x1001];
const VIRTIO_COMMON: u8 = 1;

/// Where a function is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// The bus.
    pub bus: u8,
    /// The device on it, 0 to 31.
    pub device: u8,
    /// The function of it, 0 to 7.
    pub function: u8,
}

/// `00:04.0`
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{:x}", self.bus, self.device, self.function)
    }
}

impl Address {
    fn select(self, bus: &mut impl Bus, offset: u8) {
        let address = 1 << 31
            | u32::from(self.bus) << 16
            | u32::from(self.device & 31) << 11
            | u32::from(self.function & 7) << 8
            | u32::from(offset & 0xfc);
        bus.output(ADDRESS, Width::Four, address);
    }

    /// Reads its configuration space. `offset` is a multiple of the width, which is at most 4 bytes.
    pub fn read(self, bus: &mut impl Bus, offset: u8, width: Width) -> u32 {
        self.select(bus, offset);
        bus.input(DATA + u16::from(offset & 3), width)
    }

    /// Writes its configuration space.
    pub fn write(self, bus: &mut impl Bus, offset: u8, width: Width, value: u32) {
        self.select(bus, offset);
        bus.output(DATA + u16::from(offset & 3), width, value);
    }

    fn read_byte(self, bus: &mut impl Bus, offset: u8) -> u8 {
        self.read(bus, offset, Width::One) as u8
    }

    /// Its command register.
    pub fn command(self, bus: &mut impl Bus) -> u16 {
        self.read(bus, COMMAND, Width::Two) as u16
    }

    /// Writes its command register.
    pub fn set_command(self, bus: &mut impl Bus, command: u16) {
        self.write(bus, COMMAND, Width::Two, command.into());
    }
}

/// A function that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where.
    pub address: Address,
    /// Who made it.
    pub vendor: u16,
    /// What the maker calls it.
    pub device: u16,
    /// Base class, sub-class and interface.
    pub class: u32,
}

impl Found {
    /// Whether it is a virtio device.
    pub fn is_virtio(&self) -> bool {
        self.vendor == VIRTIO && (0x1000..=0x107f).contains(&self.device)
    }

    /// Whether it is a virtio block device.
    pub fn is_virtio_disk(&self) -> bool {
        self.vendor == VIRTIO && VIRTIO_DISK.contains(&self.device)
    }
}

/// All functions, by their addresses.
pub fn scan(bus: &mut impl Bus) -> Vec<Found> {
    let mut found = Vec::new();
    let mut buses: Vec<u8> = alloc::vec![0];
    let mut seen = [false; 256];
    while let Some(number) = buses.pop() {
        // A bridge can say anything; each bus is looked at once.
        if core::mem::replace(&mut seen[usize::from(number)], true) {
            continue;
        }
        for device in 0..32 {
            let first = Address { bus: number, device, function: 0 };
            let functions = match first.read(bus, 0, Width::Four) as u16 {
                0xffff => 0,
                _ if first.read_byte(bus, HEADER_TYPE) & 0x80 != 0 => 8,
                _ => 1,
            };
            for function in 0..functions {
                let address = Address { function, ..first };
                let name = address.read(bus, 0, Width::Four);
                if name as u16 == 0xffff {
                    continue;
                }
                let class = address.read(bus, CLASS, Width::Four) >> 8;
                found.push(Found { address, vendor: name as u16, device: (name >> 16) as u16, class });
                if address.read_byte(bus, HEADER_TYPE) & 0x7f == 1 {
                    buses.push(address.read_byte(bus, SECONDARY_BUS));
                }
            }
        }
    }
    found.sort_by_key(|found| found.address);
    found
}

/// What a base address register shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// Ports.
    Ports {
        /// The first.
        port: u16,
        /// How many.
        length: u32,
    },
    /// Registers in memory.
    Memory {
        /// The physical address of the first.
        address: u64,
        /// How many bytes.
        length: u64,
    },
}

/// The base address registers of a function, as the firmware set them. It answers at none of them meanwhile.
pub fn bars(bus: &mut impl Bus, address: Address) -> [Option<Bar>; 6] {
    let mut bars = [None; 6];
    for raw in registers(bus, address) {
        bars[raw.index] = raw.decode();
    }
    bars
}

/// Gives the functions of the first bus addresses for their registers in memory, where the firmware has left that to
/// others (QEMU's qboot does): where none of them has any. What does not fit into the window stays without.
pub fn assign(bus: &mut impl Bus, window: Range<u64>) {
    let functions: Vec<Address> = scan(bus).iter().map(|found| found.address).filter(|at| at.bus == 0).collect();
    let is_set = |bar: &Option<Bar>| matches!(bar, Some(Bar::Memory { .. }));
    if functions.iter().any(|&address| bars(bus, address).iter().any(is_set)) {
        return;
    }
    let mut next = window.start;
    for address in functions {
        for raw in registers(bus, address) {
            let Some(length) = raw.memory().filter(|length| *length <= window.end - window.start) else { continue };
            let start = next.next_multiple_of(length);
            if start + length > window.end {
                continue;
            }
            next = start + length;
            write_register(bus, address, raw.index, start as u32 | raw.low & 0xf);
            if raw.wide {
                write_register(bus, address, raw.index + 1, (start >> 32) as u32);
            }
        }
    }
}

/// What stands in a base address register, and which of its bits can be set; of a wide one, in both halves.
#[derive(Clone, Copy)]
struct Raw {
    index: usize,
    low: u32,
    low_size: u32,
    high: u32,
    high_size: u32,
    wide: bool,
}

fn registers(bus: &mut impl Bus, address: Address) -> Vec<Raw> {
    let command = address.command(bus);
    address.set_command(bus, command & !(COMMAND_PORTS | COMMAND_MEMORY | COMMAND_MASTER));
    let mut registers = Vec::new();
    // Of a bridge only two.
    let count = if address.read_byte(bus, HEADER_TYPE) & 0x7f == 0 { 6 } else { 0 };
    let mut index = 0;
    while index < count {
        let (low, low_size) = probe(bus, address, index);
        let wide = low & 7 == 4 && index + 1 < count;
        let (high, high_size) = if wide { probe(bus, address, index + 1) } else { (0, u32::MAX) };
        registers.push(Raw { index, low, low_size, high, high_size, wide });
        index += if wide { 2 } else { 1 };
    }
    address.set_command(bus, command);
    registers
}

fn probe(bus: &mut impl Bus, address: Address, index: usize) -> (u32, u32) {
    let value = address.read(bus, BARS + 4 * index as u8, Width::Four);
    write_register(bus, address, index, u32::MAX);
    let settable = address.read(bus, BARS + 4 * index as u8, Width::Four);
    write_register(bus, address, index, value);
    (value, settable)
}

fn write_register(bus: &mut impl Bus, address: Address, index: usize, value: u32) {
    address.write(bus, BARS + 4 * index as u8, Width::Four, value);
}

impl Raw {
    /// How many bytes of registers in memory it shows, wherever that is.
    fn memory(&self) -> Option<u64> {
        let kind = self.low >> 1 & 3;
        if self.low & 1 == 1 || self.low_size == 0 || (kind != 0 && !self.wide) {
            return None;
        }
        let mask = u64::from(self.high_size) << 32 | u64::from(self.low_size & 0xffff_fff0);
        Some(mask.wrapping_neg()).filter(|length| length.is_power_of_two())
    }

    fn decode(&self) -> Option<Bar> {
        let Raw { low, low_size, high, .. } = *self;
        if low & 1 == 1 {
            // The upper half of the bits need not be there.
            let length = (!(low_size & 0xffff_fffc) & 0xffff) + 1;
            let port = u16::try_from(low & 0xffff_fffc).ok().filter(|port| *port != 0)?;
            return (length <= 256 && u32::from(port) + length <= 1 << 16).then_some(Bar::Ports { port, length });
        }
        let length = self.memory()?;
        let address = u64::from(high) << 32 | u64::from(low & 0xffff_fff0);
        let sound = address != 0 && address.is_multiple_of(length);
        (sound && address.checked_add(length).is_some()).then_some(Bar::Memory { address, length })
    }
}

/// Part of what a base address register shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Which register.
    pub bar: u8,
    /// From where on, in bytes.
    pub offset: u32,
    /// How many bytes.
    pub length: u32,
}

impl Window {
    /// Whether `length` bytes from `offset` of that register touch it.
    pub fn touches(&self, bar: u8, offset: u32, length: u32) -> bool {
        let (from, to) = (u64::from(self.offset), u64::from(self.offset) + u64::from(self.length));
        bar == self.bar && u64::from(offset) < to && from < u64::from(offset) + u64::from(length)
    }
}

/// Its message-signalled interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msix {
    /// Offset of the control register in the configuration space.
    pub control: u8,
    /// The vectors, 16 bytes each.
    pub table: Window,
    /// Which of them are pending.
    pub pending: Window,
}

/// The capabilities of a function that the kernel itself must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// MSI-X, if it has it.
    pub msix: Option<Msix>,
    /// The common configuration of a virtio device, of which it is stopped.
    pub virtio: Option<Window>,
}

/// Reads the list of capabilities.
pub fn capabilities(bus: &mut impl Bus, address: Address) -> Capabilities {
    let mut capabilities = Capabilities::default();
    if address.read(bus, STATUS, Width::Two) & 0x10 == 0 {
        return capabilities;
    }
    let mut at = address.read_byte(bus, CAPABILITIES) & 0xfc;
    for _ in 0..MOST_CAPABILITIES {
        // The list begins behind the header; what it has is at most 20 bytes of it.
        if !(0x40..=0xf0).contains(&at) {
            break;
        }
        let head = address.read(bus, at, Width::Four);
        match head as u8 {
            CAPABILITY_MSIX if capabilities.msix.is_none() => {
                let count = (head >> 16 & 0x7ff) + 1;
                let mut window = |offset, length| {
                    let place = address.read(bus, offset, Width::Four);
                    Window { bar: (place & 7) as u8, offset: place & !7, length }
                };
                let table = window(at + 4, count * 16);
                let pending = window(at + 8, count.div_ceil(64) * 8);
                capabilities.msix = Some(Msix { control: at + 2, table, pending });
            }
            CAPABILITY_VENDOR if (head >> 24) as u8 == VIRTIO_COMMON && capabilities.virtio.is_none() => {
                let bar = address.read_byte(bus, at + 4);
                let offset = address.read(bus, at + 8, Width::Four);
                let length = address.read(bus, at + 12, Width::Four);
                capabilities.virtio = Some(Window { bar, offset, length });
            }
            _ => {}
        }
        at = (head >> 8) as u8 & 0xfc;
    }
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(low: u32, low_size: u32, high: u32, high_size: u32, wide: bool) -> Option<Bar> {
        Raw { index: 0, low, low_size, high, high_size, wide }.decode()
    }

    #[test]
    fn base_address_registers_say_what_they_show() {
        let memory = |address, length| Some(Bar::Memory { address, length });
        assert_eq!(decode(0xfebd_1000, 0xffff_f000, 0, u32::MAX, false), memory(0xfebd_1000, 0x1000));
        assert_eq!(decode(0xfe00_000c, 0xffff_c00c, 0, u32::MAX, true), memory(0xfe00_0000, 0x4000));
        assert_eq!(decode(0x000c, 0xc, 0x80, 0xffff_ff80, true), memory(0x80_0000_0000, 0x80_0000_0000));
        assert_eq!(decode(0xc041, 0xffff_ffc1, 0, 0, false), Some(Bar::Ports { port: 0xc040, length: 64 }));
        assert_eq!(decode(0xc041, 0x0000_ffc1, 0, 0, false), Some(Bar::Ports { port: 0xc040, length: 64 }));
    }

    #[test]
    fn what_shows_nothing_is_none() {
        let cases = [
            (0, 0, false, "not there"),
            (0, 0xffff_f000, false, "not set by the firmware"),
            (0xfebd_1000, 0xf0ff_f000, false, "a size with holes"),
            (0xfebd_1000, 0xfff0_0000, false, "not at a multiple of its size"),
            (0xfebd_1004, 0xffff_f004, false, "64 bits wide in the last register"),
            (0xfebd_1002, 0xffff_f002, false, "below one megabyte: long obsolete"),
            (0x0001, 0xffff_ffc1, false, "ports not set"),
            (0xc001, 0xffff_0001, false, "more ports than a function may have"),
        ];
        for (low, size, wide, why) in cases {
            assert_eq!(decode(low, size, 0, u32::MAX, wide), None, "{why}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_device_says_its_registers_do_not_wrap(
            low: u32, low_size: u32, high: u32, high_size: u32, wide: bool,
        ) {
            match decode(low, low_size, high, high_size, wide) {
                Some(Bar::Memory { address, length }) => prop_assert!(length > 0 && address.checked_add(length).is_some()),
                Some(Bar::Ports { port, length }) => prop_assert!(length > 0 && u32::from(port) + length <= 1 << 16),
                None => {}
            }
        }

        #[test]
        fn windows_touch_where_they_share_a_byte(offset in 0u32..64, length in 1u32..16, from in 0u32..64, many in 1u32..16) {
            let window = Window { bar: 1, offset, length };
            let shared = (from..from + many).any(|byte| (offset..offset + length).contains(&byte));
            prop_assert_eq!(window.touches(1, from, many), shared);
            prop_assert!(!window.touches(2, from, many));
        }
    }
}
