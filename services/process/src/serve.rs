//! The service at work: its interface, what the kernel tells it of its processes, and what
//! it tells its subscribers.

use crate::events::{Event, Subscribers, Told};
use crate::limits::{Warned, warning};
use crate::live::{Force, Live};
use crate::requester::Requester;
use crate::spawn::Spawner;
use crate::table::{self, Entry, Life, Reason, Refusal, Table};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use libprocess::abi::PAGE_SIZE;
use libprocess::abi::message::FaultKind;
use libprocess::capability::Process as ProcessObject;
use libprocess::interfaces::process::{lifecycle, process_events};
use libprocess::{Any, Caller, Cap, Endpoint, Exited, Faulted, Hooks, Rights, Task, abi};

/// The most waits that are held at once. A held request takes one of the places for requests
/// that are worked on; the rest stays free for all others.
pub const MAX_WAITS: usize = 192;
/// The most of these that one requester has, given up or not, so that none shuts out the others.
pub const MAX_WAITS_OF_ONE: usize = 24;
/// The most processes that one `list` tells.
pub const LIST: usize = 256;
/// How often, while there are subscribers, the memory of processes is looked at, and what found no room is told again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long processes have to end when this service is asked to.
const LAST_MOMENT: Duration = Duration::from_millis(500);
/// How often it looks whether they have.
const LOOK_FOR_ENDS: Duration = Duration::from_millis(5);

/// The service.
pub struct Service {
    spawner: Spawner,
    table: RefCell<Table<Live>>,
    subscribers: RefCell<Subscribers>,
    waits: Waits,
    /// Number of the wait that was begun last.
    last_wait: Cell<u64>,
    looking: Cell<bool>,
}

impl Service {
    /// A service that has no processes yet.
    pub fn new(spawner: Spawner) -> Rc<Service> {
        Rc::new(Service {
            spawner,
            table: RefCell::default(),
            subscribers: RefCell::default(),
            waits: Waits::default(),
            last_wait: Cell::new(0),
            looking: Cell::new(false),
        })
    }

    /// Ends a process in `grace` ns, or when an earlier time of grace that it was given is over.
    fn end_by_force(self: &Rc<Self>, pid: u64, grace: u64) {
        let deadline = libprocess::now().saturating_add(grace);
        let mut table = self.table.borrow_mut();
        let Some(live) = table.live(pid) else { return };
        if live.force.as_ref().is_some_and(|force| force.deadline <= deadline) {
            return;
        }
        let service = self.clone();
        let task = Task::spawn(async move {
            libprocess::sleep_until(deadline).await;
            if let Some(live) = service.table.borrow_mut().live(pid) {
                live.cause = Some(Reason::Terminated);
                let _ = live.process.kill(0);
            }
        });
        live.force = Some(Force { deadline, task });
    }

    /// Tells those who subscribed and may manage the process.
    fn publish(self: &Rc<Self>, event: Event) {
        let to = {
            let (table, pid) = (self.table.borrow(), event.pid());
            self.subscribers.borrow_mut().keep(event, |requester| table.manages(requester, pid))
        };
        if to.is_empty() {
            return;
        }
        let service = self.clone();
        libprocess::spawn(async move { service.tell(to).await });
    }

    /// Tells subscribers what is kept for them.
    async fn tell(&self, to: Vec<u64>) {
        for number in to {
            loop {
                let next = self.subscribers.borrow_mut().next(number);
                let Some((client, event)) = next else { break };
                match event.tell(&client).await {
                    Ok(Told::Done) => {}
                    Ok(Told::NoRoom) => {
                        self.subscribers.borrow_mut().put_back(number, event);
                        break;
                    }
                    Err(_) => self.subscribers.borrow_mut().forget(number),
                }
            }
        }
    }

    /// Looks at the processes' memory now and then, for as long as somebody wants to know; and tells what found no
    /// room before.
    fn look_at_memory(self: &Rc<Self>) {
        if self.looking.replace(true) {
            return;
        }
        let service = self.clone();
        libprocess::spawn(async move {
            while !service.subscribers.borrow().is_empty() {
                libprocess::sleep(LOOK_EVERY).await;
                service.warn_of_memory();
                let kept = service.subscribers.borrow().with_kept();
                service.tell(kept).await;
            }
            service.looking.set(false);
        });
    }

