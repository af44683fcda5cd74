//! A loss of one's own: log-cosh Dice (Jadon, arXiv:2006.14822) in the place of Dice, in a training
//! loop of a few lines that fits the mask decoder to one scene.
//!
//!     cargo run --release --example own_loss

use std::error::Error;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use mllmseg::data::prompt::{evaluation_answer, evaluation_question};
use mllmseg::device;
use mllmseg::scenes::{Part, World, generate, single_expressions};
use mllmseg::train::gradients::GradientNorms;
use mllmseg::train::{
    AdamW, OptimizerConfig, TrainBatch, TrainExample, TrainStep, TrainableSet, TrainingMode,
};
use mllmseg::{Segmenter, tiny};

/// log(cosh(x)): as x^2 / 2 near 0 and as x far from it, so that nearly right masks pull less.
fn log_cosh(x: Tensor<1>) -> Tensor<1> {
    ((x.clone().exp() + (-x).exp()) / 2.0).log()
}

fn main() -> Result<(), Box<dyn Error>> {
    let segmenter = Segmenter::load(tiny::folder()?, &device::cpu())?;
    // A scene of a world that the tiny model has not seen, and its expressions with true masks.
    let world = "full".parse::<World>()?;
    let scene = generate(&world, 3, Part::Train.index(0));
    let mut examples = Vec::new();
    for expression in single_expressions(&world, &scene, &[]).iter().take(4) {
        let text = [expression.text.as_str()];
        let answer = evaluation_answer(&text, &[false]);
        let prompt = segmenter.tokenize(&evaluation_question(&text), Some(&answer))?;
        examples.push(TrainExample::new(prompt, vec![Some(scene.mask(&expression.targets))]));
    }
    // All of them are about the one image of the batch.
    let image_of = vec![0; examples.len()];
    let batch = TrainBatch { pixels: segmenter.pixels(&scene.draw()), examples, image_of };

    let mode = TrainingMode::AS_EVALUATION; // no dropout, and the stored batch statistics
    let mut model = TrainableSet::LoraAndDecoder.prepare(segmenter.model.clone(), mode);
    let step = TrainStep::new(segmenter.special.seg);
    let mut optimizer = AdamW::new(OptimizerConfig::default());
    for number in 0..12 {
        let losses = step.losses(&model, &batch, number)?; // a graph, Eq. 14
        let own = log_cosh(losses.mask.dice.clone());
        let total = losses.mask.pixel.clone() + own.clone(); // in the place of Eq. 15
        let value = |tensor: Tensor<1>| tensor.inner().into_scalar::<f32>();
        println!(
            "step {number}: log-cosh Dice {:.4}, Dice {:.4}, IoU {:.3}",
            value(own),
            value(losses.mask.dice.clone()),
            value(losses.mask.iou.clone())
        );
        let gradients = GradientsParams::from_grads(total.backward(), &model);
        let clip = GradientNorms::of(&model, &gradients).clip_factor(1.0);
        model = optimizer.step(1e-3, model, gradients, clip);
    }
    let _trained = model.valid(); // without the graph: ready for `Segmenter`
    Ok(())
}
