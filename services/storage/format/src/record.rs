//! Keys and records as they lie in the engine. A key is the number of the namespace
//! (8 bytes, big-endian, so that what belongs together lies together), a byte that says
//! what it is, and the rest. Records are postcard.
//!
//! | byte | rest of the key | record |
//! |---|---|---|
//! | 0 | | [`Namespace`] |
//! | 1 | name | number of the namespace below |
//! | 2 | key of an object | [`File`], and behind it when it expires, if it does |
//! | 3 | folder (8 bytes), name | [`Node`] |
//! | 4 | content (8 bytes), index (4 bytes) | none; the bytes are in the extent. In namespace 0 |
//! | 5 | time (8 bytes), namespace (8 bytes), key of an object | none: the object expires then. In namespace 0 |
//! | 6 | | the last time at which something had expired. In namespace 0 |
//! | 7 | content (8 bytes) | none: its chunks belong to no file, or not yet. In namespace 0 |

use alloc::string::String;
use alloc::vec::Vec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest key of an object, in bytes.
pub const MAX_OBJECT_KEY: usize = 256;
/// The longest name in a path or of a namespace, in bytes.
pub const MAX_NAME: usize = 255;
/// Values up to this many bytes lie inside the tree.
pub const MAX_INLINE: usize = 1024;
/// What a namespace may hold if nobody says otherwise: 10 MiB.
pub const DEFAULT_QUOTA: u64 = 10 << 20;

/// Numbers of namespaces below this are for those that are there from the start.
pub const FIRST_FREE: u64 = 256;

const NAMESPACE: u8 = 0;
const CHILD: u8 = 1;
const OBJECT: u8 = 2;
const ENTRY: u8 = 3;
const CHUNK: u8 = 4;
const EXPIRY: u8 = 5;
const HORIZON: u8 = 6;
const LOOSE: u8 = 7;

/// A namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Namespace {
    /// The one above it; 0 for the root.
    pub parent: u64,
    /// Its name in that.
    pub name: String,
    /// Bytes of values and files, those of namespaces below included.
    pub bytes: u64,
    /// Objects, files, folders and namespaces, those below included.
    pub objects: u64,
    /// How many bytes there may be.
    pub quota: u64,
}

impl Namespace {
    /// How many objects there may be: one a quarter of a KiB of quota, at least 1,024.
    pub fn object_quota(&self) -> u64 {
        (self.quota / 256).max(1024)
    }
}

/// A value or a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct File {
    /// Bytes. Where the content is shorter, the rest is zero.
    pub size: u64,
    /// Number of the transaction that changed it last.
    pub version: u64,
    /// ns since 1970-01-01T00:00:00Z.
    pub modified: u64,
    /// Where its bytes are.
    pub content: Content,
}

/// Where the bytes of a file are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Content {
    /// Here.
    Inline(#[serde(with = "serde_bytes_vec")] Vec<u8>),
    /// In the extent of the same entry.
    Extent,
    /// In entries of their own, under this number.
    Chunks(u64),
}

/// A name in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Node {
    /// A file.
    File(File),
    /// A folder.
    Folder(Folder),
}

/// A folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Folder {
    /// Its number in the namespace; 0 is the namespace's own folder.
    pub number: u64,
    /// Number of the transaction that made it.
    pub version: u64,
    /// When that was; ns since 1970-01-01T00:00:00Z.
    pub modified: u64,
}

