//! The driver of virtio disks against a model of the device, which looks at registers and memory as the
//! standard says, and breaks it on request.

use drivers::block::{BLOCK, MOST_BLOCKS};
use drivers::memory::PAGE;
use drivers::{Bus, Disk, DiskError, Memory};
use libprocess::Error;
use libprocess::abi::device::LOG_DURABLE;
use libprocess::abi::pci::{Register, Space, Width};
use proptest::prelude::*;
use std::alloc::{Layout, alloc_zeroed};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const BLOCKS: u64 = 512;
const NOTIFY: u32 = 0x3000;
const DEVICE: u32 = 0x2000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Read(u64),
    Write(u64),
    Flush,
    LogDurable,
    Reset,
}

/// What the driver gave it.
struct Pending {
    head: u16,
    parts: Vec<(u64, u32, bool)>,
}

#[derive(Default)]
struct State {
    features: u64,
    select: u32,
    status: u64,
    queue: [u64; 3],
    size: u64,
    vector: u64,
    enabled: bool,
    seen: u16,
    used: u16,
    disk: Vec<u8>,
    events: Vec<Event>,
    pages: BTreeMap<u64, *mut u8>,
    next_page: u64,
    pending: Vec<Pending>,
    interrupted: bool,
    /// Operations are done when the test says so.
    slow: bool,
    /// It answers with this status.
    says: u8,
    /// It has done what it was never given.
    lies: bool,
    /// System calls fail from now on.
    revoked: bool,
    /// It does not take what the driver offers.
    refuses_features: bool,
}

#[derive(Clone)]
struct Model(Rc<RefCell<State>>);

impl Model {
    fn new() -> Model {
        Model(Rc::new(RefCell::new(State {
            features: 1 << 32 | 1 << 9 | 1 << 28 | 1 << 29,
            size: 256,
            next_page: 1,
            disk: vec![0; BLOCKS as usize * BLOCK],
            ..State::default()
        })))
    }

    fn state(&self) -> std::cell::RefMut<'_, State> {
        self.0.borrow_mut()
    }

    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state().events)
    }
}

impl State {
    fn at(&self, address: u64) -> *mut u8 {
        let page = self.pages[&(address / PAGE as u64)];
        page.wrapping_add(address as usize % PAGE)
    }

    /// Bytes that may go over pages which follow each other on the bus.
    fn load(&self, address: u64, length: usize) -> Vec<u8> {
        // SAFETY: each byte lies in a page that was shared with the model.
        (0..length as u64).map(|offset| unsafe { *self.at(address + offset) }).collect()
    }

