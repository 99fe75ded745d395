//! Reading the log, and the debug output that needs no capability.

use crate::authority::{Authority, Header};
use crate::commit::{Activity as Doing, Decision, Outcome, Place};
use crate::effect::Effect;
use crate::encoding::fields;
use crate::ids::*;
use crate::{Caller, Kernel};
use abi::message::MAX_BYTES;
use abi::{Error, Handle, Kind, Rights};

/// The log as an object that capabilities name.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Log {
    pub(crate) header: Header,
}
fields!(Log: header);

/// The longest line of debug output, in bytes.
pub const MAX_DEBUG: u32 = 1024;
/// A process may write a line of debug output so often, in ns, on average,
pub const DEBUG_INTERVAL: u64 = 10_000_000;
/// and so far ahead of that, in ns: 64 lines at once.
pub const DEBUG_BURST: u64 = 64 * DEBUG_INTERVAL;

impl Authority {
    pub(crate) fn log_added(&mut self, log: LogId, place: Place) {
        self.logs.insert(log.0, Log { header: Header::new(QuotaId::NONE, 0, 0) });
        self.first_capability(log.into(), place, Kind::Log.rights());
    }
}

impl Kernel {
    pub(crate) fn decide_log_read(
        &self,
        caller: Caller,
        log: Handle,
        from: u64,
        length: u32,
    ) -> Result<Decision, Error> {
        self.authority.lookup(caller.process, log, Kind::Log, Rights::READ, caller.now)?;
        if length as usize > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        Ok(Decision::host(Effect::LogRead { thread: caller.thread, from, length }))
    }

    pub(crate) fn decide_debug(&self, caller: Caller, length: u32) -> Result<Decision, Error> {
        if length > MAX_DEBUG {
            return Err(Error::TooLarge);
        }
        let on_time = self.activity.processes.get(caller.process.index()).map_or(0, |process| process.debug_next);
        if on_time > caller.now.saturating_add(DEBUG_BURST) {
            return Err(Error::WouldBlock);
        }
        let next = on_time.max(caller.now).saturating_add(DEBUG_INTERVAL);
        let outcome = Outcome::Host(Effect::Debug { thread: caller.thread, length });
        Ok(Decision::new(outcome, Doing::DebugWritten { process: caller.process, next }))
    }
}
