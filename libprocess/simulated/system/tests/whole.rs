//! The whole system under many seeds: it comes up, does what it is told, survives the
//! death of its services, and ends in order; its log tells all of it.

use simulated_system::{Cut, End, Random, Simulation, Wreck, for_seeds, orbital, script};
use std::collections::{BTreeMap, BTreeSet};

/// Runs to the end, and requires that the machine was turned off, that nobody panicked, and that
/// log and invariants are right.
fn ends(mut simulation: Simulation) -> (u64, Simulation) {
    let end = simulation.run();
    let End::PowerOff(status) = end else {
        panic!("{end:?}\n{}\n{:?}\n{}", simulation.output(), simulation.debug_output(), tail(&simulation))
    };
    simulation.check();
    (status, simulation)
}

/// The last records.
fn tail(simulation: &Simulation) -> String {
    let story = simulation.story();
    let lines: Vec<&str> = story.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[test]
fn a_script_runs_and_its_status_is_the_machines() {
    for_seeds(0..20, |seed| {
        let (status, simulation) = ends(script(seed, "put greeting hello; cat greeting"));
        assert_eq!(simulation.output(), "hello\n");
        assert_eq!(status, 0);
        assert_eq!(simulation.panics(), []);
    });
    let (status, _) = ends(script(1, "exit 7"));
    assert_eq!(status, 7);
}

#[test]
fn what_is_typed_is_done_until_the_input_ends() {
    for_seeds(0..10, |seed| {
        let (status, simulation) = ends(orbital(seed, &[]).console_input("put a 1\n").console_input("cat a\n"));
        assert_eq!((status, simulation.output().as_str()), (0, "1\n"));
    });
}

#[test]
fn a_line_that_is_no_text_is_refused_whole_and_nothing_of_it_is_stored() {
    let input = b"put /a one\nput /b \xFFtwo; put /c three\necho $?\nput /d 'four\n\xC0\xAF'\nls\ncat /a\n";
    let simulation = orbital(1, &[]).console_bytes(input);
    let (status, simulation) = ends(simulation);
    let refused = |line, column, byte| {
        format!(
            "shell: line {line} of the input, column {column}: the byte {byte} is not UTF-8, so the line is not \
             carried out; write it in UTF-8\n"
        )
    };
    let expected = format!("{}2\n{}a\none\n", refused(2, 8, "FF"), refused(5, 1, "C0"));
    assert_eq!((status, simulation.output()), (0, expected));
}

#[test]
fn storage_killed_from_the_shell_is_there_again() {
    for_seeds(0..20, |seed| {
        let script = "put greeting hello; kill storage; cat greeting; cat greeting";
        let (status, simulation) = ends(self::script(seed, script));
        assert!(simulation.output().ends_with("hello\n"), "{}", simulation.output());
        assert_eq!(status, 0);
    });
}

#[test]
fn what_was_put_is_there_at_the_next_boot() {
    for_seeds(0..10, |seed| {
        let (_, first) = ends(script(seed, "put greeting hello"));
        let wreck = first.halt();
        let (status, second) = ends(script(seed, "cat greeting").boot_again(wreck));
        assert_eq!((status, second.output().as_str()), (0, "hello\n"));
    });
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_time() {
    for_seeds(0..40, |seed| {
        let mut puts = String::new();
        for number in 0..20 {
            puts.push_str(&format!("put key{number} value{number} && echo done{number};"));
        }
        let mut simulation = script(seed, &puts);
        let shown = 1 + seed as usize % 20;
        simulation.run_until(|simulation| simulation.output().lines().count() >= shown);
        let acknowledged = simulation.output().lines().count();
        let wreck: Wreck = simulation.crash(Cut::Random(seed));
        let reads: String = (0..acknowledged).map(|number| format!("cat key{number};")).collect();
        let (_, after) = ends(script(seed, &reads).boot_again(wreck));
        let expected: String = (0..acknowledged).map(|number| format!("value{number}\n")).collect();
        assert_eq!(after.output(), expected);
    });
}

/// Each system call of a service, one after the other, traps once while the shell uses it. What
/// the shell is told may be an error; the system goes on, and what was put is not half there.
fn trapped_at(service: &str, call: u64) -> bool {
    let script = "put a 1; put a 22; put b 3; rm b; spawn hello; cat a || cat a || cat a";
    let (_, simulation) = ends(self::script(call, script).trap(service, call));
    let output = simulation.output();
    assert!(["1\n", "22\n"].iter().any(|value| output.ends_with(value)), "{service} at {call}: {output}");
    assert_eq!(simulation.panics(), []);
    simulation.trapped() > 0
}

#[test]
fn a_service_trapped_at_any_of_its_system_calls_is_started_again_and_the_system_goes_on() {
    for service in ["storage", "process"] {
        let mut call = 1;
        while trapped_at(service, call) {
            call += 1;
        }
        assert!(call > 20, "{service} makes more system calls than {call}");
    }
}

#[test]
fn services_that_trap_at_random_are_restarted_and_nobody_waits_for_ever() {
    for_seeds(0..100, |seed| {
        let script = "put a 1; put b 2; cat a; cat b; ls; ps; spawn hello; services";
        let simulation = self::script(seed, script)
            .random_traps("storage", 40, 2)
            .random_traps("process", 40, 2)
            .limits(600_000_000_000, 2_000_000);
        let (_, simulation) = ends(simulation);
        assert_eq!(simulation.panics(), []);
    });
}

/// A random script, with services killed and trapped in between, against a model of what the
/// keys may hold: what was acknowledged is there, what was not may be.
#[test]
fn whatever_dies_the_keys_hold_what_was_acknowledged() {
    let mut known = 0;
    for_seeds(0..100, |seed| {
        let mut random = Random::new(seed);
        let mut commands = Vec::new();
        for number in 0..30 {
            let key = format!("key{}", random.below(4));
            commands.push(match random.below(8) {
                0..3 => Command::Put(key, format!("value{number}")),
                3 => Command::Remove(key),
                4..7 => Command::Read(key),
                _ => Command::Kill(["storage", "process"][random.below(2) as usize]),
            });
        }
        let script: String = commands
            .iter()
            .enumerate()
            .map(|(number, command)| format!("{}; echo end{number};", command.text()))
            .collect();
        let simulation = self::script(seed, &script)
            .random_traps("storage", 60, 3)
            .check_once_in(if seed < 5 { 1 } else { 0 })
            .limits(3_600_000_000_000, 2_000_000);
        let (_, simulation) = ends(simulation);
        assert_eq!(simulation.panics(), []);

        let output = simulation.output();
        let mut rest = output.as_str();
        let mut model = Model::new();
        for (number, command) in commands.iter().enumerate() {
            let (shown, after) =
                rest.split_once(&format!("end{number}\n")).unwrap_or_else(|| panic!("no end{number}\n{output}"));
            rest = after;
            command.judge(shown, &mut model);
        }
        known += model.values().filter(|possible| possible.len() == 1 && !possible.contains(&None)).count();
    });
    assert!(known > 0, "puts are acknowledged");
}

/// What each key may hold; `None`: nothing.
type Model<'a> = BTreeMap<&'a str, BTreeSet<Option<&'a str>>>;

enum Command {
    Put(String, String),
    Remove(String),
    Read(String),
    Kill(&'static str),
}

impl Command {
    fn text(&self) -> String {
        match self {
            Command::Put(key, value) => format!("put {key} {value} && echo ok"),
            Command::Remove(key) => format!("rm {key} && echo ok"),
            Command::Read(key) => format!("cat {key}"),
            Command::Kill(service) => format!("kill {service}"),
        }
    }

    /// What was shown must be possible, and says what is possible from now on.
    fn judge<'a>(&'a self, shown: &'a str, model: &mut Model<'a>) {
        let acknowledged = shown.ends_with("ok\n");
        let changes = |key: &'a str, to: Option<&'a str>, model: &mut Model<'a>| {
            let possible = model.entry(key).or_insert_with(|| BTreeSet::from([None]));
            if acknowledged {
                possible.clear();
            }
            possible.insert(to);
        };
        match self {
            Command::Put(key, value) => changes(key, Some(value), model),
            Command::Remove(key) if shown.contains("there is no") => absent(key, model),
            Command::Remove(key) => changes(key, None, model),
            Command::Read(key) => {
                let possible = model.entry(key).or_insert_with(|| BTreeSet::from([None]));
                if let Some(value) = shown.strip_suffix('\n').filter(|value| value.starts_with("value")) {
                    assert!(possible.contains(&Some(value)), "{key} has {value}, and may have {possible:?}");
                    *possible = BTreeSet::from([Some(value)]);
                } else if shown.contains("there is no") {
                    absent(key, model);
                }
            }
            Command::Kill(_) => {}
        }
    }
}

/// Storage said that there is no such key.
fn absent<'a>(key: &'a str, model: &mut Model<'a>) {
    let possible = model.entry(key).or_insert_with(|| BTreeSet::from([None]));
    assert!(possible.contains(&None), "{key} is gone, and may have {possible:?}");
    *possible = BTreeSet::from([None]);
}

