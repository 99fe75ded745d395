//! Bytes of values and files: up to 1 KiB inside the tree, up to 60 KiB in one extent,
//! more in chunks of 60 KiB with an entry each. Where a content is shorter than its file,
//! the rest reads as zeros; whoever cuts a file cuts the content too.

use crate::data::{Data, MAX_PART, View, refusal};
use crate::reclaim::{CHUNKS_AT_ONCE, Growing};
use crate::record::{Content, File, MAX_INLINE, chunk_key, chunks_end, loose_key};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use libprocess::interfaces::storage::types::Error;
use storage_engine::transaction::Content as Bytes;
use storage_engine::{BlockDevice, Extent, Staged, Transaction, Value};

/// Bytes in a chunk.
pub const CHUNK: u64 = MAX_PART as u64;
/// The most bytes of a value or file: so many that its chunks can be numbered.
pub const MAX_SIZE: u64 = CHUNK << 32;
/// Chunks removed or looked at in one go.
const BATCH: usize = 512;

/// Bytes to be put.
pub(crate) enum New<D> {
    /// Few enough to lie inside the tree.
    Inline(Vec<u8>),
    /// One extent.
    Extent(Staged<D>),
    /// Chunks, in order, all but the last of [`CHUNK`] bytes.
    Chunks(Vec<Staged<D>>),
    /// The last chunks of a content that has all before `first` already.
    Grown {
        /// The content.
        growing: Growing,
        /// Index of the first of these.
        first: u32,
        /// The last ones.
        chunks: Vec<Staged<D>>,
    },
}

/// A file with the value that holds its record.
pub(crate) struct Stored {
    pub(crate) file: File,
    /// When it expires, if it does.
    pub(crate) expires: Option<u64>,
    pub(crate) value: Rc<Value>,
}

impl Stored {
    fn extent(&self) -> Option<&Extent> {
        self.value.extent.as_ref()
    }
}

impl<D: BlockDevice> Data<D> {
    /// Writes bytes where they belong by their number; at most [`CHUNK`].
    pub(crate) async fn stage_small(&self, bytes: &[u8], name: &str) -> Result<New<D>, Error> {
        if bytes.len() <= MAX_INLINE {
            return Ok(New::Inline(bytes.to_vec()));
        }
        Ok(New::Extent(self.stage(bytes, name).await?))
    }

    pub(crate) async fn stage(&self, bytes: &[u8], name: &str) -> Result<Staged<D>, Error> {
        self.store().stage(bytes).await.map_err(|error| refusal(error, name))
    }

    /// Hands new bytes to a transaction: the content and the extent for its record.
    pub(crate) fn place_bytes(
        &self,
        transaction: &mut Transaction<D>,
        new: New<D>,
    ) -> Result<(Content, Bytes<D>), Error> {
        Ok(match new {
            New::Inline(bytes) => (Content::Inline(bytes), Bytes::None),
            New::Extent(staged) => (Content::Extent, Bytes::New(staged)),
            New::Chunks(chunks) => {
                let number = transaction.sequence();
                for (index, staged) in chunks.into_iter().enumerate() {
                    self.put_chunk(transaction, number, index as u32, staged)?;
                }
                (Content::Chunks(number), Bytes::None)
            }
            New::Grown { growing, first, chunks } => {
                for (index, staged) in (first..).zip(chunks) {
                    self.put_chunk(transaction, growing.content, index, staged)?;
                }
                transaction.delete(&loose_key(growing.content));
                (Content::Chunks(growing.content), Bytes::None)
            }
        })
    }

    pub(crate) fn put_chunk(
        &self,
        transaction: &mut Transaction<D>,
        number: u64,
        index: u32,
        staged: Staged<D>,
    ) -> Result<(), Error> {
        let key = chunk_key(number, index);
        transaction.put(&key, Vec::new(), Bytes::New(staged)).map_err(|error| refusal(error, "chunk"))
    }

    /// Removes what belongs to a file beside its record.
    pub(crate) async fn discard(&self, transaction: &mut Transaction<D>, file: &File, name: &str) -> Result<(), Error> {
        match file.content {
            Content::Chunks(number) if file.size > CHUNKS_AT_ONCE as u64 * CHUNK => {
                self.let_go(transaction, number)?;
                // The next turn to write is that of the one who waits for this.
                self.loose.notify();
                Ok(())
            }
            Content::Chunks(number) => self.discard_chunks(transaction, number, 0, name).await,
            Content::Inline(_) | Content::Extent => Ok(()),
        }
    }

    async fn discard_chunks(
        &self,
        transaction: &mut Transaction<D>,
        number: u64,
        from: u32,
        name: &str,
    ) -> Result<(), Error> {
        loop {
            let scan = transaction.scan(&chunk_key(number, from), &chunks_end(number), BATCH).await;
            if scan.damaged {
                return Err(refusal(storage_engine::Error::Corrupt, name));
            }
            if scan.entries.is_empty() {
                return Ok(());
            }
            for entry in scan.entries {
                transaction.delete(&entry.key);
            }
        }
    }

    /// The bytes of one chunk as they are stored; none if there are none.
    async fn chunk(&self, view: &View<'_, D>, stored: &Stored, index: u64, name: &str) -> Result<Vec<u8>, Error> {
        let number = match &stored.file.content {
            Content::Inline(bytes) => return Ok(if index == 0 { bytes.clone() } else { Vec::new() }),
            Content::Extent if index == 0 => {
                let extent = stored.extent().ok_or_else(|| refusal(storage_engine::Error::Corrupt, name))?;
                return view.bytes(extent, name).await;
            }
            Content::Extent => return Ok(Vec::new()),
            Content::Chunks(number) => *number,
        };
        let Ok(index) = u32::try_from(index) else { return Ok(Vec::new()) };
        let found = view.value(&chunk_key(number, index)).await.map_err(|error| named(error, name))?;
        match found.as_ref().and_then(|value| value.extent.as_ref()) {
            Some(extent) => view.bytes(extent, name).await,
            None => Ok(Vec::new()),
        }
    }

