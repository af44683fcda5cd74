//! The tensors of a folder, unread, by their published names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn_pack::Tensor as PackTensor;
use burn_store::{ModuleStore, PytorchStore};

use super::adapter::{Adapter, read_adapter, read_targets};
use super::aliases::to_published;
use super::choice::{Index, Weights, choose};
use super::error::CheckpointError;
use super::factors::with_factors;
use super::folder::{Files, Folder, Source};
use super::layout::Tensors;
use super::llama::to_internlm2;
use super::quantized::refuse_quantized;
use super::safetensors;
use crate::config::{Architecture, LanguageConfig};

/// An adapter alone, as PEFT saves it.
const ADAPTERS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// Every tensor of a checkpoint by its published name, unread.
#[derive(Debug)]
pub struct WeightFiles {
    dir: PathBuf,
    tensors: Tensors,
    adapter: Option<Adapter>,
    /// The one of two tied tables that is the other one, and not in the files.
    tied: Option<String>,
    notes: Vec<String>,
}

impl WeightFiles {
    /// Finds the layout of a folder and reads names, shapes and dtypes; no weights yet.
    ///
    /// # Errors
    /// Files that are damaged, quantised, ambiguous, or not there.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let mut files = Self::open_base(&Folder::Disk(dir.to_path_buf()))?;
        files.adapter = read_adapter(dir, &files.tensors)?;
        match ADAPTERS.iter().any(|name| dir.join(name).exists()) {
            true => files.with_adapter(dir),
            false => Ok(files),
        }
    }

    /// As [`open`](Self::open), of files that are not on the disk; `name` is for messages.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for PyTorch's files and separate adapters.
    pub fn held(name: &Path, files: Arc<dyn Files>) -> Result<Self, CheckpointError> {
        let names = files.names();
        let files = Self::open_base(&Folder::Held(name.to_path_buf(), files))?;
        let separate = files.tensors.keys().any(|tensor| tensor.contains(".lora_A."));
        if separate || ADAPTERS.iter().any(|name| names.contains(*name)) {
            let message = "separate adapters are read from the disk only: merge them by merge-lora";
            return Err(CheckpointError::unusable(name, message));
        }
        Ok(files)
    }

    /// Without separate adapters.
    fn open_base(folder: &Folder) -> Result<Self, CheckpointError> {
        let (weights, mut notes) = choose(folder)?;
        let (file, tensors) = match weights {
            Weights::Whole(file) => {
                let tensors = open_one(&file)?;
                (file, tensors)
            }
            Weights::Sharded(index) => {
                let tensors = open_shards(folder, &index)?;
                (index.file, tensors)
            }
        };
        refuse_quantized(file.path(), &tensors)?;
        let unusable = |message| CheckpointError::unusable(file.path(), message);
        let (tensors, renamed) = to_published(tensors).map_err(unusable)?;
        notes.extend(renamed);
        let dir = folder.path().to_path_buf();
        Ok(Self { dir, tensors, adapter: None, tied: None, notes })
    }

    /// Adds the adapter of a folder that PEFT wrote: `adapter_model.safetensors` or `.bin`, and
    /// `adapter_config.json`. An adapter beside a model is added by [`open`](Self::open), as
    /// transformers does.
    ///
    /// # Errors
    /// An adapter that is not of this model, or that this network does not compute.
    pub fn with_adapter(mut self, dir: &Path) -> Result<Self, CheckpointError> {
        let mut paths = ADAPTERS.iter().map(|name| dir.join(name));
        let Some(path) = paths.find(|path| path.exists()) else {
            let message = format!("no adapter found; expected {}", ADAPTERS.join(" or "));
            return Err(CheckpointError::unusable(dir, message));
        };
        let unusable = |message: String| CheckpointError::unusable(&path, message);
        if self.adapter.is_some() {
            let message = "the model has separate adapters already: merge those by merge-lora";
            return Err(unusable(message.into()));
        }
        let Some(targets) = read_targets(dir)? else {
            let message = "expected adapter_config.json beside it, which has its scale";
            return Err(unusable(message.into()));
        };
        let factors = open_one(&Source::Disk(path.clone()))?;
        self.tensors = with_factors(self.tensors, factors, &targets).map_err(unusable)?;
        self.adapter = read_adapter(dir, &self.tensors)?;
        self.notes.push(format!("{} is added", path.display()));
        Ok(self)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names and shapes, sorted by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// How many tensors there are of each dtype.
    pub fn dtypes(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        self.tensors
            .values()
            .for_each(|tensor| *counts.entry(tensor.dtype.name()).or_default() += 1);
        counts
    }

    /// Whether there is a mask decoder; base models have none.
    pub fn has_mask_decoder(&self) -> bool {
        self.tensors.keys().any(|name| name.starts_with("res_decoder."))
    }

    /// The separate adapters; `None` if they are merged or there never were any.
    pub fn adapter(&self) -> Option<Adapter> {
        self.adapter
    }

    /// A line about each thing that is read in another way than it is written, or not at all.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes that all tensors take on disk.
    pub fn byte_len(&self) -> usize {
        self.tensors.values().map(PackTensor::byte_len).sum()
    }

    /// Gives InternLM2 its published names, where it is stored as Llama.
    pub(super) fn pack_llama(&mut self, config: &LanguageConfig) -> Result<(), CheckpointError> {
        if config.architecture == Architecture::InternLm2 {
            let published = to_internlm2(std::mem::take(&mut self.tensors), config);
            self.tensors = published.map_err(|text| CheckpointError::unusable(&self.dir, text))?;
        }
        Ok(())
    }

    /// Fills in the one of two tied tables that the files leave out.
    pub(super) fn fill_tied(&mut self, tables: [&str; 2]) {
        for [there, absent] in [tables, [tables[1], tables[0]]] {
            if let (Some(table), None) = (self.tensors.get(there), self.tensors.get(absent)) {
                self.tensors.insert(absent.to_string(), table.clone());
                self.tied = Some(absent.to_string());
            }
        }
    }

    /// The tensors that were read, and whether one table stands for two.
    pub(super) fn into_stored(mut self) -> (Tensors, bool) {
        let filled = self.tied.and_then(|name| self.tensors.remove(&name));
        (self.tensors, filled.is_some())
    }

    /// The tensors, unread.
    pub fn into_tensors(self) -> BTreeMap<String, PackTensor> {
        self.tensors
    }
}

