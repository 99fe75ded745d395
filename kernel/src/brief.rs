//! Brief calls: frequent ones that change one thing at most and give back a number at most. What is decided
//! about one fits into a few words, so nothing large is moved and nothing collected: the door records the one
//! commit and carries it out. Each is decided by one function, for the door and for `decide` alike.

use crate::commit::{Activity as Doing, Change, Commit, Decision, Outcome};
use crate::ids::ThreadId;
use crate::{Caller, Kernel};
use abi::message::FaultKind;
use abi::{Error, FOREVER, Handle, Request, Returned};
use smallvec::SmallVec;

/// What was found about a brief call.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// How it ends.
    pub end: BriefEnd,
    /// What changes.
    pub commit: Option<Commit>,
}

/// How a brief call ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BriefEnd {
    /// At once, with this number; 0 where there is nothing to tell.
    Value(u64),
    /// At once, with this handle.
    Handle(Handle),
    /// At once, with nothing.
    Done,
    /// The thread waits.
    Waits,
}

impl Brief {
    /// The call ends so; this is the change.
    #[inline(always)]
    pub(crate) fn new(end: BriefEnd, change: impl Into<Change>) -> Brief {
        Brief { end, commit: Some(Commit { elapsed: 0, change: change.into() }) }
    }

    /// The call ends so and changes nothing.
    #[inline(always)]
    pub(crate) const fn nothing(end: BriefEnd) -> Brief {
        Brief { end, commit: None }
    }
}

impl Brief {
    /// With the processor time that it charges.
    #[inline(always)]
    fn charged(self, elapsed: u64) -> Brief {
        Brief { commit: self.commit.map(|commit| Commit { elapsed, ..commit }), ..self }
    }
}

impl From<Brief> for Decision {
    fn from(brief: Brief) -> Decision {
        let outcome = match brief.end {
            BriefEnd::Done => Outcome::Done(Returned::Nothing),
            BriefEnd::Value(value) => Outcome::Done(Returned::Value(value)),
            BriefEnd::Handle(handle) => Outcome::Done(Returned::Handle(handle)),
            BriefEnd::Waits => Outcome::Blocked,
        };
        Decision { outcome, commits: SmallVec::from_iter(brief.commit) }
    }
}

impl Kernel {
    /// Judges a brief call of the thread that runs. `None`: it is another call, or of another thread, and
    /// [`Kernel::decide`] says what becomes of it.
    ///
    /// Inlined with all that it calls: where the caller knows which call it is, nothing else is left.
    #[inline(always)]
    pub fn brief(&self, thread: ThreadId, request: &Request<'_>, now: u64) -> Option<Result<Brief, Error>> {
        if thread != self.activity.current {
            return None;
        }
        let process = self.activity.threads.get(thread.index())?.process;
        let caller = Caller { thread, process, now };
        let decided = self.decide_brief(caller, request)?;
        Some(decided.map(|brief| brief.charged(now.saturating_sub(self.activity.clock))))
    }

    /// Judges a fault of the thread that runs, which has a supervisor. `None`: as of [`Kernel::brief`].
    #[inline(always)]
    pub fn brief_fault(
        &self,
        thread: ThreadId,
        kind: FaultKind,
        detail: u64,
        resumable: bool,
        now: u64,
    ) -> Option<Brief> {
        let process = self.activity.threads.get(thread.index())?.process;
        if thread != self.activity.current || self.authority.supervisor(process).is_none() {
            return None;
        }
        let brief = Brief::new(BriefEnd::Waits, Doing::Faulted { thread, kind, detail, resumable });
        Some(brief.charged(now.saturating_sub(self.activity.clock)))
    }

    /// The brief calls.
    #[inline(always)]
    pub(crate) fn decide_brief(&self, caller: Caller, request: &Request<'_>) -> Option<Result<Brief, Error>> {
        Some(match *request {
            Request::Signal { notification, bits } => self.decide_signal(caller, notification, bits),
            Request::Wait { notification, timeout } => self.decide_wait(caller, notification, timeout),
            Request::Poll { notification } => self.decide_poll(caller, notification),
            Request::Yield => Ok(self.decide_yield(caller)),
            Request::Derive { source, rights, badge, expiry } => {
                self.decide_derive(caller, source, rights, badge, expiry)
            }
            Request::Delete { handle } => self.decide_delete(caller, handle),
            Request::RegionMap { region, address, rights } => self.decide_region_map(caller, region, address, rights),
            Request::RegionUnmap { region, address } => self.decide_region_unmap(caller, region, address),
            Request::ReplyReceive { endpoint, reply, ref message, timeout: FOREVER } => {
                Ok(self.decide_judged(caller, endpoint, reply, message)?)
            }
            _ => return None,
        })
    }
}
