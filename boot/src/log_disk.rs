//! The disk of the log: the virtio block device that says of itself that it is `orbital-log`
//! (`-device virtio-blk-pci,serial=orbital-log`). The kernel alone has it: no capability leads to it. It
//! is polled, one request at a time, and each is over when it returns (Virtual I/O Device 1.2, 5.2). A disk that does
//! not answer is given up: nothing else can go on as long as it is waited for.
//!
//! Which device it is only the device itself can say. So each virtio disk is asked in turn, and one that is another's
//! is reset and left as it was found, before any driver has it.
//!
//! Devices reach one piece of memory alone, [`MEMORY_PAGES`] in a row: their queues lie in it, and what is
//! read and written is copied through it. So it does not matter where the kernel's own memory lies.

use crate::arch::clock::counter;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use log_image::{BLOCK, BlockDevice, DeviceError};
use spin::Mutex;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::bus::{BarInfo, Command, ConfigurationAccess, DeviceFunction, HeaderType, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use x86_64::instructions::port::Port;

/// What the device says that it is.
pub const NAME: &str = "orbital-log";
/// Pages that the devices reach: a queue, a request, and what is read or written.
pub const MEMORY_PAGES: usize = 32;
/// Bytes that are read or written at once.
const PIECE: usize = 64 << 10;

const PAGE: usize = virtio_drivers::PAGE_SIZE;
const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
/// Of a bridge: the bus behind it.
const BUS_NUMBERS: u8 = 0x18;

/// The queue of requests, and how many descriptors it has: a request takes three.
const QUEUE: u16 = 0;
const DESCRIPTORS: usize = 4;
/// Features: it cannot be written; what was written has to be flushed; it is as the standard says.
const READ_ONLY: u64 = 1 << 5;
const FLUSHES: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;
/// How a request ended well.
const DONE: u8 = 0;

/// What a disk is asked, with the standard's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Read = 0,
    Write = 1,
    Flush = 4,
    Name = 8,
}

/// The disk of the log.
pub struct LogDisk {
    transport: PciTransport,
    queue: VirtQueue<LogHal, DESCRIPTORS>,
    blocks: u64,
    features: u64,
    place: Place,
    patience: Patience,
    /// It did not answer. What it was asked last it may still do, so it is asked nothing more.
    silent: bool,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// In steps of the processor's counter.
    pub steps: u64,
}

/// Where the disk is on the PCI bus: this function is the kernel's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The bus.
    pub bus: u8,
    /// The device on it.
    pub device: u8,
    /// The function of it.
    pub function: u8,
}

/// Why there is no disk for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// No virtio disk has the name.
    None,
    /// More than one has it.
    Several,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::None => write!(
                f,
                "there is no disk for the log. Attach one: -drive if=none,id=log,file=log.img,format=raw -device virtio-blk-pci,drive=log,serial={NAME},disable-legacy=on"
            ),
            Missing::Several => write!(f, "more than one disk has the serial number {NAME}. Attach one of them."),
        }
    }
}

impl fmt::Debug for LogDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogDisk({:?}, {} blocks)", self.place, self.blocks)
    }
}

impl LogDisk {
    /// Looks for the disk of the log. `map` maps device registers from a physical address on, so many bytes,
    /// uncached, and says where they are then; they stay mapped.
    ///
    /// # Safety
    /// [`MEMORY_PAGES`] pages lie at the physical address `physical` and are mapped at `at`; nobody else has
    /// them, now or ever. What `map` gives is where the registers are. It is called once.
    pub unsafe fn find(
        physical: u64,
        at: NonNull<u8>,
        map: &mut dyn FnMut(u64, u64) -> u64,
        patience: Patience,
    ) -> Result<LogDisk, Missing> {
        *MEMORY.lock() = Some(Memory { physical, at: at.as_ptr() as usize, taken: 0 });
        let mut root = PciRoot::new(PortAccess);
        let mut found = None;
        for place in disks(&root) {
            let Some(disk) = ask(&mut root, place, map, patience) else { continue };
            if found.replace(disk).is_some() {
                return Err(Missing::Several);
            }
        }
        found.ok_or(Missing::None)
    }

    /// Where it is: whoever else uses PCI functions leaves this one alone.
    pub fn place(&self) -> Place {
        self.place
    }
}

/// Every virtio disk on the bus, also behind bridges.
fn disks(root: &PciRoot<PortAccess>) -> Vec<DeviceFunction> {
    let mut disks = Vec::new();
    let mut buses = alloc::vec![0u8];
    let mut seen = [false; 256];
    while let Some(bus) = buses.pop() {
        // A bridge can say anything; each bus is looked at once.
        if core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        for (function, info) in root.enumerate_bus(bus) {
            if info.header_type == HeaderType::PciPciBridge {
                buses.push((PortAccess.read_word(function, BUS_NUMBERS) >> 8) as u8);
            } else if virtio_device_type(&info) == Some(DeviceType::Block) {
                disks.push(function);
            }
        }
    }
    disks
}

