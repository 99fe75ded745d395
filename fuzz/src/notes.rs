//! What others hand over about a log: proofs, notes with the lines of witnesses, answers of a witness. Nobody who made the
//! fuzzer's bytes has a key, so what is accepted is what was written.

use crate::edits::{Input, edit};
use crate::trace::{self, Machine, seal};
use axiom::header::HEADER;
use axiom::note::{Checkpoint, MachineKey, VerifierKey, WitnessKey};
use axiom::scan::{self, Next};
use axiom::tree::{Tree, root_of};
use axiom::{Head, Sealer};
use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use log_store::folder::Folder;
use log_store::prove::{Proof, Prover};
use log_store::witness::{Answer, Submission, notes, only_of};
use log_store::{Log, Settings};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

use crate::model;

/// A log, proofs of it, and a witness that signed two of its checkpoints.
struct World {
    key: VerifierKey,
    witness: WitnessKey,
    /// Header and bodies of each block.
    blocks: Vec<([u8; HEADER], [Vec<u8>; 3])>,
    /// Signed checkpoints with the witness's line, and what each says; the newest last.
    notes: Vec<(String, Checkpoint)>,
    /// The witness's lines, as long as the notes.
    lines: Vec<String>,
    proofs: Vec<String>,
}

/// When the witness signs, s since 1970.
const TIME: u64 = 1_790_000_000;
const WITNESS: &str = "witness.example/w";

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let machine_key = trace::key();
    let key = machine_key.verifier();
    let signer = SigningKey::from_bytes(&[9; 32]);
    let public = signer.verifying_key().to_bytes();
    let hash = Sha256::new().chain_update(format!("{WITNESS}\n")).chain_update([4]).chain_update(public).finalize();
    let id: [u8; 4] = hash[..4].try_into().expect("four bytes");
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let vkey = format!("{WITNESS}+{hex}+{}", Base64::encode_string(&[&[4][..], &public].concat()));
    let witness = WitnessKey::from_text(&vkey).expect("a key");

    let mut config = Machine::config();
    config.key = machine_key.public();
    let mut machine = Machine::boot(config, Head::EMPTY);
    let mut state = 7u64;
    for _ in 0..300 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        machine.step(&(state >> 8).to_le_bytes());
    }
    let raw = machine.blocks();
    let frames = seal(&mut Sealer::new(Head::EMPTY, Tree::new(), machine_key.clone()), &raw);
    let (mut at, mut blocks) = (0, Vec::new());
    while let Next::Block(block, length) = scan::next(&frames, at) {
        blocks.push((*block.header_bytes, block.bodies.map(|body| body.unwrap_or_default().to_vec())));
        at += length;
    }

    let (mut log, _) = Log::open(model::Model::default(), machine_key.clone(), Settings::default()).expect("a new log");
    let (mut signed, mut lines) = (Vec::new(), Vec::new());
    for (number, block) in raw.iter().enumerate() {
        log.append(block).expect("it is written");
        if number == raw.len() / 2 || number + 1 == raw.len() {
            log.publish().expect("it is published");
            let note = String::from_utf8(log.folder().read("checkpoint").expect("published")).expect("text");
            let said = key.check(note.as_bytes()).expect("it is good");
            let text = note.split_once("\n\n").map(|(body, _)| format!("{body}\n")).expect("a note");
            let message = format!("cosignature/v1\ntime {TIME}\n{text}");
            let bytes = [&id[..], &TIME.to_be_bytes(), &signer.sign(message.as_bytes()).to_bytes()].concat();
            lines.push(format!("\u{2014} {WITNESS} {}\n", Base64::encode_string(&bytes)));
            signed.push((note, said));
        }
    }
    let folder = log.into_folder();
    let (newest, older) = (&signed[1], &signed[0]);
    let witnesses = std::slice::from_ref(&witness);
    let mut proofs = Vec::new();
    for cosigned in [None, Some(format!("{}{}", newest.0, lines[1]).into_bytes())] {
        let mut prover = Prover::new(&folder, &key, cosigned, witnesses).expect("a prover");
        prover.keep(older.0.clone().into_bytes(), &key, witnesses).expect("it was kept");
        for record in [0, 40, 200] {
            proofs.push(Proof::Inclusion(prover.inclusion(record).expect("a proof")).to_text());
        }
        for old in [0, 1, older.1.size, newest.1.size] {
            proofs.push(Proof::Consistency(prover.consistency(old, None).expect("a proof")).to_text());
        }
    }
    World { key, witness, blocks, notes: signed, lines, proofs }
});

/// Text with the fuzzer's edits.
fn edited(input: &mut Input<'_>, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    while !input.is_empty() {
        edit(input, &mut bytes);
    }
    bytes
}

/// That a note which was accepted says what was signed.
fn is_signed(checkpoint: &Checkpoint) {
    assert!(WORLD.notes.iter().any(|(_, said)| said == checkpoint), "a checkpoint is accepted that nobody signed");
}

