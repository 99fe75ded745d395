//! The service as a process: over the wire, killed and restarted at any system call, and
//! with the power cut at any moment. What it acknowledged is there.

use core::time::Duration;
use libprocess::interfaces::storage::types::Error;
use libprocess::interfaces::storage::{files, namespaces, object_events, objects};
use libprocess::{Cap, ClientError, Connection, Endpoint, Inbox, Incoming, Process, Rights};
use simulated::{Cut, Grant, Random, Stage, for_seeds};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the writers know of one key.
#[derive(Clone, Default)]
struct Known {
    /// The last value that was acknowledged.
    acknowledged: Option<Vec<u8>>,
    /// What was put after it and not acknowledged: it may be there or not.
    possible: Vec<Vec<u8>>,
}

type Notes = Rc<RefCell<BTreeMap<String, Known>>>;

fn stage(seed: u64, restarts: u32) -> Stage {
    Stage::new(seed).service("storage", storage::main).restarts(restarts).with(Grant::device("disk"))
}

fn user() -> Grant {
    Grant::service("storage").badge(0x407)
}

fn service_error<T: std::fmt::Debug>(result: Result<T, ClientError<Error>>) -> Error {
    match result {
        Err(ClientError::Service(error)) => error,
        other => panic!("not an error of the service: {other:?}"),
    }
}

#[test]
fn every_method_works_over_the_wire() {
    stage(1, 0)
        .client("client", async |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            let version = objects.put("key", b"value", Some(0)).await.unwrap();
            assert_eq!(objects.get("key").await.unwrap().bytes, b"value");
            assert_eq!(objects.get_part("key", 1, 3, Some(version)).await.unwrap().bytes, b"alu");
            assert_eq!(objects.stat("key").await.unwrap().version, version);
            let upload = objects.begin("large", 100_000).await.unwrap();
            objects.add(upload, &[7; 60_000]).await.unwrap();
            objects.add(upload, &[8; 40_000]).await.unwrap();
            objects.finish(upload, None).await.unwrap();
            assert_eq!(objects.get("large").await.unwrap().bytes.len(), 61_440);
            assert_eq!(objects.get_part("large", 99_999, 10, None).await.unwrap().bytes, [8]);
            let upload = objects.begin("other", 1).await.unwrap();
            objects.abandon(upload).await.unwrap();
            let page = objects.list("", 10, None).await.unwrap();
            assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["key", "large"]);
            let step = objects::Step::Put(objects::PutStep { key: "t".into(), value: b"t".to_vec() });
            objects.transact(&[step, objects::Step::Delete("key".into())]).await.unwrap();
            objects.delete("large", None).await.unwrap();
            assert_eq!(service_error(objects.get("key").await), Error::NotFound);

            let files = process.connect::<files::Client>().await.unwrap();
            files.make_folder("d").await.unwrap();
            files.open("d/f", files::OpenMode::CREATE).await.unwrap();
            files.replace("d/f", b"0123").await.unwrap();
            files.write("d/f", 1, b"x").await.unwrap();
            files.append("d/f", b"end").await.unwrap();
            assert_eq!(files.read("d/f", 0, 100).await.unwrap().bytes, b"0x23end");
            files.set_size("d/f", 2).await.unwrap();
            assert_eq!(files.stat("d/f").await.unwrap().size, 2);
            files.rename("d/f", "d/g").await.unwrap();
            assert_eq!(files.list("d", 10, None).await.unwrap().entries[0].name, "g");
            let upload = files.begin("d/h", 3).await.unwrap();
            objects.add(upload, b"abc").await.unwrap();
            objects.finish(upload, Some(0)).await.unwrap();
            files.remove("d/h").await.unwrap();
            assert_eq!(service_error(files.remove("d").await), Error::FolderNotEmpty);
            files.remove_all("d").await.unwrap();

            let namespaces = process.connect::<namespaces::Client>().await.unwrap();
            assert_eq!(namespaces.allowed().await.unwrap(), namespaces::Access::ALL);
            let notes =
                namespaces.subspace("notes", namespaces::Access::READ | namespaces::Access::WRITE).await.unwrap();
            let notes = Connection::new(notes);
            let inside = <objects::Client as libprocess::Client>::over(&notes);
            inside.put("t", b"note", None).await.unwrap();
            assert_eq!(objects.get("t").await.unwrap().bytes, b"t");
            let below = <namespaces::Client as libprocess::Client>::over(&notes);
            assert_eq!(service_error(below.subspace("x", namespaces::Access::READ).await), Error::PermissionDenied);
            let reader = objects::Client::new(below.restrict(namespaces::Access::READ).await.unwrap());
            assert_eq!(reader.get("t").await.unwrap().bytes, b"note");
            assert_eq!(service_error(reader.put("t", b"", None).await), Error::PermissionDenied);
            assert_eq!(namespaces.list(None).await.unwrap(), ["notes"]);
            namespaces.set_quota("notes", 4).await.unwrap();
            assert_eq!(service_error(inside.put("u", b"x", None).await), Error::QuotaExceeded(0));
            assert_eq!(namespaces.usage().await.unwrap().bytes, 5);
            namespaces.remove("notes").await.unwrap();
            assert_eq!(service_error(inside.get("t").await), Error::NotFound);
        })
        .with(user())
        .pass();
}

