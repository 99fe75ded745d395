//! Services are upgraded on the simulation, with the real kernel: what one hands over the next one has, its
//! clients see nothing but a pause, and whatever is wrong with the new image, the old one goes on.

mod common;

use common::{HANG, Notes, Session, System, WHO, deaf, entry, manifest, who};
use libprocess::interfaces::init::control::{Error, ImageSource, State, UpgradeState};
use libprocess::service::Request;
use libprocess::wire::Passing;
use libprocess::{Cap, ClientError, Connection, Dispatch, Hooks, Process, Region};
use simulated::for_seeds;
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

const STORE: &str = r#"{ name = "store", of = "service:store", rights = ["send", "grant"] },"#;
/// Adds one to what is counted, and returns it.
const COUNT: u32 = 0xF003;

/// A service that counts in memory, and hands the count over.
struct Counter {
    count: Rc<Cell<u64>>,
    notes: Notes,
}

impl Dispatch for Counter {
    fn accepts(&self, number: u32) -> bool {
        [COUNT, WHO, HANG].contains(&number)
    }
    async fn dispatch(&self, request: Request) {
        match request.number() {
            HANG => {
                self.notes.note("hangs");
                libprocess::sleep(Duration::from_secs(20)).await;
                request.answer(&1u64, Passing::new());
            }
            WHO => {
                let badge = request.caller().badge;
                request.answer(&badge, Passing::new());
            }
            _ => {
                self.count.set(self.count.get() + 1);
                // A little later, as of one that waits for a disk.
                libprocess::sleep(Duration::from_micros(50)).await;
                request.answer(&self.count.get(), Passing::new());
            }
        }
    }
}

struct Hands(Rc<Cell<u64>>, Notes);

impl Hooks for Hands {
    async fn hand_over(&self) -> Vec<u8> {
        self.1.note("hands over");
        self.0.get().to_le_bytes().to_vec()
    }
    async fn resumed(&self) {
        self.1.note("goes on");
    }
}

async fn counter(process: Process, notes: Notes) -> Result<(), String> {
    let endpoint = process.capability("endpoint").map_err(|missing| missing.to_string())?;
    let count = Rc::new(Cell::new(0));
    match process.take_over().await.map_err(|error| error.to_string())? {
        Some(state) => {
            count.set(u64::from_le_bytes(state.try_into().map_err(|_| "a count has 8 bytes")?));
            notes.note("takes over");
        }
        None => notes.note("begins"),
    }
    process.ready().await.map_err(|error| error.to_string())?;
    let counter = Counter { count: count.clone(), notes: notes.clone() };
    libprocess::serve_with(endpoint, counter, Hands(count, notes)).await.map_err(|error| error.to_string())
}

fn system(seed: u64) -> System {
    let text = manifest(&[entry("store").with("stop-timeout = \"300 ms\"\nready-timeout = \"1 s\"")], STORE);
    System::new(seed, &text).image("store", counter)
}

async fn count(store: &Connection) -> Result<u64, ClientError<Infallible>> {
    store.call(COUNT, &(), Passing::new()).await.map(|(count, _)| count)
}

/// Upgrades the store and waits until that is over.
async fn upgrade(session: &Session, image: &str) -> UpgradeState {
    session.control.upgrade("store", &ImageSource::Boot(image.to_string()), None).await.unwrap();
    over(session).await
}

async fn over(session: &Session) -> UpgradeState {
    loop {
        match session.control.status("store").await.unwrap().upgrade {
            UpgradeState::UnderWay => libprocess::sleep(Duration::from_millis(1)).await,
            state => return state,
        }
    }
}

#[test]
fn what_is_handed_over_is_there_and_no_call_fails() {
    for_seeds(0..20, |seed| {
        let system = system(seed).image("second", counter).session(|session| async move {
            let store = session.connect("store");
            for number in 1..=30 {
                assert_eq!(count(&store).await, Ok(number));
                if number % 10 == 0 {
                    let image = if number == 20 { "" } else { "second" };
                    // It has begun and is not waited for: the next calls come in the middle of it.
                    session.control.upgrade("store", &ImageSource::Boot(image.to_string()), None).await.unwrap();
                }
            }
            assert_eq!(over(&session).await, UpgradeState::Done);
            let status = session.control.status("store").await.unwrap();
            assert_eq!((status.state, status.restarts, status.image.as_str()), (State::Up, 0, "second"));
            assert_eq!(status.version, simulated::image_hash("second").map(|byte| format!("{byte:02x}")).concat());
            session.control.kill("store").await.unwrap();
            assert_eq!(count(&store).await, Ok(1));
            assert_eq!(session.control.status("store").await.unwrap().image, "second", "it is what is started again");
        });
        let system = system.ends_with(0);
        assert_eq!(system.notes.count("takes over"), 3);
        assert_eq!(system.notes.count("goes on"), 0);
        assert_eq!(system.told().lines().count(), 1, "of the one that was killed: {}", system.told());
    });
}

