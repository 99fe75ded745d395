//! One test under many seeds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `test` for each seed. The environment variable `ORBITAL_SEED` picks one of them,
/// to run a failure again; a failure says which it was. Under Miri only the first runs.
///
/// # Panics
/// When the test does.
pub fn for_seeds(seeds: Range<u64>, mut test: impl FnMut(u64)) {
    let chosen = std::env::var("ORBITAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = match chosen {
        Some(seed) => seed..seed + 1,
        None if cfg!(miri) => seeds.start..seeds.end.min(seeds.start + 1),
        None => seeds,
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed with ORBITAL_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
