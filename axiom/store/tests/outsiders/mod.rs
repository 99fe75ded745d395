//! Outsiders on a log folder: PyPI aics-tlog walks every tile, npm @transmute/rfc9162 checks proofs; both refuse what
//! was changed. [`install`] puts them below target/.

use super::*;
use axiom::note::VerifierKey;
use log_store::outsider::{Claim, MAX_PROOF, Trust, check_proof, prove_consistency, prove_record};
use log_store::prove::{Proof, Prover};
use std::io::Write;
use std::process::{Command, Output, Stdio};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outsiders");

/// The folder with what others wrote.
fn install() -> PathBuf {
    let output = Command::new(format!("{HERE}/install")).output().expect("the script can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("text").trim())
}

fn key_of(state: &State) -> VerifierKey {
    key::load(&state.0.join("machine.key")).expect("readable").expect("there").verifier()
}

/// Given the log of a long run, when aics-tlog walks all of its tiles and bundles under the checkpoint, then it accepts
/// them; when one bit of any of these files is another, it does not.
#[test]
fn aics_tlog_walks_every_tile_of_a_long_run() {
    let state = State::new("walk");
    boot_and_run(&state, 24_000, 0);
    boot_and_run(&state, 300, 0);
    let (installed, log, vkey) = (install(), state.0.join("log"), key_of(&state).to_text());
    let walk = || -> Output {
        let script = format!("{HERE}/walk.py");
        Command::new(installed.join("venv/bin/python"))
            .args([script.as_ref(), log.as_os_str(), vkey.as_ref()])
            .output()
            .expect("it runs")
    };
    let output = walk();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let verified = log_store::verify::verify(&DiskFolder::new(&log), &key_of(&state)).expect("it is whole");
    assert!(numbers[0] == verified.checkpoint.size && numbers[0] > 600, "{said}");
    assert_eq!(numbers[2], numbers[0].div_ceil(256));
    let files = state.files("log/tile");
    assert_eq!(numbers[1] + numbers[2], files.len() as u64, "it read every file of the tree");
    for (index, path) in files.into_iter().chain([log.join("checkpoint")]).enumerate() {
        let bytes = fs::read(&path).expect("readable");
        let mut changed = bytes.clone();
        let at = index * 7919 % bytes.len();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("writable");
        let output = walk();
        assert!(!output.status.success(), "byte {at} of {} was changed unseen", path.display());
        assert!(String::from_utf8_lossy(&output.stderr).contains("refused"), "{output:?}");
        fs::write(&path, bytes).expect("writable");
    }
}

/// Given the log of two boots in which everything happened, when the verifier that was written from docs/log-format.md
/// alone reads it, then it accepts it and reads of every record what `orbital log show` reads; when one byte of any file is
/// another, it does not accept it.
#[test]
fn a_second_verifier_reads_every_record_alike() {
    let state = State::new("second");
    boot_and_run(&state, 6_000, 0);
    boot_and_run(&state, 300, 0);
    let (installed, log, vkey) = (install(), state.0.join("log"), key_of(&state).to_text());
    let verifier = concat!(env!("CARGO_MANIFEST_DIR"), "/../verifier/verify.py");
    let verify = |more: &[&std::ffi::OsStr]| -> Output {
        let python = installed.join("venv/bin/python");
        Command::new(python)
            .args([verifier.as_ref(), log.as_os_str(), vkey.as_ref()])
            .args(more)
            .output()
            .expect("it runs")
    };
    let lines = fs::read_to_string(verifier).expect("readable").lines().count();
    assert!(lines <= 300, "{lines} lines: a reader should see the whole of it");
    let show = Show { from: Some("0".parse().expect("a bound")), ..Show::default() };
    let shown = text(|out| commands::show(&state.0, &show, Format::Json, out));
    let file = state.0.join("shown");
    fs::write(&file, &shown).expect("writable");
    let output = verify(&["--agree".as_ref(), file.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let agreed = format!("{} records agree", shown.lines().count());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&agreed), "{output:?}");
    let other = shown.replacen("\"slot\":7", "\"slot\":8", 1);
    assert_ne!(other, shown);
    fs::write(&file, other).expect("writable");
    assert!(!verify(&["--agree".as_ref(), file.as_ref()]).status.success(), "another slot was not seen");
    for (index, path) in state.files("log").into_iter().enumerate() {
        let bytes = fs::read(&path).expect("readable");
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        // Somewhere in what is used, and in what must be zero.
        for at in [(index + 1) * 7919 % used, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            fs::write(&path, changed).expect("writable");
            let output = verify(&[]);
            assert_eq!(output.status.code(), Some(1), "byte {at} of {} was changed unseen", path.display());
            assert!(String::from_utf8_lossy(&output.stderr).starts_with("not good: "), "{output:?}");
        }
        fs::write(&path, bytes).expect("writable");
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Given proofs of blocks and of older trees, when @transmute/rfc9162 checks them, then it accepts each; when one hash of
/// a proof is another, it does not. So does the crate tlog_tiles.
#[test]
fn rfc9162_and_tlog_tiles_accept_the_proofs() {
    let state = State::new("proofs");
    boot_and_run(&state, 12_000, 0);
    let (folder, key) = (DiskFolder::new(state.0.join("log")), key_of(&state));
    let prover = Prover::new(&folder, &key, None, &[]).expect("a prover");
    let (size, root) = (prover.published().size, prover.published().root);
    assert!(size > 300);
    let (mut lines, mut expected) = (Vec::new(), Vec::new());
    let mut ask = |mut line: serde_json::Value| {
        lines.push(line.to_string());
        expected.push("true");
        if let Some(hash) = line["path"].as_array_mut().and_then(|path| path.last_mut()) {
            *hash = "00".repeat(32).into();
            lines.push(line.to_string());
            expected.push("false");
        }
    };
    let hashes = |path: &[[u8; 32]]| path.iter().map(|hash| to_hex(hash)).collect::<Vec<_>>();
    for record in [0, 1, 500, 7_777] {
        let proof = prover.inclusion(record).expect("a proof");
        let leaf = proof.block().expect("whole").header_bytes;
        let path: Vec<Hash> = proof.path.iter().map(|hash| Hash(*hash)).collect();
        check_record(&path, size, Hash(root), proof.index, record_hash(leaf)).expect("tlog_tiles accepts it");
        ask(serde_json::json!({
            "leaf": to_hex(leaf), "index": proof.index, "size": size, "root": to_hex(&root), "path": hashes(&proof.path),
        }));
    }
    for old in (1..=size).filter(|old| old % 37 == 0 || old.is_power_of_two() || old + 3 >= size) {
        let proof = prover.consistency(old, None).expect("a proof");
        let old_root = prover.root(old).expect("a root");
        assert!(axiom::tree::is_consistent(old, &old_root, size, &root, &proof.path));
        let path: Vec<Hash> = proof.path.iter().map(|hash| Hash(*hash)).collect();
        tlog_tiles::check_tree(&path, size, Hash(root), old, Hash(old_root)).expect("tlog_tiles accepts it");
        for index in 0..proof.path.len() {
            let mut other = proof.path.clone();
            other[index][9] ^= 1;
            assert!(!axiom::tree::is_consistent(old, &old_root, size, &root, &other));
        }
        // Of two equal trees there is nothing to prove, which the library does not know.
        if old < size {
            ask(serde_json::json!({
                "old": old, "oldRoot": to_hex(&old_root), "size": size, "root": to_hex(&root), "path": hashes(&proof.path),
            }));
        }
    }
    let modules = install().join("node/node_modules");
    let mut node = Command::new("node")
        .arg(format!("{HERE}/proofs.js"))
        .env("NODE_PATH", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let asked = lines.join("\n");
    node.stdin.take().expect("it is piped").write_all(asked.as_bytes()).expect("it reads");
    let answered = node.wait_with_output().expect("it ends");
    let answered = String::from_utf8(answered.stdout).expect("text");
    for ((line, expected), answer) in lines.iter().zip(&expected).zip(answered.lines()) {
        assert_eq!(answer, *expected, "{line}");
    }
    assert_eq!(answered.lines().count(), lines.len());
}

/// Given the two kinds of proof in files, when they are checked with nothing but the file and the key, then they hold,
/// and tell the record; when one bit of the file is another, they do not, and it is said why.
#[test]
fn a_proof_is_one_file_that_holds_by_itself() {
    let state = State::new("one-file");
    boot_and_run(&state, 2_000, 0);
    let kept = fs::read(state.0.join("log/checkpoint")).expect("a checkpoint");
    boot_and_run(&state, 2_000, 0);
    let (to, old) = (state.0.join("proof"), state.0.join("kept"));
    fs::write(&old, &kept).expect("writable");
    let trust = Trust { key: Some(key_of(&state)), ..Trust::default() };
    let size = key_of(&state).check(&kept).expect("a checkpoint").size;
    text(|out| prove_record(&state.0, &trust, 321, &to, Format::Text, out));
    text(|out| prove_consistency(&state.0, &trust, (size, None), &to, Format::Text, out));
    let consistency = state.files("proof").into_iter().find(|path| path.extension() == Some("proof".as_ref()));
    let cases = [
        (to.join("record-321.tlog-proof"), Claim { record: Some(321), old: None }),
        (consistency.expect("a file"), Claim { record: None, old: Some(old) }),
    ];
    for (file, claim) in cases {
        let check = || check_proof(None, &file, &trust, &claim, Format::Text, &mut Vec::new());
        let said = text(|out| check_proof(None, &file, &trust, &claim, Format::Text, out));
        assert!(said.contains("The proof holds"), "{said}");
        assert_eq!(said.contains("\"record\":321"), claim.record.is_some(), "{said}");
        let bytes = fs::read(&file).expect("readable");
        for at in (0..bytes.len()).step_by(bytes.len() / 97 + 1).chain([0, bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).expect("writable");
            let error = check().expect_err("it was changed");
            assert!(error.cause.contains("proof") && !error.next.is_empty(), "byte {at}: {error}");
            fs::write(&file, &bytes[..at]).expect("writable");
            assert!(check().is_err(), "cut off at {at}");
        }
        fs::write(&file, &bytes).expect("writable");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(Proof::from_text(&text).expect("a proof").to_text(), text);
    }
    // The checkpoint of another size, and another log's key.
    let error =
        check_proof(None, &to.join("record-321.vkey"), &trust, &Claim::default(), Format::Text, &mut Vec::new());
    assert!(error.expect_err("no proof").cause.contains("not written as a proof"));
    let other = Trust { key: Some(MachineKey::from_seed(&[3; 32]).verifier()), ..Trust::default() };
    let file = to.join("record-321.tlog-proof");
    assert!(check_proof(None, &file, &other, &Claim::default(), Format::Text, &mut Vec::new()).is_err());
}

/// Given a proof of each kind, when it is checked against the claim that only the other kind proves, then it is refused,
/// and it is said which kind would do: a record's proof says nothing about an older log.
#[test]
fn a_proof_of_the_other_kind_is_refused() {
    let state = State::new("other-kind");
    boot_and_run(&state, 2_000, 0);
    let (to, old) = (state.0.join("proof"), state.0.join("log/checkpoint"));
    let trust = Trust { key: Some(key_of(&state)), ..Trust::default() };
    text(|out| prove_record(&state.0, &trust, 321, &to, Format::Text, out));
    text(|out| prove_consistency(&state.0, &trust, (1, None), &to, Format::Text, out));
    let consistency = state.files("proof").into_iter().find(|path| path.extension() == Some("proof".as_ref()));
    let cases = [
        (to.join("record-321.tlog-proof"), Claim { record: None, old: Some(old.clone()) }, "the proof of a record"),
        (
            to.join("record-321.tlog-proof"),
            Claim { record: Some(321), old: Some(old.clone()) },
            "the proof of a record",
        ),
        (consistency.expect("a file"), Claim { record: Some(321), old: Some(old) }, "a proof of consistency"),
    ];
    for (file, claim, what) in cases {
        let mut out = Vec::new();
        let error =
            check_proof(None, &file, &trust, &claim, Format::Text, &mut out).expect_err("it is of another kind");
        assert!(error.cause.contains(what), "{error}");
        assert_eq!(error.kind, Kind::Damaged);
        assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    }
}

/// Given a file, or a device, that does not end where a proof or a checkpoint must, when it is checked, then no more is
/// read than such a thing can have, and it is said how much that is.
#[test]
fn of_what_a_stranger_sends_no_more_is_read_than_a_proof_has() {
    let state = State::new("endless");
    boot_and_run(&state, 2_000, 0);
    let to = state.0.join("proof");
    let trust = Trust { key: Some(key_of(&state)), ..Trust::default() };
    text(|out| prove_consistency(&state.0, &trust, (1, None), &to, Format::Text, out));
    let consistency = state.files("proof").into_iter().find(|path| path.extension() == Some("proof".as_ref()));
    let (long, zeros) = (state.0.join("long"), PathBuf::from("/dev/zero"));
    // Sparse: nothing of it lies on the disk.
    let made = fs::File::create(&long).and_then(|file| file.set_len(MAX_PROOF + 1));
    made.expect("writable");
    let old = Claim { record: None, old: Some(zeros.clone()) };
    let cases = [
        (&long, Claim::default(), "86 MiB"),
        (&zeros, Claim::default(), "86 MiB"),
        (&consistency.expect("a file"), old, "64 KiB"),
    ];
    for (file, claim, most) in cases {
        let error = check_proof(None, file, &trust, &claim, Format::Text, &mut Vec::new()).expect_err("it is too long");
        assert!(error.cause.contains("longer than a") && error.cause.contains(most), "{error}");
        assert_eq!(error.kind, Kind::Damaged);
    }
}
