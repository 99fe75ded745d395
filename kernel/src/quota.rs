//! Quotas: what pays for every object. Bytes of kernel memory and pages, given once,
//! split off in parts that are quotas themselves. When a quota goes, all that it paid
//! for goes with it, and what it was given returns.

use crate::authority::{Authority, Doom, Header, Witness};
use crate::commit::{Authority as Change, Decision, Place};
use crate::encoding::fields;
use crate::ids::*;
use crate::{Caller, Kernel};
use abi::message::{MAX_BYTES, MAX_TRANSFERS};
use abi::{Error, Handle, Kind, QuotaInfo, Returned, Rights};

/// Prices in bytes of kernel memory. At least what the records take, so that what
/// quotas have left bounds what the kernel can still be asked for; rounded, so that
/// they need not change with every field.
pub const OBJECT_PRICE: u64 = 256;
/// A process, beside its table.
pub const PROCESS_PRICE: u64 = 1024;
/// A process that has ended and whose record is still needed.
pub const EXITED_PRICE: u64 = 512;
/// One capability that a process may hold: record and slot.
pub const CAPABILITY_PRICE: u64 = 96;
/// A thread, with its mailbox: the most that a message may carry, each way.
pub const THREAD_PRICE: u64 = 2048 + 2 * MAX_BYTES as u64;
/// A message that an endpoint can keep, without its bytes.
pub const MESSAGE_PRICE: u64 = 256;

const _: () = assert!(MAX_TRANSFERS * 32 <= 2048, "the thread's price covers the capabilities of its message");

/// One quota.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Quota {
    pub(crate) header: Header,
    /// What it was split from; `NONE` for the root.
    pub parent: QuotaId,
    /// Bytes of kernel memory given.
    pub memory: u64,
    /// Pages given.
    pub pages: u64,
    /// Bytes in use, by objects.
    pub memory_used: u64,
    /// Pages in use.
    pub pages_used: u64,
    /// First of the objects that it pays for.
    pub first_paid: Option<Object>,
    /// What goes with it in the change that is being carried out.
    pub(crate) going: Going,
}
fields!(Quota: header parent memory pages memory_used pages_used first_paid; going);

/// Of a quota that goes, or whose parts do. Between changes there is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Going {
    /// How many of those that were split from it are doomed and not yet gone.
    pub parts: u32,
    /// It goes when the last of them has: they must find who is above them.
    pub waits: bool,
}

impl Authority {
    pub(crate) fn quota_created(
        &mut self,
        quota: QuotaId,
        parent: QuotaId,
        memory: u64,
        pages: u64,
        place: Option<Place>,
    ) {
        // The parent pays for the record and for all that is given.
        let header = Header::new(parent, memory.saturating_add(OBJECT_PRICE), pages);
        self.quotas.insert(
            quota.0,
            Quota {
                header,
                parent,
                memory,
                pages,
                memory_used: 0,
                pages_used: 0,
                first_paid: None,
                going: Going::default(),
            },
        );
        self.enrol(quota.into());
        if let Some(place) = place {
            self.first_capability(quota.into(), place, Kind::Quota.rights());
        }
    }

    /// All that a doomed quota pays for goes first, then it.
    pub(crate) fn finish_quota<W: Witness>(&mut self, quota: QuotaId, witness: &mut W) {
        let Some(record) = self.quotas.get_mut(quota.0) else { return };
        if record.first_paid.is_none() {
            if record.going.parts > 0 {
                record.going.waits = true;
                return self.undoom(quota.into());
            }
            let parent = record.parent;
            self.free(quota.into(), witness);
            return self.part_gone(parent);
        }
        while let Some(paid) = self.quotas.get(quota.0).and_then(|record| record.first_paid) {
            self.doom(paid, Doom::Reclaimed);
        }
    }

    /// One that was split from this quota is doomed.
    pub(crate) fn part_doomed(&mut self, quota: QuotaId) {
        if let Some(record) = self.quotas.get_mut(quota.0) {
            record.going.parts += 1;
        }
    }

    /// One that was split from this quota, and was doomed, is gone.
    fn part_gone(&mut self, quota: QuotaId) {
        let Some(record) = self.quotas.get_mut(quota.0) else { return };
        record.going.parts -= 1;
        if record.going == (Going { parts: 0, waits: true }) {
            self.doom_next(quota.into());
        }
    }
}

impl Kernel {
    /// The quota that a handle of the caller names, to make something under it.
    pub(crate) fn paying(&self, caller: Caller, handle: Handle) -> Result<QuotaId, Error> {
        let (_, capability) = self.authority.lookup(caller.process, handle, Kind::Quota, Rights::SPLIT, caller.now)?;
        Ok(QuotaId(capability.index))
    }

    /// Whether a quota can pay this. Queued messages are paid for by activity's count.
    pub(crate) fn afford(&self, quota: QuotaId, memory: u64, pages: u64) -> Result<(), Error> {
        let record = self.authority.quotas.get(quota.0).ok_or(Error::QuotaExceeded)?;
        let used = record.memory_used + self.activity.queued_bytes(quota);
        if record.memory.saturating_sub(used) < memory || record.pages.saturating_sub(record.pages_used) < pages {
            return Err(Error::QuotaExceeded);
        }
        Ok(())
    }

    pub(crate) fn decide_quota_split(
        &self,
        caller: Caller,
        quota: Handle,
        memory: u64,
        pages: u64,
    ) -> Result<Decision, Error> {
        let parent = self.paying(caller, quota)?;
        self.afford(parent, memory.saturating_add(OBJECT_PRICE), pages)?;
        let place = self.place(caller.process, 0)?;
        let quota = QuotaId(self.authority.quotas.vacant()?);
        let change = Change::QuotaCreated { quota, parent, memory, pages, place: Some(place) };
        Ok(Decision::done(Returned::Handle(self.handle_at(place)), change))
    }

    pub(crate) fn decide_quota_inspect(&self, caller: Caller, quota: Handle) -> Result<Decision, Error> {
        let (_, capability) = self.authority.lookup(caller.process, quota, Kind::Quota, Rights::INSPECT, caller.now)?;
        let quota = QuotaId(capability.index);
        let record = self.authority.quotas.get(quota.0).ok_or(Error::BadHandle)?;
        Ok(Decision::nothing(Returned::Quota(QuotaInfo {
            memory: record.memory,
            memory_used: record.memory_used + self.activity.queued_bytes(quota),
            pages: record.pages,
            pages_used: record.pages_used,
        })))
    }
}
