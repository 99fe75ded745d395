//! A machine small enough to test libprocess against: endpoints, notifications, a clock, a
//! console, and processes that are futures. It is no kernel: rights, quotas and time-slices
//! are not there. What is there is enough to see who waits for what, in which order the calls
//! come, and whether capabilities leak.
#![allow(dead_code)]

use libprocess::abi::device::{self, Completion, CompletionStatus, Operation};
use libprocess::abi::message::{MAX_TRANSFERS, Words};
use libprocess::abi::{
    Delivery, DeliveryKind, Error, ExitReason, FOREVER, Handle, Name, Number, ProcessInfo, ProcessState, ReplyToken,
    Request, Returned, Transfer, TransferMode,
};
use libprocess::backend::{Answer, SystemCalls};
use libprocess::hosted;
use libprocess::{Process, Report, Startup};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The serial that every process has.
pub const SERIAL: u64 = 2;

/// What a handle stands for. Handles are the same number in every process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    Quota,
    Endpoint(usize),
    Notification(usize),
    Clock,
    Console,
    ConsoleInterrupt,
}

struct Message {
    from: usize,
    kind: DeliveryKind,
    badge: u64,
    tag: u64,
    words: Words,
    bytes: Vec<u8>,
    handles: Vec<Handle>,
    reply: ReplyToken,
}

#[derive(Default)]
struct Notification {
    bits: u64,
    bound: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Receive(usize),
    Bits(usize),
    Answer,
}

#[derive(Default)]
struct State {
    startup: Vec<u8>,
    bytes: Vec<u8>,
    handles: Vec<Handle>,
    wait: Option<(Wait, u64)>,
    answer: Option<Answer>,
    calls: u32,
    ended: Option<u64>,
}

/// A serial line as the console.
#[derive(Default)]
pub struct SerialLine {
    /// What was typed and not yet received.
    pub typed: VecDeque<u8>,
    /// Bytes that it takes before it is full.
    pub room: usize,
    pub terminal: bool,
}

/// The console device.
#[derive(Default)]
pub struct ConsoleDevice {
    /// What was shown.
    pub shown: Vec<u8>,
    /// What is typed: one read each.
    pub input: VecDeque<Vec<u8>>,
    /// Operations taken at once.
    pub depth: usize,
    /// Completions come by themselves (else [`Machine::complete`] makes them).
    pub quick: bool,
    /// It is no console of a host, but a serial line.
    pub serial: Option<SerialLine>,
    pending: VecDeque<(u64, Operation, Vec<u8>)>,
    done: VecDeque<(Completion, Vec<u8>)>,
    requests: u64,
    interrupt: Option<(usize, u64)>,
    line_open: bool,
}

struct Inside {
    now: u64,
    objects: BTreeMap<u64, (Object, u64)>,
    next_handle: u64,
    endpoints: Vec<VecDeque<Message>>,
    notifications: Vec<Notification>,
    processes: Vec<State>,
    console: ConsoleDevice,
    calls: Vec<(usize, Number)>,
    debug: Vec<String>,
}

/// The machine. Clones are the same.
#[derive(Clone)]
pub struct Machine(Rc<RefCell<Inside>>);

struct Door {
    machine: Machine,
    process: usize,
}

type Running = Pin<Box<dyn Future<Output = u64>>>;

/// Processes to be run together.
pub struct Run {
    pub machine: Machine,
    processes: Vec<(Rc<hosted::Context>, Option<Running>)>,
}

impl Machine {
    pub fn new() -> Machine {
        let console = ConsoleDevice { depth: 4, quick: true, ..ConsoleDevice::default() };
        Machine(Rc::new(RefCell::new(Inside {
            now: 1_000,
            objects: BTreeMap::new(),
            next_handle: 0x1_0000_0001,
            endpoints: Vec::new(),
            notifications: Vec::new(),
            processes: Vec::new(),
            console,
            calls: Vec::new(),
            debug: Vec::new(),
        })))
    }

    /// A handle to a new endpoint.
    pub fn endpoint(&self) -> Handle {
        let mut inside = self.0.borrow_mut();
        inside.endpoints.push(VecDeque::new());
        let endpoint = Object::Endpoint(inside.endpoints.len() - 1);
        inside.handle(endpoint, 0)
    }

