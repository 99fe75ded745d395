//! The disk of storage: one that was written as it should be, changed in places, with the hashes over what was
//! changed made right if the input says so. It is refused, or mounted with its damage named; what can be read of it is
//! read, and it can be written.

use crate::edits::{Input, edit};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use storage_engine::Store;
use storage_engine::device::BLOCK;
use storage_engine::layout::{BLOCKS_PER_PAGE, FIRST_PAGE, Hash, PAGE, hash};
use storage_engine::simulation::{SimulatedDisk, run};
use storage_engine::transaction::Content;

const PAGES: usize = 96;
const DISK: [u8; 16] = [9; 16];

/// A disk and, of each page, where on the disk its hash is written.
struct Sound {
    image: Vec<u8>,
    pointers: Vec<Vec<usize>>,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let disk = SimulatedDisk::empty(PAGES as u64 * BLOCKS_PER_PAGE);
    let (store, _) = run(Store::mount(disk.clone(), DISK), async {}).expect("it is formatted");
    let fill = async {
        for number in 0..40u8 {
            let extent = match number % 8 {
                0 => Content::New(store.stage(&vec![number; 5000]).await.expect("there is room")),
                _ => Content::None,
            };
            let mut transaction = store.begin().await;
            transaction.put(&[number; 40], vec![number; 300], extent).expect("it is short enough");
            transaction.commit().await.expect("there is room");
        }
    };
    run(fill, store.run());
    let image = disk.image();
    let pointers = image.chunks(PAGE).map(|page| places(&image, &hash(page))).collect();
    Sound { image, pointers }
});

fn places(image: &[u8], hash: &Hash) -> Vec<usize> {
    image.windows(hash.len()).enumerate().filter(|(_, window)| window == hash).map(|(at, _)| at).collect()
}

/// Makes the hashes over what was changed right, up to the superblocks.
fn reseal(image: &mut [u8]) {
    let differs = |image: &[u8], page: usize| {
        let range = page * PAGE..(page + 1) * PAGE;
        image[range.clone()] != SOUND.image[range]
    };
    let mut changed: BTreeSet<usize> = (FIRST_PAGE as usize..PAGES).filter(|&page| differs(image, page)).collect();
    // The tree is three levels deep at most.
    for _ in 0..4 {
        for page in std::mem::take(&mut changed) {
            let new = hash(&image[page * PAGE..(page + 1) * PAGE]);
            for &at in &SOUND.pointers[page] {
                image[at..at + new.len()].copy_from_slice(&new);
                changed.insert(at / PAGE);
            }
        }
    }
    for page in 0..FIRST_PAGE as usize {
        let block = &mut image[page * PAGE..page * PAGE + BLOCK];
        let sum = hash(&block[..BLOCK - 32]);
        block[BLOCK - 32..].copy_from_slice(&sum);
    }
}

/// The first byte says whether hashes are made right; then come changes.
pub fn disk(data: &[u8]) {
    let mut input = Input(data);
    let honest = input.byte() & 1 == 0;
    let mut image = SOUND.image.clone();
    while !input.is_empty() {
        edit(&mut input, &mut image);
    }
    if !honest {
        image.resize(PAGES * PAGE, 0);
        reseal(&mut image);
    }
    image.truncate(image.len() / BLOCK * BLOCK);
    let disk = SimulatedDisk::with(image);
    let Ok((store, _)) = run(Store::mount(disk.clone(), DISK), async {}) else { return };
    let read = async {
        store.check().await;
        let snapshot = store.snapshot();
        for entry in snapshot.scan(&[], &[0xFF; 300], 100).await.entries {
            if let Some(extent) = &entry.value.extent {
                drop(snapshot.read(extent).await);
            }
        }
        let mut transaction = store.begin().await;
        transaction.put(b"new", b"value".to_vec(), Content::None).expect("it is short enough");
        transaction.commit().await.is_ok()
    };
    if run(read, store.run()) {
        drop(store);
        let (store, _) = run(Store::mount(disk, DISK), async {}).expect("what was just written to is mounted again");
        let value = run(async { store.snapshot().get(b"new").await }, async {});
        if let Ok(value) = value {
            assert_eq!(value.expect("what was acknowledged is there").meta, b"value");
        }
    }
}
