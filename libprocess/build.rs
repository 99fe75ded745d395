//! Generates the interfaces from `wit/*.wit`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=../wit");
    let Some(out) = std::env::var_os("OUT_DIR") else { return ExitCode::FAILURE };
    match wit::generate_folder(Path::new("../wit"), "crate") {
        Ok(code) => {
            if let Err(error) = std::fs::write(Path::new(&out).join("interfaces.rs"), code) {
                println!("cargo::error={error}");
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            for mistake in mistakes {
                for line in mistake.to_string().lines() {
                    println!("cargo::error={line}");
                }
            }
            ExitCode::FAILURE
        }
    }
}
