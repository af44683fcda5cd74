//! A checkpoint folder written again, in the layout that is asked for.

mod error;
pub(crate) mod processor;
mod side_files;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mllmseg_data::files::{FileError, NewFolder};
use mllmseg_data::tokenizer::{IMG_CONTEXT, Tokenizer};
use mllmseg_model::MllmsegConfig;
use mllmseg_model::checkpoint::convert::convert_weights;
use mllmseg_model::checkpoint::save::Written;
use mllmseg_model::checkpoint::write::write_json;
use mllmseg_model::checkpoint::{CheckpointError, SaveOptions, WeightFiles};
use mllmseg_model::config::{ConfigError, Layout, published_json};
use serde_json::Value;

pub use error::ConvertError;

/// Writes the checkpoint `input` in `layout` to `output`, a new or empty folder: every tensor with its
/// bytes, `config.json`, and the tokenizer's and other small files.
///
/// `output` appears whole or not at all, as [`mllmseg_data::files`] promises.
///
/// # Errors
/// See [`ConvertError`]. Nothing is left behind then.
pub fn convert(input: &Path, output: &Path, layout: Layout) -> Result<Written, ConvertError> {
    let source = Source::open(input)?;
    source.write(output, layout, true, |files, folder| {
        let shard = SaveOptions::default().max_shard_bytes;
        let written = convert_weights(files, &source.config, layout, folder, shard)?;
        Ok((written, written.is_tied))
    })
}

/// A checkpoint folder that is to be written again.
pub(crate) struct Source {
    dir: PathBuf,
    /// Its sizes.
    pub config: MllmsegConfig,
    /// Its layout.
    pub layout: Layout,
    /// Its `config.json` in published keys.
    file: Value,
}

impl Source {
    pub fn open(dir: &Path) -> Result<Self, ConvertError> {
        let config = MllmsegConfig::from_dir(dir)?;
        let path = dir.join("config.json");
        let text = fs::read(&path).map_err(FileError::at(&path))?;
        let file = serde_json::from_slice(&text).map_err(io::Error::from);
        let file: Value = file.map_err(FileError::at(&path))?;
        let layout = Layout::of(&file);
        let file = published_json(file).map_err(|message| ConfigError { path, message })?;
        Ok(Self { dir: dir.to_owned(), config, layout, file })
    }

    /// Writes a folder; `weights` writes those, with separate adapters if it `keeps_lora`, and says whether
    /// one token table stands for two.
    pub fn write<T>(
        &self,
        output: &Path,
        layout: Layout,
        keeps_lora: bool,
        weights: impl FnOnce(WeightFiles, &Path) -> Result<(T, bool), CheckpointError>,
    ) -> Result<T, ConvertError> {
        let files = WeightFiles::open(&self.dir)?;
        let rank = files.adapter().filter(|_| keeps_lora).map_or(0, |adapter| adapter.lora.rank);
        let mut file = self.config_json(layout, rank)?; // what has no place is found before anything is written
        if self.layout != layout {
            processor::check(&self.dir, &self.config)?;
        }
        let folder = NewFolder::create(output)?;
        side_files::copy(&self.dir, folder.path(), [self.layout, layout], rank > 0)?;
        let (written, is_tied) = weights(files, folder.path())?;
        layout.set_tied(&mut file, is_tied);
        write_json(&file, &folder.path().join("config.json"))?;
        if layout == Layout::Transformers {
            processor::complete(folder.path(), &self.config)?;
        }
        folder.finish()?;
        Ok(written)
    }

    fn config_json(&self, layout: Layout, rank: usize) -> Result<Value, ConvertError> {
        let mut file = self.file.clone();
        file["use_llm_lora"] = rank.into();
        if layout == Layout::Transformers && file["image_token_id"].is_null() {
            let tokenizer = Tokenizer::from_dir(&self.dir)?;
            file["image_token_id"] = tokenizer.require(IMG_CONTEXT)?.into();
        }
        let wrong = |message| ConfigError { path: self.dir.join("config.json"), message };
        Ok(layout.config_json(file).map_err(wrong)?)
    }
}
