//! Walks over the float weights of a module by their paths, whatever their ranks.
//!
//! A path is what the tables of names hold, such as `mask_decoder.head.conv1.weight`: without the
//! variants of enums. Values and gradients are flat, in the element order of the module.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Shape, Tensor};

/// A float weight of any rank.
pub trait Weight {
    /// Its shape; a weight that is not initialised yet stays so.
    fn shape(&self) -> Shape;
    /// Its device, without autodiff; a weight that is not initialised yet stays so.
    fn device(&self) -> Device;
    /// Whether it records gradients.
    fn is_trained(&self) -> bool;
    /// Its values, without graph, `[elements]`.
    fn values(&self) -> Tensor<1>;
    /// Its gradient, `[elements]`, if there is one.
    fn gradient(&self, gradients: &GradientsParams) -> Option<Tensor<1>>;
    /// Its gradient, `[elements]`, removed from `gradients`.
    fn take_gradient(&self, gradients: &mut GradientsParams) -> Option<Tensor<1>>;
    /// Adds `gradient`, `[elements]`, to `gradients`.
    fn put_gradient(&self, gradients: &mut GradientsParams, gradient: Tensor<1>);
}

impl<const D: usize> Weight for Param<Tensor<D>> {
    fn shape(&self) -> Shape {
        self.lazy_shape()
    }

    fn device(&self) -> Device {
        self.lazy_device().without_autodiff()
    }

    fn is_trained(&self) -> bool {
        self.is_require_grad()
    }

    fn values(&self) -> Tensor<1> {
        flat(self.val().without_autodiff().dequantize())
    }

    fn gradient(&self, gradients: &GradientsParams) -> Option<Tensor<1>> {
        gradients.get::<D>(self.id).map(flat)
    }

    fn take_gradient(&self, gradients: &mut GradientsParams) -> Option<Tensor<1>> {
        gradients.remove::<D>(self.id).map(flat)
    }

    fn put_gradient(&self, gradients: &mut GradientsParams, gradient: Tensor<1>) {
        gradients.register::<D>(self.id, gradient.reshape(self.lazy_shape()));
    }
}

/// A weight without gaps, its rows after each other, as it is after a step and read from a snapshot. One that
/// records gradients is so already, and one that is not drawn yet stays so.
fn by_rows<const D: usize>(param: Param<Tensor<D>>) -> Param<Tensor<D>> {
    match param.is_initialized() && !param.is_require_grad() {
        true => param.map(|x| {
            let shape = x.shape();
            flat(x).reshape(shape)
        }),
        false => param,
    }
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let elements = x.shape().num_elements();
    x.reshape([elements])
}

/// Calls `visit` with the path of every float weight, in the order of the modules.
pub fn for_each_weight(module: &impl Module, visit: impl FnMut(&str, &dyn Weight)) {
    module.visit(&mut Walk { path: ModulePath::default(), visit });
}

/// The module with some weights replaced; the new ones record gradients.
///
/// `choose` picks a weight by returning what `update` needs for it. `update` then gets the path,
/// that value and the old values `[elements]`, which it owns, and returns the new ones
/// `[elements]`, which may have another dtype or device.
pub fn update_weights<M: Module, T>(
    module: M,
    choose: impl FnMut(&str, &dyn Weight) -> Option<T>,
    update: impl FnMut(&str, T, Tensor<1>) -> Tensor<1>,
) -> M {
    module.map(&mut Update { path: ModulePath::default(), choose, update })
}

/// The module with gradients recorded for the weights that `is_trained` picks by path; all others
/// become constants, off the autodiff device.
pub fn set_trained<M: Module>(module: M, is_trained: impl Fn(&str) -> bool) -> M {
    module.map(&mut SetTrained { path: ModulePath::default(), is_trained })
}

/// Where a walk is.
#[derive(Default)]
pub(super) struct ModulePath(Vec<String>);

impl ModulePath {
    pub(super) fn enter(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.push(name.to_string());
        }
    }

    pub(super) fn exit(&mut self, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.pop();
        }
    }

    pub(super) fn joined(&self) -> String {
        self.0.join(".")
    }
}

struct Walk<F> {
    path: ModulePath,
    visit: F,
}

impl<F: FnMut(&str, &dyn Weight)> ModuleVisitor for Walk<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        (self.visit)(&self.path.joined(), param);
    }
}

struct Update<C, U> {
    path: ModulePath,
    choose: C,
    update: U,
}

impl<T, C, U> ModuleMapper for Update<C, U>
where
    C: FnMut(&str, &dyn Weight) -> Option<T>,
    U: FnMut(&str, T, Tensor<1>) -> Tensor<1>,
{
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.joined();
        let Some(chosen) = (self.choose)(&path, &param) else {
            return param;
        };
        param.map(|weight| {
            let shape = weight.shape();
            let updated = (self.update)(&path, chosen, flat(weight.without_autodiff()));
            updated.reshape(shape).autodiff().require_grad()
        })
    }
}

struct SetTrained<F> {
    path: ModulePath,
    is_trained: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for SetTrained<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match (self.is_trained)(&self.path.joined()) {
            true => by_rows(param).set_require_grad(true).train(),
            false => param.set_require_grad(false).valid(),
        }
    }
}
