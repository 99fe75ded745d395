//! Reading everything that the last commit refers to, both copies of each node and
//! every extent, to find what is damaged before someone needs it.

use crate::device::BlockDevice;
use crate::mount::Below;
use crate::node::Body;
use crate::store::Store;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Something that cannot be read, or not from both places.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Damage {
    /// The bytes of this entry; its key and what is inside the tree are sound.
    Value {
        /// The key.
        key: Rc<[u8]>,
    },
    /// All entries from one key on, before another (none: to the end).
    Keys {
        /// The first key that may be lost.
        from: Rc<[u8]>,
        /// The first that is not.
        to: Option<Rc<[u8]>>,
    },
    /// One of two copies of a node. Nothing is lost; the next mount mends it.
    Copy {
        /// The page.
        page: u64,
    },
}

/// What a check has read and found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Nodes of the tree.
    pub nodes: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes in extents.
    pub bytes: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl<D: BlockDevice> Store<D> {
    /// Reads everything as the last commit has it; others go on meanwhile.
    pub async fn check(&self) -> Checked {
        self.check_each(|_| ()).await
    }

    /// [`Store::check`] that tells after each node what it has read so far.
    pub async fn check_each(&self, mut progress: impl FnMut(&Checked)) -> Checked {
        let snapshot = self.snapshot();
        let mut checked = Checked::default();
        let mut stack: Vec<Below> = snapshot.root().map(Below::root).into_iter().collect();
        while let Some(below) = stack.pop() {
            let pointer = below.pointer;
            let first = self.read_copy(pointer.page, &pointer).await.ok().flatten();
            let second = self.read_copy(pointer.copy, &pointer).await.ok().flatten();
            for (copy, page) in [(&first, pointer.page), (&second, pointer.copy)] {
                if copy.is_none() {
                    checked.damage.push(Damage::Copy { page });
                }
            }
            let Some(node) = first.or(second) else {
                checked.damage.push(below.damage());
                continue;
            };
            checked.nodes += 1;
            progress(&checked);
            match node.body {
                Body::Leaf(entries) => {
                    for entry in entries {
                        checked.entries += 1;
                        if let Some(extent) = &entry.value.extent {
                            checked.bytes += u64::from(extent.length);
                            if snapshot.read(extent).await.is_err() {
                                checked.damage.push(Damage::Value { key: entry.key });
                            }
                        }
                    }
                }
                Body::Branch(children) => {
                    for (at, branch) in children.iter().enumerate().rev() {
                        stack.push(Below {
                            pointer: branch.child,
                            level: Some(node.level),
                            from: if at == 0 { below.from.clone() } else { branch.key.clone() },
                            to: children.get(at + 1).map(|next| next.key.clone()).or_else(|| below.to.clone()),
                        });
                    }
                }
            }
        }
        checked
    }
}
