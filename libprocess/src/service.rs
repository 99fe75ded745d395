//! The serving side: [`serve`] receives requests, runs each as a task and holds its
//! reply until the answer is there, so that nobody waits for somebody else's request.
//!
//! Servers are the traits that are generated from the interfaces; their methods take
//! `&self` (one thread: `Cell` and `RefCell` are enough, no borrow over an await) and may await
//! devices, timers and signals. A call to another service blocks the process meanwhile.

use crate::capability::{Cap, Endpoint};
use crate::client::Refusal;
use crate::executor::Gate;
use crate::lifecycle::{Order, healthy, keeps, order};
use crate::reactor;
use crate::system::Arrived;
use crate::timer;
use crate::wire::{self, Malformed, Passed, Passing, Payload};
use abi::message::{FaultKind, VERDICT_KILL, VERDICT_RESUME};
use abi::{DeliveryKind, Error, ExitReason, ReplyToken};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, Stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Requests that are worked on at once; more wait in the endpoint's queue.
pub const AT_ONCE: usize = 256;
/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The badge of the capability that the request came in through, set by whoever
    /// granted it; 0 if none was set. Nothing else says who is asking.
    pub badge: u64,
}

/// The right to answer one call, once. Dropping it tells the caller that there is no answer.
#[derive(Debug)]
pub struct Reply {
    token: ReplyToken,
}

impl Reply {
    fn new(token: ReplyToken) -> Option<Reply> {
        // Not `then_some`: a reply that is made and dropped would answer.
        (!token.is_none()).then(|| Reply { token })
    }

    /// Answers the function `number` with `value` and the capabilities that ride on it.
    pub fn answer<T: Serialize + ?Sized>(self, number: u32, value: &T, passing: Passing) {
        match Payload::of(value) {
            Ok(payload) if passing.transfers().is_ok() => self.send(payload.tag(number), payload, passing),
            _ => self.refuse(Refusal::TooLarge),
        }
    }

    /// Refuses the request.
    pub fn refuse(self, refusal: Refusal) {
        self.send(refusal as u64, Payload::EMPTY, Passing::new());
    }

    fn send(self, tag: u64, payload: Payload, passing: Passing) {
        let token = ManuallyDrop::new(self).token;
        reactor::answer(token, tag, payload, passing);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        reactor::answer(self.token, Refusal::Abandoned as u64, Payload::EMPTY, Passing::new());
    }
}

/// A request as it arrived.
#[derive(Debug)]
pub struct Request {
    arrived: Arrived,
    /// How to answer; none of a one-way message.
    reply: Option<Reply>,
}

impl Request {
    /// Interface number + method number.
    pub fn number(&self) -> u32 {
        wire::number(self.arrived.delivery.tag)
    }

    /// Who asks.
    pub fn caller(&self) -> Caller {
        Caller { badge: self.arrived.delivery.badge }
    }

    /// Whether the sender waits for an answer.
    pub fn is_call(&self) -> bool {
        self.reply.is_some()
    }

    /// The arguments.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        wire::decode(self.arrived.delivery.tag, &self.arrived.words, &self.arrived.bytes)
    }

    /// The capabilities that came with it.
    pub fn passed(&mut self) -> Passed {
        Passed::from_arrived(&mut self.arrived)
    }

    /// Answers it, if it is a call.
    pub fn answer<T: Serialize + ?Sized>(mut self, value: &T, passing: Passing) {
        if let Some(reply) = self.reply.take() {
            reply.answer(self.number(), value, passing);
        }
    }

    /// Refuses it, if it is a call.
    pub fn refuse(mut self, refusal: Refusal) {
        if let Some(reply) = self.reply.take() {
            reply.refuse(refusal);
        }
    }
}

/// A supervised process has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exited {
    /// Badge of the supervisor capability that it was created with.
    pub badge: u64,
    /// Serial of the process.
    pub process: u64,
    /// Why it ended.
    pub reason: ExitReason,
    /// With what code.
    pub code: u64,
    /// Processor time used, in ns.
    pub processor_time: u64,
}

