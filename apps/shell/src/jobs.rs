//! Programs that this shell started: which run in the background, and how they end.
//! The process service tells of each end by an event; it is asked as well now and then,
//! since an event that finds the queue full is lost. Changes that are watched come the same way: a process has one inbox.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use libprocess::interfaces::process::lifecycle::{self, End};
use libprocess::interfaces::process::process_events;
use libprocess::interfaces::storage::object_events;
use libprocess::service::{Inbox, Incoming};
use libprocess::{Cap, Endpoint, Error, Quota, Rights, sleep};

/// Events that may wait.
const DEPTH: u32 = 64;
/// How often the process service is asked, beside its events.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The same, without events.
const ASK_OFTEN: Duration = Duration::from_millis(20);

/// A program in the background.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its pid.
    pub pid: u64,
    /// Its name.
    pub name: String,
}

/// Programs in the background, and news of ends.
pub struct Jobs {
    /// In the order in which they were started.
    pub running: Vec<Job>,
    /// Ends that nobody has waited for yet.
    ended: VecDeque<(Job, End)>,
    inbox: Option<Inbox>,
    /// The process service tells of ends.
    is_told: bool,
}

/// What came to the inbox.
enum News {
    Ended(u64, End),
    Watched(u64, Change),
}

/// A change that is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A value was put under this key, with this version.
    Changed(String, u64),
    /// It was removed, or has expired, with this version.
    Removed(String, u64),
    /// Some were left out.
    LeftOut,
}

impl Jobs {
    /// Asks the process service to tell of ends.
    pub async fn new(quota: &Cap<Quota>, lifecycle: Option<&lifecycle::Client>) -> Jobs {
        let inbox = Cap::<Endpoint>::create(quota, DEPTH).and_then(Inbox::open).ok();
        let mut jobs = Jobs { running: Vec::new(), ended: VecDeque::new(), inbox, is_told: false };
        if let Some(lifecycle) = lifecycle
            && let Ok(to) = jobs.inbox_for(Rights::SEND)
        {
            jobs.is_told = lifecycle.subscribe(to).await.is_ok();
        }
        jobs
    }

    /// The inbox, for one who is to tell something.
    pub fn inbox_for(&self, rights: Rights) -> Result<Cap<Endpoint>, Error> {
        self.inbox.as_ref().ok_or(Error::PeerGone)?.endpoint().derive(rights)
    }

    /// Waits for what comes next; `None` after a while, so that those who tell can be asked.
    async fn news(inbox: &mut Option<Inbox>) -> Option<News> {
        let Some(open) = inbox else {
            sleep(ASK_OFTEN).await;
            return None;
        };
        let came = match select(pin!(open.next()), pin!(sleep(ASK_EVERY))).await {
            Either::Left((came, _)) => came,
            Either::Right(_) => return None,
        };
        match came {
            Ok(Incoming::Request(request)) => match request.number() {
                process_events::tags::EXITED => {
                    let (pid, _, end): (u64, String, End) = request.decode().ok()?;
                    Some(News::Ended(pid, end))
                }
                object_events::tags::CHANGED => {
                    let (watch, key, version) = request.decode().ok()?;
                    Some(News::Watched(watch, Change::Changed(key, version)))
                }
                object_events::tags::REMOVED => {
                    let (watch, key, version) = request.decode().ok()?;
                    Some(News::Watched(watch, Change::Removed(key, version)))
                }
                object_events::tags::OVERFLOW => {
                    let (watch,) = request.decode().ok()?;
                    Some(News::Watched(watch, Change::LeftOut))
                }
                _ => None,
            },
            Ok(_) => None,
            Err(_) => {
                *inbox = None;
                None
            }
        }
    }

    /// Waits for the next change that this watch tells; `None` after a while: then storage should be asked whether
    /// the watch goes on. Can be given up at any time.
    pub async fn change(&mut self, watch: u64) -> Option<Change> {
        loop {
            match Jobs::news(&mut self.inbox).await? {
                News::Watched(of, change) if of == watch => return Some(change),
                // Of a watch that has ended.
                News::Watched(..) => {}
                News::Ended(pid, end) => self.note(pid, end),
            }
        }
    }

    /// How a program in the background ended, if its end was told and nobody has asked yet.
    pub fn take_end(&mut self, pid: u64) -> Option<End> {
        let at = self.ended.iter().position(|(job, _)| job.pid == pid)?;
        self.ended.remove(at).map(|(_, end)| end)
    }

    /// Process `pid` is in the background no more.
    pub fn forget(&mut self, pid: u64) {
        self.running.retain(|job| job.pid != pid);
    }

    /// Waits for the news of the end of process `pid`; `None` after a while: then the process
    /// service should be asked. Can be given up at any time.
    pub async fn news_of(&mut self, pid: u64) -> Option<End> {
        loop {
            match Jobs::news(&mut self.inbox).await? {
                News::Ended(ended, end) if ended == pid => return Some(end),
                News::Ended(ended, end) => self.note(ended, end),
                News::Watched(..) => {}
            }
        }
    }

    /// The pids of all in the background that nobody has waited for yet.
    pub fn waiting(&self) -> Vec<u64> {
        self.ended.iter().map(|(job, _)| job.pid).chain(self.running.iter().map(|job| job.pid)).collect()
    }

    /// Waits until a program in the background has ended. Can be given up at any time.
    pub async fn next_end(&mut self) -> (Job, End) {
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return ended;
            }
            // While none runs there is nothing to wait for, and no timer is to tick.
            if self.running.is_empty() || !self.is_told || self.inbox.is_none() {
                core::future::pending::<()>().await;
            }
            if let Some(News::Ended(pid, end)) = Jobs::news(&mut self.inbox).await {
                self.note(pid, end);
            }
        }
    }

    fn note(&mut self, pid: u64, end: End) {
        if let Some(at) = self.running.iter().position(|job| job.pid == pid) {
            self.ended.push_back((self.running.remove(at), end));
        }
    }
}
