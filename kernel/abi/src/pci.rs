//! How the registers of a PCI function are numbered in `device-read` and `device-write`. A number has
//! 32 bits, so that a record of the log says which register it was.
//!
//! | bits | what |
//! |---|---|
//! | 0 to 23 | offset in bytes, a multiple of the width |
//! | 24, 25 | width: 0 is 1 byte, 1 is 2, 2 is 4, 3 is 8 |
//! | 26 to 28 | which base address register, 0 to 5; of the configuration space 0 |
//! | 29 to 31 | 1: the configuration space, which can only be read; 2: what a base address register shows |
//!
//! The host refuses with `InvalidArgument` what is no register of this function. The table of MSI-X vectors is
//! the host's: it points entry [`MSIX_ENTRY`] at the function's interrupt capability, and lets no driver
//! near it. Nor can a driver move the function, or let it use the bus: `device-address` does that.

/// Which of a function's registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// Its configuration space: 256 bytes.
    Configuration,
    /// What the base address register with this number (0 to 5) shows.
    Bar(u8),
}

/// How many bytes at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Width {
    One = 0,
    Two = 1,
    Four = 2,
    Eight = 3,
}

impl Width {
    /// In bytes.
    pub const fn bytes(self) -> u32 {
        1 << self as u32
    }
}

/// One register: what a register's number says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// Where.
    pub space: Space,
    /// How wide.
    pub width: Width,
    /// At which offset, in bytes.
    pub offset: u32,
}

/// One more than the highest offset that a number can say.
pub const MOST_OFFSET: u32 = 1 << 24;

/// The entry of the MSI-X table that raises the function's interrupt; all others are masked.
pub const MSIX_ENTRY: u16 = 0;

const CONFIGURATION: u64 = 1;
const BAR: u64 = 2;

impl Register {
    /// Its number; `None` if the offset is too high or no multiple of the width, or if there is no such base
    /// address register.
    pub const fn number(self) -> Option<u64> {
        if self.offset >= MOST_OFFSET || !self.offset.is_multiple_of(self.width.bytes()) {
            return None;
        }
        let (space, bar) = match self.space {
            Space::Configuration => (CONFIGURATION, 0),
            Space::Bar(bar) if bar < 6 => (BAR, bar),
            Space::Bar(_) => return None,
        };
        Some(space << 29 | (bar as u64) << 26 | (self.width as u64) << 24 | self.offset as u64)
    }

    /// The register with this number; `None` for what is the number of none.
    pub fn from_number(number: u64) -> Option<Register> {
        let width = match number >> 24 & 3 {
            0 => Width::One,
            1 => Width::Two,
            2 => Width::Four,
            _ => Width::Eight,
        };
        let space = match number >> 29 {
            CONFIGURATION => Space::Configuration,
            BAR => Space::Bar((number >> 26 & 7) as u8),
            _ => return None,
        };
        let register = Register { space, width, offset: (number & 0xff_ffff) as u32 };
        // Whatever does not come back as it was has bits where none belong.
        (register.number() == Some(number)).then_some(register)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_the_register_and_fits_in_a_record() {
        for space in [Space::Configuration, Space::Bar(0), Space::Bar(5)] {
            for width in [Width::One, Width::Two, Width::Four, Width::Eight] {
                for offset in [0, 8, 0x3000, MOST_OFFSET - 8] {
                    let register = Register { space, width, offset };
                    let number = register.number().unwrap();
                    assert!(number <= u64::from(u32::MAX));
                    assert_eq!(Register::from_number(number), Some(register));
                }
            }
        }
    }

    #[test]
    fn what_is_no_register_has_no_number() {
        let register = |space, width, offset| Register { space, width, offset }.number();
        assert_eq!(register(Space::Bar(6), Width::One, 0), None);
        assert_eq!(register(Space::Bar(0), Width::One, MOST_OFFSET), None);
        assert_eq!(register(Space::Bar(0), Width::Two, 1), None);
        assert_eq!(register(Space::Configuration, Width::Eight, 4), None);
    }

    #[test]
    fn every_number_is_one_register_or_none() {
        let edges = [0, 1, 7, 0xff_ffff, 1 << 24, 3 << 24, 1 << 26, 6 << 26, 7 << 26, 1 << 29, 2 << 29, 3 << 29];
        for a in edges {
            for b in edges {
                for high in [0, 1 << 32, 1 << 63] {
                    let number = a | b | high;
                    if let Some(register) = Register::from_number(number) {
                        assert_eq!(register.number(), Some(number));
                    }
                }
            }
        }
        for number in [0, crate::device::CLASS, crate::device::LOG_DURABLE, u64::MAX, 1 << 26 | 1 << 29] {
            assert_eq!(Register::from_number(number), None, "{number:#x}");
        }
    }
}
