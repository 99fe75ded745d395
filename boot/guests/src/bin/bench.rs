//! What system calls cost, in instructions: to be booted as `init` on a kernel that is built to be measured,
//! under QEMU's `-icount shift=0,sleep=off`. A line for each row: `row NAME: N`.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("bench is measured on bare x86_64: make bench-qemu");
}

#[cfg(target_os = "none")]
libprocess::main!(bench::main);

#[cfg(target_os = "none")]
mod bench {
    extern crate alloc;

    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use libprocess::abi::info::Limits;
    use libprocess::abi::message::VERDICT_RESUME;
    use libprocess::abi::{DeliveryKind, FOREVER, Number, Rights};
    use libprocess::capability::Process as ProcessObject;
    use libprocess::{
        Cap, Endpoint, Error, Exit, Handle, Image, Notification, Process, Quota, Region, Startup, system,
    };
    use native_guests::{answer, call, calls, counter, signal_and_wait};

    /// Times that a thing is done.
    const TIMES: u64 = 10_000;

    fn row(name: &str, instructions: u64) {
        system::debug(&format!("row {name}: {instructions}"));
    }

    /// Entry of every process of this image: what it is to do, in its first argument.
    pub async fn main(process: Process) -> Exit {
        let result = match process.arguments().first().map(String::as_str) {
            None => measure(process).await,
            // For a trace: many calls of one kind, and nothing else.
            Some("only") => only(&process),
            Some("answer") => serve(&process),
            Some("signal") => waken(&process),
            Some("hello") => greet(&process),
            Some("fault") => fault(number(&process, 1)),
            Some("loop") => loop {
                core::hint::spin_loop();
            },
            Some(_) => Err(Error::InvalidArgument),
        };
        match result {
            Ok(()) => Exit(0),
            Err(error) => {
                system::debug(&format!("bench: {error}"));
                Exit(1)
            }
        }
    }

    /// What one row does, so often.
    fn only(process: &Process) -> Result<(), Error> {
        let times = number(process, 2).max(1);
        let machine = Machine::new(process)?;
        let notification = Cap::<Notification>::create(&machine.quota)?;
        let handle = notification.handle().0;
        let endpoint = Cap::<Endpoint>::create(&machine.quota, 8)?;
        let each = |body: &dyn Fn()| (0..times).for_each(|_| body());
        match process.arguments().get(1).map(String::as_str) {
            Some("timeout") => {
                let arguments = ["answer".to_string(), "0".to_string(), (1u64 << 40).to_string()];
                let rights = Rights::RECEIVE.or(Rights::SEND);
                let peer = machine.start(&arguments, &[("endpoint", endpoint.handle(), rights)])?;
                calls(endpoint.handle().0, 0, 1 << 40, times);
                return peer.kill(0);
            }
            Some("notification") => {
                let other = Cap::<Notification>::create(&machine.quota)?;
                let all = Rights::SIGNAL.or(Rights::WAIT);
                let grants = [("mine", notification.handle(), all), ("yours", other.handle(), all)];
                let peer = machine.start(&["signal".to_string()], &grants)?;
                signal_and_wait(handle, other.handle().0, times);
                return peer.kill(0);
            }
            Some("map") => {
                let region = Cap::<Region>::create(&machine.quota, 1)?;
                each(&|| map_and_unmap(region.handle().0));
            }
            Some("fault") => return judge(&machine, times),
            Some("signal") => each(&|| {
                call(Number::Signal, handle, 1, 0, 0);
            }),
            Some("yield") => each(&|| {
                call(Number::Yield, 0, 0, 0, 0);
            }),
            Some("derive") => each(&|| {
                let derived = call(Number::Derive, endpoint.handle().0, Rights::SEND.0.into(), 0, FOREVER).value;
                call(Number::Delete, derived, 0, 0, 0);
            }),
            _ => each(&|| {
                call(Number::Poll, handle, 0, 0, 0);
            }),
        }
        Ok(())
    }

    fn handle_of(process: &Process, name: &str) -> Result<u64, Error> {
        Ok(process.capability::<libprocess::Any>(name).map_err(|_| Error::BadHandle)?.into_handle().0)
    }

