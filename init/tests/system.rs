//! The system as a state machine: phases, supervision, session and shutdown, as a person
//! who runs it expects them.

use init::manifest::{Manifest, parse};
use init::service::{Down, End, State, View};
use init::system::{Effect, Input, Order, STATUS_FAULTED, STATUS_NOT_UP, Stage, System, Who};
use init::upgrade::Phase;
use libprocess::abi::ExitReason;
use libprocess::client::Refusal;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const GOOD: End = End { reason: ExitReason::Exited, code: 0 };
const CRASH: End = End { reason: ExitReason::Faulted, code: 4 };

/// A manifest of services `name phase needs`, with a shell that needs the last.
fn manifest(services: &[(&str, u32, &[&str])], policy: &str) -> Manifest {
    let mut text = String::new();
    let quota = "quota = { memory = \"1 MiB\", pages = \"1 MiB\" }";
    for (place, (name, phase, needs)) in services.iter().enumerate() {
        text += &format!(
            "[[service]]\nname = \"{name}\"\nimage = \"{name}\"\nphase = {phase}\nbadge = {}\n{quota}\nneeds = {needs:?}\nrestart = {{ policy = \"{policy}\" }}\n",
            place + 10
        );
    }
    let need = services.last().map_or(String::new(), |s| format!("{:?}", s.0));
    text += &format!("[[session]]\nname = \"shell\"\nimage = \"shell\"\nbadge = 2\n{quota}\nneeds = [{need}]\n");
    parse(&text).unwrap()
}

/// disk (phase 1), log (1), store (2, needs disk), web (3, needs store).
fn four() -> Manifest {
    manifest(&[("disk", 1, &[]), ("log", 1, &[]), ("store", 2, &["disk"]), ("web", 3, &["store"])], "on-failure")
}

const DISK: usize = 0;
const LOG: usize = 1;
const STORE: usize = 2;
const WEB: usize = 3;

fn launch(place: usize) -> Effect {
    Effect::Launch(Who::Service(place))
}

fn up(manifest: &Manifest) -> System {
    let mut system = System::new(manifest, 0);
    system.step(Input::Begin, 0);
    for place in 0..manifest.services.len() {
        system.step(Input::Ready(place), 0);
    }
    assert_eq!(system.stage(), Stage::Running);
    system
}

fn reports(effects: &[Effect]) -> String {
    effects.iter().filter_map(|e| if let Effect::Report(t) = e { Some(format!("{t}\n")) } else { None }).collect()
}

#[test]
fn phases_come_in_order_and_within_one_all_start_at_once() {
    let mut system = System::new(&four(), 0);
    assert_eq!(system.step(Input::Begin, 0), [launch(DISK), launch(LOG)]);
    assert_eq!(system.step(Input::Ready(DISK), 1), [], "log is still starting");
    assert_eq!(system.step(Input::Ready(LOG), 2), [launch(STORE)]);
    assert_eq!(system.step(Input::Ready(STORE), 3), [launch(WEB)]);
    assert_eq!(system.stage(), Stage::Starting { phase: 3 });
    assert_eq!(system.step(Input::Ready(WEB), 4), [Effect::Launch(Who::Session)]);
    assert_eq!(system.stage(), Stage::Running);
}

#[test]
fn within_a_phase_a_service_waits_for_what_it_needs() {
    let manifest = manifest(&[("web", 1, &["store"]), ("store", 1, &[])], "never");
    let mut system = System::new(&manifest, 0);
    assert_eq!(system.step(Input::Begin, 0), [launch(1)]);
    assert_eq!(system.step(Input::Ready(1), 0), [launch(0)]);
}

#[test]
fn a_killed_service_is_started_again_and_those_that_need_it_are_told() {
    let mut system = up(&four());
    let effects = system.step(Input::Ended(Who::Service(STORE), CRASH), S);
    assert!(effects.contains(&Effect::Tell { to: WEB, about: STORE, view: View::Restarting }));
    assert!(reports(&effects).contains("store was ended by a fault (WebAssembly trap); it is started again in 100 ms"));
    assert_eq!(system.deadline(), Some(S + 100 * MS));
    assert_eq!(system.step(Input::Tick, S + 100 * MS), [launch(STORE)]);
    let effects = system.step(Input::Ready(STORE), S + 101 * MS);
    assert_eq!(effects, [Effect::Tell { to: WEB, about: STORE, view: View::Up }]);
}

