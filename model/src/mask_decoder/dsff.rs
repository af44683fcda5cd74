//! Eq. 6, made of Eq. 9-13: detail-enhanced and semantic-consistent feature fusion.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::cross_attention::CrossAttention;
use super::dysample::DySample;
use super::xavier_linear;
use crate::config::{MllmsegConfig, Variant};

/// The fusion, or what is left of it in the variants of Table 4.
#[derive(Module, Debug)]
pub struct Dsff {
    /// Eq. 9; only in the `dsff` variant.
    pub cross_attention: Option<CrossAttention>,
    /// Eq. 10-12; absent in the `vit` variant.
    pub upsample: Option<DySample>,
    /// φ of Eq. 13, `maps · c -> c`.
    pub adapter: Linear,
}

/// The maps that the fusion makes, each `[b, p, c]`.
#[derive(Debug, Clone)]
pub struct Fusion {
    /// T_vl: details that asked the semantics.
    pub t_vl: Option<Tensor<3>>,
    /// T_img4: semantics at the resolution of the details.
    pub t_img4: Option<Tensor<3>>,
    /// T_ds0.
    pub fused: Tensor<3>,
}

impl Dsff {
    pub(super) fn new(config: &MllmsegConfig, device: &Device) -> Self {
        let width = config.vision.hidden_size;
        let decoder = &config.mask_decoder;
        let variant = decoder.variant;
        let scale = config.tokens_per_side_ratio();
        Self {
            cross_attention: (variant == Variant::Dsff)
                .then(|| CrossAttention::new(width, decoder, device)),
            upsample: variant
                .uses_language_tokens()
                .then(|| DySample::new(width, scale, decoder.dysample_groups, device)),
            adapter: xavier_linear(variant.maps() * width, width, device),
        }
    }

    /// # Shapes
    /// - `details`: T_img1 `[b, p, c]`, `semantics`: T_img3 `[b, l, c]`, unused in `vit`
    pub fn forward(&self, details: Tensor<3>, semantics: Option<Tensor<3>>) -> Fusion {
        let t_vl = self
            .cross_attention
            .as_ref()
            .zip(semantics.clone())
            .map(|(attention, semantics)| attention.forward(details.clone(), semantics)); // [b, p, c]
        let t_img4 = self
            .upsample
            .as_ref()
            .zip(semantics)
            .map(|(upsample, semantics)| upsample.forward_tokens(semantics)); // [b, p, c]
        // `llm` is the one variant that leaves the details out.
        let details = (t_img4.is_none() || self.adapter_maps(&details) > 1).then_some(details);
        let maps: Vec<_> = [t_vl.clone(), details, t_img4.clone()].into_iter().flatten().collect();
        let fused = self.adapter.forward(Tensor::cat(maps, 2)); // [b, p, c], Eq. 13
        Fusion { t_vl, t_img4, fused }
    }

    fn adapter_maps(&self, details: &Tensor<3>) -> usize {
        let ([joined, _], [_, _, width]) = (self.adapter.weight.dims(), details.dims());
        joined / width
    }
}
