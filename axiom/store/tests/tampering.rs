//! A4 of design/kernel.md, beyond single bits: records, commits, blocks, segments, entries of tiles and whole files that
//! are removed, repeated or moved, by one who recomputes every hash that needs no key. Each is refused, with the
//! file and the block or record; what is harmless is said below to be so.

mod model;
#[path = "../../tests/trace/mod.rs"]
mod trace;

use axiom::block::Block;
use axiom::commit::CommitRef;
use axiom::header::Header;
use axiom::note::MachineKey;
use axiom::record::Record;
use axiom::scan::{self, Next};
use axiom::tree::Tree;
use log_store::folder::{DiskFolder, Folder};
use log_store::verify::{Verified, verify};
use log_store::{Error, Log, Settings};
use model::Model;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::{Machine, key};

type Files = BTreeMap<String, Vec<u8>>;

/// xorshift64*: the same numbers from the same seed.
fn random(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 7
    }
}

/// Runs machines on a log until it has so many blocks, each boot ending in order; what was there halfway, and at the end.
fn run(key: &MachineKey, settings: Settings, blocks: u64, seed: u64) -> (Files, Files) {
    let folder = Model::default();
    let files = || folder.files().into_iter().collect();
    let mut random = random(seed | 1);
    let mut run_to = |blocks| {
        let (mut log, opened) = Log::open(folder.clone(), key.clone(), settings).expect("it opens");
        let mut config = Machine::config();
        (config.key, config.previous) = (key.public(), opened.previous);
        let mut machine = Machine::boot(config, opened.head);
        while log.head().blocks < blocks {
            (0..4).for_each(|_| machine.step(&random().to_le_bytes()));
            machine.blocks().iter().for_each(|block| log.append(block).expect("it is written"));
            log.sync().expect("it is synced");
            if random().is_multiple_of(8) {
                log.publish().expect("it is published");
            }
        }
        machine.axiom.end(0, machine.now);
        machine.blocks().iter().for_each(|block| log.append(block).expect("it is written"));
        log.publish().expect("it is published");
    };
    run_to(blocks / 2);
    let halfway = files();
    run_to(blocks);
    (halfway, files())
}

/// A few blocks in several segments.
fn small() -> Files {
    run(&key(), Settings { segment: 3 << 10, keep: 1 << 30 }, 24, 5).1
}

/// Blocks for full tiles of both kinds, in segments of which the older are trimmed; and as it was halfway.
fn large() -> (Files, Files) {
    let (halfway, files) = run(&key(), Settings { segment: 12 << 10, keep: 600 << 10 }, 300, 7);
    let count = |end: &str| files.keys().filter(|name| name.ends_with(end)).count();
    assert!(count(".kept") > 1 && count(".seg") > 2, "{:?}", files.keys());
    assert!(files.contains_key("tile/0/000") && files.contains_key("tile/entries/000"));
    assert!(files.keys().filter(|name| name.contains(".p/")).count() > 2);
    (halfway, files)
}

fn folder(files: &Files) -> Model {
    let folder = Model::default();
    files.iter().for_each(|(name, bytes)| folder.put(name, bytes));
    folder
}

fn check(files: &Files) -> Result<Verified, Error> {
    verify(&folder(files), &key().verifier())
}

/// It is refused; the words.
#[track_caller]
fn refused(files: &Files, what: &str) -> String {
    match check(files) {
        Ok(verified) => panic!("{what}: unseen, {:?}", verified.torn),
        Err(error) => {
            assert!(!error.next.is_empty(), "{what}");
            error.cause
        }
    }
}

/// It is refused, and this file is named.
#[track_caller]
fn refused_at(files: &Files, name: &str, what: &str) {
    let cause = refused(files, what);
    assert!(cause.contains(name), "{what}: {cause}");
}

