//! Watches: who wants to know of changes of keys with a prefix, and what they have not been told yet.
//! Events come after their change is durable, by rising version. Of each watch at most [`MAX_PENDING`]
//! wait; more, and it is told instead that it has to look for itself.

use crate::access::Grant;
use crate::data::Data;
use crate::record::MAX_OBJECT_KEY;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::Error;
use storage_engine::BlockDevice;
use storage_engine::turn::Signal;

/// The most watches of one namespace.
pub const MAX_EACH: usize = 16;
/// The most watches.
pub const MAX: usize = 256;
/// The most events that wait for one watcher.
pub const MAX_PENDING: usize = 64;

/// What a watcher is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A value was put.
    Changed {
        /// Its key.
        key: String,
        /// Its version.
        version: u64,
    },
    /// A value was removed.
    Removed {
        /// Its key.
        key: String,
        /// The version of the removal.
        version: u64,
    },
    /// Events were left out.
    Overflow,
}

/// A change that a transaction makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    namespace: u64,
    key: String,
    is_there: Presence,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Put,
    Removed,
}

impl Change {
    pub(crate) fn put(namespace: u64, key: &str) -> Change {
        Change { namespace, key: key.to_string(), is_there: Presence::Put }
    }

    pub(crate) fn removed(namespace: u64, key: &str) -> Change {
        Change { namespace, key: key.to_string(), is_there: Presence::Removed }
    }

