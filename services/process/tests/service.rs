//! The process service with the real kernel: every method's success and each of its
//! errors, and what its processes can and cannot do.

use libprocess::abi::{self, Kind, Rights};
use libprocess::interfaces::process::lifecycle::{Client, End, Error, Grant, Limits, Reason, Request, Source, State};
use libprocess::interfaces::process::process_events;
use libprocess::{Any, Cap, ClientError, Endpoint, Exit, Inbox, Incoming, Notification, Process, Region};
use process::events;
use simulated::{Grant as Given, Played, Stage, executable, for_seeds, spin};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

const OPERATOR: u64 = 1 << 62 | 2;

/// Small, since everything on a stage lives on 16 MiB.
const SMALL: Limits =
    Limits { memory: 1 << 20, kernel_memory: 192 << 10, processor_time: 0, capabilities: 64, queued_messages: 16 };

fn boot(image: &str) -> Request {
    Request {
        name: String::new(),
        source: Source::Boot(image.to_string()),
        arguments: Vec::new(),
        environment: Vec::new(),
        grants: Vec::new(),
        limits: SMALL,
    }
}

fn grant(name: &str) -> Grant {
    Grant { name: name.to_string(), rights: Rights::ALL.0 }
}

fn refused<T>(result: Result<T, ClientError<Error>>) -> Error {
    match result {
        Err(ClientError::Service(error)) => error,
        Err(error) => panic!("the service did not answer: {error:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// A stage with the service and images that it can start: `quick` (exit code 4), `waits`
/// (until it is asked to end), `deaf` (is not interested), `loops`.
fn stage(seed: u64) -> Stage {
    Stage::new(seed)
        .simulation(|machine| {
            machine
                .image("quick", |_| async { Exit(4) })
                .image("waits", |process| async move {
                    process.stop_requested().await;
                    Exit(5)
                })
                .image("deaf", |_| libprocess::sleep(Duration::from_secs(86_400)))
                .image("loops", |_| spin())
        })
        .service("process", process::main)
        .with(Given::image("quick"))
        .with(Given::image("waits"))
        .with(Given::image("deaf"))
        .with(Given::image("loops"))
}

/// Plays a client with badge 2 against the service.
#[track_caller]
fn client<F: Future<Output = ()> + 'static>(main: impl FnOnce(Process, Client) -> F + 'static) -> Played {
    with(stage(1), main)
}

#[track_caller]
fn with<F: Future<Output = ()> + 'static>(stage: Stage, main: impl FnOnce(Process, Client) -> F + 'static) -> Played {
    stage
        .client("client", |process| async move {
            let service = Client::new(process.capability("process").unwrap());
            main(process, service).await;
        })
        .with(Given::service("process").badge(2))
        .pass()
}

fn ended(reason: Reason, code: u64, end: End) {
    assert_eq!((end.reason, end.code), (reason, code));
}

#[test]
fn a_boot_image_is_started_and_its_end_is_told() {
    for_seeds(0..20, |seed| {
        with(stage(seed), |_, service| async move {
            let pid = service.spawn(&boot("quick"), None, Vec::new()).await.unwrap();
            ended(Reason::Exited, 4, service.wait(pid, None).await.unwrap());
            ended(Reason::Exited, 4, service.wait(pid, Some(0)).await.unwrap());
        });
    });
}

#[test]
fn a_process_gets_what_was_passed_on_and_nothing_else() {
    type Seen = Rc<RefCell<Vec<(String, Kind, Rights, u64)>>>;
    let seen = Seen::default();
    let noted = seen.clone();
    let stage = stage(1)
        .simulation(move |machine| {
            machine.image("child", move |process: Process| {
                let noted = noted.clone();
                async move {
                    assert_eq!(process.arguments(), ["a", "b"]);
                    assert_eq!(process.variable("TERM"), Some("dumb"));
                    let mut slot = 0;
                    while let Ok(info) = libprocess::system::inspect(slot, 0) {
                        noted.borrow_mut().push((String::new(), info.kind, info.rights, info.badge));
                        slot = info.handle.slot() + 1;
                    }
                    assert_eq!(process.capability_names(), ["bell", "half"]);
                }
            })
        })
        .service("starter", process::main)
        .with(Given::image("child"));
    stage
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("starter").unwrap());
            let bell = Cap::<Notification>::create(process.quota()).unwrap();
            let half = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
            let mut request = boot("child");
            request.arguments = vec!["a".into(), "b".into()];
            request.environment = vec![("TERM".into(), "dumb".into())];
            request.grants = vec![grant("bell"), Grant { name: "half".into(), rights: Rights::SEND.0 }];
            let passed = vec![
                bell.derive(Rights::SIGNAL).unwrap().erase(),
                half.derive_badged(Rights::SEND.or(Rights::GRANT), 9).unwrap().erase(),
            ];
            let pid = service.spawn(&request, None, passed).await.unwrap();
            ended(Reason::Exited, 0, service.wait(pid, None).await.unwrap());
        })
        .with(Given::service("starter").badge(2))
        .pass();
    let mut seen = seen.borrow().clone();
    seen.sort_by_key(|(_, kind, rights, _)| (*kind, *rights));
    let expected = [
        (Kind::Endpoint, Rights::SEND, 9),
        (Kind::Notification, Rights::SIGNAL, 0),
        (Kind::Notification, Rights::SIGNAL.or(Rights::WAIT), 0),
        (Kind::Quota, Rights::SPLIT.or(Rights::INSPECT), 0),
    ];
    let seen: Vec<_> = seen.iter().map(|(_, kind, rights, badge)| (*kind, *rights, *badge)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn spawn_never_gives_a_right_that_was_not_passed() {
    client(|process, service| async move {
        let bell = Cap::<Notification>::create(process.quota()).unwrap();
        let mut request = boot("quick");
        request.grants = vec![Grant { name: "bell".into(), rights: Rights::SIGNAL.or(Rights::WAIT).0 }];
        let passed = vec![bell.derive(Rights::SIGNAL).unwrap().erase()];
        assert!(
            matches!(refused(service.spawn(&request, None, passed).await), Error::PermissionDenied(words) if words.contains("bell"))
        );
        assert_eq!(service.list(0).await.unwrap(), [], "nothing was started");
    });
}

#[test]
fn a_child_that_gets_this_service_speaks_as_itself() {
    let stage = stage(1).simulation(|machine| {
        machine.image("parent", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            assert_eq!(service.list(0).await.unwrap(), [], "what its starter started is not its own");
            let pid = service.spawn(&boot("deaf"), None, Vec::new()).await.unwrap();
            let info = service.get(pid).await.unwrap();
            assert_eq!(info.parent, libprocess::system::info().unwrap().serial);
            let own = libprocess::system::info().unwrap().serial;
            assert!(matches!(refused(service.kill(own, 0).await), Error::PermissionDenied(_)));
        })
    });
    // The images of a service are given to the one added last.
    with(stage.with(Given::image("parent")), |_, service| async move {
        let mut request = boot("parent");
        request.grants = vec![grant("process")];
        let own = service.connection().endpoint().derive(Rights::ALL).unwrap().erase();
        let parent = service.spawn(&request, None, vec![own]).await.unwrap();
        ended(Reason::Exited, 0, service.wait(parent, None).await.unwrap());
        let all = service.list(0).await.unwrap();
        assert_eq!(all.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["parent", "deaf"]);
        assert_eq!((all[0].state, all[1].state), (State::Ended, State::Running), "it outlives its parent");
        assert_eq!((all[0].requester, all[0].parent), (2, 0));
        service.kill(all[1].pid, 7).await.unwrap();
        ended(Reason::Killed, 7, service.wait(all[1].pid, None).await.unwrap());
    });
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    client(|process, service| async move {
        let bell = || Cap::<Notification>::create(process.quota()).unwrap().erase();
        type Case = (Request, Option<Cap<Any>>, Vec<Cap<Any>>);
        let mut cases: Vec<Case> = Vec::new();
        let mut request = boot("quick");
        request.grants = vec![grant("a")];
        cases.push((request.clone(), None, vec![]));
        cases.push((boot("quick"), None, vec![bell()]));
        cases.push((boot("quick"), Some(bell()), vec![]));
        for source in [Source::Image, Source::Region(10), Source::Storage("a".into())] {
            cases.push((Request { source: source.clone(), ..boot("") }, None, vec![]));
            cases.push((Request { source, ..boot("") }, Some(bell()), vec![]));
        }
        for name in ["", "quota", "stop", "x".repeat(65).as_str()] {
            request.grants = vec![grant(name)];
            cases.push((request.clone(), None, vec![bell()]));
        }
        request.grants = vec![grant("a"), grant("a")];
        cases.push((request.clone(), None, vec![bell(), bell()]));
        cases.push((Request { name: "x".repeat(25), ..boot("quick") }, None, vec![]));
        cases.push((Request { name: "a\nb".into(), ..boot("quick") }, None, vec![]));
        for (request, from, passed) in cases {
            let words = format!("{request:?}");
            let error = refused(service.spawn(&request, from, passed).await);
            assert!(matches!(error, Error::InvalidRequest(_)), "{words}: {error:?}");
        }
        assert_eq!(service.list(0).await.unwrap(), []);
    });
}

