//! A machine of which tests can see everything: a PCI bus, a serial port, an I/O APIC, a clock.

use super::bus::{Bus, Width};
use super::pci::Address;
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

pub const IOAPIC: u64 = 0xfec0_0000;
pub const MSIX_TABLE: u64 = 0xfebd_1000;
pub const COMMON: u64 = 0xfe00_0000;

/// One function: its configuration space, and which bits of its base address registers can be set.
#[derive(Clone)]
pub struct Space {
    pub bytes: [u8; 256],
    pub settable: [u32; 6],
}

impl Space {
    pub fn new(vendor: u16, device: u16) -> Space {
        let mut space = Space { bytes: [0; 256], settable: [0; 6] };
        space.put(0, &vendor.to_le_bytes());
        space.put(2, &device.to_le_bytes());
        space
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A virtio function as QEMU makes it.
    pub fn virtio(device: u16) -> Space {
        let mut space = Space::new(0x1af4, device);
        space.put(6, &[0x10]);
        space.put(0x14, &0xfebd_1000u32.to_le_bytes());
        space.put(0x20, &0xfe00_000cu32.to_le_bytes());
        space.settable = [0, 0xffff_f000, 0, 0, 0xffff_c000, 0xffff_ffff];
        space.put(0x34, &[0x98]);
        // MSI-X: 3 vectors in register 1, what is pending at 0x800.
        space.put(0x98, &[0x11, 0x84, 2, 0, 1, 0, 0, 0, 1, 8, 0, 0]);
        // The common configuration: register 4, offset 0, 0x1000 bytes.
        space.put(0x84, &[0x09, 0x40, 16, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0]);
        space.put(0x40, &[0x09, 0x00, 16, 4, 4, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x10, 0, 0]);
        space
    }
}

#[derive(Default)]
pub struct Model {
    pub functions: BTreeMap<Address, Space>,
    selected: u32,
    pub memory: BTreeMap<u64, u8>,
    /// What happened to functions, in its order: a command register written, a virtio status written.
    pub events: Vec<Event>,
    pub typed: VecDeque<u8>,
    pub shown: Vec<u8>,
    /// Bytes that the serial port takes before it is full.
    pub room: usize,
    pub has_uart: bool,
    pub uart_enable: u8,
    scratch: u8,
    pub numbers: Vec<u64>,
    clock: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Command(Address, u16),
    Status(u8),
}

impl Model {
    /// With a serial port that takes everything.
    pub fn new() -> Model {
        let mut model = Model { has_uart: true, room: usize::MAX, ..Model::default() };
        // 24 inputs.
        model.memory.insert(IOAPIC + 0x1000 + 4 + 2, 23);
        model
    }

    pub fn number(&self, address: u64, width: usize) -> u64 {
        (0..width).rev().fold(0, |number, at| {
            number << 8 | u64::from(self.memory.get(&(address + at as u64)).copied().unwrap_or(0))
        })
    }

    fn configuration(&mut self) -> Option<(Address, usize)> {
        let at = self.selected;
        let address = Address { bus: (at >> 16) as u8, device: (at >> 11 & 31) as u8, function: (at >> 8 & 7) as u8 };
        (at >> 31 == 1).then_some((address, (at & 0xfc) as usize))
    }

    pub fn command(&self, address: Address) -> u16 {
        let bytes = self.functions[&address].bytes;
        u16::from_le_bytes([bytes[4], bytes[5]])
    }
}

impl Bus for &mut Model {
    fn input(&mut self, port: u16, width: Width) -> u32 {
        let bytes = width.bytes() as usize;
        let all = u32::MAX >> (32 - 8 * bytes.min(4));
        match port {
            0xcfc..=0xcff => {
                let Some((address, at)) = self.configuration() else { return all };
                let Some(space) = self.functions.get(&address) else { return all };
                let at = at + usize::from(port & 3);
                space.bytes[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
            }
            0x3f8..=0x3ff if !self.has_uart => all,
            0x3f8 => self.typed.pop_front().unwrap_or(0).into(),
            0x3fa => {
                let received = self.uart_enable & 1 != 0 && !self.typed.is_empty();
                let room = self.uart_enable & 2 != 0 && self.room > 0;
                u32::from(!received && !room)
            }
            0x3fd => u32::from(!self.typed.is_empty()) | if self.room > 0 { 0x60 } else { 0 },
            0x3ff => self.scratch.into(),
            // 2026-01-01, in binary.
            0x71 => match self.clock {
                7 | 8 => 1,
                9 => 26,
                0x32 => 20,
                11 => 6,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn output(&mut self, port: u16, width: Width, value: u32) {
        let bytes = &value.to_le_bytes()[..width.bytes() as usize];
        match port {
            0xcf8 => self.selected = value,
            0xcfc..=0xcff => {
                let Some((address, at)) = self.configuration() else { return };
                let Some(space) = self.functions.get_mut(&address) else { return };
                let at = at + usize::from(port & 3);
                if (0x10..0x28).contains(&at) {
                    let old = u32::from_le_bytes(space.bytes[at..at + 4].try_into().unwrap());
                    let settable = space.settable[(at - 0x10) / 4];
                    space.put(at, &(old & !settable | value & settable).to_le_bytes());
                } else {
                    space.put(at, bytes);
                }
                if at == 4 {
                    self.events.push(Event::Command(address, value as u16));
                }
            }
            0x3f8 if self.room > 0 => {
                self.room -= 1;
                self.shown.push(value as u8);
            }
            0x3f9 => self.uart_enable = value as u8,
            0x3fa => self.typed.clear(),
            0x3ff => self.scratch = value as u8,
            0x70 => self.clock = value as u8,
            _ => {}
        }
    }

    fn load(&mut self, address: u64, width: Width) -> u64 {
        if address == IOAPIC + 0x10 {
            return self.number(IOAPIC + 0x1000 + 4 * self.number(IOAPIC, 4), 4);
        }
        self.number(address, width.bytes() as usize)
    }

    fn store(&mut self, address: u64, width: Width, value: u64) {
        // The window shows the selected register; they lie at IOAPIC + 0x1000 here.
        let at = if address == IOAPIC + 0x10 { IOAPIC + 0x1000 + 4 * self.number(IOAPIC, 4) } else { address };
        if at == COMMON + 20 {
            self.events.push(Event::Status(value as u8));
        }
        for (offset, byte) in value.to_le_bytes()[..width.bytes() as usize].iter().enumerate() {
            self.memory.insert(at + offset as u64, *byte);
        }
    }

    fn random(&mut self) -> Option<u64> {
        self.numbers.pop()
    }
}
