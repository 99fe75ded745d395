//! The invariants K1 to K16 of the design, each as a check of its name, and K0, what they rest on. Those that one
//! state shows are here over a whole state; those that only a step or a whole run
//! shows (K5, K6, K7, K8) are in the tests, over random runs. For tests, the simulation
//! and the fuzzer: a check looks at everything and is slow.

use crate::Kernel;
use crate::authority::{Authority, Doom};
use crate::capability::{Capability, Holding};
use crate::capture::Queues;
use crate::ids::*;
use crate::process::{ExitMessage, ProcessLife};
use crate::queue::{Entry, Link, QueueId, Queued};
use crate::quota::{EXITED_PRICE, Going, OBJECT_PRICE};
use crate::schedule::PRIORITIES;
use crate::table::Table;
use crate::thread::{State, TIMED};
use crate::timer::{Timer, TimerKind};
use abi::{Kind, Rights};
use alloc::collections::{BTreeMap, BTreeSet};

/// Holds, or what does not.
pub type Check = Result<(), &'static str>;

pub(crate) fn hold(condition: bool, what: &'static str) -> Check {
    if condition { Ok(()) } else { Err(what) }
}

impl Kernel {
    /// Every invariant that one state shows: the first that does not hold, in words.
    pub fn check(&self) -> Check {
        self.k0_lists_are_sound()?;
        self.k1_rights_only_shrink()?;
        self.k2_badges_never_change()?;
        self.k3_capabilities_name_live_objects()?;
        self.k3_captures_are_on_record()?;
        self.k4_capabilities_have_a_chain_to_their_object()?;
        self.k9_who_waits_is_in_one_queue()?;
        self.k10_queues_keep_their_bounds()?;
        self.k11_quotas_add_up()?;
        self.k12_mappings_go_through_held_regions()?;
        self.k13_nothing_is_writable_and_executable()?;
        self.k14_handles_do_not_alias()?;
        self.k15_death_leaves_nothing()?;
        self.k16_the_highest_priority_runs()
    }

    /// What the others and every change rest on: each list has all that belongs to it, once, and ends.
    pub fn k0_lists_are_sound(&self) -> Check {
        let (authority, activity) = (&self.authority, &self.activity);
        let numbers = [
            authority.processes.is_sound(),
            authority.threads.is_sound(),
            authority.endpoints.is_sound(),
            authority.notifications.is_sound(),
            authority.regions.is_sound(),
            authority.mappings.is_sound(),
            authority.images.is_sound(),
            authority.quotas.is_sound(),
            authority.logs.is_sound(),
            authority.capabilities.is_sound(),
            activity.messages.is_sound(),
        ];
        hold(!numbers.contains(&false), "K0: a free number is in no list or in two")?;
        hold(authority.tables.iter().all(Table::is_sound), "K0: a free slot is in no line or in two")?;
        let beside = [
            (authority.tables.len(), authority.processes.reach()),
            (activity.processes.len(), authority.processes.reach()),
            (activity.threads.len(), authority.threads.reach()),
            (activity.details.len(), authority.threads.reach()),
            (activity.endpoints.len(), authority.endpoints.reach()),
            (activity.notifications.len(), authority.notifications.reach()),
            (activity.queued.len(), authority.quotas.reach()),
            (activity.paid.len(), authority.quotas.reach()),
            (activity.interrupts.len(), authority.interrupts.len()),
        ];
        hold(
            beside.iter().all(|(records, reach)| records == reach),
            "K0: records run beside others and are not as many",
        )?;
        self.k0_objects_are_paid_once()?;
        self.k0_threads_are_listed()?;
        let capabilities = || authority.capabilities.iter().map(|(_, capability)| capability);
        let mapped = capabilities().filter(|capability| !capability.mapping.is_none()).count();
        hold(mapped == authority.mappings.len() as usize, "K0: a capability is mapped where no mapping is")?;
        let mut telling = 0;
        for (id, process) in authority.processes.iter().filter(|(_, process)| !process.supervisor.is_none()) {
            let held = authority.capabilities.get(process.supervisor);
            let sound = held.is_some_and(|held| held.holding == Holding::Supervisor && held.process == ProcessId(id));
            let sound = sound && held.is_some_and(|held| held.kind == Kind::Endpoint);
            hold(sound, "K0: a process tells its supervisor through what it does not hold")?;
            telling += 1;
        }
        let supervisors = capabilities().filter(|capability| capability.holding == Holding::Supervisor).count();
        hold(supervisors == telling, "K0: a capability to a supervisor is held by no process")
    }

