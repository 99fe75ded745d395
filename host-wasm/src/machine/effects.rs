//! Carries out what the kernel wants done, in the order in which it says.

use super::record::Reading;
use super::threads::Payload;
use super::{Machine, ProcessRecord};
use crate::capture::{Content, Entry, Party, kind_number};
use crate::devices::registers::{Entropy, WallClock};
use crate::devices::{Completions, Device, Submission};
use crate::events::Event;
use crate::image::MOST_BYTES;
use abi::device::{CLASS, CLOCK_MONOTONIC, DeviceClass, Operation};
use abi::message::Words;
use abi::{Delivery, Error, Returned};
use kernel::{BufferId, DeviceId, Effect, ImageId, InterruptId, PayloadSource, ProcessId, RegionId, ThreadId};

/// The console.
pub const CONSOLE: DeviceId = DeviceId(0);
/// The disk.
pub const DISK: DeviceId = DeviceId(1);
/// The clock.
pub const CLOCK: DeviceId = DeviceId(2);
/// Randomness.
pub const ENTROPY: DeviceId = DeviceId(3);
/// Turns the machine off.
pub const POWER: DeviceId = DeviceId(4);

fn class_of(device: DeviceId) -> Option<DeviceClass> {
    Some(match device {
        CONSOLE => DeviceClass::Console,
        DISK => DeviceClass::Disk,
        CLOCK => DeviceClass::Clock,
        ENTROPY => DeviceClass::Entropy,
        POWER => DeviceClass::Power,
        _ => return None,
    })
}

/// The state of an interrupt line.
#[derive(Default)]
pub struct Line {
    /// It may come.
    pub open: bool,
    /// Its device has had something since.
    pub raised: bool,
}

/// A device with the queue of its completions.
pub struct Attached {
    /// What it does.
    pub device: Box<dyn Device>,
    /// What is done; none if it has registers alone.
    pub completions: Option<Completions>,
    /// The number of the last operation.
    pub requests: u64,
}

/// The devices, by the kernel's numbers.
pub struct Hardware(pub Vec<Attached>);

impl Hardware {
    fn get(&mut self, device: DeviceId) -> Result<&mut Attached, Error> {
        self.0.get_mut(device.index()).ok_or(Error::Unsupported)
    }

    /// The process has ended.
    fn forget(&mut self, owner: u64) {
        for attached in &mut self.0 {
            attached.device.forget(owner);
            if let Some(completions) = &attached.completions {
                completions.forget(owner);
            }
        }
    }
}

impl Attached {
    /// One with registers alone.
    pub fn registers(device: impl Device + 'static) -> Attached {
        Attached { device: Box::new(device), completions: None, requests: 0 }
    }

    /// Clock and entropy.
    pub fn clock_and_entropy() -> [Attached; 2] {
        [Attached::registers(WallClock), Attached::registers(Entropy)]
    }
}

impl Machine {
    /// Drains the kernel's effects; afterwards lines that were opened with something
    /// behind them have come.
    pub(super) fn carry_out(&mut self) {
        loop {
            while let Some(effect) = self.axiom.effect() {
                self.carry_out_one(effect);
            }
            let Some(line) = self.due_lines.pop_front() else { return };
            let now = self.clock.now();
            self.axiom.interrupt(line, now);
        }
    }

