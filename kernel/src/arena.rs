//! Records of one kind, by number. Free numbers form a list in a fixed order, which is
//! part of the state: replay gives the same numbers.

use crate::encoding::{Decode, Encode, Sink, get_count};
use crate::ids::MAX_RECORDS;
use abi::Error;
use alloc::vec::Vec;

/// Ends the list of free numbers.
const END: u32 = u32::MAX;

/// Numbered records with a list of free numbers, last freed first.
#[cfg_attr(test, derive(Clone))]
pub struct Arena<T> {
    cells: Vec<Cell<T>>,
    first_free: u32,
    used: u32,
}

#[cfg_attr(test, derive(Clone))]
enum Cell<T> {
    Used(T),
    Free { next: u32 },
}

impl<T> Arena<T> {
    /// With no record.
    pub const fn new() -> Arena<T> {
        Arena { cells: Vec::new(), first_free: END, used: 0 }
    }

    /// The number that the next record gets.
    pub fn vacant(&self) -> Result<u32, Error> {
        self.vacant_after(0)
    }

    /// The number that a record gets after `ahead` others.
    #[inline]
    pub fn vacant_after(&self, ahead: usize) -> Result<u32, Error> {
        let mut number = self.first_free;
        let mut left = ahead;
        while let Some(Cell::Free { next }) = self.cells.get(number as usize)
            && left > 0
        {
            number = *next;
            left -= 1;
        }
        if number == END {
            number = (self.cells.len() + left) as u32;
        }
        if number < MAX_RECORDS { Ok(number) } else { Err(Error::QuotaExceeded) }
    }

    /// Puts a record at `number`, which [`Arena::vacant`] gave.
    #[inline(always)]
    pub fn insert(&mut self, number: impl Into<u32>, value: T) {
        let number = number.into();
        if number == self.cells.len() as u32 && self.first_free == END {
            self.cells.push(Cell::Used(value));
        } else if number == self.first_free
            && let Some(cell) = self.cells.get_mut(number as usize)
            && let Cell::Free { next } = *cell
        {
            self.first_free = next;
            *cell = Cell::Used(value);
        } else {
            return;
        }
        self.used += 1;
    }

    /// Takes the record out; its number is free.
    pub fn remove(&mut self, number: impl Into<u32>) -> Option<T> {
        let number = number.into();
        let cell = self.cells.get_mut(number as usize)?;
        if let Cell::Free { .. } = cell {
            return None;
        }
        let Cell::Used(value) = core::mem::replace(cell, Cell::Free { next: self.first_free }) else { return None };
        self.first_free = number;
        self.used -= 1;
        Some(value)
    }

    /// The record.
    #[inline(always)]
    pub fn get(&self, number: impl Into<u32>) -> Option<&T> {
        match self.cells.get(number.into() as usize) {
            Some(Cell::Used(value)) => Some(value),
            _ => None,
        }
    }

    /// The record, to change.
    #[inline]
    pub fn get_mut(&mut self, number: impl Into<u32>) -> Option<&mut T> {
        match self.cells.get_mut(number.into() as usize) {
            Some(Cell::Used(value)) => Some(value),
            _ => None,
        }
    }

    /// Every record with its number, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.cells.iter().zip(0..).filter_map(|(cell, number)| match cell {
            Cell::Used(value) => Some((number, value)),
            Cell::Free { .. } => None,
        })
    }

    /// How many numbers were ever given.
    pub fn reach(&self) -> usize {
        self.cells.len()
    }

    /// Whether the list of free numbers has each of them once.
    pub fn is_sound(&self) -> bool {
        let (mut free, mut number) = (self.cells.len() - self.used as usize, self.first_free);
        while let Some(Cell::Free { next }) = self.cells.get(number as usize) {
            let Some(left) = free.checked_sub(1) else { return false };
            (free, number) = (left, *next);
        }
        // A ring passes more than there are; so does a list that another runs into.
        free == 0 && number == END && self.cells.len() <= MAX_RECORDS as usize
    }

    /// How many records there are.
    pub fn len(&self) -> u32 {
        self.used
    }

    /// Whether there is room for one more.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.cells.len() < self.cells.capacity()
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, count: usize) -> Result<(), Error> {
        self.cells.try_reserve(count).map_err(|_| Error::QuotaExceeded)
    }
}

/// Sets a record of a vector that runs beside an arena: one of those there are, or the
/// next. Other numbers come from no arena, and nothing happens.
pub(crate) fn set<T>(records: &mut Vec<T>, number: usize, value: T) {
    if number == records.len() {
        records.push(value);
    } else if let Some(record) = records.get_mut(number) {
        *record = value;
    }
}

impl<T: Encode> Encode for Arena<T> {
    fn put<S: Sink>(&self, out: &mut S) {
        self.first_free.put(out);
        (self.cells.len() as u64).put(out);
        for cell in &self.cells {
            match cell {
                Cell::Used(value) => {
                    true.put(out);
                    value.put(out);
                }
                Cell::Free { next } => {
                    false.put(out);
                    next.put(out);
                }
            }
        }
    }
}

impl<T: Decode> Decode for Arena<T> {
    fn get(input: &mut &[u8]) -> Option<Arena<T>> {
        let mut arena = Arena { first_free: u32::get(input)?, ..Arena::new() };
        for _ in 0..get_count(input)? {
            arena.cells.push(if bool::get(input)? {
                arena.used += 1;
                Cell::Used(T::get(input)?)
            } else {
                Cell::Free { next: u32::get(input)? }
            });
        }
        (arena.cells.len() <= MAX_RECORDS as usize).then_some(arena)
    }
}