#[test]
fn one_that_is_started_again_waits_for_what_it_needs() {
    let mut system = up(&four());
    system.step(Input::Ended(Who::Service(STORE), CRASH), S);
    system.step(Input::Ended(Who::Service(DISK), CRASH), S);
    let effects = system.step(Input::Tick, S + 100 * MS);
    assert_eq!(effects, [launch(DISK)], "store waits for disk");
    assert_eq!(system.step(Input::Ready(DISK), 2 * S), [launch(STORE)]);
}

#[test]
fn a_service_that_keeps_failing_is_disabled_and_a_session_that_needs_it_ends_the_boot() {
    let mut system = System::new(&four(), 0);
    system.step(Input::Begin, 0);
    system.step(Input::Ready(LOG), 0);
    let mut now = 0;
    let mut told = String::new();
    while system.stage() == (Stage::Starting { phase: 1 }) {
        told += &reports(&system.step(Input::Ended(Who::Service(DISK), CRASH), now));
        if let Some(deadline) = system.deadline() {
            now = deadline;
            system.step(Input::Tick, now);
        }
    }
    assert_eq!(*system.service(DISK).state(), State::Down(Down::Disabled));
    assert!(told.contains(
        "disk was ended by a fault (WebAssembly trap) before it was ready, after 5 restarts in 60 s; it is disabled"
    ));
    assert!(told.contains("store is not started: disk, which it needs, is not there"), "{told}");
    assert!(told.contains("web is not started: store"), "{told}");
    assert!(told.contains("shell is not started: web"), "{told}");
    assert_eq!(system.stage(), Stage::Stopping { status: STATUS_NOT_UP }, "log still has to stop");
    assert_eq!(system.step(Input::Ended(Who::Service(LOG), GOOD), now), [Effect::PowerOff(STATUS_NOT_UP)]);
}

#[test]
fn a_service_that_says_it_never_can_is_not_started_again_and_those_that_need_it_are_answered_for() {
    let mut system = System::new(&manifest(&[("disk", 1, &[]), ("store", 1, &["disk"]), ("web", 1, &[])], "always"), 0);
    system.step(Input::Begin, 0);
    assert_eq!(system.step(Input::Unable(0, "too small".into()), 0), [Effect::Kill(Who::Service(0))]);
    let effects = system.step(Input::Ended(Who::Service(0), End { reason: ExitReason::Killed, code: 0 }), 0);
    assert!(reports(&effects).contains("disk failed: too small; it is not started again"), "{effects:?}");
    assert_eq!(*system.service(0).state(), State::Down(Down::Failed));
    assert_eq!(system.service(0).last_end(), "failed: too small");
    assert!(effects.contains(&Effect::StandIn(0, Some(Refusal::Failed))));
    assert!(effects.contains(&Effect::StandIn(1, Some(Refusal::Waiting))), "store can not start either");
    assert_eq!(system.deadline(), Some(10 * S), "only web is still waited for");
}

#[test]
fn a_disabled_service_that_the_session_does_not_need_stops_nobody_else() {
    let manifest = manifest(&[("web", 1, &[]), ("store", 1, &[])], "never");
    let mut system = System::new(&manifest, 0);
    system.step(Input::Begin, 0);
    system.step(Input::Ended(Who::Service(0), CRASH), 0);
    assert_eq!(system.step(Input::Ready(1), 0), [Effect::Launch(Who::Session)]);
}

