//! What a key of the engine stands for, in words: what a check names.

use crate::record::{self, Key};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

/// Names of what only numbers say in a key.
#[derive(Clone, Default, Debug)]
pub struct Names {
    /// Paths of namespaces by their numbers, as `root/user`.
    pub namespaces: BTreeMap<u64, String>,
    /// Paths of folders in them, by namespace and folder, as `/notes/old`.
    pub folders: BTreeMap<(u64, u64), String>,
    /// What has a content, in words.
    pub contents: BTreeMap<u64, String>,
}

impl Names {
    /// The path of a namespace, or its number.
    pub fn namespace(&self, number: u64) -> String {
        self.namespaces.get(&number).cloned().unwrap_or_else(|| format!("namespace {number}"))
    }

    /// The path of a file or folder.
    pub fn path(&self, namespace: u64, folder: u64, name: &str) -> String {
        match self.folders.get(&(namespace, folder)) {
            Some(above) => format!("{}/{name}", above.trim_end_matches('/')),
            None if folder == 0 => format!("/{name}"),
            None => format!("(folder {folder})/{name}"),
        }
    }

    /// What lies under a key of the engine.
    pub fn of(&self, key: &[u8]) -> String {
        match record::parse(key) {
            Some(Key::Namespace(number)) => format!("the record of namespace {}", self.namespace(number)),
            Some(Key::Child { parent, name }) => format!("the name of namespace {}/{name}", self.namespace(parent)),
            Some(Key::Object { namespace, key }) => format!("object `{key}` of {}", self.namespace(namespace)),
            Some(Key::Entry { namespace, folder, name }) => {
                format!("file `{}` of {}", self.path(namespace, folder, name), self.namespace(namespace))
            }
            Some(Key::Chunk { content, index }) => match self.contents.get(&content) {
                Some(owner) => format!("{owner}, bytes {} on", u64::from(index) * storage_engine::MAX_CHUNK as u64),
                None => format!("a chunk of content {content}, which belongs to nothing"),
            },
            Some(Key::Expiry { namespace, key, .. }) => {
                format!("the note when object `{key}` of {} expires", self.namespace(namespace))
            }
            Some(Key::Horizon) => "the note of the last time".to_string(),
            Some(Key::Loose(content)) => format!("the note that content {content} belongs to nothing"),
            None => format!("something unknown ({} bytes of key)", key.len()),
        }
    }
}
