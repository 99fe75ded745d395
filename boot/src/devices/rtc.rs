//! The time of day at boot, from the battery-backed clock (Motorola MC146818), which runs in UTC.

use super::bus::{Bus, Width};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// Bit of register 10: the time is changing.
const CHANGING: u8 = 0x80;
/// Looks before a clock that never settles is read as it is.
const PATIENCE: u32 = 1_000_000;

/// ns since 1970-01-01T00:00:00Z; 0 if what the clock says is no time.
pub fn read(bus: &mut impl Bus) -> u64 {
    let mut before = fields(bus);
    for _ in 0..10 {
        let again = fields(bus);
        if again == before {
            break;
        }
        before = again;
    }
    seconds(before).map_or(0, |seconds| seconds * 1_000_000_000)
}

fn register(bus: &mut impl Bus, index: u8) -> u8 {
    // Bit 7 keeps the non-maskable interrupt switched on while it is 0.
    bus.output(INDEX, Width::One, index.into());
    bus.input(DATA, Width::One) as u8
}

/// Second, minute, hour, day, month, year, century, format.
fn fields(bus: &mut impl Bus) -> [u8; 8] {
    for _ in 0..PATIENCE {
        if register(bus, 10) & CHANGING == 0 {
            break;
        }
    }
    [0, 2, 4, 7, 8, 9, 0x32, 11].map(|index| register(bus, index))
}

/// Seconds since 1970; `None` for what is no time.
fn seconds(fields: [u8; 8]) -> Option<u64> {
    let [second, minute, hour, day, month, year, century, format] = fields;
    let binary = format & 4 != 0;
    let number = |field: u8| if binary { u64::from(field) } else { u64::from(field >> 4) * 10 + u64::from(field & 15) };
    let hour = match (format & 2 != 0, hour & 0x80 != 0) {
        (true, _) => number(hour),
        // Twelve hours: twelve is the first of them.
        (false, afternoon) => number(hour & 0x7f) % 12 + if afternoon { 12 } else { 0 },
    };
    // Not every clock has a century.
    let century = Some(number(century)).filter(|century| (19..=21).contains(century)).unwrap_or(20);
    let (second, minute, day, month) = (number(second), number(minute), number(day), number(month));
    let year = century * 100 + number(year);
    if second > 60 || minute > 59 || hour > 23 || !(1..=31).contains(&day) || !(1..=12).contains(&month) || year < 1970
    {
        return None;
    }
    // Days since 1970 by years that begin in March: Howard Hinnant, "chrono-compatible low-level date algorithms".
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_in_every_format() {
        // 2026-11-21T13:05:59Z
        let expected = Some(1_795_266_359);
        assert_eq!(seconds([0x59, 0x05, 0x13, 0x21, 0x11, 0x26, 0x20, 2]), expected);
        assert_eq!(seconds([59, 5, 13, 21, 11, 26, 20, 6]), expected);
        assert_eq!(seconds([0x59, 0x05, 0x81, 0x21, 0x11, 0x26, 0x20, 0]), expected, "one in the afternoon");
        assert_eq!(seconds([0x59, 0x05, 0x13, 0x21, 0x11, 0x26, 0xff, 2]), expected, "no century");
        assert_eq!(seconds([0, 0, 0x12, 1, 1, 0x70, 0x19, 0]), Some(0), "midnight is twelve in the morning");
        assert_eq!(seconds([0, 0, 0, 0x29, 2, 0x24, 0x20, 2]), Some(1_709_164_800), "a leap day");
        assert_eq!(seconds([0, 0, 0, 1, 3, 0x00, 0x20, 2]), Some(951_868_800));
    }

    proptest! {
        #[test]
        fn what_is_no_time_is_none(fields in any::<[u8; 8]>()) {
            let _ = seconds(fields);
        }
    }

    #[test]
    fn a_clock_that_is_not_there_says_nothing() {
        assert_eq!(seconds([0xff; 8]), None);
    }
}
