//! The light mask decoder (Figure 3): from image tokens and a `[SEG]` token to a mask.
//!
//! | file | equation |
//! | --- | --- |
//! | this one | 5 (`img_llm_down`, `text_down`), 6, and the whole decoder |
//! | [`dsff`] | 9, 13: cross-attention between details and semantics, and the adapter |
//! | [`dysample`] | 10-12: learned upsampling of the language model's image tokens |
//! | [`cross_attention`] | 7 (and 9): a post-norm transformer decoder layer |
//! | [`head`] | 8: convolution, pixel shuffle, convolution |
//! | [`batch_norm`] | 8: the normalisation after the first convolution |

pub mod batch_norm;
pub mod cross_attention;
pub mod dsff;
pub mod dysample;
pub mod head;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::config::MllmsegConfig;
use batch_norm::BatchStatistics;
use cross_attention::{CrossAttention, xavier_linear};
use dsff::{Dsff, Fusion};
use head::MaskHead;

/// The mask decoder, always in f32.
#[derive(Module, Debug)]
pub struct MaskDecoder {
    /// φ1 of Eq. 5, `d -> c`; absent in the `vit` variant.
    pub img_llm_down: Option<Linear>,
    /// φ2 of Eq. 5, `d -> c`.
    pub text_down: Linear,
    /// Eq. 6.
    pub dsff: Dsff,
    /// Eq. 7: queries are the image positions, key and value the `[SEG]` token.
    pub seg_attention: CrossAttention,
    /// Eq. 8.
    pub head: MaskHead,
}

/// The decoder's maps of images, which do not depend on an expression.
#[derive(Debug, Clone)]
pub struct DecoderImage {
    /// The maps of DSFF, among them T_ds0.
    pub fusion: Fusion,
    /// T_ds0 after the self-attention half of the layer of Eq. 7, `[b, p, c]`.
    pub attended: Tensor<3>,
}

impl MaskDecoder {
    /// Builds the decoder of a configuration.
    pub fn new(config: &MllmsegConfig, device: &Device) -> Self {
        let (width, language_width) = (config.vision.hidden_size, config.language.hidden_size);
        let decoder = &config.mask_decoder;
        let down = || xavier_linear(language_width, width, device);
        Self {
            img_llm_down: decoder.variant.uses_language_tokens().then(down),
            text_down: down(),
            dsff: Dsff::new(config, device),
            seg_attention: CrossAttention::new(width, decoder, device),
            head: MaskHead::new(width, config.vision.patch_size, device),
        }
    }

    /// The device of its weights.
    pub fn device(&self) -> Device {
        self.text_down.weight.lazy_device()
    }

    /// The part without expressions: Eq. 5 (left), Eq. 6, and the self-attention half of Eq. 7's layer.
    ///
    /// # Shapes
    /// - `image_tokens`: T_img1 `[b, p, c]`, `language_tokens`: T_img2 `[b, l, d]`
    pub fn encode(&self, image_tokens: Tensor<3>, language_tokens: Tensor<3>) -> DecoderImage {
        let down = self.img_llm_down.as_ref();
        let semantics = down.map(|down| down.forward(language_tokens.cast(DType::F32))); // T_img3 [b, l, c]
        let fusion = self.dsff.forward(image_tokens.cast(DType::F32), semantics);
        let attended = self.seg_attention.attend_to_self(fusion.fused.clone());
        DecoderImage { fusion, attended }
    }

    // ANCHOR: seg_attention
    /// The rest: Eq. 5 (right), 7 and 8 for expressions on encoded images. Returns the
    /// probabilities, and in training the batch statistics of each image.
    ///
    /// A softmax over one key is 1, so the cross-attention adds the same projected vector at every
    /// position; its query and key are not computed.
    ///
    /// # Shapes
    /// - `image`: of `b` images, `seg_tokens`: T_seg `[n, 1, d]`
    /// - `image_of`: for each expression, the row of its image; those of one image are consecutive
    /// - output: probabilities `[n, size, size]`
    pub fn segment(
        &self,
        image: &DecoderImage,
        image_of: &[usize],
        seg_tokens: Tensor<3>,
    ) -> (Tensor<3>, Vec<BatchStatistics>) {
        let seg = self.text_down.forward(seg_tokens.cast(DType::F32)); // [n, 1, c]
        let mut queries = image.attended.clone(); // [b, p, c]
        let [images, _, _] = queries.dims();
        if images > 1 {
            let rows: Vec<i32> = image_of.iter().map(|&row| row as i32).collect();
            let device = queries.device().without_autodiff();
            queries = queries.select(0, Tensor::from_data(TensorData::from(&*rows), &device));
        } // [n, p, c], or [1, p, c] for all
        let attended = self.seg_attention.attend_to_one(queries, seg); // [n, p, c]
        let conversations: Vec<_> = image_of.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
        self.head.forward(attended, &conversations)
    }
    // ANCHOR_END: seg_attention
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::parameter_count;
    use crate::{Preset, Variant};
    use burn::tensor::{Distribution, Tolerance};

    /// The counts of Table 4 at the width of the 8B language model.
    #[test]
    fn variants_have_the_published_parameter_counts() {
        let mut config = Preset::InternVl2_5_8b.config();
        let counts = Variant::ALL.map(|variant| {
            config.mask_decoder.variant = variant;
            parameter_count(&MaskDecoder::new(&config, &crate::test_device()))
        });
        assert_eq!(counts, [17_556_070, 21_784_198, 22_832_774, 34_385_542]);
    }

    /// The plain path computes both halves of Eq. 7's layer for every expression, and its query and key.
    #[test]
    fn the_short_path_equals_the_plain_one_in_every_variant() {
        let device = crate::test_device();
        let mut config = Preset::Tiny.config();
        let random =
            |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let (p, l) = (config.patches_per_side().pow(2), config.num_image_tokens());
        let (c, d) = (config.vision.hidden_size, config.language.hidden_size);
        for variant in Variant::ALL {
            config.mask_decoder.variant = variant;
            let decoder = MaskDecoder::new(&config, &device);
            let (details, semantics) = (random([1, p, c]), random([1, l, d]));
            let seg = random([3, 1, d]);
            let image = decoder.encode(details, semantics);
            let (short, _) = decoder.segment(&image, &[0, 0, 0], seg.clone());
            assert_eq!(short.dims(), [3, config.mask_size(), config.mask_size()]);
            let queries = image.fusion.fused.expand([3, p, c]);
            let attended = decoder.seg_attention.forward(queries, decoder.text_down.forward(seg));
            let (plain, _) = decoder.head.forward(attended, &[3]);
            let (plain, short) = (plain.into_data(), short.into_data());
            short.assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-5));
        }
    }
}