#[test]
fn without_a_badge_nothing_is_allowed() {
    stage(1, 0)
        .client("client", async |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            assert_eq!(service_error(objects.put("k", b"", None).await), Error::PermissionDenied);
            let namespaces = process.connect::<namespaces::Client>().await.unwrap();
            assert_eq!(service_error(namespaces.subspace("x", namespaces::Access::ALL).await), Error::PermissionDenied);
            assert_eq!(namespaces.allowed().await.unwrap(), namespaces::Access::NONE);
        })
        .with(Grant::service("storage").rights(Rights::SEND.or(Rights::GRANT)))
        .pass();
}

fn own_endpoint(process: &Process, depth: u32) -> Cap<Endpoint> {
    Cap::<Endpoint>::create(process.quota(), depth).unwrap()
}

fn to_send(endpoint: &Cap<Endpoint>) -> Cap<Endpoint> {
    endpoint.derive(Rights::SEND.or(Rights::GRANT)).unwrap()
}

async fn pause(milliseconds: u64) {
    libprocess::sleep(Duration::from_millis(milliseconds)).await;
}

/// The next event that came to an inbox, as number of the function and first word of its arguments.
async fn event(inbox: &mut Inbox) -> (u32, u64, Option<(String, u64)>) {
    loop {
        if let Incoming::Request(request) = inbox.next().await.unwrap() {
            let number = request.number();
            if number == object_events::tags::OVERFLOW {
                return (number, request.decode::<(u64,)>().unwrap().0, None);
            }
            let (watch, key, version) = request.decode::<(u64, String, u64)>().unwrap();
            return (number, watch, Some((key, version)));
        }
    }
}

#[test]
fn a_watcher_is_told_over_the_wire_and_a_slow_one_is_told_that_it_missed_something() {
    stage(1, 0)
        .client("client", async |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            let endpoint = own_endpoint(&process, 4);
            let watch = objects.watch("a", to_send(&endpoint)).await.unwrap();
            assert!(objects.watching(watch).await.unwrap());
            assert!(matches!(
                service_error(objects.watch("a", endpoint.derive(Rights::RECEIVE).unwrap()).await),
                Error::Invalid(_)
            ));
            let first = objects.put("a1", b"x", None).await.unwrap();
            objects.put("b1", b"x", None).await.unwrap();
            objects.delete("a1", None).await.unwrap();
            let mut inbox = Inbox::open(endpoint).unwrap();
            assert_eq!(event(&mut inbox).await, (object_events::tags::CHANGED, watch, Some(("a1".into(), first))));
            let (number, _, told) = event(&mut inbox).await;
            assert_eq!((number, told.unwrap().0), (object_events::tags::REMOVED, "a1".into()));
            // It does not listen: four fit its queue, 64 wait in the service.
            for _ in 0..80 {
                objects.put("a2", b"x", None).await.unwrap();
            }
            let mut overflows = 0;
            for _ in 0..100 {
                let (number, ..) = event(&mut inbox).await;
                if number == object_events::tags::OVERFLOW {
                    overflows += 1;
                    break;
                }
            }
            assert_eq!(overflows, 1);
            let version = objects.put("a3", b"x", None).await.unwrap();
            assert_eq!(event(&mut inbox).await, (object_events::tags::CHANGED, watch, Some(("a3".into(), version))));
            objects.unwatch(watch).await.unwrap();
            assert!(!objects.watching(watch).await.unwrap());
            assert_eq!(service_error(objects.unwatch(watch).await), Error::NoSuchWatch);
        })
        .with(user())
        .pass();
}

