//! Storage is upgraded while shells write, on any host: no put that was acknowledged is lost, and no writer sees more
//! than one error an upgrade, which says that it may try again.

use crate::play::Host;

/// Upgrades, one after the other.
const UPGRADES: usize = 4;
/// Shells that write at the same time.
const WRITERS: usize = 3;
/// Puts of each, beside each upgrade.
const PUTS: usize = 50;
/// Files that one command shows.
const AT_ONCE: usize = 60;
/// What a shell says of a put that its service did not answer, and which may be tried again.
const TRY_AGAIN: &str = "the storage service ended before it answered, so it may be done or not; look, and try again";

/// What the writers saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Puts that were acknowledged; all of them are there.
    pub acknowledged: usize,
    /// Of these, the ones that were before the upgrade beside them had ended.
    pub during: usize,
    /// Errors.
    pub errors: usize,
}

/// Plays it on a system that has nothing in it; an error says what was otherwise.
pub fn play(host: &mut dyn Host) -> Result<Seen, String> {
    host.boot(&[])?;
    host.write("mkdir -p /load\n")?;
    let mut seen = Seen { acknowledged: 0, during: 0, errors: 0 };
    let mut there = Vec::new();
    for upgrade in 0..UPGRADES {
        let mut line = String::new();
        for writer in 0..WRITERS {
            let puts = (0..PUTS).map(|number| format!("{upgrade}-{writer}-{number}"));
            let puts: String =
                puts.map(|key| format!("put /load/{key} {key} && echo done {key} || echo failed {key}; ")).collect();
            line += &format!("spawn --name writer-{writer} --pass storage shell -c '{puts}' &\n");
        }
        host.write(&format!("{line}upgrade storage && echo upgraded\nwait\necho end-{upgrade}\n"))?;
        let output = host.read_until(&format!("end-{upgrade}\n"))?;
        let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
        let Some(upgraded) = lines.iter().position(|line| *line == "upgraded") else {
            return Err(format!("upgrade {upgrade} failed:\n{output}"));
        };
        let done: Vec<(usize, &str)> =
            lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix("done ")?))).collect();
        let failed: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("failed ")).collect();
        let before = done.iter().filter(|(at, _)| *at < upgraded).count();
        if before == done.len() {
            return Err(format!("the load of upgrade {upgrade} was over before the upgrade was:\n{output}"));
        }
        if done.len() + failed.len() != WRITERS * PUTS {
            return Err(format!("{} puts of upgrade {upgrade} ended, {} failed:\n{output}", done.len(), failed.len()));
        }
        for writer in 0..WRITERS {
            let of_writer = failed.iter().filter(|key| key.starts_with(&format!("{upgrade}-{writer}-")));
            if of_writer.count() > 1 {
                return Err(format!("writer {writer} saw more than one error in upgrade {upgrade}:\n{output}"));
            }
        }
        let other_error = |line: &&&str| line.starts_with("put:") && !line.contains(TRY_AGAIN);
        if let Some(error) = lines.iter().find(other_error) {
            return Err(format!("an error that is no invitation to try again: {error}"));
        }
        seen.acknowledged += done.len();
        seen.during += before;
        seen.errors += failed.len();
        there.extend(done.into_iter().map(|(_, key)| key.to_owned()));
    }
    host.write("services storage; echo end-services\n")?;
    let services = host.read_until("end-services\n")?;
    if !services.lines().any(|line| line.split_whitespace().eq(["restarts", "0"])) {
        return Err(format!("it was not upgraded, but started again:\n{services}"));
    }
    look(host, &there)?;
    // In the next boot too.
    host.leave()?;
    host.boot(&[])?;
    look(host, &there)?;
    host.leave()?;
    Ok(seen)
}

/// Each of these files has its own name in it.
fn look(host: &mut dyn Host, keys: &[String]) -> Result<(), String> {
    for part in keys.chunks(AT_ONCE) {
        let paths: String = part.iter().map(|key| format!(" /load/{key}")).collect();
        host.write(&format!("cat{paths}\necho end-look\n"))?;
        let output = host.read_until("end-look\n")?;
        let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| *line != "end-look").collect();
        if lines != part {
            return Err(format!("of the acknowledged puts {part:?} there is:\n{output}"));
        }
    }
    Ok(())
}
