//! `numbers.lock`: the number of every function that ever was. A line of it never changes
//! and never goes; what is new is added at the end of its interface.

use crate::model::File;
use std::collections::BTreeMap;

/// First lines of the lock file.
const HEAD: &str = "# The number of every function, for ever: positions are append-only.\n\
                    # Checked by `cargo test -p wit`; `WIT_BLESS=1 cargo test -p wit` adds what is new.\n";

/// Numbers and what they stand for: `storage/objects get`.
pub type Numbers = BTreeMap<u32, String>;

/// The numbers of these files; an error names two that are equal.
pub fn numbers(files: &[File]) -> Result<Numbers, String> {
    let mut numbers = Numbers::new();
    let mut owners: BTreeMap<u32, String> = BTreeMap::new();
    for file in files {
        for interface in &file.interfaces {
            let Some(number) = interface.number else { continue };
            let owner = format!("{}/{}", file.name, interface.name);
            if let Some(other) = owners.insert(number, owner.clone()) {
                return Err(format!("{owner} and {other} have the same number {number:#06x}"));
            }
            for (position, function) in interface.functions.iter().enumerate() {
                numbers.insert(number + position as u32, format!("{owner} {}", function.name));
            }
        }
    }
    Ok(numbers)
}

/// Reads a lock file.
pub fn parse(text: &str) -> Result<Numbers, String> {
    let mut numbers = Numbers::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let broken = || format!("numbers.lock:{}: not `0xNNNN file/interface function`: {line}", index + 1);
        let (number, name) = line.split_once(' ').ok_or_else(broken)?;
        let number =
            number.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(broken)?;
        if numbers.insert(number, name.to_string()).is_some() {
            return Err(format!("numbers.lock:{}: {number:#06x} is there twice", index + 1));
        }
    }
    Ok(numbers)
}

/// Writes a lock file.
pub fn write(numbers: &Numbers) -> String {
    let mut text = HEAD.to_string();
    for (number, name) in numbers {
        text += &format!("{number:#06x} {name}\n");
    }
    text
}

/// What the files have and the lock has not; an error says what was moved or removed.
pub fn added(lock: &Numbers, now: &Numbers) -> Result<Numbers, String> {
    let mut wrong = Vec::new();
    for (number, name) in lock {
        match now.get(number) {
            Some(same) if same == name => {}
            Some(other) => wrong.push(format!("{number:#06x} was `{name}` and is `{other}`")),
            None => wrong.push(format!("{number:#06x} was `{name}` and is gone")),
        }
    }
    if !wrong.is_empty() {
        return Err(format!(
            "numbers are for ever; put new functions at the end of their interface and keep old ones:\n  {}",
            wrong.join("\n  ")
        ));
    }
    Ok(now
        .iter()
        .filter(|(number, _)| !lock.contains_key(number))
        .map(|(number, name)| (*number, name.clone()))
        .collect())
}
