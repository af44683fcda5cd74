//! Weights and gradients as lists of flat tensors, in the order of the modules.
//!
//! Replicas and the main model have the same order; identifiers of parameters are never compared
//! between devices.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};
use mllmseg_model::checkpoint::named_weights::{Weight, for_each_weight, update_weights};

/// Which weights a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them.
    All,
    /// Those that record gradients.
    Trained,
}

impl Which {
    fn holds(self, weight: &dyn Weight) -> bool {
        self == Which::All || weight.is_trained()
    }
}

/// Values of weights, without graphs.
pub(super) fn values(module: &impl Module, which: Which) -> Vec<Tensor<1>> {
    let mut values = Vec::new();
    for_each_weight(module, |_, weight| {
        if which.holds(weight) {
            values.push(weight.values());
        }
    });
    values
}

/// The module with weights replaced; the new ones record gradients.
pub(super) fn with_values<M: Module>(module: M, which: Which, values: Vec<Tensor<1>>) -> M {
    let mut values = values.into_iter();
    update_weights(
        module,
        |_, weight| which.holds(weight).then(|| values.next()).flatten(),
        |_, value, _| value,
    )
}

/// The module with its integers, which count batches, on another device.
pub(super) fn with_integers_on<M: Module>(module: M, device: &Device) -> M {
    struct Integers<'a>(&'a Device);

    impl ModuleMapper for Integers<'_> {
        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            param.map(|value| value.to_device(self.0))
        }
    }

    module.map(&mut Integers(device))
}

/// Gradients of trained weights, each with the position of its weight among them.
pub(super) fn gradients(
    module: &impl Module,
    mut gradients: GradientsParams,
) -> Vec<(usize, Tensor<1>)> {
    let (mut position, mut found) = (0, Vec::new());
    for_each_weight(module, |_, weight| {
        if weight.is_trained() {
            let gradient = weight.take_gradient(&mut gradients);
            found.extend(gradient.map(|gradient| (position, gradient)));
            position += 1;
        }
    });
    found
}

/// Gradients for a module's optimizer: for each trained weight one, or none.
pub(super) fn as_gradients(
    module: &impl Module,
    gradients: Vec<Option<Tensor<1>>>,
) -> GradientsParams {
    let (mut gradients, mut params) = (gradients.into_iter(), GradientsParams::new());
    for_each_weight(module, |_, weight| {
        if weight.is_trained()
            && let Some(gradient) = gradients.next().flatten()
        {
            weight.put_gradient(&mut params, gradient);
        }
    });
    params
}
