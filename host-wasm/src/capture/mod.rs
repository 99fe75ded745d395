//! Capture: messages of an endpoint, written down for debugging, sealed, apart from the log.
//! [`files`] are where they lie, the crate `sealed` is how, [`Entry`] what is in them; docs/capture.md states both.

pub mod files;

use crate::problem::Problem;
use abi::DeliveryKind;
use abi::message::Words;
use files::{Left, Writer};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The purpose of the key that captures are sealed with, as BLAKE3 wants it.
const CONTEXT: &str = "orbital 2026-11-21 captures of messages v1";

/// The key for captures of the machine with this key.
pub fn secret(key: &axiom::note::MachineKey) -> [u8; 32] {
    key.derive(CONTEXT)
}

/// A process, by what the log calls it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Party {
    /// Serial of the process; 0 is the kernel.
    pub process: u64,
    /// Its name; empty if it had ended by then.
    pub name: String,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Content {
    /// The capture of an endpoint began.
    Began {
        /// Its number.
        endpoint: u32,
        /// By whose order.
        by: Party,
    },
    /// A message came through, or an answer to one.
    Message {
        /// The endpoint; of an answer, that of the call.
        endpoint: u32,
        /// As `delivery-kind` in wit/kernel.wit, from 0.
        kind: u8,
        /// Who sent it.
        from: Party,
        /// Who got it.
        to: Party,
        /// Of the capability that it came through.
        badge: u64,
        /// As sent.
        tag: u64,
        /// How many capabilities rode on it.
        capabilities: u8,
        /// As sent.
        words: Words,
        /// As sent.
        bytes: Vec<u8>,
    },
    /// The capture of an endpoint ended.
    Ended {
        /// Its number.
        endpoint: u32,
    },
    /// The file is as large as it may be: what comes is not in it.
    Full,
    /// The machine was turned off.
    Off,
}

/// One record of a capture.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// ns since boot.
    pub time: u64,
    /// The number of the last record that the log had by then.
    pub record: u64,
    /// What happened.
    pub content: Content,
}

/// The word for a kind of delivery.
pub fn kind_in_words(kind: u8) -> &'static str {
    const WORDS: [&str; 6] = ["message", "call", "answer", "notified", "fault", "exit"];
    WORDS.get(usize::from(kind)).copied().unwrap_or("unknown")
}

/// The number under which a kind is written.
pub fn kind_number(kind: DeliveryKind) -> u8 {
    match kind {
        DeliveryKind::Sent => 0,
        DeliveryKind::Called => 1,
        DeliveryKind::Answer => 2,
        DeliveryKind::Notified => 3,
        DeliveryKind::Fault => 4,
        DeliveryKind::Exit => 5,
    }
}

/// The machine's side: a file is made when the first capture of a boot begins.
pub struct Capture {
    folder: PathBuf,
    secret: [u8; 32],
    public: [u8; 32],
    boot: u32,
    file: File,
}

enum File {
    /// Nothing has been captured in this boot.
    None,
    Open(Writer),
    /// It is full, or could not be written. That was said.
    Over,
}

impl Capture {
    /// Of this boot of the machine with this key; captures lie in `folder`.
    pub fn new(folder: PathBuf, key: &axiom::note::MachineKey, boot: u32) -> Capture {
        Capture { folder, secret: secret(key), public: key.public(), boot, file: File::None }
    }

    /// Writes one record down. What cannot be written is said once, on standard error, and the
    /// machine goes on: a capture is for debugging, and no part of the record.
    pub fn add(&mut self, entry: &Entry) {
        if let Err(problem) = self.try_to_add(entry) {
            self.file = File::Over;
            crate::progress::say(format_args!("orbital: messages are captured no longer: {problem}"));
        }
    }

    fn try_to_add(&mut self, entry: &Entry) -> Result<(), Problem> {
        if let File::None = self.file {
            self.file = File::Open(Writer::create(&self.folder, &self.secret, &self.public, self.boot)?);
        }
        let File::Open(writer) = &mut self.file else { return Ok(()) };
        match writer.add(&encode(entry))? {
            Left::Room => Ok(()),
            Left::None => {
                let path = writer.path().display().to_string();
                self.finish(&Entry { content: Content::Full, ..*entry })?;
                crate::progress::say(format_args!(
                    "orbital: {path} is full; messages are captured no longer until the next boot"
                ));
                Ok(())
            }
        }
    }

    /// The machine ends.
    pub fn end(&mut self, time: u64, record: u64) {
        if let Err(problem) = self.finish(&Entry { time, record, content: Content::Off }) {
            crate::progress::say(format_args!("orbital: the capture was not ended in order: {problem}"));
        }
    }

    fn finish(&mut self, last: &Entry) -> Result<(), Problem> {
        match std::mem::replace(&mut self.file, File::Over) {
            File::Open(writer) => writer.finish(&encode(last)),
            File::None | File::Over => Ok(()),
        }
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    // It is made of numbers, text and bytes: there is nothing in it that postcard could refuse.
    postcard::to_allocvec(entry).unwrap_or_default()
}
