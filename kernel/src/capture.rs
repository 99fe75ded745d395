//! Capture: what goes through an endpoint, shown to the host, which writes it down for
//! debugging. Words and bytes stay what they are everywhere else: no part of the state.
//!
//! The fast path knows nothing of it. An endpoint under capture has its queues in
//! another place than the one that the fast path looks at; what stands there instead
//! makes every call and answer take the way on which deliveries are shown.

use crate::activity::Activity;
use crate::authority::Authority;
use crate::commit::{Authority as Change, Decision};
use crate::effect::{Effect, PayloadSource};
use crate::encoding::fields;
use crate::endpoint::EndpointActivity;
use crate::ids::*;
use crate::queue::{Entry, Queue};
use crate::thread::CAPTURED;
use crate::{Caller, Kernel};
use abi::{Delivery, DeliveryKind, Error, Handle, Kind, Returned, Rights};

/// The two queues of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queues {
    /// Threads that wait for a message.
    pub receivers: Queue,
    /// What waits for a receiver.
    pub senders: Queue,
}
fields!(Queues: receivers senders);

impl Queues {
    /// With nobody in them.
    pub const EMPTY: Queues = Queues { receivers: Queue::EMPTY, senders: Queue::EMPTY };
    /// For the fast path to turn back at: there is nobody to give a message to, and
    /// something to be received before the next wait.
    const BARRED: Queues = Queues { receivers: Queue::EMPTY, senders: Queue { head: Entry::BAR, tail: Entry::BAR } };
}

impl EndpointActivity {
    /// Whether it is under capture.
    pub fn is_captured(&self) -> bool {
        self.open == Queues::BARRED
    }

    /// Who waits there.
    pub fn queues(&self) -> &Queues {
        if self.is_captured() { &self.captured } else { &self.open }
    }

    /// The same, to change.
    pub(crate) fn queues_mut(&mut self) -> &mut Queues {
        if self.is_captured() { &mut self.captured } else { &mut self.open }
    }
}

impl Authority {
    pub(crate) fn capture_began(&mut self, endpoint: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint.0) {
            endpoint.captured = true;
        }
    }

    pub(crate) fn capture_ended(&mut self, endpoint: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint.0) {
            endpoint.captured = false;
        }
    }
}

impl Activity {
    pub(crate) fn capture_began(&mut self, endpoint: EndpointId, process: ProcessId) {
        let record = self.endpoint(endpoint);
        if !record.is_captured() {
            record.captured = core::mem::replace(&mut record.open, Queues::BARRED);
        }
        let process = self.process(process).serial;
        self.effects.push_back(Effect::CaptureBegan { endpoint, process });
    }

    /// Also when the endpoint goes: its number may be another's next, to whom answers to
    /// calls that came through it are none.
    pub(crate) fn capture_ended(&mut self, endpoint: EndpointId) {
        let record = self.endpoint(endpoint);
        if !record.is_captured() {
            return;
        }
        record.open = core::mem::replace(&mut record.captured, Queues::EMPTY);
        for thread in &mut self.threads {
            if thread.on == endpoint.0 {
                thread.flags &= !CAPTURED;
            }
        }
        self.effects.push_back(Effect::CaptureEnded { endpoint });
    }

    pub(crate) fn is_captured(&self, endpoint: EndpointId) -> bool {
        self.endpoints.get(endpoint.index()).is_some_and(EndpointActivity::is_captured)
    }

    /// A call came through `endpoint`: if that is captured, its answer is, too.
    pub(crate) fn expect_answer(&mut self, caller: ThreadId, endpoint: EndpointId) {
        if self.is_captured(endpoint) {
            let record = self.thread(caller);
            record.flags |= CAPTURED;
            record.on = endpoint.0;
        }
    }

    /// A thread gets this: shown, if it comes through an endpoint under capture, or is the
    /// answer to what did. What was queued is shown by [`Activity::capture_from`].
    pub(crate) fn capture(&mut self, to: ThreadId, payload: PayloadSource, delivery: &Delivery) {
        let sender = match payload {
            PayloadSource::Thread(sender) => self.process(self.view(sender).process).serial,
            PayloadSource::Kernel(_) => 0,
            PayloadSource::Buffer(_) => return,
        };
        self.capture_from(sender, to, payload, delivery);
    }

    /// The same, of a message from the process with this serial.
    pub(crate) fn capture_from(&mut self, sender: u64, to: ThreadId, payload: PayloadSource, delivery: &Delivery) {
        let record = self.view(to);
        let endpoint = EndpointId(record.on);
        let answers_another = delivery.kind == DeliveryKind::Answer && record.flags & CAPTURED == 0;
        if answers_another || !self.is_captured(endpoint) {
            return;
        }
        let process = record.process;
        let receiver = self.process(process).serial;
        self.effects.push_back(Effect::Captured { endpoint, sender, receiver, payload, delivery: *delivery });
    }
}

impl Kernel {
    /// The endpoint that a handle names with the right to capture, and whether it is captured.
    fn to_capture(&self, caller: Caller, endpoint: Handle) -> Result<(EndpointId, bool), Error> {
        if !self.platform.capture {
            return Err(Error::Unsupported);
        }
        let (_, capability) =
            self.authority.lookup(caller.process, endpoint, Kind::Endpoint, Rights::CAPTURE, caller.now)?;
        let endpoint = EndpointId(capability.index);
        Ok((endpoint, self.authority.endpoints.get(endpoint.0).is_some_and(|endpoint| endpoint.captured)))
    }

    pub(crate) fn decide_capture_begin(&self, caller: Caller, endpoint: Handle) -> Result<Decision, Error> {
        match self.to_capture(caller, endpoint)? {
            (_, true) => Err(Error::AlreadyBound),
            (endpoint, false) => {
                Ok(Decision::done(Returned::Nothing, Change::CaptureBegan { endpoint, process: caller.process }))
            }
        }
    }

    pub(crate) fn decide_capture_end(&self, caller: Caller, endpoint: Handle) -> Result<Decision, Error> {
        match self.to_capture(caller, endpoint)? {
            (_, false) => Err(Error::NotBound),
            (endpoint, true) => {
                Ok(Decision::done(Returned::Nothing, Change::CaptureEnded { endpoint, process: caller.process }))
            }
        }
    }
}
