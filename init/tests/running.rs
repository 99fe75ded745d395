//! init on the simulation, with the real kernel and Axiom: it boots what the manifest says,
//! grants that and nothing else, starts again what ends, and ends in order.

mod common;

use common::{System, deaf, entry, hang, manifest, who};
use libprocess::client::Refusal;
use libprocess::interfaces::init::control;
use libprocess::{Cap, ClientError, Endpoint, Exit};
use simulated::for_seeds;
use std::time::Duration;

const STORE: &str = r#"{ name = "store", of = "service:store", rights = ["send", "grant"] },"#;
const BOTH: &str = r#"
    { name = "store", of = "service:store", rights = ["send", "grant"] },
    { name = "web", of = "service:web", rights = ["send"] },"#;

#[test]
fn services_come_up_in_phases_the_session_runs_and_all_stops_in_reverse_order() {
    for_seeds(0..20, |seed| {
        let text = manifest(&[entry("web").phase(2).needs(&["store"]), entry("store")], "");
        let system = System::new(seed, &text).service("store").service("web").session(|session| async move {
            session.notes.note("session runs");
            Exit(3)
        });
        let system = system.ends_with(3);
        let notes = system.notes.all();
        let expected = [
            "store starts",
            "web starts",
            "session runs",
            "web stops",
            "web has stopped",
            "store stops",
            "store has stopped",
        ];
        assert_eq!(notes, expected);
        assert_eq!(system.told(), "", "init says nothing unless something is wrong");
    });
}

#[test]
fn a_program_gets_exactly_what_its_manifest_says() {
    let text = manifest(&[entry("store")], STORE);
    System::new(1, &text)
        .service("store")
        .session(|session| async move {
            let mut found = session.own_capabilities();
            found.sort();
            let expected = [
                ("device", "read", 0),
                ("endpoint", "send+grant", 7),
                ("endpoint", "send+grant", 2 << 32 | 7),
                ("endpoint", "send+grant", 3 << 32 | 7),
                ("notification", "signal+wait", 0),
                ("quota", "inspect+split", 0),
            ];
            let expected: Vec<(String, String, u64)> =
                expected.iter().map(|(kind, rights, badge)| (kind.to_string(), rights.to_string(), *badge)).collect();
            assert_eq!(found, expected);
            assert_eq!(who(&session.connect("store")).await, Ok(7), "a service knows it by its badge");
        })
        .ends_with(0);
}

#[test]
fn what_init_has_not_got_is_an_error_that_names_the_line() {
    let extra = r#"{ name = "tape", of = "device:tape", rights = ["read"] },"#;
    let text = manifest(&[entry("store")], extra);
    let line = 1 + text.lines().position(|line| line.contains("device:tape")).unwrap();
    let system = System::new(1, &text).service("store").session(|_| async {}).ends_with(70);
    let told = system.told();
    assert!(told.contains(&format!("line {line}: init has no capability `device:tape`")), "{told}");
    assert!(system.notes.all().is_empty(), "nothing was started");
}

#[test]
fn what_is_optional_may_be_missing() {
    let extra = r#"{ name = "tape", of = "device:tape", rights = ["read"], optional = true },"#;
    let text = manifest(&[], extra);
    System::new(1, &text)
        .session(|session| async move {
            assert!(!session.process.capability_names().contains(&"tape".to_string()));
        })
        .ends_with(0);
}

#[test]
fn a_manifest_that_is_wrong_does_not_boot_and_says_where() {
    let system = System::new(1, "[[service]]\nname = 5\n").session(|_| async {}).ends_with(70);
    assert!(system.told().contains("system manifest, line 2"), "{}", system.told());
}

#[test]
fn a_missing_image_is_named() {
    let text = manifest(&[entry("store")], "");
    let system = System::new(1, &text).session(|_| async {}).ends_with(70);
    assert!(system.told().contains("there is no image `store`"), "{}", system.told());
    let system = System::new(1, &text).service("store").ends_with(70);
    assert!(system.told().contains("no image session"), "{}", system.told());
}

