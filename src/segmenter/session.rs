//! One encoded image, and masks for expressions on it.

use burn::tensor::{DType, Int, Tensor, read_sync};
use image::RgbImage;
use mllmseg_data::prompt::{
    TokenizedPrompt, check_expression, evaluation_answer, evaluation_question,
};
use mllmseg_model::mllmseg::{PrefixState, SegToken, Segmented, token_tensor};

use super::{MaskPrediction, SegmentError, Segmenter};

/// Expressions computed together: the decoder's maps of one take about 40 MB.
const BATCH: usize = 8;

/// An image that has been encoded, ready for any number of expressions.
///
/// ```
/// use mllmseg::{Segmenter, device, tiny};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segmenter = Segmenter::load(tiny::folder()?, &device::cpu())?;
/// let image = mllmseg::data::image::read_image("examples/scene.png")?;
/// let session = segmenter.encode(&image)?; // once per image
/// let found = session.segment_all(&["the red star", "the blue circle"])?;
/// assert_eq!((found[0].rejected, found[1].rejected), (false, true)); // there is no blue circle
/// assert_eq!(found[0].mask.size(), [image.height() as usize, image.width() as usize]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ImageSession<'a> {
    pub(super) segmenter: &'a Segmenter,
    pub(super) state: PrefixState,
    /// `[1, 3, size, size]`, for the plain path.
    pixels: Tensor<4>,
    /// Height and width of the image.
    pub(super) image_size: (usize, usize),
}

impl Segmenter {
    /// Computes everything that does not depend on the expression: vision, the prompt up to `</img>`,
    /// the fusion of details and semantics, and half of the decoder's second layer.
    pub fn encode(&self, image: &RgbImage) -> Result<ImageSession<'_>, SegmentError> {
        self.encode_in_stages(image, |_| {})
    }

    /// As [`encode`](Self::encode), and calls `stage` with the name of each part of the model before it
    /// computes.
    pub fn encode_in_stages(
        &self,
        image: &RgbImage,
        stage: impl FnMut(&'static str),
    ) -> Result<ImageSession<'_>, SegmentError> {
        ImageSession::new(self, image, stage)
    }
}

