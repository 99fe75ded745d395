//! A state without its history: what only counts up is counted from the beginning again, times are told from now.
//! Two states that differ in nothing else do the same from then on, so one of them stands for both.

use crate::Kernel;
use crate::ids::*;
use crate::thread::State;
use crate::timer::Timer;
use abi::{FOREVER, Handle, ReplyToken, TransferMode};
use alloc::vec::Vec;

/// What stands for a handle or reply that is still good; one that is not has one less.
const GOOD: u32 = 2;
/// Of a process that is gone.
const NOBODY: u64 = 1 << 40;
/// Processes ever made: above every serial below.
const SERIALS: u64 = 1 << 20;

/// Forgets the history of a state. It stays a sound one.
pub fn forget(kernel: &mut Kernel) {
    let clock = core::mem::take(&mut kernel.activity.clock);
    let later = |time: u64| if time == FOREVER { FOREVER } else { time.saturating_sub(clock) };
    offers(kernel);
    for table in &mut kernel.authority.tables {
        table.slots.iter_mut().for_each(|cell| cell.generation = GOOD);
    }
    let numbers: Vec<u32> = kernel.authority.capabilities.iter().map(|(id, _)| id).collect();
    for id in numbers {
        if let Some(record) = kernel.authority.capabilities.get_mut(id) {
            record.expiry = later(record.expiry);
        }
    }
    serials(kernel);
    for (thread, detail) in kernel.activity.threads.iter_mut().zip(&mut kernel.activity.details) {
        thread.call = if thread.call == 0 { 0 } else { GOOD };
        detail.time = 0;
        (detail.arrived, detail.arrived_count) = (Default::default(), 0);
        for timer in &mut detail.timers {
            timer.deadline = if timer.place == Timer::IDLE { 0 } else { later(timer.deadline) };
        }
        // What only a thread that waits needs.
        if matches!(thread.state, State::Ready | State::Running | State::Suspended | State::Depleted) {
            (thread.via, thread.on, thread.holder) = (CapabilityId::NONE, u32::MAX, ProcessId::NONE);
        }
        if !matches!(thread.state, State::Sending | State::Calling) {
            (detail.badge, detail.tag, detail.length, detail.capabilities) = (0, 0, 0, 0);
            detail.offers = Default::default();
        }
    }
    for process in &mut kernel.activity.processes {
        process.time = 0;
        // It may write many lines before that makes a difference.
        process.debug_next = 0;
    }
}

/// Handles and replies that lie in messages.
fn offers(kernel: &mut Kernel) {
    let calls: Vec<u32> = kernel.activity.threads.iter().map(|thread| thread.call).collect();
    for (thread, detail) in kernel.activity.threads.iter().zip(&mut kernel.activity.details) {
        let table = kernel.authority.tables.get(thread.process.index());
        let plain = |handle: Handle| {
            let cell = table.and_then(|table| table.slots.get(handle.slot() as usize));
            let good = cell.is_some_and(|cell| cell.generation == handle.generation());
            Handle::new(handle.slot(), GOOD - u32::from(!good))
        };
        for offer in detail.offers.iter_mut().flatten() {
            offer.handle = match offer.mode {
                TransferMode::Reply => {
                    let token = ReplyToken(offer.handle.0);
                    let good = calls.get(token.thread() as usize) == Some(&token.call());
                    Handle(ReplyToken::new(token.thread(), GOOD - u32::from(!good)).0)
                }
                _ => plain(offer.handle),
            };
        }
        if let Some(checking) = &mut detail.checking {
            checking.quota = plain(checking.quota);
        }
    }
}

/// A process is known by its number among those that are there.
fn serials(kernel: &mut Kernel) {
    let serial_of = |kernel: &Kernel, id: u32| kernel.authority.processes.get(id).map(|process| process.serial);
    let messages: Vec<u32> = kernel.activity.messages.iter().map(|(id, _)| id).collect();
    for id in messages {
        let sender = kernel.activity.messages.get(id).map_or(ProcessId::NONE, |message| message.sender);
        let serial = serial_of(kernel, sender.0);
        if let Some(message) = kernel.activity.messages.get_mut(id) {
            message.serial = if serial == Some(message.serial) { u64::from(sender.0) + 1 } else { NOBODY };
        }
    }
    let numbers: Vec<u32> = kernel.authority.processes.iter().map(|(id, _)| id).collect();
    for id in numbers {
        let serial = u64::from(id) + 1;
        if let Some(process) = kernel.authority.processes.get_mut(id) {
            process.serial = serial;
        }
        if let Some(process) = kernel.activity.processes.get_mut(id as usize) {
            process.serial = serial;
        }
    }
    kernel.authority.serial = SERIALS;
}
