//! The image of the director and of everyone whom it starts.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]
#![forbid(unsafe_code)]
libprocess::main!(hostile::main);
