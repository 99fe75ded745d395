//! The block device of the host, as the engine wants it.

use alloc::vec::Vec;
use libprocess::abi::device::{CompletionStatus, DISK_BLOCKS, DISK_READ_ONLY, Operation};
use libprocess::{Error, HostDevice};
use storage_engine::{BlockDevice, DeviceError};

/// A disk of the host.
pub struct HostDisk {
    device: HostDevice,
    blocks: u64,
    read_only: bool,
}

impl HostDisk {
    /// The disk behind a device capability.
    pub fn open(device: HostDevice) -> Result<HostDisk, Error> {
        let blocks = device.read(DISK_BLOCKS)?;
        let read_only = device.read(DISK_READ_ONLY)? != 0;
        Ok(HostDisk { device, blocks, read_only })
    }

    async fn operate(
        &self,
        operation: Operation,
        first: u64,
        count: u64,
        bytes: &[u8],
    ) -> Result<Vec<u8>, DeviceError> {
        let (completion, bytes) =
            self.device.operate(operation, first, count, bytes).await.map_err(|_| DeviceError::Failed)?;
        match completion.status {
            CompletionStatus::Done => Ok(bytes),
            CompletionStatus::Failed => Err(DeviceError::Failed),
            CompletionStatus::Full => Err(DeviceError::Full),
            CompletionStatus::ReadOnly => Err(DeviceError::ReadOnly),
            CompletionStatus::OutOfRange => Err(DeviceError::OutOfRange),
        }
    }
}

impl BlockDevice for HostDisk {
    fn block_count(&self) -> u64 {
        self.blocks
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let count = (bytes.len() / storage_engine::device::BLOCK) as u64;
        let read = self.operate(Operation::Read, first, count, &[]).await?;
        if read.len() != bytes.len() {
            return Err(DeviceError::Failed);
        }
        bytes.copy_from_slice(&read);
        Ok(())
    }

    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.operate(Operation::Write, first, 0, bytes).await.map(|_| ())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.operate(Operation::Flush, 0, 0, &[]).await.map(|_| ())
    }
}
