//! Everything on a disk: namespaces, objects, folders and files, and whether it agrees: each record can be read, what is
//! named is there, what is there is named, what is counted is what there is.

use crate::record::{self, Content, File, Key, Namespace, Node, decode, decode_object};
use crate::words::Names;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use storage_engine::{BlockDevice, Damage, MAX_CHUNK, Snapshot, Store};

/// Entries read in one go.
const BATCH: usize = 512;
/// How deep namespaces lie in one another at most.
const MOST_DEEP: usize = 16;

/// A value or a file, where it is, and what it is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Its namespace.
    pub namespace: u64,
    /// Its key.
    pub place: Place,
    /// Its record.
    pub file: File,
    /// When it expires, if it does.
    pub expires: Option<u64>,
}

/// Where a value lies in its namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// The key of an object.
    Object(String),
    /// A file: number of its folder, and its name in that.
    File(u64, String),
}

/// A folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderItem {
    /// Its namespace.
    pub namespace: u64,
    /// The folder above.
    pub above: u64,
    /// Its name there.
    pub name: String,
    /// Its record.
    pub folder: record::Folder,
}

/// What is on a disk.
#[derive(Clone, Default, Debug)]
pub struct Survey {
    /// Namespaces by number.
    pub namespaces: BTreeMap<u64, Namespace>,
    /// Folders by namespace and number.
    pub folders: BTreeMap<(u64, u64), FolderItem>,
    /// Values and files.
    pub items: Vec<Item>,
    /// Chunks of contents that belong to nothing and are noted so: an upload that was cut off, or a
    /// value that is being removed. The service lets go of them.
    pub loose_chunks: u64,
    /// The last time at which something had expired.
    pub horizon: u64,
    /// What does not agree, in words.
    pub findings: Vec<String>,
    /// Names for what has only numbers.
    pub names: Names,
}

impl Survey {
    /// Reads all records of the last commit.
    pub async fn of<D: BlockDevice>(store: &Store<D>) -> Survey {
        let mut survey = Survey::default();
        let snapshot = store.snapshot();
        let mut loose = Loose::default();
        survey.read(&snapshot, &mut loose).await;
        survey.name();
        survey.judge(&loose);
        survey
    }

    async fn read<D: BlockDevice>(&mut self, snapshot: &Snapshot<D>, loose: &mut Loose) {
        let mut from = Vec::new();
        loop {
            let scan = snapshot.scan(&from, &[0xFF; 300], BATCH).await;
            if scan.damaged {
                self.findings.push("parts of the tree cannot be read".to_string());
            }
            for entry in &scan.entries {
                if self.take(&entry.key, &entry.value.meta, loose).is_none() {
                    loose.unreadable.push(entry.key.to_vec());
                }
            }
            match scan.next {
                Some(next) => from = next.to_vec(),
                None => return,
            }
        }
    }

    fn take(&mut self, key: &[u8], meta: &[u8], loose: &mut Loose) -> Option<()> {
        match record::parse(key)? {
            Key::Namespace(number) => drop(self.namespaces.insert(number, decode(meta)?)),
            Key::Child { parent, name } => loose.children.push((parent, name.to_owned(), decode(meta)?)),
            Key::Object { namespace, key } => {
                let (file, expires) = decode_object(meta)?;
                self.items.push(Item { namespace, place: Place::Object(key.to_owned()), file, expires });
            }
            Key::Entry { namespace, folder: above, name } => match decode(meta)? {
                Node::File(file) => {
                    let place = Place::File(above, name.to_owned());
                    self.items.push(Item { namespace, place, file, expires: None });
                }
                Node::Folder(folder) => {
                    let item = FolderItem { namespace, above, name: name.to_owned(), folder };
                    let number = item.folder.number;
                    if self.folders.insert((namespace, number), item).is_some() {
                        loose.twice.push((namespace, number));
                    }
                }
            },
            Key::Chunk { content, index } => loose.chunks.entry(content).or_default().push(index),
            Key::Expiry { time, namespace, key } => drop(loose.expiries.insert((time, namespace, key.to_owned()))),
            Key::Horizon => self.horizon = decode(meta)?,
            Key::Loose(content) => drop(loose.noted.insert(content)),
        }
        Some(())
    }

