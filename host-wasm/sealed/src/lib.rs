//! The sealed file: records that only who has the machine's key can read, of which none can be
//! changed, left out, repeated or put elsewhere unseen, and of which an end is an end.
//!
//! A header, then frames. The content of the frames is a STREAM (Hoang, Reyhanitabar, Rogaway,
//! Vizár: Online Authenticated-Encryption, 2015; 32-bit counter, big-endian, and a byte that marks the
//! last) of ChaCha20-Poly1305 (RFC 8439). The key is each file's own: BLAKE3 of the header, keyed with
//! what BLAKE3 derives from the machine's key, so the nonce's prefix may be zero.
//!
//! | header, at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `OrbitCp1` |
//! | 8 | 8 | number of the boot, little-endian |
//! | 16 | 32 | the machine's public key |
//! | 48 | 32 | random |
//! | 80 | 16 | the first half of BLAKE3 of bytes 0 to 79 |
//!
//! | frame, at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | bytes of the content, little-endian |
//! | 4 | 4 | the same, every bit turned over |
//! | 8 | | the content: one record, encrypted, with its 16-byte tag |

#![forbid(unsafe_code)]

use aead_stream::{NewStream, StreamBE32, StreamPrimitive};
use chacha20poly1305::ChaCha20Poly1305;

const MAGIC: [u8; 8] = *b"OrbitCp1";
/// Bytes of the header.
pub const HEADER: usize = 96;
const SIGNED: usize = 80;
/// The two lengths before the content of a frame.
const LENGTHS: usize = 8;
/// What encryption adds.
const TAG: usize = 16;
/// Bytes that a file has at most: 16 MiB.
pub const MOST_BYTES: u64 = 16 << 20;
/// Kept for the last record.
const RESERVE: u64 = 1 << 10;
/// The most bytes of one record: a message has 64 KiB beside its words and names.
pub const MOST_RECORD: usize = (64 << 10) + 512;

type Stream = StreamBE32<ChaCha20Poly1305>;

fn stream(secret: &[u8; 32], header: &[u8; HEADER]) -> Stream {
    let key = blake3::keyed_hash(secret, header);
    // A key for one file alone: its nonces begin at zero.
    Stream::new(key.as_bytes().into(), &Default::default())
}

/// Seals records, one after the other: what comes out is a file's bytes.
pub struct Sealer {
    stream: Stream,
    position: u32,
    length: u64,
}

impl Sealer {
    /// Of a file under this key, for this boot; `random` was never used before. Gives the header, with which the file begins.
    pub fn new(secret: &[u8; 32], public: &[u8; 32], boot: u32, random: &[u8; 32]) -> (Sealer, [u8; HEADER]) {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&u64::from(boot).to_le_bytes());
        header[16..48].copy_from_slice(public);
        header[48..SIGNED].copy_from_slice(random);
        let check = *blake3::hash(&header[..SIGNED]).as_bytes();
        header[SIGNED..].copy_from_slice(&check[..HEADER - SIGNED]);
        (Sealer { stream: stream(secret, &header), position: 0, length: HEADER as u64 }, header)
    }

    /// The frame of one more record; `None`: the file would be larger than it may be.
    pub fn add(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let length = (LENGTHS + record.len() + TAG) as u64;
        if self.length + length + RESERVE > MOST_BYTES || record.len() > MOST_RECORD {
            return None;
        }
        let frame = self.frame(record, false)?;
        self.position += 1;
        self.length += length;
        Some(frame)
    }

    /// The frame of the last record; `None`: it is larger than a record may be.
    pub fn finish(self, record: &[u8]) -> Option<Vec<u8>> {
        if record.len() > MOST_RECORD { None } else { self.frame(record, true) }
    }

    fn frame(&self, record: &[u8], last: bool) -> Option<Vec<u8>> {
        let content = self.stream.encrypt(self.position, last, record).ok()?;
        // It fits: a record has at most `MOST_RECORD` bytes.
        let length = content.len() as u32;
        Some([&length.to_le_bytes()[..], &(!length).to_le_bytes(), &content].concat())
    }
}

/// How a file ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With a last record.
    Whole,
    /// After a whole record, and it was not the last: the machine runs, or did not end in order.
    Open,
    /// So many bytes behind the last whole record are the beginning of one: the machine did not end in
    /// order, or the file was cut off.
    Torn(usize),
}

