//! The system calls as ring 3 makes them: what one side writes, the other reads, and nothing that a hostile
//! side writes can be more than refused.

use abi::device::{Completion, CompletionStatus};
use abi::message::{MAX_BYTES, MAX_TRANSFERS, WORDS};
use abi::native::{Block, Entry, Exit, OUT, out};
use abi::{
    CapabilityInfo, Delivery, DeliveryKind, Error, ExitReason, Handle, Kind, Name, ProcessInfo, ProcessState,
    QuotaInfo, ReplyToken, Rights,
};
use core::mem::{align_of, offset_of, size_of};
use proptest::prelude::*;

/// Another order of these is another interface: programs that were built before no longer run.
#[test]
fn the_block_lies_as_it_always_did() {
    assert_eq!(align_of::<Block>(), 8);
    let offsets = [
        offset_of!(Block, bytes),
        offset_of!(Block, length),
        offset_of!(Block, transfers),
        offset_of!(Block, buffer),
        offset_of!(Block, capacity),
        offset_of!(Block, more),
        offset_of!(Block, transfer),
        offset_of!(Block, handles),
        offset_of!(Block, out),
        size_of::<Block>(),
    ];
    assert_eq!(offsets, [0, 8, 16, 24, 32, 40, 104, 360, 424, 552]);
}

#[test]
fn the_parts_of_the_address_space_do_not_touch() {
    use abi::native::{HEAP, HEAP_END, IMAGE_END, IMAGE_FROM, REGIONS_END, REGIONS_FROM, STACK_BYTES, STACK_TOP};
    let page = abi::PAGE_SIZE as u64;
    let parts =
        [(IMAGE_FROM, IMAGE_END), (HEAP, HEAP_END), (STACK_TOP - STACK_BYTES, STACK_TOP), (REGIONS_FROM, REGIONS_END)];
    for (from, end) in parts {
        assert!(from < end && from % page == 0 && end % page == 0, "{from:x}");
        assert!(from >= page, "address 0 is never mapped");
        assert!(end < 1 << 47, "the last page of the lower half is never mapped");
    }
    for pair in parts.windows(2) {
        assert!(pair[0].1 + page <= pair[1].0, "a page between {:x} and {:x}", pair[0].1, pair[1].0);
    }
}

#[test]
fn an_error_comes_back_as_itself_and_nothing_else_does() {
    for error in Error::ALL {
        let exit = Exit::failed(error);
        assert_eq!(exit.error(), Some(error));
        assert_eq!(exit.delivery(1, 2, 3), None);
    }
    assert_eq!(Exit::DONE.error(), None);
    assert_eq!(Exit::DONE.delivery(1, 2, 3), None);
    assert_eq!(Exit::bytes(u32::MAX).error(), None);
    assert_eq!(Exit::bytes(MAX_BYTES as u32).length(), MAX_BYTES as u32);
    assert_eq!(Exit::bytes(u32::MAX).delivery(1, 2, 3), None);
}

fn kind_of_delivery() -> impl Strategy<Value = DeliveryKind> {
    prop::sample::select(vec![
        DeliveryKind::Sent,
        DeliveryKind::Called,
        DeliveryKind::Answer,
        DeliveryKind::Notified,
        DeliveryKind::Fault,
        DeliveryKind::Exit,
    ])
}

fn name() -> impl Strategy<Value = Name> {
    any::<[u8; Name::CAPACITY]>().prop_map(Name)
}

prop_compose! {
    fn capability()(
        (capability, holder, handle, object) in any::<(u32, u64, u64, u32)>(),
        kind in (0u8..=255).prop_filter_map("a kind", Kind::from_number),
        (rights, badge, expiry, parent) in any::<(u16, u64, u64, Option<u32>)>(),
        name in name(),
    ) -> CapabilityInfo {
        let (handle, rights) = (Handle(handle), Rights(rights));
        CapabilityInfo { capability, holder, handle, kind, object, rights, badge, expiry, parent, name }
    }
}

prop_compose! {
    fn process()(
        (serial, code, processor_time, calls, pages) in any::<(u64, u64, u64, u64, u64)>(),
        state in prop::sample::select(vec![
            ProcessState::Created, ProcessState::Running, ProcessState::Suspended, ProcessState::Exited,
        ]),
        reason in (0u8..=255).prop_filter_map("a reason", ExitReason::from_number),
        (capabilities, threads) in any::<(u32, u32)>(),
        name in name(),
    ) -> ProcessInfo {
        ProcessInfo { serial, name, state, reason, code, processor_time, calls, pages, capabilities, threads }
    }
}