    /// Up to `length` bytes from `offset` on, at most [`MAX_PART`].
    pub(crate) async fn read_part(
        &self,
        view: &View<'_, D>,
        stored: &Stored,
        offset: u64,
        length: u32,
        name: &str,
    ) -> Result<Vec<u8>, Error> {
        let end = offset.saturating_add(u64::from(length).min(MAX_PART as u64)).min(stored.file.size);
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        for index in offset / CHUNK..=(end - 1) / CHUNK {
            let start = index * CHUNK;
            let chunk = self.chunk(view, stored, index, name).await?;
            let from = offset.max(start);
            let to = end.min(start.saturating_add(chunk.len() as u64));
            if from < to {
                bytes[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&chunk[(from - start) as usize..(to - start) as usize]);
            }
        }
        Ok(bytes)
    }

    /// Writes bytes at `offset` of a file, at most [`MAX_PART`] and not beyond [`MAX_SIZE`]: its new content.
    pub(crate) async fn write_part(
        &self,
        transaction: &mut Transaction<D>,
        stored: &Stored,
        offset: u64,
        bytes: &[u8],
        name: &str,
    ) -> Result<(Content, Bytes<D>), Error> {
        let end = end_of(offset, bytes)?;
        let size = stored.file.size.max(end);
        if size <= CHUNK {
            let mut whole = self.chunk(&View::Changing(transaction), stored, 0, name).await?;
            patch(&mut whole, offset as usize, bytes);
            let new = self.stage_small(&whole, name).await?;
            return self.place_bytes(transaction, new);
        }
        let number = match stored.file.content {
            Content::Chunks(number) => number,
            Content::Inline(_) | Content::Extent => {
                let number = transaction.sequence();
                let first = self.chunk(&View::Changing(transaction), stored, 0, name).await?;
                if offset >= CHUNK && !first.is_empty() {
                    let staged = self.stage(&first, name).await?;
                    self.put_chunk(transaction, number, 0, staged)?;
                }
                number
            }
        };
        let mut at = offset;
        while at < end {
            let index = at / CHUNK;
            let start = index * CHUNK;
            let stop = end.min(start.saturating_add(CHUNK));
            let mut chunk = self.chunk(&View::Changing(transaction), stored, index, name).await?;
            patch(&mut chunk, (at - start) as usize, &bytes[(at - offset) as usize..(stop - offset) as usize]);
            let staged = self.stage(&chunk, name).await?;
            let index = u32::try_from(index).map_err(|_| Error::TooLarge(MAX_SIZE))?;
            self.put_chunk(transaction, number, index, staged)?;
            at = stop;
        }
        Ok((Content::Chunks(number), Bytes::None))
    }

    /// Makes a file's content at most `size` bytes long.
    pub(crate) async fn cut(
        &self,
        transaction: &mut Transaction<D>,
        stored: &Stored,
        size: u64,
        name: &str,
    ) -> Result<(Content, Bytes<D>), Error> {
        if size <= CHUNK {
            let mut whole = self.chunk(&View::Changing(transaction), stored, 0, name).await?;
            whole.truncate(size as usize);
            self.discard(transaction, &stored.file, name).await?;
            let new = self.stage_small(&whole, name).await?;
            return self.place_bytes(transaction, new);
        }
        let Content::Chunks(number) = stored.file.content else {
            return Ok(keep(stored));
        };
        let last = (size - 1) / CHUNK;
        let mut chunk = self.chunk(&View::Changing(transaction), stored, last, name).await?;
        if let Ok(after) = u32::try_from(last + 1) {
            self.discard_chunks(transaction, number, after, name).await?;
        }
        let length = (size - last * CHUNK) as usize;
        if chunk.len() > length {
            chunk.truncate(length);
            let staged = self.stage(&chunk, name).await?;
            self.put_chunk(transaction, number, last as u32, staged)?;
        }
        Ok((Content::Chunks(number), Bytes::None))
    }
}

/// Refuses what would be larger than a value or file can be.
pub(crate) fn fits(size: u64) -> Result<(), Error> {
    if size > MAX_SIZE { Err(Error::TooLarge(MAX_SIZE)) } else { Ok(()) }
}

/// Where bytes at `offset` end, if a file can be that large.
pub(crate) fn end_of(offset: u64, bytes: &[u8]) -> Result<u64, Error> {
    let end = offset.saturating_add(bytes.len() as u64);
    fits(end).map(|()| end)
}

/// The content as it is, for a record that changes.
pub(crate) fn keep<D>(stored: &Stored) -> (Content, Bytes<D>) {
    let bytes = match stored.extent() {
        Some(extent) => Bytes::Kept(extent.clone()),
        None => Bytes::None,
    };
    (stored.file.content.clone(), bytes)
}

/// A damaged chunk is named by what it belongs to.
fn named(error: Error, name: &str) -> Error {
    match error {
        Error::Corrupt(_) => refusal(storage_engine::Error::Corrupt, name),
        error => error,
    }
}

/// Writes `bytes` at `at`, making what lies before it as long as that.
fn patch(whole: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if whole.len() < at + bytes.len() {
        whole.resize(at + bytes.len(), 0);
    }
    whole[at..at + bytes.len()].copy_from_slice(bytes);
}
