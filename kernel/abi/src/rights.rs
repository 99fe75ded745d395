//! Kinds of objects and the rights that a capability to one may carry.

use serde::{Deserialize, Serialize};

/// What a capability names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Process = 1,
    Thread = 2,
    Endpoint = 3,
    Notification = 4,
    Region = 5,
    Image = 6,
    Interrupt = 7,
    Device = 8,
    Quota = 9,
    Log = 10,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Kind; 10] = [
        Kind::Process,
        Kind::Thread,
        Kind::Endpoint,
        Kind::Notification,
        Kind::Region,
        Kind::Image,
        Kind::Interrupt,
        Kind::Device,
        Kind::Quota,
        Kind::Log,
    ];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The rights that mean something for this kind. `MANAGE` (destroy the object)
    /// means something for every kind.
    pub const fn rights(self) -> Rights {
        Rights(
            Rights::MANAGE.0
                | match self {
                    Kind::Process => Rights::INSPECT.0,
                    Kind::Thread => 0,
                    Kind::Endpoint => Rights::SEND.0 | Rights::RECEIVE.0 | Rights::GRANT.0 | Rights::CAPTURE.0,
                    Kind::Notification => Rights::SIGNAL.0 | Rights::WAIT.0,
                    Kind::Region => Rights::READ.0 | Rights::WRITE.0 | Rights::EXECUTE.0,
                    Kind::Image => Rights::SPAWN.0,
                    Kind::Interrupt => Rights::BIND.0 | Rights::ACKNOWLEDGE.0,
                    Kind::Device => Rights::READ.0 | Rights::WRITE.0,
                    Kind::Quota => Rights::SPLIT.0 | Rights::INSPECT.0,
                    Kind::Log => Rights::READ.0,
                },
        )
    }

    /// The field's word for it, lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Process => "process",
            Kind::Thread => "thread",
            Kind::Endpoint => "endpoint",
            Kind::Notification => "notification",
            Kind::Region => "region",
            Kind::Image => "image",
            Kind::Interrupt => "interrupt",
            Kind::Device => "device",
            Kind::Quota => "quota",
            Kind::Log => "log",
        }
    }
}

/// A set of rights. Along derivation it only shrinks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[repr(transparent)]
pub struct Rights(pub u16);

#[allow(missing_docs)]
impl Rights {
    pub const NONE: Rights = Rights(0);
    pub const MANAGE: Rights = Rights(1 << 0);
    pub const INSPECT: Rights = Rights(1 << 1);
    pub const SEND: Rights = Rights(1 << 2);
    pub const RECEIVE: Rights = Rights(1 << 3);
    pub const GRANT: Rights = Rights(1 << 4);
    pub const SIGNAL: Rights = Rights(1 << 5);
    pub const WAIT: Rights = Rights(1 << 6);
    pub const READ: Rights = Rights(1 << 7);
    pub const WRITE: Rights = Rights(1 << 8);
    pub const EXECUTE: Rights = Rights(1 << 9);
    pub const SPAWN: Rights = Rights(1 << 10);
    pub const BIND: Rights = Rights(1 << 11);
    pub const ACKNOWLEDGE: Rights = Rights(1 << 12);
    pub const SPLIT: Rights = Rights(1 << 13);
    /// To have the messages of an endpoint written down: of nobody but who was given it by name.
    pub const CAPTURE: Rights = Rights(1 << 14);
    /// In a request to derive or grant: all that the source has, but [`Rights::CAPTURE`].
    pub const ALL: Rights = Rights(u16::MAX);

    /// Every right with its name, lowest bit first.
    pub const NAMES: [(Rights, &'static str); 15] = [
        (Rights::MANAGE, "manage"),
        (Rights::INSPECT, "inspect"),
        (Rights::SEND, "send"),
        (Rights::RECEIVE, "receive"),
        (Rights::GRANT, "grant"),
        (Rights::SIGNAL, "signal"),
        (Rights::WAIT, "wait"),
        (Rights::READ, "read"),
        (Rights::WRITE, "write"),
        (Rights::EXECUTE, "execute"),
        (Rights::SPAWN, "spawn"),
        (Rights::BIND, "bind"),
        (Rights::ACKNOWLEDGE, "acknowledge"),
        (Rights::SPLIT, "split"),
        (Rights::CAPTURE, "capture"),
    ];

    /// Whether every right of `other` is in this set.
    #[inline]
    pub const fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
    /// The rights in both.
    #[inline]
    pub const fn and(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
    /// The rights in either.
    #[inline]
    pub const fn or(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
    /// Those that are not in `other`.
    #[inline]
    pub const fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }
    /// Whether the set is empty.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The right with this name.
    pub fn named(name: &str) -> Option<Rights> {
        Self::NAMES.iter().find(|(_, n)| *n == name).map(|(r, _)| *r)
    }
}

/// `send+grant`, or `-` for none.
impl core::fmt::Display for Rights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let mut first = true;
        for (right, name) in Self::NAMES {
            if self.contains(right) {
                if !first {
                    f.write_str("+")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        Ok(())
    }
}

impl core::fmt::Debug for Rights {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
