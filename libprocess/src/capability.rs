//! [`Cap`]: an owned, typed capability. What it may be used for is what its kind's
//! methods are; the kernel checks kind and rights at every use.

use crate::startup::Startup;
use crate::system::{self, Arrived, Blocking, NO_WORDS};
use abi::device::{CLASS, Completion, DeviceClass, Operation};
use abi::info::Limits;
use abi::message::Words;
use abi::{
    CapabilityInfo, Error, FOREVER, Handle, Kind, Message, Name, ProcessInfo, QuotaInfo, ReplyToken, Request, Returned,
    Rights, Transfer,
};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// A kind of object, as a type.
pub trait Object: 'static {
    /// Which; `None` of [`Any`].
    const KIND: Option<Kind>;
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Object for $name {
            const KIND: Option<Kind> = Some(Kind::$name);
        }
    )*};
}

objects! {
    /// Capability table, quota, threads; its exit state until it is read.
    Process;
    /// Priority and time budget.
    Thread;
    /// Rendezvous and bounded queue of messages.
    Endpoint;
    /// A word of bits.
    Notification;
    /// Pages.
    Region;
    /// A checked executable.
    Image;
    /// A line.
    Interrupt;
    /// Registers or a host device.
    Device;
    /// Kernel memory and pages.
    Quota;
    /// The log of the system.
    Log;
}

/// An object of a kind that only its receiver knows.
#[derive(Debug)]
pub enum Any {}
impl Object for Any {
    const KIND: Option<Kind> = None;
}

/// A capability that this process holds. Dropping it deletes it.
pub struct Cap<K: Object> {
    handle: Handle,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> Cap<K> {
    /// Takes over a handle of this process. Nothing is checked here: the kernel
    /// refuses a handle of another kind with `WrongKind` when it is used.
    pub const fn from_handle(handle: Handle) -> Cap<K> {
        Cap { handle, kind: PhantomData }
    }

    /// Its handle.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Its handle, which from now on the caller must delete.
    pub fn into_handle(self) -> Handle {
        let handle = self.handle;
        core::mem::forget(self);
        handle
    }

    /// The same capability as of a kind that only its receiver knows.
    pub fn erase(self) -> Cap<Any> {
        Cap::from_handle(self.into_handle())
    }

    /// A child of this capability with those of `rights` that this one has.
    pub fn derive(&self, rights: Rights) -> Result<Cap<K>, Error> {
        self.derive_with(rights, 0, FOREVER)
    }

    /// A child with `badge`, which this one must not yet have.
    pub fn derive_badged(&self, rights: Rights, badge: u64) -> Result<Cap<K>, Error> {
        self.derive_with(rights, badge, FOREVER)
    }

    /// A child with `badge` (0 keeps this one's) that ends at `expiry` ns since boot
    /// ([`FOREVER`] keeps this one's).
    pub fn derive_with(&self, rights: Rights, badge: u64, expiry: u64) -> Result<Cap<K>, Error> {
        system::handle(&Request::Derive { source: self.handle, rights, badge, expiry }).map(Cap::from_handle)
    }

    /// Drops every descendant of this capability, wherever it is; their number.
    pub fn revoke(&self) -> Result<u64, Error> {
        system::value(&Request::Revoke { handle: self.handle }, &[])
    }

    /// Destroys the object. Needs manage. On an error the capability is dropped.
    pub fn destroy(self) -> Result<(), Error> {
        system::plain(&Request::Destroy { handle: self.handle }, &[])?;
        // It went with the object.
        core::mem::forget(self);
        Ok(())
    }

    /// What it is.
    pub fn inspect(&self) -> Result<CapabilityInfo, Error> {
        let info = system::inspect(self.handle.slot(), 0)?;
        if info.handle == self.handle { Ok(info) } else { Err(Error::StaleHandle) }
    }
}

impl Cap<Any> {
    /// The same capability as of kind `K`. Nothing is checked here: the kernel refuses a
    /// handle of another kind with `WrongKind` when it is used.
    pub fn typed<K: Object>(self) -> Cap<K> {
        Cap::from_handle(self.into_handle())
    }
}

impl<K: Object> Drop for Cap<K> {
    fn drop(&mut self) {
        if !self.handle.is_none() {
            // It may be gone already (revoked, expired): then there is nothing to drop.
            let _ = system::plain(&Request::Delete { handle: self.handle }, &[]);
        }
    }
}

impl<K: Object> core::fmt::Debug for Cap<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = K::KIND.map_or("capability", Kind::name);
        write!(f, "{kind} {}.{}", self.handle.slot(), self.handle.generation())
    }
}

