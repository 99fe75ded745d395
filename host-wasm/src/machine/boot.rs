//! Starts a machine: compiles the images, opens devices and log, sets the kernel up, and
//! hands everything to init.

use super::effects::{Attached, CLOCK, CONSOLE, DISK, ENTROPY, Hardware, Line, POWER};
use super::record::{Durability, Record};
use super::{Machine, System, door, regions::Regions, threads::Threads};
use crate::capture::Capture;
use crate::clock::Clock;
use crate::devices::Completions;
use crate::devices::console::{Console, Ends};
use crate::devices::disk::Disk;
use crate::devices::registers::Power;
use crate::events::{Events, Ticker};
use crate::image::{Checked, Loader, Path};
use crate::problem::{Problem, status};
use crate::progress::Progress;
use crate::state::State;
use abi::{Handle, Name};
use axiom::Axiom;
use axiom::door::Config as AxiomConfig;
use axiom::event::{OtherLog, Platform, PreviousEnd};
use axiom::note::MachineKey;
use kernel::{DeviceId, InterruptId, Setup};
use log_store::folder::DiskFolder;
use log_store::{Log, LogReader, Settings, Writer};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use wasmtime::{Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Kernel memory of the root quota, in bytes.
pub const KERNEL_MEMORY: u64 = 1 << 30;
/// Pages of the root quota: 8 GiB. Under WebAssembly they are what processes may grow to,
/// not memory that is set aside.
pub const PAGES: u64 = 2 << 20;
/// Processes that may live at one time. Each takes about six of the memory maps that the
/// system allows a program, of which there are 65,530 by default.
pub const MOST_PROCESSES: u32 = 4_096;
/// A guest's stack, in bytes.
pub const GUEST_STACK: usize = 512 << 10;
/// The stack of a fiber: the guest's, and what the host's side of a call takes.
const FIBER_STACK: usize = GUEST_STACK + (256 << 10);

/// What the kernel must know of this host: components share no memory, so a process has
/// one thread and maps no regions.
const PLATFORM: kernel::Platform = kernel::Platform::WASM;

/// An image of the boot set.
#[derive(Clone)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The executable.
    pub bytes: Cow<'static, [u8]>,
}

/// The images that come with Orbital.
pub fn images() -> Vec<Image> {
    static BOOT: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/boot_images.rs"));
    BOOT.iter().map(|&(name, bytes)| Image { name: name.to_owned(), bytes: bytes.into() }).collect()
}

/// The guests that tests and benchmarks run.
#[doc(hidden)]
pub fn guests() -> Vec<Image> {
    static GUESTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/guest_images.rs"));
    GUESTS.iter().map(|&(name, bytes)| Image { name: name.to_owned(), bytes: bytes.into() }).collect()
}

/// What a machine starts with.
pub struct Boot {
    /// The boot set; one of them is `init`.
    pub images: Vec<Image>,
    /// The file that the image `session` came from, if one did.
    pub session: Option<PathBuf>,
    /// The session's command line.
    pub arguments: Vec<String>,
    /// The session's environment.
    pub environment: Vec<(String, String)>,
    /// Where the console ends.
    pub console: Ends,
    /// How executables are linked.
    pub path: Path,
    /// Where progress is shown.
    pub progress: Progress,
}

