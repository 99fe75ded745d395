//! The door: the only way to the kernel. Every input is put on record before the kernel
//! judges it, its commits before they change anything, and how it ended after.

use crate::block::Head;
use crate::counts::Counts;
use crate::event::{Event, OtherLog, Platform, PreviousEnd};
use crate::header::{BOOT, END, Hash, STATE};
use crate::journal::{Journal, ONE_SECTION, Place, RawBlock, Wide};
use crate::record::{Ending, NONE, Op, slot_of, subject};
use crate::snapshot;
use abi::message::FaultKind;
use abi::{Delivery, DeliveryKind, Error, FOREVER, Handle, Message, Number, ReplyToken, Request, Returned};
use kernel::commit::Form;
use kernel::{
    Brief, BriefEnd, Commit, Effect, Input, InterruptId, Kernel, PayloadSource, ProcessId, SetUp, Setup, Sole, ThreadId,
};

/// The state hash is taken every so many blocks, if not said otherwise.
pub const STATE_EVERY: u64 = 4096;

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the kernel must know of the host.
    pub kernel: kernel::Platform,
    /// Slots of 32 bytes in a block; 2,048 make 64 KiB.
    pub slots: usize,
    /// Blocks that may wait to be taken.
    pub waiting: usize,
    /// The state hash is taken every so many blocks, at least 1.
    pub state_every: u64,
    /// Whether a snapshot goes with each state hash: where the host has a place for it.
    pub snapshots: bool,
    /// Host, manifest and images, for the log.
    pub platform: Platform,
    /// The public half of the machine's key, for the first record of a new log.
    pub key: Hash,
    /// The name that the data disk got when it was formatted; zero if it is not formatted, or there is none.
    pub disk: [u8; 16],
    /// How the boot before this one ended.
    pub previous: PreviousEnd,
    /// The last known head of the other host's log.
    pub other: Option<OtherLog>,
}

impl Config {
    /// Blocks of 64 KiB, of which 16 may wait; no snapshots; nothing known of the machine.
    pub fn new(kernel: kernel::Platform) -> Config {
        Config {
            kernel,
            slots: 2048,
            waiting: 16,
            state_every: STATE_EVERY,
            snapshots: false,
            platform: Platform::default(),
            key: [0; 32],
            disk: [0; 16],
            previous: PreviousEnd::First,
            other: None,
        }
    }
}

/// How a system call ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// At once, with this.
    Done(Result<Returned, Error>),
    /// By an [`Effect::Deliver`] or [`Effect::Complete`] to the thread: now, if there was something for it,
    /// else when it comes.
    Blocked,
    /// By the host: the next [`Axiom::effect`] says what it does for the thread, at once; then it calls
    /// [`Axiom::finish`].
    Host,
}

/// The kernel behind its door, with the journal.
pub struct Axiom {
    kernel: Kernel,
    journal: Journal,
    /// What a hand-over delivered, until the host takes it.
    handed: Handed,
    /// What the host is to do for the thread whose call it is.
    host: Option<Effect>,
    /// The call that the host carries out.
    open: Option<Open>,
    counts: Counts,
    /// Where commits that do not fit a record are put together.
    wide: Wide,
    boot: u32,
    mode: Mode,
    state_every: u64,
    snapshots: bool,
}

/// A message or a reply that went straight from one thread to another. Not an `Option`: on the fast path what
/// is moved is counted.
#[derive(Clone, Copy, Debug)]
struct Handed {
    from: ThreadId,
    /// `NONE`: there is none.
    to: ThreadId,
    delivery: Delivery,
}

impl Handed {
    const NOTHING: Handed = Handed {
        from: ThreadId::NONE,
        to: ThreadId::NONE,
        delivery: Delivery {
            kind: DeliveryKind::Sent,
            capabilities: 0,
            length: 0,
            badge: 0,
            tag: 0,
            reply: ReplyToken::NONE,
        },
    };
}