    fn k0_objects_are_paid_once(&self) -> Check {
        let authority = &self.authority;
        let mut paid = 0;
        for object in authority.objects() {
            let header = authority.header(object).ok_or("K0: an object without a record")?;
            hold(header.doom == Doom::None, "K0: an object outlives the change that it goes with")?;
            paid += usize::from(!header.quota.is_none());
        }
        for (id, quota) in authority.quotas.iter() {
            hold(quota.going == Going::default(), "K0: a quota waits for what does not go")?;
            let (mut previous, mut next) = (None, quota.first_paid);
            while let Some(object) = next {
                let header = authority.header(object).ok_or("K0: a quota pays for what is gone")?;
                hold(
                    header.quota == QuotaId(id) && header.previous == previous,
                    "K0: what a quota pays for is not linked both ways",
                )?;
                paid = paid.checked_sub(1).ok_or("K0: what a quota pays for has a ring")?;
                (previous, next) = (next, header.next);
            }
        }
        hold(paid == 0, "K0: an object is on no quota's list")
    }

    fn k0_threads_are_listed(&self) -> Check {
        let (authority, activity) = (&self.authority, &self.activity);
        let (mut known, mut doing) = (authority.threads.len(), authority.threads.len());
        for (id, process) in authority.processes.iter() {
            let (mut previous, mut next, mut count) = (ThreadId::NONE, process.first_thread, 0);
            while !next.is_none() {
                let thread = authority.threads.get(next.0).ok_or("K0: a process has a thread that is gone")?;
                let sound = thread.process == ProcessId(id) && thread.previous == previous;
                hold(sound, "K0: the threads of a process are not linked both ways")?;
                known = known.checked_sub(1).ok_or("K0: the threads of a process have a ring")?;
                count += 1;
                (previous, next) = (next, thread.next);
            }
            hold(count == process.threads, "K0: a process miscounts its threads")?;
        }
        for (process, id) in activity.processes.iter().zip(0..) {
            let (mut previous, mut next) = (ThreadId::NONE, process.first_thread);
            while !next.is_none() {
                let detail = activity.detail_view(next);
                let sound = activity.view(next).process == ProcessId(id) && detail.previous == previous;
                hold(sound, "K0: the threads of a process are not linked both ways")?;
                doing = doing.checked_sub(1).ok_or("K0: the threads of a process have a ring")?;
                (previous, next) = (next, detail.next);
            }
        }
        hold(known == 0 && doing == 0, "K0: a thread is on no process's list")?;
        for (thread, detail) in activity.threads.iter().zip(&activity.details) {
            let timed = detail.timers[TimerKind::Timeout as usize].place != Timer::IDLE;
            hold(timed == (thread.flags & TIMED != 0), "K0: a time-out runs that its thread does not know")?;
            hold(thread.priority.max(thread.base) < PRIORITIES, "K0: a thread has a priority that there is not")?;
        }
        hold(activity.timers_are_sound(), "K0: the timers are in no heap")?;
        let used = activity.details.iter().map(|detail| detail.time);
        let used = used.chain(activity.processes.iter().map(|process| process.time)).map(u128::from).sum::<u128>();
        hold(used <= activity.clock.into(), "K0: more processor time was used than has passed")?;
        let (current, next) = (activity.current, activity.about_to_receive);
        hold(current.is_none() || activity.view(current).state == State::Running, "K0: who runs is not running")?;
        hold(
            next.is_none() || activity.view(next).state == State::AboutToReceive,
            "K0: who is about to receive does something else",
        )
    }

    fn parents(&self) -> impl Iterator<Item = (&Capability, &Capability)> {
        let capabilities = &self.authority.capabilities;
        capabilities.iter().filter_map(|(_, child)| Some((child, capabilities.get(child.parent)?)))
    }

    /// K1: rights only shrink along derivation, and so does the time that is left.
    pub fn k1_rights_only_shrink(&self) -> Check {
        for (child, parent) in self.parents() {
            hold(
                parent.rights.contains(child.rights),
                "K1: a capability has a right that what it was derived from has not",
            )?;
            hold(child.expiry <= parent.expiry, "K1: a capability outlives what it was derived from")?;
        }
        Ok(())
    }

    /// K2: a badge that was set stays along derivation.
    pub fn k2_badges_never_change(&self) -> Check {
        for (child, parent) in self.parents() {
            hold(
                parent.badge == 0 || child.badge == parent.badge,
                "K2: a capability has another badge than what it was derived from",
            )?;
        }
        Ok(())
    }

