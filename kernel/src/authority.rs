//! Authority: which objects there are, who holds capabilities to them, what pays for
//! them. Changed by authority commits, which read nothing else, so that the
//! authority commits of a log can be replayed alone. What goes as a consequence is
//! told to a [`Witness`], which is the other half of the state.

use crate::arena::Arena;
use crate::capability::Capability;
use crate::commit::{Authority as Change, Change as Commits, Commit};
use crate::device::Device;
use crate::encoding::{Decode, Encode, Sink, fields, variants};
use crate::endpoint::Endpoint;
use crate::ids::*;
use crate::image::Image;
use crate::interrupt::Interrupt;
use crate::log::Log;
use crate::notification::Notification;
use crate::process::{Process, ProcessLife};
use crate::quota::Quota;
use crate::region::{Mapping, Region};
use crate::table::Table;
use crate::thread::Thread;
use abi::{Error, ExitReason, Handle, Kind};
use alloc::vec::Vec;

/// What every object has, whatever its kind.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// What pays for it; `NONE` for what the host set up.
    pub quota: QuotaId,
    /// Its price in bytes of kernel memory.
    pub memory: u64,
    /// Its price in pages.
    pub pages: u64,
    /// Neighbours among what the quota pays for, or among the doomed.
    pub previous: Option<Object>,
    /// See `previous`.
    pub next: Option<Object>,
    /// First of the capabilities that were not derived from another.
    pub first_capability: CapabilityId,
    /// Capabilities to it, derived ones too.
    pub capabilities: u32,
    /// Whether it is among the doomed, and why.
    pub doom: Doom,
}

/// Why an object goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Doom {
    /// It stays.
    None = 0,
    /// It was destroyed, or nobody holds it any longer.
    Unheld = 1,
    /// What paid for it went.
    Reclaimed = 2,
}

impl Header {
    /// Of an object that `quota` pays for, with these prices.
    pub const fn new(quota: QuotaId, memory: u64, pages: u64) -> Header {
        Header {
            quota,
            memory,
            pages,
            previous: None,
            next: None,
            first_capability: CapabilityId::NONE,
            capabilities: 0,
            doom: Doom::None,
        }
    }
}

/// What else happens when authority changes: the other half of the state hears of it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Consequence {
    /// A capability is in the table of this process no longer.
    Lost { process: ProcessId, capability: CapabilityId },
    /// A capability came with a message.
    Arrived { thread: ThreadId, position: u8, handle: Handle },
    /// There is a mapping.
    Mapped(Mapping),
    /// A mapping is gone.
    Unmapped(Mapping),
    /// The process has nobody to tell of its faults and its end any longer.
    SupervisorLost { process: ProcessId },
    /// The process has ended; its threads are gone. `tell`: there is a supervisor.
    Exited { process: ProcessId, tell: bool },
    /// The object's record is gone; its number may be used again.
    Gone { object: Object },
}

/// Who hears of consequences.
pub trait Witness {
    /// This happened.
    fn happened(&mut self, consequence: Consequence);
}

/// For authority replayed alone.
pub struct Nobody;

impl Witness for Nobody {
    fn happened(&mut self, _: Consequence) {}
}

/// The authority half of the state.
#[cfg_attr(test, derive(Clone))]
pub struct Authority {
    pub(crate) processes: Arena<Process>,
    /// Capability tables, by process.
    pub(crate) tables: Vec<Table>,
    pub(crate) threads: Arena<Thread>,
    pub(crate) endpoints: Arena<Endpoint>,
    pub(crate) notifications: Arena<Notification>,
    pub(crate) regions: Arena<Region>,
    pub(crate) mappings: Arena<Mapping>,
    pub(crate) images: Arena<Image>,
    pub(crate) quotas: Arena<Quota>,
    pub(crate) logs: Arena<Log>,
    /// By the host's number.
    pub(crate) devices: Vec<Option<Device>>,
    /// By the host's number.
    pub(crate) interrupts: Vec<Option<Interrupt>>,
    pub(crate) capabilities: Arena<Capability>,
    /// Objects that go before the commit is done: first of the list.
    doomed: Option<Object>,
    /// The same for quotas, which go after all that they paid for.
    doomed_quotas: Option<Object>,
    /// Processes made so far.
    pub(crate) serial: u64,
}

