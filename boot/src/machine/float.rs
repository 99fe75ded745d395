//! What a thread has beside its general registers: floating-point state and the FS base. Switched only
//! once some thread has used it: until then `CR0.TS` is set and the first use tells.

use super::Machine;
use super::thread::Float;
use alloc::boxed::Box;
use core::arch::asm;
use kernel::ThreadId;
use x86_64::VirtAddr;
use x86_64::registers::control::{Cr0, Cr0Flags};
use x86_64::registers::model_specific::FsBase;

/// Control words after reset: all exceptions masked.
const FCW: u16 = 0x037f;
const MXCSR: u32 = 0x1f80;

impl Float {
    fn new() -> Box<Float> {
        let mut float = Box::new(Float([0; 512]));
        float.0[..2].copy_from_slice(&FCW.to_le_bytes());
        float.0[24..28].copy_from_slice(&MXCSR.to_le_bytes());
        float
    }
}

fn set_task_switched(set: bool) {
    // SAFETY: the bit decides only whether floating-point instructions are told.
    unsafe { Cr0::update(|flags| flags.set(Cr0Flags::TASK_SWITCHED, set)) };
}

impl Machine {
    /// The thread that runs has used floating point, and its registers are not in the processor.
    pub(super) fn float_used(&mut self, id: ThreadId) {
        set_task_switched(false);
        self.save_float();
        let Some(thread) = self.threads.get(id) else { return };
        let float = thread.float.get_or_insert_with(Float::new);
        // SAFETY: 512 bytes, aligned to 16, that `fxsave` or `Float::new` filled.
        unsafe { asm!("fxrstor64 [{}]", in(reg) float.0.as_ptr(), options(nostack, readonly)) };
        self.float_owner = id;
        self.special = true;
    }

    fn save_float(&mut self) {
        let owner = core::mem::replace(&mut self.float_owner, ThreadId::NONE);
        if let Some(float) = self.threads.get(owner).and_then(|thread| thread.float.as_mut()) {
            // SAFETY: 512 bytes, aligned to 16; TS is clear.
            unsafe { asm!("fxsave64 [{}]", in(reg) float.0.as_mut_ptr(), options(nostack)) };
        }
    }

    /// A thread is gone: what the processor holds of it is nobody's.
    pub(super) fn float_gone(&mut self, id: ThreadId) {
        if self.float_owner == id {
            self.float_owner = ThreadId::NONE;
            set_task_switched(true);
        }
    }

    /// Before a thread goes on, where some thread has any of this.
    #[cold]
    pub(super) fn switch_special(&mut self, id: ThreadId) {
        set_task_switched(self.float_owner != id);
        let Some(thread) = self.threads.get(id) else { return };
        if thread.tls != self.tls {
            self.tls = thread.tls;
            FsBase::write(VirtAddr::new_truncate(thread.tls));
        }
    }

    /// The FS base of the thread that runs.
    pub(super) fn set_tls(&mut self, id: ThreadId, base: u64) {
        let Some(thread) = self.threads.get(id) else { return };
        thread.tls = base;
        self.special = true;
    }
}