    fn deliver(&mut self, to: ThreadId, from: PayloadSource, delivery: &Delivery) {
        match from {
            PayloadSource::Thread(from) if from != to => return self.threads.deliver(to, from, delivery),
            PayloadSource::Thread(_) => {
                let Some(thread) = self.threads.get(to) else { return };
                thread.inbox.words = thread.outbox.words;
                if delivery.length > 0 {
                    thread.inbox.bytes = std::mem::take(&mut thread.outbox.bytes);
                }
            }
            PayloadSource::Buffer(buffer) => {
                let payload = self.buffers.remove(&buffer.0).unwrap_or_default();
                let Some(thread) = self.threads.get(to) else { return };
                thread.inbox = payload;
            }
            PayloadSource::Kernel(words) => {
                let Some(thread) = self.threads.get(to) else { return };
                thread.inbox.words = words;
            }
        }
        if let Some(thread) = self.threads.get(to) {
            thread.delivered(delivery);
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Deliver { to, from, delivery } => self.deliver(to, from, &delivery),
            Effect::Complete { thread, result } => self.complete(thread, result),
            Effect::Store { from, buffer } => {
                let Some(thread) = self.threads.get(from) else { return };
                let payload = Payload { words: thread.outbox.words, bytes: std::mem::take(&mut thread.outbox.bytes) };
                self.buffers.insert(buffer.0, payload);
            }
            Effect::Discard(BufferId(buffer)) => {
                self.buffers.remove(&buffer);
            }

            Effect::CaptureBegan { endpoint, process } => {
                let by = self.party(process);
                self.capture(Content::Began { endpoint: endpoint.0, by });
            }
            Effect::CaptureEnded { endpoint } => self.capture(Content::Ended { endpoint: endpoint.0 }),
            Effect::Captured { endpoint, sender, receiver, payload, delivery } => {
                let (words, bytes) = self.copy(payload);
                let (from, to) = (self.party(sender), self.party(receiver));
                let Delivery { kind, capabilities, badge, tag, .. } = delivery;
                let (endpoint, kind) = (endpoint.0, kind_number(kind));
                self.capture(Content::Message { endpoint, kind, from, to, badge, tag, capabilities, words, bytes });
            }

            Effect::ProcessCreated { process, image } => self.process_created(process, image),
            Effect::ThreadStarted { thread, process, startup, entry: _ } => {
                let bytes = match startup {
                    Some(creator) => self.threads.get(creator).map(|creator| std::mem::take(&mut creator.outbox.bytes)),
                    None => Some(std::mem::take(&mut self.init_startup)),
                };
                if let (Some(record), Some(bytes)) = (self.processes.get_mut(&process.0), bytes) {
                    record.startup = bytes;
                }
                let me = self.threads.started(thread, process);
                if startup.is_none() {
                    self.init = Some(me);
                }
            }
            Effect::ThreadGone(thread) => {
                if self.init.is_some_and(|init| init.thread == thread) {
                    self.init = None;
                }
                let fiber = self.threads.gone(thread);
                self.doom(fiber);
            }
            Effect::ProcessGone(process) => {
                if let Some(record) = self.processes.remove(&process.0) {
                    self.hardware.forget(record.owner);
                }
            }

            Effect::RegionCreated { region, pages } => self.regions.create(region, pages),
            Effect::RegionGone(region) => self.regions.remove(region),
            // Components share no memory: the kernel is told so and asks for neither.
            Effect::Map { .. } | Effect::Unmap { .. } => {}
            Effect::RegionRead { thread, region, offset, length } => {
                let result = self.regions.read(region, offset, length.into()).ok_or(Error::InvalidArgument);
                let result = result.map(|bytes| self.put_bytes(thread, bytes));
                self.complete(thread, result);
            }
            Effect::RegionWrite { thread, region, offset, length } => {
                let result = self.region_write(thread, region, offset, length);
                self.complete(thread, result);
            }
            Effect::CheckImage { thread, region, length } => self.check_image(thread, region, length),
            Effect::ImageCreated { image, hash } => {
                if let Some((_, executable)) = self.checked.take().filter(|(checked, _)| *checked == hash) {
                    self.images.insert(image.0, executable);
                }
            }
            Effect::ImageGone(ImageId(image)) => {
                self.images.remove(&image);
            }

            Effect::Line { line, open } => self.set_line(line, open),
            Effect::DeviceRead { thread, device, register } => {
                let result = self.device_read(device, register);
                self.complete(thread, result);
            }
            Effect::DeviceWrite { thread, device, register, value } => {
                let result = self.hardware.get(device).and_then(|attached| attached.device.write(register, value));
                self.complete(thread, result.map(|()| Returned::Nothing));
            }
            Effect::DeviceSubmit { thread, device, operation, a, b, length: _ } => {
                let result = self.device_submit(thread, device, operation, a, b);
                self.complete(thread, result);
            }
            Effect::DeviceComplete { thread, device } => {
                let result = self.device_complete(thread, device);
                self.complete(thread, result);
            }
            // As with mapping: the kernel is told that this host has none of it, and refuses.
            Effect::DeviceAddress { thread, .. } => self.complete(thread, Err(Error::Unsupported)),
            Effect::LogRead { thread, from, length } => {
                // It reads what is on record, this call included: once that is complete.
                self.record.reading = Some(Reading { thread, from, length });
                self.complete(thread, Ok(Returned::Bytes(0)));
            }
            Effect::Debug { thread, length: _ } => {
                self.debug(thread);
                self.complete(thread, Ok(Returned::Nothing));
            }
            Effect::Startup { thread } => {
                let process = self.threads.get(thread).map(|slot| slot.me.process);
                let bytes =
                    process.and_then(|process| self.processes.get(&process.0)).map(|record| record.startup.clone());
                let returned = self.put_bytes(thread, bytes.unwrap_or_default());
                self.complete(thread, Ok(returned));
            }
        }
    }

    /// Writes down what is captured.
    fn capture(&mut self, content: Content) {
        let entry = Entry { time: self.clock.now(), record: self.axiom.next_record().saturating_sub(1), content };
        self.capture.add(&entry);
    }

    /// A process for the capture.
    fn party(&self, process: u64) -> Party {
        let name = self.axiom.kernel().name_of(process).map(|name| name.as_str().to_owned());
        Party { process, name: name.unwrap_or_default() }
    }

    /// What a delivery is about to take.
    fn copy(&mut self, payload: PayloadSource) -> (Words, Vec<u8>) {
        let from = match payload {
            PayloadSource::Thread(thread) => self.threads.get(thread).map(|thread| &thread.outbox),
            PayloadSource::Buffer(buffer) => self.buffers.get(&buffer.0),
            PayloadSource::Kernel(words) => return (words, Vec::new()),
        };
        from.map(|payload| (payload.words, payload.bytes.clone())).unwrap_or_default()
    }

