//! Times as people read them: UTC, as RFC 3339 writes it.

const SECOND: u64 = 1_000_000_000;

/// ns since 1970 as `2026-11-21T08:30:00.123456Z`.
pub fn format(ns: u64) -> String {
    let (seconds, micros) = (ns / SECOND, ns % SECOND / 1000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// ns since 1970 from `2026-11-21T08:30:00Z`, with or without a fraction; `None` if it is no such time.
pub fn parse(text: &str) -> Option<u64> {
    let (whole, fraction) = text.strip_suffix('Z')?.split_once('.').unwrap_or((text.strip_suffix('Z')?, "0"));
    let bytes = whole.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() != 19 || separators.iter().any(|&(at, byte)| bytes[at] != byte) {
        return None;
    }
    let field = |from: usize, to: usize| whole.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let days = (1970..=2554).contains(&year).then(|| days(year, month, day))?;
    if date(days) != (year, month, day) {
        return None;
    }
    if hour > 23
        || minute > 59
        || second > 59
        || fraction.len() > 9
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    (days * 86_400 + hour * 3600 + minute * 60 + second).checked_mul(SECOND)?.checked_add(fraction)
}

/// Year, month and day of a day since 1970. The era algorithm of Howard Hinnant's "chrono-compatible
/// low-level date algorithms"; years begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The day since 1970 of a date from 1970 on; of one that is none, of another.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day.saturating_sub(1);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for day in 0..80_000 {
            let ns = (day * 86_400 + 12_345) * SECOND + 987_654_000;
            assert_eq!(parse(&format(ns)), Some(ns));
        }
    }

    #[test]
    fn known_times() {
        assert_eq!(format(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(parse("2026-11-21T08:30:00Z"), Some(1_795_249_800 * SECOND));
        assert_eq!(parse("2000-02-29T00:00:00Z"), Some(951_782_400 * SECOND));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21 08:30:00Z",
            "2026-11-21T08:30:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
