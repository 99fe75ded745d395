//! Regions: pages of memory. Copied in and out everywhere; mapped where the host has
//! address spaces. A mapping hangs on the capability through which it was made and
//! goes with it.

use crate::authority::{Authority, Consequence, Header, Witness};
use crate::brief::{Brief, BriefEnd};
use crate::commit::{Authority as Change, Change as Changed, Commit, Decision, Place};
use crate::effect::Effect;
use crate::encoding::fields;
use crate::ids::*;
use crate::quota::OBJECT_PRICE;
use crate::{Caller, Kernel};
use abi::message::MAX_BYTES;
use abi::{Error, FOREVER, Handle, Kind, PAGE_SIZE, Returned, Rights};

/// One region.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Region {
    pub(crate) header: Header,
    /// How large.
    pub pages: u64,
    /// Mappings through which it can be written.
    pub writable: u32,
    /// Mappings through which it can be executed.
    pub executable: u32,
}
fields!(Region: header pages writable executable);

/// One mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Through which it was made.
    pub capability: CapabilityId,
    /// Into which address space.
    pub process: ProcessId,
    /// Of what.
    pub region: RegionId,
    /// Where; a multiple of the page size.
    pub address: u64,
    /// Of the capability's: read, write, execute.
    pub rights: Rights,
}
fields!(Mapping: capability process region address rights);

/// One more than the highest address that can be mapped: the lower half of x86_64.
const ADDRESSES: u64 = 1 << 47;
/// The most pages that a region has: what can be mapped.
pub(crate) const MAX_PAGES: u64 = ADDRESSES / PAGE_SIZE as u64;

impl Region {
    fn bytes(&self) -> u64 {
        self.pages * PAGE_SIZE as u64
    }

    fn count(&mut self, rights: Rights, change: fn(u32) -> u32) {
        if rights.contains(Rights::WRITE) {
            self.writable = change(self.writable);
        }
        if rights.contains(Rights::EXECUTE) {
            self.executable = change(self.executable);
        }
    }
}

impl Authority {
    pub(crate) fn region_created(&mut self, region: RegionId, quota: QuotaId, pages: u64, place: Place) {
        let header = Header::new(quota, OBJECT_PRICE, pages);
        self.regions.insert(region.0, Region { header, pages, writable: 0, executable: 0 });
        self.enrol(region.into());
        self.first_capability(region.into(), place, Kind::Region.rights());
    }

    #[inline(always)]
    pub(crate) fn mapped<W: Witness>(
        &mut self,
        mapping: MappingId,
        capability: CapabilityId,
        page: u64,
        rights: Rights,
        witness: &mut W,
    ) {
        let Some(record) = self.capabilities.get_mut(capability) else { return };
        let (process, region) = (record.process, RegionId(record.index));
        record.mapping = mapping;
        if let Some(record) = self.regions.get_mut(region.0) {
            record.count(rights, |count| count + 1);
        }
        let address = page.wrapping_mul(PAGE_SIZE as u64);
        let made = Mapping { capability, process, region, address, rights };
        self.mappings.insert(mapping.0, made);
        witness.happened(Consequence::Mapped(made));
    }

    pub(crate) fn unmap<W: Witness>(&mut self, mapping: MappingId, witness: &mut W) {
        if mapping.is_none() {
            return;
        }
        let Some(gone) = self.mappings.remove(mapping.0) else { return };
        let Mapping { capability, region, rights, .. } = gone;
        if let Some(record) = self.capabilities.get_mut(capability) {
            record.mapping = MappingId::NONE;
        }
        if let Some(record) = self.regions.get_mut(region.0) {
            record.count(rights, |count| count - 1);
        }
        witness.happened(Consequence::Unmapped(gone));
    }
}

impl Kernel {
    pub(crate) fn decide_region_create(&self, caller: Caller, quota: Handle, pages: u64) -> Result<Decision, Error> {
        let quota = self.paying(caller, quota)?;
        if pages == 0 || pages > MAX_PAGES {
            return Err(Error::InvalidArgument);
        }
        self.afford(quota, OBJECT_PRICE, pages)?;
        let place = self.place(caller.process, 0)?;
        let region = RegionId(self.authority.regions.vacant()?);
        Ok(Decision::done(
            Returned::Handle(self.handle_at(place)),
            Change::RegionCreated { region, quota, pages, place },
        ))
    }

    /// How many pages the region has that a process's handle names, if it names one.
    pub fn region_pages(&self, process: ProcessId, region: Handle) -> Option<u64> {
        let (_, capability) = self.authority.lookup(process, region, Kind::Region, Rights::NONE, 0).ok()?;
        self.authority.regions.get(capability.index).map(|region| region.pages)
    }

