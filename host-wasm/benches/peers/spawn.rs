//! What a spawn stands beside: wasmtime alone, with the machine's own engine and its pool,
//! from a new store to the first import that the guest calls. Once with the image as
//! Orbital gets it, a component, and once with the core module that is inside.

use host_wasm::image::{INTERFACE, wrap};
use host_wasm::link::component::bindings::orbital::kernel::calls::{Error, Words};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use wasmtime::component::{self, Component};
use wasmtime::{Caller, Engine, InstancePre, Linker, Module, Result, Store, StoreContextMut, UpdateDeadline};

/// When the guest called its import.
type First = Option<Instant>;

/// The guest, compiled and linked.
pub struct Spawn {
    engine: Engine,
    component: component::InstancePre<First>,
    module: InstancePre<First>,
}

impl Spawn {
    /// Of the process that `first.wat` is.
    pub fn new(engine: &Engine, wat: &str) -> Result<Spawn> {
        let bytes = wat::parse_str(wat)?;
        let module = Module::new(engine, &bytes)?;
        let mut linker = Linker::new(engine);
        linker.func_wrap_async(
            INTERFACE,
            "send",
            |mut caller: Caller<'_, First>, _: (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i32)| {
                *caller.data_mut() = Some(Instant::now());
                Box::new(async {})
            },
        )?;
        let module = linker.instantiate_pre(&module)?;

        let image = wrap(&bytes).expect("the module imports kernel calls alone");
        let component = Component::new(engine, image)?;
        let mut linker = component::Linker::new(engine);
        linker.instance(INTERFACE)?.func_wrap_async(
            "send",
            |mut store: StoreContextMut<'_, First>, _: (u64, u64, u64, Words)| {
                *store.data_mut() = Some(Instant::now());
                Box::new(async { Ok((Ok::<(), Error>(()),)) })
            },
        )?;
        let component = linker.instantiate_pre(&component)?;
        Ok(Spawn { engine: engine.clone(), component, module })
    }

    /// How long so many spawns of the component take, their ends not counted.
    pub fn components(&self, count: u64) -> Duration {
        let spawn = |mut store: Store<First>| {
            let pre = self.component.clone();
            Box::pin(async move {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.get_typed_func::<(), ()>(&mut store, "run")?.call_async(&mut store, ()).await?;
                Ok(*store.data())
            })
        };
        (0..count).map(|_| self.spawn(spawn)).sum()
    }

    /// The same of the core module.
    pub fn modules(&self, count: u64) -> Duration {
        let spawn = |mut store: Store<First>| {
            let pre = self.module.clone();
            Box::pin(async move {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.get_typed_func::<(), ()>(&mut store, "run")?.call_async(&mut store, ()).await?;
                Ok(*store.data())
            })
        };
        (0..count).map(|_| self.spawn(spawn)).sum()
    }

    fn spawn<F: Future<Output = Result<First>>>(&self, run: impl Fn(Store<First>) -> Pin<Box<F>>) -> Duration {
        let begun = Instant::now();
        let mut store = Store::new(&self.engine, None);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        match run(store).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(first))) => first - begun,
            other => panic!("the guest calls its import and ends: {other:?}"),
        }
    }
}