#[test]
fn an_image_that_is_not_there_or_is_none_is_told() {
    client(|process, service| async move {
        let missing = refused(service.spawn(&boot("nothing"), None, vec![]).await);
        assert_eq!(missing, Error::ImageNotFound("nothing".into()));
        let region = |bytes: &[u8]| {
            let region = Cap::<Region>::create(process.quota(), 1).unwrap();
            region.write(0, bytes).unwrap();
            region
        };
        let request = |length| Request { source: Source::Region(length), ..boot("") };
        for (bytes, length) in [(&b"not a program"[..], 13), (b"", 0), (b"x", 1 << 40), (b"x", 5000)] {
            let result = service.spawn(&request(length), Some(region(bytes).erase()), vec![]).await;
            assert!(matches!(refused(result), Error::InvalidImage(_)), "{length}");
        }
        let unreadable = region(b"x").derive(Rights::WRITE).unwrap().erase();
        let result = service.spawn(&request(1), Some(unreadable), vec![]).await;
        assert!(matches!(refused(result), Error::PermissionDenied(_)));
        assert_eq!(service.list(0).await.unwrap(), []);
    });
}

#[test]
fn an_image_in_memory_is_started() {
    client(|process, service| async move {
        let bytes = executable("quick");
        let region = Cap::<Region>::create(process.quota(), 1).unwrap();
        region.write(0, &bytes).unwrap();
        let request = Request { source: Source::Region(bytes.len() as u64), name: "mine".into(), ..boot("") };
        let pid = service.spawn(&request, Some(region.erase()), vec![]).await.unwrap();
        ended(Reason::Exited, 4, service.wait(pid, None).await.unwrap());
        assert_eq!(service.get(pid).await.unwrap().name, "mine");
    });
}

