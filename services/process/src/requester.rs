//! Who asks, as the badge of the capability says.

/// A badge with this bit is an operator's: it manages every process started here. The
/// system manifest gives it.
const OPERATOR: u64 = 1 << 62;
/// A badge with this bit was given by this service to a process that it started; the
/// rest is that process's pid.
const CHILD: u64 = 1 << 61;

/// Badge of the capability through which the kernel tells how processes end.
pub const SUPERVISOR: u64 = 1 << 63;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Requester(pub u64);

impl Requester {
    /// The one that a process started here is.
    pub const fn child(pid: u64) -> Requester {
        Requester(CHILD | pid)
    }

    /// Whether it manages every process.
    pub const fn is_operator(self) -> bool {
        // A child's badge is made here and has no other bits.
        self.0 & OPERATOR != 0
    }

    /// Its pid, if it is a process started here.
    pub const fn pid(self) -> Option<u64> {
        if self.0 & (OPERATOR | CHILD) == CHILD { Some(self.0 & !CHILD) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_known_by_its_pid_and_is_no_operator() {
        let child = Requester::child(42);
        assert_eq!(child.pid(), Some(42));
        assert!(!child.is_operator());
    }

    #[test]
    fn badges_from_elsewhere_have_no_pid() {
        assert_eq!(Requester(2).pid(), None);
        assert_eq!(Requester(0x4000_0000_0000_0002).pid(), None);
        assert!(Requester(0x4000_0000_0000_0002).is_operator());
        assert!(!Requester(2).is_operator());
    }
}
