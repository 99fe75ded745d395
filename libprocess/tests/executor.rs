//! How a process runs: its tasks, its one wait, the service loop, timers, signals, devices and
//! the console, each seen from outside by the system calls it makes.

mod machine;

use libprocess::abi::device::Operation;
use libprocess::abi::message::{FaultKind, exit_words, fault_words};
use libprocess::abi::{DeliveryKind, ExitReason, Handle, Number};
use libprocess::client::Refusal;
use libprocess::console::LONGEST_LINE;
use libprocess::service::Request;
use libprocess::wire::Passing;
use libprocess::{
    Cap, ClientError, Connection, Dispatch, Endpoint, Error, Exit, Exited, Faulted, Hooks, HostDevice, Inbox, Incoming,
    Process, Signal, now, serve, serve_with, sleep, spawn, timeout, yield_now,
};
use machine::{Machine, Object, Run, SERIAL, SerialLine};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

type Notes = Rc<RefCell<Vec<String>>>;

fn note(notes: &Notes, text: impl Into<String>) {
    notes.borrow_mut().push(text.into());
}

/// Runs one process to its end.
fn alone<F>(names: &[(&str, Object)], main: impl FnOnce(Process) -> F + 'static) -> (Machine, Option<u64>)
where
    F: Future + 'static,
    F::Output: libprocess::Report,
{
    let machine = Machine::new();
    let given: Vec<(&str, Handle)> = names.iter().map(|(name, object)| (*name, machine.object(*object))).collect();
    let mut run = Run::new(&machine);
    let process = run.add(&given, &["one", "two"], main);
    run.run();
    let ended = run.ended(process);
    (machine, ended)
}

const ALL: [(&str, Object); 4] = [
    ("quota", Object::Quota),
    ("clock", Object::Clock),
    ("console", Object::Console),
    ("interrupt:console", Object::ConsoleInterrupt),
];

#[test]
fn a_process_finds_what_it_was_started_with() {
    let (_, ended) = alone(&ALL, |process| async move {
        assert_eq!(process.arguments(), ["one", "two"]);
        assert_eq!(process.variable("HOME"), Some("/"));
        assert_eq!(process.variable("SHELL"), None);
        let missing = process.capability::<Endpoint>("storage").unwrap_err();
        assert_eq!(missing.to_string(), "this process was given no capability `storage`");
        Exit(7)
    });
    assert_eq!(ended, Some(7));
}

#[test]
fn an_error_of_main_is_printed_and_exits_with_1() {
    let (machine, ended) = alone(&ALL, |_| async { Err::<(), _>("no such file") });
    assert_eq!(ended, Some(1));
    assert_eq!(machine.shown(), "error: no such file\n");
}

#[test]
fn a_startup_block_that_is_none_is_an_error_not_a_panic() {
    assert!(libprocess::Startup::from_bytes(&[255; 40]).is_err());
    assert_eq!(libprocess::Startup::from_bytes(&[]).unwrap(), libprocess::Startup::default());
}

#[test]
fn tasks_take_turns_and_end_with_main() {
    let notes = Notes::default();
    let seen = notes.clone();
    let (_, ended) = alone(&[], move |_| async move {
        for name in ["a", "b"] {
            let notes = seen.clone();
            spawn(async move {
                for turn in 0..3 {
                    note(&notes, format!("{name}{turn}"));
                    yield_now().await;
                }
            });
        }
        for _ in 0..2 {
            yield_now().await;
        }
        note(&seen, "main ends");
    });
    assert_eq!(ended, Some(0));
    assert_eq!(notes.take(), ["a0", "b0", "a1", "b1", "main ends"]);
}

#[test]
fn a_process_that_waits_for_nothing_says_so_and_ends() {
    let (machine, ended) = alone(&[("quota", Object::Quota)], |_| futures_util::future::pending::<()>());
    assert_eq!(ended, Some(70));
    assert_eq!(machine.debug_lines(), ["every task waits, and nothing can wake one"]);
}

#[test]
fn sleepers_wake_in_the_order_of_their_times_and_never_early() {
    for names in [&ALL[..2], &ALL[..1]] {
        let notes = Notes::default();
        let seen = notes.clone();
        let (_, ended) = alone(names, move |_| async move {
            let begin = now();
            for delay in [30, 10, 20] {
                let notes = seen.clone();
                spawn(async move {
                    sleep(MS * delay).await;
                    assert!(now() - begin >= u64::from(delay) * 1_000_000);
                    note(&notes, delay.to_string());
                });
            }
            sleep(MS * 40).await;
        });
        assert_eq!(ended, Some(0));
        assert_eq!(notes.take(), ["10", "20", "30"]);
    }
}

#[test]
fn a_time_out_ends_what_takes_too_long_and_nothing_else() {
    let (_, ended) = alone(&ALL, |_| async {
        assert!(timeout(MS, sleep(MS * 5)).await.is_err());
        assert_eq!(
            timeout(MS * 5, async {
                sleep(MS).await;
                3
            })
            .await,
            Ok(3)
        );
        assert_eq!(timeout(MS, async { 4 }).await, Ok(4));
    });
    assert_eq!(ended, Some(0));
}

#[test]
fn a_signal_wakes_its_task_while_others_sleep() {
    let machine = Machine::new();
    let quota = machine.object(Object::Quota);
    let clock = machine.object(Object::Clock);
    let mut run = Run::new(&machine);
    let given = Rc::new(Cell::new(Handle::NONE));
    let gives = given.clone();
    let mask = Rc::new(Cell::new(0));
    let masks = mask.clone();
    let process = run.add(&[("quota", quota), ("clock", clock)], &[], move |_| async move {
        let (first, second) = (Signal::new().unwrap(), Signal::new().unwrap());
        assert_ne!(first.mask(), second.mask());
        gives.set(second.capability().unwrap().into_handle());
        masks.set(second.mask());
        spawn(async move {
            first.wait().await;
            panic!("nobody signalled this one");
        });
        second.wait().await;
        // Set once, taken once.
        assert!(timeout(MS, second.wait()).await.is_err());
    });
    run.settle();
    assert_eq!(run.ended(process), None);
    machine.set_bits(given.get(), mask.get());
    run.run();
    assert_eq!(run.ended(process), Some(0));
}

#[test]
fn a_stop_request_comes_as_bit_0_of_the_given_notification() {
    let machine = Machine::new();
    let stop = machine.notification();
    let mut run = Run::new(&machine);
    let process = run.add(&[("stop", stop)], &[], |process: Process| async move {
        process.stop_requested().await;
        Exit(9)
    });
    run.settle();
    assert_eq!(run.ended(process), None);
    machine.set_bits(stop, 1);
    run.settle();
    assert_eq!(run.ended(process), Some(9));
}

// ---- the service loop

/// Function 0 answers at once, 1 after 10 ms, 2 when somebody calls 3, 4 never (drops the
/// request); 5 panics if it is ever called twice at once.
struct Service {
    gate: RefCell<Vec<Request>>,
    stopped: Rc<Cell<bool>>,
}

const BASE: u32 = 0x7000;

impl Dispatch for Service {
    fn accepts(&self, number: u32) -> bool {
        number & !0xff == BASE
    }
    async fn dispatch(&self, request: Request) {
        let badge = request.caller().badge;
        match request.number() - BASE {
            0 => request.answer(&badge, Passing::new()),
            1 => {
                sleep(MS * 10).await;
                request.answer(&badge, Passing::new());
            }
            2 => self.gate.borrow_mut().push(request),
            3 => {
                for held in self.gate.take() {
                    let badge = held.caller().badge;
                    held.answer(&badge, Passing::new());
                }
                request.answer(&badge, Passing::new());
            }
            4 => drop(request),
            _ => request.refuse(Refusal::Unknown),
        }
    }
}

impl Hooks for &Service {
    async fn stopping(&self, grace: Duration) {
        assert_eq!(grace, MS * 5);
        sleep(MS).await;
        self.stopped.set(true);
    }
}

/// A service and clients with badges 1.., each of which calls these functions one by one.
fn serving(clients: &[&[u32]]) -> (Machine, Run, Notes, Handle) {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let names =
        [("endpoint", endpoint), ("quota", machine.object(Object::Quota)), ("clock", machine.object(Object::Clock))];
    let mut run = Run::new(&machine);
    run.add(&names, &[], move |process: Process| async move {
        let service = Service { gate: RefCell::default(), stopped: Rc::default() };
        serve(process.capability("endpoint").unwrap(), service).await
    });
    let notes = Notes::default();
    for (index, functions) in clients.iter().enumerate() {
        let badge = index as u64 + 1;
        let functions = functions.to_vec();
        let notes = notes.clone();
        run.add(&[("service", machine.badged(endpoint, badge))], &[], move |process: Process| async move {
            let connection = Connection::new(process.capability("service").unwrap());
            for function in functions {
                let answer = connection.call::<_, u64, ()>(BASE + function, &(), Passing::new()).await;
                let answer = answer.map(|(badge, _)| badge);
                note(&notes, format!("{badge}: {function} {answer:?}"));
            }
        });
    }
    (machine, run, notes, endpoint)
}

#[test]
fn nobody_waits_for_somebody_elses_request() {
    let (_, mut run, notes, _) = serving(&[&[1], &[2], &[0, 0, 3]]);
    run.run();
    assert_eq!(
        notes.take(),
        ["3: 0 Ok(3)", "3: 0 Ok(3)", "2: 2 Ok(2)", "3: 3 Ok(3)", "1: 1 Ok(1)"],
        "each has its own answer, in the order in which answers were there"
    );
}

#[test]
fn a_request_that_is_dropped_is_refused_not_forgotten() {
    let (_, mut run, notes, _) = serving(&[&[4, 0]]);
    run.run();
    assert_eq!(notes.take(), ["1: 4 Err(Refused(Abandoned))", "1: 0 Ok(1)"]);
}

#[test]
fn a_one_way_message_is_not_answered() {
    let (machine, mut run, _, endpoint) = serving(&[]);
    run.settle();
    for number in [0xF000, 0xF001, 0xBAD] {
        machine.post(endpoint, DeliveryKind::Sent, 7, number, [0; 8], Vec::new());
    }
    run.run();
    let calls = machine.calls(0);
    let calls: Vec<Number> = calls.into_iter().filter(|call| *call != Number::Startup).collect();
    assert_eq!(calls, [Number::Receive; 4], "there is nobody to answer");
}

#[test]
fn answer_and_next_wait_are_one_system_call() {
    let (machine, mut run, notes, _) = serving(&[&[0; 5]]);
    run.run();
    assert_eq!(notes.borrow().len(), 5);
    let calls = machine.calls(0);
    let waits: Vec<Number> = calls.into_iter().filter(|call| *call != Number::Startup).collect();
    assert_eq!(waits[0], Number::Receive);
    assert_eq!(waits[1..], [Number::ReplyReceive; 5]);
}

#[test]
fn an_answer_does_not_wait_for_a_call_that_the_service_makes_next() {
    struct Front(Connection);
    impl Dispatch for Front {
        fn accepts(&self, _: u32) -> bool {
            true
        }
        async fn dispatch(&self, request: Request) {
            request.answer(&1u64, Passing::new());
            // Nobody serves this one.
            let late = self.0.call::<_, u64, ()>(BASE, &(), Passing::new()).await;
            assert!(matches!(late, Err(ClientError::TimedOut)));
        }
    }
    let machine = Machine::new();
    let (endpoint, nobody) = (machine.endpoint(), machine.endpoint());
    let mut run = Run::new(&machine);
    run.add(&[("endpoint", endpoint), ("nobody", nobody)], &[], move |process: Process| async move {
        let nobody = Connection::new(process.capability("nobody").unwrap());
        serve(process.capability("endpoint").unwrap(), Front(nobody)).await
    });
    let client = run.add(&[("service", machine.badged(endpoint, 1))], &[], move |process: Process| async move {
        let connection = Connection::new(process.capability("service").unwrap());
        connection.call::<_, u64, ()>(BASE, &(), Passing::new()).await.map(|_| ()).map_err(|_| "no answer")
    });
    run.settle();
    assert_eq!(run.ended(client), Some(0), "the answer waits for the call");
}

#[test]
fn an_answer_to_a_caller_that_has_gone_is_dropped_and_the_next_is_served() {
    let (_, mut run, notes, _) = serving(&[&[1], &[0]]);
    run.settle();
    run.kill(1);
    run.run();
    assert_eq!(notes.take(), ["2: 0 Ok(2)"]);
}

#[test]
fn more_requests_than_are_worked_on_at_once_wait_in_the_queue() {
    let clients = vec![&[2][..]; libprocess::service::AT_ONCE + 40];
    let (_, mut run, notes, _) = serving(&clients);
    run.settle();
    assert!(notes.borrow().is_empty());
    drop(run);
}

#[test]
fn a_service_ends_when_init_asks_and_only_then() {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let mut run = Run::new(&machine);
    let stopped = Rc::new(Cell::new(false));
    let flag = stopped.clone();
    let names =
        [("endpoint", endpoint), ("quota", machine.object(Object::Quota)), ("clock", machine.object(Object::Clock))];
    let process = run.add(&names, &[], move |process: Process| async move {
        let service = Service { gate: RefCell::default(), stopped: flag };
        serve_with(process.capability("endpoint").unwrap(), (), &service).await
    });
    let stop = |badge, process: u64| {
        let mut words = [0; 8];
        words[0] = 5u64 | process << 8;
        machine.post(endpoint, DeliveryKind::Sent, badge, 0x1100 | 2 << 32, words, Vec::new());
    };
    stop(3, SERIAL);
    run.run();
    assert_eq!(run.ended(process), None, "somebody with a badge is not init");
    stop(0, SERIAL - 1);
    run.run();
    assert_eq!(run.ended(process), None, "it was for the process before it");
    stop(0, SERIAL);
    run.run();
    assert_eq!(run.ended(process), Some(0));
    assert!(stopped.get(), "it did not finish what it had begun");
}

#[test]
fn what_was_begun_is_answered_before_the_service_ends() {
    let (machine, mut run, notes, endpoint) = serving(&[&[1], &[2]]);
    run.settle();
    let mut words = [0; 8];
    words[0] = 100u64 | SERIAL << 8;
    machine.post(endpoint, DeliveryKind::Sent, 0, 0x1100 | 2 << 32, words, Vec::new());
    run.run();
    assert_eq!(run.ended(0), Some(0));
    assert_eq!(notes.take(), ["1: 1 Ok(1)", "2: 2 Err(Refused(Abandoned))"]);
    assert!(machine.now() < 100_000_000, "it took longer than its grace");
}

#[test]
fn exits_and_faults_of_children_come_to_the_hooks() {
    struct Parent(Notes);
    impl Hooks for &Parent {
        async fn exited(&self, exited: Exited) {
            note(&self.0, format!("{} of {}: {:?} {}", exited.process, exited.badge, exited.reason, exited.code));
        }
        async fn faulted(&self, faulted: Faulted) {
            note(&self.0, format!("{:?} {} in {}", faulted.kind, faulted.detail, faulted.process));
            if faulted.kind == FaultKind::TimeLimit {
                faulted.resume()
            }
        }
    }
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let notes = Notes::default();
    let parent = Parent(notes.clone());
    let mut run = Run::new(&machine);
    run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
        serve_with(process.capability("endpoint").unwrap(), (), &parent).await
    });
    let post = |kind, words| machine.post(endpoint, kind, 5, 0, words, Vec::new());
    post(DeliveryKind::Exit, exit_words(ExitReason::Killed as u8, 9, 77, 1_000));
    post(DeliveryKind::Fault, fault_words(FaultKind::TimeLimit, 50, 78, 1));
    post(DeliveryKind::Fault, fault_words(FaultKind::Trap, 3, 79, 1));
    post(DeliveryKind::Exit, [9; 8]);
    // A kind of fault that this version does not know.
    post(DeliveryKind::Fault, [99, 0, 80, 1, 0, 0, 0, 0]);
    run.run();
    assert_eq!(notes.take(), ["77 of 5: Killed 9", "TimeLimit 50 in 78", "Trap 3 in 79"]);
    assert_eq!(
        machine.debug_lines(),
        ["verdict 0xf10", "verdict 0xf11", "verdict 0xf11"],
        "a fault without a verdict kills"
    );
}

