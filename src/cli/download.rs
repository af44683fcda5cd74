//! `mllmseg download`: a checkpoint from the Hugging Face hub.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use mllmseg::hub::{Hub, HubError};

use super::progress_bar;

/// Download a checkpoint from the Hugging Face hub; a broken download is resumed.
///
/// HF_ENDPOINT chooses the hub, HF_HOME the cache, HF_TOKEN gives access to gated models.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The model on the hub, OWNER/NAME
    repo: String,
    /// A branch, tag or commit [default: main]
    #[arg(long)]
    revision: Option<String>,
    /// The folder for the files, instead of the cache that Hugging Face's tools share
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Downloads the checkpoint, and prints where it is and what to type next.
pub fn run(args: DownloadArgs) -> Result<(), HubError> {
    let hub = Hub::from_env()?;
    let (revision, out) = (args.revision.as_deref(), args.out.as_deref());
    let folder = hub.download(&args.repo, revision, out, &mut progress_bars())?;
    println!("{} is in {}", args.repo, folder.display());
    println!("Next: mllmseg segment --checkpoint {} IMAGE \"words\"", quoted(&folder));
    Ok(())
}

/// `path` as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    match path.contains(|c: char| !c.is_alphanumeric() && !"/\\._-:~+".contains(c)) {
        true => format!("\"{path}\""),
        false => path,
    }
}

/// A bar for each file; where no one watches, a line for each whole file.
fn progress_bars() -> impl FnMut(&str, u64, u64) {
    let template = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let mut current: Option<ProgressBar> = None;
    move |file, received, size| {
        let new = || progress_bar(template, size).with_message(file.to_owned());
        let bar = current.get_or_insert_with(new);
        bar.set_position(received);
        if received == size {
            bar.finish();
            current = None;
            if !std::io::stderr().is_terminal() {
                eprintln!("{file}");
            }
        }
    }
}
