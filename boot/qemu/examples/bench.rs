//! `make bench-qemu`: counts what system calls cost on bare x86_64, in instructions of the guest
//! (QEMU's `-icount shift=0,sleep=off`), and writes the table of docs/performance.md.

use images::ramdisk::Ramdisk;
use images::{Host, NATIVE_GUESTS, Progress};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const BEGIN: &str = "<!-- instructions on bare x86_64: `make bench-qemu` writes from here -->";
const END: &str = "<!-- to here: `make bench-qemu` -->";

/// A row: what the guest calls it, and seL4's figure under the same command.
#[rustfmt::skip] // A table.
const ROWS: &[(&str, Option<u64>)] = &[
    ("call + reply_receive, 0 words", Some(763)),
    ("call + reply_receive, 1 words", Some(763)),
    ("call + reply_receive, 4 words", Some(763)),
    ("call + reply_receive, 8 words", Some(763)),
    ("call + reply_receive, 0 words, with time-outs", None),
    ("sealing, per KiB", None),
    ("null call (poll)", None),
    ("signal", Some(359)),
    ("notification round trip", Some(2005)),
    ("derive", Some(815)),
    ("derive + delete", Some(1536)),
    ("revoke, per child of 500", Some(284)),
    ("revoke of 10000, the whole pause", None),
    ("map", Some(732)),
    ("unmap", Some(576)),
    ("fault to supervisor and restart", Some(1292)),
    ("yield", Some(282)),
    ("spawn, to the message of its first task", None),
    ("spawn, message, exit, gone", None),
];

type Rows = BTreeMap<String, u64>;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-qemu: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = qemu::build::target().map_err(|problem| problem.to_string())?;
    let images_target = target.join("image");
    let package = ["--package", NATIVE_GUESTS.name, "--bin", "bench"];
    images::build(Host::Native, &root, &images_target, &package, Progress::Shown)?;
    let ramdisk = target.join("orbital/bench.tar");
    std::fs::create_dir_all(target.join("orbital")).map_err(|error| error.to_string())?;
    let program = images::program(Host::Native, &images_target, "bench");
    Ramdisk::new(&root, &images_target).file("init", &program).write(&ramdisk, Progress::Shown)?;

    let recording = kernel(&root, &target.join("measure"), true)?;
    let silent = kernel(&root, &target.join("measure-silent"), false)?;
    let both = run(&recording, &ramdisk, false)?;
    let sealed = run(&recording, &ramdisk, true)?;
    let without = run(&silent, &ramdisk, false)?;
    if run(&recording, &ramdisk, false)? != both {
        return Err("two runs of the same kernel differ: is the machine started without -icount?".into());
    }
    let mut table = table(&both, &sealed, &without, code_bytes(&recording)?);
    let lines = |folder: &str| lines(&root.join(folder)).map_err(|error| format!("{folder}: {error}"));
    let (kernel, axiom, boot) = (lines("kernel/src")?, lines("axiom/src")?, lines("boot/src")?);
    table.push_str(&format!("Lines, tests left out: kernel {kernel}, Axiom {axiom}, host {boot}.\n"));
    print!("{table}");
    write(&root.join("docs/performance.md"), &table)
}

/// Builds a kernel that is measured; with recording or without.
fn kernel(root: &Path, folder: &Path, recording: bool) -> Result<PathBuf, String> {
    let features = if recording { "measure,recording" } else { "measure" };
    let target = Host::Native.target();
    let mut cargo = Command::new("cargo");
    images::build::without_outer_build(&mut cargo);
    let status = cargo
        .current_dir(root)
        .args(["build", "--package", "boot", "--profile", images::build::profile(), "--target", target])
        .args(["--no-default-features", "--features", features, "--target-dir"])
        .arg(folder)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err("the kernel cannot be built".into());
    }
    Ok(images::program(Host::Native, folder, "boot"))
}

/// Boots a kernel with the guest as init; the rows that it prints.
fn run(kernel: &Path, ramdisk: &Path, seal: bool) -> Result<Rows, String> {
    let mut machine = Command::new("qemu-system-x86_64");
    machine
        .args("-accel tcg -cpu max -machine q35 -m 512 -nodefaults -display none -no-reboot".split(' '))
        .args("-serial stdio -monitor none -net none -icount shift=0,sleep=off".split(' '))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(ramdisk);
    if seal {
        machine.args(["-fw_cfg", "name=opt/orbital/seal,string=yes"]);
    }
    let output = machine.stdin(Stdio::null()).output().map_err(|error| format!("QEMU does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.lines().filter_map(|line| line.split_once("] row ")?.1.rsplit_once(": "));
    let rows: Rows = rows.filter_map(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?))).collect();
    let expected = ROWS.iter().filter(|(name, _)| seal || !name.starts_with("sealing"));
    for (name, _) in expected {
        if !rows.contains_key(*name) {
            return Err(format!("the row `{name}` is missing; the machine said:\n{text}"));
        }
    }
    Ok(rows)
}

/// Lines of the sources in a folder, tests left out.
fn lines(folder: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        count += if path.is_dir() { lines(&path)? } else { std::fs::read_to_string(&path)?.lines().count() };
    }
    Ok(count)
}

/// Bytes of the kernel's code.
fn code_bytes(kernel: &Path) -> Result<u64, String> {
    let output = Command::new("size").arg("-A").arg(kernel).output().map_err(|error| format!("size: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix(".text")).ok_or("the kernel has no .text")?;
    line.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).ok_or_else(|| "size says nothing".into())
}

fn table(both: &Rows, sealed: &Rows, without: &Rows, code: u64) -> String {
    let mut text = String::from(
        "| what | both logs on | sealed as it goes | recording compiled out | seL4 | |\n|---|---|---|---|---|---|\n",
    );
    let cell = |rows: &Rows, name: &str| rows.get(name).map_or_else(String::new, u64::to_string);
    for (name, peer) in ROWS {
        let verdict = match (both.get(*name), peer) {
            (Some(ours), Some(peer)) if ours <= peer => "reached",
            (Some(_), Some(_)) => "missed",
            _ => "",
        };
        let peer = peer.map_or_else(String::new, |peer| peer.to_string());
        let (both, sealed, without) = (cell(both, name), cell(sealed, name), cell(without, name));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {both} | {sealed} | {without} | {peer} | {verdict} |");
    }
    let _ = writeln!(text, "\nThe kernel's code has {} KiB (`.text`, kernel, Axiom and host together).", code / 1024);
    text
}

/// Puts the table between its marks.
fn write(page: &Path, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{}: the marks of the table are gone", page.display()))?;
    let text = format!("{before}{BEGIN}\n\n{table}\n{END}{after}");
    std::fs::write(page, text).map_err(|error| format!("{}: {error}", page.display()))
}
