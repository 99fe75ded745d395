//! The store against a plain map: whatever transactions do, the two agree, before
//! and after mounting again.

use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use storage_engine::device::BLOCK;
use storage_engine::layout::{PAGE, SUPERBLOCKS, Superblock, hash};
use storage_engine::node::{Body, Node};
use storage_engine::simulation::{Random, SimulatedDisk, run, together, yield_once};
use storage_engine::transaction::Content;
use storage_engine::{BlockDevice, Damage, DeviceError, Error, MAX_CHUNK, MAX_KEY, MAX_META, MountError, Store};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>;

fn mount(disk: &SimulatedDisk) -> (Store<SimulatedDisk>, storage_engine::MountReport) {
    run(Store::mount(disk.clone(), [1; 16]), async {}).expect("mounts")
}

async fn put(store: &Store<SimulatedDisk>, key: &[u8], meta: &[u8], bytes: &[u8]) -> Result<u64, Error> {
    let content = if bytes.is_empty() { Content::None } else { Content::New(store.stage(bytes).await?) };
    let mut transaction = store.begin().await;
    transaction.put(key, meta.to_vec(), content)?;
    transaction.commit().await
}

async fn delete(store: &Store<SimulatedDisk>, key: &[u8]) -> Result<u64, Error> {
    let mut transaction = store.begin().await;
    transaction.delete(key);
    transaction.frees_space();
    transaction.commit().await
}

async fn everything(store: &Store<SimulatedDisk>) -> Model {
    let snapshot = store.snapshot();
    let mut all = Model::new();
    let mut from: Vec<u8> = Vec::new();
    loop {
        let scan = snapshot.scan(&from, &[0xFF; 300], 7).await;
        assert!(!scan.damaged);
        for entry in scan.entries {
            let bytes = match &entry.value.extent {
                Some(extent) => snapshot.read(extent).await.expect("reads"),
                None => Vec::new(),
            };
            assert_eq!(snapshot.get(&entry.key).await, Ok(Some(entry.value.clone())));
            all.insert(entry.key.to_vec(), (entry.value.meta.clone(), bytes));
        }
        match scan.next {
            Some(next) => from = next.to_vec(),
            None => return all,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize, usize),
    Delete(u8),
    Several(Vec<(u8, Option<usize>)>),
    Remount,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), 0usize..=MAX_META, prop_oneof![3 => Just(0usize), 1 => 1usize..20_000]).prop_map(|(k, m, b)| Step::Put(k, m, b)),
        4 => any::<u8>().prop_map(Step::Delete),
        2 => prop::collection::vec((any::<u8>(), prop::option::of(0usize..600)), 1..12).prop_map(Step::Several),
        1 => Just(Step::Remount),
    ]
}

/// Where the first child of a node has gone, lower keys come to the next one, until it splits.
#[test]
fn lower_keys_come_where_the_first_leaf_has_gone() {
    for gone in [2, 4, 8, 16] {
        let disk = SimulatedDisk::empty(16_384);
        let (mut store, _) = mount(&disk);
        let mut model = Model::new();
        // Three of these fill a leaf, so that none is joined with the next before it is empty.
        let meta = vec![7; 1200];
        let key = |letter: char, number: u32| format!("{letter}{number:03}").into_bytes();
        for number in 0..120 {
            run(put(&store, &key('m', number), &meta, b""), store.run()).unwrap();
            model.insert(key('m', number), (meta.clone(), Vec::new()));
        }
        for number in 0..gone {
            run(delete(&store, &key('m', number)), store.run()).unwrap();
            model.remove(&key('m', number));
        }
        for letter in ['l', 'b'] {
            for number in 0..40 {
                run(put(&store, &key(letter, number), &meta, b""), store.run()).unwrap();
                model.insert(key(letter, number), (meta.clone(), Vec::new()));
                let (mounted, report) = mount(&disk);
                assert_eq!(report.damage, [], "{gone} gone, then {letter}{number}");
                store = mounted;
            }
        }
        assert_eq!(run(everything(&store), store.run()), model);
    }
}

