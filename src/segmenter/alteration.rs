//! A model with one part of its mask decoder changed, to see what the part does.

use mllmseg_model::Variant;
use serde::Deserialize;

use super::Segmenter;

/// A change of weights; the network stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Alteration {
    /// What DySample's offsets are multiplied by, which changes α of Eq. 11: 0 is plain interpolation.
    pub offsets: f32,
    /// The map of DSFF (Eq. 13) that counts as zeros.
    pub without: Option<FusionMap>,
}

/// A map that DSFF joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the paper's")]
pub enum FusionMap {
    #[serde(rename = "T_vl")]
    Tvl,
    #[serde(rename = "T_img1")]
    Timg1,
    #[serde(rename = "T_img4")]
    Timg4,
}

impl FusionMap {
    /// Its place among the maps that a variant joins, if it is one of them.
    fn place(self, variant: Variant) -> Option<usize> {
        let maps: &[Self] = match variant {
            Variant::Vit => &[Self::Timg1],
            Variant::Llm => &[Self::Timg4],
            Variant::Concat => &[Self::Timg1, Self::Timg4],
            Variant::Dsff => &[Self::Tvl, Self::Timg1, Self::Timg4],
        };
        maps.iter().position(|&map| map == self)
    }
}

impl Segmenter {
    /// The model with changed weights. It shares the others with this one.
    pub fn altered(&self, alteration: Alteration) -> Self {
        let mut altered = self.clone();
        let dsff = &mut altered.model.mask_decoder.dsff;
        if let Some(sample) = &mut dsff.upsample {
            let factor = alteration.offsets;
            let offset = &mut sample.offset;
            offset.weight = offset.weight.clone().map(|weight| weight * factor);
            offset.bias = offset.bias.take().map(|bias| bias.map(|bias| bias * factor));
        }
        let place = alteration.without.and_then(|map| map.place(self.config.mask_decoder.variant));
        if let Some(place) = place {
            let width = self.config.vision.hidden_size;
            let rows = place * width..(place + 1) * width;
            let adapter = &mut dsff.adapter; // a map's channels are rows of its matrix
            adapter.weight = adapter.weight.clone().map(|weight| weight.slice_fill([rows], 0.0));
        }
        altered
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, Tensor, Tolerance};
    use mllmseg_model::interpolation::{Kernel, resize};
    use mllmseg_model::mask_decoder::dsff::Fusion;

    use super::*;
    use crate::{device, tiny};

    /// The maps of one image, of a model that is as it was and of an altered one; T_img1 and T_img3.
    fn fusions(alteration: Alteration) -> (Segmenter, [Fusion; 2], Tensor<3>, Tensor<3>) {
        let segmenter = Segmenter::load(tiny::folder().unwrap(), &device::cpu()).unwrap();
        let altered = segmenter.altered(alteration);
        let (c, device) = (segmenter.config.vision.hidden_size, &segmenter.device.device);
        let random = |p: usize| Tensor::random([1, p, c], Distribution::Normal(0.0, 1.0), device);
        let (details, semantics) = (random(144), random(36));
        let fusions = [&segmenter, &altered].map(|segmenter| {
            let dsff = &segmenter.model.mask_decoder.dsff;
            dsff.forward(details.clone(), Some(semantics.clone()))
        });
        (segmenter, fusions, details, semantics)
    }

    fn assert_same(a: Tensor<3>, b: Tensor<3>) {
        a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::absolute(1e-4));
    }

    /// Eq. 13 with zeros in the place of the map.
    #[test]
    fn a_map_that_is_left_out_counts_as_zeros() {
        for (place, map) in
            [FusionMap::Tvl, FusionMap::Timg1, FusionMap::Timg4].into_iter().enumerate()
        {
            let alteration = Alteration { offsets: 1.0, without: Some(map) };
            let (segmenter, [whole, without], details, _) = fusions(alteration);
            let mut maps = vec![whole.t_vl.unwrap(), details, whole.t_img4.unwrap()];
            maps[place] = maps[place].zeros_like();
            let adapter = &segmenter.model.mask_decoder.dsff.adapter;
            assert_same(without.fused, adapter.forward(Tensor::cat(maps, 2)));
        }
    }

    /// Eq. 11 with an α of 0.
    #[test]
    fn without_offsets_dysample_is_bilinear() {
        let alteration = Alteration { offsets: 0.0, without: None };
        let (_, [whole, plain], _, semantics) = fusions(alteration);
        let map = semantics.swap_dims(1, 2).reshape([1, 128, 6, 6]);
        let up = resize(map, [12, 12], Kernel::Bilinear).flatten::<3>(2, 3).swap_dims(1, 2);
        assert_same(plain.t_img4.unwrap(), up);
        assert_same(plain.t_vl.unwrap(), whole.t_vl.unwrap());
    }
}
