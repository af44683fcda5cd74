//! The whole model: Eq. 1-4, and the mask decoder on top.
//!
//! Two ways through it give the same masks:
//! - [`Mllmseg::forward`], plain: a whole conversation in one pass.
//! - [`Mllmseg::encode_prefix`] once per image, then [`Mllmseg::read_on`] and
//!   [`MaskDecoder::segment`] per expression. The image comes before the question and attention is
//!   causal, so nothing up to `</img>` depends on the words.
//!
//! Training goes a third one, layer by layer: [`Mllmseg::embed`], [`LanguageModel::read`] and
//! [`Mllmseg::finish`].

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::config::MllmsegConfig;
use crate::language::{KvCache, LanguageModel, Reading, Streams};
use crate::lora::LoraConfig;
use crate::mask_decoder::{DecoderImage, MaskDecoder};
use crate::projector::Projector;
use crate::vision::VisionEncoder;

/// MLLMSeg.
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

/// One batch of conversations about one image each.
#[derive(Debug, Clone)]
pub struct Conversations {
    /// Normalised pixels `[b, 3, h, w]`.
    pub pixels: Tensor<4>,
    /// Token ids `[b, t]`, padded on the right.
    pub input_ids: Tensor<2, Int>,
    /// Position of the first `<IMG_CONTEXT>`, the same in every row: what precedes it is fixed.
    pub image_start: usize,
    /// Row and position of every `[SEG]` that asks for a mask.
    pub seg_positions: Vec<(usize, usize)>,
}

/// What training reads in one pass: conversations, or the continuations of a beginning that is read
/// once per image.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// Whole conversations, padded on the right, or their beginnings up to and including `</img>`,
    /// `[b, t]`.
    pub ids: Tensor<2, Int>,
    /// Position of the first `<IMG_CONTEXT>`, the same in every row.
    pub image_start: usize,
    /// The continuations `[n, t']`, padded on the right, and the row of the beginning of each, `[n]`.
    pub branches: Option<(Tensor<2, Int>, Tensor<1, Int>)>,
}

/// What the plain pass computes on its way.
#[derive(Debug, Clone)]
pub struct ForwardOutput {
    /// T_img1 `[b, p, c]`.
    pub image_tokens: Tensor<3>,
    /// After `mlp1`, `[b, l, d]`.
    pub projected: Tensor<3>,
    /// After the final norm, `[b, t, d]`.
    pub last_hidden_state: Tensor<3>,
    /// Probabilities, one map for each of `seg_positions`, `[n, size, size]`; none without any.
    pub masks: Option<Tensor<3>>,
}

/// Everything about an image that no expression changes.
#[derive(Debug, Clone)]
pub struct PrefixState {
    /// T_img1 `[1, p, c]`.
    pub image_tokens: Tensor<3>,
    /// T_img2 `[1, l, d]`.
    pub language_tokens: Tensor<3>,
    /// After `mlp1`, `[1, l, d]`.
    pub projected: Tensor<3>,
    /// Keys and values of the prompt up to and including `</img>`.
    pub cache: KvCache,
    /// The decoder's share.
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

    /// The plain pass: Eq. 1-13 for whole conversations.
    pub fn forward(&self, batch: Conversations) -> ForwardOutput {
        let Conversations { pixels, input_ids, image_start, seg_positions } = batch;
        let image_tokens = self.vision.forward(pixels.cast(self.dtype())); // [b, p, c], Eq. 1
        let projected = self.projector.forward(image_tokens.clone()); // [b, l, d]
        let [_, length] = input_ids.dims();
        let embeddings = self.embed_with_image(input_ids, projected.clone(), image_start); // [b, t, d], Eq. 2
        let mut cache = self.language_model.new_cache();
        let hidden = self.language_model.forward(embeddings, &mut cache, length); // Eq. 3
        let language_tokens = language_tokens(&hidden, &projected, image_start); // [b, l, d], Eq. 4
        let masks = (!seg_positions.is_empty()).then(|| {
            // T_seg is the state that predicts [SEG]: one position earlier.
            let seg_tokens = seg_positions.iter().map(|&(row, position)| {
                hidden.clone().narrow(0, row, 1).narrow(1, position - 1, 1)
            });
            let seg_tokens = Tensor::cat(seg_tokens.collect(), 0); // [n, 1, d]
            let rows: Vec<_> = seg_positions.iter().map(|&(row, _)| row).collect();
            self.mask_decoder.forward(image_tokens.clone(), language_tokens, seg_tokens, &rows)
        });
        ForwardOutput { image_tokens, projected, last_hidden_state: hidden, masks }
    }