    fn warn_of_memory(self: &Rc<Self>) {
        let mut warnings = Vec::new();
        for (pid, _, live) in self.table.borrow_mut().all_live() {
            if let Some(used) = live.memory_warning() {
                warnings.push((pid, used, live.limits.memory()));
            }
        }
        for (pid, used, limit) in warnings {
            let what = process_events::Limited::Memory;
            self.publish(Event::Warning { pid, what, used, limit });
        }
    }
}

/// The server of the interface.
pub struct Server(pub Rc<Service>);

impl lifecycle::Server for Server {
    async fn spawn(
        &self,
        caller: Caller,
        request: lifecycle::Request,
        from: Option<Cap<Any>>,
        capabilities: Vec<Cap<Any>>,
    ) -> Result<u64, lifecycle::Error> {
        let requester = Requester(caller.badge);
        let service = &self.0;
        if !service.table.borrow().has_room(requester) {
            return Err(lifecycle::Error::LimitExceeded("processes".to_string()));
        }
        let started = service.spawner.spawn(request, from, capabilities).await?;
        service.table.borrow_mut().insert(started.pid, started.name, requester, started.live);
        Ok(started.pid)
    }

    async fn list(&self, caller: Caller, after: u64) -> Result<Vec<lifecycle::Info>, lifecycle::Error> {
        let table = self.0.table.borrow();
        Ok(table.visible(Requester(caller.badge), after).take(LIST).map(|(pid, entry)| info(pid, entry)).collect())
    }

    async fn get(&self, caller: Caller, pid: u64) -> Result<lifecycle::Info, lifecycle::Error> {
        let table = self.0.table.borrow();
        let entry = table.get(pid, Requester(caller.badge)).map_err(refused)?;
        Ok(info(pid, entry))
    }

    async fn terminate(&self, caller: Caller, pid: u64, grace: u32) -> Result<(), lifecycle::Error> {
        self.live(caller, pid, |live| {
            live.asked = true;
            live.stop.signal(1)
        })?
        .map_err(|error| lifecycle::Error::PermissionDenied(error.to_string()))?;
        self.0.end_by_force(pid, u64::from(grace) * 1_000_000);
        Ok(())
    }

    async fn kill(&self, caller: Caller, pid: u64, code: u64) -> Result<(), lifecycle::Error> {
        self.live(caller, pid, |live| {
            live.cause = Some(Reason::Killed);
            // Its end may be on the way already.
            let _ = live.process.kill(code);
        })
    }

    async fn wait(&self, caller: Caller, pid: u64, timeout: Option<u64>) -> Result<lifecycle::End, lifecycle::Error> {
        let requester = Requester(caller.badge);
        let service = &self.0;
        let waiting = Waiting::begin(service, pid);
        let ended = poll_fn(|context| {
            let mut table = service.table.borrow_mut();
            match table.get(pid, requester) {
                Err(refusal) => return Poll::Ready(Err(refused(refusal))),
                Ok(Entry { life: Life::Ended(found), .. }) => return Poll::Ready(Ok(end(found))),
                Ok(Entry { life: Life::Live(_), .. }) => {}
            }
            if let Some(live) = table.live(pid) {
                live.waiting.insert(waiting.number, context.waker().clone());
            }
            Poll::Pending
        });
        let _held = Wait::begin(&service.waits, requester)?;
        match timeout {
            None => ended.await,
            Some(milliseconds) => match libprocess::timeout(Duration::from_millis(milliseconds), ended).await {
                Ok(ended) => ended,
                Err(_) => Err(lifecycle::Error::TimedOut),
            },
        }
    }

    async fn usage(&self, caller: Caller, pid: u64) -> Result<lifecycle::ResourceUsage, lifecycle::Error> {
        let table = self.0.table.borrow();
        let live = match &table.get(pid, Requester(caller.badge)).map_err(refused)?.life {
            Life::Live(live) => live,
            Life::Ended(ended) => {
                return Ok(lifecycle::ResourceUsage {
                    processor_time: ended.processor_time,
                    processor_time_limit: 0,
                    memory: 0,
                    memory_limit: 0,
                    kernel_memory: 0,
                    kernel_memory_limit: 0,
                    capabilities: 0,
                    capabilities_limit: 0,
                });
            }
        };
        let gone = |_| lifecycle::Error::NoSuchProcess;
        let (process, quota) = (live.process.info().map_err(gone)?, live.quota.info().map_err(gone)?);
        Ok(lifecycle::ResourceUsage {
            processor_time: process.processor_time,
            processor_time_limit: live.limits.processor_time.unwrap_or_default(),
            memory: quota.pages_used.saturating_mul(PAGE_SIZE as u64),
            memory_limit: live.limits.memory(),
            kernel_memory: quota.memory_used,
            kernel_memory_limit: quota.memory,
            capabilities: process.capabilities,
            capabilities_limit: live.limits.capabilities,
        })
    }