    fn event(&self, version: u64) -> Event {
        let key = self.key.clone();
        match self.is_there {
            Presence::Put => Event::Changed { key, version },
            Presence::Removed => Event::Removed { key, version },
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    UnderWay,
    Committed,
    /// Nothing has changed.
    Refused,
    /// Perhaps it is on the disk, perhaps not.
    Unknown,
}

struct Watch {
    namespace: u64,
    prefix: String,
    pending: VecDeque<Event>,
}

impl Watch {
    fn concerns(&self, change: &Change) -> bool {
        self.namespace == change.namespace && change.key.starts_with(&self.prefix)
    }

    fn tell(&mut self, event: Event) {
        // Who has to look for himself sees this change too.
        if self.pending.back() == Some(&Event::Overflow) {
            return;
        }
        if event == Event::Overflow || self.pending.len() >= MAX_PENDING {
            self.pending.clear();
            self.pending.push_back(Event::Overflow);
        } else {
            self.pending.push_back(event);
        }
    }
}

#[derive(Default)]
struct State {
    watches: BTreeMap<u64, Watch>,
    next: u64,
    /// Transactions by their number, until all before them have ended.
    transactions: BTreeMap<u64, (Vec<Change>, Outcome)>,
}

/// All watches.
#[derive(Clone, Default)]
pub(crate) struct Watches {
    state: Rc<RefCell<State>>,
    pending: Rc<Signal>,
}

/// A transaction that is being committed.
pub(crate) struct Ticket {
    watches: Watches,
    number: u64,
    outcome: Outcome,
}

impl Ticket {
    /// How it ended.
    pub(crate) fn ended<T>(mut self, result: &Result<T, Error>) {
        self.outcome = match result {
            Ok(_) => Outcome::Committed,
            Err(Error::Device) => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.watches.ended(self.number, self.outcome);
    }
}

impl Watches {
    /// Numbers of watches begin at `first`: after a restart others than before.
    pub(crate) fn beginning_at(first: u64) -> Watches {
        let watches = Watches::default();
        watches.state.borrow_mut().next = first;
        watches
    }

    pub(crate) fn add(&self, namespace: u64, prefix: &str) -> Result<u64, Error> {
        let state = &mut *self.state.borrow_mut();
        let own = state.watches.values().filter(|watch| watch.namespace == namespace).count();
        if own >= MAX_EACH || state.watches.len() >= MAX {
            return Err(Error::TooManyWatches);
        }
        let number = state.next;
        state.next += 1;
        let watch = Watch { namespace, prefix: prefix.to_string(), pending: VecDeque::new() };
        state.watches.insert(number, watch);
        Ok(number)
    }

    pub(crate) fn remove(&self, namespace: u64, number: u64) -> Result<(), Error> {
        if !self.has(namespace, number) {
            return Err(Error::NoSuchWatch);
        }
        self.forget(number);
        Ok(())
    }

    pub(crate) fn forget(&self, number: u64) {
        self.state.borrow_mut().watches.remove(&number);
    }

    pub(crate) fn has(&self, namespace: u64, number: u64) -> bool {
        self.state.borrow().watches.get(&number).is_some_and(|watch| watch.namespace == namespace)
    }

    /// The event that is next to be told.
    pub(crate) fn next(&self, number: u64) -> Option<Event> {
        self.state.borrow().watches.get(&number)?.pending.front().cloned()
    }

    /// It was told.
    pub(crate) fn told(&self, number: u64) {
        if let Some(watch) = self.state.borrow_mut().watches.get_mut(&number) {
            watch.pending.pop_front();
        }
    }

    /// Those to whom something is to be told, but for those put off; waits for the first.
    pub(crate) async fn pending(&self, is_put_off: impl Fn(u64) -> bool) -> Vec<u64> {
        self.pending
            .until(|| {
                let state = self.state.borrow();
                let pending = state.watches.iter().filter(|(_, watch)| !watch.pending.is_empty());
                let numbers: Vec<u64> =
                    pending.map(|(number, _)| *number).filter(|number| !is_put_off(*number)).collect();
                (!numbers.is_empty()).then_some(numbers)
            })
            .await
    }

    /// Transaction `number` will make these changes, if it is committed.
    pub(crate) fn begin(&self, number: u64, changes: Vec<Change>) -> Ticket {
        self.state.borrow_mut().transactions.insert(number, (changes, Outcome::UnderWay));
        Ticket { watches: self.clone(), number, outcome: Outcome::Unknown }
    }

    fn ended(&self, number: u64, outcome: Outcome) {
        let state = &mut *self.state.borrow_mut();
        if let Some((_, is)) = state.transactions.get_mut(&number) {
            *is = outcome;
        }
        // In the order of their numbers, whoever was woken first.
        while let Some(first) = state.transactions.first_entry() {
            if first.get().1 == Outcome::UnderWay {
                break;
            }
            let version = *first.key();
            let (changes, outcome) = first.remove();
            for change in &changes {
                for watch in state.watches.values_mut().filter(|watch| watch.concerns(change)) {
                    match outcome {
                        Outcome::Committed => watch.tell(change.event(version)),
                        Outcome::Unknown => watch.tell(Event::Overflow),
                        Outcome::Refused | Outcome::UnderWay => {}
                    }
                }
            }
        }
        self.pending.notify();
    }

    /// All that was in this namespace is gone.
    pub(crate) fn lost(&self, namespace: u64) {
        for watch in self.state.borrow_mut().watches.values_mut().filter(|watch| watch.namespace == namespace) {
            watch.tell(Event::Overflow);
        }
        self.pending.notify();
    }
}

impl<D: BlockDevice> Data<D> {
    /// Begins to note changes of keys that begin with `prefix`; the watch's number.
    pub async fn watch(&self, grant: Grant, prefix: &str) -> Result<u64, Error> {
        grant.allows(Access::READ)?;
        if prefix.len() > MAX_OBJECT_KEY {
            return Err(Error::KeyTooLong);
        }
        let (_, namespace) = self.reading(grant).await?;
        self.watches.add(namespace, prefix)
    }

    /// Ends a watch.
    pub fn unwatch(&self, grant: Grant, number: u64) -> Result<(), Error> {
        self.watches.remove(grant.allows(Access::READ)?, number)
    }

    /// Whether a watch goes on.
    pub fn watching(&self, grant: Grant, number: u64) -> Result<bool, Error> {
        Ok(self.watches.has(grant.allows(Access::READ)?, number))
    }

    /// Watches whose watchers are to be told something, but for those put off; waits for the first.
    pub async fn watches_pending(&self, is_put_off: impl Fn(u64) -> bool) -> Vec<u64> {
        self.watches.pending(is_put_off).await
    }

    /// What a watcher is told next; it stays until [`Data::told`].
    pub fn next_event(&self, number: u64) -> Option<Event> {
        self.watches.next(number)
    }

    /// The watcher was told.
    pub fn told(&self, number: u64) {
        self.watches.told(number);
    }

    /// The watcher is gone.
    pub fn watcher_gone(&self, number: u64) {
        self.watches.forget(number);
    }
}
