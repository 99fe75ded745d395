//! Ctrl-C, SIGTERM and a terminal that hangs up: the first asks the system to shut down
//! in order, the second ends the program at once.

use crate::events::{Event, Events};
use crate::terminal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Listens on a thread of its own, as long as the program runs.
pub fn listen(events: Events) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            let status = 128 + u64::try_from(signal).unwrap_or(0);
            if asked {
                terminal::restore();
                eprintln!("orbital: ended at once; what was not flushed may be lost");
                std::process::exit(i32::try_from(status).unwrap_or(1));
            }
            asked = true;
            events.post(Event::Shutdown(status));
        }
    })?;
    Ok(())
}