    pub fn notification(&self) -> Handle {
        let mut inside = self.0.borrow_mut();
        inside.notifications.push(Notification::default());
        let object = Object::Notification(inside.notifications.len() - 1);
        inside.handle(object, 0)
    }

    /// A handle to what `handle` stands for, with a badge.
    pub fn badged(&self, handle: Handle, badge: u64) -> Handle {
        let mut inside = self.0.borrow_mut();
        let object = inside.objects[&handle.0].0;
        inside.handle(object, badge)
    }

    pub fn object(&self, object: Object) -> Handle {
        self.0.borrow_mut().handle(object, 0)
    }

    pub fn set_bits(&self, handle: Handle, bits: u64) {
        let mut inside = self.0.borrow_mut();
        if let Some((Object::Notification(index), _)) = inside.objects.get(&handle.0).copied() {
            inside.notifications[index].bits |= bits;
        }
    }

    /// Puts a message into an endpoint's queue, as if somebody had sent it.
    pub fn post(&self, endpoint: Handle, kind: DeliveryKind, badge: u64, tag: u64, words: Words, bytes: Vec<u8>) {
        let mut inside = self.0.borrow_mut();
        let Some((Object::Endpoint(index), _)) = inside.objects.get(&endpoint.0).copied() else {
            panic!("no endpoint")
        };
        let reply = if matches!(kind, DeliveryKind::Fault) { ReplyToken::new(999, 1) } else { ReplyToken::NONE };
        inside.endpoints[index].push_back(Message {
            from: usize::MAX,
            kind,
            badge,
            tag,
            words,
            bytes,
            handles: Vec::new(),
            reply,
        });
    }

    pub fn console<R>(&self, body: impl FnOnce(&mut ConsoleDevice) -> R) -> R {
        body(&mut self.0.borrow_mut().console)
    }

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow().console.shown).into_owned()
    }

    /// Something happens at the serial line, and it interrupts.
    pub fn at_the_serial_line(&self, body: impl FnOnce(&mut SerialLine)) {
        let mut inside = self.0.borrow_mut();
        body(inside.console.serial.as_mut().expect("the console is a serial line"));
        inside.interrupt();
    }

    /// Completes the oldest operation of the console.
    pub fn complete(&self) {
        self.0.borrow_mut().complete_one();
    }

    pub fn now(&self) -> u64 {
        self.0.borrow().now
    }

    /// Calls that a process made, in order.
    pub fn calls(&self, process: usize) -> Vec<Number> {
        self.0.borrow().calls.iter().filter(|(who, _)| *who == process).map(|(_, call)| *call).collect()
    }

    pub fn debug_lines(&self) -> Vec<String> {
        self.0.borrow().debug.clone()
    }

    /// Handles that exist.
    pub fn handles(&self) -> usize {
        self.0.borrow().objects.len()
    }
}

impl Inside {
    fn handle(&mut self, object: Object, badge: u64) -> Handle {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.objects.insert(handle, (object, badge));
        Handle(handle)
    }

    fn object(&self, handle: Handle) -> Result<(Object, u64), Error> {
        self.objects.get(&handle.0).copied().ok_or(Error::StaleHandle)
    }

    fn endpoint(&self, handle: Handle) -> Result<(usize, u64), Error> {
        match self.object(handle)? {
            (Object::Endpoint(index), badge) => Ok((index, badge)),
            _ => Err(Error::WrongKind),
        }
    }

    fn notification(&self, handle: Handle) -> Result<usize, Error> {
        match self.object(handle)? {
            (Object::Notification(index), _) => Ok(index),
            _ => Err(Error::WrongKind),
        }
    }

    fn transfer(&mut self, transfers: &[Transfer]) -> Result<Vec<Handle>, Error> {
        for transfer in transfers {
            self.object(transfer.handle)?;
        }
        Ok(transfers
            .iter()
            .filter_map(|transfer| {
                let (object, badge) = self.object(transfer.handle).ok()?;
                if transfer.mode == TransferMode::Move {
                    self.objects.remove(&transfer.handle.0);
                }
                Some(self.handle(object, badge))
            })
            .collect())
    }

