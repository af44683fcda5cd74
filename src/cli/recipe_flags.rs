//! The flags of `mllmseg train` that change the recipe's numbers.

use clap::Args;
use mllmseg::model::config::Layout;
use mllmseg::train::Recipe;
use mllmseg::train::loss::MaskLoss;

/// Flags that change the recipe's numbers.
#[derive(Debug, Args)]
pub struct RecipeFlags {
    /// Data sets to draw from, such as refclef,refcoco,refcoco+,refcocog or own; one may come twice
    #[arg(long, value_delimiter = ',', conflicts_with = "resume")]
    mix: Option<Vec<String>>,
    /// Updates of the weights
    #[arg(long, conflicts_with = "resume")]
    steps: Option<usize>,
    /// Seed of all random choices
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
    /// Images in one pass through the model
    #[arg(long, conflicts_with = "resume")]
    images: Option<usize>,
    /// Passes in one step, on all devices together
    #[arg(long, conflicts_with = "resume")]
    batches_per_step: Option<usize>,
    /// The highest learning rate
    #[arg(long, conflicts_with = "resume")]
    learning_rate: Option<f64>,
    /// focal_dice (the published code's) or bce_dice (the paper's)
    #[arg(long, conflicts_with = "resume")]
    mask_loss: Option<MaskLoss>,
    /// The dtype of the frozen weights: auto, f32, f16 or bf16
    #[arg(long, conflicts_with = "resume")]
    dtype: Option<String>,
    /// The layout of the trained model, internvl or transformers [default: that of its base]
    #[arg(long, conflicts_with = "resume")]
    layout: Option<Layout>,
    /// Keep only the inputs of the layers, and compute the rest again in the backward pass
    #[arg(long, alias = "recompute", conflicts_with = "resume")]
    gradient_checkpointing: bool,
    /// Steps from one snapshot to the next
    #[arg(long, conflicts_with = "resume")]
    snapshot_every: Option<usize>,
    /// Data set to validate on, such as own; "none" for no validation
    #[arg(long, conflicts_with = "resume")]
    validate_on: Option<String>,
    /// Steps from one validation to the next
    #[arg(long, conflicts_with = "resume")]
    validate_every: Option<usize>,
    /// Leave out refs that contradict the annotations, and name the first, instead of stopping
    #[arg(long, conflicts_with = "resume")]
    skip_contradictions: bool,
    /// Refuse data that are written otherwise than COCO and RefCOCO are
    #[arg(long, conflicts_with = "resume")]
    strict: bool,
    /// Missing or damaged images that may be passed over before the run stops [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    max_bad_images: Option<usize>,
}

impl RecipeFlags {
    /// The recipe with the numbers of the flags.
    pub fn over(self, mut recipe: Recipe) -> Recipe {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        if let Some(mix) = self.mix {
            // The recipe validates on data that it trains on, which may not be there now.
            if !mix.contains(&recipe.validation.dataset) && !recipe.validation.dataset.is_empty() {
                recipe.validation.dataset = mix.first().cloned().unwrap_or_default();
            }
            recipe.data.mix = mix;
        }
        set(&mut recipe.steps, self.steps);
        set(&mut recipe.seed, self.seed);
        set(&mut recipe.batch.images, self.images);
        set(&mut recipe.batch.batches_per_step, self.batches_per_step);
        set(&mut recipe.optimizer.learning_rate, self.learning_rate);
        set(&mut recipe.loss.mask, self.mask_loss);
        set(&mut recipe.dtype, self.dtype);
        set(&mut recipe.layout, self.layout.map(Some));
        recipe.gradient_checkpointing |= self.gradient_checkpointing;
        set(&mut recipe.snapshots.every, self.snapshot_every);
        let none = |name: String| if name == "none" { String::new() } else { name };
        set(&mut recipe.validation.dataset, self.validate_on.map(none));
        set(&mut recipe.validation.every, self.validate_every);
        recipe.data.skip_contradictions |= self.skip_contradictions;
        recipe.data.strict |= self.strict;
        set(&mut recipe.data.max_bad_images, self.max_bad_images);
        recipe
    }
}