/// One block, taken apart.
#[derive(Clone)]
struct Frame {
    header: Header,
    synced: u64,
    /// All three, or authority alone.
    bodies: Vec<Vec<u8>>,
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let trimmed = self.bodies.len() == 1;
        let head = Block::frame_head(&self.header.encode(), self.header.lengths, self.synced, trimmed);
        [&head[..], &self.bodies.concat()].concat()
    }

    /// The header says what the bodies are.
    fn hash(&mut self) {
        for (index, body) in self.bodies.iter().enumerate() {
            self.header.lengths[index] = body.len() as u32;
            self.header.bodies[index] = *blake3::hash(body).as_bytes();
        }
    }

    /// Where the commits of a class lie in their body, or the records.
    fn items(&self, body: usize) -> Vec<Range<usize>> {
        let bytes = &self.bodies[body];
        let mut items = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let record = if body == 1 { 0 } else { Record::decode(&bytes[at..]).expect("a record").1 };
            let commit = if body == 2 { 0 } else { CommitRef::decode(&bytes[at + record..]).expect("a commit").1 };
            items.push(at..at + record + commit);
            at += record + commit;
        }
        items
    }
}

type Segments = Vec<(String, Vec<Frame>)>;

fn segments(files: &Files) -> Segments {
    let mut segments = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("segments/")) {
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Next::Block(block, length) = scan::next(bytes, at) {
            let bodies = block.bodies.iter().flatten().map(|body| body.to_vec()).collect();
            frames.push(Frame { header: block.header, synced: block.synced, bodies });
            at += length;
        }
        segments.push((name.clone(), frames));
    }
    segments
}

fn put_back(files: &mut Files, segments: &Segments) {
    for (name, frames) in segments {
        let mut bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        bytes.resize(bytes.len().max(files.get(name).map_or(0, Vec::len)), 0);
        files.insert(name.clone(), bytes);
    }
}

/// Every header follows the one before, whatever there is.
fn chain(segments: &mut Segments) {
    let (mut number, mut record, mut commit, mut previous) = (0, 0, 0, [0; 32]);
    for frame in segments.iter_mut().flat_map(|(_, frames)| frames) {
        let header = &mut frame.header;
        (header.number, header.first_record, header.first_commit, header.previous) = (number, record, commit, previous);
        (number, record, commit) = (number + 1, record + u64::from(header.records), commit + header.commit_count());
        previous = *blake3::hash(&header.encode()).as_bytes();
    }
}

/// The files of the tree, as these headers give them.
fn tiles(files: &mut Files, segments: &Segments) {
    let mut tree = Tree::new();
    segments.iter().flat_map(|(_, frames)| frames).for_each(|frame| tree.push(&frame.header.encode()));
    files.retain(|name, _| !name.starts_with("tile/"));
    for tile in tree.take_full().into_iter().chain(tree.partial()) {
        files.insert(tile.id.path(), tile.bytes);
    }
}

/// How much of what needs no key the attacker makes right again.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Care {
    /// Nothing: bytes were moved, the body's length is what it was.
    None,
    /// The body's length in header and frame.
    Length,
    /// And its hash in the header, and the counts there.
    Hash,
    /// And the headers of all blocks behind.
    Chain,
    /// And the tiles: all but the signature.
    Tiles,
}

const CARES: [Care; 5] = [Care::None, Care::Length, Care::Hash, Care::Chain, Care::Tiles];

#[derive(Clone, Copy, Debug)]
enum Attack {
    Remove,
    Repeat,
    SwapWithNext,
}

const ATTACKS: [Attack; 3] = [Attack::Remove, Attack::Repeat, Attack::SwapWithNext];

/// The pieces of `bytes` with this done to number `index`; by how many there are more.
fn attacked(bytes: &[u8], items: &[Range<usize>], index: usize, attack: Attack) -> Option<(Vec<u8>, i32)> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    match attack {
        Attack::Remove => drop(order.remove(index)),
        Attack::Repeat => order.insert(index, index),
        Attack::SwapWithNext if index + 1 < items.len() => order.swap(index, index + 1),
        Attack::SwapWithNext => return None,
    }
    let changed: Vec<u8> = order.iter().flat_map(|&item| &bytes[items[item].clone()]).copied().collect();
    (changed != bytes).then_some((changed, order.len() as i32 - items.len() as i32))
}

/// The block that an error names, and whether it says which records.
fn named(cause: &str) -> Option<u64> {
    cause.split_once("block ")?.1.split([',', ' ']).next()?.parse().ok()
}

