//! Files: each method in its success and in each of its errors.

mod common;

use common::{Error, ROOT, System, USER, grant};
use libprocess::interfaces::storage::files::{Info, Kind, OpenMode};
use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::content::CHUNK;
use storage::data::MAX_PART;
use storage::record::DEFAULT_QUOTA;
use storage_engine::DeviceError;

fn replace(system: &System, path: &str, bytes: &[u8]) -> Result<Info, Error> {
    system.run(system.data.replace(grant(USER), path, bytes))
}

fn write(system: &System, path: &str, offset: u64, bytes: &[u8]) -> Result<Info, Error> {
    system.run(system.data.write(grant(USER), path, offset, bytes))
}

fn append(system: &System, path: &str, bytes: &[u8]) -> Result<Info, Error> {
    system.run(system.data.append(grant(USER), path, bytes))
}

fn folder(system: &System, path: &str) -> Result<(), Error> {
    system.run(system.data.make_folder(grant(USER), path))
}

fn rename(system: &System, from: &str, to: &str) -> Result<(), Error> {
    system.run(system.data.rename(grant(USER), from, to))
}

fn stat(system: &System, path: &str) -> Result<Info, Error> {
    system.run(system.data.stat_path(grant(USER), path))
}

fn open(system: &System, path: &str, mode: OpenMode) -> Result<Info, Error> {
    system.run(system.data.open(grant(USER), path, mode))
}

fn read(system: &System, path: &str) -> Result<Vec<u8>, Error> {
    let mut whole = Vec::new();
    loop {
        let part = system.run(system.data.read(grant(USER), path, whole.len() as u64, MAX_PART as u32))?;
        whole.extend(part.bytes);
        if whole.len() as u64 == part.stat.size {
            return Ok(whole);
        }
    }
}

fn names(system: &System, path: &str) -> Result<Vec<String>, Error> {
    let page = system.run(system.data.list_folder(grant(USER), path, 1000, None))?;
    assert!(page.complete && page.next.is_none());
    Ok(page.entries.into_iter().map(|entry| entry.name).collect())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn invalid<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Invalid(_)))
}

/// In a namespace without a quota, a file is as large as its chunks can be numbered, and no larger.
#[test]
fn sizes_end_where_chunks_have_no_numbers_left() {
    let (system, root) = (System::new(), grant(ROOT));
    let data = &system.data;
    let most = CHUNK << 32;
    let too_large = Error::TooLarge(most);
    system.run(data.replace(root, "f", b"")).unwrap();
    let written = system.disk.counts().bytes_written;
    for offset in [u64::MAX - 1, u64::MAX, u64::MAX - CHUNK, 1 << 63, most] {
        assert_eq!(system.run(data.write(root, "f", offset, b"x")), Err(too_large.clone()), "{offset}");
    }
    assert_eq!(system.run(data.write(root, "f", most - 1, b"xy")), Err(too_large.clone()));
    for size in [u64::MAX, u64::MAX - 1, most + 1] {
        assert_eq!(system.run(data.set_size(root, "f", size)), Err(too_large.clone()), "{size}");
        assert_eq!(system.run(data.begin_file(root, "f", size)), Err(too_large.clone()), "{size}");
        assert_eq!(system.run(data.begin_object(root, "k", size)), Err(too_large.clone()), "{size}");
    }
    assert_eq!(system.disk.counts().bytes_written, written, "nothing was written for what is refused");
    system.run(data.set_size(root, "f", most)).unwrap();
    assert_eq!(system.run(data.append(root, "f", b"x")), Err(too_large.clone()));
    assert_eq!(system.run(data.write(root, "f", most - 1, b"x")).unwrap().size, most);
    assert_eq!(system.run(data.read(root, "f", most - 2, 10)).unwrap().bytes, [0, b'x']);
    system.run(data.set_size(root, "f", most - 1)).unwrap();
    assert_eq!(system.run(data.append(root, "f", b"y")).unwrap().size, most);
    assert_eq!(system.run(data.read(root, "f", most - 2, 10)).unwrap().bytes, [0, b'y']);
    for _ in 0..3 {
        system.run(data.begin_object(root, "k", most)).unwrap();
    }
}

