//! Capabilities: one arena for all, with the derivation tree in it; a table per
//! process that says which of them its handles name.

use crate::authority::{Authority, Consequence, Doom, Witness};
use crate::commit::{Arrival, Authority as Change, Decision, Place};
use crate::encoding::{Encode, Sink, fields};
use crate::ids::*;
use crate::{Caller, Kernel};
use abi::{CapabilityInfo, Error, FOREVER, Handle, Kind, Name, Returned, Rights};
use alloc::vec::Vec;

/// Who has a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Holding {
    /// A slot in the table of a process.
    Slot = 0,
    /// The record of a process, to tell its supervisor.
    Supervisor = 1,
}

/// One capability.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    /// Set once; 0 is none.
    pub badge: u64,
    /// ns since boot.
    pub expiry: u64,
    /// Number of the object among its kind.
    pub index: u32,
    /// What it allows.
    pub rights: Rights,
    /// Kind of the object; `None`: this record is free.
    pub kind: Option<Kind>,
    /// How `process` holds it.
    pub holding: Holding,
    /// Who holds it.
    pub process: ProcessId,
    /// In which slot.
    pub slot: u32,
    /// What it was derived from; `NONE`: the object is the root.
    pub parent: CapabilityId,
    /// First of what was derived from it.
    pub first_child: CapabilityId,
    /// Neighbours among the children of its parent. In a free record, `next` is the next free.
    pub previous: CapabilityId,
    /// See `previous`.
    pub next: CapabilityId,
    /// Where it is mapped, of a region.
    pub mapping: MappingId,
}

impl Capability {
    const FREE: Capability = Capability {
        badge: 0,
        expiry: 0,
        index: 0,
        rights: Rights::NONE,
        kind: None,
        holding: Holding::Slot,
        process: ProcessId::NONE,
        slot: 0,
        parent: CapabilityId::NONE,
        first_child: CapabilityId::NONE,
        previous: CapabilityId::NONE,
        next: CapabilityId::NONE,
        mapping: MappingId::NONE,
    };

    /// What it names; `None` of a free record.
    pub fn object(&self) -> Option<Object> {
        Some(Object { kind: self.kind?, index: self.index })
    }
}

/// All capabilities.
pub struct Capabilities {
    records: Vec<Capability>,
    first_free: CapabilityId,
    used: u32,
}

impl Capabilities {
    /// None at all.
    pub const fn new() -> Capabilities {
        Capabilities { records: Vec::new(), first_free: CapabilityId::NONE, used: 0 }
    }

    /// The record; a free one too.
    #[inline(always)]
    pub fn get(&self, id: CapabilityId) -> Option<&Capability> {
        self.records.get(id.index())
    }

    fn get_mut(&mut self, id: CapabilityId) -> Option<&mut Capability> {
        self.records.get_mut(id.index())
    }

    /// The number of the next new capability, after `ahead` others.
    pub fn vacant(&self, ahead: usize) -> Result<CapabilityId, Error> {
        let mut id = self.first_free;
        for passed in 0..=ahead {
            if id.is_none() {
                let number = (self.records.len() + ahead - passed) as u32;
                return if number < MAX_RECORDS { Ok(CapabilityId(number)) } else { Err(Error::QuotaExceeded) };
            }
            if passed < ahead {
                id = self.records[id.index()].next;
            }
        }
        Ok(id)
    }

    fn insert(&mut self, id: CapabilityId, record: Capability) {
        if id == self.first_free {
            let Some(cell) = self.records.get_mut(id.index()) else { return };
            self.first_free = cell.next;
            *cell = record;
        } else if self.first_free.is_none() && id.index() == self.records.len() {
            self.records.push(record);
        } else {
            return;
        }
        self.used += 1;
    }

    fn remove(&mut self, id: CapabilityId) {
        let next = self.first_free;
        if let Some(record) = self.records.get_mut(id.index()) {
            *record = Capability { next, ..Capability::FREE };
            self.first_free = id;
            self.used -= 1;
        }
    }

