//! Sealed captures: what was sealed, changed. Nobody who made the fuzzer's bytes has the machine's key.

use crate::edits::{Input, edit};
use sealed::{End, HEADER, MOST_RECORD, Sealer, open};
use std::sync::LazyLock;

const SECRET: [u8; 32] = [3; 32];
const PUBLIC: [u8; 32] = [4; 32];
const BOOT: u32 = 7;

const RECORDS: [&[u8]; 5] = [b"one", b"a second record", b"", &[7; 700], b"the last"];

/// The records sealed, the last of which ends the file if `whole`.
fn seal(records: &[&[u8]], whole: bool) -> Vec<u8> {
    let (mut sealer, header) = Sealer::new(&SECRET, &PUBLIC, BOOT, &[5; 32]);
    let mut bytes = header.to_vec();
    let (before, last) = records.split_at(records.len() - usize::from(whole));
    bytes.extend(before.iter().flat_map(|record| sealer.add(record).expect("there is room")));
    if let Some(last) = last.first() {
        bytes.extend(sealer.finish(last).expect("it fits"));
    }
    bytes
}

static GOOD: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [true, false].map(|whole| seal(&RECORDS, whole)));

/// A capture is refused with a reason, or its records are the first of those that were sealed.
pub fn capture(data: &[u8]) {
    let mut input = Input(data);
    let how = input.byte();
    if how % 4 == 3 {
        return sealed(&mut input, how >= 128);
    }
    let mut bytes = GOOD[usize::from(how % 2)].clone();
    while !input.is_empty() {
        edit(&mut input, &mut bytes);
    }
    read(&bytes);
    // The header has a hash, which anyone can make right.
    if let Some(header) = bytes.first_chunk_mut::<HEADER>() {
        let (signed, check) = header.split_at_mut(HEADER - 16);
        check.copy_from_slice(&blake3::hash(signed).as_bytes()[..16]);
        read(&bytes);
    }
}

fn read(bytes: &[u8]) {
    let Ok(opened) = open(bytes, &SECRET, &PUBLIC) else { return };
    let count = opened.records.len();
    assert!(opened.records.iter().eq(RECORDS.iter().take(count)), "other records are opened than were sealed");
    assert!(opened.places.len() == count && opened.places.is_sorted_by(|a, b| a < b));
    assert!(count == 0 || opened.boot == u64::from(BOOT), "the boot is another");
    assert!(opened.end != End::Whole || count == RECORDS.len(), "what was cut off is taken for whole");
}

/// What is sealed is opened, whatever it is.
fn sealed(input: &mut Input<'_>, whole: bool) {
    let mut records = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.byte());
        records.push(input.bytes(length));
    }
    if records.is_empty() {
        return;
    }
    assert!(records.iter().all(|record| record.len() <= MOST_RECORD));
    let opened = open(&seal(&records, whole), &SECRET, &PUBLIC).expect("it was sealed just now");
    assert!(opened.records.iter().eq(&records), "other records are opened than were sealed");
    assert_eq!((opened.boot, opened.end), (BOOT.into(), if whole { End::Whole } else { End::Open }));
}
