//! Which weights are trained.
//!
//! A frozen weight stays off the autodiff device: operations between frozen weights and plain
//! inputs record nothing. So neither gradients nor activations of the vision encoder and the
//! projector are held, and frozen weights have no optimizer state.

use burn::module::{Flag, Module, ModuleMapper, Param};
use mllmseg_model::Mllmseg;
use mllmseg_model::checkpoint::named_weights::{for_each_weight, set_trained};
use mllmseg_model::config::Architecture;
use mllmseg_model::parameters::is_running_statistic;
use serde::{Deserialize, Serialize};

/// A choice of weights to train. Running statistics of the batch norm are never trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainableSet {
    /// The adapters of the language model and the mask decoder.
    LoraAndDecoder,
    /// The published recipe: the above and the final norm, and with InternLM2 the token table and
    /// the output layer.
    Published(Architecture),
    /// Every weight.
    Everything,
}

impl TrainableSet {
    /// Whether the weight at a path of [`Mllmseg`], such as `mask_decoder.head.conv1.weight`, is
    /// trained.
    pub fn contains(self, path: &str) -> bool {
        if is_running_statistic(path) {
            return false;
        }
        let is_small = path.starts_with("mask_decoder.") || path.contains(".lora.");
        match self {
            Self::LoraAndDecoder => is_small,
            Self::Published(architecture) => {
                let tables =
                    ["language_model.embed_tokens.weight", "language_model.lm_head.weight"];
                is_small
                    || path == "language_model.norm.gamma"
                    || (architecture == Architecture::InternLm2 && tables.contains(&path))
            }
            Self::Everything => true,
        }
    }

    /// Makes a model ready for [`TrainStep`](crate::TrainStep): trained weights record gradients,
    /// the others are constants. `valid()` undoes it.
    pub fn prepare(self, model: Mllmseg, mode: TrainingMode) -> Mllmseg {
        struct Dropout(bool);

        impl ModuleMapper for Dropout {
            fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
                flag.with_value(self.0)
            }
        }

        let model = set_trained(model, |path| self.contains(path));
        let mut model = model.map(&mut Dropout(mode.dropout));
        let norm = &mut model.mask_decoder.head.norm;
        let of_batch = mode.batch_norm == BatchNormStatistics::Conversation;
        norm.training = norm.training.clone().with_value(of_batch);
        model
    }
}

/// What differs between training and evaluation besides the gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingMode {
    /// Whether there is any dropout.
    pub dropout: bool,
    /// What the batch norm of the mask head normalises by.
    pub batch_norm: BatchNormStatistics,
}

impl TrainingMode {
    /// As evaluation: what comparisons with other implementations need.
    pub const AS_EVALUATION: Self =
        Self { dropout: false, batch_norm: BatchNormStatistics::Stored };
}

/// The mean and variance by which a batch norm normalises in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNormStatistics {
    /// Those of the masks of one conversation, as published; they update the running statistics.
    Conversation,
    /// The stored running statistics, which stay as they are.
    Stored,
}

/// Paths of the weights that record gradients, in the order of the modules.
pub fn trained_paths(model: &impl Module) -> Vec<String> {
    let mut paths = Vec::new();
    for_each_weight(model, |path, weight| {
        if weight.is_trained() {
            paths.push(path.to_string());
        }
    });
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use mllmseg_model::lora::LoraConfig;
    use mllmseg_model::{Mllmseg, Preset};

    const MODE: TrainingMode =
        TrainingMode { dropout: true, batch_norm: BatchNormStatistics::Conversation };

    fn model() -> Mllmseg {
        let config = Preset::Tiny.config();
        Mllmseg::new(&config, Some(LoraConfig::published(4)), &crate::test_device())
    }

    #[test]
    fn frozen_weights_stay_off_the_autodiff_device() {
        let model = TrainableSet::LoraAndDecoder.prepare(model(), MODE);
        let paths = trained_paths(&model);
        assert!(!paths.is_empty());
        let small = |path: &String| path.starts_with("mask_decoder.") || path.contains(".lora.");
        assert!(paths.iter().all(small), "{paths:?}");
        assert!(!model.language_model.lm_head.weight.val().is_autodiff());
        assert!(!model.mask_decoder.head.norm.running_mean.val().is_autodiff());
        let size = model.mask_decoder.head.norm.gamma.val();
        assert!(size.is_autodiff() && size.is_require_grad());
    }

    #[test]
    fn everything_is_every_parameter_but_statistics() {
        let (model, mut all_but_statistics) = (model(), 0);
        for_each_weight(&model, |path, _| {
            all_but_statistics += usize::from(!path.contains(".running_"));
        });
        let paths = trained_paths(&TrainableSet::Everything.prepare(model, MODE));
        assert!(paths.contains(&"vision.embeddings.class_embedding".to_string()));
        assert!(!paths.iter().any(|path| path.contains("running_")));
        assert_eq!(paths.len(), all_but_statistics);
    }

    #[test]
    fn the_published_recipe_adds_the_norm_and_internlm2s_tables() {
        let extra = |architecture, path| TrainableSet::Published(architecture).contains(path);
        for architecture in [Architecture::InternLm2, Architecture::Qwen2] {
            assert!(extra(architecture, "language_model.norm.gamma"));
            assert!(extra(architecture, "language_model.layers.0.attention.output.lora.a"));
            assert!(!extra(architecture, "language_model.layers.0.attention.output.weight"));
            assert!(!extra(architecture, "projector.mlp.fc1.weight"));
        }
        for table in ["language_model.embed_tokens.weight", "language_model.lm_head.weight"] {
            assert!(extra(Architecture::InternLm2, table));
            assert!(!extra(Architecture::Qwen2, table));
        }
    }
}
