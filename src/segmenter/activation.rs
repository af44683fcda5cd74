//! The activation of each token of an image: the maps of the paper's Figure 4.

use burn::tensor::{DType, Tensor, read_sync};
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
        read_sync(self.activation_maps_async())
    }

    /// As [`activation_maps`](Self::activation_maps). A GPU of a browser can only be read from so.
    pub async fn activation_maps_async(&self) -> Result<Vec<ActivationMap>, SegmentError> {
        let state = &self.state;
        let t_vl = state.decoder.fusion.t_vl.iter();
        let maps = [
            ("T_img1", "vision encoder", &state.image_tokens),
            ("T_img2", "language model", &state.language_tokens),
        ];
        self.read_maps(maps.into_iter().chain(t_vl.map(|t_vl| ("T_vl", "cross-attention", t_vl))))
            .await
    }

    /// Maps of the mask decoder that Figure 4 leaves out: T_img4 (Eq. 12), in the variants that have it, and
    /// T_ds0 (Eq. 13).
    ///
    /// # Errors
    /// As [`activation_maps`](Self::activation_maps).
    pub fn decoder_maps(&self) -> Result<Vec<ActivationMap>, SegmentError> {
        read_sync(self.decoder_maps_async())
    }

    /// As [`decoder_maps`](Self::decoder_maps). A GPU of a browser can only be read from so.
    pub async fn decoder_maps_async(&self) -> Result<Vec<ActivationMap>, SegmentError> {
        let fusion = &self.state.decoder.fusion;
        let t_img4 = fusion.t_img4.iter().map(|tokens| ("T_img4", "DySample", tokens));
        self.read_maps(t_img4.chain([("T_ds0", "DSFF", &fusion.fused)])).await
    }

    /// Maps by their names and origins.
    ///
    /// # Shapes
    /// - tokens: `[1, side², c]`
    async fn read_maps(
        &self,
        tokens: impl IntoIterator<Item = (&'static str, &'static str, &Tensor<3>)>,
    ) -> Result<Vec<ActivationMap>, SegmentError> {
        let mut maps = Vec::new();
        for (name, origin, tokens) in tokens {
            let means = tokens.clone().cast(DType::F32).abs().mean_dim(2); // [1, side², 1]
            let values = self.read_finite(means.reshape([-1]), || name.into()).await?;
            maps.push(ActivationMap { name, origin, side: values.len().isqrt(), values });
        }
        Ok(maps)
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
