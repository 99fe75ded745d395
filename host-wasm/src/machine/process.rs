//! A process as wasmtime sees it: a store with its limits, an instance, and the fiber
//! that runs in it.

use super::door;
use crate::image::{Executable, Form};
use kernel::{ProcessId, ThreadId};
use std::pin::Pin;
use std::sync::Arc;
use wasmtime::{Engine, Memory, ResourceLimiter, Result, Store, TypedFunc, UpdateDeadline};

/// Elements that a table of a process may have: what the pool keeps room for.
pub const MOST_TABLE_ELEMENTS: usize = 20_000;

/// Which thread a store belongs to. The kernel uses a thread's number again after its
/// end; the serial tells one from the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Me {
    /// The kernel's number.
    pub thread: ThreadId,
    /// Its process.
    pub process: ProcessId,
    /// Which of those that had this number.
    pub serial: u64,
}

/// The data of a process's store.
pub struct Process {
    /// Whose it is: what the door takes for the sender.
    pub me: Me,
    /// The memory that the core path reads and writes.
    pub memory: Option<Memory>,
    /// How the guest allocates what the core path hands in; looked up when it is first needed.
    pub realloc: Option<TypedFunc<(i32, i32, i32, i32), i32>>,
}

impl ResourceLimiter for Process {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        let pages = desired.saturating_sub(current).div_ceil(abi::PAGE_SIZE) as u64;
        Ok(fits && door::grow(self.me, pages))
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(desired <= MOST_TABLE_ELEMENTS)
    }
}

/// What a thread runs in: polled, it goes on until it must wait or its slice ends.
pub type Fiber = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A fiber that instantiates the executable and runs it. Nothing happens before the
/// first poll.
pub fn fiber(engine: &Engine, executable: Arc<Executable>, me: Me) -> Fiber {
    let mut store = Store::new(engine, Process { me, memory: None, realloc: None });
    store.limiter(|process| process);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        Ok(if door::goes_on(me) { UpdateDeadline::Continue(1) } else { UpdateDeadline::Yield(1) })
    });
    Box::pin(async move {
        match &executable.form {
            Form::Core(pre) => {
                let instance = pre.instantiate_async(&mut store).await?;
                store.data_mut().memory = instance.get_memory(&mut store, "memory");
                let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
                run.call_async(&mut store, ()).await
            }
            Form::Component(pre) => {
                let instance = pre.instantiate_async(&mut store).await?;
                let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
                run.call_async(&mut store, ()).await
            }
        }
    })
}
