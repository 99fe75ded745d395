//! Drivers of real devices, as parts of the services that hold them. A driver reaches its device by capability
//! alone: registers by `device-read` and `device-write`, memory that device and driver share by
//! `device-address`, the interrupt by a notification. docs/writing-a-driver.md says how to write one.
//!
//! | module | what is there |
//! |---|---|
//! | [`function`] | [`Function`]: registers, memory and interrupt of a PCI function, and [`Bus`], what a driver needs of one |
//! | [`memory`] | [`Memory`]: pages that device and driver share |
//! | [`virtio`] | the registers of a virtio device (the transport of the crate `virtio-drivers`) |
//! | [`block`] | [`Disk`]: a virtio block device |
//!
//! Unsafe code is where memory is shared with a device, and says why it is sound.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;

pub mod block;
pub mod function;
pub mod memory;
pub mod virtio;

pub use block::{Disk, DiskError};
pub use function::{Bus, Function};
pub use memory::Memory;
