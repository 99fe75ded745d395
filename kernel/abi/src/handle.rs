//! What a process holds in its hand. A handle means something only in the table
//! of the process that holds it; the kernel looks it up at every use.

use serde::{Deserialize, Serialize};

/// A slot in the capability table of the calling process: slot number in the low
/// 32 bits, generation in the high 32. Generations begin at 1, so 0 is no handle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[repr(transparent)]
pub struct Handle(pub u64);

impl Handle {
    /// No capability; where a call says so, the calling process itself.
    pub const NONE: Handle = Handle(0);

    /// A handle of slot and generation.
    #[inline]
    pub const fn new(slot: u32, generation: u32) -> Handle {
        Handle((generation as u64) << 32 | slot as u64)
    }
    /// The slot in the table.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }
    /// The generation that the slot must still have.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// Whether this is [`Handle::NONE`].
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// The right to answer one call once: the blocked caller's thread in the low 32
/// bits, the number of its call in the high 32. Call numbers begin at 1, so 0 is
/// no reply. Whoever is not its holder gets `StaleHandle`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[repr(transparent)]
pub struct ReplyToken(pub u64);

impl ReplyToken {
    /// Nothing to answer: a message that was sent, not called.
    pub const NONE: ReplyToken = ReplyToken(0);

    /// A token of caller and call number.
    #[inline]
    pub const fn new(thread: u32, call: u32) -> ReplyToken {
        ReplyToken((call as u64) << 32 | thread as u64)
    }
    /// The blocked caller's thread.
    #[inline]
    pub const fn thread(self) -> u32 {
        self.0 as u32
    }
    /// The number of the caller's call.
    #[inline]
    pub const fn call(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// Whether this is [`ReplyToken::NONE`].
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}
