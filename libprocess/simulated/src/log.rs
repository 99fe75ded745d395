//! The log of a simulated machine: what a host would have written to its segment files,
//! in one piece of memory. Blocks are durable once they were synced; a power cut loses
//! the others, and may leave a torn one.

use axiom::Axiom;
use axiom::block::{Block, Head};
use axiom::door::{Config, state_hash};
use axiom::event::{Platform, PreviousEnd};
use axiom::note::MachineKey;
use axiom::replay::Replay;
use axiom::scan::{self, Next};
use axiom::seal::Sealer;
use axiom::tree::Tree;
use axiom::words::Narrator;
use simulated_disk::Random;

/// The seed of the key that all simulated machines sign with.
const KEY: [u8; 32] = *b"this key signs nothing of value!";

/// Slots of 32 bytes in a block: few, so that tests see many blocks.
const SLOTS: usize = 256;

/// What the kernel is told of this host: like a component, a process has one thread
/// and no address space.
const PLATFORM: kernel::Platform = kernel::Platform::WASM;

/// The log.
#[derive(Default)]
pub struct Log {
    /// Frames, one after the other.
    bytes: Vec<u8>,
    /// Of these, durable.
    durable: usize,
    sealer: Option<Sealer>,
    /// Nothing more can be written.
    pub(crate) broken: bool,
}

impl Log {
    pub(crate) fn new() -> Log {
        Log::default()
    }

    /// Its bytes: frames as they lie in a host's segment files.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Recovers what is there, as a host does at boot, and begins a boot behind it.
    ///
    /// # Panics
    /// When what is there is no log: a power cut never makes that of one.
    pub(crate) fn open(&mut self, images: &[(String, [u8; 32])], wall_time: u64) -> Axiom {
        let (mut head, mut tree) = (Head::EMPTY, Tree::new());
        let mut at = 0;
        let cut = loop {
            match scan::next(&self.bytes, at) {
                Next::Block(block, length) => {
                    head.accept(&block).unwrap_or_else(|wrong| panic!("block {}: {wrong}", head.blocks));
                    tree.push(block.header_bytes);
                    at += length;
                }
                Next::End => break 0,
                Next::Bad(wrong) => {
                    let durable = scan::was_durable(&self.bytes[at..], head.blocks);
                    assert!(!durable, "block {} was durable and is damaged: {wrong}", head.blocks);
                    break self.bytes.len() - at;
                }
            }
        };
        self.bytes.truncate(at);
        self.durable = at;
        let key = MachineKey::from_seed(&KEY);
        let config = Config {
            slots: SLOTS,
            platform: Platform { name: "simulated".into(), manifest: [0; 32], images: images.to_vec(), wall_time },
            key: key.public(),
            previous: match (head.blocks, head.ended) {
                (0, _) => PreviousEnd::First,
                (_, true) => PreviousEnd::Orderly { cut: cut as u64 },
                (_, false) => PreviousEnd::Crash { cut: cut as u64 },
            },
            ..Config::new(PLATFORM)
        };
        self.sealer = Some(Sealer::new(head, tree, key));
        Axiom::new(config, head)
    }

    /// Seals the blocks that are full. To be called often: few may wait.
    pub(crate) fn collect(&mut self, axiom: &mut Axiom) {
        let Some(sealer) = &mut self.sealer else { return };
        while let Some(raw) = axiom.take_block() {
            let synced = sealer.head().blocks;
            sealer.seal(&raw, synced, &mut self.bytes);
            axiom.recycle(raw);
        }
    }

    /// Everything on record so far is in a sealed block.
    pub(crate) fn cut(&mut self, axiom: &mut Axiom, now: u64) {
        axiom.cut(now);
        self.collect(axiom);
    }

    /// Everything on record so far is durable; `false` if the log cannot be written.
    pub(crate) fn sync(&mut self, axiom: &mut Axiom, now: u64) -> bool {
        if self.broken {
            return false;
        }
        self.cut(axiom, now);
        self.durable = self.bytes.len();
        true
    }

    /// The boot ends in order.
    pub(crate) fn end(&mut self, axiom: &mut Axiom, status: u64, now: u64) {
        axiom.end(status, now);
        self.sync(axiom, now);
    }

    /// What a power cut leaves: all that is durable, and of the rest a part, of which the
    /// last sector may be wrong.
    pub(crate) fn at_power_cut(&self, random: &mut Random) -> Log {
        let rest = (self.bytes.len() - self.durable) as u64;
        let kept = self.durable + random.below(rest + 1) as usize;
        let mut bytes = self.bytes[..kept].to_vec();
        if kept > self.durable && random.once_in(2) {
            let at = kept - 1 - random.below((kept - self.durable).min(512) as u64) as usize;
            bytes[at] ^= 0x55;
        }
        Log { bytes, durable: self.durable, ..Log::default() }
    }

    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || match scan::next(&self.bytes, at) {
            Next::Block(block, length) => {
                at += length;
                Some(block)
            }
            Next::End | Next::Bad(_) => None,
        })
    }

    /// Replays the whole log: every block follows the one before it, and the state at its
    /// end is that of the machine.
    pub(crate) fn check(&mut self, axiom: &mut Axiom, now: u64) -> Result<(), String> {
        self.cut(axiom, now);
        let mut replay = Replay::new(PLATFORM);
        let mut head = Head::EMPTY;
        for block in self.blocks() {
            head.accept(&block).map_err(|wrong| format!("block {}: {wrong}", block.header.number))?;
            replay.block(&block).map_err(|wrong| format!("block {}: {wrong}", block.header.number))?;
        }
        let (told, live) = (state_hash(replay.kernel()), axiom.state_hash());
        for (class, told, live) in [("authority", told[0], live[0]), ("activity", told[1], live[1])] {
            if told != live {
                return Err(format!("replay comes to another state of {class} than the machine has"));
            }
        }
        Ok(())
    }

    /// Every record in words, one a line.
    pub(crate) fn story(&mut self, axiom: &mut Axiom, now: u64) -> String {
        self.cut(axiom, now);
        let mut story = String::new();
        self.narrate(|line| {
            let time = line.entry.time;
            let (seconds, micros) = (time / 1_000_000_000, time % 1_000_000_000 / 1_000);
            story.push_str(&format!("{:6} {seconds}.{micros:06} {:12} {line}\n", line.entry.number, line.name));
        });
        story
    }

    fn narrate(&self, mut each: impl FnMut(axiom::words::Line)) {
        let mut narrator = Narrator::new(PLATFORM);
        for block in self.blocks() {
            if narrator.block(&block, |_, _, _| true, &mut each).is_err() {
                break;
            }
        }
    }

    /// Records from number `from` on, in as many bytes at most, as `log-read` returns them.
    /// A `from` so near to 2^64 that no record has it counts from the end.
    pub(crate) fn read(&self, from: u64, length: usize) -> Vec<u8> {
        let newest = self.sealer.as_ref().map_or(0, |sealer| sealer.head().records);
        let from = if from > u64::MAX / 2 { newest.saturating_sub((u64::MAX - from).saturating_add(1)) } else { from };
        let mut bytes = Vec::new();
        let mut full = false;
        self.narrate(|line| {
            if full || line.entry.number < from {
                return;
            }
            let record = axiom::reader::encode(&line);
            full = bytes.len() + record.len() > length;
            if !full {
                bytes.extend(record);
            }
        });
        bytes
    }
}
