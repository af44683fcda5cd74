//! Which weights learn.
//!
//! A weight that does not learn is kept off the autodiff device altogether: operations between
//! frozen weights and plain inputs record nothing, so neither gradients nor activations of the
//! vision encoder and the projector are held, and its optimizer state never exists.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use mllmseg_model::Mllmseg;
use mllmseg_model::config::Architecture;

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
        if is_statistic(path) {
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
    /// the others are constants.
    ///
    /// `dropout: false` switches every dropout off, as comparisons with other implementations
    /// need. The choice survives a round trip through `valid()` only for the weights, not for the
    /// devices: prepare again after it.
    pub fn prepare(self, model: Mllmseg, dropout: bool) -> Mllmseg {
        model.map(&mut Preparation { set: self, dropout, path: ModulePath::default() })
    }
}

/// Running mean and variance of a batch norm.
fn is_statistic(path: &str) -> bool {
    let leaf = path.rsplit('.').next().unwrap_or(path);
    leaf.starts_with("running_")
}

/// Paths of the weights that record gradients, in the order of the modules.
pub fn trained_paths<M: Module>(model: &M) -> Vec<String> {
    struct Collector(ModulePath, Vec<String>);

    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.0.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, container_type: &str) {
            self.0.exit(container_type);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.1.push(self.0.joined());
            }
        }
    }

    let mut collector = Collector(ModulePath::default(), Vec::new());
    model.visit(&mut collector);
    collector.1
}

/// Where a walk through a module is, as the tables of names write it: without the variants of
/// enums.
#[derive(Debug, Default)]
pub struct ModulePath(Vec<String>);

impl ModulePath {
    /// On the way into a module; the arguments of `ModuleVisitor::enter_module`.
    pub fn enter(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.push(name.to_string());
        }
    }

    /// On the way out of it.
    pub fn exit(&mut self, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.pop();
        }
    }

    /// The path of what is visited now, such as `mask_decoder.head.conv1.weight`.
    pub fn joined(&self) -> String {
        self.0.join(".")
    }
}

struct Preparation {
    set: TrainableSet,
    dropout: bool,
    path: ModulePath,
}

impl ModuleMapper for Preparation {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.set.contains(&self.path.joined()) {
            param.set_require_grad(true).train()
        } else {
            param.set_require_grad(false).valid()
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(self.dropout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mllmseg_model::lora::LoraConfig;
    use mllmseg_model::parameters::parameter_count;
    use mllmseg_model::{Mllmseg, Preset};

    fn model() -> Mllmseg {
        let config = Preset::Tiny.config();
        Mllmseg::new(&config, Some(LoraConfig::published(4)), &crate::test_device())
    }

    #[test]
    fn frozen_weights_stay_off_the_autodiff_device() {
        let model = TrainableSet::LoraAndDecoder.prepare(model(), true);
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
        let trained = TrainableSet::Everything.prepare(model(), true);
        let paths = trained_paths(&trained);
        assert!(paths.contains(&"vision.embeddings.class_embedding".to_string()));
        assert!(!paths.iter().any(|path| path.contains("running_")));
        assert!(parameter_count(&trained) > 0);
    }

    #[test]
    fn the_published_recipe_adds_the_norm_and_internlm2s_tables() {
        let extra = |architecture, path| TrainableSet::Published(architecture).contains(path);
        for architecture in [Architecture::InternLm2, Architecture::Qwen2] {
            assert!(extra(architecture, "language_model.norm.gamma"));
            assert!(extra(architecture, "language_model.layers.0.attention.output.lora.a"));
            assert!(!extra(architecture, "language_model.layers.0.attention.output.weight"));
            assert!(!extra(architecture, "projector.fc1.weight"));
        }
        for table in ["language_model.embed_tokens.weight", "language_model.lm_head.weight"] {
            assert!(extra(Architecture::InternLm2, table));
            assert!(!extra(Architecture::Qwen2, table));
        }
    }
}
