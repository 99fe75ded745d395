//! Every method of the interface is seen to succeed and to answer each error that `wit/process.wit` names of it, and
//! no other. What else each does is in the other tests.

use libprocess::abi::{Rights, info};
use libprocess::interfaces::process::lifecycle::{Client, ERRORS, Grant, Limits, Request, Source};
use libprocess::interfaces::storage::files;
use libprocess::{Cap, ClientError, Endpoint, Exit, Process, Region};
use simulated::{Access, End, Grant as Given, Outcomes, Stage};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const SMALL: Limits =
    Limits { memory: 1 << 20, kernel_memory: 192 << 10, processor_time: 0, capabilities: 64, queued_messages: 16 };
const OPERATOR: u64 = 1 << 62 | 2;
/// What the service may hold: a few processes.
const FEW: info::Limits = info::Limits { capabilities: 28, ..info::Limits::DEFAULT };

fn of(source: Source) -> Request {
    Request {
        name: String::new(),
        source,
        arguments: Vec::new(),
        environment: Vec::new(),
        grants: Vec::new(),
        limits: SMALL,
    }
}

fn boot(image: &str) -> Request {
    of(Source::Boot(image.to_string()))
}

fn stage() -> Stage {
    Stage::new(1)
        .simulation(|machine| machine.image("deaf", |_| libprocess::sleep(Duration::from_secs(86_400))))
        .service("process", process::main)
        .with(Given::image("deaf"))
}

fn endpoint(process: &Process, rights: Rights) -> Cap<Endpoint> {
    Cap::<Endpoint>::create(process.quota(), 4).unwrap().derive(rights).unwrap()
}

#[test]
fn every_method_succeeds_and_answers_each_of_its_errors() {
    let seen = Outcomes::default();
    methods(seen.clone());
    of_a_service_without_room(seen.clone());
    of_a_storage_service_that_fails(seen.clone());
    seen.are(ERRORS, &[]);
}

fn methods(seen: Outcomes) {
    stage()
        .client("client", async move |process: Process| {
            let service = Client::new(process.capability("process").unwrap());
            let other = Client::new(process.capability("other").unwrap());
            let pid = seen.note("spawn", service.spawn(&boot("deaf"), None, vec![]).await).unwrap();
            seen.note("spawn", service.spawn(&boot("nothing"), None, vec![]).await);
            seen.note("spawn", service.spawn(&of(Source::Image), None, vec![]).await);
            let junk = Cap::<Region>::create(process.quota(), 1).unwrap().erase();
            seen.note("spawn", service.spawn(&of(Source::Region(100)), Some(junk), vec![]).await);
            let bell = endpoint(&process, Rights::SEND).erase();
            let grants = vec![Grant { name: "bell".into(), rights: Rights::RECEIVE.0 }];
            seen.note("spawn", service.spawn(&Request { grants, ..boot("deaf") }, None, vec![bell]).await);
            let much = Limits { memory: 1 << 60, ..SMALL };
            seen.note("spawn", service.spawn(&Request { limits: much, ..boot("deaf") }, None, vec![]).await);

            seen.note("list", service.list(0).await);
            seen.note("get", service.get(pid).await);
            seen.note("usage", service.usage(pid).await);
            seen.note("inspect", service.inspect(pid).await);
            seen.note("wait", service.wait(pid, Some(1)).await);
            for (client, pid) in [(&service, 9999), (&other, pid)] {
                seen.note("get", client.get(pid).await);
                seen.note("terminate", client.terminate(pid, 0).await);
                seen.note("kill", client.kill(pid, 0).await);
                seen.note("wait", client.wait(pid, None).await);
                seen.note("usage", client.usage(pid).await);
                seen.note("inspect", client.inspect(pid).await);
            }

            let number = seen.note("subscribe", service.subscribe(endpoint(&process, Rights::SEND)).await).unwrap();
            seen.note("subscribe", service.subscribe(endpoint(&process, Rights::RECEIVE)).await);
            while seen.note("subscribe", service.subscribe(endpoint(&process, Rights::SEND)).await).is_some() {}
            seen.note("unsubscribe", service.unsubscribe(number).await);
            seen.note("unsubscribe", service.unsubscribe(number).await);

            // As many waits as one can have, given up or not, and one more; the others wait as before.
            let hasty = service.within(Duration::from_millis(1));
            for _ in 0..process::serve::MAX_WAITS_OF_ONE {
                assert_eq!(hasty.wait(pid, None).await.err(), Some(ClientError::TimedOut));
            }
            seen.note("wait", service.wait(pid, None).await);
            seen.note("kill", service.kill(pid, 3).await);
            seen.note("wait", service.wait(pid, None).await);
            let pid = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
            seen.note("terminate", service.terminate(pid, 1).await);
        })
        .with(Given::service("process").badge(2))
        .with(Given::service("process").badge(3).named("other"))
        .pass();
}

/// A table with no room: of the service, where a capability has to be made.
fn of_a_service_without_room(seen: Outcomes) {
    stage()
        .limits(FEW)
        .client("client", async move |process: Process| {
            let service = Client::new(process.capability("process").unwrap());
            let pid = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
            // What a process takes there first, then single capabilities.
            while service.spawn(&boot("deaf"), None, vec![]).await.is_ok() {}
            while service.subscribe(endpoint(&process, Rights::SEND)).await.is_ok() {}
            seen.note("inspect", service.inspect(pid).await);
        })
        .with(Given::service("process").badge(OPERATOR))
        .pass();
}

/// The disk of the storage service refuses to be read.
fn of_a_storage_service_that_fails(seen: Outcomes) {
    let broken = Rc::new(Cell::new(false));
    let (breaks, is_broken) = (broken.clone(), broken.clone());
    let (mut simulation, _) = Stage::new(1)
        .simulation(|machine| machine.image("four", |_| async { Exit(4) }))
        .service("storage", storage::main)
        .with(Given::device("disk"))
        .service("process", process::main)
        .with(Given::service("storage").rights(Rights::NONE))
        .client("client", async move |process: Process| {
            let service = Client::new(process.capability("process").unwrap());
            let files = files::Client::new(process.capability("storage").unwrap());
            // Longer than what lies beside its name.
            files.replace("four", &[4; 50_000]).await.unwrap();
            breaks.set(true);
            libprocess::sleep(Duration::from_millis(1)).await;
            let storage = files.connection().endpoint().derive(Rights::ALL).unwrap().erase();
            seen.note("spawn", service.spawn(&of(Source::Storage("four".into())), Some(storage), vec![]).await);
        })
        .with(Given::service("process").badge(2))
        .with(Given::service("storage").badge(0x407))
        .open();
    assert_eq!(simulation.run_until(|_| is_broken.get()), End::Reached);
    simulation.with_disk(|disk| disk.fail(Access::Read, 0..u64::MAX));
    assert_eq!(simulation.run(), End::PowerOff(0));
    assert_eq!(simulation.panics(), []);
}
