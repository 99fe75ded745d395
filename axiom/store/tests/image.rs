//! A log image read as a log folder: the same blocks give the same verdict, the same records and the same files; and
//! whatever is changed in it is found.

#[path = "../../tests/trace/mod.rs"]
mod trace;

use axiom::header::Body;
use axiom::note::{MachineKey, VerifierKey};
use log_image::layout::{Found, Slot};
use log_image::{BLOCK, BlockDevice, DeviceError, ImageLog, recover};
use log_store::commands::{self, Format, Show};
use log_store::error::Kind;
use log_store::folder::{DiskFolder, Folder};
use log_store::image::{Image, unpack};
use log_store::verify::{Start, Verified, verify, verify_from};
use log_store::{Error, Log, Settings};
use proptest::collection::vec;
use proptest::prelude::*;
use signed_note::{Note, StandardVerifier, VerifierList};
use simulated_disk::{Cut, Disk};
use std::fs;
use std::path::{Path, PathBuf};
use tlog_tiles::{Checkpoint, Tile, TileHashReader, TileReader, check_record, prove_record, record_hash};
use trace::{Choice, Machine};

/// The key of the log; `machine.key` is what it comes from.
fn key() -> MachineKey {
    trace::key().of_bare_machine()
}

/// A folder that goes when the test ends.
struct State(PathBuf);

