//! What threads, locks and mapped regions must hold on bare x86_64: to be booted as `init`. Says `passed NAME` for
//! each, and exits with 0 if all did.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("threads are tested on bare x86_64");
}

#[cfg(target_os = "none")]
libprocess::main!(threads::main);

#[cfg(target_os = "none")]
mod threads {
    extern crate alloc;

    use alloc::format;
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::cell::Cell;
    use core::sync::atomic::{AtomicU64, Ordering};
    use core::time::Duration;
    use libprocess::abi::info::Limits;
    use libprocess::abi::message::FaultKind;
    use libprocess::abi::{DeliveryKind, FOREVER, PAGE_SIZE, Rights};
    use libprocess::capability::{Outgoing, Process as ProcessObject};
    use libprocess::thread::{self, Gone, Local, Mutex};
    use libprocess::{
        Cap, Endpoint, Error, Exit, Image, Place, Process, Quota, Region, Startup, now, sleep, sleep_until, spawn,
        system,
    };

    const STACK: usize = 32 * 1024;

    pub async fn main(process: Process) -> Exit {
        if let Some("overflow") = process.arguments().first().map(String::as_str) {
            overflow(&process);
        }
        tests(process).await.map_or_else(
            |error| {
                system::debug(&format!("threads: {error}"));
                Exit(1)
            },
            |()| Exit(0),
        )
    }

    use alloc::string::String;

    fn passed(name: &str) {
        system::debug(&format!("passed {name}"));
    }

    async fn tests(process: Process) -> Result<(), Error> {
        let quota = process.quota().derive(Rights::ALL)?;
        each_has_a_result(&quota).await?;
        one_at_a_time_has_the_lock(&quota).await?;
        each_has_its_own_values(&quota).await?;
        each_has_its_own_registers(&quota).await?;
        each_calls_for_itself(&quota).await?;
        tasks_run_in_threads_too(&quota).await?;
        tasks_go_on_while_a_thread_computes(&quota).await?;
        what_a_thread_cost_comes_back(&quota).await?;
        who_waits_for_a_destroyed_thread_is_told(&quota).await?;
        regions_are_mapped(&quota).await?;
        below_a_stack_is_nothing(&process, &quota).await
    }