/// Everything that can be done to one item of one body of a block.
fn attack_item(files: &Files, whole: &Segments, (segment, block): (usize, usize), body: usize, index: usize) -> u32 {
    let frame = &whole[segment].1[block];
    let (items, number) = (frame.items(body), frame.header.number);
    let mut attacks = 0;
    for (attack, care) in ATTACKS.into_iter().flat_map(|attack| CARES.map(|care| (attack, care))) {
        let Some((mut bytes, more)) = attacked(&frame.bodies[body], &items, index, attack) else { continue };
        let what = format!("{attack:?} {index} of body {body} of block {number}, {care:?}");
        let mut segments = whole.clone();
        let changed = &mut segments[segment].1[block];
        if care == Care::None {
            bytes.resize(frame.bodies[body].len(), 0);
            if bytes == frame.bodies[body] {
                continue;
            }
        }
        changed.header.lengths[body] = bytes.len() as u32;
        changed.bodies[body] = bytes;
        if care >= Care::Hash {
            changed.hash();
            let count = if body == 2 { &mut changed.header.records } else { &mut changed.header.commits[body] };
            *count = count.saturating_add_signed(more);
        }
        let mut files = files.clone();
        if care >= Care::Chain {
            chain(&mut segments);
        }
        if care >= Care::Tiles {
            tiles(&mut files, &segments);
        }
        put_back(&mut files, &segments);
        let cause = refused(&files, &what);
        let found = named(&cause).unwrap_or_else(|| panic!("{what}: names no block: {cause}"));
        let fits = match care {
            Care::None | Care::Length => found == number,
            // Where the block is consistent in itself, the next does not follow.
            Care::Hash => found == number || found == number + 1,
            // The bundles still have the headers that are signed.
            Care::Chain => found == number,
            // Nothing but the signature is left to tell: somewhere in what it covers.
            Care::Tiles => found >= number,
        };
        assert!(fits, "{what}: {cause}");
        let name = &whole.iter().find(|(_, frames)| frames.iter().any(|f| f.header.number == found)).expect("there").0;
        assert!(cause.contains(name.as_str()) && cause.contains("record"), "{what}: {cause}");
        attacks += 1;
    }
    attacks
}

/// Every record and every commit of a small log, removed, repeated and moved, with all the care that needs no key.
#[test]
fn a_record_or_commit_that_is_removed_repeated_or_moved_is_found_in_its_block() {
    let files = small();
    let whole = segments(&files);
    assert!(check(&files).is_ok() && whole.len() > 2);
    let mut attacks = 0;
    for (segment, (_, frames)) in whole.iter().enumerate() {
        for (block, frame) in frames.iter().enumerate() {
            for body in 0..3 {
                for index in 0..frame.items(body).len() {
                    attacks += attack_item(&files, &whole, (segment, block), body, index);
                }
            }
        }
    }
    assert!(attacks > 2_000, "{attacks}");
}

/// The same here and there in a log with full tiles and trimmed segments.
#[test]
fn a_record_or_commit_of_a_long_or_trimmed_log_too() {
    let (_, files) = large();
    let whole = segments(&files);
    let mut random = random(3);
    let mut attacks = 0;
    for (segment, (_, frames)) in whole.iter().enumerate() {
        for _ in 0..16 {
            let block = random() as usize % frames.len();
            let body = random() as usize % frames[block].bodies.len();
            let items = frames[block].items(body).len();
            if items > 0 {
                attacks += attack_item(&files, &whole, (segment, block), body, random() as usize % items);
            }
        }
    }
    assert!(attacks > 200, "{attacks}");
}

