//! Values that come in parts. The parts go to the disk as they come; nothing refers to
//! them before the upload is finished, so an upload that is given up, or lost with the
//! process, leaves nothing. At most 60 KiB of one is in memory.

use crate::access::Grant;
use crate::content::{CHUNK, New};
use crate::data::{Data, MAX_PART, View};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::interfaces::storage::types::Error;
use storage_engine::{BlockDevice, Staged};

/// Uploads that one namespace has at once.
pub const MAX_UPLOADS: usize = 8;
/// An upload to which nothing was added for so long gives way to another: one minute, in ns.
pub const IDLE: u64 = 60_000_000_000;

/// What an upload will become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Object(String),
    File(String),
}

impl Target {
    pub(crate) fn name(&self) -> &str {
        match self {
            Target::Object(name) | Target::File(name) => name,
        }
    }
}

pub(crate) struct Upload<D> {
    pub(crate) namespace: u64,
    pub(crate) target: Target,
    pub(crate) size: u64,
    received: u64,
    chunks: Vec<Staged<D>>,
    /// Bytes that do not fill a chunk yet.
    rest: Vec<u8>,
    touched: u64,
}

/// The uploads under way.
pub(crate) struct Uploads<D> {
    next: u64,
    under_way: BTreeMap<u64, Upload<D>>,
}

impl<D> Default for Uploads<D> {
    fn default() -> Self {
        Uploads { next: 1, under_way: BTreeMap::new() }
    }
}

impl<D> Uploads<D> {
    fn take(&mut self, namespace: u64, number: u64) -> Result<Upload<D>, Error> {
        match self.under_way.remove(&number) {
            Some(upload) if upload.namespace == namespace => Ok(upload),
            Some(upload) => {
                self.under_way.insert(number, upload);
                Err(Error::NoSuchUpload)
            }
            None => Err(Error::NoSuchUpload),
        }
    }
}

impl<D: BlockDevice> Data<D> {
    pub(crate) async fn begin_upload(&self, grant: Grant, target: Target, size: u64) -> Result<u64, Error> {
        let (snapshot, namespace) = {
            grant.allows(libprocess::interfaces::storage::namespaces::Access::WRITE)?;
            (self.store().snapshot(), grant.namespace)
        };
        let record = self.namespace(&View::Durable(&snapshot), namespace).await?;
        let now = self.now();
        let mut uploads = self.uploads.borrow_mut();
        let coming: u64 =
            uploads.under_way.values().filter(|upload| upload.namespace == namespace).map(|upload| upload.size).sum();
        let left = record.quota.saturating_sub(record.bytes).saturating_sub(coming);
        // What is replaced gives its bytes back, which the transaction counts exactly;
        // here it is only about what may lie on the disk meanwhile.
        if size > record.quota || size.saturating_sub(record.bytes) > left {
            return Err(Error::QuotaExceeded(left));
        }
        let of_namespace: Vec<(u64, u64)> = uploads
            .under_way
            .iter()
            .filter(|(_, upload)| upload.namespace == namespace)
            .map(|(number, upload)| (upload.touched, *number))
            .collect();
        if of_namespace.len() >= MAX_UPLOADS {
            match of_namespace.iter().min() {
                Some((touched, number)) if touched.saturating_add(IDLE) <= now => {
                    uploads.under_way.remove(number);
                }
                _ => return Err(Error::TooManyUploads),
            }
        }
        let number = uploads.next;
        uploads.next += 1;
        let upload =
            Upload { namespace, target, size, received: 0, chunks: Vec::new(), rest: Vec::new(), touched: now };
        uploads.under_way.insert(number, upload);
        Ok(number)
    }

    /// The next bytes of an upload. After an error it is given up, unless the error is
    /// that there is none or that these were too many at once.
    pub async fn add(&self, grant: Grant, number: u64, bytes: &[u8]) -> Result<(), Error> {
        let namespace = grant.allows(libprocess::interfaces::storage::namespaces::Access::WRITE)?;
        if bytes.len() > MAX_PART {
            return Err(Error::TooLarge(MAX_PART as u64));
        }
        let mut upload = self.uploads.borrow_mut().take(namespace, number)?;
        upload.received += bytes.len() as u64;
        if upload.received > upload.size {
            return Err(Error::Invalid("more bytes than the upload was begun with".to_string()));
        }
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let count = bytes.len().min(CHUNK as usize - upload.rest.len());
            upload.rest.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if upload.rest.len() == CHUNK as usize {
                let staged = self.stage(&upload.rest, upload.target.name()).await?;
                upload.chunks.push(staged);
                upload.rest.clear();
            }
        }
        upload.touched = self.now();
        self.uploads.borrow_mut().under_way.insert(number, upload);
        Ok(())
    }

    /// Gives an upload up.
    pub fn abandon(&self, grant: Grant, number: u64) -> Result<(), Error> {
        let namespace = grant.allows(libprocess::interfaces::storage::namespaces::Access::WRITE)?;
        self.uploads.borrow_mut().take(namespace, number).map(|_| ())
    }

    /// Puts what was added where it belongs. Whatever comes of it, the upload has ended.
    pub async fn finish(&self, grant: Grant, number: u64, if_version: Option<u64>) -> Result<u64, Error> {
        let namespace = grant.allows(libprocess::interfaces::storage::namespaces::Access::WRITE)?;
        let Upload { target, size, received, mut chunks, rest, .. } =
            self.uploads.borrow_mut().take(namespace, number)?;
        if received != size {
            return Err(Error::Invalid("fewer bytes than the upload was begun with".to_string()));
        }
        let new = if chunks.is_empty() {
            self.stage_small(&rest, target.name()).await?
        } else if chunks.len() == 1 && rest.is_empty() {
            match chunks.pop() {
                Some(only) => New::Extent(only),
                None => New::Inline(Vec::new()),
            }
        } else {
            if !rest.is_empty() {
                chunks.push(self.stage(&rest, target.name()).await?);
            }
            New::Chunks(chunks)
        };
        match target {
            Target::Object(key) => self.put_new(grant, &key, size, new, if_version).await,
            Target::File(path) => self.replace_new(grant, &path, size, new, if_version).await,
        }
    }
}
