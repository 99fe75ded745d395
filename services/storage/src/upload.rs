//! Values that come in parts. The parts go to the disk as they come; no file refers to them before the
//! upload is finished. Of one upload at most [`CHUNKS_AT_ONCE`] chunks are known in memory alone: more go into the
//! tree as a content of their own that is noted as nobody's, so that what is given up, or lost
//! with the process, comes back (`reclaim`).

use crate::access::Grant;
use crate::content::{CHUNK, MAX_SIZE, New, fits};
use crate::data::{Data, MAX_PART, View};
use crate::reclaim::{CHUNKS_AT_ONCE, Growing};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::Error;
use storage_engine::{BlockDevice, Staged};

/// Uploads that one namespace has at once.
pub const MAX_UPLOADS: usize = 8;
/// An upload to which nothing was added for so long is given up, or gives way to another: one minute, in ns.
pub const IDLE: u64 = 60_000_000_000;

/// Says whether the writer of a stream is still there.
pub type Writer = Box<dyn Fn() -> bool>;

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

/// How many bytes will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    Known(u64),
    Open,
}

pub(crate) struct Upload<D> {
    pub(crate) namespace: u64,
    pub(crate) target: Target,
    pub(crate) size: Size,
    writer: Option<Writer>,
    received: u64,
    /// The content in the tree, and how many chunks it has there.
    grown: Option<(Growing, u32)>,
    chunks: Vec<Staged<D>>,
    /// Bytes that do not fill a chunk yet.
    rest: Vec<u8>,
    touched: u64,
}

impl<D> Upload<D> {
    /// Bytes that it has taken, or will take.
    fn bytes(&self) -> u64 {
        match self.size {
            Size::Known(size) => size,
            Size::Open => self.received,
        }
    }

    fn is_given_up(&self, now: u64) -> bool {
        self.writer.as_ref().is_some_and(|is_there| !is_there()) || self.touched.saturating_add(IDLE) <= now
    }
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
    pub(crate) async fn begin_upload(
        &self,
        grant: Grant,
        target: Target,
        size: Size,
        writer: Option<Writer>,
    ) -> Result<u64, Error> {
        let namespace = grant.allows(Access::WRITE)?;
        let bytes = if let Size::Known(size) = size { size } else { 0 };
        fits(bytes)?;
        self.may_come(namespace, bytes).await?;
        let now = self.time.now();
        let mut uploads = self.uploads.borrow_mut();
        let of_namespace: Vec<(bool, u64)> = uploads
            .under_way
            .iter()
            .filter(|(_, upload)| upload.namespace == namespace)
            .map(|(number, upload)| (upload.is_given_up(now), *number))
            .collect();
        if of_namespace.len() >= MAX_UPLOADS {
            let given_up = of_namespace.iter().find(|(is_given_up, _)| *is_given_up);
            let (_, number) = given_up.ok_or(Error::TooManyUploads)?;
            uploads.under_way.remove(number);
        }
        let number = uploads.next;
        uploads.next += 1;
        let upload = Upload {
            namespace,
            target,
            size,
            writer,
            received: 0,
            grown: None,
            chunks: Vec::new(),
            rest: Vec::new(),
            touched: now,
        };
        uploads.under_way.insert(number, upload);
        self.uploads_began.notify();
        Ok(number)
    }

    /// Refuses an upload of so many bytes that would not fit the quotas. What is replaced gives its
    /// bytes back, which the transaction counts exactly; here it is only about what may lie on
    /// the disk meanwhile.
    async fn may_come(&self, namespace: u64, bytes: u64) -> Result<(), Error> {
        let coming: u64 = {
            let uploads = self.uploads.borrow();
            let others = uploads.under_way.values().filter(|upload| upload.namespace == namespace);
            others.map(Upload::bytes).fold(0, u64::saturating_add)
        };
        let snapshot = self.store().snapshot();
        for (_, record) in self.and_above(&View::Durable(&snapshot), namespace).await? {
            let left = record.quota.saturating_sub(record.bytes).saturating_sub(coming);
            if bytes > record.quota || bytes.saturating_sub(record.bytes) > left {
                return Err(Error::QuotaExceeded(left));
            }
        }
        Ok(())
    }

