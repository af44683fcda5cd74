//! A reference case written out as a checkpoint in the Hugging Face layout.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use burn::tensor::DType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize, Serializer};

use super::error::{MAX_VALUES, WeightsError};
use super::{Weights, fill};

/// What a model folder holds beside its weights; each is copied when the case has it.
const SIDE_FILES: [&str; 7] = [
    "config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// How the float tensors are stored; counters are always `I64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FloatType {
    /// 32 bits, as drawn.
    #[default]
    F32,
    /// bfloat16, rounded to nearest even.
    Bf16,
    /// IEEE half precision, rounded to nearest even.
    F16,
}

impl FloatType {
    /// As Burn calls it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl FromStr for FloatType {
    type Err = WeightsError;

    fn from_str(name: &str) -> Result<Self, WeightsError> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(WeightsError::FloatType(name.to_owned())),
        }
    }
}

/// How [`write_checkpoint`] lays out the weights.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointOptions {
    /// Into how many files the weights are split; 1 gives `model.safetensors` and no index.
    pub shards: usize,
    /// How floats are stored.
    pub dtype: FloatType,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { shards: 1, dtype: FloatType::F32 }
    }
}

/// The index of a sharded checkpoint, in the order in which Hugging Face's tools write it.
#[derive(Serialize)]
struct ShardIndex<'a> {
    metadata: IndexMetadata,
    #[serde(serialize_with = "in_given_order")]
    weight_map: Vec<(&'a str, String)>,
}

#[derive(Serialize)]
struct IndexMetadata {
    /// Bytes of all tensors together.
    total_size: usize,
}

fn in_given_order<S: Serializer>(
    pairs: &[(&str, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, file)| (name, file)))
}

