//! Weights and gradients as lists of flat tensors, in the order of the modules.
//!
//! The order is that of the paths, which replicas have in common with the model that they were
//! made from; identifiers of parameters are never compared between devices.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};
use mllmseg_model::Mllmseg;

/// Which weights a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    All,
    /// Those that record gradients.
    Trained,
}

impl Which {
    fn holds<const D: usize>(self, param: &Param<Tensor<D>>) -> bool {
        self == Which::All || param.is_require_grad()
    }
}

/// The device that a model is on.
pub(super) fn device_of(model: &Mllmseg) -> Device {
    model.language_model.embed_tokens.weight.val().device().without_autodiff()
}

/// Values of weights, without graphs.
pub(super) fn values<M: Module>(module: &M, which: Which) -> Vec<Tensor<1>> {
    struct Reader(Which, Vec<Tensor<1>>);

    impl ModuleVisitor for Reader {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.holds(param) {
                self.1.push(flat(param.val().without_autodiff()));
            }
        }
    }

    let mut reader = Reader(which, Vec::new());
    module.visit(&mut reader);
    reader.1
}

/// The module with all weights replaced by plain ones on another device. Integers are moved.
pub(super) fn with_all<M: Module>(module: M, values: Vec<Tensor<1>>, device: &Device) -> M {
    module.map(&mut Replacement { which: Which::All, values: values.into_iter(), device })
}

/// The module with its trained weights replaced.
pub(super) fn with_trained<M: Module>(module: M, values: Vec<Tensor<1>>, device: &Device) -> M {
    module.map(&mut Replacement { which: Which::Trained, values: values.into_iter(), device })
}

struct Replacement<'a> {
    which: Which,
    values: std::vec::IntoIter<Tensor<1>>,
    device: &'a Device,
}

impl ModuleMapper for Replacement<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.which.holds(&param) {
            return param;
        }
        let Some(value) = self.values.next() else { return param };
        let trained = self.which == Which::Trained;
        param.map(|old| {
            let value = value.reshape(old.shape());
            if trained { value.autodiff().require_grad() } else { value }
        })
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let device = self.device;
        param.map(|value| value.to_device(device))
    }
}

/// Gradients of trained weights, each with the position of its weight among them.
pub(super) fn gradients<M: Module>(
    module: &M,
    gradients: GradientsParams,
) -> Vec<(usize, Tensor<1>)> {
    struct Reader {
        gradients: GradientsParams,
        index: usize,
        found: Vec<(usize, Tensor<1>)>,
    }

    impl ModuleVisitor for Reader {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if Which::Trained.holds(param) {
                let gradient = self.gradients.remove::<D>(param.id);
                self.found.extend(gradient.map(|gradient| (self.index, flat(gradient))));
                self.index += 1;
            }
        }
    }

    let mut reader = Reader { gradients, index: 0, found: Vec::new() };
    module.visit(&mut reader);
    reader.found
}

/// The same for a module's optimizer: one for each trained weight that has any.
pub(super) fn as_gradients<M: Module>(
    module: &M,
    gradients: Vec<Option<Tensor<1>>>,
) -> GradientsParams {
    struct Writer {
        gradients: std::vec::IntoIter<Option<Tensor<1>>>,
        params: GradientsParams,
    }

    impl ModuleVisitor for Writer {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !Which::Trained.holds(param) {
                return;
            }
            if let Some(gradient) = self.gradients.next().flatten() {
                self.params.register::<D>(param.id, gradient.reshape(param.shape()));
            }
        }
    }

    let mut writer = Writer { gradients: gradients.into_iter(), params: GradientsParams::new() };
    module.visit(&mut writer);
    writer.params
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let elements = x.shape().num_elements();
    x.reshape([elements])
}