/// A thread of a supervised process did what it could not, and waits for the verdict. Without
/// one it is killed.
#[derive(Debug)]
pub struct Faulted {
    /// Badge of the supervisor capability that its process was created with.
    pub badge: u64,
    /// Serial of the process.
    pub process: u64,
    /// Its thread.
    pub thread: u64,
    /// What it did.
    pub kind: FaultKind,
    /// Address, limit or number, as [`FaultKind`] says.
    pub detail: u64,
    verdict: Verdict,
}

/// A fault's reply: kills unless it is told otherwise.
#[derive(Debug)]
struct Verdict(ReplyToken);

impl Faulted {
    /// Lets the thread go on where it was.
    pub fn resume(self) {
        let token = ManuallyDrop::new(self.verdict).0;
        reactor::answer(token, VERDICT_RESUME, Payload::EMPTY, Passing::new());
    }

    /// Kills the process, with the fault as the reason.
    pub fn kill(self) {}
}

impl Drop for Verdict {
    fn drop(&mut self) {
        reactor::answer(self.0, VERDICT_KILL, Payload::EMPTY, Passing::new());
    }
}

/// What came to an endpoint.
#[derive(Debug)]
pub enum Incoming {
    /// A call or a one-way message.
    Request(Request),
    /// A supervised process ended.
    Exited(Exited),
    /// A supervised process faulted.
    Faulted(Faulted),
}

impl Incoming {
    fn of(arrived: Arrived) -> Option<Incoming> {
        let badge = arrived.delivery.badge;
        let token = arrived.delivery.reply;
        let [first, second, third, fourth, ..] = arrived.words;
        Some(match arrived.delivery.kind {
            DeliveryKind::Sent | DeliveryKind::Called => {
                Incoming::Request(Request { arrived, reply: Reply::new(token) })
            }
            DeliveryKind::Exit => Incoming::Exited(Exited {
                badge,
                process: third,
                reason: ExitReason::from_number(u8::try_from(first).ok()?)?,
                code: second,
                processor_time: fourth,
            }),
            DeliveryKind::Fault => {
                // Before anything can go wrong: whatever becomes of it, the thread gets a verdict.
                let verdict = Verdict(token);
                let kind = FaultKind::from_number(u8::try_from(first).ok()?)?;
                Incoming::Faulted(Faulted { badge, process: third, thread: fourth, kind, detail: second, verdict })
            }
            // The reactor keeps these to itself.
            DeliveryKind::Answer | DeliveryKind::Notified => return None,
        })
    }
}

/// The endpoint that this process receives from. A process has one at a time: what came
/// for whom, badge and number tell.
#[derive(Debug)]
pub struct Inbox {
    endpoint: Cap<Endpoint>,
}

impl Inbox {
    /// Receives from `endpoint` from now on.
    pub fn open(endpoint: Cap<Endpoint>) -> Result<Inbox, Error> {
        reactor::serve(&endpoint)?;
        Ok(Inbox { endpoint })
    }

    /// The endpoint, to derive capabilities for others from.
    pub fn endpoint(&self) -> &Cap<Endpoint> {
        &self.endpoint
    }

    /// What comes next. An error is final: the endpoint is gone.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        poll_fn(|context| poll_incoming(context.waker())).await
    }
}

