//! A machine for tests: the kernel, driven as the door drives it. After each step the
//! invariants are checked; at its end the log is replayed and compared.

use super::table;
use crate::commit::Outcome;
use crate::*;
use abi::info::Limits;
use abi::message::FaultKind;
use abi::{Delivery, Error, FOREVER, Handle, Message, Number, Returned, Rights, Transfer, TransferMode};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The kernel with all that happened to it.
pub struct Machine {
    pub kernel: Kernel,
    pub platform: Platform,
    /// Every commit, in order.
    pub log: Vec<Commit>,
    /// Every effect, in order.
    pub effects: Vec<Effect>,
    pub now: u64,
    /// Init's first thread.
    pub init: ThreadId,
    /// Init's handles.
    pub quota: Handle,
    pub image: Handle,
    pub device: Handle,
    pub interrupt: Handle,
    pub log_handle: Handle,
    /// Check all invariants after each step.
    pub checked: bool,
    /// How calls ended, those that waited included. None ends with an error that docs/system-calls.md does not name.
    pub seen: BTreeSet<(Number, Result<(), Error>)>,
    /// The call that a thread waits in.
    waits_in: BTreeMap<ThreadId, Number>,
}

/// The line of the one device.
pub const LINE: InterruptId = InterruptId(3);
pub const DEVICE: DeviceId = DeviceId(2);

/// A message without capabilities.
pub fn message(tag: u64) -> Message<'static> {
    Message { tag, length: 0, transfers: &[] }
}

/// A host on which no call is unsupported.
pub const EVERYTHING: Platform = Platform { capture: true, ..Platform::NATIVE };

pub fn moving(handle: Handle) -> Transfer {
    Transfer { handle, mode: TransferMode::Move, rights: Rights::ALL, badge: 0 }
}

pub fn deriving(handle: Handle, rights: Rights) -> Transfer {
    Transfer { handle, mode: TransferMode::Derive, rights, badge: 0 }
}

impl Machine {
    /// Booted, init running.
    pub fn new() -> Machine {
        Machine::on(Platform::NATIVE)
    }

    pub fn on(platform: Platform) -> Machine {
        let none = Handle::NONE;
        let mut machine = Machine {
            kernel: Kernel::new(platform),
            platform,
            log: Vec::new(),
            effects: Vec::new(),
            now: 0,
            init: ThreadId(0),
            quota: none,
            image: none,
            device: none,
            interrupt: none,
            log_handle: none,
            // Miri, which is some hundred times slower, looks at the end alone.
            checked: !cfg!(miri),
            seen: BTreeSet::new(),
            waits_in: BTreeMap::new(),
        };
        let name = Name::new("init");
        machine.set_up(Setup::Quota { memory: 64 << 20, pages: 100_000 });
        machine.quota = machine.set_up(Setup::Init { image: [1; 32], length: 10_000, name }).handle;
        let device = machine.set_up(Setup::Device { device: DEVICE, name: Name::new("disk"), interrupt: Some(LINE) });
        (machine.device, machine.interrupt) = (device.handle, device.interrupt);
        machine.image = machine.set_up(Setup::Image { hash: [2; 32], length: 5000, name: Name::new("child") }).handle;
        machine.log_handle = machine.set_up(Setup::Log).handle;
        machine.set_up(Setup::Start { length: 10 });
        machine.init = machine.kernel.current().expect("init runs");
        machine
    }

    pub fn set_up(&mut self, setup: Setup) -> SetUp {
        match self.input(&Input::Setup(setup)) {
            Ok(Outcome::SetUp(set_up)) => set_up,
            other => panic!("{setup:?}: {other:?}"),
        }
    }

    /// One input, then all that is due.
    pub fn input(&mut self, input: &Input<'_>) -> Result<Outcome, Error> {
        let decided = self.kernel.decide(input, self.now);
        if let Input::Fault { thread, kind, detail, resumable } = *input
            && let Some(brief) = self.kernel.brief_fault(thread, kind, detail, resumable, self.now)
        {
            let (brief, decided) = (Decision::from(brief), decided.as_ref().expect("it may fault"));
            assert_eq!((brief.outcome, &brief.commits), (decided.outcome, &decided.commits), "a fault, in two ways");
        }
        let result = decided.map(|decision| {
            self.carry_out(&decision);
            decision.outcome
        });
        self.settle();
        result
    }

    /// A call, by the fast path where it is one. How it ends is seen.
    pub fn call(&mut self, thread: ThreadId, request: Request<'_>) -> Result<Outcome, Error> {
        let (number, runs) = (request.number(), self.kernel.thread_state(thread));
        self.waits_in.insert(thread, number);
        let result = self.call_unseen(thread, request);
        match result {
            // That a thread calls which cannot is a slip of the host, not an answer to a call.
            Err(_) if !matches!(runs, State::Running | State::Ready) => {}
            Err(error) => self.saw(number, Err(error)),
            Ok(Outcome::Blocked) if !matches!(number, Number::Exit | Number::ThreadExit) => return result,
            Ok(_) => self.saw(number, Ok(())),
        }
        self.waits_in.remove(&thread);
        result
    }

