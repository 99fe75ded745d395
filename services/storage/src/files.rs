//! A tree of files. A folder has a number; a name in it lies under that number, with the
//! file's record or the number of the folder below. So moving a folder is moving one
//! name, whatever is in it. Each method is one transaction, or looks at one durable state.

use crate::access::Grant;
use crate::content::{New, Stored, end_of, fits, keep};
use crate::data::{Data, Fitting, MAX_ENTRIES, View, cursor};
use crate::objects::{check_size, check_version, metadata};
use crate::path::{name, names};
use crate::record::{Content, File, Folder, Node, decode, entries_end, entry_key, name_of};
use crate::upload::{Size, Target, Writer};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use libprocess::interfaces::storage::files::{Entry, Info, Kind, OpenMode, Page};
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::{Error, Part};
use storage_engine::transaction::Content as Bytes;
use storage_engine::{BlockDevice, Transaction, Value};

/// Names looked at in one go.
const BATCH: usize = 512;

/// Where a path leads: a name in a folder, and what is there.
struct Place<'a> {
    folder: u64,
    name: &'a str,
    found: Option<(Node, Rc<Value>)>,
}

fn info(node: &Node) -> Info {
    match node {
        Node::File(file) => Info { kind: Kind::File, size: file.size, version: file.version, modified: file.modified },
        Node::Folder(folder) => {
            Info { kind: Kind::Folder, size: 0, version: folder.version, modified: folder.modified }
        }
    }
}

fn own_folder() -> Error {
    Error::Invalid("the namespace's own folder stays where it is".to_string())
}

impl<D: BlockDevice> Data<D> {
    async fn node(
        &self,
        view: &View<'_, D>,
        namespace: u64,
        folder: u64,
        name: &str,
    ) -> Result<Option<(Node, Rc<Value>)>, Error> {
        let Some(value) = view.value(&entry_key(namespace, folder, name)).await? else { return Ok(None) };
        let node = decode(&value.meta).ok_or_else(|| Error::Corrupt(name.to_string()))?;
        Ok(Some((node, value)))
    }

    /// The numbers of the folders along these names, the namespace's own first.
    async fn folders(&self, view: &View<'_, D>, namespace: u64, names: &[&str]) -> Result<Vec<u64>, Error> {
        let mut folders = vec![0];
        let mut folder = 0;
        for name in names {
            match self.node(view, namespace, folder, name).await? {
                Some((Node::Folder(below), _)) => folder = below.number,
                Some((Node::File(_), _)) => return Err(Error::NotAFolder),
                None => return Err(Error::NotFound),
            }
            folders.push(folder);
        }
        Ok(folders)
    }

