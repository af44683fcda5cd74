//! Every number of a training run: the published recipe, changed by a TOML file and by flags.
//!
//! A number that a file leaves out has the published value, so the paper's own recipes
//! (`train/recipes/`) are a few lines each. The whole recipe, every number written out, is kept in
//! the folder of the run.

mod check;
mod error;
mod sections;

use std::path::{Path, PathBuf};

pub use error::RecipeError;
pub use sections::{
    BatchRecipe, DataRecipe, NewModel, PromptStyle, Prompting, SnapshotRecipe, TrainedRecipe,
    TrainedWeights, ValidationRecipe,
};

use mllmseg_model::config::Layout;

use crate::loss::LossConfig;
use crate::optimizer::OptimizerConfig;
use crate::schedule::WarmupCosine;
use crate::trainable::BatchNormStatistics;

recipe_section! {
    /// A training run's numbers.
    ///
    /// ```
    /// use mllmseg_train::{MaskLoss, Recipe};
    ///
    /// # fn main() -> Result<(), mllmseg_train::RecipeError> {
    /// let mut recipe = Recipe::open("res-paper")?; // or a TOML file
    /// assert_eq!(recipe.loss.mask, MaskLoss::FocalDice);
    /// recipe.steps = 100;
    /// recipe.check()?;
    /// assert!(recipe.to_toml().contains("steps = 100"));
    /// # Ok(())
    /// # }
    /// ```
    pub struct Recipe {
        /// Its name.
        pub name: String = "custom".into(),
        /// Updates of the weights.
        pub steps: usize = 50_000,
        /// The seed of all random choices.
        pub seed: u64 = 0,
        /// The dtype of the frozen weights: `auto`, `f32`, `f16` or `bf16`.
        pub dtype: String = "auto".into(),
        /// The layout of the trained model, `internvl` or `transformers`; without one, that of its base.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub layout: Option<Layout> = None,
        /// Keep only the inputs of the layers, and compute the rest again in the backward pass.
        #[serde(alias = "recompute")]
        pub gradient_checkpointing: bool = false,
        /// A model from nothing, in place of a base checkpoint.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub new_model: Option<NewModel> = None,
        /// The training data.
        pub data: DataRecipe = DataRecipe::default(),
        /// The batch of one step.
        pub batch: BatchRecipe = BatchRecipe::default(),
        /// Which weights are trained.
        pub trained: TrainedRecipe = TrainedRecipe::default(),
        /// What is minimised.
        pub loss: LossConfig = LossConfig::default(),
        /// How the weights are updated.
        pub optimizer: OptimizerConfig = OptimizerConfig::default(),
        /// What is kept to resume the run.
        pub snapshots: SnapshotRecipe = SnapshotRecipe::default(),
        /// The validations on the way.
        pub validation: ValidationRecipe = ValidationRecipe::default(),
    }
}

/// The largest recipe file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

impl Recipe {
    /// The recipes that are built in: name and file.
    pub const BUILT_IN: [(&'static str, &'static str); 6] = [
        ("res-paper", include_str!("../../recipes/res-paper.toml")),
        ("gres-paper", include_str!("../../recipes/gres-paper.toml")),
        ("tiny-begin", include_str!("../../recipes/tiny-begin.toml")),
        ("tiny-shapes", include_str!("../../recipes/tiny-shapes.toml")),
        ("tiny-places", include_str!("../../recipes/tiny-places.toml")),
        ("tiny", include_str!("../../recipes/tiny.toml")),
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
        Self::parse(&read_text(path)?, path)
    }

