//! Those who want to know how processes fare, and how they are told. An event that finds
//! a subscriber's queue full is lost; a subscriber whose endpoint is gone is forgotten. The messages that no subscriber
//! has received count against this service: where they are as many as it may have, that is
//! no fault of the one who is to be told, so events are kept for it.

use crate::requester::Requester;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::abi::{Error, Kind, Rights};
use libprocess::interfaces::process::{lifecycle, process_events};
use libprocess::{Cap, ClientError, Endpoint};

/// The most subscriptions of one requester.
pub const MAX_EACH: usize = 16;
/// The most subscriptions.
pub const MAX: usize = 256;
/// The most events that are kept for one subscription where there is no room; later ones are lost.
pub const KEPT: usize = 16;

/// What subscribers are told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A process has ended.
    Exited {
        /// Which.
        pid: u64,
        /// Its name.
        name: String,
        /// How.
        end: lifecycle::End,
    },
    /// A process has used 80 % of a limit.
    Warning {
        /// Which.
        pid: u64,
        /// Of which limit.
        what: process_events::Limited,
        /// How much, in ns or bytes.
        used: u64,
        /// Of how much.
        limit: u64,
    },
}

impl Event {
    /// The process that it is about.
    pub fn pid(&self) -> u64 {
        match self {
            Event::Exited { pid, .. } | Event::Warning { pid, .. } => *pid,
        }
    }

    /// Tells one subscriber.
    ///
    /// # Errors
    /// The subscriber is gone. That its queue is full is none, nor that this service may queue no more.
    pub async fn tell(&self, to: &process_events::Client) -> Result<Told, ClientError> {
        let told = match self {
            Event::Exited { pid, name, end } => to.exited(*pid, name, end).await,
            Event::Warning { pid, what, used, limit } => to.resource_warning(*pid, *what, *used, *limit).await,
        };
        match told {
            Ok(()) | Err(ClientError::System(Error::WouldBlock)) => Ok(Told::Done),
            Err(ClientError::System(Error::QuotaExceeded)) => Ok(Told::NoRoom),
            Err(error) => Err(error),
        }
    }
}

/// What became of an event for one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// It was sent, or the subscriber's queue is full and it is lost.
    Done,
    /// This service has as many messages queued as it may, or as its memory is enough for.
    NoRoom,
}

struct Subscriber {
    requester: Requester,
    client: Rc<process_events::Client>,
    /// What it has not been told yet, oldest first.
    kept: VecDeque<Rc<Event>>,
}

/// Those who want to know.
#[derive(Default)]
pub struct Subscribers {
    subscribers: BTreeMap<u64, Subscriber>,
    last: u64,
}

impl Subscribers {
    /// Adds one; its number.
    ///
    /// # Errors
    /// `InvalidRequest` where `to` is no endpoint to send to; `LimitExceeded`.
    pub fn add(&mut self, requester: Requester, to: Cap<Endpoint>) -> Result<u64, lifecycle::Error> {
        let good = to.inspect().is_ok_and(|info| info.kind == Kind::Endpoint && info.rights.contains(Rights::SEND));
        if !good {
            return Err(lifecycle::Error::InvalidRequest("not an endpoint with the right to send".to_string()));
        }
        let own = self.subscribers.values().filter(|s| s.requester == requester).count();
        if own >= MAX_EACH || self.subscribers.len() >= MAX {
            return Err(lifecycle::Error::LimitExceeded("subscriptions".to_string()));
        }
        self.last += 1;
        let client = Rc::new(process_events::Client::new(to));
        self.subscribers.insert(self.last, Subscriber { requester, client, kept: VecDeque::new() });
        Ok(self.last)
    }

    /// Removes one of the requester's own.
    ///
    /// # Errors
    /// `InvalidRequest` where it has none of this number.
    pub fn remove(&mut self, requester: Requester, number: u64) -> Result<(), lifecycle::Error> {
        if self.subscribers.get(&number).is_some_and(|s| s.requester == requester) {
            self.forget(number);
            return Ok(());
        }
        Err(lifecycle::Error::InvalidRequest("no subscription of yours has this number".to_string()))
    }

    /// Removes one whose endpoint is gone.
    pub fn forget(&mut self, number: u64) {
        self.subscribers.remove(&number);
    }

    /// Keeps an event for those whom `concerns` picks; their numbers. They are to be told then.
    pub fn keep(&mut self, event: Event, concerns: impl Fn(Requester) -> bool) -> Vec<u64> {
        let event = Rc::new(event);
        let mut numbers = Vec::new();
        for (number, subscriber) in self.subscribers.iter_mut().filter(|(_, s)| concerns(s.requester)) {
            subscriber.kept.push_back(event.clone());
            numbers.push(*number);
        }
        numbers
    }

    /// Takes out what a subscriber is to be told next.
    pub fn next(&mut self, number: u64) -> Option<(Rc<process_events::Client>, Rc<Event>)> {
        let subscriber = self.subscribers.get_mut(&number)?;
        Some((subscriber.client.clone(), subscriber.kept.pop_front()?))
    }

    /// There was no room: keeps what was taken out, to be told next, and what came after it as far as the bound.
    pub fn put_back(&mut self, number: u64, event: Rc<Event>) {
        if let Some(subscriber) = self.subscribers.get_mut(&number) {
            subscriber.kept.push_front(event);
            subscriber.kept.truncate(KEPT);
        }
    }

    /// The numbers of those for whom something is kept.
    pub fn with_kept(&self) -> Vec<u64> {
        self.subscribers.iter().filter(|(_, s)| !s.kept.is_empty()).map(|(number, _)| *number).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }
}