impl State {
    fn new(name: &str) -> State {
        State::with(name, &trace::key())
    }
    fn with(name: &str, key: &MachineKey) -> State {
        let path = std::env::temp_dir().join(format!("orbital-image-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("writable");
        fs::write(path.join("machine.key"), format!("{}\n", key.to_secret_text())).expect("writable");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path.join("machine.key"), fs::Permissions::from_mode(0o600)).expect("changed");
        State(path)
    }
    fn image(&self) -> PathBuf {
        self.0.join("log.img")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A disk in memory, as the device of a log.
struct Device(Disk);

impl BlockDevice for Device {
    fn blocks(&self) -> u64 {
        self.0.sectors()
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let read = self.0.read(first, (bytes.len() / BLOCK) as u64).map_err(|_| DeviceError::Failed)?;
        bytes.copy_from_slice(&read);
        Ok(())
    }
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write(first, bytes).map_err(|_| DeviceError::Failed)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        self.0.flush().map_err(|_| DeviceError::Failed)
    }
}

/// Runs a trace on a machine whose log goes into an image, and into a folder if there is one; ends in order if `end`.
fn run(device: Device, folder: Option<&Path>, trace: &[Choice], group: usize, end: bool) -> Device {
    let (mut log, opened) = ImageLog::open(device, key()).expect("it opens");
    let mut other =
        folder.map(|folder| Log::open(DiskFolder::new(folder), key(), Settings::default()).expect("it opens"));
    let mut config = Machine::config();
    config.key = key().public();
    config.previous = opened.previous;
    config.platform.name = "a test".into();
    let mut machine = Machine::boot(config, opened.head);
    let mut both = |log: &mut ImageLog<Device>, block: &axiom::RawBlock| {
        log.append(block).expect("there is room");
        if let Some((other, _)) = &mut other {
            other.append(block).expect("there is room");
        }
    };
    for (index, choice) in trace.iter().enumerate() {
        machine.step(choice);
        if index % group == 0 {
            machine.blocks().iter().for_each(|block| both(&mut log, block));
            log.sync().expect("it is synced");
        }
        if index % (group * 7) == 1 {
            log.publish().expect("it is published");
        }
    }
    machine.blocks().iter().for_each(|block| both(&mut log, block));
    if end {
        machine.axiom.end(0, machine.now);
        while let Some(block) = machine.axiom.take_block() {
            both(&mut log, &block);
        }
    }
    log.publish().expect("it is published");
    if let Some((other, _)) = &mut other {
        other.publish().expect("it is published");
    }
    log.into_device()
}

fn new(blocks: u64) -> Device {
    Device(Disk::new(blocks))
}

fn write(device: &Device, path: &Path) -> Vec<u8> {
    let bytes = device.0.peek(0, device.0.sectors()).expect("all of it");
    fs::write(path, &bytes).expect("writable");
    bytes
}

fn steps(count: usize) -> Vec<Choice> {
    let mut state = 9u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 8
    };
    (0..count).map(|_| next().to_le_bytes()).collect()
}

fn check(path: &Path) -> Result<Verified, Error> {
    verify(&Image::open(path)?, &key().verifier())
}

fn text<T>(run: impl FnOnce(&mut Vec<u8>) -> Result<T, Error>) -> String {
    let mut out = Vec::new();
    run(&mut out).expect("the command succeeds");
    String::from_utf8(out).expect("text")
}

/// Given the same blocks in an image and in a folder, when both are verified, replayed, shown, proved and exported, then
/// they say the same.
#[test]
fn the_image_says_what_the_folder_says() {
    let state = State::new("same");
    // The same key, so that the blocks are the same.
    let apart = State::with("same-folder", &key());
    let folder = apart.0.join("log");
    let device = run(new(32768), Some(&folder), &steps(9_000), 40, true);
    let device = run(device, Some(&folder), &steps(900), 1, true);
    write(&device, &state.image());
    let image = state.image();
    let of_folder = verify(&DiskFolder::new(&folder), &key().verifier()).expect("it is whole");
    let of_image = check(&image).expect("it is whole");
    assert_eq!((of_image.head.boot, of_image.head.ended, of_image.torn.as_ref()), (2, true, None));
    assert!(of_image.head.blocks > 600, "more than two tiles");
    assert_eq!((of_folder.head.records, of_folder.head.commits), (of_image.head.records, of_image.head.commits));
    for place in [&apart.0, &image] {
        let replayed = text(|out| commands::replay(place, Format::Json, out).map(|()| 0));
        assert_eq!(replayed, text(|out| commands::replay(&apart.0, Format::Json, out).map(|()| 0)));
    }
    let show = Show { from: Some("0".parse().expect("a bound")), ..Show::default() };
    let shown = text(|out| commands::show(&apart.0, &show, Format::Text, out));
    assert!(shown.lines().count() > 5_000);
    assert!(shown == text(|out| commands::show(&image, &show, Format::Text, out)), "the records are the same");
    for block in [0, 300, of_image.head.blocks - 1] {
        let exported = |place: &Path| {
            let mut out = Vec::new();
            commands::export(place, Body::Calls, block, &mut out).expect("it is there");
            out
        };
        assert_eq!(exported(&apart.0), exported(&image));
    }
    // The checkpoints differ in nothing, so that one who has seen one can hold it against the other.
    let source = Image::open(&image).expect("it opens");
    assert_eq!(source.read("checkpoint").expect("there"), fs::read(folder.join("checkpoint")).expect("there"));
    let prover = log_store::prove::Prover::new(&source, &key().verifier(), None, &[]).expect("a prover");
    let proof = prover.inclusion(1_234).expect("a proof");
    proof.check(&key().verifier(), &[]).expect("it holds");
}

/// Tiles as they lie in a folder.
struct Tiles<'a>(&'a Path);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            fs::read(self.0.join(path)).map_err(|error| tlog_tiles::Error::InvalidInput(error.to_string()))
        };
        tiles.iter().map(read).collect()
    }
    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// Given an image that is unpacked, when other people's verifiers read the folder, then note, tiles and proofs are what they
