//! What the guests share: the system calls as they are, and what a process was started
//! with. No libprocess: these guests do what a well-behaved program never does.
#![no_std]
#![cfg(target_arch = "wasm32")]
extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What wit-bindgen makes of `wit/kernel.wit`.
#[allow(missing_docs, unsafe_code, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit/kernel.wit",
        world: "process",
        pub_export_macro: true,
        default_bindings_module: "guests::bindings",
    });
}

pub use bindings::orbital::kernel::calls;

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = calls::debug(&info.to_string());
    core::arch::wasm32::unreachable()
}

/// Makes the entry of a guest of a function that gets what it was started with.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        struct Image;
        impl $crate::bindings::Guest for Image {
            fn run() {
                $main($crate::Start::get());
            }
        }
        $crate::bindings::export!(Image with_types_in $crate::bindings);
    };
}

/// Eight words of nothing.
pub const NOTHING: calls::Words = (0, 0, 0, 0, 0, 0, 0, 0);
/// A time-out that never comes.
pub const FOREVER: u64 = u64::MAX;
/// All rights that the source has.
pub const ALL: u16 = u16::MAX;
/// What a process may use.
pub const LIMITS: calls::Limits = calls::Limits { capabilities: 256, queued_messages: 64, processor_time: u64::MAX };

/// What a process was started with.
pub struct Start {
    /// Arguments.
    pub arguments: Vec<String>,
    /// Capabilities by name.
    pub capabilities: Vec<(String, u64)>,
}

impl Start {
    /// From the startup bytes.
    pub fn get() -> Start {
        let bytes = calls::startup().unwrap();
        let (arguments, _, capabilities): (_, Vec<(String, String)>, _) = postcard::from_bytes(&bytes).unwrap();
        Start { arguments, capabilities }
    }

    /// The capability of this name.
    pub fn capability(&self, name: &str) -> u64 {
        self.capabilities.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no capability {name}")).1
    }

    /// The argument at this place, as a number.
    pub fn number(&self, place: usize) -> u64 {
        self.arguments[place].parse().unwrap()
    }
}

/// A child process: made, granted, started.
pub struct Child {
    /// Its process.
    pub process: u64,
    granted: Vec<(String, u64)>,
    arguments: Vec<String>,
}

impl Child {
    /// Made from an image; its exit and faults come to `supervisor`.
    pub fn new(start: &Start, image: &str, supervisor: u64, name: &str) -> Result<Child, calls::Error> {
        let quota = calls::quota_split(start.capability("quota"), 1 << 20, 1024)?;
        let process = calls::process_create(start.capability(image), quota, supervisor, name, LIMITS)?;
        let mut child = Child { process, granted: Vec::new(), arguments: Vec::new() };
        child.grant("quota", quota, ALL);
        Ok(child)
    }

    /// One that was made otherwise.
    pub fn made(process: u64) -> Child {
        Child { process, granted: Vec::new(), arguments: Vec::new() }
    }

    /// Gives it a capability under a name.
    pub fn grant(&mut self, name: &str, source: u64, rights: u16) -> &mut Child {
        let handle = calls::process_grant(self.process, source, rights, 0, FOREVER).unwrap();
        self.granted.push((name.to_string(), handle));
        self
    }

    /// Adds an argument.
    pub fn argument(&mut self, argument: &str) -> &mut Child {
        self.arguments.push(argument.to_string());
        self
    }

    /// Lets it run.
    pub fn start(&mut self) -> Result<(), calls::Error> {
        let environment: Vec<(String, String)> = Vec::new();
        let bytes = postcard::to_allocvec(&(&self.arguments, environment, &self.granted)).unwrap();
        calls::process_start(self.process, &bytes)
    }
}

/// A word of the message.
pub fn words(first: u64) -> calls::Words {
    (first, 1, 2, 3, 4, 5, 6, 7)
}

/// Ends the machine with this status.
pub fn power_off(start: &Start, status: u64) {
    calls::device_write(start.capability("device:power"), abi::device::POWER_OFF, status).unwrap();
    loop {
        calls::yield_();
    }
}

/// Writes to the console; does not wait for it to be shown.
pub fn print(start: &Start, text: &str) {
    let console = start.capability("device:console");
    calls::device_submit(console, abi::device::Operation::Write as u8, 0, 0, text.as_bytes()).unwrap();
    // What is done is taken: only so many may be under way.
    while calls::device_complete(console).is_ok() {}
}
