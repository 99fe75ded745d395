//! What the engine needs of a disk: blocks of 512 bytes, a write-back cache that
//! may lose and reorder until `flush`.

use core::future::Future;

/// Bytes in a block.
pub const BLOCK: usize = 512;
/// The most blocks that the engine reads or writes in one operation.
pub const MAX_BLOCKS: usize = 128;

/// How an operation on the disk failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceError {
    /// The device reports an error; what was read is not to be trusted, what was
    /// written may or may not be there.
    Failed,
    /// The device has no room (a sparse file on a full host).
    Full,
    /// The device refuses writes.
    ReadOnly,
    /// Outside the device, or not whole blocks.
    OutOfRange,
}

impl core::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            DeviceError::Failed => "the disk reports an error",
            DeviceError::Full => "the host has no room for the disk",
            DeviceError::ReadOnly => "the disk is read-only",
            DeviceError::OutOfRange => "outside the disk",
        })
    }
}

impl core::error::Error for DeviceError {}

/// A disk. Several operations may be under way at once; those on the same block
/// happen in the order in which they were begun.
pub trait BlockDevice {
    /// Number of blocks.
    fn block_count(&self) -> u64;
    /// Whether writes are refused.
    fn read_only(&self) -> bool {
        false
    }
    /// Reads whole blocks from `first` on; at most [`MAX_BLOCKS`].
    fn read(&self, first: u64, bytes: &mut [u8]) -> impl Future<Output = Result<(), DeviceError>>;
    /// Writes whole blocks from `first` on; at most [`MAX_BLOCKS`]. After a power
    /// cut before the next flush, any of them may be old, new, or torn.
    fn write(&self, first: u64, bytes: &[u8]) -> impl Future<Output = Result<(), DeviceError>>;
    /// Completes when all that was completed before is durable.
    fn flush(&self) -> impl Future<Output = Result<(), DeviceError>>;
}
