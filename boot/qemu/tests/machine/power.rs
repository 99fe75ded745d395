//! Power cuts at random instants of a write load. `ORBITAL_SEED=n` makes the same load and the same instants again;
//! `make crash N=1000` cuts more often.

use super::{product, system};
use qemu::crash::Load;
use std::fs;

#[test]
fn what_was_acknowledged_outlives_twenty_power_cuts() {
    let named = std::env::var("ORBITAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = named.unwrap_or_else(|| u64::from(std::process::id()) << 20);
    println!("ORBITAL_SEED={seed}");
    let system = system();
    let mut load = Load::new(product(), &system.state, seed).unwrap_or_else(|problem| panic!("{problem}"));
    for round in 1..=20 {
        match load.round() {
            Ok(seen) => println!("{round:3}  {seen}"),
            Err(problem) => panic!("round {round}, ORBITAL_SEED={seed}: {problem}"),
        }
    }
    println!("{}", load.finish().unwrap_or_else(|problem| panic!("ORBITAL_SEED={seed}: {problem}")));
}

#[test]
fn a_disk_that_forgot_a_put_is_found_out() {
    let system = system();
    let mut load = Load::new(product(), &system.state, 7).unwrap();
    let before = system.state.folder().join("before.img");
    fs::copy(system.state.disk(), &before).unwrap();
    load.cut().unwrap();
    load.look_at_files().unwrap();
    fs::copy(&before, system.state.disk()).unwrap();
    let problem = load.look_at_files().unwrap_err();
    assert!(problem.cause.contains("was acknowledged"), "{problem}");
}
