//! The devices of the machine, as the kernel's device capabilities show them: registers, and interrupt
//! lines. What the devices are for is their drivers' business, which are processes; here is only what
//! cannot be a process's: finding them, who may reach which register, interrupts, and keeping devices from
//! memory that they were not told of.
//!
//! | module | what is there |
//! |---|---|
//! | this | [`Hardware`]: all devices by the kernel's numbers, and their lines |
//! | [`bus`] | [`Bus`](bus::Bus): ports, device registers, random numbers |
//! | [`acpi`] | the tables that say where interrupts go |
//! | [`ioapic`] | interrupts of old devices |
//! | [`pci`] | functions on the bus: configuration space, base address registers, capabilities |
//! | [`function`] | one of them as a device: registers, MSI-X, bus mastering |
//! | [`uart`] | the serial port |
//! | [`rtc`] | the time of day at boot |

pub mod acpi;
pub mod bus;
pub mod function;
pub mod ioapic;
pub mod pci;
pub mod rtc;
pub mod uart;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use abi::Error;
use abi::device::{
    CLASS, CLOCK_MONOTONIC, CLOCK_WALL, DeviceClass, ENTROPY_RANDOM, LOG_DURABLE, Operation, POWER_OFF, POWER_REQUESTED,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bus::Bus;
use function::Function;
use kernel::{DeviceId, InterruptId, RegionId};
use uart::Uart;

/// The first vector of a device's interrupt.
pub const FIRST_VECTOR: u8 = 0x30;
/// The last one.
pub const LAST_VECTOR: u8 = 0xef;

/// What the machine must know and do to find its devices.
pub struct Probe<'a, 'm> {
    /// Maps device registers from this physical address on, so many bytes, uncached; where they are then.
    pub map: &'a mut dyn FnMut(u64, u64) -> u64,
    /// So many bytes of memory at this physical address; `None` where no memory is.
    pub memory: &'a dyn Fn(u64, usize) -> Option<&'m [u8]>,
    /// Where the ACPI root pointer is, if the loader said.
    pub rsdp: Option<u64>,
    /// The number of this processor's local APIC.
    pub processor: u8,
    /// Functions that the kernel keeps for itself: the disk of the log.
    pub kept: &'a [pci::Address],
    /// Columns of the terminal at the serial port (0: unknown); `None`: nobody is there.
    pub terminal: Option<u32>,
    /// What becomes of the buffers of that port.
    pub buffers: uart::Buffers,
    /// ns since boot.
    pub now: u64,
}

/// What a write asks of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// Nothing more.
    Done,
    /// To complete the call when all that is on record is durable.
    MakeLogDurable,
    /// To end with this exit status.
    Off(u64),
}

#[derive(Debug)]
enum Kind {
    Uart(Uart),
    Clock,
    Entropy,
    Power,
    Function(Function),
}

#[derive(Debug)]
struct Attached {
    name: String,
    line: Option<InterruptId>,
    kind: Kind,
}

/// Who raises a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The serial port: the kernel itself takes what comes, so its interrupt is never held back.
    Uart,
    /// No interrupt at all: somebody wants the machine to end.
    Power,
    /// A function's MSI-X entry, masked while the line is closed: what comes then is pending in it.
    Function(DeviceId),
}

#[derive(Debug)]
struct Line {
    source: Source,
    /// The vector that its interrupt comes with.
    vector: Option<u8>,
    open: bool,
    raised: bool,
}

/// All devices, by the kernel's numbers.
#[derive(Debug)]
pub struct Hardware<B> {
    bus: B,
    devices: Vec<Attached>,
    lines: Vec<Line>,
    /// Whether a line was opened or came since it was last seen that none does.
    changed: bool,
    /// ns since 1970 at boot.
    booted_at: u64,
    /// The exit status that somebody wants the machine to end with; 0: nobody does.
    requested: u64,
}

