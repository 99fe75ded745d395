//! Snapshots: written as they should be and then changed, or made up, under a header that has their hashes, which only
//! the owner of the machine's key could have made.

use crate::edits::{Input, edit};
use crate::trace::{Machine, PLATFORM};
use axiom::Head;
use axiom::header::{Header, STATE};
use axiom::snapshot::{HEAD, MAGIC, Snapshot};
use std::sync::LazyLock;

/// Snapshots of a short run, as they should be.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut config = Machine::config();
    (config.snapshots, config.state_every) = (true, 3);
    let mut machine = Machine::boot(config, Head::EMPTY);
    let mut state = 7u64;
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        machine.step(&(state >> 8).to_le_bytes());
    }
    machine.blocks().iter().filter_map(|block| block.snapshot().map(<[u8]>::to_vec)).collect()
});

/// What is read is a state in which every invariant holds, and is written again as the same bytes; all else is refused.
pub fn snapshot(data: &[u8]) {
    let mut input = Input(data);
    let mut bytes = match GOOD.get(usize::from(input.byte())) {
        Some(good) => {
            let mut halves = good[HEAD..].to_vec();
            let authority = Snapshot::parse(good).expect("it is good").halves[0].len();
            while !input.is_empty() {
                edit(&mut input, &mut halves);
            }
            framed(&halves, authority)
        }
        None => framed(input.0, usize::from(input.short())),
    };
    read(&bytes);
    // Its own head is not always right.
    if let Some(byte) = bytes.get_mut(data.len() % HEAD) {
        *byte ^= 1;
    }
    read(&bytes);
}

fn framed(halves: &[u8], authority: usize) -> Vec<u8> {
    let authority = authority.min(halves.len());
    let lengths = [5, authority as u64, (halves.len() - authority) as u64].map(u64::to_le_bytes);
    [&MAGIC, lengths.as_flattened(), halves].concat()
}

fn read(bytes: &[u8]) {
    let Ok(snapshot) = Snapshot::parse(bytes) else { return };
    let state = snapshot.halves.map(|half| *blake3::hash(half).as_bytes());
    let header = Header {
        flags: STATE,
        boot: 1,
        records: 1,
        number: 5,
        first_record: 0,
        first_commit: 0,
        base_time: 0,
        commits: [0; 2],
        lengths: [0; 3],
        previous: [0; 32],
        bodies: [[0; 32]; 3],
        state,
    };
    if let Ok(kernel) = snapshot.kernel(&header, PLATFORM) {
        assert_eq!(axiom::state_hash(&kernel), state, "a state is written as other bytes than it was read from");
        assert_eq!(kernel.check(), Ok(()));
        let processes = kernel.processes().map(|process| kernel.capabilities_of(process).count()).sum::<usize>();
        let told = (processes, kernel.threads().count(), kernel.endpoints().count(), kernel.quotas().count());
        std::hint::black_box((told, kernel.deadline()));
        drop(axiom::words::Narrator::resume(PLATFORM, &header, kernel));
    }
}