#[test]
fn messages_and_time_wake_the_same_wait() {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let quota = machine.object(Object::Quota);
    let clock = machine.object(Object::Clock);
    let notes = Notes::default();
    let seen = notes.clone();
    let mut run = Run::new(&machine);
    let names = [("endpoint", endpoint), ("quota", quota), ("clock", clock)];
    run.add(&names, &[], move |process: Process| async move {
        let ticks = seen.clone();
        spawn(async move {
            for _ in 0..3 {
                sleep(MS * 10).await;
                note(&ticks, "tick");
            }
        });
        let mut inbox = Inbox::open(process.capability("endpoint").unwrap())?;
        loop {
            match inbox.next().await? {
                Incoming::Request(request) => note(&seen, format!("message {}", request.number())),
                _ => note(&seen, "other"),
            }
        }
        #[allow(unreachable_code)]
        Ok::<(), Error>(())
    });
    run.settle();
    run.advance(10_000_000);
    machine.post(endpoint, DeliveryKind::Sent, 1, 5, [0; 8], Vec::new());
    run.settle();
    run.advance(10_000_000);
    run.advance(10_000_000);
    machine.post(endpoint, DeliveryKind::Sent, 1, 6, [0; 8], Vec::new());
    run.settle();
    assert_eq!(notes.take(), ["tick", "message 5", "tick", "tick", "message 6"]);
    assert!(!machine.calls(0).contains(&Number::Wait), "it waits in receive alone");
}

