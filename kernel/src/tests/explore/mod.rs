//! Exhaustive exploration of a small system: from a few processes that have something to do with each other, every
//! call with every argument that makes a difference, in every order, breadth first. Every state that can be reached in
//! so many steps is looked at once; states that differ in their history alone ([`history`]) are one.
//!
//! Of each state: K1 to K16. Of each step: K5, K6, K8 and K14 ([`super::steps`]), that its commits are read back as they
//! were written, and that a stale handle is refused. Of each state whose steps are tried: that replaying the log,
//! from the first record on, gives it, and authority alone its authority.
//!
//! `ORBITAL_STATES` says how many states each system has; what is found does not depend on how many processors
//! there are. Breadth first means that the trace that is printed on a failure is the shortest there is.

mod history;
mod inputs;

use super::machine::{EVERYTHING, Machine};
use super::steps;
use crate::encoding::Sink;
use crate::invariants::Check;
use crate::{Commit, HandOver, Input, Kernel, Outcome};
use abi::{Error, Rights};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::hash::Hasher;
use inputs::{Bounds, Event, Way};
use std::collections::HashSet;
use std::hash::DefaultHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// States of each system where nothing else is said: a second or two.
const STATES: usize = 50_000;
/// States whose steps are tried before what they found is put together.
const BATCH: usize = 4096;

/// The system as it is at first.
struct Start {
    kernel: Kernel,
    log: Vec<Commit>,
    bounds: Bounds,
    /// What must hold in every state.
    property: fn(&Kernel) -> Check,
}

/// A state: the step that leads to it from another. The first is its own parent.
#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    event: Event,
}

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    states: usize,
    /// Steps that were tried, refused ones too.
    steps: u64,
    refused: u64,
    /// All states up to so many steps away were found.
    depth: usize,
    /// Whether there are no others.
    complete: bool,
}

/// Something does not hold.
#[derive(Debug)]
struct Failure {
    what: String,
    trace: String,
    length: usize,
}

/// What the steps from some states gave.
#[derive(Default)]
struct Found {
    states: Vec<(u64, Node)>,
    steps: u64,
    refused: u64,
    /// The state, its step, and what does not hold.
    failure: Option<(u32, Option<Event>, String)>,
}

/// How an event ended, and what it changed.
type Step = (Result<Outcome, Error>, Vec<Commit>);

/// Carries out one event, and all that is due after it, as the door does.
fn step(kernel: &mut Kernel, event: Event) -> Step {
    let mut log = Vec::new();
    let carry_out = |kernel: &mut Kernel, commits: &[Commit], log: &mut Vec<Commit>| {
        for commit in commits {
            kernel.apply(commit);
            log.push(*commit);
        }
        kernel.forget_effects();
    };
    let hand_over = |kernel: &Kernel| {
        inputs::with(kernel, event, |input, now| match input {
            Input::Call { thread, request } => kernel.hand_over(*thread, request, now),
            _ => None,
        })
    };
    let now = inputs::with(kernel, event, |_, now| now);
    let result = match hand_over(kernel) {
        Some(hand_over) => {
            let HandOver { commit, .. } = hand_over;
            kernel.apply_hand_over(&hand_over);
            log.extend(Commit::decode_compact(commit));
            Ok(Outcome::Blocked)
        }
        None => inputs::with(kernel, event, |input, now| kernel.decide(input, now)).map(|decision| {
            carry_out(kernel, &decision.commits, &mut log);
            decision.outcome
        }),
    };
    for round in 0.. {
        assert!(round < 1000, "what is due never ends");
        let Some(decision) = kernel.due(now) else { break };
        carry_out(kernel, &decision.commits, &mut log);
    }
    kernel.forget_effects();
    (result, log)
}

/// Whether the event changes something; what it cannot change needs no copy of the state.
fn changes(kernel: &Kernel, event: Event) -> Result<bool, Error> {
    if event == Event::Tick {
        return Ok(true);
    }
    inputs::with(kernel, event, |input, now| kernel.decide(input, now)).map(|decision| !decision.commits.is_empty())
}

/// Most of what is written is one byte.
struct Bytes(Vec<u8>);

impl Sink for Bytes {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
    }
}

/// The canonical bytes of the state: of authority, then of activity.
fn bytes(kernel: &Kernel) -> Vec<u8> {
    let mut bytes = authority(kernel);
    kernel.activity.encode(&mut bytes);
    bytes.0
}

fn authority(kernel: &Kernel) -> Bytes {
    let mut bytes = Bytes(Vec::with_capacity(4096));
    kernel.authority.encode(&mut bytes);
    bytes
}

/// 64 bits that stand for a state: of the million states of a run two have the same by chance once in forty million
/// runs, and then one of them is left out.
fn fingerprint(kernel: &Kernel) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes(kernel));
    hasher.finish()
}

