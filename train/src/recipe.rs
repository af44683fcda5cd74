//! Every number of a training run, and where it comes from: the published recipe, a TOML file, flags.
//!
//! What a file leaves out has the published value, so that the paper's own recipes
//! (`train/recipes/`) are a few lines each. The resolved recipe, every number written out, is kept
//! beside the run.

use std::path::{Path, PathBuf};

use mllmseg_data::prompt::MAX_EXPRESSIONS;
use mllmseg_model::Variant;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::loss::{LossWeights, MaskLoss};
use crate::optimizer::{AdamWConfig, MatrixRule};
use crate::schedule::WarmupCosine;

/// A training run's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// What it is called.
    pub name: String,
    /// Updates of the weights.
    pub steps: usize,
    /// What all random choices are drawn from.
    pub seed: u64,
    /// Number type of the frozen weights: `auto`, `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// Keep only each block's input, and compute its inside again for the backward pass.
    pub recompute: bool,
    /// A model from nothing, in place of a base checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_model: Option<NewModel>,
    /// What is learnt from.
    pub data: DataRecipe,
    /// How much at once.
    pub batch: BatchRecipe,
    /// Which weights learn.
    pub trained: TrainedRecipe,
    /// What is minimised.
    pub loss: LossRecipe,
    /// How the weights move.
    pub optimizer: OptimizerRecipe,
    /// What is kept for going on later.
    pub snapshots: SnapshotRecipe,
    /// What is measured on the way.
    pub validation: ValidationRecipe,
}

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
    /// How conversations are worded.
    pub wording: Wording,
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

/// How conversations are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wording {
    /// A question and an answer style drawn from the published ones.
    Training,
    /// Always as the evaluation asks: a small model need not learn twenty ways to say it.
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

