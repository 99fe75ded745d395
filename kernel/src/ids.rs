//! Newtypes for the numbers that name things inside the kernel. Each is the index of
//! a record among its kind; an index is used again only after its record is gone.

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
    /// A buffer of a queued message's payload.
    BufferId;
}