    /// K3: a capability names a live object, and is counted by it.
    pub fn k3_capabilities_name_live_objects(&self) -> Check {
        let mut counts = BTreeMap::new();
        for (_, capability) in self.authority.capabilities.iter() {
            let object = capability.object();
            hold(self.authority.header(object).is_some(), "K3: a capability names an object that is gone")?;
            *counts.entry(object).or_insert(0) += 1;
        }
        for object in self.authority.objects() {
            let counted = self.authority.header(object).map_or(0, |header| header.capabilities);
            hold(counted == counts.get(&object).copied().unwrap_or(0), "K3: an object miscounts its capabilities")?;
            let held = counted > 0 || matches!(object.kind, Kind::Thread | Kind::Process | Kind::Image | Kind::Quota);
            hold(held, "K3: an object that nobody holds is still there")?;
        }
        Ok(())
    }

    /// K4: from every capability a chain of parents leads to the object, and back.
    pub fn k4_capabilities_have_a_chain_to_their_object(&self) -> Check {
        let capabilities = &self.authority.capabilities;
        let mut reached = 0;
        for object in self.authority.objects() {
            let first = self.authority.header(object).map_or(CapabilityId::NONE, |header| header.first_capability);
            let mut siblings = alloc::vec![(first, CapabilityId::NONE)];
            while let Some((mut id, parent)) = siblings.pop() {
                let mut previous = CapabilityId::NONE;
                while !id.is_none() {
                    let record = capabilities.get(id).ok_or("K4: a derivation tree leads nowhere")?;
                    let sound = record.object() == object && record.parent == parent && record.previous == previous;
                    hold(sound, "K4: a derivation tree is not linked both ways")?;
                    reached += 1;
                    hold(reached <= capabilities.len(), "K4: a derivation tree has a ring")?;
                    siblings.push((record.first_child, id));
                    (previous, id) = (id, record.next);
                }
            }
        }
        hold(reached == capabilities.len(), "K4: a capability is in no derivation tree")
    }

    /// K9: what waits is in exactly the queue that its state tells; nothing else is in any.
    pub fn k9_who_waits_is_in_one_queue(&self) -> Check {
        let activity = &self.activity;
        let mut queues = alloc::vec![QueueId::Announced, QueueId::Orphans];
        queues.extend((0..PRIORITIES).map(QueueId::Ready));
        queues.extend(
            (0..activity.endpoints.len() as u32)
                .flat_map(|id| [QueueId::Senders(EndpointId(id)), QueueId::Receivers(EndpointId(id))]),
        );
        queues.extend((0..activity.notifications.len() as u32).map(|id| QueueId::Waiters(NotificationId(id))));
        queues.extend((0..activity.processes.len() as u32).map(|id| QueueId::Held(ProcessId(id))));
        let mut seen = BTreeSet::new();
        for id in queues {
            let queue = activity.queue(id);
            let (mut previous, mut entry) = (Entry::NONE, queue.head);
            while !entry.is_none() {
                hold(seen.insert(entry), "K9: something is in two queues")?;
                let link = activity.link(entry);
                hold(link.previous == previous, "K9: a queue is not linked both ways")?;
                hold(self.stands_in(entry) == Some(id), "K9: something is in a queue that its state does not tell")?;
                (previous, entry) = (entry, link.next);
            }
            hold(queue.tail == previous, "K9: a queue has another tail than its last")?;
            let ready = matches!(id, QueueId::Ready(priority) if activity.ready_priorities >> priority & 1 == 1);
            hold(
                !matches!(id, QueueId::Ready(_)) || ready != queue.is_empty(),
                "K9: the ready bits do not tell the ready queues",
            )?;
        }
        let threads = (0..activity.threads.len() as u32).map(|id| Entry::thread(ThreadId(id)));
        let messages = activity.messages.iter().map(|(id, _)| Entry::message(BufferId(id)));
        let exits = (0..activity.processes.len() as u32).map(|id| Entry::exit(ProcessId(id)));
        let bits = (0..activity.notifications.len() as u32).map(|id| Entry::notification(NotificationId(id)));
        for entry in threads.chain(messages).chain(exits).chain(bits) {
            let waits = seen.contains(&entry);
            hold(self.stands_in(entry).is_some() == waits, "K9: something that waits is in no queue")?;
            hold(waits || activity.link(entry) == Link::NONE, "K9: something in no queue has neighbours")?;
        }
        for (thread, id) in activity.threads.iter().zip(0..) {
            hold(
                (thread.state == State::Running) == (activity.current == ThreadId(id)),
                "K9: not who runs is current",
            )?;
            let server = activity.view(thread.server);
            hold(
                thread.server.is_none() || server.serving == ThreadId(id),
                "K9: a caller lends to who does not serve it",
            )?;
            let caller = activity.view(thread.serving);
            hold(
                thread.serving.is_none() || caller.server == ThreadId(id),
                "K9: a server serves who does not lend to it",
            )?;
            hold(
                thread.server.is_none() || thread.state == State::AwaitingReply,
                "K9: a thread lends that awaits no answer",
            )?;
            hold(
                thread.payer == ThreadId(id) || thread.payer == caller.payer,
                "K9: a thread uses the time of one that it does not serve",
            )?;
            let timers = activity.detail_view(ThreadId(id)).timers;
            let timed = timers[TimerKind::Timeout as usize].place != Timer::IDLE;
            hold(!timed || thread.state.is_wait(), "K9: a time-out runs for a thread that does not wait")?;
            for (timer, kind) in timers.iter().zip(0..) {
                let armed = activity.timers.get(timer.place as usize) == Some(&(id << 1 | kind));
                hold(armed || timer.place == Timer::IDLE, "K9: a timer is not where it says")?;
            }
        }
        self.k9_lending_ends()
    }