/// Every block of a log, removed, repeated and moved; as it is, and with all the care that needs no key.
#[test]
fn a_block_that_is_removed_repeated_or_moved_is_found() {
    for files in [small(), large().1] {
        let whole = segments(&files);
        let last: u64 = whole.iter().map(|(_, frames)| frames.len() as u64).sum::<u64>() - 1;
        for (segment, (name, frames)) in whole.iter().enumerate() {
            for (block, attack) in (0..frames.len()).flat_map(|block| ATTACKS.map(|attack| (block, attack))) {
                let mut segments = whole.clone();
                let changed = &mut segments[segment].1;
                match attack {
                    Attack::Remove => drop(changed.remove(block)),
                    Attack::Repeat => changed.insert(block, changed[block].clone()),
                    Attack::SwapWithNext if block + 1 < changed.len() => changed.swap(block, block + 1),
                    Attack::SwapWithNext => continue,
                }
                let number = frames[block].header.number;
                let what = format!("{attack:?} block {number} of {name}");
                let mut attacked = files.clone();
                put_back(&mut attacked, &segments);
                let cause = refused(&attacked, &what);
                // Of the last of a segment, it is seen where the next begins, or that what the checkpoint covers is missing.
                let next = whole.get(segment + 1).map_or("segments", |(name, _)| name);
                assert!(
                    cause.contains(name.as_str()) || block + 1 == frames.len() && cause.contains(next),
                    "{what}: {cause}"
                );
                let found = named(&cause).unwrap_or_else(|| panic!("{what}: {cause}"));
                assert!((number..=number + 1).contains(&found), "{what}: {cause}");

                chain(&mut segments);
                let mut renamed = files.clone();
                renamed.retain(|name, _| !name.starts_with("segments/"));
                for (name, frames) in &mut segments {
                    let Some(first) = frames.first() else { continue };
                    *name =
                        format!("segments/{:020}.{}", first.header.number, name.rsplit('.').next().expect("an end"));
                }
                segments.retain(|(_, frames)| !frames.is_empty());
                put_back(&mut renamed, &segments);
                let cause = refused(&renamed, &format!("{what}, with new numbers"));
                let found = named(&cause).unwrap_or_else(|| panic!("{what}, with new numbers: {cause}"));
                assert!(cause.contains("segments") && found >= number.min(last), "{what}: {cause}");
                tiles(&mut renamed, &segments);
                refused(&renamed, &format!("{what}, with new tiles"));
            }
        }
    }
}

/// Every entry of every tile and bundle, removed, repeated and moved, in place and with the file's length changed.
#[test]
fn an_entry_of_a_tile_that_is_removed_repeated_or_moved_is_found_in_its_file() {
    for files in [small(), large().1] {
        for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("tile/")) {
            let item = if name.contains("entries") { 256 } else { 32 };
            let items: Vec<_> = (0..bytes.len() / item).map(|index| index * item..(index + 1) * item).collect();
            for (index, attack) in (0..items.len()).flat_map(|index| ATTACKS.map(|attack| (index, attack))) {
                let Some((mut changed, _)) = attacked(bytes, &items, index, attack) else { continue };
                let mut files = files.clone();
                files.insert(name.clone(), changed.clone());
                refused_at(&files, name, &format!("{attack:?} entry {index} of {name}"));
                changed.resize(bytes.len(), 0);
                if changed != *bytes {
                    files.insert(name.clone(), changed);
                    refused_at(&files, name, &format!("{attack:?} entry {index} of {name} in place"));
                }
            }
        }
    }
}

/// Bytes of the frames in a segment; of another file, all.
fn used(name: &str, bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Next::Block(_, length) = scan::next(bytes, at) {
        at += length;
    }
    if name.starts_with("segments/") { at } else { bytes.len() }
}

/// What lies behind the last frame of a segment is zero, however long: there is nothing in it that could be changed.
fn is_harmless(name: &str, before: &[u8], after: &[u8]) -> bool {
    let used = used(name, before);
    name.starts_with("segments/") && after.starts_with(&before[..used]) && after[used..].iter().all(|&byte| byte == 0)
}