#[test]
fn while_a_call_blocks_no_other_task_runs_and_then_all_do() {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let notes = Notes::default();
    let seen = notes.clone();
    let mut run = Run::new(&machine);
    let caller = run.add(&[("service", endpoint)], &[], move |process: Process| async move {
        let notes = seen.clone();
        spawn(async move {
            loop {
                note(&notes, "other task");
                yield_now().await;
            }
        });
        yield_now().await;
        let connection = Connection::new(process.capability("service").unwrap());
        let before = seen.borrow().len();
        let answer = connection.call::<_, u64, ()>(BASE, &(), Passing::new()).await;
        assert!(answer.is_ok());
        assert_eq!(seen.borrow().len(), before);
        yield_now().await;
        assert!(seen.borrow().len() > before);
    });
    run.settle();
    run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
        serve(process.capability("endpoint").unwrap(), Service { gate: RefCell::default(), stopped: Rc::default() })
            .await
    });
    run.run();
    assert_eq!(run.ended(caller), Some(0));
}

#[test]
fn a_call_whose_waiter_is_dropped_is_waited_for_before_the_process_goes_on() {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let mut run = Run::new(&machine);
    let names =
        [("service", endpoint), ("quota", machine.object(Object::Quota)), ("clock", machine.object(Object::Clock))];
    let caller = run.add(&names, &[], move |process: Process| async move {
        let connection = Rc::new(Connection::new(process.capability("service").unwrap()));
        let mut first = Box::pin({
            let connection = connection.clone();
            async move { connection.call::<_, u64, ()>(BASE, &(), Passing::new()).await.map(|_| ()) }
        });
        // Begun, then thrown away.
        let begun = std::future::poll_fn(|context| std::task::Poll::Ready(first.as_mut().poll(context))).await;
        assert!(begun.is_pending());
        drop(first);
        yield_now().await;
        connection.call::<_, u64, ()>(BASE, &(), Passing::new()).await.map(|_| ()).map_err(|_| "second call")
    });
    run.settle();
    run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
        serve(process.capability("endpoint").unwrap(), Service { gate: RefCell::default(), stopped: Rc::default() })
            .await
    });
    run.run();
    assert_eq!(run.ended(caller), Some(0));
}