#[test]
fn an_image_that_the_requester_holds_is_started() {
    stage(1)
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let image = process.capability::<libprocess::Image>("image:quick").unwrap();
            let request = Request { source: Source::Image, ..boot("") };
            let copy = image.derive(Rights::SPAWN).unwrap().erase();
            let pid = service.spawn(&request, Some(copy), vec![]).await.unwrap();
            ended(Reason::Exited, 4, service.wait(pid, None).await.unwrap());
            assert_eq!(service.get(pid).await.unwrap().name, "quick");
            let powerless = image.derive(Rights::NONE).unwrap().erase();
            let result = service.spawn(&request, Some(powerless), vec![]).await;
            assert!(matches!(refused(result), Error::PermissionDenied(_)));
        })
        .with(Given::service("process").badge(2))
        .with(Given::image("quick"))
        .pass();
}

#[test]
fn a_path_is_read_only_from_the_storage_service() {
    client(|process, service| async move {
        // An endpoint that never answers would hold the service up.
        let trap = Cap::<Endpoint>::create(process.quota(), 1).unwrap().derive(Rights::SEND).unwrap().erase();
        let request = Request { source: Source::Storage("a.wasm".into()), ..boot("") };
        let result = service.spawn(&request, Some(trap), vec![]).await;
        assert!(matches!(refused(result), Error::PermissionDenied(_)));
    });
}

