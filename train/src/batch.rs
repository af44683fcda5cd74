//! The input of one training step.

use burn::tensor::{DType, Device, Tensor, TensorData};
use mllmseg_data::mask::Bitmap;
use mllmseg_data::prompt::{NO_LOSS, TokenizedPrompt};

/// A conversation about one image, and its true masks.
#[derive(Debug, Clone)]
pub struct TrainExample {
    /// Token ids, `[T]`.
    pub input_ids: Vec<u32>,
    /// For each position its id where it has a loss and [`NO_LOSS`] elsewhere,
    /// `[T]`, not shifted.
    pub labels: Vec<i64>,
    /// Position of the first `<IMG_CONTEXT>`.
    pub image_start: usize,
    /// The true mask of every expression in the order of the answer; `None` for an expression
    /// without a target, whose answer is `[REJ]`.
    pub masks: Vec<Option<Bitmap>>,
}

/// Examples of one forward and backward pass.
#[derive(Debug, Clone)]
pub struct TrainBatch {
    /// Normalised pixels `[b, 3, h, w]`, on the device of the model.
    pub pixels: Tensor<4>,
    /// The examples, one or more for each row of `pixels`, in the order of the rows.
    pub examples: Vec<TrainExample>,
    /// For each example, its row of `pixels`.
    pub image_of: Vec<usize>,
}

/// A [`TrainBatch`] that is on no device yet.
#[derive(Debug, Clone)]
pub struct HostBatch {
    /// Normalised pixels in f32, `[b, 3, h, w]`.
    pub pixels: TensorData,
    /// As in [`TrainBatch`].
    pub examples: Vec<TrainExample>,
    /// As in [`TrainBatch`].
    pub image_of: Vec<usize>,
}

/// The counts over which losses are averaged. A step divides by the counts of all its batches on all
/// devices, so how it is cut into batches changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LossCounts {
    /// Tokens of answers.
    pub tokens: usize,
    /// Expressions, rejected ones included.
    pub expressions: usize,
}

impl TrainExample {
    /// An example of a tokenized conversation.
    pub fn new(prompt: TokenizedPrompt, masks: Vec<Option<Bitmap>>) -> Self {
        Self {
            image_start: prompt.image_range.start,
            input_ids: prompt.input_ids,
            labels: prompt.labels,
            masks,
        }
    }

    /// Positions whose output has a loss, each with the id that follows it: the state at `t`
    /// predicts the token at `t + 1`.
    pub fn predictions(&self) -> impl Iterator<Item = (usize, i64)> {
        let next = self.labels.iter().copied().skip(1).enumerate();
        next.filter(|&(_, label)| label != NO_LOSS)
    }

    /// Positions of the `[SEG]` of the answer.
    pub fn seg_positions(&self, seg_token: u32) -> impl Iterator<Item = usize> {
        let predictions = self.predictions();
        predictions
            .filter(move |&(_, label)| label == i64::from(seg_token))
            .map(|(position, _)| position + 1)
    }
}

impl TrainBatch {
    /// One example for each row of `pixels`.
    pub fn new(pixels: Tensor<4>, examples: Vec<TrainExample>) -> Self {
        let image_of = (0..examples.len()).collect();
        Self { pixels, examples, image_of }
    }

    /// Whether some image has several examples, which are then continuations of one prefix.
    pub fn shares_images(&self) -> bool {
        self.image_of.iter().enumerate().any(|(example, &row)| example != row)
    }
}

impl HostBatch {
    /// Copies the pixels to a device.
    pub fn to_device(&self, device: &Device) -> TrainBatch {
        TrainBatch {
            pixels: Tensor::from_data(self.pixels.clone(), (device, DType::F32)),
            examples: self.examples.clone(),
            image_of: self.image_of.clone(),
        }
    }
}

impl LossCounts {
    /// Counts examples.
    pub fn of<'a>(examples: impl IntoIterator<Item = &'a TrainExample>) -> Self {
        examples.into_iter().fold(Self::default(), |counts, example| Self {
            tokens: counts.tokens + example.predictions().count(),
            expressions: counts.expressions + example.masks.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_predicts_the_next_token() {
        let example = TrainExample {
            input_ids: vec![9, 7, 8, 7, 5],
            labels: vec![NO_LOSS, NO_LOSS, NO_LOSS, 7, 5],
            image_start: 0,
            masks: Vec::new(),
        };
        let predictions: Vec<_> = example.predictions().collect();
        assert_eq!(predictions, [(2, 7), (3, 5)]);
        // The 7 of the question, at position 1, has no mask.
        assert_eq!(example.seg_positions(7).collect::<Vec<_>>(), [3]);
    }
}