/// A call that the host carries out.
#[derive(Clone, Copy, Debug)]
struct Open {
    thread: ThreadId,
    place: Place,
    first_record: u64,
}

/// Whether there is a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// Everything is recorded.
    Recording,
    /// The log cannot be written: only init goes on, to shut down.
    Lost,
    /// The boot has ended: nothing goes on.
    Ended,
}

impl Axiom {
    /// A machine that starts now, at time 0, with an empty kernel; its log goes on at `head`. The first
    /// records say so.
    pub fn new(config: Config, head: Head) -> Axiom {
        let boot = head.boot.saturating_add(1);
        let mut axiom = Axiom {
            kernel: Kernel::new(config.kernel),
            journal: Journal::new(config.slots, config.waiting, head.blocks, head.records, boot),
            handed: Handed::NOTHING,
            host: None,
            open: None,
            counts: Counts::default(),
            wide: Wide::default(),
            boot,
            mode: Mode::Recording,
            state_every: config.state_every.max(1),
            snapshots: config.snapshots,
        };
        axiom.journal.cut(0);
        axiom.journal.flag(BOOT);
        let Config { platform, key, disk, previous, other, .. } = config;
        if head.blocks == 0 {
            axiom.event(Op::Genesis, &Event::Genesis { platform: platform.clone(), key }, 0);
        }
        axiom.event(Op::Booted, &Event::Booted { number: u64::from(boot), platform, disk, previous, other }, 0);
        axiom
    }

    /// The host sets the machine up.
    pub fn setup(&mut self, setup: Setup, now: u64) -> Result<SetUp, Error> {
        let (outcome, _) = self.input(Op::Setup, NONE, NONE, 0, &Input::Setup(setup), now)?;
        match outcome {
            kernel::Outcome::SetUp(set_up) => Ok(set_up),
            _ => Err(Error::InvalidArgument),
        }
    }

    /// A system call of `thread`, which is running: that is what the host knows, not what the call says.
    ///
    /// A host has one place where calls come in; there the fast path is inlined.
    #[inline(always)]
    pub fn call(&mut self, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        if self.journal.is_full(now) && !self.make_room(Some(thread), now) {
            return Outcome::Done(Err(self.refusal()));
        }
        match request {
            Request::Call { endpoint, message, .. } => {
                self.hand_over(Number::Call, DeliveryKind::Called, thread, request, *endpoint, message, now)
            }
            Request::ReplyReceive { endpoint, message, .. } => {
                self.hand_over(Number::ReplyReceive, DeliveryKind::Answer, thread, request, *endpoint, message, now)
            }
            _ => self.other_call(thread, request, now),
        }
    }

    #[inline(never)]
    fn other_call(&mut self, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        self.brief_call(thread, request, now)
    }

    /// The same as [`Axiom::call`], for hosts that count instructions and know that it is a brief call, and which.
    #[inline(always)]
    pub fn brief_call(&mut self, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        if self.journal.is_full(now) && !self.make_room(Some(thread), now) {
            return Outcome::Done(Err(self.refusal()));
        }
        match request {
            Request::Signal { .. } => self.brief(Number::Signal, thread, request, now),
            Request::Wait { .. } => self.brief(Number::Wait, thread, request, now),
            Request::Poll { .. } => self.brief(Number::Poll, thread, request, now),
            Request::Yield => self.brief(Number::Yield, thread, request, now),
            Request::Derive { .. } => self.brief(Number::Derive, thread, request, now),
            Request::Delete { .. } => self.brief(Number::Delete, thread, request, now),
            Request::RegionMap { .. } => self.brief(Number::RegionMap, thread, request, now),
            Request::RegionUnmap { .. } => self.brief(Number::RegionUnmap, thread, request, now),
            _ => self.general_call(thread, request, now),
        }
    }