/// Bytes as a run of bytes, not a list of numbers: the same on the wire, quicker.
mod serde_bytes_vec {
    use alloc::vec::Vec;
    use core::fmt;
    use serde::de::{SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = sequence.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

fn key(namespace: u64, kind: u8, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = namespace.to_be_bytes().to_vec();
    key.push(kind);
    for part in rest {
        key.extend_from_slice(part);
    }
    key
}

/// Where a namespace's record lies.
pub fn namespace_key(namespace: u64) -> Vec<u8> {
    key(namespace, NAMESPACE, &[])
}

/// Where the number of the namespace `name` below `parent` lies.
pub fn child_key(parent: u64, name: &str) -> Vec<u8> {
    key(parent, CHILD, &[name.as_bytes()])
}

/// Behind the last child of a namespace.
pub fn children_end(parent: u64) -> Vec<u8> {
    key(parent, CHILD + 1, &[])
}

/// Where an object lies.
pub fn object_key(namespace: u64, object: &str) -> Vec<u8> {
    key(namespace, OBJECT, &[object.as_bytes()])
}

/// Behind the last object whose key begins with `prefix`.
pub fn objects_end(namespace: u64, prefix: &str) -> Vec<u8> {
    after_prefix(object_key(namespace, prefix))
}

/// Where a name in a folder lies.
pub fn entry_key(namespace: u64, folder: u64, name: &str) -> Vec<u8> {
    key(namespace, ENTRY, &[&folder.to_be_bytes(), name.as_bytes()])
}

/// Behind the last name in a folder.
pub fn entries_end(namespace: u64, folder: u64) -> Vec<u8> {
    after_prefix(entry_key(namespace, folder, ""))
}

/// Where a chunk lies.
pub fn chunk_key(content: u64, index: u32) -> Vec<u8> {
    key(0, CHUNK, &[&content.to_be_bytes(), &index.to_be_bytes()])
}

/// Behind the last chunk of a content.
pub fn chunks_end(content: u64) -> Vec<u8> {
    after_prefix(key(0, CHUNK, &[&content.to_be_bytes()]))
}

/// Where it is noted that an object expires at `time`, in ns since 1970.
pub fn expiry_key(time: u64, namespace: u64, object: &str) -> Vec<u8> {
    key(0, EXPIRY, &[&time.to_be_bytes(), &namespace.to_be_bytes(), object.as_bytes()])
}

/// Behind the last object that expires at `time` or before.
pub fn expiries_until(time: u64) -> Vec<u8> {
    after_prefix(key(0, EXPIRY, &[&time.to_be_bytes()]))
}

/// Time, namespace and key of an object that such a key notes.
pub fn expiry_of(key: &[u8]) -> Option<(u64, u64, &str)> {
    let rest = key.strip_prefix(&self::key(0, EXPIRY, &[])[..])?;
    let (time, rest) = rest.split_first_chunk()?;
    let (namespace, object) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*time), u64::from_be_bytes(*namespace), core::str::from_utf8(object).ok()?))
}

/// Where the last time lies at which something had expired.
pub fn horizon_key() -> Vec<u8> {
    key(0, HORIZON, &[])
}

/// Where it is noted that a content's chunks belong to no file.
pub fn loose_key(content: u64) -> Vec<u8> {
    key(0, LOOSE, &[&content.to_be_bytes()])
}

/// Before the first and behind the last such note.
pub fn all_loose() -> (Vec<u8>, Vec<u8>) {
    (key(0, LOOSE, &[]), key(0, LOOSE + 1, &[]))
}

/// The content that such a key notes.
pub fn loose_content(key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(&self::key(0, LOOSE, &[])[..])?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

/// Before the first and behind the last of all that is in a namespace, its record not included.
pub fn everything_in(namespace: u64) -> (Vec<u8>, Vec<u8>) {
    (key(namespace, CHILD, &[]), key(namespace + 1, NAMESPACE, &[]))
}

/// Whether a key of everything in a namespace is that of a namespace below.
pub fn is_child(key: &[u8]) -> bool {
    key.get(8) == Some(&CHILD)
}

/// Whether it is that of an object.
pub fn is_object(key: &[u8]) -> bool {
    key.get(8) == Some(&OBJECT)
}

/// What a key of the engine says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key<'a> {
    /// A namespace's record.
    Namespace(u64),
    /// The name of a namespace in another.
    Child {
        /// The other.
        parent: u64,
        /// Its name.
        name: &'a str,
    },
    /// An object.
    Object {
        /// Its namespace.
        namespace: u64,
        /// Its key.
        key: &'a str,
    },
    /// A name in a folder.
    Entry {
        /// The namespace.
        namespace: u64,
        /// The folder.
        folder: u64,
        /// The name.
        name: &'a str,
    },
    /// A chunk.
    Chunk {
        /// Its content.
        content: u64,
        /// Its place in that.
        index: u32,
    },
    /// An object expires.
    Expiry {
        /// Then, in ns since 1970.
        time: u64,
        /// Its namespace.
        namespace: u64,
        /// Its key.
        key: &'a str,
    },
    /// The last time at which something had expired.
    Horizon,
    /// A content belongs to no file.
    Loose(u64),
}

/// What a key of the engine says, if it is one of these.
pub fn parse(key: &[u8]) -> Option<Key<'_>> {
    let text = |bytes| core::str::from_utf8(bytes).ok();
    let (number, rest) = key.split_first_chunk()?;
    let number = u64::from_be_bytes(*number);
    let (kind, rest) = rest.split_first()?;
    Some(match (number, *kind) {
        (0, CHUNK) => {
            let (content, index) = rest.split_first_chunk()?;
            Key::Chunk { content: u64::from_be_bytes(*content), index: u32::from_be_bytes(index.try_into().ok()?) }
        }
        (0, EXPIRY) => expiry_of(key).map(|(time, namespace, key)| Key::Expiry { time, namespace, key })?,
        (0, HORIZON) if rest.is_empty() => Key::Horizon,
        (0, LOOSE) => Key::Loose(loose_content(key)?),
        (0, _) => return None,
        (_, NAMESPACE) if rest.is_empty() => Key::Namespace(number),
        (_, CHILD) => Key::Child { parent: number, name: text(rest)? },
        (_, OBJECT) => Key::Object { namespace: number, key: text(rest)? },
        (_, ENTRY) => {
            let (folder, name) = rest.split_first_chunk()?;
            Key::Entry { namespace: number, folder: u64::from_be_bytes(*folder), name: text(name)? }
        }
        _ => return None,
    })
}

