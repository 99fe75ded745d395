//! The part of the tree that is being changed, in memory. Nodes on the way to a key
//! are loaded first (which needs the disk), then changed (which cannot fail), then
//! written to new pages when a commit freezes them; those never touched stay
//! pointers.

use crate::layout::{PAGE, Pointer, Run, hash};
use crate::node::{Body, Branch, CAPACITY, Entry, Node, Value, child_of};
use crate::space::Space;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

/// What leads to a node.
pub enum Child {
    /// On the disk, not changed.
    Stored(Pointer),
    /// In memory.
    Loaded(Box<Loaded>),
}

/// A node in memory.
pub struct Loaded {
    level: u8,
    body: Body<Child>,
    /// Where it lies on the disk, if it does.
    origin: Option<Pointer>,
    changed: bool,
}

impl Loaded {
    fn new(level: u8, body: Body<Child>) -> Box<Loaded> {
        Box::new(Loaded { level, body, origin: None, changed: true })
    }

    fn is_small(&self) -> bool {
        self.body.size() < CAPACITY / 3
    }
}

/// Where a search in memory ended.
pub enum Found {
    /// In a loaded leaf, which has it or not.
    Value(Option<Rc<Value>>),
    /// At a node that is not in memory; the answer lies below it.
    Below(Pointer),
}

/// What a commit writes.
pub struct Frozen {
    /// The new root.
    pub root: Option<Pointer>,
    /// The nodes with their page and its copy.
    pub nodes: Vec<(Pointer, Rc<Node>)>,
    /// The bytes to write, by first page, in ascending order, joined where adjacent.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// Pages that the new tree takes.
    pub taken: Vec<Run>,
    /// Pages that it no longer has.
    pub dropped: Vec<Run>,
}

/// The tree that transactions change.
pub struct Tree {
    root: Option<Child>,
    /// Upper bound of the nodes in memory.
    loaded: usize,
    dropped: Vec<Run>,
}

/// One leaf's worth of entries, and the lowest key that may lie behind it.
pub type Stretch = (Vec<Entry>, Option<Rc<[u8]>>);

/// Where a search for a leaf in memory ended.
pub enum Leaf {
    /// The entries, and the lowest key behind the leaf.
    Entries(Stretch),
    /// At a node that is not in memory, with the lowest key behind it.
    Below(Pointer, Option<Rc<[u8]>>),
}

fn drop_pointer(dropped: &mut Vec<Run>, pointer: Pointer) {
    dropped.push(Run { page: pointer.page, count: 1 });
    dropped.push(Run { page: pointer.copy, count: 1 });
}

impl Tree {
    /// The tree as it is on the disk.
    pub fn new(root: Option<Pointer>) -> Tree {
        Tree { root: root.map(Child::Stored), loaded: 0, dropped: Vec::new() }
    }

    /// The most nodes that a commit of this tree would write, if `bytes` more were put in.
    pub fn node_bound(&self, bytes: usize) -> u64 {
        (self.loaded + bytes.div_ceil(CAPACITY / 3) + 4) as u64
    }

    /// A node on the way to `key` that is not in memory; its neighbours too if
    /// `neighbours`, so that a node that becomes small can be joined with one.
    pub fn missing(&self, key: &[u8], neighbours: bool) -> Option<Pointer> {
        let mut child = self.root.as_ref()?;
        loop {
            let loaded = match child {
                Child::Stored(pointer) => return Some(*pointer),
                Child::Loaded(loaded) => loaded,
            };
            let Body::Branch(children) = &loaded.body else { return None };
            let at = child_of(children, key);
            if neighbours {
                let beside = if at > 0 { at - 1 } else { at + 1 };
                if let Some(Branch { child: Child::Stored(pointer), .. }) = children.get(beside) {
                    return Some(*pointer);
                }
            }
            child = &children[at].child;
        }
    }

