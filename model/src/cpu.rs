//! Operations on the CPU by `mllmseg-kernels`, in place of several of Burn's.
//!
//! They take f32 tensors of Burn's `flex` backend that record no gradients, outside of training.
//! Everything else, and everything inside of [`without_kernels`], goes through Burn's own
//! operations, which stand beside each kernel. A test compares the two. Weights of linear layers may
//! be kept in bf16 or 8 bits ([`crate::quantize`]).

use std::cell::Cell;

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    BackendTensor, DispatchDevice, DispatchKindConversion, DispatchTensor, Flex, TensorMetadata,
};
use burn::nn::Linear;
use burn::tensor::activation::{gelu, relu, sigmoid};
use burn::tensor::module;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use half::slice::HalfFloatSliceExt;
pub use mllmseg_kernels::Activation;
use mllmseg_kernels::{Heads, Matrix, Order, Weight};

use crate::dropout::is_training_forward;

thread_local! {
    static KERNELS: Cell<bool> = const { Cell::new(true) };
}

/// Runs `compute` with Burn's own operations only, on this thread.
pub fn without_kernels<T>(compute: impl FnOnce() -> T) -> T {
    /// Puts the switch back, also when `compute` panics.
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            KERNELS.set(self.0);
        }
    }

    let _restore = Restore(KERNELS.replace(false));
    compute()
}

/// Whether the tensors of a device are those that kernels take.
pub(crate) fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// `activation(x W + b)`.
///
/// # Shapes
/// - `x`: `[..., in]`, `weight`: `[in, out]`, `bias`: `[out]`, output: `[..., out]`
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    if let Some(y) = linear_kernel(&x, &weight, bias.as_ref(), activation) {
        return y;
    }
    let weight = match weight.dtype() {
        DType::BF16 if x.dtype() == DType::F32 => weight.cast(DType::F32),
        _ => weight,
    };
    let y = module::linear(x, weight, bias);
    match activation {
        Activation::Identity => y,
        Activation::Relu => relu(y),
        Activation::Gelu => gelu(y),
    }
}

/// [`linear`] with the weights of a module.
pub(crate) fn apply<const D: usize>(
    linear: &Linear,
    x: Tensor<D>,
    activation: Activation,
) -> Tensor<D> {
    let bias = linear.bias.as_ref().map(|bias| bias.val());
    self::linear(x, linear.weight.val(), bias, activation)
}

/// `silu(gate) · up`, of tensors that record no gradients.
///
/// # Shapes
/// - all: `[b, t, mlp]`
pub(crate) fn gated_silu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    let (true, Some(ups)) = (on_cpu(&gate).is_some(), on_cpu(&up)) else {
        return gate.clone() * sigmoid(gate) * up;
    };
    let device = gate.device();
    let mut gates = gate.into_data(); // no copy, where nobody else holds it
    let ups = ups.to_contiguous();
    mllmseg_kernels::gated_silu(
        gates.as_mut_slice().expect("on_cpu takes f32"),
        ups.as_slice().expect("on_cpu takes f32"),
    );
    Tensor::from_data(gates, (&device, DType::F32))
}

/// `softmax(q kᵀ / √d) v`, if there is a kernel for these tensors. Shapes as in
/// [`attend`](crate::attention::attend).
pub(crate) fn attention(
    query: &Tensor<4>,
    key: &Tensor<4>,
    value: &Tensor<4>,
    mask: Option<&Tensor<4, Bool>>,
) -> Option<Tensor<4>> {
    let [q, k, v] = [on_cpu(query)?, on_cpu(key)?, on_cpu(value)?];
    let masked = match mask {
        None => None,
        Some(mask) => Some(mask.clone().try_into_primitive::<Flex>().ok()?),
    };
    let masked = match (&masked, mask) {
        (Some(masked), Some(mask)) if mask.dtype().size() == 1 => {
            Some(heads(masked.bytes(), masked, mask.dims())?)
        }
        (None, _) => None,
        _ => return None,
    };
    let [batch, count, length, width] = query.dims();
    let output = mllmseg_kernels::attention(
        heads(q.storage(), &q, query.dims())?,
        heads(k.storage(), &k, key.dims())?,
        heads(v.storage(), &v, value.dims())?,
        masked,
    );
    let output = TensorData::new(output, [batch, length, count, width]); // [b, t, heads, d]
    Some(Tensor::from_data(output, (&query.device(), DType::F32)).swap_dims(1, 2)) // [b, heads, t, d]
}

fn linear_kernel<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    activation: Activation,
) -> Option<Tensor<D>> {
    let input = on_cpu(x)?.to_contiguous();
    let kept: BackendTensor<Flex> =
        DispatchTensor::try_into_backend(weight.clone().into_dispatch()).ok()?;
    let bias = match bias {
        Some(bias) => Some(on_cpu(bias)?.to_contiguous()),
        None => None,
    };
    let ([_, columns], mut shape) = (weight.dims(), x.dims());
    let weight = as_kept(&kept, weight.dims())?;
    let count = shape[..D - 1].iter().product();
    let input = Matrix::new(input.as_slice()?, count, shape[D - 1]);
    let bias = match &bias {
        Some(bias) => Some(bias.as_slice()?),
        None => None,
    };
    shape[D - 1] = columns;
    let output = mllmseg_kernels::linear(input, weight, bias, activation);
    Some(Tensor::from_data(TensorData::new(output, shape), (&x.device(), DType::F32)))
}

