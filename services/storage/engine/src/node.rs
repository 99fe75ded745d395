//! Pages of the tree. A leaf has entries in the order of their keys; a branch has,
//! for each child, the lowest key that may lie in it (of the first child: any lower
//! key belongs to it too).
//!
//! | bytes | |
//! |---|---|
//! | 0-3 | `node` |
//! | 4 | level, 0 for a leaf |
//! | 6-7 | number of entries |
//! | 8-15 | generation of the commit that wrote it |
//! | 16- | entries; the rest is zero |
//!
//! Entry of a leaf: length of key u16, length of meta u16, 1 if there is an extent
//! u8, key, meta, extent. Entry of a branch: length of key u16, key, pointer.

use crate::layout::{Extent, MAX_KEY, MAX_META, PAGE, Pointer, array};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Bytes before the first entry.
pub const HEADER: usize = 16;
/// Bytes for entries in a page.
pub const CAPACITY: usize = PAGE - HEADER;
const MAGIC: [u8; 4] = *b"node";

/// What lies under a key: a little inside the tree, the rest outside.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Value {
    /// At most [`MAX_META`] bytes.
    pub meta: Vec<u8>,
    /// More bytes, outside the tree.
    pub extent: Option<Extent>,
}

/// A key and what lies under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// At most [`MAX_KEY`] bytes.
    pub key: Rc<[u8]>,
    /// What lies under it.
    pub value: Rc<Value>,
}

/// A child of a branch. `C` is what leads to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Branch<C> {
    /// The lowest key in it.
    pub key: Rc<[u8]>,
    /// What leads to it.
    pub child: C,
}

/// What a node holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body<C> {
    /// Entries, in the order of their keys.
    Leaf(Vec<Entry>),
    /// Children, in the order of their keys.
    Branch(Vec<Branch<C>>),
}

impl Entry {
    /// Encoded size in bytes.
    pub fn size(&self) -> usize {
        5 + self.key.len() + self.value.meta.len() + self.value.extent.as_ref().map_or(0, Extent::size)
    }
}

impl<C> Branch<C> {
    /// Encoded size in bytes.
    pub fn size(&self) -> usize {
        2 + self.key.len() + Pointer::SIZE
    }
}

impl<C> Body<C> {
    /// Encoded size of the entries in bytes.
    pub fn size(&self) -> usize {
        match self {
            Body::Leaf(entries) => entries.iter().map(Entry::size).sum(),
            Body::Branch(children) => children.iter().map(Branch::size).sum(),
        }
    }
}

/// The child in which `key` lies.
pub fn child_of<C>(children: &[Branch<C>], key: &[u8]) -> usize {
    children.partition_point(|child| *child.key <= *key).saturating_sub(1)
}

/// A node as it is on the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Distance from the leaves.
    pub level: u8,
    /// The commit that wrote it.
    pub generation: u64,
    /// What it holds.
    pub body: Body<Pointer>,
}

impl Node {
    /// The page. The body must fit [`CAPACITY`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE);
        out.extend_from_slice(&MAGIC);
        out.push(self.level);
        out.push(0);
        let count = match &self.body {
            Body::Leaf(entries) => entries.len(),
            Body::Branch(children) => children.len(),
        };
        out.extend_from_slice(&(count as u16).to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        match &self.body {
            Body::Leaf(entries) => {
                for entry in entries {
                    out.extend_from_slice(&(entry.key.len() as u16).to_le_bytes());
                    out.extend_from_slice(&(entry.value.meta.len() as u16).to_le_bytes());
                    out.push(u8::from(entry.value.extent.is_some()));
                    out.extend_from_slice(&entry.key);
                    out.extend_from_slice(&entry.value.meta);
                    if let Some(extent) = &entry.value.extent {
                        extent.encode(&mut out);
                    }
                }
            }
            Body::Branch(children) => {
                for branch in children {
                    out.extend_from_slice(&(branch.key.len() as u16).to_le_bytes());
                    out.extend_from_slice(&branch.key);
                    branch.child.encode(&mut out);
                }
            }
        }
        debug_assert!(out.len() <= PAGE);
        out.resize(PAGE, 0);
        out
    }

