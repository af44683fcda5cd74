//! The activation of each token of an image: the maps of the paper's Figure 4.

use burn::tensor::{DType, Tensor};
use image::{GrayImage, Luma};

use super::{ImageSession, SegmentError};

/// The mean absolute activation of each token, over its channels.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationMap {
    /// The paper's name for the tokens, such as `T_img1`.
    pub name: &'static str,
    /// The part of the model that they come from.
    pub origin: &'static str,
    /// Tokens a side (in published models 32, and 16 for T_img2).
    pub side: usize,
    /// `side * side` means, row by row.
    pub values: Vec<f32>,
}

impl ActivationMap {
    /// The least and the largest mean.
    pub fn range(&self) -> [f32; 2] {
        let values = || self.values.iter().copied();
        [values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max)]
    }

    /// The means from 0 (least) to 1 (largest); all 0 where they are the same.
    pub fn normalised(&self) -> Vec<f32> {
        let [least, most] = self.range();
        let span = most - least;
        let place = |value: f32| if span > 0.0 { (value - least) / span } else { 0.0 };
        self.values.iter().map(|&value| place(value)).collect()
    }

    /// [`normalised`](Self::normalised) as an image of one pixel per token, black to white.
    pub fn to_grey(&self) -> GrayImage {
        let values = self.normalised();
        let side = self.side as u32;
        GrayImage::from_fn(side, side, |x, y| {
            let value = values.get((y * side + x) as usize).copied().unwrap_or(0.0);
            Luma([(value * 255.0).round() as u8])
        })
    }
}

impl ImageSession<'_> {
    /// The maps of the paper's Figure 4: T_img1 (Eq. 1), T_img2 (Eq. 4) and, in the variant that has
    /// it, T_vl (Eq. 9).
    ///
    /// They are the same for every expression: the image comes before the words, and attention is
    /// causal. Each token of T_img2 is the state that predicts it, one position earlier, as in
    /// the decoder.
    ///
    /// # Errors
    /// [`SegmentError::NotFinite`] and [`SegmentError::ReadBack`].
    pub fn activation_maps(&self) -> Result<Vec<ActivationMap>, SegmentError> {
        let state = &self.state;
        let mut maps = vec![
            self.activation_map("T_img1", "vision encoder", &state.image_tokens)?,
            self.activation_map("T_img2", "language model", &state.language_tokens)?,
        ];
        if let Some(t_vl) = &state.decoder.fusion.t_vl {
            maps.push(self.activation_map("T_vl", "cross-attention", t_vl)?);
        }
        Ok(maps)
    }

    /// Maps of the mask decoder that Figure 4 leaves out: T_img4 (Eq. 12), in the variants that have it, and
    /// T_ds0 (Eq. 13).
    ///
    /// # Errors
    /// As [`activation_maps`](Self::activation_maps).
    pub fn decoder_maps(&self) -> Result<Vec<ActivationMap>, SegmentError> {
        let fusion = &self.state.decoder.fusion;
        let t_img4 = fusion.t_img4.iter().map(|tokens| ("T_img4", "DySample", tokens));
        let maps = t_img4.chain([("T_ds0", "DSFF", &fusion.fused)]);
        maps.map(|(name, origin, tokens)| self.activation_map(name, origin, tokens)).collect()
    }

    /// # Shapes
    /// - `tokens`: `[1, side², c]`
    fn activation_map(
        &self,
        name: &'static str,
        origin: &'static str,
        tokens: &Tensor<3>,
    ) -> Result<ActivationMap, SegmentError> {
        let means = tokens.clone().cast(DType::F32).abs().mean_dim(2); // [1, side², 1]
        let values = self.read_finite(means.reshape([-1]), || name.into())?;
        Ok(ActivationMap { name, origin, side: values.len().isqrt(), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_black_at_its_least_and_white_at_its_most() {
        let values = vec![2.0, 3.0, 2.25, 4.0];
        let map = ActivationMap { name: "T_vl", origin: "", side: 2, values };
        assert_eq!(map.range(), [2.0, 4.0]);
        assert_eq!(map.normalised(), [0.0, 0.5, 0.125, 1.0]);
        // 0.125 * 255 = 31.9
        assert_eq!(map.to_grey().into_raw(), [0, 128, 32, 255]);
        let flat = ActivationMap { values: vec![7.0; 4], ..map };
        assert_eq!(flat.normalised(), [0.0; 4]);
    }
}