    pub(super) fn complete(&mut self, thread: ThreadId, result: Result<Returned, Error>) {
        if let Some(thread) = self.threads.get(thread) {
            thread.answer = Some(result);
        }
    }

    /// Bytes into a thread's inbox.
    pub(super) fn put_bytes(&mut self, thread: ThreadId, bytes: Vec<u8>) -> Returned {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if let Some(thread) = self.threads.get(thread) {
            thread.put_bytes(bytes);
        }
        Returned::Bytes(length)
    }

    fn process_created(&mut self, process: ProcessId, image: ImageId) {
        let Some(executable) = self.images.get(&image.0) else { return };
        self.owners += 1;
        let record = ProcessRecord { executable: executable.clone(), owner: self.owners, startup: Vec::new() };
        self.processes.insert(process.0, record);
    }

    fn owner(&mut self, thread: ThreadId) -> Result<u64, Error> {
        let process = self.threads.get(thread).map(|slot| slot.me.process);
        process.and_then(|process| self.processes.get(&process.0)).map(|record| record.owner).ok_or(Error::PeerGone)
    }

    fn region_write(
        &mut self,
        thread: ThreadId,
        region: RegionId,
        offset: u64,
        length: u32,
    ) -> Result<Returned, Error> {
        let slot = self.threads.get(thread).ok_or(Error::PeerGone)?;
        let bytes = slot.outbox.bytes.get(..length as usize).ok_or(Error::InvalidArgument)?;
        self.regions.write(region, offset, bytes).ok_or(Error::InvalidArgument)?;
        Ok(Returned::Nothing)
    }

    /// Checks an executable on a thread of its own: compiling takes long.
    fn check_image(&mut self, thread: ThreadId, region: RegionId, length: u64) {
        let serial = self.threads.get(thread).map_or(0, |slot| slot.me.serial);
        let bytes = if length > MOST_BYTES {
            Err(Error::TooLarge)
        } else {
            self.regions.read(region, 0, length).ok_or(Error::InvalidArgument)
        };
        let (loader, events) = (self.loader.clone(), self.events.clone());
        let check = move || {
            let result = bytes.and_then(|bytes| loader.load(&bytes).map_err(Error::from));
            events.post(Event::Checked { thread, serial, result: Box::new(result) });
        };
        if std::thread::Builder::new().name("check-image".into()).spawn(check).is_err() {
            self.events.post(Event::Checked { thread, serial, result: Box::new(Err(Error::QuotaExceeded)) });
        }
    }

    fn set_line(&mut self, line: InterruptId, open: bool) {
        let Some(state) = self.lines.get_mut(line.index()) else { return };
        state.open = open;
        if open && state.raised {
            state.raised = false;
            state.open = false;
            self.due_lines.push_back(line);
        }
    }

    fn device_read(&mut self, device: DeviceId, register: u64) -> Result<Returned, Error> {
        if device == CLOCK && register == CLOCK_MONOTONIC {
            return Ok(Returned::Value(self.clock.now()));
        }
        if register == CLASS {
            let class = class_of(device).ok_or(Error::Unsupported)?;
            return Ok(Returned::Value(class as u64));
        }
        self.hardware.get(device)?.device.read(register).map(Returned::Value)
    }

    fn device_submit(
        &mut self,
        thread: ThreadId,
        device: DeviceId,
        operation: Operation,
        a: u64,
        b: u64,
    ) -> Result<Returned, Error> {
        let owner = self.owner(thread)?;
        // A flush promises that what is on record up to this call is durable.
        let log = self.axiom.next_record();
        if device == DISK && operation == Operation::Flush {
            self.record.flush_before = Some(log);
        }
        let bytes = self.threads.get(thread).map(|slot| std::mem::take(&mut slot.outbox.bytes)).unwrap_or_default();
        let attached = self.hardware.get(device)?;
        let completions = attached.completions.clone().ok_or(Error::Unsupported)?;
        completions.begin(owner)?;
        attached.requests += 1;
        let request = attached.requests;
        let submission = Submission { owner, request, operation, a, b, bytes, log };
        if let Err(error) = attached.device.submit(submission) {
            completions.refused(owner);
            return Err(error);
        }
        Ok(Returned::Value(request))
    }

    fn device_complete(&mut self, thread: ThreadId, device: DeviceId) -> Result<Returned, Error> {
        let owner = self.owner(thread)?;
        let completions = self.hardware.get(device)?.completions.clone().ok_or(Error::Unsupported)?;
        let done = completions.take(owner).ok_or(Error::WouldBlock)?;
        self.put_bytes(thread, done.bytes);
        Ok(Returned::Completion(done.completion))
    }

    fn debug(&mut self, thread: ThreadId) {
        let Some(slot) = self.threads.get(thread) else { return };
        let text = String::from_utf8_lossy(&slot.outbox.bytes).into_owned();
        let process = slot.me.process;
        let name = self.axiom.kernel().process_info(process).map(|info| info.name);
        let name = name.as_ref().map_or("?", |name| name.as_str());
        // Standard error may be closed; debug output is not worth an end.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("[{name}] {}\n", text.trim_end()).as_bytes());
    }
}