    /// Finds names for numbers.
    fn name(&mut self) {
        for &number in self.namespaces.keys() {
            let mut names = Vec::new();
            let mut at = number;
            while let Some(namespace) = self.namespaces.get(&at) {
                names.push(if namespace.name.is_empty() { "root" } else { &namespace.name });
                at = namespace.parent;
                if at == 0 || names.len() > 64 {
                    break;
                }
            }
            names.reverse();
            self.names.namespaces.insert(number, names.join("/"));
        }
        for &(namespace, number) in self.folders.keys() {
            let mut names = Vec::new();
            let mut at = number;
            while let Some(folder) = self.folders.get(&(namespace, at)) {
                names.push(folder.name.as_str());
                at = folder.above;
                if at == 0 || names.len() > 1024 {
                    break;
                }
            }
            names.reverse();
            self.names.folders.insert((namespace, number), format!("/{}", names.join("/")));
        }
        for item in &self.items {
            if let Content::Chunks(content) = item.file.content {
                self.names.contents.insert(content, self.name_of(item));
            }
        }
    }

    /// A value's or file's name, for people.
    pub fn name_of(&self, item: &Item) -> String {
        let namespace = self.names.namespace(item.namespace);
        match &item.place {
            Place::Object(key) => format!("object `{key}` of {namespace}"),
            Place::File(folder, name) => {
                format!("file `{}` of {namespace}", self.names.path(item.namespace, *folder, name))
            }
        }
    }

    /// What does not agree.
    fn judge(&mut self, loose: &Loose) {
        let mut found = Vec::new();
        for key in &loose.unreadable {
            found.push(format!("{} is no record", self.names.of(key)));
        }
        for (namespace, number) in &loose.twice {
            found.push(format!("folder {number} of {} has two names", self.names.namespace(*namespace)));
        }
        self.judge_namespaces(loose, &mut found);
        self.judge_items(loose, &mut found);
        self.judge_counts(&mut found);
        self.findings.append(&mut found);
    }

    fn judge_namespaces(&self, loose: &Loose, found: &mut Vec<String>) {
        let mut named = BTreeSet::new();
        for (parent, name, number) in &loose.children {
            named.insert(*number);
            match self.namespaces.get(number) {
                Some(namespace) if namespace.parent == *parent && namespace.name == *name => {}
                Some(_) => found.push(format!("namespace {number} is called otherwise than {name}")),
                None => {
                    found.push(format!("namespace {}/{name} has no record", self.names.namespace(*parent)));
                }
            }
        }
        for &number in self.namespaces.keys() {
            let mut at = number;
            for _ in 0..=MOST_DEEP {
                at = self.namespaces.get(&at).map_or(0, |namespace| namespace.parent);
            }
            if at != 0 {
                found.push(format!("namespace {number} lies in no root"));
            }
        }
        for (number, namespace) in &self.namespaces {
            if namespace.parent != 0 && !self.namespaces.contains_key(&namespace.parent) {
                found.push(format!("namespace {number} lies in none"));
            }
            if namespace.parent != 0 && !named.contains(number) {
                found.push(format!("namespace {} is not among those above it", self.names.namespace(*number)));
            }
        }
        for folder in self.folders.values() {
            if !self.namespaces.contains_key(&folder.namespace) {
                found.push(format!("folder `{}` is in no namespace", folder.name));
            }
            if folder.above != 0 && !self.folders.contains_key(&(folder.namespace, folder.above)) {
                found.push(format!("folder `{}` is in no folder", folder.name));
            }
        }
    }