impl Authority {
    /// With nothing.
    pub const fn new() -> Authority {
        Authority {
            processes: Arena::new(),
            tables: Vec::new(),
            threads: Arena::new(),
            endpoints: Arena::new(),
            notifications: Arena::new(),
            regions: Arena::new(),
            mappings: Arena::new(),
            images: Arena::new(),
            quotas: Arena::new(),
            logs: Arena::new(),
            devices: Vec::new(),
            interrupts: Vec::new(),
            capabilities: Arena::new(),
            doomed: None,
            doomed_quotas: None,
            serial: 0,
        }
    }

    /// Carries out a change, and all that follows from it.
    #[inline(always)]
    pub fn apply<W: Witness>(&mut self, change: &Change, witness: &mut W) {
        match *change {
            Change::QuotaCreated { quota, parent, memory, pages, place } => {
                self.quota_created(quota, parent, memory, pages, place)
            }
            Change::EndpointCreated { endpoint, quota, depth, place } => {
                self.endpoint_created(endpoint, quota, depth, place)
            }
            Change::NotificationCreated { notification, quota, place } => {
                self.notification_created(notification, quota, place)
            }
            Change::ProcessCreated { process, quota, image, source, supervisor, name, limits, place } => {
                self.process_created(process, quota, image, (source, supervisor), name, limits, place);
            }
            Change::ProcessStarted { process, thread, .. } => self.process_started(process, thread),
            Change::ThreadCreated { thread, process, quota, place, .. } => {
                self.thread_created(thread, process, quota, Some(place))
            }
            Change::RegionCreated { region, quota, pages, place } => self.region_created(region, quota, pages, place),
            Change::ImageCreated { image, quota, hash, length, name, place, .. } => {
                self.image_created(image, quota, hash, length, name, place);
            }
            Change::DeviceAdded { device, name, place } => self.device_added(device, name, place),
            Change::InterruptAdded { interrupt, name, place } => self.interrupt_added(interrupt, name, place),
            Change::LogAdded { log, place } => self.log_added(log, place),

            Change::Derived { source, place, rights, badge, expiry, arrival } => {
                let handle = self.derived(source, place, rights, badge, expiry);
                if let Some(arrival) = arrival {
                    witness.happened(Consequence::Arrived {
                        thread: arrival.thread,
                        position: arrival.position,
                        handle,
                    });
                }
                // Nothing goes because of it.
                return;
            }
            Change::Granted { object, index, place, rights } => {
                self.first_capability(Object { kind: object, index }, place, rights)
            }
            Change::Moved { place, arrival } => self.moved(place, arrival, witness),
            Change::Deleted { capability } => self.remove_capability(capability, witness),
            Change::Revoked { capability } => self.revoked(capability, witness),
            Change::Destroyed { object, index } => self.doom(Object { kind: object, index }, Doom::Unheld),

            Change::Exited { process, reason, code } => self.exit(process, reason, code, witness),
            Change::ThreadExited { thread } => self.thread_exited(thread, witness),
            Change::ExitRead { process } => self.exit_read(process, witness),
            Change::Limited { process, limits } => self.limited(process, limits),
            Change::Grown { process, pages } => self.grown(process, pages),

            Change::Mapped { mapping, capability, page, rights } => {
                return self.mapped(mapping, capability, page, rights, witness);
            }
            Change::Unmapped { mapping } => return self.unmap(mapping, witness),
            Change::CaptureBegan { endpoint, .. } => self.capture_began(endpoint),
            Change::CaptureEnded { endpoint, .. } => self.capture_ended(endpoint),
        }
        while let Some(object) = self.doomed.or(self.doomed_quotas) {
            self.finish(object, witness);
        }
    }

    /// Makes room for the capability that a decision's one commit adds, or a mapping. Mostly there is.
    #[inline(always)]
    pub(crate) fn reserve_capability(&mut self, commit: &Commit) -> Result<(), Error> {
        let Commits::Authority(change) = &commit.change else { return Ok(()) };
        let table = change.place().and_then(|place| self.tables.get(place.process.index()));
        if table.is_none_or(Table::has_room) && self.capabilities.has_room() && self.mappings.has_room() {
            return Ok(());
        }
        self.reserve_capabilities(&[*commit])
    }

    /// Makes room for the capabilities that a decision's commits add, and a mapping.
    pub(crate) fn reserve_capabilities(&mut self, commits: &[Commit]) -> Result<(), Error> {
        let count = commits.len();
        self.capabilities.reserve(count + 1)?;
        self.mappings.reserve(1)?;
        for commit in commits {
            if let Commits::Authority(change) = &commit.change
                && let Some(table) = change.place().and_then(|place| self.tables.get_mut(place.process.index()))
            {
                table.slots.try_reserve(count).map_err(|_| Error::QuotaExceeded)?;
            }
        }
        Ok(())
    }