/// Starts a machine on this thread, with what is in the state folder.
pub fn boot(state: &State, boot: Boot) -> Result<(System, Events), Problem> {
    let events = Events::default();
    let engine = engine(Some(state))?;
    events.interrupt_guests_of(&engine);
    let loader =
        Loader::new(&engine, boot.path).map_err(|error| internal("the kernel calls cannot be linked", &error))?;
    let images = compile(&loader, &boot)?;

    let (log, opened) = Log::open(
        DiskFolder::new(state.log()),
        log_store::key::load_or_create(&state.key()).map_err(log_problem)?,
        Settings::default(),
    )
    .map_err(log_problem)?;
    if let Some(cut) = &opened.cut {
        let before = match opened.previous {
            PreviousEnd::Orderly { .. } => "the last run ended in order; behind its end something was cut off the log",
            _ => "the last run did not end in order; of the log was cut off",
        };
        boot.progress.note(&format!("{before}: {cut}"));
    }
    let key = log.key().public();
    let other = other_log(state, log.key(), &boot.progress);
    let sealing = log.key().clone();
    let config = AxiomConfig {
        platform: platform(&images, &boot.images),
        key,
        previous: opened.previous,
        other,
        snapshots: true,
        disk: state.disk_name()?.unwrap_or_default(),
        ..AxiomConfig::new(PLATFORM)
    };
    let thread = |error: std::io::Error| Problem::thread("a thread cannot be started", &error);
    let reader = LogReader::new(state.log(), opened.head, PLATFORM);
    let axiom = Axiom::new(config, opened.head);
    let capture = Capture::new(state.captures(), &sealing, axiom.boot());
    let durability = Durability::default();
    let writer = Writer::start(log).map_err(thread)?;

    let power = Power::default();
    let hardware = attach(state, boot.console, &events, &power, &durability)?;
    let lines = (0..3).map(|_| Line::default()).collect();
    let ticker = Ticker::start(&events).map_err(thread)?;

    let mut machine = Machine {
        axiom,
        engine,
        loader,
        clock: Clock::start(),
        events: events.clone(),
        ticks: 0,
        threads: Threads::default(),
        processes: HashMap::new(),
        owners: 0,
        images: HashMap::new(),
        checked: None,
        buffers: HashMap::new(),
        regions: Regions::default(),
        lines,
        due_lines: VecDeque::new(),
        hardware,
        power,
        power_line: POWER_LINE,
        shutdown_requests: 0,
        nested: 0,
        doomed: Vec::new(),
        end: None,
        ending: false,
        init: None,
        record: Record::new(writer, durability, reader),
        capture,
        init_startup: Vec::new(),
    };
    machine.set_up(&images, boot.arguments, boot.environment).map_err(|error| {
        Problem::new(
            status::UNAVAILABLE,
            format!("the kernel refused to be set up: {error}"),
            "this is a defect of Orbital; report it",
        )
    })?;
    if opened.previous == PreviousEnd::First {
        // Nothing of a new system runs before its log is there: [`crate::state`] relies on it.
        machine.log_begins().map_err(|why| {
            Problem::new(status::IO, format!("the log cannot be begun: {why}"), "check the disk and its room")
        })?;
    }
    drop(door::install(machine));
    Ok((System { ticker, events: events.clone(), not_send: std::marker::PhantomData }, events))
}

/// The head of the log that the bare machine keeps in the same folder, as far as it is known. That machine refuses a log
/// that is damaged; here it is only told.
fn other_log(state: &State, key: &MachineKey, progress: &Progress) -> Option<OtherLog> {
    log_store::image::head(&state.bare_log(), &key.of_bare_machine().verifier()).unwrap_or_else(|error| {
        progress.note(&format!("the log of the bare machine: {}", error.cause));
        None
    })
}

fn log_problem(error: log_store::Error) -> Problem {
    let problem = Problem::from(error);
    Problem { cause: format!("the log: {}", problem.cause), ..problem }
}

