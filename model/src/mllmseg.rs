//! The whole model: Eq. 1-4, and from states to masks.
//!
//! Two ways through it give the same masks:
//! - [`Mllmseg::forward`], plain: a whole conversation in one pass, as a prefix that nothing follows.
//! - [`Mllmseg::encode_image`] and [`Mllmseg::encode_prefix`] once per image, then [`Mllmseg::forward_cached`] and
//!   [`Mllmseg::segment`] per expression. The image comes before the question and attention is
//!   causal, so nothing up to `</img>` depends on the expression.

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::config::MllmsegConfig;
use crate::language::{KvCache, LanguageModel};
use crate::lora::LoraConfig;
use crate::mask_decoder::batch_norm::BatchStatistics;
use crate::mask_decoder::{DecoderImage, MaskDecoder};
use crate::projector::Projector;
use crate::vision::VisionEncoder;

/// MLLMSeg.
///
/// ```
/// use mllmseg_model::parameters::parameter_count;
/// use mllmseg_model::{Mllmseg, Preset};
///
/// // Weights are drawn when they are first used: counting draws none.
/// let model = Mllmseg::new(&Preset::InternVl2_5_8b.config(), None, &burn::tensor::Device::flex());
/// assert_eq!(parameter_count(&model.mask_decoder), 34_385_542); // the paper's 34 million
/// ```
#[derive(Module, Debug)]
pub struct Mllmseg {
    /// F_en of Eq. 1.
    pub vision: VisionEncoder,
    /// `mlp1`.
    pub projector: Projector,
    /// F_llm of Eq. 3.
    pub language_model: LanguageModel,
    /// Eq. 5-13.
    pub mask_decoder: MaskDecoder,
}

/// A `[SEG]` token that gets a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegToken {
    /// Row of its conversation among the states.
    pub row: usize,
    /// Its position in the conversation.
    pub position: usize,
    /// Row of its image.
    pub image: usize,
}

/// The masks of some `[SEG]` tokens.
#[derive(Debug, Clone)]
pub struct Segmented {
    /// T_seg `[n, 1, d]`, the states that predict the tokens.
    pub seg_tokens: Tensor<3>,
    /// Probabilities `[n, size, size]`.
    pub masks: Tensor<3>,
    /// Batch statistics of the mask head, one for each image; empty outside of training.
    pub batch_statistics: Vec<BatchStatistics>,
}

/// What is known of images after the first tokens of their conversations: up to and including
/// `</img>`, nothing depends on the expression.
#[derive(Debug, Clone)]
pub struct PrefixState {
    /// T_img1 `[b, p, c]`.
    pub image_tokens: Tensor<3>,
    /// After `mlp1`, `[b, l, d]`.
    pub projected: Tensor<3>,
    /// The states of these tokens after the final norm, `[b, t, d]`.
    pub hidden: Tensor<3>,
    /// Their keys and values.
    pub cache: KvCache,
    /// T_img2 `[b, l, d]`.
    pub language_tokens: Tensor<3>,
    /// The decoder's maps.
    pub decoder: DecoderImage,
}

impl Mllmseg {
    /// Builds the model of a configuration; weights are drawn at first use unless loaded before.
    pub fn new(config: &MllmsegConfig, lora: Option<LoraConfig>, device: &Device) -> Self {
        Self {
            vision: VisionEncoder::new(config, device),
            projector: Projector::new(config, device),
            language_model: LanguageModel::new(&config.language, lora, device),
            mask_decoder: MaskDecoder::new(config, device),
        }
    }

    /// The dtype of vision encoder and language model; adapters and mask decoder are f32.
    pub fn dtype(&self) -> DType {
        self.language_model.embed_tokens.weight.val().dtype()
    }