impl<'a> ImageSession<'a> {
    fn new(
        segmenter: &'a Segmenter,
        image: &RgbImage,
        mut stage: impl FnMut(&'static str),
    ) -> Result<Self, SegmentError> {
        // The ids up to `</img>` are the same for every question.
        let prompt = segmenter.tokenize(&evaluation_question(&["it"]), None)?;
        let (prefix, _) = prompt.split();
        let pixels = segmenter.pixels(image);
        let prefix_ids = token_tensor(&[prefix], 0, &segmenter.device.device);
        let image_start = prompt.image_range.start;
        let model = &segmenter.model;
        stage("vision encoder");
        let image_tokens = model.encode_image(pixels.clone());
        stage("language model");
        let state = model.encode_prefix(image_tokens, prefix_ids, image_start);
        let image_size = (image.height() as usize, image.width() as usize);
        Ok(Self { segmenter, state, pixels, image_size })
    }

    /// Height and width of the image.
    pub fn image_size(&self) -> (usize, usize) {
        self.image_size
    }

    /// Bytes of everything that is kept.
    pub fn bytes(&self) -> u64 {
        let size = |x: &Tensor<3>| (x.shape().num_elements() * x.dtype().size()) as u64;
        let PrefixState { image_tokens, projected, hidden, cache, language_tokens, decoder } =
            &self.state;
        let maps = [image_tokens, projected, hidden, language_tokens, &decoder.attended];
        let fusion = &decoder.fusion;
        let fused = [fusion.t_vl.as_ref(), fusion.t_img4.as_ref(), Some(&fusion.fused)];
        let maps = maps.into_iter().chain(fused.into_iter().flatten()).map(size).sum::<u64>();
        maps + cache.bytes()
            + (self.pixels.shape().num_elements() * self.pixels.dtype().size()) as u64
    }

    /// The mask of one expression, by the published evaluation prompt and its forced answer.
    pub fn segment(&self, expression: &str) -> Result<MaskPrediction, SegmentError> {
        let mut all = self.segment_all(&[expression])?;
        Ok(all.remove(0))
    }

    /// The masks of several expressions, each in its own conversation, computed in batches.
    pub fn segment_all(&self, expressions: &[&str]) -> Result<Vec<MaskPrediction>, SegmentError> {
        read_sync(self.segment_all_async(expressions))
    }

    /// As [`segment_all`](Self::segment_all). A GPU of a browser can only be read from so.
    pub async fn segment_all_async(
        &self,
        expressions: &[&str],
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        let prompts = expressions.iter().map(|expression| self.evaluation_prompt(&[expression]));
        let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
        let mut predictions = Vec::with_capacity(prompts.len());
        for (prompts, expressions) in prompts.chunks(BATCH).zip(expressions.chunks(BATCH)) {
            predictions.extend(self.answer(prompts, expressions).await?);
        }
        Ok(predictions)
    }

    /// The masks of several expressions in one joint question, as the published
    /// evaluation does for the expressions of one image. Later expressions see earlier ones, so
    /// the masks differ slightly from [`segment_all`](Self::segment_all)'s.
    pub fn segment_together(
        &self,
        expressions: &[&str],
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        match expressions {
            [] => Ok(Vec::new()),
            _ => read_sync(self.answer(&[self.evaluation_prompt(expressions)?], expressions)),
        }
    }

    fn evaluation_prompt(&self, expressions: &[&str]) -> Result<TokenizedPrompt, SegmentError> {
        for expression in expressions {
            check_expression(&self.segmenter.tokenizer, expression)?;
        }
        let question = evaluation_question(expressions);
        let answer = evaluation_answer(expressions, &vec![false; expressions.len()]);
        self.segmenter.tokenize(&question, Some(&answer))
    }

    /// The mask of every `[SEG]` of some forced answers, prompt by prompt; `expressions` has one for
    /// each.
    async fn answer(
        &self,
        prompts: &[TokenizedPrompt],
        expressions: &[&str],
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        let longest = prompts.iter().map(|prompt| prompt.input_ids.len()).max().unwrap_or(0);
        let segmented = match self.segmenter.config.language.rope_depends_on_length(longest) {
            false => vec![self.segment_by_prefix(prompts)],
            // Here the prefix depends on the length of the whole conversation: the plain path.
            true => {
                let plain = |prompt| self.segmenter.forward_plain(self.pixels.clone(), prompt).1;
                prompts.iter().filter_map(plain).collect()
            }
        };
        let mut predictions = Vec::new();
        for Segmented { masks, seg_tokens, .. } in segmented {
            let rejected = self.rejections(seg_tokens).await?;
            let expressions = &expressions[predictions.len()..];
            predictions.extend(self.predictions(masks, expressions, rejected).await?);
        }
        Ok(predictions)
    }

    /// The short path: only what follows `</img>`, up to the token before the last `[SEG]`.
    fn segment_by_prefix(&self, prompts: &[TokenizedPrompt]) -> Segmented {
        let Segmenter { model, special, device, .. } = self.segmenter;
        let start = self.state.cache.length();
        let (mut continuations, mut segs) = (Vec::new(), Vec::new());
        for (row, prompt) in prompts.iter().enumerate() {
            let positions = prompt.answer_positions(special.seg);
            let end = positions.clone().last().unwrap_or(prompt.input_ids.len());
            segs.extend(positions.map(|position| SegToken { row, position, image: 0 }));
            continuations.push(&prompt.input_ids[start..end]);
        }
        let ids = token_tensor(&continuations, 0, &device.device); // [n, t]
        model.segment_continuations(&self.state, ids, &segs)
    }

    /// Reads masks back from the device, one for each of `rejected`; the first of `expressions` name them.
    ///
    /// # Shapes
    /// - `masks`: `[n, size, size]`
    pub(super) async fn predictions(
        &self,
        masks: Tensor<3>,
        expressions: &[impl AsRef<str>],
        rejected: Vec<bool>,
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        let asked = expressions.iter().map(|expression| expression.as_ref());
        let [_, height, width] = masks.dims();
        let names = || asked.clone().take(rejected.len()).collect::<Vec<_>>().join(", ");
        let values = self.read_finite(masks.cast(DType::F32).reshape([-1]), names).await?;
        let maps = values.chunks(height * width).map(<[f32]>::to_vec);
        let predictions =
            asked.clone().zip(maps).zip(&rejected).map(|((expression, map), &rejected)| {
                let expression = expression.to_string();
                let (to, threshold) = (self.image_size, self.segmenter.threshold);
                Ok(MaskPrediction::new(expression, map, width, rejected, to, threshold)?)
            });
        predictions.collect()
    }

    // ANCHOR: rejections
    /// Whether the arg-max at the position that predicts `[SEG]` or `[REJ]` is `[REJ]`.
    async fn rejections(&self, seg_tokens: Tensor<3>) -> Result<Vec<bool>, SegmentError> {
        let best = self.segmenter.model.language_model.predicted_ids(seg_tokens); // [n]
        let best = self.read_ids(best).await?;
        Ok(best.into_iter().map(|id| id == self.segmenter.special.rej).collect())
    }
    // ANCHOR_END: rejections

    /// Reads token ids back from the device.
    pub(super) async fn read_ids(&self, ids: Tensor<1, Int>) -> Result<Vec<u32>, SegmentError> {
        let ids = ids.into_data_async().await.map_err(|error| self.segmenter.read_back(error))?;
        Ok(ids.iter::<i64>().map(|id| id as u32).collect())
    }

    /// Reads f32 values back from the device; `asked` names them where one is not finite.
    pub(super) async fn read_finite(
        &self,
        x: Tensor<1>,
        asked: impl FnOnce() -> String,
    ) -> Result<Vec<f32>, SegmentError> {
        let data = x.into_data_async().await.map_err(|error| self.segmenter.read_back(error))?;
        let values: Vec<f32> = data.iter().collect();
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => {
                let Segmenter { device, model, .. } = self.segmenter;
                Err(SegmentError::NotFinite(device.id.clone(), asked(), model.dtype().name()))
            }
        }
    }
}
