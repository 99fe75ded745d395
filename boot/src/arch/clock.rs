//! Time since boot, from the processor's counter, measured once against the PIT.

use super::lapic::Lapic;
use x86_64::instructions::port::Port;

/// The counter, and what a step of it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
    /// ns in a step, times 2^32.
    scale: u64,
    /// Steps in a second.
    pub frequency: u64,
}

/// Steps of the PIT in a second.
const PIT: u64 = 1_193_182;
/// How long is measured, in steps of the PIT: about 10 ms.
const MEASURE: u64 = PIT / 100;

/// The processor's counter.
#[inline(always)]
pub fn counter() -> u64 {
    // SAFETY: reading the counter changes nothing; every x86_64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

impl Clock {
    /// Begins at 0 ns. Measures the counter and the timer of the local APIC.
    pub fn measure(lapic: &mut Lapic) -> Clock {
        let (mut gate, mut command, mut channel): (Port<u8>, Port<u8>, Port<u8>) =
            (Port::new(0x61), Port::new(0x43), Port::new(0x42));
        // SAFETY: channel 2 of the PIT counts down once, its gate and output at port 0x61; nothing else
        // uses it.
        unsafe {
            let before = gate.read();
            gate.write(before & !2 & !1);
            command.write(0xb0);
            channel.write(MEASURE as u8);
            channel.write((MEASURE >> 8) as u8);
            gate.write(before & !2 | 1);
        }
        let start = counter();
        lapic.count_from_top();
        let mut looks = 0u64;
        // SAFETY: reading the gate's port changes nothing. Without a PIT it is given up.
        while unsafe { gate.read() } & 0x20 == 0 && looks < 50_000_000 {
            looks += 1;
        }
        let steps = (counter() - start).max(1);
        let counts = u64::from(lapic.counted()).max(1);
        lapic.set_frequency(counts * PIT / MEASURE);
        let frequency = (u128::from(steps) * u128::from(PIT) / u128::from(MEASURE)) as u64;
        Clock { start, scale: ((1_000_000_000u128 << 32) / u128::from(frequency)) as u64, frequency }
    }

    /// ns since it began.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        ((u128::from(counter() - self.start) * u128::from(self.scale)) >> 32) as u64
    }
}