#[test]
fn limits_that_cannot_be_had_are_told() {
    client(|_, service| async move {
        let with = |limits| Request { limits, ..boot("quick") };
        for limits in [
            Limits { memory: 1 << 40, ..SMALL },
            Limits { kernel_memory: 1 << 40, ..SMALL },
            Limits { kernel_memory: 16, ..SMALL },
            Limits { capabilities: u32::MAX, ..SMALL },
            Limits { queued_messages: u32::MAX, ..SMALL },
        ] {
            let result = service.spawn(&with(limits.clone()), None, vec![]).await;
            assert!(matches!(refused(result), Error::LimitExceeded(_)), "{limits:?}");
        }
    });
}

#[test]
fn spawn_and_kill_leave_nothing_behind() {
    client(|_, service| async move {
        // Far more than would fit at once.
        for round in 0..300 {
            let pid = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
            service.kill(pid, round).await.unwrap();
            ended(Reason::Killed, round, service.wait(pid, None).await.unwrap());
            let failed = service.spawn(&boot("nothing"), None, vec![]).await;
            assert!(matches!(refused(failed), Error::ImageNotFound(_)));
        }
    });
}

#[test]
fn list_and_get_tell_what_a_process_is() {
    client(|_, service| async move {
        let mut pids = Vec::new();
        for name in ["one", "two", "three"] {
            let request = Request { name: name.into(), ..boot("waits") };
            pids.push(service.spawn(&request, None, vec![]).await.unwrap());
        }
        let all = service.list(0).await.unwrap();
        assert_eq!(all.iter().map(|i| i.pid).collect::<Vec<_>>(), pids);
        assert_eq!(all.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
        assert!(all.iter().all(|i| i.state == State::Running && i.end.is_none() && i.requester == 2));
        assert_eq!(service.list(pids[1]).await.unwrap().len(), 1, "those after a pid");
        libprocess::sleep(Duration::from_millis(1)).await;
        let info = service.get(pids[2]).await.unwrap();
        assert!(info.capabilities >= 2);
        assert_eq!(refused(service.get(9999).await), Error::NoSuchProcess);
    });
}

#[test]
fn terminate_asks_and_then_ends_by_force() {
    client(|_, service| async move {
        let waits = service.spawn(&boot("waits"), None, vec![]).await.unwrap();
        service.terminate(waits, 1000).await.unwrap();
        ended(Reason::Exited, 5, service.wait(waits, None).await.unwrap());

        let deaf = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
        let then = libprocess::now();
        service.terminate(deaf, 30).await.unwrap();
        assert_eq!(service.get(deaf).await.unwrap().state, State::Ending);
        ended(Reason::Terminated, 0, service.wait(deaf, None).await.unwrap());
        assert!(libprocess::now() - then >= 30_000_000);

        assert_eq!(refused(service.terminate(deaf, 1).await), Error::NoSuchProcess);
        assert_eq!(refused(service.terminate(9999, 1).await), Error::NoSuchProcess);
    });
}

#[test]
fn wait_ends_with_the_process_or_the_time() {
    client(|_, service| async move {
        let deaf = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
        let then = libprocess::now();
        assert_eq!(refused(service.wait(deaf, Some(20)).await), Error::TimedOut);
        assert!(libprocess::now() - then >= 20_000_000);
        assert_eq!(refused(service.wait(9999, None).await), Error::NoSuchProcess);
        service.kill(deaf, 3).await.unwrap();
        ended(Reason::Killed, 3, service.wait(deaf, None).await.unwrap());
        assert_eq!(refused(service.kill(deaf, 3).await), Error::NoSuchProcess);
    });
}

#[test]
fn one_waits_while_others_are_served() {
    stage(1)
        .client("waiter", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap()).within(Duration::from_secs(60));
            let pid = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
            ended(Reason::Killed, 1, service.wait(pid, None).await.unwrap());
        })
        .with(Given::service("process").badge(2))
        .client("killer", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let pid = loop {
                libprocess::sleep(Duration::from_millis(1)).await;
                if let Some(info) = service.list(0).await.unwrap().first() {
                    break info.pid;
                }
            };
            libprocess::sleep(Duration::from_millis(5)).await;
            service.kill(pid, 1).await.unwrap();
        })
        .with(Given::service("process").badge(OPERATOR))
        .pass();
}