/// A proof as an outsider reads it: refused with a reason, or what is in it is what was logged.
pub fn proofs(data: &[u8]) {
    let world = &*WORLD;
    let mut input = Input(data);
    let good = usize::from(input.byte());
    let bytes = match world.proofs.get(good % (world.proofs.len() + 1)) {
        Some(proof) => edited(&mut input, proof),
        None => input.0.to_vec(),
    };
    let Ok(text) = String::from_utf8(bytes) else { return };
    let proof = match Proof::from_text(&text) {
        Ok(proof) => proof,
        Err(refused) => return assert!(!refused.to_string().is_empty()),
    };
    assert_eq!(proof.to_text(), text, "a proof has one form");
    let witnesses = std::slice::from_ref(&world.witness);
    match proof {
        Proof::Inclusion(proof) => match proof.check(&world.key, witnesses) {
            Ok(cosigned) => {
                is_signed(&cosigned.checkpoint);
                let block = proof.block().expect("it was checked");
                let (header, bodies) = &world.blocks[proof.index as usize];
                assert!(block.header_bytes == header, "another block is proved than was written");
                let same = |(body, written): (&Option<&[u8]>, &Vec<u8>)| body.is_none_or(|body| body == written);
                assert!(block.bodies.iter().zip(bodies).all(same), "other records are proved than were written");
            }
            Err(refused) => assert!(!refused.to_string().is_empty()),
        },
        Proof::Consistency(proof) => {
            for (note, said) in &world.notes {
                match proof.check(note.as_bytes(), &world.key, witnesses) {
                    Ok(cosigned) => {
                        is_signed(&cosigned.checkpoint);
                        assert!(said.size == proof.old && said.size <= cosigned.checkpoint.size);
                    }
                    Err(refused) => assert!(!refused.to_string().is_empty()),
                }
            }
        }
    }
}

/// What a witness answers, again and again, and what lies in the file of what was witnessed: an accepted line is one
/// that the witness signed.
pub fn witness(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => keys(input.0),
        1 => witnessed(&mut input),
        _ => answers(&mut input),
    }
}

fn answers(input: &mut Input<'_>) {
    let world = &*WORLD;
    let (note, checkpoint) = world.notes[usize::from(input.byte() % 2)].clone();
    let key = &world.witness;
    let submission = Submission { key, origin: world.key.name(), note: note.as_bytes(), checkpoint };
    let mut asked = 0;
    let post = |body: &str| {
        asked += 1;
        let (head, sent) = body.split_once("\n\n").expect("there is an empty line");
        assert!(head.starts_with("old ") && sent == note, "what is sent is the checkpoint");
        let code = [200, 409, 422, 404, 403, 500, 0, u16::from(input.byte())][usize::from(input.byte() % 8)];
        let mut text = match input.byte() % 4 {
            0 => world.lines.concat(),
            1 => world.lines[1].clone(),
            2 => format!("{}\n", input.byte()),
            _ => String::new(),
        }
        .into_bytes();
        for _ in 0..input.byte() % 4 {
            edit(input, &mut text);
        }
        if code == 0 { Err("unreachable".to_owned()) } else { Ok((code, String::from_utf8_lossy(&text).into_owned())) }
    };
    let prove = |old: u64| {
        assert!(old <= checkpoint.size, "what is not there is not proved");
        Ok::<_, std::convert::Infallible>(vec![root_of(&[]); (old % 3) as usize])
    };
    let Ok(answer) = submission.run(1, prove, post);
    assert!(asked <= 3);
    match answer {
        Answer::Cosigned(line, time) => {
            assert!(world.lines.contains(&line) && time == TIME, "a line is accepted that the witness did not sign");
            let whole = format!("{note}{line}");
            let said = world.key.check_cosigned(whole.as_bytes(), std::slice::from_ref(key)).expect("both signed");
            assert_eq!((said.checkpoint, said.cosignatures[0].time), (checkpoint, Some(TIME)));
        }
        Answer::Older(theirs) => assert!(theirs > checkpoint.size),
        Answer::Forked(theirs) => assert!(theirs <= checkpoint.size),
        Answer::Refused(why) | Answer::Unreachable(why) => assert!(!why.is_empty()),
    }
}

fn witnessed(input: &mut Input<'_>) {
    let world = &*WORLD;
    let whole: String =
        world.notes.iter().zip(&world.lines).rev().map(|((note, _), line)| format!("{note}{line}")).collect();
    let file = edited(input, &whole);
    let all = notes(&file);
    assert_eq!(all.concat(), file, "every byte belongs to a note");
    let witnesses = std::slice::from_ref(&world.witness);
    for note in &all {
        match world.key.check_cosigned(note, witnesses) {
            Ok(said) => {
                is_signed(&said.checkpoint);
                let known = |line: &&axiom::note::Cosignature| line.time.is_some();
                assert!(said.cosignatures.iter().filter(known).all(|line| line.time == Some(TIME)));
                let kept = only_of(note, &[WITNESS]);
                if !kept.is_empty() {
                    let again = world.key.check_cosigned(kept.as_bytes(), witnesses).expect("less of what was good");
                    assert!(again.checkpoint == said.checkpoint && again.cosignatures.len() <= said.cosignatures.len());
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        drop(only_of(note, &["", WITNESS]));
    }
}

/// Keys are read in their one form.
fn keys(bytes: &[u8]) {
    let world = &*WORLD;
    let mut input = Input(bytes);
    let good = [world.key.to_text(), world.witness.to_text(), trace::key().to_secret_text()];
    let text = &good[usize::from(input.byte() % 3)];
    let bytes = edited(&mut input, text);
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    assert!(VerifierKey::from_text(text).is_none_or(|key| key.to_text() == text));
    assert!(WitnessKey::from_text(text).is_none_or(|key| key.to_text() == text));
    assert!(MachineKey::from_secret_text(text).is_none_or(|key| key.to_secret_text() == text));
}