    /// Makes room for the objects that a decision's commits add.
    pub(crate) fn reserve_records(&mut self, commits: &[Commit]) -> Result<(), Error> {
        self.processes.reserve(1)?;
        self.threads.reserve(1)?;
        self.endpoints.reserve(1)?;
        self.notifications.reserve(1)?;
        self.regions.reserve(1)?;
        self.images.reserve(1)?;
        self.quotas.reserve(1)?;
        self.logs.reserve(1)?;
        self.tables.try_reserve(1).map_err(|_| Error::QuotaExceeded)?;
        for commit in commits {
            let Commits::Authority(change) = &commit.change else { continue };
            match *change {
                Change::DeviceAdded { device, .. } => reserve_up_to(&mut self.devices, device.index())?,
                Change::InterruptAdded { interrupt, .. } => reserve_up_to(&mut self.interrupts, interrupt.index())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What the object has in common with all others.
    pub fn header(&self, object: Object) -> Option<&Header> {
        let index = object.index;
        match object.kind {
            Kind::Process => self.processes.get(index).map(|o| &o.header),
            Kind::Thread => self.threads.get(index).map(|o| &o.header),
            Kind::Endpoint => self.endpoints.get(index).map(|o| &o.header),
            Kind::Notification => self.notifications.get(index).map(|o| &o.header),
            Kind::Region => self.regions.get(index).map(|o| &o.header),
            Kind::Image => self.images.get(index).map(|o| &o.header),
            Kind::Quota => self.quotas.get(index).map(|o| &o.header),
            Kind::Log => self.logs.get(index).map(|o| &o.header),
            Kind::Device => self.devices.get(index as usize)?.as_ref().map(|o| &o.header),
            Kind::Interrupt => self.interrupts.get(index as usize)?.as_ref().map(|o| &o.header),
        }
    }

    pub(crate) fn header_mut(&mut self, object: Object) -> Option<&mut Header> {
        let index = object.index;
        match object.kind {
            Kind::Process => self.processes.get_mut(index).map(|o| &mut o.header),
            Kind::Thread => self.threads.get_mut(index).map(|o| &mut o.header),
            Kind::Endpoint => self.endpoints.get_mut(index).map(|o| &mut o.header),
            Kind::Notification => self.notifications.get_mut(index).map(|o| &mut o.header),
            Kind::Region => self.regions.get_mut(index).map(|o| &mut o.header),
            Kind::Image => self.images.get_mut(index).map(|o| &mut o.header),
            Kind::Quota => self.quotas.get_mut(index).map(|o| &mut o.header),
            Kind::Log => self.logs.get_mut(index).map(|o| &mut o.header),
            Kind::Device => self.devices.get_mut(index as usize)?.as_mut().map(|o| &mut o.header),
            Kind::Interrupt => self.interrupts.get_mut(index as usize)?.as_mut().map(|o| &mut o.header),
        }
    }

    /// Every object, kind by kind.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        fn of(kind: Kind, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = Object> {
            numbers.map(move |index| Object { kind, index })
        }
        fn hosts<T>(records: &[Option<T>]) -> impl Iterator<Item = u32> {
            records.iter().zip(0..).filter(|(record, _)| record.is_some()).map(|(_, index)| index)
        }
        of(Kind::Process, self.processes.iter().map(|o| o.0))
            .chain(of(Kind::Thread, self.threads.iter().map(|o| o.0)))
            .chain(of(Kind::Endpoint, self.endpoints.iter().map(|o| o.0)))
            .chain(of(Kind::Notification, self.notifications.iter().map(|o| o.0)))
            .chain(of(Kind::Region, self.regions.iter().map(|o| o.0)))
            .chain(of(Kind::Image, self.images.iter().map(|o| o.0)))
            .chain(of(Kind::Interrupt, hosts(&self.interrupts)))
            .chain(of(Kind::Device, hosts(&self.devices)))
            .chain(of(Kind::Quota, self.quotas.iter().map(|o| o.0)))
            .chain(of(Kind::Log, self.logs.iter().map(|o| o.0)))
    }

    /// How many objects and mappings there are.
    pub(crate) fn count(&self) -> u32 {
        self.processes.len()
            + self.threads.len()
            + self.endpoints.len()
            + self.notifications.len()
            + self.regions.len()
            + self.mappings.len()
            + self.images.len()
            + self.quotas.len()
            + self.interrupts.len() as u32
    }

    /// Puts a new object on the list of what its quota pays for, and charges it.
    pub(crate) fn enrol(&mut self, object: Object) {
        let Some(&Header { quota, memory, pages, .. }) = self.header(object) else { return };
        let Some(payer) = self.quotas.get_mut(quota.0) else { return };
        payer.memory_used += memory;
        payer.pages_used += pages;
        let first = payer.first_paid.replace(object);
        self.link_first(object, first);
    }

    /// Gives its price back and takes it off its quota's list.
    fn release(&mut self, object: Object) {
        let Some(&Header { quota, memory, pages, .. }) = self.header(object) else { return };
        let next = self.unlink(object);
        let Some(payer) = self.quotas.get_mut(quota.0) else { return };
        payer.memory_used -= memory;
        payer.pages_used -= pages;
        if payer.first_paid == Some(object) {
            payer.first_paid = next;
        }
    }

    /// Changes the price of an object that stays.
    pub(crate) fn reprice(&mut self, object: Object, memory: u64, pages: u64) {
        let Some(header) = self.header_mut(object) else { return };
        let doomed = header.doom != Doom::None;
        let (quota, before) = (header.quota, (header.memory, header.pages));
        (header.memory, header.pages) = (memory, pages);
        if !doomed && let Some(payer) = self.quotas.get_mut(quota.0) {
            payer.memory_used = payer.memory_used - before.0 + memory;
            payer.pages_used = payer.pages_used - before.1 + pages;
        }
    }

    fn link_first(&mut self, object: Object, first: Option<Object>) {
        if let Some(header) = self.header_mut(object) {
            header.previous = None;
            header.next = first;
        }
        if let Some(header) = first.and_then(|first| self.header_mut(first)) {
            header.previous = Some(object);
        }
    }

    /// Takes it from between its neighbours; gives what came after it.
    fn unlink(&mut self, object: Object) -> Option<Object> {
        let header = self.header_mut(object)?;
        let (previous, next) = (header.previous.take(), header.next.take());
        if let Some(header) = previous.and_then(|object| self.header_mut(object)) {
            header.next = next;
        }
        if let Some(header) = next.and_then(|object| self.header_mut(object)) {
            header.previous = previous;
        }
        next
    }

    /// Marks an object to go before the commit is done. Its price returns at once, so
    /// that nothing holds on to its quota.
    pub(crate) fn doom(&mut self, object: Object, doom: Doom) {
        // The root quota is the machine's: it stays though nobody holds it.
        if self.header(object).is_none_or(|header| header.doom != Doom::None) || object == QuotaId::ROOT.into() {
            return;
        }
        self.release(object);
        if let Some(header) = self.header_mut(object) {
            header.doom = doom;
        }
        if object.kind == Kind::Quota
            && let Some(parent) = self.quotas.get(object.index).map(|record| record.parent)
        {
            self.part_doomed(parent);
        }
        self.doom_next(object);
    }

    /// A doomed object is the next of its kind to go.
    pub(crate) fn doom_next(&mut self, object: Object) {
        let first = self.doomed_first(object.kind).replace(object);
        self.link_first(object, first);
    }

    fn doomed_first(&mut self, kind: Kind) -> &mut Option<Object> {
        if kind == Kind::Quota { &mut self.doomed_quotas } else { &mut self.doomed }
    }

    /// The object goes: its capabilities, what it holds, its record.
    fn finish<W: Witness>(&mut self, object: Object, witness: &mut W) {
        self.remove_capabilities_of(object, witness);
        match object.kind {
            Kind::Process => return self.finish_process(ProcessId(object.index), witness),
            Kind::Thread => return self.finish_thread(ThreadId(object.index), witness),
            Kind::Quota => return self.finish_quota(QuotaId(object.index), witness),
            _ => {}
        }
        self.free(object, witness);
    }

    /// Takes a doomed object off the list again, to be paid for by its quota, or by the
    /// first above that stays: what goes there returns its whole price, so there is room.
    pub(crate) fn spare(&mut self, object: Object) {
        self.undoom(object);
        let Some(&Header { mut quota, .. }) = self.header(object) else { return };
        while let Some(record) = self.quotas.get(quota.0)
            && record.header.doom != Doom::None
        {
            quota = record.parent;
        }
        if let Some(header) = self.header_mut(object) {
            header.doom = Doom::None;
            header.quota = quota;
        }
        self.enrol(object);
    }

    /// Takes a doomed object off the list.
    pub(crate) fn undoom(&mut self, object: Object) {
        let next = self.unlink(object);
        let first = self.doomed_first(object.kind);
        if *first == Some(object) {
            *first = next;
        }
    }

    /// Drops the record of an object to which no capability is left.
    pub(crate) fn free<W: Witness>(&mut self, object: Object, witness: &mut W) {
        match self.header(object).map(|header| header.doom) {
            None => return,
            Some(Doom::None) => self.release(object),
            Some(_) => self.undoom(object),
        }
        let index = object.index;
        match object.kind {
            Kind::Process => drop(self.processes.remove(index)),
            Kind::Thread => drop(self.threads.remove(index)),
            Kind::Endpoint => drop(self.endpoints.remove(index)),
            Kind::Notification => drop(self.notifications.remove(index)),
            Kind::Region => drop(self.regions.remove(index)),
            Kind::Image => drop(self.images.remove(index)),
            Kind::Quota => drop(self.quotas.remove(index)),
            Kind::Log => drop(self.logs.remove(index)),
            Kind::Device => self.devices[index as usize] = None,
            Kind::Interrupt => self.interrupts[index as usize] = None,
        }
        witness.happened(Consequence::Gone { object });
    }

    /// Ends a process: threads, capabilities and most of its price go. The record
    /// stays while someone holds it or its exit message is unread.
    pub(crate) fn exit<W: Witness>(&mut self, process: ProcessId, reason: ExitReason, code: u64, witness: &mut W) {
        let Some(record) = self.processes.get_mut(process.0) else { return };
        if let ProcessLife::Exited { .. } = record.life {
            return;
        }
        record.life = ProcessLife::Exited { reason, code };
        let tell = !record.supervisor.is_none();
        while let Some(thread) = self.processes.get(process.0).map(|record| record.first_thread)
            && !thread.is_none()
        {
            self.end_thread(thread, witness);
        }
        self.clear_table(process, witness);
        self.reprice(process.into(), crate::quota::EXITED_PRICE, 0);
        witness.happened(Consequence::Exited { process, tell });
        self.forget_if_unneeded(process);
    }

    /// Lets a process record go that has ended, was reported, and nobody holds.
    pub(crate) fn forget_if_unneeded(&mut self, process: ProcessId) {
        if let Some(record) = self.processes.get(process.0)
            && let ProcessLife::Exited { .. } = record.life
            && record.supervisor.is_none()
            && record.header.capabilities == 0
        {
            self.doom(process.into(), Doom::Unheld);
        }
    }

    /// Every record in a fixed order, for the hash.
    pub fn encode<S: Sink>(&self, out: &mut S) {
        self.processes.put(out);
        self.tables.put(out);
        self.threads.put(out);
        self.endpoints.put(out);
        self.notifications.put(out);
        self.regions.put(out);
        self.mappings.put(out);
        self.images.put(out);
        self.quotas.put(out);
        self.logs.put(out);
        self.devices.put(out);
        self.interrupts.put(out);
        self.capabilities.put(out);
        self.serial.put(out);
    }

    /// Reads back what [`Authority::encode`] wrote. An error says which records are not what they should be.
    pub fn decode(input: &mut &[u8]) -> Result<Authority, &'static str> {
        Ok(Authority {
            processes: Decode::get(input).ok_or("processes")?,
            tables: Decode::get(input).ok_or("capability tables")?,
            threads: Decode::get(input).ok_or("threads")?,
            endpoints: Decode::get(input).ok_or("endpoints")?,
            notifications: Decode::get(input).ok_or("notifications")?,
            regions: Decode::get(input).ok_or("regions")?,
            mappings: Decode::get(input).ok_or("mappings")?,
            images: Decode::get(input).ok_or("images")?,
            quotas: Decode::get(input).ok_or("quotas")?,
            logs: Decode::get(input).ok_or("logs")?,
            devices: Decode::get(input).ok_or("devices")?,
            interrupts: Decode::get(input).ok_or("interrupts")?,
            capabilities: Decode::get(input).ok_or("capabilities")?,
            doomed: None,
            doomed_quotas: None,
            serial: Decode::get(input).ok_or("number of processes")?,
        })
    }
}

fn reserve_up_to<T>(records: &mut Vec<T>, index: usize) -> Result<(), Error> {
    records.try_reserve((index + 1).saturating_sub(records.len())).map_err(|_| Error::QuotaExceeded)
}

fields!(Object: kind index);
variants!(Doom: None Unheld Reclaimed);
fields!(Header: quota memory pages previous next first_capability capabilities doom);
