//! The devices against a model of the machine.

use super::acpi::{Controller, Interrupts};
use super::model::{COMMON, Event, IOAPIC, MSIX_TABLE, Model, Space};
use super::pci::{self, Address, Bar};
use super::uart::Buffers;
use super::*;
use abi::device::{CONSOLE_COLUMNS, CONSOLE_IS_TERMINAL, UART_IDLE, UART_RECEIVE, UART_STATUS, UART_TERMINAL};
use abi::pci::{Register, Space as Where, Width};
use proptest::prelude::*;

const CONSOLE: DeviceId = DeviceId(0);
const CLOCK: DeviceId = DeviceId(1);
const ENTROPY: DeviceId = DeviceId(2);
const POWER: DeviceId = DeviceId(3);
const DISK: DeviceId = DeviceId(4);
const CONSOLE_LINE: InterruptId = InterruptId(0);
const POWER_LINE: InterruptId = InterruptId(1);
const DISK_LINE: InterruptId = InterruptId(2);
const DISK_VECTOR: u8 = FIRST_VECTOR + 1;

const fn at(device: u8) -> Address {
    Address { bus: 0, device, function: 0 }
}

/// Tables with one controller, which has all old interrupts.
fn tables(address: u64, length: usize) -> Option<&'static [u8]> {
    static BYTES: std::sync::OnceLock<std::vec::Vec<u8>> = std::sync::OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        let mut bytes = std::vec![0; 0x200];
        bytes[..8].copy_from_slice(b"RSD PTR ");
        bytes[16..20].copy_from_slice(&0x40u32.to_le_bytes());
        bytes[8] = sum(&bytes[..20]);
        for (at, name, body) in [
            (0x40, b"RSDT", &[0x80, 0, 0, 0][..]),
            (0x80, b"APIC", &[0, 0, 0, 0, 0, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]),
        ] {
            bytes[at..at + 4].copy_from_slice(name);
            bytes[at + 4] = 36 + body.len() as u8;
            bytes[at + 36..at + 36 + body.len()].copy_from_slice(body);
            bytes[at + 9] = sum(&bytes[at..at + 36 + body.len()]);
        }
        bytes
    });
    let start = usize::try_from(address).ok()?;
    bytes.get(start..start.checked_add(length)?)
}

fn probe<'a>(model: &'a mut Model, kept: &[Address], terminal: Option<u32>) -> Hardware<&'a mut Model> {
    probe_with(model, kept, terminal, Buffers::On)
}

fn probe_with<'a>(
    model: &'a mut Model,
    kept: &[Address],
    terminal: Option<u32>,
    buffers: Buffers,
) -> Hardware<&'a mut Model> {
    let mut map = |physical, _| physical;
    Hardware::probe(
        model,
        Probe { map: &mut map, memory: &tables, rsdp: Some(0), processor: 0, kept, terminal, buffers, now: 0 },
    )
}

fn machine() -> Model {
    let mut model = Model::new();
    model.functions.insert(at(0), Space::new(0x8086, 0x29c0));
    model.functions.insert(at(3), Space::virtio(0x1042));
    model
}

/// Where registers are put that the firmware put nowhere.
const WINDOW: core::ops::Range<u64> = 0xc000_0000..0xfec0_0000;

/// Given a firmware that gave no addresses, when they are assigned, then each register in memory has one of its own, at a
/// multiple of its size; one that does not fit has none.
#[test]
fn registers_that_the_firmware_put_nowhere_get_addresses() {
    let mut model = machine();
    let mut large = Space::new(0x8086, 1);
    large.put(0x10, &[0xc]);
    large.settable[..2].copy_from_slice(&[0xfff0_0000, 0]);
    large.settable[2] = 0xfff0_0000;
    model.functions.insert(at(1), large);
    for device in [3, 4, 5] {
        let mut space = Space::virtio(0x1042);
        space.put(0x14, &[0; 4]);
        space.put(0x20, &[0xc, 0, 0, 0]);
        model.functions.insert(at(device), space);
    }
    pci::assign(&mut &mut model, WINDOW);
    let mut taken = std::vec::Vec::new();
    for device in [1, 3, 4, 5] {
        for bar in pci::bars(&mut &mut model, at(device)).into_iter().flatten() {
            let Bar::Memory { address, length } = bar else { panic!("{bar:?}") };
            assert!(WINDOW.contains(&address) && address + length <= WINDOW.end, "{address:#x}");
            taken.push(address..address + length);
        }
    }
    taken.sort_by_key(|range| range.start);
    assert_eq!(taken.len(), 7);
    assert!(taken.is_sorted_by(|a, b| a.end <= b.start), "{taken:x?}");
}

