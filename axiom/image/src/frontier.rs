//! The tree over the headers (RFC 6962), as much of it as appending and the root need: the roots of the
//! full subtrees that it is made of, at most one of each size.

use alloc::vec::Vec;
use axiom::header::Hash;
use axiom::tree::{node_hash, root_of};

/// A tree that is appended to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// For each bit that is set in `size`, the highest first: the root of a subtree of so many leaves.
    roots: Vec<Hash>,
}

impl Frontier {
    /// A tree without leaves.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// The tree of `size` leaves whose full subtrees, the largest first, have these roots; `None` if a tree of that
    /// size has not as many.
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Frontier> {
        (size.count_ones() as usize == roots.len()).then_some(Frontier { size, roots })
    }

    /// Leaves in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its full subtrees, the largest first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.roots.capacity() * size_of::<Hash>()
    }

    /// Appends a leaf, given its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(&last) = roots.next() else {
            return root_of(&[]);
        };
        roots.fold(last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::Frontier;
    use axiom::tree::{leaf_hash, root_of};

    /// Given a frontier, when leaves are appended, then its root is at every size what RFC 6962 says.
    #[test]
    fn the_root_is_that_of_the_whole_tree_at_every_size() {
        let mut frontier = Frontier::new();
        let mut leaves = alloc::vec::Vec::new();
        for number in 0..300u32 {
            assert_eq!(frontier.root(), root_of(&leaves), "{number} leaves");
            let again = Frontier::from_parts(frontier.size(), frontier.roots().to_vec());
            assert_eq!(again.as_ref(), Some(&frontier));
            leaves.push(leaf_hash(&number.to_le_bytes()));
            frontier.push(leaves[number as usize]);
        }
        assert_eq!(Frontier::from_parts(3, leaves[..1].to_vec()), None);
    }
}