    /// A region-map, for hosts that count instructions and must have page tables first: `ready` says whether they have
    /// them for so many pages. `None`: they have not, or the call is refused, or not brief; nothing has happened.
    #[inline(always)]
    pub fn map(
        &mut self,
        thread: ThreadId,
        request: &Request<'_>,
        now: u64,
        ready: impl FnOnce(u64) -> bool,
    ) -> Option<Outcome> {
        if self.journal.is_full(now) {
            return None;
        }
        let brief = self.kernel.brief(thread, request, now)?.ok()?;
        if !ready(self.kernel.pages_mapped(brief.commit.as_ref()?)?) {
            return None;
        }
        let (handle, subject) = subject(request);
        let op = Op::Call(Number::RegionMap);
        let done = self.carry_out_brief(op, thread, slot_of(handle), subject, &brief, now);
        done.then_some(Outcome::Done(Ok(Returned::Nothing)))
    }

    /// One that is no plain answer: if it is the verdict on a fault, it is brief.
    #[inline(never)]
    fn reply_receive(&mut self, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        match *request {
            Request::ReplyReceive { endpoint, reply, message, timeout: FOREVER } if message.transfers.is_empty() => {
                // Made anew, so that what is known of it is known where it is judged.
                let message = Message { transfers: &[], ..message };
                let request = Request::ReplyReceive { endpoint, reply, message, timeout: FOREVER };
                self.brief(Number::ReplyReceive, thread, &request, now)
            }
            _ => self.general_call(thread, request, now),
        }
    }

    /// A call that changes one thing at most. Inlined for each such call, so that nothing is left of the choice
    /// between commits. What time brings about waits for the next tick, as it does on the fast path.
    #[inline(always)]
    fn brief(&mut self, number: Number, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        let (handle, subject) = subject(request);
        let Some(Ok(brief)) = self.kernel.brief(thread, request, now) else {
            return self.general_call(thread, request, now);
        };
        if !self.carry_out_brief(Op::Call(number), thread, slot_of(handle), subject, &brief, now) {
            return self.general_call(thread, request, now);
        }
        let end = brief.end;
        match end {
            BriefEnd::Done => Outcome::Done(Ok(Returned::Nothing)),
            BriefEnd::Value(value) => Outcome::Done(Ok(Returned::Value(value))),
            BriefEnd::Handle(handle) => Outcome::Done(Ok(Returned::Handle(handle))),
            BriefEnd::Waits => Outcome::Blocked,
        }
    }

    /// Puts on record, whole, what changes one thing at most, then carries that out. False: it takes the
    /// general way.
    #[inline(always)]
    fn carry_out_brief(
        &mut self,
        op: Op,
        thread: ThreadId,
        slot: u32,
        subject: u32,
        Brief { end, commit }: &Brief,
        now: u64,
    ) -> bool {
        if !Journal::is_small(thread.0, slot) || self.kernel.reserve(commit.as_slice()).is_err() {
            return false;
        }
        let ending = if *end == BriefEnd::Waits { Ending::Waits } else { Ending::Done };
        let (op, thread) = (op.number(), thread.0);
        let Some(commit) = commit else {
            self.journal.record(op, thread, slot, subject, now, ending, [0; 2]);
            return true;
        };
        match commit.encode() {
            Form::Compact(words) => self.journal.record(op, thread, slot, subject, now, ending, words),
            Form::Short(bytes, length) => {
                self.journal.record(op, thread, slot, subject, now, ending, ONE_SECTION);
                self.journal.write_short(commit.kind(), bytes, length);
            }
            Form::Long => return false,
        }
        self.kernel.apply_known(commit);
        if self.kernel.has_left_to_do() {
            self.due(now);
        }
        true
    }

