//! `log`: the newest records of the system's log.

use super::session::number;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::shell::Shell;
use crate::text::{duration, shown};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::abi::log::Record;
use libprocess::{Cap, Error, Log};

/// Records that are shown unless another number is asked for.
const COUNT: u64 = 20;
/// The most that may be asked for.
const MOST: u64 = 10_000;
/// Bytes that are read at once.
const PART: u32 = 60 * 1024;
/// Of one process's records, how far back they are looked for.
const LOOK_BACK: u64 = 100_000;

/// One record, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    number: u64,
    text: String,
}

/// Whose records are shown.
enum Whose {
    All,
    Pid(u64),
    Name(String),
}

impl Whose {
    fn takes(&self, record: &Record<'_>) -> bool {
        match self {
            Whose::All => true,
            Whose::Pid(pid) => record.process == *pid,
            Whose::Name(name) => record.name == name,
        }
    }
}

/// The records of `bytes`, those of a cut-off end left out.
fn records(mut bytes: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while let Ok((record, rest)) = postcard::take_from_bytes::<Record<'_>>(bytes) {
        records.push(record);
        if rest.is_empty() {
            break;
        }
        bytes = rest;
    }
    records
}

fn in_words(record: &Record<'_>) -> String {
    let who =
        if record.process == 0 { String::from("host") } else { format!("{}[{}]", shown(record.name), record.process) };
    format!("{:>8}  {:>8}  {who:<14}  {}", record.number, duration(record.time), shown(record.text))
}

/// The number after the newest record. A number near 2^64 counts from the end of the log:
/// the greatest is the newest record.
fn end(log: &Cap<Log>) -> Result<u64, Error> {
    let bytes = log.read(u64::MAX, PART)?;
    Ok(records(&bytes).last().map_or(0, |record| record.number + 1))
}

impl Shell {
    /// `log`.
    pub(crate) async fn show_log(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        if !arguments.rest.is_empty() {
            return Err(Failure::misuse("log", "it takes no argument but its options"));
        }
        let count = arguments.value("-n").map_or(Ok(COUNT), |text| number("log", "number of records", text))?;
        if count > MOST {
            let problem =
                format!("{MOST} records at most; the whole log is shown by the host, with `orbital log show`");
            return Err(Failure::misuse("log", &problem));
        }
        let whose = match arguments.value("--process") {
            None => Whose::All,
            Some(text) => text.parse().map_or_else(|_| Whose::Name(text.to_string()), Whose::Pid),
        };
        let log = self.log()?;
        let lines =
            newest(log, &whose, count).map_err(|error| Failure::new(format!("the log cannot be read: {error}")))?;
        let mut text = String::new();
        for line in &lines {
            text.push_str(&line.text);
            text.push('\n');
        }
        if lines.is_empty() && count > 0 {
            return Err(Failure::new("it has no such records among the newest; `ps` lists the processes"));
        }
        self.show(&text).await;
        Ok(())
    }
}

/// The newest `count` records of `whose`.
fn newest(log: &Cap<Log>, whose: &Whose, count: u64) -> Result<VecDeque<Line>, Error> {
    let mut lines: VecDeque<Line> = VecDeque::new();
    let end = end(log)?;
    // Windows from the newest back, each read onwards.
    let mut until = end;
    let mut width = count.max(64);
    while (lines.len() as u64) < count && until > 0 && end - until < LOOK_BACK {
        let from = until.saturating_sub(width);
        let mut window: VecDeque<Line> = VecDeque::new();
        let mut next = from;
        while next < until {
            let bytes = log.read(next, PART)?;
            let part = records(&bytes);
            let Some(last) = part.last() else { break };
            let kept = part.iter().filter(|record| record.number < until && whose.takes(record));
            window.extend(kept.map(|record| Line { number: record.number, text: in_words(record) }));
            next = last.number + 1;
        }
        while let Some(line) = window.pop_back() {
            lines.push_front(line);
        }
        until = from;
        width = width.saturating_mul(2).min(8192);
    }
    while lines.len() as u64 > count {
        lines.pop_front();
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(number: u64) -> Record<'static> {
        Record { number, time: 1_500_000, process: 3, name: "notes", thread: 5, text: "call storage get: ok" }
    }

    #[test]
    fn records_come_back_whole_and_a_cut_end_is_left_out() {
        let mut bytes = postcard::to_allocvec(&record(7)).unwrap();
        bytes.extend(postcard::to_allocvec(&record(8)).unwrap());
        assert_eq!(records(&bytes).iter().map(|record| record.number).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(records(&bytes[..bytes.len() - 1]).len(), 1);
    }

    #[test]
    fn a_record_reads_as_number_time_process_and_what() {
        assert_eq!(in_words(&record(7)), "       7   1.50 ms  notes[3]        call storage get: ok");
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&bytes);
        }
    }
}