/// Every file: removed, emptied, cut, filled up, in the place of another, as it was before, of another log.
#[test]
fn a_file_that_is_not_as_it_was_is_named() {
    let (halfway, files) = large();
    let sound = check(&files).expect("it is whole");
    let (_, other) = run(&MachineKey::from_seed(&[9; 32]), Settings { segment: 12 << 10, keep: 600 << 10 }, 300, 11);
    // The same machine with the same key, and another run.
    let (_, another) = run(&key(), Settings { segment: 12 << 10, keep: 600 << 10 }, 300, 13);
    let last = files.keys().rfind(|name| name.ends_with(".seg")).expect("a segment").clone();
    let mut harmless = 0;
    for (name, bytes) in &files {
        let mut removed = files.clone();
        removed.remove(name);
        let cause = refused(&removed, &format!("{name} is gone"));
        // Of a segment that is gone, the next one says it, or that its first block is missing.
        let first = name.strip_prefix("segments/").map(|name| name[..20].parse::<u64>().expect("a number"));
        let says = |first: u64| cause.contains("segments") && cause.contains(&format!("block {first}"));
        assert!(cause.contains(name.as_str()) || first.is_some_and(says), "{cause}");

        let end = used(name, bytes);
        let mut versions: Vec<(String, Vec<u8>)> = vec![
            ("is empty".into(), Vec::new()),
            ("has lost its last byte".into(), bytes[..bytes.len() - 1].to_vec()),
            ("has lost its end".into(), bytes[..end - 1].to_vec()),
            ("has lost half".into(), bytes[..end / 2].to_vec()),
            ("is zeros".into(), vec![0; bytes.len()]),
            ("is filled up with zeros".into(), [&bytes[..], &[0; 512]].concat()),
            ("is filled up with one line more".into(), [&bytes[..], b"\n"].concat()),
            ("is filled up".into(), [&bytes[..], &[7; 300]].concat()),
            ("is there twice".into(), [&bytes[..end], &bytes[..]].concat()),
        ];
        for (whose, files) in [("as it was before", &halfway), ("of another log", &other), ("of another run", &another)]
        {
            versions.extend(files.get(name).map(|bytes| (format!("is {whose}"), bytes.clone())));
        }
        versions.extend(files.iter().map(|(other, bytes)| (format!("is {other}"), bytes.clone())));
        for (what, version) in versions.into_iter().filter(|(_, version)| version != bytes) {
            let mut changed = files.clone();
            changed.insert(name.clone(), version.clone());
            let what = format!("{name} {what}");
            if is_harmless(name, bytes, &version) {
                assert_eq!(check(&changed).unwrap_or_else(|error| panic!("{what}: {error}")), sound, "{what}");
                harmless += 1;
                continue;
            }
            match check(&changed) {
                // Behind all that was signed: the trace of a crash, as it says.
                Ok(Verified { torn: Some(torn), .. }) => {
                    assert!(*name == last && torn.contains(name.as_str()), "{torn}")
                }
                Ok(_) => panic!("{what}: unseen"),
                // Of a segment that ends too early, the next one says it, or that its block is missing.
                Err(error) => assert!(
                    error.cause.contains(name.as_str()) || first.is_some() && error.cause.contains("segments"),
                    "{what}: {error}"
                ),
            }
        }
        for (other, theirs) in files.iter().filter(|(other, theirs)| *other > name && *theirs != bytes) {
            let mut swapped = files.clone();
            swapped.insert(name.clone(), theirs.clone());
            swapped.insert(other.clone(), bytes.clone());
            let cause = refused(&swapped, &format!("{name} and {other} are exchanged"));
            assert!(cause.contains(name.as_str()) || cause.contains(other.as_str()), "{name}, {other}: {cause}");
        }
    }
    assert!(harmless > 0);
}

/// Files that the log has not, wherever they lie.
#[test]
fn a_file_that_does_not_belong_there_is_named() {
    let (halfway, files) = large();
    let head = check(&files).expect("it is whole").head;
    let begun = format!("segments/{:020}.seg", head.blocks);
    for name in [
        "x",
        "unfinished",
        "checkpoint.1",
        "segments/x",
        "segments/0.seg",
        "segments/00000000000000000000.bak",
        "snapshots/x",
        "snapshots/7",
        "tile/x",
        "tile/0/x",
        "tile/0/000.p/x",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/001.p/255",
        "tile/1/001",
        "tile/9/000",
        "tile/entries/002",
        "tile/entries/000.p/01",
        "tile/0/x000/000",
        begun.as_str(),
        &begun.replace(".seg", ".kept"),
    ] {
        let mut more = files.clone();
        more.insert(name.to_owned(), b"something".to_vec());
        match check(&more) {
            // A segment that was begun, and has nothing whole in it.
            Ok(Verified { torn: Some(torn), .. }) => assert!(name == begun && torn.contains(name), "{name}: {torn}"),
            Ok(_) => panic!("{name}: unseen"),
            Err(error) => assert!(error.cause.contains(name), "{name}: {error}"),
        }
    }
    // Harmless: a segment that was begun, as a crash leaves it; and partial tiles that the log had, as it had them.
    let mut more = files.clone();
    more.insert(begun, vec![0; 512]);
    assert_eq!(check(&more).expect("nothing was changed").torn, None);
    for (name, bytes) in halfway.iter().filter(|(name, _)| name.contains(".p/") && !files.contains_key(*name)) {
        let mut more = files.clone();
        more.insert(name.clone(), bytes.clone());
        assert!(check(&more).is_ok(), "{name} is a part of the tree");
        more.insert(name.clone(), bytes.iter().map(|byte| byte ^ 1).collect());
        refused_at(&more, name, "an old partial tile");
    }
}

