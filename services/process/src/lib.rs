//! Process lifecycle: spawn, wait, kill, limits
#![no_std]
#![forbid(unsafe_code)]
