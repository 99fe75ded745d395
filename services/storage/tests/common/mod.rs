//! Data on a simulated disk.
#![allow(dead_code, unused_imports)]

use std::cell::Cell;
use std::rc::Rc;
use storage::Data;
use storage::access::Grant;
use storage::time::Time;
use storage_engine::simulation::{SimulatedDisk, run};

pub use libprocess::interfaces::storage::types::Error;

/// The user's namespace with everything allowed.
pub const USER: u64 = 0x407;
/// That of all apps.
pub const APPS: u64 = 0x307;
/// The root.
pub const ROOT: u64 = 0x107;

pub fn grant(badge: u64) -> Grant {
    Grant::from_badge(badge).unwrap()
}

pub struct System {
    pub disk: SimulatedDisk,
    pub data: Data<SimulatedDisk>,
    pub clock: Rc<Cell<u64>>,
}

impl System {
    pub fn new() -> System {
        System::on(SimulatedDisk::empty(131_072))
    }

    pub fn on(disk: SimulatedDisk) -> System {
        let clock = Rc::new(Cell::new(1_000_000));
        let (data, report) = run(
            Data::mount(
                disk.clone(),
                [1; 16],
                Time::new(
                    {
                        let clock = clock.clone();
                        move || clock.get()
                    },
                    || 0,
                ),
            ),
            async {},
        )
        .unwrap();
        assert!(report.damage.is_empty());
        run(data.prepare(), data.commit()).unwrap();
        System { disk, data, clock }
    }

    /// As after the service was killed and started again.
    pub fn restarted(&self) -> System {
        System::on(self.disk.clone())
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        run(work, self.data.commit())
    }
}
