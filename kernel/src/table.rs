//! The capability table of a process: what its handles name.

use crate::encoding::fields;
use crate::ids::CapabilityId;
use abi::{Error, Handle};
use alloc::vec::Vec;

/// One slot of a table.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// What a handle to it must carry. Of a free slot: what the next handle will carry.
    pub generation: u32,
    /// The capability in it. Of a free slot: [`Slot::FREE`] and the next free slot.
    pub capability: CapabilityId,
}

impl Slot {
    /// Marks a free slot: no capability has so high a number.
    const FREE: u32 = 1 << 31;
    /// Ends the list of free slots.
    const END: u32 = Slot::FREE - 1;

    const fn free(generation: u32, next: u32) -> Slot {
        Slot { generation, capability: CapabilityId(Slot::FREE | next) }
    }
    /// Whether nothing is in it.
    pub const fn is_free(self) -> bool {
        self.capability.0 & Slot::FREE != 0
    }
    const fn next(self) -> u32 {
        self.capability.0 & !Slot::FREE
    }
}
fields!(Slot: generation capability);

/// The capability table of a process. Free slots stand in a line: a slot that was
/// given back is used again last.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Table {
    pub(crate) slots: Vec<Slot>,
    first_free: u32,
    last_free: u32,
    /// Slots in use.
    pub used: u32,
}
fields!(Table: slots first_free last_free used);

impl Table {
    /// The most slots that a table can have.
    pub const MAX: u32 = 1 << 20;

    /// With nothing in it.
    pub const fn new() -> Table {
        Table { slots: Vec::new(), first_free: Slot::END, last_free: Slot::END, used: 0 }
    }

    /// Whether the line of free slots has each of them once, but for those whose generations are spent.
    pub fn is_sound(&self) -> bool {
        let mut free = self.slots.iter().filter(|slot| slot.is_free() && slot.generation != 0).count();
        let (mut last, mut slot) = (Slot::END, self.first_free);
        while let Some(cell) = self.slots.get(slot as usize).filter(|cell| cell.is_free() && cell.generation != 0) {
            let Some(left) = free.checked_sub(1) else { return false };
            free = left;
            (last, slot) = (slot, cell.next());
        }
        // A ring passes more than there are.
        free == 0 && slot == Slot::END && last == self.last_free && self.slots.len() <= Table::MAX as usize
    }

    /// The slot that the next capability goes to, after `ahead` others.
    #[inline]
    pub fn vacant(&self, ahead: usize) -> u32 {
        let mut slot = self.first_free;
        for passed in 0..=ahead {
            if slot == Slot::END {
                return (self.slots.len() + ahead - passed) as u32;
            }
            if passed < ahead {
                slot = self.slots[slot as usize].next();
            }
        }
        slot
    }

    /// Whether there is room for one more slot.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < self.slots.capacity()
    }

    /// Fills a slot that [`Table::vacant`] gave. Returns the handle.
    #[inline]
    pub(crate) fn fill(&mut self, slot: u32, capability: CapabilityId) -> Handle {
        if slot as usize == self.slots.len() {
            self.slots.push(Slot { generation: 1, capability });
        } else {
            let Some(cell) = self.slots.get_mut(slot as usize) else { return Handle::NONE };
            if slot != self.first_free {
                return Handle::NONE;
            }
            self.first_free = cell.next();
            if self.first_free == Slot::END {
                self.last_free = Slot::END;
            }
            cell.capability = capability;
        }
        self.used += 1;
        self.handle(slot)
    }

    /// Empties a slot. A slot whose generations are spent is never used again.
    pub(crate) fn empty(&mut self, slot: u32) {
        let Some(cell) = self.slots.get_mut(slot as usize) else { return };
        self.used -= 1;
        let Some(generation) = cell.generation.checked_add(1) else {
            *cell = Slot::free(0, Slot::END);
            return;
        };
        *cell = Slot::free(generation, Slot::END);
        match self.slots.get_mut(self.last_free as usize) {
            Some(last) => last.capability = CapabilityId(Slot::FREE | slot),
            None => self.first_free = slot,
        }
        self.last_free = slot;
    }

    /// The handle of a slot in use.
    pub fn handle(&self, slot: u32) -> Handle {
        match self.slots.get(slot as usize) {
            Some(cell) if !cell.is_free() => Handle::new(slot, cell.generation),
            _ => Handle::NONE,
        }
    }

    /// What a handle names.
    #[inline]
    pub fn resolve(&self, handle: Handle) -> Result<CapabilityId, Error> {
        let slot = self.slots.get(handle.slot() as usize).ok_or(Error::BadHandle)?;
        let generation = handle.generation();
        if slot.generation == generation && !slot.is_free() {
            Ok(slot.capability)
        } else if generation != 0 && (generation < slot.generation || slot.generation == 0) {
            Err(Error::StaleHandle)
        } else {
            Err(Error::BadHandle)
        }
    }
}