proptest! {
    #[test]
    fn an_entry_says_what_it_was_made_of(
        number: u8,
        words in 0..=WORDS,
        payload: bool,
        block in 0u64..1 << 47,
    ) {
        let entry = Entry::new(number, words, payload, block);
        prop_assert_eq!(entry.number(), number);
        prop_assert_eq!(entry.words(), words);
        prop_assert_eq!(entry.has_payload(), payload);
        prop_assert_eq!(entry.block(), block);
    }

    #[test]
    fn any_rax_is_an_entry(rax: u64) {
        let entry = Entry(rax);
        prop_assert!(entry.words() <= 15 && entry.block() < 1 << 48);
        // What the kernel reads of it is all that there is, but for three bits that mean nothing.
        let again = Entry::new(entry.number(), entry.words(), entry.has_payload(), entry.block());
        prop_assert_eq!(again.0, rax & !(7 << 13));
    }

    #[test]
    fn a_delivery_comes_as_it_went(
        kind in kind_of_delivery(),
        capabilities in 0..=MAX_TRANSFERS as u8,
        length in 0..=MAX_BYTES as u32,
        (badge, tag, reply) in any::<(u64, u64, u64)>(),
        words in 0..=WORDS,
    ) {
        let delivery = Delivery { kind, capabilities, length, badge, tag, reply: ReplyToken(reply) };
        let exit = Exit::delivered(&delivery, words);
        prop_assert_eq!(exit.error(), None);
        prop_assert_eq!(exit.words(), words);
        prop_assert_eq!(exit.length(), length);
        prop_assert_eq!(exit.delivery(reply, tag, badge), Some(delivery));
    }

    #[test]
    fn any_rax_is_an_exit(rax: u64, (reply, tag, badge) in any::<(u64, u64, u64)>()) {
        let exit = Exit(rax);
        prop_assert!(exit.words() <= 15);
        if let Some(delivery) = exit.delivery(reply, tag, badge) {
            prop_assert!(rax & Exit::DELIVERY != 0 && delivery.capabilities <= 15);
            prop_assert_eq!((delivery.reply.0, delivery.tag, delivery.badge), (reply, tag, badge));
        }
    }

    #[test]
    fn a_name_comes_as_it_went(name in name()) {
        prop_assert_eq!(out::name(out::of_name(name)), name);
    }

    #[test]
    fn what_is_inspected_comes_as_it_was(
        capability in capability(),
        process in process(),
        (memory, memory_used, pages, pages_used) in any::<(u64, u64, u64, u64)>(),
        (request, length) in any::<(u64, u32)>(),
        status in (0u8..=255).prop_filter_map("a status", CompletionStatus::from_number),
    ) {
        prop_assert_eq!(out::capability(&out::of_capability(&capability)), Some(capability));
        prop_assert_eq!(out::process(&out::of_process(&process)), Some(process));
        let quota = QuotaInfo { memory, memory_used, pages, pages_used };
        prop_assert_eq!(out::quota(&out::of_quota(&quota)), quota);
        let completion = Completion { request, status, length };
        prop_assert_eq!(out::completion(&out::of_completion(&completion)), Some(completion));
    }

    /// Garbage is nothing, or something that the kernel could have written.
    #[test]
    fn garbage_is_no_answer(mut words: [u64; OUT], small in any::<[u8; OUT]>(), which: u16) {
        for (index, (word, small)) in words.iter_mut().zip(small).enumerate() {
            // Numbers that stand for something are small, or never met by chance.
            if which & 1 << index != 0 {
                *word = u64::from(small % 12);
            }
        }
        if let Some(info) = out::capability(&words) {
            prop_assert_eq!(out::capability(&out::of_capability(&info)), Some(info));
        }
        if let Some(info) = out::process(&words) {
            prop_assert_eq!(out::process(&out::of_process(&info)), Some(info));
        }
        if let Some(info) = out::completion(&words) {
            prop_assert_eq!(out::completion(&out::of_completion(&info)), Some(info));
        }
        let quota = out::quota(&words);
        prop_assert_eq!(out::quota(&out::of_quota(&quota)), quota);
    }
}