/// A message to be sent.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Interface number + method number.
    pub tag: u64,
    /// Words.
    pub words: Words,
    /// At most [`abi::message::MAX_BYTES`].
    pub bytes: &'a [u8],
    /// At most [`abi::message::MAX_TRANSFERS`].
    pub transfers: &'a [Transfer],
}

impl<'a> Outgoing<'a> {
    /// Nothing but a tag.
    pub const fn tag(tag: u64) -> Outgoing<'a> {
        Outgoing { tag, words: NO_WORDS, bytes: &[], transfers: &[] }
    }

    pub(crate) fn message(&self) -> Message<'a> {
        Message { tag: self.tag, length: self.bytes.len() as u32, transfers: self.transfers }
    }
}

impl Cap<Endpoint> {
    /// A new endpoint that queues at most `depth` messages.
    pub fn create(quota: &Cap<Quota>, depth: u32) -> Result<Cap<Endpoint>, Error> {
        system::handle(&Request::EndpointCreate { quota: quota.handle, depth }).map(Cap::from_handle)
    }

    /// Queues a message; waits at most `timeout` ns while the queue is full (0: not at all).
    pub async fn send(&self, message: &Outgoing<'_>, timeout: u64) -> Result<(), Error> {
        let request = Request::Send { endpoint: self.handle, message: message.message(), timeout };
        Blocking::new(&request, &message.words, message.bytes).await.result.map(|_| ())
    }

    /// Sends a message and waits at most `timeout` ns for the answer. The whole
    /// process waits.
    pub async fn call(&self, message: &Outgoing<'_>, timeout: u64) -> Result<Arrived, Error> {
        let request = Request::Call { endpoint: self.handle, message: message.message(), timeout };
        system::arriving(&request, &message.words, message.bytes).await
    }
}

/// Capture, for debugging. Needs the right to capture, which has to be asked for by name.
impl Cap<Endpoint> {
    /// From now on the host writes down, sealed, what is received through the endpoint, and the answers.
    pub fn capture_begin(&self) -> Result<(), Error> {
        system::plain(&Request::CaptureBegin { endpoint: self.handle }, &[]).map(|_| ())
    }

    /// Not any longer.
    pub fn capture_end(&self) -> Result<(), Error> {
        system::plain(&Request::CaptureEnd { endpoint: self.handle }, &[]).map(|_| ())
    }
}

/// Receiving without the reactor: the whole process waits, and nothing else wakes it. Programs use
/// [`crate::serve`] or [`crate::Inbox`].
impl Cap<Endpoint> {
    /// Waits at most `timeout` ns for a message or the bound notification.
    pub async fn receive(&self, timeout: u64) -> Result<Arrived, Error> {
        system::arriving(&Request::Receive { endpoint: self.handle, timeout }, &NO_WORDS, &[]).await
    }

    /// Answers a call and waits at most `timeout` ns for the next message.
    pub async fn reply_receive(
        &self,
        reply: ReplyToken,
        message: &Outgoing<'_>,
        timeout: u64,
    ) -> Result<Arrived, Error> {
        let request = Request::ReplyReceive { endpoint: self.handle, reply, message: message.message(), timeout };
        system::arriving(&request, &message.words, message.bytes).await
    }
}

impl Cap<Notification> {
    /// A new notification.
    pub fn create(quota: &Cap<Quota>) -> Result<Cap<Notification>, Error> {
        system::handle(&Request::NotificationCreate { quota: quota.handle }).map(Cap::from_handle)
    }

    /// Sets bits.
    pub fn signal(&self, bits: u64) -> Result<(), Error> {
        system::plain(&Request::Signal { notification: self.handle, bits }, &[]).map(|_| ())
    }

    /// Takes the bits that are set; 0 if none is.
    pub fn poll(&self) -> Result<u64, Error> {
        system::value(&Request::Poll { notification: self.handle }, &[])
    }

    /// Waits at most `timeout` ns for bits, and takes them. The whole process waits; a
    /// [`crate::Signal`] lets its other tasks go on.
    pub async fn wait(&self, timeout: u64) -> Result<u64, Error> {
        let request = Request::Wait { notification: self.handle, timeout };
        match Blocking::new(&request, &NO_WORDS, &[]).await.result? {
            Returned::Value(bits) => Ok(bits),
            Returned::Delivery(delivery) => Ok(delivery.tag),
            _ => Err(Error::Unsupported),
        }
    }

