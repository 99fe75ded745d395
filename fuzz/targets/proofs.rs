//! Proofs as an outsider reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::proofs(data));
