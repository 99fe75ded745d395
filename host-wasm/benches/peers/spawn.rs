//! The floor of a spawn: wasmtime alone, with the machine's own engine and its pool,
//! from a new store to the first import that the guest calls.

use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use wasmtime::{Caller, Engine, InstancePre, Linker, Module, Result, Store, UpdateDeadline};

/// The guest, compiled and linked.
pub struct Spawn {
    engine: Engine,
    pre: InstancePre<Option<Instant>>,
}

impl Spawn {
    /// Of the process that `first.wat` is.
    pub fn new(engine: &Engine, wat: &str) -> Result<Spawn> {
        let module = Module::new(engine, wat::parse_str(wat)?)?;
        let mut linker = Linker::new(engine);
        linker.func_wrap_async(
            "orbital:kernel/calls@0.1.0",
            "send",
            |mut caller: Caller<'_, Option<Instant>>,
             _: (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i32)| {
                *caller.data_mut() = Some(Instant::now());
                Box::new(async {})
            },
        )?;
        Ok(Spawn { engine: engine.clone(), pre: linker.instantiate_pre(&module)? })
    }

    /// How long so many spawns take, their ends not counted.
    pub fn spawns(&self, count: u64) -> Duration {
        (0..count).map(|_| self.spawn()).sum()
    }

    fn spawn(&self) -> Duration {
        let begun = Instant::now();
        let mut store = Store::new(&self.engine, None);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        let pre = self.pre.clone();
        let mut fiber = Box::pin(async move {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.get_typed_func::<(), ()>(&mut store, "run")?.call_async(&mut store, ()).await?;
            Ok::<_, wasmtime::Error>(*store.data())
        });
        match fiber.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(Ok(Some(first))) => first - begun,
            other => panic!("the guest calls its import and ends: {other:?}"),
        }
    }
}
