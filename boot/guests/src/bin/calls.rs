//! Every call by hand, to be booted as `init`: with success, and with each way in which a handle can be no good. Says of
//! each, in a line `call NAME ENDS`, how it ended: numbers of errors, 0 for success.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("calls is a test of bare x86_64: cargo test -p qemu --test guests");
}

#[cfg(target_os = "none")]
libprocess::main!(calls::main);

#[cfg(target_os = "none")]
mod calls {
    extern crate alloc;

    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec;
    use alloc::vec::Vec;
    use libprocess::abi::device::{CLASS, CLOCK_MONOTONIC, LOG_DURABLE, Operation};
    use libprocess::abi::message::{MAX_BYTES, TransferMode};
    use libprocess::abi::native::{Block, Entry, REGIONS_FROM};
    use libprocess::abi::{DeliveryKind, FOREVER, Number, Rights};
    use libprocess::{Any, Error, Exit, Process, Startup, system, thread};
    use native_guests::{Back, call, raw};

    /// A slot in which there never was anything: beyond what any table here has.
    const NOWHERE: u64 = 1 << 32 | 1_000_000;
    /// 1 ms.
    const SHORT: u64 = 1_000_000;
    /// Where this program maps a region by hand.
    const MAPPED: u64 = REGIONS_FROM + (1 << 40);

    pub async fn main(process: Process) -> Exit {
        let own = Own::of(&process);
        match process.arguments().first().map(String::as_str) {
            Some("server") => serve(own.get("object")),
            Some("client") => {
                for _ in 0..2 {
                    ask(Number::Call, [own.get("object"), 1, 0, FOREVER]);
                }
            }
            Some("waits") => {
                let endpoint = ask(Number::EndpointCreate, [own.get("quota"), 1, 0, 0]);
                ask(Number::Receive, [endpoint.value, 0, 0, FOREVER]);
            }
            Some(_) => return Exit(7),
            None => {
                let mut seen = Seen::new(process, own);
                if let Err(call) = seen.all().await {
                    system::debug(&format!("{} did not succeed: {:?}", call.name(), seen.ends.get(&call)));
                }
            }
        }
        Exit(0)
    }

    /// Answers one call.
    fn serve(endpoint: u64) {
        let call = ask(Number::Receive, [endpoint, 0, 0, FOREVER]);
        ask(Number::Reply, [0, 1, call.value, 0]);
    }

    /// What it was given, by name.
    struct Own(BTreeMap<String, u64>);

    impl Own {
        fn of(process: &Process) -> Own {
            let names = process.capability_names();
            let given = names.into_iter().filter_map(|name| {
                let handle = process.capability::<Any>(&name).ok()?.into_handle().0;
                Some((name, handle))
            });
            let mut own: BTreeMap<String, u64> = given.collect();
            own.insert("quota".to_string(), process.quota().handle().0);
            own.insert("device:clock".to_string(), process.clock().handle().0);
            Own(own)
        }

        fn get(&self, name: &str) -> u64 {
            self.0.get(name).copied().unwrap_or(NOWHERE)
        }
    }

    /// A call with what fits into registers.
    fn ask(number: Number, registers: [u64; 4]) -> Back {
        ask_with(number, registers, &[], &[])
    }

    /// A call with more arguments, or bytes.
    fn ask_with(number: Number, registers: [u64; 4], more: &[u64], bytes: &[u8]) -> Back {
        let mut block = Block::EMPTY;
        block.more[..more.len()].copy_from_slice(more);
        ask_block(number, registers, block, bytes)
    }

    /// A reply on which a capability rides that is derived from this one.
    fn reply_with(reply: u64, handle: u64) -> Back {
        let mut block = Block::EMPTY;
        block.transfers = 1;
        block.transfer[0] = [handle, TransferMode::Derive as u64, Rights::SPLIT.0.into(), 0];
        ask_block(Number::Reply, [0, 1, reply, 0], block, &[])
    }

