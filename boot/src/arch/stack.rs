//! The kernel's stacks. Each has a page below it that is never mapped.

/// A stack of `BYTES`, above its guard.
#[repr(C, align(4096))]
pub struct Stack<const BYTES: usize> {
    guard: [u8; 4096],
    bytes: [u8; BYTES],
}

impl<const BYTES: usize> Stack<BYTES> {
    const fn new() -> Stack<BYTES> {
        Stack { guard: [0; 4096], bytes: [0; BYTES] }
    }
}

/// The one on which the kernel does its work: it never waits on it.
pub type KernelStack = Stack<{ 128 * 1024 }>;
/// Those of what must not find a broken stack: double fault, NMI, machine check, debug.
pub type SpareStack = Stack<{ 16 * 1024 }>;

/// See [`KernelStack`].
pub static mut KERNEL: KernelStack = Stack::new();
/// See [`SpareStack`].
pub static mut SPARE: [SpareStack; 4] = [const { Stack::new() }; 4];

/// The end of the kernel's stack.
pub fn kernel_top() -> u64 {
    &raw const KERNEL as u64 + size_of::<KernelStack>() as u64
}

/// The end of a spare stack, of four.
pub fn spare_top(index: usize) -> u64 {
    &raw const SPARE as u64 + (index as u64 + 1) * size_of::<SpareStack>() as u64
}

/// Whether a page of the kernel is the guard of a stack.
pub fn is_guard(page: u64) -> bool {
    let spare = (0..4).map(|index| spare_top(index) - size_of::<SpareStack>() as u64);
    page == &raw const KERNEL as u64 || spare.into_iter().any(|guard| guard == page)
}
