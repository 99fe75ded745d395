//! A machine of QEMU: the words it is started with, and its end.

use crate::build::{Firmware, Product};
use crate::problem::{Problem, status};
use crate::state::State;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use storage_engine::layout::{self, SUPERBLOCKS};

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";
/// What to install, where it is missing.
const NO_QEMU: &str =
    "there is no qemu-system-x86_64; install QEMU (Debian: apt-get install qemu-system-x86; macOS: brew install qemu)";
/// Where the firmware for UEFI lies: Debian and Ubuntu, Fedora, Arch, Homebrew.
const OVMF: &[&str] = &[
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
    "/usr/local/share/qemu/edk2-x86_64-code.fd",
];
/// Where the firmware lies that QEMU has for kernels that it loads itself: Debian, Ubuntu, Fedora and Arch, Homebrew. It
/// takes half the time of QEMU's usual one, and is not needed.
const QBOOT: &[&str] =
    &["/usr/share/qemu/qboot.rom", "/opt/homebrew/share/qemu/qboot.rom", "/usr/local/share/qemu/qboot.rom"];
/// Of a disk: what its file cannot do is told to the machine. Without this QEMU stops a machine whose host has no room left,
/// and says nothing.
const REPORTED: &str = "werror=report,rerror=report";
/// MiB of memory where nothing else is said.
pub const MEMORY: u32 = 512;
/// Where a debugger connects.
pub const GDB_PORT: u16 = 1234;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What boots.
    pub product: Product,
    /// How.
    pub firmware: Firmware,
    /// The disk image, where the firmware loads one.
    pub image: Option<PathBuf>,
    /// Memory in MiB.
    pub memory: u32,
    /// The disk of the log, as `-drive` says it; `None`: there is none.
    pub log: Option<String>,
    /// The disk of storage, as `-drive` says it; `None`: there is none.
    pub disk: Option<String>,
    /// The file of that disk, of which the machine is told the name.
    pub disk_file: Option<PathBuf>,
    /// The file of the machine's key.
    pub key: Option<PathBuf>,
    /// The checkpoint of the log that the other host keeps in the same folder.
    pub other_log: Option<PathBuf>,
    /// Arguments of the session.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// A person is at the console, whose terminal has so many columns (0: unknown).
    pub terminal: Option<u16>,
    /// Waits for a debugger.
    pub gdb: bool,
    /// For the files of this run.
    pub run: PathBuf,
    /// Further words for QEMU.
    pub more: Vec<OsString>,
}

/// A running one.
#[derive(Debug)]
pub struct Running {
    child: Child,
    end: PathBuf,
    /// What is typed at its console.
    pub input: Option<ChildStdin>,
    /// What its console shows.
    pub output: Option<ChildStdout>,
    /// What the kernel says, and what QEMU says about itself.
    pub messages: Option<ChildStderr>,
}

/// How a machine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It turned itself off, with this status.
    Off(u8),
    /// QEMU ended, and the machine had not said anything.
    Cut(ExitStatus),
}

/// A path as QEMU's options take it: a comma would end it.
pub fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The environment variable that names QEMU's way to cache images, instead of its own choice.
const CACHE: &str = "ORBITAL_QEMU_CACHE";

/// An image as `-drive` says it.
pub fn drive(path: &Path) -> String {
    let cache = std::env::var(CACHE).map_or_else(|_| String::new(), |cache| format!(",cache={cache}"));
    format!("file={},format=raw{cache}", quoted(path))
}

/// That QEMU is there, and for UEFI its firmware: before minutes are spent on a build.
pub fn check(firmware: Firmware) -> Result<(), Problem> {
    match Command::new(QEMU).arg("--version").output() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Problem::new(status::UNAVAILABLE, NO_QEMU, ""));
        }
        Err(error) => {
            return Err(Problem::new(
                status::UNAVAILABLE,
                format!("{QEMU} does not start: {error}"),
                "check its installation",
            ));
        }
    }
    if firmware == Firmware::Uefi { ovmf().map(drop) } else { Ok(()) }
}

