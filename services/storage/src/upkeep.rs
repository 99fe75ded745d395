//! What the service does by itself, beside its requests: it tells watchers, removes what has expired,
//! lets go of large contents step by step, and gives up uploads whose writers are gone.

use crate::data::Data;
use crate::watch::Event;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use libprocess::abi;
use libprocess::interfaces::storage::object_events;
use libprocess::{Cap, ClientError, Endpoint, Task, now, sleep, sleep_until};
use storage_engine::BlockDevice;

/// How soon a watcher for whose events there was no room is tried again, and how late at the latest.
const SOON: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_secs(1);
/// How often the writers of streams are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the wall clock is looked at while something may expire: it may be set forward.
const LONGEST: Duration = Duration::from_secs(60);
/// When something is tried again that the disk refused.
const AGAIN: Duration = Duration::from_secs(30);

/// Where the events of each watch go.
#[derive(Clone, Default)]
pub struct Watchers(Rc<RefCell<BTreeMap<u64, Rc<object_events::Client>>>>);

impl Watchers {
    pub(crate) fn add(&self, number: u64, to: Cap<Endpoint>) {
        self.0.borrow_mut().insert(number, Rc::new(object_events::Client::new(to)));
    }

    pub(crate) fn forget(&self, number: u64) {
        self.0.borrow_mut().remove(&number);
    }

    /// Ends the watches whose endpoints are gone.
    pub(crate) fn forget_gone<D: BlockDevice>(&self, data: &Data<D>) {
        self.0.borrow_mut().retain(|number, client| {
            let is_there = client.connection().endpoint().inspect().is_ok();
            if !is_there {
                data.watcher_gone(*number);
            }
            is_there
        });
    }

    fn of(&self, number: u64) -> Option<Rc<object_events::Client>> {
        self.0.borrow().get(&number).cloned()
    }
}

/// Begins all of it. It ends with what this returns.
#[must_use = "it ends with this"]
pub fn begin<D: BlockDevice + 'static>(data: &Rc<Data<D>>, watchers: &Watchers) -> [Task; 4] {
    [
        Task::spawn(tell(data.clone(), watchers.clone())),
        Task::spawn(expire(data.clone())),
        Task::spawn(reclaim(data.clone())),
        Task::spawn(look_at_writers(data.clone())),
    ]
}

/// A watch whose events found no room: when it is tried again, in ns since boot, and how much later than before.
struct PutOff {
    until: u64,
    pause: Duration,
}

/// How telling a watcher ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Everything,
    /// Something, until there was no room.
    Some,
    Nothing,
}

/// Tells watchers. One that does not listen holds nobody else up: it is put off, later and later.
async fn tell<D: BlockDevice>(data: Rc<Data<D>>, watchers: Watchers) {
    let mut put_off: BTreeMap<u64, PutOff> = BTreeMap::new();
    loop {
        for number in next_to_tell(&data, &put_off).await {
            let pause = put_off.remove(&number).map_or(SOON, |before| (before.pause * 2).min(LATE));
            let pause = match tell_one(&data, &watchers, number).await {
                Told::Everything => continue,
                Told::Some => SOON,
                Told::Nothing => pause,
            };
            let until = now().saturating_add(pause.as_nanos() as u64);
            put_off.insert(number, PutOff { until, pause });
        }
    }
}

/// Waits until somebody is to be told something, or is to be tried again.
async fn next_to_tell<D: BlockDevice>(data: &Data<D>, put_off: &BTreeMap<u64, PutOff>) -> Vec<u64> {
    let pending = pin!(data.watches_pending(|number| put_off.contains_key(&number)));
    let Some(earliest) = put_off.values().map(|watch| watch.until).min() else { return pending.await };
    match select(pending, sleep_until(earliest)).await {
        Either::Left((numbers, _)) => numbers,
        Either::Right(_) => {
            let now = now();
            put_off.iter().filter(|(_, watch)| watch.until <= now).map(|(number, _)| *number).collect()
        }
    }
}

/// Tells a watcher what waits for it, as far as there is room.
async fn tell_one<D: BlockDevice>(data: &Data<D>, watchers: &Watchers, number: u64) -> Told {
    let Some(client) = watchers.of(number) else {
        data.watcher_gone(number);
        return Told::Everything;
    };
    let mut told = Told::Nothing;
    while let Some(event) = data.next_event(number) {
        let sent = match &event {
            Event::Changed { key, version } => client.changed(number, key, *version).await,
            Event::Removed { key, version } => client.removed(number, key, *version).await,
            Event::Overflow => client.overflow(number).await,
        };
        match sent {
            Ok(()) => {
                data.told(number);
                told = Told::Some;
            }
            // Its queue is full, or the service may have no more messages in queues, whosever they are.
            Err(ClientError::System(abi::Error::WouldBlock | abi::Error::QuotaExceeded)) => return told,
            Err(_) => {
                watchers.forget(number);
                data.watcher_gone(number);
            }
        }
    }
    Told::Everything
}

/// Removes what has expired, as soon as it has.
async fn expire<D: BlockDevice>(data: Rc<Data<D>>) {
    loop {
        let wait = match data.remove_expired().await {
            Ok(Some(next)) => Some(data.time_until(next)),
            Ok(None) => None,
            Err(_) => Some(AGAIN),
        };
        let earlier = pin!(data.expires_earlier());
        match wait {
            Some(wait) => {
                select(sleep(wait.min(LONGEST)), earlier).await;
            }
            None => earlier.await,
        }
    }
}

/// Lets go of large contents.
async fn reclaim<D: BlockDevice>(data: Rc<Data<D>>) {
    loop {
        match data.reclaim_step().await {
            Ok(true) => {}
            Ok(false) => data.more_to_reclaim().await,
            Err(_) => {
                select(sleep(AGAIN), pin!(data.more_to_reclaim())).await;
            }
        }
    }
}

/// Gives up uploads.
async fn look_at_writers<D: BlockDevice>(data: Rc<Data<D>>) {
    loop {
        data.uploads_under_way().await;
        sleep(LOOK_EVERY).await;
        data.give_up_uploads();
    }
}
