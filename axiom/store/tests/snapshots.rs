//! Snapshots of the state, and verifying from one, or from a checkpoint that was kept: what is believed, what is
//! refused, and that the same comes out as from genesis.

mod model;
#[path = "../../tests/trace/mod.rs"]
mod trace;

use axiom::Axiom;
use log_store::commands::{self, Format};
use log_store::error::Kind;
use log_store::folder::Folder;
use log_store::prove::Prover;
use log_store::snapshots::{list, path};
use log_store::verify::{Start, Verified, verify, verify_from};
use log_store::{Error, Log, Settings, state};
use model::Model;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use trace::{Machine, key};

const WHOLE: Settings = Settings { segment: 16 << 10, keep: u64::MAX };

/// Boots a machine on the log, runs `steps` steps, a group commit every 16, ends in order if `end`.
fn boot(folder: &Model, settings: Settings, every: u64, steps: u64, end: bool) -> Machine {
    let (mut log, opened) = Log::open(folder.clone(), key(), settings).expect("it opens");
    let mut config = Machine::config();
    (config.key, config.previous) = (key().public(), opened.previous);
    (config.snapshots, config.state_every) = (true, every);
    let mut machine = Machine::boot(config, opened.head);
    let append = |axiom: &mut Axiom, log: &mut Log<Model>| {
        while let Some(block) = axiom.take_block() {
            log.append(&block).expect("appended");
        }
    };
    for step in 0..steps {
        machine.step(&(step + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        if step % 16 == 0 {
            append(&mut machine.axiom, &mut log);
            log.publish().expect("published");
        }
    }
    if end {
        machine.axiom.end(0, machine.now);
    } else {
        machine.axiom.cut(machine.now);
    }
    append(&mut machine.axiom, &mut log);
    log.publish().expect("published");
    assert!(log.snapshot_trouble().is_none());
    machine
}

fn from(folder: &Model, start: &Start) -> Result<Verified, Error> {
    verify_from(folder, &key().verifier(), start)
}

/// The folder as a state directory of the host, for the commands.
struct State(PathBuf);

impl State {
    fn of(name: &str, folder: &Model) -> State {
        let root = std::env::temp_dir().join(format!("orbital-snapshots-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        for (path, bytes) in folder.files() {
            let file = root.join("log").join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, bytes).expect("written");
        }
        let file = root.join("machine.key");
        fs::write(&file, format!("{}\n", key().to_secret_text())).expect("written");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
        State(root)
    }
    fn json(&self, run: impl FnOnce(&Path, &mut Vec<u8>) -> Result<(), Error>) -> Value {
        let mut out = Vec::new();
        run(&self.0, &mut out).unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_slice(&out).expect("JSON")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Given a machine that ran for a while, then the two newest of its snapshots are there, each what the headers say; and a
/// replay that begins with the newest comes to what one from genesis comes to, which is what the machine had.
#[test]
fn replay_from_a_snapshot_comes_to_the_same_as_from_genesis() {
    let folder = Model::default();
    boot(&folder, WHOLE, 8, 600, true);
    let machine = boot(&folder, WHOLE, 8, 700, false);
    let there = list(&folder).expect("listed");
    assert_eq!(there.len(), 2, "{there:?}");
    let whole = from(&folder, &Start::Genesis).expect("it is whole");
    assert_eq!((whole.snapshots, whole.bad_snapshots), (there.clone(), vec![]));
    let verified = from(&folder, &Start::Snapshot).expect("it is whole");
    assert_eq!((verified.resumed, verified.from, verified.head), (Some(there[1]), there[1] + 1, whole.head));

    let state = State::of("same", &folder);
    let replay = |start: Start| state.json(|path, out| commands::replay_from(path, &start, Format::Json, out));
    let (genesis, snapshot) = (replay(Start::Genesis), replay(Start::Snapshot));
    let hex = |hash: [u8; 32]| Value::from(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let [authority, activity] = machine.axiom.state_hash().map(hex);
    for replayed in [&genesis, &snapshot] {
        assert_eq!((&replayed["authority"], &replayed["activity"]), (&authority, &activity));
    }
    assert!(snapshot["blocks"].as_u64() < genesis["blocks"].as_u64());
    let found = state.json(|path, out| commands::verify_from(path, None, &Start::Snapshot, Format::Json, out));
    assert_eq!(found["snapshot"], there[1]);
}

/// Given a snapshot that was changed, cut, exchanged for that of another block, or is gone, then the log is no less whole:
/// what is wrong is said, and an earlier one is gone on from, or none.
#[test]
fn a_snapshot_that_is_lost_or_damaged_loses_nothing() {
    let whole = Model::default();
    boot(&whole, WHOLE, 8, 900, true);
    let there = list(&whole).expect("listed");
    let (older, newer) = (path(there[0]), path(there[1]));
    let bytes = whole.read(&newer).expect("it is there");
    let fresh = || {
        let folder = Model::default();
        whole.files().iter().for_each(|(name, bytes)| folder.put(name, bytes));
        folder
    };
    let mut wrongs = vec![bytes[..bytes.len() - 1].to_vec(), Vec::new(), whole.read(&older).expect("it is there")];
    for at in [0, 4, 12, 20, 28, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        wrongs.push(changed);
    }
    let head = from(&whole, &Start::Genesis).expect("it is whole").head;
    for wrong in wrongs {
        let folder = fresh();
        folder.put(&newer, &wrong);
        let all = from(&folder, &Start::Genesis).expect("all else is whole");
        assert_eq!((all.head, &all.snapshots[..]), (head, &there[..1]));
        assert!(all.bad_snapshots.len() == 1 && all.bad_snapshots[0].starts_with(&newer), "{:?}", all.bad_snapshots);
        let resumed = from(&folder, &Start::Snapshot).expect("the earlier one is good");
        assert_eq!((resumed.resumed, resumed.head, &resumed.bad_snapshots), (Some(there[0]), head, &all.bad_snapshots));
        // The machine starts from it as ever.
        Log::open(folder, key(), WHOLE).expect("it opens");
    }
    let mut folder = fresh();
    folder.put(&newer, &bytes[1..]);
    let state = State::of("damaged", &folder);
    let mut out = Vec::new();
    let error = commands::verify(&state.0, None, Format::Text, &mut out).expect_err("it is said");
    assert!(error.cause.contains(&newer) && error.next.contains("remove the file"), "{error}");
    let mut out = Vec::new();
    commands::verify_from(&state.0, None, &Start::Snapshot, Format::Text, &mut out).expect("gone on from the other");
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("Nothing is lost by it: gone on from an earlier one."), "{text}");

    folder.remove(&older).expect("removed");
    folder.remove(&newer).expect("removed");
    assert!(from(&folder, &Start::Genesis).expect("it is whole").snapshots.is_empty());
    assert_eq!(from(&folder, &Start::Snapshot).expect_err("there is none").kind, Kind::Absent);
}

/// Given snapshots of blocks that have no state hash, or that there are not, or files of other names among them, then
/// they are named.
#[test]
fn what_is_no_snapshot_is_named() {
    let folder = Model::default();
    boot(&folder, WHOLE, 8, 300, true);
    let newest = *list(&folder).expect("listed").last().expect("one");
    let bytes = folder.read(&path(newest)).expect("it is there");
    for (number, wrong) in [(newest - 1, "another block"), (newest + 900, "no such block")] {
        folder.put(&path(number), &bytes);
        let verified = from(&folder, &Start::Genesis).expect("all else is whole");
        assert!(verified.bad_snapshots[0].contains(wrong), "{:?}", verified.bad_snapshots);
        let mut folder = folder.clone();
        folder.remove(&path(number)).expect("removed");
    }
    let mut moved = bytes.clone();
    moved[4..12].copy_from_slice(&(newest - 1).to_le_bytes());
    folder.put(&path(newest - 1), &moved);
    assert!(from(&folder, &Start::Genesis).expect("whole").bad_snapshots[0].contains("no state hash"));
    folder.put("snapshots/7", &bytes);
    let error = verify(&folder, &key().verifier()).expect_err("it is named");
    assert!(error.cause.contains('7'), "{error}");
}

/// Given a log of one long boot whose beginning was trimmed, when it is replayed, then the first snapshot behind that has
/// activity again: the end is what the machine had, and a state after a record is the same as in the whole log.
#[test]
fn what_was_trimmed_is_gone_on_from_at_the_next_snapshot() {
    let trimming = Settings { segment: 16 << 10, keep: 512 << 10 };
    let (whole, trimmed) = (Model::default(), Model::default());
    let machine = boot(&whole, WHOLE, 64, 12_000, false);
    boot(&trimmed, trimming, 64, 12_000, false);
    let verified = from(&trimmed, &Start::Genesis).expect("it is whole");
    let first = *verified.snapshots.first().expect("a snapshot");
    assert!(verified.trimmed > 0 && first + 1 >= verified.trimmed, "{verified:?}");
    let (whole, trimmed) = (State::of("whole", &whole), State::of("trimmed", &trimmed));
    let replayed = trimmed.json(|path, out| commands::replay(path, Format::Json, out));
    let activity: String = machine.axiom.state_hash()[1].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(replayed["activity"], activity);

    let to = verified.head.records - 5;
    let options = state::Options { to, ..state::Options::default() };
    let shown = |state: &State| {
        let mut shown = state.json(|path, out| state::show(path, &options, Format::Json, out));
        // What the records of the boot's beginning said is gone with them.
        let processes = shown["processes"].as_array_mut().expect("processes");
        for thread in processes.iter_mut().flat_map(|process| process["threads"].as_array_mut().expect("threads")) {
            thread["since"] = Value::Null;
        }
        for told in ["processes", "endpoints"] {
            let text = shown[told].to_string();
            assert!(text.len() > 100, "{text}");
        }
        (
            shown["state"].clone(),
            shown["ns"].clone(),
            shown["quotas"].clone(),
            shown["processes"][0]["capabilities"].clone(),
        )
    };
    let (a, b) = (shown(&whole), shown(&trimmed));
    assert_eq!(a, b);
    assert!(a.0["activity"].is_string());
    // Before the snapshot there is nothing to begin with.
    let options = state::Options { to: 40, ..state::Options::default() };
    let error = state::show(&trimmed.0, &options, Format::Json, &mut Vec::new()).expect_err("it was trimmed");
    assert_eq!(error.kind, Kind::Absent);
}

/// Given a machine without snapshots or another boot, when more than is to be kept is there, then it is trimmed all the
/// same at twice of that; with snapshots, nothing that lies behind the older of them.
#[test]
fn what_a_replay_needs_is_trimmed_last() {
    let trimming = Settings { segment: 16 << 10, keep: 512 << 10 };
    let folder = Model::default();
    boot(&folder, trimming, u64::MAX, 12_000, false);
    let verified = from(&folder, &Start::Genesis).expect("it is whole");
    let kept: u64 =
        folder.files().iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(verified.trimmed > 0 && verified.snapshots.is_empty());
    assert!(kept > 2 * trimming.keep && kept <= 2 * trimming.keep + (512 << 10), "{kept}");
}

/// Given a checkpoint that someone kept, when the log has gone on, then it is checked from there; a log that is another, one
/// whose past was changed, and one that is older, are told from it.
#[test]
fn a_kept_checkpoint_is_what_the_log_must_go_on_from() {
    let folder = Model::default();
    let mut early = None;
    for steps in [0, 300] {
        early = early.or_else(|| folder.read("checkpoint").ok());
        boot(&folder, WHOLE, 8, steps, true);
    }
    let kept = folder.read("checkpoint").expect("it is there");
    let older = folder.files();
    let size = from(&folder, &Start::Genesis).expect("whole").checkpoint.size;
    boot(&folder, WHOLE, 8, 8_000, true);
    let whole = from(&folder, &Start::Genesis).expect("whole");
    let start = Start::Checkpoint(kept.clone());
    let verified = from(&folder, &start).expect("it goes on from it");
    assert_eq!((verified.from, verified.head, verified.checkpoint), (size, whole.head, whole.checkpoint));
    assert!(whole.head.blocks > 600, "more than two tiles");
    // From its own checkpoint there is nothing to read.
    let own = Start::Checkpoint(folder.read("checkpoint").expect("it is there"));
    assert_eq!(from(&folder, &own).expect("it is the same").from, whole.head.blocks);

    // What comes after it is read, every byte.
    let (name, bytes) = folder.files().into_iter().rfind(|(name, _)| name.starts_with("segments")).expect("a segment");
    let mut changed = bytes.clone();
    changed[400] ^= 1;
    folder.put(&name, &changed);
    let error = from(&folder, &start).expect_err("a body was changed");
    assert!(error.cause.contains(&name), "{error}");
    folder.put(&name, &bytes);
    from(&folder, &start).expect("as it was");
    // The tree's files before it are held against the newest root.
    let mut tile = folder.read("tile/0/000").expect("it is there");
    tile[0] ^= 1;
    folder.put("tile/0/000", &tile);
    assert!(from(&folder, &start).expect_err("a hash was changed").cause.contains("tile"));
    tile[0] ^= 1;
    folder.put("tile/0/000", &tile);

    // The way from one that was kept to another, of which there is no newer signature than the log's own.
    let verifier = key().verifier();
    let mut prover = Prover::new(&folder, &verifier, None, &[]).expect("a prover");
    let early = early.expect("it is there");
    let from_size = verifier.check(&early).expect("signed").size;
    assert!(from_size > 0 && from_size < size);
    assert_eq!(prover.consistency(from_size, Some(size)).expect_err("no signature of that size").kind, Kind::Absent);
    prover.keep(kept.clone(), &verifier, &[]).expect("it is of this log");
    let proof = prover.consistency(from_size, Some(size)).expect("proved");
    proof.check(&early, &verifier, &[]).expect("it holds");
    let theirs = Model::default();
    boot(&theirs, WHOLE, 8, 40, true);
    let note = theirs.read("checkpoint").expect("it is there");
    assert!(prover.keep(note, &verifier, &[]).is_err(), "another log's");

    // Last week's copy.
    let copy = Model::default();
    older.iter().for_each(|(name, bytes)| copy.put(name, bytes));
    let newer = Start::Checkpoint(own_note(&own));
    let error = from(&copy, &newer).expect_err("it is older");
    assert!(error.cause.contains("older copy"), "{error}");
    // The same key, another history.
    let other = Model::default();
    for steps in [1, 299, 2_000] {
        boot(&other, WHOLE, 8, steps, true);
    }
    let error = from(&other, &start).expect_err("it is another");
    assert!(error.cause.contains("another"), "{error}");
    let error = from(&copy, &Start::Checkpoint(b"no note".to_vec())).expect_err("it is none");
    assert!(error.cause.contains("kept"), "{error}");
}

fn own_note(start: &Start) -> Vec<u8> {
    match start {
        Start::Checkpoint(note) => note.clone(),
        _ => Vec::new(),
    }
}
