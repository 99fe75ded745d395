//! The machine itself: the same seed is the same run; devices do what their registers and
//! operations say; a power cut leaves what was flushed.

mod common;

use abi::device::{CLOCK_MONOTONIC, CLOCK_WALL, CompletionStatus, DISK_BLOCKS, ENTROPY_RANDOM, Operation};
use common::{connection, next, server, take};
use libprocess::system::debug;
use libprocess::{Cap, Error, Process, capability, now, println, sleep};
use simulated::{Access, Cut, Disk, End, Grant, Simulation, Stage, for_seeds};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What was written with `debug`.
fn said(simulation: &Simulation) -> Vec<String> {
    simulation.debug_output().into_iter().map(|said| said.text).collect()
}

fn busy(seed: u64) -> Stage {
    let mut stage = Stage::new(seed).service("server", server);
    for client in ["one", "two", "three"] {
        stage = stage
            .client(client, async |process| {
                let server = connection(&process, "server");
                for number in 0..10 {
                    assert_eq!(next(&server, number).await, Ok(number + 1));
                }
            })
            .with(Grant::service("server"));
    }
    stage
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_record() {
    let stories: Vec<String> = [5, 5, 6].map(|seed| busy(seed).pass().simulation.story()).into();
    assert!(stories[0].lines().count() > 100, "the run has a story");
    assert_eq!(stories[0], stories[1]);
    assert_ne!(stories[0], stories[2], "another seed is another run");
}

#[test]
fn a_process_exits_with_what_its_main_returns() {
    let main = async |process: Process| {
        let arguments = process.arguments().to_vec();
        assert_eq!((arguments.as_slice(), process.variable("LANG")), (&["a b".to_string()][..], Some("C")));
        debug("hello");
        take::<capability::Device>(&process, "device:power").write(0, 3).unwrap();
    };
    let mut simulation = Simulation::new(1).image("only", main).first("only", &["a b"]).environment("LANG", "C");
    assert_eq!(simulation.run(), End::PowerOff(3));
    assert_eq!(said(&simulation), ["hello"]);
    assert_eq!(simulation.panics(), []);
    simulation.check();
}

#[test]
fn without_anyone_left_the_machine_is_empty() {
    let mut simulation = Simulation::new(1).image("only", async |_| ());
    assert_eq!(simulation.run(), End::Empty);
    assert!(simulation.processes().is_empty());
}

#[test]
fn who_waits_for_nothing_is_idle() {
    let mut simulation = Simulation::new(1).image("only", async |process: Process| {
        let notification = Cap::<capability::Notification>::create(process.quota()).unwrap();
        let _ = notification.wait(libprocess::FOREVER).await;
    });
    assert_eq!(simulation.run(), End::Idle);
    assert_eq!(simulation.processes(), ["only"]);
    simulation.check();
}

#[test]
fn a_process_that_loops_costs_time_and_is_not_alone() {
    let mut simulation = Simulation::new(1).limits(50_000_000, 1_000).image("only", async |_| simulated::spin().await);
    assert_eq!(simulation.run(), End::Limit);
    assert!(simulation.now() >= 50_000_000);

    Stage::new(2)
        .service("loop", async |_| simulated::spin().await)
        .client("client", async |_| {
            sleep(Duration::from_millis(20)).await;
            assert!(now() < 40_000_000, "one slice of the other at most: {}", now());
        })
        .pass();
}

#[test]
fn a_panic_is_a_trap_and_its_words_are_kept() {
    let played = Stage::new(1)
        .service("bad", async |_| {
            if true {
                panic!("out of cheese")
            }
        })
        .client("client", async |_| sleep(Duration::from_millis(1)).await)
        .play();
    assert_eq!(played.exits["bad"][0].reason, abi::ExitReason::Faulted);
    let panics = played.simulation.panics();
    assert_eq!((panics[0].process.as_str(), panics[0].text.as_str()), ("bad", "out of cheese"));
    played.simulation.check();
}

#[test]
fn destructors_of_a_killed_process_ask_the_kernel_nothing() {
    struct Watch(Rc<RefCell<Vec<Result<u64, Error>>>>, Cap<capability::Notification>);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1.poll());
        }
    }
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sees = seen.clone();
    let played = Stage::new(1)
        .service("victim", move |process: Process| {
            let watch = Watch(sees.clone(), Cap::<capability::Notification>::create(process.quota()).unwrap());
            async move {
                sleep(Duration::from_secs(100)).await;
                drop(watch);
            }
        })
        .client("killer", async |process| {
            sleep(Duration::from_millis(1)).await;
            take::<capability::Process>(&process, "process:victim").kill(1).unwrap();
        })
        .with(Grant::process("victim"))
        .pass();
    assert_eq!(*seen.borrow(), [Err(Error::Unsupported)]);
    assert!(!played.simulation.story().is_empty());
}