#[test]
fn nothing_is_written_for_what_is_over_a_quota_further_up() {
    let system = System::new();
    let access = libprocess::interfaces::storage::namespaces::Access::ALL;
    let below = system.run(system.data.subspace(grant(USER), "below", access)).unwrap();
    system.run(system.data.set_quota(grant(USER), "below", u64::MAX)).unwrap();
    system.run(system.data.replace(below, "f", b"")).unwrap();
    let written = system.disk.counts().bytes_written;
    let part = pattern(MAX_PART);
    let refused = Err(Error::QuotaExceeded(DEFAULT_QUOTA));
    assert_eq!(system.run(system.data.write(below, "f", DEFAULT_QUOTA, &part)), refused);
    assert_eq!(system.disk.counts().bytes_written, written);
}

#[test]
fn a_file_is_read_back_also_after_a_restart() {
    let system = System::new();
    folder(&system, "/etc").unwrap();
    system.clock.set(77);
    let info = replace(&system, "/etc/motd", b"hello").unwrap();
    assert_eq!((info.kind, info.size, info.modified), (Kind::File, 5, 77));
    for system in [&system, &system.restarted()] {
        assert_eq!(read(system, "etc/motd"), Ok(b"hello".to_vec()));
        assert_eq!(stat(system, "etc/motd"), Ok(info.clone()));
        assert_eq!(names(system, "/"), Ok(vec!["etc".into()]));
        assert_eq!(names(system, "etc"), Ok(vec!["motd".into()]));
        assert_eq!(stat(system, "etc").unwrap().kind, Kind::Folder);
        assert_eq!(stat(system, "").unwrap().kind, Kind::Folder);
    }
}

#[test]
fn paths_that_are_none_are_refused_by_every_method() {
    let system = System::new();
    let user = grant(USER);
    let data = &system.data;
    for path in ["a//b", ".", "a/../b", "\0"] {
        assert!(invalid(replace(&system, path, b"")));
        assert!(invalid(write(&system, path, 0, b"")));
        assert!(invalid(append(&system, path, b"")));
        assert!(invalid(folder(&system, path)));
        assert!(invalid(rename(&system, path, "x")));
        assert!(invalid(rename(&system, "x", path)));
        assert!(invalid(stat(&system, path)));
        assert!(invalid(open(&system, path, OpenMode::CREATE)));
        assert!(invalid(read(&system, path)));
        assert!(invalid(names(&system, path)));
        assert!(invalid(system.run(data.set_size(user, path, 0))));
        assert!(invalid(system.run(data.remove(user, path))));
        assert!(invalid(system.run(data.remove_all(user, path))));
        assert!(invalid(system.run(data.begin_file(user, path, 1))));
    }
    assert_eq!(folder(&system, &"x".repeat(256)), Err(Error::KeyTooLong));
    folder(&system, &"x".repeat(255)).unwrap();
}