    fn deliver(&mut self, to: usize, message: Message) {
        let delivery = Delivery {
            kind: message.kind,
            capabilities: message.handles.len() as u8,
            length: message.bytes.len() as u32,
            badge: message.badge,
            tag: message.tag,
            reply: message.reply,
        };
        let state = &mut self.processes[to];
        state.bytes = message.bytes;
        state.handles = message.handles;
        state.wait = None;
        state.answer = Some(Answer { result: Ok(Returned::Delivery(delivery)), words: message.words });
    }

    /// Gives processes what they wait for.
    fn settle(&mut self) {
        for process in 0..self.processes.len() {
            let Some((wait, deadline)) = self.processes[process].wait else { continue };
            match wait {
                Wait::Receive(endpoint) => {
                    if let Some(message) = self.endpoints[endpoint].pop_front() {
                        self.deliver(process, message);
                        continue;
                    }
                    let bound = self.notifications.iter_mut().find(|n| n.bound == Some(endpoint) && n.bits != 0);
                    if let Some(notification) = bound {
                        let tag = std::mem::take(&mut notification.bits);
                        let message = Message {
                            from: usize::MAX,
                            kind: DeliveryKind::Notified,
                            badge: 0,
                            tag,
                            words: [0; 8],
                            bytes: Vec::new(),
                            handles: Vec::new(),
                            reply: ReplyToken::NONE,
                        };
                        self.deliver(process, message);
                        continue;
                    }
                }
                Wait::Bits(notification) => {
                    let bits = std::mem::take(&mut self.notifications[notification].bits);
                    if bits != 0 {
                        self.processes[process].wait = None;
                        self.processes[process].answer = Some(Answer::without_words(Ok(Returned::Value(bits))));
                        continue;
                    }
                }
                Wait::Answer => {}
            }
            if self.now >= deadline {
                let error = if deadline == 0 { Error::WouldBlock } else { Error::TimedOut };
                self.processes[process].wait = None;
                self.processes[process].answer = Some(Answer::without_words(Err(error)));
            }
        }
    }

    fn reply(
        &mut self,
        token: ReplyToken,
        tag: u64,
        words: &Words,
        bytes: &[u8],
        transfers: &[Transfer],
    ) -> Result<(), Error> {
        assert!(!token.is_none(), "a reply to nobody");
        let to = token.thread() as usize;
        let waits = self
            .processes
            .get(to)
            .is_some_and(|state| state.calls == token.call() && matches!(state.wait, Some((Wait::Answer, _))));
        if !waits && to != 999 {
            return Err(Error::StaleHandle);
        }
        let handles = self.transfer(transfers)?;
        if to == 999 {
            self.debug.push(format!("verdict {tag:#x}"));
            return Ok(());
        }
        let message = Message {
            from: usize::MAX,
            kind: DeliveryKind::Answer,
            badge: 0,
            tag,
            words: *words,
            bytes: bytes.to_vec(),
            handles,
            reply: ReplyToken::NONE,
        };
        self.deliver(to, message);
        Ok(())
    }

    fn wait(&mut self, process: usize, wait: Wait, timeout: u64) {
        let deadline = match timeout {
            FOREVER => FOREVER,
            0 => 0,
            timeout => self.now.saturating_add(timeout),
        };
        self.processes[process].wait = Some((wait, deadline));
    }

    fn serial(&self, device: Handle) -> bool {
        self.console.serial.is_some() && matches!(self.object(device), Ok((Object::Console, _)))
    }

    fn complete_one(&mut self) {
        let Some((request, operation, bytes)) = self.console.pending.pop_front() else { return };
        let mut read = Vec::new();
        let length = match operation {
            Operation::Write => {
                self.console.shown.extend_from_slice(&bytes);
                bytes.len()
            }
            Operation::Read => {
                read = self.console.input.pop_front().unwrap_or_default();
                read.len()
            }
            Operation::Flush => 0,
        };
        let completion = Completion { request, status: CompletionStatus::Done, length: length as u32 };
        self.console.done.push_back((completion, read));
        self.interrupt();
    }

