//! The guest of the benchmarks. As init it measures what its first argument names, by
//! the machine's clock, and prints the nanoseconds; as a child it is the other side.
#![cfg_attr(target_arch = "wasm32", no_std, no_main)]

#[cfg(not(target_arch = "wasm32"))]
fn main() {}

#[cfg(target_arch = "wasm32")]
extern crate alloc;

#[cfg(target_arch = "wasm32")]
guests::main!(bench::main);

#[cfg(target_arch = "wasm32")]
mod bench {
    use alloc::format;
    use alloc::vec;
    use guests::calls::{self, Delivery};
    use guests::{ALL, Child, FOREVER, NOTHING, Start, power_off, print, words};

    pub fn main(start: Start) {
        match start.arguments[0].as_str() {
            "call" => measure(&start, calls_of_words),
            "bulk" => measure(&start, calls_of_bytes),
            "spawn" => measure(&start, spawns),
            "echo" => echo(&start),
            "echo-bulk" => echo_bulk(&start),
            "first" => {
                // The first instruction that anyone can see: a message to the parent.
                let _ = calls::send(1 << 32 | 1, 0, 1, NOTHING);
            }
            part => panic!("there is no part {part}"),
        }
    }

    /// `rounds` is the second argument; prints the nanoseconds of them all.
    fn measure(start: &Start, work: impl Fn(&Start, u64) -> u64) {
        print(start, &format!("{}", work(start, start.number(1))));
        power_off(start, 0);
    }

    fn now(start: &Start) -> u64 {
        calls::device_read(start.capability("device:clock"), abi::device::CLOCK_MONOTONIC).unwrap()
    }

    fn endpoint(start: &Start) -> u64 {
        calls::endpoint_create(start.capability("quota"), 16).unwrap()
    }

    fn server(start: &Start, part: &str) -> u64 {
        let serving = endpoint(start);
        Child::new(start, "image:bench", endpoint(start), part)
            .unwrap()
            .argument(part)
            .grant("endpoint", serving, ALL)
            .start()
            .unwrap();
        serving
    }

    fn calls_of_words(start: &Start, rounds: u64) -> u64 {
        let serving = server(start, "echo");
        calls::call(serving, FOREVER, 7, words(0)).unwrap();
        let begun = now(start);
        for round in 0..rounds {
            let answer = calls::call(serving, FOREVER, 7, words(round)).unwrap();
            assert!(answer.words.0 == round);
        }
        now(start) - begun
    }

    fn echo(start: &Start) {
        let serving = start.capability("endpoint");
        let mut message = calls::receive(serving, FOREVER).unwrap();
        loop {
            message = calls::reply_receive(serving, message.reply, FOREVER, 0, message.words).unwrap();
        }
    }

    /// 64 KiB there and back.
    fn calls_of_bytes(start: &Start, rounds: u64) -> u64 {
        let serving = server(start, "echo-bulk");
        let bytes = vec![7; 64 << 10];
        let round_trip = || {
            calls::call_with(serving, FOREVER, 7, NOTHING, &bytes, &[]).unwrap();
            assert!(calls::take_bytes().len() == bytes.len());
        };
        round_trip();
        let begun = now(start);
        for _ in 0..rounds {
            round_trip();
        }
        now(start) - begun
    }

    fn echo_bulk(start: &Start) {
        let serving = start.capability("endpoint");
        let mut message: Delivery = calls::receive(serving, FOREVER).unwrap();
        loop {
            let bytes = calls::take_bytes();
            message = calls::reply_receive_with(serving, message.reply, FOREVER, 0, NOTHING, &bytes, &[]).unwrap();
        }
    }

    /// From `process_create` to the child's first message; its end is not counted.
    fn spawns(start: &Start, rounds: u64) -> u64 {
        let (report, exits) = (endpoint(start), endpoint(start));
        let image = start.capability("image:first");
        let mut taken = 0;
        for _ in 0..rounds {
            let quota = calls::quota_split(start.capability("quota"), 1 << 20, 1024).unwrap();
            let begun = now(start);
            let process = calls::process_create(image, quota, exits, "child", guests::LIMITS).unwrap();
            calls::process_grant(process, report, ALL, 0, FOREVER).unwrap();
            calls::process_start(process, &[]).unwrap();
            calls::receive(report, FOREVER).unwrap();
            taken += now(start) - begun;
            // The quota takes all that it paid for with it.
            calls::receive(exits, FOREVER).unwrap();
            calls::destroy(quota).unwrap();
        }
        taken
    }
}
