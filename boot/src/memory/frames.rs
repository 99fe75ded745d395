//! Physical frames of 4 KiB: one bit each, set while the frame is free. A search goes on where the last
//! one ended; runs for regions, images and DMA are looked for from the start.

use crate::handoff::Piece;

const PAGE: u64 = super::PAGE;

/// Which frames are free.
#[derive(Debug)]
pub struct Frames<'a> {
    /// A bit for each frame from address 0.
    free: &'a mut [u64],
    /// Words below this have no free frame.
    next: usize,
    count: u64,
}

impl<'a> Frames<'a> {
    /// Words of the bitmap for memory that ends at `end`.
    pub const fn words(end: u64) -> usize {
        end.div_ceil(PAGE * 64) as usize
    }

    /// All taken. `bitmap` has [`Frames::words`] words.
    pub fn new(bitmap: &'a mut [u64]) -> Frames<'a> {
        bitmap.fill(0);
        Frames { free: bitmap, next: 0, count: 0 }
    }

    /// How many are free.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// These are free from now on.
    pub fn add(&mut self, piece: Piece) {
        for frame in piece.start / PAGE..piece.end / PAGE {
            self.free(frame * PAGE);
        }
    }

    /// One frame; `None` if there is none. Its contents are what they were.
    #[inline]
    pub fn take(&mut self) -> Option<u64> {
        let offset = self.free[self.next..].iter().position(|word| *word != 0)?;
        self.next += offset;
        let word = &mut self.free[self.next];
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        self.count -= 1;
        Some((self.next as u64 * 64 + u64::from(bit)) * PAGE)
    }

    /// So many frames in a row; the address of the first.
    pub fn take_run(&mut self, frames: u64) -> Option<u64> {
        if frames > self.count || frames == 0 {
            return None;
        }
        let (mut start, mut length) = (0, 0);
        for (index, word) in self.free.iter().enumerate() {
            if *word == 0 {
                length = 0;
                continue;
            }
            for bit in 0..64 {
                if word >> bit & 1 == 0 {
                    length = 0;
                    continue;
                }
                if length == 0 {
                    start = index as u64 * 64 + bit;
                }
                length += 1;
                if length == frames {
                    for frame in start..start + frames {
                        self.free[(frame / 64) as usize] &= !(1 << (frame % 64));
                    }
                    self.count -= frames;
                    return Some(start * PAGE);
                }
            }
        }
        None
    }

    /// The frame at this address is free. One that is free already stays so.
    #[inline]
    pub fn free(&mut self, address: u64) {
        let frame = address / PAGE;
        let Some(word) = self.free.get_mut((frame / 64) as usize) else { return };
        let bit = 1 << (frame % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.count += 1;
            self.next = self.next.min((frame / 64) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn no_frame_is_given_twice_and_none_is_lost(steps in prop::collection::vec((0u64..6, 0u64..400), 1..200)) {
            let mut bitmap = [0; Frames::words(400 * PAGE)];
            let mut frames = Frames::new(&mut bitmap);
            frames.add(Piece { start: 3 * PAGE, end: 390 * PAGE });
            let mut taken: BTreeSet<u64> = BTreeSet::new();
            for (kind, number) in steps {
                match kind {
                    0 | 1 => if let Some(frame) = frames.take() {
                        prop_assert!((3 * PAGE..390 * PAGE).contains(&frame));
                        prop_assert!(taken.insert(frame));
                    } else {
                        prop_assert_eq!(taken.len(), 387);
                    },
                    2 => if let Some(start) = frames.take_run(number % 20) {
                        for index in 0..number % 20 {
                            prop_assert!(taken.insert(start + index * PAGE));
                        }
                    },
                    _ => if let Some(frame) = taken.iter().nth(number as usize % taken.len().max(1)).copied() {
                        taken.remove(&frame);
                        frames.free(frame);
                        frames.free(frame);
                    },
                }
                prop_assert_eq!(frames.count() as usize + taken.len(), 387);
            }
        }
    }

    #[test]
    fn a_run_is_found_across_words_and_refused_when_there_is_none() {
        let mut bitmap = [0; Frames::words(256 * PAGE)];
        let mut frames = Frames::new(&mut bitmap);
        frames.add(Piece { start: 0, end: 256 * PAGE });
        assert_eq!(frames.take_run(60), Some(0));
        assert_eq!(frames.take_run(10), Some(60 * PAGE));
        frames.free(30 * PAGE);
        assert_eq!(frames.take_run(187), None);
        assert_eq!(frames.take_run(186), Some(70 * PAGE));
        assert_eq!(frames.take(), Some(30 * PAGE));
        assert_eq!(frames.take(), None);
        assert_eq!(frames.take_run(0), None);
    }
}