    fn ask_block(number: Number, [a, b, c, d]: [u64; 4], mut block: Block, bytes: &[u8]) -> Back {
        let mut buffer = vec![0u8; 4096];
        (block.bytes, block.length) = (bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64);
        (block.buffer, block.capacity) = (buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64);
        let has_payload = !bytes.is_empty() || block.transfers > 0;
        let address = (&raw mut block).expose_provenance() as u64;
        let entry = Entry::new(number as u8, 0, has_payload, address);
        // SAFETY: the block and what it names live until the call is over.
        unsafe { raw(entry.0, a, b, c, d) }
    }

    /// How calls ended: the number of the error, or 0.
    struct Seen {
        process: Process,
        own: Own,
        quota: u64,
        ends: BTreeMap<Number, BTreeSet<u8>>,
    }

    impl Seen {
        fn new(process: Process, own: Own) -> Seen {
            let quota = own.get("quota");
            Seen { process, own, quota, ends: BTreeMap::new() }
        }

        fn note(&mut self, number: Number, back: Back) {
            self.end(number, back.exit.error());
        }

        fn end(&mut self, number: Number, error: Option<Error>) {
            self.ends.entry(number).or_default().insert(error.map_or(0, |error| error as u8));
        }

        /// The same, where nothing goes on without.
        fn done(&mut self, number: Number, back: Back) -> Result<u64, Number> {
            self.note(number, back);
            if back.exit.error().is_none() { Ok(back.value) } else { Err(number) }
        }

        /// What a call on a handle refuses: none, another kind, too few rights, expired, stale. `registers` has the
        /// handle where `good` stands.
        fn handles(&mut self, number: Number, good: u64, weak: Rights, call: impl Fn(u64) -> Back) {
            let other = if good == self.quota { self.own.get("log") } else { self.quota };
            self.note(number, call(other));
            self.note(number, call(NOWHERE));
            let gone = derive(good, Rights::NONE);
            ask(Number::Delete, [gone, 0, 0, 0]);
            self.note(number, call(gone));
            self.note(number, call(derive(good, weak)));
            self.note(number, call(self.expired(good)));
        }

        fn expired(&self, good: u64) -> u64 {
            let clock = self.own.get("device:clock");
            let bits = ask(Number::NotificationCreate, [self.quota, 0, 0, 0]).value;
            loop {
                // On a busy machine the moment may be over before it is asked for.
                let now = ask(Number::DeviceRead, [clock, CLOCK_MONOTONIC, 0, 0]).value;
                let brief = ask(Number::Derive, [good, Rights::ALL.0.into(), 0, now + SHORT]);
                if brief.exit.error().is_none() {
                    ask(Number::Wait, [bits, 2 * SHORT, 0, 0]);
                    ask(Number::Delete, [bits, 0, 0, 0]);
                    return brief.value;
                }
            }
        }

