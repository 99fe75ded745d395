//! The PVH entry (`qemu -kernel`): protected mode, no paging. A stub maps the first 4 GiB at 0, at the
//! physical map and at the kernel's place, goes to long mode, and calls [`enter`]. The layout of what
//! is handed over: Xen's `start_info`, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h.

use crate::handoff::{Handoff, Piece};
use crate::memory::PHYSICAL_MAP;

core::arch::global_asm!(
    r#"
.section .note.pvh, "a", @note
.align 4
.long 4
.long 8
.long 18
.asciz "Xen"
.quad pvh_start - {base}

.section .boot, "ax", @progbits
.code32
.global pvh_start
pvh_start:
    cli
    cld
    movl %ebx, %esi
    # 4 GiB in pages of 2 MiB, present and writable
    movl $(boot_pd - {base}), %edi
    movl $0x83, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    movl $(boot_pdpt - {base}), %edi
    movl $(boot_pd - {base} + 3), %eax
    movl %eax, (%edi)
    addl $0x1000, %eax
    movl %eax, 8(%edi)
    addl $0x1000, %eax
    movl %eax, 16(%edi)
    addl $0x1000, %eax
    movl %eax, 24(%edi)
    # the kernel's place: the last but one GiB
    movl $(boot_pdpt_high - {base}), %edi
    movl $(boot_pd - {base} + 3), %eax
    movl %eax, 4080(%edi)
    movl $(boot_pml4 - {base}), %edi
    movl $(boot_pdpt - {base} + 3), %eax
    movl %eax, (%edi)
    movl %eax, 2048(%edi)
    movl $(boot_pdpt_high - {base} + 3), %eax
    movl %eax, 4088(%edi)
    movl %edi, %cr3
    # CR4: PAE
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    # EFER: long mode, no-execute
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    # CR0: paging, write protection, protected mode
    movl $0x80010033, %eax
    movl %eax, %cr0
    lgdt (boot_gdtr - {base})
    ljmpl $8, $(boot64 - {base})
.code64
boot64:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movq ${stack}, %rsp
    addq ${stack_bytes}, %rsp
    xorl %ebp, %ebp
    movl %esi, %edi
    movq ${enter}, %rax
    callq *%rax
    ud2
.align 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
boot_gdtr:
    .word 15
    .long boot_gdt - {base}

.section .bss.boot, "aw", @nobits
.align 4096
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pdpt_high: .skip 4096
boot_pd: .skip 16384
.text
"#,
    base = const crate::memory::KERNEL_BASE,
    stack = sym crate::arch::stack::KERNEL,
    stack_bytes = const core::mem::size_of::<crate::arch::stack::KernelStack>(),
    enter = sym enter,
    options(att_syntax)
);

/// What the hypervisor hands over.
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct Module {
    address: u64,
    length: u64,
}

#[repr(C)]
struct MapEntry {
    address: u64,
    length: u64,
    kind: u32,
    reserved: u32,
}

const MAGIC: u32 = 0x336e_c578;
const RAM: u32 = 1;

/// The first Rust code. `info` is the physical address of [`StartInfo`].
unsafe extern "C" fn enter(info: u64) -> ! {
    let at = |physical: u64| PHYSICAL_MAP + physical;
    // SAFETY: PVH says that this is the address of a `start_info`; the first 4 GiB are mapped there, and
    // nothing else runs.
    let info = unsafe { &*(at(info) as *const StartInfo) };
    let mut handoff = Handoff::new("PVH");
    if info.magic == MAGIC {
        if info.rsdp != 0 {
            handoff.rsdp = Some(info.rsdp);
        }
        if info.modules > 0 && info.module_list != 0 {
            // SAFETY: as above; the list has that many entries.
            let module = unsafe { &*(at(info.module_list) as *const Module) };
            handoff.ramdisk = Some(Piece { start: module.address, end: module.address + module.length });
        }
        for index in 0..u64::from(info.memory_map_entries) {
            // SAFETY: as above.
            let entry = unsafe { &*((at(info.memory_map) + index * size_of::<MapEntry>() as u64) as *const MapEntry) };
            let piece = Piece { start: entry.address, end: entry.address.saturating_add(entry.length) };
            if entry.kind == RAM {
                handoff.add_memory(piece);
            }
        }
        // The kernel itself, and everything below it: the boot tables, the firmware's.
        handoff.reserve(Piece { start: 0, end: crate::memory::kernel_end_physical() });
        if let Some(ramdisk) = handoff.ramdisk {
            handoff.reserve(ramdisk);
        }
        // What the hypervisor wrote lies at the low end as well, and is not looked at again.
    }
    crate::start(handoff)
}