/// A segment without activity and calls, as trimming leaves it, where the machine would not have trimmed: records are gone.
#[test]
fn a_segment_that_was_trimmed_out_of_turn_is_refused() {
    let (_, files) = large();
    let whole: Vec<&String> = files.keys().filter(|name| name.ends_with(".seg")).collect();
    let trimmed = |name: &str| {
        let mut segments = segments(&files);
        segments.retain(|(there, _)| there == name);
        segments[0].1.iter_mut().for_each(|frame| frame.bodies.truncate(1));
        let kept = name.replace(".seg", ".kept");
        (kept, segments[0].1.iter().flat_map(Frame::bytes).collect::<Vec<u8>>())
    };
    for (index, name) in whole.iter().enumerate() {
        let (kept, bytes) = trimmed(name);
        for both in [false, true] {
            let mut changed = files.clone();
            changed.insert(kept.clone(), bytes.clone());
            if !both {
                changed.remove(*name);
            }
            // The oldest is the next to be trimmed.
            if index == 0 {
                assert!(check(&changed).is_ok(), "{name}");
                continue;
            }
            refused_at(&changed, &kept, &format!("{kept} beside {name}: {both}"));
            // The machine does not start on it, and removes nothing.
            let folder = folder(&changed);
            let error = Log::open(folder.clone(), key(), Settings::default()).err().expect("it is trimmed out of turn");
            assert!(error.cause.contains(&kept), "{error}");
            assert_eq!(
                folder.list("segments").expect("listed").len(),
                changed.keys().filter(|name| name.starts_with("segments/")).count()
            );
        }
    }
    // Beside the whole one, not what trimming gives.
    let (kept, mut bytes) = trimmed(whole[0]);
    bytes.truncate(bytes.len() / 2);
    let mut changed = files.clone();
    changed.insert(kept.clone(), bytes);
    refused_at(&changed, &kept, "half of it");
}

/// What is done to a file, and in words.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

/// A segment that is there whole and trimmed, both only up to the same block: what lies behind it in the whole one is damaged
/// or gone. The machine does not start on it, names the block and removes nothing.
#[test]
fn a_damaged_segment_beside_what_was_kept_of_it_is_refused() {
    let (_, files) = large();
    let whole = files.keys().find(|name| name.ends_with(".seg")).expect("there is one");
    let mut frames = segments(&files).into_iter().find(|(name, _)| name == whole).expect("there is one").1;
    let at: usize = frames[..frames.len() / 2].iter().map(|frame| frame.bytes().len()).sum();
    let (end, number) = (at + frames[frames.len() / 2].bytes().len(), frames[frames.len() / 2].header.number);
    frames.truncate(frames.len() / 2);
    frames.iter_mut().for_each(|frame| frame.bodies.truncate(1));
    let mut changed = files.clone();
    changed.insert(whole.replace(".seg", ".kept"), frames.iter().flat_map(Frame::bytes).collect());
    let damages: [Damage<'_>; 3] = [
        ("a bit of its calls", &|bytes| bytes[end - 1] ^= 1),
        ("zeros from there on", &|bytes| bytes[at..].fill(0)),
        ("nothing from there on", &|bytes| bytes.truncate(at)),
    ];
    for (what, damage) in damages {
        let mut changed = changed.clone();
        damage(changed.get_mut(whole).expect("it is there"));
        let folder = folder(&changed);
        let error =
            Log::open(folder.clone(), key(), Settings::default()).err().unwrap_or_else(|| panic!("{what}: opened"));
        assert!(error.cause.contains(&format!("{whole}: block {number}, at byte {at}")), "{what}: {error}");
        assert_eq!(folder.files().into_iter().collect::<Files>(), changed, "{what}");
        // `verify` looks at the whole one first.
        assert!(refused(&changed, what).contains(&format!("block {number}")), "{what}");
    }
}

