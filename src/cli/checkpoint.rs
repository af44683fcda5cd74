//! A checkpoint as users name it: a folder, or a model of the hub.

use std::path::{Path, PathBuf};

use indicatif::{DecimalBytes, ProgressBar};
use mllmseg::hub::{Event, Hub, is_repo_name};

use super::CliError;
use super::terminal::{is_watched, note, progress_bar};

/// The folder of a checkpoint: `name` itself where it is there, or else the model `OWNER/NAME` or
/// `OWNER/NAME@REVISION` of the hub, which is fetched once into the hub's cache.
pub fn checkpoint_folder(name: &Path) -> Result<PathBuf, CliError> {
    let (false, Some((repo, revision))) = (name.exists(), hub_name(name)) else {
        return Ok(name.to_path_buf());
    };
    let folder = Hub::from_env()?.checkpoint(repo, revision, &mut progress(repo));
    folder.map_err(|error| {
        format!("{}: no such folder here; as a model of the hub: {error}", name.display()).into()
    })
}

/// The folder of a checkpoint that is on this machine already.
pub fn checkpoint_in_cache(name: &Path) -> Result<PathBuf, CliError> {
    let (false, Some((repo, revision))) = (name.exists(), hub_name(name)) else {
        return Ok(name.to_path_buf());
    };
    Hub::from_env()?.cached(repo, revision)?.ok_or_else(|| {
        let name = name.display();
        format!("{name}: not on this machine; `mllmseg download {name}` fetches it").into()
    })
}

fn hub_name(name: &Path) -> Option<(&str, Option<&str>)> {
    let text = name.to_str()?;
    let (repo, revision) = match text.split_once('@') {
        Some((repo, revision)) => (repo, Some(revision)),
        None => (text, None),
    };
    is_repo_name(repo).then_some((repo, revision))
}

/// Says how much is to come, and shows a bar for each file; where no one watches, a line for each
/// whole file.
pub fn progress(repo: &str) -> impl FnMut(Event) {
    let template = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let mut current: Option<ProgressBar> = None;
    move |event| match event {
        Event::Begins(Some(0)) => {}
        Event::Begins(Some(bytes)) => note(format!("Fetching {repo}: {}", DecimalBytes(bytes))),
        Event::Begins(None) => {
            note(format!("Fetching {repo}; the hub does not say how large it is"))
        }
        Event::Received(file, received, size) => {
            let new = || progress_bar(template, size).with_message(file.to_owned());
            let bar = current.get_or_insert_with(new);
            bar.set_position(received);
            if received == size {
                bar.finish();
                current = None;
                if !is_watched() {
                    note(file);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_hub_have_an_owner_and_a_name() {
        let parts = |name: &'static str| hub_name(Path::new(name));
        assert_eq!(parts("owner/model-1.5_B"), Some(("owner/model-1.5_B", None)));
        assert_eq!(parts("owner/model@v1/x"), Some(("owner/model", Some("v1/x"))));
        for name in ["model", "./owner/model", "../model", "/owner/model", "a/b/c", "a/", "a b/c"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }
}
