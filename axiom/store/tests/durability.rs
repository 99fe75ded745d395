//! A4 and A6 of design/kernel.md on the log folder: what was durable is there after any crash,
//! and whatever was changed is found.

mod model;
#[path = "../../tests/trace/mod.rs"]
mod trace;

use axiom::Head;
use axiom::event::PreviousEnd;
use log_store::verify::{Verified, verify};
use log_store::{Error, Log, Opened, Settings};
use model::Model;
use proptest::collection::vec;
use proptest::prelude::*;
use trace::{Choice, Machine, key};

/// Small segments, little to keep: short traces rotate and trim.
const SMALL: Settings = Settings { segment: 16 << 10, keep: 1 << 20 };

/// xorshift64*: the same numbers from the same seed.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 7
    }
}

fn open(folder: &Model) -> Result<(Log<Model>, Opened), Error> {
    Log::open(folder.clone(), key(), SMALL)
}

fn boot(opened: &Opened) -> Machine {
    let mut config = Machine::config();
    config.key = key().public();
    config.previous = opened.previous;
    (config.snapshots, config.state_every) = (true, 2);
    Machine::boot(config, opened.head)
}

/// What of a run was promised.
#[derive(Default)]
struct Promised {
    /// Records that were acknowledged as durable.
    records: u64,
    /// Frames as they were when they were durable, by their first record.
    blocks: u64,
    published: u64,
}

/// Runs a trace on a machine with a log, with a group commit every `group` steps, until it ends or the folder dies.
fn run(folder: &Model, trace: &[Choice], group: usize, end: bool, promised: &mut Promised) -> Result<Verified, Error> {
    let (mut log, opened) = open(folder)?;
    let mut machine = boot(&opened);
    for (index, choice) in trace.iter().enumerate() {
        machine.step(choice);
        if index % group == 0 {
            for block in machine.blocks() {
                log.append(&block)?;
            }
            log.sync()?;
            promised.records = log.durable().records;
            promised.blocks = log.durable().blocks;
        }
        if index % (group * 4) == 1 {
            log.publish()?;
            promised.published = log.published();
        }
    }
    if end {
        machine.axiom.end(0, machine.now);
        while let Some(block) = machine.axiom.take_block() {
            log.append(&block)?;
        }
        log.publish()?;
        promised.records = log.durable().records;
        promised.blocks = log.durable().blocks;
    }
    verify(folder, &key().verifier())
}

