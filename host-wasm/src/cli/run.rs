//! `orbital run`: boot, give the session its command line, wait for the end.

use super::Global;
use crate::devices::console::Ends;
use crate::image::Path as LinkPath;
use crate::machine::End;
use crate::machine::boot::{self, Boot, Image};
use crate::problem::{Problem, status};
use crate::progress::Progress;
use crate::signals;
use crate::state::State;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  orbital run                          the shell
  orbital run -c 'services; ps'        shell commands, separated by ; or new lines
  echo services | orbital run          the same, from a pipe
  orbital run hello                    an app that comes with Orbital
  orbital run ./my-app.wasm A B        your own component, or a core module that imports
                                       the kernel calls alone; see docs/writing-an-app.md
The status is that of the script or app. Ctrl-C shuts down in order; twice, at once.";

/// Of `orbital run`.
#[derive(clap::Args, Default)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Shell commands to run in place of a session
    #[arg(short = 'c', long = "command", value_name = "SCRIPT", conflicts_with = "app")]
    script: Option<String>,
    /// Another system manifest than the one that is built in
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Set a variable of the session's environment
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Link every process by the component linker, the core path to none (slower; for comparison)
    #[arg(long)]
    components_only: bool,
    /// What to run in place of the shell: a file, or the name of an app that comes with Orbital
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// What it gets
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must be NAME=VALUE".into()),
    }
}

/// Variables of the terminal that the session gets.
const PASSED_ON: &[&str] = &["TERM", "NO_COLOR", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];

/// Boots and runs to the end; the status is the session's.
pub fn run(global: &Global, arguments: Arguments) -> Result<u8, Problem> {
    let session = arguments.app.as_deref().map(session_image).transpose()?;
    let session_name = arguments
        .app
        .as_deref()
        .map(|app| Path::new(app).file_stem().map_or(app.into(), |stem| stem.to_string_lossy()));
    let mut environment: Vec<(String, String)> =
        PASSED_ON.iter().filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    environment.extend(arguments.environment);
    if let Some(name) = session_name {
        // init calls the session's process so.
        environment.push(("image-name:session".into(), name.into_owned()));
    }
    if let Some(path) = &arguments.manifest {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Problem { status: status::NO_INPUT, ..Problem::file(path, &error) })?;
        environment.push(("ORBITAL_MANIFEST".into(), text));
    }
    let state = State::open(&global.folder()?)?;
    let mut images = boot::images();
    images.extend(session);
    let path = if arguments.components_only { LinkPath::Component } else { LinkPath::Fastest };
    let arguments = match arguments.script {
        Some(script) => vec!["-c".into(), script],
        None => arguments.arguments,
    };
    let boot =
        Boot { images, arguments, environment, console: Ends::standard(), path, progress: Progress::to_terminal() };
    let (mut system, events) = boot::boot(&state, boot)?;
    signals::listen(events).map_err(|error| {
        Problem::new(
            status::UNAVAILABLE,
            format!("signals cannot be listened to: {error}"),
            "check the limit of threads (ulimit -u)",
        )
    })?;
    let end = system.run();
    drop(system);
    finish(end)
}

fn finish(end: End) -> Result<u8, Problem> {
    match end {
        End::Off(code) | End::Forced(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        End::Stopped => Err(Problem::new(
            status::STOPPED,
            "the system stopped: init has ended and nobody turned the machine off",
            "see what happened with `orbital log show`",
        )),
        End::LogFailed(why) => Err(Problem::new(
            status::IO,
            format!("the log cannot be written, so the system stopped serving: {why}"),
            "make room or repair the disk, then start again; `orbital log verify` says what is durable",
        )),
    }
}

/// The image of the session: a file, or the name of an app of the boot set.
fn session_image(app: &str) -> Result<Image, Problem> {
    let path = Path::new(app);
    if !path.exists() {
        if let Some(image) = boot::images().into_iter().find(|image| image.name == app) {
            return Ok(Image { name: "session".into(), bytes: image.bytes });
        }
        let known: Vec<String> = boot::images().into_iter().map(|image| image.name).collect();
        return Err(Problem::new(
            status::NO_INPUT,
            format!("there is no file {app}, and no app of that name"),
            format!("give the path of a component, or one of: {}", known.join(", ")),
        ));
    }
    let bytes =
        std::fs::read(path).map_err(|error| Problem { status: status::NO_INPUT, ..Problem::file(path, &error) })?;
    Ok(Image { name: "session".into(), bytes: bytes.into() })
}
