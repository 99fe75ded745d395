//! What the one kernel needs of whoever loaded it, in one form for both entries.

use heapless::Vec;

/// Physical addresses from `start` up to `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The first address.
    pub start: u64,
    /// One more than the last.
    pub end: u64,
}

/// The most pieces of memory that are kept; more are left unused.
pub const MOST_PIECES: usize = 64;

/// What was handed over.
#[derive(Clone, Debug)]
pub struct Handoff {
    /// How the kernel was loaded, for the first line.
    pub entry: &'static str,
    /// Memory that nobody uses, in no order, whole pages.
    pub memory: Vec<Piece, MOST_PIECES>,
    /// The end of all memory, used or not: so far the physical map must reach.
    pub end: u64,
    /// Physical address of the ACPI root pointer.
    pub rsdp: Option<u64>,
    /// The boot images.
    pub ramdisk: Option<Piece>,
}

const PAGE: u64 = abi::PAGE_SIZE as u64;

impl Handoff {
    /// With nothing in it.
    pub const fn new(entry: &'static str) -> Handoff {
        Handoff { entry, memory: Vec::new(), end: 0, rsdp: None, ramdisk: None }
    }

    /// Memory that can be used, cut to whole pages.
    pub fn add_memory(&mut self, piece: Piece) {
        self.end = self.end.max(piece.end);
        let start = piece.start.next_multiple_of(PAGE);
        let end = piece.end / PAGE * PAGE;
        if start < end {
            // More than there is room for stays unused.
            let _ = self.memory.push(Piece { start, end });
        }
    }

    /// Of what was added, this is in use.
    pub fn reserve(&mut self, taken: Piece) {
        let start = taken.start / PAGE * PAGE;
        let end = taken.end.next_multiple_of(PAGE);
        let mut left = Vec::new();
        for piece in &self.memory {
            for part in [
                Piece { start: piece.start, end: piece.end.min(start) },
                Piece { start: piece.start.max(end), end: piece.end },
            ] {
                if part.start < part.end {
                    let _ = left.push(part);
                }
            }
        }
        self.memory = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(handoff: &Handoff) -> std::vec::Vec<(u64, u64)> {
        handoff.memory.iter().map(|piece| (piece.start, piece.end)).collect()
    }

    #[test]
    fn memory_is_whole_pages_without_what_is_reserved() {
        let mut handoff = Handoff::new("test");
        handoff.add_memory(Piece { start: 0x1001, end: 0x9fff });
        handoff.add_memory(Piece { start: 0x10_0000, end: 0x20_0000 });
        handoff.add_memory(Piece { start: 0x30_0001, end: 0x30_0fff });
        assert_eq!(pieces(&handoff), [(0x2000, 0x9000), (0x10_0000, 0x20_0000)]);
        handoff.reserve(Piece { start: 0x11_0010, end: 0x11_0020 });
        handoff.reserve(Piece { start: 0, end: 0x3001 });
        assert_eq!(pieces(&handoff), [(0x4000, 0x9000), (0x10_0000, 0x11_0000), (0x11_1000, 0x20_0000)]);
        assert_eq!(handoff.end, 0x30_0fff);
    }
}