    /// A call to a server that waits, or the answer to the caller that it serves: the fast path. What
    /// the kernel found changes nothing yet, so call and commit go on record at once, before it is applied.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "inlined twice, with the number and the kind known")]
    fn hand_over(
        &mut self,
        number: Number,
        kind: DeliveryKind,
        thread: ThreadId,
        request: &Request<'_>,
        endpoint: Handle,
        message: &Message<'_>,
        now: u64,
    ) -> Outcome {
        if !Journal::is_small(thread.0, endpoint.slot()) {
            return self.general_call(thread, request, now);
        }
        let Some(hand_over) = self.kernel.hand_over(thread, request, now) else {
            return match number {
                Number::ReplyReceive => self.reply_receive(thread, request, now),
                _ => self.general_call(thread, request, now),
            };
        };
        self.journal.record(
            number as u8,
            thread.0,
            endpoint.slot(),
            message.tag as u32,
            now,
            Ending::Waits,
            hand_over.commit,
        );
        self.kernel.apply_hand_over(&hand_over);
        self.handed = Handed {
            from: thread,
            to: hand_over.to,
            delivery: Delivery {
                kind,
                capabilities: 0,
                length: message.length,
                badge: hand_over.badge,
                tag: message.tag,
                reply: hand_over.reply,
            },
        };
        Outcome::Blocked
    }

    /// The host has carried out what [`Outcome::Host`] asked for; `result` is how the call ended.
    pub fn finish(&mut self, thread: ThreadId, result: Result<(), Error>) {
        let Some(open) = self.open.take().filter(|open| open.thread == thread) else {
            return;
        };
        let ending = result.map_or_else(Ending::Refused, |()| Ending::Done);
        if !self.journal.amend(&open.place, open.first_record, ending) {
            // The block was cut in between.
            let now = self.journal.base_time();
            if !self.journal.is_full(now) || self.make_room(None, now) {
                let place = self.journal.begin(Op::Finished, thread.0, NONE, 0, now);
                self.journal.complete(&place, ending, [0; 2]);
            }
        }
    }

    /// A line came.
    pub fn interrupt(&mut self, line: InterruptId, now: u64) {
        self.event_input(Op::Interrupt, NONE, line.0, &Input::Interrupt(line), now);
    }

    /// Time passed: what is due happens.
    pub fn tick(&mut self, now: u64) {
        self.due(now);
    }

    /// The running thread's slice is over.
    pub fn preempt(&mut self, now: u64) {
        let thread = self.kernel.current().map_or(NONE, |thread| thread.0);
        self.event_input(Op::Preempt, thread, 0, &Input::Preempt, now);
    }

    /// The running thread did what it could not.
    pub fn fault(&mut self, thread: ThreadId, kind: FaultKind, detail: u64, resumable: bool, now: u64) {
        let brief = if self.journal.is_full(now) {
            None
        } else {
            self.kernel.brief_fault(thread, kind, detail, resumable, now)
        };
        let briefly = |brief| self.carry_out_brief(Op::Fault, thread, NONE, kind as u32, &brief, now);
        if !brief.is_some_and(briefly) {
            self.event_input(Op::Fault, thread.0, kind as u32, &Input::Fault { thread, kind, detail, resumable }, now);
        }
    }

    /// A process wants so many more pages: refused if its quota has them not.
    pub fn grow(&mut self, process: ProcessId, pages: u64, now: u64) -> Result<(), Error> {
        self.input(Op::Grow, NONE, process.0, pages as u32, &Input::Grow { process, pages }, now)?;
        self.due(now);
        Ok(())
    }

    /// The thread made a call with this number that the host could not decode: there is no such call, or its
    /// arguments are none. It is refused with `error`, and on record like any other.
    pub fn malformed(&mut self, thread: ThreadId, number: u8, error: Error, now: u64) {
        if !self.journal.is_full(now) || self.make_room(Some(thread), now) {
            let place = self.journal.begin(Op::Malformed, thread.0, NONE, number.into(), now);
            self.journal.complete(&place, Ending::Refused(error), [0; 2]);
        }
        self.due(now);
    }

    /// What the thread waited for at the host is done.
    pub fn host_done(&mut self, thread: ThreadId, result: Result<Hash, Error>, now: u64) {
        self.event_input(Op::HostDone, thread.0, 0, &Input::HostDone { thread, result }, now);
    }

