//! Objects: each method in its success and in each of its errors.

mod common;

use common::{APPS, Error, System, USER, grant};
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::objects::{CheckStep, PutStep, Step};
use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::data::MAX_PART;
use storage::record::DEFAULT_QUOTA;
use storage::upload::{IDLE, MAX_UPLOADS};
use storage_engine::DeviceError;

fn put(system: &System, key: &str, bytes: &[u8]) -> Result<u64, Error> {
    system.run(system.data.put(grant(USER), key, bytes, None))
}

fn get(system: &System, key: &str) -> Result<Vec<u8>, Error> {
    let mut whole = Vec::new();
    let mut version = None;
    loop {
        let part = system.run(system.data.get(grant(USER), key, whole.len() as u64, MAX_PART as u32, version))?;
        version = Some(part.stat.version);
        whole.extend(part.bytes);
        if whole.len() as u64 == part.stat.size {
            return Ok(whole);
        }
    }
}

fn keys(system: &System, prefix: &str) -> Vec<String> {
    let page = system.run(system.data.list(grant(USER), prefix, 1000, None)).unwrap();
    assert!(page.complete && page.next.is_none());
    page.entries.into_iter().map(|entry| entry.key).collect()
}

fn upload(system: &System, key: &str, bytes: &[u8], piece: usize, if_version: Option<u64>) -> Result<u64, Error> {
    let number = system.run(system.data.begin_object(grant(USER), key, bytes.len() as u64))?;
    for piece in bytes.chunks(piece) {
        system.run(system.data.add(grant(USER), number, piece))?;
    }
    system.run(system.data.finish(grant(USER), number, if_version))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn what_is_put_is_got_also_after_a_restart() {
    let system = System::new();
    for size in [0, 1, 1024, 1025, 4096, 5000, MAX_PART] {
        put(&system, &format!("key{size}"), &pattern(size)).unwrap();
    }
    for system in [&system, &system.restarted()] {
        for size in [0, 1, 1024, 1025, 4096, 5000, MAX_PART] {
            assert_eq!(get(system, &format!("key{size}")), Ok(pattern(size)));
        }
    }
}

#[test]
fn versions_rise_and_are_held_against_what_is_there() {
    let system = System::new();
    let user = grant(USER);
    assert_eq!(system.run(system.data.put(user, "k", b"1", Some(7))), Err(Error::VersionConflict(0)));
    let first = system.run(system.data.put(user, "k", b"1", Some(0))).unwrap();
    assert_eq!(system.run(system.data.put(user, "k", b"2", Some(0))), Err(Error::VersionConflict(first)));
    let second = system.run(system.data.put(user, "k", b"2", Some(first))).unwrap();
    assert!(second > first);
    assert_eq!(system.run(system.data.get(user, "k", 0, 10, Some(first))), Err(Error::VersionConflict(second)));
    assert_eq!(system.run(system.data.delete(user, "k", Some(first))), Err(Error::VersionConflict(second)));
    assert_eq!(get(&system, "k"), Ok(b"2".to_vec()));
    system.run(system.data.delete(user, "k", Some(second))).unwrap();
    let system = system.restarted();
    let third = system.run(system.data.put(user, "k", b"3", Some(0))).unwrap();
    assert!(third > second, "a version is never used again");
}

#[test]
fn stat_says_size_version_and_time() {
    let system = System::new();
    system.clock.set(42);
    let version = put(&system, "k", &[0; 3000]).unwrap();
    let stat = system.run(system.data.stat(grant(USER), "k")).unwrap();
    assert_eq!((stat.size, stat.version, stat.modified), (3000, version, 42));
    assert_eq!(system.run(system.data.stat(grant(USER), "other")), Err(Error::NotFound));
}

#[test]
fn a_part_of_a_value_can_be_got() {
    let system = System::new();
    put(&system, "k", &pattern(5000)).unwrap();
    let part = |offset, length| system.run(system.data.get(grant(USER), "k", offset, length, None)).unwrap().bytes;
    assert_eq!(part(1000, 10), pattern(5000)[1000..1010]);
    assert_eq!(part(4990, 100), pattern(5000)[4990..]);
    assert_eq!(part(5000, 1), []);
    assert_eq!(part(u64::MAX, u32::MAX), []);
    assert_eq!(part(0, 0), []);
}

#[test]
fn what_is_not_there_is_not_found() {
    let system = System::new();
    assert_eq!(get(&system, "k"), Err(Error::NotFound));
    assert_eq!(system.run(system.data.delete(grant(USER), "k", None)), Err(Error::NotFound));
    put(&system, "k", b"1").unwrap();
    system.run(system.data.delete(grant(USER), "k", None)).unwrap();
    assert_eq!(get(&system, "k"), Err(Error::NotFound));
    assert_eq!(get(&system.restarted(), "k"), Err(Error::NotFound));
}

#[test]
fn keys_have_limits() {
    let system = System::new();
    let (longest, longer) = ("x".repeat(256), "x".repeat(257));
    put(&system, &longest, b"v").unwrap();
    assert_eq!(get(&system, &longest), Ok(b"v".to_vec()));
    let user = grant(USER);
    for (key, error) in [(longer.as_str(), Error::KeyTooLong), ("", Error::Invalid("a key is empty".into()))] {
        assert_eq!(put(&system, key, b"v"), Err(error.clone()));
        assert_eq!(get(&system, key), Err(error.clone()));
        assert_eq!(system.run(system.data.delete(user, key, None)), Err(error.clone()));
        assert_eq!(system.run(system.data.stat(user, key)), Err(error.clone()));
        assert_eq!(system.run(system.data.begin_object(user, key, 1)), Err(error.clone()));
        assert_eq!(system.run(system.data.transact(user, &[Step::Delete(key.into())])), Err(error));
    }
    assert_eq!(system.run(system.data.list(user, &longer, 1, None)), Err(Error::KeyTooLong));
    assert_eq!(system.run(system.data.list(user, "", 1, Some(&longer))), Err(Error::KeyTooLong));
    assert_eq!(put(&system, "k", &vec![0; MAX_PART + 1]), Err(Error::TooLarge(MAX_PART as u64)));
}

#[test]
fn keys_are_any_text() {
    let system = System::new();
    for key in ["/", "a/b", "..", "\0", "zwölf Boxkämpfer", "\u{10FFFF}", " "] {
        put(&system, key, key.as_bytes()).unwrap();
    }
    for key in ["/", "a/b", "..", "\0", "zwölf Boxkämpfer", "\u{10FFFF}", " "] {
        assert_eq!(get(&system, key), Ok(key.as_bytes().to_vec()));
    }
    assert_eq!(keys(&system, "").len(), 7);
}

#[test]
fn a_list_goes_on_from_its_cursor_and_keeps_to_its_prefix() {
    let system = System::new();
    for number in 0..50 {
        put(&system, &format!("a/{number:02}"), b"").unwrap();
        put(&system, &format!("b/{number:02}"), b"").unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = system.run(system.data.list(grant(USER), "a/", 7, cursor.as_deref())).unwrap();
        assert!(page.entries.len() <= 7);
        seen.extend(page.entries.into_iter().map(|entry| entry.key));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..50).map(|number| format!("a/{number:02}")).collect::<Vec<_>>());
    let none = system.run(system.data.list(grant(USER), "", 0, None)).unwrap();
    assert!(none.entries.is_empty() && none.next.as_deref() == Some("a/00"));
}

