//! Transactions of a load that is cut off: notes that are kept three at a time, and removed many at a time. Afterwards of
//! each transaction everything is there or nothing, and of one that was acknowledged everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Notes of one transaction.
const NOTES: u64 = 3;
/// Transactions whose notes are removed by one: as many notes as `notes rm` takes.
const REMOVED: usize = 40;
/// The longest text of a note, in bytes, beside its name.
const LONGEST: u64 = 900;

/// What was begun, and what must be there. A transaction has a number, which the load gives.
#[derive(Default, Debug)]
pub struct Transactions {
    /// What is there for sure, with the numbers of the notes.
    there: BTreeMap<u64, Vec<u64>>,
    /// Of it, what is being removed, and whether that was acknowledged.
    going: BTreeSet<u64>,
    gone: bool,
    /// What was begun since, and what of it was acknowledged.
    begun: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

impl Transactions {
    /// The command that begins one.
    pub fn begin(&mut self, transaction: u64) -> String {
        self.begun.insert(transaction);
        let mut command = String::from("notes add-all");
        for note in 0..NOTES {
            // Writing to a string does not fail.
            let _ = write!(command, " '{}'", text_of(transaction, note));
        }
        command
    }

    /// The command that removes what is there, in one transaction, if anything is.
    pub fn remove(&mut self) -> Option<String> {
        self.going = self.there.keys().copied().take(REMOVED).collect();
        let notes: Vec<String> =
            self.going.iter().flat_map(|transaction| &self.there[transaction]).map(u64::to_string).collect();
        (!notes.is_empty()).then(|| format!("notes rm {}", notes.join(" ")))
    }

    /// The one with this number was acknowledged.
    pub fn acknowledge(&mut self, transaction: u64) {
        self.acknowledged.insert(transaction);
    }

    /// The removal was.
    pub fn acknowledge_removal(&mut self) {
        self.gone = true;
    }

    /// Holds what `notes list` says against what may be; an error says what is otherwise. What is there now is there for
    /// sure.
    pub fn look<'a>(&mut self, list: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for line in list {
            let note = || {
                let (number, text) = line.split_once("  ")?;
                let (transaction, rest) = text.split_once('/')?;
                let (number, transaction): (u64, u64) = (number.parse().ok()?, transaction.parse().ok()?);
                let before = found.get(&transaction).map_or(0, |notes| notes.len() as u64);
                let whole = rest.starts_with(&format!("{before}.")) && text == text_of(transaction, before);
                whole.then_some((transaction, number))
            };
            let (transaction, number) =
                note().ok_or_else(|| format!("this is no note of a transaction, whole: {line}"))?;
            found.entry(transaction).or_default().push(number);
        }
        if let Some((transaction, notes)) = found.iter().find(|(_, notes)| notes.len() as u64 != NOTES) {
            return Err(format!("half of transaction {transaction} is there: {} of {NOTES} notes", notes.len()));
        }
        let is_there = |transaction: &&u64| found.contains_key(transaction);
        let left = self.going.iter().filter(is_there).count();
        if left > 0 && (self.gone || left < self.going.len()) {
            let what = if self.gone { "was acknowledged" } else { "is done by half" };
            return Err(format!("the removal of {:?} {what}; {left} of them are there", self.going));
        }
        let must = self.there.keys().filter(|transaction| !self.going.contains(transaction));
        if let Some(lost) = must.chain(&self.acknowledged).find(|transaction| !is_there(transaction)) {
            return Err(format!("transaction {lost} was acknowledged, and is not there"));
        }
        if let Some(other) =
            found.keys().find(|transaction| !self.there.contains_key(transaction) && !self.begun.contains(transaction))
        {
            return Err(format!("nobody began transaction {other}, and it is there"));
        }
        *self = Transactions { there: found, ..Transactions::default() };
        Ok(())
    }
}

/// The text of a note: it names itself, and its length differs from the next transaction's.
fn text_of(transaction: u64, note: u64) -> String {
    let length = transaction.wrapping_mul(0x9e37_79b9_7f4a_7c15) % LONGEST;
    format!("{transaction}/{note}.{}", "x".repeat(length as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(transactions: &[(u64, u64)]) -> Vec<String> {
        let notes = transactions.iter().zip(1..);
        notes.map(|((transaction, note), number)| format!("{number}  {}", text_of(*transaction, *note))).collect()
    }

    fn look(transactions: &mut Transactions, notes: &[(u64, u64)]) -> Result<(), String> {
        transactions.look(list(notes).iter().map(String::as_str))
    }

    const FIRST: [(u64, u64); 3] = [(1, 0), (1, 1), (1, 2)];
    const BOTH: [(u64, u64); 6] = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)];

    #[test]
    fn all_of_a_transaction_or_nothing_is_there_and_what_was_acknowledged() {
        let begun = |acknowledged: &[u64]| {
            let mut transactions = Transactions::default();
            assert!(transactions.begin(1).starts_with("notes add-all '1/0."));
            transactions.begin(2);
            acknowledged.iter().for_each(|number| transactions.acknowledge(*number));
            transactions
        };
        for good in [&[][..], &FIRST, &BOTH] {
            look(&mut begun(&[]), good).unwrap();
        }
        assert!(look(&mut begun(&[]), &FIRST[..2]).unwrap_err().contains("half"));
        assert!(look(&mut begun(&[2]), &FIRST).unwrap_err().contains("was acknowledged"));
        assert!(look(&mut begun(&[]), &[(3, 0), (3, 1), (3, 2)]).unwrap_err().contains("nobody"));
        assert!(begun(&[]).look(["1  1/0.y"]).unwrap_err().contains("no note"));
    }

    #[test]
    fn a_removal_is_done_or_not() {
        let going = |acknowledged: bool| {
            let mut transactions = Transactions::default();
            transactions.begin(1);
            transactions.begin(2);
            look(&mut transactions, &BOTH).unwrap();
            assert_eq!(transactions.remove().unwrap(), "notes rm 1 2 3 4 5 6");
            if acknowledged {
                transactions.acknowledge_removal();
            }
            transactions
        };
        look(&mut going(false), &BOTH).unwrap();
        look(&mut going(false), &[]).unwrap();
        look(&mut going(true), &[]).unwrap();
        assert!(look(&mut going(false), &FIRST).unwrap_err().contains("by half"));
        assert!(look(&mut going(true), &BOTH).unwrap_err().contains("was acknowledged"));
    }
}
