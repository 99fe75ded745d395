//! What the virtual machine was started with: files by name, through the two ports of QEMU's firmware
//! configuration (fw_cfg; QEMU's docs/specs/fw_cfg). Where there is no such thing, there are no files.

use alloc::vec::Vec;
use core::fmt;

/// Selects what is read, and begins it.
#[cfg(target_os = "none")]
const SELECTOR: u16 = 0x510;
/// Gives its next byte; zeros behind its end.
#[cfg(target_os = "none")]
const DATA: u16 = 0x511;
const KEY_SIGNATURE: u16 = 0;
const KEY_DIRECTORY: u16 = 0x19;
/// Files that are looked at: QEMU has not more numbers to give.
const MOST_FILES: u32 = 0x3fe0;
/// Bytes of a name, filled up with zeros.
const NAME: usize = 56;

/// The two ports.
pub trait Ports {
    /// Selects what is read next, from its beginning.
    fn select(&mut self, key: u16);
    /// The next byte of it.
    fn next(&mut self) -> u8;
}

/// The ports of this machine.
#[cfg(target_os = "none")]
#[derive(Debug)]
pub struct Real;

#[cfg(target_os = "none")]
impl Ports for Real {
    fn select(&mut self, key: u16) {
        // SAFETY: the port selects what the other gives, and changes nothing else; without fw_cfg nobody listens.
        unsafe { x86_64::instructions::port::Port::<u16>::new(SELECTOR).write(key) }
    }
    fn next(&mut self) -> u8 {
        // SAFETY: reading it moves on in what was selected, and changes nothing else.
        unsafe { x86_64::instructions::port::Port::<u8>::new(DATA).read() }
    }
}

/// A file is there and has more bytes than are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge {
    /// How many it has.
    pub bytes: u32,
    /// How many are taken.
    pub limit: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has {} bytes; at most {} are taken", self.bytes, self.limit)
    }
}

fn array<const N: usize>(ports: &mut impl Ports) -> [u8; N] {
    core::array::from_fn(|_| ports.next())
}

/// Whether there is a firmware configuration.
pub fn is_present(ports: &mut impl Ports) -> bool {
    ports.select(KEY_SIGNATURE);
    array(ports) == *b"QEMU"
}

/// Whether there is a file of this name.
pub fn is_there(ports: &mut impl Ports, name: &str) -> bool {
    find(ports, name).is_some()
}

/// The file of this name, as `-fw_cfg name=NAME,file=FILE` gave it; `None` if there is none. More than `limit` bytes
/// are not read.
pub fn read(ports: &mut impl Ports, name: &str, limit: usize) -> Result<Option<Vec<u8>>, TooLarge> {
    let Some((key, bytes)) = find(ports, name) else { return Ok(None) };
    if bytes as usize > limit {
        return Err(TooLarge { bytes, limit });
    }
    ports.select(key);
    Ok(Some((0..bytes).map(|_| ports.next()).collect()))
}

/// Its key and how many bytes it has.
fn find(ports: &mut impl Ports, name: &str) -> Option<(u16, u32)> {
    if name.is_empty() || name.len() >= NAME || !is_present(ports) {
        return None;
    }
    ports.select(KEY_DIRECTORY);
    let count = u32::from_be_bytes(array(ports)).min(MOST_FILES);
    for _ in 0..count {
        let bytes = u32::from_be_bytes(array(ports));
        let key = u16::from_be_bytes(array(ports));
        let _reserved: [u8; 2] = array(ports);
        let found: [u8; NAME] = array(ports);
        let end = found.iter().position(|&byte| byte == 0).unwrap_or(NAME);
        if found[..end] == *name.as_bytes() {
            return Some((key, bytes));
        }
    }
    None
}

