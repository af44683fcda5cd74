//! The sections of a recipe. Their defaults are the published first stage; aliases are the names of
//! version 0.1.0.

use mllmseg_model::Variant;
use serde::{Deserialize, Serialize};

use crate::loss::{LossWeights, MaskLoss};
use crate::optimizer::{AdamWConfig, MatrixOptimizer};
use crate::trainable::{BatchNormStatistics, TrainingMode};

/// A model that is drawn instead of loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// Its sizes: a name of `mllmseg_model::Preset`.
    pub preset: String,
    /// Which of Table 4's mask decoders.
    #[serde(default = "dsff")]
    pub decoder: Variant,
    /// The logit that an untrained mask decoder gives every pixel. Most of an image is not the
    /// object: -2 (probability 0.12) saves the steps in which a model learns this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_prior: Option<f64>,
}

fn dsff() -> Variant {
    Variant::Dsff
}

/// The training data: a data set is drawn uniformly, then an image, then some of its expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Names of data sets; a name may come more than once, to be drawn more often.
    pub mix: Vec<String>,
    /// Their split.
    pub split: String,
    /// The most expressions of one image.
    pub expressions_per_image: usize,
    /// Whether the expressions of an image share a conversation.
    #[serde(alias = "ask")]
    pub prompting: Prompting,
    /// Which questions and answers are used.
    #[serde(alias = "wording")]
    pub prompt_style: PromptStyle,
    /// Least and greatest quality of the random JPEG recompression; empty for none.
    pub jpeg_quality: Vec<u8>,
}

/// How the expressions of an image are put to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prompting {
    /// In one question, as published.
    #[serde(alias = "together")]
    Joint,
    /// Each in a conversation of its own, as `segment` does; the image is encoded once.
    #[serde(alias = "apart")]
    Separate,
}

/// Which questions and answers are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptStyle {
    /// A question and an answer style drawn from the published ones.
    Training,
    /// Always those of the evaluation: a small model need not learn twenty of them.
    Evaluation,
}

/// The batch of one step. The outcome depends on `images · batches_per_step` alone, not on how many
/// devices share the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchRecipe {
    /// Images in one pass through the model.
    pub images: usize,
    /// Passes in one step, on all devices together.
    pub batches_per_step: usize,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainedRecipe {
    /// The set.
    pub weights: TrainedWeights,
    /// Rank of the adapters.
    pub lora_rank: usize,
    /// Their scale is `lora_alpha / lora_rank`.
    pub lora_alpha: f64,
    /// Share of an adapter's inputs that is dropped.
    pub lora_dropout: f64,
    /// Whether there is any dropout, in the adapters and in the mask decoder.
    pub dropout: bool,
    /// What the mask head's batch norm normalises by: `conversation`, as published, or `stored`.
    pub batch_norm: BatchNormStatistics,
}

/// Names of [`TrainableSet`](crate::TrainableSet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainedWeights {
    /// Adapters and mask decoder.
    LoraAndDecoder,
    /// And the final norm, and with InternLM2 the token table and the output layer.
    Published,
    /// All, without adapters.
    Everything,
}

/// What is minimised (Eq. 14 and 15).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossRecipe {
    /// `focal_dice`, the published code's, or `bce_dice`, the paper's.
    pub mask: MaskLoss,
    /// Weight of the answer's cross-entropy.
    pub ce_weight: f64,
    /// Weight of the focal loss or BCE.
    pub pixel_weight: f64,
    /// Weight of Dice.
    pub dice_weight: f64,
}

/// AdamW, its schedule and the clipping of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerRecipe {
    /// The highest rate, after the warm-up.
    pub learning_rate: f64,
    /// Share of the steps in which the rate rises; then it falls to 0 by a cosine.
    pub warmup: f64,
    /// The step at which the rate is 0; by default the last one. The run of a curriculum stage may
    /// end before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_steps: Option<usize>,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What updates matrices: `adamw`, as everything else, or `muon`.
    #[serde(alias = "matrices")]
    pub matrix_optimizer: MatrixOptimizer,
    /// All gradients are scaled by one factor, down to this global norm.
    pub max_gradient_norm: f64,
}

/// What is kept to resume a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotRecipe {
    /// Steps from one to the next.
    pub every: usize,
    /// How many of the last are kept, the best by validation apart.
    pub keep: usize,
}

/// The validations of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationRecipe {
    /// Name of the data set; empty for no validation.
    pub dataset: String,
    /// Its split.
    pub split: String,
    /// Steps from one validation to the next.
    pub every: usize,
    /// How many expressions, the first of the split.
    pub expressions: usize,
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            mix: ["refclef", "refcoco", "refcoco+", "refcocog"].map(String::from).to_vec(),
            split: "train".into(),
            expressions_per_image: 5,
            prompting: Prompting::Joint,
            prompt_style: PromptStyle::Training,
            jpeg_quality: vec![75, 100],
        }
    }
}

impl Default for BatchRecipe {
    /// 32 images: published as 4 on each of 4 devices, accumulated twice.
    fn default() -> Self {
        Self { images: 4, batches_per_step: 8 }
    }
}

impl Default for TrainedRecipe {
    fn default() -> Self {
        Self {
            weights: TrainedWeights::Published,
            lora_rank: 64,
            lora_alpha: 128.0,
            lora_dropout: 0.05,
            dropout: true,
            batch_norm: BatchNormStatistics::Conversation,
        }
    }
}

impl TrainedRecipe {
    /// How the model is prepared.
    pub fn mode(&self) -> TrainingMode {
        TrainingMode { dropout: self.dropout, batch_norm: self.batch_norm }
    }
}

impl Default for LossRecipe {
    fn default() -> Self {
        let LossWeights { ce, pixel, dice } = LossWeights::default();
        Self { mask: MaskLoss::default(), ce_weight: ce, pixel_weight: pixel, dice_weight: dice }
    }
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        let AdamWConfig { beta_1, beta_2, epsilon, weight_decay, matrix_optimizer } =
            AdamWConfig::default();
        Self {
            learning_rate: 4e-5,
            warmup: 0.03,
            schedule_steps: None,
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            matrix_optimizer,
            max_gradient_norm: 1.0,
        }
    }
}

impl Default for SnapshotRecipe {
    fn default() -> Self {
        Self { every: 500, keep: 2 }
    }
}

impl Default for ValidationRecipe {
    fn default() -> Self {
        Self { dataset: String::new(), split: "val".into(), every: 1000, expressions: 500 }
    }
}
