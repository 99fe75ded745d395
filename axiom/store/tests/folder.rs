//! The log folder on a real disk: written by the writer thread, taken as it lies by other people's verifiers,
//! shown, proved and exported; and no secret in it.

mod outsiders;
#[path = "../../tests/trace/mod.rs"]
mod trace;

use axiom::header::Body;
use axiom::note::MachineKey;
use log_store::commands::{self, Format, Show};
use log_store::error::Kind;
use log_store::folder::DiskFolder;
use log_store::segments::{Go, walk};
use log_store::{Log, LogReader, Settings, Writer, key};
use signed_note::{Note, StandardVerifier, VerifierList};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tlog_tiles::{
    Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, prove_record, record_hash,
};
use trace::Machine;

/// A folder that goes when the test ends.
struct State(PathBuf);

impl State {
    fn new(name: &str) -> State {
        let path = std::env::temp_dir().join(format!("orbital-log-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        State(path)
    }
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.0.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable").flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Boots a machine on the log in `state`, runs `steps` random steps, ends in order; gives how many records there are.
fn boot_and_run(state: &State, steps: u64, secret: u64) -> u64 {
    boot_and_run_with(Settings::default(), state, steps, secret)
}

fn boot_and_run_with(settings: Settings, state: &State, steps: u64, secret: u64) -> u64 {
    let key = key::load_or_create(&state.0.join("machine.key")).expect("a key");
    let folder = DiskFolder::new(state.0.join("log"));
    let (log, opened) = Log::open(folder, key.clone(), settings).expect("it opens");
    let writer = Writer::start(log).expect("the thread starts");
    let mut config = Machine::config();
    config.key = key.public();
    config.previous = opened.previous;
    config.platform.name = "a test".into();
    config.platform.wall_time = 1_795_249_800_000_000_000;
    (config.snapshots, config.state_every) = (true, 64);
    let mut machine = Machine::boot(config, opened.head);
    machine.secret = secret;
    let mut state = opened.head.blocks + 1;
    for _ in 0..steps {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        machine.step(&(state >> 8).to_le_bytes());
        while let Some(block) = machine.axiom.take_block() {
            writer.append(block).expect("it is taken");
        }
        if let Some(block) = writer.spare() {
            machine.axiom.recycle(block);
        }
    }
    for block in machine.blocks() {
        writer.append(block).expect("it is taken");
    }
    let records = machine.axiom.next_record();
    writer.flush_and_wait().expect("it is durable");
    assert!(writer.durable() >= records);
    machine.axiom.end(0, machine.now);
    while let Some(block) = machine.axiom.take_block() {
        writer.append(block).expect("it is taken");
    }
    writer.stop().expect("it is written");
    machine.axiom.next_record()
}

fn text<T>(run: impl FnOnce(&mut Vec<u8>) -> Result<T, log_store::Error>) -> String {
    let mut out = Vec::new();
    run(&mut out).expect("the command succeeds");
    String::from_utf8(out).expect("text")
}

/// Tiles as they lie in the folder.
struct Folder<'a>(&'a Path);

impl TileReader for Folder<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        tiles
            .iter()
            .map(|tile| {
                // This crate writes Go's paths with the height, the specification leaves it out.
                let path = tile.path().replacen("tile/8/", "tile/", 1);
                fs::read(self.0.join(path)).map_err(|error| tlog_tiles::Error::InvalidInput(error.to_string()))
            })
            .collect()
    }
    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// Given a log as the machine left it, when crates that others wrote read it, then note, key, tiles and inclusion
/// proofs are what they expect.
#[test]
fn the_folder_is_accepted_by_other_peoples_verifiers() {
    let state = State::new("others");
    boot_and_run(&state, 12_000, 0);
    boot_and_run(&state, 500, 0);
    let vkey = text(|out| commands::show_key(&state.0, Format::Text, out));
    let verifier = StandardVerifier::new(vkey.trim()).expect("a vkey");
    let note = fs::read(state.0.join("log/checkpoint")).expect("a checkpoint");
    let note = Note::from_bytes(&note).expect("a signed note");
    let (signed, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("the signature is good");
    assert_eq!(signed.len(), 1);
    let checkpoint = Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    assert_eq!(checkpoint.extension(), "");
    assert!(checkpoint.size() > 300, "{} blocks are more than one tile", checkpoint.size());

    let tiles = Folder(&state.0.join("log"));
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &tiles);
    for index in [0, 1, 255, 256, checkpoint.size() - 1] {
        let bundle = index / 256;
        let width = (checkpoint.size() - bundle * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let entries = fs::read(state.0.join(format!("log/tile/entries/{bundle:03}{partial}"))).expect("a bundle");
        let mut rest = &entries[..];
        for _ in 0..index % 256 {
            rest = &rest[2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]))..];
        }
        let entry = &rest[2..2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]))];
        let proof = prove_record(checkpoint.size(), index, &reader).expect("a proof");
        check_record(&proof, checkpoint.size(), *checkpoint.hash(), index, record_hash(entry))
            .expect("the entry is in the tree");
        let stored = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).expect("a leaf");
        assert_eq!(stored, [record_hash(entry)]);
    }
}

