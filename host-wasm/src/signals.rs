//! Ctrl-C, SIGTERM and a terminal that hangs up: the first asks the system to shut down
//! in order, the second ends the program at once.

use crate::events::{Event, Events};
use crate::terminal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A file that would grow beyond the limit (`ulimit -f`) is an error of the write, not the end of
/// the program: the system can still say so and stop in order.
pub fn outlive_the_limit_of_files() {
    // Where the signal cannot be caught, it ends the program as it would without this.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Listens on a thread of its own, as long as the program runs.
pub fn listen(events: Events) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            let status = 128 + u64::try_from(signal).unwrap_or(0);
            if asked {
                terminal::restore();
                crate::progress::say(format_args!("orbital: ended at once; what was not flushed may be lost"));
                std::process::exit(i32::try_from(status).unwrap_or(1));
            }
            asked = true;
            events.post(Event::Shutdown(status));
        }
    })?;
    Ok(())
}
