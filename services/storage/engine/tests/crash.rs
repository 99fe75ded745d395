//! A power cut at every write boundary, with what was not flushed lost, kept, torn
//! and reordered: the disk mounts, every acknowledged transaction is there, none is
//! there by half, and nothing is damaged.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use storage_engine::simulation::{Event, Fate, History, Random, SimulatedDisk, run, run_for, together};
use storage_engine::transaction::Content;
use storage_engine::{BlockDevice, DeviceError, Store};

type Stored = Rc<(Vec<u8>, Vec<u8>)>;
type Contents = BTreeMap<Vec<u8>, Stored>;
type Write = (Vec<u8>, Option<Stored>);

/// The transactions that were begun, by number; a number that was lost may be used again.
#[derive(Default)]
struct Script {
    begun: RefCell<BTreeMap<u64, Vec<Vec<Write>>>>,
}

impl Script {
    /// Whether `contents` is what the transactions up to `last` give, of those with the
    /// same number any one.
    fn allows(&self, last: u64, contents: &Contents) -> bool {
        let begun = self.begun.borrow();
        let mut states = vec![Contents::new()];
        for variants in begun.range(..=last).map(|(_, variants)| variants) {
            let mut next = Vec::new();
            for state in &states {
                for writes in variants {
                    let mut state = state.clone();
                    for (key, value) in writes {
                        match value {
                            Some(value) => state.insert(key.clone(), value.clone()),
                            None => state.remove(key),
                        };
                    }
                    next.push(state);
                }
            }
            next.dedup();
            states = next;
        }
        states.contains(contents)
    }
}

async fn transact<D: BlockDevice>(store: &Store<D>, script: &Script, random: &RefCell<Random>) -> u64 {
    let count = 1 + random.borrow_mut().below(3);
    let mut staged = Vec::new();
    for _ in 0..count {
        let (key, kind, size) = {
            let mut random = random.borrow_mut();
            (random.below(24), random.below(6), random.below(900))
        };
        let key = [vec![b'k'; key as usize % 3 * 60], vec![key as u8]].concat();
        let fill = random.borrow_mut().number() as u8;
        staged.push(match kind {
            0 => (key, None),
            1 | 2 => {
                let bytes = vec![fill; 1 + size as usize * 12];
                let extent = store.stage(&bytes).await.expect("there is room");
                (key, Some((vec![fill; 3], bytes, Content::New(extent))))
            }
            _ => (key, Some((vec![fill; size as usize], Vec::new(), Content::None))),
        });
    }
    let mut transaction = store.begin().await;
    let mut writes = Vec::new();
    for (key, value) in staged {
        match value {
            Some((meta, bytes, content)) => {
                transaction.put(&key, meta.clone(), content).unwrap();
                writes.push((key, Some(Rc::new((meta, bytes)))));
            }
            None => {
                transaction.delete(&key);
                writes.push((key, None));
            }
        }
    }
    script.begun.borrow_mut().entry(transaction.sequence()).or_default().push(writes);
    transaction.commit().await.expect("there is room")
}

/// Mounts an image and returns what is in it and its last transaction.
fn recover(image: Vec<u8>, context: &str) -> (Store<SimulatedDisk>, Contents, u64) {
    let disk = SimulatedDisk::with(image);
    let (store, report) =
        run(Store::mount(disk, [9; 16]), async {}).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(report.damage.is_empty(), "{context}: {report:?}");
    let (contents, last) = read_all(&store, context);
    (store, contents, last)
}

fn read_all(store: &Store<SimulatedDisk>, context: &str) -> (Contents, u64) {
    run(
        async {
            let snapshot = store.snapshot();
            let scan = snapshot.scan(&[], &[0xFF; 300], usize::MAX).await;
            assert!(!scan.damaged, "{context}");
            let mut contents = Contents::new();
            for entry in scan.entries {
                let bytes = match &entry.value.extent {
                    Some(extent) => snapshot.read(extent).await.unwrap_or_else(|error| panic!("{context}: {error}")),
                    None => Vec::new(),
                };
                contents.insert(entry.key.to_vec(), Rc::new((entry.value.meta.clone(), bytes)));
            }
            (contents, store.begin().await.sequence() - 1)
        },
        async {},
    )
}