    /// Eq. 2: what the language model reads in training, about images that are already language
    /// tokens. [`LanguageModel::read`] reads it, [`finish`](Self::finish) takes what came out apart.
    ///
    /// # Shapes
    /// - `projected`: `[b, l, d]`
    pub fn embed(&self, projected: Tensor<3>, transcript: Transcript) -> (Streams, Reading) {
        let Transcript { ids, image_start, branches } = transcript;
        let trunk = self.embed_with_image(ids, projected, image_start); // [b, t, d]
        let (ids, trunk_of) = branches.unzip();
        let branches = ids.map(|ids| self.language_model.embed(ids)); // [n, t', d]
        let streams = Streams { trunk, branches };
        let reading = self.language_model.reading(&streams, trunk_of);
        (streams, reading)
    }

    /// Eq. 4: the final states of whole conversations or of the continuations, and T_img2.
    ///
    /// # Shapes
    /// - `streams`: after the last layer; `projected`: `[b, l, d]`
    /// - output: `[b, t, d]` or `[n, t', d]`, and `[b, l, d]`
    pub fn finish(
        &self,
        streams: Streams,
        image_start: usize,
        projected: &Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        let Streams { trunk, branches } = streams.map(|x| self.language_model.finish(x));
        let language_tokens = language_tokens(&trunk, projected, image_start); // [b, l, d]
        (branches.unwrap_or(trunk), language_tokens)
    }

    /// Reads one image and the prompt up to and including `</img>`.
    ///
    /// # Shapes
    /// - `pixels`: `[1, 3, h, w]`, `prefix_ids`: `[1, t]`
    pub fn encode_prefix(
        &self,
        pixels: Tensor<4>,
        prefix_ids: Tensor<2, Int>,
        image_start: usize,
    ) -> PrefixState {
        let image_tokens = self.vision.forward(pixels.cast(self.dtype())); // [1, p, c]
        self.encode_tokens(image_tokens, prefix_ids, image_start)
    }

    /// The part of [`encode_prefix`](Self::encode_prefix) after the vision encoder.
    ///
    /// # Shapes
    /// - `image_tokens`: T_img1 `[1, p, c]`, `prefix_ids`: `[1, t]`
    pub fn encode_tokens(
        &self,
        image_tokens: Tensor<3>,
        prefix_ids: Tensor<2, Int>,
        image_start: usize,
    ) -> PrefixState {
        let [_, length] = prefix_ids.dims();
        let projected = self.projector.forward(image_tokens.clone()); // [1, l, d]
        let embeddings = self.embed_with_image(prefix_ids, projected.clone(), image_start);
        let mut cache = self.language_model.new_cache();
        let hidden = self.language_model.forward(embeddings, &mut cache, length); // [1, t, d]
        let language_tokens = language_tokens(&hidden, &projected, image_start);
        let decoder = self.mask_decoder.encode(image_tokens.clone(), language_tokens.clone());
        PrefixState { image_tokens, language_tokens, projected, cache, decoder }
    }

    /// Reads further tokens after what the cache holds, appending to it.
    ///
    /// # Shapes
    /// - `ids`: `[n, t]`, padded on the right; output: hidden states `[n, t, d]`
    pub fn read_on(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<3> {
        let [_, length] = ids.dims();
        let total = cache.len() + length;
        self.language_model.forward(self.language_model.embed(ids), cache, total)
    }

    /// Token embeddings with the image's tokens written over the `<IMG_CONTEXT>` positions.
    fn embed_with_image(
        &self,
        ids: Tensor<2, Int>,
        projected: Tensor<3>,
        image_start: usize,
    ) -> Tensor<3> {
        let [_, length] = ids.dims();
        let [_, image_length, _] = projected.dims();
        let image_end = image_start + image_length;
        let text = self.language_model.embed(ids); // [b, t, d]
        let before = text.clone().narrow(1, 0, image_start);
        let after = text.narrow(1, image_end, length - image_end);
        Tensor::cat(vec![before, projected, after], 1)
    }
}

/// T_img2: the states one position before each image token, so that the first belongs to `<img>`.
fn language_tokens(hidden: &Tensor<3>, projected: &Tensor<3>, image_start: usize) -> Tensor<3> {
    let [_, image_length, _] = projected.dims();
    hidden.clone().narrow(1, image_start - 1, image_length)
}

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
    fn reading_in_two_parts_equals_one_pass() {
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

        let output = model.forward(Conversations {
            pixels: pixels.clone(),
            input_ids: token_tensor(&[&all], 0, &device),
            image_start: 5,
            seg_positions: vec![(0, seg)],
        });
        let state = model.encode_prefix(pixels, token_tensor(&[&prefix], 0, &device), 5);
        // Two continuations at once, the first the conversation above, the second shorter.
        let ids = token_tensor(&[&rest[..4], &rest[..2]], 0, &device);
        let hidden = model.read_on(ids, &mut state.cache.expand(2));
        let seg_token = hidden.narrow(0, 0, 1).narrow(1, 3, 1); // [1, 1, d]
        let short = model.mask_decoder.segment(&state.decoder, seg_token).into_data();
        let plain = output.masks.expect("one [SEG]").into_data();
        short.assert_approx_eq::<f32>(&plain, Tolerance::absolute(1e-5));
    }
}
