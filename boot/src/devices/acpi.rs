//! From the ACPI tables, what says where the interrupts of old devices go: the table "APIC" (ACPI 6.5,
//! 5.2.12). Everything in the tables is checked: a table that is wrong is as if it were not there.

use alloc::vec::Vec;

/// One interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Controller {
    /// Physical address of its registers.
    pub address: u64,
    /// The number of its first input.
    pub first: u32,
}

/// Where an old interrupt goes other than to the input of the same number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Override {
    /// The old interrupt.
    pub interrupt: u8,
    /// The input.
    pub input: u32,
    /// It is active low.
    pub low: bool,
    /// It is a level, not an edge.
    pub level: bool,
}

/// What the tables say of interrupts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interrupts {
    /// The controllers.
    pub controllers: Vec<Controller>,
    /// What goes elsewhere.
    pub overrides: Vec<Override>,
}

const HEADER: usize = 36;
/// Tables longer than this are not believed.
const MOST_BYTES: usize = 1 << 20;
/// Where the root pointer is looked for if nobody said: the read-only memory of the BIOS.
const SEARCH: core::ops::Range<u64> = 0xe_0000..0x10_0000;

impl Interrupts {
    /// Reads the tables. `None` if there are none that can be believed.
    pub fn find<'a>(rsdp: Option<u64>, memory: &dyn Fn(u64, usize) -> Option<&'a [u8]>) -> Option<Interrupts> {
        let said = rsdp.and_then(|rsdp| root(rsdp, memory));
        let (root, wide) = said.or_else(|| SEARCH.step_by(16).find_map(|address| root(address, memory)))?;
        let entries = table(root, if wide { b"XSDT" } else { b"RSDT" }, memory)?;
        let addresses: Vec<u64> = if wide {
            entries.chunks_exact(8).map(number).collect()
        } else {
            entries.chunks_exact(4).map(number).collect()
        };
        addresses.into_iter().find_map(|address| table(address, b"APIC", memory)).map(Interrupts::read)
    }

    /// Reads the table behind its header.
    fn read(body: &[u8]) -> Interrupts {
        let mut interrupts = Interrupts::default();
        // The address of the local APIC and flags come first.
        let mut rest = body.get(8..).unwrap_or_default();
        while let [kind, length, ..] = *rest {
            let Some((entry, behind)) = rest.split_at_checked(usize::from(length)).filter(|_| length >= 2) else {
                break;
            };
            rest = behind;
            match (kind, entry.len()) {
                (1, 12..) => interrupts
                    .controllers
                    .push(Controller { address: number(&entry[4..8]), first: number(&entry[8..12]) as u32 }),
                // Bus 0 is ISA, the only one that there is. Where the flags leave it to the bus, it is an
                // edge, active high.
                (2, 10..) if entry[2] == 0 => interrupts.overrides.push(Override {
                    interrupt: entry[3],
                    input: number(&entry[4..8]) as u32,
                    low: entry[8] & 3 == 3,
                    level: entry[8] >> 2 & 3 == 3,
                }),
                _ => {}
            }
        }
        interrupts
    }

    /// Where an old interrupt goes.
    pub fn of(&self, interrupt: u8) -> Override {
        let plain = Override { interrupt, input: interrupt.into(), low: false, level: false };
        self.overrides.iter().find(|other| other.interrupt == interrupt).copied().unwrap_or(plain)
    }
}

/// Little-endian, at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// What the root pointer at this address points to, and whether that has addresses of 8 bytes.
fn root<'a>(address: u64, memory: &dyn Fn(u64, usize) -> Option<&'a [u8]>) -> Option<(u64, bool)> {
    let old = memory(address, 20).filter(|bytes| bytes.starts_with(b"RSD PTR ") && sums_to_zero(bytes))?;
    if old[15] >= 2
        && let Some(new) = memory(address, 36).filter(|bytes| sums_to_zero(bytes))
        && number(&new[24..32]) != 0
    {
        return Some((number(&new[24..32]), true));
    }
    Some((number(&old[16..20]), false))
}

