//! Every tensor's name in published checkpoints beside its path in our modules.
//!
//! The table is written out from the configuration, so that it reads like the checkpoint, works in
//! both directions, and anything that is not in it is an unexpected tensor.

use std::collections::HashMap;

use crate::config::{Architecture, MllmsegConfig};

/// Pairs of (name on disk, path in [`crate::Mllmseg`]).
#[derive(Debug, Clone)]
pub struct NameTable {
    pairs: Vec<(String, String)>,
}

impl NameTable {
    /// The table of a configuration. `lora_is_separate`: the language model's linear layers carry
    /// PEFT's names, `base_layer`, `lora_A.default` and `lora_B.default`.
    pub fn new(config: &MllmsegConfig, lora_is_separate: bool) -> Self {
        let mut table = Self { pairs: Vec::new() };
        table.vision(config);
        table.language(config, lora_is_separate);
        table.projector();
        table.mask_decoder(config);
        table
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

    fn one(&mut self, name: impl Into<String>, path: impl Into<String>) {
        self.pairs.push((name.into(), path.into()));
    }

    /// The same leaves under both prefixes.
    fn leaves(&mut self, name: &str, path: &str, leaves: &[&str]) {
        for leaf in leaves {
            self.one(format!("{name}.{leaf}"), format!("{path}.{leaf}"));
        }
    }

    fn linear(&mut self, name: &str, path: &str) {
        self.leaves(name, path, &["weight", "bias"]);
    }

    /// Burn calls scale and shift of a norm gamma and beta.
    fn norm(&mut self, name: &str, path: &str) {
        self.one(format!("{name}.weight"), format!("{path}.gamma"));
        self.one(format!("{name}.bias"), format!("{path}.beta"));
    }

    fn vision(&mut self, config: &MllmsegConfig) {
        let (name, path) = ("vision_model.embeddings", "vision.embeddings");
        self.leaves(name, path, &["class_embedding", "position_embedding"]);
        self.linear(&format!("{name}.patch_embedding"), &format!("{path}.patch_embedding"));
        for layer in 0..config.vision.num_hidden_layers {
            let name = format!("vision_model.encoder.layers.{layer}");
            let path = format!("vision.layers.{layer}");
            self.leaves(&name, &path, &["ls1", "ls2"]);
            self.leaves(&name, &path, &["attn.qkv.weight"]);
            if config.vision.qkv_bias {
                self.leaves(&name, &path, &["attn.qkv.bias"]);
            }
            for linear in ["attn.proj", "mlp.fc1", "mlp.fc2"] {
                self.linear(&format!("{name}.{linear}"), &format!("{path}.{linear}"));
            }
            for norm in ["norm1", "norm2"] {
                self.norm(&format!("{name}.{norm}"), &format!("{path}.{norm}"));
            }
        }
    }

    fn projector(&mut self) {
        self.norm("mlp1.0", "projector.norm");
        self.linear("mlp1.1", "projector.fc1");
        self.linear("mlp1.3", "projector.fc2");
    }

    fn language(&mut self, config: &MllmsegConfig, lora_is_separate: bool) {
        let language = &config.language;
        let names = match language.architecture {
            Architecture::InternLm2 => &INTERNLM2,
            Architecture::Qwen2 => &QWEN2,
        };
        let root =
            if lora_is_separate { "language_model.base_model.model" } else { "language_model" };
        let path = "language_model";
        self.one(
            format!("{root}.{}.weight", names.embedding),
            format!("{path}.embed_tokens.weight"),
        );
        for layer in 0..language.num_hidden_layers {
            let name = format!("{root}.model.layers.{layer}");
            let path = format!("{path}.layers.{layer}");
            for linear in names.linears {
                let has_bias = match linear.bias {
                    Bias::Always => true,
                    Bias::Never => false,
                    Bias::Configured => language.bias,
                };
                let (name, path) =
                    (format!("{name}.{}", linear.name), format!("{path}.{}", linear.path));
                self.adapted(&name, &path, has_bias, lora_is_separate);
            }
            self.one(
                format!("{name}.{}.weight", names.attention_norm),
                format!("{path}.attention_norm.gamma"),
            );
            self.one(format!("{name}.{}.weight", names.ffn_norm), format!("{path}.ffn_norm.gamma"));
        }
        self.one(format!("{root}.model.norm.weight"), format!("{path}.norm.gamma"));
        self.one(format!("{root}.{}.weight", names.output), format!("{path}.lm_head.weight"));
    }

    /// A linear layer with or without adapter.
    fn adapted(&mut self, name: &str, path: &str, has_bias: bool, lora_is_separate: bool) {
        let base = if lora_is_separate { format!("{name}.base_layer") } else { name.to_string() };
        self.leaves(&base, path, &["weight"]);
        if has_bias {
            self.leaves(&base, path, &["bias"]);
        }
        if lora_is_separate {
            self.one(format!("{name}.lora_A.default.weight"), format!("{path}.lora.a"));
            self.one(format!("{name}.lora_B.default.weight"), format!("{path}.lora.b"));
        }
    }

    fn mask_decoder(&mut self, config: &MllmsegConfig) {
        let variant = config.mask_decoder.variant;
        let (name, path) = ("res_decoder", "mask_decoder");
        if variant.uses_language_tokens() {
            self.linear("res_decoder.img_llm_down", "mask_decoder.img_llm_down");
        }
        self.linear("res_decoder.text_down", "mask_decoder.text_down");
        self.linear("res_decoder.text_out_adapter", "mask_decoder.dsff.adapter");
        self.cross_attention(&format!("{name}.ca_layer_vl"), &format!("{path}.seg_attention"));
        if variant.uses_language_tokens() {
            self.linear(
                "res_decoder.upsample_adapter_l.offset",
                "mask_decoder.dsff.upsample.offset",
            );
        }
        if variant == crate::Variant::Dsff {
            self.cross_attention(
                &format!("{name}.ca_layer_v2l"),
                &format!("{path}.dsff.cross_attention"),
            );
        }
        self.linear("res_decoder.conv1.0", "mask_decoder.head.conv1");
        self.norm("res_decoder.conv1.1", "mask_decoder.head.norm");
        let statistics = ["running_mean", "running_var", "num_batches_tracked"];
        self.leaves("res_decoder.conv1.1", "mask_decoder.head.norm", &statistics);
        self.linear("res_decoder.conv2", "mask_decoder.head.conv2");
    }

    fn cross_attention(&mut self, name: &str, path: &str) {
        let layer = format!("{name}.decoder.layers.0");
        for attention in ["self_attn", "multihead_attn"] {
            let (name, path) = (format!("{layer}.{attention}"), format!("{path}.{attention}"));
            self.leaves(&name, &path, &["in_proj_weight", "in_proj_bias"]);
            self.linear(&format!("{name}.out_proj"), &format!("{path}.out_proj"));
        }
        for linear in ["linear1", "linear2"] {
            self.linear(&format!("{layer}.{linear}"), &format!("{path}.{linear}"));
        }
        for norm in ["norm1", "norm2", "norm3"] {
            self.norm(&format!("{layer}.{norm}"), &format!("{path}.{norm}"));
        }
        self.norm(&format!("{name}.decoder.norm"), &format!("{path}.norm"));
    }
}

/// Tensors of published files that carry nothing: constants that the model computes itself.
pub fn is_derived_constant(name: &str) -> bool {
    name.ends_with("upsample_adapter_l.init_pos") || name.ends_with("rotary_emb.inv_freq")
}

/// Whether a name belongs to a separate adapter.
pub fn is_lora(name: &str) -> bool {
    name.contains(".lora_A.") || name.contains(".lora_B.")
}

/// What a family of language models calls its parts.
struct LanguageNames {
    embedding: &'static str,
    output: &'static str,
    attention_norm: &'static str,
    ffn_norm: &'static str,
    linears: &'static [LinearName],
}

struct LinearName {
    name: &'static str,
    path: &'static str,
    bias: Bias,
}

#[derive(Clone, Copy)]
enum Bias {
    Always,
    Never,
    Configured,
}

const fn linear(name: &'static str, path: &'static str, bias: Bias) -> LinearName {
    LinearName { name, path, bias }
}

static INTERNLM2: LanguageNames = LanguageNames {
    embedding: "model.tok_embeddings",
    output: "output",
    attention_norm: "attention_norm",
    ffn_norm: "ffn_norm",
    linears: &[
        linear("attention.wqkv", "attention.qkv", Bias::Configured),
        linear("attention.wo", "attention.output", Bias::Configured),
        linear("feed_forward.w1", "feed_forward.gate", Bias::Never),
        linear("feed_forward.w3", "feed_forward.up", Bias::Never),
        linear("feed_forward.w2", "feed_forward.down", Bias::Never),
    ],
};

static QWEN2: LanguageNames = LanguageNames {
    embedding: "model.embed_tokens",
    output: "lm_head",
    attention_norm: "input_layernorm",
    ffn_norm: "post_attention_layernorm",
    linears: &[
        linear("self_attn.q_proj", "attention.qkv.q", Bias::Always),
        linear("self_attn.k_proj", "attention.qkv.k", Bias::Always),
        linear("self_attn.v_proj", "attention.qkv.v", Bias::Always),
        linear("self_attn.o_proj", "attention.output", Bias::Never),
        linear("mlp.gate_proj", "feed_forward.gate", Bias::Never),
        linear("mlp.up_proj", "feed_forward.up", Bias::Never),
        linear("mlp.down_proj", "feed_forward.down", Bias::Never),
    ],
};