        async fn all(&mut self) -> Result<(), Number> {
            let quota = self.quota;
            let endpoint = self.messages()?;
            self.notifications(endpoint)?;
            self.processes(endpoint)?;
            self.memory()?;
            self.devices()?;

            // The library makes these two.
            let joined = thread::spawn(self.process.quota(), 32 * 1024, || ()).map(|thread| thread.join());
            match joined {
                Ok(thread) => {
                    self.end(Number::ThreadCreate, None);
                    self.end(Number::ThreadExit, thread.await.err().map(|_| Error::PeerGone));
                }
                Err(error) => self.end(Number::ThreadCreate, Some(error)),
            }
            self.handles(Number::ThreadCreate, quota, Rights::INSPECT, |quota| {
                ask(Number::ThreadCreate, [quota, 1, 2, 3])
            });
            // One by hand, which lasts as long as the program.
            let quiet = ask(Number::NotificationCreate, [quota, 0, 0, 0]).value;
            let stack = vec![0u8; 16 << 10].leak().as_mut_ptr_range().end.expose_provenance() as u64 & !15;
            let entry = wait_for_ever as *const () as u64;
            // The function expects to have been called: with its return address on the stack.
            let thread = ask(Number::ThreadCreate, [quota, entry, stack - 8, quiet]);
            let thread = self.done(Number::ThreadCreate, thread)?;
            let configure = |thread| ask(Number::ThreadConfigure, [thread, 1, FOREVER, FOREVER]);
            self.handles(Number::ThreadConfigure, thread, Rights::NONE, configure);
            self.done(Number::ThreadConfigure, configure(thread))?;
            self.note(Number::ThreadConfigure, ask(Number::ThreadConfigure, [0, 32, FOREVER, FOREVER]));
            self.done(Number::ThreadConfigure, ask(Number::ThreadConfigure, [0, 1, FOREVER, FOREVER]))?;
            self.done(Number::Yield, ask(Number::Yield, [0; 4]))?;
            self.done(Number::Startup, ask(Number::Startup, [0; 4]))?;
            let log = self.own.get("log");
            self.handles(Number::LogRead, log, Rights::MANAGE, |log| ask(Number::LogRead, [log, 0, 100, 0]));
            self.note(Number::LogRead, ask(Number::LogRead, [log, 0, MAX_BYTES as u64 + 1, 0]));
            self.done(Number::LogRead, ask(Number::LogRead, [log, 0, 100, 0]))?;
            self.note(Number::Debug, ask_with(Number::Debug, [0; 4], &[], &[b'.'; 1025]));
            self.done(Number::Debug, ask_with(Number::Debug, [0; 4], &[], b"every call"))?;
            self.tell();
            Ok(())
        }

        fn tell(&self) {
            for (number, ends) in &self.ends {
                let ends: Vec<String> = ends.iter().map(ToString::to_string).collect();
                system::debug(&format!("call {} {}", number.name(), ends.join(" ")));
            }
        }

        fn messages(&mut self) -> Result<u64, Number> {
            let quota = self.quota;
            self.handles(Number::EndpointCreate, quota, Rights::INSPECT, |quota| {
                ask(Number::EndpointCreate, [quota, 8, 0, 0])
            });
            self.note(Number::EndpointCreate, ask(Number::EndpointCreate, [quota, 65_537, 0, 0]));
            let endpoint = self.done(Number::EndpointCreate, ask(Number::EndpointCreate, [quota, 8, 0, 0]))?;
            self.handles(Number::Send, endpoint, Rights::RECEIVE, |endpoint| ask(Number::Send, [endpoint, 1, 0, 0]));
            self.done(Number::Send, ask(Number::Send, [endpoint, 1, 0, 0]))?;
            self.handles(Number::Receive, endpoint, Rights::SEND, |endpoint| ask(Number::Receive, [endpoint, 0, 0, 0]));
            self.done(Number::Receive, ask(Number::Receive, [endpoint, 0, 0, 0]))?;
            self.note(Number::Receive, ask(Number::Receive, [endpoint, 0, 0, 0]));
            self.note(Number::Receive, ask(Number::Receive, [endpoint, 0, 0, SHORT]));
            self.handles(Number::Call, endpoint, Rights::RECEIVE, |endpoint| {
                ask(Number::Call, [endpoint, 1, 0, SHORT])
            });
            self.note(Number::Call, ask(Number::Call, [endpoint, 1, 0, SHORT]));
            self.handles(Number::ReplyReceive, endpoint, Rights::SEND, |endpoint| {
                ask(Number::ReplyReceive, [endpoint, 1, NOWHERE, 0])
            });
            self.note(Number::Reply, ask(Number::Reply, [0, 1, 0, 0]));
            self.note(Number::Reply, ask(Number::Reply, [0, 1, NOWHERE, 0]));
            Ok(endpoint)
        }