/// The body of the table at this address, if it is one with this name.
fn table<'a>(address: u64, name: &[u8; 4], memory: &dyn Fn(u64, usize) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let header = memory(address, HEADER).filter(|header| header.starts_with(name))?;
    let length = number(&header[4..8]) as usize;
    if !(HEADER..=MOST_BYTES).contains(&length) {
        return None;
    }
    memory(address, length).filter(|bytes| sums_to_zero(bytes)).map(|bytes| &bytes[HEADER..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RSDP: u64 = 0xe_0010;

    /// Memory from 0xe0000 on with tables as QEMU's are: a controller, interrupt 0 at input 2, 9 as a level.
    fn memory(version: u8) -> std::vec::Vec<u8> {
        let mut memory = std::vec![0; 0x2_0000];
        let mut put = |at: u64, bytes: &[u8]| {
            let at = (at - 0xe_0000) as usize;
            memory[at..at + bytes.len()].copy_from_slice(bytes);
        };
        let mut body = std::vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
        body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
        body.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
        body.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0]);
        put(0xe_1000, &table_of(b"APIC", &body));
        put(0xe_2000, &table_of(b"FACP", &[0; 80]));
        let (a, b) = (0xe_2000u64, 0xe_1000u64);
        put(0xe_3000, &table_of(b"RSDT", &[(a as u32).to_le_bytes(), (b as u32).to_le_bytes()].concat()));
        put(0xe_4000, &table_of(b"XSDT", &[a.to_le_bytes(), b.to_le_bytes()].concat()));
        let mut pointer = std::vec![0; 36];
        pointer[..8].copy_from_slice(b"RSD PTR ");
        pointer[15] = version;
        pointer[16..20].copy_from_slice(&0xe_3000u32.to_le_bytes());
        pointer[8] = checksum(&pointer[..20]);
        pointer[20] = 36;
        pointer[24..32].copy_from_slice(&0xe_4000u64.to_le_bytes());
        pointer[32] = checksum(&pointer);
        put(RSDP, &pointer);
        memory
    }

    fn checksum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
    }

    fn table_of(name: &[u8; 4], body: &[u8]) -> std::vec::Vec<u8> {
        let mut table = std::vec![0; HEADER];
        table[..4].copy_from_slice(name);
        table.extend_from_slice(body);
        let length = table.len() as u32;
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table[9] = checksum(&table);
        table
    }

    fn find(memory: &[u8], rsdp: Option<u64>) -> Option<Interrupts> {
        let at = |address: u64, length: usize| {
            let start = usize::try_from(address.checked_sub(0xe_0000)?).ok()?;
            memory.get(start..start.checked_add(length)?)
        };
        Interrupts::find(rsdp, &at)
    }

    #[test]
    fn the_tables_say_where_interrupts_go() {
        for (version, rsdp) in [(0, Some(RSDP)), (2, Some(RSDP)), (2, None), (2, Some(0x12345))] {
            let found = find(&memory(version), rsdp).unwrap();
            assert_eq!(found.controllers, [Controller { address: 0xfec0_0000, first: 0 }]);
            assert_eq!(found.of(0).input, 2);
            assert_eq!(found.of(4), Override { interrupt: 4, input: 4, low: false, level: false });
            assert_eq!(found.of(9), Override { interrupt: 9, input: 9, low: false, level: true });
        }
    }

    #[test]
    fn a_table_with_one_bit_changed_is_not_believed() {
        let good = memory(2);
        for at in [0xe_1000, 0xe_1000 + 50, 0xe_4000 + 3, 0xe_4000 + 40] {
            let mut bad = good.clone();
            bad[(at - 0xe_0000) as usize] ^= 1;
            assert_eq!(find(&bad, Some(RSDP)), None, "{at:#x}");
        }
        assert_eq!(find(&[], Some(RSDP)), None);
        assert_eq!(find(&good, Some(RSDP)).unwrap().controllers.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_the_tables_hold_it_ends(
            body in prop::collection::vec(any::<u8>(), 0..300),
            wild in prop::collection::vec((0usize..0x5000, any::<u8>()), 0..40),
        ) {
            let mut bytes = memory(2);
            let table = table_of(b"APIC", &body);
            bytes[0x1000..0x1000 + table.len()].copy_from_slice(&table);
            let found = find(&bytes, Some(RSDP)).unwrap();
            prop_assert!(found.controllers.len() + found.overrides.len() <= body.len());
            for (at, byte) in wild {
                bytes[at] = byte;
            }
            let _ = find(&bytes, Some(RSDP));
        }
    }
}
