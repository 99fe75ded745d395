//! The system-call boundary: a machine of three processes whose threads make any calls on any handles, while
//! the host reports lines, time, faults and what it has done. After every step each invariant that a state shows
//! holds; at the end the log replays to the live state.

use crate::trace::{Choice, Machine, PLATFORM, seal, sealer};
use axiom::replay::Replay;
use axiom::scan::{self, Next};
use axiom::{Head, state_hash};

/// Steps of one run: with more, checking after each takes longer than it finds.
const MOST_STEPS: usize = 200;

/// Each 8 bytes are a step.
pub fn calls(data: &[u8]) {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    let (steps, _) = data.as_chunks::<{ size_of::<Choice>() }>();
    for (number, step) in steps.iter().take(MOST_STEPS).enumerate() {
        machine.step(step);
        if let Err(broken) = machine.axiom.kernel().check() {
            panic!("after step {number}, {step:?}: {broken}");
        }
    }
    let bytes = seal(&mut sealer(), &machine.blocks());
    let (mut at, mut replay) = (0, Replay::new(PLATFORM));
    while let Next::Block(block, length) = scan::next(&bytes, at) {
        replay.block(&block).expect("what was recorded can be replayed");
        at += length;
    }
    assert_eq!(at, bytes.len(), "every byte belongs to a block");
    assert!(state_hash(replay.kernel()) == machine.axiom.state_hash(), "A3: the log replays to another state");
}
