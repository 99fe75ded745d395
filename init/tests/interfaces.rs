//! init's interfaces: every method's success and each of its errors.

mod common;

use common::{Session, System, entry, manifest, who};
use libprocess::abi::Rights;
use libprocess::interfaces::init::{control, readiness, registry};
use libprocess::{Cap, ClientError, Connection, Endpoint, FOREVER, Inbox, Notification};
use std::future::Future;

const STORE: &str = r#"{ name = "store", of = "service:store", rights = ["send", "grant"] },"#;

fn refused<T, E>(result: Result<T, ClientError<E>>) -> E {
    match result {
        Err(ClientError::Service(error)) => error,
        Err(_) => panic!("the service did not answer"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Runs a session beside `store` and `web`, which needs it, and `once`, which is never
/// started again and does not come up.
#[track_caller]
fn session<F: Future<Output = ()> + 'static>(main: impl Fn(Session) -> F + 'static) -> System {
    let text = manifest(
        &[
            entry("store").with("restart = { policy = \"always\" }"),
            entry("web").phase(2).needs(&["store"]),
            entry("once").with("restart = { policy = \"never\" }"),
        ],
        STORE,
    );
    System::new(1, &text)
        .service("store")
        .service("web")
        .image("once", |_, _| async { libprocess::Exit(9) })
        .session(main)
        .ends_with(0)
}

#[test]
fn list_and_status_tell_how_services_are() {
    session(|session| async move {
        let all = session.control.list().await.unwrap();
        let brief: Vec<_> = all.iter().map(|s| (s.name.as_str(), s.phase, s.state)).collect();
        assert_eq!(
            brief,
            [("store", 1, control::State::Up), ("web", 2, control::State::Up), ("once", 1, control::State::Failed)]
        );
        assert_eq!(all[1].needs, ["store"]);
        assert_eq!(all[2].last_end, "exited with code 9 before it was ready");
        assert_eq!(all[2].pid, 0);
        for mut status in all {
            let again = session.control.status(&status.name).await.unwrap();
            assert_eq!(again.uptime > 0, status.pid > 0);
            status.uptime = again.uptime;
            assert_eq!(again, status);
        }
        assert_eq!(refused(session.control.status("shop").await), control::Error::NoSuchService);
    });
}

#[test]
fn processes_are_init_the_services_and_the_session() {
    session(|session| async move {
        let own = libprocess::system::info().unwrap();
        let all = session.control.processes().await.unwrap();
        let names: Vec<&str> = all.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["init", "store", "web", "no-once", "session"]);
        assert!(all.is_sorted_by_key(|p| p.pid));
        assert_eq!((all[0].pid, all[0].parent), (1, 0));
        assert!(!all[3].session, "what stands in for once is no session");
        assert_eq!((all[4].pid, all[4].parent, all[4].session), (own.serial, 1, true));
        assert!(all.iter().all(|p| p.capabilities > 0), "{all:?}");
        assert_eq!(all[1].pid, session.control.status("store").await.unwrap().pid);
    });
}

#[test]
fn inspect_gives_the_right_to_inspect_and_no_other() {
    session(|session| async move {
        for name in ["init", "store", "session"] {
            let process = session.control.inspect(name).await.unwrap();
            assert_eq!(process.inspect().unwrap().rights, Rights::INSPECT);
            assert_eq!(process.info().unwrap().name.as_str(), name);
            assert!(process.capability_at(0, 0).is_ok(), "its capabilities can be walked");
            assert_eq!(process.kill(0), Err(libprocess::Error::MissingRight));
        }
        assert_eq!(refused(session.control.inspect("once").await), control::Error::NotRunning);
        assert_eq!(refused(session.control.inspect("shop").await), control::Error::NoSuchService);
    });
}

#[test]
fn stop_keeps_a_service_down_until_start() {
    session(|session| async move {
        session.control.stop("store").await.unwrap();
        let status = session.control.status("store").await.unwrap();
        assert_eq!((status.state, status.pid), (control::State::Stopped, 0));
        assert_eq!(status.last_end, "exited with code 0");
        assert_eq!(refused(session.control.stop("store").await), control::Error::NotRunning);
        assert_eq!(refused(session.control.kill("store").await), control::Error::NotRunning);
        session.control.start("store").await.unwrap();
        assert_eq!(session.control.status("store").await.unwrap().state, control::State::Up);
        assert_eq!(who(&session.connect("store")).await, Ok(7));
        assert_eq!(refused(session.control.start("store").await), control::Error::AlreadyRunning);
    });
}

#[test]
fn what_is_needed_must_be_there() {
    session(|session| async move {
        session.control.stop("web").await.unwrap();
        session.control.stop("store").await.unwrap();
        let down = control::Error::DependencyDown("store".to_string());
        assert_eq!(refused(session.control.start("web").await), down);
        assert_eq!(refused(session.control.restart("web").await), down);
    });
}

#[test]
fn restart_gives_a_new_process_without_a_pause() {
    session(|session| async move {
        let before = session.control.status("store").await.unwrap();
        let then = libprocess::now();
        session.control.restart("store").await.unwrap();
        let after = session.control.status("store").await.unwrap();
        assert!(after.pid > before.pid && after.state == control::State::Up);
        assert!(libprocess::now() - then < 100_000_000);
        assert_eq!(who(&session.connect("store")).await, Ok(7));
    });
}

#[test]
fn one_that_does_not_come_up_is_told_with_its_reason() {
    session(|session| async move {
        let failed = control::Error::Failed("exited with code 9 before it was ready".to_string());
        assert_eq!(refused(session.control.start("once").await), failed);
        assert_eq!(refused(session.control.restart("once").await), failed);
    });
}

#[test]
fn orders_for_services_that_are_not_there_are_refused() {
    session(|session| async move {
        let control = &session.control;
        assert_eq!(refused(control.start("shop").await), control::Error::NoSuchService);
        assert_eq!(refused(control.stop("shop").await), control::Error::NoSuchService);
        assert_eq!(refused(control.restart("shop").await), control::Error::NoSuchService);
        assert_eq!(refused(control.kill("shop").await), control::Error::NoSuchService);
    });
}

#[test]
fn a_capability_of_another_interface_controls_nothing() {
    session(|session| async move {
        // The session's registry capability leads to the same endpoint.
        let registry = session.registry.connection().endpoint().derive(Rights::ALL).unwrap();
        let fake = control::Client::new(registry);
        let denied = control::Error::PermissionDenied;
        assert_eq!(refused(fake.start("store").await), denied);
        assert_eq!(refused(fake.stop("store").await), denied);
        assert_eq!(refused(fake.restart("store").await), denied);
        assert_eq!(refused(fake.kill("store").await), denied);
        assert_eq!(refused(fake.status("store").await), denied);
        assert_eq!(refused(fake.list().await), denied);
        assert_eq!(refused(fake.processes().await), denied);
        assert_eq!(refused(fake.inspect("store").await), denied);
        assert_eq!(refused(fake.shutdown(0).await), denied);
        assert_eq!(session.control.status("store").await.unwrap().state, control::State::Up);

        let control = session.control.connection().endpoint().derive(Rights::ALL).unwrap();
        let fake = registry::Client::new(control);
        let denied = registry::Error::PermissionDenied;
        let endpoint = Cap::<Endpoint>::create(session.process.quota(), 1).unwrap();
        assert_eq!(refused(fake.register("a", 1, endpoint).await), denied);
        assert_eq!(refused(fake.lookup("a", 0).await), denied);
        assert_eq!(refused(fake.unregister("a").await), denied);
        assert_eq!(refused(fake.list().await), denied);
    });
}

#[test]
fn nobody_can_say_that_a_service_is_ready_but_the_service() {
    let text =
        manifest(&[entry("store").with("ready-timeout = \"1 s\"\nrestart = { policy = \"never\" }"), entry("web")], "");
    System::new(1, &text)
        .image("store", |_, _| async { common::deaf().await })
        .image("web", |process, _| async move {
            process.ready().await.unwrap();
            process.ready().await.unwrap();
            common::deaf().await;
        })
        .session(|session| async move {
            let fake = readiness::Client::new(session.control.connection().endpoint().derive(Rights::ALL).unwrap());
            fake.ready().await.unwrap();
            fake.failed("no").await.unwrap();
            let states: Vec<_> = session.control.list().await.unwrap().iter().map(|s| s.state).collect();
            assert_eq!(states, [control::State::Failed, control::State::Up]);
        })
        .ends_with(0);
}

#[test]
fn shutdown_ends_everything_with_its_status_and_takes_no_more_orders() {
    let text = manifest(&[entry("store")], STORE);
    let system = System::new(1, &text)
        .service("store")
        .session(|session| async move {
            session.control.shutdown(42).await.unwrap();
            assert_eq!(refused(session.control.start("store").await), control::Error::ShuttingDown);
            assert_eq!(refused(session.control.stop("store").await), control::Error::ShuttingDown);
            assert_eq!(refused(session.control.restart("store").await), control::Error::ShuttingDown);
            assert_eq!(refused(session.control.kill("store").await), control::Error::ShuttingDown);
            session.process.stop_requested().await;
        })
        .ends_with(42);
    assert_eq!(system.notes.count("store has stopped"), 1);
}

#[test]
fn what_is_registered_is_found_to_send_with_ones_own_badge() {
    session(|session| async move {
        let endpoint = Cap::<Endpoint>::create(session.process.quota(), 4).unwrap();
        let own = endpoint.derive(Rights::ALL).unwrap();
        session.registry.register("notes/index", 3, endpoint).await.unwrap();
        for version in [0, 3] {
            let found = session.registry.lookup("notes/index", version).await.unwrap();
            let info = found.inspect().unwrap();
            assert_eq!((info.rights, info.badge), (Rights::SEND, 7));
            assert_eq!(info.object, own.inspect().unwrap().object);
        }
        let list = session.registry.list().await.unwrap();
        assert_eq!(list, [registry::Entry { name: "notes/index".into(), version: 3, owner: 7 }]);
        session.registry.unregister("notes/index").await.unwrap();
        assert_eq!(refused(session.registry.lookup("notes/index", 0).await), registry::Error::NotFound);
    });
}

#[test]
fn the_registry_refuses_what_it_must() {
    session(|session| async move {
        let (registry, quota) = (&session.registry, session.process.quota());
        let endpoint = || Cap::<Endpoint>::create(quota, 1).unwrap();
        assert_eq!(refused(registry.register("A name", 1, endpoint()).await), registry::Error::InvalidName);
        assert_eq!(refused(registry.register("store", 1, endpoint()).await), registry::Error::NameTaken);
        let badged = endpoint().derive_badged(Rights::SEND, 9).unwrap();
        assert_eq!(refused(registry.register("a", 1, badged).await), registry::Error::InvalidEndpoint);
        let deaf = endpoint().derive(Rights::RECEIVE).unwrap();
        assert_eq!(refused(registry.register("a", 1, deaf).await), registry::Error::InvalidEndpoint);
        let notification = Cap::<Notification>::create(quota).unwrap().erase().typed::<Endpoint>();
        assert_eq!(refused(registry.register("a", 1, notification).await), registry::Error::InvalidEndpoint);
        assert_eq!(refused(registry.lookup("a", 0).await), registry::Error::NotFound);
        assert_eq!(refused(registry.lookup("store", 0).await), registry::Error::NotFound, "it is not public");
        assert_eq!(refused(registry.unregister("a").await), registry::Error::NotFound);
        registry.register("a", 2, endpoint()).await.unwrap();
        assert_eq!(refused(registry.lookup("a", 1).await), registry::Error::VersionMismatch(2));
        for n in 1..32 {
            registry.register(&format!("n{n}"), 1, endpoint()).await.unwrap();
        }
        assert_eq!(refused(registry.register("more", 1, endpoint()).await), registry::Error::LimitExceeded);
    });
}

#[test]
fn a_taken_name_is_refused_to_others_and_free_again_when_its_endpoint_goes() {
    let registry = r#"{ name = "registry", of = "init:registry", rights = ["send", "grant"] },"#;
    let text = manifest(&[entry("store").with("restart = { policy = \"never\" }").gets(registry)], "");
    System::new(1, &text)
        .image("store", |process, _| async move {
            let registry = registry::Client::new(process.capability("registry").unwrap());
            let endpoint = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
            registry.register("index", 1, endpoint).await.unwrap();
            process.ready().await.unwrap();
            common::deaf().await;
        })
        .session(|session| async move {
            let endpoint = || Cap::<Endpoint>::create(session.process.quota(), 1).unwrap();
            assert_eq!(session.registry.list().await.unwrap()[0].owner, 100);
            assert_eq!(refused(session.registry.register("index", 1, endpoint()).await), registry::Error::NameTaken);
            assert_eq!(refused(session.registry.unregister("index").await), registry::Error::NameTaken);
            session.control.kill("store").await.unwrap();
            // The endpoint was paid for by the store's quota and has gone with it.
            libprocess::sleep(std::time::Duration::from_millis(5)).await;
            assert_eq!(refused(session.registry.lookup("index", 0).await), registry::Error::NotFound);
            session.registry.register("index", 1, endpoint()).await.unwrap();
        })
        .ends_with(0);
}

#[test]
fn a_public_service_is_found_by_its_name() {
    let text = manifest(&[entry("store").with("public = true")], "");
    System::new(1, &text)
        .service("store")
        .session(|session| async move {
            let store = Connection::new(session.registry.lookup("store", 0).await.unwrap());
            assert_eq!(store.endpoint().inspect().unwrap().rights, Rights::SEND);
            assert_eq!(who(&store).await, Ok(7));
        })
        .ends_with(0);
}

#[test]
fn whoever_receives_what_is_registered_hears_who_looked_it_up() {
    session(|session| async move {
        let endpoint = Cap::<Endpoint>::create(session.process.quota(), 4).unwrap();
        session.registry.register("bell", 1, endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
        let bell = session.registry.lookup("bell", 1).await.unwrap();
        bell.send(&libprocess::Outgoing::tag(5), FOREVER).await.unwrap();
        let mut inbox = Inbox::open(endpoint).unwrap();
        match inbox.next().await.unwrap() {
            libprocess::Incoming::Request(request) => assert_eq!(request.caller().badge, 7),
            other => panic!("{other:?}"),
        }
    });
}
