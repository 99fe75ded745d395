//! What belongs to one thread. As long as there is only the first, it is a static, and nothing looks
//! at `fs`; before a second one begins, every thread gets a [`Control`] that `fs` points to.
//!
//! A thread that is not the first has all that it needs in one region: its stack from the lowest address on,
//! above it its control, above that its buffer. Below it nothing is mapped. At its end it deletes that
//! region itself, in a few instructions that use no stack.

use super::{Buffer, Door, fault, host};
use crate::capability::{Cap, Notification, Quota, Region, Thread};
use crate::context::Context;
use crate::mapping::PLACES;
use crate::reactor;
use crate::system;
use crate::thread::Mutex;
use abi::{Error, Handle, Number, PAGE_SIZE, Request, Rights};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::{asm, naked_asm};
use core::mem::{ManuallyDrop, offset_of};
use core::ptr::{self, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// There is more than one thread, or was once: `fs` points to the control of each.
static THREADED: AtomicBool = AtomicBool::new(false);

struct First(Context);
// SAFETY: only the first thread comes to it: as long as there is no other, and later through its
// own control.
unsafe impl Sync for First {}

static FIRST: First = First(Context::of(super::Door::first()));

/// What `fs` points to.
#[repr(C)]
struct Control {
    /// Its own address, so that it can be read through `fs`.
    this: *const Control,
    context: *const Context,
    /// The notification on which the thread sleeps.
    bell: Handle,
}

/// A thread that is not the first: its control, and the rest of what lies above its stack.
#[repr(C)]
struct Spawned {
    control: Control,
    ending: Ending,
    context: Context,
    /// The quota and the clock of the thread that made it.
    equipment: (Handle, Handle),
    body: Option<Box<dyn FnOnce() + Send>>,
}

/// What [`enter`] lets go when the thread is over.
#[repr(C)]
struct Ending {
    region: Handle,
    bell: Handle,
    range: *const Range,
}

/// Addresses that belong to the stack of some thread. They are never given back, but used for the next
/// thread with as many pages: it is not this process that knows when a thread has made its last step.
#[repr(C)]
struct Range {
    state: AtomicU32,
    address: u64,
    pages: u64,
}

/// State of a range in which nothing is mapped.
const FREE: u32 = 0;
const USED: u32 = 1;

static RANGES: Mutex<Vec<&'static Range>> = Mutex::new(Vec::new());

const SPAWNED_PAGES: usize = size_of::<Spawned>().div_ceil(PAGE_SIZE);
const BUFFER_PAGES: usize = size_of::<Buffer>() / PAGE_SIZE;

/// That of the calling thread; `None` while there is but one.
#[inline]
fn control() -> Option<*const Control> {
    if !THREADED.load(Ordering::Relaxed) {
        return None;
    }
    let control: *const Control;
    // SAFETY: `THREADED` says that every thread of the process has set its `fs` to its control, whose
    // first word this is.
    unsafe { asm!("mov {}, fs:[0]", out(reg) control, options(nostack, pure, readonly)) };
    Some(control)
}

/// The context of the calling thread.
#[inline]
pub(crate) fn with<R>(body: impl FnOnce(&Context) -> R) -> R {
    match control() {
        None => body(&FIRST.0),
        // SAFETY: a control and its context live as long as its thread, which is this one.
        Some(control) => body(unsafe { &*(*control).context }),
    }
}

/// The notification on which the calling thread sleeps. There is none while it is the only one, and then
/// nothing can wake it.
pub(super) fn bell() -> Handle {
    // SAFETY: as in `with`.
    control().map_or(Handle::NONE, |control| unsafe { (*control).bell })
}

/// Makes a thread that runs `body` and ends.
pub(crate) fn start(quota: &Cap<Quota>, stack: usize, body: Box<dyn FnOnce() + Send>) -> Result<Cap<Thread>, Error> {
    become_threaded(quota)?;
    let stack = stack.max(1).div_ceil(PAGE_SIZE);
    let pages = stack.checked_add(SPAWNED_PAGES + BUFFER_PAGES).ok_or(Error::TooLarge)? as u64;
    let bell = Cap::<Notification>::create(quota)?;
    let region = Cap::<Region>::create(quota, pages)?;
    let range = range_of(pages)?;
    let made = make(quota, &region, &bell, range, stack, body);
    match made {
        Ok(_) => {
            // They are the thread's from now on.
            let _ = (region.into_handle(), bell.into_handle());
        }
        Err(_) => {
            // Unmapped first, so that nothing is mapped in a range that is free.
            drop(region);
            range.state.store(FREE, Ordering::Release);
        }
    }
    made
}

fn make(
    quota: &Cap<Quota>,
    region: &Cap<Region>,
    bell: &Cap<Notification>,
    range: &'static Range,
    stack: usize,
    body: Box<dyn FnOnce() + Send>,
) -> Result<Cap<Thread>, Error> {
    let rights = Rights::READ.or(Rights::WRITE);
    let address = range.address;
    system::plain(&Request::RegionMap { region: region.handle(), address, rights }, &[])?;
    let top = with_exposed_provenance_mut::<u8>(address as usize).wrapping_add(stack * PAGE_SIZE);
    let spawned = top.cast::<Spawned>();
    // SAFETY: the region is mapped there, zeroed, and nobody else knows of it; the buffer lies behind the
    // pages of `Spawned`. It is used as long as the thread runs, and by that thread alone.
    let buffer: &'static Buffer = unsafe { &*top.add(SPAWNED_PAGES * PAGE_SIZE).cast::<Buffer>() };
    // SAFETY: as above; a page is aligned enough.
    unsafe {
        spawned.write(Spawned {
            control: Control { this: ptr::null(), context: ptr::null(), bell: bell.handle() },
            ending: Ending { region: region.handle(), bell: bell.handle(), range },
            context: Context::of(Door::of(buffer)),
            equipment: reactor::equipment(),
            body: Some(body),
        });
        (*spawned).control.this = spawned.cast();
        (*spawned).control.context = &raw const (*spawned).context;
    }
    let top = spawned.expose_provenance() as u64;
    let entry = enter as *const () as u64;
    let request = Request::ThreadCreate { quota: quota.handle(), entry, stack: top, argument: top };
    match system::handle(&request) {
        Ok(thread) => Ok(Cap::from_handle(thread)),
        Err(error) => {
            // SAFETY: no thread was made that would use it.
            unsafe { ptr::drop_in_place(spawned) };
            Err(error)
        }
    }
}

/// Addresses for so many pages, in which nothing is mapped.
fn range_of(pages: u64) -> Result<&'static Range, Error> {
    let mut ranges = RANGES.lock();
    let is_taken = |range: &&&Range| {
        range.pages == pages && range.state.compare_exchange(FREE, USED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    if let Some(range) = ranges.iter().find(is_taken) {
        return Ok(range);
    }
    let address = PLACES.lock().take(pages).ok_or(Error::TooLarge)?;
    let range: &'static Range = Box::leak(Box::new(Range { state: AtomicU32::new(USED), address, pages }));
    ranges.push(range);
    Ok(range)
}

/// Before the second thread: the first gets a control, and from then on everyone looks at `fs`.
fn become_threaded(quota: &Cap<Quota>) -> Result<(), Error> {
    if THREADED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let bell = Cap::<Notification>::create(quota)?;
    let control = Box::leak(Box::new(Control { this: ptr::null(), context: &raw const FIRST.0, bell: bell.handle() }));
    control.this = control;
    host::set_tls((&raw const *control).expose_provenance() as u64)?;
    // It stays as long as the process.
    let _ = ManuallyDrop::new(bell);
    THREADED.store(true, Ordering::Relaxed);
    Ok(())
}

/// The first instructions of a thread and its last: the kernel enters with the address of its [`Spawned`] in `rdi`
/// and as its stack.
///
/// At the end the stack goes with the region, so what is still to be done uses registers alone: delete the
/// region, say that its addresses are free, delete the bell, end the thread.
#[unsafe(naked)]
extern "C" fn enter() -> ! {
    naked_asm!(
        "and rsp, -16",
        "call {begin}",
        "mov rdi, [rax + {region}]",
        "mov r12, [rax + {bell}]",
        "mov r13, [rax + {range}]",
        "mov eax, {delete}",
        "syscall",
        "mov dword ptr [r13 + {state}], {free}",
        "mov rdi, r12",
        "mov eax, {delete}",
        "syscall",
        "mov eax, {exit}",
        "syscall",
        "ud2",
        begin = sym begin,
        region = const offset_of!(Ending, region),
        bell = const offset_of!(Ending, bell),
        range = const offset_of!(Ending, range),
        state = const offset_of!(Range, state),
        free = const FREE,
        delete = const Number::Delete as u64,
        exit = const Number::ThreadExit as u64,
    )
}

/// All of a thread between those.
extern "C" fn begin(spawned: *mut Spawned) -> *const Ending {
    if host::set_tls(spawned.expose_provenance() as u64).is_err() {
        fault();
    }
    // SAFETY: `make` put it there for this thread. What refers to it later, through `fs` too, only reads it, but
    // for `body`, of which nobody else knows.
    let (body, spawned) = unsafe { (ptr::replace(&raw mut (*spawned).body, None), &*spawned) };
    spawned.context.open();
    let (quota, clock) = spawned.equipment;
    reactor::equip(quota, clock, None);
    if let Some(body) = body {
        body();
    }
    spawned.context.retire();
    &raw const spawned.ending
}
