//! Sets the machine up: images, devices, log; hands everything to init.

use super::effects::Regions;
use super::process::{Image, Processes};
use super::thread::Threads;
use super::{Hardware, MACHINE, Machine, record::Record};
use crate::arch::clock::Clock;
use crate::arch::entry;
use crate::arch::lapic::Lapic;
use crate::devices::bus::Bare;
use crate::devices::uart::Buffers;
use crate::devices::{Probe, pci};
use crate::fw_cfg;
use crate::handoff::{Handoff, Piece};
use crate::log_disk::{self, LogDisk, Patience};
use crate::memory::elf::Executable;
use crate::memory::frames::Frames;
use crate::memory::{kernel_space, mapped};
use crate::{say, stop};
use abi::{Error, Handle, Name};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use axiom::Axiom;
use axiom::door::Config;
use axiom::event::{OtherLog, Platform, PreviousEnd};
use axiom::note::MachineKey;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::input::Hash;
use kernel::{Setup, ThreadId};
use log_image::ImageLog;
use tar_no_std::TarArchiveRef;

/// An image of the boot set.
struct BootImage {
    name: String,
    hash: Hash,
    image: Rc<Image>,
}

/// Sets everything up and goes to ring 3.
pub fn boot(handoff: &Handoff, hardware: Hardware) -> ! {
    let Hardware { mut frames, lapic, clock, heap } = hardware;
    let images = images(handoff);
    if !images.iter().any(|image| image.name == "init") {
        stop("the boot images have no `init`; the ramdisk is an archive (ustar) of the images");
    }
    // SAFETY: the machine's ports are the kernel's, and nothing else runs.
    pci::assign(&mut unsafe { Bare::new() }, device_window(handoff));
    let opened = open_log(&mut frames, &clock);
    let kept = opened.as_ref().map(|opened| opened.place);
    let devices = devices(handoff, &mut frames, &lapic, &clock, kept.as_slice());
    let platform = Platform {
        name: format!("boot {} x86_64", env!("CARGO_PKG_VERSION")),
        manifest: images.iter().find(|image| image.name == "init").map_or([0; 32], |init| init.hash),
        images: images.iter().map(|image| (image.name.clone(), image.hash)).collect(),
        wall_time: devices.booted_at(),
    };
    let mut config = Config { platform, ..Config::new(kernel::Platform::NATIVE) };
    let mut head = axiom::Head::EMPTY;
    let mut log = None;
    if let Some(opened) = opened {
        config.key = opened.log.key().public();
        config.other = opened.other;
        config.disk = disk_name().unwrap_or_default();
        log = Some(opened.log);
        head = opened.found.head;
        config.previous = opened.found.previous;
        if let Some(cut) = opened.found.cut {
            let orderly = matches!(config.previous, PreviousEnd::Orderly { .. });
            let end = if orderly { "ended in order" } else { "did not end in order" };
            say!("orbital: the last run {end}; of the log was cut off: {cut}");
        }
    }
    let axiom = Axiom::new(config, head);
    let mut machine = Machine {
        axiom,
        clock,
        threads: Threads::default(),
        running: ThreadId::NONE,
        loaded_root: crate::memory::kernel_space::root(),
        special: false,
        ticking: false,
        host_result: None,
        processes: Processes::default(),
        frames,
        lapic,
        float_owner: ThreadId::NONE,
        tls: 0,
        images: BTreeMap::new(),
        checked: images.iter().map(|image| (image.hash, image.image.clone())).collect(),
        checks: VecDeque::new(),
        buffers: BTreeMap::new(),
        regions: Regions::default(),
        devices,
        off: None,
        init: ThreadId::NONE,
        init_startup: Vec::new(),
        running_setup: true,
        record: Record::new(log),
        reading: None,
    };
    #[cfg(feature = "measure")]
    if file("opt/orbital/seal", 16).is_some() {
        machine.record.sealing = Some(super::record::Sealing::default());
    }
    if let Err(error) = machine.set_up(&images, heap) {
        say!("orbital: {error}");
        stop("the kernel refused to be set up");
    }
    machine.running_setup = false;
    // Whoever started a virtual machine waits for this before something is typed.
    say!("orbital: init starts");
    // SAFETY: nothing else runs, and nothing looks at the machine before this.
    unsafe { (*(&raw mut MACHINE)).write(machine) };
    // SAFETY: it was made just now; no other way into the kernel is under way.
    let back = unsafe { super::machine() }.run();
    entry::go(back)
}

/// Where PCs have the registers of PCI devices: below 4 GiB, above the memory and what firmwares keep behind it for the
/// configuration spaces, below the interrupt controllers.
fn device_window(handoff: &Handoff) -> Range<u64> {
    let ends = handoff.memory.iter().map(|piece| piece.end).filter(|&end| end <= 0xfec0_0000);
    ends.fold(0xc000_0000, u64::max)..0xfec0_0000
}

