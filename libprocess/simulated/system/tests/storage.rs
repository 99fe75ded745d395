//! The storage service alone on the machine, over a disk that fails for a while.

use libprocess::interfaces::storage::objects::Client;
use simulated_system::{Access, Disk, End, Grant, Simulation, Stage, for_seeds, orbital};
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

#[test]
fn a_disk_that_cannot_be_used_is_named_and_not_tried_again() {
    let foreign = {
        let mut disk = Disk::new(131_072);
        disk.write(2, &[7; 512]).unwrap();
        disk
    };
    for (disk, cause) in [(Disk::new(64), "the disk is smaller than"), (foreign, "the disk has something else on it")] {
        let mut simulation = orbital(1, &["-c", "services; services storage; cat /x"]).disk(disk);
        assert_eq!(simulation.run(), End::PowerOff(1));
        let (shown, told) = (simulation.output(), simulation.debug_output());
        let told: Vec<&str> =
            told.iter().filter(|said| said.process == "init").map(|said| said.text.as_str()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("storage failed: {cause}")) && told[0].contains("not started again"));
        assert!(shown.contains(&format!("\nstorage failed: {cause}")), "{shown}");
        assert!(shown.contains("`start storage` tries again\n"), "{shown}");
        assert!(shown.contains("\nrestarts   0\n"), "{shown}");
        assert!(shown.contains("cat: /x: the storage service failed and is not started again"), "{shown}");
    }
}
