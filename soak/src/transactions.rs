//! Transactions of the load. Each sets all keys of its group, or removes them all; so afterwards they are of one
//! transaction, and of none before the last that was acknowledged.

use std::ops::RangeInclusive;

/// Groups of keys that are changed in turn.
pub const GROUPS: u64 = 6;
/// The keys of a group.
const KEYS: [&str; 3] = ["a", "b", "c"];
/// One in so many removes its keys.
const REMOVAL: u64 = 4;
/// The longest value, in bytes, beside its name: some lie in the tree, some outside.
const LONGEST: u64 = 2_000;
/// What the shell says of a key that has no value.
const NO_VALUE: &str = "get: there is no value under ";

fn is_removal(number: u64) -> bool {
    number / GROUPS % REMOVAL == REMOVAL - 1
}

/// A value names its transaction and its key.
fn value(number: u64, key: &str) -> String {
    let length = (number + u64::from(key.as_bytes()[0])).wrapping_mul(0x9e37_79b9_7f4a_7c15) % LONGEST;
    format!("{number}/{key}.{}", "x".repeat(length as usize))
}

/// The command that carries out the transaction with this number.
pub fn command(number: u64) -> String {
    let group = number % GROUPS;
    let steps = KEYS.map(|key| match is_removal(number) {
        true => format!("unset load/{group}/{key}"),
        false => format!("set load/{group}/{key} {}", value(number, key)),
    });
    format!("transact {}", steps.join(" "))
}

/// The command that shows a group, one line a key.
pub fn show(group: u64) -> String {
    KEYS.map(|key| format!("get load/{group}/{key} && echo")).join("; ")
}

/// Holds the lines that [`show`] brought against the transactions of this group that may have been the last: from
/// the one that was acknowledged, if one was, to the one that was begun.
pub fn check<'a>(
    group: u64,
    may_be: RangeInclusive<u64>,
    acknowledged: bool,
    lines: &mut impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let found: Vec<&str> = KEYS.iter().map(|_| lines.next().unwrap_or_default()).collect();
    let is = |number: u64| {
        KEYS.iter().zip(&found).all(|(key, line)| match is_removal(number) {
            true => line.starts_with(NO_VALUE),
            false => *line == value(number, key),
        })
    };
    let nothing_yet = !acknowledged && found.iter().all(|line| line.starts_with(NO_VALUE));
    if nothing_yet || may_be.clone().filter(|number| number % GROUPS == group).any(is) {
        return Ok(());
    }
    let short: Vec<String> = found.iter().map(|line| format!("{line:.40}")).collect();
    Err(format!("load/{group}: there should be one of the transactions {may_be:?}, whole; there is: {short:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shell shows of the keys of group 1, each after a transaction of its own.
    fn shown(after: [u64; 3]) -> Vec<String> {
        let of = |(key, number): (&&str, u64)| match is_removal(number) {
            true => format!("{NO_VALUE}load/1/{key}; `keys` lists the keys"),
            false => value(number, key),
        };
        KEYS.iter().zip(after).map(of).collect()
    }

    fn look(after: [u64; 3], may_be: RangeInclusive<u64>, acknowledged: bool) -> Result<(), String> {
        check(1, may_be, acknowledged, &mut shown(after).iter().map(String::as_str))
    }

    #[test]
    fn the_keys_of_a_group_are_of_one_transaction_that_may_have_been_the_last() {
        // Of group 1 are 1, 7, 13, 19, 25 and so on; 19 removes.
        assert!(is_removal(19) && !is_removal(13) && !is_removal(25));
        for last in [7, 13, 19] {
            look([last; 3], 7..=21, true).unwrap();
        }
        look([19; 3], 0..=13, false).unwrap();
        for (after, may_be) in [
            ([7, 7, 13], 7..=13),
            ([13, 19, 19], 7..=19),
            ([1; 3], 7..=13),
            ([25; 3], 7..=21),
            ([19; 3], 7..=13),
            ([8; 3], 7..=13),
        ] {
            assert!(look(after, may_be, true).unwrap_err().starts_with("load/1: "), "{after:?}");
        }
        assert!(check(1, 7..=13, true, &mut std::iter::empty()).is_err());
    }

    #[test]
    fn a_transaction_changes_all_keys_of_its_group() {
        assert!(command(13).starts_with("transact set load/1/a 13/a.x"));
        assert_eq!(command(13).matches(" set load/1/").count(), 3);
        assert_eq!(command(19), "transact unset load/1/a unset load/1/b unset load/1/c");
    }
}
