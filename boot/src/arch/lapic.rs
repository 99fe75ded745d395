//! The local APIC: the timer, and the end of interrupts. Registers: Intel SDM volume 3, chapter "APIC".

use crate::handoff::Piece;
use crate::memory::frames::Frames;
use crate::memory::kernel_space;

const BASE: u64 = 0xfee0_0000;
const NUMBER: u64 = 0x20;
const END_OF_INTERRUPT: u64 = 0xb0;
const SPURIOUS: u64 = 0xf0;
const TASK_PRIORITY: u64 = 0x80;
const TIMER: u64 = 0x320;
const COUNT: u64 = 0x380;
const NOW: u64 = 0x390;
const DIVIDE: u64 = 0x3e0;
const PERIODIC: u32 = 1 << 17;
const MASKED: u32 = 1 << 16;

/// The timer's vector.
pub const TIMER_VECTOR: u8 = 0xf0;
/// The vector of interrupts that are none.
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// The local APIC of the one processor.
#[derive(Debug)]
pub struct Lapic {
    base: u64,
    /// Counts of the timer in a second.
    frequency: u64,
}

impl Lapic {
    /// Switched on, with the timer stopped. `wait` takes a count before and after 10 ms.
    pub fn start(frames: &mut Frames<'_>) -> Lapic {
        let base = kernel_space::map_device(Piece { start: BASE, end: BASE + 0x1000 }, frames);
        let lapic = Lapic { base, frequency: 0 };
        lapic.write(SPURIOUS, 0x100 | u32::from(SPURIOUS_VECTOR));
        lapic.write(TASK_PRIORITY, 0);
        // Divide by one.
        lapic.write(DIVIDE, 0xb);
        lapic.write(TIMER, MASKED | u32::from(TIMER_VECTOR));
        lapic
    }

    fn write(&self, register: u64, value: u32) {
        // SAFETY: a register of the local APIC, which is mapped there.
        unsafe { ((self.base + register) as *mut u32).write_volatile(value) };
    }

    fn read(&self, register: u64) -> u32 {
        // SAFETY: as above.
        unsafe { ((self.base + register) as *const u32).read_volatile() }
    }

    /// Its number, to which interrupts are sent.
    pub fn number(&self) -> u8 {
        (self.read(NUMBER) >> 24) as u8
    }

    /// Lets the timer count down, to be measured with [`Lapic::counted`].
    pub fn count_from_top(&self) {
        self.write(COUNT, u32::MAX);
    }

    /// How far it has counted since.
    pub fn counted(&self) -> u32 {
        u32::MAX - self.read(NOW)
    }

    /// What was measured.
    pub fn set_frequency(&mut self, counts_per_second: u64) {
        self.frequency = counts_per_second;
        self.write(COUNT, 0);
    }

    fn counts(&self, ns: u64) -> u32 {
        let counts = u128::from(ns) * u128::from(self.frequency) / 1_000_000_000;
        u32::try_from(counts).unwrap_or(u32::MAX).max(1)
    }

    /// An interrupt every so many ns.
    pub fn every(&self, ns: u64) {
        self.write(TIMER, PERIODIC | u32::from(TIMER_VECTOR));
        self.write(COUNT, self.counts(ns));
    }

    /// One interrupt, in so many ns.
    pub fn once(&self, ns: u64) {
        self.write(TIMER, u32::from(TIMER_VECTOR));
        self.write(COUNT, self.counts(ns));
    }

    /// None.
    pub fn stop(&self) {
        self.write(TIMER, MASKED | u32::from(TIMER_VECTOR));
        self.write(COUNT, 0);
    }

    /// The interrupt being handled is over.
    pub fn end_of_interrupt(&self) {
        self.write(END_OF_INTERRUPT, 0);
    }
}
