//! `mllmseg completions`: a script that lets a shell complete words of the command.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::CliError;
use super::terminal::print_result;

/// Print a script that lets a shell complete commands, flags and their values
#[derive(Debug, Args)]
#[command(
    after_help = "Example: mllmseg completions bash > ~/.local/share/bash-completion/completions/mllmseg"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: CompletionsArgs, mut command: Command) -> Result<(), CliError> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, "mllmseg", &mut script);
    print_result(String::from_utf8_lossy(&script).trim_end())
}
