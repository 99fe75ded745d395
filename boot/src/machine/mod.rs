//! The machine: asks Axiom who is to run, lets it run, and carries out what the kernel wants done. One
//! processor, one stack; the kernel is never interrupted but where it has nothing to do.

mod boot;
mod calls;
mod devices;
mod effects;
mod float;
pub mod power;
mod process;
mod record;
mod thread;
mod trap;

use crate::arch::clock::Clock;
use crate::arch::entry::Back;
use crate::arch::lapic::Lapic;
use crate::devices::bus::Bare;
use crate::memory::frames::Frames;
use crate::memory::kernel_space;
use abi::message::Message;
use abi::native::{Entry, Exit};
use abi::{Error, Handle, Number, ReplyToken, Request, Returned, Rights};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;
use axiom::{Axiom, Outcome};
use core::mem::MaybeUninit;
use effects::{Check, Regions, Stored};
use kernel::ThreadId;
use kernel::input::Hash;
use process::{Image, Processes};
use thread::Threads;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

pub use boot::boot;
pub use trap::{trap_from_kernel, trap_from_ring3};

/// What the machine is started with.
#[derive(Debug)]
pub struct Hardware {
    /// Free memory.
    pub frames: Frames<'static>,
    /// The timer.
    pub lapic: Lapic,
    /// Time.
    pub clock: Clock,
    /// Bytes of the kernel's heap.
    pub heap: u64,
}

/// How long a thread runs before others of its priority do, in ns.
const SLICE: u64 = 1_000_000;

/// All that the host keeps.
pub struct Machine {
    axiom: Axiom,
    clock: Clock,
    threads: Threads,
    /// Who runs, or ran last.
    running: ThreadId,
    /// The top table that is loaded.
    loaded_root: u64,
    /// Whether any thread has floating point or an FS base.
    special: bool,
    /// Whether the timer comes.
    ticking: bool,
    /// How the call that the host carries out ended.
    host_result: Option<Result<Returned, Error>>,
    processes: Processes,
    frames: Frames<'static>,
    lapic: Lapic,
    float_owner: ThreadId,
    tls: u64,
    images: BTreeMap<u32, Rc<Image>>,
    /// Checked, and not yet an image of the kernel's; the boot set.
    checked: BTreeMap<Hash, Rc<Image>>,
    checks: VecDeque<Check>,
    buffers: BTreeMap<u32, Stored>,
    regions: Regions,
    devices: crate::devices::Hardware<Bare>,
    /// The status that somebody inside ends the machine with.
    off: Option<u64>,
    init: ThreadId,
    init_startup: Vec<u8>,
    running_setup: bool,
    record: record::Record,
    /// A thread reads the log in the call that the host carries out: from where, and how much.
    reading: Option<(u64, u32)>,
}

static mut MACHINE: MaybeUninit<Machine> = MaybeUninit::uninit();

/// The machine.
///
/// # Safety
/// `boot` has made it, and the caller is the one way into the kernel that is under way.
#[inline(always)]
unsafe fn machine() -> &'static mut Machine {
    // SAFETY: as the caller promises; there is one processor, and the kernel is not interrupted but where
    // it has nothing to do and holds no reference.
    unsafe { (*(&raw mut MACHINE)).assume_init_mut() }
}

const CALL: u64 = Number::Call as u64;
const REPLY_RECEIVE: u64 = Number::ReplyReceive as u64;
const SIGNAL: u64 = Number::Signal as u64;
const WAIT: u64 = Number::Wait as u64;
const POLL: u64 = Number::Poll as u64;
const YIELD: u64 = Number::Yield as u64;
const DERIVE: u64 = Number::Derive as u64;
const DELETE: u64 = Number::Delete as u64;
const MAP: u64 = Number::RegionMap as u64;
const UNMAP: u64 = Number::RegionUnmap as u64;

