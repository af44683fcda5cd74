//! Gradients without holding the inside of the language model's layers.
//!
//! A graph holds what every operation needs for its derivative until the way back has passed it: of
//! a large language model, dozens of maps per layer. Here only the input of each layer is held, in
//! the dtype of the model. With `x` the input of layer `i`, `L` the loss, and `g` its derivative by
//! the layer's output, the chain rule needs no more than `g`: the derivatives of `L` by the layer's
//! weights and by `x` are those of `sum(layer(x) · g)`. So a step goes
//!
//! 1. up: the layers on plain tensors, each input kept (`climb`);
//! 2. at the top: final norm, losses and mask decoder under autodiff, from leaves that hold the last
//!    layer's output and the image tokens; backward gives `g` at those leaves;
//! 3. down: layer by layer from the last, a second run under autodiff from a leaf that holds the
//!    input, and backward of `sum(output · g)`; the gradient at the leaf is the next `g`, and what
//!    this run held is let go of (`descend`);
//! 4. at the bottom, where the token table, the projector or the vision encoder are trained: their
//!    graph, which was recorded once, is given the gradients at its outputs.
//!
//! Two things make the second run of a layer equal to the first. Its dropout is made of the same
//! numbers ([`StreamsNoise`]). And where several examples share an image, the beginning and the
//! continuations that look at its keys and values go through a layer together ([`Streams`]), so that
//! what crosses between them is inside the layer.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};
use mllmseg_model::Mllmseg;
use mllmseg_model::language::{Reading, Streams, StreamsNoise};

use crate::batch::{LossCounts, TrainBatch};
use crate::loss::LossValues;
use crate::step::{Scene, StepError, TrainStep};

/// What a batch contributes to the losses of a step, given the counts of both; its gradients are
/// added to `accumulator`.
pub(crate) fn gradients(
    step: &TrainStep,
    model: &Mllmseg,
    batch: &TrainBatch,
    counts: (LossCounts, LossCounts),
    accumulator: &mut GradientsAccumulator<Mllmseg>,
) -> Result<LossValues, StepError> {
    let scene = Scene::of(model, batch, step.seg_token)?;
    let (bottom, reading) = scene.embed(model);
    let (last, held) = climb(model, bottom.clone().map(Tensor::inner), &reading);

    let last = leaves(last, true);
    let image_tokens = scene.image_tokens.clone().inner().autodiff().require_grad();
    let losses = step.judge(model, &scene, image_tokens.clone(), last.clone());
    let (values, gradients) = step.backward(losses, counts)?;
    let Some(mut gradients) = gradients else {
        return Ok(values);
    };
    accumulator.accumulate(model, GradientsParams::from_module(&mut gradients, model));
    let top = Upstream::at(&last, &mut gradients);
    let of_image = image_tokens.grad_remove(&mut gradients);
    drop((last, image_tokens, gradients));

    let learns_below = is_tracked(&bottom);
    let of_bottom = descend(model, held, &reading, top, learns_below, accumulator);
    let by_words = learns_below.then(|| of_bottom.pull(bottom)).flatten();
    let seen = scene.image_tokens.clone();
    let by_sight = of_image.filter(|_| seen.is_tracked()).map(|g| (seen * g.autodiff()).sum());
    if let Some(total) = [by_words, by_sight].into_iter().flatten().reduce(|a, b| a + b) {
        accumulator.accumulate(model, GradientsParams::from_grads(total.backward(), model));
    }
    Ok(values)
}

/// What is held of a layer: its input and what its dropout is made of.
struct Held {
    input: Streams,
    noise: Option<StreamsNoise>,
}

/// The layers on plain tensors.
fn climb(model: &Mllmseg, bottom: Streams, reading: &Reading) -> (Streams, Vec<Held>) {
    let language_model = &model.language_model;
    let mut held = Vec::with_capacity(language_model.layers.len());
    let mut streams = bottom;
    for layer in &language_model.layers {
        let noise = language_model.draw_noise(&streams);
        let output = layer.valid().read(streams.clone(), reading, noise.as_ref());
        held.push(Held { input: std::mem::replace(&mut streams, output), noise });
    }
    (streams, held)
}

/// The layers from the last to the first; returns the gradient at the first one's input, if it is
/// `wanted`.
fn descend(
    model: &Mllmseg,
    mut held: Vec<Held>,
    reading: &Reading,
    top: Upstream,
    wanted: bool,
    accumulator: &mut GradientsAccumulator<Mllmseg>,
) -> Upstream {
    let mut upstream = top;
    while let Some(Held { input, noise }) = held.pop() {
        let layer = &model.language_model.layers[held.len()];
        let input = leaves(input, wanted || !held.is_empty());
        let output = layer.read(input.clone(), reading, noise.as_ref());
        let Some(pulled) = upstream.pull(output).filter(|pulled| pulled.is_tracked()) else {
            return Upstream::default();
        };
        let mut gradients = pulled.backward();
        let of_layer = GradientsParams::from_module(&mut gradients, layer);
        accumulator.accumulate(model, of_layer);
        upstream = Upstream::at(&input, &mut gradients);
    }
    upstream
}

/// Leaves of a new graph that hold the same numbers.
fn leaves(streams: Streams, with_gradient: bool) -> Streams {
    streams.map(|x| x.autodiff().set_require_grad(with_gradient))
}

fn is_tracked(streams: &Streams) -> bool {
    let branches = streams.branches.iter();
    branches.chain([&streams.trunk]).any(|x| x.is_tracked())
}

/// The derivatives of the loss by [`Streams`]; absent where the loss does not depend on them.
#[derive(Default)]
struct Upstream {
    trunk: Option<Tensor<3>>,
    branches: Option<Tensor<3>>,
}

impl Upstream {
    /// Takes the gradients at leaves.
    fn at(leaves: &Streams, gradients: &mut Gradients) -> Self {
        Self {
            trunk: leaves.trunk.grad_remove(gradients),
            branches: leaves.branches.as_ref().and_then(|x| x.grad_remove(gradients)),
        }
    }

    /// `sum(streams · g)`, whose derivative by the streams is `g`.
    fn pull(self, streams: Streams) -> Option<Tensor<1>> {
        let trunk = self.trunk.map(|g| (streams.trunk * g.autodiff()).sum());
        let branches = streams.branches.zip(self.branches);
        let branches = branches.map(|(x, g)| (x * g.autodiff()).sum());
        [trunk, branches].into_iter().flatten().reduce(|a, b| a + b)
    }
}
