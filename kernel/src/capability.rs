//! Capabilities: one arena for all, with the derivation tree in it.

use crate::authority::{Authority, Consequence, Doom, Witness};
use crate::brief::{Brief, BriefEnd};
use crate::commit::{Arrival, Authority as Change, Decision, Place};
use crate::encoding::{fields, variants};
use crate::ids::*;
use crate::table::Table;
use crate::{Caller, Kernel};
use abi::{CapabilityInfo, Error, FOREVER, Handle, Kind, Name, Returned, Rights};

/// How many capabilities may stand above one from which another is derived. It bounds what it takes to drop one of
/// many: each that goes hands its children on.
pub const MAX_DERIVATION: u32 = 64;

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
    /// Kind of the object.
    pub kind: Kind,
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
    /// Neighbours among the children of its parent.
    pub previous: CapabilityId,
    /// See `previous`.
    pub next: CapabilityId,
    /// Where it is mapped, of a region.
    pub mapping: MappingId,
}

impl Capability {
    /// To an object, with no rights and in no place yet.
    const fn to(object: Object) -> Capability {
        Capability {
            badge: 0,
            expiry: FOREVER,
            index: object.index,
            rights: Rights::NONE,
            kind: object.kind,
            holding: Holding::Slot,
            process: ProcessId::NONE,
            slot: 0,
            parent: CapabilityId::NONE,
            first_child: CapabilityId::NONE,
            previous: CapabilityId::NONE,
            next: CapabilityId::NONE,
            mapping: MappingId::NONE,
        }
    }

    /// What it names.
    pub const fn object(&self) -> Object {
        Object { kind: self.kind, index: self.index }
    }
}

variants!(Holding: Slot Supervisor);
fields!(Capability: badge expiry index rights kind holding process slot parent first_child previous next mapping);

impl Authority {
    /// The next in the tree below `root`, depth first, after `id`; `None` at the end.
    fn walk(&self, root: CapabilityId, id: CapabilityId) -> Option<CapabilityId> {
        let record = self.capabilities.get(id)?;
        if !record.first_child.is_none() {
            return Some(record.first_child);
        }
        let mut id = id;
        while id != root {
            let record = self.capabilities.get(id)?;
            if !record.next.is_none() {
                return Some(record.next);
            }
            id = record.parent;
        }
        None
    }

    /// Refuses to derive from a capability that [`MAX_DERIVATION`] others stand above.
    #[inline(always)]
    pub(crate) fn may_derive(&self, source: CapabilityId) -> Result<(), Error> {
        let mut above = source;
        for _ in 0..MAX_DERIVATION {
            match self.capabilities.get(above) {
                Some(record) if !record.parent.is_none() => above = record.parent,
                _ => return Ok(()),
            }
        }
        Err(Error::QuotaExceeded)
    }

    /// The first descendant that has none itself; `id` if it has none.
    fn leaf(&self, mut id: CapabilityId) -> CapabilityId {
        while let Some(record) = self.capabilities.get(id)
            && !record.first_child.is_none()
        {
            id = record.first_child;
        }
        id
    }

    /// The first capability to an object.
    pub(crate) fn first_capability(&mut self, object: Object, place: Place, rights: Rights) {
        self.insert_capability(place, Capability { rights, ..Capability::to(object) });
    }

    /// A capability from another, into a table.
    #[inline(always)]
    pub(crate) fn derived(
        &mut self,
        source: CapabilityId,
        place: Place,
        rights: Rights,
        badge: u64,
        expiry: u64,
    ) -> Handle {
        let Some(object) = self.capabilities.get(source).map(Capability::object) else { return Handle::NONE };
        self.insert_capability(place, Capability { badge, expiry, rights, parent: source, ..Capability::to(object) })
    }

    /// The capability with which a process tells its supervisor: in its record, not its table.
    pub(crate) fn supervisor_capability(&mut self, source: CapabilityId, capability: CapabilityId, process: ProcessId) {
        let Some(&from) = self.capabilities.get(source) else { return };
        let (badge, expiry, holding) = (from.badge, from.expiry, Holding::Supervisor);
        let record = Capability {
            badge,
            expiry,
            holding,
            process,
            rights: Rights::SEND,
            parent: source,
            ..Capability::to(from.object())
        };
        self.link_capability(capability, record);
    }

    #[inline(always)]
    fn insert_capability(&mut self, place: Place, record: Capability) -> Handle {
        let Some(table) = self.tables.get_mut(place.process.index()) else { return Handle::NONE };
        let handle = table.fill(place.slot, place.capability);
        self.link_capability(place.capability, Capability { process: place.process, slot: place.slot, ..record });
        handle
    }

