//! What the benchmarks stand beside: floors and peers, measured in the same run.

pub mod fibers;
pub mod socket_pair;
pub mod spawn;
