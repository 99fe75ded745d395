//! Call and serve: what a client may rely on, whatever becomes of the server.

mod common;

use common::{ECHO, EXIT, HOLD, LATER, LOOP, NEXT, PANIC, ask, connection, front, next, server, take};
use libprocess::client::{ClientError, Refusal};
use libprocess::wire::Passing;
use libprocess::{Cap, Error, Inbox, Incoming, Rights, capability, now, sleep};
use simulated::{End, Exit, Grant, Stage, for_seeds};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_call_brings_its_answer_whatever_its_length() {
    for_seeds(0..20, |seed| {
        Stage::new(seed)
            .service("server", server)
            .client("client", async |process| {
                let server = connection(&process, "server");
                assert_eq!(next(&server, 41).await, Ok(42));
                for length in [0, 1, 63, 64, 65, 4_096, 65_000] {
                    let bytes: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
                    assert_eq!(ask(&server, ECHO, &bytes).await, Ok(bytes));
                }
            })
            .with(Grant::service("server"))
            .pass();
    });
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_sent() {
    Stage::new(1)
        .service("server", server)
        .client("client", async |process| {
            let server = connection(&process, "server");
            let bytes = vec![0_u8; 70_000];
            assert_eq!(ask(&server, ECHO, &bytes).await, Err(ClientError::System(Error::TooLarge)));
            assert_eq!(ask(&server, 0x7EFF, &1_u64).await, Err(ClientError::Refused(Refusal::Unknown)));
            assert_eq!(next(&server, 1).await, Ok(2));
        })
        .with(Grant::service("server"))
        .pass();
}

#[test]
fn many_clients_each_get_their_own_answers() {
    for_seeds(0..20, |seed| {
        let mut stage = Stage::new(seed).service("server", server);
        for client in 0..6_u64 {
            stage = stage
                .client(&format!("client {client}"), async move |process| {
                    let server = connection(&process, "server");
                    for number in 0..20 {
                        let number = client * 1_000 + number;
                        assert_eq!(next(&server, number).await, Ok(number + 1));
                    }
                })
                .with(Grant::service("server"));
        }
        stage.pass();
    });
}

#[test]
fn a_slow_answer_holds_nobody_else_up() {
    Stage::new(3)
        .service("server", server)
        .client("patient", async |process| {
            assert_eq!(ask(&connection(&process, "server"), LATER, &800_u64).await, Ok(800));
            assert!(now() > 800_000_000);
        })
        .with(Grant::service("server"))
        .client("quick", async |process| {
            let server = connection(&process, "server");
            for number in 0..10 {
                assert_eq!(next(&server, number).await, Ok(number + 1));
            }
            assert!(now() < 100_000_000, "took until {}", now());
        })
        .with(Grant::service("server"))
        .pass();
}

#[test]
fn a_call_times_out_when_it_said_and_the_late_answer_hurts_nobody() {
    for_seeds(0..10, |seed| {
        Stage::new(seed)
            .service("server", server)
            .client("client", async |process| {
                let server = connection(&process, "server");
                let begun = now();
                let short = server.within(Duration::from_millis(300));
                assert_eq!(ask(&short, LATER, &500_u64).await, Err(ClientError::TimedOut));
                let waited = now() - begun;
                assert!((300_000_000..302_000_000).contains(&waited), "waited {waited} ns");
                sleep(Duration::from_millis(400)).await;
                assert_eq!(next(&server, 7).await, Ok(8));
            })
            .with(Grant::service("server"))
            .pass();
    });
}

#[test]
fn a_held_call_ends_when_its_server_does() {
    for function in [PANIC, EXIT, LOOP, HOLD] {
        for_seeds(0..5, |seed| {
            let played = Stage::new(seed)
                .service("server", server)
                .restarts(1)
                .client("client", async move |process| {
                    let server = connection(&process, "server");
                    let answer = ask(&server, function, &9_u64).await;
                    match function {
                        PANIC | EXIT => {
                            assert_eq!(answer, Err(ClientError::ServiceRestarted));
                            assert_eq!(
                                next(&server, 1).await,
                                Ok(2),
                                "the endpoint lives, and the successor serves it"
                            );
                        }
                        _ => assert_eq!(answer, Err(ClientError::TimedOut)),
                    }
                })
                .with(Grant::service("server"))
                .play();
            assert_eq!(played.end, End::PowerOff(0), "{}", played.simulation.story());
            assert_eq!(played.exits["client"], [Exit { reason: abi::ExitReason::Exited, code: 0 }]);
            played.simulation.check();
        });
    }
}

#[test]
fn calls_not_yet_received_wait_for_the_successor() {
    for_seeds(0..20, |seed| {
        Stage::new(seed)
            .service("server", server)
            .restarts(1)
            .client("killer", async |process| {
                sleep(Duration::from_millis(10)).await;
                take::<capability::Process>(&process, "process:server").kill(1).unwrap();
            })
            .with(Grant::process("server"))
            .client("looper", async |process| {
                let answer = ask(&connection(&process, "server"), LOOP, &0_u64).await;
                assert_eq!(answer, Err(ClientError::ServiceRestarted));
            })
            .with(Grant::service("server"))
            .client("queued", async |process| {
                sleep(Duration::from_millis(3)).await;
                assert_eq!(next(&connection(&process, "server"), 5).await, Ok(6));
            })
            .with(Grant::service("server"))
            .pass();
    });
}

/// Plays a server that is trapped at its `call`th system call, with two clients. Whatever
/// the moment, each call is answered, or its caller is told.
fn trapped_at(seed: u64, call: u64) -> bool {
    let played = Stage::new(seed)
        .simulation(|simulation| simulation.trap("server", call))
        .service("server", server)
        .restarts(1)
        .client("first", calls_until_done)
        .with(Grant::service("server"))
        .client("second", calls_until_done)
        .with(Grant::service("server"))
        .pass();
    played.exits.contains_key("server")
}

async fn calls_until_done(process: libprocess::Process) {
    let server = connection(&process, "server");
    let mut lost = 0;
    for number in 0..5 {
        match next(&server, number).await {
            Ok(answer) => assert_eq!(answer, number + 1),
            Err(ClientError::ServiceRestarted) => lost += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost <= 1, "one restart loses at most the one call that was being served");
    assert!(now() < SECOND, "nobody waited for a time-out");
}

#[test]
fn a_server_trapped_at_any_of_its_system_calls_leaves_nobody_waiting() {
    for_seeds(0..3, |seed| {
        let mut call = 1;
        while trapped_at(seed, call) {
            call += 1;
        }
        assert!(call > 10, "a server that answers ten calls makes more than ten of its own, not {call}");
    });
}

/// A chain of three; one of it is trapped at its `call`th system call.
fn chain_trapped_at(seed: u64, which: &str, call: u64) -> bool {
    let played = Stage::new(seed)
        .simulation(|simulation| simulation.trap(which, call))
        .service("back", server)
        .restarts(1)
        .service("front", front)
        .restarts(1)
        .with(Grant::service("back"))
        .client("client", async |process| {
            let front = connection(&process, "front");
            let mut answered = 0;
            for number in 0..4_u64 {
                match front.call(NEXT, &number, Passing::new()).await {
                    Ok((Some(answer), _)) => {
                        let answer: u64 = answer;
                        assert_eq!(answer, number + 1);
                        answered += 1;
                    }
                    // The one in the middle was told that the one behind it had gone.
                    Ok((None, _)) | Err(ClientError::<std::convert::Infallible>::ServiceRestarted) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(answered >= 3, "one trap loses one call");
            assert!(now() < SECOND, "nobody waited for a time-out");
        })
        .with(Grant::service("front"))
        .pass();
    played.exits.contains_key(which)
}

#[test]
fn a_chain_of_three_survives_a_trap_of_any_of_its_servers_anywhere() {
    for which in ["back", "front"] {
        let mut call = 1;
        while chain_trapped_at(call, which, call) {
            call += 1;
        }
        assert!(call > 4, "{which} makes more than {call} system calls");
    }
}

#[test]
fn a_server_killed_at_any_time_leaves_nobody_waiting() {
    for_seeds(0..200, |seed| {
        Stage::new(seed)
            .service("server", server)
            .restarts(1)
            .client("killer", async move |process| {
                sleep(Duration::from_nanos(seed * 400)).await;
                take::<capability::Process>(&process, "process:server").kill(9).unwrap();
            })
            .with(Grant::process("server"))
            .client("first", calls_until_done)
            .with(Grant::service("server"))
            .client("second", calls_until_done)
            .with(Grant::service("server"))
            .pass();
    });
}

#[test]
fn a_client_killed_in_a_call_does_not_disturb_its_server() {
    for_seeds(0..50, |seed| {
        let played = Stage::new(seed)
            .service("server", server)
            .client("victim", async |process| {
                let server = connection(&process, "server");
                for _ in 0..100_000 {
                    let _ = next(&server, 1).await;
                    let _ = ask(&server, LATER, &1_u64).await;
                }
            })
            .with(Grant::service("server"))
            .client("killer", async move |process| {
                sleep(Duration::from_micros(seed * 37)).await;
                take::<capability::Process>(&process, "process:victim").kill(9).unwrap();
                let server = connection(&process, "server");
                for number in 0..5 {
                    assert_eq!(next(&server, number).await, Ok(number + 1));
                }
            })
            .with(Grant::process("victim"))
            .with(Grant::service("server"))
            .play();
        assert_eq!(played.end, End::PowerOff(0));
        assert_eq!(played.exits["victim"], [Exit { reason: abi::ExitReason::Killed, code: 9 }]);
        assert_eq!(played.exits["killer"], [Exit { reason: abi::ExitReason::Exited, code: 0 }]);
        assert_eq!(played.simulation.panics(), []);
        played.simulation.check();
    });
}

#[test]
fn a_capability_that_moves_is_gone_and_one_that_is_lent_stays() {
    const GIVE: u32 = 0x7E10;
    const LEND: u32 = 0x7E11;
    for_seeds(0..10, |seed| {
        Stage::new(seed)
            .service("server", async |process: libprocess::Process| {
                let mut inbox = Inbox::open(take(&process, "endpoint")).unwrap();
                while let Ok(incoming) = inbox.next().await {
                    let Incoming::Request(mut request) = incoming else { continue };
                    let came: Cap<capability::Notification> = request.passed().take(0).unwrap();
                    came.signal(0b100).unwrap();
                    let rights = came.inspect().unwrap().rights;
                    let mut back = Passing::new();
                    if request.number() == GIVE {
                        back.moves(came);
                    }
                    request.answer(&rights.0, back);
                }
            })
            .client("client", async |process| {
                let server = connection(&process, "server");
                let mine = Cap::<capability::Notification>::create(process.quota()).unwrap();

                let lent = mine.derive(Rights::SIGNAL).unwrap();
                let mut passing = Passing::new();
                passing.derives(&lent);
                let (rights, _) = server.call::<_, u16, std::convert::Infallible>(LEND, &(), passing).await.unwrap();
                assert_eq!(Rights(rights), Rights::SIGNAL);
                assert_eq!(mine.poll(), Ok(0b100));
                lent.signal(1).expect("a capability that was lent is still here");

                let handle = lent.handle();
                let mut passing = Passing::new();
                passing.moves(lent);
                let (_, mut came) = server.call::<_, u16, std::convert::Infallible>(GIVE, &(), passing).await.unwrap();
                let stale = Cap::<capability::Notification>::from_handle(handle);
                assert_eq!(stale.signal(1), Err(Error::StaleHandle), "what was moved is no longer here");
                let back: Cap<capability::Notification> = came.take(0).unwrap();
                back.signal(0b1000).unwrap();
                assert_eq!(back.poll(), Err(Error::MissingRight));
                assert_eq!(mine.poll(), Ok(0b1101));
            })
            .with(Grant::service("server"))
            .pass();
    });
}

#[test]
fn without_grant_a_message_carries_no_capability() {
    Stage::new(1)
        .service("server", server)
        .client("client", async |process| {
            let server = connection(&process, "server");
            let notification = Cap::<capability::Notification>::create(process.quota()).unwrap();
            let mut passing = Passing::new();
            passing.derives(&notification);
            let refused = server.call::<_, u64, std::convert::Infallible>(NEXT, &1_u64, passing).await;
            assert_eq!(refused.unwrap_err(), ClientError::System(Error::MissingRight));
            assert_eq!(next(&server, 1).await, Ok(2));
        })
        .with(Grant::service("server").rights(Rights::SEND))
        .pass();
}

#[test]
fn a_revoked_connection_says_so() {
    Stage::new(1)
        .service("server", server)
        .client("client", async |process| {
            let endpoint: Cap<capability::Endpoint> = take(&process, "server");
            let child = libprocess::client::Connection::new(endpoint.derive(Rights::SEND).unwrap());
            assert_eq!(next(&child, 1).await, Ok(2));
            assert_eq!(endpoint.revoke(), Ok(1));
            assert!(matches!(
                next(&child, 1).await,
                Err(ClientError::System(Error::StaleHandle | Error::Revoked | Error::BadHandle))
            ));
        })
        .with(Grant::service("server"))
        .pass();
}