#[test]
fn what_is_not_there_or_is_something_else_is_told_apart() {
    let system = System::new();
    let user = grant(USER);
    folder(&system, "folder").unwrap();
    replace(&system, "file", b"x").unwrap();
    for path in ["nothing", "folder/nothing", "nothing/below"] {
        assert_eq!(read(&system, path), Err(Error::NotFound));
        assert_eq!(write(&system, path, 0, b"x").map(|_| ()), Err(Error::NotFound));
        assert_eq!(stat(&system, path).map(|_| ()), Err(Error::NotFound));
        assert_eq!(names(&system, path), Err(Error::NotFound));
        assert_eq!(open(&system, path, OpenMode::NONE).map(|_| ()), Err(Error::NotFound));
        assert_eq!(open(&system, path, OpenMode::TRUNCATE).map(|_| ()), Err(Error::NotFound));
        assert_eq!(system.run(system.data.set_size(user, path, 1)).map(|_| ()), Err(Error::NotFound));
        assert_eq!(system.run(system.data.remove(user, path)), Err(Error::NotFound));
        assert_eq!(system.run(system.data.remove_all(user, path)), Err(Error::NotFound));
        assert_eq!(rename(&system, path, "x"), Err(Error::NotFound));
    }
    assert_eq!(replace(&system, "nothing/below", b"x").map(|_| ()), Err(Error::NotFound));
    assert_eq!(append(&system, "nothing/below", b"x").map(|_| ()), Err(Error::NotFound));
    assert_eq!(folder(&system, "nothing/below"), Err(Error::NotFound));
    assert_eq!(rename(&system, "file", "nothing/below"), Err(Error::NotFound));

    for path in ["file/below", "file/below/more"] {
        assert_eq!(read(&system, path), Err(Error::NotAFolder));
        assert_eq!(replace(&system, path, b"x").map(|_| ()), Err(Error::NotAFolder));
        assert_eq!(folder(&system, path), Err(Error::NotAFolder));
        assert_eq!(rename(&system, "folder", path), Err(Error::NotAFolder));
    }
    assert_eq!(names(&system, "file"), Err(Error::NotAFolder));

    for path in ["folder", ""] {
        assert_eq!(read(&system, path), Err(Error::IsAFolder));
        assert_eq!(replace(&system, path, b"x").map(|_| ()), Err(Error::IsAFolder));
        assert_eq!(write(&system, path, 0, b"x").map(|_| ()), Err(Error::IsAFolder));
        assert_eq!(append(&system, path, b"x").map(|_| ()), Err(Error::IsAFolder));
        assert_eq!(open(&system, path, OpenMode::CREATE).map(|_| ()), Err(Error::IsAFolder));
        assert_eq!(system.run(system.data.set_size(user, path, 1)).map(|_| ()), Err(Error::IsAFolder));
        assert_eq!(folder(&system, path), Err(Error::AlreadyExists));
    }
    assert_eq!(system.run(system.data.begin_file(user, "", 1)), Err(Error::IsAFolder));
    assert_eq!(folder(&system, "file"), Err(Error::AlreadyExists));
}

#[test]
fn open_makes_empties_and_excludes() {
    let system = System::new();
    let made = open(&system, "f", OpenMode::CREATE).unwrap();
    assert_eq!(made.size, 0);
    assert_eq!(open(&system, "f", OpenMode::CREATE), Ok(made.clone()), "what is there stays");
    assert_eq!(open(&system, "f", OpenMode::CREATE | OpenMode::EXCLUSIVE), Err(Error::AlreadyExists));
    assert_eq!(open(&system, "g", OpenMode::CREATE | OpenMode::EXCLUSIVE).unwrap().size, 0);
    replace(&system, "f", &pattern(5000)).unwrap();
    assert_eq!(open(&system, "f", OpenMode::NONE).unwrap().size, 5000);
    let emptied = open(&system, "f", OpenMode::TRUNCATE).unwrap();
    assert!(emptied.size == 0 && emptied.version > made.version);
    assert_eq!(read(&system, "f"), Ok(vec![]));
}

#[test]
fn writes_go_where_they_should() {
    let system = System::new();
    assert_eq!(write(&system, "f", 0, b"x").map(|_| ()), Err(Error::NotFound));
    replace(&system, "f", b"0123456789").unwrap();
    write(&system, "f", 3, b"abc").unwrap();
    assert_eq!(read(&system, "f"), Ok(b"012abc6789".to_vec()));
    write(&system, "f", 12, b"end").unwrap();
    assert_eq!(read(&system, "f"), Ok(b"012abc6789\0\0end".to_vec()));
    assert_eq!(write(&system, "f", 0, &vec![0; MAX_PART + 1]).map(|_| ()), Err(Error::TooLarge(MAX_PART as u64)));
    assert_eq!(write(&system, "f", u64::MAX, b"x").map(|_| ()), Err(Error::TooLarge(CHUNK << 32)));
    assert!(matches!(write(&system, "f", 1 << 40, b"x"), Err(Error::QuotaExceeded(_))));
    let part = system.run(system.data.read(grant(USER), "f", 4, 3)).unwrap();
    assert_eq!((part.bytes, part.stat.size), (b"bc6".to_vec(), 15));
}

