//! From RGB pixels to the vision encoder's input.

use std::array;

use image::RgbImage;

use super::resample::resize_rgb;

/// Mean of each channel (red, green, blue) over ImageNet, on a scale of 0 to 1.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of each channel (red, green, blue) over ImageNet, on a scale of 0 to 1.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The vision encoder's input: `image` stretched to `size` x `size` by Pillow's bicubic filter ([`resize_rgb`]), divided
/// by 255, less [`IMAGENET_MEAN`], divided by [`IMAGENET_STD`], all in f32.
///
/// # Shapes
/// The result is `[3, size, size]` in row-major order: channel, row, column. MLLMSeg's `size` is 448.
pub fn preprocess(image: &RgbImage, size: usize) -> Vec<f32> {
    let side = u32::try_from(size).unwrap_or(u32::MAX);
    let resized = resize_rgb(image, side, side);
    let levels = normalised_levels();
    let mut planes = Vec::with_capacity(resized.len());
    for (channel, level) in levels.iter().enumerate() {
        planes.extend(resized.pixels().map(|pixel| level[usize::from(pixel.0[channel])]));
    }
    planes
}

/// For each channel, what each of the 256 grey levels becomes.
fn normalised_levels() -> [[f32; 256]; 3] {
    array::from_fn(|channel| {
        array::from_fn(|level| {
            (level as f32 / 255.0 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::image::read_image;

    /// The f16 values of `pixel_values` in a reference case: every 16th pixel of the 448 x 448 input.
    fn reference_values(case: &Path) -> Vec<f32> {
        let bytes = std::fs::read(case.join("expected.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = tensors.tensor("pixel_values").unwrap();
        assert_eq!(tensor.shape(), [1, 3, 28, 28]);
        assert_eq!(tensor.dtype(), safetensors::Dtype::F16);
        tensor
            .data()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&b| half::f16::from_le_bytes(b).to_f32())
            .collect()
    }

    #[test]
    fn equals_the_input_of_the_published_model() {
        for name in ["qwen2", "internlm2_lora"] {
            let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference").join(name);
            let input = preprocess(&read_image(case.join("image.png")).unwrap(), 448);
            assert_eq!(input.len(), 3 * 448 * 448);
            let expected = reference_values(&case);
            for (index, expected) in expected.iter().enumerate() {
                let (channel, y, x) = (index / 784, index / 28 % 28 * 16, index % 28 * 16);
                let found = input[(channel * 448 + y) * 448 + x];
                // Half a unit in the last place of f16; one grey level would be 0.017.
                assert!(
                    (found - expected).abs() <= 0.0005 * expected.abs().max(0.25),
                    "{name}: channel {channel}, row {y}, column {x}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn normalises_black_and_white_as_computed_by_hand() {
        let image = RgbImage::from_pixel(1, 1, image::Rgb([0, 255, 0]));
        let input = preprocess(&image, 2);
        // (0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0 - 0.406) / 0.225
        for (channel, expected) in [-2.117_904, 2.428_571_4, -1.804_444_4].iter().enumerate() {
            for value in &input[channel * 4..][..4] {
                assert!((value - expected).abs() < 1e-6, "channel {channel}: {value}");
            }
        }
    }
}
