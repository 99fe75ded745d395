//! Random runs of several processes that make all kinds of calls, sensible ones and
//! others. After each step K1 to K16 hold; at the end the log replays to the live state.

use super::machine::{DEVICE, EVERYTHING, LINE, Machine};
use super::steps;
use crate::authority::Header;
use crate::commit::{Activity as Doing, Authority as Change, Outcome};
use crate::ids::*;
use crate::thread::State;
use crate::{Change as Half, Input, Platform};
use abi::device::Operation;
use abi::info::Limits;
use abi::message::{FaultKind, VERDICT_KILL, VERDICT_RESUME};
use abi::{FOREVER, Handle, Kind, Message, Name, ReplyToken, Request, Rights, Transfer, TransferMode};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use proptest::prelude::*;

/// One step of a run: which call, and numbers from which its arguments are chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    call: u8,
    who: u8,
    a: u16,
    b: u16,
    c: u16,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>(), any::<u16>());
    proptest::collection::vec(step.prop_map(|(call, who, a, b, c)| Step { call, who, a, b, c }), 1..400)
}

pub(super) struct Run {
    pub(super) machine: Machine,
    used_replies: BTreeSet<(u32, u32)>,
}

impl Run {
    pub(super) fn new(platform: Platform) -> Run {
        let mut machine = Machine::on(platform);
        let (init, quota) = (machine.init, machine.quota);
        // Three children that have something to do with each other.
        let endpoint = machine.endpoint(init, quota, 3);
        let bits = machine.notification(init, quota);
        let interrupt = machine.interrupt;
        machine.ok(init, Request::InterruptBind { interrupt, notification: bits, bits: 1 });
        for _ in 0..3 {
            let part = machine.handle(init, Request::QuotaSplit { quota, memory: 2 << 20, pages: 64 });
            let grants = [
                (endpoint, Rights::ALL),
                (bits, Rights::ALL),
                (part, Rights::ALL),
                (machine.image, Rights::ALL),
                (interrupt, Rights::ALL),
            ];
            machine.child(endpoint, &grants);
        }
        Run { machine, used_replies: BTreeSet::new() }
    }

    /// A handle of a process: mostly one that it has, of the kind.
    fn pick(&self, process: ProcessId, kind: Kind, number: u16) -> Handle {
        let Some(table) = self.machine.kernel.authority.tables.get(process.index()) else { return Handle::NONE };
        if number % 32 == 31 {
            return Handle::new(u32::from(number % 16), u32::from(number / 64));
        }
        let of_kind: Vec<u32> = (0..table.slots.len() as u32)
            .filter(|&slot| {
                let cell = table.slots[slot as usize];
                !cell.is_free()
                    && (number % 16 == 15
                        || self
                            .machine
                            .kernel
                            .authority
                            .capabilities
                            .get(cell.capability)
                            .is_some_and(|c| c.kind == kind))
            })
            .collect();
        if of_kind.is_empty() { Handle::NONE } else { table.handle(of_kind[usize::from(number) % of_kind.len()]) }
    }

    /// A handle with which a process may capture, if it has one.
    fn capturing(&self, process: ProcessId) -> Handle {
        let authority = &self.machine.kernel.authority;
        let may = |capability: &&crate::capability::Capability| {
            capability.process == process && capability.rights.contains(Rights::CAPTURE)
        };
        let capability = authority.capabilities.iter().map(|(_, capability)| capability).find(may);
        capability
            .and_then(|capability| Some(authority.tables.get(process.index())?.handle(capability.slot)))
            .unwrap_or(Handle::NONE)
    }

    /// A reply that the process may give, or one that it may not.
    fn reply(&self, process: ProcessId, number: u16) -> ReplyToken {
        let threads = &self.machine.kernel.activity.threads;
        let waiting: Vec<ReplyToken> = (0..threads.len() as u32)
            .map(|id| ReplyToken::new(id, threads[id as usize].call))
            .filter(|&token| number.is_multiple_of(16) || self.machine.kernel.answerable(process, token).is_ok())
            .collect();
        if waiting.is_empty() { ReplyToken::NONE } else { waiting[usize::from(number) % waiting.len()] }
    }

