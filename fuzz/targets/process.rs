//! Messages to the process service.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::process(data));