    fn number(process: &Process, index: usize) -> u64 {
        process.arguments().get(index).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn serve(process: &Process) -> Result<(), Error> {
        answer(handle_of(process, "endpoint")?, number(process, 1) as usize, number(process, 2));
        Ok(())
    }

    fn waken(process: &Process) -> Result<(), Error> {
        let (mine, yours) = (handle_of(process, "mine")?, handle_of(process, "yours")?);
        loop {
            call(Number::Wait, mine, FOREVER, 0, 0);
            call(Number::Signal, yours, 1, 0, 0);
        }
    }

    fn greet(process: &Process) -> Result<(), Error> {
        call(Number::Send, handle_of(process, "endpoint")?, 1, 0, FOREVER);
        Ok(())
    }

    fn fault(times: u64) -> Result<(), Error> {
        let before = counter();
        for _ in 0..times {
            native_guests::breakpoint();
        }
        row("fault to supervisor and restart", (counter() - before) / times);
        Ok(())
    }

    struct Machine {
        quota: Cap<Quota>,
        image: Cap<Image>,
        supervisor: Cap<Endpoint>,
    }

    impl Machine {
        fn new(process: &Process) -> Result<Machine, Error> {
            let quota = process.quota().derive(Rights::ALL)?;
            let image = process.capability::<Image>("image:init").map_err(|_| Error::BadHandle)?;
            let supervisor = Cap::<Endpoint>::create(&quota, 64)?;
            Ok(Machine { quota, image, supervisor })
        }

        /// One whose supervisor has heard of no process yet.
        fn fresh(&self) -> Result<Machine, Error> {
            let (quota, image) = (self.quota.derive(Rights::ALL)?, self.image.derive(Rights::ALL)?);
            let supervisor = Cap::<Endpoint>::create(&quota, 64)?;
            Ok(Machine { quota, image, supervisor })
        }

        /// Starts a process of this image.
        fn start(&self, arguments: &[String], grants: &[(&str, Handle, Rights)]) -> Result<Cap<ProcessObject>, Error> {
            let supervisor = self.supervisor.derive(Rights::SEND)?;
            let process = Cap::<ProcessObject>::create(&self.image, &self.quota, &supervisor, "peer", Limits::DEFAULT)?;
            let mut capabilities = Vec::new();
            for (name, handle, rights) in grants {
                capabilities.push((name.to_string(), process.grant_handle(*handle, *rights, 0)?));
            }
            let own = process.grant_handle(self.quota.handle(), Rights::ALL, 0)?;
            capabilities.push(("quota".into(), own));
            process.start(&Startup { arguments: arguments.to_vec(), environment: Vec::new(), capabilities })?;
            Ok(process)
        }
    }

    async fn measure(process: Process) -> Result<(), Error> {
        let machine = Machine::new(&process)?;
        round_trips(&machine)?;
        small_calls(&machine)?;
        notifications(&machine)?;
        capabilities(&machine)?;
        mapping(&machine)?;
        judge(&machine.fresh()?, TIMES)?;
        spawning(&machine.fresh()?).await
    }

    fn round_trips(machine: &Machine) -> Result<(), Error> {
        for (words, timeout) in [(0, FOREVER), (1, FOREVER), (4, FOREVER), (8, FOREVER), (0, 1 << 40)] {
            let endpoint = Cap::<Endpoint>::create(&machine.quota, 8)?;
            let arguments = ["answer".to_string(), words.to_string(), timeout.to_string()];
            let peer =
                machine.start(&arguments, &[("endpoint", endpoint.handle(), Rights::RECEIVE.or(Rights::SEND))])?;
            calls(endpoint.handle().0, words, timeout, 100);
            let before = counter();
            calls(endpoint.handle().0, words, timeout, TIMES);
            let instructions = (counter() - before) / TIMES;
            let with = if timeout == FOREVER { "" } else { ", with time-outs" };
            row(&format!("call + reply_receive, {words} words{with}"), instructions);
            peer.kill(0)?;
        }
        Ok(())
    }

    fn small_calls(machine: &Machine) -> Result<(), Error> {
        let notification = Cap::<Notification>::create(&machine.quota)?;
        let handle = notification.handle().0;
        fn each(name: &str, mut body: impl FnMut()) {
            body();
            let before = counter();
            for _ in 0..TIMES {
                body();
            }
            row(name, (counter() - before) / TIMES);
        }
        each("null call (poll)", || {
            call(Number::Poll, handle, 0, 0, 0);
        });
        each("signal", || {
            call(Number::Signal, handle, 1, 0, 0);
        });
        each("yield", || {
            call(Number::Yield, 0, 0, 0, 0);
        });
        Ok(())
    }

    fn notifications(machine: &Machine) -> Result<(), Error> {
        let (a, b) = (Cap::<Notification>::create(&machine.quota)?, Cap::<Notification>::create(&machine.quota)?);
        let all = Rights::SIGNAL.or(Rights::WAIT);
        let peer = machine.start(&["signal".to_string()], &[("mine", a.handle(), all), ("yours", b.handle(), all)])?;
        signal_and_wait(a.handle().0, b.handle().0, 100);
        let before = counter();
        signal_and_wait(a.handle().0, b.handle().0, TIMES);
        row("notification round trip", (counter() - before) / TIMES);
        peer.kill(0)
    }

    fn capabilities(machine: &Machine) -> Result<(), Error> {
        let endpoint = Cap::<Endpoint>::create(&machine.quota, 8)?;
        let source = endpoint.handle().0;
        let rights = u64::from(Rights::SEND.0);
        let derive = || call(Number::Derive, source, rights, 0, FOREVER).value;
        let mut made = Vec::with_capacity(500);
        let before = counter();
        for _ in 0..500 {
            made.push(derive());
        }
        row("derive", (counter() - before) / 500);
        let before = counter();
        call(Number::Revoke, source, 0, 0, 0);
        row("revoke, per child of 500", (counter() - before) / 500);
        let before = counter();
        for _ in 0..TIMES {
            call(Number::Delete, derive(), 0, 0, 0);
        }
        row("derive + delete", (counter() - before) / TIMES);
        for _ in 0..10_000 {
            derive();
        }
        let before = counter();
        let revoked = call(Number::Revoke, source, 0, 0, 0).value;
        row(&format!("revoke of {revoked}, the whole pause"), counter() - before);
        Ok(())
    }

    /// Where a region is mapped.
    const ADDRESS: u64 = 0x50_0000_0000;

    fn map_and_unmap(region: u64) {
        call(Number::RegionMap, region, ADDRESS, Rights::READ.or(Rights::WRITE).0.into(), 0);
        call(Number::RegionUnmap, region, ADDRESS, 0, 0);
    }

    fn mapping(machine: &Machine) -> Result<(), Error> {
        let region = Cap::<Region>::create(&machine.quota, 1)?;
        let handle = region.handle().0;
        let rights = u64::from(Rights::READ.or(Rights::WRITE).0);
        let (mut map, mut unmap) = (0, 0);
        for index in 0..=TIMES {
            let before = counter();
            let mapped = call(Number::RegionMap, handle, ADDRESS, rights, 0);
            let between = counter();
            let unmapped = call(Number::RegionUnmap, handle, ADDRESS, 0, 0);
            // The first makes the tables.
            if index > 0 {
                map += between - before;
                unmap += counter() - between;
            }
            for back in [mapped, unmapped] {
                back.exit.error().map_or(Ok(()), Err)?;
            }
        }
        row("map", map / TIMES);
        row("unmap", unmap / TIMES);
        Ok(())
    }

    /// A process that faults so often, and its supervisor.
    fn judge(machine: &Machine, times: u64) -> Result<(), Error> {
        let peer = machine.start(&["fault".to_string(), times.to_string()], &[])?;
        let endpoint = machine.supervisor.handle().0;
        let mut back = call(Number::Receive, endpoint, 0, 0, FOREVER);
        while back.exit.delivery(0, 0, 0).is_some_and(|delivery| delivery.kind == DeliveryKind::Fault) {
            back = call(Number::ReplyReceive, endpoint, VERDICT_RESUME, back.value, FOREVER);
        }
        drop(peer);
        Ok(())
    }

    async fn spawning(machine: &Machine) -> Result<(), Error> {
        const SPAWNED: u64 = 50;
        let endpoint = Cap::<Endpoint>::create(&machine.quota, 8)?;
        let (mut first, mut whole) = (0, 0);
        for _ in 0..SPAWNED {
            let before = counter();
            let process = machine.start(&["hello".to_string()], &[("endpoint", endpoint.handle(), Rights::SEND)])?;
            endpoint.receive(FOREVER).await?;
            first += counter() - before;
            machine.supervisor.receive(FOREVER).await?;
            drop(process);
            whole += counter() - before;
        }
        row("spawn, to the message of its first task", first / SPAWNED);
        row("spawn, message, exit, gone", whole / SPAWNED);
        Ok(())
    }
}
