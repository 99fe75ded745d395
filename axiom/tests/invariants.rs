//! A1, A2, A3, A5 and A7 of design/kernel.md, over random traces.

mod trace;

use axiom::block::{Block, Step};
use axiom::commit::Class;
use axiom::header::{Body, Header};
use axiom::record::{Ending, Op};
use axiom::replay::Replay;
use axiom::scan::{self, Next};
use axiom::words::Narrator;
use axiom::{Head, Wrong, state_hash};
use kernel::{Kernel, ThreadId};
use proptest::collection::vec;
use proptest::prelude::*;
use trace::{Choice, Machine, PLATFORM, seal, sealer};

fn blocks(bytes: &[u8]) -> Vec<Block<'_>> {
    let (mut at, mut blocks) = (0, Vec::new());
    while let Next::Block(block, length) = scan::next(bytes, at) {
        blocks.push(block);
        at += length;
    }
    assert_eq!(at, bytes.len(), "every byte belongs to a block");
    blocks
}

fn run(trace: &[Choice]) -> Machine {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    trace.iter().for_each(|choice| machine.step(choice));
    machine
}

fn traces(steps: usize) -> impl Strategy<Value = Vec<Choice>> {
    vec(any::<Choice>(), 1..steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// A1: every state change has a commit; every commit a cause.
    #[test]
    fn a1_every_state_change_has_a_commit_and_every_commit_a_cause(trace in traces(120)) {
        let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
        let mut sealer = sealer();
        seal(&mut sealer, &machine.blocks());
        for choice in &trace {
            let before = machine.axiom.state_hash();
            machine.step(choice);
            let changed = machine.axiom.state_hash() != before;
            let bytes = seal(&mut sealer, &machine.blocks());
            let mut commits = 0;
            for block in blocks(&bytes) {
                let mut cause = None;
                for step in block.steps() {
                    match step.expect("a block that was just sealed is consistent") {
                        Step::Input(entry) => cause = Some(entry),
                        Step::Commit(_, commit) => {
                            let cause = cause.expect("no commit comes before its cause");
                            prop_assert_eq!(cause.number, block.header.first_record + u64::from(commit.cause));
                            prop_assert!(!matches!(cause.record.ending, Ending::Refused(_)), "what was refused changed something");
                            commits += 1;
                        }
                    }
                }
            }
            prop_assert!(!changed || commits > 0, "the state changed without a commit");
        }
    }

    /// A2: the sender is what the host says is running, never a word of the message; who cannot run changes nothing.
    #[test]
    fn a2_the_sender_is_never_the_callers_word(trace in traces(120), call in any::<[u8; 5]>(), who in any::<u8>()) {
        let mut machine = run(&trace);
        // What is due has nothing to do with who calls.
        machine.axiom.tick(machine.now);
        machine.blocks();
        let stranger = ThreadId(u32::from(who));
        let before = machine.axiom.state_hash();
        let first = machine.axiom.next_record();
        let could = matches!(machine.axiom.kernel().thread_state(stranger), kernel::State::Running | kernel::State::Ready);
        let outcome = machine.call(stranger, call);
        if !could {
            prop_assert!(matches!(outcome, axiom::Outcome::Done(Err(_))));
            prop_assert_eq!(machine.axiom.state_hash(), before);
        }
        let bytes = seal(&mut sealer(), &machine.blocks());
        let first_step = blocks(&bytes)[0].steps().next();
        let Some(Ok(Step::Input(entry))) = first_step else { panic!("the call is on record") };
        prop_assert_eq!(entry.record.thread, stranger.0);
        prop_assert!(machine.axiom.next_record() > first, "refused calls are on record too");
    }

    /// A3: replay of the log gives the live state; authority alone gives the authority half.
    #[test]
    fn a3_replay_of_the_log_is_the_live_state(trace in traces(500)) {
        let mut machine = run(&trace);
        let bytes = seal(&mut sealer(), &machine.blocks());
        let mut replay = Replay::new(PLATFORM);
        let mut authority_alone = Kernel::new(PLATFORM);
        for block in blocks(&bytes) {
            replay.block(&block).expect("what was recorded can be replayed");
            for step in block.steps() {
                if let Ok(Step::Commit(Class::Authority, commit)) = step
                    && let Some(commit) = commit.to_kernel()
                {
                    authority_alone.apply_authority(&commit);
                }
            }
        }
        let live = machine.axiom.state_hash();
        prop_assert_eq!(state_hash(replay.kernel()), live);
        prop_assert_eq!(state_hash(&authority_alone)[0], live[0]);
        prop_assert_eq!(machine.axiom.kernel().check(), Ok(()));
    }

    /// A3 at every record: replay up to it is the state that was live then; told up to it, it is the same.
    #[test]
    fn a3_replay_to_a_record_is_the_state_that_was_live_then(trace in traces(150)) {
        let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
        let mut live = vec![(machine.axiom.next_record() - 1, machine.axiom.state_hash())];
        for choice in &trace {
            machine.step(choice);
            live.push((machine.axiom.next_record() - 1, machine.axiom.state_hash()));
        }
        let bytes = seal(&mut sealer(), &machine.blocks());
        let blocks = blocks(&bytes);
        for (record, state) in live {
            let mut narrator = Narrator::new(PLATFORM);
            for block in blocks.iter().filter(|block| block.header.first_record <= record) {
                narrator.block_up_to(block, record, |_, _, _| false, |_| ()).expect("what was recorded can be told");
            }
            prop_assert_eq!(state_hash(narrator.kernel()), state, "after record {}", record);
        }
    }

    /// A5: records and commits are numbered without a gap; blocks left out, repeated or exchanged are found.
    #[test]
    fn a5_no_gap_and_no_reordering(trace in traces(300)) {
        let mut machine = run(&trace);
        let bytes = seal(&mut sealer(), &machine.blocks());
        let blocks = blocks(&bytes);
        let mut head = Head::EMPTY;
        let (mut records, mut commits) = (0, 0);
        for block in &blocks {
            head.accept(block).expect("the blocks are in order");
            for step in block.steps() {
                match step.expect("consistent") {
                    Step::Input(entry) => {
                        prop_assert_eq!(entry.number, records);
                        records += 1;
                    }
                    Step::Commit(..) => commits += 1,
                }
            }
        }
        prop_assert_eq!((head.records, head.commits), (records, commits));
        prop_assert_eq!(machine.axiom.next_record(), records);
        for skipped in 0..blocks.len().saturating_sub(1) {
            let mut head = Head::EMPTY;
            blocks[..skipped].iter().for_each(|block| head.accept(block).expect("in order"));
            prop_assert!(head.accept(&blocks[skipped + 1]).is_err(), "block {} was left out", skipped);
            if skipped > 0 {
                prop_assert!(head.accept(&blocks[skipped - 1]).is_err(), "block {} came again", skipped - 1);
            }
        }
    }

    /// A7: what may be a secret never reaches the log: written values and arguments of devices. Not even a part of it, in
    /// whatever form: with another secret the log is the same.
    #[test]
    fn a7_secrets_never_reach_the_log(trace in traces(300), secret in (1u64 << 40)..u64::MAX) {
        let log = |secret: u64| {
            let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
            machine.secret = secret;
            trace.iter().for_each(|choice| machine.step(choice));
            for _ in 0..8 {
                // At least these calls carry it.
                let thread = machine.axiom.current().unwrap_or(ThreadId(0));
                machine.call(thread, [43, 0, 0, 0, 0]);
                machine.call(thread, [44, 0, 0, 0, 0]);
            }
            seal(&mut sealer(), &machine.blocks())
        };
        prop_assert!(log(secret) == log(!secret));
    }

    /// Whatever bytes a block is told from, the words for every record come without a panic, and every record is told.
    #[test]
    fn every_record_can_be_told(trace in traces(200)) {
        let mut machine = run(&trace);
        let bytes = seal(&mut sealer(), &machine.blocks());
        let mut narrator = Narrator::new(PLATFORM);
        let mut told = 0;
        for block in blocks(&bytes) {
            narrator.block(&block, |_, _, _| true, |line| {
                assert!(line.to_string().ends_with('.'));
                assert_eq!(line.entry.number, told);
                told += 1;
            }).expect("what was recorded can be told");
        }
        prop_assert_eq!(told, machine.axiom.next_record());
    }

    /// Hostile bytes give an error, never a panic, and never a block.
    #[test]
    fn bytes_that_are_no_block_are_refused(trace in traces(40), at in any::<usize>(), bit in 0..8u8) {
        let mut machine = run(&trace);
        let bytes = seal(&mut sealer(), &machine.blocks());
        let mut changed = bytes.clone();
        let at = at % bytes.len();
        changed[at] ^= 1 << bit;
        let whole = |bytes: &[u8]| {
            let (mut head, mut at) = (Head::EMPTY, 0);
            while let Next::Block(block, length) = scan::next(bytes, at) {
                head.accept(&block)?;
                at += length;
            }
            if at == bytes.len() { Ok(()) } else { Err(Wrong::NoFrame) }
        };
        prop_assert_eq!(whole(&bytes), Ok(()));
        prop_assert!(whole(&changed).is_err());
    }
}

/// Given a server and a client, when the client calls, then both are on record with process, call, tag and ending.
#[test]
fn a_call_is_on_record_with_who_what_and_how_it_ended() {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    let thread = machine.axiom.current().expect("init runs");
    machine.blocks();
    let request = abi::Request::Delete { handle: abi::Handle::new(77, 1) };
    machine.axiom.call(thread, &request, 5);
    let bytes = seal(&mut sealer(), &machine.blocks());
    let Some(Ok(Step::Input(entry))) = blocks(&bytes)[0].steps().next() else { panic!("it is on record") };
    assert_eq!(entry.record.op, Op::Call(abi::Number::Delete));
    assert_eq!((entry.record.thread, entry.record.slot), (thread.0, 77));
    assert_eq!(entry.record.ending, Ending::Refused(abi::Error::BadHandle));
}

/// Given a log that cannot be written any more, when processes call, then only init's calls go on.
#[test]
fn without_a_log_only_init_goes_on() {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    let init = machine.axiom.current().expect("init runs");
    machine.blocks();
    machine.axiom.log_lost();
    assert_eq!(machine.axiom.call(init, &abi::Request::Yield, 1), axiom::Outcome::Done(Ok(abi::Returned::Nothing)));
    let other = ThreadId(99);
    assert_eq!(machine.axiom.call(other, &abi::Request::Yield, 1), axiom::Outcome::Done(Err(abi::Error::Interrupted)));
    assert!(machine.axiom.take_block().is_none(), "nothing more is recorded");
}

/// Given a boot that ended in order, when the log is read, then its last block says so, with the state.
#[test]
fn an_orderly_end_is_on_record_with_the_state() {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    let state = machine.axiom.state_hash();
    machine.axiom.end(3, 10);
    let raw: Vec<_> = std::iter::from_fn(|| machine.axiom.take_block()).collect();
    let bytes = seal(&mut sealer(), &raw);
    let blocks = blocks(&bytes);
    let last = blocks.last().expect("there are blocks");
    assert!(last.header.has(axiom::header::END));
    assert_eq!(last.header.state, state);
    let mut head = Head::EMPTY;
    blocks.iter().for_each(|block| head.accept(block).expect("in order"));
    assert!(head.ended);
    let thread = ThreadId(0);
    assert_eq!(
        machine.axiom.call(thread, &abi::Request::Yield, 11),
        axiom::Outcome::Done(Err(abi::Error::Interrupted))
    );
}

/// Given as many blocks as may wait, none of them taken, and the one being written full, when the boot ends, then there is no
/// record of its end, and no block says so: the log goes on, and what is in it follows.
#[test]
fn an_end_without_room_for_its_record_is_none() {
    let mut config = Machine::config();
    config.waiting = Machine::boot(config.clone(), Head::EMPTY).blocks().len();
    let mut machine = Machine::boot(config, Head::EMPTY);
    let init = machine.axiom.current().expect("init runs");
    let request = abi::Request::Delete { handle: abi::Handle::new(77, 1) };
    while machine.axiom.call(init, &request, 5) != axiom::Outcome::Done(Err(abi::Error::WouldBlock)) {}
    let records = machine.axiom.next_record();
    machine.axiom.end(0, 10);
    let bytes = seal(&mut sealer(), &machine.blocks());
    let mut head = Head::EMPTY;
    blocks(&bytes).iter().for_each(|block| head.accept(block).expect("in order"));
    assert_eq!((head.records, head.ended), (records, false));
    assert_eq!(machine.axiom.call(init, &request, 11), axiom::Outcome::Done(Err(abi::Error::Interrupted)));
}

/// Given a process that makes calls, good and refused, when it is inspected, then all of them are counted, over blocks
/// that were taken and the one being written.
#[test]
fn calls_are_counted_by_process() {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    let init = machine.axiom.current().expect("init runs");
    let inspect = |machine: &mut Machine| match machine.axiom.call(
        init,
        &abi::Request::ProcessInspect { process: abi::Handle::NONE },
        1,
    ) {
        axiom::Outcome::Done(Ok(abi::Returned::Process(info))) => info.calls,
        other => panic!("{other:?}"),
    };
    let before = inspect(&mut machine);
    for round in 0..100 {
        machine.axiom.call(init, &abi::Request::Delete { handle: abi::Handle::new(77, 1) }, 2);
        if round % 30 == 0 {
            machine.blocks();
        }
    }
    assert_eq!(inspect(&mut machine), before + 101);
}

/// Given threads and slots with large numbers, when they are recorded, then they are read back whole.
#[test]
fn large_numbers_are_recorded_whole() {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    machine.blocks();
    let request = abi::Request::Delete { handle: abi::Handle::new(0xFFFF_FFF0, 1) };
    machine.axiom.call(ThreadId(0x0FFF_FFFF), &request, 5);
    let bytes = seal(&mut sealer(), &machine.blocks());
    let Some(Ok(Step::Input(entry))) = blocks(&bytes)[0].steps().next() else { panic!("it is on record") };
    assert_eq!((entry.record.thread, entry.record.slot), (0x0FFF_FFFF, 0xFFFF_FFF0));
}

/// The traces are worth their name: they reach most kinds of commits, of both classes.
#[test]
fn traces_reach_most_kinds_of_commits() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut kinds = std::collections::BTreeMap::new();
    for _ in 0..128 {
        let trace = vec(any::<Choice>(), 400).new_tree(&mut runner).expect("a trace").current();
        let mut machine = run(&trace);
        let bytes = seal(&mut sealer(), &machine.blocks());
        for step in blocks(&bytes).iter().flat_map(Block::steps) {
            if let Ok(Step::Commit(_, commit)) = step {
                *kinds.entry(commit.kind).or_insert(0u32) += 1;
            }
        }
    }
    assert!(kinds.len() >= 45, "only {} kinds: {kinds:x?}", kinds.len());
    println!("{} kinds: {kinds:x?}", kinds.len());
}