    pub(super) fn step(&mut self, step: Step) {
        let Step { call, who, a, b, c } = step;
        self.machine.now += u64::from(c % 5) * 10;
        let (now, machine) = (self.machine.now, &self.machine);
        match call {
            0..8 => return self.machine.tick(now + u64::from(a)),
            8..14 => return self.input(&Input::Preempt),
            14..18 => return self.input(&Input::Interrupt(InterruptId(if a % 8 == 0 { 1 } else { LINE.0 }))),
            18..22 => {
                let process = ProcessId(u32::from(a % 6));
                return self.input(&Input::Grow { process, pages: u64::from(b % 8) });
            }
            22..28 => {
                let thread = ThreadId(u32::from(a % 8));
                let result = if b % 4 == 0 { Err(abi::Error::InvalidArgument) } else { Ok([b as u8; 32]) };
                return self.input(&Input::HostDone { thread, result });
            }
            28..34 => {
                let Some(thread) = machine.kernel.current() else { return };
                if thread != machine.init {
                    let kind = if a % 2 == 0 { FaultKind::BadAccess } else { FaultKind::Trap };
                    self.input(&Input::Fault { thread, kind, detail: 1, resumable: b % 2 == 0 });
                }
                return;
            }
            _ => {}
        }
        // Mostly who runs, sometimes another that could.
        let threads = machine.kernel.activity.threads.len() as u32;
        let able = |thread: &ThreadId| matches!(machine.kernel.thread_state(*thread), State::Ready | State::Running);
        let ready: Vec<ThreadId> = (0..threads).map(ThreadId).filter(able).collect();
        let thread = match machine.kernel.current() {
            Some(current) if who % 4 != 0 || ready.is_empty() => current,
            _ if ready.is_empty() => return,
            _ => ready[usize::from(who / 4) % ready.len()],
        };
        let Some(process) = machine.kernel.process_of(thread) else { return };
        // Half of all messages are as plain as most are, so that the fast path is taken.
        let plain = c % 2 == 0;
        let timeout = if plain { FOREVER } else { [FOREVER, 0, 50, 5000][usize::from(c / 2) % 4] };
        let rights = if a % 3 == 0 { Rights::ALL } else { Rights(b) };
        let badge = if b % 4 == 0 { u64::from(b) } else { 0 };
        let offers = [
            Transfer {
                handle: self.pick(process, Kind::Endpoint, c),
                mode: TransferMode::Derive,
                rights: Rights::ALL,
                badge: 0,
            },
            Transfer {
                handle: self.pick(process, Kind::Notification, b),
                mode: TransferMode::Move,
                rights: Rights::ALL,
                badge: 0,
            },
            Transfer {
                handle: Handle(self.reply(process, a).0),
                mode: TransferMode::Reply,
                rights: Rights::ALL,
                badge: 0,
            },
        ];
        let offers = match b % 4 {
            _ if plain => &[],
            0 => &offers[..2],
            1 => &offers[1..2],
            2 => &offers[2..],
            _ => &[],
        };
        let tag = [7, VERDICT_RESUME, VERDICT_KILL][usize::from(a) % 3];
        let message = Message { tag, length: u32::from(b % 64), transfers: offers };
        let pick = |kind, number| self.pick(process, kind, number);
        let limits = Limits {
            capabilities: u32::from(b % 40),
            queued_messages: u32::from(a % 8),
            processor_time: if c % 4 == 0 { 10_000 } else { FOREVER },
        };
        let name = Name::new("random");
        let request = match call {
            34..48 => Request::Send { endpoint: pick(Kind::Endpoint, a), message, timeout },
            48..72 => Request::Call { endpoint: pick(Kind::Endpoint, a), message, timeout },
            72..90 => Request::Receive { endpoint: pick(Kind::Endpoint, a), timeout },
            90..98 => Request::Reply { reply: self.reply(process, b), message },
            98..118 => Request::ReplyReceive {
                endpoint: pick(Kind::Endpoint, a),
                reply: self.reply(process, b),
                message,
                timeout,
            },
            118..126 => Request::Signal { notification: pick(Kind::Notification, a), bits: u64::from(b) },
            126..132 => Request::Wait { notification: pick(Kind::Notification, a), timeout },
            132..135 => Request::Poll { notification: pick(Kind::Notification, a) },
            135..138 => Request::Yield,
            138..148 => Request::Derive {
                source: pick(Kind::Endpoint, a),
                rights,
                badge,
                expiry: if c % 8 == 0 { now + 500 } else { FOREVER },
            },
            148..151 => Request::Derive { source: pick(Kind::Region, a), rights, badge: 0, expiry: FOREVER },
            151..155 => Request::Delete { handle: pick(Kind::Endpoint, a) },
            155..158 => Request::Revoke { handle: pick(Kind::Endpoint, a) },
            158..160 => Request::Destroy {
                handle: pick(
                    [Kind::Endpoint, Kind::Quota, Kind::Process, Kind::Region, Kind::Notification, Kind::Thread]
                        [usize::from(b) % 6],
                    a,
                ),
            },
            160..161 => {
                Request::Inspect { process: pick(Kind::Process, a), slot: u32::from(b % 8), ancestor: u32::from(c % 3) }
            }
            161..163 => {
                let endpoint = if b % 4 == 0 { pick(Kind::Endpoint, a) } else { self.capturing(process) };
                if call == 161 { Request::CaptureBegin { endpoint } } else { Request::CaptureEnd { endpoint } }
            }
            163..168 => Request::EndpointCreate { quota: pick(Kind::Quota, a), depth: u32::from(b % 5) },
            168..172 => Request::NotificationCreate { quota: pick(Kind::Quota, a) },
            172..175 => Request::NotificationBind {
                notification: pick(Kind::Notification, a),
                endpoint: pick(Kind::Endpoint, b),
            },
            175..177 => Request::NotificationUnbind { notification: pick(Kind::Notification, a) },
            177..184 => Request::ProcessCreate {
                image: pick(Kind::Image, a),
                quota: pick(Kind::Quota, b),
                supervisor: pick(Kind::Endpoint, c),
                name,
                limits,
            },
            184..190 => Request::ProcessGrant {
                process: pick(Kind::Process, a),
                source: pick(Kind::Endpoint, b),
                rights,
                badge,
                expiry: FOREVER,
            },
            190..197 => Request::ProcessStart { process: pick(Kind::Process, a), length: u32::from(b) },
            197..199 => Request::ProcessSuspend { process: pick(Kind::Process, a) },
            199..202 => Request::ProcessResume { process: pick(Kind::Process, a) },
            202..204 => Request::ProcessKill { process: pick(Kind::Process, a), code: 9 },
            204..206 => Request::ProcessInspect { process: pick(Kind::Process, a) },
            206..208 => Request::ProcessLimit { process: pick(Kind::Process, a), limits },
            208..209 => {
                if a % 4 == 0 && thread != self.machine.init {
                    Request::Exit { code: u64::from(a) }
                } else {
                    Request::Startup
                }
            }
            209..213 => Request::ThreadCreate { quota: pick(Kind::Quota, a), entry: 1, stack: 2, argument: 3 },
            213..218 => Request::ThreadConfigure {
                thread: if b % 2 == 0 { Handle::NONE } else { pick(Kind::Thread, a) },
                priority: (c % 20) as u8,
                budget: if b % 3 == 0 { 100 } else { FOREVER },
                period: 1000,
            },
            218..219 => {
                if thread != self.machine.init {
                    Request::ThreadExit
                } else {
                    Request::Yield
                }
            }
            219..223 => Request::RegionCreate { quota: pick(Kind::Quota, a), pages: u64::from(b % 6) },
            223..225 => {
                Request::RegionRead { region: pick(Kind::Region, a), offset: u64::from(b), length: u32::from(c) }
            }
            225..227 => {
                Request::RegionWrite { region: pick(Kind::Region, a), offset: u64::from(b), length: u32::from(c) }
            }
            227..231 => Request::RegionMap {
                region: pick(Kind::Region, a),
                address: u64::from(b % 8) << 14,
                rights: Rights(b & 0x380),
            },
            231..233 => Request::RegionUnmap { region: pick(Kind::Region, a), address: u64::from(b % 8) << 14 },
            233..236 => Request::ImageCreate {
                quota: pick(Kind::Quota, a),
                region: pick(Kind::Region, b),
                length: u64::from(c),
                name,
            },
            236..238 => Request::InterruptBind {
                interrupt: pick(Kind::Interrupt, a),
                notification: pick(Kind::Notification, b),
                bits: u64::from(c),
            },
            238..239 if b % 2 == 0 => Request::InterruptUnbind { interrupt: pick(Kind::Interrupt, a) },
            238..241 => Request::InterruptAcknowledge { interrupt: pick(Kind::Interrupt, a) },
            241..242 => Request::DeviceRead { device: pick(Kind::Device, a), register: 0 },
            242..243 => Request::DeviceWrite { device: pick(Kind::Device, a), register: 0, value: 0 },
            243..244 => Request::DeviceSubmit {
                device: pick(Kind::Device, a),
                operation: Operation::Read,
                a: 0,
                b: 0,
                length: 0,
            },
            244..245 if b % 2 == 0 => Request::DeviceComplete { device: pick(Kind::Device, a) },
            244..245 => Request::DeviceAddress {
                device: pick(Kind::Device, a),
                region: pick(Kind::Region, b),
                page: u64::from(c % 4),
            },
            245..250 => {
                Request::QuotaSplit { quota: pick(Kind::Quota, a), memory: u64::from(b) * 8, pages: u64::from(c % 16) }
            }
            250..252 => Request::QuotaInspect { quota: pick(Kind::Quota, a) },
            252..253 => Request::LogRead { log: pick(Kind::Log, a), from: 0, length: 100 },
            _ => Request::Debug { length: u32::from(a) },
        };
        self.call(thread, process, request);
    }