/// Reads `case.json` (its `seed`) and `tensors.json` (`[[name, shape], ...]`) of `case_dir`, draws
/// the tensors and writes the model folder `out`: `config.json`, the tokenizer files, and
/// `model.safetensors`, or shards with `model.safetensors.index.json`.
///
/// Shard `i` of `n` holds the tensors from `i * count / n` to `(i + 1) * count / n` in the order of
/// `tensors.json`; only one shard is in memory at a time.
///
/// # Errors
/// When the case cannot be read, `out` cannot be written or has other weights, or the number of
/// shards does not suit the case.
pub fn write_checkpoint(
    case_dir: &Path,
    out: &Path,
    options: &CheckpointOptions,
) -> Result<(), WeightsError> {
    let seed = read_seed(case_dir)?;
    let tensors = read_tensors(case_dir)?;
    let count = tensors.len();
    if options.shards == 0 || options.shards > count {
        return Err(WeightsError::Shards { shards: options.shards, tensors: count });
    }
    fs::create_dir_all(out).map_err(at(out))?;
    refuse_stale_weights(out, options.shards)?;
    for name in SIDE_FILES {
        let from = case_dir.join(name);
        if from.exists() {
            fs::copy(&from, out.join(name)).map_err(at(&from))?;
        }
    }

    let mut weight_map = Vec::with_capacity(count);
    let mut total_size = 0;
    for shard in 0..options.shards {
        let part = &tensors[shard * count / options.shards..(shard + 1) * count / options.shards];
        let file = shard_name(shard, options.shards);
        total_size += write_shard(part, seed, options.dtype, &out.join(&file))?;
        weight_map.extend(part.iter().map(|(name, _)| (name.as_str(), file.clone())));
    }
    if options.shards > 1 {
        let path = out.join("model.safetensors.index.json");
        let index = ShardIndex { metadata: IndexMetadata { total_size }, weight_map };
        let text = serde_json::to_string_pretty(&index).map_err(|source| WeightsError::Json {
            path: path.clone(),
            expected: "an index",
            source,
        })?;
        fs::write(&path, text).map_err(at(&path))?;
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> WeightsError {
    let path = path.to_owned();
    |source| WeightsError::Io { path, source }
}

fn shard_name(shard: usize, shards: usize) -> String {
    match shards {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{shards:05}.safetensors", shard + 1),
    }
}

fn read_seed(case_dir: &Path) -> Result<u32, WeightsError> {
    #[derive(Deserialize)]
    struct Case {
        seed: u32,
    }
    let path = case_dir.join("case.json");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let expected = "an object with a 32 bit \"seed\"";
    serde_json::from_str(&text).map(|case: Case| case.seed).map_err(|source| WeightsError::Json {
        path,
        expected,
        source,
    })
}

fn read_tensors(case_dir: &Path) -> Result<Vec<(String, Vec<usize>)>, WeightsError> {
    let path = case_dir.join("tensors.json");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let expected = "a list of [name, shape]";
    let tensors: Vec<(String, Vec<usize>)> = serde_json::from_str(&text)
        .map_err(|source| WeightsError::Json { path, expected, source })?;
    for (name, shape) in &tensors {
        let values = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        if values.is_none_or(|values| values > MAX_VALUES) {
            return Err(WeightsError::TooLarge { name: name.clone(), shape: shape.clone() });
        }
    }
    Ok(tensors)
}

fn refuse_stale_weights(out: &Path, shards: usize) -> Result<(), WeightsError> {
    let ours: Vec<String> = (0..shards).map(|shard| shard_name(shard, shards)).collect();
    for entry in fs::read_dir(out).map_err(at(out))? {
        let path = entry.map_err(at(out))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_index = name == "model.safetensors.index.json" && shards == 1;
        let is_weights = name.ends_with(".safetensors") && !ours.iter().any(|file| *file == name);
        if is_index || is_weights {
            return Err(WeightsError::Stale { path });
        }
    }
    Ok(())
}

/// Draws the tensors of one file and writes it; the answer is the size of the tensors in bytes.
fn write_shard(
    tensors: &[(String, Vec<usize>)],
    seed: u32,
    dtype: FloatType,
    path: &Path,
) -> Result<usize, WeightsError> {
    let views: Vec<(&str, StoredTensor)> = tensors
        .par_iter()
        .map(|(name, shape)| {
            (name.as_str(), StoredTensor::new(fill(name, shape, seed), shape, dtype))
        })
        .collect();
    let size = views.iter().map(|(_, tensor)| tensor.bytes.len()).sum();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|source| WeightsError::Safetensors { path: path.to_owned(), source })?;
    Ok(size)
}

/// A tensor as its file holds it, little-endian.
struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl StoredTensor {
    fn new(weights: Weights, shape: &[usize], dtype: FloatType) -> Self {
        let shape = match weights {
            Weights::F32(_) => shape.to_vec(),
            Weights::I64(_) => Vec::new(), // a counter is a scalar
        };
        let (dtype, bytes) = match (weights, dtype) {
            (Weights::I64(v), _) => (Dtype::I64, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Weights::F32(v), FloatType::F32) => {
                (Dtype::F32, v.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            (Weights::F32(v), FloatType::Bf16) => {
                let mut rounded = vec![bf16::ZERO; v.len()];
                rounded.convert_from_f32_slice(&v);
                (Dtype::BF16, rounded.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            (Weights::F32(v), FloatType::F16) => {
                let mut rounded = vec![f16::ZERO; v.len()];
                rounded.convert_from_f32_slice(&v);
                (Dtype::F16, rounded.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
        };
        Self { dtype, shape: shape.to_vec(), bytes }
    }
}

impl View for StoredTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case of four small tensors, one of them a counter.
    fn tiny_case(tensors: &str) -> tempfile::TempDir {
        let case = tempfile::tempdir().unwrap();
        fs::write(case.path().join("case.json"), r#"{"seed": 11, "image": "x.png"}"#).unwrap();
        fs::write(case.path().join("tensors.json"), tensors).unwrap();
        fs::write(case.path().join("config.json"), "{}").unwrap();
        fs::write(case.path().join("image.png"), "not part of a checkpoint").unwrap();
        case
    }

    const TINY: &str = r#"[["a.bias", [2]], ["b.weight", [3, 4]], ["c.num_batches_tracked", []], ["d.bias", [1]]]"#;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn shards_hold_the_names_in_order_and_the_index_says_where() {
        let (case, out) = (tiny_case(TINY), tempfile::tempdir().unwrap());
        let options = CheckpointOptions { shards: 3, dtype: FloatType::F32 };
        write_checkpoint(case.path(), out.path(), &options).unwrap();
        let (first, second, third) = (
            "model-00001-of-00003.safetensors",
            "model-00002-of-00003.safetensors",
            "model-00003-of-00003.safetensors",
        );
        let index = "model.safetensors.index.json";
        assert_eq!(names(out.path()), ["config.json", first, second, third, index]);
        let index: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(out.path().join(index)).unwrap()).unwrap();
        // 4 tensors over 3 shards: 0..1, 1..2, 2..4; bytes (2 + 12 + 1) * 4 + 8.
        let map = serde_json::json!({
            "a.bias": first, "b.weight": second, "c.num_batches_tracked": third, "d.bias": third,
        });
        assert_eq!(index["weight_map"], map);
        assert_eq!(index["metadata"]["total_size"], 68);
    }

    #[test]
    fn half_types_round_to_nearest_even() {
        // bf16 keeps 8 bits of significand, f16 11: 1 + 2^-8 and 1 + 2^-11 are ties.
        let values = Weights::F32(vec![1.0 + 0.00390625, 1.0 + 3.0 * 0.00390625]);
        let tensor = StoredTensor::new(values, &[2], FloatType::Bf16);
        assert_eq!(tensor.bytes, [0x80, 0x3f, 0x82, 0x3f]);
        let values = Weights::F32(vec![1.0 + 0.00048828125, 1.0 + 3.0 * 0.00048828125]);
        let tensor = StoredTensor::new(values, &[2], FloatType::F16);
        assert_eq!(tensor.bytes, [0x00, 0x3c, 0x02, 0x3c]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_by_name() {
        let out = tempfile::tempdir().unwrap();
        let write = |tensors: &str, shards| {
            let options = CheckpointOptions { shards, dtype: FloatType::F16 };
            write_checkpoint(tiny_case(tensors).path(), out.path(), &options)
        };
        let message = |result: Result<(), WeightsError>| result.unwrap_err().to_string();
        assert!(message(write(TINY, 0)).starts_with("0 shards for 4 tensors"));
        assert!(message(write(TINY, 5)).starts_with("5 shards for 4 tensors"));
        let huge = r#"[["x.weight", [4294967296, 4294967296, 4294967296]]]"#;
        assert!(message(write(huge, 1)).contains("x.weight has shape [4294967296"));
        assert!(message(write("{}", 1)).contains("expected a list of [name, shape]"));

        write(TINY, 1).unwrap();
        write(TINY, 1).unwrap();
        assert!(message(write(TINY, 2)).contains("model.safetensors is left from another"));
    }
}