#[test]
fn a_list_fits_a_message() {
    let system = System::new();
    for number in 0..300 {
        put(&system, &format!("{}{number:03}", "long".repeat(60)), b"").unwrap();
    }
    let page = system.run(system.data.list(grant(USER), "", u32::MAX, None)).unwrap();
    assert!(page.next.is_some());
    assert!(page.entries.len() > 100 && page.entries.iter().map(|entry| entry.key.len() + 40).sum::<usize>() < 60_000);
}

#[test]
fn badges_keep_namespaces_apart() {
    let system = System::new();
    put(&system, "k", b"user").unwrap();
    let apps = grant(APPS);
    assert_eq!(system.run(system.data.get(apps, "k", 0, 9, None)), Err(Error::NotFound));
    system.run(system.data.put(apps, "k", b"apps", None)).unwrap();
    assert_eq!(get(&system, "k"), Ok(b"user".to_vec()));
    let nowhere = grant(0x9907);
    assert_eq!(system.run(system.data.get(nowhere, "k", 0, 9, None)), Err(Error::NotFound));
    assert_eq!(system.run(system.data.put(nowhere, "k", b"x", None)), Err(Error::NotFound));
}

#[test]
fn what_the_badge_does_not_allow_is_denied() {
    let system = System::new();
    put(&system, "k", b"v").unwrap();
    let (read, write) = (grant(0x401), grant(0x402));
    let data = &system.data;
    let denied = Err(Error::PermissionDenied);
    assert_eq!(system.run(data.put(read, "k", b"w", None)), Err(Error::PermissionDenied));
    assert_eq!(system.run(data.delete(read, "k", None)), Err(Error::PermissionDenied));
    assert_eq!(system.run(data.begin_object(read, "k", 1)), Err(Error::PermissionDenied));
    assert_eq!(system.run(data.add(read, 1, b"")), Err(Error::PermissionDenied));
    assert_eq!(system.run(data.finish(read, 1, None)), Err(Error::PermissionDenied));
    assert_eq!(data.abandon(read, 1), Err(Error::PermissionDenied));
    assert_eq!(system.run(data.transact(read, &[])), Err(Error::PermissionDenied));
    assert_eq!(system.run(data.get(write, "k", 0, 1, None)).map(|_| ()), denied);
    assert_eq!(system.run(data.stat(write, "k")).map(|_| ()), denied);
    assert_eq!(system.run(data.list(write, "", 1, None)).map(|_| ()), denied);
    assert!(system.run(data.get(read, "k", 0, 1, None)).is_ok());
    assert!(system.run(data.put(write, "k", b"w", None)).is_ok());
    assert!(!read.access.contains(Access::WRITE));
}

