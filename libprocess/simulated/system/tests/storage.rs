//! The storage service alone on the machine, over a disk that fails for a while.

use libprocess::interfaces::storage::objects::Client;
use simulated_system::{Access, Disk, End, Grant, Simulation, Stage, for_seeds};
use std::time::Duration;

/// Read, write and manage in the user's namespace.
const USER: u64 = 0x407;

#[test]
fn a_write_that_the_disk_refuses_loses_nothing_that_was_acknowledged() {
    for_seeds(0..20, |seed| {
        let (mut simulation, exits) = Stage::new(seed)
            .service("storage", storage::main)
            .restarts(1)
            .with(Grant::device("disk"))
            .client("client", async |process| {
                let storage: Client = process.connect().await.unwrap();
                storage.put("before", b"1", None).await.unwrap();
                libprocess::system::debug("fail now");
                libprocess::sleep(Duration::from_secs(1)).await;
                // It may say that it failed, or write elsewhere; what it says holds.
                let put = storage.put("while", b"2", None).await;
                let got = storage.get("while").await;
                assert!(put.is_err() || got.unwrap().bytes == b"2");
                assert_eq!(storage.get("before").await.unwrap().bytes, b"1");
                let put = storage.put("after", b"3", None).await;
                let got = storage.get("after").await;
                assert!(put.is_err() || got.unwrap().bytes == b"3");
            })
            .with(Grant::service("storage").badge(USER))
            .disk(Disk::new(131_072))
            .open();
        let put = |simulation: &Simulation| simulation.debug_output().iter().any(|said| said.text == "fail now");
        assert_eq!(simulation.run_until(put), End::Reached);
        simulation.with_disk(|disk| disk.fail_times(Access::Write, 0..131_072, 1 + seed as u32 % 2));
        assert_eq!(simulation.run(), End::PowerOff(0));
        assert_eq!(simulation.panics(), []);
        assert_eq!(exits.of("client")[0].code, 0);
        simulation.check();
    });
}
