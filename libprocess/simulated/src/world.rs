//! What the simulated host has beside the kernel, and how it carries out the kernel's
//! effects. Nothing here runs code of a process.

use crate::devices::Devices;
use crate::fault::Traps;
use crate::image::Images;
use crate::log::Log;
use crate::thread::{Payload, Program, Thread};
use abi::message::Words;
use abi::{Delivery, Error, Returned};
use axiom::Axiom;
use kernel::input::Hash;
use kernel::{BufferId, Effect, ImageId, InterruptId, PayloadSource, ProcessId, RegionId, ThreadId};
use libprocess::backend::Answer;
use simulated_disk::Random;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a thread of the machine wrote with `debug`, or a panic said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// The name of the process.
    pub process: String,
    /// What it said.
    pub text: String,
}

/// What a host writes down of a message that is captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    /// Serial of the process that sent it; 0 is the kernel.
    pub from: u64,
    /// Serial of the process that got it.
    pub to: u64,
    /// As the receiver was told.
    pub delivery: Delivery,
    /// As sent.
    pub words: Words,
    /// As sent.
    pub bytes: Vec<u8>,
}

pub(crate) struct World {
    pub axiom: Axiom,
    pub log: Log,
    /// ns since boot.
    pub now: u64,
    pub chance: Random,
    pub devices: Devices,
    pub images: Images,
    pub traps: Traps,
    /// By `ThreadId`.
    pub threads: Vec<Option<Rc<Thread>>>,
    /// Started, until all is dropped.
    pub programs: BTreeMap<ProcessId, Rc<Program>>,
    /// Made and not yet started: which image.
    created: BTreeMap<ProcessId, ImageId>,
    incarnations: BTreeMap<String, u32>,
    pub image_hashes: BTreeMap<ImageId, Hash>,
    buffers: BTreeMap<BufferId, Payload>,
    regions: BTreeMap<RegionId, Vec<u8>>,
    /// Images to be checked: who waits, and for what.
    pub checks: Vec<(ThreadId, Result<Hash, Error>)>,
    /// Threads whose futures are to be dropped, outside of every borrow.
    pub buried: Vec<Rc<Thread>>,
    pub first_startup: Vec<u8>,
    pub debug: Vec<Said>,
    /// Messages of endpoints under capture.
    pub captured: Vec<Captured>,
    pub panics: Vec<Said>,
    pub system_calls: u64,
    /// Traps injected so far.
    pub trapped: u64,
    /// The log could not be written when it had to be: the machine stops.
    pub log_lost: bool,
    /// Live processes; what is left when all are gone.
    pub live: usize,
}

impl World {
    pub fn new(axiom: Axiom, log: Log, devices: Devices, images: Images, traps: Traps, chance: Random) -> World {
        World {
            axiom,
            log,
            now: 0,
            chance,
            devices,
            images,
            traps,
            threads: Vec::new(),
            programs: BTreeMap::new(),
            created: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            image_hashes: BTreeMap::new(),
            buffers: BTreeMap::new(),
            regions: BTreeMap::new(),
            checks: Vec::new(),
            buried: Vec::new(),
            first_startup: Vec::new(),
            debug: Vec::new(),
            captured: Vec::new(),
            panics: Vec::new(),
            system_calls: 0,
            trapped: 0,
            log_lost: false,
            live: 0,
        }
    }

    pub fn thread(&self, id: ThreadId) -> Option<&Rc<Thread>> {
        self.threads.get(id.index())?.as_ref()
    }

    /// Carries out all effects that wait. What the host found for the caller's own call
    /// (a register, a completion, bytes) is returned.
    pub fn carry_out(&mut self) -> Option<Result<Returned, Error>> {
        let mut found = None;
        while let Some(effect) = self.axiom.effect() {
            if let Some(result) = self.effect(effect) {
                found = Some(result);
            }
        }
        found
    }