    /// The node in `page`, if it is one. Whatever the bytes are, this only says yes or no.
    pub fn decode(page: &[u8]) -> Option<Node> {
        if page.len() != PAGE || array(page, 0) != Some(MAGIC) {
            return None;
        }
        let level = page[4];
        let count = u16::from_le_bytes(array(page, 6)?) as usize;
        let generation = u64::from_le_bytes(array(page, 8)?);
        let mut at = HEADER;
        let body = if level == 0 {
            let mut entries: Vec<Entry> = Vec::with_capacity(count.min(PAGE / 5));
            for _ in 0..count {
                let key_length = u16::from_le_bytes(array(page, at)?) as usize;
                let meta_length = u16::from_le_bytes(array(page, at + 2)?) as usize;
                let has_extent = *page.get(at + 4)?;
                if key_length > MAX_KEY || meta_length > MAX_META || has_extent > 1 {
                    return None;
                }
                at += 5;
                let key = page.get(at..at + key_length)?;
                at += key_length;
                let meta = page.get(at..at + meta_length)?.to_vec();
                at += meta_length;
                let extent = if has_extent == 1 {
                    let (extent, end) = Extent::decode(page, at)?;
                    at = end;
                    Some(extent)
                } else {
                    None
                };
                if entries.last().is_some_and(|last| *last.key >= *key) {
                    return None;
                }
                entries.push(Entry { key: key.into(), value: Rc::new(Value { meta, extent }) });
            }
            Body::Leaf(entries)
        } else {
            let mut children: Vec<Branch<Pointer>> = Vec::with_capacity(count.min(PAGE / Pointer::SIZE));
            for _ in 0..count {
                let key_length = u16::from_le_bytes(array(page, at)?) as usize;
                if key_length > MAX_KEY {
                    return None;
                }
                at += 2;
                let key = page.get(at..at + key_length)?;
                at += key_length;
                let child = Pointer::decode(page, at)?;
                at += Pointer::SIZE;
                match children.as_mut_slice() {
                    // Nothing is held against the first key, and what wrote it may have left it as it was when a lower one came.
                    [first] if *first.key >= *key && !key.is_empty() => first.key = [].into(),
                    [.., last] if *last.key >= *key => return None,
                    _ => {}
                }
                children.push(Branch { key: key.into(), child });
            }
            if children.is_empty() {
                return None;
            }
            Body::Branch(children)
        };
        Some(Node { level, generation, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{NotSuperblock, Run, Superblock};
    use alloc::vec;
    use proptest::prelude::*;

    fn leaf() -> impl Strategy<Value = Node> {
        let extent = (1u32..=15 * 4096, any::<u64>()).prop_map(|(length, page)| Extent {
            length,
            hash: [7; 32],
            runs: vec![Run { page: page >> 8, count: Extent::pages(length as usize) as u64 }],
        });
        let value = (prop::collection::vec(any::<u8>(), 0..80), prop::option::of(extent));
        prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..40), value, 0..15).prop_map(|map| Node {
            level: 0,
            generation: 9,
            body: Body::Leaf(
                map.into_iter()
                    .map(|(key, (meta, extent))| Entry { key: key.into(), value: Rc::new(Value { meta, extent }) })
                    .collect(),
            ),
        })
    }

    fn branch() -> impl Strategy<Value = Node> {
        prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..40), any::<u64>(), 1..30).prop_map(|map| {
            let pointer = |page| Pointer { page, copy: page ^ 1, generation: page, hash: [page as u8; 32] };
            let children =
                map.into_iter().map(|(key, page)| Branch { key: key.into(), child: pointer(page) }).collect();
            Node { level: 3, generation: 1, body: Body::Branch(children) }
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(node in prop_oneof![leaf(), branch()]) {
            prop_assert_eq!(Node::decode(&node.encode()), Some(node));
        }

        #[test]
        fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..4200), magic: bool, level in 0u8..3) {
            if magic && bytes.len() >= 8 {
                bytes.resize(PAGE, 0xFF);
                bytes[..4].copy_from_slice(b"node");
                bytes[4] = level;
                bytes[7] = 0;
            }
            let _ = Node::decode(&bytes);
            let _ = Extent::decode(&bytes, 0);
            let _ = Pointer::decode(&bytes, 3);
            let _ = Superblock::decode(&bytes);
        }

        #[test]
        fn a_changed_page_decodes_to_something_or_nothing(node in leaf(), at in 0usize..PAGE, bit in 0u8..8) {
            let mut page = node.encode();
            page[at] ^= 1 << bit;
            let _ = Node::decode(&page);
        }

        #[test]
        fn a_flipped_superblock_is_refused(generation in 0..=u64::MAX / 2, sealed: bool, at in 0usize..512, bit in 0u8..8) {
            let block = Superblock { pages: 64, disk: [3; 16], generation, sequence: 5, sealed, root: None };
            let mut bytes = block.encode();
            prop_assert_eq!(Superblock::decode(&bytes), Ok(block));
            bytes[at] ^= 1 << bit;
            prop_assert!(matches!(Superblock::decode(&bytes), Err(NotSuperblock::Damaged | NotSuperblock::Foreign)));
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes =
            Superblock { pages: 64, disk: [3; 16], generation: 1, sequence: 5, sealed: false, root: None }.encode();
        bytes[8] = 2;
        let sum = crate::layout::hash(&bytes[..480]);
        bytes[480..].copy_from_slice(&sum);
        assert_eq!(Superblock::decode(&bytes), Err(NotSuperblock::Version(2)));
        assert_eq!(Superblock::decode(&[0; 512]), Err(NotSuperblock::Empty));
    }

    #[test]
    fn keys_out_of_order_are_refused() {
        let entry = |key: &[u8]| Entry { key: key.into(), value: Rc::new(Value::default()) };
        let page = Node { level: 0, generation: 1, body: Body::Leaf(vec![entry(b"b"), entry(b"a")]) }.encode();
        assert_eq!(Node::decode(&page), None);
    }
}
