//! The notes: one object each, its key the number in ten digits, so that storage lists
//! them in their order.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use libprocess::ClientError;
use libprocess::interfaces::storage::objects::{CheckStep, Client, Error, PutStep, Step};

/// What every key begins with.
const PREFIX: &str = "note/";
/// Keys that are listed at once.
const AT_ONCE: u32 = 100;

/// One note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Its number, from 1; never used again while a later note is there.
    pub number: u32,
    /// What it says.
    pub text: String,
}

impl Note {
    /// Whether the word is in it, in upper or lower case.
    pub fn mentions(&self, word: &str) -> bool {
        self.text.to_lowercase().contains(&word.to_lowercase())
    }
}

/// Why a request was not carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// There is no note of this number.
    NoSuchNote(u32),
    /// No note has the word.
    Nowhere(String),
    /// Storage did not do it.
    Storage(ClientError<Error>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoSuchNote(number) => write!(f, "there is no note {number}; `notes list` shows all"),
            Problem::Nowhere(word) => write!(f, "no note mentions {word}"),
            Problem::Storage(ClientError::Service(error)) => match error {
                Error::QuotaExceeded(_) | Error::NoSpace => f.write_str("there is no room left; `notes rm` makes some"),
                Error::TooLarge(most) => write!(f, "the note is too long: at most {most} bytes"),
                Error::VersionConflict(_) => f.write_str("a note was changed meanwhile; look, and try again"),
                Error::Corrupt(what) => write!(f, "{what} is damaged on the disk; the other notes can be read"),
                error => write!(f, "storage did not do it: {error:?}"),
            },
            Problem::Storage(error) => write!(f, "storage did not do it: {}", error.clone().map(|_| Unknown)),
        }
    }
}

/// Stands for an error that was told apart before.
struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of its own")
    }
}

impl From<ClientError<Error>> for Problem {
    fn from(error: ClientError<Error>) -> Problem {
        Problem::Storage(error)
    }
}

/// The notes in one namespace.
#[derive(Debug)]
pub struct Notebook {
    storage: Client,
}

impl Notebook {
    /// The notes that lie where `storage` leads.
    pub fn new(storage: Client) -> Notebook {
        Notebook { storage }
    }

    /// Keeps a note; it is on the disk when this returns its number.
    pub async fn add(&self, text: &str) -> Result<u32, Problem> {
        let mut number = self.numbers().await?.last().map_or(1, |last| last.saturating_add(1));
        loop {
            // Only if nothing is there: another one may add a note at the same time.
            match self.storage.put(&key(number), text.as_bytes(), Some(0)).await {
                Ok(_) => return Ok(number),
                Err(ClientError::Service(Error::VersionConflict(_))) if number < u32::MAX => number += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Keeps several notes, in one transaction: all of them are on the disk when this returns their numbers, and none if it
    /// fails.
    pub async fn add_all(&self, texts: &[String]) -> Result<Vec<u32>, Problem> {
        loop {
            let first = self.numbers().await?.last().map_or(1, |last| last.saturating_add(1));
            let numbers: Vec<u32> = (first..=u32::MAX).take(texts.len()).collect();
            // Only if nothing is there: another one may add notes at the same time.
            let steps = numbers.iter().zip(texts).flat_map(|(number, text)| {
                let key = key(*number);
                let put = PutStep { key: key.clone(), value: text.as_bytes().into() };
                [Step::Check(CheckStep { key, version: 0 }), Step::Put(put)]
            });
            match self.storage.transact(&steps.collect::<Vec<_>>()).await {
                Ok(_) => return Ok(numbers),
                Err(ClientError::Service(Error::VersionConflict(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The text of a note.
    pub async fn get(&self, number: u32) -> Result<String, Problem> {
        let part = self.storage.get(&key(number)).await.map_err(about(number))?;
        Ok(String::from_utf8_lossy(&part.bytes).into_owned())
    }

    /// Removes these notes, in one transaction: all of them, or none if it fails.
    pub async fn remove(&self, numbers: &[u32]) -> Result<(), Problem> {
        let mut steps = Vec::new();
        for &number in numbers {
            // The one that is there now: another one may remove it at the same time.
            let version = self.storage.stat(&key(number)).await.map_err(about(number))?.version;
            steps.push(Step::Check(CheckStep { key: key(number), version }));
        }
        steps.extend(numbers.iter().map(|number| Step::Delete(key(*number))));
        self.storage.transact(&steps).await?;
        Ok(())
    }

    /// Every note, by rising number.
    pub async fn all(&self) -> Result<Vec<Note>, Problem> {
        let mut notes = Vec::new();
        for number in self.numbers().await? {
            match self.get(number).await {
                Ok(text) => notes.push(Note { number, text }),
                // Removed meanwhile.
                Err(Problem::NoSuchNote(_)) => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(notes)
    }

    async fn numbers(&self) -> Result<Vec<u32>, Problem> {
        let mut numbers = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.storage.list(PREFIX, AT_ONCE, cursor.as_deref()).await?;
            numbers.extend(page.entries.iter().filter_map(|entry| number_of(&entry.key)));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(numbers);
            }
        }
    }
}

fn about(number: u32) -> impl FnOnce(ClientError<Error>) -> Problem {
    move |error| match error {
        ClientError::Service(Error::NotFound) => Problem::NoSuchNote(number),
        error => Problem::Storage(error),
    }
}

fn key(number: u32) -> String {
    format!("{PREFIX}{number:010}")
}

fn number_of(key: &str) -> Option<u32> {
    key.strip_prefix(PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_numbers_do() {
        let numbers = [1, 2, 9, 10, 99, 100, u32::MAX];
        let keys: Vec<String> = numbers.iter().map(|number| key(*number)).collect();
        assert!(keys.is_sorted());
        assert!(numbers.iter().all(|number| number_of(&key(*number)) == Some(*number)));
        assert_eq!(number_of("note/x"), None);
        assert_eq!(number_of("other"), None);
    }

    #[test]
    fn a_word_is_found_whatever_its_case() {
        let note = Note { number: 1, text: String::from("Call the Office") };
        assert!(note.mentions("office") && note.mentions("CALL") && !note.mentions("milk"));
    }
}
