//! The table of docs/system-calls.md, read. The tests of the host on wasmtime read it too.

use abi::{Error, Number};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::vec::Vec;

const TABLE: &str = include_str!("../../../docs/system-calls.md");

/// The cells of the rows of all tables of calls.
pub fn rows() -> Vec<Vec<&'static str>> {
    let rows =
        TABLE.lines().filter(|line| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit()));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The errors of a call as the table has them.
#[derive(Default)]
pub struct Errors {
    /// What the kernel answers.
    pub kernel: BTreeSet<Error>,
    /// What is the host's or the device's to say.
    pub host: BTreeSet<Error>,
}

/// The errors of every call, with H and W written out.
pub fn errors() -> &'static BTreeMap<Number, Errors> {
    static ERRORS: OnceLock<BTreeMap<Number, Errors>> = OnceLock::new();
    ERRORS.get_or_init(|| Number::ALL.iter().zip(rows()).map(|(&number, cells)| (number, read(cells[5]))).collect())
}

/// Whether the table names an error of a call.
pub fn names(number: Number, error: Error) -> bool {
    errors().get(&number).is_some_and(|errors| errors.kernel.contains(&error) || errors.host.contains(&error))
}

/// A cell: names of errors, H, W; those of the host stand behind a semicolon; what is in brackets is for people.
fn read(cell: &str) -> Errors {
    use Error::*;
    let bare: std::string::String = cell.split(['(', ')']).step_by(2).collect();
    let list = |part: &str| -> BTreeSet<Error> {
        let words = part.split(',').map(str::trim).filter(|word| !word.is_empty());
        let errors = words.flat_map(|word| match word {
            "H" => std::vec![BadHandle, StaleHandle, WrongKind, MissingRight, Expired],
            "W" => std::vec![TimedOut, Revoked, Interrupted],
            name => {
                let known = Error::ALL.into_iter().find(|error| std::format!("{error:?}") == name);
                std::vec![known.unwrap_or_else(|| panic!("no error {name} in: {cell}"))]
            }
        });
        errors.collect()
    };
    let (kernel, host) = bare.split_once(';').unwrap_or((&bare, ""));
    Errors { kernel: list(kernel), host: list(host) }
}
