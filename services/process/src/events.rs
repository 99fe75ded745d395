//! Those who want to know how processes fare, and how they are told. An event that finds
//! a subscriber's queue full is lost; a subscriber whose endpoint is gone is forgotten.

use crate::requester::Requester;
use alloc::collections::BTreeMap;
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
    /// The subscriber is gone. That its queue is full is none.
    pub async fn tell(&self, to: &process_events::Client) -> Result<(), ClientError> {
        let told = match self {
            Event::Exited { pid, name, end } => to.exited(*pid, name, end).await,
            Event::Warning { pid, what, used, limit } => to.resource_warning(*pid, *what, *used, *limit).await,
        };
        match told {
            Err(ClientError::System(Error::WouldBlock)) => Ok(()),
            told => told,
        }
    }
}

struct Subscriber {
    requester: Requester,
    client: Rc<process_events::Client>,
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
        self.subscribers.insert(self.last, Subscriber { requester, client });
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

    /// Those whom `concerns` picks, with their numbers.
    pub fn of(&self, concerns: impl Fn(Requester) -> bool) -> Vec<(u64, Rc<process_events::Client>)> {
        let subscribers = self.subscribers.iter().filter(|(_, s)| concerns(s.requester));
        subscribers.map(|(number, s)| (*number, s.client.clone())).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }
}
