//! Interrupts: a line of the host that signals a notification. A line is closed until
//! it is bound, and from when it comes until it is acknowledged.

use crate::activity::Activity;
use crate::authority::{Authority, Header};
use crate::commit::{Activity as Doing, Decision, Place};
use crate::effect::Effect;
use crate::encoding::fields;
use crate::ids::*;
use crate::setup::reach;
use crate::{Caller, Kernel};
use abi::{Error, Handle, Kind, Name, Returned, Rights};

/// One line: what authority knows of it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Interrupt {
    pub(crate) header: Header,
    /// The name of its device.
    pub name: Name,
}
fields!(Interrupt: header name);

/// One line: whom it signals.
#[derive(Clone, Debug)]
pub struct InterruptActivity {
    /// What it signals.
    pub notification: NotificationId,
    /// With which bits.
    pub bits: u64,
    /// Whether it may come.
    pub open: bool,
}
fields!(InterruptActivity: notification bits open);

impl InterruptActivity {
    pub(crate) const NONE: InterruptActivity =
        InterruptActivity { notification: NotificationId::NONE, bits: 0, open: false };
}

impl Authority {
    pub(crate) fn interrupt_added(&mut self, interrupt: InterruptId, name: Name, place: Place) {
        reach(&mut self.interrupts, interrupt.0);
        let Some(record) = self.interrupts.get_mut(interrupt.index()) else { return };
        *record = Some(Interrupt { header: Header::new(QuotaId::NONE, 0, 0), name });
        self.first_capability(interrupt.into(), place, Kind::Interrupt.rights());
    }
}

impl Activity {
    pub(crate) fn interrupt_bound(&mut self, line: InterruptId, notification: NotificationId, bits: u64) {
        *self.interrupt(line) = InterruptActivity { notification, bits, open: true };
        self.effects.push_back(Effect::Line { line, open: true });
    }

    pub(crate) fn interrupt_unbound(&mut self, line: InterruptId) {
        *self.interrupt(line) = InterruptActivity::NONE;
        self.effects.push_back(Effect::Line { line, open: false });
    }

    /// The line came; the host holds it back until it is acknowledged.
    pub(crate) fn interrupt_came(&mut self, line: InterruptId) {
        let record = self.interrupt(line);
        record.open = false;
        let (notification, bits) = (record.notification, record.bits);
        self.signal(notification, bits);
    }

    pub(crate) fn interrupt_acknowledged(&mut self, line: InterruptId) {
        self.interrupt(line).open = true;
        self.effects.push_back(Effect::Line { line, open: true });
    }

    pub(crate) fn interrupt_gone(&mut self, line: InterruptId) {
        if !self.interrupt(line).notification.is_none() {
            self.interrupt_unbound(line);
        }
    }

    fn bound_line(&self, line: InterruptId) -> Option<&InterruptActivity> {
        self.interrupts.get(line.index()).filter(|line| !line.notification.is_none())
    }
}

impl Kernel {
    fn line(&self, caller: Caller, interrupt: Handle, rights: Rights) -> Result<InterruptId, Error> {
        let (_, capability) = self.authority.lookup(caller.process, interrupt, Kind::Interrupt, rights, caller.now)?;
        Ok(InterruptId(capability.index))
    }

    pub(crate) fn decide_interrupt_bind(
        &self,
        caller: Caller,
        interrupt: Handle,
        notification: Handle,
        bits: u64,
    ) -> Result<Decision, Error> {
        let interrupt = self.line(caller, interrupt, Rights::BIND)?;
        let (_, notification) = self.notification(caller, notification, Rights::SIGNAL)?;
        if bits == 0 {
            return Err(Error::InvalidArgument);
        }
        if self.activity.bound_line(interrupt).is_some() {
            return Err(Error::AlreadyBound);
        }
        Ok(Decision::done(Returned::Nothing, Doing::InterruptBound { interrupt, notification, bits }))
    }

    pub(crate) fn decide_interrupt_unbind(&self, caller: Caller, interrupt: Handle) -> Result<Decision, Error> {
        let interrupt = self.line(caller, interrupt, Rights::BIND)?;
        self.activity.bound_line(interrupt).ok_or(Error::NotBound)?;
        Ok(Decision::done(Returned::Nothing, Doing::InterruptUnbound { interrupt }))
    }

    pub(crate) fn decide_interrupt_acknowledge(&self, caller: Caller, interrupt: Handle) -> Result<Decision, Error> {
        let interrupt = self.line(caller, interrupt, Rights::ACKNOWLEDGE)?;
        if self.activity.bound_line(interrupt).ok_or(Error::NotBound)?.open {
            return Ok(Decision::nothing(Returned::Nothing));
        }
        Ok(Decision::done(Returned::Nothing, Doing::InterruptAcknowledged { interrupt }))
    }

    /// A line that is closed should not have come: nothing happens.
    pub(crate) fn decide_interrupt(&self, interrupt: InterruptId) -> Result<Decision, Error> {
        if self.activity.interrupts.len() <= interrupt.index() {
            return Err(Error::InvalidArgument);
        }
        match self.activity.bound_line(interrupt) {
            Some(line) if line.open => Ok(Decision::done(Returned::Nothing, Doing::InterruptCame { interrupt })),
            _ => Ok(Decision::nothing(Returned::Nothing)),
        }
    }
}
