//! One encoded image and the expressions asked of it.

use burn::tensor::{DType, Tensor};
use image::RgbImage;
use mllmseg_data::prompt::{
    TokenizedPrompt, check_expression, evaluation_answer, evaluation_question,
};
use mllmseg_model::mllmseg::{PrefixState, token_tensor};

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
    /// Height and width of the picture.
    pub(super) picture: (usize, usize),
}

/// Probabilities at the model's resolution and the reject decision, for one `[SEG]`.
pub(super) struct Answer {
    pub(super) probabilities: Vec<f32>,
    pub(super) rejected: bool,
}

impl<'a> ImageSession<'a> {
    pub(super) fn new(segmenter: &'a Segmenter, image: &RgbImage) -> Result<Self, SegmentError> {
        // Any question will do: the ids up to `</img>` are the same for all.
        let prompt = segmenter.tokenize(&evaluation_question(&["it"]), None)?;
        let (prefix, _) = prompt.split();
        let pixels = segmenter.pixels(image);
        let prefix_ids = token_tensor(&[prefix], 0, &segmenter.device.device);
        let image_start = prompt.image_range.start;
        let state = segmenter.model.encode_prefix(pixels.clone(), prefix_ids, image_start);
        let picture = (image.height() as usize, image.width() as usize);
        Ok(Self { segmenter, state, pixels, picture })
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
        Ok(MaskPrediction::new(expression, probabilities, size, rejected, self.picture)?)
    }

    /// Probabilities for every `[SEG]` of some forced answers, prompt by prompt.
    fn answer(
        &self,
        prompts: &[TokenizedPrompt],
        expressions: &[&str],
    ) -> Result<Vec<Answer>, SegmentError> {
        let longest = prompts.iter().map(|prompt| prompt.input_ids.len()).max().unwrap_or(0);
        let rope = self.segmenter.model.language_model.rope();
        let (seg_tokens, masks) = if rope.depends_on_length(longest) {
            self.answer_by_plain_path(prompts)
        } else {
            self.answer_by_prefix(prompts)
        };
        self.collect(seg_tokens, masks, expressions)
    }

    /// The short path: only what follows `</img>`, and only up to the last `[SEG]`, whose mask comes
    /// from the state before it.
    ///
    /// # Shapes
    /// - output: T_seg `[n, 1, d]` and probabilities `[n, size, size]`
    fn answer_by_prefix(&self, prompts: &[TokenizedPrompt]) -> (Tensor<3>, Tensor<3>) {
        let model = &self.segmenter.model;
        let mut rests = Vec::new();
        let mut positions = Vec::new();
        for (row, prompt) in prompts.iter().enumerate() {
            let prefix = prompt.prefix_len();
            let segs: Vec<_> = self.segmenter.seg_positions(prompt).collect();
            let end = segs.last().copied().unwrap_or(prompt.input_ids.len());
            rests.push(&prompt.input_ids[prefix..end]);
            positions.extend(segs.into_iter().map(|position| (row, position - 1 - prefix)));
        }
        let ids = token_tensor(&rests, 0, &self.segmenter.device.device);
        let hidden = model.read_on(ids, &mut self.state.cache.expand(prompts.len())); // [rows, t, d]
        let states = positions
            .into_iter()
            .map(|(row, position)| hidden.clone().narrow(0, row, 1).narrow(1, position, 1));
        let seg_tokens = Tensor::cat(states.collect(), 0); // [n, 1, d]
        let masks = model.mask_decoder.segment(&self.state.decoder, seg_tokens.clone());
        (seg_tokens, masks)
    }

    /// The plain path, for models whose rotary embedding makes the prefix depend on the length of
    /// the whole conversation.
    fn answer_by_plain_path(&self, prompts: &[TokenizedPrompt]) -> (Tensor<3>, Tensor<3>) {
        let (mut seg_tokens, mut masks) = (Vec::new(), Vec::new());
        for prompt in prompts {
            let output = self.segmenter.forward_plain(self.pixels.clone(), prompt);
            for position in self.segmenter.seg_positions(prompt) {
                seg_tokens.push(output.last_hidden_state.clone().narrow(1, position - 1, 1));
            }
            masks.extend(output.masks);
        }
        (Tensor::cat(seg_tokens, 0), Tensor::cat(masks, 0))
    }

    /// Reads probabilities and reject decisions back from the device.
    pub(super) fn collect(
        &self,
        seg_tokens: Tensor<3>,
        masks: Tensor<3>,
        expressions: &[&str],
    ) -> Result<Vec<Answer>, SegmentError> {
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
        let logits = self.segmenter.model.language_model.logits(seg_tokens); // [n, 1, v]
        let best = logits.argmax(2).reshape([-1]); // [n]
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
