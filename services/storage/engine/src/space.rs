//! Which pages are free, and when a freed one may be used again: not before the
//! commit that dropped it is durable, and not while a reader still looks at a tree
//! that has it. The map lives in memory; mounting rebuilds it from the tree.

use crate::layout::{Extent, FIRST_PAGE, Pointer, Run};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

/// The pages of a disk.
pub struct Space {
    /// One bit a page; set is in use.
    used: Vec<u64>,
    pages: u64,
    free: u64,
    /// Where the next search begins.
    cursor: u64,
    /// Pages that trees before a generation may still have.
    leaving: VecDeque<(u64, Vec<Run>)>,
    /// Pages in `leaving`.
    leaving_pages: u64,
    /// Readers of each generation.
    readers: BTreeMap<u64, usize>,
    /// Something referred to a page that is another's or outside the disk, as only somebody else writes it; or a part of
    /// the tree could not be read. Who refers to what cannot be told: the disk is read, and nothing is written to it or freed.
    disputed: bool,
}

/// A page is outside the disk or in use already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overlap;

impl Space {
    /// A disk of so many pages with nothing on it but superblocks.
    pub fn new(pages: u64) -> Space {
        let mut space = Space {
            used: vec![0; pages.div_ceil(64) as usize],
            pages,
            free: pages,
            cursor: FIRST_PAGE,
            leaving: VecDeque::new(),
            leaving_pages: 0,
            readers: BTreeMap::new(),
            disputed: false,
        };
        for page in 0..FIRST_PAGE.min(pages) {
            space.set(page);
        }
        space
    }

    /// Pages that could be allocated now.
    pub fn free(&self) -> u64 {
        if self.disputed { 0 } else { self.free }
    }

    /// Pages that will be free when the commit under way is durable and its readers are gone.
    pub fn leaving(&self) -> u64 {
        self.leaving_pages
    }

    /// From now on nothing is freed or given.
    pub fn dispute(&mut self) {
        self.disputed = true;
    }

    /// Whether this disk is only read.
    pub fn is_disputed(&self) -> bool {
        self.disputed
    }

    fn is_used(&self, page: u64) -> bool {
        self.used[(page / 64) as usize] >> (page % 64) & 1 == 1
    }

    fn set(&mut self, page: u64) {
        self.used[(page / 64) as usize] |= 1 << (page % 64);
        self.free -= 1;
    }

    /// Marks a page that the tree refers to.
    pub fn claim(&mut self, page: u64) -> Result<(), Overlap> {
        if page < FIRST_PAGE || page >= self.pages || self.is_used(page) {
            self.dispute();
            return Err(Overlap);
        }
        self.set(page);
        Ok(())
    }

    /// Marks the pages of a node, all or none.
    pub fn claim_pointer(&mut self, pointer: &Pointer) -> Result<(), Overlap> {
        self.claim(pointer.page)?;
        self.claim(pointer.copy).inspect_err(|_| self.release_page(pointer.page))
    }

    /// Marks the pages of an extent, all or none.
    pub fn claim_extent(&mut self, extent: &Extent) -> Result<(), Overlap> {
        let mut claimed = Vec::new();
        for run in &extent.runs {
            for page in run.page..run.page.saturating_add(run.count) {
                if let Err(overlap) = self.claim(page) {
                    for page in claimed {
                        self.release_page(page);
                    }
                    return Err(overlap);
                }
                claimed.push(page);
            }
        }
        Ok(())
    }

    fn release_page(&mut self, page: u64) {
        let (word, bit) = ((page / 64) as usize, 1 << (page % 64));
        debug_assert!(self.used[word] & bit != 0, "page {page} was freed twice");
        if self.used[word] & bit != 0 {
            self.used[word] &= !bit;
            self.free += 1;
        }
    }

    /// Frees pages at once: only what nothing on the disk has ever referred to.
    pub fn release(&mut self, runs: &[Run]) {
        for run in runs {
            for page in run.page..run.page + run.count {
                self.release_page(page);
            }
        }
    }

    /// Up to `count` consecutive pages, fewer if there is no such run from here on;
    /// `None` if there are none at all.
    fn run(&mut self, count: u64) -> Option<Run> {
        let mut best = Run { page: 0, count: 0 };
        let mut current = Run { page: 0, count: 0 };
        let mut page = self.cursor;
        let mut left = self.pages;
        while left > 0 {
            if page >= self.pages {
                page = FIRST_PAGE;
                current.count = 0;
            }
            if page.is_multiple_of(64) && left >= 64 && self.used[(page / 64) as usize] == u64::MAX {
                page += 64;
                left -= 64;
                current.count = 0;
                continue;
            }
            if self.is_used(page) {
                current.count = 0;
            } else {
                if current.count == 0 {
                    current.page = page;
                }
                current.count += 1;
                if current.count > best.count {
                    best = current;
                    if best.count == count {
                        break;
                    }
                }
            }
            page += 1;
            left -= 1;
        }
        if best.count == 0 {
            return None;
        }
        for page in best.page..best.page + best.count {
            self.set(page);
        }
        self.cursor = best.page + best.count;
        Some(best)
    }

