//! From files to a model: every tensor of the file lands or is named, every parameter of the
//! model is filled or named.

use std::path::Path;

use burn::tensor::{DType, Device, Distribution, Shape, Tensor, TensorData};
use burn_pack::Tensor as PackTensor;
use burn_store::{ApplyError, ModuleAdapter, ModuleContext, ModuleSnapshot, bridge};

use super::names::{NameTable, is_derived_constant};
use super::{CheckpointError, WeightFiles};
use crate::config::MllmsegConfig;
use crate::lora::LoraConfig;
use crate::mllmseg::Mllmseg;

/// How to load.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// The dtype of vision encoder, projector and language model. Adapters and mask decoder are
    /// always f32: they are small, and they are what training changes.
    pub dtype: DType,
    /// Rows the token tables must have: the tokenizer's size. A base model has two fewer than
    /// its tokenizer with `[SEG]` and `[REJ]`, and is grown.
    pub vocab_size: Option<usize>,
    /// An adapter to add where the file has none, for training.
    pub new_lora: Option<LoraConfig>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { dtype: DType::F32, vocab_size: None, new_lora: None }
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
    /// Bytes of the weights on disk.
    pub bytes: usize,
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
/// the largest tensor. `config` is updated with the vocabulary that results.
pub fn load_files(
    files: WeightFiles,
    config: &mut MllmsegConfig,
    options: LoadOptions,
    device: &Device,
) -> Result<(Mllmseg, LoadReport), CheckpointError> {
    let dir = files.dir().to_path_buf();
    let lora_rank = files.lora_rank();
    let lora_is_separate = lora_rank.is_some();
    let table = NameTable::new(config, lora_is_separate);
    let new_token_rows = token_rows_to_add(&files, config, options.vocab_size)?;
    config.language.vocab_size += new_token_rows;
    let fresh_mask_decoder = !files.has_mask_decoder();
    let bytes = files.byte_len();
    let report = LoadReport { fresh_mask_decoder, new_token_rows, lora_rank, bytes };

    let paths = table.paths();
    let (mut tensors, mut problems) = (Vec::new(), Vec::new());
    for (name, mut tensor) in files.into_tensors() {
        match paths.get(name.as_str()) {
            Some(path) => {
                tensor.name = path.to_string();
                tensors.push(tensor);
            }
            None if is_derived_constant(&name) => {}
            None => problems.push(format!(
                "unexpected tensor {name} {:?}: this configuration has no such weight",
                tensor.shape.as_slice()
            )),
        }
    }
    let lora = lora_rank.map(LoraConfig::published).or(options.new_lora);
    let mut model = Mllmseg::new(config, lora, device);
    let adapter = PlaceWeights { dtype: options.dtype, new_token_rows, device: device.clone() };
    let result = model.apply(tensors, None, Some(Box::new(adapter)), true);

    let names = table.names();
    let on_disk = |path: &str| names.get(path).copied().unwrap_or(path).to_string();
    for (path, _) in &result.missing {
        let is_fresh = (fresh_mask_decoder && path.starts_with("mask_decoder."))
            || (!lora_is_separate && path.contains(".lora."));
        if !is_fresh {
            problems.push(format!("missing tensor {}", on_disk(path)));
        }
    }
    problems.extend(result.errors.iter().map(|error| describe(error, &on_disk)));
    problems.extend(
        result.unused.iter().map(|path| {
            format!("unexpected tensor {}: the model has no place for it", on_disk(path))
        }),
    );
    if !problems.is_empty() {
        problems.sort();
        return Err(CheckpointError::Mismatch { dir, problems });
    }
    Ok((model, report))
}

/// How many rows the tokenizer has more than the file's token table.
fn token_rows_to_add(
    files: &WeightFiles,
    config: &MllmsegConfig,
    vocab_size: Option<usize>,
) -> Result<usize, CheckpointError> {
    /// `[SEG]` and `[REJ]`.
    const MAX_NEW_TOKENS: usize = 2;
    let rows = config.language.vocab_size;
    let Some(tokens) = vocab_size else {
        return Ok(0);
    };
    // Published tables may be padded beyond the tokenizer, never shorter than it by more than
    // the two tokens that MLLMSeg adds.
    match tokens.saturating_sub(rows) {
        new @ 0..=MAX_NEW_TOKENS => Ok(new),
        _ => Err(CheckpointError::Vocabulary {
            dir: files.dir().to_path_buf(),
            expected: tokens,
            found: rows,
        }),
    }
}

fn describe(error: &ApplyError, on_disk: &impl Fn(&str) -> String) -> String {
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            let (mut expected, mut found) = (expected.to_vec(), found.to_vec());
            if is_stored_transposed(path, expected.len()) {
                expected.reverse();
            }
            if is_stored_transposed(path, found.len()) {
                found.reverse();
            }
            format!("tensor {}: expected shape {expected:?}, found {found:?}", on_disk(path))
        }
        ApplyError::DTypeMismatch { path, expected, found } => {
            format!("tensor {}: expected dtype {expected:?}, found {found:?}", on_disk(path))
        }
        ApplyError::AdapterError { path, message } | ApplyError::LoadError { path, message } => {
            format!("tensor {}: {message}", on_disk(path))
        }
    }
}

