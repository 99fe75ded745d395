//! One test under many seeds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `test` for each seed. The environment variable `ORBITAL_SEED` picks one of them,
/// to run a failure again; a failure says which it was. `ORBITAL_SEEDS` runs so many in place of
/// these. Under Miri only the first runs.
///
/// # Panics
/// When the test does.
pub fn for_seeds(seeds: Range<u64>, mut test: impl FnMut(u64)) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("ORBITAL_SEED"), number("ORBITAL_SEEDS")) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, Some(count)) => seeds.start..seeds.start.saturating_add(count),
        (None, None) if cfg!(miri) => seeds.start..seeds.end.min(seeds.start + 1),
        (None, None) => seeds,
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed with ORBITAL_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
