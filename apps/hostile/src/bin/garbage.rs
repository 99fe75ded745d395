//! The image of a session that says what is no request.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]
#![forbid(unsafe_code)]
libprocess::main!(hostile::garbage::main);