/// One that does not listen delays nobody else, however long it has been so.
#[test]
fn a_watcher_that_does_not_listen_holds_nobody_up() {
    stage(1, 0)
        .client("client", async |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            let deaf = own_endpoint(&process, 1);
            objects.watch("a", to_send(&deaf)).await.unwrap();
            for _ in 0..10 {
                objects.put("a", b"x", None).await.unwrap();
            }
            let endpoint = own_endpoint(&process, 4);
            let watch = objects.watch("b", to_send(&endpoint)).await.unwrap();
            let mut inbox = Inbox::open(endpoint).unwrap();
            pause(3_000).await;
            for _ in 0..5 {
                let version = objects.put("b", b"x", None).await.unwrap();
                let put = process.now();
                let told = event(&mut inbox).await;
                assert_eq!(told, (object_events::tags::CHANGED, watch, Some(("b".into(), version))));
                let waited = process.now() - put;
                assert!(waited < 50_000_000, "told after {waited} ns");
                pause(230).await;
            }
            // And when it listens at last, it is told the rest.
            let mut inbox = Inbox::open(deaf).unwrap();
            for _ in 0..10 {
                assert_eq!(event(&mut inbox).await.0, object_events::tags::CHANGED);
            }
        })
        .with(user())
        .pass();
}

/// What one leaves in its queue counts against the limit of the service, which then has nothing left for a queue.
#[test]
fn a_watcher_that_takes_all_queued_messages_ends_nobody_elses_watch() {
    let phase = Rc::new(Cell::new(0));
    let (reached, of_deaf) = (phase.clone(), phase);
    let deaf = async move |process: Process| {
        let objects = process.connect::<objects::Client>().await.unwrap();
        let endpoint = own_endpoint(&process, 300);
        let watch = objects.watch("a", to_send(&endpoint)).await.unwrap();
        for _ in 0..300 {
            objects.put("a", b"x", None).await.unwrap();
        }
        of_deaf.set(1);
        while of_deaf.get() < 2 {
            pause(10).await;
        }
        // As many as were told or wait in the service, or that something was left out.
        let mut inbox = Inbox::open(endpoint).unwrap();
        let mut told = 0;
        while told < 300 && event(&mut inbox).await.0 != object_events::tags::OVERFLOW {
            told += 1;
        }
        assert!(objects.watching(watch).await.unwrap());
        of_deaf.set(3);
    };
    let busy = async move |process: Process| {
        let objects = process.connect::<objects::Client>().await.unwrap();
        let endpoint = own_endpoint(&process, 4);
        let watch = objects.watch("b", to_send(&endpoint)).await.unwrap();
        while reached.get() < 1 {
            pause(10).await;
        }
        let version = objects.put("b", b"x", None).await.unwrap();
        pause(2_000).await;
        assert!(objects.watching(watch).await.unwrap());
        let mut inbox = Inbox::open(endpoint).unwrap();
        assert_eq!(event(&mut inbox).await, (object_events::tags::CHANGED, watch, Some(("b".into(), version))));
        reached.set(2);
        while reached.get() < 3 {
            pause(10).await;
        }
        let version = objects.put("b", b"y", None).await.unwrap();
        assert_eq!(event(&mut inbox).await, (object_events::tags::CHANGED, watch, Some(("b".into(), version))));
    };
    stage(1, 0).client("deaf", deaf).with(user()).client("busy", busy).with(user()).pass();
}