        fn notifications(&mut self, endpoint: u64) -> Result<(), Number> {
            let quota = self.quota;
            let create = |quota| ask(Number::NotificationCreate, [quota, 0, 0, 0]);
            self.handles(Number::NotificationCreate, quota, Rights::INSPECT, create);
            let bits = self.done(Number::NotificationCreate, create(quota))?;
            self.handles(Number::Signal, bits, Rights::WAIT, |bits| ask(Number::Signal, [bits, 1, 0, 0]));
            self.handles(Number::Wait, bits, Rights::SIGNAL, |bits| ask(Number::Wait, [bits, 0, 0, 0]));
            self.handles(Number::Poll, bits, Rights::SIGNAL, |bits| ask(Number::Poll, [bits, 0, 0, 0]));
            self.done(Number::Poll, ask(Number::Poll, [bits, 0, 0, 0]))?;
            self.note(Number::Wait, ask(Number::Wait, [bits, 0, 0, 0]));
            self.note(Number::Wait, ask(Number::Wait, [bits, SHORT, 0, 0]));
            self.done(Number::Signal, ask(Number::Signal, [bits, 1, 0, 0]))?;
            self.done(Number::Wait, ask(Number::Wait, [bits, 0, 0, 0]))?;
            let bind = |bits| ask(Number::NotificationBind, [bits, endpoint, 0, 0]);
            let unbind = |bits| ask(Number::NotificationUnbind, [bits, 0, 0, 0]);
            self.handles(Number::NotificationBind, bits, Rights::SIGNAL, bind);
            self.handles(Number::NotificationUnbind, bits, Rights::SIGNAL, unbind);
            self.note(Number::NotificationUnbind, unbind(bits));
            self.done(Number::NotificationBind, bind(bits))?;
            self.note(Number::NotificationBind, bind(bits));
            self.done(Number::NotificationUnbind, unbind(bits))?;
            for number in [Number::CaptureBegin, Number::CaptureEnd] {
                self.note(number, ask(number, [endpoint, 0, 0, 0]));
            }
            // Of any kind of object.
            let rights = Rights::SIGNAL.or(Rights::WAIT);
            self.handles(Number::Derive, bits, Rights::WAIT, |bits| {
                ask(Number::Derive, [if bits == quota { NOWHERE } else { bits }, rights.0.into(), 0, FOREVER])
            });
            let badged = self.done(Number::Derive, ask(Number::Derive, [bits, rights.0.into(), 7, FOREVER]))?;
            self.note(Number::Derive, ask(Number::Derive, [badged, rights.0.into(), 8, FOREVER]));
            for (number, handle) in [(Number::Delete, badged), (Number::Revoke, bits), (Number::Destroy, bits)] {
                self.note(number, ask(number, [NOWHERE, 0, 0, 0]));
                let gone = derive(bits, Rights::NONE);
                ask(Number::Delete, [gone, 0, 0, 0]);
                self.note(number, ask(number, [gone, 0, 0, 0]));
                if number == Number::Destroy {
                    self.note(number, ask(number, [derive(bits, Rights::WAIT), 0, 0, 0]));
                    self.note(number, ask(number, [self.expired(bits), 0, 0, 0]));
                    self.note(number, ask(number, [quota, 0, 0, 0]));
                }
                self.done(number, ask(number, [handle, 0, 0, 0]))?;
            }
            self.handles(Number::QuotaSplit, quota, Rights::INSPECT, |quota| ask(Number::QuotaSplit, [quota, 1, 0, 0]));
            self.note(Number::QuotaSplit, ask(Number::QuotaSplit, [quota, u64::MAX, 0, 0]));
            self.done(Number::QuotaSplit, ask(Number::QuotaSplit, [quota, 1, 0, 0]))?;
            self.handles(Number::QuotaInspect, quota, Rights::SPLIT, |quota| {
                ask(Number::QuotaInspect, [quota, 0, 0, 0])
            });
            self.done(Number::QuotaInspect, ask(Number::QuotaInspect, [quota, 0, 0, 0])).map(|_| ())
        }

