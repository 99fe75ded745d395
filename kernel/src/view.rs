//! The state for those who only look: tools that replay a log, and tests. Nothing here is on the way of a call.

use crate::Kernel;
use crate::ids::*;
use crate::queue::{Queue, QueueId, Queued};
use crate::thread::{State, TIMED};
use crate::timer::TimerKind;
use abi::{CapabilityInfo, Name, QuotaInfo, Rights};
use alloc::vec::Vec;

/// A thread. Where activity is not known, only whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadView {
    /// Its number.
    pub thread: ThreadId,
    /// Whose it is.
    pub process: ProcessId,
    /// What it is doing; [`State::Absent`]: activity is not known.
    pub state: State,
    /// Its priority, with what was lent.
    pub priority: u8,
    /// Its own priority.
    pub base: u8,
    /// What it waits for.
    pub waits_for: Option<WaitsFor>,
    /// When the wait ends by itself, in ns since boot.
    pub until: Option<u64>,
    /// The thread whose call it serves.
    pub serves: Option<ThreadId>,
    /// Processor time in ns that it has paid for.
    pub time: u64,
}

/// What a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitsFor {
    /// A receiver, or a message, at an endpoint.
    Endpoint(EndpointId),
    /// Bits of a notification.
    Notification(NotificationId),
    /// The answer of a thread that serves its call.
    Server(ThreadId),
    /// The answer, or the verdict, of a process that received its call or fault.
    Holder(ProcessId),
}

/// A message, call or fault that waits for a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueuedView {
    /// What it is.
    pub queued: Queued,
    /// Whose; `NONE` of bits.
    pub sender: ProcessId,
    /// The badge under which it comes.
    pub badge: u64,
    /// Its tag; of bits, the bits.
    pub tag: u64,
    /// Its bytes.
    pub length: u32,
}

/// An endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointView {
    /// Its number.
    pub endpoint: EndpointId,
    /// Messages that it can keep.
    pub depth: u32,
    /// What waits for a receiver, first in first out.
    pub queue: Vec<QueuedView>,
    /// Threads that wait for a message.
    pub receivers: Vec<ThreadId>,
    /// The notification that its receivers wake for too.
    pub bound: Option<NotificationId>,
}

/// A notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotificationView {
    /// Its number.
    pub notification: NotificationId,
    /// Bits that nobody has taken.
    pub bits: u64,
    /// Threads that wait for bits.
    pub waiters: Vec<ThreadId>,
    /// The endpoint whose receivers wake for it.
    pub bound: Option<EndpointId>,
}

/// A quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaView {
    /// Its number.
    pub quota: QuotaId,
    /// What it was split from; `None` for the root.
    pub parent: Option<QuotaId>,
    /// What it has, and has in use.
    pub info: QuotaInfo,
}

/// A region that is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MappingView {
    /// Where.
    pub process: ProcessId,
    /// What.
    pub region: RegionId,
    /// At which address.
    pub address: u64,
    /// How.
    pub rights: Rights,
}

impl Kernel {
    /// Processor time is charged up to here, ns since boot.
    pub fn clock(&self) -> u64 {
        self.activity.clock
    }

    /// Every process, those included that have ended and whose record is still needed.
    pub fn processes(&self) -> impl Iterator<Item = ProcessId> {
        self.authority.processes.iter().map(|(id, _)| ProcessId(id))
    }

    /// What pays for an object; `None` for what the host set up.
    pub fn paid_by(&self, object: Object) -> Option<QuotaId> {
        self.authority.header(object).map(|header| header.quota).filter(|quota| !quota.is_none())
    }

    /// The name of an object; empty where its kind has none.
    pub fn object_name(&self, object: Object) -> Name {
        self.authority.name(object)
    }

