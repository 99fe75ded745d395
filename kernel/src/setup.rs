//! What the host sets up before init runs: the root quota, init, and init's first
//! capabilities. Everything anyone ever holds comes from these.

use crate::Kernel;
use crate::authority::Authority;
use crate::commit::{Authority as Change, Decision, Outcome, Place};
use crate::ids::*;
use crate::input::{SetUp, Setup};
use crate::process::ProcessLife;
use crate::quota::THREAD_PRICE;
use crate::schedule::FIRST_PRIORITY;
use abi::info::Limits;
use abi::{Error, Handle, Kind, Rights};
use alloc::vec::Vec;

impl QuotaId {
    /// The first quota, from which all others are split.
    pub const ROOT: QuotaId = QuotaId(0);
}

/// The first process.
pub const INIT: ProcessId = ProcessId(0);
/// The most devices and lines that a host can have.
pub(crate) const MAX_HOST_NUMBERS: u32 = 1024;
/// Init's table is as large as any.
const INIT_LIMITS: Limits = Limits { capabilities: 16 * 1024, ..Limits::DEFAULT };

impl Kernel {
    pub(crate) fn decide_setup(&self, setup: Setup) -> Result<Decision, Error> {
        match setup {
            Setup::Quota { memory, pages } => {
                if self.authority.quotas.get(QuotaId::ROOT.0).is_some() {
                    return Err(Error::AlreadyBound);
                }
                let change =
                    Change::QuotaCreated { quota: QuotaId::ROOT, parent: QuotaId::NONE, memory, pages, place: None };
                Ok(Decision::new(set_up(Handle::NONE, Handle::NONE, Rights::NONE), change))
            }
            Setup::Init { image: hash, length, name } => {
                if self.authority.serial != 0 {
                    return Err(Error::AlreadyBound);
                }
                let image = ImageId(self.authority.images.vacant()?);
                let quota = QuotaId::ROOT;
                self.afford(quota, Authority::process_price(&INIT_LIMITS), 0)?;
                // Init's image is held by nobody and stays.
                let made = Change::ImageCreated {
                    image,
                    quota: QuotaId::NONE,
                    creator: ThreadId::NONE,
                    hash,
                    length,
                    name,
                    place: None,
                };
                let none = CapabilityId::NONE;
                let created = Change::ProcessCreated {
                    process: INIT,
                    quota,
                    image,
                    source: none,
                    supervisor: none,
                    name,
                    limits: INIT_LIMITS,
                    place: None,
                };
                let place = |slot: u32| {
                    let capability = self.authority.capabilities.vacant_after(slot as usize)?;
                    Ok::<Place, Error>(Place { capability: CapabilityId(capability), process: INIT, slot })
                };
                let rights = Kind::Quota.rights();
                let granted = Change::Granted { object: Kind::Quota, index: quota.0, place: place(0)?, rights };
                // To let others look at init, too.
                let itself =
                    Change::Granted { object: Kind::Process, index: INIT.0, place: place(1)?, rights: Rights::INSPECT };
                let mut decision = Decision::new(set_up(Handle::new(0, 1), Handle::NONE, rights), made);
                decision.push(created);
                decision.push(granted);
                decision.push(itself);
                Ok(decision)
            }
            Setup::Device { device, name, interrupt } => {
                self.being_set_up()?;
                let known = |object: Object| self.authority.header(object).is_some();
                if known(device.into()) || interrupt.is_some_and(|line| known(line.into())) {
                    return Err(Error::AlreadyBound);
                }
                if device.0 >= MAX_HOST_NUMBERS || interrupt.is_some_and(|line| line.0 >= MAX_HOST_NUMBERS) {
                    return Err(Error::InvalidArgument);
                }
                let place = self.place(INIT, 0)?;
                let mut handle = Handle::NONE;
                let mut decision = Decision::new(Outcome::Blocked, Change::DeviceAdded { device, name, place });
                if let Some(interrupt) = interrupt {
                    let place = self.place(INIT, 1)?;
                    handle = self.handle_at(place);
                    decision.push(Change::InterruptAdded { interrupt, name, place });
                }
                decision.outcome = set_up(self.handle_at(place), handle, Kind::Device.rights());
                Ok(decision)
            }
            Setup::Image { hash, length, name } => {
                self.being_set_up()?;
                let place = self.place(INIT, 0)?;
                let image = ImageId(self.authority.images.vacant()?);
                let (quota, creator) = (QuotaId::NONE, ThreadId::NONE);
                let change = Change::ImageCreated { image, quota, creator, hash, length, name, place: Some(place) };
                Ok(Decision::new(set_up(self.handle_at(place), Handle::NONE, Kind::Image.rights()), change))
            }
            Setup::Log => {
                self.being_set_up()?;
                let place = self.place(INIT, 0)?;
                let log = LogId(self.authority.logs.vacant()?);
                Ok(Decision::new(
                    set_up(self.handle_at(place), Handle::NONE, Kind::Log.rights()),
                    Change::LogAdded { log, place },
                ))
            }
            Setup::Start { length } => {
                self.being_set_up()?;
                if length as usize > abi::message::MAX_BYTES {
                    return Err(Error::TooLarge);
                }
                self.afford(QuotaId::ROOT, THREAD_PRICE, 0)?;
                let thread = ThreadId(self.authority.threads.vacant()?);
                let change =
                    Change::ProcessStarted { process: INIT, thread, starter: ThreadId::NONE, priority: FIRST_PRIORITY };
                Ok(Decision::new(set_up(Handle::NONE, Handle::NONE, Rights::NONE), change))
            }
        }
    }

    /// Init exists and does not run yet.
    fn being_set_up(&self) -> Result<(), Error> {
        match self.authority.processes.get(INIT.0) {
            Some(init) if init.life == ProcessLife::Created => Ok(()),
            _ => Err(Error::InvalidArgument),
        }
    }
}

/// Makes records of what has the host's numbers reach up to a number that it may have.
pub(crate) fn reach<T>(records: &mut Vec<Option<T>>, number: u32) {
    if number < MAX_HOST_NUMBERS && records.len() <= number as usize {
        records.resize_with(number as usize + 1, || None);
    }
}

fn set_up(handle: Handle, interrupt: Handle, rights: Rights) -> Outcome {
    Outcome::SetUp(SetUp { handle, interrupt, rights })
}