#[test]
fn clock_and_entropy_are_of_the_machine() {
    let drawn = |seed| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sees = seen.clone();
        Stage::new(seed)
            .client("client", async move |process| {
                let clock = process.clock();
                let (before, wall) = (clock.read(CLOCK_MONOTONIC).unwrap(), clock.read(CLOCK_WALL).unwrap());
                sleep(Duration::from_secs(3_600)).await;
                assert!(
                    (3_600_000_000_000..3_600_010_000_000).contains(&(clock.read(CLOCK_MONOTONIC).unwrap() - before))
                );
                assert!((3_600_000_000_000..3_600_010_000_000).contains(&(clock.read(CLOCK_WALL).unwrap() - wall)));
                assert_eq!(clock.read(99), Err(Error::InvalidArgument));
                let entropy: Cap<capability::Device> = take(&process, "entropy");
                for _ in 0..4 {
                    sees.borrow_mut().push(entropy.read(ENTROPY_RANDOM).unwrap());
                }
            })
            .with(Grant::device("entropy"))
            .simulation(|simulation| simulation.limits(u64::MAX, 100_000))
            .pass();
        seen.take()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn the_console_shows_and_reads() {
    for_seeds(0..10, |seed| {
        let played = Stage::new(seed)
            .client("client", async |process| {
                let console = process.console().unwrap();
                assert!(console.is_terminal());
                assert_eq!(console.columns(), Some(72));
                console.write("name? ").await.unwrap();
                let name = console.read_line().await.unwrap().unwrap();
                println!("hello {name}");
                assert_eq!(console.read_line().await.unwrap(), None);
            })
            .with(Grant::device("console"))
            .simulation(|simulation| simulation.terminal(72).console_await("name? ").console_input("ada\n"))
            .pass();
        assert_eq!(played.simulation.output(), "name? hello ada\n");
    });
}

async fn sectors(process: Process) {
    let disk = process.device("disk").unwrap();
    assert_eq!(disk.read(DISK_BLOCKS), Ok(64));
    for (sector, byte) in [(3, 7_u8), (4, 8)] {
        let (completion, _) = disk.operate(Operation::Write, sector, 0, &[byte; 512]).await.unwrap();
        assert_eq!((completion.status, completion.length), (CompletionStatus::Done, 512));
    }
    let (completion, _) = disk.operate(Operation::Flush, 0, 0, &[]).await.unwrap();
    assert_eq!(completion.status, CompletionStatus::Done);
    let (completion, bytes) = disk.operate(Operation::Read, 3, 2, &[]).await.unwrap();
    assert_eq!((completion.status, bytes), (CompletionStatus::Done, [[7; 512], [8; 512]].concat()));
    for (operation, first, blocks) in [(Operation::Read, 63, 2), (Operation::Read, 0, 129)] {
        let (completion, _) = disk.operate(operation, first, blocks, &[]).await.unwrap();
        assert_eq!(completion.status, CompletionStatus::OutOfRange);
    }
}

#[test]
fn the_disk_keeps_what_was_flushed_over_a_power_cut() {
    for_seeds(0..20, |seed| {
        let (mut simulation, exits) =
            Stage::new(seed).client("client", sectors).with(Grant::device("disk")).disk(Disk::new(64)).open();
        assert_eq!(simulation.run(), End::PowerOff(0));
        assert_eq!(exits.of("client")[0].code, 0, "{:?}", simulation.panics());
        simulation.check();
        let wreck = simulation.crash(Cut::Random(seed));
        assert_eq!(wreck.disk.peek(3, 2).unwrap(), [[7; 512], [8; 512]].concat());
    });
}

#[test]
fn a_bad_disk_says_how_it_is_bad() {
    let mut disk = Disk::new(64);
    disk.fail_times(Access::Read, 5..6, 1);
    disk.set_room(1);
    Stage::new(1)
        .client("client", async |process| {
            let disk = process.device("disk").unwrap();
            let mut statuses = Vec::new();
            for (operation, sector, bytes) in [
                (Operation::Read, 5, None),
                (Operation::Read, 5, None),
                (Operation::Write, 0, Some([1; 512])),
                (Operation::Write, 1, Some([1; 512])),
            ] {
                let bytes = bytes.as_ref().map_or(&[][..], |bytes| &bytes[..]);
                statuses.push(disk.operate(operation, sector, 1, bytes).await.unwrap().0.status);
            }
            use CompletionStatus::{Done, Failed, Full};
            assert_eq!(statuses, [Failed, Done, Done, Full]);
        })
        .with(Grant::device("disk"))
        .disk(disk)
        .pass();
}

#[test]
fn a_machine_boots_again_over_what_a_power_cut_left() {
    for_seeds(0..20, |seed| {
        let count = async |process: Process| {
            let disk = process.device("disk").unwrap();
            let (_, mut bytes) = disk.operate(Operation::Read, 0, 1, &[]).await.unwrap();
            bytes[0] += 1;
            disk.operate(Operation::Write, 0, 0, &bytes).await.unwrap();
            disk.operate(Operation::Flush, 0, 0, &[]).await.unwrap();
            debug(&bytes[0].to_string());
            sleep(Duration::from_secs(1_000)).await;
        };
        let mut wreck = Simulation::new(seed).halt();
        for boot in 1..=4_u64 {
            let mut simulation = Simulation::new(seed + boot).boot_again(wreck).image("count", count);
            assert_eq!(simulation.run_until(|simulation| said(simulation) == [boot.to_string()]), End::Reached);
            simulation.check();
            wreck = simulation.crash(Cut::Random(seed + boot));
        }
    });
}

#[test]
fn without_a_log_nothing_is_promised_any_more() {
    let (mut simulation, exits) =
        Stage::new(1).client("client", sectors).with(Grant::device("disk")).disk(Disk::new(64)).open();
    simulation.break_log();
    assert_eq!(simulation.run(), End::LogLost);
    assert_eq!(exits.of("client"), [], "the flush did not complete");
    let wreck = simulation.crash(Cut::Lost);
    assert_eq!(wreck.disk.peek(3, 2).unwrap(), [0; 1024]);
}
