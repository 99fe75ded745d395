//! Carries out what the kernel wants done, in the order in which it says.

use super::Machine;
use super::calls::deliver_registers;
use super::process::Image;
use super::thread::Thread;
use crate::memory::elf::Executable;
use crate::memory::space;
use crate::memory::{PAGE, mapped};
use crate::say;
use abi::message::Words;
use abi::native::Exit;
use abi::{Delivery, Error, Returned, Rights};
use alloc::rc::Rc;
use alloc::vec::Vec;
use kernel::{BufferId, Effect, ImageId, Mapping, PayloadSource, ProcessId, RegionId, Sole, ThreadId};

/// The payload of a queued message.
#[derive(Debug, Default)]
pub struct Stored {
    words: Words,
    count: usize,
    bytes: Vec<u8>,
}

/// The frames of each region, in its order, by the kernel's numbers.
#[derive(Debug, Default)]
pub struct Regions(Vec<Vec<u64>>);

impl Regions {
    /// The frames of a region: none, if there is no such region.
    #[inline(always)]
    pub fn get(&self, region: RegionId) -> &[u64] {
        self.0.get(region.index()).map_or(&[], Vec::as_slice)
    }

    fn insert(&mut self, region: RegionId, frames: Vec<u64>) {
        if self.0.len() <= region.index() {
            self.0.resize_with(region.index() + 1, Vec::new);
        }
        self.0[region.index()] = frames;
    }

    fn remove(&mut self, region: RegionId) -> Vec<u64> {
        self.0.get_mut(region.index()).map(core::mem::take).unwrap_or_default()
    }
}

/// An executable that is being checked, piece by piece.
#[derive(Debug)]
pub struct Check {
    thread: ThreadId,
    at: u64,
    length: u64,
    done: u64,
    hash: blake3::Hasher,
}

/// Bytes of an executable that are hashed before others get their turn.
const PIECE: u64 = 64 << 10;
/// The largest executable that is taken, in bytes.
pub const LARGEST_IMAGE: u64 = 16 << 20;

impl Machine {
    /// Drains the kernel's effects; afterwards lines that were opened with something behind them have come.
    pub(super) fn carry_out(&mut self) {
        loop {
            while let Some(effect) = self.axiom.effect() {
                self.carry_out_one(effect);
            }
            let Some(line) = self.devices.raised() else { return };
            let now = self.clock.now();
            self.axiom.interrupt(line, now);
        }
    }

    fn deliver(&mut self, to: ThreadId, from: PayloadSource, delivery: &Delivery) {
        let length = delivery.length as usize;
        let mut count = 0;
        match from {
            PayloadSource::Thread(from) if from != to => {
                let Some((source, target)) = self.threads.pair(from, to) else { return };
                count = source.entry.words();
                copy_words(source, target, count);
                if length > 0 {
                    let (outbox, process) = (source.outbox, source.process);
                    let place = self.buffer(to).map(|(_, address, capacity)| (address, length.min(capacity)));
                    let target = self.threads.get(to).map(|thread| thread.process);
                    let spaces = self.processes.space(process).zip(target.and_then(|to| self.processes.space(to)));
                    if let (Some((address, length)), Some((source, target))) = (place, spaces) {
                        // What either of them took from under it is its own loss.
                        source.copy_to(outbox.address, target, address, length);
                    }
                }
            }
            PayloadSource::Thread(_) => {}
            PayloadSource::Buffer(buffer) => {
                let stored = self.buffers.remove(&buffer.0).unwrap_or_default();
                let Some(thread) = self.threads.get(to) else { return };
                count = stored.count;
                thread.frame.words[..count].copy_from_slice(&stored.words[..count]);
                self.put_bytes(to, &stored.bytes);
            }
            PayloadSource::Kernel(words) => {
                let Some(thread) = self.threads.get(to) else { return };
                count = words.len();
                thread.frame.words = words;
            }
        }
        self.delivered(to, delivery, count);
    }

