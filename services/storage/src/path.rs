//! Paths of files: names joined by `/`; a `/` in front or at the end changes nothing.

use crate::record::MAX_NAME;
use alloc::string::ToString;
use alloc::vec::Vec;
use libprocess::interfaces::storage::types::Error;

/// The longest path, in bytes.
pub const MAX_PATH: usize = 1024;

/// The names of a path, from the namespace's own folder on; none is that folder.
pub fn names(path: &str) -> Result<Vec<&str>, Error> {
    if path.len() > MAX_PATH {
        return Err(Error::KeyTooLong);
    }
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    if trimmed.is_empty() {
        return Ok(Vec::new());
    }
    trimmed.split('/').map(name).collect()
}

/// A name as it is, if it may be one.
pub fn name(name: &str) -> Result<&str, Error> {
    let reason = match name {
        "" => "a name is empty",
        "." | ".." => "`.` and `..` are not names",
        _ if name.contains('\0') => "a name has a zero byte in it",
        _ if name.len() > MAX_NAME => return Err(Error::KeyTooLong),
        _ => return Ok(name),
    };
    Err(Error::Invalid(reason.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn slashes_around_change_nothing() {
        for path in ["a/b", "/a/b", "a/b/", "/a/b/"] {
            assert_eq!(names(path), Ok(vec!["a", "b"]));
        }
        for path in ["", "/"] {
            assert_eq!(names(path), Ok(vec![]));
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["///", "a//b", "a/./b", "..", "a/../b", "a\0"] {
            assert!(matches!(names(path), Err(Error::Invalid(_))), "{path:?}");
        }
        assert_eq!(names(&"x".repeat(256)), Err(Error::KeyTooLong));
        assert_eq!(names(&"x/".repeat(513)), Err(Error::KeyTooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_good_names(path in ".{0,40}") {
            if let Ok(names) = names(&path) {
                for part in names {
                    prop_assert!(name(part).is_ok());
                }
            }
        }
    }
}