#[test]
fn a_file_may_have_holes() {
    let system = System::new();
    replace(&system, "f", b"start").unwrap();
    write(&system, "f", 5 * CHUNK + 7, b"far").unwrap();
    let whole = read(&system, "f").unwrap();
    assert_eq!(whole.len() as u64, 5 * CHUNK + 10);
    assert!(whole.starts_with(b"start\0\0") && whole.ends_with(b"\0\0far"));
    assert_eq!(whole.iter().filter(|&&byte| byte != 0).count(), 8);
    system.run(system.data.set_size(grant(USER), "f", 3)).unwrap();
    system.run(system.data.set_size(grant(USER), "f", 6 * CHUNK)).unwrap();
    let whole = read(&system, "f").unwrap();
    assert!(whole.starts_with(b"sta\0\0"), "what was cut off does not come back");
    assert_eq!(whole.iter().filter(|&&byte| byte != 0).count(), 3);
    assert!(matches!(
        system.run(system.data.set_size(grant(USER), "f", DEFAULT_QUOTA + 1)),
        Err(Error::QuotaExceeded(_))
    ));
}

#[test]
fn append_makes_and_grows() {
    let system = System::new();
    let mut model = Vec::new();
    for round in 0..40usize {
        let piece = pattern(round * 517 % 20_000);
        append(&system, "log", &piece).unwrap();
        model.extend_from_slice(&piece);
    }
    assert!(model.len() as u64 > 3 * CHUNK);
    assert_eq!(read(&system, "log"), Ok(model.clone()));
    assert_eq!(read(&system.restarted(), "log"), Ok(model));
    assert_eq!(append(&system, "log", &vec![0; MAX_PART + 1]).map(|_| ()), Err(Error::TooLarge(MAX_PART as u64)));
}

#[test]
fn quotas_hold_for_files() {
    let system = System::new();
    replace(&system, "f", b"x").unwrap();
    for _ in 0..170 {
        append(&system, "f", &vec![1; MAX_PART]).unwrap();
    }
    assert!(matches!(append(&system, "f", &vec![1; MAX_PART]), Err(Error::QuotaExceeded(_))));
    assert!(matches!(replace(&system, "g", &vec![1; MAX_PART]), Err(Error::QuotaExceeded(_))));
    let size = read(&system, "f").unwrap().len() as u64;
    assert_eq!(size, 1 + 170 * MAX_PART as u64);
    let usage = system.run(system.data.usage(grant(USER))).unwrap();
    assert_eq!((usage.bytes, usage.objects), (size, 1));
    system.run(system.data.remove(grant(USER), "f")).unwrap();
    let usage = system.run(system.data.usage(grant(USER))).unwrap();
    assert_eq!((usage.bytes, usage.objects), (0, 0));
}

#[test]
fn rename_moves_files_and_folders_and_replaces() {
    let system = System::new();
    for path in ["a", "a/b", "empty", "full"] {
        folder(&system, path).unwrap();
    }
    replace(&system, "a/b/file", &pattern(200)).unwrap();
    replace(&system, "full/x", b"x").unwrap();
    replace(&system, "other", &pattern(70)).unwrap();
    rename(&system, "a/b", "moved").unwrap();
    assert_eq!(read(&system, "moved/file"), Ok(pattern(200)));
    assert_eq!(names(&system, "a"), Ok(vec![]));
    rename(&system, "moved/file", "other").unwrap();
    assert_eq!(read(&system, "other"), Ok(pattern(200)));
    assert_eq!(system.run(system.data.usage(grant(USER))).unwrap().bytes, 201);
    rename(&system, "other", "other").unwrap();
    rename(&system, "moved", "empty").unwrap();
    assert_eq!(names(&system, ""), Ok(vec!["a".into(), "empty".into(), "full".into(), "other".into()]));
    assert_eq!(rename(&system, "a", "full"), Err(Error::FolderNotEmpty));
    assert_eq!(rename(&system, "other", "full"), Err(Error::IsAFolder));
    assert_eq!(rename(&system, "a", "other"), Err(Error::NotAFolder));
    folder(&system, "a/deep").unwrap();
    assert!(invalid(rename(&system, "a", "a/deep/a")));
    assert!(invalid(rename(&system, "a", "a/x")));
    assert!(invalid(rename(&system, "", "x")));
    assert!(invalid(rename(&system, "a", "")));
    let (version, system) = (stat(&system, "other").unwrap().version, system.restarted());
    rename(&system, "other", "a/deep/other").unwrap();
    assert_eq!(stat(&system, "a/deep/other").unwrap().version, version);
    assert_eq!(system.run(system.data.usage(grant(USER))).unwrap().objects, 6);
}

