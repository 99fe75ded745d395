//! `make bench-start`: how long a start takes, in milliseconds from the start of QEMU's process to the kernel's first line,
//! and from there to the shell's prompt; beside it the same machine with a kernel that does nothing but speak, which is
//! what QEMU and its firmware take. Writes the table of docs/performance.md.

use images::Progress;
use qemu::build::{self, Firmware, Product};
use qemu::machine::{self, Machine};
use qemu::problem::Problem;
use qemu::state::State;
use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const BEGIN: &str = "<!-- make bench-start writes from here -->";
const END: &str = "<!-- to here: make bench-start -->";
/// Starts of each.
const RUNS: usize = 10;
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-start: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    let told = |problem: Problem| problem.to_string();
    machine::check(Firmware::Pvh).map_err(told)?;
    let product = build::build(false, Progress::Shown).map_err(told)?;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let kernel = folder.path().join("speaks");
    std::fs::write(&kernel, kernel_that_speaks()).map_err(|error| format!("{}: {error}", kernel.display()))?;
    let alone = Product { kernel, ..product.clone() };
    let state = State::open(folder.path()).map_err(told)?;
    state.prepare().map_err(told)?;

    let machine = |product: &Product| {
        let machine = Machine::new(product, &state).map_err(told)?;
        Ok::<_, String>(Machine { terminal: Some(80), ..machine })
    };
    // The first start formats the disk.
    start(&machine(&product)?, Until::Prompt)?;
    let (mut floor, mut line, mut prompt) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floor.push(start(&machine(&alone)?, Until::Line)?.line);
        let times = start(&machine(&product)?, Until::Prompt)?;
        line.push(times.line);
        prompt.extend(times.prompt);
    }
    let mut table = String::from("| from | to | fastest | median | to reach |\n|---|---|---|---|---|\n");
    for (from, to, times, bound) in [
        ("start of QEMU", "first byte of a kernel that does nothing else", &mut floor, None),
        ("start of QEMU", "the kernel's first line", &mut line, Some(100)),
        ("the kernel's first line", "the shell's prompt", &mut prompt, Some(1000)),
    ] {
        times.sort();
        let [fastest, median] = [0, RUNS / 2].map(|at| times.get(at).map_or(0, Duration::as_millis));
        let bound = bound.map_or_else(String::new, |bound| {
            format!("{bound} ms: {}", if median <= bound { "reached" } else { "missed" })
        });
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {from} | {to} | {fastest} ms | {median} ms | {bound} |");
    }
    print!("{table}");
    write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md"), &table)
}

/// How far a machine is let go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Line,
    Prompt,
}

/// How long it took.
struct Times {
    /// From the start to the first line.
    line: Duration,
    /// From there to the prompt.
    prompt: Option<Duration>,
}

/// Starts a machine, and switches it off when it has come so far.
fn start(machine: &Machine, until: Until) -> Result<Times, String> {
    let started = Instant::now();
    let mut running = machine.start().map_err(|problem| problem.to_string())?;
    let (line, prompt) = (first(running.messages.take()), first(running.output.take()));
    let come = |what: &mpsc::Receiver<Instant>, name| {
        what.recv_timeout(PATIENCE).map_err(|_| format!("the machine ended, or was given up, before {name}"))
    };
    let line = come(&line, "its first line")?;
    let prompt = match until {
        Until::Line => None,
        Until::Prompt => Some(come(&prompt, "the prompt")? - line),
    };
    running.kill();
    Ok(Times { line: line - started, prompt })
}

/// Tells when the first line, or what of it there is, has come from a pipe, and reads what else comes.
fn first(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Instant> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe?);
        if !pipe.fill_buf().ok()?.is_empty() {
            tell.send(Instant::now()).ok()?;
        }
        std::io::copy(&mut pipe, &mut std::io::sink()).ok()
    });
    told
}

/// An ELF file of 32 bits with the note that PVH looks for, and this code: writes a line to the second serial port, and
/// stands still.
fn kernel_that_speaks() -> Vec<u8> {
    const AT: u32 = 0x20_0000;
    const HEADERS: u32 = 52 + 2 * 32;
    const NOTE: u32 = 20;
    #[rustfmt::skip]
    let code = [
        0x66, 0xba, 0xf8, 0x02, // mov dx, 0x2f8
        0xb0, b'K', 0xee,       // mov al, 'K'; out dx, al
        0xb0, b'\n', 0xee,      // mov al, '\n'; out dx, al
        0xf4, 0xeb, 0xfd,       // hlt; jmp to it
    ];
    let size = NOTE + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    let mut words = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // Entry, program headers behind this header, no sections; sizes and counts.
    words(&[AT + NOTE, 52, 0, 0, 52 | 32 << 16, 2, 0]);
    words(&[1, HEADERS, AT, AT, size, size, 5, 4]);
    words(&[4, HEADERS, AT, AT, NOTE, NOTE, 4, 4]);
    words(&[4, 4, 18, u32::from_le_bytes(*b"Xen\0"), AT + NOTE]);
    file.extend(code);
    file
}

/// Puts the table between its marks.
fn write(page: &Path, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{}: the marks of the table are gone", page.display()))?;
    let text = format!("{before}{BEGIN}\n{table}{END}{after}");
    std::fs::write(page, text).map_err(|error| format!("{}: {error}", page.display()))
}