/// expect; and it is a log folder like any other.
#[test]
fn an_unpacked_image_is_accepted_by_other_peoples_verifiers() {
    let state = State::new("unpack");
    let device = run(new(32768), None, &steps(4_000), 7, true);
    write(&device, &state.image());
    let to = state.0.join("unpacked").join("log");
    let verified = unpack(&state.image(), &key().verifier(), &to).expect("it is unpacked");
    assert_eq!(verify(&DiskFolder::new(&to), &key().verifier()).expect("it is whole"), verified);
    let verifier = StandardVerifier::new(&key().verifier().to_text()).expect("a vkey");
    let note = Note::from_bytes(&fs::read(to.join("checkpoint")).expect("a checkpoint")).expect("a signed note");
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("the signature is good");
    let checkpoint = Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    assert!(checkpoint.size() > 256, "{} blocks are more than one tile", checkpoint.size());
    let tiles = Tiles(&to);
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &tiles);
    let image = Image::open(&state.image()).expect("it opens");
    for index in [0, 255, 256, checkpoint.size() - 1] {
        let width = (checkpoint.size() - index / 256 * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let bundle = image.read(&format!("tile/entries/{:03}{partial}", index / 256)).expect("a bundle");
        let entry = &bundle[(index % 256) as usize * 256 + 2..][..254];
        let proof = prove_record(checkpoint.size(), index, &reader).expect("a proof");
        check_record(&proof, checkpoint.size(), *checkpoint.hash(), index, record_hash(entry))
            .expect("it is in the tree");
    }
    let (log, opened) = Log::open(DiskFolder::new(&to), key(), Settings::default()).expect("a host can go on with it");
    assert_eq!((opened.head, opened.cut), (verified.head, None));
    drop(log);
    assert!(unpack(&state.image(), &key().verifier(), &to).expect_err("it is there").next.contains("--to"));
}

/// Given a machine that crashed, when its image is read, then what was durable is whole, and what lies behind it is said.
#[test]
fn what_a_crash_left_behind_is_said() {
    let state = State::new("crash");
    let device = run(new(8192), None, &steps(500), 5, false);
    let mut bytes = write(&device, &state.image());
    let whole = check(&state.image()).expect("it is whole");
    let used = bytes.iter().rposition(|&byte| byte != 0).expect("something").next_multiple_of(BLOCK);
    bytes[used + 700] = 9;
    fs::write(state.image(), &bytes).expect("writable");
    let torn = check(&state.image()).expect("what comes before is whole");
    assert_eq!(torn.head, whole.head);
    let words = torn.torn.expect("it is seen");
    assert!(words.contains(&format!("byte {used}: 701 bytes")) && words.contains("log.img"), "{words}");
    let error = commands::verify(&state.image(), None, Format::Text, &mut Vec::new()).expect_err("it is said");
    assert!(error.cause.contains("whole in its first"), "{error}");
    // Unpacked is what is whole.
    let to = state.0.join("unpacked");
    let said = text(|out| commands::unpack(&state.image(), None, &to, Format::Text, out).map(|()| 0));
    assert!(said.contains(&format!("{} blocks", whole.head.blocks)) && said.contains("Left out"), "{said}");
    assert_eq!(verify(&DiskFolder::new(&to), &key().verifier()).expect("it is whole").torn, None);
    bytes[used + (2 << 20)] = 1;
    fs::write(state.image(), &bytes).expect("writable");
    let error = check(&state.image()).expect_err("no crash leaves that");
    assert!(error.cause.contains(&(used + (2 << 20)).to_string()), "{error}");
}

