//! The time by which values expire. It is the wall clock's as long as that goes forward, and never goes back:
//! a clock that is put back is passed over with the time since boot. What was removed because it had
//! expired left its time on the disk, and after a restart time goes on from there at the earliest.

use alloc::boxed::Box;
use core::cell::Cell;

/// Time that never goes back; ns since 1970-01-01T00:00:00Z.
pub struct Time {
    wall: Box<dyn Fn() -> u64>,
    steady: Box<dyn Fn() -> u64>,
    /// The last time that was given out, and the steady time then.
    last: Cell<(u64, u64)>,
}

impl Time {
    /// By a wall clock, in ns since 1970, that may jump, and a steady one, in ns since any moment.
    pub fn new(wall: impl Fn() -> u64 + 'static, steady: impl Fn() -> u64 + 'static) -> Time {
        let last = Cell::new((0, steady()));
        Time { wall: Box::new(wall), steady: Box::new(steady), last }
    }

    /// What the wall clock says, jumps and all.
    pub fn wall(&self) -> u64 {
        (self.wall)()
    }

    /// It is at least as late as this.
    pub fn not_before(&self, time: u64) {
        let (last, steady) = self.last.get();
        self.last.set((last.max(time), steady));
    }

    /// Now.
    pub fn now(&self) -> u64 {
        let (last, before) = self.last.get();
        let steady = (self.steady)();
        let now = self.wall().max(last.saturating_add(steady.saturating_sub(before)));
        self.last.set((now, steady));
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;

    #[test]
    fn it_follows_the_wall_clock_forward_and_the_steady_one_when_that_jumps_back() {
        let (wall, steady) = (Rc::new(Cell::new(1000)), Rc::new(Cell::new(0)));
        let time = Time::new(
            {
                let wall = wall.clone();
                move || wall.get()
            },
            {
                let steady = steady.clone();
                move || steady.get()
            },
        );
        assert_eq!(time.now(), 1000);
        wall.set(5000);
        assert_eq!(time.now(), 5000);
        wall.set(10);
        assert_eq!(time.now(), 5000);
        steady.set(70);
        assert_eq!((time.now(), time.now(), time.wall()), (5070, 5070, 10));
        time.not_before(9000);
        steady.set(71);
        assert_eq!(time.now(), 9001);
        wall.set(u64::MAX);
        steady.set(u64::MAX);
        assert_eq!(time.now(), u64::MAX);
    }
}
