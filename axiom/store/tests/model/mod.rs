//! A folder in memory that forgets, at a crash, what was not synced: writes by sectors of 512 bytes,
//! in any selection; names in the order in which they were changed, up to any point, but for those in a folder that was synced.
#![allow(dead_code)]

use log_store::folder::{Folder, Item, Mark, parent};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

/// A file's content: what is durable, and what was written since.
#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    /// One change: never both names, never none.
    Rename(String, String, usize),
}

impl NameChange {
    fn carry_out(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Link(name, file) => drop(names.insert(name.clone(), *file)),
            NameChange::Unlink(name) => drop(names.remove(name)),
            NameChange::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }

    /// Whether it is durable when `folder` was synced: it changes a name in it, or in one above.
    fn is_in(&self, folder: &str) -> bool {
        let (NameChange::Link(name, _) | NameChange::Unlink(name) | NameChange::Rename(_, name, _)) = self;
        let of = parent(name);
        of.is_empty() || folder == of || folder.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'))
    }
}

#[derive(Clone, Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
    /// Operations that may still be carried out; `None` for no limit.
    left: Option<u64>,
    done: u64,
}

/// The folder. Clones are the same folder.
#[derive(Clone, Default)]
pub struct Model(Arc<Mutex<Inner>>);

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Model {
    /// Every operation that changes something counts; after `count` more the machine is dead.
    pub fn die_after(&self, count: u64) {
        self.0.lock().unwrap().left = Some(count);
    }

    /// Operations carried out so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().done
    }

    /// What is found after a crash: `random` chooses what of the unsynced is there.
    pub fn after_crash(&self, mut random: impl FnMut() -> u64) -> Model {
        let inner = self.0.lock().unwrap();
        let mut names = inner.durable_names.clone();
        let kept = random() as usize % (inner.pending.len() + 1);
        inner.pending[..kept].iter().for_each(|change| change.carry_out(&mut names));
        let mut files = Vec::new();
        for content in &inner.files {
            let length = if random() & 1 == 0 { content.now.len() } else { content.durable.len() };
            let mut bytes = content.durable.clone();
            bytes.resize(length, 0);
            for (index, sector) in content.now.chunks(SECTOR).enumerate() {
                let start = index * SECTOR;
                let end = (start + sector.len()).min(bytes.len());
                if start < end && random() & 1 == 0 {
                    bytes[start..end].copy_from_slice(&sector[..end - start]);
                }
            }
            files.push(Content { durable: bytes.clone(), now: bytes });
        }
        let durable_names = names.clone();
        Model(Arc::new(Mutex::new(Inner { files, names, durable_names, ..Inner::default() })))
    }

    /// Every file with its content.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let inner = self.0.lock().unwrap();
        inner.names.iter().map(|(name, &file)| (name.clone(), inner.files[file].now.clone())).collect()
    }

    /// Puts a file there, durable.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.0.lock().unwrap();
        let file = inner.files.len();
        inner.files.push(Content { durable: bytes.to_vec(), now: bytes.to_vec() });
        inner.names.insert(name.to_owned(), file);
        inner.durable_names.insert(name.to_owned(), file);
    }

    fn change<T>(&self, work: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.0.lock().unwrap();
        match &mut inner.left {
            Some(0) => return Err(io::Error::other("the machine is dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        inner.done += 1;
        work(&mut inner)
    }
}

impl Folder for Model {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let inner = self.0.lock().unwrap();
        let file = *inner.names.get(path).ok_or_else(missing)?;
        Ok(inner.files[file].now.clone())
    }

    fn list(&self, path: &str) -> io::Result<Vec<Item>> {
        let inner = self.0.lock().unwrap();
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut items: Vec<Item> = inner
            .names
            .iter()
            .filter_map(|(name, &file)| {
                let rest = name.strip_prefix(&prefix)?;
                Some(match rest.split_once('/') {
                    Some((folder, _)) => Item { name: folder.to_owned(), length: None },
                    None => Item { name: rest.to_owned(), length: Some(inner.files[file].now.len() as u64) },
                })
            })
            .collect();
        items.sort();
        items.dedup();
        Ok(items)
    }

    fn create(&mut self, path: &str) -> io::Result<()> {
        self.change(|inner| {
            let file = inner.files.len();
            inner.files.push(Content::default());
            inner.names.insert(path.to_owned(), file);
            inner.pending.push(NameChange::Link(path.to_owned(), file));
            Ok(())
        })
    }

    fn write(&mut self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|inner| {
            let file = *inner.names.get(path).ok_or_else(missing)?;
            let content = &mut inner.files[file].now;
            let end = at as usize + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at as usize..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_length(&mut self, path: &str, length: u64) -> io::Result<()> {
        self.change(|inner| {
            let file = *inner.names.get(path).ok_or_else(missing)?;
            inner.files[file].now.resize(length as usize, 0);
            Ok(())
        })
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.change(|inner| {
            let file = *inner.names.get(path).ok_or_else(missing)?;
            let content = &mut inner.files[file];
            content.durable.clone_from(&content.now);
            Ok(())
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(|inner| {
            let file = inner.names.remove(from).ok_or_else(missing)?;
            inner.names.insert(to.to_owned(), file);
            inner.pending.push(NameChange::Rename(from.to_owned(), to.to_owned(), file));
            Ok(())
        })
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        if !self.0.lock().unwrap().names.contains_key(path) {
            return Err(missing());
        }
        self.change(|inner| {
            inner.names.remove(path);
            inner.pending.push(NameChange::Unlink(path.to_owned()));
            Ok(())
        })
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        self.change(|inner| {
            let (synced, pending) = inner.pending.drain(..).partition(|change| change.is_in(path));
            inner.pending = pending;
            let synced: Vec<NameChange> = synced;
            synced.iter().for_each(|change| change.carry_out(&mut inner.durable_names));
            Ok(())
        })
    }

    fn linked(&self, path: &str) -> io::Result<u64> {
        let inner = self.0.lock().unwrap();
        let file = *inner.names.get(path).ok_or_else(missing)?;
        Ok(inner.files[file].now.len() as u64)
    }

    fn mark(&self, path: &str) -> io::Result<Mark> {
        let inner = self.0.lock().unwrap();
        let file = *inner.names.get(path).ok_or_else(missing)?;
        Ok(Mark { length: inner.files[file].now.len() as u64, number: file as u64, changed: (0, 0) })
    }
}