    /// Puts a node that [`Tree::missing`] named for this key into memory.
    pub fn fill(&mut self, key: &[u8], pointer: &Pointer, node: &Node) {
        let mut child = match self.root.as_mut() {
            Some(child) => child,
            None => return,
        };
        loop {
            let here = matches!(child, Child::Stored(stored) if stored == pointer);
            if here {
                *child = Child::Loaded(Box::new(Loaded {
                    level: node.level,
                    body: match &node.body {
                        Body::Leaf(entries) => Body::Leaf(entries.clone()),
                        Body::Branch(children) => Body::Branch(
                            children
                                .iter()
                                .map(|branch| Branch { key: branch.key.clone(), child: Child::Stored(branch.child) })
                                .collect(),
                        ),
                    },
                    origin: Some(*pointer),
                    changed: false,
                }));
                self.loaded += 1;
                return;
            }
            let Child::Loaded(loaded) = child else { return };
            let Body::Branch(children) = &mut loaded.body else { return };
            let at = child_of(children, key);
            let beside = [at.wrapping_sub(1), at + 1]
                .into_iter()
                .find(|&beside| matches!(children.get(beside), Some(Branch { child: Child::Stored(stored), .. }) if stored == pointer));
            child = &mut children[beside.unwrap_or(at)].child;
        }
    }

    /// Looks `key` up as far as memory goes.
    pub fn find(&self, key: &[u8]) -> Found {
        let Some(mut child) = self.root.as_ref() else { return Found::Value(None) };
        loop {
            match child {
                Child::Stored(pointer) => return Found::Below(*pointer),
                Child::Loaded(loaded) => match &loaded.body {
                    Body::Leaf(entries) => {
                        let at = entries.binary_search_by(|entry| (*entry.key).cmp(key));
                        return Found::Value(at.ok().map(|at| entries[at].value.clone()));
                    }
                    Body::Branch(children) => child = &children[child_of(children, key)].child,
                },
            }
        }
    }

    /// The leaf in which `key` lies, as far as memory goes.
    pub fn leaf(&self, key: &[u8]) -> Leaf {
        let Some(mut child) = self.root.as_ref() else { return Leaf::Entries((Vec::new(), None)) };
        let mut bound = None;
        loop {
            match child {
                Child::Stored(pointer) => return Leaf::Below(*pointer, bound),
                Child::Loaded(loaded) => match &loaded.body {
                    Body::Leaf(entries) => {
                        let from = entries.partition_point(|entry| *entry.key < *key);
                        return Leaf::Entries((entries[from..].to_vec(), bound));
                    }
                    Body::Branch(children) => {
                        let at = child_of(children, key);
                        if let Some(next) = children.get(at + 1) {
                            bound = Some(next.key.clone());
                        }
                        child = &children[at].child;
                    }
                },
            }
        }
    }

    /// Puts a value under a key whose way is loaded; returns what was there.
    pub fn insert(&mut self, key: Rc<[u8]>, value: Rc<Value>) -> Option<Rc<Value>> {
        let Some(root) = self.root.as_mut() else {
            self.root = Some(Child::Loaded(Loaded::new(0, Body::Leaf(vec![Entry { key, value }]))));
            self.loaded += 1;
            return None;
        };
        let Child::Loaded(loaded) = root else { return None };
        let mut replaced = None;
        let split = insert(loaded, key, value, &mut replaced, &mut self.loaded);
        if let Some(right) = split {
            let level = loaded.level + 1;
            if let Some(left) = self.root.take() {
                let left = Branch { key: Rc::from([].as_slice()), child: left };
                self.root = Some(Child::Loaded(Loaded::new(level, Body::Branch(vec![left, right]))));
                self.loaded += 1;
            }
        }
        replaced
    }

    /// Takes away what is under a key whose way is loaded; returns it.
    pub fn remove(&mut self, key: &[u8]) -> Option<Rc<Value>> {
        let Some(Child::Loaded(root)) = self.root.as_mut() else { return None };
        let removed = remove(root, key, &mut self.dropped)?;
        while let Some(Child::Loaded(root)) = self.root.as_mut() {
            let next = match &mut root.body {
                Body::Leaf(entries) if entries.is_empty() => None,
                Body::Branch(children) if children.is_empty() => None,
                Body::Branch(children) if children.len() == 1 => children.pop().map(|only| only.child),
                _ => break,
            };
            if let Some(origin) = root.origin {
                drop_pointer(&mut self.dropped, origin);
            }
            self.root = next;
        }
        Some(removed)
    }

