//! A conversation for the tiny model.

use burn::tensor::{Device, Distribution, Tensor};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::NO_LOSS;
use mllmseg_model::MllmsegConfig;
use mllmseg_train::TrainExample;

pub const SEG: u32 = 7;
pub const IMAGE_START: usize = 3;

/// The CPU, whichever other devices are built in.
pub fn cpu() -> Device {
    Device::flex()
}

pub fn truth() -> Bitmap {
    let pixels: Vec<u8> = (0..20 * 30).map(|i| u8::from(i % 30 < 12)).collect();
    Bitmap::from_bytes(20, 30, &pixels).unwrap()
}

/// Three tokens, the image, a question, and an answer to learn: `8 SEG` for each mask, `9 10`.
pub fn example(config: &MllmsegConfig, question: &[u32], masks: usize) -> TrainExample {
    let mut input_ids: Vec<u32> = vec![1; IMAGE_START + config.num_image_tokens() + 1];
    input_ids.extend(question);
    let mut labels = vec![NO_LOSS; input_ids.len()];
    let answer: Vec<u32> = (0..masks).flat_map(|_| [8, SEG]).chain([9, 10]).collect();
    input_ids.extend(&answer);
    labels.extend(answer.into_iter().map(i64::from));
    let masks = vec![Some(truth()); masks];
    TrainExample { input_ids, labels, image_start: IMAGE_START, masks }
}

pub fn pixels(config: &MllmsegConfig, images: usize) -> Tensor<4> {
    let size = config.image_size;
    Tensor::random([images, 3, size, size], Distribution::Normal(0.0, 1.0), &cpu())
}
