//! What the machine does with devices: registers, lines, and memory that they were told of.

use super::Machine;
use abi::Error;
use kernel::{DeviceId, InterruptId, RegionId, ThreadId};

impl Machine {
    pub(super) fn device_read(&mut self, _device: DeviceId, _register: u64) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }

    pub(super) fn device_write(&mut self, _device: DeviceId, _register: u64, _value: u64) -> Result<(), Error> {
        Err(Error::Unsupported)
    }

    /// Where a page of a region lies, for a device that is to reach it.
    pub(super) fn device_address(&mut self, _device: DeviceId, _region: RegionId, _page: u64) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }

    pub(super) fn set_line(&mut self, _line: InterruptId, _open: bool) {}

    /// An interrupt of a device came.
    pub(super) fn device_vector(&mut self, _vector: u8) {}

    /// The memory of a region is about to be given to somebody else.
    pub(super) fn region_leaves_devices(&mut self, _region: RegionId) {}

    /// Whether the machine is to end, and with what status.
    pub(super) fn ended(&self) -> Option<u64> {
        (self.init == ThreadId::NONE).then_some(71)
    }
}
