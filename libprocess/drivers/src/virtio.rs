//! The registers of a virtio device on PCI (Virtual I/O Device 1.2, 4.1), as a transport of the crate
//! `virtio-drivers`, and the memory of its queues.
//!
//! The transport's methods cannot fail, system calls can (a capability may be revoked): the first error is
//! kept, and [`Registers::error`] tells it.

use crate::function::{self, Bus, Window};
use crate::memory::{Memory, PAGE};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::NonNull;
use libprocess::Error;
use libprocess::abi::pci::{MSIX_ENTRY, Width};
use spin::{Mutex, MutexGuard};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `VIRTIO_F_VERSION_1`: the device is as the standard says.
pub const VERSION_1: u64 = 1 << 32;

const CAPABILITY_VENDOR: u8 = 0x09;
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;

/// No MSI-X entry.
const NO_VECTOR: u64 = 0xffff;

/// Offsets in the common configuration (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: u32 = 0;
    pub const DEVICE_FEATURE: u32 = 4;
    pub const DRIVER_FEATURE_SELECT: u32 = 8;
    pub const DRIVER_FEATURE: u32 = 12;
    pub const CONFIG_VECTOR: u32 = 16;
    pub const STATUS: u32 = 20;
    pub const GENERATION: u32 = 21;
    pub const QUEUE_SELECT: u32 = 22;
    pub const QUEUE_SIZE: u32 = 24;
    pub const QUEUE_VECTOR: u32 = 26;
    pub const QUEUE_ENABLE: u32 = 28;
    pub const QUEUE_NOTIFY: u32 = 30;
    pub const QUEUE_DESCRIPTORS: u32 = 32;
    pub const QUEUE_DRIVER: u32 = 40;
    pub const QUEUE_DEVICE: u32 = 48;
}

/// The registers of one device. Clones are the same device.
#[derive(Debug)]
pub struct Registers<B> {
    bus: Rc<B>,
    kind: DeviceType,
    /// What the driver knows of what a device may offer; nothing else is seen.
    features: u64,
    common: Window,
    notify: Window,
    notify_step: u32,
    interrupt_status: Option<Window>,
    device: Option<Window>,
    /// Of each queue, where it is told of in the window; read once.
    notify_offsets: Vec<Option<u32>>,
    error: Rc<Cell<Option<Error>>>,
}

impl<B: Bus> Registers<B> {
    /// Finds the registers. Of the features that the device offers, a driver sees those in `features`.
    /// `Unsupported` if it is no virtio device, or one from before the standard.
    pub fn find(bus: Rc<B>, features: u64) -> Result<Registers<B>, Error> {
        let name = function::configuration(&*bus, 0, Width::Four)?;
        let kind = match (name as u16, (name >> 16) as u16) {
            (0x1af4, 0x1001) => DeviceType::Block,
            (0x1af4, id @ 0x1040..=0x107f) => DeviceType::try_from(id - 0x1040).map_err(|_| Error::Unsupported)?,
            _ => return Err(Error::Unsupported),
        };
        let (mut windows, mut notify_step) = ([None; 5], 0);
        function::capabilities(&*bus, |capability, at| {
            let read = |offset, width| match at.checked_add(offset) {
                Some(at) => function::configuration(&*bus, at, width),
                None => Ok(0),
            };
            let what = read(3, Width::One)? as u8;
            if capability == CAPABILITY_VENDOR && (COMMON..=DEVICE).contains(&what) {
                let bar = read(4, Width::One)? as u8;
                let window = Window { bar, offset: read(8, Width::Four)?, length: read(12, Width::Four)? };
                let place = &mut windows[usize::from(what)];
                // The first of each kind is the one that the device prefers.
                if place.is_none() && bar < 6 {
                    *place = Some(window);
                    if what == NOTIFY {
                        notify_step = read(16, Width::Four)?;
                    }
                }
            }
            Ok(true)
        })?;
        // In the order of their numbers, of which 0 is none.
        let [_, common, notify, interrupt_status, device] = windows;
        let (Some(common), Some(notify)) = (common, notify) else { return Err(Error::Unsupported) };
        let error = Rc::default();
        let notify_offsets = Vec::new();
        Ok(Registers {
            bus,
            kind,
            features,
            common,
            notify,
            notify_step,
            interrupt_status,
            device,
            notify_offsets,
            error,
        })
    }

    /// The first error of a register's system call.
    pub fn error(&self) -> Option<Error> {
        self.error.get()
    }

