//! Space of large contents comes back in steps. A content of many chunks is let go by one note, in the transaction
//! that takes it from its file; the chunks follow, [`CHUNKS_AT_ONCE`] a commit, between the commits of others.
//! The same note stands for an upload under way, so that what a crash leaves of it comes back too.

use crate::data::{Data, refusal};
use crate::record::{all_loose, chunk_key, chunks_end, loose_content, loose_key};
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::string::ToString;
use core::cell::RefCell;
use libprocess::interfaces::storage::types::Error;
use storage_engine::transaction::Content as Bytes;
use storage_engine::turn::Signal;
use storage_engine::{BlockDevice, Transaction};

/// Chunks that one commit lets go, or adds of an upload: 3.75 MiB.
pub const CHUNKS_AT_ONCE: usize = 64;

/// Contents that no file has, and which of these are not to be let go.
#[derive(Clone, Default)]
pub(crate) struct Loose {
    kept: Rc<RefCell<BTreeSet<u64>>>,
    more: Rc<Signal>,
}

/// A content that an upload is adding to. Dropped, its chunks are let go, unless it has become a file's.
pub(crate) struct Growing {
    pub(crate) content: u64,
    loose: Loose,
}

impl Loose {
    pub(crate) fn keep(&self, content: u64) -> Growing {
        self.kept.borrow_mut().insert(content);
        Growing { content, loose: self.clone() }
    }

    pub(crate) fn notify(&self) {
        self.more.notify();
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.loose.kept.borrow_mut().remove(&self.content);
        self.loose.notify();
    }
}

impl<D: BlockDevice> Data<D> {
    /// Notes that a content belongs to no file.
    pub(crate) fn let_go(&self, transaction: &mut Transaction<D>, content: u64) -> Result<(), Error> {
        transaction.put(&loose_key(content), Default::default(), Bytes::None).map_err(|error| refusal(error, "content"))
    }

    /// One step: lets go of at most [`CHUNKS_AT_ONCE`] chunks. Whether there was anything to let go.
    pub async fn reclaim_step(&self) -> Result<bool, Error> {
        let mut transaction = self.begin().await;
        let (mut from, end) = all_loose();
        let content = loop {
            let scan = transaction.scan(&from, &end, CHUNKS_AT_ONCE).await;
            let contents = scan.entries.iter().filter_map(|entry| loose_content(&entry.key));
            let kept = self.loose.kept.borrow();
            match (contents.into_iter().find(|content| !kept.contains(content)), scan.next) {
                (Some(content), _) => break content,
                (None, Some(next)) => from = next.to_vec(),
                (None, None) => return Ok(false),
            }
        };
        let scan = transaction.scan(&chunk_key(content, 0), &chunks_end(content), CHUNKS_AT_ONCE).await;
        if scan.damaged {
            // It is no use to try again before the next start.
            self.loose.kept.borrow_mut().insert(content);
            return Err(Error::Corrupt("chunks of a value that was removed".to_string()));
        }
        for entry in &scan.entries {
            transaction.delete(&entry.key);
        }
        if scan.next.is_none() {
            transaction.delete(&loose_key(content));
        }
        transaction.frees_space();
        self.commit_transaction(transaction, "chunks").await.map(|_| true)
    }

    /// Waits until something may be there to let go.
    pub async fn more_to_reclaim(&self) {
        self.loose.more.woken().await;
    }

    /// Tries again what found no room, as long as room is being made.
    pub(crate) async fn with_room<T>(&self, mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match attempt().await {
                Err(Error::NoSpace) if self.reclaim_step().await == Ok(true) => {}
                result => return result,
            }
        }
    }
}
