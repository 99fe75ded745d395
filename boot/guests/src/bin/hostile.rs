//! Processes that try what they must not: each is stopped, its supervisor is told what it did, and everybody
//! else goes on. To be booted as `init`, which starts the others; a line `passed NAME` for each.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("hostile is a test of bare x86_64: cargo test -p qemu --test guests");
}

#[cfg(target_os = "none")]
libprocess::main!(hostile::main);

#[cfg(target_os = "none")]
mod hostile {
    extern crate alloc;

    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::arch::asm;
    use core::hint::black_box;
    use libprocess::abi::info::Limits;
    use libprocess::abi::message::{FaultKind, VERDICT_KILL, VERDICT_RESUME};
    use libprocess::abi::native::{Entry, GROW, IMAGE_FROM, SET_TLS, STACK_BYTES, STACK_TOP};
    use libprocess::abi::{DeliveryKind, ExitReason, Number, Rights};
    use libprocess::capability::Process as ProcessObject;
    use libprocess::{Cap, Endpoint, Error, Exit, Image, Place, Process, Quota, Region, Startup, system};
    use native_guests::{call, raw};

    const SECOND: u64 = 1_000_000_000;
    const KERNEL_MAP: u64 = 0xffff_8000_0000_0000;
    const KERNEL: u64 = 0xffff_ffff_8020_0000;
    const NOT_CANONICAL: u64 = 0x0000_8000_0000_0000;
    /// Where the parent has a region mapped, and no child has anything.
    const PARENTS: u64 = 0x60_0000_0000;
    /// Where a child maps what its parent shares with it.
    const SHARED: u64 = 0x50_0000_0000;
    const BOTH: Rights = Rights::READ.or(Rights::WRITE);

    fn read(address: u64) {
        // SAFETY: that it faults is the point; nothing is read otherwise.
        unsafe { asm!("mov {0}, [{0}]", inout(reg) address => _, options(nostack)) };
    }

    fn write(address: u64) {
        // SAFETY: as above.
        unsafe { asm!("mov qword ptr [{0}], 1", in(reg) address, options(nostack)) };
    }

    fn jump(address: u64) {
        // SAFETY: as above.
        unsafe { asm!("jmp {0}", in(reg) address, options(noreturn)) };
    }

    macro_rules! instruction {
        ($($line:literal),+ $(; $($operand:tt)*)?) => {
            // SAFETY: that it faults is the point.
            || unsafe { asm!($($line),+ $(, $($operand)*)?) }
        };
    }

    #[inline(never)]
    fn recurse(depth: u64) -> u64 {
        let filler = black_box([depth; 64]);
        if depth == u64::MAX { 0 } else { recurse(depth + 1) + filler[0] }
    }

    /// Writes into the image's own code.
    fn write_code() {
        write(recurse as *const () as u64);
    }

    /// Makes system calls under flags and with a stack that no compiler would leave, and goes on.
    fn odd_but_allowed() {
        // SAFETY: the call (poll of no capability) changes nothing; what was changed is put back.
        unsafe {
            asm!(
                "std", "syscall", "cld",
                "pushfq", "or qword ptr [rsp], 0x40000", "popfq", "mov eax, 8", "syscall",
                "pushfq", "and qword ptr [rsp], ~0x40000", "popfq",
                "mov r12, rsp", "mov rsp, {not_canonical}", "mov eax, 8", "syscall", "mov rsp, r12",
                not_canonical = in(reg) NOT_CANONICAL,
                inout("rax") 8u64 => _, inout("rdi") 0u64 => _, inout("rsi") 0u64 => _, inout("rdx") 0u64 => _,
                inout("r8") 0u64 => _, out("r9") _, out("r10") _, out("r12") _, out("r13") _, out("r14") _,
                out("r15") _, out("rcx") _, out("r11") _,
            );
        }
        // SAFETY: no block.
        assert!(failed(unsafe { raw(Entry::new(SET_TLS, 0, false, 0).0, NOT_CANONICAL, 0, 0, 0) }));
        // SAFETY: these blocks are nobody's memory, so nothing is read or written.
        for block in [0, 1, 7, KERNEL_MAP & 0xffff_ffff_ffff, PARENTS, u64::MAX >> 16] {
            let entry = Entry(Entry::new(Number::Debug as u8, 0, true, 0).0 | block << 16);
            assert!(failed(unsafe { raw(entry.0, 0, 0, 0, 0) }), "block at {block:#x}");
        }
    }