    /// How many pages are mapped by this commit, if any are.
    #[inline(always)]
    pub fn pages_mapped(&self, commit: &Commit) -> Option<u64> {
        let Changed::Authority(Change::Mapped { capability, .. }) = commit.change else { return None };
        let capability = self.authority.capabilities.get(capability)?;
        self.authority.regions.get(capability.index).map(|region| region.pages)
    }

    /// The region that a handle names; `length` bytes from `offset` lie in it.
    pub(crate) fn span(
        &self,
        caller: Caller,
        region: Handle,
        rights: Rights,
        offset: u64,
        length: u64,
    ) -> Result<RegionId, Error> {
        let (_, capability) = self.authority.lookup(caller.process, region, Kind::Region, rights, caller.now)?;
        let region = RegionId(capability.index);
        let bytes = self.authority.regions.get(region.0).map_or(0, Region::bytes);
        if offset.checked_add(length).is_none_or(|end| end > bytes) {
            return Err(Error::InvalidArgument);
        }
        Ok(region)
    }

    pub(crate) fn decide_region_read(
        &self,
        caller: Caller,
        region: Handle,
        offset: u64,
        length: u32,
    ) -> Result<Decision, Error> {
        let region = self.span(caller, region, Rights::READ, offset, u64::from(length))?;
        if length as usize > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        Ok(Decision::host(Effect::RegionRead { thread: caller.thread, region, offset, length }))
    }

    pub(crate) fn decide_region_write(
        &self,
        caller: Caller,
        region: Handle,
        offset: u64,
        length: u32,
    ) -> Result<Decision, Error> {
        let region = self.span(caller, region, Rights::WRITE, offset, u64::from(length))?;
        if length as usize > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        Ok(Decision::host(Effect::RegionWrite { thread: caller.thread, region, offset, length }))
    }

    /// Nothing is mapped to be written and to be executed at once, in whatever places.
    #[inline(always)]
    pub(crate) fn decide_region_map(
        &self,
        caller: Caller,
        region: Handle,
        address: u64,
        rights: Rights,
    ) -> Result<Brief, Error> {
        if !self.platform.mapping {
            return Err(Error::Unsupported);
        }
        let (id, capability) = self.authority.lookup(caller.process, region, Kind::Region, rights, caller.now)?;
        let record = self.authority.regions.get(capability.index).ok_or(Error::BadHandle)?;
        let (writes, executes) = (rights.contains(Rights::WRITE), rights.contains(Rights::EXECUTE));
        let known = Rights::READ.or(Rights::WRITE).or(Rights::EXECUTE);
        let end = address.checked_add(record.bytes()).filter(|&end| end <= ADDRESSES).ok_or(Error::InvalidArgument)?;
        // A mapping is not looked at again when it is used, so it may not be of what expires.
        if rights.is_empty()
            || !known.contains(rights)
            || !address.is_multiple_of(PAGE_SIZE as u64)
            || address == 0
            || capability.expiry != FOREVER
        {
            return Err(Error::InvalidArgument);
        }
        if writes && (executes || record.executable > 0) || executes && record.writable > 0 {
            return Err(Error::InvalidArgument);
        }
        if !capability.mapping.is_none() || self.overlaps(caller.process, address, end) {
            return Err(Error::AlreadyBound);
        }
        let (mapping, page) = (MappingId(self.authority.mappings.vacant()?), address / PAGE_SIZE as u64);
        Ok(Brief::new(BriefEnd::Done, Change::Mapped { mapping, capability: id, page, rights }))
    }

    /// Whether a process has something mapped from `address` up to `end`.
    fn overlaps(&self, process: ProcessId, address: u64, end: u64) -> bool {
        self.authority.mappings.iter().filter(|(_, mapping)| mapping.process == process).any(|(_, mapping)| {
            let bytes = self.authority.regions.get(mapping.region.0).map_or(0, Region::bytes);
            mapping.address < end && address < mapping.address + bytes
        })
    }

    #[inline(always)]
    pub(crate) fn decide_region_unmap(&self, caller: Caller, region: Handle, address: u64) -> Result<Brief, Error> {
        if !self.platform.mapping {
            return Err(Error::Unsupported);
        }
        let (_, capability) = self.authority.lookup(caller.process, region, Kind::Region, Rights::NONE, caller.now)?;
        match self.authority.mappings.get(capability.mapping.0) {
            Some(mapping) if mapping.address == address => {
                Ok(Brief::new(BriefEnd::Done, Change::Unmapped { mapping: capability.mapping }))
            }
            _ => Err(Error::NotBound),
        }
    }
}
