//! The manifest that is built in, with the real services: what the session can do, and
//! what it cannot.

use libprocess::abi::Rights;
use libprocess::interfaces::init::control;
use libprocess::interfaces::process::lifecycle;
use libprocess::interfaces::storage::{files, namespaces, types};
use libprocess::{Cap, ClientError, Device, Endpoint, Exit, Process, Report};
use simulated::{End, Simulation};
use std::future::Future;

/// A machine with the real services, and this as the image `session` or `shell`.
fn machine<F, R>(image: &str, main: F) -> Simulation
where
    F: Fn(Process) -> R + 'static,
    R: Future + 'static,
    R::Output: Report,
{
    Simulation::new(1)
        .image("init", init::main)
        .image("process", process::main)
        .image("storage", storage::main)
        .image(image, main)
        .image("hello", |_| async { Exit(9) })
        .first("init", &[])
}

/// A request for a boot image with the default limits.
fn boot(image: &str) -> lifecycle::Request {
    lifecycle::Request {
        name: String::new(),
        source: lifecycle::Source::Boot(image.into()),
        arguments: vec![],
        environment: vec![],
        grants: vec![],
        limits: lifecycle::Limits {
            memory: 0,
            kernel_memory: 0,
            processor_time: 0,
            capabilities: 0,
            queued_messages: 0,
        },
    }
}

#[track_caller]
fn ends(mut simulation: Simulation, status: u64) -> Simulation {
    let end = simulation.run();
    assert_eq!(simulation.panics(), [], "{:?}", simulation.debug_output());
    assert_eq!(end, End::PowerOff(status), "{:?}", simulation.debug_output());
    simulation.check();
    simulation
}

#[test]
fn the_shell_has_what_it_needs_to_work() {
    let simulation = machine("shell", |process: Process| async move {
        let control = control::Client::new(process.capability("init").unwrap());
        let up = control.list().await.unwrap();
        assert!(up.iter().all(|service| service.state == control::State::Up));
        assert!(process.capability::<Device>("entropy").unwrap().read(0).is_ok());
        assert!(process.console().is_ok());
        let log = process.capability::<libprocess::Log>("log").unwrap();
        assert_eq!(log.inspect().unwrap().rights, Rights::READ);

        let processes = lifecycle::Client::new(process.capability("process").unwrap());
        let pid = processes.spawn(&boot("hello"), None, vec![]).await.unwrap();
        assert_eq!(processes.wait(pid, None).await.unwrap().code, 9);

        let files = files::Client::new(process.capability("storage").unwrap());
        files.replace("greeting", b"hello").await.unwrap();
        control.kill("storage").await.unwrap();
        assert_eq!(files.read("greeting", 0, 100).await.unwrap().bytes, b"hello");
    });
    ends(simulation, 0);
}

#[test]
fn a_users_program_has_storage_of_its_own_and_no_power_over_the_system() {
    let simulation = machine("session", |process: Process| async move {
        for name in ["init", "log", "device:disk", "disk", "device:power"] {
            assert!(process.capability::<Endpoint>(name).is_err(), "{name}");
        }
        let storage = process.capability::<Endpoint>("storage").unwrap();
        let spaces = namespaces::Client::new(storage.derive(Rights::ALL).unwrap());
        let denied = spaces.subspace("other", namespaces::Access::READ).await;
        assert!(matches!(denied, Err(ClientError::Service(types::Error::PermissionDenied))), "{denied:?}");
        files::Client::new(storage).replace("note", b"milk").await.unwrap();
        let processes = lifecycle::Client::new(process.capability("process").unwrap());
        assert!(processes.list(0).await.unwrap().is_empty());
        assert_eq!(libprocess::system::info().unwrap().name.as_str(), "notes");
    });
    let first = ends(simulation.environment("image-name:session", "notes"), 0);

    // The shell finds it under that name, in the next boot too.
    let simulation = machine("shell", |process: Process| async move {
        let storage = process.capability::<Endpoint>("storage").unwrap();
        let spaces = namespaces::Client::new(storage);
        let notes: Cap<Endpoint> = spaces.subspace("notes", namespaces::Access::READ).await.unwrap();
        assert_eq!(files::Client::new(notes).read("note", 0, 100).await.unwrap().bytes, b"milk");
    });
    ends(simulation.boot_again(first.halt()), 0);
}

#[test]
fn a_name_that_a_service_has_is_not_given_to_the_session() {
    let simulation = machine("session", |_| async {
        assert_eq!(libprocess::system::info().unwrap().name.as_str(), "session");
    });
    ends(simulation.environment("image-name:session", "storage"), 0);
}

#[test]
fn without_its_storage_a_users_program_is_not_started_and_the_machine_says_why() {
    let simulation = machine("session", |_| async {}).random_traps("storage", 1, 100);
    let simulation = ends(simulation, 70);
    let told = format!("{:?}", simulation.debug_output());

    assert!(told.contains("it is disabled"), "{told}");
    assert!(told.contains("session is not started: storage, which it needs, is not there"), "{told}");
}

#[test]
fn at_an_orderly_end_programs_in_the_background_are_asked_to_end() {
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = asked.clone();
    let simulation = machine("shell", |process: Process| async move {
        let processes = lifecycle::Client::new(process.capability("process").unwrap());
        for image in ["notes", "notes", "hello"] {
            processes.spawn(&boot(image), None, vec![]).await.unwrap();
        }
        libprocess::sleep(std::time::Duration::from_millis(1)).await;
    });
    let simulation = simulation.image("notes", move |process: Process| {
        let counted = counted.clone();
        async move {
            process.stop_requested().await;
            counted.set(counted.get() + 1);
        }
    });
    let simulation = ends(simulation, 0);
    assert_eq!(asked.get(), 2);
    assert!(simulation.now() < 500_000_000, "nobody was waited for in vain");
}

#[test]
fn one_that_does_not_listen_holds_the_end_up_for_half_a_second() {
    let simulation = machine("shell", |process: Process| async move {
        let processes = lifecycle::Client::new(process.capability("process").unwrap());
        processes.spawn(&boot("notes"), None, vec![]).await.unwrap();
    });
    let day = std::time::Duration::from_secs(86_400);
    let simulation = ends(simulation.image("notes", move |_| libprocess::sleep(day)), 0);
    assert!((500_000_000..1_000_000_000).contains(&simulation.now()));
}
