//! What a witness answers, and what lies in the file of what was witnessed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::witness(data));
