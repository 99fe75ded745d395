//! A6 of the invariants on a block device that loses, tears and reorders what was not flushed: what was
//! durable is there after any crash, and what is wrong for another reason is refused.

#[path = "../../tests/trace/mod.rs"]
mod trace;

use axiom::Head;
use axiom::Wrong;
use axiom::event::PreviousEnd;
use axiom::note::MachineKey;
use axiom::reader::Reader;
use log_image::layout::{MIN_BLOCKS, SLOTS, STREAM, Slot};
use log_image::recover;
use log_image::{BLOCK, BlockDevice, DeviceError, Error, ImageLog, Opened, UNFLUSHED};
use proptest::collection::vec;
use proptest::prelude::*;
use simulated_disk::{Access, Cut, Disk, DiskError};
use std::cell::RefCell;
use std::rc::Rc;
use trace::{Choice, Machine, key};

/// The device. Clones are the same device.
#[derive(Clone)]
struct Device(Rc<RefCell<Inner>>);

struct Inner {
    disk: Disk,
    /// Writes and flushes that are still carried out before the power goes; `None`: it stays.
    left: Option<u64>,
    /// Writes and flushes so far.
    done: u64,
    /// The most blocks that were written at one time and not flushed, slots not counted.
    unflushed: usize,
}

impl Device {
    fn new(blocks: u64) -> Device {
        Device::of(Disk::new(blocks))
    }

    fn of(disk: Disk) -> Device {
        Device(Rc::new(RefCell::new(Inner { disk, left: None, done: 0, unflushed: 0 })))
    }

    fn die_after(&self, operations: u64) {
        self.0.borrow_mut().left = Some(operations);
    }

    fn operations(&self) -> u64 {
        self.0.borrow().done
    }

    fn power_cut(&self, cut: Cut) -> Device {
        Device::of(self.0.borrow().disk.power_cut(cut))
    }

    fn corrupt(&self, byte: u64, flip: u8) {
        self.0.borrow_mut().disk.corrupt(byte, flip).expect("it is on the disk");
    }

    fn bytes(&self) -> Vec<u8> {
        let inner = self.0.borrow();
        inner.disk.peek(0, inner.disk.sectors()).expect("all of it")
    }
}

fn error(error: DiskError) -> DeviceError {
    match error {
        DiskError::Failed => DeviceError::Failed,
        DiskError::ReadOnly | DiskError::Full => DeviceError::ReadOnly,
        DiskError::OutOfRange => DeviceError::OutOfRange,
    }
}

impl BlockDevice for Device {
    fn blocks(&self) -> u64 {
        self.0.borrow().disk.sectors()
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let read = self.0.borrow_mut().disk.read(first, (bytes.len() / BLOCK) as u64).map_err(error)?;
        bytes.copy_from_slice(&read);
        Ok(())
    }
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        let mut inner = self.0.borrow_mut();
        inner.done += 1;
        // The write in which the power goes may have reached the disk, all of it or in part.
        inner.disk.write(first, bytes).map_err(error)?;
        inner.unflushed = inner.unflushed.max(inner.disk.unflushed());
        spend(&mut inner.left)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        let mut inner = self.0.borrow_mut();
        inner.done += 1;
        spend(&mut inner.left)?;
        inner.disk.flush().map_err(error)
    }
}

