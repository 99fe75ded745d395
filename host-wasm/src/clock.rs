//! Time, in ns since boot. One reading of the operating system's clock a tick; between
//! ticks the processor's cycle counter, which costs a system call nothing much.

use std::time::Instant;

/// The machine's only source of time.
pub struct Clock {
    counter: quanta::Clock,
    boot: Instant,
    base_time: u64,
    base_count: u64,
    last: u64,
    readings: u64,
}

impl Clock {
    /// Starts at 0 now.
    pub fn start() -> Clock {
        let counter = quanta::Clock::new();
        let base_count = counter.raw();
        Clock { counter, boot: Instant::now(), base_time: 0, base_count, last: 0, readings: 1 }
    }

    /// ns since boot; never less than it said before.
    #[inline]
    pub fn now(&mut self) -> u64 {
        let time = self.base_time + self.counter.delta_as_nanos(self.base_count, self.counter.raw());
        self.last = self.last.max(time);
        self.last
    }

    /// The same, from the operating system; what `now` counts from afterwards.
    pub fn synchronise(&mut self) -> u64 {
        self.readings += 1;
        self.base_count = self.counter.raw();
        let time = u64::try_from(self.boot.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last = self.last.max(time);
        self.base_time = self.last;
        self.last
    }

    /// How often the operating system was asked.
    pub fn readings(&self) -> u64 {
        self.readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_never_goes_back_and_keeps_up_with_the_system() {
        let mut clock = Clock::start();
        let begin = Instant::now();
        let mut last = 0;
        for round in 0..1000 {
            let now = if round % 10 == 0 { clock.synchronise() } else { clock.now() };
            assert!(now >= last);
            last = now;
        }
        std::thread::sleep(Duration::from_millis(20));
        let elapsed = begin.elapsed();
        let now = Duration::from_nanos(clock.now());
        assert!(now.abs_diff(elapsed) < Duration::from_millis(5), "{now:?} is not {elapsed:?}");
    }
}
