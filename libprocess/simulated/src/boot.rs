//! Sets a machine up as a host does: root quota, first process, devices, the images of
//! the boot set, the log; then starts the first process with the names of what it has.

use crate::devices::{self, line_of};
use crate::image::{executable, image_hash};
use crate::world::World;
use abi::{Error, Handle, Name};
use kernel::DeviceId;
use kernel::input::{SetUp, Setup};
use libprocess::startup::Startup;

/// Kernel memory in bytes and pages of a machine: as much as a real host gives.
const MEMORY: u64 = 512 << 20;
const PAGES: u64 = 1 << 20;

/// The devices, with the names under which the first process finds them, and whether
/// they have an interrupt.
const DEVICES: [(DeviceId, &str, bool); 5] = [
    (devices::CONSOLE, "console", true),
    (devices::DISK, "disk", true),
    (devices::CLOCK, "clock", false),
    (devices::ENTROPY, "entropy", false),
    (devices::POWER, "power", true),
];

/// What the first process is.
pub(crate) struct First<'a> {
    pub name: &'a str,
    pub arguments: &'a [String],
    pub environment: &'a [(String, String)],
    /// Before the names of all but quota and clock, so that libprocess takes none of
    /// them for the process's own use.
    pub prefix: &'a str,
}

/// Sets up and starts.
pub(crate) fn boot(world: &mut World, first: &First<'_>) -> Result<(), Error> {
    let mut capabilities = Vec::new();
    let mut environment = first.environment.to_vec();
    let mut give = |name: String, handle: Handle| {
        if !handle.is_none() {
            capabilities.push((name, handle));
        }
    };
    let prefix = first.prefix;
    setup(world, Setup::Quota { memory: MEMORY, pages: PAGES })?;
    let (image, length) = (image_hash(first.name), executable(first.name).len() as u64);
    let made = setup(world, Setup::Init { image, length, name: Name::new(first.name) })?;
    give("quota".into(), made.handle);
    for (device, name, has_line) in DEVICES {
        let interrupt = has_line.then_some(line_of(device));
        let made = setup(world, Setup::Device { device, name: Name::new(name), interrupt })?;
        give(format!("{prefix}device:{name}"), made.handle);
        give(format!("{prefix}interrupt:{name}"), made.interrupt);
        if device == devices::CLOCK && !prefix.is_empty() {
            give("clock".into(), made.handle);
        }
    }
    for name in world.images.names.clone() {
        let (hash, length) = (image_hash(&name), executable(&name).len() as u64);
        if prefix.is_empty() {
            let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            environment.push((format!("image-hash:{name}"), hex));
        }
        let made = setup(world, Setup::Image { hash, length, name: Name::new(&name) })?;
        give(format!("{prefix}image:{name}"), made.handle);
    }
    let made = setup(world, Setup::Log)?;
    give(format!("{prefix}log"), made.handle);
    let bytes = Startup { arguments: first.arguments.to_vec(), environment, capabilities }.to_bytes()?;
    let length = bytes.len() as u32;
    world.first_startup = bytes;
    setup(world, Setup::Start { length })?;
    Ok(())
}

fn setup(world: &mut World, setup: Setup) -> Result<SetUp, Error> {
    let made = world.axiom.setup(setup, world.now)?;
    world.carry_out();
    Ok(made)
}
