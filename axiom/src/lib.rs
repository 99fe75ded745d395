//! The only door to the kernel: sender, SysLog, CommitLog, checkpoints, proofs, replay
#![no_std]
#![forbid(unsafe_code)]
