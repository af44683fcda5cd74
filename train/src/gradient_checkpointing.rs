//! Gradient checkpointing of the language model: the same gradients in less memory.
//!
//! The autodiff graph holds what each operation needs for its derivative until the backward pass has
//! used it: dozens of maps per layer of a large language model. Here only the input of each layer is
//! held, in the dtype of the model. Let `x` be the input of a layer, `L` the loss, and `g` the
//! derivative of `L` by the layer's output. Then the derivatives of `L` by the layer's weights and by
//! `x` are those of `sum(layer(x) · g)`. So a step has four parts:
//!
//! 1. forward ([`forward`]): the layers without a graph, each input kept;
//! 2. the losses under autodiff, from leaves that hold the last layer's output and T_img1; their
//!    backward pass gives `g` at those leaves;
//! 3. backward ([`backward`]): from the last layer to the first, a second forward pass of the layer
//!    under autodiff, from a leaf that holds its input, and the backward pass of `sum(output · g)`;
//!    the gradient at the leaf is the next `g`;
//! 4. where the token table, the projector or the vision encoder are trained, the backward pass of
//!    their graph, which was recorded once.
//!
//! The second forward pass of a layer equals the first: its dropout has the same seed, and where
//! examples share a prefix, prefix and continuations go through the layer together.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};
use mllmseg_model::Mllmseg;

use crate::prepare::PreparedBatch;
use crate::shared_prefix::{SharedPrefixBatch, SharedPrefixContext};

/// Adds the gradients of a batch to `accumulator`. `top` gets T_img1 and the output of the last
/// layer. It returns a result for the caller, and the gradients of its loss if it has one.
pub(crate) fn accumulate<T, E>(
    model: &Mllmseg,
    batch: &PreparedBatch<'_>,
    dropout_seed: impl Fn(usize) -> u64,
    accumulator: &mut GradientsAccumulator<Mllmseg>,
    top: impl FnOnce(Tensor<3>, SharedPrefixBatch) -> Result<(T, Option<Gradients>), E>,
) -> Result<T, E> {
    let (input, context) = batch.embed(model);
    let (checkpoints, output) = forward(model, input.clone(), &context, dropout_seed);

    let output = leaves(output, true);
    let image_tokens = batch.image_tokens.clone().inner().autodiff().require_grad();
    let (result, gradients) = top(image_tokens.clone(), output.clone())?;
    let Some(mut gradients) = gradients else {
        return Ok(result);
    };
    accumulator.accumulate(model, GradientsParams::from_module(&mut gradients, model));
    let of_output = OutputGradients::at(&output, &mut gradients);
    let of_image_tokens = image_tokens.grad_remove(&mut gradients);
    drop((output, image_tokens, gradients));

    let wants_input = input.is_tracked();
    let of_input = backward(model, checkpoints, &context, of_output, wants_input, accumulator);
    let from_input = wants_input.then(|| of_input.product(input)).flatten();
    let image_tokens = batch.image_tokens.clone();
    let from_image_tokens = of_image_tokens
        .filter(|_| image_tokens.is_tracked())
        .map(|g| (image_tokens.clone() * g.autodiff()).sum());
    if let Some(total) = [from_input, from_image_tokens].into_iter().flatten().reduce(|a, b| a + b)
    {
        accumulator.accumulate(model, GradientsParams::from_grads(total.backward(), model));
    }
    Ok(result)
}

/// What is kept of a layer for the backward pass.
struct Checkpoint {
    input: SharedPrefixBatch,
    dropout_seed: u64,
}

/// The layers without a graph.
fn forward(
    model: &Mllmseg,
    input: SharedPrefixBatch,
    context: &SharedPrefixContext,
    dropout_seed: impl Fn(usize) -> u64,
) -> (Vec<Checkpoint>, SharedPrefixBatch) {
    let layers = &model.language_model.layers;
    let mut checkpoints = Vec::with_capacity(layers.len());
    let mut x = input.map(Tensor::inner);
    for (index, layer) in layers.iter().enumerate() {
        let dropout_seed = dropout_seed(index);
        checkpoints.push(Checkpoint { input: x.clone(), dropout_seed });
        // `valid` would switch dropout off.
        let layer = layer.clone().no_grad();
        x = leaves(x, false).forward(&layer, context, dropout_seed).map(Tensor::inner);
    }
    (checkpoints, x)
}

/// The layers from the last to the first. Returns the gradients at the first one's input, if they
/// are wanted.
fn backward(
    model: &Mllmseg,
    mut checkpoints: Vec<Checkpoint>,
    context: &SharedPrefixContext,
    mut upstream: OutputGradients,
    wants_input: bool,
    accumulator: &mut GradientsAccumulator<Mllmseg>,
) -> OutputGradients {
    while let Some(Checkpoint { input, dropout_seed }) = checkpoints.pop() {
        let layer = &model.language_model.layers[checkpoints.len()];
        let input = leaves(input, wants_input || !checkpoints.is_empty());
        let output = input.clone().forward(layer, context, dropout_seed);
        let Some(product) = upstream.product(output).filter(|x| x.is_tracked()) else {
            return OutputGradients::default();
        };
        let mut gradients = product.backward();
        accumulator.accumulate(model, GradientsParams::from_module(&mut gradients, layer));
        upstream = OutputGradients::at(&input, &mut gradients);
    }
    upstream
}

/// Leaves of a new graph that hold the same numbers.
fn leaves(batch: SharedPrefixBatch, with_gradient: bool) -> SharedPrefixBatch {
    batch.map(|x| x.autodiff().set_require_grad(with_gradient))
}

/// The derivatives of the loss by a [`SharedPrefixBatch`]; absent where it does not depend on them.
#[derive(Default)]
struct OutputGradients {
    prefixes: Option<Tensor<3>>,
    continuations: Option<Tensor<3>>,
}

impl OutputGradients {
    /// Takes the gradients at leaves.
    fn at(leaves: &SharedPrefixBatch, gradients: &mut Gradients) -> Self {
        Self {
            prefixes: leaves.prefixes.grad_remove(gradients),
            continuations: leaves.continuations.as_ref().and_then(|x| x.grad_remove(gradients)),
        }
    }

    /// `sum(batch · g)`, whose derivative by the batch is `g`.
    fn product(self, batch: SharedPrefixBatch) -> Option<Tensor<1>> {
        let prefixes = self.prefixes.map(|g| (batch.prefixes * g.autodiff()).sum());
        let continuations = batch.continuations.zip(self.continuations);
        let continuations = continuations.map(|(x, g)| (x * g.autodiff()).sum());
        [prefixes, continuations].into_iter().flatten().reduce(|a, b| a + b)
    }
}
