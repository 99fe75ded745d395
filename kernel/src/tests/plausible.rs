//! Commits from outside: what cannot follow is refused in words; what passes leaves every invariant in force. That
//! whatever `decide` makes passes is seen wherever a machine's log is replayed.

use super::machine::{EVERYTHING, Machine};
use super::runs::{Run, steps};
use crate::commit::{Activity as Doing, Authority as Granted, Place};
use crate::ids::*;
use crate::region::MAX_PAGES;
use crate::{Change, Class, Commit, Kernel};
use abi::{FOREVER, Kind, Request, Rights};
use alloc::vec::Vec;
use proptest::prelude::*;

/// One change to the commits of a run: where, what with them, which byte, and what it becomes.
type Edit = (u16, u8, u8, u8);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec((any::<u16>(), any::<u8>(), any::<u8>(), any::<u8>()), 1..24)
}

/// The commit with another byte, or of another kind; `None`: that is no commit.
fn changed(commit: &Commit, what: u8, at: u8, value: u8) -> Option<Commit> {
    // Numbers are small, so small ones are tried mostly.
    let value = if value < 224 { value % 16 } else { value };
    let kinds = Granted::KINDS.iter().chain(Doing::KINDS);
    if let Change::Activity(Doing::HandedOver { .. } | Doing::Answered { .. }) = commit.change {
        let mut words = commit.encode_compact()?;
        let shift = [8, 36, 64][usize::from(at) % 3];
        words[shift / 64] ^= u64::from(value) << (shift % 64);
        return Commit::decode_compact(words);
    }
    let mut bytes = heapless::Vec::<u8, { crate::MAX_ENCODED }>::new();
    commit.encode_wide(&mut bytes);
    let kind = if what.is_multiple_of(16) {
        kinds.map(|&(kind, _)| kind).nth(usize::from(value) % (Granted::KINDS.len() + Doing::KINDS.len()))?
    } else {
        let at = usize::from(at) % bytes.len();
        bytes[at] = if what.is_multiple_of(2) { value } else { bytes[at] ^ value };
        commit.kind()
    };
    Commit::decode_wide(kind, &bytes)
}

/// The commits of a run, with the edits.
fn edited(log: &[Commit], edits: &[Edit]) -> Vec<Commit> {
    let mut commits = log.to_vec();
    for &(place, what, at, value) in edits {
        let place = usize::from(place) % commits.len();
        let commit = commits[place];
        match what % 8 {
            0 => drop(commits.remove(place)),
            1 => commits.insert(place, commit),
            2 => {
                let other = usize::from(at) % commits.len();
                commits.swap(place, other);
            }
            3 | 4 => commits.extend(changed(&commit, what / 8, at, value)),
            5 => commits.insert(place, changed(&commit, what / 8, at, value).unwrap_or(commit)),
            _ => commits[place] = changed(&commit, what / 8, at, value).unwrap_or(commit),
        }
        if commits.is_empty() {
            return log.to_vec();
        }
    }
    commits
}

/// Whether every invariant holds, but that the host may run one who is not the readiest until the next commit.
fn sound(kernel: &Kernel, commit: &Commit) -> Result<(), &'static str> {
    match kernel.check() {
        Err(wrong)
            if wrong.starts_with("K16") && matches!(commit.change, Change::Activity(Doing::Dispatched { .. })) =>
        {
            Ok(())
        }
        checked => checked,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_leaves_every_invariant_in_force(steps in steps(), edits in edits()) {
        let mut run = Run::new(EVERYTHING);
        steps.iter().for_each(|&step| run.step(step));
        let (mut whole, mut half) = (Kernel::new(EVERYTHING), Kernel::new(EVERYTHING));
        for commit in edited(&run.machine.log, &edits) {
            if half.plausible_authority(&commit).is_ok() {
                half.apply_authority(&commit);
            }
            if whole.plausible(&commit).is_ok() {
                whole.apply(&commit);
                prop_assert_eq!(sound(&whole, &commit), Ok(()), "after {:?}", commit);
            }
        }
    }
}