    /// `None` for the namespace's own folder, which no folder has a name for.
    async fn place<'a>(
        &self,
        view: &View<'_, D>,
        namespace: u64,
        names: &[&'a str],
    ) -> Result<Option<Place<'a>>, Error> {
        let Some((name, above)) = names.split_last() else { return Ok(None) };
        let folder = self.folders(view, namespace, above).await?.last().copied().unwrap_or(0);
        let found = self.node(view, namespace, folder, name).await?;
        Ok(Some(Place { folder, name, found }))
    }

    /// The place for a file, and the file if it is there.
    async fn file_place<'a>(
        &self,
        view: &View<'_, D>,
        namespace: u64,
        names: &[&'a str],
    ) -> Result<(u64, &'a str, Option<Stored>), Error> {
        let place = self.place(view, namespace, names).await?.ok_or(Error::IsAFolder)?;
        match place.found {
            Some((Node::File(file), value)) => {
                Ok((place.folder, place.name, Some(Stored { file, expires: None, value })))
            }
            Some((Node::Folder(_), _)) => Err(Error::IsAFolder),
            None => Ok((place.folder, place.name, None)),
        }
    }

    fn empty() -> Stored {
        let file = File { size: 0, version: 0, modified: 0, content: Content::Inline(Vec::new()) };
        Stored { file, expires: None, value: Rc::new(Value::default()) }
    }

    /// Puts a file's record with its new size and content, counts it, and commits.
    #[allow(clippy::too_many_arguments)]
    async fn put_file(
        &self,
        mut transaction: Transaction<D>,
        namespace: u64,
        (folder, name): (u64, &str),
        old: Option<&Stored>,
        size: u64,
        (content, extent): (Content, Bytes<D>),
    ) -> Result<Info, Error> {
        let old_size = old.map_or(0, |old| old.file.size);
        self.charge(&mut transaction, namespace, i128::from(size) - i128::from(old_size), i128::from(old.is_none()))
            .await?;
        let file = Node::File(File { size, version: transaction.sequence(), modified: self.time.wall(), content });
        self.put_record(&mut transaction, &entry_key(namespace, folder, name), &file, extent)?;
        if size < old_size {
            transaction.frees_space();
        }
        self.commit_transaction(transaction, name).await?;
        Ok(info(&file))
    }

    /// The file, made or emptied if wanted.
    pub async fn open(&self, grant: Grant, path: &str, mode: OpenMode) -> Result<Info, Error> {
        let names = names(path)?;
        if !mode.contains(OpenMode::CREATE) && !mode.contains(OpenMode::TRUNCATE) {
            let (snapshot, namespace) = self.reading(grant).await?;
            let (_, _, stored) = self.file_place(&View::Durable(&snapshot), namespace, &names).await?;
            return stored.map(|stored| info(&Node::File(stored.file))).ok_or(Error::NotFound);
        }
        let (mut transaction, namespace) = self.writing(grant).await?;
        let (folder, name, stored) = self.file_place(&View::Changing(&transaction), namespace, &names).await?;
        let Some(stored) = stored else {
            if !mode.contains(OpenMode::CREATE) {
                return Err(Error::NotFound);
            }
            let content = (Content::Inline(Vec::new()), Bytes::None);
            return self.put_file(transaction, namespace, (folder, name), None, 0, content).await;
        };
        if mode.contains(OpenMode::CREATE) && mode.contains(OpenMode::EXCLUSIVE) {
            return Err(Error::AlreadyExists);
        }
        if !mode.contains(OpenMode::TRUNCATE) || stored.file.size == 0 {
            return Ok(info(&Node::File(stored.file)));
        }
        self.discard(&mut transaction, &stored.file, name).await?;
        let content = (Content::Inline(Vec::new()), Bytes::None);
        self.put_file(transaction, namespace, (folder, name), Some(&stored), 0, content).await
    }

    /// Part of a file, and what the whole is.
    pub async fn read(&self, grant: Grant, path: &str, offset: u64, length: u32) -> Result<Part, Error> {
        let names = names(path)?;
        let (snapshot, namespace) = self.reading(grant).await?;
        let view = View::Durable(&snapshot);
        let (_, _, stored) = self.file_place(&view, namespace, &names).await?;
        let stored = stored.ok_or(Error::NotFound)?;
        let bytes = self.read_part(&view, &stored, offset, length, path).await?;
        Ok(Part { stat: metadata(&stored.file), bytes })
    }

    /// Writes bytes into a file that is there.
    pub async fn write(&self, grant: Grant, path: &str, offset: u64, bytes: &[u8]) -> Result<Info, Error> {
        let names = names(path)?;
        check_size(bytes)?;
        end_of(offset, bytes)?;
        self.with_room(async || self.write_once(grant, path, &names, offset, bytes).await).await
    }

    async fn write_once(
        &self,
        grant: Grant,
        path: &str,
        names: &[&str],
        offset: u64,
        bytes: &[u8],
    ) -> Result<Info, Error> {
        let (mut transaction, namespace) = self.writing(grant).await?;
        let (folder, name, stored) = self.file_place(&View::Changing(&transaction), namespace, names).await?;
        let stored = stored.ok_or(Error::NotFound)?;
        let size = stored.file.size.max(end_of(offset, bytes)?);
        self.may_grow(&transaction, namespace, size - stored.file.size).await?;
        let content = self.write_part(&mut transaction, &stored, offset, bytes, path).await?;
        self.put_file(transaction, namespace, (folder, name), Some(&stored), size, content).await
    }

    /// Refuses what is over a quota, the namespace's or that of one above it, before anything is written for it.
    async fn may_grow(&self, transaction: &Transaction<D>, namespace: u64, bytes: u64) -> Result<(), Error> {
        for (_, record) in self.and_above(&View::Changing(transaction), namespace).await? {
            let left = record.quota.saturating_sub(record.bytes);
            if bytes > left {
                return Err(Error::QuotaExceeded(left));
            }
        }
        Ok(())
    }

    /// Writes bytes to the end of a file, which is made if it is not there.
    pub async fn append(&self, grant: Grant, path: &str, bytes: &[u8]) -> Result<Info, Error> {
        let names = names(path)?;
        check_size(bytes)?;
        self.with_room(async || self.append_once(grant, path, &names, bytes).await).await
    }

    async fn append_once(&self, grant: Grant, path: &str, names: &[&str], bytes: &[u8]) -> Result<Info, Error> {
        let (mut transaction, namespace) = self.writing(grant).await?;
        let (folder, name, stored) = self.file_place(&View::Changing(&transaction), namespace, names).await?;
        let empty = Self::empty();
        let current = stored.as_ref().unwrap_or(&empty);
        let size = end_of(current.file.size, bytes)?;
        self.may_grow(&transaction, namespace, bytes.len() as u64).await?;
        let content = self.write_part(&mut transaction, current, current.file.size, bytes, path).await?;
        self.put_file(transaction, namespace, (folder, name), stored.as_ref(), size, content).await
    }

    /// The whole file becomes these bytes.
    pub async fn replace(&self, grant: Grant, path: &str, bytes: &[u8]) -> Result<Info, Error> {
        grant.allows(Access::WRITE)?;
        names(path)?;
        check_size(bytes)?;
        self.with_room(async || {
            let new = self.stage_small(bytes, path).await?;
            self.replace_with(grant, path, bytes.len() as u64, new, None).await
        })
        .await
    }

    pub(crate) async fn replace_new(
        &self,
        grant: Grant,
        path: &str,
        size: u64,
        new: New<D>,
        if_version: Option<u64>,
    ) -> Result<u64, Error> {
        Ok(self.replace_with(grant, path, size, new, if_version).await?.version)
    }

    async fn replace_with(
        &self,
        grant: Grant,
        path: &str,
        size: u64,
        new: New<D>,
        if_version: Option<u64>,
    ) -> Result<Info, Error> {
        let names = names(path)?;
        let (mut transaction, namespace) = self.writing(grant).await?;
        let (folder, name, stored) = self.file_place(&View::Changing(&transaction), namespace, &names).await?;
        check_version(stored.as_ref().map(|stored| &stored.file), if_version)?;
        if let Some(stored) = &stored {
            self.discard(&mut transaction, &stored.file, path).await?;
        }
        let content = self.place_bytes(&mut transaction, new)?;
        self.put_file(transaction, namespace, (folder, name), stored.as_ref(), size, content).await
    }

    /// Cuts a file, or makes it longer with zeros.
    pub async fn set_size(&self, grant: Grant, path: &str, size: u64) -> Result<Info, Error> {
        let names = names(path)?;
        fits(size)?;
        let (mut transaction, namespace) = self.writing(grant).await?;
        let (folder, name, stored) = self.file_place(&View::Changing(&transaction), namespace, &names).await?;
        let stored = stored.ok_or(Error::NotFound)?;
        let content = if size < stored.file.size {
            self.cut(&mut transaction, &stored, size, path).await?
        } else {
            keep(&stored)
        };
        self.put_file(transaction, namespace, (folder, name), Some(&stored), size, content).await
    }

    /// Names in a folder, from `from` on.
    pub async fn list_folder(&self, grant: Grant, path: &str, limit: u32, from: Option<&str>) -> Result<Page, Error> {
        let names = names(path)?;
        if let Some(from) = from {
            name(from)?;
        }
        let (snapshot, namespace) = self.reading(grant).await?;
        let view = View::Durable(&snapshot);
        let folder = self.folders(&view, namespace, &names).await?.last().copied().unwrap_or(0);
        let limit = (limit as usize).min(MAX_ENTRIES);
        let scan =
            view.scan(&entry_key(namespace, folder, from.unwrap_or("")), &entries_end(namespace, folder), limit).await;
        let mut page = Page { entries: Vec::new(), next: cursor(scan.next), complete: !scan.damaged };
        let mut fitting = Fitting::new();
        for entry in scan.entries {
            let name = name_of(&entry.key);
            if !fitting.takes(&name) {
                page.next = Some(name);
                break;
            }
            match decode::<Node>(&entry.value.meta) {
                Some(node) => page.entries.push(Entry { name, info: info(&node) }),
                None => page.complete = false,
            }
        }
        Ok(page)
    }

    /// Moves a file or folder.
    pub async fn rename(&self, grant: Grant, from: &str, to: &str) -> Result<(), Error> {
        let (from_names, to_names) = (names(from)?, names(to)?);
        let (mut transaction, namespace) = self.writing(grant).await?;
        let view = View::Changing(&transaction);
        let source = self.place(&view, namespace, &from_names).await?.ok_or_else(own_folder)?;
        let (node, value) = source.found.ok_or(Error::NotFound)?;
        let Some((to_name, above)) = to_names.split_last() else { return Err(own_folder()) };
        let folders = self.folders(&view, namespace, above).await?;
        if let Node::Folder(folder) = &node
            && folders.contains(&folder.number)
        {
            return Err(Error::Invalid("a folder cannot go into itself".to_string()));
        }
        let to_folder = folders.last().copied().unwrap_or(0);
        if (source.folder, source.name) == (to_folder, *to_name) {
            return Ok(());
        }
        let target = self.node(&view, namespace, to_folder, to_name).await?;
        match (&node, &target) {
            (_, None) => {}
            (Node::File(_), Some((Node::File(old), _))) => {
                self.discard(&mut transaction, old, to).await?;
                self.charge(&mut transaction, namespace, -i128::from(old.size), -1).await?;
            }
            (Node::File(_), Some((Node::Folder(_), _))) => return Err(Error::IsAFolder),
            (Node::Folder(_), Some((Node::File(_), _))) => return Err(Error::NotAFolder),
            (Node::Folder(_), Some((Node::Folder(old), _))) => {
                self.must_be_empty(&view, namespace, old, to).await?;
                self.charge(&mut transaction, namespace, 0, -1).await?;
            }
        }
        transaction.delete(&entry_key(namespace, source.folder, source.name));
        let extent = value.extent.clone().map_or(Bytes::None, Bytes::Kept);
        self.put_record(&mut transaction, &entry_key(namespace, to_folder, to_name), &node, extent)?;
        self.commit_transaction(transaction, from).await.map(|_| ())
    }

    async fn must_be_empty(
        &self,
        view: &View<'_, D>,
        namespace: u64,
        folder: &Folder,
        path: &str,
    ) -> Result<(), Error> {
        let scan = view.scan(&entry_key(namespace, folder.number, ""), &entries_end(namespace, folder.number), 1).await;
        if scan.damaged {
            return Err(Error::Corrupt(path.to_string()));
        }
        if scan.entries.is_empty() { Ok(()) } else { Err(Error::FolderNotEmpty) }
    }

    /// Removes a file or an empty folder.
    pub async fn remove(&self, grant: Grant, path: &str) -> Result<(), Error> {
        let names = names(path)?;
        let (mut transaction, namespace) = self.writing(grant).await?;
        let view = View::Changing(&transaction);
        let place = self.place(&view, namespace, &names).await?.ok_or_else(own_folder)?;
        let (node, _) = place.found.ok_or(Error::NotFound)?;
        let size = match &node {
            Node::File(file) => {
                self.discard(&mut transaction, file, path).await?;
                file.size
            }
            Node::Folder(folder) => {
                self.must_be_empty(&view, namespace, folder, path).await?;
                0
            }
        };
        self.charge(&mut transaction, namespace, -i128::from(size), -1).await?;
        transaction.delete(&entry_key(namespace, place.folder, place.name));
        transaction.frees_space();
        self.commit_transaction(transaction, path).await.map(|_| ())
    }

    /// Removes a file, or a folder with all that is in it.
    pub async fn remove_all(&self, grant: Grant, path: &str) -> Result<(), Error> {
        let names = names(path)?;
        let (mut transaction, namespace) = self.writing(grant).await?;
        let place = self.place(&View::Changing(&transaction), namespace, &names).await?.ok_or_else(own_folder)?;
        let (node, _) = place.found.ok_or(Error::NotFound)?;
        let (mut bytes, mut count) = (0i128, 1i128);
        let mut folders = Vec::new();
        match &node {
            Node::File(file) => {
                self.discard(&mut transaction, file, path).await?;
                bytes += i128::from(file.size);
            }
            Node::Folder(folder) => folders.push(folder.number),
        }
        while let Some(folder) = folders.pop() {
            let mut from = entry_key(namespace, folder, "");
            loop {
                let scan = transaction.scan(&from, &entries_end(namespace, folder), BATCH).await;
                if scan.damaged {
                    return Err(Error::Corrupt(path.to_string()));
                }
                for entry in scan.entries {
                    match decode::<Node>(&entry.value.meta) {
                        Some(Node::File(file)) => {
                            self.discard(&mut transaction, &file, path).await?;
                            bytes += i128::from(file.size);
                        }
                        Some(Node::Folder(below)) => folders.push(below.number),
                        None => return Err(Error::Corrupt(name_of(&entry.key))),
                    }
                    count += 1;
                    transaction.delete(&entry.key);
                }
                match scan.next {
                    Some(next) => from = next.to_vec(),
                    None => break,
                }
            }
        }
        self.charge(&mut transaction, namespace, -bytes, -count).await?;
        transaction.delete(&entry_key(namespace, place.folder, place.name));
        transaction.frees_space();
        self.commit_transaction(transaction, path).await.map(|_| ())
    }

    /// What a path leads to.
    pub async fn stat_path(&self, grant: Grant, path: &str) -> Result<Info, Error> {
        let names = names(path)?;
        let (snapshot, namespace) = self.reading(grant).await?;
        match self.place(&View::Durable(&snapshot), namespace, &names).await? {
            Some(place) => place.found.map(|(node, _)| info(&node)).ok_or(Error::NotFound),
            None => Ok(info(&Node::Folder(Folder { number: 0, version: 0, modified: 0 }))),
        }
    }

    /// Makes a folder.
    pub async fn make_folder(&self, grant: Grant, path: &str) -> Result<(), Error> {
        let names = names(path)?;
        let (mut transaction, namespace) = self.writing(grant).await?;
        let place = self.place(&View::Changing(&transaction), namespace, &names).await?.ok_or(Error::AlreadyExists)?;
        if place.found.is_some() {
            return Err(Error::AlreadyExists);
        }
        self.charge(&mut transaction, namespace, 0, 1).await?;
        let number = transaction.sequence();
        let folder = Node::Folder(Folder { number, version: number, modified: self.time.wall() });
        self.put_record(&mut transaction, &entry_key(namespace, place.folder, place.name), &folder, Bytes::None)?;
        self.commit_transaction(transaction, path).await.map(|_| ())
    }

    /// Begins to replace a file in parts.
    pub async fn begin_file(&self, grant: Grant, path: &str, size: u64) -> Result<u64, Error> {
        let target = file_target(grant, path)?;
        self.begin_upload(grant, target, Size::Known(size), None).await
    }

    /// Begins to replace a file by what is not known to be how long, for as long as `writer` says that it is there.
    pub async fn begin_file_stream(&self, grant: Grant, path: &str, writer: Writer) -> Result<u64, Error> {
        let target = file_target(grant, path)?;
        self.begin_upload(grant, target, Size::Open, Some(writer)).await
    }
}

fn file_target(grant: Grant, path: &str) -> Result<Target, Error> {
    grant.allows(Access::WRITE)?;
    if names(path)?.is_empty() { Err(Error::IsAFolder) } else { Ok(Target::File(String::from(path))) }
}