    /// Puts a record into the arena and first among its siblings.
    #[inline(always)]
    fn link_capability(&mut self, id: CapabilityId, mut record: Capability) {
        let object = record.object();
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
        let handle =
            self.tables.get_mut(place.process.index()).map_or(Handle::NONE, |table| table.fill(place.slot, capability));
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
        let object = record.object();
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
        let mut leaf = self.leaf(capability);
        while leaf != capability {
            leaf = self.remove_leaf(leaf, witness);
        }
    }

    /// Drops a capability that has no descendants; gives that which goes after it when all of a tree go. Each is
    /// looked at twice, however deep the tree is.
    fn remove_leaf<W: Witness>(&mut self, leaf: CapabilityId, witness: &mut W) -> CapabilityId {
        let Some(&Capability { next, parent, .. }) = self.capabilities.get(leaf) else { return CapabilityId::NONE };
        self.remove_capability(leaf, witness);
        if next.is_none() { parent } else { self.leaf(next) }
    }

    /// Drops every capability to an object.
    pub(crate) fn remove_capabilities_of<W: Witness>(&mut self, object: Object, witness: &mut W) {
        let first = self.header(object).map_or(CapabilityId::NONE, |header| header.first_capability);
        let mut leaf = self.leaf(first);
        while !leaf.is_none() {
            leaf = self.remove_leaf(leaf, witness);
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
        if capability.kind != kind {
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
        let object = record.object();
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
            Kind::Interrupt => {
                self.interrupts.get(index as usize).and_then(Option::as_ref).map(|interrupt| interrupt.name)
            }
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
    #[inline]
    pub fn attenuate(&self, rights: Rights, badge: u64, expiry: u64, now: u64) -> Result<(Rights, u64, u64), Error> {
        // Who asks for all that there is does not ask to read what others say to each other.
        let rights = if rights == Rights::ALL { self.rights.without(Rights::CAPTURE) } else { rights };
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
    #[inline]
    pub(crate) fn place(&self, process: ProcessId, ahead: usize) -> Result<Place, Error> {
        let record = self.authority.processes.get(process.0).ok_or(Error::InvalidArgument)?;
        let table = self.authority.tables.get(process.index()).ok_or(Error::InvalidArgument)?;
        let slot = table.vacant(ahead);
        if table.used as usize + ahead >= record.limits.capabilities as usize || slot >= Table::MAX {
            return Err(Error::QuotaExceeded);
        }
        Ok(Place { capability: CapabilityId(self.authority.capabilities.vacant_after(ahead)?), process, slot })
    }

    /// The handle that a place has once it is filled.
    #[inline]
    pub(crate) fn handle_at(&self, place: Place) -> Handle {
        let generation = self
            .authority
            .tables
            .get(place.process.index())
            .and_then(|table| table.slots.get(place.slot as usize))
            .map_or(1, |slot| slot.generation);
        Handle::new(place.slot, generation)
    }

    #[inline(always)]
    pub(crate) fn decide_derive(
        &self,
        caller: Caller,
        source: Handle,
        rights: Rights,
        badge: u64,
        expiry: u64,
    ) -> Result<Brief, Error> {
        let (id, capability) = self.authority.resolve(caller.process, source)?;
        let (rights, badge, expiry) = capability.attenuate(rights, badge, expiry, caller.now)?;
        self.authority.may_derive(id)?;
        let place = self.place(caller.process, 0)?;
        let change = Change::Derived { source: id, place, rights, badge, expiry, arrival: None };
        Ok(Brief::new(BriefEnd::Handle(self.handle_at(place)), change))
    }

    #[inline(always)]
    pub(crate) fn decide_delete(&self, caller: Caller, handle: Handle) -> Result<Brief, Error> {
        let (capability, _) = self.authority.resolve(caller.process, handle)?;
        Ok(Brief::new(BriefEnd::Done, Change::Deleted { capability }))
    }

    pub(crate) fn decide_revoke(&self, caller: Caller, handle: Handle) -> Result<Decision, Error> {
        let (capability, _) = self.authority.resolve(caller.process, handle)?;
        let mut descendants = 0;
        let mut at = capability;
        while let Some(next) = self.authority.walk(capability, at) {
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
        let object = capability.object();
        if object == QuotaId::ROOT.into() {
            return Err(Error::InvalidArgument);
        }
        Ok(Decision::done(Returned::Nothing, Change::Destroyed { object: object.kind, index: object.index }))
    }

    pub(crate) fn decide_inspect(
        &self,
        caller: Caller,
        process: Handle,
        slot: u32,
        ancestor: u32,
    ) -> Result<Decision, Error> {
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
