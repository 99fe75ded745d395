//! The machine with guests that behave as no program should: the rules of nested
//! hand-off, preemption, limits, hostile pointers, durability.

mod attacks;
mod durability;
mod hand_over;
mod hostile;
mod limits;
mod stage;
