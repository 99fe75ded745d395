//! Supervision: what a supervisor is told of those it supervises, and what its verdict does.

mod common;

use abi::info::Limits;
use abi::message::FaultKind;
use abi::{ExitReason, ProcessState, Rights};
use common::take;
use libprocess::startup::Startup;
use libprocess::{Cap, Error, Inbox, Incoming, Process, capability, sleep};
use simulated::{Grant, Stage, for_seeds};
use std::time::Duration;

struct Supervised {
    inbox: Inbox,
    process: Cap<capability::Process>,
    /// The process goes when nobody holds what pays for it.
    _quota: Cap<capability::Quota>,
}

/// Starts `image` with an inbox of its own as the supervisor.
fn start(process: &Process, image: &str, limits: Limits) -> Result<Supervised, Error> {
    let inbox = Inbox::open(Cap::<capability::Endpoint>::create(process.quota(), 8)?)?;
    let supervisor = inbox.endpoint().derive_badged(Rights::SEND, 77)?;
    let quota = process.quota().split(1 << 20, 256)?;
    let image: Cap<capability::Image> = take(process, &format!("image:{image}"));
    let child = Cap::<capability::Process>::create(&image, &quota, &supervisor, "child", limits)?;
    let clock = child.grant(process.clock(), Rights::READ, 0)?;
    let given = child.grant(&quota, Rights::ALL, 0)?;
    let capabilities = vec![("clock".to_string(), clock), ("quota".to_string(), given)];
    child.start(&Startup { capabilities, ..Startup::default() })?;
    Ok(Supervised { inbox, process: child, _quota: quota })
}