    /// Whoever lends to another, and that one in turn, comes to one who lends to nobody.
    fn k9_lending_ends(&self) -> Check {
        let activity = &self.activity;
        let mut reached = 0;
        for (thread, id) in activity.threads.iter().zip(0..).filter(|(thread, _)| thread.server.is_none()) {
            let (mut id, mut serves) = (ThreadId(id), thread);
            while !id.is_none() {
                reached += 1;
                (id, serves) = (serves.serving, activity.view(serves.serving));
            }
        }
        hold(reached == activity.threads.len(), "K9: threads lend to each other in a ring")
    }

    /// The queue in which something stands, which its state tells.
    fn stands_in(&self, entry: Entry) -> Option<QueueId> {
        let activity = &self.activity;
        match entry.queued()? {
            Queued::Thread(thread) => activity.queue_of(activity.view(thread)),
            Queued::Message(message) => {
                activity.messages.get(message.0).map(|message| QueueId::Senders(message.endpoint))
            }
            Queued::Exit(process) => match activity.processes.get(process.index())?.exit {
                ExitMessage::None => None,
                ExitMessage::Announced => Some(QueueId::Announced),
                ExitMessage::Queued { endpoint } => Some(QueueId::Senders(endpoint)),
            },
            Queued::Notification(notification) => {
                let record = activity.notifications.get(notification.index()).filter(|record| record.queued)?;
                Some(QueueId::Senders(record.endpoint))
            }
        }
    }

    /// K10: an endpoint keeps no more messages than its depth, a process has no more
    /// under way than are there.
    pub fn k10_queues_keep_their_bounds(&self) -> Check {
        let (mut kept, mut sent) = (BTreeMap::new(), BTreeMap::new());
        for (_, message) in self.activity.messages.iter() {
            hold(message.serial != 0, "K10: a message was sent by nobody")?;
            *kept.entry(message.endpoint.0).or_insert(0) += 1;
            *sent.entry((message.sender.0, message.serial)).or_insert(0) += 1;
        }
        for (id, endpoint) in self.authority.endpoints.iter() {
            let count = self.activity.endpoints.get(id as usize).map_or(0, |endpoint| endpoint.messages);
            hold(count == kept.get(&id).copied().unwrap_or(0), "K10: an endpoint miscounts its messages")?;
            hold(count <= endpoint.depth, "K10: an endpoint keeps more messages than it may")?;
        }
        for (id, process) in self.authority.processes.iter() {
            let count = self.activity.processes.get(id as usize).map_or(0, |process| process.queued_messages);
            let there = sent.get(&(id, process.serial)).copied().unwrap_or(0);
            hold(count == there, "K10: a process miscounts the messages that it has under way")?;
        }
        Ok(())
    }

    /// K3, of capture: what is shown to the host is what somebody who may has asked for.
    pub fn k3_captures_are_on_record(&self) -> Check {
        for (id, endpoint) in self.activity.endpoints.iter().zip(0u32..).map(|(endpoint, id)| (id, endpoint)) {
            let ordered = self.authority.endpoints.get(id).is_some_and(|endpoint| endpoint.captured);
            hold(endpoint.is_captured() == ordered, "K3: the two halves know different captures")?;
        }
        Ok(())
    }

