//! Runs a scene: a machine whose init is the actor (tests/guests), on a thread of its
//! own, watched.

use host_wasm::devices::console::Ends;
use host_wasm::events::Events;
use host_wasm::image::Path;
use host_wasm::machine::End;
use host_wasm::machine::boot::{self, Boot, Image};
use host_wasm::progress::Progress;
use host_wasm::state::State;
use std::io::{Read, Write};
use std::path::Path as FilePath;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No scene takes so long, on a loaded machine either.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a scene left behind.
pub struct Played {
    pub end: End,
    pub output: String,
    /// Slices that ended while it ran.
    pub ticks: u64,
    /// How often the machine asked the operating system for the time.
    pub clock_readings: u64,
}

impl Played {
    /// It ended as it should.
    #[track_caller]
    pub fn well(self) -> Played {
        assert_eq!(self.end, End::Off(0), "{}", self.output);
        self
    }
}

/// Text that a machine shows.
#[derive(Clone, Default)]
pub struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A state folder that goes away; what is compiled is shared by all tests.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    share_cache(folder.path());
    folder
}

pub fn share_cache(folder: &FilePath) {
    let cache = FilePath::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    std::fs::create_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink(cache, folder.join("cache")).unwrap();
}

/// The actor as init and as image of its children, and others.
pub fn images(others: &[(&str, Vec<u8>)]) -> Vec<Image> {
    let actor = boot::guests().into_iter().find(|image| image.name == "actor").expect("the actor is built");
    let mut images = vec![Image { name: "init".into(), bytes: actor.bytes.clone() }, actor];
    images.extend(others.iter().map(|(name, bytes)| Image { name: (*name).into(), bytes: bytes.clone().into() }));
    images
}

/// Plays a scene on both paths.
#[track_caller]
pub fn play_on_both_paths(arguments: &[&str]) {
    for path in [Path::Fastest, Path::Component] {
        let played = play_with(arguments, &[], path);
        assert_eq!(played.end, End::Off(0), "{path:?} {arguments:?}: {}", played.output);
    }
}

/// Plays a scene.
pub fn play(arguments: &[&str]) -> Played {
    play_with(arguments, &[], Path::Fastest)
}

/// Plays a scene with more images.
pub fn play_with(arguments: &[&str], others: &[(&str, Vec<u8>)], path: Path) -> Played {
    let folder = folder();
    run(folder.path(), arguments, images(others), path, |_, _| {})
}

/// Plays a scene in a state folder; `meanwhile` gets the machine's events and its screen.
pub fn run(
    folder: &FilePath,
    arguments: &[&str],
    images: Vec<Image>,
    path: Path,
    meanwhile: impl FnOnce(&Events, &Screen) + Send + 'static,
) -> Played {
    let screen = Screen::default();
    let (done, played) = mpsc::channel();
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let (folder, shown) = (folder.to_path_buf(), screen.clone());
    let thread = std::thread::spawn(move || {
        let state = State::open(&folder).unwrap();
        let console = Ends {
            input: Box::new(std::io::empty()) as Box<dyn Read + Send>,
            output: Box::new(shown.clone()),
            terminal: false,
        };
        let boot = Boot {
            session: None,
            images,
            arguments,
            environment: Vec::new(),
            console,
            path,
            progress: Progress::silent(),
        };
        let (mut system, events) = boot::boot(&state, boot).unwrap();
        let other = std::thread::spawn({
            let events = events.clone();
            move || meanwhile(&events, &shown)
        });
        let end = system.run();
        let clock_readings = system.clock_readings();
        drop(system);
        other.join().unwrap();
        // The test has given up if nobody receives.
        let _ = done.send((end, events.ticks(), clock_readings));
    });
    match played.recv_timeout(PATIENCE) {
        Ok((end, ticks, clock_readings)) => {
            thread.join().unwrap();
            Played { end, output: screen.text(), ticks, clock_readings }
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the scene hangs; so far it showed: {}", screen.text()),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(()) => panic!("the scene did not say how it ended"),
            Err(cause) => std::panic::resume_unwind(cause),
        },
    }
}
