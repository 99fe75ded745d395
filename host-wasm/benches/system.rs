//! The whole system, each row beside its floor or peer in the same run, on one core.
//! `make bench` runs it; docs/performance.md has the table, which `table` writes.

mod peers;

use criterion::{Criterion, criterion_group};
use host_wasm::devices::console::Ends;
use host_wasm::image::Path;
use host_wasm::machine::End;
use host_wasm::machine::boot::{self, Boot, Image};
use host_wasm::progress::Progress;
use host_wasm::state::State;
use peers::fibers::Fibers;
use peers::socket_pair::{self, SocketPair};
use peers::spawn::Spawn;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

const PAIR: &str = include_str!("peers/pair.wat");
const BULK: &str = include_str!("peers/bulk.wat");
const FIRST: &str = include_str!("peers/first.wat");

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Boots a machine whose init is the guest of the benchmarks, and takes the time that it
/// measured between its own two looks at the clock.
fn orbital(state: &State, work: &str, rounds: u64, path: Path) -> Duration {
    // A boot for a few rounds would measure its own beginning.
    let least = match work {
        "call" => 300_000,
        "bulk" => 10_000,
        _ => 20_000,
    };
    if rounds < least {
        return orbital(state, work, least, path).mul_f64(rounds as f64 / least as f64);
    }
    let guest = boot::guests().into_iter().find(|image| image.name == "bench").expect("the guest is built");
    let first = wat::parse_str(FIRST).expect("first.wat is WebAssembly text");
    let images = vec![
        Image { name: "init".into(), bytes: guest.bytes.clone() },
        guest,
        Image { name: "first".into(), bytes: first.into() },
    ];
    let screen = Screen::default();
    let console = Ends { input: Box::new(std::io::empty()), output: Box::new(screen.clone()), terminal: false };
    let boot = Boot {
        session: None,
        images,
        arguments: vec![work.into(), rounds.to_string()],
        environment: Vec::new(),
        console,
        path,
        progress: Progress::silent(),
    };
    // The threads of the log and of the devices go where there is room, as they do for a user; the
    // executor, which is what is compared, stays on the one core.
    let core = on_any_core();
    let (mut system, _events) = boot::boot(state, boot).expect("the machine boots");
    on_core(&core);
    let end = system.run();
    drop(system);
    let text = String::from_utf8_lossy(&screen.0.lock().expect("nobody panicked")).into_owned();
    assert_eq!(end, End::Off(0), "{text}");
    Duration::from_nanos(text.trim().parse().expect("the guest prints nanoseconds"))
}

fn calls(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = State::open(folder.path()).expect("a state folder");
    let engine = boot::engine(None).expect("an engine");

    for (name, length, work, wat) in [("call_64_bytes", 64, "call", PAIR), ("call_64_kib", 64 << 10, "bulk", BULK)] {
        let mut group = criterion.benchmark_group(name);
        group.bench_function("orbital", |bencher| {
            bencher.iter_custom(|rounds| orbital(&state, work, rounds, Path::Fastest))
        });
        group.bench_function("orbital_component_path", |bencher| {
            bencher.iter_custom(|rounds| orbital(&state, work, rounds, Path::Component));
        });
        let fibers = Fibers::new(&engine, wat).expect("the pair is linked");
        group.bench_function("bare_fibers", |bencher| bencher.iter_custom(|rounds| fibers.round_trips(rounds)));
        let mut pair = SocketPair::start(length).expect("a socket pair and a process at its other end");
        group.bench_function("socket_pair", |bencher| bencher.iter(|| pair.round_trip()));
        group.finish();
    }
}

fn spawn(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = State::open(folder.path()).expect("a state folder");
    let engine = boot::engine(None).expect("an engine");
    let mut group = criterion.benchmark_group("spawn");
    group.bench_function("orbital", |bencher| {
        bencher.iter_custom(|count| orbital(&state, "spawn", count, Path::Fastest))
    });
    let bare = Spawn::new(&engine, FIRST).expect("the guest is linked");
    group.bench_function("bare_component", |bencher| bencher.iter_custom(|count| bare.components(count)));
    group.bench_function("bare_module", |bencher| bencher.iter_custom(|count| bare.modules(count)));
    group.finish();
}

/// The cores that this process had when it started.
static CORES: OnceLock<CpuSet> = OnceLock::new();

/// This thread and what it starts stay on one core: what is compared is work, not where it runs.
fn stay_on_one_core() {
    let all = sched_getaffinity(None).expect("the cores that this process may use");
    let last = (0..CpuSet::MAX_CPU).rev().find(|&core| all.is_set(core)).unwrap_or(0);
    CORES.get_or_init(|| all);
    let mut one = CpuSet::new();
    one.set(last);
    on_core(&one);
}

/// This thread may run anywhere again; gives the core that it stayed on.
fn on_any_core() -> CpuSet {
    let core = sched_getaffinity(None).expect("the cores that this process may use");
    if let Some(all) = CORES.get() {
        on_core(all);
    }
    core
}

fn on_core(core: &CpuSet) {
    sched_setaffinity(None, core).expect("a core that this process may use");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    targets = calls, spawn
}

fn main() {
    socket_pair::serve_if_asked();
    stay_on_one_core();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
