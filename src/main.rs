//! The `mllmseg` command: arguments in, exit code out; each command is a file of `cli/`.

mod cli;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use mllmseg::allocator::KeepingAllocator;

#[global_allocator]
static ALLOCATOR: KeepingAllocator = KeepingAllocator;

/// Say "the man in the red shirt" and get his mask.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say nothing but results, warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Segment(cli::segment::SegmentArgs),
    Explain(cli::explain::ExplainArgs),
    Eval(cli::eval::EvalArgs),
    Score(cli::score::ScoreArgs),
    Check(cli::check::CheckArgs),
    CheckData(cli::check_data::CheckDataArgs),
    Info(cli::info::InfoArgs),
    MergeLora(cli::merge_lora::MergeLoraArgs),
    Convert(cli::convert::ConvertArgs),
    Download(cli::download::DownloadArgs),
    Train(cli::train::TrainArgs),
    Export(cli::export::ExportArgs),
    Synth(cli::synth::SynthArgs),
    Serve(cli::serve::ServeArgs),
    ServeDevice(cli::serve_device::ServeDeviceArgs),
    Doctor(cli::doctor::DoctorArgs),
    Completions(cli::completions::CompletionsArgs),
}

fn main() -> ExitCode {
    give_wayland_a_folder();
    let arguments = Arguments::parse();
    if arguments.quiet {
        cli::terminal::be_quiet();
    }
    let outcome = cli::guarded(move || match arguments.command {
        Command::Segment(arguments) => cli::segment::run(arguments),
        Command::Explain(arguments) => cli::explain::run(arguments),
        Command::Eval(arguments) => cli::eval::run(arguments),
        Command::Score(arguments) => cli::score::run(arguments),
        Command::Check(arguments) => cli::check::run(arguments),
        Command::CheckData(arguments) => cli::check_data::run(arguments),
        Command::Info(arguments) => cli::info::run(arguments),
        Command::MergeLora(arguments) => cli::merge_lora::run(arguments),
        Command::Convert(arguments) => cli::convert::run(arguments),
        Command::Download(arguments) => cli::download::run(arguments),
        Command::Train(arguments) => cli::train::run(arguments),
        Command::Export(arguments) => cli::export::run(arguments),
        Command::Synth(arguments) => cli::synth::run(arguments),
        Command::Serve(arguments) => cli::serve::run(arguments),
        Command::ServeDevice(arguments) => cli::serve_device::run(arguments),
        Command::Doctor(arguments) => cli::doctor::run(arguments),
        Command::Completions(arguments) => cli::completions::run(arguments, Arguments::command()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::terminal::warn(format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Looking for GPUs loads libwayland, which prints an error on machines without a session; no
/// window is ever opened.
#[expect(unsafe_code, reason = "setting a variable is unsafe")]
fn give_wayland_a_folder() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing that the program does, before there is another thread.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}