/// Keys of many lengths, with long common prefixes.
fn key(number: u8) -> Vec<u8> {
    let mut key = vec![b'k'; number as usize % 7 * 40];
    key.push(number);
    key
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_is_a_map(steps in prop::collection::vec(step(), 1..120)) {
        let disk = SimulatedDisk::empty(16_384);
        let (mut store, report) = mount(&disk);
        prop_assert!(report.formatted);
        let mut model = Model::new();
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(number, meta, bytes) => {
                    let (meta, bytes) = (vec![index as u8; meta], vec![number; bytes]);
                    run(put(&store, &key(number), &meta, &bytes), store.run()).unwrap();
                    model.insert(key(number), (meta, bytes));
                }
                Step::Delete(number) => {
                    run(delete(&store, &key(number)), store.run()).unwrap();
                    model.remove(&key(number));
                }
                Step::Several(writes) => {
                    let model = &mut model;
                    run(async {
                        let mut transaction = store.begin().await;
                        for (number, meta) in writes {
                            match meta {
                                Some(meta) => {
                                    let meta = vec![index as u8; meta];
                                    transaction.put(&key(number), meta.clone(), Content::None).unwrap();
                                    model.insert(key(number), (meta, Vec::new()));
                                }
                                None => {
                                    transaction.delete(&key(number));
                                    model.remove(&key(number));
                                }
                            }
                            let seen = transaction.scan(&[], &[0xFF; 300], usize::MAX).await;
                            let keys: Vec<Vec<u8>> = seen.entries.iter().map(|entry| entry.key.to_vec()).collect();
                            assert_eq!(keys, model.keys().cloned().collect::<Vec<_>>());
                        }
                        transaction.commit().await
                    }, store.run()).unwrap();
                }
                Step::Remount => {
                    let (again, report) = mount(&disk);
                    prop_assert!(!report.rolled_back && report.damage.is_empty());
                    prop_assert_eq!(again.usage(), store.usage(), "mounting finds the same pages taken");
                    store = again;
                }
            }
        }
        prop_assert_eq!(run(everything(&store), async {}), model.clone());
        let (again, report) = mount(&disk);
        prop_assert!(report.damage.is_empty() && report.mended == 0);
        prop_assert_eq!(report.entries, model.len() as u64);
        prop_assert_eq!(again.usage(), store.usage());
        prop_assert_eq!(run(everything(&again), async {}), model);
    }
}

#[test]
fn filled_and_emptied_the_disk_is_as_at_the_start() {
    let disk = SimulatedDisk::empty(8192);
    let (store, _) = mount(&disk);
    let start = store.usage();
    for round in 0..3 {
        let mut random = Random(round);
        let keys: Vec<Vec<u8>> = (0..400).map(|_| random.number().to_be_bytes().to_vec()).collect();
        for key in &keys {
            run(put(&store, key, &[7; 60], &[]), store.run()).unwrap();
        }
        assert_eq!(run(everything(&store), async {}).len(), 400);
        for key in &keys {
            run(delete(&store, key), store.run()).unwrap();
        }
        assert_eq!(store.usage().free, start.free);
        assert!(run(everything(&store), async {}).is_empty());
    }
}

#[test]
fn half_emptied_the_tree_shrinks() {
    let disk = SimulatedDisk::empty(65_536);
    let (store, _) = mount(&disk);
    let fill = |from: u32, to: u32| {
        run(
            async {
                let mut transaction = store.begin().await;
                for number in from..to {
                    transaction.put(&number.to_be_bytes(), vec![1; 100], Content::None).unwrap();
                }
                transaction.commit().await.unwrap();
            },
            store.run(),
        )
    };
    fill(0, 5000);
    let full = store.usage().free;
    for number in 0..5000u32 {
        if number % 50 != 0 {
            run(delete(&store, &number.to_be_bytes()), store.run()).unwrap();
        }
    }
    let taken = store.usage().pages - store.usage().free;
    assert!(taken < (store.usage().pages - full) / 8, "{taken} pages for 100 entries");
    assert_eq!(run(everything(&store), async {}).len(), 100);
}

#[test]
fn many_writers_share_flushes() {
    let disk = SimulatedDisk::empty(16_384);
    let (store, _) = mount(&disk);
    let before = disk.counts().flushes;
    let writers = (0..100u8)
        .map(|number| {
            let store = &store;
            Box::pin(async move {
                put(store, &[number], b"value", &[]).await.unwrap();
            }) as _
        })
        .collect();
    run(together(1, writers), store.run());
    let flushes = disk.counts().flushes - before;
    assert!(flushes <= 4, "{flushes} flushes for 100 writers");
    assert_eq!(run(everything(&store), async {}).len(), 100);
}