fn with_child<F, R>(seed: u64, child: F, supervisor: impl AsyncFnOnce(Process) + 'static)
where
    F: Fn(Process) -> R + 'static,
    R: Future + 'static,
    R::Output: libprocess::Report,
{
    stage(seed, child, supervisor).pass();
}

fn stage<F, R>(seed: u64, child: F, supervisor: impl AsyncFnOnce(Process) + 'static) -> Stage
where
    F: Fn(Process) -> R + 'static,
    R: Future + 'static,
    R::Output: libprocess::Report,
{
    Stage::new(seed)
        .client("supervisor", async move |process| supervisor(process).await)
        .with(Grant::image("child"))
        .simulation(|simulation| simulation.image("child", child))
}

#[test]
fn an_exit_is_told_with_its_code_and_can_be_read_afterwards() {
    for_seeds(0..10, |seed| {
        with_child(
            seed,
            async |_| libprocess::Exit(42),
            async |process| {
                let mut child = start(&process, "child", Limits::DEFAULT).unwrap();
                let serial = child.process.info().unwrap().serial;
                let Incoming::Exited(exited) = child.inbox.next().await.unwrap() else { panic!("not an exit") };
                assert_eq!((exited.badge, exited.process), (77, serial));
                assert_eq!((exited.reason, exited.code), (ExitReason::Exited, 42));
                let info = child.process.info().unwrap();
                assert_eq!((info.state, info.reason, info.code), (ProcessState::Exited, ExitReason::Exited, 42));
            },
        );
    });
}

#[test]
fn a_trap_is_told_and_kills_whatever_the_verdict() {
    for resume in [false, true] {
        let sleeper = async |_| sleep(Duration::from_millis(1)).await;
        let stage = stage(1, sleeper, async move |process| {
            let mut child = start(&process, "child", Limits::DEFAULT).unwrap();
            let Incoming::Faulted(fault) = child.inbox.next().await.unwrap() else { panic!("not a fault") };
            assert_eq!((fault.badge, fault.kind), (77, FaultKind::Trap));
            if resume {
                fault.resume()
            } else {
                fault.kill()
            }
            let Incoming::Exited(exited) = child.inbox.next().await.unwrap() else { panic!("not an exit") };
            assert_eq!((exited.reason, exited.code), (ExitReason::Faulted, FaultKind::Trap as u64));
        });
        stage.simulation(|simulation| simulation.trap("child", 3)).pass();
    }
}

#[test]
fn a_process_over_its_time_waits_for_the_verdict_and_goes_on_with_more() {
    for_seeds(0..5, |seed| {
        let limits = |time| Limits { processor_time: time, ..Limits::DEFAULT };
        with_child(
            seed,
            async |_| simulated::spin().await,
            async move |process| {
                let mut child = start(&process, "child", limits(10_000_000)).unwrap();
                for round in 1..=3_u64 {
                    let Incoming::Faulted(fault) = child.inbox.next().await.unwrap() else { panic!("not a fault") };
                    assert_eq!((fault.kind, fault.detail), (FaultKind::TimeLimit, round * 10_000_000));
                    let used = child.process.info().unwrap().processor_time;
                    assert!((round * 10_000_000..round * 10_000_000 + 2_000_000).contains(&used), "used {used} ns");
                    if round == 3 {
                        fault.kill();
                    } else {
                        child.process.limit(limits((round + 1) * 10_000_000)).unwrap();
                        fault.resume();
                    }
                }
                let Incoming::Exited(exited) = child.inbox.next().await.unwrap() else { panic!("not an exit") };
                assert_eq!(exited.reason, ExitReason::Faulted);
            },
        );
    });
}

#[test]
fn a_suspended_process_does_nothing_until_it_is_resumed() {
    with_child(
        1,
        async |_| sleep(Duration::from_millis(10)).await,
        async |process| {
            let mut child = start(&process, "child", Limits::DEFAULT).unwrap();
            child.process.suspend().unwrap();
            assert_eq!(child.process.info().unwrap().state, ProcessState::Suspended);
            let waited = libprocess::timeout(Duration::from_secs(1), child.inbox.next()).await;
            assert!(waited.is_err(), "a suspended process ended");
            child.process.resume().unwrap();
            let Incoming::Exited(exited) = child.inbox.next().await.unwrap() else { panic!("not an exit") };
            assert_eq!((exited.reason, exited.code), (ExitReason::Exited, 0));
        },
    );
}

#[test]
fn a_child_goes_with_the_quota_that_paid_for_it() {
    with_child(
        1,
        async |_| sleep(Duration::from_secs(100)).await,
        async |process| {
            let inbox = Inbox::open(Cap::<capability::Endpoint>::create(process.quota(), 8).unwrap());
            let mut inbox = inbox.unwrap();
            let supervisor = inbox.endpoint().derive_badged(Rights::SEND, 1).unwrap();
            let quota = process.quota().split(1 << 20, 256).unwrap();
            let image: Cap<capability::Image> = take(&process, "image:child");
            let child =
                Cap::<capability::Process>::create(&image, &quota, &supervisor, "child", Limits::DEFAULT).unwrap();
            child.start(&Startup::default()).unwrap();
            let before = process.quota().info().unwrap().memory_used;
            quota.destroy().unwrap();
            let Incoming::Exited(exited) = inbox.next().await.unwrap() else { panic!("not an exit") };
            assert_eq!(exited.reason, ExitReason::Reclaimed);
            assert!(process.quota().info().unwrap().memory_used < before);
            assert!(child.info().is_err());
        },
    );
}

#[test]
fn an_image_from_memory_runs_and_what_is_none_does_not() {
    with_child(
        1,
        async |_| libprocess::Exit(5),
        async |process| {
            let quota = process.quota();
            let region = Cap::<capability::Region>::create(quota, 1).unwrap();
            let bytes = simulated::executable("child");
            region.write(0, &bytes).unwrap();
            let image = Cap::<capability::Image>::create(quota, &region, bytes.len() as u64, "mine").await.unwrap();
            let mut inbox = Inbox::open(Cap::<capability::Endpoint>::create(quota, 8).unwrap()).unwrap();
            let supervisor = inbox.endpoint().derive_badged(Rights::SEND, 1).unwrap();
            let child =
                Cap::<capability::Process>::create(&image, quota, &supervisor, "mine", Limits::DEFAULT).unwrap();
            child.start(&Startup::default()).unwrap();
            let Incoming::Exited(exited) = inbox.next().await.unwrap() else { panic!("not an exit") };
            assert_eq!(exited.code, 5);

            region.write(0, b"nonsense").unwrap();
            let refused = Cap::<capability::Image>::create(quota, &region, 8, "bad").await;
            assert_eq!(refused.unwrap_err(), Error::InvalidArgument);
        },
    );
}
