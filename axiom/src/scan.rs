//! Reading segments: where blocks begin and end, and what is torn and what is damaged.
//!
//! A segment is frames one after the other, then zeros. After a crash the blocks that were
//! not yet durable may be there in part. What tells them from damage: a frame says up
//! to which block all was durable when it was written. So a bad block is damage if any
//! good frame after it says that it was durable; else it is a torn tail.

use crate::block::{Block, FRAME, TRIMMED, WHOLE, Wrong};

/// What lies at an offset of a segment.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
pub enum Next<'a> {
    /// A block, and the bytes of its frame.
    Block(Block<'a>, usize),
    /// Nothing but zeros to the end.
    End,
    /// Something that is no whole block.
    Bad(Wrong),
}

/// What lies at offset `at` of the segment `bytes`.
pub fn next(bytes: &[u8], at: usize) -> Next<'_> {
    next_by(bytes, at, |bytes| Block::parse(bytes))
}

/// The same, without hashing the bodies.
pub fn next_head(bytes: &[u8], at: usize) -> Next<'_> {
    next_by(bytes, at, |bytes| Block::parse_head(bytes))
}

type Parse = for<'a> fn(&'a [u8]) -> Result<(Block<'a>, usize), Wrong>;

fn next_by(bytes: &[u8], at: usize, parse: Parse) -> Next<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    match parse(rest) {
        Ok((block, length)) => Next::Block(block, length),
        Err(_) if is_zero(rest) => Next::End,
        Err(wrong) => Next::Bad(wrong),
    }
}

/// Whether there are only zeros.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|&byte| byte == 0)
}

/// Whether block `number`, which is bad, was durable once: a whole frame in `rest` says so.
pub fn was_durable(rest: &[u8], number: u64) -> bool {
    let starts = |window: &[u8]| window == WHOLE || window == TRIMMED;
    let mut at = 0;
    while at + FRAME <= rest.len() {
        match rest[at..at + 4].iter().position(|&byte| byte == WHOLE[0]) {
            Some(0) => {}
            Some(step) => {
                at += step;
                continue;
            }
            None => {
                at += 4;
                continue;
            }
        }
        if starts(&rest[at..at + 4])
            && let Ok((block, _)) = Block::parse_head(&rest[at..])
            && block.header.number > number
            && block.synced > number
        {
            return true;
        }
        at += 1;
    }
    false
}
