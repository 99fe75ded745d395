//! Replay: the state again, from the commits alone. What was decided is not decided a second time; but a log says
//! what whoever has its key wrote, so a commit that cannot follow the state before it is refused.

use crate::block::{Block, Step, Wrong};
use crate::commit::{Class, CommitRef};
use crate::door::state_hash;
use crate::header::{BOOT, Body, Header, STATE};
use kernel::{Effect, Kernel};

/// A kernel that follows a log.
pub struct Replay {
    platform: kernel::Platform,
    kernel: Kernel,
    boot: u32,
    /// Whether activity is there since the boot began.
    whole: bool,
    compared: u64,
    commits: u64,
}

impl core::fmt::Debug for Replay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Replay(boot {}, {} commits)", self.boot, self.commits)
    }
}

impl Replay {
    /// Before the first block.
    pub fn new(platform: kernel::Platform) -> Replay {
        Replay { platform, kernel: Kernel::new(platform), boot: 0, whole: true, compared: 0, commits: 0 }
    }

    /// After a block with this header, of which `kernel` is the state: as [`crate::snapshot::Snapshot::kernel`] gives it.
    pub fn resume(platform: kernel::Platform, header: &Header, kernel: Kernel) -> Replay {
        Replay { platform, kernel, boot: header.boot, whole: true, compared: 0, commits: 0 }
    }

    /// Takes `kernel` for the state that it has come to, activity included: of a snapshot of the block just
    /// replayed, by whose header authority was compared.
    pub fn adopt(&mut self, kernel: Kernel) {
        self.kernel = kernel;
        self.whole = true;
    }

    /// Applies the commits of the next block; where it has state hashes, the state must be what they say.
    /// Of a trimmed block, and after one until the next boot, only authority is applied and compared.
    pub fn block(&mut self, block: &Block<'_>) -> Result<(), Wrong> {
        self.begin(block);
        let mut number = block.header.first_record;
        for step in block.steps() {
            match step? {
                Step::Input(entry) => number = entry.number,
                Step::Commit(class, commit) => self.commit(class, &commit, number)?,
            }
        }
        if block.header.flags & STATE != 0 {
            let [authority, activity] = state_hash(&self.kernel);
            if authority != block.header.state[0] {
                return Err(Wrong::State(Body::Authority));
            }
            if self.whole && activity != block.header.state[1] {
                return Err(Wrong::State(Body::Activity));
            }
            self.compared += 1;
        }
        Ok(())
    }

    /// What comes before the commits of a block: a boot begins with an empty kernel.
    pub fn begin(&mut self, block: &Block<'_>) {
        if block.header.flags & BOOT != 0 {
            self.kernel = Kernel::new(self.platform);
            self.boot = block.header.boot;
            self.whole = true;
        }
        self.whole &= !block.is_trimmed();
    }

    /// Applies one commit, of the record with this number, if it is one that this kernel knows and that can follow.
    pub fn commit(&mut self, class: Class, commit: &CommitRef<'_>, number: u64) -> Result<(), Wrong> {
        self.commit_with(class, commit, number, |_| ())
    }

    /// The same; `each` is told what the host had to do then.
    pub fn commit_with(
        &mut self,
        class: Class,
        commit: &CommitRef<'_>,
        number: u64,
        each: impl FnMut(Effect),
    ) -> Result<(), Wrong> {
        self.commits += 1;
        if commit.kind >= crate::event::GENESIS {
            return commit.to_event().map(drop).ok_or(Wrong::Commit(number));
        }
        let commit = commit.to_kernel().ok_or(Wrong::Commit(number))?;
        let impossible = |why| Wrong::Impossible(number, why);
        if self.whole {
            self.kernel.plausible(&commit).map_err(impossible)?;
            self.kernel.apply(&commit);
        } else if class == Class::Authority {
            self.kernel.plausible_authority(&commit).map_err(impossible)?;
            self.kernel.apply_authority(&commit);
        }
        core::iter::from_fn(|| self.kernel.effect()).for_each(each);
        Ok(())
    }

    /// The state as far as it was replayed.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The number of the boot that it is in.
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// Whether activity could be replayed too.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many state hashes were compared.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// How many commits were applied, those included that the log makes of itself.
    pub fn commits(&self) -> u64 {
        self.commits
    }
}
