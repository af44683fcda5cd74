//! Whether the numbers of a recipe make sense.

use mllmseg_data::prompt::MAX_EXPRESSIONS;

use super::{Prompting, Recipe, RecipeError};

impl Recipe {
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
                asked > 0
                    && (self.data.prompting == Prompting::Separate || asked <= MAX_EXPRESSIONS),
                "data.expressions_per_image",
                asked.to_string(),
                "1 to 5, or more with data.prompting = \"separate\"",
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