/// What comes next at the endpoint that is served.
fn poll_incoming(waker: &core::task::Waker) -> Poll<Result<Incoming, Error>> {
    loop {
        match reactor::poll_message(waker) {
            Poll::Ready(Ok(arrived)) => match Incoming::of(arrived) {
                Some(incoming) => return Poll::Ready(Ok(incoming)),
                None => continue,
            },
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// One or several interfaces that answer requests: generated `Serve(&server)`, or a tuple of them.
pub trait Dispatch {
    /// Whether it answers requests with this number.
    fn accepts(&self, number: u32) -> bool;

    /// Carries a request out and answers it.
    fn dispatch(&self, request: Request) -> impl Future<Output = ()>;
}

macro_rules! several {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Dispatch),*> Dispatch for ($($name,)*) {
            fn accepts(&self, number: u32) -> bool {
                $(self.$index.accepts(number))||*
            }
            async fn dispatch(&self, request: Request) {
                $(if self.$index.accepts(request.number()) {
                    return self.$index.dispatch(request).await;
                })*
                request.refuse(Refusal::Unknown);
            }
        }
    };
}
/// No interface: every request is refused.
impl Dispatch for () {
    fn accepts(&self, _: u32) -> bool {
        false
    }
    async fn dispatch(&self, request: Request) {
        request.refuse(Refusal::Unknown);
    }
}

several!(A 0);
several!(A 0, B 1);
several!(A 0, B 1, C 2);
several!(A 0, B 1, C 2, D 3);
several!(A 0, B 1, C 2, D 3, E 4);
several!(A 0, B 1, C 2, D 3, E 4, F 5);

/// What else a service does; each has a default.
pub trait Hooks {
    /// A process that was created with this endpoint as its supervisor has ended.
    fn exited(&self, exited: Exited) -> impl Future<Output = ()> {
        let _ = exited;
        async {}
    }

    /// One of its threads faulted. The default kills the process.
    fn faulted(&self, faulted: Faulted) -> impl Future<Output = ()> {
        async move { faulted.kill() }
    }

    /// The service is asked to end, within `grace`. It does when this is done and the requests
    /// that were begun are answered; for these it waits half the grace at most.
    fn stopping(&self, grace: Duration) -> impl Future<Output = ()> {
        let _ = grace;
        async {}
    }

    /// What there is to say of the service's health, beyond that it is well; a line at most, for people.
    fn health(&self) -> String {
        String::new()
    }

    /// Why another process cannot take over now, if it cannot: a line for people. Then nothing comes of the upgrade.
    fn keeps(&self) -> Option<String> {
        None
    }

    /// Another process is to take over: lets go of what only one can have, and returns what that one needs
    /// that does not lie in storage; at most 60 KiB. Requests that were begun are answered meanwhile; the
    /// others go on if the upgrade comes to nothing.
    fn hand_over(&self) -> impl Future<Output = Vec<u8>> {
        async { Vec::new() }
    }

    /// The upgrade came to nothing: takes hold again.
    fn resumed(&self) -> impl Future<Output = ()> {
        async {}
    }
}

/// Nothing else.
impl Hooks for () {}

/// Serves `endpoint` until the service is asked to end (`Ok`) or the endpoint is gone (`Err`).
pub async fn serve(endpoint: Cap<Endpoint>, dispatch: impl Dispatch) -> Result<(), Error> {
    serve_with(endpoint, dispatch, ()).await
}

/// [`serve`], with hooks.
pub async fn serve_with(endpoint: Cap<Endpoint>, dispatch: impl Dispatch, hooks: impl Hooks) -> Result<(), Error> {
    let mut tasks = Tasks::new();
    let (dispatch, hooks) = (&dispatch, &hooks);
    loop {
        reactor::serve(&endpoint)?;
        match asked(&mut tasks, dispatch, hooks).await? {
            Asked::Stop(grace) => {
                stop(&mut tasks, hooks, grace).await;
                return Ok(());
            }
            Asked::HandOver(grace) => {
                if hooks.keeps().is_none() {
                    finish(&mut tasks, grace).await;
                }
                if let Some(reason) = hooks.keeps() {
                    keeps(&reason).await;
                    continue;
                }
                let state = hooks.hand_over().await;
                reactor::cease();
                HandOver(()).release(state).await;
                hooks.resumed().await;
            }
        }
    }
}

/// [`serve_with`], of a service that must drop what it has to let go of it: in an upgrade it returns when nothing is
/// received any more; then the requests that were begun are answered, or refused. `None`: the service was asked to end.
/// `endpoint` stays whole, to serve it again.
pub async fn serve_until_asked(
    endpoint: &Cap<Endpoint>,
    dispatch: impl Dispatch,
    hooks: impl Hooks,
) -> Result<Option<HandOver>, Error> {
    let mut tasks = Tasks::new();
    reactor::serve(endpoint)?;
    match asked(&mut tasks, &dispatch, &hooks).await? {
        Asked::Stop(grace) => {
            stop(&mut tasks, &hooks, grace).await;
            Ok(None)
        }
        Asked::HandOver(grace) => {
            finish(&mut tasks, grace).await;
            reactor::cease();
            Ok(Some(HandOver(())))
        }
    }
}

/// A service that is being upgraded, and receives nothing any more.
#[derive(Debug)]
#[must_use = "the successor waits until all is let go"]
pub struct HandOver(());

impl HandOver {
    /// Tells init that everything that only one process can have is let go, and what the successor needs beside that,
    /// at most 60 KiB. Returns only if nothing comes of the upgrade: then the service takes hold again and serves.
    pub async fn release(self, state: Vec<u8>) {
        // Tasks that were ended are dropped, with what they hold, when the others run.
        crate::executor::yield_now().await;
        crate::lifecycle::released(state).await;
    }
}

/// Requests that were begun.
type Tasks<'a> = FuturesUnordered<Gate<'a, ()>>;

/// What init asks of a service that serves.
enum Asked {
    Stop(Duration),
    HandOver(Duration),
}

/// Serves until init asks for something that ends it.
async fn asked<'a>(tasks: &mut Tasks<'a>, dispatch: &'a impl Dispatch, hooks: &'a impl Hooks) -> Result<Asked, Error> {
    let asked = poll_fn(|context| {
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut *tasks).poll_next(context) {}
            if tasks.len() >= AT_ONCE {
                reactor::stop_messages();
                return Poll::Pending;
            }
            let incoming = match poll_incoming(context.waker()) {
                Poll::Ready(Ok(incoming)) => incoming,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            let task: Pin<Box<dyn Future<Output = ()> + '_>> = match incoming {
                Incoming::Request(request) => match order(&request) {
                    Some(Order::Stop(grace)) => return Poll::Ready(Ok(Asked::Stop(grace))),
                    Some(Order::HandOver(grace)) => return Poll::Ready(Ok(Asked::HandOver(grace))),
                    Some(Order::Health(round)) => Box::pin(async move { healthy(round, &hooks.health()).await }),
                    Some(Order::Stale) => continue,
                    None => Box::pin(async move {
                        if dispatch.accepts(request.number()) {
                            dispatch.dispatch(request).await;
                        } else {
                            request.refuse(Refusal::Unknown);
                        }
                    }),
                },
                Incoming::Exited(exited) => Box::pin(hooks.exited(exited)),
                Incoming::Faulted(faulted) => Box::pin(hooks.faulted(faulted)),
            };
            // Most requests are answered at once, and never enter the set.
            let mut task = Gate::new(task);
            if Pin::new(&mut task).poll(context).is_pending() {
                tasks.push(task);
            }
        }
    })
    .await;
    reactor::stop_messages();
    asked
}

/// Ends in order. Whether what was begun was answered in time or not, the service ends; what was not is refused.
async fn stop(tasks: &mut Tasks<'_>, hooks: &impl Hooks, grace: Duration) {
    let _ = join(Gate::new(Box::pin(hooks.stopping(grace))), Gate::new(Box::pin(finish(tasks, grace)))).await;
}

/// Waits half the grace at most for the requests that were begun to be answered.
async fn finish(tasks: &mut Tasks<'_>, grace: Duration) {
    let finished = poll_fn(|context| {
        while Pin::new(&mut *tasks).poll_next(context).map(|ended| ended.is_some()) == Poll::Ready(true) {}
        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    let _ = timer::timeout(grace / 2, finished).await;
}