#[test]
fn a_service_that_asks_for_nothing_is_upgraded_too() {
    for_seeds(0..20, |seed| {
        let text = manifest(&[entry("store")], STORE);
        let system = System::new(seed, &text).service("store").session(|session| async move {
            let store = session.connect("store");
            for _ in 0..3 {
                session.control.upgrade("store", &ImageSource::Boot(String::new()), None).await.unwrap();
                for _ in 0..5 {
                    assert_eq!(who(&store).await, Ok(7));
                }
                assert_eq!(over(&session).await, UpgradeState::Done);
            }
        });
        assert_eq!(system.ends_with(0).notes.count("store starts"), 4);
    });
}

#[test]
fn whatever_is_wrong_with_the_new_image_the_old_one_goes_on_and_the_reason_is_told() {
    let cases = [
        ("ends", "exited with code 3 before it was ready"),
        ("deaf", "not ready after 1000 ms"),
        ("takes-and-ends", "exited with code 4 before it was ready"),
        ("takes-and-hangs", "not ready after 1000 ms"),
        ("takes-and-fails", "it cannot read that"),
        ("takes-and-spins", "not ready after 1000 ms"),
    ];
    for (image, reason) in cases {
        for_seeds(0..5, |seed| {
            let system = system(seed)
                .image("ends", async |_, _| libprocess::Exit(3))
                .image("deaf", async |_, _| deaf().await)
                .image("takes-and-ends", async |process: Process, _| {
                    process.take_over().await.unwrap();
                    libprocess::Exit(4)
                })
                .image("takes-and-hangs", async |process: Process, _| {
                    process.take_over().await.unwrap();
                    deaf().await;
                })
                .image("takes-and-fails", async |process: Process, _| {
                    process.take_over().await.unwrap();
                    process.failed("it cannot\nread that").await;
                    deaf().await;
                })
                .image("takes-and-spins", async |process: Process, _| {
                    process.take_over().await.unwrap();
                    simulated::spin().await;
                })
                .session(move |session| async move {
                    let store = session.connect("store");
                    assert_eq!(count(&store).await, Ok(1));
                    let before = session.control.status("store").await.unwrap().pid;
                    let UpgradeState::Failed(told) = upgrade(&session, image).await else { panic!("{image} serves") };
                    assert!(told.contains(reason), "{told}");
                    assert_eq!(count(&store).await, Ok(2), "what it had in memory is there");
                    let status = session.control.status("store").await.unwrap();
                    assert_eq!((status.pid, status.restarts, status.state), (before, 0, State::Up));
                    assert_eq!(status.image, "store");
                    // And it can be upgraded afterwards.
                    assert_eq!(upgrade(&session, "store").await, UpgradeState::Done);
                    assert_eq!(count(&store).await, Ok(3));
                });
            let system = system.ends_with(0);
            assert!(system.told().contains("store was not upgraded: ") && system.told().contains(reason));
            assert_eq!(system.notes.count("goes on"), usize::from(image.starts_with("takes")));
        });
    }
}

#[test]
fn a_call_that_takes_long_goes_on_after_an_upgrade_that_failed_and_ends_with_one_that_did_not() {
    for (image, expected) in [("takes-and-ends", Ok(1)), ("store", Err(ClientError::ServiceRestarted))] {
        let text = manifest(
            &[
                entry("store").with("stop-timeout = \"300 ms\""),
                entry("client")
                    .needs(&["store"])
                    .with("health = { misses = 0 }\nrestart = { policy = \"never\" }")
                    .gets(STORE),
            ],
            STORE,
        );
        let system = System::new(1, &text)
            .image("store", counter)
            .image("takes-and-ends", async |process: Process, _| {
                process.take_over().await.unwrap();
                libprocess::Exit(4)
            })
            .image("client", move |process, notes| async move {
                let store = Connection::new(process.capability("store").unwrap()).within(Duration::from_secs(60));
                process.ready().await.unwrap();
                let answer =
                    store.call::<_, u64, Infallible>(HANG, &(), Passing::new()).await.map(|(answer, _)| answer);
                assert_eq!(answer, expected);
                notes.note("answered");
            })
            .session(move |session| async move {
                while session.notes.count("hangs") == 0 {
                    libprocess::sleep(Duration::from_millis(1)).await;
                }
                upgrade(&session, image).await;
                assert!(count(&session.connect("store")).await.is_ok());
                libprocess::sleep(Duration::from_secs(21)).await;
            });
        assert_eq!(system.ends_with(0).notes.count("answered"), 1, "{image}");
    }
}

#[test]
fn a_service_that_does_not_let_go_keeps_its_place() {
    let text = manifest(&[entry("store").with("stop-timeout = \"300 ms\"\nhealth = { misses = 0 }")], STORE);
    let system = System::new(1, &text)
        .image("store", |process, _| async move {
            process.ready().await.unwrap();
            deaf().await;
        })
        .session(|session| async move {
            let UpgradeState::Failed(told) = upgrade(&session, "").await else { panic!("it is still there") };
            assert!(told.contains("did not let go within 300 ms"), "{told}");
            assert_eq!(session.control.status("store").await.unwrap().state, State::Up);
            session.control.kill("store").await.unwrap();
        });
    system.ends_with(0);
}

