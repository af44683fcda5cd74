//! Gradients on the GPU devices of this machine (software ones count) equal the CPU's.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use mllmseg::device;
use mllmseg::model::Preset;
use mllmseg::model::checkpoint::named_weights::for_each_weight;
use mllmseg::model::mask_decoder::MaskDecoder;
use mllmseg::model::mask_decoder::head::MaskHead;

/// Masks, then the gradients of their mean square, with the masks read after the backward pass:
/// Burn 0.22.1 fuses an activation of a one-channel convolution with its backward pass into wrong
/// values of both, which the head avoids.
fn masks_and_gradients(head: &MaskHead, features: &TensorData, device: &Device) -> Vec<Vec<f32>> {
    let head = head.clone().fork(device).train();
    let features = Tensor::<3>::from_data(features.clone(), device);
    let (masks, _) = head.forward(features, &[1]); // [n, size, size]
    let loss = masks.clone().square().mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &head);
    let mut values = Vec::new();
    for_each_weight(&head, |_, weight| {
        values.extend(
            weight.gradient(&gradients).map(|gradient| gradient.into_data().iter().collect()),
        );
    });
    values.insert(0, masks.inner().into_data().iter().collect());
    values
}

#[test]
fn the_mask_head_learns_the_same_everywhere() {
    let config = Preset::Tiny.config();
    let cpu = device::cpu().device;
    let head = MaskDecoder::new(&config, &cpu).head;
    let shape = [2, config.patches_per_side().pow(2), config.vision.hidden_size];
    let normal = Distribution::Normal(0.0, 1.0);
    let features = Tensor::<3>::random(shape, normal, &cpu).into_data();
    let expected = masks_and_gradients(&head, &features, &cpu);
    assert_eq!(expected.len(), 1 + 6, "masks, two convolutions and the norm");
    for other in super::gpus() {
        let found = masks_and_gradients(&head, &features, &other.device);
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            for (a, b) in found.iter().zip(expected) {
                let error = (a - b).abs();
                assert!(error <= 1e-3 * largest, "{} {index}: {a} is not {b}", other.id);
            }
        }
    }
}