impl<B: Bus> Hardware<B> {
    /// Looks for devices and makes them ready; every line is closed, and no function can use memory.
    pub fn probe(mut bus: B, probe: Probe<'_, '_>) -> Hardware<B> {
        let Probe { map, memory, rsdp, processor, kept, terminal, buffers, now } = probe;
        let booted_at = rtc::read(&mut bus).saturating_sub(now);
        let mut hardware =
            Hardware { bus, devices: Vec::new(), lines: Vec::new(), changed: false, booted_at, requested: 0 };
        let tables = acpi::Interrupts::find(rsdp, memory);
        let mut vector = FIRST_VECTOR;

        if let Some(mut uart) = Uart::find(&mut hardware.bus, terminal) {
            let routed = tables.as_ref().is_some_and(|tables| {
                ioapic::route(&mut hardware.bus, tables, uart::INTERRUPT, vector, processor, map)
            });
            uart.start(&mut hardware.bus, buffers);
            let line = routed.then(|| hardware.line(Source::Uart, Some(vector)));
            vector += u8::from(routed);
            hardware.attach("console".to_string(), line, Kind::Uart(uart));
        }
        hardware.attach("clock".to_string(), None, Kind::Clock);
        hardware.attach("entropy".to_string(), None, Kind::Entropy);
        let line = hardware.line(Source::Power, None);
        hardware.attach("power".to_string(), Some(line), Kind::Power);

        let mut disk = false;
        for found in pci::scan(&mut hardware.bus) {
            if !found.is_virtio() || kept.contains(&found.address) {
                continue;
            }
            let mut function = Function::open(&mut hardware.bus, found, map);
            // The first disk is the one that the storage service gets; others have to be asked for.
            let name = match found.is_virtio_disk() && !disk {
                true => "disk".to_string(),
                false => format!("pci:{}", found.address),
            };
            disk |= found.is_virtio_disk();
            let device = DeviceId(hardware.devices.len() as u32);
            let has_interrupt = vector <= LAST_VECTOR && function.interrupts(&mut hardware.bus, vector, processor);
            let line = has_interrupt.then(|| hardware.line(Source::Function(device), Some(vector)));
            vector += u8::from(has_interrupt);
            hardware.attach(name, line, Kind::Function(function));
        }
        hardware
    }

    fn line(&mut self, source: Source, vector: Option<u8>) -> InterruptId {
        self.lines.push(Line { source, vector, open: false, raised: false });
        InterruptId(self.lines.len() as u32 - 1)
    }

    fn attach(&mut self, name: String, line: Option<InterruptId>, kind: Kind) {
        self.devices.push(Attached { name, line, kind });
    }

    /// Every device with its name and line, in the order of their numbers.
    pub fn list(&self) -> impl Iterator<Item = (DeviceId, &str, Option<InterruptId>)> {
        let numbers = (0..).map(DeviceId);
        numbers.zip(&self.devices).map(|(device, attached)| (device, attached.name.as_str(), attached.line))
    }

    /// ns since 1970 at boot.
    pub fn booted_at(&self) -> u64 {
        self.booted_at
    }

    /// Reads a register. `InvalidArgument` where the device has none to be read; `Unsupported` where this machine has
    /// not what it shows.
    pub fn read(&mut self, device: DeviceId, register: u64, now: u64) -> Result<u64, Error> {
        let attached = self.devices.get_mut(device.index()).ok_or(Error::Unsupported)?;
        if register == CLASS {
            return Ok(attached.kind.class() as u64);
        }
        match (&mut attached.kind, register) {
            (Kind::Uart(uart), register) => {
                let value = uart.read(&mut self.bus, register);
                self.uart_served();
                value
            }
            (Kind::Function(function), register) => function.read(&mut self.bus, register),
            (Kind::Clock, CLOCK_MONOTONIC) => Ok(now),
            (Kind::Clock, CLOCK_WALL) => Ok(self.booted_at.saturating_add(now)),
            // Without randomness nothing that needs it may go on.
            (Kind::Entropy, ENTROPY_RANDOM) => self.bus.random().ok_or(Error::Unsupported),
            (Kind::Power, POWER_REQUESTED) => Ok(self.requested),
            _ => Err(Error::InvalidArgument),
        }
    }

    /// Writes a register.
    pub fn write(&mut self, device: DeviceId, register: u64, value: u64) -> Result<Written, Error> {
        let attached = self.devices.get_mut(device.index()).ok_or(Error::Unsupported)?;
        match (&mut attached.kind, register) {
            (Kind::Uart(_) | Kind::Function(_), LOG_DURABLE) => return Ok(Written::MakeLogDurable),
            (Kind::Function(function), register) => function.write(&mut self.bus, register, value)?,
            (Kind::Power, POWER_OFF) => return Ok(Written::Off(value)),
            _ => return Err(Error::InvalidArgument),
        }
        Ok(Written::Done)
    }

