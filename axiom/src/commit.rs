//! Commits as the bodies have them: 16 bytes, or a head of 16 bytes and a payload.
//!
//! | bytes | a commit in 16 bytes | a head |
//! |---|---|---|
//! | 0 | kind, 1 to 0xDF | 0xFF |
//! | 1 | content | kind |
//! | 2-3 | content | bytes of the content |
//! | 4-11 | content | zero |
//! | 12-14 | cause: index of the record in the block | the same |
//! | 15 | position among the commits of that record, from 0 | the same |
//!
//! Behind a head lies the content, filled up with zeros to a multiple of 16 bytes. What a
//! content is, kernel/src/commit.rs says for the kernel's kinds, [`crate::event`] for 0xF0 and above.

use crate::event::{BOOTED, END, GENESIS};
use crate::journal::WIDE;
use crate::record::HALF;
pub use kernel::Class;

/// The class of the commits of this kind; `None` if there is no such kind.
#[inline]
pub fn class_of(kind: u8) -> Option<Class> {
    match kind {
        GENESIS | BOOTED | END => Some(Class::Authority),
        _ => Class::of(kind),
    }
}

/// A commit as it lies in a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitRef<'a> {
    /// Index in the block of the record that caused it.
    pub cause: u32,
    /// Which of that record's commits it is, from 0.
    pub position: u8,
    /// Its kind.
    pub kind: u8,
    /// The rest.
    pub content: Content<'a>,
}

/// What a commit says, still encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content<'a> {
    /// Kind and content in 12 bytes, as words; the high half of the second is zero.
    Words([u64; 2]),
    /// The content without the kind.
    Wide(&'a [u8]),
}

/// A commit, decoded.
#[derive(Clone, PartialEq, Eq)]
pub enum Told {
    /// The kernel's.
    Kernel(kernel::Commit),
    /// The log's own.
    Event(crate::event::Event),
}

impl core::fmt::Debug for Told {
    /// Every field, in the order of docs/log-format.md.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Told::Event(event) => event.fmt(f),
            Told::Kernel(kernel::Commit { elapsed, change: kernel::commit::Change::Authority(change) }) => {
                write!(f, "elapsed {elapsed}, {change:?}")
            }
            Told::Kernel(kernel::Commit { elapsed, change: kernel::commit::Change::Activity(change) }) => {
                write!(f, "elapsed {elapsed}, {change:?}")
            }
        }
    }
}

/// Cause and position in the second word of a commit, or of its head.
#[inline]
pub(crate) const fn origin(second: u64) -> (u32, u8) {
    ((second >> 32) as u32 & 0xFF_FFFF, (second >> 56) as u8)
}

impl<'a> CommitRef<'a> {
    /// The commit at the start of `bytes` and the bytes it takes; `None` if it is none.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Option<(CommitRef<'a>, usize)> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let (second, rest) = rest.split_first_chunk::<8>()?;
        let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        let (cause, position) = origin(second);
        if first as u8 != WIDE {
            let content = Content::Words([first, second & 0xFFFF_FFFF]);
            return Some((CommitRef { cause, position, kind: first as u8, content }, HALF));
        }
        let length = usize::from((first >> 16) as u16);
        let padded = length.next_multiple_of(HALF);
        let payload = rest.get(..padded)?;
        let kind = (first >> 8) as u8;
        let clean = first >> 32 == 0 && second as u32 == 0 && payload[length..].iter().all(|&byte| byte == 0);
        let commit = CommitRef { cause, position, kind, content: Content::Wide(&payload[..length]) };
        clean.then_some((commit, HALF + padded))
    }
}

impl CommitRef<'_> {
    /// The kernel's commit; `None` if it is an event, or not one that this kernel knows.
    #[inline]
    pub fn to_kernel(&self) -> Option<kernel::Commit> {
        match self.content {
            Content::Words(words) => kernel::Commit::decode_compact(words),
            Content::Wide(content) => kernel::Commit::decode_wide(self.kind, content),
        }
    }

    /// All that it says; `None` if it is none that this code knows.
    pub fn told(&self) -> Option<Told> {
        self.to_kernel().map(Told::Kernel).or_else(|| self.to_event().map(Told::Event))
    }

    /// The event; `None` if it is the kernel's.
    pub fn to_event(&self) -> Option<crate::event::Event> {
        match self.content {
            Content::Words(_) => None,
            Content::Wide(content) => crate::event::Event::decode(self.kind, content),
        }
    }
}