#[test]
fn the_end_of_the_session_stops_everything_in_reverse_order_with_its_status() {
    let mut system = up(&four());
    let ask = |place| Effect::Ask(Who::Service(place), 2 * S);
    let end = End { reason: ExitReason::Exited, code: 3 };
    assert_eq!(system.step(Input::Ended(Who::Session, end), S), [ask(WEB)]);
    assert_eq!(system.step(Input::Ended(Who::Service(WEB), GOOD), S), [ask(STORE)]);
    assert_eq!(system.step(Input::Ended(Who::Service(STORE), GOOD), S), [ask(LOG), ask(DISK)]);
    assert_eq!(system.step(Input::Ended(Who::Service(DISK), GOOD), S), []);
    assert_eq!(system.step(Input::Ended(Who::Service(LOG), GOOD), S), [Effect::PowerOff(3)]);
    assert_eq!(system.stage(), Stage::Off);
    assert_eq!(system.step(Input::Tick, 2 * S), []);
}

#[test]
fn a_service_that_does_not_stop_is_killed_and_the_rest_goes_on() {
    let mut system = up(&four());
    system.step(Input::Ended(Who::Session, GOOD), 0);
    let effects = system.step(Input::Tick, 2 * S);
    assert!(effects.contains(&Effect::Kill(Who::Service(WEB))));
    assert!(reports(&effects).contains("web did not stop within 2000 ms"));
    let killed = End { reason: ExitReason::Killed, code: 0 };
    assert_eq!(system.step(Input::Ended(Who::Service(WEB), killed), 2 * S), [Effect::Ask(Who::Service(STORE), 2 * S)]);
}

#[test]
fn the_host_can_stop_a_running_session_and_its_status_stands() {
    let mut system = up(&four());
    assert_eq!(system.step(Input::Shutdown(130), 0), [Effect::Ask(Who::Session, 2 * S)]);
    assert_eq!(system.step(Input::Shutdown(1), 0), [], "it is stopping already");
    let effects = system.step(Input::Tick, 2 * S);
    let (health, rest): (Vec<_>, Vec<_>) =
        effects.into_iter().partition(|effect| matches!(effect, Effect::AskHealth(..)));
    assert_eq!(
        (health.len(), rest),
        (4, vec![Effect::Kill(Who::Session)]),
        "the services are watched as long as they serve"
    );
    let effects = system.step(Input::Ended(Who::Session, End { reason: ExitReason::Killed, code: 0 }), 2 * S);
    assert_eq!(effects, [Effect::Ask(Who::Service(WEB), 2 * S)], "no report: it was told to");
    assert_eq!(system.stage(), Stage::Stopping { status: 130 });
}

#[test]
fn a_shutdown_while_services_come_up_starts_nothing_more() {
    let mut system = System::new(&four(), 0);
    system.step(Input::Begin, 0);
    let effects = system.step(Input::Shutdown(130), 1);
    assert_eq!(effects, [Effect::Ask(Who::Service(LOG), 2 * S), Effect::Ask(Who::Service(DISK), 2 * S)]);
    system.step(Input::Ended(Who::Service(DISK), GOOD), 2);
    assert_eq!(system.step(Input::Ended(Who::Service(LOG), GOOD), 2), [Effect::PowerOff(130)]);
}

#[test]
fn a_session_that_crashes_is_reported_and_ends_the_machine_with_a_status_of_its_own() {
    let mut system = up(&four());
    let effects = system.step(Input::Ended(Who::Session, CRASH), 0);
    assert!(reports(&effects).contains("shell was ended by a fault (WebAssembly trap)"));
    assert_eq!(system.stage(), Stage::Stopping { status: STATUS_FAULTED });
}

#[test]
fn a_code_that_no_status_holds_is_no_success() {
    let mut system = up(&four());
    system.step(Input::Ended(Who::Session, End { reason: ExitReason::Exited, code: 256 }), 0);
    assert_eq!(system.stage(), Stage::Stopping { status: 255 });
}