    /// The frequent ones.
    #[inline(always)]
    pub(super) fn carry_out_sole(&mut self, sole: Sole) {
        match sole {
            Sole::Woken { thread, bits } => self.answer(thread, Exit::DONE, bits),
            Sole::Fault { to, thread } => {
                let (words, delivery) = self.axiom.kernel().fault_of(thread);
                let Some(judge) = self.threads.get(to) else { return };
                judge.frame.words = words;
                deliver_registers(judge, &delivery, words.len());
            }
            Sole::Map(Mapping { process, region, address, rights, .. }) => self.map(process, region, address, rights),
            Sole::Unmap(Mapping { process, region, address, .. }) => self.unmap(process, region, address),
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Deliver { to, from, delivery } => self.deliver(to, from, &delivery),
            Effect::Complete { thread, result } => self.complete(thread, result),
            Effect::Store { from, buffer } => self.store(from, buffer),
            Effect::Discard(BufferId(buffer)) => {
                self.buffers.remove(&buffer);
            }

            // The kernel is told that this host captures nothing, and asks for none.
            Effect::CaptureBegan { .. } | Effect::CaptureEnded { .. } | Effect::Captured { .. } => {}

            Effect::ProcessCreated { process, image } => {
                let image = self.images.get(&image.0).cloned();
                self.processes.insert(process, image);
            }
            Effect::ThreadStarted { thread, process, startup, entry } => {
                self.threads.insert(Thread::new(thread, process, entry));
                if entry.is_none() {
                    let bytes = match startup {
                        Some(creator) => self.outgoing(creator),
                        None => core::mem::take(&mut self.init_startup),
                    };
                    if let Some(process) = self.processes.get(process) {
                        process.startup = bytes;
                    }
                }
                if startup.is_none() && entry.is_none() {
                    self.init = thread;
                }
            }
            Effect::ThreadGone(thread) => {
                if self.init == thread {
                    self.init = ThreadId::NONE;
                }
                self.float_gone(thread);
                self.threads.remove(thread);
            }
            Effect::ProcessGone(process) => self.process_gone(process),

            Effect::RegionCreated { region, pages } => self.region_created(region, pages),
            Effect::RegionGone(region) => self.region_gone(region),
            Effect::Map { process, region, address, rights } => self.map(process, region, address, rights),
            Effect::Unmap { process, region, address } => self.unmap(process, region, address),
            Effect::RegionRead { thread, region, offset, length } => {
                let result = self.region_read(thread, region, offset, length as usize);
                self.host_result = Some(result.map(|()| Returned::Bytes(length)));
            }
            Effect::RegionWrite { thread, region, offset, length } => {
                let result = self.region_write(thread, region, offset, length as usize);
                self.host_result = Some(result.map(|()| Returned::Nothing));
            }
            Effect::CheckImage { thread, region, length } => self.check_image(thread, region, length),
            Effect::ImageCreated { image, hash } => {
                if let Some(checked) = self.checked.get(&hash) {
                    self.images.insert(image.0, checked.clone());
                }
                if self.running_setup {
                    return;
                }
                // Those of the boot set stay; one that was brought lives as long as the kernel's image.
                if self.checked.get(&hash).is_some_and(|image| image.own) {
                    self.checked.remove(&hash);
                }
            }
            Effect::ImageGone(ImageId(image)) => {
                if let Some(image) = self.images.remove(&image) {
                    Image::release(image, self);
                }
            }

            Effect::Line { line, open } => self.set_line(line, open),
            Effect::DeviceRead { thread: _, device, register } => {
                self.host_result = Some(self.device_read(device, register).map(Returned::Value));
            }
            Effect::DeviceWrite { thread: _, device, register, value } => {
                self.host_result = Some(self.device_write(device, register, value).map(|()| Returned::Nothing));
            }
            Effect::DeviceSubmit { thread, device, operation, .. } => {
                let bytes = self.outgoing(thread);
                self.host_result = Some(self.devices.submit(device, operation, &bytes).map(Returned::Value));
            }
            // Drivers are in processes here.
            Effect::DeviceComplete { .. } => self.host_result = Some(Err(Error::Unsupported)),
            Effect::DeviceAddress { thread: _, device, region, page } => {
                self.host_result = Some(self.device_address(device, region, page).map(Returned::Value));
            }
            Effect::LogRead { thread: _, from, length } => {
                // It reads what is on record, this call included: once that is complete.
                self.reading = Some((from, length));
                self.host_result = Some(Ok(Returned::Bytes(0)));
            }
            Effect::Debug { thread, length: _ } => {
                self.debug(thread);
                self.host_result = Some(Ok(Returned::Nothing));
            }
            Effect::Startup { thread } => {
                let process = self.threads.get(thread).map(|thread| thread.process);
                let startup = process.and_then(|process| self.processes.get(process));
                let bytes = startup.map(|process| core::mem::take(&mut process.startup)).unwrap_or_default();
                let length = self.put_bytes(thread, &bytes);
                if let Some(process) = process.and_then(|process| self.processes.get(process)) {
                    process.startup = bytes;
                }
                self.host_result = Some(Ok(Returned::Bytes(length)));
            }
        }
    }

