//! Which on-disk engine? Each is put on the same simulated disk: 512-byte sectors, a
//! write-back cache that a power cut loses, tears and reorders.
//!
//! `cargo run --release` in this folder prints the tables of docs/decisions/storage-engine.md.

mod engines;
mod file;
mod sectors;

use engines::{Ekv, Engine, Littlefs, Own, Sequential};
use sectors::Sectors;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use storage_engine::simulation::{Random, SimulatedDisk};

const KEYS: u64 = 12;
const PUTS: usize = 30;

/// Value of the nth put: says its number all the way through.
fn value(random: &mut Random, number: usize) -> Vec<u8> {
    let length = 60 + random.below(840) as usize;
    format!("{number:08}").bytes().cycle().take(length).collect()
}

#[derive(Default)]
struct Outcome {
    images: u64,
    unopened: u64,
    lost: u64,
    wrong: u64,
}

/// Puts 30 values under 12 keys, cuts the power after every write in every way, and
/// looks what is there.
fn crash<E: Engine>(flush_always: bool) -> Option<Outcome> {
    let disk = SimulatedDisk::empty(1024);
    let sectors = Sectors::new(disk.clone(), flush_always);
    let mut engine = E::format(&sectors)?;
    disk.record();
    let mut random = Random(7);
    let mut puts: Vec<(u32, Vec<u8>)> = Vec::new();
    for number in 0..PUTS {
        let (key, value) = (random.below(KEYS) as u32, value(&mut random, number));
        puts.push((key, value.clone()));
        if !engine.put(key, &value) {
            return None;
        }
        disk.mark(number as u64 + 1);
    }
    let mut outcome = Outcome::default();
    disk.history().crashes(2, |image, marks, _, _| {
        outcome.images += 1;
        let acknowledged = marks.last().map_or(0, |mark| *mark as usize);
        let seen = catch_unwind(AssertUnwindSafe(|| {
            let mut engine = E::open(&Sectors::new(SimulatedDisk::with(image), false))?;
            Some((0..KEYS as u32).map(|key| engine.get(key)).collect::<Vec<_>>())
        }));
        let Ok(Some(seen)) = seen else {
            outcome.unopened += 1;
            return;
        };
        let (mut lost, mut wrong) = (false, false);
        for (key, found) in seen.into_iter().enumerate() {
            let of_key =
                |(at, (other, value)): (usize, &(u32, Vec<u8>))| (*other == key as u32).then(|| (at, value.clone()));
            let promised =
                puts[..acknowledged].iter().enumerate().filter_map(of_key).next_back().map(|(_, value)| value);
            let under_way =
                puts.get(acknowledged).filter(|(other, _)| *other == key as u32).map(|(_, value)| value.clone());
            match found {
                Ok(found) if found == promised || under_way.is_some() && found == under_way => {}
                Ok(Some(found)) if !puts.iter().any(|(_, value)| *value == found) => wrong = true,
                _ => lost = true,
            }
        }
        outcome.lost += u64::from(lost);
        outcome.wrong += u64::from(wrong && !lost);
    });
    Some(outcome)
}

fn crash_row<E: Engine>(flush_always: bool) {
    let flushes = if flush_always { "after every write" } else { "after every put" };
    match crash::<E>(flush_always) {
        Some(Outcome { images, unopened, lost, wrong }) => {
            println!("| {} | {flushes} | {images} | {unopened} | {lost} | {wrong} |", E::NAME);
        }
        None => println!("| {} | {flushes} | does not run | | | |", E::NAME),
    }
}

/// 2,000 puts of 100 bytes under 500 keys on 8 MiB.
fn speed_row<E: Engine>(flush_always: bool) {
    let disk = SimulatedDisk::empty(16_384);
    let sectors = Sectors::new(disk.clone(), flush_always);
    let Some(mut engine) = E::format(&sectors) else { return println!("| {} | does not run | | | | | |", E::NAME) };
    let mut random = Random(3);
    let (before, start) = (disk.counts(), Instant::now());
    let mut rounds = 0;
    for number in 0..2000 {
        if start.elapsed().as_secs() >= 10 {
            break;
        }
        rounds += 1;
        let value: Vec<u8> = format!("{number:08}").bytes().cycle().take(100).collect();
        if !engine.put(random.below(500) as u32, &value) {
            return println!("| {} | gives up after {number} puts | | | | | |", E::NAME);
        }
    }
    let (time, after) = (start.elapsed(), disk.counts());
    let start = Instant::now();
    drop(engine);
    let opened = E::open(&sectors).is_some();
    let mount = start.elapsed();
    let per = |count: u64| count as f64 / f64::from(rounds);
    let (writes, flushes) = (per(after.writes - before.writes), per(after.flushes - before.flushes));
    let processor = time.as_micros() as f64 / f64::from(rounds);
    println!(
        "| {} | {} | {rounds} | {writes:.1} | {:.1} | {flushes:.1} | {processor:.0} | {:.0} | {} |",
        E::NAME,
        if flush_always { "after every write" } else { "after every put" },
        per(after.bytes_written - before.bytes_written) / 1024.0,
        1e6 / (processor + 20.0 * writes + 500.0 * flushes),
        if opened { format!("{:.1}", mount.as_micros() as f64 / 1000.0) } else { "fails".into() },
    );
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    println!("| engine | flushed | images | do not open | lose an acknowledged put | show what was never put |");
    println!("|---|---|---|---|---|---|");
    crash_row::<Ekv>(false);
    crash_row::<Ekv>(true);
    crash_row::<Sequential>(false);
    crash_row::<Sequential>(true);
    crash_row::<Littlefs>(false);
    crash_row::<Littlefs>(true);
    crash_row::<Own>(false);
    println!();
    println!(
        "| engine | flushed | puts in 10 s, at most 2,000 | writes a put | KiB a put | flushes a put | processor, us a put | puts/s at 20 us a write, 500 us a flush | open, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    speed_row::<Ekv>(true);
    speed_row::<Sequential>(true);
    speed_row::<Littlefs>(false);
    speed_row::<Littlefs>(true);
    speed_row::<Own>(false);
    println!();
    file::table();
}
