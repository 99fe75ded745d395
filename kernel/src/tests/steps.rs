//! The invariants that no single state shows, but a step does: K5, K6, K8, K14.

use crate::commit::{Activity as Doing, Authority as Change};
use crate::ids::*;
use crate::invariants::Check;
use crate::{Change as Half, Commit, Kernel};
use abi::{Handle, ReplyToken, Rights};

/// What lies between `before` and `after`: `commits`, which an input of `caller` caused, or of the host.
pub fn check(before: &Kernel, after: &Kernel, caller: Option<ProcessId>, commits: &[Commit]) -> Check {
    k14_a_handle_names_what_it_named(before, after)?;
    for commit in commits {
        match commit.change {
            Half::Authority(Change::Revoked { capability }) => k5_no_descendant_is_left(before, after, capability)?,
            Half::Authority(Change::Derived { source, place, arrival, .. }) => {
                let giver = holder(before, source);
                let received = arrival.is_some() && caller == Some(place.process);
                if giver.is_some() && giver != caller && !received {
                    return Err("K6: someone derived from what another process holds");
                }
                if giver.is_none() && arrival.is_none() {
                    return Err("K6: someone derived from what nobody holds");
                }
            }
            Half::Authority(Change::Moved { place, .. }) => {
                let giver = holder(before, place.capability);
                if giver.is_some() && giver != caller && Some(place.process) != caller {
                    return Err("K6: someone moved a capability between two other processes");
                }
            }
            Half::Authority(
                Change::CaptureBegan { endpoint, process } | Change::CaptureEnded { endpoint, process },
            ) => {
                if caller != Some(process) {
                    return Err("K6: a capture is on record as another's");
                }
                let may = before.authority.capabilities.iter().any(|(_, record)| {
                    record.process == process
                        && record.object() == endpoint.into()
                        && record.rights.contains(Rights::CAPTURE)
                });
                if !may {
                    return Err("K6: someone captures who has no right to");
                }
            }
            Half::Activity(Doing::Replied { caller, .. } | Doing::Answered { caller, .. }) => {
                let token = ReplyToken::new(caller.0, before.activity.view(caller).call);
                let again =
                    after.authority.processes.iter().any(|(id, _)| after.answerable(ProcessId(id), token).is_ok());
                if again {
                    return Err("K8: a call that was answered can be answered again");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn holder(kernel: &Kernel, capability: CapabilityId) -> Option<ProcessId> {
    kernel.authority.capabilities.get(capability).map(|record| record.process)
}

/// Whoever held a descendant before holds it no more; a number that was given again is another's.
fn k5_no_descendant_is_left(before: &Kernel, after: &Kernel, root: CapabilityId) -> Check {
    if after.authority.capabilities.get(root).is_some_and(|record| !record.first_child.is_none()) {
        return Err("K5: a descendant is left after revoke");
    }
    for (id, record) in before.authority.capabilities.iter() {
        let mut above = record.parent;
        while !above.is_none() && above != root {
            above = before.authority.capabilities.get(above).map_or(CapabilityId::NONE, |record| record.parent);
        }
        if above == root && after.authority.capabilities.get(id).is_some() {
            return Err("K5: a descendant is still held after revoke");
        }
    }
    Ok(())
}

/// A handle that is good before and after names the same capability, with the same object, rights and badge; one that
/// is good no longer never will be again: its slot has gone on to another generation.
fn k14_a_handle_names_what_it_named(before: &Kernel, after: &Kernel) -> Check {
    for (process, table) in (0u32..).zip(&before.authority.tables) {
        for (slot, cell) in (0u32..).zip(&table.slots).filter(|(_, cell)| !cell.is_free()) {
            let handle = Handle::new(slot, cell.generation);
            let Ok((id, now)) = after.authority.resolve(ProcessId(process), handle) else {
                let later =
                    after.authority.tables.get(process as usize).and_then(|table| table.slots.get(slot as usize));
                if later.is_some_and(|later| later.generation == cell.generation) {
                    return Err("K14: a handle to a slot that was emptied may come again");
                }
                continue;
            };
            let Some(then) = before.authority.capabilities.get(cell.capability) else { continue };
            let same =
                (id, now.object(), now.rights, now.badge) == (cell.capability, then.object(), then.rights, then.badge);
            if !same {
                return Err("K14: a handle names another capability than before");
            }
        }
    }
    Ok(())
}