#[test]
fn an_image_must_have_the_hash_that_the_manifest_says() {
    let hash: String = simulated::image_hash("store").iter().map(|byte| format!("{byte:02x}")).collect();
    let text = manifest(&[entry("store").with("hash = \"HASH\"")], "");
    let right = text.replace("HASH", &hash);
    System::new(1, &right).service("store").session(|_| async {}).ends_with(0);
    let wrong = text.replace("HASH", &"0".repeat(64));
    let system = System::new(1, &wrong).service("store").session(|_| async {}).ends_with(70);
    assert!(system.told().contains("another hash"), "{}", system.told());
}

#[test]
fn the_session_gets_the_hosts_arguments_and_environment_but_not_inits_own() {
    System::new(1, &manifest(&[], ""))
        .machine(|machine| machine.first("init", &["-c", "ls"]).environment("TERM", "dumb"))
        .session(|session| async move {
            assert_eq!(session.process.arguments(), ["-c", "ls"]);
            assert_eq!(session.process.environment(), [("TERM".to_string(), "dumb".to_string())]);
        })
        .ends_with(0);
}

#[test]
fn a_killed_service_is_started_again_and_its_clients_go_on() {
    for_seeds(0..20, |seed| {
        let text = manifest(&[entry("store").with("restart = { policy = \"always\" }")], STORE);
        let system = System::new(seed, &text).service("store").session(|session| async move {
            let store = session.connect("store");
            assert_eq!(who(&store).await, Ok(7));
            let before = session.control.status("store").await.unwrap();
            let then = libprocess::now();
            session.control.kill("store").await.unwrap();
            // Queued while there is no process to receive it; its successor answers.
            assert_eq!(who(&store).await, Ok(7));
            assert!(libprocess::now() - then >= 100_000_000, "not before the pause");
            let after = session.control.status("store").await.unwrap();
            assert_eq!((after.state, after.restarts), (control::State::Up, 1));
            assert!(after.pid > before.pid);
            assert_eq!(after.last_end, "was killed");
        });
        let system = system.ends_with(0);
        assert_eq!(system.notes.count("store starts"), 2);
        assert!(system.told().contains("store was killed; it is started again in 100 ms"), "{}", system.told());
    });
}

#[test]
fn a_call_to_a_service_that_is_down_ends_at_once_and_says_how_it_is() {
    for_seeds(0..20, |seed| {
        let text = manifest(
            &[entry("store").with("restart = { policy = \"on-failure\" }"), entry("web").needs(&["store"])],
            BOTH,
        );
        System::new(seed, &text)
            .service("store")
            .service("web")
            .session(|session| async move {
                let (store, web) = (session.connect("store"), session.connect("web"));
                for _ in 0..2 {
                    assert_eq!(who(&store).await, Ok(7));
                    session.control.stop("store").await.unwrap();
                    let then = libprocess::now();
                    for _ in 0..3 {
                        assert_eq!(who(&store).await, Err(ClientError::Refused(Refusal::Stopped)));
                    }
                    assert!(libprocess::now() - then < 10_000_000, "nobody waits");
                    session.control.start("store").await.unwrap();
                    assert_eq!(who(&store).await, Ok(7), "the capability is as good as before");
                }
                session.control.stop("web").await.unwrap();
                session.control.stop("store").await.unwrap();
                assert_eq!(who(&web).await, Err(ClientError::Refused(Refusal::Stopped)));
                let refused = session.control.start("web").await;
                assert_eq!(refused, Err(ClientError::Service(control::Error::DependencyDown("store".to_string()))));
            })
            .ends_with(0);
    });
}