    #[track_caller]
    fn saw(&mut self, number: Number, end: Result<(), Error>) {
        if let Err(error) = end {
            assert!(table::names(number, error), "docs/system-calls.md does not say {error:?} of {}", number.name());
        }
        self.seen.insert((number, end));
    }

    /// An effect, for the test to look at; one that ends a wait ends the call that waits.
    fn keep(&mut self, effect: Effect) {
        let ended = match effect {
            Effect::Complete { thread, result } => Some((thread, result.map(|_| ()))),
            Effect::Deliver { to, .. } => Some((to, Ok(()))),
            _ => None,
        };
        if let Some((thread, end)) = ended
            && let Some(number) = self.waits_in.remove(&thread)
        {
            self.saw(number, end);
        }
        self.effects.push(effect);
    }

    fn call_unseen(&mut self, thread: ThreadId, request: Request<'_>) -> Result<Outcome, Error> {
        if let Some(hand_over) = self.kernel.hand_over(thread, &request, self.now) {
            let judged = self.kernel.decide(&Input::Call { thread, request: &request }, self.now);
            assert!(judged.is_ok(), "{request:?} is on the fast path, and else refused");
            let (Request::Call { message, .. } | Request::ReplyReceive { message, .. }) = request else {
                unreachable!()
            };
            let kind = if hand_over.reply.is_none() { abi::DeliveryKind::Answer } else { abi::DeliveryKind::Called };
            let HandOver { from, to, badge, reply, commit, .. } = hand_over;
            let delivery = Delivery { kind, capabilities: 0, length: message.length, badge, tag: message.tag, reply };
            self.kernel.apply_hand_over(&hand_over);
            self.log.push(Commit::decode_compact(commit).expect("the fast path's commit is read back"));
            self.keep(Effect::Deliver { to, from: PayloadSource::Thread(from), delivery });
            self.settle();
            return Ok(Outcome::Blocked);
        }
        let input = Input::Call { thread, request: &request };
        let Some(brief) = self.kernel.brief(thread, &request, self.now) else { return self.input(&input) };
        // As the door does it; `decide` says the same.
        let (brief, decided) = (brief.map(Decision::from), self.kernel.decide(&input, self.now));
        assert_eq!(
            brief.as_ref().map(|brief| (&brief.outcome, &brief.commits)),
            decided.as_ref().map(|decided| (&decided.outcome, &decided.commits)),
            "{request:?}: what is brief is decided in two ways"
        );
        let result = brief.map(|brief| {
            self.carry_out(&brief);
            brief.outcome
        });
        self.settle();
        result
    }

    fn carry_out(&mut self, decision: &Decision) {
        self.kernel.reserve(&decision.commits).expect("there is memory");
        for commit in &decision.commits {
            self.kernel.apply(commit);
            self.log.push(*commit);
        }
    }

    fn settle(&mut self) {
        for step in 0.. {
            assert!(step < 10_000, "what is due never ends");
            while let Some(effect) = self.kernel.effect() {
                self.keep(effect);
            }
            if self.checked {
                assert_eq!(self.kernel.check(), Ok(()), "after {:?}", self.log.last());
            }
            let Some(decision) = self.kernel.due(self.now) else { break };
            self.carry_out(&decision);
        }
    }