    /// The next bytes of an upload. After an error it is given up, unless the error is
    /// that there is none or that these were too many at once.
    pub async fn add(&self, grant: Grant, number: u64, bytes: &[u8]) -> Result<(), Error> {
        let namespace = grant.allows(Access::WRITE)?;
        if bytes.len() > MAX_PART {
            return Err(Error::TooLarge(MAX_PART as u64));
        }
        let mut upload = self.uploads.borrow_mut().take(namespace, number)?;
        upload.received += bytes.len() as u64;
        match upload.size {
            Size::Known(size) if upload.received > size => {
                return Err(Error::Invalid("more bytes than the upload was begun with".to_string()));
            }
            Size::Known(_) => {}
            Size::Open => self.may_come(namespace, upload.received).await?,
        }
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let count = bytes.len().min(CHUNK as usize - upload.rest.len());
            upload.rest.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if upload.rest.len() == CHUNK as usize {
                let staged = self.with_room(async || self.stage(&upload.rest, upload.target.name()).await).await?;
                upload.chunks.push(staged);
                upload.rest.clear();
            }
        }
        if upload.chunks.len() >= CHUNKS_AT_ONCE {
            self.grow(&mut upload).await?;
        }
        upload.touched = self.time.now();
        self.uploads.borrow_mut().under_way.insert(number, upload);
        // Whoever looks after uploads may have found none meanwhile.
        self.uploads_began.notify();
        Ok(())
    }

    /// Puts the chunks of an upload into the tree, as those of a content that is nobody's yet.
    async fn grow(&self, upload: &mut Upload<D>) -> Result<(), Error> {
        let mut transaction = self.changing(upload.namespace).await?;
        let (growing, first) = match upload.grown.take() {
            Some(grown) => grown,
            None => {
                let content = transaction.sequence();
                self.let_go(&mut transaction, content)?;
                (self.loose.keep(content), 0)
            }
        };
        let mut next = first;
        for staged in mem::take(&mut upload.chunks) {
            self.put_chunk(&mut transaction, growing.content, next, staged)?;
            next = next.checked_add(1).ok_or(Error::TooLarge(MAX_SIZE))?;
        }
        self.commit_transaction(transaction, upload.target.name()).await?;
        upload.grown = Some((growing, next));
        Ok(())
    }

    /// Gives an upload up.
    pub fn abandon(&self, grant: Grant, number: u64) -> Result<(), Error> {
        let namespace = grant.allows(Access::WRITE)?;
        self.uploads.borrow_mut().take(namespace, number).map(|_| ())
    }

    /// Gives up what nobody goes on with. Whether any uploads are left.
    pub fn give_up_uploads(&self) -> bool {
        let now = self.time.now();
        let uploads = &mut self.uploads.borrow_mut().under_way;
        uploads.retain(|_, upload| !upload.is_given_up(now));
        !uploads.is_empty()
    }

    /// Waits until there are uploads.
    pub async fn uploads_under_way(&self) {
        self.uploads_began.until(|| (!self.uploads.borrow().under_way.is_empty()).then_some(())).await;
    }

    /// Puts what was added where it belongs. Whatever comes of it, the upload has ended.
    pub async fn finish(&self, grant: Grant, number: u64, if_version: Option<u64>) -> Result<u64, Error> {
        let namespace = grant.allows(Access::WRITE)?;
        let Upload { target, size, received, grown, mut chunks, rest, .. } =
            self.uploads.borrow_mut().take(namespace, number)?;
        if let Size::Known(size) = size
            && received != size
        {
            return Err(Error::Invalid("fewer bytes than the upload was begun with".to_string()));
        }
        let whole = grown.is_none() && chunks.is_empty();
        if !whole && !rest.is_empty() {
            chunks.push(self.with_room(async || self.stage(&rest, target.name()).await).await?);
        }
        let new = match grown {
            Some((growing, first)) => New::Grown { growing, first, chunks },
            None if whole => self.with_room(async || self.stage_small(&rest, target.name()).await).await?,
            None if chunks.len() == 1 => match chunks.pop() {
                Some(only) => New::Extent(only),
                None => New::Inline(Vec::new()),
            },
            None => New::Chunks(chunks),
        };
        match target {
            Target::Object(key) => self.put_new(grant, &key, received, new, if_version, None).await,
            Target::File(path) => self.replace_new(grant, &path, received, new, if_version).await,
        }
    }
}