/// One file, in the format that its name ends in.
fn open_one(file: &Source) -> Result<Tensors, CheckpointError> {
    refuse_placeholder(file)?;
    let path = file.path();
    let tensors = match (path.extension().and_then(|ending| ending.to_str()), file) {
        (Some("safetensors"), _) => safetensors::open(file)?,
        (Some("bin"), Source::Held(..)) => {
            let message =
                "PyTorch's files are read from the disk only: save it as safetensors by convert";
            return Err(CheckpointError::unusable(path, message));
        }
        (Some("bin"), Source::Disk(_)) => {
            // The store renumbers `mlp1.3` to `mlp1.2` unless it is told to keep the names.
            let mut store = PytorchStore::from_file(path).map_indices_contiguous(false);
            let tensors = store.get_all_tensors();
            let tensors = tensors.map_err(|error| CheckpointError::malformed(path, error))?;
            tensors.values().cloned().collect()
        }
        _ => {
            let message = "expected a name in .safetensors or .bin";
            return Err(CheckpointError::malformed(path, message));
        }
    };
    Ok(tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect())
}

/// Refuses what stands for a file that was not fetched.
fn refuse_placeholder(file: &Source) -> Result<(), CheckpointError> {
    const PLACEHOLDERS: [(&[u8], &str); 3] = [
        (b"version https://git-lfs", "a pointer of Git LFS and not the file: run `git lfs pull`"),
        (b"<!doctype html", "a web page and not the file: download it again"),
        (b"<html", "a web page and not the file: download it again"),
    ];
    let path = file.path();
    let length = file.length().map_err(CheckpointError::io(path))?.min(32);
    let mut start = file.read(0, length as usize).map_err(CheckpointError::io(path))?;
    start.make_ascii_lowercase();
    let found = PLACEHOLDERS.iter().find(|(begin, _)| start.starts_with(begin));
    found.map_or(Ok(()), |(_, what)| Err(CheckpointError::unusable(path, what)))
}

fn open_shards(folder: &Folder, index: &Index) -> Result<Tensors, CheckpointError> {
    let wrong = |message: String| CheckpointError::malformed(index.file.path(), message);
    let mut found: BTreeMap<String, (&str, PackTensor)> = BTreeMap::new();
    for shard in index.shards() {
        let file = folder.file(shard);
        if file.length().is_err() {
            return Err(wrong(format!("names the shard {shard}, which is not in the folder")));
        }
        for (name, tensor) in open_one(&file)? {
            if let Some((other, tensor)) = found.insert(name, (shard, tensor)) {
                let message = format!(
                    "tensor {} is already in {other}: the shards are of two saves, move the stale \
                     one away",
                    tensor.name
                );
                return Err(CheckpointError::unusable(file.path(), message));
            }
        }
    }
    for (name, shard) in &index.weight_map {
        if found.get(name).is_none_or(|(place, _)| place != shard) {
            return Err(wrong(format!("says that {name} is in {shard}, but it is not")));
        }
    }
    Ok(found.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: &str, bytes: &[u8]) -> Result<WeightFiles, CheckpointError> {
        let files = BTreeMap::from([(name.to_string(), bytes.to_vec())]);
        WeightFiles::held("held".as_ref(), Arc::new(files))
    }

    #[test]
    fn held_files_are_read_as_those_of_the_disk_are() {
        let file = Path::new("../assets/tiny/model.safetensors");
        let bytes = std::fs::read(file).unwrap();
        let held_whole = held("model.safetensors", &bytes).unwrap();
        let read = WeightFiles::open(Path::new("../assets/tiny")).unwrap();
        assert!(held_whole.shapes().eq(read.shapes()));
        for ((name, held), (_, read)) in
            held_whole.into_tensors().into_iter().zip(read.into_tensors())
        {
            assert!(held.into_bytes().unwrap()[..] == read.into_bytes().unwrap()[..], "{name}");
        }
        for length in [0, 7, 8, 9, 20_000, bytes.len() - 1] {
            let error = held("model.safetensors", &bytes[..length]).unwrap_err().to_string();
            assert!(error.starts_with("held/model.safetensors: "), "{length}: {error}");
        }
    }

    #[test]
    fn what_is_read_from_the_disk_only_is_refused_by_its_name() {
        for name in ["pytorch_model.bin", "adapter_model.safetensors", "model.gguf"] {
            let error = held(name, &[0; 64]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
