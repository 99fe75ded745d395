//! Names under which services can be found, and whose they are. What is registered is a
//! type parameter: an endpoint capability in init, a number in the tests.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;
/// The most names of one owner.
pub const MAX_NAMES: usize = 32;

/// Why it was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Nothing is registered under the name.
    NotFound,
    /// Someone else has it.
    NameTaken,
    /// Not a name: empty, too long, or with a character that is not allowed.
    InvalidName,
    /// The owner has [`MAX_NAMES`] already.
    LimitExceeded,
    /// What is registered has another version, this one.
    VersionMismatch(u32),
}

/// One name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry<C> {
    /// Whose it is: the badge of who registered it.
    pub owner: u64,
    /// What its owner says of its version.
    pub version: u32,
    /// What is registered.
    pub endpoint: C,
}

/// The names.
#[derive(Clone, Debug)]
pub struct Registry<C> {
    entries: BTreeMap<String, Entry<C>>,
}

impl<C> Default for Registry<C> {
    fn default() -> Registry<C> {
        Registry { entries: BTreeMap::new() }
    }
}

impl<C> Registry<C> {
    /// Registers `endpoint`; what its owner had under the name before is returned.
    ///
    /// # Errors
    /// `InvalidName`, `NameTaken`, `LimitExceeded`.
    pub fn register(&mut self, name: &str, version: u32, owner: u64, endpoint: C) -> Result<Option<C>, Refusal> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '/');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(good) {
            return Err(Refusal::InvalidName);
        }
        match self.entries.get(name) {
            Some(entry) if entry.owner != owner => return Err(Refusal::NameTaken),
            Some(_) => {}
            None if self.entries.values().filter(|e| e.owner == owner).count() >= MAX_NAMES => {
                return Err(Refusal::LimitExceeded);
            }
            None => {}
        }
        let before = self.entries.insert(name.to_string(), Entry { owner, version, endpoint });
        Ok(before.map(|entry| entry.endpoint))
    }

    /// What is registered under the name. `version` 0 takes any.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`.
    pub fn lookup(&self, name: &str, version: u32) -> Result<&Entry<C>, Refusal> {
        let entry = self.entries.get(name).ok_or(Refusal::NotFound)?;
        if version != 0 && version != entry.version {
            return Err(Refusal::VersionMismatch(entry.version));
        }
        Ok(entry)
    }

    /// Gives up a name of one's own.
    ///
    /// # Errors
    /// `NotFound`; `NameTaken` if it is someone else's.
    pub fn unregister(&mut self, name: &str, owner: u64) -> Result<C, Refusal> {
        match self.entries.get(name) {
            None => Err(Refusal::NotFound),
            Some(entry) if entry.owner != owner => Err(Refusal::NameTaken),
            Some(_) => self.forget(name).ok_or(Refusal::NotFound),
        }
    }

    /// Removes a name, whoever has it: what was registered is gone.
    pub fn forget(&mut self, name: &str) -> Option<C> {
        self.entries.remove(name).map(|entry| entry.endpoint)
    }

    /// Every name, in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry<C>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

    #[test]
    fn what_is_registered_is_found() {
        let mut registry = Registry::default();
        assert_eq!(registry.register("notes/store", 2, 7, "e1"), Ok(None));
        for version in [0, 2] {
            assert_eq!(registry.lookup("notes/store", version).unwrap().endpoint, "e1");
        }
    }

    #[test]
    fn a_name_is_its_owners_until_that_gives_it_up() {
        let mut registry = Registry::default();
        registry.register("a", 1, 7, "e1").unwrap();
        assert_eq!(registry.register("a", 1, 8, "e2"), Err(Refusal::NameTaken));
        assert_eq!(registry.unregister("a", 8), Err(Refusal::NameTaken));
        assert_eq!(registry.lookup("a", 0).unwrap().endpoint, "e1", "a refusal changes nothing");
        assert_eq!(registry.register("a", 2, 7, "e3"), Ok(Some("e1")), "its owner may replace it");
        assert_eq!(registry.unregister("a", 7), Ok("e3"));
        assert_eq!(registry.register("a", 1, 8, "e2"), Ok(None));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut registry = Registry::<()>::default();
        assert_eq!(registry.lookup("a", 0), Err(Refusal::NotFound));
        assert_eq!(registry.unregister("a", 7), Err(Refusal::NotFound));
    }

    #[test]
    fn another_version_is_told() {
        let mut registry = Registry::default();
        registry.register("a", 3, 7, ()).unwrap();
        assert_eq!(registry.lookup("a", 2).unwrap_err(), Refusal::VersionMismatch(3));
    }

    #[test]
    fn names_are_of_few_characters() {
        let mut registry = Registry::default();
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "A", "a b", "a\n", "ä", long.as_str()] {
            assert_eq!(registry.register(name, 1, 7, ()), Err(Refusal::InvalidName), "{name:?}");
        }
        assert_eq!(registry.register(&long[1..], 1, 7, ()), Ok(None));
    }

    #[test]
    fn one_owner_cannot_fill_the_registry() {
        let mut registry = Registry::default();
        for n in 0..MAX_NAMES {
            registry.register(&format!("a{n}"), 1, 7, n).unwrap();
        }
        assert_eq!(registry.register("more", 1, 7, 0), Err(Refusal::LimitExceeded));
        assert_eq!(registry.register("a0", 2, 7, 0), Ok(Some(0)), "its own it may still replace");
        assert_eq!(registry.register("more", 1, 8, 0), Ok(None), "another still may");
        let names: Vec<&str> = registry.entries().map(|(name, _)| name).collect();
        assert!(names.is_sorted());
    }
}