/// What goes on record of this machine.
fn platform(images: &[(String, Checked)], boot: &[Image]) -> Platform {
    let init = boot.iter().find(|image| image.name == "init");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Platform {
        name: format!("host-wasm {} {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH),
        // The manifest is within init's image.
        manifest: init.map_or([0; 32], |init| *blake3::hash(&init.bytes).as_bytes()),
        images: images.iter().map(|(name, checked)| (name.clone(), checked.hash)).collect(),
        wall_time: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
    }
}

fn internal(what: &str, error: &wasmtime::Error) -> Problem {
    Problem::new(status::UNAVAILABLE, format!("{what}: {error:#}"), "see `orbital doctor`")
}

/// The engine: pooled instances where the machine has the address space, epochs for preemption.
pub fn engine(state: Option<&State>) -> Result<Engine, Problem> {
    let engine = |pooled: bool| {
        let mut config = Config::new();
        config.concurrency_support(false);
        config.epoch_interruption(true);
        config.max_wasm_stack(GUEST_STACK);
        config.async_stack_size(FIBER_STACK);
        if let Some(state) = state {
            let mut cache = CacheConfig::new();
            // It takes no path that is relative.
            cache.with_directory(std::path::absolute(state.cache()).unwrap_or_else(|_| state.cache()));
            // Without a cache everything works, and starts more slowly.
            config.cache(Cache::new(cache).ok());
        }
        if pooled {
            let mut pool = PoolingAllocationConfig::default();
            pool.total_component_instances(MOST_PROCESSES)
                .total_core_instances(2 * MOST_PROCESSES)
                .total_memories(MOST_PROCESSES)
                .total_tables(2 * MOST_PROCESSES)
                .total_stacks(MOST_PROCESSES + 64)
                .max_core_instances_per_component(8)
                .max_memories_per_component(4)
                .max_tables_per_component(8)
                .max_memories_per_module(1)
                .max_tables_per_module(2)
                .table_elements(super::process::MOST_TABLE_ELEMENTS)
                .max_memory_size(4 << 30)
                .linear_memory_keep_resident(64 << 10)
                .async_stack_keep_resident(16 << 10);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        } else {
            // By default each memory would reserve 4 GiB.
            config.memory_reservation(0).memory_guard_size(64 << 10).memory_reservation_for_growth(16 << 20);
        }
        Engine::new(&config)
    };
    // Where so much address space cannot be had, instances are made one by one.
    engine(true).or_else(|_| engine(false)).map_err(|error| internal("wasmtime cannot be started", &error))
}

/// How long starting may take without a word about it.
const WORTH_A_WORD: Duration = Duration::from_millis(300);

/// Compiles all images, side by side.
fn compile(loader: &Loader, boot: &Boot) -> Result<Vec<(String, Checked)>, Problem> {
    let Boot { images, progress, .. } = boot;
    let (done, finished) = mpsc::channel();
    let mut checked: Vec<Option<Checked>> = images.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for (index, image) in images.iter().enumerate() {
            let (loader, done) = (loader.clone(), done.clone());
            // The receiver is there until all have sent.
            scope.spawn(move || done.send((index, loader.load(&image.bytes))));
        }
        drop(done);
        let mut count = 0;
        // What is in the cache is there at once; only what takes long is worth a word.
        let mut first = finished.recv_timeout(WORTH_A_WORD).ok();
        let slow = first.is_none();
        if slow {
            progress.begin(&format!("compiling {} components; the next start finds them in the cache", images.len()));
        }
        while let Some((index, result)) = first.take().or_else(|| finished.recv().ok()) {
            count += 1;
            checked[index] = Some(result.map_err(|refusal| {
                progress.clear();
                let name = &images[index].name;
                let file = boot.session.as_ref().filter(|_| name == "session");
                let what = file.map_or_else(|| name.clone(), |file| file.display().to_string());
                Problem::new(
                    status::NO_INPUT,
                    format!("{what} is not something that Orbital can run: {refusal}"),
                    "docs/writing-an-app.md says how an app is built",
                )
            })?);
            let next = images.iter().zip(&checked).find(|(_, checked)| checked.is_none());
            if let Some((image, _)) = next.filter(|_| slow) {
                progress.show(&format!("compiling {}... {} of {}", image.name, count + 1, images.len()));
            }
        }
        Ok::<(), Problem>(())
    })?;
    progress.clear();
    Ok(images.iter().zip(checked).filter_map(|(image, checked)| Some((image.name.clone(), checked?))).collect())
}

