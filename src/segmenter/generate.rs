//! Free generation: the model answers in its own words, and every `[SEG]` it says becomes a mask.

use burn::tensor::Tensor;
use mllmseg_data::prompt::{check_expression, evaluation_question};
use mllmseg_model::mllmseg::token_tensor;

use super::session::Answer;
use super::{ImageSession, MaskPrediction, SegmentError};

/// Longest answer in tokens.
const MAX_NEW_TOKENS: usize = 512;

/// What the model said.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The answer, `[SEG]` and `[REJ]` included, without the end of its turn.
    pub text: String,
    /// Every `[SEG]` and `[REJ]`, in order.
    pub marks: Vec<Mark>,
    /// Whether the answer was cut at the longest length.
    pub truncated: bool,
}

/// One `[SEG]` or `[REJ]` of an answer.
#[derive(Debug, Clone)]
pub struct Mark {
    /// The words since the last mark, such as `Sure, the umbrella:`.
    pub words: String,
    /// The mask; rejected, and then empty, for a `[REJ]`.
    pub prediction: MaskPrediction,
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

    /// Asks any question; `<image>` stands where the picture goes, once.
    pub fn generate_answer(&self, question: &str) -> Result<Generated, SegmentError> {
        let segmenter = self.segmenter;
        let special = &segmenter.special;
        let prompt = segmenter.tokenize(question, None)?;
        let (_, mut unread) = prompt.split();
        let end = segmenter.tokenizer.token_id(segmenter.template.end_token());
        let (mut cache, mut answer) = (self.state.cache.clone(), Vec::new());
        let (mut states, mut mark_positions) = (Vec::new(), Vec::new());
        let mut last;
        let mut truncated = true;
        while answer.len() < MAX_NEW_TOKENS {
            let ids = token_tensor(&[unread], 0, &segmenter.device.device);
            let hidden = segmenter.model.read_on(ids, &mut cache); // [1, t, d]
            let state = hidden.narrow(1, unread.len() - 1, 1); // [1, 1, d]
            let best = segmenter.model.language_model.logits(state.clone()).argmax(2); // [1, 1, 1]
            let best = best.try_into_data().map_err(|error| self.read_back(error))?;
            let id = best.iter::<i64>().next().unwrap_or_default() as u32;
            if Some(id) == end || Some(id) == special.eos {
                truncated = false;
                break;
            }
            if id == special.seg || id == special.rej {
                states.push(state);
                mark_positions.push(answer.len());
            }
            answer.push(id);
            last = [id];
            unread = &last;
        }
        let marks = self.marks(&answer, states, mark_positions)?;
        let text = segmenter.tokenizer.decode(&answer, false)?;
        Ok(Generated { text, marks, truncated })
    }

    fn marks(
        &self,
        answer: &[u32],
        states: Vec<Tensor<3>>,
        positions: Vec<usize>,
    ) -> Result<Vec<Mark>, SegmentError> {
        if states.is_empty() {
            return Ok(Vec::new());
        }
        let seg_tokens = Tensor::cat(states, 0); // [n, 1, d]
        let decoder = &self.segmenter.model.mask_decoder;
        let masks = decoder.segment(&self.state.decoder, seg_tokens.clone());
        let answers = self.collect(seg_tokens, masks, &["a generated answer"])?;
        let mut start = 0;
        let marks = positions.into_iter().zip(answers).map(|(position, answer_of_mark)| {
            let words = self.segmenter.tokenizer.decode(&answer[start..position], true)?;
            start = position + 1;
            let rejected = answer[position] == self.segmenter.special.rej;
            let answer_of_mark = Answer { rejected, ..answer_of_mark };
            let words = words.trim().to_string();
            let prediction = self.prediction(words.clone(), answer_of_mark)?;
            Ok(Mark { words, prediction })
        });
        marks.collect()
    }
}
