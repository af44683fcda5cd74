//! Free generation: the model answers in its own words, and every `[SEG]` becomes a mask.

use burn::tensor::{Tensor, read_sync};
use mllmseg_data::prompt::{check_expression, evaluation_question};
use mllmseg_model::mllmseg::{SegToken, token_tensor};

use super::{ImageSession, MaskPrediction, SegmentError, Segmenter};

/// Longest answer in tokens.
const MAX_NEW_TOKENS: usize = 512;

/// A generated answer.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The answer, `[SEG]` and `[REJ]` included, without the end of its turn.
    pub text: String,
    /// Its token ids.
    pub ids: Vec<u32>,
    /// The mask of every `[SEG]` and `[REJ]`, in order; rejected, and then empty, for a `[REJ]`. Its
    /// expression is what stands between it and the last, such as `Sure, the umbrella:`.
    pub predictions: Vec<MaskPrediction>,
    /// Whether the answer was cut at the longest length.
    pub truncated: bool,
}

impl ImageSession<'_> {
    /// Asks the published question about some expressions and lets the model answer freely, by
    /// arg-max, until the end of its turn.
    pub fn generate(&self, expressions: &[&str]) -> Result<Generated, SegmentError> {
        for expression in expressions {
            check_expression(&self.segmenter.tokenizer, expression)?;
        }
        self.generate_answer(&evaluation_question(expressions))
    }

    /// Asks any question; `<image>` stands where the image goes, once.
    pub fn generate_answer(&self, question: &str) -> Result<Generated, SegmentError> {
        read_sync(self.generate_answer_async(question))
    }

    /// As [`generate_answer`](Self::generate_answer). A GPU of a browser can only be read from so.
    pub async fn generate_answer_async(&self, question: &str) -> Result<Generated, SegmentError> {
        let segmenter = self.segmenter;
        let special = &segmenter.special;
        let prompt = segmenter.tokenize(question, None)?;
        let (_, mut input) = prompt.split();
        let end = segmenter.tokenizer.token_id(segmenter.template.end_token());
        let (mut cache, mut answer) = (self.state.cache.clone(), Vec::new());
        let mut states = Vec::new();
        let mut last;
        let mut truncated = true;
        while answer.len() < MAX_NEW_TOKENS {
            let ids = token_tensor(&[input], 0, &segmenter.device.device);
            let hidden = segmenter.model.forward_cached(ids, &mut cache); // [1, t, d]
            let state = hidden.clone().narrow(1, input.len() - 1, 1); // [1, 1, d]
            states.push(hidden);
            let best = segmenter.model.language_model.predicted_ids(state); // [1]
            let id = self.read_ids(best).await?.first().copied().unwrap_or_default();
            if Some(id) == end || Some(id) == special.eos {
                truncated = false;
                break;
            }
            answer.push(id);
            last = [id];
            input = &last;
        }
        let predictions = self.masks(prompt.input_ids.len(), &answer, states).await?;
        let text = segmenter.tokenizer.decode(&answer, false)?;
        Ok(Generated { text, ids: answer, predictions, truncated })
    }

    /// The masks of an answer that starts at position `start`, given the states of all positions
    /// after `</img>`.
    async fn masks(
        &self,
        start: usize,
        answer: &[u32],
        states: Vec<Tensor<3>>,
    ) -> Result<Vec<MaskPrediction>, SegmentError> {
        let Segmenter { model, special, tokenizer, .. } = self.segmenter;
        let is_mark = |&(_, &id): &(usize, &u32)| id == special.seg || id == special.rej;
        let marks: Vec<_> = answer.iter().enumerate().filter(is_mark).collect();
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let segs = marks.iter().map(|(i, _)| SegToken { row: 0, position: start + i, image: 0 });
        let segs: Vec<_> = segs.collect();
        let hidden = Tensor::cat(states, 1); // [1, t, d]
        let segmented =
            model.segment(&self.state.decoder, &hidden, self.state.cache.length(), &segs);
        let mut next = 0;
        let words = marks.iter().map(|&(position, _)| {
            let words = tokenizer.decode(&answer[next..position], true)?.trim().to_string();
            next = position + 1;
            Ok::<_, SegmentError>(words)
        });
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let rejected = marks.iter().map(|&(_, &id)| id == special.rej).collect();
        self.predictions(segmented.masks, &words, rejected).await
    }
}