    /// The console interrupts, if its line is open.
    fn interrupt(&mut self) {
        if let (Some((notification, bits)), true) = (self.console.interrupt, self.console.line_open) {
            self.notifications[notification].bits |= bits;
            self.console.line_open = false;
        }
    }

    fn request(&mut self, process: usize, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Option<Answer> {
        self.calls.push((process, request.number()));
        let plain = |result: Result<Returned, Error>| Some(Answer::without_words(result));
        let result = match *request {
            Request::Startup => {
                let bytes = self.processes[process].startup.clone();
                self.processes[process].bytes = bytes.clone();
                Ok(Returned::Bytes(bytes.len() as u32))
            }
            Request::Send { endpoint, message, .. } | Request::Call { endpoint, message, .. } => {
                let (index, badge) = match self.endpoint(endpoint) {
                    Ok(found) => found,
                    Err(error) => return plain(Err(error)),
                };
                let handles = match self.transfer(message.transfers) {
                    Ok(handles) => handles,
                    Err(error) => return plain(Err(error)),
                };
                let called = matches!(request, Request::Call { .. });
                let reply = if called {
                    self.processes[process].calls += 1;
                    ReplyToken::new(process as u32, self.processes[process].calls)
                } else {
                    ReplyToken::NONE
                };
                let kind = if called { DeliveryKind::Called } else { DeliveryKind::Sent };
                self.endpoints[index].push_back(Message {
                    from: process,
                    kind,
                    badge,
                    tag: message.tag,
                    words: *words,
                    bytes: bytes.to_vec(),
                    handles,
                    reply,
                });
                if let Request::Call { timeout, .. } = *request {
                    self.wait(process, Wait::Answer, timeout);
                    return None;
                }
                Ok(Returned::Nothing)
            }
            Request::Reply { reply, message } => {
                self.reply(reply, message.tag, words, bytes, message.transfers).map(|()| Returned::Nothing)
            }
            Request::Receive { endpoint, timeout } | Request::ReplyReceive { endpoint, timeout, .. } => {
                let (index, _) = match self.endpoint(endpoint) {
                    Ok(found) => found,
                    Err(error) => return plain(Err(error)),
                };
                if let Request::ReplyReceive { reply, message, .. } = *request
                    && let Err(error) = self.reply(reply, message.tag, words, bytes, message.transfers)
                {
                    return plain(Err(error));
                }
                self.wait(process, Wait::Receive(index), timeout);
                return None;
            }
            Request::Wait { notification, timeout } => match self.notification(notification) {
                Ok(index) => {
                    self.wait(process, Wait::Bits(index), timeout);
                    return None;
                }
                Err(error) => Err(error),
            },
            Request::Signal { notification, bits } => self.notification(notification).map(|index| {
                self.notifications[index].bits |= bits;
                Returned::Nothing
            }),
            Request::Poll { notification } => self
                .notification(notification)
                .map(|index| Returned::Value(std::mem::take(&mut self.notifications[index].bits))),
            Request::NotificationCreate { quota } => self.object(quota).map(|_| {
                self.notifications.push(Notification::default());
                let object = Object::Notification(self.notifications.len() - 1);
                Returned::Handle(self.handle(object, 0))
            }),
            Request::NotificationBind { notification, endpoint } => {
                match (self.notification(notification), self.endpoint(endpoint)) {
                    (Ok(index), Ok((endpoint, _))) => {
                        self.notifications[index].bound = Some(endpoint);
                        Ok(Returned::Nothing)
                    }
                    (Err(error), _) | (_, Err(error)) => Err(error),
                }
            }
            Request::EndpointCreate { .. } => {
                self.endpoints.push(VecDeque::new());
                let object = Object::Endpoint(self.endpoints.len() - 1);
                Ok(Returned::Handle(self.handle(object, 0)))
            }
            Request::Derive { source, badge, .. } => self
                .object(source)
                .map(|(object, old)| Returned::Handle(self.handle(object, if badge == 0 { old } else { badge }))),
            Request::Delete { handle } => match self.objects.remove(&handle.0) {
                Some(_) => Ok(Returned::Nothing),
                None => Err(Error::StaleHandle),
            },
            Request::DeviceRead { device, register } if self.serial(device) => {
                let line = self.console.serial.as_mut().expect("just looked at");
                match register {
                    device::CLASS => Ok(Returned::Value(device::DeviceClass::Uart as u64)),
                    device::UART_STATUS => {
                        let idle = if line.room > 0 { device::UART_IDLE } else { 0 };
                        Ok(Returned::Value(idle | if line.terminal { device::UART_TERMINAL } else { 0 }))
                    }
                    device::UART_RECEIVE => {
                        let most = line.typed.len().min(device::UART_MOST_RECEIVED);
                        let end = line.typed.iter().take(most).position(|byte| b"\r\n\x04".contains(byte));
                        let count = end.map_or(most, |end| end + 1);
                        let bytes = line.typed.drain(..count).enumerate();
                        Ok(Returned::Value(
                            bytes.fold(count as u64, |word, (at, byte)| word | u64::from(byte) << (8 * (at + 1))),
                        ))
                    }
                    _ => Err(Error::InvalidArgument),
                }
            }
            Request::DeviceSubmit { device, operation: Operation::Write, .. } if self.serial(device) => {
                let line = self.console.serial.as_mut().expect("just looked at");
                let count = bytes.len().min(device::UART_MOST_SENT).min(line.room);
                line.room -= count;
                self.console.shown.extend_from_slice(&bytes[..count]);
                if count == 0 { Err(Error::WouldBlock) } else { Ok(Returned::Value(count as u64)) }
            }
            Request::DeviceRead { device, .. } => match self.object(device) {
                Ok((Object::Clock, _)) => Ok(Returned::Value(self.now)),
                Ok((Object::Console, _)) => Ok(Returned::Value(0)),
                Ok(_) => Err(Error::WrongKind),
                Err(error) => Err(error),
            },
            Request::DeviceSubmit { device, .. } | Request::DeviceComplete { device } if self.serial(device) => {
                Err(Error::Unsupported)
            }
            Request::DeviceSubmit { operation, .. } => {
                if self.console.pending.len() >= self.console.depth {
                    Err(Error::WouldBlock)
                } else {
                    self.console.requests += 1;
                    let request = self.console.requests;
                    self.console.pending.push_back((request, operation, bytes.to_vec()));
                    if self.console.quick {
                        self.complete_one();
                    }
                    Ok(Returned::Value(request))
                }
            }
            Request::DeviceComplete { .. } => match self.console.done.pop_front() {
                Some((completion, bytes)) => {
                    self.processes[process].bytes = bytes;
                    Ok(Returned::Completion(completion))
                }
                None => Err(Error::WouldBlock),
            },
            Request::InterruptBind { notification, bits, .. } => match self.notification(notification) {
                Ok(_) if self.console.interrupt.is_some() => Err(Error::AlreadyBound),
                Ok(index) => {
                    self.console.interrupt = Some((index, bits));
                    self.console.line_open = true;
                    Ok(Returned::Nothing)
                }
                Err(error) => Err(error),
            },
            Request::InterruptUnbind { .. } => {
                self.console.interrupt = None;
                Ok(Returned::Nothing)
            }
            Request::InterruptAcknowledge { .. } => {
                self.console.line_open = true;
                Ok(Returned::Nothing)
            }
            Request::Debug { .. } => {
                self.debug.push(String::from_utf8_lossy(bytes).into_owned());
                Ok(Returned::Nothing)
            }
            Request::ProcessInspect { process } if process.is_none() => Ok(Returned::Process(ProcessInfo {
                serial: SERIAL,
                name: Name::new("test"),
                state: ProcessState::Running,
                reason: ExitReason::Exited,
                code: 0,
                processor_time: 0,
                calls: 0,
                pages: 0,
                capabilities: 0,
                threads: 1,
            })),
            _ => Err(Error::Unsupported),
        };
        plain(result)
    }
}

impl SystemCalls for Door {
    fn begin(&self, request: &Request<'_>, words: &Words, bytes: &[u8]) -> Poll<Answer> {
        let mut inside = self.machine.0.borrow_mut();
        assert!(inside.processes[self.process].wait.is_none(), "a call while blocked: {request:?}");
        assert!(inside.processes[self.process].answer.is_none(), "a call while another's answer waits: {request:?}");
        match inside.request(self.process, request, words, bytes) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }

    fn resume(&self, _: &mut Context<'_>) -> Poll<Answer> {
        match self.machine.0.borrow_mut().processes[self.process].answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }

    fn take_bytes(&self) -> Vec<u8> {
        std::mem::take(&mut self.machine.0.borrow_mut().processes[self.process].bytes)
    }

    fn take_handles(&self) -> heapless::Vec<Handle, MAX_TRANSFERS> {
        std::mem::take(&mut self.machine.0.borrow_mut().processes[self.process].handles).into_iter().collect()
    }
}

impl Run {
    pub fn new(machine: &Machine) -> Run {
        Run { machine: machine.clone(), processes: Vec::new() }
    }

    /// Adds a process that was given these capabilities; its number.
    pub fn add<M, F>(&mut self, capabilities: &[(&str, Handle)], arguments: &[&str], main: M) -> usize
    where
        M: FnOnce(Process) -> F + 'static,
        F: Future + 'static,
        F::Output: Report,
    {
        let startup = Startup {
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: vec![("HOME".into(), "/".into())],
            capabilities: capabilities.iter().map(|(name, handle)| (name.to_string(), *handle)).collect(),
        };
        let process = self.processes.len();
        let state = State { startup: startup.to_bytes().unwrap(), ..State::default() };
        self.machine.0.borrow_mut().processes.push(state);
        let context = hosted::Context::new(Rc::new(Door { machine: self.machine.clone(), process }));
        self.processes.push((context, Some(Box::pin(libprocess::start(main)))));
        process
    }