#[test]
fn a_watch_and_a_stream_go_with_the_process_that_began_them() {
    let watch = Rc::new(Cell::new(0));
    let upload = Rc::new(Cell::new(0));
    let (noted, begun) = (watch.clone(), upload.clone());
    let (of_watch, of_upload) = (watch.clone(), upload.clone());
    stage(1, 0)
        .client("victim", async move |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            let endpoint = own_endpoint(&process, 4);
            noted.set(objects.watch("", to_send(&endpoint)).await.unwrap());
            let number = objects.begin_stream("s", to_send(&endpoint).erase()).await.unwrap();
            objects.add(number, &[1; 50_000]).await.unwrap();
            begun.set(number);
            pause(3_000).await;
            // It is going on as long as its writer is there.
            objects.add(number, &[1; 50_000]).await.unwrap();
        })
        .with(user())
        .client("other", async move |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            pause(1_000).await;
            assert!(objects.watching(of_watch.get()).await.unwrap());
            pause(4_000).await;
            objects.put("k", b"x", None).await.unwrap();
            assert!(!objects.watching(of_watch.get()).await.unwrap());
            assert_eq!(service_error(objects.add(of_upload.get(), b"x").await), Error::NoSuchUpload);
            assert_eq!(service_error(objects.get("s").await), Error::NotFound);
        })
        .with(user())
        .pass();
}

#[test]
fn a_value_expires_by_itself_and_its_space_returns() {
    stage(1, 0)
        .client("client", async |process: Process| {
            let objects = process.connect::<objects::Client>().await.unwrap();
            let namespaces = process.connect::<namespaces::Client>().await.unwrap();
            objects.put_for("later", &[1; 2_000], 60_000_000_000, None).await.unwrap();
            objects.put_for("soon", &[1; 1_000], 2_000_000_000, None).await.unwrap();
            assert!(objects.lifetime("soon").await.unwrap().unwrap() <= 2_000_000_000);
            assert_eq!(namespaces.usage().await.unwrap().bytes, 3_000);
            pause(2_500).await;
            // Nobody has asked for it.
            assert_eq!(namespaces.usage().await.unwrap().bytes, 2_000);
            assert_eq!(service_error(objects.get("soon").await), Error::NotFound);
            assert_eq!(objects.list("", 10, None).await.unwrap().entries.len(), 1);
        })
        .with(user())
        .pass();
}

/// Puts values and notes what was acknowledged. Every value says its number all the way
/// through, so that half of one is seen.
async fn write(process: Process, name: &'static str, rounds: u64, notes: Notes) {
    let objects = process.connect::<objects::Client>().await.unwrap();
    let mut random = Random::new(rounds ^ name.len() as u64);
    for round in 0..rounds {
        let key = format!("{name}{}", round % 5);
        let size = [10, 500, 3000, 20_000][random.below(4) as usize];
        let value = format!("{round:08}").repeat(size / 8 + 1).into_bytes();
        notes.borrow_mut().entry(key.clone()).or_default().possible.push(value.clone());
        match objects.put(&key, &value, None).await {
            Ok(_) => {
                notes.borrow_mut().insert(key, Known { acknowledged: Some(value), possible: Vec::new() });
            }
            Err(ClientError::Service(error)) => panic!("refused: {error:?}"),
            // It may have happened.
            Err(_) => {}
        }
    }
}

/// Every key has its last acknowledged value, or one that was put after it.
async fn read(process: Process, notes: Notes) {
    let objects = process.connect::<objects::Client>().await.unwrap();
    let notes = notes.borrow().clone();
    for (key, known) in notes {
        let found = loop {
            match objects.get(&key).await {
                Ok(part) => break Some(part.bytes),
                Err(ClientError::Service(Error::NotFound)) => break None,
                Err(ClientError::Service(error)) => panic!("{key}: {error:?}"),
                // It is being restarted.
                Err(_) => {}
            }
        };
        let is_right =
            found == known.acknowledged || found.as_ref().is_some_and(|found| known.possible.contains(found));
        let shown = found.map(|found| String::from_utf8_lossy(&found[..found.len().min(16)]).into_owned());
        assert!(is_right, "{key} has {shown:?}");
    }
}

