//! The caller's side of an interface: what generated clients stand on.
//!
//! A call blocks the whole process until the answer comes (on WebAssembly there is no
//! other way): its other tasks stand still, so every call has a time-out, 5 s unless
//! told otherwise. What may take longer than a moment should be asked for so that
//! the answer comes as an event, or as a bit of a notification.

use crate::capability::{Cap, Endpoint, Outgoing};
use crate::process::Missing;
use crate::system::Arrived;
use crate::timer::nanoseconds;
use crate::wire::{self, Malformed, Passed, Passing, Payload};
use abi::Error;
use alloc::rc::Rc;
use core::convert::Infallible;
use core::fmt::{self, Debug, Display};
use core::time::Duration;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a call waits, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idempotent call is made, if the service is restarted meanwhile.
const ATTEMPTS: u32 = 3;

/// A generated client.
pub trait Client {
    /// Name of the service, as in the startup block and the registry.
    const SERVICE: &'static str;

    /// A client over a connection to the service.
    fn over(connection: &Connection) -> Self;
}

/// Why there is no connection to a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// No capability was given, and there is no registry to ask.
    Missing(Missing),
    /// The registry did not give one.
    Registry(ClientError<crate::interfaces::init::registry::Error>),
}

impl Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Missing(missing) => Display::fmt(missing, f),
            ConnectError::Registry(error) => write!(f, "the registry: {error}"),
        }
    }
}

impl core::error::Error for ConnectError {}

/// The service, or what serves in its place, did not carry a request out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum Refusal {
    /// It has no function with this number.
    Unknown = 0x0F20,
    /// It did not understand the arguments.
    Malformed = 0x0F21,
    /// Its answer was longer than a message can be.
    TooLarge = 0x0F22,
    /// It dropped the request without an answer.
    Abandoned = 0x0F23,
    /// The service was stopped. Until it is started, init answers this in its place, and
    /// so it does with those that follow.
    Stopped = 0x0F24,
    /// It has come to its end, and is not started again by itself.
    Finished = 0x0F25,
    /// It failed, and is not started again by itself.
    Failed = 0x0F26,
    /// It failed too often in a short time, and is not started again by itself.
    Disabled = 0x0F27,
    /// It needs another service that is down, and is not started before that one.
    Waiting = 0x0F28,
}

impl Refusal {
    /// The refusal with this number.
    pub const fn from_number(number: u32) -> Option<Refusal> {
        Some(match number {
            0x0F20 => Refusal::Unknown,
            0x0F21 => Refusal::Malformed,
            0x0F22 => Refusal::TooLarge,
            0x0F23 => Refusal::Abandoned,
            0x0F24 => Refusal::Stopped,
            0x0F25 => Refusal::Finished,
            0x0F26 => Refusal::Failed,
            0x0F27 => Refusal::Disabled,
            0x0F28 => Refusal::Waiting,
            _ => return None,
        })
    }

    /// Whether there is no service now: nothing was done, and nothing will be until it is started.
    pub const fn is_down(self) -> bool {
        matches!(self, Refusal::Stopped | Refusal::Finished | Refusal::Failed | Refusal::Disabled | Refusal::Waiting)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Unknown => "the service has no such function",
            Refusal::Malformed => "the service did not understand the request",
            Refusal::TooLarge => "the service's answer is longer than a message can be",
            Refusal::Abandoned => "the service gave no answer",
            Refusal::Stopped => "the service is stopped",
            Refusal::Finished => "the service has finished",
            Refusal::Failed => "the service failed and is not started again",
            Refusal::Disabled => "the service failed too often and is disabled",
            Refusal::Waiting => "the service waits for another that is down",
        })
    }
}

/// How a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientError<E = Infallible> {
    /// The interface's own error.
    Service(E),
    /// The service ended before it answered; what was asked may have been done or not.
    /// Its endpoint lives, and a later call reaches its successor.
    ServiceRestarted,
    /// The answer did not come in time; what was asked may have been done or not.
    TimedOut,
    /// The request was not carried out.
    Refused(Refusal),
    /// The answer is not one of this function.
    BadAnswer,
    /// The call could not be made.
    System(Error),
}

impl<E> ClientError<E> {
    /// The same, with the interface's own error turned into another.
    pub fn map<F>(self, map: impl FnOnce(E) -> F) -> ClientError<F> {
        match self {
            ClientError::Service(error) => ClientError::Service(map(error)),
            ClientError::ServiceRestarted => ClientError::ServiceRestarted,
            ClientError::TimedOut => ClientError::TimedOut,
            ClientError::Refused(refusal) => ClientError::Refused(refusal),
            ClientError::BadAnswer => ClientError::BadAnswer,
            ClientError::System(error) => ClientError::System(error),
        }
    }
}