#[test]
fn the_endpoints_end_ends_the_service_with_an_error() {
    let machine = Machine::new();
    let mut run = Run::new(&machine);
    let process = run.add(&[("console", machine.object(Object::Console))], &[], |_| async {
        serve(Cap::from_handle(Handle::new(77, 1)), ()).await
    });
    run.run();
    assert_eq!(run.ended(process), Some(1));
}

// ---- devices and console

#[test]
fn what_is_printed_is_shown_in_order_whatever_the_device_takes() {
    for (depth, quick) in [(1, true), (1, false), (4, false), (64, true)] {
        let machine = Machine::new();
        machine.console(|console| (console.depth, console.quick) = (depth, quick));
        let given: Vec<(&str, Handle)> = ALL.iter().map(|(name, object)| (*name, machine.object(*object))).collect();
        let mut run = Run::new(&machine);
        let process = run.add(&given, &[], |process: Process| async move {
            for line in 0..50 {
                libprocess::println!("line {line}");
            }
            libprocess::print!("{}", "x".repeat(10_000));
            process.console().unwrap().write("written\n").await.unwrap();
            libprocess::println!("last");
        });
        for _ in 0..500 {
            run.settle();
            machine.complete();
        }
        run.run();
        assert_eq!(run.ended(process), Some(0), "depth {depth}");
        let mut expected: String = (0..50).map(|line| format!("line {line}\n")).collect();
        expected += &"x".repeat(10_000);
        expected += "written\nlast\n";
        assert_eq!(machine.shown(), expected, "depth {depth}");
    }
}

