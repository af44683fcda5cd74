//! What a work costs at least: the operations of its products, and the bytes that it must move.

use std::ops::{Add, Mul};

use burn::module::Module;
use burn::tensor::DType;
use mllmseg::model::{Mllmseg, MllmsegConfig};
use mllmseg_model::lora::LoraConfig;
use mllmseg_model::parameters::parameter_count;
use serde::Serialize;

use super::session::BATCH;
use super::setting::Setting;
use crate::drawn::{TOKENS_AFTER_IMAGE, TOKENS_BEFORE_IMAGE};
use crate::memory::Workload;

/// Floating-point operations of products (a multiplication and an addition each), and bytes of
/// weights. Norms, activations and the maps between layers are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub operations: f64,
    pub bytes: f64,
}

/// The rates of a machine that no work exceeds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ceiling {
    /// Operations of a large product.
    pub operations_per_second: f64,
    /// Bytes of a large copy, read and written.
    pub bytes_per_second: f64,
}

impl Ceiling {
    /// The least seconds that a work takes: it can compute and move at the same time.
    pub fn least_seconds(&self, cost: Cost) -> f64 {
        let products = cost.operations / self.operations_per_second;
        products.max(cost.bytes / self.bytes_per_second)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (operations, bytes) = (self.operations + other.operations, self.bytes + other.bytes);
        Self { operations, bytes }
    }
}

impl Mul<usize> for Cost {
    type Output = Self;

    fn mul(self, times: usize) -> Self {
        let times = times as f64;
        Self { operations: self.operations * times, bytes: self.bytes * times }
    }
}

/// Products of `tokens` rows with `parameters` weights, which are read once.
fn weights(parameters: usize, tokens: usize, dtype: DType) -> Cost {
    let bytes = (parameters * dtype.size()) as f64;
    Cost { operations: 2.0 * (parameters * tokens) as f64, bytes }
}

/// The two products of attention, whose heads are together `width` wide.
fn attention(queries: usize, keys: usize, width: usize) -> Cost {
    Cost { operations: 4.0 * (queries * keys * width) as f64, bytes: 0.0 }
}

/// The costs of each work at the sizes of a configuration.
pub struct Costs {
    config: MllmsegConfig,
    dtype: DType,
    workload: Workload,
    /// To count its parameters; its weights are not drawn.
    model: Mllmseg,
    /// Parameters of all adapters.
    adapters: usize,
}

impl Costs {
    pub fn of(setting: &Setting) -> Self {
        let Setting { config, device, dtype, .. } = setting;
        let (config, dtype, workload) = (config.clone(), *dtype, setting.workload());
        let new = |lora| Mllmseg::new(&config, lora, &device.device);
        let (model, adapted) = (new(None), new(Some(LoraConfig::published(workload.rank))));
        let adapters = parameter_count(&adapted) - parameter_count(&model);
        Self { config, dtype, workload, model, adapters }
    }

    /// Eq. 1.
    pub fn vision(&self) -> Cost {
        let (vision, tokens) = (&self.config.vision, self.patches() + 1);
        let attention = attention(tokens, tokens, vision.hidden_size) * vision.num_hidden_layers;
        self.rows(&self.model.vision, tokens) + attention
    }

    /// Eq. 1-6, and the self-attention of Eq. 7's layer.
    pub fn encode(&self) -> Cost {
        self.vision() + self.projector() + self.language(self.prefix(), 0) + self.decoder_maps()
    }

    /// Some expressions on an encoded image.
    pub fn expressions(&self, count: usize) -> Cost {
        let calls = count.div_ceil(BATCH);
        let language = self.language(TOKENS_AFTER_IMAGE, self.prefix());
        let operations = (language * count).operations;
        Cost { operations, ..language * calls } + self.vocabulary(1) * calls + self.masks() * count
    }