/// What the user gave: the key of an object, the name in a folder, of a namespace.
pub fn name_of(key: &[u8]) -> String {
    let from = if key.get(8) == Some(&ENTRY) { 17 } else { 9 };
    String::from_utf8_lossy(key.get(from..).unwrap_or_default()).into_owned()
}

/// The first key that does not begin with `prefix` and comes after those that do.
fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xFF {
            prefix.push(last + 1);
            return prefix;
        }
    }
    prefix
}

/// A record as bytes.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    // Serialising to a vector has nothing to fail on: no maps, no unknown lengths.
    postcard::to_allocvec(record).unwrap_or_default()
}

/// An object's record as bytes. Without a time to expire at it is that of a file.
pub fn encode_object(file: &File, expires: Option<u64>) -> Vec<u8> {
    let mut bytes = encode(file);
    if let Some(expires) = expires {
        bytes.extend(encode(&expires));
    }
    bytes
}

/// An object's record, and when it expires, in ns since 1970, if it does.
pub fn decode_object(bytes: &[u8]) -> Option<(File, Option<u64>)> {
    let (file, rest) = postcard::take_from_bytes(bytes).ok()?;
    match rest {
        [] => Some((file, None)),
        rest => match postcard::take_from_bytes(rest).ok()? {
            (expires, []) => Some((file, Some(expires))),
            _ => None,
        },
    }
}

/// The record in these bytes, if it is one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;
    use storage_engine::{MAX_KEY, MAX_META};

    proptest! {
        #[test]
        fn garbage_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Namespace>(&bytes);
            let _ = decode::<File>(&bytes);
            let _ = decode::<Node>(&bytes);
            let _ = decode_object(&bytes);
            let _ = expiry_of(&bytes);
            let _ = parse(&bytes);
            let _ = name_of(&bytes);
        }

        #[test]
        fn a_prefix_ends_where_it_ends(prefix in "[a-c\u{10FFFF}]{0,6}", other in "[a-d\u{10FFFF}]{0,8}") {
            let (from, end) = (object_key(9, &prefix), objects_end(9, &prefix));
            let key = object_key(9, &other);
            prop_assert_eq!(from <= key && key < end, other.starts_with(&prefix));
        }
    }

    #[test]
    fn the_longest_fit_the_engine() {
        assert!(object_key(u64::MAX, &"x".repeat(MAX_OBJECT_KEY)).len() <= MAX_KEY);
        assert!(entry_key(u64::MAX, u64::MAX, &"x".repeat(MAX_NAME)).len() <= MAX_KEY);
        let file = File {
            size: u64::MAX,
            version: u64::MAX,
            modified: u64::MAX,
            content: Content::Inline(vec![0; MAX_INLINE]),
        };
        assert!(encode(&Node::File(file.clone())).len() <= MAX_META);
        assert_eq!(decode::<File>(&encode(&file)), Some(file.clone()));
        assert!(encode_object(&file, Some(u64::MAX)).len() <= MAX_META);
        for expires in [None, Some(0), Some(u64::MAX)] {
            assert_eq!(decode_object(&encode_object(&file, expires)), Some((file.clone(), expires)));
        }
        let long = "x".repeat(MAX_OBJECT_KEY);
        assert!(expiry_key(u64::MAX, u64::MAX, &long).len() <= MAX_KEY);
        assert_eq!(expiry_of(&expiry_key(7, 9, &long)), Some((7, 9, long.as_str())));
        assert_eq!(parse(&loose_key(u64::MAX)), Some(Key::Loose(u64::MAX)));
        assert_eq!(parse(&chunk_key(3, 4)), Some(Key::Chunk { content: 3, index: 4 }));
        assert_eq!(parse(&entry_key(3, 4, "n")), Some(Key::Entry { namespace: 3, folder: 4, name: "n" }));
        assert_eq!(parse(&child_key(3, "n")), Some(Key::Child { parent: 3, name: "n" }));
        assert_eq!(parse(&object_key(3, "n")), Some(Key::Object { namespace: 3, key: "n" }));
        assert_eq!(parse(&namespace_key(3)), Some(Key::Namespace(3)));
        assert_eq!(parse(&horizon_key()), Some(Key::Horizon));
        let space =
            Namespace { parent: 1, name: "x".repeat(MAX_NAME), bytes: u64::MAX, objects: u64::MAX, quota: u64::MAX };
        assert!(encode(&space).len() <= MAX_META);
    }
}
