//! The log's readers: a folder and an image, written as they should be and then changed; and the records of a block
//! whose hash is right, which only the owner of the machine's key could have made.

use crate::edits::{Input, edit};
use crate::model;
use crate::trace::{self, Machine};
use axiom::block::{Block, Step};
use axiom::header::Header;
use axiom::note::{MachineKey, VerifierKey};
use axiom::{Head, RawBlock};
use log_image::{BlockDevice, DeviceError, ImageLog, layout};
use log_store::folder::Folder;
use log_store::{Log, Settings};
use model::Model;
use std::sync::LazyLock;

/// A short run's blocks, and the key that signs them.
fn blocks() -> (Vec<RawBlock>, MachineKey) {
    let key = trace::key();
    let mut config = Machine::config();
    config.key = key.public();
    let mut machine = Machine::boot(config, Head::EMPTY);
    let mut state = 7u64;
    for _ in 0..150 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        machine.step(&(state >> 8).to_le_bytes());
    }
    (machine.blocks(), key)
}

fn files(folder: &Model, path: &str, all: &mut Files) {
    for item in folder.list(path).expect("a folder in memory") {
        let path = if path.is_empty() { item.name } else { format!("{path}/{}", item.name) };
        match item.length {
            Some(_) => all.push((path.clone(), folder.read(&path).expect("a file in memory"))),
            None => files(folder, &path, all),
        }
    }
}

/// Paths and contents.
type Files = Vec<(String, Vec<u8>)>;

static FOLDER: LazyLock<(Files, Head)> = LazyLock::new(|| {
    let (blocks, key) = blocks();
    let settings = Settings { segment: 4 << 10, keep: 8 << 10 };
    let (mut log, _) = Log::open(Model::default(), key, settings).expect("a new log");
    for (number, block) in blocks.iter().enumerate() {
        log.append(block).expect("it is written");
        if number % 2 == 0 {
            log.sync().expect("it is synced");
        }
    }
    log.publish().expect("it is published");
    let head = *log.head();
    let mut all = Vec::new();
    files(&log.into_folder(), "", &mut all);
    (all, head)
});

/// Changes to the files of a folder: contents, names, what is there at all. What is still accepted tells the same.
pub fn log(data: &[u8]) {
    let (mut files, head) = FOLDER.clone();
    let key = trace::key();
    let mut input = Input(data);
    while !input.is_empty() {
        let (kind, which) = (input.byte(), usize::from(input.byte()) % files.len().max(1));
        match (kind % 16, files.get_mut(which)) {
            (0, Some(_)) => drop(files.remove(which)),
            (1, Some((name, _))) => *name = String::from_utf8_lossy(input.bytes(12)).replace('\\', "/"),
            (2, Some((_, content))) => {
                let content = content.clone();
                let to = usize::from(input.byte()) % files.len();
                files[to].1 = content;
            }
            (_, Some((_, content))) => edit(&mut input, content),
            (_, None) => break,
        }
    }
    let mut folder = Model::default();
    for (name, content) in &files {
        folder.create(name).expect("a folder in memory");
        folder.write(name, 0, content).expect("a file in memory");
    }
    if let Ok(verified) = log_store::verify::verify(&folder, &key.verifier()) {
        assert!(verified.head == head, "a changed log is accepted, and tells something else");
    }
    drop(Log::open(folder, key, Settings::default()));
    for (_, content) in &files {
        if let Ok(text) = core::str::from_utf8(content) {
            drop(key_texts(text));
        }
    }
}

fn key_texts(text: &str) -> (Option<VerifierKey>, Option<MachineKey>) {
    (VerifierKey::from_text(text), MachineKey::from_secret_text(text))
}