    /// Bytes into the buffer of a thread; how many there were.
    pub(super) fn put_bytes(&mut self, thread: ThreadId, bytes: &[u8]) -> u32 {
        if !bytes.is_empty()
            && let Some((space, address, capacity)) = self.buffer(thread)
        {
            space.write(address, &bytes[..bytes.len().min(capacity)]);
        }
        bytes.len() as u32
    }

    /// The bytes that a thread sends.
    fn outgoing(&mut self, thread: ThreadId) -> Vec<u8> {
        let Some(thread) = self.threads.get(thread) else { return Vec::new() };
        let (process, outbox) = (thread.process, thread.outbox);
        let mut bytes = alloc::vec![0; outbox.length as usize];
        if let Some(space) = self.processes.space(process) {
            space.read(outbox.address, &mut bytes);
        }
        bytes
    }

    fn store(&mut self, from: ThreadId, buffer: BufferId) {
        let bytes = self.outgoing(from);
        let Some(thread) = self.threads.get(from) else { return };
        self.buffers.insert(buffer.0, Stored { words: thread.frame.words, count: thread.entry.words(), bytes });
    }

    fn process_gone(&mut self, process: ProcessId) {
        let Some(gone) = self.processes.remove(process) else { return };
        if let Some(space) = gone.space {
            // Its tables may be loaded: the kernel's own are the same above.
            self.leave_space();
            space.free(&mut self.frames);
        }
        if let Some(image) = gone.image {
            Image::release(image, self);
        }
    }

    fn region_created(&mut self, region: RegionId, pages: u64) {
        let frames = match self.frames.take_run(pages) {
            Some(first) => (0..pages).map(|page| first + page * PAGE).collect(),
            None => core::iter::from_fn(|| self.frames.take()).take(pages as usize).collect::<Vec<u64>>(),
        };
        for frame in &frames {
            space::zero(*frame);
        }
        self.regions.insert(region, frames);
    }

    fn region_gone(&mut self, region: RegionId) {
        self.region_leaves_devices(region);
        for frame in self.regions.remove(region) {
            self.frames.free(frame);
        }
    }

    #[inline(always)]
    fn map(&mut self, process: ProcessId, region: RegionId, address: u64, rights: Rights) {
        let Some(space) = self.processes.space_mut(process) else { return };
        space.map(address, self.regions.get(region), rights);
    }

    #[inline(always)]
    fn unmap(&mut self, process: ProcessId, region: RegionId, address: u64) {
        let Some(space) = self.processes.space_mut(process) else { return };
        space.unmap(address, self.regions.get(region).len() as u64);
        if space.root() == self.loaded_root {
            self.flush_process_pages();
        }
    }