/// Checkpoints store the matrices of linear layers `[out, in]`, Burn multiplies by `[in, out]`.
pub(super) fn is_stored_transposed(path: &str, rank: usize) -> bool {
    rank == 2 && !path.ends_with("embed_tokens.weight")
}

/// Parts that stay f32 whatever the rest is in.
pub(super) fn is_always_f32(path: &str) -> bool {
    path.starts_with("mask_decoder.") || path.contains(".lora.")
}

/// Turns a tensor as it is on disk into the one its parameter expects.
#[derive(Debug, Clone)]
struct PlaceWeights {
    dtype: DType,
    new_token_rows: usize,
    device: Device,
}

impl ModuleAdapter for PlaceWeights {
    fn adapt(&self, tensor: PackTensor, _context: ModuleContext<'_>) -> PackTensor {
        let (path, mut shape) = (tensor.name.clone(), tensor.shape.to_vec());
        let is_float = tensor.dtype.is_float();
        let dtype = match (is_float, is_always_f32(&path)) {
            (false, _) => DType::I32,
            (true, true) => DType::F32,
            (true, false) => self.dtype,
        };
        let is_token_table =
            ["language_model.embed_tokens.weight", "language_model.lm_head.weight"]
                .contains(&path.as_str());
        let rank_two = shape.len() == 2;
        let new_rows = if is_token_table && rank_two { self.new_token_rows } else { 0 };
        let is_input_table = path.ends_with("embed_tokens.weight");
        if shape.is_empty() {
            shape.push(1); // the batch counter: a parameter has at least one dimension
        }
        if new_rows > 0 {
            shape[0] += new_rows;
        }
        let transposed = is_stored_transposed(&path, shape.len());
        if transposed {
            shape.reverse();
        }
        let shape = Shape::from(shape);
        let (declared, device) = (shape.clone(), self.device.clone());
        bridge::map_data(tensor, path, dtype, shape, move |mut data| {
            if new_rows > 0 {
                data = with_new_rows(data, new_rows, is_input_table.then_some(&device));
            }
            // Half precision is turned before it is widened: that is where memory peaks.
            if transposed {
                data = transpose(data);
            }
            let (bytes, _, dtype) = data.convert_dtype(dtype).into_parts();
            TensorData::from_bytes(bytes, declared.clone(), dtype)
        })
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// Appends rows for new tokens. Output rows start as the mean of the old ones, so that a new token
/// is as likely as an average one; input rows are drawn as the language model's own were.
///
/// `input_table_on` is given for the input table: the device that draws.
fn with_new_rows(data: TensorData, rows: usize, input_table_on: Option<&Device>) -> TensorData {
    const INITIALIZER_RANGE: f64 = 0.02;
    let [old, width] = [data.shape()[0], data.shape()[1]];
    let mut values: Vec<f32> = data.iter::<f32>().collect();
    if let Some(device) = input_table_on {
        let normal = Distribution::Normal(0.0, INITIALIZER_RANGE);
        let drawn = Tensor::<2>::random([rows, width], normal, device).into_data();
        values.extend(drawn.iter::<f32>());
    } else {
        let mut mean = vec![0f64; width];
        for row in values.chunks(width) {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value as f64);
        }
        let mean: Vec<f32> = mean.into_iter().map(|sum| (sum / old as f64) as f32).collect();
        (0..rows).for_each(|_| values.extend_from_slice(&mean));
    }
    TensorData::new(values, [old + rows, width])
}

/// Transposes a matrix of 2- or 4-byte values in blocks that stay in the cache.
pub(super) fn transpose(data: TensorData) -> TensorData {
    const BLOCK: usize = 32;
    let ([rows, columns], dtype) = ([data.shape()[0], data.shape()[1]], data.dtype());
    let size = dtype.size();
    let (bytes, _, _) = data.into_parts();
    let source: &[u8] = &bytes;
    let mut target = vec![0u8; source.len()];
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for row in row_block..(row_block + BLOCK).min(rows) {
                for column in column_block..(column_block + BLOCK).min(columns) {
                    let (from, to) =
                        ((row * columns + column) * size, (column * rows + row) * size);
                    target[to..to + size].copy_from_slice(&source[from..from + size]);
                }
            }
        }
    }
    TensorData::from_bytes_vec(target, [columns, rows], dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_blocks_equals_the_definition() {
        let (rows, columns) = (37, 70);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let turned = transpose(TensorData::new(values.clone(), [rows, columns]));
        assert_eq!(turned.shape().to_vec(), [columns, rows]);
        let turned: Vec<f32> = turned.iter::<f32>().collect();
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(turned[column * rows + row], values[row * columns + column]);
            }
        }
    }

    #[test]
    fn new_output_rows_are_the_mean_of_the_old() {
        let old = TensorData::from([[1.0f32, 2.0], [3.0, 6.0]]);
        let grown = with_new_rows(old, 2, None);
        let expected = TensorData::from([[1.0f32, 2.0], [3.0, 6.0], [2.0, 4.0], [2.0, 4.0]]);
        grown.assert_eq(&expected, true);
    }
}