/// The bodies of a block and the numbers in its header, all hostile, with hashes that are right.
pub fn records(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let counts = [input.byte(), input.byte(), input.byte()].map(u32::from);
    let lengths = [usize::from(input.short()) % 600, usize::from(input.short()) % 600];
    let [authority, activity] = lengths.map(|length| input.bytes(length));
    let calls = input.0;
    let bodies = [authority, activity, calls];
    let header = Header {
        flags: flags & 7,
        boot: 1,
        records: counts[0],
        number: u64::from(flags >> 4),
        first_record: 0,
        first_commit: 0,
        base_time: u64::from(flags) << 56,
        commits: [counts[1], counts[2]],
        lengths: bodies.map(|body| body.len() as u32),
        previous: [0; 32],
        bodies: bodies.map(|body| *blake3::hash(body).as_bytes()),
        state: [[0; 32]; 2],
    };
    for trimmed in [false, true] {
        let mut frame = Block::frame_head(&header.encode(), header.lengths, 0, trimmed).to_vec();
        frame.extend_from_slice(authority);
        if !trimmed {
            frame.extend_from_slice(activity);
            frame.extend_from_slice(calls);
        }
        let Ok((block, length)) = Block::parse(&frame) else { continue };
        assert_eq!((length, block.is_trimmed()), (frame.len(), trimmed));
        let (mut commits, mut whole) = (0, true);
        for step in block.steps() {
            match step {
                Ok(Step::Commit(_, commit)) => {
                    commits += 1;
                    drop((commit.to_event(), commit.to_kernel()));
                }
                Ok(Step::Input(_)) => {}
                Err(_) => whole = false,
            }
        }
        let counted = if trimmed { u64::from(header.commits[0]) } else { header.commit_count() };
        assert!(
            !whole || commits == counted,
            "a block is accepted whose header counts {counted} commits, not {commits}"
        );
    }
}

/// A device in memory.
struct Memory(Vec<u8>);

impl Memory {
    fn range(&self, first: u64, length: usize) -> Result<std::ops::Range<usize>, DeviceError> {
        let from = usize::try_from(first).ok().and_then(|first| first.checked_mul(log_image::BLOCK));
        let range = from.and_then(|from| Some(from..from.checked_add(length)?)).ok_or(DeviceError::OutOfRange)?;
        if range.end > self.0.len() { Err(DeviceError::OutOfRange) } else { Ok(range) }
    }
}

impl BlockDevice for Memory {
    fn blocks(&self) -> u64 {
        (self.0.len() / log_image::BLOCK) as u64
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        bytes.copy_from_slice(&self.0[self.range(first, bytes.len())?]);
        Ok(())
    }
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let range = self.range(first, bytes.len())?;
        self.0[range].copy_from_slice(bytes);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

static IMAGE: LazyLock<(Vec<u8>, usize, Head)> = LazyLock::new(|| {
    let (blocks, key) = blocks();
    let empty = Memory(vec![0; layout::MIN_BLOCKS as usize * log_image::BLOCK]);
    let (mut log, _) = ImageLog::open(empty, key).expect("a new log");
    for block in &blocks {
        log.append(block).expect("it is written");
    }
    log.publish().expect("it is published");
    let head = *log.head();
    let image = log.into_device().0;
    let used = image.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    (image, used, head)
});

/// Changes to an image where it is used. What is still accepted has no more blocks than were written.
pub fn image(data: &[u8]) {
    let (mut image, used, head) = IMAGE.clone();
    let mut input = Input(data);
    let mut start = image[..used].to_vec();
    while !input.is_empty() {
        edit(&mut input, &mut start);
    }
    start.truncate(image.len());
    image[..used].fill(0);
    image[..start.len()].copy_from_slice(&start);
    let Ok((mut log, _)) = ImageLog::open(Memory(image), trace::key()) else { return };
    assert!(log.head().blocks <= head.blocks, "more blocks than were written");
    let mut records = 0;
    let walked = log.walk(0, &mut |block| {
        records += block.steps().take_while(Result::is_ok).count();
        true
    });
    if walked.is_ok() && log.head().blocks == head.blocks {
        assert!(records > 0 && *log.head() == head, "a changed log is accepted, and tells something else");
    }
}