    /// What the host must do next; `None` when it is done. To be asked after every input, until then.
    #[inline]
    pub fn effect(&mut self) -> Option<Effect> {
        if let Some((to, from, delivery)) = self.handed_over() {
            return Some(Effect::Deliver { to, from: PayloadSource::Thread(from), delivery: *delivery });
        }
        if self.host.is_some() {
            return self.host.take();
        }
        if self.kernel.has_effects() { self.next_effect() } else { None }
    }

    /// What was given from hand to hand, if the call just made was: to whom, from whom, and what it is told. The
    /// same as the [`Effect::Deliver`] that [`Axiom::effect`] makes of it, for hosts that count instructions.
    #[inline]
    pub fn handed_over(&mut self) -> Option<(ThreadId, ThreadId, &Delivery)> {
        let to = core::mem::replace(&mut self.handed.to, ThreadId::NONE);
        (!to.is_none()).then_some((to, self.handed.from, &self.handed.delivery))
    }

    /// What the host must do, if it is one of the frequent things: [`Axiom::effect`] makes the same of it. To be
    /// asked after a brief call, which leaves nothing else before it.
    #[inline(always)]
    pub fn sole(&mut self) -> Option<Sole> {
        self.kernel.sole()
    }

    /// Who must run now; `None`: nobody.
    #[inline]
    pub fn current(&self) -> Option<ThreadId> {
        self.kernel.current()
    }

    /// When [`Axiom::tick`] is due, ns since boot; `None`: not before another input.
    pub fn deadline(&self) -> Option<u64> {
        self.kernel.deadline()
    }

    /// The handles that came with what was delivered to the thread last.
    pub fn handles(&self, thread: ThreadId) -> heapless::Vec<Handle, 8> {
        self.kernel.handles(thread)
    }

    /// The kernel, to look at.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The state hash now: authority, activity.
    pub fn state_hash(&self) -> [Hash; 2] {
        state_hash(&self.kernel)
    }

    // The log, as the host writes it.

    /// The number that the next record gets: what happened up to now is durable when all records below
    /// this are.
    pub fn next_record(&self) -> u64 {
        self.journal.next_record()
    }

    /// Number of this boot, from 1.
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// Whether records wait that are in no block yet, and since when (ns since boot, at the earliest).
    pub fn pending_since(&self) -> Option<u64> {
        (self.journal.pending() > 0).then(|| self.journal.base_time())
    }

    /// Bytes of memory that are set aside for records that the host has not taken.
    pub fn memory_of_records(&self) -> usize {
        self.journal.memory() + self.wide.memory()
    }

    /// Ends the block being written, so that [`Axiom::take_block`] gives all there is. Not between
    /// [`Outcome::Host`] and [`Axiom::finish`].
    pub fn cut(&mut self, now: u64) {
        if self.mode == Mode::Recording && self.journal.pending() > 0 {
            self.close_block(now);
        }
    }

    /// Whether a block waits to be taken.
    #[inline]
    pub fn has_block(&self) -> bool {
        self.journal.has_full()
    }

    /// The oldest block that is full or was cut, to be sealed. The host takes it soon: when too many wait,
    /// calls answer `WouldBlock`.
    pub fn take_block(&mut self) -> Option<RawBlock> {
        if self.journal.has_full() {
            self.journal.uncounted(|thread| self.counts.count(thread));
        }
        let block = self.journal.take();
        // There may have been no room for the last one when the boot ended.
        if self.mode == Mode::Ended && self.journal.pending() > 0 && self.journal.cut(0) {
            self.journal.close();
        }
        block
    }

    /// Gives back a block that was sealed: its memory is used again.
    pub fn recycle(&mut self, block: RawBlock) {
        self.journal.recycle(block);
    }

    /// The boot ends in order: the last record, with the state hash. After it, calls answer `Interrupted`. Where as many
    /// blocks wait as may, and there is no room for that record, nothing more is recorded: the boot has not ended in order.
    pub fn end(&mut self, status: u64, now: u64) {
        if self.mode != Mode::Recording {
            return;
        }
        // A block says that it ends the boot exactly where its last record does.
        if self.event(Op::End, &Event::End { number: u64::from(self.boot), status }, now) {
            self.journal.flag(END);
            self.take_state();
        }
        self.mode = Mode::Ended;
        if self.journal.cut(now) {
            self.journal.close();
        }
    }