impl Default for Recipe {
    /// The published first stage.
    fn default() -> Self {
        Self {
            name: "custom".into(),
            steps: 50_000,
            seed: 0,
            dtype: "auto".into(),
            recompute: false,
            new_model: None,
            data: DataRecipe::default(),
            batch: BatchRecipe::default(),
            trained: TrainedRecipe::default(),
            loss: LossRecipe::default(),
            optimizer: OptimizerRecipe::default(),
            snapshots: SnapshotRecipe::default(),
            validation: ValidationRecipe::default(),
        }
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            mix: ["refclef", "refcoco", "refcoco+", "refcocog"].map(String::from).to_vec(),
            split: "train".into(),
            expressions_per_image: 5,
            ask: Ask::Together,
            wording: Wording::Training,
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

/// Why there is no recipe.
#[derive(Debug, Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{path}: {source}; expected a TOML file, or one of the names {names}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The recipes that are built in.
        names: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no recipe.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A number that makes no sense.
    #[error("recipe {name:?}: `{field}` is {found}; expected {expected}")]
    Value {
        /// Name of the recipe.
        name: String,
        /// Which number.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// The largest recipe file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

impl Recipe {
    /// The recipes that are built in: name and file.
    pub const BUILT_IN: [(&'static str, &'static str); 5] = [
        ("res-paper", include_str!("../recipes/res-paper.toml")),
        ("gres-paper", include_str!("../recipes/gres-paper.toml")),
        ("tiny-begin", include_str!("../recipes/tiny-begin.toml")),
        ("tiny-shapes", include_str!("../recipes/tiny-shapes.toml")),
        ("tiny", include_str!("../recipes/tiny.toml")),
    ];

    /// A recipe that is built in, or of a file.
    ///
    /// # Errors
    /// [`RecipeError`]; numbers are checked by [`Recipe::check`] once flags are applied.
    pub fn open(name_or_path: &str) -> Result<Self, RecipeError> {
        let built_in = Self::BUILT_IN.iter().find(|(name, _)| *name == name_or_path);
        let path = PathBuf::from(name_or_path);
        match built_in {
            Some((_, text)) => Self::parse(text, &path),
            None => Self::read(&path),
        }
    }

    /// A recipe of a file.
    ///
    /// # Errors
    /// [`RecipeError::Read`] and [`RecipeError::Parse`].
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let fail = |source| {
            let names = Self::BUILT_IN.map(|(name, _)| name).join(", ");
            RecipeError::Read { path: path.to_path_buf(), names, source }
        };
        let size = std::fs::metadata(path).map_err(fail)?.len();
        if size > MAX_BYTES {
            return Err(fail(std::io::Error::other(format!("{size} bytes are no recipe"))));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(fail)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, RecipeError> {
        toml::from_str(text).map_err(|error| RecipeError::Parse {
            path: path.to_path_buf(),
            message: error.to_string(),
        })
    }

    /// Every number written out.
    pub fn to_toml(&self) -> String {
        // A struct of numbers, texts and lists always has a form in TOML.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The learning rate over the run.
    pub fn schedule(&self) -> WarmupCosine {
        let OptimizerRecipe { learning_rate, warmup, schedule_steps, .. } = self.optimizer;
        WarmupCosine::with_warmup_ratio(learning_rate, schedule_steps.unwrap_or(self.steps), warmup)
    }

    /// The optimizer's constants.
    pub fn adamw(&self) -> AdamWConfig {
        let OptimizerRecipe { beta_1, beta_2, epsilon, weight_decay, matrices, .. } =
            self.optimizer;
        AdamWConfig { beta_1, beta_2, epsilon, weight_decay, matrices }
    }

    /// The factors of the losses.
    pub fn loss_weights(&self) -> LossWeights {
        let LossRecipe { ce_weight, pixel_weight, dice_weight, .. } = self.loss;
        LossWeights { ce: ce_weight, pixel: pixel_weight, dice: dice_weight }
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// [`RecipeError::Value`] for the first that does not.
    pub fn check(&self) -> Result<(), RecipeError> {
        let o = &self.optimizer;
        let asked = self.data.expressions_per_image;
        let quality = &self.data.jpeg_quality;
        let quality_fits = quality.is_empty()
            || matches!(quality[..], [least, most] if 1 <= least && least <= most && most <= 100);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let weight = |value: f64| value.is_finite() && value >= 0.0;
        let l = &self.loss;
        let count = "at least 1";
        let checks: [(bool, &'static str, String, &'static str); 20] = [
            (self.steps > 0, "steps", self.steps.to_string(), count),
            (!self.data.mix.is_empty(), "data.mix", "empty".into(), "names of data sets"),
            (
                asked > 0 && (self.data.ask == Ask::Apart || asked <= MAX_EXPRESSIONS),
                "data.expressions_per_image",
                asked.to_string(),
                "1 to 5, or more with data.ask = \"apart\"",
            ),
            (
                quality_fits,
                "data.jpeg_quality",
                format!("{quality:?}"),
                "[least, greatest] between 1 and 100, or []",
            ),
            (self.batch.images > 0, "batch.images", self.batch.images.to_string(), count),
            (
                self.batch.batches_per_step > 0,
                "batch.batches_per_step",
                self.batch.batches_per_step.to_string(),
                count,
            ),
            (self.trained.lora_rank > 0, "trained.lora_rank", "0".into(), count),
            (
                self.trained.lora_alpha == 2.0 * self.trained.lora_rank as f64,
                "trained.lora_alpha",
                self.trained.lora_alpha.to_string(),
                "twice lora_rank: published files do not record the scale, and readers take this one",
            ),
            (
                share(self.trained.lora_dropout),
                "trained.lora_dropout",
                self.trained.lora_dropout.to_string(),
                "a share below 1",
            ),
            (
                weight(l.ce_weight) && weight(l.pixel_weight) && weight(l.dice_weight),
                "loss",
                format!("{}, {}, {}", l.ce_weight, l.pixel_weight, l.dice_weight),
                "weights of at least 0",
            ),
            (
                positive(o.learning_rate),
                "optimizer.learning_rate",
                o.learning_rate.to_string(),
                "a number above 0",
            ),
            (share(o.warmup), "optimizer.warmup", o.warmup.to_string(), "a share below 1"),
            (
                o.schedule_steps.is_none_or(|steps| steps >= self.steps),
                "optimizer.schedule_steps",
                o.schedule_steps.unwrap_or_default().to_string(),
                "at least `steps`: past its schedule the rate is 0",
            ),
            (share(o.beta_1), "optimizer.beta_1", o.beta_1.to_string(), "a share below 1"),
            (share(o.beta_2), "optimizer.beta_2", o.beta_2.to_string(), "a share below 1"),
            (positive(o.epsilon), "optimizer.epsilon", o.epsilon.to_string(), "a number above 0"),
            (
                positive(o.max_gradient_norm),
                "optimizer.max_gradient_norm",
                o.max_gradient_norm.to_string(),
                "a number above 0",
            ),
            (self.snapshots.every > 0, "snapshots.every", "0".into(), count),
            (self.snapshots.keep > 0, "snapshots.keep", "0".into(), count),
            (
                self.validation.every > 0 && self.validation.expressions > 0,
                "validation.every and validation.expressions",
                format!("{}, {}", self.validation.every, self.validation.expressions),
                count,
            ),
        ];
        match checks.into_iter().find(|(fits, ..)| !fits) {
            None => Ok(()),
            Some((_, field, found, expected)) => {
                Err(RecipeError::Value { name: self.name.clone(), field, found, expected })
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Section by section the numbers of the paper and its published code.
    #[test]
    fn the_papers_recipes_have_the_published_numbers() {
        let res = Recipe::open("res-paper").unwrap();
        assert_eq!((res.steps, res.batch.images * res.batch.batches_per_step), (50_000, 32));
        assert_eq!(res.data.mix, ["refclef", "refcoco", "refcoco+", "refcocog"]);
        assert_eq!((res.optimizer.learning_rate, res.optimizer.weight_decay), (4e-5, 0.05));
        assert_eq!(res.adamw(), AdamWConfig::default());
        let TrainedRecipe { lora_rank, lora_alpha, lora_dropout, .. } = res.trained;
        assert_eq!((lora_rank, lora_alpha, lora_dropout), (64, 128.0, 0.05));
        assert_eq!(res.schedule().warmup_steps, 1500);
        assert_eq!(res.data.jpeg_quality, [75, 100]);
        assert_eq!((res.data.expressions_per_image, res.data.ask), (5, Ask::Together));
        let gres = Recipe::open("gres-paper").unwrap();
        assert_eq!((gres.steps, &gres.data.mix[..]), (20_000, &["grefcoco".to_string()][..]));
    }

    /// Half way through a schedule of twice the steps, the rate is half of its peak.
    #[test]
    fn a_run_may_end_before_its_schedule() {
        let text = "steps = 500\n[optimizer]\nwarmup = 0.0\nschedule_steps = 1000";
        let recipe = Recipe::parse(text, Path::new("my.toml")).unwrap();
        recipe.check().unwrap();
        assert!((recipe.schedule().learning_rate(500) - 2e-5).abs() < 1e-15);
    }

    #[test]
    fn every_built_in_recipe_is_sound_and_survives_being_written_out() {
        for (name, _) in Recipe::BUILT_IN {
            let recipe = Recipe::open(name).unwrap();
            assert_eq!(recipe.name, name);
            recipe.check().unwrap();
            let written = Recipe::parse(&recipe.to_toml(), Path::new("written")).unwrap();
            assert_eq!(written, recipe);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let parse = |text: &str| Recipe::parse(text, Path::new("my.toml"));
        let message = parse("stepz = 3").unwrap_err().to_string();
        assert!(message.contains("my.toml") && message.contains("stepz"), "{message}");
        let message = parse("[loss]\nmask = \"mse\"").unwrap_err().to_string();
        assert!(message.contains("bce_dice"), "{message}");
        for (text, words) in [
            ("steps = 0", "steps"),
            ("[data]\njpeg_quality = [90, 10]", "jpeg_quality"),
            ("[optimizer]\nlearning_rate = nan", "learning_rate"),
            ("[data]\nmix = []", "data.mix"),
            ("[trained]\nlora_rank = 8", "lora_alpha"),
            ("steps = 9\n[optimizer]\nschedule_steps = 8", "schedule_steps"),
        ] {
            let message = parse(text).unwrap().check().unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        let message = Recipe::open("no-such").unwrap_err().to_string();
        assert!(message.contains("res-paper"), "{message}");
    }
}
