//! Servers and clients that several tests play with.
#![allow(dead_code)]

use libprocess::client::{ClientError, Connection};
use libprocess::wire::Passing;
use libprocess::{Cap, Error, Inbox, Incoming, Process};
use std::time::Duration;

/// Adds one to the number that it gets.
pub const NEXT: u32 = 0x7E00;
/// Answers the words that it gets, as bytes.
pub const ECHO: u32 = 0x7E01;
/// Loops for ever.
pub const LOOP: u32 = 0x7E02;
/// Never answers, and goes on.
pub const HOLD: u32 = 0x7E03;
/// Panics.
pub const PANIC: u32 = 0x7E04;
/// Exits with the code that it gets.
pub const EXIT: u32 = 0x7E05;
/// Answers with a number after so many ms.
pub const LATER: u32 = 0x7E06;

/// A server that answers [`NEXT`] and the others.
pub async fn server(process: Process) -> Result<(), Error> {
    let mut inbox = Inbox::open(take(&process, "endpoint"))?;
    let mut held = Vec::new();
    loop {
        let Incoming::Request(request) = inbox.next().await? else { continue };
        match request.number() {
            NEXT => {
                let number: u64 = request.decode().map_err(|_| Error::InvalidArgument)?;
                request.answer(&(number + 1), Passing::new());
            }
            ECHO => {
                let bytes: Vec<u8> = request.decode().map_err(|_| Error::InvalidArgument)?;
                request.answer(&bytes, Passing::new());
            }
            LOOP => simulated::spin().await,
            HOLD => held.push(request),
            PANIC => panic!("asked to"),
            EXIT => libprocess::system::exit(request.decode().unwrap_or(1)),
            LATER => {
                let delay: u64 = request.decode().map_err(|_| Error::InvalidArgument)?;
                libprocess::spawn(async move {
                    libprocess::sleep(Duration::from_millis(delay)).await;
                    request.answer(&delay, Passing::new());
                });
            }
            _ => request.refuse(libprocess::client::Refusal::Unknown),
        }
    }
}

/// A server that asks the one called `back` for every answer to [`NEXT`].
pub async fn front(process: Process) -> Result<(), Error> {
    let back = connection(&process, "back");
    let mut inbox = Inbox::open(take(&process, "endpoint"))?;
    loop {
        let Incoming::Request(request) = inbox.next().await? else { continue };
        let number: u64 = request.decode().map_err(|_| Error::InvalidArgument)?;
        let answer = next(&back, number).await.ok();
        request.answer(&answer, Passing::new());
    }
}

/// Takes a capability that the process must have.
pub fn take<K: libprocess::Object>(process: &Process, name: &str) -> Cap<K> {
    process.capability(name).unwrap_or_else(|missing| panic!("{missing}"))
}

/// A connection to a service, whose calls wait 5 s at most.
pub fn connection(process: &Process, service: &str) -> Connection {
    Connection::new(take(process, service))
}

/// [`NEXT`].
pub async fn next(connection: &Connection, number: u64) -> Result<u64, ClientError> {
    ask(connection, NEXT, &number).await
}

/// Any function from a value to a value of the same type.
pub async fn ask<T>(connection: &Connection, function: u32, value: &T) -> Result<T, ClientError>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    ask_for(connection, function, value).await
}

/// Any function.
pub async fn ask_for<A, R>(connection: &Connection, function: u32, value: &A) -> Result<R, ClientError>
where
    A: serde::Serialize,
    R: serde::de::DeserializeOwned,
{
    connection.call(function, value, Passing::new()).await.map(|(answer, _)| answer)
}
