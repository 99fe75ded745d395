//! [`HostDevice`]: a device of the host, with its interrupt. An operation is submitted, the
//! task waits, the interrupt comes, the completion is fetched. A serial line takes the same
//! operations: the module `uart` carries them out in this process, so whoever prints or reads does
//! not know the difference. Drivers of other devices stand on [`BoundInterrupt`] and the registers.

use crate::capability::{Cap, Device, Interrupt};
use crate::signal::{Signal, with_notification};
use crate::timer;
use crate::uart::{Port, Serial};
use abi::Error;
use abi::device::{
    CONSOLE_RAW, Completion, DeviceClass, Operation, UART_IDLE, UART_RECEIVE, UART_STATUS, UART_TERMINAL,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

/// How long a process waits between looks at a device whose interrupt it does not have.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A device of the host. Clones are the same device.
#[derive(Clone, Debug)]
pub struct HostDevice {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: Rc<Cap<Device>>,
    /// If it is a serial line, what works it; known from the first use on.
    serial: OnceCell<Option<RefCell<Serial<Line>>>>,
    interrupt: Option<Cap<Interrupt>>,
    binding: Binding,
    /// The bit that the interrupt sets, while it is bound.
    signal: RefCell<Option<Rc<Signal>>>,
    /// Tasks that wait for a completion.
    waiting: Cell<usize>,
    waiters: RefCell<Vec<Waker>>,
    completions: RefCell<BTreeMap<u64, (Completion, Vec<u8>)>>,
    /// Operations whose completion nobody waits for.
    forgotten: RefCell<BTreeSet<u64>>,
}

/// For how long the device's interrupt is bound to this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding {
    /// From the first operation on: the device is this process's alone.
    Kept,
    /// While an operation is waited for: other processes use the device too.
    PerOperation,
}

impl HostDevice {
    /// The device; without its interrupt, or while another process has that bound, completions
    /// are looked for every 2 ms.
    pub fn new(device: Cap<Device>, interrupt: Option<Cap<Interrupt>>, binding: Binding) -> HostDevice {
        HostDevice {
            shared: Rc::new(Shared {
                device: Rc::new(device),
                serial: OnceCell::new(),
                interrupt,
                binding,
                signal: RefCell::new(None),
                waiting: Cell::new(0),
                waiters: RefCell::new(Vec::new()),
                completions: RefCell::new(BTreeMap::new()),
                forgotten: RefCell::new(BTreeSet::new()),
            }),
        }
    }

    /// Reads a register.
    pub fn read(&self, register: u64) -> Result<u64, Error> {
        match self.shared.serial() {
            Some(serial) if register == CONSOLE_RAW => Ok(serial.borrow().is_raw().into()),
            _ => self.shared.device.read(register),
        }
    }

    /// Writes a register.
    pub fn write(&self, register: u64, value: u64) -> Result<(), Error> {
        match self.shared.serial() {
            Some(serial) if register == CONSOLE_RAW => serial.borrow_mut().set_raw(value != 0),
            _ => self.shared.device.write(register, value),
        }
    }

    /// What it is. `Unsupported` of a class that this library does not know.
    pub fn class(&self) -> Result<DeviceClass, Error> {
        self.shared.device.class()
    }

    /// The device's capability.
    pub fn capability(&self) -> &Cap<Device> {
        &self.shared.device
    }

    /// Its interrupt's capability, if it was given with it.
    pub fn interrupt(&self) -> Option<&Cap<Interrupt>> {
        self.shared.interrupt.as_ref()
    }

    /// Carries an operation out: how it ended, and the bytes that were read. Dropping it
    /// does not undo the operation.
    pub async fn operate(
        &self,
        operation: Operation,
        a: u64,
        b: u64,
        bytes: &[u8],
    ) -> Result<(Completion, Vec<u8>), Error> {
        let request = self.begin(operation, a, b, bytes).await?;
        Waiting::begin(&self.shared).of(request).completion(request).await
    }