    fn store(&self, address: u64, bytes: &[u8]) {
        for (offset, byte) in bytes.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *self.at(address + offset as u64) = *byte };
        }
    }

    fn number(&self, address: u64, length: usize) -> u64 {
        self.load(address, length).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The driver has told that there is something in the queue.
    fn notified(&mut self) {
        assert!(self.enabled && self.status & 4 != 0, "the driver says that it is ready first");
        let [descriptors, available, _] = self.queue;
        while self.seen != self.number(available + 2, 2) as u16 {
            let slot = u64::from(self.seen) % self.size;
            let head = self.number(available + 4 + 2 * slot, 2) as u16;
            self.seen = self.seen.wrapping_add(1);
            let mut parts = Vec::new();
            let mut next = head;
            loop {
                let at = descriptors + 16 * u64::from(next);
                let flags = self.number(at + 12, 2);
                assert_eq!(flags & 4, 0, "it was not offered indirect descriptors");
                parts.push((self.number(at, 8), self.number(at + 8, 4) as u32, flags & 2 != 0));
                if flags & 1 == 0 {
                    break;
                }
                next = self.number(at + 14, 2) as u16;
            }
            self.pending.push(Pending { head, parts });
        }
        if !self.slow {
            while !self.pending.is_empty() {
                self.complete(0);
            }
        }
    }

    /// Carries out one of those that are pending.
    fn complete(&mut self, which: usize) {
        let Pending { head, parts } = self.pending.remove(which);
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        assert!(!first.2 && first.1 == 16 && last.2 && last.1 == 1, "header, data, status");
        let (kind, block) = (self.number(first.0, 4), self.number(first.0 + 8, 8));
        let mut at = block as usize * BLOCK;
        for &(address, length, writable) in &parts[1..parts.len() - 1] {
            let length = length as usize;
            match kind {
                0 => {
                    assert!(writable);
                    self.store(address, &self.disk[at..at + length]);
                }
                _ => {
                    assert!(!writable);
                    let bytes = self.load(address, length);
                    self.disk[at..at + length].copy_from_slice(&bytes);
                }
            }
            at += length;
        }
        self.events.push(match kind {
            0 => Event::Read(block),
            1 => Event::Write(block),
            4 => Event::Flush,
            _ => panic!("kind {kind}"),
        });
        self.store(last.0, &[self.says]);
        let used = self.queue[2];
        let slot = u64::from(self.used) % self.size;
        let id = if self.lies { 77 } else { u32::from(head) };
        self.store(used + 4 + 8 * slot, &id.to_le_bytes());
        self.used = self.used.wrapping_add(1);
        self.store(used + 2, &self.used.to_le_bytes());
        self.interrupted = true;
    }

    fn configuration(&self, offset: u32) -> u8 {
        let mut space = [0u8; 256];
        space[..4].copy_from_slice(&[0xf4, 0x1a, 0x42, 0x10]);
        space[6] = 0x10;
        space[0x34] = 0x40;
        for (at, next, what, start) in
            [(0x40, 0x50, 1, 0u32), (0x50, 0x60, 3, 0x1000), (0x60, 0x70, 4, DEVICE), (0x70, 0x84, 2, NOTIFY)]
        {
            space[at..at + 5].copy_from_slice(&[9, next, 20, what, 4]);
            space[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            space[at + 12..at + 16].copy_from_slice(&0x1000u32.to_le_bytes());
        }
        space[0x80] = 4;
        space[offset as usize]
    }

    fn register(&mut self, offset: u32, width: u32) -> u64 {
        match offset {
            4 => self.features >> (32 * self.select) & 0xffff_ffff,
            20 => self.status,
            24 => self.size,
            26 => self.vector,
            28 => self.enabled.into(),
            30 => 3,
            DEVICE.. if offset < DEVICE + 8 => BLOCKS.to_le_bytes()[(offset - DEVICE) as usize..][..width as usize]
                .iter()
                .rev()
                .fold(0, |v, b| v << 8 | u64::from(*b)),
            _ => 0,
        }
    }

    fn set_register(&mut self, offset: u32, value: u64) {
        match offset {
            0 => self.select = value as u32,
            12 => assert!(self.select == 1 || value & (1 << 28 | 1 << 29) == 0, "more than the driver knows"),
            20 => {
                self.status = value;
                if value == 0 {
                    (self.enabled, self.seen, self.used) = (false, 0, 0);
                    self.pending.clear();
                    self.events.push(Event::Reset);
                }
                if self.refuses_features {
                    self.status &= !8;
                }
            }
            24 => self.size = value,
            26 => self.vector = value,
            28 => self.enabled = value == 1,
            32..56 => {
                let half = u64::from(offset / 4 % 2) * 32;
                let place = &mut self.queue[(offset as usize - 32) / 8];
                *place = *place & !(0xffff_ffff << half) | value << half;
            }
            // Queue 0 is told of at 3 times 4 bytes.
            _ if offset == NOTIFY + 12 => {
                assert_eq!(value, 0);
                self.notified();
            }
            _ => {}
        }
    }
}

impl Bus for Model {
    fn read(&self, register: u64) -> Result<u64, Error> {
        let mut state = self.state();
        if state.revoked {
            return Err(Error::Revoked);
        }
        let Register { space, width, offset } = Register::from_number(register).ok_or(Error::InvalidArgument)?;
        let bytes = width.bytes();
        Ok(match space {
            Space::Configuration => {
                (0..bytes).rev().fold(0, |value, at| value << 8 | u64::from(state.configuration(offset + at)))
            }
            Space::Bar(4) => state.register(offset, bytes),
            Space::Bar(_) => return Err(Error::InvalidArgument),
        })
    }

    fn write(&self, register: u64, value: u64) -> Result<(), Error> {
        let mut state = self.state();
        if state.revoked {
            return Err(Error::Revoked);
        }
        if register == LOG_DURABLE {
            state.events.push(Event::LogDurable);
            return Ok(());
        }
        let Register { space: Space::Bar(4), width, offset } =
            Register::from_number(register).ok_or(Error::InvalidArgument)?
        else {
            return Err(Error::InvalidArgument);
        };
        assert!(width < Width::Eight);
        state.set_register(offset, value);
        Ok(())
    }

    /// Pages that never follow each other on the bus.
    fn memory(&self, pages: usize) -> Result<Memory, Error> {
        let mut state = self.state();
        let layout = Layout::from_size_align(pages * PAGE, PAGE).unwrap();
        // SAFETY: not of size 0. It is never freed, so the driver can have it as long as it likes.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        let mut addresses = Vec::new();
        for page in 0..pages {
            state.next_page += 2;
            let address = state.next_page;
            state.pages.insert(address, start.as_ptr().wrapping_add(page * PAGE));
            addresses.push(address * PAGE as u64);
        }
        // SAFETY: allocated just now, zeroed, aligned; only the model has the addresses.
        Ok(unsafe { Memory::of(start, addresses) })
    }

    fn interrupts(&self) -> bool {
        true
    }

    async fn interrupt(&self) -> Result<(), Error> {
        poll_fn(|_| match std::mem::take(&mut self.state().interrupted) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
        .await
    }
}

/// Runs a future beside the driver's own; panics if it waits for what never comes.
fn run<T>(disk: &Disk<Model>, future: impl Future<Output = T>) -> T {
    let (mut serve, mut future) = (pin!(disk.clone().serve()), pin!(future));
    let mut served = false;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        served = served || serve.as_mut().poll(&mut context).is_ready();
    }
    panic!("it waits for ever");
}

fn poll<T>(future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets the driver take what is done.
fn serve(disk: &Disk<Model>) {
    assert!(poll(pin!(disk.clone().serve())).is_pending());
}

fn pattern(seed: u8, blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK).map(|at| seed.wrapping_mul(31).wrapping_add((at / 7) as u8)).collect()
}

#[test]
fn what_was_written_is_read() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    assert_eq!((disk.block_count(), disk.read_only()), (BLOCKS, false));
    for (first, blocks) in [(0, 1), (5, 9), (BLOCKS - 128, MOST_BLOCKS)] {
        let bytes = pattern(first as u8, blocks);
        run(&disk, disk.write(first, &bytes)).unwrap();
        let mut read = vec![0; bytes.len()];
        run(&disk, disk.read(first, &mut read)).unwrap();
        assert!(read == bytes, "from {first}");
        let at = first as usize * BLOCK;
        assert!(model.state().disk[at..at + bytes.len()] == bytes);
    }
}

