//! A session that says to every service what none of its clients would: each number of each interface, and some that
//! there are not, with payloads that are no arguments. It ends with 0 if each was answered at once and each service
//! then answers a proper question; with 2 and more, which one does not.
#![cfg_attr(target_arch = "wasm32", no_std, no_main)]

#[cfg(not(target_arch = "wasm32"))]
fn main() {}

#[cfg(target_arch = "wasm32")]
extern crate alloc;

#[cfg(target_arch = "wasm32")]
guests::main!(garbage::main);

#[cfg(target_arch = "wasm32")]
mod garbage {
    use alloc::vec::Vec;
    use guests::calls::{self, Words};
    use guests::{NOTHING, Start};

    /// 5 s.
    const LONG: u64 = 5_000_000_000;
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

    pub fn main(start: Start) {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let full: Words = (u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        for (place, (name, interfaces, known, arguments)) in (2..).zip(SERVICES) {
            let endpoint = start.capability(name);
            for number in interfaces.iter().flat_map(|first| *first..first + NUMBERS) {
                let noise: Vec<u8> = (0..60_000).map(|_| random() as u8).collect();
                // A text that is longer than the message, one that is no UTF-8, a list without an end, noise.
                let payloads: [&[u8]; 4] = [&[0xFF, 0xFF, 0x03, b'x'], &[2, 0xC0, 0xAF], &[0xFF; 200], &noise];
                for payload in payloads {
                    asked(calls::call_with(endpoint, LONG, number, NOTHING, payload, &[]));
                }
                for length in [1, 7, 64, 127] {
                    asked(calls::call(endpoint, LONG, number | length << LENGTH, full));
                }
                // In the words and beside them at once.
                asked(calls::call_with(endpoint, LONG, number | 64 << LENGTH, full, &[0xFF; 100], &[]));
            }
            let mut word = [0; 8];
            word[..arguments.len()].copy_from_slice(arguments);
            let words = (u64::from_le_bytes(word), 0, 0, 0, 0, 0, 0, 0);
            let answer = asked(calls::call(endpoint, LONG, known | (arguments.len() as u64) << LENGTH, words));
            if answer & 0xFFFF_FFFF != known {
                calls::exit(place);
            }
        }
    }

    /// The tag of the answer, which must come.
    fn asked(answer: Result<calls::Delivery, calls::Error>) -> u64 {
        match answer {
            Ok(answer) => {
                if answer.length > 0 {
                    let _ = calls::take_bytes();
                }
                if answer.capabilities > 0 {
                    for handle in calls::take_handles() {
                        let _ = calls::delete(handle);
                    }
                }
                answer.tag
            }
            Err(error) => {
                calls::exit(10 + error as u64);
                0
            }
        }
    }
}
