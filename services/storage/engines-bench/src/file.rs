//! The engine of this project on a real file with `fdatasync`: group commit by number of
//! writers, values of several sizes, mounting.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Instant;
use storage_engine::simulation::{run, together, yield_once};
use storage_engine::transaction::Content;
use storage_engine::{BlockDevice, DeviceError, Store};

struct FileDisk {
    file: File,
    blocks: u64,
    flushes: Cell<u64>,
}

impl BlockDevice for FileDisk {
    fn block_count(&self) -> u64 {
        self.blocks
    }
    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        yield_once().await;
        self.file.read_exact_at(bytes, first * 512).map_err(|_| DeviceError::Failed)
    }
    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        yield_once().await;
        self.file.write_all_at(bytes, first * 512).map_err(|_| DeviceError::Failed)
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        yield_once().await;
        self.flushes.set(self.flushes.get() + 1);
        self.file.sync_data().map_err(|_| DeviceError::Failed)
    }
}

fn disk(path: &std::path::Path) -> FileDisk {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).expect("a file");
    file.set_len(256 << 20).expect("room");
    FileDisk { file, blocks: (256 << 20) / 512, flushes: Cell::new(0) }
}

pub fn table() {
    let path = std::env::temp_dir().join(format!("storage-engine-{}.img", std::process::id()));
    let (store, _) = run(Store::mount(disk(&path), [1; 16]), async {}).expect("mounts");
    println!("| on a file of 256 MiB, fdatasync | puts/s | flushes a put |");
    println!("|---|---|---|");
    for (writers, size, rounds) in [
        (1u64, 100usize, 1000u64),
        (16, 100, 200),
        (64, 100, 100),
        (256, 100, 50),
        (1, 4096, 500),
        (64, 4096, 50),
        (1, 61_440, 300),
    ] {
        let flushes = store.device().flushes.get();
        let start = Instant::now();
        let tasks = (0..writers)
            .map(|writer| {
                let store = &store;
                Box::pin(async move {
                    for round in 0..rounds {
                        let key = [writer.to_be_bytes(), (round % 50).to_be_bytes()].concat();
                        let (meta, content) = if size <= 1024 {
                            (vec![round as u8; size], Content::None)
                        } else {
                            (vec![0; 16], Content::New(store.stage(&vec![round as u8; size]).await.expect("room")))
                        };
                        let mut transaction = store.begin().await;
                        transaction.put(&key, meta, content).expect("fits");
                        transaction.commit().await.expect("commits");
                    }
                }) as _
            })
            .collect();
        run(together(1, tasks), store.run());
        let puts = (writers * rounds) as f64;
        let flushed = (store.device().flushes.get() - flushes) as f64 / puts;
        println!("| {writers} writers, {size} bytes | {:.0} | {flushed:.3} |", puts / start.elapsed().as_secs_f64());
    }
    // Many keys, then mount.
    let count = 200_000u32;
    for first in (0..count).step_by(1000) {
        run(
            async {
                let mut transaction = store.begin().await;
                for number in first..first + 1000 {
                    transaction.put(&number.to_be_bytes(), vec![number as u8; 100], Content::None).expect("fits");
                }
                transaction.commit().await.expect("commits");
            },
            store.run(),
        );
    }
    drop(store);
    let start = Instant::now();
    let (_, report) = run(Store::mount(disk(&path), [1; 16]), async {}).expect("mounts");
    println!(
        "| mount with {} entries in {} nodes | {:.0} ms | |",
        report.entries,
        report.nodes,
        start.elapsed().as_secs_f64() * 1000.0
    );
    let _ = std::fs::remove_file(&path);
}
