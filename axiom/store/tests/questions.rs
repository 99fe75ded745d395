//! Questions that the log alone answers: the state at a record, why a record came, where a capability comes from,
//! how two logs differ. Each answer is held against what the machine itself knew when it ran.

#[path = "../../tests/trace/mod.rs"]
mod trace;

use kernel::{Kernel, ProcessId};
use log_store::commands::Format;
use log_store::diff::{self, Side, Verdict};
use log_store::error::Kind;
use log_store::folder::DiskFolder;
use log_store::lives::{self, Asked};
use log_store::state::{self, Options};
use log_store::why;
use log_store::{Error, Log, Settings, Writer, key};
use serde_json::Value;
use std::path::{Path, PathBuf};
use trace::{Choice, Machine};

/// A state folder that goes when the test ends.
struct System(PathBuf);

impl System {
    fn new(name: &str) -> System {
        let path = std::env::temp_dir().join(format!("orbital-questions-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        System(path)
    }

    /// Boots a machine and lets it run; `seen` looks at it after each step. Gives how many records there are then.
    fn run(&self, settings: Settings, steps: u64, mut seen: impl FnMut(&Machine)) -> u64 {
        let key = key::load_or_create(&self.0.join("machine.key")).expect("a key");
        let folder = DiskFolder::new(self.0.join("log"));
        let (log, opened) = Log::open(folder, key.clone(), settings).expect("it opens");
        let writer = Writer::start(log).expect("the thread starts");
        let mut config = Machine::config();
        (config.key, config.previous) = (key.public(), opened.previous);
        let mut machine = Machine::boot(config, opened.head);
        seen(&machine);
        let mut random = opened.head.blocks + 1;
        for _ in 0..steps {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let choice: Choice = (random >> 8).to_le_bytes();
            machine.step(&choice);
            seen(&machine);
            while let Some(block) = machine.axiom.take_block() {
                writer.append(block).expect("it is taken");
            }
        }
        machine.axiom.end(0, machine.now);
        while let Some(block) = machine.axiom.take_block() {
            writer.append(block).expect("it is taken");
        }
        writer.stop().expect("it is written");
        machine.axiom.next_record()
    }

    fn state(&self, options: &Options) -> Result<Value, Error> {
        Ok(serde_json::from_str(&ask(|out| state::show(&self.0, options, Format::Json, out))?).expect("JSON"))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn ask(question: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<String, Error> {
    let mut out = Vec::new();
    question(&mut out)?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a machine that runs says of each process: serial, name, and for each capability number, slot and rights.
type Holdings = Vec<(u64, String, Vec<(u32, u32, String)>)>;

fn holdings(kernel: &Kernel) -> Holdings {
    let of = |process: ProcessId| {
        let info = kernel.process_info(process).expect("it is there");
        let slots = (0..info.capabilities + 64).filter_map(|slot| kernel.capability_at(process, slot));
        let held = slots.map(|info| (info.capability, info.handle.slot(), info.rights.to_string())).collect();
        (info.serial, info.name.to_string(), held)
    };
    kernel.processes().map(of).collect()
}

fn shown_holdings(state: &Value) -> Holdings {
    let number = |value: &Value| value.as_u64().expect("a number");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let capability =
        |value: &Value| (number(&value["capability"]) as u32, number(&value["slot"]) as u32, text(&value["rights"]));
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let process = |value: &Value| {
        let held = list(&value["capabilities"]).iter().map(capability).collect();
        (number(&value["process"]), text(&value["name"]), held)
    };
    list(&state["processes"]).iter().map(process).collect()
}

#[test]
fn the_state_after_a_record_is_what_the_machine_knew_then() {
    let system = System::new("state");
    let mut known = Vec::new();
    // The second boot too: each begins with an empty kernel.
    for _ in 0..2 {
        system.run(Settings::default(), 400, |machine| {
            let record = machine.axiom.next_record() - 1;
            if record % 40 < 2 {
                known.push((record, machine.axiom.state_hash(), holdings(machine.axiom.kernel())));
            }
        });
    }
    assert!(known.len() > 10);
    for (record, [authority, activity], held) in known {
        let state = system.state(&Options { to: record, ..Options::default() }).expect("it can be shown");
        assert_eq!(state["record"], record);
        assert_eq!(state["state"]["authority"], hex(&authority), "authority after record {record}");
        assert_eq!(state["state"]["activity"], hex(&activity), "activity after record {record}");
        assert_eq!(shown_holdings(&state), held, "after record {record}");
        // In words, the same processes.
        let options = Options { to: record, ..Options::default() };
        let words = ask(|out| state::show(&system.0, &options, Format::Text, out)).expect("it can be shown");
        for (serial, name, held) in &held {
            assert!(words.contains(&format!("process {serial} {name},")), "{words}");
            held.iter().for_each(|held| assert!(words.contains(&format!(", capability {}", held.0)), "{words}"));
        }
    }
}

#[test]
fn one_process_is_shown_with_what_it_reaches() {
    let system = System::new("process");
    let last = system.run(Settings::default(), 0, |_| ()) - 1;
    let all = system.state(&Options { to: last, ..Options::default() }).expect("it can be shown");
    let options = Options { to: last, process: Some("init".into()), ..Options::default() };
    let one = system.state(&options).expect("it can be shown");
    let names = |state: &Value| shown_holdings(state).into_iter().map(|(_, name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&one), ["init"]);
    assert!(names(&all).len() > 1);
    assert!(one["endpoints"].as_array().expect("a list").len() <= all["endpoints"].as_array().expect("a list").len());
    let options = Options { process: Some("nobody".into()), ..options };
    let error = system.state(&options).expect_err("there is none");
    assert_eq!(error.kind, Kind::Absent);
    assert!(error.cause.contains("no process nobody") && error.next.contains("init"), "{error}");
}

#[test]
fn a_record_that_is_not_there_is_an_error_with_the_range() {
    let system = System::new("range");
    let records = system.run(Settings::default(), 50, |_| ());
    for to in [records, u64::MAX] {
        let error = system.state(&Options { to, ..Options::default() }).expect_err("it is not there");
        assert_eq!(error.kind, Kind::Absent);
        assert!(error.next.contains(&format!("0 to {}", records - 1)), "{error}");
    }
    assert!(system.state(&Options { to: records - 1, ..Options::default() }).is_ok());
    let elsewhere = state::show(Path::new("/no/such/folder"), &Options::default(), Format::Text, &mut Vec::new());
    assert_eq!(elsewhere.expect_err("there is no log").kind, Kind::Absent);
}

/// Given a log whose first boot was trimmed, then of its records who may do what is shown and the rest is not; of
/// the boot that is whole, everything.
#[test]
fn of_what_was_trimmed_authority_is_shown() {
    const SMALL: Settings = Settings { segment: 100 << 10, keep: 300 << 10 };
    let system = System::new("trimmed");
    let mut known = Vec::new();
    let end = system.run(SMALL, 12_000, |machine| {
        let record = machine.axiom.next_record() - 1;
        if record < 200 && record % 50 < 2 {
            known.push((record, machine.axiom.state_hash(), holdings(machine.axiom.kernel())));
        }
    });
    let last = system.run(SMALL, 100, |_| ()) - 1;
    for (record, [authority, _], held) in known {
        let error = system.state(&Options { to: record, ..Options::default() }).expect_err("it was trimmed");
        assert_eq!(error.kind, Kind::Absent);
        assert!(error.cause.contains(&format!("records {end} to {last}")), "{error}");
        assert!(error.next.contains("--authority"), "{error}");
        let options = Options { to: record, authority_alone: true, ..Options::default() };
        let state = system.state(&options).expect("authority stays");
        assert_eq!(state["state"]["authority"], hex(&authority));
        assert_eq!(state["state"]["activity"], Value::Null);
        assert_eq!(shown_holdings(&state), held, "after record {record}");
    }
    let state = system.state(&Options { to: last, ..Options::default() }).expect("the last boot is whole");
    assert!(state["state"]["activity"].is_string());
}

#[test]
fn a_log_that_was_changed_is_not_replayed() {
    let system = System::new("changed");
    let last = system.run(Settings::default(), 50, |_| ()) - 1;
    let segments = system.0.join("log/segments");
    let segment = std::fs::read_dir(segments).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[400] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let error = system.state(&Options { to: last, ..Options::default() }).expect_err("it was changed");
    assert_eq!(error.kind, Kind::Damaged);
}

/// The lines of an answer, as JSON.
fn lines(question: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<Vec<Value>, Error> {
    Ok(ask(question)?.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// What the machine says of a capability, and of what it was derived from, and so on: numbers and rights.
fn live_chain(kernel: &Kernel, process: ProcessId, slot: u32) -> Vec<(u32, String)> {
    let first = kernel.capability_at(process, slot);
    let above = |info: &abi::CapabilityInfo| kernel.capability(kernel::CapabilityId(info.parent?));
    std::iter::successors(first, above).map(|info| (info.capability, info.rights.to_string())).collect()
}

/// Given every capability that a machine has when it stops, when the log is asked where it comes from, then it names
/// the same ones as the machine, but for those that are gone, then a quota for its object, and at last the host.
#[test]
fn grants_lead_from_every_capability_to_genesis_as_the_machine_says() {
    let mut derived = 0;
    let chains = |machine: &Machine| {
        let kernel = machine.axiom.kernel();
        let of = |process: ProcessId| {
            let serial = kernel.process_info(process).expect("it is there").serial;
            kernel.capabilities_of(process).map(move |info| (serial, process, info.handle.slot()))
        };
        let all: Vec<_> = kernel.processes().flat_map(of).collect();
        all.into_iter()
            .map(|(serial, process, slot)| (serial, slot, live_chain(kernel, process, slot)))
            .collect::<Vec<_>>()
    };
    for steps in [0, 6, 12, 60] {
        let system = System::new(&format!("caps-{steps}"));
        let mut last = Vec::new();
        system.run(Settings::default(), steps, |machine| last = chains(machine));
        derived += last.iter().filter(|(_, _, chain)| chain.len() > 1).count();
        for (serial, slot, chain) in last {
            let asked = Asked { process: serial.to_string(), slot, generation: None, boot: None };
            let told = lines(|out| lives::why(&system.0, &asked, Format::Json, out)).expect("it can be told");
            let (end, links) = told.split_last().expect("there are lines");
            assert_eq!(end["genesis"], 0);
            let living: Vec<_> = links
                .iter()
                .take_while(|link| link["link"] != "paid for with")
                .filter(|link| link["ended"].is_null())
                .map(|link| (link["capability"].as_u64().unwrap() as u32, link["rights"].as_str().unwrap().to_owned()))
                .collect();
            assert_eq!(living, chain, "of process {serial}, slot {slot}");
            assert_eq!(links.last().expect("one at least")["way"], "set-up", "{links:?}");
            let born: Vec<_> = links.iter().map(|link| link["held"][0]["record"].as_u64().unwrap()).collect();
            assert!(born.is_sorted_by(|a, b| a >= b), "each comes from one before it: {born:?}");
        }
    }
    assert!(derived >= 8);
}

#[test]
fn a_capability_that_is_gone_is_told_with_its_end() {
    let system = System::new("gone");
    let mut gone = Vec::new();
    let mut before: Vec<(u64, u32, u32)> = Vec::new();
    system.run(Settings::default(), 200, |machine| {
        let kernel = machine.axiom.kernel();
        let of = |process: ProcessId| {
            let serial = kernel.process_info(process).expect("it is there").serial;
            kernel.capabilities_of(process).map(move |info| (serial, info.handle.slot(), info.handle.generation()))
        };
        let now: Vec<_> = kernel.processes().flat_map(of).collect();
        let next = machine.axiom.next_record();
        gone.extend(before.iter().filter(|held| !now.contains(held)).map(|&held| (held, next)));
        before = now;
    });
    assert!(gone.len() > 5);
    let mut ended = 0;
    for ((serial, slot, generation), next) in gone {
        let asked = Asked { process: serial.to_string(), slot, generation: Some(generation), boot: Some(1) };
        let told = lines(|out| lives::why(&system.0, &asked, Format::Json, out)).expect("it can be told");
        // It ended, or it went on to someone else.
        let moved =
            told[0]["held"].as_array().expect("a list").iter().skip(1).filter_map(|held| held["record"].as_u64());
        let last = told[0]["ended"]["record"].as_u64().into_iter().chain(moved).min();
        assert!(last.is_some_and(|last| last < next), "before {next}: {}", told[0]);
        ended += u32::from(told[0]["ended"].is_object());
        let words = ask(|out| lives::why(&system.0, &asked, Format::Text, out)).expect("it can be told");
        assert_eq!(words.contains("gone: "), told.iter().any(|link| link["ended"].is_object()), "{words}");
    }
    assert!(ended > 0);
}

#[test]
fn a_capability_that_never_was_is_an_error_that_says_which_were() {
    let system = System::new("never");
    system.run(Settings::default(), 10, |_| ());
    let why = |process: &str, slot, generation, boot| {
        let asked = Asked { process: process.into(), slot, generation, boot };
        let error = lives::why(&system.0, &asked, Format::Text, &mut Vec::new()).expect_err("it never was");
        assert_eq!(error.kind, Kind::Absent);
        format!("{} {}", error.cause, error.next)
    };
    assert!(why("nobody", 0, None, None).contains("server"));
    assert!(why("server", 999, None, None).contains("0, 1"));
    assert!(why("server", 0, Some(77), None).contains("slot 0.77"));
    assert!(why("server", 0, None, Some(9)).contains("1 to 1"));
}

/// Given a run, when of every record the log is asked why, then each chain goes back, record by record, to an input
/// from outside; and a call is made because of the last thing that its thread was given, as the host saw it.
#[test]
fn causes_lead_from_every_record_to_the_outside() {
    let system = System::new("why");
    let records = system.run(Settings::default(), 120, |_| ());
    let mut lengths = Vec::new();
    for record in 0..records {
        let told = lines(|out| why::why(&system.0, record, Format::Json, out)).expect("it can be told");
        let numbers: Vec<_> = told.iter().map(|line| line["record"].as_u64().unwrap()).collect();
        assert_eq!(numbers[0], record);
        assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
        let (last, others) = told.split_last().expect("itself at least");
        assert!(last["because"].is_null() && last["outside"].is_string(), "{last}");
        let outside = ["interrupt", "time", "preempt", "genesis", "booted", "end"];
        // Or the host spoke of a thread or process that is not there.
        let nobody = last["text"].as_str().unwrap().contains("refused");
        assert!(nobody || outside.contains(&last["call"].as_str().unwrap()), "{last}");
        assert!(others.iter().all(|line| line["because"].is_string() && line["outside"].is_null()));
        lengths.push(numbers.len());
    }
    assert!(lengths.iter().any(|&length| length > 4), "{lengths:?}");
    let error = why::why(&system.0, records, Format::Text, &mut Vec::new()).expect_err("it is not there");
    assert!(error.kind == Kind::Absent && error.next.contains(&format!("0 to {}", records - 1)), "{error}");
}

/// Given two systems that did the same, and one that went on, then the first two are the same; of the third the first
/// thing that is more is named, with its record.
#[test]
fn two_logs_are_compared_process_by_process() {
    let (one, two, three) = (System::new("diff-1"), System::new("diff-2"), System::new("diff-3"));
    one.run(Settings::default(), 100, |_| ());
    two.run(Settings::default(), 100, |_| ());
    let records = three.run(Settings::default(), 160, |_| ());
    let side = |system: &System| Side { log: system.0.clone(), records: None };
    let compare = |a: &Side, b: &Side| {
        let mut verdict = None;
        let told =
            lines(|out| diff::diff(a, b, Format::Json, out).map(|found| verdict = Some(found))).expect("two logs");
        (verdict.expect("a verdict"), told)
    };
    let (verdict, told) = compare(&side(&one), &side(&two));
    assert_eq!(verdict, Verdict::Same, "{told:?}");
    assert!(told.len() > 2 && told.iter().all(|line| line["same"] == true));
    let (verdict, told) = compare(&side(&one), &side(&three));
    assert_eq!(verdict, Verdict::Different);
    let differs: Vec<_> = told.iter().filter(|line| line["process"].is_string() && line["same"] == false).collect();
    assert!(!differs.is_empty());
    for line in differs {
        for what in
            ["authority", "messages"].map(|what| &line[what]["first"]).into_iter().filter(|first| !first.is_null())
        {
            // What there is more comes behind what is the same.
            assert!(what["a"].is_null() && what["b"]["record"].as_u64().expect("a record") < records, "{line}");
        }
    }
    // A part of a log is the same as itself, and as the same part of the other.
    let part = |system: &System| Side { log: system.0.clone(), records: Some(10..=80) };
    assert_eq!(compare(&part(&one), &part(&three)).0, Verdict::Same);
    assert_eq!(Side::named("10..80", &one.0).expect("a range"), part(&one));
    assert!(Side::named("80..10", &one.0).is_err());
    let beyond = Side { records: Some(10..=u64::MAX), ..side(&one) };
    assert_eq!(
        diff::diff(&beyond, &side(&one), Format::Text, &mut Vec::new()).expect_err("it ends").kind,
        Kind::Absent
    );
}