        /// A child that plays a part with `object`: its process. How it ends comes to `exits`.
        fn child(&mut self, part: &str, object: u64, exits: u64) -> Result<u64, Number> {
            let image = self.own.get("image:init");
            let own = ask(Number::QuotaSplit, [self.quota, 1 << 20, 512, 0]).value;
            let process = ask_with(Number::ProcessCreate, [image, own, exits, 0], &[64, 8, FOREVER, 0x6c69_6863], &[]);
            let process = self.done(Number::ProcessCreate, process)?;
            let mut capabilities = Vec::new();
            for (name, source) in [("quota", own), ("object", object)] {
                let granted = [process, source, Rights::ALL.0.into(), 0];
                let granted =
                    self.done(Number::ProcessGrant, ask_with(Number::ProcessGrant, granted, &[FOREVER], &[]))?;
                capabilities.push((name.to_string(), libprocess::Handle(granted)));
            }
            let startup = Startup { arguments: vec![part.to_string()], environment: Vec::new(), capabilities };
            let bytes = startup.to_bytes().map_err(|_| Number::ProcessStart)?;
            self.done(Number::ProcessStart, ask_with(Number::ProcessStart, [process, 0, 0, 0], &[], &bytes))?;
            Ok(process)
        }

        fn processes(&mut self, endpoint: u64) -> Result<(), Number> {
            let (quota, image) = (self.quota, self.own.get("image:init"));
            let limits = [8, 8, FOREVER];
            let create = |image, quota, exits| ask_with(Number::ProcessCreate, [image, quota, exits, 0], &limits, &[]);
            self.handles(Number::ProcessCreate, image, Rights::MANAGE, |image| create(image, quota, endpoint));
            self.handles(Number::ProcessCreate, quota, Rights::INSPECT, |quota| create(image, quota, endpoint));
            self.handles(Number::ProcessCreate, endpoint, Rights::RECEIVE, |exits| create(image, quota, exits));
            let over = ask_with(Number::ProcessCreate, [image, quota, endpoint, 0], &[1 << 21, 8, FOREVER], &[]);
            self.note(Number::ProcessCreate, over);

            let exits = ask(Number::EndpointCreate, [quota, 8, 0, 0]).value;
            let waits = self.child("waits", endpoint, exits)?;
            let grant =
                |process| ask_with(Number::ProcessGrant, [process, quota, Rights::SPLIT.0.into(), 0], &[FOREVER], &[]);
            self.handles(Number::ProcessGrant, waits, Rights::INSPECT, grant);
            self.note(Number::ProcessGrant, grant(waits));
            let on = |number: Number| move |process| ask_with(number, [process, 0, 0, 0], &limits, &[]);
            for number in [Number::ProcessStart, Number::ProcessLimit, Number::ProcessSuspend, Number::ProcessResume] {
                self.handles(number, waits, Rights::INSPECT, on(number));
            }
            self.note(Number::ProcessStart, on(Number::ProcessStart)(waits));
            self.handles(Number::ProcessInspect, waits, Rights::MANAGE, on(Number::ProcessInspect));
            self.handles(Number::Inspect, waits, Rights::MANAGE, on(Number::Inspect));
            for number in [
                Number::ProcessLimit,
                Number::ProcessInspect,
                Number::Inspect,
                Number::ProcessSuspend,
                Number::ProcessResume,
            ] {
                self.done(number, on(number)(waits))?;
            }
            self.handles(Number::ProcessKill, waits, Rights::INSPECT, on(Number::ProcessKill));
            self.done(Number::ProcessKill, on(Number::ProcessKill)(waits))?;
            self.exit(exits)?;

            // One that answers a call, and one whose calls are answered.
            self.child("server", endpoint, exits)?;
            self.done(Number::Call, ask(Number::Call, [endpoint, 1, 0, FOREVER]))?;
            self.exit(exits)?;
            self.child("client", endpoint, exits)?;
            let call = ask(Number::Receive, [endpoint, 0, 0, FOREVER]);
            self.handles(Number::Reply, self.quota, Rights::INSPECT, |rides| reply_with(call.value, rides));
            self.done(Number::Reply, ask(Number::Reply, [0, 1, call.value, 0]))?;
            let call = ask(Number::Receive, [endpoint, 0, 0, FOREVER]);
            ask(Number::Send, [endpoint, 1, 0, 0]);
            self.done(Number::ReplyReceive, ask(Number::ReplyReceive, [endpoint, 1, call.value, FOREVER]))?;
            self.note(Number::ReplyReceive, ask(Number::ReplyReceive, [endpoint, 1, call.value, FOREVER]));
            self.exit(exits)?;
            self.child("exits", endpoint, exits)?;
            self.exit(exits)?;
            self.end(Number::Exit, None);
            Ok(())
        }

