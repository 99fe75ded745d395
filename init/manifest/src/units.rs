//! Sizes and times as people write them: `"64 MiB"`, `"100 ms"`.

use alloc::format;
use alloc::string::String;

/// Bytes of `"512 B"`, `"4 KiB"`, `"64 MiB"`, `"1 GiB"`.
pub fn size(text: &str) -> Result<u64, String> {
    let units = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    quantity(text, &units).ok_or_else(|| format!("`{text}` is no size: a whole number and B, KiB, MiB or GiB"))
}

/// An amount of what the machine has: `"64 MiB"`, or a share of all that init was given, `"60 %"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Amount {
    /// So many bytes, on every machine.
    Bytes(u64),
    /// 1 to 100.
    Percent(u8),
}

impl Amount {
    /// In units of `unit` bytes, of a machine on which init has `whole` of them: bytes rounded up, a share
    /// rounded down.
    pub fn of(self, whole: u64, unit: u64) -> u64 {
        match self {
            Amount::Bytes(bytes) => bytes.div_ceil(unit),
            Amount::Percent(percent) => (u128::from(whole) * u128::from(percent) / 100) as u64,
        }
    }
}

/// The amount that a text says.
pub fn amount(text: &str) -> Result<Amount, String> {
    match quantity(text, &[("%", 1)]) {
        Some(percent @ 1..=100) => Ok(Amount::Percent(percent as u8)),
        Some(_) => Err(format!("`{text}` is no share: 1 % to 100 % of what the machine has")),
        None => size(text).map(Amount::Bytes).map_err(|_| {
            format!("`{text}` is no size: a whole number and B, KiB, MiB or GiB, or % of what the machine has")
        }),
    }
}

/// Nanoseconds of `"100 ms"`, `"5 s"`, `"1 min"`.
pub fn duration(text: &str) -> Result<u64, String> {
    let units = [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000)];
    quantity(text, &units).ok_or_else(|| format!("`{text}` is no time: a whole number and us, ms, s or min"))
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = text[digits..].trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    text[..digits].parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_in_their_units() {
        assert_eq!(size("512 B"), Ok(512));
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size(" 64 MiB "), Ok(64 << 20));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        assert_eq!(duration("250 us"), Ok(250_000));
        assert_eq!(duration("100 ms"), Ok(100_000_000));
        assert_eq!(duration("2 min"), Ok(120_000_000_000));
    }

    #[test]
    fn an_amount_is_a_size_or_a_share_of_the_machine() {
        assert_eq!(amount("16 MiB"), Ok(Amount::Bytes(16 << 20)));
        assert_eq!(amount("60 %"), Ok(Amount::Percent(60)));
        assert_eq!(amount("100%"), Ok(Amount::Percent(100)));
        for text in ["0 %", "101 %", "256 %", "%", "-1 %", "1.5 %", "18446744073709551616 %", "5"] {
            assert!(amount(text).is_err_and(|error| error.contains(text)), "{text}");
        }
        assert_eq!(Amount::Bytes(4097).of(1, 4096), 2, "bytes do not depend on the machine");
        assert_eq!(Amount::Percent(60).of(1001, 4096), 600);
        assert_eq!(Amount::Percent(100).of(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_its_text() {
        for text in
            ["", "ms", "5", "-1 s", "1.5 s", "5 parsecs", "99999999999999999999 s", "18446744073709551615 min", "٣ s"]
        {
            assert!(duration(text).is_err_and(|e| e.contains(text)), "{text}");
            assert!(size(text).is_err(), "{text}");
        }
    }
}
