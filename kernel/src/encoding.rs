//! Bytes of commits and of state. One form, canonical: integers as LEB128 in the
//! fewest bytes, what has a fixed size as it is. The same trait writes the log and
//! feeds the state hash.
//!
//! `u64::MAX` is "for ever" nearly everywhere: it has the two bytes of a zero that is one byte too long, which
//! are no number else.

use crate::ids::*;
use crate::queue::Entry;
use abi::device::Operation;
use abi::info::Limits;
use abi::message::FaultKind;
use abi::{Error, ExitReason, Handle, Kind, Name, ReplyToken, Rights, TransferMode};

/// Where bytes go.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Takes the next byte: most numbers are one.
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Takes a number. Most are small.
    #[inline(always)]
    fn number(&mut self, number: u64)
    where
        Self: Sized,
    {
        if number < 0x80 { self.byte(number as u8) } else { put_long(number, self) }
    }
}

impl<const N: usize> Sink for heapless::Vec<u8, N> {
    fn put(&mut self, bytes: &[u8]) {
        // The capacity is the longest commit's, which a test holds.
        let _ = self.extend_from_slice(bytes);
    }
    #[inline]
    fn byte(&mut self, byte: u8) {
        let _ = self.push(byte);
    }
}

/// Bytes of content that the compact form of a commit has room for: seven in the first word,
/// four in the second.
pub const COMPACT: usize = 11;
/// Bytes of content that the short form has room for.
pub const SHORT: usize = 28;

/// A commit being put together that is not long: what does not fit is only counted.
pub struct Short {
    /// Three bytes free, the kind, the content.
    bytes: [u8; 4 + SHORT],
    used: usize,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// The compact form.
    Compact([u64; 2]),
    /// So many bytes of content, behind four that are free.
    Short([u8; 4 + SHORT], usize),
    /// More than that.
    Long,
}

impl Short {
    /// Of a commit of this kind, with no content yet.
    #[inline(always)]
    pub fn new(kind: u8) -> Short {
        let mut bytes = [0; 4 + SHORT];
        bytes[3] = kind;
        Short { bytes, used: 4 }
    }

    /// What it is, now that all is in it.
    #[inline(always)]
    pub fn form(&self) -> Form {
        if self.used - 4 > COMPACT {
            return self.not_compact();
        }
        let words = self.bytes.split_at(3).1;
        let word = |at: usize| words[at..].first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Form::Compact([u64::from(word(0)) | u64::from(word(4)) << 32, word(8).into()])
    }

    /// The same of a kind whose compact form is a fixed one.
    #[inline(always)]
    pub fn not_compact(&self) -> Form {
        match self.used - 4 {
            length if length <= SHORT => Form::Short(self.bytes, length),
            _ => Form::Long,
        }
    }
}

impl Short {
    /// A number of more than one byte: in one write, if it is not very large.
    fn long(&mut self, number: u64) {
        let (word, length) = match number {
            0..0x4000 => (number & 0x7F | 0x80 | number >> 7 << 8, 2),
            0x4000..SPREAD => spread(number),
            _ => return put_long(number, self),
        };
        match self.bytes.get_mut(self.used..self.used + 8) {
            Some(place) => place.copy_from_slice(&word.to_le_bytes()),
            None => return put_long(number, self),
        }
        self.used += length;
    }
}

/// The first number that has more than eight bytes.
const SPREAD: u64 = 1 << 56;

/// The bytes of a number below [`SPREAD`] that is not 0, and how many they are: seven bits to each, and bit 7 to all
/// but the last.
const fn spread(number: u64) -> (u64, usize) {
    let halves = number & 0xFFF_FFFF | (number & 0xFF_FFFF_F000_0000) << 4;
    let quarters = halves & 0x3FFF_0000_3FFF | (halves & 0x0FFF_C000_0FFF_C000) << 2;
    let bytes = quarters & 0x007F_007F_007F_007F | (quarters & 0x3F80_3F80_3F80_3F80) << 1;
    let length = 8 - bytes.leading_zeros() as usize / 8;
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * (length - 1))) - 1);
    (bytes | more, length)
}

impl Sink for Short {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.used..self.used + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.used += bytes.len();
    }
    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.used) {
            *place = byte;
        }
        self.used += 1;
    }
    #[inline(always)]
    fn number(&mut self, number: u64) {
        if number < 0x80 { self.byte(number as u8) } else { self.long(number) }
    }
}

/// The fields of a commit whose every number is one byte, or for ever: most commits. They are put together in a
/// register.
pub struct Tiny {
    word: u64,
    /// Where the next byte goes. All that is added to it is known when this is compiled.
    shift: u32,
    /// All numbers, or-ed.
    any: u64,
}

