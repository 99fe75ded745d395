//! The processes: who started whom, who may do what with which, and how those ended that
//! have. It knows no kernel: what a live process holds there is a type parameter.

use crate::requester::Requester;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

/// How many ends are remembered.
pub const REMEMBERED: usize = 1024;
/// The most processes that run at once.
pub const MAX_LIVE: usize = 16_384;
/// The most that one requester has running at once, not counting what those start.
pub const MAX_LIVE_EACH: usize = 1024;

/// Why it was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No process has this pid, or its end was forgotten.
    NoSuchProcess,
    /// It is not the requester's to manage.
    PermissionDenied,
}

/// Why a process ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// It came to its end; the code is its own.
    Exited,
    /// Someone killed it; the code is the killer's.
    Killed,
    /// It was asked to end, did not in its time of grace, and was killed.
    Terminated,
    /// A fault; the code is the kernel's number of it.
    Faulted,
    /// It used up its processor time; the code is the limit in ns.
    ProcessorTimeLimit,
    /// It needed more memory than its limit; the code is the limit in bytes.
    MemoryLimit,
    /// What paid for it went.
    Reclaimed,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Why.
    pub reason: Reason,
    /// With which code.
    pub code: u64,
    /// Processor time that it used, in ns.
    pub processor_time: u64,
}

/// What a process is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Life<R> {
    /// It lives; the kernel holds this for it.
    Live(R),
    /// It has ended.
    Ended(End),
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry<R> {
    /// Its name, for people.
    pub name: String,
    /// Who started it.
    pub requester: Requester,
    /// What it is doing.
    pub life: Life<R>,
}

impl<R> Entry<R> {
    /// The pid of the process that started it, if that was started here too.
    pub fn parent(&self) -> Option<u64> {
        self.requester.pid()
    }
}

/// The processes, by pid.
#[derive(Clone, Debug)]
pub struct Table<R> {
    entries: BTreeMap<u64, Entry<R>>,
    /// Those that have ended, in the order of their ends.
    ended: VecDeque<u64>,
}

impl<R> Default for Table<R> {
    fn default() -> Table<R> {
        Table { entries: BTreeMap::new(), ended: VecDeque::new() }
    }
}

impl<R> Table<R> {
    /// Whether the requester may start one more.
    pub fn has_room(&self, requester: Requester) -> bool {
        let live = self.entries.len() - self.ended.len();
        let own = self.entries.values().filter(|e| e.requester == requester && matches!(e.life, Life::Live(_)));
        live < MAX_LIVE && own.count() < MAX_LIVE_EACH
    }

    /// Adds a process that was started.
    pub fn insert(&mut self, pid: u64, name: String, requester: Requester, live: R) {
        self.entries.insert(pid, Entry { name, requester, life: Life::Live(live) });
    }

    /// A process, if the requester may manage it.
    ///
    /// # Errors
    /// `NoSuchProcess`, `PermissionDenied`.
    pub fn get(&self, pid: u64, requester: Requester) -> Result<&Entry<R>, Refusal> {
        let entry = self.entries.get(&pid).ok_or(Refusal::NoSuchProcess)?;
        if self.may_manage(requester, entry) { Ok(entry) } else { Err(Refusal::PermissionDenied) }
    }

    /// Whether the requester may manage a process: it is an operator, or it started the process or one
    /// from which that descends.
    pub fn manages(&self, requester: Requester, pid: u64) -> bool {
        self.entries.get(&pid).is_some_and(|entry| self.may_manage(requester, entry))
    }

    fn may_manage(&self, requester: Requester, entry: &Entry<R>) -> bool {
        if requester.is_operator() {
            return true;
        }
        let mut above = Some(entry);
        // A process is started after the one that starts it, so pids fall and this ends.
        while let Some(entry) = above {
            if entry.requester == requester {
                return true;
            }
            above = entry.parent().and_then(|parent| self.entries.get(&parent));
        }
        false
    }

    /// A live process, whoever may manage it.
    pub fn live(&mut self, pid: u64) -> Option<&mut R> {
        match &mut self.entries.get_mut(&pid)?.life {
            Life::Live(live) => Some(live),
            Life::Ended(_) => None,
        }
    }

    /// The processes with a pid greater than `after` that the requester may manage.
    pub fn visible(&self, requester: Requester, after: u64) -> impl Iterator<Item = (u64, &Entry<R>)> {
        let from = after.saturating_add(1);
        self.entries
            .range(from..)
            .filter(move |(_, entry)| self.may_manage(requester, entry))
            .map(|(pid, entry)| (*pid, entry))
    }

    /// The live processes, by pid.
    pub fn all_live(&mut self) -> impl Iterator<Item = (u64, &str, &mut R)> {
        self.entries.iter_mut().filter_map(|(pid, entry)| match &mut entry.life {
            Life::Live(live) => Some((*pid, entry.name.as_str(), live)),
            Life::Ended(_) => None,
        })
    }