/// Given a firmware that gave one function its addresses, then it gave them to all that should have some.
#[test]
fn registers_stay_where_the_firmware_put_them() {
    let mut model = machine();
    let mut other = Space::virtio(0x1042);
    other.put(0x14, &[0; 4]);
    model.functions.insert(at(4), other);
    let before: std::vec::Vec<_> = model.functions.values().map(|space| space.bytes).collect();
    pci::assign(&mut &mut model, WINDOW);
    let after: std::vec::Vec<_> = model.functions.values().map(|space| space.bytes).collect();
    assert!(before == after);
}

fn register(space: Where, width: Width, offset: u32) -> u64 {
    Register { space, width, offset }.number().unwrap()
}

fn received(value: u64) -> std::vec::Vec<u8> {
    value.to_le_bytes()[1..][..value as usize & 0xff].to_vec()
}

#[test]
fn every_device_says_what_it_is_and_what_the_kernel_keeps_is_not_there() {
    let mut model = machine();
    let mut space = Space::virtio(0x1042);
    space.put(0x34, &[0]);
    model.functions.insert(at(4), space.clone());
    model.functions.insert(at(5), space);
    model.functions.insert(Address { bus: 0, device: 6, function: 0 }, Space::virtio(0x1041));
    let mut hardware = probe(&mut model, &[at(3)], None);
    let list: std::vec::Vec<_> = hardware.list().map(|(id, name, line)| (id.0, name.to_string(), line)).collect();
    assert_eq!(
        list,
        [
            (0, "console".into(), Some(CONSOLE_LINE)),
            (1, "clock".into(), None),
            (2, "entropy".into(), None),
            (3, "power".into(), Some(POWER_LINE)),
            // It has no MSI-X, so it has no line.
            (4, "disk".into(), None),
            (5, "pci:00:05.0".into(), None),
            (6, "pci:00:06.0".into(), Some(InterruptId(2))),
        ]
    );
    let classes: std::vec::Vec<u64> = (0..7).map(|id| hardware.read(DeviceId(id), CLASS, 0).unwrap()).collect();
    assert_eq!(classes, [6, 3, 4, 5, 7, 7, 7]);
    assert_eq!(hardware.read(DeviceId(7), CLASS, 0), Err(Error::Unsupported));
}

#[test]
fn the_bus_is_searched_behind_bridges_and_a_ring_of_bridges_ends() {
    let mut model = Model::new();
    let mut bridge = Space::new(0x1b36, 1);
    bridge.put(0x0e, &[0x81]);
    bridge.put(0x19, &[2]);
    model.functions.insert(at(1), bridge.clone());
    bridge.put(0x19, &[0]);
    model.functions.insert(Address { bus: 2, device: 0, function: 3 }, bridge.clone());
    model.functions.insert(Address { bus: 2, device: 0, function: 0 }, bridge);
    let found: std::vec::Vec<_> = pci::scan(&mut &mut model).iter().map(|found| found.address.to_string()).collect();
    assert_eq!(found, ["00:01.0", "02:00.0", "02:00.3"]);
}

#[test]
fn a_list_of_capabilities_that_is_a_ring_ends() {
    let mut model = Model::new();
    let mut space = Space::virtio(0x1042);
    space.put(0x41, &[0x98]);
    model.functions.insert(at(1), space);
    let capabilities = pci::capabilities(&mut &mut model, at(1));
    assert!(capabilities.msix.is_some() && capabilities.virtio.is_some());
}

#[test]
fn base_address_registers_are_as_they_were_after_they_were_measured() {
    let mut model = machine();
    let before = model.functions[&at(3)].bytes;
    let bars = pci::bars(&mut &mut model, at(3));
    assert_eq!(bars[1], Some(Bar::Memory { address: 0xfebd_1000, length: 0x1000 }));
    assert_eq!(bars[4], Some(Bar::Memory { address: 0xfe00_0000, length: 0x4000 }));
    assert_eq!(bars.iter().flatten().count(), 2);
    assert_eq!(model.functions[&at(3)].bytes, before);
}

