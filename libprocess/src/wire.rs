//! What travels: arguments and results in postcard, up to 64 bytes of it in the words
//! of the message, more beside them; capabilities as indices into the message's. The
//! format is stated for other languages in docs/wire-format.md.
//!
//! Decoding is strict: whatever is not exactly one value of the type is an error.

use crate::capability::{Any, Cap, Object};
use crate::system::Arrived;
use abi::message::{MAX_BYTES, MAX_TRANSFERS, Words};
use abi::{Error, Rights, Transfer, TransferMode};
use alloc::vec::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes that travel in the words.
pub const INLINE: usize = core::mem::size_of::<Words>();
/// Where in the tag the number of bytes in the words lies.
const LENGTH_SHIFT: u32 = 32;

/// What was received is not a value of the type that it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Interface number + method number of a tag.
pub const fn number(tag: u64) -> u32 {
    tag as u32
}

/// A value as it travels. Its Debug output shows only how long it is: it may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// Bytes of it that lie in the words; 0 if it lies in `bytes` or is empty.
    pub inline: u8,
    /// The words.
    pub words: Words,
    /// What did not fit into the words.
    pub bytes: Vec<u8>,
}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", usize::from(self.inline) + self.bytes.len())
    }
}

impl Payload {
    /// Nothing.
    pub const EMPTY: Payload = Payload { inline: 0, words: [0; abi::message::WORDS], bytes: Vec::new() };

    /// Encodes `value`; `TooLarge` above 64 KiB.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Payload, Error> {
        let mut inline = [0u8; INLINE];
        if let Ok(used) = postcard::to_slice(value, &mut inline) {
            let length = used.len() as u8;
            return Ok(Payload { inline: length, words: words_of(&inline), bytes: Vec::new() });
        }
        let bytes = postcard::to_allocvec(value).map_err(|_| Error::TooLarge)?;
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        Ok(Payload { inline: 0, words: [0; abi::message::WORDS], bytes })
    }

    /// The tag of a message that carries it.
    pub const fn tag(&self, number: u32) -> u64 {
        (self.inline as u64) << LENGTH_SHIFT | number as u64
    }
}

fn words_of(bytes: &[u8; INLINE]) -> Words {
    let mut words = Words::default();
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        *word = u64::from_le_bytes(eight);
    }
    words
}

/// Decodes what came with `tag`.
pub fn decode<T: DeserializeOwned>(tag: u64, words: &Words, bytes: &[u8]) -> Result<T, Malformed> {
    let length = (tag >> LENGTH_SHIFT) as usize;
    let mut inline = [0u8; INLINE];
    let encoded = match (length, bytes) {
        (0, bytes) => bytes,
        (1..=INLINE, []) => {
            for (to, word) in inline.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            &inline[..length]
        }
        _ => return Err(Malformed),
    };
    match postcard::take_from_bytes(encoded) {
        Ok((value, [])) => Ok(value),
        _ => Err(Malformed),
    }
}

/// Capabilities that are to travel with a message. Those that move are deleted with
/// this, unless the message went.
#[derive(Debug, Default)]
pub struct Passing {
    transfers: heapless::Vec<Transfer, MAX_TRANSFERS>,
    too_many: bool,
}

impl Passing {
    /// None yet.
    pub const fn new() -> Passing {
        Passing { transfers: heapless::Vec::new(), too_many: false }
    }

    /// Moves a capability; its index.
    pub fn moves<K: Object>(&mut self, capability: Cap<K>) -> u8 {
        if self.transfers.is_full() {
            self.too_many = true;
            return 0;
        }
        let handle = capability.into_handle();
        self.push(Transfer { handle, mode: TransferMode::Move, rights: Rights::ALL, badge: 0 })
    }

    /// Passes a capability derived from this one; its index.
    pub fn derives<K: Object>(&mut self, capability: &Cap<K>) -> u8 {
        let handle = capability.handle();
        self.push(Transfer { handle, mode: TransferMode::Derive, rights: Rights::ALL, badge: 0 })
    }

    fn push(&mut self, transfer: Transfer) -> u8 {
        let index = self.transfers.len() as u8;
        self.too_many |= self.transfers.push(transfer).is_err();
        index
    }

    /// What the kernel is told; `TooLarge` if there are more than 8.
    pub(crate) fn transfers(&self) -> Result<&[Transfer], Error> {
        if self.too_many { Err(Error::TooLarge) } else { Ok(&self.transfers) }
    }

    /// The message went: what moved is the receiver's.
    pub(crate) fn went(mut self) {
        self.transfers.clear();
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        for transfer in &self.transfers {
            if transfer.mode == TransferMode::Move {
                drop(Cap::<Any>::from_handle(transfer.handle));
            }
        }
    }
}

/// Capabilities that came with a message.
#[derive(Debug, Default)]
pub struct Passed {
    capabilities: heapless::Vec<Option<Cap<Any>>, MAX_TRANSFERS>,
}

impl Passed {
    /// Those of what arrived.
    pub fn from_arrived(arrived: &mut Arrived) -> Passed {
        let came = core::mem::take(&mut arrived.capabilities);
        Passed { capabilities: came.into_iter().map(Some).collect() }
    }

    /// The one with this index, each only once.
    pub fn take<K: Object>(&mut self, index: u8) -> Result<Cap<K>, Malformed> {
        let place = self.capabilities.get_mut(usize::from(index)).ok_or(Malformed)?;
        place.take().map(Cap::typed).ok_or(Malformed)
    }

    /// The one with this index, if there is an index.
    pub fn take_option<K: Object>(&mut self, index: Option<u8>) -> Result<Option<Cap<K>>, Malformed> {
        index.map(|index| self.take(index)).transpose()
    }

    /// Those with these indices.
    pub fn take_list<K: Object>(&mut self, indices: Vec<u8>) -> Result<Vec<Cap<K>>, Malformed> {
        indices.into_iter().map(|index| self.take(index)).collect()
    }
}