fn ovmf() -> Result<PathBuf, Problem> {
    let named = std::env::var_os("OVMF").map(PathBuf::from);
    let found = named.into_iter().chain(OVMF.iter().map(PathBuf::from)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Problem::new(
            status::UNAVAILABLE,
            "there is no UEFI firmware for QEMU; install it (Debian: apt-get install ovmf; Fedora: edk2-ovmf), or name its \
             file: OVMF=/path/OVMF_CODE.fd",
            "",
        )
    })
}

/// The name that a disk got when it was formatted, for the log. None if it is not, or cannot be read: then what there is to say
/// is said when it is used.
fn disk_name(file: &Path) -> Option<u128> {
    let mut start = Vec::new();
    fs::File::open(file).ok()?.take(SUPERBLOCKS as u64).read_to_end(&mut start).ok()?;
    layout::disk_name(&start).map(u128::from_be_bytes)
}

impl Machine {
    /// Of a system, with everything that it has.
    pub fn new(product: &Product, state: &State) -> Result<Machine, Problem> {
        Ok(Machine {
            product: product.clone(),
            firmware: Firmware::Pvh,
            image: None,
            memory: MEMORY,
            log: Some(drive(&state.log())),
            disk: Some(drive(&state.disk())),
            disk_file: Some(state.disk()),
            key: Some(state.key()),
            other_log: Some(state.other_log()).filter(|checkpoint| checkpoint.exists()),
            arguments: Vec::new(),
            environment: Vec::new(),
            terminal: None,
            gdb: false,
            run: state.run()?,
            more: Vec::new(),
        })
    }

    /// With a script in place of a session.
    pub fn script(mut self, script: &str) -> Machine {
        self.arguments = vec!["-c".into(), script.into()];
        self
    }

    /// The words for QEMU. Files that they name are written.
    pub fn words(&self) -> Result<Vec<OsString>, Problem> {
        let mut words: Vec<OsString> = Vec::new();
        let mut add = |text: &str| words.extend(text.split(' ').map(OsString::from));
        add("-accel tcg -cpu max -machine q35 -no-user-config -nodefaults -display none -no-reboot -monitor none");
        add(&format!("-net none -m {}", self.memory));
        // The console, then the kernel's messages, which it sends there because of the file of that name.
        add("-chardev stdio,id=console,signal=off -serial chardev:console -serial file:/dev/stderr");
        add("-fw_cfg name=opt/orbital/messages,string=2 -device isa-debug-exit,iobase=0xf4,iosize=0x04");
        let mut word = |option: &str, value: String| words.extend([option.into(), OsString::from(value)]);
        word("-debugcon", format!("file:{}", self.run.join("end").display()));
        match (self.firmware, &self.image) {
            (Firmware::Pvh, _) | (_, None) => {
                if let Some(qboot) = QBOOT.iter().find(|path| Path::new(path).is_file()) {
                    word("-bios", (*qboot).into());
                }
                word("-kernel", self.product.kernel.display().to_string());
                word("-initrd", self.product.ramdisk.display().to_string());
            }
            (firmware, Some(image)) => {
                if firmware == Firmware::Bios {
                    // The bootloader wants a screen of VESA.
                    word("-vga", "std".into());
                }
                if firmware == Firmware::Uefi {
                    word("-drive", format!("if=pflash,format=raw,readonly=on,file={}", quoted(&ovmf()?)));
                }
                word("-drive", format!("if=none,id=boot,snapshot=on,{}", drive(image)));
                word("-device", "ide-hd,drive=boot,bootindex=0".into());
            }
        }
        if let Some(disk) = &self.disk {
            word("-drive", format!("if=none,id=data,{disk}"));
            word("-device", format!("virtio-blk-pci,drive=data,disable-legacy=on,{REPORTED}"));
        }
        if let Some(name) = self.disk_file.as_deref().and_then(disk_name) {
            word("-fw_cfg", format!("name=opt/orbital/disk,string={name:032x}"));
        }
        if let Some(log) = &self.log {
            word("-drive", format!("if=none,id=log,{log}"));
            word("-device", format!("virtio-blk-pci,drive=log,serial=orbital-log,disable-legacy=on,{REPORTED}"));
        }
        if let Some(key) = &self.key {
            word("-fw_cfg", format!("name=opt/orbital/key,file={}", quoted(key)));
        }
        if let Some(checkpoint) = &self.other_log {
            word("-fw_cfg", format!("name=opt/orbital/other-log,file={}", quoted(checkpoint)));
        }
        let environment: Vec<String> = self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for (name, texts) in [("arguments", &self.arguments), ("environment", &environment)] {
            if texts.is_empty() {
                continue;
            }
            // Each text is ended by a zero: an empty one is one, too.
            let content: String = texts.iter().flat_map(|text| [text.as_str(), "\0"]).collect();
            let path = self.run.join(name);
            fs::write(&path, content).map_err(|error| Problem::file(&path, &error))?;
            word("-fw_cfg", format!("name=opt/orbital/{name},file={}", quoted(&path)));
        }
        if let Some(columns) = self.terminal {
            word("-fw_cfg", format!("name=opt/orbital/terminal,string={columns}"));
        }
        if self.gdb {
            word("-gdb", format!("tcp:localhost:{GDB_PORT}"));
            words.push("-S".into());
        }
        words.extend(self.more.iter().cloned());
        Ok(words)
    }

