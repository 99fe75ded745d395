//! Capabilities that ride on messages. What is offered stays with its sender until the
//! message is received; then each goes over by a commit of its own. An offer that was
//! revoked meanwhile arrives as no handle, in its place among the others.

use crate::activity::Activity;
use crate::commit::{Activity as Doing, Arrival, Authority as Change, Decision, Place};
use crate::ids::*;
use crate::queue::{Entry, QueueId};
use crate::{Caller, Kernel};
use abi::{Error, FOREVER, Handle, ReplyToken, Transfer, TransferMode};

impl Activity {
    /// One capability of a message that waits with its sender.
    pub(crate) fn offered(&mut self, thread: ThreadId, position: u8, transfer: Transfer) {
        if let Some(offer) = self.detail(thread).offers.get_mut(usize::from(position)) {
            *offer = Some(transfer);
        }
    }

    /// The right to answer a caller goes to another process, which serves it no longer.
    pub(crate) fn reply_moved(&mut self, caller: ThreadId, process: ProcessId, arrival: Arrival) {
        let server = self.thread(caller).server;
        if server.is_none() {
            let holder = self.thread(caller).holder;
            self.remove(QueueId::Held(holder), Entry::thread(caller));
        } else {
            self.thread(caller).server = ThreadId::NONE;
            self.thread(server).serving = ThreadId::NONE;
            self.relend(server);
        }
        let record = self.thread(caller);
        record.holder = process;
        let token = ReplyToken::new(caller.0, record.call);
        self.push(QueueId::Held(process), Entry::thread(caller));
        if let Some(place) = self.detail(arrival.thread).arrived.get_mut(usize::from(arrival.position)) {
            *place = Handle(token.0);
        }
    }
}

impl Kernel {
    /// Whether the caller may offer all these. Each is offered once, unless it is derived.
    pub(crate) fn check_transfers(&self, caller: Caller, transfers: &[Transfer]) -> Result<(), Error> {
        for (index, transfer) in transfers.iter().enumerate() {
            let again = |other: &Transfer| {
                other.handle == transfer.handle
                    && (other.mode != TransferMode::Derive || transfer.mode != TransferMode::Derive)
            };
            self.resolve_offer(caller.process, transfer, caller.now)?;
            if transfers[..index].iter().any(again) {
                return Err(Error::InvalidArgument);
            }
        }
        Ok(())
    }

    /// What one offer gives `receiver`: the change, without its place.
    fn resolve_offer(&self, sender: ProcessId, offer: &Transfer, now: u64) -> Result<Offer, Error> {
        Ok(match offer.mode {
            TransferMode::Move => Offer::Move(self.authority.resolve(sender, offer.handle)?.0),
            TransferMode::Derive => {
                let (source, capability) = self.authority.resolve(sender, offer.handle)?;
                let (rights, badge, expiry) = capability.attenuate(offer.rights, offer.badge, FOREVER, now)?;
                self.authority.may_derive(source)?;
                Offer::Derive { source, rights, badge, expiry }
            }
            TransferMode::Reply => Offer::Reply(self.answerable(sender, ReplyToken(offer.handle.0))?),
        })
    }

    /// Adds the moves of a message that goes over now to its decision.
    pub(crate) fn transfer(
        &self,
        decision: &mut Decision,
        sender: ProcessId,
        offers: impl Iterator<Item = Transfer>,
        receiver: ThreadId,
        now: u64,
    ) -> Result<(), Error> {
        self.transfer_each(decision, sender, offers.map(Some), receiver, now)
    }

    /// The same of a message that has waited: an offer that no longer holds is left out.
    pub(crate) fn transfer_offers(
        &self,
        decision: &mut Decision,
        sender: ProcessId,
        offers: &[Option<Transfer>],
        receiver: ThreadId,
        now: u64,
    ) -> Result<(), Error> {
        let holds = |offer: &Transfer| self.resolve_offer(sender, offer, now).is_ok();
        self.transfer_each(decision, sender, offers.iter().map(|offer| offer.filter(holds)), receiver, now)
    }

    fn transfer_each(
        &self,
        decision: &mut Decision,
        sender: ProcessId,
        offers: impl Iterator<Item = Option<Transfer>>,
        receiver: ThreadId,
        now: u64,
    ) -> Result<(), Error> {
        let process = self.activity.view(receiver).process;
        let (mut slots, mut records) = (0, 0);
        for (offer, position) in offers.zip(0..) {
            let Some(offer) = offer else { continue };
            let arrival = Arrival { thread: receiver, position };
            match self.resolve_offer(sender, &offer, now)? {
                Offer::Move(capability) => {
                    let place = Place { capability, ..self.place(process, slots)? };
                    slots += 1;
                    decision.push(Change::Moved { place, arrival });
                }
                Offer::Derive { source, rights, badge, expiry } => {
                    let capability = CapabilityId(self.authority.capabilities.vacant_after(records)?);
                    let place = Place { capability, ..self.place(process, slots)? };
                    slots += 1;
                    records += 1;
                    decision.push(Change::Derived { source, place, rights, badge, expiry, arrival: Some(arrival) });
                }
                Offer::Reply(caller) => decision.push(Doing::ReplyMoved { caller, process, arrival }),
            }
        }
        Ok(())
    }

    /// The handles of the last delivery to a thread.
    pub fn handles(&self, thread: ThreadId) -> heapless::Vec<Handle, 8> {
        let detail = self.activity.detail_view(thread);
        let count =
            if self.activity.view(thread).flags & crate::thread::ARRIVED == 0 { 0 } else { detail.arrived_count };
        detail.arrived.iter().take(usize::from(count)).copied().collect()
    }
}

/// One offer, resolved.
enum Offer {
    Move(CapabilityId),
    Derive { source: CapabilityId, rights: abi::Rights, badge: u64, expiry: u64 },
    Reply(ThreadId),
}
