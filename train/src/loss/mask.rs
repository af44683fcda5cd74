//! L_mask of Eq. 14, in the paper's form and in the published code's.
//!
//! Both compare probabilities at the size of the true mask. A rejected expression has an empty
//! prediction and an empty truth: its loss terms are 0, its soft IoU is 1, and it counts in the mean.

use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use mllmseg_data::mask::Bitmap;
use mllmseg_model::interpolation::{Kernel, resize};
use serde::{Deserialize, Serialize};
use strum::EnumString;

/// The loss beside Dice in L_mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = unknown)]
pub enum MaskLoss {
    /// The paper's: binary cross-entropy and Dice.
    BceDice,
    /// The published code's, with which the published weights were trained: focal loss and Dice.
    FocalDice,
}

impl MaskLoss {
    /// Name of the loss beside Dice.
    pub fn pixel_term(self) -> &'static str {
        match self {
            Self::BceDice => "bce",
            Self::FocalDice => "focal",
        }
    }
}

fn unknown(text: &str) -> String {
    format!("expected bce_dice or focal_dice, found {text:?}")
}

/// Weight of foreground pixels in the focal loss; background pixels have `1 - ALPHA`.
const ALPHA: f64 = 0.25;
/// Added above and below Dice's fraction, so that two empty masks agree.
const SMOOTH: f64 = 1.0;
/// Keeps the logarithms of BCE finite.
const MIN_PROBABILITY: f64 = 1e-7;
/// Makes the soft IoU of two empty masks 1.
const IOU_EPSILON: f64 = 1e-6;

/// Means over all expressions of a batch, each `[1]` in f32.
#[derive(Debug, Clone)]
pub struct MaskTerms {
    /// Focal loss or BCE, mean over the pixels of each mask.
    pub pixel: Tensor<1>,
    /// Dice loss.
    pub dice: Tensor<1>,
    /// Soft IoU `sum(p g) / sum(p + g - p g)`, without gradient.
    pub iou: Tensor<1>,
}

/// The terms of all expressions of a batch.
///
/// # Shapes
/// - `probabilities`: `[n, size, size]`, one map for each of `truths`; `None` if there are none
/// - `rejected`: the number of further expressions, without a target
///
/// All terms are 0 when there is no expression at all.
pub fn mask_terms(
    loss: MaskLoss,
    probabilities: Option<Tensor<3>>,
    truths: &[&Bitmap],
    rejected: usize,
    device: &Device,
) -> MaskTerms {
    let count = (truths.len() + rejected).max(1) as f64;
    let zero = || Tensor::<1>::zeros([1], (device, DType::F32));
    let mut terms =
        MaskTerms { pixel: zero(), dice: zero(), iou: zero().inner() + rejected as f64 };
    let mut start = 0;
    // Masks of one image have one size and are compared together.
    for truths in truths.chunk_by(|a, b| a.size() == b.size()) {
        let Some(probabilities) = &probabilities else {
            break;
        };
        let maps = probabilities.clone().narrow(0, start, truths.len());
        start += truths.len();
        let truth = truth_tensor(truths, &maps); // [k, h, w]
        let [_, height, width] = truth.dims();
        let maps = maps.cast(DType::F32).unsqueeze_dim::<4>(0); // [1, k, size, size]
        let maps = resize(maps, [height, width], Kernel::Bilinear).squeeze_dim::<3>(0); // [k, h, w]
        let pixel = match loss {
            MaskLoss::BceDice => binary_cross_entropy(maps.clone(), truth.clone()),
            MaskLoss::FocalDice => focal(maps.clone(), truth.clone()),
        };
        terms.pixel = terms.pixel + per_mask(pixel.mean_dim(2).mean_dim(1)).sum();
        terms.dice = terms.dice + dice(maps.clone(), truth.clone()).sum();
        terms.iou = terms.iou + soft_iou(maps.inner(), truth.inner()).sum();
    }
    MaskTerms { pixel: terms.pixel / count, dice: terms.dice / count, iou: terms.iou / count }
}

/// 1 in the mask and 0 outside, `[k, h, w]` on the device of `maps`.
fn truth_tensor(truths: &[&Bitmap], maps: &Tensor<3>) -> Tensor<3> {
    let [height, width] = truths.first().map_or([0, 0], |truth| truth.size());
    let pixels: Vec<bool> =
        truths.iter().flat_map(|truth| truth.pixels().iter().copied()).collect();
    let data = TensorData::new(pixels, [truths.len(), height, width]);
    Tensor::<3, Bool>::from_data(data, &maps.device()).float().cast(DType::F32)
}

// ANCHOR: bce
/// `-(g ln p + (1 - g) ln(1 - p))` for each pixel, as one logarithm: of the probability of the
/// truth, which is 1 or 0.
pub fn binary_cross_entropy(p: Tensor<3>, g: Tensor<3>) -> Tensor<3> {
    let of_truth = complement(g.clone()) + p * (g * 2.0 - 1.0); // p on the mask, 1 - p outside
    of_truth.clamp(MIN_PROBABILITY, 1.0).log().neg()
}
// ANCHOR_END: bce

