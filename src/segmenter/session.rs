//! One encoded image and the expressions asked of it.

use burn::tensor::{DType, Tensor};
use image::RgbImage;
use mllmseg_data::prompt::{
    TokenizedPrompt, check_expression, evaluation_answer, evaluation_question,
};
use mllmseg_model::mllmseg::{PrefixState, SegToken, Segmented, token_tensor};

use super::{MaskPrediction, SegmentError, Segmenter};

/// Expressions computed together: the decoder's maps of one take about 40 MB.
const BATCH: usize = 8;

/// An image that has been encoded, ready for any number of expressions.
#[derive(Debug)]
pub struct ImageSession<'a> {
    pub(super) segmenter: &'a Segmenter,
    pub(super) state: PrefixState,
    /// `[1, 3, size, size]`, for the plain path.
    pixels: Tensor<4>,
    /// Height and width of the image.
    pub(super) image_size: (usize, usize),
}

/// Probabilities at the model's resolution and the reject decision, for one `[SEG]`.
pub(super) struct Answer {
    pub(super) probabilities: Vec<f32>,
    pub(super) rejected: bool,
}

impl Segmenter {
    /// Does everything that no expression changes: vision, the prompt up to `</img>`, the fusion
    /// of details and semantics, and half of the decoder's second layer.
    pub fn encode(&self, image: &RgbImage) -> Result<ImageSession<'_>, SegmentError> {
        ImageSession::new(self, image)
    }
}

impl<'a> ImageSession<'a> {
    pub(super) fn new(segmenter: &'a Segmenter, image: &RgbImage) -> Result<Self, SegmentError> {
        // The ids up to `</img>` are the same for every question.
        let prompt = segmenter.tokenize(&evaluation_question(&["it"]), None)?;
        let (prefix, _) = prompt.split();
        let pixels = segmenter.pixels(image);
        let prefix_ids = token_tensor(&[prefix], 0, &segmenter.device.device);
        let image_start = prompt.image_range.start;
        let model = &segmenter.model;
        let image_tokens = model.encode_image(pixels.clone());
        let state = model.encode_prefix(image_tokens, prefix_ids, image_start);
        let image_size = (image.height() as usize, image.width() as usize);
        Ok(Self { segmenter, state, pixels, image_size })
    }

    /// The mask of one expression, by the published evaluation prompt and its forced answer.
    pub fn segment(&self, expression: &str) -> Result<MaskPrediction, SegmentError> {
        let mut all = self.segment_all(&[expression])?;
        Ok(all.remove(0))
    }

    /// The masks of several expressions, each asked on its own and computed in batches.
    pub fn segment_all(&self, expressions: &[&str]) -> Result<Vec<MaskPrediction>, SegmentError> {
        let prompts = expressions
            .iter()
            .map(|expression| self.evaluation_prompt(&[expression]))
            .collect::<Result<Vec<_>, _>>()?;
        let mut answers = Vec::with_capacity(prompts.len());
        for batch in prompts.chunks(BATCH) {
            answers.extend(self.answer(batch, expressions)?);
        }
        self.predictions(expressions, answers)
    }

    /// The masks of several expressions asked together in one question, as the published
    /// evaluation does for the expressions of one image. Later expressions see earlier ones, so
    /// the masks differ slightly from [`segment_all`](Self::segment_all)'s.
    pub fn segment_together(
        &self,
        expressions: &[&str],
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        if expressions.is_empty() {
            return Ok(Vec::new());
        }
        let prompt = self.evaluation_prompt(expressions)?;
        let answers = self.answer(&[prompt], expressions)?;
        self.predictions(expressions, answers)
    }

    /// The decoder's maps and tokens of this image.
    pub fn state(&self) -> &PrefixState {
        &self.state
    }

    fn evaluation_prompt(&self, expressions: &[&str]) -> Result<TokenizedPrompt, SegmentError> {
        for expression in expressions {
            check_expression(&self.segmenter.tokenizer, expression)?;
        }
        let question = evaluation_question(expressions);
        let answer = evaluation_answer(expressions, &vec![false; expressions.len()]);
        self.segmenter.tokenize(&question, Some(&answer))
    }

