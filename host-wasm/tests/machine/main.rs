//! The machine with guests that behave as no program should: the rules of nested
//! hand-off, preemption, limits, hostile pointers, durability.

mod attacks;
mod durability;
mod errors;
mod hand_over;
mod hostile;
mod limits;
mod stage;
#[path = "../../../kernel/src/tests/table.rs"]
#[allow(dead_code)] // Part of it is the kernel's tests' alone.
mod table;
