//! System calls by hand, for programs that count their instructions or pass what no library would.
#![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std)]
#![cfg(target_os = "none")]
#![allow(unsafe_code)]

extern crate alloc;

use abi::native::{Entry, Exit};
use abi::{FOREVER, Number};
use core::arch::{asm, x86_64::_rdtsc};

/// The processor's counter: instructions, under `-icount shift=0`.
#[inline(always)]
pub fn counter() -> u64 {
    // SAFETY: reading it changes nothing; where ring 3 may not, the process ends.
    unsafe { _rdtsc() }
}

/// What the argument registers brought back.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    /// `rax`.
    pub exit: Exit,
    /// `rdi`: value, handle, reply token.
    pub value: u64,
}

/// Any call, with these in rax, rdi, rsi, rdx, r8, and nothing in the registers of words.
///
/// # Safety
/// A block that `rax` names is the caller's to be written.
#[inline(always)]
pub unsafe fn raw(rax: u64, rdi: u64, rsi: u64, rdx: u64, r8: u64) -> Back {
    let (exit, value);
    // SAFETY: the kernel keeps rsp and changes no memory but the block; rbx and rbp are kept here, since words
    // may come into them.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "syscall",
            "pop rbp",
            "pop rbx",
            inlateout("rax") rax => exit,
            inlateout("rdi") rdi => value,
            inlateout("rsi") rsi => _,
            inlateout("rdx") rdx => _,
            inlateout("r8") r8 => _,
            lateout("r9") _, lateout("r10") _, lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    Back { exit: Exit(exit), value }
}

/// A call without block and words.
#[inline(always)]
pub fn call(number: Number, rdi: u64, rsi: u64, rdx: u64, r8: u64) -> Back {
    // SAFETY: no block.
    unsafe { raw(Entry::new(number as u8, 0, false, 0).0, rdi, rsi, rdx, r8) }
}

/// `count` calls to an endpoint with so many words, each until it is answered.
#[inline(never)]
pub fn calls(endpoint: u64, words: usize, timeout: u64, count: u64) {
    let rax = Entry::new(Number::Call as u8, words, false, 0).0;
    // SAFETY: as in `raw`; what has to be kept lies on the stack.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "push {count}",
            "push {rax}",
            "push {endpoint}",
            "push {timeout}",
            "2:",
            "mov r8, [rsp]",
            "mov rdi, [rsp + 8]",
            "mov rax, [rsp + 16]",
            "mov esi, 0x7001",
            "syscall",
            "dec qword ptr [rsp + 24]",
            "jnz 2b",
            "add rsp, 32",
            "pop rbp",
            "pop rbx",
            count = in(reg) count, rax = in(reg) rax, endpoint = in(reg) endpoint, timeout = in(reg) timeout,
            lateout("rax") _, lateout("rdi") _, lateout("rsi") _, lateout("rdx") _, lateout("r8") _,
            lateout("r9") _, lateout("r10") _, lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            lateout("rcx") _, lateout("r11") _,
        );
    }
}

/// Answers every call with so many words, those that came; for ever, or until the endpoint is gone.
#[inline(never)]
pub fn answer(endpoint: u64, words: usize, timeout: u64) {
    let first = call(Number::Receive, endpoint, 0, 0, FOREVER);
    if first.exit.error().is_some() {
        return;
    }
    let rax = Entry::new(Number::ReplyReceive as u8, words, false, 0).0;
    // SAFETY: as in `calls`.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "push {timeout}",
            "push {rax}",
            "push {endpoint}",
            "mov rdi, {reply}",
            "2:",
            "mov rdx, rdi",
            "mov rdi, [rsp]",
            "mov rax, [rsp + 8]",
            "mov r8, [rsp + 16]",
            "mov esi, 0x7002",
            "syscall",
            "test al, al",
            "jz 2b",
            "add rsp, 24",
            "pop rbp",
            "pop rbx",
            timeout = in(reg) timeout, rax = in(reg) rax, endpoint = in(reg) endpoint, reply = in(reg) first.value,
            lateout("rax") _, lateout("rdi") _, lateout("rsi") _, lateout("rdx") _, lateout("r8") _,
            lateout("r9") _, lateout("r10") _, lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            lateout("rcx") _, lateout("r11") _,
        );
    }
}

/// Signals one notification and waits for the other, so often.
#[inline(never)]
pub fn signal_and_wait(signal: u64, wait: u64, count: u64) {
    for _ in 0..count {
        call(Number::Signal, signal, 1, 0, 0);
        call(Number::Wait, wait, FOREVER, 0, 0);
    }
}

/// A breakpoint: a fault that a verdict resumes behind the instruction.
#[inline(always)]
pub fn breakpoint() {
    // SAFETY: the supervisor is told, and the process goes on or ends.
    unsafe { asm!("int3") };
}
