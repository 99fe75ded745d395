//! The `orbital` command. All of it is in the library, where tests reach it.

fn main() -> std::process::ExitCode {
    host_wasm::cli::main(std::env::args_os())
}