    /// The pages of an extent that the tree no longer refers to.
    pub fn drop_runs(&mut self, runs: &[Run]) {
        self.dropped.extend_from_slice(runs);
    }

    /// Gives every changed node new pages and makes the whole a tree of pointers
    /// again. `None`, and nothing changed, if the disk has not enough free pages.
    pub fn freeze(&mut self, generation: u64, space: &mut Space) -> Option<Frozen> {
        fn changed(child: &Child) -> u64 {
            match child {
                Child::Stored(_) => 0,
                Child::Loaded(loaded) => {
                    let below = match &loaded.body {
                        Body::Leaf(_) => 0,
                        Body::Branch(children) => children.iter().map(|branch| changed(&branch.child)).sum(),
                    };
                    below + u64::from(loaded.changed)
                }
            }
        }
        let count = self.root.as_ref().map_or(0, changed);
        let taken = space.allocate(2 * count)?;
        let pages: Vec<u64> = taken.iter().flat_map(|run| run.page..run.page + run.count).collect();
        let (first, second) = pages.split_at(count as usize);
        let mut freezing = Freezing {
            generation,
            pages: first.iter().zip(second),
            nodes: Vec::new(),
            bytes: Vec::new(),
            dropped: Vec::new(),
        };
        let root = self.root.take().and_then(|root| freezing.child(root));
        let Freezing { nodes, mut bytes, mut dropped, .. } = freezing;
        dropped.append(&mut self.dropped);
        bytes.sort_unstable_by_key(|(page, _)| *page);
        let mut writes: Vec<(u64, Vec<u8>)> = Vec::new();
        for (page, content) in bytes {
            match writes.last_mut() {
                Some((start, joined)) if *start + (joined.len() / PAGE) as u64 == page => {
                    joined.extend_from_slice(&content)
                }
                _ => writes.push((page, content.to_vec())),
            }
        }
        self.root = root.map(Child::Stored);
        self.loaded = 0;
        Some(Frozen { root, nodes, writes, taken, dropped })
    }
}

struct Freezing<'a> {
    generation: u64,
    pages: core::iter::Zip<core::slice::Iter<'a, u64>, core::slice::Iter<'a, u64>>,
    nodes: Vec<(Pointer, Rc<Node>)>,
    bytes: Vec<(u64, Rc<[u8]>)>,
    dropped: Vec<Run>,
}

impl Freezing<'_> {
    /// The pointer to a child that is on the disk when the commit is.
    fn child(&mut self, child: Child) -> Option<Pointer> {
        let loaded = match child {
            Child::Stored(pointer) => return Some(pointer),
            Child::Loaded(loaded) => *loaded,
        };
        if !loaded.changed {
            return loaded.origin;
        }
        if let Some(origin) = loaded.origin {
            drop_pointer(&mut self.dropped, origin);
        }
        let body = match loaded.body {
            Body::Leaf(entries) => Body::Leaf(entries),
            Body::Branch(children) => Body::Branch(
                children
                    .into_iter()
                    .filter_map(|branch| Some(Branch { key: branch.key, child: self.child(branch.child)? }))
                    .collect(),
            ),
        };
        let node = Node { level: loaded.level, generation: self.generation, body };
        let bytes: Rc<[u8]> = node.encode().into();
        // That the keys of a branch ascend depends on all that was ever changed in it.
        debug_assert!(
            node.level == 0 || Node::decode(&bytes).as_ref() == Some(&node),
            "a node is written that is not read back"
        );
        let (&page, &copy) = self.pages.next()?;
        let pointer = Pointer { page, copy, generation: self.generation, hash: hash(&bytes) };
        self.bytes.push((page, bytes.clone()));
        self.bytes.push((copy, bytes));
        self.nodes.push((pointer, Rc::new(node)));
        Some(pointer)
    }
}

