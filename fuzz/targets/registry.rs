//! Messages to init's registry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::registry(data));