#[test]
fn killed_at_any_system_call_it_loses_nothing() {
    let kills = Cell::new(0);
    for_seeds(0..20, |seed| {
        let notes = Notes::default();
        let (one, two, three) = (notes.clone(), notes.clone(), notes.clone());
        let played = stage(seed, 40)
            .simulation(|simulation| simulation.random_traps("storage", 90, 12))
            .client("one", move |process| write(process, "a", 30, one))
            .with(user())
            .client("two", move |process| write(process, "bb", 30, two))
            .with(user())
            .client("three", move |process| write(process, "ccc", 30, three))
            .with(user())
            .client("reader", {
                let notes = notes.clone();
                async move |process: Process| {
                    // Until the writers have ended: this and the test's are the last.
                    while Rc::strong_count(&notes) > 2 {
                        libprocess::sleep(core::time::Duration::from_millis(5)).await;
                    }
                    read(process, notes).await;
                }
            })
            .with(user())
            .play();
        for client in ["one", "two", "three", "reader"] {
            let exits = &played.exits[client];
            assert!(exits.len() == 1 && exits[0].code == 0, "{client}: {exits:?}");
        }
        kills.set(kills.get() + played.exits.get("storage").map_or(0, Vec::len));
        assert_eq!(notes.borrow().len(), 15);
        played.simulation.check();
    });
    assert!(kills.get() > 50 || kills.get() > 2 && std::env::var_os("ORBITAL_SEED").is_some(), "{} kills", kills.get());
}

#[test]
fn the_power_cut_at_any_moment_loses_nothing() {
    let known = Cell::new(0);
    for_seeds(0..60, |seed| {
        let notes = Notes::default();
        let (one, two) = (notes.clone(), notes.clone());
        let (mut simulation, _) = stage(seed, 40)
            .simulation(
                |simulation| if seed % 2 == 0 { simulation.random_traps("storage", 300, 3) } else { simulation },
            )
            .client("one", move |process| write(process, "a", 1000, one))
            .with(user())
            .client("two", move |process| write(process, "bb", 1000, two))
            .with(user())
            .open();
        let turns = 50 + Random::new(seed).below(6000);
        let turn = Cell::new(0);
        simulation.run_until(|_| {
            turn.set(turn.get() + 1);
            turn.get() > turns
        });
        let notes: Notes = Rc::new(RefCell::new(notes.borrow().clone()));
        known.set(known.get() + notes.borrow().values().filter(|known| known.acknowledged.is_some()).count());
        let wreck = simulation.crash(Cut::Random(seed));
        stage(seed, 0).disk(wreck.disk).client("reader", move |process| read(process, notes)).with(user()).pass();
    });
    assert!(
        known.get() > 100 || std::env::var_os("ORBITAL_SEED").is_some(),
        "{} values were acknowledged",
        known.get()
    );
}

/// How many calls of this process are on record.
fn calls_on_record(story: &str, process: &str) -> usize {
    let of_process = story.lines().filter(|line| line.split_whitespace().nth(2) == Some(process));
    of_process.filter(|line| line.split_whitespace().nth(3).is_some_and(|word| word.starts_with("call"))).count()
}

/// Disk and log are cut off in the same instant, whenever either has changed. The log is whole as far as it was durable, the
/// system boots on it, what was acknowledged is there, and what asked for it is on record: no answer leaves
/// before its cause is durable.
#[test]
fn log_and_disk_cut_at_the_same_instant_tell_the_same() {
    let cuts = Cell::new(0);
    let acknowledged_at_cuts = Cell::new(0);
    let cases = std::env::var("ORBITAL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    for seed in 0..10_000 {
        let notes = Notes::default();
        let count = Rc::new(Cell::new(0usize));
        let (one, counted) = (notes.clone(), count.clone());
        let (mut simulation, _) = stage(seed, 0)
            .client("one", async move |process: Process| {
                let objects = process.connect::<objects::Client>().await.unwrap();
                for round in 0..12u64 {
                    let key = format!("k{}", round % 3);
                    let value = format!("{round:08}").repeat([2, 200, 2_000][round as usize % 3]).into_bytes();
                    one.borrow_mut().entry(key.clone()).or_default().possible.push(value.clone());
                    let step = objects::Step::Put(objects::PutStep { key: key.clone(), value: value.clone() });
                    let twin =
                        objects::Step::Put(objects::PutStep { key: format!("twin-{key}"), value: value.clone() });
                    objects.transact(&[step, twin]).await.unwrap();
                    one.borrow_mut().insert(key, Known { acknowledged: Some(value), possible: Vec::new() });
                    counted.set(counted.get() + 1);
                }
            })
            .with(user())
            .open();
        let changes =
            |simulation: &simulated::Simulation| simulation.disk_counts().map(|counts| (counts.writes, counts.flushes));
        let mut last = None;
        loop {
            let end = simulation.run_until(|simulation| changes(simulation) != last);
            if end != simulated::End::Reached || cuts.get() >= cases {
                break;
            }
            last = changes(&simulation);
            for cut in [Cut::Lost, Cut::Kept, Cut::Random(seed ^ cuts.get())] {
                cuts.set(cuts.get() + 1);
                let known: Notes = Rc::new(RefCell::new(notes.borrow().clone()));
                let acknowledged = count.get();
                acknowledged_at_cuts.set(acknowledged_at_cuts.get() + acknowledged);
                let wreck = simulation.power_cut(cut);
                let played = stage(seed, 0)
                    .simulation(|simulation| simulation.boot_again(wreck))
                    .client("reader", async move |process: Process| {
                        read(process.clone(), known.clone()).await;
                        // No half of a transaction.
                        let objects = process.connect::<objects::Client>().await.unwrap();
                        let keys: Vec<String> = known.borrow().keys().cloned().collect();
                        for key in &keys {
                            let one = objects.get(key).await.map(|part| part.bytes);
                            let twin = objects.get(&format!("twin-{key}")).await.map(|part| part.bytes);
                            assert_eq!(one.ok(), twin.ok(), "{key}");
                        }
                    })
                    .with(user())
                    .pass();
                let on_record = calls_on_record(&played.simulation.story(), "one");
                assert!(on_record >= acknowledged, "{acknowledged} were acknowledged, {on_record} are on record");
            }
        }
        if cuts.get() >= cases {
            break;
        }
    }
    println!("{} cuts, {} values acknowledged at them", cuts.get(), acknowledged_at_cuts.get());
    assert!(acknowledged_at_cuts.get() > 0);
}