#[test]
fn a_serial_line_is_a_console() {
    for (terminal, interrupt) in [(false, true), (true, true), (true, false)] {
        let machine = Machine::new();
        machine.console(|console| console.serial = Some(SerialLine { room: 20, terminal, ..SerialLine::default() }));
        let given = ALL.iter().filter(|(name, _)| interrupt || *name != "interrupt:console");
        let given: Vec<(&str, Handle)> = given.map(|(name, object)| (*name, machine.object(*object))).collect();
        let mut run = Run::new(&machine);
        let process = run.add(&given, &[], |process: Process| async move {
            let console = process.console().unwrap();
            for line in 0..50 {
                libprocess::println!("line {line}");
            }
            assert_eq!(console.read_line().await.unwrap().as_deref(), Some("pat"));
            console.write(&"x".repeat(10_000)).await.unwrap();
            assert!(console.read(100).await.unwrap().is_empty(), "the end of the input");
            libprocess::println!("last");
        });
        run.settle();
        assert!((13..=20).contains(&machine.shown().len()), "as much as the line takes, up to 8 bytes at once");
        machine.at_the_serial_line(|line| line.room = usize::MAX);
        // Without a terminal nothing is edited.
        let typed: &[&[u8]] = match terminal {
            true => &[b"pa", b"q\x7f", b"t\r\x04for the next one\r"],
            false => &[b"pa", b"t\n\x04for the next one\n"],
        };
        for typed in typed {
            run.settle();
            machine.at_the_serial_line(|line| line.typed.extend(*typed));
            for _ in 0..5 {
                run.settle();
                run.advance(2_000_000);
            }
        }
        run.run();
        assert_eq!(run.ended(process), Some(0));
        let end = if terminal { "\r\n" } else { "\n" };
        let mut expected: String = (0..50).map(|line| format!("line {line}{end}")).collect();
        if terminal {
            expected += "paq\x08 \x08t\r\n";
        }
        expected += &"x".repeat(10_000);
        expected += &format!("last{end}");
        assert_eq!(machine.shown(), expected);
        machine.console(|console| {
            let left = console.serial.as_ref().map(|line| line.typed.len());
            assert_eq!(left, Some(17), "what is for the next reader stays");
        });
    }
}

