//! Random traces: a machine with a few processes whose threads make any calls on any
//! handles, good and bad, while lines come, time passes, threads fault and are preempted.
#![allow(dead_code)]

use abi::device::Operation;
use abi::info::Limits;
use abi::message::FaultKind;
use abi::{Error, FOREVER, Handle, Message, Name, ReplyToken, Request, Rights, Transfer, TransferMode};
use axiom::note::MachineKey;
use axiom::tree::Tree;
use axiom::{Axiom, Config, Head, Outcome, RawBlock, Sealer};
use kernel::{DeviceId, Effect, InterruptId, Platform, ProcessId, Setup, ThreadId};

/// What a step of a trace is made from.
pub type Choice = [u8; 8];

/// The platform of every trace.
pub const PLATFORM: Platform = Platform { threads_per_process: 4, mapping: true, capture: true };

/// A machine that a trace runs on.
pub struct Machine {
    pub axiom: Axiom,
    pub now: u64,
    /// Threads that ever were, the host not among them.
    pub threads: Vec<ThreadId>,
    /// Tokens of calls that were delivered.
    replies: Vec<ReplyToken>,
    /// Threads that wait for the host.
    at_host: Vec<ThreadId>,
    /// What goes into every value that may be a secret.
    pub secret: u64,
}

impl Machine {
    /// A machine that has set up init and started it.
    pub fn boot(config: Config, head: Head) -> Machine {
        let mut axiom = Axiom::new(config, head);
        let setups = [
            Setup::Quota { memory: 16 << 20, pages: 1 << 12 },
            Setup::Init { image: [7; 32], length: 100, name: Name::new("init") },
            Setup::Device { device: DeviceId(0), name: Name::new("disk"), interrupt: Some(InterruptId(0)) },
            Setup::Image { hash: [8; 32], length: 100, name: Name::new("app") },
            Setup::Log,
            Setup::Start { length: 16 },
        ];
        for setup in setups {
            axiom.setup(setup, 0).expect("the set-up is accepted");
        }
        let (threads, replies, at_host) = (Vec::new(), Vec::new(), Vec::new());
        let mut machine = Machine { axiom, now: 0, threads, replies, at_host, secret: 0 };
        machine.effects();
        machine.populate();
        machine
    }

    /// Two more processes, which share endpoints, a notification and a quota with init.
    fn populate(&mut self) {
        let init = self.threads[0];
        let kernel_slot = |machine: &Machine, kind| machine.fitting(init, kind, 0);
        let quota = kernel_slot(self, abi::Kind::Quota);
        let image = kernel_slot(self, abi::Kind::Image);
        let interrupt = kernel_slot(self, abi::Kind::Interrupt);
        let endpoint = self.make(init, &Request::EndpointCreate { quota, depth: 4 });
        let supervisor = self.make(init, &Request::EndpointCreate { quota, depth: 4 });
        let notification = self.make(init, &Request::NotificationCreate { quota });
        self.make(init, &Request::InterruptBind { interrupt, notification, bits: 1 });
        self.make(init, &Request::RegionCreate { quota, pages: 4 });
        for name in ["server", "client"] {
            let limits = Limits::DEFAULT;
            let process =
                self.make(init, &Request::ProcessCreate { image, quota, supervisor, name: Name::new(name), limits });
            for source in [endpoint, notification, quota, image] {
                self.make(
                    init,
                    &Request::ProcessGrant { process, source, rights: Rights::ALL, badge: 0, expiry: FOREVER },
                );
            }
            self.make(init, &Request::ProcessStart { process, length: 8 });
        }
    }

    fn make(&mut self, thread: ThreadId, request: &Request<'_>) -> Handle {
        let outcome = self.axiom.call(thread, request, self.now);
        self.effects();
        match outcome {
            Outcome::Done(Ok(abi::Returned::Handle(handle))) => handle,
            _ => Handle::NONE,
        }
    }

    /// Small blocks, so that a short trace has many.
    pub fn config() -> Config {
        let mut config = Config::new(PLATFORM);
        config.slots = 16;
        config.waiting = usize::MAX;
        config
    }

    fn effects(&mut self) {
        while let Some(effect) = self.axiom.effect() {
            match effect {
                Effect::ThreadStarted { thread, .. } => self.threads.push(thread),
                Effect::Deliver { delivery, .. } if !delivery.reply.is_none() => self.replies.push(delivery.reply),
                Effect::CheckImage { thread, .. } => self.at_host.push(thread),
                _ => {}
            }
        }
    }

