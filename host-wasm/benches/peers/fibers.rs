//! The floor of a call between two processes: two wasmtime fibers, linked as the core
//! path links them and with the same imports, that hand over to each other with no
//! kernel between. The difference to Orbital is what kernel, Axiom and the machine cost.

use abi::message::Words;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use wasmtime::{
    AsContextMut, Caller, Engine, InstancePre, Linker, Memory, Module, Result, Store, TypedFunc, UpdateDeadline,
};

const CALLS: &str = "orbital:kernel/calls@0.1.0";

#[derive(Default)]
struct Guest {
    memory: Option<Memory>,
    realloc: Option<TypedFunc<(i32, i32, i32, i32), i32>>,
}

type Fiber = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A message on its way: words, and bytes if it has any.
#[derive(Default)]
struct Message {
    words: Words,
    bytes: Vec<u8>,
}

thread_local! {
    static SERVER: RefCell<Option<Fiber>> = const { RefCell::new(None) };
    static REQUEST: Cell<Option<Message>> = const { Cell::new(None) };
    static REPLY: Cell<Option<Message>> = const { Cell::new(None) };
    static TAKEN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn hand_over() {
    let Some(mut server) = SERVER.take() else { return };
    if server.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        SERVER.set(Some(server));
    }
}

/// What wasmtime polls for an import.
type Import<'a> = Box<dyn Future<Output = Result<()>> + Send + 'a>;

/// Where the other side puts a message.
type Place = &'static std::thread::LocalKey<Cell<Option<Message>>>;

/// The message, if it is there, without a future that takes memory; as the core path does.
fn come<'a>(mut caller: Caller<'a, Guest>, place: Place, ret: i32) -> Import<'a> {
    match place.take() {
        Some(message) => match put(&mut caller, ret, message) {
            Ok(()) => Box::new(Done),
            Err(error) => Box::new(std::future::ready(Err(error))),
        },
        None => Box::new(Waiting { caller, place, ret }),
    }
}

struct Done;

impl Future for Done {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Waiting<'a> {
    caller: Caller<'a, Guest>,
    place: Place,
    ret: i32,
}

impl Future for Waiting<'_> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        let Waiting { caller, place, ret } = self.get_mut();
        place.take().map_or(Poll::Pending, |message| Poll::Ready(put(caller, *ret, message)))
    }
}

fn put(caller: &mut Caller<'_, Guest>, ret: i32, message: Message) -> Result<()> {
    let memory = caller.data().memory.expect("set when it was instantiated");
    let at = ret as u32 as usize;
    let area = &mut memory.data_mut(caller.as_context_mut())[at..at + 104];
    area[0] = 0;
    area[12..16].copy_from_slice(&(message.bytes.len() as u32).to_le_bytes());
    for (place, word) in area[40..104].chunks_exact_mut(8).zip(message.words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    TAKEN.set(message.bytes);
    Ok(())
}

fn read(caller: &Caller<'_, Guest>, pointer: i32, length: i32) -> Vec<u8> {
    let memory = caller.data().memory.expect("set when it was instantiated");
    let (at, length) = (pointer as u32 as usize, length as u32 as usize);
    memory.data(caller)[at..at + length].to_vec()
}

#[allow(clippy::type_complexity)]
fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap_async(
        CALLS,
        "call",
        |caller: Caller<'_, Guest>,
         (_, _, _, a, b, c, d, e, f, g, h, ret): (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i32)| {
            REQUEST.set(Some(Message { words: [a, b, c, d, e, f, g, h].map(|word| word as u64), bytes: Vec::new() }));
            hand_over();
            come(caller, &REPLY, ret)
        },
    )?;
    linker.func_wrap_async(
        CALLS,
        "reply-receive",
        |caller: Caller<'_, Guest>,
         (_, _, _, _, a, b, c, d, e, f, g, h, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
        )| {
            REPLY.set(Some(Message { words: [a, b, c, d, e, f, g, h].map(|word| word as u64), bytes: Vec::new() }));
            come(caller, &REQUEST, ret)
        },
    )?;
    linker.func_wrap_async(
        CALLS,
        "call-with",
        |caller: Caller<'_, Guest>,
         (_, _, _, a, b, c, d, e, f, g, h, bytes, length, _, _, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i32,
        )| {
            let bytes = read(&caller, bytes, length);
            REQUEST.set(Some(Message { words: [a, b, c, d, e, f, g, h].map(|word| word as u64), bytes }));
            hand_over();
            come(caller, &REPLY, ret)
        },
    )?;
    linker.func_wrap_async(
        CALLS,
        "reply-receive-with",
        |caller: Caller<'_, Guest>,
         (_, _, _, _, a, b, c, d, e, f, g, h, bytes, length, _, _, ret): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i32,
            i32,
            i32,
            i32,
            i32,
        )| {
            let bytes = read(&caller, bytes, length);
            REPLY.set(Some(Message { words: [a, b, c, d, e, f, g, h].map(|word| word as u64), bytes }));
            come(caller, &REQUEST, ret)
        },
    )?;
    linker.func_wrap_async(CALLS, "take-bytes", |mut caller: Caller<'_, Guest>, (ret,): (i32,)| {
        Box::new(async move {
            let bytes = TAKEN.take();
            let realloc = caller.data().realloc.clone().expect("set when it was instantiated");
            let pointer =
                realloc.call_async(caller.as_context_mut(), (0, 0, 1, bytes.len() as i32)).await? as u32 as usize;
            let memory = caller.data().memory.expect("set when it was instantiated");
            let data = memory.data_mut(caller.as_context_mut());
            data[pointer..pointer + bytes.len()].copy_from_slice(&bytes);
            let at = ret as u32 as usize;
            data[at..at + 4].copy_from_slice(&(pointer as u32).to_le_bytes());
            data[at + 4..at + 8].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            Ok(())
        })
    })?;
    Ok(linker)
}

/// A client and a server, from the same module.
pub struct Fibers {
    engine: Engine,
    pre: InstancePre<Guest>,
}

impl Fibers {
    /// Compiled and linked; nothing runs.
    pub fn new(engine: &Engine, wat: &str) -> Result<Fibers> {
        let module = Module::new(engine, wat::parse_str(wat)?)?;
        Ok(Fibers { engine: engine.clone(), pre: linker(engine)?.instantiate_pre(&module)? })
    }

    fn fiber(&self, side: &'static str, rounds: Option<u64>) -> Fiber {
        let mut store = Store::new(&self.engine, Guest::default());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        let pre = self.pre.clone();
        Box::pin(async move {
            let instance = pre.instantiate_async(&mut store).await?;
            store.data_mut().memory = instance.get_memory(&mut store, "memory");
            store.data_mut().realloc = instance.get_typed_func(&mut store, "cabi_realloc").ok();
            match rounds {
                Some(rounds) => {
                    instance.get_typed_func::<u64, ()>(&mut store, side)?.call_async(&mut store, rounds).await
                }
                None => instance.get_typed_func::<(), ()>(&mut store, side)?.call_async(&mut store, ()).await,
            }
        })
    }

    /// How long so many round trips take.
    pub fn round_trips(&self, rounds: u64) -> Duration {
        SERVER.set(Some(self.fiber("run", None)));
        // It waits for its first message; the reply to nobody is dropped.
        hand_over();
        REPLY.take();
        let mut client = self.fiber("client", Some(rounds));
        let begun = Instant::now();
        let polled = client.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let taken = begun.elapsed();
        assert!(matches!(polled, Poll::Ready(Ok(()))), "the client ended: {polled:?}");
        drop(SERVER.take());
        taken
    }
}