    fn predictions(
        &self,
        expressions: &[&str],
        answers: Vec<Answer>,
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        let predictions = expressions
            .iter()
            .zip(answers)
            .map(|(expression, answer)| self.prediction(expression.to_string(), answer));
        predictions.collect()
    }

    pub(super) fn prediction(
        &self,
        expression: String,
        answer: Answer,
    ) -> Result<MaskPrediction, SegmentError> {
        let size = self.segmenter.config.mask_size();
        let Answer { probabilities, rejected } = answer;
        Ok(MaskPrediction::new(expression, probabilities, size, rejected, self.image_size)?)
    }

    /// Probabilities for every `[SEG]` of some forced answers, prompt by prompt.
    fn answer(
        &self,
        prompts: &[TokenizedPrompt],
        expressions: &[&str],
    ) -> Result<Vec<Answer>, SegmentError> {
        let longest = prompts.iter().map(|prompt| prompt.input_ids.len()).max().unwrap_or(0);
        let rope = self.segmenter.model.language_model.rope();
        if !rope.depends_on_length(longest) {
            return self.collect(self.segment_by_prefix(prompts), expressions);
        }
        // Here the prefix depends on the length of the whole conversation: the plain path.
        let mut answers = Vec::new();
        for prompt in prompts {
            let output = self.segmenter.forward_plain(self.pixels.clone(), prompt);
            if let Some(segmented) = output.segmented {
                answers.extend(self.collect(segmented, expressions)?);
            }
        }
        Ok(answers)
    }

    /// The short path: only what follows `</img>`, up to the token before the last `[SEG]`.
    fn segment_by_prefix(&self, prompts: &[TokenizedPrompt]) -> Segmented {
        let Segmenter { model, special, device, .. } = self.segmenter;
        let start = self.state.cache.len();
        let (mut continuations, mut segs) = (Vec::new(), Vec::new());
        for (row, prompt) in prompts.iter().enumerate() {
            let positions = prompt.answer_positions(special.seg);
            segs.extend(positions.map(|position| SegToken { row, position, image: 0 }));
            let end = segs.last().map_or(prompt.input_ids.len(), |seg| seg.position);
            continuations.push(&prompt.input_ids[start..end]);
        }
        let ids = token_tensor(&continuations, 0, &device.device); // [n, t]
        let hidden = model.forward_cached(ids, &mut self.state.cache.expand(prompts.len())); // [n, t, d]
        model.segment(&self.state.decoder, &hidden, start, &segs)
    }

    /// Reads probabilities and reject decisions back from the device.
    pub(super) fn collect(
        &self,
        segmented: Segmented,
        expressions: &[&str],
    ) -> Result<Vec<Answer>, SegmentError> {
        let Segmented { seg_tokens, masks, .. } = segmented;
        let rejected = self.rejections(seg_tokens)?;
        let [_, height, width] = masks.dims();
        let values = self.read(masks.cast(DType::F32).reshape([-1]))?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(SegmentError::NotFinite {
                device: self.segmenter.device.id.clone(),
                dtype: format!("{:?}", self.segmenter.model.dtype()),
                expression: expressions.join(", "),
            });
        }
        let maps = values.chunks(height * width).map(<[f32]>::to_vec);
        let answers = maps.zip(rejected);
        Ok(answers.map(|(probabilities, rejected)| Answer { probabilities, rejected }).collect())
    }

    /// Whether the arg-max at the position that predicts `[SEG]` or `[REJ]` is `[REJ]`.
    fn rejections(&self, seg_tokens: Tensor<3>) -> Result<Vec<bool>, SegmentError> {
        let best = self.segmenter.model.language_model.predicted_ids(seg_tokens); // [n]
        let best = best.try_into_data().map_err(|error| self.read_back(error))?;
        Ok(best.iter::<i64>().map(|id| id == self.segmenter.special.rej as i64).collect())
    }

    pub(super) fn read(&self, x: Tensor<1>) -> Result<Vec<f32>, SegmentError> {
        let data = x.try_into_data().map_err(|error| self.read_back(error))?;
        Ok(data.iter::<f32>().collect())
    }

    pub(super) fn read_back(&self, error: impl std::fmt::Debug) -> SegmentError {
        let device = self.segmenter.device.id.clone();
        SegmentError::ReadBack { device, message: format!("{error:?}") }
    }
}