/// Given a checkpoint slot with a good hash that says what is not so of the tree or the place of its last block, when the image
/// is verified, then it is found: of the newest and of the one before.
#[test]
fn a_slot_that_contradicts_what_it_covers_is_found() {
    let state = State::new("slot");
    let device = run(new(8192), None, &steps(300), 2, true);
    let mut device = Device(device.0.power_cut(Cut::Kept));
    let (newest, older) = recover::slots(&mut device).expect("there are two");
    let Found::Whole(older) = older else { panic!("the other is whole") };
    for slot in [newest, older] {
        let refused = |change: &dyn Fn(&mut Slot)| {
            let mut changed = slot.clone();
            change(&mut changed);
            let mut device = Device(device.0.power_cut(Cut::Kept));
            device.write(changed.place(), &changed.encode()).expect("it is written");
            write(&device, &state.image());
            check(&state.image()).map(|_| ())
        };
        refused(&|_| {}).expect("it is whole");
        for change in [
            (&|slot: &mut Slot| slot.last -= 1) as &dyn Fn(&mut Slot),
            &|slot| slot.roots[0][0] ^= 1,
            &|slot| slot.roots.truncate(slot.roots.len() - 1),
            &|slot| slot.text = key().sign(3, &[0; 32]),
            &|slot| slot.text = key().sign(1 << 40, &[0; 32]),
        ] {
            let error = refused(change).expect_err("it is found");
            assert!(error.cause.contains("log.img"), "{error}");
        }
    }
}

