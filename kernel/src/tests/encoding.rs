//! Commits are read back as they were written; other bytes are refused, never misread.

use crate::commit::{Activity, Arrival, Authority, Commit, Form, MAX_ENCODED, Place};
use crate::encoding::{COMPACT, Decode, Encode};
use crate::ids::*;
use abi::info::Limits;
use abi::{Name, Rights};
use proptest::prelude::*;

fn wide(commit: &Commit) -> heapless::Vec<u8, MAX_ENCODED> {
    let mut bytes = heapless::Vec::new();
    commit.encode_wide(&mut bytes);
    bytes
}

#[test]
fn the_longest_commits_fit() {
    let place =
        Some(Place { capability: CapabilityId(u32::MAX - 1), process: ProcessId(u32::MAX - 1), slot: u32::MAX });
    let (far, name) = (u32::MAX - 1, Name([b'x'; 24]));
    let image = Authority::ImageCreated {
        image: ImageId(far),
        quota: QuotaId(far),
        creator: ThreadId(far),
        hash: [255; 32],
        length: u64::MAX,
        name,
        place,
    };
    let process = Authority::ProcessCreated {
        process: ProcessId(far),
        quota: QuotaId(far),
        image: ImageId(far),
        source: CapabilityId(far),
        supervisor: CapabilityId(far),
        name,
        limits: Limits { capabilities: u32::MAX, queued_messages: u32::MAX, processor_time: u64::MAX },
        place,
    };
    for change in [image, process] {
        let commit = Commit { elapsed: u64::MAX, change: change.into() };
        let bytes = wide(&commit);
        assert!(bytes.len() < MAX_ENCODED, "{} bytes would be cut off", bytes.len());
        assert_eq!(Commit::decode_wide(commit.kind(), &bytes), Some(commit));
        assert_eq!(commit.encode_compact(), None);
    }
}

#[test]
fn small_commits_are_compact_and_leave_the_high_half_of_the_second_word_alone() {
    let commits = [
        Activity::HandedOver { caller: ThreadId(0xFFF_FFFF), server: ThreadId(5) }.into(),
        Activity::Answered { server: ThreadId(5), caller: ThreadId(0xFFF_FFFF), via: CapabilityId(u32::MAX - 1) }
            .into(),
        Commit {
            elapsed: 1_000_000,
            change: Activity::Signalled { notification: NotificationId(3), bits: 1 << 20 }.into(),
        },
        Authority::Deleted { capability: CapabilityId(9) }.into(),
        Commit {
            elapsed: 1_000_000,
            change: Activity::Waiting { thread: ThreadId(3), via: CapabilityId(200), deadline: u64::MAX }.into(),
        },
        Commit {
            elapsed: 40_000,
            change: Authority::Mapped {
                mapping: MappingId(4095),
                capability: CapabilityId(30_000),
                page: (1 << 35) - 1,
                rights: Rights::READ.or(Rights::EXECUTE),
            }
            .into(),
        },
    ];
    for commit in commits {
        let words: [u64; 2] = commit.encode_compact().expect("it is small");
        assert_eq!((words[0] as u8, words[1] >> 32), (commit.kind(), 0));
        assert_eq!(Commit::decode_compact(words), Some(commit));
        assert_eq!(Commit::decode_compact([words[0], words[1] | 7 << 32]), Some(commit));
    }
}

#[test]
fn integers_have_one_form() {
    let forms: [(&[u8], _); 7] = [
        (&[0], Some(0)),
        (&[0x81, 0], None),
        (&[0x80, 0x80, 0], None),
        (&[0x80, 1], Some(128)),
        (&[0x80, 0], Some(u64::MAX)),
        (&[0xFF], None),
        (&[], None),
    ];
    for (bytes, value) in forms {
        assert_eq!(u64::get(&mut &bytes[..]), value, "{bytes:?}");
    }
    assert_eq!(u64::get(&mut &[0xFF; 9][..]), None);
    let mut largest = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    assert_eq!(u64::get(&mut &largest[..]), None, "for ever has a form of its own");
    largest[0] = 0xFE;
    assert_eq!(u64::get(&mut &largest[..]), Some(u64::MAX - 1));
    assert_eq!(u32::get(&mut &[0x80, 0][..]), None);
    let mut none = heapless::Vec::<u8, 8>::new();
    ThreadId::NONE.put(&mut none);
    assert_eq!(none, [0]);
}

/// A number that mostly has at most so many bits, and else a few more.
fn about(bits: u32) -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..1u64 << bits, 1 => (1u64 << bits) - 1..=1 << bits, 1 => 0..1u64 << (bits + 3)]
}

