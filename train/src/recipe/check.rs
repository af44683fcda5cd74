//! Which values a recipe may have.

use std::fmt::Display;

use mllmseg_data::prompt::MAX_EXPRESSIONS;

use super::{Prompting, Recipe, RecipeError};

impl Recipe {
    /// Checks the values.
    ///
    /// # Errors
    /// [`RecipeError::Value`] for the first that is not allowed.
    pub fn check(&self) -> Result<(), RecipeError> {
        let require = |fits: bool, field, found: &dyn Display, expected| match fits {
            true => Ok(()),
            false => {
                let (name, found) = (self.name.clone(), found.to_string());
                Err(RecipeError::Value { name, field, found, expected })
            }
        };
        let Self { data, batch, trained, loss, optimizer, snapshots, validation, .. } = self;
        for (field, count) in [
            ("steps", self.steps),
            ("data.expressions_per_image", data.expressions_per_image),
            ("batch.images", batch.images),
            ("batch.batches_per_step", batch.batches_per_step),
            ("trained.lora_rank", trained.lora_rank),
            ("snapshots.every", snapshots.every),
            ("snapshots.keep", snapshots.keep),
            ("validation.every", validation.every),
            ("validation.expressions", validation.expressions),
        ] {
            require(count > 0, field, &count, "at least 1")?;
        }
        for (field, value) in [
            ("optimizer.learning_rate", optimizer.learning_rate),
            ("optimizer.epsilon", optimizer.epsilon),
            ("optimizer.max_gradient_norm", optimizer.max_gradient_norm),
        ] {
            require(value.is_finite() && value > 0.0, field, &value, "a number above 0")?;
        }
        for (field, share) in [
            ("trained.lora_dropout", trained.lora_dropout),
            ("optimizer.warmup", optimizer.warmup),
            ("optimizer.beta_1", optimizer.beta_1),
            ("optimizer.beta_2", optimizer.beta_2),
        ] {
            require((0.0..1.0).contains(&share), field, &share, "a share below 1")?;
        }
        for (field, weight) in [
            ("loss.ce_weight", loss.ce_weight),
            ("loss.pixel_weight", loss.pixel_weight),
            ("loss.dice_weight", loss.dice_weight),
        ] {
            require(weight.is_finite() && weight >= 0.0, field, &weight, "at least 0")?;
        }
        require(!data.mix.is_empty(), "data.mix", &"empty", "names of data sets")?;
        require(
            data.prompting == Prompting::Separate || data.expressions_per_image <= MAX_EXPRESSIONS,
            "data.expressions_per_image",
            &data.expressions_per_image,
            "1 to 5, or more with data.prompting = \"separate\"",
        )?;
        let quality = &data.jpeg_quality[..];
        require(
            matches!(quality, [] | [1..=100, 1..=100]) && quality.is_sorted(),
            "data.jpeg_quality",
            &format!("{quality:?}"),
            "[least, greatest] between 1 and 100, or []",
        )?;
        let alpha = trained.lora_alpha.unwrap_or(1.0);
        let fits = alpha.is_finite() && alpha > 0.0;
        require(fits, "trained.lora_alpha", &alpha, "a number above 0")?;
        let schedule = optimizer.schedule_steps.unwrap_or(self.steps);
        require(
            schedule >= self.steps,
            "optimizer.schedule_steps",
            &schedule,
            "at least `steps`: past its schedule the rate is 0",
        )
    }
}