    fn failed(back: native_guests::Back) -> bool {
        back.exit.error().is_some()
    }

    /// What a child does.
    type Deed = fn();
    /// What its supervisor must hear: the fault, and its detail where it is one that the test knows.
    type Told = (FaultKind, Option<u64>);

    const ACCESS: FaultKind = FaultKind::BadAccess;
    const INSTRUCTION: FaultKind = FaultKind::BadInstruction;

    #[rustfmt::skip] // A table.
    const DEEDS: &[(&str, Deed, Told)] = &[
        ("reads kernel memory", || read(KERNEL_MAP + 0x10_0000), (ACCESS, Some(KERNEL_MAP + 0x10_0000))),
        ("reads the kernel", || read(KERNEL), (ACCESS, Some(KERNEL))),
        ("writes the kernel", || write(KERNEL + 0x8000), (ACCESS, Some(KERNEL + 0x8000))),
        ("jumps into the kernel", || jump(KERNEL), (ACCESS, Some(KERNEL))),
        ("reads null", || read(0), (ACCESS, Some(0))),
        ("writes null", || write(8), (ACCESS, Some(8))),
        ("jumps to null", || jump(0), (ACCESS, Some(0))),
        ("reads another's memory", || read(PARENTS), (ACCESS, Some(PARENTS))),
        ("writes another's memory", || write(PARENTS), (ACCESS, Some(PARENTS))),
        ("reads below its image", || read(IMAGE_FROM - 8), (ACCESS, Some(IMAGE_FROM - 8))),
        ("writes its code", write_code, (ACCESS, None)),
        ("jumps into its stack", || jump(STACK_TOP - 64), (ACCESS, Some(STACK_TOP - 64))),
        ("reads a non-canonical address", || read(NOT_CANONICAL), (INSTRUCTION, None)),
        ("returns to a non-canonical address", instruction!("push {0}", "ret"; in(reg) NOT_CANONICAL), (INSTRUCTION, None)),
        ("has a non-canonical stack", instruction!("mov rsp, {0}", "push rax"; in(reg) NOT_CANONICAL), (ACCESS, None)),
        ("overflows its stack", || { black_box(recurse(0)); }, (FaultKind::StackOverflow, None)),
        ("steps over its stack's end", || read(STACK_TOP - STACK_BYTES - 4096), (FaultKind::StackOverflow, None)),
        ("halts", instruction!("hlt"), (INSTRUCTION, None)),
        ("switches interrupts off", instruction!("cli"), (INSTRUCTION, None)),
        ("loads page tables", instruction!("mov cr3, {0}"; in(reg) 0u64), (INSTRUCTION, None)),
        ("reads control registers", instruction!("mov {0}, cr0"; out(reg) _), (INSTRUCTION, None)),
        ("writes a model-specific register", instruction!("wrmsr"; in("ecx") 0xc000_0082u32, in("eax") 0, in("edx") 0), (INSTRUCTION, None)),
        ("loads a descriptor table", instruction!("lgdt [{0}]"; in(reg) IMAGE_FROM), (INSTRUCTION, None)),
        ("reads where descriptor tables are", instruction!("sub rsp, 16", "sgdt [rsp]", "add rsp, 16"), (INSTRUCTION, None)),
        ("loads an FS base", instruction!("wrfsbase {0}"; in(reg) 0u64), (INSTRUCTION, None)),
        ("swaps GS", instruction!("swapgs"), (INSTRUCTION, None)),
        ("flushes the cache", instruction!("wbinvd"), (INSTRUCTION, None)),
        ("returns as the kernel would", instruction!("sysretq"), (INSTRUCTION, None)),
        ("reads the time without a clock", instruction!("rdtsc"; out("eax") _, out("edx") _), (INSTRUCTION, None)),
        ("writes to a port", instruction!("out dx, al"; in("dx") 0xf4u16, in("al") 1u8), (INSTRUCTION, None)),
        ("reads from a port", instruction!("in al, dx"; in("dx") 0x3f8u16, out("al") _), (INSTRUCTION, None)),
        ("calls by an interrupt", instruction!("int 0x80"), (INSTRUCTION, None)),
        ("takes the timer's gate", instruction!("int 0xf0"), (INSTRUCTION, None)),
        ("divides by zero", instruction!("div {0:e}"; in(reg) 0u32, inout("eax") 1u32 => _, inout("edx") 0u32 => _), (INSTRUCTION, None)),
        ("executes what is no instruction", instruction!("ud2"), (INSTRUCTION, None)),
        ("single-steps into a call", instruction!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "mov eax, 8", "syscall", "nop"; out("rax") _, out("rcx") _, out("r11") _), (INSTRUCTION, None)),
    ];

    /// Entry of every process of this image: what it is to do, in its first argument.
    pub async fn main(process: Process) -> Exit {
        let number = || process.arguments().get(1).and_then(|number| number.parse().ok()).unwrap_or(0);
        let deed = match process.arguments().first().map(String::as_str) {
            Some("rounds") => {
                if let Err(error) = rounds(&process, number()).await {
                    system::debug(&format!("failed: {error}"));
                }
                return Exit(0);
            }
            None => {
                if let Err(error) = supervise(&process).await {
                    system::debug(&format!("failed: {error}"));
                }
                return Exit(0);
            }
            Some("calls") => return calls(number()),
            Some("odd") => {
                odd_but_allowed();
                return Exit(0);
            }
            Some("memory") => return memory_bomb(),
            Some("storm") => loop {
                read(8);
            },
            Some("loop") => loop {
                core::hint::spin_loop();
            },
            Some("nothing") => return Exit(0),
            Some(name) if name.starts_with("shares") => return shares(&process, name).unwrap_or(Exit(98)),
            Some(name) => DEEDS.iter().find(|(deed, ..)| *deed == name),
        };
        if let Some((_, deed, _)) = deed {
            deed();
        }
        // It was not stopped.
        Exit(99)
    }

    /// Random numbers, arguments and blocks; how many calls were made is the exit code.
    fn calls(seed: u64) -> Exit {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let interesting = |random: u64, draw: u64| match draw % 6 {
            0 => random,
            1 => random & 0xff,
            2 => u64::MAX - (random & 3),
            3 => (1 << 32) | random & 31,
            4 => IMAGE_FROM + (random & 0xffff),
            _ => KERNEL_MAP + (random & 0xffff),
        };
        for _ in 0..1000 {
            let number = next() as u8;
            // These end the process, as they should.
            if [Number::Exit as u8, Number::ThreadExit as u8].contains(&number) {
                continue;
            }
            let argument = |next: &mut dyn FnMut() -> u64| interesting(next(), next());
            let (a, b, c) = (argument(&mut next), argument(&mut next), argument(&mut next));
            // Whatever waits does so for a moment.
            let waits = number == Number::Wait as u8;
            let (b, d) = (if waits { 1000 } else { b }, argument(&mut next) % 1000);
            let block = if next() % 2 == 0 { 0 } else { argument(&mut next) & 0x7fff_ffff_ffff };
            let entry = Entry(Entry::new(number, (next() % 16) as usize, next() % 2 == 0, 0).0 | block << 16);
            // SAFETY: a block that hits this process's own memory can only hurt this process, which is the test.
            unsafe { raw(entry.0, a, b, c, d) };
        }
        Exit(7)
    }

    /// What a child does with the region that its parent shares with it.
    fn shares(process: &Process, deed: &str) -> Result<Exit, Error> {
        let shared = process.capability::<Region>("shared").map_err(|_| Error::BadHandle)?;
        if deed == "shares both ways" {
            let mapped = shared.map(Place::At(SHARED), BOTH)?;
            let mut text = [0; 6];
            mapped.read(0, &mut text)?;
            mapped.write(4096, b"child")?;
            return Ok(Exit(if &text == b"parent" { 0 } else { 1 }));
        }
        if deed == "shares until it is revoked" {
            let mapped = shared.map(Place::At(SHARED), BOTH)?;
            mapped.write(4096, b"reads")?;
            loop {
                read(SHARED + 4096);
                libprocess::thread::yield_now();
            }
        }
        // It may read, and nothing else, whatever it asks for.
        for more in [BOTH, Rights::READ.or(Rights::EXECUTE)] {
            if shared.map(Place::At(SHARED), more).err() != Some(Error::MissingRight) {
                return Ok(Exit(2));
            }
        }
        let _mapped = shared.map(Place::At(SHARED), Rights::READ)?;
        read(SHARED);
        match deed {
            "shares, and writes what it may read" => write(SHARED + 8),
            "shares, and runs what it may read" => jump(SHARED),
            "shares, and reads behind its end" => read(SHARED + 2 * 4096),
            _ => return Ok(Exit(4)),
        }
        Ok(Exit(3))
    }

    /// Takes pages until there are none.
    fn memory_bomb() -> Exit {
        let mut pages = 0u64;
        loop {
            // SAFETY: no block.
            let back = unsafe { raw(Entry::new(GROW, 0, false, 0).0, 16, 0, 0, 0) };
            match back.exit.error() {
                None => pages += 16,
                Some(Error::QuotaExceeded) if pages > 0 => return Exit(5),
                Some(_) => return Exit(6),
            }
        }
    }

    struct Nursery {
        quota: Cap<Quota>,
        image: Cap<Image>,
        supervisor: Cap<Endpoint>,
    }

    /// What a supervisor hears.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Heard {
        Fault(FaultKind, u64),
        Exit(ExitReason, u64),
        Nothing,
    }

    impl Nursery {
        fn start(&self, arguments: &[String], pages: u64) -> Result<(Cap<ProcessObject>, Cap<Quota>), Error> {
            self.start_sharing(arguments, pages, None)
        }

        /// Starts a child that has a region of its parent's, with these rights.
        fn start_sharing(
            &self,
            arguments: &[String],
            pages: u64,
            shared: Option<(&Cap<Region>, Rights)>,
        ) -> Result<(Cap<ProcessObject>, Cap<Quota>), Error> {
            let quota = self.quota.split(1 << 20, pages)?;
            let supervisor = self.supervisor.derive(Rights::SEND)?;
            let process = Cap::<ProcessObject>::create(&self.image, &quota, &supervisor, "hostile", Limits::DEFAULT)?;
            let own = process.grant_handle(quota.handle(), Rights::ALL, 0)?;
            let mut capabilities = Vec::from([("quota".to_string(), own)]);
            if let Some((region, rights)) = shared {
                capabilities.push(("shared".to_string(), process.grant(region, rights, 0)?));
            }
            process.start(&Startup { arguments: arguments.to_vec(), environment: Vec::new(), capabilities })?;
            Ok((process, quota))
        }

        /// The next that it hears; a fault is answered with this verdict.
        async fn hear(&self, verdict: u64, timeout: u64) -> Result<Heard, Error> {
            let came = match self.supervisor.receive(timeout).await {
                Err(Error::TimedOut) => return Ok(Heard::Nothing),
                came => came?,
            };
            Ok(match came.delivery.kind {
                DeliveryKind::Fault => {
                    call(Number::Reply, 0, verdict, came.delivery.reply.0, 0);
                    let kind = FaultKind::from_number(came.words[0] as u8).ok_or(Error::Unsupported)?;
                    Heard::Fault(kind, came.words[1])
                }
                DeliveryKind::Exit => {
                    let reason = ExitReason::from_number(came.words[0] as u8).ok_or(Error::Unsupported)?;
                    Heard::Exit(reason, came.words[1])
                }
                _ => Heard::Nothing,
            })
        }

        /// Starts a child that ends by itself, and says how.
        async fn outcome(&self, arguments: &[&str]) -> Result<Heard, Error> {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let (process, quota) = self.start(&arguments, 512)?;
            self.end_of(process, quota).await
        }

        /// What is heard first of a child. Afterwards it has ended, and what it had is back.
        async fn end_of(&self, process: Cap<ProcessObject>, quota: Cap<Quota>) -> Result<Heard, Error> {
            let heard = self.hear(VERDICT_KILL, 20 * SECOND).await?;
            if matches!(heard, Heard::Fault(..)) {
                // Then it ends.
                self.hear(VERDICT_KILL, 20 * SECOND).await?;
            }
            drop(process);
            quota.destroy()?;
            Ok(heard)
        }
    }

    fn say(name: &str, expected: bool, heard: &Heard) {
        if expected {
            system::debug(&format!("passed {name}"));
        } else {
            system::debug(&format!("failed {name}: {heard:?}"));
        }
    }

    fn nursery(process: &Process) -> Result<Nursery, Error> {
        let quota = process.quota().derive(Rights::ALL)?;
        let image = process.capability::<Image>("image:init").map_err(|_| Error::BadHandle)?;
        let supervisor = Cap::<Endpoint>::create(&quota, 64)?;
        Ok(Nursery { quota, image, supervisor })
    }

    /// So many processes, one after the other; by turns each ends by itself, is killed while it runs, and faults.
    async fn rounds(process: &Process, count: u64) -> Result<(), Error> {
        let nursery = nursery(process)?;
        for round in 0..count {
            match round % 3 {
                0 => drop(nursery.outcome(&["nothing"]).await?),
                1 => drop(nursery.outcome(&["writes null"]).await?),
                _ => {
                    let (process, quota) = nursery.start(&["loop".to_string()], 512)?;
                    process.kill(3)?;
                    nursery.end_of(process, quota).await?;
                }
            }
        }
        system::debug("passed rounds");
        Ok(())
    }

    async fn supervise(process: &Process) -> Result<(), Error> {
        let nursery = nursery(process)?;
        let mine = Cap::<Region>::create(&nursery.quota, 1)?;
        let rights = Rights::READ.or(Rights::WRITE).0;
        call(Number::RegionMap, mine.handle().0, PARENTS, rights.into(), 0).exit.error().map_or(Ok(()), Err)?;

        for (name, _, (kind, detail)) in DEEDS {
            let heard = nursery.outcome(&[name]).await?;
            let told =
                matches!(heard, Heard::Fault(was, at) if was == *kind && detail.is_none_or(|detail| detail == at));
            say(name, told, &heard);
        }

        let heard = nursery.outcome(&["odd"]).await?;
        say("odd flags, stacks and blocks harm nobody", heard == Heard::Exit(ExitReason::Exited, 0), &heard);
        let heard = nursery.outcome(&["memory"]).await?;
        say("who takes all memory takes his own", heard == Heard::Exit(ExitReason::Exited, 5), &heard);

        let mut heard = Heard::Nothing;
        for seed in 0..10 {
            heard = nursery.outcome(&["calls", &(seed + 1).to_string()]).await?;
            if heard == Heard::Nothing {
                break;
            }
        }
        say("10,000 random calls", heard != Heard::Nothing, &heard);

        sharing(&nursery).await?;
        storm(&nursery).await?;
        spinning(&nursery).await?;
        returns(&nursery).await?;
        devices(process, &nursery)
    }

    /// A region that two processes have: what one writes the other reads, each with its own rights to it, and as long
    /// as it has them.
    async fn sharing(nursery: &Nursery) -> Result<(), Error> {
        let region = Cap::<Region>::create(&nursery.quota, 2)?;
        let mine = region.map(Place::Anywhere, BOTH)?;
        mine.write(0, b"parent")?;
        let child = |deed: &str, rights| nursery.start_sharing(&[deed.to_string()], 512, Some((&region, rights)));

        let (process, quota) = child("shares both ways", BOTH)?;
        let heard = nursery.end_of(process, quota).await?;
        let mut text = [0; 5];
        mine.read(4096, &mut text)?;
        let both = &text == b"child" && heard == Heard::Exit(ExitReason::Exited, 0);
        say("what one process writes another reads", both, &heard);

        for (deed, at) in [
            ("shares, and writes what it may read", SHARED + 8),
            ("shares, and runs what it may read", SHARED),
            ("shares, and reads behind its end", SHARED + 2 * 4096),
        ] {
            let (process, quota) = child(deed, Rights::READ)?;
            let heard = nursery.end_of(process, quota).await?;
            say(deed, heard == Heard::Fault(ACCESS, at), &heard);
        }

        let lent = region.derive(Rights::ALL)?;
        let (process, quota) =
            nursery.start_sharing(&["shares until it is revoked".to_string()], 512, Some((&lent, BOTH)))?;
        let (mut text, mut heard) = ([0; 5], Heard::Nothing);
        while heard == Heard::Nothing && &text != b"reads" {
            heard = nursery.hear(VERDICT_KILL, SECOND / 50).await?;
            mine.read(4096, &mut text)?;
        }
        let before = heard == Heard::Nothing;
        lent.revoke()?;
        let heard = nursery.end_of(process, quota).await?;
        let mut text = [0; 6];
        mine.read(0, &mut text)?;
        let revoked = before && heard == Heard::Fault(ACCESS, SHARED + 4096) && &text == b"parent";
        say("what is revoked is unmapped where it was lent to, and only there", revoked, &heard);
        Ok(())
    }

    async fn storm(nursery: &Nursery) -> Result<(), Error> {
        let (process, quota) = nursery.start(&["storm".to_string()], 512)?;
        let mut heard = Heard::Nothing;
        for _ in 0..2000 {
            heard = nursery.hear(VERDICT_RESUME, 20 * SECOND).await?;
        }
        say("a storm of faults", heard == Heard::Fault(ACCESS, 8), &heard);
        process.kill(3)?;
        while !matches!(nursery.hear(VERDICT_KILL, 20 * SECOND).await?, Heard::Exit(..) | Heard::Nothing) {}
        drop(process);
        quota.destroy()
    }

    async fn spinning(nursery: &Nursery) -> Result<(), Error> {
        let mut spinning = Vec::new();
        for _ in 0..3 {
            spinning.push(nursery.start(&["loop".to_string()], 512)?);
        }
        let heard = nursery.outcome(&["nothing"]).await?;
        say("who spins costs the others only a share", heard == Heard::Exit(ExitReason::Exited, 0), &heard);
        for (process, quota) in spinning {
            process.kill(3)?;
            nursery.hear(VERDICT_KILL, 20 * SECOND).await?;
            drop(process);
            quota.destroy()?;
        }
        Ok(())
    }

    async fn returns(nursery: &Nursery) -> Result<(), Error> {
        let before = nursery.quota.info()?;
        for _ in 0..200 {
            nursery.outcome(&["nothing"]).await?;
        }
        let after = nursery.quota.info()?;
        let same = (before.memory_used, before.pages_used) == (after.memory_used, after.pages_used);
        say("what 200 processes had comes back", same, &Heard::Nothing);
        Ok(())
    }

    /// Memory for devices: only to who holds both the device and the region, and only of devices that use any.
    fn devices(process: &Process, nursery: &Nursery) -> Result<(), Error> {
        let region = Cap::<Region>::create(&nursery.quota, 2)?;
        let names = process.capability_names();
        let clock = process.clock().handle().0;
        let refused =
            |device: u64, region: u64, page: u64| call(Number::DeviceAddress, device, region, page, 0).exit.error();
        let whole = region.handle().0;
        let reading = region.derive(Rights::READ)?;
        let disk = names.iter().find(|name| name.starts_with("device:pci") || *name == "device:disk");
        let mut fine = refused(0, whole, 0).is_some() && refused(clock, 0, 0).is_some();
        fine &= refused(clock, whole, 0) == Some(Error::Unsupported);
        if let Some(disk) = disk {
            let disk = process.capability::<libprocess::Device>(disk).map_err(|_| Error::BadHandle)?;
            let device = disk.handle().0;
            fine &= refused(device, whole, 2) == Some(Error::InvalidArgument);
            fine &= refused(device, whole, u64::MAX) == Some(Error::InvalidArgument);
            fine &= refused(device, reading.handle().0, 0) == Some(Error::MissingRight);
            let looking = disk.derive(Rights::READ)?;
            fine &= refused(looking.handle().0, whole, 0) == Some(Error::MissingRight);
            fine &= refused(device, whole, 1).is_none();
        }
        say("memory for devices is asked for with both in hand", fine, &Heard::Nothing);
        Ok(())
    }
}