#[test]
fn nothing_outside_the_disk_is_asked_for() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.events();
    for (first, bytes) in
        [(BLOCKS, 512), (BLOCKS - 1, 1024), (u64::MAX, 512), (0, 0), (0, 100), (0, (MOST_BLOCKS + 1) * BLOCK)]
    {
        assert_eq!(run(&disk, disk.write(first, &vec![1; bytes])), Err(DiskError::OutOfRange));
        assert_eq!(run(&disk, disk.read(first, &mut vec![1; bytes])), Err(DiskError::OutOfRange));
    }
    assert_eq!(model.events(), []);
}

#[test]
fn a_flush_is_done_when_the_log_is_durable_too() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.events();
    run(&disk, disk.flush()).unwrap();
    assert_eq!(model.events(), [Event::Flush, Event::LogDurable]);
    model.state().says = 1;
    assert_eq!(run(&disk, disk.flush()), Err(DiskError::Failed));
    assert_eq!(model.events(), [Event::Flush], "nothing is promised");
}

#[test]
fn a_disk_that_keeps_nothing_back_is_not_told_to_flush() {
    let model = Model::new();
    model.state().features = 1 << 32 | 1 << 5;
    let disk = Disk::open(model.clone()).unwrap();
    model.events();
    assert_eq!(run(&disk, disk.write(0, &[0; BLOCK])), Err(DiskError::ReadOnly));
    run(&disk, disk.flush()).unwrap();
    assert_eq!(model.events(), [Event::LogDurable]);
}

#[test]
fn operations_on_the_same_blocks_keep_their_order_and_others_do_not_wait() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.state().slow = true;
    model.events();
    let (a, b) = (pattern(1, 4), pattern(2, 2));
    let read_four = async {
        let mut read = vec![0; 4 * BLOCK];
        disk.read(10, &mut read).await.map(|()| read)
    };
    let mut elsewhere = vec![0; BLOCK];
    let mut first = pin!(disk.write(10, &a));
    let mut second = pin!(disk.write(12, &b));
    let mut third = pin!(read_four);
    let mut fourth = pin!(disk.read(100, &mut elsewhere));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    assert!(poll(fourth.as_mut()).is_pending());
    assert_eq!(model.state().pending.len(), 2, "the first, and the one elsewhere");
    model.state().complete(1);
    serve(&disk);
    assert_eq!(poll(fourth), Poll::Ready(Ok(())));
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(model.state().pending.len(), 1);
    model.state().slow = false;
    model.state().complete(0);
    serve(&disk);
    assert_eq!(poll(first), Poll::Ready(Ok(())));
    assert!(poll(third.as_mut()).is_pending(), "not before the write that was begun before it");
    assert_eq!(run(&disk, second), Ok(()));
    let read = run(&disk, third).unwrap();
    assert!(read[..2 * BLOCK] == a[..2 * BLOCK] && read[2 * BLOCK..] == b);
}