#[test]
fn a_call_that_waits_while_its_service_is_stopped_ends_when_it_has() {
    let text = manifest(&[entry("store").with("stop-timeout = \"1 s\"")], STORE);
    let system = System::new(1, &text)
        .image("store", |process, notes| async move {
            let endpoint = process.capability("endpoint").unwrap();
            process.ready().await.unwrap();
            notes.note("up");
            // It receives nothing, not even that it is to stop: that stays in the queue.
            let _endpoint: Cap<Endpoint> = endpoint;
            deaf().await;
        })
        .session(|session| async move {
            let control = session.control.clone();
            let stopped = control.within(Duration::from_millis(1)).stop("store").await;
            assert_eq!(stopped, Err(ClientError::TimedOut), "it takes its second");
            let store = session.connect("store");
            assert_eq!(who(&store).await, Err(ClientError::Refused(Refusal::Stopped)));
            assert_eq!(control.status("store").await.unwrap().state, control::State::Stopped);
        });
    system.ends_with(0);
}

#[test]
fn a_service_that_could_not_come_up_however_often_is_started_once() {
    let text = manifest(&[entry("store").with("restart = { policy = \"always\" }")], STORE);
    let system = System::new(1, &text)
        .image("store", |process, notes| async move {
            notes.note("starts");
            process.unable("the disk has something else on it").await;
            deaf().await;
        })
        .session(|session| async move {
            let store = session.connect("store");
            assert_eq!(who(&store).await, Err(ClientError::Refused(Refusal::Failed)));
            let status = session.control.status("store").await.unwrap();
            assert_eq!((status.state, status.restarts), (control::State::Failed, 0));
            assert_eq!(status.last_end, "failed: the disk has something else on it");
            // By order it is tried again.
            let failed = session.control.start("store").await;
            let reason = "failed: the disk has something else on it".to_string();
            assert_eq!(failed, Err(ClientError::Service(control::Error::Failed(reason))));
        });
    let system = system.ends_with(0);
    assert_eq!(system.notes.count("starts"), 2);
    assert!(system.told().contains("store failed: the disk has something else on it; it is not started again"));
}

#[test]
fn a_call_that_was_received_and_not_answered_ends_when_its_service_does() {
    let text = manifest(&[entry("store").with("restart = { policy = \"always\" }")], STORE);
    System::new(1, &text)
        .service("store")
        .session(|session| async move {
            let store = session.connect("store");
            // The store traps, as said below, when it goes to wait for the next message.
            assert_eq!(hang(&store).await, Err(ClientError::ServiceRestarted));
            assert_eq!(who(&store).await, Ok(7));
        })
        .machine(|machine| machine.trap_at("store", "receive", 2))
        .ends_with(0);
}

#[test]
fn those_that_need_a_service_are_told_how_it_fares() {
    let text = manifest(&[entry("store"), entry("web").needs(&["store"])], STORE);
    let system = System::new(1, &text).service("store").service("web").session(|session| async move {
        session.control.kill("store").await.unwrap();
        who(&session.connect("store")).await.unwrap();
        session.control.stop("store").await.unwrap();
        libprocess::sleep(Duration::from_millis(10)).await;
    });
    let system = system.ends_with(0);
    let heard: Vec<String> = system.notes.all().into_iter().filter(|note| note.contains("hears")).collect();
    let expected = ["Restarting", "Up", "Down"].map(|state| format!("web hears that store is {state} from 0"));
    assert_eq!(heard, expected);
}

#[test]
fn a_service_that_is_not_ready_in_time_has_failed() {
    let text = manifest(&[entry("store").with("ready-timeout = \"50 ms\"\nrestart = { policy = \"never\" }")], "");
    let system = System::new(1, &text)
        .image("store", |_, _| async { common::deaf().await })
        .session(|session| async move {
            let status = session.control.status("store").await.unwrap();
            assert_eq!(status.state, control::State::Failed);
            assert_eq!(status.pid, 0);
        })
        .ends_with(0);
    assert!(system.told().contains("not ready after 50 ms"), "{}", system.told());
}

#[test]
fn a_service_that_says_why_it_cannot_is_heard() {
    let text = manifest(&[entry("store").with("restart = { policy = \"never\" }")], "");
    let system = System::new(1, &text)
        .image("store", |process, _| async move {
            process.failed("the disk\nis corrupt").await;
            common::deaf().await;
        })
        .session(|_| async {})
        .ends_with(0);
    assert!(system.told().contains("store failed: the disk is corrupt"), "{}", system.told());
}