#[test]
fn a_full_disk_and_one_that_fails_are_told_lose_nothing_and_recover() {
    for (break_it, wanted) in [
        (Box::new(|disk: &mut simulated::Disk| disk.set_room(0)) as Box<dyn Fn(&mut simulated::Disk)>, Error::NoSpace),
        (Box::new(|disk| disk.fail(simulated::Access::Write, 0..u64::MAX)), Error::Device),
        (Box::new(|disk| disk.fail(simulated::Access::Flush, 0..u64::MAX)), Error::Device),
        (Box::new(|disk| disk.set_read_only(true)), Error::ReadOnly),
    ] {
        let phase = Rc::new(Cell::new(0));
        let (client, expected) = (phase.clone(), wanted.clone());
        let (mut simulation, exits) = stage(7, 0)
            .client("client", async move |process: Process| {
                let objects = process.connect::<objects::Client>().await.unwrap();
                for number in 0..10 {
                    objects.put(&format!("k{number}"), &[number; 3_000], None).await.unwrap();
                }
                client.set(1);
                while client.get() == 1 {
                    pause(1).await;
                }
                for _ in 0..3 {
                    assert_eq!(service_error(objects.put("k0", &[99; 20_000], None).await), expected);
                    assert_eq!(objects.get("k1").await.unwrap().bytes, [1; 3_000]);
                }
                client.set(3);
                while client.get() == 3 {
                    pause(1).await;
                }
                // It was not restarted: the same service goes on.
                let before = objects.get("k0").await.unwrap().bytes;
                assert!(before == [0; 3_000] || before == [99; 20_000]);
                objects.put("k0", &[7; 20_000], None).await.unwrap();
                for number in 1..10 {
                    assert_eq!(objects.get(&format!("k{number}")).await.unwrap().bytes, [number; 3_000]);
                }
                assert_eq!(objects.get("k0").await.unwrap().bytes, [7; 20_000]);
            })
            .with(user())
            .open();
        let reached = |wanted: u32| {
            let phase = phase.clone();
            move |_: &simulated::Simulation| phase.get() == wanted
        };
        assert_eq!(simulation.run_until(reached(1)), simulated::End::Reached);
        simulation.with_disk(&break_it);
        phase.set(2);
        assert_eq!(simulation.run_until(reached(3)), simulated::End::Reached, "{wanted:?}: {:?}", simulation.panics());
        simulation.with_disk(|disk| {
            disk.heal();
            disk.set_room(u64::MAX);
            disk.set_read_only(false);
        });
        phase.set(4);
        assert_eq!(simulation.run(), simulated::End::PowerOff(0));
        assert_eq!(simulation.panics(), [], "{wanted:?}");
        assert_eq!(exits.of("client")[0].code, 0);
        simulation.check();
    }
}
