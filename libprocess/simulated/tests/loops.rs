//! A server that loops for ever, at each point of a call: whoever waits for it is told in
//! time, and once it is killed its successor serves.

mod common;

use common::{LOOP, NEXT, ask, ask_for, connection, front, next, server, take};
use libprocess::client::ClientError;
use libprocess::wire::Passing;
use libprocess::{Error, Inbox, Incoming, Process, capability, now, sleep};
use simulated::{Grant, Stage, for_seeds};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// A stage with a server that loops where `at` says, the first time; a client that kills it
/// after 8 s; and one that calls it before and after.
fn killed(seed: u64, at: &'static str, first: Result<u64, ClientError>) {
    let looped = Rc::new(Cell::new(false));
    Stage::new(seed)
        .service("server", move |process: Process| {
            let again = looped.replace(true);
            async move {
                if !again && at == "before" {
                    simulated::spin().await;
                }
                let mut inbox = Inbox::open(take(&process, "endpoint"))?;
                while let Incoming::Request(request) = inbox.next().await? {
                    if !again && at == "serving" {
                        simulated::spin().await;
                    }
                    let number: u64 = request.decode().map_err(|_| Error::InvalidArgument)?;
                    request.answer(&(number + 1), Passing::new());
                    if !again && at == "after" {
                        // The answer goes with the next wait, at the latest.
                        libprocess::yield_now().await;
                        simulated::spin().await;
                    }
                }
                Ok::<(), Error>(())
            }
        })
        .restarts(1)
        .client("watchdog", async |process| {
            sleep(Duration::from_secs(8)).await;
            take::<capability::Process>(&process, "process:server").kill(1).unwrap();
        })
        .with(Grant::process("server"))
        .client("client", async move |process| {
            let server = connection(&process, "server");
            assert_eq!(next(&server, 1).await, first);
            let begun = now();
            let second = next(&server, 2).await;
            if begun < 8 * SECOND && first.is_err() {
                assert_eq!(second, Ok(3), "it waits in the queue for the successor");
            }
            assert!(now() - begun <= 5 * SECOND + SECOND / 10, "it waited longer than its time-out");
            while now() < 9 * SECOND {
                sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(next(&server, 3).await, Ok(4));
        })
        .with(Grant::service("server"))
        .pass();
}

#[test]
fn calls_to_a_server_that_never_receives_time_out_and_later_ones_reach_its_successor() {
    for_seeds(0..5, |seed| killed(seed, "before", Err(ClientError::TimedOut)));
}

#[test]
fn a_call_that_is_being_served_for_ever_times_out() {
    for_seeds(0..5, |seed| killed(seed, "serving", Err(ClientError::TimedOut)));
}

#[test]
fn an_answer_given_before_the_loop_arrives() {
    for_seeds(0..5, |seed| killed(seed, "after", Ok(2)));
}

#[test]
fn in_a_chain_of_three_a_loop_at_the_end_costs_each_its_time_out() {
    for_seeds(0..5, |seed| {
        Stage::new(seed)
            .service("back", server)
            .service("front", front)
            .with(Grant::service("back"))
            .client("looper", async |process| {
                assert_eq!(ask(&connection(&process, "back"), LOOP, &0_u64).await, Err(ClientError::TimedOut));
            })
            .with(Grant::service("back"))
            .client("client", async |process| {
                sleep(Duration::from_millis(5)).await;
                let front = connection(&process, "front").within(Duration::from_secs(6));
                let begun = now();
                let answer: Option<u64> = ask_for(&front, NEXT, &1_u64).await.unwrap();
                assert_eq!(answer, None, "the one in the middle was told in time");
                assert!(now() - begun < 6 * SECOND);
            })
            .with(Grant::service("front"))
            .pass();
    });
}

#[test]
fn a_loop_takes_its_share_and_no_more() {
    for_seeds(0..5, |seed| {
        let mut stage = Stage::new(seed).service("server", server);
        for name in ["loop one", "loop two"] {
            stage = stage.service(name, async |_| simulated::spin().await);
        }
        stage
            .client("client", async |process| {
                let server = connection(&process, "server");
                for number in 0..20 {
                    assert_eq!(next(&server, number).await, Ok(number + 1));
                }
                // Between any two turns of the client and the server the loops have a slice each.
                assert!(now() < SECOND / 2, "20 calls took until {}", now());
            })
            .with(Grant::service("server"))
            .pass();
    });
}