    fn judge_items(&mut self, loose: &Loose, found: &mut Vec<String>) {
        let mut owned = BTreeSet::new();
        let mut expiries = loose.expiries.clone();
        for item in &self.items {
            let name = self.name_of(item);
            if !self.namespaces.contains_key(&item.namespace) {
                found.push(format!("{name} is in no namespace"));
            }
            match &item.place {
                Place::File(folder, _) if *folder != 0 && !self.folders.contains_key(&(item.namespace, *folder)) => {
                    found.push(format!("{name} is in no folder"));
                }
                Place::Object(key) => {
                    if let Some(expires) = item.expires
                        && !expiries.remove(&(expires, item.namespace, key.clone()))
                    {
                        found.push(format!("{name} expires, and nothing notes when"));
                    }
                }
                Place::File(..) => {}
            }
            match &item.file.content {
                Content::Inline(bytes) if bytes.len() as u64 > item.file.size => {
                    found.push(format!("{name} has more bytes than its size"));
                }
                Content::Chunks(content) => {
                    if !owned.insert(*content) {
                        found.push(format!("{name} has its bytes in common with another"));
                    }
                    if loose.noted.contains(content) {
                        found.push(format!("{name} has bytes that are noted as nobody's"));
                    }
                    let chunks = loose.chunks.get(content).map_or(&[][..], Vec::as_slice);
                    if chunks.iter().any(|&index| u64::from(index) * MAX_CHUNK as u64 >= item.file.size) {
                        found.push(format!("{name} has more bytes than its size"));
                    }
                }
                Content::Inline(_) | Content::Extent => {}
            }
        }
        for (_, namespace, key) in expiries {
            found.push(format!(
                "it is noted when object `{key}` of {} expires, and it does not",
                self.names.namespace(namespace)
            ));
        }
        for (content, chunks) in &loose.chunks {
            if loose.noted.contains(content) {
                self.loose_chunks += chunks.len() as u64;
            } else if !owned.contains(content) {
                found.push(format!("{} chunks of content {content} belong to nothing", chunks.len()));
            }
        }
    }

    fn judge_counts(&self, found: &mut Vec<String>) {
        let mut counted = self.counts();
        for (number, namespace) in &self.namespaces {
            let (bytes, objects) = counted.remove(number).unwrap_or_default();
            if (bytes, objects) != (namespace.bytes, namespace.objects) {
                found.push(format!(
                    "{} counts {} bytes in {} objects, and has {bytes} in {objects}",
                    self.names.namespace(*number),
                    namespace.bytes,
                    namespace.objects
                ));
            }
        }
    }

    /// Bytes and objects of each namespace, those below it included.
    pub fn counts(&self) -> BTreeMap<u64, (u64, u64)> {
        let mut counted = BTreeMap::new();
        for item in &self.items {
            self.count(&mut counted, item.namespace, item.file.size);
        }
        for folder in self.folders.values() {
            self.count(&mut counted, folder.namespace, 0);
        }
        for (number, namespace) in &self.namespaces {
            if *number >= record::FIRST_FREE {
                self.count(&mut counted, namespace.parent, 0);
            }
        }
        counted
    }

    /// Counts one object of so many bytes in a namespace and those above it.
    pub fn count(&self, counted: &mut BTreeMap<u64, (u64, u64)>, namespace: u64, bytes: u64) {
        let mut at = namespace;
        for _ in 0..=MOST_DEEP {
            let Some(record) = self.namespaces.get(&at) else { break };
            let (all, objects) = counted.entry(at).or_default();
            *all = all.saturating_add(bytes);
            *objects += 1;
            at = record.parent;
        }
    }

    /// Damage that the engine found, in words.
    pub fn damage(&self, damage: &Damage) -> String {
        match damage {
            Damage::Value { key } => format!("the bytes of {} are not those that were written", self.names.of(key)),
            Damage::Keys { from, to } => {
                let from = if from.is_empty() { "the first key".to_string() } else { self.names.of(from) };
                match to {
                    Some(to) => format!("all from {from} up to {} cannot be read", self.names.of(to)),
                    None => format!("all from {from} on cannot be read"),
                }
            }
            Damage::Copy { page } => format!("page {page}: one of two copies is damaged; the next start mends it"),
        }
    }
}

/// What is not in the survey itself, for it to be judged.
#[derive(Default)]
struct Loose {
    children: Vec<(u64, String, u64)>,
    chunks: BTreeMap<u64, Vec<u32>>,
    expiries: BTreeSet<(u64, u64, String)>,
    noted: BTreeSet<u64>,
    twice: Vec<(u64, u64)>,
    unreadable: Vec<Vec<u8>>,
}