    /// K11: what a quota has in use is what it pays for, and no more than it was given.
    pub fn k11_quotas_add_up(&self) -> Check {
        let mut used = BTreeMap::<u32, (u64, u64)>::new();
        for object in self.authority.objects() {
            let header = self.authority.header(object).ok_or("K11: an object without a record")?;
            if !header.quota.is_none() {
                hold(
                    self.authority.quotas.get(header.quota.0).is_some(),
                    "K11: an object is paid for by a quota that is gone",
                )?;
                let sum = used.entry(header.quota.0).or_default();
                let more = sum.0.checked_add(header.memory).zip(sum.1.checked_add(header.pages));
                *sum = more.ok_or("K11: a quota pays for more than can be counted")?;
            }
        }
        let mut queues = BTreeMap::<u32, (u64, u32)>::new();
        for (_, message) in self.activity.messages.iter() {
            let payer = self.authority.quotas.get(message.quota.0);
            hold(payer.is_some(), "K11: a message is paid for by a quota that is gone")?;
            let queue = queues.entry(message.quota.0).or_default();
            *queue = (queue.0 + u64::from(message.length), queue.1 + 1);
        }
        for (_, process) in self.authority.processes.iter() {
            let over = matches!(process.life, ProcessLife::Exited { .. });
            let price = if over { EXITED_PRICE } else { Authority::process_price(&process.limits) };
            hold(process.header.memory == price, "K11: a process has another price than its own")?;
        }
        for (id, quota) in self.authority.quotas.iter() {
            let sum = used.get(&id).copied().unwrap_or_default();
            hold(sum == (quota.memory_used, quota.pages_used), "K11: a quota miscounts what it pays for")?;
            let (queued, messages) = queues.get(&id).copied().unwrap_or_default();
            let counted = (self.activity.queued_bytes(QuotaId(id)), self.activity.paid[id as usize]);
            hold((queued, messages) == counted, "K11: a quota miscounts its queued messages")?;
            hold(
                quota.memory_used.saturating_add(queued) <= quota.memory,
                "K11: a quota pays more memory than it was given",
            )?;
            hold(quota.pages_used <= quota.pages, "K11: a quota pays more pages than it was given")?;
            // So each is smaller than its parent, and the root's parent is none: they form a tree.
            let given = quota.memory.checked_add(OBJECT_PRICE).map(|memory| (memory, quota.pages));
            let paid = given == Some((quota.header.memory, quota.header.pages)) && QuotaId(id) != QuotaId::ROOT;
            let by_parent = quota.header.quota == quota.parent && (quota.parent.is_none() || paid);
            hold(by_parent, "K11: a quota was not paid for by what it was split from")?;
        }
        Ok(())
    }

    /// K12: what is mapped goes through a capability that its process holds, with the
    /// rights that it has: two processes write one frame only through a region that both hold.
    pub fn k12_mappings_go_through_held_regions(&self) -> Check {
        for (id, mapping) in self.authority.mappings.iter() {
            let capability =
                self.authority.capabilities.get(mapping.capability).ok_or("K12: a mapping through no capability")?;
            let held = capability.holding == Holding::Slot
                && capability.process == mapping.process
                && capability.mapping.0 == id;
            hold(held, "K12: a mapping through a capability that its process does not hold")?;
            hold(
                capability.object() == mapping.region.into(),
                "K12: a mapping of another region than its capability's",
            )?;
            hold(capability.rights.contains(mapping.rights), "K12: a mapping with more rights than its capability")?;
        }
        Ok(())
    }

    /// K13: no page can be written and executed, through one mapping or two.
    pub fn k13_nothing_is_writable_and_executable(&self) -> Check {
        let mut counts = BTreeMap::<u32, [u32; 2]>::new();
        for (_, mapping) in self.authority.mappings.iter() {
            let count = counts.entry(mapping.region.0).or_default();
            count[0] += u32::from(mapping.rights.contains(Rights::WRITE));
            count[1] += u32::from(mapping.rights.contains(Rights::EXECUTE));
        }
        for (id, region) in self.authority.regions.iter() {
            let counted = counts.get(&id).copied().unwrap_or_default();
            hold([region.writable, region.executable] == counted, "K13: a region miscounts how it is mapped")?;
            hold(region.writable == 0 || region.executable == 0, "K13: a region can be written and executed")?;
        }
        Ok(())
    }

