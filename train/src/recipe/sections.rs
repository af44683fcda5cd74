//! The sections of a recipe, and what they say when a file is silent: the published first stage.

use mllmseg_model::Variant;
use serde::{Deserialize, Serialize};

use crate::loss::{LossWeights, MaskLoss};
use crate::optimizer::{AdamWConfig, MatrixRule};

/// A model that is drawn instead of loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// Its sizes: a name of `mllmseg_model::Preset`.
    pub preset: String,
    /// Which of Table 4's mask decoders.
    #[serde(default = "dsff")]
    pub decoder: Variant,
    /// The logit that an untrained mask decoder gives every pixel. Most of a picture is not the
    /// object: starting at -2 (probability 0.12) saves the steps that learn this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_prior: Option<f64>,
}

fn dsff() -> Variant {
    Variant::Dsff
}

/// What is learnt from: a data set is drawn uniformly, then an image, then some of its expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Names of data sets; a name may come more than once, to be drawn more often.
    pub mix: Vec<String>,
    /// Their part.
    pub split: String,
    /// The most expressions of one image.
    pub expressions_per_image: usize,
    /// Whether they share a conversation.
    pub ask: Ask,
    /// The style of questions and answers.
    #[serde(alias = "wording")] // its name in 0.1.0
    pub prompt_style: PromptStyle,
    /// Least and greatest quality of the random JPEG recompression; empty for none.
    pub jpeg_quality: Vec<u8>,
}

/// How the expressions of an image are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// In one question, as published.
    Together,
    /// Each in a conversation of its own, as `segment` asks them; the image is read once.
    Apart,
}

/// The style of questions and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptStyle {
    /// A question and an answer drawn from the published ones.
    Training,
    /// Always that of the evaluation: a small model need not learn twenty others.
    Evaluation,
}

/// How much is learnt from in one step. The outcome depends on `images · batches_per_step` alone,
/// not on how many devices share the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchRecipe {
    /// Images in one pass through the model.
    pub images: usize,
    /// Passes in one step, on all devices together.
    pub batches_per_step: usize,
}

/// Which weights learn.
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
    /// Whether any dropout acts, the mask decoder's among them.
    pub dropout: bool,
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

/// What is minimised (Eq. 14).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossRecipe {
    /// `focal_dice`, the published code's, or `bce_dice`, the paper's.
    #[serde(with = "by_name")]
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
    /// After how many steps it is 0; nothing for the run's own. A run that others follow may end
    /// before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_steps: Option<usize>,
    /// How much of the mean of gradients is kept.
    pub beta_1: f64,
    /// How much of the mean of their squares is kept.
    pub beta_2: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// How matrices move: `adamw`, as everything else, or `muon`.
    pub matrices: MatrixRule,
    /// Gradients together are scaled down to this norm.
    pub max_gradient_norm: f64,
}

/// What is kept for going on later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotRecipe {
    /// Steps from one to the next.
    pub every: usize,
    /// How many of the last are kept, the best by validation apart.
    pub keep: usize,
}

/// What is measured on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationRecipe {
    /// Name of the data set; empty for no validation.
    pub dataset: String,
    /// Its part.
    pub split: String,
    /// Steps from one measurement to the next.
    pub every: usize,
    /// How many expressions, the first of the part.
    pub expressions: usize,
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            mix: ["refclef", "refcoco", "refcoco+", "refcocog"].map(String::from).to_vec(),
            split: "train".into(),
            expressions_per_image: 5,
            ask: Ask::Together,
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
        }
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
        let AdamWConfig { beta_1, beta_2, epsilon, weight_decay, matrices } =
            AdamWConfig::default();
        Self {
            learning_rate: 4e-5,
            warmup: 0.03,
            schedule_steps: None,
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
            matrices,
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

/// Mask losses by their names.
mod by_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::loss::MaskLoss;

    pub fn serialize<S: Serializer>(loss: &MaskLoss, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(loss)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MaskLoss, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
