//! A whole Orbital on one thread, deterministic by seed: the simulated backend of libprocess
