//! Orbital on bare x86_64: the host that carries out what the kernel decides, from the first instruction
//! to ring 3.
//!
//! | module | what is there |
//! |---|---|
//! | [`handoff`] | what the loader hands over |
//! | [`memory`] | frames, page tables, executables |
//! | `arch` | the processor: entries, tables, clock, local APIC |
//! | [`devices`] | registers and interrupts of the devices |
//! | [`devices`] | finding devices, their registers and interrupts |
//! | `machine` | the loop over Axiom: system calls, faults, effects |
//!
//! For any other target than the bare one, what is pure is here to be tested.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(clippy::deref_addrof, reason = "a `static mut` is not to be borrowed by its name")]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(target_os = "none")]
pub mod arch;
pub mod devices;
pub mod fw_cfg;
pub mod handoff;
#[cfg(target_os = "none")]
pub mod log_disk;
#[cfg(target_os = "none")]
pub mod machine;
pub mod memory;
#[cfg(target_os = "none")]
mod start;

#[cfg(target_os = "none")]
pub(crate) use start::{start, stop};