impl Tiny {
    /// With nothing in it.
    pub const EMPTY: Tiny = Tiny { word: 0, shift: 0, any: 0 };

    /// The compact form of a commit of this kind, with these fields; `None` if they are not as small as that.
    #[inline(always)]
    pub fn compact(&self, kind: u8, elapsed: u64) -> Option<[u64; 2]> {
        if self.any >= 0x80 || self.shift > 64 {
            return None;
        }
        let (low, middle, high) = (elapsed & 0x7F, elapsed >> 7 & 0x7F, elapsed >> 14);
        let (first, bits) = match elapsed {
            0..0x80 => (low, 8),
            0x80..0x4000 => (low | 0x80 | middle << 8, 16),
            0x4000..0x20_0000 => (low | 0x80 | (middle | 0x80) << 8 | high << 16, 24),
            _ => return None,
        };
        Some([u64::from(kind) | first << 8 | self.word << (8 + bits), self.word >> (56 - bits)])
    }
}

impl Sink for Tiny {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.byte(byte));
    }
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.word |= u64::from(byte).wrapping_shl(self.shift);
        self.shift += 8;
    }
    #[inline(always)]
    fn number(&mut self, number: u64) {
        if number == u64::MAX {
            return self.put(&FOREVER);
        }
        self.any |= number;
        self.byte(number as u8);
    }
}

/// A sink that calls a function, for hashers.
pub struct Feed<F: FnMut(&[u8])>(pub F);

impl<F: FnMut(&[u8])> Sink for Feed<F> {
    fn put(&mut self, bytes: &[u8]) {
        (self.0)(bytes);
    }
}

/// What can be written, and read back by [`Decode`].
pub trait Encode {
    /// Writes it.
    fn put<S: Sink>(&self, out: &mut S);
}

/// What can be read back. `None`: these bytes are not what [`Encode::put`] writes.
pub trait Decode: Sized {
    /// Reads it and moves `input` behind it.
    fn get(input: &mut &[u8]) -> Option<Self>;
}

pub(crate) fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(count)?;
    *input = tail;
    Some(head)
}

impl Encode for u64 {
    #[inline(always)]
    fn put<S: Sink>(&self, out: &mut S) {
        out.number(*self);
    }
}

/// [`u64::MAX`].
const FOREVER: [u8; 2] = [0x80, 0];

fn put_long<S: Sink>(mut rest: u64, out: &mut S) {
    if rest == u64::MAX {
        return out.put(&FOREVER);
    }
    while rest >= 0x80 {
        out.byte(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.byte(rest as u8);
}

impl Decode for u64 {
    fn get(input: &mut &[u8]) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = take(input, 1)?[0];
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return match (byte, shift) {
                    (0, 7) if value == 0 => Some(u64::MAX),
                    // Fewest bytes: the last is zero only in the number zero.
                    (0, 7..) => None,
                    _ => (value != u64::MAX).then_some(value),
                };
            }
        }
        None
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Encode for $type {
            #[inline(always)]
            fn put<S: Sink>(&self, out: &mut S) { u64::from(*self).put(out) }
        }
        impl Decode for $type {
            fn get(input: &mut &[u8]) -> Option<$type> { u64::get(input)?.try_into().ok() }
        }
    )*};
}
integers!(u8 u16 u32);