/// An opened file.
#[derive(PartialEq, Eq, Debug)]
pub struct Opened {
    /// Number of the boot.
    pub boot: u64,
    /// The records.
    pub records: Vec<Vec<u8>>,
    /// Where each begins, in bytes from the start of the file.
    pub places: Vec<usize>,
    /// How it ends.
    pub end: End,
}

/// Why a file cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It is no capture at all.
    NoCapture,
    /// Its header was changed.
    Header,
    /// It was sealed with the key of the machine with this public key.
    OtherKey([u8; 32]),
    /// This record, from 0, at this byte, was changed.
    Record(usize, usize),
    /// So many bytes lie behind the last record.
    Behind(usize),
}

/// Opens what was read of a file.
pub fn open(bytes: &[u8], secret: &[u8; 32], public: &[u8; 32]) -> Result<Opened, Wrong> {
    if !bytes.starts_with(&MAGIC) {
        return Err(Wrong::NoCapture);
    }
    let (mut records, mut places) = (Vec::new(), Vec::new());
    let Some((header, frames)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(Opened { boot: 0, records, places, end: End::Torn(bytes.len()) });
    };
    if blake3::hash(&header[..SIGNED]).as_bytes()[..HEADER - SIGNED] != header[SIGNED..] {
        return Err(Wrong::Header);
    }
    let boot = u64::from_le_bytes(std::array::from_fn(|at| header[8 + at]));
    let sealed_by: [u8; 32] = std::array::from_fn(|at| header[16 + at]);
    if sealed_by != *public {
        return Err(Wrong::OtherKey(sealed_by));
    }
    let stream = stream(secret, header);
    let mut rest = frames;
    let mut position = 0;
    let end = loop {
        let place = bytes.len() - rest.len();
        let changed = Wrong::Record(records.len(), place);
        if rest.is_empty() {
            break End::Open;
        }
        let Some((lengths, behind)) = rest.split_first_chunk::<LENGTHS>() else { break End::Torn(rest.len()) };
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| lengths[at + index]));
        let length = number(0) as usize;
        if number(0) != !number(4) || !(TAG..=MOST_RECORD + TAG).contains(&length) {
            return Err(changed);
        }
        let Some((content, behind)) = behind.split_at_checked(length) else { break End::Torn(rest.len()) };
        places.push(place);
        match stream.decrypt(position, false, content) {
            Ok(record) => records.push(record),
            Err(_) => {
                records.push(stream.decrypt(position, true, content).map_err(|_| changed)?);
                if !behind.is_empty() {
                    return Err(Wrong::Behind(behind.len()));
                }
                break End::Whole;
            }
        }
        rest = behind;
        position += 1;
    };
    Ok(Opened { boot, records, places, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [3; 32];
    const PUBLIC: [u8; 32] = [4; 32];

    /// The capture of boot 7: these records, the last of which ends it.
    fn sealed(records: &[&[u8]], random: u8) -> Vec<u8> {
        let (mut sealer, header) = Sealer::new(&SECRET, &PUBLIC, 7, &[random; 32]);
        let (last, before) = records.split_last().unwrap();
        let mut bytes = header.to_vec();
        bytes.extend(before.iter().flat_map(|record| sealer.add(record).unwrap()));
        bytes.extend(sealer.finish(last).unwrap());
        bytes
    }

    const RECORDS: [&[u8]; 4] = [b"one", b"a second record", b"", b"the last"];

    #[test]
    fn what_was_sealed_is_opened_with_the_key_and_is_not_seen_without() {
        let bytes = sealed(&RECORDS, 1);
        let opened = open(&bytes, &SECRET, &PUBLIC).unwrap();
        assert_eq!((opened.boot, opened.end), (7, End::Whole));
        assert_eq!(opened.records, RECORDS);
        assert!(!bytes.windows(6).any(|window| window == b"second"));
        // The same again is other bytes.
        let others = sealed(&RECORDS, 2);
        assert_ne!(bytes[HEADER..], others[HEADER..]);
    }

    #[test]
    fn every_bit_that_is_changed_is_found_and_its_record_named() {
        let bytes = sealed(&RECORDS, 1);
        let opened = open(&bytes, &SECRET, &PUBLIC).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let wrong = open(&changed, &SECRET, &PUBLIC).expect_err("a changed bit");
            let expected = match bit / 8 {
                0..8 => Wrong::NoCapture,
                8..HEADER => Wrong::Header,
                byte => {
                    let record = opened.places.iter().rposition(|&place| place <= byte).unwrap();
                    Wrong::Record(record, opened.places[record])
                }
            };
            assert_eq!(wrong, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_the_records_before_the_cut() {
        let bytes = sealed(&RECORDS, 1);
        let whole = open(&bytes, &SECRET, &PUBLIC).unwrap();
        for length in MAGIC.len()..bytes.len() {
            let cut = open(&bytes[..length], &SECRET, &PUBLIC).unwrap();
            let ends = whole.places.iter().skip(1).filter(|&&place| place <= length).count();
            assert_eq!(cut.records, RECORDS[..ends], "{length}");
            let from = if length < HEADER { 0 } else { whole.places[ends] };
            assert_eq!(cut.end, if length == from { End::Open } else { End::Torn(length - from) }, "{length}");
        }
        assert_eq!(open(b"OrbitCp", &SECRET, &PUBLIC), Err(Wrong::NoCapture));
    }

    #[test]
    fn records_that_are_left_out_repeated_or_moved_are_found() {
        let bytes = sealed(&RECORDS, 1);
        let places = open(&bytes, &SECRET, &PUBLIC).unwrap().places;
        let frame = |index: usize| &bytes[places[index]..places.get(index + 1).copied().unwrap_or(bytes.len())];
        let with = |order: &[usize]| {
            let frames: Vec<u8> = order.iter().flat_map(|&index| frame(index).iter().copied()).collect();
            open(&[&bytes[..HEADER], &frames].concat(), &SECRET, &PUBLIC)
        };
        assert!(with(&[0, 1, 2, 3]).is_ok());
        assert_eq!(with(&[0, 2, 3]), Err(Wrong::Record(1, places[1])));
        assert_eq!(with(&[0, 0, 1, 2, 3]), Err(Wrong::Record(1, places[1])));
        assert_eq!(with(&[1, 0, 2, 3]), Err(Wrong::Record(0, places[0])));
        assert_eq!(with(&[0, 1, 3]), Err(Wrong::Record(2, places[2])));
        assert_eq!(with(&[0, 1, 2, 3, 3]), Err(Wrong::Behind(frame(3).len())));
        // A record of another capture of the same machine.
        let other = sealed(&RECORDS, 2);
        let mixed = [&bytes[..places[1]], &other[places[1]..]].concat();
        assert_eq!(open(&mixed, &SECRET, &PUBLIC), Err(Wrong::Record(1, places[1])));
    }

    #[test]
    fn another_machines_key_opens_nothing() {
        let bytes = sealed(&RECORDS, 1);
        assert_eq!(open(&bytes, &SECRET, &[5; 32]), Err(Wrong::OtherKey(PUBLIC)));
        assert_eq!(open(&bytes, &[9; 32], &PUBLIC), Err(Wrong::Record(0, HEADER)));
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b""[..], b"not a capture", &[0; 4096], &[0xFF; 200]] {
            assert_eq!(open(bytes, &SECRET, &PUBLIC), Err(Wrong::NoCapture));
        }
        let bytes = sealed(&RECORDS, 1);
        for garbage in [[0; 64], [0xFF; 64]] {
            let wrong = open(&[&bytes[..HEADER], &garbage].concat(), &SECRET, &PUBLIC);
            assert_eq!(wrong, Err(Wrong::Record(0, HEADER)));
        }
    }

    #[test]
    fn a_record_and_a_file_have_their_bounds() {
        let (mut sealer, header) = Sealer::new(&SECRET, &PUBLIC, 7, &[1; 32]);
        assert_eq!(sealer.add(&[0; MOST_RECORD + 1]), None);
        let mut bytes = header.to_vec();
        while let Some(frame) = sealer.add(&[7; MOST_RECORD]) {
            bytes.extend(frame);
        }
        bytes.extend(sealer.finish(b"full").unwrap());
        assert!(bytes.len() as u64 <= MOST_BYTES && bytes.len() as u64 > MOST_BYTES - (70 << 10));
        assert_eq!(open(&bytes, &SECRET, &PUBLIC).unwrap().end, End::Whole);
    }
}