    /// Begins an operation, once the device takes one more; its number, for [`HostDevice::end`].
    pub(crate) async fn begin(&self, operation: Operation, a: u64, b: u64, bytes: &[u8]) -> Result<u64, Error> {
        loop {
            match self.shared.submit(operation, a, b, bytes) {
                // The device has as many operations as it takes: one must end first.
                Err(Error::WouldBlock) => {
                    let waiting = Waiting::begin(&self.shared);
                    if self.shared.drain()? == 0 {
                        waiting.something().await?;
                    }
                }
                result => return result,
            }
        }
    }

    /// The end of an operation that was begun. If this is dropped, it can be asked for again.
    pub(crate) async fn end(&self, request: u64) -> Result<(Completion, Vec<u8>), Error> {
        Waiting::begin(&self.shared).completion(request).await
    }

    /// Begins an operation whose end nobody waits for; `WouldBlock` when the device takes
    /// no more.
    pub(crate) fn submit_and_forget(&self, operation: Operation, a: u64, b: u64, bytes: &[u8]) -> Result<(), Error> {
        let request = match self.shared.submit(operation, a, b, bytes) {
            Err(Error::WouldBlock) => {
                self.shared.drain()?;
                self.shared.submit(operation, a, b, bytes)?
            }
            result => result?,
        };
        self.shared.forgotten.borrow_mut().insert(request);
        Ok(())
    }
}

/// The registers of a serial line.
#[derive(Debug)]
struct Line(Rc<Cap<Device>>);

impl Port for Line {
    fn receive(&self) -> Result<u64, Error> {
        self.0.read(UART_RECEIVE)
    }

    fn transmit(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.submit(Operation::Write, 0, 0, bytes).map(|count| count as usize)
    }

    fn is_idle(&self) -> Result<bool, Error> {
        self.0.read(UART_STATUS).map(|status| status & UART_IDLE != 0)
    }

    fn is_terminal(&self) -> bool {
        self.0.read(UART_STATUS).is_ok_and(|status| status & UART_TERMINAL != 0)
    }
}

impl Shared {
    /// What works it, if it is a serial line.
    fn serial(&self) -> Option<&RefCell<Serial<Line>>> {
        let serial = self.serial.get_or_init(|| match self.device.class() {
            Ok(DeviceClass::Uart) => Some(RefCell::new(Serial::new(Line(self.device.clone())))),
            // What cannot be asked is worked as the host works it.
            _ => None,
        });
        serial.as_ref()
    }

    fn submit(&self, operation: Operation, a: u64, b: u64, bytes: &[u8]) -> Result<u64, Error> {
        match self.serial() {
            Some(serial) => serial.borrow_mut().submit(operation, b, bytes),
            None => self.device.submit(operation, a, b, bytes),
        }
    }

    fn complete(&self) -> Result<(Completion, Vec<u8>), Error> {
        match self.serial() {
            Some(serial) => serial.borrow_mut().complete(),
            None => self.device.complete(),
        }
    }

    /// Fetches what is complete; how many completions that were.
    fn drain(&self) -> Result<usize, Error> {
        let mut came = 0;
        loop {
            match self.complete() {
                Ok((completion, bytes)) => {
                    came += 1;
                    if !self.forgotten.borrow_mut().remove(&completion.request) {
                        self.completions.borrow_mut().insert(completion.request, (completion, bytes));
                    }
                }
                Err(Error::WouldBlock) => break,
                Err(error) => return Err(error),
            }
        }
        if came > 0 {
            for waker in self.waiters.borrow_mut().drain(..) {
                waker.wake();
            }
        }
        Ok(came)
    }