    /// Every object, kind by kind.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        self.authority.objects()
    }

    /// Every capability in the table of a process, by rising slot.
    pub fn capabilities_of(&self, process: ProcessId) -> impl Iterator<Item = CapabilityInfo> {
        let slots = self.authority.tables.get(process.index()).map_or(0, |table| table.slots.len() as u32);
        (0..slots).filter_map(move |slot| self.capability_at(process, slot))
    }

    /// Every capability there is with its number, those by which processes tell their supervisors included.
    pub fn capabilities(&self) -> impl Iterator<Item = (CapabilityId, CapabilityInfo)> {
        let all = self.authority.capabilities.iter().map(|(id, _)| CapabilityId(id));
        all.filter_map(|id| Some((id, self.capability(id)?)))
    }

    /// Every thread.
    pub fn threads(&self) -> impl Iterator<Item = ThreadView> {
        self.authority.threads.iter().map(|(id, thread)| self.thread_view(ThreadId(id), thread.process))
    }

    /// Whose a thread is, as authority says: also where activity is not known.
    pub fn owner_of(&self, thread: ThreadId) -> Option<ProcessId> {
        self.authority.threads.get(thread.0).map(|thread| thread.process)
    }

    fn thread_view(&self, thread: ThreadId, process: ProcessId) -> ThreadView {
        let (record, detail) = (self.activity.view(thread), self.activity.detail_view(thread));
        let waits_for = match record.state {
            State::Sending | State::Calling | State::Receiving | State::AboutToReceive | State::Faulted => {
                Some(WaitsFor::Endpoint(EndpointId(record.on)))
            }
            State::Waiting => Some(WaitsFor::Notification(NotificationId(record.on))),
            State::AwaitingReply if !record.server.is_none() => Some(WaitsFor::Server(record.server)),
            State::AwaitingReply | State::AwaitingVerdict => Some(WaitsFor::Holder(record.holder)),
            _ => None,
        };
        let timed = record.flags & TIMED != 0;
        ThreadView {
            thread,
            process,
            state: record.state,
            priority: record.priority,
            base: record.base,
            waits_for,
            until: timed.then(|| detail.timers[TimerKind::Timeout as usize].deadline),
            serves: (!record.serving.is_none()).then_some(record.serving),
            time: detail.time,
        }
    }

    /// Every endpoint. Where activity is not known, nobody waits there.
    pub fn endpoints(&self) -> impl Iterator<Item = EndpointView> {
        self.authority.endpoints.iter().map(|(id, record)| {
            let endpoint = EndpointId(id);
            let bound = self.activity.endpoints.get(endpoint.index()).map(|activity| activity.bound);
            EndpointView {
                endpoint,
                depth: record.depth,
                queue: self.entries(QueueId::Senders(endpoint)).map(|queued| self.queued_view(queued)).collect(),
                receivers: self.queued_threads(QueueId::Receivers(endpoint)),
                bound: bound.filter(|bound| !bound.is_none()),
            }
        })
    }

    /// Every notification.
    pub fn notifications(&self) -> impl Iterator<Item = NotificationView> {
        self.authority.notifications.iter().map(|(id, _)| {
            let notification = NotificationId(id);
            let activity = self.activity.notifications.get(notification.index());
            NotificationView {
                notification,
                bits: activity.map_or(0, |activity| activity.bits),
                waiters: self.queued_threads(QueueId::Waiters(notification)),
                bound: activity.map(|activity| activity.endpoint).filter(|endpoint| !endpoint.is_none()),
            }
        })
    }

    /// The notification that a line signals.
    pub fn line_signals(&self, line: InterruptId) -> Option<NotificationId> {
        let bound = self.activity.interrupts.get(line.index())?.notification;
        (!bound.is_none()).then_some(bound)
    }

    /// Every quota.
    pub fn quotas(&self) -> impl Iterator<Item = QuotaView> {
        self.authority.quotas.iter().map(|(id, record)| QuotaView {
            quota: QuotaId(id),
            parent: (!record.parent.is_none()).then_some(record.parent),
            info: QuotaInfo {
                memory: record.memory,
                memory_used: record.memory_used + self.activity.queued_bytes(QuotaId(id)),
                pages: record.pages,
                pages_used: record.pages_used,
            },
        })
    }

    /// Every mapping.
    pub fn mappings(&self) -> impl Iterator<Item = MappingView> {
        self.authority.mappings.iter().map(|(_, mapping)| MappingView {
            process: mapping.process,
            region: mapping.region,
            address: mapping.address,
            rights: mapping.rights,
        })
    }

    /// What stands in a queue, the first first. A queue of a log that was not checked may have a ring: no more
    /// entries are followed than there can be.
    fn entries(&self, id: QueueId) -> impl Iterator<Item = Queued> {
        let Queue { head, .. } = self.activity.queue(id);
        let most = self.activity.threads.len() + self.activity.messages.len() as usize + self.activity.processes.len();
        core::iter::successors(Some(head), |&entry| Some(self.activity.link(entry).next))
            .map_while(|entry| entry.queued())
            .take(most + self.activity.notifications.len())
    }

    fn queued_threads(&self, id: QueueId) -> Vec<ThreadId> {
        let thread = |queued| match queued {
            Queued::Thread(thread) => Some(thread),
            _ => None,
        };
        self.entries(id).filter_map(thread).collect()
    }

    fn queued_view(&self, queued: Queued) -> QueuedView {
        let nothing = QueuedView { queued, sender: ProcessId::NONE, badge: 0, tag: 0, length: 0 };
        match queued {
            Queued::Thread(thread) => {
                let (sender, detail) = (self.activity.view(thread).process, self.activity.detail_view(thread));
                if self.activity.view(thread).state == State::Faulted {
                    return QueuedView { sender, ..nothing };
                }
                QueuedView { sender, badge: detail.badge, tag: detail.tag, length: detail.length, ..nothing }
            }
            Queued::Message(id) => match self.activity.messages.get(id.0) {
                Some(message) => QueuedView {
                    sender: message.sender,
                    badge: message.badge,
                    tag: message.tag,
                    length: message.length,
                    ..nothing
                },
                None => nothing,
            },
            Queued::Exit(sender) => QueuedView { sender, ..nothing },
            Queued::Notification(id) => {
                let bits = self.activity.notifications.get(id.index()).map_or(0, |notification| notification.bits);
                QueuedView { tag: bits, ..nothing }
            }
        }
    }
}