    /// The log cannot be written any more: from now on only init's calls go on, so that it can shut down;
    /// all others answer `Interrupted`.
    pub fn log_lost(&mut self) {
        if self.mode == Mode::Recording {
            self.mode = Mode::Lost;
            self.journal.close();
        }
    }

    #[inline(never)]
    fn next_effect(&mut self) -> Option<Effect> {
        let effect = self.kernel.effect();
        if let Some(Effect::ThreadStarted { thread, process, .. }) = effect {
            self.journal.uncounted(|thread| self.counts.count(thread));
            self.counts.begin(thread, process, &self.kernel);
        }
        effect
    }

    /// Why nothing goes on.
    fn refusal(&self) -> Error {
        if self.mode == Mode::Recording { Error::WouldBlock } else { Error::Interrupted }
    }

    /// Makes room for a record. False: this input must not go on.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, thread: Option<ThreadId>, now: u64) -> bool {
        match self.mode {
            Mode::Recording => self.close_block(now),
            Mode::Ended => false,
            Mode::Lost => thread.is_none_or(|thread| is_init(&self.kernel, thread)),
        }
    }

    /// Ends the block being written and begins the next. Every so many of them have the state hash.
    fn close_block(&mut self, now: u64) -> bool {
        if self.journal.pending() > 0 && self.journal.block_number() % self.state_every == self.state_every - 1 {
            self.take_state();
        }
        self.journal.cut(now)
    }

    /// Gives the block being written the state hash, and a snapshot, if the host keeps them: its bytes are what is
    /// hashed, so it costs the memory alone; whoever writes the log writes it down.
    fn take_state(&mut self) {
        self.journal.flag(STATE);
        let taken = if self.snapshots { snapshot::take(&self.kernel, self.journal.block_number()) } else { None };
        match taken {
            Some((bytes, hashes)) => self.journal.state(hashes, Some(bytes)),
            None => self.journal.state(state_hash(&self.kernel), None),
        }
    }

    /// A call that is not given from hand to hand.
    #[inline(never)]
    fn general_call(&mut self, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        let (handle, subject) = subject(request);
        let place = self.journal.begin(Op::Call(request.number()), thread.0, slot_of(handle), subject, now);
        self.judge(place, thread, request, now)
    }

    /// Has the kernel judge a call that is on record.
    fn judge(&mut self, place: Place, thread: ThreadId, request: &Request<'_>, now: u64) -> Outcome {
        let outcome = match self.step(&place, &Input::Call { thread, request }, now) {
            Err(error) => Outcome::Done(Err(error)),
            Ok(kernel::Outcome::Done(mut returned)) => {
                if let Returned::Process(info) = &mut returned {
                    self.journal.uncounted(|thread| self.counts.count(thread));
                    self.counts.fill(info);
                }
                Outcome::Done(Ok(returned))
            }
            Ok(kernel::Outcome::Host(effect)) => {
                self.host = Some(effect);
                self.open = Some(Open { thread, place, first_record: self.journal.first_record() });
                Outcome::Host
            }
            Ok(kernel::Outcome::Delivered | kernel::Outcome::Blocked | kernel::Outcome::SetUp(_)) => Outcome::Blocked,
        };
        // What is due waits while the host carries out a call: its ending belongs into this block.
        if outcome != Outcome::Host && self.kernel.may_be_due(now) {
            self.due(now);
        }
        outcome
    }

    /// An input of the host that has no result.
    fn event_input(&mut self, op: Op, thread: u32, tag: u32, input: &Input<'_>, now: u64) {
        // That it was refused is on record; there is nobody to tell.
        let _ = self.input(op, thread, NONE, tag, input, now);
        self.due(now);
    }

    /// Puts an input on record and has the kernel judge it.
    fn input(
        &mut self,
        op: Op,
        thread: u32,
        slot: u32,
        tag: u32,
        input: &Input<'_>,
        now: u64,
    ) -> Result<(kernel::Outcome, Place), Error> {
        if self.journal.is_full(now) && !self.make_room(None, now) {
            return Err(self.refusal());
        }
        let place = self.journal.begin(op, thread, slot, tag, now);
        self.step(&place, input, now).map(|outcome| (outcome, place))
    }

    /// Judges an input that is on record: its commits are recorded, then carried out.
    fn step(&mut self, place: &Place, input: &Input<'_>, now: u64) -> Result<kernel::Outcome, Error> {
        // A decision is 2 KiB: it stays where it was made.
        let decided = self.kernel.decide(input, now);
        let decided = match &decided {
            Ok(decision) => self.kernel.reserve(&decision.commits).map(|()| decision),
            Err(error) => Err(*error),
        };
        match decided {
            Err(error) => {
                self.journal.complete(place, Ending::Refused(error), [0; 2]);
                Err(error)
            }
            Ok(decision) => {
                let ending = match decision.outcome {
                    kernel::Outcome::Done(_) | kernel::Outcome::SetUp(_) | kernel::Outcome::Delivered => Ending::Done,
                    kernel::Outcome::Blocked => Ending::Waits,
                    kernel::Outcome::Host(_) => Ending::Open,
                };
                self.carry_out(place, ending, &decision.commits);
                Ok(decision.outcome)
            }
        }
    }

    fn carry_out(&mut self, place: &Place, ending: Ending, commits: &[Commit]) {
        let words = match commits {
            [] => [0; 2],
            [commit] if let Some(words) = commit.encode_compact() => words,
            commits => {
                self.wide.clear();
                for commit in commits {
                    self.wide.add(commit);
                }
                self.journal.write_wide(&mut self.wide)
            }
        };
        self.journal.complete(place, ending, words);
        for commit in commits {
            self.kernel.apply(commit);
        }
    }

    /// What is due happens, each thing with a record of its own.
    #[inline(never)]
    fn due(&mut self, now: u64) {
        while let Some(decision) = self.kernel.due(now) {
            if self.journal.is_full(now) && !self.make_room(None, now) {
                return;
            }
            let place = self.journal.begin(Op::Due, NONE, NONE, 0, now);
            if let Err(error) = self.kernel.reserve(&decision.commits) {
                self.journal.complete(&place, Ending::Refused(error), [0; 2]);
                return;
            }
            self.carry_out(&place, Ending::Done, &decision.commits);
        }
    }

    /// Records what the log says of itself. False if there is no room for it, and nothing was recorded.
    fn event(&mut self, op: Op, event: &Event, now: u64) -> bool {
        if self.journal.is_full(now) && !self.make_room(None, now) {
            return false;
        }
        let place = self.journal.begin(op, NONE, NONE, 0, now);
        let mut wide = Wide::default();
        wide.add_content(event.kind(), &event.encode());
        let words = self.journal.write_wide(&mut wide);
        self.journal.complete(&place, Ending::Done, words);
        true
    }
}

impl core::fmt::Debug for Axiom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Axiom(boot {}, next record {}, {:?})", self.boot, self.next_record(), self.mode)
    }
}

/// The state hash of a kernel: BLAKE3 of the canonical bytes of authority, and of activity.
pub fn state_hash(kernel: &Kernel) -> [Hash; 2] {
    let mut authority = blake3::Hasher::new();
    kernel.hash_authority(&mut |bytes| {
        authority.update(bytes);
    });
    let mut activity = blake3::Hasher::new();
    kernel.hash_activity(&mut |bytes| {
        activity.update(bytes);
    });
    [*authority.finalize().as_bytes(), *activity.finalize().as_bytes()]
}

/// Whether the thread is of the first process.
fn is_init(kernel: &Kernel, thread: ThreadId) -> bool {
    kernel.process_of(thread).and_then(|process| kernel.process_info(process)).is_some_and(|info| info.serial == 1)
}
