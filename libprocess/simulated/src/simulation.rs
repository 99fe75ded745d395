//! The front: describe a machine, run it, look at it, break it, boot what is left.

use crate::boot::{First, boot};
use crate::devices::{BOOTED_AT, Devices, Typed};
use crate::fault::Traps;
use crate::image::{Images, image_hash};
use crate::log::Log;
use crate::machine::{Machine, drop_outside};
use crate::world::{Captured, Said, World};
use libprocess::{Process, Report};
use simulated_disk::{Cut, Disk, Random};
use std::future::Future;
use std::rc::Rc;

/// Sectors of a disk that nobody chose: 64 MiB.
const SECTORS: u64 = 131_072;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Somebody wrote this status to the power device.
    PowerOff(u64),
    /// The log could not be written.
    LogLost,
    /// No process is left.
    Empty,
    /// Everyone waits, and nothing is going to happen.
    Idle,
    /// The condition of [`Simulation::run_until`] holds.
    Reached,
    /// Virtual time or turns are used up: see [`Simulation::limits`].
    Limit,
}

/// A whole Orbital on this thread.
///
/// Describe it with the methods that take and return `self`; it boots at the first
/// `run`. The same description and seed make the same run, to the last record.
pub struct Simulation {
    seed: u64,
    images: Images,
    first: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    prefix: &'static str,
    typed: Vec<Typed>,
    input_ends: bool,
    columns: Option<u64>,
    disk: Disk,
    log: Log,
    traps: Traps,
    preempt_once_in: u64,
    check_once_in: u64,
    most_time: u64,
    most_turns: u64,
    machine: Option<Rc<Machine>>,
}

/// What a power cut left: enough for [`Simulation::boot_again`].
pub struct Wreck {
    /// The disk.
    pub disk: Disk,
    /// The log as it was durable.
    pub log: Log,
}

impl Simulation {
    /// An empty machine; all chance in it comes from `seed`.
    pub fn new(seed: u64) -> Simulation {
        Simulation {
            seed,
            images: Images::default(),
            first: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            prefix: "",
            typed: Vec::new(),
            input_ends: true,
            columns: None,
            disk: Disk::new(SECTORS),
            log: Log::new(),
            traps: Traps::default(),
            preempt_once_in: 8,
            check_once_in: 0,
            most_time: 3_600_000_000_000,
            most_turns: 2_000_000,
            machine: None,
        }
    }

    /// Adds an image to the boot set. It may be run any number of times.
    pub fn image<F, R>(mut self, name: &str, main: F) -> Simulation
    where
        F: Fn(Process) -> R + 'static,
        R: Future + 'static,
        R::Output: Report,
    {
        self.images.add(name, main);
        self
    }

    /// Which image runs as the first process, and its arguments. Without this: the
    /// first image added, without arguments.
    pub fn first(mut self, name: &str, arguments: &[&str]) -> Simulation {
        self.first = Some(name.to_string());
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self
    }

    /// Before the names of the first process's capabilities, all but quota and clock.
    pub(crate) fn prefix(mut self, prefix: &'static str) -> Simulation {
        self.prefix = prefix;
        self
    }

