//! What is known of a soak from round to round, kept beside the system's folder so that it can be taken up again.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const FILE: &str = "soak.json";

/// Counts, and what must be there.
#[derive(Serialize, Deserialize)]
pub struct Progress {
    /// What it began with.
    pub seed: u64,
    random: u64,
    /// Rounds that ended well.
    pub rounds: u64,
    /// How long they took together.
    pub seconds: u64,
    /// The number of the last put that was sent.
    pub sent: u64,
    /// Of each file, the last number that was acknowledged.
    pub acknowledged: BTreeMap<u64, u64>,
    /// Puts that were acknowledged.
    pub puts: u64,
    /// The number of the last transaction that was begun.
    #[serde(default)]
    pub transactions_begun: u64,
    /// Of each group of keys, the last number that was acknowledged.
    #[serde(default)]
    pub transactions_acknowledged: BTreeMap<u64, u64>,
    /// Transactions that were acknowledged.
    #[serde(default)]
    pub transactions: u64,
    /// Upgrades of storage.
    #[serde(default)]
    pub upgrades: u64,
    /// Programs that were started.
    pub spawned: u64,
    /// Services that were killed.
    pub services_killed: u64,
    /// Ends of the host by SIGKILL.
    pub host_kills: u64,
    /// Hostile programs.
    pub hostile: u64,
    /// Power cuts in QEMU.
    pub power_cuts: u64,
    /// Records in the log.
    pub records: u64,
    /// Resident KiB of the host one second into a round: smallest and largest so far.
    early: Option<(u64, u64)>,
    /// The same at the end of a round.
    late: Option<(u64, u64)>,
}

impl Progress {
    /// That of an earlier run in this folder; else a new one, with this seed or one of the clock.
    pub fn load(state: &Path, seed: Option<u64>) -> Result<Progress, Failure> {
        if let Ok(text) = std::fs::read_to_string(state.join(FILE)) {
            let progress: Progress = serde_json::from_str(&text)?;
            return match seed {
                Some(seed) if seed != progress.seed => {
                    Err(format!("{} is of SEED={}; leave SEED out to go on with it", state.display(), progress.seed)
                        .into())
                }
                _ => Ok(progress),
            };
        }
        let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
        let seed = seed.unwrap_or(u64::from(clock));
        Ok(Progress {
            seed,
            random: seed,
            rounds: 0,
            seconds: 0,
            sent: 0,
            acknowledged: BTreeMap::new(),
            puts: 0,
            transactions_begun: 0,
            transactions_acknowledged: BTreeMap::new(),
            transactions: 0,
            upgrades: 0,
            spawned: 0,
            services_killed: 0,
            host_kills: 0,
            hostile: 0,
            power_cuts: 0,
            records: 0,
            early: None,
            late: None,
        })
    }

    /// Keeps it.
    pub fn save(&self, state: &Path) -> Result<(), Failure> {
        let unfinished = state.join("soak.json.new");
        std::fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        Ok(std::fs::rename(unfinished, state.join(FILE))?)
    }

    /// SplitMix64, as Vigna gives it.
    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Notes how large the host was early and late in a round, in KiB.
    pub fn memory(&mut self, early: u64, late: u64) {
        for (noted, new) in [(&mut self.early, early), (&mut self.late, late)] {
            let (least, most) = noted.unwrap_or((new, new));
            *noted = Some((least.min(new), most.max(new)));
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9}  rounds, in {} s", self.rounds, self.seconds)?;
        for (count, what) in [
            (self.puts, "puts acknowledged, none lost"),
            (self.transactions, "transactions acknowledged, none lost, none there by half"),
            (self.spawned, "programs started"),
            (self.services_killed, "services killed"),
            (self.upgrades, "upgrades of storage"),
            (self.host_kills, "hosts killed"),
            (self.power_cuts, "power cuts in QEMU"),
            (self.hostile, "hostile programs"),
            (self.records, "records in the log, verified and replayed"),
        ] {
            writeln!(f, "{count:>9}  {what}")?;
        }
        if let (Some(early), Some(late)) = (self.early, self.late) {
            let mib = |kib: u64| kib >> 10;
            let (a, b, c, d) = (mib(early.0), mib(early.1), mib(late.0), mib(late.1));
            writeln!(f, "           MiB of the host: {a} to {b} after a second, {c} to {d} at a round's end")?;
        }
        Ok(())
    }
}
