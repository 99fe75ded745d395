//! The images of Orbital: which there are, and how cargo builds them for a host.
//!
//! | module | what is there |
//! |---|---|
//! | [`set`] | the packages, and what they are made of |
//! | [`build`] | cargo for a [`Host`], in a target folder of its own |
//! | [`ramdisk`] | the archive that the kernel on bare x86_64 boots from |
//!
//! The build script of host-wasm embeds what comes out for WebAssembly; `cargo run -p images` and
//! the tests in QEMU write a ramdisk of what comes out for bare x86_64.
#![forbid(unsafe_code)]

pub mod build;
pub mod ramdisk;
pub mod set;

pub use build::{Host, Progress, build, check_target, program, target_folder};
pub use set::{BOOT, EXAMPLES, GUESTS, HOSTILE, NATIVE_GUESTS, Package, programs, sources};