/// A change to a header, and what is said of it.
type Change<T> = (fn(&mut Header), T);

/// The block again, with its header changed and the hash over that made right: what only the owner of the key can do.
fn forged(block: &Block<'_>, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = block.header;
    change(&mut header);
    let mut frame = Block::frame_head(&header.encode(), header.lengths, block.synced, false).to_vec();
    block.bodies.iter().flatten().for_each(|body| frame.extend_from_slice(body));
    frame
}

/// A5: given blocks in order, when any number in a header is another, or the hash of the header before, then the block does
/// not follow.
#[test]
fn a5_a_header_that_does_not_follow_is_refused() {
    let mut machine = run(&[[60, 0, 1, 2, 3, 4, 5, 6]; 60]);
    let bytes = seal(&mut sealer(), &machine.blocks());
    let blocks = blocks(&bytes);
    let (last, before) = blocks.split_last().expect("there are blocks");
    let mut head = Head::EMPTY;
    before.iter().for_each(|block| head.accept(block).expect("in order"));
    let changes: [Change<Wrong>; 5] = [
        (|header| header.number += 1, Wrong::Number),
        (|header| header.previous[7] ^= 1, Wrong::Previous),
        (|header| header.first_record += 1, Wrong::Count),
        (|header| header.first_commit += 1, Wrong::Count),
        (|header| header.boot += 1, Wrong::Count),
    ];
    for (change, wrong) in changes {
        let frame = forged(last, change);
        let (block, _) = Block::parse(&frame).expect("its hashes are right");
        assert_eq!(head.clone().accept(&block), Err(wrong));
    }
    assert_eq!(head.accept(last), Ok(()));
}

/// A3: given a block that says which state it leads to, when it leads to another, then replay says so, of each half.
#[test]
fn a3_a_state_hash_that_is_not_the_states_is_found() {
    let mut machine = Machine::boot(Machine::config(), Head::EMPTY);
    machine.axiom.end(0, 10);
    let raw: Vec<_> = std::iter::from_fn(|| machine.axiom.take_block()).collect();
    let bytes = seal(&mut sealer(), &raw);
    let blocks = blocks(&bytes);
    let (last, before) = blocks.split_last().expect("there are blocks");
    let changes: [Change<Result<(), Wrong>>; 3] = [
        (|_| {}, Ok(())),
        (|header| header.state[0][0] ^= 1, Err(Wrong::State(Body::Authority))),
        (|header| header.state[1][0] ^= 1, Err(Wrong::State(Body::Activity))),
    ];
    for (change, expected) in changes {
        let mut replay = Replay::new(PLATFORM);
        before.iter().for_each(|block| replay.block(block).expect("it can be replayed"));
        let frame = forged(last, change);
        let (block, _) = Block::parse(&frame).expect("its hashes are right");
        assert_eq!(replay.block(&block), expected);
    }
}