    async fn subscribe(&self, caller: Caller, to: Cap<Endpoint>) -> Result<u64, lifecycle::Error> {
        let number = self.0.subscribers.borrow_mut().add(Requester(caller.badge), to)?;
        self.0.look_at_memory();
        Ok(number)
    }

    async fn unsubscribe(&self, caller: Caller, subscription: u64) -> Result<(), lifecycle::Error> {
        self.0.subscribers.borrow_mut().remove(Requester(caller.badge), subscription)
    }

    async fn inspect(&self, caller: Caller, pid: u64) -> Result<Cap<ProcessObject>, lifecycle::Error> {
        self.live(caller, pid, |live| live.process.derive(Rights::INSPECT))?
            .map_err(|error| lifecycle::Error::LimitExceeded(error.to_string()))
    }
}

impl Server {
    /// Does something with a live process that the caller may manage. One that has ended
    /// is no process any more.
    fn live<T>(&self, caller: Caller, pid: u64, act: impl FnOnce(&mut Live) -> T) -> Result<T, lifecycle::Error> {
        let mut table = self.0.table.borrow_mut();
        table.get(pid, Requester(caller.badge)).map_err(refused)?;
        table.live(pid).map(act).ok_or(lifecycle::Error::NoSuchProcess)
    }
}

/// Who has how many held waits.
type Waits = RefCell<BTreeMap<Requester, usize>>;

/// One held wait, and whose.
struct Wait<'a>(&'a Waits, Requester);

impl<'a> Wait<'a> {
    fn begin(waits: &'a Waits, requester: Requester) -> Result<Wait<'a>, lifecycle::Error> {
        let mut held = waits.borrow_mut();
        let all: usize = held.values().sum();
        let own = held.get(&requester).copied().unwrap_or(0);
        if all >= MAX_WAITS || own >= MAX_WAITS_OF_ONE {
            return Err(lifecycle::Error::LimitExceeded("waits".to_string()));
        }
        held.insert(requester, own + 1);
        Ok(Wait(waits, requester))
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut held = self.0.borrow_mut();
        match held.get_mut(&self.1) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(held.remove(&self.1)),
        }
    }
}

/// The waker of one wait, which is there until the wait is over.
struct Waiting<'a> {
    service: &'a Service,
    pid: u64,
    number: u64,
}

impl<'a> Waiting<'a> {
    fn begin(service: &'a Service, pid: u64) -> Waiting<'a> {
        let number = service.last_wait.get() + 1;
        service.last_wait.set(number);
        Waiting { service, pid, number }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(live) = self.service.table.borrow_mut().live(self.pid) {
            live.waiting.remove(&self.number);
        }
    }
}

/// What the kernel tells of the processes.
pub struct Supervision(pub Rc<Service>);

impl Hooks for Supervision {
    async fn exited(&self, exited: Exited) {
        let service = &self.0;
        let pid = exited.process;
        let Some(found) = service.table.borrow_mut().live(pid).map(|live| live.end(&exited)) else { return };
        let Some((name, live)) = service.table.borrow_mut().end(pid, found) else { return };
        for waker in live.waiting.into_values() {
            waker.wake();
        }
        drop((live.process, live.stop));
        // All that it had goes back with its quota.
        let _ = live.quota.destroy();
        service.publish(Event::Exited { pid, name, end: end(&found) });
    }

    async fn stopping(&self, grace: Duration) {
        self.0.ask_all(grace).await;
    }

    /// What it holds for its processes lives on its own capabilities: with it they would end.
    fn keeps(&self) -> Option<String> {
        let live = self.0.table.borrow_mut().all_live().count();
        (live > 0).then(|| {
            format!("{live} processes run that would end with it; `ps` lists them, end them or wait for them first")
        })
    }

