//! `mllmseg download`: a checkpoint from the Hugging Face hub.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mllmseg::hub::{Hub, HubError, Progress};

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

/// Downloads the checkpoint and says where it is and what to type next.
///
/// # Errors
/// See [`Hub::download`].
pub fn run(args: DownloadArgs) -> Result<(), HubError> {
    let mut bars = Bars::default();
    let hub = Hub::from_env()?;
    let folder =
        hub.download(&args.repo, args.revision.as_deref(), args.out.as_deref(), &mut bars)?;
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

/// A bar for the file at hand; a line for each whole file where nobody watches.
#[derive(Default)]
struct Bars {
    bar: Option<ProgressBar>,
}

impl Progress for Bars {
    fn begin(&mut self, file: &str, size: u64) {
        let bar = self.bar.get_or_insert_with(|| {
            let template = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(size).with_style(style)
        });
        bar.set_length(size);
        bar.set_message(file.to_owned());
    }

    fn position(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
    }

    fn finish(&mut self, file: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
        if !std::io::stderr().is_terminal() {
            eprintln!("{file}");
        }
    }
}