#[test]
fn orders_are_followed() {
    let mut system = up(&four());
    assert_eq!(system.step(Input::Order(STORE, Order::Stop), 0), [Effect::Ask(Who::Service(STORE), 2 * S)]);
    let effects = system.step(Input::Ended(Who::Service(STORE), GOOD), 0);
    let stand_in = Effect::StandIn(STORE, Some(Refusal::Stopped));
    assert_eq!(effects, [Effect::Tell { to: WEB, about: STORE, view: View::Down }, stand_in]);
    assert_eq!(*system.service(STORE).state(), State::Down(Down::Stopped));
    let effects = system.step(Input::Order(STORE, Order::Start), 0);
    assert_eq!(effects, [Effect::StandIn(STORE, None), launch(STORE)], "never two who receive");
    system.step(Input::Ready(STORE), 0);
    assert_eq!(system.step(Input::Order(STORE, Order::Kill), 0), [Effect::Kill(Who::Service(STORE))]);
    system.step(Input::Ended(Who::Service(STORE), End { reason: ExitReason::Killed, code: 0 }), 0);
    assert!(matches!(system.service(STORE).state(), State::BackingOff { .. }), "killed as by a crash");
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Ready(usize),
    Crash(usize),
    Finish(usize),
    Unable(usize),
    Unlaunchable(usize),
    Order(usize, Order),
    Healthy(usize),
    /// The successor asks for what it takes over; is ready; fails; crashes; cannot be started.
    Asks(usize),
    NextReady(usize),
    NextFails(usize),
    NextCrashes(usize),
    NextUnlaunchable(usize),
    /// The old process lets go.
    Release(usize),
    SessionEnds,
    Shutdown,
    Later(u64),
}

/// What a model knows of the upgrade of a service.
#[derive(Clone, Copy, Default, Debug)]
struct Next {
    /// There is a successor.
    alive: bool,
    /// It has asked for what it takes over, or said that it is ready.
    said: bool,
    /// It was told that all is let go.
    holds: bool,
    /// The old process was asked to let go.
    asked: bool,
    /// It has let go.
    released: bool,
}

impl Next {
    /// The successor has ended; the old process does not change by that.
    fn gone(self) -> Next {
        Next { alive: false, said: false, holds: false, ..self }
    }
}