    /// K14: every capability is in the one slot that it says, every slot in use has one.
    pub fn k14_handles_do_not_alias(&self) -> Check {
        let mut in_slots = 0;
        for (table, process) in self.authority.tables.iter().zip(0..) {
            let mut used = 0;
            for (cell, slot) in table.slots.iter().zip(0..).filter(|(cell, _)| !cell.is_free()) {
                let capability = self
                    .authority
                    .capabilities
                    .get(cell.capability)
                    .ok_or("K14: a slot has a capability that is gone")?;
                let there =
                    capability.holding == Holding::Slot && (capability.process.0, capability.slot) == (process, slot);
                hold(there && cell.generation != 0, "K14: two slots have one capability")?;
                used += 1;
            }
            hold(table.used == used, "K14: a table miscounts its slots")?;
            in_slots += used;
        }
        let slotted =
            self.authority.capabilities.iter().filter(|(_, capability)| capability.holding == Holding::Slot).count();
        hold(slotted == in_slots as usize, "K14: a capability is in no slot")
    }

    /// K15: what has ended holds nothing; what is gone is in no account.
    pub fn k15_death_leaves_nothing(&self) -> Check {
        for (id, table) in self.authority.tables.iter().zip(0..).map(|(table, id)| (id, table)) {
            let alive = self
                .authority
                .processes
                .get(id)
                .is_some_and(|process| !matches!(process.life, ProcessLife::Exited { .. }));
            hold(alive || table.slots.is_empty(), "K15: a process that has ended holds capabilities")?;
            let held = self.activity.queue(QueueId::Held(ProcessId(id)));
            hold(alive || held.is_empty(), "K15: someone waits for the answer of a process that has ended")?;
        }
        for (_, process) in self.authority.processes.iter() {
            if let ProcessLife::Exited { .. } = process.life {
                hold(process.threads == 0, "K15: a process that has ended has threads")?;
                let needed = process.header.capabilities > 0 || !process.supervisor.is_none();
                hold(needed, "K15: the record of a process that has ended is kept for nobody")?;
            }
        }
        for (thread, id) in self.activity.threads.iter().zip(0u32..) {
            let there = self.authority.threads.get(id).is_some();
            let same = there == (thread.state != State::Absent)
                && self.authority.threads.get(id).is_none_or(|known| known.process == thread.process);
            hold(same, "K15: the two halves know different threads")?;
            let payer = self.activity.view(thread.payer);
            hold(!there || payer.state != State::Absent, "K15: a thread uses the time of one that is gone")?;
        }
        for (doing, id) in self.activity.processes.iter().zip(0u32..) {
            let known = self.authority.processes.get(id);
            let same = doing.serial == known.map_or(0, |process| process.serial);
            let idle = doing.first_thread.is_none() && doing.exit == ExitMessage::None && doing.queued_messages == 0;
            hold(same && (known.is_some() || idle), "K15: the two halves know different processes")?;
        }
        for (endpoint, id) in self.activity.endpoints.iter().zip(0u32..) {
            let idle = *endpoint.queues() == Queues::EMPTY && endpoint.bound.is_none() && endpoint.messages == 0;
            hold(self.authority.endpoints.get(id).is_some() || idle, "K15: an endpoint that is gone is in use")?;
        }
        for (interrupt, _) in self.activity.interrupts.iter().zip(0..) {
            let bound = interrupt.notification;
            hold(
                bound.is_none() || self.authority.notifications.get(bound.0).is_some(),
                "K15: a line signals what is gone",
            )?;
        }
        for (notification, id) in self.activity.notifications.iter().zip(0..) {
            let endpoint = notification.endpoint;
            let idle = endpoint.is_none() && notification.waiters.is_empty() && !notification.queued;
            let there = self.authority.notifications.get(id).is_some();
            hold(there || idle, "K15: a notification that is gone is in use")?;
            let mutual = self
                .activity
                .endpoints
                .get(endpoint.index())
                .is_some_and(|endpoint| endpoint.bound == NotificationId(id));
            hold(endpoint.is_none() || mutual, "K15: a notification is bound to what is gone")?;
        }
        Ok(())
    }

    /// K16: no thread is ready with a priority above that of the one that runs.
    pub fn k16_the_highest_priority_runs(&self) -> Check {
        let running = match self.current() {
            Some(thread) => i32::from(self.activity.view(thread).priority),
            None => -1,
        };
        let ready = self.activity.highest_ready().map_or(-1, i32::from);
        hold(ready <= running, "K16: a ready thread has a higher priority than the one that runs")
    }
}