    pub(crate) fn set_mapping(&mut self, id: CapabilityId, mapping: MappingId) {
        if let Some(record) = self.get_mut(id) {
            record.mapping = mapping;
        }
    }

    /// Every capability with its number.
    pub fn iter(&self) -> impl Iterator<Item = (CapabilityId, &Capability)> {
        self.records.iter().zip(0..).filter(|(record, _)| record.kind.is_some()).map(|(record, id)| (CapabilityId(id), record))
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.used
    }

    /// Makes room for `count` more.
    pub fn reserve(&mut self, count: usize) -> Result<(), Error> {
        self.records.try_reserve(count).map_err(|_| Error::QuotaExceeded)
    }

    /// The next in the tree below `root`, depth first, after `id`; `None` at the end.
    fn walk(&self, root: CapabilityId, id: CapabilityId) -> Option<CapabilityId> {
        let record = self.get(id)?;
        if !record.first_child.is_none() {
            return Some(record.first_child);
        }
        let mut id = id;
        while id != root {
            let record = self.get(id)?;
            if !record.next.is_none() {
                return Some(record.next);
            }
            id = record.parent;
        }
        None
    }

    /// The first descendant that has none itself; `id` if it has none.
    fn leaf(&self, mut id: CapabilityId) -> CapabilityId {
        while let Some(record) = self.get(id)
            && !record.first_child.is_none()
        {
            id = record.first_child;
        }
        id
    }
}