impl<E> From<Error> for ClientError<E> {
    fn from(error: Error) -> ClientError<E> {
        match error {
            Error::PeerGone => ClientError::ServiceRestarted,
            Error::TimedOut => ClientError::TimedOut,
            error => ClientError::System(error),
        }
    }
}

impl<E> From<Malformed> for ClientError<E> {
    fn from(_: Malformed) -> ClientError<E> {
        ClientError::BadAnswer
    }
}

impl<E: Display> Display for ClientError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Service(error) => Display::fmt(error, f),
            ClientError::ServiceRestarted => f.write_str("the service was restarted before it answered"),
            ClientError::TimedOut => f.write_str("the service did not answer in time"),
            ClientError::Refused(refusal) => Display::fmt(refusal, f),
            ClientError::BadAnswer => f.write_str("the service's answer was not understood"),
            ClientError::System(error) => Display::fmt(error, f),
        }
    }
}

impl<E: Display + Debug> core::error::Error for ClientError<E> {}

/// What a generated client holds. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Connection {
    endpoint: Rc<Cap<Endpoint>>,
    timeout: u64,
}

impl Connection {
    /// Over an endpoint that the service receives from.
    pub fn new(endpoint: Cap<Endpoint>) -> Connection {
        Connection { endpoint: Rc::new(endpoint), timeout: nanoseconds(TIMEOUT) }
    }

    /// The same, with calls that wait so long at most.
    pub fn within(&self, timeout: Duration) -> Connection {
        Connection { endpoint: self.endpoint.clone(), timeout: nanoseconds(timeout) }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Cap<Endpoint> {
        &self.endpoint
    }

    /// Calls a function and decodes its answer.
    pub async fn call<A: Serialize, R: DeserializeOwned, E>(
        &self,
        number: u32,
        arguments: &A,
        passing: Passing,
    ) -> Result<(R, Passed), ClientError<E>> {
        let payload = Payload::of(arguments)?;
        let mut arrived = self.exchange(number, &payload, &passing).await?;
        passing.went();
        decode(number, &mut arrived)
    }

    /// [`Connection::call`] of a function that may be called again: it is, when the service
    /// is restarted meanwhile.
    pub async fn call_idempotent<A: Serialize, R: DeserializeOwned, E>(
        &self,
        number: u32,
        arguments: &A,
    ) -> Result<(R, Passed), ClientError<E>> {
        let payload = Payload::of(arguments)?;
        let mut attempt = 1;
        loop {
            match self.exchange(number, &payload, &Passing::new()).await {
                Err(Error::PeerGone) if attempt < ATTEMPTS => attempt += 1,
                result => return decode(number, &mut result?),
            }
        }
    }

    /// Sends an event. Does not wait: `System(WouldBlock)` when the receiver's queue is full, `System(QuotaExceeded)`
    /// when this process has as many messages queued as it may, whoever does not receive them.
    pub async fn event<A: Serialize>(&self, number: u32, arguments: &A, passing: Passing) -> Result<(), ClientError> {
        let payload = Payload::of(arguments)?;
        let transfers = passing.transfers()?;
        let message = Outgoing { tag: payload.tag(number), words: payload.words, bytes: &payload.bytes, transfers };
        self.endpoint.send(&message, 0).await?;
        passing.went();
        Ok(())
    }

    async fn exchange(&self, number: u32, payload: &Payload, passing: &Passing) -> Result<Arrived, Error> {
        let transfers = passing.transfers()?;
        let message = Outgoing { tag: payload.tag(number), words: payload.words, bytes: &payload.bytes, transfers };
        self.endpoint.call(&message, self.timeout).await
    }
}

/// Decodes an answer to the function `number`.
fn decode<R: DeserializeOwned, E>(number: u32, arrived: &mut Arrived) -> Result<(R, Passed), ClientError<E>> {
    let passed = Passed::from_arrived(arrived);
    let tag = arrived.delivery.tag;
    if wire::number(tag) == number {
        return Ok((wire::decode(tag, &arrived.words, &arrived.bytes)?, passed));
    }
    match Refusal::from_number(wire::number(tag)) {
        Some(refusal) => Err(ClientError::Refused(refusal)),
        None => Err(ClientError::BadAnswer),
    }
}
