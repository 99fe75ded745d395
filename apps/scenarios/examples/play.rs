//! Plays scenarios on an `orbital` command: `play PATH-OF-ORBITAL [PART-OF-A-NAME]`. Each has a
//! state folder of its own in the temporary folder.

use scenario::{Program, Scenario, play};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let orbital = arguments.next().ok_or("usage: play PATH-OF-ORBITAL [PART-OF-A-NAME]")?;
    let only = arguments.next().unwrap_or_default();
    let mut broken = 0;
    for (number, file) in scenario::find(Path::new(scenario::FOLDER))?.into_iter().enumerate() {
        let name = file.display().to_string();
        if !name.contains(&only) {
            continue;
        }
        let scenario = Scenario::parse(&std::fs::read_to_string(&file)?)?;
        let state = std::env::temp_dir().join(format!("orbital-scenario-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&state)?;
        // What was compiled for one is there for all.
        let cache = std::env::temp_dir().join("orbital-scenario-cache");
        std::fs::create_dir_all(&cache)?;
        #[cfg(unix)]
        std::os::unix::fs::symlink(&cache, state.join("cache"))?;
        let path = state.as_os_str();
        let mut host = Program::new(
            &orbital,
            ["--state".as_ref(), path, "run".as_ref()],
            ["--state".as_ref(), path],
            Duration::from_secs(60),
        );
        let begin = Instant::now();
        match play(&scenario, &mut host) {
            Ok(()) => println!("ok   {:6} ms  {}", begin.elapsed().as_millis(), scenario.title),
            Err(mismatch) => {
                broken += 1;
                println!("FAIL {:6} ms  {}\n{name}, {mismatch}", begin.elapsed().as_millis(), scenario.title);
            }
        }
        drop(host);
        if state.exists() {
            std::fs::remove_dir_all(&state)?;
        }
    }
    if broken > 0 { Err(format!("{broken} scenarios are broken").into()) } else { Ok(()) }
}
