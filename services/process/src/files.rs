//! Executables from the storage service, read with the requester's own capability.

use crate::spawn::{MAX_IMAGE, pages};
use alloc::format;
use alloc::string::ToString;
use core::time::Duration;
use libprocess::interfaces::process::lifecycle::Error;
use libprocess::interfaces::storage::{files, types};
use libprocess::{Cap, ClientError, Endpoint, Quota, Region};

/// The most bytes that one call reads.
const PART: u32 = 61_440;
/// How long this service, and so everyone who asks it, waits for one part.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the file at `path` into a region of its own, which `quota` pays for; with its length.
///
/// # Errors
/// `ImageNotFound`, `InvalidImage`, `PermissionDenied`, `LimitExceeded`, `StorageFailed`.
pub async fn read(storage: Cap<Endpoint>, path: &str, quota: &Cap<Quota>) -> Result<(Cap<Region>, u64), Error> {
    let files = files::Client::new(storage).within(TIMEOUT);
    let first = files.read(path, 0, PART).await.map_err(|error| refused(path, error))?;
    let stat = first.stat;
    if stat.size > MAX_IMAGE {
        return Err(Error::InvalidImage(format!("`{path}` has {} bytes: it may have {MAX_IMAGE}", stat.size)));
    }
    let region =
        Cap::<Region>::create(quota, pages(stat.size)).map_err(|_| Error::LimitExceeded("memory".to_string()))?;
    let write = |offset: u64, bytes: &[u8]| {
        region.write(offset, bytes).map_err(|error| Error::StorageFailed(format!("`{path}`: {error}")))
    };
    write(0, &first.bytes)?;
    let mut offset = first.bytes.len() as u64;
    while offset < stat.size {
        let part = files.read(path, offset, PART).await.map_err(|error| refused(path, error))?;
        if part.stat.version != stat.version || part.bytes.is_empty() {
            return Err(Error::StorageFailed(format!("`{path}` was changed while it was read")));
        }
        write(offset, &part.bytes)?;
        offset += part.bytes.len() as u64;
    }
    Ok((region, stat.size))
}

fn refused(path: &str, error: ClientError<types::Error>) -> Error {
    match error {
        ClientError::Service(types::Error::NotFound | types::Error::NotAFolder) => {
            Error::ImageNotFound(path.to_string())
        }
        ClientError::Service(types::Error::IsAFolder) => Error::InvalidImage(format!("`{path}` is a folder")),
        ClientError::Service(types::Error::PermissionDenied) => {
            Error::PermissionDenied(format!("`{path}`: the storage service refuses it"))
        }
        ClientError::Service(types::Error::Invalid(words)) => Error::InvalidRequest(format!("`{path}`: {words}")),
        error => Error::StorageFailed(format!("`{path}`: {error}")),
    }
}