        /// A child has ended.
        fn exit(&self, exits: u64) -> Result<(), Number> {
            let exit = ask(Number::Receive, [exits, 0, 0, FOREVER]).exit;
            let is_exit = exit.delivery(0, 0, 0).is_some_and(|delivery| delivery.kind == DeliveryKind::Exit);
            if is_exit { Ok(()) } else { Err(Number::Exit) }
        }

        fn memory(&mut self) -> Result<(), Number> {
            let quota = self.quota;
            let create = |quota| ask(Number::RegionCreate, [quota, 32, 0, 0]);
            self.handles(Number::RegionCreate, quota, Rights::INSPECT, create);
            self.note(Number::RegionCreate, ask(Number::RegionCreate, [quota, 0, 0, 0]));
            let region = self.done(Number::RegionCreate, create(quota))?;
            let read = |region, length| ask(Number::RegionRead, [region, 0, length, 0]);
            self.handles(Number::RegionRead, region, Rights::WRITE, |region| read(region, 1));
            self.note(Number::RegionRead, read(region, MAX_BYTES as u64 + 1));
            self.note(Number::RegionRead, ask(Number::RegionRead, [region, 32 * 4096, 1, 0]));
            self.done(Number::RegionRead, read(region, 1))?;
            let write = |region| ask_with(Number::RegionWrite, [region, 0, 0, 0], &[], b"1");
            self.handles(Number::RegionWrite, region, Rights::READ, write);
            self.done(Number::RegionWrite, write(region))?;
            let map = |region| ask(Number::RegionMap, [region, MAPPED, Rights::READ.0.into(), 0]);
            let unmap = |region| ask(Number::RegionUnmap, [region, MAPPED, 0, 0]);
            self.handles(Number::RegionMap, region, Rights::WRITE, map);
            self.handles(Number::RegionUnmap, region, Rights::WRITE, unmap);
            self.note(Number::RegionMap, ask(Number::RegionMap, [region, MAPPED + 1, Rights::READ.0.into(), 0]));
            self.done(Number::RegionMap, map(region))?;
            self.note(Number::RegionMap, map(region));
            self.done(Number::RegionUnmap, unmap(region))?;
            self.note(Number::RegionUnmap, unmap(region));
            let image = |quota, region| ask(Number::ImageCreate, [quota, region, 100, 0]);
            self.handles(Number::ImageCreate, quota, Rights::INSPECT, |quota| image(quota, region));
            self.handles(Number::ImageCreate, region, Rights::WRITE, |region| image(quota, region));
            self.note(Number::ImageCreate, image(quota, region));
            Ok(())
        }