#[test]
fn a_driver_reaches_the_registers_of_its_function_and_nothing_else() {
    let mut model = machine();
    model.memory.insert(COMMON + 0x3ff8, 0x77);
    let mut hardware = probe(&mut model, &[], None);
    let four = |bar, offset| register(Where::Bar(bar), Width::Four, offset);
    hardware.write(DISK, four(4, 0x100), 0x1234_5678).unwrap();
    assert_eq!(hardware.read(DISK, four(4, 0x100), 0), Ok(0x1234_5678));
    assert_eq!(hardware.read(DISK, register(Where::Bar(4), Width::Two, 0x102), 0), Ok(0x1234));
    assert_eq!(hardware.read(DISK, register(Where::Bar(4), Width::Eight, 0x3ff8), 0), Ok(0x77));
    assert_eq!(hardware.read(DISK, register(Where::Configuration, Width::Two, 0), 0), Ok(0x1af4));
    assert_eq!(hardware.read(DISK, register(Where::Configuration, Width::One, 255), 0), Ok(0));
    let nothing = [
        register(Where::Bar(4), Width::One, 0x4000),
        register(Where::Bar(4), Width::One, 0xff_ffff),
        register(Where::Bar(0), Width::One, 0),
        // The upper half of register 4.
        register(Where::Bar(5), Width::One, 0),
        register(Where::Configuration, Width::Four, 256),
        register(Where::Configuration, Width::Eight, 0),
        0,
        u64::MAX,
    ];
    for number in nothing {
        assert_eq!(hardware.read(DISK, number, 0), Err(Error::InvalidArgument), "{number:#x}");
        assert_eq!(hardware.write(DISK, number, 0), Err(Error::InvalidArgument), "{number:#x}");
    }
    // The vectors, what is pending, and where the function is, are the kernel's.
    for offset in [0, 8, 0x2c, 0x800, 0x804] {
        assert_eq!(hardware.write(DISK, four(1, offset), 1), Err(Error::InvalidArgument), "{offset:#x}");
        assert_eq!(hardware.read(DISK, four(1, offset), 0), Err(Error::InvalidArgument), "{offset:#x}");
    }
    assert_eq!(hardware.write(DISK, four(1, 0x30), 1), Ok(Written::Done));
    for offset in [4, 0x10, 0x20, 0x9a & !3] {
        let number = register(Where::Configuration, Width::Four, offset);
        assert_eq!(hardware.write(DISK, number, 0x7fff), Err(Error::InvalidArgument), "{offset:#x}");
    }
}

proptest! {
    #[test]
    fn no_register_leads_out_of_the_function(numbers in prop::collection::vec(any::<u32>(), 1..200), value: u64) {
        let mut model = machine();
        let before = model.memory.clone();
        let mut hardware = probe(&mut model, &[], None);
        for number in numbers {
            // Most of them are numbers of registers.
            let _ = hardware.write(DISK, u64::from(number & 0x5cff_ffff | 0x4000_0000), value);
            let _ = hardware.write(DISK, number.into(), value);
        }
        let written = model.memory.keys().filter(|address| !before.contains_key(address));
        let functions = [0xfe00_0000..0xfe00_4000, 0xfebd_1000..0xfebd_2000, IOAPIC..IOAPIC + 0x2000];
        for address in written {
            prop_assert!(functions.iter().any(|window| window.contains(address)), "{address:#x}");
        }
        prop_assert_eq!(model.number(MSIX_TABLE, 8), 0xfee0_0000, "the vector is as the kernel set it");
    }
}

proptest! {
    /// Whatever a function says of itself.
    #[test]
    fn no_configuration_space_opens_a_way_to_what_is_not_the_functions(
        mut space in prop::collection::vec(any::<u8>(), 256..=256),
        settable in any::<[u32; 6]>(),
        wild in prop::collection::vec((6usize..256, any::<u8>()), 0..6),
        known: bool,
        numbers in prop::collection::vec(any::<u32>(), 1..100),
    ) {
        let mut function = Space::virtio(0x1042);
        if known {
            for (at, byte) in wild {
                function.bytes[at] = byte;
            }
        } else {
            space[..4].copy_from_slice(&[0xf4, 0x1a, 0x42, 0x10]);
            function = Space { bytes: space.try_into().unwrap(), settable };
        }
        let mut model = Model::new();
        model.functions.insert(at(3), function);
        let shown = pci::bars(&mut &mut model, at(3));
        let mut hardware = probe(&mut model, &[], None);
        let disk = hardware.list().find(|(_, name, _)| *name == "disk").map(|(device, ..)| device).unwrap();
        hardware.bus.memory.clear();
        for number in numbers {
            let _ = hardware.write(disk, u64::from(number & 0x5c00_3fff | 0x4000_0000), u64::MAX);
            let _ = hardware.write(disk, u64::from(number & 0x5cff_ffff | 0x4000_0000), u64::MAX);
        }
        let windows: std::vec::Vec<_> = shown.iter().flatten().filter_map(|bar| match *bar {
            Bar::Memory { address, length } => Some(address..address + length),
            Bar::Ports { .. } => None,
        }).collect();
        for address in hardware.bus.memory.keys() {
            prop_assert!(windows.iter().any(|window| window.contains(address)), "{address:#x}");
        }
        hardware.told_of(disk, RegionId(1)).unwrap();
        hardware.region_gone(RegionId(1));
        prop_assert_eq!(hardware.bus.command(at(3)) & pci::COMMAND_MASTER, 0);
    }
}

