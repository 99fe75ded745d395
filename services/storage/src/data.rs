//! The mounted disk with what all three interfaces need: looking at the durable state or
//! at a transaction in the same way, the namespaces' quotas, and errors in the words of
//! the interface.

use crate::access::{APPS, Grant, ROOT, SYSTEM, USER};
use crate::reclaim::Loose;
use crate::record::{DEFAULT_QUOTA, Namespace, child_key, decode, encode, name_of, namespace_key};
use crate::time::Time;
use crate::upload::Uploads;
use crate::watch::{Change, Watches};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::Error;
use serde::de::DeserializeOwned;
use storage_engine::store::Scan;
use storage_engine::transaction::Content as Bytes;
use storage_engine::turn::Signal;
use storage_engine::{BlockDevice, DeviceError, Extent, MountError, MountReport, Snapshot, Store, Transaction, Value};

/// The most bytes of a value in one message.
pub const MAX_PART: usize = storage_engine::MAX_CHUNK;
/// The most bytes of a list in one message.
pub const MAX_LIST: usize = 48 * 1024;
/// The most entries of a list in one message.
pub const MAX_ENTRIES: usize = 1000;

/// Everything that the service keeps.
pub struct Data<D: BlockDevice> {
    store: Store<D>,
    pub(crate) time: Time,
    pub(crate) uploads: RefCell<Uploads<D>>,
    pub(crate) uploads_began: Signal,
    pub(crate) loose: Loose,
    pub(crate) watches: Watches,
    /// Something may expire earlier than was known.
    pub(crate) earlier: Signal,
}

/// An error of the engine in the words of the interface; `name` is what was asked for.
pub(crate) fn refusal(error: storage_engine::Error, name: &str) -> Error {
    match error {
        storage_engine::Error::Corrupt => Error::Corrupt(name.to_string()),
        storage_engine::Error::NoSpace => Error::NoSpace,
        storage_engine::Error::TooLarge => Error::TooLarge(MAX_PART as u64),
        storage_engine::Error::Device(DeviceError::ReadOnly) => Error::ReadOnly,
        storage_engine::Error::Device(_) => Error::Device,
    }
}

/// Where something is read from.
pub(crate) enum View<'a, D: BlockDevice> {
    /// The durable state.
    Durable(&'a Snapshot<D>),
    /// That and what a transaction has done so far.
    Changing(&'a Transaction<D>),
}

impl<D: BlockDevice> View<'_, D> {
    pub(crate) async fn value(&self, key: &[u8]) -> Result<Option<Rc<Value>>, Error> {
        let found = match self {
            View::Durable(snapshot) => snapshot.get(key).await,
            View::Changing(transaction) => transaction.get(key).await,
        };
        found.map_err(|error| refusal(error, &name_of(key)))
    }

    /// The record under `key`. What lies there and is none is corrupt.
    pub(crate) async fn record<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        match self.value(key).await? {
            Some(value) => decode(&value.meta).map(Some).ok_or_else(|| Error::Corrupt(name_of(key))),
            None => Ok(None),
        }
    }

    pub(crate) async fn scan(&self, from: &[u8], end: &[u8], limit: usize) -> Scan {
        match self {
            View::Durable(snapshot) => snapshot.scan(from, end, limit).await,
            View::Changing(transaction) => transaction.scan(from, end, limit).await,
        }
    }

    pub(crate) async fn bytes(&self, extent: &Extent, name: &str) -> Result<Vec<u8>, Error> {
        let read = match self {
            View::Durable(snapshot) => snapshot.read(extent).await,
            View::Changing(transaction) => transaction.read(extent).await,
        };
        read.map_err(|error| refusal(error, name))
    }
}

impl<D: BlockDevice> Data<D> {
    /// Mounts the disk, formats it with `name` if it is empty. [`Data::commit`] has to be
    /// polled beside everything else from now on, [`Data::prepare`] first of all.
    pub async fn mount(device: D, name: [u8; 16], time: Time) -> Result<(Data<D>, MountReport), MountError> {
        let (store, report) = Store::mount(device, name).await?;
        let watches = Watches::beginning_at(time.now());
        let data = Data {
            store,
            time,
            uploads: RefCell::new(Uploads::default()),
            uploads_began: Signal::default(),
            loose: Loose::default(),
            watches,
            earlier: Signal::default(),
        };
        data.remember_time().await;
        Ok((data, report))
    }

