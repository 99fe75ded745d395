//! Newtypes for the numbers that name things inside the kernel. Each is the index of
//! a record among its kind; an index is used again only after its record is gone.

use abi::Kind;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// No record: ends a list.
            pub const NONE: $name = $name(u32::MAX);
            /// Whether this is `NONE`.
            #[inline]
            pub const fn is_none(self) -> bool { self.0 == u32::MAX }
            /// As an index.
            #[inline]
            pub const fn index(self) -> usize { self.0 as usize }
        }

        impl From<$name> for u32 {
            #[inline]
            fn from(id: $name) -> u32 { id.0 }
        }
    )*};
}

ids! {
    /// A process.
    ProcessId;
    /// A thread.
    ThreadId;
    /// An endpoint.
    EndpointId;
    /// A notification.
    NotificationId;
    /// A region.
    RegionId;
    /// An image.
    ImageId;
    /// An interrupt: also the number of its line at the host.
    InterruptId;
    /// A device.
    DeviceId;
    /// A quota.
    QuotaId;
    /// A log object.
    LogId;
    /// A capability, wherever it is held.
    CapabilityId;
    /// A buffer of a queued message's payload, and the message's record.
    BufferId;
    /// A mapping of a region.
    MappingId;
}

/// One more than the highest index of any record: what fits in the hot form of a
/// commit and in an [`crate::queue::Entry`].
pub const MAX_RECORDS: u32 = (1 << 28) - 1;

/// An object, whatever its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Object {
    /// Of which kind.
    pub kind: Kind,
    /// Its number among its kind.
    pub index: u32,
}

macro_rules! objects {
    ($($id:ident $kind:ident)*) => {$(
        impl From<$id> for Object {
            #[inline]
            fn from(id: $id) -> Object { Object { kind: Kind::$kind, index: id.0 } }
        }
    )*};
}
objects!(ProcessId Process ThreadId Thread EndpointId Endpoint NotificationId Notification RegionId Region
         ImageId Image InterruptId Interrupt DeviceId Device QuotaId Quota LogId Log);