    /// A handle of the thread's process: one that it has, mostly.
    fn handle(&self, thread: ThreadId, choice: u8) -> Handle {
        if choice == 255 {
            return Handle(u64::from(choice) << 32 | 3);
        }
        let process = self.axiom.kernel().process_of(thread).unwrap_or(ProcessId(0));
        let held: Vec<Handle> = (0..64)
            .filter_map(|slot| self.axiom.kernel().capability_at(process, slot))
            .map(|info| info.handle)
            .collect();
        if held.is_empty() { Handle::NONE } else { held[usize::from(choice) % held.len()] }
    }

    /// A handle to an object of a kind that makes sense for the call, where there is one.
    fn fitting(&self, thread: ThreadId, kind: abi::Kind, choice: u8) -> Handle {
        let process = self.axiom.kernel().process_of(thread).unwrap_or(ProcessId(0));
        let held: Vec<Handle> = (0..64)
            .filter_map(|slot| self.axiom.kernel().capability_at(process, slot))
            .filter(|info| info.kind == kind)
            .map(|info| info.handle)
            .collect();
        if held.is_empty() || choice > 240 {
            self.handle(thread, choice)
        } else {
            held[usize::from(choice) % held.len()]
        }
    }

    /// One step.
    pub fn step(&mut self, choice: &Choice) {
        let [kind, who, a, b, c, d, time, _] = *choice;
        self.now += u64::from(time) * if time > 250 { 1 << 30 } else { 1000 };
        if self.axiom.current().is_none() {
            // Nobody runs: what is due comes, or a line.
            self.now = self.now.max(self.axiom.deadline().unwrap_or(0));
            self.axiom.tick(self.now);
            self.axiom.interrupt(InterruptId(0), self.now);
            self.effects();
        }
        match kind {
            0..=9 => self.axiom.interrupt(InterruptId(u32::from(a % 2)), self.now),
            10..=19 => self.axiom.tick(self.now),
            20..=25 => self.axiom.preempt(self.now),
            26..=27 => {
                if let Some(thread) = self.axiom.current() {
                    self.axiom.fault(thread, FaultKind::BadAccess, u64::from(a), b & 1 == 0, self.now);
                }
            }
            28..=35 => drop(self.axiom.grow(ProcessId(u32::from(a % 3)), u64::from(b), self.now)),
            36..=45 => {
                if let Some(thread) = self.at_host.pop() {
                    let result = if a & 1 == 0 { Ok([a; 32]) } else { Err(Error::InvalidArgument) };
                    self.axiom.host_done(thread, result, self.now);
                }
            }
            _ => {
                let chosen = self.threads.get(usize::from(who) % self.threads.len().max(1)).copied();
                // Mostly who must run; now and then one that the host has no business to run.
                let thread = if who < 200 { self.axiom.current() } else { chosen };
                if let Some(thread) = thread {
                    self.call(thread, [kind, a, b, c, d]);
                }
            }
        }
        self.effects();
    }

