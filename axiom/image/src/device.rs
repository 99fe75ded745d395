//! What a block device must do for a log.

use core::fmt;

/// Bytes in a block: what the device writes whole or not at all when the power goes.
pub const BLOCK: usize = 512;

/// A block device. Every operation is carried out when it returns.
///
/// After a crash, what was written before the last [`BlockDevice::flush`] that succeeded is there. Of what was
/// written later each block is there as it was before or as it was written, whatever the order.
pub trait BlockDevice {
    /// How many blocks it has.
    fn blocks(&self) -> u64;
    /// Reads whole blocks, from block `first` on. `bytes` is a multiple of [`BLOCK`].
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError>;
    /// Writes whole blocks, from block `first` on. `bytes` is a multiple of [`BLOCK`].
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError>;
    /// All that was written is durable when this returns.
    fn flush(&mut self) -> Result<(), DeviceError>;
}

impl<D: BlockDevice + ?Sized> BlockDevice for &mut D {
    fn blocks(&self) -> u64 {
        (**self).blocks()
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        (**self).read(first, bytes)
    }
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        (**self).write(first, bytes)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        (**self).flush()
    }
}

/// Why a device did not do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceError {
    /// It reports an error, or does not answer as it should.
    Failed,
    /// It cannot be written.
    ReadOnly,
    /// There are no such blocks.
    OutOfRange,
    /// It does not answer at all, in the time that it has.
    Silent,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceError::Failed => "the device reports an error",
            DeviceError::ReadOnly => "the device cannot be written",
            DeviceError::OutOfRange => "the device has no such blocks",
            DeviceError::Silent => "the device does not answer",
        })
    }
}

impl core::error::Error for DeviceError {}