/// A weight in what it is kept in, if a kernel takes that.
fn as_kept(weight: &BackendTensor<Flex>, [rows, columns]: [usize; 2]) -> Option<Weight<'_>> {
    match weight {
        BackendTensor::Float(values) if values.dtype() == DType::F32 => {
            Some(Weight::F32(order(values.storage(), values, [rows, columns])?))
        }
        BackendTensor::Float(values) if values.dtype() == DType::BF16 => {
            let bits = values.storage::<half::bf16>().reinterpret_cast();
            Some(Weight::Bf16(order(bits, values, [rows, columns])?))
        }
        BackendTensor::Quantized(quantized) => {
            let DType::QFloat(scheme) = quantized.dtype() else { return None };
            let block = scheme.block_size()?;
            let &[block, 1] = block.as_slice() else { return None };
            let (values, block) = (quantized.tensor(), usize::from(block));
            let Order::ByInput(values) = order(values.storage(), values, [rows, columns])? else {
                return None;
            };
            let scales = Matrix::new(quantized.scales(), rows / block, columns);
            Some(Weight::Q8 { values, scales, block })
        }
        _ => None,
    }
}

/// A matrix whose rows or columns have no gaps; `values` are all of the storage of `x`.
fn order<'a, T>(
    values: &'a [T],
    x: &FloatTensor<Flex>,
    [inputs, outputs]: [usize; 2],
) -> Option<Order<'a, T>> {
    let values = values.get(x.layout().start_offset()..)?;
    let matrix = |rows, columns, stride: isize| {
        let stride = usize::try_from(stride).ok().filter(|&stride| stride >= columns)?;
        Some(Matrix { values, rows, columns, stride })
    };
    match *x.layout().strides() {
        [stride, 1] => matrix(inputs, outputs, stride).map(Order::ByInput),
        [1, stride] => matrix(outputs, inputs, stride).map(Order::ByOutput),
        _ => None,
    }
}

/// The values of a tensor that a kernel takes.
fn on_cpu<const D: usize>(x: &Tensor<D>) -> Option<FloatTensor<Flex>> {
    let taken = KERNELS.get() && !is_training_forward() && x.dtype() == DType::F32;
    taken.then(|| x.clone().try_into_primitive::<Flex>().ok()).flatten()
}

/// A view of four axes, the last without gaps; `values` are all of the storage of `x`.
fn heads<'a, T>(values: &'a [T], x: &FloatTensor<Flex>, shape: [usize; 4]) -> Option<Heads<'a, T>> {
    let &[batch, head, row, 1] = x.layout().strides() else { return None };
    let stride = |stride: isize| usize::try_from(stride).ok();
    Some(Heads {
        values: values.get(x.layout().start_offset()..)?,
        shape,
        strides: [stride(batch)?, stride(head)?, stride(row)?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::attend;
    use crate::quantize::Quantization;
    use burn::tensor::{Distribution, Tolerance};

    fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    fn agree<const D: usize>(compute: impl Fn() -> Tensor<D>) {
        let plain = without_kernels(&compute).into_data();
        compute().into_data().assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-5));
    }

    #[test]
    fn kernels_agree_with_burn() {
        let device = crate::test_device();
        let weight = random([20, 3 * 24], &device);
        let (x, bias) = (random([2, 7, 20], &device), random([24], &device));
        for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
            // A part of a wider weight, and an input that is a view.
            let part = weight.clone().narrow(1, 24, 24);
            let view = x.clone().swap_dims(0, 1).narrow(0, 1, 5);
            agree(|| linear(view.clone(), part.clone(), Some(bias.clone()), activation));
            // A weight in the order of files.
            let other = random([24, 20], &device).swap_dims(0, 1);
            agree(|| linear(x.clone(), other.clone(), None, activation));
        }
        let (gate, up) = (random([2, 3, 9], &device), random([2, 3, 9], &device));
        agree(|| gated_silu(gate.clone(), up.clone()));
    }

    #[test]
    fn attention_of_views_agrees_with_burn() {
        let device = crate::test_device();
        let packed = random([2, 9, 3 * 4, 16], &device).swap_dims(1, 2); // [b, 3 heads, t, d]
        let part = |i: usize| packed.clone().narrow(1, 4 * i, 4);
        let hidden: Vec<bool> = (0..9 * 9).map(|i| i % 9 > i / 9).collect();
        let hidden = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [1, 1, 9, 9]), &device);
        for mask in [None, Some(hidden.expand([2, 4, 9, 9]))] {
            agree(|| attend(part(0), part(1), part(2), mask.clone(), None));
        }
    }

    /// Otherwise the tests above compare Burn with itself.
    #[test]
    fn kernels_are_used() {
        let device = crate::test_device();
        let (x, weight) = (random([2, 3], &device), random([3, 4], &device));
        let used = || linear_kernel(&x, &weight, None, Activation::Identity).is_some();
        assert!(used() && !without_kernels(used));
        for kept in [DType::BF16, Quantization::Q8.dtype([16, 4])] {
            let (x, weight) = (random([2, 16], &device), random([16, 4], &device));
            let weight = match kept {
                DType::QFloat(scheme) => weight.quantize_dynamic(&scheme),
                _ => weight.cast(kept),
            };
            assert!(linear_kernel(&x, &weight, None, Activation::Identity).is_some(), "{kept:?}");
        }
        let query = random([1, 2, 3, 4], &device);
        assert!(attention(&query, &query, &query, None).is_some());
        let tracked = x.clone().autodiff().require_grad();
        assert!(linear_kernel(&tracked, &weight, None, Activation::Identity).is_none());
    }
}