/// Given the proof of a record, when it is checked with nothing but hashes, then body, header and path lead to the checkpoint;
/// when a byte of it is another, they do not.
#[test]
fn one_record_can_be_proved_to_an_outsider() {
    let state = State::new("proof");
    boot_and_run(&state, 3_000, 0);
    let (record, to) = (1_234, state.0.join("proof"));
    let trust = log_store::outsider::Trust::default();
    text(|out| log_store::outsider::prove_record(&state.0, &trust, record, &to, Format::Json, out));
    let file = |end: &str| fs::read(to.join(format!("record-{record}.{end}"))).expect("a file of the proof");
    let header = file("header");
    for (index, body) in ["authority", "activity", "calls"].into_iter().enumerate() {
        assert_eq!(blake3::hash(&file(body)).as_bytes(), &header[94 + 32 * index..][..32]);
    }
    let proof = String::from_utf8(file("tlog-proof")).expect("text");
    let (head, checkpoint) = proof.split_once("\n\n").expect("a blank line");
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    assert!(lines.next().is_some_and(|line| line.starts_with("extra ")), "the block");
    let index: u64 = lines.next().and_then(|line| line.strip_prefix("index ")?.parse().ok()).expect("an index");
    let path: Vec<Hash> = lines.map(|line| Hash::parse_hash(line).expect("a hash")).collect();
    let note = Note::from_bytes(checkpoint.as_bytes()).expect("a note");
    let checkpoint = Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    check_record(&path, checkpoint.size(), *checkpoint.hash(), index, record_hash(&header)).expect("it is in the tree");
    let mut other = header.clone();
    other[100] ^= 1;
    assert!(check_record(&path, checkpoint.size(), *checkpoint.hash(), index, record_hash(&other)).is_err());
    // The bodies come out of export as they are hashed.
    let exported = {
        let mut out = Vec::new();
        commands::export(&state.0, Body::Calls, index, &mut out).expect("it is there");
        out
    };
    assert_eq!(exported, file("calls"));
}

/// A7: Given secrets in every place that may have one, when all files of the log are searched, then none has them, raw,
/// in hex or in base64.
#[test]
fn a7_no_secret_is_in_any_file_of_the_log() {
    use base64ct::{Base64, Encoding};
    let state = State::new("secrets");
    let secret = 0x5EC2_E75E_C2E7_1234;
    boot_and_run(&state, 4_000, secret);
    let key = fs::read_to_string(state.0.join("machine.key")).expect("a key file");
    let seed = Base64::decode_vec(key.trim().splitn(5, '+').nth(4).expect("a key")).expect("base64")[1..].to_vec();
    assert_eq!(MachineKey::from_seed(seed.as_slice().try_into().expect("32 bytes")).to_secret_text(), key.trim());
    let mut canaries = vec![key.trim().as_bytes().to_vec()];
    for raw in [seed, secret.to_le_bytes().to_vec(), secret.to_be_bytes().to_vec()] {
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        canaries.extend([
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            Base64::encode_string(&raw).trim_end_matches('=').into(),
        ]);
        canaries.push(raw);
    }
    for path in state.files("log") {
        let bytes = fs::read(&path).expect("readable");
        for canary in &canaries {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary), "{} has a secret", path.display());
        }
    }
}