    /// Has a thread make the call that the bytes choose.
    pub fn call(&mut self, thread: ThreadId, [op, a, b, c, d]: [u8; 5]) -> Outcome {
        use abi::Kind::{Device, Endpoint, Image, Interrupt, Log, Notification, Process, Quota, Region};
        let of = |kind, choice| self.fitting(thread, kind, choice);
        let any = self.handle(thread, a);
        let timeout = match d % 8 {
            0 => 0,
            1..=4 => FOREVER,
            _ => u64::from(d) * 10_000,
        };
        let transfer = Transfer {
            handle: self.handle(thread, b),
            mode: if b & 1 == 0 { TransferMode::Move } else { TransferMode::Derive },
            rights: Rights::ALL,
            badge: u64::from(b & 2),
        };
        let transfers = if c % 5 == 0 { std::slice::from_ref(&transfer) } else { &[] };
        let message = Message { tag: u64::from(c) | 0x7000, length: u32::from(b), transfers };
        let reply = match self.replies.len() {
            0 => ReplyToken::new(u32::from(a), 1),
            count => self.replies[count - 1 - usize::from(a) % count.min(3)],
        };
        let rights = if c & 1 == 0 { Rights::ALL } else { Rights(u16::from_le_bytes([c, d])) };
        let request = match op % 48 {
            0..=4 => Request::Call { endpoint: of(Endpoint, a), message, timeout },
            5..=9 => Request::ReplyReceive { endpoint: of(Endpoint, a), reply, message, timeout },
            10..=12 => Request::Receive { endpoint: of(Endpoint, a), timeout },
            13..=14 => Request::Send { endpoint: of(Endpoint, a), message, timeout },
            15 => Request::Reply { reply, message },
            16 => Request::Signal { notification: of(Notification, a), bits: u64::from(b) },
            17 => Request::Wait { notification: of(Notification, a), timeout },
            18 => Request::Poll { notification: of(Notification, a) },
            19 => Request::Yield,
            20..=21 => Request::Derive { source: any, rights, badge: u64::from(d), expiry: FOREVER },
            22 => Request::Delete { handle: any },
            23 => Request::Revoke { handle: any },
            24 if d < 16 => Request::Destroy { handle: any },
            25 => Request::Inspect { process: Handle::NONE, slot: u32::from(a), ancestor: 0 },
            26 => Request::EndpointCreate { quota: of(Quota, a), depth: u32::from(b % 4) },
            27 => Request::NotificationCreate { quota: of(Quota, a) },
            28 => Request::NotificationBind { notification: of(Notification, a), endpoint: of(Endpoint, b) },
            29 => Request::NotificationUnbind { notification: of(Notification, a) },
            30 => Request::ProcessCreate {
                image: of(Image, a),
                quota: of(Quota, b),
                supervisor: of(Endpoint, c),
                name: Name::new("child"),
                limits: Limits::DEFAULT,
            },
            31..=32 => Request::ProcessGrant {
                process: of(Process, a),
                source: self.handle(thread, b),
                rights,
                badge: 0,
                expiry: FOREVER,
            },
            33 => Request::ProcessStart { process: of(Process, a), length: u32::from(b) },
            34 => Request::ProcessSuspend { process: of(Process, a) },
            35 => Request::ProcessResume { process: of(Process, a) },
            36 if d < 16 => Request::ProcessKill { process: of(Process, a), code: u64::from(b) },
            37 if d < 4 => Request::Exit { code: u64::from(a) },
            38 => Request::RegionCreate { quota: of(Quota, a), pages: u64::from(b % 8) },
            39 => Request::RegionWrite { region: of(Region, a), offset: 0, length: u32::from(b) },
            40 => Request::ImageCreate {
                quota: of(Quota, a),
                region: of(Region, b),
                length: u64::from(c),
                name: Name::new("made"),
            },
            41 => Request::InterruptBind {
                interrupt: of(Interrupt, a),
                notification: of(Notification, b),
                bits: 1 << (c % 64),
            },
            42 => Request::InterruptAcknowledge { interrupt: of(Interrupt, a) },
            43 => Request::DeviceWrite { device: of(Device, a), register: 0, value: self.secret },
            44 => Request::DeviceSubmit {
                device: of(Device, a),
                operation: Operation::Write,
                a: self.secret,
                b: 1,
                length: 512,
            },
            45 => Request::QuotaSplit { quota: of(Quota, a), memory: u64::from(b) * 1000, pages: u64::from(c) },
            46 => Request::LogRead { log: of(Log, a), from: 0, length: 100 },
            _ => Request::ProcessInspect { process: of(Process, a) },
        };
        let outcome = self.axiom.call(thread, &request, self.now);
        if outcome == Outcome::Host {
            // The effect that the host carries out comes first.
            self.effects();
            self.axiom.finish(thread, if d & 1 == 0 { Ok(()) } else { Err(Error::WouldBlock) });
        }
        outcome
    }

    /// The blocks that are full, and what is left as one more.
    pub fn blocks(&mut self) -> Vec<RawBlock> {
        self.axiom.cut(self.now);
        std::iter::from_fn(|| self.axiom.take_block()).collect()
    }
}

/// A key for tests.
pub fn key() -> MachineKey {
    MachineKey::from_seed(&[42; 32])
}

/// A sealer that has sealed nothing.
pub fn sealer() -> Sealer {
    Sealer::new(Head::EMPTY, Tree::new(), key())
}

/// The frames of blocks, one after the other.
pub fn seal(sealer: &mut Sealer, blocks: &[RawBlock]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in blocks {
        sealer.seal(block, 0, &mut bytes);
    }
    bytes
}
