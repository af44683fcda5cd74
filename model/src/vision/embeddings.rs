//! Patches to tokens, with a class token and learned positions.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor, TensorData};

use crate::axes::permute;
use crate::config::VisionConfig;
use crate::interpolation::{Kernel, resize};

/// The input layer of InternViT.
#[derive(Module, Debug)]
pub struct VisionEmbeddings {
    /// `[1, 1, c]`
    class_embedding: Param<Tensor<3>>,
    /// `[1, 1 + g², c]` for the grid of `g` patches a side it was trained with.
    position_embedding: Param<Tensor<3>>,
    patch_embedding: Conv2d,
    /// Patches per side of the images that are fed.
    grid: usize,
}

impl VisionEmbeddings {
    pub(super) fn new(config: &VisionConfig, grid: usize, device: &Device) -> Self {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let trained_grid = config.image_size / patch;
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            class_embedding: normal.init([1, 1, width], device),
            position_embedding: normal.init([1, 1 + trained_grid.pow(2), width], device),
            patch_embedding: Conv2dConfig::new([3, width], [patch, patch])
                .with_stride([patch, patch])
                .init(device),
            grid,
        }
    }

    /// Position embeddings of sines and cosines, half of the channels by column and half by row; the
    /// class token stands at no place.
    pub(super) fn with_waves(mut self) -> Self {
        let grid = self.grid;
        self.position_embedding = self.position_embedding.map(|positions| {
            let [_, _, width] = positions.dims();
            let mut waves = vec![0.0; width];
            for place in 0..grid * grid {
                waves.extend(wave(place % grid, grid, width / 2));
                waves.extend(wave(place / grid, grid, width - width / 2));
            }
            let device = positions.device();
            Tensor::from_data(TensorData::new(waves, [1, 1 + grid * grid, width]), &device)
        });
        self
    }

    /// # Shapes
    /// - `pixels`: `[b, 3, h, w]`, output: `[b, 1 + p, c]`
    pub(super) fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, ..] = pixels.dims();
        let patches = self.patch_embedding.forward(pixels); // [b, c, h / patch, w / patch]
        let patches = patches.flatten::<3>(2, 3).swap_dims(1, 2); // [b, p, c]
        let [_, _, width] = patches.dims();
        let class = self.class_embedding.val().expand([batch, 1, width]);
        Tensor::cat(vec![class, patches], 1) + self.positions() // [b, 1 + p, c]
    }

    /// Positions for the fed grid, resized bicubically when it is not the trained one.
    fn positions(&self) -> Tensor<3> {
        let positions = self.position_embedding.val(); // [1, 1 + g², c]
        let [_, length, width] = positions.dims();
        let trained = (length - 1).isqrt();
        if trained == self.grid {
            return positions;
        }
        let class = positions.clone().narrow(1, 0, 1); // [1, 1, c]
        let map = positions.narrow(1, 1, length - 1).reshape([1, trained, trained, width]);
        let map = permute(map, [0, 3, 1, 2]); // [1, c, g, g]
        let map = resize(map, [self.grid, self.grid], Kernel::Bicubic);
        let map = map.flatten::<3>(2, 3).swap_dims(1, 2); // [1, p, c]
        Tensor::cat(vec![class, map], 1)
    }
}

/// How strong the waves are beside the patches, whose embeddings start at about this size.
const AMPLITUDE: f32 = 0.5;

/// A place on one axis as sines and cosines, from half a wave over the picture to waves of two
/// patches.
fn wave(place: usize, grid: usize, channels: usize) -> impl Iterator<Item = f32> {
    let at = (place as f32 + 0.5) / grid as f32; // 0 to 1
    (0..channels).map(move |channel| {
        let octave = (channel / 2) as f32 / (channels / 2).max(1) as f32; // 0 to 1
        let waves = 0.5 * (grid as f32).powf(octave);
        let angle = std::f32::consts::TAU * waves * at;
        AMPLITUDE * if channel % 2 == 0 { angle.sin() } else { angle.cos() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    /// A place is most like itself, then like its neighbours, and no two places are the same.
    #[test]
    fn waves_tell_near_from_far() {
        let device = crate::test_device();
        let grid = 6;
        let mut vision = Preset::Tiny.config().vision;
        vision.image_size = grid * vision.patch_size;
        let width = vision.hidden_size;
        let embeddings = VisionEmbeddings::new(&vision, grid, &device).with_waves();
        let positions: Vec<f32> = embeddings.positions().into_data().iter().collect();
        let (class, places) = positions.split_at(width);
        assert!(class.iter().all(|&value| value == 0.0));
        let place = |column: usize, row: usize| &places[(row * grid + column) * width..][..width];
        let alike = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        for row in 0..grid {
            let here = place(0, row);
            let others = (1..grid).map(|column| alike(here, place(column, row)));
            let nearest = alike(here, place(1, row));
            assert!(nearest < 0.95 * alike(here, here));
            assert!(others.skip(1).all(|far| far < nearest));
            // Down as across.
            let (across, down) =
                (alike(place(0, row), place(1, row)), alike(place(row, 0), place(row, 1)));
            assert!((across - down).abs() < 1e-4);
        }
    }
}
