//! Eq. 14, the terms of the loss, and Eq. 15, their weighted sum ([`Losses::total`]).
//!
//! | term of Eq. 14 | file |
//! | --- | --- |
//! | L_text: cross-entropy of the answer | [`text`] |
//! | L_mask: BCE or focal loss, and Dice | [`mask`] |

pub mod mask;
pub mod text;

use burn::tensor::{DType, Tensor};

use crate::batch::LossCounts;
pub use mask::{MaskLoss, MaskTerms, mask_terms};
pub use text::cross_entropy;

recipe_section! {
    /// What is minimised (Eq. 14 and 15).
    #[derive(Copy)]
    pub struct LossConfig {
        /// `focal_dice`, the published code's, or `bce_dice`, the paper's.
        pub mask: MaskLoss = MaskLoss::FocalDice,
        /// Weight of the answer's cross-entropy.
        pub ce_weight: f64 = 1.0,
        /// Weight of the focal loss or BCE.
        pub pixel_weight: f64 = 1.0,
        /// Weight of Dice.
        pub dice_weight: f64 = 1.0,
    }
}

/// The terms of a batch, before weighting, each `[1]` in f32.
#[derive(Debug, Clone)]
pub struct Losses {
    /// Cross-entropy of the answers, mean over all counted tokens of the batch.
    pub ce: Tensor<1>,
    /// Masks, mean over all expressions of the batch.
    pub mask: MaskTerms,
}

/// The same as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossValues {
    /// The weighted sum, which is differentiated.
    pub total: f64,
    /// Cross-entropy of the answers.
    pub ce: f64,
    /// Focal loss or BCE of the masks.
    pub pixel: f64,
    /// Dice loss of the masks.
    pub dice: f64,
    /// Soft IoU of probabilities and true masks, in `[0, 1]`; not a loss.
    pub iou: f64,
}

impl Losses {
    /// From the means of one batch to what it contributes to the means of a whole step.
    pub fn share(self, batch: LossCounts, step: LossCounts) -> Self {
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let (tokens, expressions) =
            (share(batch.tokens, step.tokens), share(batch.expressions, step.expressions));
        let MaskTerms { pixel, dice, iou } = self.mask;
        let mask = MaskTerms {
            pixel: pixel * expressions,
            dice: dice * expressions,
            iou: iou * expressions,
        };
        Self { ce: self.ce * tokens, mask }
    }

    // ANCHOR: total
    /// Eq. 15: the weighted sum, `[1]`. The paper weights the mask loss as a whole; here each of its
    /// two terms has a weight.
    pub fn total(&self, config: LossConfig) -> Tensor<1> {
        self.ce.clone() * config.ce_weight
            + self.mask.pixel.clone() * config.pixel_weight
            + self.mask.dice.clone() * config.dice_weight
    }
    // ANCHOR_END: total

    /// Reads the values back in one go; waits for the device.
    pub fn values(&self, config: LossConfig) -> LossValues {
        let terms = [
            self.total(config),
            self.ce.clone(),
            self.mask.pixel.clone(),
            self.mask.dice.clone(),
            self.mask.iou.clone(),
        ];
        let terms = terms.map(|term| term.inner().cast(DType::F32)).to_vec();
        let values: Vec<f64> = Tensor::cat(terms, 0).into_data().iter::<f64>().collect();
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or(f64::NAN);
        LossValues { total: next(), ce: next(), pixel: next(), dice: next(), iou: next() }
    }
}

impl std::iter::Sum for LossValues {
    /// Of the contributions of several batches to one step ([`Losses::share`]).
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::default(), |a, b| Self {
            total: a.total + b.total,
            ce: a.ce + b.ce,
            pixel: a.pixel + b.pixel,
            dice: a.dice + b.dice,
            iou: a.iou + b.iou,
        })
    }
}
