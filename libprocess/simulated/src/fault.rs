//! What goes wrong on purpose, and when.

use simulated_disk::Random;

/// Traps to inject: the process's code ends at a system call, before the call is made,
/// as if an instruction had trapped there.
#[derive(Clone, Default)]
pub(crate) struct Traps {
    planned: Vec<Planned>,
    random: Vec<RandomTraps>,
}

#[derive(Clone)]
struct Planned {
    process: String,
    /// Which process of that name, from 1 on; `None`: the next one to get there.
    incarnation: Option<u32>,
    call: u64,
    /// Only a call with this name counts.
    named: Option<String>,
}

#[derive(Clone)]
struct RandomTraps {
    process: String,
    once_in: u64,
    left: u32,
}

impl Traps {
    /// At the `call`th system call (from 1 on) of a process called `process`.
    pub fn plan(&mut self, process: &str, incarnation: Option<u32>, call: u64) {
        self.planned.push(Planned { process: process.into(), incarnation, call, named: None });
    }

    /// At the `count`th system call called `name` (from 1 on), counted over all processes called `process`.
    pub fn plan_named(&mut self, process: &str, name: &str, count: u64) {
        self.planned.push(Planned {
            process: process.into(),
            incarnation: None,
            call: count,
            named: Some(name.into()),
        });
    }

    /// At one in so many system calls of processes called `process`, at most `most` times.
    pub fn plan_random(&mut self, process: &str, once_in: u64, most: u32) {
        self.random.push(RandomTraps { process: process.into(), once_in, left: most });
    }

    /// Whether this call is struck.
    pub fn strike(&mut self, process: &str, incarnation: u32, call: u64, name: &str, random: &mut Random) -> bool {
        let struck = self.planned.iter_mut().position(|planned| {
            if planned.process != process || planned.incarnation.is_some_and(|which| which != incarnation) {
                return false;
            }
            match &planned.named {
                None => planned.call == call,
                Some(named) if named == name => {
                    planned.call = planned.call.saturating_sub(1);
                    planned.call == 0
                }
                Some(_) => false,
            }
        });
        if let Some(at) = struck {
            self.planned.remove(at);
            return true;
        }
        for traps in &mut self.random {
            if traps.process == process && traps.left > 0 && random.once_in(traps.once_in) {
                traps.left -= 1;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Traps;
    use simulated_disk::Random;

    #[test]
    fn a_planned_trap_strikes_once_at_its_call() {
        let (mut traps, mut random) = (Traps::default(), Random::new(1));
        traps.plan("storage", Some(2), 3);
        let mut strike =
            |process: &str, incarnation, call| traps.strike(process, incarnation, call, "call", &mut random);
        assert!(!strike("storage", 1, 3) && !strike("storage", 2, 2) && !strike("shell", 2, 3));
        assert!(strike("storage", 2, 3));
        assert!(!strike("storage", 2, 3));
    }

    #[test]
    fn a_named_trap_counts_calls_of_that_name() {
        let (mut traps, mut random) = (Traps::default(), Random::new(1));
        traps.plan_named("server", "reply", 2);
        let struck: Vec<bool> = ["reply", "receive", "reply", "reply"]
            .into_iter()
            .enumerate()
            .map(|(at, name)| traps.strike("server", 1, at as u64 + 1, name, &mut random))
            .collect();
        assert_eq!(struck, [false, false, true, false]);
    }

    #[test]
    fn random_traps_stop_at_their_number() {
        let (mut traps, mut random) = (Traps::default(), Random::new(1));
        traps.plan_random("storage", 10, 4);
        assert_eq!((1..1_000).filter(|call| traps.strike("storage", 1, *call, "call", &mut random)).count(), 4);
    }
}