#[test]
fn a_service_that_keeps_ending_is_disabled_and_can_be_started_by_order() {
    let text = manifest(&[entry("store").with("restart = { policy = \"always\" }")], STORE);
    let system = System::new(1, &text).service("store").session(|session| async move {
        let store = session.connect("store");
        for _ in 0..5 {
            session.control.kill("store").await.unwrap();
            who(&store).await.unwrap();
        }
        session.control.kill("store").await.unwrap();
        libprocess::sleep(Duration::from_secs(30)).await;
        let status = session.control.status("store").await.unwrap();
        assert_eq!((status.state, status.restarts), (control::State::Disabled, 5));
        session.control.start("store").await.unwrap();
        assert_eq!(who(&store).await, Ok(7));
    });
    let system = system.ends_with(0);
    assert_eq!(system.notes.count("store starts"), 7);
    assert!(system.told().contains("it is disabled"), "{}", system.told());
}

#[test]
fn what_ended_gives_back_all_that_it_had() {
    // Far more in all than there is.
    let restart = "restart = { policy = \"always\", initial = \"1 ms\", max = \"1 ms\", limit = 100 }";
    let text = manifest(&[entry("store").with(restart)], STORE);
    let text = text.replacen("memory = \"1 MiB\", pages = \"1 MiB\"", "memory = \"200 MiB\", pages = \"2 GiB\"", 1);
    System::new(1, &text)
        .service("store")
        .session(|session| async move {
            let store = session.connect("store");
            for _ in 0..40 {
                session.control.kill("store").await.unwrap();
                assert_eq!(who(&store).await, Ok(7));
            }
        })
        .ends_with(0);
}

#[test]
fn a_service_that_uses_up_its_processor_time_has_failed() {
    let text = manifest(
        &[entry("store").with("limits = { processor-time = \"5 ms\" }\nrestart = { policy = \"never\" }")],
        "",
    );
    let system = System::new(1, &text).image("store", |_, _| simulated::spin()).session(|_| async {}).ends_with(0);
    assert!(system.told().contains("its processor time was used up"), "{}", system.told());
}

#[test]
fn a_service_that_does_not_stop_when_asked_is_killed() {
    let text = manifest(&[entry("store").with("stop-timeout = \"300 ms\"")], "");
    let system = System::new(1, &text)
        .image("store", |process, _| async move {
            process.ready().await.unwrap();
            common::deaf().await;
        })
        .session(|_| async {})
        .ends_with(0);
    assert!(system.told().contains("store did not stop within 300 ms"), "{}", system.told());
    assert!(system.simulation.now() >= 300_000_000);
}

#[test]
fn the_host_can_end_a_session_that_runs() {
    let text = manifest(&[entry("store")], "");
    let mut system = System::new(1, &text).service("store").session(|session| async move {
        session.notes.note("session runs");
        session.process.stop_requested().await;
        session.notes.note("session is asked to end");
    });
    let notes = system.notes.clone();
    system.simulation.run_until(|_| notes.count("session runs") == 1);
    system.simulation.request_end(130);
    let system = system.ends_with(130);
    let expected = ["store starts", "session runs", "session is asked to end", "store stops", "store has stopped"];
    assert_eq!(system.notes.all(), expected);
}

#[test]
fn a_session_that_crashes_ends_the_machine_in_order_with_a_status_of_its_own() {
    let text = manifest(&[entry("store")], "");
    let system = System::new(1, &text)
        .service("store")
        .session(|session| async move {
            session.notes.note("session runs");
            let _ = session.control.list().await;
        })
        .machine(|machine| machine.trap_at("session", "call", 1))
        .ends_with(139);
    assert!(system.told().contains("session was ended by a fault (WebAssembly trap)"), "{}", system.told());
    assert_eq!(system.notes.count("store has stopped"), 1);
}