#[test]
fn a_function_uses_memory_only_while_it_was_told_of_regions_that_live() {
    let mut model = machine();
    let mut hardware = probe(&mut model, &[], None);
    let (a, b, other) = (RegionId(1), RegionId(2), RegionId(3));
    assert_eq!(hardware.told_of(CONSOLE, a), Err(Error::Unsupported));
    hardware.told_of(DISK, a).unwrap();
    hardware.told_of(DISK, b).unwrap();
    hardware.region_gone(other);
    hardware.bus.events.clear();
    assert_eq!(hardware.bus.command(at(3)) & pci::COMMAND_MASTER, pci::COMMAND_MASTER);
    hardware.bus.memory.insert(COMMON + 20, 0x0f);
    hardware.region_gone(a);
    let without = pci::COMMAND_PORTS | pci::COMMAND_MEMORY | pci::COMMAND_NO_PIN;
    let expected = [Event::Status(0), Event::Command(at(3), without)];
    assert_eq!(hardware.bus.events, expected, "what it has begun ends before it loses the bus");
    hardware.region_gone(b);
    assert_eq!(hardware.bus.events, expected, "it was told anew of nothing");
    hardware.told_of(DISK, b).unwrap();
    assert_eq!(hardware.bus.command(at(3)) & pci::COMMAND_MASTER, pci::COMMAND_MASTER);
}

#[test]
fn nothing_can_use_memory_or_interrupt_after_it_was_found() {
    let mut model = machine();
    model.functions.get_mut(&at(3)).unwrap().put(4, &[7]);
    let hardware = probe(&mut model, &[], None);
    assert_eq!(hardware.bus.command(at(3)), pci::COMMAND_PORTS | pci::COMMAND_MEMORY | pci::COMMAND_NO_PIN);
    assert_eq!(hardware.bus.number(MSIX_TABLE + 12, 4), 1, "masked");
}

#[test]
fn a_function_interrupts_with_its_vector_while_its_line_is_open() {
    let mut model = machine();
    let mut hardware = probe(&mut model, &[], None);
    assert_eq!(hardware.bus.number(MSIX_TABLE, 8), 0xfee0_0000);
    assert_eq!(hardware.bus.number(MSIX_TABLE + 8, 4), u64::from(DISK_VECTOR));
    let control = hardware.bus.functions[&at(3)].bytes[0x9b];
    assert_eq!(control & 0xc0, 0x80, "switched on");
    hardware.set_line(DISK_LINE, true);
    assert_eq!(hardware.bus.number(MSIX_TABLE + 12, 4), 0);
    assert_eq!(hardware.raised(), None);
    hardware.interrupt(DISK_VECTOR);
    assert_eq!(hardware.bus.number(MSIX_TABLE + 12, 4), 1, "held back until the kernel opens it");
    assert_eq!(hardware.raised(), Some(DISK_LINE));
    assert_eq!(hardware.raised(), None);
    // One that was on its way when the line was closed comes when it is opened.
    hardware.interrupt(DISK_VECTOR);
    assert_eq!(hardware.raised(), None);
    hardware.set_line(DISK_LINE, true);
    assert_eq!(hardware.raised(), Some(DISK_LINE));
    hardware.interrupt(0x99);
    hardware.set_line(InterruptId(99), true);
    assert_eq!(hardware.raised(), None);
}

