//! The badges of capabilities to init's own endpoint: what for, and whose. Who may do what
//! with init is decided on these alone.

/// What a capability to init is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// To say that a service is ready; the rest of the badge is the service's.
    Readiness,
    /// To order services about.
    Control,
    /// To register and look up names.
    Registry,
    /// Where the kernel tells how a process faulted or ended.
    Supervisor,
}

impl Role {
    const ALL: [Role; 4] = [Role::Readiness, Role::Control, Role::Registry, Role::Supervisor];

    const fn number(self) -> u64 {
        match self {
            Role::Readiness => 1,
            Role::Control => 2,
            Role::Registry => 3,
            Role::Supervisor => 4,
        }
    }

    /// The badge for this role and holder: role in bits 32 to 39, holder in the low 32.
    pub const fn of(self, holder: u32) -> u64 {
        self.number() << 32 | holder as u64
    }

    /// Role and holder of a badge; `None` if init never gave such a one.
    pub fn read(badge: u64) -> Option<(Role, u32)> {
        let role = Role::ALL.into_iter().find(|role| role.number() == badge >> 32 & 0xFF)?;
        Some((role, badge as u32))
    }
}

/// Which process of a service it is: every one that init starts gets another, so that what a process said
/// that has ended is not taken for the word of the one after it. 24 bits; then it begins again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation(u32);

impl Incarnation {
    /// The one after it.
    pub const fn next(self) -> Incarnation {
        Incarnation((self.0 + 1) & 0xFF_FFFF)
    }

    /// The badge with this incarnation, in its high 24 bits.
    pub const fn mark(self, badge: u64) -> u64 {
        badge | (self.0 as u64) << 40
    }

    /// The incarnation that a badge was marked with.
    pub const fn read(badge: u64) -> Incarnation {
        Incarnation((badge >> 40) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_what_was_put_into_it() {
        for role in Role::ALL {
            for holder in [1, 17, u32::MAX] {
                assert_eq!(Role::read(role.of(holder)), Some((role, holder)));
            }
        }
    }

    #[test]
    fn a_badge_says_which_incarnation_speaks() {
        let mut incarnation = Incarnation::default();
        for _ in 0..0x100_0002_u32 {
            incarnation = incarnation.next();
        }
        assert_eq!(incarnation, Incarnation(2), "it begins again");
        let badge = incarnation.mark(Role::Readiness.of(u32::MAX));
        assert_eq!(Role::read(badge), Some((Role::Readiness, u32::MAX)));
        assert_eq!(Incarnation::read(badge), incarnation);
    }

    #[test]
    fn a_badge_that_init_never_gave_is_nobodys() {
        for badge in [0, 7, 5 << 32 | 7, u64::MAX] {
            assert_eq!(Role::read(badge), None, "{badge:#x}");
        }
    }
}