#[test]
fn whatever_traps_the_machine_ends_when_its_session_does() {
    for_seeds(0..60, |seed| {
        let text = manifest(
            &[entry("store").with("restart = { policy = \"always\" }"), entry("web").phase(2).needs(&["store"])],
            STORE,
        );
        let mut system = System::new(seed, &text)
            .service("store")
            .service("web")
            .session(|session| async move {
                let store = session.connect("store");
                for _ in 0..10 {
                    let _ = who(&store).await;
                    libprocess::sleep(Duration::from_millis(20)).await;
                }
            })
            .machine(|machine| machine.random_traps("store", 20, 4).random_traps("web", 20, 3));
        let end = system.simulation.run();
        assert!(matches!(end, simulated::End::PowerOff(0 | 70)), "seed {seed}: {end:?}\n{}", system.told());
        system.simulation.check();
    });
}

/// What a service is asked to do that then never comes back to its loop.
const SPIN: u32 = 0xF002;

/// A service that comes to hang when it is asked to.
struct Spins;

impl libprocess::Dispatch for Spins {
    fn accepts(&self, number: u32) -> bool {
        number == SPIN || number == common::WHO
    }
    async fn dispatch(&self, request: libprocess::service::Request) {
        if request.number() == SPIN {
            simulated::spin().await;
        }
        let badge = request.caller().badge;
        request.answer(&badge, libprocess::wire::Passing::new());
    }
}

async fn spins(process: libprocess::Process, notes: common::Notes) -> Result<(), libprocess::Error> {
    let endpoint = process.capability("endpoint").unwrap();
    process.ready().await.unwrap();
    notes.note("up");
    libprocess::serve(endpoint, Spins).await
}

#[test]
fn a_service_that_hangs_is_ended_and_its_caller_does_not_wait_for_its_own_time_out() {
    for_seeds(0..10, |seed| {
        let text = manifest(&[entry("store")], STORE);
        let system = System::new(seed, &text).image("store", spins).session(|session| async move {
            let store = session.connect("store").within(Duration::from_secs(60));
            let then = libprocess::now();
            let hung =
                store.call::<_, u64, std::convert::Infallible>(SPIN, &(), libprocess::wire::Passing::new()).await;
            assert_eq!(hung.map(|(badge, _)| badge), Err(ClientError::ServiceRestarted));
            assert!(libprocess::now() - then < 6_000_000_000, "interval, and three times the time-out");
            assert_eq!(who(&store).await, Ok(7));
            let status = session.control.status("store").await.unwrap();
            assert_eq!((status.state, status.restarts), (control::State::Up, 1));
            assert_eq!(status.last_end, "failed: it runs, but did not answer 3 health checks");
        });
        let system = system.ends_with(0);
        assert!(system.told().contains("did not answer 3 health checks; it is started again"), "{}", system.told());
    });
}

#[test]
fn a_service_that_does_not_receive_is_unhealthy_before_it_is_ended() {
    let text =
        manifest(&[entry("store").with("health = { interval = \"1 s\", timeout = \"200 ms\", misses = 4 }")], "");
    let system = System::new(1, &text)
        .image("store", |process, notes| async move {
            notes.note("starts");
            process.ready().await.unwrap();
            deaf().await;
        })
        .session(|session| async move {
            let state = async || session.control.status("store").await.unwrap().state;
            assert_eq!(state().await, control::State::Up);
            libprocess::sleep(Duration::from_millis(1_300)).await;
            assert_eq!(state().await, control::State::Unhealthy);
            libprocess::sleep(Duration::from_millis(550)).await;
            assert_eq!(state().await, control::State::BackingOff);
        });
    let system = system.ends_with(0);
    assert!(system.told().contains("did not answer 4 health checks"), "{}", system.told());
}