    /// Switches it on.
    pub fn start(&self) -> Result<Running, Problem> {
        let end = self.run.join("end");
        match fs::remove_file(&end) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Problem::file(&end, &error)),
            _ => {}
        }
        let mut command = Command::new(QEMU);
        command.args(self.words()?).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        die_together(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Problem::new(status::UNAVAILABLE, NO_QEMU, ""),
            _ => Problem::new(status::UNAVAILABLE, format!("{QEMU} does not start: {error}"), "check its installation"),
        })?;
        let (input, output, messages) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Running { child, end, input, output, messages })
    }
}

/// QEMU gets no signals of the terminal, and ends when this program does, however that may be.
fn die_together(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec it makes one system call, which takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(Into::into)
        });
    }
}

impl Running {
    /// Its number as a process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Switches it off at once, as a power cut does.
    pub fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<End, Problem> {
        let waited = self.child.wait();
        waited.map(|how| self.end(how)).map_err(|error| Problem::new(status::STOPPED, error.to_string(), "try again"))
    }

    /// Its end, if it has ended.
    pub fn ended(&mut self) -> Option<End> {
        let how = self.child.try_wait().ok().flatten()?;
        Some(self.end(how))
    }

    fn end(&self, how: ExitStatus) -> End {
        let said = fs::read_to_string(&self.end).unwrap_or_default();
        let status = said.lines().find_map(|line| line.strip_prefix("exit ")?.trim().parse().ok());
        status.map_or(End::Cut(how), End::Off)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("a,b")).unwrap();
        let product = Product { kernel: "kernel".into(), ramdisk: "ramdisk".into() };
        (folder, Machine::new(&product, &state).unwrap())
    }

    fn value_of(words: &[OsString], option: &str, part: &str) -> Option<String> {
        let mut pairs = words.windows(2).filter(|pair| pair[0] == option);
        pairs.find_map(|pair| pair[1].to_str().filter(|value| value.contains(part)).map(str::to_owned))
    }

    #[test]
    fn names_with_commas_blanks_and_empty_arguments_reach_the_machine_whole() {
        let (_folder, mut machine) = machine();
        machine.arguments = vec!["-c".into(), "echo a  b,c; echo 'ä'".into(), String::new()];
        machine.environment = vec![("A".into(), "1=2".into())];
        let words = machine.words().unwrap();
        assert!(value_of(&words, "-drive", "id=log").unwrap().contains("a,,b/log.img"));
        assert_eq!(fs::read(machine.run.join("arguments")).unwrap(), "-c\0echo a  b,c; echo 'ä'\0\0".as_bytes());
        assert_eq!(fs::read(machine.run.join("environment")).unwrap(), b"A=1=2\0");
        assert!(value_of(&words, "-fw_cfg", "opt/orbital/terminal").is_none(), "nobody is there");
    }

    #[test]
    fn the_end_of_one_run_is_not_taken_for_that_of_the_next() {
        let (_folder, mut machine) = machine();
        fs::write(machine.run.join("end"), "exit 7\n").unwrap();
        // QEMU refuses this at once.
        machine.more = vec!["-no-such-option".into()];
        if check(Firmware::Pvh).is_err() {
            return;
        }
        let mut running = machine.start().unwrap();
        assert!(matches!(running.wait().unwrap(), End::Cut(_)));
    }
}
