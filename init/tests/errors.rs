//! Every method of control and of the registry is seen to succeed and to answer each error that `wit/init.wit` names
//! of it, and no other. What else each does is in the other tests.

mod common;

use common::{Session, System, entry, manifest};
use libprocess::interfaces::init::control::ImageSource;
use libprocess::interfaces::init::{control, registry};
use libprocess::{Cap, ClientError, Connection, Endpoint, Process, Rights};
use simulated::Outcomes;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Services: `web` needs `store`; `once` never comes up; `large` leaves no room in its quota for a second process;
/// `deaf` lets go of nothing, so an upgrade of it takes its time.
fn system() -> System {
    let once = entry("once").with("restart = { policy = \"never\" }");
    let deaf = entry("deaf").with("stop-timeout = \"300 ms\"\nhealth = { misses = 0 }");
    let web = entry("web").phase(2).needs(&["store"]);
    let text = manifest(&[entry("store"), web, once, deaf, entry("large")], "");
    let (before, after) = text.split_once("name = \"large\"").unwrap();
    let after = after.replacen("memory = \"1 MiB\"", "memory = \"400 KiB\"", 1);
    System::new(1, &format!("{before}name = \"large\"{after}"))
        .service("store")
        .service("web")
        .service("large")
        .image("once", |_, _| async { libprocess::Exit(9) })
        .image("deaf", |process, _| async move {
            process.ready().await.unwrap();
            common::deaf().await;
        })
}

/// A capability of `other`'s interface where one of this is needed.
fn of(other: &Connection) -> Cap<Endpoint> {
    other.endpoint().derive(Rights::ALL).unwrap()
}

#[test]
fn every_method_of_control_succeeds_and_answers_each_of_its_errors() {
    let seen = Outcomes::default();
    let noted = seen.clone();
    system()
        .session(move |session| {
            let seen = noted.clone();
            async move {
                let control = &*session.control;
                seen.note("status", control.status("store").await);
                seen.note("list", control.list().await);
                seen.note("processes", control.processes().await);
                seen.note("inspect", control.inspect("store").await);
                seen.note("inspect", control.inspect("once").await);

                seen.note("start", control.start("store").await);
                seen.note("start", control.start("once").await);
                seen.note("restart", control.restart("once").await);
                seen.note("kill", control.kill("once").await);
                seen.note("stop", control.stop("once").await);
                seen.note("upgrade", control.upgrade("once", &boot(""), None).await);
                seen.note("stop", control.stop("web").await);
                seen.note("start", control.start("web").await);
                seen.note("kill", control.kill("web").await);
                libprocess::sleep(Duration::from_secs(1)).await;
                seen.note("stop", control.stop("web").await);
                seen.note("stop", control.stop("store").await);
                seen.note("start", control.start("web").await);
                seen.note("restart", control.restart("web").await);
                seen.note("restart", control.restart("store").await);

                seen.note("upgrade", control.upgrade("store", &boot("shop"), None).await);
                seen.note("upgrade", control.upgrade("store", &ImageSource::Region(4), None).await);
                seen.note("upgrade", control.upgrade("large", &boot(""), None).await);
                seen.note("upgrade", control.upgrade("store", &boot(""), None).await);
                // What is being upgraded.
                control.upgrade("deaf", &boot(""), None).await.unwrap();
                seen.note("upgrade", control.upgrade("deaf", &boot(""), None).await);
                seen.note("start", control.start("deaf").await);
                seen.note("stop", control.stop("deaf").await);
                seen.note("restart", control.restart("deaf").await);

                // Of no service, and through a capability of another interface.
                let stranger = control::Client::new(of(session.registry.connection()));
                for (control, service) in [(control, "shop"), (&stranger, "store")] {
                    each(&seen, control, service).await;
                }
                seen.note("list", stranger.list().await);
                seen.note("processes", stranger.processes().await);
                seen.note("shutdown", stranger.shutdown(0).await);

                seen.note("shutdown", control.shutdown(0).await);
                seen.note("start", control.start("store").await);
                seen.note("stop", control.stop("store").await);
                seen.note("restart", control.restart("store").await);
                seen.note("kill", control.kill("store").await);
                seen.note("upgrade", control.upgrade("store", &boot(""), None).await);
                session.process.stop_requested().await;
            }
        })
        .ends_with(0);
    of_a_full_table(&seen, &Outcomes::default());
    seen.are(control::ERRORS, &[]);
}

fn boot(name: &str) -> ImageSource {
    ImageSource::Boot(name.to_string())
}

