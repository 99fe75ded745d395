//! How many records a second are appended (sealed, hashed, one fdatasync a MiB), verified and replayed.
//! The records are calls given from hand to hand and their answers, 32 bytes each.

use axiom::RawBlock;
use axiom::replay::Replay;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use log_store::folder::DiskFolder;
use log_store::segments::{Go, walk};
use log_store::verify::verify;
use log_store::{Log, Settings, key};
use std::hint::black_box;
use std::path::PathBuf;

/// Round trips: two records each.
const ROUND_TRIPS: usize = 500_000;

fn blocks(key: [u8; 32]) -> Vec<RawBlock> {
    let mut pair = bench_core::Pair::with_key(key).expect("the kernel accepts the set-up");
    let mut blocks = Vec::new();
    for _ in 0..ROUND_TRIPS {
        assert!(pair.round_trip());
        pair.take_blocks(|block| blocks.push(block));
    }
    blocks
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A log that has its first block, durable and published.
fn begin(place: &Place, first: &RawBlock) -> Log<DiskFolder> {
    drop(std::fs::remove_dir_all(place.0.join("log")));
    let key = key::load_or_create(&place.0.join("machine.key")).expect("a key");
    let folder = DiskFolder::new(place.0.join("log"));
    let (mut log, _) = Log::open(folder, key, Settings::default()).expect("it opens");
    log.append(first).expect("appended");
    log.sync().expect("synced");
    log
}

/// What is measured: all is durable when it returns. Tiles and checkpoint follow once a second, whatever
/// was appended in it.
fn append(log: &mut Log<DiskFolder>, blocks: &[RawBlock]) {
    for block in blocks {
        log.append(block).expect("appended");
        if log.waiting() == 0 {
            // A MiB was just written.
            log.sync().expect("synced");
        }
    }
    log.sync().expect("synced");
}

fn log(criterion: &mut Criterion) {
    // On the disk that builds are made on: a folder in memory would sync nothing.
    let place = Place(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("log-bench"));
    let key = key::load_or_create(&place.0.join("machine.key")).expect("a key");
    let blocks = blocks(key.public());
    let records = blocks.last().map_or(0, RawBlock::end);
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(records)).sample_size(10);
    let mut log = begin(&place, &blocks[0]);
    append(&mut log, &blocks[1..]);
    log.publish().expect("published");
    let verifier = log.key().verifier();
    drop(log);
    let folder = DiskFolder::new(place.0.join("log"));
    group.bench_function("verify", |bencher| bencher.iter(|| black_box(verify(&folder, &verifier).expect("whole"))));
    group.bench_function("replay", |bencher| {
        bencher.iter(|| {
            let mut replay = Replay::new(kernel::Platform::WASM);
            walk(&folder, 0, |block| {
                replay.block(block).expect("it replays");
                Ok(Go::On)
            })
            .expect("it can be walked");
            black_box(replay.commits())
        });
    });
    group.bench_function("append", |bencher| {
        bencher.iter_batched(
            || begin(&place, &blocks[0]),
            |mut log| {
                append(&mut log, &blocks[1..]);
                log
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, log);
criterion_main!(benches);