/// A system call, from `entry::syscall`: argument registers rdi, rsi, rdx, r8, and rax. It saves nothing, so that each
/// kind of call has a frame of its own size. Each is a function of its own: all in one, they take the compiler a minute.
pub extern "sysv64" fn syscall(a: u64, b: u64, c: u64, d: u64, entry: u64) -> Back {
    // Number and the flag in one look; how many words, in another.
    match entry & (0xff | Entry::PAYLOAD) {
        CALL => hand_over::<false>(a, b, c, d, entry),
        REPLY_RECEIVE => hand_over::<true>(a, b, c, d, entry),
        SIGNAL => brief_call::<SIGNAL>(a, b, c, d, entry),
        WAIT => brief_call::<WAIT>(a, b, c, d, entry),
        POLL => brief_call::<POLL>(a, b, c, d, entry),
        YIELD => brief_call::<YIELD>(a, b, c, d, entry),
        DERIVE => brief_call::<DERIVE>(a, b, c, d, entry),
        DELETE => brief_call::<DELETE>(a, b, c, d, entry),
        MAP => brief_call::<MAP>(a, b, c, d, entry),
        UNMAP => brief_call::<UNMAP>(a, b, c, d, entry),
        _ => other_call(a, b, c, d, entry),
    }
}

/// Notes what the thread that runs has called; the machine, that thread, and the time.
///
/// # Safety
/// The caller is the way in for this call, and uses the thread while nothing else does.
#[inline(always)]
unsafe fn begin_call(entry: u64) -> (&'static mut Machine, &'static mut thread::Thread, u64) {
    // SAFETY: a thread runs, so the machine was made; its call is the one way in.
    let machine = unsafe { machine() };
    let now = machine.clock.now();
    // SAFETY: the entry just saved its registers into its record, which lives while it runs and which nothing
    // else refers to; that of the one that is called is another.
    let source = unsafe { thread::running() };
    source.entry = Entry(entry);
    (machine, source, now)
}

/// A call without block, or the answer to one: `c` is the reply.
#[inline(never)]
extern "sysv64" fn hand_over<const ANSWER: bool>(a: u64, b: u64, c: u64, d: u64, entry: u64) -> Back {
    // SAFETY: `syscall` is the way in; the thread is used until another's way back is given.
    let (machine, source, now) = unsafe { begin_call(entry) };
    let running = source.id;
    let count = Entry(entry).words();
    if count > abi::message::WORDS {
        return machine.slow_call([a, b, c, d], Entry(entry));
    }
    let (endpoint, message) = (Handle(a), Message { tag: b, length: 0, transfers: &[] });
    let request = if ANSWER {
        Request::ReplyReceive { endpoint, reply: ReplyToken(c), message, timeout: d }
    } else {
        Request::Call { endpoint, message, timeout: d }
    };
    let outcome = machine.axiom.call(running, &request, now);
    let Some((to, _, delivery)) = machine.axiom.handed_over() else {
        return machine.settle_and_run(running, outcome);
    };
    let Some(target) = machine.threads.get(to) else { return machine.run() };
    if count > 0 {
        effects::copy_words(source, target, count);
    }
    calls::deliver_registers(target, delivery, count);
    let root = target.root;
    let back = target.back();
    machine.running = to;
    machine.switch_to(root);
    if machine.special {
        machine.switch_special(to);
    }
    back
}

/// A brief call, whose arguments are all in registers, whatever these hold.
#[inline(never)]
extern "sysv64" fn brief_call<const NUMBER: u64>(a: u64, b: u64, c: u64, d: u64, entry: u64) -> Back {
    // SAFETY: `syscall` is the way in; the thread is used no more.
    let (machine, _, now) = unsafe { begin_call(entry) };
    let handle = Handle(a);
    let request = match NUMBER {
        SIGNAL => Request::Signal { notification: handle, bits: b },
        WAIT => Request::Wait { notification: handle, timeout: b },
        POLL => Request::Poll { notification: handle },
        YIELD => Request::Yield,
        DERIVE if b <= u16::MAX.into() => {
            Request::Derive { source: handle, rights: Rights(b as u16), badge: c, expiry: d }
        }
        DELETE => Request::Delete { handle },
        MAP if c <= u16::MAX.into() => Request::RegionMap { region: handle, address: b, rights: Rights(c as u16) },
        UNMAP => Request::RegionUnmap { region: handle, address: b },
        _ => return machine.slow_call([a, b, c, d], Entry(entry)),
    };
    if NUMBER != MAP {
        return machine.brief(&request, now);
    }
    match machine.map_at_once(&request, b, now) {
        Some(outcome) => machine.after_brief(outcome),
        None => machine.slow_call([a, b, c, d], Entry(entry)),
    }
}

