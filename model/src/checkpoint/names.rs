//! Every tensor's name in published checkpoints beside its path in our modules.
//!
//! The table is `names.txt`, which reads like the checkpoint. It works in both directions, and a
//! tensor that is not in it is unexpected.

use std::collections::HashMap;
use std::path::Path;

use super::error::CheckpointError;
use super::files::WeightFiles;
use super::misfits::Misfits;
use crate::config::{Architecture, MllmsegConfig, Variant};

/// Pairs of (name on disk, path in [`crate::Mllmseg`]).
#[derive(Debug, Clone)]
pub struct NameTable {
    pairs: Vec<(String, String)>,
}

impl NameTable {
    /// The table of a configuration. `lora_is_separate`: the language model's linear layers carry
    /// PEFT's names, `base_layer`, `lora_A.default` and `lora_B.default`.
    pub fn new(config: &MllmsegConfig, lora_is_separate: bool) -> Self {
        let (language, variant) = (&config.language, config.mask_decoder.variant);
        let holds = |condition: &str| match condition {
            "qkv_bias" => config.vision.qkv_bias,
            "internlm2" => language.architecture == Architecture::InternLm2,
            "qwen" => language.architecture != Architecture::InternLm2,
            "qwen2" => language.architecture == Architecture::Qwen2,
            "qwen3" => language.architecture == Architecture::Qwen3,
            "bias" => language.bias,
            "lora" => lora_is_separate,
            "tokens" => variant.uses_language_tokens(),
            "dsff" => variant == Variant::Dsff,
            _ => false,
        };
        let mut pairs = Vec::new();
        let lines: Vec<&str> = include_str!("names.txt").lines().collect();
        for block in lines.split(|line| line.is_empty()) {
            let count = match block.first() {
                Some(line) if !line.contains('*') || line.starts_with('#') => 1,
                Some(line) if line.starts_with("vision_model.") => config.vision.num_hidden_layers,
                _ => language.num_hidden_layers,
            };
            for layer in 0..count {
                let numbered = |text: &str| text.replace('*', &layer.to_string());
                for line in block.iter().filter(|line| !line.starts_with('#')) {
                    let mut columns = line.split_whitespace();
                    if let (Some(name), Some(path)) = (columns.next(), columns.next())
                        && columns.all(holds)
                    {
                        let name = in_braces(name, lora_is_separate);
                        pairs.push((numbered(&name), numbered(path)));
                    }
                }
            }
        }
        Self { pairs }
    }

    /// All pairs, in the order of published files.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Path in the modules by name on disk.
    pub fn paths(&self) -> HashMap<&str, &str> {
        self.pairs.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect()
    }

    /// Name on disk by path in the modules.
    pub fn names(&self) -> HashMap<&str, &str> {
        self.pairs.iter().map(|(name, path)| (path.as_str(), name.as_str())).collect()
    }

    /// What of the files does not fit. A base model may lack the mask decoder, and a model with tied
    /// tables one of them, which is filled in.
    pub(super) fn misfits(
        &self,
        files: &mut WeightFiles,
        config: &MllmsegConfig,
    ) -> Result<Misfits, CheckpointError> {
        let names = self.names();
        let [table, head] = TOKEN_TABLES.map(|path| names.get(path).copied().unwrap_or(path));
        files.pack_llama(&config.language)?;
        let is_tied = config.language.tie_word_embeddings;
        if is_tied {
            files.fill_tied([table, head]);
        }
        let known = self.paths();
        let found: HashMap<&str, &[usize]> = files.shapes().collect();
        check_vocabulary(files.dir(), table, found.get(table).copied(), config)?;
        let has_decoder = files.has_mask_decoder();
        let needed = |name: &str| has_decoder || !name.starts_with("res_decoder.");
        let wanted = self.pairs.iter().map(|(name, _)| name.as_str());
        let missing = wanted.filter(|name| needed(name) && !found.contains_key(name));
        let unexpected = files
            .shapes()
            .filter(|(name, _)| !known.contains_key(name) && !is_derived_constant(name))
            .map(|(name, shape)| format!("{name} {shape:?}"));
        let mut misfits = Misfits {
            missing: missing.map(String::from).collect(),
            unexpected: unexpected.collect(),
            ..Misfits::default()
        };
        if !is_tied && found.contains_key(table) && !found.contains_key(head) {
            misfits.others.push(format!(
                "{head} may be left out only where llm_config.tie_word_embeddings is true"
            ));
        }
        Ok(misfits)
    }
}

/// The paths of input and output table.
const TOKEN_TABLES: [&str; 2] =
    ["language_model.embed_tokens.weight", "language_model.lm_head.weight"];

/// One error for what would be one for each table.
fn check_vocabulary(
    dir: &Path,
    table: &str,
    shape: Option<&[usize]>,
    config: &MllmsegConfig,
) -> Result<(), CheckpointError> {
    let expected = config.language.vocab_size;
    match shape {
        Some(&[rows, _]) if rows != expected => {
            let problem = format!(
                "llm_config.vocab_size is {expected}, but tensor {table} has {rows} rows; correct it, \
                 or take the config.json of these weights"
            );
            Err(CheckpointError::Mismatch { dir: dir.to_path_buf(), problems: vec![problem] })
        }
        _ => Ok(()),
    }
}

/// A name with the part in braces, or without it.
fn in_braces(name: &str, keep: bool) -> String {
    match keep {
        true => name.replace(['{', '}'], ""),
        false => {
            let parts = name.split('{');
            parts.map(|part| part.split_once('}').map_or(part, |(_, after)| after)).collect()
        }
    }
}

/// Tensors of published files that are not needed: constants that the model computes itself.
fn is_derived_constant(name: &str) -> bool {
    name.ends_with("upsample_adapter_l.init_pos") || name.ends_with("rotary_emb.inv_freq")
}

/// Whether a name belongs to a separate adapter.
pub fn is_lora(name: &str) -> bool {
    name.contains(".lora_A.") || name.contains(".lora_B.")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The names of the reference cases, which the published code wrote.
    #[test]
    fn the_table_has_every_published_name() {
        for (case, lora) in [("qwen2", false), ("internlm2_lora", true)] {
            let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference").join(case);
            let text = std::fs::read(case.join("tensors.json")).unwrap();
            let expected: Vec<(String, Vec<usize>)> = serde_json::from_slice(&text).unwrap();
            let expected = expected.iter().map(|(name, _)| name.as_str());
            let expected: HashSet<&str> =
                expected.filter(|name| !is_derived_constant(name)).collect();
            let table = NameTable::new(&MllmsegConfig::from_dir(&case).unwrap(), lora);
            assert_eq!(table.paths().into_keys().collect::<HashSet<_>>(), expected);
            assert_eq!(table.names().len(), table.pairs().len());
        }
    }
}