fn moves() -> impl Strategy<Value = Move> {
    let place = 0..4usize;
    prop_oneof![
        6 => place.clone().prop_map(Move::Ready),
        3 => place.clone().prop_map(Move::Crash),
        1 => place.clone().prop_map(Move::Finish),
        1 => place.clone().prop_map(Move::Unable),
        1 => place.clone().prop_map(Move::Unlaunchable),
        2 => (place.clone(), prop_oneof![Just(Order::Start), Just(Order::Stop), Just(Order::Restart), Just(Order::Kill)])
            .prop_map(|(p, o)| Move::Order(p, o)),
        3 => place.clone().prop_map(|p| Move::Order(p, Order::Upgrade)),
        2 => place.clone().prop_map(Move::Healthy),
        3 => place.clone().prop_map(Move::Asks),
        3 => place.clone().prop_map(Move::NextReady),
        1 => place.clone().prop_map(Move::NextFails),
        1 => place.clone().prop_map(Move::NextCrashes),
        1 => place.clone().prop_map(Move::NextUnlaunchable),
        4 => place.prop_map(Move::Release),
        1 => Just(Move::SessionEnds),
        1 => Just(Move::Shutdown),
        4 => (1..5_000u64).prop_map(|ms| Move::Later(ms * MS)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: a service is only started where its process has ended and all that
    /// it needs is up; processes end only once; while the system runs, exactly those that
    /// will not come up by themselves are stood in for, and never one that has a process; nothing
    /// is done after power off; and once everything that runs ends as it is asked to, the machine goes off.
    /// In an upgrade never two processes hold what only one can have, and one that let go and lives on is told.
    #[test]
    fn whatever_happens_the_order_holds_and_the_machine_can_be_turned_off(moves in prop::collection::vec(moves(), 0..80)) {
        let manifest = four();
        let mut system = System::new(&manifest, 0);
        let mut alive = [false; 5]; // 4: the session
        let mut stand_ins = [None; 4];
        let mut next = [Next::default(); 4];
        let mut now = 0;
        let mut off = false;
        let mut queue: Vec<Input> = vec![Input::Begin];
        let mut moves = moves.into_iter();
        let mut rounds = 0;
        loop {
            let input = match queue.pop() {
                Some(input) => input,
                None => match moves.next() {
                    Some(Move::Ready(p)) if alive[p] => Input::Ready(p),
                    Some(Move::Crash(p)) if alive[p] => { alive[p] = false; Input::Ended(Who::Service(p), CRASH) }
                    Some(Move::Finish(p)) if alive[p] => { alive[p] = false; Input::Ended(Who::Service(p), GOOD) }
                    Some(Move::Unable(p)) if alive[p] => Input::Unable(p, "no disk".into()),
                    Some(Move::Unlaunchable(p)) if alive[p] => { alive[p] = false; Input::NotLaunched(Who::Service(p), "x".into()) }
                    Some(Move::Order(p, order)) => Input::Order(p, order),
                    Some(Move::Healthy(p)) if alive[p] => Input::Healthy(p, String::new()),
                    Some(Move::Asks(p)) if next[p].alive && !next[p].said => { next[p].said = true; Input::TakesOver(p) }
                    Some(Move::NextReady(p)) if next[p].alive && (!next[p].said || next[p].holds) => {
                        next[p].said = true;
                        Input::SuccessorReady(p)
                    }
                    Some(Move::NextFails(p)) if next[p].alive => Input::SuccessorFailed(p, "no disk".into()),
                    Some(Move::NextCrashes(p)) if next[p].alive => { next[p] = next[p].gone(); Input::SuccessorEnded(p, CRASH) }
                    Some(Move::NextUnlaunchable(p)) if next[p].alive && !next[p].said => {
                        next[p] = next[p].gone();
                        Input::SuccessorNotLaunched(p, "x".into())
                    }
                    Some(Move::Release(p)) if alive[p] && next[p].asked && !next[p].released => {
                        (next[p].released, next[p].asked) = (true, false);
                        Input::Released(p)
                    }
                    Some(Move::SessionEnds) if alive[4] => { alive[4] = false; Input::Ended(Who::Session, GOOD) }
                    Some(Move::Shutdown) => Input::Shutdown(1),
                    Some(Move::Later(by)) => { now += by; Input::Tick }
                    Some(_) => continue,
                    None if off => break,
                    None => {
                        // The end: everything that runs ends in turn.
                        rounds += 1;
                        prop_assert!(rounds < 20, "it does not go off: {system:?}");
                        now += 60 * S;
                        match (0..5).find(|&p| alive[p]) {
                            Some(4) => { alive[4] = false; Input::Ended(Who::Session, GOOD) }
                            Some(p) if rounds > 1 => { alive[p] = false; Input::Ended(Who::Service(p), GOOD) }
                            _ => Input::Shutdown(1),
                        }
                    }
                },
            };
            if let Input::Ended(Who::Service(p), _) | Input::NotLaunched(Who::Service(p), _) = input {
                (next[p].released, next[p].asked) = (false, false);
            }
            let effects = system.step(input, now);
            prop_assert!(!off || effects.is_empty(), "after power off: {effects:?}");
            for effect in effects {
                match effect {
                    Effect::Launch(who) => {
                        let place = match who { Who::Service(p) => p, Who::Session => 4 };
                        prop_assert!(!alive[place], "{who:?} is started twice");
                        alive[place] = true;
                        prop_assert!(place == 4 || !next[place].alive, "{place} has a successor already");
                        if let Who::Service(p) = who {
                            prop_assert_eq!(stand_ins[p], None, "{} is not the only one to receive", p);
                            for &need in &manifest.services[p].needs {
                                prop_assert_eq!(system.service(need).state(), &State::Up);
                            }
                        }
                    }
                    Effect::Kill(who) => {
                        let place = match who { Who::Service(p) => p, Who::Session => 4 };
                        prop_assert!(alive[place], "{who:?} is killed and has no process");
                        alive[place] = false;
                        queue.insert(0, Input::Ended(who, End { reason: ExitReason::Killed, code: 0 }));
                    }
                    Effect::AskHealth(p, _) => prop_assert!(alive[p] && !next[p].alive),
                    Effect::LaunchSuccessor(p) => {
                        prop_assert!(alive[p] && !next[p].alive);
                        next[p].alive = true;
                    }
                    Effect::AskHandOver(p, _) => {
                        prop_assert!(next[p].alive);
                        next[p].asked = true;
                    }
                    Effect::GiveOver(p) => {
                        prop_assert!(next[p].alive && (!alive[p] || next[p].released), "{p}: both hold it");
                        next[p].holds = true;
                    }
                    Effect::KillSuccessor(p) => {
                        prop_assert!(next[p].alive);
                        next[p] = next[p].gone();
                        queue.insert(0, Input::SuccessorEnded(p, End { reason: ExitReason::Killed, code: 0 }));
                    }
                    Effect::Resume(p) => {
                        // A successor may be there that has not asked yet, if this is the answer to one before it.
                        prop_assert!(!next[p].holds, "{p}: both hold it");
                        next[p].released = false;
                    }
                    Effect::Switch(p) => {
                        prop_assert!(alive[p] && next[p].alive && next[p].released, "{p}: it had not let go");
                        next[p] = Next::default();
                    }
                    Effect::Ask(who, _) => {
                        let place = match who { Who::Service(p) => p, Who::Session => 4 };
                        prop_assert!(alive[place]);
                    }
                    Effect::Tell { to, about, .. } => {
                        prop_assert!(manifest.services[to].needs.contains(&about));
                        prop_assert!(alive[to]);
                    }
                    Effect::StandIn(p, answer) => {
                        prop_assert!(answer.is_none() || !alive[p], "{p} is there itself");
                        stand_ins[p] = answer;
                    }
                    Effect::Report(text) => prop_assert!(!text.contains('\n')),
                    Effect::PowerOff(_) => {
                        prop_assert!(alive.iter().all(|a| !a), "off while {alive:?}");
                        off = true;
                    }
                }
            }
            for (p, next) in next.iter().enumerate() {
                prop_assert!(!next.released || !queue.is_empty() || next.alive, "{p} let go, and nobody tells it");
            }
            if let Stage::Starting { .. } | Stage::Running = system.stage() {
                for (p, answer) in stand_ins.iter().enumerate() {
                    prop_assert_eq!(*answer, system.absence(p), "{}: {:?}", p, system.service(p).state());
                }
            }
            if let Some(deadline) = system.deadline() && deadline <= now {
                prop_assert!(!matches!(system.stage(), Stage::Off));
                queue.insert(0, Input::Tick);
            }
        }
    }
}

#[test]
fn an_upgrade_takes_its_steps_one_after_the_other() {
    let mut system = up(&four());
    assert_eq!(system.step(Input::Order(STORE, Order::Upgrade), S), [Effect::LaunchSuccessor(STORE)]);
    assert_eq!(system.step(Input::TakesOver(STORE), S), [Effect::AskHandOver(STORE, S)]);
    assert_eq!(system.step(Input::Released(STORE), S), [Effect::GiveOver(STORE)]);
    assert!(matches!(system.service(STORE).upgrade().phase, Some(Phase::Switching { .. })));
    let told = |view| Effect::Tell { to: WEB, about: STORE, view };
    let switched = [Effect::Switch(STORE), told(View::Restarting), told(View::Up)];
    assert_eq!(system.step(Input::SuccessorReady(STORE), S), switched);
    assert_eq!(system.service(STORE).upgrade().result, Some(Ok(())));
    assert_eq!((system.service(STORE).state(), system.service(STORE).restarts()), (&State::Up, 0));
}

/// The random test came to this once in some thousand runs.
#[test]
fn an_upgrade_of_a_service_that_could_not_be_started_after_all_comes_to_nothing() {
    let mut system = up(&four());
    system.step(Input::Order(STORE, Order::Upgrade), S);
    system.step(Input::TakesOver(STORE), S);
    system.step(Input::Released(STORE), S);
    let effects = system.step(Input::NotLaunched(Who::Service(STORE), "no memory".into()), S);
    assert!(effects.contains(&Effect::KillSuccessor(STORE)), "{effects:?}");
    assert!(!system.step(Input::SuccessorReady(STORE), S).contains(&Effect::Switch(STORE)));
    assert!(matches!(system.service(STORE).upgrade().result, Some(Err(_))));
}

#[test]
fn a_successor_that_takes_nothing_over_has_the_place_when_the_old_one_has_let_go() {
    let mut system = up(&four());
    system.step(Input::Order(LOG, Order::Upgrade), S);
    assert_eq!(system.step(Input::SuccessorReady(LOG), S), [Effect::AskHandOver(LOG, S)]);
    assert_eq!(system.step(Input::Released(LOG), S), [Effect::GiveOver(LOG), Effect::Switch(LOG)]);
}

#[test]
fn an_upgrade_that_fails_leaves_the_old_process_where_it_was() {
    let phases: [&[Input]; 3] = [&[], &[Input::TakesOver(DISK)], &[Input::TakesOver(DISK), Input::Released(DISK)]];
    for before in phases {
        for fails in [Input::SuccessorEnded(DISK, CRASH), Input::SuccessorFailed(DISK, "no".into()), Input::Tick] {
            let mut system = up(&four());
            system.step(Input::Order(DISK, Order::Upgrade), S);
            for input in before {
                system.step(input.clone(), S);
            }
            // Between the time-out of the upgrade and the next health check lies nothing else.
            let effects = system.step(fails.clone(), 12 * S);
            assert!(reports(&effects).contains("disk was not upgraded: "), "{fails:?}: {effects:?}");
            let effects = if effects.contains(&Effect::KillSuccessor(DISK)) {
                assert!(!effects.contains(&Effect::Resume(DISK)), "never both");
                system.step(Input::SuccessorEnded(DISK, CRASH), 12 * S)
            } else {
                effects
            };
            assert!(effects.contains(&Effect::Resume(DISK)), "{fails:?}: {effects:?}");
            assert_eq!(system.service(DISK).state(), &State::Up);
            assert!(matches!(&system.service(DISK).upgrade().result, Some(Err(_))));
            // What it was asked before, it may do only now.
            assert_eq!(system.step(Input::Released(DISK), 12 * S), [Effect::Resume(DISK)]);
        }
    }
}

/// The store after an upgrade that came to nothing at 12 s: it takes hold again, and does not answer yet.
fn store_takes_hold_again() -> System {
    let mut manifest = four();
    manifest.services[STORE].health.timeout = 5 * S;
    let mut system = up(&manifest);
    system.step(Input::Tick, 2 * S);
    system.step(Input::Order(STORE, Order::Upgrade), 2 * S);
    system.step(Input::TakesOver(STORE), 2 * S);
    assert_eq!(system.step(Input::Released(STORE), 2 * S), [Effect::GiveOver(STORE)]);
    let effects = system.step(Input::SuccessorEnded(STORE, CRASH), 12 * S);
    assert!(effects.contains(&Effect::Resume(STORE)), "{effects:?}");
    system
}

/// When the store is asked whether it is well, of the ticks of every half second from then on; the others answer.
fn store_is_asked(system: &mut System, times: std::ops::Range<u64>) -> Option<u64> {
    for now in times.step_by(500 * MS as usize) {
        let effects = system.step(Input::Tick, now);
        if effects.iter().any(|effect| matches!(effect, Effect::AskHealth(STORE, _))) {
            return Some(now);
        }
        for place in [DISK, LOG, WEB] {
            system.step(Input::Healthy(place, String::new()), now);
        }
    }
    None
}

#[test]
fn a_service_that_takes_hold_again_has_as_long_for_that_as_for_its_start() {
    let mut system = store_takes_hold_again();
    assert_eq!(store_is_asked(&mut system, 12 * S..60 * S), Some(22 * S));
    assert!(!system.service(STORE).is_unhealthy());
}

#[test]
fn a_service_that_took_hold_again_and_says_that_it_is_ready_is_asked_as_before() {
    let mut system = store_takes_hold_again();
    assert_eq!(system.step(Input::Ready(STORE), 13 * S), []);
    assert_eq!(store_is_asked(&mut system, 13 * S..60 * S), Some(15 * S));
    // While it is asked, that takes none of its time for the answer.
    system.step(Input::Ready(STORE), 15 * S);
    system.step(Input::Tick, 20 * S - 1);
    assert!(!system.service(STORE).is_unhealthy());
    system.step(Input::Tick, 20 * S);
    assert!(system.service(STORE).is_unhealthy());
}

#[test]
fn a_service_that_lets_go_too_late_takes_hold_again_and_has_as_long_for_that_as_for_its_start() {
    let mut system = up(&four());
    system.step(Input::Order(STORE, Order::Upgrade), S);
    system.step(Input::TakesOver(STORE), S);
    system.step(Input::SuccessorFailed(STORE, "no".into()), 3 * S);
    system.step(Input::SuccessorEnded(STORE, CRASH), 3 * S);
    assert_eq!(store_is_asked(&mut system, 3 * S..5 * S), None);
    assert_eq!(system.step(Input::Released(STORE), 5 * S), [Effect::Resume(STORE)]);
    assert_eq!(store_is_asked(&mut system, 5 * S + MS..60 * S), Some(15 * S + MS));
}

#[test]
fn a_service_that_ends_while_it_is_upgraded_is_started_again_from_the_old_image_when_its_successor_is_gone() {
    let mut system = up(&four());
    system.step(Input::Order(DISK, Order::Upgrade), S);
    system.step(Input::TakesOver(DISK), S);
    let effects = system.step(Input::Ended(Who::Service(DISK), CRASH), S);
    assert!(effects.contains(&Effect::KillSuccessor(DISK)), "{effects:?}");
    let State::BackingOff { until } = *system.service(DISK).state() else { panic!("it is started again") };
    assert_eq!(system.step(Input::Tick, until), [], "not beside its successor");
    let effects = system.step(Input::SuccessorEnded(DISK, CRASH), until);
    assert!(effects.contains(&launch(DISK)), "{effects:?}");
}

#[test]
fn a_service_that_does_not_answer_is_unhealthy_then_ended_and_started_again() {
    let mut system = up(&four());
    let ask = |round| [DISK, LOG, STORE, WEB].map(|place| Effect::AskHealth(place, round));
    assert_eq!(system.step(Input::Tick, 2 * S), ask(1));
    for place in [LOG, DISK, WEB] {
        system.step(Input::Healthy(place, "well".into()), 2 * S);
    }
    assert_eq!(system.service(DISK).health(), "well");
    assert!(!system.service(STORE).is_unhealthy(), "its time is not over");
    assert_eq!(system.step(Input::Tick, 3 * S), [Effect::AskHealth(STORE, 2)]);
    assert!(system.service(STORE).is_unhealthy());
    system.step(Input::Healthy(STORE, String::new()), 3 * S);
    assert!(!system.service(STORE).is_unhealthy(), "one answer is enough");
    system.step(Input::Tick, 5 * S);
    for second in [6, 7] {
        system.step(Input::Healthy(DISK, String::new()), second * S);
        system.step(Input::Healthy(LOG, String::new()), second * S);
        system.step(Input::Healthy(WEB, String::new()), second * S);
        system.step(Input::Tick, second * S);
    }
    let effects = system.step(Input::Tick, 8 * S);
    assert!(effects.contains(&Effect::Kill(Who::Service(STORE))), "{effects:?}");
    let effects = system.step(Input::Ended(Who::Service(STORE), End { reason: ExitReason::Killed, code: 0 }), 8 * S);
    assert!(
        reports(&effects).contains("store failed: it runs, but did not answer 3 health checks; it is started again")
    );
    assert!(matches!(system.service(STORE).state(), State::BackingOff { .. }));
}
