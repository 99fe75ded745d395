//! Namespaces: made below one another, counted against all above, removed with all that
//! is in them. Their numbers are never used again, so a badge never comes to mean another.

use crate::access::{FIRST_FREE, Grant, LAST};
use crate::data::{Data, MAX_DEPTH, MAX_ENTRIES, View};
use crate::path::name;
use crate::record::{
    DEFAULT_QUOTA, Namespace, Node, child_key, children_end, decode, decode_object, everything_in, expiry_key,
    is_child, is_object, name_of, namespace_key,
};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use libprocess::interfaces::storage::namespaces::{Access, QuotaUse};
use libprocess::interfaces::storage::types::Error;
use storage_engine::BlockDevice;
use storage_engine::transaction::Content as Bytes;

/// Entries looked at in one go.
const BATCH: usize = 512;

impl<D: BlockDevice> Data<D> {
    /// What a capability to the namespace of this name allows; makes it if it is not there.
    pub async fn subspace(&self, grant: Grant, child: &str, access: Access) -> Result<Grant, Error> {
        let parent = grant.allows(Access::MANAGE)?;
        grant.allows(access)?;
        if access == Access::NONE {
            return Err(Error::Invalid("a capability that allows nothing".to_string()));
        }
        name(child)?;
        if let Some(namespace) = self.child(grant, child).await? {
            return Ok(Grant { namespace, access });
        }
        let mut transaction = self.changing(parent).await?;
        let view = View::Changing(&transaction);
        let key = child_key(parent, child);
        if let Some(namespace) = view.record::<u64>(&key).await? {
            return Ok(Grant { namespace, access });
        }
        let mut depth = 0;
        let mut above = parent;
        while above != 0 {
            above = self.namespace(&view, above).await?.parent;
            depth += 1;
            if depth >= MAX_DEPTH {
                return Err(Error::Invalid("namespaces lie at most 16 deep in one another".to_string()));
            }
        }
        let namespace = transaction.sequence() + FIRST_FREE;
        if namespace > LAST {
            return Err(Error::NoSpace);
        }
        self.charge(&mut transaction, parent, 0, 1).await?;
        let record = Namespace { parent, name: child.to_string(), bytes: 0, objects: 0, quota: DEFAULT_QUOTA };
        self.put_record(&mut transaction, &namespace_key(namespace), &record, Bytes::None)?;
        self.put_record(&mut transaction, &key, &namespace, Bytes::None)?;
        self.commit_transaction(transaction, child).await?;
        Ok(Grant { namespace, access })
    }

    async fn child(&self, grant: Grant, child: &str) -> Result<Option<u64>, Error> {
        let snapshot = self.store().snapshot();
        View::Durable(&snapshot).record(&child_key(grant.namespace, child)).await
    }

    /// A grant that allows less.
    pub async fn restrict(&self, grant: Grant, access: Access) -> Result<Grant, Error> {
        grant.allows(access)?;
        if access == Access::NONE {
            return Err(Error::Invalid("a capability that allows nothing".to_string()));
        }
        let snapshot = self.store().snapshot();
        self.namespace(&View::Durable(&snapshot), grant.namespace).await?;
        Ok(Grant { namespace: grant.namespace, access })
    }

    /// Names of the namespaces below, from `from` on.
    pub async fn list_namespaces(&self, grant: Grant, from: Option<&str>) -> Result<Vec<String>, Error> {
        let parent = grant.allows(Access::MANAGE)?;
        if let Some(from) = from {
            name(from)?;
        }
        let snapshot = self.store().snapshot();
        let view = View::Durable(&snapshot);
        self.namespace(&view, parent).await?;
        let limit = MAX_ENTRIES.min(150);
        let scan = view.scan(&child_key(parent, from.unwrap_or("")), &children_end(parent), limit).await;
        if scan.damaged {
            return Err(Error::Corrupt("the names of the namespaces".to_string()));
        }
        Ok(scan.entries.iter().map(|entry| name_of(&entry.key)).collect())
    }

    /// Removes a namespace below with all that is in it.
    pub async fn remove_namespace(&self, grant: Grant, child: &str) -> Result<(), Error> {
        let parent = grant.allows(Access::MANAGE)?;
        name(child)?;
        let mut transaction = self.changing(parent).await?;
        let key = child_key(parent, child);
        let number: u64 = View::Changing(&transaction).record(&key).await?.ok_or(Error::NotFound)?;
        if number < FIRST_FREE {
            return Err(Error::Invalid("this namespace is there from the start and stays".to_string()));
        }
        let record = self.namespace(&View::Changing(&transaction), number).await?;
        let mut namespaces = vec![number];
        let mut removed = Vec::new();
        while let Some(namespace) = namespaces.pop() {
            let (mut from, end) = everything_in(namespace);
            loop {
                let scan = transaction.scan(&from, &end, BATCH).await;
                if scan.damaged {
                    return Err(Error::Corrupt(child.to_string()));
                }
                for entry in scan.entries {
                    let corrupt = || Error::Corrupt(name_of(&entry.key));
                    if is_child(&entry.key) {
                        namespaces.push(decode(&entry.value.meta).ok_or_else(corrupt)?);
                    } else if is_object(&entry.key) {
                        let (file, expires) = decode_object(&entry.value.meta).ok_or_else(corrupt)?;
                        self.discard(&mut transaction, &file, child).await?;
                        if let Some(expires) = expires {
                            transaction.delete(&expiry_key(expires, namespace, &name_of(&entry.key)));
                        }
                    } else if let Node::File(file) = decode(&entry.value.meta).ok_or_else(corrupt)? {
                        self.discard(&mut transaction, &file, child).await?;
                    }
                    transaction.delete(&entry.key);
                }
                match scan.next {
                    Some(next) => from = next.to_vec(),
                    None => break,
                }
            }
            transaction.delete(&namespace_key(namespace));
            removed.push(namespace);
        }
        transaction.delete(&key);
        self.charge(&mut transaction, parent, -i128::from(record.bytes), -i128::from(record.objects) - 1).await?;
        transaction.frees_space();
        self.commit_transaction(transaction, child).await?;
        for namespace in removed {
            self.watches.lost(namespace);
        }
        Ok(())
    }

    /// Changes how many bytes a namespace below may hold.
    pub async fn set_quota(&self, grant: Grant, child: &str, bytes: u64) -> Result<(), Error> {
        let parent = grant.allows(Access::MANAGE)?;
        name(child)?;
        let mut transaction = self.changing(parent).await?;
        let view = View::Changing(&transaction);
        let number: u64 = view.record(&child_key(parent, child)).await?.ok_or(Error::NotFound)?;
        let mut record = self.namespace(&view, number).await?;
        record.quota = bytes;
        self.put_record(&mut transaction, &namespace_key(number), &record, Bytes::None)?;
        self.commit_transaction(transaction, child).await.map(|_| ())
    }

    /// How full the caller's namespace is.
    pub async fn usage(&self, grant: Grant) -> Result<QuotaUse, Error> {
        let (snapshot, namespace) = self.reading(grant).await?;
        let record = self.namespace(&View::Durable(&snapshot), namespace).await?;
        Ok(QuotaUse {
            bytes: record.bytes,
            quota: record.quota,
            objects: record.objects,
            object_quota: record.object_quota(),
        })
    }
}
