//! Executables: ELF, 64 bits, x86_64, static, within [`IMAGE_FROM`] and [`IMAGE_END`], nothing writable and
//! executable, no page in two segments. Everything else is refused, with the reason.

use abi::native::{IMAGE_END, IMAGE_FROM};
use core::fmt;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use heapless::Vec;

const PAGE: u64 = super::PAGE;

/// The most segments.
pub const MOST_SEGMENTS: usize = 8;

/// A segment to be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Address of its first byte.
    pub address: u64,
    /// Bytes in memory; behind those of the file they are zero.
    pub length: u64,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_length: u64,
    /// Whether it can be written.
    pub write: bool,
    /// Whether it can be executed.
    pub execute: bool,
}

impl Segment {
    /// Address of its first page.
    pub fn first_page(&self) -> u64 {
        self.address / PAGE * PAGE
    }

    /// Address behind its last page.
    pub fn end_page(&self) -> u64 {
        (self.address + self.length).next_multiple_of(PAGE)
    }
}

/// An executable that can be loaded.
#[derive(Clone, Debug)]
pub struct Executable {
    /// Where it begins.
    pub entry: u64,
    /// In the order of their addresses.
    pub segments: Vec<Segment, MOST_SEGMENTS>,
}

/// Why something is not an executable of this system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Not ELF, or broken.
    NotElf,
    /// For another machine, or not static.
    OtherMachine,
    /// It asks for an interpreter, for dynamic linking or for a TLS segment.
    Dynamic,
    /// A segment lies outside the addresses or outside the file.
    OutOfRange,
    /// A segment can be written and executed.
    WritableCode,
    /// Two segments share a page.
    Overlap,
    /// More segments than are loaded.
    TooManySegments,
    /// The entry is not in a segment that can be executed.
    BadEntry,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotElf => "it is not an ELF file, or a broken one",
            Refusal::OtherMachine => "it is not a static executable for x86_64",
            Refusal::Dynamic => "it asks for dynamic linking or a TLS segment",
            Refusal::OutOfRange => "a segment lies outside the image's addresses or outside the file",
            Refusal::WritableCode => "a segment can be written and executed",
            Refusal::Overlap => "two segments share a page",
            Refusal::TooManySegments => "it has more than eight segments",
            Refusal::BadEntry => "its entry is not in a segment that can be executed",
        })
    }
}

