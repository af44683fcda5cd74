//! The names of transformers' own InternVL (`InternVLForConditionalGeneration`), old order and new:
//! version 4.52 has `vision_tower.…` and `language_model.model.…`, later ones `model.vision_tower.…` and
//! `model.language_model.…`.

use burn_pack::Tensor as PackTensor;

use super::layout::Tensors;
use super::llama::from_internlm2;
use super::rows::{gather_rows, renamed, split_rows};
use crate::config::{Architecture, LanguageConfig};

/// Parts of names in the vision encoder.
const VISION: [(&str, &str); 12] = [
    ("embeddings.cls_token", "embeddings.class_embedding"),
    ("embeddings.position_embeddings", "embeddings.position_embedding"),
    ("embeddings.patch_embeddings.projection.", "embeddings.patch_embedding."),
    ("encoder.layer.", "encoder.layers."),
    (".attention.q_proj.", ".attn.q."),
    (".attention.k_proj.", ".attn.k."),
    (".attention.v_proj.", ".attn.v."),
    (".attention.projection_layer.", ".attn.proj."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".lambda_1", ".ls1"),
    (".lambda_2", ".ls2"),
];
const PROJECTOR: [(&str, &str); 3] =
    [("layer_norm.", "mlp1.0."), ("linear_1.", "mlp1.1."), ("linear_2.", "mlp1.3.")];

/// Whether only transformers' own layout has such a name.
pub(super) fn is_native(name: &str) -> bool {
    let name = name.strip_prefix("model.").unwrap_or(name);
    name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.")
}

/// The published name, with `attn.q`, `attn.k` and `attn.v` apart. Other names stay.
pub(super) fn to_published(name: &str) -> String {
    let rest = name.strip_prefix("model.").unwrap_or(name);
    if let Some(vision) = rest.strip_prefix("vision_tower.") {
        let replace = |name: String, (from, to): &(&str, &str)| name.replacen(from, to, 1);
        return format!("vision_model.{}", VISION.iter().fold(vision.to_string(), replace));
    }
    if let Some(projector) = rest.strip_prefix("multi_modal_projector.") {
        let parts = PROJECTOR.iter();
        let mut named = parts.filter_map(|(from, to)| Some((projector.strip_prefix(from)?, to)));
        return named.next().map_or(name.to_string(), |(leaf, part)| format!("{part}{leaf}"));
    }
    if let Some(language) = rest.strip_prefix("language_model.") {
        let is_body = ["embed_tokens.", "layers.", "norm."].iter().any(|p| language.starts_with(p));
        return format!("language_model.{}{language}", if is_body { "model." } else { "" });
    }
    match name.strip_prefix("lm_head.") {
        Some(leaf) => format!("language_model.lm_head.{leaf}"),
        None if rest.starts_with("res_decoder.") => rest.to_string(),
        None => name.to_string(),
    }
}

/// Puts the projections to queries, keys and values of each vision layer one below the other, as
/// published files have them. Those that do not fit together stay, and are unexpected.
pub(super) fn join_qkv(tensors: &mut Tensors) -> Result<(), String> {
    let queries = tensors.keys().filter_map(|name| {
        let (layer, leaf) = name.split_once(".attn.q.")?;
        layer.starts_with("vision_model.").then(|| (layer.to_string(), leaf.to_string()))
    });
    for (layer, leaf) in Vec::from_iter(queries) {
        let names = ["q", "k", "v"].map(|part| format!("{layer}.attn.{part}.{leaf}"));
        let parts: Vec<_> = names.iter().filter_map(|name| tensors.get(name).cloned()).collect();
        let [q, k, v] = &parts[..] else { continue };
        if [k, v].iter().any(|part| part.shape != q.shape || part.dtype != q.dtype) {
            let [q, k, v] = [q, k, v].map(|part| (part.shape.to_vec(), part.dtype));
            return Err(format!(
                "tensor {}: expected the shape and dtype of q {q:?}, found k {k:?} and v {v:?}",
                names[0]
            ));
        }
        let Some(&rows) = q.shape.first() else { continue };
        let picks = (0..3).map(|part| (part, 0..rows)).collect();
        let joined = gather_rows(format!("{layer}.attn.qkv.{leaf}"), parts, picks)?; // [3 out, in] or [3 out]
        names.iter().for_each(|name| drop(tensors.remove(name)));
        tensors.insert(joined.name.clone(), joined);
    }
    Ok(())
}

/// Published tensors as transformers 4.52 to 4.57 name and part them, and later versions read them.
pub(super) fn from_published(
    tensors: Vec<PackTensor>,
    config: &LanguageConfig,
) -> Result<Vec<PackTensor>, String> {
    let mut native = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        match tensor.name.strip_prefix("vision_model.") {
            Some(vision) => native.extend(vision_from_published(&tensor, vision)?),
            None if config.architecture == Architecture::InternLm2 => {
                native.extend(from_internlm2(tensor, config)?);
            }
            None => native.push(tensor),
        }
    }
    for tensor in &mut native {
        let part = PROJECTOR
            .iter()
            .find_map(|(native, published)| Some((native, tensor.name.strip_prefix(published)?)));
        if let Some((part, leaf)) = part {
            tensor.name = format!("multi_modal_projector.{part}{leaf}");
        }
    }
    Ok(native)
}

/// A tensor of the vision encoder, whose name is here without its first part.
fn vision_from_published(tensor: &PackTensor, name: &str) -> Result<Vec<PackTensor>, String> {
    let native = |name: &str| {
        let replace = |name: String, (to, from): &(&str, &str)| name.replacen(from, to, 1);
        format!("vision_tower.{}", VISION.iter().fold(name.to_string(), replace))
    };
    let Some((layer, leaf)) = name.split_once(".attn.qkv.") else {
        return Ok(vec![renamed(tensor, native(name))]);
    };
    let rows = tensor.shape.first().map_or(0, |rows| rows / 3);
    let part = |name: &str, part: usize| {
        let rows = part * rows..(part + 1) * rows;
        (native(&format!("{layer}.attn.{name}.{leaf}")), vec![rows])
    };
    Ok(split_rows(tensor, [part("q", 0), part("k", 1), part("v", 2)])?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_become_the_published_names() {
        let layer = "encoder.layer.3";
        let same = [
            ("vision_tower.embeddings.cls_token", "vision_model.embeddings.class_embedding"),
            ("multi_modal_projector.linear_2.bias", "mlp1.3.bias"),
            ("res_decoder.conv2.bias", "res_decoder.conv2.bias"),
            ("language_model.norm.weight", "language_model.model.norm.weight"),
            (
                &format!("vision_tower.{layer}.attention.projection_layer.weight"),
                "vision_model.encoder.layers.3.attn.proj.weight",
            ),
            (
                &format!("vision_tower.{layer}.layernorm_after.bias"),
                "vision_model.encoder.layers.3.norm2.bias",
            ),
        ];
        for (native, published) in same {
            assert_eq!(to_published(native), published);
            assert_eq!(to_published(&format!("model.{native}")), published);
            assert_eq!(to_published(published), published);
        }
        let head = "language_model.lm_head.weight";
        assert_eq!([to_published("lm_head.weight"), to_published(head)], [head, head]);
    }
}
