//! The operations on files that a log needs, as a trait: the log's durability rests on their
//! order, so the tests run the same code on a model that loses what was not synced.

use crate::error::Error;
use axiom::note::VerifierKey;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What lies in a folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Bytes; `None` of a folder.
    pub length: Option<u64>,
}

/// What tells a file from another of the same name, and from itself before a change. A backup that reads it or links to it
/// leaves it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Bytes.
    pub length: u64,
    /// Its number on the host.
    pub number: u64,
    /// When its content was changed last: s and ns.
    pub changed: (i64, i64),
}

/// A folder and all below it. Paths are relative to it, with `/` between names.
pub trait Folder: Send {
    /// Everything in a file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// What lies in a folder, by name; nothing if there is no such folder.
    fn list(&self, path: &str) -> io::Result<Vec<Item>>;
    /// Makes an empty file, and the folders that it lies in. An old file of the name goes.
    fn create(&mut self, path: &str) -> io::Result<()>;
    /// Writes `bytes` at an offset.
    fn write(&mut self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file, or fills it up with zeros.
    fn set_length(&mut self, path: &str, length: u64) -> io::Result<()>;
    /// What is in the file is durable when this returns.
    fn sync(&mut self, path: &str) -> io::Result<()>;
    /// Gives a file another name, in place of the file that has it. Makes the folders that it will lie in.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, and the folder that it was the last in, if that is one of partial tiles.
    fn remove(&mut self, path: &str) -> io::Result<()>;
    /// Names in this folder, and it in those above, are durable when this returns.
    fn sync_folder(&mut self, path: &str) -> io::Result<()>;
    /// Bytes of the file, if what was opened under this name is still what the name leads to.
    fn linked(&self, path: &str) -> io::Result<u64>;
    /// What tells the file from another in its place, and from what it is after a change. A link is no file.
    fn mark(&self, path: &str) -> io::Result<Mark>;

    /// Checks what lies around the files, where there is anything: of an image, all that is not in the folder that it stands
    /// for. Gives the trace of a crash, in words.
    fn check(&self, _key: &VerifierKey) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Puts a whole file in place, so that after a crash the old or the new is there. The
    /// name is durable after [`Folder::sync_folder`].
    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut replace = || {
            self.create(UNFINISHED)?;
            self.write(UNFINISHED, 0, bytes)?;
            self.sync(UNFINISHED)?;
            self.rename(UNFINISHED, path)
        };
        let replaced = replace();
        if replaced.is_err() {
            // It belongs to nothing; who cannot remove it finds it at the next start.
            let _ = self.remove(UNFINISHED);
        }
        replaced
    }
}

/// Name of the one file that is being written and not yet in place.
pub const UNFINISHED: &str = "unfinished";

/// The folder that a path lies in.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A folder of the host.
#[derive(Debug)]
pub struct DiskFolder {
    root: PathBuf,
    /// Files that were written and have not got another name: the open segment stays what was
    /// opened, whatever comes to lie under its name.
    open: Vec<(String, File)>,
}

impl DiskFolder {
    /// The folder at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> DiskFolder {
        DiskFolder { root: root.into(), open: Vec::new() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn file(&mut self, path: &str) -> io::Result<&File> {
        if self.opened(path).is_none() {
            self.named(path)?;
            let file = OpenOptions::new().read(true).write(true).open(self.root.join(path))?;
            self.open.push((path.to_owned(), file));
        }
        self.opened(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What lies under this name, which is no link to something elsewhere.
    fn named(&self, path: &str) -> io::Result<fs::Metadata> {
        let named = fs::symlink_metadata(self.root.join(path))?;
        match named.file_type() {
            kind if kind.is_symlink() => Err(io::Error::other("it is a symbolic link")),
            kind if kind.is_file() => Ok(named),
            _ => Err(no_file()),
        }
    }

    fn opened(&self, path: &str) -> Option<&File> {
        self.open.iter().find(|(name, _)| name == path).map(|(_, file)| file)
    }

    fn forget(&mut self, path: &str) {
        self.open.retain(|(name, _)| name != path);
    }
}

impl Folder for DiskFolder {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        read_file(&self.root.join(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<Item>> {
        let entries = match fs::read_dir(self.root.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut items = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            items.push(Item { name, length: (!metadata.is_dir()).then_some(metadata.len()) });
        }
        items.sort();
        Ok(items)
    }

    fn create(&mut self, path: &str) -> io::Result<()> {
        let full = self.root.join(path);
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder)?;
        }
        // Not emptied but removed: what lies there may be a link to something else.
        match fs::remove_file(&full) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(full)?;
        // Of the files in one folder, only the newest is written on.
        self.open.retain(|(name, _)| parent(name) != parent(path));
        self.open.push((path.to_owned(), file));
        Ok(())
    }

    fn write(&mut self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(path)?.write_all_at(bytes, at)
    }

    fn set_length(&mut self, path: &str, length: u64) -> io::Result<()> {
        self.file(path)?.set_len(length)
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.file(path)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        let to = self.root.join(to);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(self.root.join(from), to)
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.forget(path);
        fs::remove_file(self.root.join(path))?;
        if parent(path).ends_with(".p") {
            // Not empty: others are still in it.
            let _ = fs::remove_dir(self.root.join(parent(path)));
        }
        Ok(())
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        // The folders above too: they may have been made just now.
        let mut folder = self.root.join(path);
        loop {
            File::open(&folder)?.sync_all()?;
            if folder == self.root || !folder.pop() {
                break;
            }
        }
        match self.root.parent() {
            Some(above) if !above.as_os_str().is_empty() => File::open(above)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn linked(&self, path: &str) -> io::Result<u64> {
        let named = self.named(path)?;
        if let Some(file) = self.opened(path) {
            let opened = file.metadata()?;
            if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
                return Err(io::Error::other("another file lies in its place"));
            }
        }
        Ok(named.len())
    }

    fn mark(&self, path: &str) -> io::Result<Mark> {
        let file = self.named(path)?;
        Ok(Mark { length: file.len(), number: file.ino(), changed: (file.mtime(), file.mtime_nsec()) })
    }
}

/// Reads a file. What is none is refused before it is opened: a pipe would be waited for, and a device may never end.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    check_file(path)?;
    fs::read(path)
}

/// That a file lies there, or a link to one. A folder, whose content is not read either, is refused by the host.
pub(crate) fn check_file(path: &Path) -> io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() || kind.is_dir() { Ok(()) } else { Err(no_file()) }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file")
}

/// Reads what was named, a file or a pipe, and of that at most `limit` bytes.
pub(crate) fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
