//! Scenarios: what a person types at the shell and what must come back, in plain text
//! files that any host of the system can run. README.md has the format.
//!
//! | module | what is there |
//! |---|---|
//! | [`document`] | the text of a scenario as [`Step`]s |
//! | [`hostile`] | what must pass of apps/hostile, on any host |
//! | [`pattern`] | lines that output must match, with placeholders |
//! | [`play`] | running a scenario against a [`Host`] |
//! | [`program`] | a [`Host`] that is a program of this machine |
//! | [`terminal`] | a program of this machine with a person in front of it |
//! | [`transactions`] | what must be there of transactions that were cut off |
//! | [`upgrades`] | storage is upgraded under load, on any host |
#![forbid(unsafe_code)]

pub mod document;
pub mod hostile;
pub mod pattern;
pub mod play;
pub mod program;
pub mod terminal;
pub mod transactions;
pub mod upgrades;

use std::path::{Path, PathBuf};

/// Where the scenarios of this repository lie.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// Every `*.scenario` file in `folder` and the folders in it, in alphabetical order.
pub fn find(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.append(&mut find(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "scenario") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub use document::{Action, Scenario, Step};
pub use pattern::{Pattern, Values};
pub use play::{Ended, Host, Mismatch, play};
pub use program::Program;
pub use terminal::Terminal;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_repository_can_be_read() {
        let files = find(Path::new(FOLDER)).expect("the folder is there");
        assert!(!files.is_empty(), "there are scenarios");
        for file in files {
            let text = std::fs::read_to_string(&file).expect("it is text");
            let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(!scenario.title.is_empty());
        }
    }
}