#[test]
fn large_files_move_without_being_copied_and_go_when_replaced() {
    let system = System::new();
    for path in ["large", "second"] {
        for piece in pattern(400_000).chunks(MAX_PART) {
            append(&system, path, piece).unwrap();
        }
    }
    let (written, free) = (system.disk.counts().bytes_written, system.data.store().usage().free);
    rename(&system, "large", "moved").unwrap();
    assert!(system.disk.counts().bytes_written - written < 100_000);
    rename(&system, "second", "moved").unwrap();
    assert!(system.data.store().usage().free >= free + 95);
    assert_eq!(read(&system, "moved"), Ok(pattern(400_000)));
}

#[test]
fn remove_takes_files_and_empty_folders_and_remove_all_everything() {
    let system = System::new();
    let user = grant(USER);
    for path in ["a", "a/b", "a/b/c", "z"] {
        folder(&system, path).unwrap();
    }
    for number in 0..600 {
        replace(&system, &format!("a/b/{number}"), b"12").unwrap();
    }
    for piece in pattern(200_000).chunks(MAX_PART) {
        append(&system, "a/large", piece).unwrap();
    }
    assert_eq!(system.run(system.data.remove(user, "a")), Err(Error::FolderNotEmpty));
    assert!(invalid(system.run(system.data.remove(user, ""))));
    assert!(invalid(system.run(system.data.remove_all(user, "/"))));
    system.run(system.data.remove(user, "z")).unwrap();
    system.run(system.data.remove(user, "a/b/7")).unwrap();
    assert_eq!(stat(&system, "a/b/7").map(|_| ()), Err(Error::NotFound));
    system.run(system.data.remove_all(user, "a")).unwrap();
    assert_eq!(names(&system, ""), Ok(vec![]));
    let usage = system.run(system.data.usage(user)).unwrap();
    assert_eq!((usage.bytes, usage.objects), (0, 0));
    replace(&system, "f", b"x").unwrap();
    system.run(system.data.remove_all(user, "f")).unwrap();
    assert_eq!(stat(&system.restarted(), "f").map(|_| ()), Err(Error::NotFound));
}

#[test]
fn a_folder_is_listed_in_parts() {
    let system = System::new();
    folder(&system, "d").unwrap();
    for number in 0..30 {
        replace(&system, &format!("d/{number:02}"), b"x").unwrap();
    }
    folder(&system, "d/15/").unwrap_err();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = system.run(system.data.list_folder(grant(USER), "d", 8, cursor.as_deref())).unwrap();
        seen.extend(page.entries.into_iter().map(|entry| (entry.name, entry.info.size)));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..30).map(|number| (format!("{number:02}"), 1)).collect::<Vec<_>>());
    assert!(invalid(system.run(system.data.list_folder(grant(USER), "d", 8, Some("..")))));
}