#[test]
fn a_reader_keeps_what_it_sees_while_others_write() {
    let disk = SimulatedDisk::empty(16_384);
    let (store, _) = mount(&disk);
    let old = vec![1; 20_000];
    run(put(&store, b"key", b"", &old), store.run()).unwrap();
    let snapshot = store.snapshot();
    for number in 2..40 {
        run(put(&store, b"key", b"", &vec![number; 20_000]), store.run()).unwrap();
        run(put(&store, &[number], &[number; 900], &[]), store.run()).unwrap();
    }
    let value = run(snapshot.get(b"key"), async {}).unwrap().unwrap();
    assert_eq!(run(snapshot.read(value.extent.as_ref().unwrap()), async {}), Ok(old));
    assert_eq!(run(snapshot.scan(&[], &[0xFF; 4], 99), async {}).entries.len(), 1);
    let free = store.usage().free;
    drop(snapshot);
    assert!(store.usage().free > free, "its pages are free when it goes");
}

#[test]
fn nobody_sees_what_is_not_durable() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    let watched = RefCell::new(false);
    run(
        async {
            let writer = put(&store, b"key", b"value", &[]);
            let reader = async {
                loop {
                    let flushes = disk.counts().flushes;
                    if store.snapshot().get(b"key").await.unwrap().is_some() {
                        assert!(flushes >= 3, "seen before its flush");
                        *watched.borrow_mut() = true;
                        return;
                    }
                    yield_once().await;
                }
            };
            together(3, vec![Box::pin(async { writer.await.map(|_| ()).unwrap() }), Box::pin(reader)]).await;
        },
        store.run(),
    );
    assert!(watched.into_inner());
}

#[test]
fn limits_are_refused_and_change_nothing() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    assert_eq!(run(put(&store, &[0; MAX_KEY + 1], b"", &[]), store.run()), Err(Error::TooLarge));
    assert_eq!(run(put(&store, b"k", &[0; MAX_META + 1], &[]), store.run()), Err(Error::TooLarge));
    assert_eq!(run(put(&store, b"k", b"", &vec![0; MAX_CHUNK + 1]), store.run()), Err(Error::TooLarge));
    assert!(run(put(&store, &[0; MAX_KEY], &[0; MAX_META], &vec![1; MAX_CHUNK]), store.run()).is_ok());
    assert_eq!(run(everything(&store), async {}).len(), 1);
}

#[test]
fn a_full_disk_says_so_loses_nothing_and_recovers() {
    let disk = SimulatedDisk::empty(1024);
    let (store, _) = mount(&disk);
    let mut written = 0u32;
    let error = loop {
        match run(put(&store, &written.to_be_bytes(), &[], &vec![written as u8; 9000]), store.run()) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::NoSpace);
    assert!(written > 20);
    // Small ones may still go in; then those are refused too.
    let mut small = 0u32;
    while run(put(&store, &[b"s".as_slice(), &small.to_be_bytes()].concat(), &[1; 1000], &[]), store.run()).is_ok() {
        small += 1;
        assert!(small < 100_000, "the disk never fills");
    }
    let all = run(everything(&store), async {});
    let (again, _) = mount(&disk);
    assert_eq!(run(everything(&again), async {}), all);
    for number in 0..written {
        run(delete(&again, &number.to_be_bytes()), again.run()).expect("deleting works on a full disk");
    }
    run(put(&again, b"new", &[], &vec![1; 9000]), again.run()).expect("space has returned");
}

#[test]
fn a_failing_disk_fails_the_writers_and_later_writes_go_on() {
    for after in 0..6 {
        let disk = SimulatedDisk::empty(4096);
        let (store, _) = mount(&disk);
        run(put(&store, b"old", b"1", &[]), store.run()).unwrap();
        disk.fail_after(Some((after, DeviceError::Failed)), false);
        let result = run(put(&store, b"old", b"2", &vec![5; 5000]), store.run());
        let failed = result.is_err();
        if failed {
            assert_eq!(result, Err(Error::Device(DeviceError::Failed)));
            assert_eq!(run(store.snapshot().get(b"old"), async {}).unwrap().unwrap().meta, b"1");
        }
        disk.fail_after(None, false);
        run(put(&store, b"new", b"3", &vec![6; 5000]), store.run()).expect("goes on");
        let all = run(everything(&store), async {});
        assert_eq!(all[b"new".as_slice()].1, vec![6; 5000]);
        assert_eq!(all[b"old".as_slice()].0, if failed { b"1" } else { b"2" });
        let (again, report) = mount(&disk);
        assert!(report.damage.is_empty());
        assert_eq!(run(everything(&again), async {}), all);
        assert_eq!(again.usage().free, store.usage().free, "nothing leaks from a failed commit");
    }
}

