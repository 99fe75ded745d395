//! A block as it is kept: header and bodies, in a frame that segments are made of; and
//! the chain that blocks must form.
//!
//! | at | bytes | frame |
//! |---|---|---|
//! | 0 | 4 | `OLB1`, whole, or `OLK1`, trimmed: only the authority body is kept |
//! | 4 | 4 | bytes of the frame |
//! | 8 | 8 | synced: all blocks below this number were durable when the frame was written |
//! | 16 | 254 | header |
//! | 270 | 32 | BLAKE3 of the 270 bytes before |
//! | 302 | | bodies: authority, activity, calls |

use crate::commit::{Class, CommitRef, class_of};
use crate::header::{self, Body, HEADER, Hash, Header};
use crate::record::{Op, Record};
use core::fmt;

/// First bytes of a whole frame.
pub const WHOLE: [u8; 4] = *b"OLB1";
/// First bytes of a trimmed frame.
pub const TRIMMED: [u8; 4] = *b"OLK1";
/// Bytes before the bodies.
pub const FRAME: usize = 16 + HEADER + 32;
/// The most bytes that a frame has. What is longer is no frame.
pub const MAX_FRAME: usize = 64 << 20;

/// One block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its header.
    pub header: Header,
    /// The header as it is hashed.
    pub header_bytes: &'a [u8; HEADER],
    /// All blocks below this one were durable when it was written.
    pub synced: u64,
    /// The bodies, in the order of [`Body`]; activity and calls are `None` once trimmed.
    pub bodies: [Option<&'a [u8]>; 3],
}

/// What is wrong with a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It ends before it should.
    Short,
    /// It does not begin as a frame does.
    NoFrame,
    /// Frame and header do not match their hash.
    Header,
    /// The header has a version or a flag that is not known, or contradicts itself.
    Version,
    /// A body does not match its hash.
    Body(Body),
    /// The number of the block does not follow.
    Number,
    /// The header does not carry the hash of the one before.
    Previous,
    /// The numbers of records or commits do not follow, or their count is wrong.
    Count,
    /// This record is not one, by its number in the log.
    Record(u64),
    /// The commit of this record is not one.
    Commit(u64),
    /// The commit of this record cannot follow the state before it, and why not.
    Impossible(u64, &'static str),
    /// After the block, replay came to another state than the log says.
    State(Body),
    /// The header is not what the tree has.
    Tree,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Short => f.write_str("it ends before it should"),
            Wrong::NoFrame => f.write_str("there is no block where one should begin"),
            Wrong::Header => f.write_str("its header does not match its hash"),
            Wrong::Version => f.write_str("its header has an unknown version or flag"),
            Wrong::Body(body) => write!(f, "its {} body does not match the hash in its header", body.name()),
            Wrong::Number => f.write_str("its number does not follow"),
            Wrong::Previous => f.write_str("it does not carry the hash of the block before"),
            Wrong::Count => f.write_str("its records or commits are not numbered on"),
            Wrong::Record(number) => write!(f, "record {number} is not a record"),
            Wrong::Commit(number) => write!(f, "the commit of record {number} is not one"),
            Wrong::Impossible(number, why) => {
                write!(f, "the commit of record {number} cannot follow what was before it: {why}")
            }
            Wrong::State(body) => write!(f, "replay comes to another {} state than the log says", body.name()),
            Wrong::Tree => f.write_str("its header is not the one in the tree that the checkpoint signs"),
        }
    }
}

impl core::error::Error for Wrong {}

impl<'a> Block<'a> {
    /// The frame at the start of `bytes`, and its length. Checks that it is whole:
    /// every part matches its hash.
    pub fn parse(bytes: &'a [u8]) -> Result<(Block<'a>, usize), Wrong> {
        let (block, length) = Block::parse_head(bytes)?;
        for body in Body::ALL {
            if let Some(content) = block.bodies[body as usize]
                && *blake3::hash(content).as_bytes() != block.header.bodies[body as usize]
            {
                return Err(Wrong::Body(body));
            }
        }
        Ok((block, length))
    }

    /// The same, without hashing the bodies.
    pub fn parse_head(bytes: &'a [u8]) -> Result<(Block<'a>, usize), Wrong> {
        let (head, rest) = bytes.split_first_chunk::<FRAME>().ok_or(Wrong::Short)?;
        let trimmed = head[..4] == TRIMMED;
        if !trimmed && head[..4] != WHOLE {
            return Err(Wrong::NoFrame);
        }
        let (checked, check) = head.split_at(FRAME - 32);
        if blake3::hash(checked).as_bytes() != check {
            return Err(Wrong::Header);
        }
        let header_bytes = head[16..].first_chunk::<HEADER>().ok_or(Wrong::Short)?;
        let header = Header::decode(header_bytes).ok_or(Wrong::Version)?;
        let [authority, activity, calls] = header.lengths.map(|length| length as usize);
        let length = FRAME + authority + if trimmed { 0 } else { activity + calls };
        let stated = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if stated != length || length > MAX_FRAME {
            return Err(Wrong::Header);
        }
        let mut synced = [0; 8];
        synced.copy_from_slice(&head[8..16]);
        let rest = rest.get(..length - FRAME).ok_or(Wrong::Short)?;
        let (authority, rest) = rest.split_at(authority);
        let bodies = if trimmed {
            [Some(authority), None, None]
        } else {
            let (activity, calls) = rest.split_at(activity);
            [Some(authority), Some(activity), Some(calls)]
        };
        Ok((Block { header, header_bytes, synced: u64::from_le_bytes(synced), bodies }, length))
    }

