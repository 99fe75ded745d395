//! System calls and host events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::calls(data));