    /// The plain pass: Eq. 1-13 for whole conversations about one image each. Arguments as those of
    /// [`encode_prefix`](Self::encode_prefix) and [`segment`](Self::segment); no masks without `segs`.
    ///
    /// # Shapes
    /// - `pixels`: normalised `[b, 3, h, w]`, `ids`: `[b, t]`, padded on the right
    pub fn forward(
        &self,
        pixels: Tensor<4>,
        ids: Tensor<2, Int>,
        image_start: usize,
        segs: &[SegToken],
    ) -> (PrefixState, Option<Segmented>) {
        let state = self.encode_prefix(self.encode_image(pixels), ids, image_start); // Eq. 1-6
        let segmented =
            (!segs.is_empty()).then(|| self.segment(&state.decoder, &state.hidden, 0, segs));
        (state, segmented)
    }

    // ANCHOR: segment
    /// From states to masks, Eq. 4, 5, 7 and 8: T_seg is the state that predicts `[SEG]`, one
    /// position before it.
    ///
    /// # Shapes
    /// - `hidden`: `[n, t, d]`, the states of positions `start..start + t`
    /// - `segs`: at least one, at positions `start + 1..=start + t`
    pub fn segment(
        &self,
        image: &DecoderImage,
        hidden: &Tensor<3>,
        start: usize,
        segs: &[SegToken],
    ) -> Segmented {
        let [_, length, _] = hidden.dims();
        let index = segs.iter().map(|seg| (seg.row * length + seg.position - 1 - start) as i32);
        let index = TensorData::new(index.collect(), [segs.len()]);
        let index = Tensor::<1, Int>::from_data(index, &hidden.device().without_autodiff());
        let states = hidden.clone().flatten::<2>(0, 1); // [n t, d]
        let seg_tokens = states.select(0, index).unsqueeze_dim::<3>(1); // [n, 1, d]
        let image_of: Vec<_> = segs.iter().map(|seg| seg.image).collect();
        let (masks, batch_statistics) =
            self.mask_decoder.segment(image, &image_of, seg_tokens.clone());
        Segmented { seg_tokens, masks, batch_statistics }
    }
    // ANCHOR_END: segment

    /// Eq. 1: T_img1.
    ///
    /// # Shapes
    /// - `pixels`: `[b, 3, h, w]`, output: `[b, p, c]`
    pub fn encode_image(&self, pixels: Tensor<4>) -> Tensor<3> {
        self.vision.forward(pixels.cast(self.dtype()))
    }

    /// Eq. 2-6 for images and the first tokens of their conversations.
    ///
    /// `image_start` is the position of the first `<IMG_CONTEXT>`, the same in every row: what
    /// precedes it is fixed.
    ///
    /// # Shapes
    /// - `image_tokens`: T_img1 `[b, p, c]`, `ids`: `[b, t]`
    pub fn encode_prefix(
        &self,
        image_tokens: Tensor<3>,
        ids: Tensor<2, Int>,
        image_start: usize,
    ) -> PrefixState {
        let [_, length] = ids.dims();
        let projected = self.projector.forward(image_tokens.clone()); // [b, l, d]
        let embeddings = self.embed_with_image(ids, projected.clone(), image_start); // [b, t, d], Eq. 2
        let mut cache = KvCache::new(self.language_model.layers.len());
        let hidden = self.language_model.forward(embeddings, &mut cache, length); // [b, t, d], Eq. 3
        let language_tokens = language_tokens(&hidden, &projected, image_start); // [b, l, d], Eq. 4
        let decoder = self.mask_decoder.encode(image_tokens.clone(), language_tokens.clone());
        PrefixState { image_tokens, projected, hidden, cache, language_tokens, decoder }
    }