#[test]
fn without_a_console_lines_go_to_the_debug_output() {
    let (machine, ended) = alone(&[], |_| async {
        libprocess::print!("one ");
        libprocess::println!("line");
        libprocess::print!("and a rest");
    });
    assert_eq!(ended, Some(0));
    assert_eq!(machine.debug_lines(), ["one line", "and a rest"]);
}

#[test]
fn lines_are_read_as_they_were_typed_until_the_end() {
    let machine = Machine::new();
    machine.console(|console| {
        console.quick = false;
        for chunk in [&b"first\nsec"[..], b"ond\r\n\n\xFF\n\xFE\r\nthi", b"rd"] {
            console.input.push_back(chunk.to_vec());
        }
    });
    let given: Vec<(&str, Handle)> = ALL.iter().map(|(name, object)| (*name, machine.object(*object))).collect();
    let mut run = Run::new(&machine);
    let process = run.add(&given, &[], |process: Process| async move {
        let console = process.console().unwrap();
        for expected in ["first", "second", ""] {
            assert_eq!(console.read_line().await.unwrap().as_deref(), Some(expected));
        }
        // What is no text is no text, and stays what it is where it is asked for as data.
        assert_eq!(console.read_line().await, Err(Error::InvalidArgument));
        assert_eq!(console.read_line_bytes().await, Ok(Some(vec![0xFE])));
        assert_eq!(console.read_line().await, Ok(Some("third".to_string())));
        assert_eq!(console.read_line().await, Ok(None));
    });
    for _ in 0..20 {
        run.settle();
        machine.complete();
    }
    assert_eq!(run.ended(process), Some(0));
}

