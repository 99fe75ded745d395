//! The I/O APIC: interrupts of devices that are older than MSI (Intel 82093AA).

use super::acpi::Interrupts;
use super::bus::{Bus, Width};

const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
/// Register: the number of its last input in bits 16 to 23.
const VERSION: u64 = 1;
/// The first register of the table of redirections, two of 32 bits each.
const TABLE: u64 = 0x10;
const LOW: u64 = 1 << 13;
const LEVEL: u64 = 1 << 15;

/// Lets an old interrupt come to the processor with this vector; false if no controller has it.
pub fn route(
    bus: &mut impl Bus,
    tables: &Interrupts,
    interrupt: u8,
    vector: u8,
    processor: u8,
    map: &mut dyn FnMut(u64, u64) -> u64,
) -> bool {
    let way = tables.of(interrupt);
    for controller in &tables.controllers {
        let Some(input) = way.input.checked_sub(controller.first) else { continue };
        let base = map(controller.address, 0x20);
        bus.store(base + SELECT, Width::Four, VERSION);
        let last = bus.load(base + WINDOW, Width::Four) >> 16 & 0xff;
        if u64::from(input) > last {
            continue;
        }
        let low = if way.low { LOW } else { 0 };
        let level = if way.level { LEVEL } else { 0 };
        let register = TABLE + 2 * u64::from(input);
        // The upper half first: from the lower one on it can come.
        for (register, value) in
            [(register + 1, u64::from(processor) << 24), (register, u64::from(vector) | low | level)]
        {
            bus.store(base + SELECT, Width::Four, register);
            bus.store(base + WINDOW, Width::Four, value);
        }
        return true;
    }
    false
}