#[test]
fn a_disk_full_on_the_host_is_no_space() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    disk.fail_after(Some((0, DeviceError::Full)), false);
    assert_eq!(run(put(&store, b"k", b"v", &[]), store.run()), Err(Error::NoSpace));
}

/// `NoSpace` and `ReadOnly` say that nothing has changed.
#[test]
fn from_the_superblock_on_a_commit_that_fails_may_have_happened() {
    for (error, refused) in [
        (DeviceError::Full, Error::NoSpace),
        (DeviceError::ReadOnly, Error::Device(DeviceError::ReadOnly)),
        (DeviceError::OutOfRange, Error::Device(DeviceError::OutOfRange)),
    ] {
        let mut results = Vec::new();
        for after in 0..8 {
            let disk = SimulatedDisk::empty(4096);
            let (store, _) = mount(&disk);
            run(put(&store, b"k", b"old", &[]), store.run()).unwrap();
            disk.fail_after(Some((after, error)), false);
            let result = run(put(&store, b"k", b"new", &[5; 5000]), store.run());
            // A power cut after which everything is there that was written.
            let (again, _) = mount(&SimulatedDisk::with(disk.image()));
            let found = run(again.snapshot().get(b"k"), async {}).unwrap().unwrap();
            match result {
                Ok(_) => assert_eq!(found.meta, b"new"),
                Err(error) if error == refused => assert_eq!(found.meta, b"old", "after {after}"),
                Err(error) => assert_eq!(error, Error::Device(DeviceError::Failed)),
            }
            results.push(result.map(|_| ()));
        }
        // Bytes, flush, nodes; superblock, flush.
        let unknown = Err(Error::Device(DeviceError::Failed));
        assert_eq!(results[..6], [Err(refused), Err(refused), Err(refused), unknown, unknown, Ok(())]);
    }
}

/// Whoever wrote such a disk knew the format: every hash is right.
#[test]
fn a_disk_on_which_two_refer_to_one_page_is_only_read() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    for (key, byte) in [(b"a", 1), (b"b", 2)] {
        run(put(&store, key, &[], &[byte; 5000]), store.run()).unwrap();
    }
    run(store.seal(), store.run()).unwrap();
    let mut image = disk.image();
    forge(&mut image, |entries| entries[1].value = entries[0].value.clone());
    let disk = SimulatedDisk::with(image.clone());
    let (store, report) = mount(&disk);
    assert!(report.damage.len() == 1 && report.only_read);
    let first = run(store.snapshot().get(b"a"), async {}).unwrap().unwrap();
    let read = run(store.snapshot().read(first.extent.as_ref().unwrap()), async {});
    assert_eq!(read.as_deref(), Ok([1; 5000].as_slice()));
    for bytes in [&[][..], &[3; 5000]] {
        let refused = run(put(&store, b"c", &[], bytes), store.run());
        assert_eq!(refused, Err(Error::Device(DeviceError::ReadOnly)));
    }
    assert!(disk.image() == image, "something was written");
}

/// Changes the one leaf of a disk, and makes the hashes over it right.
fn forge(image: &mut [u8], change: impl FnOnce(&mut Vec<storage_engine::Entry>)) {
    let blocks = image[..SUPERBLOCKS].chunks_exact(PAGE).map(|page| Superblock::decode(&page[..BLOCK]));
    let mut superblock = blocks.flatten().max_by_key(|superblock| superblock.generation).unwrap();
    let root = superblock.root.as_mut().unwrap();
    let [first, second] = [root.page, root.copy].map(|page| page as usize * PAGE);
    let mut node = Node::decode(&image[first..][..PAGE]).unwrap();
    let Body::Leaf(entries) = &mut node.body else { panic!("more than a leaf") };
    change(entries);
    let page = node.encode();
    root.hash = hash(&page);
    let at = Superblock::block(superblock.generation) as usize * BLOCK;
    for (at, bytes) in
        [(first, &page[..]), (second, &page), (at, &superblock.encode()), (at + PAGE, &superblock.encode())]
    {
        image[at..][..bytes.len()].copy_from_slice(bytes);
    }
}