    /// The physical pieces of a region from an offset on, with where each begins in what is copied.
    fn region_pieces(&self, region: RegionId, offset: u64, length: usize) -> Result<Vec<(u64, usize, usize)>, Error> {
        let frames = self.regions.get(region);
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let frame = frames.get((at / PAGE) as usize).ok_or(Error::InvalidArgument)?;
            let part = (length - done).min((PAGE - at % PAGE) as usize);
            pieces.push((frame + at % PAGE, done, part));
            done += part;
        }
        Ok(pieces)
    }

    fn region_read(&mut self, thread: ThreadId, region: RegionId, offset: u64, length: usize) -> Result<(), Error> {
        let pieces = self.region_pieces(region, offset, length)?;
        let (space, address, capacity) = self.buffer(thread).ok_or(Error::InvalidArgument)?;
        for (physical, done, part) in pieces {
            let part = part.min(capacity.saturating_sub(done));
            // SAFETY: these bytes are a region's, which other processes may write at any time only while
            // they run, and none does now.
            let bytes = unsafe { core::slice::from_raw_parts(mapped(physical) as *const u8, part) };
            if !space.write(address + done as u64, bytes) {
                return Err(Error::InvalidArgument);
            }
        }
        Ok(())
    }

    fn region_write(&mut self, thread: ThreadId, region: RegionId, offset: u64, length: usize) -> Result<(), Error> {
        let pieces = self.region_pieces(region, offset, length)?;
        let thread = self.threads.get(thread).ok_or(Error::PeerGone)?;
        let (process, outbox) = (thread.process, thread.outbox);
        let space = self.processes.space(process).ok_or(Error::PeerGone)?;
        if outbox.length as usize != length {
            return Err(Error::InvalidArgument);
        }
        for (physical, done, part) in pieces {
            // SAFETY: as in `region_read`.
            let bytes = unsafe { core::slice::from_raw_parts_mut(mapped(physical) as *mut u8, part) };
            if !space.read(outbox.address + done as u64, bytes) {
                return Err(Error::InvalidArgument);
            }
        }
        Ok(())
    }

    /// Takes a copy of an executable, so that what is checked is what will run, and lets it be checked.
    fn check_image(&mut self, thread: ThreadId, region: RegionId, length: u64) {
        let taken = if length > LARGEST_IMAGE {
            Err(Error::TooLarge)
        } else {
            self.frames.take_run(length.div_ceil(PAGE)).ok_or(Error::QuotaExceeded)
        };
        let pieces = self.region_pieces(region, 0, length as usize);
        let now = self.clock.now();
        match (taken, pieces) {
            (Ok(at), Ok(pieces)) => {
                for (physical, done, part) in pieces {
                    // SAFETY: the frames were just taken; the region's are others.
                    unsafe {
                        core::ptr::copy_nonoverlapping(
                            mapped(physical) as *const u8,
                            mapped(at + done as u64) as *mut u8,
                            part,
                        );
                    }
                }
                self.checks.push_back(Check { thread, at, length, done: 0, hash: blake3::Hasher::new() });
            }
            (Err(error), _) => self.axiom.host_done(thread, Err(error), now),
            (Ok(at), Err(error)) => {
                self.free_run(at, length);
                self.axiom.host_done(thread, Err(error), now);
            }
        }
    }

    fn free_run(&mut self, at: u64, length: u64) {
        for page in 0..length.div_ceil(PAGE) {
            self.frames.free(at + page * PAGE);
        }
    }

    /// Goes on with the oldest check; whether there is more.
    pub(super) fn go_on_checking(&mut self) -> bool {
        let Some(check) = self.checks.front_mut() else { return false };
        let part = (check.length - check.done).min(PIECE);
        // SAFETY: the frames are the check's own.
        let bytes = unsafe { core::slice::from_raw_parts(mapped(check.at + check.done) as *const u8, part as usize) };
        check.hash.update(bytes);
        check.done += part;
        if check.done == check.length {
            let Some(check) = self.checks.pop_front() else { return false };
            self.checked_all(&check);
            self.carry_out();
        }
        !self.checks.is_empty()
    }

    fn checked_all(&mut self, check: &Check) {
        let hash = *check.hash.finalize().as_bytes();
        let image = Image { at: check.at, length: check.length, own: true, executable: Executable::EMPTY };
        let parsed = Executable::parse(image.bytes());
        let now = self.clock.now();
        match parsed {
            Ok(executable) => {
                let known = self.checked.contains_key(&hash);
                if known {
                    self.free_run(check.at, check.length);
                } else {
                    self.checked.insert(hash, Rc::new(Image { executable, ..image }));
                }
                self.axiom.host_done(check.thread, Ok(hash), now);
                self.carry_out();
                // Where nobody waits for it any more, no image was made of it.
                if !known && let Some(image) = self.checked.remove(&hash) {
                    Image::release(image, self);
                }
            }
            Err(refusal) => {
                say!("orbital: an executable is refused: {refusal}");
                self.free_run(check.at, check.length);
                self.axiom.host_done(check.thread, Err(Error::InvalidArgument), now);
            }
        }
    }

    fn debug(&mut self, thread: ThreadId) {
        let text = self.outgoing(thread);
        let process = self.threads.get(thread).map(|thread| thread.process);
        let name = process.and_then(|process| self.axiom.kernel().process_name(process));
        let name = name.as_ref().map_or("?", |name| name.as_str());
        let text = core::str::from_utf8(&text).unwrap_or("(not text)");
        say!("[{name}] {}", text.trim_end());
    }
}

impl Executable {
    /// Nothing to load.
    pub const EMPTY: Executable = Executable { entry: 0, segments: heapless::Vec::new() };
}

#[inline(always)]
pub(super) fn copy_words(source: &Thread, target: &mut Thread, count: usize) {
    if let Some(words) = source.frame.words.get(..count) {
        target.frame.words[..count].copy_from_slice(words);
    }
}
