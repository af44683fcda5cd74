//! `mllmseg download`: a checkpoint from the Hugging Face hub.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use mllmseg::hub::Hub;

use super::CliError;
use super::checkpoint::progress;
use super::terminal::{note, print_result};

/// Download a checkpoint from the Hugging Face hub; a broken download is resumed.
///
/// HF_ENDPOINT chooses the hub, HF_HOME the cache, HF_TOKEN gives access to gated models. Proxies
/// (HTTPS_PROXY, ALL_PROXY, NO_PROXY) and root certificates (SSL_CERT_FILE) are as for curl.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The model on the hub, OWNER/NAME
    repo: String,
    /// A branch, tag or commit [default: main]
    #[arg(long)]
    revision: Option<String>,
    /// The folder for the files, instead of the cache that Hugging Face's tools share
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

/// Downloads the checkpoint, and prints where it is and what to type next.
pub fn run(args: DownloadArgs) -> Result<(), CliError> {
    let hub = Hub::from_env()?;
    let (revision, out) = (args.revision.as_deref(), args.out.as_deref());
    let folder = hub.download(&args.repo, revision, out, &mut progress(&args.repo))?;
    print_result(format!("{} is in {}", args.repo, folder.display()))?;
    note(format!("Next: mllmseg segment --checkpoint {} IMAGE \"words\"", quoted(&folder)));
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