#[test]
fn a_read_only_disk_can_be_read() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    run(put(&store, b"k", b"v", &[]), store.run()).unwrap();
    disk.set_read_only(true);
    let (store, _) = mount(&disk);
    assert_eq!(run(everything(&store), async {}).len(), 1);
    assert_eq!(run(put(&store, b"k", b"w", &[]), store.run()), Err(Error::Device(DeviceError::ReadOnly)));
    assert!(matches!(run(store.stage(b"x"), async {}), Err(Error::Device(DeviceError::ReadOnly))));
    let empty = SimulatedDisk::empty(4096);
    empty.set_read_only(true);
    assert_eq!(run(Store::mount(empty, [1; 16]), async {}).err(), Some(MountError::EmptyReadOnly));
}

fn refusal(disk: &SimulatedDisk) -> MountError {
    let before = disk.image();
    let error = run(Store::mount(disk.clone(), [1; 16]), async {}).err().expect("is refused");
    assert!(disk.image() == before, "a refused disk is not touched");
    error
}

#[test]
fn what_is_not_ours_is_refused_untouched() {
    assert_eq!(refusal(&SimulatedDisk::empty(8)), MountError::TooSmall);
    for byte in [0, 1024, 5 * 4096, 1024 * 1024 - 1, 4 * 1024 * 1024 - 1] {
        let mut bytes = vec![0; 4 * 1024 * 1024];
        bytes[byte] = 0x53;
        assert_eq!(refusal(&SimulatedDisk::with(bytes)), MountError::Foreign(byte as u64 / 512));
    }
    let mut random = Random(5);
    let noise = (0..512 * 1024).map(|_| random.number() as u8).collect();
    assert_eq!(refusal(&SimulatedDisk::with(noise)), MountError::Foreign(0));
}

#[test]
fn a_store_that_lost_its_superblocks_or_its_end_is_refused() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    run(put(&store, b"k", b"v", &[]), store.run()).unwrap();
    let image = disk.image();
    assert_eq!(refusal(&SimulatedDisk::with(image[..1024 * 1024].to_vec())), MountError::Truncated(512));
    let mut bytes = image.clone();
    for page in 0..4 {
        bytes[page * 4096 + 100] ^= 1;
    }
    assert_eq!(refusal(&SimulatedDisk::with(bytes)), MountError::Damaged);
    let larger = SimulatedDisk::with([image, vec![0; 1024 * 1024]].concat());
    let (store, _) = mount(&larger);
    assert_eq!(store.usage().pages, 768, "a larger disk is used");
    run(put(&store, b"l", b"w", &[]), store.run()).unwrap();
    assert_eq!(run(everything(&mount(&larger).0), async {}).len(), 2);
}

#[test]
fn any_bit_may_flip_in_metadata_and_nothing_is_lost() {
    let disk = SimulatedDisk::empty(2048);
    let (store, _) = mount(&disk);
    for number in 0..60u8 {
        run(put(&store, &key(number), &[number; 200], &[]), store.run()).unwrap();
    }
    let all = run(everything(&store), async {});
    let image = disk.image();
    let mut mended = 0;
    for byte in (0..image.len()).step_by(97) {
        let disk = SimulatedDisk::with(image.clone());
        disk.flip(byte, (byte % 8) as u8);
        let (store, report) = mount(&disk);
        assert!(report.damage.is_empty() && !report.rolled_back);
        assert_eq!(run(everything(&store), async {}), all);
        if report.mended > 0 {
            mended += 1;
            let (_, report) = mount(&disk);
            assert_eq!(report.mended, 0, "mended for good");
        }
    }
    assert!(mended > 20);
}

