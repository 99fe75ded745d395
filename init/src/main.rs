//! The image of init.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]
#![forbid(unsafe_code)]
libprocess::main!(init::main);