#[test]
fn quotas_are_kept_exactly() {
    let system = System::new();
    let quota = DEFAULT_QUOTA as usize;
    upload(&system, "large", &pattern(quota), MAX_PART, None).unwrap();
    assert_eq!(get(&system, "large").unwrap(), pattern(quota));
    assert_eq!(put(&system, "more", b"x"), Err(Error::QuotaExceeded(0)));
    put(&system, "empty", b"").unwrap();
    upload(&system, "large", &pattern(quota - 10), 50_000, None).unwrap();
    assert_eq!(put(&system, "more", &[1; 11]), Err(Error::QuotaExceeded(10)));
    put(&system, "more", &[1; 10]).unwrap();
    system.run(system.data.delete(grant(USER), "large", None)).unwrap();
    let usage = system.run(system.data.usage(grant(USER))).unwrap();
    assert_eq!((usage.bytes, usage.objects, usage.quota), (10, 2, DEFAULT_QUOTA));
    assert_eq!(
        upload(&system, "larger", &pattern(quota + 1), MAX_PART, None),
        Err(Error::QuotaExceeded(DEFAULT_QUOTA - 10))
    );
}

#[test]
fn objects_are_counted_too() {
    let system = System::new();
    let usage = system.run(system.data.usage(grant(USER))).unwrap();
    assert_eq!(usage.object_quota, DEFAULT_QUOTA / 256);
    system.run(system.data.set_quota(grant(common::ROOT), "user", 300 * 1024)).unwrap();
    for first in (0..1200).step_by(200) {
        let steps: Vec<Step> =
            (first..first + 200).map(|number| Step::Put(PutStep { key: format!("{number}"), value: vec![] })).collect();
        system.run(system.data.transact(grant(USER), &steps)).unwrap();
    }
    assert_eq!(put(&system, "one more", b""), Err(Error::QuotaExceeded(300 * 1024)));
}