    /// A process has ended: its name, and what the kernel held for it. Forgets the oldest
    /// end when there are too many.
    pub fn end(&mut self, pid: u64, end: End) -> Option<(String, R)> {
        let entry = self.entries.get_mut(&pid)?;
        let live = match core::mem::replace(&mut entry.life, Life::Ended(end)) {
            Life::Live(live) => live,
            // It ends once.
            before @ Life::Ended(_) => {
                entry.life = before;
                return None;
            }
        };
        let name = entry.name.clone();
        self.ended.push_back(pid);
        while self.ended.len() > REMEMBERED {
            if let Some(oldest) = self.ended.pop_front() {
                self.forget(oldest);
            }
        }
        Some((name, live))
    }

    /// Forgets a process; what it started counts from now on as started by who started it.
    fn forget(&mut self, pid: u64) {
        let Some(gone) = self.entries.remove(&pid) else { return };
        for entry in self.entries.values_mut().filter(|e| e.requester == Requester::child(pid)) {
            entry.requester = gone.requester;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    const SHELL: Requester = Requester(2);
    const OTHER: Requester = Requester(3);
    const OPERATOR: Requester = Requester(1 << 62 | 2);
    const END: End = End { reason: Reason::Exited, code: 0, processor_time: 5 };

    /// 10 of the shell started 11, which started 12; 20 is another's.
    fn family() -> Table<u8> {
        let mut table = Table::default();
        table.insert(10, "a".to_string(), SHELL, 0);
        table.insert(11, "b".to_string(), Requester::child(10), 1);
        table.insert(12, "c".to_string(), Requester::child(11), 2);
        table.insert(20, "d".to_string(), OTHER, 3);
        table
    }

    fn seen(table: &Table<u8>, requester: Requester, after: u64) -> Vec<u64> {
        table.visible(requester, after).map(|(pid, _)| pid).collect()
    }

    #[test]
    fn a_process_manages_what_it_started_and_what_that_started() {
        let table = family();
        assert_eq!(seen(&table, SHELL, 0), [10, 11, 12]);
        assert_eq!(seen(&table, Requester::child(10), 0), [11, 12], "not itself");
        assert_eq!(seen(&table, Requester::child(12), 0), []);
        assert_eq!(seen(&table, OTHER, 0), [20]);
    }

    #[test]
    fn an_operator_manages_all() {
        assert_eq!(seen(&family(), OPERATOR, 0), [10, 11, 12, 20]);
        assert_eq!(seen(&family(), OPERATOR, 11), [12, 20]);
        assert_eq!(seen(&family(), OPERATOR, u64::MAX), []);
    }

    #[test]
    fn what_is_not_ones_own_is_refused_and_what_is_not_there_is_told() {
        let table = family();
        assert_eq!(table.get(20, SHELL), Err(Refusal::PermissionDenied));
        assert_eq!(table.get(10, Requester::child(11)), Err(Refusal::PermissionDenied));
        assert_eq!(table.get(99, SHELL), Err(Refusal::NoSuchProcess));
        assert_eq!(table.get(99, OPERATOR), Err(Refusal::NoSuchProcess));
        assert_eq!(table.get(12, SHELL).unwrap().name, "c");
    }

    #[test]
    fn an_end_is_remembered_and_gives_back_what_the_kernel_held() {
        let mut table = family();
        assert_eq!(table.end(11, END), Some(("b".to_string(), 1)));
        assert_eq!(table.end(11, END), None, "it ends once");
        assert_eq!(table.end(99, END), None);
        assert_eq!(table.get(11, SHELL).unwrap().life, Life::Ended(END));
        assert!(table.live(11).is_none());
        assert_eq!(seen(&table, SHELL, 0), [10, 11, 12], "what it started is still its starter's");
    }

    #[test]
    fn the_oldest_ends_are_forgotten_and_what_they_started_falls_to_their_starter() {
        let mut table = family();
        table.end(11, END);
        for pid in 100..100 + REMEMBERED as u64 {
            table.insert(pid, format!("p{pid}"), OTHER, 0);
            table.end(pid, END);
        }
        assert_eq!(table.get(11, SHELL), Err(Refusal::NoSuchProcess));
        assert_eq!(table.get(12, Requester::child(10)).unwrap().parent(), Some(10));
        assert_eq!(seen(&table, SHELL, 0), [10, 12]);
        assert!(table.get(100, OTHER).is_ok(), "the youngest are remembered");
    }

    #[test]
    fn one_requester_cannot_take_all_places() {
        let mut table = Table::default();
        for pid in 1..=MAX_LIVE_EACH as u64 {
            assert!(table.has_room(SHELL));
            table.insert(pid, String::new(), SHELL, 0u8);
        }
        assert!(!table.has_room(SHELL));
        assert!(table.has_room(OTHER));
        table.end(1, END);
        assert!(table.has_room(SHELL), "an end makes room");
    }
}