fn insert(
    node: &mut Loaded,
    key: Rc<[u8]>,
    value: Rc<Value>,
    replaced: &mut Option<Rc<Value>>,
    loaded: &mut usize,
) -> Option<Branch<Child>> {
    match &mut node.body {
        Body::Leaf(entries) => match entries.binary_search_by(|entry| entry.key.cmp(&key)) {
            Ok(at) => *replaced = Some(core::mem::replace(&mut entries[at].value, value)),
            Err(at) => entries.insert(at, Entry { key, value }),
        },
        Body::Branch(children) => {
            let at = child_of(children, &key);
            // The first child takes what lies before it, and its key is then lower: a part of it that is split off
            // stands behind it.
            if key < children[at].key {
                children[at].key = key.clone();
            }
            if let Child::Loaded(child) = &mut children[at].child
                && let Some(right) = insert(child, key, value, replaced, loaded)
            {
                children.insert(at + 1, right);
            }
        }
    }
    node.changed = true;
    if node.body.size() <= CAPACITY {
        return None;
    }
    *loaded += 1;
    let (key, body) = match &mut node.body {
        Body::Leaf(entries) => {
            let right = entries.split_off(middle(entries.iter().map(Entry::size)));
            (separator(&entries[entries.len() - 1].key, &right[0].key), Body::Leaf(right))
        }
        Body::Branch(children) => {
            let right = children.split_off(middle(children.iter().map(Branch::size)));
            (right[0].key.clone(), Body::Branch(right))
        }
    };
    Some(Branch { key, child: Child::Loaded(Loaded::new(node.level, body)) })
}

/// The shortest key that is above `left` and not above `right`.
fn separator(left: &[u8], right: &[u8]) -> Rc<[u8]> {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    right[..(common + 1).min(right.len())].into()
}

/// The index at which a list of sizes splits into halves as equal as can be;
/// neither is empty.
fn middle(sizes: impl Iterator<Item = usize> + Clone) -> usize {
    let total: usize = sizes.clone().sum();
    let mut left: usize = 0;
    let mut best = (usize::MAX, 1);
    for (index, size) in sizes.enumerate() {
        if index > 0 {
            best = best.min((left.abs_diff(total - left), index));
        }
        left += size;
    }
    best.1
}

fn remove(node: &mut Loaded, key: &[u8], dropped: &mut Vec<Run>) -> Option<Rc<Value>> {
    let removed = match &mut node.body {
        Body::Leaf(entries) => {
            let at = entries.binary_search_by(|entry| (*entry.key).cmp(key)).ok()?;
            entries.remove(at).value
        }
        Body::Branch(children) => {
            let at = child_of(children, key);
            let Child::Loaded(child) = &mut children[at].child else { return None };
            let removed = remove(child, key, dropped)?;
            let is_empty = match &child.body {
                Body::Leaf(entries) => entries.is_empty(),
                Body::Branch(children) => children.is_empty(),
            };
            if is_empty {
                if let Some(origin) = child.origin {
                    drop_pointer(dropped, origin);
                }
                children.remove(at);
            } else if child.is_small() {
                join(children, at, dropped);
            }
            removed
        }
    };
    node.changed = true;
    Some(removed)
}

/// Joins a small child with a neighbour that is in memory, if both fit one page
/// with room to spare.
fn join(children: &mut Vec<Branch<Child>>, at: usize, dropped: &mut Vec<Run>) {
    for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
        let pair = children.get(left..left + 2);
        let Some([Branch { child: Child::Loaded(a), .. }, Branch { child: Child::Loaded(b), .. }]) = pair else {
            continue;
        };
        if a.body.size() + b.body.size() > CAPACITY * 3 / 4 {
            continue;
        }
        let right = children.remove(left + 1);
        let Child::Loaded(right_node) = right.child else { return };
        if let Some(origin) = right_node.origin {
            drop_pointer(dropped, origin);
        }
        let Child::Loaded(left_node) = &mut children[left].child else { return };
        match (&mut left_node.body, right_node.body) {
            (Body::Leaf(entries), Body::Leaf(more)) => entries.extend(more),
            (Body::Branch(below), Body::Branch(mut more)) => {
                // The first child of a node takes any lower key; beside others it
                // needs the bound that its parent had for it.
                if let Some(first) = more.first_mut() {
                    first.key = right.key;
                }
                below.extend(more);
            }
            _ => {}
        }
        left_node.changed = true;
        return;
    }
}