impl Encode for bool {
    fn put<S: Sink>(&self, out: &mut S) {
        out.byte(u8::from(*self));
    }
}
impl Decode for bool {
    fn get(input: &mut &[u8]) -> Option<bool> {
        match take(input, 1)?[0] {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// Ids are written plus one, so that `NONE` is the one byte 0.
macro_rules! ids {
    ($($type:ty)*) => {$(
        impl Encode for $type {
            #[inline(always)]
            fn put<S: Sink>(&self, out: &mut S) { self.0.wrapping_add(1).put(out) }
        }
        impl Decode for $type {
            fn get(input: &mut &[u8]) -> Option<$type> { Some(Self(u32::get(input)?.wrapping_sub(1))) }
        }
    )*};
}
ids!(ProcessId ThreadId EndpointId NotificationId RegionId ImageId InterruptId DeviceId QuotaId LogId
     CapabilityId BufferId MappingId Entry);

macro_rules! wrapped {
    ($($type:ty)*) => {$(
        impl Encode for $type {
            fn put<S: Sink>(&self, out: &mut S) { self.0.put(out) }
        }
        impl Decode for $type {
            fn get(input: &mut &[u8]) -> Option<$type> { Some(Self(Decode::get(input)?)) }
        }
    )*};
}
wrapped!(Handle ReplyToken Rights Name);

/// Enums of the ABI travel as their numbers.
macro_rules! numbered {
    ($($type:ty)*) => {$(
        impl Encode for $type {
            fn put<S: Sink>(&self, out: &mut S) { (*self as u8).put(out) }
        }
        impl Decode for $type {
            fn get(input: &mut &[u8]) -> Option<$type> { <$type>::from_number(u8::get(input)?) }
        }
    )*};
}
numbered!(Error Kind FaultKind ExitReason Operation);

impl Encode for TransferMode {
    fn put<S: Sink>(&self, out: &mut S) {
        (*self as u8).put(out);
    }
}
impl Decode for TransferMode {
    fn get(input: &mut &[u8]) -> Option<TransferMode> {
        match u8::get(input)? {
            0 => Some(TransferMode::Move),
            1 => Some(TransferMode::Derive),
            2 => Some(TransferMode::Reply),
            _ => None,
        }
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn put<S: Sink>(&self, out: &mut S) {
        out.put(self);
    }
}
impl<const N: usize> Decode for [u8; N] {
    fn get(input: &mut &[u8]) -> Option<[u8; N]> {
        take(input, N)?.try_into().ok()
    }
}

impl Encode for [u64; 3] {
    fn put<S: Sink>(&self, out: &mut S) {
        self.iter().for_each(|word| word.put(out));
    }
}
impl Decode for [u64; 3] {
    fn get(input: &mut &[u8]) -> Option<[u64; 3]> {
        Some([u64::get(input)?, u64::get(input)?, u64::get(input)?])
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn put<S: Sink>(&self, out: &mut S) {
        self.0.put(out);
        self.1.put(out);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn get(input: &mut &[u8]) -> Option<(A, B)> {
        Some((A::get(input)?, B::get(input)?))
    }
}

/// One after the other, for those whose number is known.
pub(crate) fn get_array<T: Decode + Copy, const N: usize>(input: &mut &[u8], first: T) -> Option<[T; N]> {
    let mut items = [first; N];
    for item in &mut items {
        *item = T::get(input)?;
    }
    Some(items)
}

impl<T: Encode> Encode for Option<T> {
    fn put<S: Sink>(&self, out: &mut S) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
}
impl<T: Decode> Decode for Option<T> {
    fn get(input: &mut &[u8]) -> Option<Option<T>> {
        Some(if bool::get(input)? { Some(T::get(input)?) } else { None })
    }
}

impl<T: Encode> Encode for alloc::vec::Vec<T> {
    fn put<S: Sink>(&self, out: &mut S) {
        (self.len() as u64).put(out);
        self.iter().for_each(|item| item.put(out));
    }
}
impl<T: Decode> Decode for alloc::vec::Vec<T> {
    fn get(input: &mut &[u8]) -> Option<alloc::vec::Vec<T>> {
        let mut items = alloc::vec::Vec::new();
        for _ in 0..get_count(input)? {
            items.push(T::get(input)?);
        }
        Some(items)
    }
}

/// How many items follow. Each has a byte at least, so what is larger than the rest is no number of items;
/// room is made as they come, not for what is claimed.
pub(crate) fn get_count(input: &mut &[u8]) -> Option<u64> {
    u64::get(input).filter(|&count| count <= input.len() as u64)
}

/// The names of a record's fields, as docs/log-format.md must have them.
#[cfg(test)]
pub(crate) trait Described {
    const FIELDS: &'static [&'static str];
}

/// A record as its fields, one after the other.
macro_rules! fields {
    ($type:ty: $($field:ident)* $(; $($passing:ident)*)?) => {
        impl $crate::encoding::Encode for $type {
            fn put<S: $crate::encoding::Sink>(&self, out: &mut S) { $($crate::encoding::Encode::put(&self.$field, out);)* }
        }
        #[cfg(test)]
        impl $crate::encoding::Described for $type {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
        impl $crate::encoding::Decode for $type {
            fn get(input: &mut &[u8]) -> Option<Self> {
                Some(Self {
                    $($field: $crate::encoding::Decode::get(input)?,)*
                    $($($passing: Default::default(),)*)?
                })
            }
        }
    };
}
pub(crate) use fields;

/// An enum without fields, as its number; what its variants are, each once, is checked where it is compiled.
macro_rules! variants {
    ($type:ty: $($variant:ident)*) => {
        impl $crate::encoding::Encode for $type {
            fn put<S: $crate::encoding::Sink>(&self, out: &mut S) { (*self as u8).put(out); }
        }
        impl $crate::encoding::Decode for $type {
            fn get(input: &mut &[u8]) -> Option<Self> {
                let number = u8::get(input)?;
                [$(<$type>::$variant),*].into_iter().find(|variant| *variant as u8 == number)
            }
        }
        const _: fn($type) = |variant| match variant { $(<$type>::$variant => (),)* };
    };
}
pub(crate) use variants;

fields!(Limits: capabilities queued_messages processor_time);