    async fn faulted(&self, faulted: Faulted) {
        let pid = faulted.process;
        let mut warn = None;
        if let Some(live) = self.0.table.borrow_mut().live(pid) {
            match faulted.kind {
                FaultKind::TimeLimit if live.processor_time_warned == Warned::No => {
                    live.processor_time_warned = Warned::Yes;
                    if live.process.limit(live.limits.kernel(Warned::Yes)).is_ok() {
                        warn = live.limits.processor_time;
                    }
                }
                FaultKind::BadAccess if live.has_no_memory() => live.cause = Some(Reason::MemoryLimit),
                FaultKind::Trap | FaultKind::BadAccess if live.is_out_of_memory() => {
                    live.cause = Some(Reason::MemoryLimit);
                }
                _ => {}
            }
        }
        match warn {
            Some(limit) => {
                faulted.resume();
                let what = process_events::Limited::ProcessorTime;
                self.0.publish(Event::Warning { pid, what, used: warning(limit), limit });
            }
            None => faulted.kill(),
        }
    }
}

impl Service {
    /// Asks every process to end, and gives them a moment for it: they go with this service.
    async fn ask_all(&self, grace: Duration) {
        for (_, _, live) in self.table.borrow_mut().all_live() {
            let _ = live.stop.signal(1);
        }
        // Ends are not received any more: they are looked for.
        let ended = async {
            while self.table.borrow_mut().all_live().any(|(_, _, live)| runs(live)) {
                libprocess::sleep(LOOK_FOR_ENDS).await;
            }
        };
        let _ = libprocess::timeout(LAST_MOMENT.min(grace), ended).await;
    }
}

/// Whether a process has not ended.
fn runs(live: &Live) -> bool {
    live.process.info().is_ok_and(|info| info.state != abi::ProcessState::Exited)
}

fn info(pid: u64, entry: &Entry<Live>) -> lifecycle::Info {
    let mut info = lifecycle::Info {
        pid,
        name: entry.name.clone(),
        state: lifecycle::State::Ended,
        parent: entry.parent().unwrap_or_default(),
        requester: entry.requester.0,
        processor_time: 0,
        pages: 0,
        calls: 0,
        capabilities: 0,
        end: None,
    };
    match &entry.life {
        Life::Ended(ended) => {
            info.processor_time = ended.processor_time;
            info.end = Some(end(ended));
        }
        Life::Live(live) => {
            info.state = if live.asked { lifecycle::State::Ending } else { lifecycle::State::Running };
            if let Ok(process) = live.process.info() {
                if process.state == abi::ProcessState::Suspended {
                    info.state = lifecycle::State::Suspended;
                }
                info.processor_time = process.processor_time;
                info.pages = process.pages;
                info.calls = process.calls;
                info.capabilities = process.capabilities;
            }
        }
    }
    info
}

fn end(end: &table::End) -> lifecycle::End {
    lifecycle::End {
        reason: match end.reason {
            Reason::Exited => lifecycle::Reason::Exited,
            Reason::Killed => lifecycle::Reason::Killed,
            Reason::Terminated => lifecycle::Reason::Terminated,
            Reason::Faulted => lifecycle::Reason::Faulted,
            Reason::ProcessorTimeLimit => lifecycle::Reason::ProcessorTimeLimit,
            Reason::MemoryLimit => lifecycle::Reason::MemoryLimit,
            Reason::Reclaimed => lifecycle::Reason::Reclaimed,
        },
        code: end.code,
        processor_time: end.processor_time,
    }
}

fn refused(refusal: Refusal) -> lifecycle::Error {
    match refusal {
        Refusal::NoSuchProcess => lifecycle::Error::NoSuchProcess,
        Refusal::PermissionDenied => {
            lifecycle::Error::PermissionDenied("the process is not yours to manage".to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use libprocess::{ClientError, Process};
    use simulated::{Grant, Stage};

    #[test]
    fn waits_leave_room_for_other_requests_and_other_requesters() {
        let waits = Waits::default();
        let full =
            |requester| matches!(Wait::begin(&waits, Requester(requester)), Err(lifecycle::Error::LimitExceeded(_)));
        let all = |requester| -> Vec<_> {
            (0..MAX_WAITS_OF_ONE).map(|_| Wait::begin(&waits, Requester(requester)).unwrap()).collect()
        };
        let first = all(0);
        assert!(full(0) && !full(1), "one shuts out itself alone");
        let others: Vec<_> = (1..).take(MAX_WAITS / MAX_WAITS_OF_ONE - 1).map(all).collect();
        assert!(full(1000), "no more than there are places");
        drop(first);
        assert!(!full(0) && !full(1000), "a wait that is over gives its place back");
        drop(others);
        assert!(waits.borrow().is_empty());
        const { assert!(MAX_WAITS < libprocess::service::AT_ONCE) };
    }

    /// Plays a client against a service that it can look into.
    fn look_into<F: Future<Output = ()> + 'static>(main: impl FnOnce(lifecycle::Client, Rc<Service>) -> F + 'static) {
        let service: Rc<RefCell<Option<Rc<Service>>>> = Rc::default();
        let made = service.clone();
        Stage::new(1)
            .simulation(|machine| machine.image("deaf", |_| libprocess::sleep(Duration::from_secs(86_400))))
            .service("process", move |process| {
                let made = made.clone();
                async move {
                    let (inbox, spawner) = crate::equip(&process).unwrap();
                    let service = Service::new(spawner);
                    *made.borrow_mut() = Some(service.clone());
                    let server = Server(service.clone());
                    libprocess::serve_with(inbox, lifecycle::Serve(&server), Supervision(service)).await.unwrap();
                }
            })
            .with(Grant::image("deaf"))
            .client("client", async move |process: Process| {
                let client = lifecycle::Client::new(process.capability("process").unwrap());
                // An answer shows that the service has begun.
                client.list(0).await.unwrap();
                let service = service.take().unwrap();
                main(client, service).await;
            })
            .with(Grant::service("process").badge(2))
            .pass();
    }

    async fn deaf(client: &lifecycle::Client) -> u64 {
        let limits = lifecycle::Limits {
            memory: 1 << 20,
            kernel_memory: 192 << 10,
            processor_time: 0,
            capabilities: 64,
            queued_messages: 16,
        };
        let source = lifecycle::Source::Boot("deaf".to_string());
        let request = lifecycle::Request {
            name: String::new(),
            source,
            arguments: Vec::new(),
            environment: Vec::new(),
            grants: Vec::new(),
            limits,
        };
        client.spawn(&request, None, Vec::new()).await.unwrap()
    }

    #[test]
    fn who_asks_a_process_to_end_again_and_again_takes_nothing_more() {
        look_into(async move |client, service| {
            let pid = deaf(&client).await;
            // Each task that is to end a process holds the service.
            let tasks = || Rc::strong_count(&service);
            let before = tasks();
            client.terminate(pid, u32::MAX).await.unwrap();
            assert_eq!(tasks(), before + 1);
            for _ in 0..10_000 {
                client.terminate(pid, u32::MAX).await.unwrap();
                assert_eq!(tasks(), before + 1);
            }
            let then = libprocess::now();
            client.terminate(pid, 30).await.unwrap();
            // A longer time of grace takes nothing back.
            client.terminate(pid, u32::MAX).await.unwrap();
            let end = client.wait(pid, None).await.unwrap();
            assert_eq!((end.reason, end.code), (lifecycle::Reason::Terminated, 0));
            let took = libprocess::now() - then;
            assert!((30_000_000..40_000_000).contains(&took), "{took} ns");
            client.list(0).await.unwrap();
            assert_eq!(tasks(), before);
        });
    }

    #[test]
    fn with_a_process_goes_the_task_that_is_to_end_it() {
        look_into(async move |client, service| {
            let before = Rc::strong_count(&service);
            for _ in 0..50 {
                let pid = deaf(&client).await;
                client.terminate(pid, u32::MAX).await.unwrap();
                client.kill(pid, 1).await.unwrap();
                client.wait(pid, None).await.unwrap();
            }
            client.list(0).await.unwrap();
            assert_eq!(Rc::strong_count(&service), before);
        });
    }

    #[test]
    fn a_wait_that_is_over_leaves_nothing_behind() {
        look_into(async move |client, service| {
            let pid = deaf(&client).await;
            let waiting = || service.table.borrow_mut().live(pid).map(|live| live.waiting.len());
            for _ in 0..1_000 {
                assert_eq!(client.wait(pid, Some(1)).await, Err(ClientError::Service(lifecycle::Error::TimedOut)));
                assert_eq!(waiting(), Some(0));
            }
            let hasty = client.within(Duration::from_millis(1));
            assert_eq!(hasty.wait(pid, None).await, Err(ClientError::TimedOut));
            assert_eq!(waiting(), Some(1), "one whose client gave up goes on");
        });
    }
}