    /// Makes the namespaces that are there from the start.
    pub async fn prepare(&self) -> Result<(), Error> {
        let mut transaction = self.begin().await;
        for (number, parent, name, quota) in [
            (ROOT, 0, "", u64::MAX),
            (SYSTEM, ROOT, "system", DEFAULT_QUOTA),
            (APPS, ROOT, "apps", u64::MAX),
            (USER, ROOT, "user", DEFAULT_QUOTA),
        ] {
            if View::Changing(&transaction).value(&namespace_key(number)).await?.is_some() {
                continue;
            }
            let namespace = Namespace { parent, name: name.to_string(), bytes: 0, objects: 0, quota };
            self.put_record(&mut transaction, &namespace_key(number), &namespace, Bytes::None)?;
            if parent != 0 {
                self.put_record(&mut transaction, &child_key(parent, name), &number, Bytes::None)?;
            }
        }
        match self.commit_transaction(transaction, "namespaces").await {
            // A disk that cannot be written can still be read.
            Ok(_) | Err(Error::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes what is put durable, for ever.
    pub async fn commit(&self) {
        self.store.run().await;
    }

    /// Waits for what was put, and marks the disk as ended in order.
    pub async fn close(&self) -> Result<(), Error> {
        self.store.drain().await;
        self.store.seal().await.map_err(|error| refusal(error, "superblock"))
    }

    /// The engine.
    pub fn store(&self) -> &Store<D> {
        &self.store
    }

    pub(crate) async fn begin(&self) -> Transaction<D> {
        self.store.begin().await
    }

    /// The durable state, for a caller that may do `needed`; its namespace must be there.
    pub(crate) async fn reading(&self, grant: Grant) -> Result<(Snapshot<D>, u64), Error> {
        let namespace = grant.allows(Access::READ)?;
        let snapshot = self.store.snapshot();
        let there = View::Durable(&snapshot).value(&namespace_key(namespace)).await?;
        there.map(|_| (snapshot, namespace)).ok_or(Error::NotFound)
    }

    /// A transaction for a caller that may write.
    pub(crate) async fn writing(&self, grant: Grant) -> Result<(Transaction<D>, u64), Error> {
        let namespace = grant.allows(Access::WRITE)?;
        Ok((self.changing(namespace).await?, namespace))
    }

    /// A transaction in a namespace that is there.
    pub(crate) async fn changing(&self, namespace: u64) -> Result<Transaction<D>, Error> {
        let transaction = self.begin().await;
        let there = View::Changing(&transaction).value(&namespace_key(namespace)).await?;
        there.map(|_| transaction).ok_or(Error::NotFound)
    }

    pub(crate) fn put_record<T: serde::Serialize>(
        &self,
        transaction: &mut Transaction<D>,
        key: &[u8],
        record: &T,
        bytes: Bytes<D>,
    ) -> Result<(), Error> {
        transaction.put(key, encode(record), bytes).map_err(|error| refusal(error, &name_of(key)))
    }

    pub(crate) async fn commit_transaction(&self, transaction: Transaction<D>, name: &str) -> Result<u64, Error> {
        transaction.commit().await.map_err(|error| refusal(error, name))
    }

    /// Commits changes of objects, of which watchers are told.
    pub(crate) async fn commit_objects(
        &self,
        transaction: Transaction<D>,
        changes: Vec<Change>,
        name: &str,
    ) -> Result<u64, Error> {
        let ticket = self.watches.begin(transaction.sequence(), changes);
        let result = self.commit_transaction(transaction, name).await;
        ticket.ended(&result);
        result
    }

    /// Counts a change against the namespace and those above it. Refuses what would go
    /// over a quota; giving back always works.
    pub(crate) async fn charge(
        &self,
        transaction: &mut Transaction<D>,
        namespace: u64,
        bytes: i128,
        objects: i128,
    ) -> Result<(), Error> {
        if bytes == 0 && objects == 0 {
            return Ok(());
        }
        let mut number = namespace;
        let mut depth = 0;
        while number != 0 {
            let key = namespace_key(number);
            let mut record: Namespace = View::Changing(transaction).record(&key).await?.ok_or(Error::NotFound)?;
            let left = record.quota.saturating_sub(record.bytes);
            let new_bytes = i128::from(record.bytes) + bytes;
            let new_objects = i128::from(record.objects) + objects;
            let is_over = bytes > 0 && new_bytes > i128::from(record.quota);
            if is_over || objects > 0 && new_objects > i128::from(record.object_quota()) {
                return Err(Error::QuotaExceeded(left));
            }
            record.bytes = new_bytes.clamp(0, i128::from(u64::MAX)) as u64;
            record.objects = new_objects.clamp(0, i128::from(u64::MAX)) as u64;
            number = record.parent;
            self.put_record(transaction, &key, &record, Bytes::None)?;
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(Error::Corrupt(record.name));
            }
        }
        Ok(())
    }

    /// A namespace's record.
    pub(crate) async fn namespace(&self, view: &View<'_, D>, number: u64) -> Result<Namespace, Error> {
        view.record(&namespace_key(number)).await?.ok_or(Error::NotFound)
    }

    /// The records of a namespace and of all above it, with their numbers, its own first.
    pub(crate) async fn and_above(&self, view: &View<'_, D>, namespace: u64) -> Result<Vec<(u64, Namespace)>, Error> {
        let mut found = Vec::new();
        let mut number = namespace;
        while number != 0 {
            let record = self.namespace(view, number).await?;
            if found.len() > MAX_DEPTH as usize {
                return Err(Error::Corrupt(record.name));
            }
            let above = record.parent;
            found.push((number, record));
            number = above;
        }
        Ok(found)
    }
}

/// How deep namespaces lie in one another at most.
pub const MAX_DEPTH: u32 = 16;

/// Cuts a list to what fits a message.
pub(crate) struct Fitting {
    left: usize,
}

impl Fitting {
    pub(crate) fn new() -> Fitting {
        Fitting { left: MAX_LIST }
    }

    /// Whether a name fits as well.
    pub(crate) fn takes(&mut self, name: &str) -> bool {
        let size = name.len() + 40;
        let fits = size <= self.left;
        self.left = self.left.saturating_sub(size);
        fits
    }
}

/// The cursor for the entry that a scan would go on from.
pub(crate) fn cursor(next: Option<Rc<[u8]>>) -> Option<String> {
    next.map(|key| name_of(&key))
}