#[test]
fn a_large_file_is_replaced_in_parts_all_at_once() {
    let system = System::new();
    let user = grant(USER);
    let old = replace(&system, "f", b"old").unwrap();
    let upload = |if_version| {
        let number = system.run(system.data.begin_file(user, "f", 300_000)).unwrap();
        for piece in pattern(300_000).chunks(MAX_PART) {
            system.run(system.data.add(user, number, piece)).unwrap();
            assert_ne!(stat(&system, "f").unwrap().size, 0);
        }
        system.run(system.data.finish(user, number, if_version))
    };
    assert_eq!(upload(Some(0)), Err(Error::VersionConflict(old.version)));
    assert_eq!(read(&system, "f"), Ok(b"old".to_vec()));
    let version = upload(Some(old.version)).unwrap();
    assert_eq!(read(&system, "f"), Ok(pattern(300_000)));
    assert_eq!(stat(&system, "f").unwrap().version, version);
    let number = system.run(system.data.begin_file(user, "nowhere/f", 1)).unwrap();
    system.run(system.data.add(user, number, b"x")).unwrap();
    assert_eq!(system.run(system.data.finish(user, number, None)), Err(Error::NotFound));
}

#[test]
fn what_the_badge_does_not_allow_is_denied() {
    let system = System::new();
    replace(&system, "f", b"x").unwrap();
    let (read, write) = (grant(0x401), grant(0x402));
    let data = &system.data;
    let denied = Err::<(), Error>(Error::PermissionDenied);
    assert_eq!(system.run(data.replace(read, "f", b"")).map(|_| ()), denied);
    assert_eq!(system.run(data.write(read, "f", 0, b"")).map(|_| ()), denied);
    assert_eq!(system.run(data.append(read, "f", b"")).map(|_| ()), denied);
    assert_eq!(system.run(data.open(read, "f", OpenMode::CREATE)).map(|_| ()), denied);
    assert_eq!(system.run(data.open(read, "f", OpenMode::TRUNCATE)).map(|_| ()), denied);
    assert_eq!(system.run(data.set_size(read, "f", 0)).map(|_| ()), denied);
    assert_eq!(system.run(data.rename(read, "f", "g")), denied);
    assert_eq!(system.run(data.remove(read, "f")), denied);
    assert_eq!(system.run(data.remove_all(read, "f")), denied);
    assert_eq!(system.run(data.make_folder(read, "d")), denied);
    assert_eq!(system.run(data.begin_file(read, "f", 1)).map(|_| ()), denied);
    assert_eq!(system.run(data.read(write, "f", 0, 1)).map(|_| ()), denied);
    assert_eq!(system.run(data.open(write, "f", OpenMode::NONE)).map(|_| ()), denied);
    assert_eq!(system.run(data.list_folder(write, "", 1, None)).map(|_| ()), denied);
    assert_eq!(system.run(data.stat_path(write, "f")).map(|_| ()), denied);
    assert!(system.run(data.read(read, "f", 0, 1)).is_ok());
    let nowhere = grant(0x9907);
    assert_eq!(system.run(data.stat_path(nowhere, "f")).map(|_| ()), Err(Error::NotFound));
    assert_eq!(system.run(data.make_folder(nowhere, "d")), Err(Error::NotFound));
}

#[test]
fn damage_is_named_and_the_rest_stays_readable() {
    let system = System::new();
    replace(&system, "good", &pattern(3000)).unwrap();
    replace(&system, "bad", &[0xAB; 3000]).unwrap();
    let image = system.disk.image();
    let page = (4..image.len() / 4096).find(|page| image[page * 4096..][..3000] == [0xAB; 3000]).unwrap();
    system.disk.flip(page * 4096 + 9, 1);
    assert_eq!(read(&system, "bad"), Err(Error::Corrupt("bad".into())));
    assert_eq!(write(&system, "bad", 4, b"x").map(|_| ()), Err(Error::Corrupt("bad".into())));
    assert_eq!(read(&system, "good"), Ok(pattern(3000)));
    assert_eq!(names(&system, ""), Ok(vec!["bad".into(), "good".into()]));
    system.run(system.data.remove(grant(USER), "bad")).unwrap();
}