/// The texts in a file that separates them by zero bytes; what is not UTF-8 is left out.
pub fn texts(file: &[u8]) -> impl Iterator<Item = &str> {
    let file = file.strip_suffix(&[0]).unwrap_or(file);
    let parts = (!file.is_empty()).then(|| file.split(|&byte| byte == 0));
    parts.into_iter().flatten().filter_map(|text| core::str::from_utf8(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;

    /// A firmware configuration with this behind each key; zeros behind the end.
    struct Model {
        content: BTreeMap<u16, Vec<u8>>,
        selected: u16,
        at: usize,
        beyond: u8,
    }

    impl Ports for Model {
        fn select(&mut self, key: u16) {
            (self.selected, self.at) = (key, 0);
        }
        fn next(&mut self) -> u8 {
            self.at += 1;
            let content = self.content.get(&self.selected);
            content.and_then(|bytes| bytes.get(self.at - 1)).copied().unwrap_or(self.beyond)
        }
    }

    fn model(files: &[(&str, &[u8])]) -> Model {
        let mut directory = (files.len() as u32).to_be_bytes().to_vec();
        let mut content = BTreeMap::from([(KEY_SIGNATURE, b"QEMU".to_vec())]);
        for (index, (name, bytes)) in files.iter().enumerate() {
            let key = 0x20 + index as u16;
            directory.extend((bytes.len() as u32).to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let mut field = name.as_bytes().to_vec();
            field.resize(NAME, 0);
            directory.extend(field);
            content.insert(key, bytes.to_vec());
        }
        content.insert(KEY_DIRECTORY, directory);
        Model { content, selected: 0, at: 0, beyond: 0 }
    }

    #[test]
    fn files_are_found_by_their_whole_names() {
        let mut ports = model(&[("opt/orbital/key", b"secret\n"), ("opt/orbital", b"x"), ("empty", b"")]);
        assert_eq!(read(&mut ports, "opt/orbital/key", 4096), Ok(Some(b"secret\n".to_vec())));
        assert_eq!(read(&mut ports, "opt/orbital", 1), Ok(Some(b"x".to_vec())));
        assert_eq!(read(&mut ports, "empty", 0), Ok(Some(vec![])));
        assert!(is_there(&mut ports, "empty") && !is_there(&mut ports, "opt"));
        assert_eq!(read(&mut ports, "opt/orbital/", 4096), Ok(None));
        assert_eq!(read(&mut ports, "", 4096), Ok(None));
        assert_eq!(read(&mut ports, "opt/orbital/key", 6), Err(TooLarge { bytes: 7, limit: 6 }));
    }

    #[test]
    fn without_fw_cfg_there_are_no_files() {
        // A port that nobody listens at gives ones.
        let mut ports = Model { content: BTreeMap::new(), selected: 0, at: 0, beyond: 0xff };
        assert!(!is_present(&mut ports));
        assert_eq!(read(&mut ports, "opt/orbital/key", 4096), Ok(None));
    }

    #[test]
    fn texts_are_separated_by_zero_bytes() {
        assert_eq!(texts(b"-c\0help\0").collect::<Vec<_>>(), ["-c", "help"]);
        assert_eq!(texts(b"-c\0\0x").collect::<Vec<_>>(), ["-c", "", "x"]);
        assert_eq!(texts(b"").count(), 0);
        assert_eq!(texts(b"a\0\xff\0b").collect::<Vec<_>>(), ["a", "b"]);
    }

    proptest! {
        /// Whatever the directory says: an answer within the limit, and the search ends.
        #[test]
        fn garbage_gives_an_answer_within_the_limit(directory in prop::collection::vec(any::<u8>(), 0..400), beyond: u8) {
            let mut ports = model(&[("a", b"x")]);
            if let Some(found) = ports.content.get_mut(&KEY_DIRECTORY) {
                let at = found.len().min(4);
                found.truncate(at);
                found.extend(directory);
            }
            ports.beyond = beyond;
            for name in ["a", "opt/orbital/key"] {
                if let Ok(Some(bytes)) = read(&mut ports, name, 64) {
                    prop_assert!(bytes.len() <= 64);
                }
            }
        }

        /// Whatever the directory's count says, it ends too.
        #[test]
        fn a_count_of_anything_ends(count: u32, beyond: u8) {
            let mut ports = model(&[]);
            ports.content.insert(KEY_DIRECTORY, count.to_be_bytes().to_vec());
            ports.beyond = beyond;
            prop_assert!(matches!(read(&mut ports, "opt/orbital/key", 64), Ok(None) | Err(_)));
        }
    }
}