    /// Lets the receivers of `endpoint` wake for it too.
    pub fn bind(&self, endpoint: &Cap<Endpoint>) -> Result<(), Error> {
        let request = Request::NotificationBind { notification: self.handle, endpoint: endpoint.handle };
        system::plain(&request, &[]).map(|_| ())
    }

    /// Undoes [`Cap::bind`].
    pub fn unbind(&self) -> Result<(), Error> {
        system::plain(&Request::NotificationUnbind { notification: self.handle }, &[]).map(|_| ())
    }
}

impl Cap<Process> {
    /// A new process, which does not run yet. Needs spawn on `image`, split on `quota`,
    /// and send on `supervisor`, which gets its fault and exit messages.
    pub fn create(
        image: &Cap<Image>,
        quota: &Cap<Quota>,
        supervisor: &Cap<Endpoint>,
        name: &str,
        limits: Limits,
    ) -> Result<Cap<Process>, Error> {
        system::handle(&Request::ProcessCreate {
            image: image.handle,
            quota: quota.handle,
            supervisor: supervisor.handle,
            name: Name::new(name),
            limits,
        })
        .map(Cap::from_handle)
    }

    /// Derives `source` into its table; the handle is valid there, not here. The process
    /// must not have started. `badge` 0 keeps the source's.
    pub fn grant<K: Object>(&self, source: &Cap<K>, rights: Rights, badge: u64) -> Result<Handle, Error> {
        self.grant_handle(source.handle, rights, badge)
    }

    /// [`Cap::grant`] of a handle.
    pub fn grant_handle(&self, source: Handle, rights: Rights, badge: u64) -> Result<Handle, Error> {
        system::handle(&Request::ProcessGrant { process: self.handle, source, rights, badge, expiry: FOREVER })
    }

    /// Lets it run with what it finds in `startup`.
    pub fn start(&self, startup: &Startup) -> Result<(), Error> {
        let bytes = startup.to_bytes()?;
        let request = Request::ProcessStart { process: self.handle, length: bytes.len() as u32 };
        system::plain(&request, &bytes).map(|_| ())
    }

    /// Stops its threads.
    pub fn suspend(&self) -> Result<(), Error> {
        system::plain(&Request::ProcessSuspend { process: self.handle }, &[]).map(|_| ())
    }

    /// Lets them go on.
    pub fn resume(&self) -> Result<(), Error> {
        system::plain(&Request::ProcessResume { process: self.handle }, &[]).map(|_| ())
    }

    /// Ends it at once.
    pub fn kill(&self, code: u64) -> Result<(), Error> {
        system::plain(&Request::ProcessKill { process: self.handle, code }, &[]).map(|_| ())
    }

    /// What it is doing, and how it ended.
    pub fn info(&self) -> Result<ProcessInfo, Error> {
        match system::plain(&Request::ProcessInspect { process: self.handle }, &[])? {
            Returned::Process(info) => Ok(info),
            _ => Err(Error::Unsupported),
        }
    }

    /// The capability in the first used slot at or after `slot` of its table, `ancestor`
    /// steps up its derivation. Needs inspect.
    pub fn capability_at(&self, slot: u32, ancestor: u32) -> Result<CapabilityInfo, Error> {
        system::inspect_in(self.handle, slot, ancestor)
    }

    /// Changes its limits.
    pub fn limit(&self, limits: Limits) -> Result<(), Error> {
        system::plain(&Request::ProcessLimit { process: self.handle, limits }, &[]).map(|_| ())
    }
}

impl Cap<Thread> {
    /// Sets its priority (0, lowest, to 31) and that it runs `budget` of every `period`
    /// ns ([`FOREVER`]: no limit).
    pub fn configure(&self, priority: u8, budget: u64, period: u64) -> Result<(), Error> {
        system::plain(&Request::ThreadConfigure { thread: self.handle, priority, budget, period }, &[]).map(|_| ())
    }
}

impl Cap<Region> {
    /// A new region of so many zeroed 4 KiB pages.
    pub fn create(quota: &Cap<Quota>, pages: u64) -> Result<Cap<Region>, Error> {
        system::handle(&Request::RegionCreate { quota: quota.handle, pages }).map(Cap::from_handle)
    }

    /// Copies `length` bytes out, from `offset` on.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        system::bytes(&Request::RegionRead { region: self.handle, offset, length })
    }

    /// Copies `bytes` in, from `offset` on.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::TooLarge)?;
        system::plain(&Request::RegionWrite { region: self.handle, offset, length }, bytes).map(|_| ())
    }
}

