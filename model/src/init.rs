//! Initial weights of a model that is trained from nothing. The paper has none of this: its models
//! start from a published base.

use burn::tensor::{Tensor, TensorData};

use crate::Mllmseg;

/// Amplitude of the position embeddings; patch embeddings start at about this size.
const AMPLITUDE: f32 = 0.5;

/// Replaces the position embeddings of the vision encoder by sines and cosines: half of the channels
/// for the column, half for the row. So a new model knows from the start which patches are
/// neighbours. The class token has no position.
pub fn sinusoidal_positions(mut model: Mllmseg) -> Mllmseg {
    let embeddings = &mut model.vision.embeddings;
    let grid = embeddings.grid;
    embeddings.position_embedding = embeddings.position_embedding.clone().map(|positions| {
        let [_, _, width] = positions.dims();
        let mut values = vec![0.0; width];
        for patch in 0..grid * grid {
            values.extend(sinusoids(patch % grid, grid, width / 2));
            values.extend(sinusoids(patch / grid, grid, width - width / 2));
        }
        let device = positions.device();
        Tensor::from_data(TensorData::new(values, [1, 1 + grid * grid, width]), &device)
    });
    model
}

/// Gives every pixel the same logit plus a blur of the features: a new model knows from the start
/// that most of an image is background.
pub fn mask_prior(mut model: Mllmseg, logit: f64) -> Mllmseg {
    let conv2 = &mut model.mask_decoder.head.conv2;
    conv2.weight = conv2.weight.clone().map(|weight| weight.ones_like() / 25.0); // 5 x 5
    conv2.bias = conv2.bias.take().map(|bias| bias.map(|bias| bias.full_like(logit)));
    model
}

/// A position on one axis, from half a wave over the image to waves of two patches.
fn sinusoids(position: usize, grid: usize, channels: usize) -> impl Iterator<Item = f32> {
    let at = (position as f32 + 0.5) / grid as f32; // 0 to 1
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

    /// A position is most like itself, then like its neighbours.
    #[test]
    fn positions_tell_near_from_far() {
        let mut config = Preset::Tiny.config();
        let grid = 6;
        config.image_size = grid * config.vision.patch_size;
        config.vision.image_size = config.image_size;
        let width = config.vision.hidden_size;
        let model = sinusoidal_positions(Mllmseg::new(&config, None, &crate::test_device()));
        let positions = model.vision.embeddings.position_embedding.val();
        let positions: Vec<f32> = positions.into_data().iter().collect();
        let (class, patches) = positions.split_at(width);
        assert!(class.iter().all(|&value| value == 0.0));
        let patch = |column: usize, row: usize| &patches[(row * grid + column) * width..][..width];
        let alike = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        for row in 0..grid {
            let here = patch(0, row);
            let others = (1..grid).map(|column| alike(here, patch(column, row)));
            let nearest = alike(here, patch(1, row));
            assert!(nearest < 0.95 * alike(here, here));
            assert!(others.skip(1).all(|far| far < nearest));
            // Down as across.
            let (across, down) =
                (alike(patch(0, row), patch(1, row)), alike(patch(row, 0), patch(row, 1)));
            assert!((across - down).abs() < 1e-4);
        }
    }
}