/// Every image that a power cut could leave holds what was acknowledged. Returns how many there were.
fn survives(history: &History, script: &Script, tosses: u64, again: bool) -> u64 {
    let mut images = 0;
    history.crashes(tosses, |image, acknowledged, point, fate| {
        images += 1;
        let context = format!("power cut after event {point}, {fate:?}");
        let (store, contents, last) = recover(image, &context);
        let promised = acknowledged.iter().max().copied().unwrap_or(0);
        assert!(last >= promised, "{context}: transaction {promised} was acknowledged, the last there is {last}");
        assert!(script.allows(last, &contents), "{context}: what is there is not the state after transaction {last}");
        if again && images % 5 == 0 {
            // The next run of the machine is cut off as well.
            let disk = store.device().clone();
            disk.record();
            let next = Script::default();
            let before: Vec<Write> = contents.into_iter().map(|(key, value)| (key, Some(value))).collect();
            next.begun.borrow_mut().insert(last, vec![before]);
            let random = RefCell::new(Random(images));
            run(
                async {
                    for _ in 0..2 {
                        let number = transact(&store, &next, &random).await;
                        disk.mark(number);
                    }
                },
                store.run(),
            );
            survives(&disk.history(), &next, 2, false);
        }
    });
    images
}

fn workload(seed: u64, writers: u64, each: u64) -> (SimulatedDisk, Script) {
    let disk = SimulatedDisk::empty(2048);
    disk.record();
    let script = Script::default();
    let (store, _) = run(Store::mount(disk.clone(), [9; 16]), async {}).unwrap();
    let random = RefCell::new(Random(seed));
    let tasks = (0..writers)
        .map(|_| {
            Box::pin(async {
                for _ in 0..each {
                    let number = transact(&store, &script, &random).await;
                    disk.mark(number);
                }
            }) as _
        })
        .collect();
    run(together(seed, tasks), store.run());
    (disk, script)
}

#[test]
fn a_single_writer_loses_nothing() {
    let mut images = 0;
    for seed in 0..4 {
        let (disk, script) = workload(seed, 1, 25);
        images += survives(&disk.history(), &script, 6, true);
    }
    println!("{images} images");
    assert!(images > 2000);
}

#[test]
fn writers_side_by_side_lose_nothing() {
    let mut images = 0;
    for seed in 10..14 {
        let (disk, script) = workload(seed, 8, 8);
        images += survives(&disk.history(), &script, 8, true);
    }
    println!("{images} images");
    assert!(images > 800);
}

/// The process that serves the disk is killed, another mounts what the first had
/// written but not flushed, and then the power goes.
#[test]
fn a_kill_before_the_power_cut_loses_nothing() {
    for seed in 20..25 {
        let disk = SimulatedDisk::empty(2048);
        disk.record();
        let script = Script::default();
        let random = RefCell::new(Random(seed));
        for life in 0..4 {
            let Some(Ok((store, _))) = run_for(Store::mount(disk.clone(), [9; 16]), async {}, 1_000_000) else {
                panic!("mounts")
            };
            let tasks = (0..3)
                .map(|_| {
                    Box::pin(async {
                        for _ in 0..10_000 {
                            let number = transact(&store, &script, &random).await;
                            disk.mark(number);
                        }
                    }) as _
                })
                .collect();
            run_for(together(seed + life, tasks), store.run(), 5 + Random(seed * 8 + life).below(40));
        }
        survives(&disk.history(), &script, 4, false);
    }
}

#[test]
fn formatting_can_be_cut_off() {
    let disk = SimulatedDisk::empty(2048);
    disk.record();
    run(Store::mount(disk.clone(), [0xA5; 16]), async {}).unwrap();
    survives(&disk.history(), &Script::default(), 500, false);
}