#[test]
fn the_same_seed_is_the_same_story() {
    let story = |seed| {
        let script = "put a 1; kill storage; cat a; spawn hello";
        ends(self::script(seed, script).random_traps("storage", 50, 1)).1.story()
    };
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}

#[test]
fn the_machine_ends_in_order_when_it_is_asked_to() {
    for_seeds(0..10, |seed| {
        let mut simulation = orbital(seed, &[]).console_input("put a 1\n").console_stays_open();
        assert_eq!(
            simulation.run_until(|simulation| simulation.processes().contains(&"shell".to_string())),
            End::Reached
        );
        simulation.request_end(130);
        let (status, simulation) = ends(simulation);
        assert_eq!(status, 130);
        let wreck = simulation.halt();
        let (status, _) = ends(script(seed, "ls").boot_again(wreck));
        assert_eq!(status, 0);
    });
}

#[test]
fn what_a_service_is_told_is_captured_while_the_shell_has_it_so() {
    for_seeds(0..5, |seed| {
        let script = "put a before; capture storage on; put b canary; capture storage off; put c after";
        let (status, simulation) = ends(self::script(seed, script));
        assert_eq!((status, simulation.output().as_str()), (0, ""));
        let captured = simulation.captured();
        let said = |text: &str| {
            let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            let words = |captured: &simulated_system::Captured| {
                captured.words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()
            };
            captured.iter().any(|captured| has(&words(captured)) || has(&captured.bytes))
        };
        assert!(said("canary") && !said("before") && !said("after"), "{captured:?}");
        let story = simulation.story();
        assert!(story.contains("are captured from now on, by order of shell"), "{}", tail(&simulation));
    });
}