fn traces(steps: usize) -> impl Strategy<Value = Vec<Choice>> {
    vec(any::<Choice>(), 20..steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A6: whatever operation on files the machine dies at, all that was acknowledged is there afterwards, the log goes
    /// on, and the whole of it verifies.
    #[test]
    fn a6_what_was_acknowledged_is_there_after_a_crash(trace in traces(120), at in any::<u64>(), seed in any::<u64>(), group in 1usize..9) {
        let whole = Model::default();
        run(&whole, &trace, group, false, &mut Promised::default()).expect("without a crash all goes well");
        let mut folder = Model::default();
        let mut random = random(seed);
        // Three boots, each of which dies somewhere.
        for _ in 0..3 {
            folder.die_after(at.wrapping_mul(random() | 1) % whole.operations());
            let mut promised = Promised::default();
            let died = run(&folder, &trace, group, false, &mut promised);
            folder = folder.after_crash(&mut random);
            let (log, opened) = open(&folder).map_err(|error| TestCaseError::fail(format!("{error} (died: {:?})", died.map(|_| ()))))?;
            prop_assert!(opened.head.records >= promised.records, "{} records were durable, {} are there", promised.records, opened.head.records);
            prop_assert!(opened.head.blocks >= promised.blocks);
            prop_assert!(log.published() >= promised.published);
            prop_assert_eq!(opened.previous == PreviousEnd::First, opened.head == Head::EMPTY);
            if opened.head != Head::EMPTY {
                let verified = verify(&folder, &key().verifier()).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(verified.head, opened.head);
                prop_assert_eq!(verified.torn, None);
                prop_assert!(verified.bad_snapshots.is_empty(), "{:?}", verified.bad_snapshots);
            }
        }
        run(&folder, &trace, group, true, &mut Promised::default()).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }

    /// A4: one bit changed in any file is found, and the file is named.
    #[test]
    fn a4_one_bit_changed_in_any_file_is_found_and_where(trace in traces(200), seed in any::<u64>()) {
        let folder = Model::default();
        run(&folder, &trace, 3, true, &mut Promised::default()).expect("all goes well");
        let mut random = random(seed);
        let files = folder.files();
        for _ in 0..64 {
            let (name, bytes) = &files[random() as usize % files.len()];
            // As many in the parts that have something as in the zeros behind.
            let used = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
            let range = if random() & 3 == 0 { bytes.len() } else { used.max(1) };
            let at = random() as usize % range;
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (random() % 8);
            folder.put(name, &changed);
            match verify(&folder, &key().verifier()) {
                Ok(Verified { torn: None, bad_snapshots, .. }) if !bad_snapshots.is_empty() => {
                    prop_assert!(bad_snapshots[0].contains(name.as_str()), "{}: {:?}", name, bad_snapshots);
                }
                Ok(Verified { torn: None, .. }) => prop_assert!(false, "byte {} of {} was changed unseen", at, name),
                Ok(Verified { torn: Some(torn), .. }) => prop_assert!(torn.contains(name.as_str()), "{}: {}", name, torn),
                Err(error) => {
                    // A header in a segment and its copy in a bundle contradict each other: either may be named first.
                    let named = error.cause.contains(name.as_str()) || name.starts_with("segments/");
                    prop_assert!(named, "{}: {}", name, error);
                }
            }
            folder.put(name, bytes);
        }
        prop_assert!(verify(&folder, &key().verifier()).is_ok());
    }

    /// What the machine would start on again is checked too: a bit changed in what the checkpoint covers and recovery reads
    /// refuses, or is not part of what the next boot builds on.
    #[test]
    fn damage_never_passes_for_a_torn_tail(trace in traces(120), seed in any::<u64>()) {
        let folder = Model::default();
        run(&folder, &trace, 3, true, &mut Promised::default()).expect("all goes well");
        let (_, before) = open(&folder).expect("it opens");
        let files = folder.files();
        let mut random = random(seed);
        for _ in 0..16 {
            let (name, bytes) = &files[random() as usize % files.len()];
            let used = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
            let mut changed = bytes.clone();
            changed[random() as usize % used.max(1)] ^= 1 << (random() % 8);
            let damaged = folder.after_crash(&mut random);
            damaged.put(name, &changed);
            if let Ok((_, opened)) = open(&damaged) {
                prop_assert_eq!(opened.head, before.head, "{} was cut", name);
            }
        }
    }
}

fn short_trace() -> Vec<Choice> {
    let mut random = random(5);
    (0..150).map(|_| random().to_le_bytes()).collect()
}

/// Given a log that ended in order, when the machine starts again, then it knows; after a crash it knows that too.
#[test]
fn the_log_tells_a_crash_from_a_shutdown() {
    let folder = Model::default();
    run(&folder, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    assert_eq!(open(&folder).expect("opens").1.previous, PreviousEnd::Orderly { cut: 0 });
    run(&folder, &short_trace(), 4, false, &mut Promised::default()).expect("all goes well");
    assert_eq!(open(&folder).expect("opens").1.previous, PreviousEnd::Crash { cut: 0 });
    let verified = run(&folder, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    assert_eq!((verified.head.boot, verified.crashes), (3, 1));
}

/// Given bytes behind the end of a boot that ended in order, when the machine starts, then they are cut off, and the
/// boot still ended in order.
#[test]
fn what_lies_behind_an_orderly_end_does_not_make_it_a_crash() {
    let folder = Model::default();
    run(&folder, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    let segments: Vec<_> = folder.files().into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
    let (name, bytes) = segments.last().expect("there is a segment");
    let mut longer = bytes.clone();
    *longer.last_mut().expect("it has zeros behind") = 1;
    folder.put(name, &longer);
    let (_, opened) = open(&folder).expect("opens");
    assert!(matches!(opened.previous, PreviousEnd::Orderly { cut } if cut > 0), "{:?}", opened.previous);
    assert!(opened.cut.expect("it is said").contains(name));
    assert_eq!(open(&folder).expect("opens").1.previous, PreviousEnd::Orderly { cut: 0 });
}

/// Given a log with tiles that are full, when a bit in one of them is changed, then it is named.
#[test]
fn a4_one_bit_changed_in_a_full_tile_is_found() {
    let folder = Model::default();
    let (mut log, opened) = open(&folder).expect("opens");
    let mut machine = boot(&opened);
    let mut random = random(9);
    while log.head().blocks < 2 * 256 + 10 {
        machine.step(&random().to_le_bytes());
        machine.blocks().iter().for_each(|block| log.append(block).expect("it is written"));
    }
    log.publish().expect("it is published");
    let full: Vec<_> =
        folder.files().into_iter().filter(|(name, _)| name.starts_with("tile/") && !name.contains(".p/")).collect();
    assert!(full.len() >= 4, "hashes and entries, twice each");
    for (name, bytes) in full {
        let mut changed = bytes.clone();
        let at = random() as usize % changed.len();
        changed[at] ^= 1 << (random() % 8);
        folder.put(&name, &changed);
        let refused = verify(&folder, &key().verifier()).expect_err("it is changed");
        assert!(refused.cause.contains(&name), "byte {at} of {name}: {refused}");
        folder.put(&name, &bytes);
    }
    assert!(verify(&folder, &key().verifier()).is_ok());
}

/// Given blocks that were durable and that no checkpoint covers yet, when a bit in one of them is changed and a later block
/// says that it was durable, then it is damage: the log is refused, and nothing of it cut off.
#[test]
fn damage_to_what_was_durable_is_refused_though_no_checkpoint_covers_it() {
    let folder = Model::default();
    let (mut log, opened) = open(&folder).expect("opens");
    let mut machine = boot(&opened);
    let trace = short_trace();
    let (last, used) = trace
        .iter()
        .find_map(|choice| {
            machine.step(choice);
            machine.blocks().iter().for_each(|block| log.append(block).expect("it is written"));
            log.sync().expect("it is synced");
            let last = folder.files().into_iter().rfind(|(name, _)| name.ends_with(".seg"))?;
            let used = last.1.iter().rposition(|&byte| byte != 0)?;
            (log.head().blocks > 20 && used > 8 << 10).then_some((last, used))
        })
        .expect("it fills half a segment");
    let head = *log.head();
    assert!(log.published() < head.blocks - 10);
    // Not in the last two blocks, of which nobody behind says that they were durable.
    for place in [used / 4, used / 2, used * 3 / 4] {
        let mut changed = last.1.clone();
        changed[place] ^= 1;
        folder.put(&last.0, &changed);
        let refused = open(&folder).err().unwrap_or_else(|| panic!("byte {place} of {} was cut off", last.0));
        assert!(refused.cause.contains(&last.0), "{refused}");
        assert!(
            folder.files().iter().any(|(name, bytes)| *name == last.0 && *bytes == changed),
            "it is left as it was"
        );
    }
    folder.put(&last.0, &last.1);
    assert_eq!(open(&folder).expect("opens").1.head, head);
}

/// Given a torn tail, when the machine starts, then it is cut off and that is said; when not started, verify says it.
#[test]
fn a_torn_tail_is_cut_and_reported() {
    let folder = Model::default();
    run(&folder, &short_trace(), 4, false, &mut Promised::default()).expect("all goes well");
    let (log, opened) = open(&folder).expect("opens");
    drop(log);
    let segments: Vec<_> = folder.files().into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
    let (name, bytes) = segments.last().expect("there is a segment");
    let used = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let mut torn = bytes.clone();
    torn[used.next_multiple_of(16) + 16..][..100].fill(7);
    folder.put(name, &torn);
    let found = verify(&folder, &key().verifier()).expect("what comes before is whole").torn.expect("it is seen");
    assert!(found.contains(name) && found.contains(&format!("block {}", opened.head.blocks)), "{found}");
    let (_, again) = open(&folder).expect("opens");
    assert_eq!(again.head, opened.head);
    assert!(again.cut.expect("it is said").contains(name));
    assert_eq!(verify(&folder, &key().verifier()).expect("whole").torn, None);
}

/// Given more than is to be kept, when the log goes on, then activity and calls of the oldest segments go, authority and
/// headers stay, and the log verifies and replays.
#[test]
fn retention_keeps_authority() {
    let folder = Model::default();
    let settings = Settings { segment: 8 << 10, keep: 300 << 10 };
    let mut authority = Vec::new();
    for boot_number in 0..3 {
        let (mut log, opened) = Log::open(folder.clone(), key(), settings).expect("opens");
        let mut machine = boot(&opened);
        let mut random = random(boot_number);
        for _ in 0..600 {
            machine.step(&random().to_le_bytes());
            for block in machine.blocks() {
                log.append(&block).expect("is written");
            }
            log.sync().expect("is synced");
        }
        log.publish().expect("is published");
        authority = machine.axiom.state_hash()[0].to_vec();
    }
    let files = folder.files();
    let kept = files.iter().filter(|(name, _)| name.ends_with(".kept")).count();
    let whole: usize = files.iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, bytes)| bytes.len()).sum();
    assert!(kept > 3, "{kept} segments were trimmed");
    assert!(whole as u64 <= settings.keep + (2 << 18), "{whole} bytes are whole");
    let verified = verify(&folder, &key().verifier()).expect("it verifies");
    assert!(verified.trimmed > 0);
    let mut replay = axiom::replay::Replay::new(trace::PLATFORM);
    log_store::segments::walk(&folder, 0, |block| {
        replay.block(block).expect("it replays");
        Ok(log_store::segments::Go::On)
    })
    .expect("it can be walked");
    assert_eq!(axiom::state_hash(replay.kernel())[0].to_vec(), authority);
}

/// Given a bit that changed in a closed segment, in what trimming takes away, when it is the segment's turn to be trimmed,
/// then the machine stops and names the block, and the segment is left as it is: authority of the blocks behind is in it.
#[test]
fn a_damaged_segment_is_not_trimmed() {
    use log_store::folder::Folder;
    let mut folder = Model::default();
    let settings = Settings { segment: 8 << 10, keep: 300 << 10 };
    let (mut log, opened) = Log::open(folder.clone(), key(), settings).expect("opens");
    let mut machine = boot(&opened);
    let mut random = random(7);
    let mut step = |log: &mut Log<Model>| {
        machine.step(&random().to_le_bytes());
        machine.blocks().iter().for_each(|block| log.append(block).expect("is written"));
        log.sync()
    };
    let whole =
        |folder: &Model| -> Vec<_> { folder.files().into_iter().filter(|(name, _)| name.ends_with(".seg")).collect() };
    while whole(&folder).len() < 2 {
        step(&mut log).expect("is synced");
    }
    let (name, bytes) = whole(&folder).swap_remove(0);
    let mut ends = Vec::new();
    while let axiom::scan::Next::Block(block, length) = axiom::scan::next(&bytes, ends.last().map_or(0, |&(_, at)| at))
    {
        ends.push((block.header.number, ends.last().map_or(0, |&(_, at)| at) + length));
    }
    // The last byte of the calls body. Its mark stays as it was.
    let (number, end) = ends[ends.len() / 2];
    folder.write(&name, end as u64 - 1, &[bytes[end - 1] ^ 1]).expect("it is there");
    let damaged = folder.read(&name).expect("it is there");
    let refused = (0..2000).find_map(|_| step(&mut log).and_then(|()| log.publish()).err());
    let refused = refused.expect("it was trimmed, or never came to its turn");
    assert!(refused.cause.contains(&format!("{name}: block {number}, at byte ")), "{refused}");
    assert!(folder.files().iter().any(|(there, bytes)| *there == name && *bytes == damaged), "{name} is whole");
    assert!(!folder.files().iter().any(|(name, _)| name.ends_with(".kept")));
}

/// Given a checkpoint that is gone, or another machine's, when the machine starts, then it refuses.
#[test]
fn a_log_without_its_checkpoint_is_refused() {
    let folder = Model::default();
    run(&folder, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    let other = axiom::note::MachineKey::from_seed(&[1; 32]);
    let (this, that) = (key().name().to_owned(), other.name().to_owned());
    let refused = Log::open(folder.clone(), other.clone(), SMALL).map(|_| ()).expect_err("another key");
    assert!(refused.cause.contains(&this) && refused.cause.contains(&that), "{refused}");
    let refused = verify(&folder, &other.verifier()).expect_err("another key");
    assert!(refused.cause.contains(&this) && refused.cause.contains(&that), "{refused}");
    // A bit that changed in who signed it does not make it another's.
    let (name, bytes) = folder.files().into_iter().find(|(name, _)| name == "checkpoint").expect("it is there");
    let mut damaged = bytes.clone();
    damaged[5] ^= 1;
    folder.put(&name, &damaged);
    let refused = verify(&folder, &key().verifier()).expect_err("damage");
    assert!(!refused.cause.contains("another's"), "{refused}");
    folder.put(&name, &bytes);
    use log_store::folder::Folder;
    let mut changed = folder.clone();
    changed.remove("checkpoint").expect("it is there");
    assert!(open(&folder).is_err());
}

/// A folder in which a machine that runs trims the first whole segment whenever someone has listed the segments.
struct Trimming(Model);

impl Trimming {
    fn trim(&self) {
        use log_store::folder::Folder;
        let files = self.0.files();
        let Some((name, bytes)) = files.iter().filter(|(name, _)| name.ends_with(".seg")).nth(0) else { return };
        if files.iter().filter(|(name, _)| name.ends_with(".seg")).count() < 2 {
            return;
        }
        let (mut kept, mut at) = (Vec::new(), 0);
        while let axiom::scan::Next::Block(block, length) = axiom::scan::next(bytes, at) {
            kept.extend_from_slice(&axiom::Block::frame_head(
                block.header_bytes,
                block.header.lengths,
                block.synced,
                true,
            ));
            kept.extend_from_slice(block.bodies[0].expect("authority"));
            at += length;
        }
        self.0.put(&name.replace(".seg", ".kept"), &kept);
        self.0.clone().remove(name).expect("it is there");
    }
}

impl log_store::folder::Folder for Trimming {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.0.read(path)
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<log_store::folder::Item>> {
        let items = self.0.list(path);
        if path == "segments" {
            self.trim();
        }
        items
    }
    fn create(&mut self, path: &str) -> std::io::Result<()> {
        self.0.create(path)
    }
    fn write(&mut self, path: &str, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write(path, at, bytes)
    }
    fn set_length(&mut self, path: &str, length: u64) -> std::io::Result<()> {
        self.0.set_length(path, length)
    }
    fn sync(&mut self, path: &str) -> std::io::Result<()> {
        self.0.sync(path)
    }
    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&mut self, path: &str) -> std::io::Result<()> {
        self.0.remove(path)
    }
    fn sync_folder(&mut self, path: &str) -> std::io::Result<()> {
        self.0.sync_folder(path)
    }
    fn linked(&self, path: &str) -> std::io::Result<u64> {
        self.0.linked(path)
    }
    fn mark(&self, path: &str) -> std::io::Result<log_store::folder::Mark> {
        self.0.mark(path)
    }
}

/// Given a machine that trims a segment between the listing and the reading, when its log is verified and walked, then that is
/// no damage: what is left is checked and told.
#[test]
fn trimming_beside_a_reader_is_no_damage() {
    let folder = Model::default();
    let settings = Settings { segment: 8 << 10, keep: 1 << 30 };
    let (mut log, opened) = Log::open(folder.clone(), key(), settings).expect("opens");
    let mut machine = boot(&opened);
    let mut random = random(3);
    for _ in 0..900 {
        machine.step(&random().to_le_bytes());
        machine.blocks().iter().for_each(|block| log.append(block).expect("is written"));
        log.sync().expect("is synced");
    }
    log.publish().expect("is published");
    let trimming = Trimming(folder);
    for trimmed in 1..3 {
        let verified = verify(&trimming, &key().verifier()).expect("it is whole");
        assert!(verified.trimmed > 0, "{trimmed}");
        let mut blocks = 0;
        log_store::segments::walk(&trimming, 0, |_| {
            blocks += 1;
            Ok(log_store::segments::Go::On)
        })
        .expect("it can be walked");
        assert_eq!(blocks, verified.head.blocks);
    }
}