/// Given a log of two boots, when it is shown, then lines say in words who did what, can be chosen by process, place and time,
/// and come as JSON too.
#[test]
fn the_log_is_shown_in_words() {
    let state = State::new("show");
    boot_and_run(&state, 1_000, 0);
    let records = boot_and_run(&state, 1_000, 0);
    let show = |options: &Show, format| text(|out| commands::show(&state.0, options, format, out));
    let last = show(&Show { limit: Some(1), ..Show::default() }, Format::Text);
    assert!(last.contains("boot 2 ends in order") && last.contains(&(records - 1).to_string()), "{last}");
    let first =
        show(&Show { from: Some("0".parse().expect("a bound")), limit: Some(2), ..Show::default() }, Format::Text);
    assert!(first.contains("the log begins, on a test") && first.contains("boot 1, a test"), "{first}");
    assert!(first.contains("2026-11-21T08:30:00.000000Z"), "{first}");
    let some = show(&Show { process: Some("init".into()), limit: Some(5), ..Show::default() }, Format::Json);
    assert_eq!(some.lines().count(), 5);
    for line in some.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        assert!(value["record"].is_u64() && value["text"].is_string() && value["call"].is_string(), "{line}");
        let count = |key: &str| value[key].as_array().expect("a list").len();
        assert_eq!(count("exact"), count("commits"), "each change has its fields: {line}");
    }
    let bounded = Show {
        from: Some("10".parse().expect("a bound")),
        to: Some("19".parse().expect("a bound")),
        ..Show::default()
    };
    assert_eq!(show(&bounded, Format::Text).lines().count(), 10);
    let later = Show { from: Some("2030-01-01T00:00:00Z".parse().expect("a bound")), ..Show::default() };
    assert_eq!(show(&later, Format::Text), "");
    assert!("tomorrow".parse::<commands::Bound>().is_err());
}

/// Given a boot whose first segments were trimmed, when its last records are shown, then they are of the same
/// processes as where nothing was trimmed: names come from authority, which is kept.
#[test]
fn names_outlive_the_trimming_of_activity() {
    let last = |name: &str, settings| {
        let state = State::new(name);
        boot_and_run_with(settings, &state, 40_000, 0);
        let last = Show { limit: Some(4_000), ..Show::default() };
        let lines = text(|out| {
            let shown = commands::show(&state.0, &last, Format::Json, out)?;
            assert_eq!((shown.lines, shown.trimmed), (4_000, None), "what was trimmed lies before the last records");
            Ok(())
        });
        let of_line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("an object a line");
            (line["record"].as_u64().expect("a number"), line["name"].to_string())
        };
        (state, lines.lines().map(of_line).collect::<Vec<_>>())
    };
    let kept = |state: &State| state.files("log/segments").iter().any(|path| path.extension() == Some("kept".as_ref()));
    let (whole, expected) = last("names-whole", Settings::default());
    assert!(!kept(&whole) && expected.iter().any(|(_, name)| name != "\"host\""));
    let (trimmed, names) = last("names-trimmed", SMALL);
    assert!(kept(&trimmed));
    for (name, expected) in names.iter().zip(&expected) {
        assert_eq!(name, expected);
    }
}

/// Segments that are small, and few of them whole.
const SMALL: Settings = Settings { segment: 200 << 10, keep: 600 << 10 };

