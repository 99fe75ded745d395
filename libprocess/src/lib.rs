//! What a process of Orbital is written against: system calls, typed capabilities, clients, the service loop
#![no_std]
#![forbid(unsafe_code)]
