//! Values under keys. Each method is one transaction, or looks at one durable state.

use crate::access::Grant;
use crate::content::{New, Stored};
use crate::data::{Data, Fitting, MAX_ENTRIES, MAX_PART, View, cursor, refusal};
use crate::lifetime::EXPIRED_AT_ONCE;
use crate::record::{File, MAX_OBJECT_KEY, decode_object, encode_object, expiry_key, name_of, object_key, objects_end};
use crate::upload::{Size, Target, Writer};
use crate::watch::Change;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::objects::{Entry, Page, Step};
use libprocess::interfaces::storage::types::{Error, Metadata, Part};
use storage_engine::transaction::Content as Bytes;
use storage_engine::{BlockDevice, Transaction};

/// The most steps of a transaction.
pub const MAX_STEPS: usize = 256;

pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::Invalid("a key is empty".to_string())),
        length if length > MAX_OBJECT_KEY => Err(Error::KeyTooLong),
        _ => Ok(()),
    }
}

pub(crate) fn check_size(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_PART { Err(Error::TooLarge(MAX_PART as u64)) } else { Ok(()) }
}

pub(crate) fn check_version(file: Option<&File>, wanted: Option<u64>) -> Result<(), Error> {
    let version = file.map_or(0, |file| file.version);
    match wanted {
        Some(wanted) if wanted != version => Err(Error::VersionConflict(version)),
        _ => Ok(()),
    }
}

pub(crate) fn metadata(file: &File) -> Metadata {
    Metadata { size: file.size, version: file.version, modified: file.modified }
}

impl<D: BlockDevice> Data<D> {
    pub(crate) async fn object(&self, view: &View<'_, D>, namespace: u64, key: &str) -> Result<Option<Stored>, Error> {
        let Some(value) = view.value(&object_key(namespace, key)).await? else { return Ok(None) };
        let (file, expires) = decode_object(&value.meta).ok_or_else(|| Error::Corrupt(key.to_string()))?;
        Ok(Some(Stored { file, expires, value }))
    }

    /// Removes the object first if it has expired: so a method judges that once, when it begins.
    async fn look_at(&self, namespace: u64, key: &str) -> Result<(), Error> {
        let snapshot = self.store().snapshot();
        self.live_object(&View::Durable(&snapshot), namespace, key).await.map(|_| ())
    }

    /// Puts a value; its version.
    pub async fn put(&self, grant: Grant, key: &str, bytes: &[u8], if_version: Option<u64>) -> Result<u64, Error> {
        grant.allows(Access::WRITE)?;
        check_key(key)?;
        check_size(bytes)?;
        self.with_room(async || {
            let new = self.stage_small(bytes, key).await?;
            self.put_new(grant, key, bytes.len() as u64, new, if_version, None).await
        })
        .await
    }