#[test]
fn large_values_come_in_parts_of_any_size() {
    let system = System::new();
    for (size, piece) in [
        (0, 1),
        (1, 1),
        (1000, 7),
        (1025, 1024),
        (MAX_PART, 9999),
        (MAX_PART + 1, MAX_PART),
        (500_000, 33_333),
        (2 * MAX_PART, MAX_PART),
    ] {
        let key = format!("{size}");
        upload(&system, &key, &pattern(size), piece, Some(0)).unwrap();
        assert_eq!(get(&system, &key), Ok(pattern(size)), "{size} bytes in pieces of {piece}");
    }
    let system = system.restarted();
    assert_eq!(get(&system, "500000"), Ok(pattern(500_000)));
    let free = system.data.store().usage().free;
    upload(&system, "500000", &pattern(400_000), MAX_PART, None).unwrap();
    upload(&system, "500000", &pattern(500_000), MAX_PART, None).unwrap();
    assert_eq!(system.data.store().usage().free, free, "what was replaced is free again");
    system.run(system.data.delete(grant(USER), "500000", None)).unwrap();
    assert!(system.data.store().usage().free >= free + 500_000 / 4096);
}

#[test]
fn an_upload_changes_nothing_before_it_is_finished() {
    let system = System::new();
    put(&system, "k", b"old").unwrap();
    let free = system.data.store().usage().free;
    let user = grant(USER);
    let number = system.run(system.data.begin_object(user, "k", 200_000)).unwrap();
    for piece in pattern(200_000).chunks(50_000) {
        system.run(system.data.add(user, number, piece)).unwrap();
    }
    assert_eq!(get(&system, "k"), Ok(b"old".to_vec()));
    assert_eq!(get(&system.restarted(), "k"), Ok(b"old".to_vec()));
    assert_eq!(
        system.run(system.data.finish(grant(APPS), number, None)),
        Err(Error::NoSuchUpload),
        "of another namespace"
    );
    system.data.abandon(user, number).unwrap();
    assert_eq!(system.data.store().usage().free, free);
    assert_eq!(system.run(system.data.add(user, number, b"x")), Err(Error::NoSuchUpload));
    assert_eq!(system.run(system.data.finish(user, number, None)), Err(Error::NoSuchUpload));
    assert_eq!(system.data.abandon(user, number), Err(Error::NoSuchUpload));
}

#[test]
fn an_upload_is_as_long_as_it_said() {
    let system = System::new();
    let user = grant(USER);
    let number = system.run(system.data.begin_object(user, "k", 10)).unwrap();
    assert_eq!(
        system.run(system.data.add(user, number, &vec![0; MAX_PART + 1])),
        Err(Error::TooLarge(MAX_PART as u64))
    );
    system.run(system.data.add(user, number, &[0; 9])).unwrap();
    assert!(matches!(system.run(system.data.finish(user, number, None)), Err(Error::Invalid(_))));
    let number = system.run(system.data.begin_object(user, "k", 10)).unwrap();
    assert!(matches!(system.run(system.data.add(user, number, &[0; 11])), Err(Error::Invalid(_))));
    assert_eq!(get(&system, "k"), Err(Error::NotFound));
    put(&system, "k", b"there").unwrap();
    assert!(matches!(upload(&system, "k", b"late", 9, Some(0)), Err(Error::VersionConflict(_))));
}