/// Given a commit that has a fixed form for numbers of so many bits: it is given where they fit, and only there, and
/// read back; where they do not fit, there is no other compact form.
fn has_its_fixed_form(commit: Commit, fits: bool) -> Result<(), TestCaseError> {
    let form = commit.encode();
    prop_assert_eq!(matches!(form, Form::Compact(_)), fits);
    match form {
        Form::Compact(words) => {
            prop_assert_eq!((words[0] as u8, words[1] >> 32), (commit.kind(), 0));
            prop_assert_eq!(Commit::decode_compact(words), Some(commit));
        }
        Form::Short(bytes, length) => {
            prop_assert_eq!(&bytes[4..4 + length], &wide(&commit)[..]);
            prop_assert_eq!(Commit::decode_wide(commit.kind(), &bytes[4..4 + length]), Some(commit));
        }
        Form::Long => prop_assert_eq!(Commit::decode_wide(commit.kind(), &wide(&commit)), Some(commit)),
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_derived_capability_has_its_fixed_form_where_all_fits(
        elapsed in about(16), source in about(15), capability in about(16), process in about(10), slot in about(16),
        rights in about(15), badge in prop_oneof![9 => Just(0), 1 => any::<u64>()],
        expiry in prop_oneof![9 => Just(u64::MAX), 1 => any::<u64>()], arrives in prop::bool::weighted(0.1),
    ) {
        let fits = (elapsed | capability | slot) >> 16 == 0 && (source | rights) >> 15 == 0 && process >> 10 == 0;
        let [source, capability, process, slot] = [source, capability, process, slot].map(|number| number as u32);
        let change = Authority::Derived {
            source: CapabilityId(source),
            place: Place { capability: CapabilityId(capability), process: ProcessId(process), slot },
            rights: Rights(rights as u16),
            badge,
            expiry,
            arrival: arrives.then_some(Arrival { thread: ThreadId(1), position: 2 }),
        };
        // What does not fit into the field of rights is no rights.
        prop_assume!(rights >> 16 == 0);
        let fits = fits && badge == 0 && expiry == u64::MAX && !arrives;
        has_its_fixed_form(Commit { elapsed, change: change.into() }, fits)?;
    }

    #[test]
    fn a_mapping_has_its_fixed_form_where_all_fits(
        elapsed in about(16), mapping in about(12), capability in about(15), page in about(35), rights in about(10),
    ) {
        let fits = elapsed >> 16 == 0 && mapping >> 12 == 0 && capability >> 15 == 0 && page >> 35 == 0;
        prop_assume!(rights >> 16 == 0);
        let change = Authority::Mapped {
            mapping: MappingId(mapping as u32),
            capability: CapabilityId(capability as u32),
            page,
            rights: Rights(rights as u16),
        };
        has_its_fixed_form(Commit { elapsed, change: change.into() }, fits && rights >> 10 == 0)?;
    }

    /// The form that is put together in a register is the one that is put together in memory.
    #[test]
    fn the_compact_form_has_the_bytes_of_the_wide_one(
        elapsed in prop_oneof![0..0x100u64, 0..0x8000u64, 0..0x40_0000u64, any::<u64>()],
        thread in prop_oneof![0..200u32, any::<u32>()],
        via in prop_oneof![0..200u32, any::<u32>()],
        deadline in prop_oneof![Just(u64::MAX), 0..300u64, (any::<u64>(), 0..64u32).prop_map(|(x, by)| x >> by)],
    ) {
        let change = Activity::Waiting { thread: ThreadId(thread), via: CapabilityId(via), deadline }.into();
        let commit = Commit { elapsed, change };
        let bytes = wide(&commit);
        let compact = commit.encode_compact();
        prop_assert_eq!(compact.is_some(), bytes.len() <= COMPACT);
        if let Form::Short(short, length) = commit.encode() {
            prop_assert_eq!(&short[4..4 + length], &bytes[..]);
        }
        if let Some([first, second]) = compact {
            let mut content = [0; COMPACT];
            content[..bytes.len()].copy_from_slice(&bytes);
            let (head, tail) = content.split_at(7);
            prop_assert_eq!(&first.to_le_bytes()[1..], head);
            prop_assert_eq!((&second.to_le_bytes()[..4], second >> 32), (tail, 0));
        }
    }

    #[test]
    fn what_is_read_is_written_back_the_same(kind: u8, bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(commit) = Commit::decode_wide(kind, &bytes) {
            prop_assert_eq!(&wide(&commit)[..], &bytes[..]);
            prop_assert_eq!(commit.kind(), kind);
        }
    }

    #[test]
    fn what_is_read_from_the_compact_form_is_written_back_the_same(first: u64, second: u32) {
        let words = [first, u64::from(second)];
        if let Some(commit) = Commit::decode_compact(words) {
            prop_assert_eq!(commit.encode_compact(), Some(words));
        }
    }
}