#[test]
fn a_line_is_bounded_and_the_next_is_whole() {
    let machine = Machine::new();
    machine.console(|console| {
        let long = vec![b'x'; LONGEST_LINE];
        for line in [&[&long[..], b"\n"].concat()[..], &[&long[..], b"xx\n"].concat(), b"next\n", &long, b"x"] {
            console.input.extend(line.chunks(4096).map(<[u8]>::to_vec));
        }
    });
    let given: Vec<(&str, Handle)> = ALL.iter().map(|(name, object)| (*name, machine.object(*object))).collect();
    let mut run = Run::new(&machine);
    let process = run.add(&given, &[], |process: Process| async move {
        let console = process.console().unwrap();
        assert_eq!(console.read_line_bytes().await.map(|line| line.map(|line| line.len())), Ok(Some(LONGEST_LINE)));
        assert_eq!(console.read_line_bytes().await, Err(Error::TooLarge));
        assert_eq!(console.read_line().await, Ok(Some("next".to_string())));
        assert_eq!(console.read_line().await, Err(Error::TooLarge), "without an end, too");
        assert_eq!(console.read_line().await, Ok(None));
    });
    run.run();
    assert_eq!(run.ended(process), Some(0));
}

#[test]
fn reading_the_console_and_waiting_for_a_signal_can_be_selected() {
    let machine = Machine::new();
    machine.console(|console| console.quick = false);
    let given: Vec<(&str, Handle)> = ALL.iter().map(|(name, object)| (*name, machine.object(*object))).collect();
    let handle = Rc::new(Cell::new((Handle::NONE, 0)));
    let gives = handle.clone();
    let mut run = Run::new(&machine);
    let process = run.add(&given, &[], move |process: Process| async move {
        use futures_util::future::{Either, select};
        let signal = Signal::new().unwrap();
        gives.set((signal.capability().unwrap().into_handle(), signal.mask()));
        let console = process.console().unwrap();
        let read = Box::pin(console.read(10));
        match select(read, Box::pin(signal.wait())).await {
            Either::Left(_) => Exit(1),
            Either::Right(_) => Exit(2),
        }
    });
    run.settle();
    let (notification, mask) = handle.get();
    machine.set_bits(notification, mask);
    run.settle();
    assert_eq!(run.ended(process), Some(2));
}