/// Given much that comes between two syncs, when segments are closed, then none is larger than was set by more than
/// a block, and as many stay whole as are to be kept.
#[test]
fn segments_are_no_larger_than_was_set() {
    let state = State::new("sizes");
    let key = key::load_or_create(&state.0.join("machine.key")).expect("a key");
    let (mut log, opened) = Log::open(DiskFolder::new(state.0.join("log")), key, SMALL).expect("it opens");
    let mut config = Machine::config();
    (config.snapshots, config.state_every) = (true, 64);
    let mut machine = Machine::boot(config, opened.head);
    for choice in 0..40_000u64 {
        machine.step(&choice.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    }
    for block in machine.blocks() {
        log.append(&block).expect("appended");
    }
    log.publish().expect("published");
    let lengths: Vec<u64> = state
        .files("log/segments")
        .iter()
        .filter(|path| path.extension() == Some("seg".as_ref()))
        .map(|path| fs::metadata(path).expect("it is there").len())
        .collect();
    // Files grow in steps of 256 KiB: two of them fit into what is kept, and one is written.
    assert_eq!(lengths, [256 << 10; 3]);
}

/// Given a log whose first segments were trimmed, when it is shown from there, read by a process, verified and
/// replayed, then authority is told from the first record on, with names, and each says what was trimmed.
#[test]
fn a_trimmed_log_says_what_is_gone() {
    let state = State::new("trimmed");
    let records = boot_and_run_with(SMALL, &state, 40_000, 0);
    let show = |options: &Show| {
        let mut out = Vec::new();
        let shown = commands::show(&state.0, options, Format::Json, &mut out).expect("it is shown");
        let lines: Vec<serde_json::Value> = String::from_utf8(out)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object a line"))
            .collect();
        (shown.trimmed, lines)
    };
    let from = |number: u64| Some(commands::Bound::Record(number));
    // In what was trimmed: what changed authority, and up to where the rest is gone.
    let (gone, lines) = show(&Show { from: from(8), to: from(1_000), ..Show::default() });
    assert_eq!((gone, &lines[0]["record"], &lines[0]["name"]), (Some((8, 1_000)), &8.into(), &"init".into()));
    assert!(lines.iter().all(|line| !line["commits"].as_array().expect("commits").is_empty()));
    // Across its end: the first that is whole follows what is gone, and from there on none is missing.
    let (gone, lines) = show(&Show { from: from(8), ..Show::default() });
    let (_, end) = gone.expect("it was trimmed");
    let whole: Vec<u64> = lines.iter().filter_map(|line| line["record"].as_u64()).filter(|&at| at > end).collect();
    assert_eq!(whole, (end + 1..records).collect::<Vec<_>>());
    // One who follows is told at the first wait, when what is there was shown; this one is then interrupted.
    static TOLD: Mutex<Vec<Option<(u64, u64)>>> = Mutex::new(Vec::new());
    let wait = |trimmed| {
        let mut told = TOLD.lock().expect("not poisoned");
        told.push(trimmed);
        if told.len() < 2 { Ok(()) } else { Err(std::io::ErrorKind::Interrupted.into()) }
    };
    let follow = Show { from: from(8), follow: Some(wait), ..Show::default() };
    commands::show(&state.0, &follow, Format::Json, &mut Vec::new()).expect_err("it is interrupted");
    assert_eq!(*TOLD.lock().expect("not poisoned"), [gone, None]);
    // Behind it: nothing to say.
    let (gone, lines) = show(&Show { from: from(end + 1), limit: Some(1), ..Show::default() });
    assert_eq!((gone, &lines[0]["record"]), (None, &(end + 1).into()));
    // The last of a process, by the name that authority has for it; more than there are reach into what is gone.
    let (gone, lines) = show(&Show { process: Some("client".into()), limit: Some(50), ..Show::default() });
    assert!(gone.is_none() && lines.len() == 50 && lines.iter().any(|line| line["name"] == "client"));
    let (gone, lines) =
        show(&Show { process: Some("client".into()), limit: Some(records as usize), ..Show::default() });
    assert!(gone == Some((0, end)) && lines[0]["record"].as_u64().is_some_and(|at| at < 100));

    let mut reader = LogReader::new(state.0.join("log"), axiom::Head::EMPTY, trace::PLATFORM);
    let mut read = |at| {
        let bytes = reader.read(records, at, 1_000).expect("it can be read");
        let (record, _): (abi::log::Record<'_>, _) = postcard::take_from_bytes(&bytes).expect("a record");
        (record.number, record.name.to_owned())
    };
    assert_eq!(read(8), (8, "init".to_owned()));
    assert_eq!(read(end + 1).0, end + 1);

    let verified = text(|out| commands::verify(&state.0, None, Format::Text, out));
    assert!(verified.contains("activity and calls were trimmed; authority is there"), "{verified}");
    // The next snapshot has activity again; without one it is gone until the next boot.
    let replayed = text(|out| commands::replay(&state.0, Format::Text, out));
    assert!(replayed.contains("all equal") && replayed.contains("activity  "), "{replayed}");
    fs::remove_dir_all(state.0.join("log/snapshots")).expect("they are there");
    let replayed = text(|out| commands::replay(&state.0, Format::Text, out));
    assert!(replayed.contains("all equal") && replayed.contains("authority alone was replayed"), "{replayed}");
}

/// Given a reader that goes away, and a disk that is full, when something is shown, then the two are told apart.
#[test]
fn output_that_nobody_reads_is_no_damage() {
    struct Fails(io::ErrorKind);
    impl io::Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let state = State::new("output");
    boot_and_run(&state, 100, 0);
    for (failure, kind) in [(io::ErrorKind::BrokenPipe, Kind::OutputClosed), (io::ErrorKind::StorageFull, Kind::Io)] {
        let show = commands::show(&state.0, &Show::default(), Format::Text, &mut Fails(failure));
        assert_eq!(show.expect_err("it cannot be written").kind, kind);
        let export = commands::export(&state.0, Body::Calls, 0, &mut Fails(failure));
        assert_eq!(export.expect_err("it cannot be written").kind, kind);
    }
}

/// Given a log, when it is verified and replayed, then both say what they found; where something is wrong, file, block and
/// next step are named.
#[test]
fn verify_and_replay_say_what_they_found() {
    let state = State::new("verify");
    boot_and_run(&state, 1_000, 0);
    let found = text(|out| commands::verify(&state.0, None, Format::Json, out));
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!((found["boots"].as_u64(), found["ended"].as_bool()), (Some(1), Some(true)));
    let replayed = text(|out| commands::replay(&state.0, Format::Text, out));
    assert!(replayed.contains("2 state hashes compared, all equal"), "{replayed}");
    let segment = state.files("log/segments").pop().expect("a segment");
    let mut bytes = fs::read(&segment).expect("readable");
    bytes[5_000] ^= 4;
    fs::write(&segment, bytes).expect("writable");
    let error = commands::verify(&state.0, None, Format::Text, &mut Vec::new()).expect_err("it is changed");
    assert!(error.cause.contains("segments/") && error.cause.contains("block"), "{error}");
    assert!(!error.next.is_empty());
}

/// Given a process that reads the log in pieces smaller than a block, when it reads on, then it is told no block again that it
/// has left behind, and all comes once; when it goes back, or on over some, what it gets is the same.
#[test]
fn reading_on_in_small_pieces_costs_what_is_new() {
    struct Counted(DiskFolder, u64, std::cell::Cell<u64>);
    impl axiom::reader::Blocks for Counted {
        fn from(&self, first: u64, each: &mut dyn FnMut(&axiom::Block<'_>) -> bool) {
            walk(&self.0, first, |block| {
                self.2.set(self.2.get() + 1);
                Ok(if each(block) { Go::On } else { Go::Stop })
            })
            .expect("it can be walked");
        }
        fn boot_start(&self) -> (u64, u64) {
            (0, 0)
        }
        fn next_record(&self) -> u64 {
            self.1
        }
    }
    let state = State::new("pieces");
    let records = boot_and_run(&state, 900, 0);
    let source = Counted(DiskFolder::new(state.0.join("log")), records, 0.into());
    let all = axiom::reader::Reader::new(trace::PLATFORM).read(&source, 0, usize::MAX).expect("it can be read");
    let blocks = source.2.replace(0);
    let mut reader = axiom::reader::Reader::new(trace::PLATFORM);
    let (mut pieces, mut reads, mut next) = (Vec::new(), 0, 0);
    let mut starts = Vec::new();
    while next < records {
        let bytes = reader.read(&source, next, 400).expect("it can be read");
        starts.push((next, pieces.len()));
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (record, after): (abi::log::Record<'_>, _) = postcard::take_from_bytes(rest).expect("whole records");
            (next, rest) = (record.number + 1, after);
        }
        pieces.extend_from_slice(&bytes);
        reads += 1;
    }
    assert!(pieces == all, "in pieces it is something else");
    assert!(reads > blocks, "{reads} reads of {blocks} blocks");
    let told = source.2.get();
    assert!(told <= reads + 2 * blocks, "{told} blocks for {reads} reads of {blocks} blocks");
    // Nothing that fits: it is there the next time.
    let mut state = 5u64;
    for _ in 0..40 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (from, at) = starts[(state >> 33) as usize % starts.len()];
        assert!(reader.read(&source, from, 3).expect("it can be read").is_empty());
        let bytes = reader.read(&source, from, 400).expect("it can be read");
        assert!(!bytes.is_empty() && all[at..].starts_with(&bytes), "from record {from}");
    }
}

/// Given a process that may read the log, when it reads on and on, then it gets every record once, whole, in order; from the end
/// it gets the last.
#[test]
fn a_process_reads_the_log_in_pieces() {
    let state = State::new("read");
    let records = boot_and_run(&state, 800, 0);
    let mut reader = LogReader::new(state.0.join("log"), axiom::Head::EMPTY, trace::PLATFORM);
    let mut next = 0;
    while next < records {
        let bytes = reader.read(records, next, 1_000).expect("it can be read");
        assert!(!bytes.is_empty() && bytes.len() <= 1_000);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (record, after): (abi::log::Record<'_>, _) = postcard::take_from_bytes(rest).expect("whole records");
            assert_eq!(record.number, next);
            next += 1;
            rest = after;
        }
    }
    assert!(reader.read(records, records, 1_000).expect("nothing there").is_empty());
    let last = reader.read(records, u64::MAX - 2, 10_000).expect("it can be read");
    let (first, _): (abi::log::Record<'_>, _) = postcard::take_from_bytes(&last).expect("a record");
    assert_eq!(first.number, records - 3);
}

/// Given the machine's key, when others may read it, then it is refused; it is made so that they may not.
#[test]
fn the_key_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let state = State::new("key");
    let path = state.0.join("machine.key");
    let made = key::load_or_create(&path).expect("it is made");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(key::load_or_create(&path).expect("it is found").public(), made.public());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    assert!(key::load(&path).expect_err("others may read it").next.contains("chmod 600"));
}

/// Given an open segment that something else replaces, when the next group is committed, then the log is lost, and says so.
#[test]
fn a_segment_that_is_replaced_is_noticed() -> io::Result<()> {
    let state = State::new("replaced");
    let key = key::load_or_create(&state.0.join("machine.key")).expect("a key");
    let (mut log, opened) =
        Log::open(DiskFolder::new(state.0.join("log")), key, Settings::default()).expect("it opens");
    let mut machine = Machine::boot(Machine::config(), opened.head);
    let blocks = machine.blocks();
    log.append(&blocks[0]).expect("appended");
    log.sync().expect("synced");
    let segment = state.files("log/segments").pop().expect("a segment");
    let copy = fs::read(&segment)?;
    fs::remove_file(&segment)?;
    fs::write(&segment, copy)?;
    log.append(&blocks[1]).expect("only sealed");
    assert!(log.sync().expect_err("another file lies there").cause.contains("open segment"));
    assert!(log.append(&blocks[1]).is_err(), "nothing more is written");
    Ok(())
}

/// Given a pipe that nobody writes into where a file of the log, the key or an image should be, when the log is read, then
/// it is not waited for, but named.
#[test]
fn a_pipe_in_place_of_a_file_is_not_waited_for() {
    let state = State::new("pipes");
    boot_and_run(&state, 1_000, 0);
    let snapshot = state.0.join("log").join(log_store::snapshots::path(0));
    let mut files = state.files("log");
    let count = |part: &str| files.iter().filter(|path| path.to_string_lossy().contains(part)).count();
    assert!(count("checkpoint") > 0 && count(".seg") > 0 && count("tile/0") > 0 && count("tile/entries") > 0);
    files.extend((!snapshot.exists()).then_some(snapshot));
    files.push(state.0.join("machine.key"));
    for file in files {
        let aside = state.0.join("aside");
        let was_there = fs::rename(&file, &aside).is_ok();
        make_pipe(&file);
        let error = in_time(&state.0, &file);
        let name = file.strip_prefix(&state.0).expect("it is below").strip_prefix("log").unwrap_or(&file);
        assert!(error.cause.contains(&*name.to_string_lossy()), "{}: {error}", file.display());
        assert!(error.cause.contains("not a regular file"), "{}: {error}", file.display());
        assert_eq!(error.kind, Kind::Damaged);
        fs::remove_file(&file).expect("it is a pipe");
        if was_there {
            fs::rename(&aside, &file).expect("it is put back");
        }
    }
    text(|out| commands::verify(&state.0, None, Format::Text, out));
    let image = state.0.join("log.img");
    make_pipe(&image);
    let error = in_time(&image, &image);
    assert!(error.cause.contains("log.img: cannot be read: it is not a regular file"), "{error}");
}

fn make_pipe(path: &Path) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("it is made");
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("it runs").success());
}

/// What is wrong with a log, which must be said within a minute. `what` is what it could wait for.
fn in_time(log: &Path, what: &Path) -> log_store::Error {
    let (said, says) = std::sync::mpsc::channel();
    let path = log.to_owned();
    std::thread::spawn(move || said.send(commands::verify(&path, None, Format::Text, &mut Vec::new())));
    let result = says.recv_timeout(std::time::Duration::from_secs(60));
    let result = result.unwrap_or_else(|_| panic!("{}: it is waited for", what.display()));
    result.expect_err("a pipe is no file")
}