/// Given a capability that says it was derived from itself, when it is to be applied, then it is refused: what follows
/// the tree down would go round for ever.
#[test]
fn a_ring_of_derivations_is_refused() {
    let machine = Machine::new();
    let (source, capability) = machine
        .kernel
        .authority
        .resolve(ProcessId(0), machine.quota)
        .map(|(id, record)| (id, *record))
        .expect("init has it");
    let slot = machine.kernel.authority.tables[0].vacant(0);
    let derived = |number, rights| {
        let place = Place { capability: number, process: ProcessId(0), slot };
        Commit::from(Granted::Derived { source, place, rights, badge: 0, expiry: FOREVER, arrival: None })
    };
    let vacant = CapabilityId(machine.kernel.authority.capabilities.vacant().expect("there is room"));
    assert_eq!(machine.kernel.plausible(&derived(vacant, capability.rights)), Ok(()));
    assert_eq!(
        machine.kernel.plausible(&derived(source, capability.rights)),
        Err("a new record has another number than the next")
    );
    assert_eq!(
        machine.kernel.plausible(&derived(vacant, Rights::ALL)),
        Err("it has rights that what it was derived from has not")
    );
}

/// Given a region of three pages, when it is said to be mapped where a process has no addresses, then that is refused.
#[test]
fn a_mapping_outside_the_addresses_of_a_process_is_refused() {
    let mut machine = Machine::new();
    let region = machine.handle(machine.init, Request::RegionCreate { quota: machine.quota, pages: 3 });
    let capability = machine.kernel.authority.resolve(ProcessId(0), region).map(|(id, _)| id).expect("init has it");
    let rights = Rights::READ;
    let mapping = MappingId(machine.kernel.authority.mappings.vacant().expect("there is room"));
    let mapped = |page| Commit::from(Granted::Mapped { mapping, capability, page, rights });
    for page in [1, MAX_PAGES - 3] {
        assert_eq!(machine.kernel.plausible(&mapped(page)), Ok(()), "{page}");
    }
    for page in [0, MAX_PAGES - 2, u64::MAX - 3, u64::MAX] {
        let why = Err("it is mapped outside the addresses of a process");
        assert_eq!(machine.kernel.plausible(&mapped(page)), why, "{page}");
    }
}

/// Given a state with one thread, when commits name what is not there or cannot be, then each is refused, and its
/// class says which replay asks.
#[test]
fn what_cannot_follow_is_told_in_words() {
    let machine = Machine::new();
    let (absent, process) = (ThreadId(9), ProcessId(0));
    let refused: [(Change, &str); 10] = [
        (Doing::Dispatched { thread: absent }.into(), "who is to run is not ready"),
        (
            Doing::HandedOver { caller: machine.init, server: absent }.into(),
            "who is given the message does not wait for it",
        ),
        (Doing::FaultResumed { thread: machine.init }.into(), "the thread awaits no verdict"),
        (Doing::TimedOut { thread: machine.init }.into(), "the thread has no time-out"),
        (Doing::Resumed { process }.into(), "the process is suspended already, or not"),
        (Granted::Destroyed { object: Kind::Quota, index: 0 }.into(), "the root quota stays"),
        (Granted::Grown { process, pages: u64::MAX }.into(), "the quota cannot pay for it"),
        (Granted::ExitRead { process }.into(), "the process has no end to tell of"),
        (Granted::Unmapped { mapping: MappingId(3) }.into(), "there is no such mapping"),
        (Granted::ThreadExited { thread: absent }.into(), "there is no such thread"),
    ];
    for (change, why) in refused {
        let commit = Commit { elapsed: 0, change };
        assert_eq!(machine.kernel.plausible(&commit), Err(why), "{commit:?}");
        let alone = if commit.class() == Class::Authority { Err(why) } else { Ok(()) };
        assert_eq!(machine.kernel.plausible_authority(&commit), alone, "{commit:?}");
    }
    let late = Commit { elapsed: u64::MAX, change: Granted::Revoked { capability: CapabilityId(0) }.into() };
    let mut kernel = machine.kernel.clone();
    kernel.apply(&Commit { elapsed: 1, ..late });
    assert_eq!(kernel.plausible(&late), Err("more time passes than there is"));
}