#[test]
fn more_operations_than_the_device_takes_wait_their_turn() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.state().slow = true;
    let bytes = pattern(9, MOST_BLOCKS / 8);
    let mut writes: Vec<_> = (0..30).map(|index| Box::pin(disk.write(index * 16, &bytes))).collect();
    let mut most = 0;
    for _ in 0..1000 {
        writes.retain_mut(|write| poll(write.as_mut()).is_pending());
        let pending = model.state().pending.len();
        most = most.max(pending);
        if pending > 0 {
            model.state().complete(pending - 1);
            serve(&disk);
        }
    }
    assert!(writes.is_empty(), "{} never ended", writes.len());
    assert_eq!(most, 7);
    assert!(model.state().disk[..30 * 16 * BLOCK].chunks(bytes.len()).all(|chunk| chunk == bytes));
}

#[test]
fn an_operation_that_nobody_waits_for_harms_nobody() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.state().slow = true;
    for round in 0..20 {
        let mut read = vec![0; BLOCK];
        let mut write = vec![round; BLOCK];
        {
            let mut write = pin!(disk.write(3, &write));
            let mut read = pin!(disk.read(3, &mut read));
            assert!(poll(write.as_mut()).is_pending());
            assert!(poll(read.as_mut()).is_pending());
        }
        write.fill(0xee);
        let pending = model.state().pending.len();
        assert_eq!(pending, 1, "the read was taken back, the write was not");
        model.state().complete(0);
        serve(&disk);
    }
    model.state().slow = false;
    let mut read = vec![0; BLOCK];
    run(&disk, disk.read(3, &mut read)).unwrap();
    assert_eq!(read, vec![19; BLOCK], "as it was when the write began");
}

#[test]
fn a_device_that_fails_or_breaks_the_standard_is_an_error_and_not_the_end_of_the_process() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.state().says = 2;
    assert_eq!(run(&disk, disk.read(0, &mut [0; BLOCK])), Err(DiskError::Failed));
    // It never writes a status.
    model.state().says = 0xff;
    assert_eq!(run(&disk, disk.read(0, &mut [0; BLOCK])), Err(DiskError::Failed));
    model.state().says = 0;
    assert_eq!(run(&disk, disk.read(0, &mut [0; BLOCK])), Ok(()));
    model.state().lies = true;
    assert_eq!(run(&disk, disk.read(0, &mut [0; BLOCK])), Err(DiskError::Failed));
    assert_eq!(run(&disk, disk.write(0, &[0; BLOCK])), Err(DiskError::Failed), "it is not trusted again");
}

#[test]
fn a_capability_that_is_revoked_fails_what_is_under_way() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    model.state().revoked = true;
    assert_eq!(run(&disk, disk.read(0, &mut [0; BLOCK])), Err(DiskError::Failed));
    assert_eq!(run(&disk, disk.flush()), Err(DiskError::Failed));
    assert_eq!(Disk::open(model).map(drop), Err(Error::Revoked));
}

#[test]
fn what_is_no_disk_as_the_standard_says_is_refused() {
    let old = Model::new();
    old.state().features = 1 << 9;
    assert_eq!(Disk::open(old).map(drop), Err(Error::Unsupported));
    let stubborn = Model::new();
    stubborn.state().refuses_features = true;
    assert_eq!(Disk::open(stubborn).map(drop), Err(Error::Unsupported));
    let small = Model::new();
    small.state().size = 8;
    assert_eq!(Disk::open(small).map(drop), Err(Error::Unsupported));
}

#[test]
fn the_device_forgets_its_memory_before_that_goes() {
    let model = Model::new();
    let disk = Disk::open(model.clone()).unwrap();
    assert_eq!(model.events(), [Event::Reset]);
    run(&disk, disk.flush()).unwrap();
    model.events();
    drop(disk);
    assert_eq!(model.events(), [Event::Reset]);
}

