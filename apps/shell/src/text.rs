//! Numbers as people read them, tables, and text that is safe to show.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A length of time in ns: three digits and a unit.
pub fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    scaled(ns, &UNITS)
}

/// A number of bytes: three digits and a unit.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    scaled(bytes, &UNITS)
}

fn scaled(value: u64, units: &[(u64, &str)]) -> String {
    let (unit, name) = units.iter().copied().find(|(unit, _)| value >= *unit).unwrap_or(units[units.len() - 1]);
    let whole = value / unit;
    if unit == 1 || whole >= 100 {
        return format!("{whole} {name}");
    }
    let digits = if whole >= 10 { 1 } else { 2 };
    let scale = if whole >= 10 { 10 } else { 100 };
    let part = (u128::from(value % unit) * scale / u128::from(unit)) as u64;
    format!("{whole}.{part:0digits$} {name}")
}

/// A count: 1,234,567.
pub fn count(value: u64) -> String {
    let digits = format!("{value}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment in ns since 1970-01-01T00:00:00Z: `2026-11-21 08:15:00 UTC`.
pub fn date(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, as in H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `text` without what a terminal would act on: control characters become escapes.
pub fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// On which side the text of a column stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, each column as wide as its widest text.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&'static str, Side)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; a text that is missing is empty.
    pub fn row(&mut self, texts: impl IntoIterator<Item = String>) {
        self.rows.push(texts.into_iter().map(|text| shown(&text)).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As lines, the headings first.
    pub fn to_text(&self) -> String {
        let width = |text: &str| unicode_width::UnicodeWidthStr::width(text);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (heading, _))| {
                let widest = self.rows.iter().map(|row| width(&cell(row, index))).max();
                widest.unwrap_or(0).max(width(heading))
            })
            .collect();
        let mut text = String::new();
        let headings = self.columns.iter().map(|(heading, _)| String::from(*heading)).collect();
        for row in core::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for (index, (_, side)) in self.columns.iter().enumerate() {
                let cell = cell(row, index);
                let blanks = widths[index].saturating_sub(width(&cell));
                let padding = core::iter::repeat_n(' ', blanks);
                if index > 0 {
                    line.push_str("  ");
                }
                match side {
                    Side::Left => {
                        line.push_str(&cell);
                        line.extend(padding);
                    }
                    Side::Right => {
                        line.extend(padding);
                        line.push_str(&cell);
                    }
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_have_three_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.50 us"),
            (12_345_678, "12.3 ms"),
            (999_999_999, "999 ms"),
            (61_000_000_000, "1.01 min"),
            (7_200_000_000_000, "2.00 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(size(u64::MAX), "17179869183 GiB");
    }

    #[test]
    fn counts_have_commas() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_248_900, "2026-11-21 08:15:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn a_table_is_aligned_and_has_no_blanks_at_the_end() {
        let mut table = Table::new(&[("NAME", Side::Left), ("SIZE", Side::Right), ("NOTE", Side::Left)]);
        table.row(vec!["a".to_string(), "12".to_string(), "x".to_string()]);
        table.row(vec!["日本".to_string(), "1".to_string()]);
        assert_eq!(table.to_text(), "NAME  SIZE  NOTE\na       12  x\n日本     1\n");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_shown_and_not_done() {
        assert_eq!(shown("a\u{1b}[2Jb\n\u{9b}"), "a\\u{1b}[2Jb\\n\\u{9b}");
    }

    proptest! {
        #[test]
        fn any_number_has_a_text(value: u64) {
            prop_assert!(!duration(value).is_empty() && !size(value).is_empty() && !date(value).is_empty());
            prop_assert_eq!(count(value).replace(',', "").parse::<u64>(), Ok(value));
        }
    }
}