fn spend(left: &mut Option<u64>) -> Result<(), DeviceError> {
    match left {
        Some(0) => Err(DeviceError::Failed),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

const BLOCKS: u64 = 8192;

fn open(device: &Device) -> Result<(ImageLog<Device>, Opened), Error> {
    ImageLog::open(device.clone(), key())
}

fn boot(opened: &Opened) -> Machine {
    let mut config = Machine::config();
    config.key = key().public();
    config.previous = opened.previous;
    Machine::boot(config, opened.head)
}

/// What of a run was promised.
#[derive(Default, Debug)]
struct Promised {
    head: Head,
    published: u64,
}

/// Runs a trace on a machine with a log, with a group commit every `group` steps, until it ends or the power goes.
fn run(device: &Device, trace: &[Choice], group: usize, end: bool, promised: &mut Promised) -> Result<Head, Error> {
    let (mut log, opened) = open(device)?;
    promised.head = opened.head;
    let mut machine = boot(&opened);
    for (index, choice) in trace.iter().enumerate() {
        machine.step(choice);
        if index % group == 0 {
            for block in machine.blocks() {
                log.append(&block)?;
            }
            log.sync()?;
            promised.head = *log.durable();
        }
        if index % (group * 4) == 1 {
            log.publish()?;
            promised.published = log.published();
        }
    }
    if end {
        machine.axiom.end(0, machine.now);
        while let Some(block) = machine.axiom.take_block() {
            log.append(&block)?;
        }
        log.publish()?;
        promised.head = *log.durable();
    }
    Ok(*log.durable())
}

/// Every block of the log, walked: where it ends.
fn walked(device: &Device) -> Head {
    let (mut log, opened) = open(device).expect("it opens");
    let mut head = Head::EMPTY;
    log.walk(0, &mut |block| {
        head.accept(block).expect("it follows");
        true
    })
    .expect("it can be read");
    assert_eq!(head, opened.head);
    head
}

fn short_trace() -> Vec<Choice> {
    let mut state = 5u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 8
    };
    (0..60).map(|_| next().to_le_bytes()).collect()
}

/// A6, by hand: the power goes at every write and every flush of a run in turn, and the disk keeps nothing, all, the
/// first, the last or any of what was not flushed.
#[test]
fn a6_the_power_may_go_at_every_write_and_every_flush() {
    let whole = Device::new(BLOCKS);
    let trace = short_trace();
    run(&whole, &trace, 3, true, &mut Promised::default()).expect("without a crash all goes well");
    for at in 0..whole.operations() {
        let device = Device::new(BLOCKS);
        device.die_after(at);
        let mut promised = Promised::default();
        run(&device, &trace, 3, true, &mut promised).expect_err("the power goes");
        for cut in [Cut::Lost, Cut::Kept, Cut::First(1), Cut::Last(1), Cut::Last(3), Cut::Random(at), Cut::Random(!at)]
        {
            let found = device.power_cut(cut);
            let (log, opened) = open(&found).unwrap_or_else(|error| panic!("operation {at}, {cut:?}: {error}"));
            assert!(opened.head.records >= promised.head.records, "operation {at}, {cut:?}");
            assert!(log.published() >= promised.published && log.published() == opened.head.blocks);
            assert_eq!(opened.previous == PreviousEnd::First, opened.head == Head::EMPTY);
            drop(log);
            // What was cut off is gone: the next one finds nothing of it.
            let (_, again) = open(&found).expect("it opens again");
            assert_eq!((again.head, again.cut), (opened.head, None), "operation {at}, {cut:?}");
            let end = run(&found, &trace, 3, true, &mut Promised::default()).expect("it goes on");
            assert!(end.ended && end.boot == opened.head.boot + 1);
            assert_eq!(walked(&found), end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A6: three boots, each of which dies somewhere: all that was acknowledged is there afterwards, the log goes on.
    #[test]
    fn a6_what_was_acknowledged_is_there_after_crash_upon_crash(
        trace in vec(any::<Choice>(), 20..120), deaths in any::<[(u64, u64); 3]>(), group in 1usize..9,
    ) {
        let whole = Device::new(BLOCKS);
        run(&whole, &trace, group, false, &mut Promised::default()).expect("without a crash all goes well");
        let mut device = Device::new(BLOCKS);
        for (at, seed) in deaths {
            device.die_after(at % whole.operations());
            let mut promised = Promised::default();
            let died = run(&device, &trace, group, false, &mut promised);
            device = device.power_cut(Cut::Random(seed));
            let (_, opened) = open(&device).map_err(|error| TestCaseError::fail(format!("{error} (died: {died:?})")))?;
            prop_assert!(opened.head.records >= promised.head.records, "{promised:?}, {:?}", opened.head);
        }
        run(&device, &trace, group, true, &mut Promised::default()).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }

    /// Damage never passes for what a crash leaves: a bit changed in a log that ended in order refuses the start and is named,
    /// or the start ends where the log did.
    #[test]
    fn damage_never_passes_for_a_torn_tail(trace in vec(any::<Choice>(), 20..120), places in vec(any::<(u64, u8)>(), 16)) {
        let device = Device::new(BLOCKS);
        let end = run(&device, &trace, 3, true, &mut Promised::default()).expect("all goes well");
        let used = device.bytes().iter().rposition(|&byte| byte != 0).expect("something") as u64 + 1;
        for (place, bit) in places {
            let damaged = device.power_cut(Cut::Kept);
            damaged.corrupt(place % used, 1 << (bit % 8));
            if let Ok((_, opened)) = open(&damaged) {
                prop_assert_eq!(opened.head, end, "byte {} was cut", place % used);
            }
        }
    }

    /// Any bytes on the device: an answer, never a panic, and nothing is written over what is no log of this key.
    #[test]
    fn garbage_is_refused_and_left_as_it_is(pieces in vec((0..MIN_BLOCKS, vec(any::<u8>(), 1..600)), 1..8)) {
        let mut bytes = vec![0; MIN_BLOCKS as usize * BLOCK];
        for (block, piece) in &pieces {
            let at = (*block as usize * BLOCK).min(bytes.len() - piece.len());
            bytes[at..at + piece.len()].copy_from_slice(piece);
        }
        let device = Device::of(Disk::from_bytes(&bytes));
        if bytes.iter().any(|&byte| byte != 0) {
            prop_assert!(matches!(open(&device), Err(Error::NotEmpty(_) | Error::Superblock)));
            prop_assert!(device.bytes() == bytes, "it is as it was");
        }
    }

    /// Garbage in the stream of a log, wherever: an answer, and never another end than the log had where the checkpoint covers it.
    #[test]
    fn garbage_in_a_log_never_takes_from_what_is_covered(at in 1u64..600, piece in vec(any::<u8>(), 1..3000)) {
        let device = Device::new(BLOCKS);
        let end = run(&device, &short_trace(), 3, true, &mut Promised::default()).expect("all goes well");
        let mut bytes = device.bytes();
        let at = at as usize * BLOCK / 2;
        bytes[at..at + piece.len()].copy_from_slice(&piece);
        if let Ok((_, opened)) = open(&Device::of(Disk::from_bytes(&bytes))) {
            prop_assert_eq!(opened.head, end);
        }
    }
}

/// Given a device of zeros, when a log is begun, then what it holds is there at the next boot, and how that boot ended.
#[test]
fn the_log_tells_a_crash_from_a_shutdown() {
    let device = Device::new(BLOCKS);
    assert_eq!(
        open(&device).expect("it begins").1,
        Opened { head: Head::EMPTY, previous: PreviousEnd::First, cut: None }
    );
    run(&device, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    assert_eq!(open(&device).expect("opens").1.previous, PreviousEnd::Orderly { cut: 0 });
    run(&device, &short_trace(), 4, false, &mut Promised::default()).expect("all goes well");
    assert_eq!(open(&device).expect("opens").1.previous, PreviousEnd::Crash { cut: 0 });
    assert_eq!(walked(&device).boot, 2);
}

/// Given something behind the last block that is none, when the machine starts, then it is cut off and that is said; where no
/// crash can have left it, the start is refused.
#[test]
fn a_torn_tail_is_cut_and_reported_and_nothing_else_is() {
    let device = Device::new(BLOCKS);
    run(&device, &short_trace(), 4, false, &mut Promised::default()).expect("all goes well");
    let used = device.bytes().iter().rposition(|&byte| byte != 0).expect("something").next_multiple_of(BLOCK) as u64;
    let torn = device.power_cut(Cut::Kept);
    torn.corrupt(used + 1000, 7);
    let (_, opened) = open(&torn).expect("it opens");
    assert_eq!(opened.previous, PreviousEnd::Crash { cut: 1001 });
    assert!(opened.cut.expect("it is said").contains(&used.to_string()));
    // The stream is as it was; the checkpoint is new.
    let stream = STREAM as usize * BLOCK;
    assert!(torn.bytes()[stream..] == device.bytes()[stream..], "all of it is zero again");
    device.corrupt(used + UNFLUSHED as u64 + 1000, 7);
    assert_eq!(open(&device).map(|_| ()), Err(Error::NotZero(used + UNFLUSHED as u64 + 1000)));
}

/// Given a large device that something lies at the end of, when a log is to be begun there, then that is refused.
#[test]
fn what_lies_at_the_end_of_a_large_device_is_seen() {
    let blocks = 128 << 11;
    for byte in [0, 700, 20_000, (64 << 20) - 1, (blocks - 1) * BLOCK as u64] {
        let device = Device::new(blocks);
        device.corrupt(byte, 1);
        let refused = open(&device).map(|_| ());
        assert!(
            matches!(refused, Err(Error::NotEmpty(at)) if at == byte) || byte == 0 && refused == Err(Error::Superblock)
        );
    }
    open(&Device::new(blocks)).expect("it begins");
}

/// Given a log, when another machine's key comes, or the superblock, a checkpoint or the device is not what it was, then the
/// start is refused and it is said why.
#[test]
fn what_does_not_belong_to_the_log_is_refused() {
    let device = Device::new(BLOCKS);
    run(&device, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    let other = MachineKey::from_seed(&[1; 32]);
    let refused = ImageLog::open(device.clone(), other).map(|_| ()).expect_err("another key");
    assert_eq!(refused, Error::OtherKey { origin: key().name().to_owned() });
    let bytes = device.bytes();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        open(&Device::of(Disk::from_bytes(&bytes))).map(|(_, opened)| opened.head)
    };
    let erase = |bytes: &mut Vec<u8>, block: u64| bytes[block as usize * BLOCK..][..8 * BLOCK].fill(0);
    assert_eq!(with(&|bytes| bytes[20] ^= 1), Err(Error::Superblock));
    assert!(matches!(with(&|bytes| bytes[..BLOCK].fill(0)), Err(Error::NotEmpty(_))));
    assert_eq!(with(&|bytes| erase(bytes, SLOTS[0])), Err(Error::NoCheckpoint));
    assert_eq!(with(&|bytes| erase(bytes, SLOTS[1])), Err(Error::NoCheckpoint));
    assert_eq!(
        with(&|bytes| bytes.truncate((BLOCKS as usize - 1) * BLOCK)),
        Err(Error::Shrunk { blocks: BLOCKS - 1, had: BLOCKS })
    );
    assert_eq!(with(&|bytes| bytes[2 * BLOCK] = 1), Err(Error::NotZero(2 * BLOCK as u64)));
    let both = |bytes: &mut Vec<u8>| SLOTS.iter().for_each(|&slot| bytes[slot as usize * BLOCK + 100] ^= 1);
    assert_eq!(with(&both), Err(Error::NoCheckpoint));
    let swap = |bytes: &mut Vec<u8>| {
        let (low, high) = bytes.split_at_mut(SLOTS[1] as usize * BLOCK);
        low[SLOTS[0] as usize * BLOCK..].swap_with_slice(&mut high[..8 * BLOCK]);
    };
    assert_eq!(with(&swap), Err(Error::Slots));
    // A frame that the checkpoint covers and that is another's.
    let refused = with(&|bytes| bytes[STREAM as usize * BLOCK..].fill(0)).expect_err("all is gone");
    assert!(matches!(refused, Error::Block { .. }), "{refused}");
    assert_eq!(ImageLog::open(Device::new(100), key()).map(|_| ()), Err(Error::TooSmall(100)));
}

/// Given blocks behind the checkpoint that later ones say were durable, when one of them is changed, then the start is refused
/// and the block is named: it is no torn tail.
#[test]
fn a_block_that_was_durable_and_is_changed_is_damage() {
    let device = Device::new(BLOCKS);
    let (mut log, opened) = open(&device).expect("it begins");
    let mut machine = boot(&opened);
    let mut changed = None;
    for choice in short_trace() {
        machine.step(&choice);
        for block in machine.blocks() {
            if block.number() == 4 {
                log.sync().expect("it is synced");
                let used = device.bytes().iter().rposition(|&byte| byte != 0).expect("something");
                changed = Some(used.next_multiple_of(BLOCK) as u64);
            }
            log.append(&block).expect("there is room");
        }
        log.sync().expect("it is synced");
    }
    assert_eq!(log.published(), 0);
    let byte = changed.expect("there is a fifth block");
    device.corrupt(byte + 310, 1);
    let refused = open(&device).map(|_| ()).expect_err("it was durable");
    assert!(matches!(refused, Error::Block { number: 4, byte: at, wrong: Wrong::Body(_) } if at == byte), "{refused}");
}

/// Given a checkpoint slot that says of the tree or of the last block what is not so, and has a good hash, when the machine
/// starts, then it is refused.
#[test]
fn a_slot_that_contradicts_its_checkpoint_is_refused() {
    let device = Device::new(BLOCKS);
    let end = run(&device, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    let (slot, _) = recover::slots(&mut device.clone()).expect("there are two");
    let with = |change: &dyn Fn(&mut Slot)| {
        let mut changed = slot.clone();
        change(&mut changed);
        let mut device = device.power_cut(Cut::Kept);
        device.write(changed.place(), &changed.encode()).expect("it is written");
        open(&device).map(|(_, opened)| opened.head)
    };
    assert_eq!(with(&|_| {}), Ok(end));
    let wrong = |result| match result {
        Err(Error::Block { number, wrong, .. }) => (number, wrong),
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(with(&|slot| slot.roots[0][7] ^= 1)), (end.blocks - 1, Wrong::Tree));
    assert_eq!(wrong(with(&|slot| slot.last = STREAM)), (end.blocks - 1, Wrong::Number));
    assert_eq!(wrong(with(&|slot| slot.last = BLOCKS - 1)), (end.blocks - 1, Wrong::NoFrame));
    assert_eq!(wrong(with(&|slot| slot.last = u64::MAX)), (end.blocks - 1, Wrong::Short));
    assert_eq!(with(&|slot| slot.last = 0), Err(Error::Slots));
    assert_eq!(with(&|slot| slot.roots.truncate(slot.roots.len() - 1)), Err(Error::Slots));
    let other = MachineKey::from_seed(&[1; 32]);
    assert!(matches!(with(&|slot| slot.text = other.sign(1, &[0; 32])), Err(Error::Checkpoint(..))));
    // An older checkpoint with a newer number: what it covers does not end where the slot says.
    assert!(with(&|slot| slot.text = key().sign(end.blocks - 1, &[0; 32])).is_err());
}

/// Given one slot that does not match its hash, as a crash leaves it, when the machine starts, then the other counts, that
/// is said, and the next checkpoint takes its place.
#[test]
fn a_torn_checkpoint_slot_is_written_again() {
    let device = Device::new(BLOCKS);
    let end = run(&device, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    for slot in SLOTS {
        let torn = device.power_cut(Cut::Kept);
        torn.corrupt(slot * BLOCK as u64 + 9, 1);
        let (log, opened) = open(&torn).expect("it opens");
        assert_eq!((opened.head, log.published()), (end, end.blocks));
        assert!(opened.cut.expect("it is said").contains("checkpoint"));
        assert_eq!(open(&torn).expect("it opens").1.cut, None);
    }
}

/// Given a device that becomes full, when the machine goes on, then it is told while there is room for an orderly end, a block
/// that does not fit changes nothing, and a larger device goes on where it stopped.
#[test]
fn a_full_device_is_said_before_anything_is_half_written() {
    let device = Device::new(MIN_BLOCKS);
    let (mut log, opened) = open(&device).expect("it begins");
    let mut machine = boot(&opened);
    let mut trace = short_trace().into_iter().cycle();
    let mut told = None;
    let full = 'full: loop {
        machine.step(&trace.next().expect("it cycles"));
        for block in machine.blocks() {
            if let Err(error) = log.append(&block) {
                break 'full error;
            }
            told = told.or(log.is_full().then_some(log.head().blocks));
        }
    };
    assert_eq!(full, Error::Full { blocks: MIN_BLOCKS });
    assert!(full.to_string().contains("truncate"), "{full}");
    let told = told.expect("it was told before");
    assert!(log.head().blocks - told > 100, "an eighth is kept free");
    log.publish().expect("what was appended can be published");
    let end = *log.durable();
    let refused = open(&device).map(|_| ()).expect_err("there is no room for a boot");
    assert_eq!(refused, full);
    let mut bytes = device.bytes();
    bytes.resize(2 * bytes.len(), 0);
    let larger = Device::of(Disk::from_bytes(&bytes));
    let bytes = larger.bytes();
    let (_, opened) = open(&Device::of(Disk::from_bytes(&bytes))).expect("it goes on");
    assert_eq!(opened.head, end);
}

/// Given a machine that never asks for a group commit, when it goes on and on, then no more is written beyond what is durable
/// than recovery looks at, and checkpoints follow.
#[test]
fn what_is_not_durable_and_what_is_not_covered_is_bounded() {
    let device = Device::new(32 << 11);
    let (mut log, opened) = open(&device).expect("it begins");
    let mut config = Machine::config();
    config.slots = 2048;
    let mut machine = Machine::boot(config, opened.head);
    let mut trace = short_trace().into_iter().cycle();
    for _ in 0..300_000 {
        machine.step(&trace.next().expect("it cycles"));
        while let Some(block) = machine.axiom.take_block() {
            log.append(&block).expect("there is room");
            assert!(log.waiting() <= 256 << 10);
        }
    }
    assert!(device.operations() > 50, "enough was written");
    assert!(log.durable().blocks > 0 && device.0.borrow().unflushed <= UNFLUSHED / BLOCK);
    let (published, uncovered) = (log.published(), log.durable().blocks - log.published());
    assert!(published > 0 && uncovered < published, "more than 4 MiB were uncovered");
}

/// Given a device that fails once, when the log goes on, then it says that it is lost, and writes nothing more.
#[test]
fn after_a_failed_write_nothing_more_is_written() {
    for access in [Access::Write, Access::Flush] {
        let device = Device::new(BLOCKS);
        let (mut log, opened) = open(&device).expect("it begins");
        let mut machine = boot(&opened);
        log.append(&machine.blocks()[0]).expect("appended");
        device.0.borrow_mut().disk.fail_times(access, 0..BLOCKS, 1);
        assert!(matches!(log.sync(), Err(Error::Device { error: DeviceError::Failed, .. })));
        let before = device.operations();
        assert_eq!(log.sync(), Err(Error::Lost));
        assert_eq!(log.publish(), Err(Error::Lost));
        assert_eq!(device.operations(), before);
    }
}

/// Given a process that reads the log in pieces while the machine goes on, then it gets every record once, in order; from the
/// end it gets the last.
#[test]
fn a_process_reads_the_log_in_pieces() {
    let device = Device::new(BLOCKS);
    run(&device, &short_trace(), 4, true, &mut Promised::default()).expect("all goes well");
    let (mut log, opened) = open(&device).expect("it opens");
    let mut machine = boot(&opened);
    let mut reader = Reader::new(trace::PLATFORM);
    let mut next = 0;
    for choice in short_trace() {
        machine.step(&choice);
        machine.blocks().iter().for_each(|block| log.append(block).expect("there is room"));
        let bytes = log.read_records(&mut reader, machine.axiom.next_record(), next, 2_000).expect("it can be read");
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (record, after): (abi::log::Record<'_>, _) = postcard::take_from_bytes(rest).expect("whole records");
            assert_eq!(record.number, next);
            next += 1;
            rest = after;
        }
    }
    assert!(next > opened.head.records, "both boots were read");
    let last = machine.axiom.next_record();
    let bytes = log.read_records(&mut reader, last, u64::MAX - 2, 10_000).expect("it can be read");
    let (first, _): (abi::log::Record<'_>, _) = postcard::take_from_bytes(&bytes).expect("a record");
    assert_eq!(first.number, last - 3);
}