    /// Whether activity and calls are gone.
    pub fn is_trimmed(&self) -> bool {
        self.bodies[Body::Calls as usize].is_none()
    }

    /// The frame's first 302 bytes.
    pub fn frame_head(header: &[u8; HEADER], lengths: [u32; 3], synced: u64, trimmed: bool) -> [u8; FRAME] {
        let kept = if trimmed { lengths[0] } else { lengths.iter().sum() };
        let mut head = [0; FRAME];
        head[..4].copy_from_slice(if trimmed { &TRIMMED } else { &WHOLE });
        head[4..8].copy_from_slice(&(FRAME as u32 + kept).to_le_bytes());
        head[8..16].copy_from_slice(&synced.to_le_bytes());
        head[16..16 + HEADER].copy_from_slice(header);
        let check = blake3::hash(&head[..FRAME - 32]);
        head[FRAME - 32..].copy_from_slice(check.as_bytes());
        head
    }

    /// What it records, in order. Of a trimmed block, what its authority body still tells.
    pub fn steps(&self) -> Steps<'a> {
        let [authority, activity, calls] = self.bodies;
        Steps {
            header: self.header,
            records: 0,
            position: 0,
            commits: [0; 2],
            authority: authority.unwrap_or_default(),
            activity: activity.unwrap_or_default(),
            calls,
            done: false,
        }
    }
}

/// One thing on record.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// An input. Its commits follow.
    Input(Entry),
    /// A commit of the input before.
    Commit(Class, CommitRef<'a>),
}

/// One input on record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number in the log.
    pub number: u64,
    /// ns since boot.
    pub time: u64,
    /// The record.
    pub record: Record,
}

/// Iterates over what a block records; checks as it goes that bodies and header agree.
/// After an error it ends.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    header: Header,
    /// Records seen.
    records: u32,
    /// Commits seen of the last of them.
    position: u8,
    commits: [u32; 2],
    authority: &'a [u8],
    activity: &'a [u8],
    calls: Option<&'a [u8]>,
    done: bool,
}

impl<'a> Steps<'a> {
    #[cold]
    fn fail(&mut self, wrong: Wrong) -> Option<Result<Step<'a>, Wrong>> {
        self.done = true;
        Some(Err(wrong))
    }

    fn entry(&self, index: u32, record: Record) -> Entry {
        let time = self.header.base_time.saturating_add(u64::from(record.offset));
        Entry { number: self.header.first_record.saturating_add(u64::from(index)), time, record }
    }

    /// The number of the record before.
    fn last_number(&self) -> u64 {
        self.header.first_record.saturating_add(u64::from(self.records.saturating_sub(1)))
    }

    /// The first authority commit, the record that lies before it, and the bytes of both.
    #[inline]
    fn peek_authority(&self) -> Option<(Record, CommitRef<'a>, usize)> {
        let (record, length) = Record::decode(self.authority)?;
        let (commit, more) = CommitRef::decode(self.authority.get(length..)?)?;
        (class_of(commit.kind) == Some(Class::Authority)).then_some((record, commit, length + more))
    }

    #[inline]
    fn peek_activity(&self) -> Option<(CommitRef<'a>, usize)> {
        let (commit, length) = CommitRef::decode(self.activity)?;
        (class_of(commit.kind) == Some(Class::Activity)).then_some((commit, length))
    }

    /// The next commit of the last record, if it has one more.
    #[inline]
    fn next_commit(&mut self) -> Option<Result<Step<'a>, Wrong>> {
        let mine = |bytes: &[u8], at: usize| {
            let origin = bytes.get(at + 12..at + 16)?.first_chunk::<4>()?;
            let (cause, position) = (u32::from_le_bytes(*origin) & 0xFF_FFFF, origin[3]);
            (cause + 1 == self.records).then_some(position)
        };
        if mine(self.activity, 0) == Some(self.position) {
            let Some((commit, length)) = self.peek_activity() else {
                return self.fail(Wrong::Commit(self.last_number()));
            };
            self.activity = &self.activity[length..];
            self.commits[1] += 1;
            self.position += 1;
            return Some(Ok(Step::Commit(Class::Activity, commit)));
        }
        if self.authority.is_empty() {
            return None;
        }
        let escaped = self.authority.get(2..5) == Some(&[0xFE, 0xFF, 0xFF]);
        if mine(self.authority, if escaped { 32 } else { 16 }) != Some(self.position) {
            return None;
        }
        let Some((_, commit, length)) = self.peek_authority() else {
            return self.fail(Wrong::Commit(self.last_number()));
        };
        self.authority = &self.authority[length..];
        self.commits[0] += 1;
        self.position += 1;
        Some(Ok(Step::Commit(Class::Authority, commit)))
    }

    /// Of a trimmed block: the record of the next authority commit.
    fn next_kept(&mut self) -> Option<Result<Step<'a>, Wrong>> {
        if self.authority.is_empty() {
            let counted = self.commits[0] == self.header.commits[0];
            return if counted { None } else { self.fail(Wrong::Count) };
        }
        let Some((record, commit, length)) = self.peek_authority() else {
            return self.fail(Wrong::Commit(self.last_number()));
        };
        if commit.cause >= self.records && commit.cause < self.header.records {
            self.records = commit.cause + 1;
            return Some(Ok(Step::Input(self.entry(commit.cause, record))));
        }
        if commit.cause + 1 != self.records {
            return self.fail(Wrong::Count);
        }
        self.authority = &self.authority[length..];
        self.commits[0] += 1;
        Some(Ok(Step::Commit(Class::Authority, commit)))
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Result<Step<'a>, Wrong>;

    #[inline]
    fn next(&mut self) -> Option<Result<Step<'a>, Wrong>> {
        if self.done {
            return None;
        }
        let Some(calls) = self.calls else {
            return self.next_kept();
        };
        if self.records > 0
            && let Some(commit) = self.next_commit()
        {
            return Some(commit);
        }
        if calls.is_empty() {
            self.done = true;
            let whole = self.authority.is_empty()
                && self.activity.is_empty()
                && self.records == self.header.records
                && self.commits == self.header.commits;
            return (!whole).then_some(Err(Wrong::Count));
        }
        let Some((record, length)) = Record::decode(calls) else {
            return self.fail(Wrong::Record(self.header.first_record.saturating_add(u64::from(self.records))));
        };
        let entry = self.entry(self.records, record);
        self.calls = Some(&calls[length..]);
        self.records += 1;
        self.position = 0;
        Some(Ok(Step::Input(entry)))
    }
}