#[test]
fn a_damaged_value_is_named_and_the_rest_stays_readable() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    for number in 0..20u8 {
        run(put(&store, &[number], b"meta", &vec![number; 9000]), store.run()).unwrap();
    }
    let victim = run(store.snapshot().get(&[7]), async {}).unwrap().unwrap();
    let page = victim.extent.as_ref().unwrap().runs[0].page as usize;
    disk.flip(page * 4096 + 5000, 3);
    let checked = run(store.check(), async {});
    assert_eq!(checked.damage, [Damage::Value { key: [7].as_slice().into() }]);
    assert_eq!(checked.entries, 20);
    for number in 0..20u8 {
        let snapshot = store.snapshot();
        let value = run(snapshot.get(&[number]), async {}).unwrap().unwrap();
        let bytes = run(snapshot.read(value.extent.as_ref().unwrap()), async {});
        assert_eq!(bytes, if number == 7 { Err(Error::Corrupt) } else { Ok(vec![number; 9000]) });
    }
}

#[test]
fn a_leaf_lost_twice_costs_only_its_keys() {
    let disk = SimulatedDisk::empty(16_384);
    let (store, _) = mount(&disk);
    for number in 0..255u8 {
        run(put(&store, &[number], &[number; 200], &[]), store.run()).unwrap();
    }
    run(store.seal(), async {}).unwrap();
    let image = disk.image();
    // Leaves are the pages of level 0; spoil both copies of the one that holds key 100.
    let live: Vec<usize> = (4..image.len() / 4096)
        .filter(|page| {
            &image[page * 4096..page * 4096 + 5] == b"node\0"
                && storage_engine::node::Node::decode(&image[page * 4096..][..4096]).is_some()
        })
        .collect();
    let checked = run(store.check(), async {});
    assert!(checked.damage.is_empty());
    let mut spoiled = 0;
    for page in live {
        let storage_engine::node::Body::Leaf(entries) =
            storage_engine::node::Node::decode(&image[page * 4096..][..4096]).unwrap().body
        else {
            continue;
        };
        if entries.iter().any(|entry| *entry.key == [100]) {
            disk.flip(page * 4096 + 40, 1);
            spoiled += 1;
        }
    }
    assert!(spoiled >= 2);
    let (store, report) = mount(&disk);
    let [Damage::Keys { from, to }] = &report.damage[..] else { panic!("{:?}", report.damage) };
    assert!(**from <= [100u8][..] && to.as_ref().is_some_and(|to| **to > [100u8][..]));
    let scan = run(store.snapshot().scan(&[], &[0xFF; 4], 1000), async {});
    assert!(scan.damaged);
    assert!(scan.entries.len() > 200);
    assert_eq!(run(store.snapshot().get(&[100]), async {}), Err(Error::Corrupt));
    assert_eq!(
        run(put(&store, &[100], b"new", &[]), store.run()),
        Err(Error::Corrupt),
        "nothing can be put into what cannot be read"
    );
    run(put(&store, &[254], b"new", &[]), store.run()).expect("elsewhere it can");
    assert!(run(store.check(), async {}).damage.iter().any(|damage| matches!(damage, Damage::Keys { .. })));
}

#[test]
fn one_unreadable_block_of_metadata_costs_nothing() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    for number in 0..60u8 {
        run(put(&store, &[number], &[number; 200], &[]), store.run()).unwrap();
    }
    let all = run(everything(&store), async {});
    for block in (0..400).step_by(8) {
        let disk = SimulatedDisk::with(disk.image());
        disk.fail_reads_of(block);
        let (store, report) = mount(&disk);
        assert!(!report.rolled_back);
        assert_eq!(run(everything(&store), async {}), all);
    }
    disk.fail_after(Some((0, DeviceError::Failed)), true);
    assert_eq!(run(Store::mount(disk.clone(), [1; 16]), async {}).err(), Some(MountError::Device(DeviceError::Failed)));
}

/// A disk with 60 values of two pages each, of which only the last is in the newest commit; and what is on it.
fn sixty_values() -> (SimulatedDisk, Model) {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    for number in 0..60u8 {
        run(put(&store, &[number], &[number; 200], &vec![number; 5000]), store.run()).unwrap();
    }
    (disk, run(everything(&store), async {}))
}

/// The pages of all leaves that have this key, those of earlier commits too.
fn leaves_with(image: &[u8], key: u8) -> Vec<u64> {
    let has_key = |page: &[u8]| match Node::decode(page).map(|node| node.body) {
        Some(Body::Leaf(entries)) => entries.iter().any(|entry| *entry.key == [key]),
        _ => false,
    };
    (0..).zip(image.chunks(PAGE)).filter(|(_, page)| has_key(page)).map(|(page, _)| page).collect()
}