#[test]
fn the_serial_port_is_routed_to_its_vector() {
    let mut model = machine();
    probe(&mut model, &[], None);
    assert_eq!(model.number(IOAPIC + 0x1000 + 4 * (0x10 + 8), 4), u64::from(FIRST_VECTOR), "an edge, active high");
    let mut model = machine();
    let tables = Interrupts {
        controllers: std::vec![Controller { address: IOAPIC, first: 24 }, Controller { address: IOAPIC, first: 0 }],
        overrides: std::vec![acpi::Override { interrupt: 4, input: 23, low: true, level: true }],
    };
    assert!(ioapic::route(&mut &mut model, &tables, 4, 0x55, 2, &mut |physical, _| physical));
    assert_eq!(model.number(IOAPIC + 0x1000 + 4 * (0x10 + 46), 4), 0x55 | 1 << 13 | 1 << 15);
    assert_eq!(model.number(IOAPIC + 0x1000 + 4 * (0x10 + 47), 4), 2 << 24);
    let tables = Interrupts { controllers: tables.controllers[..1].to_vec(), overrides: std::vec![] };
    assert!(!ioapic::route(&mut &mut model, &tables, 4, 0x55, 0, &mut |physical, _| physical));
}

#[test]
fn what_is_typed_waits_for_its_reader_line_by_line() {
    let mut model = machine();
    let mut hardware = probe(&mut model, &[], None);
    hardware.set_line(CONSOLE_LINE, true);
    hardware.bus.typed.extend(b"ls\rspawn notes\n\x04next");
    hardware.interrupt(FIRST_VECTOR);
    assert_eq!(hardware.raised(), Some(CONSOLE_LINE));
    let mut read = || received(hardware.read(CONSOLE, UART_RECEIVE, 0).unwrap());
    assert_eq!(read(), b"ls\r", "nothing behind the end of a line");
    assert_eq!(read(), b"spawn n");
    assert_eq!(read(), b"otes\n");
    assert_eq!(read(), b"\x04");
    assert_eq!(read(), b"next");
    assert_eq!(read(), b"");
    hardware.set_line(CONSOLE_LINE, true);
    assert_eq!(hardware.raised(), Some(CONSOLE_LINE), "the next reader was told that there was something");
    hardware.set_line(CONSOLE_LINE, true);
    assert_eq!(hardware.raised(), None);
}

#[test]
fn what_was_typed_before_the_start_is_not_lost() {
    for buffers in [Buffers::On, Buffers::AsTheyAre] {
        let mut model = machine();
        model.typed.extend(b"early\r");
        let mut hardware = probe_with(&mut model, &[], None, buffers);
        assert_eq!(received(hardware.read(CONSOLE, UART_RECEIVE, 0).unwrap()), b"early\r", "{buffers:?}");
    }
}

#[test]
fn nothing_typed_is_lost_while_nobody_reads() {
    let mut model = machine();
    let mut hardware = probe(&mut model, &[], None);
    let typed: std::vec::Vec<u8> = (0..2 * uart::MOST_RECEIVED).map(|index| b'a' + (index % 26) as u8).collect();
    hardware.bus.typed.extend(&typed);
    for _ in 0..64 {
        hardware.interrupt(FIRST_VECTOR);
    }
    assert_eq!(hardware.bus.typed.len(), uart::MOST_RECEIVED, "the rest stays at the other end");
    assert_eq!(hardware.bus.uart_enable & 1, 0, "and does not interrupt for ever");
    let mut read = std::vec::Vec::new();
    loop {
        let bytes = received(hardware.read(CONSOLE, UART_RECEIVE, 0).unwrap());
        if bytes.is_empty() {
            break;
        }
        read.extend(bytes);
    }
    assert_eq!(read, typed);
    assert_eq!(hardware.bus.uart_enable, 1);
}