/// An old copy of all files is a sound log, and nothing in it can say that there was more: witnesses can
/// (`host-wasm/tests/command/witness.rs`). An old checkpoint among newer files is not.
#[test]
fn an_old_checkpoint_alone_is_refused() {
    let (halfway, mut files) = large();
    assert!(check(&halfway).is_ok());
    files.insert("checkpoint".into(), halfway["checkpoint"].clone());
    refused_at(&files, "the checkpoint, of ", "an old checkpoint");
}

/// A log folder of the host with a machine that goes on; the folder goes when the test ends.
struct Live {
    state: PathBuf,
    log: Log<DiskFolder>,
    machine: Machine,
    random: Box<dyn FnMut() -> u64>,
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.state));
    }
}

impl Live {
    /// With segments that are trimmed, closed and open, and full tiles.
    fn new() -> Live {
        static FILES: LazyLock<Files> = LazyLock::new(|| large().1);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let state = std::env::temp_dir().join(format!("orbital-tampering-{}-{count}", std::process::id()));
        let settings = Settings { segment: 12 << 10, keep: 600 << 10 };
        for (name, bytes) in FILES.iter() {
            let path = state.join("log").join(name);
            fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(path, bytes)).expect("made");
        }
        let (log, opened) = Log::open(DiskFolder::new(state.join("log")), key(), settings).expect("it opens");
        let mut config = Machine::config();
        (config.key, config.previous) = (key().public(), opened.previous);
        let machine = Machine::boot(config, opened.head);
        let mut live = Live { state, log, machine, random: Box::new(random(7)) };
        live.append();
        live.log.publish().expect("it is published");
        live
    }

    fn append(&mut self) {
        (0..4).for_each(|_| self.machine.step(&(self.random)().to_le_bytes()));
        // What cannot be written is said when it is synced.
        self.machine.blocks().iter().for_each(|block| drop(self.log.append(block)));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.join("log").join(name)
    }

    /// Names of files below `folder` with this in their path, in order.
    fn names(&self, folder: &str, part: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .expect("a folder")
            .map(|entry| format!("{folder}/{}", entry.expect("an entry").file_name().to_string_lossy()))
            .filter(|name| name.contains(part))
            .collect();
        names.sort();
        names
    }
}