impl Cap<Image> {
    /// Checks the first `length` bytes of `region` as an executable and makes an image
    /// of it. The whole process waits.
    pub async fn create(
        quota: &Cap<Quota>,
        region: &Cap<Region>,
        length: u64,
        name: &str,
    ) -> Result<Cap<Image>, Error> {
        let request =
            Request::ImageCreate { quota: quota.handle, region: region.handle, length, name: Name::new(name) };
        match Blocking::new(&request, &NO_WORDS, &[]).await.result? {
            Returned::Handle(handle) => Ok(Cap::from_handle(handle)),
            _ => Err(Error::Unsupported),
        }
    }
}

impl Cap<Interrupt> {
    /// Lets the line set `bits` of `notification`.
    pub fn bind(&self, notification: &Cap<Notification>, bits: u64) -> Result<(), Error> {
        let request = Request::InterruptBind { interrupt: self.handle, notification: notification.handle, bits };
        system::plain(&request, &[]).map(|_| ())
    }

    /// Undoes [`Cap::bind`].
    pub fn unbind(&self) -> Result<(), Error> {
        system::plain(&Request::InterruptUnbind { interrupt: self.handle }, &[]).map(|_| ())
    }

    /// Lets the line come again.
    pub fn acknowledge(&self) -> Result<(), Error> {
        system::plain(&Request::InterruptAcknowledge { interrupt: self.handle }, &[]).map(|_| ())
    }
}

impl Cap<Device> {
    /// Reads a register ([`abi::device`] has their numbers).
    pub fn read(&self, register: u64) -> Result<u64, Error> {
        system::value(&Request::DeviceRead { device: self.handle, register }, &[])
    }

    /// Writes a register.
    pub fn write(&self, register: u64, value: u64) -> Result<(), Error> {
        system::plain(&Request::DeviceWrite { device: self.handle, register, value }, &[]).map(|_| ())
    }

    /// Begins an operation; its number. [`crate::HostDevice`] waits for its end too.
    pub fn submit(&self, operation: Operation, a: u64, b: u64, bytes: &[u8]) -> Result<u64, Error> {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::TooLarge)?;
        system::value(&Request::DeviceSubmit { device: self.handle, operation, a, b, length }, bytes)
    }

    /// Takes one completion and the bytes that it brought; `WouldBlock` if there is none.
    pub fn complete(&self) -> Result<(Completion, Vec<u8>), Error> {
        match system::plain(&Request::DeviceComplete { device: self.handle }, &[])? {
            Returned::Completion(completion) if completion.length > 0 => Ok((completion, system::take_bytes())),
            Returned::Completion(completion) => Ok((completion, Vec::new())),
            _ => Err(Error::Unsupported),
        }
    }
}

impl Cap<Device> {
    /// What it is. `Unsupported` of a class that this library does not know.
    pub fn class(&self) -> Result<DeviceClass, Error> {
        DeviceClass::from_number(self.read(CLASS)?).ok_or(Error::Unsupported)
    }

    /// Lets the device read and write `region`; the bus address of that page of it. Needs read and
    /// write on the region. Two pages that follow each other there need not do so on the bus.
    /// `Unsupported` where processes have no address space, and of what is no device on a bus.
    pub fn address(&self, region: &Cap<Region>, page: u64) -> Result<u64, Error> {
        system::value(&Request::DeviceAddress { device: self.handle, region: region.handle, page }, &[])
    }
}

impl Cap<Quota> {
    /// Part of this quota as a quota of its own: bytes of kernel memory, pages.
    pub fn split(&self, memory: u64, pages: u64) -> Result<Cap<Quota>, Error> {
        system::handle(&Request::QuotaSplit { quota: self.handle, memory, pages }).map(Cap::from_handle)
    }

    /// What it has, and what is used of it.
    pub fn info(&self) -> Result<QuotaInfo, Error> {
        match system::plain(&Request::QuotaInspect { quota: self.handle }, &[])? {
            Returned::Quota(info) => Ok(info),
            _ => Err(Error::Unsupported),
        }
    }
}

impl Cap<Log> {
    /// Records from number `from` on, as many as fit into `length` bytes: postcard
    /// [`abi::log::Record`], one after the other.
    pub fn read(&self, from: u64, length: u32) -> Result<Vec<u8>, Error> {
        system::bytes(&Request::LogRead { log: self.handle, from, length })
    }
}
