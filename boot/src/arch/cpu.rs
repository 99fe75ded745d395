//! Switches on what protects: no-execute, SMEP, SMAP, UMIP, write protection; and sets up segments,
//! interrupt table and system-call entry.

use super::entry::{self, Gates};
use super::stack;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::{LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

/// Selectors, in the order that `syscall` and `sysret` ask for.
pub const KERNEL_CODE: u16 = 0x08;
/// See [`KERNEL_CODE`].
pub const KERNEL_DATA: u16 = 0x10;
/// See [`KERNEL_CODE`].
pub const USER_DATA: u16 = 0x18 | 3;
/// See [`KERNEL_CODE`].
pub const USER_CODE: u16 = 0x20 | 3;

static mut GDT: GlobalDescriptorTable = GlobalDescriptorTable::new();
static mut TSS: TaskStateSegment = TaskStateSegment::new();
static mut IDT: InterruptDescriptorTable = InterruptDescriptorTable::new();

/// What the processor has of what protects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// Kernel does not execute a process's pages.
    pub smep: bool,
    /// Kernel does not touch a process's pages.
    pub smap: bool,
    /// A process does not read descriptor table addresses.
    pub umip: bool,
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("protection by no-execute")?;
        for (has, name) in [(self.smep, ", SMEP"), (self.smap, ", SMAP"), (self.umip, ", UMIP")] {
            f.write_str(if has { name } else { "" })?;
        }
        Ok(())
    }
}

/// Sets the processor up. `counter` lets ring 3 read the processor's counter, which else is a clock that
/// nobody was granted.
pub fn start(counter: bool) -> Features {
    let leaf7 = if __cpuid(0).eax >= 7 { Some(__cpuid_count(7, 0)) } else { None };
    let features = Features {
        smep: leaf7.is_some_and(|leaf| leaf.ebx >> 7 & 1 == 1),
        smap: leaf7.is_some_and(|leaf| leaf.ebx >> 20 & 1 == 1),
        umip: leaf7.is_some_and(|leaf| leaf.ecx >> 2 & 1 == 1),
    };
    // SAFETY: one processor, before anything else runs, writes its own tables once; the entries that they
    // lead to are those of `entry`, and the stacks are the kernel's.
    unsafe {
        let tss = &mut *(&raw mut TSS);
        tss.privilege_stack_table[0] = VirtAddr::new(stack::kernel_top());
        for index in 0..4 {
            tss.interrupt_stack_table[index] = VirtAddr::new(stack::spare_top(index));
        }
        // No port is open to ring 3.
        tss.iomap_base = size_of::<TaskStateSegment>() as u16;
        let gdt = &mut *(&raw mut GDT);
        gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        gdt.append(Descriptor::user_data_segment());
        gdt.append(Descriptor::user_code_segment());
        let selector = gdt.append(Descriptor::tss_segment(&*(&raw const TSS)));
        (&*(&raw const GDT)).load();
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(KERNEL_DATA));
        for none in [DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
            none(SegmentSelector(0));
        }
        load_tss(selector);
        let idt = &mut *(&raw mut IDT);
        entry::install(Gates { idt });
        (&*(&raw const IDT)).load();

        Cr0::update(|flags| {
            *flags |= Cr0Flags::WRITE_PROTECT | Cr0Flags::NUMERIC_ERROR | Cr0Flags::MONITOR_COPROCESSOR;
            // The first floating-point instruction of a thread is told: see `machine::float`.
            *flags |= Cr0Flags::TASK_SWITCHED;
            flags.remove(Cr0Flags::EMULATE_COPROCESSOR);
        });
        Cr4::update(|flags| {
            *flags |= Cr4Flags::PAGE_GLOBAL | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
            flags.remove(Cr4Flags::FSGSBASE);
            flags.set(Cr4Flags::TIMESTAMP_DISABLE, !counter);
            flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.smep);
            flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.smap);
            flags.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
        });
        Efer::update(|flags| *flags |= EferFlags::SYSTEM_CALL_EXTENSIONS | EferFlags::NO_EXECUTE_ENABLE);
        // The selectors are in the order that it asks for, so it is never refused.
        let _ = Star::write(
            SegmentSelector(USER_CODE),
            SegmentSelector(USER_DATA),
            SegmentSelector(KERNEL_CODE),
            SegmentSelector(KERNEL_DATA),
        );
        LStar::write(VirtAddr::new(entry::syscall as *const () as u64));
        SFMask::write(
            RFlags::INTERRUPT_FLAG
                | RFlags::DIRECTION_FLAG
                | RFlags::TRAP_FLAG
                | RFlags::ALIGNMENT_CHECK
                | RFlags::NESTED_TASK,
        );
        // The old interrupt controllers stay silent.
        for port in [0x21, 0xa1] {
            x86_64::instructions::port::Port::<u8>::new(port).write(0xff);
        }
    }
    features
}