impl Executable {
    /// Checks an executable.
    pub fn parse(file: &[u8]) -> Result<Executable, Refusal> {
        let parsed = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| Refusal::NotElf)?;
        let header = parsed.ehdr;
        if header.e_machine != EM_X86_64 || header.e_type != ET_EXEC || header.class != elf::file::Class::ELF64 {
            return Err(Refusal::OtherMachine);
        }
        let mut segments: Vec<Segment, MOST_SEGMENTS> = Vec::new();
        for header in parsed.segments().ok_or(Refusal::NotElf)?.iter() {
            match header.p_type {
                PT_LOAD => {}
                PT_DYNAMIC | PT_INTERP | PT_TLS => return Err(Refusal::Dynamic),
                _ => continue,
            }
            if header.p_memsz == 0 {
                continue;
            }
            let in_memory = header.p_vaddr.checked_add(header.p_memsz).is_some_and(|end| end <= IMAGE_END);
            let in_file = header.p_offset.checked_add(header.p_filesz).is_some_and(|end| end <= file.len() as u64);
            if !in_memory || !in_file || header.p_vaddr < IMAGE_FROM || header.p_filesz > header.p_memsz {
                return Err(Refusal::OutOfRange);
            }
            let (write, execute) = (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0);
            if write && execute {
                return Err(Refusal::WritableCode);
            }
            let segment = Segment {
                address: header.p_vaddr,
                length: header.p_memsz,
                offset: header.p_offset,
                file_length: header.p_filesz,
                write,
                execute,
            };
            segments.push(segment).map_err(|_| Refusal::TooManySegments)?;
        }
        segments.sort_unstable_by_key(|segment| segment.address);
        if segments.windows(2).any(|pair| pair[1].first_page() < pair[0].end_page()) {
            return Err(Refusal::Overlap);
        }
        let entry = header.e_entry;
        let holds =
            |segment: &Segment| segment.execute && (segment.address..segment.address + segment.length).contains(&entry);
        if !segments.iter().any(holds) {
            return Err(Refusal::BadEntry);
        }
        Ok(Executable { entry, segments })
    }

    /// Pages that its segments take.
    pub fn pages(&self) -> u64 {
        self.segments.iter().map(|segment| (segment.end_page() - segment.first_page()) / PAGE).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An executable with these segments: address, bytes in memory, bytes in the file, flags.
    fn file(kind: u16, machine: u16, entry: u64, headers: &[(u32, u64, u64, u64, u32)]) -> std::vec::Vec<u8> {
        let mut file = std::vec![0u8; 64];
        file[..16].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[20..24].copy_from_slice(&1u32.to_le_bytes());
        file[24..32].copy_from_slice(&entry.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[52..54].copy_from_slice(&64u16.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&(headers.len() as u16).to_le_bytes());
        for (kind, address, memory, length, flags) in headers {
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&flags.to_le_bytes());
            for value in [0u64, *address, *address, *length, *memory, 0x1000] {
                file.extend_from_slice(&value.to_le_bytes());
            }
        }
        file.resize(0x3000, 0x90);
        file
    }

    const LOAD: u32 = PT_LOAD;
    const TEXT: (u32, u64, u64, u64, u32) = (LOAD, 0x40_1000, 0x1000, 0x1000, 5);

    fn parse(entry: u64, headers: &[(u32, u64, u64, u64, u32)]) -> Result<Executable, Refusal> {
        Executable::parse(&file(ET_EXEC, EM_X86_64, entry, headers))
    }

    #[test]
    fn a_static_executable_is_taken() {
        let data = (LOAD, 0x40_3010, 0x2000, 0x10, 6);
        let executable = parse(0x40_1004, &[data, TEXT]).unwrap();
        assert_eq!(executable.entry, 0x40_1004);
        assert_eq!(executable.segments[0].address, 0x40_1000);
        assert_eq!(executable.pages(), 1 + 3);
    }

    #[test]
    fn each_thing_that_is_wrong_is_refused_for_what_it_is() {
        let text = 0x40_1000;
        assert_eq!(Executable::parse(b"#!/bin/sh").unwrap_err(), Refusal::NotElf);
        assert_eq!(Executable::parse(&file(3, EM_X86_64, text, &[TEXT])).unwrap_err(), Refusal::OtherMachine);
        assert_eq!(Executable::parse(&file(ET_EXEC, 183, text, &[TEXT])).unwrap_err(), Refusal::OtherMachine);
        assert_eq!(parse(text, &[TEXT, (PT_INTERP, 0x40_5000, 8, 8, 4)]).unwrap_err(), Refusal::Dynamic);
        assert_eq!(parse(text, &[TEXT, (PT_TLS, 0x40_5000, 8, 8, 4)]).unwrap_err(), Refusal::Dynamic);
        for segment in [
            (LOAD, 0x1000, 0x1000, 0, 4),
            (LOAD, IMAGE_END - 0x1000, 0x1001, 0, 4),
            (LOAD, u64::MAX - 5, 0x1000, 0, 4),
            (LOAD, 0x50_0000, 0x10, 0x20, 4),
            (LOAD, 0x50_0000, 0x9000, 0x9000, 4),
            (LOAD, 0xffff_8000_0000_0000, 0x1000, 0, 6),
        ] {
            assert_eq!(parse(text, &[TEXT, segment]).unwrap_err(), Refusal::OutOfRange, "{segment:x?}");
        }
        assert_eq!(parse(text, &[TEXT, (LOAD, 0x50_0000, 8, 8, 7)]).unwrap_err(), Refusal::WritableCode);
        assert_eq!(parse(text, &[TEXT, (LOAD, 0x40_1800, 8, 8, 6)]).unwrap_err(), Refusal::Overlap);
        assert_eq!(
            parse(text, &[TEXT, (LOAD, 0x40_2000, 0x1000, 0, 4), (LOAD, 0x40_2fff, 8, 8, 6)]).unwrap_err(),
            Refusal::Overlap
        );
        assert_eq!(parse(0x40_0fff, &[TEXT]).unwrap_err(), Refusal::BadEntry);
        assert_eq!(parse(0x40_2000, &[TEXT]).unwrap_err(), Refusal::BadEntry);
        assert_eq!(parse(0x50_0000, &[TEXT, (LOAD, 0x50_0000, 8, 8, 6)]).unwrap_err(), Refusal::BadEntry);
        let many: std::vec::Vec<_> = (0..9).map(|n| (LOAD, 0x50_0000 + n * 0x1000, 8, 8, 4)).collect();
        assert_eq!(parse(text, &many).unwrap_err(), Refusal::TooManySegments);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_lies_within_bounds(changes in prop::collection::vec((0usize..0x200, any::<u8>()), 1..20)) {
            let mut file = file(ET_EXEC, EM_X86_64, 0x40_1000, &[TEXT, (LOAD, 0x40_3000, 0x2000, 0x100, 6)]);
            for (at, byte) in changes {
                file[at] = byte;
            }
            if let Ok(executable) = Executable::parse(&file) {
                for segment in &executable.segments {
                    prop_assert!(segment.address >= IMAGE_FROM && segment.address + segment.length <= IMAGE_END);
                    prop_assert!(segment.offset + segment.file_length <= file.len() as u64);
                    prop_assert!(!(segment.write && segment.execute));
                }
            }
        }
    }
}