    /// `count` pages, in as few runs as can be found; `None` (and nothing taken) if
    /// there are not that many.
    pub fn allocate(&mut self, count: u64) -> Option<Vec<Run>> {
        if count > self.free() {
            return None;
        }
        let mut runs = Vec::new();
        let mut left = count;
        while left > 0 {
            match self.run(left) {
                Some(run) => {
                    left -= run.count;
                    runs.push(run);
                }
                None => {
                    self.release(&runs);
                    return None;
                }
            }
        }
        Some(runs)
    }

    /// From generation `generation` on, `runs` are referred to no more.
    pub fn leave(&mut self, generation: u64, runs: Vec<Run>) {
        if self.disputed {
            return;
        }
        self.leaving_pages += runs.iter().map(|run| run.count).sum::<u64>();
        self.leaving.push_back((generation, runs));
    }

    /// Frees what trees before `durable` had, unless a reader still has such a tree.
    pub fn settle(&mut self, durable: u64) {
        let oldest = self.readers.keys().next().copied().unwrap_or(u64::MAX);
        let bound = durable.min(oldest);
        let mut kept = VecDeque::new();
        for (generation, runs) in core::mem::take(&mut self.leaving) {
            if generation <= bound {
                self.leaving_pages -= runs.iter().map(|run| run.count).sum::<u64>();
                self.release(&runs);
            } else {
                kept.push_back((generation, runs));
            }
        }
        self.leaving = kept;
    }

    /// A reader looks at the tree of this generation.
    pub fn pin(&mut self, generation: u64) {
        *self.readers.entry(generation).or_insert(0) += 1;
    }

    /// It no longer does.
    pub fn unpin(&mut self, generation: u64) {
        if let Some(count) = self.readers.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                self.readers.remove(&generation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_given_once_and_superblocks_never() {
        let mut space = Space::new(100);
        let mut seen = alloc::collections::BTreeSet::new();
        while let Some(runs) = space.allocate(3) {
            for run in runs {
                for page in run.page..run.page + run.count {
                    assert!((FIRST_PAGE..100).contains(&page));
                    assert!(seen.insert(page));
                }
            }
        }
        assert_eq!(seen.len(), 96);
        assert_eq!(space.free(), 0);
        assert!(space.allocate(1).is_none());
    }

    /// On a forged disk two may refer to one page, or to none on the disk.
    #[test]
    fn where_two_refer_to_one_page_nothing_is_freed_or_given() {
        for odd in [Run { page: 5, count: 2 }, Run { page: 90, count: u64::MAX }] {
            let mut space = Space::new(100);
            let extent = |run| Extent { runs: vec![run], length: 1, hash: [0; 32] };
            assert_eq!(space.claim_extent(&extent(Run { page: 4, count: 2 })), Ok(()));
            assert_eq!(space.claim_extent(&extent(odd)), Err(Overlap));
            for generation in 1..3 {
                space.leave(generation, vec![Run { page: 4, count: 2 }, odd]);
            }
            space.settle(9);
            assert_eq!((space.free(), space.leaving(), space.allocate(1)), (0, 0, None));
        }
    }

    #[test]
    fn a_fragmented_disk_still_gives_all_that_is_free() {
        let mut space = Space::new(132);
        let all = space.allocate(128).unwrap();
        space.release(&(0..64).map(|i| Run { page: 4 + 2 * i, count: 1 }).collect::<Vec<_>>());
        let runs = space.allocate(15).unwrap();
        assert_eq!(runs.len(), 15);
        assert_eq!(space.free(), 49);
        assert!(space.allocate(50).is_none());
        assert_eq!(space.free(), 49, "a refused allocation takes nothing");
        assert_eq!(all[0], Run { page: 4, count: 128 });
    }

    #[test]
    fn a_freed_page_waits_for_the_commit_and_for_its_readers() {
        let mut space = Space::new(64);
        let runs = space.allocate(60).unwrap();
        space.pin(7);
        space.leave(8, runs);
        space.settle(7);
        assert_eq!(space.free(), 0, "commit 8 is not durable");
        space.settle(8);
        assert_eq!(space.free(), 0, "a reader still looks at tree 7");
        space.unpin(7);
        space.settle(8);
        assert_eq!(space.free(), 60);
    }

    #[test]
    fn what_lies_outside_or_overlaps_is_refused_and_takes_nothing() {
        let mut space = Space::new(64);
        let extent = |page, count| Extent { length: 0, hash: [0; 32], runs: vec![Run { page, count }] };
        assert_eq!(space.claim_extent(&extent(60, 10)), Err(Overlap));
        assert_eq!(space.claim_extent(&extent(u64::MAX - 2, 10)), Err(Overlap));
        assert_eq!(space.claim(3), Err(Overlap));
        assert_eq!(space.claim_pointer(&Pointer { page: 9, copy: 9, generation: 1, hash: [0; 32] }), Err(Overlap));
        assert_eq!(space.free, 60);
    }
}