const CONSOLE_LINE: InterruptId = InterruptId(0);
const DISK_LINE: InterruptId = InterruptId(1);
const POWER_LINE: InterruptId = InterruptId(2);

/// The devices with their names and lines, in the order of their numbers.
const DEVICES: [(DeviceId, &str, Option<InterruptId>); 5] = [
    (CONSOLE, "console", Some(CONSOLE_LINE)),
    (DISK, "disk", Some(DISK_LINE)),
    (CLOCK, "clock", None),
    (ENTROPY, "entropy", None),
    (POWER, "power", Some(POWER_LINE)),
];

fn attach(
    state: &State,
    ends: Ends,
    events: &Events,
    power: &Power,
    durability: &Durability,
) -> Result<Hardware, Problem> {
    let thread = |error: std::io::Error| Problem::thread("a device cannot be started", &error);
    let completions = Completions::new(CONSOLE_LINE, events.clone());
    let console = Console::open(ends, completions.clone(), events.clone()).map_err(thread)?;
    let console = Attached { device: Box::new(console), completions: Some(completions), requests: 0 };

    let completions = Completions::new(DISK_LINE, events.clone());
    let durability = durability.clone();
    let disk = Disk::open(state.disk()?, completions.clone(), Box::new(move |below| durability.wait_for(below)))
        .map_err(thread)?;
    let disk = Attached { device: Box::new(disk), completions: Some(completions), requests: 0 };

    let [clock, entropy] = Attached::clock_and_entropy();
    Ok(Hardware(vec![console, disk, clock, entropy, Attached::registers(power.clone())]))
}

impl Machine {
    /// Makes init and everything that it holds, and starts it.
    fn set_up(
        &mut self,
        images: &[(String, Checked)],
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Result<(), abi::Error> {
        let mut capabilities: Vec<(String, Handle)> = Vec::new();
        let quota = self.set_up_one(Setup::Quota { memory: KERNEL_MEMORY, pages: PAGES })?.handle;
        let Some((_, init)) = images.iter().find(|(name, _)| name == "init") else {
            return Err(abi::Error::InvalidArgument);
        };
        let name = Name::new("init");
        self.checked = Some((init.hash, init.executable.clone()));
        let made = self.set_up_one(Setup::Init { image: init.hash, length: init.length, name })?;
        capabilities.push(("quota".into(), if quota.is_none() { made.handle } else { quota }));
        for (device, name, interrupt) in DEVICES {
            let made = self.set_up_one(Setup::Device { device, name: Name::new(name), interrupt })?;
            capabilities.push((format!("device:{name}"), made.handle));
            if interrupt.is_some() {
                capabilities.push((format!("interrupt:{name}"), made.interrupt));
            }
        }
        for (name, checked) in images {
            self.checked = Some((checked.hash, checked.executable.clone()));
            let made =
                self.set_up_one(Setup::Image { hash: checked.hash, length: checked.length, name: Name::new(name) })?;
            capabilities.push((format!("image:{name}"), made.handle));
        }
        let mut environment = environment;
        for (name, checked) in images {
            environment.push((format!("image-hash:{name}"), hexadecimal(&checked.hash)));
        }
        let log = self.set_up_one(Setup::Log)?.handle;
        capabilities.push(("log".into(), log));
        // The startup block of libprocess: postcard of its fields in order.
        let startup =
            postcard::to_allocvec(&(arguments, environment, capabilities)).map_err(|_| abi::Error::TooLarge)?;
        let length = u32::try_from(startup.len()).map_err(|_| abi::Error::TooLarge)?;
        self.init_startup = startup;
        self.set_up_one(Setup::Start { length })?;
        Ok(())
    }

    fn set_up_one(&mut self, setup: Setup) -> Result<kernel::input::SetUp, abi::Error> {
        let now = self.clock.now();
        let made = self.axiom.setup(setup, now)?;
        self.carry_out();
        Ok(made)
    }
}

fn hexadecimal(hash: &kernel::input::Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}