    /// Eq. 3 for tokens that follow what the cache holds; their keys and values are appended to it.
    ///
    /// # Shapes
    /// - `ids`: `[n, t]`, padded on the right; output: hidden states `[n, t, d]`
    pub fn forward_cached(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<3> {
        let [_, length] = ids.dims();
        let embeddings = self.language_model.embed_tokens.forward(ids);
        let total = cache.length() + length;
        self.language_model.forward(embeddings, cache, total)
    }

    /// The masks of continuations of one image's prefix; the prefix stays as it is.
    ///
    /// # Shapes
    /// - `ids`: `[n, t]`, what follows `</img>`, padded on the right
    pub fn segment_continuations(
        &self,
        prefix: &PrefixState,
        ids: Tensor<2, Int>,
        segs: &[SegToken],
    ) -> Segmented {
        let [n, _] = ids.dims();
        let hidden = self.forward_cached(ids, &mut prefix.cache.expand(n)); // [n, t, d]
        self.segment(&prefix.decoder, &hidden, prefix.cache.length(), segs)
    }

    // ANCHOR: embed_with_image
    /// Eq. 2: token embeddings with the image's tokens in place of `<IMG_CONTEXT>`.
    ///
    /// # Shapes
    /// - `ids`: `[b, t]`, `projected`: `[b, l, d]`, output: `[b, t, d]`
    pub fn embed_with_image(
        &self,
        ids: Tensor<2, Int>,
        projected: Tensor<3>,
        image_start: usize,
    ) -> Tensor<3> {
        let [_, length] = ids.dims();
        let [_, image_length, _] = projected.dims();
        let image_end = image_start + image_length;
        let text = self.language_model.embed_tokens.forward(ids); // [b, t, d]
        let before = text.clone().narrow(1, 0, image_start); // [b, image_start, d]
        let after = text.narrow(1, image_end, length - image_end); // [b, t - image_end, d]
        Tensor::cat(vec![before, projected, after], 1) // [b, t, d]
    }
    // ANCHOR_END: embed_with_image
}

// ANCHOR: language_tokens
/// T_img2 of Eq. 4: the states that predict the image tokens, each one position before it, so that
/// the first belongs to `<img>`.
///
/// # Shapes
/// - `hidden`: `[b, t, d]`, `projected` and output: `[b, l, d]`
pub fn language_tokens(hidden: &Tensor<3>, projected: &Tensor<3>, image_start: usize) -> Tensor<3> {
    let [_, image_length, _] = projected.dims();
    hidden.clone().narrow(1, image_start - 1, image_length) // [b, l, d]
}
// ANCHOR_END: language_tokens

/// Token ids as a tensor, rows padded on the right with `pad` to the longest.
///
/// # Shapes
/// - output: `[b, t]`
pub fn token_tensor(rows: &[&[u32]], pad: u32, device: &Device) -> Tensor<2, Int> {
    let length = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let padded = rows
        .iter()
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(pad, length - row.len())));
    let ids: Vec<i32> = padded.map(|id| id as i32).collect();
    Tensor::from_data(TensorData::new(ids, [rows.len(), length]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn a_prefix_and_its_continuation_equal_one_pass() {
        let device = crate::test_device();
        let config = Preset::Tiny.config();
        let model = Mllmseg::new(&config, Some(LoraConfig::published(4)), &device);
        let size = config.image_size;
        let pixels = Tensor::random([1, 3, size, size], Distribution::Normal(0.0, 1.0), &device);
        let image = config.num_image_tokens() as u32;
        let prefix: Vec<u32> = (0..5 + image + 1).collect();
        let rest: Vec<u32> = vec![7, 8, 9, 3, 4];
        let seg = prefix.len() + 4;
        let all: Vec<u32> = prefix.iter().chain(&rest).copied().collect();

        let segs = [SegToken { row: 0, position: seg, image: 0 }];
        let ids = token_tensor(&[&all], 0, &device);
        let (_, plain) = model.forward(pixels.clone(), ids, 5, &segs);
        let state = model.encode_prefix(
            model.encode_image(pixels),
            token_tensor(&[&prefix], 0, &device),
            5,
        );
        // Two continuations at once, the first the conversation above, the second shorter.
        let ids = token_tensor(&[&rest[..4], &rest[..2]], 0, &device);
        let hidden = model.forward_cached(ids, &mut state.cache.expand(2));
        let short = model.segment(&state.decoder, &hidden, prefix.len(), &segs).masks.into_data();
        let plain = plain.expect("one [SEG]").masks.into_data();
        short.assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-5));
    }
}