        fn devices(&mut self) -> Result<(), Number> {
            let (interrupt, power) = (self.own.get("interrupt:power"), self.own.get("device:power"));
            let clock = self.own.get("device:clock");
            let bits = ask(Number::NotificationCreate, [self.quota, 0, 0, 0]).value;
            let bind = |interrupt| ask(Number::InterruptBind, [interrupt, bits, 1, 0]);
            let on = |number: Number| move |interrupt| ask(number, [interrupt, 0, 0, 0]);
            self.handles(Number::InterruptBind, interrupt, Rights::ACKNOWLEDGE, bind);
            self.note(Number::InterruptBind, ask(Number::InterruptBind, [interrupt, bits, 0, 0]));
            for (number, weak) in
                [(Number::InterruptAcknowledge, Rights::BIND), (Number::InterruptUnbind, Rights::ACKNOWLEDGE)]
            {
                self.handles(number, interrupt, weak, on(number));
                self.note(number, on(number)(interrupt));
            }
            self.done(Number::InterruptBind, bind(interrupt))?;
            self.note(Number::InterruptBind, bind(interrupt));
            self.done(Number::InterruptAcknowledge, on(Number::InterruptAcknowledge)(interrupt))?;
            self.done(Number::InterruptUnbind, on(Number::InterruptUnbind)(interrupt))?;

            let read = |device| ask(Number::DeviceRead, [device, CLOCK_MONOTONIC, 0, 0]);
            self.handles(Number::DeviceRead, clock, Rights::WRITE, read);
            self.note(Number::DeviceRead, ask(Number::DeviceRead, [clock, 99, 0, 0]));
            self.done(Number::DeviceRead, read(clock))?;
            let write = |device, register| ask(Number::DeviceWrite, [device, register, 0, 0]);
            self.handles(Number::DeviceWrite, power, Rights::READ, |device| write(device, 99));
            self.note(Number::DeviceWrite, write(power, 99));
            let submit = |device| ask_with(Number::DeviceSubmit, [device, Operation::Write as u64, 0, 0], &[], b" ");
            self.handles(Number::DeviceSubmit, power, Rights::READ, submit);
            self.note(Number::DeviceSubmit, submit(power));
            self.handles(Number::DeviceComplete, power, Rights::MANAGE, on(Number::DeviceComplete));
            self.note(Number::DeviceComplete, on(Number::DeviceComplete)(power));
            // A serial line, and a function on the bus, whatever they are called here.
            let devices = self.own.0.iter().filter(|(name, _)| name.starts_with("device:"));
            let devices: Vec<u64> = devices.map(|(_, &device)| device).collect();
            for device in devices {
                match ask(Number::DeviceRead, [device, CLASS, 0, 0]).value {
                    6 => {
                        self.done(Number::DeviceWrite, write(device, LOG_DURABLE))?;
                        self.done(Number::DeviceSubmit, submit(device))?;
                    }
                    7 => {
                        let region = ask(Number::RegionCreate, [self.quota, 1, 0, 0]).value;
                        let address = |device, region| ask(Number::DeviceAddress, [device, region, 0, 0]);
                        self.handles(Number::DeviceAddress, device, Rights::READ, |device| address(device, region));
                        self.handles(Number::DeviceAddress, region, Rights::READ, |region| address(device, region));
                        self.note(Number::DeviceAddress, ask(Number::DeviceAddress, [device, region, 1, 0]));
                        self.done(Number::DeviceAddress, address(device, region))?;
                    }
                    _ => {}
                }
            }
            self.note(Number::DeviceAddress, ask(Number::DeviceAddress, [clock, self.quota, 0, 0]));
            Ok(())
        }
    }

    /// A thread without a control of the library's, of which it needs none.
    extern "sysv64" fn wait_for_ever(quiet: u64) -> ! {
        loop {
            call(Number::Wait, quiet, FOREVER, 0, 0);
        }
    }

    fn derive(source: u64, rights: Rights) -> u64 {
        ask(Number::Derive, [source, rights.0.into(), 0, FOREVER]).value
    }
}