#[test]
fn uploads_are_bounded_and_idle_ones_give_way() {
    let system = System::new();
    let user = grant(USER);
    let first = system.run(system.data.begin_object(user, "k0", 10)).unwrap();
    for number in 1..MAX_UPLOADS {
        system.run(system.data.begin_object(user, &format!("k{number}"), 10)).unwrap();
    }
    assert_eq!(system.run(system.data.begin_object(user, "k", 10)), Err(Error::TooManyUploads));
    system.run(system.data.begin_object(grant(APPS), "k", 10)).expect("others have their own");
    system.clock.set(system.clock.get() + IDLE);
    system.run(system.data.begin_object(user, "k", 10)).unwrap();
    assert_eq!(system.run(system.data.add(user, first, b"x")), Err(Error::NoSuchUpload));
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let system = System::new();
    let user = grant(USER);
    let put_step = |key: &str, value: &[u8]| Step::Put(PutStep { key: key.into(), value: value.to_vec() });
    let version = system
        .run(system.data.transact(user, &[put_step("a", b"1"), put_step("b", &[2; 3000]), put_step("a", b"3")]))
        .unwrap();
    assert_eq!(get(&system, "a"), Ok(b"3".to_vec()));
    assert_eq!(system.run(system.data.stat(user, "b")).unwrap().version, version);
    let wrong = Step::Check(CheckStep { key: "b".into(), version: version + 1 });
    assert_eq!(
        system.run(system.data.transact(user, &[put_step("a", b"4"), Step::Delete("b".into()), wrong])),
        Err(Error::VersionConflict(0))
    );
    assert_eq!(get(&system, "a"), Ok(b"3".to_vec()));
    let over = system.run(system.data.transact(user, &[put_step("a", b"5"), put_step("c", &[0; 60_000])]));
    assert!(over.is_ok());
    let right = Step::Check(CheckStep { key: "b".into(), version });
    system
        .run(
            system
                .data
                .transact(user, &[right, Step::Delete("b".into()), Step::Delete("nothing".into()), put_step("d", b"")]),
        )
        .unwrap();
    assert_eq!(keys(&system, ""), ["a", "c", "d"]);
    assert_eq!(keys(&system.restarted(), ""), ["a", "c", "d"]);
    let many: Vec<Step> = (0..257).map(|_| Step::Delete("x".into())).collect();
    assert_eq!(system.run(system.data.transact(user, &many)), Err(Error::TooLarge(256)));
    assert_eq!(
        system.run(system.data.transact(user, &[put_step("k", &vec![0; MAX_PART + 1])])),
        Err(Error::TooLarge(MAX_PART as u64))
    );
    system.run(system.data.set_quota(grant(common::ROOT), "user", 60_010)).unwrap();
    assert_eq!(
        system.run(
            system
                .data
                .transact(user, &[Step::Delete("c".into()), put_step("e", &[0; 60_000]), put_step("f", &[0; 60])])
        ),
        Err(Error::QuotaExceeded(9))
    );
    assert_eq!(keys(&system, ""), ["a", "c", "d"]);
}

#[test]
fn a_damaged_value_is_named_and_the_rest_stays_readable() {
    let system = System::new();
    for number in 0..10 {
        put(&system, &format!("small{number}"), &pattern(3000)).unwrap();
    }
    upload(&system, "large", &pattern(300_000), MAX_PART, None).unwrap();
    let image = system.disk.image();
    let find = |from: usize| {
        (from..image.len() / 4096).find(|page| image[page * 4096..][..3000] == pattern(3000)[..]).unwrap()
    };
    system.disk.flip(find(4) * 4096 + 17, 2);
    let broken: Vec<String> =
        (0..10).map(|number| format!("small{number}")).filter(|key| get(&system, key).is_err()).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(get(&system, &broken[0]), Err(Error::Corrupt(broken[0].clone())));
    assert_eq!(get(&system, "large"), Ok(pattern(300_000)));
    assert_eq!(system.run(system.data.stat(grant(USER), &broken[0])).unwrap().size, 3000);
    let part = &pattern(300_000)[2 * MAX_PART..2 * MAX_PART + 4096];
    let page = (4..image.len() / 4096).find(|page| image[page * 4096..][..4096] == *part).unwrap();
    system.disk.flip(page * 4096 + 99, 0);
    assert_eq!(get(&system, "large"), Err(Error::Corrupt("large".into())));
    assert_eq!(system.run(system.data.get(grant(USER), "large", 0, 100, None)).unwrap().bytes, pattern(300_000)[..100]);
    put(&system, &broken[0], b"new").unwrap();
    assert_eq!(get(&system, &broken[0]), Ok(b"new".to_vec()), "what is put again is whole");
}

