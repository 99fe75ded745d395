//! Turning the machine off, and telling a virtual machine's owner with what status.

use x86_64::instructions::port::Port;

/// Where QEMU's debug console listens; nowhere else does anything.
const DEBUG_CONSOLE: u16 = 0xe9;
/// QEMU's device for the end (`isa-debug-exit`).
const DEBUG_EXIT: u16 = 0xf4;
/// PM1a control block of QEMU's q35 and i440fx.
const ACPI_CONTROL: u16 = 0x604;
/// Sleep enable, with type 0, which is S5 there.
const ACPI_OFF: u16 = 0x2000;

/// Turns the machine off. Where that has no effect, it stands still.
pub fn off(status: u64) -> ! {
    // SAFETY: ports of devices that turn the machine off; where they are not there, nothing happens.
    unsafe {
        let mut console = Port::<u8>::new(DEBUG_CONSOLE);
        for byte in b"exit " {
            console.write(*byte);
        }
        let status = status.min(255) as u8;
        for divisor in [100, 10, 1] {
            if status >= divisor || divisor == 1 {
                console.write(b'0' + status / divisor % 10);
            }
        }
        console.write(b'\n');
        Port::<u16>::new(ACPI_CONTROL).write(ACPI_OFF);
        Port::<u32>::new(DEBUG_EXIT).write(0x7f);
    }
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
