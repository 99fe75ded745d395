//! Commits of a log, as someone with its key could write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::replay(data));