    async fn each_has_a_result(quota: &Cap<Quota>) -> Result<(), Error> {
        let mut threads = Vec::new();
        for number in 0..8u64 {
            threads.push(thread::spawn(quota, STACK, move || format!("{}", number * number))?);
        }
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().await, Ok(format!("{}", number * number)));
        }
        passed("each has a result");
        Ok(())
    }

    async fn one_at_a_time_has_the_lock(quota: &Cap<Quota>) -> Result<(), Error> {
        const ROUNDS: u64 = 2_000;
        let shared = Arc::new(Mutex::new((0u64, Vec::<u64>::new())));
        let mut threads = Vec::new();
        for number in 0..4 {
            let shared = shared.clone();
            threads.push(thread::spawn(quota, STACK, move || {
                for round in 0..ROUNDS {
                    let mut guard = shared.lock();
                    let (count, list) = &mut *guard;
                    let before = *count;
                    // The heap is shared too.
                    list.push(number);
                    if round % 50 == number {
                        thread::yield_now();
                    }
                    *count = before + 1;
                }
            })?);
        }
        for thread in threads {
            thread.join().await.map_err(|Gone| Error::PeerGone)?;
        }
        let guard = shared.lock();
        assert_eq!(guard.0, 4 * ROUNDS);
        assert_eq!(guard.1.len() as u64, 4 * ROUNDS);
        passed("one at a time has the lock");
        Ok(())
    }

    static DROPPED: AtomicU64 = AtomicU64::new(0);

    struct Counted(Cell<u64>);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    static OWN: Local<Counted> = Local::new(|| Counted(Cell::new(7)));

    async fn each_has_its_own_values(quota: &Cap<Quota>) -> Result<(), Error> {
        let add = |number: u64| {
            for _ in 0..100 {
                OWN.with(|own| own.0.set(own.0.get() + number));
                thread::yield_now();
            }
            OWN.with(|own| own.0.get())
        };
        let mut threads = Vec::new();
        for number in 1..4 {
            threads.push(thread::spawn(quota, STACK, move || add(number))?);
        }
        assert_eq!(add(10), 1007);
        for (thread, sum) in threads.into_iter().zip([107, 207, 307]) {
            assert_eq!(thread.join().await, Ok(sum));
        }
        // A thread drops its values after it gave its result.
        while DROPPED.load(Ordering::Relaxed) < 3 {
            sleep(Duration::from_millis(1)).await;
        }
        passed("each has its own values");
        Ok(())
    }

    /// Floating point and counters live in registers here, over many switches.
    async fn each_has_its_own_registers(quota: &Cap<Quota>) -> Result<(), Error> {
        let compute = |number: u64| {
            let (mut sum, mut float) = (0u64, 0f64);
            for round in 0..300_000u64 {
                sum = sum.wrapping_mul(6364136223846793005).wrapping_add(number ^ round);
                float += number as f64 * 0.5;
            }
            (sum, float)
        };
        let alone: Vec<_> = (1..5).map(compute).collect();
        let mut threads = Vec::new();
        for number in 1..5 {
            threads.push(thread::spawn(quota, STACK, move || compute(number))?);
        }
        for (thread, expected) in threads.into_iter().zip(alone) {
            assert_eq!(thread.join().await, Ok(expected));
        }
        passed("each has its own registers");
        Ok(())
    }

    /// Messages with bytes come to the thread that asked, while others get theirs.
    async fn each_calls_for_itself(quota: &Cap<Quota>) -> Result<(), Error> {
        const CLIENTS: u64 = 3;
        const CALLS: u64 = 50;
        let endpoint = Arc::new(Cap::<Endpoint>::create(quota, 16)?);
        let server = {
            let endpoint = endpoint.clone();
            thread::spawn(quota, STACK, move || {
                thread::block_on(async move {
                    for _ in 0..CLIENTS * CALLS {
                        let came = endpoint.receive(FOREVER).await.unwrap();
                        let answer: Vec<u8> = came.bytes.iter().rev().copied().collect();
                        let message = Outgoing {
                            tag: came.delivery.tag + 1,
                            words: came.words.map(|word| !word),
                            bytes: &answer,
                            transfers: &[],
                        };
                        system::reply(came.delivery.reply, &message).unwrap();
                    }
                });
            })?
        };
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let endpoint = endpoint.clone();
            clients.push(thread::spawn(quota, STACK, move || {
                thread::block_on(async move {
                    for call in 0..CALLS {
                        let bytes: Vec<u8> = (0..call * 37).map(|byte| (byte * (client + 3)) as u8).collect();
                        let words = core::array::from_fn(|word| client << 32 | call << 8 | word as u64);
                        let message = Outgoing { tag: call, words, bytes: &bytes, transfers: &[] };
                        let came = endpoint.call(&message, FOREVER).await.unwrap();
                        assert_eq!(came.delivery.tag, call + 1);
                        assert_eq!(came.words, words.map(|word| !word));
                        assert!(came.bytes.iter().eq(bytes.iter().rev()), "the bytes of another call");
                    }
                });
            })?);
        }
        for thread in clients.into_iter().chain([server]) {
            thread.join().await.map_err(|Gone| Error::PeerGone)?;
        }
        passed("each calls for itself");
        Ok(())
    }

    async fn tasks_run_in_threads_too(quota: &Cap<Quota>) -> Result<(), Error> {
        let thread = thread::spawn(quota, STACK, || {
            thread::block_on(async {
                let sum = alloc::rc::Rc::new(Cell::new(0));
                // From one moment on, which is not there yet however long the machine takes to begin them all.
                let begin = now() + 500_000_000;
                for number in 1..5 {
                    let sum = sum.clone();
                    spawn(async move {
                        sleep_until(begin + (5 - number) * 1_000_000).await;
                        sum.set(sum.get() * 10 + number);
                    });
                }
                while sum.get() < 1000 {
                    sleep(Duration::from_millis(1)).await;
                }
                sum.get()
            })
        })?;
        assert_eq!(thread.join().await, Ok(4321));
        passed("tasks run in threads too");
        Ok(())
    }

    async fn tasks_go_on_while_a_thread_computes(quota: &Cap<Quota>) -> Result<(), Error> {
        static STOP: AtomicU64 = AtomicU64::new(0);
        let thread = thread::spawn(quota, STACK, || {
            while STOP.load(Ordering::Relaxed) == 0 {
                core::hint::spin_loop();
            }
        })?;
        spawn(async {
            sleep(Duration::from_millis(5)).await;
            STOP.store(1, Ordering::Relaxed);
        });
        thread.join().await.map_err(|Gone| Error::PeerGone)?;
        passed("tasks go on while a thread computes");
        Ok(())
    }

    async fn what_a_thread_cost_comes_back(quota: &Cap<Quota>) -> Result<(), Error> {
        let part = quota.split(1 << 20, 200)?;
        let before = part.info()?;
        for round in 0..60 {
            let thread = thread::spawn(&part, 3 * STACK, move || round)?;
            // Half of them are left alone.
            if round % 2 == 0 {
                assert_eq!(thread.join().await, Ok(round));
            }
            while part.info()? != before {
                thread::yield_now();
            }
        }
        // More than the part has: nothing of it stays used.
        assert_eq!(thread::spawn(&part, 1 << 20, || ()).err(), Some(Error::QuotaExceeded));
        assert_eq!(part.info()?, before);
        passed("what a thread cost comes back");
        Ok(())
    }

    async fn who_waits_for_a_destroyed_thread_is_told(quota: &Cap<Quota>) -> Result<(), Error> {
        let thread = thread::spawn(quota, STACK, || {
            loop {
                thread::yield_now();
            }
        })?;
        thread.thread().derive(Rights::ALL)?.destroy()?;
        let came: Result<(), Gone> = thread.join().await;
        assert_eq!(came, Err(Gone));
        passed("who waits for a destroyed thread is told");
        Ok(())
    }

    async fn regions_are_mapped(quota: &Cap<Quota>) -> Result<(), Error> {
        let region = Cap::<Region>::create(quota, 5)?;
        assert_eq!(region.pages()?, 5);
        region.write(PAGE_SIZE as u64, b"by copy")?;
        let both = Rights::READ.or(Rights::WRITE);
        let (one, other) = (region.map(Place::Anywhere, both)?, region.map(Place::Anywhere, Rights::READ)?);
        assert_eq!((one.length(), other.length()), (5 * PAGE_SIZE, 5 * PAGE_SIZE));
        let mut seven = [0; 7];
        other.read(PAGE_SIZE, &mut seven)?;
        assert_eq!(&seven, b"by copy");
        one.write(5 * PAGE_SIZE - 7, b"mapping")?;
        assert_eq!(region.read(5 * PAGE_SIZE as u64 - 7, 7)?, b"mapping");
        other.read(5 * PAGE_SIZE - 7, &mut seven)?;
        assert_eq!(&seven, b"mapping");
        one.atomic::<AtomicU64>(64)?.store(0x1234, Ordering::Relaxed);
        assert_eq!(other.atomic::<AtomicU64>(64)?.load(Ordering::Relaxed), 0x1234);

        let address = one.address();
        assert_eq!(region.map(Place::At(address), both).err(), Some(Error::AlreadyBound));
        for wrong in [0, 0x40_0000, address + 1, libprocess::abi::native::REGIONS_END, u64::MAX] {
            assert_eq!(region.map(Place::At(wrong), both).err(), Some(Error::InvalidArgument), "{wrong:x}");
        }
        let before = quota.info()?;
        drop(one);
        let again = region.map(Place::At(address), both)?;
        assert_eq!(quota.info()?, before, "what is unmapped costs nothing");
        other.read(5 * PAGE_SIZE - 7, &mut seven)?;
        assert_eq!(&seven, b"mapping", "it is still mapped where it was not unmapped");
        assert_eq!(again.atomic::<AtomicU64>(64)?.load(Ordering::Relaxed), 0x1234);
        passed("regions are mapped");
        Ok(())
    }

    /// In a process of its own, which does not survive it.
    async fn below_a_stack_is_nothing(process: &Process, quota: &Cap<Quota>) -> Result<(), Error> {
        let image = process.capability::<Image>("image:init").map_err(|_| Error::BadHandle)?;
        let supervisor = Cap::<Endpoint>::create(quota, 8)?;
        let part = quota.split(1 << 20, 1000)?;
        let child = Cap::<ProcessObject>::create(&image, &part, &supervisor, "overflow", Limits::DEFAULT)?;
        let capabilities = [
            ("quota".to_string(), child.grant(&part, Rights::ALL, 0)?),
            ("report".to_string(), child.grant(&supervisor, Rights::SEND, 0)?),
        ];
        let capabilities = capabilities.into();
        child.start(&Startup { arguments: ["overflow".to_string()].into(), environment: Vec::new(), capabilities })?;
        let told = supervisor.receive(FOREVER).await?;
        assert_eq!(told.delivery.kind, DeliveryKind::Sent);
        let came = supervisor.receive(FOREVER).await?;
        assert_eq!(came.delivery.kind, DeliveryKind::Fault);
        let kind = FaultKind::from_number(came.words[0] as u8);
        assert!(matches!(kind, Some(FaultKind::BadAccess | FaultKind::StackOverflow)), "{kind:?}");
        // In the page below the stack: it went no further, into what lies there.
        let down = told.words[0] - came.words[1];
        let room = STACK as u64..=(STACK + PAGE_SIZE) as u64;
        assert!(room.contains(&down), "{down:#x} below the first variable of the stack");
        child.kill(0)?;
        passed("below a stack is nothing");
        Ok(())
    }

    fn overflow(process: &Process) {
        #[allow(unconditional_recursion)]
        fn deeper(depth: u64) -> u64 {
            let room = core::hint::black_box([depth; 64]);
            deeper(depth + 1) + room[(depth % 64) as usize]
        }
        let quota = process.quota();
        let report = process.capability::<Endpoint>("report").unwrap();
        // Something lies on either side of the one that overflows.
        fn park() {
            loop {
                thread::yield_now();
            }
        }
        let _left = thread::spawn(quota, STACK, park).unwrap();
        let _middle = thread::spawn(quota, STACK, move || {
            let first = 0u8;
            let mut words = [0; 8];
            words[0] = (&raw const first).addr() as u64 & !(PAGE_SIZE as u64 - 1);
            // Of the page behind the stack, which is rounded to pages.
            words[0] += PAGE_SIZE as u64;
            let message = Outgoing { tag: 0, words, bytes: &[], transfers: &[] };
            thread::block_on(async move { report.send(&message, FOREVER).await }).unwrap();
            deeper(0)
        })
        .unwrap();
        let _right = thread::spawn(quota, STACK, park).unwrap();
        park();
    }
}
