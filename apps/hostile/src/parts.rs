//! Who is there beside a hostile process, and servers that go, or call on, while they are called.

use crate::deeds;
use core::hint::black_box;
use libprocess::abi::DeliveryKind;
use libprocess::system::{self, Arrived};
use libprocess::{Cap, Endpoint, Error, Exit, FOREVER, Outgoing, Process};

/// What a client reports of a call that was answered otherwise than by its server.
pub const ANOTHER_ANSWER: u64 = 100;
/// What a server reports that has a call, and waits.
pub const HERE: u64 = 999;
/// Time-out of a call that nobody answers, in ns.
pub const PATIENCE: u64 = 30_000_000;

/// How an error is reported.
pub fn number_of(error: Error) -> u64 {
    error as u64
}

/// A message of one word.
pub fn word(word: u64) -> Outgoing<'static> {
    Outgoing { words: [word, 0, 0, 0, 0, 0, 0, 0], ..Outgoing::tag(7) }
}

/// Plays the part that the first argument names.
pub async fn play(process: &Process) -> Exit {
    let argument = |place: usize| process.arguments().get(place).map_or("", |argument| argument);
    let played = match argument(0) {
        "deed" => return deeds::play(argument(1), process).await,
        "echo" => echo(process).await,
        "client" => client(process, argument(1).parse().unwrap_or(1), argument(2).parse().unwrap_or(FOREVER)).await,
        "goes" => goes(process, argument(1)).await,
        "link" => link(process).await,
        "calls-back" => call_back(process).await,
        part => panic!("there is no part {part}"),
    };
    Exit(played.map_or_else(|error| 1000 + error as u64, |()| 0))
}

fn given(process: &Process, name: &str) -> Result<Cap<Endpoint>, Error> {
    process.capability(name).map_err(|_| Error::BadHandle)
}

/// Answers every call with its first word plus one.
async fn echo(process: &Process) -> Result<(), Error> {
    let endpoint = given(process, "endpoint")?;
    let mut came = endpoint.receive(FOREVER).await?;
    loop {
        came = match came.delivery.kind {
            DeliveryKind::Called => {
                endpoint.reply_receive(came.delivery.reply, &word(came.words[0] + 1), FOREVER).await?
            }
            // What was only sent wants no answer.
            _ => endpoint.receive(FOREVER).await?,
        };
    }
}

/// Calls so often, then reports how the last call ended: 0, or the error's number.
async fn client(process: &Process, rounds: u64, timeout: u64) -> Result<(), Error> {
    let (endpoint, report) = (given(process, "endpoint")?, given(process, "report")?);
    let mut outcome = 0;
    for round in 0..rounds {
        outcome = match endpoint.call(&word(round), timeout).await {
            Ok(answer) if answer.words[0] == round + 1 => 0,
            Ok(_) => ANOTHER_ANSWER,
            Err(error) => number_of(error),
        };
        if outcome != 0 {
            break;
        }
    }
    report.send(&word(outcome), FOREVER).await
}

/// A server that goes while it is called.
async fn goes(process: &Process, manner: &str) -> Result<(), Error> {
    let endpoint = given(process, "endpoint")?;
    let _call: Arrived = endpoint.receive(FOREVER).await?;
    match manner {
        "traps" => panic!("on purpose"),
        "exits" => system::exit(7),
        "loops" => loop {
            black_box(0);
        },
        // To be killed.
        _ => {
            given(process, "report")?.send(&word(HERE), FOREVER).await?;
            let quiet = Cap::<Endpoint>::create(process.quota(), 1)?;
            quiet.receive(FOREVER).await?;
        }
    }
    Ok(())
}

/// Answers each call with what the next one answers.
async fn link(process: &Process) -> Result<(), Error> {
    let (endpoint, next) = (given(process, "endpoint")?, given(process, "next")?);
    let mut came = endpoint.receive(FOREVER).await?;
    loop {
        let answer = next.call(&word(came.words[0]), FOREVER).await?;
        came = endpoint.reply_receive(came.delivery.reply, &word(answer.words[0]), FOREVER).await?;
    }
}

/// While it serves a call, it calls back, with a time-out; its answer is how that ended.
async fn call_back(process: &Process) -> Result<(), Error> {
    let (endpoint, next) = (given(process, "endpoint")?, given(process, "next")?);
    let came = endpoint.receive(FOREVER).await?;
    let outcome = next.call(&word(0), PATIENCE).await.err().map_or(0, number_of);
    system::reply(came.delivery.reply, &word(outcome))
}