    pub(crate) async fn put_new(
        &self,
        grant: Grant,
        key: &str,
        size: u64,
        new: New<D>,
        if_version: Option<u64>,
        expires: Option<u64>,
    ) -> Result<u64, Error> {
        if if_version.is_some() {
            self.look_at(grant.namespace, key).await?;
        }
        let (mut transaction, namespace) = self.writing(grant).await?;
        self.put_in(&mut transaction, namespace, key, size, new, if_version, expires).await?;
        self.commit_objects(transaction, vec![Change::put(namespace, key)], key).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn put_in(
        &self,
        transaction: &mut Transaction<D>,
        namespace: u64,
        key: &str,
        size: u64,
        new: New<D>,
        if_version: Option<u64>,
        expires: Option<u64>,
    ) -> Result<(), Error> {
        let old = self.object(&View::Changing(transaction), namespace, key).await?;
        check_version(old.as_ref().map(|old| &old.file), if_version)?;
        let old_size = old.as_ref().map_or(0, |old| old.file.size);
        self.charge(transaction, namespace, i128::from(size) - i128::from(old_size), i128::from(old.is_none())).await?;
        if let Some(old) = &old {
            self.discard(transaction, &old.file, key).await?;
            self.no_longer_expires(transaction, namespace, key, old);
        }
        let (content, extent) = self.place_bytes(transaction, new)?;
        let file = File { size, version: transaction.sequence(), modified: self.time.wall(), content };
        let full = |error| refusal(error, key);
        if let Some(expires) = expires {
            transaction.put(&expiry_key(expires, namespace, key), Vec::new(), Bytes::None).map_err(full)?;
        }
        transaction.put(&object_key(namespace, key), encode_object(&file, expires), extent).map_err(full)
    }

    /// Part of a value, and what the whole is.
    pub async fn get(
        &self,
        grant: Grant,
        key: &str,
        offset: u64,
        length: u32,
        version: Option<u64>,
    ) -> Result<Part, Error> {
        grant.allows(Access::READ)?;
        check_key(key)?;
        let (snapshot, namespace) = self.reading(grant).await?;
        let view = View::Durable(&snapshot);
        let stored = self.live_object(&view, namespace, key).await?;
        if version.is_some() {
            check_version(stored.as_ref().map(|stored| &stored.file), version)?;
        }
        let stored = stored.ok_or(Error::NotFound)?;
        let bytes = self.read_part(&view, &stored, offset, length, key).await?;
        Ok(Part { stat: metadata(&stored.file), bytes })
    }

    /// Removes a key.
    pub async fn delete(&self, grant: Grant, key: &str, if_version: Option<u64>) -> Result<(), Error> {
        grant.allows(Access::WRITE)?;
        check_key(key)?;
        self.look_at(grant.namespace, key).await?;
        let (mut transaction, namespace) = self.writing(grant).await?;
        let old = self.object(&View::Changing(&transaction), namespace, key).await?.ok_or(Error::NotFound)?;
        check_version(Some(&old.file), if_version)?;
        self.delete_in(&mut transaction, namespace, key, &old).await?;
        transaction.frees_space();
        self.commit_objects(transaction, vec![Change::removed(namespace, key)], key).await.map(|_| ())
    }

    pub(crate) async fn delete_in(
        &self,
        transaction: &mut Transaction<D>,
        namespace: u64,
        key: &str,
        old: &Stored,
    ) -> Result<(), Error> {
        self.discard(transaction, &old.file, key).await?;
        self.no_longer_expires(transaction, namespace, key, old);
        self.charge(transaction, namespace, -i128::from(old.file.size), -1).await?;
        transaction.delete(&object_key(namespace, key));
        Ok(())
    }

    /// Keys that begin with `prefix`, from `from` on.
    pub async fn list(&self, grant: Grant, prefix: &str, limit: u32, from: Option<&str>) -> Result<Page, Error> {
        grant.allows(Access::READ)?;
        if prefix.len() > MAX_OBJECT_KEY || from.is_some_and(|from| from.len() > MAX_OBJECT_KEY) {
            return Err(Error::KeyTooLong);
        }
        let (snapshot, namespace) = self.reading(grant).await?;
        let start = from.filter(|from| *from > prefix).unwrap_or(prefix);
        let limit = (limit as usize).min(MAX_ENTRIES);
        let scan = snapshot.scan(&object_key(namespace, start), &objects_end(namespace, prefix), limit).await;
        let mut page = Page { entries: Vec::new(), next: cursor(scan.next), complete: !scan.damaged };
        let mut fitting = Fitting::new();
        let mut expired = Vec::new();
        for entry in scan.entries {
            let key = name_of(&entry.key);
            if !fitting.takes(&key) {
                page.next = Some(key);
                break;
            }
            match decode_object(&entry.value.meta) {
                Some((file, expires)) => {
                    let stored = Stored { file, expires, value: entry.value };
                    if self.has_expired(&stored) {
                        expired.push(key);
                    } else {
                        page.entries.push(Entry { key, stat: metadata(&stored.file) });
                    }
                }
                None => page.complete = false,
            }
        }
        // As with one that was asked for: a disk that refuses does not bring them back.
        for some in expired.chunks(EXPIRED_AT_ONCE) {
            let _ = self.bury(namespace, some).await;
        }
        Ok(page)
    }

    /// What lies under a key.
    pub async fn stat(&self, grant: Grant, key: &str) -> Result<Metadata, Error> {
        grant.allows(Access::READ)?;
        check_key(key)?;
        let (snapshot, namespace) = self.reading(grant).await?;
        let stored = self.live_object(&View::Durable(&snapshot), namespace, key).await?;
        Ok(metadata(&stored.ok_or(Error::NotFound)?.file))
    }

    /// Begins to put a value in parts.
    pub async fn begin_object(&self, grant: Grant, key: &str, size: u64) -> Result<u64, Error> {
        grant.allows(Access::WRITE)?;
        check_key(key)?;
        self.begin_upload(grant, Target::Object(String::from(key)), Size::Known(size), None).await
    }

    /// Begins to put a value whose size is not known, for as long as `writer` says that it is there.
    pub async fn begin_stream(&self, grant: Grant, key: &str, writer: Writer) -> Result<u64, Error> {
        grant.allows(Access::WRITE)?;
        check_key(key)?;
        self.begin_upload(grant, Target::Object(String::from(key)), Size::Open, Some(writer)).await
    }

    /// All steps or none; the version of all that is put.
    pub async fn transact(&self, grant: Grant, steps: &[Step]) -> Result<u64, Error> {
        grant.allows(Access::WRITE)?;
        if steps.len() > MAX_STEPS {
            return Err(Error::TooLarge(MAX_STEPS as u64));
        }
        self.with_room(async || self.transact_once(grant, steps).await).await
    }

    async fn transact_once(&self, grant: Grant, steps: &[Step]) -> Result<u64, Error> {
        let mut staged = Vec::with_capacity(steps.len());
        for step in steps {
            staged.push(match step {
                Step::Put(put) => {
                    check_key(&put.key)?;
                    check_size(&put.value)?;
                    Some(self.stage_small(&put.value, &put.key).await?)
                }
                Step::Delete(key) => {
                    check_key(key)?;
                    None
                }
                Step::Check(check) => {
                    check_key(&check.key)?;
                    self.look_at(grant.namespace, &check.key).await?;
                    None
                }
            });
        }
        let (mut transaction, namespace) = self.writing(grant).await?;
        let mut changes = Vec::new();
        for (step, new) in steps.iter().zip(staged) {
            match (step, new) {
                (Step::Put(put), Some(new)) => {
                    self.put_in(&mut transaction, namespace, &put.key, put.value.len() as u64, new, None, None).await?;
                    changes.push(Change::put(namespace, &put.key));
                }
                (Step::Put(_), None) => {}
                (Step::Delete(key), _) => {
                    if let Some(old) = self.object(&View::Changing(&transaction), namespace, key).await? {
                        self.delete_in(&mut transaction, namespace, key, &old).await?;
                        changes.push(Change::removed(namespace, key));
                    }
                }
                (Step::Check(check), _) => {
                    let found = self.object(&View::Changing(&transaction), namespace, &check.key).await?;
                    check_version(found.as_ref().map(|found| &found.file), Some(check.version))?;
                }
            }
        }
        self.commit_objects(transaction, changes, "transaction").await
    }
}
