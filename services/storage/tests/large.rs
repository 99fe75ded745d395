//! A value larger than memory should be: put as a stream and got by offset, with the disk in a file. By
//! itself in this program, because it measures the memory of the process.

mod common;

use common::{ROOT, USER, grant};
use std::fs::File;
use std::os::unix::fs::FileExt;
use storage::Data;
use storage::data::MAX_PART;
use storage::time::Time;
use storage_engine::simulation::run;
use storage_engine::{BlockDevice, DeviceError};

/// A disk in a file.
struct FileDisk(File, u64);

impl BlockDevice for FileDisk {
    fn block_count(&self) -> u64 {
        self.1
    }
    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read_exact_at(bytes, first * 512).map_err(|_| DeviceError::Failed)
    }
    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write_all_at(bytes, first * 512).map_err(|_| DeviceError::Failed)
    }
    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// The most memory that this process has had, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// 64 MiB, or as many as ORBITAL_LARGE_MIB says.
#[test]
fn it_takes_no_more_memory_than_a_small_one() {
    let mib: u64 = std::env::var("ORBITAL_LARGE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    let parts = (mib << 20).div_ceil(MAX_PART as u64);
    let blocks = (mib + mib / 8 + 16) << 11;
    let file = tempfile::tempfile().unwrap();
    file.set_len(blocks * 512).unwrap();
    let time = Time::new(|| 1, || 0);
    let (data, _) = run(Data::mount(FileDisk(file, blocks), [1; 16], time), async {}).unwrap();
    run(data.prepare(), data.commit()).unwrap();
    run(data.set_quota(grant(ROOT), "user", u64::MAX), data.commit()).unwrap();
    let part = |number: u64| (number ^ 0x5DEE_CE66).to_le_bytes().repeat(MAX_PART / 8);
    let before = most_memory();
    let number = run(data.begin_stream(grant(USER), "large", Box::new(|| true)), data.commit()).unwrap();
    for at in 0..parts {
        run(data.add(grant(USER), number, &part(at)), data.commit()).unwrap();
    }
    let version = run(data.finish(grant(USER), number, None), data.commit()).unwrap();
    for at in 0..parts {
        let get = data.get(grant(USER), "large", at * MAX_PART as u64, MAX_PART as u32, Some(version));
        assert!(run(get, data.commit()).unwrap().bytes == part(at), "part {at}");
    }
    run(data.delete(grant(USER), "large", None), data.commit()).unwrap();
    while run(data.reclaim_step(), data.commit()).unwrap() {}
    let more = most_memory() - before;
    println!("{mib} MiB put, got and removed: {} KiB of memory", more >> 10);
    assert!(more < 24 << 20, "{more} bytes");
}
