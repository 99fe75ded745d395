//! Which addresses are taken, where a process chooses them itself: first fit, with a page that is never
//! mapped around each. Pure; what stands on it maps.

use abi::PAGE_SIZE;
use alloc::collections::BTreeMap;

const PAGE: u64 = PAGE_SIZE as u64;

/// The addresses from `from` up to `end`, all of them free at first.
pub(crate) struct Placement {
    from: u64,
    end: u64,
    /// First address and the one behind the last; they do not overlap.
    taken: BTreeMap<u64, u64>,
}

impl Placement {
    pub(crate) const fn new(from: u64, end: u64) -> Placement {
        Placement { from, end, taken: BTreeMap::new() }
    }

    /// Takes the first room for so many pages that has a free page before and behind it.
    pub(crate) fn take(&mut self, pages: u64) -> Option<u64> {
        let bytes = pages.checked_mul(PAGE).filter(|&bytes| bytes > 0)?;
        let mut candidate = self.from + PAGE;
        let fits = |candidate: u64, limit: u64| {
            candidate.checked_add(bytes).and_then(|end| end.checked_add(PAGE)).is_some_and(|end| end <= limit)
        };
        for (&first, &end) in &self.taken {
            if fits(candidate, first) {
                break;
            }
            candidate = candidate.max(end + PAGE);
        }
        if !fits(candidate, self.end) {
            return None;
        }
        self.taken.insert(candidate, candidate + bytes);
        Some(candidate)
    }

    /// Takes so many pages at `address`; whether they were free, and there is such a place.
    pub(crate) fn take_at(&mut self, address: u64, pages: u64) -> bool {
        let end = pages.checked_mul(PAGE).filter(|&bytes| bytes > 0).and_then(|bytes| address.checked_add(bytes));
        let Some(end) = end.filter(|&end| end <= self.end) else { return false };
        let before = self.taken.range(..end).next_back();
        if address < self.from || !address.is_multiple_of(PAGE) || before.is_some_and(|(_, &end)| end > address) {
            return false;
        }
        self.taken.insert(address, end);
        true
    }

    /// Frees what was taken at `address`.
    pub(crate) fn release(&mut self, address: u64) {
        self.taken.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FROM: u64 = 0x40_0000_0000;
    const END: u64 = FROM + 64 * PAGE;

    #[test]
    fn nothing_lies_next_to_another() {
        let mut placement = Placement::new(FROM, END);
        assert_eq!(placement.take(3), Some(FROM + PAGE));
        assert_eq!(placement.take(1), Some(FROM + 5 * PAGE));
    }

    #[test]
    fn what_was_released_is_taken_again() {
        let mut placement = Placement::new(FROM, END);
        let first = placement.take(3).unwrap();
        let second = placement.take(3).unwrap();
        placement.release(first);
        assert_eq!(placement.take(4).map(|address| address > second), Some(true), "too large for the gap");
        assert_eq!(placement.take(3), Some(first));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut placement = Placement::new(FROM, END);
        for pages in [0, 63, 64, u64::MAX / PAGE, u64::MAX] {
            assert_eq!(placement.take(pages), None, "{pages}");
        }
        assert_eq!(placement.take(62), Some(FROM + PAGE));
        assert_eq!(placement.take(1), None);
    }

    #[test]
    fn a_chosen_address_must_be_free_aligned_and_within() {
        let mut placement = Placement::new(FROM, END);
        assert!(placement.take_at(FROM, 2));
        for (address, pages) in [
            (FROM + PAGE, 1),
            (FROM + PAGE, 9),
            (FROM - PAGE, 2),
            (FROM + 2 * PAGE + 8, 1),
            (END - PAGE, 2),
            (END, 1),
            (FROM + 4 * PAGE, 0),
            (FROM + 4 * PAGE, u64::MAX),
            (u64::MAX - PAGE + 1, 1),
        ] {
            assert!(!placement.take_at(address, pages), "{address:x} {pages}");
        }
        assert!(placement.take_at(FROM + 2 * PAGE, 62), "next to another, if it is asked for");
    }

    proptest! {
        #[test]
        fn no_two_overlap(steps in proptest::collection::vec((0u8..3, 0u64..70, 1u64..20), 1..200)) {
            let mut placement = Placement::new(FROM, END);
            let mut taken: std::vec::Vec<(u64, u64)> = std::vec::Vec::new();
            for (step, at, pages) in steps {
                let came = match step {
                    0 => placement.take(pages),
                    1 => {
                        let address = FROM + at * PAGE;
                        placement.take_at(address, pages).then_some(address)
                    }
                    _ if taken.is_empty() => None,
                    _ => {
                        let (address, _) = taken.swap_remove(at as usize % taken.len());
                        placement.release(address);
                        None
                    }
                };
                if let Some(address) = came {
                    let end = address + pages * PAGE;
                    prop_assert!(FROM <= address && end <= END);
                    prop_assert!(taken.iter().all(|&(other, other_end)| end <= other || other_end <= address));
                    taken.push((address, end));
                }
            }
        }
    }
}
