//! What a storage engine may rely on, and what it may not.

use simulated_disk::{Access, Cut, Disk, DiskError, SECTOR};
use std::collections::BTreeSet;

fn sector(byte: u8) -> [u8; SECTOR] {
    [byte; SECTOR]
}

/// The first byte of each of the first `count` sectors.
fn marks(disk: &Disk, count: u64) -> Vec<u8> {
    disk.peek(0, count).unwrap().chunks(SECTOR).map(|s| s[0]).collect()
}

#[test]
fn a_write_is_readable_at_once_and_gone_after_a_cut() {
    let mut disk = Disk::new(8);
    disk.write(3, &sector(9)).unwrap();
    assert_eq!(disk.read(3, 1).unwrap(), sector(9));
    assert_eq!(disk.power_cut(Cut::Lost).read(3, 1).unwrap(), sector(0));
    assert_eq!(disk.power_cut(Cut::Kept).read(3, 1).unwrap(), sector(9));
}

#[test]
fn what_was_flushed_survives_every_cut() {
    let mut disk = Disk::new(8);
    disk.write(0, &[7; 4 * SECTOR]).unwrap();
    disk.flush().unwrap();
    disk.write(4, &[8; 4 * SECTOR]).unwrap();
    for seed in 0..100 {
        assert_eq!(marks(&disk.power_cut(Cut::Random(seed)), 4), [7; 4]);
    }
}

#[test]
fn a_cut_loses_tears_and_reorders_and_never_invents() {
    let mut disk = Disk::new(3);
    disk.write(0, &[1; 2 * SECTOR]).unwrap();
    disk.write(0, &[2; 2 * SECTOR]).unwrap();
    disk.write(2, &sector(3)).unwrap();
    let seen: BTreeSet<Vec<u8>> = (0..200).map(|seed| marks(&disk.power_cut(Cut::Random(seed)), 3)).collect();
    assert!(seen.contains(&vec![1, 2, 0]), "torn between sectors");
    assert!(seen.contains(&vec![0, 0, 3]), "a later write without the earlier ones");
    let all: usize = 3 * 3 * 2;
    assert_eq!(seen.len(), all, "each sector ends independently in one of its versions");
}

#[test]
fn the_same_seed_is_the_same_cut() {
    let mut disk = Disk::new(64);
    for n in 0..64 {
        disk.write(n, &sector(n as u8 + 1)).unwrap();
    }
    assert_eq!(marks(&disk.power_cut(Cut::Random(11)), 64), marks(&disk.power_cut(Cut::Random(11)), 64));
    assert_ne!(marks(&disk.power_cut(Cut::Random(11)), 64), marks(&disk.power_cut(Cut::Random(12)), 64));
}

#[test]
fn an_ordered_cut_keeps_exactly_the_first_or_the_last_writes() {
    let mut disk = Disk::new(4);
    for n in 0..4 {
        disk.write(n, &sector(1)).unwrap();
    }
    assert_eq!(disk.unflushed(), 4);
    assert_eq!(marks(&disk.power_cut(Cut::First(3)), 4), [1, 1, 1, 0]);
    assert_eq!(marks(&disk.power_cut(Cut::Last(1)), 4), [0, 0, 0, 1]);
}

#[test]
fn outside_of_the_disk_is_refused() {
    let mut disk = Disk::new(2);
    assert_eq!(disk.read(2, 1), Err(DiskError::OutOfRange));
    assert_eq!(disk.read(u64::MAX, 2), Err(DiskError::OutOfRange));
    assert_eq!(disk.write(1, &[0; 2 * SECTOR]), Err(DiskError::OutOfRange));
    assert_eq!(disk.write(0, &[0; 100]), Err(DiskError::OutOfRange));
    assert_eq!(disk.unflushed(), 0);
}

#[test]
fn injected_errors_strike_where_and_as_often_as_said() {
    let mut disk = Disk::new(8);
    disk.fail_times(Access::Read, 2..3, 1);
    assert!(disk.read(0, 2).is_ok());
    assert_eq!(disk.read(0, 3), Err(DiskError::Failed));
    assert!(disk.read(0, 3).is_ok());

    disk.fail(Access::Write, 0..1);
    assert_eq!(disk.write(0, &sector(1)), Err(DiskError::Failed));
    assert!(disk.write(1, &sector(1)).is_ok());

    disk.fail_times(Access::Flush, 0..0, 1);
    assert_eq!(disk.flush(), Err(DiskError::Failed));
    assert_eq!(marks(&disk.power_cut(Cut::Lost), 2), [0, 0]);
    disk.heal();
    assert!(disk.flush().is_ok() && disk.write(0, &sector(1)).is_ok());
}

#[test]
fn a_full_disk_still_takes_what_it_has_room_for() {
    let mut disk = Disk::new(8);
    disk.set_room(1);
    assert!(disk.write(0, &sector(1)).is_ok());
    assert_eq!(disk.write(1, &sector(1)), Err(DiskError::Full));
    assert!(disk.write(0, &sector(2)).is_ok(), "a sector that has its place");
    disk.set_read_only(true);
    assert_eq!(disk.write(0, &sector(3)), Err(DiskError::ReadOnly));
    assert_eq!(marks(&disk, 2), [2, 0]);
}

#[test]
fn decay_changes_one_byte_and_stays() {
    let mut disk = Disk::from_bytes(&[5; 700]);
    assert_eq!(disk.sectors(), 2);
    disk.corrupt(600, 0xff).unwrap();
    let bytes = disk.power_cut(Cut::Lost).read(0, 2).unwrap();
    assert_eq!(bytes[600], 5 ^ 0xff);
    assert_eq!(bytes.iter().filter(|byte| **byte == 5).count(), 699);
}