/// A file of the firmware configuration.
fn file(name: &str, limit: usize) -> Option<Vec<u8>> {
    match fw_cfg::read(&mut fw_cfg::Real, name, limit) {
        Ok(file) => file,
        Err(error) => {
            say!("orbital: the file {name} of the firmware configuration: {error}");
            stop("what the machine was started with cannot be used");
        }
    }
}

/// The name that the data disk got when it was formatted, as who started the machine read it there, in 32 digits of base 16.
fn disk_name() -> Option<[u8; 16]> {
    let file = file("opt/orbital/disk", 64)?;
    let name = core::str::from_utf8(&file).ok().filter(|name| name.len() == 32);
    let name = name.and_then(|name| u128::from_str_radix(name, 16).ok());
    if name.is_none() {
        say!("orbital: the file opt/orbital/disk of the firmware configuration is no name of a disk");
    }
    name.map(u128::to_be_bytes)
}

/// The texts in a file of the firmware configuration.
fn texts(name: &str) -> Vec<String> {
    let file = file(name, 64 << 10).unwrap_or_default();
    fw_cfg::texts(&file).map(ToString::to_string).collect()
}

/// Columns of the terminal at the serial port, 0 where they are not known; `None` where nobody is there.
fn terminal() -> Option<u32> {
    match file("opt/orbital/terminal", 16) {
        Some(columns) => Some(core::str::from_utf8(&columns).ok()?.trim().parse().unwrap_or(0)),
        // A real machine: somebody may be at the other end of the line.
        None => (!fw_cfg::is_present(&mut fw_cfg::Real)).then_some(0),
    }
}

/// Seconds that the disk of the log has for an answer, where nothing else is said.
const LOG_PATIENCE: u64 = 30;

fn log_patience(clock: &Clock) -> Patience {
    let said = file("opt/orbital/log-patience", 16);
    let seconds = said.and_then(|said| core::str::from_utf8(&said).ok()?.trim().parse().ok()).unwrap_or(LOG_PATIENCE);
    Patience { steps: clock.frequency.saturating_mul(seconds) }
}

/// A log that was opened.
struct OpenLog {
    log: ImageLog<LogDisk>,
    found: log_image::Opened,
    /// Where its disk is.
    place: pci::Address,
    /// The head of the other host's log, as far as it is known.
    other: Option<OtherLog>,
}

/// Opens the log on its disk. Without a log nothing is started, but in a kernel that is built to be measured.
fn open_log(frames: &mut Frames<'static>, clock: &Clock) -> Option<OpenLog> {
    let pages = log_disk::MEMORY_PAGES as u64;
    let memory = frames.take_run(pages).and_then(|at| Some((at, NonNull::new(mapped(at) as *mut u8)?)));
    let Some((physical, at)) = memory else { stop("there is no memory for the disk of the log") };
    let mut map = |start: u64, bytes: u64| kernel_space::map_device(Piece { start, end: start + bytes }, frames);
    // SAFETY: the pages were just taken, are mapped there, and stay this disk's; device registers are mapped
    // where `map` says. This is the only call.
    let disk = match unsafe { LogDisk::find(physical, at, &mut map, log_patience(clock)) } {
        Ok(disk) => disk,
        Err(_) if cfg!(feature = "measure") => return None,
        Err(missing) => {
            say!("orbital: {missing}");
            stop("nothing runs here that is not on record");
        }
    };
    let place = disk.place();
    let place = pci::Address { bus: place.bus, device: place.device, function: place.function };
    let key = file("opt/orbital/key", 4096);
    let key = key.as_deref().and_then(|key| MachineKey::from_secret_text(core::str::from_utf8(key).ok()?.trim_end()));
    let Some(key) = key else {
        say!("orbital: there is no machine key. Pass one: -fw_cfg name=opt/orbital/key,file=machine.key");
        stop("nothing runs here that cannot be proved");
    };
    let other = file("opt/orbital/other-log", 4096).and_then(|checkpoint| {
        OtherLog::from_checkpoint(&checkpoint, &key.verifier())
            .inspect_err(|error| say!("orbital: the checkpoint of the other log: {error}"))
            .ok()
    });
    match ImageLog::open(disk, key.of_bare_machine()) {
        Ok((log, found)) => Some(OpenLog { log, found, place, other }),
        Err(error) => {
            say!("orbital: the log: {error}");
            stop("the log cannot be used");
        }
    }
}