    fn effect(&mut self, effect: Effect) -> Option<Result<Returned, Error>> {
        match effect {
            Effect::Deliver { to, from, delivery } => {
                let payload = match from {
                    PayloadSource::Thread(sender) => match self.thread(sender) {
                        // The sender of a reply goes on; the outbox is moved, not copied.
                        Some(thread) => std::mem::take(&mut *thread.outbox.borrow_mut()),
                        None => Payload::default(),
                    },
                    PayloadSource::Buffer(buffer) => self.buffers.remove(&buffer).unwrap_or_default(),
                    PayloadSource::Kernel(words) => Payload { words, bytes: Vec::new() },
                };
                if let Some(thread) = self.thread(to) {
                    *thread.inbox.borrow_mut() = payload.bytes;
                    thread.answer.set(Some(Answer { result: Ok(Returned::Delivery(delivery)), words: payload.words }));
                }
            }
            Effect::Complete { thread, result } => {
                if let Some(thread) = self.thread(thread) {
                    thread.answer.set(Some(Answer::without_words(result)));
                }
            }
            Effect::Store { from, buffer } => {
                let payload = self.thread(from).map(|thread| std::mem::take(&mut *thread.outbox.borrow_mut()));
                self.buffers.insert(buffer, payload.unwrap_or_default());
            }
            Effect::Discard(buffer) => {
                self.buffers.remove(&buffer);
            }

            Effect::CaptureBegan { .. } | Effect::CaptureEnded { .. } => {}
            Effect::Captured { endpoint: _, sender, receiver, payload, delivery } => {
                let (words, bytes) = self.copy(payload);
                self.captured.push(Captured { from: sender, to: receiver, delivery, words, bytes });
            }

            Effect::ProcessCreated { process, image } => {
                self.created.insert(process, image);
                self.live += 1;
            }
            Effect::ThreadStarted { thread, process, startup, entry: _ } => {
                let startup = match startup {
                    Some(creator) => {
                        self.thread(creator).map(|thread| thread.outbox.borrow().bytes.clone()).unwrap_or_default()
                    }
                    None => self.first_startup.clone(),
                };
                self.start(thread, process, startup);
            }
            Effect::ThreadGone(thread) => self.thread_gone(thread),
            Effect::ProcessGone(process) => {
                self.created.remove(&process);
                self.programs.remove(&process);
                self.devices.process_gone(process);
                self.live = self.live.saturating_sub(1);
            }

            Effect::RegionCreated { region, pages } => {
                self.regions.insert(region, vec![0; pages as usize * abi::PAGE_SIZE]);
            }
            Effect::RegionGone(region) => {
                self.regions.remove(&region);
            }
            // Processes of the simulation have no address space; like a component's.
            Effect::Map { .. } => return Some(Err(Error::Unsupported)),
            Effect::Unmap { .. } => {}
            Effect::RegionRead { thread, region, offset, length } => {
                let bytes = self.region(region, offset, length).map(|bytes| bytes.to_vec());
                return Some(self.bytes_for(thread, bytes));
            }
            Effect::RegionWrite { thread, region, offset, length } => {
                let bytes = self.outbox_bytes(thread);
                return Some(match self.region(region, offset, length) {
                    Some(place) if place.len() == bytes.len() => {
                        place.copy_from_slice(&bytes);
                        Ok(Returned::Nothing)
                    }
                    _ => Err(Error::InvalidArgument),
                });
            }
            Effect::CheckImage { thread, region, length } => {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                let bytes = self.region(region, 0, length).map(|bytes| bytes.to_vec());
                let hash = bytes.and_then(|bytes| self.images.check(&bytes)).ok_or(Error::InvalidArgument);
                self.checks.push((thread, hash));
            }
            Effect::ImageCreated { image, hash } => {
                self.image_hashes.insert(image, hash);
            }
            Effect::ImageGone(image) => {
                self.image_hashes.remove(&image);
            }

            Effect::Line { line, open } => self.devices.set_line(line, open),
            Effect::DeviceRead { thread: _, device, register } => {
                return Some(self.devices.read(device, register, self.now).map(Returned::Value));
            }
            Effect::DeviceWrite { thread: _, device, register, value } => {
                return Some(self.devices.write(device, register, value).map(|()| Returned::Nothing));
            }
            Effect::DeviceSubmit { thread, device, operation, a, b, length: _ } => {
                let bytes = self.outbox_bytes(thread);
                let owner = self.process_of(thread);
                let request = self.devices.submit(owner, device, operation, a, b, bytes, self.now);
                return Some(request.map(Returned::Value));
            }
            Effect::DeviceComplete { thread, device } => {
                let owner = self.process_of(thread);
                return Some(self.devices.complete(owner, device).map(|(completion, bytes)| {
                    if let Some(thread) = self.thread(thread) {
                        *thread.inbox.borrow_mut() = bytes;
                    }
                    Returned::Completion(completion)
                }));
            }
            // As with mapping: the kernel is told that there is none of it here, and refuses.
            Effect::DeviceAddress { .. } => return Some(Err(Error::Unsupported)),
            Effect::LogRead { thread, from, length } => {
                let bytes = self.log.read(from, length as usize);
                return Some(self.bytes_for(thread, Some(bytes)));
            }
            Effect::Debug { thread, length: _ } => {
                let bytes = self.outbox_bytes(thread);
                if let Some(thread) = self.thread(thread) {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let process = thread.program.name.clone();
                    self.debug.push(Said { process, text });
                }
                return Some(Ok(Returned::Nothing));
            }
            Effect::Startup { thread } => {
                let bytes = self.thread(thread).map(|thread| thread.program.startup.clone());
                return Some(self.bytes_for(thread, bytes));
            }
        }
        None
    }