    /// The call returns this at once.
    #[track_caller]
    pub fn ok(&mut self, thread: ThreadId, request: Request<'_>) -> Returned {
        match self.call(thread, request) {
            Ok(Outcome::Done(returned)) => returned,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    #[track_caller]
    pub fn handle(&mut self, thread: ThreadId, request: Request<'_>) -> Handle {
        match self.ok(thread, request) {
            Returned::Handle(handle) => handle,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    /// The call is refused with this, and has changed nothing (K7).
    #[track_caller]
    pub fn refused(&mut self, thread: ThreadId, request: Request<'_>, error: Error) {
        let before = (self.authority(), self.activity(), self.log.len());
        let result = self.call(thread, request);
        assert_eq!(result, Err(error), "{request:?}");
        assert!(
            before == (self.authority(), self.activity(), self.log.len()),
            "K7: {request:?} was refused and changed something"
        );
    }

    /// The call blocks, or ends in an effect for its caller.
    #[track_caller]
    pub fn blocks(&mut self, thread: ThreadId, request: Request<'_>) {
        match self.call(thread, request) {
            Ok(Outcome::Blocked | Outcome::Delivered) => {}
            other => panic!("{request:?}: {other:?}"),
        }
    }

    /// The call is the host's to carry out.
    #[track_caller]
    pub fn hosted(&mut self, thread: ThreadId, request: Request<'_>) -> Effect {
        match self.call(thread, request) {
            Ok(Outcome::Host(effect)) => effect,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    pub fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.input(&Input::Tick).expect("a tick is never refused");
    }

    pub fn fault(&mut self, thread: ThreadId, kind: FaultKind, resumable: bool) {
        self.input(&Input::Fault { thread, kind, detail: 0xBAD, resumable }).expect("a running thread may fault");
    }

    /// The last delivery to a thread, taken out of the effects.
    #[track_caller]
    pub fn delivery(&mut self, thread: ThreadId) -> Delivery {
        self.delivered(thread).0
    }

    #[track_caller]
    pub fn delivered(&mut self, thread: ThreadId) -> (Delivery, PayloadSource) {
        let at = self.effects.iter().rposition(|effect| matches!(effect, Effect::Deliver { to, .. } if *to == thread));
        match at.map(|at| self.effects.remove(at)) {
            Some(Effect::Deliver { delivery, from, .. }) => (delivery, from),
            _ => panic!("nothing was delivered to {thread:?}: {:?}", self.effects),
        }
    }

    /// How the wait of a thread ended, taken out of the effects.
    #[track_caller]
    pub fn completion(&mut self, thread: ThreadId) -> Result<Returned, Error> {
        let at = self
            .effects
            .iter()
            .rposition(|effect| matches!(effect, Effect::Complete { thread: who, .. } if *who == thread));
        match at.map(|at| self.effects.remove(at)) {
            Some(Effect::Complete { result, .. }) => result,
            _ => panic!("the wait of {thread:?} did not end: {:?}", self.effects),
        }
    }

    pub fn has_effect(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }

    // ---- shorthand for what tests need often

    pub fn endpoint(&mut self, thread: ThreadId, quota: Handle, depth: u32) -> Handle {
        self.handle(thread, Request::EndpointCreate { quota, depth })
    }

    pub fn notification(&mut self, thread: ThreadId, quota: Handle) -> Handle {
        self.handle(thread, Request::NotificationCreate { quota })
    }

    pub fn derive(&mut self, thread: ThreadId, source: Handle, rights: Rights, badge: u64) -> Handle {
        self.handle(thread, Request::Derive { source, rights, badge, expiry: FOREVER })
    }

    /// A process made by init's thread, not started. Its supervisor is `supervisor`.
    pub fn create(&mut self, supervisor: Handle) -> Handle {
        let (init, image, quota) = (self.init, self.image, self.quota);
        let limits = Limits { capabilities: 32, ..Limits::DEFAULT };
        self.handle(init, Request::ProcessCreate { image, quota, supervisor, name: Name::new("child"), limits })
    }

    pub fn grant(&mut self, process: Handle, source: Handle, rights: Rights) -> Handle {
        self.handle(self.init, Request::ProcessGrant { process, source, rights, badge: 0, expiry: FOREVER })
    }

    /// Starts a process; its first thread.
    pub fn start(&mut self, process: Handle) -> ThreadId {
        self.ok(self.init, Request::ProcessStart { process, length: 0 });
        let started = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::ThreadStarted { thread, .. } => Some(*thread),
            _ => None,
        });
        started.expect("a thread was started")
    }

    /// A started process with a granted capability for each of `grants`; its handle at
    /// init, its thread, its handles.
    pub fn child(&mut self, supervisor: Handle, grants: &[(Handle, Rights)]) -> (Handle, ThreadId, Vec<Handle>) {
        let process = self.create(supervisor);
        let handles = grants.iter().map(|&(source, rights)| self.grant(process, source, rights)).collect();
        (process, self.start(process), handles)
    }

    // ---- the end

    pub fn authority(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.kernel.hash_authority(&mut |part| bytes.extend_from_slice(part));
        bytes
    }

    pub fn activity(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.kernel.hash_activity(&mut |part| bytes.extend_from_slice(part));
        bytes
    }

    /// The log, written and read back, replays to the live state; its authority
    /// commits alone replay to the authority state.
    pub fn replays(&self) {
        assert_eq!(self.kernel.check(), Ok(()), "at the end");
        let (mut whole, mut half) = (Kernel::new(self.platform), Kernel::new(self.platform));
        for commit in &self.log {
            let read = match commit.encode_compact() {
                Some(words) => Commit::decode_compact(words),
                None => {
                    let mut bytes = heapless::Vec::new();
                    commit.encode_wide(&mut bytes);
                    Commit::decode_wide(commit.kind(), &bytes)
                }
            };
            assert_eq!(read, Some(*commit), "a commit is read back as it was written");
            assert_eq!((whole.plausible(commit), half.plausible_authority(commit)), (Ok(()), Ok(())), "{commit:?}");
            whole.apply(commit);
            half.apply_authority(commit);
        }
        let machine = |kernel| Machine {
            kernel,
            log: Vec::new(),
            effects: Vec::new(),
            seen: BTreeSet::new(),
            waits_in: BTreeMap::new(),
            ..*self
        };
        let (whole, half) = (machine(whole), machine(half));
        assert!(whole.authority() == self.authority(), "replay reaches another authority state");
        assert!(whole.activity() == self.activity(), "replay reaches another activity state");
        assert!(half.authority() == self.authority(), "authority alone replays to another authority state");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that is failing already need not fail twice; what replay made has no log.
        if !self.log.is_empty() && !std::thread::panicking() {
            self.replays();
        }
    }
}