#[test]
fn what_is_typed_is_not_lost_when_its_reader_stops_waiting() {
    let machine = Machine::new();
    machine.console(|console| {
        console.quick = false;
        console.input.push_back(b"typed".to_vec());
    });
    let given: Vec<(&str, Handle)> = ALL.iter().map(|(name, object)| (*name, machine.object(*object))).collect();
    let mut run = Run::new(&machine);
    let process = run.add(&given, &[], |process: Process| async move {
        let console = process.console().unwrap();
        assert!(timeout(MS, console.read(100)).await.is_err());
        sleep(MS).await;
        assert_eq!(console.read(2).await.unwrap(), b"ty");
        assert_eq!(console.read(100).await.unwrap(), b"ped");
    });
    run.settle();
    run.advance(1_000_000);
    machine.complete();
    run.run();
    assert_eq!(run.ended(process), Some(0));
}

#[test]
fn a_process_without_a_console_of_its_own_keeps_what_it_has_to_grant() {
    let names = [("device:console", Object::Console), ("interrupt:console", Object::ConsoleInterrupt)];
    let (_, ended) = alone(&names, |process| async move {
        assert_eq!(process.capability_names(), ["device:console", "interrupt:console"]);
        assert!(process.console().is_err());
    });
    assert_eq!(ended, Some(0));
}

#[test]
fn operations_of_several_tasks_each_get_their_own_completion() {
    for binding in [libprocess::Binding::Kept, libprocess::Binding::PerOperation] {
        for names in [&["quota", "clock", "interrupt:console"][..], &["quota", "clock"][..]] {
            let machine = Machine::new();
            machine.console(|console| {
                (console.depth, console.quick) = (2, false);
                console.input = (0..6).map(|n| vec![n; usize::from(n) + 1]).collect();
            });
            let console = machine.object(Object::Console);
            let given: Vec<(&str, Handle)> = ALL
                .iter()
                .filter(|(name, _)| names.contains(name))
                .map(|(name, object)| {
                    (if *name == "interrupt:console" { "interrupt:it" } else { name }, machine.object(*object))
                })
                .collect();
            let mut run = Run::new(&machine);
            let notes = Notes::default();
            let seen = notes.clone();
            let process = run.add(&given, &[], move |process: Process| async move {
                let interrupt = process.capability("interrupt:it").ok();
                let device = HostDevice::new(Cap::from_handle(console), interrupt, binding);
                let tasks = (0..6).map(|_| async {
                    let (completion, bytes) = device.operate(Operation::Read, 0, 10, &[]).await.unwrap();
                    assert_eq!(completion.length as usize, bytes.len());
                    note(&seen, format!("{}", bytes.len()));
                });
                futures_util::future::join_all(tasks).await;
            });
            for _ in 0..40 {
                run.settle();
                machine.complete();
                run.advance(2_000_000);
            }
            assert_eq!(run.ended(process), Some(0), "{binding:?} {names:?}");
            let mut lengths = notes.take();
            lengths.sort();
            assert_eq!(lengths, ["1", "2", "3", "4", "5", "6"]);
        }
    }
}

#[test]
fn a_killed_process_makes_no_more_calls() {
    let (machine, mut run, _, _) = serving(&[&[1]]);
    run.settle();
    let before = machine.calls(1).len();
    run.kill(1);
    assert_eq!(machine.calls(1).len(), before);
}

#[test]
fn errors_of_a_call_say_what_the_caller_can_do() {
    assert_eq!(ClientError::<()>::from(Error::PeerGone), ClientError::ServiceRestarted);
    assert_eq!(ClientError::<()>::from(Error::TimedOut), ClientError::TimedOut);
    assert_eq!(ClientError::<()>::from(Error::Revoked), ClientError::System(Error::Revoked));
}
