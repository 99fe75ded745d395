//! Values that come in parts. The parts go to the disk as they come; no file refers to them before the
//! upload is finished. Of one upload at most [`CHUNKS_AT_ONCE`] chunks are known in memory alone: more go into the
//! tree as a content of their own that is noted as nobody's, so that what is given up, or lost
//! with the process, comes back (`reclaim`).

use crate::access::Grant;
use crate::content::{CHUNK, MAX_SIZE, New, fits};
use crate::data::{Data, MAX_PART, View};
use crate::reclaim::{CHUNKS_AT_ONCE, Growing};
use crate::record::Namespace;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::Error;
use storage_engine::{BlockDevice, Staged};

/// Uploads that one namespace has at once.
pub const MAX_UPLOADS: usize = 8;
/// Uploads that all namespaces have at once: each keeps up to 60 KiB in memory, and a capability to its writer.
pub const MAX_IN_ALL: usize = 64;
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

/// What an upload counts against the quotas, from its beginning to its end: also while it is being added to.
struct Share {
    /// Its namespace, and all above it.
    namespaces: Vec<u64>,
    /// Bytes that it has taken, or will take.
    bytes: Cell<u64>,
}

pub(crate) struct Upload<D> {
    pub(crate) namespace: u64,
    share: Rc<Share>,
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
    fn is_given_up(&self, now: u64) -> bool {
        self.writer.as_ref().is_some_and(|is_there| !is_there()) || self.touched.saturating_add(IDLE) <= now
    }
}

/// The uploads under way.
pub(crate) struct Uploads<D> {
    next: u64,
    under_way: BTreeMap<u64, Upload<D>>,
    /// Those of all uploads, and of some that have ended.
    shares: Vec<Weak<Share>>,
}

impl<D> Default for Uploads<D> {
    fn default() -> Self {
        Uploads { next: 1, under_way: BTreeMap::new(), shares: Vec::new() }
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

    /// Makes room for one more in this namespace: one that was given up gives way.
    fn make_room(&mut self, namespace: u64, now: u64) -> Result<(), Error> {
        let is_of = |share: &Share| share.namespaces.first() == Some(&namespace);
        if self.count(is_of) >= MAX_UPLOADS {
            self.drop_given_up(now, |upload| upload.namespace == namespace)?;
        }
        if self.count(|_| true) >= MAX_IN_ALL {
            self.drop_given_up(now, |_| true)?;
        }
        Ok(())
    }

    fn count(&self, counts: impl Fn(&Share) -> bool) -> usize {
        self.shares.iter().filter_map(Weak::upgrade).filter(|share| counts(share)).count()
    }

    fn drop_given_up(&mut self, now: u64, may_go: impl Fn(&Upload<D>) -> bool) -> Result<(), Error> {
        let given_up = self.under_way.iter().find(|(_, upload)| may_go(upload) && upload.is_given_up(now));
        let number = given_up.map(|(number, _)| *number).ok_or(Error::TooManyUploads)?;
        self.under_way.remove(&number);
        Ok(())
    }

    /// Refuses an upload of so many bytes that would not fit the quotas. What lies there may all be replaced: that
    /// gives its bytes back, which the transaction counts exactly; here it is only about what may lie on
    /// the disk meanwhile, of all uploads to a namespace and those below it.
    fn may_come(&self, quotas: &[(u64, Namespace)], bytes: u64, own: Option<&Rc<Share>>) -> Result<(), Error> {
        for (number, record) in quotas {
            let others =
                self.shares.iter().filter_map(Weak::upgrade).filter(|share| {
                    share.namespaces.contains(number) && !own.is_some_and(|own| Rc::ptr_eq(own, share))
                });
            let coming = others.map(|share| share.bytes.get()).fold(0, u64::saturating_add);
            if bytes > 0 && coming.saturating_add(bytes) > record.quota {
                return Err(Error::QuotaExceeded(record.quota.saturating_sub(record.bytes).saturating_sub(coming)));
            }
        }
        Ok(())
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
        let quotas = self.quotas(namespace).await?;
        let now = self.time.now();
        // Nothing is awaited from here on, so that no other upload comes in between.
        let mut uploads = self.uploads.borrow_mut();
        uploads.make_room(namespace, now)?;
        uploads.may_come(&quotas, bytes, None)?;
        let namespaces = quotas.iter().map(|(number, _)| *number).collect();
        let share = Rc::new(Share { namespaces, bytes: Cell::new(bytes) });
        uploads.shares.retain(|share| share.strong_count() > 0);
        uploads.shares.push(Rc::downgrade(&share));
        let number = uploads.next;
        uploads.next += 1;
        let upload = Upload {
            namespace,
            share,
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

    /// What limits an upload: the records of its namespace and of those above.
    async fn quotas(&self, namespace: u64) -> Result<Vec<(u64, Namespace)>, Error> {
        let snapshot = self.store().snapshot();
        self.and_above(&View::Durable(&snapshot), namespace).await
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
            Size::Open => {
                let quotas = self.quotas(namespace).await?;
                self.uploads.borrow().may_come(&quotas, upload.received, Some(&upload.share))?;
                upload.share.bytes.set(upload.received);
            }
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
        // From here on it is the transaction that counts it.
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