/// Given no image, an image that nothing was written to yet, another file or another machine's key, then it is said what to do.
#[test]
fn what_is_no_log_is_said() {
    let state = State::new("none");
    fs::write(state.image(), vec![0; 4 << 20]).expect("writable");
    let open = || Image::open(&state.image()).map(|_| ());
    assert_eq!(open().expect_err("nothing is in it").kind, log_store::error::Kind::Absent);
    fs::write(state.image(), vec![7; 4 << 20]).expect("writable");
    assert!(open().expect_err("another file").cause.contains("does not begin"));
    fs::write(state.image(), b"short").expect("writable");
    assert!(open().is_err());
    let device = run(new(8192), None, &steps(100), 5, true);
    write(&device, &state.image());
    let other =
        VerifierKey::from_text(&axiom::note::MachineKey::from_seed(&[9; 32]).verifier().to_text()).expect("a key");
    let refused = verify(&Image::open(&state.image()).expect("it opens"), &other).expect_err("another key");
    assert!(refused.cause.contains(key().name()), "{refused}");
    fs::remove_file(state.0.join("machine.key")).expect("it is there");
    let error = commands::verify(&state.image(), None, Format::Text, &mut Vec::new()).expect_err("no key");
    assert!(error.next.contains("--key"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// A4 on an image: one bit changed anywhere in it is found.
    #[test]
    fn a4_one_bit_changed_anywhere_in_the_image_is_found(trace in vec(any::<Choice>(), 20..150), places in vec(any::<(u8, u32, u8)>(), 48)) {
        let state = State::new("bit");
        let device = run(new(4096), None, &trace, 3, true);
        let mut bytes = write(&device, &state.image());
        prop_assert_eq!(check(&state.image()).expect("it is whole").torn, None);
        let used = bytes.iter().rposition(|&byte| byte != 0).expect("something") + 1;
        let file = fs::OpenOptions::new().write(true).open(state.image()).expect("writable");
        use std::os::unix::fs::FileExt;
        for (kind, place, bit) in places {
            // The beginning, what is used, and all of it, equally often.
            let at = place as usize % match kind % 3 { 0 => 12288, 1 => used, _ => bytes.len() };
            bytes[at] ^= 1 << (bit % 8);
            file.write_all_at(&bytes[at..=at], at as u64).expect("writable");
            match check(&state.image()) {
                Ok(Verified { torn: None, .. }) => prop_assert!(false, "byte {} was changed unseen", at),
                Ok(Verified { torn: Some(words), .. }) => prop_assert!(words.contains("log.img"), "{}: {}", at, words),
                Err(error) => prop_assert!(error.cause.contains("log.img"), "{}: {}", at, error),
            }
            bytes[at] ^= 1 << (bit % 8);
            file.write_all_at(&bytes[at..=at], at as u64).expect("writable");
        }
        prop_assert_eq!(check(&state.image()).expect("it is whole again").torn, None);
    }

    /// Garbage anywhere in an image, also with a hash that is right: an answer, and never that all is well.
    #[test]
    fn garbage_in_an_image_is_found(
        at in 0usize..200, piece in vec(any::<u8>(), 1..3000), slot: bool, size: u64, last: u64, roots in 0usize..65,
    ) {
        let state = State::new("garbage");
        let mut device = run(new(4096), None, &steps(120), 2, true);
        if slot {
            let (mut slot, _) = recover::slots(&mut device).expect("there are two");
            slot.text = key().sign(size >> (size % 64), &[3; 32]);
            slot.last = last >> (last % 64);
            slot.roots = vec![[1; 32]; roots];
            device.write(slot.place(), &slot.encode()).expect("it is written");
        }
        let mut bytes = write(&device, &state.image());
        if !slot {
            let before = bytes[at * 256..][..piece.len()].to_vec();
            bytes[at * 256..][..piece.len()].copy_from_slice(&piece);
            prop_assume!(before != piece);
            fs::write(state.image(), &bytes).expect("writable");
        }
        let found = check(&state.image());
        prop_assert!(!matches!(found, Ok(Verified { torn: None, .. })), "{:?}", found);
        // What reads it without checking all of it comes to an end too.
        let to = state.0.join("to");
        let _ = commands::show(&state.image(), &Show::default(), Format::Text, &mut Vec::new());
        let _ = log_store::outsider::prove_record(&state.image(), &Default::default(), 5, &to, Format::Text, &mut Vec::new());
        let _ = commands::export(&state.image(), Body::Calls, 3, &mut Vec::new());
    }

    /// Any crash leaves an image that the reader can tell from damage: what it says is whole is at least what was durable.
    #[test]
    fn a_crash_is_never_taken_for_damage(trace in vec(any::<Choice>(), 20..150), seed: u64) {
        let state = State::new("cut");
        let (mut log, opened) = ImageLog::open(new(8192), key()).expect("it opens");
        let mut config = Machine::config();
        config.key = key().public();
        let mut machine = Machine::boot(config, opened.head);
        for (index, choice) in trace.iter().enumerate() {
            machine.step(choice);
            machine.blocks().iter().for_each(|block| log.append(block).expect("there is room"));
            if index == trace.len() / 2 {
                log.publish().expect("it is published");
            }
        }
        let durable = *log.durable();
        // What was written since lies in the cache of the disk; the last frames not even there.
        let found = Device(log.into_device().0.power_cut(Cut::Random(seed)));
        write(&found, &state.image());
        let verified = check(&state.image()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(verified.head.records >= durable.records);
        let (_, again) = ImageLog::open(found, key()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(again.head, verified.head);
        prop_assert_eq!(again.cut.is_some(), verified.torn.is_some());
    }
}

/// Given an image that grew since someone kept its checkpoint, when it is checked from there, then it goes on from it;
/// another log does not. A snapshot it has none.
#[test]
fn an_image_goes_on_from_a_checkpoint_that_was_kept() {
    let state = State::new("kept");
    let device = run(new(8192), None, &steps(300), 5, true);
    write(&device, &state.image());
    let kept = Image::open(&state.image()).expect("an image").read("checkpoint").expect("it has one");
    let size = check(&state.image()).expect("it is whole").head.blocks;
    write(&run(device, None, &steps(400), 5, true), &state.image());
    let image = Image::open(&state.image()).expect("an image");
    let from = |start| verify_from(&image, &key().verifier(), &start);
    let (whole, verified) =
        (from(Start::Genesis).expect("whole"), from(Start::Checkpoint(kept.clone())).expect("it goes on"));
    assert_eq!((verified.from, verified.head), (size, whole.head));
    assert_eq!(from(Start::Snapshot).expect_err("there is none").kind, Kind::Absent);
    write(&run(run(new(8192), None, &steps(299), 5, true), None, &steps(400), 5, true), &state.image());
    let other = Image::open(&state.image()).expect("an image");
    let error = verify_from(&other, &key().verifier(), &Start::Checkpoint(kept)).expect_err("it is another");
    assert!(error.cause.contains("another"), "{error}");
}