    /// Where the first error is kept, for whoever outlives this.
    pub fn error_cell(&self) -> Rc<Cell<Option<Error>>> {
        self.error.clone()
    }

    fn fail(&self, error: Error) {
        if self.error.get().is_none() {
            self.error.set(Some(error));
        }
    }

    fn get(&self, offset: u32, width: Width) -> u64 {
        self.common.read(&*self.bus, offset, width).unwrap_or_else(|error| {
            self.fail(error);
            0
        })
    }

    fn set(&self, offset: u32, width: Width, value: u64) {
        if let Err(error) = self.common.write(&*self.bus, offset, width, value) {
            self.fail(error);
        }
    }

    /// 64 bits, as two halves: not every device takes them at once.
    fn set_wide(&self, offset: u32, value: u64) {
        self.set(offset, Width::Four, value & 0xffff_ffff);
        self.set(offset + 4, Width::Four, value >> 32);
    }

    fn notify_offset(&mut self, queue: u16) -> u32 {
        let index = usize::from(queue);
        if let Some(Some(offset)) = self.notify_offsets.get(index) {
            return *offset;
        }
        self.set(common::QUEUE_SELECT, Width::Two, queue.into());
        let offset = self.get(common::QUEUE_NOTIFY, Width::Two) as u32;
        let offset = offset.saturating_mul(self.notify_step);
        self.notify_offsets.resize(self.notify_offsets.len().max(index + 1), None);
        self.notify_offsets[index] = Some(offset);
        offset
    }
}

impl<B: Bus> Transport for Registers<B> {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn read_device_features(&mut self) -> u64 {
        let half = |select| {
            self.set(common::DEVICE_FEATURE_SELECT, Width::Four, select);
            self.get(common::DEVICE_FEATURE, Width::Four)
        };
        (half(0) | half(1) << 32) & self.features
    }

