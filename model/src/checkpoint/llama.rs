//! InternLM2 as transformers stores it: under the names of Llama, with queries, keys and values apart.

use std::ops::Range;

use burn_pack::{Error as PackError, Tensor as PackTensor};
use burn_store::bridge;

use super::layout::Tensors;
use super::rows::{gather_rows, renamed, split_rows};
use crate::config::LanguageConfig;

/// Parts of names: InternLM2's, and Llama's.
const NAMES: [(&str, &str); 8] = [
    (".tok_embeddings.", ".embed_tokens."),
    (".attention.wo.", ".self_attn.o_proj."),
    (".feed_forward.w1.", ".mlp.gate_proj."),
    (".feed_forward.w3.", ".mlp.up_proj."),
    (".feed_forward.w2.", ".mlp.down_proj."),
    (".attention_norm.", ".input_layernorm."),
    (".ffn_norm.", ".post_attention_layernorm."),
    (".output.", ".lm_head."),
];
const PACKED: &str = ".attention.wqkv.";
const SEPARATE: [&str; 3] = [".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."];

/// The rows of `wqkv` head by head: each group has its queries, then its key, then its value.
struct Groups {
    count: usize,
    /// Rows of the queries, the key and the value of a group.
    rows: [usize; 3],
}

impl Groups {
    fn new(config: &LanguageConfig) -> Self {
        let (count, head) = (config.num_key_value_heads, config.head_dim());
        Self { count, rows: [config.num_attention_heads / count * head, head, head] }
    }

    /// The rows of a part's own matrix that belong to a group.
    fn apart(&self, part: usize, group: usize) -> Range<usize> {
        group * self.rows[part]..(group + 1) * self.rows[part]
    }

    /// The same rows in `wqkv`.
    fn packed(&self, part: usize, group: usize) -> Range<usize> {
        let start =
            group * self.rows.iter().sum::<usize>() + self.rows[..part].iter().sum::<usize>();
        start..start + self.rows[part]
    }
}

/// The published names, where a language model has Llama's. Projections of which one is missing
/// stay, and are unexpected.
pub(super) fn to_internlm2(tensors: Tensors, config: &LanguageConfig) -> Result<Tensors, String> {
    let groups = Groups::new(config);
    let mut published = Tensors::new();
    for (name, tensor) in &tensors {
        let part = SEPARATE.iter().position(|part| name.contains(part));
        let parts = part.and_then(|part| {
            let (layer, leaf) = name.split_once(SEPARATE[part])?;
            let all = SEPARATE.map(|part| tensors.get(&format!("{layer}{part}{leaf}")).cloned());
            all.into_iter()
                .collect::<Option<Vec<_>>>()
                .map(|all| (all, format!("{layer}{PACKED}{leaf}")))
        });
        let tensor = match (part, parts) {
            (Some(0), Some((parts, name))) if name.contains(".lora_A.") => {
                shared_factor(name, parts)
            }
            (Some(0), Some((parts, name))) => {
                let picks = (0..groups.count)
                    .flat_map(|group| [0, 1, 2].map(|part| (part, groups.apart(part, group))));
                gather_rows(name, parts, picks.collect())?
            }
            (Some(_), Some(_)) => continue, // goes with its queries
            _ => with_names(tensor, NAMES.map(|(internlm2, llama)| (llama, internlm2))),
        };
        published.insert(tensor.name.clone(), tensor);
    }
    Ok(published)
}

/// A published tensor under Llama's names.
pub(super) fn from_internlm2(
    tensor: PackTensor,
    config: &LanguageConfig,
) -> Result<Vec<PackTensor>, String> {
    let Some((layer, leaf)) = tensor.name.split_once(PACKED) else {
        return Ok(vec![with_names(&tensor, NAMES)]);
    };
    let names = SEPARATE.map(|part| format!("{layer}{part}{leaf}"));
    if leaf.starts_with("lora_A.") {
        return Ok(names.map(|name| renamed(&tensor, name)).into());
    }
    let groups = Groups::new(config);
    let mut part = 0..;
    let parts = names.map(|name| {
        let part = part.next().unwrap_or_default();
        (name, (0..groups.count).map(|group| groups.packed(part, group)).collect())
    });
    Ok(split_rows(&tensor, parts)?.into())
}

/// The factor A of `wqkv`, which queries, keys and values must share.
fn shared_factor(name: String, parts: Vec<PackTensor>) -> PackTensor {
    let (dtype, shape) = (parts[0].dtype, parts[0].shape.clone());
    bridge::deferred(name, dtype, shape, None, move || {
        let first = bridge::to_data(&parts[0])?;
        for part in &parts[1..] {
            if part.shape != *first.shape() || part.to_bytes()?[..] != *first.as_bytes() {
                return Err(PackError::ValidationError(format!(
                    "it differs from {}, so that no adapter of wqkv has both; merge the adapter with PEFT",
                    part.name
                )));
            }
        }
        Ok(first)
    })
}

/// The tensor with the first of these parts of names replaced, if it is the language model's.
fn with_names(tensor: &PackTensor, names: [(&str, &str); 8]) -> PackTensor {
    let is_language = tensor.name.starts_with("language_model.");
    let pair = names.iter().find(|(from, _)| is_language && tensor.name.contains(from));
    let name = pair.map_or(tensor.name.clone(), |(from, to)| tensor.name.replacen(from, to, 1));
    renamed(tensor, name)
}