fn read_back(commit: &Commit) -> Option<Commit> {
    match commit.encode_compact() {
        Some(words) => Commit::decode_compact(words),
        None => {
            let mut bytes = heapless::Vec::new();
            commit.encode_wide(&mut bytes);
            Commit::decode_wide(commit.kind(), &bytes)
        }
    }
}

impl Start {
    /// The steps that lead to a state.
    fn path(&self, nodes: &[Node], mut node: u32) -> Vec<Event> {
        let mut path = Vec::new();
        while node != 0 {
            path.push(nodes[node as usize].event);
            node = nodes[node as usize].parent;
        }
        path.reverse();
        path
    }

    /// A state, by its steps; by replay of its log it must be the same.
    fn state(&self, path: &[Event]) -> Result<Kernel, &'static str> {
        let mut kernel = self.kernel.clone();
        let mut log = self.log.clone();
        for &event in path {
            log.extend(step(&mut kernel, event).1);
        }
        let (mut whole, mut half) = (Kernel::new(EVERYTHING), Kernel::new(EVERYTHING));
        for commit in &log {
            let commit = read_back(commit).ok_or("a commit is not read back")?;
            whole.apply(&commit);
            half.apply_authority(&commit);
        }
        if bytes(&whole) != bytes(&kernel) {
            return Err("A3: replay of the log comes to another state");
        }
        if authority(&half).0 != authority(&kernel).0 {
            return Err("A3: authority alone replays to another authority state");
        }
        Ok(kernel)
    }

    /// Every step from some states.
    fn expand(&self, nodes: &[Node], ids: core::ops::Range<usize>, known: &HashSet<u64>) -> Found {
        let (mut found, mut local) = (Found::default(), HashSet::new());
        for id in ids {
            let id = id as u32;
            let kernel = match self.state(&self.path(nodes, id)) {
                Ok(kernel) => kernel,
                Err(what) => {
                    found.failure = Some((id, None, what.to_string()));
                    return found;
                }
            };
            for event in inputs::all(&kernel, &self.bounds) {
                found.steps += 1;
                let tried = catch_unwind(AssertUnwindSafe(|| self.try_step(&kernel, event)));
                match tried.unwrap_or(Err("it panics")) {
                    Ok(None) => found.refused += 1,
                    Ok(Some((print, sound))) => {
                        if known.contains(&print) || !local.insert(print) {
                            continue;
                        }
                        if let Err(what) = (self.property)(&sound) {
                            found.failure = Some((id, Some(event), what.to_string()));
                            return found;
                        }
                        found.states.push((print, Node { parent: id, event }));
                    }
                    Err(what) => {
                        found.failure = Some((id, Some(event), what.to_string()));
                        return found;
                    }
                }
            }
        }
        found
    }

    /// One step; `None` if it changes nothing.
    fn try_step(&self, kernel: &Kernel, event: Event) -> Result<Option<(u64, Kernel)>, &'static str> {
        match changes(kernel, event) {
            Ok(true) => {}
            Ok(false) if matches!(event, Event::Call { way: Way::Stale, .. }) => {
                return Err("K14: a stale handle is accepted");
            }
            Ok(false) | Err(_) => return Ok(None),
        }
        if matches!(event, Event::Call { way: Way::Stale, .. }) {
            return Err("K14: a stale handle is accepted");
        }
        let mut next = kernel.clone();
        let (_, log) = step(&mut next, event);
        if log.iter().any(|commit| read_back(commit) != Some(*commit)) {
            return Err("a commit is not read back as it was written");
        }
        let caller = match event {
            Event::Call { thread, .. } => kernel.process_of(crate::ThreadId(thread.into())),
            _ => None,
        };
        steps::check(kernel, &next, caller, &log)?;
        history::forget(&mut next);
        Ok(Some((fingerprint(&next), next)))
    }

    /// Looks at so many states, the nearest first.
    fn explore(&self, states: usize) -> Result<Seen, Failure> {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        let mut first = self.kernel.clone();
        history::forget(&mut first);
        let mut known = HashSet::from([fingerprint(&first)]);
        let mut nodes = alloc::vec![Node { parent: 0, event: Event::Tick }];
        let mut seen = Seen::default();
        // The states at the present distance, and those among them whose steps were tried.
        let (mut level, mut next) = (0..1, 0);
        while nodes.len() < states {
            if next == level.end {
                if nodes.len() == level.end {
                    seen.complete = true;
                    break;
                }
                seen.depth += 1;
                level = level.end..nodes.len();
            }
            let batch = next..(next + BATCH).min(level.end);
            next = batch.end;
            let share = batch.len().div_ceil(processors);
            let parts: Vec<Found> = std::thread::scope(|scope| {
                let (nodes, known) = (&nodes, &known);
                let part = |from: usize| from..(from + share).min(batch.end);
                let workers: Vec<_> = batch
                    .clone()
                    .step_by(share)
                    .map(|from| scope.spawn(move || self.expand(nodes, part(from), known)))
                    .collect();
                workers.into_iter().map(|worker| worker.join().expect("a worker ends")).collect()
            });
            for part in parts {
                seen.steps += part.steps;
                seen.refused += part.refused;
                if let Some((id, event, what)) = part.failure {
                    return Err(self.failure(&nodes, id, event, what));
                }
                for (print, node) in part.states {
                    if nodes.len() < states && known.insert(print) {
                        nodes.push(node);
                    }
                }
            }
        }
        seen.states = nodes.len();
        Ok(seen)
    }

    fn failure(&self, nodes: &[Node], id: u32, last: Option<Event>, what: String) -> Failure {
        let mut path = self.path(nodes, id);
        path.extend(last);
        let mut trace = String::new();
        let mut kernel = self.kernel.clone();
        for (number, &event) in (1..).zip(&path) {
            let words = inputs::in_words(&kernel, event);
            let outcome = catch_unwind(AssertUnwindSafe(|| step(&mut kernel, event)));
            let _ = match outcome {
                Ok((outcome, log)) => {
                    let changes: Vec<_> = log.iter().map(|commit| commit.change).collect();
                    write!(trace, "{number:>3}. {words}\n     {outcome:?}\n     {changes:?}\n")
                }
                Err(_) => write!(trace, "{number:>3}. {words}\n     it panics\n"),
            };
        }
        Failure { what, trace, length: path.len() }
    }
}