fn block_of(page: u64) -> u64 {
    page * (PAGE / BLOCK) as u64
}

#[test]
fn a_leaf_that_could_not_be_read_while_mounting_costs_nothing_that_was_put_before_or_after() {
    let (disk, mut model) = sixty_values();
    for page in leaves_with(&disk.image(), 10) {
        disk.fail_reads_of(block_of(page));
    }
    let (store, _) = mount(&disk);
    disk.heal_reads();
    for number in 100..140u8 {
        let bytes = vec![number; 5000];
        if run(put(&store, &[number], &[], &bytes), store.run()).is_ok() {
            model.insert(vec![number], (vec![], bytes));
        }
        let old = [number - 100];
        if number < 120 && run(delete(&store, &old), store.run()).is_ok() {
            model.remove(&old[..]);
        }
    }
    let (again, report) = mount(&disk);
    assert_eq!(report.damage, []);
    assert_eq!(run(everything(&again), async {}), model);
}

#[test]
fn a_disk_with_a_leaf_that_cannot_be_read_is_only_read() {
    for is_sealed in [false, true] {
        let (disk, model) = sixty_values();
        if is_sealed {
            run(mount(&disk).0.seal(), async {}).unwrap();
        }
        let image = disk.image();
        for page in leaves_with(&image, 10) {
            disk.fail_reads_of(block_of(page));
        }
        let (store, report) = mount(&disk);
        assert!(matches!(report.damage[..], [Damage::Keys { .. }]) && !report.rolled_back && report.only_read);
        let scan = run(store.snapshot().scan(&[], &[0xFF; 4], 1000), async {});
        assert!(scan.damaged && scan.entries.len() > 30);
        for entry in scan.entries {
            let bytes = run(store.snapshot().read(entry.value.extent.as_ref().unwrap()), async {}).unwrap();
            assert_eq!(bytes, model[&*entry.key].1);
        }
        for bytes in [&[][..], &[3; 5000]] {
            let refused = run(put(&store, &[50], &[], bytes), store.run());
            assert_eq!(refused, Err(Error::Device(DeviceError::ReadOnly)));
        }
        assert_eq!(run(delete(&store, &[50]), store.run()), Err(Error::Device(DeviceError::ReadOnly)));
        let sealed = run(store.seal(), async {});
        assert_eq!(sealed, if is_sealed { Ok(()) } else { Err(Error::Device(DeviceError::ReadOnly)) });
        assert!(disk.image() == image, "something was written");
    }
}

#[test]
fn where_the_newest_commit_cannot_be_read_the_one_before_is_not_taken() {
    let (disk, model) = sixty_values();
    let blocks = (0..4).map(|page| Superblock::decode(&disk.image()[page * PAGE..][..BLOCK]).unwrap());
    let newest = blocks.max_by_key(|superblock| superblock.generation).unwrap();
    let root = newest.root.unwrap();
    let first = Superblock::block(newest.generation);
    let superblock = [first, first + block_of(1)];
    let leaf: [u64; 2] = leaves_with(&disk.image(), 59).try_into().unwrap();
    for blocks in [[root.page, root.copy].map(block_of), leaf.map(block_of), superblock] {
        blocks.iter().for_each(|&block| disk.fail_reads_of(block));
        assert_eq!(refusal(&disk), MountError::Device(DeviceError::Failed));
        // A copy that is damaged says nothing about the other.
        disk.heal_reads();
        disk.flip(blocks[0] as usize * BLOCK + 100, 1);
        disk.fail_reads_of(blocks[1]);
        assert_eq!(refusal(&disk), MountError::Device(DeviceError::Failed));
        disk.heal_reads();
        let (store, report) = mount(&disk);
        assert!(!report.rolled_back && report.mended == 1);
        assert_eq!(run(everything(&store), async {}), model);
    }
    // Sealed it cannot be torn; but without its root there is nothing to mount.
    run(mount(&disk).0.seal(), async {}).unwrap();
    [root.page, root.copy].map(block_of).iter().for_each(|&block| disk.fail_reads_of(block));
    assert_eq!(refusal(&disk), MountError::Device(DeviceError::Failed));
}

