//! The tiny trained model that travels with the program (`assets/tiny/`).
//!
//! It knows drawn scenes and nothing else, weighs nine megabytes, and needs no download. Commands use
//! it when no checkpoint is named.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;
use mllmseg_data::files::{FileError, write_file};
use mllmseg_scenes::{World, may_be_drawn};

/// Name and content of every file.
const FILES: [(&str, &[u8]); 7] = [
    ("config.json", include_bytes!("../assets/tiny/config.json")),
    ("vocab.json", include_bytes!("../assets/tiny/vocab.json")),
    ("merges.txt", include_bytes!("../assets/tiny/merges.txt")),
    ("added_tokens.json", include_bytes!("../assets/tiny/added_tokens.json")),
    ("special_tokens_map.json", include_bytes!("../assets/tiny/special_tokens_map.json")),
    ("tokenizer_config.json", include_bytes!("../assets/tiny/tokenizer_config.json")),
    ("model.safetensors", include_bytes!("../assets/tiny/model.safetensors")),
];

/// What commands say when they use it.
pub const NOTICE: &str = "No --checkpoint: this is the tiny model, which knows pictures drawn by \
                          `mllmseg synth` and nothing of photographs";

/// What the page of `mllmseg serve` says of it.
pub const PAGE_NOTICE: &str = "This is the tiny model that travels with the program. It knows coloured shapes \
    in drawn scenes, their sizes, places, orders and relations: \"the red star\", \"all the yellow \
    triangles\". It knows nothing of photographs; `mllmseg serve --checkpoint DIR` takes a model that does.";

/// The model as a checkpoint folder in the user's cache, where it is written at first use.
///
/// # Errors
/// If it cannot be written.
pub fn folder() -> Result<PathBuf, FileError> {
    let folder = cache().join("mllmseg").join(concat!("tiny-", env!("CARGO_PKG_VERSION")));
    unpack(&folder)?;
    Ok(folder)
}

/// Whether a checkpoint folder holds the tiny model.
pub fn is_in(folder: &Path) -> bool {
    FILES.iter().all(|(name, content)| {
        let path = folder.join(name);
        let length = fs::metadata(&path).map_or(0, |there| there.len());
        length == content.len() as u64 && fs::read(path).is_ok_and(|there| there == *content)
    })
}

/// Why the tiny model's answers may mean nothing: the image is no drawn scene, or it has never met
/// some of the words. Empty where nothing speaks against them.
pub fn cautions(image: &RgbImage, expressions: &[&str]) -> Vec<String> {
    let mut cautions = Vec::new();
    if !may_be_drawn(image) {
        cautions.push(
            "this is no drawn scene; the tiny model knows nothing else, so its masks mean nothing"
                .into(),
        );
    }
    let known = World::small().vocabulary();
    let words = expressions.iter().flat_map(|text| text.split_whitespace());
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
    let mut unknown: Vec<_> =
        words.filter(|word| !word.is_empty() && !known.contains(word)).collect();
    unknown.sort();
    unknown.dedup();
    if !unknown.is_empty() {
        cautions.push(format!("the tiny model has never met the words: {}", unknown.join(", ")));
    }
    cautions
}

/// Writes the files that are missing or damaged.
fn unpack(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(FileError::at(folder))?;
    for (name, content) in FILES {
        let place = folder.join(name);
        if !fs::read(&place).is_ok_and(|there| there == content) {
            write_file(&place, |file| file.write_all(content))?; // another process may do the same
        }
    }
    Ok(())
}

/// `XDG_CACHE_HOME`, `~/.cache` or `LOCALAPPDATA`; the folder for temporary files without any.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = || variable("HOME").map(|home| home.join(".cache"));
    let found = variable("XDG_CACHE_HOME").or_else(home).or_else(|| variable("LOCALAPPDATA"));
    found.unwrap_or_else(std::env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photographs_and_unknown_words_are_met_with_caution() {
        let read = |name| mllmseg_data::image::read_image(name).unwrap();
        let scene = read("examples/scene.png");
        let known = ["all the yellow triangles", "The blue circle.", "the star left of the ring"];
        assert_eq!(cautions(&scene, &known), [""; 0]);
        let found = cautions(&scene, &["the red dog", "a dog"]);
        assert_eq!(found, ["the tiny model has never met the words: a, dog"]);
        let found = cautions(&read("examples/cat.jpg"), &["the red star"]);
        assert!(found.len() == 1 && found[0].contains("no drawn scene"), "{found:?}");
    }

    #[test]
    fn a_folder_holds_the_tiny_model_or_another() {
        assert!(is_in(Path::new("assets/tiny")));
        assert!(!is_in(Path::new("examples")));
    }

    #[test]
    fn damaged_files_are_written_again() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path()).unwrap();
        let config = folder.path().join("config.json");
        fs::write(&config, "{").unwrap();
        unpack(folder.path()).unwrap();
        assert_eq!(fs::read(&config).unwrap(), FILES[0].1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES.len());
    }
}