#[test]
fn a_failing_a_read_only_and_a_full_disk_say_so() {
    let system = System::new();
    put(&system, "k", b"v").unwrap();
    system.disk.fail_after(Some((0, DeviceError::Failed)), false);
    assert_eq!(put(&system, "k", b"w"), Err(Error::Device));
    system.disk.fail_after(Some((0, DeviceError::Full)), false);
    assert_eq!(put(&system, "k", b"w"), Err(Error::NoSpace));
    system.disk.fail_after(None, false);
    assert_eq!(get(&system, "k"), Ok(b"v".to_vec()));
    system.disk.set_read_only(true);
    let system = system.restarted();
    assert_eq!(get(&system, "k"), Ok(b"v".to_vec()));
    assert_eq!(put(&system, "k", b"w"), Err(Error::ReadOnly));
    assert_eq!(put(&system, "k", &[0; 2000]), Err(Error::ReadOnly));
    assert_eq!(system.run(system.data.delete(grant(USER), "k", None)), Err(Error::ReadOnly));
}

#[test]
fn a_small_disk_fills_before_the_quota_and_recovers() {
    let system = System::on(storage_engine::simulation::SimulatedDisk::empty(2048));
    let mut number = 0;
    while put(&system, &format!("{number}"), &[1; 20_000]).is_ok() {
        number += 1;
    }
    assert_eq!(put(&system, "more", &[1; 20_000]), Err(Error::NoSpace));
    assert_eq!(upload(&system, "more", &[1; 200_000], MAX_PART, None), Err(Error::NoSpace));
    for gone in 0..number {
        assert_eq!(get(&system, &format!("{gone}")).unwrap().len(), 20_000);
        system.run(system.data.delete(grant(USER), &format!("{gone}"), None)).unwrap();
    }
    upload(&system, "more", &[1; 200_000], MAX_PART, None).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn objects_are_a_map(steps in prop::collection::vec((0u8..12, 0usize..4, 0usize..200_000), 1..60)) {
        let mut system = System::new();
        let mut model = BTreeMap::new();
        for (index, (key, kind, size)) in steps.into_iter().enumerate() {
            let key = format!("key{key}");
            let bytes = vec![index as u8; size];
            match kind {
                0 => {
                    let there = model.remove(&key).is_some();
                    prop_assert_eq!(system.run(system.data.delete(grant(USER), &key, None)).is_ok(), there);
                }
                1 => system = system.restarted(),
                2 => {
                    upload(&system, &key, &bytes, 60_000, None).unwrap();
                    model.insert(key, bytes);
                }
                _ => {
                    let bytes = bytes[..size.min(2000)].to_vec();
                    put(&system, &key, &bytes).unwrap();
                    model.insert(key, bytes);
                }
            }
        }
        for (key, bytes) in &model {
            prop_assert_eq!(&get(&system, key).unwrap(), bytes);
        }
        prop_assert_eq!(keys(&system, ""), model.keys().cloned().collect::<Vec<_>>());
        let usage = system.run(system.data.usage(grant(USER))).unwrap();
        prop_assert_eq!(usage.bytes, model.values().map(|bytes| bytes.len() as u64).sum::<u64>());
        prop_assert_eq!(usage.objects, model.len() as u64);
        prop_assert!(system.run(system.data.store().check()).damage.is_empty());
    }
}