#[test]
fn what_is_sent_leaves_in_order_as_the_port_takes_it() {
    let mut model = machine();
    let mut hardware = probe(&mut model, &[], None);
    hardware.set_line(CONSOLE_LINE, true);
    // What it takes at once.
    hardware.bus.room = 16;
    let mut sent = std::vec::Vec::new();
    let text: std::vec::Vec<u8> = (b'a'..=b'z').cycle().take(3000).collect();
    let full = loop {
        match hardware.submit(CONSOLE, Operation::Write, &text) {
            Ok(taken @ 1..=512) => sent.extend(&text[..taken as usize]),
            Ok(taken) => panic!("{taken} at once"),
            Err(error) => break error,
        }
    };
    assert_eq!(sent.len(), 16 + uart::MOST_SENDING, "what waits is bounded");
    assert_eq!(full, Error::WouldBlock);
    assert_eq!(hardware.read(CONSOLE, UART_STATUS, 0), Ok(0));
    assert_eq!(hardware.bus.uart_enable & 2, 2, "it says when there is room");
    assert_eq!(hardware.raised(), None);
    hardware.bus.room = usize::MAX;
    hardware.interrupt(FIRST_VECTOR);
    assert_eq!(hardware.raised(), Some(CONSOLE_LINE), "all was sent");
    assert_eq!(hardware.read(CONSOLE, UART_STATUS, 0), Ok(UART_IDLE));
    assert_eq!(hardware.bus.uart_enable & 2, 0);
    assert_eq!(hardware.submit(CONSOLE, Operation::Write, b"xyz"), Ok(3));
    sent.extend(b"xyz");
    assert_eq!(hardware.bus.shown[hardware.bus.shown.len() - sent.len()..], sent);
    for register in [UART_STATUS, UART_RECEIVE, u64::MAX] {
        assert_eq!(hardware.write(CONSOLE, register, 0), Err(Error::InvalidArgument));
    }
    assert_eq!(hardware.submit(CONSOLE, Operation::Write, b""), Ok(0));
    for (device, operation) in [(CONSOLE, Operation::Read), (CONSOLE, Operation::Flush), (CLOCK, Operation::Write)] {
        assert_eq!(hardware.submit(device, operation, b"x"), Err(Error::Unsupported));
    }
}

#[test]
fn a_person_at_the_terminal_ends_the_machine_though_nobody_reads() {
    for (typed, terminal, ends) in [
        (&b"ls\x1c"[..], Some(80), true),
        (b"\x03\x03", Some(80), true),
        (b"\x03", Some(80), false),
        (b"\x1c\x03\x03", None, false),
    ] {
        let mut model = machine();
        let mut hardware = probe(&mut model, &[], terminal);
        hardware.set_line(POWER_LINE, true);
        hardware.bus.typed.extend(typed);
        hardware.interrupt(FIRST_VECTOR);
        assert_eq!(hardware.raised(), ends.then_some(POWER_LINE), "{typed:?}");
        let status = if ends { uart::STATUS_INTERRUPTED } else { 0 };
        assert_eq!(hardware.read(POWER, POWER_REQUESTED, 0), Ok(status));
    }
}

#[test]
fn the_terminal_is_as_whoever_started_the_machine_says() {
    for (terminal, is, columns) in [(None, 0, 0), (Some(0), 1, 0), (Some(80), 1, 80)] {
        let mut model = machine();
        let mut hardware = probe(&mut model, &[], terminal);
        assert_eq!(hardware.read(CONSOLE, CONSOLE_IS_TERMINAL, 0), Ok(is));
        assert_eq!(hardware.read(CONSOLE, CONSOLE_COLUMNS, 0), Ok(columns));
        assert_eq!(hardware.read(CONSOLE, UART_STATUS, 0), Ok(UART_IDLE | (is * UART_TERMINAL)));
    }
}

#[test]
fn a_machine_without_a_serial_port_has_no_console() {
    let mut model = Model::new();
    model.has_uart = false;
    let hardware = probe(&mut model, &[], None);
    assert!(hardware.list().all(|(_, name, _)| name != "console"));
}

#[test]
fn clock_entropy_and_power_have_their_registers_and_no_others() {
    let mut model = machine();
    model.numbers = std::vec![42];
    let mut hardware = probe(&mut model, &[], None);
    assert_eq!(hardware.read(CLOCK, CLOCK_MONOTONIC, 7), Ok(7));
    assert_eq!(hardware.read(CLOCK, CLOCK_WALL, 7), Ok(1_767_225_600_000_000_007));
    assert_eq!(hardware.read(ENTROPY, ENTROPY_RANDOM, 0), Ok(42));
    assert_eq!(hardware.read(ENTROPY, ENTROPY_RANDOM, 0), Err(Error::Unsupported), "never made up");
    assert_eq!(hardware.write(POWER, POWER_OFF, 3), Ok(Written::Off(3)));
    assert_eq!(hardware.write(DISK, LOG_DURABLE, 0), Ok(Written::MakeLogDurable));
    for device in [CONSOLE, CLOCK, ENTROPY, POWER] {
        assert_eq!(hardware.read(device, 1234, 0), Err(Error::InvalidArgument));
        assert_eq!(hardware.write(device, 1234, 0), Err(Error::InvalidArgument));
    }
    for device in [CLOCK, ENTROPY, POWER] {
        assert_eq!(hardware.write(device, LOG_DURABLE, 0), Err(Error::InvalidArgument));
    }
}