    /// What the host reports; it may be refused.
    fn input(&mut self, input: &Input<'_>) {
        let _ = self.machine.input(input);
    }

    /// One call, with the invariants that a step shows.
    fn call(&mut self, thread: ThreadId, process: ProcessId, request: Request<'_>) {
        let before = (self.machine.authority(), self.machine.activity(), self.machine.log.len());
        let state = self.machine.kernel.clone();
        let result: Result<Outcome, _> = self.machine.call(thread, request);
        if result.is_err() {
            let after = (self.machine.authority(), self.machine.activity(), self.machine.log.len());
            // What was due anyway may have happened after the refusal.
            assert!(before == after || after.2 > before.2, "K7: {request:?} was refused and changed something");
        }
        let commits = &self.machine.log[before.2..];
        assert_eq!(steps::check(&state, &self.machine.kernel, Some(process), commits), Ok(()), "{request:?}");
        for commit in commits {
            if let Half::Activity(Doing::Replied { caller, .. } | Doing::Answered { caller, .. }) = commit.change {
                let call = self.machine.kernel.activity.view(caller).call;
                assert!(self.used_replies.insert((caller.0, call)) || call == 0, "K8: a reply was used twice");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_and_the_log_replays_on_a_native_host(steps in steps()) {
        let mut run = Run::new(Platform::NATIVE);
        for step in steps {
            run.step(step);
        }
    }

    #[test]
    fn invariants_hold_and_the_log_replays_where_a_process_has_one_thread(steps in steps()) {
        let mut run = Run::new(Platform::WASM);
        for step in steps {
            run.step(step);
        }
    }
}

#[test]
fn random_runs_reach_every_kind_of_commit() {
    let mut seen = BTreeMap::<u8, u32>::new();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..250 {
        let mut run = Run::new(if round % 4 == 0 { Platform::WASM } else { EVERYTHING });
        for _ in 0..400 {
            let (x, y) = (random(), random());
            run.step(Step {
                call: x as u8,
                who: (x >> 8) as u8,
                a: y as u16,
                b: (y >> 16) as u16,
                c: (y >> 32) as u16,
            });
        }
        for commit in &run.machine.log {
            *seen.entry(commit.kind()).or_default() += 1;
        }
    }
    let all = Change::KINDS.iter().chain(Doing::KINDS);
    let missing: Vec<_> = all.filter(|(kind, _)| !seen.contains_key(kind)).collect();
    assert!(missing.is_empty(), "no run has {missing:?}");
}

#[test]
fn the_price_of_things_covers_what_they_take() {
    use core::mem::size_of;
    let halves = [
        size_of::<crate::process::Process>()
            + size_of::<crate::process::ProcessActivity>()
            + size_of::<crate::table::Table>(),
        size_of::<crate::thread::Thread>()
            + size_of::<crate::thread::ThreadActivity>()
            + size_of::<crate::thread::ThreadDetail>(),
        size_of::<crate::endpoint::Endpoint>() + size_of::<crate::endpoint::EndpointActivity>(),
        size_of::<crate::endpoint::Message>(),
        size_of::<crate::capability::Capability>() + size_of::<crate::table::Slot>(),
        size_of::<crate::region::Region>() + size_of::<crate::quota::Quota>().max(size_of::<crate::image::Image>()),
    ];
    // Vectors grow by doubling: at most twice what is in use.
    let prices = [crate::quota::EXITED_PRICE * 2, 2048, 256, 256, 96 * 2, 512 * 2];
    for (size, price) in halves.iter().zip(prices) {
        assert!(*size as u64 * 2 <= price.max(crate::quota::CAPABILITY_PRICE * 2), "{halves:?}");
    }
    assert!(size_of::<Header>() <= 64 && DEVICE.0 != LINE.0);
}