#[test]
fn what_is_anothers_is_refused_everywhere_except_to_an_operator() {
    stage(1)
        .client("owner", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap()).within(Duration::from_secs(60));
            let pid = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
            ended(Reason::Killed, 9, service.wait(pid, None).await.unwrap());
        })
        .with(Given::service("process").badge(2))
        .client("other", |process: Process| async move {
            let operator = Client::new(process.capability("operator").unwrap());
            let service = Client::new(process.capability("process").unwrap());
            let pid = loop {
                libprocess::sleep(Duration::from_millis(1)).await;
                if let Some(info) = operator.list(0).await.unwrap().first() {
                    break info.pid;
                }
            };
            assert_eq!(service.list(0).await.unwrap(), []);
            let denied = |error| assert!(matches!(error, Error::PermissionDenied(_)), "{error:?}");
            denied(refused(service.get(pid).await));
            denied(refused(service.terminate(pid, 0).await));
            denied(refused(service.kill(pid, 0).await));
            denied(refused(service.wait(pid, None).await));
            denied(refused(service.usage(pid).await));
            denied(refused(service.inspect(pid).await));
            operator.kill(pid, 9).await.unwrap();
        })
        .with(Given::service("process").badge(3))
        .with(Given::service("process").badge(OPERATOR).named("operator"))
        .pass();
}

#[test]
fn inspect_gives_the_right_to_inspect_and_no_other() {
    client(|_, service| async move {
        let pid = service.spawn(&boot("deaf"), None, vec![]).await.unwrap();
        let process = service.inspect(pid).await.unwrap();
        assert_eq!(process.inspect().unwrap().rights, Rights::INSPECT);
        assert_eq!(process.info().unwrap().serial, pid);
        assert!(process.capability_at(0, 0).is_ok());
        assert_eq!(process.kill(0), Err(abi::Error::MissingRight));
        assert_eq!(refused(service.inspect(9999).await), Error::NoSuchProcess);
    });
}

#[test]
fn usage_stands_beside_its_limits() {
    client(|_, service| async move {
        let limits = Limits { processor_time: 50_000_000, ..SMALL };
        let pid = service.spawn(&Request { limits, ..boot("deaf") }, None, vec![]).await.unwrap();
        let usage = service.usage(pid).await.unwrap();
        assert_eq!((usage.memory_limit, usage.kernel_memory_limit), (1 << 20, 192 << 10));
        assert_eq!((usage.processor_time_limit, usage.capabilities_limit), (50_000_000, 64));
        assert!(usage.kernel_memory > 0 && usage.kernel_memory <= usage.kernel_memory_limit);
        assert!(usage.capabilities >= 2);
        assert_eq!(refused(service.usage(9999).await), Error::NoSuchProcess);
    });
}