    /// Ends a process at once.
    pub fn kill(&mut self, process: usize) {
        let _left = hosted::leave();
        self.processes[process].1 = None;
        let mut inside = self.machine.0.borrow_mut();
        inside.processes[process].wait = None;
        inside.processes[process].ended = Some(u64::MAX);
    }

    /// Fails every call that waits for an answer with this error.
    pub fn fail_calls(&self, error: Error) {
        let mut inside = self.machine.0.borrow_mut();
        for state in &mut inside.processes {
            if matches!(state.wait, Some((Wait::Answer, _))) {
                state.wait = None;
                state.answer = Some(Answer::without_words(Err(error)));
            }
        }
    }

    /// Runs until nothing can go on without time passing or something from outside.
    pub fn settle(&mut self) {
        loop {
            self.machine.0.borrow_mut().settle();
            let mut ran = false;
            for (process, (context, running)) in self.processes.iter_mut().enumerate() {
                let blocked = {
                    let inside = self.machine.0.borrow();
                    inside.processes[process].wait.is_some()
                };
                let Some(future) = running.as_mut().filter(|_| !blocked) else { continue };
                ran = true;
                let _entered = hosted::enter(context);
                match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(code) => {
                        *running = None;
                        self.machine.0.borrow_mut().processes[process].ended = Some(code);
                    }
                    Poll::Pending => {
                        let inside = self.machine.0.borrow();
                        let state = &inside.processes[process];
                        assert!(
                            state.wait.is_some() || state.answer.is_some(),
                            "process {process} is pending and not blocked in a system call"
                        );
                    }
                }
            }
            if !ran {
                return;
            }
        }
    }

    /// Runs until every process has ended or waits for ever; time passes as it is waited for.
    pub fn run(&mut self) {
        loop {
            self.settle();
            let mut inside = self.machine.0.borrow_mut();
            let next = inside.processes.iter().filter_map(|state| state.wait.map(|(_, deadline)| deadline)).min();
            match next {
                Some(deadline) if deadline != FOREVER => inside.now = inside.now.max(deadline),
                _ => return,
            }
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, ns: u64) {
        self.machine.0.borrow_mut().now += ns;
        self.settle();
    }

    /// The exit code of a process that has ended.
    pub fn ended(&self, process: usize) -> Option<u64> {
        self.machine.0.borrow().processes[process].ended
    }
}