#[test]
fn a_failing_and_a_read_only_disk_say_so() {
    let system = System::new();
    replace(&system, "f", b"x").unwrap();
    system.disk.fail_after(Some((0, DeviceError::Failed)), false);
    assert_eq!(replace(&system, "f", b"y").map(|_| ()), Err(Error::Device));
    assert_eq!(folder(&system, "d"), Err(Error::Device));
    system.disk.fail_after(None, false);
    assert_eq!(read(&system, "f"), Ok(b"x".to_vec()));
    system.disk.set_read_only(true);
    assert_eq!(append(&system, "f", b"y").map(|_| ()), Err(Error::ReadOnly));
    assert_eq!(system.run(system.data.remove(grant(USER), "f")), Err(Error::ReadOnly));
    assert_eq!(read(&system, "f"), Ok(b"x".to_vec()));
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, u64, usize),
    Append(u8, usize),
    Replace(u8, usize),
    Size(u8, u64),
    Remove(u8),
    Rename(u8, u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![0u64..3000, 50_000u64..200_000];
    let size = prop_oneof![0usize..3000, 0usize..=MAX_PART];
    prop_oneof![
        4 => (0u8..4, offset.clone(), size.clone()).prop_map(|(f, o, s)| Step::Write(f, o, s)),
        3 => (0u8..4, size.clone()).prop_map(|(f, s)| Step::Append(f, s)),
        2 => (0u8..4, size).prop_map(|(f, s)| Step::Replace(f, s)),
        3 => (0u8..4, offset).prop_map(|(f, s)| Step::Size(f, s)),
        1 => (0u8..4).prop_map(Step::Remove),
        1 => (0u8..4, 0u8..4).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn files_are_bytes(steps in prop::collection::vec(step(), 1..60)) {
        let mut system = System::new();
        let mut model: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for (index, step) in steps.into_iter().enumerate() {
            let fill = index as u8 | 1;
            match step {
                Step::Write(file, offset, size) => {
                    let done = write(&system, &format!("{file}"), offset, &vec![fill; size]).is_ok();
                    prop_assert_eq!(done, model.contains_key(&file));
                    if let Some(bytes) = model.get_mut(&file) {
                        bytes.resize(bytes.len().max(offset as usize + size), 0);
                        bytes[offset as usize..][..size].fill(fill);
                    }
                }
                Step::Append(file, size) => {
                    append(&system, &format!("{file}"), &vec![fill; size]).unwrap();
                    model.entry(file).or_default().extend(vec![fill; size]);
                }
                Step::Replace(file, size) => {
                    replace(&system, &format!("{file}"), &vec![fill; size]).unwrap();
                    model.insert(file, vec![fill; size]);
                }
                Step::Size(file, size) => {
                    let done = system.run(system.data.set_size(grant(USER), &format!("{file}"), size)).is_ok();
                    prop_assert_eq!(done, model.contains_key(&file));
                    if let Some(bytes) = model.get_mut(&file) {
                        bytes.resize(size as usize, 0);
                    }
                }
                Step::Remove(file) => {
                    let done = system.run(system.data.remove(grant(USER), &format!("{file}"))).is_ok();
                    prop_assert_eq!(done, model.remove(&file).is_some());
                }
                Step::Rename(from, to) => {
                    let done = rename(&system, &format!("{from}"), &format!("{to}")).is_ok();
                    prop_assert_eq!(done, model.contains_key(&from));
                    if let Some(bytes) = model.remove(&from) {
                        model.insert(to, bytes);
                    }
                }
                Step::Restart => system = system.restarted(),
            }
        }
        for (file, bytes) in &model {
            prop_assert!(read(&system, &format!("{file}")).unwrap() == *bytes, "file {}", file);
        }
        let usage = system.run(system.data.usage(grant(USER))).unwrap();
        prop_assert_eq!(usage.bytes, model.values().map(|bytes| bytes.len() as u64).sum::<u64>());
        prop_assert_eq!(usage.objects, model.len() as u64);
        // Nothing of what was replaced is left: emptied, the disk is as it was.
        for file in model.keys() {
            system.run(system.data.remove(grant(USER), &format!("{file}"))).unwrap();
        }
        prop_assert_eq!(system.data.store().usage().free, System::new().data.store().usage().free);
    }
}
