//! The ways into the kernel and back to ring 3. System calls save what the caller's registers must keep
//! straight into the record of the thread that runs; interrupts and faults save everything.

use super::cpu::{USER_CODE, USER_DATA};
use super::stack::{self, KernelStack};
use abi::message::Words;
use core::arch::naked_asm;
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

/// What a system call leaves of a thread: the registers that its answer is put into, and where it goes on.
/// In the order in which they are popped.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Frame {
    /// [`abi::native::Exit`].
    pub rax: u64,
    /// Value or reply token.
    pub rdi: u64,
    /// Tag.
    pub rsi: u64,
    /// Badge.
    pub rdx: u64,
    /// r9, r10, r12, r13, r14, r15, rbx, rbp.
    pub words: Words,
    /// Its stack.
    pub rsp: u64,
    /// Where it goes on.
    pub rip: u64,
    /// Its flags.
    pub rflags: u64,
}

/// All registers of a thread that did not stop in a system call.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Full {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const _: () = assert!(size_of::<Frame>() == 15 * 8 && size_of::<Full>() == 22 * 8);

/// Interrupts on, and the bit that is always set.
const FLAGS: u64 = 0x202;

impl Full {
    /// A thread that begins.
    pub fn new(entry: u64, stack: u64, argument: u64) -> Full {
        Full {
            rip: entry,
            rsp: stack,
            rdi: argument,
            cs: USER_CODE.into(),
            ss: USER_DATA.into(),
            rflags: FLAGS,
            ..Full::default()
        }
    }
}

/// What the entry finds without a register to spare.
#[repr(C)]
pub struct Current {
    /// Behind the [`Frame`] of the thread that runs.
    pub frame_end: u64,
    /// The caller's stack, for the moment.
    pub rsp: u64,
}

/// See [`Current`].
pub static mut CURRENT: Current = Current { frame_end: 0, rsp: 0 };

/// A way back: the address of a [`Frame`], or of a [`Full`] plus one.
pub type Back = u64;

/// `syscall` comes here, with interrupts off.
#[unsafe(naked)]
pub extern "C" fn syscall() {
    naked_asm!(
        "mov [rip + {current} + 8], rsp",
        "mov rsp, [rip + {current}]",
        "push r11",
        "push rcx",
        "push qword ptr [rip + {current} + 8]",
        "push rbp",
        "push rbx",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r10",
        "push r9",
        "lea rsp, [rip + {stack} + {stack_bytes}]",
        "mov rcx, r8",
        "mov r8, rax",
        "call {handler}",
        "jmp {leave}",
        current = sym CURRENT,
        stack = sym stack::KERNEL,
        stack_bytes = const size_of::<KernelStack>(),
        handler = sym crate::machine::syscall,
        leave = sym leave,
    )
}

/// Goes where `rax` says.
#[unsafe(naked)]
extern "C" fn leave() -> ! {
    naked_asm!(
        "test al, 1",
        "jnz 2f",
        "mov rsp, rax",
        "pop rax",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop r9",
        "pop r10",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "pop rbx",
        "pop rbp",
        "mov rcx, [rsp + 8]",
        "mov r11, [rsp + 16]",
        "xor r8d, r8d",
        "mov rsp, [rsp]",
        "sysretq",
        "2:",
        "lea rsp, [rax - 1]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rbp",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "add rsp, 16",
        "iretq",
    )
}

/// Leaves the kernel for the first time.
#[unsafe(naked)]
pub extern "sysv64" fn go(back: Back) -> ! {
    naked_asm!("mov rax, rdi", "jmp {leave}", leave = sym leave)
}

/// Where every gate comes together: all registers onto the stack, then to whom it concerns.
#[unsafe(naked)]
extern "C" fn trap() {
    naked_asm!(
        "test byte ptr [rsp + 24], 3",
        "push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rbp",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rdi, rsp",
        "cld",
        "jz 2f",
        "call {user}",
        "jmp {leave}",
        "2:",
        "call {kernel}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rbp",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "add rsp, 16",
        "iretq",
        user = sym crate::machine::trap_from_ring3,
        kernel = sym crate::machine::trap_from_kernel,
        leave = sym leave,
    )
}

// A gate of 16 bytes for each vector: a zero where the processor pushes no error, and the vector.
core::arch::global_asm!(
    ".text",
    ".align 16",
    "gates:",
    ".set vector, 0",
    ".rept 256",
    ".align 16",
    ".if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21",
    "push 0",
    ".endif",
    "push vector",
    "jmp {trap}",
    ".set vector, vector + 1",
    ".endr",
    trap = sym trap,
);

unsafe extern "C" {
    static gates: u8;
}

/// The table into which the gates go.
pub struct Gates<'a> {
    /// The interrupt table.
    pub idt: &'a mut InterruptDescriptorTable,
}

/// First vector of devices.
pub const DEVICE_VECTORS: core::ops::Range<u8> = 0x30..0xf0;

/// Sets every gate that is used.
///
/// # Safety
/// The table is loaded only after the spare stacks are in the task state.
pub unsafe fn install(Gates { idt }: Gates<'_>) {
    let at = |vector: u8| VirtAddr::new(&raw const gates as u64 + u64::from(vector) * 16);
    // SAFETY: each address is that of the gate for the vector, which pushes what the processor does not.
    unsafe {
        idt.divide_error.set_handler_addr(at(0));
        idt.debug.set_handler_addr(at(1));
        idt.non_maskable_interrupt.set_handler_addr(at(2)).set_stack_index(1);
        idt.breakpoint.set_handler_addr(at(3)).set_privilege_level(x86_64::PrivilegeLevel::Ring3);
        idt.overflow.set_handler_addr(at(4));
        idt.bound_range_exceeded.set_handler_addr(at(5));
        idt.invalid_opcode.set_handler_addr(at(6));
        idt.device_not_available.set_handler_addr(at(7));
        idt.double_fault.set_handler_addr(at(8)).set_stack_index(0);
        idt.invalid_tss.set_handler_addr(at(10));
        idt.segment_not_present.set_handler_addr(at(11));
        idt.stack_segment_fault.set_handler_addr(at(12));
        idt.general_protection_fault.set_handler_addr(at(13));
        idt.page_fault.set_handler_addr(at(14));
        idt.x87_floating_point.set_handler_addr(at(16));
        idt.alignment_check.set_handler_addr(at(17));
        idt.machine_check.set_handler_addr(at(18)).set_stack_index(2);
        idt.simd_floating_point.set_handler_addr(at(19));
        for vector in DEVICE_VECTORS.chain(0xf0..=0xff) {
            idt[vector].set_handler_addr(at(vector));
        }
    }
}