async fn each(seen: &Outcomes, control: &control::Client, service: &str) {
    seen.note("start", control.start(service).await);
    seen.note("stop", control.stop(service).await);
    seen.note("restart", control.restart(service).await);
    seen.note("kill", control.kill(service).await);
    seen.note("status", control.status(service).await);
    seen.note("inspect", control.inspect(service).await);
    seen.note("upgrade", control.upgrade(service, &boot(""), None).await);
}

#[test]
fn every_method_of_the_registry_succeeds_and_answers_each_of_its_errors() {
    let seen = Outcomes::default();
    let noted = seen.clone();
    let registers = r#"{ name = "registry", of = "init:registry", rights = ["send", "grant"] },"#;
    let text = manifest(&[entry("store").gets(registers)], "");
    System::new(1, &text)
        .image("store", |process, _| async move {
            let registry = registry::Client::new(process.capability("registry").unwrap());
            let endpoint = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
            registry.register("taken", 1, endpoint).await.unwrap();
            process.ready().await.unwrap();
            common::deaf().await;
        })
        .session(move |session: Session| {
            let seen = noted.clone();
            async move {
                let registry = &*session.registry;
                let endpoint = || Cap::<Endpoint>::create(session.process.quota(), 1).unwrap();
                seen.note("register", registry.register("A name", 1, endpoint()).await);
                seen.note("register", registry.register("taken", 1, endpoint()).await);
                let deaf = endpoint().derive(Rights::RECEIVE).unwrap();
                seen.note("register", registry.register("own", 1, deaf).await);
                let own = endpoint();
                seen.note("register", registry.register("own", 2, own.derive(Rights::ALL).unwrap()).await);
                seen.note("lookup", registry.lookup("own", 2).await);
                seen.note("lookup", registry.lookup("own", 1).await);
                seen.note("lookup", registry.lookup("nobody", 0).await);
                seen.note("unregister", registry.unregister("nobody").await);
                seen.note("unregister", registry.unregister("taken").await);
                seen.note("list", registry.list().await);
                for number in 1..32 {
                    registry.register(&format!("n{number}"), 1, own.derive(Rights::ALL).unwrap()).await.unwrap();
                }
                seen.note("register", registry.register("more", 1, endpoint()).await);
                seen.note("unregister", registry.unregister("own").await);

                let stranger = registry::Client::new(of(session.control.connection()));
                seen.note("register", stranger.register("a", 1, endpoint()).await);
                seen.note("lookup", stranger.lookup("a", 0).await);
                seen.note("unregister", stranger.unregister("a").await);
                seen.note("list", stranger.list().await);
            }
        })
        .ends_with(0);
    of_a_full_table(&Outcomes::default(), &seen);
    seen.are(registry::ERRORS, &[]);
}

/// What is full is init's own table of capabilities: it takes up whatever room there is, then lets go of it.
fn of_a_full_table(of_control: &Outcomes, of_registry: &Outcomes) {
    async fn take_up_room(process: Process, full: Rc<Cell<bool>>) {
        until(|| full.get()).await;
        let endpoint = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
        let taken: Vec<_> = std::iter::from_fn(|| endpoint.derive(Rights::NONE).ok()).collect();
        until(|| !full.get()).await;
        drop(taken);
    }

    async fn until(reached: impl Fn() -> bool) {
        while !reached() {
            libprocess::sleep(Duration::from_millis(1)).await;
        }
    }

    let full = Rc::new(Cell::new(false));
    let is_full = full.clone();
    let (of_control, of_registry) = (of_control.clone(), of_registry.clone());
    System::new(1, &manifest(&[entry("store").with("public = true")], ""))
        .machine(|machine| {
            machine.image("init", move |process: Process| {
                libprocess::spawn(take_up_room(process.clone(), is_full.clone()));
                init::main(process)
            })
        })
        .service("store")
        .session(move |session| {
            let (of_control, of_registry, full) = (of_control.clone(), of_registry.clone(), full.clone());
            async move {
                let own = Cap::<Endpoint>::create(session.process.quota(), 1).unwrap();
                session.registry.register("own", 1, own).await.unwrap();
                full.set(true);
                libprocess::sleep(Duration::from_millis(5)).await;
                of_control.note("inspect", session.control.inspect("store").await);
                for name in ["own", "store"] {
                    let refused = session.registry.lookup(name, 0).await;
                    assert!(matches!(refused, Err(ClientError::Service(registry::Error::LimitExceeded))), "{name}");
                    of_registry.note("lookup", refused);
                }
                full.set(false);
                libprocess::sleep(Duration::from_millis(5)).await;
                session.registry.lookup("own", 0).await.unwrap();
            }
        })
        .ends_with(0);
}
