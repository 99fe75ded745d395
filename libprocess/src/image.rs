//! What makes a program out of a main function: entry, allocator and panic handler on
//! WebAssembly and on bare x86_64; on an ordinary target a program that says what it is.

/// Makes the image's entry of an `async fn main(process: Process)`. The image's whole
/// `src/main.rs` is
///
/// ```ignore
/// #![cfg_attr(any(target_os = "unknown", target_os = "none"), no_std, no_main)]
/// libprocess::main!(storage::main);
/// ```
///
/// Its result is the exit code: anything that is [`Report`](crate::Report).
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! main {
    ($main:path) => {
        struct Image;
        impl $crate::wasm::bindings::Guest for Image {
            fn run() {
                $crate::image::run($main);
            }
        }
        $crate::wasm::bindings::export!(Image with_types_in $crate::wasm::bindings);
    };
}

/// Makes the image's entry of an `async fn main(process: Process)`: see the module.
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! main {
    ($main:path) => {
        extern "C" fn run() {
            $crate::image::run($main);
        }
        $crate::native_entry!(run);
    };
}

/// Makes the image's entry; on this target, a program that says what it is.
#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
#[macro_export]
macro_rules! main {
    ($main:path) => {
        fn main() -> ::std::process::ExitCode {
            // It must be a main function of an image all the same.
            let _ = || $crate::start($main);
            ::std::eprintln!(
                "{name} is a program of Orbital: build it for wasm32-unknown-unknown and run it with `orbital run {name}.wasm`",
                name = ::core::env!("CARGO_PKG_NAME"),
            );
            ::std::process::ExitCode::from(2)
        }
    };
}

#[cfg(any(target_arch = "wasm32", target_os = "none"))]
pub use bare::run;

#[cfg(any(target_arch = "wasm32", target_os = "none"))]
mod bare {
    use crate::process::{Process, Report};
    use core::fmt::Write;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    #[cfg(target_arch = "wasm32")]
    #[global_allocator]
    static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

    /// Runs an image and ends its process.
    pub fn run<M, F>(main: M)
    where
        M: FnOnce(Process) -> F + 'static,
        F: Future + 'static,
        F::Output: Report,
    {
        #[cfg(target_os = "none")]
        crate::context::with(|context| context.open());
        let mut whole = pin!(crate::start(main));
        // System calls block inside, so one poll runs it to its end.
        let code = match whole.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(code) => code,
            Poll::Pending => crate::executor::EXIT_BROKEN,
        };
        crate::system::exit(code);
    }

    /// The message of a panic, cut to what fits.
    struct Message(heapless::String<512>);

    impl Write for Message {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            for character in text.chars() {
                if self.0.push(character).is_err() {
                    break;
                }
            }
            Ok(())
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        let mut message = Message(heapless::String::new());
        let _ = write!(message, "{info}");
        crate::system::debug(&message.0);
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
        #[cfg(target_os = "none")]
        crate::native::fault()
    }
}