#[test]
fn what_is_no_order_to_upgrade_is_refused_with_the_reason() {
    let system = system(1).session(|session| async move {
        let refused = async |service: &str, source: ImageSource, from: Option<Cap<Region>>| match session
            .control
            .upgrade(service, &source, from)
            .await
        {
            Err(ClientError::Service(error)) => error,
            other => panic!("{other:?}"),
        };
        let region = |bytes: &[u8]| {
            let region = Cap::<Region>::create(session.process.quota(), 1).unwrap();
            region.write(0, bytes).unwrap();
            Some(region)
        };
        let boot = |name: &str| ImageSource::Boot(name.to_string());
        assert_eq!(refused("shop", boot(""), None).await, Error::NoSuchService);
        assert_eq!(refused("store", boot("shop"), None).await, Error::ImageNotFound("shop".to_string()));
        for (source, from) in [
            (boot(""), region(b"")),
            (ImageSource::Region(5), None),
            (ImageSource::Region(0), region(b"text")),
            (ImageSource::Region(u64::MAX), region(b"text")),
            (ImageSource::Region(4_097), region(b"text")),
            (ImageSource::Region(4), region(b"text")),
            (ImageSource::Region(4_096), region(&[0xFF; 4_096])),
        ] {
            let error = refused("store", source, from).await;
            assert!(matches!(&error, Error::InvalidImage(reason) if !reason.is_empty()), "{error:?}");
        }
        assert_eq!(session.control.status("store").await.unwrap().upgrade, UpgradeState::None);
        // One at a time, and meanwhile no other order.
        session.control.upgrade("store", &boot(""), None).await.unwrap();
        assert_eq!(refused("store", boot(""), None).await, Error::Upgrading);
        assert_eq!(session.control.stop("store").await, Err(ClientError::Service(Error::Upgrading)));
        assert_eq!(over(&session).await, UpgradeState::Done);
        session.control.stop("store").await.unwrap();
        assert_eq!(refused("store", boot(""), None).await, Error::NotRunning);
    });
    system.ends_with(0);
}

#[test]
fn an_image_in_memory_is_what_serves_then_and_its_hash_is_told() {
    let system = system(1).session(|session| async move {
        let executable = simulated::executable("store");
        let region = Cap::<Region>::create(session.process.quota(), 1).unwrap();
        region.write(0, &executable).unwrap();
        let source = ImageSource::Region(executable.len() as u64);
        session.control.upgrade("store", &source, Some(region)).await.unwrap();
        assert_eq!(over(&session).await, UpgradeState::Done);
        let status = session.control.status("store").await.unwrap();
        assert_eq!(status.version, simulated::image_hash("store").map(|byte| format!("{byte:02x}")).concat());
        session.control.kill("store").await.unwrap();
        assert_eq!(count(&session.connect("store")).await, Ok(1), "init keeps it");
    });
    system.ends_with(0);
}

#[test]
fn the_machine_can_be_turned_off_at_any_time_of_an_upgrade() {
    for wait in 0..60 {
        let system = system(wait).session(move |session| async move {
            session.control.upgrade("store", &ImageSource::Boot(String::new()), None).await.unwrap();
            libprocess::sleep(Duration::from_micros(wait * 7)).await;
            session.control.shutdown(5).await.unwrap();
        });
        let system = system.ends_with(5);
        assert!(system.simulation.now() < 3_000_000_000, "nobody waits for a time-out of minutes");
    }
}

#[test]
fn whoever_traps_while_it_is_upgraded_again_and_again_the_machine_ends_when_its_session_does() {
    for_seeds(0..80, |seed| {
        let text = manifest(
            &[
                entry("store").with(
                    "restart = { policy = \"always\", initial = \"1 ms\", limit = 100 }\nstop-timeout = \"50 ms\"",
                ),
                entry("web").phase(2).needs(&["store"]),
            ],
            STORE,
        );
        let mut system = System::new(seed, &text)
            .image("store", counter)
            .service("web")
            .session(|session| async move {
                let store = session.connect("store");
                for _ in 0..10 {
                    let _ = session.control.upgrade("store", &ImageSource::Boot(String::new()), None).await;
                    let _ = count(&store).await;
                    libprocess::sleep(Duration::from_millis(3)).await;
                }
                over(&session).await;
                for _ in 0..20 {
                    if count(&store).await.is_ok() {
                        return libprocess::Exit(0);
                    }
                }
                libprocess::Exit(9)
            })
            .machine(|machine| machine.random_traps("store", 15, 6).random_traps("web", 20, 2));
        let end = system.simulation.run();
        assert_eq!(end, simulated::End::PowerOff(0), "seed {seed}: {}", system.told());
        system.simulation.check();
    });
}
