//! What is said to a witness (C2SP tlog-witness, `add-checkpoint`) and what its answers mean, whatever carries them; and
//! the file of what witnesses have signed: notes one after the other.

use axiom::note::{Checkpoint, WitnessKey};
use base64ct::{Base64, Encoding};

/// What a witness answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It signed: its line, and when, s since 1970.
    Cosigned(String, u64),
    /// It has signed so many blocks, and there are fewer: the log is an old copy.
    Older(u64),
    /// What it signed is not the beginning of this log.
    Forked(u64),
    /// It does not sign, for this reason.
    Refused(String),
    /// It did not answer.
    Unreachable(String),
}

/// One checkpoint on its way to one witness.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// The key of the witness.
    pub key: &'a WitnessKey,
    /// The origin of the log.
    pub origin: &'a str,
    /// The checkpoint as it was signed,
    pub note: &'a [u8],
    /// and what it says.
    pub checkpoint: Checkpoint,
}

impl Submission<'_> {
    /// Sends it by `post`, which gives status and body of the answer, with the proof from `old` blocks on; where the
    /// witness is elsewhere, from there.
    pub fn run<E>(
        &self,
        mut old: u64,
        prove: impl Fn(u64) -> Result<Vec<[u8; 32]>, E>,
        mut post: impl FnMut(&str) -> Result<(u16, String), String>,
    ) -> Result<Answer, E> {
        for _ in 0..3 {
            if old > self.checkpoint.size {
                return Ok(Answer::Older(old));
            }
            let (code, text) = match post(&self.request(old, &prove(old)?)) {
                Ok(answer) => answer,
                Err(error) => return Ok(Answer::Unreachable(error)),
            };
            match self.answered(old, code, &text) {
                Ok(answer) => return Ok(answer),
                Err(theirs) => old = theirs,
            }
        }
        Ok(Answer::Refused("it names another size each time".into()))
    }

    /// What is sent: the proof that the first `old` blocks are the beginning of this checkpoint's, and the checkpoint.
    fn request(&self, old: u64, path: &[[u8; 32]]) -> String {
        let mut body = format!("old {old}\n");
        for hash in path {
            body.push_str(&Base64::encode_string(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&String::from_utf8_lossy(self.note));
        body
    }

    /// What it answered to a submission from `old` blocks on; or from how many on it wants one.
    fn answered(&self, old: u64, code: u16, text: &str) -> Result<Answer, u64> {
        Ok(match code {
            200 => match self.key.find(text, self.origin, &self.checkpoint) {
                Some((line, time)) => Answer::Cosigned(line.to_owned(), time),
                None => Answer::Refused("its answer has no signature of its key over this checkpoint".into()),
            },
            409 => match text.strip_suffix('\n').and_then(|size| size.parse().ok()) {
                // The same size, and another root.
                Some(size) if size == old => Answer::Forked(size),
                Some(size) => return Err(size),
                None => Answer::Refused("its answer 409 says no size".into()),
            },
            422 => Answer::Forked(old),
            404 => Answer::Refused(format!("it does not know the log {}", self.origin)),
            403 => Answer::Refused(format!("it does not know the key of {}", self.origin)),
            code => Answer::Refused(format!("it answered {code}")),
        })
    }
}

/// The notes in the file of what was witnessed: each ends with signatures, lines that begin as no other line of a note
/// does.
pub fn notes(file: &[u8]) -> Vec<Vec<u8>> {
    let mut notes: Vec<Vec<u8>> = Vec::new();
    let mut was_signature = true;
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        let is_signature = line.starts_with("\u{2014} ".as_bytes());
        if was_signature && !is_signature {
            notes.push(Vec::new());
        }
        was_signature = is_signature;
        match notes.last_mut() {
            Some(note) => note.extend_from_slice(line),
            None => notes.push(line.to_vec()),
        }
    }
    // A file without anything in it is none of ours, and is to be told as that.
    if notes.is_empty() { vec![Vec::new()] } else { notes }
}

/// A note with the signatures of these witnesses alone; nothing if it has none of them.
pub fn only_of(note: &[u8], witnesses: &[&str]) -> String {
    let note = String::from_utf8_lossy(note);
    let Some(end) = note.find("\n\n").and_then(|body| Some(body + 2 + note[body + 2..].find('\n')? + 1)) else {
        return String::new();
    };
    let (own, lines) = note.split_at(end);
    let is_theirs = |line: &&str| {
        let name = line.strip_prefix("\u{2014} ").and_then(|line| line.split(' ').next());
        name.is_some_and(|name| witnesses.contains(&name))
    };
    let theirs: String = lines.split_inclusive('\n').filter(is_theirs).collect();
    if theirs.is_empty() { theirs } else { format!("{own}{theirs}") }
}
