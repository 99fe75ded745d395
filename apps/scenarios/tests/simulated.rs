//! The scenarios on the simulated machine: real kernel, real log, all services and apps,
//! one thread, the same every time. Every file runs under several seeds, so with other
//! pre-emptions and, where the host is killed, other losses on the disk.
//!
//! `SCENARIO=part-of-a-path` runs one, `SEEDS=n` with so many seeds, `STORY=1` tells what the
//! log says when it fails.

use scenario::{Ended, Host, Scenario, play};
use simulated::{Cut, End, Simulation, Wreck};
use std::path::Path;

/// Virtual time that one answer may take, in ns.
const PATIENCE: u64 = 60_000_000_000;

/// A machine of the simulation, off or on.
struct Machine {
    seed: u64,
    boots: u64,
    on: Option<Simulation>,
    left: Option<Wreck>,
    /// How much of the output was handed out.
    read: usize,
}

impl Machine {
    fn new(seed: u64) -> Machine {
        Machine { seed, boots: 0, on: None, left: None, read: 0 }
    }

    fn machine(&mut self) -> Result<&mut Simulation, String> {
        self.on.as_mut().ok_or_else(|| "no session runs".to_string())
    }

    /// What is wrong with the machine besides what it shows.
    fn complaints(machine: &Simulation) -> String {
        let mut text: String = machine.panics().iter().map(|said| format!("{said:?}\n")).collect();
        if std::env::var_os("STORY").is_some() {
            text.extend(machine.debug_output().iter().map(|said| format!("{said:?}\n")));
            text.push_str(&machine.story());
        }
        text
    }
}

impl Host for Machine {
    fn boot(&mut self, arguments: &[String]) -> Result<(), String> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.boots += 1;
        let mut machine = Simulation::new(self.seed * 1000 + self.boots)
            .image("init", init::main)
            .image("process", process::main)
            .image("storage", storage::main)
            .image("shell", shell::session::main)
            .image("hello", hello::main)
            .image("notes", notes::main)
            .first("init", &words)
            .console_stays_open();
        if let Some(left) = self.left.take() {
            machine = machine.boot_again(left);
        }
        self.read = 0;
        self.on = Some(machine);
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        self.machine()?.type_now(text);
        Ok(())
    }

    fn read_until(&mut self, end: &str) -> Result<String, String> {
        let from = self.read;
        let machine = self.machine()?;
        let deadline = machine.now() + PATIENCE;
        let mut length = 0;
        let ended = machine.run_until(|machine| {
            let output = machine.output();
            let found = output.len() != length && output[from..].contains(end);
            length = output.len();
            found || machine.now() > deadline
        });
        let output = machine.output();
        match output[from..].find(end) {
            Some(at) => {
                self.read = from + at + end.len();
                Ok(output[from..self.read].to_string())
            }
            None => Err(format!("{ended:?}; until then:\n{}{}", &output[from..], Machine::complaints(machine))),
        }
    }

    fn leave(&mut self) -> Result<Ended, String> {
        let from = self.read;
        let mut machine = self.on.take().ok_or("no session runs")?;
        machine.end_input();
        let deadline = machine.now() + PATIENCE;
        let ended = machine.run_until(|machine| machine.now() > deadline);
        let output = machine.output()[from..].to_string();
        let complaints = Machine::complaints(&machine);
        match ended {
            End::PowerOff(status) if complaints.is_empty() => {
                machine.check();
                self.left = Some(machine.halt());
                Ok(Ended { output, status })
            }
            end => Err(format!("it did not go down in order but: {end:?}; until then:\n{output}{complaints}")),
        }
    }

    fn kill(&mut self) -> Result<(), String> {
        let machine = self.on.take().ok_or("no session runs")?;
        machine.check();
        self.left = Some(machine.crash(Cut::Random(self.seed)));
        Ok(())
    }

    /// The machine has no command line of its own. What a scenario asks of the log is asked here
    /// of the log in memory, by replaying it over the next boot.
    fn command(&mut self, arguments: &[String]) -> Result<Ended, String> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut machine = Simulation::new(self.seed).image("init", async |_| ());
        if let Some(left) = self.left.take() {
            machine = machine.boot_again(left);
        }
        machine.run();
        machine.check();
        let story = machine.story();
        self.left = Some(machine.halt());
        let output = match words[..] {
            ["log", "verify"] => format!("{} records, good\n", story.lines().count()),
            ["log", "show", ..] => story,
            _ => return Err(format!("the simulated host has no command {}", words.join(" "))),
        };
        Ok(Ended { output, status: 0 })
    }
}

#[test]
fn every_scenario_holds_on_the_simulated_machine() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    let mut broken = String::new();
    for file in scenario::find(Path::new(scenario::FOLDER)).expect("the scenarios can be listed") {
        if !file.display().to_string().contains(&only) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("it is text");
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for seed in 0..seeds {
            let mut machine = Machine::new(seed);
            if let Err(mismatch) = play(&scenario, &mut machine) {
                let complaints = machine.on.as_ref().map(Machine::complaints).unwrap_or_default();
                broken.push_str(&format!("{}, seed {seed}: {mismatch}\n{complaints}", file.display()));
                break;
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}
