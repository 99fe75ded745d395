//! What someone with the key of a log can make replay read: the commits of a run, changed, in blocks whose hashes are
//! right. Replay ends: with the record that is impossible, or in a state in which every invariant holds.

use crate::edits::{Input, edit};
use crate::trace::{Machine, PLATFORM, seal, sealer};
use axiom::block::{Block, Step};
use axiom::commit::{Class, CommitRef, Content};
use axiom::replay::Replay;
use axiom::scan::{self, Next};
use axiom::words::Narrator;
use axiom::{Head, Wrong};
use kernel::Kernel;
use kernel::commit::{Activity, Authority};
use std::sync::LazyLock;

/// A short run: its blocks, one behind the other.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    let mut state = 7u64;
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        machine.step(&(state >> 8).to_le_bytes());
    }
    seal(&mut sealer(), &machine.blocks())
});

static BLOCKS: LazyLock<Vec<Block<'static>>> = LazyLock::new(|| {
    let (bytes, mut at, mut blocks) = (&GOOD[..], 0, Vec::new());
    while let Next::Block(block, length) = scan::next(bytes, at) {
        blocks.push(block);
        at += length;
    }
    blocks
});

/// Each commit of the run.
static COMMITS: LazyLock<Vec<(Class, CommitRef<'static>)>> = LazyLock::new(|| {
    let steps = BLOCKS.iter().flat_map(Block::steps);
    let commits = steps.filter_map(|step| match step.expect("it is whole") {
        Step::Commit(class, commit) => Some((class, commit)),
        Step::Input(_) => None,
    });
    commits.filter(|(_, commit)| commit.to_event().is_none()).collect()
});

/// What passes leaves a state in which every invariant holds, however the rest is refused.
pub fn replay(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => blocks(&mut input),
        mode => commits(&mut input, mode == 1),
    }
}

/// That every invariant holds. The host may run one who is not the readiest, until the next commit.
fn sound(kernel: &Kernel) {
    if let Err(wrong) = kernel.check() {
        assert!(wrong.starts_with("K16"), "{wrong}");
    }
}

/// Commits of the run, changed or out of their order, after as many as came before them: those that are refused are left
/// out. Then the rest of the run, as far as it still can follow.
fn commits(input: &mut Input<'_>, alone: bool) {
    let all = &*COMMITS;
    let mut replay = Replay::new(PLATFORM);
    if alone {
        // A trimmed block comes first: from then on authority alone is replayed.
        let mut frame = Vec::new();
        let first = &BLOCKS[0];
        frame.extend_from_slice(&Block::frame_head(first.header_bytes, first.header.lengths, 0, true));
        frame.extend_from_slice(first.bodies[0].unwrap_or_default());
        let (trimmed, _) = Block::parse(&frame).expect("it is whole");
        replay.begin(&trimmed);
    }
    let begin = usize::from(input.short()) % all.len();
    for (number, (class, commit)) in all[..begin].iter().enumerate() {
        let followed = replay.commit(*class, commit, number as u64);
        assert_eq!(followed, Ok(()), "what was recorded can be replayed");
    }
    while !input.is_empty() {
        let (class, commit) = all[usize::from(input.short()) % all.len()];
        let mut bytes = match commit.content {
            Content::Words(words) => {
                let mut bytes = words.map(u64::to_le_bytes).as_flattened()[..12].to_vec();
                bytes.rotate_left(1);
                bytes.truncate(11);
                bytes
            }
            Content::Wide(content) => content.to_vec(),
        };
        // The numbers of a commit are mostly one byte each.
        for _ in 0..input.byte() % 4 {
            let at = usize::from(input.byte()) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = input.byte();
            }
        }
        let kinds = || Authority::KINDS.iter().chain(Activity::KINDS);
        let kind = match input.byte() {
            other @ 240.. => kinds().nth(usize::from(other - 240) * 4 % kinds().count()).map_or(1, |&(kind, _)| kind),
            _ => commit.kind,
        };
        let content = match commit.content {
            Content::Words(_) => {
                let mut words = [0; 16];
                words[0] = kind;
                words[1..12].copy_from_slice(&bytes);
                let word = |at: usize| words[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                Content::Words([word(0), word(8)])
            }
            Content::Wide(_) => Content::Wide(&bytes),
        };
        let class = kernel::Class::of(kind).unwrap_or(class);
        if replay.commit(class, &CommitRef { kind, content, ..commit }, 7).is_ok() && !alone {
            sound(replay.kernel());
        }
    }
    for (class, commit) in &all[begin..] {
        if let Err(wrong) = replay.commit(*class, commit, 7) {
            assert!(matches!(wrong, Wrong::Impossible(7, _)), "{wrong}");
        }
    }
    if !alone {
        sound(replay.kernel());
    }
}

/// The blocks of the run, some with changed bodies, whose hashes are right, some trimmed: replayed, and told.
fn blocks(input: &mut Input<'_>) {
    let mut bodies: Vec<[Vec<u8>; 3]> =
        BLOCKS.iter().map(|block| block.bodies.map(|body| body.unwrap_or_default().to_vec())).collect();
    let trimmed = usize::from(input.byte()) % 16;
    while !input.is_empty() {
        let block = usize::from(input.byte()) % bodies.len();
        let body = usize::from(input.byte() % 3);
        edit(input, &mut bodies[block][body]);
    }
    let (mut replay, mut narrator) = (Replay::new(PLATFORM), Narrator::new(PLATFORM));
    for (block, bodies) in BLOCKS.iter().zip(&bodies) {
        let trimmed = block.header.number >= 4 && block.header.number < trimmed as u64;
        let mut header = block.header;
        header.lengths = [0, 1, 2].map(|body| bodies[body].len() as u32);
        header.bodies = [0, 1, 2].map(|body| *blake3::hash(&bodies[body]).as_bytes());
        let mut frame = Block::frame_head(&header.encode(), header.lengths, 0, trimmed).to_vec();
        bodies.iter().take(if trimmed { 1 } else { 3 }).for_each(|body| frame.extend_from_slice(body));
        let Ok((block, _)) = Block::parse(&frame) else { return };
        let told = narrator.block(&block, |_, _, _| true, |line| drop(line.to_string()));
        let replayed = replay.block(&block);
        let whole = replay.is_whole();
        match (told, replayed) {
            (Ok(()), Ok(()) | Err(Wrong::State(_))) => {}
            (told, replayed) => assert_eq!(told, replayed, "what can be told can be replayed"),
        }
        if whole {
            sound(replay.kernel());
        }
        if replayed.is_err() {
            return;
        }
    }
}
