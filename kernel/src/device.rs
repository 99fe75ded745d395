//! Devices of the host: registers, and operations that complete later. The kernel
//! checks who may; the host does the rest at once.

use crate::authority::{Authority, Header};
use crate::commit::{Decision, Place};
use crate::effect::Effect;
use crate::encoding::fields;
use crate::ids::*;
use crate::setup::reach;
use crate::{Caller, Kernel};
use abi::device::{ABOUT, CLASS, Operation};
use abi::message::MAX_BYTES;
use abi::{Error, FOREVER, Handle, Kind, Name, PAGE_SIZE, Rights};

/// One device.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Device {
    pub(crate) header: Header,
    /// For people.
    pub name: Name,
}
fields!(Device: header name);

impl Authority {
    pub(crate) fn device_added(&mut self, device: DeviceId, name: Name, place: Place) {
        reach(&mut self.devices, device.0);
        let Some(record) = self.devices.get_mut(device.index()) else { return };
        *record = Some(Device { header: Header::new(QuotaId::NONE, 0, 0), name });
        self.first_capability(device.into(), place, Kind::Device.rights());
    }
}

impl Kernel {
    fn device(&self, caller: Caller, device: Handle, rights: Rights) -> Result<DeviceId, Error> {
        let (_, capability) = self.authority.lookup(caller.process, device, Kind::Device, rights, caller.now)?;
        Ok(DeviceId(capability.index))
    }

    /// Whoever may read from it or write to it.
    fn device_either(&self, caller: Caller, device: Handle) -> Result<DeviceId, Error> {
        self.device(caller, device, Rights::READ).or_else(|error| match error {
            Error::MissingRight => self.device(caller, device, Rights::WRITE),
            error => Err(error),
        })
    }

    pub(crate) fn decide_device_read(&self, caller: Caller, device: Handle, register: u64) -> Result<Decision, Error> {
        // What a device is and how it is, a writer may know.
        let device = match (ABOUT..=CLASS).contains(&register) {
            true => self.device_either(caller, device)?,
            false => self.device(caller, device, Rights::READ)?,
        };
        Ok(Decision::host(Effect::DeviceRead { thread: caller.thread, device, register }))
    }

    pub(crate) fn decide_device_write(
        &self,
        caller: Caller,
        device: Handle,
        register: u64,
        value: u64,
    ) -> Result<Decision, Error> {
        let device = self.device(caller, device, Rights::WRITE)?;
        Ok(Decision::host(Effect::DeviceWrite { thread: caller.thread, device, register, value }))
    }

    pub(crate) fn decide_device_submit(
        &self,
        caller: Caller,
        device: Handle,
        operation: Operation,
        (a, b): (u64, u64),
        length: u32,
    ) -> Result<Decision, Error> {
        let device = self.device(caller, device, operation.right())?;
        if length as usize > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        Ok(Decision::host(Effect::DeviceSubmit { thread: caller.thread, device, operation, a, b, length }))
    }

    /// Whoever may submit anything may take completions.
    pub(crate) fn decide_device_complete(&self, caller: Caller, device: Handle) -> Result<Decision, Error> {
        let device = self.device_either(caller, device)?;
        Ok(Decision::host(Effect::DeviceComplete { thread: caller.thread, device }))
    }

    /// What a device is told of, it can use from then on, so nothing that expires is told.
    pub(crate) fn decide_device_address(
        &self,
        caller: Caller,
        device: Handle,
        region: Handle,
        page: u64,
    ) -> Result<Decision, Error> {
        if !self.platform.mapping {
            return Err(Error::Unsupported);
        }
        let device = self.device(caller, device, Rights::WRITE)?;
        let both = Rights::READ.or(Rights::WRITE);
        let offset = page.saturating_mul(PAGE_SIZE as u64);
        let id = self.span(caller, region, both, offset, PAGE_SIZE as u64)?;
        let (_, capability) = self.authority.lookup(caller.process, region, Kind::Region, both, caller.now)?;
        if capability.expiry != FOREVER {
            return Err(Error::InvalidArgument);
        }
        Ok(Decision::host(Effect::DeviceAddress { thread: caller.thread, device, region: id, page }))
    }
}
