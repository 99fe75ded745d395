//! Storage is upgraded while others write: no put that was acknowledged is lost, and no client sees
//! more than one error an upgrade, which says that it may try again. Whatever dies at whichever step of the
//! hand-over, the system serves afterwards, and nothing is lost.

use libprocess::interfaces::init::control::{self, ImageSource, UpgradeState};
use libprocess::interfaces::storage::objects;
use libprocess::{Cap, ClientError, Process, Region};
use simulated_system::{Cut, End, Simulation, for_seeds};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What the clients of a run saw.
#[derive(Default)]
struct Seen {
    /// Puts that were acknowledged: key and value.
    acknowledged: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Errors, by writer.
    errors: RefCell<BTreeMap<String, Vec<ClientError<objects::Error>>>>,
    /// How the upgrades went.
    upgrades: RefCell<Vec<UpgradeState>>,
    /// The writers are to end.
    enough: Cell<bool>,
    /// The session has come to its end.
    ended: Cell<bool>,
}

/// The system manifest, with these writers, and a session that may order services about and read what they wrote.
fn manifest(writers: usize) -> String {
    let session = r#"name = "registry", of = "init:registry", rights = ["send", "grant"] },"#;
    let both = format!("{session}\n    {{ name = \"init\", of = \"init:control\", rights = [\"send\", \"grant\"] }},");
    let text = init::run::SYSTEM.replacen(session, &both, 1);
    let text = text.replacen(r#"ready-timeout = "30 s""#, r#"ready-timeout = "300 ms""#, 1);
    let text = text.replacen(r#", subspace = ["read", "write"]"#, "", 1);
    let (services, sessions) = text.split_once("# ---- the session").expect("the manifest has a session");
    let writers: String = (0..writers)
        .map(|number| {
            format!(
                r#"
[[service]]
name = "writer-{number}"
image = "writer"
phase = 2
badge = {}
needs = ["storage"]
quota = {{ memory = "1 MiB", pages = "1 MiB" }}
health = {{ misses = 0 }}
restart = {{ policy = "never" }}
arguments = ["{number}"]
capabilities = [
    {{ name = "quota", of = "quota", rights = ["split", "inspect"] }},
    {{ name = "clock", of = "device:clock", rights = ["read"] }},
    {{ name = "ready", of = "init:readiness", rights = ["send"] }},
    {{ name = "storage", of = "service:storage", rights = ["send"], badge = 0x407 }},
]
"#,
                200 + number
            )
        })
        .collect();
    format!("{services}{writers}\n# ---- the session{sessions}")
}

/// Puts one value after the other until it is enough.
async fn write(process: Process, seen: Rc<Seen>, pace: Duration) -> Result<(), String> {
    let name = process.arguments()[0].clone();
    let storage = objects::Client::new(process.capability("storage").map_err(|missing| missing.to_string())?);
    process.ready().await.map_err(|error| error.to_string())?;
    for number in 0.. {
        if seen.enough.get() {
            break;
        }
        let (key, value) = (format!("{name}/{number}"), vec![number as u8; 1 + number % 300]);
        match storage.put(&key, &value, None).await {
            Ok(_) => drop(seen.acknowledged.borrow_mut().insert(key, value)),
            Err(error) => seen.errors.borrow_mut().entry(name.clone()).or_default().push(error),
        }
        libprocess::sleep(pace).await;
    }
    Ok(())
}

/// Upgrades a service and waits until that is over.
async fn upgrade(control: &control::Client, source: &ImageSource, from: Option<Cap<Region>>) -> UpgradeState {
    match control.within(Duration::from_secs(60)).upgrade("storage", source, from).await {
        Ok(()) => {}
        Err(error) => return UpgradeState::Failed(error.to_string_lossy()),
    }
    loop {
        match control.status("storage").await.map(|status| status.upgrade) {
            Ok(UpgradeState::UnderWay) => libprocess::sleep(Duration::from_millis(1)).await,
            Ok(state) => return state,
            Err(error) => return UpgradeState::Failed(error.to_string_lossy()),
        }
    }
}

trait ToText {
    fn to_string_lossy(&self) -> String;
}

impl ToText for ClientError<control::Error> {
    fn to_string_lossy(&self) -> String {
        format!("{self:?}")
    }
}

/// Reads back what was acknowledged; storage may have to be started again first.
async fn read_back(storage: &objects::Client, seen: &Seen) {
    let acknowledged = seen.acknowledged.borrow().clone();
    for (key, value) in acknowledged {
        let mut read = Err(ClientError::TimedOut);
        for _ in 0..10 {
            read = storage.get(&key).await;
            if !matches!(read, Err(ClientError::ServiceRestarted | ClientError::TimedOut)) {
                break;
            }
        }
        assert_eq!(read.map(|part| part.bytes), Ok(value), "{key}");
    }
}

/// Between two puts of a writer.
const QUICK: Duration = Duration::from_micros(300);
const SLOW: Duration = Duration::from_millis(5);

/// A machine with writers, so many and so quick, whose session does this.
fn machine<F, R>(seed: u64, writers: (usize, Duration), seen: &Rc<Seen>, session: F) -> Simulation
where
    F: Fn(control::Client, objects::Client, Rc<Seen>, Process) -> R + 'static,
    R: Future<Output = ()> + 'static,
{
    let (writing, reading) = (seen.clone(), seen.clone());
    let session = Rc::new(session);
    simulated_system::orbital(seed, &[])
        .image("writer", move |process| write(process, writing.clone(), writers.1))
        .image("broken", async |_| libprocess::Exit(3))
        .image("deaf", async |_| libprocess::sleep(Duration::from_secs(86_400)).await)
        .image("gives-up", async |process: Process| {
            let _ = process.take_over().await;
            process.unable("it does not like this disk").await;
        })
        .image("session", move |process| {
            let (seen, session) = (reading.clone(), session.clone());
            async move {
                let control = control::Client::new(process.capability("init").unwrap());
                let storage = objects::Client::new(process.capability("storage").unwrap());
                session(control, storage, seen.clone(), process).await;
                seen.ended.set(true);
            }
        })
        .manifest(&manifest(writers.0))
        .limits(600_000_000_000, 4_000_000)
}

#[track_caller]
fn ends(simulation: &mut Simulation) {
    let end = simulation.run();
    let told: Vec<_> = simulation.debug_output();
    assert_eq!(simulation.panics(), [], "{told:?}");
    assert_eq!(end, End::PowerOff(0), "{told:?}");
    simulation.check();
}

#[test]
fn writers_go_on_while_storage_is_upgraded_and_nothing_that_was_acknowledged_is_lost() {
    const UPGRADES: usize = 5;
    for_seeds(0..8, |seed| {
        let seen = Rc::new(Seen::default());
        let mut simulation = machine(seed, (3, QUICK), &seen, |control, storage, seen, process| async move {
            for number in 0..UPGRADES {
                libprocess::sleep(Duration::from_millis(20)).await;
                // From the boot set, and from a file that somebody read.
                let (source, from) = if number % 2 == 0 {
                    (ImageSource::Boot(String::new()), None)
                } else {
                    let executable = simulated_system::executable("storage");
                    let region = Cap::<Region>::create(process.quota(), 1).unwrap();
                    region.write(0, &executable).unwrap();
                    (ImageSource::Region(executable.len() as u64), Some(region))
                };
                let state = upgrade(&control, &source, from).await;
                seen.upgrades.borrow_mut().push(state);
            }
            libprocess::sleep(Duration::from_millis(20)).await;
            seen.enough.set(true);
            libprocess::sleep(Duration::from_millis(10)).await;
            read_back(&storage, &seen).await;
            let status = control.status("storage").await.unwrap();
            assert_eq!((status.state, status.restarts), (control::State::Up, 0));
        });
        ends(&mut simulation);
        assert_eq!(*seen.upgrades.borrow(), vec![UpgradeState::Done; UPGRADES], "{:?}", simulation.debug_output());
        assert!(seen.acknowledged.borrow().len() > 100, "{}", seen.acknowledged.borrow().len());
        for (writer, errors) in seen.errors.borrow().iter() {
            assert!(errors.len() <= UPGRADES, "writer {writer}: {errors:?}");
            assert!(errors.iter().all(|error| *error == ClientError::ServiceRestarted), "{errors:?}");
        }
    });
}

#[test]
fn an_image_that_does_not_become_ready_leaves_the_old_one_serving_and_the_reason_is_told() {
    for (image, reason) in [
        ("broken", "exited with code 3 before it was ready"),
        ("deaf", "not ready after 300 ms"),
        ("gives-up", "it does not like this disk"),
    ] {
        let seen = Rc::new(Seen::default());
        let mut simulation = machine(1, (2, QUICK), &seen, move |control, storage, seen, _| async move {
            libprocess::sleep(Duration::from_millis(20)).await;
            let before = control.status("storage").await.unwrap();
            let state = upgrade(&control, &ImageSource::Boot(image.to_string()), None).await;
            assert!(matches!(&state, UpgradeState::Failed(told) if told.contains(reason)), "{state:?}");
            let after = control.status("storage").await.unwrap();
            assert_eq!((after.pid, after.restarts, after.state), (before.pid, 0, control::State::Up));
            assert_eq!(after.version, before.version);
            // It takes puts as before.
            let puts = seen.acknowledged.borrow().len();
            libprocess::sleep(Duration::from_millis(200)).await;
            assert!(seen.acknowledged.borrow().len() > puts);
            seen.enough.set(true);
            libprocess::sleep(Duration::from_millis(10)).await;
            read_back(&storage, &seen).await;
        });
        ends(&mut simulation);
        assert!(seen.errors.borrow().is_empty(), "{image}: {:?}", seen.errors.borrow());
        let told = format!("{:?}", simulation.debug_output());
        assert!(told.contains("storage was not upgraded") && told.contains(reason), "{told}");
    }
}

#[test]
fn the_process_service_is_upgraded_only_while_nothing_lives_on_it() {
    let script = "put /waits 'orbital simulated image: waits'; spawn /waits &; upgrade process; echo $?; ps; \
                  kill 5; wait 5; upgrade process; echo $?; spawn hello";
    for_seeds(0..4, |seed| {
        let mut simulation = simulated_system::script(seed, script)
            .image("waits", async |_| libprocess::sleep(Duration::from_secs(86_400)).await);
        ends(&mut simulation);
        let output = simulation.output();
        assert!(output.contains("1 processes run that would end with it"), "{output}");
        let (_, after) = output.split_once("1\n").unwrap_or_else(|| panic!("{output}"));
        assert!(after.contains("waits") && after.ends_with("0\nHello, world!\n"), "{output}");
    });
}

/// One upgrade with a trap, in the old process or in the new one, at this system call of it. Whether it struck.
fn trapped(incarnation: u32, call: u64) -> bool {
    let seen = Rc::new(Seen::default());
    let mut simulation = machine(call, (1, SLOW), &seen, |control, storage, seen, _| async move {
        let state = upgrade(&control, &ImageSource::Boot(String::new()), None).await;
        seen.upgrades.borrow_mut().push(state);
        let (puts, then) = (seen.acknowledged.borrow().len(), libprocess::now());
        while seen.acknowledged.borrow().len() < puts + 2 {
            libprocess::sleep(Duration::from_millis(2)).await;
            assert!(libprocess::now() - then < 5_000_000_000, "it takes puts again");
        }
        seen.enough.set(true);
        libprocess::sleep(Duration::from_millis(10)).await;
        read_back(&storage, &seen).await;
    })
    .trap_in("storage", incarnation, call);
    ends(&mut simulation);
    for errors in seen.errors.borrow().values() {
        assert!(errors.len() <= 2, "at {call}: one for the upgrade and one for the trap: {errors:?}");
    }
    simulation.trapped() > 0
}

#[test]
fn whichever_process_dies_at_whichever_step_of_the_upgrade_storage_serves_and_has_lost_nothing() {
    // What the old one does before it is asked is the same as without an upgrade.
    for incarnation in [1, 2] {
        let mut call = 1;
        while trapped(incarnation, call) {
            call += 1;
        }
        assert!(call > 40, "incarnation {incarnation} makes more system calls than {call}");
    }
}

#[test]
fn the_power_goes_at_any_step_of_the_upgrade_and_what_was_acknowledged_is_there_at_the_next_boot() {
    let run = |seed| {
        let seen = Rc::new(Seen::default());
        let simulation = machine(seed, (1, SLOW), &seen, |control, _, seen, _| async move {
            libprocess::sleep(Duration::from_millis(5)).await;
            let state = upgrade(&control, &ImageSource::Boot(String::new()), None).await;
            seen.upgrades.borrow_mut().push(state);
            seen.enough.set(true);
        });
        (seen, simulation)
    };
    let (seen, mut whole) = run(7);
    ends(&mut whole);
    assert_eq!(*seen.upgrades.borrow(), [UpgradeState::Done]);
    for cut in (0..whole.system_calls()).step_by(9) {
        let (seen, mut simulation) = run(7);
        simulation.run_until(|simulation| simulation.system_calls() >= cut);
        let wreck = simulation.crash(Cut::Random(cut));
        let after = Rc::new(Seen::default());
        *after.acknowledged.borrow_mut() = seen.acknowledged.borrow().clone();
        let mut again = machine(cut, (0, SLOW), &after, |_, storage, seen, _| async move {
            read_back(&storage, &seen).await;
        })
        .boot_again(wreck);
        ends(&mut again);
        assert!(after.ended.get());
    }
}