/// Where a log ends: what the next block must follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Blocks: the number of the next.
    pub blocks: u64,
    /// Records: the number of the next.
    pub records: u64,
    /// Commits: the number of the next.
    pub commits: u64,
    /// BLAKE3 of the last header; zero if there is none.
    pub previous: Hash,
    /// The number of the last boot; 0 if there was none.
    pub boot: u32,
    /// Whether the last block ends a boot in order.
    pub ended: bool,
}

impl Head {
    /// Where a log ends that has nothing in it yet.
    pub const EMPTY: Head = Head { blocks: 0, records: 0, commits: 0, previous: [0; 32], boot: 0, ended: false };

    /// Where the log must have ended before the block with this header, as the header says.
    pub fn before(header: &Header) -> Head {
        Head {
            blocks: header.number,
            records: header.first_record,
            commits: header.first_commit,
            previous: header.previous,
            boot: header.boot.saturating_sub(u32::from(header.has(header::BOOT))),
            ended: false,
        }
    }

    /// Accepts the next block, whose hashes are checked: it must follow, and be consistent
    /// in itself. Nothing changes if it does not.
    pub fn accept(&mut self, block: &Block<'_>) -> Result<(), Wrong> {
        self.follows(&block.header)?;
        let mut last = None;
        for step in block.steps() {
            if let Step::Input(entry) = step? {
                last = Some(entry.record.op);
            }
        }
        if !block.is_trimmed() && block.header.has(header::END) != (last == Some(Op::End)) {
            return Err(Wrong::Count);
        }
        self.advance(&block.header, block.header_bytes);
        Ok(())
    }

    /// Whether a block with this header follows.
    pub fn follows(&self, header: &Header) -> Result<(), Wrong> {
        if header.number != self.blocks {
            return Err(Wrong::Number);
        }
        if header.previous != self.previous {
            return Err(Wrong::Previous);
        }
        let boot = self.boot.checked_add(u32::from(header.has(header::BOOT)));
        let counts = header.first_record == self.records && header.first_commit == self.commits && header.records > 0;
        if !counts || boot != Some(header.boot) {
            return Err(Wrong::Count);
        }
        Ok(())
    }

    /// Where the log ends after the block with this header, whatever comes before it.
    pub fn after(header: &Header, bytes: &[u8; HEADER]) -> Head {
        let mut head = Head { blocks: header.number, ..Head::EMPTY };
        head.advance(header, bytes);
        head
    }

    /// Steps over a block that follows.
    fn advance(&mut self, header: &Header, bytes: &[u8; HEADER]) {
        self.blocks = self.blocks.saturating_add(1);
        self.records = header.first_record.saturating_add(u64::from(header.records));
        self.commits = header.first_commit.saturating_add(header.commit_count());
        self.previous = *blake3::hash(bytes).as_bytes();
        self.boot = header.boot;
        self.ended = header.has(header::END);
    }
}
