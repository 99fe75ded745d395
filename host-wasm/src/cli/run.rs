//! `orbital run`: boot, give the session its command line, wait for the end.

use super::{Global, Output};
use crate::devices::console::Ends;
use crate::image::Path as LinkPath;
use crate::limits;
use crate::machine::End;
use crate::machine::boot::{self, Boot, Image};
use crate::problem::{Problem, shortened, status};
use crate::signals;
use crate::state::{Anew, State};
use crate::terminal;
use crate::witness::Witnesses;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const AFTER_HELP: &str = "\
Examples:
  orbital run                          the shell
  orbital run -c 'services; ps'        shell commands, separated by ; or new lines
  echo services | orbital run          the same, from a pipe
  orbital run hello                    an app that comes with Orbital
  orbital run ./my-app.wasm A B        your own component, or a core module that imports
                                       the kernel calls alone; see docs/writing-an-app.md
The status is that of the script or app. Ctrl-C shuts down in order; twice, at once.
With --output json, notes on standard error are objects, one a line, and its last line is
how the system ended, {\"end\":{\"status\":0,\"how\":\"off\"}}, or the error.";

/// What arguments and environment of the session may have together, in bytes: a message carries
/// 64 KiB, and init adds what it gives the session.
const MOST_STARTUP: usize = 60 << 10;
/// The largest app that is read from a file, in bytes.
const LARGEST_APP: usize = 256 << 20;

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
    /// Begin a new log where the old one, or its key, is lost; what is left of it is kept as log.1
    #[arg(long)]
    new_log: bool,
    /// Begin with an empty disk where the old one is lost or unfit; it is kept as disk.img.1
    #[arg(long)]
    new_disk: bool,
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
        environment.push(("ORBITAL_MANIFEST".into(), manifest_text(path)?));
    }
    let file = arguments.app.as_ref().map(PathBuf::from).filter(|path| path.exists());
    let anew = Anew { log: arguments.new_log, disk: arguments.new_disk };
    let mut images = boot::images();
    images.extend(session);
    let path = if arguments.components_only { LinkPath::Component } else { LinkPath::Fastest };
    let arguments = match arguments.script {
        Some(script) => vec!["-c".into(), script],
        None => arguments.arguments,
    };
    check_length(&arguments, &environment)?;
    limits::check()?;

    let progress = global.progress();
    let state = State::open(&global.folder()?)?;
    for note in state.prepare(anew)? {
        progress.note(&note);
    }
    let witnesses = Witnesses::load(state.folder())?;
    witnesses.check_at_start(&progress)?;
    let output = SessionOutput::default();
    let console = Ends {
        input: Box::new(std::io::stdin()),
        output: Box::new(output.clone()),
        terminal: terminal::is_interactive(),
    };
    let boot = Boot { session: file, images, arguments, environment, console, path, progress };
    let (mut system, events) = boot::boot(&state, boot)?;
    signals::listen(events).map_err(|error| Problem::thread("signals cannot be listened to", &error))?;
    let watch =
        witnesses.watch(global.progress()).map_err(|error| Problem::thread("a thread cannot be started", &error))?;
    let end = system.run();
    if let Some(trouble) = system.log_trouble() {
        global.progress().note(&trouble);
    }
    drop(system);
    watch.stop(&global.progress());
    finish(global, end, output.failure())
}

/// Standard output, and why it failed if it did: what a session wrote last is written after its end.
#[derive(Clone, Default)]
struct SessionOutput(Arc<Mutex<Option<std::io::Error>>>);

impl SessionOutput {
    fn keep<T>(&self, result: std::io::Result<T>) -> std::io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != ErrorKind::Interrupted {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            kind.into()
        })
    }

    fn failure(&self) -> Option<std::io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Write for SessionOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.keep(std::io::stdout().write(bytes))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.keep(std::io::stdout().flush())
    }
}

/// That the session can be given all that it is to have.
fn check_length(arguments: &[String], environment: &[(String, String)]) -> Result<(), Problem> {
    let environment = environment.iter().map(|(name, value)| name.len() + value.len() + 6);
    let length: usize = arguments.iter().map(|argument| argument.len() + 3).chain(environment).sum();
    if length <= MOST_STARTUP {
        return Ok(());
    }
    Err(Problem::new(
        status::USAGE,
        format!(
            "the session's arguments, environment and manifest have {length} bytes together, and the limit is {MOST_STARTUP}"
        ),
        "give a long script through a pipe: orbital run < FILE; an app gets much data through its input or a file",
    ))
}

