//! What is not a system call: the timer, devices, faults; and waiting for them.

use super::Machine;
use super::machine;
use crate::arch::entry::{Back, DEVICE_VECTORS, Full};
use crate::arch::lapic::{SPURIOUS_VECTOR, TIMER_VECTOR};
use crate::{say, stop};
use abi::message::FaultKind;
use abi::native::{STACK_BYTES, STACK_TOP};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use x86_64::registers::control::Cr2;

/// Vectors that came while the kernel waited, and whether the timer did.
static CAME: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static TIMER_CAME: AtomicBool = AtomicBool::new(false);

const DIVIDE: u64 = 0;
const DEBUG: u64 = 1;
const BREAKPOINT: u64 = 3;
const NO_FLOAT: u64 = 7;
const STACK_SEGMENT: u64 = 12;
const PAGE_FAULT: u64 = 14;
const ALIGNMENT: u64 = 17;

/// An interrupt or a fault in ring 3. `frame` is on the kernel's stack.
pub extern "sysv64" fn trap_from_ring3(frame: &Full) -> Back {
    // SAFETY: a thread ran, so the machine was made; this is the one way in.
    let machine = unsafe { machine() };
    let running = machine.running;
    if let Some(thread) = machine.threads.get(running) {
        thread.full = *frame;
        thread.stopped = true;
    }
    let vector = frame.vector;
    match vector {
        NO_FLOAT => machine.float_used(running),
        2 | 8 | 18 => stop("the processor reports an error that no process can have caused"),
        0..32 => {
            let now = machine.clock.now();
            let (kind, detail, resumable) = fault(frame);
            machine.axiom.fault(running, kind, detail, resumable, now);
            if let Some(sole) = machine.axiom.sole() {
                machine.carry_out_sole(sole);
            }
            return machine.go_on();
        }
        _ => machine.vector(vector as u8),
    }
    machine.run()
}

/// What the kernel is told of a fault.
fn fault(frame: &Full) -> (FaultKind, u64, bool) {
    const GUARD: core::ops::Range<u64> = STACK_TOP - STACK_BYTES - (1 << 20)..STACK_TOP - STACK_BYTES;
    match frame.vector {
        PAGE_FAULT => {
            let address = Cr2::read_raw();
            let kind = if GUARD.contains(&address) { FaultKind::StackOverflow } else { FaultKind::BadAccess };
            (kind, address, true)
        }
        STACK_SEGMENT | ALIGNMENT => (FaultKind::BadAccess, frame.rsp, false),
        DIVIDE => (FaultKind::BadInstruction, frame.rip, false),
        // These go on behind the instruction.
        DEBUG | BREAKPOINT => (FaultKind::BadInstruction, frame.rip, true),
        _ => (FaultKind::BadInstruction, frame.rip, false),
    }
}

/// An interrupt while the kernel waited, or a defect of its own. `frame` is on the stack in use.
pub extern "sysv64" fn trap_from_kernel(frame: &Full) {
    let vector = frame.vector as u8;
    match frame.vector {
        0..32 => {
            say!(
                "orbital: vector {vector} in the kernel at {:#x}, error {:#x}, address {:#x}",
                frame.rip,
                frame.error,
                Cr2::read_raw()
            );
            stop("the kernel found a defect in itself");
        }
        _ if vector == TIMER_VECTOR => TIMER_CAME.store(true, Ordering::Relaxed),
        _ if vector == SPURIOUS_VECTOR => {}
        _ => {
            CAME[usize::from(vector) / 64].fetch_or(1 << (vector % 64), Ordering::Relaxed);
        }
    }
}

impl Machine {
    /// An interrupt came.
    fn vector(&mut self, vector: u8) {
        match vector {
            TIMER_VECTOR => {
                self.lapic.end_of_interrupt();
                self.slice_over();
            }
            SPURIOUS_VECTOR => {}
            _ => {
                if DEVICE_VECTORS.contains(&vector) {
                    self.device_vector(vector);
                }
                self.lapic.end_of_interrupt();
            }
        }
    }

    /// The timer came while a thread ran.
    fn slice_over(&mut self) {
        let now = self.clock.now();
        self.axiom.tick(now);
        self.axiom.preempt(now);
        self.carry_out();
        self.keep_record(now);
        self.go_on_checking();
    }

    /// Lets the timer come while somebody runs, and not else.
    #[inline]
    pub(super) fn keep_ticking(&mut self, on: bool) {
        if self.ticking != on {
            self.ticking = on;
            if on { self.lapic.every(super::SLICE) } else { self.lapic.stop() }
        }
    }

    /// Nobody runs: waits until something happens, and takes it.
    pub(super) fn idle(&mut self) {
        self.leave_space();
        if self.go_on_checking() {
            return;
        }
        let now = self.clock.now();
        self.keep_record(now);
        self.keep_ticking(false);
        let due = self.axiom.deadline().into_iter().chain(self.record_due()).min();
        if let Some(due) = due {
            if due <= now {
                self.axiom.tick(now);
                return;
            }
            self.lapic.once((due - now).min(1_000_000_000));
        }
        loop {
            // Interrupts come between the two instructions at the earliest when the processor halts.
            x86_64::instructions::interrupts::enable_and_hlt();
            x86_64::instructions::interrupts::disable();
            let timer = TIMER_CAME.swap(false, Ordering::Relaxed);
            let mut any = timer;
            if timer {
                self.lapic.end_of_interrupt();
                let now = self.clock.now();
                self.axiom.tick(now);
                self.keep_record(now);
            }
            for (index, word) in CAME.iter().enumerate() {
                let mut bits = word.swap(0, Ordering::Relaxed);
                while bits != 0 {
                    let vector = index as u32 * 64 + bits.trailing_zeros();
                    bits &= bits - 1;
                    self.vector(vector as u8);
                    any = true;
                }
            }
            if any {
                return;
            }
        }
    }
}