    /// What a delivery is about to take.
    fn copy(&self, payload: PayloadSource) -> (Words, Vec<u8>) {
        let of = |payload: &Payload| (payload.words, payload.bytes.clone());
        match payload {
            PayloadSource::Thread(thread) => self.thread(thread).map(|thread| of(&thread.outbox.borrow())),
            PayloadSource::Buffer(buffer) => self.buffers.get(&buffer).map(of),
            PayloadSource::Kernel(words) => Some((words, Vec::new())),
        }
        .unwrap_or_default()
    }

    fn start(&mut self, id: ThreadId, process: ProcessId, startup: Vec<u8>) {
        let program = match self.programs.get(&process) {
            Some(program) => program.clone(),
            None => {
                let name = self.axiom.kernel().process_name(process).unwrap_or_default().as_str().to_string();
                let incarnation = self.incarnations.entry(name.clone()).or_insert(0);
                *incarnation += 1;
                Rc::new(Program { process, name, incarnation: *incarnation, startup })
            }
        };
        self.programs.insert(process, program.clone());
        let thread = Thread::new(id, program);
        let image = self.created.get(&process).and_then(|image| self.image_hashes.get(image));
        *thread.future.borrow_mut() = image.and_then(|hash| self.images.run(hash));
        if self.threads.len() <= id.index() {
            self.threads.resize(id.index() + 1, None);
        }
        self.threads[id.index()] = Some(thread);
    }

    fn thread_gone(&mut self, id: ThreadId) {
        if let Some(thread) = self.threads.get_mut(id.index()).and_then(Option::take) {
            thread.gone.set(true);
            self.buried.push(thread);
        }
    }

    fn process_of(&self, thread: ThreadId) -> ProcessId {
        self.thread(thread).map_or(ProcessId::NONE, |thread| thread.program.process)
    }

    fn outbox_bytes(&self, thread: ThreadId) -> Vec<u8> {
        self.thread(thread).map(|thread| std::mem::take(&mut thread.outbox.borrow_mut().bytes)).unwrap_or_default()
    }

    fn bytes_for(&self, thread: ThreadId, bytes: Option<Vec<u8>>) -> Result<Returned, Error> {
        let bytes = bytes.ok_or(Error::InvalidArgument)?;
        let length = bytes.len() as u32;
        if let Some(thread) = self.thread(thread) {
            *thread.inbox.borrow_mut() = bytes;
        }
        Ok(Returned::Bytes(length))
    }

    fn region(&mut self, region: RegionId, offset: u64, length: u32) -> Option<&mut [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(length as usize)?;
        self.regions.get_mut(&region)?.get_mut(start..end)
    }

    /// Time passes: what was due comes, devices complete, lines are raised.
    pub fn advance(&mut self, to: u64) {
        self.now = self.now.max(to);
        self.log.collect(&mut self.axiom);
        // What a flush promises includes the record of everything before it.
        if self.devices.flush_due(self.now) && !self.log.sync(&mut self.axiom, self.now) {
            self.axiom.log_lost();
            self.log_lost = true;
            return;
        }
        self.devices.advance(self.now);
        while let Some(line) = self.devices.raise() {
            self.interrupt(line);
        }
        if self.axiom.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.axiom.tick(self.now);
            self.carry_out();
        }
        for (thread, result) in std::mem::take(&mut self.checks) {
            self.axiom.host_done(thread, result, self.now);
            self.carry_out();
        }
    }

    fn interrupt(&mut self, line: InterruptId) {
        self.axiom.interrupt(line, self.now);
        self.carry_out();
    }

    /// The processor is taken from the running thread.
    pub fn preempt(&mut self) {
        self.axiom.preempt(self.now);
        self.carry_out();
    }

    /// When something happens by itself next.
    pub fn next_event(&self) -> Option<u64> {
        [self.axiom.deadline(), self.devices.next_due()].into_iter().flatten().min()
    }
}