/// The devices of the machine.
fn devices(
    handoff: &Handoff,
    frames: &mut Frames<'static>,
    lapic: &Lapic,
    clock: &Clock,
    kept: &[pci::Address],
) -> crate::devices::Hardware<Bare> {
    let end = handoff.end.max(4 << 30);
    let memory = |physical: u64, length: usize| {
        let within = physical.checked_add(length as u64).is_some_and(|after| after <= end);
        // SAFETY: it is mapped there; tables of the firmware, which nobody writes.
        within.then(|| unsafe { core::slice::from_raw_parts(mapped(physical) as *const u8, length) })
    };
    let mut map = |physical: u64, length: u64| {
        kernel_space::map_device(Piece { start: physical, end: physical + length }, frames)
    };
    // SAFETY: the machine's ports and device registers are the kernel's, and nothing else runs.
    let bus = unsafe { Bare::new() };
    let probe = Probe {
        map: &mut map,
        memory: &memory,
        rsdp: handoff.rsdp,
        processor: lapic.number(),
        kept,
        terminal: terminal(),
        buffers: if fw_cfg::is_present(&mut fw_cfg::Real) { Buffers::AsTheyAre } else { Buffers::On },
        now: clock.now(),
    };
    let devices = crate::devices::Hardware::probe(bus, probe);
    if devices.list().all(|(_, name, _)| name != "disk") {
        // init says what it cannot grant; what to do about it only the host can say.
        say!(
            "orbital: there is no disk for storage. Attach one: -drive if=none,id=data,file=disk.img,format=raw -device virtio-blk-pci,drive=data,disable-legacy=on"
        );
    }
    devices
}

/// The images in the ramdisk, checked.
fn images(handoff: &Handoff) -> Vec<BootImage> {
    let Some(piece) = handoff.ramdisk else { return Vec::new() };
    // SAFETY: the loader put the ramdisk there; it is reserved, mapped, and stays as it is.
    let bytes =
        unsafe { core::slice::from_raw_parts(mapped(piece.start) as *const u8, (piece.end - piece.start) as usize) };
    let Ok(archive) = TarArchiveRef::new(bytes) else { return Vec::new() };
    let mut images = Vec::new();
    for file in archive.entries() {
        let Ok(name) = file.filename().as_str().map(ToString::to_string) else { continue };
        let data = file.data();
        match Executable::parse(data) {
            Ok(executable) => {
                let at = data.as_ptr() as u64 - mapped(0);
                let hash = *blake3::hash(data).as_bytes();
                let image = Rc::new(Image { at, length: data.len() as u64, own: false, executable });
                images.push(BootImage { name, hash, image });
            }
            Err(refusal) => say!("orbital: the boot image {name} is left out: {refusal}"),
        }
    }
    images
}

impl Machine {
    /// Makes init and everything that it holds, and starts it.
    fn set_up(&mut self, images: &[BootImage], heap: u64) -> Result<(), Error> {
        let mut capabilities: Vec<(String, Handle)> = Vec::new();
        // What the kernel keeps beside what is paid for fits into the rest.
        let memory = heap / 2;
        let pages = self.frames.count() - self.frames.count() / 32;
        let quota = self.set_up_one(Setup::Quota { memory, pages })?.handle;
        let Some(init) = images.iter().find(|image| image.name == "init") else { return Err(Error::InvalidArgument) };
        let name = Name::new("init");
        let made = self.set_up_one(Setup::Init { image: init.hash, length: init.image.length, name })?;
        capabilities.push(("quota".into(), if quota.is_none() { made.handle } else { quota }));
        let devices: Vec<_> =
            self.devices.list().map(|(device, name, line)| (device, name.to_string(), line)).collect();
        for (device, name, interrupt) in devices {
            let made = self.set_up_one(Setup::Device { device, name: Name::new(&name), interrupt })?;
            capabilities.push((format!("device:{name}"), made.handle));
            if interrupt.is_some() {
                capabilities.push((format!("interrupt:{name}"), made.interrupt));
            }
        }
        for image in images {
            let (hash, length) = (image.hash, image.image.length);
            let made = self.set_up_one(Setup::Image { hash, length, name: Name::new(&image.name) })?;
            capabilities.push((format!("image:{}", image.name), made.handle));
        }
        let arguments = texts("opt/orbital/arguments");
        let variable = |text: String| text.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
        let mut environment: Vec<(String, String)> =
            texts("opt/orbital/environment").into_iter().filter_map(variable).collect();
        for image in images {
            let hash = blake3::Hash::from_bytes(image.hash).to_hex();
            environment.push((format!("image-hash:{}", image.name), hash.as_str().into()));
        }
        let log = self.set_up_one(Setup::Log)?.handle;
        capabilities.push(("log".into(), log));
        // The startup block of libprocess: postcard of its fields in order.
        let startup = postcard::to_allocvec(&(arguments, environment, capabilities)).map_err(|_| Error::TooLarge)?;
        let length = u32::try_from(startup.len()).map_err(|_| Error::TooLarge)?;
        self.init_startup = startup;
        self.set_up_one(Setup::Start { length })?;
        Ok(())
    }

    fn set_up_one(&mut self, setup: Setup) -> Result<kernel::input::SetUp, Error> {
        let now = self.clock.now();
        let made = self.axiom.setup(setup, now)?;
        self.carry_out();
        Ok(made)
    }
}