    /// An operation: the serial port alone has one, that of sending. How many of the bytes it took.
    pub fn submit(&mut self, device: DeviceId, operation: Operation, bytes: &[u8]) -> Result<u64, Error> {
        match (self.devices.get_mut(device.index()).map(|attached| &mut attached.kind), operation) {
            (Some(Kind::Uart(uart)), Operation::Write) => {
                let taken = uart.send(&mut self.bus, bytes);
                self.uart_served();
                taken.map(|count| count as u64)
            }
            _ => Err(Error::Unsupported),
        }
    }

    /// An interrupt came with this vector. [`Hardware::raised`] has the lines that come of it.
    pub fn interrupt(&mut self, vector: u8) {
        let Some(line) = self.lines.iter_mut().find(|line| line.vector == Some(vector)) else { return };
        match line.source {
            Source::Function(device) => {
                line.raised = true;
                self.changed = true;
                if let Some(Kind::Function(function)) = self.devices.get(device.index()).map(|attached| &attached.kind)
                {
                    function.mask(&mut self.bus, true);
                }
            }
            Source::Uart => {
                for attached in &mut self.devices {
                    if let Kind::Uart(uart) = &mut attached.kind {
                        uart.interrupt(&mut self.bus);
                    }
                }
                self.uart_served();
            }
            Source::Power => {}
        }
    }

    /// What the serial port had for its line, and for the machine.
    fn uart_served(&mut self) {
        for attached in &mut self.devices {
            let Kind::Uart(uart) = &mut attached.kind else { continue };
            if uart.take_event()
                && let Some(line) = attached.line.and_then(|line| self.lines.get_mut(line.index()))
            {
                line.raised = true;
                self.changed = true;
            }
            if let Some(status) = uart.take_end() {
                self.request_end(status);
                return;
            }
        }
    }

    /// Somebody wants the machine to end with this status.
    pub fn request_end(&mut self, status: u64) {
        self.requested = status;
        if let Some(line) = self.lines.iter_mut().find(|line| line.source == Source::Power) {
            line.raised = true;
            self.changed = true;
        }
    }

    /// A line that comes now; it is closed until the kernel opens it again. To be asked until there is
    /// none: after an interrupt, and after the kernel's effects were carried out.
    #[inline]
    pub fn raised(&mut self) -> Option<InterruptId> {
        // Asked after every call: almost always nothing has come.
        if !self.changed {
            return None;
        }
        let Some(at) = self.lines.iter().position(|line| line.open && line.raised) else {
            self.changed = false;
            return None;
        };
        self.lines[at].raised = false;
        self.lines[at].open = false;
        Some(InterruptId(at as u32))
    }

    /// Lets a line come, or holds it back.
    pub fn set_line(&mut self, line: InterruptId, open: bool) {
        let Some(line) = self.lines.get_mut(line.index()) else { return };
        line.open = open;
        self.changed = true;
        if let Source::Function(device) = line.source
            && let Some(Kind::Function(function)) = self.devices.get(device.index()).map(|attached| &attached.kind)
        {
            function.mask(&mut self.bus, !open);
        }
    }

    /// The device was told where this region lies: it can use the bus until the region is gone.
    /// `Unsupported` if it is on no bus.
    pub fn told_of(&mut self, device: DeviceId, region: RegionId) -> Result<(), Error> {
        match self.devices.get_mut(device.index()).map(|attached| &mut attached.kind) {
            Some(Kind::Function(function)) => {
                function.told_of(&mut self.bus, region);
                Ok(())
            }
            _ => Err(Error::Unsupported),
        }
    }

    /// The region goes: to be called before its frames are free. Devices that were told of it are stopped.
    pub fn region_gone(&mut self, region: RegionId) {
        for attached in &mut self.devices {
            if let Kind::Function(function) = &mut attached.kind {
                function.region_gone(&mut self.bus, region);
            }
        }
    }

    /// Stops every device that could use memory: the machine ends, or starts anew.
    pub fn stop(&mut self) {
        for attached in &mut self.devices {
            if let Kind::Function(function) = &mut attached.kind {
                function.stop(&mut self.bus);
            }
        }
    }
}

impl Kind {
    fn class(&self) -> DeviceClass {
        match self {
            Kind::Uart(_) => DeviceClass::Uart,
            Kind::Clock => DeviceClass::Clock,
            Kind::Entropy => DeviceClass::Entropy,
            Kind::Power => DeviceClass::Power,
            Kind::Function(_) => DeviceClass::PciFunction,
        }
    }
}
