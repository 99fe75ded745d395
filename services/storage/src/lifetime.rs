//! Values that expire. An index in the order of their times says which is next, so that nothing
//! has to be searched for. Whoever comes upon a value that has expired removes it, durably, before
//! that is told: what was once seen to be gone stays gone, whatever the clock does.

use crate::access::Grant;
use crate::content::Stored;
use crate::data::{Data, View};
use crate::objects::{check_key, check_size};
use crate::record::{expiries_until, expiry_key, expiry_of, horizon_key};
use crate::watch::Change;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::Error;
use storage_engine::transaction::Content as Bytes;
use storage_engine::{BlockDevice, Transaction};

/// Values removed in one commit when their time has come.
pub const EXPIRED_AT_ONCE: usize = 32;

impl<D: BlockDevice> Data<D> {
    /// Puts a value that expires after `lifetime` ns; its version.
    pub async fn put_for(
        &self,
        grant: Grant,
        key: &str,
        bytes: &[u8],
        lifetime: u64,
        if_version: Option<u64>,
    ) -> Result<u64, Error> {
        grant.allows(Access::WRITE)?;
        check_key(key)?;
        check_size(bytes)?;
        if lifetime == 0 {
            return Err(Error::Invalid("a lifetime of nothing".to_string()));
        }
        let expires = self.time.now().saturating_add(lifetime);
        let version = self
            .with_room(async || {
                let new = self.stage_small(bytes, key).await?;
                self.put_new(grant, key, bytes.len() as u64, new, if_version, Some(expires)).await
            })
            .await?;
        self.earlier.notify();
        Ok(version)
    }

    /// How many ns a value has left; none: it does not expire.
    pub async fn lifetime(&self, grant: Grant, key: &str) -> Result<Option<u64>, Error> {
        grant.allows(Access::READ)?;
        check_key(key)?;
        let (snapshot, namespace) = self.reading(grant).await?;
        let stored = self.live_object(&View::Durable(&snapshot), namespace, key).await?.ok_or(Error::NotFound)?;
        Ok(stored.expires.map(|expires| expires.saturating_sub(self.time.now())))
    }

    pub(crate) fn has_expired(&self, stored: &Stored) -> bool {
        stored.expires.is_some_and(|expires| expires <= self.time.now())
    }

    /// An object, if it has not expired. If it has, it is removed first. A disk that refuses that does not bring it
    /// back: as long as the service runs, its time does not go back either.
    pub(crate) async fn live_object(
        &self,
        view: &View<'_, D>,
        namespace: u64,
        key: &str,
    ) -> Result<Option<Stored>, Error> {
        match self.object(view, namespace, key).await? {
            Some(stored) if self.has_expired(&stored) => {
                let _ = self.bury(namespace, &[key.to_string()]).await;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// Removes those of a namespace's objects that have expired.
    pub(crate) async fn bury(&self, namespace: u64, keys: &[String]) -> Result<(), Error> {
        let mut transaction = self.begin().await;
        let mut changes = Vec::new();
        for key in keys {
            if let Some(stored) = self.object(&View::Changing(&transaction), namespace, key).await?
                && self.has_expired(&stored)
            {
                self.delete_in(&mut transaction, namespace, key, &stored).await?;
                changes.push(Change::removed(namespace, key));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.commit_expired(transaction, changes).await
    }

    /// With what has expired goes the time at which it had.
    async fn commit_expired(&self, mut transaction: Transaction<D>, changes: Vec<Change>) -> Result<(), Error> {
        let now = self.time.now();
        self.put_record(&mut transaction, &horizon_key(), &now, Bytes::None)?;
        transaction.frees_space();
        self.commit_objects(transaction, changes, "expired values").await.map(|_| ())
    }

    /// Removes what has expired, at most [`EXPIRED_AT_ONCE`] values a commit. Returns when the next one will; none
    /// does if there is none.
    pub async fn remove_expired(&self) -> Result<Option<u64>, Error> {
        loop {
            let now = self.time.now();
            let snapshot = self.store().snapshot();
            let first = snapshot.scan(&expiry_key(0, 0, ""), &expiries_until(u64::MAX), 1).await;
            drop(snapshot);
            match first.entries.first().and_then(|entry| expiry_of(&entry.key)) {
                Some((expires, ..)) if expires > now => return Ok(Some(expires)),
                Some(_) => {}
                None if first.damaged => return Err(Error::Corrupt("the index of what expires".to_string())),
                None => return Ok(None),
            }
            let mut transaction = self.begin().await;
            let due = transaction.scan(&expiry_key(0, 0, ""), &expiries_until(now), EXPIRED_AT_ONCE).await;
            let mut changes = Vec::new();
            for entry in &due.entries {
                transaction.delete(&entry.key);
                let Some((expires, namespace, key)) = expiry_of(&entry.key) else { continue };
                let stored = self.object(&View::Changing(&transaction), namespace, key).await?;
                // An entry that is left of a value that is no more removes nothing else.
                if let Some(stored) = stored.filter(|stored| stored.expires == Some(expires)) {
                    self.delete_in(&mut transaction, namespace, key, &stored).await?;
                    changes.push(Change::removed(namespace, key));
                }
            }
            if due.entries.is_empty() && due.damaged {
                return Err(Error::Corrupt("the index of what expires".to_string()));
            }
            // Without any due, somebody else is removing what was seen to be. This is durable after that, or fails
            // with it, so what is looked at next shows what else there is.
            self.commit_expired(transaction, changes).await?;
        }
    }

    /// Removes the entry of the index for a value that goes or is replaced.
    pub(crate) fn no_longer_expires(&self, transaction: &mut Transaction<D>, namespace: u64, key: &str, old: &Stored) {
        if let Some(expires) = old.expires {
            transaction.delete(&expiry_key(expires, namespace, key));
        }
    }

    /// How long it is until then.
    pub fn time_until(&self, time: u64) -> Duration {
        Duration::from_nanos(time.saturating_sub(self.time.now()))
    }

    /// Waits until something was put that may expire before what was known.
    pub async fn expires_earlier(&self) {
        self.earlier.woken().await;
    }

    /// The time that the disk remembers.
    pub(crate) async fn remember_time(&self) {
        let snapshot = self.store().snapshot();
        if let Ok(Some(horizon)) = View::Durable(&snapshot).record::<u64>(&horizon_key()).await {
            self.time.not_before(horizon);
        }
    }
}