/// The text of a manifest that holds no contradiction. Whether init has what it is to grant only init knows.
fn manifest_text(path: &Path) -> Result<String, Problem> {
    let refused = |line: usize, why: &str| {
        Problem::new(
            status::NO_INPUT,
            format!("{}, line {line}: {why}", path.display()),
            "mend that line; docs/init.md says what may stand there, and init/system.toml is the manifest that is built in",
        )
    };
    let bytes = read_up_to(path, manifest::MAX_LENGTH)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        refused(1 + good.iter().filter(|&&byte| byte == b'\n').count(), "this is not UTF-8")
    })?;
    manifest::parse(&text).map_err(|error| refused(error.line, &error.message))?;
    Ok(text)
}

/// A file that was named on the command line: all of it, or so much of it that it is too long.
fn read_up_to(path: &Path, most: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Problem::input(path, &error))?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| Problem::input(path, &error))?;
    Ok(bytes)
}

fn finish(global: &Global, end: End, lost: Option<std::io::Error>) -> Result<u8, Problem> {
    let ended = |code: u64, how: &str| {
        let code = u8::try_from(code).unwrap_or(u8::MAX);
        if global.output == Output::Json {
            crate::progress::say(serde_json::json!({ "end": { "status": code, "how": how } }));
        }
        Ok(code)
    };
    let how = if matches!(end, End::Forced(_)) { "forced" } else { "off" };
    match (end, lost) {
        (End::Off(_) | End::Forced(_), Some(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ended(status::OUTPUT_CLOSED.into(), how)
        }
        (End::Off(_) | End::Forced(_), Some(error)) => Err(Problem::new(
            status::IO,
            format!("standard output: {error}"),
            log_store::error::next_step(&error).unwrap_or("write it elsewhere; what the session did is done"),
        )),
        (End::Off(code) | End::Forced(code), None) => ended(code, how),
        (End::Stopped, _) => Err(Problem::new(
            status::STOPPED,
            "the system stopped: init has ended and nobody turned the machine off",
            "see what happened with `orbital log show`",
        )),
        (End::LogFailed(why), _) => Err(Problem::new(
            status::IO,
            format!("the log cannot be written, so the system stopped serving: {why}"),
            "the next start goes on from what is durable; `orbital log verify` says how much that is",
        )),
    }
}

/// The manifest that is built in.
const MANIFEST: &str = include_str!("../../../init/system.toml");

/// The images that come with Orbital, without those that are the system itself: init and its services.
fn apps() -> Vec<Image> {
    let services = manifest::parse(MANIFEST).map_or_else(|_| Vec::new(), |manifest| manifest.services);
    let is_service = |image: &Image| services.iter().any(|service| service.program.image == image.name);
    let is_app = |image: &Image| image.name != "init" && !is_service(image);
    boot::images().into_iter().filter(is_app).collect()
}

/// The image of the session: a file, or the name of an app that comes with Orbital.
fn session_image(app: &str) -> Result<Image, Problem> {
    let path = Path::new(app);
    if path.exists() {
        let bytes = read_up_to(path, LARGEST_APP)?;
        if bytes.len() > LARGEST_APP {
            let most = LARGEST_APP >> 20;
            return Err(Problem::new(
                status::NO_INPUT,
                format!("{}: it has more than {most} MiB, the most that an app may have", path.display()),
                "give the path of a component; docs/writing-an-app.md says how an app is built",
            ));
        }
        return Ok(Image { name: "session".into(), bytes: bytes.into() });
    }
    let mut apps = apps();
    if let Some(at) = apps.iter().position(|image| image.name == app) {
        return Ok(Image { name: "session".into(), ..apps.swap_remove(at) });
    }
    let names: Vec<String> = apps.into_iter().map(|image| image.name).collect();
    Err(Problem::new(
        status::NO_INPUT,
        format!("there is no file {:?}, and no app of that name", shortened(app)),
        format!("give the path of a component, or one of: {}", names.join(", ")),
    ))
}
