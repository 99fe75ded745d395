//! What belongs to one thread. As long as there is only the first, it is a static, and nothing looks
//! at `fs`; before a second one begins, every thread gets a [`Control`] that `fs` points to.

use crate::context::Context;
use abi::Handle;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// There is more than one thread, or was once: `fs` points to the control of each.
static THREADED: AtomicBool = AtomicBool::new(false);

struct First(Context);
// SAFETY: only the first thread comes to it: as long as there is no other, and later through its
// own control.
unsafe impl Sync for First {}

static FIRST: First = First(Context::of(super::Door::first()));

/// What `fs` points to.
#[repr(C)]
pub(super) struct Control {
    /// Its own address, so that it can be read through `fs`.
    this: *const Control,
    context: *const Context,
    /// The notification on which the thread sleeps.
    bell: Handle,
}

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