    /// A pass and its gradients. Those by the input of a frozen layer cost as much as the layer, those by
    /// its weights, where they are trained, as much again.
    pub fn train_step(&self) -> Cost {
        let Workload { images, expressions, .. } = self.workload;
        let tokens = self.workload.length(&self.config);
        let answer = tokens - self.workload.answer_start(&self.config);
        let frozen = self.vision() + self.projector();
        let adapters = weights(self.adapters, tokens, DType::F32);
        let passed = self.language(tokens, 0) + self.vocabulary(answer);
        let trained = adapters + self.decoder_maps() + self.masks() * expressions;
        (frozen + passed * 2 + trained * 3) * images
    }

    /// A file in bf16 is read, and the weights are written.
    pub fn load(&self) -> Cost {
        let bytes = parameter_count(&self.model) * (DType::BF16.size() + self.dtype.size());
        Cost { operations: 0.0, bytes: bytes as f64 }
    }

    /// Some tokens of an answer, one at a time.
    pub fn tokens(&self, count: usize) -> Cost {
        (self.language(1, self.prefix() + TOKENS_AFTER_IMAGE) + self.vocabulary(1)) * count
    }

    fn projector(&self) -> Cost {
        self.rows(&self.model.projector, self.config.num_image_tokens())
    }

    /// The layers of Eq. 3 for some tokens after others.
    fn language(&self, tokens: usize, past: usize) -> Cost {
        let language = &self.config.language;
        let width = language.num_attention_heads * language.head_dim();
        // Attention is causal: on average half of the tokens are seen.
        let attention = attention(tokens, past + tokens / 2, width) * language.num_hidden_layers;
        self.rows(&self.model.language_model.layers, tokens) + attention
    }

    fn vocabulary(&self, tokens: usize) -> Cost {
        self.rows(&self.model.language_model.lm_head, tokens)
    }

    /// The part of the decoder that no expression changes.
    fn decoder_maps(&self) -> Cost {
        let (decoder, patches) = (&self.model.mask_decoder, self.patches());
        let width = self.config.vision.hidden_size;
        let attention =
            attention(patches, patches, width) * 2 + attention(patches, patches / 4, width);
        let parameters = parameter_count(&decoder.dsff)
            + parameter_count(&decoder.seg_attention.self_attn)
            + parameter_count(&decoder.img_llm_down) / 4;
        weights(parameters, patches, DType::F32) + attention
    }

    /// Eq. 7 and 8 of one expression: the feed-forward layers and the first convolution.
    fn masks(&self) -> Cost {
        let decoder = &self.model.mask_decoder;
        let layer = &decoder.seg_attention;
        let parameters = parameter_count(&layer.linear1)
            + parameter_count(&layer.linear2)
            + parameter_count(&decoder.head);
        weights(parameters, self.patches(), DType::F32)
    }

    fn rows(&self, module: &impl Module, tokens: usize) -> Cost {
        weights(parameter_count(module), tokens, self.dtype)
    }

    fn patches(&self) -> usize {
        self.config.patches_per_side().pow(2)
    }

    /// Tokens up to `</img>`.
    fn prefix(&self) -> usize {
        TOKENS_BEFORE_IMAGE + self.config.num_image_tokens() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A product of 3 rows with 10 weights, and attention of 2 queries to 5 keys of width 7.
    #[test]
    fn products_are_counted_by_hand() {
        assert_eq!(weights(10, 3, DType::BF16), Cost { operations: 60.0, bytes: 20.0 });
        // Scores and sums: 2 * 5 * 7 multiplications and additions each.
        assert_eq!(attention(2, 5, 7).operations, 280.0);
    }

    #[test]
    fn the_slower_of_products_and_copies_decides() {
        let ceiling = Ceiling { operations_per_second: 10.0, bytes_per_second: 2.0 };
        assert_eq!(ceiling.least_seconds(Cost { operations: 40.0, bytes: 2.0 }), 4.0);
        assert_eq!(ceiling.least_seconds(Cost { operations: 40.0, bytes: 10.0 }), 5.0);
    }
}
