//! The disk, as the engine wants it: the host's own, or on a real machine a virtio device with its driver in
//! this service.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use libprocess::abi::device::{CompletionStatus, DISK_BLOCKS, DISK_READ_ONLY, DeviceClass, Operation};
use libprocess::{Binding, Cap, Device, Error, HostDevice, Interrupt, Quota};
#[cfg(not(target_family = "wasm"))]
use libprocess::{Rights, Task};
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

/// The disk that the service was given, whatever it is.
pub enum AnyDisk {
    /// The host works it.
    Host(HostDisk),
    /// It is worked here.
    #[cfg(not(target_family = "wasm"))]
    Virtio(drivers::Disk<drivers::Function>, Task),
}

impl AnyDisk {
    /// The disk behind a device capability. A driver's memory is paid from `quota`. An error is one line for people.
    pub fn open(device: Cap<Device>, interrupt: Option<Cap<Interrupt>>, quota: &Cap<Quota>) -> Result<AnyDisk, String> {
        match device.class() {
            Ok(DeviceClass::Disk) => {
                let device = HostDevice::new(device, interrupt, Binding::Kept);
                let disk = HostDisk::open(device);
                disk.map(AnyDisk::Host).map_err(|error| format!("the disk cannot be asked for its size: {error}"))
            }
            #[cfg(not(target_family = "wasm"))]
            Ok(DeviceClass::PciFunction) => {
                let quota = quota.derive(Rights::ALL).map_err(|error| format!("the quota: {error}"))?;
                let function = drivers::Function::new(device, interrupt, quota);
                let disk = function.and_then(drivers::Disk::open).map_err(|error| match error {
                    Error::Unsupported => String::from("the disk is no virtio block device (virtio-blk-pci)"),
                    error => format!("the disk's driver cannot start: {error}"),
                })?;
                // It ends with the device: then every operation fails, and says so. And it ends with this value:
                // then the device has no memory of this process any more.
                let serving = Task::spawn({
                    let disk = disk.clone();
                    async move {
                        disk.serve().await;
                    }
                });
                Ok(AnyDisk::Virtio(disk, serving))
            }
            Ok(class) => Err(format!("the capability `disk` is no disk ({class:?})")),
            Err(error) => {
                let _ = quota;
                Err(format!("the disk does not say what it is: {error}"))
            }
        }
    }
}

impl BlockDevice for AnyDisk {
    fn block_count(&self) -> u64 {
        match self {
            AnyDisk::Host(disk) => disk.block_count(),
            #[cfg(not(target_family = "wasm"))]
            AnyDisk::Virtio(disk, _) => disk.block_count(),
        }
    }

    fn read_only(&self) -> bool {
        match self {
            AnyDisk::Host(disk) => disk.read_only(),
            #[cfg(not(target_family = "wasm"))]
            AnyDisk::Virtio(disk, _) => disk.read_only(),
        }
    }

    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        match self {
            AnyDisk::Host(disk) => disk.read(first, bytes).await,
            #[cfg(not(target_family = "wasm"))]
            AnyDisk::Virtio(disk, _) => disk.read(first, bytes).await.map_err(device_error),
        }
    }

    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        match self {
            AnyDisk::Host(disk) => disk.write(first, bytes).await,
            #[cfg(not(target_family = "wasm"))]
            AnyDisk::Virtio(disk, _) => disk.write(first, bytes).await.map_err(device_error),
        }
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        match self {
            AnyDisk::Host(disk) => disk.flush().await,
            #[cfg(not(target_family = "wasm"))]
            AnyDisk::Virtio(disk, _) => disk.flush().await.map_err(device_error),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
fn device_error(error: drivers::DiskError) -> DeviceError {
    match error {
        drivers::DiskError::Failed => DeviceError::Failed,
        drivers::DiskError::ReadOnly => DeviceError::ReadOnly,
        drivers::DiskError::OutOfRange => DeviceError::OutOfRange,
    }
}
