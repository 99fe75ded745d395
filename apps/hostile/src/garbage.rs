//! A session that says to every service what none of its clients would: each number of each interface, and some that
//! there are not, with payloads that are no arguments. It ends with 0 if each was answered at once and each service
//! then answers a proper question; with 2 and more, which one does not.

use alloc::vec::Vec;
use libprocess::system::Arrived;
use libprocess::{Cap, Endpoint, Error, Exit, Outgoing, Process};

/// 60 s.
const LONG: u64 = 60_000_000_000;
/// The tag's bits that say how many bytes of the words are payload.
const LENGTH: u32 = 32;

/// The services that a session has, the first numbers of their interfaces, and a call without arguments, or
/// with one, that each answers with its own number.
const SERVICES: [(&str, &[u64], u64, &[u8]); 3] = [
    ("storage", &[0x7000, 0x7100, 0x7200], 0x7005, b"\x01x"),
    ("process", &[0x4000], 0x4001, b"\0"),
    ("registry", &[0x3000], 0x3003, b""),
];
/// How many numbers of an interface are tried: more than there are.
const NUMBERS: u64 = 32;

/// The entry.
pub async fn main(process: Process) -> Exit {
    for (place, service) in (2..).zip(&SERVICES) {
        match answers(&process, service).await {
            Ok(true) => {}
            Ok(false) => return Exit(place),
            Err(error) => return Exit(10 + error as u64),
        }
    }
    Exit(0)
}

/// Whether a service that has heard all this answers as it should.
async fn answers(
    process: &Process,
    (name, interfaces, known, arguments): &(&str, &[u64], u64, &[u8]),
) -> Result<bool, Error> {
    let endpoint = process.capability::<Endpoint>(name).map_err(|_| Error::BadHandle)?;
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let full = [u64::MAX; 8];
    for number in interfaces.iter().flat_map(|first| *first..first + NUMBERS) {
        let noise: Vec<u8> = (0..60_000).map(|_| random() as u8).collect();
        // A text that is longer than the message, one that is no UTF-8, a list without an end, noise.
        let payloads: [&[u8]; 4] = [&[0xFF, 0xFF, 0x03, b'x'], &[2, 0xC0, 0xAF], &[0xFF; 200], &noise];
        for bytes in payloads {
            ask(&endpoint, &Outgoing { bytes, ..Outgoing::tag(number) }).await?;
        }
        for length in [1, 7, 64, 127] {
            ask(&endpoint, &Outgoing { words: full, ..Outgoing::tag(number | (length << LENGTH)) }).await?;
        }
        // In the words and beside them at once.
        let both = Outgoing { words: full, bytes: &[0xFF; 100], ..Outgoing::tag(number | (64 << LENGTH)) };
        ask(&endpoint, &both).await?;
    }
    let mut word = [0; 8];
    word[..arguments.len()].copy_from_slice(arguments);
    let tag = known | ((arguments.len() as u64) << LENGTH);
    let question = Outgoing { words: [u64::from_le_bytes(word), 0, 0, 0, 0, 0, 0, 0], ..Outgoing::tag(tag) };
    Ok(ask(&endpoint, &question).await?.delivery.tag & 0xFFFF_FFFF == *known)
}

/// The answer, which must come; what came with it is dropped.
async fn ask(endpoint: &Cap<Endpoint>, message: &Outgoing<'_>) -> Result<Arrived, Error> {
    endpoint.call(message, LONG).await
}