#[test]
fn a_disk_that_fails_while_mounting_is_never_taken_for_a_damaged_one() {
    for is_sealed in [false, true] {
        let (disk, model) = sixty_values();
        if is_sealed {
            run(mount(&disk).0.seal(), async {}).unwrap();
        }
        let before = disk.counts();
        mount(&disk);
        let operations = disk.counts().reads + disk.counts().flushes - before.reads - before.flushes;
        assert!(operations > 10);
        for after in 0..operations {
            disk.fail_after(Some((after, DeviceError::Failed)), true);
            let mounted = run(Store::mount(disk.clone(), [1; 16]), async {});
            disk.fail_after(None, false);
            match mounted {
                Err(error) => assert_eq!(error, MountError::Device(DeviceError::Failed), "after {after}"),
                // All that was missing was a second copy.
                Ok((store, report)) => {
                    assert!(report.damage.is_empty() && !report.rolled_back && after == operations - 1);
                    assert_eq!(run(everything(&store), async {}), model);
                }
            }
        }
        mount(&disk);
    }
}

#[test]
fn a_block_that_can_be_read_at_the_second_try_is_as_good_as_any() {
    let (disk, mut model) = sixty_values();
    for page in 0..disk.block_count() / block_of(1) {
        disk.fail_next_reads_of(block_of(page), 1);
    }
    let (store, report) = mount(&disk);
    assert!(report.damage.is_empty() && !report.rolled_back && !report.only_read);
    disk.heal_reads();
    run(put(&store, b"new", b"v", &[]), store.run()).unwrap();
    model.insert(b"new".to_vec(), (b"v".to_vec(), vec![]));
    assert_eq!(run(everything(&store), async {}), model);
}

#[test]
fn a_transaction_that_is_dropped_never_happened() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    let free = store.usage().free;
    run(
        async {
            let staged = store.stage(&[1; 9000]).await.unwrap();
            let mut transaction = store.begin().await;
            transaction.put(b"k", vec![1], Content::New(staged)).unwrap();
            assert!(transaction.get(b"k").await.unwrap().is_some());
            drop(transaction);
            put(&store, b"other", b"", &[]).await.unwrap();
        },
        store.run(),
    );
    assert_eq!(run(store.snapshot().get(b"k"), async {}), Ok(None));
    assert_eq!(store.usage().free, free - 2, "only the leaf of the other");
}

#[test]
fn bytes_move_from_key_to_key_without_being_written_again() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    run(put(&store, b"from", b"", &[3; 9000]), store.run()).unwrap();
    let free = store.usage().free;
    run(
        async {
            let mut transaction = store.begin().await;
            let value = transaction.get(b"from").await.unwrap().unwrap();
            transaction.delete(b"from");
            transaction.put(b"to", Vec::new(), Content::Kept(value.extent.clone().unwrap())).unwrap();
            transaction.commit().await.unwrap();
        },
        store.run(),
    );
    assert_eq!(store.usage().free, free);
    let all = run(everything(&mount(&disk).0), async {});
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [(b"to".to_vec(), (vec![], vec![3; 9000]))]);
}

#[test]
fn numbers_of_transactions_rise_across_mounts() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    let first = run(put(&store, b"a", b"", &[]), store.run()).unwrap();
    let second = run(put(&store, b"a", b"", &[]), store.run()).unwrap();
    let (store, _) = mount(&disk);
    let third = run(put(&store, b"a", b"", &[]), store.run()).unwrap();
    assert!(first < second && second < third);
}

/// What was found by the fuzz target `disk`.
#[test]
fn a_pointer_out_of_the_disk_costs_nothing_while_the_other_copy_is_whole() {
    let disk = SimulatedDisk::empty(4096);
    let (store, _) = mount(&disk);
    run(put(&store, b"k", b"v", &[]), store.run()).unwrap();
    run(store.seal(), store.run()).unwrap();
    for page in [u64::MAX, u64::MAX / 8 + 1, 4096] {
        let mut image = disk.image();
        for at in (0..4).map(|page| page * PAGE) {
            let Ok(mut superblock) = Superblock::decode(&image[at..at + BLOCK]) else { continue };
            let Some(root) = &mut superblock.root else { continue };
            root.copy = page;
            image[at..at + BLOCK].copy_from_slice(&superblock.encode());
        }
        let (store, _) = mount(&SimulatedDisk::with(image));
        assert_eq!(run(store.check(), async {}).entries, 1, "the other copy is whole");
    }
}