/// A function of which nothing is as it should be: registers say anything, and something else each time.
struct Noise {
    model: Model,
    space: Vec<u8>,
    seed: Cell<u64>,
    read: Cell<usize>,
}

impl Bus for Noise {
    fn read(&self, register: u64) -> Result<u64, Error> {
        self.read.set(self.read.get() + 1);
        assert!(self.read.get() < 100_000, "it is asked for ever");
        let register = Register::from_number(register).ok_or(Error::InvalidArgument)?;
        if register.space == Space::Configuration {
            let bytes = &self.space[register.offset as usize..][..register.width.bytes() as usize];
            return Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        }
        self.seed.set(self.seed.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        // With few bits set, so that some of it is believed.
        Ok(self.seed.get() >> 40 & self.seed.get() >> 20)
    }

    fn write(&self, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn memory(&self, pages: usize) -> Result<Memory, Error> {
        self.model.memory(pages)
    }

    fn interrupts(&self) -> bool {
        false
    }

    async fn interrupt(&self) -> Result<(), Error> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_function_that_says_anything_is_refused_or_fails(
        mut space in prop::collection::vec(any::<u8>(), 256..=256),
        known in any::<bool>(),
        wild in prop::collection::vec((0x40usize..256, any::<u8>()), 0..8),
        seed: u64,
    ) {
        let model = Model::new();
        if known {
            // The registers are where they should be, but for some.
            space = (0..256).map(|offset| model.state().configuration(offset)).collect();
            for (at, byte) in wild {
                space[at] = byte;
            }
        }
        space[..4].copy_from_slice(&[0xf4, 0x1a, 0x42, 0x10]);
        space[6] |= 0x10;
        let noise = Noise { model, space, seed: Cell::new(seed), read: Cell::new(0) };
        if let Ok(disk) = Disk::open(noise) {
            let mut bytes = [0; BLOCK];
            let mut read = pin!(disk.read(0, &mut bytes));
            // It has done nothing, so nothing is done.
            prop_assert!(!matches!(poll(read.as_mut()), Poll::Ready(Ok(()))));
        }
    }
}

/// One operation of a random run.
#[derive(Clone, Debug)]
enum Step {
    Write { first: u64, blocks: usize, seed: u8 },
    Read { first: u64, blocks: usize },
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40u64, 1..6usize, any::<u8>()).prop_map(|(first, blocks, seed)| Step::Write { first, blocks, seed }),
        (0..40u64, 1..6usize).prop_map(|(first, blocks)| Step::Read { first, blocks }),
        Just(Step::Flush),
    ]
}

proptest! {
    #[test]
    fn in_whatever_order_the_device_works_every_read_sees_the_writes_before_it(
        steps in prop::collection::vec(step(), 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let model = Model::new();
        let disk = Disk::open(model.clone()).unwrap();
        model.state().slow = true;
        let mut expected = vec![0; BLOCKS as usize * BLOCK];
        let mut operations: Vec<std::pin::Pin<Box<dyn Future<Output = bool> + '_>>> = Vec::new();
        for step in steps {
            let disk = &disk;
            match step {
                Step::Write { first, blocks, seed } => {
                    let bytes = pattern(seed, blocks);
                    let at = first as usize * BLOCK;
                    expected[at..at + bytes.len()].copy_from_slice(&bytes);
                    operations.push(Box::pin(async move { disk.write(first, &bytes).await.is_ok() }));
                }
                Step::Read { first, blocks } => {
                    let at = first as usize * BLOCK;
                    let before = expected[at..at + blocks * BLOCK].to_vec();
                    operations.push(Box::pin(async move {
                        let mut bytes = vec![0; before.len()];
                        disk.read(first, &mut bytes).await.is_ok() && bytes == before
                    }));
                }
                Step::Flush => operations.push(Box::pin(async move { disk.flush().await.is_ok() })),
            }
        }
        let mut turns = order.into_iter().cycle();
        for _ in 0..10_000 {
            let mut right = true;
            operations.retain_mut(|operation| match poll(operation.as_mut()) {
                Poll::Ready(good) => { right &= good; false }
                Poll::Pending => true,
            });
            prop_assert!(right);
            let pending = model.state().pending.len();
            if pending > 0 {
                let which = turns.next().unwrap().index(pending);
                model.state().complete(which);
                serve(&disk);
            }
            if operations.is_empty() {
                break;
            }
        }
        prop_assert!(operations.is_empty());
        prop_assert!(model.state().disk == expected);
    }
}
