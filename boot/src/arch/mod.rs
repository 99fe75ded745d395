//! What is particular to the processor.

pub mod clock;
pub mod cpu;
pub mod entry;
pub mod lapic;
pub mod pvh;
pub mod serial;
pub mod stack;
