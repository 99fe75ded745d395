//! How many tiny systems a second: three processes, a service and a client with ten
//! calls between them, booted, run to the end and dropped, each under a seed of its own.
//! `cargo run --release -p simulated --example rate`

use libprocess::client::Connection;
use libprocess::wire::Passing;
use libprocess::{Inbox, Incoming, Process};
use simulated::{End, Grant, Stage};
use std::time::{Duration, Instant};

const NEXT: u32 = 0x7E00;

async fn server(process: Process) -> Result<(), libprocess::Error> {
    let endpoint = process.capability("endpoint").map_err(|_| libprocess::Error::BadHandle)?;
    let mut inbox = Inbox::open(endpoint)?;
    loop {
        if let Incoming::Request(request) = inbox.next().await? {
            let number: u64 = request.decode().unwrap_or_default();
            request.answer(&(number + 1), Passing::new());
        }
    }
}

async fn client(process: Process) -> Result<(), &'static str> {
    let server = Connection::new(process.capability("server").map_err(|_| "no server")?);
    for number in 0..10_u64 {
        let called = server.call::<_, u64, std::convert::Infallible>(NEXT, &number, Passing::new()).await;
        if called.map_err(|_| "no answer")?.0 != number + 1 {
            return Err("a wrong answer");
        }
    }
    Ok(())
}

fn play(seed: u64, check: bool) -> u64 {
    let stage = Stage::new(seed).service("server", server).client("client", client).with(Grant::service("server"));
    let played = stage.play();
    assert_eq!(played.end, End::PowerOff(0));
    if check {
        played.simulation.check();
    }
    played.simulation.system_calls()
}

fn main() {
    for (name, check) in [("run", false), ("run, invariants checked, log replayed", true)] {
        let begun = Instant::now();
        let (mut systems, mut calls) = (0, 0);
        while begun.elapsed() < Duration::from_secs(2) {
            calls += play(systems, check);
            systems += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:.0} systems/s ({name}; {} system calls each)", systems as f64 / seconds, calls / systems);
    }
}