/// Init with one child or two, which share an endpoint, a notification, a quota and an image; init supervises them.
fn system(children: u32, messages_only: bool) -> Start {
    let mut machine = Machine::on(EVERYTHING);
    let (init, quota) = (machine.init, machine.quota);
    let endpoint = machine.endpoint(init, quota, 1);
    let bits = machine.notification(init, quota);
    for _ in 0..children {
        let grants = [(endpoint, Rights::ALL), (bits, Rights::ALL)];
        if messages_only {
            machine.child(endpoint, &grants);
        } else {
            let part = machine.handle(init, abi::Request::QuotaSplit { quota, memory: 1 << 20, pages: 4 });
            machine.child(endpoint, &[grants[0], grants[1], (part, Rights::ALL), (machine.image, Rights::ALL)]);
        }
    }
    let bounds = Bounds {
        processes: children + 1,
        threads: children + 2,
        capabilities: 6,
        all_capabilities: machine.kernel.authority.capabilities.len() + 1,
        objects: 2,
        messages_only,
    };
    machine.kernel.forget_effects();
    Start { kernel: machine.kernel.clone(), log: machine.log.clone(), bounds, property: Kernel::check }
}

fn budget() -> usize {
    match std::env::var("ORBITAL_STATES") {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("ORBITAL_STATES is `{text}`; it must be a number of states"))
        }
        Err(_) => STATES,
    }
}

fn explored(name: &str, start: &Start) {
    let began = std::time::Instant::now();
    match start.explore(budget()) {
        Ok(seen) => {
            std::println!(
                "{name}: {} states, {} steps ({} of them change nothing), {}, {} s",
                seen.states,
                seen.steps,
                seen.refused,
                if seen.complete { "all there are".into() } else { format!("all within {} steps", seen.depth) },
                began.elapsed().as_secs()
            );
        }
        Err(Failure { what, trace, length }) => panic!("{name}: {what}, after {length} steps:\n{trace}"),
    }
}

#[test]
fn two_processes_that_make_every_call() {
    explored("two processes, every call", &system(1, false));
}

#[test]
fn three_processes_that_make_every_call() {
    explored("three processes, every call", &system(2, false));
}

#[test]
fn two_processes_that_send_wait_and_end() {
    explored("two processes, messages alone", &system(1, true));
}

#[test]
fn three_processes_that_send_wait_and_end() {
    explored("three processes, messages alone", &system(2, true));
}

#[test]
fn what_does_not_hold_is_found_with_the_shortest_trace() {
    fn nobody_is_answered_twice(kernel: &Kernel) -> Check {
        let answered =
            kernel.activity.threads.iter().any(|thread| thread.call == 2 && thread.state == crate::State::Ready);
        if answered { Err("someone made a call and is ready") } else { Ok(()) }
    }
    let start = Start { property: nobody_is_answered_twice, ..system(1, true) };
    let failure = start.explore(100_000).expect_err("calls are answered");
    assert_eq!(failure.what, "someone made a call and is ready");
    // One calls; the call ends by time, or by whom it reached.
    assert_eq!(failure.length, 2, "{}", failure.trace);
    assert!(failure.trace.contains("call endpoint"), "{}", failure.trace);
}

#[test]
fn what_is_found_does_not_depend_on_how_the_work_is_shared() {
    let start = system(1, true);
    assert_eq!(start.explore(3_000).expect("it holds"), start.explore(3_000).expect("it holds"));
}