    fn write_driver_features(&mut self, features: u64) {
        for (select, half) in [(0, features & 0xffff_ffff), (1, features >> 32)] {
            self.set(common::DRIVER_FEATURE_SELECT, Width::Four, select);
            self.set(common::DRIVER_FEATURE, Width::Four, half);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.set(common::QUEUE_SELECT, Width::Two, queue.into());
        self.get(common::QUEUE_SIZE, Width::Two) as u32
    }

    fn notify(&mut self, queue: u16) {
        let offset = self.notify_offset(queue);
        if let Err(error) = self.notify.write(&*self.bus, offset, Width::Two, queue.into()) {
            self.fail(error);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.get(common::STATUS, Width::One) as u32)
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.set(common::STATUS, Width::One, status.bits().into());
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        self.set(common::QUEUE_SELECT, Width::Two, queue.into());
        self.set(common::QUEUE_SIZE, Width::Two, size.into());
        self.set(common::CONFIG_VECTOR, Width::Two, NO_VECTOR);
        if self.bus.interrupts() {
            self.set(common::QUEUE_VECTOR, Width::Two, MSIX_ENTRY.into());
            // A device without room for the vector says so here.
            if self.get(common::QUEUE_VECTOR, Width::Two) != u64::from(MSIX_ENTRY) {
                self.fail(Error::Unsupported);
            }
        }
        self.set_wide(common::QUEUE_DESCRIPTORS, descriptors);
        self.set_wide(common::QUEUE_DRIVER, driver);
        self.set_wide(common::QUEUE_DEVICE, device);
        self.set(common::QUEUE_ENABLE, Width::Two, 1);
    }

    fn queue_unset(&mut self, _: u16) {
        // A queue ends with a reset of its device.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.set(common::QUEUE_SELECT, Width::Two, queue.into());
        self.get(common::QUEUE_ENABLE, Width::Two) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        // With MSI-X there is nothing to acknowledge at the device.
        let status = self.interrupt_status.map_or(Ok(0), |window| window.read(&*self.bus, 0, Width::One));
        InterruptStatus::from_bits_retain(status.unwrap_or(0) as u32)
    }

    fn read_config_generation(&self) -> u32 {
        self.get(common::GENERATION, Width::One) as u32
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> virtio_drivers::Result<T> {
        let window = self.device.ok_or(virtio_drivers::Error::ConfigSpaceMissing)?;
        let mut value = T::new_zeroed();
        for (index, byte) in value.as_mut_bytes().iter_mut().enumerate() {
            let offset = u32::try_from(offset + index).map_err(|_| virtio_drivers::Error::ConfigSpaceTooSmall)?;
            let read = window.read(&*self.bus, offset, Width::One);
            *byte = read.map_err(|_| virtio_drivers::Error::ConfigSpaceTooSmall)? as u8;
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> virtio_drivers::Result<()> {
        let window = self.device.ok_or(virtio_drivers::Error::ConfigSpaceMissing)?;
        for (index, byte) in value.as_bytes().iter().enumerate() {
            let offset = u32::try_from(offset + index).map_err(|_| virtio_drivers::Error::ConfigSpaceTooSmall)?;
            let written = window.write(&*self.bus, offset, Width::One, (*byte).into());
            written.map_err(|_| virtio_drivers::Error::ConfigSpaceTooSmall)?;
        }
        Ok(())
    }
}

/// Memory that queues and buffers lie in, for [`SharedMemory`], which the crate asks without saying for whom.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
/// Held while a queue is made: what `KNOWN` has to give is that queue's.
static MAKING: Mutex<()> = Mutex::new(());

struct Known {
    start: usize,
    pages: Vec<u64>,
    /// Pages that a queue that is being made may take; `None`: it is not for queues.
    free_from: Option<usize>,
}

impl Known {
    fn address(&self, at: usize) -> Option<u64> {
        let offset = at.checked_sub(self.start)?;
        Some(self.pages.get(offset / PAGE)? + (offset % PAGE) as u64)
    }
}

/// That memory is shared with a device as long as this lives.
#[derive(Debug)]
pub struct Shared {
    memory: Memory,
}

impl Shared {
    /// Buffers can lie in this memory.
    pub fn new(memory: Memory) -> Shared {
        Shared::with(memory, None)
    }

    fn with(memory: Memory, free_from: Option<usize>) -> Shared {
        let pages = (0..memory.bytes() / PAGE).filter_map(|page| memory.address(page * PAGE)).collect();
        KNOWN.lock().push(Known { start: memory.start().as_ptr() as usize, pages, free_from });
        Shared { memory }
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        KNOWN.lock().retain(|known| known.start != self.memory.start().as_ptr() as usize);
    }
}

/// Pages that a queue takes: one for what the driver writes, one for what the device writes.
const QUEUE_PAGES: usize = 2;

/// A queue with the memory that it lies in.
pub struct Queue<const SIZE: usize> {
    /// First, so that it goes before its memory does.
    pub queue: VirtQueue<SharedMemory, SIZE>,
    _memory: Shared,
}

impl<const SIZE: usize> Queue<SIZE> {
    /// Makes queue number `number` of a device in `memory`.
    pub fn new<B: Bus>(registers: &mut Registers<B>, number: u16) -> Result<Queue<SIZE>, Error> {
        let memory = registers.bus.memory(QUEUE_PAGES)?;
        let making: MutexGuard<'_, ()> = MAKING.lock();
        let memory = Shared::with(memory, Some(0));
        let queue = VirtQueue::new(registers, number, false, false).map_err(|_| Error::Unsupported);
        for known in KNOWN.lock().iter_mut() {
            known.free_from = None;
        }
        drop(making);
        Ok(Queue { queue: queue?, _memory: memory })
    }
}

/// How the crate `virtio-drivers` gets at memory that is shared with devices.
pub struct SharedMemory;

// SAFETY: `dma_alloc` gives zeroed pages of a `Memory`, which are mapped, aligned to pages and nobody
// else's, each once; they stay until the queue in them is gone, see `Queue`.
unsafe impl Hal for SharedMemory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let mut known = KNOWN.lock();
        let found = known.iter_mut().find_map(|known| {
            let first = known.free_from?;
            let address = *known.pages.get(first)?;
            // What does not follow each other on the bus is no place for a queue.
            let follows =
                (0..pages).all(|page| known.pages.get(first + page) == Some(&(address + (page * PAGE) as u64)));
            let start = NonNull::new((known.start + first * PAGE) as *mut u8).filter(|_| follows)?;
            known.free_from = Some(first + pages);
            Some((address, start))
        });
        // Address 0 is how an allocation fails.
        found.unwrap_or((0, NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // It goes with the `Memory`.
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        // Registers are reached by system calls alone: nothing asks for this.
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let at = buffer.cast::<u8>().as_ptr() as usize;
        // Whatever is not shared memory has no address: a driver copies through it.
        KNOWN.lock().iter().find_map(|known| known.address(at)).unwrap_or(0)
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
