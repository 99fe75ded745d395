//! What the machine does with devices: registers, lines, and memory that they were told of.

use super::Machine;
use crate::devices::Written;
use abi::Error;
use kernel::{DeviceId, InterruptId, RegionId, ThreadId};

/// The status of a machine in which nobody can do anything any more.
const STOPPED: u64 = 71;

impl Machine {
    pub(super) fn device_read(&mut self, device: DeviceId, register: u64) -> Result<u64, Error> {
        let now = self.clock.now();
        self.devices.read(device, register, now)
    }

    pub(super) fn device_write(&mut self, device: DeviceId, register: u64, value: u64) -> Result<(), Error> {
        match self.devices.write(device, register, value)? {
            Written::Done => {}
            Written::MakeLogDurable => self.record.durable_wanted = true,
            Written::Off(status) => self.off = Some(status),
        }
        Ok(())
    }

    /// Where a page of a region lies, for a device that is to reach it.
    pub(super) fn device_address(&mut self, device: DeviceId, region: RegionId, page: u64) -> Result<u64, Error> {
        let page = usize::try_from(page).map_err(|_| Error::InvalidArgument)?;
        let frame = *self.regions.get(region).get(page).ok_or(Error::InvalidArgument)?;
        self.devices.told_of(device, region)?;
        Ok(frame)
    }

    pub(super) fn set_line(&mut self, line: InterruptId, open: bool) {
        self.devices.set_line(line, open);
    }

    /// An interrupt of a device came.
    pub(super) fn device_vector(&mut self, vector: u8) {
        self.devices.interrupt(vector);
        self.carry_out();
    }

    /// The memory of a region is about to be given to somebody else.
    pub(super) fn region_leaves_devices(&mut self, region: RegionId) {
        self.devices.region_gone(region);
    }

    /// Whether the machine is to end, and with what status.
    pub(super) fn ended(&self) -> Option<u64> {
        self.off.or_else(|| (self.init == ThreadId::NONE).then_some(STOPPED))
    }
}