    /// A variable in the environment of the first process.
    pub fn environment(mut self, name: &str, value: &str) -> Simulation {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// The system manifest that init reads instead of its own (`ORBITAL_MANIFEST`).
    pub fn manifest(self, text: &str) -> Simulation {
        self.environment("ORBITAL_MANIFEST", text)
    }

    /// Text that is typed as soon as somebody reads, after what was typed before.
    pub fn console_input(self, text: &str) -> Simulation {
        self.console_bytes(text.as_bytes())
    }

    /// What is typed, where it is no text.
    pub fn console_bytes(mut self, bytes: &[u8]) -> Simulation {
        self.typed.push(Typed::Text(bytes.to_vec()));
        self
    }

    /// What is typed next waits until the output shows this, after what it waited for before.
    pub fn console_await(mut self, text: &str) -> Simulation {
        self.typed.push(Typed::Await(text.to_string()));
        self
    }

    /// What is typed next is not typed before so many ns since boot.
    pub fn console_at(mut self, time: u64) -> Simulation {
        self.typed.push(Typed::At(time));
        self
    }

    /// Input does not end after what was typed: who reads on, waits.
    pub fn console_stays_open(mut self) -> Simulation {
        self.input_ends = false;
        self
    }

    /// A person may be at the other end of the console; 0 columns: unknown.
    pub fn terminal(mut self, columns: u64) -> Simulation {
        self.columns = Some(columns);
        self
    }

    /// The disk, in place of an empty one of 64 MiB.
    pub fn disk(mut self, disk: Disk) -> Simulation {
        self.disk = disk;
        self
    }

    /// Boots over what a power cut left.
    pub fn boot_again(mut self, wreck: Wreck) -> Simulation {
        self.disk = wreck.disk;
        self.log = wreck.log;
        self
    }

    /// Traps the first process called `process` at its `call`th system call (from 1 on),
    /// before the call is made.
    pub fn trap(mut self, process: &str, call: u64) -> Simulation {
        self.traps.plan(process, Some(1), call);
        self
    }

    /// [`Simulation::trap`] of the `incarnation`th process (from 1 on) of that name.
    pub fn trap_in(mut self, process: &str, incarnation: u32, call: u64) -> Simulation {
        self.traps.plan(process, Some(incarnation), call);
        self
    }

    /// Traps processes called `process` at the `count`th system call (from 1 on) of this
    /// name (as in wit/kernel.wit), before it is made.
    pub fn trap_at(mut self, process: &str, call: &str, count: u64) -> Simulation {
        self.traps.plan_named(process, call, count);
        self
    }

    /// Traps processes called `process` at one in `once_in` of their system calls, at
    /// most `most` times.
    pub fn random_traps(mut self, process: &str, once_in: u64, most: u32) -> Simulation {
        self.traps.plan_random(process, once_in, most);
        self
    }

    /// Pre-empts the running thread after one in so many system calls; 0: never. Without
    /// this: 8.
    pub fn preempt_once_in(mut self, calls: u64) -> Simulation {
        self.preempt_once_in = calls;
        self
    }

    /// Checks the kernel's invariants after every so many turns of the scheduler, too; 0: at
    /// [`Simulation::check`] alone.
    pub fn check_once_in(mut self, turns: u64) -> Simulation {
        self.check_once_in = turns;
        self
    }

    /// A run ends with [`End::Limit`] after so many ns since boot, or so many turns of
    /// the scheduler. Without this: an hour, two million.
    pub fn limits(mut self, time: u64, turns: u64) -> Simulation {
        self.most_time = time;
        self.most_turns = turns;
        self
    }

    /// Runs until the machine is off, empty or idle.
    pub fn run(&mut self) -> End {
        self.run_until(|_| false)
    }

    /// Runs until `reached` says so, looked at after every turn; or as [`Simulation::run`].
    pub fn run_until(&mut self, mut reached: impl FnMut(&Simulation) -> bool) -> End {
        let machine = self.boot();
        for turn in 1..=self.most_turns {
            if self.check_once_in != 0 && turn % self.check_once_in == 0 {
                self.check_kernel();
            }
            if reached(self) {
                return End::Reached;
            }
            {
                let world = machine.world.borrow();
                if let Some(status) = world.devices.power_off {
                    return End::PowerOff(status);
                }
                if world.log_lost {
                    return End::LogLost;
                }
                if world.now >= self.most_time {
                    return End::Limit;
                }
                if world.live == 0 {
                    return End::Empty;
                }
            }
            if !machine.turn() {
                return End::Idle;
            }
        }
        End::Limit
    }

    /// What the console has shown so far.
    pub fn output(&self) -> String {
        self.look(|world| String::from_utf8_lossy(&world.devices.console.output).into_owned()).unwrap_or_default()
    }

    /// Types more; for a console that stays open, between two runs.
    pub fn type_now(&mut self, text: &str) {
        let text = text.as_bytes().to_vec();
        self.boot().world.borrow_mut().devices.console.push(Typed::Text(text));
    }

    /// Input ends after what was typed; for a console that stayed open, between two runs.
    pub fn end_input(&mut self) {
        self.boot().world.borrow_mut().devices.console.ends = true;
    }

    /// What processes wrote with `debug`.
    pub fn debug_output(&self) -> Vec<Said> {
        self.look(|world| world.debug.clone()).unwrap_or_default()
    }

    /// The messages of endpoints under capture, as they were received.
    pub fn captured(&self) -> Vec<Captured> {
        self.look(|world| world.captured.clone()).unwrap_or_default()
    }

    /// What processes said when they panicked. A trap that was injected is not among them.
    pub fn panics(&self) -> Vec<Said> {
        self.look(|world| world.panics.clone()).unwrap_or_default()
    }

    /// ns since boot.
    pub fn now(&self) -> u64 {
        self.look(|world| world.now).unwrap_or_default()
    }

    /// System calls since boot.
    pub fn system_calls(&self) -> u64 {
        self.look(|world| world.system_calls).unwrap_or_default()
    }

    /// Traps injected so far.
    pub fn trapped(&self) -> u64 {
        self.look(|world| world.trapped).unwrap_or_default()
    }

    /// Names of the processes that have started and not ended.
    pub fn processes(&self) -> Vec<String> {
        self.look(|world| world.programs.values().map(|program| program.name.clone()).collect()).unwrap_or_default()
    }

    /// Traps the process called `process` at its next system call, before it is made.
    /// `false` if there is none.
    pub fn trap_next(&mut self, process: &str) -> bool {
        let machine = self.boot();
        let world = &mut *machine.world.borrow_mut();
        let thread = world.threads.iter().flatten().find(|thread| thread.program.name == process);
        match thread {
            Some(thread) => {
                world.traps.plan(process, Some(thread.program.incarnation), thread.calls.get() + 1);
                true
            }
            None => false,
        }
    }

    /// Asks the system to end with this status, as Ctrl-C does with 130: the power line comes.
    pub fn request_end(&mut self, status: u64) {
        self.boot().world.borrow_mut().devices.request_end(status);
    }

    /// From now on the log cannot be written. No flush completes any more: at the first the
    /// machine stops.
    pub fn break_log(&mut self) {
        self.boot().world.borrow_mut().log.broken = true;
    }

    /// The disk as it is; its faults can be set here.
    pub fn with_disk<R>(&mut self, body: impl FnOnce(&mut Disk) -> R) -> R {
        match &self.machine {
            Some(machine) => body(&mut machine.world.borrow_mut().devices.disk),
            None => body(&mut self.disk),
        }
    }

    /// What was done with the disk so far; none before the machine was booted.
    pub fn disk_counts(&self) -> Option<simulated_disk::Counts> {
        self.look(|world| world.devices.disk.counts())
    }

    /// The power goes. Writes in flight have reached the disk's cache or not; of the
    /// cache, `cut` says what stays. All processes are dropped.
    pub fn crash(mut self, cut: Cut) -> Wreck {
        self.power_cut(cut)
    }

    /// What a power cut in this instant would leave, as [`Simulation::crash`] says; the machine itself goes on.
    pub fn power_cut(&mut self, cut: Cut) -> Wreck {
        let machine = self.boot();
        let world = &mut *machine.world.borrow_mut();
        let disk = world.devices.disk_at_power_cut().power_cut(cut);
        let log = world.log.at_power_cut(&mut world.chance);
        Wreck { disk, log }
    }

    /// Takes disk and log out after an orderly end: all that was written is there.
    pub fn halt(mut self) -> Wreck {
        let machine = self.boot();
        let world = &mut *machine.world.borrow_mut();
        let status = world.devices.power_off.unwrap_or(0);
        world.log.end(&mut world.axiom, status, world.now);
        let log = world.log.at_power_cut(&mut world.chance);
        Wreck { disk: world.devices.disk.power_cut(Cut::Kept), log }
    }

    /// Sets the machine up, once.
    fn boot(&mut self) -> Rc<Machine> {
        if let Some(machine) = &self.machine {
            return machine.clone();
        }
        let mut random = Random::new(self.seed);
        let mut devices = Devices::new(std::mem::take(&mut self.disk), &mut random);
        for typed in self.typed.drain(..) {
            devices.console.push(typed);
        }
        devices.console.ends = self.input_ends;
        devices.console.columns = self.columns.unwrap_or(0);
        devices.console.terminal = self.columns.is_some();
        let mut log = std::mem::take(&mut self.log);
        let images: Vec<_> = self.images.names.iter().map(|name| (name.clone(), image_hash(name))).collect();
        let axiom = log.open(&images, BOOTED_AT);
        let name = self.first.clone().or_else(|| self.images.names.first().cloned()).unwrap_or_default();
        let (images, traps) = (self.images.clone(), self.traps.clone());
        let mut world = World::new(axiom, log, devices, images, traps, random);
        let first =
            First { name: &name, arguments: &self.arguments, environment: &self.environment, prefix: self.prefix };
        if let Err(error) = boot(&mut world, &first) {
            panic!("the machine cannot be set up: {error}");
        }
        let machine = Machine::new(world);
        machine.preempt_once_in.set(self.preempt_once_in);
        self.machine = Some(machine.clone());
        machine
    }

    /// The invariants of the kernel hold, and replaying the log comes to the same state.
    ///
    /// # Panics
    /// When not.
    pub fn check(&self) {
        self.check_kernel();
        let Some(machine) = &self.machine else { return };
        let world = &mut *machine.world.borrow_mut();
        if let Err(difference) = world.log.check(&mut world.axiom, world.now) {
            panic!("the log does not tell what happened: {difference}");
        }
    }

    fn check_kernel(&self) {
        if let Some(Err(broken)) = self.look(|world| world.axiom.kernel().check()) {
            panic!("an invariant of the kernel is broken: {broken}\n{}", self.story());
        }
    }

    /// The records of the log in words, one a line.
    pub fn story(&self) -> String {
        let Some(machine) = &self.machine else { return String::new() };
        let world = &mut *machine.world.borrow_mut();
        world.log.story(&mut world.axiom, world.now)
    }

    fn look<R>(&self, body: impl FnOnce(&World) -> R) -> Option<R> {
        self.machine.as_ref().map(|machine| body(&machine.world.borrow()))
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if let Some(machine) = self.machine.take() {
            let threads = std::mem::take(&mut machine.world.borrow_mut().threads);
            for thread in threads.into_iter().flatten() {
                thread.gone.set(true);
                let future = thread.future.borrow_mut().take();
                drop_outside(future);
                let context = thread.context.borrow_mut().take();
                drop_outside(context);
            }
        }
    }
}