impl Encode for Capabilities {
    fn put<S: Sink>(&self, out: &mut S) {
        self.records.put(out);
        self.first_free.put(out);
    }
}
impl Encode for Holding {
    fn put<S: Sink>(&self, out: &mut S) {
        (*self as u8).put(out);
    }
}
fields!(Capability: badge expiry index rights kind holding process slot parent first_child previous next mapping);

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

    /// The slot that the next capability goes to, after `ahead` others.
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

    /// Fills a slot that [`Table::vacant`] gave. Returns the handle.
    fn fill(&mut self, slot: u32, capability: CapabilityId) -> Handle {
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

impl Authority {
    /// The first capability to an object.
    pub(crate) fn first_capability(&mut self, object: Object, place: Place, rights: Rights) {
        let record = Capability { expiry: FOREVER, index: object.index, rights, kind: Some(object.kind), ..Capability::FREE };
        self.insert_capability(place, record);
    }

    /// A capability from another, into a table.
    pub(crate) fn derived(&mut self, source: CapabilityId, place: Place, rights: Rights, badge: u64, expiry: u64) -> Handle {
        let Some(&Capability { index, kind, .. }) = self.capabilities.get(source) else { return Handle::NONE };
        let record = Capability { badge, expiry, index, rights, kind, parent: source, ..Capability::FREE };
        self.insert_capability(place, record)
    }

    /// The capability with which a process tells its supervisor: in its record, not its table.
    pub(crate) fn supervisor_capability(&mut self, source: CapabilityId, capability: CapabilityId, process: ProcessId) {
        let Some(&Capability { index, kind, badge, expiry, .. }) = self.capabilities.get(source) else { return };
        let rights = Rights::SEND;
        let holding = Holding::Supervisor;
        self.link_capability(
            capability,
            Capability { badge, expiry, index, rights, kind, holding, process, parent: source, ..Capability::FREE },
        );
    }

    fn insert_capability(&mut self, place: Place, record: Capability) -> Handle {
        let Some(table) = self.tables.get_mut(place.process.index()) else { return Handle::NONE };
        let handle = table.fill(place.slot, place.capability);
        self.link_capability(place.capability, Capability { process: place.process, slot: place.slot, ..record });
        handle
    }

    /// Puts a record into the arena and first among its siblings.
    fn link_capability(&mut self, id: CapabilityId, mut record: Capability) {
        let Some(object) = record.object() else { return };
        if let Some(header) = self.header_mut(object) {
            header.capabilities += 1;
        }
        let first = match self.capabilities.get_mut(record.parent) {
            Some(parent) => Some(&mut parent.first_child),
            None => self.header_mut(object).map(|header| &mut header.first_capability),
        };
        record.next = first.map_or(CapabilityId::NONE, |first| core::mem::replace(first, id));
        if let Some(next) = self.capabilities.get_mut(record.next) {
            next.previous = id;
        }
        self.capabilities.insert(id, record);
    }

    /// From one table to another, with all that was derived from it.
    pub(crate) fn moved<W: Witness>(&mut self, place: Place, arrival: Arrival, witness: &mut W) {
        let capability = place.capability;
        let Some(record) = self.capabilities.get_mut(capability) else { return };
        let (process, slot) = (record.process, record.slot);
        (record.process, record.slot) = (place.process, place.slot);
        let mapping = record.mapping;
        let handle = self.tables.get_mut(place.process.index()).map_or(Handle::NONE, |table| table.fill(place.slot, capability));
        if let Some(table) = self.tables.get_mut(process.index()) {
            table.empty(slot);
        }
        self.unmap(mapping, witness);
        witness.happened(Consequence::Lost { process, capability });
        witness.happened(Consequence::Arrived { thread: arrival.thread, position: arrival.position, handle });
    }

    /// Drops one capability; its children go to its parent. The object goes with its last.
    pub(crate) fn remove_capability<W: Witness>(&mut self, id: CapabilityId, witness: &mut W) {
        let Some(&record) = self.capabilities.get(id) else { return };
        let Some(object) = record.object() else { return };
        self.unmap(record.mapping, witness);

        // Its children take its place among its siblings.
        let (mut first, mut last) = (record.next, CapabilityId::NONE);
        if !record.first_child.is_none() {
            first = record.first_child;
            let mut child = first;
            while let Some(record_of_child) = self.capabilities.get_mut(child) {
                record_of_child.parent = record.parent;
                last = child;
                child = record_of_child.next;
            }
            if let Some(last) = self.capabilities.get_mut(last) {
                last.next = record.next;
            }
            if let Some(first) = self.capabilities.get_mut(first) {
                first.previous = record.previous;
            }
        }
        if let Some(next) = self.capabilities.get_mut(record.next) {
            next.previous = if last.is_none() { record.previous } else { last };
        }
        match self.capabilities.get_mut(record.previous) {
            Some(previous) => previous.next = first,
            None => match self.capabilities.get_mut(record.parent) {
                Some(parent) => parent.first_child = first,
                None => {
                    if let Some(header) = self.header_mut(object) {
                        header.first_capability = first;
                    }
                }
            },
        }
        self.capabilities.remove(id);

        match record.holding {
            Holding::Slot => {
                if let Some(table) = self.tables.get_mut(record.process.index()) {
                    table.empty(record.slot);
                }
                witness.happened(Consequence::Lost { process: record.process, capability: id });
            }
            Holding::Supervisor => {
                if let Some(process) = self.processes.get_mut(record.process.0) {
                    process.supervisor = CapabilityId::NONE;
                }
                witness.happened(Consequence::SupervisorLost { process: record.process });
                self.forget_if_unneeded(record.process);
            }
        }
        if let Some(header) = self.header_mut(object) {
            header.capabilities -= 1;
            if header.capabilities == 0 {
                self.doom(object, Doom::Unheld);
            }
        }
    }

    /// Drops every descendant, the youngest first.
    pub(crate) fn revoked<W: Witness>(&mut self, capability: CapabilityId, witness: &mut W) {
        loop {
            let leaf = self.capabilities.leaf(capability);
            if leaf == capability {
                return;
            }
            self.remove_capability(leaf, witness);
        }
    }

    /// Drops every capability to an object.
    pub(crate) fn remove_capabilities_of<W: Witness>(&mut self, object: Object, witness: &mut W) {
        while let Some(first) = self.header(object).map(|header| header.first_capability)
            && !first.is_none()
        {
            let leaf = self.capabilities.leaf(first);
            self.remove_capability(leaf, witness);
        }
    }

    /// Drops every capability in a table, and the table.
    pub(crate) fn clear_table<W: Witness>(&mut self, process: ProcessId, witness: &mut W) {
        for slot in 0.. {
            let Some(table) = self.tables.get(process.index()) else { break };
            let Some(cell) = table.slots.get(slot) else { break };
            if !cell.is_free() {
                self.remove_capability(cell.capability, witness);
            }
        }
        if let Some(table) = self.tables.get_mut(process.index()) {
            *table = Table::new();
        }
    }

    /// The capability that a handle of `process` names, with the object's number. The
    /// order of checks is fixed: handle, kind, rights, expiry.
    #[inline]
    pub fn lookup(
        &self,
        process: ProcessId,
        handle: Handle,
        kind: Kind,
        rights: Rights,
        now: u64,
    ) -> Result<(CapabilityId, &Capability), Error> {
        let (id, capability) = self.resolve(process, handle)?;
        if capability.kind != Some(kind) {
            return Err(Error::WrongKind);
        }
        capability.check(rights, now)?;
        Ok((id, capability))
    }

    /// The capability that a handle of `process` names, of whatever kind.
    #[inline]
    pub fn resolve(&self, process: ProcessId, handle: Handle) -> Result<(CapabilityId, &Capability), Error> {
        let table = self.tables.get(process.index()).ok_or(Error::BadHandle)?;
        let id = table.resolve(handle)?;
        let capability = self.capabilities.get(id).ok_or(Error::BadHandle)?;
        Ok((id, capability))
    }

    /// What is known of a capability.
    pub fn capability_info(&self, id: CapabilityId) -> Option<CapabilityInfo> {
        let record = self.capabilities.get(id)?;
        let object = record.object()?;
        let holder = self.processes.get(record.process.0)?;
        let handle = match record.holding {
            Holding::Slot => self.tables.get(record.process.index())?.handle(record.slot),
            Holding::Supervisor => Handle::NONE,
        };
        Some(CapabilityInfo {
            capability: id.0,
            holder: holder.serial,
            handle,
            kind: object.kind,
            object: object.index,
            rights: record.rights,
            badge: record.badge,
            expiry: record.expiry,
            parent: (!record.parent.is_none()).then_some(record.parent.0),
            name: self.name(object),
        })
    }

    /// The name of an object; empty where its kind has none.
    pub fn name(&self, object: Object) -> Name {
        let index = object.index;
        match object.kind {
            Kind::Process => self.processes.get(index).map(|process| process.name),
            Kind::Image => self.images.get(index).map(|image| image.name),
            Kind::Device => self.devices.get(index as usize).and_then(Option::as_ref).map(|device| device.name),
            Kind::Interrupt => self.interrupts.get(index as usize).and_then(Option::as_ref).map(|interrupt| interrupt.name),
            _ => None,
        }
        .unwrap_or_default()
    }
}

impl Capability {
    /// Rights, then expiry.
    #[inline]
    pub fn check(&self, rights: Rights, now: u64) -> Result<(), Error> {
        if !self.rights.contains(rights) {
            return Err(Error::MissingRight);
        }
        if self.expiry <= now {
            return Err(Error::Expired);
        }
        Ok(())
    }

    /// What deriving with these wishes gives: rights, badge, expiry.
    pub fn attenuate(&self, rights: Rights, badge: u64, expiry: u64, now: u64) -> Result<(Rights, u64, u64), Error> {
        let rights = if rights == Rights::ALL { self.rights } else { rights };
        self.check(rights, now)?;
        let badge = match (self.badge, badge) {
            (own, 0) => own,
            (0, new) => new,
            _ => return Err(Error::InvalidArgument),
        };
        let expiry = match expiry {
            FOREVER => self.expiry,
            sooner if now < sooner && sooner <= self.expiry => sooner,
            _ => return Err(Error::InvalidArgument),
        };
        Ok((rights, badge, expiry))
    }
}

impl Kernel {
    /// Where a new capability of `process` goes, after `ahead` others of the same decision.
    pub(crate) fn place(&self, process: ProcessId, ahead: usize) -> Result<Place, Error> {
        let record = self.authority.processes.get(process.0).ok_or(Error::InvalidArgument)?;
        let table = self.authority.tables.get(process.index()).ok_or(Error::InvalidArgument)?;
        let slot = table.vacant(ahead);
        if table.used as usize + ahead >= record.limits.capabilities as usize || slot >= Table::MAX {
            return Err(Error::QuotaExceeded);
        }
        Ok(Place { capability: self.authority.capabilities.vacant(ahead)?, process, slot })
    }

    /// The handle that a place has once it is filled.
    pub(crate) fn handle_at(&self, place: Place) -> Handle {
        let generation = self
            .authority
            .tables
            .get(place.process.index())
            .and_then(|table| table.slots.get(place.slot as usize))
            .map_or(1, |slot| slot.generation);
        Handle::new(place.slot, generation)
    }

    pub(crate) fn decide_derive(&self, caller: Caller, source: Handle, rights: Rights, badge: u64, expiry: u64) -> Result<Decision, Error> {
        let (id, capability) = self.authority.resolve(caller.process, source)?;
        let (rights, badge, expiry) = capability.attenuate(rights, badge, expiry, caller.now)?;
        let place = self.place(caller.process, 0)?;
        let change = Change::Derived { source: id, place, rights, badge, expiry, arrival: None };
        Ok(Decision::done(Returned::Handle(self.handle_at(place)), change))
    }

    pub(crate) fn decide_delete(&self, caller: Caller, handle: Handle) -> Result<Decision, Error> {
        let (capability, _) = self.authority.resolve(caller.process, handle)?;
        Ok(Decision::done(Returned::Nothing, Change::Deleted { capability }))
    }

    pub(crate) fn decide_revoke(&self, caller: Caller, handle: Handle) -> Result<Decision, Error> {
        let (capability, _) = self.authority.resolve(caller.process, handle)?;
        let mut descendants = 0;
        let mut at = capability;
        while let Some(next) = self.authority.capabilities.walk(capability, at) {
            descendants += 1;
            at = next;
        }
        if descendants == 0 {
            return Ok(Decision::nothing(Returned::Value(0)));
        }
        Ok(Decision::done(Returned::Value(descendants), Change::Revoked { capability }))
    }

    pub(crate) fn decide_destroy(&self, caller: Caller, handle: Handle) -> Result<Decision, Error> {
        let (_, capability) = self.authority.resolve(caller.process, handle)?;
        capability.check(Rights::MANAGE, caller.now)?;
        let object = capability.object().ok_or(Error::BadHandle)?;
        if object == QuotaId::ROOT.into() {
            return Err(Error::InvalidArgument);
        }
        Ok(Decision::done(Returned::Nothing, Change::Destroyed { object: object.kind, index: object.index }))
    }

    pub(crate) fn decide_inspect(&self, caller: Caller, process: Handle, slot: u32, ancestor: u32) -> Result<Decision, Error> {
        let process = self.process_or_self(caller, process, Rights::INSPECT)?;
        let table = self.authority.tables.get(process.index()).ok_or(Error::BadHandle)?;
        let slots = table.slots.get(slot as usize..).ok_or(Error::BadHandle)?;
        let mut id = slots.iter().find(|slot| !slot.is_free()).ok_or(Error::BadHandle)?.capability;
        for _ in 0..ancestor {
            id = self.authority.capabilities.get(id).ok_or(Error::BadHandle)?.parent;
        }
        let info = self.authority.capability_info(id).ok_or(Error::BadHandle)?;
        Ok(Decision::nothing(Returned::Capability(info)))
    }
}