/// Any other call, which has to be decoded.
#[inline(never)]
extern "sysv64" fn other_call(a: u64, b: u64, c: u64, d: u64, entry: u64) -> Back {
    // SAFETY: `syscall` is the way in; the thread is used no more.
    let (machine, _, _) = unsafe { begin_call(entry) };
    machine.slow_call([a, b, c, d], Entry(entry))
}

impl Machine {
    /// A brief call. Where nothing else comes of it, the caller goes on at once.
    #[inline(always)]
    fn brief(&mut self, request: &Request<'_>, now: u64) -> Back {
        let outcome = self.axiom.brief_call(self.running, request, now);
        self.after_brief(outcome)
    }

    #[inline(always)]
    fn after_brief(&mut self, outcome: Outcome) -> Back {
        let running = self.running;
        if let Some(sole) = self.axiom.sole() {
            self.carry_out_sole(sole);
        }
        let exit = match outcome {
            Outcome::Done(Ok(Returned::Nothing)) => Some((Exit::DONE, 0)),
            Outcome::Done(Ok(Returned::Value(value) | Returned::Handle(Handle(value)))) => Some((Exit::DONE, value)),
            Outcome::Done(Err(error)) => Some((Exit::failed(error), 0)),
            Outcome::Blocked => None,
            _ => return self.settle_and_run(running, outcome),
        };
        let Some(next) = self.axiom.current().filter(|_| !self.axiom.kernel().has_effects()) else {
            return self.settle_and_run(running, outcome);
        };
        if let Some((exit, value)) = exit {
            let Some(thread) = self.threads.get(running) else { return self.run() };
            thread.returns(exit, value);
            if next == running {
                return thread.back();
            }
        }
        self.enter(next).unwrap_or_else(|| self.run())
    }

    /// Lets the thread go on that has the processor now; `None`: there is more to be done first.
    #[inline(always)]
    fn enter(&mut self, next: ThreadId) -> Option<Back> {
        let thread = self.threads.get(next).filter(|thread| !thread.new)?;
        let root = thread.root;
        let back = thread.back();
        self.running = next;
        self.switch_to(root);
        if self.special {
            self.switch_special(next);
        }
        Some(back)
    }

    #[inline(never)]
    fn settle_and_run(&mut self, running: ThreadId, outcome: Outcome) -> Back {
        match outcome {
            Outcome::Blocked => return self.go_on(),
            Outcome::Done(result) => self.complete(running, result),
            Outcome::Host => self.settle(running, outcome),
        }
        self.run()
    }

    /// Whoever has the processor now goes on: at once, if there is nothing else to be done.
    #[inline(always)]
    fn go_on(&mut self) -> Back {
        let next = self.axiom.current().filter(|_| !self.axiom.kernel().has_effects());
        next.and_then(|next| self.enter(next)).unwrap_or_else(|| self.run())
    }

    #[inline(always)]
    fn switch_to(&mut self, root: u64) {
        if root != self.loaded_root {
            self.loaded_root = root;
            load_root(root);
        }
    }

    /// Whatever space is loaded may go now.
    fn leave_space(&mut self) {
        self.switch_to(kernel_space::root());
    }

    /// What the processor remembers of the loaded space is out of date.
    fn flush_process_pages(&mut self) {
        load_root(self.loaded_root);
    }

    /// Finds who runs next, or waits until somebody does; the way back.
    fn run(&mut self) -> Back {
        loop {
            self.carry_out();
            if let Some(status) = self.ended() {
                self.close(status);
            }
            let Some(next) = self.axiom.current() else {
                self.idle();
                continue;
            };
            if let Some(back) = self.enter(next) {
                self.keep_ticking(true);
                return back;
            }
            if self.threads.get(next).is_none() {
                // The kernel's and the host's threads are the same ones.
                crate::stop("a thread is to run that the host does not know");
            }
            self.begin(next);
        }
    }
}

#[inline(always)]
fn load_root(root: u64) {
    // SAFETY: the table of a space, or the kernel's: above, all are the same.
    unsafe { Cr3::write(PhysFrame::containing_address(PhysAddr::new(root)), Cr3Flags::empty()) };
}
