//! The image of the process service.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]
#![forbid(unsafe_code)]
libprocess::main!(process::main);
