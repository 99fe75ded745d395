//! `orbital completions`: for bash, zsh, fish, elvish and PowerShell.

use crate::problem::Problem;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;

const AFTER_HELP: &str = "\
Examples:
  orbital completions bash > ~/.local/share/bash-completion/completions/orbital
  orbital completions zsh > ~/.zfunc/_orbital
  orbital completions fish > ~/.config/fish/completions/orbital.fish";

/// Of `orbital completions`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The command-line shell
    shell: Shell,
}

/// Writes the completions of a command.
pub fn run<C: CommandFactory>(arguments: &Arguments) -> Result<u8, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut C::command(), "orbital", &mut script);
    super::written(std::io::stdout().write_all(&script))?;
    Ok(0)
}