    /// The recipe of a run, whose file has every number. In a file of version 0.1.0 the key
    /// `batch_norm` is absent: such a run keeps the stored statistics.
    ///
    /// # Errors
    /// [`RecipeError::Read`] and [`RecipeError::Parse`].
    pub fn of_run(path: &Path) -> Result<Self, RecipeError> {
        let text = read_text(path)?;
        let mut recipe = Self::parse(&text, path)?;
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        if table.get("trained").and_then(|trained| trained.get("batch_norm")).is_none() {
            recipe.trained.batch_norm = BatchNormStatistics::Stored;
        }
        Ok(recipe)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, RecipeError> {
        toml::from_str(text).map_err(|error| RecipeError::Parse {
            path: path.to_path_buf(),
            message: error.to_string(),
        })
    }

    /// Every number written out.
    pub fn to_toml(&self) -> String {
        // Numbers, texts and lists can always be written as TOML.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The learning rate over the run.
    pub fn schedule(&self) -> WarmupCosine {
        let OptimizerConfig { learning_rate, warmup, schedule_steps, .. } = self.optimizer;
        WarmupCosine::with_warmup_ratio(learning_rate, schedule_steps.unwrap_or(self.steps), warmup)
    }
}

fn read_text(path: &Path) -> Result<String, RecipeError> {
    let fail = |source| {
        let names = Recipe::BUILT_IN.map(|(name, _)| name).join(", ");
        RecipeError::Read { path: path.to_path_buf(), names, source }
    };
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MAX_BYTES {
        return Err(fail(std::io::Error::other(format!("{size} bytes are too many"))));
    }
    std::fs::read_to_string(path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use mllmseg_model::lora::LoraConfig;

    use super::*;

    #[test]
    fn alpha_is_free_and_twice_the_rank_without_one() {
        for (text, alpha) in [("", 16.0), ("lora_alpha = 8.0", 8.0), ("lora_alpha = 1.0", 1.0)] {
            let text = format!("[trained]\nlora_rank = 8\n{text}");
            let recipe = Recipe::parse(&text, Path::new("my.toml")).unwrap();
            recipe.check().unwrap();
            assert_eq!(recipe.trained.new_lora().map(|lora| lora.alpha), Some(alpha));
            assert_eq!(Recipe::parse(&recipe.to_toml(), Path::new("r.toml")).unwrap(), recipe);
        }
    }

    /// Section by section the numbers of the paper and its published code.
    #[test]
    fn the_papers_recipes_have_the_published_numbers() {
        let res = Recipe::open("res-paper").unwrap();
        assert_eq!((res.steps, res.batch.images * res.batch.batches_per_step), (50_000, 32));
        assert_eq!(res.data.mix, ["refclef", "refcoco", "refcoco+", "refcocog"]);
        assert_eq!((res.optimizer.learning_rate, res.optimizer.weight_decay), (4e-5, 0.05));
        let OptimizerConfig { beta_1, beta_2, epsilon, .. } = res.optimizer;
        assert_eq!((beta_1, beta_2, epsilon), (0.9, 0.999, 1e-8));
        let lora = LoraConfig { rank: 64, alpha: 128.0, dropout: 0.05 };
        assert_eq!(res.trained.new_lora(), Some(lora));
        assert_eq!(res.schedule().warmup_steps, 1500);
        assert_eq!(res.data.jpeg_quality, [75, 100]);
        assert_eq!((res.data.expressions_per_image, res.data.prompting), (5, Prompting::Joint));
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
    fn the_names_of_0_1_0_are_still_read() {
        let old = "recompute = true\n[optimizer]\nmatrices = \"muon\"\n\
                   [data]\nask = \"apart\"\nwording = \"evaluation\"";
        let new = "gradient_checkpointing = true\n[optimizer]\nmatrix_optimizer = \"muon\"\n\
                   [data]\nprompting = \"separate\"\nprompt_style = \"evaluation\"";
        let [old, new] = [old, new].map(|text| Recipe::parse(text, Path::new("r.toml")).unwrap());
        assert_eq!(old, new);
        assert!(new.gradient_checkpointing && new != Recipe::default());
    }

    #[test]
    fn a_run_of_0_1_0_keeps_its_batch_norm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recipe.toml");
        let mut published = Recipe::default();
        std::fs::write(&path, published.to_toml()).unwrap();
        assert_eq!(Recipe::of_run(&path).unwrap(), published);
        std::fs::write(&path, "steps = 50000\n").unwrap();
        published.trained.batch_norm = BatchNormStatistics::Stored;
        assert_eq!(Recipe::of_run(&path).unwrap(), published);
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
            ("[trained]\nlora_alpha = 0.0", "lora_alpha"),
            ("[trained]\nlora_alpha = inf", "lora_alpha"),
            ("steps = 9\n[optimizer]\nschedule_steps = 8", "schedule_steps"),
        ] {
            let message = parse(text).unwrap().check().unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        let message = Recipe::open("no-such").unwrap_err().to_string();
        assert!(message.contains("res-paper"), "{message}");
    }
}