/// What someone does to a file, or a folder, while the machine runs.
type Deed = (&'static str, fn(&Path) -> std::io::Result<()>);

fn aside(path: &Path) -> PathBuf {
    // Beside the log's folder: within it, it would be no file of the log.
    path.ancestors().find(|above| above.ends_with("log")).and_then(Path::parent).expect("a state folder").join("aside")
}

fn of_files() -> Vec<Deed> {
    vec![
        ("removed", |path| fs::remove_file(path)),
        ("renamed", |path| fs::rename(path, aside(path))),
        ("emptied", |path| fs::File::options().write(true).open(path)?.set_len(0)),
        ("cut", |path| {
            let length = fs::metadata(path)?.len();
            fs::File::options().write(true).open(path)?.set_len(length - 1)
        }),
        ("made longer", |path| {
            let length = fs::metadata(path)?.len();
            fs::File::options().write(true).open(path)?.set_len(length + 1)
        }),
        ("replaced by a folder", |path| fs::remove_file(path).and_then(|()| fs::create_dir(path))),
        ("made a link to itself elsewhere", |path| {
            fs::rename(path, aside(path)).and_then(|()| std::os::unix::fs::symlink(aside(path), path))
        }),
    ]
}

/// Of files that are not made anew with the next checkpoint, also what leaves names and lengths as they were.
fn of_segments() -> Vec<Deed> {
    let mut deeds = of_files();
    deeds.push(("replaced by a copy", |path| {
        let bytes = fs::read(path)?;
        fs::remove_file(path).and_then(|()| fs::write(path, bytes))
    }));
    deeds
}

/// Does it, goes on, and sees that the log stops: with these words, and nothing is said to be durable that is not there.
fn stops(name: &str, deed: Deed, says: &str) {
    let (what, deed) = deed;
    let mut live = Live::new();
    let durable = *live.log.durable();
    deed(&live.path(name)).expect("it can be done");
    live.append();
    let error = live.log.sync().and_then(|()| live.log.publish()).expect_err(what);
    assert!(error.cause.contains(says), "{name} was {what}: {error}");
    assert!(error.next.contains("omething else changes the log's folder"), "{name} was {what}: {error}");
    live.append();
    let (synced, published) = (live.log.sync(), live.log.publish());
    assert!(synced.is_err() && published.is_err(), "{name} was {what}: it goes on");
    if name.starts_with("segments/")
        && says.contains(".seg")
        && live.names("segments", ".seg").pop().as_deref() == Some(name)
    {
        assert_eq!(*live.log.durable(), durable, "{name} was {what}");
    }
}

/// Whatever is done to a file of the log while a machine writes it: the open segment is missed with the next group commit, the
/// others with the next checkpoint; the file is named, and nothing is written any more.
#[test]
fn what_is_done_to_a_log_that_is_written_stops_it() {
    let live = Live::new();
    let mut whole = live.names("segments", ".seg");
    let (open, kept) = (whole.pop().expect("one is open"), live.names("segments", ".kept"));
    let tiles = ["tile/0/000", "tile/entries/000"].map(str::to_owned);
    let edge = [live.names("tile/0/001.p", ""), live.names("tile/entries/001.p", "")].concat();
    assert!(whole.len() > 1 && kept.len() > 1 && edge.len() == 2);
    drop(live);
    for deed in of_segments() {
        for name in [&open, &whole[0], &whole[1], &kept[0], &kept[1]] {
            stops(name, deed, name);
        }
    }
    for deed in of_files() {
        stops("checkpoint", deed, "checkpoint");
        tiles.iter().chain(&edge).for_each(|name| stops(name, deed, name));
    }
    for (name, says) in [("", &*open), ("segments", &open), ("tile", "tile/"), ("tile/entries", "tile/entries/")] {
        stops(name, ("removed", |path| fs::remove_dir_all(path)), says);
        stops(name, ("renamed", |path| fs::rename(path, aside(path))), says);
    }
}

/// The open segment is removed, and before the next group commit so much comes that another segment is begun: what was in the
/// old one is missed all the same.
#[test]
fn a_segment_that_is_removed_just_before_the_next_is_begun_is_missed() {
    let mut live = Live::new();
    let open = live.names("segments", ".seg").pop().expect("one is open");
    let durable = *live.log.durable();
    live.append();
    fs::remove_file(live.path(&open)).expect("it is there");
    (0..200).for_each(|_| live.append());
    let error = live.log.sync().expect_err("it is gone");
    // The first error was that of an append.
    assert!(error.cause.contains("could not be written before"), "{error}");
    assert_eq!(*live.log.durable(), durable);
    assert_eq!(live.names("segments", ".seg").iter().filter(|name| **name > open).count(), 0, "no other is begun");
}

/// The folder elsewhere, and a link to it in its place, as one may do to gain room: the log is where it is looked for.
#[test]
fn a_log_folder_that_moves_behind_a_link_goes_on() {
    let mut live = Live::new();
    let (folder, to) = (live.path(""), live.state.join("elsewhere"));
    fs::rename(&folder, &to).and_then(|()| std::os::unix::fs::symlink(&to, live.state.join("log"))).expect("it moves");
    live.append();
    live.log.publish().expect("it is written");
    assert_eq!(verify(&DiskFolder::new(to), &key().verifier()).expect("whole").head, *live.log.head());
}

/// A link in the place of the file that is written before it gets its name leads nowhere: what it points at is left alone.
#[test]
fn a_link_in_the_place_of_an_unfinished_file_is_not_followed() {
    let mut live = Live::new();
    let other = live.state.join("precious");
    fs::write(&other, "precious")
        .and_then(|()| std::os::unix::fs::symlink(&other, live.path("unfinished")))
        .expect("made");
    live.append();
    live.log.publish().expect("it is written");
    assert!(fs::read(other).expect("it is there") == b"precious");
}