#[test]
fn a_service_that_is_never_asked_may_hang() {
    let text = manifest(&[entry("store").with("health = { misses = 0 }")], "");
    let system = System::new(1, &text)
        .image("store", |process, _| async move {
            process.ready().await.unwrap();
            deaf().await;
        })
        .session(|session| async move {
            libprocess::sleep(Duration::from_secs(60)).await;
            assert_eq!(session.control.status("store").await.unwrap().state, control::State::Up);
        });
    assert_eq!(system.ends_with(0).told().lines().count(), 1, "that it did not stop when it was told to");
}

#[test]
fn a_service_that_waits_for_long_with_its_loop_free_is_well_and_says_what_there_is_to_say() {
    struct Says;
    impl libprocess::Hooks for Says {
        fn health(&self) -> String {
            "7 things\nto do".to_string()
        }
    }
    for_seeds(0..10, |seed| {
        let text = manifest(&[entry("store")], STORE);
        let system = System::new(seed, &text)
            .image("store", |process, notes| async move {
                let endpoint = process.capability("endpoint").unwrap();
                process.ready().await.unwrap();
                libprocess::serve_with(endpoint, common::Echo(notes, "store".to_string()), Says).await
            })
            .session(|session| async move {
                let store = session.connect("store").within(Duration::from_secs(30));
                assert_eq!(
                    hang(&store).await,
                    Err(ClientError::TimedOut),
                    "its own request hangs, the service does not"
                );
                let status = session.control.status("store").await.unwrap();
                assert_eq!((status.state, status.restarts), (control::State::Up, 0));
                assert_eq!(status.health, "7 things to do");
                assert!(status.uptime > 30_000_000_000);
                assert_eq!(status.version, simulated::image_hash("store").map(|byte| format!("{byte:02x}")).concat());
            });
        assert_eq!(system.ends_with(0).told(), "");
    });
}

#[test]
fn a_service_whose_queue_is_full_is_judged_by_whether_it_does_anything() {
    let text = manifest(
        &[entry("works").with("queue = 1"), entry("spins").with("queue = 1")],
        r#"
        { name = "works", of = "service:works", rights = ["send"] },
        { name = "spins", of = "service:spins", rights = ["send"] },"#,
    );
    let system = System::new(1, &text)
        .image("works", |process, _| async move {
            process.ready().await.unwrap();
            // So much was asked of it that it does not come to receive more.
            for _ in 0..1_000 {
                libprocess::sleep(Duration::from_millis(20)).await;
            }
        })
        .image("spins", |process, _| async move {
            process.ready().await.unwrap();
            simulated::spin().await;
        })
        .session(|session| async move {
            for name in ["works", "spins"] {
                session.connect(name).event(SPIN, &(), libprocess::wire::Passing::new()).await.unwrap();
            }
            libprocess::sleep(Duration::from_secs(10)).await;
            assert_eq!(session.control.status("works").await.unwrap().restarts, 0);
            assert_eq!(session.control.status("spins").await.unwrap().restarts, 1);
            assert_eq!(session.control.shutdown(0).await, Ok(()));
        });
    let system = system.ends_with(0);
    assert!(system.told().contains("spins failed: it runs, but did not answer 3 health checks"), "{}", system.told());
}

#[test]
fn an_order_to_stop_that_a_hung_service_left_unread_does_not_stop_its_successor() {
    for_seeds(0..10, |seed| {
        let text = manifest(&[entry("store").with("stop-timeout = \"300 ms\"")], STORE);
        let system = System::new(seed, &text)
            .image("store", |process, notes| async move {
                if notes.count("starts") == 0 {
                    notes.note("starts");
                    process.ready().await.unwrap();
                    deaf().await;
                }
                common::serve(process, notes, "store").await.unwrap();
            })
            .session(|session| async move {
                session.control.restart("store").await.unwrap();
                libprocess::sleep(Duration::from_secs(1)).await;
                assert_eq!(session.control.status("store").await.unwrap().state, control::State::Up);
                assert_eq!(who(&session.connect("store")).await, Ok(7));
            });
        let system = system.ends_with(0);
        assert!(system.told().contains("did not stop within 300 ms"), "{}", system.told());
    });
}