/// Asks a disk who it is. One that is not the log's is as it was before when this returns.
fn ask(
    root: &mut PciRoot<PortAccess>,
    function: DeviceFunction,
    map: &mut dyn FnMut(u64, u64) -> u64,
    patience: Patience,
) -> Option<LogDisk> {
    let (_, before) = root.get_status_command(function);
    map_registers(root, function, map);
    root.set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE);
    let mut open = || {
        let transport = PciTransport::new::<LogHal, _>(root, function).ok()?;
        let place = Place { bus: function.bus, device: function.device, function: function.function };
        let mut disk = LogDisk::open(transport, place, patience)?;
        let mut name = [0; 20];
        disk.request(Ask::Name, 0, &[], &mut name).ok()?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        // What is dropped here is reset.
        (&name[..length] == NAME.as_bytes()).then_some(disk)
    };
    let disk = open();
    if disk.is_none() {
        root.set_command(function, before);
    }
    disk
}

/// Maps the registers in memory of a function.
fn map_registers(root: &mut PciRoot<PortAccess>, function: DeviceFunction, map: &mut dyn FnMut(u64, u64) -> u64) {
    let Ok(bars) = root.bars(function) else { return };
    for bar in bars.into_iter().flatten() {
        if let BarInfo::Memory { address, size, .. } = bar
            && address != 0
            && size > 0
        {
            let virt = map(address, size);
            REGISTERS.lock().push((address, size, virt));
        }
    }
}

impl LogDisk {
    /// Resets a disk and makes it ready (3.1.1); `None` if it does not go along.
    fn open(mut transport: PciTransport, place: Place, patience: Patience) -> Option<LogDisk> {
        transport.set_status(DeviceStatus::empty());
        transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
        let features = transport.read_device_features() & (READ_ONLY | FLUSHES | VERSION_1);
        transport.write_driver_features(features);
        let accepted = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK;
        transport.set_status(accepted);
        if features & VERSION_1 == 0 || !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return None;
        }
        let half = |at| transport.read_config_space::<u32>(at).ok().map(u64::from);
        let blocks = half(0)? | half(4)? << 32;
        let mut queue = VirtQueue::new(&mut transport, QUEUE, false, false).ok()?;
        // It is polled.
        queue.set_dev_notify(false);
        transport.set_status(accepted | DeviceStatus::DRIVER_OK);
        Some(LogDisk { transport, queue, blocks, features, place, patience, silent: false })
    }

    /// One request from block `first` on, with bytes that go out and bytes that come in.
    fn request(&mut self, ask: Ask, first: u64, out: &[u8], into: &mut [u8]) -> Result<(), DeviceError> {
        if self.silent {
            return Err(DeviceError::Silent);
        }
        let mut header = [0; 16];
        header[..4].copy_from_slice(&(ask as u32).to_le_bytes());
        header[8..].copy_from_slice(&first.to_le_bytes());
        let mut status = [!DONE];
        let (all, mut both) = ([&header[..], out], [into, &mut status[..]]);
        // What is empty has no descriptor.
        let sent = if out.is_empty() { &all[..1] } else { &all[..] };
        let from = if both[0].is_empty() { 1 } else { 0 };
        let came = &mut both[from..];
        // SAFETY: what the device reaches are copies of these buffers (`LogHal::share`), which are its own until the
        // request is popped; if it never is, they stay the device's.
        let token = unsafe { self.queue.add(sent, came) }.map_err(|_| DeviceError::Failed)?;
        if self.queue.should_notify() {
            self.transport.notify(QUEUE);
        }
        let began = counter();
        while !self.queue.can_pop() {
            if counter().wrapping_sub(began) > self.patience.steps {
                self.silent = true;
                return Err(DeviceError::Silent);
            }
            core::hint::spin_loop();
        }
        // SAFETY: these are the buffers of that request.
        unsafe { self.queue.pop_used(token, sent, came) }.map_err(|_| DeviceError::Failed)?;
        if status == [DONE] { Ok(()) } else { Err(DeviceError::Failed) }
    }

    fn check(&self, first: u64, length: usize) -> Result<(), DeviceError> {
        let end = first.checked_add((length / BLOCK) as u64);
        let inside = end.is_some_and(|end| end <= self.blocks);
        if inside && length.is_multiple_of(BLOCK) { Ok(()) } else { Err(DeviceError::OutOfRange) }
    }
}

impl BlockDevice for LogDisk {
    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.check(first, bytes.len())?;
        for (piece, block) in bytes.chunks_mut(PIECE).zip((first..).step_by(PIECE / BLOCK)) {
            self.request(Ask::Read, block, &[], piece)?;
        }
        Ok(())
    }

    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.check(first, bytes.len())?;
        if self.features & READ_ONLY != 0 {
            return Err(DeviceError::ReadOnly);
        }
        for (piece, block) in bytes.chunks(PIECE).zip((first..).step_by(PIECE / BLOCK)) {
            self.request(Ask::Write, block, piece, &mut [])?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        // A device that has nothing to flush writes through.
        if self.features & FLUSHES == 0 { Ok(()) } else { self.request(Ask::Flush, 0, &[], &mut []) }
    }
}