// ANCHOR: focal
/// `alpha (1 - p_t)² ce` for each pixel, as the published code computes it: `p_t` is the
/// probability of the truth, but the cross-entropy takes the probability for a logit,
/// `ce = (1 - g) p + ln(1 + exp(-p))`.
pub fn focal(p: Tensor<3>, g: Tensor<3>) -> Tensor<3> {
    let background = complement(g.clone());
    let ce = background.clone() * p.clone() + p.clone().neg().exp().log1p();
    // 1 - p_t = p outside the mask and 1 - p inside.
    let miss = background.clone() * p.clone() + g.clone() * complement(p);
    let alpha = g * ALPHA + background * (1.0 - ALPHA);
    alpha * miss.clone() * miss * ce
}
// ANCHOR_END: focal

// ANCHOR: dice
/// `1 - (2 sum(p g) + 1) / (sum(p) + sum(g) + 1)` for each mask.
///
/// # Shapes
/// - `p`, `g`: `[k, h, w]`; output: `[k]`
pub fn dice(p: Tensor<3>, g: Tensor<3>) -> Tensor<1> {
    let shared = sum_of(p.clone() * g.clone());
    let both = sum_of(p) + sum_of(g);
    complement((shared * 2.0 + SMOOTH) / (both + SMOOTH))
}
// ANCHOR_END: dice

/// `sum(p g) / sum(p + g - p g)` for each mask, 1 where both are empty.
///
/// # Shapes
/// - `p`, `g`: `[k, h, w]`; output: `[k]`
pub fn soft_iou(p: Tensor<3>, g: Tensor<3>) -> Tensor<1> {
    let shared = sum_of(p.clone() * g.clone());
    let union = sum_of(p) + sum_of(g) - shared.clone();
    (shared + IOU_EPSILON) / (union + IOU_EPSILON)
}

/// `1 - x`.
fn complement<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.neg() + 1.0
}

/// Row by row first: sums of millions of f32 values in one run lose digits.
fn sum_of(x: Tensor<3>) -> Tensor<1> {
    per_mask(x.sum_dim(2).sum_dim(1))
}

fn per_mask(x: Tensor<3>) -> Tensor<1> {
    x.flatten(0, 2) // [k, 1, 1] to [k]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels: p = 0.75 on the mask, p = 0.5 outside.
    fn pair() -> (Tensor<3>, Tensor<3>) {
        let device = crate::test_device();
        let p = Tensor::from_data([[[0.75, 0.5]]], &device);
        (p, Tensor::from_data([[[1.0, 0.0]]], &device))
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter().collect()
    }

    #[test]
    fn bce_by_hand() {
        let (p, g) = pair();
        assert_close(&values(binary_cross_entropy(p, g)), &[-(0.75f64.ln()), -(0.5f64.ln())]);
    }

    /// On the mask 0.25 · 0.25² · ln(1 + e^-0.75); outside 0.75 · 0.5² · (0.5 + ln(1 + e^-0.5)).
    #[test]
    fn focal_by_hand() {
        let (p, g) = pair();
        let on = 0.25 * 0.0625 * (-0.75f64).exp().ln_1p();
        let outside = 0.75 * 0.25 * (0.5 + (-0.5f64).exp().ln_1p());
        assert_close(&values(focal(p, g)), &[on, outside]);
    }

    /// 1 - (2 · 0.75 + 1) / (1.25 + 1 + 1), and 0.75 / (1.25 + 1 - 0.75).
    #[test]
    fn dice_and_soft_iou_by_hand() {
        let (p, g) = pair();
        assert_close(&values(dice(p.clone(), g.clone())), &[1.0 - 2.5 / 3.25]);
        assert_close(&values(soft_iou(p, g)), &[0.5]);
    }

    #[test]
    fn saturated_probabilities_give_finite_losses_and_gradients() {
        let device = crate::test_device().autodiff();
        let p = Tensor::<3>::from_data([[[0.0, 1.0, 0.0, 1.0]]], &device).require_grad();
        let g = Tensor::<3>::from_data([[[0.0, 0.0, 1.0, 1.0]]], &device);
        for loss in [binary_cross_entropy, focal] {
            let mean = loss(p.clone(), g.clone()).mean();
            assert!(mean.clone().into_scalar::<f32>().is_finite());
            let gradient = p.grad(&mean.backward()).expect("p is a leaf");
            assert!(values(gradient).iter().all(|value| value.is_finite()));
        }
    }

    /// Maps of 0.5 against a mask of 2 of 4 pixels and one of 6 of 6, and one rejected:
    /// Dice is (1 - 3/5) and (1 - 7/10), BCE ln 2 twice, soft IoU 1/3, 1/2 and 1.
    #[test]
    fn masks_of_two_sizes_and_a_rejected_one() {
        let device = crate::test_device();
        let p = Tensor::<3>::full([2, 2, 2], 0.5, &device);
        let small = Bitmap::from_bytes(2, 2, &[1, 0, 0, 1]).expect("four pixels");
        let full = Bitmap::from_bytes(2, 3, &[1; 6]).expect("six pixels");
        let terms = mask_terms(MaskLoss::BceDice, Some(p), &[&small, &full], 1, &device);
        assert_close(&values(terms.pixel), &[2.0 * 2f64.ln() / 3.0]);
        assert_close(&values(terms.dice), &[(0.4 + 0.3) / 3.0]);
        assert_close(&values(terms.iou), &[(1.0 / 3.0 + 0.5 + 1.0) / 3.0]);
    }

    #[test]
    fn no_expression_is_no_loss() {
        let terms = mask_terms(MaskLoss::FocalDice, None, &[], 0, &crate::test_device());
        for term in [terms.pixel, terms.dice, terms.iou] {
            assert_close(&values(term), &[0.0]);
        }
    }
}
