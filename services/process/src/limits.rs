//! What a process may use: defaults, bounds, and when it is warned.

use libprocess::FOREVER;
use libprocess::abi::PAGE_SIZE;
use libprocess::abi::info::Limits as KernelLimits;

/// Memory of a process whose starter does not say: 16 MiB.
pub const DEFAULT_MEMORY: u64 = 16 << 20;
/// Kernel memory of a process whose starter does not say: 512 KiB. The thread takes some
/// 130 KiB of it, for the payload of its messages, a table of 1,024 capabilities 96 KiB.
pub const DEFAULT_KERNEL_MEMORY: u64 = 512 << 10;
/// Capabilities of a process whose starter does not say.
pub const DEFAULT_CAPABILITIES: u32 = 1024;
/// Queued messages of a process whose starter does not say.
pub const DEFAULT_QUEUED_MESSAGES: u32 = 256;
/// The most that can be asked for.
pub const MAX_CAPABILITIES: u32 = 65_536;
/// The most that can be asked for.
pub const MAX_QUEUED_MESSAGES: u32 = 65_536;
/// The part of a limit at which a process is warned, in percent.
pub const WARN_AT: u64 = 80;

/// What a process may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Pages of memory.
    pub pages: u64,
    /// Bytes of kernel memory.
    pub kernel_memory: u64,
    /// Processor time in ns; `None` for no limit.
    pub processor_time: Option<u64>,
    /// Capabilities in its table.
    pub capabilities: u32,
    /// Messages sent and not yet received.
    pub queued_messages: u32,
}

impl Limits {
    /// Those asked for (bytes, bytes, ns, numbers), with 0 for the default.
    ///
    /// # Errors
    /// The name of the one that nobody may have so high.
    pub fn of(
        memory: u64,
        kernel_memory: u64,
        processor_time: u64,
        capabilities: u32,
        queued_messages: u32,
    ) -> Result<Limits, &'static str> {
        let or = |asked: u64, default: u64| if asked == 0 { default } else { asked };
        let limits = Limits {
            pages: or(memory, DEFAULT_MEMORY).div_ceil(PAGE_SIZE as u64),
            kernel_memory: or(kernel_memory, DEFAULT_KERNEL_MEMORY),
            processor_time: (processor_time != 0 && processor_time != FOREVER).then_some(processor_time),
            capabilities: if capabilities == 0 { DEFAULT_CAPABILITIES } else { capabilities },
            queued_messages: if queued_messages == 0 { DEFAULT_QUEUED_MESSAGES } else { queued_messages },
        };
        if limits.capabilities > MAX_CAPABILITIES {
            return Err("capabilities");
        }
        if limits.queued_messages > MAX_QUEUED_MESSAGES {
            return Err("queued messages");
        }
        Ok(limits)
    }

    /// Its memory in bytes.
    pub const fn memory(&self) -> u64 {
        self.pages.saturating_mul(PAGE_SIZE as u64)
    }

    /// What the kernel is told: processor time up to the warning, or up to the limit.
    pub fn kernel(&self, warned: Warned) -> KernelLimits {
        let processor_time = match (self.processor_time, warned) {
            (None, _) => FOREVER,
            (Some(limit), Warned::Yes) => limit,
            (Some(limit), Warned::No) => warning(limit),
        };
        KernelLimits { capabilities: self.capabilities, queued_messages: self.queued_messages, processor_time }
    }
}

/// Whether a process was warned of a limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Warned {
    /// Not yet.
    #[default]
    No,
    /// It was.
    Yes,
}

/// Where a process is warned of a limit: at 80 % of it.
pub const fn warning(limit: u64) -> u64 {
    // In this order it does not overflow; below 100 it loses nothing that matters.
    limit / 100 * WARN_AT + limit % 100 * WARN_AT / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_the_default() {
        let limits = Limits::of(0, 0, 0, 0, 0).unwrap();
        assert_eq!(limits.memory(), DEFAULT_MEMORY);
        assert_eq!(limits.kernel_memory, DEFAULT_KERNEL_MEMORY);
        assert_eq!(limits.processor_time, None);
        assert_eq!(limits.kernel(Warned::No).processor_time, FOREVER);
        assert_eq!((limits.capabilities, limits.queued_messages), (1024, 256));
    }

    #[test]
    fn memory_is_rounded_up_to_pages() {
        assert_eq!(Limits::of(1, 1, 0, 1, 1).unwrap().pages, 1);
        assert_eq!(Limits::of(4097, 1, 0, 1, 1).unwrap().pages, 2);
        let most = Limits::of(u64::MAX, 1, 0, 1, 1).unwrap();
        assert_eq!(most.pages, 1 << 52);
        assert_eq!(most.memory(), u64::MAX, "it does not wrap to nothing");
    }

    #[test]
    fn the_kernel_interrupts_first_at_four_fifths_then_at_the_limit() {
        let limits = Limits::of(0, 0, 1_000, 0, 0).unwrap();
        assert_eq!(limits.kernel(Warned::No).processor_time, 800);
        assert_eq!(limits.kernel(Warned::Yes).processor_time, 1_000);
        assert_eq!(warning(u64::MAX - 1) / 4, (u64::MAX - 1) / 5);
    }

    #[test]
    fn what_nobody_may_have_is_named() {
        assert_eq!(Limits::of(0, 0, 0, MAX_CAPABILITIES + 1, 0), Err("capabilities"));
        assert_eq!(Limits::of(0, 0, 0, 0, MAX_QUEUED_MESSAGES + 1), Err("queued messages"));
    }
}
