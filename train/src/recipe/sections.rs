//! The sections of a recipe; aliases are the names of version 0.1.0.

use mllmseg_model::Variant;
use mllmseg_model::lora::LoraConfig;
use serde::{Deserialize, Serialize};

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

recipe_section! {
    /// The training data: a data set is drawn uniformly, then an image, then some of its expressions.
    pub struct DataRecipe {
        /// Names of data sets; a name may come more than once, to be drawn more often.
        pub mix: Vec<String> = ["refclef", "refcoco", "refcoco+", "refcocog"].map(String::from).into(),
        /// Their split.
        pub split: String = "train".into(),
        /// The most expressions of one image.
        pub expressions_per_image: usize = 5,
        /// Whether the expressions of an image share a conversation.
        #[serde(alias = "ask")]
        pub prompting: Prompting = Prompting::Joint,
        /// Which questions and answers are used.
        #[serde(alias = "wording")]
        pub prompt_style: PromptStyle = PromptStyle::Training,
        /// Least and greatest quality of the random JPEG recompression; empty for none.
        pub jpeg_quality: Vec<u8> = vec![75, 100],
        /// Leave out refs that contradict the annotations, instead of stopping.
        pub skip_contradictions: bool = false,
        /// Refuse data that are written otherwise than COCO and RefCOCO are.
        pub strict: bool = false,
        /// How many images may be missing or damaged before the run stops; others are drawn in their place.
        pub max_bad_images: usize = 0,
    }
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

recipe_section! {
    /// The batch of one step: 32 images, published as 4 on each of 4 devices, accumulated twice. The
    /// outcome depends on `images · batches_per_step` alone, not on how many devices share the
    /// batches.
    #[derive(Copy)]
    pub struct BatchRecipe {
        /// Images in one pass through the model.
        pub images: usize = 4,
        /// Passes in one step, on all devices together.
        pub batches_per_step: usize = 8,
    }
}

recipe_section! {
    /// Which weights are trained.
    #[derive(Copy)]
    pub struct TrainedRecipe {
        /// The set.
        pub weights: TrainedWeights = TrainedWeights::Published,
        /// Rank of the adapters.
        pub lora_rank: usize = 64,
        /// Their scale is `lora_alpha / lora_rank`; without it 2, as published.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub lora_alpha: Option<f64> = None,
        /// Share of an adapter's inputs that is dropped.
        pub lora_dropout: f64 = 0.05,
        /// Whether there is any dropout, in the adapters and in the mask decoder.
        pub dropout: bool = true,
        /// What the mask head's batch norm normalises by: `conversation`, as published, or `stored`.
        pub batch_norm: BatchNormStatistics = BatchNormStatistics::Conversation,
    }
}

impl TrainedRecipe {
    /// How the model is prepared.
    pub fn mode(&self) -> TrainingMode {
        TrainingMode { dropout: self.dropout, batch_norm: self.batch_norm }
    }

    /// The adapters that a model without any gets.
    pub fn new_lora(&self) -> Option<LoraConfig> {
        let published = LoraConfig::published(self.lora_rank);
        let alpha = self.lora_alpha.unwrap_or(published.alpha);
        let lora = LoraConfig { alpha, dropout: self.lora_dropout, ..published };
        (self.weights != TrainedWeights::Everything).then_some(lora)
    }
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

recipe_section! {
    /// What is kept to resume a run.
    #[derive(Copy)]
    pub struct SnapshotRecipe {
        /// Steps from one to the next.
        pub every: usize = 500,
        /// How many of the last are kept, the best by validation apart.
        pub keep: usize = 2,
    }
}

recipe_section! {
    /// The validations of a run.
    pub struct ValidationRecipe {
        /// Name of the data set; empty for no validation.
        pub dataset: String = String::new(),
        /// Its split.
        pub split: String = "val".into(),
        /// Steps from one validation to the next.
        pub every: usize = 1000,
        /// How many expressions, the first of the split.
        pub expressions: usize = 500,
    }
}
