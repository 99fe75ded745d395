//! Badges. The kernel sets a badge once and the holder cannot change it, so it may say
//! in itself what it stands for: `namespace << 8 | access`. That the namespace is there
//! is looked up at every use.

use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::Error;

/// The namespace above all others.
pub const ROOT: u64 = 1;
/// What the system's own services keep.
pub const SYSTEM: u64 = 2;
/// Above the namespaces of apps.
pub const APPS: u64 = 3;
/// What the user keeps.
pub const USER: u64 = 4;
pub use crate::record::FIRST_FREE;
/// Numbers of namespaces fit 56 bits.
pub const LAST: u64 = (1 << 56) - 1;

/// What a caller may do, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The namespace.
    pub namespace: u64,
    /// What is allowed in it.
    pub access: Access,
}

impl Grant {
    /// What a badge stands for; none if it stands for nothing.
    pub fn from_badge(badge: u64) -> Result<Grant, Error> {
        match Access::from_bits((badge & 0xFF) as u8) {
            Some(access) if access != Access::NONE && badge >> 8 != 0 => Ok(Grant { namespace: badge >> 8, access }),
            _ => Err(Error::PermissionDenied),
        }
    }

    /// The badge that stands for it.
    pub fn badge(self) -> u64 {
        self.namespace << 8 | u64::from(self.access.bits())
    }

    /// The namespace, if all of `needed` is allowed.
    pub fn allows(self, needed: Access) -> Result<u64, Error> {
        if self.access.contains(needed) { Ok(self.namespace) } else { Err(Error::PermissionDenied) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badges_and_grants_are_one_to_one() {
        for badge in [0x407, 0x101, 0x202, 0x304, 0xFFFF_FFFF_FFFF_FF07] {
            assert_eq!(Grant::from_badge(badge).unwrap().badge(), badge);
        }
    }

    #[test]
    fn what_stands_for_nothing_is_denied() {
        for badge in [0, 7, 0xFF, 0x100, 0x408, 0x4FF, u64::MAX] {
            assert_eq!(Grant::from_badge(badge), Err(Error::PermissionDenied), "{badge:#x}");
        }
    }

    #[test]
    fn less_is_allowed_more_is_not() {
        let grant = Grant::from_badge(0x403).unwrap();
        assert_eq!(grant.allows(Access::READ), Ok(USER));
        assert_eq!(grant.allows(Access::READ | Access::WRITE), Ok(USER));
        assert_eq!(grant.allows(Access::MANAGE), Err(Error::PermissionDenied));
    }
}
