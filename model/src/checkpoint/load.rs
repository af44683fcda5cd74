//! From files to a model: every tensor of the file has a parameter or is named in the error, every
//! parameter of the model is filled or named.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Device};

use super::error::CheckpointError;
use super::files::WeightFiles;
use super::fill::Fill;
use super::layout::{kept_dtype, to_module};
use super::named_weights::{ModulePath, for_each_weight};
use super::names::NameTable;
use super::token_rows::{MAX_NEW_TOKENS, with_new_rows};
use crate::config::MllmsegConfig;
use crate::lora::LoraConfig;
use crate::mllmseg::Mllmseg;
use crate::parameters::is_running_statistic;
use crate::quantize::{Quantization, stored_bytes};

/// How to load.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// The dtype of vision encoder, projector and language model; adapters and mask decoder are
    /// always f32.
    pub dtype: DType,
    /// What the matrices of these are kept in, where they are computed in f32.
    pub quantization: Quantization,
    /// Rows the token tables must have: the tokenizer's size. A base model has two fewer than
    /// its tokenizer with `[SEG]` and `[REJ]`, and is grown.
    pub vocab_size: Option<usize>,
    /// An adapter to add where the file has none, for training.
    pub new_lora: Option<LoraConfig>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        let quantization = Quantization::None;
        Self { dtype: DType::F32, quantization, vocab_size: None, new_lora: None }
    }
}

impl LoadOptions {
    /// Bytes that the parameters of a model take, loaded so. Those that are not drawn yet stay so.
    pub fn bytes(&self, model: &Mllmseg) -> u64 {
        self.weight_bytes(model).iter().sum()
    }

    /// Bytes of the largest of them.
    pub fn largest_weight(&self, model: &Mllmseg) -> u64 {
        self.weight_bytes(model).into_iter().max().unwrap_or(0)
    }

    fn weight_bytes(&self, model: &Mllmseg) -> Vec<u64> {
        let mut bytes = Vec::new();
        for_each_weight(model, |path, weight| {
            let shape = weight.shape();
            if !is_running_statistic(path) {
                let dtype = kept_dtype(path, &shape, self.dtype, self.quantization);
                bytes.push(stored_bytes(dtype, shape.num_elements()) as u64);
            }
        });
        bytes
    }
}

/// What was found on loading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadReport {
    /// The file has no mask decoder (a base model): it is freshly drawn and segments nothing yet.
    pub fresh_mask_decoder: bool,
    /// Rows added to the token tables.
    pub new_token_rows: usize,
    /// Rank of the file's separate adapters.
    pub lora_rank: Option<usize>,
    /// What the matrices are kept in.
    pub quantization: Quantization,
    /// Bytes of the weights on disk.
    pub bytes: usize,
    /// A line about each thing that is read in another way than it is written, or not at all.
    pub notes: Vec<String>,
}

/// Loads a checkpoint folder; see [`load_files`].
pub fn load_model(
    dir: &Path,
    config: &mut MllmsegConfig,
    options: LoadOptions,
    device: &Device,
) -> Result<(Mllmseg, LoadReport), CheckpointError> {
    load_files(WeightFiles::open(dir)?, config, options, device)
}

/// Loads weight files that are already open.
///
/// Tensors are read, converted and placed one at a time, so that memory peaks at the model plus
/// the largest tensor. `config` is updated with the vocabulary and the rank of the
/// adapters that result.
///
/// # Errors
/// [`CheckpointError::Vocabulary`], and [`CheckpointError::Mismatch`] with the tensors that do not
/// fit `config`.
pub fn load_files(
    mut files: WeightFiles,
    config: &mut MllmsegConfig,
    options: LoadOptions,
    device: &Device,
) -> Result<(Mllmseg, LoadReport), CheckpointError> {
    let dir = files.dir().to_path_buf();
    let adapter = files.adapter();
    let table = NameTable::new(config, adapter.is_some());
    let mut misfits = table.misfits(&mut files, config)?;
    let report = LoadReport {
        fresh_mask_decoder: !files.has_mask_decoder(),
        new_token_rows: token_rows_to_add(&dir, config, options.vocab_size)?,
        lora_rank: adapter.map(|adapter| adapter.lora.rank),
        quantization: options.quantization,
        bytes: files.byte_len(),
        notes: files.notes().to_vec(),
    };
    config.language.vocab_size += report.new_token_rows;

    let (paths, names) = (table.paths(), table.names());
    let placed = files.into_tensors().into_iter().filter_map(|(name, tensor)| {
        let path = *paths.get(name.as_str())?;
        let tensor = with_new_rows(tensor, path, report.new_token_rows, device);
        let LoadOptions { dtype, quantization, .. } = options;
        Some((path.to_string(), to_module(tensor, path, dtype, quantization, device)))
    });
    let lora = adapter.map(|adapter| adapter.lora).or(options.new_lora);
    let (tensors, path, problems) = (placed.collect(), ModulePath::default(), Vec::new());
    let mut fill = Fill { tensors, names, problems, path };
    let model = Mllmseg::new(config, lora, device).map(&mut fill);
    misfits.others.append(&mut fill.problems);
    misfits.refuse(&dir)?;
    config.use_llm_lora = lora.map_or(0, |lora| lora.rank);
    Ok((model, report))
}

/// How many rows the tokenizer has more than the file's token table. Published tables may be
/// padded beyond the tokenizer, never shorter than it by more than the tokens that MLLMSeg adds.
fn token_rows_to_add(
    dir: &Path,
    config: &MllmsegConfig,
    vocab_size: Option<usize>,
) -> Result<usize, CheckpointError> {
    let found = config.language.vocab_size;
    let expected = vocab_size.unwrap_or(found);
    match expected.saturating_sub(found) {
        new @ 0..=MAX_NEW_TOKENS => Ok(new),
        _ => Err(CheckpointError::Vocabulary { dir: dir.to_path_buf(), expected, found }),
    }
}
