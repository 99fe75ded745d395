//! The kernel's ELF file. All of it is in the library; for any other target than the bare
//! one this is a program that says so.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
use boot as _;

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    eprintln!("boot is the kernel of Orbital for bare x86_64: `make qemu` builds and boots it");
    std::process::ExitCode::from(2)
}