#[test]
fn sealing_and_mending_can_be_cut_off() {
    let (disk, script) = workload(40, 1, 5);
    let last = disk
        .history()
        .events
        .iter()
        .filter_map(|event| if let Event::Mark(mark) = event { Some(*mark) } else { None })
        .max();
    let (store, _) = run(Store::mount(disk.clone(), [9; 16]), async {}).unwrap();
    disk.record();
    disk.mark(last.unwrap());
    run(store.seal(), async {}).unwrap();
    survives(&disk.history(), &script, 40, false);
    // One bad copy of each superblock.
    for page in 0..4 {
        let broken = SimulatedDisk::with(disk.image());
        broken.flip(page * 4096 + 60, 1);
        broken.record();
        broken.mark(last.unwrap());
        run(Store::mount(broken.clone(), [9; 16]), async {}).unwrap();
        survives(&broken.history(), &script, 40, false);
    }
}

#[test]
fn failing_writes_and_then_a_power_cut_lose_nothing() {
    for after in 0..12 {
        let disk = SimulatedDisk::empty(2048);
        disk.record();
        let script = Script::default();
        let (store, _) = run(Store::mount(disk.clone(), [9; 16]), async {}).unwrap();
        let random = RefCell::new(Random(after));
        run(
            async {
                for _ in 0..3 {
                    let number = transact(&store, &script, &random).await;
                    disk.mark(number);
                }
            },
            store.run(),
        );
        // A change that fails may be there afterwards or not, but not by half.
        disk.fail_after(Some((after, DeviceError::Failed)), false);
        run(
            async {
                for fill in 1..4u8 {
                    let mut transaction = store.begin().await;
                    let key = vec![b'f', fill];
                    transaction.put(&key, vec![fill; 700], Content::None).unwrap();
                    let number = transaction.sequence();
                    let both = vec![vec![], vec![(key, Some(Rc::new((vec![fill; 700], vec![]))))]];
                    script.begun.borrow_mut().insert(number, both);
                    if transaction.commit().await.is_ok() {
                        script.begun.borrow_mut().get_mut(&number).unwrap().remove(0);
                        disk.mark(number);
                    }
                }
            },
            store.run(),
        );
        disk.fail_after(None, false);
        run(
            async {
                for _ in 0..3 {
                    let number = transact(&store, &script, &random).await;
                    disk.mark(number);
                }
            },
            store.run(),
        );
        survives(&disk.history(), &script, 4, false);
    }
}

/// A disk that says it has flushed and has not.
struct Liar(SimulatedDisk);

impl BlockDevice for Liar {
    fn block_count(&self) -> u64 {
        self.0.block_count()
    }
    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(first, bytes).await
    }
    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write(first, bytes).await
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// These tests can fail: without flushes, they find the loss.
#[test]
fn a_missing_flush_is_found() {
    let disk = SimulatedDisk::empty(2048);
    disk.record();
    let script = Script::default();
    let (store, _) = run(Store::mount(Liar(disk.clone()), [9; 16]), async {}).unwrap();
    let random = RefCell::new(Random(1));
    run(
        async {
            for _ in 0..10 {
                let number = transact(&store, &script, &random).await;
                disk.mark(number);
            }
        },
        store.run(),
    );
    let lost = Cell::new(0);
    disk.history().crashes(4, |image, acknowledged, _, fate| {
        let promised = acknowledged.iter().max().copied().unwrap_or(0);
        let mounted = run(Store::mount(SimulatedDisk::with(image), [9; 16]), async {});
        let kept = mounted.is_ok_and(|(store, _)| run(store.begin(), async {}).sequence() > promised);
        if !kept {
            lost.set(lost.get() + 1);
            assert_ne!(fate, Fate::Kept);
        }
    });
    assert!(lost.get() > 100);
}
