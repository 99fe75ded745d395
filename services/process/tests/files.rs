//! Executables in files: read from the real storage service, with the requester's own
//! authority.

use libprocess::abi::Rights;
use libprocess::interfaces::process::lifecycle::{Client, Error, Limits, Reason, Request, Source};
use libprocess::interfaces::storage::files;
use libprocess::{Any, Cap, ClientError, Endpoint, Exit, Process};
use simulated::{Grant, Stage, executable};

const LIMITS: Limits =
    Limits { memory: 1 << 20, kernel_memory: 192 << 10, processor_time: 0, capabilities: 64, queued_messages: 16 };

fn file(path: &str) -> Request {
    Request {
        name: String::new(),
        source: Source::Storage(path.to_string()),
        arguments: Vec::new(),
        environment: Vec::new(),
        grants: Vec::new(),
        limits: LIMITS,
    }
}

fn refused<T>(result: Result<T, ClientError<Error>>) -> Error {
    match result {
        Err(ClientError::Service(error)) => error,
        Err(error) => panic!("the service did not answer: {error:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// The client's capability to the storage service, to pass it on.
fn pass(storage: &files::Client) -> Option<Cap<Any>> {
    Some(storage.connection().endpoint().derive(Rights::ALL).unwrap().erase())
}

fn stage() -> Stage {
    Stage::new(1)
        .simulation(|machine| machine.image("four", |_| async { Exit(4) }))
        .service("storage", storage::main)
        .with(Grant::device("disk"))
        .service("process", process::main)
        .with(Grant::service("storage").rights(Rights::NONE))
}

#[test]
fn a_file_is_started_and_named_after_its_path() {
    stage()
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let files = files::Client::new(process.capability("storage").unwrap());
            files.make_folder("bin").await.unwrap();
            files.replace("bin/my-app.wasm", &executable("four")).await.unwrap();
            let pid = service.spawn(&file("bin/my-app.wasm"), pass(&files), vec![]).await.unwrap();
            let end = service.wait(pid, None).await.unwrap();
            assert_eq!((end.reason, end.code), (Reason::Exited, 4));
            assert_eq!(service.get(pid).await.unwrap().name, "my-app");
        })
        .with(Grant::service("process").badge(2))
        .with(Grant::service("storage").badge(0x407))
        .pass();
}

#[test]
fn a_file_of_many_parts_is_read_whole() {
    stage()
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let files = files::Client::new(process.capability("storage").unwrap());
            // Zeros after it are part of no program here, so it is one still.
            files.replace("big", &executable("four")).await.unwrap();
            files.set_size("big", 200_000).await.unwrap();
            let pid = service.spawn(&file("big"), pass(&files), vec![]).await.unwrap();
            assert_eq!(service.wait(pid, None).await.unwrap().code, 4);
        })
        .with(Grant::service("process").badge(2))
        .with(Grant::service("storage").badge(0x407))
        .pass();
}

#[test]
fn files_that_are_not_there_or_no_programs_are_told() {
    stage()
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let files = files::Client::new(process.capability("storage").unwrap());
            files.replace("notes.txt", b"buy milk").await.unwrap();
            files.make_folder("folder").await.unwrap();
            files.open("empty", files::OpenMode::CREATE).await.unwrap();
            let spawn = async |path: &str| refused(service.spawn(&file(path), pass(&files), vec![]).await);
            assert_eq!(spawn("nothing").await, Error::ImageNotFound("nothing".into()));
            assert_eq!(spawn("notes.txt/x").await, Error::ImageNotFound("notes.txt/x".into()));
            assert!(matches!(spawn("notes.txt").await, Error::InvalidImage(_)));
            assert!(matches!(spawn("folder").await, Error::InvalidImage(_)));
            assert!(matches!(spawn("empty").await, Error::InvalidImage(_)));
            assert!(matches!(spawn("a/../b").await, Error::InvalidRequest(_)));
            assert_eq!(service.list(0).await.unwrap(), []);
        })
        .with(Grant::service("process").badge(2))
        .with(Grant::service("storage").badge(0x407))
        .pass();
}

#[test]
fn a_requester_starts_only_what_it_may_read_itself() {
    stage()
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let files = files::Client::new(process.capability("storage").unwrap());
            files.replace("four", &executable("four")).await.unwrap();
            // The same service, another namespace: nothing there.
            let apps = process.capability::<Endpoint>("apps").unwrap().erase();
            let error = refused(service.spawn(&file("four"), Some(apps), vec![]).await);
            assert_eq!(error, Error::ImageNotFound("four".into()));
            // The same namespace, without the right to read.
            let blind = process.capability::<Endpoint>("blind").unwrap().erase();
            let error = refused(service.spawn(&file("four"), Some(blind), vec![]).await);
            assert!(matches!(error, Error::PermissionDenied(_)), "{error:?}");
        })
        .with(Grant::service("process").badge(2))
        .with(Grant::service("storage").badge(0x407))
        .with(Grant::service("storage").badge(0x307).named("apps"))
        .with(Grant::service("storage").badge(0x402).named("blind"))
        .pass();
}

#[test]
fn a_storage_service_that_fails_is_told() {
    let stage = stage().simulation(|machine| machine.trap_at("storage", "device-submit", 20));
    stage
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let files = files::Client::new(process.capability("storage").unwrap());
            let mut failed = false;
            for round in 0..40 {
                let path = format!("four{round}");
                let put = files.replace(&path, &executable("four")).await;
                let spawned = service.spawn(&file(&path), pass(&files), vec![]).await;
                if put.is_err() || spawned.is_err() {
                    assert!(matches!(refused(spawned), Error::StorageFailed(_)));
                    failed = true;
                    break;
                }
            }
            assert!(failed, "the storage service was to end on the way");
        })
        .with(Grant::service("process").badge(2))
        .with(Grant::service("storage").badge(0x407))
        .pass();
}
