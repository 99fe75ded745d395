//! Watches: every change that was committed is told, once, in order, or that something was left out.

mod common;

use common::{APPS, Error, System, USER, grant};
use libprocess::interfaces::storage::objects::{PutStep, Step};
use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::watch::{Event, MAX_EACH, MAX_PENDING};
use storage_engine::DeviceError;
use storage_engine::simulation::together;

fn told(system: &System, watch: u64) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = system.data.next_event(watch) {
        system.data.told(watch);
        events.push(event);
    }
    events
}

fn changed(key: &str, version: u64) -> Event {
    Event::Changed { key: key.into(), version }
}

fn removed(key: &str, version: u64) -> Event {
    Event::Removed { key: key.into(), version }
}

fn watch(system: &System, prefix: &str) -> u64 {
    system.run(system.data.watch(grant(USER), prefix)).unwrap()
}

fn put(system: &System, key: &str) -> u64 {
    system.run(system.data.put(grant(USER), key, b"x", None)).unwrap()
}

#[test]
fn every_way_to_change_a_value_is_told() {
    let system = System::new();
    put(&system, "a/before");
    let number = watch(&system, "a/");
    let first = put(&system, "a/1");
    put(&system, "b/1");
    let steps = [
        Step::Put(PutStep { key: "a/2".into(), value: vec![1] }),
        Step::Delete("a/1".into()),
        Step::Delete("a/none".into()),
    ];
    let second = system.run(system.data.transact(grant(USER), &steps)).unwrap();
    let upload = system.run(system.data.begin_object(grant(USER), "a/3", 1)).unwrap();
    system.run(system.data.add(grant(USER), upload, b"x")).unwrap();
    let third = system.run(system.data.finish(grant(USER), upload, None)).unwrap();
    system.run(system.data.delete(grant(USER), "a/2", None)).unwrap();
    let fifth = system.run(system.data.put_for(grant(USER), "a/4", b"x", 10, None)).unwrap();
    system.clock.set(2_000_000);
    system.run(system.data.remove_expired()).unwrap();
    assert_eq!(
        told(&system, number),
        [
            changed("a/1", first),
            changed("a/2", second),
            removed("a/1", second),
            changed("a/3", third),
            removed("a/2", third + 1),
            changed("a/4", fifth),
            removed("a/4", fifth + 1),
        ]
    );
}

#[test]
fn another_namespace_hears_nothing() {
    let system = System::new();
    let number = system.run(system.data.watch(grant(APPS), "")).unwrap();
    put(&system, "k");
    assert_eq!(told(&system, number), []);
}

#[test]
fn what_was_refused_is_not_told_and_what_is_not_known_is_an_overflow() {
    let system = System::new();
    let number = watch(&system, "");
    assert!(system.run(system.data.put(grant(USER), "k", b"x", Some(9))).is_err());
    assert_eq!(told(&system, number), []);
    system.disk.fail_after(Some((1, DeviceError::Failed)), false);
    assert_eq!(system.run(system.data.put(grant(USER), "k", b"x", None)), Err(Error::Device));
    system.disk.fail_after(None, false);
    assert_eq!(told(&system, number), [Event::Overflow]);
    let version = put(&system, "k");
    assert_eq!(told(&system, number), [changed("k", version)]);
}

#[test]
fn a_slow_watcher_is_told_that_it_missed_something_and_nothing_after_that_is_lost() {
    let system = System::new();
    let (slow, quick) = (watch(&system, ""), watch(&system, ""));
    let mut all = Vec::new();
    for number in 0..MAX_PENDING + 10 {
        all.push(changed("k", put(&system, "k")));
        assert_eq!(told(&system, quick), all[number..]);
    }
    // It looks for itself when it is told; what comes later is told again.
    assert_eq!(told(&system, slow), [Event::Overflow]);
    let version = put(&system, "l");
    assert_eq!(told(&system, slow), [changed("l", version)]);
}

#[test]
fn watches_are_bounded_and_belong_to_their_namespace() {
    let system = System::new();
    let numbers: Vec<u64> = (0..MAX_EACH).map(|_| watch(&system, "")).collect();
    assert_eq!(system.run(system.data.watch(grant(USER), "")), Err(Error::TooManyWatches));
    assert_eq!(system.run(system.data.watch(grant(0x402), "")), Err(Error::PermissionDenied));
    assert_eq!(system.run(system.data.watch(grant(APPS), &"x".repeat(257))), Err(Error::KeyTooLong));
    assert_eq!(system.data.unwatch(grant(APPS), numbers[0]), Err(Error::NoSuchWatch));
    assert_eq!(system.data.watching(grant(APPS), numbers[0]), Ok(false));
    assert_eq!(system.data.watching(grant(USER), numbers[0]), Ok(true));
    system.data.unwatch(grant(USER), numbers[0]).unwrap();
    assert_eq!(system.data.unwatch(grant(USER), numbers[0]), Err(Error::NoSuchWatch));
    assert_eq!(system.data.watching(grant(USER), numbers[0]), Ok(false));
    let next = watch(&system, "");
    assert!(!numbers.contains(&next));
}

#[test]
fn a_namespace_that_goes_tells_its_watchers_to_look() {
    let system = System::new();
    let access = libprocess::interfaces::storage::namespaces::Access::ALL;
    let space = system.run(system.data.subspace(grant(USER), "s", access)).unwrap();
    let number = system.run(system.data.watch(space, "")).unwrap();
    system.run(system.data.remove_namespace(grant(USER), "s")).unwrap();
    assert_eq!(told(&system, number), [Event::Overflow]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Who keeps a copy by what it is told has what storage has, however the writers were scheduled.
    #[test]
    fn a_copy_kept_by_events_is_what_is_there(seed: u64) {
        let system = System::new();
        let number = watch(&system, "");
        let data = &system.data;
        let writers = (0..4u64).map(|writer| Box::pin(async move {
            for round in 0..6u64 {
                let key = format!("k{}", (writer + round) % 3);
                if (seed >> (writer * 6 + round)) & 3 == 0 {
                    let _ = data.delete(grant(USER), &key, None).await;
                } else {
                    data.put(grant(USER), &key, b"x", None).await.unwrap();
                }
            }
        }) as _).collect();
        system.run(together(seed, writers));
        let mut copy = BTreeMap::new();
        let mut last = 0;
        for event in told(&system, number) {
            let version = match event {
                Event::Changed { key, version } => { copy.insert(key, version); version }
                Event::Removed { key, version } => { copy.remove(&key); version }
                Event::Overflow => panic!("few enough"),
            };
            prop_assert!(version > last);
            last = version;
        }
        let page = system.run(data.list(grant(USER), "", 100, None)).unwrap();
        let there: BTreeMap<_, _> = page.entries.into_iter().map(|entry| (entry.key, entry.stat.version)).collect();
        prop_assert_eq!(copy, there);
    }
}
