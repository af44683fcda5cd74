//! A reference case written out as a checkpoint in the Hugging Face layout.

use std::error::Error;
use std::fs;
use std::path::Path;

use burn::tensor::DType;
use burn_store::bridge;
use clap::Args;
use mllmseg::model::checkpoint::save::write_shards;
use rayon::prelude::*;

use super::fill::fill;
use crate::case::{Case, at, read_json};

/// The files of a model folder besides its weights; each is copied if the case has it.
const SIDE_FILES: [&str; 7] = [
    "config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// The most values one tensor may have (4 GiB in f32): a shape beyond it is a mistake in
/// `tensors.json`.
const MAX_VALUES: usize = 1 << 30;

/// How [`write_checkpoint`] lays out the weights.
#[derive(Debug, Clone, Copy, Args)]
pub struct CheckpointOptions {
    /// Number of safetensors files; one has no index
    #[arg(long, default_value_t = 1)]
    pub shards: usize,
    /// Dtype of floats on disk: f32, bf16 or f16; counters are always i64
    #[arg(long, default_value = "f32", value_parser = parse_dtype)]
    pub dtype: DType,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { shards: 1, dtype: DType::F32 }
    }
}

/// The dtypes in which weights are stored, by the names of the command line.
pub fn parse_dtype(name: &str) -> Result<DType, String> {
    match name {
        "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        "f16" => Ok(DType::F16),
        _ => Err(format!("dtype {name:?}: expected f32, bf16 or f16")),
    }
}

/// Draws the tensors of a case and writes the model folder `out`: `config.json`, the tokenizer
/// files, and `model.safetensors`, or shards with `model.safetensors.index.json`.
///
/// Shard `i` of `n` holds the tensors from `i * count / n` to `(i + 1) * count / n` in the order of
/// `tensors.json`.
///
/// # Errors
/// When the case cannot be read, `out` cannot be written, or the number of shards does not suit the
/// case.
pub fn write_checkpoint(
    case: &Path,
    out: &Path,
    options: &CheckpointOptions,
) -> Result<(), Box<dyn Error>> {
    let CheckpointOptions { shards, dtype } = *options;
    let seed = Case::read(case)?.seed;
    let shapes = tensor_shapes(case)?;
    let count = shapes.len();
    if shards == 0 || shards > count {
        return Err(format!(
            "{shards} shards for {count} tensors: give a number from 1 to {count}"
        )
        .into());
    }
    fs::create_dir_all(out).map_err(at(out))?;
    for name in SIDE_FILES {
        let from = case.join(name);
        if from.exists() {
            fs::copy(&from, out.join(name)).map_err(at(&from))?;
        }
    }
    let draw = |(name, shape): &(String, Vec<usize>)| {
        let values = fill(name, shape, seed);
        let dtype = if values.dtype().is_float() { dtype } else { values.dtype() };
        bridge::from_data(values.convert_dtype(dtype), name.clone(), None)
    };
    let mut tensors = shapes.par_iter().map(draw).collect::<Vec<_>>().into_iter();
    let length = |shard| (shard + 1) * count / shards - shard * count / shards;
    let parts = (0..shards).map(|shard| tensors.by_ref().take(length(shard)).collect());
    Ok(write_shards(parts.collect(), out)?)
}

/// `tensors.json`: names and shapes.
pub(super) fn tensor_shapes(case: &Path) -> Result<Vec<(String, Vec<usize>)>, String> {
    let path = case.join("tensors.json");
    let shapes: Vec<(String, Vec<usize>)> = read_json(&path, "a list of [name, shape]")?;
    for (name, shape) in &shapes {
        let values = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        if values.is_none_or(|values| values > MAX_VALUES) {
            return Err(at(&path)(format!(
                "{name} has shape {shape:?}; a tensor may have at most {MAX_VALUES} values"
            )));
        }
    }
    Ok(shapes)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// A case of four small tensors, one of them a counter.
    fn tiny_case(tensors: &str) -> tempfile::TempDir {
        let case = tempfile::tempdir().unwrap();
        let facts = r#"{"seed": 11, "image": "x.png", "question": "", "answer": ""}"#;
        fs::write(case.path().join("case.json"), facts).unwrap();
        fs::write(case.path().join("tensors.json"), tensors).unwrap();
        fs::write(case.path().join("config.json"), "{}").unwrap();
        fs::write(case.path().join("image.png"), "not part of a checkpoint").unwrap();
        case
    }

    const TINY: &str = r#"[["a.bias", [2]], ["b.weight", [3, 4]], ["c.num_batches_tracked", []], ["d.bias", [1]]]"#;

    #[test]
    fn shards_hold_the_names_in_order_and_the_index_says_where() {
        let (case, out) = (tiny_case(TINY), tempfile::tempdir().unwrap());
        let options = CheckpointOptions { shards: 3, dtype: DType::F32 };
        write_checkpoint(case.path(), out.path(), &options).unwrap();
        let [first, second, third] =
            [1, 2, 3].map(|n| format!("model-0000{n}-of-00003.safetensors"));
        let index = "model.safetensors.index.json";
        let entries = fs::read_dir(out.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", &first, &second, &third, index]);
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
        let stored = |values: [f32; 2], dtype| TensorData::from(values).convert_dtype(dtype);
        let bf16 = stored([1.0 + 0.00390625, 1.0 + 3.0 * 0.00390625], DType::BF16);
        assert_eq!(bf16.as_bytes(), [0x80, 0x3f, 0x82, 0x3f]);
        let f16 = stored([1.0 + 0.00048828125, 1.0 + 3.0 * 0.00048828125], DType::F16);
        assert_eq!(f16.as_bytes(), [0x00, 0x3c, 0x02, 0x3c]);
    }

    #[test]
    fn what_cannot_be_written_is_refused_by_name() {
        let out = tempfile::tempdir().unwrap();
        let error = |tensors: &str, shards| {
            let options = CheckpointOptions { shards, dtype: DType::F16 };
            let result = write_checkpoint(tiny_case(tensors).path(), out.path(), &options);
            result.unwrap_err().to_string()
        };
        assert!(error(TINY, 0).starts_with("0 shards for 4 tensors"));
        assert!(error(TINY, 5).starts_with("5 shards for 4 tensors"));
        let huge = r#"[["x.weight", [4294967296, 4294967296, 4294967296]]]"#;
        assert!(error(huge, 1).contains("x.weight has shape [4294967296"));
        assert!(error("{}", 1).contains("expected a list of [name, shape]"));
    }
}