/// The configuration space of PCI by its two ports.
struct PortAccess;

impl PortAccess {
    fn select(&self, function: DeviceFunction, offset: u8) {
        let address = 1 << 31
            | u32::from(function.bus) << 16
            | u32::from(function.device) << 11
            | u32::from(function.function) << 8
            | u32::from(offset & 0xfc);
        // SAFETY: the port selects a register, and changes nothing else.
        unsafe { Port::<u32>::new(CONFIG_ADDRESS).write(address) }
    }
}

impl ConfigurationAccess for PortAccess {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        self.select(function, offset);
        // SAFETY: reading the configuration of a function changes nothing.
        unsafe { Port::<u32>::new(CONFIG_DATA).read() }
    }
    fn write_word(&mut self, function: DeviceFunction, offset: u8, value: u32) {
        self.select(function, offset);
        // SAFETY: written are the command and base address registers of virtio disks alone, by the driver, before anyone
        // else has them; the memory that they may reach is what `find` was given.
        unsafe { Port::<u32>::new(CONFIG_DATA).write(value) }
    }
    unsafe fn unsafe_clone(&self) -> PortAccess {
        PortAccess
    }
}

/// The memory that the devices reach, and which pages of it are taken.
struct Memory {
    physical: u64,
    at: usize,
    taken: u32,
}

static MEMORY: Mutex<Option<Memory>> = Mutex::new(None);
/// Device registers that are mapped: physical address, bytes, address.
static REGISTERS: Mutex<Vec<(u64, u64, u64)>> = Mutex::new(Vec::new());

impl Memory {
    /// So many pages in a row: where they are, for devices and for the kernel.
    fn take(&mut self, pages: usize) -> Option<(u64, NonNull<u8>)> {
        let mask = (1u64 << pages.min(63)) - 1;
        let first = (0..=MEMORY_PAGES.checked_sub(pages)?).find(|first| u64::from(self.taken) & mask << first == 0)?;
        self.taken |= (mask << first) as u32;
        let at = NonNull::new((self.at + first * PAGE) as *mut u8)?;
        Some((self.physical + (first * PAGE) as u64, at))
    }

    fn give_back(&mut self, physical: u64, pages: usize) {
        let first = (physical.saturating_sub(self.physical) / PAGE as u64).min(63);
        self.taken &= !(((1u64 << pages.min(63)) - 1) << first) as u32;
    }

    fn at(&self, physical: u64) -> *mut u8 {
        (self.at + (physical - self.physical) as usize) as *mut u8
    }
}

/// What the driver needs of the machine.
struct LogHal;

// SAFETY: pages are taken once until they are given back, aligned, zeroed, and where the device finds them;
// registers are where they were mapped; what is shared is copied, so that the device reaches nothing else.
unsafe impl Hal for LogHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let Some((physical, at)) = MEMORY.lock().as_mut().and_then(|memory| memory.take(pages)) else {
            // The driver takes this address for an error.
            return (0, NonNull::dangling());
        };
        // SAFETY: the pages are this allocation's alone, and mapped.
        unsafe { at.write_bytes(0, pages * PAGE) };
        (physical, at)
    }

    unsafe fn dma_dealloc(physical: PhysAddr, _at: NonNull<u8>, pages: usize) -> i32 {
        if let Some(memory) = MEMORY.lock().as_mut() {
            memory.give_back(physical, pages);
        }
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, bytes: usize) -> NonNull<u8> {
        let end = physical.saturating_add(bytes as u64);
        let registers = REGISTERS.lock();
        let found = registers.iter().find(|(start, length, _)| *start <= physical && end <= start + length);
        found
            .and_then(|(start, _, at)| NonNull::new((at + (physical - start)) as *mut u8))
            .expect("the driver has checked that the registers lie in a base address register")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let mut memory = MEMORY.lock();
        let (physical, at) = memory
            .as_mut()
            .and_then(|memory| memory.take(buffer.len().div_ceil(PAGE)))
            .expect("a queue, a request, its data and its answer fit: one request at a time, 64 KiB at most");
        if direction != BufferDirection::DeviceToDriver {
            // SAFETY: the caller gives a buffer that nobody else has now; the pages were just taken.
            unsafe { at.copy_from_nonoverlapping(buffer.cast(), buffer.len()) };
        }
        physical
    }

    unsafe fn unshare(physical: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        if let Some(memory) = MEMORY.lock().as_mut() {
            if direction != BufferDirection::DriverToDevice {
                // SAFETY: as above; the device has finished with the pages.
                unsafe { buffer.cast::<u8>().as_ptr().copy_from_nonoverlapping(memory.at(physical), buffer.len()) };
            }
            memory.give_back(physical, buffer.len().div_ceil(PAGE));
        }
    }
}