/// The next event of a subscription.
async fn event(inbox: &mut Inbox) -> (u32, u64) {
    match inbox.next().await.unwrap() {
        Incoming::Request(request) if request.number() == process_events::tags::EXITED => {
            let (pid, _, _): (u64, String, End) = request.decode().unwrap();
            (request.number(), pid)
        }
        Incoming::Request(request) => {
            let (pid, _, used, limit): (u64, process_events::Limited, u64, u64) = request.decode().unwrap();
            assert!(used >= limit / 5 * 4 && used <= limit);
            (request.number(), pid)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_uses_up_its_processor_time_is_warned_of_and_then_killed() {
    client(|process, service| async move {
        let endpoint = Cap::<Endpoint>::create(process.quota(), 16).unwrap();
        service.subscribe(endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
        let limits = Limits { processor_time: 20_000_000, ..SMALL };
        let pid = service.spawn(&Request { limits, ..boot("loops") }, None, vec![]).await.unwrap();
        let mut inbox = Inbox::open(endpoint).unwrap();
        assert_eq!(event(&mut inbox).await, (process_events::tags::RESOURCE_WARNING, pid));
        assert_eq!(event(&mut inbox).await, (process_events::tags::EXITED, pid));
        let end = service.wait(pid, None).await.unwrap();
        ended(Reason::ProcessorTimeLimit, 20_000_000, end.clone());
        assert!(end.processor_time >= 20_000_000);
    });
}

#[test]
fn subscribers_are_told_of_their_own_until_they_leave() {
    client(|process, service| async move {
        let endpoint = Cap::<Endpoint>::create(process.quota(), 16).unwrap();
        let number = service.subscribe(endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
        let pid = service.spawn(&boot("quick"), None, vec![]).await.unwrap();
        let mut inbox = Inbox::open(endpoint).unwrap();
        assert_eq!(event(&mut inbox).await, (process_events::tags::EXITED, pid));
        service.unsubscribe(number).await.unwrap();
        assert!(matches!(refused(service.unsubscribe(number).await), Error::InvalidRequest(_)));
        let pid = service.spawn(&boot("quick"), None, vec![]).await.unwrap();
        service.wait(pid, None).await.unwrap();
        let silent = libprocess::timeout(Duration::from_millis(50), inbox.next()).await;
        assert!(silent.is_err(), "{silent:?}");
    });
}

#[test]
fn subscriptions_have_bounds_and_go_with_their_endpoint() {
    client(|process, service| async move {
        let deaf = Cap::<Endpoint>::create(process.quota(), 1).unwrap().derive(Rights::RECEIVE).unwrap();
        assert!(matches!(refused(service.subscribe(deaf).await), Error::InvalidRequest(_)));
        let mut endpoints = Vec::new();
        for _ in 0..16 {
            let endpoint = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
            service.subscribe(endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
            endpoints.push(endpoint);
        }
        let one_more = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
        let again = || one_more.derive(Rights::SEND).unwrap();
        assert!(matches!(refused(service.subscribe(again()).await), Error::LimitExceeded(_)));
        for endpoint in endpoints {
            endpoint.destroy().unwrap();
        }
        let pid = service.spawn(&boot("quick"), None, vec![]).await.unwrap();
        service.wait(pid, None).await.unwrap();
        libprocess::sleep(Duration::from_millis(1)).await;
        service.subscribe(again()).await.unwrap();
    });
}

#[test]
fn a_subscriber_that_does_not_listen_holds_nobody_up() {
    client(|process, service| async move {
        let endpoint = Cap::<Endpoint>::create(process.quota(), 1).unwrap();
        service.subscribe(endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
        for _ in 0..5 {
            let pid = service.spawn(&boot("quick"), None, vec![]).await.unwrap();
            ended(Reason::Exited, 4, service.wait(pid, None).await.unwrap());
        }
    });
}

#[test]
fn a_subscriber_that_does_not_listen_keeps_no_event_from_another() {
    const QUEUED: u32 = 40;
    let stage = stage(1).limits(abi::info::Limits { queued_messages: QUEUED, ..abi::info::Limits::DEFAULT });
    stage
        .client("client", |process: Process| async move {
            let service = Client::new(process.capability("process").unwrap());
            let other = Client::new(process.capability("other").unwrap());
            // Deep enough for all that the service may have queued.
            let deaf = Cap::<Endpoint>::create(process.quota(), 4 * QUEUED).unwrap();
            for _ in 0..16 {
                service.subscribe(deaf.derive(Rights::SEND).unwrap()).await.unwrap();
            }
            let endpoint = Cap::<Endpoint>::create(process.quota(), 16).unwrap();
            let number = other.subscribe(endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
            let mut inbox = Inbox::open(endpoint).unwrap();
            for _ in 0..2 * QUEUED {
                let pid = service.spawn(&boot("quick"), None, vec![]).await.unwrap();
                service.wait(pid, None).await.unwrap();
            }
            // More ends than are kept, while it is busy: it calls, and does not receive.
            let mut pids = Vec::new();
            for _ in 0..2 * events::KEPT {
                let pid = other.spawn(&boot("quick"), None, vec![]).await.unwrap();
                other.wait(pid, None).await.unwrap();
                pids.push(pid);
            }
            for pid in &pids[..events::KEPT] {
                let told = libprocess::timeout(Duration::from_secs(5), event(&mut inbox)).await;
                assert_eq!(told, Ok((process_events::tags::EXITED, *pid)), "in order");
            }
            let later = libprocess::timeout(Duration::from_secs(5), event(&mut inbox)).await;
            assert!(later.is_err(), "the others are lost: {later:?}");
            let pid = other.spawn(&boot("quick"), None, vec![]).await.unwrap();
            assert_eq!(event(&mut inbox).await, (process_events::tags::EXITED, pid));
            // And who did not listen is subscribed as before.
            other.unsubscribe(number).await.unwrap();
            for number in 1..=16 {
                service.unsubscribe(number).await.unwrap();
            }
        })
        .with(Given::service("process").badge(2))
        .with(Given::service("process").badge(3).named("other"))
        .pass();
}

#[test]
fn a_crash_is_told_as_such() {
    let stage = stage(1).simulation(|machine| machine.trap_at("waits", "wait", 1));
    with(stage, |_, service| async move {
        let pid = service.spawn(&boot("waits"), None, vec![]).await.unwrap();
        ended(Reason::Faulted, 4, service.wait(pid, None).await.unwrap());
    });
}

/// `hungry` takes nearly all the memory that it may have and then does not get on.
fn hungry(machine: simulated::Simulation) -> simulated::Simulation {
    machine.image("hungry", |process: Process| async move {
        let pages = SMALL.memory / 4096;
        let region = Cap::<Region>::create(process.quota(), pages * 95 / 100).unwrap();
        assert!(Cap::<Region>::create(process.quota(), pages).is_err(), "there is a limit");
        libprocess::sleep(Duration::from_millis(600)).await;
        drop(region);
    })
}

#[test]
fn one_that_uses_up_its_memory_is_warned_of() {
    let stage = stage(1).with(Given::image("hungry")).simulation(hungry);
    with(stage, |process, service| async move {
        let endpoint = Cap::<Endpoint>::create(process.quota(), 16).unwrap();
        service.subscribe(endpoint.derive(Rights::SEND).unwrap()).await.unwrap();
        let pid = service.spawn(&boot("hungry"), None, vec![]).await.unwrap();
        let mut inbox = Inbox::open(endpoint).unwrap();
        assert_eq!(event(&mut inbox).await, (process_events::tags::RESOURCE_WARNING, pid));
        assert_eq!(event(&mut inbox).await, (process_events::tags::EXITED, pid), "it is warned of once");
    });
}

#[test]
fn a_trap_for_want_of_memory_is_told_as_such() {
    let stage =
        stage(1).with(Given::image("hungry")).simulation(|machine| hungry(machine).trap_at("hungry", "wait", 1));
    with(stage, |_, service| async move {
        let pid = service.spawn(&boot("hungry"), None, vec![]).await.unwrap();
        ended(Reason::MemoryLimit, SMALL.memory, service.wait(pid, None).await.unwrap());
    });
}

/// Whatever the service traps at, nobody waits for ever, its processes go with it, and
/// its successor serves.
#[test]
fn a_service_that_traps_leaves_nobody_waiting() {
    for_seeds(0..60, |seed| {
        let stage = Stage::new(seed)
            .simulation(|machine| {
                machine
                    .image("quick", |_| async { Exit(4) })
                    .image("deaf", |_| libprocess::sleep(Duration::from_secs(86_400)))
                    .random_traps("process", 30, 5)
            })
            .service("process", process::main)
            .restarts(5)
            .with(Given::image("quick"))
            .with(Given::image("deaf"));
        with(stage, |_, service| async move {
            let service = service.within(Duration::from_secs(2));
            for round in 0..20 {
                let image = if round % 2 == 0 { "quick" } else { "deaf" };
                let Ok(pid) = service.spawn(&boot(image), None, vec![]).await else { continue };
                if image == "deaf" {
                    let _ = service.kill(pid, 1).await;
                }
                let _ = service.wait(pid, Some(100)).await;
            }
            // Once the traps are used up, all is well again.
            let end = loop {
                let end = match service.spawn(&boot("quick"), None, vec![]).await {
                    Ok(pid) => service.wait(pid, None).await,
                    Err(error) => Err(error),
                };
                match end {
                    Ok(end) => break end,
                    Err(ClientError::ServiceRestarted | ClientError::TimedOut) => {}
                    Err(error) => panic!("{error:?}"),
                }
            };
            ended(Reason::Exited, 4, end);
        });
    });
}
