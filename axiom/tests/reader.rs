//! What `log_read` walks through to answer.

mod trace;

use axiom::Head;
use axiom::block::Block;
use axiom::reader::{Blocks, Reader};
use axiom::scan::{self, Next};
use std::cell::Cell;
use trace::{Machine, PLATFORM, seal, sealer};

/// A log in memory, and the first block that was asked for since this was last reset.
struct Counting {
    bytes: Vec<u8>,
    boot: Head,
    next_record: u64,
    asked: Cell<Option<u64>>,
}

impl Blocks for Counting {
    fn from(&self, first: u64, each: &mut dyn FnMut(&Block<'_>) -> bool) {
        self.asked.set(Some(self.asked.get().map_or(first, |asked| asked.min(first))));
        let mut at = 0;
        while let Next::Block(block, length) = scan::next(&self.bytes, at) {
            if block.header.number >= first && !each(&block) {
                return;
            }
            at += length;
        }
    }
    fn boot_start(&self) -> (u64, u64) {
        (self.boot.blocks, self.boot.records)
    }
    fn next_record(&self) -> u64 {
        self.next_record
    }
}

/// A log of two boots.
fn two_boots() -> Counting {
    let mut sealer = sealer();
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    machine.axiom.end(0, machine.now);
    let mut bytes = seal(&mut sealer, &machine.blocks());
    let boot = *sealer.head();
    let mut machine = Machine::boot(Machine::config(), boot);
    (0..40).for_each(|step| machine.step(&[60, 0, step, 2, 3, 4, 5, 6]));
    bytes.extend(seal(&mut sealer, &machine.blocks()));
    Counting { bytes, boot, next_record: machine.axiom.next_record(), asked: Cell::new(None) }
}

/// Given a reader that is in an older boot, when records of the running one are read, then none of the boots before is walked
/// through, and what is told is what a new reader tells.
#[test]
fn to_read_of_the_running_boot_no_older_one_is_walked_through() {
    let log = two_boots();
    assert!(log.boot.blocks > 1);
    for from in [u64::MAX, log.boot.records] {
        let mut reader = Reader::new(PLATFORM);
        assert!(!reader.read(&log, 0, 100).expect("it can be told").is_empty());
        assert_eq!(log.asked.take(), Some(0));
        let told = reader.read(&log, from, 4096).expect("it can be told");
        assert_eq!(log.asked.take(), Some(log.boot.blocks));
        assert!(!told.is_empty());
        assert_eq!(told, Reader::new(PLATFORM).read(&log, from, 4096).expect("it can be told"));
    }
}

/// Given a reader that reads on and on, when it comes to the next boot, then every record of both is told once.
#[test]
fn reading_on_tells_every_record_of_all_boots() {
    let log = two_boots();
    let mut reader = Reader::new(PLATFORM);
    let mut next = 0;
    while next < log.next_record {
        let told = reader.read(&log, next, 300).expect("it can be told");
        let mut rest = &told[..];
        assert!(!rest.is_empty());
        while !rest.is_empty() {
            let (record, behind) = postcard::take_from_bytes::<abi::log::Record<'_>>(rest).expect("a record");
            assert_eq!(record.number, next);
            (next, rest) = (next + 1, behind);
        }
    }
}
