//! Eq. 6, made of Eq. 9-13: detail-enhanced and semantic-consistent feature fusion.
//!
//! Eq. 13 joins the maps in the order [T_img1, T_img4, T_vl]; the published weights expect
//! [T_vl, T_img1, T_img4], and so does this module.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::cross_attention::{CrossAttention, xavier_linear};
use super::dysample::DySample;
use crate::config::{MllmsegConfig, Variant};
use crate::cpu::{Activation, apply};

/// The fusion, or the part of it that a variant of Table 4 has.
#[derive(Module, Debug)]
pub struct Dsff {
    /// Eq. 9; only in the `dsff` variant.
    pub cross_attention: Option<CrossAttention>,
    /// Eq. 10-12; absent in the `vit` variant.
    pub upsample: Option<DySample>,
    /// φ of Eq. 13, `maps · c -> c`.
    pub adapter: Linear,
    #[module(skip)]
    variant: Variant,
}

/// The maps that the fusion makes, each `[b, p, c]`.
#[derive(Debug, Clone)]
pub struct Fusion {
    /// T_vl: the details after cross-attention to the semantics.
    pub t_vl: Option<Tensor<3>>,
    /// T_img4: semantics at the resolution of the details.
    pub t_img4: Option<Tensor<3>>,
    /// T_ds0.
    pub fused: Tensor<3>,
}

impl Dsff {
    pub(super) fn new(config: &MllmsegConfig, device: &Device) -> Self {
        let (width, decoder) = (config.vision.hidden_size, &config.mask_decoder);
        let (variant, scale) = (decoder.variant, config.tokens_per_side_ratio());
        let attention = || CrossAttention::new(width, decoder, device);
        let upsample = || DySample::new(width, scale, decoder.dysample_groups, device);
        Self {
            cross_attention: (variant == Variant::Dsff).then(attention),
            upsample: variant.uses_language_tokens().then(upsample),
            adapter: xavier_linear(variant.maps() * width, width, device),
            variant,
        }
    }

    // ANCHOR: dsff
    /// # Shapes
    /// - `details`: T_img1 `[b, p, c]`, `semantics`: T_img3 `[b, l, c]`, unused in `vit`
    pub fn forward(&self, details: Tensor<3>, semantics: Option<Tensor<3>>) -> Fusion {
        let attention = self.cross_attention.as_ref().zip(semantics.clone());
        let t_vl = attention.map(|(layer, semantics)| layer.forward(details.clone(), semantics)); // [b, p, c]
        let upsample = self.upsample.as_ref().zip(semantics);
        let t_img4 = upsample.map(|(layer, semantics)| layer.forward_tokens(semantics)); // [b, p, c]
        let maps = match self.variant {
            Variant::Vit => [None, Some(details), None],
            Variant::Llm => [None, None, t_img4.clone()],
            // The cross-attention is absent in `concat`.
            Variant::Concat | Variant::Dsff => [t_vl.clone(), Some(details), t_img4.clone()],
        };
        let maps: Vec<_> = maps.into_iter().flatten().collect();
        let fused = apply(&self.adapter, Tensor::cat(maps, 2), Activation::Identity); // [b, p, c], Eq. 13
        Fusion { t_vl, t_img4, fused }
    }
    // ANCHOR_END: dsff
}
