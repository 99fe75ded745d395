//! Devices that have registers alone: clock, entropy, power.

use super::Device;
use abi::Error;
use abi::device::{CLOCK_WALL, ENTROPY_RANDOM, POWER_OFF};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Time of day. The register [`abi::device::CLOCK_MONOTONIC`] is the machine's own time and
/// is answered by the machine.
pub struct WallClock;

impl Device for WallClock {
    fn read(&mut self, register: u64) -> Result<u64, Error> {
        if register != CLOCK_WALL {
            return Err(Error::InvalidArgument);
        }
        // A clock set before 1970 reads as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Random numbers from the operating system.
pub struct Entropy;

impl Device for Entropy {
    fn read(&mut self, register: u64) -> Result<u64, Error> {
        if register != ENTROPY_RANDOM {
            return Err(Error::InvalidArgument);
        }
        // Without randomness nothing that needs it may go on.
        getrandom::u64().map_err(|_| Error::Unsupported)
    }
}

/// Register of [`Power`], read: the exit status that goes with the request to end
/// (130 for Ctrl-C, 143 for SIGTERM); 0 while there is none.
pub const POWER_REQUESTED: u64 = 0;

/// Where the end of the machine is asked for, from inside (register [`POWER_OFF`]) and
/// outside (its interrupt).
#[derive(Clone, Default)]
pub struct Power(Arc<State>);

#[derive(Default)]
struct State {
    requested: AtomicU64,
    /// Exit status plus one; 0 while the machine is on.
    off: AtomicU64,
}

impl Power {
    /// The status that someone outside wants the machine to end with.
    pub fn request(&self, status: u64) {
        self.0.requested.store(status, Ordering::Release);
    }

    /// The status that the machine was turned off with.
    pub fn off(&self) -> Option<u64> {
        self.0.off.load(Ordering::Acquire).checked_sub(1)
    }
}

impl Device for Power {
    fn read(&mut self, register: u64) -> Result<u64, Error> {
        match register {
            POWER_REQUESTED => Ok(self.0.requested.load(Ordering::Acquire)),
            _ => Err(Error::InvalidArgument),
        }
    }

    fn write(&mut self, register: u64, value: u64) -> Result<(), Error> {
        match register {
            POWER_OFF => {
                self.0.off.store(value.min(255) + 1, Ordering::Release);
                Ok(())
            }
            _ => Err(Error::InvalidArgument),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refuses_registers_that_it_does_not_have() {
        assert_eq!(WallClock.read(7), Err(Error::InvalidArgument));
        assert_eq!(Entropy.read(7), Err(Error::InvalidArgument));
        assert_eq!(Power::default().read(7), Err(Error::InvalidArgument));
        assert_eq!(Power::default().write(7, 0), Err(Error::InvalidArgument));
        assert_eq!(Entropy.write(0, 0), Err(Error::Unsupported));
    }

    #[test]
    fn entropy_differs_from_read_to_read() {
        assert_ne!(Entropy.read(ENTROPY_RANDOM), Entropy.read(ENTROPY_RANDOM));
    }

    #[test]
    fn power_keeps_the_status() {
        let mut power = Power::default();
        assert_eq!(power.off(), None);
        power.write(POWER_OFF, 0).unwrap();
        assert_eq!(power.off(), Some(0));
        power.request(130);
        assert_eq!(power.read(POWER_REQUESTED), Ok(130));
    }
}