    /// The bit that the interrupt sets; `None` if it is not to be had.
    fn bind(&self) -> Result<Option<Rc<Signal>>, Error> {
        if let Some(signal) = &*self.signal.borrow() {
            return Ok(Some(signal.clone()));
        }
        let Some(interrupt) = &self.interrupt else { return Ok(None) };
        let signal = match Signal::new() {
            Ok(signal) => signal,
            // It has no quota to pay for a notification.
            Err(_) => return Ok(None),
        };
        match with_notification(|notification| interrupt.bind(notification, signal.mask()))? {
            Ok(()) => {
                let signal = Rc::new(signal);
                *self.signal.borrow_mut() = Some(signal.clone());
                Ok(Some(signal))
            }
            // Another process waits with it, or this one's notification is not to be signalled.
            Err(Error::AlreadyBound | Error::MissingRight) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unbind(&self) {
        if self.signal.borrow_mut().take().is_some()
            && let Some(interrupt) = &self.interrupt
        {
            let _ = interrupt.unbind();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.unbind();
    }
}

/// An interrupt that a driver waits for. It is bound to this process until this is dropped.
#[derive(Debug)]
pub struct BoundInterrupt {
    interrupt: Cap<Interrupt>,
    signal: Signal,
}

impl BoundInterrupt {
    /// Binds it. `AlreadyBound` if another process has it.
    pub fn bind(interrupt: Cap<Interrupt>) -> Result<BoundInterrupt, Error> {
        let signal = Signal::new()?;
        with_notification(|notification| interrupt.bind(notification, signal.mask()))??;
        Ok(BoundInterrupt { interrupt, signal })
    }

    /// Waits until it has come since the last wait, and lets it come again: what happens at the device from
    /// now on is told by the next one.
    pub async fn wait(&self) -> Result<(), Error> {
        self.signal.wait().await;
        self.interrupt.acknowledge()
    }
}

impl Drop for BoundInterrupt {
    fn drop(&mut self) {
        // It may have been revoked, and is unbound then.
        let _ = self.interrupt.unbind();
    }
}

/// A task that waits for the device.
struct Waiting<'a> {
    shared: &'a Shared,
    request: Option<u64>,
}

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Waiting<'a> {
        shared.waiting.set(shared.waiting.get() + 1);
        Waiting { shared, request: None }
    }

    fn of(mut self, request: u64) -> Waiting<'a> {
        self.request = Some(request);
        self
    }

    /// Waits for the completion of `request`.
    async fn completion(mut self, request: u64) -> Result<(Completion, Vec<u8>), Error> {
        self.shared.drain()?;
        loop {
            let done = self.shared.completions.borrow_mut().remove(&request);
            if let Some(done) = done {
                self.request = None;
                return Ok(done);
            }
            self.something().await?;
        }
    }

    /// Waits until something is complete.
    async fn something(&self) -> Result<(), Error> {
        let shared = self.shared;
        let was_bound = shared.signal.borrow().is_some();
        let Some(signal) = shared.bind()? else {
            timer::sleep(LOOK_EVERY).await;
            shared.drain()?;
            return Ok(());
        };
        // What came before it was bound raised no interrupt here.
        if !was_bound && shared.drain()? > 0 {
            return Ok(());
        }
        let mut first = true;
        poll_fn(|context| {
            if !first && signal.poll(context.waker()).is_pending() {
                // Another task may have fetched what this one waits for.
                return Poll::Ready(Ok(()));
            }
            if first {
                first = false;
                if signal.poll(context.waker()).is_pending() {
                    shared.waiters.borrow_mut().push(context.waker().clone());
                    return Poll::Pending;
                }
            }
            // First acknowledged, then fetched: what completes in between comes again.
            if let Some(interrupt) = &shared.interrupt {
                interrupt.acknowledge()?;
            }
            Poll::Ready(shared.drain().map(|_| ()))
        })
        .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            if let Some(serial) = self.shared.serial() {
                serial.borrow_mut().forget(request);
            }
            self.shared.completions.borrow_mut().remove(&request);
            self.shared.forgotten.borrow_mut().insert(request);
        }
        let waiting = self.shared.waiting.get() - 1;
        self.shared.waiting.set(waiting);
        if waiting == 0 && self.shared.binding == Binding::PerOperation {
            self.shared.unbind();
        }
    }
}
